//! Spans that wait to be exported: a bounded number, the oldest out first.

use std::{
    collections::VecDeque,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use super::wire::Span;
use crate::clock::Clock;

/// Spans that wait.
pub(super) const QUEUE_MAX: usize = 8192;
/// Spans in one request.
pub(super) const BATCH_MAX: usize = 512;
/// How long a span may wait for others.
const DELAY_MAX: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// There is a first span, or a batch, or no more to come.
    wake: Notify,
}

#[derive(Default)]
struct State {
    spans: VecDeque<Span>,
    closed: bool,
    /// Since somebody asked.
    dropped: u64,
}

impl Queue {
    /// `false`: one had to go for it, or it came too late.
    pub fn push(&self, span: Span) -> bool {
        let mut state = self.lock();
        let is_kept = state.spans.len() < QUEUE_MAX && !state.closed;
        if !is_kept {
            state.dropped += 1;
            if state.closed {
                return false;
            }
            state.spans.pop_front();
        }
        state.spans.push_back(span);
        let wakes = matches!(state.spans.len(), 1 | BATCH_MAX);
        drop(state);
        if wakes {
            self.wake.notify_one();
        }
        is_kept
    }

    pub fn take(&self, max: usize) -> Vec<Span> {
        let mut state = self.lock();
        let count = max.min(state.spans.len());
        state.spans.drain(..count).collect()
    }

    pub fn len(&self) -> usize {
        self.lock().spans.len()
    }

    /// How many were dropped since the last call.
    pub fn take_dropped(&self) -> u64 {
        mem::take(&mut self.lock().dropped)
    }

    /// Nothing is taken in any more.
    pub fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    /// Returns when a batch is there or the oldest span has waited long enough; `false`: nothing more comes.
    pub async fn until_due(&self, clock: &Clock) -> bool {
        let mut deadline: Option<Instant> = None;
        loop {
            let (waiting, closed) = {
                let state = self.lock();
                (state.spans.len(), state.closed)
            };
            if closed || waiting >= BATCH_MAX {
                return !closed;
            }
            if waiting > 0 {
                deadline = deadline.or_else(|| Some(clock.monotonic() + DELAY_MAX));
            }
            match deadline {
                None => self.wake.notified().await,
                Some(deadline) if timeout_at(deadline, self.wake.notified()).await.is_err() => return true,
                Some(_) => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(name: &str) -> Span {
        Span { name: name.to_owned(), ..Span::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_span_waits_for_others_but_not_long() {
        let (queue, clock) = (Queue::default(), Clock::system());
        let began = clock.monotonic();
        queue.push(span("a"));
        assert!(queue.until_due(&clock).await);
        assert_eq!(began.elapsed(), DELAY_MAX);
        for _ in 0..BATCH_MAX {
            queue.push(span("b"));
        }
        assert!(queue.until_due(&clock).await);
        assert_eq!(began.elapsed(), DELAY_MAX, "a whole batch goes at once");
    }

    #[tokio::test]
    async fn the_oldest_go_when_there_are_too_many() {
        let queue = Queue::default();
        assert!(queue.push(span("old")));
        for _ in 1..QUEUE_MAX {
            assert!(queue.push(span("x")));
        }
        assert!(!queue.push(span("new")));
        assert_eq!((queue.len(), queue.take_dropped(), queue.take_dropped()), (QUEUE_MAX, 1, 0));
        let all = queue.take(usize::MAX);
        assert_eq!((all[0].name.as_str(), all[QUEUE_MAX - 1].name.as_str()), ("x", "new"));
    }

    #[tokio::test]
    async fn a_closed_queue_is_due_at_once_and_takes_nothing() {
        let (queue, clock) = (Queue::default(), Clock::system());
        queue.push(span("a"));
        queue.close();
        assert!(!queue.until_due(&clock).await);
        assert!(!queue.push(span("b")));
        assert_eq!(queue.take(9).len(), 1);
    }
}
