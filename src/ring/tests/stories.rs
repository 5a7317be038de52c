//! What people hear when things go wrong.

use super::*;
use crate::silence::{Draft, MatcherText};

const ALL: [usize; 3] = [0, 1, 2];

#[tokio::test(start_paused = true)]
async fn three_nodes_that_got_the_same_alert_tell_it_once_and_its_end_once() {
    let world = World::new([0; 3]).await;
    world.fire(&ALL, "a");
    world.pass(60.0).await;
    world.resolve(&ALL, "a");
    world.pass(120.0).await;
    assert_eq!(world.words(), ["a/", "/a"]);
    assert!(world.heard().iter().all(|line| line.contains(" n0:")), "{:?}", world.heard());
    for node in world.alive() {
        assert_eq!(node.nflog.all()[0].1.tells, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn many_groups_due_at_once_are_told_once_each() {
    let world = World::new([0; 3]).await;
    let names: Vec<String> = (0..500).map(|number| format!("a{number}")).collect();
    names.iter().for_each(|name| world.fire(&ALL, name));
    let before = world.net.traffic().datagrams;
    world.pass(20.0).await;
    let mut words = world.words();
    words.sort();
    words.dedup();
    assert_eq!((words.len(), world.heard().len()), (500, 500));
    let datagrams = world.net.traffic().datagrams - before;
    assert!(datagrams < 10_000, "{datagrams} datagrams");
}

#[tokio::test(start_paused = true)]
async fn a_slow_receiver_is_told_once() {
    let world = World::new([0; 3]).await;
    world.set(Mood::TakeAfter(40.0));
    world.fire(&ALL, "a");
    for _ in 0..10 {
        world.pass(15.0).await;
        world.fire(&ALL, "a");
    }
    assert_eq!((world.words(), *world.pager.attempts.lock().unwrap()), (vec!["a/".to_owned()], 1));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_refuses_is_tried_by_one_node_only_and_told_once() {
    let world = World::new([0; 3]).await;
    world.set(Mood::Refuse);
    world.fire(&ALL, "a");
    world.pass(40.0).await;
    world.set(Mood::Take);
    world.fire(&ALL, "a");
    world.pass(50.0).await;
    assert_eq!(world.words(), ["a/"]);
    assert!(*world.pager.attempts.lock().unwrap() < 15);
}

#[tokio::test(start_paused = true)]
async fn when_the_first_node_is_killed_before_its_turn_the_next_tells_within_five_seconds() {
    let mut world = World::new([0; 3]).await;
    world.fire(&ALL, "a");
    let due = world.elapsed() + 10.0;
    world.pass(9.9).await;
    world.kill(0).await;
    world.pass(15.0).await;
    let heard = world.heard();
    assert_eq!(world.words(), ["a/"]);
    let at: f64 = heard[0].split(' ').next().unwrap().parse().unwrap();
    assert!(at <= due + 5.0, "{heard:?}, due {due}");
    world.restart(0).await;
    world.fire(&ALL, "a");
    world.pass(60.0).await;
    assert_eq!(world.words(), ["a/"], "and not again after the restart");
}

#[tokio::test(start_paused = true)]
async fn when_the_sender_is_killed_another_node_tells_it_again() {
    let mut world = World::new([0; 3]).await;
    world.set(Mood::TakeAfter(20.0));
    world.fire(&ALL, "a");
    world.pass(12.0).await;
    world.kill(0).await;
    world.pass(60.0).await;
    assert_eq!(world.words(), ["a/"]);
    assert_eq!(*world.pager.attempts.lock().unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_stopped_hands_over_what_it_is_sending() {
    let mut world = World::new([0; 3]).await;
    world.set(Mood::TakeAfter(30.0));
    world.fire(&ALL, "a");
    world.pass(12.0).await;
    world.set(Mood::Take);
    world.end(0, secs(1.0)).await;
    world.pass(3.0).await;
    assert_eq!(world.words(), ["a/"], "at once, not when the claim has fallen");
}

#[tokio::test(start_paused = true)]
async fn in_a_split_each_side_tells_and_after_it_nothing_is_told_again() {
    let world = World::new([0; 3]).await;
    world.net.partition(&[&[ip(0)], &[ip(1), ip(2)]]);
    world.pass(20.0).await;
    world.fire(&ALL, "a");
    for _ in 0..3 {
        world.pass(20.0).await;
        world.fire(&ALL, "a");
    }
    assert_eq!(world.words(), ["a/", "a/"]);
    world.net.heal();
    for _ in 0..8 {
        world.pass(20.0).await;
        world.fire(&ALL, "a");
    }
    assert!(world.words().len() <= 3, "{:?}", world.heard());
    let before = world.words().len();
    world.resolve(&ALL, "a");
    world.pass(60.0).await;
    assert_eq!(world.words()[before..], ["/a"]);
}

#[tokio::test(start_paused = true)]
async fn an_alert_that_is_posted_to_one_node_at_a_time_goes_on_firing_until_nobody_posts_it() {
    let world = World::new([0; 3]).await;
    // Each node hears of it every 150 s only, and a post lives for a minute.
    for round in 0..12 {
        world.fire(&[[0, 1, 1, 2][round % 4]], "a");
        world.pass(40.0).await;
    }
    assert_eq!(world.words(), ["a/"]);
    world.pass(120.0).await;
    assert_eq!(world.words(), ["a/", "/a"]);
}

#[tokio::test(start_paused = true)]
async fn what_ran_out_is_not_called_resolved_while_a_node_is_out_of_sight() {
    let world = World::new([0; 3]).await;
    world.fire(&ALL, "a");
    world.pass(15.0).await;
    world.net.partition(&[&[ip(0)], &[ip(1), ip(2)]]);
    for _ in 0..10 {
        world.pass(40.0).await;
        world.fire(&[0], "a");
    }
    assert!(world.words().iter().all(|words| words == "a/"), "{:?}", world.heard());
}

#[tokio::test(start_paused = true)]
async fn a_silence_of_one_node_holds_on_all_within_a_moment() {
    let world = World::new([0; 3]).await;
    let draft = Draft {
        id: None,
        matchers: vec![MatcherText {
            op: crate::alert::matcher::MatchOp::Equal,
            name: "alertname".to_owned(),
            value: "a".to_owned(),
        }],
        starts_at: None,
        ends_at: Some(world.clock.now() + delta(secs(3600.0))),
        created_by: String::new(),
        comment: String::new(),
        annotations: BTreeMap::default(),
    };
    world.node(2).silences.set(draft).await.unwrap();
    world.pass(0.05).await;
    for node in world.alive() {
        assert_eq!(node.silences.counts(node.clock.now()).active, 1);
    }
    world.fire(&ALL, "a");
    world.pass(60.0).await;
    assert!(world.words().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_clock_two_minutes_ahead_changes_nothing() {
    let world = World::new([120, 0, 0]).await;
    assert!((world.node(0).clock.now() - world.clock.now()).num_milliseconds().abs() < 100);
    for _ in 0..6 {
        world.fire(&ALL, "a");
        world.pass(30.0).await;
    }
    world.resolve(&ALL, "a");
    world.pass(60.0).await;
    assert_eq!(world.words(), ["a/", "/a"]);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_was_told_while_a_node_was_down_is_not_undone_by_its_return() {
    let mut world = World::new([0; 3]).await;
    world.fire(&ALL, "a");
    world.pass(15.0).await;
    world.end(2, secs(1.0)).await;
    world.pass(180.0).await;
    assert_eq!(world.words(), ["a/", "/a"]);
    world.restart(2).await;
    world.pass(300.0).await;
    assert_eq!(world.words(), ["a/", "/a"]);
}
