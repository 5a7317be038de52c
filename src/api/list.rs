//! Long lists as answers: written piece by piece while the client reads, whole if they are short.

use bytes::Bytes;
use http::StatusCode;

use super::answer::{Answer, Body, json_body};

/// Size of a piece; lists up to this size go out whole with a `Content-Length`.
const PIECE_BYTES: usize = 64 << 10;

/// An array whose inside `step` writes bit by bit into the buffer until it returns false.
struct Pieces<W, S> {
    writer: W,
    step: S,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Middle,
    Done,
}

impl<W, S> Iterator for Pieces<W, S>
where
    S: FnMut(&mut W, &mut Vec<u8>) -> bool,
{
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let mut out = match self.state {
            State::Start => b"[".to_vec(),
            State::Middle => Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 8),
            State::Done => return None,
        };
        self.state = State::Middle;
        while out.len() < PIECE_BYTES {
            if !(self.step)(&mut self.writer, &mut out) {
                out.extend_from_slice(b"]\n");
                self.state = State::Done;
                break;
            }
        }
        Some(Bytes::from(out))
    }
}

/// 200 with an array: `step` is called with `writer` until it returns false, and writes what is between the
/// brackets, commas included.
pub(super) fn stream<W, S>(writer: W, step: S) -> Answer
where
    W: Send + Sync + 'static,
    S: FnMut(&mut W, &mut Vec<u8>) -> bool + Send + Sync + 'static,
{
    let mut pieces = Pieces { writer, step, state: State::Start };
    let first = pieces.next().unwrap_or_default();
    let body = match pieces.state {
        State::Done => Body::whole(first),
        _ => Body::chunks(std::iter::once(first).chain(pieces)),
    };
    json_body(StatusCode::OK, body)
}

/// 200 with an array of what `write` makes of each item; it returns whether the item is to stay.
pub(super) fn list<I, W>(items: I, mut write: W) -> Answer
where
    I: Iterator + Send + Sync + 'static,
    W: FnMut(&mut Vec<u8>, I::Item) -> bool + Send + Sync + 'static,
{
    stream((items, false), move |(items, wrote), out| {
        let Some(item) = items.next() else { return false };
        let before = out.len();
        if *wrote {
            out.push(b',');
        }
        if write(out, item) {
            *wrote = true;
        } else {
            out.truncate(before);
        }
        true
    })
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    /// The pieces of a list of numbers.
    async fn pieces(count: usize, keep: fn(usize) -> bool) -> Vec<Bytes> {
        let answer = list(0..count, move |out, item| {
            out.extend_from_slice(format!("\"{item:0>100}\"").as_bytes());
            keep(item)
        });
        let mut body = answer.into_body();
        let mut pieces = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            pieces.extend(frame.into_data());
        }
        pieces
    }

    #[tokio::test]
    async fn what_is_not_kept_leaves_no_comma() {
        assert_eq!(pieces(0, |_| true).await, ["[]\n"]);
        assert_eq!(pieces(9, |_| false).await, ["[]\n"]);
        let text = pieces(9, |item| item % 3 == 1).await.concat();
        assert_eq!(serde_json::from_slice::<Vec<String>>(&text).unwrap().len(), 3);
    }

    #[tokio::test]
    async fn a_long_list_comes_in_pieces() {
        let pieces = pieces(2_000, |_| true).await;
        assert_eq!(pieces.len(), 4);
        assert_eq!(serde_json::from_slice::<Vec<String>>(&pieces.concat()).unwrap().len(), 2_000);
    }
}
