//! The grammar Alertmanager began with: `{name="value",name=~value}` with classic label names.

use super::{MatchOp, Matcher, MatcherError};

/// A list; the brace at either end is optional and stripped on its own.
pub(super) fn matchers(input: &str) -> Result<Vec<Matcher>, MatcherError> {
    let inner = input.strip_prefix('{').unwrap_or(input);
    let inner = inner.strip_suffix('}').unwrap_or(inner);
    let mut pieces = split(inner);
    // Only the last piece loses all its outer blanks, and may then be empty.
    let last = pieces.pop().unwrap_or("").trim();
    if !last.is_empty() {
        pieces.push(last);
    }
    pieces.into_iter().map(matcher).collect()
}

/// Cuts at commas outside double quotes.
fn split(input: &str) -> Vec<&str> {
    let (mut pieces, mut start) = (Vec::new(), 0);
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in input.bytes().enumerate() {
        match byte {
            b',' if !quoted => {
                pieces.push(&input[start..at]);
                start = at + 1;
            }
            b'"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = byte == b'\\' && !escaped;
    }
    pieces.push(&input[start..]);
    pieces
}

/// One piece: blanks, name, operator and value.
pub(super) fn matcher(input: &str) -> Result<Matcher, MatcherError> {
    let (name, op, raw) = parts(input).ok_or_else(|| MatcherError::BadFormat(input.to_owned()))?;
    let value = unescape(raw).ok_or_else(|| MatcherError::UnescapedQuote(raw.to_owned()))?;
    Matcher::new(op, name, value)
}

fn parts(input: &str) -> Option<(&str, MatchOp, &str)> {
    let input = input.trim_matches(is_blank);
    let name_len = input.find(|c: char| !is_name_char(c)).unwrap_or(input.len());
    let (name, rest) = input.split_at(name_len);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let rest = rest.trim_start_matches(is_blank);
    let ops = [MatchOp::Regex, MatchOp::Equal, MatchOp::NotEqual, MatchOp::NotRegex];
    let (op, value) = ops.into_iter().find_map(|op| Some((op, rest.strip_prefix(op.as_str())?)))?;
    Some((name, op, value.trim_start_matches(is_blank)))
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0c')
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// The value without its optional quotes; `None` if a quote stands anywhere else unescaped.
fn unescape(raw: &str) -> Option<String> {
    let (mut open, body) = match raw.strip_prefix('"') {
        Some(body) => (true, body),
        None => (false, raw),
    };
    let mut value = String::with_capacity(body.len());
    let mut rest = body.chars();
    while let Some(c) = rest.next() {
        match c {
            '"' => {
                if !open || !rest.as_str().is_empty() {
                    return None;
                }
                open = false;
            }
            '\\' => match rest.next() {
                Some('n') => value.push('\n'),
                Some(c @ ('"' | '\\')) => value.push(c),
                Some(c) => value.extend(['\\', c]),
                None => value.push('\\'),
            },
            c => value.push(c),
        }
    }
    (!open).then_some(value)
}
