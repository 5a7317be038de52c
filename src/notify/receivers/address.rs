//! Addresses of vendors: a configured base and the path of a call. Bases may have a path and a query of their own;
//! what is in them is not changed.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

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
