//! What a reader asks for: the pairs of an address or a form, the cookies, and who it is.

use std::fmt::Write as _;

use http::{HeaderMap, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::when::When;

/// Left as they are in a value of an address: what is often there and harmless.
const KEPT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b',').remove(b':').remove(b'/');

/// Names and values in their order, decoded.
#[derive(Clone, Debug, Default)]
pub struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// From a query string or the body of a form.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        Pairs(url::form_urlencoded::parse(text).into_owned().collect())
    }

    pub fn all<'p>(&'p self, name: &'p str) -> impl Iterator<Item = &'p str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The last value of `name`, also an empty one.
    #[must_use]
    pub fn last(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The last value that is not empty.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.last(name).filter(|value| !value.is_empty())
    }

    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name)
    }
}

/// Writes an address with its parameters.
#[derive(Clone, Debug)]
pub struct Address {
    text: String,
    has_query: bool,
}

impl Address {
    #[must_use]
    pub fn new(path: impl Into<String>) -> Self {
        Address { text: path.into(), has_query: false }
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.text.push(if self.has_query { '&' } else { '?' });
        self.has_query = true;
        let _ = write!(self.text, "{name}={}", escaped(value));
        self
    }

    #[must_use]
    pub fn done(self) -> String {
        self.text
    }
}

/// A value as it stands in an address.
#[must_use]
pub fn escaped(value: &str) -> String {
    utf8_percent_encode(value, KEPT).to_string()
}

/// The value of a cookie.
#[must_use]
pub fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(';')).find_map(|pair| {
        let (n, value) = pair.trim().split_once('=')?;
        (n == name).then_some(value)
    })
}

/// The value of a cookie that was written escaped.
#[must_use]
pub fn cookie_text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = percent_encoding::percent_decode_str(cookie(headers, name)?).decode_utf8().ok()?;
    (!value.is_empty()).then(|| value.into_owned())
}

/// Who looks, as the server found out.
#[derive(Clone, Debug, Default)]
pub struct Visitor {
    /// The name of the login, if there is one.
    pub login: Option<String>,
    /// It may look and change nothing.
    pub read_only: bool,
}

/// One request, read.
pub struct Ask {
    pub query: Pairs,
    /// The body of a form.
    pub form: Pairs,
    pub when: When,
    pub visitor: Visitor,
    /// What this browser called its user last.
    pub author: Option<String>,
    /// The way from the page up to the start page: `./`, `../`.
    pub root: &'static str,
    /// For the forms of the page.
    pub token: String,
}

impl Ask {
    /// An address of this interface, as it is reached from the page.
    #[must_use]
    pub fn to(&self, path: &str) -> Address {
        Address::new(format!("{}{path}", self.root))
    }

    #[must_use]
    pub fn may_write(&self) -> bool {
        !self.visitor.read_only
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn pairs_keep_their_order_and_repetitions() {
        let pairs = Pairs::parse(b"filter=a%3D%22b%22&x=1&filter=c+d&e=");
        assert_eq!(pairs.all("filter").collect::<Vec<_>>(), ["a=\"b\"", "c d"]);
        assert_eq!((pairs.last("e"), pairs.text("e"), pairs.has("e"), pairs.has("f")), (Some(""), None, true, false));
    }

    #[test]
    fn an_address_reads_back_as_it_was_meant() {
        let address = Address::new("./alerts").with("filter", "a=~\"b&c#?+%\u{202e} d\"").with("x", "").done();
        let (_, query) = address.split_once('?').unwrap();
        assert_eq!(Pairs::parse(query.as_bytes()).text("filter"), Some("a=~\"b&c#?+%\u{202e} d\""));
        assert!(address.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\'')));
    }

    #[test]
    fn cookies_are_found_among_others() {
        let headers =
            HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_static("a=1; tz=Europe%2FBerlin;b=x=y"))]);
        assert_eq!(cookie_text(&headers, "tz").as_deref(), Some("Europe/Berlin"));
        assert_eq!((cookie(&headers, "b"), cookie(&headers, "c")), (Some("x=y"), None));
    }
}
