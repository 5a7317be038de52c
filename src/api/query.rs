//! The query string, read as Go and the reference's framework read it (reference/server.md 4.2).

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// Pairs of a query string in their order. Pairs that Go refuses (a `;`, a broken escape) are left out.
pub(super) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    pub fn parse(text: &'a str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';'));
        Query(
            pairs
                .filter_map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    Some((unescape(name)?, unescape(value)?))
                })
                .collect(),
        )
    }

    /// All values of `name` in their order.
    pub fn all<'q>(&'q self, name: &'q str) -> impl Iterator<Item = &'q str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_ref())
    }

    /// The last value of `name`; an empty one counts as none.
    pub fn last(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.as_ref()).filter(|value| !value.is_empty())
    }

    /// A flag: many words are true, every other is false, none at all is `default`.
    pub fn flag(&self, name: &str, default: bool) -> bool {
        const TRUE: [&str; 10] = ["true", "1", "yes", "ok", "y", "on", "selected", "checked", "t", "enabled"];
        self.last(name).map_or(default, |value| TRUE.iter().any(|word| value.eq_ignore_ascii_case(word)))
    }
}

/// `+` is a blank and `%41` an A; `None` for a `%` that two hex digits do not follow.
fn unescape(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    valid_escapes(text).then_some(())?;
    let blank = text.replace('+', " ");
    Some(Cow::Owned(percent_decode(blank.as_bytes()).decode_utf8_lossy().into_owned()))
}

/// Whether two hex digits follow each `%`.
pub(crate) fn valid_escapes(text: &str) -> bool {
    text.split('%').skip(1).all(|rest| {
        let hex = rest.as_bytes().get(..2);
        hex.is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_repeated_ones_kept() {
        let query = Query::parse("filter=a%3D%22b%22&x=1&filter=c+d&&e");
        assert_eq!(query.all("filter").collect::<Vec<_>>(), ["a=\"b\"", "c d"]);
        assert_eq!((query.all("e").count(), query.last("e")), (1, None));
    }

    #[test]
    fn broken_escapes_and_semicolons_are_left_out() {
        let query = Query::parse("filter=%zz&filter=a;b&filter=%4&filter=ok");
        assert_eq!(query.all("filter").collect::<Vec<_>>(), ["ok"]);
    }

    #[test]
    fn of_a_repeated_flag_the_last_counts_and_other_words_are_false() {
        assert!(Query::parse("active=no&active=YES").flag("active", false));
        assert!(!Query::parse("active=maybe").flag("active", true));
        assert!(Query::parse("active=").flag("active", true));
        assert!(!Query::parse("").flag("active", false));
    }
}
