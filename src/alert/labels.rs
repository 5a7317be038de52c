//! Label sets: sorted names with values, in one block of text.
//!
//! A node holds hundreds of thousands of these, so a set is one allocation whatever its size, beside names that
//! alerts of one kind share, and cloning it copies no text.

use std::{
    cmp::Ordering,
    collections::HashMap,
    fmt,
    hash::{BuildHasherDefault, Hasher},
    mem, slice,
    sync::Arc,
};

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

/// Something for each of many alerts.
pub type FingerprintMap<T> = HashMap<Fingerprint, T, BuildHasherDefault<FingerprintHasher>>;

/// Fingerprints are hashes already. One multiplication spreads them over the bits that the map looks at.
#[derive(Clone, Copy, Debug, Default)]
pub struct FingerprintHasher(u64);

impl Hasher for FingerprintHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
    }
}

/// A set of labels or annotations: unique names in byte order, each with a value.
///
/// The type keeps empty values; whoever takes labels from outside drops them (annotations keep theirs).
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Labels {
    names: Arc<Names>,
    /// Where each value ends, then the values without separators; empty without labels. The ends are in the
    /// same text to save an allocation: digits to the base of 128, which all are characters of one byte, as
    /// many for each as the first character says.
    values: Arc<str>,
}

/// The names of a set, which thousands of alerts have in common.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Names {
    text: Box<str>,
    /// End of each name in `text`.
    ends: Box<[u32]>,
}

impl Names {
    pub(super) fn of<N: AsRef<str>, V>(pairs: &[(N, V)]) -> Self {
        let mut text = String::with_capacity(pairs.iter().map(|(name, _)| name.as_ref().len()).sum());
        let mut ends = Vec::with_capacity(pairs.len());
        for (name, _) in pairs {
            text.push_str(name.as_ref());
            // Texts over 4 GiB cannot arrive: bodies are far smaller.
            ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
        }
        Names { text: text.into(), ends: ends.into() }
    }

    pub(super) fn are_of<N: AsRef<str>, V>(&self, pairs: &[(N, V)]) -> bool {
        self.ends.len() == pairs.len()
            && pairs.iter().enumerate().all(|(index, (name, _))| self.get(index) == name.as_ref())
    }

    /// A number that tells sets of names apart, mostly.
    pub(super) fn sketch_of<N: AsRef<str>, V>(pairs: &[(N, V)]) -> u64 {
        let mix = |hash: u64, part: usize| (hash ^ part as u64).wrapping_mul(0x0000_0100_0000_01b3);
        pairs.iter().fold(pairs.len() as u64, |hash, (name, _)| {
            let name = name.as_ref();
            let [first, last] = [name.bytes().next(), name.bytes().next_back()].map(|byte| byte.map_or(0, usize::from));
            mix(mix(hash, name.len()), first << 8 | last)
        })
    }

    fn get(&self, index: usize) -> &str {
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        &self.text[start..self.ends[index] as usize]
    }
}

/// Appends the values of these pairs in the form of [`Labels::values`].
fn push_values<N, V: AsRef<str>>(pairs: &[(N, V)], out: &mut String) {
    if pairs.is_empty() {
        return;
    }
    let size: usize = pairs.iter().map(|(_, value)| value.as_ref().len()).sum();
    let digits = (1..5u8).find(|digits| size >> (7 * digits) == 0).unwrap_or(5);
    out.reserve(1 + pairs.len() * usize::from(digits) + size);
    out.push(char::from(digits));
    let mut end = 0;
    for (_, value) in pairs {
        end += value.as_ref().len();
        for digit in (0..digits).rev() {
            out.push(char::from(u8::try_from((end >> (7 * digit)) & 0x7F).unwrap_or(0)));
        }
    }
    pairs.iter().for_each(|(_, value)| out.push_str(value.as_ref()));
}

impl Labels {
    /// From pairs that are sorted by name without repetition (checked in debug builds).
    pub fn from_sorted<N: AsRef<str>, V: AsRef<str>>(pairs: &[(N, V)]) -> Self {
        if pairs.is_empty() {
            return Labels::default();
        }
        Self::with_names(Arc::new(Names::of(pairs)), pairs, &mut String::new())
    }

    /// As [`Labels::from_sorted`], with names that the caller knows to be those of the pairs. `scratch` is any
    /// string, to work in.
    pub(super) fn with_names<N: AsRef<str>, V: AsRef<str>>(
        names: Arc<Names>,
        pairs: &[(N, V)],
        scratch: &mut String,
    ) -> Self {
        debug_assert!(pairs.windows(2).all(|w| w[0].0.as_ref() < w[1].0.as_ref()), "pairs must be sorted and unique");
        debug_assert!(names.are_of(pairs), "names must be those of the pairs");
        scratch.clear();
        push_values(pairs, scratch);
        Labels { names, values: Arc::from(&**scratch) }
    }

    /// The same set, with these names in place of its own equal ones.
    pub(super) fn renamed(&self, names: Arc<Names>) -> Labels {
        debug_assert_eq!(names, self.names);
        Labels { names, values: Arc::clone(&self.values) }
    }

    /// From pairs in any order; of a repeated name the last value stays, as in a JSON object.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut pairs: Vec<(N, V)> = pairs.into_iter().collect();
        sort_pairs(&mut pairs);
        Self::from_sorted(&pairs)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.names.ends.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn value(&self, index: usize) -> &str {
        let digits = usize::from(self.values.as_bytes()[0]);
        let end = |index: usize| number(&self.values.as_bytes()[1 + index * digits..][..digits]);
        let start = if index == 0 { 0 } else { end(index - 1) };
        &self.values[1 + self.len() * digits..][start..end(index)]
    }

    /// The value of `name`, if the set has it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.names.get(middle).cmp(name) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Some(self.value(middle)),
            }
        }
        None
    }

    /// The value in this place of the order of names.
    #[must_use]
    pub fn value_at(&self, index: usize) -> Option<&str> {
        (index < self.len()).then(|| self.value(index))
    }

    /// Name and value in order of names.
    pub fn iter(&self) -> Iter<'_> {
        let digits = self.values.as_bytes().first().map_or(0, |digits| usize::from(*digits));
        let (ends, texts) = self.values.split_at((1 + self.len() * digits).min(self.values.len()));
        Iter {
            names: &self.names.text,
            name_ends: self.names.ends.iter(),
            name_start: 0,
            values: texts,
            value_ends: ends.as_bytes().get(1..).unwrap_or_default().chunks_exact(digits.max(1)),
            value_start: 0,
        }
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|index| self.names.get(index))
    }

    /// Whether both have the very same names in memory. If not, they may be equal nevertheless.
    #[must_use]
    pub fn shares_names(&self, other: &Labels) -> bool {
        Arc::ptr_eq(&self.names, &other.names)
    }

    /// All values in one text, to be kept beside the names; [`value_in`] reads it.
    #[must_use]
    pub fn values_text(&self) -> &str {
        &self.values
    }

    /// Bytes of text in it, about.
    #[must_use]
    pub fn size(&self) -> usize {
        self.names.text.len() + self.values.len()
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

/// One of so many values in what claims to be a [`Labels::values_text`]; `None`: it is none.
#[must_use]
pub fn value_in(text: &str, labels: usize, index: usize) -> Option<&str> {
    if index >= labels {
        return None;
    }
    let digits = usize::from(*text.as_bytes().first()?);
    let (head, values) = text.split_at_checked(labels.checked_mul(digits)?.checked_add(1)?)?;
    let end = |index: usize| head.as_bytes().get(1 + index * digits..)?.get(..digits).map(number);
    let start = index.checked_sub(1).map_or(Some(0), end)?;
    values.get(start..end(index)?)
}

/// A number to the base of 128.
fn number(digits: &[u8]) -> usize {
    digits.iter().fold(0, |number, digit| number << 7 | usize::from(*digit))
}

/// See [`Labels::iter`].
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    names: &'a str,
    name_ends: slice::Iter<'a, u32>,
    name_start: usize,
    values: &'a str,
    value_ends: slice::ChunksExact<'a, u8>,
    value_start: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let name_end = *self.name_ends.next()? as usize;
        let value_end = number(self.value_ends.next()?);
        let name = &self.names[mem::replace(&mut self.name_start, name_end)..name_end];
        Some((name, &self.values[mem::replace(&mut self.value_start, value_end)..value_end]))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.name_ends.size_hint()
    }
}

impl ExactSizeIterator for Iter<'_> {}

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
    use proptest::prelude::*;

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
    fn a_set_of_any_size_gives_back_what_was_put_in() {
        for size in [0, 1, 127, 128, 200, 16_383, 16_384, 3_000_000] {
            let long = "ü".repeat(size / 2) + &"x".repeat(size % 2);
            let pairs = [("a", "1"), ("b", &*long), ("c", ""), ("d", "2")];
            let set = Labels::from_sorted(&pairs);
            assert!(set.equals(&pairs) && set.iter().eq(pairs), "{size}");
            assert_eq!(set.get("b"), Some(&*long));
        }
        assert!(Labels::default().is_empty() && Labels::default() == labels(&[]));
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

    proptest! {
        #[test]
        fn values_are_read_back_from_their_text(pairs in proptest::collection::vec((".{0,9}", ".{0,200}"), 0..9)) {
            let set = Labels::from_pairs(pairs);
            let text = set.values_text();
            for (index, (name, value)) in set.iter().enumerate() {
                prop_assert_eq!(value_in(text, set.len(), index), Some(value));
                prop_assert_eq!(set.names().nth(index), Some(name));
            }
            prop_assert_eq!(value_in(text, set.len(), set.len()), None);
        }

        #[test]
        fn any_text_of_values_is_read_or_refused(text in "\\PC{0,40}|[\0-\x09]{0,40}", labels: usize, index: usize) {
            for (labels, index) in [(labels, index), (labels % 9, index % 9), (labels % 9, index)] {
                let _ = value_in(&text, labels, index);
            }
        }
    }
}
