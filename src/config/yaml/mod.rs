//! YAML as Alertmanager's parser reads it: version 1.1 scalars over a tree of nodes that remember
//! line, style and tag.
//!
//! [`Tree`] holds the first document of a text. [`decode`] reads typed structures from it, strictly;
//! [`emit`] writes a [`emit::Doc`] back. Text comes from operators and may be hostile in size and depth only
//! by accident, but nothing here may overflow a stack or run away over aliases because of it.

pub mod decode;
pub mod emit;
mod kinds;
pub mod scalar;
pub mod structure;
mod tree;

pub use tree::{Kind, NodeId, SyntaxError, Tag, Tree};

use super::model::Payload;
use decode::{Context, Decode, Decoder};
use emit::Doc;

/// Reads one text as a free-form value, as the reference reads a rendered payload string.
/// `None` if it is no YAML. Map entries whose key is not a string are dropped.
#[must_use]
pub fn value(text: &str) -> Option<Payload> {
    let tree = Tree::parse(text).ok()?;
    let Some(root) = tree.root() else { return Some(Payload::Null) };
    let mut decoder = Decoder::new(&tree, Context::default());
    let mut doc = Doc::Null;
    match doc.decode(&mut decoder, root) {
        Ok(true) => Some(payload(&doc)),
        _ => None,
    }
}

/// What is left of a free-form value when it is rendered for sending.
#[must_use]
pub fn payload(doc: &Doc) -> Payload {
    match doc {
        Doc::Null => Payload::Null,
        Doc::Bool(value) => Payload::Bool(*value),
        Doc::Int(value) => Payload::Int(*value),
        Doc::UInt(value) => Payload::UInt(*value),
        Doc::Float(value) => Payload::Float(*value),
        Doc::Text(value) => Payload::Text(value.clone()),
        Doc::List(items) | Doc::FlowList(items) => Payload::List(items.iter().map(payload).collect()),
        Doc::Map(entries) => Payload::Map(
            entries
                .iter()
                .filter_map(|(key, value)| match key {
                    Doc::Text(key) => Some((key.clone(), payload(value))),
                    _ => None,
                })
                .collect(),
        ),
    }
}
