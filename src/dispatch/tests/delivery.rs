//! Failing, slow and hanging receivers.

use super::world::{Answer, Setup, World};

#[tokio::test(start_paused = true)]
async fn a_server_error_is_retried_until_it_succeeds_as_one_notification() {
    let w = World::new(Setup::new(0.0, 5.0, 3600.0));
    w.hook(0).script([Answer::Status(500), Answer::Status(503)]);
    w.fire(&["a"]);
    w.at(4.0).await;
    let heard = w.hook(0).heard();
    assert_eq!(heard.len(), 3);
    assert!((0.25..0.76).contains(&heard[1].at), "{heard:?}");
    assert!((0.375..1.13).contains(&(heard[2].at - heard[1].at)), "{heard:?}");
    assert_eq!(heard[2].reason, "first notification");
    assert_eq!(w.counts("serverError"), [1, 3, 2, 0]);
}

#[tokio::test(start_paused = true)]
async fn an_outage_ends_an_episode_after_ten_seconds_and_goes_on_with_the_next() {
    let w = World::new(Setup::new(0.0, 1.0, 3600.0));
    w.hook(0).script(std::iter::repeat_n(Answer::Status(503), 10));
    w.fire(&["a"]);
    w.at(300.0).await;
    let heard = w.hook(0).heard();
    assert_eq!(heard.len(), 11);
    let [total, requests, failed_requests, failed] = w.counts("serverError");
    assert_eq!((requests, failed_requests), (11, 10));
    assert!(failed >= 2 && total == failed + 1, "{total} {failed}");
    let waits: Vec<f64> = heard.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    assert!(waits[9] > waits[0] && waits[9] > 9.0, "the back-off is counted over episodes: {waits:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_error_waits_for_the_next_tick() {
    let w = World::new(Setup::new(0.0, 3.0, 3600.0));
    w.hook(0).script([Answer::Status(400), Answer::Status(400)]);
    w.fire(&["a"]);
    w.at(5.9).await;
    assert_eq!(w.hook(0).heard().len(), 2);
    assert_eq!(w.counts("clientError"), [2, 2, 2, 2]);
    w.at(7.0).await;
    assert_eq!(w.hook(0).taken(), ["6.0 first notification: a"]);
    assert_eq!(w.counts("clientError"), [3, 3, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_cannot_be_told_is_tried_at_every_tick() {
    let w = World::new(Setup::new(0.0, 0.5, 3600.0));
    w.fire(&["a"]);
    w.at(0.2).await;
    w.hook(0).script(std::iter::repeat_n(Answer::Status(400), 4));
    w.resolve(&["a"]);
    w.at(6.0).await;
    assert_eq!(w.hook(0).heard().len(), 6);
    assert_eq!(w.hook(0).taken()[1], "2.5 all alerts resolved:  / a");
    assert_eq!(w.groups(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_is_one_notification() {
    let w = World::new(Setup::new(0.0, 0.5, 3600.0));
    w.hook(0).script([Answer::TakeAfter(20.0)]);
    w.fire(&["a"]);
    w.at(40.0).await;
    assert_eq!(w.hook(0).heard().len(), 1);
    assert_eq!(w.counts("contextDeadlineExceeded"), [1, 1, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_hangs_is_cut_off_after_a_minute_then_after_two() {
    let w = World::new(Setup::new(0.0, 10.0, 36000.0));
    w.hook(0).script([Answer::Hang, Answer::Hang]);
    w.fire(&["a"]);
    w.at(200.0).await;
    let starts: Vec<f64> = w.hook(0).heard().iter().map(|heard| heard.at.round()).collect();
    assert_eq!(starts, [0.0, 60.0, 180.0]);
    assert_eq!(w.counts("contextDeadlineExceeded"), [3, 3, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured() {
    let w = World::new(Setup::new(0.0, 1.0, 3600.0));
    w.hook(0).script([Answer::RetryAfter(30)]);
    w.fire(&["a"]);
    w.at(40.0).await;
    assert_eq!(w.hook(0).taken(), ["30.0 first notification: a"]);
}

#[tokio::test(start_paused = true)]
async fn a_retry_says_what_is_true_then() {
    let w = World::new(Setup::new(0.0, 10.0, 3600.0));
    w.hook(0).script([Answer::RetryAfter(5)]);
    w.fire(&["a"]);
    w.at(1.0).await;
    w.fire(&["b"]);
    w.at(2.0).await;
    super::outside::silence(&w.silences, "alertname=a", w.time(100.0)).await;
    w.at(9.0).await;
    assert_eq!(w.hook(0).taken(), ["5.0 first notification: b"]);
}

#[tokio::test(start_paused = true)]
async fn what_fired_and_ended_while_the_receiver_was_down_is_told_afterwards() {
    let w = World::new(Setup::new(0.0, 10.0, 3600.0));
    w.hook(0).script([Answer::RetryAfter(28)]);
    w.fire(&["a"]);
    w.at(14.0).await;
    w.resolve(&["a"]);
    w.at(60.0).await;
    assert_eq!(w.hook(0).taken(), ["28.0 all alerts resolved:  / a"]);
    assert_eq!(w.groups(), 0);
}

#[tokio::test(start_paused = true)]
async fn of_two_integrations_the_failing_one_does_not_touch_the_other() {
    let w = World::new(Setup { hooks: vec![true, true], ..Setup::new(0.0, 1.0, 3600.0) });
    w.hook(1).script(std::iter::repeat_n(Answer::Status(500), 6));
    w.fire(&["a"]);
    w.at(3.5).await;
    w.resolve(&["a"]);
    w.at(120.0).await;
    assert_eq!(w.hook(0).taken(), ["0.0 first notification: a", "4.0 all alerts resolved:  / a"]);
    assert_eq!(w.hook(1).heard().len(), 7);
    assert!(w.hook(1).taken()[0].ends_with("all alerts resolved:  / a"));
    assert_eq!(w.groups(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_one_integration_has_heard_is_not_repeated_to_it_while_the_other_fails() {
    let w = World::new(Setup { hooks: vec![true, true], ..Setup::new(0.0, 1.0, 3600.0) });
    w.fire(&["a", "b"]);
    w.at(0.5).await;
    w.hook(1).script(std::iter::repeat_n(Answer::Status(500), 20));
    w.resolve(&["a"]);
    w.at(5.5).await;
    w.fire(&["c"]);
    w.at(7.0).await;
    assert_eq!(w.hook(0).taken()[2], "6.0 new alerts added: b c");
}

#[tokio::test(start_paused = true)]
async fn hanging_receivers_do_not_starve_another() {
    let others = vec!["h0", "h1", "h2", "h3", "h4", "h5", "good"];
    let w = World::new(Setup { group_by: vec!["alertname"], others, ..Setup::new(0.0, 60.0, 36000.0) });
    for name in ["h0", "h1", "h2", "h3", "h4", "h5"] {
        w.hook_of(name, 0).script(std::iter::repeat_n(Answer::Hang, 500));
    }
    let names: Vec<String> = (0..200).map(|n| format!("n{n}")).collect();
    let labels: Vec<[(&str, &str); 2]> =
        names.iter().map(|name| [("alertname", name.as_str()), ("to", "h0,h1,h2,h3,h4,h5,good")]).collect();
    w.put(&labels.iter().map(|labels| w.posted(labels, None, None)).collect::<Vec<_>>());
    w.at(1.0).await;
    assert_eq!(w.hook_of("good", 0).taken().len(), 200);
    assert!(w.hook_of("h0", 0).most_at_once() <= 64);
    assert!(w.metric("notifications_in_flight") <= 257);
    assert!(w.metric("notifications_in_flight_limit_reached_total") > 0);
}

#[tokio::test(start_paused = true)]
async fn many_groups_at_once_are_sent_within_the_limit() {
    let w = World::new(Setup { group_by: vec!["alertname"], ..Setup::new(0.0, 60.0, 36000.0) });
    w.hook(0).script(std::iter::repeat_n(Answer::TakeAfter(0.01), 2000));
    let names: Vec<String> = (0..2000).map(|n| format!("n{n}")).collect();
    w.fire(&names.iter().map(String::as_str).collect::<Vec<_>>());
    w.at(5.0).await;
    assert_eq!(w.hook(0).taken().len(), 2000);
    assert_eq!(w.hook(0).most_at_once(), 64);
    assert_eq!(w.metric("notifications_in_flight"), 0);
}

#[tokio::test(start_paused = true)]
async fn an_integration_that_panics_fails_once_and_is_tried_at_the_next_tick() {
    let w = World::new(Setup::new(0.0, 2.0, 3600.0));
    w.hook(0).script([Answer::Panic]);
    w.fire(&["a"]);
    w.at(3.0).await;
    assert_eq!(w.hook(0).taken(), ["2.0 first notification: a"]);
    assert_eq!(w.metric("notifications_in_flight"), 0);
}

#[tokio::test(start_paused = true)]
async fn one_flush_is_one_query_of_the_log() {
    let w = World::new(Setup::new(0.0, 60.0, 3600.0));
    let before = w.metric("nflog_queries_total");
    w.fire(&["a"]);
    w.at(1.0).await;
    assert_eq!(w.metric("nflog_queries_total") - before, 1);
    w.fire(&["b"]);
    w.at(61.0).await;
    assert_eq!(w.hook(0).taken()[1], "60.0 new alerts added: a b");
    assert_eq!(w.metric("nflog_queries_total") - before, 2);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_a_receiver_never_takes_is_given_up_after_five_days() {
    const HOUR: f64 = 3600.0;
    let w = World::new(Setup::new(0.0, HOUR, 1e9));
    w.hook(0).script(std::iter::repeat_n(Answer::Status(404), 1000));
    w.fire(&["a"]);
    w.at(1.5 * HOUR).await;
    w.resolve(&["a"]);
    w.at(119.0 * HOUR).await;
    assert_eq!(w.groups(), 1);
    w.at(130.0 * HOUR).await;
    assert_eq!(w.groups(), 0);
    assert_eq!(w.metric("limit_reached_total{limit=\"untold_resolution_age\"}"), 1);
}
