//! Label sets: sorted names with values, in one block of text.
//!
//! A node holds hundreds of thousands of these, so a set is two allocations whatever its size,
//! and cloning it copies no text.

use std::{cmp::Ordering, fmt, sync::Arc};

/// FNV-1a over the sorted labels, as Prometheus computes it; the identity of an alert.
/// Printed as 16 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub u64);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A set of labels or annotations: unique names in byte order, each with a value.
///
/// The type keeps empty values; whoever takes labels from outside drops them (annotations keep theirs).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels {
    /// name, value, name, value … without separators.
    text: Arc<str>,
    /// End of each piece of `text`: two for a label.
    ends: Arc<[u32]>,
}

impl Default for Labels {
    fn default() -> Self {
        Labels { text: Arc::from(""), ends: Arc::from([]) }
    }
}

impl Labels {
    /// From pairs that are sorted by name without repetition (checked in debug builds).
    pub fn from_sorted<N: AsRef<str>, V: AsRef<str>>(pairs: &[(N, V)]) -> Self {
        debug_assert!(pairs.windows(2).all(|w| w[0].0.as_ref() < w[1].0.as_ref()), "pairs must be sorted and unique");
        let size = pairs.iter().map(|(n, v)| n.as_ref().len() + v.as_ref().len()).sum();
        let mut text = String::with_capacity(size);
        let mut ends = Vec::with_capacity(2 * pairs.len());
        for (name, value) in pairs {
            for piece in [name.as_ref(), value.as_ref()] {
                text.push_str(piece);
                // Texts over 4 GiB cannot arrive: bodies are far smaller.
                ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
            }
        }
        Labels { text: text.into(), ends: ends.into() }
    }

    /// From pairs in any order; of a repeated name the last value stays, as in a JSON object.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut pairs: Vec<(N, V)> = pairs.into_iter().collect();
        sort_pairs(&mut pairs);
        Self::from_sorted(&pairs)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len() / 2
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn piece(&self, index: usize) -> &str {
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        &self.text[start..self.ends[index] as usize]
    }

    /// The value of `name`, if the set has it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.piece(2 * middle).cmp(name) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Some(self.piece(2 * middle + 1)),
            }
        }
        None
    }

    /// Name and value in order of names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        (0..self.len()).map(|i| (self.piece(2 * i), self.piece(2 * i + 1)))
    }

    /// The labels whose name `keep` accepts.
    #[must_use]
    pub fn restricted(&self, mut keep: impl FnMut(&str) -> bool) -> Labels {
        let pairs: Vec<(&str, &str)> = self.iter().filter(|(name, _)| keep(name)).collect();
        Labels::from_sorted(&pairs)
    }

    /// See [`Fingerprint`].
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        fingerprint_of(self.iter())
    }

    /// Whether this set holds exactly these sorted pairs.
    pub fn equals<N: AsRef<str>, V: AsRef<str>>(&self, pairs: &[(N, V)]) -> bool {
        self.len() == pairs.len()
            && self.iter().zip(pairs).all(|((n, v), (pn, pv))| n == pn.as_ref() && v == pv.as_ref())
    }
}

/// The label-set order of the API: fewer labels first; then, walking the names of both, the set that
/// lacks a name comes first, else the first differing value decides (reference/server.md 5.4).
impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.len().cmp(&other.len()).then_with(|| {
            for ((name, value), (other_name, other_value)) in self.iter().zip(other.iter()) {
                // The smaller name is one that the other set lacks at this place.
                let order = other_name.cmp(name).then_with(|| value.cmp(other_value));
                if order != Ordering::Equal {
                    return order;
                }
            }
            Ordering::Equal
        })
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Labels::from_pairs(pairs)
    }
}

/// A JSON object, names in order.
impl serde::Serialize for Labels {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// Sorts by name and keeps the last value of a repeated name.
pub fn sort_pairs<N: AsRef<str>, V>(pairs: &mut Vec<(N, V)>) {
    if pairs.windows(2).all(|w| w[0].0.as_ref() < w[1].0.as_ref()) {
        return;
    }
    pairs.sort_by(|a, b| a.0.as_ref().cmp(b.0.as_ref()));
    pairs.reverse(); // so that `dedup` keeps the last of equals
    pairs.dedup_by(|a, b| a.0.as_ref() == b.0.as_ref());
    pairs.reverse();
}

/// FNV-1a, 64 bits: name, 0xFF, value, 0xFF for each label in order of names.
pub fn fingerprint_of<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Fingerprint {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut hash = OFFSET;
    let mut eat = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
    };
    for (name, value) in pairs {
        eat(name.as_bytes());
        eat(&[0xFF]);
        eat(value.as_bytes());
        eat(&[0xFF]);
    }
    Fingerprint(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied())
    }

    #[test]
    fn of_a_repeated_name_the_last_value_stays() {
        assert_eq!(labels(&[("b", "1"), ("a", "2"), ("b", "3")]).iter().collect::<Vec<_>>(), [("a", "2"), ("b", "3")]);
    }

    #[test]
    fn a_value_is_found_by_name() {
        let set = labels(&[("alertname", "x"), ("job", ""), ("zone", "ü")]);
        assert_eq!((set.get("zone"), set.get("job"), set.get("none")), (Some("ü"), Some(""), None));
    }

    #[test]
    fn the_empty_set_has_the_offset_basis_as_fingerprint() {
        assert_eq!(Labels::default().fingerprint().to_string(), "cbf29ce484222325");
    }

    #[test]
    fn fewer_labels_come_first_then_the_set_that_lacks_a_name_then_values() {
        assert!(labels(&[("z", "9")]) < labels(&[("a", "1"), ("b", "1")]));
        assert!(labels(&[("b", "1")]) < labels(&[("a", "1")]));
        assert!(labels(&[("a", "1")]) < labels(&[("a", "2")]));
    }
}
