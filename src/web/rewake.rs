//! Polling again at once what woke itself while it was polled.
//!
//! Within one poll of a connection hyper hands the request's body from the part that reads to the handler, and
//! each hand-over wakes the connection's task. The runtime takes such a wake-up for a wish to yield: it queues
//! the task anew and rouses another worker for it, which costs several times what a small request does.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// How often in a row; then others get their turn.
const ROUNDS_MAX: usize = 8;

/// A future whose wake-ups of itself are answered by polling it again.
pub(super) struct Rewake<F> {
    future: F,
    bell: Arc<Bell>,
    waker: Waker,
}

/// The waker that the future gets.
#[derive(Default)]
struct Bell {
    /// The runtime's, for wake-ups at any other time.
    task: AtomicWaker,
    polling: AtomicBool,
    rung: AtomicBool,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Marked before it is asked who will look: the poller looks after it has stopped polling.
        self.rung.store(true, Ordering::SeqCst);
        if !self.polling.load(Ordering::SeqCst) {
            self.task.wake();
        }
    }
}

impl<F> Rewake<F> {
    pub fn new(future: F) -> Self {
        let bell = Arc::new(Bell::default());
        Rewake { future, waker: Arc::clone(&bell).into(), bell }
    }

    /// The future itself, between polls.
    pub fn inner(&mut self) -> &mut F {
        &mut self.future
    }
}

impl<F: Future + Unpin> Future for Rewake<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        this.bell.task.register(cx.waker());
        for _ in 0..ROUNDS_MAX {
            this.bell.polling.store(true, Ordering::SeqCst);
            this.bell.rung.store(false, Ordering::SeqCst);
            let polled = Pin::new(&mut this.future).poll(&mut Context::from_waker(&this.waker));
            this.bell.polling.store(false, Ordering::SeqCst);
            if polled.is_ready() || !this.bell.rung.load(Ordering::SeqCst) {
                return polled;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, sync::atomic::AtomicUsize, time::Duration};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Polls once; how often the future was polled, and the task woken, by then.
    fn poll_once(wakes: usize) -> (usize, usize) {
        let count = Arc::new(Count::default());
        let mut polls = 0;
        let mut future = Rewake::new(poll_fn(|cx: &mut Context<'_>| {
            polls += 1;
            if polls <= wakes {
                cx.waker().wake_by_ref();
            }
            Poll::<()>::Pending
        }));
        let waker = Arc::clone(&count).into();
        assert!(Pin::new(&mut future).poll(&mut Context::from_waker(&waker)).is_pending());
        drop(future);
        (polls, count.0.load(Ordering::SeqCst))
    }

    #[test]
    fn what_wakes_itself_is_polled_again_without_the_runtime() {
        assert_eq!(poll_once(0), (1, 0));
        assert_eq!(poll_once(3), (4, 0));
    }

    #[test]
    fn what_never_rests_yields() {
        assert_eq!(poll_once(usize::MAX), (ROUNDS_MAX, 1));
    }

    #[tokio::test]
    async fn wake_ups_from_elsewhere_arrive() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let mut receiver = receiver;
        let future = Rewake::new(poll_fn(move |cx| Pin::new(&mut receiver).poll(cx)));
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            sender.send(7).unwrap();
        });
        assert_eq!(future.await, Ok(7));
    }
}
