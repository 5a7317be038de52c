//! What nodes share and how it travels: the seam between the state of a node and the cluster that moves it.
//!
//! Three kinds of records (silences, log entries, alerts), each with an encoding and a merge that is the same on
//! every node and in whatever order records arrive. What changes here goes into an [`Outbox`], from which the
//! cluster takes it; what arrives is handed to [`Replica::merge`]. Whoever changes a record says so to the outbox, whose
//! digests are kept up to date so: comparing costs nothing where nothing changed. The same encoding of alerts is what
//! the store keeps of them. This room knows the three nouns and the store; of nodes, packets and time-outs it knows nothing.

mod alerts;
mod held;
mod outbox;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

pub use alerts::{AlertKeeper, decode_alert, encode_alert};
pub use held::IsGuess;
pub use outbox::Outbox;

use crate::{
    alert::{Alert, Change, Entry, Fingerprint},
    alerts::Alerts,
    clock::{Time, delta},
    cluster::Digest,
    nflog::{LogKey, Nflog},
    silence::Silences,
    store::snapshot::SnapshotError,
};

/// Alerts that ended longer ago are not shared any more: receivers have heard of it, or will from a node that knew.
const OVER_SHARED: Duration = Duration::from_secs(15 * 60);

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Silence,
    Log,
    Alert,
}

/// One change of this node's own.
#[derive(Clone, Debug)]
pub enum Delta {
    /// A silence or a log entry, encoded.
    Record { kind: Kind, key: Box<[u8]>, bytes: Vec<u8> },
    /// Encoded when it leaves, in the state it is in then.
    Alert(Arc<Entry>),
}

/// What a record of a peer did here.
#[derive(Clone, Debug)]
pub enum Merged {
    /// We knew as much.
    Known,
    /// A silence is newer now.
    News,
    /// More is known of what was told under this key.
    Told(LogKey),
    /// An alert changed: inhibitor and dispatcher have to observe it.
    Alert(Arc<Entry>, Change),
}

/// The state of this node as peers see it.
pub struct Replica {
    pub silences: Arc<Silences>,
    pub nflog: Arc<Nflog>,
    pub alerts: Arc<Alerts>,
    pub keeper: AlertKeeper,
}

impl Replica {
    /// Takes in a peer's record; what is news is made durable. The peer itself sees to it that all others get it.
    ///
    /// # Errors
    /// When the bytes are no record of this kind.
    pub fn merge(&self, kind: Kind, bytes: &[u8], now: Time) -> Result<Merged, SnapshotError> {
        let news = |changed| if changed { Merged::News } else { Merged::Known };
        match kind {
            Kind::Silence => self.silences.merge(bytes).map(news),
            Kind::Log => self.nflog.merge(bytes).map(|key| key.map_or(Merged::Known, Merged::Told)),
            Kind::Alert => {
                let alert = decode_alert(bytes)?;
                if self.is_history(&alert, now) {
                    return Ok(Merged::Known);
                }
                let Some((entry, change)) = self.alerts.insert(&alert, now) else { return Ok(Merged::Known) };
                self.keeper.persist_merged(&entry, change);
                Ok(Merged::Alert(entry, change))
            }
        }
    }

    /// Others forget an alert that is over at another time than we do: it must not come back.
    fn is_history(&self, alert: &Alert, now: Time) -> bool {
        alert.ends_at.is_some_and(|end| end < now - delta(OVER_SHARED))
            && self.alerts.get(alert.fingerprint()).is_none()
    }

    /// What is held of a kind, in short: silences and log entries that are not past their time, and alerts that fire
    /// or ended of late, but for guesses of this node.
    #[must_use]
    pub fn digest(&self, kind: Kind, now: Time, is_guess: IsGuess<'_>) -> Digest {
        let Some(held) = self.keeper.outbox().held() else { return Digest::default() };
        match kind {
            Kind::Silence | Kind::Log => held.digest(kind, now),
            Kind::Alert => held.alerts_digest(&self.alerts, now, is_guess),
        }
    }

    /// The records of a kind that the holder of `theirs` lacks, or may lack.
    #[must_use]
    pub fn missing(&self, kind: Kind, theirs: &Digest, now: Time, is_guess: IsGuess<'_>) -> Vec<Bytes> {
        match kind {
            Kind::Silence => {
                let differs = self.digest(kind, now, is_guess).differs_from(theirs);
                let silences = self.silences.all().into_iter().filter(|silence| silence.expires_at > now);
                let differing = silences.filter(|silence| differs(Digest::hash(silence.id.as_str().as_bytes())));
                differing.map(|silence| Silences::encode(&silence).into()).collect()
            }
            Kind::Log => {
                let differs = self.digest(kind, now, is_guess).differs_from(theirs);
                let entries = self.nflog.all().into_iter().filter(|(_, entry)| entry.expires_at > now);
                let differing = entries.filter(|(key, _)| differs(Digest::hash(&Nflog::record_key(key))));
                differing.map(|(key, entry)| Nflog::encode(&key, &entry).into()).collect()
            }
            Kind::Alert => {
                let Some(held) = self.keeper.outbox().held() else { return Vec::new() };
                let lacking = held.alerts_lacking(&self.alerts, now, is_guess, theirs);
                let entries = lacking.into_iter().filter_map(|key| self.alerts.get(Fingerprint(key)));
                entries.map(|entry| encode_alert(&entry.alert()).into()).collect()
            }
        }
    }
}
