//! Addresses of vendors: a configured base and the path of a call. Bases may have a path and a query of their own;
//! what is in them is not changed.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::form_urlencoded;

/// As Go's `url.PathEscape` leaves them.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');
/// As Go leaves them in the path of a URL as a whole.
const PATH: &AsciiSet = &SEGMENT.remove(b',').remove(b'/').remove(b';');
/// Shorter parts of a path or a query are words, not tokens.
const TOKEN_BYTES_MIN: usize = 16;

/// The base with `path` (whose segments are escaped already) after its own path and before its query; slashes that
/// follow one another become one.
#[must_use]
pub fn join(base: &str, path: &str) -> String {
    let (before_query, query) = split_at(base, &['?', '#']);
    let path_start = before_query.find("://").map_or(0, |at| at + 3);
    let (root, own_path) = match before_query.get(path_start..).and_then(|rest| rest.find('/')) {
        Some(at) => before_query.split_at(path_start + at),
        None => (before_query, ""),
    };
    let mut joined = root.to_owned();
    for segment in own_path.split('/').chain(path.split('/')).filter(|segment| !segment.is_empty()) {
        joined.push('/');
        joined.push_str(segment);
    }
    joined + query
}

/// The base with `path`, which is not escaped yet, right behind its own path and before its query.
#[must_use]
pub fn append(base: &str, path: &str) -> String {
    let (before_query, query) = split_at(base, &['?', '#']);
    format!("{before_query}{}{query}", utf8_percent_encode(path, PATH))
}

/// The URL with one more parameter; all of them in order of their names, as Go writes them.
#[must_use]
pub fn with_parameter(url: &str, name: &str, value: &str) -> String {
    let (url, _) = url.split_once('#').unwrap_or((url, ""));
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let mut parameters: Vec<_> = form_urlencoded::parse(query.as_bytes()).filter(|(own, _)| own != name).collect();
    parameters.push((name.into(), value.into()));
    parameters.sort_by(|(one, _), (other, _)| one.cmp(other));
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    format!("{base}?{query}")
}

/// The host as it is written, with its port.
#[must_use]
pub fn host(url: &str) -> &str {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (authority, _) = split_at(after_scheme, &['/', '?', '#']);
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// One segment of a path, percent-encoded as Go does.
#[must_use]
pub fn escape_segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// What of a URL may be secret: all of it, its path with the query, and each part that looks like a token, also as
/// it reads decoded.
#[must_use]
pub fn secrets(url: &str) -> Vec<String> {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (authority, path) = split_at(after_scheme, &['/', '?', '#']);
    let mut secrets = vec![url.to_owned()];
    if path.len() > TOKEN_BYTES_MIN {
        secrets.push(path.to_owned());
    }
    if let Some((_, password)) = authority.rsplit_once('@').and_then(|(user_info, _)| user_info.split_once(':')) {
        secrets.push(password.to_owned());
    }
    for part in path.split(['/', '?', '#', '&', '=']).filter(|part| part.len() >= TOKEN_BYTES_MIN) {
        secrets.push(part.to_owned());
        secrets.push(percent_decode_str(part).decode_utf8_lossy().into_owned());
    }
    secrets
}

fn split_at<'t>(text: &'t str, ends: &[char]) -> (&'t str, &'t str) {
    text.split_at(text.find(ends).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_goes_between_the_base_and_its_query() {
        for (base, joined) in [
            ("http://h", "http://h/api/x"),
            ("http://h/", "http://h/api/x"),
            ("http://h//rc//?q=1", "http://h/rc/api/x?q=1"),
            ("https://u:p@h:8/a/b", "https://u:p@h:8/a/b/api/x"),
            ("http://h?q=/1", "http://h/api/x?q=/1"),
        ] {
            assert_eq!(join(base, "/api/x"), joined, "{base}");
        }
    }

    #[test]
    fn a_host_is_found_behind_the_user() {
        assert_eq!(host("https://u:p@x.atlassian.net:8/rest/api/2?y"), "x.atlassian.net:8");
        assert_eq!(host("http://h"), "h");
    }

    #[test]
    fn a_path_that_is_appended_is_escaped() {
        assert_eq!(append("http://h/a/", "r api/x?ü"), "http://h/a/r%20api/x%3F%C3%BC");
        assert_eq!(append("http://h/a/?q=1#f", "k"), "http://h/a/k?q=1#f");
    }

    #[test]
    fn a_parameter_joins_those_that_are_there() {
        assert_eq!(with_parameter("http://h/a", "k", "v w"), "http://h/a?k=v+w");
        assert_eq!(with_parameter("http://h/a?q=1&k=0&b=2#f", "k", "v"), "http://h/a?b=2&k=v&q=1");
    }

    #[test]
    fn segments_are_escaped_as_go_does() {
        assert_eq!(escape_segment("rk firing/ü?&:"), "rk%20firing%2F%C3%BC%3F&:");
    }

    #[test]
    fn tokens_in_a_url_are_secrets_and_words_are_not() {
        let found = secrets("https://u:pass@h/hooks/0123456789abcdefg?sig=a%2Bcdefghijklmnopq&v=1");
        for secret in ["0123456789abcdefg", "a%2Bcdefghijklmnopq", "a+cdefghijklmnopq", "pass"] {
            assert!(found.iter().any(|text| text == secret), "{secret}");
        }
        assert!(!found.iter().any(|text| text == "hooks" || text == "h"));
    }
}
