//! What follows a text that is being typed: labels that exist under the present filter, most frequent first.

use std::{collections::HashMap, sync::Arc};

use askama::Template;
use http::StatusCode;

use super::{
    Ui,
    ask::Ask,
    filter::{contains, may_have_value},
    html::{Shown, cut, matcher_text, number},
    page,
    scene::{Scene, Seen},
    wish::Wish,
};
use crate::{
    alert::{
        Labels,
        matcher::{MatchOp, ParseMode, parse_matcher},
        value_in,
    },
    api::Answer,
};

/// Suggestions at most.
const OFFERED: usize = 8;
/// Of more alerts a part tells which labels and values are frequent.
const SAMPLE: usize = 20_000;

#[derive(Template)]
#[template(
    source = "<ul>{% for (filter, shown, n) in offered %}<li data-filter=\"{{ filter }}\"><b>{{ shown }}</b> <i>{{ n }}</i></li>{% endfor %}</ul>{% if let Some(wrong) = wrong %}<p data-wrong>{{ wrong }}</p>{% endif %}",
    ext = "html"
)]
struct SuggestPiece {
    /// The matcher, how it is shown, how many alerts it fits.
    offered: Vec<(String, String, String)>,
    wrong: Option<String>,
}

/// What was typed so far.
#[derive(Debug, PartialEq)]
enum Typed<'t> {
    /// Part of a name or a value.
    Word(&'t str),
    /// A name and an operator, and the beginning of a value.
    Value(&'t str, MatchOp, &'t str),
}

impl Ui {
    pub(super) fn suggest_piece(&self, scene: &Arc<Scene>, ask: &Ask) -> Answer {
        let wish = Wish::read(ask, self.api.mode);
        let text = ask.query.text("q").unwrap_or_default().trim();
        let typed = Typed::of(text);
        let offered = offered(scene, &wish, &typed);
        page(StatusCode::OK, &SuggestPiece { offered, wrong: mistake(text, &typed, self.api.mode) })
    }
}

impl<'t> Typed<'t> {
    fn of(text: &'t str) -> Self {
        let Some(at) = text.find(['=', '!', '~']) else { return Typed::Word(text) };
        let (name, rest) = text.split_at(at);
        let ops = [MatchOp::Regex, MatchOp::NotRegex, MatchOp::NotEqual, MatchOp::Equal];
        match ops.into_iter().find_map(|op| Some((op, rest.strip_prefix(op.as_str())?))) {
            Some((op, value)) => Typed::Value(
                name.trim().trim_matches('"'),
                op,
                value.trim().trim_start_matches('"').trim_end_matches('"'),
            ),
            None => Typed::Word(name.trim()),
        }
    }
}

fn offered(scene: &Scene, wish: &Wish, typed: &Typed<'_>) -> Vec<(String, String, String)> {
    let step = scene.alerts.len().div_ceil(SAMPLE).max(1);
    let mut found = counted(scene, wish, typed, step);
    let is_short = matches!(typed, Typed::Word(word) if word.chars().count() < 2);
    let mut is_exact = step == 1;
    // What is rare is looked for among all.
    if !is_exact && found.len() < OFFERED && !is_short {
        (found, is_exact) = (counted(scene, wish, typed, 1), true);
    }
    if let (false, Typed::Value(name, ..)) = (is_exact, typed) {
        count_again(scene, wish, name, &mut found);
        is_exact = true;
    }
    let op = match typed {
        Typed::Word(_) => MatchOp::Equal,
        Typed::Value(_, op, _) => *op,
    };
    let chosen: Vec<&String> = wish.filter.items.iter().map(|(text, _)| text).collect();
    let texts = found.into_iter().map(|((name, value), n)| {
        // A value that is offered for a regular expression means itself alone.
        let value = if op.is_regex() { super::lines::quoted(value) } else { value.to_owned() };
        (matcher_text(op, name, &value), n)
    });
    let count = |n| if is_exact { number(n) } else { format!("about {}", number(n * step)) };
    texts
        .filter(|(text, _)| !chosen.contains(&text))
        .take(OFFERED)
        .map(|(text, n)| (text.clone(), cut(&super::html::shown_text(&text), 80), count(n)))
        .collect()
}

/// A name and a value, and how many alerts have it.
type Counted<'s> = ((&'s str, &'s str), usize);

/// The most frequent first.
fn by_count(a: &Counted<'_>, b: &Counted<'_>) -> std::cmp::Ordering {
    b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0))
}

/// How many alerts really have these few values.
fn count_again(scene: &Scene, wish: &Wish, name: &str, found: &mut [Counted<'_>]) {
    found.iter_mut().for_each(|(_, n)| *n = 0);
    let mut places = Places::of(|names| names.names().position(|other| other == name));
    for seen in &scene.alerts {
        let Some(known) = value_of(seen, &mut places) else { continue };
        if let Some((_, n)) = found.iter_mut().find(|((_, value), _)| *value == known)
            && wish.filter.fits(seen)
        {
            *n += 1;
        }
    }
    found.sort_unstable_by(by_count);
}

fn value_of<'s>(
    seen: &'s Seen,
    places: &mut Places<'s, Option<usize>, impl Fn(&Labels) -> Option<usize>>,
) -> Option<&'s str> {
    let labels = seen.labels();
    let place = (*places.get(labels)?)?;
    value_in(labels.values_text(), labels.len(), place)
}

/// What follows from the names of a label set, which many alerts have in common: found once for each.
struct Places<'s, T, F> {
    find: F,
    recent: Vec<(&'s Labels, T)>,
}

/// Different sets of names that are remembered.
const RECENT: usize = 16;

impl<'s, T, F: Fn(&Labels) -> T> Places<'s, T, F> {
    fn of(find: F) -> Self {
        Places { find, recent: Vec::with_capacity(RECENT) }
    }

    fn get(&mut self, labels: &'s Labels) -> Option<&T> {
        let known = self.recent.iter().position(|(other, _)| other.shares_names(labels));
        let at = known.unwrap_or_else(|| {
            if self.recent.len() == RECENT {
                self.recent.swap_remove(0);
            }
            self.recent.push((labels, (self.find)(labels)));
            self.recent.len() - 1
        });
        self.recent.get(at).map(|(_, found)| found)
    }
}

/// What fits, counted in one of `step` alerts.
fn counted<'s>(scene: &'s Scene, wish: &Wish, typed: &Typed<'s>, step: usize) -> Vec<Counted<'s>> {
    let alerts = scene.alerts.iter().step_by(step);
    let mut pairs: HashMap<(&str, &str), usize> = HashMap::new();
    match typed {
        Typed::Word(word) => {
            let word = word.to_lowercase();
            let mut named = Places::of(|labels| labels.names().map(|name| contains(name, &word)).collect::<Vec<_>>());
            for seen in alerts {
                let labels = seen.labels();
                let Some(named) = named.get(labels) else { continue };
                let has_value = may_have_value(labels, &word);
                if (has_value || named.contains(&true)) && wish.filter.fits(seen) {
                    for ((name, value), is_named) in labels.iter().zip(named) {
                        if *is_named || (has_value && contains(value, &word)) {
                            *pairs.entry((name, value)).or_default() += 1;
                        }
                    }
                }
            }
        }
        Typed::Value(name, _, value) => {
            let value = value.to_lowercase();
            let mut places = Places::of(|labels| labels.names().position(|other| other == *name));
            for seen in alerts {
                if let Some(known) = value_of(seen, &mut places)
                    && contains(known, &value)
                    && wish.filter.fits(seen)
                {
                    *pairs.entry((*name, known)).or_default() += 1;
                }
            }
        }
    }
    let mut best: Vec<Counted<'s>> = pairs.into_iter().collect();
    let wanted = OFFERED + wish.filter.items.len();
    if best.len() > wanted {
        best.select_nth_unstable_by(wanted, by_count);
        best.truncate(wanted);
    }
    best.sort_unstable_by(by_count);
    best
}

/// What is wrong with a text that looks finished.
fn mistake(text: &str, typed: &Typed<'_>, mode: ParseMode) -> Option<String> {
    let Typed::Value(_, op, value) = typed else { return None };
    let looks_finished =
        text.ends_with('"') && text.matches('"').count().is_multiple_of(2) || (op.is_regex() && !value.is_empty());
    // A quotation that is still open is not finished.
    let whole = if text.matches('"').count().is_multiple_of(2) { text.to_owned() } else { format!("{text}\"") };
    let error = parse_matcher(mode, &whole).err().filter(|_| looks_finished)?;
    Some(format!("Cannot be read yet: {}", Shown(&error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_a_word_until_it_has_an_operator() {
        assert_eq!(Typed::of("tea"), Typed::Word("tea"));
        assert_eq!(Typed::of("team!"), Typed::Word("team"));
        assert_eq!(Typed::of("team="), Typed::Value("team", MatchOp::Equal, ""));
        assert_eq!(Typed::of("team =~ \"we"), Typed::Value("team", MatchOp::Regex, "we"));
        assert_eq!(Typed::of("\"a b\"!=\"x\""), Typed::Value("a b", MatchOp::NotEqual, "x"));
    }

    #[test]
    fn mistakes_are_told_when_the_text_looks_finished() {
        let wrong = |text: &str| mistake(text, &Typed::of(text), ParseMode::Fallback).is_some();
        assert_eq!(
            ["a=~\"b-[3\"", "a=~\"b-[3", "a=", "a=\"b", "a=\"b\"", "word", "=\"b\""].map(wrong),
            [true, true, false, false, false, false, true]
        );
    }
}
