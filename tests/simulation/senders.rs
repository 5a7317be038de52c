//! What is true: when each alert fires, which node was told so, and who silenced what. Judges and senders read it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{
    chance::Rng,
    paths::{Nodes, Paths},
    receiver::Heard,
    scenario::{Ms, SECOND, Scenario},
};

/// A node took in a post.
#[derive(Clone, Copy, Debug)]
pub struct Accepted {
    pub at: Ms,
    pub node: usize,
    pub life: u64,
    pub ends_at: Ms,
}

/// One firing of an alert.
#[derive(Clone, Debug)]
pub struct Period {
    pub starts: Ms,
    /// `Ms::MAX`: it fires to the end of the run.
    pub ends: Ms,
    /// The sender says so; otherwise it falls silent.
    pub is_explicit: bool,
    pub accepted: Vec<Accepted>,
    /// Nodes that were told of its end.
    pub ended: Vec<Accepted>,
}

#[derive(Clone, Debug)]
pub struct AlertLife {
    pub group: usize,
    pub periods: Vec<Period>,
}

/// A silence that somebody got a 200 for.
#[derive(Clone, Debug)]
pub struct Silenced {
    pub id: String,
    pub alert: usize,
    pub node: usize,
    pub acknowledged: Ms,
    /// Its end, or the moment at which somebody began to end it.
    pub until: Ms,
}

#[derive(Debug, Default)]
pub struct Facts {
    pub alerts: Vec<AlertLife>,
    pub silences: Vec<Silenced>,
    /// Spans in which an alert may have been silenced, acknowledged or not.
    pub quiet: Vec<(usize, Ms, Ms)>,
    pub paths: Paths,
    pub lives: Vec<u64>,
}

#[derive(Clone, Debug, Default)]
pub struct Truth(Arc<Mutex<Facts>>);

impl Truth {
    pub fn facts(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn drawn(scenario: &Scenario) -> Self {
        let rng = &mut Rng::new(scenario.seed, 3);
        let count = scenario.groups * scenario.alerts_per_group;
        let alerts =
            (0..count).map(|i| AlertLife { group: i % scenario.groups, periods: periods(scenario, rng) }).collect();
        Truth(Arc::new(Mutex::new(Facts { alerts, lives: vec![0; scenario.nodes], ..Facts::default() })))
    }
}

fn periods(scenario: &Scenario, rng: &mut Rng) -> Vec<Period> {
    let mut periods = Vec::new();
    let mut at = rng.between(500, 60 * SECOND);
    while at < scenario.calm_from {
        let lasts =
            if rng.chance(20) { rng.between(SECOND, 15 * SECOND) } else { rng.between(15 * SECOND, 120 * SECOND) };
        let is_explicit = rng.chance(85);
        periods.push(Period { starts: at, ends: at + lasts, is_explicit, accepted: vec![], ended: vec![] });
        let silent = if is_explicit { 0 } else { scenario.life() + 35 * SECOND };
        at += lasts + silent + rng.between(5 * SECOND, 90 * SECOND);
    }
    if let Some(last) = periods.last_mut()
        && rng.chance(50)
    {
        last.ends = Ms::MAX;
    }
    periods
}

impl Facts {
    /// The firing that burns at `at`.
    pub fn burning(&self, alert: usize, at: Ms) -> Option<(usize, &Period)> {
        self.alerts[alert].periods.iter().enumerate().find(|(_, p)| p.starts <= at && at < p.ends)
    }

    /// Nodes that took in, in this life of theirs, that the alert fires until after `at`.
    fn knowing(&self, period: &Period, at: Ms) -> Nodes {
        let knows = |a: &&Accepted| a.at + SECOND <= at && at < a.ends_at && self.lives[a.node] == a.life;
        period.accepted.iter().filter(knows).fold(0, |nodes, a| nodes | 1 << a.node)
    }

    /// Looks at what a request says at the moment at which it begins.
    pub fn witness(&self, heard: &mut Heard) {
        let (node, at) = (heard.node, heard.sent);
        let in_reach = self.paths.in_reach(node, at);
        for word in &heard.words {
            if let Some((_, period)) = self.burning(word.alert, at)
                && !word.firing
            {
                let list = if self.knowing(period, at) & in_reach != 0 {
                    &mut heard.known_to_fire
                } else {
                    &mut heard.burning
                };
                list.push(word.alert);
            }
            let is_known = |silence: &&Silenced| {
                let stands = silence.acknowledged + SECOND <= at && at < silence.until;
                stands && self.paths.spread(1 << silence.node, silence.acknowledged, at) & (1 << node) != 0
            };
            if word.firing && self.silences.iter().filter(|s| s.alert == word.alert).any(|s| is_known(&s)) {
                heard.silenced.push(word.alert);
            }
        }
    }
}

/// What a sender says of one alert in one post.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    pub alert: usize,
    pub period: usize,
    pub starts_at: Ms,
    pub ends_at: Ms,
    pub is_end: bool,
}

/// How long an end is repeated.
const REPEATED: Ms = 90 * SECOND;

/// Everything that is to be said at `now`.
pub fn post(facts: &Facts, scenario: &Scenario, now: Ms) -> Vec<Said> {
    let mut all = Vec::new();
    for (alert, life) in facts.alerts.iter().enumerate() {
        let newest = life.periods.iter().enumerate().rev().find(|(_, period)| period.starts <= now);
        let Some((number, period)) = newest else { continue };
        let said = |ends_at, is_end| Said { alert, period: number, starts_at: period.starts, ends_at, is_end };
        if now < period.ends {
            all.push(said(now + scenario.life(), false));
        } else if period.is_explicit && now < period.ends + REPEATED {
            all.push(said(period.ends, true));
        }
    }
    all
}

/// Moments at which there is something new to say.
pub fn changes(facts: &Facts) -> Vec<Ms> {
    let of = |p: &Period| [Some(p.starts), Some(p.ends).filter(|end| p.is_explicit && *end < Ms::MAX)];
    let mut all: Vec<Ms> = facts.alerts.iter().flat_map(|a| a.periods.iter().flat_map(of).flatten()).collect();
    all.sort_unstable();
    all
}
