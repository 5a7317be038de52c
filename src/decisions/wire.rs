//! Decisions in protobuf, as they lie on disk and go between nodes.
//!
//! Label sets and groups stand once in a file (or an answer) and are referred to by number; whoever reads needs the
//! whole of it. Unknown fields are passed over, so that older and newer nodes read each other.

use std::{collections::HashMap, sync::Arc, time::Duration};

use prost::Message as _;
use xxhash_rust::xxh64::Xxh64;

use super::{
    model::{Alert, Attempt, Claim, Decision, Group, Logged, Muted, Outcome, Phase, Slot, Status, Totals, Why},
    runs::Repeat,
    texts::{self, Pairs},
};
use crate::{
    alert::{Fingerprint, FingerprintMap, Labels},
    clock::Time,
};

/// Longer texts are cut.
const TEXT_BYTES_MAX: usize = 2 << 10;
/// Ids of silences and names of intervals that are listed.
const NAMES_MAX: usize = 16;
const NAME_BYTES_MAX: usize = 256;
/// Label sets in one block; beyond it alerts go without.
const SETS_BYTES_MAX: usize = 2 << 20;

/// What is written at one time.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Block {
    /// The node that decided.
    #[prost(string, tag = "1")]
    pub node: String,
    #[prost(message, repeated, tag = "2")]
    labels: Vec<LabelsMessage>,
    #[prost(message, repeated, tag = "3")]
    groups: Vec<GroupMessage>,
    #[prost(message, repeated, tag = "4")]
    pub decisions: Vec<DecisionMessage>,
    #[prost(message, repeated, tag = "5")]
    repeats: Vec<RepeatMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LabelsMessage {
    #[prost(fixed64, tag = "1")]
    fingerprint: u64,
    #[prost(bytes = "vec", tag = "2")]
    pairs: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct GroupMessage {
    #[prost(fixed64, tag = "1")]
    number: u64,
    #[prost(string, tag = "2")]
    key: String,
    #[prost(string, tag = "3")]
    receiver: String,
    #[prost(string, tag = "4")]
    route: String,
    #[prost(bytes = "vec", tag = "5")]
    labels: Vec<u8>,
}

/// Times are microseconds, all but `at` relative to it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DecisionMessage {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(sint64, tag = "2")]
    at: i64,
    #[prost(sint64, tag = "3")]
    last: i64,
    /// Beyond the first.
    #[prost(uint64, tag = "4")]
    repeated: u64,
    #[prost(uint32, tag = "5")]
    outcome: u32,
    #[prost(uint32, tag = "6")]
    why: u32,
    #[prost(fixed64, tag = "7")]
    group: u64,
    #[prost(string, tag = "8")]
    kind: String,
    #[prost(uint32, tag = "9")]
    index: u32,
    #[prost(sint64, optional, tag = "10")]
    tick: Option<i64>,
    #[prost(sint64, optional, tag = "11")]
    until: Option<i64>,
    #[prost(message, repeated, tag = "12")]
    alerts: Vec<AlertMessage>,
    /// Different ones, to which alerts refer.
    #[prost(message, repeated, tag = "13")]
    muted_by: Vec<MutedMessage>,
    #[prost(uint32, tag = "14")]
    firing: u32,
    #[prost(uint32, tag = "15")]
    resolved: u32,
    #[prost(uint32, tag = "16")]
    muted: u32,
    #[prost(string, optional, tag = "17")]
    holder: Option<String>,
    #[prost(uint32, tag = "18")]
    phase: u32,
    #[prost(string, repeated, tag = "19")]
    order: Vec<String>,
    #[prost(message, optional, boxed, tag = "20")]
    attempt: Option<Box<AttemptMessage>>,
    #[prost(uint64, optional, tag = "21")]
    tells: Option<u64>,
    #[prost(sint64, tag = "22")]
    logged: i64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct AlertMessage {
    #[prost(fixed64, tag = "1")]
    fingerprint: u64,
    /// 1: resolved, 2: told.
    #[prost(uint32, tag = "2")]
    flags: u32,
    /// Place in `muted_by`, from 1.
    #[prost(uint32, tag = "3")]
    muted_by: u32,
}

const RESOLVED: u32 = 1;
const TOLD: u32 = 2;

#[derive(Clone, PartialEq, prost::Message)]
struct MutedMessage {
    /// 1: silences, 2: inhibited, 3: mute intervals, 4: outside of active intervals.
    #[prost(uint32, tag = "1")]
    stage: u32,
    #[prost(string, repeated, tag = "2")]
    names: Vec<String>,
    #[prost(fixed64, tag = "3")]
    source: u64,
    #[prost(uint32, tag = "4")]
    rule: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AttemptMessage {
    #[prost(uint32, tag = "1")]
    number: u32,
    #[prost(sint64, tag = "2")]
    sent: i64,
    #[prost(uint64, tag = "3")]
    took: u64,
    #[prost(string, optional, tag = "4")]
    error: Option<String>,
    #[prost(string, optional, tag = "5")]
    kind: Option<String>,
    #[prost(bool, tag = "6")]
    handed_over: bool,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct RepeatMessage {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    count: u64,
    #[prost(sint64, tag = "3")]
    last: i64,
}

/// What a file (or an answer) has said already.
#[derive(Debug, Default)]
pub struct Dictionary {
    labels: FingerprintMap<()>,
    groups: FingerprintMap<()>,
    /// Of the block at hand.
    sets_bytes: usize,
}

impl Dictionary {
    pub fn clear(&mut self) {
        *self = Dictionary::default();
    }

    /// Everything that is needed to read these, as far as it was not said before.
    pub fn block<'d>(
        &mut self,
        node: &str,
        decisions: impl IntoIterator<Item = &'d Decision>,
        repeats: &[Repeat],
    ) -> Block {
        let mut block = Block { node: node.to_owned(), ..Block::default() };
        self.sets_bytes = 0;
        for decision in decisions {
            let message = self.message(&mut block, decision);
            block.decisions.push(message);
        }
        block.repeats =
            repeats.iter().map(|r| RepeatMessage { id: r.id, count: r.count, last: micros(r.last) }).collect();
        block
    }

    fn message(&mut self, block: &mut Block, decision: &Decision) -> DecisionMessage {
        let at = micros(decision.at);
        let since = |time: Time| micros(time).saturating_sub(at);
        let mut message = DecisionMessage {
            id: decision.id,
            at,
            last: since(decision.last),
            repeated: decision.count.saturating_sub(1),
            outcome: place(&Outcome::ALL, &decision.outcome),
            why: place(&Why::ALL, &decision.why),
            group: self.group(block, decision),
            kind: decision.integration.as_ref().map(|slot| slot.kind.to_string()).unwrap_or_default(),
            index: decision.integration.as_ref().map_or(0, |slot| slot.index),
            tick: decision.tick.map(since),
            until: decision.until.map(since),
            firing: decision.totals.firing,
            resolved: decision.totals.resolved,
            muted: decision.totals.muted,
            holder: decision.claim.as_ref().map(|claim| claim.holder.to_string()),
            phase: decision.claim.as_ref().map_or(0, |claim| place(&Phase::ALL, &claim.phase)),
            order: decision.order.iter().map(ToString::to_string).collect(),
            attempt: decision.attempt.as_ref().map(|attempt| Box::new(AttemptMessage::of(attempt, at))),
            tells: decision.log.map(|log| log.tells),
            logged: decision.log.map_or(0, |log| since(log.at)),
            ..DecisionMessage::default()
        };
        message.alerts.reserve_exact(decision.alerts.len());
        let mut before: Option<(&Arc<Muted>, u32)> = None;
        for alert in &decision.alerts {
            self.labels(block, alert.fingerprint, alert.labels.as_ref());
            let muted_by = match (&alert.muted, before) {
                (None, _) => 0,
                (Some(muted), Some((same, place))) if Arc::ptr_eq(muted, same) || muted == same => place,
                (Some(muted), _) => {
                    let place = self.muted(block, &mut message.muted_by, muted);
                    before = Some((muted, place));
                    place
                }
            };
            let resolved = if alert.status == Status::Resolved { RESOLVED } else { 0 };
            let flags = resolved | if alert.told { TOLD } else { 0 };
            message.alerts.push(AlertMessage { fingerprint: alert.fingerprint.0, flags, muted_by });
        }
        message
    }

    fn labels(&mut self, block: &mut Block, fingerprint: Fingerprint, labels: Option<&Labels>) {
        let Some(labels) = labels else { return };
        if self.sets_bytes < SETS_BYTES_MAX
            && self.labels.insert(fingerprint, ()).is_none()
            && let Some(pairs) = texts::write(labels)
        {
            self.sets_bytes += pairs.len();
            block.labels.push(LabelsMessage { fingerprint: fingerprint.0, pairs });
        }
    }

    fn group(&mut self, block: &mut Block, decision: &Decision) -> u64 {
        let group = &decision.group;
        let mut hash = Xxh64::new(0);
        for part in [&group.key, &decision.receiver, &group.route] {
            hash.update(part.as_bytes());
            hash.update(&[0xFF]);
        }
        let number = hash.digest();
        if self.groups.insert(Fingerprint(number), ()).is_none() {
            block.groups.push(GroupMessage {
                number,
                key: cut(&group.key, 4 * TEXT_BYTES_MAX),
                receiver: cut(&decision.receiver, TEXT_BYTES_MAX),
                route: cut(&group.route, TEXT_BYTES_MAX),
                labels: texts::write(&group.labels).unwrap_or_default(),
            });
        }
        number
    }

    /// Its place in the list, from 1.
    fn muted(&mut self, block: &mut Block, list: &mut Vec<MutedMessage>, muted: &Muted) -> u32 {
        let message = match muted {
            Muted::Silences(ids) => MutedMessage { stage: 1, names: names(ids), ..MutedMessage::default() },
            Muted::Inhibited { source, labels, rule } => {
                self.labels(block, *source, labels.as_ref());
                MutedMessage { stage: 2, source: source.0, rule: *rule, names: Vec::new() }
            }
            Muted::MuteIntervals(list) => MutedMessage { stage: 3, names: names(list), ..MutedMessage::default() },
            Muted::OutsideActiveIntervals(list) => {
                MutedMessage { stage: 4, names: names(list), ..MutedMessage::default() }
            }
        };
        let place = list.iter().position(|known| *known == message).unwrap_or_else(|| {
            list.push(message);
            list.len() - 1
        });
        u32::try_from(place + 1).unwrap_or(0)
    }
}

impl AttemptMessage {
    fn of(attempt: &Attempt, at: i64) -> Self {
        AttemptMessage {
            number: attempt.number,
            sent: micros(attempt.sent).saturating_sub(at),
            took: u64::try_from(attempt.took.as_micros()).unwrap_or(u64::MAX),
            error: attempt.error.as_deref().map(|error| cut(error, TEXT_BYTES_MAX)),
            kind: attempt.kind.as_deref().map(str::to_owned),
            handed_over: attempt.handed_over,
        }
    }

    fn read(&self, at: i64) -> Attempt {
        Attempt {
            number: self.number,
            sent: time(at.saturating_add(self.sent)),
            took: Duration::from_micros(self.took),
            error: self.error.clone(),
            kind: self.kind.as_deref().map(Arc::from),
            handed_over: self.handed_over,
        }
    }
}

fn place<T: PartialEq>(all: &[T], one: &T) -> u32 {
    all.iter().position(|other| other == one).and_then(|place| u32::try_from(place).ok()).unwrap_or(0)
}

fn names(list: &[Arc<str>]) -> Vec<String> {
    list.iter().take(NAMES_MAX).map(|name| cut(name, NAME_BYTES_MAX)).collect()
}

fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let mut end = bytes_max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", text.get(..end).unwrap_or_default())
}

fn micros(time: Time) -> i64 {
    time.timestamp_micros()
}

fn time(micros: i64) -> Time {
    Time::from_timestamp_micros(micros).unwrap_or(Time::UNIX_EPOCH)
}

/// Everything that was said in a file or an answer, in its order.
#[derive(Debug, Default)]
pub struct Book {
    labels: FingerprintMap<Vec<u8>>,
    groups: HashMap<u64, (Arc<str>, Arc<Group>)>,
    /// With the node that decided.
    pub decisions: Vec<(Arc<str>, DecisionMessage)>,
    pub repeats: Vec<Repeat>,
}

impl Book {
    /// Returns whether the bytes are a block.
    pub fn read(&mut self, bytes: &[u8]) -> bool {
        let Ok(block) = Block::decode(bytes) else { return false };
        self.add(block);
        true
    }

    pub fn add(&mut self, block: Block) {
        self.labels.extend(block.labels.into_iter().map(|set| (Fingerprint(set.fingerprint), set.pairs)));
        for group in block.groups {
            let (number, receiver) = (group.number, group.receiver.into());
            let labels = Pairs(&group.labels).labels().unwrap_or_default();
            let group = Group { key: group.key.into(), labels, route: group.route.into() };
            self.groups.insert(number, (receiver, Arc::new(group)));
        }
        let node: Arc<str> = block.node.into();
        self.decisions.extend(block.decisions.into_iter().map(|message| (Arc::clone(&node), message)));
        self.repeats.extend(block.repeats.iter().map(|r| Repeat { id: r.id, count: r.count, last: time(r.last) }));
    }

    /// The labels of an alert, as they were written.
    #[must_use]
    pub fn pairs(&self, fingerprint: Fingerprint) -> Option<Pairs<'_>> {
        self.labels.get(&fingerprint).map(|bytes| Pairs(bytes))
    }

    fn labels(&self, fingerprint: Fingerprint) -> Option<Labels> {
        self.pairs(fingerprint)?.labels()
    }

    /// Receiver and group; empty where they were lost.
    #[must_use]
    pub fn group(&self, message: &DecisionMessage) -> (Arc<str>, Arc<Group>) {
        match self.groups.get(&message.group) {
            Some(known) => (Arc::clone(&known.0), Arc::clone(&known.1)),
            None => ("".into(), Arc::new(Group { key: "".into(), labels: Labels::default(), route: "".into() })),
        }
    }

    /// The whole of it; `None` if it is of a kind that this version does not know.
    #[must_use]
    pub fn decision(&self, node: &Arc<str>, message: &DecisionMessage) -> Option<Decision> {
        let at = message.at;
        let since = |offset: i64| time(at.saturating_add(offset));
        let muted: Vec<Option<Arc<Muted>>> =
            message.muted_by.iter().map(|muted| self.muted(muted).map(Arc::new)).collect();
        let alert = |alert: &AlertMessage| Alert {
            fingerprint: Fingerprint(alert.fingerprint),
            labels: self.labels(Fingerprint(alert.fingerprint)),
            status: if alert.flags & RESOLVED != 0 { Status::Resolved } else { Status::Firing },
            told: alert.flags & TOLD != 0,
            muted: (alert.muted_by as usize).checked_sub(1).and_then(|place| muted.get(place).cloned().flatten()),
        };
        let (receiver, group) = self.group(message);
        let phase = Phase::ALL.get(message.phase as usize).copied();
        let slot = || Slot { kind: message.kind.as_str().into(), index: message.index };
        Some(Decision {
            node: Arc::clone(node),
            id: message.id,
            at: time(at),
            last: since(message.last),
            count: message.repeated.saturating_add(1),
            outcome: message.outcome()?,
            why: Why::ALL.get(message.why as usize).copied()?,
            receiver,
            integration: (!message.kind.is_empty()).then(slot),
            group,
            tick: message.tick.map(since),
            until: message.until.map(since),
            alerts: message.alerts.iter().map(alert).collect(),
            totals: message.totals(),
            claim: message.holder.as_deref().zip(phase).map(|(holder, phase)| Claim { holder: holder.into(), phase }),
            order: message.order.iter().map(|name| name.as_str().into()).collect(),
            attempt: message.attempt.as_deref().map(|attempt| attempt.read(at)),
            log: message.tells.map(|tells| Logged { tells, at: since(message.logged) }),
        })
    }

    fn muted(&self, message: &MutedMessage) -> Option<Muted> {
        let names = || message.names.iter().map(|name| name.as_str().into()).collect();
        let source = Fingerprint(message.source);
        Some(match message.stage {
            1 => Muted::Silences(names()),
            2 => Muted::Inhibited { source, labels: self.labels(source), rule: message.rule },
            3 => Muted::MuteIntervals(names()),
            4 => Muted::OutsideActiveIntervals(names()),
            _ => return None,
        })
    }
}

impl DecisionMessage {
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        Outcome::ALL.get(self.outcome as usize).copied()
    }

    #[must_use]
    pub fn at(&self) -> Time {
        time(self.at)
    }

    #[must_use]
    pub fn last(&self) -> Time {
        time(self.at.saturating_add(self.last))
    }

    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals { firing: self.firing, resolved: self.resolved, muted: self.muted }
    }

    pub fn alerts(&self) -> impl ExactSizeIterator<Item = Fingerprint> + '_ {
        self.alerts.iter().map(|alert| Fingerprint(alert.fingerprint))
    }

    /// Takes in what came after it.
    pub fn repeat(&mut self, repeat: Repeat) {
        self.repeated = self.repeated.max(repeat.count.saturating_sub(1));
        self.last = self.last.max(micros(repeat.last).saturating_sub(self.at));
    }
}
