//! How nodes ask each other: a query and its answer as bytes. How they travel is not this room's business.

use prost::Message as _;

use super::{
    Findings,
    model::{Decision, Outcome},
    query::{Pattern, Query},
    wire::{Book, Dictionary},
};
use crate::{
    alert::{
        Fingerprint,
        matcher::{MatchOp, Matcher},
    },
    clock::Time,
};

/// Matchers and outcomes that a question may have.
const CONDITIONS_MAX: usize = 100;

#[derive(Clone, PartialEq, prost::Message)]
struct QueryMessage {
    #[prost(message, repeated, tag = "1")]
    matchers: Vec<MatcherMessage>,
    #[prost(fixed64, optional, tag = "2")]
    fingerprint: Option<u64>,
    /// Names and values in turns; empty: not known.
    #[prost(string, repeated, tag = "3")]
    labels: Vec<String>,
    #[prost(string, optional, tag = "4")]
    receiver: Option<String>,
    #[prost(string, repeated, tag = "5")]
    outcomes: Vec<String>,
    /// Microseconds since 1970, like all moments here.
    #[prost(sint64, optional, tag = "6")]
    since: Option<i64>,
    #[prost(sint64, optional, tag = "7")]
    until: Option<i64>,
    #[prost(uint64, tag = "8")]
    limit: u64,
    #[prost(uint64, optional, tag = "9")]
    below: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct MatcherMessage {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
    #[prost(bool, tag = "3")]
    is_regex: bool,
    #[prost(bool, tag = "4")]
    is_negative: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AnswerMessage {
    #[prost(bool, tag = "1")]
    off: bool,
    #[prost(bool, tag = "2")]
    more: bool,
    #[prost(sint64, optional, tag = "3")]
    oldest: Option<i64>,
    #[prost(sint64, optional, tag = "4")]
    newest: Option<i64>,
    /// Blocks: one for each name that the node has had, in the order of the answer.
    #[prost(bytes = "vec", repeated, tag = "5")]
    blocks: Vec<Vec<u8>>,
}

/// The question as it is put to the node `to`.
pub(super) fn write_query(query: &Query, to: &str) -> Vec<u8> {
    let (below, until) = query.cursor.as_ref().map_or((None, None), |cursor| cursor.of(to));
    let until = [until, query.until].into_iter().flatten().min();
    let matcher = |matcher: &Matcher| MatcherMessage {
        name: matcher.name().to_owned(),
        value: matcher.value().to_owned(),
        is_regex: matcher.op().is_regex(),
        is_negative: !matcher.op().is_equal(),
    };
    let labels = query.labels.iter().flat_map(|labels| labels.iter().flat_map(|(name, value)| [name, value]));
    QueryMessage {
        matchers: query.matchers.iter().map(matcher).collect(),
        fingerprint: query.fingerprint.map(|fingerprint| fingerprint.0),
        labels: labels.map(str::to_owned).collect(),
        receiver: query.receiver.as_ref().map(|receiver| receiver.text().to_owned()),
        outcomes: query.outcomes.iter().map(|outcome| outcome.as_str().to_owned()).collect(),
        since: query.since.map(|since| since.timestamp_micros()),
        until: until.map(|until| until.timestamp_micros()),
        limit: query.page_size() as u64,
        below,
    }
    .encode_to_vec()
}

/// The question, and below which number; `None`: it cannot be understood.
pub(super) fn read_query(bytes: &[u8]) -> Option<(Query, Option<u64>)> {
    let message = QueryMessage::decode(bytes).ok()?;
    if message.matchers.len() + message.outcomes.len() > CONDITIONS_MAX {
        return None;
    }
    let matcher = |matcher: MatcherMessage| {
        let op = MatchOp::from_flags(matcher.is_regex, !matcher.is_negative);
        Matcher::new(op, matcher.name, matcher.value).ok()
    };
    let pairs = message.labels.chunks_exact(2).filter_map(|pair| Some((pair.first()?, pair.get(1)?)));
    let query = Query {
        matchers: message.matchers.into_iter().map(matcher).collect::<Option<_>>()?,
        fingerprint: message.fingerprint.map(Fingerprint),
        labels: (!message.labels.is_empty()).then(|| pairs.collect()),
        receiver: message.receiver.map(|text| Pattern::new(&text)).transpose().ok()?,
        outcomes: message.outcomes.iter().map(|text| text.parse::<Outcome>()).collect::<Result<_, _>>().ok()?,
        since: message.since.and_then(Time::from_timestamp_micros),
        until: message.until.and_then(Time::from_timestamp_micros),
        limit: usize::try_from(message.limit).unwrap_or(usize::MAX),
        cursor: None,
    };
    Some((query, message.below))
}

/// `None`: this node keeps no record.
pub(super) fn write_answer(findings: Option<&Findings>) -> Vec<u8> {
    let Some(findings) = findings else {
        return AnswerMessage { off: true, ..AnswerMessage::default() }.encode_to_vec();
    };
    let mut dictionary = Dictionary::default();
    let of_one_name = findings.decisions.chunk_by(|a, b| a.node == b.node);
    let block = |decisions: &[Decision]| {
        let node = decisions.first().map_or("", |first| &first.node);
        let mut bytes = Vec::new();
        dictionary.begin(&mut bytes, node);
        decisions.iter().for_each(|decision| dictionary.write_decision(&mut bytes, decision));
        bytes
    };
    AnswerMessage {
        off: false,
        more: findings.more,
        oldest: findings.oldest.map(|at| at.timestamp_micros()),
        newest: findings.newest.map(|at| at.timestamp_micros()),
        blocks: of_one_name.map(block).collect(),
    }
    .encode_to_vec()
}

/// What a peer said. `Ok(None)`: it keeps no record. `Err`: it cannot be understood.
pub(super) fn read_answer(bytes: &[u8]) -> Result<Option<Findings>, prost::DecodeError> {
    let message = AnswerMessage::decode(bytes)?;
    if message.off {
        return Ok(None);
    }
    let mut book = Book::default();
    for block in &message.blocks {
        book.read(block)?;
    }
    let decisions = book.decisions.iter().filter_map(|(node, message)| book.decision(node, message));
    Ok(Some(Findings {
        decisions: decisions.collect(),
        more: message.more,
        oldest: message.oldest.and_then(Time::from_timestamp_micros),
        newest: message.newest.and_then(Time::from_timestamp_micros),
    }))
}
