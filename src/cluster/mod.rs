//! The cluster: who the other nodes are, and how bytes travel between them. It knows bytes and names only; what a
//! record means is the business of the [`State`] that is handed in, what a question means that of the [`Handler`].
//!
//! # Who sends what, when
//! *Membership* is SWIM (foca): one random member is pinged each period, by others' help when it is silent; news of
//! members and small deltas ride on these packets. A member that does not answer is suspected, then tried over TCP,
//! and only then down; one whose port refuses connections is down at once. A node that finds its own timers late
//! moves them instead of accusing others.
//!
//! *Joining* is over TCP: a greeting tells names, addresses, generations and clocks, the two nodes take each other in
//! as members, and exchange state. Configured peers that are not members are called again and again (discovery, and
//! the reconnect interval), so a total split heals by itself.
//!
//! *Deltas* ([`Cluster::broadcast`]) get a number and are gossiped at once; many at a time, or large ones, go to each
//! live member over TCP. Members acknowledge numbers; what is not acknowledged after a second is sent again over
//! TCP. Every few seconds a random member is asked whether its state is the same, by digest, and the differences
//! are exchanged: see [`Digest`].
//!
//! *Questions* ([`Cluster::call`]) go over UDP, and 300 ms later over TCP; *news* ([`Cluster::tell`]) over both.
//!
//! # Inside
//! `node` is the one task that decides; `core` is foca with its cures, `delivery` the numbers, `peers` what is known
//! of each member, `discovery`, `calls` and `settle` small pure parts. `link`, `exchange` and `greet` move bytes over
//! streams, `wire` and `seal` are the format, `network` is the seam to the machine and [`sim`] the one to nothing.

mod address;
mod calls;
pub(crate) mod codec;
mod core;
mod delivery;
mod digest;
mod discovery;
mod exchange;
mod greet;
mod handle;
mod identity;
mod link;
pub mod metrics;
pub mod network;
mod node;
mod peers;
mod seal;
mod settle;
pub mod sim;
pub mod tls;
mod wire;

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests look at virtual time")]
mod tests;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::TimeDelta;
use futures_util::future::BoxFuture;

pub use self::{
    digest::{Digest, Tally},
    handle::{Answers, Cluster},
    metrics::ClusterMetrics,
    network::Network,
    seal::{KeyError, SecretKey},
    tls::ClusterTls,
};
use crate::cli::HostPort;

/// The number of a kind of replicated records; the meaning is the state's.
pub type Kind = u8;

/// Name length that still leaves room for deltas in a packet.
pub const NAME_LENGTH_MAX: usize = 128;

/// The records that nodes share. Called from several tasks; must not block for long.
pub trait State: Send + Sync + 'static {
    /// The kinds of records there are here. Others are passed on, not kept.
    fn kinds(&self) -> Vec<Kind>;
    /// What a kind is called in metrics.
    fn name(&self, kind: Kind) -> &'static str;
    /// What is held of `kind`, in short.
    fn digest(&self, kind: Kind) -> Digest;
    /// The encoded records of `kind` that the holder of `theirs` lacks, or may lack.
    fn missing(&self, kind: Kind, theirs: &Digest) -> Vec<Bytes>;
    /// Takes in a record of the node named `from` (empty when unknown).
    fn merge(&self, kind: Kind, record: &[u8], from: &str) -> Merge;
}

/// What a record did to the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    News,
    Known,
    /// Not a record of this kind, or of no kind that is known.
    Unreadable,
}

/// Answers what peers ask.
pub trait Handler: Send + Sync + 'static {
    /// A question of the node named `from`; `None`: no answer at all.
    fn call(&self, from: String, payload: Bytes) -> BoxFuture<'static, Option<Bytes>>;
    /// News of the node named `from`. Told once, in whatever order. Must not block.
    fn tell(&self, from: &str, payload: Bytes);
}

/// How a delta leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Gossip, or TCP when there is much.
    Normal,
    /// Gossip and TCP to every live member, both at once.
    AtOnce,
}

/// How news leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// One packet to each live member, unless it does not fit in one.
    Udp,
    /// A packet if it fits in one, and TCP in any case.
    UdpAndTcp,
}

/// Where to save a generation that must never be used again.
pub type SaveGeneration = Arc<dyn Fn(u64) + Send + Sync>;

#[derive(Clone)]
pub struct ClusterConfig {
    /// Stable over restarts: the flag, or what the data directory has kept.
    pub name: String,
    /// Version of the program, shown to peers.
    pub version: String,
    pub listen: HostPort,
    pub advertise: Option<SocketAddr>,
    /// Let a public address be found and advertised.
    pub allow_public_address: bool,
    /// `host:port` each.
    pub peers: Vec<String>,
    pub label: String,
    /// The first seals, all open. Empty: nothing is sealed.
    pub keys: Vec<SecretKey>,
    /// Everything over TLS, no UDP.
    pub tls: Option<ClusterTls>,
    /// The highest generation that was ever saved; 0: none.
    pub generation: u64,
    pub save_generation: SaveGeneration,
    pub peers_resolve_timeout: Duration,
    pub gossip_interval: Duration,
    /// Upper bound of the time between comparisons of state.
    pub push_pull_interval: Duration,
    pub tcp_timeout: Duration,
    pub probe_timeout: Duration,
    pub probe_interval: Duration,
    pub settle_timeout: Duration,
    pub reconnect_interval: Duration,
    pub reconnect_timeout: Duration,
}

impl ClusterConfig {
    /// With the defaults of the flags.
    #[must_use]
    pub fn new(name: impl Into<String>, listen: HostPort) -> Self {
        ClusterConfig {
            name: name.into(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            listen,
            advertise: None,
            allow_public_address: false,
            peers: Vec::new(),
            label: String::new(),
            keys: Vec::new(),
            tls: None,
            generation: 0,
            save_generation: Arc::new(|_| {}),
            peers_resolve_timeout: Duration::from_secs(15),
            gossip_interval: Duration::from_millis(200),
            push_pull_interval: Duration::from_secs(60),
            tcp_timeout: Duration::from_secs(10),
            probe_timeout: Duration::from_millis(500),
            probe_interval: Duration::from_secs(1),
            settle_timeout: Duration::from_secs(60),
            reconnect_interval: Duration::from_secs(10),
            reconnect_timeout: Duration::from_secs(6 * 3600),
        }
    }
}

/// Why a node cannot be part of the cluster.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error("the cluster address {address} cannot be listened on: {source}")]
    Listen { address: String, source: std::io::Error },
    #[error("--cluster.listen-address {0:?} does not resolve to an address")]
    ListenAddress(String),
    #[error("--cluster.peer {peer:?}: {source}")]
    Peer { peer: String, source: crate::cli::HostPortError },
    #[error("no private address was found to advertise to peers; set --cluster.advertise-address")]
    NoAddress,
    #[error("the name {0:?} cannot be used: --cluster.peer-name must have 1 to {NAME_LENGTH_MAX} bytes")]
    Name(String),
    #[error(
        "the name {name:?} is in use by a live node at {address}; every node needs a --cluster.peer-name of its own \
         (and a --storage.path of its own)"
    )]
    NameTaken { name: String, address: String },
}

/// How a member is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    Alive,
    /// Did not answer a probe; counts as alive.
    Suspect,
    /// Was a member and is out of sight.
    Down,
}

/// One known node.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    pub name: String,
    pub address: SocketAddr,
    pub generation: u64,
    pub state: MemberState,
    /// It has exchanged state with its peers, and may speak.
    pub settled: bool,
    pub is_self: bool,
    /// Time since its state was last compared with ours.
    pub last_exchange: Option<Duration>,
    /// Its clock minus ours.
    pub clock_offset: Option<TimeDelta>,
    pub round_trip: Option<Duration>,
    /// Whether its UDP packets arrive; `None`: it came too lately to tell.
    pub udp: Option<bool>,
    /// Whether its TCP port answers; `None`: not tried yet.
    pub tcp: Option<bool>,
    /// Deltas that it has not acknowledged yet.
    pub lag: usize,
    /// Version of its program; empty as long as it is not known.
    pub version: String,
}

impl Member {
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.state != MemberState::Down
    }
}

/// The cluster at one moment. Members are in the order of their names.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub members: Vec<Member>,
    pub settled: bool,
    /// How often own timers were late; whoever asked before the last time must ask again.
    pub gaps: u64,
    /// Why this node was refused by the others.
    pub refused: Option<String>,
}

impl View {
    /// Live members, this node included.
    pub fn live(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.is_live())
    }

    /// Live members that may speak, in whose order turns are taken; this node included in any case. A node that is
    /// starting holds nobody up.
    pub fn ready(&self) -> impl Iterator<Item = &Member> {
        self.live().filter(|member| member.settled || member.is_self)
    }

    /// Index of this node among the live members.
    #[must_use]
    pub fn position(&self) -> usize {
        self.live().position(|member| member.is_self).unwrap_or(0)
    }

    /// What to add to the own clock: the median of the known members' offsets; of two clocks the slower.
    #[must_use]
    pub fn clock_correction(&self) -> TimeDelta {
        let offset = |member: &Member| if member.is_self { Some(TimeDelta::zero()) } else { member.clock_offset };
        let mut offsets: Vec<_> = self.members.iter().filter_map(offset).collect();
        offsets.sort_unstable();
        let middle = offsets.len().saturating_sub(1) / 2;
        offsets.get(middle).copied().unwrap_or_default()
    }
}
