//! How alerts find their groups: one by one as they come, and all at once at the start and at a reload.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

use super::{
    Engine, content,
    core::GroupId,
    group::{Group, GroupState, Rhythm},
    members::{Members, Memory},
    plan::{Epoch, RouteInfo},
    rhythm::{self, Beginning},
    tree::{self, RouteIndex},
};
use crate::{
    alert::{Alert, Entry, Fingerprint, text},
    clock::Time,
    nflog::{AlertHash, LogKey},
    notify::owed::{self, Fact},
};

/// Why an alert is being placed.
#[derive(Clone, Copy)]
enum Occasion<'a> {
    /// It is new or changed.
    Event,
    /// The process begins: what is owed is told by the log and by times.
    Start,
    /// The configuration is new: what is owed is known from the groups that went on or ended.
    Reload(&'a Ended),
}

/// What the groups that end with their route remembered of their alerts.
type Ended = HashMap<Fingerprint, Memory>;

impl Engine {
    /// The alert takes its place in the groups of its routes.
    pub(super) fn place(&self, epoch: &Epoch, entry: &Arc<Entry>) {
        for index in &epoch.router.paths_of(entry.fingerprint(), entry.labels()).routes {
            self.join(epoch, *index, entry, Occasion::Event);
        }
    }

    fn join(&self, epoch: &Epoch, index: RouteIndex, entry: &Arc<Entry>, occasion: Occasion<'_>) {
        let Some(route) = epoch.route(index) else { return };
        let id = (index, tree::group_fingerprint(&route.route, entry.labels()));
        loop {
            let known = self.core().groups.get(&id).cloned();
            let Some(group) = known else {
                if self.found(epoch, route, id, entry, occasion) {
                    return;
                }
                continue;
            };
            let mut state = group.lock();
            if state.gone {
                // It ended between the look-up and the lock, and is out of the map by now.
                continue;
            }
            if state.members.contains(entry.fingerprint()) {
                state.take_in(entry, epoch.number, Memory::default());
                return;
            }
            let (alert, now) = (entry.alert(), self.clock.now());
            if self.belongs(&group, route, entry, &alert, now, occasion) {
                state.take_in(entry, epoch.number, remembered(occasion, entry));
                if matches!(occasion, Occasion::Event) {
                    self.record_grouped(&group, route, entry);
                } else {
                    self.hasten(&group, &mut state, &alert, now);
                }
            }
            return;
        }
    }

    /// While all alerts are loaded at once, the one that is due first decides when a new group begins.
    fn hasten(&self, group: &Arc<Group>, state: &mut GroupState, alert: &Alert, now: Time) {
        let tick = beginning(&state.route, alert, now, None);
        let is_new = state.rhythm == Rhythm::Own && !state.has_looked;
        if is_new && tick < state.tick {
            self.begin(group, state, tick);
        }
    }

    /// The group's first look is at `tick`. The start may be held back; a grid of its own begins with that look.
    fn begin(&self, group: &Arc<Group>, state: &mut GroupState, tick: Time) {
        self.schedule(group, state, tick);
        state.anchor = if state.rhythm == Rhythm::Told { tick } else { state.tick };
    }

    /// Whether the alert has a place in a group that does not hold it. A resolved one that was there before
    /// the group has it only if its end is still to be told.
    fn belongs(
        &self,
        group: &Group,
        route: &RouteInfo,
        entry: &Entry,
        alert: &Alert,
        now: Time,
        occasion: Occasion<'_>,
    ) -> bool {
        !alert.resolved_at(now)
            || match occasion {
                Occasion::Event => true,
                Occasion::Start => self.has_debt(group, route, entry, alert, now),
                Occasion::Reload(ended) => ended.contains_key(&entry.fingerprint()),
            }
    }

    /// Makes the group with this alert in it. `false`: somebody else was faster.
    fn found(
        &self,
        epoch: &Epoch,
        route: &Arc<RouteInfo>,
        id: GroupId,
        entry: &Arc<Entry>,
        occasion: Occasion<'_>,
    ) -> bool {
        let labels = tree::group_labels(&route.route, entry.labels());
        let key: Arc<str> = format!("{}:{}", route.route.key, text::label_set(&labels)).into();
        let (alert, now) = (entry.alert(), self.clock.now());
        let state = GroupState {
            route: route.clone(),
            members: Members::default(),
            tick: now,
            wake: self.clock.monotonic(),
            anchor: now,
            rhythm: Rhythm::Unknown,
            has_looked: false,
            looks: 0,
            muted_by: Vec::new(),
            runs: Vec::new(),
            route_labels: crate::alert::Labels::default(),
            gone: false,
        };
        let number = self.founded.fetch_add(1, Ordering::Relaxed);
        let group = Arc::new(Group::new(id.1, labels, key, number, state));
        if !self.belongs(&group, route, entry, &alert, now, occasion) {
            return true;
        }
        let mut state = group.lock();
        state.take_in(entry, epoch.number, remembered(occasion, entry));
        {
            let mut core = self.core();
            if core.groups.contains_key(&id) {
                return false;
            }
            core.groups.insert(id, group.clone());
            self.count_groups(&core);
        }
        // One new alert does not ask the log: the first look will.
        let told_at = if matches!(occasion, Occasion::Event) { None } else { self.told_at(&group, route) };
        state.rhythm = match (occasion, told_at) {
            (Occasion::Event, _) => Rhythm::Unknown,
            (_, None) => Rhythm::Own,
            (_, Some(_)) => Rhythm::Told,
        };
        self.begin(&group, &mut state, beginning(route, &alert, now, told_at));
        if matches!(occasion, Occasion::Event) {
            self.record_grouped(&group, route, entry);
        }
        true
    }

    /// The tick at which the group was last told, if a receiver still believes that something in it fires.
    fn told_at(&self, group: &Group, route: &RouteInfo) -> Option<Time> {
        let entries = route.integrations.iter().filter_map(|ready| self.nflog.peek(&ready.log_key(&group.key)));
        entries.filter(|entry| owed::says_firing(entry)).map(|entry| entry.due_at).max()
    }

    /// Whether this resolved alert is still to be told to some integration.
    fn has_debt(&self, group: &Group, route: &RouteInfo, entry: &Entry, alert: &Alert, now: Time) -> bool {
        let mut fact = Fact::of(alert, AlertHash::of(entry.labels()), now);
        // Nobody remembers whether it was muted by an interval while it fired; its end tells.
        fact.muted = alert.ends_at.is_some_and(|end| route.intervals.muting(end).is_some());
        route.integrations.iter().any(|ready| {
            let told = self.nflog.peek(&ready.log_key(&group.key));
            owed::keeps(told.as_deref(), &fact, content::terms(route, ready), false)
        })
    }

    /// All alerts anew, under a new configuration. Groups whose route goes on keep their alerts, their rhythm and
    /// what is under way; the others end, and what they owed is found again by those that take their place.
    pub(super) fn load(&self, epoch: &Epoch, alerts: &[Arc<Entry>], begins: bool) {
        let (kept, ended) = self.carry_over(epoch);
        let occasion = if begins { Occasion::Start } else { Occasion::Reload(&ended) };
        // Every source first: nothing that is inhibited may be told.
        for entry in alerts {
            epoch.inhibitor.observe(entry);
        }
        for entry in alerts {
            for index in &epoch.router.paths_of(entry.fingerprint(), entry.labels()).routes {
                self.join(epoch, *index, entry, occasion);
            }
        }
        for group in kept {
            let mut state = group.lock();
            state.members.retain(|member| member.routed == epoch.number);
            if state.members.is_empty() {
                self.end(&group, &mut state);
            }
        }
        self.adopt();
        self.count_groups(&self.core());
    }

    /// Deliveries whose group ended go on with the group that has taken its place.
    fn adopt(&self) {
        let under_way: Vec<(LogKey, Arc<Group>)> =
            self.core().deliveries.iter().map(|(key, delivery)| (key.clone(), delivery.group.clone())).collect();
        let orphans: Vec<LogKey> =
            under_way.into_iter().filter(|(_, group)| group.lock().gone).map(|(key, _)| key).collect();
        if orphans.is_empty() {
            return;
        }
        let groups: Vec<Arc<Group>> = self.core().groups.values().cloned().collect();
        let name = |group: &Arc<Group>| (group.key.clone(), group.lock().route.receiver.name.clone());
        let by_name: HashMap<_, _> = groups.iter().map(|group| (name(group), group)).collect();
        let mut core = self.core();
        for key in orphans {
            let heir = by_name.get(&(key.group_key.clone(), key.receiver.clone()));
            if let (Some(heir), Some(delivery)) = (heir, core.deliveries.get_mut(&key)) {
                delivery.group = Arc::clone(heir);
            }
        }
    }

    fn carry_over(&self, epoch: &Epoch) -> (Vec<Arc<Group>>, Ended) {
        let old: Vec<Arc<Group>> = std::mem::take(&mut self.core().groups).into_values().collect();
        let mut successors: HashMap<RouteIndex, Option<Arc<RouteInfo>>> = HashMap::new();
        let (mut kept, mut ended) = (Vec::new(), Ended::new());
        for group in old {
            let mut state = group.lock();
            if state.gone {
                continue;
            }
            let successor =
                successors.entry(state.route.index).or_insert_with(|| epoch.successor(&state.route).cloned()).clone();
            let Some(route) = successor else {
                state.gone = true;
                for member in state.members.iter() {
                    let memory = ended.entry(member.entry.fingerprint()).or_default();
                    *memory = (*memory).max(member.memory());
                }
                continue;
            };
            self.core().groups.insert((route.index, group.fingerprint), group.clone());
            let interval = route.route.group_interval;
            let other_rhythm = interval != state.route.route.group_interval;
            state.route = route;
            // Its integrations may stand elsewhere.
            state.runs.clear();
            if other_rhythm {
                let soon = rhythm::next_after(state.anchor, self.clock.now(), interval);
                let tick = state.tick.min(soon);
                self.schedule(&group, &mut state, tick);
            }
            drop(state);
            kept.push(group);
        }
        (kept, ended)
    }
}

/// The first tick of a group that begins with this alert.
fn beginning(route: &RouteInfo, alert: &Alert, now: Time, told_at: Option<Time>) -> Time {
    rhythm::first_tick(&Beginning {
        now,
        told_at,
        starts_at: alert.starts_at,
        accepted_at: alert.accepted_at,
        group_wait: route.route.group_wait,
        group_interval: route.route.group_interval,
    })
}

fn remembered(occasion: Occasion<'_>, entry: &Entry) -> Memory {
    match occasion {
        Occasion::Reload(ended) => ended.get(&entry.fingerprint()).copied().unwrap_or_default(),
        Occasion::Event | Occasion::Start => Memory::default(),
    }
}
