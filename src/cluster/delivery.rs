//! Deltas and their numbers: what this node sent and who holds it ([`Log`]), and what it holds of others
//! ([`Received`]). Pure; times come in.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    Kind,
    codec::Blob,
    wire::{Ack, Delta},
};

/// Unacknowledged for this long, a delta is sent again over TCP.
pub(super) const RESEND_AFTER: Duration = Duration::from_secs(1);
/// A batch that was sent over TCP is given this long.
const BATCH_PATIENCE: Duration = Duration::from_secs(3);
/// Records of one batch together.
pub(super) const BATCH_BYTES_MAX: usize = 256 << 10;
const LOG_DELTAS_MAX: usize = 20_000;
const LOG_BYTES_MAX: usize = 32 << 20;
const ACK_WORDS_MAX: usize = 16;
/// Numbers kept out of order.
const WINDOW_MAX: usize = 8192;
const ORIGINS_MAX: usize = 1024;

/// Own deltas that some live member does not hold yet.
#[derive(Debug)]
pub(super) struct Log {
    origin: u64,
    newest: u64,
    pending: BTreeMap<u64, (Delta, Instant)>,
    /// Number of the pending delta of a key.
    by_key: BTreeMap<(Kind, u64), u64>,
    bytes: usize,
}

impl Log {
    pub fn new(origin: u64) -> Self {
        Log { origin, newest: 0, pending: BTreeMap::new(), by_key: BTreeMap::new(), bytes: 0 }
    }

    /// Numbers a delta and keeps it. An older version of the same key is not sent again.
    ///
    /// Beyond the limit the oldest is dropped: the comparison of states will bring it.
    pub fn add(&mut self, kind: Kind, key: u64, version: u64, record: Bytes, now: Instant) -> (Delta, bool) {
        self.newest += 1;
        let delta = Delta { origin: self.origin, number: self.newest, kind, key, version, record: Blob(record) };
        if let Some(older) = self.by_key.insert((kind, key), delta.number) {
            self.remove(older);
        }
        self.bytes += delta.record.0.len();
        self.pending.insert(delta.number, (delta.clone(), now));
        let mut dropped = false;
        while self.pending.len() > LOG_DELTAS_MAX || self.bytes > LOG_BYTES_MAX {
            let Some(oldest) = self.pending.keys().next().copied() else { break };
            self.remove(oldest);
            dropped = true;
        }
        (delta, dropped)
    }

    fn remove(&mut self, number: u64) {
        let Some((delta, _)) = self.pending.remove(&number) else { return };
        self.bytes = self.bytes.saturating_sub(delta.record.0.len());
        if self.by_key.get(&(delta.kind, delta.key)) == Some(&number) {
            self.by_key.remove(&(delta.kind, delta.key));
        }
    }

    pub fn newest(&self) -> u64 {
        self.newest
    }

    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Number of deltas that the holder of `held` lacks.
    pub fn lag(&self, held: &Held) -> usize {
        self.pending.keys().filter(|number| !held.has(**number)).count()
    }

    /// Forgets what all of `members` hold.
    pub fn prune<'a>(&mut self, members: impl Iterator<Item = &'a Held> + Clone) {
        let done: Vec<u64> =
            self.pending.keys().copied().filter(|number| members.clone().all(|held| held.has(*number))).collect();
        for number in done {
            self.remove(number);
        }
    }

    /// What to send over TCP to the holder of `held` now: with `all`, everything that is not on its way so;
    /// else what has not been acknowledged for a while. With the number below which all is settled.
    pub fn batch(&self, held: &mut Held, all: bool, now: Instant) -> Option<(u64, Vec<Delta>)> {
        if held.sent_at.is_some_and(|at| now.saturating_duration_since(at) > BATCH_PATIENCE) {
            held.forget_sent();
        }
        let sent = held.sent_upto;
        let due = |at: Instant| all || now.saturating_duration_since(at) >= RESEND_AFTER;
        let mut lacking = self.pending.iter().filter(|(number, _)| !held.has(**number)).peekable();
        let low = lacking.peek().map(|(number, _)| **number)?;
        let (mut bytes, mut deltas) = (0, Vec::new());
        for (_, (delta, at)) in lacking.filter(|(number, _)| **number > sent) {
            if !due(*at) || bytes > BATCH_BYTES_MAX {
                break;
            }
            bytes += delta.record.0.len() + 32;
            deltas.push(delta.clone());
        }
        held.sent_upto = deltas.last()?.number;
        held.sent_at = Some(now);
        Some((low, deltas))
    }
}

/// Which of our deltas one member holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    upto: u64,
    beyond: BTreeSet<u64>,
    /// On their way over TCP, up to this number, since then.
    sent_upto: u64,
    sent_at: Option<Instant>,
}

impl Held {
    fn has(&self, number: u64) -> bool {
        number <= self.upto || self.beyond.contains(&number)
    }

    /// Everything up to this number came another way.
    pub fn raise(&mut self, upto: u64) {
        self.upto = self.upto.max(upto);
        let upto = self.upto;
        self.beyond.retain(|number| *number > upto);
    }

    pub fn acknowledge(&mut self, ack: &Ack) {
        self.raise(ack.upto);
        for (word, bits) in ack.bits.iter().take(ACK_WORDS_MAX).enumerate() {
            let base = ack.upto.saturating_add(1 + 64 * word as u64);
            for bit in (0..64).filter(|bit| bits & (1 << bit) != 0) {
                self.beyond.insert(base.saturating_add(bit));
            }
        }
        self.raise(0);
        // A member cannot hold more than this in acknowledgements; a liar loses only its own deltas.
        while self.beyond.len() > WINDOW_MAX {
            self.beyond.pop_first();
        }
    }

    /// The stream broke: what was on its way may be lost.
    pub fn forget_sent(&mut self) {
        (self.sent_upto, self.sent_at) = (0, None);
    }
}

/// Which deltas of all origins were received.
#[derive(Debug, Default)]
pub(super) struct Received {
    origins: BTreeMap<u64, Window>,
    uses: u64,
}

#[derive(Debug, Default)]
struct Window {
    upto: u64,
    beyond: BTreeSet<u64>,
    used: u64,
}

impl Received {
    fn window(&mut self, origin: u64) -> &mut Window {
        self.uses += 1;
        if !self.origins.contains_key(&origin) && self.origins.len() >= ORIGINS_MAX {
            let oldest = self.origins.iter().min_by_key(|(_, window)| window.used).map(|(origin, _)| *origin);
            oldest.and_then(|origin| self.origins.remove(&origin));
        }
        let used = self.uses;
        let window = self.origins.entry(origin).or_default();
        window.used = used;
        window
    }

    /// Whether the delta is new; it counts as received from now on.
    pub fn insert(&mut self, origin: u64, number: u64) -> bool {
        let window = self.window(origin);
        if number <= window.upto || !window.beyond.insert(number) {
            return false;
        }
        window.advance();
        // A hole that nobody fills is given up; the comparison of states will fill it.
        if window.beyond.len() > WINDOW_MAX
            && let Some(lowest) = window.beyond.first().copied()
        {
            window.upto = lowest;
            window.advance();
        }
        true
    }

    /// Everything up to this number came another way, or never will.
    pub fn raise(&mut self, origin: u64, upto: u64) {
        let window = self.window(origin);
        if upto > window.upto {
            window.upto = upto;
            window.beyond = window.beyond.split_off(&upto.saturating_add(1));
            window.advance();
        }
    }

    pub fn ack(&mut self, origin: u64, from: &str) -> Ack {
        let window = self.window(origin);
        let mut bits = vec![0u64; ACK_WORDS_MAX];
        for number in &window.beyond {
            let place = number - window.upto - 1;
            if let Some(word) = usize::try_from(place / 64).ok().and_then(|word| bits.get_mut(word)) {
                *word |= 1 << (place % 64);
            }
        }
        let used = bits.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
        bits.truncate(used);
        Ack { from: from.to_owned(), origin, upto: window.upto, bits }
    }
}

impl Window {
    fn advance(&mut self) {
        // The highest number of all has none after it: a peer may say anything.
        while let Some(next) = self.upto.checked_add(1)
            && self.beyond.remove(&next)
        {
            self.upto = next;
        }
        let upto = self.upto;
        if self.beyond.first().is_some_and(|first| *first <= upto) {
            self.beyond.retain(|number| *number > upto);
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests need a moment to start from")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn log_of(count: u64, now: Instant) -> Log {
        let mut log = Log::new(1);
        for key in 0..count {
            log.add(0, key, 1, Bytes::from_static(b"record"), now);
        }
        log
    }

    #[test]
    fn what_is_not_acknowledged_is_sent_again_after_a_second_and_once() {
        let now = Instant::now();
        let (mut log, mut held) = (log_of(3, now), Held::default());
        assert!(log.batch(&mut held, false, now).is_none());
        held.acknowledge(&Ack { from: String::new(), origin: 1, upto: 1, bits: vec![0b10] });
        let (low, deltas) = log.batch(&mut held, false, now + RESEND_AFTER).unwrap();
        assert_eq!((low, deltas.len(), deltas[0].number), (2, 1, 2));
        assert!(log.batch(&mut held, false, now + RESEND_AFTER).is_none());
        assert!(log.batch(&mut held, false, now + Duration::from_secs(9)).is_some());
        held.raise(3);
        log.prune([&held].into_iter());
        assert!(log.is_empty());
    }

    #[test]
    fn a_newer_version_takes_the_place_of_the_older() {
        let now = Instant::now();
        let (mut log, mut held) = (log_of(2, now), Held::default());
        log.add(0, 0, 2, Bytes::from_static(b"newer"), now);
        let (low, deltas) = log.batch(&mut held, true, now).unwrap();
        let numbers: Vec<_> = deltas.iter().map(|delta| delta.number).collect();
        assert_eq!((low, numbers), (2, vec![2, 3]));
    }

    #[test]
    fn a_stream_of_deltas_has_a_bound() {
        let log = log_of(LOG_DELTAS_MAX as u64 + 50, Instant::now());
        assert_eq!(log.pending.len(), LOG_DELTAS_MAX);
        assert_eq!(log.by_key.len(), LOG_DELTAS_MAX);
    }

    #[test]
    fn the_highest_number_of_all_is_a_number() {
        let mut received = Received::default();
        assert!(received.insert(1, u64::MAX));
        received.raise(1, u64::MAX - 1);
        received.raise(1, u64::MAX);
        assert!(!received.insert(1, u64::MAX));
        assert_eq!(received.ack(1, "a").upto, u64::MAX);
    }

    proptest! {
        #[test]
        fn an_acknowledgement_tells_exactly_what_was_received(numbers in prop::collection::vec(1u64..1000, 0..200), low in 0u64..500) {
            let (mut received, mut held) = (Received::default(), Held::default());
            let mut seen = BTreeSet::new();
            for number in &numbers {
                prop_assert_eq!(received.insert(7, *number), seen.insert(*number));
            }
            received.raise(7, low);
            held.acknowledge(&received.ack(7, "a"));
            for number in 1..1000 {
                prop_assert_eq!(held.has(number), number <= low || seen.contains(&number));
            }
        }
    }
}
