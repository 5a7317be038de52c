//! The same decision again and again is one record with a count: a pure table of what was decided last for each
//! group and integration.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasherDefault, Hasher},
};

use chrono::TimeDelta;

use crate::clock::Time;

/// A run is ended after so long, so that the record of something that still goes on is never the oldest.
pub const RUN_MAX: TimeDelta = TimeDelta::hours(6);
/// What a run has come to is written down so often; a `kill -9` loses the rest of the count.
const NOTED_EVERY: TimeDelta = TimeDelta::hours(1);
/// Runs at once, about 10 MB. Beyond it repeated decisions are not kept at all.
const RUNS_MAX: usize = 100_000;

/// Names a group and one of its integrations, for the life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RunKey(u64);

impl RunKey {
    #[must_use]
    pub fn of(route: u32, group: u64, integration: Option<usize>) -> Self {
        let place = integration.map_or(0, |index| index as u64 + 1);
        RunKey(Signature::new().with(u64::from(route)).with(group).with(place).0)
    }
}

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

#[derive(Clone, Copy, Debug)]
struct Run {
    signature: Signature,
    id: u64,
    first: Time,
    last: Time,
    count: u64,
    /// As far as it is written down.
    noted: u64,
    noted_at: Time,
}

/// How often a decision was made in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeat {
    pub id: u64,
    pub count: u64,
    pub last: Time,
}

impl Run {
    fn repeat(&self) -> Repeat {
        Repeat { id: self.id, count: self.count, last: self.last }
    }

    /// What is not written down yet.
    fn rest(&self) -> Option<Repeat> {
        (self.count > self.noted).then(|| self.repeat())
    }
}

/// What is to be done with a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: it was counted. The repeat is to be written down, if there is one.
    Counted(Option<Repeat>),
    /// To be recorded, and then [`Runs::begin`]. The end of the run before it, if that is to be written down.
    New(Option<Repeat>),
    /// The table is full.
    Full,
}

#[derive(Debug, Default)]
pub struct Runs {
    runs: HashMap<RunKey, Run, BuildHasherDefault<KeyHasher>>,
}

/// Keys are hashes already.
#[derive(Debug, Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 ^= value;
    }
}

impl Runs {
    /// A decision that may be a repetition is made at `now`.
    pub fn step(&mut self, key: RunKey, signature: Signature, now: Time) -> Step {
        let is_full = self.runs.len() >= RUNS_MAX;
        match self.runs.entry(key) {
            Entry::Vacant(_) if is_full => Step::Full,
            Entry::Vacant(_) => Step::New(None),
            Entry::Occupied(known) if known.get().signature != signature || now - known.get().first >= RUN_MAX => {
                Step::New(known.remove().rest())
            }
            Entry::Occupied(known) => {
                let run = known.into_mut();
                run.count += 1;
                run.last = run.last.max(now);
                let is_due = now - run.noted_at >= NOTED_EVERY;
                if is_due {
                    (run.noted, run.noted_at) = (run.count, now);
                }
                Step::Counted(is_due.then(|| run.repeat()))
            }
        }
    }

    /// The decision was recorded as `id`.
    pub fn begin(&mut self, key: RunKey, signature: Signature, id: u64, now: Time) {
        let run = Run { signature, id, first: now, last: now, count: 1, noted: 1, noted_at: now };
        self.runs.insert(key, run);
    }

    /// Something else was decided. Returns what is to be written down.
    pub fn end(&mut self, key: RunKey) -> Option<Repeat> {
        self.runs.remove(&key)?.rest()
    }

    /// Ends the runs that nothing was added to for long. Returns what is to be written down.
    pub fn sweep(&mut self, now: Time) -> Vec<Repeat> {
        let mut rest: Vec<Repeat> = Vec::new();
        self.runs.retain(|_, run| {
            let goes_on = now - run.last < RUN_MAX;
            if !goes_on {
                rest.extend(run.rest());
            }
            goes_on
        });
        if self.runs.capacity() > 4 * self.runs.len().max(256) {
            self.runs.shrink_to(2 * self.runs.len());
        }
        rest.sort_unstable_by_key(|repeat| repeat.id);
        rest
    }

    /// Everything that is not written down, as if it were now.
    pub fn note_all(&mut self, now: Time) -> Vec<Repeat> {
        let mut rest: Vec<Repeat> = Vec::new();
        for run in self.runs.values_mut() {
            rest.extend(run.rest());
            (run.noted, run.noted_at) = (run.count, now);
        }
        // The order of a map is by chance.
        rest.sort_unstable_by_key(|repeat| repeat.id);
        rest
    }

    /// The runs that go on, of more than one decision.
    pub fn open(&self) -> impl Iterator<Item = Repeat> + '_ {
        self.runs.values().filter(|run| run.count > 1).map(Run::repeat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Time {
        Time::from_timestamp(1_800_000_000 + 60 * minutes, 0).unwrap()
    }

    fn key(group: u64) -> RunKey {
        RunKey::of(0, group, Some(0))
    }

    fn signature(value: u64) -> Signature {
        Signature::new().with(value)
    }

    #[test]
    fn the_same_again_is_counted_and_noted_once_an_hour() {
        let mut runs = Runs::default();
        assert_eq!(runs.step(key(1), signature(1), at(0)), Step::New(None));
        runs.begin(key(1), signature(1), 7, at(0));
        assert_eq!(runs.step(key(1), signature(1), at(5)), Step::Counted(None));
        let noted = Repeat { id: 7, count: 3, last: at(60) };
        assert_eq!(runs.step(key(1), signature(1), at(60)), Step::Counted(Some(noted)));
        assert_eq!(runs.step(key(1), signature(1), at(65)), Step::Counted(None));
        assert_eq!(runs.open().collect::<Vec<_>>(), [Repeat { id: 7, count: 4, last: at(65) }]);
    }

    #[test]
    fn something_else_ends_the_run_with_its_count() {
        let mut runs = Runs::default();
        runs.begin(key(1), signature(1), 7, at(0));
        runs.step(key(1), signature(1), at(5));
        let rest = Repeat { id: 7, count: 2, last: at(5) };
        assert_eq!(runs.step(key(1), signature(2), at(10)), Step::New(Some(rest)));
        runs.begin(key(1), signature(2), 8, at(10));
        assert_eq!(runs.end(key(1)), None, "one decision needs no count");
        assert_eq!(runs.step(key(1), signature(2), at(15)), Step::New(None));
    }

    #[test]
    fn a_run_ends_after_some_hours_and_when_nothing_is_added() {
        let mut runs = Runs::default();
        for group in [1, 2] {
            runs.begin(key(group), signature(1), group, at(0));
            runs.step(key(group), signature(1), at(1));
        }
        let hours = RUN_MAX.num_minutes();
        runs.step(key(2), signature(1), at(hours - 1));
        assert_eq!(runs.step(key(2), signature(1), at(hours)), Step::New(None), "noted a minute ago");
        assert_eq!(runs.sweep(at(hours + 1)), [Repeat { id: 1, count: 2, last: at(1) }]);
    }

    #[test]
    fn a_full_table_takes_no_more() {
        let mut runs = Runs::default();
        for group in 0..RUNS_MAX as u64 {
            runs.begin(key(group), signature(1), group, at(0));
        }
        assert_eq!(runs.step(key(u64::MAX), signature(1), at(0)), Step::Full);
        assert_eq!(runs.step(key(5), signature(1), at(0)), Step::Counted(None));
    }

    #[test]
    fn keys_tell_routes_groups_and_integrations_apart() {
        let keys = [(0, 1, None), (1, 0, None), (0, 1, Some(0)), (0, 1, Some(1)), (1, 1, Some(0))];
        let keys: std::collections::HashSet<RunKey> = keys.map(|(r, g, i)| RunKey::of(r, g, i)).into();
        assert_eq!(keys.len(), 5);
    }
}
