//! What a receiver has been told, as pure values: no clock, no disk, no lock.
//!
//! One [`LogEntry`] stands for one group, receiver and integration. It keeps, for each alert, the newest
//! "firing" and the newest "resolved" that left for the receiver, each with who said it, when, and what
//! the speaker knew of the other word then. Merging two copies is a join: commutative, associative and
//! idempotent, so the order in which nodes hear of each other does not matter (reference/decide.md 2.1).

use std::{collections::HashSet, fmt, sync::Arc, time::Duration};

use xxhash_rust::xxh64::{Xxh64, xxh64};

use crate::{
    alert::{Alert, Labels},
    clock::{Time, delta},
    notify::types::Memory,
};

/// Words of different writers closer than this are in no certain order (reference/decide.md 4).
const ORDER_UNCERTAINTY_MS: i64 = 1_000;

/// The period of a word that was written by a program without periods.
pub const LOWEST_PERIOD: u64 = 1;

/// The identity of an entry: one integration of one receiver, for one group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogKey {
    pub group_key: Arc<str>,
    pub receiver: Arc<str>,
    /// Lower-case name of the kind: `webhook`, `email` …
    pub integration: Arc<str>,
    /// Among the integrations of this kind in the receiver, from 0.
    pub index: u32,
}

/// `<group key>:<receiver>/<integration>/<index>`, as Alertmanager writes it.
impl fmt::Display for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}/{}", self.group_key, self.receiver, self.integration, self.index)
    }
}

/// xxHash64 of an alert's labels: the name of an alert inside an entry (reference/pipeline.md 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlertHash(pub u64);

impl AlertHash {
    #[must_use]
    pub fn of(labels: &Labels) -> Self {
        // At one go: the algorithm takes 32 bytes at a time, and most texts are shorter.
        let mut text = Vec::with_capacity(256);
        for (name, value) in labels.iter() {
            text.extend_from_slice(name.as_bytes());
            text.push(0xFF);
            text.extend_from_slice(value.as_bytes());
            text.push(0xFF);
        }
        AlertHash(xxh64(&text, 0))
    }
}

/// Which node said a word; 0 is a program that does not say (Alertmanager).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Writer(pub u64);

impl Writer {
    pub const UNKNOWN: Writer = Writer(0);

    /// The writer that a node of this name is.
    #[must_use]
    pub fn named(node: &str) -> Self {
        // 0 is taken.
        Writer(xxh64(node.as_bytes(), 0).max(1))
    }
}

/// The newest "firing" that was said of an alert.
///
/// The order of the fields is the order of merging: later `done` wins, then period, then writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fired {
    /// When the receiver had answered.
    pub done: Time,
    pub period: u64,
    pub writer: Writer,
    /// When the request began.
    pub sent: Time,
    /// `done` of the newest "resolved" that the writer knew when it began.
    pub saw: Option<Time>,
}

/// The newest "resolved" that was said of an alert; merged like [`Fired`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resolved {
    pub done: Time,
    pub period: u64,
    pub writer: Writer,
    /// A sender said so; otherwise it was concluded from the silence of the senders.
    pub explicit: bool,
    /// The end that was told.
    pub ends_at: Time,
    pub sent: Time,
    /// `done` of the newest "firing" that the writer knew when it began.
    pub saw: Option<Time>,
}

impl Resolved {
    /// Whether this is the end of the firing that the alert shows, and not of one before it: numbers of periods begin
    /// anew when an alert was forgotten.
    #[must_use]
    pub fn is_end_of(&self, alert: &Alert) -> bool {
        self.period >= alert.period && alert.accepted_at <= self.done && alert.newest_start() <= self.ends_at
    }
}

/// An end that some node knew, told or not: it keeps older copies from burning again.
/// Higher period wins, then an explicit end, then the later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Known {
    pub period: u64,
    pub explicit: bool,
    pub ends_at: Time,
}

/// What the receiver heard of one alert. Ends are boxed: most alerts of most entries are firing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub fired: Option<Fired>,
    pub resolved: Option<Box<Resolved>>,
    pub known: Option<Box<Known>>,
}

/// What the receiver heard last of one alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word<'a> {
    /// Nothing.
    None,
    Fired(&'a Fired),
    Resolved(&'a Resolved),
    /// Both words left at nearly the same time from writers that did not know of each other:
    /// say the truth once more.
    Unsure,
}

impl Told {
    /// The word that the receiver heard last.
    #[must_use]
    pub fn last_word(&self) -> Word<'_> {
        match (&self.fired, self.resolved.as_deref()) {
            (None, None) => Word::None,
            (Some(fired), None) => Word::Fired(fired),
            (None, Some(resolved)) => Word::Resolved(resolved),
            (Some(fired), Some(resolved)) => later_of(fired, resolved),
        }
    }

    /// The highest period of the alert that anything here speaks of; an alert record below it is stale.
    #[must_use]
    pub fn highest_period(&self) -> u64 {
        let fired = self.fired.map_or(0, |f| f.period);
        let resolved = self.resolved.as_ref().map_or(0, |r| r.period);
        let known = self.known.as_ref().map_or(0, |k| k.period);
        fired.max(resolved).max(known)
    }

    /// When anything was last said of the alert; `None` when only an end is known.
    #[must_use]
    pub fn last_said(&self) -> Option<Time> {
        self.fired.map(|f| f.done).max(self.resolved.as_ref().map(|r| r.done))
    }

    fn join(&mut self, other: &Told) {
        self.fired = self.fired.max(other.fired);
        keep_max(&mut self.resolved, other.resolved.as_deref());
        keep_max(&mut self.known, other.known.as_deref());
    }
}

fn keep_max<T: Ord + Clone>(mine: &mut Option<Box<T>>, theirs: Option<&T>) {
    if let Some(theirs) = theirs
        && mine.as_deref().is_none_or(|mine| mine < theirs)
    {
        *mine = Some(Box::new(theirs.clone()));
    }
}

fn later_of<'a>(fired: &'a Fired, resolved: &'a Resolved) -> Word<'a> {
    let fired_knew = fired.saw.is_some_and(|saw| saw >= resolved.done);
    let resolved_knew = resolved.saw.is_some_and(|saw| saw >= fired.done);
    if fired_knew && !resolved_knew {
        return Word::Fired(fired);
    }
    if resolved_knew && !fired_knew {
        return Word::Resolved(resolved);
    }
    let gap = (resolved.sent - fired.done).max(fired.sent - resolved.done);
    if !fired_knew && fired.writer != resolved.writer && gap.num_milliseconds() <= ORDER_UNCERTAINTY_MS {
        return Word::Unsure;
    }
    // One writer, or far apart: the clock decides, and "firing" is the safer of two equals.
    if fired.done >= resolved.done { Word::Fired(fired) } else { Word::Resolved(resolved) }
}

/// The log's knowledge of one key.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEntry {
    /// Number of tells; a tell of one's own is the highest one seen plus one.
    pub tells: u64,
    /// When the newest tell was done.
    pub told_at: Time,
    /// The newest tick at which anything of it was due: the anchor of the group's rhythm on all nodes, and of the
    /// repeat interval. A slow receiver does not move it.
    pub due_at: Time,
    /// Garbage from then on, if nothing in it is still owed (see `Nflog::maintain`).
    pub expires_at: Time,
    /// What the integration keeps about the group (thread ids and the like).
    pub memory: Memory,
    /// `told_at` of the tell that set `memory`.
    pub memory_at: Time,
    /// Sorted by hash, unique.
    told: Vec<(AlertHash, Told)>,
}

impl LogEntry {
    /// From parts that were read; `told` may be in any order, repeated hashes are joined.
    #[must_use]
    pub fn new(
        tells: u64,
        told_at: Time,
        expires_at: Time,
        (memory, memory_at): (Memory, Time),
        mut told: Vec<(AlertHash, Told)>,
    ) -> Self {
        told.sort_by_key(|(hash, _)| *hash);
        told.dedup_by(|(hash, later), (kept_hash, kept)| {
            let same = hash == kept_hash;
            if same {
                kept.join(later);
            }
            same
        });
        LogEntry { tells, told_at, due_at: told_at, expires_at, memory, memory_at, told }
    }

    /// What the receiver heard of this alert, if anything.
    #[must_use]
    pub fn told(&self, hash: AlertHash) -> Option<&Told> {
        let at = self.told.binary_search_by_key(&hash, |(hash, _)| *hash).ok()?;
        self.told.get(at).map(|(_, told)| told)
    }

    /// The last word on this alert.
    #[must_use]
    pub fn word(&self, hash: AlertHash) -> Word<'_> {
        self.told(hash).map_or(Word::None, Told::last_word)
    }

    /// Every alert that was spoken of, in order of hashes.
    pub fn all_told(&self) -> impl ExactSizeIterator<Item = (AlertHash, &Told)> + Clone {
        self.told.iter().map(|(hash, told)| (*hash, told))
    }

    /// Whether the receiver may believe that something fires: some last word is "firing", or unsure.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.told.iter().any(|(_, told)| matches!(told.last_word(), Word::Fired(_) | Word::Unsure))
    }

    /// What both know together.
    pub fn join(&mut self, other: &LogEntry) {
        self.tells = self.tells.max(other.tells);
        self.told_at = self.told_at.max(other.told_at);
        self.due_at = self.due_at.max(other.due_at);
        self.expires_at = self.expires_at.max(other.expires_at);
        if self.remembers_less_than(other) {
            self.memory_at = other.memory_at;
            self.memory.clone_from(&other.memory);
        }
        join_told(&mut self.told, &other.told);
    }

    /// The newer memory wins; of two that are equally new the one of greater rank.
    fn remembers_less_than(&self, other: &LogEntry) -> bool {
        let by_content = || self.memory != other.memory && memory_rank(&self.memory) < memory_rank(&other.memory);
        self.memory_at < other.memory_at || (self.memory_at == other.memory_at && by_content())
    }

    /// The entry after a tell: `current` joined with what the tell adds.
    #[must_use]
    pub fn after(current: Option<&LogEntry>, tell: &Tell, writer: Writer, retention: Duration) -> LogEntry {
        let told = tell.words(writer);
        let done = told.iter().filter_map(|(_, told)| told.last_said()).max().unwrap_or(tell.done).max(tell.done);
        let memory = tell.memory.clone().map(|memory| (memory, done));
        let mut entry = LogEntry::new(1, done, done, memory.unwrap_or((Memory::new(), Time::MIN_UTC)), told);
        entry.due_at = clamp(tell.due);
        if let Some(current) = current {
            entry.join(current);
            entry.tells = current.tells.saturating_add(1);
        }
        entry.expires_at = entry.expires_at.max(entry.end_of_life(done, tell.repeat_interval, retention));
        entry
    }

    /// Told resolutions are needed as long as the retention; without any, twice the repeat interval is enough.
    fn end_of_life(&self, done: Time, repeat_interval: Duration, retention: Duration) -> Time {
        let holds_ends = self.told.iter().any(|(_, told)| told.resolved.is_some());
        let life = if holds_ends { retention } else { retention.min(repeat_interval.saturating_mul(2)) };
        done.checked_add_signed(delta(life)).unwrap_or(Time::MAX_UTC)
    }

    /// Drops the records that nobody needs any more: resolutions told longer than `retention` ago, and
    /// words on alerts that are gone (`alive` says no) and as old. Returns whether any was dropped.
    pub fn trim(&mut self, now: Time, retention: Duration, alive: &dyn Fn(AlertHash) -> bool) -> bool {
        let Some(horizon) = now.checked_sub_signed(delta(retention)) else { return false };
        let before = self.told.len();
        self.told.retain(|(hash, told)| {
            told.last_said().is_some_and(|said| said > horizon)
                || (!matches!(told.last_word(), Word::Resolved(_) | Word::None) && alive(*hash))
        });
        self.told.shrink_to_fit();
        self.told.len() < before
    }

    /// Drops the words of a peer's entry that are older than `retention` and that `mine` does not hold (any more).
    pub fn trim_to(&mut self, now: Time, retention: Duration, mine: Option<&LogEntry>) {
        let Some(horizon) = now.checked_sub_signed(delta(retention)) else { return };
        let is_mine = |hash| mine.is_some_and(|mine| mine.told(hash).is_some());
        self.told.retain(|(hash, told)| told.last_said().is_none_or(|said| said > horizon) || is_mine(*hash));
    }

    /// One number for all that is held: different content has different numbers, but for chance.
    #[must_use]
    pub fn content_hash(&self) -> u64 {
        let mut hash = Xxh64::new(0);
        let mut add = |number: u64| hash.update(&number.to_le_bytes());
        let nanos = |at: Time| clamp(at).timestamp_nanos_opt().unwrap_or(0).cast_unsigned();
        for number in [self.tells, nanos(self.told_at), nanos(self.expires_at), nanos(self.memory_at)] {
            add(number);
        }
        add(nanos(self.due_at));
        for (alert, told) in &self.told {
            add(alert.0);
            if let Some(word) = told.fired {
                [nanos(word.done), word.period, word.writer.0].into_iter().for_each(&mut add);
            }
            if let Some(word) = told.resolved.as_deref() {
                [nanos(word.done), word.period, word.writer.0, 1].into_iter().for_each(&mut add);
            }
            if let Some(known) = told.known.as_deref() {
                [nanos(known.ends_at), known.period, 2 + u64::from(known.explicit)].into_iter().for_each(&mut add);
            }
        }
        hash.digest()
    }

    /// Whether some alert that still exists may be believed to fire: its end is still to be told.
    #[must_use]
    pub fn is_owed(&self, alive: &dyn Fn(AlertHash) -> bool) -> bool {
        self.told.iter().any(|(hash, told)| matches!(told.last_word(), Word::Fired(_) | Word::Unsure) && alive(*hash))
    }

    /// An entry of Alertmanager, which lists only its last batch and knows no periods: what is listed was said
    /// at `timestamp`, of the period that `before` (our own entry, if we have one) lets us conclude. A batch holds
    /// all that fires in its group: what we told as firing and a newer batch does not list has ended since.
    #[must_use]
    pub fn from_alertmanager(batch: &ListedBatch, before: Option<&LogEntry>) -> LogEntry {
        let at = clamp(batch.timestamp);
        let told_before = |hash: &u64| before.and_then(|entry| entry.told(AlertHash(*hash)));
        let mut told = Vec::with_capacity(batch.firing.len() + batch.resolved.len());
        for hash in &batch.firing {
            let period = told_before(hash).map_or(LOWEST_PERIOD, |known| period_of_listed_firing(known, at));
            let fired = Fired { done: at, period, writer: Writer::UNKNOWN, sent: at, saw: None };
            told.push((AlertHash(*hash), Told { fired: Some(fired), ..Told::default() }));
        }
        for hash in &batch.resolved {
            told.push((AlertHash(*hash), ended(told_before(hash), at)));
        }
        if let Some(before) = before.filter(|before| before.told_at < at) {
            let listed: HashSet<u64> = batch.firing.iter().chain(&batch.resolved).copied().collect();
            for (hash, known) in before.all_told() {
                let is_open = matches!(known.last_word(), Word::Fired(_) | Word::Unsure);
                if is_open && !listed.contains(&hash.0) {
                    told.push((hash, ended(Some(known), at)));
                }
            }
        }
        LogEntry::new(0, at, batch.expires_at, (batch.memory.clone(), at), told)
    }

    /// The hashes whose last word is "firing" (or unsure), and those whose last word is "resolved": the
    /// two lists that Alertmanager reads.
    #[must_use]
    pub fn listed(&self) -> (Vec<u64>, Vec<u64>) {
        let (mut firing, mut resolved) = (Vec::with_capacity(self.told.len()), Vec::new());
        for (hash, told) in &self.told {
            match told.last_word() {
                Word::Fired(_) | Word::Unsure => firing.push(hash.0),
                Word::Resolved(_) => resolved.push(hash.0),
                Word::None => {}
            }
        }
        (firing, resolved)
    }
}

/// Alertmanager said "firing" at `at`. After an end that we know to be older it was a new period, which
/// our own store will number one higher when the alert is posted again.
fn period_of_listed_firing(known: &Told, at: Time) -> u64 {
    let highest = known.highest_period().max(LOWEST_PERIOD);
    match known.last_word() {
        Word::Resolved(end) if end.done < at => highest.max(end.period.saturating_add(1)),
        _ => highest,
    }
}

/// Alertmanager said "resolved" at `at`, or must have said it before.
fn ended(known: Option<&Told>, at: Time) -> Told {
    let period = known.map_or(LOWEST_PERIOD, |known| known.highest_period().max(LOWEST_PERIOD));
    let (writer, explicit) = (Writer::UNKNOWN, false);
    let resolved = Resolved { done: at, period, writer, explicit, ends_at: at, sent: at, saw: None };
    Told { resolved: Some(Box::new(resolved)), ..Told::default() }
}

/// Equal content has equal rank; the order itself means nothing, it only has to be the same everywhere.
fn memory_rank(memory: &Memory) -> Vec<u8> {
    let mut rank = format!("{memory:?}").into_bytes();
    rank.push(0);
    rank
}

fn join_told(mine: &mut Vec<(AlertHash, Told)>, theirs: &[(AlertHash, Told)]) {
    let same_alerts = mine.len() == theirs.len() && mine.iter().zip(theirs).all(|(m, t)| m.0 == t.0);
    if same_alerts {
        mine.iter_mut().zip(theirs).for_each(|(m, t)| m.1.join(&t.1));
        return;
    }
    let mut joined = Vec::with_capacity(mine.len().max(theirs.len()));
    let (mut left, mut right) = (std::mem::take(mine).into_iter().peekable(), theirs.iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (None, None) => break,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(l), Some(r)) => l.0.cmp(&r.0),
        };
        match order {
            std::cmp::Ordering::Less => joined.extend(left.next()),
            std::cmp::Ordering::Greater => joined.extend(right.next().cloned()),
            std::cmp::Ordering::Equal => {
                if let (Some(mut l), Some(r)) = (left.next(), right.next()) {
                    l.1.join(&r.1);
                    joined.push(l);
                }
            }
        }
    }
    *mine = joined;
}

/// The part of an Alertmanager entry that says what was told.
#[derive(Clone, Debug)]
pub struct ListedBatch {
    pub timestamp: Time,
    pub expires_at: Time,
    pub firing: Vec<u64>,
    pub resolved: Vec<u64>,
    pub memory: Memory,
}

/// An end of one alert, as told or as known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    pub alert: AlertHash,
    pub period: u64,
    pub explicit: bool,
    pub ends_at: Time,
}

/// One notification that the receiver has taken, to be written down.
#[derive(Clone, Debug)]
pub struct Tell {
    /// The entry as it was when the request began: what the speaker knew of earlier words.
    pub seen: Option<Arc<LogEntry>>,
    /// The tick of the group that it belongs to.
    pub due: Time,
    /// When the request began, by the corrected clock.
    pub sent: Time,
    /// When the receiver had answered, by the corrected clock.
    pub done: Time,
    /// Every firing alert of the notification with its period.
    pub firing: Vec<(AlertHash, u64)>,
    /// Every resolved alert of the notification (also with `send_resolved: false`, where it is left out of the
    /// message but counts as told).
    pub resolved: Vec<End>,
    /// Ends the speaker knew of beside those it told.
    pub known: Vec<End>,
    /// Replaces the memory when given.
    pub memory: Option<Memory>,
    pub repeat_interval: Duration,
}

impl Tell {
    fn words(&self, writer: Writer) -> Vec<(AlertHash, Told)> {
        let mut told = Vec::with_capacity(self.firing.len() + self.resolved.len() + self.known.len());
        for (alert, period) in &self.firing {
            let (done, sent, saw) = self.times(*alert, |seen| seen.resolved.as_ref().map(|r| r.done));
            let fired = Fired { done, period: *period, writer, sent, saw };
            told.push((*alert, Told { fired: Some(fired), ..Told::default() }));
        }
        for end in &self.resolved {
            let (done, sent, saw) = self.times(end.alert, |seen| seen.fired.map(|f| f.done));
            let (explicit, ends_at) = (end.explicit, end.ends_at);
            let resolved = Resolved { done, period: end.period, writer, explicit, ends_at, sent, saw };
            told.push((end.alert, Told { resolved: Some(Box::new(resolved)), known: Some(known(end)), fired: None }));
        }
        let known = self.known.iter().map(|end| (end.alert, Told { known: Some(known(end)), ..Told::default() }));
        told.extend(known);
        told
    }

    /// `done`, `sent` and `saw` of a word on this alert. A word said in knowledge of another is later than
    /// it, whatever the clocks say: otherwise a node behind in time could not write down its own tell.
    fn times(&self, alert: AlertHash, other: impl Fn(&Told) -> Option<Time>) -> (Time, Time, Option<Time>) {
        let seen = self.seen.as_ref().and_then(|entry| entry.told(alert));
        let after_seen = seen.and_then(Told::last_said).map(|said| said + chrono::TimeDelta::nanoseconds(1));
        let done = clamp(after_seen.map_or(self.done, |after| after.max(self.done)));
        (done, clamp(self.sent).min(done), seen.and_then(other))
    }
}

fn known(end: &End) -> Box<Known> {
    Box::new(Known { period: end.period, explicit: end.explicit, ends_at: end.ends_at })
}

/// Words are kept in nanoseconds since 1970 in 64 bits on disk and wire; what lies outside (years 1677 to
/// 2262) is no time of a notification and is moved to the edge, so that every copy is equal.
#[must_use]
pub fn clamp(at: Time) -> Time {
    match at.timestamp_nanos_opt() {
        Some(_) => at,
        None if at.timestamp() < 0 => Time::from_timestamp_nanos(i64::MIN),
        None => Time::from_timestamp_nanos(i64::MAX - 1),
    }
}
