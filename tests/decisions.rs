//! "Why was I (not) told?" asked of the real program: an alert is silenced, inhibited, muted by time, told, refused and
//! told again, and each reason stands in the decision log, on the wire and after a restart.

#![allow(clippy::disallowed_methods, reason = "the real program runs in real time")]

mod support;

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use support::{Server, dir_with, hook::Hook, wait_for};

const LIMIT: Duration = Duration::from_secs(30);

fn alert(labels: &Value) -> Value {
    json!({"labels": labels, "endsAt": (Utc::now() + TimeDelta::hours(1)).to_rfc3339()})
}

/// The decisions for these parameters.
fn decisions(server: &Server, parameters: &str) -> Vec<Value> {
    let page = server.get(&format!("/api/v2/carillon/decisions?{parameters}"));
    page["decisions"].as_array().unwrap().clone()
}

/// Waits for a decision that `is_wanted`.
fn wait(server: &Server, parameters: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
    wait_for(&format!("a decision with {parameters}"), LIMIT, || {
        decisions(server, parameters).into_iter().find(|decision| is_wanted(decision))
    })
}

fn configuration(hook: &Hook) -> String {
    // An interval of which every moment is part, and one of which none is: the first of January of a year that is over.
    format!(
        "
route:
  receiver: hook
  group_by: [alertname]
  group_wait: 100ms
  group_interval: 300ms
  routes:
    - {{matchers: [team=night], receiver: night, mute_time_intervals: [always]}}
    - {{matchers: [team=day], receiver: day, active_time_intervals: [never]}}
time_intervals:
  - {{name: always, time_intervals: [{{times: [{{start_time: '00:00', end_time: '24:00'}}]}}]}}
  - {{name: never, time_intervals: [{{years: ['1999']}}]}}
inhibit_rules:
  - {{source_matchers: [kind=host], target_matchers: [kind=vm], equal: [rack]}}
receivers:
  - {{name: hook, webhook_configs: [{{url: '{}?token=hidden-in-the-url'}}]}}
  - {{name: night, webhook_configs: [{{url: '{}'}}]}}
  - {{name: day, webhook_configs: [{{url: '{}'}}]}}
",
        hook.url(),
        hook.url(),
        hook.url()
    )
}

#[test]
fn each_reason_for_telling_and_for_not_telling_is_found() {
    let hook = Hook::start();
    let dir = dir_with(&configuration(&hook));
    let server = Server::start(dir.path(), &[]);

    // Told.
    server.post_alerts(&json!([alert(&json!({"alertname": "Plain", "job": "j"}))]));
    let told = wait(&server, "filter=alertname%3DPlain&outcome=told", |_| true);
    assert_eq!((&told["reason"], &told["count"]), (&json!("first notification"), &json!(1)));
    assert_eq!((&told["receiver"], &told["integration"]), (&json!("hook"), &json!({"name": "webhook", "index": 0})));
    assert_eq!(told["group"]["labels"], json!({"alertname": "Plain"}));
    assert_eq!(told["alerts"][0]["labels"], json!({"alertname": "Plain", "job": "j"}));
    assert_eq!((&told["alerts"][0]["told"], &told["log"]["tells"]), (&json!(true), &json!(1)));
    assert_eq!((&told["attempt"]["number"], told["attempt"].get("error")), (&json!(1), None));
    let fingerprint = told["alerts"][0]["fingerprint"].as_str().unwrap().to_owned();
    // And then nothing new, counted and not repeated.
    let idle = wait(&server, &format!("fingerprint={fingerprint}&outcome=not_due"), |d| d["count"].as_u64() > Some(2));
    assert_eq!(idle["reason"], "nothing new");
    assert!(idle["until"].as_str() > idle["last"].as_str(), "the repeat is due later: {idle}");
    assert_eq!(decisions(&server, &format!("fingerprint={fingerprint}&outcome=not_due")).len(), 1);

    // Silenced.
    let silence = json!({
        "matchers": [{"name": "alertname", "value": "Hushed", "isRegex": false}],
        "startsAt": Utc::now().to_rfc3339(), "endsAt": (Utc::now() + TimeDelta::hours(1)).to_rfc3339(),
        "createdBy": "test", "comment": "",
    });
    let (_, body) = server.post("/api/v2/silences", &silence).unwrap();
    let id = serde_json::from_str::<Value>(&body).unwrap()["silenceID"].clone();
    server.post_alerts(&json!([alert(&json!({"alertname": "Hushed"}))]));
    let quiet = wait(&server, "filter=alertname%3DHushed", |_| true);
    assert_eq!((&quiet["outcome"], &quiet["reason"]), (&json!("quiet"), &json!("muted")));
    assert_eq!(quiet["alerts"][0]["silencedBy"], json!([id]));
    assert_eq!((quiet.get("integration"), &quiet["totals"]["muted"]), (None, &json!(1)));
    // And the silence knows what it kept quiet.
    let page = format!("/silences/{}", id.as_str().unwrap());
    let fact = "ago: 1 alert of one group.";
    assert!(server.text(&page).contains(fact), "{}", server.text(&page));

    // Inhibited.
    server.post_alerts(&json!([alert(&json!({"alertname": "HostDown", "kind": "host", "rack": "r1"}))]));
    server.post_alerts(&json!([alert(&json!({"alertname": "VmDown", "kind": "vm", "rack": "r1"}))]));
    let quiet = wait(&server, "filter=alertname%3DVmDown&outcome=quiet", |_| true);
    let by = &quiet["alerts"][0]["inhibitedBy"];
    assert_eq!((&by["labels"]["alertname"], &by["rule"]), (&json!("HostDown"), &json!(0)));

    // Muted by time, in both ways.
    server.post_alerts(&json!([alert(&json!({"alertname": "N", "team": "night"}))]));
    server.post_alerts(&json!([alert(&json!({"alertname": "D", "team": "day"}))]));
    let night = wait(&server, "receiver=night", |_| true);
    assert_eq!(night["alerts"][0]["mutedBy"], json!(["always"]));
    let day = wait(&server, "receiver=day", |_| true);
    assert_eq!(day["alerts"][0]["outside"], json!(["never"]));

    // Refused, tried again, told.
    hook.answer(503);
    server.post_alerts(&json!([alert(&json!({"alertname": "Stubborn"}))]));
    let failed = wait(&server, "filter=alertname%3DStubborn&outcome=failed", |d| d["attempt"]["number"] == 2);
    assert!(failed["attempt"]["error"].as_str().unwrap().contains("503"), "{failed}");
    assert_eq!((&failed["attempt"]["kind"], &failed["alerts"][0]["told"]), (&json!("serverError"), &json!(true)));
    assert!(failed["until"].as_str() >= failed["at"].as_str());
    hook.answer(200);
    let told = wait(&server, "filter=alertname%3DStubborn&outcome=told", |_| true);
    assert!(told["attempt"]["number"].as_u64() > Some(2), "{told}");

    // Whole story, newest first; no secret; still there after `kill -9` and a moment.
    let story = decisions(&server, "filter=alertname%3DStubborn&limit=500");
    let moments: Vec<&str> = story.iter().map(|decision| decision["at"].as_str().unwrap()).collect();
    assert!(moments.is_sorted_by(|a, b| a >= b), "{moments:?}");
    assert!(!server.text("/api/v2/carillon/decisions?limit=500").contains("hidden-in-the-url"));
    let number = told["id"].clone();
    support::pass(Duration::from_millis(1_500));
    server.kill();
    let server = Server::start(dir.path(), &[]);
    let again = wait(&server, "filter=alertname%3DStubborn&outcome=told", |_| true);
    assert_eq!(again["id"], number);
    wait_for("the silence still knows it", LIMIT, || server.text(&page).contains(fact).then_some(()));
    server.post_alerts(&json!([alert(&json!({"alertname": "Later"}))]));
    let later = wait(&server, "filter=alertname%3DLater&outcome=told", |_| true);
    assert!(later["id"].as_u64() > number.as_u64());
}

#[test]
fn pages_follow_their_cursor_and_bad_parameters_are_refused() {
    let hook = Hook::start();
    let dir = dir_with(&configuration(&hook));
    let server = Server::start(dir.path(), &[]);
    let alerts: Vec<Value> = (0..7).map(|n| alert(&json!({"alertname": format!("A{n}")}))).collect();
    server.post_alerts(&Value::from(alerts));
    wait_for("all are told", LIMIT, || (decisions(&server, "outcome=told").len() == 7).then_some(()));
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("/api/v2/carillon/decisions?outcome=told&limit=3&local=true&cursor={cursor}"));
        let ids = page["decisions"].as_array().unwrap().iter().map(|decision| decision["id"].as_u64().unwrap());
        seen.extend(ids);
        assert_eq!(page["nodes"][0]["state"], "answered");
        match page["next"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert!(seen.len() == 7 && seen.is_sorted_by(|a, b| a > b), "{seen:?}");
    for (parameters, text) in [
        ("filter=%7B", "unexpected open or close brace"),
        ("receiver=(", "bad parameter receiver"),
        ("fingerprint=12", "bad parameter fingerprint: not 16 hexadecimal digits"),
        ("outcome=lost", "bad parameter outcome"),
        ("since=yesterday", "bad parameter since"),
        ("limit=0", "bad parameter limit: not a number from 1 to 500"),
        ("cursor=!", "bad parameter cursor"),
    ] {
        let path = format!("/api/v2/carillon/decisions?{parameters}");
        let answer = support::http::request(&server.address, "GET", &path, None).unwrap();
        assert_eq!(answer.status, 400, "{parameters}");
        let message: String = serde_json::from_slice(&answer.body).unwrap();
        assert!(message.contains(text), "{parameters}: {message}");
    }
}

#[test]
fn switched_off_nothing_is_written_and_the_answer_says_so() {
    let hook = Hook::start();
    let dir = dir_with(&configuration(&hook));
    let server = Server::start(dir.path(), &["--decisions.max-size=0"]);
    server.post_alerts(&json!([alert(&json!({"alertname": "Plain"}))]));
    hook.wait("it is told", |told| (!told.is_empty()).then_some(()));
    let page = server.get("/api/v2/carillon/decisions");
    assert_eq!((&page["decisions"], &page["nodes"][0]["state"]), (&json!([]), &json!("off")));
    assert!(!dir.path().join("data/decisions").exists());
}
