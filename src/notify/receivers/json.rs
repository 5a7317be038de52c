//! Writing JSON as Go's encoder does, straight into one buffer: fields in the order they are written, HTML-safe
//! escapes, a newline at the end (reference/receivers.md 0.2).
//!
//! ```ignore
//! let mut out = String::new();
//! let mut object = json::object(&mut out);
//! object.text("summary", summary);
//! object.text_unless_empty("class", class);
//! let mut links = object.array("links");
//! links.object().text("href", href);
//! drop(links);
//! object.end();
//! ```
//!
//! An object or array that is dropped is closed.

use std::fmt::Write as _;

use serde_json::value::RawValue;

use crate::{alert::Labels, config::model::Payload};

/// Opens an object in `out`.
#[must_use]
pub fn object(out: &mut String) -> Object<'_> {
    out.push('{');
    Object { out, first: true }
}

/// Opens an array in `out`.
#[must_use]
pub fn array(out: &mut String) -> Array<'_> {
    out.push('[');
    Array { out, first: true }
}

/// The body of a request: what `write` writes, and the newline that Go's encoder puts at the end.
pub fn body(capacity: usize, write: impl FnOnce(&mut String)) -> String {
    let mut out = String::with_capacity(capacity);
    write(&mut out);
    out.push('\n');
    out
}

/// As [`body`], where writing can fail.
///
/// # Errors
/// Those of `write`.
pub fn try_body<E>(capacity: usize, write: impl FnOnce(&mut String) -> Result<(), E>) -> Result<String, E> {
    let mut written = Ok(());
    let body = body(capacity, |out| written = write(out));
    written.map(|()| body)
}

/// An open object. Values of any other kind are written after [`Object::key`].
pub struct Object<'a> {
    out: &'a mut String,
    first: bool,
}

impl Object<'_> {
    /// Writes the name; the value is for the caller to write, once.
    pub fn key(&mut self, name: &str) -> &mut String {
        self.out.push_str(if std::mem::replace(&mut self.first, false) { "\"" } else { ",\"" });
        push_inner(self.out, name);
        self.out.push_str("\":");
        self.out
    }

    pub fn text(&mut self, name: &str, value: &str) {
        push_text(self.key(name), value);
    }

    /// Go's `omitempty`.
    pub fn text_unless_empty(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.text(name, value);
        }
    }

    pub fn integer(&mut self, name: &str, value: impl Into<i128>) {
        let value = value.into();
        // Writing to a String cannot fail.
        let _ = write!(self.key(name), "{value}");
    }

    pub fn boolean(&mut self, name: &str, value: bool) {
        self.key(name).push_str(if value { "true" } else { "false" });
    }

    pub fn null(&mut self, name: &str) {
        self.key(name).push_str("null");
    }

    pub fn labels(&mut self, name: &str, labels: &Labels) {
        push_pairs(self.key(name), labels.iter());
    }

    pub fn object(&mut self, name: &str) -> Object<'_> {
        object(self.key(name))
    }

    pub fn array(&mut self, name: &str) -> Array<'_> {
        array(self.key(name))
    }

    /// Closes it, as dropping does; reads better at the end of a function.
    pub fn end(self) {}
}

impl Drop for Object<'_> {
    fn drop(&mut self) {
        self.out.push('}');
    }
}

/// An open array.
pub struct Array<'a> {
    out: &'a mut String,
    first: bool,
}

impl Array<'_> {
    /// The place of the next element, for the caller to write, once.
    pub fn element(&mut self) -> &mut String {
        separate(self.out, &mut self.first);
        self.out
    }

    pub fn text(&mut self, value: &str) {
        push_text(self.element(), value);
    }

    pub fn object(&mut self) -> Object<'_> {
        object(self.element())
    }

    /// Closes it, as dropping does.
    pub fn end(self) {}
}

impl Drop for Array<'_> {
    fn drop(&mut self) {
        self.out.push(']');
    }
}

fn separate(out: &mut String, first: &mut bool) {
    if !std::mem::replace(first, false) {
        out.push(',');
    }
}

/// An object of texts, in the order given.
pub fn push_pairs<'p>(out: &mut String, pairs: impl Iterator<Item = (&'p str, &'p str)>) {
    let mut object = object(out);
    for (name, value) in pairs {
        object.text(name, value);
    }
}

/// A JSON string. Besides what JSON demands, `<`, `>`, `&`, U+2028 and U+2029 are escaped.
pub fn push_text(out: &mut String, text: &str) {
    out.push('"');
    push_inner(out, text);
    out.push('"');
}

/// What stands between the quotes.
fn push_inner(out: &mut String, text: &str) {
    if is_plain(text.as_bytes()) {
        out.push_str(text);
    } else {
        push_with_care(out, text);
    }
}

/// Nearly all text is. Long text is looked at in blocks, which the processor compares at once.
fn is_plain(text: &[u8]) -> bool {
    let (blocks, rest) = text.as_chunks::<16>();
    if blocks.iter().any(has_special) {
        return false;
    }
    match text.last_chunk::<16>() {
        // What the last block shares with the one before is looked at twice.
        Some(last) => rest.is_empty() || !has_special(last),
        None => !rest.iter().any(|b| NEEDS_CARE[usize::from(*b)]),
    }
}

/// As [`NEEDS_CARE`] has it, in comparisons.
fn has_special(block: &[u8; 16]) -> bool {
    let is_one_of =
        |b: u8, bytes: [u8; 6]| bytes.iter().fold(u8::from(b < 0x20), |found, one| found | u8::from(b == *one));
    block.iter().fold(0, |found, b| found | is_one_of(*b, *b"\"\\<>&\xE2")) != 0
}

fn push_with_care(out: &mut String, text: &str) {
    let mut rest = text;
    // Looks at bytes: of the characters above 0x7F only U+2028 and U+2029 matter, and both start with E2 80.
    while let Some(at) = rest.bytes().position(|b| NEEDS_CARE[usize::from(b)]) {
        let (plain, special) = rest.split_at(at);
        out.push_str(plain);
        let mut chars = special.chars();
        if let Some(c) = chars.next() {
            push_escaped(out, c);
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
}

const NEEDS_CARE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table[b'<' as usize] = true;
    table[b'>' as usize] = true;
    table[b'&' as usize] = true;
    table[0xE2] = true;
    table
};

fn push_escaped(out: &mut String, c: char) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\x1f' => {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        }
        other => out.push(other),
    }
}

/// JSON that is there already, without the white space between its parts and with the same escapes as
/// [`push_text`] makes.
///
/// # Errors
/// It is not JSON: where, and why.
pub fn push_embedded(out: &mut String, json: &str) -> Result<(), String> {
    let valid: &RawValue = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let (mut in_text, mut escaped) = (false, false);
    for c in valid.get().chars() {
        match c {
            ' ' | '\t' | '\n' | '\r' if !in_text => {}
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => push_escaped(out, c),
            other => out.push(other),
        }
        in_text ^= c == '"' && !escaped;
        escaped = in_text && c == '\\' && !escaped;
    }
    Ok(())
}

/// A number as Go writes a `float64`; JSON has no infinities and no NaN.
///
/// # Errors
/// The value as Go prints it.
pub fn push_float(out: &mut String, value: f64) -> Result<(), String> {
    if !value.is_finite() {
        let name = if value.is_nan() { "NaN" } else { ["+Inf", "-Inf"][usize::from(value < 0.0)] };
        return Err(format!("json: unsupported value: {name}"));
    }
    let size = value.abs();
    let written = if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        // Go keeps the sign of the exponent: 1e21 is 1e+21.
        let positive = text.split_once('e').filter(|(_, exponent)| !exponent.starts_with('-'));
        match positive {
            Some((digits, exponent)) => write!(out, "{digits}e+{exponent}"),
            None => out.write_str(&text),
        }
    } else {
        write!(out, "{value}")
    };
    // Writing to a String cannot fail.
    let _ = written;
    Ok(())
}

/// A free-form value; keys of maps sorted, of a repeated key the last entry.
///
/// # Errors
/// A number that JSON does not have.
pub fn push_payload(out: &mut String, value: &Payload) -> Result<(), String> {
    let written = match value {
        Payload::Null => out.write_str("null"),
        Payload::Bool(value) => write!(out, "{value}"),
        Payload::Int(value) => write!(out, "{value}"),
        Payload::UInt(value) => write!(out, "{value}"),
        Payload::Float(value) => return push_float(out, *value),
        Payload::Text(text) => {
            push_text(out, text);
            return Ok(());
        }
        Payload::List(items) => {
            let mut list = array(out);
            return items.iter().try_for_each(|item| push_payload(list.element(), item));
        }
        Payload::Map(entries) => {
            let sorted: std::collections::BTreeMap<&str, &Payload> =
                entries.iter().map(|(key, value)| (key.as_str(), value)).collect();
            let mut map = object(out);
            return sorted.into_iter().try_for_each(|(key, value)| push_payload(map.key(key), value));
        }
    };
    let _ = written;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(text: &str) -> String {
        let mut out = String::new();
        push_text(&mut out, text);
        out
    }

    fn float(value: f64) -> String {
        let mut out = String::new();
        push_float(&mut out, value).unwrap();
        out
    }

    #[test]
    fn text_is_escaped_as_go_does() {
        assert_eq!(text("a<b>&\"\\\n\r\t\u{8}\u{c}\u{1}"), r#""a\u003cb\u003e\u0026\"\\\n\r\t\b\f\u0001""#);
        assert_eq!(text("ü…\u{2028}\u{2029}😀\u{7f}"), "\"ü…\\u2028\\u2029😀\u{7f}\"");
    }

    #[test]
    fn a_character_that_needs_care_is_seen_wherever_it_stands() {
        for byte in (0..=0x7F).chain([0xE2]) {
            for length in 1..50 {
                for at in [0, length / 3, length / 2, length - 1] {
                    let mut bytes = vec![b'x'; length];
                    bytes[at] = byte;
                    assert_eq!(is_plain(&bytes), !NEEDS_CARE[usize::from(byte)], "{byte:#x} at {at} of {length}");
                }
            }
        }
    }

    #[test]
    fn floats_are_written_as_go_does() {
        let cases = [
            (1.0, "1"),
            (0.5, "0.5"),
            (-0.0, "-0"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e-7, "1.5e-7"),
            (0.000_001, "0.000001"),
            (-2.5e30, "-2.5e+30"),
        ];
        for (value, expected) in cases {
            assert_eq!(float(value), expected);
        }
        assert_eq!(push_float(&mut String::new(), f64::NEG_INFINITY).unwrap_err(), "json: unsupported value: -Inf");
    }

    #[test]
    fn fields_keep_their_order_and_scopes_close_themselves() {
        let mut out = String::new();
        let mut root = object(&mut out);
        root.text("b", "1");
        root.text_unless_empty("gone", "");
        let mut list = root.array("a");
        list.text("x");
        list.object().integer("n", 3);
        list.end();
        root.object("empty").end();
        root.boolean("yes", true);
        root.null("none");
        root.end();
        assert_eq!(out, r#"{"b":"1","a":["x",{"n":3}],"empty":{},"yes":true,"none":null}"#);
    }

    #[test]
    fn embedded_json_is_compacted_and_escaped() {
        let mut out = String::new();
        push_embedded(&mut out, " { \"a b\" : [1.50, \"<\\\\\", \"x \\\" y&\"],\n \"c\": null }\n").unwrap();
        assert_eq!(out, r#"{"a b":[1.50,"\u003c\\","x \" y\u0026"],"c":null}"#);
        for wrong in ["", "plain", "{\"a\":}", "[1] 2"] {
            assert!(push_embedded(&mut String::new(), wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_payload_has_sorted_keys_and_the_last_of_a_repeated_one() {
        let map = Payload::Map(vec![
            ("b".into(), Payload::Int(1)),
            ("a".into(), Payload::List(vec![Payload::Null, Payload::Float(1.5)])),
            ("b".into(), Payload::Bool(true)),
        ]);
        let mut out = String::new();
        push_payload(&mut out, &map).unwrap();
        assert_eq!(out, r#"{"a":[null,1.5],"b":true}"#);
    }

    proptest! {
        #[test]
        fn any_text_reads_back(original: String) {
            let read: String = serde_json::from_str(&text(&original)).unwrap();
            prop_assert_eq!(read, original);
        }
    }
}
