//! When a group looks at what it owes: a grid of ticks that follows from facts every node shares
//! (reference/decide.md 3.3). Pure.
//!
//! A group that the receiver believes to be quiet begins with `group_wait` after the first alert was
//! accepted; one that was told before goes on from the tick of that. From then on it ticks every
//! `group_interval`, whether there was something to tell or not. Where nodes have different grids all move to that
//! of the newest notification.

use std::time::Duration;

use crate::clock::{Time, delta};

/// What the first tick of a group depends on.
#[derive(Clone, Copy, Debug)]
pub struct Beginning {
    pub now: Time,
    /// When the group was last told, if the receiver still believes that something in it fires.
    pub told_at: Option<Time>,
    pub starts_at: Time,
    pub accepted_at: Time,
    pub group_wait: Duration,
    pub group_interval: Duration,
}

/// The first tick of a group. Never long before `now`.
#[must_use]
pub fn first_tick(begin: &Beginning) -> Time {
    if let Some(told_at) = begin.told_at {
        return next_after(told_at, begin.now - chrono::TimeDelta::nanoseconds(1), begin.group_interval);
    }
    // An alert that has been burning longer than group_wait has waited enough, wherever it waited.
    if begin.starts_at + delta(begin.group_wait) < begin.now {
        return begin.now;
    }
    (begin.accepted_at + delta(begin.group_wait)).max(begin.now)
}

/// The first moment of the grid through `anchor` that lies after `now`; at most one interval away, also
/// when the wall clock was set back.
#[must_use]
pub fn next_after(anchor: Time, now: Time, interval: Duration) -> Time {
    let interval = nanos(interval);
    let since = span(anchor, now).rem_euclid(interval);
    plus(now, interval - since)
}

/// The last moment of the grid through `anchor` that lies not after `now`.
#[must_use]
pub fn last_until(anchor: Time, now: Time, interval: Duration) -> Time {
    plus(now, -span(anchor, now).rem_euclid(nanos(interval)))
}

fn nanos(interval: Duration) -> i128 {
    i128::try_from(interval.as_nanos()).unwrap_or(i128::MAX / 4).max(1_000_000)
}

fn span(from: Time, to: Time) -> i128 {
    let whole = |at: Time| i128::from(at.timestamp()) * 1_000_000_000 + i128::from(at.timestamp_subsec_nanos());
    whole(to) - whole(from)
}

fn plus(at: Time, nanos: i128) -> Time {
    let nanos = i64::try_from(nanos).unwrap_or(i64::MAX);
    at.checked_add_signed(chrono::TimeDelta::nanoseconds(nanos)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: f64) -> Time {
        #[allow(clippy::cast_possible_truncation, reason = "test times are small")]
        let millis = (seconds * 1000.0).round() as i64;
        Time::from_timestamp_millis(1_700_000_000_000 + millis).unwrap()
    }

    fn begin(now: f64, told_at: Option<f64>, starts_at: f64, accepted_at: f64) -> Time {
        first_tick(&Beginning {
            now: at(now),
            told_at: told_at.map(at),
            starts_at: at(starts_at),
            accepted_at: at(accepted_at),
            group_wait: Duration::from_secs(30),
            group_interval: Duration::from_secs(300),
        })
    }

    #[test]
    fn a_new_group_waits_group_wait_from_the_acceptance() {
        assert_eq!(begin(0.0, None, 0.0, 0.0), at(30.0));
        assert_eq!(begin(9.0, None, -10.0, 0.0), at(30.0), "a node that hears later has the same tick");
    }

    #[test]
    fn an_alert_that_burns_longer_than_group_wait_is_due_at_once() {
        assert_eq!(begin(0.0, None, -30.1, 0.0), at(0.0));
        assert_eq!(begin(0.0, None, -30.0, 0.0), at(30.0), "not at the limit itself");
    }

    #[test]
    fn a_group_that_was_told_goes_on_in_its_rhythm() {
        assert_eq!(begin(1000.0, Some(10.0), 990.0, 1000.0), at(1210.0));
        assert_eq!(begin(310.0, Some(10.0), 0.0, 0.0), at(310.0), "a tick that is just due is taken");
    }

    #[test]
    fn ticks_lie_on_the_grid_and_after_now() {
        let interval = Duration::from_secs(10);
        assert_eq!(next_after(at(2.0), at(2.0), interval), at(12.0));
        assert_eq!(next_after(at(2.0), at(35.0), interval), at(42.0));
        assert_eq!(last_until(at(2.0), at(35.0), interval), at(32.0));
        assert_eq!(last_until(at(2.0), at(32.0), interval), at(32.0));
    }

    proptest! {
        #[test]
        fn the_next_tick_is_at_most_one_interval_away(anchor in -1e9..1e9, now in -1e9..1e9, seconds in 1u64..100_000) {
            let (anchor, now, interval) = (at(anchor), at(now), Duration::from_secs(seconds));
            let next = next_after(anchor, now, interval);
            prop_assert!(next > now && next - now <= delta(interval));
            let last = last_until(anchor, now, interval);
            prop_assert!(last <= now && next - last == delta(interval));
        }
    }
}
