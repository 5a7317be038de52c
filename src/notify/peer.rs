//! The seam to the cluster: the one handle through which the pipeline hears of other nodes.
//!
//! The pipeline asks it four things: whether this node may speak yet (settled), whether somebody's claim on a
//! key stands, when it is this node's turn, and, right before the first byte, what the others know
//! (reference/decide.md 3.2 to 3.6). A node alone is settled, hears no claims, is first in turn, and an
//! answer from nobody is there at once.

use tokio::time::Instant;

use crate::nflog::LogKey;

/// See the module's head.
#[derive(Clone, Debug)]
pub struct Peer(Kind);

#[derive(Clone, Copy, Debug)]
enum Kind {
    Alone,
}

/// What the others' claims and the order of nodes say about one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Others {
    /// Another node is asking or sending; its claim falls then, if nothing is heard of it until then.
    pub claim_until: Option<Instant>,
    /// Not before this node's turn.
    pub turn: Instant,
}

/// What came back from an Ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answers {
    /// Some answer changed our own alerts, silences or log: everything is to be looked at again.
    pub learned: bool,
}

impl Peer {
    /// A node without a cluster.
    #[must_use]
    pub fn alone() -> Self {
        Peer(Kind::Alone)
    }

    /// Returns when this node may speak, with whether it had to wait for that.
    #[allow(clippy::unused_async, reason = "a clustered node waits here")]
    pub async fn settle(&self) -> bool {
        match self.0 {
            Kind::Alone => false,
        }
    }

    /// What stands between this node and a notification that is due since `base`.
    #[must_use]
    pub fn others(&self, _key: &LogKey, base: Instant) -> Others {
        match self.0 {
            Kind::Alone => Others { claim_until: None, turn: base },
        }
    }

    /// Asks every other node before the first byte. Returns when all have answered or the limit has passed.
    #[allow(clippy::unused_async, reason = "a clustered node waits here")]
    pub async fn ask(&self, _key: &LogKey) -> Answers {
        match self.0 {
            Kind::Alone => Answers { learned: false },
        }
    }
}
