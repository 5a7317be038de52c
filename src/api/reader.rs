//! Reading JSON without building a tree, with the leniency and the error texts of Go.
//!
//! Bodies of alerts arrive by the million, so strings are borrowed wherever they hold no escape. What is
//! malformed is said in the words that Go programs print; what is well-formed and of the wrong type is
//! left to the caller, who skips it and goes on: a syntax error further on counts first.

use std::borrow::Cow;

use crate::alert::text::quote;

/// Containers within containers; Go stops at 10,000, but no body of this API nests deeper than three.
const DEPTH_MAX: u32 = 500;

/// The text is no JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct SyntaxError(String);

type Read<T> = Result<T, SyntaxError>;

/// What kind of value comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    /// As Go names it in errors.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Bool => "bool",
            Kind::Number => "number",
            Kind::String => "string",
            Kind::Array => "array",
            Kind::Object => "object",
        }
    }
}

/// A place in a JSON text. Text after the first whole value is not looked at.
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl<'a> Reader<'a> {
    pub fn new(text: &'a str) -> Self {
        Reader { text, at: 0, depth: 0 }
    }

    /// Whether there is nothing but blanks.
    pub fn is_blank(text: &str) -> bool {
        text.bytes().all(is_blank)
    }

    /// The kind of the next value, which is not consumed.
    pub fn kind(&mut self) -> Read<Kind> {
        match self.next_byte()? {
            b'n' => Ok(Kind::Null),
            b't' | b'f' => Ok(Kind::Bool),
            b'-' | b'0'..=b'9' => Ok(Kind::Number),
            b'"' => Ok(Kind::String),
            b'[' => Ok(Kind::Array),
            b'{' => Ok(Kind::Object),
            _ => Err(self.unexpected("looking for beginning of value")),
        }
    }

    /// Consumes the next value, whatever it is.
    pub fn skip(&mut self) -> Read<()> {
        match self.kind()? {
            Kind::Null => self.literal("null"),
            Kind::Bool => self.bool().map(|_| ()),
            Kind::Number => self.number(),
            Kind::String => self.string().map(|_| ()),
            Kind::Array => self.array(|reader, _| reader.skip()),
            Kind::Object => self.object(|reader, _| reader.skip()),
        }
    }

    /// The next value, which is `true` or `false`.
    pub fn bool(&mut self) -> Read<bool> {
        let value = self.next_byte()? == b't';
        self.literal(if value { "true" } else { "false" }).map(|()| value)
    }

    /// The next value, which is an array: `item` must consume each item and gets its index.
    pub fn array(&mut self, mut item: impl FnMut(&mut Self, usize) -> Read<()>) -> Read<()> {
        self.enter()?;
        if self.next_byte()? != b']' {
            for index in 0.. {
                item(self, index)?;
                match self.next_byte()? {
                    b',' => self.at += 1,
                    b']' => break,
                    _ => return Err(self.unexpected("after array element")),
                }
            }
        }
        self.leave();
        Ok(())
    }

    /// The next value, which is an object: `field` must consume each value and gets its name.
    pub fn object(&mut self, mut field: impl FnMut(&mut Self, Cow<'a, str>) -> Read<()>) -> Read<()> {
        self.enter()?;
        if self.next_byte()? != b'}' {
            loop {
                if self.next_byte()? != b'"' {
                    return Err(self.unexpected("looking for beginning of object key string"));
                }
                let name = self.string()?;
                if self.next_byte()? != b':' {
                    return Err(self.unexpected("after object key"));
                }
                self.at += 1;
                field(self, name)?;
                match self.next_byte()? {
                    b',' => self.at += 1,
                    b'}' => break,
                    _ => return Err(self.unexpected("after object key:value pair")),
                }
            }
        }
        self.leave();
        Ok(())
    }

    /// The next value, which is a string. Lone surrogates become U+FFFD.
    pub fn string(&mut self) -> Read<Cow<'a, str>> {
        let start = self.at + 1;
        self.at = start + plain_length(self.rest_from(start));
        if self.byte() == Some(b'"') {
            let text = self.text.get(start..self.at).unwrap_or_default();
            self.at += 1;
            return Ok(Cow::Borrowed(text));
        }
        self.string_with_escapes(start)
    }

    #[cold]
    fn string_with_escapes(&mut self, start: usize) -> Read<Cow<'a, str>> {
        let mut text = String::new();
        let mut copied = start;
        loop {
            text.push_str(self.text.get(copied..self.at).unwrap_or_default());
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(text));
                }
                Some(b'\\') => self.escape(&mut text)?,
                Some(_) => return Err(self.unexpected("in string")),
                None => return Err(end()),
            }
            copied = self.at;
            self.at += plain_length(self.rest_from(self.at));
        }
    }

    fn escape(&mut self, text: &mut String) -> Read<()> {
        let start = self.at;
        self.at += 1;
        let plain = match self.byte().ok_or_else(end)? {
            byte @ (b'"' | b'\\' | b'/') => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.hex_unit(start)?;
                text.push(self.character(unit));
                return Ok(());
            }
            _ => return Err(self.bad_escape(start)),
        };
        self.at += 1;
        text.push(plain);
        Ok(())
    }

    /// The character that starts with this UTF-16 unit, whose other half may follow.
    fn character(&mut self, unit: u16) -> char {
        if let Some(character) = char::from_u32(u32::from(unit)) {
            return character;
        }
        let place = self.at;
        if self.rest_from(place).starts_with(b"\\u") {
            self.at += 1;
            let pair = self.hex_unit(place).ok().and_then(|low| char::decode_utf16([unit, low]).next()?.ok());
            if let Some(character) = pair {
                return character;
            }
        }
        self.at = place;
        char::REPLACEMENT_CHARACTER
    }

    /// Four hex digits behind the `u` at the present place.
    fn hex_unit(&mut self, escape: usize) -> Read<u16> {
        let mut unit = 0;
        for _ in 0..4 {
            self.at += 1;
            let byte = self.byte().ok_or_else(end)?;
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                b'A'..=b'F' => byte - b'A' + 10,
                _ => return Err(self.bad_escape(escape)),
            };
            unit = unit << 4 | u16::from(digit);
        }
        self.at += 1;
        Ok(unit)
    }

    fn bad_escape(&self, start: usize) -> SyntaxError {
        let tail = self.text.get(self.at..).and_then(|rest| rest.chars().next());
        let sequence = self.text.get(start..self.at).unwrap_or_default();
        SyntaxError(format!("invalid escape sequence `{sequence}{}` in string", tail.unwrap_or_default()))
    }

    fn number(&mut self) -> Read<()> {
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        if self.byte() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// At least one digit.
    fn digits(&mut self) -> Read<()> {
        match self.byte() {
            Some(b'0'..=b'9') => {}
            Some(_) => return Err(self.unexpected("in numeric literal")),
            None => return Err(end()),
        }
        while matches!(self.byte(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        Ok(())
    }

    fn literal(&mut self, word: &str) -> Read<()> {
        for wanted in word.chars() {
            if self.byte().ok_or_else(end)? != wanted as u8 {
                return Err(self.unexpected(&format!("in literal {word} (expecting '{wanted}')")));
            }
            self.at += 1;
        }
        Ok(())
    }

    fn enter(&mut self) -> Read<()> {
        self.at += 1;
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(SyntaxError("exceeded max depth".into())) } else { Ok(()) }
    }

    fn leave(&mut self) {
        self.at += 1;
        self.depth -= 1;
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is not blank; it is not consumed.
    fn next_byte(&mut self) -> Read<u8> {
        while let Some(byte) = self.byte() {
            if !is_blank(byte) {
                return Ok(byte);
            }
            self.at += 1;
        }
        Err(end())
    }

    fn rest_from(&self, at: usize) -> &'a [u8] {
        self.text.as_bytes().get(at..).unwrap_or_default()
    }

    /// The character here has no place here.
    #[cold]
    fn unexpected(&self, context: &str) -> SyntaxError {
        let character = self.text.get(self.at..).and_then(|rest| rest.chars().next()).unwrap_or_default();
        let shown = match character {
            '\'' => "\\'".to_owned(),
            '"' => "\"".to_owned(),
            _ => quote(character.encode_utf8(&mut [0; 4])).trim_matches('"').to_owned(),
        };
        SyntaxError(format!("invalid character '{shown}' {context}"))
    }
}

fn end() -> SyntaxError {
    SyntaxError("unexpected EOF".into())
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

/// How many bytes of a string come before a quote, a backslash or a control character: eight at a time.
fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let zero_bytes = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let (words, tail) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quotes = zero_bytes(word ^ (ONES * u64::from(b'"')));
        let escapes = zero_bytes(word ^ (ONES * u64::from(b'\\')));
        let controls = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let found = quotes | escapes | controls;
        if found != 0 {
            // The lowest mark is exact; a borrow can only make false ones above it.
            return 8 * index + found.trailing_zeros() as usize / 8;
        }
    }
    let plain = |byte: &&u8| !matches!(**byte, b'"' | b'\\' | 0..0x20);
    bytes.len() - tail.len() + tail.iter().take_while(plain).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(text: &str) -> String {
        Reader::new(text).skip().unwrap_err().to_string()
    }

    #[test]
    fn malformed_text_is_refused_in_the_words_of_go() {
        for (text, error) in [
            ("[", "unexpected EOF"),
            ("x", "invalid character 'x' looking for beginning of value"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ("[1 2]", "invalid character '2' after array element"),
            ("{\"a\"}", "invalid character '}' after object key"),
            ("{\"a\":1 2}", "invalid character '2' after object key:value pair"),
            ("{\"a\":1,}", "invalid character '}' looking for beginning of object key string"),
            ("{'a':1}", "invalid character '\\'' looking for beginning of object key string"),
            ("\u{feff}[]", "invalid character '\\ufeff' looking for beginning of value"),
            ("[1.]", "invalid character ']' in numeric literal"),
            ("[-]", "invalid character ']' in numeric literal"),
            ("[nul]", "invalid character ']' in literal null (expecting 'l')"),
            ("\"\\x\"", "invalid escape sequence `\\x` in string"),
            ("\"\u{1}\"", "invalid character '\\x01' in string"),
            ("\"abc", "unexpected EOF"),
        ] {
            assert_eq!(refused(text), error, "{text}");
        }
    }

    #[test]
    fn strings_are_borrowed_unless_they_hold_an_escape() {
        assert!(matches!(Reader::new("\"a longer text, ü\"").string(), Ok(Cow::Borrowed("a longer text, ü"))));
        let text = Reader::new(r#""a\n\u00fc\ud83d\ude00\ud800x\ud800\u0041""#).string().unwrap();
        assert_eq!(text, "a\nü😀\u{fffd}x\u{fffd}A");
    }

    #[test]
    fn deep_nesting_is_refused_rather_than_followed() {
        assert_eq!(refused(&"[".repeat(100_000)), "exceeded max depth");
    }

    #[test]
    fn what_follows_the_first_value_is_not_looked_at() {
        assert_eq!(Reader::new("[] x").skip(), Ok(()));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in any::<String>(), near in "[\\[\\]{}\":,\\\\ul0-9e.\\- \\n]{0,40}") {
            let _ = (Reader::new(&text).skip(), Reader::new(&near).skip());
        }

        #[test]
        fn what_serde_reads_is_read_alike(text in "\"([^\"\\\\\\x00-\\x1f]|\\\\[\"\\\\/bfnrt]|\\\\u[0-9a-c][0-9a-f]{3}){0,30}\"") {
            prop_assert_eq!(Reader::new(&text).string().unwrap(), serde_json::from_str::<String>(&text).unwrap());
        }

        #[test]
        fn plain_runs_end_at_the_first_special_byte(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let expected = bytes.iter().position(|b| matches!(b, b'"' | b'\\' | 0..0x20)).unwrap_or(bytes.len());
            prop_assert_eq!(plain_length(&bytes), expected);
        }
    }
}
