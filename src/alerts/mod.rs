//! The alert store: every alert this node knows, once.
//!
//! Posts of senders, records of peers and of the disk come in; what changed comes out, as pairs of the
//! alert's [`Entry`] and a [`Change`]. A refresh moves times inside the entry and is only counted:
//! groups and inhibitor read the entry itself. Who listens, what is told of an alert and what its
//! labels mean is unknown here. Rules: reference/server.md 5.5, design section 3.
//!
//! One lock guards the map. A batch of posts takes it once; the clean-up asks its callers' questions
//! without it.

mod limit;
mod pulse;
mod tombs;

use std::{
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use self::{limit::Limiter, pulse::Pulse, tombs::Tombs};
use crate::{
    alert::{
        Alert, Change, Entry, Fingerprint, FingerprintMap, Interner, Posted, absorb, accept, change_between, merge,
    },
    clock::{Clock, Time, delta},
};

/// How long a restored alert that ran out while this node was down counts as firing: senders repeat
/// themselves within it, so silence after it means that the alert is over.
pub const RESEND_GRACE: Duration = Duration::from_secs(120);

/// Whether an alert that the disk kept is given [`RESEND_GRACE`] from `start`.
#[must_use]
pub fn is_graced(alert: &Alert, start: Time) -> bool {
    !alert.explicit && alert.resolved_at(start + delta(RESEND_GRACE))
}

/// What the store is built from.
#[derive(Clone, Copy, Debug)]
pub struct AlertsConfig {
    /// `--alerts.per-alertname-limit`; 0: none.
    pub per_alertname_limit: usize,
    /// How long the last period of a forgotten alert is remembered: the retention of the notification
    /// log, which also counts in periods.
    pub retention: Duration,
}

/// What one batch of posts did.
#[derive(Debug, Default)]
pub struct PutOutcome {
    /// In order of the batch; an alert posted twice may appear twice.
    pub changes: Vec<(Arc<Entry>, Change)>,
    /// Posts that only moved times.
    pub refreshed: usize,
    /// `alertname` of each post that was dropped because its name is at the limit.
    pub limited: Vec<Box<str>>,
}

/// See the module.
#[derive(Debug)]
pub struct Alerts {
    inner: RwLock<Inner>,
    pulse: Pulse,
    retention: Duration,
}

#[derive(Debug)]
struct Inner {
    slots: FingerprintMap<Slot>,
    limiter: Limiter,
    tombs: Tombs,
    texts: Interner,
}

/// An alert's place in the map, with what only the store needs to know.
#[derive(Debug)]
struct Slot {
    entry: Arc<Entry>,
    /// The last explicit resolution, to know its repetitions by.
    ended: Option<Box<Ended>>,
}

/// Prometheus repeats a resolution for 15 minutes. If the other of two replicas meanwhile says that the
/// alert fires (again), these repetitions must not end it each time.
#[derive(Debug)]
struct Ended {
    starts_at: Time,
    ends_at: Time,
    /// Start of the firing post that opened a new period since.
    refired_by: Option<Time>,
}

impl Alerts {
    #[must_use]
    pub fn new(config: AlertsConfig) -> Self {
        let inner = Inner {
            slots: FingerprintMap::default(),
            limiter: Limiter::new(config.per_alertname_limit),
            tombs: Tombs::default(),
            texts: Interner::default(),
        };
        Alerts { inner: RwLock::new(inner), pulse: Pulse::default(), retention: config.retention }
    }

    /// To be called several times a second where it matters whether this node stood still.
    pub fn beat(&self, clock: &Clock) {
        self.pulse.beat(clock);
    }

    /// Takes in what one request posted, at `now`.
    pub fn put(&self, batch: &[Posted<'_>], now: Time) -> PutOutcome {
        let mut outcome = PutOutcome::default();
        let now = self.pulse.moment(now);
        let mut inner = self.write();
        for posted in batch {
            inner.put(posted, now, &mut outcome);
        }
        outcome
    }

    /// Takes in a record of a peer. `None`: it told us nothing new.
    ///
    /// The limit of alerts per name does not hold it back: another node has accepted it.
    pub fn insert(&self, alert: &Alert, now: Time) -> Option<(Arc<Entry>, Change)> {
        self.write().insert(alert, now)
    }

    /// Takes in what the disk kept, at start. An alert that ran out meanwhile, or would within [`RESEND_GRACE`] from
    /// `start`, without a sender having ended it, is given that time to be posted again: posts may have been missed.
    pub fn restore(&self, alerts: impl IntoIterator<Item = Alert>, start: Time) {
        let mut inner = self.write();
        for mut alert in alerts {
            if is_graced(&alert, start) {
                alert.ends_at = Some(start + delta(RESEND_GRACE));
                // Nobody gave this end: the first post that does replaces it, also by an earlier one.
                alert.timeout = true;
            }
            inner.insert(&alert, start);
        }
    }

    #[must_use]
    pub fn get(&self, fingerprint: Fingerprint) -> Option<Arc<Entry>> {
        self.read().slots.get(&fingerprint).map(|slot| Arc::clone(&slot.entry))
    }

    /// Every alert, resolved ones included, in no particular order.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Arc<Entry>> {
        self.read().slots.values().map(|slot| Arc::clone(&slot.entry)).collect()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.read().slots.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets alerts that are resolved at `now` and that `owed` does not claim any more.
    ///
    /// `owed` is asked without any lock held. An alert that is posted again later gets a new entry,
    /// reported as [`Change::New`], with a period above the forgotten one.
    pub fn gc(&self, now: Time, owed: &dyn Fn(&Entry) -> bool) -> Vec<Fingerprint> {
        let over: Vec<(Arc<Entry>, Time)> =
            self.snapshot().into_iter().filter_map(|entry| over_since(entry, now)).collect();
        let free: Vec<_> = over.into_iter().filter(|(entry, _)| !owed(entry)).collect();
        let mut gone = Vec::with_capacity(free.len());
        let mut inner = self.write();
        for (entry, updated_at) in free {
            if inner.forget(&entry, updated_at, now + delta(self.retention)) {
                gone.push(entry.fingerprint());
            }
        }
        inner.tombs.expire(now);
        inner.texts.sweep();
        gone
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        // Nothing between taking the lock and giving it back leaves the map half-changed.
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The entry with its last update, if it is resolved.
fn over_since(entry: Arc<Entry>, now: Time) -> Option<(Arc<Entry>, Time)> {
    let updated_at = {
        let alert = entry.lock();
        alert.resolved_at(now).then_some(alert.updated_at)
    }?;
    Some((entry, updated_at))
}

impl Inner {
    fn put(&mut self, posted: &Posted<'_>, now: Time, outcome: &mut PutOutcome) {
        if !self.limiter.admits(posted, &self.slots, now) {
            outcome.limited.push(posted.name().into());
            return;
        }
        let Some(slot) = self.slots.get_mut(&posted.fingerprint) else {
            let period = self.tombs.period_for(posted.fingerprint, posted.ends_at > now);
            let alert = accept(posted, period, now, &mut self.texts);
            let entry = Arc::new(Entry::known(posted.fingerprint, alert));
            self.add(Arc::clone(&entry), Ended::of(posted, now));
            outcome.changes.push((entry, Change::New));
            return;
        };
        match slot.absorb(posted, now, &mut self.texts) {
            Change::Refreshed => outcome.refreshed += 1,
            change => outcome.changes.push((Arc::clone(&slot.entry), change)),
        }
    }

    fn insert(&mut self, alert: &Alert, now: Time) -> Option<(Arc<Entry>, Change)> {
        let Some(slot) = self.slots.get(&alert.fingerprint()) else {
            let entry = Arc::new(Entry::new(self.shared(alert)));
            self.limiter.count(&entry);
            self.add(Arc::clone(&entry), None);
            return Some((entry, Change::New));
        };
        let mut held = slot.entry.lock();
        let merged = merge(&held, alert);
        if merged == *held {
            return None;
        }
        let change = change_between(&held, &merged, now);
        *held = merged;
        drop(held);
        Some((Arc::clone(&slot.entry), change))
    }

    /// A copy whose texts have one home with those of other alerts.
    fn shared(&mut self, alert: &Alert) -> Alert {
        Alert {
            labels: self.texts.share_names(&alert.labels),
            annotations: self.texts.share_names(&alert.annotations),
            generator_url: self.texts.share(&alert.generator_url),
            ..alert.clone()
        }
    }

    fn add(&mut self, entry: Arc<Entry>, ended: Option<Box<Ended>>) {
        self.slots.insert(entry.fingerprint(), Slot { entry, ended });
    }

    /// Unless it was updated since `updated_at`.
    fn forget(&mut self, entry: &Arc<Entry>, updated_at: Time, remember_until: Time) -> bool {
        let fingerprint = entry.fingerprint();
        let ours = self.slots.get(&fingerprint).is_some_and(|slot| Arc::ptr_eq(&slot.entry, entry));
        let period = {
            let alert = entry.lock();
            (alert.updated_at == updated_at).then_some(alert.period)
        };
        let (true, Some(period)) = (ours, period) else { return false };
        self.slots.remove(&fingerprint);
        self.limiter.forget(entry);
        self.tombs.bury(fingerprint, period, remember_until);
        true
    }
}

impl Slot {
    fn absorb(&mut self, posted: &Posted<'_>, now: Time, texts: &mut Interner) -> Change {
        if self.ended.as_ref().is_some_and(|ended| ended.is_repeated_by(posted, now)) {
            return Change::Refreshed;
        }
        let (change, period_began, is_ended) = {
            let mut alert = self.entry.lock();
            let period = alert.period;
            (absorb(&mut alert, posted, now, texts), alert.period != period, alert.explicit)
        };
        // One that came too late has ended nothing.
        if let Some(ended) = Ended::of(posted, now).filter(|_| is_ended) {
            self.ended = Some(ended);
        } else if let (true, Some(ended)) = (period_began, &mut self.ended) {
            ended.refired_by = Some(posted.starts_at);
        }
        change
    }
}

impl Ended {
    /// The resolution that `posted` is, if it is one.
    fn of(posted: &Posted<'_>, now: Time) -> Option<Box<Self>> {
        let over = posted.ends_at <= now;
        over.then(|| Box::new(Ended { starts_at: posted.starts_at, ends_at: posted.ends_at, refired_by: None }))
    }

    /// The same resolution again, although a sender with another start has opened a new period since.
    fn is_repeated_by(&self, posted: &Posted<'_>, now: Time) -> bool {
        posted.ends_at <= now
            && posted.ends_at == self.ends_at
            && posted.starts_at == self.starts_at
            && self.refired_by.is_some_and(|start| start != posted.starts_at)
    }
}

#[cfg(test)]
mod tests;
