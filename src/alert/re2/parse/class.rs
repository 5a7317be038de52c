//! Classes in brackets.

use super::Parser;
use crate::alert::re2::{
    RegexError,
    ast::{Class, ClassItem},
};

/// The named classes of POSIX, all within ASCII.
const NAMED: [(&str, &[(char, char)]); 14] = [
    ("alnum", &[('0', '9'), ('A', 'Z'), ('a', 'z')]),
    ("alpha", &[('A', 'Z'), ('a', 'z')]),
    ("ascii", &[('\0', '\x7f')]),
    ("blank", &[('\t', '\t'), (' ', ' ')]),
    ("cntrl", &[('\0', '\x1f'), ('\x7f', '\x7f')]),
    ("digit", &[('0', '9')]),
    ("graph", &[('!', '~')]),
    ("lower", &[('a', 'z')]),
    ("print", &[(' ', '~')]),
    ("punct", &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')]),
    ("space", &[('\t', '\r'), (' ', ' ')]),
    ("upper", &[('A', 'Z')]),
    ("word", &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')]),
    ("xdigit", &[('0', '9'), ('A', 'F'), ('a', 'f')]),
];

impl<'a> Parser<'a> {
    /// From the opening bracket to the closing one. A `]` right behind the opening is a character.
    pub(super) fn bracket_class(&mut self) -> Result<Class, RegexError> {
        let before = self.rest;
        self.skip(1);
        let negated = self.rest.starts_with('^');
        if negated {
            self.skip(1);
        }
        let mut items = Vec::new();
        while items.is_empty() || !self.rest.starts_with(']') {
            let item = match self.named_class()? {
                Some(item) => item,
                None => match self.class_escape()? {
                    Some(item) => item,
                    None => self.range(before)?,
                },
            };
            items.push(item);
        }
        self.skip(1);
        Ok(Class { negated, items })
    }

    /// `[:alpha:]`, `[:^alpha:]`. Without the closing `:]` it is characters.
    fn named_class(&mut self) -> Result<Option<ClassItem>, RegexError> {
        let before = self.rest;
        let Some((name, rest)) = before.strip_prefix("[:").and_then(|after| after.split_once(":]")) else {
            return Ok(None);
        };
        self.rest = rest;
        let (negated, plain) = match name.strip_prefix('^') {
            Some(plain) => (true, plain),
            None => (false, name),
        };
        match NAMED.iter().find(|(known, _)| *known == plain) {
            Some((_, ranges)) => Ok(Some(ClassItem::Ascii { ranges, negated })),
            None => Err(RegexError::new("invalid character class range", self.read_since(before))),
        }
    }

    /// A character or two with a hyphen between; a hyphen before the closing bracket is a character.
    fn range(&mut self, class: &'a str) -> Result<ClassItem, RegexError> {
        let before = self.rest;
        let low = self.class_char(class)?;
        let mut high = low;
        if self.rest.len() >= 2 && self.rest.starts_with('-') && !self.rest.starts_with("-]") {
            self.skip(1);
            high = self.class_char(class)?;
        }
        if high < low {
            return Err(RegexError::new("invalid character class range", self.read_since(before)));
        }
        Ok(ClassItem::Range(low, high))
    }

    fn class_char(&mut self, class: &'a str) -> Result<char, RegexError> {
        match self.rest.chars().next() {
            None => Err(RegexError::new("missing closing ]", class)),
            Some('\\') => self.char_escape(),
            Some(c) => {
                self.skip(c.len_utf8());
                Ok(c)
            }
        }
    }
}
