//! Which silences may fit an alert, found by its labels rather than by trying all.
//!
//! Each matcher set of a silence is filed under one of its conditions that only a few values can meet (`=`, or
//! `=~` of plain alternatives): the one with the fewest silences filed so far. An alert then only has to try
//! what is filed under its own labels, and the few silences that cannot be filed.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

use xxhash_rust::xxh64::xxh64;

use super::model::{MatcherSets, Silence};
use crate::alert::{Labels, matcher::Matcher};

/// A silence's place in the order in which they came; never used twice.
pub(super) type Slot = u64;

/// Alternatives of one matcher that are worth a place each.
const LITERALS_MAX: usize = 64;

/// Keys are hashes already.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

#[derive(Default)]
pub(super) struct Index {
    /// By hash of name and value; each list is sorted. Two pairs with one hash share a list: all that is found
    /// is tried anyway.
    filed: HashMap<u64, Vec<Filed>, BuildHasherDefault<Identity>>,
    /// Sorted.
    unfiled: Vec<Filed>,
    size: usize,
}

/// What is tried lies beside its slot: looking each one up elsewhere would cost more than trying it.
type Filed = (Slot, MatcherSets);

/// Where a silence is filed; empty: among the unfiled.
pub(super) type Places = Box<[u64]>;

fn place_of(name: &str, value: &str) -> u64 {
    xxh64(value.as_bytes(), xxh64(name.as_bytes(), 0))
}

impl Index {
    /// Silences in the index.
    pub fn len(&self) -> usize {
        self.size
    }

    /// Files a silence; slots must come in ascending order.
    pub fn insert(&mut self, slot: Slot, silence: &Silence) -> Places {
        self.size += 1;
        let mut places = Vec::new();
        for set in silence.matcher_sets.iter() {
            let Some(found) = self.cheapest(set) else {
                self.unfiled.push((slot, Arc::clone(&silence.matcher_sets)));
                return Box::default();
            };
            places.extend(found);
        }
        places.sort_unstable();
        places.dedup();
        for place in &places {
            self.filed.entry(*place).or_default().push((slot, Arc::clone(&silence.matcher_sets)));
        }
        places.into()
    }

    pub fn remove(&mut self, slot: Slot, places: &Places) {
        self.size = self.size.saturating_sub(1);
        if places.is_empty() {
            remove_sorted(&mut self.unfiled, slot);
        }
        for place in places {
            if let Some(slots) = self.filed.get_mut(place) {
                remove_sorted(slots, slot);
                if slots.is_empty() {
                    self.filed.remove(place);
                }
            }
        }
    }

    /// Slots after `newer_than` whose silence may fit these labels, with its matchers; one may come twice.
    pub fn candidates(&self, labels: &Labels, newer_than: Slot, mut each: impl FnMut(Slot, &MatcherSets)) {
        let mut all_newer = |filed: &[Filed]| {
            let from = filed.partition_point(|(slot, _)| *slot <= newer_than);
            filed.iter().skip(from).for_each(|(slot, sets)| each(*slot, sets));
        };
        for (name, value) in labels.iter() {
            if let Some(filed) = self.filed.get(&place_of(name, value)) {
                all_newer(filed);
            }
        }
        all_newer(&self.unfiled);
    }

    /// The places of the matcher under which the fewest silences are filed.
    fn cheapest(&self, set: &[Matcher]) -> Option<Vec<u64>> {
        let mut best: Option<(usize, Vec<u64>)> = None;
        for matcher in set {
            let Some(literals) = matcher.literals().filter(|literals| literals.len() <= LITERALS_MAX) else { continue };
            // A missing label is an empty one, and would not be looked up.
            if literals.iter().any(str::is_empty) {
                continue;
            }
            let places: Vec<u64> = literals.iter().map(|value| place_of(matcher.name(), value)).collect();
            let cost = places.iter().map(|place| 1 + self.filed.get(place).map_or(0, Vec::len)).sum();
            if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                best = Some((cost, places));
            }
        }
        // No alternatives at all: nothing can fit, but it must be filed somewhere.
        best.map(|(_, places)| places).filter(|places| !places.is_empty())
    }
}

fn remove_sorted(filed: &mut Vec<Filed>, slot: Slot) {
    if let Ok(at) = filed.binary_search_by_key(&slot, |(slot, _)| *slot) {
        filed.remove(at);
    }
    if filed.len() * 4 < filed.capacity() {
        filed.shrink_to_fit();
    }
}
