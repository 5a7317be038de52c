//! What nodes share and how it travels: the seam between the state of a node and the cluster that moves it.
//!
//! Three kinds of records (silences, log entries, alerts), each with an encoding and a merge that is the same on
//! every node and in whatever order records arrive. What changes here goes into an [`Outbox`], from which the
//! cluster takes it; what arrives is handed to [`Replica::merge`]. The same encoding of alerts is what the store
//! keeps of them. This room knows the three nouns and the store; of nodes, packets and time-outs it knows nothing.

mod alerts;
mod outbox;

use std::sync::Arc;

pub use alerts::{AlertKeeper, decode_alert, encode_alert};
pub use outbox::Outbox;

use crate::{
    alert::{Change, Entry},
    alerts::Alerts,
    clock::Time,
    nflog::Nflog,
    silence::Silences,
    store::snapshot::SnapshotError,
};

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Silence,
    Log,
    Alert,
}

/// One changed record, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    pub kind: Kind,
    pub bytes: Vec<u8>,
}

/// What a record of a peer did here.
#[derive(Clone, Debug)]
pub enum Merged {
    /// We knew as much.
    Known,
    /// A silence or a log entry is newer now.
    News,
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
    /// Takes in a peer's record; what is news is made durable and passed on.
    ///
    /// # Errors
    /// When the bytes are no record of this kind.
    pub fn merge(&self, kind: Kind, bytes: &[u8], now: Time) -> Result<Merged, SnapshotError> {
        let news = |changed| if changed { Merged::News } else { Merged::Known };
        match kind {
            Kind::Silence => self.silences.merge(bytes).map(news),
            Kind::Log => self.nflog.merge(bytes).map(news),
            Kind::Alert => {
                let alert = decode_alert(bytes)?;
                let Some((entry, change)) = self.alerts.insert(&alert, now) else { return Ok(Merged::Known) };
                self.keeper.persist_changes(&[(Arc::clone(&entry), change)]);
                Ok(Merged::Alert(entry, change))
            }
        }
    }

    /// Everything of one kind, encoded: for a peer that joins.
    #[must_use]
    pub fn all(&self, kind: Kind) -> Vec<Vec<u8>> {
        match kind {
            Kind::Silence => self.silences.encoded(),
            Kind::Log => self.nflog.encoded(),
            Kind::Alert => self.alerts.snapshot().iter().map(|entry| encode_alert(&entry.alert())).collect(),
        }
    }
}
