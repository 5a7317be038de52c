//! The tree of one template. Its `Display` is Go's: error messages quote it.

use std::{fmt, sync::Arc};

/// Byte offset in the template's source.
pub type Pos = usize;

/// One named template: a file's body, a `define`, or a configured string.
#[derive(Debug)]
pub struct Tree {
    pub name: Arc<str>,
    /// The file (or nothing) it was parsed from, and that file's whole text: for error positions.
    pub parse_name: Arc<str>,
    pub source: Arc<str>,
    pub root: Vec<Node>,
}

impl Tree {
    /// `file:line:column` of an offset, the column counted in bytes from 0, as Go prints it.
    pub fn location(&self, pos: Pos) -> String {
        let before = self.source.get(..pos).unwrap_or(&self.source);
        let line = 1 + before.matches('\n').count();
        let column = before.rfind('\n').map_or(before.len(), |newline| before.len() - newline - 1);
        format!("{}:{line}:{column}", self.parse_name)
    }

    /// Only white space, comments and definitions: such a body never replaces another.
    pub fn is_empty(&self) -> bool {
        self.root.iter().all(|node| matches!(node, Node::Text { text, .. } if text.trim().is_empty()))
    }
}

#[derive(Debug)]
pub enum Node {
    Text { text: Arc<str> },
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    Template { pos: Pos, name: Arc<str>, pipe: Option<Pipe> },
    Break(Pos),
    Continue(Pos),
}

#[derive(Debug)]
pub struct Branch {
    pub pipe: Pipe,
    pub body: Vec<Node>,
    pub otherwise: Option<Vec<Node>>,
}

/// `$x := a | b`: commands whose result is the last argument of the next.
#[derive(Debug)]
pub struct Pipe {
    pub pos: Pos,
    /// `=` rather than `:=`.
    pub assign: bool,
    pub declared: Vec<Arc<str>>,
    pub commands: Vec<Command>,
}

#[derive(Debug)]
pub struct Command {
    pub pos: Pos,
    /// At least one.
    pub args: Vec<Operand>,
}

#[derive(Debug)]
pub struct Operand {
    pub pos: Pos,
    pub kind: OperandKind,
}

#[derive(Debug)]
pub enum OperandKind {
    Dot,
    Nil,
    Bool(bool),
    Number(Number),
    Text {
        quoted: Arc<str>,
        text: Arc<str>,
    },
    /// `.A.B`
    Field(Vec<Arc<str>>),
    /// `$x.A.B`, the first with its `$`.
    Variable(Vec<Arc<str>>),
    Function(Arc<str>),
    Pipe(Box<Pipe>),
    /// `(…).A.B`
    Chain(Box<Operand>, Vec<Arc<str>>),
}

/// A constant keeps its text: whether `1e3` is an integer depends on who asks.
#[derive(Debug)]
pub struct Number {
    pub text: Arc<str>,
    pub int: Option<i64>,
    /// Too large for an `int`, but not for 64 bits without sign.
    pub unsigned_only: bool,
    pub float: Option<f64>,
    pub complex: Option<(f64, f64)>,
}

/// What Go writes for a Go string literal in messages, without surprises for plain text.
pub fn quoted(text: &str) -> String {
    crate::alert::text::quote(text)
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.declared.is_empty() {
            write!(f, "{} {} ", self.declared.join(", "), if self.assign { "=" } else { ":=" })?;
        }
        for (i, command) in self.commands.iter().enumerate() {
            write!(f, "{}{command}", if i > 0 { " | " } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, operand) in self.args.iter().enumerate() {
            write!(f, "{}{operand}", if i > 0 { " " } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            OperandKind::Dot => f.write_str("."),
            OperandKind::Nil => f.write_str("nil"),
            OperandKind::Bool(value) => write!(f, "{value}"),
            OperandKind::Number(number) => f.write_str(&number.text),
            OperandKind::Text { quoted, .. } => f.write_str(quoted),
            OperandKind::Field(names) => names.iter().try_for_each(|name| write!(f, ".{name}")),
            OperandKind::Variable(names) => f.write_str(&names.join(".")),
            OperandKind::Function(name) => f.write_str(name),
            OperandKind::Pipe(pipe) => write!(f, "({pipe})"),
            OperandKind::Chain(inner, names) => {
                write!(f, "{inner}")?;
                names.iter().try_for_each(|name| write!(f, ".{name}"))
            }
        }
    }
}
