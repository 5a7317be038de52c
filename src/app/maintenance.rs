//! What has to be done from time to time: removing what is over, and writing Alertmanager's snapshot files.

use std::{collections::HashSet, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{sync::Mutex, task::JoinSet, time::MissedTickBehavior};

use super::State;
use crate::{
    alert::Fingerprint,
    alerts::Alerts,
    cli::Options,
    clock::Clock,
    dispatch::Dispatcher,
    inhibit::Inhibitor,
    nflog::{AlertHash, Nflog},
    replica::AlertKeeper,
    silence::Silences,
};

/// The tasks that run at the intervals of the flags. Dropped with the server.
pub(super) struct Maintenance {
    tasks: JoinSet<()>,
    janitor: Arc<Janitor>,
}

struct Janitor {
    clock: Clock,
    alerts: Arc<Alerts>,
    silences: Arc<Silences>,
    nflog: Arc<Nflog>,
    keeper: AlertKeeper,
    inhibitor: Arc<ArcSwap<Inhibitor>>,
    dispatcher: Dispatcher,
    /// Snapshots are written one at a time.
    snapshots: Mutex<()>,
}

impl Maintenance {
    pub fn start(
        options: &Options,
        clock: &Clock,
        state: &State,
        inhibitor: &Arc<ArcSwap<Inhibitor>>,
        dispatcher: &Dispatcher,
    ) -> Self {
        let janitor = Arc::new(Janitor {
            clock: clock.clone(),
            alerts: Arc::clone(&state.alerts),
            silences: Arc::clone(&state.silences),
            nflog: Arc::clone(&state.nflog),
            keeper: state.keeper.clone(),
            inhibitor: Arc::clone(inhibitor),
            dispatcher: dispatcher.clone(),
            snapshots: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        let it = Arc::clone(&janitor);
        tasks.spawn(every(options.alerts_gc_interval, move || {
            it.collect_alerts();
            std::future::ready(())
        }));
        let it = Arc::clone(&janitor);
        tasks.spawn(every(options.maintenance_interval, move || Arc::clone(&it).snapshot()));
        let it = Arc::clone(&janitor);
        tasks.spawn(every(options.dispatch_maintenance_interval, move || {
            it.dispatcher.maintain();
            std::future::ready(())
        }));
        Maintenance { tasks, janitor }
    }

    /// The last round, before the end: alerts as they are, and both snapshot files.
    pub async fn finish(mut self, state: &State) {
        self.tasks.shutdown().await;
        state.keeper.persist_all(&state.alerts.snapshot());
        Arc::clone(&self.janitor).snapshot().await;
    }
}

async fn every<F: Future<Output = ()>>(interval: Duration, mut work: impl FnMut() -> F) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await; // the first is at once
    loop {
        ticks.tick().await;
        work().await;
    }
}

impl Janitor {
    /// Drops alerts that are over and told.
    fn collect_alerts(&self) {
        let gone: Vec<Fingerprint> = self.alerts.gc(self.clock.now(), &|entry| self.dispatcher.still_owed(entry));
        self.keeper.remove(&gone);
        self.dispatcher.forget(&gone);
        let inhibitor = self.inhibitor.load();
        for fingerprint in gone {
            inhibitor.forget(fingerprint);
            self.silences.forget(fingerprint);
            // Posted again in this very moment: its new entry must not be forgotten with the old one.
            if let Some(entry) = self.alerts.get(fingerprint) {
                inhibitor.observe(&entry);
            }
        }
    }

    /// Cleans up silences and log and writes their snapshot files. The disk is waited for elsewhere.
    async fn snapshot(self: Arc<Self>) {
        let _one_at_a_time = self.snapshots.lock().await;
        let it = Arc::clone(&self);
        let written = tokio::task::spawn_blocking(move || {
            let now = it.clock.now();
            let alive: HashSet<AlertHash> = it.alerts.snapshot().iter().map(|e| AlertHash::of(e.labels())).collect();
            (it.silences.maintain(now), it.nflog.maintain(now, &|hash| alive.contains(&hash)))
        });
        let Ok((silences, nflog)) = written.await else { return };
        for (what, outcome) in [("silences", silences), ("nflog", nflog)] {
            if let Err(error) = outcome {
                tracing::error!(component = what, err = %error, "the snapshot could not be written; the old one stays");
            }
        }
    }
}
