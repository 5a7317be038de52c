//! The encodings of mail: header values as encoded-words (RFC 2047), bodies as quoted-printable (RFC 2045),
//! and the folding of lines that are too long for SMTP.
//!
//! Whatever text enters, what leaves is printable ASCII without a line break of the text's own making: a
//! template's output can neither add a header nor end one.

use std::{borrow::Cow, fmt::Write};

/// Longest encoded-word, its `=?utf-8?q?` and `?=` included.
const WORD_MAX: usize = 75;
const WORD_OPEN: &str = "=?utf-8?q?";
const WORD_CLOSE: &str = "?=";

/// Longest line of a quoted-printable body, a soft break's `=` included.
const BODY_LINE_MAX: usize = 76;

/// Longest line that every server must take (RFC 5322 2.1.1), without its line break.
const HEADER_LINE_MAX: usize = 998;

/// A header value fit for a header: as it is if it is printable ASCII, else encoded as a whole.
pub(super) fn header_value(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|b| matches!(b, b' '..=b'~' | b'\t')) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(encoded_words(text))
    }
}

fn encoded_words(text: &str) -> String {
    let room = WORD_MAX - WORD_OPEN.len() - WORD_CLOSE.len();
    let mut out = String::with_capacity(text.len() * 3 / 2 + WORD_MAX);
    out.push_str(WORD_OPEN);
    let mut used = 0;
    for c in text.chars() {
        let plain = matches!(c, ' '..='~') && !matches!(c, '=' | '?' | '_');
        let width = if plain { 1 } else { 3 * c.len_utf8() };
        // A character is never split over two words.
        if used + width > room {
            out.push_str(WORD_CLOSE);
            out.push(' ');
            out.push_str(WORD_OPEN);
            used = 0;
        }
        used += width;
        match c {
            ' ' => out.push('_'),
            c if plain => out.push(c),
            c => c.encode_utf8(&mut [0; 4]).bytes().for_each(|b| push_escaped(&mut out, b)),
        }
    }
    out.push_str(WORD_CLOSE);
    out
}

fn push_escaped(out: &mut String, byte: u8) {
    // Writing to a String does not fail.
    let _ = write!(out, "={byte:02X}");
}

/// Appends `name: value` and the line break. A line over the limit of RFC 5322 is folded at spaces, where it
/// has any: some servers refuse the whole mail for one long line.
pub(super) fn push_header(out: &mut String, name: &str, value: &str) {
    let line = format!("{name}: {value}");
    let mut rest = line.as_str();
    // The space after the colon is no place to fold: some readers take an empty first line amiss.
    let mut from = name.len() + 2;
    while rest.len() > HEADER_LINE_MAX {
        let Some((first, after)) = fold_position(rest, from).and_then(|at| rest.split_at_checked(at)) else { break };
        out.push_str(first);
        out.push_str("\r\n");
        rest = after;
        from = 1;
    }
    out.push_str(rest);
    out.push_str("\r\n");
}

/// Where the last space is, after `from` and within the limit, that has something visible on both its sides.
fn fold_position(line: &str, from: usize) -> Option<usize> {
    let bytes = line.as_bytes();
    let visible = |at: usize| bytes.get(at).is_some_and(|b| !matches!(b, b' ' | b'\t'));
    let first_visible = (from..line.len()).find(|at| visible(*at))?;
    (first_visible + 1..=HEADER_LINE_MAX).rev().find(|at| bytes.get(*at) == Some(&b' ') && visible(at + 1))
}

/// Lower-case hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a String does not fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// Appends a body in quoted-printable: lines of at most 76 characters, every line break `\r\n`, spaces at the
/// end of a line escaped.
pub(super) fn push_quoted_printable(out: &mut String, body: &str) {
    let mut column = 0;
    let mut bytes = body.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\r' | b'\n' => {
                if byte == b'\r' {
                    bytes.next_if_eq(&b'\n');
                }
                out.push_str("\r\n");
                column = 0;
            }
            b' ' | b'\t' if matches!(bytes.peek(), None | Some(b'\r' | b'\n')) => {
                soft_break(out, &mut column, 3);
                push_escaped(out, byte);
            }
            b' '..=b'<' | b'>'..=b'~' | b'\t' => {
                soft_break(out, &mut column, 1);
                out.push(char::from(byte));
            }
            _ => {
                soft_break(out, &mut column, 3);
                push_escaped(out, byte);
            }
        }
    }
}

/// Breaks the line if `width` more characters and a soft break's `=` do not fit; counts them.
fn soft_break(out: &mut String, column: &mut usize, width: usize) {
    if *column + width >= BODY_LINE_MAX {
        out.push_str("=\r\n");
        *column = 0;
    }
    *column += width;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quoted(body: &str) -> String {
        let mut out = String::new();
        push_quoted_printable(&mut out, body);
        out
    }

    /// What a mail reader makes of quoted-printable.
    fn unquoted(text: &str) -> Vec<u8> {
        let joined = text.replace("=\r\n", "");
        let (mut out, mut bytes) = (Vec::new(), joined.bytes());
        while let Some(b) = bytes.next() {
            if b != b'=' {
                out.push(b);
                continue;
            }
            let hex: String = bytes.by_ref().take(2).map(char::from).collect();
            out.push(u8::from_str_radix(&hex, 16).unwrap());
        }
        out
    }

    /// What a mail reader makes of an encoded value.
    fn decoded(value: &str) -> String {
        let words: String =
            value.split(' ').map(|w| w.strip_prefix(WORD_OPEN).unwrap().strip_suffix(WORD_CLOSE).unwrap()).collect();
        String::from_utf8(unquoted(&words.replace('_', " "))).unwrap()
    }

    #[test]
    fn header_values_are_encoded_as_a_whole_or_not_at_all() {
        let cases = [
            ("[FIRING:1] High (eu-1)", "[FIRING:1] High (eu-1)"),
            ("tab\tstays", "tab\tstays"),
            ("a=b?c_d", "a=b?c_d"),
            ("", ""),
            ("Störung: a=b?c_d", "=?utf-8?q?St=C3=B6rung:_a=3Db=3Fc=5Fd?="),
            ("🔥", "=?utf-8?q?=F0=9F=94=A5?="),
            ("x\r\nBcc: evil@example.org", "=?utf-8?q?x=0D=0ABcc:_evil@example.org?="),
            ("del\x7f", "=?utf-8?q?del=7F?="),
            ("ä\tb", "=?utf-8?q?=C3=A4=09b?="),
        ];
        for (text, expected) in cases {
            assert_eq!(header_value(text), expected);
        }
    }

    #[test]
    fn long_values_become_several_words_between_characters() {
        let value = header_value("Žluťoučký Žluťoučký Žluťoučký").into_owned();
        assert_eq!(
            value,
            "=?utf-8?q?=C5=BDlu=C5=A5ou=C4=8Dk=C3=BD_=C5=BDlu=C5=A5ou=C4=8Dk=C3=BD_?= =?utf-8?q?=C5=BDlu=C5=A5ou=C4=8Dk=C3=BD?="
        );
    }

    #[test]
    fn a_header_line_over_998_bytes_is_folded_and_a_shorter_one_is_not() {
        let mut out = String::new();
        push_header(&mut out, "Subject", &"a".repeat(900));
        assert_eq!(out.lines().count(), 1);
        out.clear();
        let words = ["word"; 600].join(" ");
        push_header(&mut out, "Subject", &words);
        assert!(out.split("\r\n").all(|line| line.len() <= 998));
        assert_eq!(out.replace("\r\n ", " "), format!("Subject: {words}\r\n"));
        out.clear();
        push_header(&mut out, "Subject", &"a".repeat(2000));
        assert_eq!(out.split("\r\n").count(), 2, "without a space it has to stay one line");
    }

    #[test]
    fn bodies_are_quoted_printable() {
        let long = "x".repeat(80);
        let cases = [
            ("plain", "plain".to_owned()),
            ("a=b", "a=3Db".to_owned()),
            ("é", "=C3=A9".to_owned()),
            ("end \nnext\t", "end=20\r\nnext=09".to_owned()),
            ("a\r\nb\nc\rd", "a\r\nb\r\nc\r\nd".to_owned()),
            ("\n\n", "\r\n\r\n".to_owned()),
            (".dot", ".dot".to_owned()),
            (long.as_str(), format!("{}=\r\n{}", "x".repeat(75), "x".repeat(5))),
        ];
        for (body, expected) in cases {
            assert_eq!(quoted(body), expected);
        }
    }

    proptest! {
        #[test]
        fn any_header_value_is_one_line_and_comes_back(text in "(?s).{0,300}") {
            let value = header_value(&text);
            prop_assert!(value.bytes().all(|b| matches!(b, b' '..=b'~' | b'\t')));
            if let Cow::Owned(words) = &value {
                prop_assert!(words.split(' ').all(|word| word.len() <= WORD_MAX));
                prop_assert_eq!(decoded(words), text);
            }
        }

        #[test]
        fn a_folded_header_has_no_line_without_text(words in proptest::collection::vec("[a-z]{0,40}|\t", 0..120)) {
            let value = words.join(" ");
            let mut out = String::new();
            push_header(&mut out, "To", &value);
            prop_assert_eq!(out.replace("\r\n ", " "), format!("To: {value}\r\n"));
            let lines: Vec<&str> = out.trim_end_matches("\r\n").split("\r\n").collect();
            if lines.len() > 1 {
                prop_assert!(lines.iter().all(|line| line.len() <= 998 && !line.trim().is_empty()));
            }
        }

        #[test]
        fn any_body_is_short_ascii_lines_and_comes_back(body in "(?s)(.|[ =\n\r\t]){0,300}") {
            let text = quoted(&body);
            prop_assert!(text.split("\r\n").all(|line| line.len() <= BODY_LINE_MAX && !line.ends_with([' ', '\t'])));
            prop_assert!(text.bytes().all(|b| matches!(b, b' '..=b'~' | b'\t' | b'\r' | b'\n')));
            let normal = body.replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n");
            prop_assert_eq!(unquoted(&text), normal.as_bytes());
        }
    }
}
