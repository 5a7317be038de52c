//! What the pipeline hands to an integration, and what comes back.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use crate::{
    alert::{Alert, Fingerprint, Labels},
    clock::Time,
};

/// Why this notification is due: `notification_reason` in payloads (reference/receivers.md 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    FirstNotification,
    NewAlertsAdded,
    SomeAlertsResolved,
    AllAlertsResolved,
    RepeatIntervalElapsed,
    Unknown,
    None,
}

impl Reason {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::FirstNotification => "first notification",
            Reason::NewAlertsAdded => "new alerts added",
            Reason::SomeAlertsResolved => "some alerts resolved",
            Reason::AllAlertsResolved => "all alerts resolved",
            Reason::RepeatIntervalElapsed => "repeat interval elapsed",
            Reason::Unknown => "unknown",
            Reason::None => "none",
        }
    }
}

/// One notification for one integration, complete: nothing is looked up while it is sent.
#[derive(Clone, Debug)]
pub struct Notification {
    /// The group key text, e.g. `{}/{team="a"}:{alertname="x"}`.
    pub group_key: Arc<str>,
    /// Receiver name as configured (templates show it regex-quoted).
    pub receiver: Arc<str>,
    pub group_labels: Labels,
    pub route_labels: Labels,
    /// Already without resolved ones where `send_resolved` is off; sorted by job, instance, label order.
    /// Firing alerts have `ends_at: None`.
    pub alerts: Vec<Alert>,
    /// Of these alerts, in their order, as far as they are known already: to compute one costs as much as to write half
    /// of the alert.
    pub fingerprints: Vec<Fingerprint>,
    pub reason: Reason,
    /// The moment against which "resolved" is judged.
    pub now: Time,
    /// `--web.external-url` without a trailing slash.
    pub external_url: Arc<str>,
    /// What this integration kept about the group after its last notification (Slack `threadTs` and the like).
    pub memory: Memory,
}

impl Notification {
    /// The alerts with their fingerprints.
    pub fn fingerprinted(&self) -> impl Iterator<Item = (Fingerprint, &Alert)> {
        self.alerts.iter().enumerate().map(|(place, alert)| {
            let known = self.fingerprints.get(place).copied();
            debug_assert!(known.is_none_or(|known| known == alert.fingerprint()), "each alert has its own");
            (known.unwrap_or_else(|| alert.fingerprint()), alert)
        })
    }

    /// Whether anything fires.
    #[must_use]
    pub fn is_firing(&self) -> bool {
        self.alerts.iter().any(|a| !a.resolved_at(self.now))
    }

    /// `firing` if anything fires, else `resolved`.
    #[must_use]
    pub fn status(&self) -> &'static str {
        if self.is_firing() { "firing" } else { "resolved" }
    }
}

/// Receiver data of a log entry: text, integer or float by key (cluster.md 4, `receiver_data`).
pub type Memory = std::collections::BTreeMap<String, MemoryValue>;

#[derive(Clone, Debug, PartialEq)]
pub enum MemoryValue {
    Text(String),
    Int(i64),
    Double(f64),
}

/// The receiver took it.
#[derive(Clone, Debug, Default)]
pub struct Receipt {
    /// Replaces the group's memory for this integration when given.
    pub memory: Option<Memory>,
}

/// Label `reason` of `alertmanager_notifications_failed_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureReason {
    Other,
    ClientError,
    ServerError,
    AuthError,
    RateLimited,
    ContextCanceled,
    ContextDeadlineExceeded,
}

impl FailureReason {
    pub const ALL: [FailureReason; 7] = [
        FailureReason::Other,
        FailureReason::ClientError,
        FailureReason::ServerError,
        FailureReason::AuthError,
        FailureReason::RateLimited,
        FailureReason::ContextCanceled,
        FailureReason::ContextDeadlineExceeded,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            FailureReason::Other => "other",
            FailureReason::ClientError => "clientError",
            FailureReason::ServerError => "serverError",
            FailureReason::AuthError => "authError",
            FailureReason::RateLimited => "rateLimited",
            FailureReason::ContextCanceled => "contextCanceled",
            FailureReason::ContextDeadlineExceeded => "contextDeadlineExceeded",
        }
    }

    /// By HTTP status, as since 0.34.
    #[must_use]
    pub fn from_status(status: u16) -> Self {
        match status {
            401 | 403 => FailureReason::AuthError,
            429 => FailureReason::RateLimited,
            400..=499 => FailureReason::ClientError,
            500..=599 => FailureReason::ServerError,
            _ => FailureReason::Other,
        }
    }
}

/// How far a failed attempt got: decides who may try next (reference/decide.md 3.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing of the message left this node: template error, connect, DNS or TLS failure.
    NotSent,
    /// The receiver said no.
    Refused,
    /// The message may have been taken: time-out or broken connection after it was written.
    Ambiguous,
}

/// A failed attempt. `message` carries no secret and is what operators read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct NotifyError {
    pub message: String,
    /// Whether a further attempt within this flush may help.
    pub retry: bool,
    pub reason: FailureReason,
    pub progress: Progress,
    /// `Retry-After` of the answer, where the vendor sends it.
    pub retry_after: Option<Duration>,
}

pub type NotifyFuture<'a> = Pin<Box<dyn Future<Output = Result<Receipt, NotifyError>> + Send + 'a>>;

/// One configured integration: makes one attempt to deliver one notification.
///
/// The pipeline bounds each attempt in time, retries and logs; an implementation does neither. Its own
/// configured `timeout` it applies itself. Dropping the future abandons the attempt.
pub trait Notifier: Send + Sync {
    fn notify<'a>(&'a self, notification: &'a Notification) -> NotifyFuture<'a>;
}
