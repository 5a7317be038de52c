//! What is kept of one decision. Plain values; nothing here knows how they come about or where they lie.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use crate::{
    alert::{Fingerprint, Labels},
    clock::Time,
};

/// At most so many alerts of a group stand in a decision one by one; [`Totals`] counts all.
pub const ALERTS_MAX: usize = 256;

/// One event of the pipeline: a look of a group after which nothing was sent, or one attempt to send.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The node that decided.
    pub node: Arc<str>,
    /// Rises on a node; unique together with `node`.
    pub id: u64,
    pub at: Time,
    /// The same was decided so many times in a row, last at this moment.
    pub last: Time,
    pub count: u64,
    pub outcome: Outcome,
    pub why: Why,
    pub receiver: Arc<str>,
    /// `None`: it was decided for all integrations of the receiver at once.
    pub integration: Option<Slot>,
    pub group: Arc<Group>,
    /// The look to which it belongs.
    pub tick: Option<Time>,
    /// Not due: the repeat is due then. Left to others: looked at again then at the latest. Failed: the next attempt.
    pub until: Option<Time>,
    /// Up to [`ALERTS_MAX`].
    pub alerts: Vec<Alert>,
    pub totals: Totals,
    /// What stood in the way.
    pub claim: Option<Claim>,
    /// Names of the live nodes in the order in which their turns come, where that mattered.
    pub order: Vec<Arc<str>>,
    pub attempt: Option<Attempt>,
    /// What was written to the notification log.
    pub log: Option<Logged>,
}

impl Decision {
    /// With nothing but the essentials; the record adds who, when and under which number.
    #[must_use]
    pub fn new(outcome: Outcome, why: Why, receiver: Arc<str>, group: Arc<Group>) -> Self {
        Decision {
            node: "".into(),
            id: 0,
            at: Time::UNIX_EPOCH,
            last: Time::UNIX_EPOCH,
            count: 1,
            outcome,
            why,
            receiver,
            integration: None,
            group,
            tick: None,
            until: None,
            alerts: Vec::new(),
            totals: Totals::default(),
            claim: None,
            order: Vec::new(),
            attempt: None,
            log: None,
        }
    }

    /// Alerts of the group that are not listed.
    #[must_use]
    pub fn omitted(&self) -> usize {
        (self.totals.all() as usize).saturating_sub(self.alerts.len())
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver took it.
    Told,
    /// Only an end that the integration does not send; it was written down.
    Noted,
    /// The receiver did not take it.
    Failed,
    /// Every alert of the group is muted.
    Quiet,
    /// Not now; mostly another node is telling it or goes first.
    Left,
    /// Nothing to tell.
    NotDue,
    /// The program ended while it was being sent.
    Stopped,
}

impl Outcome {
    /// The place in this list is what is stored: new ones go to its end.
    pub const ALL: [Outcome; 7] = [
        Outcome::Told,
        Outcome::Noted,
        Outcome::Failed,
        Outcome::Quiet,
        Outcome::Left,
        Outcome::NotDue,
        Outcome::Stopped,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Told => "told",
            Outcome::Noted => "noted",
            Outcome::Failed => "failed",
            Outcome::Quiet => "quiet",
            Outcome::Left => "left",
            Outcome::NotDue => "not_due",
            Outcome::Stopped => "stopped",
        }
    }
}

/// The text names no outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown outcome {0:?}, expected one of told, noted, failed, quiet, left, not_due, stopped")]
pub struct UnknownOutcome(String);

impl FromStr for Outcome {
    type Err = UnknownOutcome;

    fn from_str(text: &str) -> Result<Self, UnknownOutcome> {
        let found = Outcome::ALL.into_iter().find(|outcome| outcome.as_str() == text);
        found.ok_or_else(|| UnknownOutcome(text.to_owned()))
    }
}

/// The reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    // Why it was due, as `notification_reason` in payloads.
    FirstNotification,
    NewAlertsAdded,
    SomeAlertsResolved,
    AllAlertsResolved,
    RepeatIntervalElapsed,
    /// Silenced, inhibited, or outside of its times.
    Muted,
    /// The receiver knows it, and the repeat is not due.
    NothingNew,
    /// It was owed at the tick and is not any more: over, muted, or told meanwhile.
    NoLongerOwed,
    /// Other live nodes come first in the order of turns.
    OthersFirst,
    /// Another node asks for it or sends it.
    Claimed,
    /// Another node has told it.
    ToldElsewhere,
    /// After a failure of this node.
    BackOff,
    ProgramEnds,
}

impl Why {
    /// As [`Outcome::ALL`].
    pub const ALL: [Why; 13] = [
        Why::FirstNotification,
        Why::NewAlertsAdded,
        Why::SomeAlertsResolved,
        Why::AllAlertsResolved,
        Why::RepeatIntervalElapsed,
        Why::Muted,
        Why::NothingNew,
        Why::NoLongerOwed,
        Why::OthersFirst,
        Why::Claimed,
        Why::ToldElsewhere,
        Why::BackOff,
        Why::ProgramEnds,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Why::FirstNotification => "first notification",
            Why::NewAlertsAdded => "new alerts added",
            Why::SomeAlertsResolved => "some alerts resolved",
            Why::AllAlertsResolved => "all alerts resolved",
            Why::RepeatIntervalElapsed => "repeat interval elapsed",
            Why::Muted => "muted",
            Why::NothingNew => "nothing new",
            Why::NoLongerOwed => "no longer owed",
            Why::OthersFirst => "turn of another node",
            Why::Claimed => "claimed by another node",
            Why::ToldElsewhere => "told by another node",
            Why::BackOff => "back-off",
            Why::ProgramEnds => "program ends",
        }
    }
}

/// One integration of the receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// `webhook`, `email` …
    pub kind: Arc<str>,
    /// Among those of its kind in the receiver, from 0.
    pub index: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// As in the notification log and in payloads.
    pub key: Arc<str>,
    pub labels: Labels,
    /// The route's unique name.
    pub route: Arc<str>,
}

/// All alerts of the group. Muted ones are counted there only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub firing: u32,
    pub resolved: u32,
    pub muted: u32,
}

impl Totals {
    #[must_use]
    pub fn all(self) -> u32 {
        self.firing.saturating_add(self.resolved).saturating_add(self.muted)
    }
}

/// One alert, as it stood.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    pub fingerprint: Fingerprint,
    /// `None`: lost with a damaged part of the record, or too large to be kept.
    pub labels: Option<Labels>,
    pub status: Status,
    /// It was in the notification (or in the failed attempt, or written down).
    pub told: bool,
    /// Equal ones are shared.
    pub muted: Option<Arc<Muted>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Firing,
    Resolved,
}

impl Status {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Firing => "firing",
            Status::Resolved => "resolved",
        }
    }
}

/// What mutes an alert: the first stage of the pipeline that does.
#[derive(Clone, Debug, PartialEq)]
pub enum Muted {
    /// By id.
    Silences(Vec<Arc<str>>),
    Inhibited {
        source: Fingerprint,
        labels: Option<Labels>,
        /// Place in `inhibit_rules`, from 0.
        rule: u32,
    },
    MuteIntervals(Vec<Arc<str>>),
    OutsideActiveIntervals(Vec<Arc<str>>),
}

/// Another node's hand on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub holder: Arc<str>,
    pub phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Asking,
    Sending,
    Failing,
    Told,
}

impl Phase {
    /// As [`Outcome::ALL`].
    pub const ALL: [Phase; 4] = [Phase::Asking, Phase::Sending, Phase::Failing, Phase::Told];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Asking => "asking",
            Phase::Sending => "sending",
            Phase::Failing => "failing",
            Phase::Told => "told",
        }
    }
}

/// One attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Since the last success, from 1.
    pub number: u32,
    pub sent: Time,
    pub took: Duration,
    /// What the receiver answered, or why it did not; without secrets.
    pub error: Option<String>,
    /// As label `reason` of the metrics.
    pub kind: Option<Arc<str>>,
    /// The next node in order may try at once.
    pub handed_over: bool,
}

/// The entry of the notification log after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logged {
    /// How often the log says that something was told.
    pub tells: u64,
    pub at: Time,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.kind, self.index)
    }
}
