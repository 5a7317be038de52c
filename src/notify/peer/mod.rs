//! The seam to the cluster: the one handle through which the pipeline hears of other nodes.
//!
//! The pipeline asks it four things: whether this node may speak yet (settled), whether somebody's claim on a
//! key stands, when it is this node's turn, and, right before the first byte, what the others know
//! (reference/decide.md 3.2 to 3.6). It tells how each attempt ended. A node alone is settled, hears no claims, is
//! first in turn, and an answer from nobody is there at once.
//!
//! The rules are in [`claims`]; how questions travel is the business of the [`Neighbours`].

pub mod claims;

#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::{
    alert::Fingerprint,
    clock::Time,
    nflog::{LogEntry, LogKey, Writer},
};

/// See the module's head.
#[derive(Clone, Debug)]
pub struct Peer(Option<Arc<dyn Neighbours>>);

/// The other nodes, as the pipeline needs them.
pub trait Neighbours: fmt::Debug + Send + Sync {
    /// Resolves when this node may speak; at once with `false` if it may already.
    fn settle(&self) -> BoxFuture<'_, bool>;
    fn is_settled(&self) -> bool;
    fn others(&self, key: &LogKey, tells: u64, base: Instant) -> Others;
    fn ask(&self, question: Question) -> BoxFuture<'_, Answers>;
    fn begin(&self, key: &LogKey, tells: u64) -> bool;
    fn limit(&self, key: &LogKey) -> Option<Duration>;
    fn end(&self, key: &LogKey, end: End);
    /// Whose claim stands, of those that were heard of.
    fn holder(&self, key: &LogKey, tells: u64) -> Option<(claims::Name, claims::Phase)>;
    /// The nodes in sight in the order of their turns.
    fn order(&self, key: &LogKey, tells: u64) -> Vec<claims::Name>;
    fn name_of(&self, writer: Writer) -> Option<claims::Name>;
}

/// What the others' claims and the order of nodes say about one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Others {
    /// Another node is asking or sending; its claim falls then, if nothing is heard of it until then.
    pub claim_until: Option<Instant>,
    /// Not before this node's turn.
    pub turn: Instant,
}

/// "I am about to tell this; may I, and what do you know that I do not?"
#[derive(Clone, Debug)]
pub struct Question {
    pub key: LogKey,
    /// The route's place in the tree and the fingerprint of the group's labels: where peers of the same
    /// configuration find the group.
    pub route: usize,
    pub group: Fingerprint,
    pub seen: Option<Arc<LogEntry>>,
    pub alerts: Vec<Mark>,
    /// How long the attempt may take.
    pub limit: Duration,
}

/// How one alert stands here, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub alert: Fingerprint,
    pub period: u64,
    pub state: Life,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Firing,
    /// It ran out.
    Expired,
    /// A sender said so.
    Ended,
}

impl Life {
    #[must_use]
    pub fn of(explicit: bool, ends_at: Option<Time>, now: Time) -> Self {
        match ends_at {
            Some(end) if end <= now && explicit => Life::Ended,
            Some(end) if end <= now => Life::Expired,
            _ => Life::Firing,
        }
    }
}

/// What came back from a question. What peers knew is in the log, the alerts and the silences by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answers {
    /// So long after its end an alert that merely ran out still counts as firing, since somebody who may know
    /// better has not answered (reference/decide.md 3.1).
    pub hold: Duration,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It is in the log.
    Told,
    /// Nothing is owed any more.
    NotOwed,
    /// Others go first, or it is too early.
    SteppedBack,
    Failed(Failing),
}

/// What others need to know of a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failing {
    pub retry_at: Instant,
    /// The next node may try at once: the receiver never saw the request, or this node's way to it hangs.
    pub hand_over: bool,
    /// How long the next attempt may take.
    pub limit: Duration,
    pub tells: u64,
}

impl Peer {
    /// A node without a cluster.
    #[must_use]
    pub fn alone() -> Self {
        Peer(None)
    }

    #[must_use]
    pub fn among(neighbours: Arc<dyn Neighbours>) -> Self {
        Peer(Some(neighbours))
    }

    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.0.is_none()
    }

    /// Returns when this node may speak, with whether it had to wait for that.
    pub async fn settle(&self) -> bool {
        match &self.0 {
            Some(neighbours) if !neighbours.is_settled() => neighbours.settle().await,
            Some(_) | None => false,
        }
    }

    /// What stands between this node and a notification that is due since `base`; `tells` is the log's.
    #[must_use]
    pub fn others(&self, key: &LogKey, tells: u64, base: Instant) -> Others {
        match &self.0 {
            Some(neighbours) => neighbours.others(key, tells, base),
            None => Others { claim_until: None, turn: base },
        }
    }

    /// Asks every other node before the first byte. Returns when all have answered or the limit has passed.
    pub async fn ask(&self, question: impl FnOnce() -> Question) -> Answers {
        match &self.0 {
            Some(neighbours) => neighbours.ask(question()).await,
            None => Answers { hold: Duration::ZERO },
        }
    }

    /// Turns the question into the claim of sending, unless somebody else goes first.
    #[must_use]
    pub fn begin(&self, key: &LogKey, tells: u64) -> bool {
        self.0.as_ref().is_none_or(|neighbours| neighbours.begin(key, tells))
    }

    /// How long an attempt may take, if others found out that the receiver is slow.
    #[must_use]
    pub fn limit(&self, key: &LogKey) -> Option<Duration> {
        self.0.as_ref().and_then(|neighbours| neighbours.limit(key))
    }

    /// For people: whose claim stands, and what it claims.
    #[must_use]
    pub fn holder(&self, key: &LogKey, tells: u64) -> Option<(claims::Name, claims::Phase)> {
        self.0.as_ref().and_then(|neighbours| neighbours.holder(key, tells))
    }

    /// For people: the nodes in the order of their turns; none for a node alone.
    #[must_use]
    pub fn order(&self, key: &LogKey, tells: u64) -> Vec<claims::Name> {
        self.0.as_ref().map_or_else(Vec::new, |neighbours| neighbours.order(key, tells))
    }

    /// For people: which node a writer of the log is.
    #[must_use]
    pub fn name_of(&self, writer: Writer) -> Option<claims::Name> {
        self.0.as_ref().and_then(|neighbours| neighbours.name_of(writer))
    }

    /// The attempt is over. After [`End::Told`] the log entry, which has to be there already, is what releases
    /// the claim.
    pub fn end(&self, key: &LogKey, end: End) {
        if let Some(neighbours) = &self.0 {
            neighbours.end(key, end);
        }
    }
}
