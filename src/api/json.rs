//! Writing JSON as Go does it, straight into a buffer.
//!
//! Two forms of strings are needed: alerts and silences have `<`, `>` and `&` escaped, everything else
//! has them literally (reference/server.md 4.3). Both escape U+2028 and U+2029.

use chrono::{Datelike as _, Timelike as _};

use crate::{alert::Labels, clock::Time};

/// What is to be done with a byte: copied, or looked at closely.
const PLAIN: u8 = 0;
const ESCAPED: u8 = 1;
const HTML: u8 = 2;
/// First byte of U+2000 … U+2FFF, among which the two line separators are.
const SEPARATOR: u8 = 3;

const CLASS: [u8; 256] = {
    let mut class = [PLAIN; 256];
    let mut byte = 0;
    while byte < 0x20 {
        class[byte] = ESCAPED;
        byte += 1;
    }
    class[b'"' as usize] = ESCAPED;
    class[b'\\' as usize] = ESCAPED;
    class[b'<' as usize] = HTML;
    class[b'>' as usize] = HTML;
    class[b'&' as usize] = HTML;
    class[0xE2] = SEPARATOR;
    class
};

/// A string with `<`, `>` and `&` as they are.
pub(super) fn push_string(out: &mut Vec<u8>, text: &str) {
    push(out, text, false);
}

/// A string with `<`, `>` and `&` as `\u003c` and so on.
pub(super) fn push_html_safe(out: &mut Vec<u8>, text: &str) {
    push(out, text, true);
}

fn push(out: &mut Vec<u8>, text: &str, html: bool) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut copied = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let length = match CLASS[usize::from(*byte)] {
            PLAIN => continue,
            HTML if !html => continue,
            SEPARATOR => match bytes.get(at..at + 3) {
                Some([0xE2, 0x80, 0xA8 | 0xA9]) => 3,
                _ => continue,
            },
            _ => 1,
        };
        out.extend_from_slice(&bytes[copied..at]);
        copied = at + length;
        push_escape(out, bytes[copied - 1], length == 3);
    }
    out.extend_from_slice(&bytes[copied..]);
    out.push(b'"');
}

/// The escape for a byte, or for the line separator that ends with it.
fn push_escape(out: &mut Vec<u8>, byte: u8, separator: bool) {
    let short = match byte {
        _ if separator => {
            out.extend_from_slice(if byte == 0xA8 { b"\\u2028" } else { b"\\u2029" });
            return;
        }
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0C => b'f',
        _ => {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// A label set as an object, with strings as `push` writes them.
pub(super) fn push_labels(out: &mut Vec<u8>, labels: &Labels, push: fn(&mut Vec<u8>, &str)) {
    push_object(out, labels.iter(), push);
}

/// An object of strings from pairs in their order.
pub(super) fn push_object<'a>(
    out: &mut Vec<u8>,
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
    push: fn(&mut Vec<u8>, &str),
) {
    out.push(b'{');
    for (index, (name, value)) in pairs.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push(out, name);
        out.push(b':');
        push(out, value);
    }
    out.push(b'}');
}

/// `a` and `b` with commas between: an array of what `push` writes.
pub(super) fn push_array<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut push: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push(out, item);
    }
    out.push(b']');
}

/// A moment as a string in UTC with exactly three digits of a second, cut off.
pub(super) fn push_time(out: &mut Vec<u8>, time: Time) {
    // Digits in place of the zeros, one write.
    let mut text = *b"\"0000-00-00T00:00:00.000Z\"";
    // Asked itself, each of the fields would be moved to the time zone first.
    let time = time.naive_utc();
    let year = time.year().clamp(0, 9999).unsigned_abs();
    let ms = time.nanosecond().min(999_999_999) / 1_000_000;
    let fields = [
        (1, year / 100),
        (3, year % 100),
        (6, time.month()),
        (9, time.day()),
        (12, time.hour()),
        (15, time.minute()),
        (18, time.second()),
        (21, ms / 10),
    ];
    for (at, value) in fields {
        text[at] = digit(value / 10);
        text[at + 1] = digit(value);
    }
    text[23] = digit(ms);
    out.extend_from_slice(&text);
}

fn digit(value: u32) -> u8 {
    b'0' + (value % 10) as u8
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str, push: fn(&mut Vec<u8>, &str)) -> String {
        let mut out = Vec::new();
        push(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn alerts_have_html_escaped_and_the_rest_has_not() {
        assert_eq!(
            written("a<b>&\u{2028}\u{2029}é\u{20ac}", push_html_safe),
            "\"a\\u003cb\\u003e\\u0026\\u2028\\u2029é\u{20ac}\""
        );
        assert_eq!(written("a<b>&\u{2028}", push_string), "\"a<b>&\\u2028\"");
    }

    #[test]
    fn control_characters_are_escaped_as_go_does() {
        assert_eq!(
            written("\"\\\n\r\t\u{8}\u{c}\u{1}\u{1f}\u{7f}", push_string),
            "\"\\\"\\\\\\n\\r\\t\\b\\f\\u0001\\u001f\u{7f}\""
        );
    }

    #[test]
    fn a_time_has_three_digits_cut_off() {
        let mut out = Vec::new();
        push_time(&mut out, DateTime::from_timestamp(1_715_000_049, 123_999_999).unwrap());
        assert_eq!(String::from_utf8(out).unwrap(), "\"2024-05-06T12:54:09.123Z\"");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(text in any::<String>()) {
            for push in [push_string as fn(&mut Vec<u8>, &str), push_html_safe] {
                prop_assert_eq!(&serde_json::from_str::<String>(&written(&text, push)).unwrap(), &text);
            }
        }

        #[test]
        fn times_agree_with_the_text_module(seconds in -62_135_596_800i64..253_402_300_799, nanos in 0u32..1_000_000_000) {
            let time = DateTime::from_timestamp(seconds, nanos).unwrap();
            let mut out = Vec::new();
            push_time(&mut out, time);
            prop_assert_eq!(String::from_utf8(out).unwrap(), format!("\"{}\"", crate::alert::text::format_api_time(time)));
        }
    }
}
