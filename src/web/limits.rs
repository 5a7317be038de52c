//! How much is done at once: GET requests under way, and requests in a span of time.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prometheus::{IntCounter, IntGauge};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::metrics::Metrics;

/// All GET requests of the server share this limit.
#[derive(Debug)]
pub(super) struct GetLimit {
    places: Arc<Semaphore>,
    max: usize,
    under_way: IntGauge,
    refused: IntCounter,
}

/// A place among the GET requests under way.
pub(super) struct GetPlace {
    under_way: IntGauge,
    _permit: OwnedSemaphorePermit,
}

impl Drop for GetPlace {
    fn drop(&mut self) {
        self.under_way.dec();
    }
}

impl GetLimit {
    /// `max` 0: as many as there are processors, at least 8.
    pub fn new(max: usize, metrics: &Metrics) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let max = if max == 0 { processors.max(8) } else { max.min(Semaphore::MAX_PERMITS) };
        GetLimit {
            places: Arc::new(Semaphore::new(max)),
            max,
            under_way: metrics.http_requests_in_flight.with_label_values(&["get"]),
            refused: metrics.http_concurrency_limit_exceeded_total.with_label_values(&["get"]),
        }
    }

    /// A place, or what to say to the client.
    pub fn enter(&self) -> Result<GetPlace, String> {
        let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() else {
            self.refused.inc();
            return Err(format!("Limit of concurrent GET requests reached ({}), try again later.\n", self.max));
        };
        self.under_way.inc();
        Ok(GetPlace { under_way: self.under_way.clone(), _permit: permit })
    }
}

/// A bucket that gains one token each `interval` and holds `burst` of them.
#[derive(Debug)]
pub(super) struct RateLimit {
    interval: Duration,
    burst: f64,
    level: Mutex<(f64, Instant)>,
}

impl RateLimit {
    pub fn new(interval: Duration, burst: u32, now: Instant) -> Self {
        let burst = f64::from(burst);
        RateLimit { interval, burst, level: Mutex::new((burst, now)) }
    }

    /// Takes a token if there is one.
    pub fn admit(&self, now: Instant) -> bool {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let gained = now.saturating_duration_since(level.1).as_secs_f64() / self.interval.as_secs_f64();
        *level = ((level.0 + gained).min(self.burst), now.max(level.1));
        let admitted = level.0 >= 1.0;
        if admitted {
            level.0 -= 1.0;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn tokens_come_back_with_time_up_to_the_burst() {
        let start = Clock::system().monotonic();
        let at = |ms| start + Duration::from_millis(ms);
        let limit = RateLimit::new(Duration::from_millis(100), 2, start);
        assert_eq!([0, 1, 2].map(|ms| limit.admit(at(ms))), [true, true, false]);
        assert_eq!([150, 160].map(|ms| limit.admit(at(ms))), [true, false]);
        assert_eq!([10_000; 3].map(|ms| limit.admit(at(ms))), [true, true, false]);
    }
}
