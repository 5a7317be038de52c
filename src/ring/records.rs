//! The replicated maps as the cluster sees them: kinds, digests, what a peer lacks, and what its records do here.

use std::time::Duration;

use bytes::Bytes;

use super::Inner;
use crate::{
    alert::Entry,
    clock::{Time, delta},
    cluster::{self, Digest, Merge},
    nflog::LogKey,
    notify::peer::{Life, Mark},
    replica::{Kind, Merged, decode_alert},
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
        kind(number).map_or_else(Digest::default, |kind| self.digest_of(kind))
    }

    fn missing(&self, number: cluster::Kind, theirs: &Digest) -> Vec<Bytes> {
        let Some(kind) = kind(number) else { return Vec::new() };
        self.replica.missing(kind, theirs, self.clock.now(), &|alert, ends_at| self.graces().holds(alert, ends_at))
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
        if kind == Kind::Alert {
            self.give_way(record);
        }
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

    /// Guesses of this node end where a peer knows.
    fn give_way(&self, record: &[u8]) {
        let mut graces = self.graces();
        if !graces.is_empty()
            && let Ok(alert) = decode_alert(record)
        {
            graces.give_way(&alert, &self.replica.alerts);
        }
    }

    fn on_told(&self, key: &LogKey) {
        // The log is looked at without the lock of the guesses.
        let guesses = !self.graces().is_empty();
        if let Some(entry) = self.replica.nflog.peek(key).filter(|_| guesses) {
            self.graces().take_back(&entry, &self.replica.alerts);
        }
        self.look_again(key);
    }

    fn digest_of(&self, kind: Kind) -> Digest {
        self.replica.digest(kind, self.clock.now(), &|alert, ends_at| self.graces().holds(alert, ends_at))
    }

    /// All silences in one number.
    pub(super) fn silences_sum(&self) -> u64 {
        self.digest_of(Kind::Silence).number()
    }

    /// Silences that a peer may lack whose sum is another one.
    pub(super) fn silences_on_their_way(&self) -> Vec<Bytes> {
        let horizon = self.clock.now() - delta(SILENCE_ON_ITS_WAY);
        let recent = self.replica.silences.all().into_iter().filter(|silence| silence.updated_at > horizon);
        recent.take(SILENCES_MAX).map(|silence| Silences::encode(&silence).into()).collect()
    }
}

/// How an alert stands.
pub(super) fn mark_of(entry: &Entry, now: Time) -> Mark {
    let alert = entry.lock();
    Mark { alert: entry.fingerprint(), period: alert.period, state: Life::of(alert.explicit, alert.ends_at, now) }
}
