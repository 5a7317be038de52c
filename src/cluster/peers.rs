//! What is known of each node that is or was a member.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use chrono::TimeDelta;
use tokio::time::Instant;

use super::{delivery::Held, identity::Identity, wire::Phase};

/// Names that are remembered; far beyond any cluster.
const PEERS_MAX: usize = 2048;
/// A member that fell silent on UDP gets its packets over TCP as well, for so long.
pub(super) const ALSO_TCP: Duration = Duration::from_secs(30);
/// UDP heard within this time works.
pub(super) const UDP_FRESH: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Live,
    Down(Instant),
    /// In good order.
    Left(Instant),
}

#[derive(Debug)]
pub(super) struct Peer {
    pub identity: Identity,
    /// Which process, once greeted.
    pub instance: Option<u64>,
    pub standing: Standing,
    /// Since then it is in sight.
    pub live_since: Option<Instant>,
    pub version: String,
    /// Whether it has settled; `None`: it has not said so yet.
    pub phase: Option<Phase>,
    /// As it said in its greeting.
    pub features: u64,
    /// Until then its probes are written out in full: something is wrong.
    pub full_until: Option<Instant>,
    /// It is being called, since a stream broke.
    pub is_tried: bool,
    pub exchanged_at: Option<Instant>,
    pub needs_exchange: bool,
    pub offset: Option<TimeDelta>,
    pub round_trip: Option<Duration>,
    pub udp_heard: Option<Instant>,
    pub tcp_works: Option<bool>,
    pub also_tcp_until: Option<Instant>,
    pub held: Held,
    /// The last attempt to reach it, while it was down, has failed.
    pub unreachable: bool,
}

impl Peer {
    fn new(identity: Identity, standing: Standing) -> Self {
        Peer {
            identity,
            instance: None,
            standing,
            live_since: None,
            version: String::new(),
            phase: None,
            features: 0,
            full_until: None,
            is_tried: false,
            exchanged_at: None,
            needs_exchange: true,
            offset: None,
            round_trip: None,
            udp_heard: None,
            tcp_works: None,
            also_tcp_until: None,
            held: Held::default(),
            unreachable: false,
        }
    }

    pub fn is_live(&self) -> bool {
        self.standing == Standing::Live
    }

    /// Which process this is. Another one than before holds nothing, and knows nothing.
    pub fn is_process(&mut self, instance: u64) {
        if self.instance != Some(instance) {
            self.instance = Some(instance);
            self.held = Held::default();
            self.needs_exchange = true;
            self.phase = None;
            self.features = 0;
        }
    }

    /// What it said of its settling; words may overtake each other. True: that is news.
    pub fn hear_phase(&mut self, phase: Phase) -> bool {
        let before = self.phase;
        self.phase = before.max(Some(phase));
        self.is_settled() != before.is_some_and(Phase::is_settled)
    }

    pub fn is_settled(&self) -> bool {
        self.phase.is_some_and(Phase::is_settled)
    }
}

#[derive(Debug, Default)]
pub(super) struct Peers(BTreeMap<Arc<str>, Peer>);

impl Peers {
    pub fn get(&self, name: &str) -> Option<&Peer> {
        self.0.get(name)
    }

    pub fn get_mut(&mut self, name: &str) -> Option<&mut Peer> {
        self.0.get_mut(name)
    }

    /// The peer of this identity's name, made if there is room; a newer identity takes the older one's place.
    pub fn with(&mut self, identity: &Identity, standing: Standing) -> Option<&mut Peer> {
        if !self.0.contains_key(&identity.name) {
            if self.0.len() >= PEERS_MAX {
                return None;
            }
            self.0.insert(Arc::clone(&identity.name), Peer::new(identity.clone(), standing));
        }
        let peer = self.0.get_mut(&identity.name)?;
        if identity.generation > peer.identity.generation {
            peer.identity = identity.clone();
        }
        Some(peer)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.0.values()
    }

    pub fn live(&self) -> impl Iterator<Item = &Peer> + Clone {
        self.0.values().filter(|peer| peer.is_live())
    }

    pub fn live_mut(&mut self) -> impl Iterator<Item = &mut Peer> {
        self.0.values_mut().filter(|peer| peer.is_live())
    }

    pub fn at(&self, address: SocketAddr) -> Option<&Peer> {
        // Of two names at one address the live one counts.
        let mut found = self.0.values().filter(|peer| peer.identity.address == address);
        found.clone().find(|peer| peer.is_live()).or_else(|| found.next())
    }

    pub fn at_mut(&mut self, address: SocketAddr) -> Option<&mut Peer> {
        let name = self.at(address).map(|peer| Arc::clone(&peer.identity.name))?;
        self.0.get_mut(&name)
    }

    pub fn by_instance(&self, instance: u64) -> Option<&Peer> {
        self.0.values().find(|peer| peer.instance == Some(instance))
    }

    pub fn retain(&mut self, keep: impl FnMut(&Arc<str>, &mut Peer) -> bool) {
        self.0.retain(keep);
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}
