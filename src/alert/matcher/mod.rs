//! Matchers: one condition on one label, and lists of them.
//!
//! A label that is missing counts as empty, everywhere. Routing, inhibition, silences and the API's
//! filters all ask here. Texts are read in [`parse`]; printing is the canonical form that route and
//! group keys are made of.

mod classic;
mod parse;
mod utf8;

use std::{cmp::Ordering, fmt, sync::Arc};

pub use parse::{Notice, ParseMode, Parsed, parse_matcher, parse_matchers, parse_noticing, valid_label_name};

use super::{
    Labels,
    re2::{self, RegexError},
    text::push_quoted,
};

/// The operators, in canonical order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl MatchOp {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        }
    }

    /// From the API's pair of flags.
    #[must_use]
    pub fn from_flags(is_regex: bool, is_equal: bool) -> Self {
        match (is_regex, is_equal) {
            (false, true) => MatchOp::Equal,
            (false, false) => MatchOp::NotEqual,
            (true, true) => MatchOp::Regex,
            (true, false) => MatchOp::NotRegex,
        }
    }

    #[must_use]
    pub fn is_regex(self) -> bool {
        matches!(self, MatchOp::Regex | MatchOp::NotRegex)
    }

    /// Not a negation.
    #[must_use]
    pub fn is_equal(self) -> bool {
        matches!(self, MatchOp::Equal | MatchOp::Regex)
    }
}

impl fmt::Display for MatchOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text is no matcher, in the words of Alertmanager.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatcherError {
    #[error("bad matcher format: {0}")]
    BadFormat(String),
    #[error("matcher value contains unescaped double quote: {0}")]
    UnescapedQuote(String),
    #[error(transparent)]
    Regex(#[from] RegexError),
    /// The UTF-8 grammar does not fit; position and expectation are in the text.
    #[error("{0}")]
    Syntax(String),
    #[error("failed to create matcher: {0}")]
    Create(RegexError),
    #[error("unexpected open or close brace: {0}")]
    UnexpectedBrace(String),
    /// Where exactly one matcher is wanted.
    #[error("no matchers")]
    None,
    #[error("expected 1 matcher, found {0}")]
    TooMany(usize),
}

/// One condition on one label.
#[derive(Clone)]
pub struct Matcher {
    op: MatchOp,
    name: Box<str>,
    value: Box<str>,
    /// Present if and only if the operator is one of the regex operators.
    pattern: Option<re2::Anchored>,
}

impl Matcher {
    /// Any name is accepted here; the value must be a valid RE2 expression for the regex operators.
    pub fn new(op: MatchOp, name: impl Into<Box<str>>, value: impl Into<Box<str>>) -> Result<Self, MatcherError> {
        let (name, value) = (name.into(), value.into());
        let pattern = if op.is_regex() { Some(re2::Anchored::new(&value)?) } else { None };
        Ok(Matcher { op, name, value, pattern })
    }

    #[must_use]
    pub fn op(&self) -> MatchOp {
        self.op
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a label of this value fits.
    #[must_use]
    pub fn matches_value(&self, value: &str) -> bool {
        let fits = match &self.pattern {
            Some(pattern) => pattern.is_match(value),
            None => *self.value == *value,
        };
        fits == self.op.is_equal()
    }

    /// Whether the label set fits; a missing label is an empty one.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.matches_value(labels.get(&self.name).unwrap_or(""))
    }

    /// Whether a set without this label fits.
    #[must_use]
    pub fn matches_empty(&self) -> bool {
        self.matches_value("")
    }

    /// The only values that can fit, where they are few and known: `=`, and `=~` of plain alternatives.
    /// Whoever keeps many matchers indexes them by these. Sorted, without repetition.
    #[must_use]
    pub fn literals(&self) -> Option<Literals<'_>> {
        match (self.op, &self.pattern) {
            (MatchOp::Equal, _) => Some(Literals::One(&self.value)),
            (MatchOp::Regex, Some(pattern)) => pattern.literals().map(Literals::Many),
            _ => None,
        }
    }

    fn order_key(&self) -> (&str, &str, MatchOp) {
        (&self.name, &self.value, self.op)
    }
}

/// The values that [`Matcher::literals`] tells.
#[derive(Clone, Copy, Debug)]
pub enum Literals<'a> {
    One(&'a str),
    Many(&'a [Box<str>]),
}

impl<'a> Literals<'a> {
    pub fn iter(self) -> impl Iterator<Item = &'a str> {
        let (one, many) = match self {
            Literals::One(value) => (Some(value), &[][..]),
            Literals::Many(values) => (None, values),
        };
        one.into_iter().chain(many.iter().map(|value| &**value))
    }

    #[must_use]
    pub fn len(self) -> usize {
        match self {
            Literals::One(_) => 1,
            Literals::Many(values) => values.len(),
        }
    }

    /// No value at all can fit.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.order_key() == other.order_key()
    }
}

impl Eq for Matcher {}

impl std::hash::Hash for Matcher {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.order_key().hash(state);
    }
}

/// Canonical order: name, value, operator.
impl Ord for Matcher {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order_key().cmp(&other.order_key())
    }
}

impl PartialOrd for Matcher {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Canonical: `name="value"`, or both quoted as in Go if the name has blanks or reserved characters.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::with_capacity(self.name.len() + self.value.len() + 4);
        if self.name.chars().any(|c| c.is_whitespace() || is_reserved(c)) {
            push_quoted(&mut out, &self.name);
            out.push_str(self.op.as_str());
            push_quoted(&mut out, &self.value);
        } else {
            out.push_str(&self.name);
            out.push_str(self.op.as_str());
            push_open_metrics_quoted(&mut out, &self.value);
        }
        f.write_str(&out)
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Characters that end an unquoted word of the UTF-8 grammar.
fn is_reserved(c: char) -> bool {
    matches!(c, '{' | '}' | '!' | '=' | '~' | ',' | '\\' | '"' | '\'' | '`')
}

fn push_open_metrics_quoted(out: &mut String, value: &str) {
    out.push('"');
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' => out.push_str("\\\""),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A conjunction in canonical order, repetitions kept. Empty: matches everything. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Matchers(Arc<[Matcher]>);

impl Matchers {
    #[must_use]
    pub fn new(mut matchers: Vec<Matcher>) -> Self {
        matchers.sort();
        Matchers(matchers.into())
    }

    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|matcher| matcher.matches(labels))
    }
}

impl Default for Matchers {
    fn default() -> Self {
        Matchers(Arc::from([]))
    }
}

impl std::ops::Deref for Matchers {
    type Target = [Matcher];

    fn deref(&self) -> &[Matcher] {
        &self.0
    }
}

impl FromIterator<Matcher> for Matchers {
    fn from_iter<I: IntoIterator<Item = Matcher>>(matchers: I) -> Self {
        Matchers::new(matchers.into_iter().collect())
    }
}

/// `{a="b",c=~"d"}`: no blanks.
impl fmt::Display for Matchers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, matcher) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            fmt::Display::fmt(matcher, f)?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Matchers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
