//! Routing, grouping and the rhythm of groups.
//!
//! An alert enters by [`Dispatcher::observe`], finds its routes (a tree walked once for each alert, then
//! remembered), and becomes a member of one aggregation group for each. A refresh of an alert is no event:
//! groups hold the alert's one [`Entry`] and read it when they come round. Groups are plain data; one queue
//! of times, driven by one task, brings each group up at its tick. At a tick the group looks at what it owes
//! to each integration and hands that to bounded, fair work (`notify::lanes`); what fails is tried again
//! from the same queue.
//!
//! Nothing here knows HTTP, disks or gossip; rules of delivery are `notify`'s.
//!
//! Locks: a group's lock may be held while taking the core's, never the other way round; the locks of
//! entries, log, silences and inhibitor are leaves. The configuration (`epoch`) is read-locked by whoever
//! places alerts or looks at groups, and write-locked while all alerts are routed anew.

mod chronicle;
mod content;
mod core;
mod deliver;
mod flush;
mod group;
mod load;
mod members;
mod plan;
mod queue;
mod recording;
mod rhythm;
mod survey;
mod traced;
mod tree;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic::AtomicU64,
    },
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
    time::Instant,
};

use self::{
    core::{Core, Event},
    group::Group,
    plan::Epoch,
};
pub use self::{
    group::{GroupAlert, GroupView},
    members::AlertState,
    plan::Plan,
    survey::{Debt, GroupLook, Hearing},
};
use crate::{
    alert::{Change, Entry, Fingerprint, Labels},
    clock::Clock,
    decisions::Decisions,
    events::Events,
    metrics::Metrics,
    nflog::{LogKey, Nflog},
    notify::Peer,
    otlp::{self, Tracer},
    random::Random,
    silence::Silences,
};

/// So many things are brought up in one go before other tasks get a chance.
const EVENTS_IN_A_ROW_MAX: usize = 8;

/// What the dispatcher works with, whatever the configuration.
pub struct DispatcherParts {
    pub clock: Clock,
    pub random: Random,
    pub metrics: Arc<Metrics>,
    pub nflog: Arc<Nflog>,
    pub silences: Arc<Silences>,
    pub peer: Peer,
    pub decisions: Decisions,
    pub events: Events,
    pub tracer: Tracer,
    /// `--web.external-url` without a trailing slash.
    pub external_url: Arc<str>,
    /// Process start plus `--dispatch.start-delay`: no group looks before it.
    pub start_at: Instant,
}

/// See the module's head. Cheap to clone; all clones are one dispatcher.
#[derive(Clone)]
pub struct Dispatcher(Arc<Engine>);

struct Engine {
    clock: Clock,
    random: Random,
    metrics: Arc<Metrics>,
    nflog: Arc<Nflog>,
    silences: Arc<Silences>,
    peer: Peer,
    decisions: Decisions,
    events: Events,
    tracer: Tracer,
    /// Numbers for new groups; begins with the moment, so that a restart repeats none.
    founded: AtomicU64,
    external_url: Arc<str>,
    start_at: Instant,
    epoch: RwLock<Epoch>,
    core: Mutex<Core>,
    /// The queue has a new first, or the dispatcher was stopped.
    wake: Notify,
    /// No attempt is under way any more.
    idle: Notify,
    abandon: watch::Sender<bool>,
    /// Set when the dispatcher runs.
    runtime: OnceLock<Handle>,
}

impl Dispatcher {
    /// Nothing is dispatched before [`Dispatcher::start`], but the configuration's series and gauges exist.
    #[must_use]
    pub fn new(parts: DispatcherParts, plan: &Plan) -> Self {
        let epoch = Epoch::new(plan, 1, &parts.metrics);
        let born = parts.clock.now().timestamp_nanos_opt();
        Dispatcher(Arc::new(Engine {
            clock: parts.clock,
            random: parts.random,
            metrics: parts.metrics,
            nflog: parts.nflog,
            silences: parts.silences,
            peer: parts.peer,
            decisions: parts.decisions,
            events: parts.events,
            tracer: parts.tracer,
            founded: AtomicU64::new(born.unwrap_or_default().cast_unsigned()),
            external_url: parts.external_url,
            start_at: parts.start_at,
            epoch: RwLock::new(epoch),
            core: Mutex::default(),
            wake: Notify::new(),
            idle: Notify::new(),
            abandon: watch::channel(false).0,
            runtime: OnceLock::new(),
        }))
    }

    /// Shows the alerts that exist already (those restored from disk) to the inhibitor, routes them, and begins to
    /// run groups on the current tokio runtime.
    pub fn start(&self, alerts: &dyn Fn() -> Vec<Arc<Entry>>) {
        let epoch = self.0.write_epoch();
        self.0.load(&epoch, &alerts(), true);
        drop(epoch);
        if self.0.runtime.set(Handle::current()).is_ok() {
            tokio::spawn(self.0.clone().run());
        }
    }

    /// Takes in what a batch of alerts changed in the store. Refreshes need no event and are passed over.
    pub fn observe(&self, changes: &[(Arc<Entry>, Change)]) {
        let began = self.0.clock.monotonic();
        let epoch = self.0.read_epoch();
        let mut placed = 0u64;
        let mut span = otlp::Span::default();
        for (entry, _) in changes.iter().filter(|(_, change)| *change != Change::Refreshed) {
            if placed == 0 {
                span = otlp::child("dispatch.Dispatcher.routeAlert");
            }
            self.0.place(&epoch, entry);
            placed += 1;
        }
        if placed > 0 {
            span.set("alerting.alerts.count", usize::try_from(placed).unwrap_or(usize::MAX));
            let took = self.0.clock.monotonic().saturating_duration_since(began);
            self.0.metrics.dispatcher_alert_processing_duration_seconds.observe_many(placed, took);
        }
    }

    /// A new configuration. `alerts` lists the store; it is asked when no alert can slip through between, and all
    /// are shown to the new inhibitor first. Posts should reach that inhibitor from before this call on.
    /// Groups whose route did not change keep their rhythm and what is under way.
    pub fn reload(&self, plan: &Plan, alerts: &dyn Fn() -> Vec<Arc<Entry>>) {
        let mut epoch = self.0.write_epoch();
        *epoch = Epoch::new(plan, epoch.number + 1, &self.0.metrics);
        self.0.load(&epoch, &alerts(), false);
        drop(epoch);
        // What failed may have been mended by the new configuration.
        if self.0.core().wake_sleepers(self.0.clock.monotonic()) {
            self.0.wake.notify_one();
        }
    }

    /// These alerts were dropped from the store.
    pub fn forget(&self, fingerprints: &[Fingerprint]) {
        self.0.read_epoch().router.forget(fingerprints);
    }

    /// Whether some group still holds the alert: a resolved one that it holds has to be told yet.
    #[must_use]
    pub fn still_owed(&self, entry: &Entry) -> bool {
        let epoch = self.0.read_epoch();
        let paths = epoch.router.paths_of(entry.fingerprint(), entry.labels());
        paths.routes.iter().filter_map(|index| epoch.route(*index)).any(|route| {
            let id = (route.index, tree::group_fingerprint(&route.route, entry.labels()));
            let group = self.0.core().groups.get(&id).cloned();
            group.is_some_and(|group| group.lock().members.contains(entry.fingerprint()))
        })
    }

    /// The alerts of the group of this key, if the group has its place where the peer says, or `None`.
    #[must_use]
    pub fn members_of(&self, route: usize, group: Fingerprint, key: &LogKey) -> Option<Vec<Arc<Entry>>> {
        let index = tree::RouteIndex(u32::try_from(route).ok()?);
        let group = self.0.core().groups.get(&(index, group)).cloned()?;
        if group.key != key.group_key {
            return None;
        }
        let state = group.lock();
        Some(state.members.iter().map(|member| member.entry.clone()).collect())
    }

    /// Whatever waits for others with this key decides anew.
    pub fn look_again(&self, key: &LogKey) {
        self.0.look_again(key);
    }

    /// The receivers of the alert's routes in tree order, repetitions included.
    #[must_use]
    pub fn receivers_of(&self, fingerprint: Fingerprint, labels: &Labels) -> Arc<[Arc<str>]> {
        self.0.read_epoch().router.paths_of(fingerprint, labels).receivers.clone()
    }

    /// All groups with their alerts, sorted by labels, then by receiver. Waits while a configuration is loaded.
    #[must_use]
    pub fn groups(&self) -> Vec<GroupView> {
        let epoch = self.0.read_epoch();
        let groups: Vec<Arc<Group>> = self.0.core().groups.values().cloned().collect();
        drop(epoch);
        let mut views: Vec<GroupView> = groups.iter().filter_map(|group| GroupView::of(group)).collect();
        views.sort_by(|a, b| (&a.labels, &a.receiver.name, &a.key).cmp(&(&b.labels, &b.receiver.name, &b.key)));
        views
    }

    /// Gives back the memory of groups and alerts that are gone, every `--dispatch.maintenance-interval`. Nothing
    /// else waits for it: a group ends when its last alert leaves.
    pub fn maintain(&self) {
        self.0.read_epoch().router.shrink();
        self.0.core().shrink();
    }

    /// Sets `alertmanager_alerts`, once groups run: to be called before a scrape.
    pub fn count_alerts(&self) {
        if self.0.runtime.get().is_none() || self.0.clock.monotonic() < self.0.start_at {
            return;
        }
        let now = self.0.clock.now();
        let groups: Vec<Arc<Group>> = self.0.core().groups.values().cloned().collect();
        let gauge = &self.0.metrics.alerts;
        if self.0.metrics.options().group_key {
            gauge.reset();
            for group in groups {
                let mut states = States::default();
                group.lock().members.iter().filter(|m| !m.entry.resolved_at(now)).for_each(|m| states.add(m.state));
                states.each(|state, count| gauge.with_label_values(&[&*group.key, state]).set(count));
            }
            return;
        }
        // An alert may be in several groups: the strongest state counts.
        let mut by_alert: HashMap<Fingerprint, AlertState> = HashMap::new();
        for group in groups {
            for member in group.lock().members.iter().filter(|m| !m.entry.resolved_at(now)) {
                let known = by_alert.entry(member.entry.fingerprint()).or_insert(member.state);
                *known = (*known).max(member.state);
            }
        }
        let mut states = States::default();
        by_alert.into_values().for_each(|state| states.add(state));
        states.each(|state, count| gauge.with_label_values(&[state]).set(count));
    }

    /// No tick and no attempt begins from now on. Returns when those under way are done, or after `grace`, when
    /// what is left is abandoned; every one of them is a line in the log.
    pub async fn shutdown(&self, grace: Duration) {
        self.0.core().stopped = true;
        self.0.wake.notify_one();
        if tokio::time::timeout(grace, self.0.until_idle()).await.is_err() {
            let _ = self.0.abandon.send(true);
            // Dropping a request takes no time; the limit is for a task that cannot be interrupted.
            let _ = tokio::time::timeout(Duration::from_secs(1), self.0.until_idle()).await;
        }
    }
}

#[derive(Default)]
struct States([i64; 3]);

impl States {
    fn add(&mut self, state: AlertState) {
        self.0[state as usize] += 1;
    }

    fn each(&self, mut set: impl FnMut(&str, i64)) {
        ["unprocessed", "active", "suppressed"].into_iter().zip(self.0).for_each(|(state, count)| set(state, count));
    }
}

impl Engine {
    fn core(&self) -> MutexGuard<'_, Core> {
        // Its maps are changed by single calls; nothing half-done can be left behind.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_epoch(&self) -> RwLockReadGuard<'_, Epoch> {
        self.epoch.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_epoch(&self) -> RwLockWriteGuard<'_, Epoch> {
        self.epoch.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_groups(&self, core: &Core) {
        let groups = i64::try_from(core.groups.len()).unwrap_or(i64::MAX);
        self.metrics.dispatcher_aggregation_groups.set(groups);
    }

    /// The task that drives everything: brings up what is due and sleeps until the next.
    async fn run(self: Arc<Self>) {
        let mut in_a_row = 0;
        loop {
            let next = {
                let mut core = self.core();
                if core.stopped {
                    return;
                }
                core.queue.pop_due(self.clock.monotonic()).ok_or_else(|| core.queue.next_at())
            };
            match next {
                Ok((due, event)) => {
                    self.bring_up(event, due);
                    in_a_row += 1;
                    if in_a_row == EVENTS_IN_A_ROW_MAX {
                        in_a_row = 0;
                        tokio::task::yield_now().await;
                    }
                }
                Err(next_at) => {
                    in_a_row = 0;
                    tokio::select! {
                        () = sleep_until(next_at) => {}
                        () = self.wake.notified() => {}
                    }
                }
            }
        }
    }

    fn bring_up(self: &Arc<Self>, event: Event, due: Instant) {
        match event {
            Event::Tick(group) => {
                // Not while alerts are being routed anew: the group may be incomplete.
                let epoch = self.read_epoch();
                self.tick(&group, due);
                drop(epoch);
            }
            Event::Resume(key) => self.resume(&key, due),
        }
    }

    async fn until_idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.core().lanes.running() == 0 {
                return;
            }
            idle.await;
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
