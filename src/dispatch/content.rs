//! What a notification would say: the group's alerts at one moment, and out of them one notification for one
//! integration with the record that the log gets when it was taken.

use std::{sync::Arc, time::Duration};

use super::{
    group::{Group, GroupState, sort_for_readers},
    plan::{Ready, RouteInfo},
    rhythm,
};
use crate::{
    alert::{Alert, Fingerprint, Labels},
    clock::{Time, delta},
    nflog::{AlertHash, End, LogEntry, Tell},
    notify::{
        Memory, Notification, Reason,
        mute::{Mute, Stages, Suppressed},
        owed::{self, Fact, Standing, Terms},
    },
    silence::Silences,
    template::Data,
};

/// The unmuted alerts of a group at one moment, sorted for readers.
pub(super) struct Batch {
    pub group: Arc<Group>,
    pub route: Arc<RouteInfo>,
    pub now: Time,
    /// The tick this belongs to: the moment against which the repeat interval is judged.
    pub tick: Time,
    pub alerts: Vec<(Fact, Alert)>,
    /// Of the alerts.
    fingerprints: Vec<Fingerprint>,
}

/// One notification, ready to be sent.
pub(super) struct Content {
    /// `None`: nothing is owed (any more).
    pub reason: Option<Reason>,
    pub notification: Notification,
    /// The receiver does not want to hear of resolved alerts, and there is nothing else: it is written down only.
    pub unspoken: bool,
    pub seen: Option<Arc<LogEntry>>,
    due: Time,
    firing: Vec<(AlertHash, u64)>,
    resolved: Vec<End>,
    /// Ends that are known and need not be told.
    known: Vec<End>,
}

/// What a flush is judged by, from one look at the mutes.
pub(super) fn terms(route: &RouteInfo, ready: &Ready) -> Terms {
    Terms {
        send_resolved: ready.integration.send_resolved,
        group_wait: route.route.group_wait,
        group_interval: route.route.group_interval,
        repeat_interval: route.route.repeat_interval,
    }
}

/// Runs the stages over the group at a tick and notes on each member what was found.
pub(super) fn survey(state: &mut GroupState, silences: &Silences, now: Time, suppressed: &mut Suppressed) -> Vec<Fact> {
    let route = state.route.clone();
    let muting = route.intervals.muting(now);
    let interval = muting.as_ref().map(|(stage, _)| *stage);
    state.muted_by = muting.map(|(_, names)| names).unwrap_or_default();
    let stages = Stages { inhibitor: &route.inhibitor, silences, interval, now };
    let mut facts = Vec::with_capacity(state.members.len());
    for member in state.members.iter_mut() {
        let mute = stages.mute(member.entry.fingerprint(), member.entry.labels());
        let mut fact = Fact::of(&member.entry.lock(), member.hash, now);
        fact.muted = mute.is_some();
        fact.history = member.history_in(fact.period);
        member.note(&fact, mute.as_ref().map(Mute::stage));
        if let Some(mute) = &mute {
            suppressed.add(mute);
        }
        facts.push(fact);
    }
    facts
}

impl Batch {
    /// The alerts as they are now, muted ones left out as the last survey found them.
    pub fn as_surveyed(group: &Arc<Group>, state: &GroupState, now: Time, tick: Time) -> Self {
        Self::collect(group, state, now, tick, Duration::ZERO, |member| member.muted)
    }

    /// The alerts as they are now, all stages run again. `None` if the group is gone. For so long as `hold` after
    /// its end an alert that merely ran out still counts as firing.
    pub fn fresh(group: &Arc<Group>, silences: &Silences, now: Time, hold: Duration) -> Option<Self> {
        let state = group.lock();
        if state.gone {
            return None;
        }
        let route = state.route.clone();
        let interval = route.intervals.muting(now).map(|(stage, _)| stage);
        let stages = Stages { inhibitor: &route.inhibitor, silences, interval, now };
        let tick = rhythm::last_until(state.anchor, now, route.route.group_interval);
        Some(Self::collect(group, &state, now, tick, hold, |member| {
            stages.mute(member.entry.fingerprint(), member.entry.labels()).is_some()
        }))
    }

    fn collect(
        group: &Arc<Group>,
        state: &GroupState,
        now: Time,
        tick: Time,
        hold: Duration,
        muted: impl Fn(&super::members::Member) -> bool,
    ) -> Self {
        let mut members: Vec<_> = state.members.iter().filter(|member| !muted(member)).collect();
        sort_for_readers(&mut members, |member| member.entry.labels());
        let fingerprints = members.iter().map(|member| member.entry.fingerprint()).collect();
        let mut alerts = Vec::with_capacity(members.len());
        for member in members {
            let mut alert = member.entry.alert();
            let mut fact = Fact::of(&alert, member.hash, now);
            fact.history = member.history_in(fact.period);
            fact.held = fact.resolved && !fact.explicit && !alert.resolved_at(now - delta(hold));
            fact.resolved &= !fact.held;
            if !fact.resolved {
                // It must not resolve while it is on its way.
                alert.ends_at = None;
            }
            alerts.push((fact, alert));
        }
        Batch { group: group.clone(), route: state.route.clone(), now, tick, alerts, fingerprints }
    }

    /// What this integration is to be told out of the batch.
    pub fn content(&self, ready: &Ready, seen: Option<Arc<LogEntry>>, external_url: &Arc<str>) -> Content {
        let terms = terms(&self.route, ready);
        let reason = owed::due(seen.as_deref(), self.alerts.iter().map(|(fact, _)| fact), terms, self.tick);
        let mut content = Content {
            reason,
            notification: self.notification(ready, reason, seen.as_deref(), external_url),
            unspoken: false,
            due: owed::due_at(self.tick, self.now, terms.group_interval),
            firing: Vec::new(),
            resolved: Vec::new(),
            known: Vec::new(),
            seen,
        };
        if reason.is_some() {
            self.fill(&mut content, terms);
        }
        self.trace(&content, ready);
        content
    }

    /// Why it is owed or not, alert by alert: for whoever searches a fault.
    fn trace(&self, content: &Content, ready: &Ready) {
        if !tracing::enabled!(tracing::Level::TRACE) {
            return;
        }
        for (fact, alert) in &self.alerts {
            let told = content.seen.as_deref().and_then(|entry| entry.told(fact.hash));
            tracing::trace!(at = %self.now, integration = ?ready.lane, reason = ?content.reason, labels = ?alert.labels, ?fact, ?told, "owed");
        }
    }

    fn notification(
        &self,
        ready: &Ready,
        reason: Option<Reason>,
        seen: Option<&LogEntry>,
        external_url: &Arc<str>,
    ) -> Notification {
        let memory = match reason {
            None | Some(Reason::FirstNotification) => Memory::new(),
            Some(_) => seen.map(|entry| entry.memory.clone()).unwrap_or_default(),
        };
        Notification {
            group_key: self.group.key.clone(),
            receiver: ready.lane.receiver.clone(),
            group_labels: self.group.labels.clone(),
            route_labels: Labels::default(),
            alerts: Vec::new(),
            fingerprints: Vec::new(),
            reason: reason.unwrap_or(Reason::None),
            now: self.now,
            external_url: external_url.clone(),
            memory,
        }
    }

    fn fill(&self, content: &mut Content, terms: Terms) {
        let seen = content.seen.clone();
        content.notification.alerts.reserve(self.alerts.len());
        content.notification.fingerprints.reserve(self.alerts.len());
        content.firing.reserve(self.alerts.len());
        for ((fact, alert), fingerprint) in self.alerts.iter().zip(&self.fingerprints) {
            let fact = &owed::with_known_end(seen.as_deref(), fact);
            if owed::standing_in(seen.as_deref(), fact, terms.group_wait) == Standing::LeftOut {
                if let (true, true, Some(ends_at)) = (fact.resolved, fact.explicit, fact.end_for_log()) {
                    let (alert, period) = (fact.hash, fact.period);
                    content.known.push(End { alert, period, explicit: true, ends_at });
                }
                continue;
            }
            if !fact.resolved {
                content.firing.push((fact.hash, fact.period));
            } else if let Some(ends_at) = fact.end_for_log() {
                let (alert, period, explicit) = (fact.hash, fact.period, fact.explicit);
                content.resolved.push(End { alert, period, explicit, ends_at });
            }
            if terms.send_resolved || !fact.resolved {
                // As it is known to be by now, which may be over although this copy fires.
                let ends_at = if fact.resolved { fact.ends_at } else { alert.ends_at };
                content.notification.alerts.push(Alert { ends_at, ..alert.clone() });
                content.notification.fingerprints.push(*fingerprint);
            }
        }
        content.unspoken = content.notification.alerts.is_empty();
        if !self.route.route.labels.is_empty() {
            content.notification.route_labels = self.route_labels(&content.notification);
        }
    }

    /// The route's labels, rendered over the whole batch.
    fn route_labels(&self, notification: &Notification) -> Labels {
        let whole = Notification {
            alerts: self.alerts.iter().map(|(_, alert)| alert.clone()).collect(),
            fingerprints: self.fingerprints.clone(),
            reason: Reason::Unknown,
            ..notification.clone()
        };
        let configured: Vec<(&str, &str)> =
            self.route.route.labels.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let (labels, errors) = self.route.templates.route_labels(&configured, &Data::from_notification(&whole));
        for (name, error) in errors {
            tracing::error!(component = "dispatcher", route = %self.route.route.id, label = name, err = %error,
                "route label cannot be rendered");
        }
        labels
    }
}

impl Content {
    /// How often the log entry says that something was told.
    pub fn tells(&self) -> u64 {
        self.seen.as_deref().map_or(0, |entry| entry.tells)
    }

    /// The alerts that are told or written down with it.
    pub fn hashes(&self) -> impl Iterator<Item = AlertHash> {
        let firing = self.firing.iter().map(|(hash, _)| *hash);
        firing.chain(self.resolved.iter().map(|end| end.alert))
    }

    /// The alerts that are told or written down with it: firing and resolved.
    pub fn told(&self) -> (Vec<AlertHash>, Vec<AlertHash>) {
        let firing = self.firing.iter().map(|(hash, _)| *hash).collect();
        (firing, self.resolved.iter().map(|end| end.alert).collect())
    }

    /// The record of having told it.
    pub fn tell(self, sent: Time, done: Time, memory: Option<Memory>, route: &RouteInfo) -> Tell {
        Tell {
            seen: self.seen,
            due: self.due,
            sent,
            done,
            firing: self.firing,
            resolved: self.resolved,
            known: self.known,
            memory,
            repeat_interval: route.route.repeat_interval,
        }
    }
}
