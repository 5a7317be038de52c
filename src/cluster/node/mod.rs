//! The one task of a node: packets, messages of streams, commands and times come in; it decides, and packets,
//! messages and streams go out. Nothing here waits but for input.
//!
//! `membership` is who is there, `contacts` who is called, `messages` what is said, `deltas` how changes travel, `view` what
//! the outside sees.

mod contacts;
mod deltas;
mod membership;
mod messages;
mod view;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::{
    sync::{Notify, Semaphore, mpsc, oneshot, watch},
    time::{Instant, sleep, sleep_until},
};

use self::{contacts::Contact, messages::Comparison};
use super::{
    ClusterConfig, ClusterError, ClusterMetrics, Handler, Kind, Network, State, Urgency, Via, View,
    address::peers_cannot_reach,
    calls::{Asked, Heard},
    core::{Core, CoreConfig},
    delivery::Log,
    discovery::Discovery,
    greet::{Env, Event, Shared},
    identity::Identity,
    network::Datagrams,
    peers::Peers,
    seal::{Replays, Seal},
    settle::Settle,
    wire::{Phase, cluster_id},
};
use crate::{clock::Clock, random::Random};

const EVENTS_MAX: usize = 1024;
/// Commands and events taken in one round, so that packets and timers have their turn.
const COMMANDS_STEP: usize = 512;
const EVENTS_STEP: usize = 64;
const HANDLERS_MAX: usize = 256;
/// Time between looks at everything that needs no better timing: not before, if there is something else to do, and
/// not after.
const HOUSE: Duration = Duration::from_millis(1000);
const HOUSE_CALM: Duration = Duration::from_millis(2500);
/// The same while somebody is out of sight.
const HOUSE_CALLING: Duration = Duration::from_millis(500);
/// The same while state has to be exchanged with peers.
const HOUSE_UNSETTLED: Duration = Duration::from_millis(100);
/// Time between look-ups of configured names, once settled.
const REFRESH: Duration = Duration::from_secs(15);
/// The same before.
const REFRESH_UNSETTLED: Duration = Duration::from_secs(1);
/// Time between comparisons of state with a random member. It doubles as long as nothing happens.
const COMPARE: Duration = Duration::from_secs(5);
const COMPARE_CALM: Duration = Duration::from_secs(20);
/// Own timers later than this are moved.
const LATE: Duration = Duration::from_millis(200);
/// This late, and the world may have changed meanwhile.
const GAP: Duration = Duration::from_secs(1);
/// `start` returns after this time at the latest.
const FIRST_ROUND: Duration = Duration::from_secs(2);

/// What the handle asks for.
#[derive(Debug)]
pub(super) enum Command {
    Broadcast { kind: Kind, key: u64, version: u64, record: Bytes, urgency: Urgency },
    Call { peers: BTreeSet<String>, payload: Bytes, limit: Duration, answers: mpsc::Sender<(String, Bytes)> },
    Tell { payload: Bytes, via: Via },
    Leave { done: oneshot::Sender<()> },
    Stall(Duration),
}

/// What the handle holds of the task.
pub(super) struct Running {
    pub view: Arc<ArcSwap<View>>,
    pub beat: Arc<Notify>,
    pub changed: watch::Receiver<u64>,
    pub first_round: oneshot::Receiver<Result<(), ClusterError>>,
}

pub(super) struct Node {
    env: Arc<Env>,
    config: ClusterConfig,
    core_config: CoreConfig,
    core: Core,
    udp: Option<Box<dyn Datagrams>>,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Receiver<Event>,
    advertised: SocketAddr,

    peers: Peers,
    discovery: Discovery,
    /// Look-ups under way.
    looking_up: BTreeSet<usize>,
    contacts: BTreeMap<SocketAddr, Contact>,
    /// Where others of this node's name were seen, and how often they were called in vain.
    rivals: BTreeMap<SocketAddr, u32>,
    /// Others of this name with a higher generation than this cannot be its own former lives.
    first_generation: u64,
    /// Addresses that turned out to be this node's, or a member's whose own address is another one.
    own_aliases: BTreeSet<SocketAddr>,
    aliases: BTreeMap<SocketAddr, Arc<str>>,
    links: BTreeMap<SocketAddr, mpsc::Sender<Bytes>>,
    settle: Settle,
    /// As told to the others.
    phase: Phase,
    /// After a gap it is the live members that have to be heard.
    settle_after_gap: bool,

    log: Log,
    /// Live members shall get over TCP what they lack, at this time.
    batch_at: Option<Instant>,
    resend_at: Instant,
    /// Acknowledgements that are due, by origin.
    acks_due: BTreeMap<u64, Instant>,
    asked: Asked,
    heard: Heard,
    handlers: Arc<Semaphore>,
    /// By number.
    comparing: BTreeMap<u64, Comparison>,

    replays: Replays,
    packets: u64,

    view: Arc<ArcSwap<View>>,
    changed: watch::Sender<u64>,
    /// Membership has changed since the view was made.
    dirty: bool,
    gaps: u64,
    lateness: i64,
    refused: Option<String>,
    first_round: Option<oneshot::Sender<Result<(), ClusterError>>>,
    first_round_until: Instant,
    /// This task runs: told at `beat_at`, and no more often.
    beat: Arc<Notify>,
    beat_at: Instant,
    house_at: Instant,
    refresh_at: Instant,
    compare_at: Instant,
    compare_every: Duration,
    /// To be told when this node has left.
    leaving: Option<oneshot::Sender<()>>,
}

enum Input {
    Packet(io::Result<(usize, SocketAddr)>),
    Event(Option<Event>),
    Command(Option<Command>),
    Time,
}

impl Node {
    #[allow(clippy::too_many_arguments, reason = "each is a seam of its own")]
    pub fn new(
        config: ClusterConfig,
        network: Arc<dyn Network>,
        clock: Clock,
        random: Random,
        metrics: ClusterMetrics,
        state: Arc<dyn State>,
        handler: Arc<dyn Handler>,
        advertised: SocketAddr,
        udp: Option<Box<dyn Datagrams>>,
        commands: mpsc::Receiver<Command>,
    ) -> Result<(Node, Running), ClusterError> {
        let discovery = Discovery::new(&config.peers)?;
        let now = clock.monotonic();
        let wall = u64::try_from(clock.now().timestamp_millis()).unwrap_or(0);
        let generation = wall.max(config.generation.saturating_add(1));
        (config.save_generation)(generation);
        let identity = Identity::new(&config.name, advertised, generation);
        let (instance, core_config) = (random.next_u64(), core_config(&config));
        let core = Core::new(identity.clone(), instance, &core_config, random.next_u64(), now);
        let (event_sender, events) = mpsc::channel(EVENTS_MAX);
        let shared =
            Shared { identity, members: Vec::new(), newest: 0, phase: Phase(1), names: BTreeMap::new(), open: true };
        let env = Env {
            network,
            tls: config.tls.clone(),
            seal: Seal::new(config.keys.clone(), random.clone()),
            cluster: cluster_id(&config.label),
            clock,
            random,
            metrics,
            state,
            handler,
            events: event_sender,
            instance,
            version: config.version.clone(),
            started: now,
            tcp_timeout: config.tcp_timeout,
            shared: Mutex::new(shared),
        };
        let (first_round, first_round_ended) = oneshot::channel();
        let (changed, watcher) = watch::channel(0);
        let beat = Arc::new(Notify::new());
        let view = Arc::new(ArcSwap::from_pointee(View::default()));
        let fixed: Vec<_> = discovery.addresses().into_iter().collect();
        if peers_cannot_reach(advertised, &fixed) {
            tracing::warn!(
                address = %advertised,
                "this node advertises an address at which its peers cannot reach it; set --cluster.advertise-address"
            );
        }
        let mut node = Node {
            settle: Settle::new(now, config.settle_timeout, config.peers_resolve_timeout),
            env: Arc::new(env),
            core_config,
            core,
            udp,
            commands,
            events,
            advertised,
            peers: Peers::default(),
            discovery,
            looking_up: BTreeSet::new(),
            contacts: BTreeMap::new(),
            rivals: BTreeMap::new(),
            first_generation: generation,
            own_aliases: BTreeSet::new(),
            aliases: BTreeMap::new(),
            links: BTreeMap::new(),
            phase: Phase(1),
            settle_after_gap: false,
            log: Log::new(instance),
            batch_at: None,
            resend_at: now,
            acks_due: BTreeMap::new(),
            asked: Asked::default(),
            heard: Heard::default(),
            handlers: Arc::new(Semaphore::new(HANDLERS_MAX)),
            comparing: BTreeMap::new(),
            replays: Replays::default(),
            packets: 0,
            view: Arc::clone(&view),
            changed,
            dirty: true,
            gaps: 0,
            lateness: 0,
            refused: None,
            first_round: Some(first_round),
            first_round_until: now + FIRST_ROUND,
            house_at: now,
            beat: Arc::clone(&beat),
            beat_at: now,
            refresh_at: now,
            compare_at: now + COMPARE,
            compare_every: COMPARE,
            leaving: None,
            config,
        };
        node.env.metrics.peers_joined_total.inc();
        node.publish(now);
        Ok((node, Running { view, beat, changed: watcher, first_round: first_round_ended }))
    }

    pub fn name(&self) -> &str {
        &self.config.name
    }

    pub fn env(&self) -> Arc<Env> {
        Arc::clone(&self.env)
    }

    /// Runs until the node leaves.
    pub async fn run(mut self) {
        let mut buffer = vec![0; 65_536];
        // What is due at once, before the first input.
        self.advance(self.env.clock.monotonic());
        loop {
            let deadline = self.deadline();
            let input = tokio::select! {
                biased;
                packet = receive(self.udp.as_deref(), &mut buffer) => Input::Packet(packet),
                event = self.events.recv() => Input::Event(event),
                command = self.commands.recv() => Input::Command(command),
                () = sleep_until(deadline) => Input::Time,
            };
            let now = self.env.clock.monotonic();
            self.notice_lateness(now.saturating_duration_since(deadline), now);
            match input {
                Input::Packet(Ok((length, from))) => {
                    let packet = buffer.get(..length).unwrap_or_default();
                    self.on_packet(packet, from, now);
                }
                // An error of an earlier datagram (nobody listens there); the next one may be well.
                Input::Packet(Err(_)) => sleep(Duration::from_millis(1)).await,
                Input::Event(Some(event)) => self.on_event(event, now),
                Input::Command(Some(Command::Stall(time))) => sleep(time).await,
                Input::Command(Some(command)) => self.on_commands(command, now),
                // All handles are gone: so is the node, without a word, as if it had been killed.
                Input::Command(None) | Input::Event(None) => return,
                Input::Time => {}
            }
            for _ in 0..EVENTS_STEP {
                let Ok(event) = self.events.try_recv() else { break };
                self.on_event(event, now);
            }
            self.advance(now);
            if let Some(done) = self.leaving.take() {
                // What others still send would make it join anew.
                return self.leave(done).await;
            }
        }
    }

    /// Takes what waits with the first command, so that a burst is seen as one.
    fn on_commands(&mut self, first: Command, now: Instant) {
        let mut next = Some(first);
        let mut deltas = Vec::new();
        let mut taken = 0;
        while let Some(command) = next.take() {
            taken += 1;
            match command {
                Command::Broadcast { kind, key, version, record, urgency } => {
                    deltas.extend(self.number(kind, key, version, record, now).map(|delta| (delta, urgency)));
                }
                Command::Call { peers, payload, limit, answers } => self.ask(peers, payload, limit, answers, now),
                Command::Tell { payload, via } => self.tell_all(payload, via),
                // After what was said before it, and nothing is taken after it.
                Command::Leave { done } => {
                    self.leaving = Some(done);
                    break;
                }
                Command::Stall(_) => {}
            }
            if taken < COMMANDS_STEP {
                next = self.commands.try_recv().ok();
            }
        }
        self.spread(deltas, now);
    }

    /// The moment at which something is due.
    fn deadline(&self) -> Instant {
        let resend = (!self.log.is_empty()).then_some(self.resend_at);
        let ack = self.acks_due.values().min().copied();
        let (exact, calm) = self.core.next_timers();
        let house = self.house_at + self.house_slack();
        let regular = house.min(self.refresh_at).min(self.compare_at);
        let regular = if self.is_calm() {
            // The beat comes with all of them.
            self.beat_at.min(self.env.clock.coarse(calm.map_or(regular, |calm| calm.min(regular))))
        } else {
            calm.into_iter().fold(self.beat_at.min(regular), Instant::min)
        };
        let times = [exact, self.asked.next(), self.batch_at, resend, ack];
        times.into_iter().flatten().fold(regular, Instant::min)
    }

    fn advance(&mut self, now: Instant) {
        if self.beat_at <= now {
            self.beat_at = self.env.clock.coarse(now + Duration::from_millis(1));
            self.beat.notify_one();
        }
        self.core.advance(now);
        self.pump(now);
        for (peers, message) in self.asked.advance(now) {
            self.say_to(&peers, &message);
        }
        self.send_acks(now);
        self.send_batches(now);
        if self.refresh_at <= now {
            self.look_up();
            self.refresh_at = now + if self.settle.is_settled() { REFRESH } else { REFRESH_UNSETTLED };
        }
        if self.compare_at <= now {
            self.compare(now);
            self.schedule_comparison(now);
            self.compare_every = (2 * self.compare_every).min(COMPARE_CALM);
        }
        let house = self.house_at <= now;
        if house {
            self.house_at = now
                + match self.settle.is_settled() {
                    true if self.contacts.is_empty() => HOUSE,
                    true => HOUSE_CALLING,
                    false => HOUSE_UNSETTLED,
                };
            self.forget(now);
            self.knock(now);
        }
        self.pump(now);
        if house || self.dirty || !self.settle.is_settled() {
            self.call_contacts(now);
            self.check_settled(now);
        }
        self.tell_phase();
        if house || self.dirty {
            self.publish(now);
        }
        self.check_first_round(now);
    }

    /// By how much the look at everything may be late, to go along with something else.
    fn house_slack(&self) -> Duration {
        if self.is_calm() { HOUSE_CALM - HOUSE } else { Duration::ZERO }
    }

    /// Everybody who is known is here.
    fn is_calm(&self) -> bool {
        self.settle.is_settled() && self.contacts.is_empty()
    }

    fn schedule_comparison(&mut self, now: Instant) {
        let interval = self.config.push_pull_interval.min(self.compare_every);
        self.compare_at = now + interval.mul_f64(0.8 + 0.4 * self.env.random.unit_f64());
    }

    /// Something happens: states may differ.
    fn be_watchful(&mut self, now: Instant) {
        if self.compare_every > COMPARE {
            self.compare_every = COMPARE;
            self.schedule_comparison(now);
        }
    }

    /// Own timers that are late say that this node stood still, not that the others did.
    fn notice_lateness(&mut self, late: Duration, now: Instant) {
        if late < LATE {
            self.lateness = self.lateness.saturating_sub(1).max(0);
            return;
        }
        self.lateness = (self.lateness + 64).min(7 * 64);
        self.core.postpone(late);
        if late < GAP {
            return;
        }
        self.be_watchful(now);
        tracing::warn!(seconds = late.as_secs_f64(), "this node stood still; it exchanges state before it goes on");
        self.env.metrics.gaps_total.inc();
        self.gaps += 1;
        self.asked = Asked::default();
        for peer in self.peers.live_mut() {
            peer.needs_exchange = true;
        }
        self.settle.start_over(now);
        self.settle_after_gap = true;
        self.dirty = true;
    }

    fn check_first_round(&mut self, now: Instant) {
        let tried = self.discovery.is_resolved() && self.settle.has_tried(&self.configured_addresses());
        let over = tried || now >= self.first_round_until || self.settle.is_settled() || self.leaving.is_some();
        if over && let Some(first_round) = self.first_round.take() {
            // The handle that waits for it may be gone.
            let _ = first_round.send(Ok(()));
        }
    }
}

async fn receive(udp: Option<&dyn Datagrams>, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    match udp {
        Some(udp) => udp.receive(buffer).await,
        None => std::future::pending().await,
    }
}

/// foca's period is half the interval of the flag: with it a death is known in 2 to 3 seconds by the defaults.
fn core_config(config: &ClusterConfig) -> CoreConfig {
    let probe_period = (config.probe_interval / 2).max(Duration::from_millis(20));
    CoreConfig {
        probe_period,
        // Has to be below the period, whatever the flags say.
        probe_rtt: (config.probe_timeout / 2).min(probe_period.mul_f64(0.45)),
        suspect_for: config.probe_interval.mul_f64(1.2),
        gossip_interval: config.gossip_interval,
        announce_to_down: config.reconnect_interval.min(Duration::from_secs(10)),
        forget_after: config.reconnect_timeout,
    }
}
