//! Failures of real processes: three nodes, a sender, a receiver, and what people were told in the end.
//!
//! `cargo test --test chaos` runs the short part. `cargo test --release --test chaos -- --ignored --nocapture` runs
//! everything and prints a table; `CARILLON_SCENARIO=kill,split` picks some. As root, with `ip` and `unshare`, the
//! scenarios that need a network or a disk of their own run too, in namespaces that leave nothing behind.

#![allow(clippy::disallowed_methods, reason = "the real program runs in real time")]

#[path = "../support/mod.rs"]
mod support;

mod judge;
mod net;
mod relay;
mod scenarios;
mod sender;
mod world;

use std::{path::Path, time::Duration};

use judge::Verdict;
use scenarios::{SCENARIOS, Scenario};
use sender::Aim;
use support::pass;
use world::{Between, WAIT, World, groups};

/// A kill, a receiver that is down, and a pause, in some seconds.
#[test]
fn a_kill_an_outage_and_a_pause_lose_and_repeat_nothing() {
    let mut world = World::new(Between::Loopback, Aim::All, |_: &Path| {});
    let (one, two, three) = (groups("kill", 5), groups("outage", 5), groups("pause", 5));

    let first = world.first();
    world.sender.fire(&one, 2);
    pass(WAIT - Duration::from_millis(100));
    world.kill(first);
    world.told(&one, true);
    world.nodes[first].start();
    world.formed();

    world.hook.answer(503);
    world.sender.fire(&two, 2);
    pass(Duration::from_secs(2));
    world.hook.answer(200);
    world.told(&two, true);

    let first = world.first();
    world.sender.fire(&three, 2);
    world.nodes[first].signal("STOP");
    world.told(&three, true);
    world.nodes[first].signal("CONT");
    world.formed();

    let all = [one, two, three].concat();
    world.sender.resolve(&all);
    world.told(&all, false);
    let verdict = world.verdict();
    println!("{}", line("short", &verdict));
    assert!(verdict.lost.is_empty(), "lost: {:?}", verdict.lost);
    assert!(verdict.wrong.is_empty(), "wrong: {:?}", verdict.wrong);
    assert!(verdict.repeated.is_empty(), "repeated: {:?}", verdict.repeated);
}

#[test]
#[ignore = "takes some minutes: cargo test --release --test chaos -- --ignored --nocapture"]
fn everything() {
    if let Some(succeeded) = net::enter("everything") {
        return assert!(succeeded);
    }
    if net::is_inside() {
        net::prepare();
    }
    println!("seed {} (CARILLON_SEED)\n\n{}", world::seed(), head());
    let mut worst = Vec::new();
    for scenario in SCENARIOS.iter().filter(|scenario| is_wanted(scenario)) {
        if scenario.needs_root && !net::is_inside() {
            println!("{:<20} skipped: needs root, ip and unshare", scenario.name);
            continue;
        }
        let verdict = (scenario.run)();
        println!("{}   {}", line(scenario.name, &verdict), scenario.what);
        for (kind, list) in [
            ("lost", &verdict.lost),
            ("repeated", &verdict.repeated),
            ("wrong", &verdict.wrong),
            ("silenced", &verdict.silenced),
        ] {
            worst.extend(list.iter().map(|text| format!("{}: {kind}: {text}", scenario.name)));
        }
    }
    println!(
        "\nexpected: messages of a perfect service · sent: messages that arrived · lost: changes that nobody was told of\n\
         repeated: messages without news · excused: the same, after a kill between telling and saying so, or over a split\n\
         wrong: messages that said what was not so · silenced: alerts told under a silence · worst: change to message"
    );
    for text in worst.iter().take(60) {
        println!("{text}");
    }
    assert!(!worst.iter().any(|text| text.contains(": lost:")), "something was lost");
}

fn is_wanted(scenario: &Scenario) -> bool {
    std::env::var("CARILLON_SCENARIO").map_or(true, |list| list.split(',').any(|name| name == scenario.name))
}

fn head() -> String {
    format!(
        "{:<20} {:>8} {:>6} {:>5} {:>8} {:>7} {:>6} {:>8} {:>7}",
        "scenario", "expected", "sent", "lost", "repeated", "excused", "wrong", "silenced", "worst"
    )
}

fn line(name: &str, v: &Verdict) -> String {
    format!(
        "{name:<20} {:>8} {:>6} {:>5} {:>8} {:>7} {:>6} {:>8} {:>6.1}s",
        v.expected,
        v.messages,
        v.lost.len(),
        v.repeated.len(),
        v.excused,
        v.wrong.len(),
        v.silenced.len(),
        v.worst.as_secs_f64()
    )
}
