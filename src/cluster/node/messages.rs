//! Packets, messages, questions and news: in and out.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::TimeDelta;
use foca::Header;
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::Instant,
};

use super::{
    super::{
        Via,
        calls::{Hearing, TCP_AFTER},
        codec::{Blob, SwimCodec},
        greet::{Event, From, Route},
        identity::Identity,
        link,
        peers::{ALSO_TCP, Peer, UDP_FRESH},
        wire::{
            Answer, BODY_HEAD_BYTES, Beat, Call, Compare, Compared, FEATURE_BEATS, FLAG_SEALED, MAGIC, Message,
            PACKET_HEAD_BYTES, Phase, Tell, UDP_MESSAGE_BYTES_MAX, VERSION_MAX, VERSION_MIN, Wall, short,
        },
    },
    Node,
};

const LINKS_MAX: usize = 2048;
/// Comparisons whose answer is awaited.
const COMPARING_MAX: usize = 64;

/// A comparison of states under way: with whom, since when, and what time it was.
#[derive(Debug)]
pub(super) struct Comparison {
    with: Arc<str>,
    pub(super) at: Instant,
    wall: Wall,
}

impl Node {
    // In.

    pub(super) fn on_packet(&mut self, packet: &[u8], from: SocketAddr, now: Instant) {
        self.env.metrics.packets_received_total.inc();
        self.env.metrics.packets_received_bytes_total.inc_by(packet.len() as u64);
        let Some((sender, message)) = self.open_packet(packet) else { return };
        match Message::decode(&message) {
            Ok(Message::Swim(swim)) => self.on_swim(&swim, true, now),
            Ok(Message::Beat(beat)) => self.on_beat(&beat, sender, now),
            Ok(message) => self.on_message(message, None, Route::Udp(from), now),
            Err(_) => self.env.metrics.malformed_total.inc(),
        }
    }

    /// Sender and message of a packet of this cluster; of others there are many ways to be none.
    fn open_packet(&mut self, packet: &[u8]) -> Option<(u64, Bytes)> {
        let stranger = |reason: &'static str| {
            self.env.stranger(reason);
            None
        };
        let Some((head, sealed)) = packet.split_at_checked(PACKET_HEAD_BYTES) else { return stranger("foreign") };
        if head[..2] != MAGIC {
            return stranger("foreign");
        }
        if !(VERSION_MIN..=VERSION_MAX).contains(&head[2]) {
            return stranger("version");
        }
        if head[4..] != self.env.cluster {
            return stranger("label");
        }
        if (head[3] & FLAG_SEALED != 0) != self.env.seal.is_on() {
            return stranger("seal");
        }
        let Some(body) = self.env.seal.open(head, sealed) else { return stranger("seal") };
        let (sender, number) = (body.first_chunk::<8>()?, body.get(8..)?.first_chunk::<8>()?);
        let (sender, number) = (u64::from_le_bytes(*sender), u64::from_le_bytes(*number));
        if self.env.seal.is_on() && !self.replays.is_new(sender, number) {
            return stranger("seal");
        }
        Some((sender, Bytes::from(body).slice(BODY_HEAD_BYTES - 1..)))
    }

    /// A packet of foca's, over UDP or a stream.
    fn on_swim(&mut self, swim: &[u8], direct: bool, now: Instant) {
        // Of a member that was refused there is nothing to hear.
        if self.refused.is_some() {
            return;
        }
        let Some(sender) = self.core.packet(swim, direct, now) else { return };
        if let Some(peer) = self.peers.get_mut(&sender.name) {
            peer.udp_heard = Some(now);
        }
        self.pump(now);
    }

    /// A packet of foca's in few words. One that does not fit what is known of its sender is none: it will not be
    /// answered, and what is wrong comes to light.
    fn on_beat(&mut self, beat: &Beat, sender: u64, now: Instant) {
        let own = self.core.identity();
        let known = self.peers.by_instance(sender).map(|peer| &peer.identity);
        let Some(src) = known.filter(|src| short(src) == beat.from && short(own) == beat.to) else { return };
        let number = beat.number;
        let header = Header {
            src: src.clone(),
            src_incarnation: beat.incarnation,
            dst: own.clone(),
            message: if beat.is_answer { foca::Message::Ack(number) } else { foca::Message::Ping(number) },
        };
        if let Some(packet) = SwimCodec::bare(&header) {
            self.on_swim(&packet, true, now);
        }
    }

    /// The same in the other direction, where it can be said so.
    fn beat(&self, to: &Identity, packet: &[u8], now: Instant) -> Option<Beat> {
        let peer = self.peers.get(&to.name)?;
        let is_well =
            peer.identity == *to && peer.instance.is_some() && peer.full_until.is_none_or(|until| until <= now);
        if !is_well || peer.features & FEATURE_BEATS == 0 {
            return None;
        }
        let header = SwimCodec::bare_header(packet)?;
        let (number, is_answer) = match header.message {
            foca::Message::Ping(number) => (number, false),
            foca::Message::Ack(number) => (number, true),
            _ => return None,
        };
        let (from, to) = (short(&header.src), short(&header.dst));
        Some(Beat { from, to, incarnation: header.src_incarnation, number, is_answer })
    }

    pub(super) fn on_stream_message(
        &mut self,
        from: &From,
        message: Message,
        reply: mpsc::Sender<Bytes>,
        now: Instant,
    ) {
        if let Some(peer) = self.peers.get_mut(&from.name) {
            peer.tcp_works = Some(true);
        }
        match message {
            Message::Swim(swim) => {
                let heard = self.peers.get(&from.name).and_then(|peer| peer.udp_heard);
                self.on_swim(&swim, false, now);
                let Some(peer) = self.peers.get_mut(&from.name) else { return };
                // It came by stream: that says nothing of UDP, and is answered by stream.
                peer.udp_heard = heard;
                if heard.is_none_or(|at| now.saturating_duration_since(at) > UDP_FRESH) {
                    peer.also_tcp_until = Some(now + ALSO_TCP);
                }
            }
            message => self.on_message(message, Some(from), Route::Stream(reply), now),
        }
    }

    /// `stream`: who it is from, if that is certain.
    fn on_message(&mut self, message: Message, stream: Option<&From>, route: Route, now: Instant) {
        match message {
            Message::Call(call) => self.on_call(call, route, now),
            Message::Answer(answer) => {
                self.asked.answered(answer.nonce, &answer.from, answer.payload.map(|Blob(payload)| payload));
            }
            Message::Tell(tell) => self.on_tell(tell, now),
            Message::Ack(ack) => self.on_ack(&ack),
            Message::Deltas(deltas) => self.on_batch(deltas, stream, &route, now),
            Message::Compare(compare) => {
                self.on_stream_phase(stream, compare.phase);
                self.on_compare(compare, route);
            }
            Message::Compared(compared) => {
                self.on_stream_phase(stream, compared.phase);
                self.on_compared(&compared, now);
            }
            Message::Leaving(leaving) => self.on_leaving(&leaving, now),
            Message::Knock(knock) => self.on_knock(&knock, now),
            Message::Settling(settling) => self.on_phase(&settling.from, settling.instance, settling.phase),
            // Of a later version, or said at the wrong time.
            _ => {}
        }
    }

    fn on_stream_phase(&mut self, stream: Option<&From>, phase: Phase) {
        if let Some(from) = stream {
            self.on_phase(&from.name, from.instance, phase);
        }
    }

    // Questions and news.

    fn on_tell(&mut self, tell: Tell, now: Instant) {
        let Tell { from, nonce, payload: Blob(payload) } = tell;
        if self.heard.hear(&from, nonce, now) == Hearing::New {
            self.heard.answered(&from, nonce, None);
            self.env.handler.tell(&from, payload);
        }
    }

    fn on_call(&mut self, call: Call, route: Route, now: Instant) {
        match self.heard.hear(&call.from, call.nonce, now) {
            Hearing::New => {}
            Hearing::Running => return,
            Hearing::Answered(answer) => return self.answer(&call.from, call.nonce, answer, &route),
        }
        let Ok(permit) = Arc::clone(&self.handlers).try_acquire_owned() else {
            self.env.metrics.limit_reached_total.with_label_values(&["calls"]).inc();
            return;
        };
        let env = Arc::clone(&self.env);
        tokio::spawn(async move {
            let Call { from, nonce, payload: Blob(payload) } = call;
            let answer = env.handler.call(from.clone(), payload).await;
            drop(permit);
            env.tell(Event::Handled { from, nonce, answer, route }).await;
        });
    }

    pub(super) fn on_handled(&mut self, from: &str, nonce: u64, answer: Option<Bytes>, route: &Route) {
        self.heard.answered(from, nonce, answer.clone());
        self.answer(from, nonce, answer, route);
    }

    fn answer(&mut self, to: &str, nonce: u64, answer: Option<Bytes>, route: &Route) {
        let answer = Answer { from: self.config.name.clone(), nonce, payload: answer.map(Blob) };
        let message = Bytes::from(Message::Answer(answer).encode());
        match route {
            Route::Udp(address) if message.len() <= UDP_MESSAGE_BYTES_MAX => self.send_packet(*address, &message),
            Route::Udp(_) => self.say_to(&[to.to_owned()], &message),
            Route::Stream(reply) => self.reply(reply, message),
        }
    }

    /// A stream that takes no more is broken, or will be repaired by whoever asked.
    pub(super) fn reply(&self, reply: &mpsc::Sender<Bytes>, message: Bytes) {
        if let Err(TrySendError::Full(_)) = reply.try_send(message) {
            self.env.metrics.limit_reached_total.with_label_values(&["stream_queue"]).inc();
        }
    }

    pub(super) fn ask(
        &mut self,
        peers: BTreeSet<String>,
        payload: Bytes,
        limit: Duration,
        answers: mpsc::Sender<(String, Bytes)>,
        now: Instant,
    ) {
        let nonce = self.env.random.next_u64();
        let call = Call { from: self.config.name.clone(), nonce, payload: Blob(payload) };
        let message = Bytes::from(Message::Call(call).encode());
        let small = message.len() <= UDP_MESSAGE_BYTES_MAX && self.udp.is_some();
        // Who is unknown cannot be asked.
        let peers: Vec<String> = peers.into_iter().filter(|name| self.peers.get(name).is_some()).collect();
        let tcp_at = small.then_some(now + TCP_AFTER);
        if !self.asked.open(nonce, peers.clone(), answers, message.clone(), (now + limit, tcp_at)) {
            self.env.metrics.limit_reached_total.with_label_values(&["questions"]).inc();
            return;
        }
        if !small {
            return self.say_to(&peers, &message);
        }
        for name in &peers {
            let Some(peer) = self.peers.get(name) else { continue };
            let (address, also_tcp) = (peer.identity.address, peer.also_tcp_until.is_some_and(|until| until > now));
            self.send_packet(address, &message);
            if also_tcp {
                self.say(address, message.clone());
            }
        }
    }

    pub(super) fn tell_all(&mut self, payload: Bytes, via: Via) {
        let nonce = self.env.random.next_u64();
        let tell = Tell { from: self.config.name.clone(), nonce, payload: Blob(payload) };
        let message = Bytes::from(Message::Tell(tell).encode());
        let small = message.len() <= UDP_MESSAGE_BYTES_MAX && self.udp.is_some();
        let now = self.env.clock.monotonic();
        let members: Vec<_> = self.peers.live().map(|peer| (peer.identity.address, peer.also_tcp_until)).collect();
        for (address, also_tcp_until) in members {
            if small {
                self.send_packet(address, &message);
            }
            if via == Via::UdpAndTcp || !small || also_tcp_until.is_some_and(|until| until > now) {
                self.say(address, message.clone());
            }
        }
    }

    // Comparing states.

    /// Asks one random member whether its state is the same.
    pub(super) fn compare(&mut self, _now: Instant) {
        // Whoever owes an answer may be out of reach: another one may know what it knows.
        let owes = |peer: &&Peer| self.comparing.values().any(|comparison| comparison.with == peer.identity.name);
        let free: Vec<_> = self.peers.live().filter(|peer| !owes(peer)).collect();
        let members = if free.is_empty() { self.peers.live().collect() } else { free };
        let Some(count) = std::num::NonZeroU64::new(members.len() as u64) else { return };
        let chosen = usize::try_from(self.env.random.next_u64() % count).unwrap_or(0);
        let Some(peer) = members.get(chosen) else { return };
        if self.comparing.len() >= COMPARING_MAX {
            return;
        }
        let (nonce, address) = (self.env.random.next_u64(), peer.identity.address);
        let with = Arc::clone(&peer.identity.name);
        let comparison = Comparison { with, at: self.env.clock.monotonic(), wall: self.env.wall() };
        self.comparing.insert(nonce, comparison);
        let (env, from, phase) = (Arc::clone(&self.env), self.config.name.clone(), self.phase);
        let link = self.link(address);
        // A digest of much state takes its time.
        tokio::spawn(async move {
            let roots = env.state.kinds().into_iter().map(|kind| (kind, env.state.digest(kind).root())).collect();
            let message = Message::Compare(Compare { from, nonce, roots, phase }).encode();
            // A full queue means that the next comparison is soon enough.
            let _ = link.try_send(message.into());
        });
    }

    fn on_compare(&mut self, compare: Compare, route: Route) {
        let Route::Stream(reply) = route else { return };
        let (env, from, phase) = (Arc::clone(&self.env), self.config.name.clone(), self.phase);
        let Ok(permit) = Arc::clone(&self.handlers).try_acquire_owned() else { return };
        tokio::spawn(async move {
            let _permit = permit;
            let kinds = env.state.kinds();
            // Kinds that only one side knows cannot differ.
            let same = |(kind, root): &(_, _)| !kinds.contains(kind) || env.state.digest(*kind).root() == *root;
            let same = compare.roots.iter().all(same);
            let compared = Compared { from, nonce: compare.nonce, wall: env.wall(), same, phase };
            let _ = reply.try_send(Message::Compared(compared).encode().into());
        });
    }

    fn on_compared(&mut self, compared: &Compared, now: Instant) {
        let Some(Comparison { at, wall, .. }) = self.comparing.remove(&compared.nonce) else { return };
        let took = now.saturating_duration_since(at);
        let half = i64::try_from(took.as_nanos() / 2).unwrap_or(0);
        let Some(peer) = self.peers.get_mut(&compared.from) else { return };
        peer.offset = Some(TimeDelta::nanoseconds(compared.wall.saturating_sub(wall).saturating_sub(half)));
        peer.exchanged_at = Some(now);
        if !compared.same {
            peer.needs_exchange = true;
            self.dirty = true;
            self.be_watchful(now);
        }
    }

    // Out.

    pub(super) fn send_swim(&mut self, to: &Identity, packet: Bytes, now: Instant) {
        let also_tcp = self.peers.get(&to.name).and_then(|peer| peer.also_tcp_until).is_some_and(|until| until > now);
        if self.udp.is_some()
            && !also_tcp
            && let Some(beat) = self.beat(to, &packet, now)
        {
            return self.send_packet(to.address, &Message::Beat(beat).encode());
        }
        let message = Bytes::from(Message::Swim(packet).encode());
        if self.udp.is_some() {
            self.send_packet(to.address, &message);
        }
        if self.udp.is_none() || also_tcp {
            self.say(to.address, message);
        }
    }

    /// One datagram, or none: a full buffer drops it.
    pub(super) fn send_packet(&mut self, to: SocketAddr, message: &[u8]) {
        let Some(udp) = &self.udp else { return };
        self.packets += 1;
        let mut head = [0u8; PACKET_HEAD_BYTES];
        head[..2].copy_from_slice(&MAGIC);
        head[2] = VERSION_MIN;
        head[3] = if self.env.seal.is_on() { FLAG_SEALED } else { 0 };
        head[4..].copy_from_slice(&self.env.cluster);
        let mut body = Vec::with_capacity(BODY_HEAD_BYTES + message.len());
        body.extend_from_slice(&self.env.instance.to_le_bytes());
        body.extend_from_slice(&self.packets.to_le_bytes());
        body.extend_from_slice(message);
        let packet = [&head[..], &self.env.seal.seal(&head, body)].concat();
        if udp.send(to, &packet).is_ok() {
            self.env.metrics.packets_sent_total.inc();
            self.env.metrics.packets_sent_bytes_total.inc_by(packet.len() as u64);
        }
    }

    /// The same message to several peers over TCP.
    pub(super) fn say_to(&mut self, names: &[String], message: &Bytes) {
        for name in names {
            let Some(address) = self.peers.get(name).map(|peer| peer.identity.address) else { continue };
            self.say(address, message.clone());
        }
    }

    /// One message over TCP. False: the queue is full.
    pub(super) fn say(&mut self, to: SocketAddr, message: Bytes) -> bool {
        let said = self.link(to).try_send(message).is_ok();
        if !said {
            self.env.metrics.limit_reached_total.with_label_values(&["stream_queue"]).inc();
        }
        said
    }

    /// The stream to this address, opened if there is none.
    fn link(&mut self, to: SocketAddr) -> mpsc::Sender<Bytes> {
        if let Some(link) = self.links.get(&to).filter(|link| !link.is_closed()) {
            return link.clone();
        }
        if self.links.len() >= LINKS_MAX {
            self.links.retain(|_, link| !link.is_closed());
        }
        let link = link::open(&self.env, to);
        self.links.insert(to, link.clone());
        link
    }
}
