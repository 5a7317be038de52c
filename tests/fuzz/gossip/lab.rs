//! Three nodes in virtual time on a network in memory, one of which is overheard, and a stranger's host.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use carillon::{
    clock::Clock,
    cluster::{
        Cluster, ClusterConfig, ClusterMetrics, Digest, Handler, Kind, Merge, Network, SecretKey, State, Urgency,
        network::{Datagrams, Listener, Stream},
        sim::SimNet,
    },
    random::Random,
};
use futures_util::future::BoxFuture;
use prometheus::Registry;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime::Runtime,
    sync::watch,
    time::sleep,
};

pub const PORT: u16 = 9094;
const KIND: Kind = 1;
const SECRET: &[u8] = b"0123456789abcdef";
const PACKETS_MAX: usize = 600;
const STREAMS_MAX: usize = 60;
const STREAM_BYTES_MAX: usize = 8 << 10;
/// No cluster is that large; forged members must not make it so.
const MEMBERS_MAX: usize = 2049;
/// The record that shows that records still travel.
const LAST_KEY: u8 = 200;

pub fn ip(host: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, host])
}

/// Records under their first byte; the greater one stays.
#[derive(Default)]
struct Records(Mutex<BTreeMap<u8, Vec<u8>>>);

impl Records {
    fn all(&self) -> std::sync::MutexGuard<'_, BTreeMap<u8, Vec<u8>>> {
        self.0.lock().expect("nothing panics with it")
    }
}

impl State for Records {
    fn kinds(&self) -> Vec<Kind> {
        vec![KIND]
    }

    fn name(&self, _: Kind) -> &'static str {
        "fuzz"
    }

    fn digest(&self, _: Kind) -> Digest {
        Digest::of(self.all().iter().map(|(key, record)| (std::slice::from_ref(key), &record[..])))
    }

    fn missing(&self, kind: Kind, theirs: &Digest) -> Vec<bytes::Bytes> {
        let differs = self.digest(kind).differs_from(theirs);
        let all = self.all();
        let lacking = all.iter().filter(|(key, _)| differs(Digest::hash(&[**key])));
        lacking.map(|(_, record)| record.clone().into()).collect()
    }

    fn merge(&self, _: Kind, record: &[u8], _: &str) -> Merge {
        let Some(key) = record.first() else { return Merge::Unreadable };
        let mut all = self.all();
        match all.get(key) {
            Some(known) if &known[..] >= record => Merge::Known,
            _ => {
                all.insert(*key, record.to_vec());
                Merge::News
            }
        }
    }
}

struct Parrot;

impl Handler for Parrot {
    fn call(&self, _: String, payload: bytes::Bytes) -> BoxFuture<'static, Option<bytes::Bytes>> {
        Box::pin(async move { Some(payload) })
    }

    fn tell(&self, _: &str, _: bytes::Bytes) {}
}

/// What one host has sent.
#[derive(Default)]
pub struct Overheard {
    pub packets: Vec<(SocketAddr, Vec<u8>)>,
    /// From the connecting side.
    pub streams: Vec<Vec<u8>>,
}

/// A network that is overheard.
struct Tap {
    net: Arc<dyn Network>,
    heard: Arc<Mutex<Overheard>>,
}

struct TapUdp {
    socket: Box<dyn Datagrams>,
    heard: Arc<Mutex<Overheard>>,
}

struct TapStream {
    stream: Box<dyn Stream>,
    heard: Arc<Mutex<Overheard>>,
    number: usize,
}

impl Network for Tap {
    fn bind(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Datagrams>>> {
        Box::pin(async move {
            let socket = self.net.bind(at).await?;
            Ok(Box::new(TapUdp { socket, heard: Arc::clone(&self.heard) }) as Box<dyn Datagrams>)
        })
    }

    fn listen(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        self.net.listen(at)
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let stream = self.net.connect(to).await?;
            let mut heard = self.heard.lock().expect("nothing panics with it");
            let number = heard.streams.len();
            if number < STREAMS_MAX {
                heard.streams.push(Vec::new());
            }
            Ok(Box::new(TapStream { stream, heard: Arc::clone(&self.heard), number }) as Box<dyn Stream>)
        })
    }

    fn lookup<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        self.net.lookup(host, port)
    }

    fn own_addresses(&self) -> Vec<IpAddr> {
        self.net.own_addresses()
    }
}

impl Datagrams for TapUdp {
    fn send(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        let mut heard = self.heard.lock().expect("nothing panics with it");
        if heard.packets.len() < PACKETS_MAX {
            heard.packets.push((to, bytes.to_vec()));
        }
        drop(heard);
        self.socket.send(to, bytes)
    }

    fn receive<'a>(&'a self, buffer: &'a mut [u8]) -> BoxFuture<'a, io::Result<(usize, SocketAddr)>> {
        self.socket.receive(buffer)
    }

    fn local(&self) -> io::Result<SocketAddr> {
        self.socket.local()
    }
}

impl AsyncRead for TapStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for TapStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(length)) = &written
            && let Some(stream) = self.heard.lock().expect("nothing panics with it").streams.get_mut(self.number)
            && stream.len() < STREAM_BYTES_MAX
        {
            stream.extend_from_slice(&bytes[..*length]);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

struct Node {
    cluster: Cluster,
    watch: watch::Receiver<u64>,
    state: Arc<Records>,
    metrics: ClusterMetrics,
}

/// What a node sees: names, generations and whether they live, and how many records.
type View = (Vec<(String, u64, bool)>, usize);

pub struct Lab {
    runtime: Runtime,
    nodes: Vec<Node>,
    pub attacker: Arc<dyn Network>,
    pub socket: Box<dyn Datagrams>,
    pub heard: Overheard,
    /// Processes, as their packets name them.
    pub instances: Vec<u64>,
    is_sealed: bool,
    /// As it was before any attack: names and generations, and records of each.
    before: Vec<View>,
}

impl Lab {
    pub fn new(is_sealed: bool) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("it needs nothing");
        let net = SimNet::new(1);
        let (nodes, heard) = runtime.block_on(cluster(&net, is_sealed));
        let attacker = net.host(ip(66));
        let socket = runtime.block_on(attacker.bind(SocketAddr::new(ip(66), PORT))).expect("it is free");
        let heard = std::mem::take(&mut *heard.lock().expect("nothing panics with it"));
        let instance =
            |packet: &[u8]| packet.get(12..20).and_then(|b| b.first_chunk::<8>()).map(|b| u64::from_le_bytes(*b));
        let mut instances: Vec<u64> = heard.packets.iter().filter_map(|(_, packet)| instance(packet)).collect();
        instances.sort_unstable();
        instances.dedup();
        instances.truncate(8);
        let mut lab = Lab { runtime, nodes, attacker, socket, heard, instances, is_sealed, before: Vec::new() };
        lab.before = lab.picture();
        lab
    }

    /// Lets the nodes do what they have to.
    pub fn advance(&self, time: Duration) {
        self.runtime.block_on(async { sleep(time).await });
    }

    pub fn inside<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Strangers and nonsense counted by all nodes so far.
    pub fn counted(&self) -> u64 {
        self.nodes.iter().map(|node| self.strangers(&node.metrics) + node.metrics.malformed_total.get()).sum()
    }

    fn strangers(&self, metrics: &ClusterMetrics) -> u64 {
        let reasons = ["foreign", "label", "seal", "version"];
        reasons.iter().map(|reason| metrics.strangers_total.with_label_values(&[reason]).get()).sum()
    }

    /// Packets that did not get through all of the head and the seal.
    pub fn strangers_total(&self) -> u64 {
        self.nodes.iter().map(|node| self.strangers(&node.metrics)).sum()
    }

    fn picture(&self) -> Vec<View> {
        let of = |node: &Node| {
            let members = node.cluster.members().into_iter();
            let members = members.map(|member| (member.name.clone(), member.generation, member.is_live()));
            (members.collect(), node.state.all().len())
        };
        self.nodes.iter().map(of).collect()
    }

    /// What has to hold whatever came.
    pub fn check(&self) {
        for node in &self.nodes {
            assert!(node.watch.has_changed().is_ok(), "a node's task has ended");
            assert!(node.cluster.view().members.len() <= MEMBERS_MAX, "a node has too many members");
        }
        if self.is_sealed {
            assert_eq!(self.picture(), self.before, "strangers have changed something");
        }
    }

    /// The nodes still do what they are for.
    pub fn check_work(&self, round: u64) {
        self.runtime.block_on(async {
            let record = [&[LAST_KEY][..], &round.to_be_bytes()].concat();
            self.nodes[2].state.merge(KIND, &record, "");
            self.nodes[2].cluster.broadcast(KIND, &[LAST_KEY], round, record.clone().into(), Urgency::AtOnce);
            sleep(Duration::from_secs(1)).await;
            let holds = |node: &Node| node.state.all().get(&LAST_KEY) == Some(&record);
            assert!(self.nodes.iter().all(holds), "a record does not arrive any more");
        });
    }

    /// The nodes can still be stopped in good order, however confused they are.
    pub fn check_leave(&self) {
        self.runtime.block_on(async {
            for node in &self.nodes {
                let left = tokio::time::timeout(Duration::from_secs(5), node.cluster.leave()).await;
                assert!(left.is_ok(), "a node cannot be stopped any more");
            }
        });
    }
}

async fn cluster(net: &SimNet, is_sealed: bool) -> (Vec<Node>, Arc<Mutex<Overheard>>) {
    let heard: Arc<Mutex<Overheard>> = Arc::default();
    let peers: Vec<String> = (1..=3).map(|host| SocketAddr::new(ip(host), PORT).to_string()).collect();
    let mut nodes = Vec::new();
    for (host, name) in [(1, "a"), (2, "b"), (3, "c")] {
        let listen = SocketAddr::new(ip(host), PORT).to_string().parse().expect("an address");
        let mut config = ClusterConfig { peers: peers.clone(), ..ClusterConfig::new(name, listen) };
        if is_sealed {
            config.keys = vec![SecretKey::new(SECRET).expect("long enough")];
        }
        let network: Arc<dyn Network> = match host {
            3 => Arc::new(Tap { net: net.host(ip(3)), heard: Arc::clone(&heard) }),
            _ => net.host(ip(host)),
        };
        let (state, metrics) = (Arc::new(Records::default()), ClusterMetrics::new(&Registry::new()));
        let clock = Clock::simulated(chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::days(20_000));
        let random = Random::seeded(u64::from(host));
        let seams = (Arc::clone(&state) as Arc<dyn State>, Arc::new(Parrot));
        let cluster = Cluster::start(config, network, clock, random, metrics.clone(), seams.0, seams.1).await;
        let cluster = cluster.expect("it starts");
        nodes.push(Node { watch: cluster.watch(), cluster, state, metrics });
    }
    sleep(Duration::from_secs(10)).await;
    for key in (0..40u8).chain([LAST_KEY]) {
        let record = vec![key; 1 + usize::from(key % LAST_KEY) * 40];
        nodes[2].state.merge(KIND, &record, "");
        nodes[2].cluster.broadcast(KIND, &[key], 1, record.into(), Urgency::Normal);
        sleep(Duration::from_millis(200)).await;
    }
    sleep(Duration::from_secs(10)).await;
    (nodes, heard)
}
