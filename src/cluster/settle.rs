//! When this node knows what the others know: after the start, and after a gap in its own timers. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use tokio::time::Instant;

/// Peers that cannot be reached are waited for so long: all nodes may be starting at once.
const GRACE: Duration = Duration::from_secs(5);
/// Failed attempts after which a peer counts as out of reach.
const ATTEMPTS: u32 = 2;

#[derive(Debug)]
pub(super) struct Settle {
    since: Instant,
    /// Until when at the latest.
    limit: Duration,
    /// Names without an answer are waited for so long.
    resolve_limit: Duration,
    settled: bool,
    exchanged: BTreeSet<SocketAddr>,
    failures: BTreeMap<SocketAddr, u32>,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// State was exchanged with all of so many peers.
    With(usize),
    /// These peers were not reached.
    Without(Vec<SocketAddr>),
}

impl Settle {
    pub fn new(now: Instant, limit: Duration, resolve_limit: Duration) -> Self {
        Settle {
            since: now,
            limit,
            resolve_limit: resolve_limit.min(limit),
            settled: false,
            exchanged: BTreeSet::new(),
            failures: BTreeMap::new(),
        }
    }

    pub fn is_settled(&self) -> bool {
        self.settled
    }

    /// The start, or the end of the last gap.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Unsettled again: nothing of before counts.
    pub fn start_over(&mut self, now: Instant) {
        (self.since, self.settled) = (now, false);
        self.exchanged.clear();
        self.failures.clear();
    }

    pub fn exchanged(&mut self, address: SocketAddr) {
        if !self.settled {
            self.exchanged.insert(address);
        }
    }

    pub fn failed(&mut self, address: SocketAddr) {
        if !self.settled {
            *self.failures.entry(address).or_default() += 1;
        }
    }

    /// Each of them has been called at least once.
    pub fn has_tried(&self, wanted: &BTreeSet<SocketAddr>) -> bool {
        wanted.iter().all(|address| self.exchanged.contains(address) || self.failures.contains_key(address))
    }

    /// Looks again; `wanted` are the peers to exchange with, `resolved` whether all names are known,
    /// `configured` whether there are peers at all.
    pub fn check(
        &mut self,
        now: Instant,
        wanted: &BTreeSet<SocketAddr>,
        resolved: bool,
        configured: bool,
    ) -> Option<Settled> {
        if self.settled {
            return None;
        }
        let waited = now.saturating_duration_since(self.since);
        let missing: Vec<SocketAddr> = wanted.iter().filter(|a| !self.exchanged.contains(a)).copied().collect();
        let out_of_reach = |address: &SocketAddr| self.failures.get(address).is_some_and(|count| *count >= ATTEMPTS);
        let known = resolved || waited >= self.resolve_limit;
        let done = if missing.is_empty() && !wanted.is_empty() && known {
            true
        } else if wanted.is_empty() {
            !configured || (known && waited >= GRACE)
        } else {
            known && waited >= GRACE && missing.iter().all(out_of_reach)
        };
        if !done && waited < self.limit {
            return None;
        }
        self.settled = true;
        Some(if missing.is_empty() { Settled::With(wanted.len()) } else { Settled::Without(missing) })
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests need a moment to start from")]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn addresses(count: u16) -> BTreeSet<SocketAddr> {
        (1..=count).map(|port| SocketAddr::from(([10, 0, 0, 1], port))).collect()
    }

    #[test]
    fn a_node_without_peers_is_settled_at_once() {
        let now = Instant::now();
        let mut settle = Settle::new(now, MINUTE, MINUTE);
        assert_eq!(settle.check(now, &BTreeSet::new(), true, false), Some(Settled::With(0)));
    }

    #[test]
    fn it_is_settled_when_all_peers_have_exchanged_state() {
        let now = Instant::now();
        let (mut settle, wanted) = (Settle::new(now, MINUTE, MINUTE), addresses(2));
        for address in &wanted {
            assert_eq!(settle.check(now, &wanted, true, true), None);
            settle.exchanged(*address);
        }
        assert_eq!(settle.check(now, &wanted, true, true), Some(Settled::With(2)));
    }

    #[test]
    fn peers_out_of_reach_are_waited_for_and_then_named() {
        let now = Instant::now();
        let (mut settle, wanted) = (Settle::new(now, MINUTE, MINUTE), addresses(1));
        let only = *wanted.first().unwrap();
        settle.failed(only);
        settle.failed(only);
        assert_eq!(settle.check(now, &wanted, true, true), None);
        assert_eq!(settle.check(now + GRACE, &wanted, true, true), Some(Settled::Without(vec![only])));
        settle.start_over(now + GRACE);
        assert_eq!(settle.check(now + GRACE + MINUTE, &wanted, true, true), Some(Settled::Without(vec![only])));
    }
}
