//! A long run: many alerts refreshed each minute as Prometheus does it, with churn, silences, reloads and kills, and what
//! each node takes meanwhile: memory, CPU, files, descriptors, tasks.
//!
//! `cargo test --release --test soak -- --ignored --nocapture`, with
//! `CARILLON_SOAK_MINUTES` (60), `CARILLON_SOAK_SECONDS` (length of a minute, 60), `CARILLON_SOAK_ALERTS` (10000),
//! `CARILLON_SOAK_NODES` (3), `CARILLON_SOAK_TROUBLE` (1: kills, reloads and churn; 0: only refreshes, for sizing).
//! The first node is never killed: its figures are the ones that must not grow.

#![allow(clippy::disallowed_methods, reason = "the real program runs in real time")]

mod support;

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use support::{
    hook::Hook,
    pass,
    ring::{Node, Ring},
};

/// As many alerts as Prometheus posts at once.
const BATCH: usize = 256;
const PER_GROUP: usize = 10;

struct Plan {
    minutes: u64,
    minute: Duration,
    alerts: usize,
    nodes: usize,
    trouble: bool,
}

impl Plan {
    fn from_environment() -> Plan {
        let number = |name: &str, default: u64| {
            std::env::var(format!("CARILLON_SOAK_{name}")).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
        };
        Plan {
            minutes: number("MINUTES", 60),
            minute: Duration::from_secs(number("SECONDS", 60)),
            alerts: usize::try_from(number("ALERTS", 10_000)).unwrap(),
            nodes: usize::try_from(number("NODES", 3)).unwrap(),
            trouble: number("TROUBLE", 1) != 0,
        }
    }
}

/// What burns: place in the list and generation, so that churn replaces one alert by another.
struct Fleet {
    generations: Vec<u64>,
    starts: Vec<DateTime<Utc>>,
    /// Ended in this minute.
    ended: Vec<(usize, u64)>,
}

impl Fleet {
    fn new(count: usize) -> Fleet {
        Fleet { generations: vec![0; count], starts: vec![Utc::now(); count], ended: Vec::new() }
    }

    /// Every fiftieth is replaced, others each time.
    fn churn(&mut self, minute: u64) {
        let shift = usize::try_from(minute % 50).unwrap();
        self.ended.clear();
        for place in (shift..self.generations.len()).step_by(50) {
            self.ended.push((place, self.generations[place]));
            self.generations[place] += 1;
            self.starts[place] = Utc::now();
        }
    }

    fn alert(&self, place: usize, generation: u64, ends_at: DateTime<Utc>) -> Value {
        json!({
            "labels": {
                "alertname": format!("Alert{}", place / PER_GROUP), "severity": "warning", "cluster": "soak",
                "instance": format!("host-{place}.example.org:9100"), "job": "node", "generation": generation.to_string(),
            },
            "annotations": {"summary": format!("host-{place} is not well"), "description": "It has been so for 5 minutes."},
            "startsAt": self.starts[place].to_rfc3339(), "endsAt": ends_at.to_rfc3339(),
            "generatorURL": "http://prometheus.example.org/graph?g0.expr=up+%3D%3D+0",
        })
    }

    /// The bodies of one minute.
    fn bodies(&self, life: TimeDelta) -> Vec<String> {
        let now = Utc::now();
        let firing = (0..self.generations.len()).map(|place| self.alert(place, self.generations[place], now + life));
        let ended = self.ended.iter().map(|(place, generation)| self.alert(*place, *generation, now));
        let all: Vec<Value> = ended.chain(firing).collect();
        all.chunks(BATCH).map(|batch| Value::from(batch.to_vec()).to_string()).collect()
    }
}

/// One node at one moment.
struct Sample {
    rss_mib: f64,
    cpu_seconds: f64,
    files: f64,
    tasks: f64,
    disk_mib: f64,
}

fn sample(node: &Node) -> Option<Sample> {
    let text = node.metrics()?;
    let value = |name: &str| -> f64 {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.rsplit(' ').next().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
    };
    Some(Sample {
        rss_mib: value("process_resident_memory_bytes ") / f64::from(1 << 20),
        cpu_seconds: value("process_cpu_seconds_total "),
        files: value("process_open_fds "),
        tasks: value("alertmanager_runtime_tasks "),
        disk_mib: size_of(&node.dir.join("data")) / f64::from(1 << 20),
    })
}

#[allow(clippy::cast_precision_loss, reason = "a figure to look at")]
fn size_of(folder: &Path) -> f64 {
    let entries = std::fs::read_dir(folder).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    entries.iter().filter_map(|entry| entry.metadata().ok()).map(|meta| meta.len() as f64).sum()
}

/// Posts all bodies, spread over half of the minute.
fn post(node: &Node, bodies: &[String], minute: Duration) {
    let pause = minute / 2 / u32::try_from(bodies.len().max(1)).unwrap();
    for body in bodies {
        let started = Instant::now();
        // A node that is down gets the next minute's.
        let _ = support::http::request_within(Duration::from_secs(10), &node.web, "POST", "/api/v2/alerts", Some(body));
        pass(pause.saturating_sub(started.elapsed()));
    }
}

fn silence(minute: u64) -> Value {
    json!({
        "matchers": [{"name": "instance", "value": format!("host-{minute}0.*"), "isRegex": true}], "createdBy": "soak",
        "comment": "", "startsAt": Utc::now().to_rfc3339(), "endsAt": (Utc::now() + TimeDelta::minutes(10)).to_rfc3339(),
    })
}

/// What happens to the nodes in this minute.
fn trouble(ring: &Ring, minute: u64, told: usize) {
    let _ = ring.nodes[0].post_silence(&silence(minute));
    if minute % 5 == 2 {
        ring.nodes.iter().for_each(|node| node.signal("HUP"));
    }
    if minute % 4 == 3 && ring.nodes.len() > 1 {
        let victims = ring.nodes.len() - 1;
        let victim = &ring.nodes[1 + usize::try_from(minute / 4).unwrap() % victims];
        victim.kill();
        pass(Duration::from_secs(2));
        victim.start();
        println!("      {} was killed and started again; {told} messages so far", victim.name);
    }
}

#[test]
#[ignore = "takes an hour: cargo test --release --test soak -- --ignored --nocapture"]
fn nothing_grows() {
    let plan = Plan::from_environment();
    let hook = Hook::start();
    let config = format!(
        "
route: {{receiver: hook, group_by: [alertname], group_wait: 5s, group_interval: 1m, repeat_interval: 4h}}
receivers: [{{name: hook, webhook_configs: [{{url: '{}'}}]}}]
",
        hook.url()
    );
    let flags = ["--data.maintenance-interval=1m", "--alerts.gc-interval=1m", "--data.retention=5m"];
    let ring = Ring::new(plan.nodes, &config, &flags);
    ring.start();
    println!(
        "{} alerts, {} node(s), {} minutes of {:?}{}\n{:>6}  RSS MiB, CPU s in this minute, descriptors, tasks, disk MiB of each node",
        plan.alerts,
        plan.nodes,
        plan.minutes,
        plan.minute,
        if plan.trouble { ", with churn, reloads and kills" } else { "" },
        "minute"
    );
    let mut fleet = Fleet::new(plan.alerts);
    let life = TimeDelta::from_std(plan.minute * 4).unwrap();
    let mut first: Vec<Sample> = Vec::new();
    let mut before: Vec<f64> = vec![0.0; plan.nodes];
    for minute in 0..plan.minutes {
        let started = Instant::now();
        if plan.trouble && minute > 0 {
            fleet.churn(minute);
            trouble(&ring, minute, hook.told().len());
        }
        let bodies = fleet.bodies(life);
        thread::scope(|scope| {
            for node in &ring.nodes {
                let bodies = &bodies;
                scope.spawn(move || post(node, bodies, plan.minute));
            }
        });
        pass(plan.minute.saturating_sub(started.elapsed()));
        print!("{minute:>6}");
        for (node, before) in ring.nodes.iter().zip(&mut before) {
            let Some(sample) = sample(node) else {
                print!("  {:>34}", "no answer");
                continue;
            };
            let spent = (sample.cpu_seconds - *before).max(0.0);
            *before = sample.cpu_seconds;
            print!(
                "  {:>6.1} {spent:>6.2} {:>5} {:>5} {:>7.1}",
                sample.rss_mib, sample.files, sample.tasks, sample.disk_mib
            );
            if node.name == "n0" {
                first.push(sample);
            }
        }
        println!();
    }
    let seen = ring.nodes[0].get("/api/v2/alerts").map_or(0, |alerts| alerts.as_array().map_or(0, Vec::len));
    println!("{} messages, n0 shows {seen} alerts", hook.told().len());
    assert!(seen >= plan.alerts, "{seen}");
    judge(&first);
}

/// Its name, where it stands in a sample, and by how much it may grow.
type Figure = (&'static str, fn(&Sample) -> f64, f64);

/// The last quarter against the second one: in the first everything still fills up.
fn judge(samples: &[Sample]) {
    let quarter = samples.len() / 4;
    if quarter < 3 {
        return println!("too short to judge");
    }
    let (early, late) = (&samples[quarter..2 * quarter], &samples[samples.len() - quarter..]);
    let median = |samples: &[Sample], of: fn(&Sample) -> f64| {
        let mut values: Vec<f64> = samples.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let figures: [Figure; 4] = [
        ("memory, MiB", |s| s.rss_mib, 15.0),
        ("descriptors", |s| s.files, 10.0),
        ("tasks", |s| s.tasks, 20.0),
        ("disk, MiB", |s| s.disk_mib, 8.0),
    ];
    for (name, of, slack) in figures {
        let (before, after) = (median(early, of), median(late, of));
        println!("{name}: {before:.1} in the second quarter, {after:.1} in the last");
        assert!(after <= before * 1.1 + slack, "{name} grew from {before:.1} to {after:.1}");
    }
}
