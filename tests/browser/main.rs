//! The pages in a real Chromium, as people use them: on a phone and on a desk, with and without script, on one node and
//! on three, with hostile labels. Skipped, with a message, where Chromium is not installed. `CARILLON_SHOTS` names a
//! folder for screenshots.

#![allow(clippy::disallowed_methods, reason = "the real program runs in real time")]

mod driver;
#[path = "../support/mod.rs"]
mod support;
mod tasks;

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use driver::{Driver, Look, checker};
use serde_json::{Value, json};
use support::{Server, dir_with, hook::Hook, pass, ring::Ring, wait_for};
use tasks::{Desk, EVIL};

const PHONE: Look = Look { width: 360, dark: false, script: true };
const DESK: Look = Look { width: 1440, dark: false, script: true };

fn config(hook: &Hook) -> String {
    format!(
        "
route:
  receiver: ops
  group_by: [alertname, dc]
  group_wait: 1s
  group_interval: 10s
  repeat_interval: 4h
  routes:
    - matchers: [team=payments]
      receiver: oncall-db
      group_by: [alertname, cluster]
    - matchers: [team=broken]
      receiver: broken
    - matchers: [env=staging]
      receiver: ops
      mute_time_intervals: [always]
    - matchers: [severity=info]
      receiver: ops
      active_time_intervals: [office-hours]
inhibit_rules:
  - name: a host that is down quiets its machines
    source_matchers: [alertname=HostDown]
    target_matchers: [alertname=InstanceUnreachable]
    equal: [dc]
time_intervals:
  - name: always
    time_intervals: [{{times: [{{start_time: '00:00', end_time: '24:00'}}]}}]
  - name: office-hours
    time_intervals: [{{weekdays: ['monday:friday'], times: [{{start_time: '09:00', end_time: '12:30'}}, {{start_time: '13:30', end_time: '18:00'}}], location: Europe/Berlin}}]
receivers:
  - name: ops
    webhook_configs: [{{url: '{url}'}}]
  - name: oncall-db
    webhook_configs: [{{url: '{url}'}}, {{url: '{url}?second'}}]
  - name: broken
    webhook_configs: [{{url: 'http://127.0.0.1:9/nobody'}}]
",
        url = hook.url()
    )
}

fn alert(labels: &[(&str, &str)], annotations: &[(&str, &str)], minutes: i64) -> Value {
    let map = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(n, v)| ((*n).to_owned(), Value::from(*v))).collect::<serde_json::Map<_, _>>()
    };
    json!({
        "labels": map(labels), "annotations": map(annotations), "generatorURL": "http://prometheus.example/graph?g0.expr=up",
        "startsAt": (Utc::now() - TimeDelta::minutes(minutes)).to_rfc3339(),
        "endsAt": (Utc::now() + TimeDelta::hours(2)).to_rfc3339(),
    })
}

/// A night: some of everything.
fn night() -> Value {
    let mut alerts = vec![
        alert(
            &[
                ("alertname", "PostgresDown"),
                ("cluster", "pay-prod"),
                ("team", "payments"),
                ("severity", "critical"),
                ("instance", "db-3.pay.example.net:9187"),
                ("job", "postgres"),
            ],
            &[
                ("summary", "Primary has not answered for 4 min; writes fail."),
                ("runbook", "https://runbooks.example.net/pg/primary-down"),
            ],
            18,
        ),
        alert(
            &[
                ("alertname", "HostDown"),
                ("dc", "fra2"),
                ("severity", "critical"),
                ("instance", "hv-1407.fra2.example.net:9100"),
                ("job", "node"),
            ],
            &[("summary", "Host has not answered for 5 min."), ("dashboard", "javascript:alert(1)")],
            17,
        ),
        alert(
            &[
                ("alertname", "HostDown"),
                ("dc", "fra2"),
                ("severity", "critical"),
                ("instance", "hv-1408.fra2.example.net:9100"),
                ("job", "node"),
            ],
            &[("summary", "Host has not answered for 5 min.")],
            17,
        ),
        alert(
            &[("alertname", "QueueNotDraining"), ("team", "broken"), ("severity", "warning"), ("queue", "thumbnails")],
            &[("summary", "38 jobs wait; none finished for 5 min.")],
            30,
        ),
        alert(
            &[("alertname", "StagingDeployFailed"), ("env", "staging"), ("severity", "warning")],
            &[("summary", "Deploy 4711 failed.")],
            200,
        ),
        alert(
            &[("alertname", EVIL), ("dc", EVIL), ("severity", EVIL), ("very_long", &"x".repeat(300))],
            &[("summary", EVIL), ("link", "data:text/html,<script>alert(1)</script>")],
            3,
        ),
    ];
    for n in 0..9 {
        alerts.push(alert(
            &[
                ("alertname", "InstanceUnreachable"),
                ("dc", "fra2"),
                ("severity", "warning"),
                ("instance", &format!("vm-{n}.fra2.example.net:9100")),
            ],
            &[("summary", "No answer for 2 min.")],
            16,
        ));
    }
    for n in 0..60 {
        let team = ["web", "mail", "search"][n % 3];
        alerts.push(alert(
            &[
                ("alertname", &format!("Alert{:02}", n / 2)),
                ("dc", "ams1"),
                ("team", team),
                ("severity", "warning"),
                ("instance", &format!("host-{n}.ams1.example.net:9100")),
            ],
            &[("summary", &format!("Value is {n}, limit 0."))],
            n as i64 * 7,
        ));
    }
    Value::from(alerts)
}

#[test]
fn people_see_silence_and_understand_on_a_phone_and_on_a_desk() {
    let Some(driver) = Driver::start() else { return };
    for look in [PHONE, DESK] {
        let hook = Hook::start();
        let dir = dir_with(&config(&hook));
        let server = Server::start(dir.path(), &[]);
        server.post_alerts(&night());
        hook.wait("the night is told", |told| {
            told.iter()
                .any(|t| t.path.starts_with("/hook") && t.alerts("alertname").contains(&"PostgresDown".to_owned()))
                .then_some(())
        });
        let window = driver.open(look);
        window.set_zone("Europe/Berlin");
        let desk = Desk { window: &window, base: format!("http://{}", server.address) };
        desk.reads_and_filters();
        desk.follows_old_bookmarks();
        desk.silences_what_is_chosen();
        desk.silences_a_group_in_two_clicks();
        desk.edits_extends_and_expires();
        desk.expires_several();
        desk.asks_why();
        desk.looks_at_routes();
        desk.looks_at_cluster_and_status();
        desk.sees_news_without_losing_the_place(
            &server,
            &alert(&[("alertname", "BrandNew"), ("dc", "x"), ("severity", "critical")], &[], 0),
        );
        if look.width > 1000 {
            desk.works_with_keys_alone();
        }
        assert!(window.has_no_dialog(), "nothing that was a label has run");
        let complaints: Vec<String> =
            window.complaints().into_iter().filter(|line| !line.contains("status of 422")).collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
}

#[test]
fn reading_silencing_and_expiring_need_no_script() {
    let Some(driver) = Driver::start() else { return };
    for width in [360, 1440] {
        let hook = Hook::start();
        let dir = dir_with(&config(&hook));
        let server = Server::start(dir.path(), &[]);
        server.post_alerts(&night());
        let window = driver.open(Look { width, dark: false, script: false });
        let desk = Desk { window: &window, base: format!("http://{}", server.address) };
        desk.reads_silences_and_expires_without_script();
        assert!(window.has_no_dialog());
    }
}

/// Every page, in all looks: nothing wider than the window, nothing that the accessibility checker finds.
#[test]
fn every_page_is_accessible_and_fits() {
    let Some(driver) = Driver::start() else { return };
    let checker = checker();
    let hook = Hook::start();
    let dir = dir_with(&config(&hook));
    let server = Server::start(dir.path(), &[]);
    server.post_alerts(&night());
    hook.wait("the night is told", |told| (told.len() > 5).then_some(()));
    let pages = tasks::pages(&server);
    let mut found = Vec::new();
    for (width, dark) in [(360, false), (360, true), (1440, false), (1440, true), (320, false), (768, false)] {
        let window = driver.open(Look { width, dark, script: true });
        for (name, path) in &pages {
            window.go(&format!("http://{}{path}", server.address));
            window.see("main");
            window.shoot(&format!("page-{name}"));
            let overflow = window.overflow();
            if overflow > 0 {
                found.push(format!("{name} at {width}: {overflow} px wider than the window"));
            }
            if let Some(checker) = checker.as_ref().filter(|_| width == 360 || width == 1440) {
                found.extend(
                    window
                        .violations(checker)
                        .into_iter()
                        .map(|line| format!("{name} at {width}, dark {dark}: {line}")),
                );
            }
        }
        let complaints = window.complaints().into_iter().filter(|line| !line.contains("/silences/none"));
        found.extend(complaints.map(|line| format!("at {width}: {line}")));
    }
    found.sort();
    found.dedup();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn three_nodes_are_one_to_look_at() {
    let Some(driver) = Driver::start() else { return };
    let hook = Hook::start();
    let ring = Ring::new(3, &config(&hook), &[]);
    ring.start();
    let all = night();
    for node in &ring.nodes {
        assert!(node.post_alerts(&all));
    }
    hook.wait("the night is told", |told| {
        told.iter().any(|t| t.alerts("alertname").contains(&"PostgresDown".to_owned())).then_some(())
    });
    for look in [DESK, PHONE] {
        let window = driver.open(look);
        let desk = Desk { window: &window, base: format!("http://{}", ring.nodes[0].web) };
        desk.sees_all_nodes(3);
        desk.asks_why_on_three_nodes();
        // What is silenced on one node is quiet on the other.
        desk.silences_by_filter("alertname=\"Alert07\"", &format!("planned, {}", look.width));
        let other = Desk { window: &window, base: format!("http://{}", ring.nodes[1].web) };
        wait_for("the other node knows the silence", Duration::from_secs(10), || {
            window.go(&format!("{}/silences?filter={}", other.base, look.width));
            window.source().contains("planned, ").then_some(())
        });
    }
    ring.nodes[2].kill();
    wait_for("the others miss it", Duration::from_secs(30), || {
        ring.nodes[0]
            .get("/api/v2/status")
            .filter(|s| s["cluster"]["peers"].as_array().is_some_and(|p| p.len() == 2))
            .map(|_| ())
    });
    pass(Duration::from_millis(300));
    for look in [DESK, PHONE] {
        let window = driver.open(look);
        Desk { window: &window, base: format!("http://{}", ring.nodes[0].web) }.sees_one_missing();
        assert!(window.has_no_dialog());
    }
}
