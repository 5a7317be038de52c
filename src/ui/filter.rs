//! Which alerts are wanted: matchers, plain words, a receiver, states.

use super::scene::{Group, Quiet, Scene, Seen};
use crate::alert::{
    Labels,
    matcher::{Matcher, ParseMode, parse_matcher, parse_matchers},
    re2::Anchored,
};

/// One item of the filter as the reader wrote it.
#[derive(Debug)]
pub enum Item {
    Matcher(Matcher),
    /// In names, values and annotations; lower case.
    Word(String),
    /// Why it cannot be read.
    Bad(String),
}

/// See the module.
#[derive(Debug, Default)]
pub struct Filter {
    /// The texts as they stand in the address, and what they mean.
    pub items: Vec<(String, Item)>,
    pub receiver: Option<(String, Result<Anchored, String>)>,
    /// None: all, with quiet ones apart.
    pub states: Vec<Quiet>,
}

impl Filter {
    pub fn parse<'t>(
        texts: impl Iterator<Item = &'t str>,
        receiver: Option<&str>,
        states: impl Iterator<Item = &'t str>,
        mode: ParseMode,
    ) -> Self {
        let mut items = Vec::new();
        for text in texts.map(str::trim).filter(|text| !text.is_empty()) {
            // Several at once, in braces, as in links that other programs make.
            if text.starts_with('{')
                && let Ok(matchers) = parse_matchers(mode, text)
            {
                items.extend(matchers.into_iter().map(|matcher| (matcher.to_string(), Item::Matcher(matcher))));
                continue;
            }
            items.push((text.to_owned(), Item::parse(text, mode)));
        }
        let all = [Quiet::No, Quiet::Silenced, Quiet::Inhibited, Quiet::Muted];
        let states: Vec<Quiet> = states.filter_map(|word| all.into_iter().find(|state| state.id() == word)).collect();
        let receiver = receiver.map(|text| (text.to_owned(), Anchored::new(text).map_err(|error| error.to_string())));
        Filter { items, receiver, states }
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty() && self.receiver.is_none() && self.states.is_empty()
    }

    pub fn matchers(&self) -> impl Iterator<Item = &Matcher> {
        self.items.iter().filter_map(|(_, item)| match item {
            Item::Matcher(matcher) => Some(matcher),
            Item::Word(_) | Item::Bad(_) => None,
        })
    }

    /// What could not be read: the text and why.
    pub fn bad(&self) -> impl Iterator<Item = (&str, &str)> {
        let items = self.items.iter().filter_map(|(text, item)| match item {
            Item::Bad(why) => Some((text.as_str(), why.as_str())),
            Item::Matcher(_) | Item::Word(_) => None,
        });
        let receiver =
            self.receiver.iter().filter_map(|(text, pattern)| Some((text.as_str(), pattern.as_ref().err()?.as_str())));
        items.chain(receiver)
    }

    /// By labels and text, whatever its state.
    pub fn fits(&self, seen: &Seen) -> bool {
        self.fits_without(seen, None)
    }

    /// As if item number `without` were not there.
    pub fn fits_without(&self, seen: &Seen, without: Option<usize>) -> bool {
        self.items.iter().enumerate().all(|(index, (_, item))| {
            Some(index) == without
                || match item {
                    Item::Matcher(matcher) => matcher.matches(seen.labels()),
                    Item::Word(word) => has_word(seen, word),
                    Item::Bad(_) => true,
                }
        })
    }

    pub fn fits_group(&self, group: &Group) -> bool {
        match &self.receiver {
            Some((_, Ok(pattern))) => pattern.is_match(&group.look.receiver.name),
            _ => true,
        }
    }

    /// Whether an alert in this state is wanted, as part of a group that is muted by time or not.
    pub fn wants(&self, seen: &Seen, muted: bool) -> bool {
        self.states.is_empty()
            || self.states.iter().any(|state| match state {
                Quiet::No => seen.quiet_in(muted) == Quiet::No,
                Quiet::Silenced => !seen.silenced_by.is_empty(),
                Quiet::Inhibited => seen.inhibited_by.is_some(),
                Quiet::Muted => muted,
            })
    }

    /// The members of a group that are wanted.
    pub fn members<'s>(&'s self, scene: &'s Scene, group: &'s Group) -> impl Iterator<Item = &'s Seen> {
        let wanted = self.fits_group(group);
        let members = group.members.iter().filter(move |_| wanted).filter_map(|at| scene.alerts.get(*at));
        members.filter(move |seen| self.fits(seen) && self.wants(seen, group.mutes(seen)))
    }
}

impl Item {
    fn parse(text: &str, mode: ParseMode) -> Self {
        match parse_matcher(mode, text) {
            Ok(matcher) => Item::Matcher(matcher),
            Err(error) if text.contains(['=', '~', '!', '{', '}']) => Item::Bad(error.to_string()),
            Err(_) => Item::Word(text.to_lowercase()),
        }
    }
}

/// Whether the word is somewhere in the alert.
fn has_word(seen: &Seen, word: &str) -> bool {
    let has = |labels: &Labels| has_value(labels, word) || labels.names().any(|name| contains(name, word));
    if has(seen.labels()) {
        return true;
    }
    let annotations = seen.entry.lock().annotations.clone();
    has(&annotations)
}

/// Whether some value has `word` (in lower case) in it.
pub fn has_value(labels: &Labels, word: &str) -> bool {
    may_have_value(labels, word) && labels.iter().any(|(_, value)| contains(value, word))
}

/// Looks at all values at once: mostly that is enough to know that none has it.
pub fn may_have_value(labels: &Labels, word: &str) -> bool {
    let text = labels.values_text();
    !text.is_ascii() || !word.is_ascii() || has_bytes(text.as_bytes(), word.as_bytes())
}

/// Whether `text` has `word` (in lower case) in it, whatever its case.
pub fn contains(text: &str, word: &str) -> bool {
    if !text.is_ascii() || !word.is_ascii() {
        return text.to_lowercase().contains(word);
    }
    has_bytes(text.as_bytes(), word.as_bytes())
}

/// Both ASCII, `word` in lower case. There are millions of texts to look at: first for its first byte.
fn has_bytes(text: &[u8], word: &[u8]) -> bool {
    let Some((first, rest)) = word.split_first() else { return true };
    let upper = first.to_ascii_uppercase();
    let mut text = text;
    while let Some(at) = text.iter().position(|byte| byte == first || *byte == upper) {
        text = text.get(at + 1..).unwrap_or_default();
        match text.get(..rest.len()) {
            Some(next) if next.eq_ignore_ascii_case(rest) => return true,
            Some(_) => {}
            None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(texts: &[&str]) -> Vec<String> {
        let filter = Filter::parse(texts.iter().copied(), None, [].into_iter(), ParseMode::Fallback);
        filter
            .items
            .iter()
            .map(|(text, item)| match item {
                Item::Matcher(matcher) => format!("matcher {matcher}"),
                Item::Word(word) => format!("word {word}"),
                Item::Bad(_) => format!("bad {text}"),
            })
            .collect()
    }

    #[test]
    fn matchers_words_and_mistakes_are_told_apart() {
        assert_eq!(
            items(&["a=b", "Disk Full", "{x=\"1\", y=~\"2\"}", "a=~\"(\"", " ", "=x"]),
            ["matcher a=\"b\"", "word disk full", "matcher x=\"1\"", "matcher y=~\"2\"", "bad a=~\"(\"", "bad =x"]
        );
    }

    #[test]
    fn words_are_found_whatever_their_case() {
        assert!(contains("HostDown", "host") && contains("ÄRGER", "ärger") && contains("x", ""));
        assert!(!contains("ab", "abc") && contains("aAaB", "aab") && contains("[x]", "[") && !contains("{", "["));
        let labels = Labels::from_pairs([("a", "xY"), ("b", "Zw"), ("c", "ÄRGER")]);
        assert!(["y", "zw", "ärg"].iter().all(|word| has_value(&labels, word)));
        assert!(!has_value(&labels, "yz"), "values are looked at one by one");
        let plain = Labels::from_pairs([("a", "xY"), ("b", "Zw")]);
        assert!(may_have_value(&plain, "yz") && !has_value(&plain, "yz") && !may_have_value(&plain, "q"));
    }
}
