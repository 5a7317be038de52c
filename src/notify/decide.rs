//! Whether this node may speak about a key now: the order of reasons in reference/decide.md 3.2 as one pure
//! function, asked again whenever an input changed.

use tokio::time::Instant;

use super::peer::Others;

/// All that the decision rests on. Moments are monotonic: a wall clock that is set moves none of them.
#[derive(Clone, Copy, Debug)]
pub struct Situation {
    pub now: Instant,
    /// The difference between what is and what was told is not empty.
    pub owed: bool,
    /// When the key may be told.
    pub tick: Instant,
    /// Not before then after own failures.
    pub retry_at: Option<Instant>,
    pub others: Others,
    /// The other nodes were asked since the alerts were last looked at, and all have answered or the limit passed.
    pub asked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing is owed: own failures are forgotten.
    Skip,
    /// Not before this moment; look again then.
    Wait(Instant),
    Ask,
    Send,
}

/// The first rule that applies wins.
#[must_use]
pub fn decide(s: &Situation) -> Decision {
    if !s.owed {
        return Decision::Skip;
    }
    let barriers = [Some(s.tick), s.retry_at, s.others.claim_until, Some(s.others.turn)];
    match barriers.into_iter().flatten().find(|until| *until > s.now) {
        Some(until) => Decision::Wait(until),
        None if s.asked => Decision::Send,
        None => Decision::Ask,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn base() -> Instant {
        Instant::from_std(std::time::Instant::from(crate::clock::Clock::system().monotonic()))
    }

    fn moment(base: Instant, offset_ms: u64) -> Instant {
        base + Duration::from_millis(offset_ms)
    }

    proptest! {
        /// Whatever the barriers are, waiting as told and asking leads to Send in a few steps, and every wait
        /// ends at one of the barriers.
        #[test]
        fn a_debt_is_sent_once_every_barrier_has_passed(
            now in 0u64..100_000,
            tick in 0u64..100_000,
            retry in proptest::option::of(0u64..100_000),
            claim in proptest::option::of(0u64..100_000),
            turn in 0u64..100_000,
        ) {
            let base = base();
            let mut s = Situation {
                now: moment(base, now),
                owed: true,
                tick: moment(base, tick),
                retry_at: retry.map(|ms| moment(base, ms)),
                others: Others { claim_until: claim.map(|ms| moment(base, ms)), turn: moment(base, turn) },
                asked: false,
            };
            let last = [tick, retry.unwrap_or(0), claim.unwrap_or(0), turn, now].into_iter().max().unwrap_or(0);
            let mut steps = 0;
            loop {
                steps += 1;
                prop_assert!(steps <= 6, "starved: {s:?}");
                match decide(&s) {
                    Decision::Wait(until) => {
                        prop_assert!(until > s.now && until <= moment(base, last));
                        s.now = until;
                    }
                    Decision::Ask => s.asked = true,
                    Decision::Send => break,
                    Decision::Skip => prop_assert!(false, "skipped a debt"),
                }
            }
            prop_assert_eq!(s.now, moment(base, last));
        }
    }

    #[test]
    fn what_is_not_owed_is_skipped_whatever_else_holds() {
        let now = base();
        let later = now + Duration::from_secs(1);
        let others = Others { claim_until: Some(later), turn: later };
        let s = Situation { now, owed: false, tick: later, retry_at: Some(later), others, asked: false };
        assert_eq!(decide(&s), Decision::Skip);
    }

    #[test]
    fn nothing_is_sent_without_asking_first() {
        let now = base();
        let others = Others { claim_until: None, turn: now };
        let s = Situation { now, owed: true, tick: now, retry_at: None, others, asked: false };
        assert_eq!(decide(&s), Decision::Ask);
        assert_eq!(decide(&Situation { asked: true, ..s }), Decision::Send);
    }
}
