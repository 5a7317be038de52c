//! What to say when a list is empty, too long, or cannot be made: always with a way out.

use std::{collections::HashMap, fmt::Write as _};

use super::{
    filter::Item,
    html::{Html, Icon, Label, LabelLink, Plain, Shown, count, number},
    rows::Writing,
    scene::{Quiet, Seen},
    wish::Wish,
};
use crate::{alert::matcher::MatchOp, api::Api};

/// Alerts that are looked at to find labels that narrow a long list.
const SAMPLE: usize = 4_000;
/// Different values among which the nearest is looked for.
const VALUES_MAX: usize = 2_000;

/// What stands in place of a list.
pub enum Nothing {
    /// The answer of the page.
    Verdict(Html),
    Note(Html),
}

/// Filters that cannot be read. The list shows what the others say.
pub fn mistakes(wish: &Wish) -> Vec<Html> {
    let note = |(text, why): (&str, &str)| {
        Html(format!(
            "<div class=\"note c\" role=\"alert\">{}<div><b>Cannot be read:</b> <code>{}</code>. {}. A matcher is a name, then = != =~ or !~, then a value: <code>team=&quot;web&quot;</code>. The list shows what the other filters leave.</div></div>",
            Icon("fail", ""),
            Shown(text),
            Shown(why)
        ))
    };
    wish.filter.bad().map(note).collect()
}

/// Nothing is loud, and nothing was filtered away.
pub fn all_quiet(writing: &Writing<'_>, quiet: usize) -> Html {
    let ask = writing.ask;
    let heard = match writing.scene.last_update {
        Some(at) => format!("<p>The last alert was received {} ago, at {}.</p>", ask.when.ago(at), ask.when.clock(at)),
        None => String::new(),
    };
    let words = count(quiet, "alert is", "alerts are");
    verdict(
        "",
        Icon("ok", "good"),
        "Nothing is firing.",
        &format!("<p>{words} quiet; they are listed below with what keeps them quiet.</p>{heard}"),
    )
}

fn verdict(class: &str, icon: Icon, title: &str, body: &str) -> Html {
    Html(format!("<div class=\"verdict{class}\">{icon}<h2 class=\"big\">{title}</h2><div>{body}</div></div>"))
}

/// No alert is to be shown.
pub fn nothing(api: &Api, writing: &Writing<'_>) -> Nothing {
    let (wish, scene) = (writing.wish, writing.scene);
    if !wish.filter.is_empty() {
        return Nothing::Note(nothing_fits(writing));
    }
    let received =
        ["firing", "resolved"].map(|status| api.metrics.alerts_received_total.with_label_values(&[status, "v2"]).get());
    if !scene.alerts.is_empty() || received.iter().sum::<u64>() > 0 {
        let heard = if received.iter().sum::<u64>() > 0 {
            "Alerts were received since this node started; all have ended."
        } else {
            ""
        };
        return Nothing::Verdict(verdict(
            "",
            Icon("ok", "good"),
            "Nothing is firing.",
            &format!("<p>Nothing is quiet either. {heard}</p>"),
        ));
    }
    Nothing::Verdict(verdict(
        " w",
        Icon("wait", "warn"),
        "No alert has reached this node yet.",
        "<p>Point Prometheus here: <code>alerting: {alertmanagers: [{static_configs: [{targets: ['HOST:9093']}]}]}</code>. Or send one: \
         <code>amtool alert add Test severity=info --alertmanager.url=http://HOST:9093</code></p>",
    ))
}

fn nothing_fits(writing: &Writing<'_>) -> Html {
    let (wish, scene, ask) = (writing.wish, writing.scene, writing.ask);
    let mut out = format!("<div class=\"note\">{}<div><b>No alert fits</b> ", Icon("info", "f"));
    for (index, (text, item)) in wish.filter.items.iter().enumerate() {
        let _ = match item {
            Item::Matcher(m) => write!(out, "{} ", Label { name: m.name(), op: m.op().as_str(), value: m.value() }),
            Item::Word(_) | Item::Bad(_) => write!(out, "<span class=\"m\">{}</span> ", Shown(text)),
        };
        let without: Vec<&Seen> =
            scene.alerts.iter().filter(|seen| wish.filter.fits_without(seen, Some(index))).collect();
        if without.is_empty() || wish.filter.items.len() > 8 {
            continue;
        }
        let _ = write!(
            out,
            "(<a href=\"{}\">without it: {}</a>) ",
            Plain(&wish.without_filter(ask, index)),
            number(without.len())
        );
        if let Item::Matcher(m) = item
            && m.op() == MatchOp::Equal
            && let Some(near) = nearest(&without, m.name(), m.value())
        {
            let mut filters: Vec<&str> = wish.filter.items.iter().map(|(text, _)| text.as_str()).collect();
            let instead = super::html::matcher_text(MatchOp::Equal, m.name(), near);
            if let Some(slot) = filters.get_mut(index) {
                *slot = &instead;
            }
            let href = filters.iter().fold(ask.to("alerts"), |to, filter| to.with("filter", filter)).done();
            let _ = write!(out, "Did you mean {}? ", LabelLink { name: m.name(), value: near, href: &href });
        }
    }
    let quiet = [Quiet::No, Quiet::Silenced, Quiet::Inhibited, Quiet::Muted];
    if let Some((receiver, _)) = &wish.filter.receiver {
        let _ = write!(out, "told to <b>{}</b> ", Shown(receiver));
    }
    if !wish.filter.states.is_empty() {
        let words: Vec<&str> = wish.filter.states.iter().map(|state| state.word()).collect();
        let _ = write!(
            out,
            "and is {}. <a href=\"{}\">Whatever its state</a> ",
            words.join(" or "),
            Plain(&wish.in_states(ask, &quiet))
        );
    }
    let _ = write!(
        out,
        ". In all there are {}. <a href=\"{}\">Remove the filter</a></div></div>",
        count(scene.alerts.len(), "alert", "alerts"),
        Plain(&ask.to("alerts").done())
    );
    Html(out)
}

/// The value of a label that is most like a mistyped one, if it is like it at all.
fn nearest<'s>(seen: &[&'s Seen], name: &str, value: &str) -> Option<&'s str> {
    let mut values: Vec<&str> = seen.iter().filter_map(|seen| seen.labels().get(name)).collect();
    values.sort_unstable();
    values.dedup();
    values.truncate(VALUES_MAX);
    let near = values.into_iter().map(|candidate| (distance(candidate, value), candidate)).min()?;
    (near.0 > 0 && near.0 <= 1 + value.chars().count() / 3).then_some(near.1)
}

/// Letters to change, add or remove; two that were swapped count as one.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX / 2);
            let mut least = (at(&row, j) + usize::from(from != to)).min(at(&row, j + 1) + 1).min(at(&next, j) + 1);
            if i > 0 && j > 0 && a.get(i - 1) == Some(to) && b.get(j - 1) == Some(from) {
                least = least.min(at(&before, j - 1) + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or(0)
}

/// More groups than a page holds: what makes most of it, and labels that narrow best.
pub fn too_many(writing: &Writing<'_>, loud: usize, groups: usize, shown: usize) -> Html {
    let (wish, ask) = (writing.wish, writing.ask);
    let wanted: Vec<&Seen> =
        writing.scene.alerts.iter().filter(|seen| seen.quiet() == Quiet::No && wish.filter.fits(seen)).collect();
    let mut names: HashMap<&str, usize> = HashMap::new();
    for seen in &wanted {
        *names.entry(seen.name()).or_default() += 1;
    }
    let mut names: Vec<(usize, &str)> = names.into_iter().map(|(name, n)| (n, name)).collect();
    names.sort_unstable_by(|a, b| b.cmp(a));
    let mut out = format!(
        "<div class=\"note w\">{}<div><b>{} firing in {} groups</b>, most of them ",
        Icon("warn", "f"),
        number(loud),
        number(groups)
    );
    let most: Vec<String> = names
        .iter()
        .take(2)
        .map(|(n, name)| {
            format!(
                "<a href=\"{}\">{}, {}</a>",
                Plain(&wish.with_label(ask, "alertname", name)),
                Shown(name),
                number(*n)
            )
        })
        .collect();
    let _ = write!(out, "{}. The first {} groups are shown.", most.join(" and "), shown);
    let narrowing = narrowing(&wanted);
    if !narrowing.is_empty() {
        out.push_str(" Narrow by ");
        let links: Vec<String> = narrowing
            .iter()
            .map(|(name, value, percent)| {
                format!("{} ({percent} %)", LabelLink { name, value, href: &wish.with_label(ask, name, value) })
            })
            .collect();
        out.push_str(&links.join(", "));
        out.push('.');
    }
    out.push_str("</div></div>");
    Html(out)
}

/// Labels that many of the alerts have, but not nearly all: name, value, percent.
fn narrowing<'s>(wanted: &[&'s Seen]) -> Vec<(&'s str, &'s str, usize)> {
    let step = wanted.len().div_ceil(SAMPLE).max(1);
    let sample: Vec<&&Seen> = wanted.iter().step_by(step).collect();
    let mut pairs: HashMap<(&str, &str), usize> = HashMap::new();
    for seen in &sample {
        for pair in seen.labels().iter().filter(|(name, _)| *name != "alertname") {
            *pairs.entry(pair).or_default() += 1;
        }
    }
    let share = |n: usize| n * 100 / sample.len().max(1);
    let mut best: Vec<_> = pairs.into_iter().filter(|(_, n)| (5..=95).contains(&share(*n))).collect();
    best.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let mut found: Vec<(&str, &str, usize)> = Vec::new();
    for ((name, value), n) in best {
        if found.len() < 3 && !found.iter().any(|(known, ..)| *known == name) {
            found.push((name, value, share(n)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_mistake_is_near_and_another_word_is_not() {
        assert_eq!(["wbe", "webb", "web", "mail"].map(|text| distance(text, "web")), [1, 1, 0, 4]);
        assert_eq!((distance("", "abc"), distance("ü", "u")), (3, 1));
    }
}
