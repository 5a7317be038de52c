//! The event recorder of the real program: what happens to an alert stands in a file, line by line, and goes to a
//! webhook; a reload changes the outputs.

#![allow(clippy::disallowed_methods, reason = "the real program runs in real time")]

mod support;

use std::{path::Path, time::Duration};

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use support::{Server, dir_with, hook::Hook, wait_for};

const LIMIT: Duration = Duration::from_secs(30);

fn alert(labels: &Value, over: bool) -> Value {
    let end = if over { Utc::now() } else { Utc::now() + TimeDelta::hours(1) };
    json!({"labels": labels, "startsAt": (Utc::now() - TimeDelta::hours(1)).to_rfc3339(), "endsAt": end.to_rfc3339()})
}

fn configuration(hook: &Hook, outputs: &str) -> String {
    format!(
        "
route: {{receiver: hook, group_by: [alertname], group_wait: 100ms, group_interval: 300ms}}
inhibit_rules: [{{source_matchers: [kind=host], target_matchers: [kind=vm], equal: [rack]}}]
receivers: [{{name: hook, webhook_configs: [{{url: '{}'}}]}}]
event_recorder: {outputs}
",
        hook.url()
    )
}

fn events(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits for an event of this kind that `is_wanted`; what stands behind its name.
fn wait(file: &Path, kind: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
    wait_for(&format!("the event {kind}"), LIMIT, || {
        let mut found = events(file).into_iter().map(|event| event["data"][kind].clone());
        found.find(|event| !event.is_null() && is_wanted(event))
    })
}

#[test]
fn the_life_of_an_alert_is_recorded_and_a_reload_changes_the_outputs() {
    let (hook, sink) = (Hook::start(), Hook::start());
    let dir = dir_with("");
    let write = |outputs: &str| {
        std::fs::write(dir.path().join("alertmanager.yml"), configuration(&hook, outputs)).unwrap();
    };
    write(&format!("{{file_outputs: [{{path: events.jsonl}}], webhook_outputs: [{{url: '{}'}}]}}", sink.url()));
    let (first, second) = (dir.path().join("events.jsonl"), dir.path().join("later.jsonl"));
    let server = Server::start(dir.path(), &["--enable-feature=event-recorder"]);
    let startup = wait(&first, "alertmanagerStartupEvent", |_| true);
    assert_eq!(startup["version"], "0.34.0");

    server.post_alerts(&json!([alert(&json!({"alertname": "A"}), false)]));
    wait(&first, "alertCreated", |event| event["alert"]["name"] == "A");
    let grouped = wait(&first, "alertGrouped", |event| event["alert"]["details"]["name"] == "A");
    assert_eq!(grouped["groupInfo"]["receiverName"], "hook");
    let told = wait(&first, "notification", |_| true);
    assert_eq!(told["reason"], "NOTIFY_REASON_FIRST_NOTIFICATION");
    assert_eq!((&told["integration"], &told["repeatInterval"]), (&json!({"name": "webhook"}), &json!("14400s")));
    assert_eq!(told["firingAlerts"][0]["hash"], grouped["alert"]["hash"]);

    server.post_alerts(&json!([alert(&json!({"alertname": "A"}), true)]));
    wait(&first, "notification", |event| event["reason"] == "NOTIFY_REASON_ALL_ALERTS_RESOLVED");
    let resolved = wait(&first, "alertResolved", |_| true);
    assert_eq!(resolved["alert"]["details"]["resolved"], true);

    let silence = |id: Option<&str>, comment: &str| {
        json!({
            "id": id, "comment": comment, "createdBy": "test",
            "matchers": [{"name": "alertname", "value": "Hushed", "isRegex": false}],
            "startsAt": Utc::now().to_rfc3339(), "endsAt": (Utc::now() + TimeDelta::hours(1)).to_rfc3339(),
        })
    };
    let (_, body) = server.post("/api/v2/silences", &silence(None, "c")).unwrap();
    let id = serde_json::from_str::<Value>(&body).unwrap()["silenceID"].as_str().unwrap().to_owned();
    wait(&first, "silenceCreated", |event| event["silence"]["id"] == *id);
    server.post_alerts(&json!([alert(&json!({"alertname": "Hushed"}), false)]));
    let muted = wait(&first, "silenceMutedAlert", |_| true);
    assert_eq!((&muted["silence"]["id"], muted["mutedAlert"]["fingerprint"].is_string()), (&json!(id), true));

    server.post_alerts(&json!([alert(&json!({"alertname": "Host", "kind": "host", "rack": "1"}), false)]));
    server.post_alerts(&json!([alert(&json!({"alertname": "Vm", "kind": "vm", "rack": "1"}), false)]));
    let inhibited = wait(&first, "inhibitionMutedAlert", |_| true);
    assert_eq!(inhibited["inhibitRules"][0]["equalLabels"], json!(["rack"]));
    assert!(server.metric("alertmanager_events_recorded_total{event_type=\"notification\"") >= Some(2.0));
    sink.wait("the webhook gets events, too", |told| {
        told.iter().any(|told| told.json["data"]["inhibitionMutedAlert"].is_object()).then_some(())
    });

    write("{file_outputs: [{path: later.jsonl}]}");
    assert_eq!(server.post("/-/reload", &json!({})).unwrap().0, 200);
    server.post_alerts(&json!([alert(&json!({"alertname": "B"}), false)]));
    wait(&second, "notification", |event| event["alerts"][0]["details"]["name"] == "B");
    assert!(events(&first).iter().all(|event| event["data"]["alertCreated"]["alert"]["name"] != "B"));
    assert_eq!(server.stop(), Some(0));
    assert!(events(&second).last().unwrap()["data"]["alertmanagerShutdownEvent"].is_object());
}

#[test]
fn without_its_feature_the_section_is_checked_and_does_nothing() {
    let hook = Hook::start();
    let dir = dir_with(&configuration(&hook, "{file_outputs: [{path: events.jsonl}]}"));
    let server = Server::start(dir.path(), &[]);
    server.post_alerts(&json!([alert(&json!({"alertname": "A"}), false)]));
    hook.wait("it is told", |told| (!told.is_empty()).then_some(()));
    assert!(!dir.path().join("events.jsonl").exists());
}
