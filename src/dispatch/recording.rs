//! What happens to alerts in their groups, for the event recorder.

use std::sync::Arc;

use xxhash_rust::xxh64::xxh64;

use super::{
    Engine,
    content::Content,
    group::{Group, GroupState},
    plan::{Ready, RouteInfo},
};
use crate::{
    alert::Entry,
    clock::Time,
    events::{self, Event, Notification},
    nflog::LogKey,
    notify::{
        Reason,
        mute::{Mute, Stages},
    },
};

impl Engine {
    pub(super) fn record_grouped(&self, group: &Group, route: &RouteInfo, entry: &Entry) {
        self.events.record(|| Event::AlertGrouped { alert: entry.alert(), group: named(group, route) });
    }

    /// Its end was told, or need not be told, and it leaves.
    pub(super) fn record_resolved(&self, group: &Group, route: &RouteInfo, entry: &Entry) {
        self.events.record(|| Event::AlertResolved { alert: entry.alert(), group: named(group, route) });
    }

    /// What silences and rules keep quiet at this look.
    pub(super) fn record_mutes(&self, state: &GroupState, now: Time) {
        if !self.events.is_recording() {
            return;
        }
        let inhibitor = &state.route.inhibitor;
        let stages = Stages { inhibitor, silences: &self.silences, interval: None, now };
        for entry in state.members.iter().filter(|member| member.muted).map(|member| &member.entry) {
            match stages.mute(entry.fingerprint(), entry.labels()) {
                Some(Mute::Inhibited { source, rule }) => {
                    let Some(rule) = inhibitor.rule(rule) else { continue };
                    self.events.record(|| Event::InhibitionMutedAlert {
                        rule,
                        alert: entry.fingerprint(),
                        labels: entry.labels().clone(),
                        source,
                    });
                }
                Some(Mute::Silenced(ids)) => {
                    for silence in ids.iter().filter_map(|id| self.silences.find(id.as_str())) {
                        self.events.record(|| Event::SilenceMutedAlert {
                            silence,
                            alert: entry.fingerprint(),
                            labels: entry.labels().clone(),
                        });
                    }
                }
                Some(Mute::Interval(_)) | None => {}
            }
        }
    }

    /// What is sent, to be recorded when it is taken. `None`: nobody wants to know.
    pub(super) fn notification_event(
        &self,
        route: &RouteInfo,
        ready: &Ready,
        key: &LogKey,
        content: &Content,
    ) -> Option<Event> {
        if !self.events.is_recording() {
            return None;
        }
        let group = self.core().deliveries.get(key).map(|delivery| delivery.group.clone())?;
        let (firing, resolved) = content.told();
        let state = group.lock();
        Some(Event::Notification(Box::new(Notification {
            group: named(&group, route),
            matchers: route.route.matchers.iter().cloned().collect(),
            group_uuid: uuid_of(&group),
            alerts: content.notification.alerts.clone(),
            firing,
            resolved,
            muted: state.members.iter().filter(|member| member.muted).map(|member| member.hash).collect(),
            repeat_interval: route.route.repeat_interval,
            reason: reason(content.notification.reason),
            flush: state.looks,
            integration: (ready.lane.kind, ready.lane.index),
        })))
    }
}

/// A name for this life of the group in the form of a UUID.
fn uuid_of(group: &Group) -> String {
    let text = format!("{} {}", group.number, group.key);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&xxh64(text.as_bytes(), 0).to_be_bytes());
    bytes[8..].copy_from_slice(&xxh64(text.as_bytes(), 1).to_be_bytes());
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

fn named(group: &Group, route: &RouteInfo) -> Arc<events::Group> {
    Arc::new(events::Group {
        key: group.key.clone(),
        labels: group.labels.clone(),
        receiver: route.receiver.name.clone(),
    })
}

fn reason(reason: Reason) -> events::Reason {
    match reason {
        Reason::FirstNotification => events::Reason::FirstNotification,
        Reason::NewAlertsAdded => events::Reason::NewAlerts,
        Reason::SomeAlertsResolved => events::Reason::SomeResolved,
        Reason::AllAlertsResolved => events::Reason::AllResolved,
        Reason::RepeatIntervalElapsed => events::Reason::Repeat,
        Reason::Unknown | Reason::None => events::Reason::Unspecified,
    }
}
