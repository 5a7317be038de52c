//! How changes travel: numbered, gossiped or sent in batches, acknowledged, sent again.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    super::{
        Kind, Merge, Urgency,
        codec::Blob,
        core::GOSSIP_BACKLOG_MAX,
        greet::{From, Route},
        metrics::UPDATE,
        wire::{Ack, Delta, Deltas, Message},
    },
    Node,
};

/// More new deltas at once than this are not gossiped: a packet holds about four.
const GOSSIPED_AT_ONCE: usize = 8;
/// A batch waits so long for others to come along.
const BATCH_WAIT: Duration = Duration::from_millis(10);
/// Acknowledgements wait so long for more to acknowledge.
const ACK_WAIT: Duration = Duration::from_millis(200);
const RESEND_LOOK: Duration = Duration::from_millis(250);
const ACKS_DUE_MAX: usize = 4096;

impl Node {
    /// Gives a change its number; none is needed while there is nobody to send it to.
    pub(super) fn number(&mut self, kind: Kind, key: u64, version: u64, record: Bytes, now: Instant) -> Option<Delta> {
        let (delta, dropped) = self.log.add(kind, key, version, record, now);
        if dropped {
            self.env.metrics.messages_pruned_total.inc();
            for peer in self.peers.live_mut() {
                peer.needs_exchange = true;
            }
        }
        self.be_watchful(now);
        // Tasks at the streams must see the number before they look at the state.
        self.env.shared().newest = self.log.newest();
        if self.peers.live().next().is_none() {
            self.log.prune(std::iter::empty());
            return None;
        }
        Some(delta)
    }

    /// New deltas go out: few and small ones by gossip, at once; else in batches over TCP.
    pub(super) fn spread(&mut self, deltas: Vec<(Delta, Urgency)>, now: Instant) {
        if deltas.is_empty() {
            return;
        }
        let many = deltas.len() > GOSSIPED_AT_ONCE || self.core.gossip_backlog() > GOSSIP_BACKLOG_MAX;
        let mut gossiped = false;
        for (delta, urgency) in &deltas {
            let taken = !many && self.core.broadcast(delta);
            gossiped |= taken;
            if !taken {
                self.batch_at.get_or_insert(now + BATCH_WAIT);
            }
            if *urgency == Urgency::AtOnce {
                self.batch_at = Some(now);
            }
            self.env.metrics.messages_sent_total.with_label_values(&[UPDATE]).inc();
            let size = delta.record.0.len() as u64;
            self.env.metrics.messages_sent_size_total.with_label_values(&[UPDATE]).inc_by(size);
        }
        if gossiped || self.core.gossip_backlog() > 0 {
            self.core.gossip(now);
        }
    }

    /// What is due over TCP: everything that is lacking when there is much, what nobody acknowledged in any case.
    pub(super) fn send_batches(&mut self, now: Instant) {
        let all = self.batch_at.is_some_and(|at| at <= now);
        if !all && (self.log.is_empty() || self.resend_at > now) {
            return;
        }
        self.resend_at = now + RESEND_LOOK;
        if all {
            self.batch_at = None;
        }
        let mut batches = Vec::new();
        for peer in self.peers.live_mut() {
            while let Some((low, deltas)) = self.log.batch(&mut peer.held, all, now) {
                batches.push((peer.identity.address, low, deltas));
            }
        }
        // Most members lack the same; it is written once.
        let mut last: Option<(Vec<Delta>, u64, Bytes)> = None;
        for (address, low, deltas) in batches {
            if !all {
                self.env.metrics.deltas_resent_total.inc_by(deltas.len() as u64);
            }
            self.count_batch(&deltas);
            let message = match last.take() {
                Some((same, same_low, message)) if same_low == low && same == deltas => message,
                _ => {
                    let batch = Deltas { origin: self.env.instance, low, deltas: deltas.clone() };
                    Bytes::from(Message::Deltas(batch).encode())
                }
            };
            if !self.say(address, message.clone()) {
                self.env.metrics.oversized_dropped_total.with_label_values(&["stream"]).inc();
                if let Some(peer) = self.peers.at_mut(address) {
                    peer.held.forget_sent();
                }
            }
            last = Some((deltas, low, message));
        }
    }

    fn count_batch(&self, deltas: &[Delta]) {
        for delta in deltas {
            let name = self.env.state.name(delta.kind);
            self.env.metrics.oversized_sent_total.with_label_values(&[name]).inc();
        }
    }

    /// Deltas that came by gossip.
    pub(super) fn take_deltas(&mut self, deltas: Vec<Delta>, now: Instant) {
        self.be_watchful(now);
        for delta in deltas {
            if self.acks_due.len() < ACKS_DUE_MAX {
                self.acks_due.entry(delta.origin).or_insert(now + ACK_WAIT);
            }
            let from = self.peers.by_instance(delta.origin).map(|peer| Arc::clone(&peer.identity.name));
            self.merge(&delta, from.as_deref().unwrap_or_default());
        }
    }

    /// Deltas that came over TCP, from their origin itself.
    pub(super) fn on_batch(&mut self, batch: Deltas, from: Option<&From>, route: &Route, now: Instant) {
        let (Some(from), Route::Stream(reply)) = (from, route) else { return };
        self.be_watchful(now);
        if batch.origin != from.instance {
            self.env.metrics.malformed_total.inc();
            return;
        }
        self.core.received(|received| received.raise(batch.origin, batch.low.saturating_sub(1)));
        for delta in batch.deltas.iter().filter(|delta| delta.origin == batch.origin) {
            if self.core.received(|received| received.insert(delta.origin, delta.number)) {
                self.merge(delta, &from.name);
            }
        }
        self.acks_due.remove(&batch.origin);
        let ack = self.core.received(|received| received.ack(batch.origin, &self.config.name));
        self.reply(reply, Message::Ack(ack).encode().into());
    }

    fn merge(&self, delta: &Delta, from: &str) {
        let Blob(record) = &delta.record;
        self.env.metrics.messages_received_total.with_label_values(&[UPDATE]).inc();
        self.env.metrics.messages_received_size_total.with_label_values(&[UPDATE]).inc_by(record.len() as u64);
        let known = self.env.state.kinds().contains(&delta.kind);
        if known && self.env.state.merge(delta.kind, record, from) == Merge::Unreadable {
            self.env.metrics.malformed_total.inc();
        }
    }

    pub(super) fn send_acks(&mut self, now: Instant) {
        let due: Vec<u64> = self.acks_due.iter().filter(|(_, at)| **at <= now).map(|(origin, _)| *origin).collect();
        for origin in due {
            self.acks_due.remove(&origin);
            // Of a process that has not greeted yet nobody knows where it is; it will send again.
            let Some(peer) = self.peers.by_instance(origin) else { continue };
            let (address, also_tcp) = (peer.identity.address, peer.also_tcp_until.is_some_and(|until| until > now));
            let ack = self.core.received(|received| received.ack(origin, &self.config.name));
            let message = Bytes::from(Message::Ack(ack).encode());
            self.send_packet(address, &message);
            if also_tcp || self.udp.is_none() {
                self.say(address, message);
            }
        }
    }

    pub(super) fn on_ack(&mut self, ack: &Ack) {
        if ack.origin != self.env.instance {
            return;
        }
        if let Some(peer) = self.peers.get_mut(&ack.from) {
            peer.held.acknowledge(ack);
        }
        self.log.prune(self.peers.live().map(|peer| &peer.held));
    }
}
