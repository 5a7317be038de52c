//! What can be recorded. Values share their text with the alerts and silences they speak of.

use std::{sync::Arc, time::Duration};

use crate::{
    alert::{Alert, Fingerprint, Labels, matcher::Matcher},
    config::InhibitRule,
    nflog::AlertHash,
    silence::Silence,
};

/// Something that happened, for the outputs of `event_recorder`.
#[derive(Clone, Debug)]
pub enum Event {
    Startup {
        version: &'static str,
        build_context: String,
    },
    Shutdown,
    /// An alert that was not known came.
    AlertCreated(Alert),
    /// It has joined a group.
    AlertGrouped {
        alert: Alert,
        group: Arc<Group>,
    },
    /// It has left its group after its end was told.
    AlertResolved {
        alert: Alert,
        group: Arc<Group>,
    },
    /// An integration has taken a notification.
    Notification(Box<Notification>),
    SilenceCreated(Silence),
    SilenceUpdated(Silence),
    /// At a look of its group.
    SilenceMutedAlert {
        silence: Arc<Silence>,
        alert: Fingerprint,
        labels: Labels,
    },
    InhibitionMutedAlert {
        rule: Arc<InhibitRule>,
        alert: Fingerprint,
        labels: Labels,
        source: Fingerprint,
    },
}

impl Event {
    /// Label `event_type` of the metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Event::Startup { .. } => "alertmanager_startup_event",
            Event::Shutdown => "alertmanager_shutdown_event",
            Event::AlertCreated(_) => "alert_created",
            Event::AlertGrouped { .. } => "alert_grouped",
            Event::AlertResolved { .. } => "alert_resolved",
            Event::Notification(_) => "notification",
            Event::SilenceCreated(_) => "silence_created",
            Event::SilenceUpdated(_) => "silence_updated",
            Event::SilenceMutedAlert { .. } => "silence_muted_alert",
            Event::InhibitionMutedAlert { .. } => "inhibition_muted_alert",
        }
    }
}

/// The aggregation group that an event is about.
#[derive(Clone, Debug)]
pub struct Group {
    pub key: Arc<str>,
    pub labels: Labels,
    pub receiver: Arc<str>,
}

#[derive(Clone, Debug)]
pub struct Notification {
    pub group: Arc<Group>,
    /// Of the group's route.
    pub matchers: Vec<Matcher>,
    /// Of this life of the group.
    pub group_uuid: String,
    /// As they were sent.
    pub alerts: Vec<Alert>,
    pub firing: Vec<AlertHash>,
    pub resolved: Vec<AlertHash>,
    pub muted: Vec<AlertHash>,
    pub repeat_interval: Duration,
    /// `notification_reason` of payloads.
    pub reason: Reason,
    /// Rises with each look of the group.
    pub flush: u64,
    /// `webhook`, and its place in the receiver.
    pub integration: (&'static str, usize),
}

/// Why it was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Unspecified,
    FirstNotification,
    NewAlerts,
    SomeResolved,
    AllResolved,
    Repeat,
}
