//! How fast what one node knows is known to the others: three real nodes on loopback. The figures:
//!
//! ```text
//! cargo test --release --test spread -- --ignored --nocapture --test-threads=1
//! ```

#![allow(clippy::disallowed_methods, reason = "the real program runs in real time")]

mod support;

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{
    hook::Hook,
    ring::{Node, Ring},
    wait_for,
};

const QUIET: &str = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n";

fn silence(name: &str) -> Value {
    let at = |hours: i64| (chrono::Utc::now() + chrono::TimeDelta::hours(hours)).to_rfc3339();
    json!({
        "matchers": [{"name": "instance", "value": name, "isRegex": false, "isEqual": true}],
        "startsAt": at(-1), "endsAt": at(1), "createdBy": "spread", "comment": "how fast is it?",
    })
}

fn is_active(node: &Node, id: &str) -> bool {
    node.get(&format!("/api/v2/silence/{id}")).is_some_and(|silence| silence["status"]["state"] == "active")
}

/// Sum of a metric's samples over nodes.
fn sum(nodes: &[Node], series: &str) -> f64 {
    nodes.iter().map(|node| node.metric(series).unwrap_or(0.0)).sum()
}

/// From the request on node 0 until the last of the others shows it active, for each of `count` silences in turn; and
/// how much of that was the request itself.
fn spread_of_silences(ring: &Ring, count: usize) -> Vec<(Duration, Duration)> {
    let spread_of = |number: usize| {
        let began = Instant::now();
        let id = ring.nodes[0].post_silence(&silence(&format!("one {number}"))).expect("it is taken");
        let acknowledged = began.elapsed();
        thread::scope(|scope| {
            let (one, two) = (&ring.nodes[1], &ring.nodes[2]);
            let others = [scope.spawn(|| watch(one, &id, began)), scope.spawn(|| watch(two, &id, began))];
            let last = others.into_iter().map(|other| other.join().expect("it is seen")).max();
            (last.expect("two others"), acknowledged)
        })
    };
    (0..count).map(spread_of).collect()
}

fn watch(node: &Node, id: &str, began: Instant) -> Duration {
    while !is_active(node, id) {
        assert!(began.elapsed() < Duration::from_secs(10), "a silence does not arrive at {}", node.name);
    }
    began.elapsed()
}

/// Posts them from eight connections; from the last acknowledgement until all are everywhere, and how long the posts
/// took.
fn spread_of_many(ring: &Ring, count: usize) -> (Duration, Duration) {
    let before = sum(&ring.nodes, "alertmanager_silences{state=\"active\"}");
    let began = Instant::now();
    thread::scope(|scope| {
        for part in 0..8 {
            let node = &ring.nodes[0];
            scope.spawn(move || {
                for number in (part..count).step_by(8) {
                    node.post_silence(&silence(&format!("many {number}"))).expect("it is taken");
                }
            });
        }
    });
    let posts = began.elapsed();
    let wanted = before + f64::from(u32::try_from(3 * count).expect("a few thousand"));
    wait_for("all silences are on all nodes", Duration::from_secs(60), || {
        (sum(&ring.nodes, "alertmanager_silences{state=\"active\"}") >= wanted).then_some(())
    });
    (began.elapsed() - posts, posts)
}

/// Groups that are due at one moment: from the last delivery until every entry is in the log of every node.
fn spread_of_log(groups: usize) -> Duration {
    let hook = Hook::start();
    let config = format!(
        "route: {{receiver: hook, group_by: [g], group_wait: 2s, group_interval: 5m}}\n\
         receivers: [{{name: hook, webhook_configs: [{{url: '{}'}}]}}]\n",
        hook.url()
    );
    let ring = Ring::new(3, &config, &[]);
    ring.start();
    let alerts: Vec<Value> =
        (0..groups).map(|g| json!({"labels": {"alertname": "spread", "g": g.to_string()}})).collect();
    let alerts = Value::Array(alerts);
    ring.nodes.iter().for_each(|node| assert!(node.post_alerts(&alerts)));
    let last = hook
        .wait("all groups are told", |told| (told.len() >= groups).then(|| told.iter().map(|told| told.arrived).max()));
    let wanted = f64::from(u32::try_from(2 * groups).expect("a few thousand"));
    wait_for("all entries are in all logs", Duration::from_secs(60), || {
        (sum(&ring.nodes, "alertmanager_nflog_gossip_messages_propagated_total") >= wanted).then_some(())
    });
    let took = last.map_or(Duration::ZERO, |last| last.elapsed());
    assert_eq!(hook.told().len(), groups, "each once");
    took
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

#[test]
fn what_one_node_knows_the_others_know_soon() {
    let ring = Ring::new(3, QUIET, &[]);
    ring.start();
    spread_of_silences(&ring, 10);
    spread_of_many(&ring, 200);
}

#[test]
fn every_node_has_every_log_entry_soon() {
    spread_of_log(50);
}

#[test]
#[ignore = "figures of a quiet machine"]
fn figures_of_silences() {
    let ring = Ring::new(3, QUIET, &[]);
    ring.start();
    spread_of_silences(&ring, 20);
    let spread = spread_of_silences(&ring, 1000);
    let sorted = |pick: fn(&(Duration, Duration)) -> Duration| {
        let mut all: Vec<Duration> = spread.iter().map(pick).collect();
        all.sort_unstable();
        all
    };
    let (whole, request) = (sorted(|(whole, _)| *whole), sorted(|(_, request)| *request));
    println!(
        "a silence, from its request to being active on both others: p50 {:?}, p99 {:?}, max {:?} (the request alone: p50 {:?}, p99 {:?})",
        percentile(&whole, 50),
        percentile(&whole, 99),
        percentile(&whole, 100),
        percentile(&request, 50),
        percentile(&request, 99),
    );
    assert!(percentile(&whole, 99) < Duration::from_millis(50));
    let (after, posts) = spread_of_many(&ring, 1000);
    println!(
        "1,000 silences from 8 connections: posted in {posts:?}, all on all nodes {after:?} after the last answer"
    );
    assert!(after < Duration::from_secs(1));
}

#[test]
#[ignore = "figures of a quiet machine"]
fn figures_of_the_log() {
    let took = spread_of_log(500);
    println!("500 groups at once: all entries in all logs {took:?} after the last delivery");
    assert!(took < Duration::from_secs(1));
}
