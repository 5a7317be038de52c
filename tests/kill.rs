//! `kill -9` at any moment: no acknowledged silence is gone, no notification that was told is told again.

#![allow(clippy::disallowed_methods, reason = "the real program runs in real time")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use support::{Server, dir_with, hook::Hook, pass};

/// How often the server is killed.
const KILLS: u32 = 50;

/// A notification may be told again if the kill came between the receiver's answer and the log's reaching the disk.
const GRACE: Duration = Duration::from_millis(300);

/// A small generator, so that a run can be repeated by its seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn alert(name: &str) -> Value {
    json!({"labels": {"alertname": name}, "endsAt": (Utc::now() + TimeDelta::hours(1)).to_rfc3339()})
}

fn silence(name: &str) -> Value {
    json!({
        "matchers": [{"name": "alertname", "value": name, "isRegex": false}],
        "startsAt": Utc::now().to_rfc3339(), "endsAt": (Utc::now() + TimeDelta::hours(1)).to_rfc3339(),
        "createdBy": "test", "comment": "",
    })
}

#[test]
fn nothing_acknowledged_is_gone_and_nothing_told_is_told_again() {
    let seed = std::env::var("CARILLON_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_261_124);
    println!("seed {seed} (CARILLON_SEED)");
    let mut dice = Dice(seed);
    let hook = Hook::start();
    let dir = dir_with(&format!(
        "
route: {{receiver: hook, group_by: [alertname], group_wait: 50ms, group_interval: 200ms}}
receivers: [{{name: hook, webhook_configs: [{{url: '{}'}}]}}]
",
        hook.url()
    ));
    let mut acknowledged: BTreeSet<String> = BTreeSet::new();
    let mut kills: Vec<Instant> = Vec::new();
    let mut posted = 0u32;
    for _ in 0..KILLS {
        let server = Server::start(dir.path(), &[]);
        let found: BTreeSet<String> = ids(&server.get("/api/v2/silences"));
        assert!(acknowledged.is_subset(&found), "lost: {:?}", acknowledged.difference(&found).collect::<Vec<_>>());
        let until = Instant::now() + Duration::from_millis(100 + dice.below(400));
        while Instant::now() < until {
            if dice.below(3) == 0 {
                let (status, body) =
                    server.post("/api/v2/silences", &silence(&format!("quiet{}", dice.below(1000)))).unwrap();
                assert_eq!(status, 200, "{body}");
                let id: Value = serde_json::from_str(&body).unwrap();
                acknowledged.insert(id["silenceID"].as_str().unwrap().to_owned());
            } else {
                // Known alerts are refreshed, as senders do, and a new one comes.
                posted += 1;
                let alerts: Vec<Value> = (posted.saturating_sub(5)..=posted).map(|n| alert(&format!("a{n}"))).collect();
                server.post_alerts(&Value::from(alerts));
            }
            pass(Duration::from_millis(dice.below(30)));
        }
        kills.push(Instant::now());
        server.kill();
    }

    // Alerts are written behind their answer; senders repeat what fires, and so does this one. What was told
    // already stays told.
    let server = Server::start(dir.path(), &[]);
    server.post_alerts(&(1..=posted).map(|n| alert(&format!("a{n}"))).collect());
    hook.wait("every alert is told", |told| {
        let names: BTreeSet<String> = told.iter().flat_map(|t| t.alerts("alertname")).collect();
        (1..=posted).all(|n| names.contains(&format!("a{n}"))).then_some(())
    });
    pass(Duration::from_millis(600));
    drop(server);
    let mut told: BTreeMap<String, Vec<Instant>> = BTreeMap::new();
    for notification in hook.told() {
        assert_eq!(notification.status(), "firing", "nothing was resolved: {}", notification.json);
        told.entry(notification.json["groupKey"].to_string()).or_default().push(notification.answered);
    }
    let mut excused = 0;
    for (group, times) in &told {
        for pair in times.windows(2) {
            // A request may also be read from the socket of a sender that is dead already.
            let killed_at_once =
                kills.iter().any(|kill| kill.max(&pair[0]).duration_since(*kill.min(&pair[0])) < GRACE);
            assert!(killed_at_once, "{group} was told twice, {:?} apart", pair[1] - pair[0]);
            excused += 1;
        }
    }
    println!(
        "{KILLS} kills, {posted} alerts, {} silences: none lost; {} groups told, {excused} twice within {GRACE:?} of a kill",
        acknowledged.len(),
        told.len()
    );
}

fn ids(silences: &Value) -> BTreeSet<String> {
    silences.as_array().unwrap().iter().map(|s| s["id"].as_str().unwrap().to_owned()).collect()
}
