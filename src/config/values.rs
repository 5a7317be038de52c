//! The single values of a configuration file that are more than text: durations, URLs, addresses,
//! secrets, patterns, lists of matchers. Each knows how it is read, checked and shown.

use std::time::Duration;

use chrono::TimeDelta;

use super::{
    model::{GoDuration, Secret},
    url::{Url, UrlError},
    yaml::{
        NodeId,
        decode::{Decode, Decoder, Dump, Stop, View},
        emit::Doc,
        scalar::Scalar,
    },
};
use crate::alert::{
    matcher::{self, Matcher},
    re2, text,
};

/// How a secret looks in a dump, and in a dump that is read back.
pub const MASK: &str = "<secret>";

/// A type that is read from a scalar's text. Null leaves the zero value, unchecked.
trait FromText: Sized {
    fn from_text(text: &str) -> Result<Self, Stop>;
}

fn decode_text<T: FromText + Default>(into: &mut T, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, Stop> {
    if decoder.is_null(id) {
        *into = T::default();
        return Ok(true);
    }
    let mut text = String::new();
    if !text.decode(decoder, id)? {
        return Ok(false);
    }
    *into = T::from_text(&text).map_err(|stop| decoder.at(stop, id))?;
    Ok(true)
}

macro_rules! decode_from_text {
    ($($type:ty),*) => {$(
        impl Decode for $type {
            fn decode(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, Stop> {
                decode_text(self, decoder, id)
            }
        }
    )*};
}

decode_from_text!(PromDuration, PushoverDuration, HttpUrl, SecretUrl, ProxyUrl, HostPort, Pattern);

/// A duration in Prometheus' notation: `1d12h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PromDuration(pub Duration);

impl FromText for PromDuration {
    fn from_text(text: &str) -> Result<Self, Stop> {
        text::parse_prometheus_duration(text).map(PromDuration).map_err(|error| Stop::because(error.to_string()))
    }
}

impl Dump for PromDuration {
    fn dump(&self) -> Doc {
        Doc::Text(text::format_prometheus_duration(self.0))
    }

    fn is_zero(&self) -> bool {
        self.0.is_zero()
    }
}

fn from_delta(delta: TimeDelta) -> GoDuration {
    GoDuration(delta.num_nanoseconds().unwrap_or(i64::MAX))
}

fn show(duration: GoDuration) -> Doc {
    Doc::Text(text::format_go_duration(TimeDelta::nanoseconds(duration.0)))
}

impl Decode for GoDuration {
    /// A number counts nanoseconds.
    fn decode(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, Stop> {
        let from_text = decoder.enter(id, |decoder, view, line| {
            let View::Scalar { text, scalar: Scalar::Text } = view else { return Ok(None) };
            let parsed = text::parse_go_duration(text).ok().map(from_delta);
            if parsed.is_none() {
                decoder.mismatch_shown(&view, line, "time.Duration");
            }
            Ok(Some(parsed))
        })?;
        match from_text {
            Some(Some(duration)) => *self = duration,
            Some(None) => return Ok(false),
            None => return self.0.decode(decoder, id),
        }
        Ok(true)
    }
}

impl Dump for GoDuration {
    fn dump(&self) -> Doc {
        show(*self)
    }

    fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

/// As [`GoDuration`], but a bare number lacks its unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PushoverDuration(pub GoDuration);

impl PushoverDuration {
    #[must_use]
    pub fn seconds(seconds: i64) -> Self {
        PushoverDuration(GoDuration(seconds.saturating_mul(1_000_000_000)))
    }
}

impl FromText for PushoverDuration {
    fn from_text(text: &str) -> Result<Self, Stop> {
        text::parse_go_duration(text)
            .map(|delta| PushoverDuration(from_delta(delta)))
            .map_err(|error| Stop::because(error.to_string()))
    }
}

impl Dump for PushoverDuration {
    fn dump(&self) -> Doc {
        show(self.0)
    }

    fn is_zero(&self) -> bool {
        self.0.0 == 0
    }
}

/// A plain `http` or `https` URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpUrl(pub Url);

impl HttpUrl {
    /// Of the program's own defaults.
    #[must_use]
    pub fn known(text: &str) -> Option<Self> {
        Url::parse_http(text).ok().map(HttpUrl)
    }
}

impl FromText for HttpUrl {
    fn from_text(text: &str) -> Result<Self, Stop> {
        Url::parse_http(text).map(HttpUrl).map_err(|error| Stop::because(error.with_text(text)))
    }
}

impl Dump for HttpUrl {
    fn dump(&self) -> Doc {
        Doc::Text(self.0.to_string())
    }

    fn is_zero(&self) -> bool {
        self.0 == Url::default()
    }
}

/// A URL that is a secret as a whole. The mask itself is taken, and is then an empty URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretUrl(pub Url);

impl FromText for SecretUrl {
    fn from_text(text: &str) -> Result<Self, Stop> {
        if text == MASK {
            return Ok(SecretUrl(Url::default()));
        }
        Url::parse_http(text).map(SecretUrl).map_err(|error| Stop::because(secret_url_error(&error)))
    }
}

/// Says what is wrong without any of the URL.
#[must_use]
pub fn secret_url_error(error: &UrlError) -> String {
    match error {
        UrlError::Scheme(scheme) if !scheme.is_empty() => "unsupported scheme for URL".to_owned(),
        UrlError::Scheme(_) | UrlError::MissingHost => error.to_string(),
        UrlError::Escape(_) => format!("parse \"{MASK}\": invalid URL escape"),
        UrlError::Host(_) => format!("parse \"{MASK}\": invalid character in host name"),
        UrlError::Port(_) => format!("parse \"{MASK}\": invalid port after host"),
        other => format!("parse \"{MASK}\": {other}"),
    }
}

impl Dump for SecretUrl {
    fn dump(&self) -> Doc {
        Doc::from(MASK)
    }

    fn is_zero(&self) -> bool {
        self.0 == Url::default()
    }
}

/// A proxy's URL: any, or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyUrl(pub Url);

impl FromText for ProxyUrl {
    fn from_text(text: &str) -> Result<Self, Stop> {
        Url::parse(text).map(ProxyUrl).map_err(|error| Stop::because(error.with_text(text)))
    }
}

impl Dump for ProxyUrl {
    fn dump(&self) -> Doc {
        Doc::Text(self.0.redacted())
    }

    fn is_zero(&self) -> bool {
        self.0 == Url::default()
    }
}

/// Text that is never shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretText(pub Secret);

impl SecretText {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.0.is_empty()
    }
}

impl Decode for SecretText {
    fn decode(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, Stop> {
        let mut text = String::new();
        let read = text.decode(decoder, id)?;
        self.0 = Secret(text.into());
        Ok(read)
    }
}

impl Dump for SecretText {
    fn dump(&self) -> Doc {
        if self.is_empty() { Doc::Null } else { Doc::from(MASK) }
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}

/// `host:port`; empty if not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostPort {
    pub host: String,
    pub port: String,
}

impl FromText for HostPort {
    fn from_text(text: &str) -> Result<Self, Stop> {
        if text.is_empty() {
            return Ok(HostPort::default());
        }
        let refused = |reason: &str| Stop::because(format!("address {text}: {reason}"));
        let colon = text.rfind(':').ok_or_else(|| refused("missing port in address"))?;
        let (host, port) = (&text[..colon], &text[colon + 1..]);
        let host = match host.strip_prefix('[') {
            Some(inner) => match inner.find(']') {
                Some(end) if end + 1 == inner.len() => &inner[..end],
                // The bracket closes after the last colon: that one belongs to the host.
                None if text.ends_with(']') => return Err(refused("missing port in address")),
                None => return Err(refused("missing ']' in address")),
                Some(_) => return Err(refused("too many colons in address")),
            },
            None if host.contains(':') => return Err(refused("too many colons in address")),
            None => host,
        };
        if host.contains(['[', ']']) || port.contains(['[', ']']) {
            return Err(refused("unexpected bracket in address"));
        }
        if port.is_empty() {
            return Err(Stop::because(format!("address {}: port cannot be empty", text::quote(text))));
        }
        Ok(HostPort { host: host.to_owned(), port: port.to_owned() })
    }
}

impl Dump for HostPort {
    fn dump(&self) -> Doc {
        Doc::Text(if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else if self.is_zero() {
            String::new()
        } else {
            format!("{}:{}", self.host, self.port)
        })
    }

    fn is_zero(&self) -> bool {
        self.host.is_empty() && self.port.is_empty()
    }
}

/// A regular expression of the old `match_re` style. `None`: the key stood alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pattern(pub Option<String>);

impl Pattern {
    /// As it is compiled, and as such part of route and group keys.
    #[must_use]
    pub fn anchored(text: &str) -> String {
        format!("^(?:{text})$")
    }
}

impl FromText for Pattern {
    fn from_text(text: &str) -> Result<Self, Stop> {
        re2::compile(&Pattern::anchored(text)).map_err(|error| Stop::because(error.to_string()))?;
        Ok(Pattern(Some(text.to_owned())))
    }
}

impl Dump for Pattern {
    fn dump(&self) -> Doc {
        match &self.0 {
            Some(text) if !text.is_empty() => Doc::Text(text.clone()),
            _ => Doc::Null,
        }
    }

    fn is_zero(&self) -> bool {
        self.0.is_none()
    }
}

/// The matchers of a list of texts, sorted.
#[derive(Clone, Debug, Default)]
pub struct MatcherList(pub Vec<Matcher>);

impl Decode for MatcherList {
    fn decode(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, Stop> {
        let mut lines: Vec<String> = Vec::new();
        if !lines.decode(decoder, id)? {
            return Ok(false);
        }
        self.0.clear();
        for line in &lines {
            let parsed = matcher::parse_noticing(decoder.context.mode, line)
                .map_err(|error| decoder.at(Stop::because(error.to_string()), id))?;
            if let Some(notice) = parsed.notice {
                decoder.warnings.push(notice.to_string());
            }
            self.0.extend(parsed.matchers);
        }
        self.0 = matcher::Matchers::new(std::mem::take(&mut self.0)).to_vec();
        Ok(true)
    }
}

impl Dump for MatcherList {
    fn dump(&self) -> Doc {
        Doc::List(self.0.iter().map(|matcher| Doc::Text(matcher.to_string())).collect())
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_split_at_the_last_colon() {
        for (text, host, port) in [
            ("a:25", "a", "25"),
            (":25", "", "25"),
            ("[::1]:25", "::1", "25"),
            ("foo:smtp", "foo", "smtp"),
            ("", "", ""),
        ] {
            assert_eq!(HostPort::from_text(text), Ok(HostPort { host: host.into(), port: port.into() }), "{text}");
        }
    }

    #[test]
    fn addresses_without_a_port_are_refused() {
        for (text, reason) in [
            ("foo", "missing port in address"),
            ("[::1]", "missing port in address"),
            ("::1:25", "too many colons in address"),
            ("foo:", "port cannot be empty"),
            ("[a:25", "missing ']' in address"),
        ] {
            let stop = HostPort::from_text(text).unwrap_err();
            assert!(stop.reason.ends_with(reason), "{text}: {}", stop.reason);
        }
    }

    #[test]
    fn a_secret_url_says_nothing_of_itself() {
        for text in ["http://hooks/tok%zz", "http://tok en/", "http://x:tok", "tok\n"] {
            let stop = SecretUrl::from_text(text).unwrap_err();
            assert!(!stop.reason.contains("tok"), "{}", stop.reason);
        }
    }
}
