//! A state in short: records are counted into buckets by the hash of their key, and each bucket holds the sum of its
//! records' hashes. Two digests tell in which buckets the states differ; only those are sent.
//!
//! Sums fold, so digests of different sizes can be compared. 0 records have no buckets.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh64::xxh64;

const BUCKETS_MAX: usize = 4096;

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
        // A few records in each bucket: small enough to send on every difference.
        let buckets = (records.len() / 4).next_power_of_two().clamp(16, BUCKETS_MAX);
        let mut sums = vec![0u64; if records.is_empty() { 0 } else { buckets }];
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
    use super::*;

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
