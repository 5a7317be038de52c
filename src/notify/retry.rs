//! How failures of one key are followed up: back-off, the limit of one attempt, and the accounting of an
//! episode. Counted for the key, not for each flush (reference/decide.md 3.7, reference/pipeline.md 6).

use std::time::Duration;

use tokio::time::Instant;

use super::types::{FailureReason, NotifyError, Progress};

const FIRST_BACK_OFF: Duration = Duration::from_millis(500);
const BACK_OFF_MAX: Duration = Duration::from_secs(60);
const GROWTH: f64 = 1.5;
/// Half up or down.
const SPREAD: f64 = 0.5;
/// An answer's `Retry-After` is honoured up to here: a receiver must not switch itself off for good.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);

const ATTEMPT_LIMIT: Duration = Duration::from_secs(60);
const ATTEMPT_LIMIT_MAX: Duration = Duration::from_secs(600);
/// An episode is at least this long, however short the group interval is.
const EPISODE_MIN: Duration = Duration::from_secs(10);

/// The wait after the attempt number `failures` (from 1) has failed; `random` is uniform in [0, 1).
#[must_use]
pub fn back_off(failures: u32, random: f64) -> Duration {
    let steps = failures.saturating_sub(1).min(64);
    let plain = FIRST_BACK_OFF.as_secs_f64() * GROWTH.powi(i32::try_from(steps).unwrap_or(64));
    let capped = plain.min(BACK_OFF_MAX.as_secs_f64());
    Duration::from_secs_f64(capped * (1.0 - SPREAD + 2.0 * SPREAD * random))
}

/// What is remembered about a key from its first failure until it is told or no longer owed.
#[derive(Clone, Debug)]
pub struct Failures {
    /// Attempts that failed since the last success, over all episodes.
    count: u32,
    /// How long the next attempt may take.
    pub attempt_limit: Duration,
    /// The next attempt is due then.
    pub retry_at: Option<Instant>,
    last_text: Option<String>,
}

impl Default for Failures {
    fn default() -> Self {
        Failures { count: 0, attempt_limit: ATTEMPT_LIMIT, retry_at: None, last_text: None }
    }
}

impl Failures {
    /// Takes in a failed attempt that began at `began` and may be repeated; sets `retry_at`.
    /// Returns whether the text of the error is new, so that it is worth a line in the log.
    pub fn add(&mut self, error: &NotifyError, began: Instant, now: Instant, random: f64) -> bool {
        self.count = self.count.saturating_add(1);
        // A slow attempt uses up its own back-off.
        let back_off = began + back_off(self.count, random);
        let asked_for = error.retry_after.map(|after| now + after.min(RETRY_AFTER_MAX));
        self.retry_at = Some(back_off.max(now).max(asked_for.unwrap_or(now)));
        let news = self.last_text.as_deref() != Some(error.message.as_str());
        if news {
            self.last_text = Some(error.message.clone());
        }
        news
    }

    /// Attempts that failed since the last success.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// What the last failed attempt complained of.
    #[must_use]
    pub fn last_text(&self) -> Option<&str> {
        self.last_text.as_deref()
    }

    /// The attempt was cut off at its limit: a receiver that is merely slower costs one copy, not one each time.
    pub fn double_limit(&mut self) {
        self.attempt_limit = (self.attempt_limit * 2).min(ATTEMPT_LIMIT_MAX);
    }
}

/// One notification in the sense of the metrics: from its first attempt to success, or to the end of the time
/// after which it counts as failed and the next attempts count as a new one.
#[derive(Clone, Debug)]
pub struct Episode {
    deadline: Instant,
    pub attempts: u32,
    pub last_error: Option<NotifyError>,
}

impl Episode {
    #[must_use]
    pub fn begin(now: Instant, group_interval: Duration) -> Self {
        Episode { deadline: now + group_interval.max(EPISODE_MIN), attempts: 0, last_error: None }
    }

    #[must_use]
    pub fn is_over(&self, now: Instant) -> bool {
        now >= self.deadline
    }

    /// Under which reason the episode counts as failed.
    #[must_use]
    pub fn failure(&self) -> FailureReason {
        self.last_error.as_ref().map_or(FailureReason::ContextDeadlineExceeded, |error| error.reason)
    }
}

/// The error of an attempt that was cut off.
#[must_use]
pub fn cut_off(limit: Duration) -> NotifyError {
    NotifyError {
        message: format!("no answer within {} s", limit.as_secs()),
        retry: true,
        reason: FailureReason::ContextDeadlineExceeded,
        progress: Progress::Ambiguous,
        retry_after: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str, retry_after: Option<u64>) -> NotifyError {
        NotifyError {
            message: text.to_owned(),
            retry: true,
            reason: FailureReason::ServerError,
            progress: Progress::Refused,
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    fn now() -> Instant {
        crate::clock::Clock::system().monotonic()
    }

    #[test]
    fn back_off_grows_by_half_from_500_ms_and_stays_at_60_s() {
        let middle = |failures| back_off(failures, 0.5).as_millis();
        assert_eq!((middle(1), middle(2), middle(3)), (500, 750, 1125));
        assert_eq!(middle(13), 60_000);
        assert_eq!(middle(u32::MAX), 60_000);
    }

    #[test]
    fn back_off_is_spread_by_half_to_both_sides() {
        assert_eq!(back_off(1, 0.0), Duration::from_millis(250));
        assert!(back_off(1, 0.999_999) < Duration::from_millis(750));
        assert!(back_off(100, 0.999_999) < Duration::from_secs(90));
    }

    #[test]
    fn a_slow_attempt_uses_up_its_back_off() {
        let mut failures = Failures::default();
        let began = now();
        let end = began + Duration::from_secs(5);
        failures.add(&error("x", None), began, end, 0.5);
        assert_eq!(failures.retry_at, Some(end));
    }

    #[test]
    fn retry_after_is_honoured_up_to_ten_minutes() {
        let mut failures = Failures::default();
        let began = now();
        failures.add(&error("x", Some(30)), began, began, 0.5);
        assert_eq!(failures.retry_at, Some(began + Duration::from_secs(30)));
        failures.add(&error("x", Some(86_400)), began, began, 0.5);
        assert_eq!(failures.retry_at, Some(began + Duration::from_secs(600)));
    }

    #[test]
    fn only_a_new_text_is_news() {
        let mut failures = Failures::default();
        let began = now();
        let news: Vec<bool> =
            ["a", "a", "b", "b", "a"].map(|text| failures.add(&error(text, None), began, began, 0.5)).into();
        assert_eq!(news, [true, false, true, false, true]);
    }

    #[test]
    fn the_limit_of_an_attempt_doubles_up_to_ten_minutes() {
        let mut failures = Failures::default();
        let limits: Vec<u64> = (0..5)
            .map(|_| {
                failures.double_limit();
                failures.attempt_limit.as_secs()
            })
            .collect();
        assert_eq!(limits, [120, 240, 480, 600, 600]);
    }

    #[test]
    fn an_episode_lasts_a_group_interval_but_ten_seconds_at_least() {
        let start = now();
        let short = Episode::begin(start, Duration::from_secs(1));
        assert!(!short.is_over(start + Duration::from_millis(9_999)) && short.is_over(start + Duration::from_secs(10)));
        let long = Episode::begin(start, Duration::from_secs(300));
        assert!(!long.is_over(start + Duration::from_secs(299)));
        assert_eq!(long.failure(), FailureReason::ContextDeadlineExceeded);
    }
}
