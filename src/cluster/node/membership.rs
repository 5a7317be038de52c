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
        core::{Core, Out, Verdict},
        greet::{Event, GreetError, Greeting},
        identity::Identity,
        peers::{ALSO_TCP, Standing},
        settle::Settled,
        wire::{Hello, Leaving, Message, Phase, Purpose, Settling, WireMember, WireState},
    },
    Node,
};

/// The dead are spoken of for so long: a node that restarts shall know of them, and nobody for ever.
const DEATH_TOLD: Duration = Duration::from_secs(15 * 60);
/// A dead member whose record has vanished is forgotten after this time.
const VANISHED: Duration = Duration::from_secs(60);
/// After a stream broke its other end is called so much later, and given as long to answer.
const HANG_UP: Duration = Duration::from_millis(700);
/// How long the last words may take.
const GOODBYE: Duration = Duration::from_secs(1);

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
            Out::Up(identity) => {
                self.be_watchful(now);
                self.on_up(&identity, now);
            }
            Out::Down(identity) => self.on_down(&identity, now),
            // Of its former lives a node hears too, when it was declared down and is back: it is no peer of itself.
            Out::Renamed { to, .. } if to.name == self.core.identity().name => {}
            Out::Renamed { from, to } => {
                self.env.metrics.peers_update_total.inc();
                self.links.remove(&from.address);
                if let Some(peer) = self.peers.with(&to, Standing::Live) {
                    peer.needs_exchange = true;
                    peer.phase = None;
                }
                self.dirty = true;
            }
            Out::Suspected { identity } => self.try_suspect(identity),
            Out::Renewed(identity) => {
                tracing::debug!(generation = identity.generation, "this node was declared down and is back");
                (self.config.save_generation)(identity.generation);
                // Under the new generation nobody knows it yet.
                for contact in self.contacts.values_mut() {
                    contact.hurry(now);
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

    fn on_up(&mut self, identity: &Identity, now: Instant) {
        let Some(peer) = self.peers.with(identity, Standing::Live) else { return };
        if matches!(peer.standing, Standing::Down(_)) {
            self.env.metrics.reconnections_total.inc();
        }
        peer.standing = Standing::Live;
        peer.live_since = Some(now);
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
        if let Some(peer) = self.peers.get_mut(&identity.name) {
            peer.full_until = Some(self.env.clock.monotonic() + ALSO_TCP);
        }
        tokio::spawn(async move {
            let verdict = env.probe(&identity, patience).await;
            env.tell(Event::Tried { identity, verdict, is_suspect: true }).await;
        });
    }

    /// A stream broke, as those of a process that dies do: it is called a moment later. One that starts again is not to be
    /// mourned.
    fn try_after_hang_up(&mut self, name: &str) {
        let Some(peer) = self.peers.get_mut(name).filter(|peer| peer.is_live() && !peer.is_tried) else { return };
        peer.is_tried = true;
        let (env, identity) = (Arc::clone(&self.env), peer.identity.clone());
        tokio::spawn(async move {
            sleep(HANG_UP).await;
            let verdict = env.probe(&identity, HANG_UP).await;
            env.tell(Event::Tried { identity, verdict, is_suspect: false }).await;
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
                    contact.again(now);
                }
            }
            Event::ExchangeFailed { to, error } => self.on_exchange_failed(to, &error, now),
            Event::Message { from, message, reply } => self.on_stream_message(&from, message, reply, now),
            Event::LinkClosed { to, error } => self.on_link_closed(to, error),
            Event::HungUp(from) => {
                if self.peers.get(&from.name).is_some_and(|peer| peer.instance == Some(from.instance)) {
                    self.try_after_hang_up(&from.name);
                }
            }
            Event::Tried { identity, verdict, is_suspect } => self.on_tried(&identity, verdict, is_suspect, now),
            Event::Found { index, result } => self.on_found(index, &result),
            Event::Handled { from, nonce, answer, route } => self.on_handled(&from, nonce, answer, &route),
        }
    }

    fn on_tried(&mut self, identity: &Identity, verdict: Verdict, is_suspect: bool, now: Instant) {
        let alive = verdict == Verdict::Alive;
        if let Some(peer) = self.peers.get_mut(&identity.name) {
            peer.tcp_works = Some(alive);
            peer.is_tried &= is_suspect;
            if alive && is_suspect {
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
        if let Some(contact) = called.and_then(|address| self.contacts.get_mut(&address)) {
            contact.greeted = true;
        }
        if let Some(address) = called.filter(|address| *address != identity.address) {
            self.aliases.insert(address, Arc::clone(&identity.name));
        }
        let Some(peer) = self.peers.with(&identity, standing) else { return };
        peer.is_process(hello.instance);
        peer.version = hello.version;
        peer.hear_phase(hello.phase);
        peer.features = hello.features;
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
            && contact.is_configured()
        {
            self.env.metrics.refresh_join_total.inc();
        }
        self.log.prune(self.peers.live().map(|peer| &peer.held));
        self.dirty = true;
    }

    /// Another live node has this node's name: this one steps back.
    pub(super) fn on_name_taken(&mut self, address: SocketAddr, now: Instant) {
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
            let name = Arc::clone(&peer.identity.name);
            self.try_after_hang_up(&name);
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

    /// The others hear when this node has settled, or has to settle again: whose turn it is depends on it.
    pub(super) fn tell_phase(&mut self) {
        if self.settle.is_settled() == self.phase.is_settled() {
            return;
        }
        self.phase = self.phase.next();
        self.env.shared().phase = self.phase;
        let settling = Settling { from: self.config.name.clone(), instance: self.env.instance, phase: self.phase };
        let message = Bytes::from(Message::Settling(settling).encode());
        let members: Vec<_> = self.peers.live().map(|peer| peer.identity.address).collect();
        for address in members {
            self.send_packet(address, &message);
            self.say(address, message.clone());
        }
        self.dirty = true;
    }

    /// Only of the process that is known: another one under its name has phases of its own.
    pub(super) fn on_phase(&mut self, from: &str, instance: u64, phase: Phase) {
        let peer = self.peers.get_mut(from).filter(|peer| peer.instance == Some(instance));
        self.dirty |= peer.is_some_and(|peer| peer.hear_phase(phase));
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
        self.comparing.retain(|_, comparison| now.saturating_duration_since(comparison.at) < self.config.tcp_timeout);
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
        shared.phase = self.phase;
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
