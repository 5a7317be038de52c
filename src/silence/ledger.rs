//! All silences of this node, their lives in time, and who is silenced by which: pure, without lock or clock.
//!
//! States change by time alone, without events: two ordered sets of starts and ends tell at any moment which
//! silences have passed a border since the last look, so that counting by state and keeping ended ones out of
//! the index costs nothing per silence.
//!
//! For each alert it is remembered which active or pending silences fit it, up to which slot that is known. An
//! edit under one id never changes matchers, so only silences that came later have to be tried; one whose
//! matchers did change (or that came back to life) gets a new slot. Times are looked at when asked: a pending
//! silence that fits is in the list before it is active.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    index::{Index, Places, Slot},
    model::{MatcherSets, Silence, SilenceId, fits},
};
use crate::{
    alert::{Fingerprint, FingerprintMap, Labels},
    clock::Time,
};

/// Up to that many newer silences are tried one by one, without the index.
const SCAN_MAX: u64 = 8;

#[derive(Default)]
pub(super) struct Ledger {
    records: BTreeMap<Slot, Entry>,
    by_id: HashMap<SilenceId, Slot>,
    last_slot: Slot,
    index: Index,
    /// By start: not yet begun at `seen`.
    pending: BTreeSet<(Time, Slot)>,
    /// By end: begun, and not ended before `seen`.
    active: BTreeSet<(Time, Slot)>,
    /// The latest moment looked at.
    seen: Option<Time>,
    known: FingerprintMap<Known>,
}

struct Entry {
    silence: Arc<Silence>,
    /// Where it is filed; `None`: not in the index, because it is over or cannot be used.
    places: Option<Places>,
}

/// The silences that fit one alert.
struct Known {
    /// Everything up to this slot has been tried.
    up_to: Slot,
    slots: Box<[Slot]>,
}

/// What one question cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Work {
    pub scanned: u64,
    pub skipped: u64,
}

/// Silences by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub active: usize,
    pub pending: usize,
    pub expired: usize,
}

impl Ledger {
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Silences in the index.
    pub fn indexed(&self) -> usize {
        self.index.len()
    }

    pub fn get(&self, id: &str) -> Option<&Arc<Silence>> {
        let slot = self.by_id.get(id)?;
        self.records.get(slot).map(|entry| &entry.silence)
    }

    /// Every silence, also those that cannot be used.
    pub fn all(&self) -> impl ExactSizeIterator<Item = &Arc<Silence>> {
        self.records.values().map(|entry| &entry.silence)
    }

    pub fn counts(&mut self, now: Time) -> Counts {
        self.advance(now);
        // Those that end at this very moment silence still, but are shown as expired.
        let ending = self.active.iter().take_while(|(end, _)| *end <= now).count();
        let active = self.active.len() - ending;
        Counts { active, pending: self.pending.len(), expired: self.records.len() - active - self.pending.len() }
    }

    /// Adds a silence, or replaces the one of the same id.
    pub fn put(&mut self, silence: Arc<Silence>, now: Time) {
        self.advance(now);
        let slot = match self.by_id.get(&silence.id).copied() {
            Some(slot) => self.slot_for_edit(slot, &silence, now),
            None => self.next_slot(),
        };
        self.by_id.insert(silence.id.clone(), slot);
        let places = self.records.remove(&slot).and_then(|entry| entry.places);
        self.records.insert(slot, Entry { silence, places });
        self.enter_life(slot, now);
    }

    fn next_slot(&mut self) -> Slot {
        self.last_slot += 1;
        self.last_slot
    }

    /// The old slot, if everything known about it stays right.
    fn slot_for_edit(&mut self, slot: Slot, edited: &Silence, now: Time) -> Slot {
        self.leave_life(slot);
        let Some(entry) = self.records.get(&slot) else { return self.next_slot() };
        let returns = entry.places.is_none() && edited.ends_at >= now;
        if entry.silence.matcher_sets == edited.matcher_sets && !returns {
            return slot;
        }
        self.unindex(slot);
        self.records.remove(&slot);
        self.next_slot()
    }

    /// Puts a silence into the set of its state, and into the index if it can still silence anything.
    fn enter_life(&mut self, slot: Slot, now: Time) {
        let Some(entry) = self.records.get_mut(&slot) else { return };
        let silence = &entry.silence;
        if !silence.has_begun(now) {
            self.pending.insert((silence.starts_at, slot));
        } else if now <= silence.ends_at {
            self.active.insert((silence.ends_at, slot));
        } else {
            self.unindex(slot);
            return;
        }
        if entry.places.is_none() && silence.is_usable() {
            entry.places = Some(self.index.insert(slot, silence));
        }
    }

    fn leave_life(&mut self, slot: Slot) {
        if let Some(entry) = self.records.get(&slot) {
            self.pending.remove(&(entry.silence.starts_at, slot));
            self.active.remove(&(entry.silence.ends_at, slot));
        }
    }

    fn unindex(&mut self, slot: Slot) {
        if let Some(places) = self.records.get_mut(&slot).and_then(|entry| entry.places.take()) {
            self.index.remove(slot, &places);
        }
    }

    /// Notes what began and ended up to `now`.
    fn advance(&mut self, now: Time) {
        match self.seen {
            Some(seen) if now < seen => return self.live_again(now),
            Some(seen) if now == seen => return,
            _ => self.seen = Some(now),
        }
        while let Some(&(start, slot)) = self.pending.first()
            && start <= now
        {
            self.pending.pop_first();
            if let Some(entry) = self.records.get(&slot) {
                self.active.insert((entry.silence.ends_at, slot));
            }
        }
        while let Some(&(end, slot)) = self.active.first()
            && end < now
        {
            self.active.pop_first();
            self.unindex(slot);
        }
    }

    /// The clock was set back: what seemed over may not be.
    fn live_again(&mut self, now: Time) {
        self.seen = Some(now);
        self.pending.clear();
        self.active.clear();
        let silences: Vec<Arc<Silence>> = self.all().cloned().collect();
        silences.into_iter().for_each(|silence| self.put(silence, now));
    }

    /// The active silences that fit an alert.
    pub fn silenced_by(
        &mut self,
        alert: Fingerprint,
        labels: &Labels,
        now: Time,
        work: &mut Work,
    ) -> Vec<Arc<Silence>> {
        self.advance(now);
        let up_to = self.known.get(&alert).map_or(0, |known| known.up_to);
        if up_to < self.last_slot {
            self.learn(alert, labels, up_to, work);
        }
        let Some(known) = self.known.get(&alert) else { return Vec::new() };
        let fitting = known.slots.iter().filter_map(|slot| self.records.get(slot));
        fitting.filter(|entry| entry.silence.silences_at(now)).map(|entry| Arc::clone(&entry.silence)).collect()
    }

    fn learn(&mut self, alert: Fingerprint, labels: &Labels, up_to: Slot, work: &mut Work) {
        let mut fitting: Vec<Slot> = match self.known.get(&alert) {
            Some(known) => known.slots.iter().copied().filter(|slot| self.is_indexed(*slot)).collect(),
            None => Vec::new(),
        };
        let before = work.scanned;
        let mut attempt = |slot: Slot, sets: &MatcherSets| {
            work.scanned += 1;
            if fits(sets, labels) && !fitting.contains(&slot) {
                fitting.push(slot);
            }
        };
        if self.last_slot - up_to <= SCAN_MAX {
            let newer = self.records.range(up_to + 1..).filter(|(_, entry)| entry.places.is_some());
            newer.for_each(|(slot, entry)| attempt(*slot, &entry.silence.matcher_sets));
        } else {
            self.index.candidates(labels, up_to, attempt);
        }
        work.skipped += (self.index.len() as u64).saturating_sub(work.scanned - before);
        self.known.insert(alert, Known { up_to: self.last_slot, slots: fitting.into() });
    }

    fn is_indexed(&self, slot: Slot) -> bool {
        self.records.get(&slot).is_some_and(|entry| entry.places.is_some())
    }

    /// The alert is gone.
    pub fn forget(&mut self, alert: Fingerprint) {
        self.known.remove(&alert);
    }

    /// Removes what is past its `expires_at`.
    pub fn collect_garbage(&mut self, now: Time) -> Vec<SilenceId> {
        self.advance(now);
        let garbage: Vec<Slot> =
            self.records.iter().filter(|(_, entry)| entry.silence.expires_at <= now).map(|(slot, _)| *slot).collect();
        garbage.into_iter().filter_map(|slot| self.remove(slot)).collect()
    }

    fn remove(&mut self, slot: Slot) -> Option<SilenceId> {
        self.leave_life(slot);
        self.unindex(slot);
        let entry = self.records.remove(&slot)?;
        self.by_id.remove(&entry.silence.id);
        Some(entry.silence.id.clone())
    }
}
