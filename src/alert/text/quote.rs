//! Go's double-quoted string literals, and the label-set text made of them.

use std::sync::LazyLock;

use regex::Regex;

use crate::alert::Labels;

/// `text` as a Go string literal in double quotes (`strconv.Quote`).
#[must_use]
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    push_quoted(&mut out, text);
    out
}

/// Appends [`quote`] of `text`.
pub fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(c),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            c if is_printable(c) => out.push(c),
            c if c.is_ascii() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if u32::from(c) < 0x1_0000 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    out.push('"');
}

/// Go's `unicode.IsPrint`: letters, marks, numbers, punctuation, symbols and the ASCII space.
#[must_use]
#[allow(clippy::expect_used, reason = "a constant pattern, compiled in the tests")]
pub fn is_printable(c: char) -> bool {
    static PRINTABLE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^[\pL\pM\pN\pP\pS]").expect("the pattern is well-formed"));
    if c.is_ascii() {
        return matches!(c, ' '..='~');
    }
    PRINTABLE.is_match(c.encode_utf8(&mut [0; 4]))
}

/// The label-set text of group keys: `{a="b", c="d"}`, names raw, values quoted.
#[must_use]
pub fn label_set(labels: &Labels) -> String {
    let mut out = String::from("{");
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        out.push_str(name);
        out.push('=');
        push_quoted(&mut out, value);
    }
    out.push('}');
    out
}

/// Why a text is no Go string literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnquoteError {
    #[error("invalid syntax")]
    Syntax,
    #[error("the text is not valid UTF-8")]
    NotUtf8,
}

/// What a Go string literal in double quotes stands for (`strconv.Unquote`).
pub fn unquote(literal: &str) -> Result<String, UnquoteError> {
    let inner = literal.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or(UnquoteError::Syntax)?;
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        match c {
            '"' | '\n' => return Err(UnquoteError::Syntax),
            '\\' => unescape(&mut rest, &mut bytes)?,
            c => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    String::from_utf8(bytes).map_err(|_| UnquoteError::NotUtf8)
}

/// One escape, its backslash already read.
fn unescape(rest: &mut std::str::Chars<'_>, out: &mut Vec<u8>) -> Result<(), UnquoteError> {
    let byte = match rest.next().ok_or(UnquoteError::Syntax)? {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' => b'\\',
        '"' => b'"',
        'x' => byte(number(rest, 0, 2, 16)?)?,
        first @ '0'..='7' => byte(number(rest, first.to_digit(8).unwrap_or_default(), 2, 8)?)?,
        'u' => return push_char(number(rest, 0, 4, 16)?, out),
        'U' => return push_char(number(rest, 0, 8, 16)?, out),
        _ => return Err(UnquoteError::Syntax),
    };
    out.push(byte);
    Ok(())
}

/// `count` further digits behind those already in `value`.
fn number(rest: &mut std::str::Chars<'_>, mut value: u32, count: usize, radix: u32) -> Result<u32, UnquoteError> {
    for _ in 0..count {
        let digit = rest.next().and_then(|c| c.to_digit(radix)).ok_or(UnquoteError::Syntax)?;
        value = value.wrapping_mul(radix).wrapping_add(digit);
    }
    Ok(value)
}

fn byte(value: u32) -> Result<u8, UnquoteError> {
    u8::try_from(value).map_err(|_| UnquoteError::Syntax)
}

fn push_char(value: u32, out: &mut Vec<u8>) -> Result<(), UnquoteError> {
    let c = char::from_u32(value).ok_or(UnquoteError::Syntax)?;
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quoting_escapes_what_go_does_not_print() {
        for (text, literal) in [
            ("", r#""""#),
            ("a \"q\" <x>", r#""a \"q\" <x>""#),
            ("\x07\x08\x0c\n\r\t\x0b\\", r#""\a\b\f\n\r\t\v\\""#),
            ("\x01\x7f", r#""\x01\x7f""#),
            ("q\n\t\x01\u{200b}\u{a0}\u{ad}\u{2028}x", r#""q\n\t\x01\u200b\u00a0\u00ad\u2028x""#),
            ("N \"é🙂\\", r#""N \"é🙂\\""#),
            ("\u{e0001}\u{1f525}", "\"\\U000e0001\u{1f525}\""),
            ("\u{fffd}\u{e000}", "\"\u{fffd}\\ue000\""),
        ] {
            assert_eq!(quote(text), literal);
            assert_eq!(unquote(literal).as_deref(), Ok(text));
        }
    }

    #[test]
    fn a_label_set_separates_with_comma_and_blank() {
        let labels = Labels::from_pairs([("team", "t&m/1"), ("alertname", "A \"q\" <x>")]);
        assert_eq!(label_set(&labels), r#"{alertname="A \"q\" <x>", team="t&m/1"}"#);
        assert_eq!(label_set(&Labels::default()), "{}");
    }

    #[test]
    fn escapes_of_bytes_and_code_points_are_undone() {
        for (literal, text) in
            [(r#""\xf0\x9f\x99\x82""#, "🙂"), (r#""\u00e9""#, "é"), (r#""\U0001f642""#, "🙂"), (r#""\101\x41""#, "AA")]
        {
            assert_eq!(unquote(literal).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_go_refuses_in_a_literal_is_refused() {
        for literal in [
            "",
            "\"",
            "a",
            "\"a",
            r#""\d""#,
            r#""\'""#,
            r#""\""#,
            "\"a\nb\"",
            r#""a"b""#,
            r#""\x4""#,
            r#""\400""#,
            r#""\ud800""#,
            r#""\U00110000""#,
            r#""\u12""#,
        ] {
            assert_eq!(unquote(literal), Err(UnquoteError::Syntax), "{literal}");
        }
        assert_eq!(unquote(r#""\xff""#), Err(UnquoteError::NotUtf8));
    }

    proptest! {
        #[test]
        fn unquoting_undoes_quoting(text in any::<String>()) {
            prop_assert_eq!(unquote(&quote(&text)), Ok(text));
        }

        #[test]
        fn unquoting_never_panics(text in any::<String>(), escape in r#""(\\[a-zA-Z0-9"'\\]|[0-9a-f]|.)*""#) {
            let _ = unquote(&text);
            let _ = unquote(&escape);
        }
    }
}
