//! Whether this node stood still of late. Posts that waited meanwhile in a socket were firing when they were sent: judged
//! by the time of waking, their ends would look like resolutions that a sender has told.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::TimeDelta;

use crate::clock::Time;

/// Beats that are further apart: the node stood still.
const GAP: TimeDelta = TimeDelta::seconds(1);
/// What waited is handled in so long after waking.
const BACKLOG: TimeDelta = TimeDelta::seconds(5);

/// The last beat, and the last gap. In nanoseconds since 1970; 0: nobody beats.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    beat: AtomicI64,
    stopped_at: AtomicI64,
    woke_at: AtomicI64,
}

fn nanos(time: Time) -> i64 {
    time.timestamp_nanos_opt().unwrap_or(0)
}

impl Pulse {
    /// The node is alive at `now`.
    pub fn beat(&self, now: Time) {
        let before = self.beat.swap(nanos(now), Ordering::Relaxed);
        if before != 0 && now - Time::from_timestamp_nanos(before) > GAP {
            self.stopped_at.store(before, Ordering::Relaxed);
            self.woke_at.store(nanos(now), Ordering::Relaxed);
        }
    }

    /// By which moment something that is handled at `now` is to be judged.
    pub fn moment(&self, now: Time) -> Time {
        let beat = self.beat.load(Ordering::Relaxed);
        if beat == 0 {
            return now;
        }
        let beat = Time::from_timestamp_nanos(beat);
        if now - beat > GAP {
            return beat;
        }
        let woke_at = self.woke_at.load(Ordering::Relaxed);
        if woke_at != 0 && now - Time::from_timestamp_nanos(woke_at) < BACKLOG {
            return Time::from_timestamp_nanos(self.stopped_at.load(Ordering::Relaxed)).min(now);
        }
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    #[test]
    fn after_a_gap_posts_are_judged_by_its_beginning_for_a_while() {
        let pulse = Pulse::default();
        assert_eq!(pulse.moment(at(5)), at(5), "nobody beats");
        pulse.beat(at(10));
        assert_eq!(pulse.moment(at(11)), at(11));
        assert_eq!(pulse.moment(at(40)), at(10), "before the gap is noticed");
        pulse.beat(at(40));
        assert_eq!(pulse.moment(at(41)), at(10));
        (41..=46).for_each(|second| pulse.beat(at(second)));
        assert_eq!(pulse.moment(at(46)), at(46));
    }
}
