//! The replicated maps as the cluster sees them: kinds, digests, what a peer lacks, and what its records do here.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{Inner, message};
use crate::{
    alert::Entry,
    clock::{Time, delta},
    cluster::{self, Digest, Merge},
    nflog::{LogEntry, LogKey, Nflog},
    notify::peer::{Life, Mark},
    replica::{Kind, Merged, encode_alert},
    silence::Silences,
};

/// Silences that were changed so lately may still be on their way to a peer.
const SILENCE_ON_ITS_WAY: Duration = Duration::from_secs(60);
/// Of them in one answer.
const SILENCES_MAX: usize = 256;

pub(super) fn number(kind: Kind) -> cluster::Kind {
    match kind {
        Kind::Silence => 1,
        Kind::Log => 2,
        Kind::Alert => 3,
    }
}

fn kind(number: cluster::Kind) -> Option<Kind> {
    [Kind::Silence, Kind::Log, Kind::Alert].into_iter().find(|kind| self::number(*kind) == number)
}

pub(super) fn alert_key(entry: &Entry) -> [u8; 8] {
    entry.fingerprint().0.to_be_bytes()
}

/// Digests that are made anew only after a change.
#[derive(Debug, Default)]
pub(super) struct Digests {
    silences: Option<(u64, Digest, u64)>,
    log: Option<(u64, Digest)>,
}

impl cluster::State for Inner {
    fn kinds(&self) -> Vec<cluster::Kind> {
        [Kind::Silence, Kind::Log, Kind::Alert].map(number).to_vec()
    }

    fn name(&self, number: cluster::Kind) -> &'static str {
        match kind(number) {
            Some(Kind::Silence) => "sil",
            Some(Kind::Log) => "nfl",
            Some(Kind::Alert) => "alr",
            None => "unknown",
        }
    }

    fn digest(&self, number: cluster::Kind) -> Digest {
        match kind(number) {
            Some(Kind::Silence) => self.silences_digest().0,
            Some(Kind::Log) => self.log_digest(),
            Some(Kind::Alert) => self.alerts_digest(),
            None => Digest::default(),
        }
    }

    fn missing(&self, number: cluster::Kind, theirs: &Digest) -> Vec<Bytes> {
        let differs = self.digest(number).differs_from(theirs);
        let now = self.clock.now();
        match kind(number) {
            Some(Kind::Silence) => {
                let silences = self.replica.silences.all().into_iter().filter(|silence| silence.expires_at > now);
                let differing = silences.filter(|silence| differs(Digest::hash(silence.id.as_str().as_bytes())));
                differing.map(|silence| Silences::encode(&silence).into()).collect()
            }
            Some(Kind::Log) => {
                let entries = self.log_entries(now).filter(|(key, _)| differs(Digest::hash(&Nflog::record_key(key))));
                entries.map(|(key, entry)| Nflog::encode(&key, &entry).into()).collect()
            }
            Some(Kind::Alert) => {
                let alerts = self.shared_alerts(now).into_iter().filter(|(mark, _)| differs(mark.alert.0));
                alerts.map(|(_, entry)| encode_alert(&entry.alert()).into()).collect()
            }
            None => Vec::new(),
        }
    }

    fn merge(&self, number: cluster::Kind, record: &[u8], from: &str) -> Merge {
        let Some(kind) = kind(number) else { return Merge::Unreadable };
        match self.take_in(kind, record) {
            Some(true) => Merge::News,
            Some(false) => Merge::Known,
            None => {
                tracing::warn!(component = "cluster", from, ?kind, "a record of a peer cannot be read");
                Merge::Unreadable
            }
        }
    }
}

impl Inner {
    /// Takes in a peer's record, and sees to it that whoever is concerned hears of it. `None`: it is no record.
    pub(super) fn take_in(&self, kind: Kind, record: &[u8]) -> Option<bool> {
        match self.replica.merge(kind, record, self.clock.now()).ok()? {
            Merged::Known => Some(false),
            Merged::News => Some(true),
            Merged::Told(key) => {
                self.on_told(&key);
                Some(true)
            }
            Merged::Alert(entry, change) => {
                self.spread.heard(&entry);
                if let Some(effects) = self.effects.get() {
                    effects.inhibitor.load().observe(&entry);
                    effects.dispatcher.observe(&[(entry, change)]);
                }
                Some(true)
            }
        }
    }

    fn on_told(&self, key: &LogKey) {
        let mut graces = self.graces();
        if !graces.is_empty()
            && let Some(entry) = self.replica.nflog.peek(key)
        {
            graces.take_back(&entry, &self.replica.alerts);
        }
        drop(graces);
        self.look_again(key);
    }

    /// All silences in short, and in one number.
    fn silences_digest(&self) -> (Digest, u64) {
        let version = self.replica.silences.version();
        if let Some((of, digest, sum)) = &self.digests().silences
            && *of == version
        {
            return (digest.clone(), *sum);
        }
        let now = self.clock.now();
        let silences = self.replica.silences.all();
        let kept = silences.iter().filter(|silence| silence.expires_at > now);
        let items: Vec<(u64, u64)> = kept
            .map(|silence| {
                let updated = silence.updated_at.timestamp_nanos_opt().unwrap_or_default();
                (Digest::hash(silence.id.as_str().as_bytes()), updated.cast_unsigned())
            })
            .collect();
        let sum = items.iter().fold(1u64, |sum, (id, updated)| sum.wrapping_add(id.rotate_left(17) ^ updated));
        let digest = Digest::of_hashes(items);
        self.digests().silences = Some((version, digest.clone(), sum));
        (digest, sum)
    }

    pub(super) fn silences_sum(&self) -> u64 {
        self.silences_digest().1
    }

    /// Silences that a peer may lack whose sum is another one.
    pub(super) fn silences_on_their_way(&self) -> Vec<Bytes> {
        let horizon = self.clock.now() - delta(SILENCE_ON_ITS_WAY);
        let recent = self.replica.silences.all().into_iter().filter(|silence| silence.updated_at > horizon);
        recent.take(SILENCES_MAX).map(|silence| Silences::encode(&silence).into()).collect()
    }

    fn log_entries(&self, now: Time) -> impl Iterator<Item = (LogKey, Arc<LogEntry>)> {
        self.replica.nflog.all().into_iter().filter(move |(_, entry)| entry.expires_at > now)
    }

    fn log_digest(&self) -> Digest {
        let version = self.replica.nflog.version();
        if let Some((of, digest)) = &self.digests().log
            && *of == version
        {
            return digest.clone();
        }
        let entries = self.log_entries(self.clock.now());
        let items = entries.map(|(key, entry)| (Digest::hash(&Nflog::record_key(&key)), entry.content_hash()));
        let digest = Digest::of_hashes(items);
        self.digests().log = Some((version, digest.clone()));
        digest
    }

    /// The alerts that peers need to know of, each with how it stands. Guesses of this node are left out.
    fn shared_alerts(&self, now: Time) -> Vec<(Mark, Arc<Entry>)> {
        let graces = self.graces();
        let mark = |entry: Arc<Entry>| {
            let mark = mark_of(&entry, now);
            let ends_at = entry.lock().ends_at;
            (!graces.holds(mark.alert, ends_at)).then_some((mark, entry))
        };
        self.replica.shared_alerts(now).filter_map(mark).collect()
    }

    fn alerts_digest(&self) -> Digest {
        let alerts = self.shared_alerts(self.clock.now());
        Digest::of_hashes(alerts.iter().map(|(mark, _)| (mark.alert.0, message::number(mark))))
    }
}

/// How an alert stands.
pub(super) fn mark_of(entry: &Entry, now: Time) -> Mark {
    let alert = entry.lock();
    Mark { alert: entry.fingerprint(), period: alert.period, state: Life::of(alert.explicit, alert.ends_at, now) }
}
