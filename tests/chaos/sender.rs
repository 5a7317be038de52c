//! A Prometheus for the tests: it knows what burns, and posts all of it again and again.

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::support::http;

/// Every so often all alerts are posted; changes at once.
const INTERVAL: Duration = Duration::from_secs(2);
/// How long an alert lives without being posted again.
const LIFE: TimeDelta = TimeDelta::seconds(20);
const PATIENCE: Duration = Duration::from_secs(3);

/// Group and number: one alert.
pub type Name = (String, u32);

/// One alert's life: from when it burns, and until when.
#[derive(Clone)]
pub struct Life {
    pub fired: Instant,
    pub resolved: Option<Instant>,
    starts_at: DateTime<Utc>,
    ends_at: Option<DateTime<Utc>>,
}

#[derive(Default)]
struct State {
    alerts: BTreeMap<Name, Life>,
    /// Grows with each change.
    version: u64,
    ended: bool,
}

/// To whom an evaluation goes.
#[derive(Clone, Copy, PartialEq)]
pub enum Aim {
    /// To every node, as it should be.
    All,
    /// Each evaluation to one node in turn, as through a balancer.
    InTurn,
}

pub struct Sender {
    state: Arc<(Mutex<State>, Condvar)>,
    threads: Vec<JoinHandle<()>>,
}

impl Sender {
    pub fn start(targets: &[String], aim: Aim) -> Sender {
        let state: Arc<(Mutex<State>, Condvar)> = Arc::default();
        let lists: Vec<Vec<String>> = match aim {
            Aim::All => targets.iter().map(|target| vec![target.clone()]).collect(),
            Aim::InTurn => vec![targets.to_vec()],
        };
        let threads = lists.into_iter().map(|list| {
            let state = Arc::clone(&state);
            thread::spawn(move || post_until_the_end(&state, &list))
        });
        let threads = threads.collect();
        Sender { state, threads }
    }

    /// `count` alerts in each of these groups begin to burn.
    pub fn fire(&self, groups: &[String], count: u32) {
        let (fired, starts_at) = (Instant::now(), Utc::now());
        self.change(|alerts| {
            for group in groups {
                for n in 0..count {
                    alerts.insert((group.clone(), n), Life { fired, resolved: None, starts_at, ends_at: None });
                }
            }
        });
    }

    pub fn resolve(&self, groups: &[String]) {
        let (at, ends_at) = (Instant::now(), Utc::now());
        self.change(|alerts| {
            for (_, life) in
                alerts.iter_mut().filter(|(name, life)| groups.contains(&name.0) && life.resolved.is_none())
            {
                (life.resolved, life.ends_at) = (Some(at), Some(ends_at));
            }
        });
    }

    /// What burned when.
    pub fn truth(&self) -> BTreeMap<Name, Life> {
        self.state.0.lock().unwrap().alerts.clone()
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<Name, Life>)) {
        let mut state = self.state.0.lock().unwrap();
        change(&mut state.alerts);
        state.version += 1;
        self.state.1.notify_all();
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.state.0.lock().unwrap().ended = true;
        self.state.1.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn post_until_the_end(state: &(Mutex<State>, Condvar), targets: &[String]) {
    let mut seen = 0;
    for target in targets.iter().cycle() {
        let (body, ended) = {
            let unchanged = |state: &mut State| state.version == seen && !state.ended;
            let guard = state.1.wait_timeout_while(state.0.lock().unwrap(), INTERVAL, unchanged).unwrap().0;
            seen = guard.version;
            (body(&guard.alerts), guard.ended)
        };
        if ended {
            return;
        }
        if body.as_array().is_some_and(|list| !list.is_empty()) {
            // A node that is down or cut off does not get it; the next evaluation repeats it.
            let _ = http::request_within(PATIENCE, target, "POST", "/api/v2/alerts", Some(&body.to_string()));
        }
    }
}

/// What burns, and what ended lately.
fn body(alerts: &BTreeMap<Name, Life>) -> Value {
    let now = Utc::now();
    let wanted = alerts.iter().filter(|(_, life)| life.ends_at.is_none_or(|end| now - end < LIFE));
    wanted
        .map(|((group, n), life)| {
            json!({
                "labels": {"alertname": group, "n": n.to_string()},
                "startsAt": life.starts_at.to_rfc3339(), "endsAt": life.ends_at.unwrap_or(now + LIFE).to_rfc3339(),
            })
        })
        .collect()
}
