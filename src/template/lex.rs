//! Template text to tokens, with Go's rules for trimming and for where a token may end.

use super::ast::Pos;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The token's text is the message.
    Error,
    Eof,
    Text,
    LeftDelim,
    RightDelim,
    Space,
    Assign,
    Declare,
    Pipe,
    LeftParen,
    RightParen,
    /// Punctuation without a meaning of its own, such as the comma.
    Char,
    CharConstant,
    Complex,
    Number,
    Quoted,
    RawQuoted,
    Bool,
    Dot,
    Nil,
    Field,
    Variable,
    Identifier,
    Keyword,
}

#[derive(Clone, Debug)]
pub struct Token {
    pub kind: Kind,
    pub pos: Pos,
    /// Line on which it starts, from 1.
    pub line: usize,
    pub text: String,
}

const LEFT: &str = "{{";
const RIGHT: &str = "}}";
const KEYWORDS: [&str; 10] = ["block", "break", "continue", "define", "else", "end", "if", "range", "template", "with"];

/// All tokens of `source`; the last is `Eof` or `Error`.
pub fn tokens(source: &str) -> Vec<Token> {
    let mut lexer = Lexer { source, pos: 0, start: 0, line: 1, start_line: 1, parens: 0, out: Vec::new() };
    let mut state = State::Text;
    while state != State::Done {
        state = match state {
            State::Text => lexer.text(),
            State::Action => lexer.action(),
            State::Done => State::Done,
        };
    }
    lexer.out
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Text,
    Action,
    Done,
}

struct Lexer<'a> {
    source: &'a str,
    pos: usize,
    start: usize,
    line: usize,
    start_line: usize,
    parens: usize,
    out: Vec<Token>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.source.get(self.pos..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        if c == '\n' {
            self.line += 1;
        }
        Some(c)
    }

    fn accept(&mut self, valid: &str) -> bool {
        let found = self.peek().is_some_and(|c| valid.contains(c));
        if found {
            self.next();
        }
        found
    }

    fn accept_run(&mut self, valid: &str) {
        while self.accept(valid) {}
    }

    fn lexeme(&self) -> &'a str {
        self.source.get(self.start..self.pos).unwrap_or("")
    }

    fn emit(&mut self, kind: Kind) {
        let text = self.lexeme().to_owned();
        self.out.push(Token { kind, pos: self.start, line: self.start_line, text });
        self.ignore();
    }

    fn ignore(&mut self) {
        self.start = self.pos;
        self.start_line = self.line;
    }

    /// Skips `bytes` bytes, counting lines.
    fn skip(&mut self, bytes: usize) {
        let skipped = self.rest().get(..bytes).unwrap_or("");
        self.line += skipped.matches('\n').count();
        self.pos += bytes;
    }

    fn fail(&mut self, message: impl Into<String>) -> State {
        self.out.push(Token { kind: Kind::Error, pos: self.start, line: self.start_line, text: message.into() });
        State::Done
    }

    fn text(&mut self) -> State {
        let Some(length) = self.rest().find(LEFT) else {
            self.skip(self.rest().len());
            if self.pos > self.start {
                self.emit(Kind::Text);
            }
            self.emit(Kind::Eof);
            return State::Done;
        };
        let text = self.rest().get(..length).unwrap_or("");
        let trims = starts_with_left_trim(self.rest().get(length + LEFT.len()..).unwrap_or(""));
        let kept = if trims { text.trim_end_matches(is_space) } else { text }.len();
        self.skip(kept);
        if kept > 0 {
            self.emit(Kind::Text);
        }
        self.skip(length - kept);
        self.ignore();
        self.left_delim()
    }

    fn left_delim(&mut self) -> State {
        self.pos += LEFT.len();
        let marker = if starts_with_left_trim(self.rest()) { 2 } else { 0 };
        if self.rest().get(marker..).unwrap_or("").starts_with("/*") {
            self.skip(marker);
            self.ignore();
            return self.comment();
        }
        self.emit(Kind::LeftDelim);
        self.skip(marker);
        self.ignore();
        self.parens = 0;
        State::Action
    }

    fn comment(&mut self) -> State {
        let Some(end) = self.rest().get(2..).and_then(|rest| rest.find("*/")) else {
            return self.fail("unclosed comment");
        };
        self.skip(end + 4);
        let Some(trims) = self.at_right_delim() else {
            return self.fail("comment ends before closing delimiter");
        };
        self.close(trims);
        State::Text
    }

    /// Behind an action or comment: past the delimiter and what its marker trims.
    fn close(&mut self, trims: bool) {
        self.skip(if trims { 2 } else { 0 } + RIGHT.len());
        if trims {
            let rest = self.rest();
            self.skip(rest.len() - rest.trim_start_matches(is_space).len());
        }
        self.ignore();
    }

    /// At the closing delimiter: whether it trims what follows.
    fn at_right_delim(&self) -> Option<bool> {
        let rest = self.rest();
        if starts_with_right_trim(rest) && rest.get(2..).unwrap_or("").starts_with(RIGHT) {
            return Some(true);
        }
        rest.starts_with(RIGHT).then_some(false)
    }

    fn right_delim(&mut self, trims: bool) -> State {
        if trims {
            self.skip(2);
            self.ignore();
        }
        self.pos += RIGHT.len();
        self.emit(Kind::RightDelim);
        if trims {
            let rest = self.rest();
            self.skip(rest.len() - rest.trim_start_matches(is_space).len());
            self.ignore();
        }
        State::Text
    }

    fn action(&mut self) -> State {
        if let Some(trims) = self.at_right_delim() {
            if self.parens > 0 {
                return self.fail("unclosed left paren");
            }
            return self.right_delim(trims);
        }
        let Some(c) = self.peek() else {
            return self.fail("unclosed action");
        };
        if is_space(c) {
            return self.space();
        }
        if is_alphanumeric(c) && !c.is_ascii_digit() {
            return self.identifier();
        }
        match c {
            '+' | '-' | '0'..='9' => return self.number(),
            '.' if self.rest().as_bytes().get(1).is_some_and(u8::is_ascii_digit) => return self.number(),
            _ => {}
        }
        self.next();
        match c {
            '=' => self.emit(Kind::Assign),
            ':' => {
                if self.next() != Some('=') {
                    return self.fail("expected :=");
                }
                self.emit(Kind::Declare);
            }
            '|' => self.emit(Kind::Pipe),
            '(' => {
                self.parens += 1;
                self.emit(Kind::LeftParen);
            }
            ')' => {
                if self.parens == 0 {
                    return self.fail("unexpected right paren");
                }
                self.parens -= 1;
                self.emit(Kind::RightParen);
            }
            '"' => return self.quoted('"', Kind::Quoted, "unterminated quoted string"),
            '\'' => return self.quoted('\'', Kind::CharConstant, "unterminated character constant"),
            '`' => return self.raw_quoted(),
            '.' => return self.field_or_variable(Kind::Field, Kind::Dot),
            '$' => return self.field_or_variable(Kind::Variable, Kind::Variable),
            ' '..='~' => self.emit(Kind::Char),
            c => return self.fail(format!("unrecognized character in action: {}", code_point(c))),
        }
        State::Action
    }

    fn space(&mut self) -> State {
        let mut count = 0;
        let mut before_last = self.pos;
        while self.peek().is_some_and(is_space) {
            before_last = self.pos;
            self.next();
            count += 1;
        }
        // The last blank belongs to a closing delimiter that trims.
        let tail = self.source.get(before_last..).unwrap_or("");
        if starts_with_right_trim(tail) && tail.get(2..).unwrap_or("").starts_with(RIGHT) {
            if tail.starts_with('\n') {
                self.line -= 1;
            }
            self.pos = before_last;
            if count == 1 {
                return self.right_delim(true);
            }
        }
        self.emit(Kind::Space);
        State::Action
    }

    fn identifier(&mut self) -> State {
        self.take_alphanumeric();
        if !self.at_terminator() {
            return self.bad_character();
        }
        let kind = match self.lexeme() {
            word if KEYWORDS.contains(&word) => Kind::Keyword,
            "true" | "false" => Kind::Bool,
            "nil" => Kind::Nil,
            _ => Kind::Identifier,
        };
        self.emit(kind);
        State::Action
    }

    fn field_or_variable(&mut self, kind: Kind, alone: Kind) -> State {
        if self.at_terminator() {
            self.emit(alone);
            return State::Action;
        }
        self.take_alphanumeric();
        if !self.at_terminator() {
            return self.bad_character();
        }
        self.emit(kind);
        State::Action
    }

    fn take_alphanumeric(&mut self) {
        while self.peek().is_some_and(is_alphanumeric) {
            self.next();
        }
    }

    fn bad_character(&mut self) -> State {
        let found = self.peek().map_or_else(|| "end of text".to_owned(), code_point);
        self.fail(format!("bad character {found}"))
    }

    fn at_terminator(&self) -> bool {
        match self.peek() {
            None | Some('.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(c) => is_space(c) || self.rest().starts_with(RIGHT),
        }
    }

    fn quoted(&mut self, quote: char, kind: Kind, unterminated: &str) -> State {
        loop {
            match self.next() {
                Some('\\') => {
                    if matches!(self.next(), None | Some('\n')) {
                        return self.fail(unterminated);
                    }
                }
                None | Some('\n') => return self.fail(unterminated),
                Some(c) if c == quote => break,
                Some(_) => {}
            }
        }
        self.emit(kind);
        State::Action
    }

    fn raw_quoted(&mut self) -> State {
        loop {
            match self.next() {
                None => return self.fail("unterminated raw quoted string"),
                Some('`') => break,
                Some(_) => {}
            }
        }
        self.emit(Kind::RawQuoted);
        State::Action
    }

    fn number(&mut self) -> State {
        if !self.scan_number() {
            return self.bad_number();
        }
        if !matches!(self.peek(), Some('+' | '-')) {
            self.emit(Kind::Number);
            return State::Action;
        }
        // 1+2i
        if !self.scan_number() || !self.lexeme().ends_with('i') {
            return self.bad_number();
        }
        self.emit(Kind::Complex);
        State::Action
    }

    fn bad_number(&mut self) -> State {
        self.fail(format!("bad number syntax: {}", super::ast::quoted(self.lexeme())))
    }

    fn scan_number(&mut self) -> bool {
        const DECIMAL: &str = "0123456789_";
        const HEX: &str = "0123456789abcdefABCDEF_";
        self.accept("+-");
        let mut digits = DECIMAL;
        if self.accept("0") {
            if self.accept("xX") {
                digits = HEX;
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.accept_run(digits);
        if self.accept(".") {
            self.accept_run(digits);
        }
        if (digits == DECIMAL && self.accept("eE")) || (digits == HEX && self.accept("pP")) {
            self.accept("+-");
            self.accept_run(DECIMAL);
        }
        self.accept("i");
        if self.peek().is_some_and(is_alphanumeric) {
            self.next();
            return false;
        }
        true
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn starts_with_left_trim(text: &str) -> bool {
    text.strip_prefix('-').is_some_and(|rest| rest.starts_with(is_space))
}

fn starts_with_right_trim(text: &str) -> bool {
    text.starts_with(is_space) && text.as_bytes().get(1) == Some(&b'-')
}

/// Go's `%#U`.
fn code_point(c: char) -> String {
    if crate::alert::text::is_printable(c) {
        format!("U+{:04X} '{c}'", u32::from(c))
    } else {
        format!("U+{:04X}", u32::from(c))
    }
}
