//! The UTF-8 grammar: any label name, values in Go quotes or bare.
//!
//! `[{] matcher (, matcher)* [,] [}]`. Places in error texts count characters, as Alertmanager's do.

use std::fmt;

use super::{MatchOp, Matcher, MatcherError, is_reserved};
use crate::alert::text::unquote;

/// Zero or more matchers; braces both or none.
pub(super) fn matchers(input: &str) -> Result<Vec<Matcher>, MatcherError> {
    Parser::new(input).list()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    OpenBrace,
    CloseBrace,
    Comma,
    Op(MatchOp),
    Word,
    Quoted,
}

/// A piece of the input with its place.
#[derive(Clone, Copy, Debug)]
struct Token<'a> {
    kind: Kind,
    text: &'a str,
    start: usize,
    end: usize,
}

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.start, self.end, self.text)
    }
}

const LABEL_NAME: &str = "expected label name";
const LABEL_VALUE: &str = "expected label value";
const OPERATOR: &str = "expected an operator such as '=', '!=', '=~' or '!~'";
const COMMA_OR_CLOSE: &str = "expected a comma or close brace";
const MATCHER_OR_CLOSE: &str = "expected a matcher or close brace after comma";
const END: &str = "expected end of input";

#[derive(Clone, Copy)]
struct Parser<'a> {
    rest: &'a str,
    /// Characters before `rest`.
    at: usize,
    /// Where the last token ended.
    last_end: usize,
}

impl<'a> Parser<'a> {
    fn new(input: &'a str) -> Self {
        Parser { rest: input, at: 0, last_end: 0 }
    }

    fn list(mut self) -> Result<Vec<Matcher>, MatcherError> {
        let open = self.peek().map_err(MatcherError::Syntax)?.is_some_and(|token| token.kind == Kind::OpenBrace);
        if open {
            self.advance("")?;
        }
        let mut found = Vec::new();
        let first = self.peek().map_err(MatcherError::Syntax)?;
        if first.is_some_and(|token| token.kind != Kind::CloseBrace) {
            self.matchers(&mut found)?;
        }
        self.close(open)?;
        match self.peek().map_err(|e| with(&e, END))? {
            None => Ok(found),
            Some(token) => Err(with(&token, END)),
        }
    }

    fn matchers(&mut self, found: &mut Vec<Matcher>) -> Result<(), MatcherError> {
        loop {
            found.push(self.matcher()?);
            match self.peek().map_err(|e| with(&e, COMMA_OR_CLOSE))?.map(|token| (token.kind, token)) {
                Some((Kind::Comma, _)) => drop(self.advance(COMMA_OR_CLOSE)?),
                Some((Kind::CloseBrace, _)) | None => return Ok(()),
                Some((_, token)) => return Err(unexpected(Some(token), COMMA_OR_CLOSE)),
            }
            match self.peek().map_err(|e| with(&e, MATCHER_OR_CLOSE))?.map(|token| (token.kind, token)) {
                Some((Kind::Word | Kind::Quoted, _)) => {}
                Some((Kind::CloseBrace, _)) | None => return Ok(()),
                Some((_, token)) => return Err(unexpected(Some(token), MATCHER_OR_CLOSE)),
            }
        }
    }

    fn close(&mut self, open: bool) -> Result<(), MatcherError> {
        // The places of these two count from the start of the input.
        match (open, self.advance("")?) {
            (true, Some(Token { kind: Kind::CloseBrace, .. })) | (false, None) => Ok(()),
            (false, Some(token)) => {
                Err(MatcherError::Syntax(format!("0:{}: {}: expected opening brace", token.end, token.text)))
            }
            (true, _) => Err(MatcherError::Syntax(format!("0:{}: end of input: expected close brace", self.last_end))),
        }
    }

    fn matcher(&mut self) -> Result<Matcher, MatcherError> {
        let name = self.text(LABEL_NAME)?;
        let op = match self.advance(OPERATOR)? {
            Some(Token { kind: Kind::Op(op), .. }) => op,
            other => return Err(unexpected(other, OPERATOR)),
        };
        let value = self.text(LABEL_VALUE)?;
        Matcher::new(op, name, value).map_err(|e| match e {
            MatcherError::Regex(e) => MatcherError::Create(e),
            other => other,
        })
    }

    /// A name or value, quoted or not.
    fn text(&mut self, expected: &'static str) -> Result<String, MatcherError> {
        match self.advance(expected)? {
            Some(Token { kind: Kind::Word, text, .. }) => Ok(text.to_owned()),
            Some(token) if token.kind == Kind::Quoted => {
                unquote(token.text).map_err(|_| MatcherError::Syntax(format!("{token}: invalid input")))
            }
            other => Err(unexpected(other, expected)),
        }
    }

    /// The next token, left where it is.
    fn peek(mut self) -> Result<Option<Token<'a>>, String> {
        self.token()
    }

    fn advance(&mut self, expected: &'static str) -> Result<Option<Token<'a>>, MatcherError> {
        self.token().map_err(|e| with(&e, expected))
    }

    /// `Ok(None)` at the end of the input.
    fn token(&mut self) -> Result<Option<Token<'a>>, String> {
        self.take_while(char::is_whitespace);
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        let before = *self;
        let kind = match first {
            '{' => Kind::OpenBrace,
            '}' => Kind::CloseBrace,
            ',' => Kind::Comma,
            '=' if self.rest.starts_with("=~") => Kind::Op(MatchOp::Regex),
            '=' => Kind::Op(MatchOp::Equal),
            '!' if self.rest.starts_with("!=") => Kind::Op(MatchOp::NotEqual),
            '!' if self.rest.starts_with("!~") => Kind::Op(MatchOp::NotRegex),
            '!' => return Err(self.half_operator()),
            '"' => return self.quoted().map(Some),
            c if is_reserved(c) => return Err(format!("{}:{}: {c}: invalid input", self.at, self.at + 1)),
            _ => {
                self.take_while(|c| !c.is_whitespace() && !is_reserved(c));
                return Ok(Some(self.since(before, Kind::Word)));
            }
        };
        self.skip(if let Kind::Op(op) = kind { op.as_str().len() } else { 1 });
        Ok(Some(self.since(before, kind)))
    }

    /// A `!` without its second half.
    fn half_operator(&self) -> String {
        let place = format!("{}:{}", self.at, self.at + 1);
        match self.rest.len() {
            1 => format!("{place}: unexpected end of input, expected one of '=~'"),
            _ => format!("{place}: !: expected one of '=~'"),
        }
    }

    fn quoted(&mut self) -> Result<Token<'a>, String> {
        let before = *self;
        self.skip(1);
        let mut escaped = false;
        let mut closed = false;
        self.take_while(|c| {
            let go_on = !closed;
            closed = closed || (c == '"' && !escaped);
            escaped = c == '\\' && !escaped;
            go_on
        });
        let token = self.since(before, Kind::Quoted);
        if closed { Ok(token) } else { Err(format!("{token}: missing end \"")) }
    }

    fn since(&mut self, before: Parser<'a>, kind: Kind) -> Token<'a> {
        self.last_end = self.at;
        let text = &before.rest[..before.rest.len() - self.rest.len()];
        Token { kind, text, start: before.at, end: self.at }
    }

    fn take_while(&mut self, mut keep: impl FnMut(char) -> bool) {
        let (mut bytes, mut count) = (0, 0);
        for c in self.rest.chars().take_while(|c| keep(*c)) {
            bytes += c.len_utf8();
            count += 1;
        }
        self.rest = &self.rest[bytes..];
        self.at += count;
    }

    /// Over that many ASCII characters, which are known to be there.
    fn skip(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or("");
        self.at += count;
    }
}

fn with(what: &impl fmt::Display, expected: &str) -> MatcherError {
    MatcherError::Syntax(if expected.is_empty() { what.to_string() } else { format!("{what}: {expected}") })
}

fn unexpected(token: Option<Token<'_>>, expected: &str) -> MatcherError {
    MatcherError::Syntax(match token {
        Some(Token { text, start, end, .. }) => format!("{start}:{end}: unexpected {text}: {expected}"),
        None => format!("end of input: {expected}"),
    })
}
