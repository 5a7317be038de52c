//! A URL taken apart for sending. Unlike the `url` crate it changes nothing that could stand in a request line:
//! webhook URLs are templates, and what was rendered is what goes out (reference/receivers.md 1).

use std::{fmt, fmt::Write as _};

use percent_encoding::percent_decode_str;

use super::error::{ErrorKind, Failure};

/// Where a request goes.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub https: bool,
    /// Lower case, IPv6 without brackets.
    pub host: String,
    pub port: u16,
    /// Host and port as written: the `Host` header.
    pub authority: String,
    /// Starts with `/`.
    pub path_and_query: String,
    /// User and password from the URL.
    pub user_info: Option<(String, String)>,
}

/// Paths and queries hold tokens.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

impl Target {
    /// # Errors
    /// Not an absolute http or https URL. The text does not repeat the URL.
    pub(super) fn parse(url: &str) -> Result<Target, Failure> {
        if url.bytes().any(|b| b < 0x20 || b == 0x7f) {
            return Err(bad("net/url: invalid control character in URL"));
        }
        let url = url.split('#').next().unwrap_or(url);
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(bad("unsupported protocol scheme \"\""));
        };
        let https = match scheme {
            s if s.eq_ignore_ascii_case("http") => false,
            s if s.eq_ignore_ascii_case("https") => true,
            s => return Err(bad(&format!("unsupported protocol scheme {s:?}"))),
        };
        let path_start = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path_and_query) = rest.split_at(path_start);
        let (user_info, host_port) = match authority.rsplit_once('@') {
            Some((user_info, host)) => (Some(split_user_info(user_info)), host),
            None => (None, authority),
        };
        let (host, port) = split_host_port(host_port)?;
        if host.is_empty() {
            return Err(bad("no Host in request URL"));
        }
        let ascii_host = ascii_host(host)?;
        let bracketed = if ascii_host.contains(':') { format!("[{ascii_host}]") } else { ascii_host.clone() };
        Ok(Target {
            https,
            port: port.unwrap_or(if https { 443 } else { 80 }),
            authority: port.map_or_else(|| bracketed.clone(), |port| format!("{bracketed}:{port}")),
            host: ascii_host,
            path_and_query: escape_path_and_query(path_and_query),
            user_info,
        })
    }
}

/// `host:port` as CONNECT and proxies want it.
pub(super) fn join_host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn bad(text: &str) -> Failure {
    Failure::new(ErrorKind::Url, text)
}

fn split_user_info(text: &str) -> (String, String) {
    let decode = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
    match text.split_once(':') {
        Some((user, password)) => (decode(user), decode(password)),
        None => (decode(text), String::new()),
    }
}

/// Host without brackets, and the port if one is written.
fn split_host_port(text: &str) -> Result<(&str, Option<u16>), Failure> {
    let (host, after) = if let Some(inner) = text.strip_prefix('[') {
        inner.split_once(']').ok_or_else(|| bad("missing ']' in host"))?
    } else {
        text.split_at(text.rfind(':').unwrap_or(text.len()))
    };
    let port = match after.strip_prefix(':') {
        None if after.is_empty() => None,
        Some("") => None,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            Some(digits.parse().map_err(|_| bad("invalid port after host"))?)
        }
        _ => return Err(bad("invalid port after host")),
    };
    Ok((host, port))
}

fn ascii_host(host: &str) -> Result<String, Failure> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:!$&'()*+,;=%".contains(&b);
    if host.bytes().all(plain) {
        return Ok(host.to_ascii_lowercase());
    }
    if host.is_ascii() {
        return Err(bad("invalid character in host name"));
    }
    url::Host::parse(host).map(|host| host.to_string()).map_err(|_| bad("invalid URL host"))
}

/// Escapes what a request line cannot carry; everything else, dots and doubled slashes included, stays.
fn escape_path_and_query(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 1);
    if !text.starts_with('/') {
        out.push('/');
    }
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(url: &str) -> Target {
        Target::parse(url).unwrap()
    }

    #[test]
    fn a_url_keeps_its_path_and_query_as_written() {
        let target = parse("https://u:p%40w@Hooks.Example.org:8443/a/../b//c?x=%2F&y=a+b#frag");
        assert_eq!(target.path_and_query, "/a/../b//c?x=%2F&y=a+b");
        assert_eq!((target.host.as_str(), target.port, target.https), ("hooks.example.org", 8443, true));
        assert_eq!(target.user_info, Some(("u".to_owned(), "p@w".to_owned())));
        assert_eq!(target.authority, "hooks.example.org:8443");
    }

    #[test]
    fn a_missing_path_becomes_a_slash() {
        assert_eq!(parse("http://h?x=1").path_and_query, "/?x=1");
        assert_eq!(parse("http://h").path_and_query, "/");
    }

    #[test]
    fn what_a_request_line_cannot_hold_is_escaped() {
        assert_eq!(parse("http://h/a b/ü?q=<x>").path_and_query, "/a%20b/%C3%BC?q=%3Cx%3E");
    }

    #[test]
    fn an_ipv6_host_keeps_its_brackets_in_the_host_header() {
        let target = parse("http://[::1]:9/x");
        assert_eq!((target.host.as_str(), target.authority.as_str()), ("::1", "[::1]:9"));
        assert_eq!(join_host_port("::1", 80), "[::1]:80");
    }

    #[test]
    fn a_name_outside_ascii_becomes_punycode() {
        assert_eq!(parse("http://bücher.example/").authority, "xn--bcher-kva.example");
    }

    #[test]
    fn unusable_urls_are_refused_without_repeating_them() {
        for (url, text) in [
            ("hooks.example.org/secret", "unsupported protocol scheme \"\""),
            ("ftp://h/secret", "unsupported protocol scheme \"ftp\""),
            ("http:///secret", "no Host in request URL"),
            ("http://h:99999/secret", "invalid port after host"),
            ("http://h:x/secret", "invalid port after host"),
            ("http://a b/secret", "invalid character in host name"),
            ("http://h/\nsecret", "net/url: invalid control character in URL"),
        ] {
            assert_eq!(Target::parse(url).unwrap_err().text, text, "{url}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_can_be_sent(scheme in "https?", rest: String) {
            if let Ok(target) = Target::parse(&format!("{scheme}://{rest}")) {
                prop_assert!(http::uri::PathAndQuery::try_from(target.path_and_query.as_str()).is_ok());
                prop_assert!(http::HeaderValue::from_str(&target.authority).is_ok());
                prop_assert!(target.path_and_query.starts_with('/'));
            }
        }
    }
}
