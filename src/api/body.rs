//! Request bodies: read whole, within two limits. One body has a maximum; all bodies being read or worked on
//! at one moment have another, above which requests are turned away rather than kept waiting.

use std::sync::Arc;

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
        }
    }

    /// Reads `body` to its end.
    pub async fn read<B: Body<Data = Bytes>>(&self, body: B) -> Result<ReadBody, Fault> {
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
