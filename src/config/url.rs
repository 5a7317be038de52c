//! URLs kept as they were written, apart from percent-encoding what must be.
//!
//! A browser's URL type adds slashes, lowers and encodes hosts and drops default ports, which would change
//! dumps and some requests. This follows the parser that Alertmanager uses (reference/configuration.md 1, "URLs").

use std::fmt::{self, Write as _};

use crate::alert::text::quote;

/// A parsed URL; prints itself in normal form.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Url {
    scheme: String,
    opaque: Option<String>,
    user: Option<(String, Option<String>)>,
    /// With the port, still encoded.
    host: String,
    has_authority: bool,
    path: String,
    query: Option<String>,
    fragment: String,
}

/// Why a text is no URL. The text itself is repeated only by [`UrlError::with_text`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("net/url: invalid control character in URL")]
    ControlCharacter,
    #[error("missing protocol scheme")]
    MissingScheme,
    #[error("first path segment in URL cannot contain colon")]
    ColonInFirstSegment,
    #[error("net/url: invalid userinfo")]
    UserInfo,
    #[error("invalid URL escape {}", quote(.0))]
    Escape(String),
    #[error("invalid character {} in host name", quote(.0))]
    Host(String),
    #[error("invalid port {} after host", quote(.0))]
    Port(String),
    #[error("missing ']' in host")]
    Bracket,
    #[error("invalid IP-literal")]
    IpLiteral,
    #[error("unsupported scheme {} for URL", quote(.0))]
    Scheme(String),
    #[error("missing host for URL")]
    MissingHost,
}

impl UrlError {
    /// The message with the text it is about, for URLs that are no secrets. What stands before an `@` is left out.
    #[must_use]
    pub fn with_text(&self, text: &str) -> String {
        match self {
            UrlError::Scheme(_) | UrlError::MissingHost => self.to_string(),
            _ => {
                let shown = match text.rsplit_once('@') {
                    Some((before, after)) => {
                        let scheme = before.split_once("//").map_or("", |(scheme, _)| scheme);
                        format!("{scheme}//<secret>@{after}")
                    }
                    None => text.to_owned(),
                };
                format!("parse {}: {self}", quote(&shown))
            }
        }
    }
}

impl Url {
    /// Any reference, absolute or not.
    ///
    /// # Errors
    /// The text is no URL.
    pub fn parse(text: &str) -> Result<Url, UrlError> {
        if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
            return Err(UrlError::ControlCharacter);
        }
        let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (scheme, mut rest) = split_scheme(text)?;
        let mut url = Url { scheme: scheme.to_ascii_lowercase(), ..Url::default() };
        if let Some((before, query)) = rest.split_once('?') {
            url.query = Some(query.to_owned());
            rest = before;
        }
        if !rest.starts_with('/') {
            if !url.scheme.is_empty() {
                url.opaque = Some(rest.to_owned());
                return Ok(url);
            }
            if rest.split('/').next().is_some_and(|segment| segment.contains(':')) {
                return Err(UrlError::ColonInFirstSegment);
            }
        }
        if (!url.scheme.is_empty() || !rest.starts_with("///"))
            && let Some(after) = rest.strip_prefix("//")
        {
            let (authority, path) = after.split_at(after.find('/').unwrap_or(after.len()));
            url.set_authority(authority)?;
            rest = path;
        }
        url.path = encoded(rest, Part::Path)?;
        url.fragment = encoded(fragment, Part::Fragment)?;
        Ok(url)
    }

    /// An absolute `http` or `https` URL with a host.
    ///
    /// # Errors
    /// It is none.
    pub fn parse_http(text: &str) -> Result<Url, UrlError> {
        let url = Url::parse(text)?;
        if url.scheme != "http" && url.scheme != "https" {
            return Err(UrlError::Scheme(url.scheme));
        }
        if url.host.is_empty() {
            return Err(UrlError::MissingHost);
        }
        Ok(url)
    }

    fn set_authority(&mut self, authority: &str) -> Result<(), UrlError> {
        self.has_authority = true;
        let host = match authority.rsplit_once('@') {
            Some((user, host)) => {
                self.user = Some(user_info(user)?);
                host
            }
            None => authority,
        };
        self.host = checked_host(host)?;
        Ok(())
    }

    /// Appends a slash to the path unless it ends with one.
    pub fn end_with_slash(&mut self) {
        if !self.path.ends_with('/') {
            self.path.push('/');
        }
    }

    /// As text, with the password shown as `xxxxx`.
    #[must_use]
    pub fn redacted(&self) -> String {
        let mut url = self.clone();
        if let Some((_, Some(password))) = &mut url.user {
            "xxxxx".clone_into(password);
        }
        url.to_string()
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.scheme.is_empty() {
            write!(f, "{}:", self.scheme)?;
        }
        if let Some(opaque) = &self.opaque {
            f.write_str(opaque)?;
        } else {
            if self.has_authority {
                f.write_str("//")?;
            }
            if let Some((user, password)) = &self.user {
                f.write_str(user)?;
                if let Some(password) = password {
                    write!(f, ":{password}")?;
                }
                f.write_str("@")?;
            }
            f.write_str(&self.host)?;
            f.write_str(&self.path)?;
        }
        if let Some(query) = &self.query {
            write!(f, "?{query}")?;
        }
        if !self.fragment.is_empty() {
            write!(f, "#{}", self.fragment)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Url(…)")
    }
}

fn split_scheme(text: &str) -> Result<(&str, &str), UrlError> {
    for (index, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if index > 0 => {}
            ':' if index > 0 => return Ok((&text[..index], &text[index + 1..])),
            ':' => return Err(UrlError::MissingScheme),
            _ => break,
        }
    }
    Ok(("", text))
}

fn user_info(text: &str) -> Result<(String, Option<String>), UrlError> {
    let valid = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
    if !text.chars().all(valid) {
        return Err(UrlError::UserInfo);
    }
    Ok(match text.split_once(':') {
        Some((user, password)) => (encoded(user, Part::User)?, Some(encoded(password, Part::User)?)),
        None => (encoded(text, Part::User)?, None),
    })
}

fn checked_host(host: &str) -> Result<String, UrlError> {
    let port = if host.starts_with('[') {
        let end = host.rfind(']').ok_or(UrlError::Bracket)?;
        let address = host[1..end].split_once("%25").map_or(&host[1..end], |(address, _zone)| address);
        if !address.contains('%') && address.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(UrlError::IpLiteral);
        }
        &host[end + 1..]
    } else if host.contains('[') {
        return Err(UrlError::IpLiteral);
    } else {
        host.rfind(':').map_or("", |colon| &host[colon..])
    };
    let digits = port.strip_prefix(':').unwrap_or("");
    if !port.is_empty() && (!port.starts_with(':') || !digits.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(UrlError::Port(port.to_owned()));
    }
    encoded(host, Part::Host)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    User,
    Host,
    Path,
    Fragment,
}

impl Part {
    /// Characters that stand for themselves when the part is printed anew.
    fn stands(self, c: u8) -> bool {
        let reserved = match self {
            Part::User => "$&+,;=",
            Part::Host => "!$&'()*+,;=:[]<>\"",
            Part::Path => "$&+,/:;=@",
            Part::Fragment => "$&+,/:;=?@!()*",
        };
        c.is_ascii_alphanumeric() || b"-_.~".contains(&c) || reserved.as_bytes().contains(&c)
    }

    /// Characters that are kept when they were written so.
    fn kept(self, c: u8) -> bool {
        match self {
            Part::Path | Part::Fragment => self.stands(c) || b"!'()*[]".contains(&c),
            Part::User | Part::Host => self.stands(c),
        }
    }
}

/// The part with valid escapes kept and what must not stand there escaped.
fn encoded(text: &str, part: Part) -> Result<String, UrlError> {
    let bytes = unescaped(text, part)?;
    let as_written = matches!(part, Part::Path | Part::Fragment) && text.bytes().all(|c| c == b'%' || part.kept(c));
    if as_written {
        return Ok(text.to_owned());
    }
    let mut out = String::with_capacity(text.len());
    for byte in bytes {
        if part.stands(byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    Ok(out)
}

fn unescaped(text: &str, part: Part) -> Result<Vec<u8>, UrlError> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte == b'%' {
            let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
            let value = hex
                .filter(|hex| hex.bytes().all(|c| c.is_ascii_hexdigit()))
                .and_then(|hex| u8::from_str_radix(hex, 16).ok());
            let escape = || {
                let end = bytes.len().min(at + 3);
                UrlError::Escape(String::from_utf8_lossy(&bytes[at..end]).into_owned())
            };
            let value = value.ok_or_else(escape)?;
            // In a host only what is no ASCII may be escaped, and the percent sign itself.
            if part == Part::Host && value < 0x80 && value != b'%' {
                return Err(escape());
            }
            out.push(value);
            at += 3;
            continue;
        }
        if part == Part::Host && byte < 0x80 && !part.stands(byte) {
            return Err(UrlError::Host(char::from(byte).to_string()));
        }
        out.push(byte);
        at += 1;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn printed(text: &str) -> String {
        match Url::parse_http(text) {
            Ok(url) => url.to_string(),
            Err(error) => format!("! {error}"),
        }
    }

    #[test]
    fn urls_are_kept_as_written() {
        for text in [
            "http://x",
            "http://x/",
            "https://X.example.org:443/a/../b?c=d e#f",
            "http://u:p@x:80/%2f(a)[b]",
            "http://[::1]:9093/",
            "http://[::1%25eth0]/",
            "http://x:",
        ] {
            assert_eq!(printed(text), text);
        }
    }

    #[test]
    fn what_must_be_encoded_is() {
        assert_eq!(printed("HTTP://x/se cret"), "http://x/se%20cret");
        assert_eq!(printed("http://x/é"), "http://x/%C3%A9");
        assert_eq!(printed("http://münchen/"), "http://m%C3%BCnchen/");
        assert_eq!(printed("http://x/#a b"), "http://x/#a%20b");
    }

    #[test]
    fn wrong_urls_are_refused_in_the_known_words() {
        for (text, error) in [
            ("", "! unsupported scheme \"\" for URL"),
            ("/path/only", "! unsupported scheme \"\" for URL"),
            ("ftp://x", "! unsupported scheme \"ftp\" for URL"),
            ("http:x", "! missing host for URL"),
            ("http://", "! missing host for URL"),
            (":x", "! missing protocol scheme"),
            ("http://x/%zz", "! invalid URL escape \"%zz\""),
            ("http://x y/", "! invalid character \" \" in host name"),
            ("http://[foo]/", "! invalid IP-literal"),
            ("http://a[::1]/", "! invalid IP-literal"),
            ("http://[::1]x/", "! invalid port \"x\" after host"),
            ("http://[::1%eth0]/", "! invalid URL escape \"%et\""),
            ("http://x:a/", "! invalid port \":a\" after host"),
            ("http://x/\n", "! net/url: invalid control character in URL"),
            ("a b:c", "! first path segment in URL cannot contain colon"),
        ] {
            assert_eq!(printed(text), error, "{text}");
        }
    }

    #[test]
    fn a_password_is_hidden() {
        assert_eq!(Url::parse("http://u:p@x:1/").unwrap().redacted(), "http://u:xxxxx@x:1/");
        assert_eq!(
            UrlError::Host(" ".into()).with_text("http://u:p@x y"),
            "parse \"http://<secret>@x y\": invalid character \" \" in host name"
        );
    }

    proptest! {
        #[test]
        fn printing_is_stable(text in "(http://)?[ -~é]{0,20}") {
            if let Ok(url) = Url::parse(&text) {
                let printed = url.to_string();
                let again = Url::parse(&printed);
                prop_assert_eq!(again.map(|url| url.to_string()), Ok(printed));
            }
        }
    }
}
