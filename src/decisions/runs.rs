//! The same decision again and again is one record with a count.
//!
//! Whoever decides holds a [`Run`] for each thing that it decides about; to find that a decision is the one of before
//! costs a comparison and two stores there. The [`Runs`] are the other end: they know what every run has come to, for
//! readers, and for writing it down from time to time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use chrono::TimeDelta;

use super::quieted::{Quieted, Silenced};
use crate::clock::Time;

/// A run is ended after so long, so that the record of something that still goes on is never the oldest.
pub const RUN_MAX: TimeDelta = TimeDelta::hours(6);
/// What a run has come to is written down so often; a `kill -9` loses the rest of the count.
const NOTED_EVERY: TimeDelta = TimeDelta::hours(1);
/// Runs at once, about 10 MB. Beyond it repeated decisions are not kept at all.
const RUNS_MAX: usize = 100_000;

/// What has to be the same for a decision to be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature(u64);

impl Default for Signature {
    fn default() -> Self {
        Self::new()
    }
}

impl Signature {
    #[must_use]
    pub fn new() -> Self {
        Signature(0x51_7c_c1_b7_27_22_0a_95)
    }

    /// In this order.
    #[must_use]
    #[inline]
    pub fn with(self, value: u64) -> Self {
        Signature((self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29))
    }

    #[must_use]
    pub fn with_text(self, text: &str) -> Self {
        self.with(xxhash_rust::xxh64::xxh64(text.as_bytes(), 0))
    }
}

/// The decisions about one thing, as whoever decides holds them. It ends when it is dropped.
#[derive(Debug, Default)]
pub struct Run(Option<(Signature, Arc<Tally>)>);

/// How often, and until when.
#[derive(Debug)]
struct Tally {
    id: u64,
    /// What silences keep quiet each time.
    silenced: Box<[Silenced]>,
    began: i64,
    count: AtomicU64,
    /// In microseconds, like `began`.
    last: AtomicI64,
    /// As far as it is written down, and when it was.
    noted: AtomicU64,
    noted_at: AtomicI64,
}

/// How often a decision was made in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeat {
    pub id: u64,
    pub count: u64,
    pub last: Time,
}

impl Run {
    /// Counts a decision if it is the one of before.
    #[inline]
    pub(super) fn repeats(&self, signature: Signature, now: Time) -> bool {
        let Some((before, tally)) = &self.0 else { return false };
        let at = now.timestamp_micros();
        if *before != signature || at - tally.began >= RUN_MAX.num_microseconds().unwrap_or(i64::MAX) {
            return false;
        }
        tally.count.fetch_add(1, Ordering::Relaxed);
        tally.last.store(at, Ordering::Relaxed);
        true
    }

    /// Something else is decided.
    pub(super) fn end(&mut self) {
        self.0 = None;
    }
}

impl Tally {
    fn tell(&self, quieted: &mut Quieted) {
        quieted.note(&self.silenced, self.repeat().last);
    }

    fn repeat(&self) -> Repeat {
        let last = Time::from_timestamp_micros(self.last.load(Ordering::Relaxed)).unwrap_or(Time::UNIX_EPOCH);
        Repeat { id: self.id, count: self.count.load(Ordering::Relaxed), last }
    }

    /// What is not written down yet; it counts as written from here on.
    fn note(&self, now: Time) -> Option<Repeat> {
        let repeat = self.repeat();
        let before = self.noted.swap(repeat.count, Ordering::Relaxed);
        self.noted_at.store(now.timestamp_micros(), Ordering::Relaxed);
        (repeat.count > before).then_some(repeat)
    }

    fn is_due(&self, now: Time) -> bool {
        let noted_at = self.noted_at.load(Ordering::Relaxed);
        now.timestamp_micros() - noted_at >= NOTED_EVERY.num_microseconds().unwrap_or(i64::MAX)
    }
}

/// All runs, by the numbers of their decisions.
#[derive(Debug, Default)]
pub struct Runs {
    tallies: BTreeMap<u64, Arc<Tally>>,
    /// Those in which silences keep something quiet.
    silenced: BTreeSet<u64>,
}

impl Runs {
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.tallies.len() >= RUNS_MAX
    }

    /// The decision was recorded as `id`, and silences kept so much quiet.
    pub fn begin(&mut self, run: &mut Run, signature: Signature, id: u64, silenced: Vec<Silenced>, now: Time) {
        let at = now.timestamp_micros();
        if !silenced.is_empty() {
            self.silenced.insert(id);
        }
        let tally = Arc::new(Tally {
            id,
            silenced: silenced.into(),
            began: at,
            count: AtomicU64::new(1),
            last: AtomicI64::new(at),
            noted: AtomicU64::new(1),
            noted_at: AtomicI64::new(at),
        });
        self.tallies.insert(id, Arc::clone(&tally));
        run.0 = Some((signature, tally));
    }

    /// What is to be written down by now: of runs that have ended, and of those that go on for long. In order. What
    /// silences kept quiet in those that have ended goes into `quieted`.
    pub fn sweep(&mut self, now: Time, quieted: &mut Quieted) -> Vec<Repeat> {
        let mut rest = Vec::new();
        let silenced = &mut self.silenced;
        self.tallies.retain(|id, tally| {
            // Nobody holds it any more.
            let has_ended = Arc::strong_count(tally) == 1;
            if has_ended && silenced.remove(id) {
                tally.tell(quieted);
            }
            if has_ended || tally.is_due(now) {
                rest.extend(tally.note(now));
            }
            !has_ended
        });
        rest
    }

    /// Everything that is not written down.
    pub fn note_all(&mut self, now: Time) -> Vec<Repeat> {
        self.tallies.values().filter_map(|tally| tally.note(now)).collect()
    }

    /// What all runs have come to, those of one decision left out.
    pub fn all(&self) -> impl Iterator<Item = Repeat> + '_ {
        self.tallies.values().map(|tally| tally.repeat()).filter(|repeat| repeat.count > 1)
    }

    /// What silences keep quiet goes into `quieted`.
    pub fn tell_silenced(&self, quieted: &mut Quieted) {
        self.silenced.iter().filter_map(|id| self.tallies.get(id)).for_each(|tally| tally.tell(quieted));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Time {
        Time::from_timestamp(1_800_000_000 + 60 * minutes, 0).unwrap()
    }

    fn signature(value: u64) -> Signature {
        Signature::new().with(value)
    }

    fn begun(runs: &mut Runs, id: u64) -> Run {
        let mut run = Run::default();
        assert!(!run.repeats(signature(1), at(0)));
        runs.begin(&mut run, signature(1), id, Vec::new(), at(0));
        run
    }

    #[test]
    fn the_same_again_is_counted_and_noted_once_an_hour() {
        let mut runs = Runs::default();
        let run = begun(&mut runs, 7);
        assert!(run.repeats(signature(1), at(5)));
        assert_eq!(runs.sweep(at(30), &mut Quieted::default()), []);
        assert!(run.repeats(signature(1), at(60)));
        assert_eq!(runs.sweep(at(60), &mut Quieted::default()), [Repeat { id: 7, count: 3, last: at(60) }]);
        assert_eq!(runs.sweep(at(180), &mut Quieted::default()), [], "nothing new");
        assert!(run.repeats(signature(1), at(181)));
        assert_eq!(runs.all().collect::<Vec<_>>(), [Repeat { id: 7, count: 4, last: at(181) }]);
    }

    #[test]
    fn a_run_that_has_ended_is_noted_and_forgotten() {
        let mut runs = Runs::default();
        let mut run = begun(&mut runs, 7);
        let alone = begun(&mut runs, 8);
        assert!(run.repeats(signature(1), at(5)) && !run.repeats(signature(2), at(6)));
        run.end();
        drop(alone);
        assert_eq!(runs.all().count(), 1, "readers see it until then");
        assert_eq!(runs.sweep(at(7), &mut Quieted::default()), [Repeat { id: 7, count: 2, last: at(5) }]);
        assert!(runs.tallies.is_empty() && !run.repeats(signature(1), at(8)));
    }

    #[test]
    fn a_run_is_ended_after_some_hours() {
        let mut runs = Runs::default();
        let run = begun(&mut runs, 1);
        let hours = RUN_MAX.num_minutes();
        assert!(run.repeats(signature(1), at(hours - 1)) && !run.repeats(signature(1), at(hours)));
    }

    #[test]
    fn a_clean_stop_notes_everything() {
        let mut runs = Runs::default();
        let (first, second) = (begun(&mut runs, 1), begun(&mut runs, 2));
        assert!(first.repeats(signature(1), at(1)) && second.repeats(signature(1), at(2)));
        let ids: Vec<u64> = runs.note_all(at(3)).iter().map(|repeat| repeat.id).collect();
        assert_eq!((ids, runs.note_all(at(4)).len()), (vec![1, 2], 0));
    }
}
