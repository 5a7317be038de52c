//! What people hear when things go wrong.

use super::*;
use crate::decisions::{Answered, Outcome, Page, Phase, Query, Why};

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
    world.silence(2, "a").await;
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

/// `node outcome: why`, newest first.
fn decided(page: &Page) -> Vec<String> {
    page.decisions.iter().map(|d| format!("{} {}: {}", d.node, d.outcome.as_str(), d.why.as_str())).collect()
}

#[tokio::test(start_paused = true)]
async fn every_node_knows_what_all_of_them_decided_and_who_does_not_answer() {
    let mut world = World::new([0; 3]).await;
    world.fire(&ALL, "a");
    world.pass(20.0).await;
    let page = world.node(2).reader.everywhere(&Query::default()).await;
    let lines = decided(&page);
    assert_eq!(lines.iter().filter(|line| line.contains("told: first notification")).count(), 1, "{lines:?}");
    for node in ["n1", "n2"] {
        for why in ["turn of another node", "told by another node"] {
            assert!(lines.contains(&format!("{node} left: {why}")), "{node} {why}: {lines:?}");
        }
    }
    let elsewhere = page.decisions.iter().find(|d| d.why == Why::ToldElsewhere).unwrap();
    assert_eq!(elsewhere.claim.as_ref().map(|claim| (&*claim.holder, claim.phase)), Some(("n0", Phase::Told)));
    let first = page.decisions.iter().find(|d| d.why == Why::OthersFirst && &*d.node == "n2").unwrap();
    assert_eq!(first.order.iter().map(|name| &**name).collect::<Vec<_>>(), ["n0", "n1", "n2"]);
    assert!(page.nodes.iter().all(|node| node.state == Answered::Yes) && page.nodes.len() == 3);
    assert_eq!(decided(&world.node(1).reader.everywhere(&Query::default()).await), lines, "all show the same");

    world.kill(0).await;
    world.pass(10.0).await;
    let began = world.clock.monotonic();
    let page = world.node(1).reader.everywhere(&Query::default()).await;
    let states: Vec<(&str, Answered)> = page.nodes.iter().map(|node| (&*node.node, node.state)).collect();
    assert_eq!(states, [("n1", Answered::Yes), ("n0", Answered::No), ("n2", Answered::Yes)]);
    assert!(world.clock.monotonic() - began < secs(2.5));
    assert!(page.decisions.iter().all(|decision| decision.outcome != Outcome::Told));
}

#[tokio::test(start_paused = true)]
async fn while_one_node_sends_the_others_say_whose_claim_stands() {
    let world = World::new([0; 3]).await;
    world.set(Mood::TakeAfter(20.0));
    world.fire(&ALL, "a");
    world.pass(25.0).await;
    let page = world.node(1).reader.local(&Query::default()).await;
    let claimed = page.decisions.iter().find(|d| d.why == Why::Claimed).unwrap_or_else(|| panic!("{page:?}"));
    assert_eq!(claimed.claim.as_ref().map(|claim| (&*claim.holder, claim.phase)), Some(("n0", Phase::Sending)));
    assert!(claimed.until.is_some_and(|until| until > claimed.at));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_came_back_tells_the_others_of_posts_that_only_it_gets() {
    let mut world = World::new([0; 3]).await;
    world.fire(&ALL, "a");
    world.pass(15.0).await;
    world.kill(0).await;
    world.pass(30.0).await;
    world.fire(&[1, 2], "a");
    world.pass(30.0).await;
    // Its disk says that the alert ran out. The others know better, but not for long.
    world.restart(0).await;
    for _ in 0..12 {
        world.pass(15.0).await;
        world.fire(&[0], "a");
    }
    assert_eq!(world.words(), ["a/"]);
}

#[tokio::test(start_paused = true)]
async fn two_nodes_that_see_each_other_through_a_third_only_tell_once() {
    // Within the second in which the first one waits for the other's answer, and just after it.
    for millis in [0, 300, 970, 1030, 1100] {
        let world = World::new([0; 3]).await;
        world.set(Mood::TakeAfter(5.0));
        world.net.cut(ip(0), ip(1));
        world.pass(10.0).await;
        let now = world.clock.now();
        let (starts_at, ends_at) = (now - delta(secs(20.0)), now + delta(secs(60.0)));
        // Due at once, wherever it is heard of.
        world.post(&[1], "a", starts_at, ends_at);
        world.pass(f64::from(millis) / 1000.0).await;
        world.post(&[0], "a", starts_at, ends_at);
        world.pass(25.0).await;
        assert_eq!(world.words(), ["a/"], "posted to the other {millis} ms later: {:?}", world.heard());
    }
}
