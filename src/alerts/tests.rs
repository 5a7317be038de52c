use std::borrow::Cow;

use chrono::{DateTime, TimeDelta};

use super::*;
use crate::alert::Labels;

fn at(seconds: i64) -> Time {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

fn post(name: &'static str, instance: usize, starts: i64, ends: i64) -> Posted<'static> {
    let labels = vec![
        (Cow::Borrowed("alertname"), Cow::Borrowed(name)),
        (Cow::Borrowed("instance"), Cow::Owned(instance.to_string())),
    ];
    Posted {
        fingerprint: Labels::from_sorted(&labels).fingerprint(),
        labels,
        annotations: vec![],
        generator_url: Cow::Borrowed("http://p/"),
        starts_at: at(starts),
        ends_at: at(ends),
        timeout: false,
        start_given: true,
    }
}

fn store(per_alertname_limit: usize) -> Alerts {
    Alerts::new(AlertsConfig { per_alertname_limit, retention: Duration::from_secs(1_000) })
}

/// The change that one post makes; `None`: refreshed or refused.
fn change(alerts: &Alerts, posted: &Posted<'_>, now: i64) -> Option<Change> {
    let outcome = alerts.put(std::slice::from_ref(posted), at(now));
    outcome.changes.first().map(|(_, change)| *change)
}

fn period(alerts: &Alerts, posted: &Posted<'_>) -> u64 {
    alerts.get(posted.fingerprint).unwrap().lock().period
}

#[test]
fn a_refresh_is_counted_and_moves_the_shared_entry() {
    let alerts = store(0);
    let first = alerts.put(&[post("a", 1, 5, 100), post("a", 2, 5, 100)], at(10));
    assert_eq!(first.changes.iter().map(|(_, c)| *c).collect::<Vec<_>>(), [Change::New, Change::New]);
    let second = alerts.put(&[post("a", 1, 5, 200), post("a", 2, 5, 200)], at(20));
    assert_eq!((second.changes.len(), second.refreshed), (0, 2));
    let (entry, _) = &first.changes[0];
    assert_eq!(entry.alert().ends_at, Some(at(200)));
    assert_eq!(alerts.len(), 2);
    assert_eq!(alerts.snapshot().len(), 2);
}

#[test]
fn the_repeated_end_of_one_replica_does_not_end_what_the_other_fires() {
    let alerts = store(0);
    let ended = post("a", 1, 5, 30);
    let refired = post("a", 1, 9, 300);
    assert_eq!(change(&alerts, &post("a", 1, 5, 100), 10), Some(Change::New));
    assert_eq!(change(&alerts, &ended, 30), Some(Change::Resolved));
    assert_eq!(change(&alerts, &refired, 40), Some(Change::Refired));
    assert_eq!(change(&alerts, &ended, 50), None);
    assert!(!alerts.get(ended.fingerprint).unwrap().resolved_at(at(60)));
    assert_eq!(period(&alerts, &ended), 2);
    assert_eq!(change(&alerts, &post("a", 1, 9, 70), 70), Some(Change::Resolved));
}

#[test]
fn two_nodes_that_hear_of_an_end_and_of_the_next_firing_at_once_agree_that_it_fires() {
    let (here, there) = (store(0), store(0));
    let record = |alerts: &Alerts| alerts.get(post("a", 1, 0, 0).fingerprint).unwrap().alert();
    let tell = |from: &Alerts, to: &Alerts, now| to.insert(&record(from), at(now)).map(|(_, change)| change);
    here.put(&[post("a", 1, 43, 150)], at(44));
    tell(&here, &there, 44);
    // Behind a load balancer, in one moment: one node hears of the end, the other of what came after it.
    assert_eq!(change(&here, &post("a", 1, 43, 107), 118), Some(Change::Resolved));
    assert_eq!(change(&there, &post("a", 1, 112, 154), 118), None);
    tell(&here, &there, 118);
    assert_eq!(tell(&there, &here, 118), Some(Change::Refired));
    assert!(!record(&here).resolved_at(at(120)) && !record(&there).resolved_at(at(120)));
    // The end of the first firing waited in a socket; that of the second holds everywhere.
    assert_eq!(change(&there, &post("a", 1, 43, 107), 130), None);
    assert!(!record(&there).resolved_at(at(130)));
    assert_eq!(change(&here, &post("a", 1, 112, 153), 154), Some(Change::Resolved));
    assert_eq!(tell(&here, &there, 154), Some(Change::Resolved));
}

#[test]
fn a_sender_that_fires_with_the_same_start_can_end_it_with_the_same_words() {
    let alerts = store(0);
    let (fires, ended) = (post("a", 1, 5, 300), post("a", 1, 5, 30));
    for (posted, now, expected) in [
        (&fires, 10, Change::New),
        (&ended, 40, Change::Resolved),
        (&fires, 50, Change::Refired),
        (&ended, 60, Change::Resolved),
    ] {
        assert_eq!(change(&alerts, posted, now), Some(expected));
    }
}

#[test]
fn clean_up_takes_what_is_over_and_owed_to_nobody() {
    let alerts = store(0);
    alerts.put(&[post("a", 1, 5, 20), post("a", 2, 5, 20), post("a", 3, 5, 200)], at(10));
    let owed = post("a", 2, 0, 0).fingerprint;
    assert_eq!(alerts.gc(at(30), &|entry| entry.fingerprint() == owed), [post("a", 1, 0, 0).fingerprint]);
    assert_eq!(alerts.len(), 2);
    assert_eq!(alerts.gc(at(30), &|_| false), [owed]);
}

#[test]
fn what_comes_back_while_the_clean_up_asks_stays() {
    let alerts = store(0);
    alerts.put(&[post("a", 1, 5, 20)], at(10));
    let gone = alerts.gc(at(30), &|_| {
        alerts.put(&[post("a", 1, 5, 100)], at(30));
        false
    });
    assert!(gone.is_empty());
    assert_eq!(alerts.len(), 1);
}

#[test]
fn a_forgotten_alert_goes_on_counting_its_periods() {
    let alerts = store(0);
    let (fires, again) = (post("a", 1, 5, 20), post("a", 1, 40, 90));
    alerts.put(std::slice::from_ref(&fires), at(10));
    alerts.gc(at(30), &|_| false);
    assert_eq!(change(&alerts, &again, 50), Some(Change::New));
    assert_eq!(period(&alerts, &again), 2);
    alerts.gc(at(100), &|_| false);
    let repeated_end = post("a", 1, 40, 90);
    assert_eq!(change(&alerts, &repeated_end, 110), Some(Change::New));
    assert_eq!(period(&alerts, &repeated_end), 2);
}

#[test]
fn the_memory_of_periods_ends_with_the_retention() {
    let alerts = store(0);
    alerts.put(&[post("a", 1, 5, 20)], at(10));
    alerts.gc(at(30), &|_| false);
    alerts.gc(at(2_000), &|_| false);
    let again = post("a", 1, 2_000, 2_100);
    alerts.put(std::slice::from_ref(&again), at(2_010));
    assert_eq!(period(&alerts, &again), 1);
}

#[test]
fn restored_alerts_that_ran_out_fire_for_one_grace() {
    let old = store(0);
    old.put(&[post("a", 1, 5, 20), post("a", 2, 5, 900), post("a", 3, 5, 8)], at(10));
    let kept: Vec<Alert> = old.snapshot().iter().map(|entry| entry.alert()).collect();
    let alerts = store(0);
    alerts.restore(kept, at(100));
    let end = |instance| alerts.get(post("a", instance, 0, 0).fingerprint).unwrap().alert().ends_at;
    assert_eq!((end(1), end(2), end(3)), (Some(at(220)), Some(at(900)), Some(at(8))));
}

#[test]
fn a_record_of_a_peer_is_told_once() {
    let (here, there) = (store(0), store(0));
    let posted = post("a", 1, 5, 100);
    let (theirs, _) = there.put(std::slice::from_ref(&posted), at(8)).changes.remove(0);
    assert_eq!(here.insert(&theirs.alert(), at(9)).map(|(_, c)| c), Some(Change::New));
    assert!(here.insert(&theirs.alert(), at(10)).is_none());
    here.put(std::slice::from_ref(&posted), at(11));
    assert_eq!(here.get(posted.fingerprint).unwrap().alert().accepted_at, at(8));
    there.put(&[post("a", 1, 5, 12)], at(12));
    assert_eq!(here.insert(&theirs.alert(), at(13)).map(|(_, c)| c), Some(Change::Resolved));
}

#[test]
fn a_full_name_takes_no_new_alert_until_one_has_ended() {
    let alerts = store(2);
    let outcome = alerts.put(
        &[post("a", 1, 5, 100), post("a", 2, 5, 50), post("a", 3, 5, 100), post("b", 1, 5, 100), post("a", 1, 5, 110)],
        at(10),
    );
    assert_eq!((outcome.changes.len(), outcome.refreshed), (3, 1));
    assert_eq!(outcome.limited, ["a".into()]);
    // The second one is refreshed beyond the end that was counted, then ends.
    alerts.put(&[post("a", 2, 5, 70)], at(45));
    assert_eq!(alerts.put(&[post("a", 3, 5, 100)], at(60)).limited.len(), 1);
    assert_eq!(change(&alerts, &post("a", 3, 5, 120), 80), Some(Change::New));
    // It lost its place: it may still be ended, but not fire.
    assert_eq!(alerts.put(&[post("a", 2, 82, 200)], at(85)).limited.len(), 1);
    assert_eq!(change(&alerts, &post("a", 2, 5, 70), 85), Some(Change::Resolved));
    alerts.gc(at(130), &|_| false);
    assert_eq!(alerts.len(), 0);
    assert_eq!(change(&alerts, &post("a", 2, 130, 200), 131), Some(Change::New));
}
