//! Who is called, and why: configured peers that are no members, members that are out of sight, members to exchange
//! state with. A call that fails is repeated, at growing intervals; between calls a datagram knocks, and whoever hears
//! it calls at once: so a split is over a second after it has healed, however long it was.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    task::AbortHandle,
    time::{Instant, timeout},
};

use super::{
    super::{
        exchange,
        greet::{Env, Event, GreetError},
        identity::Identity,
        peers::{Peer, Standing},
        wire::{Knock, Message, Refused},
    },
    Node,
};

/// Exchanges under way that this node has started.
const CONTACTS_RUNNING_MAX: usize = 32;
const RETRY_MIN: Duration = Duration::from_secs(1);
/// Where datagrams do not pass nobody hears a knock: who is out of sight is called this often.
const RETRY_WITHOUT_UDP: Duration = Duration::from_secs(1);
/// Between two knocks at one address, and how many are knocked at in one look.
const KNOCK: Duration = Duration::from_millis(900);
const KNOCKS_MAX: usize = 64;
/// A call that has run for so long without an answer is given up for a new one when the other side knocks; and nobody
/// is called more often than this for knocking.
const KNOCK_PAUSE: Duration = Duration::from_millis(300);
/// Others of the own name, and how often each is called.
const RIVALS_MAX: usize = 16;
const RIVAL_CALLS_MAX: u32 = 3;

/// An address that is called until it is no more wanted.
#[derive(Debug)]
pub(super) struct Contact {
    reason: Reason,
    next: Instant,
    pub(super) failures: u32,
    running: bool,
    /// The last attempt, and whether it got as far as a greeting.
    began: Instant,
    task: Option<AbortHandle>,
    pub(super) greeted: bool,
    knock_at: Instant,
}

impl Contact {
    fn new(reason: Reason, now: Instant) -> Self {
        Contact {
            reason,
            next: now,
            failures: 0,
            running: false,
            began: now,
            task: None,
            greeted: false,
            knock_at: now + KNOCK,
        }
    }

    /// As soon as may be.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.next = now;
    }

    /// The attempt has ended without a word on how.
    pub(super) fn again(&mut self, now: Instant) {
        (self.running, self.next) = (false, now);
    }

    pub(super) fn is_configured(&self) -> bool {
        self.reason == Reason::Configured
    }

    /// Nobody answers there.
    fn is_out_of_sight(&self) -> bool {
        self.reason == Reason::Lost || (self.reason == Reason::Configured && self.failures > 0)
    }

    fn start(&mut self, env: &Arc<Env>, to: SocketAddr, now: Instant) {
        self.task = Some(exchange::start(env, to));
        (self.running, self.began, self.greeted) = (true, now, false);
    }

    /// Who is there knocks: it is called now, even if a call is under way that was lost.
    fn hear_knock(&mut self, now: Instant) {
        if now.saturating_duration_since(self.began) < KNOCK_PAUSE || (self.running && self.greeted) {
            return;
        }
        if let Some(task) = self.task.take() {
            task.abort();
        }
        self.again(now);
    }
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
    pub(super) fn on_exchange_failed(&mut self, to: SocketAddr, error: &GreetError, now: Instant) {
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
        let is_deaf = self.peers.at(to).is_some_and(|peer| peer.udp_heard.is_none());
        let retry_max = match self.udp {
            Some(_) if !is_deaf => self.config.reconnect_interval,
            _ => self.config.reconnect_interval.min(RETRY_WITHOUT_UDP),
        };
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

    pub(super) fn on_found(&mut self, index: usize, result: &std::io::Result<Vec<SocketAddr>>) {
        self.looking_up.remove(&index);
        let worth_a_line = self.discovery.found(index, result);
        if let (true, Err(error)) = (worth_a_line, result) {
            let peer = self.config.peers.get(index).map_or("", String::as_str);
            tracing::warn!(peer, error = %error, "the peer's name does not resolve; it is tried again");
        }
        self.dirty = true;
    }

    pub(super) fn is_own(&self, address: SocketAddr) -> bool {
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
            let known = self.peers.at(address).or(alias).is_some_and(Peer::is_live);
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
            let contact = self.contacts.entry(address).or_insert_with(|| Contact::new(reason, now));
            if contact.reason != reason && !contact.running {
                *contact = Contact::new(reason, now);
            }
        }
        let running = self.contacts.values().filter(|contact| contact.running).count();
        let due = self.contacts.iter_mut().filter(|(_, contact)| !contact.running && contact.next <= now);
        for (address, contact) in due.take(CONTACTS_RUNNING_MAX.saturating_sub(running)) {
            contact.start(&self.env, *address, now);
        }
    }

    /// A small datagram to each that is out of sight.
    pub(super) fn knock(&mut self, now: Instant) {
        let due = self.contacts.iter_mut().filter(|(_, contact)| contact.is_out_of_sight() && contact.knock_at <= now);
        let mut addresses = Vec::new();
        for (address, contact) in due.take(KNOCKS_MAX) {
            contact.knock_at = now + KNOCK;
            addresses.push(*address);
        }
        if addresses.is_empty() || self.refused.is_some() {
            return;
        }
        let message = Message::Knock(Knock { identity: self.core.identity().clone() }).encode();
        addresses.into_iter().for_each(|address| self.send_packet(address, &message));
    }

    pub(super) fn on_knock(&mut self, knock: &Knock, now: Instant) {
        let identity = &knock.identity;
        let aliases = self.aliases.iter().filter(|(_, name)| **name == identity.name).map(|(address, _)| *address);
        let places: BTreeSet<SocketAddr> = aliases.chain([identity.address]).collect();
        let mut is_called = false;
        for place in places {
            if let Some(contact) = self.contacts.get_mut(&place) {
                contact.hear_knock(now);
                is_called = true;
            }
        }
        // It has lost us, and we have not noticed: a greeting tells each what the other believes.
        if !is_called
            && let Some(peer) = self.peers.get_mut(&identity.name).filter(|peer| peer.identity == *identity)
            && peer.exchanged_at.is_none_or(|at| now.saturating_duration_since(at) > KNOCK)
        {
            peer.needs_exchange = true;
        }
        self.call_contacts(now);
    }
}
