//! Nodes for tests: a state of records with versions, a handler that answers, and who was ever seen down.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use chrono::{TimeDelta, TimeZone, Utc};
use futures_util::future::BoxFuture;
use prometheus::Registry;
use tokio::time::{Instant, sleep};

use super::super::{
    Cluster, ClusterConfig, ClusterError, ClusterMetrics, Digest, Handler, Kind, Member, MemberState, Merge, Network,
    State, Urgency, sim::SimNet,
};
use crate::{clock::Clock, random::Random};

pub const PORT: u16 = 9094;
pub const KIND: Kind = 1;

/// Keys with versions; the higher version wins.
pub struct Records {
    kinds: Vec<Kind>,
    held: Mutex<Held>,
}

/// By kind and key: version, and the whole record.
type Held = BTreeMap<(Kind, String), (u64, Bytes)>;

impl Records {
    fn new(kinds: Vec<Kind>) -> Self {
        Records { kinds, held: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap()
    }

    fn encode(key: &str, version: u64, value: &[u8]) -> Bytes {
        [&version.to_le_bytes()[..], &[u8::try_from(key.len()).unwrap()], key.as_bytes(), value].concat().into()
    }

    pub fn put(&self, key: &str, version: u64, value: &[u8]) -> Bytes {
        self.put_of(KIND, key, version, value)
    }

    pub fn put_of(&self, kind: Kind, key: &str, version: u64, value: &[u8]) -> Bytes {
        let record = Self::encode(key, version, value);
        self.held().insert((kind, key.to_owned()), (version, record.clone()));
        record
    }

    pub fn len(&self) -> usize {
        self.held().len()
    }

    pub fn version(&self, key: &str) -> Option<u64> {
        self.version_of(KIND, key)
    }

    pub fn version_of(&self, kind: Kind, key: &str) -> Option<u64> {
        self.held().get(&(kind, key.to_owned())).map(|(version, _)| *version)
    }
}

impl State for Records {
    fn kinds(&self) -> Vec<Kind> {
        self.kinds.clone()
    }

    fn name(&self, _: Kind) -> &'static str {
        "test"
    }

    fn digest(&self, kind: Kind) -> Digest {
        let held = self.held();
        let records = held.iter().filter(|((of, _), _)| *of == kind);
        Digest::of(records.map(|((_, key), (_, record))| (key.as_bytes(), &record[..])))
    }

    fn missing(&self, kind: Kind, theirs: &Digest) -> Vec<Bytes> {
        let differs = self.digest(kind).differs_from(theirs);
        let held = self.held();
        let lacking = held.iter().filter(|((of, key), _)| *of == kind && differs(Digest::hash(key.as_bytes())));
        lacking.map(|(_, (_, record))| record.clone()).collect()
    }

    fn merge(&self, kind: Kind, record: &[u8], _: &str) -> Merge {
        let read = || {
            let (version, rest) = record.split_first_chunk::<8>()?;
            let (length, rest) = rest.split_first()?;
            let key = std::str::from_utf8(rest.get(..usize::from(*length))?).ok()?;
            Some((u64::from_le_bytes(*version), key.to_owned()))
        };
        let Some((version, key)) = read().filter(|_| self.kinds.contains(&kind)) else { return Merge::Unreadable };
        let mut held = self.held();
        if held.get(&(kind, key.clone())).is_some_and(|(known, _)| *known >= version) {
            return Merge::Known;
        }
        held.insert((kind, key), (version, Bytes::copy_from_slice(record)));
        Merge::News
    }
}

/// Answers "name: question", and keeps what it is told.
#[derive(Default)]
pub struct Echo {
    pub name: String,
    pub asked: Mutex<u64>,
    pub told: Mutex<Vec<(String, Bytes)>>,
}

impl Handler for Echo {
    fn call(&self, _: String, payload: Bytes) -> BoxFuture<'static, Option<Bytes>> {
        *self.asked.lock().unwrap() += 1;
        let answer = [self.name.as_bytes(), b": ", &payload].concat();
        Box::pin(async move { Some(answer.into()) })
    }

    fn tell(&self, from: &str, payload: Bytes) {
        self.told.lock().unwrap().push((from.to_owned(), payload));
    }
}

/// A network and what outlives the processes on it.
pub struct Lab {
    pub net: SimNet,
    pub seed: u64,
    /// What the nodes that are started hold.
    pub kinds: Vec<Kind>,
    nodes: u64,
    /// The wall clocks of all nodes start from one moment.
    origin: Option<Instant>,
    generations: Arc<Mutex<BTreeMap<String, u64>>>,
}

pub struct TestNode {
    pub name: String,
    pub ip: IpAddr,
    pub cluster: Cluster,
    pub state: Arc<Records>,
    pub echo: Arc<Echo>,
    pub metrics: ClusterMetrics,
    /// Who was ever seen down, and when first.
    pub downs: Arc<Mutex<BTreeMap<String, Instant>>>,
}

pub fn ip(host: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, host])
}

pub fn config(name: &str, ip: IpAddr, peers: &[&str]) -> ClusterConfig {
    let listen = SocketAddr::new(ip, PORT).to_string().parse().unwrap();
    let peers = peers.iter().map(|peer| (*peer).to_owned()).collect();
    ClusterConfig { peers, ..ClusterConfig::new(name, listen) }
}

impl Lab {
    pub fn new(seed: u64) -> Self {
        Lab { net: SimNet::new(seed), seed, kinds: vec![KIND], nodes: 0, origin: None, generations: Arc::default() }
    }

    pub async fn try_start(
        &mut self,
        mut config: ClusterConfig,
        skew: TimeDelta,
        network: Option<Arc<dyn Network>>,
    ) -> Result<TestNode, ClusterError> {
        self.nodes += 1;
        let ip = config.listen.ip().unwrap();
        let network = network.unwrap_or_else(|| self.net.host(ip));
        let name = config.name.clone();
        config.generation = self.generations.lock().unwrap().get(&name).copied().unwrap_or(0);
        let (generations, saved) = (Arc::clone(&self.generations), name.clone());
        config.save_generation = Arc::new(move |generation| {
            generations.lock().unwrap().insert(saved.clone(), generation);
        });
        let state = Arc::new(Records::new(self.kinds.clone()));
        let echo = Arc::new(Echo { name: name.clone(), ..Echo::default() });
        let metrics = ClusterMetrics::new(&Registry::new());
        let origin = *self.origin.get_or_insert_with(Instant::now);
        let elapsed = TimeDelta::from_std(origin.elapsed()).unwrap();
        let start = Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).unwrap() + skew;
        let random = Random::seeded(self.seed * 1000 + self.nodes);
        let cluster = Cluster::start(
            config,
            network,
            Clock::simulated(start + elapsed),
            random,
            metrics.clone(),
            Arc::clone(&state) as Arc<dyn State>,
            Arc::clone(&echo) as Arc<dyn Handler>,
        )
        .await?;
        let downs = Arc::new(Mutex::new(BTreeMap::new()));
        tokio::spawn(watch_downs(cluster.watch(), watched(&cluster), Arc::clone(&downs)));
        Ok(TestNode { name, ip, cluster, state, echo, metrics, downs })
    }

    pub async fn start(&mut self, name: &str, host: u8, peers: &[&str]) -> TestNode {
        self.try_start(config(name, ip(host), peers), TimeDelta::zero(), None).await.unwrap()
    }

    /// Nodes a, b, c, … at 10.0.0.1, 2, 3, …, each with all of them as peers.
    pub async fn cluster(&mut self, count: u8) -> Vec<TestNode> {
        self.cluster_with(count, |config| config).await
    }

    pub async fn cluster_with(&mut self, count: u8, tweak: impl Fn(ClusterConfig) -> ClusterConfig) -> Vec<TestNode> {
        let peers: Vec<String> = (1..=count).map(|host| SocketAddr::new(ip(host), PORT).to_string()).collect();
        let peers: Vec<&str> = peers.iter().map(String::as_str).collect();
        let mut nodes = Vec::new();
        for host in 1..=count {
            let name = format!("{}{host:02}", if count > 26 { "n" } else { "" });
            let name = if count > 26 { name } else { char::from(b'a' + host - 1).to_string() };
            let config = tweak(config(&name, ip(host), &peers));
            nodes.push(self.try_start(config, TimeDelta::zero(), None).await.unwrap());
        }
        nodes
    }

    /// The process dies without a word.
    pub fn kill(&self, node: TestNode) {
        self.net.kill(node.ip);
        drop(node);
    }
}

/// Holds no handle: a node whose handles are gone has to end.
fn watched(cluster: &Cluster) -> impl Fn() -> Vec<Member> + Send + use<> {
    let view = cluster.view_source();
    move || view.load().members.clone()
}

async fn watch_downs(
    mut changed: tokio::sync::watch::Receiver<u64>,
    view: impl Fn() -> Vec<Member> + Send,
    downs: Arc<Mutex<BTreeMap<String, Instant>>>,
) {
    while changed.changed().await.is_ok() {
        for member in view().into_iter().filter(|member| member.state == MemberState::Down) {
            downs.lock().unwrap().entry(member.name).or_insert_with(Instant::now);
        }
    }
}

impl TestNode {
    pub fn live(&self) -> BTreeSet<String> {
        self.cluster.view().live().map(|member| member.name.clone()).collect()
    }

    pub fn member(&self, name: &str) -> Option<Member> {
        self.cluster.members().into_iter().find(|member| member.name == name)
    }

    pub fn put(&self, key: &str, version: u64, size: usize) {
        self.put_with(key, version, size, Urgency::Normal);
    }

    /// A small record of a kind that not every node knows.
    pub fn put_of(&self, kind: Kind, key: &str) {
        let record = self.state.put_of(kind, key, 1, &[7; 100]);
        self.cluster.broadcast(kind, key.as_bytes(), 1, record, Urgency::Normal);
    }

    pub fn put_with(&self, key: &str, version: u64, size: usize, urgency: Urgency) {
        let record = self.state.put(key, version, &vec![7; size]);
        self.cluster.broadcast(KIND, key.as_bytes(), version, record, urgency);
    }
}

/// Waits until it holds, and says how long that took.
pub async fn until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        sleep(Duration::from_millis(5)).await;
    }
    start.elapsed()
}

pub fn all_see(nodes: &[&TestNode]) -> bool {
    let names: BTreeSet<String> = nodes.iter().map(|node| node.name.clone()).collect();
    nodes.iter().all(|node| node.live() == names)
}

/// Runs a test in virtual time, with each seed; with `CARILLON_SEEDS=20` with twenty times as many.
pub fn with_seeds<F: Future<Output = ()>>(seeds: std::ops::Range<u64>, test: impl Fn(Lab) -> F) {
    let times: u64 = std::env::var("CARILLON_SEEDS").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    for seed in seeds.start..seeds.end * times {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(test(Lab::new(seed)))));
        if let Err(panic) = result {
            eprintln!("failed with seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
