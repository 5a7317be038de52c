//! Changes on their way to the peers: a bounded queue. And what is held, in short: see [`Held`].

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::{Delta, Kind, held::Held};
use crate::{
    alert::{Entry, Fingerprint},
    clock::Time,
};

/// Changes that peers have not been sent yet: bounded, the oldest are dropped first and the loss is noted, so that
/// whoever drains knows that only a full exchange helps. Clones are the same outbox.
#[derive(Clone, Default)]
pub struct Outbox(Option<Arc<Queue>>);

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    filled: Notify,
    limit: usize,
    held: Held,
}

#[derive(Default)]
struct Waiting {
    deltas: VecDeque<Delta>,
    dropped: bool,
}

impl Outbox {
    /// For a node alone: takes nothing and costs nothing.
    #[must_use]
    pub fn none() -> Self {
        Outbox(None)
    }

    /// Keeps at most `limit` changes.
    #[must_use]
    pub fn bounded(limit: usize) -> Self {
        Outbox(Some(Arc::new(Queue { limit: limit.max(1), ..Queue::default() })))
    }

    /// Adds a change of the record `key`; it is encoded only if somebody will send it.
    pub fn push(&self, kind: Kind, key: &[u8], encode: impl FnOnce() -> Vec<u8>) {
        if let Some(queue) = &self.0 {
            queue.add(Delta::Record { kind, key: key.into(), bytes: encode() });
        }
    }

    /// Adds an alert that changed.
    pub fn push_alert(&self, entry: &Arc<Entry>) {
        if let Some(queue) = &self.0 {
            queue.add(Delta::Alert(Arc::clone(entry)));
        }
    }

    /// A silence or log entry is held from now on, whoever made the change, and counts until then. `state` tells its key
    /// and a number that differs for different content.
    pub fn hold<K: AsRef<[u8]>>(&self, kind: Kind, state: impl FnOnce() -> (K, u64), until: Time) {
        if let Some(queue) = &self.0 {
            let (key, content) = state();
            queue.held.set(kind, key.as_ref(), content, until);
        }
    }

    /// An alert stands differently from now on, whoever made the change, or is gone.
    pub fn note(&self, alert: Fingerprint) {
        if let Some(queue) = &self.0 {
            queue.held.note(alert);
        }
    }

    /// `None` for a node alone.
    pub(super) fn held(&self) -> Option<&Held> {
        self.0.as_ref().map(|queue| &queue.held)
    }

    /// Takes up to `max` changes, oldest first, and tells whether any were dropped since the last time.
    #[must_use]
    pub fn drain(&self, max: usize) -> (Vec<Delta>, bool) {
        let Some(queue) = &self.0 else { return (Vec::new(), false) };
        let mut waiting = queue.lock();
        let count = max.min(waiting.deltas.len());
        (waiting.deltas.drain(..count).collect(), std::mem::take(&mut waiting.dropped))
    }

    /// Waits until something has been added since it was last waited for.
    pub async fn filled(&self) {
        match &self.0 {
            Some(queue) => queue.filled.notified().await,
            None => std::future::pending().await,
        }
    }
}

impl Queue {
    fn add(&self, delta: Delta) {
        let mut waiting = self.lock();
        if waiting.deltas.len() >= self.limit {
            waiting.deltas.pop_front();
            waiting.dropped = true;
        }
        waiting.deltas.push_back(delta);
        drop(waiting);
        self.filled.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outbox_that_nobody_drains_does_not_even_encode() {
        Outbox::none().push(Kind::Log, b"", || unreachable!("nobody will send it"));
    }

    #[test]
    fn a_full_outbox_drops_the_oldest_and_says_so_once() {
        let outbox = Outbox::bounded(2);
        (1..=3).for_each(|n| outbox.push(Kind::Log, b"key", || vec![n]));
        let (deltas, dropped) = outbox.drain(10);
        let first_byte = |delta: &Delta| match delta {
            Delta::Record { bytes, .. } => bytes[0],
            Delta::Alert(_) => 0,
        };
        assert_eq!((deltas.iter().map(first_byte).collect::<Vec<_>>(), dropped), (vec![2, 3], true));
        let (deltas, dropped) = outbox.drain(10);
        assert!(deltas.is_empty() && !dropped);
    }
}
