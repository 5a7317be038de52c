//! What is held, in short, for comparing it with peers. It follows the records: a change costs as much as one record,
//! and where nothing changed a comparison costs nothing, however much there is.
//!
//! Silences and log entries say what they are at each change. Alerts do not: a hundred thousand are refreshed each
//! minute, and none of that is worth a word. Those that changed otherwise are noted, the others looked at when they
//! would run out.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::TimeDelta;

use super::{Kind, OVER_SHARED};
use crate::{
    alert::{Entry, Fingerprint},
    alerts::Alerts,
    clock::{Time, delta},
    cluster::{Digest, Tally},
};

/// The end of an alert that its sender gave none may come nearer unnoticed: it is looked at again after this time.
const LOOK_AGAIN: TimeDelta = TimeDelta::seconds(30);
/// Changed alerts that wait for the next look, beyond as many as there are: then all are looked at.
const NOTED_MAX: usize = 4096;

/// A guess of this node, not to be told: decided by fingerprint and end.
pub type IsGuess<'a> = &'a dyn Fn(Fingerprint, Option<Time>) -> bool;

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Held(Mutex<Tallies>);

#[derive(Debug, Default)]
struct Tallies {
    silences: Tally,
    log: Tally,
    /// `None` until somebody asks.
    alerts: Option<Tally>,
    /// Fingerprints of alerts that changed since.
    noted: Vec<u64>,
}

impl Held {
    fn tallies(&self) -> MutexGuard<'_, Tallies> {
        // Digests that are wrong after a panic elsewhere cost an exchange.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A silence or log entry is this now, until its time is up.
    pub fn set(&self, kind: Kind, key: &[u8], content: u64, until: Time) {
        let mut tallies = self.tallies();
        let tally = match kind {
            Kind::Silence => &mut tallies.silences,
            Kind::Log => &mut tallies.log,
            Kind::Alert => return,
        };
        tally.put(Digest::hash(key), Some(content), until.timestamp_millis());
    }

    /// An alert has changed, or is gone.
    pub fn note(&self, alert: Fingerprint) {
        let mut tallies = self.tallies();
        let Some(known) = tallies.alerts.as_ref().map(Tally::len) else { return };
        tallies.noted.push(alert.0);
        if tallies.noted.len() > known + NOTED_MAX {
            tallies.alerts = None;
            tallies.noted = Vec::new();
        }
    }

    /// Of silences or the log at `now`.
    pub fn digest(&self, kind: Kind, now: Time) -> Digest {
        let mut tallies = self.tallies();
        let tally = match kind {
            Kind::Silence => &mut tallies.silences,
            Kind::Log => &mut tallies.log,
            Kind::Alert => return Digest::default(),
        };
        for over in tally.take_due(now.timestamp_millis()) {
            tally.remove(over);
        }
        tally.digest()
    }

    /// Of the alerts that peers need to know of.
    pub fn alerts_digest(&self, alerts: &Alerts, now: Time, is_guess: IsGuess<'_>) -> Digest {
        self.tallies().alerts_at(alerts, now, is_guess).digest()
    }

    /// The alerts of which the holder of another digest lacks something, or may.
    pub fn alerts_lacking(&self, alerts: &Alerts, now: Time, is_guess: IsGuess<'_>, theirs: &Digest) -> Vec<u64> {
        let mut tallies = self.tallies();
        let tally = tallies.alerts_at(alerts, now, is_guess);
        let differs = tally.digest().differs_from(theirs);
        tally.keys().filter(|key| differs(*key)).collect()
    }
}

impl Tallies {
    fn alerts_at(&mut self, alerts: &Alerts, now: Time, is_guess: IsGuess<'_>) -> &Tally {
        let mut tally = self.alerts.take().unwrap_or_else(|| {
            self.noted.clear();
            let mut tally = Tally::default();
            for entry in alerts.snapshot() {
                look(&mut tally, &entry, now, is_guess);
            }
            tally
        });
        let due = tally.take_due(now.timestamp_millis());
        for key in self.noted.drain(..).chain(due) {
            match alerts.get(Fingerprint(key)) {
                Some(entry) => look(&mut tally, &entry, now, is_guess),
                None => tally.remove(key),
            }
        }
        self.noted.shrink_to(NOTED_MAX);
        self.alerts.insert(tally)
    }
}

fn look(tally: &mut Tally, entry: &Entry, now: Time, is_guess: IsGuess<'_>) {
    let key = entry.fingerprint().0;
    let (ends_at, period, explicit, timeout) = {
        let alert = entry.lock();
        (alert.ends_at, alert.period, alert.explicit, alert.timeout)
    };
    let millis = |at: Time| at.timestamp_millis();
    if is_guess(entry.fingerprint(), ends_at) {
        // Until then it is known what it is.
        return tally.put(key, None, millis(now).saturating_add(1));
    }
    let (state, look_at) = match ends_at {
        None => (1, i64::MAX),
        Some(end) if end > now && timeout => (1, millis(end).min(millis(now + LOOK_AGAIN))),
        Some(end) if end > now => (1, millis(end)),
        Some(end) if end < now - delta(OVER_SHARED) => return tally.remove(key),
        Some(end) => (if explicit { 2 } else { 0 }, millis(end + delta(OVER_SHARED)).saturating_add(1)),
    };
    tally.put(key, Some(period.saturating_mul(4).saturating_add(state)), look_at);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        alert::{Alert, Labels},
        alerts::AlertsConfig,
        random::Random,
    };

    fn at(seconds: i64) -> Time {
        Time::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn alert(name: u64, now: i64, ends_in: i64, period: u64, random: &Random) -> Alert {
        let ends_at = (ends_in < 900).then(|| at(now + ends_in));
        Alert {
            labels: [("alertname", name.to_string().as_str())].into_iter().collect(),
            annotations: Labels::default(),
            generator_url: "".into(),
            starts_at: at(0),
            ends_at,
            updated_at: at(now),
            timeout: ends_at.is_some() && random.next_u64().is_multiple_of(4),
            period,
            accepted_at: at(0),
            explicit: ends_in <= 0,
            bounds: None,
        }
    }

    fn alerts() -> Alerts {
        Alerts::new(AlertsConfig { per_alertname_limit: 0, retention: std::time::Duration::from_secs(3600) })
    }

    #[test]
    fn the_digest_of_alerts_follows_what_changes_and_what_time_changes() {
        for seed in 0..20 {
            let (random, alerts, held) = (Random::seeded(seed), alerts(), Held::default());
            let any = |below: u64| random.next_u64() % below;
            let mut period = 1;
            for step in 0..400 {
                let now = step * 7;
                let length = i64::try_from(any(1000)).unwrap() - 100;
                period += u64::from(any(50) == 0);
                if let Some((entry, _)) = alerts.insert(&alert(any(60), now, length, period, &random), at(now)) {
                    held.note(entry.fingerprint());
                }
                // A refresh says nothing: the end of a known alert moves on.
                if let Some(entry) = alerts.get(alert(any(60), now, 1, 1, &random).fingerprint()) {
                    let mut alert = entry.lock();
                    if alert.ends_at.is_some_and(|end| end > at(now)) {
                        alert.ends_at = alert.ends_at.map(|end| end + TimeDelta::seconds(60));
                    }
                }
                if step % 90 == 0 {
                    alerts.gc(at(now), &|_| false).into_iter().for_each(|gone| held.note(gone));
                }
                if step % 3 == 0 {
                    let is_guess = |alert: Fingerprint, _| alert.0.is_multiple_of(11);
                    let followed = held.alerts_digest(&alerts, at(now), &is_guess);
                    assert_eq!(
                        followed,
                        Held::default().alerts_digest(&alerts, at(now), &is_guess),
                        "seed {seed}, {now}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_guess_counts_as_soon_as_it_is_none() {
        let (alerts, held, random) = (alerts(), Held::default(), Random::seeded(1));
        alerts.insert(&alert(1, 0, 500, 1, &random), at(0)).unwrap();
        assert!(held.alerts_digest(&alerts, at(1), &|_, _| true).is_empty());
        assert!(!held.alerts_digest(&alerts, at(2), &|_, _| false).is_empty());
    }

    #[test]
    fn a_record_counts_until_its_time_is_up() {
        let held = Held::default();
        held.set(Kind::Silence, b"a", 1, at(100));
        held.set(Kind::Silence, b"b", 1, at(50));
        held.set(Kind::Silence, b"a", 2, at(200));
        let alone = Digest::of_hashes([(Digest::hash(b"a"), 2)]);
        assert_ne!(held.digest(Kind::Silence, at(49)), alone);
        assert_eq!(held.digest(Kind::Silence, at(150)), alone);
        assert!(held.digest(Kind::Silence, at(200)).is_empty() && held.digest(Kind::Log, at(0)).is_empty());
    }

    #[test]
    fn more_changes_than_are_worth_noting_cost_one_look_at_all() {
        let (alerts, held, random) = (alerts(), Held::default(), Random::seeded(1));
        held.alerts_digest(&alerts, at(0), &|_, _| false);
        let entries: Vec<Arc<Entry>> = (0..5000)
            .filter_map(|name| alerts.insert(&alert(name, 0, 500, 1, &random), at(0)).map(|(entry, _)| entry))
            .collect();
        entries.iter().for_each(|entry| held.note(entry.fingerprint()));
        assert!(held.tallies().alerts.is_none());
        assert_eq!(held.alerts_lacking(&alerts, at(1), &|_, _| false, &Digest::default()).len(), 5000);
    }
}
