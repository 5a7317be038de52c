//! One aggregation group: its alerts, its route, and when it looks next. Data under a lock; what is done with
//! it is in `flush` and `engine`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::{
    members::{AlertState, Member, Members, Memory},
    plan::RouteInfo,
};
use crate::{
    alert::{Entry, Fingerprint, Labels},
    clock::Time,
    config::model::Receiver,
    decisions::{Group as Named, Run},
    notify::peer::{Life, Mark},
};

pub(super) struct Group {
    /// Of the group labels.
    pub fingerprint: Fingerprint,
    pub labels: Labels,
    /// `<route key>:<group labels>`, the name in the notification log and in payloads.
    pub key: Arc<str>,
    /// No other group of this node has or had it.
    pub number: u64,
    /// As the decision log names it.
    pub named: Mutex<Option<Arc<Named>>>,
    state: Mutex<GroupState>,
}

pub(super) struct GroupState {
    pub route: Arc<RouteInfo>,
    pub members: Members,
    /// When the group looks next, by the wall clock …
    pub tick: Time,
    /// … and by the monotonic one; the queue's slot of another moment is out of date.
    pub wake: Instant,
    /// A moment of the grid of ticks.
    pub anchor: Time,
    pub rhythm: Rhythm,
    pub has_looked: bool,
    /// How often it has looked.
    pub looks: u64,
    /// Names of the intervals that muted the route at the last look.
    pub muted_by: Vec<Arc<str>>,
    /// What was decided last, and how often: for all integrations at once, then for each.
    pub runs: Vec<Run>,
    /// As rendered for the last notification.
    pub route_labels: Labels,
    /// Empty and out of the map: whoever still holds it starts over.
    pub gone: bool,
}

/// Where the grid of a group's ticks comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rhythm {
    /// From its first alert, and the log was not asked yet whether there was another one before.
    Unknown,
    /// From its first alert.
    Own,
    /// From the last notification that is in the log.
    Told,
}

impl Group {
    pub fn new(fingerprint: Fingerprint, labels: Labels, key: Arc<str>, number: u64, state: GroupState) -> Self {
        Group { fingerprint, labels, key, number, named: Mutex::default(), state: Mutex::new(state) }
    }

    pub fn lock(&self) -> MutexGuard<'_, GroupState> {
        // A panic while it is held leaves valid members and a valid tick: each is assigned as a whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GroupState {
    /// The run of the integration at this place; `None`: of all of them.
    pub fn run(&mut self, place: Option<usize>) -> &mut Run {
        let place = place.map_or(0, |place| place + 1);
        if self.runs.len() <= place {
            self.runs.resize_with(place + 1, Run::default);
        }
        &mut self.runs[place]
    }

    /// How each alert stands, for peers to compare with their own.
    pub fn marks(&self, now: Time) -> Vec<Mark> {
        let mark = |member: &Member| {
            let alert = member.entry.lock();
            let state = Life::of(alert.explicit, alert.ends_at, now);
            Mark { alert: member.entry.fingerprint(), period: alert.period, state }
        };
        self.members.iter().map(mark).collect()
    }

    /// The alert belongs here under the configuration `routed`; `memory` is what another group knew of it.
    pub fn take_in(&mut self, entry: &Arc<Entry>, routed: u64, memory: Memory) {
        match self.members.get_mut(entry.fingerprint()) {
            Some(member) => {
                member.routed = routed;
                if !Arc::ptr_eq(&member.entry, entry) {
                    member.entry = entry.clone();
                }
            }
            None => self.members.push(Member::new(entry.clone(), routed, memory)),
        }
    }
}

/// A group as the API shows it.
#[derive(Clone, Debug)]
pub struct GroupView {
    pub key: Arc<str>,
    pub labels: Labels,
    pub receiver: Arc<Receiver>,
    pub route_labels: Labels,
    /// Names of the time intervals that muted the group at its last look.
    pub muted_by: Vec<Arc<str>>,
    /// In the order of notifications: by job, then instance, then all labels. Resolved ones that are still owed
    /// are among them.
    pub alerts: Vec<GroupAlert>,
}

/// An alert of a group as the API shows it.
#[derive(Clone, Debug)]
pub struct GroupAlert {
    pub entry: Arc<Entry>,
    pub state: AlertState,
}

impl GroupView {
    pub(super) fn of(group: &Group) -> Option<Self> {
        let state = group.lock();
        if state.gone {
            return None;
        }
        let mut alerts: Vec<GroupAlert> =
            state.members.iter().map(|m| GroupAlert { entry: m.entry.clone(), state: m.state }).collect();
        let view = GroupView {
            key: group.key.clone(),
            labels: group.labels.clone(),
            receiver: state.route.receiver.clone(),
            route_labels: state.route_labels.clone(),
            muted_by: state.muted_by.clone(),
            alerts: Vec::new(),
        };
        drop(state);
        sort_for_readers(&mut alerts, |alert| alert.entry.labels());
        Some(GroupView { alerts, ..view })
    }
}

/// Sorts by the labels `job`, then `instance` (alerts that have the label come first), then by all labels.
pub(super) fn sort_for_readers<T>(items: &mut Vec<T>, labels: impl Fn(&T) -> &Labels) {
    if items.len() < 2 {
        return;
    }
    let order = {
        let mut keys: Vec<_> = items
            .iter()
            .enumerate()
            .map(|(place, item)| {
                let labels = labels(item);
                let (job, instance) = (labels.get("job"), labels.get("instance"));
                ((job.is_none(), job, instance.is_none(), instance, labels), place)
            })
            .collect();
        keys.sort_unstable();
        keys.into_iter().map(|(_, place)| place).collect::<Vec<_>>()
    };
    let mut taken: Vec<Option<T>> = items.drain(..).map(Some).collect();
    items.extend(order.into_iter().filter_map(|place| taken.get_mut(place).and_then(Option::take)));
}
