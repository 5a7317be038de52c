//! A network in memory, for simulations in tokio's virtual time: hosts by address, latency, loss, cuts in one
//! direction, blocked UDP, hosts that die or hang, and a table of names. One seed, one course of events.
//!
//! Streams are never lossy: loss delays their bytes, a cut holds them back until it is mended, a dead host breaks them.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split},
    sync::mpsc,
    time::sleep,
};

use super::network::{Datagrams, Listener, Network, Stream};
use crate::random::Random;

const STREAM_BUFFER_BYTES: usize = 64 << 10;
const DATAGRAMS_QUEUED_MAX: usize = 4096;
/// How often what is held back looks whether it may go on.
const RETRY: Duration = Duration::from_millis(50);
/// How often an idle stream looks whether both ends live.
const LOOK: Duration = Duration::from_secs(1);
/// What a lost segment costs.
const RETRANSMIT: Duration = Duration::from_millis(200);

/// The whole network. Clones are the same network.
#[derive(Clone)]
pub struct SimNet(Arc<Mutex<World>>);

/// A stream, and who has opened it.
type Accepted = (Box<dyn Stream>, SocketAddr);

struct World {
    random: Random,
    latency_min: Duration,
    latency_max: Duration,
    loss: f64,
    udp_blocked: bool,
    /// Directed pairs that nothing passes.
    cut: BTreeSet<(IpAddr, IpAddr)>,
    /// Directed pairs that no UDP passes.
    udp_cut: BTreeSet<(IpAddr, IpAddr)>,
    /// Hosts that answer nothing, not even with a refusal.
    dark: BTreeSet<IpAddr>,
    /// Lives of the process on a host: streams of an earlier life are broken.
    lives: BTreeMap<IpAddr, u64>,
    names: BTreeMap<String, Vec<IpAddr>>,
    udp: BTreeMap<SocketAddr, mpsc::Sender<(SocketAddr, Vec<u8>)>>,
    tcp: BTreeMap<SocketAddr, mpsc::Sender<Accepted>>,
    ports: u16,
    datagrams: u64,
    datagram_bytes: u64,
    stream_bytes: u64,
}

/// What was sent so far by all hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub datagrams: u64,
    pub datagram_bytes: u64,
    pub stream_bytes: u64,
}

impl SimNet {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        SimNet(Arc::new(Mutex::new(World {
            random: Random::seeded(seed),
            latency_min: Duration::from_millis(1),
            latency_max: Duration::from_millis(3),
            loss: 0.0,
            udp_blocked: false,
            cut: BTreeSet::new(),
            udp_cut: BTreeSet::new(),
            dark: BTreeSet::new(),
            lives: BTreeMap::new(),
            names: BTreeMap::new(),
            udp: BTreeMap::new(),
            tcp: BTreeMap::new(),
            ports: 40_000,
            datagrams: 0,
            datagram_bytes: 0,
            stream_bytes: 0,
        })))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The network as the process on `ip` sees it, from now on: a new life of that host.
    #[must_use]
    pub fn host(&self, ip: IpAddr) -> Arc<dyn Network> {
        self.kill(ip);
        let mut world = self.world();
        world.dark.remove(&ip);
        let life = world.lives.get(&ip).copied().unwrap_or(0);
        Arc::new(Host { net: self.clone(), ip, life })
    }

    pub fn set_latency(&self, min: Duration, max: Duration) {
        let mut world = self.world();
        (world.latency_min, world.latency_max) = (min, max);
    }

    /// Of each datagram, and of each segment of a stream, in each direction.
    pub fn set_loss(&self, loss: f64) {
        self.world().loss = loss;
    }

    pub fn block_udp(&self, blocked: bool) {
        self.world().udp_blocked = blocked;
    }

    /// Nothing passes from `from` to `to`.
    pub fn cut_one_way(&self, from: IpAddr, to: IpAddr) {
        self.world().cut.insert((from, to));
    }

    /// No datagram passes from `from` to `to`.
    pub fn cut_udp_one_way(&self, from: IpAddr, to: IpAddr) {
        self.world().udp_cut.insert((from, to));
    }

    pub fn cut(&self, a: IpAddr, b: IpAddr) {
        self.cut_one_way(a, b);
        self.cut_one_way(b, a);
    }

    /// Nothing passes between hosts of different groups.
    pub fn partition(&self, groups: &[&[IpAddr]]) {
        for (i, group) in groups.iter().enumerate() {
            for a in *group {
                for b in groups.iter().skip(i + 1).flat_map(|other| other.iter()) {
                    self.cut(*a, *b);
                }
            }
        }
    }

    /// Mends all cuts.
    pub fn heal(&self) {
        let mut world = self.world();
        world.cut.clear();
        world.udp_cut.clear();
    }

    /// The process dies: its ports refuse, its streams break.
    pub fn kill(&self, ip: IpAddr) {
        let mut world = self.world();
        *world.lives.entry(ip).or_default() += 1;
        world.udp.retain(|address, _| address.ip() != ip);
        world.tcp.retain(|address, _| address.ip() != ip);
    }

    /// The machine dies or hangs: nothing comes from it any more, and nothing is refused.
    pub fn darken(&self, ip: IpAddr) {
        self.world().dark.insert(ip);
    }

    /// It is back, as if nothing had been.
    pub fn lighten(&self, ip: IpAddr) {
        self.world().dark.remove(&ip);
    }

    pub fn set_name(&self, name: &str, addresses: &[IpAddr]) {
        self.world().names.insert(name.to_owned(), addresses.to_vec());
    }

    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let world = self.world();
        Traffic { datagrams: world.datagrams, datagram_bytes: world.datagram_bytes, stream_bytes: world.stream_bytes }
    }
}

impl World {
    fn latency(&self) -> Duration {
        self.latency_min + (self.latency_max.saturating_sub(self.latency_min)).mul_f64(self.random.unit_f64())
    }

    fn passes(&self, from: IpAddr, to: IpAddr) -> bool {
        !self.cut.contains(&(from, to)) && !self.dark.contains(&from) && !self.dark.contains(&to)
    }

    fn lost(&self) -> bool {
        self.loss > 0.0 && self.random.unit_f64() < self.loss
    }

    fn life(&self, ip: IpAddr) -> u64 {
        self.lives.get(&ip).copied().unwrap_or(0)
    }
}

struct Host {
    net: SimNet,
    ip: IpAddr,
    life: u64,
}

impl Host {
    fn is_gone(&self) -> bool {
        self.net.world().life(self.ip) != self.life
    }

    fn at(&self, wanted: SocketAddr) -> SocketAddr {
        let mut world = self.net.world();
        world.ports = world.ports.checked_add(1).unwrap_or(40_000);
        SocketAddr::new(self.ip, if wanted.port() == 0 { world.ports } else { wanted.port() })
    }
}

impl Network for Host {
    fn bind(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Datagrams>>> {
        let at = self.at(at);
        let (sender, receiver) = mpsc::channel(DATAGRAMS_QUEUED_MAX);
        self.net.world().udp.insert(at, sender);
        let socket = SimUdp { net: self.net.clone(), at, life: self.life, receiver: tokio::sync::Mutex::new(receiver) };
        Box::pin(async move { Ok(Box::new(socket) as Box<dyn Datagrams>) })
    }

    fn listen(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        let at = self.at(at);
        let (sender, receiver) = mpsc::channel(64);
        self.net.world().tcp.insert(at, sender);
        Box::pin(async move { Ok(Box::new(SimListener { at, receiver }) as Box<dyn Listener>) })
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        let from = self.at(SocketAddr::new(self.ip, 0));
        Box::pin(async move {
            let trip = {
                let world = self.net.world();
                world.latency() + world.latency()
            };
            sleep(trip).await;
            // Like a SYN that nobody answers: until the caller has had enough.
            while !{
                let world = self.net.world();
                world.passes(from.ip(), to.ip()) && world.passes(to.ip(), from.ip())
            } {
                sleep(RETRY).await;
            }
            if self.is_gone() {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            let (listener, lives) = {
                let world = self.net.world();
                (world.tcp.get(&to).cloned(), [(from.ip(), self.life), (to.ip(), world.life(to.ip()))])
            };
            let Some(listener) = listener else { return Err(io::ErrorKind::ConnectionRefused.into()) };
            let (near, near_wire) = duplex(STREAM_BUFFER_BYTES);
            let (far, far_wire) = duplex(STREAM_BUFFER_BYTES);
            pump(self.net.clone(), near_wire, far_wire, lives);
            listener.try_send((Box::new(far), from)).map_err(|_| io::ErrorKind::ConnectionRefused)?;
            Ok(Box::new(near) as Box<dyn Stream>)
        })
    }

    fn lookup<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        let host = host.trim_end_matches('.');
        let found = match host.parse() {
            Ok(ip) => Some(vec![ip]),
            Err(_) => self.net.world().names.get(host).cloned(),
        };
        Box::pin(async move {
            let found = found.ok_or_else(|| io::Error::other("no such host"))?;
            Ok(found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
        })
    }

    fn own_addresses(&self) -> Vec<IpAddr> {
        vec![self.ip]
    }
}

/// Carries bytes both ways between the two ends of a stream.
fn pump(net: SimNet, near: DuplexStream, far: DuplexStream, lives: [(IpAddr, u64); 2]) {
    let [(near_ip, _), (far_ip, _)] = lives;
    let (mut near_read, mut near_write) = split(near);
    let (mut far_read, mut far_write) = split(far);
    let forth = {
        let net = net.clone();
        async move { one_way(&net, (near_ip, far_ip), lives, &mut near_read, &mut far_write).await }
    };
    let back = async move { one_way(&net, (far_ip, near_ip), lives, &mut far_read, &mut near_write).await };
    // Whichever direction ends first, the other is of no use to us: dropping both ends the stream.
    tokio::spawn(async move {
        tokio::select! { biased; () = forth => {}, () = back => {} }
    });
}

async fn one_way(
    net: &SimNet,
    (from, to): (IpAddr, IpAddr),
    lives: [(IpAddr, u64); 2],
    read: &mut (impl AsyncReadExt + Unpin),
    write: &mut (impl AsyncWriteExt + Unpin),
) {
    let mut buffer = vec![0; 16 << 10];
    let dead = || lives.iter().any(|(ip, life)| net.world().life(*ip) != *life);
    loop {
        // An idle stream of a dead process is found broken a moment after.
        let read = tokio::time::timeout(LOOK, read.read(&mut buffer)).await;
        if dead() && net.world().passes(from, to) {
            return;
        }
        let length = match read {
            Err(_) => continue,
            Ok(Ok(length)) if length > 0 => length,
            Ok(_) => return,
        };
        let mut delay = net.world().latency();
        while net.world().lost() {
            delay += RETRANSMIT;
        }
        sleep(delay).await;
        while !net.world().passes(from, to) {
            sleep(RETRY).await;
        }
        net.world().stream_bytes += length as u64;
        if dead() || write.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

struct SimListener {
    at: SocketAddr,
    receiver: mpsc::Receiver<Accepted>,
}

impl Listener for SimListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Box<dyn Stream>, SocketAddr)>> {
        Box::pin(async move {
            match self.receiver.recv().await {
                Some(accepted) => Ok(accepted),
                // Killed: whoever still waits here waits for ever.
                None => std::future::pending().await,
            }
        })
    }

    fn local(&self) -> io::Result<SocketAddr> {
        Ok(self.at)
    }
}

struct SimUdp {
    net: SimNet,
    at: SocketAddr,
    life: u64,
    receiver: tokio::sync::Mutex<mpsc::Receiver<(SocketAddr, Vec<u8>)>>,
}

impl Datagrams for SimUdp {
    fn send(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        let mut world = self.net.world();
        if world.life(self.at.ip()) != self.life {
            return Ok(());
        }
        world.datagrams += 1;
        world.datagram_bytes += bytes.len() as u64;
        let (from, ips) = (self.at, (self.at.ip(), to.ip()));
        if world.lost() || world.udp_blocked || world.udp_cut.contains(&ips) || !world.passes(ips.0, ips.1) {
            return Ok(());
        }
        let (delay, net, bytes) = (world.latency(), self.net.clone(), bytes.to_vec());
        tokio::spawn(async move {
            sleep(delay).await;
            let world = net.world();
            if world.passes(from.ip(), to.ip())
                && let Some(receiver) = world.udp.get(&to)
            {
                // A full queue drops, as a socket's buffer does.
                let _ = receiver.try_send((from, bytes));
            }
        });
        Ok(())
    }

    fn receive<'a>(&'a self, buffer: &'a mut [u8]) -> BoxFuture<'a, io::Result<(usize, SocketAddr)>> {
        Box::pin(async move {
            match self.receiver.lock().await.recv().await {
                Some((from, bytes)) => {
                    let length = bytes.len().min(buffer.len());
                    buffer[..length].copy_from_slice(&bytes[..length]);
                    Ok((length, from))
                }
                None => std::future::pending().await,
            }
        })
    }

    fn local(&self) -> io::Result<SocketAddr> {
        Ok(self.at)
    }
}
