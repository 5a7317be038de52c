//! The nodes of one document.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle};

/// Collections within collections; 255 nested routes, far more than anyone reads.
const DEPTH_MAX: usize = 512;
/// Nodes of one document: more than 100,000 routes make.
const NODES_MAX: usize = 8_000_000;

/// Place of a node in its [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeId(u32);

/// An explicit tag, as far as it decides how a scalar is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    None,
    Null,
    Bool,
    Int,
    Float,
    Str,
    Timestamp,
    Merge,
    Binary,
    /// Anything else: the text stays as it is.
    Foreign,
}

#[derive(Debug)]
pub enum Kind {
    /// `plain`: written without quotes and not as a block, so that it may be a number, a boolean or null.
    Scalar {
        text: Box<str>,
        plain: bool,
        tag: Tag,
    },
    List(Vec<NodeId>),
    Map(Vec<(NodeId, NodeId)>),
    Alias(NodeId),
}

#[derive(Debug)]
struct Node {
    line: u32,
    kind: Kind,
}

/// Why a text is no YAML.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("yaml: line {line}: {reason}")]
pub struct SyntaxError {
    pub line: u32,
    pub reason: String,
}

/// The first document of a text. What follows it is not even looked at.
#[derive(Debug)]
pub struct Tree {
    nodes: Vec<Node>,
    root: Option<NodeId>,
}

impl Tree {
    /// # Errors
    /// The text is no YAML, or larger or deeper than anything sensible.
    pub fn parse(text: &str) -> Result<Tree, SyntaxError> {
        let options = granit_parser::options! {
            flow_nesting_limit: DEPTH_MAX,
            block_nesting_limit: DEPTH_MAX,
            emit_comments: false,
            block_scalar_eof_without_line_feed: true,
        };
        let mut builder = Builder::default();
        for event in Parser::new_from_str_with_options(text, options) {
            let (event, span) =
                event.map_err(|error| SyntaxError { line: line_of(error.marker().line()), reason: error.info() })?;
            if builder.take(event, line_of(span.start.line()))? == Next::Stop {
                break;
            }
        }
        Ok(Tree { nodes: builder.nodes, root: builder.root })
    }

    /// `None`: there is no document, or nothing in it.
    #[must_use]
    pub fn root(&self) -> Option<NodeId> {
        self.root
    }

    #[must_use]
    pub fn line(&self, id: NodeId) -> u32 {
        self.nodes.get(id.0 as usize).map_or(0, |node| node.line)
    }

    #[must_use]
    pub fn kind(&self, id: NodeId) -> &Kind {
        const NOTHING: &Kind = &Kind::List(Vec::new());
        // Ids are made here only; there is no other tree to mix them up with in practice.
        self.nodes.get(id.0 as usize).map_or(NOTHING, |node| &node.kind)
    }
}

fn line_of(line: usize) -> u32 {
    u32::try_from(line).unwrap_or(u32::MAX)
}

#[derive(PartialEq, Eq)]
enum Next {
    Go,
    Stop,
}

/// A collection whose end has not come yet.
struct Open {
    id: NodeId,
    /// Of a map: the key that waits for its value.
    key: Option<NodeId>,
}

#[derive(Default)]
struct Builder {
    nodes: Vec<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, NodeId>,
    root: Option<NodeId>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, line: u32) -> Result<Next, SyntaxError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag.as_deref().map_or(Tag::None, tag_of);
                let plain = style == ScalarStyle::Plain;
                self.add(Kind::Scalar { text: text.into(), plain, tag }, anchor, line)?;
            }
            Event::SequenceStart(_, anchor, _) => {
                let id = self.add(Kind::List(Vec::new()), anchor, line)?;
                self.open.push(Open { id, key: None });
            }
            Event::MappingStart(_, anchor, _) => {
                let id = self.add(Kind::Map(Vec::new()), anchor, line)?;
                self.open.push(Open { id, key: None });
            }
            Event::SequenceEnd | Event::MappingEnd => drop(self.open.pop()),
            Event::Alias(anchor) => {
                let error = |reason: &str| SyntaxError { line, reason: reason.to_owned() };
                let target = *self.anchors.get(&anchor).ok_or_else(|| error("unknown anchor referenced"))?;
                if self.open.iter().any(|open| open.id == target) {
                    return Err(error("anchor value contains itself"));
                }
                self.add(Kind::Alias(target), 0, line)?;
            }
            Event::DocumentEnd => return Ok(Next::Stop),
            _ => {}
        }
        Ok(Next::Go)
    }

    fn add(&mut self, kind: Kind, anchor: usize, line: u32) -> Result<NodeId, SyntaxError> {
        if self.nodes.len() >= NODES_MAX {
            return Err(SyntaxError { line, reason: "document is too large".to_owned() });
        }
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(Node { line, kind });
        if anchor != 0 {
            self.anchors.insert(anchor, id);
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(id);
            return Ok(id);
        };
        match self.nodes.get_mut(parent.id.0 as usize).map(|node| &mut node.kind) {
            Some(Kind::List(items)) => items.push(id),
            Some(Kind::Map(entries)) => match parent.key.take() {
                Some(key) => entries.push((key, id)),
                None => parent.key = Some(id),
            },
            _ => {}
        }
        Ok(id)
    }
}

fn tag_of(tag: &granit_parser::Tag) -> Tag {
    match tag.suffix_in_namespace("tag:yaml.org,2002:").as_deref() {
        Some("null") => Tag::Null,
        Some("bool") => Tag::Bool,
        Some("int") => Tag::Int,
        Some("float") => Tag::Float,
        Some("str") => Tag::Str,
        Some("timestamp") => Tag::Timestamp,
        Some("merge") => Tag::Merge,
        Some("binary") => Tag::Binary,
        _ => Tag::Foreign,
    }
}
