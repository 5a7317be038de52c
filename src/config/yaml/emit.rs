//! Writing YAML: block style, keys in the order given, quotes only where needed, lines never folded.

use std::fmt::Write as _;

use super::scalar::{self, Scalar};

/// A document to be written, and a free-form value that was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Doc {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(f64),
    Text(String),
    List(Vec<Doc>),
    /// Written as `[a, b]`.
    FlowList(Vec<Doc>),
    Map(Vec<(Doc, Doc)>),
}

impl From<&str> for Doc {
    fn from(text: &str) -> Self {
        Doc::Text(text.to_owned())
    }
}

/// The text of a document; ends with a line feed.
#[must_use]
pub fn to_text(doc: &Doc) -> String {
    let mut out = String::new();
    match doc {
        Doc::Map(entries) if !entries.is_empty() => write_map(&mut out, entries, 0, false),
        Doc::List(items) if !items.is_empty() => write_list(&mut out, items, 0, false),
        other => {
            write_inline(&mut out, other, 0, Place::Block);
            out.push('\n');
        }
    }
    out
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Block,
    Flow,
    Key,
}

/// `inline`: the first entry goes on after the dash that is already there.
fn write_map(out: &mut String, entries: &[(Doc, Doc)], indent: usize, inline: bool) {
    for (index, (key, value)) in entries.iter().enumerate() {
        if index > 0 || !inline {
            push_indent(out, indent);
        }
        write_inline(out, key, indent, Place::Key);
        out.push(':');
        match value {
            Doc::Map(entries) if !entries.is_empty() => {
                out.push('\n');
                write_map(out, entries, indent + 2, false);
            }
            // A list below a key stands at the key's own depth.
            Doc::List(items) if !items.is_empty() => {
                out.push('\n');
                write_list(out, items, indent, false);
            }
            other => {
                out.push(' ');
                write_inline(out, other, indent, Place::Block);
                out.push('\n');
            }
        }
    }
}

fn write_list(out: &mut String, items: &[Doc], indent: usize, inline: bool) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 || !inline {
            push_indent(out, indent);
        }
        out.push_str("- ");
        match item {
            Doc::Map(entries) if !entries.is_empty() => write_map(out, entries, indent + 2, true),
            Doc::List(items) if !items.is_empty() => write_list(out, items, indent + 2, true),
            other => {
                write_inline(out, other, indent, Place::Block);
                out.push('\n');
            }
        }
    }
}

fn push_indent(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn write_inline(out: &mut String, doc: &Doc, indent: usize, place: Place) {
    // Writing to a String cannot fail.
    let _ = match doc {
        Doc::Null => write!(out, "null"),
        Doc::Bool(value) => write!(out, "{value}"),
        Doc::Int(value) => write!(out, "{value}"),
        Doc::UInt(value) => write!(out, "{value}"),
        Doc::Float(value) => write!(out, "{}", float(*value)),
        Doc::Text(text) => {
            write_text(out, text, indent, place);
            Ok(())
        }
        Doc::List(items) | Doc::FlowList(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_inline(out, item, indent, Place::Flow);
            }
            out.push(']');
            Ok(())
        }
        // Maps with entries are written as blocks before they come here, except as a key, which none is.
        Doc::Map(_) => write!(out, "{{}}"),
    };
}

fn float(value: f64) -> String {
    if value.is_nan() {
        return ".nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-4..1e21).contains(&magnitude) {
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    format!("{value}")
}

fn write_text(out: &mut String, text: &str, indent: usize, place: Place) {
    let shape = Shape::of(text);
    if text.contains('\n') {
        if place == Place::Block && shape.block {
            write_literal(out, text, indent + 2);
        } else {
            write_double_quoted(out, text);
        }
        return;
    }
    if scalar::untagged(text) != Scalar::Text || is_sexagesimal(text) {
        return write_double_quoted(out, text);
    }
    let plain = if place == Place::Flow { shape.flow_plain } else { shape.block_plain };
    if plain {
        out.push_str(text);
    } else if shape.single_quoted {
        out.push('\'');
        out.push_str(&text.replace('\'', "''"));
        out.push('\'');
    } else {
        write_double_quoted(out, text);
    }
}

/// `1:30`, `-190:20:30.15`: numbers to other parsers of YAML 1.1.
fn is_sexagesimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mut parts = unsigned.split(':');
    let first_fits = parts.next().is_some_and(|first| {
        first.starts_with(|c: char| c.is_ascii_digit()) && first.bytes().all(|b| b.is_ascii_digit() || b == b'_')
    });
    let rest: Vec<&str> = parts.collect();
    let Some((last, middle)) = rest.split_last() else { return false };
    let (last, fraction) = last.split_once('.').unwrap_or((last, ""));
    let sixty = |part: &str| match part.as_bytes() {
        [one] => one.is_ascii_digit(),
        [ten, one] => (b'0'..=b'5').contains(ten) && one.is_ascii_digit(),
        _ => false,
    };
    first_fits
        && middle.iter().all(|part| sixty(part))
        && sixty(last)
        && fraction.bytes().all(|b| b.is_ascii_digit() || b == b'_')
}

/// Which styles can hold a text.
struct Shape {
    block_plain: bool,
    flow_plain: bool,
    single_quoted: bool,
    block: bool,
}

impl Shape {
    fn of(text: &str) -> Self {
        let mut shape = Shape { block_plain: true, flow_plain: true, single_quoted: true, block: true };
        if text.is_empty() {
            return Shape { block_plain: false, flow_plain: false, single_quoted: false, block: false };
        }
        let (mut block_indicator, mut flow_indicator) = (text.starts_with("---") || text.starts_with("..."), false);
        let (mut before, mut special) = (None::<char>, false);
        let (mut space_break, mut break_space) = (false, false);
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let followed_by_blank = chars.peek().is_none_or(|next| is_blank(*next));
            match (before, c) {
                (
                    None,
                    '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`',
                ) => {
                    block_indicator = true;
                }
                (None, '?' | ':') | (_, ':') => {
                    flow_indicator = true;
                    block_indicator |= followed_by_blank;
                }
                (None, '-') => block_indicator |= followed_by_blank,
                (_, ',' | '?' | '[' | ']' | '{' | '}') => flow_indicator = true,
                (Some(before), '#') => block_indicator |= is_blank(before),
                _ => {}
            }
            special |= !is_printable(c);
            match (before, c) {
                (Some(' '), '\n') => space_break = true,
                (Some('\n'), ' ') => break_space = true,
                _ => {}
            }
            before = Some(c);
        }
        let edge = |c: Option<char>| c.is_some_and(|c| c == ' ' || is_break(c));
        if edge(text.chars().next()) || edge(text.chars().last()) || text.contains(is_break) {
            (shape.block_plain, shape.flow_plain) = (false, false);
        }
        if text.ends_with(' ') || text.contains(['\r', '\u{85}', '\u{2028}', '\u{2029}']) {
            shape.block = false;
        }
        if break_space {
            (shape.block_plain, shape.flow_plain, shape.single_quoted) = (false, false, false);
        }
        if space_break || special {
            return Shape { block_plain: false, flow_plain: false, single_quoted: false, block: false };
        }
        shape.flow_plain &= !flow_indicator && !block_indicator;
        shape.block_plain &= !block_indicator;
        shape
    }
}

fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t' || is_break(c)
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Whether a character may stand outside double quotes. Beyond the basic plane none does, as in the reference.
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

fn write_literal(out: &mut String, text: &str, indent: usize) {
    out.push('|');
    if text.starts_with([' ', '\n']) {
        out.push('2');
    }
    let body = text.trim_end_matches('\n');
    match text.len() - body.len() {
        0 => out.push('-'),
        1 if !body.is_empty() => {}
        _ => out.push('+'),
    }
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            push_indent(out, indent);
            out.push_str(line);
        }
    }
}

fn write_double_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\0' => out.push_str("\\0"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\u{1b}' => out.push_str("\\e"),
            '\u{85}' => out.push_str("\\N"),
            '\u{2028}' => out.push_str("\\L"),
            '\u{2029}' => out.push_str("\\P"),
            c if is_printable(c) => out.push(c),
            // Writing to a String cannot fail.
            c if u32::from(c) <= 0xff => drop(write!(out, "\\x{:02X}", u32::from(c))),
            c if u32::from(c) <= 0xffff => drop(write!(out, "\\u{:04X}", u32::from(c))),
            c => drop(write!(out, "\\U{:08X}", u32::from(c))),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{
            decode::{Context, Decode, Decoder},
            tree::Tree,
        },
        *,
    };

    fn read(text: &str) -> Doc {
        let tree = Tree::parse(text).unwrap();
        let mut decoder = Decoder::new(&tree, Context::default());
        let mut doc = Doc::Null;
        if let Some(root) = tree.root() {
            assert!(doc.decode(&mut decoder, root).unwrap());
        }
        assert_eq!(decoder.issues(), &[] as &[String], "{text}");
        doc
    }

    fn text(doc: Doc) -> String {
        to_text(&Doc::List(vec![doc]))
    }

    #[test]
    fn text_is_quoted_only_where_it_would_be_read_as_something_else() {
        for (value, line) in [
            ("plain", "- plain\n"),
            ("n", "- \"n\"\n"),
            ("", "- \"\"\n"),
            ("08:00", "- \"08:00\"\n"),
            ("{{ x }}", "- '{{ x }}'\n"),
            ("a: b", "- 'a: b'\n"),
            ("it's", "- it's\n"),
            ("'x'", "- '''x'''\n"),
            ("x #y", "- 'x #y'\n"),
            ("a\tb", "- \"a\\tb\"\n"),
            ("🙂", "- \"\\U0001F642\"\n"),
            ("a\nb", "- |-\n  a\n  b\n"),
            ("a\nb\n", "- |\n  a\n  b\n"),
        ] {
            assert_eq!(text(Doc::from(value)), line);
        }
    }

    fn docs() -> impl Strategy<Value = Doc> {
        let text = prop_oneof!["[ -~]{0,12}", "[ a:#'\"\\\\\\n\\t{}\\[\\],-]{0,8}", any::<String>()];
        let leaf = prop_oneof![
            Just(Doc::Null),
            any::<bool>().prop_map(Doc::Bool),
            any::<i64>().prop_map(Doc::Int),
            (-1e30..1e30f64).prop_map(Doc::Float),
            text.prop_map(Doc::Text),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Doc::List),
                prop::collection::btree_map("[ -~]{0,6}", inner, 0..4)
                    .prop_map(|map| Doc::Map(map.into_iter().map(|(key, value)| (Doc::Text(key), value)).collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(doc in docs()) {
            let written = to_text(&doc);
            let again = read(&written);
            match (&doc, &again) {
                // A whole number written without a fraction is an integer.
                (Doc::Float(_), _) => {}
                _ => prop_assert_eq!(format!("{again:?}").replace("Float", "Int"), format!("{doc:?}").replace("Float", "Int")),
            }
        }
    }
}
