//! Labels, fingerprints, matchers, and the alert with its merge rule.
//!
//! The words everything else is written in. This room knows nothing of any other but the clock's types.

mod bounds;
mod intern;
mod labels;
pub mod matcher;
mod merge;
pub mod re2;
pub mod text;

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub use bounds::Bounds;
pub use intern::Interner;
pub use labels::{Fingerprint, FingerprintMap, Labels, fingerprint_of, sort_pairs, value_in};
pub use merge::{Change, absorb, accept, change_between, merge};

use crate::clock::Time;

/// One alert as it stands at one moment. Cheap to clone: all text is shared.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Sorted, no empty values, at least one.
    pub labels: Labels,
    pub annotations: Labels,
    pub generator_url: Arc<str>,
    pub starts_at: Time,
    /// `None`: firing without a known end (in notifications firing alerts carry none).
    pub ends_at: Option<Time>,
    pub updated_at: Time,
    /// `ends_at` was made up from `resolve_timeout`, the sender gave none.
    pub timeout: bool,
    /// Which firing this is, from 1 upwards: raised when a firing alert follows a resolved one
    /// without overlapping it (reference/decide.md 1, "period").
    pub period: u64,
    /// When some node first took this period in; merged by minimum. Anchor of the first notification.
    pub accepted_at: Time,
    /// A sender said it is over (a post whose `ends_at` was past); otherwise it can only expire.
    pub explicit: bool,
    /// For joining records only; see [`Bounds`].
    pub bounds: Option<Box<Bounds>>,
}

impl Alert {
    /// Over by `now`: `ends_at` is not after it.
    #[must_use]
    pub fn resolved_at(&self, now: Time) -> bool {
        self.ends_at.is_some_and(|end| end <= now)
    }

    /// The `alertname` label, or the empty string.
    #[must_use]
    pub fn name(&self) -> &str {
        self.labels.get("alertname").unwrap_or("")
    }

    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.labels.fingerprint()
    }
}

/// An alert as a sender posted it, borrowed from the request body: checked, labels sorted, times filled in.
/// A refresh of a known alert is taken from here without copying any text.
#[derive(Clone, Debug)]
pub struct Posted<'a> {
    pub fingerprint: Fingerprint,
    /// Sorted by name, unique, no empty values.
    pub labels: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Sorted by name, unique.
    pub annotations: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    pub generator_url: Cow<'a, str>,
    pub starts_at: Time,
    pub ends_at: Time,
    pub timeout: bool,
    /// The sender gave `starts_at`; otherwise it was made up from the end or the moment of the post.
    pub start_given: bool,
}

impl Posted<'_> {
    /// The `alertname` label, or the empty string.
    #[must_use]
    pub fn name(&self) -> &str {
        let place = self.labels.binary_search_by(|(name, _)| name.as_ref().cmp("alertname"));
        place.ok().and_then(|i| self.labels.get(i)).map_or("", |(_, value)| value)
    }
}

/// The one place where an alert of some label set lives: store, groups, inhibitor and API share it.
/// Labels never change; the rest does, under a lock that is held for a few instructions only.
#[derive(Debug)]
pub struct Entry {
    fingerprint: Fingerprint,
    labels: Labels,
    alert: Mutex<Alert>,
}

impl Entry {
    #[must_use]
    pub fn new(alert: Alert) -> Self {
        Entry::known(alert.fingerprint(), alert)
    }

    /// Of an alert whose fingerprint has been computed already.
    #[must_use]
    pub fn known(fingerprint: Fingerprint, alert: Alert) -> Self {
        Entry { fingerprint, labels: alert.labels.clone(), alert: Mutex::new(alert) }
    }

    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// The alert, locked. Hold it briefly and take no other lock meanwhile.
    pub fn lock(&self) -> MutexGuard<'_, Alert> {
        // A panic elsewhere cannot leave an alert half-written: every update is one assignment.
        self.alert.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of the alert as it is now.
    #[must_use]
    pub fn alert(&self) -> Alert {
        self.lock().clone()
    }

    #[must_use]
    pub fn resolved_at(&self, now: Time) -> bool {
        self.lock().resolved_at(now)
    }
}
