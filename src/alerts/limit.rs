//! `--alerts.per-alertname-limit`: so many alerts of one name, and no more.
//!
//! A known alert is always updated. When a name is full, a new alert takes the place of the one that
//! ends first, if that one has already ended; the alert that lost its place stays in the store until it
//! is cleaned up, and needs a place again when it fires anew.

use std::{
    collections::{BTreeSet, HashMap},
    hash::BuildHasher,
    sync::Arc,
};

use super::Slot;
use crate::{
    alert::{Entry, Fingerprint, Posted},
    clock::Time,
};

#[derive(Debug)]
pub(super) struct Limiter {
    /// 0: no limit, and nothing is counted.
    limit: usize,
    names: HashMap<Box<str>, Name>,
}

/// The alerts of one name.
#[derive(Debug, Default)]
struct Name {
    /// By the end that was known when the alert was last looked at; refreshes move it later unseen.
    by_end: BTreeSet<(Time, Fingerprint)>,
    end_of: HashMap<Fingerprint, Time>,
}

impl Limiter {
    pub(super) fn new(limit: usize) -> Self {
        Limiter { limit, names: HashMap::new() }
    }

    /// Whether the post may enter; a new alert that may is counted.
    pub(super) fn admits<S: BuildHasher>(
        &mut self,
        posted: &Posted<'_>,
        slots: &HashMap<Fingerprint, Slot, S>,
        now: Time,
    ) -> bool {
        if self.limit == 0 {
            return true;
        }
        let counted = |name: &Name| name.end_of.contains_key(&posted.fingerprint);
        let over = posted.ends_at <= now;
        if self.names.get(posted.name()).is_some_and(counted) || (over && slots.contains_key(&posted.fingerprint)) {
            return true;
        }
        let limit = self.limit;
        let name = self.name(posted.name());
        let admitted = name.end_of.len() < limit || name.evict_ended(slots, now);
        if admitted {
            name.add(posted.fingerprint, posted.ends_at);
        }
        admitted
    }

    /// Counts an alert that came in past the limit.
    pub(super) fn count(&mut self, entry: &Entry) {
        if self.limit > 0 {
            let end = end_of(entry);
            self.name(alertname(entry)).add(entry.fingerprint(), end);
        }
    }

    pub(super) fn forget(&mut self, entry: &Arc<Entry>) {
        let name_text = alertname(entry);
        let Some(name) = self.names.get_mut(name_text) else { return };
        name.remove(entry.fingerprint());
        if name.end_of.is_empty() {
            self.names.remove(name_text);
        }
    }

    fn name(&mut self, name: &str) -> &mut Name {
        self.names.entry(name.into()).or_default()
    }
}

impl Name {
    /// Makes room by dropping the alert that ended first. `false`: none has ended.
    fn evict_ended<S: BuildHasher>(&mut self, slots: &HashMap<Fingerprint, Slot, S>, now: Time) -> bool {
        while let Some((end, fingerprint)) = self.by_end.first().copied() {
            let actual = slots.get(&fingerprint).map_or(end, |slot| end_of(&slot.entry));
            if actual <= now {
                self.remove(fingerprint);
                return true;
            }
            if actual == end {
                return false;
            }
            // It was refreshed since: put it where it belongs and look at the next.
            self.add(fingerprint, actual);
        }
        false
    }

    fn add(&mut self, fingerprint: Fingerprint, end: Time) {
        self.remove(fingerprint);
        self.by_end.insert((end, fingerprint));
        self.end_of.insert(fingerprint, end);
    }

    fn remove(&mut self, fingerprint: Fingerprint) {
        if let Some(end) = self.end_of.remove(&fingerprint) {
            self.by_end.remove(&(end, fingerprint));
        }
    }
}

fn alertname(entry: &Entry) -> &str {
    entry.labels().get("alertname").unwrap_or("")
}

fn end_of(entry: &Entry) -> Time {
    entry.lock().ends_at.unwrap_or(Time::MAX_UTC)
}
