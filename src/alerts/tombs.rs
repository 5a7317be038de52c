//! The last period of each alert that was forgotten, so that it goes on counting when it comes back.
//!
//! Peers and the notification log remember periods for longer than this node remembers the alert. One that
//! began again at 1 would look like an old story there: a peer's record of its end would win over it.

use std::collections::{HashMap, VecDeque};

use crate::{alert::Fingerprint, clock::Time};

/// About 10 MB. Beyond it the oldest is dropped: by then peers have cleaned up as well.
const TOMBS_MAX: usize = 200_000;

#[derive(Debug, Default)]
pub(super) struct Tombs {
    periods: HashMap<Fingerprint, Tomb>,
    /// In order of burial, hence of `until`; may name alerts that came back and were buried again later.
    order: VecDeque<(Time, Fingerprint)>,
}

#[derive(Debug)]
struct Tomb {
    period: u64,
    until: Time,
}

impl Tombs {
    pub(super) fn bury(&mut self, fingerprint: Fingerprint, period: u64, until: Time) {
        self.periods.insert(fingerprint, Tomb { period, until });
        self.order.push_back((until, fingerprint));
        while self.order.len() > TOMBS_MAX {
            self.drop_oldest();
        }
    }

    /// The period of an alert that is new to the store: the next one if it fires, the old one if the
    /// post only repeats that it is over.
    pub(super) fn period_for(&mut self, fingerprint: Fingerprint, fires: bool) -> u64 {
        match self.periods.remove(&fingerprint) {
            Some(tomb) if fires => tomb.period.saturating_add(1),
            Some(tomb) => tomb.period,
            None => 1,
        }
    }

    pub(super) fn expire(&mut self, now: Time) {
        while self.order.front().is_some_and(|(until, _)| *until <= now) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some((until, fingerprint)) = self.order.pop_front() else { return };
        if self.periods.get(&fingerprint).is_some_and(|tomb| tomb.until <= until) {
            self.periods.remove(&fingerprint);
        }
    }
}
