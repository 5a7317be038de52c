//! Before an alert runs out here the peers are asked whether they heard of it later. Where every sender posts to every
//! node this never happens; behind a load balancer it is what keeps an alert firing.

use std::{sync::Arc, time::Duration};

use super::{
    Inner,
    message::{self, Request, Response},
    records::mark_of,
};
use crate::{
    alert::Fingerprint,
    clock::{Time, delta},
    cluster::codec::Blob,
    notify::peer::Life,
    replica::{Kind, encode_alert},
};

/// How long before its end an alert is asked for.
const MARGIN: Duration = Duration::from_secs(5);
/// Between two looks over all alerts.
const LOOK_MIN: Duration = Duration::from_secs(1);
const LOOK_MAX: Duration = Duration::from_secs(10);
const ASK_LIMIT: Duration = Duration::from_secs(1);
/// Alerts in one question; the rest has its turn with the next look.
const ASKED_MAX: usize = 4096;
/// A peer's end that is later by less is no news.
const LATER_BY: Duration = Duration::from_millis(500);

pub(super) async fn run(inner: Arc<Inner>) {
    let mut wait = LOOK_MIN;
    loop {
        tokio::time::sleep(wait).await;
        let (ending, next) = inner.ending(inner.clock.now());
        if !ending.is_empty() {
            inner.ask_for_fresher(ending).await;
        }
        wait = next.clamp(LOOK_MIN, LOOK_MAX);
    }
}

impl Inner {
    /// Firing alerts that are about to run out, and how long until the next one is.
    fn ending(&self, now: Time) -> (Vec<(u64, u64, i64)>, Duration) {
        let margin = now + delta(MARGIN);
        let mut next = LOOK_MAX;
        let mut ending = Vec::new();
        for entry in self.replica.alerts.snapshot() {
            let alert = entry.lock();
            let Some(end) = alert.ends_at.filter(|end| *end > now && !alert.explicit) else { continue };
            if end > margin {
                next = next.min((end - margin).to_std().unwrap_or_default());
            } else if ending.len() < ASKED_MAX {
                ending.push((entry.fingerprint().0, alert.period, end.timestamp_millis()));
            }
        }
        (ending, next)
    }

    async fn ask_for_fresher(&self, ending: Vec<(u64, u64, i64)>) {
        let Some(cluster) = self.cluster.load_full() else { return };
        let circle = self.circle.load_full();
        let peers: Vec<String> =
            circle.live.iter().filter(|name| **name != circle.me).map(|name| name.to_string()).collect();
        if peers.is_empty() {
            return;
        }
        let payload = message::encode(&Request::Fresher(ending));
        let mut answers = cluster.call(peers, payload, ASK_LIMIT);
        while let Some((_, bytes)) = answers.next().await {
            if let Some(Response::Fresher(alerts)) = message::decode(&bytes) {
                for alert in alerts {
                    let _ = self.take_in(Kind::Alert, &alert.0);
                }
            }
        }
    }
}

/// The records of those of which more is known here.
pub(super) fn answer(inner: &Inner, list: &[(u64, u64, i64)]) -> Vec<Blob> {
    let now = inner.clock.now();
    let later_by = i64::try_from(LATER_BY.as_millis()).unwrap_or(0);
    let graces = inner.graces();
    let better = list.iter().take(ASKED_MAX).filter_map(|(alert, period, end)| {
        let entry = inner.replica.alerts.get(Fingerprint(*alert))?;
        let mark = mark_of(&entry, now);
        let ends_at = entry.lock().ends_at;
        if graces.holds(mark.alert, ends_at) {
            return None;
        }
        let is_later = ends_at.is_none_or(|mine| mine.timestamp_millis() > end.saturating_add(later_by));
        let is_better = mark.period > *period
            || (mark.period == *period && (mark.state == Life::Ended || (mark.state == Life::Firing && is_later)));
        is_better.then(|| Blob(encode_alert(&entry.alert()).into()))
    });
    better.collect()
}
