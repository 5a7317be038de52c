//! Decisions in words, one line each.

use super::{
    ask::Ask,
    html::{Html, Icon, Plain, Shown, count, cut, number},
    rows::alert_words,
    when::{Moment, took},
};
use crate::{
    alert::{
        Fingerprint,
        matcher::{Matcher, ParseMode, parse_matcher, parse_matchers},
    },
    decisions::{Decision, Muted, Outcome, Page, Phase, Why},
};

/// For `event.html`.
pub struct Event {
    pub at: Moment,
    pub node: Html,
    pub icon: Icon,
    pub text: Html,
    pub small: Html,
}

/// `about`: the alert whose story it is; without one, each line says which group it is about.
pub fn events(ask: &Ask, found: &Page, about: Option<Fingerprint>) -> Vec<Event> {
    let several = found.nodes.len() > 1;
    found.decisions.iter().map(|decision| event(ask, decision, about, several)).collect()
}

fn event(ask: &Ask, decision: &Decision, about: Option<Fingerprint>, several: bool) -> Event {
    let (icon, text, mut small) = words(ask, decision, about, several);
    if decision.count > 1 {
        small.insert(
            0,
            format!(
                "{} times, last at {}",
                number(usize::try_from(decision.count).unwrap_or(usize::MAX)),
                ask.when.clock(decision.last)
            ),
        );
    }
    let subject = if about.is_some() { String::new() } else { subject(ask, decision) };
    Event {
        at: ask.when.clock(decision.at),
        node: Html(format!("<bdi>{}</bdi>", Shown(&decision.node))),
        icon,
        text: Html(format!("{text}{subject}")),
        small: Html(small.join("; ")),
    }
}

/// Which group, with a link to the story of its first alert.
fn subject(ask: &Ask, decision: &Decision) -> String {
    let labels = &decision.group.labels;
    let name = labels.get("alertname").map(|name| cut(name, 60));
    let rest: Vec<String> =
        labels.iter().filter(|(name, _)| *name != "alertname").map(|(_, value)| cut(value, 40)).collect();
    let words = [name.unwrap_or_default(), rest.join(" ")].join(" ");
    let words = if words.trim().is_empty() { "all alerts".to_owned() } else { words };
    match decision.alerts.first() {
        Some(alert) => {
            let href = ask.to(&format!("why/{}", alert.fingerprint)).done();
            format!(" · <a href=\"{}\"><bdi>{}</bdi></a>", Plain(&href), Shown(words.trim()))
        }
        None => format!(" · <bdi>{}</bdi>", Shown(words.trim())),
    }
}

fn target(decision: &Decision) -> String {
    match &decision.integration {
        Some(slot) => format!("<bdi>{}</bdi> {}/{}", Shown(&decision.receiver), Shown(&slot.kind), slot.index),
        None => format!("<bdi>{}</bdi>", Shown(&decision.receiver)),
    }
}

fn totals(decision: &Decision) -> String {
    let totals = decision.totals;
    let parts = [(totals.firing, "firing"), (totals.resolved, "resolved"), (totals.muted, "quiet")];
    let parts: Vec<String> =
        parts.into_iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{} {word}", number(n as usize))).collect();
    parts.join(", ")
}

fn words(ask: &Ask, decision: &Decision, about: Option<Fingerprint>, several: bool) -> (Icon, String, Vec<String>) {
    let (when, to) = (&ask.when, target(decision));
    let until = |words: &str| decision.until.map(|at| format!("{words} {}", when.clock(at)));
    let took = decision.attempt.as_ref().map(|attempt| format!("after {}", took(attempt.took))).unwrap_or_default();
    let attempt = decision.attempt.as_ref().map(|attempt| format!("attempt {}", attempt.number));
    let reason = Shown(decision.why.as_str()).to_string();
    let mut small: Vec<String> = Vec::new();
    let (icon, text) = match decision.outcome {
        Outcome::Told => {
            small.extend(attempt);
            small.extend([reason, totals(decision)]);
            (Icon("ok", "good"), format!("<b>{to} took it</b> {took}"))
        }
        Outcome::Noted => {
            small.extend([reason, "this integration sends no ends".to_owned()]);
            (Icon("ok", "dim"), format!("Noted the end for {to}, sent nothing"))
        }
        Outcome::Failed => {
            let error = decision.attempt.as_ref().and_then(|attempt| attempt.error.as_deref()).unwrap_or("no answer");
            small.extend(attempt);
            small.push(took);
            small.extend(until("next at"));
            if decision.attempt.as_ref().is_some_and(|attempt| attempt.handed_over && several) {
                small.push("the next node may try at once".to_owned());
            }
            (Icon("fail", "crit"), format!("<b>{to} did not take it</b>: {}", Shown(&cut(error, 200))))
        }
        Outcome::Quiet => {
            small.push(totals(decision));
            let alert = about
                .and_then(|about| decision.alerts.iter().find(|alert| alert.fingerprint == about))
                .or_else(|| decision.alerts.first());
            let (icon, by) = alert
                .and_then(|alert| alert.muted.as_deref())
                .map_or(("silenced", String::new()), |muted| muted_by(ask, muted));
            (Icon(icon, "quiet"), format!("Quiet for {to}{by}"))
        }
        Outcome::Left => left(ask, decision, &to, &mut small),
        Outcome::NotDue => {
            small.extend(until("not due before"));
            let words = if decision.why == Why::NoLongerOwed { "no longer owed" } else { "nothing new" };
            (Icon("wait", "dim"), format!("Looked for {to}: {words}"))
        }
        Outcome::Stopped => (Icon("fail", "warn"), format!("The program ended while {to} was being told")),
    };
    if let Some(log) = &decision.log {
        small.push(format!("written down at {}", when.clock(log.at)));
    }
    if decision.omitted() > 0 {
        small.push(format!("{} not listed", count(decision.omitted(), "alert is", "alerts are")));
    }
    small.retain(|text| !text.is_empty());
    (icon, text, small)
}

fn left(ask: &Ask, decision: &Decision, to: &str, small: &mut Vec<String>) -> (Icon, String) {
    let holder = decision.claim.as_ref().map(|claim| format!("<bdi>{}</bdi>", Shown(&claim.holder)));
    let holder = holder.unwrap_or_else(|| "another node".to_owned());
    if let Some(claim) = decision.claim.as_ref().filter(|claim| claim.phase != Phase::Told) {
        small.push(format!("it is {}", Shown(claim.phase.as_str())));
    }
    if !decision.order.is_empty() {
        let names: Vec<String> = decision.order.iter().map(|name| Shown(name).to_string()).collect();
        small.push(format!("the order is {}", names.join(", ")));
    }
    small.extend(decision.until.map(|at| format!("looks again at {}", ask.when.clock(at))));
    match decision.why {
        Why::ToldElsewhere => (Icon("ok", "dim"), format!("Did not send to {to}: {holder} has told it")),
        Why::Claimed => (Icon("wait", "info"), format!("<b>Left to {holder}</b>, which holds the claim on {to}")),
        Why::OthersFirst => (Icon("wait", "info"), format!("Waits for its turn to tell {to}")),
        Why::BackOff => (Icon("wait", "warn"), format!("Waits after its own failure with {to}")),
        _ => (Icon("wait", "info"), format!("Left for now: {to}")),
    }
}

fn muted_by(ask: &Ask, muted: &Muted) -> (&'static str, String) {
    match muted {
        Muted::Silences(ids) => {
            let links: Vec<String> = ids
                .iter()
                .take(3)
                .map(|id| {
                    format!(
                        "<a href=\"{}\">{}</a>",
                        Plain(&ask.to(&format!("silences/{}", super::ask::escaped(id))).done()),
                        Shown(&cut(id, 8))
                    )
                })
                .collect();
            ("silenced", format!(": silenced by {}", links.join(", ")))
        }
        Muted::Inhibited { source, labels, rule } => {
            let name = labels.as_ref().map_or_else(|| "an alert".to_owned(), alert_words);
            let href = ask.to(&format!("why/{source}")).done();
            (
                "inhibited",
                format!(
                    ": inhibited by <a href=\"{}\"><bdi>{}</bdi></a>, rule {}",
                    Plain(&href),
                    Shown(&name),
                    rule + 1
                ),
            )
        }
        Muted::MuteIntervals(names) => ("muted", format!(": muted by {}", named(names))),
        Muted::OutsideActiveIntervals(names) => ("muted", format!(": outside of {}", named(names))),
    }
}

fn named(names: &[std::sync::Arc<str>]) -> String {
    names.iter().map(|name| Shown(name).to_string()).collect::<Vec<_>>().join(", ")
}

/// One matcher, several in braces, or a word, which is the name of an alert.
pub fn read_matchers(text: &str, mode: ParseMode) -> Result<Vec<Matcher>, String> {
    if text.starts_with('{') {
        return parse_matchers(mode, text).map_err(|error| error.to_string());
    }
    if text.contains(['=', '~']) {
        return parse_matcher(mode, text).map(|one| vec![one]).or_else(|error| {
            // Several without braces.
            parse_matchers(mode, &format!("{{{text}}}")).map_err(|_| error.to_string())
        });
    }
    let pattern = format!("(?i).*{}.*", super::lines::quoted(text));
    let matcher = Matcher::new(crate::alert::matcher::MatchOp::Regex, "alertname", pattern.as_str());
    matcher.map(|one| vec![one]).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_part_of_an_alert_name() {
        let matchers = read_matchers("host", ParseMode::Fallback).unwrap();
        assert!(matchers[0].matches_value("HostDown") && !matchers[0].matches_value("x"));
        assert_eq!(read_matchers("a=\"b\", c=~\"d\"", ParseMode::Fallback).unwrap().len(), 2);
        assert!(read_matchers("a=~\"(\"", ParseMode::Fallback).is_err());
    }
}
