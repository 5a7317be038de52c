//! The verbs of `printf` for booleans, integers and texts. Each tells whether it knew the verb.

use std::fmt::Write as _;

use super::{format::Out, value::IntType};
use crate::alert::text::is_printable;

/// One directive: flags, width, precision, verb.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    pub verb: char,
    pub sharp: bool,
    pub zero: bool,
    pub plus: bool,
    pub minus: bool,
    pub space: bool,
    /// `%#v`
    pub sharp_v: bool,
    /// `%+v`
    pub plus_v: bool,
    pub width: Option<usize>,
    pub precision: Option<usize>,
}

impl Spec {
    pub fn new(verb: char) -> Self {
        Spec { verb, ..Spec::default() }
    }

    pub fn with_verb(&self, verb: char) -> Self {
        Spec { verb, ..self.clone() }
    }
}

/// Fills up to the width, counted in code points.
pub fn padded(out: &mut Out, text: &str, spec: &Spec) {
    let missing = spec.width.unwrap_or(0).saturating_sub(text.chars().count());
    if !spec.minus {
        out.repeat(if spec.zero { '0' } else { ' ' }, missing);
    }
    out.push_str(text);
    if spec.minus {
        out.repeat(' ', missing);
    }
}

pub fn boolean(out: &mut Out, value: bool, spec: &Spec) -> bool {
    let known = matches!(spec.verb, 't' | 'v');
    if known {
        padded(out, if value { "true" } else { "false" }, spec);
    }
    known
}

pub fn integer(out: &mut Out, value: i64, kind: IntType, spec: &Spec) -> bool {
    match spec.verb {
        'v' if spec.sharp_v && kind == IntType::Uint8 => {
            digits(out, value, 16, &Spec { sharp: true, ..spec.with_verb('x') });
        }
        'v' | 'd' => digits(out, value, 10, spec),
        'b' => digits(out, value, 2, spec),
        'o' | 'O' => digits(out, value, 8, spec),
        'x' | 'X' => digits(out, value, 16, spec),
        'c' => padded(out, &code_point(value).to_string(), spec),
        'q' => {
            let c = code_point(value);
            padded(out, &quoted_char(c, spec.plus), spec);
        }
        'U' => unicode(out, value, spec),
        _ => return false,
    }
    true
}

fn code_point(value: i64) -> char {
    u32::try_from(value).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn digits(out: &mut Out, value: i64, base: u64, spec: &Spec) {
    let magnitude = value.unsigned_abs();
    let mut text = in_base(magnitude, base);
    if spec.verb == 'X' {
        text.make_ascii_uppercase();
    }
    let sign = match value {
        i64::MIN..=-1 => "-",
        _ if spec.plus => "+",
        _ if spec.space => " ",
        _ => "",
    };
    let mut wanted = 0;
    if let Some(precision) = spec.precision {
        wanted = precision;
        if precision == 0 && value == 0 {
            // Nothing but padding, even with flags.
            padded(out, "", &Spec { zero: false, ..spec.clone() });
            return;
        }
    } else if spec.zero && !spec.minus && spec.width.is_some() {
        wanted = spec.width.unwrap_or(0).saturating_sub(sign.len());
    }
    let mut number = String::from(sign);
    number.push_str(prefix(base, &text, wanted, spec));
    number.extend(std::iter::repeat_n('0', wanted.saturating_sub(text.len())));
    number.push_str(&text);
    // Zeros have been put in already.
    padded(out, &number, &Spec { zero: false, ..spec.clone() });
}

fn prefix(base: u64, text: &str, wanted: usize, spec: &Spec) -> &'static str {
    match base {
        _ if spec.verb == 'O' && spec.sharp && !text.starts_with('0') && wanted <= text.len() => "0o0",
        _ if spec.verb == 'O' => "0o",
        2 if spec.sharp => "0b",
        8 if spec.sharp && !text.starts_with('0') && wanted <= text.len() => "0",
        16 if spec.sharp && spec.verb == 'X' => "0X",
        16 if spec.sharp => "0x",
        _ => "",
    }
}

fn in_base(mut value: u64, base: u64) -> String {
    let mut reversed = Vec::new();
    loop {
        let digit = u32::try_from(value % base).unwrap_or(0);
        reversed.push(char::from_digit(digit, 16).unwrap_or('0'));
        value /= base;
        if value == 0 {
            break;
        }
    }
    reversed.iter().rev().collect()
}

fn unicode(out: &mut Out, value: i64, spec: &Spec) {
    let width = spec.precision.filter(|p| *p > 4).unwrap_or(4);
    // A negative number shows as its 64 bits.
    let mut text = format!("U+{:0width$X}", value.cast_unsigned());
    if spec.sharp
        && let Some(c) = u32::try_from(value).ok().and_then(char::from_u32)
        && is_printable(c)
    {
        let _ = write!(text, " '{c}'");
    }
    padded(out, &text, &Spec { zero: false, ..spec.clone() });
}

pub fn text(out: &mut Out, text: &str, spec: &Spec) -> bool {
    match spec.verb {
        'v' if spec.sharp_v => quoted(out, text, spec),
        'v' | 's' => padded(out, truncated(text, spec), spec),
        'q' => quoted(out, truncated(text, spec), spec),
        'x' | 'X' => hex(out, text, spec),
        _ => return false,
    }
    true
}

fn truncated<'a>(text: &'a str, spec: &Spec) -> &'a str {
    let Some(precision) = spec.precision else {
        return text;
    };
    let end = text.char_indices().nth(precision).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or(text)
}

fn quoted(out: &mut Out, text: &str, spec: &Spec) {
    let raw = spec.sharp && !text.chars().any(|c| c == '`' || c == '\u{feff}' || (c.is_control() && c != '\t'));
    let literal = if raw {
        format!("`{text}`")
    } else if spec.plus {
        ascii_only(&crate::alert::text::quote(text))
    } else {
        crate::alert::text::quote(text)
    };
    padded(out, &literal, spec);
}

fn ascii_only(literal: &str) -> String {
    let mut out = String::with_capacity(literal.len());
    for c in literal.chars() {
        match u32::from(c) {
            0..0x80 => out.push(c),
            code @ 0x80..0x1_0000 => drop(write!(out, "\\u{code:04x}")),
            code => drop(write!(out, "\\U{code:08x}")),
        }
    }
    out
}

fn quoted_char(c: char, ascii: bool) -> String {
    let literal = match c {
        '\'' => return "'\\''".to_owned(),
        '"' => return "'\"'".to_owned(),
        c => crate::alert::text::quote(&c.to_string()),
    };
    let inner = literal.trim_matches('"');
    format!("'{}'", if ascii { ascii_only(inner) } else { inner.to_owned() })
}

fn hex(out: &mut Out, text: &str, spec: &Spec) {
    let length = spec.precision.map_or(text.len(), |precision| precision.min(text.len()));
    let mark = match (spec.sharp, spec.verb) {
        (true, 'X') => "0X",
        (true, _) => "0x",
        _ => "",
    };
    let mut digits = String::with_capacity(2 * length + 2);
    for (i, byte) in text.bytes().take(length).enumerate() {
        if spec.space && i > 0 {
            digits.push(' ');
        }
        if i == 0 || spec.space {
            digits.push_str(mark);
        }
        let _ = if spec.verb == 'X' { write!(digits, "{byte:02X}") } else { write!(digits, "{byte:02x}") };
    }
    padded(out, &digits, spec);
}
