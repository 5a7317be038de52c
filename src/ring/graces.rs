//! Alerts that seemed to have run out while this node was down, or run out just after. They count as firing for a while, in case their
//! sender is only late, but that is a guess of this node: peers are not told, and what they said meanwhile is better.

use std::collections::HashMap;

use crate::{
    alert::{Alert, Fingerprint},
    alerts::{Alerts, RESEND_GRACE, is_graced},
    clock::{Time, delta},
    nflog::{AlertHash, LogEntry, Word},
};

/// See the module's head.
#[derive(Debug, Default)]
pub struct Graces(HashMap<Fingerprint, Grace>);

#[derive(Debug)]
struct Grace {
    hash: AlertHash,
    ended_at: Time,
    until: Time,
}

impl Grace {
    /// The alert ended when it seemed to, unless a sender has been heard since.
    fn end(&self, alert: &mut Alert) {
        if alert.ends_at == Some(self.until) {
            alert.ends_at = Some(self.ended_at);
        }
    }
}

impl Graces {
    /// Out of what the disk kept, at start (see [`Alerts::restore`]).
    #[must_use]
    pub fn of(restored: &[Alert], start: Time) -> Self {
        let until = start + delta(RESEND_GRACE);
        let graced = restored.iter().filter(|alert| is_graced(alert, start));
        let grace = |alert: &Alert| {
            let ended_at = alert.ends_at.unwrap_or(start);
            (alert.fingerprint(), Grace { hash: AlertHash::of(&alert.labels), ended_at, until })
        };
        Graces(graced.map(grace).collect())
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the alert fires only because of its grace.
    #[must_use]
    pub fn holds(&self, alert: Fingerprint, ends_at: Option<Time>) -> bool {
        !self.0.is_empty() && self.0.get(&alert).is_some_and(|grace| ends_at == Some(grace.until))
    }

    /// A peer knows this firing of the alert, or a later one: its word takes the place of the guess. To be called
    /// before the two are merged, since the guess would win by its late end.
    pub fn give_way(&mut self, record: &Alert, alerts: &Alerts) {
        let fingerprint = record.fingerprint();
        let Some(grace) = self.0.get(&fingerprint) else { return };
        if let Some(entry) = alerts.get(fingerprint) {
            let mut alert = entry.lock();
            if record.period < alert.period {
                return;
            }
            grace.end(&mut alert);
        }
        self.0.remove(&fingerprint);
    }

    /// A receiver was told of ends: those alerts are over, also here.
    pub fn take_back(&mut self, told: &LogEntry, alerts: &Alerts) {
        self.0.retain(|fingerprint, grace| {
            let Word::Resolved(end) = told.word(grace.hash) else { return true };
            let Some(entry) = alerts.get(*fingerprint) else { return false };
            let mut alert = entry.lock();
            if end.is_end_of(&alert) {
                grace.end(&mut alert);
            }
            false
        });
    }

    /// Graces that are over need no memory.
    pub fn expire(&mut self, now: Time) {
        self.0.retain(|_, grace| grace.until > now);
    }
}
