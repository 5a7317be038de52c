//! A node: disk and name outlast its lives; each life is a whole program in a tokio runtime of its own, whose virtual
//! time is moved from outside. A runtime that is dropped is a `kill -9`, one that is not moved is a SIGSTOP.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use carillon::{
    alerts::{Alerts, AlertsConfig},
    api::{Api, ClusterStatus, Handles},
    app::BUILD,
    cli::HostPort,
    clock::{Clock, Correction, Time, delta},
    cluster::{ClusterConfig, ClusterMetrics, sim::SimNet},
    config::{self, LoadOptions, Loaded},
    decisions::{Decisions, DecisionsConfig, Reader},
    dispatch::{Dispatcher, DispatcherParts, Plan},
    inhibit::Inhibitor,
    metrics::{Metrics, MetricsOptions},
    nflog::{Nflog, NflogConfig, Writer},
    notify::{Integration, Peer},
    random::Random,
    replica::{AlertKeeper, Outbox, Replica},
    ring::{Graces, Ring, RingParts, recall_correction},
    silence::{Silences, SilencesConfig, Surroundings},
    store::{MemoryDisk, Store, WriterMode},
    template::Templates,
};
use chrono::TimeDelta;
use tokio::{runtime::Runtime, task::JoinHandle, time::Instant};

use crate::{
    chance::Rng,
    receiver::{Hook, Receiver, duration},
    scenario::{Ms, Scenario, Together},
    without::{Lacking, Without},
};

const RETENTION: Duration = Duration::from_secs(432_000);
const GC_INTERVAL: Duration = Duration::from_secs(30);
const PEER_TIMEOUT: Duration = Duration::from_secs(15);
const OUTBOX_MAX: usize = 10_000;
const PORT: u16 = 9094;
const DECISIONS: DecisionsConfig = DecisionsConfig { bytes_max: 4 << 20, age_max: RETENTION };
/// The true wall clock at the start of a run, in seconds.
const START: i64 = 1_800_000_000;

/// The true wall clock.
pub fn wall(at: Ms) -> Time {
    Time::from_timestamp(START, 0).unwrap_or_default() + delta(duration(at))
}

/// What all nodes have in common.
pub struct Surrounding {
    pub scenario: Scenario,
    pub receiver: Receiver,
    pub net: SimNet,
    pub loaded: Loaded,
    pub templates: Arc<Templates>,
}

impl Surrounding {
    pub fn new(scenario: &Scenario, receiver: &Receiver, net: &SimNet) -> Self {
        let options = LoadOptions::default();
        let loaded =
            config::parse(&scenario.configuration(), std::path::Path::new("/"), &options).expect("it is valid");
        let templates = Arc::new(Templates::load(&[]).expect("there are none"));
        Surrounding { scenario: scenario.clone(), receiver: receiver.clone(), net: net.clone(), loaded, templates }
    }
}

pub struct Node {
    pub index: usize,
    pub ip: IpAddr,
    pub name: String,
    disk: MemoryDisk,
    /// The highest one that was ever used, as the data directory keeps it.
    generation: Arc<AtomicU64>,
    skew: TimeDelta,
    pub lives: u64,
    pub life: Option<Life>,
}

/// One run of the program.
pub struct Life {
    runtime: Runtime,
    base: Instant,
    born: Ms,
    pub stopped: bool,
    program: Arc<Mutex<Option<Program>>>,
    leaving: Option<JoinHandle<()>>,
}

/// The parts of a program that has started.
#[derive(Clone)]
pub struct Program {
    pub clock: Clock,
    pub api: Arc<Api>,
    pub silences: Arc<Silences>,
    pub nflog: Arc<Nflog>,
    alerts: Arc<Alerts>,
    keeper: AlertKeeper,
    dispatcher: Dispatcher,
    store: Store,
    ring: Option<Ring>,
    hooks: Arc<Vec<Arc<Hook>>>,
}

fn ip_of(index: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, u8::try_from(index + 1).unwrap_or(u8::MAX)))
}

impl Node {
    pub fn new(index: usize, skew: i64) -> Self {
        let (disk, skew) = (MemoryDisk::new(), TimeDelta::milliseconds(skew));
        let generation = Arc::default();
        Node { index, ip: ip_of(index), name: format!("n{index}"), disk, generation, skew, lives: 0, life: None }
    }

    pub fn start(&mut self, around: &Arc<Surrounding>, now: Ms) {
        self.lives += 1;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("it needs nothing");
        let program: Arc<Mutex<Option<Program>>> = Arc::default();
        let (base, clock) = {
            let _inside = runtime.enter();
            let clock = Clock::simulated(wall(now) + self.skew);
            (clock.monotonic(), clock)
        };
        let boot = Boot {
            around: Arc::clone(around),
            index: self.index,
            name: self.name.clone(),
            life: self.lives,
            disk: self.disk.clone(),
            generation: Arc::clone(&self.generation),
            random: Random::seeded(
                around.scenario.seed.wrapping_mul(31).wrapping_add(self.lives * 8 + self.index as u64),
            ),
            clock,
            base,
            born: now,
        };
        let slot = Arc::clone(&program);
        runtime.spawn(async move {
            let started = boot.run().await;
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(started);
        });
        self.life = Some(Life { runtime, base, born: now, stopped: false, program, leaving: None });
    }

    /// `kill -9`, and what was not synced may be lost.
    pub fn kill(&mut self, rng: &mut Rng) {
        self.disk.lose_power(|| rng.chance(50));
        self.life = None;
    }

    pub fn is_running(&self) -> bool {
        self.life.as_ref().is_some_and(|life| !life.stopped)
    }

    /// The program, if it takes requests now.
    pub fn program(&self) -> Option<Program> {
        let life = self.life.as_ref().filter(|life| !life.stopped && life.leaving.is_none())?;
        life.started()
    }

    /// Begins a clean stop.
    pub fn leave(&mut self) {
        if let Some(life) = &mut self.life
            && let Some(program) = life.started()
        {
            life.leaving = Some(life.runtime.spawn(program.finish()));
        }
    }

    /// A clean stop that has ended: the process is gone.
    pub fn has_left(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.leaving.as_ref().is_some_and(JoinHandle::is_finished))
    }
}

impl Life {
    fn started(&self) -> Option<Program> {
        self.program.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs the program until this moment.
    pub fn run_until(&self, now: Ms) {
        let until = self.base + duration(now - self.born);
        self.runtime.block_on(async { tokio::time::sleep_until(until).await });
    }

    /// The program goes on after it was stopped: all its timers are late at once.
    pub fn go_on(&mut self, now: Ms) {
        self.stopped = false;
        let until = self.base + duration(now - self.born);
        self.runtime.block_on(async {
            let clock = self.started().map(|program| program.clock);
            let clock = clock.unwrap_or_else(|| Clock::simulated(wall(now)));
            tokio::time::advance(until.saturating_duration_since(clock.monotonic())).await;
        });
    }

    /// Does something as the program would.
    pub fn inside<T>(&self, work: impl FnOnce() -> T) -> T {
        let _inside = self.runtime.enter();
        work()
    }

    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(work);
    }
}

/// What a program starts from.
struct Boot {
    around: Arc<Surrounding>,
    index: usize,
    name: String,
    life: u64,
    disk: MemoryDisk,
    generation: Arc<AtomicU64>,
    random: Random,
    clock: Clock,
    base: Instant,
    born: Ms,
}

impl Boot {
    fn cluster(&self) -> ClusterConfig {
        let listen = HostPort { host: ip_of(self.index).to_string(), port: PORT };
        let others = (0..self.around.scenario.nodes).filter(|other| *other != self.index);
        let kept = Arc::clone(&self.generation);
        ClusterConfig {
            peers: others.map(|other| format!("{}:{PORT}", ip_of(other))).collect(),
            generation: self.generation.load(Ordering::Relaxed),
            save_generation: Arc::new(move |generation| kept.store(generation, Ordering::Relaxed)),
            ..ClusterConfig::new(self.name.clone(), listen)
        }
    }

    async fn run(self) -> Program {
        let cluster = self.cluster();
        let Boot { around, index, name, life, disk, random, clock: own_clock, base, born, .. } = self;
        let is_alone = around.scenario.together == Together::Not;
        let correction = Correction::default();
        let heeded = around.scenario.together != Together::Without(Without::Correction);
        let clock = own_clock.clone().corrected(if heeded { correction.clone() } else { Correction::default() });
        let metrics = Metrics::new(MetricsOptions::default(), BUILD, &clock);
        let store = Store::on(Arc::new(disk), Arc::clone(&metrics), WriterMode::Task).expect("the disk is whole");
        recall_correction(&correction, store.disk());
        let outbox = if is_alone { Outbox::none() } else { Outbox::bounded(OUTBOX_MAX) };
        let silences = Silences::open(
            SilencesConfig {
                retention: RETENTION,
                count_max: 0,
                size_bytes_max: 0,
                log_changes: false,
                mode: Default::default(),
            },
            Surroundings {
                store: store.clone(),
                outbox: outbox.clone(),
                clock: clock.clone(),
                random: random.clone(),
                metrics: Arc::clone(&metrics),
            },
        )
        .expect("silences can be read");
        let nflog = Nflog::open(
            NflogConfig { retention: RETENTION, writer: Writer::named(&name) },
            store.clone(),
            outbox.clone(),
            clock.clone(),
            Arc::clone(&metrics),
        )
        .expect("the log can be read");
        let alerts = Arc::new(Alerts::new(AlertsConfig { per_alertname_limit: 0, retention: RETENTION }));
        let keeper = AlertKeeper::new(store.clone(), outbox.clone(), &alerts);
        let restored = keeper.load(&nflog, clock.now()).expect("alerts can be read");
        let graces = Graces::of(&restored, clock.now());
        alerts.restore(restored, clock.now());
        let mode = WriterMode::Task;
        let decisions = Decisions::open(DECISIONS, &name, store.disk(), &clock, &metrics, mode);
        let replica = Replica {
            silences: Arc::clone(&silences),
            nflog: Arc::clone(&nflog),
            alerts: Arc::clone(&alerts),
            keeper: keeper.clone(),
        };
        let parts = RingParts {
            clock: clock.clone(),
            correction,
            metrics: Arc::clone(&metrics),
            replica,
            outbox,
            graces,
            decisions: Reader::new(decisions.clone(), &name, None),
            peer_timeout: PEER_TIMEOUT,
        };
        let ring = (!is_alone).then(|| Ring::new(parts));
        let hook = |integration| {
            let receiver = around.receiver.clone();
            Arc::new(Hook { receiver, node: index, life, integration, clock: clock.clone(), base, born })
        };
        let hooks: Arc<Vec<Arc<Hook>>> = Arc::new((0..around.scenario.integrations).map(hook).collect());
        let plan = plan(&around, &hooks);
        let inhibitor = Arc::new(ArcSwap::from(Arc::clone(&plan.inhibitor)));
        alerts.snapshot().iter().for_each(|entry| plan.inhibitor.observe(entry));
        let dispatcher = Dispatcher::new(
            DispatcherParts {
                clock: clock.clone(),
                random: random.clone(),
                metrics: Arc::clone(&metrics),
                nflog: Arc::clone(&nflog),
                silences: Arc::clone(&silences),
                peer: ring.as_ref().map_or_else(Peer::alone, |ring| peer(ring, around.scenario.together)),
                decisions: decisions.clone(),
                events: carillon::events::Events::off(),
                tracer: carillon::otlp::Tracer::off(),
                external_url: "http://am".into(),
                start_at: base,
            },
            &plan,
        );
        if let Some(ring) = &ring {
            let effects = (dispatcher.clone(), Arc::clone(&inhibitor));
            let cluster_metrics = ClusterMetrics::new(metrics.registry());
            let network = around.net.host(ip_of(index));
            ring.remember_peers(store.disk());
            let joined = ring.join(cluster, network, own_clock, random, cluster_metrics, effects).await;
            joined.expect("the node can be part of the cluster");
        }
        dispatcher.start(&|| alerts.snapshot());
        let reader = Reader::new(decisions, &name, ring.as_ref().map(Ring::ask_peers));
        let api = Api::new(Handles {
            clock: clock.clone(),
            started_at: clock.now(),
            build: BUILD,
            mode: Default::default(),
            metrics,
            config: Arc::new(ArcSwap::from_pointee(around.loaded.clone())),
            alerts: Arc::clone(&alerts),
            inhibitor,
            silences: Arc::clone(&silences),
            dispatcher: dispatcher.clone(),
            records: keeper.clone(),
            decisions: reader,
            events: carillon::events::Events::off(),
            tracer: carillon::otlp::Tracer::off(),
            cluster: Arc::new(ClusterStatus::default),
        });
        let program = Program { clock, api, silences, nflog, alerts, keeper, dispatcher, store, ring, hooks };
        tokio::spawn(program.clone().collect_garbage());
        program
    }
}

fn peer(ring: &Ring, together: Together) -> Peer {
    match together {
        Together::Without(rule) => Peer::among(Arc::new(Lacking::new(ring, rule, PEER_TIMEOUT))),
        Together::Ring | Together::Not => ring.peer(),
    }
}

fn plan(around: &Surrounding, hooks: &[Arc<Hook>]) -> Plan {
    let integration = |(index, hook): (usize, &Arc<Hook>)| Integration {
        kind: "webhook",
        index,
        send_resolved: true,
        notifier: Arc::clone(hook) as _,
    };
    let integrations = [("team".into(), hooks.iter().enumerate().map(integration).collect())].into();
    let inhibitor = Arc::new(Inhibitor::new(&around.loaded.config.inhibit_rules));
    Plan::new(&around.loaded.config, inhibitor, Arc::clone(&around.templates), integrations)
}

impl Program {
    async fn collect_garbage(self) {
        loop {
            tokio::time::sleep(GC_INTERVAL).await;
            let gone = self.alerts.gc(self.clock.now(), &|entry| self.dispatcher.still_owed(entry));
            self.keeper.remove(&gone);
            self.dispatcher.forget(&gone);
            gone.iter().for_each(|fingerprint| self.silences.forget(*fingerprint));
        }
    }

    pub fn reload(&self, around: &Surrounding) {
        self.dispatcher.reload(&plan(around, &self.hooks), &|| self.alerts.snapshot());
    }

    async fn finish(self) {
        self.dispatcher.shutdown(Duration::from_secs(5)).await;
        if let Some(ring) = &self.ring {
            ring.leave().await;
        }
        self.keeper.persist_all(&self.alerts.snapshot());
        // An error would only mean a slower start.
        let _ = self.store.close().await;
    }
}
