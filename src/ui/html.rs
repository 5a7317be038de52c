//! Pieces of HTML that more than one page needs: icons, labels, links, and text made visible.
//!
//! Whatever came from outside is escaped here or by the templates, and nowhere else. Labels are hostile: characters
//! that cannot be seen, or that reorder what stands around them, are shown as escapes in a frame, so that no value
//! can look like another or like a part of the page.

use std::fmt::{self, Display, Write as _};

use askama::filters::HtmlSafe;

use crate::alert::{
    matcher::{MatchOp, Matcher},
    text::is_printable,
};

/// Text that is HTML already.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Html(pub String);

impl Display for Html {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HtmlSafe for Html {}

impl Html {
    pub fn of(piece: impl HtmlSafe) -> Self {
        Html(piece.to_string())
    }
}

/// What is inside a tag, escaped, as it is.
pub struct Plain<'a>(pub &'a str);

impl HtmlSafe for Plain<'_> {}

impl Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
            let (before, from) = rest.split_at(at);
            f.write_str(before)?;
            let mut chars = from.chars();
            f.write_str(match chars.next() {
                Some('&') => "&amp;",
                Some('<') => "&lt;",
                Some('>') => "&gt;",
                Some('"') => "&quot;",
                _ => "&#39;",
            })?;
            rest = chars.as_str();
        }
        f.write_str(rest)
    }
}

/// A name or value: what cannot be seen is shown as an escape.
pub struct Shown<'a>(pub &'a str);

impl HtmlSafe for Shown<'_> {}

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        visible(f, self.0, &is_printable)
    }
}

/// Prose: lines and joined emoji are left as they are.
pub struct Prose<'a>(pub &'a str);

impl HtmlSafe for Prose<'_> {}

impl Display for Prose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        visible(f, self.0, &|c| is_printable(c) || matches!(c, '\n' | '\t' | '\r' | '\u{a0}' | '\u{200c}' | '\u{200d}'))
    }
}

fn visible(f: &mut fmt::Formatter<'_>, text: &str, is_seen: &dyn Fn(char) -> bool) -> fmt::Result {
    // Nearly every text is plain, and there are thousands on a page.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Plain(text).fmt(f);
    }
    let mut rest = text;
    while let Some((at, c)) = rest.char_indices().find(|(_, c)| !is_seen(*c)) {
        Plain(rest.get(..at).unwrap_or_default()).fmt(f)?;
        match c {
            '\n' => f.write_str("<span class=\"esc\">\\n</span>")?,
            '\t' => f.write_str("<span class=\"esc\">\\t</span>")?,
            '\r' => f.write_str("<span class=\"esc\">\\r</span>")?,
            c => write!(f, "<span class=\"esc\">\\u{:04x}</span>", u32::from(c))?,
        }
        rest = rest.get(at + c.len_utf8()..).unwrap_or_default();
    }
    Plain(rest).fmt(f)
}

/// As [`Shown`], without tags: for attributes and titles.
#[must_use]
pub fn shown_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_printable(c) {
            out.push(c);
        } else {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        }
    }
    out
}

/// Prose in which web addresses are links. Other schemes stay text.
pub struct Linked<'a>(pub &'a str);

impl HtmlSafe for Linked<'_> {}

impl Display for Linked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some((at, length)) = find_link(rest) {
            let (before, from) = rest.split_at(at);
            let (url, after) = from.split_at(length);
            let text = if before.is_empty() && after.is_empty() { without_scheme(url) } else { url };
            write!(
                f,
                "{}<a href=\"{}\" rel=\"noopener noreferrer\"><bdi>{}</bdi></a>",
                Prose(before),
                Plain(url),
                Shown(text)
            )?;
            rest = after;
        }
        Prose(rest).fmt(f)
    }
}

fn without_scheme(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, rest)| rest)
}

/// Where the next web address is, and how long.
fn find_link(text: &str) -> Option<(usize, usize)> {
    let mut from = 0;
    while let Some(found) = text.get(from..)?.find("http") {
        let at = from + found;
        let tail = text.get(at..)?;
        let end =
            tail.find(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"' | '\'' | '`') || !is_printable(c));
        let url =
            tail.get(..end.unwrap_or(tail.len()))?.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '}']);
        if is_web_url(url) {
            return Some((at, url.len()));
        }
        from = at + 4;
    }
    None
}

/// Whether it may be the target of a link.
#[must_use]
pub fn is_web_url(text: &str) -> bool {
    (text.starts_with("http://") || text.starts_with("https://"))
        && text.chars().all(is_printable)
        && url::Url::parse(text).is_ok_and(|url| url.has_host())
}

/// An icon that says nothing beside its neighbour.
pub struct Icon(pub &'static str, pub &'static str);

impl HtmlSafe for Icon {}

impl Display for Icon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "<svg class=\"i{}{}\" aria-hidden=\"true\"><use href=\"#i-{}\"/></svg>",
            blank(self.1),
            self.1,
            self.0
        )
    }
}

/// An icon that stands alone: it has a name.
pub struct NamedIcon(pub &'static str, pub &'static str, pub String);

impl HtmlSafe for NamedIcon {}

impl Display for NamedIcon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NamedIcon(id, class, name) = self;
        let gap = blank(class);
        write!(
            f,
            "<svg class=\"i{gap}{class}\" role=\"img\" aria-label=\"{}\"><use href=\"#i-{id}\"/></svg>",
            Plain(name)
        )
    }
}

fn blank(class: &str) -> &'static str {
    if class.is_empty() { "" } else { " " }
}

/// For templates: an icon without words.
#[must_use]
pub fn icon(id: &'static str) -> Icon {
    Icon(id, "")
}

/// For templates: an icon without words, in a colour.
#[must_use]
pub fn tinted(id: &'static str, class: &'static str) -> Icon {
    Icon(id, class)
}

/// Name, operator and value, as labels and matchers stand everywhere.
pub struct Label<'a> {
    pub name: &'a str,
    pub op: &'a str,
    pub value: &'a str,
}

impl HtmlSafe for Label<'_> {}

impl Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<span class=\"l\"><i>{}{}</i><bdi>{}</bdi></span>", Shown(self.name), self.op, Shown(self.value))
    }
}

#[must_use]
pub fn label<'a>(name: &'a str, value: &'a str) -> Label<'a> {
    Label { name, op: "=", value }
}

#[must_use]
pub fn matcher(matcher: &Matcher) -> Html {
    Html::of(Label { name: matcher.name(), op: matcher.op().as_str(), value: matcher.value() })
}

/// A label that can be clicked.
pub struct LabelLink<'a> {
    pub name: &'a str,
    pub value: &'a str,
    pub href: &'a str,
}

impl HtmlSafe for LabelLink<'_> {}

impl Display for LabelLink<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "<a class=\"l\" href=\"{}\"><i>{}=</i><bdi>{}</bdi></a>",
            Plain(self.href),
            Shown(self.name),
            Shown(self.value)
        )
    }
}

/// A label that can be clicked, its value cut to what a table holds.
#[must_use]
pub fn cut_link(name: &str, value: &str, href: &str) -> Html {
    Html::of(LabelLink { name, value: &cut(value, 56), href })
}

/// The chevron of what can be opened.
#[must_use]
pub fn icon_chev() -> Icon {
    Icon("chev", "chev")
}

/// The text of a matcher as it stands in a filter.
#[must_use]
pub fn matcher_text(op: MatchOp, name: &str, value: &str) -> String {
    // Equality compiles nothing, and every other matcher was compiled before.
    match Matcher::new(op, name, value) {
        Ok(matcher) => matcher.to_string(),
        Err(_) => format!("{name}{}{}", op.as_str(), crate::alert::text::quote(value)),
    }
}

/// At most `chars` of a text, with a sign that something is missing.
#[must_use]
pub fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Numbers over 9,999 get separators.
#[must_use]
pub fn number(n: usize) -> String {
    let digits = n.to_string();
    if n < 10_000 {
        return digits;
    }
    let mut out = String::with_capacity(digits.len() + 4);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 alert`, `2 alerts`.
#[must_use]
pub fn count(n: usize, one: &str, many: &str) -> String {
    format!("{} {}", number(n), if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_shown() {
        assert_eq!(
            Shown("a<b>\u{202e}c\n").to_string(),
            "a&lt;b&gt;<span class=\"esc\">\\u202e</span>c<span class=\"esc\">\\n</span>"
        );
        assert_eq!(Shown("Grüße 統計 👍").to_string(), "Grüße 統計 👍");
        assert_eq!(Prose("a\nb\u{200b}").to_string(), "a\nb<span class=\"esc\">\\u200b</span>");
        assert_eq!(shown_text("a\u{0}b"), "a\\u0000b");
    }

    #[test]
    fn only_web_addresses_become_links() {
        assert_eq!(
            Linked("see https://x.example/a?b=1&c=2, or http://y.example.").to_string(),
            "see <a href=\"https://x.example/a?b=1&amp;c=2\" rel=\"noopener noreferrer\"><bdi>https://x.example/a?b=1&amp;c=2</bdi></a>, \
             or <a href=\"http://y.example\" rel=\"noopener noreferrer\"><bdi>http://y.example</bdi></a>."
        );
        for text in ["javascript:alert(1)", "http:", "https://", "http://\u{202e}x", "httpx", "data:text/html,<script>"]
        {
            assert!(!Linked(text).to_string().contains("<a "), "{text}");
        }
        assert!(Linked("https://runbooks.example/x").to_string().ends_with("<bdi>runbooks.example/x</bdi></a>"));
    }

    #[test]
    fn attributes_cannot_be_left() {
        let link = LabelLink { name: "a", value: "\"><script>", href: "x?\"><script>" }.to_string();
        assert!(!link.contains("<script>"), "{link}");
    }

    #[test]
    fn numbers_have_separators_from_ten_thousand_on() {
        assert_eq!(["9999", "10,000", "1,234,567"], [9_999, 10_000, 1_234_567].map(number));
        assert_eq!((count(1, "alert", "alerts"), count(0, "alert", "alerts")), ("1 alert".into(), "0 alerts".into()));
        assert_eq!((cut("abcdef", 3), cut("abc", 3)), ("abc…".into(), "abc".into()));
    }
}
