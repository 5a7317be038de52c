//! Answers: their bodies, and the three shapes in which the API says what is wrong (reference/server.md 4.1).

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::json;

/// What every handler of the server returns.
pub type Answer = Response<Body>;

/// The body of an answer: text that is there, or chunks that are made when the connection can take them.
pub struct Body {
    content: Content,
    /// Kept until the last byte is handed over, such as a place among the concurrent GETs.
    held: Vec<Box<dyn Send + Sync>>,
}

enum Content {
    Whole(Bytes),
    Chunks(Box<dyn Iterator<Item = Bytes> + Send + Sync>),
}

impl Body {
    #[must_use]
    pub fn empty() -> Self {
        Body::whole(Bytes::new())
    }

    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Body { content: Content::Whole(bytes.into()), held: Vec::new() }
    }

    /// A body of unknown length. Each chunk is asked for when the one before it has been taken, so a slow
    /// reader costs no memory beyond one chunk and what the iterator holds.
    pub fn chunks(chunks: impl Iterator<Item = Bytes> + Send + Sync + 'static) -> Self {
        Body { content: Content::Chunks(Box::new(chunks)), held: Vec::new() }
    }

    /// Drops `guard` only when the body is sent or given up.
    pub fn hold(&mut self, guard: impl Send + Sync + 'static) {
        self.held.push(Box::new(guard));
    }

    /// The length, where it is known.
    #[must_use]
    pub fn known_len(&self) -> Option<usize> {
        match &self.content {
            Content::Whole(bytes) => Some(bytes.len()),
            Content::Chunks(_) => None,
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let next = match &mut self.content {
            Content::Whole(bytes) if bytes.is_empty() => None,
            Content::Whole(bytes) => Some(std::mem::take(bytes)),
            Content::Chunks(chunks) => chunks.next(),
        };
        if next.is_none() {
            self.held.clear();
        }
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.content, Content::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        self.known_len().map_or_else(SizeHint::new, |n| SizeHint::with_exact(n as u64))
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// 200 without a body.
pub(super) fn ok() -> Answer {
    Response::new(Body::empty())
}

/// A status without a body: a silence that does not exist.
pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = ok();
    *answer.status_mut() = status;
    answer
}

/// A body of JSON text.
pub(super) fn json_body(status: StatusCode, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, JSON);
    answer
}

/// What a handler refuses for its meaning: a bare JSON string and a newline.
pub(super) fn refused(status: StatusCode, message: &str) -> Answer {
    let mut text = Vec::with_capacity(message.len() + 3);
    json::push_string(&mut text, message);
    text.push(b'\n');
    json_body(status, Body::whole(text))
}

/// What the framework of the reference refuses: `{"code":…,"message":…}`. The status is the code, except
/// for the codes of schema validation (from 600 on), which come with 422.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub code: u16,
    pub message: String,
}

impl Fault {
    pub fn new(code: u16, message: impl Into<String>) -> Self {
        Fault { code, message: message.into() }
    }

    /// 602: a key that must be there is not.
    pub fn required(what: &str, place: &str) -> Self {
        Fault::new(602, format!("{what} in {place} is required"))
    }

    pub fn answer(&self) -> Answer {
        let mut text = Vec::with_capacity(self.message.len() + 32);
        text.extend_from_slice(b"{\"code\":");
        text.extend_from_slice(self.code.to_string().as_bytes());
        text.extend_from_slice(b",\"message\":");
        json::push_html_safe(&mut text, &self.message);
        text.push(b'}');
        let status = StatusCode::from_u16(self.code).ok().filter(|_| self.code < 600);
        json_body(status.unwrap_or(StatusCode::UNPROCESSABLE_ENTITY), Body::whole(text))
    }
}
