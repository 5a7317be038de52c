//! Whether this node stood still of late. Posts that waited meanwhile in a socket were firing when they were sent: judged
//! by the time of waking, their ends would look like resolutions that a sender has told.
//!
//! Gaps are measured by the monotonic clock: a wall clock that is set or corrected is no pause.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::clock::{Clock, Time, delta};

/// Beats that are further apart: the node stood still.
const GAP: Duration = Duration::from_secs(1);
/// What waited is handled in so long after waking.
const BACKLOG: Duration = Duration::from_secs(5);

/// The last beat, and the last gap, in milliseconds since the first beat. Before that nobody beats.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    source: OnceLock<(Clock, Instant)>,
    beat: AtomicU64,
    stopped_at: AtomicU64,
    /// 0: it never stood still.
    woke_at: AtomicU64,
}

impl Pulse {
    /// The node is alive.
    pub fn beat(&self, clock: &Clock) {
        let source = self.source.get_or_init(|| (clock.clone(), clock.monotonic()));
        let now = elapsed(source);
        let before = self.beat.swap(now, Ordering::Relaxed);
        if span(before, now) > GAP {
            self.stopped_at.store(before, Ordering::Relaxed);
            self.woke_at.store(now, Ordering::Relaxed);
        }
    }

    /// By which moment something that is handled at `now` is to be judged.
    pub fn moment(&self, now: Time) -> Time {
        let Some(source) = self.source.get() else { return now };
        let at = elapsed(source);
        let since_beat = span(self.beat.load(Ordering::Relaxed), at);
        if since_beat > GAP {
            return now - delta(since_beat);
        }
        let woke_at = self.woke_at.load(Ordering::Relaxed);
        if woke_at != 0 && span(woke_at, at) < BACKLOG {
            return now - delta(span(self.stopped_at.load(Ordering::Relaxed), at));
        }
        now
    }
}

fn elapsed((clock, began): &(Clock, Instant)) -> u64 {
    u64::try_from(clock.monotonic().saturating_duration_since(*began).as_millis()).unwrap_or(u64::MAX)
}

fn span(from: u64, to: u64) -> Duration {
    Duration::from_millis(to.saturating_sub(from))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::clock::Correction;

    fn clock() -> (Clock, Correction) {
        let correction = Correction::default();
        (Clock::simulated(Time::UNIX_EPOCH).corrected(correction.clone()), correction)
    }

    async fn pass(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    /// The moment by which posts are judged, in seconds.
    fn moment(pulse: &Pulse, clock: &Clock) -> i64 {
        (pulse.moment(clock.now()) - Time::UNIX_EPOCH).num_seconds()
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_gap_posts_are_judged_by_its_beginning_for_a_while() {
        let (pulse, (clock, _)) = (Pulse::default(), clock());
        pass(5).await;
        assert_eq!(moment(&pulse, &clock), 5, "nobody beats");
        pulse.beat(&clock);
        pass(1).await;
        assert_eq!(moment(&pulse, &clock), 6);
        pass(29).await;
        assert_eq!(moment(&pulse, &clock), 5, "before the gap is noticed");
        pulse.beat(&clock);
        for _ in 0..5 {
            assert_eq!(moment(&pulse, &clock), 5);
            pass(1).await;
            pulse.beat(&clock);
        }
        assert_eq!(moment(&pulse, &clock), 40);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_corrected_did_not_stand_still() {
        let (pulse, (clock, correction)) = (Pulse::default(), clock());
        pulse.beat(&clock);
        correction.set(TimeDelta::seconds(100));
        assert_eq!(moment(&pulse, &clock), 100);
        pass(1).await;
        pulse.beat(&clock);
        assert_eq!(moment(&pulse, &clock), 101);
    }
}
