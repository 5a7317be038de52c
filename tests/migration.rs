//! From Alertmanager to Carillon and back, on one data directory and with one set of flags: silences stay, nothing is
//! told again. And a cluster of three, replaced node by node. Skipped where `CARILLON_PEER_DIR` names no folder with
//! `alertmanager`.

#![allow(clippy::disallowed_methods, reason = "the real programs run in real time")]

mod support;

use std::{collections::BTreeMap, path::Path, time::Duration};

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use support::{
    hook::{Hook, Told},
    pass, peer,
    ring::{self, Node},
    wait_for,
};

const OURS: &str = env!("CARGO_BIN_EXE_carillon");

/// Flushes come every second: so long, nothing that is owed stays untold.
const SOME_FLUSHES: Duration = Duration::from_millis(3500);

fn config(hook: &Hook) -> String {
    format!(
        "
route: {{receiver: hook, group_by: [alertname], group_wait: 200ms, group_interval: 1s, repeat_interval: 1h}}
receivers: [{{name: hook, webhook_configs: [{{url: '{}'}}]}}]
",
        hook.url()
    )
}

fn alert(name: &str) -> Value {
    json!({
        "labels": {"alertname": name, "severity": "page"}, "annotations": {"summary": "it burns"},
        "endsAt": (Utc::now() + TimeDelta::hours(1)).to_rfc3339(),
    })
}

fn over(name: &str) -> Value {
    json!({"labels": {"alertname": name, "severity": "page"}, "endsAt": Utc::now().to_rfc3339()})
}

fn silence(name: &str) -> Value {
    json!({
        "matchers": [{"name": "alertname", "value": name, "isRegex": false, "isEqual": true}],
        "startsAt": Utc::now().to_rfc3339(), "endsAt": (Utc::now() + TimeDelta::hours(1)).to_rfc3339(),
        "createdBy": "ops", "comment": "planned work: Überprüfung",
    })
}

/// Waits until the server answers, whichever of the two it is.
fn started(program: &str, command: &[String], web: &str, home: &Path) -> Node {
    let mut command = command.to_vec();
    program.clone_into(&mut command[0]);
    let node = Node::new(program, web, home, command);
    node.start();
    wait_for("the server answers", Duration::from_secs(30), || node.get("/api/v2/status"));
    node
}

/// Silences by id, as the API shows them.
fn silences(node: &Node) -> BTreeMap<String, Value> {
    let list = node.get("/api/v2/silences").unwrap();
    list.as_array().unwrap().iter().map(|s| (s["id"].as_str().unwrap().to_owned(), s.clone())).collect()
}

fn count(told: &[Told], name: &str, status: &str) -> usize {
    told.iter().filter(|t| t.status() == status && t.alerts("alertname").iter().any(|n| n == name)).count()
}

fn wait_told(hook: &Hook, name: &str, status: &str) {
    hook.wait(&format!("{name} is told as {status}"), |told| (count(told, name, status) > 0).then_some(()));
}

#[test]
fn to_carillon_and_back_silences_stay_and_nothing_is_told_again() {
    let Some(theirs) = peer("alertmanager") else { return };
    let theirs = theirs.to_str().unwrap().to_owned();
    let hook = Hook::start();
    let dir = tempfile::tempdir().unwrap();
    ring::prepare(dir.path(), &config(&hook));
    let web = format!("127.0.0.1:{}", ring::free_ports(1)[0]);
    let mut flags = ring::command(dir.path(), "n", &web);
    flags.push("--cluster.listen-address=".to_owned());
    let senders_repeat = |node: &Node, names: &[&str]| {
        assert!(node.post_alerts(&names.iter().map(|name| alert(name)).collect()));
        pass(SOME_FLUSHES);
    };

    // Alertmanager: two alerts are told, one is silenced; one silence is over already.
    let node = started(&theirs, &flags, &web, dir.path());
    let quiet = node.post_silence(&silence("Quiet")).unwrap();
    let lifted = node.post_silence(&silence("Lifted")).unwrap();
    assert_eq!(node.request("DELETE", &format!("/api/v2/silence/{lifted}"), None).unwrap().status, 200);
    senders_repeat(&node, &["Disk", "Network", "Quiet"]);
    wait_told(&hook, "Disk", "firing");
    wait_told(&hook, "Network", "firing");
    let before = silences(&node);
    assert_eq!(node.stop(), Some(0));

    // Carillon on the same directory, with the same flags.
    let node = started(OURS, &flags, &web, dir.path());
    assert_eq!(silences(&node), before);
    senders_repeat(&node, &["Disk", "Network", "Quiet"]);
    assert_eq!(hook.told().len(), 2, "nothing is told again: {:?}", hook.told());
    senders_repeat(&node, &["New"]);
    wait_told(&hook, "New", "firing");
    assert!(node.post_alerts(&json!([over("Disk")])));
    wait_told(&hook, "Disk", "resolved");
    let later = node.post_silence(&silence("Later")).unwrap();
    let before = silences(&node);
    assert_eq!(node.stop(), Some(0));

    // And back.
    let node = started(&theirs, &flags, &web, dir.path());
    let found = silences(&node);
    assert_eq!(found, before);
    assert!([&quiet, &lifted, &later].iter().all(|id| found.contains_key(*id)));
    senders_repeat(&node, &["Network", "New", "Quiet", "Later"]);
    assert_eq!(hook.told().len(), 4, "nothing is told again: {:?}", hook.told());
    assert_eq!(node.stop(), Some(0));

    // And forth once more.
    let node = started(OURS, &flags, &web, dir.path());
    assert_eq!(silences(&node), found);
    senders_repeat(&node, &["Network", "New", "Quiet", "Later"]);
    let told = hook.told();
    assert_eq!(told.len(), 4, "nothing is told again: {told:?}");
    assert_eq!(count(&told, "Quiet", "firing") + count(&told, "Later", "firing"), 0);
}

#[test]
fn a_cluster_is_replaced_node_by_node_without_a_loss() {
    let Some(theirs) = peer("alertmanager") else { return };
    let theirs = theirs.to_str().unwrap().to_owned();
    let hook = Hook::start();
    let dir = tempfile::tempdir().unwrap();
    let ports = ring::free_ports(6);
    let (web, mesh) = ports.split_at(3);
    let place = |i: usize| (dir.path().join(format!("n{i}")), format!("127.0.0.1:{}", web[i]));
    let flags = |i: usize| {
        let (home, web) = place(i);
        let mut flags = ring::command(&home, &format!("n{i}"), &web);
        flags.push(format!("--cluster.listen-address=127.0.0.1:{}", mesh[i]));
        flags.extend(["--cluster.peer-timeout=1s", "--cluster.settle-timeout=2s"].map(str::to_owned));
        flags.extend(mesh.iter().map(|port| format!("--cluster.peer=127.0.0.1:{port}")));
        flags
    };
    let start = |program: &str, i: usize| {
        let (home, web) = place(i);
        started(program, &flags(i), &web, &home)
    };
    (0..3).for_each(|i| ring::prepare(&place(i).0, &config(&hook)));
    let post = |nodes: &[Node], name: &str| {
        assert!(nodes.iter().filter(|node| node.post_alerts(&json!([alert(name)]))).count() >= 2);
    };

    let mut nodes: Vec<Node> = (0..3).map(|i| start(&theirs, i)).collect();
    ring::wait_formed(&nodes);
    let id = nodes[0].post_silence(&silence("Quiet")).unwrap();
    post(&nodes, "Before");
    post(&nodes, "Quiet");
    wait_told(&hook, "Before", "firing");
    wait_for("the silence is everywhere", Duration::from_secs(20), || {
        nodes.iter().all(|node| node.silences().is_some_and(|s| s.contains(&id))).then_some(())
    });
    pass(SOME_FLUSHES);

    for i in 0..3 {
        assert_eq!(nodes[i].stop(), Some(0));
        nodes[i] = start(OURS, i);
        assert!(nodes[i].silences().unwrap().contains(&id));
        let name = format!("During{i}");
        post(&nodes, &name);
        wait_told(&hook, &name, "firing");
        post(&nodes, "Before");
        post(&nodes, "Quiet");
        pass(SOME_FLUSHES);
    }
    ring::wait_formed(&nodes);
    for name in ["Before", "Quiet", "During0", "During1", "During2"] {
        post(&nodes, name);
    }
    post(&nodes, "After");
    wait_told(&hook, "After", "firing");
    pass(SOME_FLUSHES);

    let told = hook.told();
    let times = |name: &str| count(&told, name, "firing");
    println!(
        "told: Before {}, During0 {}, During1 {}, During2 {}, After {}",
        times("Before"),
        times("During0"),
        times("During1"),
        times("During2"),
        times("After")
    );
    assert_eq!((times("Before"), times("Quiet"), times("After")), (1, 0, 1));
    // While both kinds run, each of the two clusters does the whole work.
    assert!((0..2).all(|i| (1..=2).contains(&times(&format!("During{i}")))));
    assert_eq!(times("During2"), 1, "all three were ours");
}
