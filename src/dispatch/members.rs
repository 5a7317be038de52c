//! The alerts of one group. Most groups hold a few, some hold a hundred thousand: a plain list, and an
//! index by fingerprint only where the list is long.

use std::sync::Arc;

use crate::{
    alert::{Entry, Fingerprint, FingerprintMap},
    nflog::AlertHash,
    notify::{
        mute::Suppression,
        owed::{Fact, History},
    },
};

const INDEX_FROM: usize = 24;

/// What the last look of the group found; `alertmanager_alerts{state}`. The greater one counts for an alert
/// that is in several groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertState {
    /// No look yet.
    Unprocessed,
    Active,
    /// Inhibited or silenced.
    Suppressed,
}

/// One alert in one group, with what the group remembers of it.
#[derive(Debug)]
pub(super) struct Member {
    pub entry: Arc<Entry>,
    pub hash: AlertHash,
    pub state: AlertState,
    /// Muted at the last look, by whatever stage.
    pub muted: bool,
    memory: Memory,
    /// The configuration under which the alert was last routed here.
    pub routed: u64,
}

/// What looks found while the alert was firing, and the period in which they did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Memory {
    period: u64,
    history: History,
}

impl Member {
    pub fn new(entry: Arc<Entry>, routed: u64, memory: Memory) -> Self {
        let hash = AlertHash::of(entry.labels());
        Member { entry, hash, state: AlertState::Unprocessed, muted: false, memory, routed }
    }

    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// Notes what a look at a tick found.
    pub fn note(&mut self, fact: &Fact, suppression: Option<Suppression>) {
        self.muted = fact.muted;
        self.state = match suppression {
            Some(Suppression::Inhibition | Suppression::Silence) => AlertState::Suppressed,
            // Time intervals mute the group, not the alert.
            Some(Suppression::ActiveTimeInterval | Suppression::MuteTimeInterval) | None => AlertState::Active,
        };
        if fact.resolved {
            return;
        }
        let history = match (self.history_in(fact.period), fact.muted) {
            (History::Due, _) | (_, false) => History::Due,
            (_, true) => History::Muted,
        };
        self.memory = Memory { period: fact.period, history };
    }

    pub fn history_in(&self, period: u64) -> History {
        if self.memory.period == period { self.memory.history } else { History::Unseen }
    }
}

#[derive(Debug, Default)]
pub(super) struct Members {
    list: Vec<Member>,
    index: Option<Box<Index>>,
}

/// Places in the list.
#[derive(Debug)]
struct Index(FingerprintMap<usize>);

impl Members {
    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Member> {
        self.list.iter()
    }

    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Member> {
        self.list.iter_mut()
    }

    pub fn get_mut(&mut self, fingerprint: Fingerprint) -> Option<&mut Member> {
        let place = self.place(fingerprint)?;
        self.list.get_mut(place)
    }

    pub fn contains(&self, fingerprint: Fingerprint) -> bool {
        self.place(fingerprint).is_some()
    }

    fn place(&self, fingerprint: Fingerprint) -> Option<usize> {
        match &self.index {
            Some(index) => index.0.get(&fingerprint).copied(),
            None => self.list.iter().position(|member| member.entry.fingerprint() == fingerprint),
        }
    }

    /// Adds an alert that is not in the list.
    pub fn push(&mut self, member: Member) {
        let fingerprint = member.entry.fingerprint();
        if self.list.is_empty() {
            // Many groups never hold more than one.
            self.list.reserve_exact(1);
        }
        self.list.push(member);
        match &mut self.index {
            Some(index) => {
                index.0.insert(fingerprint, self.list.len() - 1);
            }
            None if self.list.len() >= INDEX_FROM => self.reindex(),
            None => {}
        }
    }

    /// Keeps the members that `keep` accepts; returns whether any went.
    pub fn retain(&mut self, keep: impl FnMut(&Member) -> bool) -> bool {
        let before = self.list.len();
        self.list.retain(keep);
        let changed = self.list.len() < before;
        if changed {
            self.index = None;
            if self.list.len() >= INDEX_FROM {
                self.reindex();
            }
            if self.list.len() * 4 < self.list.capacity() {
                self.list.shrink_to(self.list.len() * 2);
            }
        }
        changed
    }

    fn reindex(&mut self) {
        let places = self.list.iter().enumerate().map(|(place, member)| (member.entry.fingerprint(), place));
        self.index = Some(Box::new(Index(places.collect())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{alert::Alert, clock::Clock};

    fn entry(name: usize) -> Arc<Entry> {
        let now = Clock::system().now();
        Arc::new(Entry::new(Alert {
            labels: [("alertname", name.to_string())].into_iter().collect(),
            annotations: [("", ""); 0].into_iter().collect(),
            generator_url: "".into(),
            starts_at: now,
            ends_at: None,
            updated_at: now,
            timeout: false,
            period: 1,
            accepted_at: now,
            explicit: false,
            bounds: None,
        }))
    }

    #[test]
    fn every_member_is_found_whether_the_list_is_indexed_or_not() {
        let entries: Vec<_> = (0..3 * INDEX_FROM).map(entry).collect();
        let mut members = Members::default();
        for (place, entry) in entries.iter().enumerate() {
            members.push(Member::new(entry.clone(), 1, Memory::default()));
            assert!(entries.iter().take(place + 1).all(|entry| members.contains(entry.fingerprint())), "{place}");
            assert!(entries.iter().skip(place + 1).all(|entry| !members.contains(entry.fingerprint())), "{place}");
        }
        for keep in [40, 10, 0] {
            members.retain(|member| entries.iter().take(keep).any(|e| Arc::ptr_eq(e, &member.entry)));
            let found = entries.iter().filter(|entry| members.contains(entry.fingerprint())).count();
            assert_eq!((members.len(), found, members.is_empty()), (keep, keep, keep == 0));
        }
    }
}
