//! Request bodies: read whole, within two limits. One body has a maximum; all bodies being read or worked on
//! at one moment have another, above which requests are turned away rather than kept waiting.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use hyper::body::Body;
use prometheus::IntCounter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::Fault;
use crate::metrics::Metrics;

/// About 40,000 alerts as Prometheus writes them; it posts 256 at a time.
pub const BODY_BYTES_MAX: usize = 32 << 20;
/// What an alert takes in memory while it is parsed may be several times its text.
pub const BODIES_BYTES_MAX: usize = 128 << 20;

/// A body has so long to arrive. Prometheus gives its whole request 10 s.
const BODY_TIME: Duration = Duration::from_secs(60);
/// Bodies are accounted for in pieces of this size.
const PIECE_BYTES: usize = 16 << 10;
/// Room that is made at once on the word of a `Content-Length`.
const TRUSTED_BYTES: usize = 1 << 20;

/// What is left for request bodies.
#[derive(Debug)]
pub(super) struct BodyBudget {
    pieces: Arc<Semaphore>,
    too_large: IntCounter,
    too_many: IntCounter,
    too_slow: IntCounter,
}

/// A body, and its share of the budget.
pub(super) struct ReadBody {
    pub bytes: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

impl BodyBudget {
    pub fn new(metrics: &Metrics) -> Self {
        BodyBudget {
            pieces: Arc::new(Semaphore::new(BODIES_BYTES_MAX / PIECE_BYTES)),
            too_large: metrics.http_limit_reached_total.with_label_values(&["body_size"]),
            too_many: metrics.http_limit_reached_total.with_label_values(&["bodies_size"]),
            too_slow: metrics.http_limit_reached_total.with_label_values(&["body_time"]),
        }
    }

    /// Reads `body` to its end.
    pub async fn read<B: Body<Data = Bytes>>(&self, body: B) -> Result<ReadBody, Fault> {
        tokio::time::timeout(BODY_TIME, self.read_all(body)).await.unwrap_or_else(|_| {
            self.too_slow.inc();
            Err(Fault::new(408, format!("the request body did not arrive within {} s", BODY_TIME.as_secs())))
        })
    }

    async fn read_all<B: Body<Data = Bytes>>(&self, body: B) -> Result<ReadBody, Fault> {
        let mut body = std::pin::pin!(body);
        let expected = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if expected > BODY_BYTES_MAX {
            return Err(self.too_large());
        }
        let mut share = self.share(expected.min(TRUSTED_BYTES))?;
        let mut bytes = BytesMut::new();
        while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            // A client that goes away is not told; the text is for those that break the framing.
            let frame = frame.map_err(|_| Fault::new(400, "the request body ended early or is malformed"))?;
            let Ok(data) = frame.into_data() else { continue };
            if body.is_end_stream() && bytes.is_empty() {
                return Ok(ReadBody { bytes: data, _share: share });
            }
            if bytes.len() + data.len() > BODY_BYTES_MAX {
                return Err(self.too_large());
            }
            if bytes.is_empty() {
                bytes.reserve(expected.clamp(data.len(), TRUSTED_BYTES.max(data.len())));
            }
            self.grow(&mut share, bytes.len() + data.len())?;
            bytes.extend_from_slice(&data);
        }
        Ok(ReadBody { bytes: bytes.freeze(), _share: share })
    }

    fn too_large(&self) -> Fault {
        self.too_large.inc();
        Fault::new(413, format!("request body is larger than {BODY_BYTES_MAX} bytes"))
    }

    /// A share for `bytes`; bodies below one piece need none.
    fn share(&self, bytes: usize) -> Result<Option<OwnedSemaphorePermit>, Fault> {
        let mut share = None;
        self.grow(&mut share, bytes)?;
        Ok(share)
    }

    fn grow(&self, share: &mut Option<OwnedSemaphorePermit>, bytes: usize) -> Result<(), Fault> {
        let held = share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = (bytes / PIECE_BYTES).saturating_sub(held);
        if missing == 0 {
            return Ok(());
        }
        let more = u32::try_from(missing).ok().and_then(|n| Arc::clone(&self.pieces).try_acquire_many_owned(n).ok());
        let Some(more) = more else {
            self.too_many.inc();
            return Err(Fault::new(503, "too many large request bodies at once, try again later"));
        };
        match share {
            Some(share) => share.merge(more),
            None => *share = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        pin::Pin,
        task::{Context, Poll},
    };

    use hyper::body::Frame;

    use super::*;
    use crate::{app::BUILD, clock::Clock, metrics::MetricsOptions};

    /// Some bytes, and then silence.
    struct Stalls(Option<Bytes>);

    impl Body for Stalls {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.0.take().map_or(Poll::Pending, |bytes| Poll::Ready(Some(Ok(Frame::data(bytes)))))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_arrive_is_given_up_and_its_share_is_free() {
        let metrics = Metrics::new(MetricsOptions::default(), BUILD, &Clock::system());
        let budget = BodyBudget::new(&metrics);
        let Err(fault) = budget.read(Stalls(Some(Bytes::from(vec![b' '; 1 << 20])))).await else {
            panic!("it was read")
        };
        assert_eq!(fault.answer().status(), 408);
        assert_eq!(budget.pieces.available_permits(), BODIES_BYTES_MAX / PIECE_BYTES);
        assert_eq!(metrics.http_limit_reached_total.with_label_values(&["body_time"]).get(), 1);
    }
}
