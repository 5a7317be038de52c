//! A state in short: records are counted into buckets by the hash of their key, and each bucket holds the sum of its
//! records' hashes. Two digests tell in which buckets the states differ; only those are sent.
//!
//! Sums fold, so digests of different sizes can be compared. 0 records have no buckets. A [`Tally`] is a digest that
//! follows its records: a change costs as much as one record, and a look costs nothing.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh64::xxh64;

const BUCKETS_MAX: usize = 4096;
/// Moments that count no more are kept up to this many, and as many as there are records.
const STALE_LOOKS_MAX: usize = 1024;

/// See the module's head.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    count: u64,
    /// A power of two, or none.
    sums: Vec<u64>,
}

/// A digest in one line: equal for equal states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Root {
    count: u64,
    sum: u64,
}

impl Digest {
    /// Of records given as (key, encoded record).
    pub fn of<'a>(records: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        Self::of_hashes(records.into_iter().map(|(key, record)| (Self::hash(key), Self::hash(record))))
    }

    /// Of records given as (hash of key, hash of record), each hash by [`Digest::hash`] or as good.
    pub fn of_hashes(records: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let records: Vec<_> = records.into_iter().collect();
        let mut sums = vec![0u64; buckets_for(records.len())];
        for (key, record) in &records {
            let at = bucket(*key, sums.len());
            if let Some(sum) = sums.get_mut(at) {
                *sum = sum.wrapping_add(item(*key, *record));
            }
        }
        Digest { count: records.len() as u64, sums }
    }

    #[must_use]
    pub fn hash(bytes: &[u8]) -> u64 {
        xxh64(bytes, 0)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// One number for all: different for different states, but for chance.
    #[must_use]
    pub fn number(&self) -> u64 {
        let Root { count, sum } = self.root();
        item(count, sum)
    }

    /// Tells of the hash of a key whether the record of that key has to be sent, this being the digest of the
    /// sender and `theirs` that of the receiver.
    pub fn differs_from(&self, theirs: &Digest) -> impl Fn(u64) -> bool + use<> {
        let buckets = self.sums.len().min(theirs.sums.len());
        let (own, theirs) = (fold(&self.sums, buckets), fold(&theirs.sums, buckets));
        let differs: Vec<bool> = own.iter().zip(&theirs).map(|(a, b)| a != b).collect();
        move |key| differs.get(bucket(key, differs.len())).copied().unwrap_or(true)
    }

    pub(super) fn root(&self) -> Root {
        Root { count: self.count, sum: self.sums.iter().fold(0, |all, sum| all.wrapping_add(*sum)) }
    }

    /// A digest of a peer that could not have been made here is refused.
    pub(super) fn is_sound(&self) -> bool {
        self.sums.is_empty() || (self.sums.len().is_power_of_two() && self.sums.len() <= BUCKETS_MAX)
    }
}

/// The digest of records that come, change and go. Each may have a moment at which its holder has to look at it again:
/// what a record counts for may change with time alone.
#[derive(Debug, Default)]
pub struct Tally {
    /// [`BUCKETS_MAX`] of them, or none as long as there was no record.
    sums: Vec<u64>,
    counted: usize,
    items: HashMap<u64, Item>,
    looks: BinaryHeap<Reverse<(i64, u64)>>,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    /// `None`: known, but not counted.
    record: Option<u64>,
    look_at: i64,
}

impl Tally {
    /// A record as it is now; `None`: not to be counted, but to be looked at. `look_at` is in milliseconds of whatever
    /// clock [`Tally::take_due`] is asked with.
    pub fn put(&mut self, key: u64, record: Option<u64>, look_at: i64) {
        let before = self.items.insert(key, Item { record, look_at });
        self.count(key, before.and_then(|item| item.record), record);
        if before.is_none_or(|item| item.look_at != look_at) && look_at != i64::MAX {
            self.looks.push(Reverse((look_at, key)));
            self.sweep();
        }
    }

    pub fn remove(&mut self, key: u64) {
        if let Some(item) = self.items.remove(&key) {
            self.count(key, item.record, None);
        }
    }

    /// Those whose moment has come. Each is told once: put it anew, or remove it.
    pub fn take_due(&mut self, now: i64) -> Vec<u64> {
        let mut due = Vec::new();
        while let Some(Reverse((at, key))) = self.looks.peek().copied()
            && at <= now
        {
            self.looks.pop();
            if let Some(item) = self.items.get_mut(&key).filter(|item| item.look_at == at) {
                item.look_at = i64::MAX;
                due.push(key);
            }
        }
        due
    }

    /// Of all that is counted.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest { count: self.counted as u64, sums: fold(&self.sums, buckets_for(self.counted)) }
    }

    /// The keys of what is counted.
    pub fn keys(&self) -> impl Iterator<Item = u64> {
        self.items.iter().filter(|(_, item)| item.record.is_some()).map(|(key, _)| *key)
    }

    /// Counted or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn count(&mut self, key: u64, before: Option<u64>, after: Option<u64>) {
        if self.sums.is_empty() {
            self.sums = vec![0; BUCKETS_MAX];
        }
        let Some(sum) = self.sums.get_mut(bucket(key, BUCKETS_MAX)) else { return };
        if let Some(record) = before {
            *sum = sum.wrapping_sub(item(key, record));
            self.counted -= 1;
        }
        if let Some(record) = after {
            *sum = sum.wrapping_add(item(key, record));
            self.counted += 1;
        }
    }

    /// A record that changes often leaves a moment each time.
    fn sweep(&mut self) {
        if self.looks.len() > 2 * self.items.len() + STALE_LOOKS_MAX {
            let timed = self.items.iter().filter(|(_, item)| item.look_at != i64::MAX);
            self.looks = timed.map(|(key, item)| Reverse((item.look_at, *key))).collect();
        }
    }
}

/// A few records in each: small enough to send on every difference.
fn buckets_for(records: usize) -> usize {
    if records == 0 { 0 } else { (records / 4).next_power_of_two().clamp(16, BUCKETS_MAX) }
}

fn item(key: u64, record: u64) -> u64 {
    let mut both = [0u8; 16];
    both[..8].copy_from_slice(&key.to_le_bytes());
    both[8..].copy_from_slice(&record.to_le_bytes());
    xxh64(&both, 1)
}

/// By the top bits, so that neighbouring buckets fold into one.
#[allow(clippy::cast_possible_truncation, reason = "shifted down to fewer bits than the number of buckets has")]
fn bucket(key: u64, buckets: usize) -> usize {
    match buckets.checked_ilog2() {
        None | Some(0) => 0,
        // Keys may be weak hashes; mixing costs little.
        Some(bits) => (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - bits)) as usize,
    }
}

fn fold(sums: &[u64], buckets: usize) -> Vec<u64> {
    if buckets == 0 {
        return Vec::new();
    }
    let width = (sums.len() / buckets).max(1);
    sums.chunks(width).map(|chunk| chunk.iter().fold(0u64, |all, sum| all.wrapping_add(*sum))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A change of a tally: key, record (0: removed), moment.
    fn changes() -> impl Strategy<Value = Vec<(u64, u64, i64)>> {
        prop::collection::vec((0u64..40, 0u64..4, 0i64..9), 0..300)
    }

    proptest! {
        #[test]
        fn a_tally_is_the_digest_of_what_it_was_told(changes in changes()) {
            let (mut tally, mut truth) = (Tally::default(), HashMap::new());
            for (key, record, look_at) in changes {
                if record == 0 {
                    tally.remove(key);
                    truth.remove(&key);
                } else {
                    tally.put(key, (record > 1).then_some(record), look_at);
                    truth.insert(key, (record, look_at));
                }
            }
            let counted = || truth.iter().filter(|(_, (record, _))| *record > 1).map(|(key, (record, _))| (*key, *record));
            prop_assert_eq!(tally.digest(), Digest::of_hashes(counted()));
            let mut due = tally.take_due(4);
            due.sort_unstable();
            let mut expected: Vec<u64> = truth.iter().filter(|(_, (_, at))| *at <= 4).map(|(key, _)| *key).collect();
            expected.sort_unstable();
            prop_assert_eq!(due, expected);
            prop_assert!(tally.take_due(4).is_empty());
        }
    }

    #[test]
    fn a_record_that_changes_for_ever_takes_no_more_memory() {
        let mut tally = Tally::default();
        for moment in 0..100_000 {
            tally.put(7, Some(moment), i64::try_from(moment).unwrap());
        }
        assert!(tally.looks.len() <= STALE_LOOKS_MAX + 2);
        assert_eq!(tally.take_due(i64::MAX - 1), [7]);
    }

    fn digest(range: std::ops::Range<u64>, changed: Option<u64>) -> Digest {
        Digest::of_hashes(range.map(|key| (key, if changed == Some(key) { 1 } else { key })))
    }

    #[test]
    fn equal_states_have_equal_roots_and_nothing_to_send() {
        let (a, b) = (digest(0..1000, None), digest(0..1000, None));
        assert_eq!(a.root(), b.root());
        assert!(!(0..1000).any(a.differs_from(&b)));
    }

    #[test]
    fn a_changed_record_is_sent_with_few_others() {
        let (a, b) = (digest(0..10_000, Some(77)), digest(0..10_000, None));
        let differs = a.differs_from(&b);
        assert!(differs(77) && (0..10_000).filter(|key| differs(*key)).count() < 100);
    }

    #[test]
    fn digests_of_different_sizes_are_folded() {
        let (few, many) = (digest(0..100, None), digest(0..10_000, None));
        let lacks = many.differs_from(&few);
        assert!((100..10_000).all(lacks));
        assert!((0..10_000).all(many.differs_from(&Digest::default())));
    }
}
