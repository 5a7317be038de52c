//! Why: the whole story of one alert, verdict first; and the decisions of all nodes, to be searched.
//!
//! The log of decisions is every node's own; all that answer are read together. What stands now is asked of this node:
//! the alert, its groups, what mutes it, and what the notification log says that receivers heard.

use std::{fmt::Write as _, sync::Arc};

use askama::Template;
use chrono::TimeDelta;
use http::StatusCode;

use super::{
    Ui,
    ask::Ask,
    html::{self, Html, Icon, LabelLink, Plain, Shown, count, cut, is_web_url, matcher},
    page,
    rows::{Writing, alert_words, annotations},
    scene::{Group, Quiet, Scene, Seen},
    shell::{Shell, Tab},
    story::{self, Event},
    when::length,
    wish::Wish,
};
use crate::{
    alert::{Alert, Fingerprint, Labels, matcher::MatchOp},
    api::Answer,
    clock::{Time, delta},
    config::Route,
    decisions::{Answered, Cursor, Decision, NodeAnswer, Outcome, Page, Pattern, Query},
    dispatch::Hearing,
};

/// Decisions that are read for one alert.
const STORY_MAX: usize = 100;
/// Groups of one alert that are told in full.
const GROUPS_MAX: usize = 8;

#[derive(Template)]
#[template(path = "why.html")]
struct WhyPage {
    shell: Shell,
    name: Html,
    labels: Vec<Html>,
    verdict: Verdict,
    silence: Option<String>,
    source: Option<String>,
    steps: Vec<Step>,
    events: Vec<Event>,
    events_note: Html,
    more: Option<String>,
    annotations: Vec<(Html, Html)>,
}

#[derive(Template)]
#[template(path = "why_search.html")]
struct SearchPage {
    shell: Shell,
    filter: String,
    receiver: String,
    receivers: Vec<String>,
    outcomes: Vec<(&'static str, &'static str, bool)>,
    spans: Vec<(&'static str, &'static str, bool)>,
    errors: Vec<String>,
    alerts: Vec<(String, Html, Html)>,
    events: Vec<Event>,
    events_note: Html,
    next: Option<String>,
    off: bool,
}

struct Verdict {
    class: &'static str,
    icon: Icon,
    title: Html,
    texts: Vec<Html>,
}

/// One of the six steps; the one where it stopped is marked.
struct Step {
    class: &'static str,
    icon: &'static str,
    title: String,
    texts: Vec<Html>,
}

/// All that is known of the alert that is asked about.
struct Case<'s> {
    ask: &'s Ask,
    writing: &'s Writing<'s>,
    alert: Option<Alert>,
    seen: Option<&'s Seen>,
    /// Its groups, with how each integration stands with this alert.
    groups: Vec<(&'s Group, Vec<Hearing>)>,
    decisions: &'s [Decision],
}

impl Ui {
    /// One alert, also one that is gone, as long as the record remembers it.
    pub(super) async fn why_page(&self, scene: &Arc<Scene>, ask: &Ask, id: &str) -> Answer {
        let Some(fingerprint) = u64::from_str_radix(id, 16).ok().filter(|_| id.len() == 16).map(Fingerprint) else {
            return self.missing(
                scene,
                ask,
                "This is no fingerprint of an alert: it has 16 digits and letters from a to f.",
            );
        };
        let alert = self.api.alerts.get(fingerprint).map(|entry| entry.alert());
        let cursor = ask.query.text("after").and_then(|text| text.parse::<Cursor>().ok());
        let query = Query {
            fingerprint: Some(fingerprint),
            labels: alert.as_ref().map(|alert| alert.labels.clone()),
            limit: STORY_MAX,
            cursor,
            ..Query::default()
        };
        let found = self.api.decisions.everywhere(&query).await;
        let remembered = found.decisions.iter().flat_map(|decision| &decision.alerts);
        let remembered =
            remembered.filter(|known| known.fingerprint == fingerprint).find_map(|known| known.labels.clone());
        let Some(labels) = alert.as_ref().map(|alert| alert.labels.clone()).or(remembered) else {
            return self.missing(
                scene,
                ask,
                "No alert of this fingerprint is known, and no decision about one is remembered.",
            );
        };
        let wish = Wish::read(ask, self.api.mode);
        let writing = Writing { api: &self.api, ask, wish: &wish, scene, nodes: self.node_names() };
        let seen = scene.find(fingerprint);
        let groups = seen
            .map(|_| scene.groups.iter().filter(|group| has(scene, group, fingerprint)).take(GROUPS_MAX))
            .into_iter()
            .flatten();
        let groups = groups.map(|group| (group, self.api.dispatcher.hearings_of(&group.look, Some(&labels)))).collect();
        let case = Case { ask, writing: &writing, alert, seen, groups, decisions: &found.decisions };
        let name = labels.get("alertname").unwrap_or("an alert");
        let verdict = case.verdict();
        let page_ = WhyPage {
            shell: self.shell(scene, ask, Tab::Why, format!("Why: {}", html::shown_text(&cut(name, 60)))),
            name: Html(format!("<bdi>{}</bdi>", Shown(name))),
            labels: labels
                .iter()
                .map(|(name, value)| {
                    Html::of(LabelLink {
                        name,
                        value,
                        href: &ask.to("alerts").with("filter", &html::matcher_text(MatchOp::Equal, name, value)).done(),
                    })
                })
                .collect(),
            silence: (ask.may_write() && seen.is_some())
                .then(|| ask.to("silences/new").with("from", &fingerprint.to_string()).done()),
            source: case.alert.as_ref().map(|alert| alert.generator_url.to_string()).filter(|url| is_web_url(url)),
            steps: case.steps(&labels, &self.path_of(&labels)),
            events: story::events(ask, &found, Some(fingerprint)),
            events_note: record_note(&found, ask),
            more: found
                .next
                .as_ref()
                .map(|next| ask.to(&format!("why/{fingerprint}")).with("after", &next.to_string()).done()),
            annotations: case.alert.as_ref().map(|alert| annotations(&alert.annotations)).unwrap_or_default(),
            verdict,
        };
        page(StatusCode::OK, &page_)
    }

    /// The decisions of all nodes, newest first; and the alerts that fit the filter now.
    pub(super) async fn why_search(&self, scene: &Arc<Scene>, ask: &Ask) -> Answer {
        let mut errors = Vec::new();
        let mut query = Query { limit: 50, ..Query::default() };
        let text = ask.query.text("filter").unwrap_or_default().trim().to_owned();
        if !text.is_empty() {
            match story::read_matchers(&text, self.api.mode) {
                Ok(matchers) => query.matchers = matchers,
                Err(error) => errors.push(error),
            }
        }
        let receiver = ask.query.text("receiver").unwrap_or_default().to_owned();
        if !receiver.is_empty() {
            match Pattern::new(&receiver) {
                Ok(pattern) => query.receiver = Some(pattern),
                Err(error) => errors.push(error.to_string()),
            }
        }
        let outcome = ask.query.text("outcome").unwrap_or_default();
        query.outcomes = match (outcome, outcome.parse::<Outcome>()) {
            ("all", _) => Vec::new(),
            (_, Ok(outcome)) => vec![outcome],
            // Looks that found nothing new are most of the record.
            (_, Err(_)) => Outcome::ALL.into_iter().filter(|outcome| *outcome != Outcome::NotDue).collect(),
        };
        let span = ask.query.text("since").unwrap_or("24h");
        let hours = match span {
            "1h" => 1,
            "168h" => 168,
            _ => 24,
        };
        query.since = Some(ask.when.now - TimeDelta::hours(hours));
        query.cursor = ask.query.text("after").and_then(|text| text.parse::<Cursor>().ok());
        let is_filtered = !query.matchers.is_empty();
        let fitting: Vec<&Seen> = if is_filtered && query.cursor.is_none() {
            scene
                .alerts
                .iter()
                .filter(|seen| query.matchers.iter().all(|matcher| matcher.matches(seen.labels())))
                .take(20)
                .collect()
        } else {
            Vec::new()
        };
        let alerts = fitting.iter().map(|seen| {
            let href = ask.to(&format!("why/{}", seen.entry.fingerprint())).done();
            (href, seen.severity.mark(), Html(Shown(&alert_words(seen.labels())).to_string()))
        });
        let found = self.api.decisions.everywhere(&query).await;
        let mut receivers: Vec<String> =
            self.api.config.load().config.receivers.iter().map(|receiver| receiver.name.to_string()).collect();
        receivers.sort();
        if !receiver.is_empty() && !receivers.contains(&receiver) {
            receivers.insert(0, receiver.clone());
        }
        let outcomes = [
            ("", "All but “nothing new”"),
            ("all", "Any outcome"),
            ("told", "told"),
            ("failed", "failed"),
            ("quiet", "quiet"),
            ("left", "left to another node"),
            ("not_due", "not due"),
            ("noted", "only noted"),
            ("stopped", "cut off by a stop"),
        ];
        let spans = [("1h", "Last hour"), ("24h", "Last 24 h"), ("168h", "Last week")];
        let next = found.next.as_ref().map(|next| {
            let to =
                [("filter", text.as_str()), ("receiver", receiver.as_str()), ("outcome", outcome), ("since", span)];
            let to = to
                .into_iter()
                .filter(|(_, value)| !value.is_empty())
                .fold(ask.to("why"), |to, (name, value)| to.with(name, value));
            to.with("after", &next.to_string()).done()
        });
        let page_ = SearchPage {
            shell: self.shell(scene, ask, Tab::Why, "Why"),
            alerts: alerts.collect(),
            events: story::events(ask, &found, None),
            events_note: record_note(&found, ask),
            next,
            filter: text,
            receiver,
            receivers,
            outcomes: outcomes.map(|(value, word)| (value, word, value == outcome)).into(),
            spans: spans.map(|(value, word)| (value, word, value == span)).into(),
            errors,
            off: !self.api.decisions.is_on(),
        };
        page(StatusCode::OK, &page_)
    }

    /// The routes from the root to where an alert of these labels ends.
    fn path_of(&self, labels: &Labels) -> Vec<Vec<Arc<Route>>> {
        let ends = self.api.dispatcher.routes_of(labels);
        let root = self.api.config.load().config.route.clone();
        ends.iter().filter_map(|end| path_to(&root, *end)).collect()
    }
}

fn has(scene: &Scene, group: &Group, fingerprint: Fingerprint) -> bool {
    group.members.iter().any(|at| scene.alerts.get(*at).is_some_and(|seen| seen.entry.fingerprint() == fingerprint))
}

/// The routes above and including number `wanted` in depth-first order.
fn path_to(root: &Arc<Route>, wanted: usize) -> Option<Vec<Arc<Route>>> {
    fn walk(route: &Arc<Route>, next: &mut usize, wanted: usize, path: &mut Vec<Arc<Route>>) -> bool {
        let index = *next;
        *next += 1;
        path.push(route.clone());
        if index == wanted || route.routes.iter().any(|child| walk(child, next, wanted, path)) {
            return true;
        }
        path.pop();
        false
    }
    let (mut next, mut path) = (0, Vec::new());
    walk(root, &mut next, wanted, &mut path).then_some(path)
}

/// Whose record this is, and what is missing from it.
fn record_note(found: &Page, ask: &Ask) -> Html {
    let name = |node: &NodeAnswer| format!("<bdi>{}</bdi>", Shown(&node.node));
    let of = |state: Answered| {
        found.nodes.iter().filter(|node| node.state == state).map(name).collect::<Vec<_>>().join(", ")
    };
    let mut out = String::from("newest first");
    let (no, off) = (of(Answered::No), of(Answered::Off));
    if found.nodes.len() > 1 {
        let _ = write!(out, "; from {}", of(Answered::Yes));
    }
    if let Some(oldest) =
        found.nodes.iter().filter(|node| node.state == Answered::Yes).filter_map(|node| node.oldest).max()
    {
        let _ = write!(out, "; the record begins {}", ask.when.short(oldest));
    }
    if !no.is_empty() {
        let _ = write!(out, "; <b class=\"warn\">{no} did not answer</b>");
    }
    if !off.is_empty() {
        let _ = write!(out, "; {off} keeps no record");
    }
    Html(out)
}

impl Case<'_> {
    /// When a receiver was last told that it fires: time, receiver and integration.
    fn told(&self) -> Option<(Time, String)> {
        let told = self.groups.iter().flat_map(|(group, hearings)| {
            hearings.iter().filter_map(|hearing| {
                Some((hearing.fired?, format!("{} ({}/{})", group.look.receiver.name, hearing.kind, hearing.index)))
            })
        });
        told.max_by_key(|(at, _)| *at)
    }

    fn failing(&self) -> Option<(&Group, &Hearing)> {
        self.groups.iter().find_map(|(group, hearings)| {
            let hearing =
                hearings.iter().find(|hearing| hearing.debt.as_ref().is_some_and(|debt| debt.failures > 0))?;
            Some((*group, hearing))
        })
    }

    fn verdict(&self) -> Verdict {
        let Some(seen) = self.seen else { return self.gone() };
        if seen.quiet() != Quiet::No {
            return self.quiet(seen);
        }
        let when = &self.ask.when;
        if let Some((group, hearing)) = self.failing() {
            let debt = hearing.debt.as_ref();
            let tries = debt.map_or(0, |debt| debt.failures as usize);
            let error = debt.and_then(|debt| debt.error.clone()).unwrap_or_default();
            let next = debt
                .and_then(|debt| debt.next_try)
                .map(|at| format!("The next try is at {}.", when.clock(at)))
                .unwrap_or_default();
            return Verdict {
                class: " c",
                icon: Icon("fail", "crit"),
                title: Html(format!("Not told: {} has not taken it.", Shown(&group.look.receiver.name))),
                texts: vec![
                    Html(format!(
                        "{} in vain, the last answer of {}/{}: <b>{}</b>",
                        count(tries, "try", "tries"),
                        hearing.kind,
                        hearing.index,
                        Shown(&cut(&error, 300))
                    )),
                    Html(format!(
                        "It stays owed until it is taken, or until everything has ended and was told. {next}"
                    )),
                ],
            };
        }
        if let Some((at, to)) = self.told() {
            let mut texts = Vec::new();
            if let Some((group, _)) = self.groups.first() {
                let repeat = at + delta(group.look.route.repeat_interval);
                texts.push(Html(format!("Next: nothing until <b>{}</b> (repeat after {}), unless an alert joins the group or all resolve. Looked at again at {}.", when.clock(repeat), length(delta(group.look.route.repeat_interval)), when.clock(group.look.next_look))));
            }
            return Verdict {
                class: "",
                icon: Icon("ok", "good"),
                title: Html(format!("Told at {}, to {}.", when.clock(at), Shown(&to))),
                texts,
            };
        }
        let next = self.groups.iter().map(|(group, _)| group.look.next_look).min();
        let silent = self.groups.iter().all(|(_, hearings)| hearings.is_empty());
        if silent {
            return Verdict {
                class: " w",
                icon: Icon("warn", "f warn"),
                title: Html("Nobody is told: the receiver has no integration.".to_owned()),
                texts: vec![Html("Its route ends at a receiver that tells nobody.".to_owned())],
            };
        }
        let texts = next
            .map(|at| vec![Html(format!("Its group looks at {}; what is due then is told.", when.clock(at)))])
            .unwrap_or_default();
        Verdict {
            class: " w",
            icon: Icon("wait", "warn"),
            title: Html("Not told yet: its group waits.".to_owned()),
            texts,
        }
    }

    fn quiet(&self, seen: &Seen) -> Verdict {
        let quiet = seen.quiet();
        let group = self.groups.first().map(|(group, _)| *group);
        let by = group.map(|group| self.writing.quiet_by(seen, group)).unwrap_or_default();
        let told = self.told();
        let title = match (quiet, &told) {
            (Quiet::Silenced, None) => "Not told: silenced",
            (Quiet::Inhibited, None) => "Not told: inhibited",
            (Quiet::Muted, None) => "Not told: muted by time",
            (Quiet::Silenced, Some(_)) => "Quiet now: silenced",
            (Quiet::Inhibited, Some(_)) => "Quiet now: inhibited",
            _ => "Quiet now: muted by time",
        };
        let mut texts = Vec::new();
        if let Some((at, to)) = told {
            texts.push(Html(format!("Before that it was told, at {} to {}.", self.ask.when.clock(at), Shown(&to))));
        }
        if let Some(group) = group {
            let interval = length(delta(group.look.route.group_interval));
            texts.push(Html(format!(
                "When that ends and it still fires, <b><bdi>{}</bdi></b> is told at the next look, within {interval}.",
                Shown(&group.look.receiver.name)
            )));
        }
        Verdict { class: " q", icon: Icon(quiet.id(), "quiet"), title: Html(format!("{title} {by}.")), texts }
    }

    /// It does not fire any more.
    fn gone(&self) -> Verdict {
        let when = &self.ask.when;
        let told = self.decisions.iter().find(|decision| decision.outcome == Outcome::Told);
        let title = match &self.alert {
            Some(alert) => format!("It is over since {}.", when.clock(alert.ends_at.unwrap_or(alert.updated_at))),
            None => "It is over, and forgotten but for the record.".to_owned(),
        };
        let text = match told {
            Some(decision) => format!(
                "Told last at {} to <bdi>{}</bdi>, by <bdi>{}</bdi>.",
                when.clock(decision.at),
                Shown(&decision.receiver),
                Shown(&decision.node)
            ),
            None => "The record has no notification of it.".to_owned(),
        };
        Verdict { class: "", icon: Icon("ok", "good"), title: Html(title), texts: vec![Html(text)] }
    }

    fn steps(&self, labels: &Labels, paths: &[Vec<Arc<Route>>]) -> Vec<Step> {
        let mut steps = vec![self.received(), self.routed(labels, paths)];
        let Some(seen) = self.seen else { return steps };
        steps.push(self.grouped());
        let quiet = seen.quiet();
        steps.push(self.loudness(seen));
        let is_quiet = quiet != Quiet::No;
        steps.push(self.turn(is_quiet));
        steps.push(self.outcome(is_quiet));
        steps
    }

    fn received(&self) -> Step {
        let when = &self.ask.when;
        let texts = match &self.alert {
            Some(alert) => {
                let end = match alert.ends_at {
                    Some(end) if end <= when.now => format!(
                        "It ended {}{}.",
                        when.clock(end),
                        if alert.explicit { ", as its sender said" } else { ", since nobody refreshed it" }
                    ),
                    Some(end) => format!("If nobody refreshes it, it ends at {}.", when.clock(end)),
                    None => String::new(),
                };
                vec![Html(format!(
                    "First at {}, refreshed {} ago; fires since {}. {end}",
                    when.clock(alert.accepted_at),
                    when.ago(alert.updated_at),
                    when.clock(alert.starts_at)
                ))]
            }
            None => vec![Html("Long ago; the alert itself is forgotten.".to_owned())],
        };
        Step { class: "ok", icon: "in", title: "Received".to_owned(), texts }
    }

    fn routed(&self, labels: &Labels, paths: &[Vec<Arc<Route>>]) -> Step {
        let mut texts = Vec::new();
        for path in paths.iter().take(GROUPS_MAX) {
            let mut out = String::from("<span class=\"path\">");
            for (depth, route) in path.iter().enumerate() {
                let matchers: Vec<String> = route.matchers.iter().map(|m| matcher(m).0).collect();
                let words = if depth == 0 {
                    "all".to_owned()
                } else if matchers.is_empty() {
                    "the rest".to_owned()
                } else {
                    matchers.join(" ")
                };
                let _ = write!(out, "<span>{words}</span>");
            }
            let receiver = path.last().map(|route| route.receiver.to_string()).unwrap_or_default();
            let _ = write!(out, "</span> → <b><bdi>{}</bdi></b>", Shown(&receiver));
            texts.push(Html(out));
        }
        let pairs: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{}={}", crate::alert::text::quote(name), crate::alert::text::quote(value)))
            .collect();
        let href = self.ask.to("routes").with("labels", &pairs.join(" ")).done();
        texts.push(Html(format!("<a href=\"{}\">Show in the tree</a>", Plain(&href))));
        Step { class: "ok", icon: "route", title: "Routed".to_owned(), texts }
    }

    fn grouped(&self) -> Step {
        let when = &self.ask.when;
        let texts = self.groups.iter().map(|(group, _)| {
            let route = &group.look.route;
            let by = if route.group_by_all {
                "all labels".to_owned()
            } else if route.group_by.is_empty() {
                "nothing".to_owned()
            } else {
                route.group_by.join(", ")
            };
            Html(format!(
                "For <bdi>{}</bdi> with {} by {}. Wait {}, then every {}; repeat after {}. Next look at {}.",
                Shown(&group.look.receiver.name),
                count(group.members.len() - 1, "other alert", "other alerts"),
                Shown(&by),
                length(delta(route.group_wait)),
                length(delta(route.group_interval)),
                length(delta(route.repeat_interval)),
                when.clock(group.look.next_look)
            ))
        });
        Step { class: "ok", icon: "group", title: "Grouped".to_owned(), texts: texts.collect() }
    }

    fn loudness(&self, seen: &Seen) -> Step {
        let quiet = seen.quiet();
        let Some((group, _)) = self.groups.first() else {
            return Step { class: "off", icon: "ok", title: "Not quiet".to_owned(), texts: Vec::new() };
        };
        if quiet == Quiet::No {
            let text = format!(
                "No silence, no inhibiting alert, no muting interval fits now, {}.",
                self.ask.when.clock(self.ask.when.now)
            );
            return Step { class: "ok", icon: "ok", title: "Not quiet".to_owned(), texts: vec![Html(text)] };
        }
        let mut texts = vec![Html(format!("{} {}.", capital(quiet.word()), self.writing.quiet_by(seen, group)))];
        // It may be quiet for one more reason, which counts when the first one ends.
        if quiet == Quiet::Silenced && seen.inhibited_by.is_some() {
            let only = Seen { silenced_by: Vec::new(), ..seen.clone() };
            texts.push(Html(format!(
                "It would be quiet for one more reason: inhibited {}.",
                self.writing.quiet_by(&only, group)
            )));
        }
        if group.look.muted_by.is_some() && quiet != Quiet::Muted {
            texts.push(Html("Its route is muted by time as well.".to_owned()));
        }
        Step { class: "stop", icon: quiet.id(), title: format!("Quiet: {}", quiet.word()), texts }
    }

    fn turn(&self, is_quiet: bool) -> Step {
        let order = self
            .groups
            .iter()
            .flat_map(|(_, hearings)| hearings)
            .map(|hearing| &hearing.order)
            .find(|order| !order.is_empty());
        let mut texts = match order {
            _ if is_quiet => vec![Html("Not reached.".to_owned())],
            Some(order) => {
                let names: Vec<String> = order.iter().map(|name| format!("<bdi>{}</bdi>", Shown(name))).collect();
                vec![Html(format!("The order is {}.", names.join(", ")))]
            }
            None => vec![Html("There is no other node to ask.".to_owned())],
        };
        let holder = self.groups.iter().flat_map(|(_, hearings)| hearings).find_map(|hearing| hearing.holder.as_ref());
        if let Some((name, _)) = holder.filter(|_| !is_quiet) {
            texts.push(Html(format!("<bdi>{}</bdi> holds the claim.", Shown(name))));
        }
        Step { class: if is_quiet { "off" } else { "ok" }, icon: "nodes", title: "Turn".to_owned(), texts }
    }

    fn outcome(&self, is_quiet: bool) -> Step {
        let when = &self.ask.when;
        let mut texts = Vec::new();
        let (mut told, mut failed) = (false, false);
        for (group, hearings) in &self.groups {
            for hearing in hearings {
                let name =
                    format!("<bdi>{}</bdi> {}/{}", Shown(&group.look.receiver.name), hearing.kind, hearing.index);
                told |= hearing.fired.is_some();
                if let Some(debt) = hearing.debt.as_ref().filter(|debt| debt.failures > 0) {
                    failed = true;
                    texts.push(Html(format!(
                        "{name}: {}, {}",
                        count(debt.failures as usize, "try failed", "tries failed"),
                        Shown(&cut(debt.error.as_deref().unwrap_or_default(), 200))
                    )));
                } else {
                    let words = match (hearing.fired, hearing.resolved) {
                        (Some(at), None) => format!("told at {}", when.clock(at)),
                        (Some(fired), Some(over)) if over > fired => {
                            format!("told that it was over at {}, before it fired again", when.clock(over))
                        }
                        (Some(at), Some(_)) => format!("told at {}", when.clock(at)),
                        (None, _) => "has not heard of it".to_owned(),
                    };
                    texts.push(Html(format!("{name}: {words}")));
                }
            }
        }
        if texts.is_empty() {
            texts.push(Html("Nobody, so far.".to_owned()));
        }
        let class = if failed {
            "bad"
        } else if told {
            "ok"
        } else if is_quiet {
            "off"
        } else {
            ""
        };
        Step { class, icon: "bell", title: if told { "Told" } else { "Not told" }.to_owned(), texts }
    }
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_uppercase().collect::<String>() + chars.as_str()).unwrap_or_default()
}
