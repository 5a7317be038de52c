//! The parts of a node in memory, as targets need them.

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use carillon::{
    alert::matcher::ParseMode,
    alerts::{Alerts, AlertsConfig},
    api::{Api, ClusterStatus, Handles},
    app::BUILD,
    clock::Clock,
    config::{self, LoadOptions},
    decisions::{Decisions, Reader},
    dispatch::{Dispatcher, DispatcherParts, Plan},
    inhibit::Inhibitor,
    metrics::{Metrics, MetricsOptions},
    nflog::{self, Nflog, NflogConfig, Writer},
    notify::Peer,
    random::Random,
    replica::{AlertKeeper, Outbox, Replica},
    silence::{self, Silences, SilencesConfig, Surroundings},
    store::{MemoryDisk, OpenError, Store, WriterMode},
    template::Templates,
};

const RETENTION: Duration = Duration::from_secs(120 * 3600);

/// What everything else stands on.
pub struct Ground {
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
}

impl Ground {
    pub fn new() -> Self {
        let clock = Clock::system();
        Ground { metrics: Metrics::new(MetricsOptions::default(), BUILD, &clock), clock }
    }

    pub fn store(&self, disk: MemoryDisk) -> Result<Store, OpenError> {
        Store::on(Arc::new(disk), Arc::clone(&self.metrics), WriterMode::Task)
    }

    pub fn silences(&self, store: &Store) -> Result<Arc<Silences>, silence::LoadError> {
        self.silences_of(store, Outbox::none())
    }

    fn silences_of(&self, store: &Store, outbox: Outbox) -> Result<Arc<Silences>, silence::LoadError> {
        let config = SilencesConfig {
            retention: RETENTION,
            count_max: 0,
            size_bytes_max: 0,
            log_changes: false,
            mode: ParseMode::Fallback,
        };
        let around = Surroundings {
            store: store.clone(),
            outbox,
            clock: self.clock.clone(),
            random: Random::seeded(1),
            metrics: Arc::clone(&self.metrics),
        };
        Silences::open(config, around)
    }

    pub fn nflog(&self, store: &Store) -> Result<Arc<Nflog>, nflog::LoadError> {
        self.nflog_of(store, Outbox::none())
    }

    fn nflog_of(&self, store: &Store, outbox: Outbox) -> Result<Arc<Nflog>, nflog::LoadError> {
        let config = NflogConfig { retention: RETENTION, writer: Writer(1) };
        Nflog::open(config, store.clone(), outbox, self.clock.clone(), Arc::clone(&self.metrics))
    }

    pub fn alerts() -> Arc<Alerts> {
        Arc::new(Alerts::new(AlertsConfig { per_alertname_limit: 0, retention: RETENTION }))
    }

    /// Of a node with peers, with nothing in it.
    pub fn replica(&self) -> Replica {
        let store = self.store(MemoryDisk::new()).expect("memory does not fail");
        let (alerts, outbox) = (Self::alerts(), Outbox::bounded(100));
        Replica {
            silences: self.silences_of(&store, outbox.clone()).expect("an empty disk is fine"),
            nflog: self.nflog_of(&store, outbox.clone()).expect("an empty disk is fine"),
            keeper: AlertKeeper::new(store, outbox, &alerts),
            alerts,
        }
    }

    /// An API over this configuration; its groups do not run.
    pub fn api(&self, config: &str) -> Arc<Api> {
        let mode = ParseMode::Fallback;
        let loaded = config::parse(config, Path::new("/"), &LoadOptions { mode }).expect("a configuration");
        let Replica { silences, nflog, alerts, keeper } = self.replica();
        let inhibitor = Arc::new(Inhibitor::new(&loaded.config.inhibit_rules));
        let templates = Arc::new(Templates::load(&[]).expect("the shipped templates"));
        let plan = Plan::new(&loaded.config, Arc::clone(&inhibitor), templates, HashMap::new());
        let parts = DispatcherParts {
            clock: self.clock.clone(),
            random: Random::seeded(1),
            metrics: Arc::clone(&self.metrics),
            nflog,
            silences: Arc::clone(&silences),
            peer: Peer::alone(),
            decisions: Decisions::off(),
            events: carillon::events::Events::off(),
            tracer: carillon::otlp::Tracer::off(),
            external_url: "http://am.example".into(),
            start_at: self.clock.monotonic(),
        };
        Api::new(Handles {
            clock: self.clock.clone(),
            started_at: self.clock.now(),
            build: BUILD,
            mode,
            metrics: Arc::clone(&self.metrics),
            config: Arc::new(ArcSwap::from_pointee(loaded)),
            records: keeper,
            alerts,
            inhibitor: Arc::new(ArcSwap::new(inhibitor)),
            silences,
            dispatcher: Dispatcher::new(parts, &plan),
            decisions: Reader::new(Decisions::off(), "", None),
            events: carillon::events::Events::off(),
            tracer: carillon::otlp::Tracer::off(),
            cluster: Arc::new(ClusterStatus::default),
        })
    }
}

/// A runtime of the current thread.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
