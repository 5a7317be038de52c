//! What silences have kept quiet: for each the newest look at which it left firing alerts out, so that nobody need search
//! the record for it.
//!
//! It is noted when a decision is written down. Looks that only repeat a decision cost nothing: their moment is that of
//! the run ([`super::runs::Runs`]), which is asked when somebody wants to know. What was before the start is read from
//! the files in the background, once.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use prost::Message as _;

use super::{
    model::{Decision, Muted, Status},
    runs::Repeat,
    wire::Book,
};
use crate::clock::Time;

/// Silences that are remembered, about 10 MB. Beyond it those that come new are not.
const SILENCES_MAX: usize = 100_000;
/// Silences in one question.
pub const IDS_MAX: usize = 1_000;

/// A silence, and how many firing alerts it left out at a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silenced {
    pub id: Arc<str>,
    alerts: u32,
    /// Perhaps more: of a large group not all alerts are listed.
    or_more: bool,
}

/// The newest look of a group at which a silence left firing alerts out, whether others of the group were told or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Last {
    pub at: Time,
    /// How many: of this group, at this look.
    pub alerts: u32,
    /// At least so many.
    pub or_more: bool,
}

/// Everything that is known on this node.
#[derive(Debug, Default)]
pub struct Quieted {
    last: HashMap<Arc<str>, Last>,
    /// What was before is not known.
    since: Time,
}

/// What a node knows of the silences that it was asked for, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub last: Vec<Option<Last>>,
    pub since: Time,
}

/// What all nodes know together that answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastQuieted {
    last: HashMap<Arc<str>, Last>,
    /// Nothing is known of what was before, on one node or the other. `None`: no node keeps a record.
    pub since: Option<Time>,
    /// Who did not answer.
    pub silent: Vec<Arc<str>>,
}

/// The silences that left alerts out of a decision.
#[must_use]
pub fn silenced_in(decision: &Decision) -> Vec<Silenced> {
    let mut found: Vec<Silenced> = Vec::new();
    if decision.totals.muted == 0 {
        return found;
    }
    let or_more = decision.omitted() > 0;
    // Of one that is over there would mostly have been nothing to tell.
    for alert in decision.alerts.iter().filter(|alert| alert.status == Status::Firing) {
        let Some(Muted::Silences(ids)) = alert.muted.as_deref() else { continue };
        for id in ids {
            match found.iter_mut().find(|known| known.id == *id) {
                Some(known) => known.alerts += 1,
                None => found.push(Silenced { id: Arc::clone(id), alerts: 1, or_more }),
            }
        }
    }
    found
}

impl Quieted {
    /// Of what was before this moment nothing is known.
    #[must_use]
    pub fn since(now: Time) -> Self {
        Quieted { since: now, ..Quieted::default() }
    }

    /// These were kept quiet at this moment.
    pub fn note(&mut self, silenced: &[Silenced], at: Time) {
        for Silenced { id, alerts, or_more } in silenced {
            self.put(id, Last { at, alerts: *alerts, or_more: *or_more });
        }
    }

    fn put(&mut self, id: &Arc<str>, last: Last) {
        let is_full = self.last.len() >= SILENCES_MAX;
        match self.last.entry(Arc::clone(id)) {
            Entry::Occupied(mut known) => {
                known.get_mut().keep_newer(last);
            }
            Entry::Vacant(place) if !is_full => {
                place.insert(last);
            }
            Entry::Vacant(_) => {}
        }
    }

    /// Takes in the next older file. `repeats`: what is said of its decisions in newer ones.
    pub fn read(&mut self, book: &Book, repeats: &mut HashMap<u64, Repeat>) {
        for repeat in &book.repeats {
            let known = repeats.entry(repeat.id).or_insert(*repeat);
            if repeat.count > known.count {
                *known = *repeat;
            }
        }
        for (_, message) in &book.decisions {
            let mut silenced: Vec<(&str, u32)> = Vec::new();
            for (id, alerts) in message.silenced() {
                match silenced.iter_mut().find(|(known, _)| *known == id) {
                    Some((_, count)) => *count = count.saturating_add(alerts),
                    None => silenced.push((id, alerts)),
                }
            }
            let repeated = repeats.get(&message.id).map(|repeat| repeat.last);
            let at = repeated.map_or(message.last(), |last| last.max(message.last()));
            for (id, alerts) in silenced {
                self.put(&id.into(), Last { at, alerts, or_more: message.has_more() });
            }
        }
    }

    /// All files are read. `began`: of the oldest, if there is any.
    pub fn reaches_back(&mut self, began: Option<Time>) {
        if let Some(began) = began {
            self.since = self.since.min(began);
        }
    }

    /// What is older is not kept any more.
    pub fn forget_before(&mut self, oldest: Time) {
        self.last.retain(|_, last| last.at >= oldest);
        self.since = self.since.max(oldest);
    }

    #[must_use]
    pub fn known(&self, ids: &[Arc<str>]) -> Known {
        Known { last: ids.iter().map(|id| self.last.get(id).copied()).collect(), since: self.since }
    }
}

impl Last {
    fn keep_newer(&mut self, other: Last) {
        if (other.at, other.alerts) > (self.at, self.alerts) {
            *self = other;
        }
    }
}

impl LastQuieted {
    /// What one node says; `None`: it keeps no record.
    #[must_use]
    pub fn of(own: Option<Known>, ids: &[Arc<str>]) -> Self {
        let mut all = LastQuieted::default();
        all.take(own, ids);
        all
    }

    /// What a peer says: nothing at all, or that it keeps no record, or what it knows.
    pub fn add(&mut self, node: &Arc<str>, answer: Option<Option<Known>>, ids: &[Arc<str>]) {
        match answer {
            Some(known) => self.take(known, ids),
            None if self.silent.contains(node) => {}
            None => self.silent.push(Arc::clone(node)),
        }
    }

    fn take(&mut self, known: Option<Known>, ids: &[Arc<str>]) {
        let Some(known) = known else { return };
        self.since = self.since.max(Some(known.since));
        for (id, last) in ids.iter().zip(known.last) {
            let Some(last) = last else { continue };
            self.last.entry(Arc::clone(id)).or_insert(last).keep_newer(last);
        }
    }

    #[must_use]
    pub fn get(&self, id: &str) -> Option<Last> {
        self.last.get(id).copied()
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct QuestionMessage {
    #[prost(string, repeated, tag = "1")]
    ids: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AnswerMessage {
    #[prost(bool, tag = "1")]
    off: bool,
    /// Microseconds since 1970.
    #[prost(sint64, tag = "2")]
    since: i64,
    /// Of those silences only of which something is known.
    #[prost(message, repeated, tag = "3")]
    last: Vec<LastMessage>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct LastMessage {
    /// In the question, from 0.
    #[prost(uint32, tag = "1")]
    place: u32,
    #[prost(sint64, tag = "2")]
    at: i64,
    #[prost(uint32, tag = "3")]
    alerts: u32,
    #[prost(bool, tag = "4")]
    or_more: bool,
}

pub fn write_question(ids: &[Arc<str>]) -> Vec<u8> {
    QuestionMessage { ids: ids.iter().map(|id| (**id).to_owned()).collect() }.encode_to_vec()
}

/// `None`: it cannot be understood.
pub fn read_question(bytes: &[u8]) -> Option<Vec<Arc<str>>> {
    let message = QuestionMessage::decode(bytes).ok().filter(|message| message.ids.len() <= IDS_MAX)?;
    Some(message.ids.iter().map(|id| id.as_str().into()).collect())
}

/// `None`: this node keeps no record.
pub fn write_answer(known: Option<&Known>) -> Vec<u8> {
    let Some(known) = known else {
        return AnswerMessage { off: true, ..AnswerMessage::default() }.encode_to_vec();
    };
    let last = known.last.iter().zip(0..).filter_map(|(last, place)| {
        let Last { at, alerts, or_more } = (*last)?;
        Some(LastMessage { place, at: at.timestamp_micros(), alerts, or_more })
    });
    AnswerMessage { off: false, since: known.since.timestamp_micros(), last: last.collect() }.encode_to_vec()
}

/// `None`: it cannot be understood; `Some(None)`: the peer keeps no record.
#[allow(clippy::option_option, reason = "two things that may be missing")]
pub fn read_answer(bytes: &[u8], ids: &[Arc<str>]) -> Option<Option<Known>> {
    let message = AnswerMessage::decode(bytes).ok()?;
    if message.off {
        return Some(None);
    }
    let mut last = vec![None; ids.len()];
    for LastMessage { place, at, alerts, or_more } in message.last {
        if let Some(slot) = usize::try_from(place).ok().and_then(|place| last.get_mut(place)) {
            *slot = Time::from_timestamp_micros(at).map(|at| Last { at, alerts, or_more });
        }
    }
    Some(Some(Known { last, since: Time::from_timestamp_micros(message.since)? }))
}
