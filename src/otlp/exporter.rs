//! The task that brings spans to the collector: in batches, each tried a few times, and then given up, because a
//! collector that is away must cost memory and log lines that are bounded.

use std::{mem, sync::Arc, time::Duration};

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::{
    TraceMetrics,
    collector::{Collector, Refusal},
    queue::{BATCH_MAX, Queue},
    wire::{self, Resource, Scope, Span},
};
use crate::{clock::Clock, random::Random};

const ATTEMPTS_MAX: u32 = 5;
/// Before the second attempt; doubled from then on.
const PAUSE: Duration = Duration::from_secs(1);
/// However long the collector asks for.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Losses are told at most so often.
const QUIET: Duration = Duration::from_mins(1);

pub(super) struct Exporter {
    pub collector: Collector,
    pub queue: Arc<Queue>,
    pub resource: Resource,
    pub scope: Scope,
    pub clock: Clock,
    pub random: Random,
    pub metrics: TraceMetrics,
    pub complaints: Complaints,
}

/// Losses that were not told yet.
#[derive(Default)]
pub(super) struct Complaints {
    told: Option<Instant>,
    lost: u64,
}

impl Exporter {
    /// Until the queue is closed and empty.
    pub async fn run(mut self) {
        loop {
            let goes_on = self.queue.until_due(&self.clock).await;
            loop {
                let batch = self.queue.take(BATCH_MAX);
                if batch.is_empty() {
                    break;
                }
                self.deliver(batch).await;
                self.complain_of_queue();
                if goes_on && self.queue.len() < BATCH_MAX {
                    break;
                }
            }
            if !goes_on {
                return;
            }
        }
    }

    async fn deliver(&mut self, batch: Vec<Span>) {
        let count = batch.len() as u64;
        let message = wire::request(&self.resource, &self.scope, batch);
        let mut pause = PAUSE;
        for attempt in 1..=ATTEMPTS_MAX {
            let refusal = match self.once(&message).await {
                Ok(rejected) => {
                    self.metrics.exported.inc_by(count.saturating_sub(rejected));
                    return;
                }
                Err(refusal) => refusal,
            };
            if !refusal.retry || attempt == ATTEMPTS_MAX {
                self.lose(count, &refusal.why);
                return;
            }
            tracing::debug!(
                component = "tracing",
                attempt,
                err = refusal.why,
                "spans were not taken; they are sent again"
            );
            // Not all nodes at once.
            let jittered = pause.mul_f64(0.5 + self.random.unit_f64());
            sleep(refusal.after.map_or(jittered, |after| after.max(jittered)).min(PAUSE_MAX)).await;
            pause *= 2;
        }
    }

    /// One attempt. Returns how many the collector took no part of.
    async fn once(&mut self, message: &[u8]) -> Result<u64, Refusal> {
        let limit = self.collector.timeout;
        let late = |_| Refusal { why: format!("no answer within {limit:?}"), retry: true, after: None };
        let Some(partial) = timeout(limit, self.collector.send(message)).await.map_err(late)?? else { return Ok(0) };
        let rejected = u64::try_from(partial.rejected_spans).unwrap_or_default();
        self.lose(rejected, &format!("taken in part: {}", partial.error_message));
        Ok(rejected)
    }

    fn lose(&mut self, count: u64, why: &str) {
        self.metrics.lost.with_label_values(&["collector"]).inc_by(count);
        self.complain(count, why);
    }

    fn complain_of_queue(&mut self) {
        let dropped = self.queue.take_dropped();
        if dropped > 0 {
            self.complain(dropped, "too many wait for the collector");
        }
    }

    fn complain(&mut self, count: u64, why: &str) {
        if let Some(spans) = self.complaints.add(count, self.clock.monotonic()) {
            tracing::warn!(component = "tracing", spans, err = why, "spans were lost");
        }
    }
}

impl Complaints {
    /// How many are to be told now, if any.
    fn add(&mut self, count: u64, now: Instant) -> Option<u64> {
        self.lost += count;
        if self.told.is_some_and(|told| now.saturating_duration_since(told) < QUIET) {
            return None;
        }
        self.told = Some(now);
        Some(mem::take(&mut self.lost))
    }
}

/// An exporter at work.
pub(super) struct Running {
    pub queue: Arc<Queue>,
    pub task: JoinHandle<()>,
}

impl Running {
    /// Gives what waits so much time.
    pub async fn close(mut self, limit: Duration) {
        self.queue.close();
        if timeout(limit, &mut self.task).await.is_err() {
            self.task.abort();
            let waiting = self.queue.len();
            tracing::warn!(component = "tracing", waiting, "spans that the collector did not take in time are dropped");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn losses_are_told_at_once_and_then_once_a_minute_together() {
        let mut complaints = Complaints::default();
        let began = Clock::system().monotonic();
        assert_eq!(complaints.add(2, began), Some(2));
        assert_eq!(complaints.add(3, began + QUIET / 2), None);
        assert_eq!(complaints.add(4, began + QUIET), Some(7));
    }
}
