//! Whole engines over a network in memory, in virtual time: three nodes, one receiver.

mod people;
mod stories;

use std::{
    borrow::Cow,
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::{Graces, Ring, RingParts};
use crate::{
    alert::{
        Posted, fingerprint_of,
        matcher::{Matchers, ParseMode},
        sort_pairs,
    },
    alerts::{Alerts, AlertsConfig},
    app::BUILD,
    clock::{Clock, Correction, Time, delta},
    cluster::{ClusterConfig, ClusterMetrics, sim::SimNet},
    config::model::{Receiver, Route},
    decisions::{Decisions, DecisionsConfig, Reader},
    dispatch::{Dispatcher, DispatcherParts, Plan},
    inhibit::Inhibitor,
    metrics::{Metrics, MetricsOptions},
    nflog::{Nflog, NflogConfig, Writer},
    notify::{FailureReason, Integration, Notification, Notifier, NotifyError, NotifyFuture, Progress, Receipt},
    random::Random,
    replica::{AlertKeeper, Outbox, Replica},
    silence::{Draft, MatcherText, Silences, SilencesConfig, Surroundings},
    store::{MemoryDisk, Store, WriterMode},
    template::Templates,
};

const RETENTION: Duration = Duration::from_secs(432_000);
const PORT: u16 = 9094;

/// What the receiver does with requests.
#[derive(Clone, Copy, Debug)]
enum Mood {
    Take,
    TakeAfter(f64),
    Refuse,
}

/// The one receiver that all nodes tell.
struct Pager {
    began: Instant,
    clock: Clock,
    mood: Mutex<Mood>,
    heard: Mutex<Vec<String>>,
    attempts: Mutex<usize>,
}

/// One node's way to it.
struct Line {
    node: usize,
    pager: Arc<Pager>,
}

impl Notifier for Line {
    fn notify<'a>(&'a self, n: &'a Notification) -> NotifyFuture<'a> {
        let names = |resolved: bool| {
            let names = n.alerts.iter().filter(|alert| alert.resolved_at(n.now) == resolved);
            names.map(|alert| alert.name().to_owned()).collect::<Vec<_>>().join(" ")
        };
        let at = self.pager.clock.monotonic().duration_since(self.pager.began).as_secs_f64();
        let line = format!("{at:.0} n{}: {}/{}", self.node, names(false), names(true));
        let mood = *self.pager.mood.lock().unwrap();
        *self.pager.attempts.lock().unwrap() += 1;
        Box::pin(async move {
            if let Mood::TakeAfter(seconds) = mood {
                tokio::time::sleep(secs(seconds)).await;
            }
            if matches!(mood, Mood::Refuse) {
                return Err(NotifyError {
                    message: "503".to_owned(),
                    retry: true,
                    reason: FailureReason::ServerError,
                    progress: Progress::Refused,
                    retry_after: None,
                });
            }
            self.pager.heard.lock().unwrap().push(line);
            Ok(Receipt::default())
        })
    }
}

fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

struct Node {
    clock: Clock,
    alerts: Arc<Alerts>,
    silences: Arc<Silences>,
    nflog: Arc<Nflog>,
    keeper: AlertKeeper,
    inhibitor: Arc<ArcSwap<Inhibitor>>,
    dispatcher: Dispatcher,
    ring: Ring,
    store: Store,
    saved: Arc<Mutex<u64>>,
    reader: Reader,
}

struct World {
    net: SimNet,
    clock: Clock,
    began: Instant,
    pager: Arc<Pager>,
    route: Arc<Route>,
    nodes: Vec<Option<Node>>,
    disks: Vec<MemoryDisk>,
    generations: Vec<Arc<Mutex<u64>>>,
    skews: Vec<i64>,
}

fn ip(node: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, u8::try_from(node + 1).unwrap()))
}

impl World {
    /// Three nodes that are one cluster; `group_wait` 10 s, `group_interval` 30 s, one alert a group.
    async fn new(skews: [i64; 3]) -> Self {
        let clock = Clock::simulated(Time::from_timestamp(1_800_000_000, 0).unwrap());
        let began = clock.monotonic();
        let pager = Arc::new(Pager {
            began,
            clock: clock.clone(),
            mood: Mutex::new(Mood::Take),
            heard: Mutex::default(),
            attempts: Mutex::default(),
        });
        let mut world = World {
            net: SimNet::new(7),
            clock,
            began,
            pager,
            route: Arc::new(route()),
            nodes: Vec::new(),
            disks: (0..3).map(|_| MemoryDisk::new()).collect(),
            generations: (0..3).map(|_| Arc::default()).collect(),
            skews: skews.to_vec(),
        };
        world.nodes = futures_util::future::join_all((0..3).map(|node| world.boot(node))).await;
        world.pass(10.0).await;
        for node in world.alive() {
            assert!(node.ring.is_settled() && node.ring.view().unwrap().live().count() == 3);
        }
        world
    }

    async fn boot(&self, place: usize) -> Option<Node> {
        let own_clock = Clock::simulated(self.clock.now() + chrono::TimeDelta::seconds(self.skews[place]));
        let (correction, outbox) = (Correction::default(), Outbox::bounded(1000));
        let clock = own_clock.clone().corrected(correction.clone());
        let random = Random::seeded(place as u64 + 1);
        let metrics = Metrics::new(MetricsOptions::default(), BUILD, &clock);
        let store = Store::on(Arc::new(self.disks[place].clone()), metrics.clone(), WriterMode::Task).unwrap();
        let name = format!("n{place}");
        let silences = Silences::open(
            SilencesConfig {
                retention: RETENTION,
                count_max: 0,
                size_bytes_max: 0,
                log_changes: false,
                mode: ParseMode::default(),
            },
            Surroundings {
                store: store.clone(),
                outbox: outbox.clone(),
                clock: clock.clone(),
                random: random.clone(),
                metrics: metrics.clone(),
            },
        )
        .unwrap();
        let config = NflogConfig { retention: RETENTION, writer: Writer::named(&name) };
        let nflog = Nflog::open(config, store.clone(), outbox.clone(), clock.clone(), metrics.clone()).unwrap();
        let alerts = Arc::new(Alerts::new(AlertsConfig { per_alertname_limit: 0, retention: RETENTION }));
        let keeper = AlertKeeper::new(store.clone(), outbox.clone(), &alerts);
        let restored = keeper.load(&nflog, clock.now()).unwrap();
        let graces = Graces::of(&restored, clock.now());
        alerts.restore(restored, clock.now());
        let replica = Replica {
            silences: silences.clone(),
            nflog: nflog.clone(),
            alerts: alerts.clone(),
            keeper: keeper.clone(),
        };
        let config = DecisionsConfig { bytes_max: 1 << 20, age_max: RETENTION };
        let disk = store.disk();
        let decisions = Decisions::open(config, &name, disk, &clock, &metrics, WriterMode::Task);
        let ring = Ring::new(RingParts {
            clock: clock.clone(),
            correction,
            metrics: metrics.clone(),
            replica,
            outbox,
            graces,
            decisions: Reader::new(decisions.clone(), &name, None),
            peer_timeout: secs(15.0),
        });
        let plan = self.plan(place);
        let inhibitor = Arc::new(ArcSwap::from(plan.inhibitor.clone()));
        let parts = DispatcherParts {
            clock: clock.clone(),
            random: random.clone(),
            metrics: metrics.clone(),
            nflog: nflog.clone(),
            silences: silences.clone(),
            peer: ring.peer(),
            decisions: decisions.clone(),
            events: crate::events::Events::off(),
            tracer: crate::otlp::Tracer::off(),
            external_url: "http://am".into(),
            start_at: clock.monotonic(),
        };
        let dispatcher = Dispatcher::new(parts, &plan);
        let saved = self.generations[place].clone();
        let keep = saved.clone();
        let generation = *saved.lock().unwrap();
        let config = ClusterConfig {
            peers: (0..3).filter(|other| *other != place).map(|other| format!("{}:{PORT}", ip(other))).collect(),
            advertise: Some(SocketAddr::new(ip(place), PORT)),
            generation,
            save_generation: Arc::new(move |generation| *keep.lock().unwrap() = generation),
            ..ClusterConfig::new(name, format!("{}:{PORT}", ip(place)).parse().unwrap())
        };
        let effects = (dispatcher.clone(), inhibitor.clone());
        let cluster_metrics = ClusterMetrics::new(metrics.registry());
        ring.join(config, self.net.host(ip(place)), own_clock, random, cluster_metrics, effects).await.unwrap();
        let all = alerts.clone();
        dispatcher.start(&move || all.snapshot());
        let reader = Reader::new(decisions, &format!("n{place}"), Some(ring.ask_peers()));
        Some(Node { clock, alerts, silences, nflog, keeper, inhibitor, dispatcher, ring, store, saved, reader })
    }

    fn plan(&self, place: usize) -> Plan {
        let line = Arc::new(Line { node: place, pager: self.pager.clone() });
        let integration = Integration { kind: "webhook", index: 0, send_resolved: true, notifier: line };
        let labels = [("name", "team")].into_iter().collect();
        Plan {
            route: self.route.clone(),
            receivers: vec![Arc::new(Receiver { name: "team".into(), labels, integrations: vec![] })],
            time_intervals: BTreeMap::new(),
            inhibitor: Arc::new(Inhibitor::new(&[])),
            templates: Arc::new(Templates::load(&[]).unwrap()),
            integrations: [("team".into(), vec![integration])].into(),
        }
    }

    fn alive(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().flatten()
    }

    fn node(&self, place: usize) -> &Node {
        self.nodes[place].as_ref().unwrap()
    }

    /// `kill -9`.
    async fn kill(&mut self, place: usize) {
        let node = self.nodes[place].take().unwrap();
        node.ring.stop();
        self.net.kill(ip(place));
        node.dispatcher.shutdown(Duration::ZERO).await;
        node.store.flush().await.unwrap();
        node.store.close().await.unwrap();
        assert!(*node.saved.lock().unwrap() > 0);
    }

    async fn restart(&mut self, place: usize) {
        self.nodes[place] = self.boot(place).await;
    }

    /// SIGTERM.
    async fn end(&mut self, place: usize, grace: Duration) {
        let node = self.nodes[place].take().unwrap();
        node.dispatcher.shutdown(grace).await;
        node.ring.leave().await;
        node.store.close().await.unwrap();
        self.net.kill(ip(place));
    }

    async fn pass(&self, seconds: f64) {
        tokio::time::sleep(secs(seconds)).await;
    }

    /// Silences the alert for an hour, on one node.
    async fn silence(&self, place: usize, name: &str) {
        let draft = Draft {
            id: None,
            matchers: vec![MatcherText {
                op: crate::alert::matcher::MatchOp::Equal,
                name: "alertname".to_owned(),
                value: name.to_owned(),
            }],
            starts_at: None,
            ends_at: Some(self.clock.now() + delta(secs(3600.0))),
            created_by: String::new(),
            comment: String::new(),
            annotations: BTreeMap::default(),
        };
        self.node(place).silences.set(draft).await.unwrap();
    }

    /// Posts to these nodes that the alert fires, for a minute unless it is posted again.
    fn fire(&self, places: &[usize], name: &str) {
        let now = self.clock.now();
        self.post(places, name, now, now + delta(secs(60.0)));
    }

    fn resolve(&self, places: &[usize], name: &str) {
        let now = self.clock.now();
        self.post(places, name, now - delta(secs(20.0)), now);
    }

    fn post(&self, places: &[usize], name: &str, starts_at: Time, ends_at: Time) {
        let mut labels: Vec<(Cow<'_, str>, Cow<'_, str>)> = vec![("alertname".into(), name.into())];
        sort_pairs(&mut labels);
        let posted = Posted {
            fingerprint: fingerprint_of(labels.iter().map(|(name, value)| (&**name, &**value))),
            labels,
            annotations: vec![],
            generator_url: "".into(),
            starts_at,
            ends_at,
            timeout: false,
            start_given: true,
        };
        for place in places {
            let Some(node) = &self.nodes[*place] else { continue };
            let outcome = node.alerts.put(std::slice::from_ref(&posted), node.clock.now());
            node.keeper.persist_changes(&outcome.changes);
            for (entry, _) in &outcome.changes {
                node.inhibitor.load().observe(entry);
            }
            node.dispatcher.observe(&outcome.changes);
        }
    }

    fn set(&self, mood: Mood) {
        *self.pager.mood.lock().unwrap() = mood;
    }

    fn heard(&self) -> Vec<String> {
        self.pager.heard.lock().unwrap().clone()
    }

    /// What was heard, without when and by whom.
    fn words(&self) -> Vec<String> {
        self.heard().iter().filter_map(|line| line.split_once(": ").map(|(_, words)| words.to_owned())).collect()
    }

    fn elapsed(&self) -> f64 {
        self.clock.monotonic().duration_since(self.began).as_secs_f64()
    }
}

fn route() -> Route {
    Route {
        receiver: "team".into(),
        group_by: vec!["alertname".to_owned()],
        group_by_all: false,
        matchers: Matchers::default(),
        continue_: false,
        group_wait: secs(10.0),
        group_interval: secs(30.0),
        repeat_interval: secs(14_400.0),
        mute_time_intervals: vec![],
        active_time_intervals: vec![],
        labels: BTreeMap::new(),
        routes: vec![],
        key: "{}".into(),
        id: "{}".into(),
    }
}
