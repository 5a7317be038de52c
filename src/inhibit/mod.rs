//! Inhibition: while a source alert fires, the targets of its rule are not told.
//!
//! The rules and every alert that is new or changed come in; the question "who inhibits this label set
//! now" is answered. Routes, silences and notifications are unknown here. A source inhibits whether or
//! not it is itself muted. Rules: reference/pipeline.md 8, but where Alertmanager remembers one source
//! for each combination of equal labels, all are remembered and tried, in order of fingerprint.
//!
//! With many rules an alert is not held against each: both sides of a rule are indexed by the values
//! that one of their matchers requires ([`index`]).

mod index;

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use self::index::Index;
use crate::{
    alert::{Entry, Fingerprint, Labels, matcher::Matchers},
    clock::{Time, delta},
    config::InhibitRule,
};

/// A source that ended this long ago is dropped when a look-up meets it; should it fire again, that is
/// a change, which is observed. The margin covers clocks and calls that are slightly out of order.
const DROP_AFTER: Duration = Duration::from_secs(300);

/// See the module.
#[derive(Debug)]
pub struct Inhibitor {
    rules: Vec<Rule>,
    /// As they were given.
    given: Vec<Arc<InhibitRule>>,
    by_source: Index,
    by_target: Index,
    hasher: RandomState,
    sources: RwLock<Sources>,
}

#[derive(Debug)]
struct Rule {
    source: Matchers,
    target: Matchers,
    equal: Vec<String>,
}

/// The alerts that match the source side of some rule.
#[derive(Debug, Default)]
struct Sources {
    /// By rule.
    slots: Vec<Slots>,
    /// Where each source stands.
    places: HashMap<Fingerprint, Vec<Place>>,
}

/// By the hash of the values of the rule's `equal` labels.
type Slots = HashMap<u64, Slot>;

type Slot = BTreeMap<Fingerprint, Source>;

#[derive(Clone, Copy, Debug)]
struct Place {
    rule: usize,
    equal: u64,
}

#[derive(Debug)]
struct Source {
    entry: Arc<Entry>,
    /// It matches the target side as well: it cannot inhibit alerts that are such sources themselves.
    is_target: bool,
}

impl Inhibitor {
    #[must_use]
    pub fn new(rules: &[InhibitRule]) -> Self {
        let slots = rules.iter().map(|_| Slots::default()).collect();
        Inhibitor {
            by_source: Index::new(rules.iter().map(|rule| &*rule.source)),
            by_target: Index::new(rules.iter().map(|rule| &*rule.target)),
            rules: rules.iter().map(Rule::of).collect(),
            given: rules.iter().cloned().map(Arc::new).collect(),
            hasher: RandomState::new(),
            sources: RwLock::new(Sources { slots, places: HashMap::new() }),
        }
    }

    /// Takes note of an alert that is new or changed. May be told the same again.
    pub fn observe(&self, entry: &Arc<Entry>) {
        let labels = entry.labels();
        let mut found: Vec<(Place, bool)> = Vec::new();
        self.by_source.for_each(labels, |index| {
            if let Some(rule) = self.rules.get(index).filter(|rule| rule.source.matches(labels)) {
                let place = Place { rule: index, equal: self.equal_hash(rule, labels) };
                found.push((place, rule.target.matches(labels)));
            }
            true
        });
        if !found.is_empty() {
            self.write().add(entry, found);
        }
    }

    /// The store has forgotten the alert.
    pub fn forget(&self, fingerprint: Fingerprint) {
        self.write().remove(fingerprint);
    }

    /// The source that mutes an alert of these labels at `now`, and the index of the rule: of the first
    /// rule that does, the active source of the lowest fingerprint.
    #[must_use]
    pub fn inhibited_by(&self, labels: &Labels, now: Time) -> Option<(Fingerprint, usize)> {
        let mut stale = Vec::new();
        let found = self.find(labels, now, &mut stale);
        self.drop_stale(&stale, now);
        found
    }

    /// The rule at this place of the list.
    #[must_use]
    pub fn rule(&self, index: usize) -> Option<Arc<InhibitRule>> {
        self.given.get(index).cloned()
    }

    /// The alert that [`Inhibitor::inhibited_by`] has named.
    #[must_use]
    pub fn source(&self, fingerprint: Fingerprint) -> Option<Arc<Entry>> {
        self.read().entry(fingerprint).cloned()
    }

    fn find(&self, labels: &Labels, now: Time, stale: &mut Vec<Fingerprint>) -> Option<(Fingerprint, usize)> {
        let sources = self.read();
        if sources.places.is_empty() {
            return None;
        }
        let mut found = None;
        self.by_target.for_each(labels, |index| {
            let (Some(rule), Some(slots)) = (self.rules.get(index), sources.slots.get(index)) else { return true };
            if slots.is_empty() || !rule.target.matches(labels) {
                return true;
            }
            let slot = slots.get(&self.equal_hash(rule, labels));
            found = slot.and_then(|slot| rule.active_source(slot, labels, now, stale)).map(|source| (source, index));
            found.is_none()
        });
        found
    }

    fn drop_stale(&self, stale: &[Fingerprint], now: Time) {
        if stale.is_empty() {
            return;
        }
        let mut sources = self.write();
        for fingerprint in stale {
            // It may have been observed anew since.
            if sources.entry(*fingerprint).is_some_and(|entry| is_stale(entry, now)) {
                sources.remove(*fingerprint);
            }
        }
    }

    fn equal_hash(&self, rule: &Rule, labels: &Labels) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        for name in &rule.equal {
            labels.get(name).unwrap_or("").hash(&mut hasher);
        }
        hasher.finish()
    }

    fn read(&self) -> RwLockReadGuard<'_, Sources> {
        // The maps hold no relation that a panic could leave broken beyond a forgotten source.
        self.sources.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Sources> {
        self.sources.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rule {
    fn of(rule: &InhibitRule) -> Self {
        Rule { source: rule.source.clone(), target: rule.target.clone(), equal: rule.equal.clone() }
    }

    /// The first source of the slot that fires and may inhibit these labels.
    fn active_source(
        &self,
        slot: &Slot,
        labels: &Labels,
        now: Time,
        stale: &mut Vec<Fingerprint>,
    ) -> Option<Fingerprint> {
        let both_sides = self.source.matches(labels);
        for (fingerprint, source) in slot {
            if source.entry.resolved_at(now) {
                if is_stale(&source.entry, now) {
                    stale.push(*fingerprint);
                }
            } else if !(both_sides && source.is_target) && self.equal_in(source.entry.labels(), labels) {
                return Some(*fingerprint);
            }
        }
        None
    }

    /// The slot's key is a hash, so the values are compared as well.
    fn equal_in(&self, a: &Labels, b: &Labels) -> bool {
        self.equal.iter().all(|name| a.get(name).unwrap_or("") == b.get(name).unwrap_or(""))
    }
}

impl Sources {
    fn add(&mut self, entry: &Arc<Entry>, found: Vec<(Place, bool)>) {
        let fingerprint = entry.fingerprint();
        self.places.insert(fingerprint, found.iter().map(|(place, _)| *place).collect());
        for (place, is_target) in found {
            if let Some(slots) = self.slots.get_mut(place.rule) {
                let source = Source { entry: Arc::clone(entry), is_target };
                slots.entry(place.equal).or_default().insert(fingerprint, source);
            }
        }
    }

    fn entry(&self, fingerprint: Fingerprint) -> Option<&Arc<Entry>> {
        let place = self.places.get(&fingerprint)?.first()?;
        Some(&self.slots.get(place.rule)?.get(&place.equal)?.get(&fingerprint)?.entry)
    }

    fn remove(&mut self, fingerprint: Fingerprint) {
        for place in self.places.remove(&fingerprint).unwrap_or_default() {
            let Some(slots) = self.slots.get_mut(place.rule) else { continue };
            let Some(slot) = slots.get_mut(&place.equal) else { continue };
            slot.remove(&fingerprint);
            if slot.is_empty() {
                slots.remove(&place.equal);
            }
        }
    }
}

fn is_stale(entry: &Entry, now: Time) -> bool {
    entry.resolved_at(now - delta(DROP_AFTER))
}

#[cfg(test)]
mod tests;
