//! The timelines of reference/pipeline.md 11 that concern one node, and what groups do besides.

use super::{
    outside,
    world::{Answer, Setup, World},
};
use crate::{config::model::InhibitRule, timeinterval::TimeInterval};

const MS: f64 = 0.001;

#[tokio::test(start_paused = true)]
async fn repeats_come_at_every_tick_until_the_end_is_told_once() {
    let w = World::new(Setup::new(1.0, 1.0, MS));
    w.at(1.0).await;
    w.fire(&["a"]);
    w.at(3.5).await;
    w.resolve(&["a"]);
    w.at(9.0).await;
    assert_eq!(
        w.hook(0).taken(),
        ["2.0 first notification: a", "3.0 repeat interval elapsed: a", "4.0 all alerts resolved:  / a"]
    );
    assert_eq!(w.groups(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_repeat_waits_for_the_grid_of_group_interval() {
    let w = World::new(Setup::new(1.0, 2.0, 3.0));
    w.at(1.0).await;
    w.fire(&["a"]);
    w.at(7.0).await;
    assert_eq!(w.hook(0).taken(), ["2.0 first notification: a", "6.0 repeat interval elapsed: a"]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_receiver_does_not_shift_the_repeats() {
    let w = World::new(Setup::new(1.0, 2.0, 4.0));
    w.hook(0).script([Answer::TakeAfter(0.5), Answer::TakeAfter(0.5), Answer::TakeAfter(0.5)]);
    w.fire(&["a"]);
    w.at(12.0).await;
    let starts: Vec<f64> = w.hook(0).heard().iter().map(|heard| (heard.at * 10.0).round() / 10.0).collect();
    assert_eq!(starts, [1.0, 5.0, 9.0]);
}

#[tokio::test(start_paused = true)]
async fn a_new_alert_in_a_notified_group_is_sent_with_the_others() {
    let w = World::new(Setup::new(1.0, 1.0, 4.9));
    w.at(1.0).await;
    w.fire(&["a"]);
    w.at(1.7).await;
    w.fire(&["b"]);
    w.at(3.3).await;
    w.fire(&["c", "d", "e"]);
    w.at(9.5).await;
    assert_eq!(
        w.hook(0).taken(),
        ["2.0 first notification: a b", "4.0 new alerts added: a b c d e", "9.0 repeat interval elapsed: a b c d e"]
    );
}

#[tokio::test(start_paused = true)]
async fn an_alert_that_nobody_posts_again_resolves_by_itself() {
    let w = World::new(Setup { resolve_timeout: 10.0, ..Setup::new(1.0, 5.0, 3600.0) });
    w.at(1.0).await;
    w.fire(&["a", "b", "c"]);
    w.at(20.0).await;
    let taken = w.hook(0).taken();
    assert_eq!(taken, ["2.0 first notification: a b c", "12.0 all alerts resolved:  / a b c"]);
    assert_eq!(w.hook(0).heard()[1].alerts[0].ends_at, Some(w.time(11.0)));
}

#[tokio::test(start_paused = true)]
async fn with_and_without_send_resolved_side_by_side() {
    let w = World::new(Setup { hooks: vec![true, false], resolve_timeout: 10.0, ..Setup::new(1.0, 5.0, 3600.0) });
    w.at(1.0).await;
    w.fire(&["v1", "v2"]);
    w.at(3.0).await;
    w.resolve(&["v1"]);
    w.fire(&["v3"]);
    w.at(8.0).await;
    w.fire(&["v3"]);
    w.at(15.0).await;
    assert_eq!(
        w.hook(0).taken(),
        ["2.0 first notification: v1 v2", "7.0 new alerts added: v2 v3 / v1", "12.0 some alerts resolved: v3 / v2"]
    );
    assert_eq!(w.hook(1).taken(), ["2.0 first notification: v1 v2", "7.0 new alerts added: v2 v3"]);
}

#[tokio::test(start_paused = true)]
async fn without_send_resolved_an_end_is_noted_in_silence_and_counted() {
    let w = World::new(Setup { hooks: vec![false], ..Setup::new(0.0, 1.0, 3600.0) });
    w.fire(&["a"]);
    w.at(0.5).await;
    w.resolve(&["a"]);
    w.at(3.0).await;
    assert_eq!(w.hook(0).heard().len(), 1);
    assert_eq!(w.counts("other"), [2, 1, 0, 0]);
    w.fire(&["a"]);
    w.at(4.0).await;
    assert_eq!(w.hook(0).taken()[1], "3.0 first notification: a");
}

fn rule(source: &str, target: &str) -> InhibitRule {
    InhibitRule {
        name: String::new(),
        source: outside::matchers(source),
        target: outside::matchers(target),
        equal: vec!["job".to_owned(), "zone".to_owned()],
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_takes_its_target_out_of_the_batch_while_it_fires() {
    let inhibit = vec![rule("alertname=\"JobDown\"", "alertname=\"InstanceDown\"")];
    let w = World::new(Setup { inhibit, ..Setup::new(1.0, 1.0, 1.0) });
    let job = [("job", "j"), ("zone", "z")];
    let labels = |name: &'static str| [("alertname", name), job[0], job[1]];
    w.at(1.0).await;
    w.put(&[w.posted(&labels("InstanceDown"), None, None)]);
    w.at(2.2).await;
    w.put(&[w.posted(&labels("JobDown"), None, None)]);
    w.at(3.6).await;
    w.put(&[w.posted(&labels("JobDown"), Some(w.time(2.2)), Some(w.time(3.6)))]);
    w.at(4.5).await;
    assert_eq!(
        w.hook(0).taken(),
        [
            "2.0 first notification: InstanceDown",
            "3.0 new alerts added: JobDown",
            "4.0 some alerts resolved: InstanceDown / JobDown"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_target_that_was_always_inhibited_is_in_the_batch_that_tells_the_end_of_its_source() {
    let inhibit = vec![rule("alertname=\"source\"", "alertname=\"target\"")];
    let w = World::new(Setup { inhibit, ..Setup::new(1.0, 1.0, 1.0) });
    w.at(1.0).await;
    w.fire(&["source", "target"]);
    w.at(2.6).await;
    w.resolve(&["source", "target"]);
    w.at(6.0).await;
    let taken = w.hook(0).taken();
    assert_eq!(taken, ["2.0 first notification: source", "3.0 all alerts resolved:  / source target"]);
    assert_eq!(w.groups(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_silence_takes_one_of_two_alerts_out_as_long_as_it_lasts() {
    let w = World::new(Setup::new(1.0, 1.0, MS));
    w.at(1.0).await;
    w.fire(&["a", "b"]);
    w.at(2.5).await;
    outside::silence(&w.silences, "alertname=a", w.time(4.5)).await;
    w.at(5.5).await;
    assert_eq!(
        w.hook(0).taken(),
        [
            "2.0 first notification: a b",
            "3.0 repeat interval elapsed: b",
            "4.0 repeat interval elapsed: b",
            "5.0 repeat interval elapsed: a b"
        ]
    );
    assert_eq!(w.metric("notifications_suppressed_total{reason=\"silence\"}"), 2);
}

#[tokio::test(start_paused = true)]
async fn when_a_silence_is_taken_away_its_alerts_are_told_at_the_next_tick() {
    let w = World::new(Setup::new(1.0, 1.0, MS));
    w.at(1.0).await;
    w.fire(&["a", "b"]);
    w.at(1.5).await;
    outside::silence(&w.silences, "alertname=~.+", w.time(1000.0)).await;
    w.at(3.5).await;
    assert!(w.hook(0).heard().is_empty());
    outside::expire_all(&w.silences).await;
    w.at(4.5).await;
    assert_eq!(w.hook(0).taken(), ["4.0 first notification: a b"]);
}

#[tokio::test(start_paused = true)]
async fn the_start_delay_holds_groups_back_and_the_grid_begins_with_it() {
    let setup = Setup { start_delay: 5.0, ..Setup::new(1.0, 6.0, 600.0) };
    let mut w = World::new(setup.clone());
    w.at(1.0).await;
    w.put(&[w.posted(&[("alertname", "old")], Some(w.time(-100.0 + 100.0)), None)]);
    w.at(2.0).await;
    w.fire(&["new"]);
    w.at(4.9).await;
    w.dispatcher.count_alerts();
    assert_eq!(w.metric("alerts{state=\"unprocessed\"}"), 0, "no series before groups run");
    w.at(5.0).await;
    w.reload(setup);
    w.at(6.0).await;
    w.fire(&["third"]);
    w.at(7.0).await;
    w.fire(&["z"]);
    w.at(12.0).await;
    assert_eq!(w.hook(0).taken(), ["5.0 first notification: new old", "11.0 new alerts added: new old third z"]);
}

#[tokio::test(start_paused = true)]
async fn a_reload_leaves_an_unchanged_group_its_rhythm() {
    let setup = Setup::new(1.0, 6.0, 600.0);
    let mut w = World::new(setup.clone());
    w.at(1.0).await;
    w.fire(&["a"]);
    w.at(3.0).await;
    w.reload(setup);
    w.at(4.0).await;
    w.fire(&["b"]);
    w.at(12.0).await;
    assert_eq!(w.hook(0).taken(), ["2.0 first notification: a", "8.0 new alerts added: a b"]);
}

#[tokio::test(start_paused = true)]
async fn an_alert_that_burns_longer_than_group_wait_is_sent_at_once() {
    let w = World::new(Setup::new(60.0, 300.0, 3600.0));
    w.at(200.0).await;
    w.put(&[w.posted(&[("alertname", "a")], Some(w.time(80.0)), None)]);
    w.at(201.0).await;
    assert_eq!(w.hook(0).taken(), ["200.0 first notification: a"]);
}

#[tokio::test(start_paused = true)]
async fn an_alert_that_ends_before_group_wait_is_over_is_never_told() {
    let w = World::new(Setup::new(1.0, 0.5, 3600.0));
    w.put(&[w.posted(&[("alertname", "a")], Some(w.time(0.0)), Some(w.time(0.3)))]);
    w.at(5.0).await;
    assert!(w.hook(0).heard().is_empty());
    assert_eq!((w.groups(), w.counts("other")), (0, [0, 0, 0, 0]));
}

#[tokio::test(start_paused = true)]
async fn an_end_that_nobody_was_told_the_beginning_of_is_not_told_alone() {
    let w = World::new(Setup::new(0.0, 1.0, 3600.0));
    w.at(10.0).await;
    w.put(&[w.posted(&[("alertname", "a")], Some(w.time(1.0)), Some(w.time(9.0)))]);
    w.at(15.0).await;
    assert!(w.hook(0).heard().is_empty());
    assert_eq!(w.groups(), 0);
}

#[tokio::test(start_paused = true)]
async fn firing_again_after_its_end_was_told_is_a_first_notification_after_group_wait() {
    let w = World::new(Setup::new(1.0, 5.0, 3600.0));
    w.fire(&["a"]);
    w.at(2.0).await;
    w.resolve(&["a"]);
    w.at(6.5).await;
    assert_eq!(w.groups(), 0);
    w.fire(&["a"]);
    w.at(8.0).await;
    assert_eq!(
        w.hook(0).taken(),
        ["1.0 first notification: a", "6.0 all alerts resolved:  / a", "7.5 first notification: a"]
    );
}

#[tokio::test(start_paused = true)]
async fn an_alert_that_fired_and_ended_between_two_ticks_is_told_if_it_lasted_group_wait() {
    let w = World::new(Setup::new(10.0, 300.0, 36000.0));
    w.fire(&["a"]);
    w.at(20.0).await;
    w.fire(&["long", "short"]);
    w.at(25.0).await;
    w.resolve(&["short"]);
    w.at(40.0).await;
    w.resolve(&["long"]);
    w.at(320.0).await;
    assert_eq!(
        w.hook(0).taken(),
        ["10.0 first notification: a", "310.0 some alerts resolved: a / long short"],
        "the short one does not cause it, but the batch is whole"
    );
}

#[tokio::test(start_paused = true)]
async fn what_fired_and_ended_inside_a_mute_interval_is_never_told() {
    let always = TimeInterval { specs: vec![crate::timeinterval::Spec::default()] };
    let setup = Setup { mute: Some(always), ..Setup::new(1.0, 1.0, 3600.0) };
    let mut w = World::new(setup.clone());
    w.fire(&["a", "b"]);
    w.at(10.0).await;
    assert_eq!(w.dispatcher.groups()[0].muted_by, ["mute".into()] as [std::sync::Arc<str>; 1]);
    w.resolve(&["a"]);
    w.at(12.5).await;
    w.reload(Setup { mute: None, ..setup });
    w.at(15.0).await;
    assert_eq!(w.hook(0).taken(), ["13.0 first notification: b"]);
    assert!(w.metric("notifications_suppressed_total{reason=\"mute_time_interval\"}") >= 20);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_told_alert_is_told_when_nothing_mutes_it_any_more() {
    let w = World::new(Setup::new(0.0, 5.0, 3600.0));
    w.fire(&["a"]);
    w.at(1.0).await;
    outside::silence(&w.silences, "alertname=a", w.time(29.5)).await;
    w.at(10.0).await;
    w.resolve(&["a"]);
    w.at(29.0).await;
    assert_eq!(w.hook(0).heard().len(), 1);
    w.at(31.0).await;
    assert_eq!(w.hook(0).taken()[1], "30.0 all alerts resolved:  / a");
    assert_eq!(w.groups(), 0);
}

#[tokio::test(start_paused = true)]
async fn alerts_are_counted_by_what_the_last_look_found() {
    let w = World::new(Setup { group_by: vec!["alertname"], ..Setup::new(1.0, 10.0, 3600.0) });
    outside::silence(&w.silences, "alertname=s", w.time(1000.0)).await;
    w.fire(&["a", "b", "s"]);
    w.at(2.0).await;
    w.fire(&["new"]);
    w.dispatcher.count_alerts();
    let state = |state: &str| w.metric(&format!("alerts{{state=\"{state}\"}}"));
    assert_eq!((state("active"), state("suppressed"), state("unprocessed")), (2, 1, 1));
}
