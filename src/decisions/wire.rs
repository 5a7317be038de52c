//! Decisions in protobuf, as they lie on disk and go between nodes.
//!
//! Label sets and groups stand once in a file (or an answer), the names that sets have in common once in a block; all
//! are referred to by number, and whoever reads needs the whole file. Unknown fields are passed over, so that older and newer nodes read each other.

use std::{borrow::Cow, collections::HashMap, mem, sync::Arc, time::Duration};

use prost::{
    Message as _,
    encoding::{self, WireType},
};

use super::{
    model::{Alert, Attempt, Claim, Decision, Group, Logged, Muted, Outcome, Phase, Slot, Status, Totals, Why},
    runs::Repeat,
    said::Said,
    texts::{self, LABELS_BYTES_MAX, Pairs},
};
use crate::{
    alert::{Fingerprint, FingerprintMap, Labels, value_in},
    clock::Time,
};

/// Longer texts are cut.
const TEXT_BYTES_MAX: usize = 2 << 10;
/// Ids of silences and names of intervals that are listed.
const NAMES_MAX: usize = 16;
const NAME_BYTES_MAX: usize = 256;
/// Label sets in one block; beyond it alerts go without.
const SETS_BYTES_MAX: usize = 2 << 20;

/// Numbers of the fields of a [`Block`].
const NODE: u32 = 1;
const LABELS: u32 = 2;
const GROUPS: u32 = 3;
const DECISIONS: u32 = 4;
const REPEATS: u32 = 5;
const NAMES: u32 = 6;

/// What is written at one time: see [`Dictionary`].
#[derive(Clone, PartialEq, prost::Message)]
struct Block {
    /// The node that decided.
    #[prost(string, tag = "1")]
    node: String,
    #[prost(message, repeated, tag = "2")]
    labels: Vec<LabelsMessage>,
    #[prost(message, repeated, tag = "3")]
    groups: Vec<GroupMessage>,
    #[prost(message, repeated, tag = "4")]
    decisions: Vec<DecisionMessage>,
    #[prost(message, repeated, tag = "5")]
    repeats: Vec<RepeatMessage>,
    #[prost(message, repeated, tag = "6")]
    names: Vec<NamesMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LabelsMessage {
    #[prost(fixed64, tag = "1")]
    fingerprint: u64,
    /// Number of the names.
    #[prost(fixed64, tag = "3")]
    names: u64,
    /// [`Labels::values_text`].
    #[prost(string, tag = "4")]
    values: String,
}

/// The names that label sets have.
#[derive(Clone, PartialEq, prost::Message)]
struct NamesMessage {
    #[prost(fixed64, tag = "1")]
    number: u64,
    #[prost(string, repeated, tag = "2")]
    names: Vec<String>,
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
    #[prost(message, optional, tag = "20")]
    attempt: Option<AttemptMessage>,
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

const SILENCES: u32 = 1;

#[derive(Clone, PartialEq, prost::Message)]
struct MutedMessage {
    /// [`SILENCES`], 2: inhibited, 3: mute intervals, 4: outside of active intervals.
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
    said: Said,
    /// Of the block at hand.
    sets_bytes: usize,
    /// Used again and again.
    message: DecisionMessage,
    scratch: Vec<u8>,
}

impl Dictionary {
    pub fn clear(&mut self) {
        self.said.clear();
    }

    /// Begins a [`Block`]; what is appended by the other methods belongs to it.
    pub fn begin(&mut self, out: &mut Vec<u8>, node: &str) {
        self.sets_bytes = 0;
        self.said.forget_names();
        push_bytes(out, NODE, node.as_bytes());
    }

    pub fn write_repeat(out: &mut Vec<u8>, repeat: Repeat) {
        let repeat = RepeatMessage { id: repeat.id, count: repeat.count, last: micros(repeat.last) };
        encoding::message::encode(REPEATS, &repeat, out);
    }

    /// A decision and everything that is needed to read it, as far as it was not said before.
    pub fn write_decision(&mut self, out: &mut Vec<u8>, decision: &Decision) {
        let mut message = mem::take(&mut self.message);
        message.fill(decision);
        message.group = self.write_group(out, decision);
        let mut before: Option<(&Arc<Muted>, u32)> = None;
        for alert in &decision.alerts {
            self.write_labels(out, alert.fingerprint, alert.labels.as_ref());
            let muted_by = match (&alert.muted, before) {
                (None, _) => 0,
                (Some(muted), Some((same, place))) if Arc::ptr_eq(muted, same) || muted == same => place,
                (Some(muted), _) => {
                    let place = self.write_muted(out, &mut message.muted_by, muted);
                    before = Some((muted, place));
                    place
                }
            };
            let resolved = if alert.status == Status::Resolved { RESOLVED } else { 0 };
            let flags = resolved | if alert.told { TOLD } else { 0 };
            message.alerts.push(AlertMessage { fingerprint: alert.fingerprint.0, flags, muted_by });
        }
        // Its length stands before it: to write it aside is cheaper than to measure it first.
        self.scratch.clear();
        message.encode_raw(&mut self.scratch);
        push_bytes(out, DECISIONS, &self.scratch);
        self.message = message;
    }

    fn write_labels(&mut self, out: &mut Vec<u8>, fingerprint: Fingerprint, labels: Option<&Labels>) {
        let Some(labels) = labels else { return };
        // In this order: of a set that was said nothing is looked at. One that is too large is never said.
        if self.sets_bytes >= SETS_BYTES_MAX || !self.said.is_new_set(fingerprint) || labels.size() > LABELS_BYTES_MAX {
            return;
        }
        let names = self.write_names(out, labels);
        let values = labels.values_text().as_bytes();
        self.sets_bytes += values.len();
        // A `LabelsMessage`, without a copy.
        begin_message(out, LABELS, 2 * NUMBER_BYTES + length_of(values));
        encoding::fixed64::encode(1, &fingerprint.0, out);
        encoding::fixed64::encode(3, &names, out);
        push_bytes(out, 4, values);
    }

    fn write_names(&mut self, out: &mut Vec<u8>, labels: &Labels) -> u64 {
        let (number, is_new) = self.said.names(labels);
        if is_new {
            let names = NamesMessage { number, names: labels.names().map(str::to_owned).collect() };
            self.sets_bytes += names.encoded_len();
            encoding::message::encode(NAMES, &names, out);
        }
        number
    }

    fn write_group(&mut self, out: &mut Vec<u8>, decision: &Decision) -> u64 {
        let group = &decision.group;
        let (number, is_new) = self.said.group(group, &decision.receiver);
        if is_new {
            self.scratch.clear();
            texts::write(&group.labels, &mut self.scratch);
            let key = cut(&group.key, 4 * TEXT_BYTES_MAX);
            let [receiver, route] = [&decision.receiver, &group.route].map(|text| cut(text, TEXT_BYTES_MAX));
            let fields = [key.as_bytes(), receiver.as_bytes(), route.as_bytes(), &self.scratch];
            // A `GroupMessage`, without a copy.
            begin_message(out, GROUPS, NUMBER_BYTES + fields.iter().map(|field| length_of(field)).sum::<usize>());
            encoding::fixed64::encode(1, &number, out);
            (2..).zip(fields).for_each(|(tag, field)| push_bytes(out, tag, field));
        }
        number
    }

    /// Its place in the list, from 1.
    fn write_muted(&mut self, out: &mut Vec<u8>, list: &mut Vec<MutedMessage>, muted: &Muted) -> u32 {
        let message = match muted {
            Muted::Silences(ids) => MutedMessage { stage: SILENCES, names: names(ids), ..MutedMessage::default() },
            Muted::Inhibited { source, labels, rule } => {
                self.write_labels(out, *source, labels.as_ref());
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

/// A number of fixed size with its key.
const NUMBER_BYTES: usize = 1 + 8;

/// Of a text or bytes with their key, if that is below 16.
fn length_of(bytes: &[u8]) -> usize {
    1 + encoding::encoded_len_varint(bytes.len() as u64) + bytes.len()
}

fn begin_message(out: &mut Vec<u8>, tag: u32, length: usize) {
    encoding::encode_key(tag, WireType::LengthDelimited, out);
    encoding::encode_varint(length as u64, out);
}

fn push_bytes(out: &mut Vec<u8>, tag: u32, bytes: &[u8]) {
    encoding::encode_key(tag, WireType::LengthDelimited, out);
    encoding::encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

impl DecisionMessage {
    /// Everything but the alerts and the group; what was in it before is gone.
    fn fill(&mut self, decision: &Decision) {
        let at = micros(decision.at);
        let since = |time: Time| micros(time).saturating_sub(at);
        self.alerts.clear();
        self.muted_by.clear();
        self.order.clear();
        self.kind.clear();
        (self.id, self.at, self.last) = (decision.id, at, since(decision.last));
        self.repeated = decision.count.saturating_sub(1);
        self.outcome = place(&Outcome::ALL, &decision.outcome);
        self.why = place(&Why::ALL, &decision.why);
        if let Some(slot) = &decision.integration {
            self.kind.push_str(&slot.kind);
        }
        self.index = decision.integration.as_ref().map_or(0, |slot| slot.index);
        (self.tick, self.until) = (decision.tick.map(since), decision.until.map(since));
        let Totals { firing, resolved, muted } = decision.totals;
        (self.firing, self.resolved, self.muted) = (firing, resolved, muted);
        self.holder = decision.claim.as_ref().map(|claim| claim.holder.to_string());
        self.phase = decision.claim.as_ref().map_or(0, |claim| place(&Phase::ALL, &claim.phase));
        self.order.extend(decision.order.iter().map(ToString::to_string));
        self.attempt = decision.attempt.as_ref().map(|attempt| AttemptMessage::of(attempt, at));
        self.tells = decision.log.map(|log| log.tells);
        self.logged = decision.log.map_or(0, |log| since(log.at));
    }
}

impl AttemptMessage {
    fn of(attempt: &Attempt, at: i64) -> Self {
        AttemptMessage {
            number: attempt.number,
            sent: micros(attempt.sent).saturating_sub(at),
            took: u64::try_from(attempt.took.as_micros()).unwrap_or(u64::MAX),
            error: attempt.error.as_deref().map(|error| cut(error, TEXT_BYTES_MAX).into_owned()),
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
    list.iter().take(NAMES_MAX).map(|name| cut(name, NAME_BYTES_MAX).into_owned()).collect()
}

fn cut(text: &str, bytes_max: usize) -> Cow<'_, str> {
    if text.len() <= bytes_max {
        return Cow::Borrowed(text);
    }
    let mut end = bytes_max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default()))
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
    /// The number of their names, and their values.
    labels: FingerprintMap<(u64, String)>,
    names: HashMap<u64, Vec<String>>,
    groups: HashMap<u64, (Arc<str>, Arc<Group>)>,
    /// With the node that decided.
    pub decisions: Vec<(Arc<str>, DecisionMessage)>,
    pub repeats: Vec<Repeat>,
}

/// A label set in a book, read lazily: a search looks at a few labels of many sets.
#[derive(Clone, Copy, Debug)]
pub struct Set<'a> {
    names: &'a [String],
    values: &'a str,
}

impl<'a> Set<'a> {
    fn value(self, index: usize) -> Option<&'a str> {
        value_in(self.values, self.names.len(), index)
    }

    /// The value of this label, empty if there is none.
    #[must_use]
    pub fn get(self, wanted: &str) -> &'a str {
        let place = self.names.iter().position(|name| name == wanted);
        place.and_then(|place| self.value(place)).unwrap_or("")
    }

    /// `None` if the values make no sense.
    fn labels(self) -> Option<Labels> {
        let value = |(index, name): (usize, &'a String)| Some((name.as_str(), self.value(index)?));
        Some(Labels::from_pairs(self.names.iter().enumerate().map(value).collect::<Option<Vec<_>>>()?))
    }
}

impl Book {
    /// # Errors
    /// The bytes are no block.
    pub fn read(&mut self, bytes: &[u8]) -> Result<(), prost::DecodeError> {
        let block = Block::decode(bytes)?;
        self.names.extend(block.names.into_iter().map(|names| (names.number, names.names)));
        let sets = block.labels.into_iter().map(|set| (Fingerprint(set.fingerprint), (set.names, set.values)));
        self.labels.extend(sets);
        for group in block.groups {
            let (number, receiver) = (group.number, group.receiver.into());
            let labels = Pairs(&group.labels).labels().unwrap_or_default();
            let group = Group { key: group.key.into(), labels, route: group.route.into() };
            self.groups.insert(number, (receiver, Arc::new(group)));
        }
        let node: Arc<str> = block.node.into();
        self.decisions.extend(block.decisions.into_iter().map(|message| (Arc::clone(&node), message)));
        self.repeats.extend(block.repeats.iter().map(|r| Repeat { id: r.id, count: r.count, last: time(r.last) }));
        Ok(())
    }

    /// The labels of an alert, as they were written.
    #[must_use]
    pub fn set(&self, fingerprint: Fingerprint) -> Option<Set<'_>> {
        let (names, values) = self.labels.get(&fingerprint)?;
        Some(Set { names: self.names.get(names)?, values })
    }

    fn labels(&self, fingerprint: Fingerprint) -> Option<Labels> {
        self.set(fingerprint)?.labels()
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
            attempt: message.attempt.as_ref().map(|attempt| attempt.read(at)),
            log: message.tells.map(|tells| Logged { tells, at: since(message.logged) }),
        })
    }

    fn muted(&self, message: &MutedMessage) -> Option<Muted> {
        let names = || message.names.iter().map(|name| name.as_str().into()).collect();
        let source = Fingerprint(message.source);
        Some(match message.stage {
            SILENCES => Muted::Silences(names()),
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

    /// The silences that left firing alerts out, and how many each, as far as they are listed. An alert that several
    /// silences keep quiet counts for each of them; a silence may come more than once.
    pub fn silenced(&self) -> impl Iterator<Item = (&str, u32)> {
        let silences = self.muted_by.iter().zip(1..).filter(|(muted, _)| muted.stage == SILENCES);
        silences.flat_map(|(muted, place)| {
            let firing = self.alerts.iter().filter(|alert| alert.muted_by == place && alert.flags & RESOLVED == 0);
            let count = u32::try_from(firing.count()).unwrap_or(u32::MAX);
            muted.names.iter().map(move |id| (id.as_str(), count)).filter(|(_, count)| *count > 0)
        })
    }

    /// Some alerts are counted only.
    pub fn has_more(&self) -> bool {
        self.totals().all() as usize > self.alerts.len()
    }

    /// Takes in what came after it.
    pub fn repeat(&mut self, repeat: Repeat) {
        self.repeated = self.repeated.max(repeat.count.saturating_sub(1));
        self.last = self.last.max(micros(repeat.last).saturating_sub(self.at));
    }
}
