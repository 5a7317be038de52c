//! The rules and the dashboard ask for metrics that a node really has.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use serde_json::{Value, json};

use crate::{
    deploy, output, read,
    support::{hook::Hook, ring::Ring, wait_for},
    yaml,
};

pub const FILES: &[&str] = &["monitoring/alerts.yml", "monitoring/alerts_test.yml", "monitoring/dashboard.json"];

/// Names of metrics in an expression.
fn metrics_in(expr: &str, found: &mut BTreeSet<String>) {
    for word in expr.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
        if ["alertmanager_", "process_", "net_conntrack_", "promhttp_"].iter().any(|prefix| word.starts_with(prefix)) {
            found.insert(word.to_owned());
        }
    }
}

fn rules() -> Vec<Value> {
    let file = yaml("monitoring/alerts.yml");
    file["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

fn panels() -> Vec<Value> {
    let dashboard: Value = serde_json::from_str(&read("monitoring/dashboard.json")).unwrap();
    dashboard["panels"].as_array().unwrap().clone()
}

/// What two nodes show when alerts have been told, and suppressed, and one of the nodes has gone.
fn scrape() -> String {
    let hook = Hook::start();
    let config = format!(
        "
route: {{receiver: hook, group_by: [alertname], group_wait: 100ms, group_interval: 1s}}
receivers: [{{name: hook, webhook_configs: [{{url: '{}'}}]}}]
",
        hook.url()
    );
    let ring = Ring::new(2, &config, &[]);
    ring.start();
    let node = &ring.nodes[0];
    let silence = json!({
        "matchers": [{"name": "alertname", "value": "Quiet", "isRegex": false}], "createdBy": "test", "comment": "",
        "startsAt": "2024-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z",
    });
    node.post_silence(&silence).unwrap();
    for name in ["Quiet", "Loud"] {
        assert!(node.post_alerts(&json!([{"labels": {"alertname": name}}])));
    }
    hook.wait("the loud one is told", |told| (!told.is_empty()).then_some(()));
    wait_for("the quiet one is left out", Duration::from_secs(20), || {
        node.metric("alertmanager_notifications_suppressed_total").filter(|count| *count > 0.0)
    });
    node.metrics().unwrap()
}

#[test]
fn every_metric_that_rules_and_dashboard_use_exists() {
    let mut used = BTreeSet::new();
    rules().iter().for_each(|rule| metrics_in(rule["expr"].as_str().unwrap(), &mut used));
    for panel in panels() {
        for target in panel["targets"].as_array().map(Vec::as_slice).unwrap_or_default() {
            metrics_in(target["expr"].as_str().unwrap(), &mut used);
        }
    }
    assert!(used.len() > 40, "{used:?}");
    let text = scrape();
    let has = |name: &String| {
        text.lines().any(|line| line.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with(['{', ' '])))
    };
    let missing: Vec<&String> = used.iter().filter(|name| !has(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_rule_has_a_name_a_severity_and_words() {
    let mut names = BTreeSet::new();
    for rule in rules() {
        let name = rule["alert"].as_str().unwrap().to_owned();
        assert!(["critical", "warning", "none"].contains(&rule["labels"]["severity"].as_str().unwrap()), "{name}");
        assert!(rule["annotations"]["summary"].is_string(), "{name}");
        assert!(names.insert(name));
    }
    let tests = yaml("monitoring/alerts_test.yml");
    for test in tests["tests"].as_array().unwrap() {
        for case in test["alert_rule_test"].as_array().unwrap() {
            assert!(names.contains(case["alertname"].as_str().unwrap()));
        }
    }
}

#[test]
fn the_dashboards_panels_do_not_overlap_and_each_says_what_it_shows() {
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in panels() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()));
        let side = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(side("x") + side("w") <= 24);
        for y in side("y")..side("y") + side("h") {
            for x in side("x")..side("x") + side("w") {
                assert!(taken.insert((x, y)), "{panel}");
            }
        }
        if panel["type"] != "row" {
            assert!(panel["description"].as_str().is_some_and(|text| !text.is_empty()));
            assert!(!panel["targets"].as_array().unwrap().is_empty());
        }
    }
}

#[test]
fn promtool_takes_the_rules_and_they_fire_when_they_should() {
    let beside_the_peer = std::env::var_os("CARILLON_PEER_DIR").map(|dir| PathBuf::from(dir).join("promtool"));
    let program = beside_the_peer.filter(|path| path.exists()).unwrap_or_else(|| "promtool".into());
    for arguments in [
        ["check", "rules", "monitoring/alerts.yml"],
        ["test", "rules", "monitoring/alerts_test.yml"],
        ["check", "rules", "docker/rules.yml"],
    ] {
        let Some(mut command) = crate::tool(program.to_str().unwrap()) else { return };
        command.args(&arguments[..2]).arg(deploy(arguments[2])).current_dir(deploy("monitoring"));
        output(command);
    }
}
