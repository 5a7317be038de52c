//! Membership: foca and the cures for what was found in it. No I/O, no clock: packets and
//! times go in, [`Out`] comes out.
//!
//! - A suspicion's timer is obeyed only while that very suspicion stands, and a member that answers over TCP is
//!   not declared down but suspected on.
//! - Timers are kept in order, and moved when this node was late itself.
//! - Packets go ten times, gossip at once.
//! - Where there is nothing to do nothing is done: no gossip timer while nothing is queued, no second half of a probe
//!   that was answered, and no probe of a member whose own probe has just arrived.
//! - The table of members has a limit.

use std::{
    collections::BTreeMap,
    num::{NonZeroU8, NonZeroUsize},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use foca::{BroadcastHandler, Config, Foca, Header, Invalidates, Message, Notification, PeriodicParams, State, Timer};
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
/// While so many deltas wait for gossip no more are queued: each of them goes ten times, from each node, and a batch once.
pub(super) const GOSSIP_BACKLOG_MAX: usize = 6;
/// Probes with at least this period may be late by [`crate::clock::Clock::COARSE`].
const UNHURRIED: Duration = Duration::from_millis(500);

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
    /// Whose datagrams have arrived here, when last.
    heard: BTreeMap<Arc<str>, (Identity, u16, Instant)>,
    /// Who was heard within this time need not be probed.
    fresh: Duration,
    /// The timer of gossip, while there is nothing to gossip.
    parked: Option<Timer<Identity>>,
    gossip_interval: Duration,
    /// Probes are so far apart that some delay makes no difference.
    is_unhurried: bool,
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
    /// A probe that has not been sent yet: perhaps it need not be.
    planned: Option<(Identity, u8, Bytes)>,
}

/// Deltas by gossip: each is taken once, and passed on.
#[derive(Clone)]
struct Inbox(Arc<Mutex<InboxState>>);

struct InboxState {
    own: u64,
    /// Little waits in the queue.
    passes_on: bool,
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
            // Who lacks it gets it from its origin. Under a burst that is cheaper than everybody telling everybody.
            state.passes_on.then_some(key)
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
            self.planned = Some((to, number, Bytes::copy_from_slice(data)));
            return;
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
        let state = InboxState { own: instance, passes_on: true, received: Received::default(), news: Vec::new() };
        let inbox = Inbox(Arc::new(Mutex::new(state)));
        Core {
            foca: Foca::with_custom_broadcast(
                identity,
                foca_config,
                StdRng::seed_from_u64(seed),
                SwimCodec,
                inbox.clone(),
            ),
            runtime: Runtime {
                now,
                timers: BTreeMap::new(),
                timers_made: 0,
                out: Vec::new(),
                probe: None,
                planned: None,
            },
            inbox,
            suspect_for: config.suspect_for,
            vouched: BTreeMap::new(),
            heard: BTreeMap::new(),
            fresh: config.probe_period.mul_f64(1.9),
            parked: None,
            gossip_interval: config.gossip_interval,
            is_unhurried: config.probe_period >= UNHURRIED,
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

    /// A packet of foca's from the network, `direct` if it came as a datagram. Tells who it says it is from.
    pub fn packet(&mut self, packet: &[u8], direct: bool, now: Instant) -> Option<Identity> {
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
        let mut is_answer = false;
        if let Message::Ack(number) = header.message
            && let Some((probed, expected, at)) = &self.runtime.probe
            && (probed, *expected) == (&header.src, number)
        {
            let took = now.saturating_duration_since(*at);
            self.runtime.out.push(Out::RoundTrip { name: Arc::clone(&header.src.name), took });
            self.runtime.probe = None;
            is_answer = true;
        }
        if direct && header.dst == *self.foca.identity() {
            if self.heard.len() >= MEMBERS_MAX {
                self.heard.clear();
            }
            self.heard.insert(Arc::clone(&header.src.name), (header.src.clone(), header.src_incarnation, now));
        }
        let passes_on = self.gossip_backlog() <= GOSSIP_BACKLOG_MAX;
        self.inbox.with(|state| state.passes_on = passes_on);
        if self.foca.handle_data(packet, &mut self.runtime).is_err() {
            self.rejected += 1;
        }
        if is_answer {
            self.end_probe();
        }
        self.settle_plans();
        Some(header.src)
    }

    /// The second half of a probe finds that it was answered; better now than by a timer of its own.
    fn end_probe(&mut self) {
        let is_second_half = |timer: &Timer<Identity>| matches!(timer, Timer::SendIndirectProbe { .. });
        let found = self.runtime.timers.iter().find(|(_, timer)| is_second_half(timer)).map(|(at, _)| *at);
        if let Some(timer) = found.and_then(|at| self.runtime.timers.remove(&at)) {
            let _ = self.foca.handle_timer(timer, &mut self.runtime);
        }
    }

    /// A probe that was planned is sent, unless its answer is known: who has just been heard is alive. Its own probes
    /// see to it that it hears of us.
    fn settle_plans(&mut self) {
        while let Some((to, number, packet)) = self.runtime.planned.take() {
            let now = self.runtime.now;
            // News that ride on it have to go in any case.
            let has_news = SwimCodec::bare_header(&packet).is_none();
            let fresh = self.heard.get(&to.name).filter(|(identity, _, at)| {
                !has_news && *identity == to && now.saturating_duration_since(*at) < self.fresh
            });
            let answer = fresh.and_then(|(src, src_incarnation, _)| {
                let (src, dst) = (src.clone(), self.foca.identity().clone());
                SwimCodec::bare(&Header { src, src_incarnation: *src_incarnation, dst, message: Message::Ack(number) })
            });
            match answer {
                Some(answer) if self.foca.handle_data(&answer, &mut self.runtime).is_ok() => self.end_probe(),
                _ => {
                    self.runtime.probe = Some((to.clone(), number, now));
                    self.runtime.out.push(Out::Send { to, packet });
                }
            }
        }
        self.unpark();
    }

    /// There is something to gossip again.
    fn unpark(&mut self) {
        if self.parked.is_some()
            && self.is_gossip_queued()
            && let Some(timer) = self.parked.take()
        {
            let after = self.gossip_interval;
            foca::Runtime::submit_after(&mut &mut self.runtime, timer, after);
        }
    }

    fn is_gossip_queued(&self) -> bool {
        self.foca.updates_backlog() > 0 || self.foca.custom_broadcast_backlog() > 0
    }

    /// When the first timer is due, and the first of those that may be late by [`crate::clock::Clock::COARSE`].
    pub fn next_timers(&self) -> (Option<Instant>, Option<Instant>) {
        let is_calm = |timer: &Timer<Identity>| match timer {
            Timer::ProbeRandomMember(_) => self.is_unhurried,
            Timer::PeriodicAnnounce(_) | Timer::PeriodicAnnounceDown(_) => true,
            _ => false,
        };
        let (mut exact, mut calm) = (None, None);
        for ((at, _), timer) in &self.runtime.timers {
            let first = if is_calm(timer) { &mut calm } else { &mut exact };
            first.get_or_insert(*at);
            if exact.is_some() && calm.is_some() {
                break;
            }
        }
        (exact, calm)
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
        self.settle_plans();
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
        if matches!(timer, Timer::PeriodicGossip(_)) && !self.is_gossip_queued() {
            self.parked = Some(timer);
            return;
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
            (Verdict::Gone, None) => self.bury(identity),
            _ => {}
        }
        self.settle_plans();
    }

    /// A member that nobody suspected yet has no process any more: suspected and declared down at one go.
    fn bury(&mut self, identity: &Identity) {
        let member = self.foca.iter_members().find(|member| member.id() == identity);
        let Some(incarnation) = member.map(foca::Member::incarnation) else { return };
        let suspect = foca::Member::new(identity.clone(), incarnation, State::Suspect);
        let _ = self.foca.apply_many(std::iter::once(suspect), true, &mut self.runtime);
        let is_this = |timer: &Timer<Identity>| matches!(timer, Timer::ChangeSuspectToDown { member_id, .. } if member_id == identity);
        let found = self.runtime.timers.iter().find(|(_, timer)| is_this(timer)).map(|(at, _)| *at);
        if let Some(timer) = found.and_then(|at| self.runtime.timers.remove(&at)) {
            self.fire(timer);
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
        let taken = data.len() <= GOSSIP_BYTES_MAX && self.foca.add_broadcast(&data).unwrap_or(false);
        self.unpark();
        taken
    }

    /// Sends what is queued now.
    pub fn gossip(&mut self, now: Instant) {
        self.runtime.now = now;
        // Fails only where a packet cannot be written, for want of room in it.
        let _ = self.foca.gossip(&mut self.runtime);
        self.settle_plans();
    }

    /// Takes in what a peer said over TCP of itself and of others.
    pub fn apply(&mut self, members: Vec<WireMember>, now: Instant) {
        self.runtime.now = now;
        let room = MEMBERS_MAX.saturating_sub(self.foca.iter_membership_state().len());
        let members = members.into_iter().take(room.max(1)).map(WireMember::into_foca);
        let _ = self.foca.apply_many(members, true, &mut self.runtime);
        self.settle_plans();
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
        self.settle_plans();
    }
}
