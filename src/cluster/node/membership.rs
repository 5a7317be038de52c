//! Who is a member, who is called, and what becomes of those out of sight.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::TimeDelta;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};

use super::{
    super::{
        ClusterError,
        core::{Core, Out},
        exchange,
        greet::{Event, GreetError, Greeting},
        identity::Identity,
        peers::{ALSO_TCP, Standing},
        settle::Settled,
        wire::{Hello, Leaving, Message, Purpose, Refused, WireMember, WireState},
    },
    Node,
};

/// Exchanges under way that this node has started.
const CONTACTS_RUNNING_MAX: usize = 32;
const RETRY_MIN: Duration = Duration::from_secs(1);
/// The dead are spoken of for so long: a node that restarts shall know of them, and nobody for ever.
const DEATH_TOLD: Duration = Duration::from_secs(15 * 60);
/// A dead member whose record has vanished is forgotten after this time.
const VANISHED: Duration = Duration::from_secs(60);
/// Others of the own name, and how often each is called.
const RIVALS_MAX: usize = 16;
const RIVAL_CALLS_MAX: u32 = 3;
/// How long the last words may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// An address that is called until it is no more wanted.
#[derive(Debug)]
pub(super) struct Contact {
    reason: Reason,
    next: Instant,
    pub(super) failures: u32,
    running: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// Configured, and no member.
    Configured,
    /// Was a member, and is down.
    Lost,
    /// Is a member, and state has to be exchanged.
    Member,
    /// Has this node's name.
    Rival,
}

impl Node {
    /// Does what the core wants done, until it wants nothing.
    pub(super) fn pump(&mut self, now: Instant) {
        for _ in 0..64 {
            let (outs, news) = (self.core.take_out(), self.core.take_news());
            if outs.is_empty() && news.is_empty() {
                break;
            }
            for out in outs {
                self.on_out(out, now);
            }
            if !news.is_empty() {
                self.take_deltas(news, now);
                // Passed on at once: in a large cluster nobody sends to all.
                self.core.gossip(now);
            }
        }
        self.tell_tasks(now);
    }

    fn on_out(&mut self, out: Out, now: Instant) {
        match out {
            Out::Send { to, packet } => self.send_swim(&to, packet, now),
            Out::Up(identity) => self.on_up(&identity),
            Out::Down(identity) => self.on_down(&identity, now),
            Out::Renamed { from, to } => {
                self.env.metrics.peers_update_total.inc();
                self.links.remove(&from.address);
                if let Some(peer) = self.peers.with(&to, Standing::Live) {
                    peer.needs_exchange = true;
                }
                self.dirty = true;
            }
            Out::Suspected { identity } => self.try_suspect(identity),
            Out::Renewed(identity) => {
                tracing::debug!(generation = identity.generation, "this node was declared down and is back");
                (self.config.save_generation)(identity.generation);
                // Under the new generation nobody knows it yet.
                for contact in self.contacts.values_mut() {
                    contact.next = now;
                }
                self.dirty = true;
            }
            Out::RoundTrip { name, took } => {
                self.env.metrics.pings_seconds.with_label_values(&[&*name]).observe(took.as_secs_f64());
                if let Some(peer) = self.peers.get_mut(&name) {
                    peer.round_trip = Some(took);
                }
            }
        }
    }

    fn on_up(&mut self, identity: &Identity) {
        let Some(peer) = self.peers.with(identity, Standing::Live) else { return };
        if matches!(peer.standing, Standing::Down(_)) {
            self.env.metrics.reconnections_total.inc();
        }
        peer.standing = Standing::Live;
        peer.needs_exchange = true;
        peer.unreachable = false;
        self.env.metrics.peers_joined_total.inc();
        tracing::info!(peer = &*identity.name, address = %identity.address, "peer joined");
        self.dirty = true;
    }

    fn on_down(&mut self, identity: &Identity, now: Instant) {
        self.links.remove(&identity.address);
        self.env.metrics.peers_left_total.inc();
        self.dirty = true;
        let Some(peer) = self.peers.get_mut(&identity.name) else { return };
        if peer.is_live() {
            peer.standing = Standing::Down(now);
            tracing::warn!(peer = &*identity.name, address = %identity.address, "peer is down");
        }
        let held = self.peers.live().map(|peer| &peer.held);
        self.log.prune(held);
    }

    /// A suspected member is tried over TCP before anything is said of its death.
    fn try_suspect(&mut self, identity: Identity) {
        let env = Arc::clone(&self.env);
        let patience = self.core_config.suspect_for.mul_f64(0.9);
        self.dirty = true;
        tokio::spawn(async move {
            let verdict = env.probe(&identity, patience).await;
            env.tell(Event::Tried { identity, verdict }).await;
        });
    }

    pub(super) fn on_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Greeted(greeting) => self.on_greeting(*greeting, now),
            Event::Exchanged { to, peer, newest, changed, started } => {
                tracing::debug!(peer = &*peer.identity.name, records = changed, "exchanged state");
                // What was begun before this node stood still says nothing of what came to pass meanwhile.
                if started >= self.settle.since() {
                    self.on_exchanged(to, &peer, newest, now);
                } else if let Some(contact) = to.and_then(|to| self.contacts.get_mut(&to)) {
                    (contact.running, contact.next) = (false, now);
                }
            }
            Event::ExchangeFailed { to, error } => self.on_exchange_failed(to, &error, now),
            Event::Message { from, message, reply } => self.on_stream_message(&from, message, reply, now),
            Event::LinkClosed { to, error } => self.on_link_closed(to, error),
            Event::Tried { identity, verdict } => self.on_tried(&identity, verdict, now),
            Event::Found { index, result } => self.on_found(index, &result),
            Event::Handled { from, nonce, answer, route } => self.on_handled(&from, nonce, answer, &route),
        }
    }

    fn on_tried(&mut self, identity: &Identity, verdict: super::super::core::Verdict, now: Instant) {
        let alive = verdict == super::super::core::Verdict::Alive;
        if let Some(peer) = self.peers.get_mut(&identity.name) {
            peer.tcp_works = Some(alive);
            if alive {
                peer.also_tcp_until = Some(now + ALSO_TCP);
            }
        }
        self.core.tried(identity, verdict, now);
    }

    fn on_greeting(&mut self, greeting: Greeting, now: Instant) {
        let Greeting { hello, called, measured } = greeting;
        let identity = hello.identity.clone();
        self.env.metrics.alive_messages_total.with_label_values(&[&*identity.name]).inc();
        let probed = called.is_some() && hello.purpose == Purpose::Probe;
        if !probed {
            self.accept_back(now);
            let member = WireMember { identity: identity.clone(), incarnation: 0, state: WireState::Alive };
            self.core.apply(vec![member], now);
        }
        self.take_table(hello.members, now);
        self.pump(now);
        let standing = match self.core.state_of(&identity.name) {
            Some(foca::State::Alive | foca::State::Suspect) => Standing::Live,
            _ => Standing::Down(now),
        };
        if let Some(address) = called.filter(|address| *address != identity.address) {
            self.aliases.insert(address, Arc::clone(&identity.name));
        }
        let Some(peer) = self.peers.with(&identity, standing) else { return };
        peer.is_process(hello.instance);
        peer.version = hello.version;
        peer.tcp_works = Some(true);
        peer.unreachable = false;
        if let Some((took, offset)) = measured {
            peer.round_trip = Some(took);
            peer.offset = Some(TimeDelta::nanoseconds(offset));
        }
        self.dirty = true;
    }

    /// Others take this node in again: whatever was wrong with its name is over.
    fn accept_back(&mut self, now: Instant) {
        if self.refused.take().is_some() {
            tracing::info!("this node is accepted now");
            self.env.shared().open = true;
            self.settle.start_over(now);
            self.dirty = true;
        }
    }

    fn take_table(&mut self, members: Vec<WireMember>, now: Instant) {
        let own = Arc::clone(&self.core.identity().name);
        for member in members.iter().filter(|member| member.identity.name != own) {
            let standing = match member.state {
                WireState::Down => Standing::Down(now),
                WireState::Left => Standing::Left(now),
                WireState::Alive | WireState::Suspect => continue,
            };
            // The dead that nobody told this node of are known members all the same.
            let is_new = self.peers.get(&member.identity.name).is_none();
            if let Some(peer) = self.peers.with(&member.identity, standing)
                && (is_new || (matches!(standing, Standing::Left(_)) && peer.identity == member.identity))
            {
                peer.standing = standing;
            }
        }
        self.core.apply(members, now);
    }

    fn on_exchanged(&mut self, to: Option<SocketAddr>, hello: &Hello, newest: u64, now: Instant) {
        let name = &hello.identity.name;
        self.core.received(|received| received.raise(hello.instance, hello.newest));
        if let Some(peer) = self.peers.get_mut(name)
            && peer.instance == Some(hello.instance)
        {
            peer.needs_exchange = false;
            peer.exchanged_at = Some(now);
            peer.held.raise(newest);
        }
        self.settle.exchanged(hello.identity.address);
        for (address, _) in self.aliases.iter().filter(|(_, alias)| *alias == name) {
            self.settle.exchanged(*address);
        }
        if let Some(contact) = to.and_then(|to| self.contacts.remove(&to))
            && contact.reason == Reason::Configured
        {
            self.env.metrics.refresh_join_total.inc();
        }
        self.log.prune(self.peers.live().map(|peer| &peer.held));
        self.dirty = true;
    }

    fn on_exchange_failed(&mut self, to: SocketAddr, error: &GreetError, now: Instant) {
        match error {
            GreetError::Refused(Refused::Yourself) => {
                self.own_aliases.insert(to);
                self.contacts.remove(&to);
                self.dirty = true;
                return;
            }
            GreetError::Refused(Refused::NameTaken { address }) => self.on_name_taken(*address, now),
            _ => {}
        }
        self.settle.failed(to);
        if let Some(peer) = self.peers.at_mut(to) {
            peer.tcp_works = Some(false);
            peer.unreachable = true;
        }
        let retry_max = self.config.reconnect_interval;
        let settled = self.settle.is_settled();
        let Some(contact) = self.contacts.get_mut(&to) else { return };
        contact.running = false;
        contact.failures += 1;
        let growing = RETRY_MIN * 2u32.saturating_pow(contact.failures.min(8) - 1);
        let retry = if settled { growing.min(retry_max) } else { RETRY_MIN };
        contact.next = now + retry.mul_f64(0.9 + 0.2 * self.env.random.unit_f64());
        match contact.reason {
            Reason::Configured => self.env.metrics.refresh_join_failed_total.inc(),
            Reason::Lost => self.env.metrics.reconnections_failed_total.inc(),
            Reason::Rival => *self.rivals.entry(to).or_default() += 1,
            Reason::Member => {}
        }
        if contact.failures == 1 {
            tracing::warn!(address = %to, error = %error, "peer is not reached; it is tried again");
        }
    }

    /// Another live node has this node's name: this one steps back.
    fn on_name_taken(&mut self, address: SocketAddr, now: Instant) {
        let error = ClusterError::NameTaken { name: self.config.name.clone(), address: address.to_string() };
        self.env.metrics.peer_name_conflicts_total.inc();
        if self.refused.is_none() {
            tracing::error!(name = self.config.name, address = %address, "{error}");
            self.env.shared().open = false;
            // Without a word: a farewell in the other's name would be one for the other.
            let own = self.core.identity().clone();
            self.core = Core::new(own, self.env.instance, &self.core_config, self.env.random.next_u64(), now);
            self.peers.clear();
            self.links.clear();
            self.dirty = true;
        }
        self.refused = Some(error.to_string());
        if let Some(first_round) = self.first_round.take() {
            let _ = first_round.send(Err(error));
        }
    }

    fn on_link_closed(&mut self, to: SocketAddr, error: Option<GreetError>) {
        if self.links.get(&to).is_some_and(tokio::sync::mpsc::Sender::is_closed) {
            self.links.remove(&to);
        }
        let Some(peer) = self.peers.at_mut(to) else { return };
        peer.held.forget_sent();
        if let Some(error) = error {
            tracing::debug!(address = %to, error = %error, "stream to a peer ended");
            peer.tcp_works = Some(false);
            self.env.metrics.oversized_failure_total.with_label_values(&["stream"]).inc();
        }
    }

    // Discovery and contacts.

    pub(super) fn look_up(&mut self) {
        let names: Vec<_> = self.discovery.names().map(|(index, host, port)| (index, host.to_owned(), port)).collect();
        for (index, host, port) in names {
            if !self.looking_up.insert(index) {
                continue;
            }
            let (env, limit) = (Arc::clone(&self.env), self.config.peers_resolve_timeout);
            tokio::spawn(async move {
                let result = timeout(limit, env.network.lookup(&host, port)).await;
                let result = result.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
                env.tell(Event::Found { index, result }).await;
            });
        }
    }

    fn on_found(&mut self, index: usize, result: &std::io::Result<Vec<SocketAddr>>) {
        self.looking_up.remove(&index);
        let worth_a_line = self.discovery.found(index, result);
        if let (true, Err(error)) = (worth_a_line, result) {
            let peer = self.config.peers.get(index).map_or("", String::as_str);
            tracing::warn!(peer, error = %error, "the peer's name does not resolve; it is tried again");
        }
        self.dirty = true;
    }

    fn is_own(&self, address: SocketAddr) -> bool {
        address == self.advertised || self.own_aliases.contains(&address)
    }

    /// Of peers, this node itself left out.
    pub(super) fn configured_addresses(&self) -> BTreeSet<SocketAddr> {
        self.discovery.addresses().into_iter().filter(|address| !self.is_own(*address)).collect()
    }

    /// Two nodes of one name that started at one time are both members somewhere: calling the other settles it.
    fn find_rivals(&mut self) {
        let own = self.core.identity();
        let is_rival = |other: &&Identity| {
            other.name == own.name && other.address != own.address && other.generation > self.first_generation
        };
        let found: Vec<_> =
            self.core.members().map(foca::Member::id).filter(is_rival).map(|rival| rival.address).collect();
        for address in found.into_iter().take(RIVALS_MAX.saturating_sub(self.rivals.len())) {
            self.rivals.entry(address).or_default();
        }
    }

    /// Every address that has to be called, and why.
    fn wanted(&self) -> Vec<(SocketAddr, Reason)> {
        let mut wanted = Vec::new();
        for address in self.discovery.addresses() {
            let alias = self.aliases.get(&address).and_then(|name| self.peers.get(name));
            let known = self.peers.at(address).or(alias).is_some_and(super::super::peers::Peer::is_live);
            if !self.is_own(address) && !known {
                wanted.push((address, Reason::Configured));
            }
        }
        for (address, _) in self.rivals.iter().filter(|(_, calls)| **calls < RIVAL_CALLS_MAX) {
            wanted.push((*address, Reason::Rival));
        }
        for peer in self.peers.iter() {
            let reason = match peer.standing {
                Standing::Live if peer.needs_exchange => Reason::Member,
                Standing::Down(_) => Reason::Lost,
                Standing::Live | Standing::Left(_) => continue,
            };
            let address = peer.identity.address;
            if !self.is_own(address) && wanted.iter().all(|(other, _)| *other != address) {
                wanted.push((address, reason));
            }
        }
        wanted
    }

    pub(super) fn call_contacts(&mut self, now: Instant) {
        self.find_rivals();
        let wanted = self.wanted();
        let addresses: BTreeSet<SocketAddr> = wanted.iter().map(|(address, _)| *address).collect();
        self.contacts.retain(|address, contact| contact.running || addresses.contains(address));
        for (address, reason) in wanted {
            let contact =
                self.contacts.entry(address).or_insert(Contact { reason, next: now, failures: 0, running: false });
            if contact.reason != reason && !contact.running {
                *contact = Contact { reason, next: now, failures: 0, running: false };
            }
        }
        let running = self.contacts.values().filter(|contact| contact.running).count();
        let due = self.contacts.iter_mut().filter(|(_, contact)| !contact.running && contact.next <= now);
        for (address, contact) in due.take(CONTACTS_RUNNING_MAX.saturating_sub(running)) {
            contact.running = true;
            exchange::start(&self.env, *address);
        }
    }

    pub(super) fn check_settled(&mut self, now: Instant) {
        let wanted: BTreeSet<SocketAddr> = if self.settle_after_gap {
            self.peers.live().map(|peer| peer.identity.address).collect()
        } else {
            self.configured_addresses()
        };
        let configured = !self.discovery.is_empty() && !self.settle_after_gap;
        let settled = self.settle.check(now, &wanted, self.discovery.is_resolved(), configured);
        match settled {
            None => return,
            Some(Settled::With(peers)) => tracing::info!(peers, "state is exchanged with all peers"),
            Some(Settled::Without(missing)) => {
                let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
                tracing::warn!(missing = missing.join(", "), "going on without these peers: they were not reached");
            }
        }
        self.dirty = true;
    }

    /// What nobody can reach and discovery lists no more is forgotten, and after long all that is out of sight.
    pub(super) fn forget(&mut self, now: Instant) {
        let (discovery, limit) = (&self.discovery, self.config.reconnect_timeout);
        let before = self.peers.iter().count();
        self.peers.retain(|name, peer| {
            let (Standing::Down(since) | Standing::Left(since)) = peer.standing else { return true };
            let gone = now.saturating_duration_since(since);
            let vanished = discovery.has_vanished(peer.identity.address) && peer.unreachable && gone >= VANISHED;
            let keep = gone < limit && !vanished;
            if !keep {
                tracing::info!(peer = &**name, address = %peer.identity.address, "peer is forgotten");
            }
            keep
        });
        self.dirty |= before != self.peers.iter().count();
        let listed = self.discovery.addresses();
        self.aliases.retain(|address, _| listed.contains(address));
        self.own_aliases.retain(|address| listed.contains(address));
        self.comparing.retain(|_, (at, _)| now.saturating_duration_since(*at) < self.config.tcp_timeout);
    }

    /// What the tasks at the streams tell of this node and the others.
    fn tell_tasks(&mut self, now: Instant) {
        let newest = self.log.newest();
        if !self.dirty {
            self.env.shared().newest = newest;
            return;
        }
        let mut members = self.core.table();
        members.retain_mut(|member| match self.peers.get(&member.identity.name).map(|peer| peer.standing) {
            Some(Standing::Left(since)) => {
                member.state = if member.state == WireState::Down { WireState::Left } else { member.state };
                member.state != WireState::Left || now.saturating_duration_since(since) < DEATH_TOLD
            }
            Some(Standing::Down(since)) => now.saturating_duration_since(since) < DEATH_TOLD,
            Some(Standing::Live) => true,
            // Only foca still knows it.
            None => member.state != WireState::Down,
        });
        let names =
            self.peers.live().map(|peer| (Arc::clone(&peer.identity.name), (peer.identity.address, peer.instance)));
        let mut shared = self.env.shared();
        shared.names = names.collect();
        shared.identity = self.core.identity().clone();
        shared.members = members;
        shared.newest = newest;
    }

    // Leaving.

    pub(super) fn on_leaving(&mut self, leaving: &Leaving, now: Instant) {
        let known = self.peers.get_mut(&leaving.identity.name);
        let Some(peer) = known.filter(|peer| peer.identity.generation <= leaving.identity.generation) else { return };
        if peer.is_live() {
            tracing::info!(peer = &*leaving.identity.name, "peer left");
        }
        peer.standing = Standing::Left(now);
        self.core.part(leaving.identity.clone(), now);
        self.dirty = true;
    }

    pub(super) fn say_goodbye(&mut self, now: Instant) {
        self.env.shared().open = false;
        let leaving = Message::Leaving(Leaving { identity: self.core.identity().clone() });
        let message = Bytes::from(leaving.encode());
        let members: Vec<_> = self.peers.live().map(|peer| peer.identity.address).collect();
        for address in members {
            self.send_packet(address, &message);
            self.say(address, message.clone());
        }
        self.pump(now);
    }

    pub(super) async fn leave(&mut self, done: oneshot::Sender<()>) {
        let now = self.env.clock.monotonic();
        self.say_goodbye(now);
        let said = async {
            while self.links.values().any(|link| !link.is_closed() && link.capacity() < link.max_capacity()) {
                sleep(Duration::from_millis(10)).await;
            }
            // Written is not sent.
            sleep(Duration::from_millis(50)).await;
        };
        // Who cannot be told so will find out.
        let _ = timeout(GOODBYE, said).await;
        let _ = done.send(());
    }
}
