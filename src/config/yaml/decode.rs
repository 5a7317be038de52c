//! Typed structures from YAML nodes, strictly: what is unknown or doubled is an issue with its line.
//!
//! Issues of type (a word for a number, an unknown key) are collected over the whole document; the first
//! failed check of a complete structure ends the reading ([`Stop`]). A structure with issues is not checked.
//! No message repeats more of a value than a short scalar given for a number or a boolean.

use std::path::Path;

use base64::Engine as _;

use super::{
    emit::Doc,
    scalar::{self, Scalar},
    tree::{Kind, NodeId, Tag, Tree},
};
use crate::alert::matcher::ParseMode;

/// Nodes seen through aliases may be most of a small document, but little of a large one.
const ALIAS_RATIO_SMALL: f64 = 0.99;
const ALIAS_RATIO_LARGE: f64 = 0.10;
const STEPS_SMALL: f64 = 400_000.0;
const STEPS_LARGE: f64 = 4_000_000.0;
/// Aliases can nest deeper than the text does.
const DEPTH_MAX: u32 = 600;

/// Why reading ended early. `line` is that of the structure, where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    pub line: Option<u32>,
    pub reason: String,
}

impl Stop {
    pub fn because(reason: impl Into<String>) -> Self {
        Stop { line: None, reason: reason.into() }
    }
}

/// What checks need to know beside the document.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Where relative paths start.
    pub dir: &'a Path,
    pub mode: ParseMode,
}

impl Default for Context<'_> {
    fn default() -> Self {
        Context { dir: Path::new(""), mode: ParseMode::Fallback }
    }
}

/// Something that is read from a node. `self` holds what was there before: a default.
pub trait Decode {
    /// `Ok(false)`: it could not be, an issue was noted.
    ///
    /// # Errors
    /// A check failed; reading ends.
    fn decode(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, Stop>;
}

/// What can be written back; the counterpart of [`Decode`].
pub trait Dump {
    fn dump(&self) -> Doc;
    /// Left out of a dump unless its key is always printed.
    fn is_zero(&self) -> bool;
}

/// A map of known keys. [`structure!`](super::structure) writes this.
pub trait Structure: Default {
    /// In messages: the key it stands under.
    const LABEL: &'static str;
    const KEYS: &'static [&'static str];
    /// With the defaults that hold when the structure is given, but not this key.
    fn initial() -> Self;
    /// # Errors
    /// A check failed; reading ends.
    fn decode_field(&mut self, index: usize, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, Stop>;
}

/// A node as the decoder sees it, aliases resolved.
#[derive(Clone, Copy, Debug)]
pub enum View<'t> {
    Scalar { text: &'t str, scalar: Scalar },
    List(&'t [NodeId]),
    Map(&'t [(NodeId, NodeId)]),
}

impl View<'_> {
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, View::Scalar { scalar: Scalar::Null, .. })
    }
}

/// A key that a structure does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownKey {
    pub line: u32,
    pub name: String,
    /// The keys that the structure has.
    pub allowed: &'static [&'static str],
}

pub struct Decoder<'t> {
    tree: &'t Tree,
    pub context: Context<'t>,
    /// What was accepted, but should be told to its writer.
    pub warnings: Vec<String>,
    /// Behind some of the issues.
    pub unknown: Vec<UnknownKey>,
    issues: Vec<String>,
    steps: u64,
    alias_steps: u64,
    alias_depth: u32,
    depth: u32,
}

impl<'t> Decoder<'t> {
    #[must_use]
    pub fn new(tree: &'t Tree, context: Context<'t>) -> Self {
        Decoder {
            tree,
            context,
            warnings: Vec::new(),
            unknown: Vec::new(),
            issues: Vec::new(),
            steps: 0,
            alias_steps: 0,
            alias_depth: 0,
            depth: 0,
        }
    }

    /// What was noted so far.
    #[must_use]
    pub fn issues(&self) -> &[String] {
        &self.issues
    }

    pub fn issue(&mut self, line: u32, text: impl std::fmt::Display) {
        self.issues.push(format!("line {line}: {text}"));
    }

    #[must_use]
    pub fn line(&self, id: NodeId) -> u32 {
        self.tree.line(id)
    }

    /// The stop, with the node's line unless it has one.
    #[must_use]
    pub fn at(&self, mut stop: Stop, id: NodeId) -> Stop {
        stop.line.get_or_insert(self.tree.line(id));
        stop
    }

    /// Whether the node, through aliases, is null.
    #[must_use]
    pub fn is_null(&self, mut id: NodeId) -> bool {
        while let Kind::Alias(target) = self.tree.kind(id) {
            id = *target;
        }
        match self.tree.kind(id) {
            Kind::Scalar { text, plain, tag } => scalar::resolve(text, *plain, *tag) == Ok(Scalar::Null),
            _ => false,
        }
    }

    /// Goes into a node: resolves aliases, keeps depth and budget.
    ///
    /// # Errors
    /// The budget is used up, a tag is wrong, or `read` fails.
    pub fn enter<R>(
        &mut self,
        id: NodeId,
        read: impl FnOnce(&mut Self, View<'t>, u32) -> Result<R, Stop>,
    ) -> Result<R, Stop> {
        let tree = self.tree;
        let line = tree.line(id);
        self.spend(line)?;
        let view = match tree.kind(id) {
            Kind::Alias(target) => {
                self.alias_depth += 1;
                // An alias' target is never an alias: this goes one step deeper and no more.
                let result = self.enter_target(*target, read);
                self.alias_depth -= 1;
                return result;
            }
            other => Self::view(other, line)?,
        };
        self.depth += 1;
        let result = read(self, view, line);
        self.depth -= 1;
        result
    }

    fn enter_target<R>(
        &mut self,
        id: NodeId,
        read: impl FnOnce(&mut Self, View<'t>, u32) -> Result<R, Stop>,
    ) -> Result<R, Stop> {
        let line = self.tree.line(id);
        self.spend(line)?;
        let view = Self::view(self.tree.kind(id), line)?;
        self.depth += 1;
        let result = read(self, view, line);
        self.depth -= 1;
        result
    }

    fn view(kind: &'t Kind, line: u32) -> Result<View<'t>, Stop> {
        Ok(match kind {
            Kind::Scalar { text, plain, tag } => {
                let scalar = scalar::resolve(text, *plain, *tag).map_err(|is| Stop {
                    line: Some(line),
                    reason: format!("yaml: cannot decode {} as a {}", is.tag(), tag_name(*tag)),
                })?;
                View::Scalar { text, scalar }
            }
            Kind::List(items) => View::List(items),
            Kind::Map(entries) => View::Map(entries),
            Kind::Alias(_) => View::Scalar { text: "", scalar: Scalar::Null },
        })
    }

    fn spend(&mut self, line: u32) -> Result<(), Stop> {
        self.steps += 1;
        self.alias_steps += u64::from(self.alias_depth > 0);
        if self.depth > DEPTH_MAX {
            return Err(Stop { line: Some(line), reason: "yaml: exceeded max depth".to_owned() });
        }
        if self.alias_steps > 100 && self.steps > 1000 && self.alias_ratio() > allowed_alias_ratio(self.steps) {
            return Err(Stop { line: Some(line), reason: "yaml: document contains excessive aliasing".to_owned() });
        }
        Ok(())
    }

    #[allow(clippy::cast_precision_loss, reason = "a ratio")]
    fn alias_ratio(&self) -> f64 {
        self.alias_steps as f64 / self.steps as f64
    }

    /// Notes that the node is of the wrong kind. `wanted` ends the message.
    pub fn mismatch(&mut self, view: &View<'_>, line: u32, wanted: &str) -> bool {
        let tag = match view {
            View::Scalar { scalar, .. } => scalar.tag(),
            View::List(_) => "!!seq",
            View::Map(_) => "!!map",
        };
        self.issue(line, format_args!("cannot unmarshal {tag} into {wanted}"));
        false
    }

    /// As [`mismatch`](Self::mismatch) for numbers and booleans, which are no secrets: shows what was written.
    pub fn mismatch_shown(&mut self, view: &View<'_>, line: u32, wanted: &str) -> bool {
        let View::Scalar { text, scalar } = view else { return self.mismatch(view, line, wanted) };
        let short = if text.chars().count() > 10 {
            text.chars().take(7).chain("...".chars()).collect()
        } else {
            (*text).to_owned()
        };
        self.issue(line, format_args!("cannot unmarshal {} `{short}` into {wanted}", scalar.tag()));
        false
    }

    /// Reads a structure's keys into `into`.
    ///
    /// # Errors
    /// A check failed; reading ends.
    pub fn structure<T: Structure>(&mut self, view: &View<'t>, line: u32, into: &mut T) -> Result<bool, Stop> {
        let View::Map(entries) = view else { return Ok(self.mismatch(view, line, T::LABEL)) };
        let mut seen = vec![false; T::KEYS.len()];
        for (key, value) in *entries {
            let key_line = self.tree.line(*key);
            if self.is_merge(*key) {
                self.merge(*value, |decoder, view, line| decoder.structure(&view, line, into))?;
                continue;
            }
            let mut name = String::new();
            if !name.decode(self, *key)? {
                continue;
            }
            let Some(index) = T::KEYS.iter().position(|known| *known == name) else {
                self.issue(key_line, format_args!("field {name} not found in type {}", T::LABEL));
                self.unknown.push(UnknownKey { line: key_line, name, allowed: T::KEYS });
                continue;
            };
            match seen.get_mut(index) {
                Some(seen) if !*seen => *seen = true,
                _ => {
                    self.issue(key_line, format_args!("field {name} already set in type {}", T::LABEL));
                    continue;
                }
            }
            into.decode_field(index, self, *value)?;
        }
        Ok(true)
    }

    pub(super) fn is_merge(&self, key: NodeId) -> bool {
        match self.tree.kind(key) {
            Kind::Scalar { text, plain, tag } => {
                &**text == "<<" && (*tag == Tag::Merge || (*plain && *tag == Tag::None))
            }
            _ => false,
        }
    }

    /// Reads the map, or the maps from last to first, that a `<<` names.
    pub(super) fn merge(
        &mut self,
        id: NodeId,
        mut read: impl FnMut(&mut Self, View<'t>, u32) -> Result<bool, Stop>,
    ) -> Result<(), Stop> {
        let not_a_map = |line| Stop {
            line: Some(line),
            reason: "yaml: map merge requires map or sequence of maps as the value".to_owned(),
        };
        self.enter(id, |decoder, view, line| match view {
            View::Map(_) => read(decoder, view, line).map(drop),
            View::List(items) => items.iter().rev().try_for_each(|item| {
                decoder.enter(*item, |decoder, view, line| match view {
                    View::Map(_) => read(decoder, view, line).map(drop),
                    _ => Err(not_a_map(line)),
                })
            }),
            View::Scalar { .. } => Err(not_a_map(line)),
        })
    }

    /// The text of a scalar, base64 undone.
    pub(super) fn text(&mut self, view: &View<'t>, line: u32) -> Result<Option<String>, Stop> {
        match view {
            View::Scalar { scalar: Scalar::Null, .. } => Ok(Some(String::new())),
            View::Scalar { text, scalar: Scalar::Binary } => {
                let bytes =
                    base64::engine::general_purpose::STANDARD.decode(text.split_whitespace().collect::<String>());
                match bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok()) {
                    Some(text) => Ok(Some(text)),
                    None => Err(Stop {
                        line: Some(line),
                        reason: "yaml: !!binary value contains invalid base64 data".to_owned(),
                    }),
                }
            }
            View::Scalar { text, .. } => Ok(Some((*text).to_owned())),
            _ => {
                self.mismatch(view, line, "string");
                Ok(None)
            }
        }
    }
}

fn tag_name(tag: Tag) -> &'static str {
    match tag {
        Tag::Null => "!!null",
        Tag::Bool => "!!bool",
        Tag::Int => "!!int",
        Tag::Float => "!!float",
        Tag::Timestamp => "!!timestamp",
        Tag::Merge => "!!merge",
        Tag::Binary => "!!binary",
        Tag::None | Tag::Str | Tag::Foreign => "!!str",
    }
}

#[allow(clippy::cast_precision_loss, reason = "a ratio")]
fn allowed_alias_ratio(steps: u64) -> f64 {
    let place = ((steps as f64 - STEPS_SMALL) / (STEPS_LARGE - STEPS_SMALL)).clamp(0.0, 1.0);
    ALIAS_RATIO_SMALL - (ALIAS_RATIO_SMALL - ALIAS_RATIO_LARGE) * place
}
