//! Patterns that need no program: a few plain texts, or plain texts with `.*` and `.+` between them.

use super::ast::{Class, ClassItem, GroupKind, Look, Node};

/// Most texts of [`Shape::Texts`]. A list that people write by hand is shorter.
const TEXTS_MAX: usize = 256;

/// A simple anchored pattern.
#[derive(Debug, PartialEq)]
pub(super) enum Shape {
    /// One of these, sorted and without repetition.
    Texts(Box<[Box<str>]>),
    /// `start`, then for each gap some characters that are no newline, and its text; the last one ends the value.
    Gaps { start: Box<str>, gaps: Box<[Gap]> },
}

#[derive(Debug, PartialEq)]
pub(super) struct Gap {
    /// `.+`: at least one character.
    some: bool,
    text: Box<str>,
}

impl Shape {
    pub(super) fn literals(&self) -> Option<&[Box<str>]> {
        match self {
            Shape::Texts(texts) => Some(texts),
            Shape::Gaps { .. } => None,
        }
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        match self {
            Shape::Texts(texts) => texts.binary_search_by(|known| (**known).cmp(text)).is_ok(),
            Shape::Gaps { start, gaps } => {
                text.strip_prefix(&**start).is_some_and(|rest| matches_gaps(rest, gaps)) && !text.contains('\n')
            }
        }
    }
}

/// The earliest place for each text leaves most for those behind it, so no other needs to be tried.
fn matches_gaps(mut rest: &str, gaps: &[Gap]) -> bool {
    for (i, gap) in gaps.iter().enumerate() {
        if gap.some {
            let mut chars = rest.chars();
            if chars.next().is_none() {
                return false;
            }
            rest = chars.as_str();
        }
        if i + 1 == gaps.len() {
            return rest.ends_with(&*gap.text);
        }
        match rest.find(&*gap.text) {
            Some(at) => rest = &rest[at + gap.text.len()..],
            None => return false,
        }
    }
    rest.is_empty()
}

/// The shape of an anchored pattern, if it has one.
pub(super) fn of(node: &Node) -> Option<Shape> {
    let inner = without_anchors(node)?;
    match texts(inner) {
        Some(mut texts) => {
            texts.sort();
            texts.dedup();
            Some(Shape::Texts(texts.into_iter().map(String::into_boxed_str).collect()))
        }
        None => gaps(inner),
    }
}

/// What stands between `^` and `$`, without groups and anchors that add nothing. `None` if it is not anchored
/// on both sides as a whole.
fn without_anchors(node: &Node) -> Option<&Node> {
    let Node::Concat(nodes) = node else { return None };
    let [Node::Look(Look::Begin | Look::TextBegin), inner, Node::Look(Look::End | Look::TextEnd)] = nodes.as_slice()
    else {
        return None;
    };
    let inner = ungrouped(inner)?;
    Some(without_anchors(inner).unwrap_or(inner))
}

/// The inside of a group; `None` if flags change its meaning.
fn ungrouped(mut node: &Node) -> Option<&Node> {
    while let Node::Group { kind, node: inner } = node {
        if let GroupKind::Plain(flags) = kind
            && !flags.is_empty()
        {
            return None;
        }
        node = inner;
    }
    Some(node)
}

/// All texts that match, if they are few.
fn texts(node: &Node) -> Option<Vec<String>> {
    let found = match node {
        Node::Literal(c) => vec![c.to_string()],
        Node::Class(class) => class_texts(class)?,
        Node::Group { .. } => texts(ungrouped(node)?)?,
        Node::Repeat { node, min: 0, max: Some(1), .. } => {
            let mut found = texts(node)?;
            found.push(String::new());
            found
        }
        Node::Concat(nodes) => {
            let mut found = vec![String::new()];
            for node in nodes {
                found = joined(&found, &texts(node)?)?;
            }
            found
        }
        Node::Alternate(nodes) => {
            let mut found = Vec::with_capacity(nodes.len());
            for node in nodes {
                found.append(&mut texts(node)?);
            }
            found
        }
        Node::Dot | Node::Look(_) | Node::Flags(_) | Node::Repeat { .. } => return None,
    };
    (found.len() <= TEXTS_MAX).then_some(found)
}

fn joined(heads: &[String], tails: &[String]) -> Option<Vec<String>> {
    if heads.len() * tails.len() > TEXTS_MAX {
        return None;
    }
    Some(heads.iter().flat_map(|head| tails.iter().map(move |tail| format!("{head}{tail}"))).collect())
}

/// `[123]`, `[a-c]`.
fn class_texts(class: &Class) -> Option<Vec<String>> {
    let mut found = Vec::new();
    for item in &class.items {
        let (ClassItem::Range(low, high), false) = (item, class.negated) else { return None };
        if u32::from(*high) - u32::from(*low) > 16 || found.len() > 64 {
            return None;
        }
        found.extend((*low..=*high).map(String::from));
    }
    Some(found)
}

fn gaps(node: &Node) -> Option<Shape> {
    let single = std::slice::from_ref(node);
    let nodes = if let Node::Concat(nodes) = node { nodes.as_slice() } else { single };
    let mut start = String::new();
    let mut gaps: Vec<(bool, String)> = Vec::new();
    for node in nodes {
        match node {
            // A gap cannot contain a newline, so a text with one would make the rule of `is_match` wrong.
            Node::Literal(c) if *c != '\n' => gaps.last_mut().map_or(&mut start, |(_, text)| text).push(*c),
            Node::Repeat { node, min: min @ (0 | 1), max: None, .. } if **node == Node::Dot => match gaps.last_mut() {
                // Next to another gap only one of them may ask for a character.
                Some((some, text)) if text.is_empty() => {
                    if *some && *min == 1 {
                        return None;
                    }
                    *some = *some || *min == 1;
                }
                _ => gaps.push((*min == 1, String::new())),
            },
            _ => return None,
        }
    }
    let gaps = gaps.into_iter().map(|(some, text)| Gap { some, text: text.into() }).collect();
    Some(Shape::Gaps { start: start.into(), gaps })
}
