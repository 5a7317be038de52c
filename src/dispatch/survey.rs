//! Groups, routes and debts as they are at one moment, for people who look. Nothing is changed here.

use std::sync::Arc;

use super::{Dispatcher, Engine, core::Stage, group::Group, plan::Ready};
use crate::{
    alert::{Entry, Fingerprint, Labels},
    clock::{Time, delta},
    config::model::{Receiver, Route},
    nflog::{AlertHash, LogEntry, Writer},
    notify::{mute::Suppression, peer::claims},
};

/// A group as somebody sees it who asks why things are as they are. Its alerts are in no order.
#[derive(Clone)]
pub struct GroupLook {
    pub key: Arc<str>,
    /// Place of the route in the depth-first order of its tree.
    pub route_index: usize,
    pub route: Arc<Route>,
    pub receiver: Arc<Receiver>,
    pub labels: Labels,
    /// Resolved ones that are still owed are among them.
    pub entries: Vec<Arc<Entry>>,
    pub next_look: Time,
    /// Some tick has passed.
    pub has_looked: bool,
    /// What mutes the route at the moment asked for, with the names of the intervals.
    pub muted_by: Option<(Suppression, Vec<Arc<str>>)>,
    group: Arc<Group>,
}

/// How one integration stands with one group.
#[derive(Clone, Debug, PartialEq)]
pub struct Hearing {
    /// `webhook`, and its place among the integrations of that kind.
    pub kind: &'static str,
    pub index: usize,
    /// The last notification that was answered, and who sent it.
    pub told: Option<(Time, Writer)>,
    /// It believes that something fires.
    pub is_open: bool,
    pub debt: Option<Debt>,
    /// Names of the nodes in the order of their turns; empty without a cluster.
    pub order: Vec<Arc<str>>,
    /// Another node's hand on it.
    pub holder: Option<(Arc<str>, claims::Phase)>,
    /// Of the alert that was asked for: when the receiver was last told that it fires, and that it is over.
    pub fired: Option<Time>,
    pub resolved: Option<Time>,
}

/// What is owed and being worked on.
#[derive(Clone, Debug, PartialEq)]
pub struct Debt {
    pub since: Time,
    /// Attempts that failed since the last success.
    pub failures: u32,
    pub error: Option<String>,
    pub next_try: Option<Time>,
    pub is_running: bool,
}

impl Dispatcher {
    /// All groups, in no order. Waits while a configuration is loaded.
    #[must_use]
    pub fn survey(&self, now: Time) -> Vec<GroupLook> {
        let epoch = self.0.read_epoch();
        let groups: Vec<Arc<Group>> = self.0.core().groups.values().cloned().collect();
        drop(epoch);
        groups.into_iter().filter_map(|group| GroupLook::of(group, now)).collect()
    }

    /// How each integration of the group's receiver stands with it, in the order of the configuration.
    #[must_use]
    pub fn hearings(&self, look: &GroupLook) -> Vec<Hearing> {
        self.hearings_of(look, None)
    }

    /// The same, with what was said of one alert.
    #[must_use]
    pub fn hearings_of(&self, look: &GroupLook, alert: Option<&Labels>) -> Vec<Hearing> {
        let integrations = look.group.lock().route.integrations.clone();
        let hash = alert.map(AlertHash::of);
        integrations.iter().map(|ready| self.0.hearing(look, ready, hash)).collect()
    }

    /// The routes that an alert of these labels takes: places in the depth-first order of the tree.
    #[must_use]
    pub fn routes_of(&self, labels: &Labels) -> Vec<usize> {
        self.0.read_epoch().router.walk(labels).into_iter().map(|index| index.0 as usize).collect()
    }
}

impl GroupLook {
    /// A number for the group that stays as long as it lives: of its key and its receiver.
    #[must_use]
    pub fn id(&self) -> Fingerprint {
        crate::alert::fingerprint_of([(&*self.key, &*self.receiver.name)].into_iter())
    }

    fn of(group: Arc<Group>, now: Time) -> Option<Self> {
        let state = group.lock();
        if state.gone {
            return None;
        }
        let look = GroupLook {
            key: group.key.clone(),
            route_index: state.route.index.0 as usize,
            route: state.route.route.clone(),
            receiver: state.route.receiver.clone(),
            labels: group.labels.clone(),
            entries: state.members.iter().map(|member| member.entry.clone()).collect(),
            next_look: state.tick,
            has_looked: state.has_looked,
            muted_by: state.route.intervals.muting(now),
            group: group.clone(),
        };
        drop(state);
        Some(look)
    }
}

impl Engine {
    fn hearing(&self, look: &GroupLook, ready: &Ready, alert: Option<AlertHash>) -> Hearing {
        let key = ready.log_key(&look.key);
        let entry = self.nflog.peek(&key);
        let (now, instant) = (self.clock.now(), self.clock.monotonic());
        let debt = self.core().deliveries.get(&key).map(|delivery| {
            let next_try = match delivery.stage {
                Stage::Asleep(until) => Some(now + delta(until.saturating_duration_since(instant))),
                Stage::Waiting | Stage::Running => None,
            };
            Debt {
                since: now - delta(instant.saturating_duration_since(delivery.since)),
                failures: delivery.failures.count(),
                error: delivery.failures.last_text().map(str::to_owned),
                next_try,
                is_running: delivery.stage == Stage::Running,
            }
        });
        let tells = entry.as_deref().map_or(0, |entry| entry.tells);
        let words = entry.as_deref().zip(alert).and_then(|(entry, alert)| entry.told(alert));
        Hearing {
            kind: ready.lane.kind,
            index: ready.lane.index,
            told: entry.as_deref().filter(|entry| entry.tells > 0).map(|entry| (entry.told_at, last_writer(entry))),
            is_open: entry.as_deref().is_some_and(LogEntry::is_open),
            debt,
            order: self.peer.order(&key, tells),
            holder: self.peer.holder(&key, tells),
            fired: words.and_then(|told| told.fired).map(|word| word.done),
            resolved: words.and_then(|told| told.resolved.as_deref()).map(|word| word.done),
        }
    }
}

/// Who said the last word of the entry.
pub(super) fn last_writer(entry: &LogEntry) -> Writer {
    let words = entry.all_told().flat_map(|(_, told)| {
        let fired = told.fired.as_ref().map(|word| (word.done, word.writer));
        let resolved = told.resolved.as_ref().map(|word| (word.done, word.writer));
        [fired, resolved]
    });
    words.flatten().max_by_key(|(done, _)| *done).map_or(Writer::UNKNOWN, |(_, writer)| writer)
}
