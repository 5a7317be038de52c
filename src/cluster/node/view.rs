//! What the outside sees: the view, and the gauges.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    super::{
        Member, MemberState, View,
        peers::{Peer, Standing},
    },
    Node,
};

/// UDP that was not heard for so many rounds of probes does not work.
const UDP_ROUNDS: u32 = 6;

impl Node {
    pub(super) fn publish(&mut self, now: Instant) {
        let mut members: Vec<Member> = self.peers.iter().filter_map(|peer| self.member(peer, now)).collect();
        let own = self.core.identity();
        members.push(Member {
            name: own.name.to_string(),
            address: own.address,
            generation: own.generation,
            state: MemberState::Alive,
            settled: self.settle.is_settled(),
            is_self: true,
            last_exchange: None,
            clock_offset: None,
            round_trip: None,
            udp: None,
            tcp: None,
            lag: 0,
            version: self.env.version.clone(),
        });
        members.sort_by(|a, b| a.name.cmp(&b.name));
        let view = View { members, settled: self.settle.is_settled(), gaps: self.gaps, refused: self.refused.clone() };
        self.measure(&view);
        let news = differs(&self.view.load(), &view);
        self.view.store(Arc::new(view));
        if news {
            self.changed.send_modify(|version| *version += 1);
        }
        self.dirty = false;
    }

    fn member(&self, peer: &Peer, now: Instant) -> Option<Member> {
        let state = match (peer.standing, self.core.state_of(&peer.identity.name)) {
            (Standing::Left(_), _) => return None,
            (Standing::Down(_), _) => MemberState::Down,
            (Standing::Live, Some(foca::State::Suspect)) => MemberState::Suspect,
            (Standing::Live, _) => MemberState::Alive,
        };
        let members = u32::try_from(self.peers.live().count()).unwrap_or(u32::MAX).max(2);
        let fresh = self.core_config.probe_period.saturating_mul(UDP_ROUNDS.saturating_mul(members));
        let heard = |at: Instant| now.saturating_duration_since(at) <= fresh.max(Duration::from_secs(5));
        Some(Member {
            name: peer.identity.name.to_string(),
            address: peer.identity.address,
            generation: peer.identity.generation,
            state,
            settled: peer.is_settled(),
            is_self: false,
            last_exchange: peer.exchanged_at.map(|at| now.saturating_duration_since(at)),
            clock_offset: peer.offset,
            round_trip: peer.round_trip,
            // Nobody is spoken to more often than the rounds of probes need.
            udp: if self.udp.is_some() && peer.udp_heard.is_some_and(heard) {
                Some(true)
            } else {
                (self.udp.is_none() || !peer.live_since.is_some_and(heard)).then_some(false)
            },
            tcp: peer.tcp_works,
            lag: self.log.lag(&peer.held),
            version: peer.version.clone(),
        })
    }

    fn measure(&self, view: &View) {
        let m = &self.env.metrics;
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        m.members.set(number(view.live().count()));
        m.peer_position.set(number(view.position()));
        let down = view.members.iter().filter(|member| !member.is_live()).count();
        let is_known = |address| self.peers.at(address).is_some() || self.aliases.contains_key(&address);
        let failing = self.contacts.iter().filter(|(_, contact)| contact.failures > 0);
        let never = failing.filter(|(address, _)| !is_known(**address)).count();
        m.failed_peers.set(number(down + never));
        m.settled.set(i64::from(view.settled));
        m.health_score.set((self.lateness + 63) / 64);
        m.messages_queued.set(number(self.core.gossip_backlog()));
        m.clock_correction_milliseconds.set(view.clock_correction().num_milliseconds());
        let known: Vec<&str> = view.members.iter().map(|member| member.name.as_str()).collect();
        for member in self.view.load().members.iter().filter(|member| !known.contains(&member.name.as_str())) {
            let labels = [member.name.as_str()];
            // What is not there cannot be removed.
            let _ = m.peer_up.remove_label_values(&labels);
            let _ = m.peer_lag.remove_label_values(&labels);
            let _ = m.peer_clock_offset_milliseconds.remove_label_values(&labels);
            for protocol in ["udp", "tcp"] {
                let _ = m.peer_reachable.remove_label_values(&[&member.name, protocol]);
            }
        }
        for member in view.members.iter().filter(|member| !member.is_self) {
            let labels = [member.name.as_str()];
            m.peer_up.with_label_values(&labels).set(i64::from(member.is_live()));
            m.peer_lag.with_label_values(&labels).set(number(member.lag));
            let offset = member.clock_offset.map_or(0, |offset| offset.num_milliseconds());
            m.peer_clock_offset_milliseconds.with_label_values(&labels).set(offset);
            for (protocol, ok) in [("udp", member.udp), ("tcp", member.tcp)] {
                m.peer_reachable.with_label_values(&[&member.name, protocol]).set(i64::from(ok == Some(true)));
            }
        }
    }
}

/// Whether something has changed that watchers look for; measured values change all the time.
fn differs(old: &View, new: &View) -> bool {
    let key = |view: &View| {
        let members = view.members.iter();
        let members: Vec<_> = members
            .map(|m| (m.name.clone(), m.address, m.generation, (m.state, m.settled), m.clock_offset.is_some()))
            .collect();
        (members, view.settled, view.gaps, view.refused.clone())
    };
    key(old) != key(new)
}
