//! Cutting, quoting and hashing text as the reference does (reference/receivers.md 0.4, 0.5).

use sha2::{Digest as _, Sha256};

const MARK: &str = "…";

/// The name of a group at the other side: lower-case hexadecimal SHA-256 of its key.
#[must_use]
pub fn key_hash(group_key: &str) -> String {
    Sha256::digest(group_key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// At most `limit` code points: the first `limit - 1` and a `…`, or the first `limit` if that is three or less.
/// The second value says whether anything was cut.
#[must_use]
pub fn truncate_runes(text: &str, limit: usize) -> (String, bool) {
    let Some((end, _)) = text.char_indices().nth(limit) else {
        return (text.to_owned(), false);
    };
    if limit <= 3 {
        return (text.get(..end).unwrap_or(text).to_owned(), true);
    }
    let end = text.char_indices().nth(limit - 1).map_or(end, |(at, _)| at);
    (text.get(..end).unwrap_or(text).to_owned() + MARK, true)
}

/// At most `limit` bytes: whole code points within `limit - 3` bytes and a `…`; with a limit below three, what fits
/// without the mark. The second value says whether anything was cut.
#[must_use]
pub fn truncate_bytes(text: &str, limit: usize) -> (String, bool) {
    if text.len() <= limit {
        return (text.to_owned(), false);
    }
    let (room, mark) = match limit.checked_sub(MARK.len()) {
        Some(room) => (room, MARK),
        None => (limit, ""),
    };
    let end = text.floor_char_boundary(room);
    (text.get(..end).unwrap_or("").to_owned() + mark, true)
}

/// Escapes what is special in a regular expression (Go's `regexp.QuoteMeta`): how receiver names are shown.
#[must_use]
pub fn quote_meta(text: &str) -> std::borrow::Cow<'_, str> {
    let special = |c: char| r"\.+*?()|[]{}^$".contains(c);
    if !text.contains(special) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 4);
    for c in text.chars() {
        if special(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn runes_are_cut_with_a_mark() {
        assert_eq!(truncate_runes("äbcde", 5), ("äbcde".to_owned(), false));
        assert_eq!(truncate_runes("äbcdef", 5), ("äbcd…".to_owned(), true));
        assert_eq!(truncate_runes("äbcdef", 3), ("äbc".to_owned(), true));
        assert_eq!(truncate_runes("ä", 0), (String::new(), true));
    }

    #[test]
    fn bytes_are_cut_between_characters() {
        assert_eq!(truncate_bytes("abcdef", 6), ("abcdef".to_owned(), false));
        assert_eq!(truncate_bytes("abcdefg", 6), ("abc…".to_owned(), true));
        assert_eq!(truncate_bytes("aäüöx", 6), ("aä…".to_owned(), true));
        assert_eq!(truncate_bytes("äöü", 2), ("ä".to_owned(), true));
    }

    #[test]
    fn a_group_is_named_by_the_hash_of_its_key() {
        assert_eq!(key_hash(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn receiver_names_are_quoted_for_regular_expressions() {
        assert_eq!(quote_meta("team"), "team");
        assert_eq!(quote_meta("all.it (eu)*"), r"all\.it \(eu\)\*");
    }

    proptest! {
        #[test]
        fn nothing_is_longer_than_its_limit(text: String, limit in 0usize..50) {
            prop_assert!(truncate_runes(&text, limit).0.chars().count() <= limit);
            prop_assert!(truncate_bytes(&text, limit).0.len() <= limit);
        }
    }
}
