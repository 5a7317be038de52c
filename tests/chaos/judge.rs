//! Compares what people were told with what was true.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crate::{
    sender::{Life, Name},
    support::hook::Told,
};

/// What a message says may be so old: it is decided, sent, and read.
const AGE: Duration = Duration::from_secs(3);
/// The time from the receiver's answer to the peers' knowing: who dies in it takes the knowledge along.
const UNTOLD_PEERS: Duration = Duration::from_millis(1500);

/// Something that was done to the nodes.
pub struct Deed {
    pub at: Instant,
    /// The node that was killed; `None`: the nodes could not reach each other, until `until`.
    pub killed: Option<String>,
    pub until: Instant,
}

/// The figures of one scenario.
#[derive(Default)]
pub struct Verdict {
    /// Messages that a perfect service sends.
    pub expected: usize,
    pub messages: usize,
    /// Changes that nobody was told of.
    pub lost: Vec<String>,
    /// Messages without news, for which there is no excuse.
    pub repeated: Vec<String>,
    /// Messages without news after a kill between telling and saying so, or during a split.
    pub excused: usize,
    /// Messages that said what was not so.
    pub wrong: Vec<String>,
    /// Messages about what was silenced.
    pub silenced: Vec<String>,
    /// Longest time from a change to its first message.
    pub worst: Duration,
}

/// `quiet`: groups under a silence, and since when it was acknowledged.
pub fn judge(
    told: &[Told],
    truth: &BTreeMap<Name, Life>,
    deeds: &[Deed],
    quiet: &BTreeMap<String, Instant>,
) -> Verdict {
    let mut verdict = Verdict { messages: told.len(), ..Verdict::default() };
    let mut heard: BTreeMap<Name, bool> = BTreeMap::new();
    let mut first: BTreeMap<(Name, bool), Instant> = BTreeMap::new();
    let mut last: BTreeMap<String, (String, Instant)> = BTreeMap::new();
    for message in told {
        let group = message.json["groupLabels"]["alertname"].as_str().unwrap_or_default().to_owned();
        let teller = message.json["externalURL"].as_str().unwrap_or_default().trim_start_matches("http://").to_owned();
        let mut is_news = false;
        for (name, fires) in says(message) {
            let life = truth.get(&name);
            if let Some(life) = life.filter(|life| !was(life, fires, message.arrived)) {
                let word = if fires { "firing" } else { "resolved" };
                let after = message.arrived.duration_since(life.resolved.unwrap_or(life.fired));
                verdict
                    .wrong
                    .push(format!("{group}/{} called {word} by {teller}, {after:.1?} after the opposite", name.1));
            }
            if quiet.get(&group).is_some_and(|since| message.arrived > *since + AGE) && fires {
                verdict.silenced.push(group.clone());
            }
            is_news |= heard.insert(name.clone(), fires) != Some(fires);
            first.entry((name, fires)).or_insert(message.arrived);
        }
        if !is_news {
            let before = last.get(&group);
            if before.is_some_and(|(teller, at)| is_excused(deeds, teller, *at, message.arrived)) {
                verdict.excused += 1;
            } else {
                let by = before.map(|(teller, at)| format!("{:.1?} after {teller}", message.arrived - *at));
                verdict.repeated.push(format!("{group} by {teller}, {}", by.unwrap_or_default()));
            }
        }
        last.insert(group, (teller, message.arrived));
    }
    // One message for each change of each group: all its alerts change at once.
    let mut due: BTreeSet<(&String, bool)> = BTreeSet::new();
    for (name, life) in truth.iter().filter(|(name, _)| !quiet.contains_key(&name.0)) {
        let told = |fires: bool| first.get(&(name.clone(), fires));
        let changes = [Some((true, life.fired)), life.resolved.map(|at| (false, at))];
        for (fires, at) in changes.into_iter().flatten() {
            match told(fires) {
                Some(told) => verdict.worst = verdict.worst.max(told.saturating_duration_since(at)),
                // It had ended before anybody could be told of it, and that is what was told.
                None if fires && told(false).is_some() => continue,
                None => {
                    verdict.lost.push(format!("{}/{} {}", name.0, name.1, if fires { "firing" } else { "resolved" }))
                }
            }
            due.insert((&name.0, fires));
        }
    }
    verdict.expected = due.len();
    verdict
}

/// The alerts of a message, and whether each is said to burn.
fn says(message: &Told) -> Vec<(Name, bool)> {
    let alerts = message.json["alerts"].as_array().map(Vec::as_slice).unwrap_or_default();
    alerts
        .iter()
        .map(|alert| {
            let label = |name: &str| alert["labels"][name].as_str().unwrap_or_default().to_owned();
            ((label("alertname"), label("n").parse().unwrap_or_default()), alert["status"] == "firing")
        })
        .collect()
}

/// Whether it burned (or did not) at some moment that the message can be from.
fn was(life: &Life, fires: bool, at: Instant) -> bool {
    let since = at.checked_sub(AGE).unwrap_or(at);
    if fires {
        life.resolved.is_none_or(|resolved| resolved > since)
    } else {
        life.resolved.is_some_and(|resolved| resolved <= at)
    }
}

fn is_excused(deeds: &[Deed], teller: &str, told: Instant, again: Instant) -> bool {
    deeds.iter().any(|deed| match &deed.killed {
        Some(killed) => {
            killed == teller && deed.at + Duration::from_millis(200) >= told && deed.at <= told + UNTOLD_PEERS
        }
        None => deed.at <= again && told <= deed.until + UNTOLD_PEERS && deed.at <= told + UNTOLD_PEERS,
    })
}
