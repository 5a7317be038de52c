//! What outlives reloads, restarts and shutdowns.

use std::time::Duration;

use super::{
    outside,
    world::{Answer, Setup, World},
};
use crate::nflog::Tell;

#[tokio::test(start_paused = true)]
async fn a_restart_does_not_tell_again_and_resumes_the_rhythm() {
    let w = World::new(Setup::new(1.0, 10.0, 3600.0));
    w.fire(&["a"]);
    w.at(24.0).await;
    let w = w.restarted().await;
    w.at(25.0).await;
    w.fire(&["b"]);
    w.at(40.0).await;
    assert_eq!(w.hook(0).taken(), ["1.0 first notification: a", "31.0 new alerts added: a b"]);
}

#[tokio::test(start_paused = true)]
async fn an_alert_that_ended_untold_before_a_restart_is_told_after_it() {
    let w = World::new(Setup::new(1.0, 10.0, 3600.0));
    w.hook(0).script(std::iter::repeat_n(Answer::Status(503), 50));
    w.fire(&["a"]);
    w.at(20.0).await;
    w.resolve(&["a"]);
    w.at(21.0).await;
    let w = w.restarted().await;
    w.hook(0).script([]);
    w.at(60.0).await;
    assert_eq!(w.hook(0).taken().len(), 1, "{:?}", w.hook(0).taken());
    assert!(w.hook(0).taken()[0].ends_with("all alerts resolved:  / a"));
    assert_eq!(w.groups(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_was_told_makes_no_group_after_a_restart() {
    let w = World::new(Setup::new(1.0, 10.0, 3600.0));
    w.fire(&["a"]);
    w.at(2.0).await;
    w.resolve(&["a"]);
    w.at(15.0).await;
    let w = w.restarted().await;
    assert_eq!(w.groups(), 0);
    w.at(40.0).await;
    assert_eq!(w.hook(0).heard().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_comes_after_a_restart_is_told() {
    let w = World::new(Setup::new(0.0, 1.0, 3600.0));
    w.fire(&["a"]);
    w.at(1.5).await;
    let w = w.restarted().await;
    w.resolve(&["a"]);
    w.at(4.0).await;
    assert_eq!(w.hook(0).taken()[1], "2.0 all alerts resolved:  / a");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_forgot_its_alerts_takes_the_rhythm_from_the_log() {
    let w = World::new(Setup::new(1.0, 10.0, 3600.0));
    w.fire(&["a"]);
    w.at(24.0).await;
    let w = w.restarted_without_alerts().await;
    w.at(25.0).await;
    w.fire(&["a", "b"]);
    w.at(40.0).await;
    assert_eq!(w.hook(0).taken(), ["1.0 first notification: a", "31.0 new alerts added: a b"]);
    w.resolve(&["a", "b"]);
    w.at(50.0).await;
    assert_eq!(w.hook(0).taken()[2], "41.0 all alerts resolved:  / a b");
}

#[tokio::test(start_paused = true)]
async fn an_open_group_moves_to_the_ticks_at_which_another_node_told_it() {
    let w = World::new(Setup::new(1.0, 10.0, 100.0));
    w.fire(&["a"]);
    w.at(24.2).await;
    let (key, seen) = w.nflog.all().remove(0);
    let tell = Tell {
        firing: seen.all_told().map(|(alert, _)| (alert, 1)).collect(),
        seen: Some(seen),
        due: w.time(24.0),
        sent: w.time(24.0),
        done: w.time(24.1),
        resolved: vec![],
        known: vec![],
        memory: None,
        repeat_interval: Duration::from_secs(100),
    };
    let _ = w.nflog.record(&key, &tell);
    w.at(26.0).await;
    w.fire(&["b"]);
    w.at(140.0).await;
    // Not at 31: the receiver has heard of the group at 24.
    let expected = ["1.0 first notification: a", "34.0 new alerts added: a b", "134.0 repeat interval elapsed: a b"];
    assert_eq!(w.hook(0).taken(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_reload_does_not_touch_a_request_under_way() {
    let setup = Setup::new(0.0, 1.0, 3600.0);
    let mut w = World::new(setup.clone());
    w.hook(0).script([Answer::TakeAfter(5.0)]);
    w.fire(&["a"]);
    w.at(1.0).await;
    w.reload(setup);
    w.at(20.0).await;
    assert_eq!(w.hook(0).taken(), ["0.0 first notification: a"]);
    assert_eq!(w.hook(0).heard().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_group_whose_route_changed_does_not_send_what_is_under_way() {
    let setup = Setup::new(0.0, 1.0, 3600.0);
    let mut w = World::new(setup.clone());
    w.hook(0).script([Answer::TakeAfter(5.0)]);
    w.fire(&["a"]);
    w.at(1.0).await;
    // Other group labels make another group, of the same key since the alert lacks the label.
    w.reload(Setup { group_by: vec!["zone"], ..setup });
    w.at(20.5).await;
    assert_eq!(w.hook(0).heard().len(), 1);
    w.fire(&["b"]);
    w.at(25.0).await;
    assert_eq!(w.hook(0).taken()[1], "21.0 new alerts added: a b");
}

#[tokio::test(start_paused = true)]
async fn a_debt_survives_a_reload_that_rebuilds_its_group() {
    let setup = Setup::new(0.0, 1.0, 3600.0);
    let mut w = World::new(setup.clone());
    w.hook(0).script([Answer::RetryAfter(10)]);
    w.fire(&["a"]);
    w.at(1.5).await;
    w.reload(Setup { group_by: vec!["zone"], ..setup });
    w.at(20.0).await;
    assert_eq!(w.hook(0).taken(), ["1.5 first notification: a"]);
    assert_eq!(w.hook(0).heard().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_reload_tries_at_once_what_has_failed() {
    let setup = Setup::new(0.0, 300.0, 3600.0);
    let mut w = World::new(setup.clone());
    w.hook(0).script([Answer::RetryAfter(100)]);
    w.fire(&["a"]);
    w.at(1.5).await;
    w.reload(setup);
    w.at(200.0).await;
    assert_eq!(w.hook(0).taken(), ["1.5 first notification: a"]);
    assert_eq!(w.hook(0).heard().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn alerts_that_another_route_takes_after_a_reload_leave_their_group() {
    let mut w = World::new(Setup::new(0.0, 5.0, 3600.0));
    w.put(&[w.posted(&[("alertname", "a"), ("to", "db")], None, None), w.posted(&[("alertname", "b")], None, None)]);
    w.at(1.0).await;
    w.reload(Setup { others: vec!["db"], ..Setup::new(0.0, 5.0, 3600.0) });
    w.at(2.0).await;
    let groups = w.dispatcher.groups();
    let shape: Vec<(&str, usize)> = groups.iter().map(|g| (&*g.receiver.name, g.alerts.len())).collect();
    assert_eq!(shape, [("db", 1), ("team", 1)]);
    assert_eq!(w.hook_of("db", 0).taken(), ["1.0 first notification: a"]);
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_takes_a_receiver_away_lets_go_of_what_it_owed() {
    let setup = Setup { others: vec!["db"], ..Setup::new(0.0, 5.0, 3600.0) };
    let mut w = World::new(setup.clone());
    w.hook_of("db", 0).script(std::iter::repeat_n(Answer::Status(500), 100));
    w.put(&[w.posted(&[("alertname", "a"), ("to", "db")], None, None)]);
    w.at(1.0).await;
    w.reload(Setup { others: vec![], ..setup });
    let tried = w.hook_of("db", 0).heard().len();
    w.at(30.0).await;
    assert_eq!(w.hook_of("db", 0).heard().len(), tried);
    assert_eq!(w.hook(0).taken(), ["1.0 first notification: a"]);
}

#[tokio::test(start_paused = true)]
async fn a_shorter_group_interval_counts_from_the_reload_on() {
    let setup = Setup::new(0.0, 300.0, 36000.0);
    let mut w = World::new(setup);
    w.fire(&["a"]);
    w.at(10.0).await;
    w.fire(&["b"]);
    w.reload(Setup::new(0.0, 20.0, 36000.0));
    w.at(30.0).await;
    assert_eq!(w.hook(0).taken()[1], "20.0 new alerts added: a b");
}

#[tokio::test(start_paused = true)]
async fn the_shutdown_waits_for_what_is_under_way() {
    let w = World::new(Setup::new(0.0, 1.0, 3600.0));
    w.hook(0).script([Answer::TakeAfter(3.0)]);
    w.fire(&["a"]);
    w.at(1.0).await;
    w.dispatcher.shutdown(Duration::from_secs(5)).await;
    assert_eq!(w.clock.now(), w.time(3.0));
    assert_eq!(w.hook(0).taken().len(), 1);
    let w = w.restarted().await;
    w.at(10.0).await;
    assert_eq!(w.hook(0).heard().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_shutdown_abandons_what_takes_longer_than_its_grace() {
    let w = World::new(Setup::new(0.0, 1.0, 3600.0));
    w.hook(0).script([Answer::Hang]);
    w.fire(&["a"]);
    w.at(1.0).await;
    w.dispatcher.shutdown(Duration::from_secs(5)).await;
    assert_eq!(w.clock.now(), w.time(6.0));
    let w = w.restarted().await;
    w.at(10.0).await;
    assert_eq!(w.hook(0).taken().len(), 1, "it is still owed");
}

#[tokio::test(start_paused = true)]
async fn the_store_keeps_a_resolved_alert_until_its_end_was_told() {
    let w = World::new(Setup::new(0.0, 5.0, 3600.0));
    w.fire(&["a"]);
    w.at(1.0).await;
    w.resolve(&["a"]);
    let gc = |w: &World| w.alerts.gc(w.clock.now(), &|entry| w.dispatcher.still_owed(entry));
    w.at(2.0).await;
    assert!(gc(&w).is_empty());
    w.at(6.0).await;
    let gone = gc(&w);
    assert_eq!(gone.len(), 1);
    w.dispatcher.forget(&gone);
    w.fire(&["a"]);
    w.at(7.0).await;
    assert_eq!(w.hook(0).taken()[2], "6.0 first notification: a", "another period of an alert that was forgotten");
}

#[tokio::test(start_paused = true)]
async fn a_silence_that_ends_while_the_node_is_down_does_not_bring_up_old_ends() {
    let w = World::new(Setup::new(1.0, 10.0, 3600.0));
    outside::silence(&w.silences, "alertname=a", w.time(5.0)).await;
    w.fire(&["a"]);
    w.at(3.0).await;
    w.resolve(&["a"]);
    w.at(30.0).await;
    assert_eq!((w.hook(0).heard().len(), w.groups()), (0, 0));
}
