//! Mail addresses: reads the lists that people write in `to` and `from` (RFC 5322 3.4, with the UTF-8 of
//! RFC 6532), and writes an address the way SMTP commands want it.
//!
//! Display names, comments and group names are read and forgotten: the headers repeat the text as it was
//! configured, so only where to deliver matters here. Control characters are never part of an address, which
//! is what keeps a label value from adding SMTP commands.

use std::{
    borrow::Cow,
    net::{Ipv4Addr, Ipv6Addr},
};

/// Where mail is delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// Without the quotes of a quoted string.
    local: String,
    domain: String,
}

/// Why a list of addresses cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AddressError {
    #[error("mail: no address")]
    Empty,
    #[error("mail: missing '@' or angle-addr")]
    NoAt,
    #[error("mail: missing '@' in addr-spec")]
    NoAtInAngle,
    #[error("mail: no angle-addr")]
    NoAngle,
    #[error("mail: unclosed angle-addr")]
    OpenAngle,
    #[error("mail: unclosed quoted-string")]
    OpenQuote,
    #[error("mail: bad character in quoted-string")]
    BadQuoted,
    #[error("mail: empty local part")]
    NoLocal,
    #[error("mail: no domain in addr-spec")]
    NoDomain,
    #[error("mail: leading, trailing or double dot in address")]
    Dots,
    #[error("mail: invalid IP address in domain-literal")]
    BadLiteral,
    #[error("mail: misformatted parenthetical comment")]
    OpenComment,
    #[error("mail: expected comma")]
    NoComma,
    #[error("mail: unclosed group")]
    OpenGroup,
}

impl Address {
    /// In the form of `MAIL` and `RCPT`. Without `utf8` (the server's SMTPUTF8) an international domain is
    /// written in its ASCII form; a non-ASCII local part has none and stays as it is.
    pub(super) fn for_smtp(&self, utf8: bool) -> lettre::Address {
        lettre::Address::new_dangerous(self.quoted_local(), self.domain_for(utf8))
    }

    fn quoted_local(&self) -> Cow<'_, str> {
        if dots_are_well_placed(&self.local) && self.local.chars().all(|c| is_atom_char(c) || c == '.') {
            return Cow::Borrowed(&self.local);
        }
        let mut quoted = String::with_capacity(self.local.len() + 2);
        quoted.push('"');
        for c in self.local.chars() {
            if matches!(c, '"' | '\\') {
                quoted.push('\\');
            }
            quoted.push(c);
        }
        quoted.push('"');
        Cow::Owned(quoted)
    }

    fn domain_for(&self, utf8: bool) -> Cow<'_, str> {
        if utf8 || self.domain.is_ascii() {
            return Cow::Borrowed(&self.domain);
        }
        match url::Host::parse(&self.domain) {
            Ok(url::Host::Domain(ascii)) => Cow::Owned(ascii),
            _ => Cow::Borrowed(&self.domain),
        }
    }
}

/// All addresses of a list, groups opened. Empty entries are skipped; nothing at all is an error.
pub(super) fn parse_list(text: &str) -> Result<Vec<Address>, AddressError> {
    let mut reader = Reader { rest: text };
    let mut found = Vec::new();
    loop {
        reader.skip_space();
        if reader.eat(',') {
            continue;
        }
        if reader.rest.is_empty() && !found.is_empty() {
            return Ok(found);
        }
        reader.entry(&mut found)?;
        reader.skip_space_and_comments()?;
        if reader.rest.is_empty() {
            return Ok(found);
        }
        if !reader.eat(',') {
            return Err(AddressError::NoComma);
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// A mailbox, or a group of them.
    fn entry(&mut self, found: &mut Vec<Address>) -> Result<(), AddressError> {
        match self.mailbox()? {
            Some(address) => found.push(address),
            None => self.group(found)?,
        }
        Ok(())
    }

    /// What follows the colon of a group.
    fn group(&mut self, found: &mut Vec<Address>) -> Result<(), AddressError> {
        loop {
            self.skip_space_and_comments()?;
            if self.eat(';') {
                return Ok(());
            }
            if self.eat(',') {
                continue;
            }
            if self.rest.is_empty() {
                return Err(AddressError::OpenGroup);
            }
            found.push(self.mailbox()?.ok_or(AddressError::NoAngle)?);
            self.skip_space_and_comments()?;
            if !matches!(self.peek(), Some(',' | ';')) {
                return Err(AddressError::NoComma);
            }
        }
    }

    /// `None`: it was the name of a group, and its colon.
    fn mailbox(&mut self) -> Result<Option<Address>, AddressError> {
        self.skip_space();
        if self.rest.is_empty() {
            return Err(AddressError::Empty);
        }
        let start = self.rest;
        if let Ok(address) = self.bare_address() {
            return Ok(Some(address));
        }
        self.rest = start;
        let name_is_one_atom = self.display_name()?;
        self.skip_space_and_comments()?;
        if self.eat(':') {
            return Ok(None);
        }
        if !self.eat('<') {
            return Err(if name_is_one_atom { AddressError::NoAt } else { AddressError::NoAngle });
        }
        let address = self.bare_address()?;
        self.skip_space_and_comments()?;
        if self.eat('>') { Ok(Some(address)) } else { Err(AddressError::OpenAngle) }
    }

    /// Steps over the words before `<` or `:`. Says whether it was a single unquoted word.
    fn display_name(&mut self) -> Result<bool, AddressError> {
        let (mut words, mut plain) = (0, true);
        loop {
            self.skip_space_and_comments()?;
            match self.peek() {
                Some('"') => {
                    self.quoted_string()?;
                    plain = false;
                }
                Some(c) if is_atom_char(c) || c == '.' => {
                    self.take_while(|c| is_atom_char(c) || c == '.');
                }
                _ => return Ok(plain && words < 2),
            }
            words += 1;
        }
    }

    /// `local@domain`.
    fn bare_address(&mut self) -> Result<Address, AddressError> {
        self.skip_space_and_comments()?;
        let local = match self.peek() {
            Some('"') => self.quoted_string()?,
            _ => self.dotted_atom()?.to_owned(),
        };
        if local.is_empty() {
            return Err(AddressError::NoLocal);
        }
        if !self.eat('@') {
            return Err(AddressError::NoAtInAngle);
        }
        self.skip_space_and_comments()?;
        let domain = match self.peek() {
            Some('[') => self.domain_literal()?,
            _ => self.dotted_atom()?.to_owned(),
        };
        if domain.is_empty() { Err(AddressError::NoDomain) } else { Ok(Address { local, domain }) }
    }

    /// May be empty; dots only between letters.
    fn dotted_atom(&mut self) -> Result<&'a str, AddressError> {
        let atom = self.take_while(|c| is_atom_char(c) || c == '.');
        if atom.is_empty() || dots_are_well_placed(atom) { Ok(atom) } else { Err(AddressError::Dots) }
    }

    fn quoted_string(&mut self) -> Result<String, AddressError> {
        let mut text = String::new();
        let mut escaped = false;
        for (at, c) in self.rest.char_indices().skip(1) {
            match c {
                '"' if !escaped => {
                    self.rest = self.rest.get(at + 1..).unwrap_or_default();
                    return Ok(text);
                }
                '\\' if !escaped => escaped = true,
                c if is_visible(c) || matches!(c, ' ' | '\t') => {
                    text.push(c);
                    escaped = false;
                }
                _ => return Err(AddressError::BadQuoted),
            }
        }
        Err(AddressError::OpenQuote)
    }

    /// `[192.0.2.1]` or `[IPv6:2001:db8::1]`, with its brackets.
    fn domain_literal(&mut self) -> Result<String, AddressError> {
        let (inside, after) =
            self.rest.get(1..).and_then(|rest| rest.split_once(']')).ok_or(AddressError::BadLiteral)?;
        let valid = match inside.strip_prefix("IPv6:") {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => inside.parse::<Ipv4Addr>().is_ok(),
        };
        if !valid {
            return Err(AddressError::BadLiteral);
        }
        self.rest = after;
        Ok(format!("[{inside}]"))
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn skip_space_and_comments(&mut self) -> Result<(), AddressError> {
        loop {
            self.skip_space();
            if self.peek() != Some('(') {
                return Ok(());
            }
            self.comment()?;
        }
    }

    /// One comment; they nest.
    fn comment(&mut self) -> Result<(), AddressError> {
        let mut depth = 0usize;
        let mut escaped = false;
        for (at, c) in self.rest.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                self.rest = self.rest.get(at + 1..).unwrap_or_default();
                return Ok(());
            }
        }
        Err(AddressError::OpenComment)
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn eat(&mut self, wanted: char) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}

/// Printable ASCII without the space, or anything beyond ASCII that is not a control character.
fn is_visible(c: char) -> bool {
    c.is_ascii_graphic() || (!c.is_ascii() && !c.is_control())
}

fn is_atom_char(c: char) -> bool {
    is_visible(c) && !matches!(c, '(' | ')' | '<' | '>' | '[' | ']' | ':' | ';' | '@' | '\\' | ',' | '"' | '.')
}

fn dots_are_well_placed(atom: &str) -> bool {
    !atom.is_empty() && atom.split('.').all(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn smtp(text: &str) -> Result<Vec<String>, AddressError> {
        Ok(parse_list(text)?.iter().map(|a| a.for_smtp(true).to_string()).collect())
    }

    #[test]
    fn lists_give_their_addresses_in_order() {
        let cases: &[(&str, &[&str])] = &[
            ("ops@example.org", &["ops@example.org"]),
            (" a@x.org ,b@y.org", &["a@x.org", "b@y.org"]),
            (
                "\"Ops, Team\" <ops@x.org>, second@x.org,Third <third@x.org>",
                &["ops@x.org", "second@x.org", "third@x.org"],
            ),
            (",, a@x.org,, ,b@x.org,", &["a@x.org", "b@x.org"]),
            ("Dr. No <no@x.org>", &["no@x.org"]),
            ("<a@x.org>", &["a@x.org"]),
            ("a@x.org (the (nested \\) ) first)", &["a@x.org"]),
            ("Team (on call) <a@x.org>", &["a@x.org"]),
            ("Ops: a@x.org, B <b@x.org>;, c@x.org", &["a@x.org", "b@x.org", "c@x.org"]),
            ("\"two words\"@x.org", &["\"two words\"@x.org"]),
            ("\"quote\\\"d\"@x.org", &["\"quote\\\"d\"@x.org"]),
            ("\"plain\"@x.org", &["plain@x.org"]),
            ("root@[192.0.2.1]", &["root@[192.0.2.1]"]),
            ("root@[IPv6:2001:db8::1]", &["root@[IPv6:2001:db8::1]"]),
            ("root@localhost", &["root@localhost"]),
            ("o'neil+tag=x@x.org", &["o'neil+tag=x@x.org"]),
            ("Jürgen <jürgen@bücher.example>", &["jürgen@bücher.example"]),
            ("=?utf-8?q?J=C3=BCrgen?= <j@x.org>", &["j@x.org"]),
        ];
        for (text, expected) in cases {
            assert_eq!(
                smtp(text).as_deref(),
                Ok(&expected.iter().map(ToString::to_string).collect::<Vec<_>>()[..]),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_address_says_why() {
        let cases = [
            ("", AddressError::Empty),
            (" , ", AddressError::Empty),
            ("ops", AddressError::NoAt),
            ("Full Name", AddressError::NoAngle),
            ("Name <ops>", AddressError::NoAtInAngle),
            ("Name <ops@x.org", AddressError::OpenAngle),
            ("Name <@x.org>", AddressError::NoLocal),
            ("<ops@>", AddressError::NoDomain),
            ("<.ops@x.org>", AddressError::Dots),
            ("<o..ps@x.org>", AddressError::Dots),
            ("<ops@x..org>", AddressError::Dots),
            ("a@x.org b@x.org", AddressError::NoComma),
            ("a@x.org; b@x.org", AddressError::NoComma),
            ("\"open <a@x.org>", AddressError::OpenQuote),
            ("a@x.org (open", AddressError::OpenComment),
            ("<root@[not an address]>", AddressError::BadLiteral),
            ("<root@[2001:db8::1]>", AddressError::BadLiteral),
            ("Ops: a@x.org", AddressError::NoComma),
            ("Ops:", AddressError::OpenGroup),
        ];
        for (text, expected) in cases {
            assert_eq!(smtp(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn control_characters_never_get_into_an_address() {
        for text in
            ["a@x.org\r\nDATA", "\"a\r\nRCPT TO:<b@x.org>\"@x.org", "<a@x.org\n>", "a\u{85}b@x.org", "a\0@x.org"]
        {
            assert!(parse_list(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_international_domain_is_written_in_ascii_for_a_server_without_smtputf8() {
        let list = parse_list("ops@bücher.example").unwrap();
        assert_eq!(list[0].for_smtp(false).to_string(), "ops@xn--bcher-kva.example");
        assert_eq!(list[0].for_smtp(true).to_string(), "ops@bücher.example");
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic_and_gives_clean_commands(text in "\\PC{0,40}|[a-c@<>\"\\\\(),;:. \r\n\\[\\]]{0,40}") {
            if let Ok(list) = parse_list(&text) {
                prop_assert!(!list.is_empty() || text.contains(':'));
                for address in list {
                    prop_assert!(!address.for_smtp(false).to_string().chars().any(char::is_control));
                    prop_assert!(!address.for_smtp(true).to_string().chars().any(char::is_control));
                }
            }
        }

        #[test]
        fn what_is_written_is_read_back_the_same(local in "[ -~äß]{1,12}", domain in "[a-z]{1,5}(\\.[a-z]{1,5}){0,2}") {
            let address = Address { local, domain };
            prop_assert_eq!(parse_list(address.for_smtp(true).as_ref()), Ok(vec![address]));
        }
    }
}
