//! The only room that reads a clock.
//!
//! Wall time orders nothing between nodes; it is what alerts, silences and intervals are written in.
//! Monotonic time drives timers. Both come from one [`Clock`] handed down from `app`, so that a
//! simulation can own them: under tokio's paused time [`Clock::simulated`] advances with the timers.
//! Sleeping is `tokio::time`'s business, everywhere.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

/// Wall-clock time, UTC. Go's zero time (0001-01-01T00:00:00Z) is written as an `Option` that is `None`.
pub type Time = DateTime<Utc>;

/// A handle to the wall and monotonic clocks of this process, or of one simulated node.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Source,
    correction: Option<Correction>,
}

/// What is added to the wall clock, so that the nodes of a cluster judge deadlines alike. Clones are the same
/// correction.
#[derive(Clone, Default)]
pub struct Correction(Arc<Shared>);

#[derive(Default)]
struct Shared {
    nanos: AtomicI64,
    keeper: OnceLock<Box<dyn Fn(TimeDelta) + Send + Sync>>,
}

impl Correction {
    /// Beyond about 292 years it stays as it was.
    pub fn set(&self, correction: TimeDelta) {
        if let Some(nanos) = correction.num_nanoseconds() {
            self.0.nanos.store(nanos, Ordering::Relaxed);
            if let Some(keep) = self.0.keeper.get() {
                keep(correction);
            }
        }
    }

    #[must_use]
    pub fn get(&self) -> TimeDelta {
        TimeDelta::nanoseconds(self.0.nanos.load(Ordering::Relaxed))
    }

    /// Whatever is set from now on is handed to `keep`, for the next start of this node. Only the first keeper counts.
    pub fn keep_with(&self, keep: impl Fn(TimeDelta) + Send + Sync + 'static) {
        let _ = self.0.keeper.set(Box::new(keep));
    }
}

impl std::fmt::Debug for Correction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Correction").field(&self.get()).finish()
    }
}

#[derive(Clone, Debug)]
enum Source {
    System,
    /// Wall time is `start` plus what tokio's (virtual) clock has moved since `origin`.
    Virtual {
        origin: Instant,
        start: Time,
    },
}

/// When the runtime's timers began to count.
static TIMERS_BEGAN: OnceLock<Instant> = OnceLock::new();

/// The runtime has just been made. Without this [`Clock::coarse`] lets timers be exact.
#[allow(clippy::disallowed_methods, reason = "the clock module is where clocks are read")]
pub fn timers_begin() {
    TIMERS_BEGAN.get_or_init(Instant::now);
}

impl Clock {
    /// Timers that may be late by so much end together.
    pub const COARSE: Duration = Duration::from_millis(512);

    /// The first moment from `at` on at which a timer wakes this process once: the runtime looks at timers of more
    /// than 64 ms in steps of 64 ms first, and a second time when they are due, unless a step ends just then.
    #[must_use]
    pub fn coarse(&self, at: Instant) -> Instant {
        /// The runtime's own beginning was a moment before ours, and it rounds up.
        const TICK: Duration = Duration::from_millis(1);
        let began = match &self.source {
            Source::System => TIMERS_BEGAN.get().copied(),
            Source::Virtual { origin, .. } => Some(*origin),
        };
        let Some(began) = began else { return at };
        let steps = (at + TICK).saturating_duration_since(began).as_nanos().div_ceil(Self::COARSE.as_nanos());
        began + Self::COARSE.saturating_mul(u32::try_from(steps).unwrap_or(u32::MAX)) - TICK
    }

    /// The clocks of the machine.
    #[must_use]
    pub fn system() -> Self {
        Clock { source: Source::System, correction: None }
    }

    /// This clock, with its wall time corrected from now on as `correction` says.
    #[must_use]
    pub fn corrected(self, correction: Correction) -> Self {
        Clock { correction: Some(correction), ..self }
    }

    /// A wall clock that stands at `start` now and moves with tokio's timers.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the clock module is where clocks are read")]
    pub fn simulated(start: Time) -> Self {
        Clock { source: Source::Virtual { origin: Instant::now(), start }, correction: None }
    }

    /// Wall time now.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the clock module is where clocks are read")]
    pub fn now(&self) -> Time {
        let own = match &self.source {
            Source::System => Utc::now(),
            Source::Virtual { origin, start } => *start + delta(Instant::now().saturating_duration_since(*origin)),
        };
        match &self.correction {
            Some(correction) => own.checked_add_signed(correction.get()).unwrap_or(own),
            None => own,
        }
    }

    /// Monotonic time now, in tokio's terms, so that it can be slept until.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the clock module is where clocks are read")]
    pub fn monotonic(&self) -> Instant {
        Instant::now()
    }

    /// The monotonic moment at which the wall clock will show `at`, if nobody sets it; now if it is past.
    #[must_use]
    pub fn instant_of(&self, at: Time) -> Instant {
        let ahead = (at - self.now()).to_std().unwrap_or(Duration::ZERO);
        // A deadline centuries away must not overflow the timer.
        self.monotonic() + ahead.min(Duration::from_secs(10 * 365 * 86_400))
    }
}

/// `Duration` as a signed difference of wall times; saturates at about 292 million years.
#[must_use]
pub fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}
