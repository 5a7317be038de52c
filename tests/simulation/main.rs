//! Whole nodes in virtual time: alerts in, notifications out, and everything in between that can go wrong, from one
//! seed. Checkers hold what the receivers heard against what was true.
//!
//! ```text
//! cargo test --release --test simulation -- --nocapture
//! ```
//!
//! | variable | meaning |
//! |---|---|
//! | `CARILLON_SEEDS` | how many seeds; default: a few |
//! | `CARILLON_SEED` | the first one; alone it replays one run and prints its course |
//! | `CARILLON_MINUTES` | virtual minutes of each run, 10 |
//! | `CARILLON_CLASS` | only this class of faults; otherwise the seed decides |
//! | `CARILLON_LOG` | with one seed: the log of the nodes, a filter like `debug` or `carillon::cluster=trace` |
//!
//! Each run is a process of its own, so that nothing but its seed decides its course. The nodes' programs are those of
//! the product but for the three seams: clock, network and disk, and for the receivers.

mod chance;
mod faults;
mod judge;
mod node;
mod paths;
mod receiver;
mod run;
mod scenario;
mod senders;
mod table;
mod without;

use std::{
    process::{Command, Stdio},
    sync::Mutex,
    time::Duration,
};

use scenario::{CLASSES, Class, Scenario, Together};
use table::{Line, Table};
use without::Without;

/// Without any wishes: the classes with most troubles in an unoptimized build, each class once in a fast one.
const SEEDS: std::ops::Range<u64> =
    if cfg!(debug_assertions) { CLASSES.len() as u64 - 4..CLASSES.len() as u64 } else { 0..CLASSES.len() as u64 };
const MINUTES: u64 = 10;
const MINUTES_MIN: u64 = 5;
/// A run that takes longer hangs.
const REAL_TIME_MAX: Duration = Duration::from_secs(240);
const ONE: &str = "CARILLON_SIMULATE_ONE";
/// A child's way to say what came of its run.
const RESULT: &str = "RESULT ";

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn class_of(seed: u64) -> Class {
    let wanted = std::env::var("CARILLON_CLASS").ok();
    let named = wanted.map(|name| {
        *CLASSES.iter().find(|class| class.name == name).unwrap_or_else(|| panic!("there is no class {name}"))
    });
    named.unwrap_or(CLASSES[usize::try_from(seed % CLASSES.len() as u64).unwrap_or(0)])
}

/// What a child is to run.
fn scenario(seed: u64, together: Together) -> Scenario {
    Scenario::drawn(seed, class_of(seed), together, number("CARILLON_MINUTES").unwrap_or(MINUTES).max(MINUTES_MIN))
}

/// Run in a process of its own by the other tests.
#[test]
#[ignore = "one seed, for the other tests"]
fn one_seed() {
    let Ok(wanted) = std::env::var(ONE) else { return };
    let (seed, together) = wanted.split_once(' ').expect("seed and kind");
    let scenario = scenario(seed.parse().expect("a number"), Together::named(together).expect("a kind"));
    if let Ok(filter) = std::env::var("CARILLON_LOG") {
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stdout).without_time().init();
    }
    static PANICS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        usual(panic);
    }));
    let outcome = run::run(&scenario);
    let mut verdict = outcome.verdict;
    let panics = PANICS.load(std::sync::atomic::Ordering::Relaxed);
    if panics > 0 {
        verdict.violation(0, format!("PANIC: {panics} times"));
    }
    verdict.violations.sort();
    let is_alone = std::env::var("CARILLON_TRACE").is_ok();
    if is_alone || !verdict.violations.is_empty() {
        println!(
            "{} nodes, group_wait {} group_interval {} repeat {} post {} ms, skew {:?}, calm from {}",
            scenario.nodes,
            scenario.group_wait,
            scenario.group_interval,
            scenario.repeat_interval,
            scenario.post_interval,
            scenario.skew,
            scenario.calm_from
        );
        let from = if is_alone { 0 } else { verdict.violations[0].0.saturating_sub(120_000) };
        let until = if is_alone { u64::MAX } else { verdict.violations[0].0 + 1_000 };
        let shown = outcome.trace.iter().filter(|(at, _)| (from..until).contains(at));
        let lines: Vec<String> = shown.map(|(at, line)| format!("{:8}.{:03} {line}", at / 1000, at % 1000)).collect();
        lines[lines.len().saturating_sub(if is_alone { usize::MAX } else { 80 })..]
            .iter()
            .for_each(|line| println!("{line}"));
        verdict.violations.iter().for_each(|(at, text)| println!("{:8}.{:03} {text}", at / 1000, at % 1000));
    }
    let line = Line::of(&scenario, &verdict, outcome.mark, processor_time());
    println!("{RESULT}{}", line.write());
}

/// What this process has used so far, as Linux tells it; elsewhere nothing.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    // In user and in system mode, in hundredths of a second.
    let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(10 * ticks)
}

struct Child {
    seed: u64,
    line: Option<Line>,
    output: String,
}

fn simulate(seed: u64, together: Together, minutes: u64, trace: bool) -> Child {
    simulate_class(seed, together, None, minutes, trace)
}

fn simulate_class(seed: u64, together: Together, class: Option<&str>, minutes: u64, trace: bool) -> Child {
    let this = std::env::current_exe().expect("it runs");
    let mut command = Command::new(this);
    command.args(["--exact", "one_seed", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(ONE, format!("{seed} {}", together.name()));
    command.env("CARILLON_MINUTES", minutes.to_string());
    if let Some(class) = class {
        command.env("CARILLON_CLASS", class);
    }
    if trace {
        command.env("CARILLON_TRACE", "1");
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a process");
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let read = |pipe: Option<Box<dyn std::io::Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // What cannot be read is not there.
            let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let (stdout, stderr) = (read(stdout.map(|p| Box::new(p) as _)), read(stderr.map(|p| Box::new(p) as _)));
    let mut waited = Duration::ZERO;
    while child.try_wait().expect("our child").is_none() {
        std::thread::sleep(Duration::from_millis(5));
        waited += Duration::from_millis(5);
        if waited > REAL_TIME_MAX {
            child.kill().expect("our child");
        }
    }
    let mut output = stdout.join().unwrap_or_default();
    let line = output.lines().find_map(|line| Line::read(line.split_once(RESULT)?.1));
    if line.is_none() {
        output.push_str(&stderr.join().unwrap_or_default());
    }
    Child { seed, line, output }
}

/// Runs seeds on all processors. Returns the table, and what the failed ones said.
fn simulate_all(seeds: std::ops::Range<u64>, together: Together, minutes: u64) -> (Table, Vec<Child>) {
    let next = Mutex::new(seeds.clone());
    let done = Mutex::new((Table::default(), Vec::new()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let Some(seed) = next.lock().expect("no panic").next() else { return };
                    let child = simulate(seed, together, minutes, seeds.end - seeds.start == 1);
                    let mut done = done.lock().expect("no panic");
                    if let Some(line) = &child.line {
                        done.0.add(line);
                    }
                    if child.line.as_ref().is_none_or(|line| line.violations > 0) || seeds.end - seeds.start == 1 {
                        done.1.push(child);
                    }
                }
            });
        }
    });
    let (table, mut failed) = done.into_inner().expect("no panic");
    failed.sort_by_key(|child| child.seed);
    (table, failed)
}

#[test]
fn no_fault_makes_three_nodes_break_a_promise() {
    let (first, count) = match (number("CARILLON_SEED"), number("CARILLON_SEEDS")) {
        (None, None) => (SEEDS.start, SEEDS.end - SEEDS.start),
        (first, count) => (first.unwrap_or(0), count.unwrap_or(1)),
    };
    let minutes = number("CARILLON_MINUTES").unwrap_or(MINUTES);
    let (table, failed) = simulate_all(first..first + count, Together::Ring, minutes);
    let shown = if count == 1 { 1 } else { 3 };
    for child in failed.iter().take(shown) {
        println!("{}\nCARILLON_SEED={} ({})\n", child.output, child.seed, class_of(child.seed).name);
    }
    println!("{}", table.text());
    let broken: Vec<u64> = failed
        .iter()
        .filter(|child| child.line.as_ref().is_none_or(|line| line.violations > 0))
        .map(|child| child.seed)
        .collect();
    let named: Vec<String> = broken.iter().take(40).map(|s| format!("{s} ({})", class_of(*s).name)).collect();
    assert!(broken.is_empty(), "{} of {count} seeds failed. CARILLON_SEED= {}", broken.len(), named.join(", "));
}

#[test]
fn nodes_that_do_not_talk_are_found_out() {
    let (table, _) = simulate_all(0..2, Together::Not, MINUTES_MIN);
    let sums = table.sums();
    assert!(sums.duplicates > sums.needed, "duplicates {} of {} needed", sums.duplicates, sums.needed);
    assert!(sums.falses > 0, "of a load-balanced sender's alerts nodes alone say that they are over");
}

/// Runs seeds of one class with a rule taken away.
fn simulate_without(rule: Without, class: &'static str, seeds: std::ops::Range<u64>) -> Line {
    let together = Together::Without(rule);
    let mut table = Table::default();
    for seed in seeds {
        let child = simulate_class(seed, together, Some(class), MINUTES_MIN, false);
        table.add(&child.line.unwrap_or_else(|| panic!("{}", child.output)));
    }
    table.sums()
}

#[test]
fn nodes_that_only_wait_for_their_turn_repeat_each_other_and_say_what_is_not_true_any_more() {
    let sums = simulate_without(Without::Questions, "slow", 0..3);
    assert!(sums.duplicates > sums.needed / 10, "duplicates {} of {} needed", sums.duplicates, sums.needed);
    assert!(sums.stale > 0, "a slow firing message overtaken by the end");
}

#[test]
fn a_rule_that_is_taken_away_is_missed() {
    type Figure = fn(&Line) -> u64;
    let cases: [(Without, &str, std::ops::Range<u64>, Figure); 5] = [
        (Without::Asking, "slow", 0..1, |line| line.duplicates),
        (Without::Claims, "slow", 0..1, |line| line.duplicates),
        // Everybody probes a receiver that refuses; with the rule about five attempts go to one message.
        (Without::Failures, "refuse", 0..2, |line| line.attempts.saturating_sub(8 * line.needed)),
        (Without::Doubt, "lb+split", 0..2, |line| line.falses + line.unknowing),
        (Without::Correction, "skew", 0..2, |line| line.falses),
    ];
    for (rule, class, seeds, figure) in cases {
        let sums = simulate_without(rule, class, seeds);
        assert!(figure(&sums) > 0, "without {} nothing is wrong in {class}", rule.name());
    }
}

#[test]
fn a_seed_replays_exactly() {
    let marks = |seed| [0, 0].map(|_| simulate(seed, Together::Ring, MINUTES_MIN, false).line.map(|line| line.mark));
    let [first, again] = marks(2);
    assert!(first.is_some() && first == again, "{first:?} and {again:?}");
}
