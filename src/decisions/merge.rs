//! Pages out of the records of several nodes. Pure.
//!
//! Each node's answer is in the order of its own numbers, newest first; between nodes the moments decide. The cursor says
//! for each node where the page ended, so that a wrong clock may shuffle a list but never lose or repeat a line of it.

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use prost::Message as _;

use super::model::Decision;
use crate::clock::Time;

/// Where a page ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The next page has only smaller numbers of these nodes.
    below: BTreeMap<Arc<str>, u64>,
    /// Of nodes that are not among them, only what is not later.
    until: Time,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CursorMessage {
    #[prost(btree_map = "string, uint64", tag = "1")]
    below: BTreeMap<String, u64>,
    #[prost(sint64, tag = "2")]
    until: i64,
}

/// The text is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of this API")]
pub struct NoCursor;

impl Cursor {
    /// Where this node goes on: below which number, or from which moment on.
    #[must_use]
    pub fn of(&self, node: &str) -> (Option<u64>, Option<Time>) {
        match self.below.get(node) {
            Some(below) => (Some(*below), None),
            None => (None, Some(self.until)),
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let below = self.below.iter().map(|(node, below)| (node.to_string(), *below)).collect();
        let message = CursorMessage { below, until: self.until.timestamp_micros() };
        f.write_str(&URL_SAFE_NO_PAD.encode(message.encode_to_vec()))
    }
}

impl FromStr for Cursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NoCursor)?;
        let message = CursorMessage::decode(&*bytes).map_err(|_| NoCursor)?;
        let until = Time::from_timestamp_micros(message.until).ok_or(NoCursor)?;
        Ok(Cursor { below: message.below.into_iter().map(|(node, below)| (node.into(), below)).collect(), until })
    }
}

/// What one node found, newest first.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    pub node: Arc<str>,
    pub decisions: Vec<Decision>,
    /// The node has more than it could say.
    pub more: bool,
}

/// A page of at most `limit`, and where it ends; `None`: there is nothing behind it.
#[must_use]
pub fn merge(streams: Vec<Stream>, before: Option<&Cursor>, limit: usize) -> (Vec<Decision>, Option<Cursor>) {
    let mut page = Vec::new();
    let mut heads: Vec<Head> = streams.into_iter().map(Head::of).collect();
    while page.len() < limit {
        // Of a node that has more than it said nothing is known beyond its last word.
        if heads.iter().any(|head| head.next.is_none() && head.more) {
            break;
        }
        let newest = heads.iter_mut().filter(|head| head.next.is_some()).max_by(|a, b| a.order().cmp(&b.order()));
        let Some(decision) = newest.and_then(Head::take) else { break };
        page.push(decision);
    }
    let goes_on = heads.iter().any(|head| head.next.is_some() || head.more);
    let cursor = goes_on.then(|| {
        let until = page.last().map(|last| last.at).or(before.map(|cursor| cursor.until));
        let mut below = before.map(|cursor| cursor.below.clone()).unwrap_or_default();
        for head in heads {
            below.insert(head.node, head.below);
        }
        Cursor { below, until: until.unwrap_or(Time::UNIX_EPOCH) }
    });
    (page, cursor)
}

struct Head {
    node: Arc<str>,
    next: Option<Decision>,
    rest: std::vec::IntoIter<Decision>,
    more: bool,
    /// Everything from this number on has been shown, or is not wanted.
    below: u64,
}

impl Head {
    fn of(stream: Stream) -> Self {
        let mut rest = stream.decisions.into_iter();
        let next = rest.next();
        let below = next.as_ref().map_or(0, |next| next.id + 1);
        Head { node: stream.node, next, rest, more: stream.more, below }
    }

    fn order(&self) -> (Option<Time>, std::cmp::Reverse<&str>) {
        (self.next.as_ref().map(|next| next.at), std::cmp::Reverse(&self.node))
    }

    fn take(&mut self) -> Option<Decision> {
        let taken = std::mem::replace(&mut self.next, self.rest.next())?;
        self.below = taken.id;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::model::{Group, Outcome, Why},
        *,
    };
    use crate::alert::Labels;

    fn decision(node: &str, id: u64, seconds: i64) -> Decision {
        let group = Arc::new(Group { key: "{}".into(), labels: Labels::default(), route: "{}".into() });
        let at = Time::from_timestamp(1_800_000_000 + seconds, 0).unwrap();
        let decision = Decision::new(Outcome::Quiet, Why::Muted, "team".into(), group);
        Decision { node: node.into(), id, at, last: at, ..decision }
    }

    /// What a node answers that holds these moments, oldest first, and says at most `most` at once.
    fn answer(node: &str, held: &[i64], cursor: Option<&Cursor>, most: usize) -> Stream {
        let (below, until) = cursor.map_or((None, None), |cursor| cursor.of(node));
        let all = held.iter().enumerate().rev().map(|(id, seconds)| decision(node, id as u64 + 1, *seconds));
        let mut wanted: Vec<Decision> = all
            .filter(|decision| below.is_none_or(|below| decision.id < below))
            .filter(|decision| until.is_none_or(|until| decision.at <= until))
            .collect();
        let more = wanted.len() > most;
        wanted.truncate(most);
        Stream { node: node.into(), decisions: wanted, more }
    }

    fn names(page: &[Decision]) -> Vec<(String, u64)> {
        page.iter().map(|decision| (decision.node.to_string(), decision.id)).collect()
    }

    #[test]
    fn a_page_goes_by_moments_and_ends_where_a_node_has_more_to_say() {
        let streams = vec![answer("a", &[1, 5, 9], None, 10), answer("b", &[2, 3, 8], None, 1)];
        let (page, next) = merge(streams, None, 10);
        assert_eq!(names(&page), [("a".to_owned(), 3), ("b".to_owned(), 3)]);
        assert_eq!(next.as_ref().map(|next| (next.of("a").0, next.of("b").0)), Some((Some(3), Some(3))));
        let (last, end) = merge(vec![answer("a", &[1], None, 10)], None, 10);
        assert_eq!((last.len(), end), (1, None));
    }

    #[test]
    fn a_cursor_comes_back_from_its_text_and_other_texts_are_none() {
        let (_, next) = merge(vec![answer("n/1 ü", &[1, 2], None, 1)], None, 1);
        let next = next.unwrap();
        assert_eq!(next.to_string().parse(), Ok(next));
        for text in ["", "x", "AAAA", "!"] {
            assert!(text.is_empty() || text.parse::<Cursor>().is_err(), "{text}");
        }
    }

    proptest! {
        /// However clocks are off: page by page every line comes once, and those of one node in their order.
        #[test]
        fn pages_lose_nothing_and_repeat_nothing(
            held in proptest::collection::vec(proptest::collection::vec(0i64..50, 0..12), 1..4),
            most in 1usize..5,
            limit in 1usize..7,
        ) {
            let mut seen = Vec::new();
            let mut cursor: Option<Cursor> = None;
            for _ in 0..100 {
                let answers = held.iter().enumerate();
                let answers = answers.map(|(node, held)| answer(&format!("n{node}"), held, cursor.as_ref(), most));
                let (page, next) = merge(answers.collect(), cursor.as_ref(), limit);
                prop_assert!(!page.is_empty() || next.is_none(), "an empty page in the middle");
                seen.extend(names(&page));
                cursor = next;
                if cursor.is_none() {
                    break;
                }
            }
            prop_assert_eq!(&cursor, &None);
            for (node, held) in held.iter().enumerate() {
                let ids: Vec<u64> = seen.iter().filter(|(n, _)| *n == format!("n{node}")).map(|(_, id)| *id).collect();
                let want: Vec<u64> = (1..=held.len() as u64).rev().collect();
                prop_assert_eq!(ids, want);
            }
        }
    }
}
