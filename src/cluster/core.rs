//! Membership: foca and the cures for what was found in it. No I/O, no clock: packets and
//! times go in, [`Out`] comes out.
//!
//! - A suspicion's timer is obeyed only while that very suspicion stands, and a member that answers over TCP is
//!   not declared down but suspected on.
//! - Timers are kept in order, and moved when this node was late itself.
//! - Packets go ten times, gossip at once.
//! - The table of members has a limit.

use std::{
    collections::BTreeMap,
    num::{NonZeroU8, NonZeroUsize},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use foca::{BroadcastHandler, Config, Foca, Invalidates, Message, Notification, PeriodicParams, State, Timer};
use rand::{SeedableRng, rngs::StdRng};
use tokio::time::Instant;

use super::{
    Kind,
    codec::{SwimCodec, decode, encode},
    delivery::Received,
    identity::Identity,
    wire::{Delta, GOSSIP_BYTES_MAX, SWIM_BYTES_MAX, WireMember, WireState},
};

/// foca keeps one entry for each name, for hours; forged packets must not fill the memory.
const MEMBERS_MAX: usize = 2048;
const TIMERS_MAX: usize = 4 * MEMBERS_MAX;

/// What the core wants done, or tells.
#[derive(Debug)]
pub(super) enum Out {
    Send {
        to: Identity,
        packet: Bytes,
    },
    Up(Identity),
    Down(Identity),
    Renamed {
        from: Identity,
        to: Identity,
    },
    /// This node is suspecting a member: try it another way.
    Suspected {
        identity: Identity,
    },
    /// This node was declared down and is back as this.
    Renewed(Identity),
    /// A probe was answered.
    RoundTrip {
        name: Arc<str>,
        took: Duration,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct CoreConfig {
    pub probe_period: Duration,
    pub probe_rtt: Duration,
    pub suspect_for: Duration,
    pub gossip_interval: Duration,
    pub announce_to_down: Duration,
    pub forget_after: Duration,
}

/// What a try over TCP has shown of a suspected member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Alive,
    /// Nobody listens at its port.
    Gone,
    /// No answer.
    Unknown,
}

pub(super) struct Core {
    foca: Foca<Identity, SwimCodec, StdRng, Inbox>,
    runtime: Runtime,
    inbox: Inbox,
    suspect_for: Duration,
    /// Members that were found alive over TCP: (incarnation when suspected).
    vouched: BTreeMap<Arc<str>, (Identity, u16)>,
    /// Malformed packets so far.
    pub rejected: u64,
}

/// What foca asks for, kept until it is taken.
struct Runtime {
    now: Instant,
    timers: BTreeMap<(Instant, u64), Timer<Identity>>,
    timers_made: u64,
    out: Vec<Out>,
    /// The probe under way.
    probe: Option<(Identity, u8, Instant)>,
}

/// Deltas by gossip: each is taken once, and passed on.
#[derive(Clone)]
struct Inbox(Arc<Mutex<InboxState>>);

struct InboxState {
    own: u64,
    received: Received,
    news: Vec<Delta>,
}

impl Inbox {
    fn with<T>(&self, f: impl FnOnce(&mut InboxState) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Deltas of one key replace each other in the queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeltaKey {
    kind: Kind,
    key: u64,
    version: u64,
}

impl Invalidates for DeltaKey {
    fn invalidates(&self, other: &Self) -> bool {
        (self.kind, self.key) == (other.kind, other.key) && self.version >= other.version
    }
}

impl BroadcastHandler<Identity> for Inbox {
    type Key = DeltaKey;
    type Error = super::codec::CodecError;

    fn receive_item(&mut self, data: &[u8], sender: Option<&Identity>) -> Result<Option<DeltaKey>, Self::Error> {
        let delta: Delta = decode(data)?;
        let key = DeltaKey { kind: delta.kind, key: delta.key, version: delta.version };
        Ok(self.with(|state| {
            if sender.is_none() {
                return Some(key);
            }
            if delta.origin == state.own || !state.received.insert(delta.origin, delta.number) {
                return None;
            }
            state.news.push(delta);
            Some(key)
        }))
    }
}

impl foca::Runtime<Identity> for &mut Runtime {
    fn notify(&mut self, notification: Notification<'_, Identity>) {
        match notification {
            Notification::MemberUp(member) => self.out.push(Out::Up(member.clone())),
            Notification::MemberDown(member) => self.out.push(Out::Down(member.clone())),
            Notification::Rename(from, to) => self.out.push(Out::Renamed { from: from.clone(), to: to.clone() }),
            Notification::Rejoin(own) => self.out.push(Out::Renewed(own.clone())),
            Notification::Active | Notification::Idle | Notification::Defunct => {}
        }
    }

    fn send_to(&mut self, to: Identity, data: &[u8]) {
        if let Ok(header) = SwimCodec::header(data)
            && let Message::Ping(number) = header.message
        {
            self.probe = Some((to.clone(), number, self.now));
        }
        self.out.push(Out::Send { to, packet: Bytes::copy_from_slice(data) });
    }

    fn submit_after(&mut self, event: Timer<Identity>, after: Duration) {
        if let Timer::ChangeSuspectToDown { member_id, .. } = &event {
            self.out.push(Out::Suspected { identity: member_id.clone() });
        }
        if self.timers.len() < TIMERS_MAX || !matches!(event, Timer::RemoveDown(_)) {
            self.timers_made += 1;
            self.timers.insert((self.now + after, self.timers_made), event);
        }
    }
}

impl Core {
    pub fn new(identity: Identity, instance: u64, config: &CoreConfig, seed: u64, now: Instant) -> Self {
        let periodic = |frequency, members| {
            Some(PeriodicParams { frequency, num_members: NonZeroUsize::new(members).unwrap_or(NonZeroUsize::MIN) })
        };
        let foca_config = Config {
            probe_period: config.probe_period,
            probe_rtt: config.probe_rtt,
            suspect_to_down_after: config.suspect_for,
            // Four transmissions lose some packet in a hundred even without loss.
            max_transmissions: NonZeroU8::new(10).unwrap_or(NonZeroU8::MIN),
            max_packet_size: NonZeroUsize::new(SWIM_BYTES_MAX).unwrap_or(NonZeroUsize::MIN),
            notify_down_members: true,
            remove_down_after: Some(config.forget_after),
            periodic_announce: periodic(Duration::from_secs(30), 1),
            periodic_announce_to_down_members: periodic(config.announce_to_down, 2),
            periodic_gossip: periodic(config.gossip_interval, 3),
            ..Config::simple()
        };
        let state = InboxState { own: instance, received: Received::default(), news: Vec::new() };
        let inbox = Inbox(Arc::new(Mutex::new(state)));
        Core {
            foca: Foca::with_custom_broadcast(
                identity,
                foca_config,
                StdRng::seed_from_u64(seed),
                SwimCodec,
                inbox.clone(),
            ),
            runtime: Runtime { now, timers: BTreeMap::new(), timers_made: 0, out: Vec::new(), probe: None },
            inbox,
            suspect_for: config.suspect_for,
            vouched: BTreeMap::new(),
            rejected: 0,
        }
    }

    pub fn identity(&self) -> &Identity {
        self.foca.identity()
    }

    /// What came out since the last time.
    pub fn take_out(&mut self) -> Vec<Out> {
        std::mem::take(&mut self.runtime.out)
    }

    /// Deltas that came by gossip since the last time.
    pub fn take_news(&mut self) -> Vec<Delta> {
        self.inbox.with(|state| std::mem::take(&mut state.news))
    }

    pub fn received<T>(&self, f: impl FnOnce(&mut Received) -> T) -> T {
        self.inbox.with(|state| f(&mut state.received))
    }

    /// A packet of foca's from the network. Tells who it says it is from.
    pub fn packet(&mut self, packet: &[u8], now: Instant) -> Option<Identity> {
        self.runtime.now = now;
        let Ok(header) = SwimCodec::header(packet) else {
            self.rejected += 1;
            return None;
        };
        let full = self.foca.iter_membership_state().len() >= MEMBERS_MAX;
        if full && !self.foca.iter_membership_state().any(|member| member.id().name == header.src.name) {
            self.rejected += 1;
            return None;
        }
        if let Message::Ack(number) = header.message
            && let Some((probed, expected, at)) = &self.runtime.probe
            && (probed, *expected) == (&header.src, number)
        {
            let took = now.saturating_duration_since(*at);
            self.runtime.out.push(Out::RoundTrip { name: Arc::clone(&header.src.name), took });
            self.runtime.probe = None;
        }
        if self.foca.handle_data(packet, &mut self.runtime).is_err() {
            self.rejected += 1;
        }
        Some(header.src)
    }

    pub fn next_timer(&self) -> Option<Instant> {
        self.runtime.timers.first_key_value().map(|((at, _), _)| *at)
    }

    /// Fires what is due, in order.
    pub fn advance(&mut self, now: Instant) {
        self.runtime.now = now;
        while let Some(entry) = self.runtime.timers.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let timer = entry.remove();
            self.fire(timer);
        }
    }

    fn fire(&mut self, timer: Timer<Identity>) {
        if let Timer::ChangeSuspectToDown { member_id, incarnation, .. } = &timer {
            if !self.suspects(member_id, *incarnation) {
                return;
            }
            let vouched = self.vouched.remove(&member_id.name);
            if vouched.is_some_and(|(identity, at)| (&identity, at) == (member_id, *incarnation)) {
                // Alive, if not by UDP: suspected on, and tried again.
                let after = self.suspect_for;
                foca::Runtime::submit_after(&mut &mut self.runtime, timer, after);
                return;
            }
        }
        // Timers of an earlier connection are refused; nothing else can go wrong that foca does not mend itself.
        let _ = self.foca.handle_timer(timer, &mut self.runtime);
    }

    /// The suspicion stands: neither refuted nor overtaken.
    fn suspects(&self, identity: &Identity, incarnation: u16) -> bool {
        self.foca.iter_members().any(|member| {
            member.id() == identity && member.incarnation() == incarnation && member.state() == State::Suspect
        })
    }

    /// A suspected member was tried over TCP.
    pub fn tried(&mut self, identity: &Identity, verdict: Verdict, now: Instant) {
        self.runtime.now = now;
        let is_this = |timer: &Timer<Identity>| matches!(timer, Timer::ChangeSuspectToDown { member_id, .. } if member_id == identity);
        let timer = self.runtime.timers.iter().find(|(_, timer)| is_this(timer)).map(|(at, _)| *at);
        match (verdict, timer) {
            (Verdict::Alive, Some(at)) => {
                if let Some(Timer::ChangeSuspectToDown { incarnation, .. }) = self.runtime.timers.get(&at) {
                    self.vouched.insert(Arc::clone(&identity.name), (identity.clone(), *incarnation));
                }
            }
            (Verdict::Gone, Some(at)) => {
                if let Some(timer) = self.runtime.timers.remove(&at) {
                    self.fire(timer);
                }
            }
            _ => {}
        }
    }

    /// This node itself was late: everything that was due is due so much later.
    pub fn postpone(&mut self, by: Duration) {
        let timers = std::mem::take(&mut self.runtime.timers);
        self.runtime.timers = timers.into_iter().map(|((at, number), timer)| ((at + by, number), timer)).collect();
    }

    /// Whether a delta goes by gossip at all, and how many wait there.
    pub fn gossip_backlog(&self) -> usize {
        self.foca.custom_broadcast_backlog()
    }

    /// Queues a delta for gossip. Too large ones are not taken: they would wait for ever.
    pub fn broadcast(&mut self, delta: &Delta) -> bool {
        let data = encode(delta);
        data.len() <= GOSSIP_BYTES_MAX && self.foca.add_broadcast(&data).unwrap_or(false)
    }

    /// Sends what is queued now.
    pub fn gossip(&mut self, now: Instant) {
        self.runtime.now = now;
        // Fails only where a packet cannot be written, for want of room in it.
        let _ = self.foca.gossip(&mut self.runtime);
    }

    /// Takes in what a peer said over TCP of itself and of others.
    pub fn apply(&mut self, members: Vec<WireMember>, now: Instant) {
        self.runtime.now = now;
        let room = MEMBERS_MAX.saturating_sub(self.foca.iter_membership_state().len());
        let members = members.into_iter().take(room.max(1)).map(WireMember::into_foca);
        let _ = self.foca.apply_many(members, true, &mut self.runtime);
    }

    /// All members, dead ones included, this node not.
    pub fn members(&self) -> impl Iterator<Item = &foca::Member<Identity>> {
        self.foca.iter_membership_state()
    }

    pub fn state_of(&self, name: &str) -> Option<State> {
        self.members().find(|member| &*member.id().name == name).map(foca::Member::state)
    }

    /// As told to a peer that joins.
    pub fn table(&self) -> Vec<WireMember> {
        let state = |state| match state {
            State::Alive => WireState::Alive,
            State::Suspect => WireState::Suspect,
            State::Down => WireState::Down,
        };
        self.members()
            .map(|member| WireMember {
                identity: member.id().clone(),
                incarnation: member.incarnation(),
                state: state(member.state()),
            })
            .collect()
    }

    /// A member has left, and told everybody itself: a rumour of its death would only be in the way.
    pub fn part(&mut self, identity: Identity, now: Instant) {
        self.runtime.now = now;
        let _ = self.foca.apply_many(std::iter::once(foca::Member::down(identity)), false, &mut self.runtime);
    }
}
