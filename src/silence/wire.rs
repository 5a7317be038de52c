//! Silences in Alertmanager's protobuf (reference/cluster.md 4): the same bytes are in the store, in the
//! snapshot file and between nodes.
//!
//! Releases before 0.32 know one list of matchers (field 2), later ones sets of them (field 11): both are
//! written, and either is read.

use std::collections::BTreeMap;

use prost::Message;
use prost_types::Timestamp;

use super::model::{Foreign, MatcherText, Silence, SilenceId};
use crate::{
    alert::matcher::{MatchOp, Matcher, MatcherError},
    store::{
        snapshot::SnapshotError,
        timestamp::{from_time, to_time},
    },
};

#[derive(Clone, PartialEq, prost::Message)]
pub struct MeshSilence {
    #[prost(message, optional, tag = "1")]
    silence: Option<SilenceMessage>,
    #[prost(message, optional, tag = "2")]
    expires_at: Option<Timestamp>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SilenceMessage {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(message, repeated, tag = "2")]
    matchers: Vec<MatcherMessage>,
    #[prost(message, optional, tag = "3")]
    starts_at: Option<Timestamp>,
    #[prost(message, optional, tag = "4")]
    ends_at: Option<Timestamp>,
    #[prost(message, optional, tag = "5")]
    updated_at: Option<Timestamp>,
    #[prost(message, repeated, tag = "7")]
    comments: Vec<CommentMessage>,
    #[prost(string, tag = "8")]
    created_by: String,
    #[prost(string, tag = "9")]
    comment: String,
    #[prost(btree_map = "string, string", tag = "10")]
    annotations: BTreeMap<String, String>,
    #[prost(message, repeated, tag = "11")]
    matcher_sets: Vec<SetMessage>,
    #[prost(message, repeated, tag = "12")]
    receiver_matcher_sets: Vec<SetMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct MatcherMessage {
    #[prost(enumeration = "Type", tag = "1")]
    op: i32,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    pattern: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
enum Type {
    Equal = 0,
    Regexp = 1,
    NotEqual = 2,
    NotRegexp = 3,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SetMessage {
    #[prost(message, repeated, tag = "1")]
    matchers: Vec<MatcherMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CommentMessage {
    #[prost(string, tag = "1")]
    author: String,
    #[prost(string, tag = "2")]
    comment: String,
    #[prost(message, optional, tag = "3")]
    timestamp: Option<Timestamp>,
}

/// The silence as bytes.
#[must_use]
pub fn encode(silence: &Silence) -> Vec<u8> {
    message(silence).encode_to_vec()
}

/// Ready to be encoded.
#[must_use]
pub fn message(silence: &Silence) -> MeshSilence {
    let foreign = silence.foreign.as_deref();
    let matcher_sets = match foreign.and_then(|foreign| foreign.broken.as_ref()) {
        Some(broken) => broken.iter().map(|set| set_of_texts(set)).collect(),
        None => silence.matcher_sets.iter().map(|set| set_of_matchers(set)).collect::<Vec<_>>(),
    };
    MeshSilence {
        silence: Some(SilenceMessage {
            id: silence.id.as_str().to_owned(),
            matchers: matcher_sets.first().map_or_else(Vec::new, |set: &SetMessage| set.matchers.clone()),
            starts_at: Some(from_time(silence.starts_at)),
            ends_at: Some(from_time(silence.ends_at)),
            updated_at: Some(from_time(silence.updated_at)),
            comments: Vec::new(),
            created_by: silence.created_by.as_ref().to_owned(),
            comment: silence.comment.as_ref().to_owned(),
            annotations: silence.annotations.clone(),
            matcher_sets,
            receiver_matcher_sets: foreign
                .map_or_else(Vec::new, |foreign| foreign.receiver_sets.iter().map(|set| set_of_texts(set)).collect()),
        }),
        expires_at: Some(from_time(silence.expires_at)),
    }
}

/// Reads one record.
///
/// # Errors
/// When the bytes are no silence.
pub fn decode(bytes: &[u8]) -> Result<Silence, SnapshotError> {
    read(MeshSilence::decode(bytes).map_err(|error| SnapshotError::Decode(error.to_string()))?)
}

/// Reads a decoded message. Matchers that do not compile are no error here: see [`Silence::is_usable`].
///
/// # Errors
/// When it holds no silence.
pub fn read(message: MeshSilence) -> Result<Silence, SnapshotError> {
    let silence = message.silence.ok_or(SnapshotError::InvalidState)?;
    let mut sets = silence.matcher_sets;
    if sets.is_empty() && !silence.matchers.is_empty() {
        sets.push(SetMessage { matchers: silence.matchers });
    }
    let compiled: Result<Vec<Box<[Matcher]>>, MatcherError> =
        sets.iter().map(|set| set.matchers.iter().map(compile).collect()).collect();
    let (matcher_sets, broken) = match compiled {
        Ok(matcher_sets) => (matcher_sets, None),
        Err(_) => (Vec::new(), Some(sets.into_iter().map(texts_of_set).collect())),
    };
    let receiver_sets: Vec<_> = silence.receiver_matcher_sets.into_iter().map(texts_of_set).collect();
    let foreign = (broken.is_some() || !receiver_sets.is_empty()).then(|| Box::new(Foreign { broken, receiver_sets }));
    let (created_by, comment) = match silence.comments.into_iter().next() {
        Some(first) => (first.author, first.comment),
        None => (silence.created_by, silence.comment),
    };
    Ok(Silence {
        id: SilenceId::from(silence.id),
        matcher_sets: matcher_sets.into(),
        starts_at: to_time(silence.starts_at.as_ref()),
        ends_at: to_time(silence.ends_at.as_ref()),
        updated_at: to_time(silence.updated_at.as_ref()),
        expires_at: to_time(message.expires_at.as_ref()),
        created_by: created_by.into(),
        comment: comment.into(),
        annotations: silence.annotations,
        foreign,
    })
}

fn type_of(op: MatchOp) -> Type {
    match op {
        MatchOp::Equal => Type::Equal,
        MatchOp::Regex => Type::Regexp,
        MatchOp::NotEqual => Type::NotEqual,
        MatchOp::NotRegex => Type::NotRegexp,
    }
}

fn op_of(message: &MatcherMessage) -> MatchOp {
    // An unknown number reads as the first one, as protobuf's own getters do.
    match message.op() {
        Type::Equal => MatchOp::Equal,
        Type::Regexp => MatchOp::Regex,
        Type::NotEqual => MatchOp::NotEqual,
        Type::NotRegexp => MatchOp::NotRegex,
    }
}

fn compile(message: &MatcherMessage) -> Result<Matcher, MatcherError> {
    Matcher::new(op_of(message), message.name.as_str(), message.pattern.as_str())
}

fn set_of_matchers(set: &[Matcher]) -> SetMessage {
    let matcher = |matcher: &Matcher| MatcherMessage {
        op: type_of(matcher.op()) as i32,
        name: matcher.name().to_owned(),
        pattern: matcher.value().to_owned(),
    };
    SetMessage { matchers: set.iter().map(matcher).collect() }
}

fn set_of_texts(set: &[MatcherText]) -> SetMessage {
    let matcher = |text: &MatcherText| MatcherMessage {
        op: type_of(text.op) as i32,
        name: text.name.clone(),
        pattern: text.value.clone(),
    };
    SetMessage { matchers: set.iter().map(matcher).collect() }
}

fn texts_of_set(set: SetMessage) -> Vec<MatcherText> {
    let text =
        |message: MatcherMessage| MatcherText { op: op_of(&message), name: message.name, value: message.pattern };
    set.matchers.into_iter().map(text).collect()
}
