//! RE2's grammar with Go's (Perl-like) flags. What is refused, and in which words, is Go's.

use super::{
    RegexError,
    ast::{Class, Flags, GroupKind, Look, Node},
};

mod class;
mod escape;

/// Counts above this, alone or as the product of nested ones, are refused.
const REPEAT_MAX: u32 = 1_000;
/// Nested constructs. Go allows 1,000; the crate's compiler is recursive, and this is as much as a thread's
/// stack bears with a wide margin.
const DEPTH_MAX: usize = 250;

pub(super) fn parse(pattern: &str) -> Result<Node, RegexError> {
    Parser::new(pattern).parse()
}

struct Parser<'a> {
    whole: &'a str,
    rest: &'a str,
    /// The group being read is the last.
    open: Vec<Frame>,
    /// The repetition operator that ended just here.
    last_repeat: Option<&'a str>,
}

/// A group that is being read.
struct Frame {
    /// `None` for the whole pattern.
    kind: Option<GroupKind>,
    finished: Vec<Piece>,
    current: Vec<Piece>,
}

/// A construct with the figures that limits are about.
struct Piece {
    node: Node,
    /// Greatest product of nested counts.
    weight: u32,
    depth: usize,
}

impl Piece {
    fn leaf(node: Node) -> Self {
        Piece { node, weight: 1, depth: 1 }
    }
}

impl Frame {
    fn new(kind: Option<GroupKind>) -> Self {
        Frame { kind, finished: Vec::new(), current: Vec::new() }
    }

    /// Ends the alternative that is being read.
    fn finish_alternative(&mut self) {
        let piece = gather(std::mem::take(&mut self.current), Node::Concat);
        self.finished.push(piece);
    }

    fn finish(mut self) -> (Option<GroupKind>, Piece) {
        self.finish_alternative();
        (self.kind, gather(self.finished, Node::Alternate))
    }
}

/// One piece of several; a single one stays what it is.
fn gather(mut pieces: Vec<Piece>, join: fn(Vec<Node>) -> Node) -> Piece {
    if pieces.len() == 1
        && let Some(piece) = pieces.pop()
    {
        return piece;
    }
    Piece {
        weight: pieces.iter().map(|piece| piece.weight).max().unwrap_or(1),
        depth: pieces.iter().map(|piece| piece.depth).max().unwrap_or(0) + 1,
        node: join(pieces.into_iter().map(|piece| piece.node).collect()),
    }
}

impl<'a> Parser<'a> {
    fn new(pattern: &'a str) -> Self {
        Parser { whole: pattern, rest: pattern, open: vec![Frame::new(None)], last_repeat: None }
    }

    fn parse(mut self) -> Result<Node, RegexError> {
        while let Some(c) = self.rest.chars().next() {
            let before = self.rest;
            let repeated = self.construct(c)?;
            self.last_repeat = repeated.then_some(before);
        }
        let (Some(frame), true) = (self.open.pop(), self.open.is_empty()) else {
            return Err(RegexError::new("missing closing )", self.whole));
        };
        Ok(frame.finish().1.node)
    }

    /// Reads what begins with `c`. Returns whether it was a repetition operator.
    fn construct(&mut self, c: char) -> Result<bool, RegexError> {
        match c {
            '(' => self.open_group()?,
            ')' => self.close_group()?,
            '|' => {
                self.skip(1);
                self.frame().finish_alternative();
            }
            '*' | '+' | '?' => {
                let before = self.rest;
                self.skip(1);
                self.repeat(before, u32::from(c == '+'), (c == '?').then_some(1))?;
                return Ok(true);
            }
            '{' => {
                let before = self.rest;
                if let Some((min, max)) = self.counts() {
                    self.repeat_counted(before, min, max)?;
                    return Ok(true);
                }
                self.literal('{');
            }
            '^' => self.leaf(1, Node::Look(Look::Begin)),
            '$' => self.leaf(1, Node::Look(Look::End)),
            '.' => self.leaf(1, Node::Dot),
            '[' => {
                let class = self.bracket_class()?;
                self.push(Node::Class(class));
            }
            '\\' => self.escaped()?,
            c => self.literal(c),
        }
        Ok(false)
    }

    /// A backslash outside of brackets.
    fn escaped(&mut self) -> Result<(), RegexError> {
        let look = match self.rest.as_bytes().get(1) {
            Some(b'A') => Some(Look::TextBegin),
            Some(b'b') => Some(Look::WordBoundary),
            Some(b'B') => Some(Look::NotWordBoundary),
            Some(b'z') => Some(Look::TextEnd),
            Some(b'Q') => {
                self.quoted_literal();
                return Ok(());
            }
            _ => None,
        };
        if let Some(look) = look {
            self.leaf(2, Node::Look(look));
        } else if let Some(item) = self.class_escape()? {
            self.push(Node::Class(Class { negated: false, items: vec![item] }));
        } else {
            let c = self.char_escape()?;
            self.push(Node::Literal(c));
        }
        Ok(())
    }

    /// `\Q…\E`, or up to the end.
    fn quoted_literal(&mut self) {
        self.skip(2);
        let (text, rest) = self.rest.split_once("\\E").unwrap_or((self.rest, ""));
        self.rest = rest;
        for c in text.chars() {
            self.push(Node::Literal(c));
        }
    }

    fn literal(&mut self, c: char) {
        self.leaf(c.len_utf8(), Node::Literal(c));
    }

    /// A construct of that many bytes.
    fn leaf(&mut self, bytes: usize, node: Node) {
        self.skip(bytes);
        self.push(node);
    }

    fn push(&mut self, node: Node) {
        self.frame().current.push(Piece::leaf(node));
    }

    /// The group being read. There always is one: the first is never closed before the end.
    #[allow(clippy::expect_used, reason = "the first frame is popped only by `parse`, which consumes the parser")]
    fn frame(&mut self) -> &mut Frame {
        self.open.last_mut().expect("the frame of the whole pattern")
    }

    /// Over that many bytes, known to be there and to end a character.
    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or("");
    }

    /// What of `before` has been read since.
    fn read_since(&self, before: &'a str) -> &'a str {
        &before[..before.len() - self.rest.len()]
    }

    fn open_group(&mut self) -> Result<(), RegexError> {
        if self.open.len() > DEPTH_MAX {
            return Err(RegexError::new("expression nests too deeply", self.whole));
        }
        if !self.rest.starts_with("(?") {
            self.skip(1);
            self.open.push(Frame::new(Some(GroupKind::Capture(None))));
            return Ok(());
        }
        for opening in ["(?P<", "(?<"] {
            if let Some(after) = self.rest.strip_prefix(opening) {
                return self.open_named_group(after);
            }
        }
        self.open_flag_group()
    }

    /// `after` follows the angle bracket.
    fn open_named_group(&mut self, after: &'a str) -> Result<(), RegexError> {
        let before = self.rest;
        let Some((name, rest)) = after.split_once('>') else {
            return Err(RegexError::new("invalid named capture", before));
        };
        self.rest = rest;
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(RegexError::new("invalid named capture", self.read_since(before)));
        }
        self.open.push(Frame::new(Some(GroupKind::Capture(Some(name.into())))));
        Ok(())
    }

    /// `(?flags)` or `(?flags:`.
    fn open_flag_group(&mut self) -> Result<(), RegexError> {
        let before = self.rest;
        self.skip(2);
        let (mut flags, mut negative, mut bare_minus) = (Flags::default(), false, false);
        while let Some(c) = self.rest.chars().next() {
            self.skip(c.len_utf8());
            match c {
                'i' | 'm' | 's' | 'U' => {
                    bare_minus = false;
                    flags.on.retain(|known| known != c);
                    flags.off.retain(|known| known != c);
                    if negative { flags.off.push(c) } else { flags.on.push(c) }
                }
                '-' if !negative => (negative, bare_minus) = (true, true),
                ')' if !bare_minus => {
                    self.push(Node::Flags(flags));
                    return Ok(());
                }
                ':' if !bare_minus => {
                    self.open.push(Frame::new(Some(GroupKind::Plain(flags))));
                    return Ok(());
                }
                _ => break,
            }
        }
        Err(RegexError::new("invalid or unsupported Perl syntax", self.read_since(before)))
    }

    fn close_group(&mut self) -> Result<(), RegexError> {
        if self.open.len() < 2 {
            return Err(RegexError::new("unexpected )", self.whole));
        }
        self.skip(1);
        if let Some((Some(kind), piece)) = self.open.pop().map(Frame::finish) {
            let node = Node::Group { kind, node: Box::new(piece.node) };
            self.add(Piece { node, weight: piece.weight, depth: piece.depth + 1 })?;
        }
        Ok(())
    }

    fn add(&mut self, piece: Piece) -> Result<(), RegexError> {
        if piece.depth > DEPTH_MAX {
            return Err(RegexError::new("expression nests too deeply", self.whole));
        }
        self.frame().current.push(piece);
        Ok(())
    }

    /// `{2}`, `{2,}`, `{2,3}`. Anything else is no repetition, and nothing is read.
    fn counts(&mut self) -> Option<(u64, Option<u64>)> {
        let (inside, rest) = self.rest.strip_prefix('{')?.split_once('}')?;
        let (min, max) = match inside.split_once(',') {
            None => (count(inside)?, Some(count(inside)?)),
            Some((min, "")) => (count(min)?, None),
            Some((min, max)) => (count(min)?, Some(count(max)?)),
        };
        self.rest = rest;
        Some((min, max))
    }

    fn repeat_counted(&mut self, before: &'a str, min: u64, max: Option<u64>) -> Result<(), RegexError> {
        let small = |count: u64| u32::try_from(count).ok().filter(|count| *count <= REPEAT_MAX);
        let refused = RegexError::new("invalid repeat count", self.read_since(before));
        let Some(least) = small(min) else { return Err(refused) };
        let most = match max {
            None => None,
            Some(max) => match small(max) {
                Some(most) if most >= least => Some(most),
                _ => return Err(refused),
            },
        };
        self.repeat(before, least, most)
    }

    /// Applies the operator that began at `before` to the last construct.
    fn repeat(&mut self, before: &'a str, min: u32, max: Option<u32>) -> Result<(), RegexError> {
        let lazy = self.rest.starts_with('?');
        if lazy {
            self.skip(1);
        }
        let operator = self.read_since(before);
        if let Some(last) = self.last_repeat {
            return Err(RegexError::new("invalid nested repetition operator", self.read_since(last)));
        }
        // Flags are no construct of their own: the operator reaches over them.
        let current = &mut self.frame().current;
        let Some(place) = current.iter().rposition(|piece| !matches!(piece.node, Node::Flags(_))) else {
            return Err(RegexError::new("missing argument to repetition operator", operator));
        };
        let piece = current.remove(place);
        let counted = before.starts_with('{');
        let weight = match max.unwrap_or(min) {
            0 => 1,
            times if counted => piece.weight.saturating_mul(times),
            _ => piece.weight,
        };
        if counted && (min > 1 || max > Some(1)) && weight > REPEAT_MAX {
            return Err(RegexError::new("invalid repeat count", operator));
        }
        let depth = piece.depth + 1;
        if depth > DEPTH_MAX {
            return Err(RegexError::new("expression nests too deeply", self.whole));
        }
        let node = Node::Repeat { node: Box::new(piece.node), min, max, lazy };
        self.frame().current.insert(place, Piece { node, weight, depth });
        Ok(())
    }
}

/// A count without sign; a leading zero makes it no count. Too large ones are a number that is refused later.
fn count(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) || (digits.len() > 1 && digits.starts_with('0'))
    {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}
