//! A parsed pattern, and how it is written for the `regex` crate.

use std::collections::HashSet;

/// One construct of a pattern.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Literal(char),
    /// `.`
    Dot,
    Look(Look),
    Class(Class),
    /// `(?flags)`: holds for the rest of the group it stands in.
    Flags(Flags),
    Group {
        kind: GroupKind,
        node: Box<Node>,
    },
    Repeat {
        node: Box<Node>,
        min: u32,
        max: Option<u32>,
        /// The operator was followed by `?`.
        lazy: bool,
    },
    Concat(Vec<Node>),
    Alternate(Vec<Node>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// `^`
    Begin,
    /// `$`
    End,
    /// `\A`
    TextBegin,
    /// `\z`
    TextEnd,
    /// `\b`
    WordBoundary,
    /// `\B`
    NotWordBoundary,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GroupKind {
    Capture(Option<Box<str>>),
    Plain(Flags),
}

/// Flags that are switched on and off; the letters are `i`, `m`, `s`, `U`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) on: String,
    pub(super) off: String,
}

impl Flags {
    pub(super) fn is_empty(&self) -> bool {
        self.on.is_empty() && self.off.is_empty()
    }
}

/// A set of characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Class {
    pub(super) negated: bool,
    pub(super) items: Vec<ClassItem>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ClassItem {
    /// Both ends included.
    Range(char, char),
    /// `\d`, `[:alpha:]`: ASCII ranges.
    Ascii { ranges: &'static [(char, char)], negated: bool },
    /// A Unicode property in the crate's words, `gc=Lu`.
    Property { name: String, negated: bool },
    /// A property that no character of a Rust string has: surrogates.
    Nothing { negated: bool },
}

impl ClassItem {
    fn steps(&self) -> u64 {
        match self {
            ClassItem::Range(..) | ClassItem::Nothing { .. } => 1,
            ClassItem::Ascii { ranges, .. } => ranges.len() as u64,
            // Up to some hundred ranges, each of them up to four bytes long.
            ClassItem::Property { .. } => 2_000,
        }
    }
}

/// The pattern in the syntax of the `regex` crate.
pub(super) fn print(node: &Node) -> String {
    let mut printer = Printer::default();
    printer.node(node);
    printer.out
}

/// The same pattern for who asks only whether it matches: no group remembers what it matched.
pub(super) fn print_without_captures(node: &Node) -> String {
    let mut printer = Printer { captures_dropped: true, ..Printer::default() };
    printer.node(node);
    printer.out
}

impl Node {
    /// Steps of its program, roughly.
    pub(super) fn steps(&self) -> u64 {
        match self {
            Node::Literal(_) | Node::Dot | Node::Look(_) | Node::Flags(_) => 1,
            Node::Class(class) => 1 + class.items.iter().map(ClassItem::steps).sum::<u64>(),
            Node::Group { node, .. } => node.steps().saturating_add(2),
            Node::Repeat { node, min, max, .. } => {
                node.steps().saturating_add(1).saturating_mul(u64::from(max.unwrap_or(*min).max(1)))
            }
            Node::Concat(nodes) | Node::Alternate(nodes) => {
                nodes.iter().fold(1, |sum: u64, node| sum.saturating_add(node.steps()))
            }
        }
    }

    /// Groups that remember what they matched.
    pub(super) fn captures(&self) -> u64 {
        match self {
            Node::Literal(_) | Node::Dot | Node::Look(_) | Node::Flags(_) | Node::Class(_) => 0,
            Node::Group { kind, node } => u64::from(matches!(kind, GroupKind::Capture(_))) + node.captures(),
            Node::Repeat { node, .. } => node.captures(),
            Node::Concat(nodes) | Node::Alternate(nodes) => nodes.iter().map(Node::captures).sum(),
        }
    }
}

#[derive(Default)]
struct Printer {
    out: String,
    captures_dropped: bool,
    /// Go allows a group name twice, the crate does not: the first one keeps it.
    names: HashSet<String>,
}

impl Printer {
    fn node(&mut self, node: &Node) {
        match node {
            Node::Literal(c) => self.literal(*c),
            Node::Dot => self.out.push('.'),
            Node::Look(look) => self.out.push_str(match look {
                Look::Begin => "^",
                Look::End => "$",
                Look::TextBegin => r"\A",
                Look::TextEnd => r"\z",
                Look::WordBoundary => r"(?-u:\b)",
                Look::NotWordBoundary => r"(?-u:\B)",
            }),
            Node::Class(class) => self.class(class),
            Node::Flags(flags) => {
                if !flags.is_empty() {
                    self.out.push_str("(?");
                    self.flags(flags);
                    self.out.push(')');
                }
            }
            Node::Group { kind, node } => self.group(kind, node),
            Node::Repeat { node, min, max, lazy } => self.repeat(node, *min, *max, *lazy),
            Node::Concat(nodes) => nodes.iter().for_each(|node| self.node(node)),
            Node::Alternate(nodes) => {
                for (i, node) in nodes.iter().enumerate() {
                    if i > 0 {
                        self.out.push('|');
                    }
                    self.node(node);
                }
            }
        }
    }

    fn literal(&mut self, c: char) {
        if c.is_ascii_punctuation() && c != '<' && c != '>' {
            self.out.push('\\');
        }
        self.out.push(c);
    }

    fn flags(&mut self, flags: &Flags) {
        self.out.push_str(&flags.on);
        if !flags.off.is_empty() {
            self.out.push('-');
            self.out.push_str(&flags.off);
        }
    }

    fn group(&mut self, kind: &GroupKind, node: &Node) {
        self.out.push('(');
        match kind {
            GroupKind::Capture(_) if self.captures_dropped => self.out.push_str("?:"),
            GroupKind::Capture(Some(name))
                if !name.starts_with(|c: char| c.is_ascii_digit()) && self.names.insert(name.to_string()) =>
            {
                self.out.push_str("?P<");
                self.out.push_str(name);
                self.out.push('>');
            }
            GroupKind::Capture(_) => {}
            GroupKind::Plain(flags) => {
                self.out.push('?');
                self.flags(flags);
                self.out.push(':');
            }
        }
        self.node(node);
        self.out.push(')');
    }

    fn repeat(&mut self, node: &Node, min: u32, max: Option<u32>, lazy: bool) {
        // A group of its own keeps the operator from meeting another one, or a look-around.
        let bare = matches!(node, Node::Literal(_) | Node::Dot | Node::Class(_) | Node::Group { .. });
        if !bare {
            self.out.push_str("(?:");
        }
        self.node(node);
        if !bare {
            self.out.push(')');
        }
        match (min, max) {
            (0, None) => self.out.push('*'),
            (1, None) => self.out.push('+'),
            (0, Some(1)) => self.out.push('?'),
            (min, None) => self.out.push_str(&format!("{{{min},}}")),
            (min, Some(max)) => self.out.push_str(&format!("{{{min},{max}}}")),
        }
        if lazy {
            self.out.push('?');
        }
    }

    fn class(&mut self, class: &Class) {
        self.out.push_str(if class.negated { "[^" } else { "[" });
        let before = self.out.len();
        for item in &class.items {
            self.class_item(item);
        }
        if self.out.len() == before {
            // The empty set, in a form that the crate takes.
            self.out.push_str(r"[^\x00-\x{10FFFF}]");
        }
        self.out.push(']');
    }

    fn class_item(&mut self, item: &ClassItem) {
        match item {
            ClassItem::Range(low, high) => self.range(*low, *high),
            ClassItem::Ascii { ranges, negated } => {
                self.out.push_str(if *negated { "[^" } else { "[" });
                for (low, high) in *ranges {
                    self.range(*low, *high);
                }
                self.out.push(']');
            }
            ClassItem::Property { name, negated } => {
                self.out.push_str(if *negated { r"\P{" } else { r"\p{" });
                self.out.push_str(name);
                self.out.push('}');
            }
            ClassItem::Nothing { negated: true } => self.out.push_str(r"\x00-\x{10FFFF}"),
            ClassItem::Nothing { negated: false } => {}
        }
    }

    /// By code point, so that no character can mean anything else.
    fn range(&mut self, low: char, high: char) {
        self.out.push_str(&format!("\\x{{{:X}}}", u32::from(low)));
        if high != low {
            self.out.push_str(&format!("-\\x{{{:X}}}", u32::from(high)));
        }
    }
}
