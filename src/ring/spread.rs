//! Own changes on their way to the peers. Silences and log entries leave at once. Alerts of most clusters are posted
//! to every node, so that each would tell all others what they know already: the first in the order of names tells at
//! once, the others wait a moment and keep silent about what a peer has shown meanwhile.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::Instant;

use super::{Inner, lock, records};
use crate::{
    alert::{Entry, Fingerprint},
    cluster::Urgency,
    nflog::AlertHash,
    replica::{Delta, Kind, encode_alert},
};

/// Changes taken out of the outbox in one go.
const DRAIN_MAX: usize = 1024;
/// How long a node waits for each one that comes before it in the order.
const WAIT_STEP: Duration = Duration::from_millis(40);
const WAIT_MAX: Duration = Duration::from_millis(200);

/// Alerts whose change has not left yet.
#[derive(Debug, Default)]
pub(super) struct Spread {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    order: VecDeque<(Instant, Arc<Entry>)>,
    /// What each is about to say.
    alerts: HashMap<Fingerprint, Picture>,
}

/// What peers are told of an alert, in short. Ends of firing alerts and times of acceptance may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Picture {
    period: u64,
    explicit: bool,
    ended_at: Option<i64>,
    text: u64,
}

impl Picture {
    fn of(entry: &Entry) -> Self {
        let alert = entry.lock();
        Picture {
            period: alert.period,
            explicit: alert.explicit,
            ended_at: alert.ends_at.filter(|_| alert.explicit).map(|end| end.timestamp_micros()),
            text: AlertHash::of(&alert.annotations).0,
        }
    }
}

impl Spread {
    /// A peer has shown this alert, and we have taken in what it said.
    pub fn heard(&self, entry: &Entry) {
        let mut waiting = lock(&self.waiting);
        let is_same = |known: &Picture| *known == Picture::of(entry);
        if waiting.alerts.get(&entry.fingerprint()).is_some_and(is_same) {
            waiting.alerts.remove(&entry.fingerprint());
        }
    }

    fn wait(&self, entry: Arc<Entry>, until: Instant) {
        let mut waiting = lock(&self.waiting);
        let is_new = waiting.alerts.insert(entry.fingerprint(), Picture::of(&entry)).is_none();
        if is_new {
            waiting.order.push_back((until, entry));
        }
    }

    /// Those whose time has come and that no peer has shown; and when the next is due.
    fn take_due(&self, now: Instant, all: bool) -> (Vec<Arc<Entry>>, Option<Instant>) {
        let mut waiting = lock(&self.waiting);
        let mut due = Vec::new();
        while let Some((_, entry)) = waiting.order.pop_front_if(|(at, _)| all || *at <= now) {
            if waiting.alerts.remove(&entry.fingerprint()).is_some() {
                due.push(entry);
            }
        }
        (due, waiting.order.front().map(|(at, _)| *at))
    }
}

impl Inner {
    /// Sends what has to leave now, or everything. Returns when there is more to do.
    pub(super) fn spread_now(&self, all: bool) -> Option<Instant> {
        let now = self.clock.monotonic();
        loop {
            let (deltas, dropped) = self.outbox.drain(DRAIN_MAX);
            if dropped {
                // Comparing states brings it.
                self.metrics.limit_reached_total.with_label_values(&["outbox"]).inc();
            }
            if deltas.is_empty() {
                break;
            }
            let wait = self.alert_wait();
            for delta in deltas {
                match delta {
                    Delta::Record { kind, key, bytes } => self.broadcast(kind, &key, bytes),
                    Delta::Alert(entry) if wait.is_zero() => self.broadcast_alert(&entry),
                    Delta::Alert(entry) => self.spread.wait(entry, now + wait),
                }
            }
        }
        let (due, next) = self.spread.take_due(now, all);
        due.iter().for_each(|entry| self.broadcast_alert(entry));
        next
    }

    fn alert_wait(&self) -> Duration {
        let circle = self.circle.load();
        let position = circle.live.iter().position(|name| *name == circle.me).unwrap_or(0);
        (WAIT_STEP * u32::try_from(position).unwrap_or(u32::MAX)).min(WAIT_MAX)
    }

    fn broadcast_alert(&self, entry: &Entry) {
        self.broadcast(Kind::Alert, &records::alert_key(entry), encode_alert(&entry.alert()));
    }

    fn broadcast(&self, kind: Kind, key: &[u8], record: Vec<u8>) {
        let Some(cluster) = &*self.cluster.load() else { return };
        // The log entry is what releases a claim: the sooner it is everywhere, the better.
        let urgency = if kind == Kind::Log { Urgency::AtOnce } else { Urgency::Normal };
        let version = self.clock.now().timestamp_nanos_opt().unwrap_or_default().max(0).cast_unsigned();
        cluster.broadcast(records::number(kind), key, version, record.into(), urgency);
    }
}

pub(super) async fn run(inner: Arc<Inner>) {
    let mut next = None;
    loop {
        let due = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = inner.outbox.filled() => {}
            () = due => {}
        }
        next = inner.spread_now(false);
    }
}
