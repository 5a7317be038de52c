//! What a backslash makes of the characters behind it.

use super::Parser;
use crate::alert::re2::{RegexError, ast::ClassItem};

const DIGIT: &[(char, char)] = &[('0', '9')];
const SPACE: &[(char, char)] = &[('\t', '\n'), ('\x0c', '\r'), (' ', ' ')];
const WORD: &[(char, char)] = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];

impl Parser<'_> {
    /// `\d` and its like, `\pL`, `\p{Greek}`. Nothing is read if it is another escape.
    pub(super) fn class_escape(&mut self) -> Result<Option<ClassItem>, RegexError> {
        let (ranges, negated) = match self.rest.as_bytes() {
            [b'\\', b'd', ..] => (DIGIT, false),
            [b'\\', b'D', ..] => (DIGIT, true),
            [b'\\', b's', ..] => (SPACE, false),
            [b'\\', b'S', ..] => (SPACE, true),
            [b'\\', b'w', ..] => (WORD, false),
            [b'\\', b'W', ..] => (WORD, true),
            [b'\\', b'p', ..] => return self.property(false).map(Some),
            [b'\\', b'P', ..] => return self.property(true).map(Some),
            _ => return Ok(None),
        };
        self.skip(2);
        Ok(Some(ClassItem::Ascii { ranges, negated }))
    }

    fn property(&mut self, negated: bool) -> Result<ClassItem, RegexError> {
        let before = self.rest;
        self.skip(2);
        let name = if self.rest.starts_with('{') {
            let Some((name, rest)) = self.rest[1..].split_once('}') else {
                return Err(RegexError::new("invalid character class range", before));
            };
            self.rest = rest;
            name
        } else {
            let name = &self.rest[..self.rest.chars().next().map_or(0, char::len_utf8)];
            self.skip(name.len());
            name
        };
        let (name, negated) = match name.strip_prefix('^') {
            Some(name) => (name, !negated),
            None => (name, negated),
        };
        property_item(name, negated)
            .ok_or_else(|| RegexError::new("invalid character class range", self.read_since(before)))
    }

    /// An escape that stands for one character.
    pub(super) fn char_escape(&mut self) -> Result<char, RegexError> {
        let before = self.rest;
        self.skip(1);
        let Some(c) = self.rest.chars().next() else {
            return Err(RegexError::new("trailing backslash at end of expression", ""));
        };
        self.skip(c.len_utf8());
        let value = match c {
            '1'..='7' if !self.rest.starts_with(|c: char| c.is_digit(8)) => None,
            '0'..='7' => self.octal(c),
            'x' => self.hex(),
            'a' => Some('\x07'),
            'f' => Some('\x0c'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\x0b'),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(c),
            _ => None,
        };
        value.ok_or_else(|| RegexError::new("invalid escape sequence", self.read_since(before)))
    }

    /// Up to two further octal digits.
    fn octal(&mut self, first: char) -> Option<char> {
        let mut value = first.to_digit(8)?;
        for _ in 0..2 {
            let Some(digit) = self.rest.chars().next().and_then(|c| c.to_digit(8)) else { break };
            value = value * 8 + digit;
            self.skip(1);
        }
        char::from_u32(value)
    }

    /// Two hexadecimal digits, or any number of them in braces.
    fn hex(&mut self) -> Option<char> {
        if self.rest.starts_with('{') {
            self.skip(1);
            return self.hex_in_braces();
        }
        let high = self.next_char();
        let low = self.next_char();
        char::from_u32(high?.to_digit(16)? * 16 + low?.to_digit(16)?)
    }

    fn hex_in_braces(&mut self) -> Option<char> {
        let (mut value, mut digits) = (0, 0);
        loop {
            let c = self.next_char()?;
            if c == '}' {
                return (digits > 0).then(|| char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            value = value * 16 + c.to_digit(16)?;
            digits += 1;
            if value > u32::from(char::MAX) {
                return None;
            }
        }
    }

    fn next_char(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.skip(c.len_utf8());
        Some(c)
    }
}

/// Scripts whose full name has four letters, like the ISO codes of scripts, which Go does not know.
const SHORT_SCRIPTS: [&str; 9] = ["ahom", "cham", "kawi", "lisu", "miao", "modi", "newa", "thai", "toto"];

/// A general category or a script, in the words of the `regex` crate, which knows more properties, more
/// names for them, and an `is` before them.
fn property_item(name: &str, negated: bool) -> Option<ClassItem> {
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ' ' | '-')) {
        return None;
    }
    let loose: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    if matches!(loose.as_str(), "cs" | "surrogate") {
        return Some(ClassItem::Nothing { negated });
    }
    let known = |kind: &str| {
        let property = format!("{kind}={loose}");
        regex::Regex::new(&format!("\\p{{{property}}}")).is_ok().then_some(property)
    };
    let is_code = loose.len() == 4 && !SHORT_SCRIPTS.contains(&loose.as_str());
    let property = match known("gc") {
        _ if loose.starts_with("is") => None,
        Some(category) => Some(category),
        None if is_code => None,
        None => known("sc"),
    }?;
    Some(ClassItem::Property { name: property, negated })
}
