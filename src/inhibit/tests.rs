use chrono::{DateTime, TimeDelta};

use super::*;
use crate::alert::{
    Alert,
    matcher::{ParseMode, parse_matchers},
};

fn at(seconds: i64) -> Time {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

fn matchers(text: &str) -> Matchers {
    Matchers::new(parse_matchers(ParseMode::Utf8, text).unwrap())
}

fn rule(source: &str, target: &str, equal: &[&str]) -> InhibitRule {
    InhibitRule {
        name: String::new(),
        source: matchers(source),
        target: matchers(target),
        equal: equal.iter().map(|name| (*name).to_owned()).collect(),
    }
}

/// `a=1 b=2`
fn labels(text: &str) -> Labels {
    Labels::from_pairs(text.split(' ').filter_map(|pair| pair.split_once('=')))
}

fn alert(text: &str, ends: i64) -> Arc<Entry> {
    Arc::new(Entry::new(Alert {
        labels: labels(text),
        annotations: Labels::default(),
        generator_url: "".into(),
        starts_at: at(0),
        ends_at: Some(at(ends)),
        updated_at: at(0),
        timeout: false,
        period: 1,
        accepted_at: at(0),
        explicit: false,
        bounds: None,
    }))
}

fn inhibited(inhibitor: &Inhibitor, target: &str, now: i64) -> Option<(Fingerprint, usize)> {
    inhibitor.inhibited_by(&labels(target), at(now))
}

#[test]
fn an_active_source_inhibits_targets_with_equal_labels() {
    let inhibitor = Inhibitor::new(&[rule("sev=critical", "sev=~\"warning|info\"", &["cluster", "zone"])]);
    let source = alert("sev=critical cluster=a", 100);
    inhibitor.observe(&source);
    assert_eq!(inhibited(&inhibitor, "sev=warning cluster=a", 50), Some((source.fingerprint(), 0)));
    assert_eq!(inhibited(&inhibitor, "sev=info cluster=a", 50), Some((source.fingerprint(), 0)));
    for (target, now) in [
        ("sev=warning cluster=b", 50),
        ("sev=warning cluster=a zone=z", 50),
        ("sev=page cluster=a", 50),
        ("sev=warning cluster=a", 100),
    ] {
        assert_eq!(inhibited(&inhibitor, target, now), None, "{target}");
    }
}

#[test]
fn a_refreshed_source_inhibits_without_being_observed_again() {
    let inhibitor = Inhibitor::new(&[rule("s=1", "t=1", &[])]);
    let source = alert("s=1", 100);
    inhibitor.observe(&source);
    source.lock().ends_at = Some(at(500));
    assert!(inhibited(&inhibitor, "t=1", 400).is_some());
}

#[test]
fn an_alert_on_both_sides_is_inhibited_only_by_pure_sources() {
    let inhibitor = Inhibitor::new(&[rule("s=1", "t=1", &["c"])]);
    let both = alert("s=1 t=1 c=x", 100);
    inhibitor.observe(&both);
    assert_eq!(inhibited(&inhibitor, "s=1 t=1 c=x", 50), None);
    assert_eq!(inhibited(&inhibitor, "s=1 t=1 c=x o=1", 50), None);
    assert_eq!(inhibited(&inhibitor, "t=1 c=x", 50), Some((both.fingerprint(), 0)));
    // Another source of the same slot is tried.
    let pure = alert("s=1 c=x", 90);
    inhibitor.observe(&pure);
    assert_eq!(inhibited(&inhibitor, "s=1 t=1 c=x", 50), Some((pure.fingerprint(), 0)));
}

#[test]
fn the_choice_does_not_depend_on_the_order_of_arrival() {
    let sources = [alert("s=1 i=1", 100), alert("s=1 i=2", 200), alert("s=1 i=3", 150)];
    let least = sources.iter().map(|source| source.fingerprint()).min().unwrap();
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let inhibitor = Inhibitor::new(&[rule("s=1", "t=1", &[])]);
        order.into_iter().for_each(|i| inhibitor.observe(&sources[i]));
        assert_eq!(inhibited(&inhibitor, "t=1", 50), Some((least, 0)));
    }
}

#[test]
fn the_first_rule_that_inhibits_wins() {
    let rules = [
        rule("s=none", "t=1", &[]),
        rule("s=2", "x!=1", &[]),
        rule("s=1", "t=1", &[]),
        rule("s!=\"\"", "u=~\"a|b\"", &["u"]),
        rule("s=~\".+\"", "", &["missing"]),
    ];
    let inhibitor = Inhibitor::new(&rules);
    let (one, two) = (alert("s=1 u=a", 100), alert("s=2 u=b", 100));
    inhibitor.observe(&one);
    assert_eq!(inhibited(&inhibitor, "t=1", 50), Some((one.fingerprint(), 2)));
    inhibitor.observe(&two);
    assert_eq!(inhibited(&inhibitor, "t=1", 50), Some((two.fingerprint(), 1)));
    assert_eq!(inhibited(&inhibitor, "t=1 x=1", 50), Some((one.fingerprint(), 2)));
    assert_eq!(inhibited(&inhibitor, "x=1 u=b", 50), Some((two.fingerprint(), 3)));
    assert_eq!(inhibited(&inhibitor, "x=1", 50).map(|(_, rule)| rule), Some(4));
}

#[test]
fn a_forgotten_source_inhibits_no_more() {
    let inhibitor = Inhibitor::new(&[rule("s=1", "t=1", &[]), rule("s=1", "t=2", &["c"])]);
    let source = alert("s=1 c=x", 100);
    inhibitor.observe(&source);
    inhibitor.observe(&source);
    inhibitor.forget(source.fingerprint());
    assert_eq!((inhibited(&inhibitor, "t=1", 50), inhibited(&inhibitor, "t=2 c=x", 50)), (None, None));
    assert!(inhibitor.read().slots.iter().all(HashMap::is_empty) && inhibitor.read().places.is_empty());
}

#[test]
fn a_source_that_ended_long_ago_is_dropped_and_comes_back_when_observed() {
    let inhibitor = Inhibitor::new(&[rule("s=1", "t=1", &[])]);
    let source = alert("s=1", 100);
    inhibitor.observe(&source);
    assert_eq!(inhibited(&inhibitor, "t=1", 200), None);
    assert_eq!(inhibitor.read().places.len(), 1);
    assert_eq!(inhibited(&inhibitor, "t=1", 500), None);
    assert_eq!(inhibitor.read().places.len(), 0);
    source.lock().ends_at = Some(at(900));
    inhibitor.observe(&source);
    assert!(inhibited(&inhibitor, "t=1", 510).is_some());
}

#[test]
fn an_alert_meets_only_the_rules_that_name_its_values() {
    let rules: Vec<InhibitRule> = (0..500)
        .map(|k| {
            rule(&format!("alertname=down,svc=s{k}"), &format!("sev=~\"warning|info\",team=t{}", k % 20), &["svc"])
        })
        .collect();
    let index = Index::new(rules.iter().map(|rule| &*rule.target));
    let candidates = |text: &str| {
        let mut found = Vec::new();
        index.for_each(&labels(text), |rule| {
            found.push(rule);
            true
        });
        found
    };
    assert_eq!(candidates("sev=warning team=t3").len(), 25);
    assert!(candidates("sev=warning team=t3").is_sorted());
    assert!(candidates("sev=warning").is_empty());
}
