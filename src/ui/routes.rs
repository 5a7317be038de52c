//! Routes: which receiver hears of an alert with these labels. The tree, with the path that labels take; the inhibition
//! rules with what they quiet now; the time intervals as weeks.

use std::{collections::BTreeSet, fmt::Write as _, sync::Arc};

use askama::Template;
use chrono::{Days, NaiveTime, TimeDelta};
use http::StatusCode;

use super::{
    Ui,
    ask::Ask,
    html::{self, Html, Icon, Shown, count, matcher},
    page,
    rows::turn_of,
    scene::Scene,
    shell::{Shell, Tab},
    when::{When, length},
};
use crate::{
    alert::{Labels, matcher::Matcher, text::unquote},
    api::Answer,
    clock::{Time, delta},
    config::{Config, Route},
    timeinterval::TimeInterval,
};

/// Receivers of one answer that are described.
const ENDS_MAX: usize = 20;

#[derive(Template)]
#[template(path = "routes.html")]
struct RoutesPage {
    shell: Shell,
    labels: String,
    error: Option<String>,
    tree: Html,
    ends: Vec<End>,
    rules: Vec<(Html, Html, String, usize)>,
    weeks: Vec<Week>,
    zone: String,
    now: String,
}

/// A route on which labels end.
struct End {
    receiver: Html,
    facts: Vec<(&'static str, Html)>,
}

struct Week {
    name: Html,
    words: Html,
    days: Vec<Day>,
}

struct Day {
    name: &'static str,
    is_today: bool,
    /// From and how long, in minutes of the day.
    spans: Vec<(i64, i64)>,
    words: String,
    class: &'static str,
    now: Option<i64>,
}

/// What is known while the tree is drawn.
struct Tree<'t> {
    /// Where the labels end, in depth-first order.
    ends: BTreeSet<usize>,
    counts: &'t [usize],
    when: &'t When,
    config: &'t Config,
    next: usize,
}

impl Ui {
    pub(super) fn routes_page(&self, scene: &Arc<Scene>, ask: &Ask) -> Answer {
        let config = self.api.config.load().config.clone();
        let text = ask.query.text("labels").unwrap_or_default().trim().to_owned();
        let (labels, error) = match read_labels(&text) {
            Ok(labels) => (Some(labels).filter(|_| !text.is_empty()), None),
            Err(error) => (None, Some(error)),
        };
        let ends: BTreeSet<usize> = labels
            .as_ref()
            .map(|labels| self.api.dispatcher.routes_of(labels))
            .unwrap_or_default()
            .into_iter()
            .collect();
        let mut counts: Vec<usize> = Vec::new();
        for group in &scene.groups {
            if counts.len() <= group.look.route_index {
                counts.resize(group.look.route_index + 1, 0);
            }
            if let Some(slot) = counts.get_mut(group.look.route_index) {
                *slot += group.members.len();
            }
        }
        let mut tree = Tree { ends: ends.clone(), counts: &counts, when: &ask.when, config: &config, next: 0 };
        let mut out = String::new();
        tree.draw(&mut out, &config.route, None);
        let all = all_routes(&config.route);
        let told = ends.iter().filter_map(|index| all.get(*index)).take(ENDS_MAX);
        let inhibited = |rule: usize| {
            scene.alerts.iter().filter(|seen| seen.inhibited_by.is_some_and(|(_, by)| by == rule)).count()
        };
        let rules = config.inhibit_rules.iter().enumerate().map(|(index, rule)| {
            let equal =
                if rule.equal.is_empty() { String::new() } else { format!(", equal: {}", rule.equal.join(", ")) };
            (side(&rule.source), side(&rule.target), html::shown_text(&equal), inhibited(index))
        });
        let page_ = RoutesPage {
            shell: self.shell(scene, ask, Tab::Routes, "Routes"),
            labels: text,
            error,
            tree: Html(out),
            ends: told.map(|route| end(route, labels.as_ref(), &config)).collect(),
            rules: rules.collect(),
            weeks: config.time_intervals.iter().map(|(name, interval)| week(name, interval, &all, &ask.when)).collect(),
            zone: ask.when.zone_text(),
            now: ask.when.local(ask.when.now).format("%a %H:%M").to_string(),
        };
        page(StatusCode::OK, &page_)
    }
}

fn side(matchers: &[Matcher]) -> Html {
    if matchers.is_empty() {
        return Html("any alert".to_owned());
    }
    Html(matchers.iter().map(|m| matcher(m).0).collect::<Vec<_>>().join(" "))
}

fn all_routes(root: &Arc<Route>) -> Vec<Arc<Route>> {
    let mut all = vec![root.clone()];
    root.routes.iter().for_each(|route| all.extend(all_routes(route)));
    all
}

/// `team=web service="a b"`, with or without commas and braces.
pub fn read_labels(text: &str) -> Result<Labels, String> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut rest = text.trim().trim_start_matches('{').trim_end_matches('}').trim();
    while !rest.is_empty() {
        let (name, after) = match quoted(rest)? {
            Some((name, after)) => (name, after),
            None => {
                let end = rest.find(['=', ' ', ',']).unwrap_or(rest.len());
                let (name, after) = rest.split_at(end);
                (name.to_owned(), after)
            }
        };
        let after = after
            .trim_start()
            .strip_prefix('=')
            .ok_or_else(|| format!("{name:?} has no value: labels are written name=value."))?;
        let after = after.trim_start();
        let (value, after) = match quoted(after)? {
            Some(read) => read,
            None => {
                let end = after.find([' ', ',']).unwrap_or(after.len());
                let (value, after) = after.split_at(end);
                (value.to_owned(), after)
            }
        };
        if name.is_empty() {
            return Err("A value has no name: labels are written name=value.".to_owned());
        }
        if !value.is_empty() {
            pairs.push((name, value));
        }
        rest = after.trim_start_matches([' ', ',', '\t', '\n', '\r']);
    }
    Ok(Labels::from_pairs(pairs))
}

/// A text in quotation marks at the beginning, and what follows it.
fn quoted(text: &str) -> Result<Option<(String, &str)>, String> {
    if !text.starts_with('"') {
        return Ok(None);
    }
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => {
                let (literal, after) = text.split_at(at + 1);
                let value = unquote(literal).map_err(|_| format!("{literal} cannot be read."))?;
                return Ok(Some((value, after)));
            }
            _ => {}
        }
    }
    Err("A quotation mark is not closed.".to_owned())
}

impl Tree<'_> {
    /// The route with those below it. Returns whether it is on the path.
    fn draw(&mut self, out: &mut String, route: &Arc<Route>, parent: Option<&Route>) -> bool {
        let index = self.next;
        self.next += 1;
        let mut below = String::new();
        let mut on = self.ends.contains(&index);
        for child in &route.routes {
            on |= self.draw(&mut below, child, Some(route));
        }
        let hit = match (self.ends.contains(&index), on) {
            (true, _) => format!("ends here: {} is told", Shown(&route.receiver)),
            (false, true) => "on the path".to_owned(),
            (false, false) => String::new(),
        };
        let matchers: String = route.matchers.iter().map(|m| matcher(m).0).collect::<Vec<_>>().join(" ");
        let what = if parent.is_none() {
            "<b>all alerts</b>".to_owned()
        } else if matchers.is_empty() {
            "<b>the rest</b>".to_owned()
        } else {
            matchers
        };
        let _ = write!(
            out,
            "<li><div class=\"rt{}\"><span class=\"ls\">{what}</span><span class=\"hit\">{hit}</span><span class=\"rx\">{}</span></div>",
            if on { " on" } else { "" },
            self.facts(route, parent, index)
        );
        if !below.is_empty() {
            let _ = write!(out, "<ul>{below}</ul>");
        }
        out.push_str("</li>");
        on
    }

    /// What differs from the route above.
    fn facts(&self, route: &Route, parent: Option<&Route>, index: usize) -> String {
        let mut out = format!("<span>→ <b><bdi>{}</bdi></b></span>", Shown(&route.receiver));
        let mut add = |differs: bool, text: String| {
            if differs {
                let _ = write!(out, "<span>{text}</span>");
            }
        };
        let by = (route.group_by_all, &route.group_by);
        add(parent.is_none_or(|parent| (parent.group_by_all, &parent.group_by) != by), grouped_by(route));
        let time = |length_: std::time::Duration| length(delta(length_));
        add(
            parent.is_none_or(|parent| parent.group_wait != route.group_wait),
            format!("wait {}", time(route.group_wait)),
        );
        add(
            parent.is_none_or(|parent| parent.group_interval != route.group_interval),
            format!("every {}", time(route.group_interval)),
        );
        add(
            parent.is_none_or(|parent| parent.repeat_interval != route.repeat_interval),
            format!("repeat {}", time(route.repeat_interval)),
        );
        let holds =
            |name: &str| self.config.time_intervals.get(name).is_some_and(|interval| interval.contains(self.when.now));
        for name in &route.mute_time_intervals {
            add(true, format!("muted: <b>{}</b>{}", Shown(name), if holds(name) { ", now" } else { "" }));
        }
        for name in &route.active_time_intervals {
            add(true, format!("active only: <b>{}</b>, {}", Shown(name), if holds(name) { "now" } else { "not now" }));
        }
        add(route.continue_, "goes on to the next".to_owned());
        let alerts = self.counts.get(index).copied().unwrap_or_default();
        add(alerts > 0, count(alerts, "alert", "alerts"));
        out
    }
}

fn grouped_by(route: &Route) -> String {
    if route.group_by_all {
        "each alert alone".to_owned()
    } else if route.group_by.is_empty() {
        "one group".to_owned()
    } else {
        format!("by {}", Shown(&route.group_by.join(", ")))
    }
}

fn end(route: &Route, labels: Option<&Labels>, config: &Config) -> End {
    let integrations = config.receiver(&route.receiver).map(|receiver| {
        let names =
            receiver.integrations.iter().map(|integration| format!("{}/{}", integration.kind, integration.index));
        names.collect::<Vec<_>>().join(", ")
    });
    let integrations = integrations
        .filter(|names| !names.is_empty())
        .unwrap_or_else(|| "nothing: this receiver tells nobody".to_owned());
    let mut facts = vec![
        ("by", Html(integrations)),
        ("grouped", Html(grouped_by(route))),
        ("first message", Html(format!("{} after the first alert", length(delta(route.group_wait))))),
        (
            "then",
            Html(format!(
                "changes at most every {}, repeats after {}",
                length(delta(route.group_interval)),
                length(delta(route.repeat_interval))
            )),
        ),
    ];
    let intervals: Vec<String> = route
        .mute_time_intervals
        .iter()
        .map(|name| format!("in {}", Shown(name)))
        .chain(route.active_time_intervals.iter().map(|name| format!("outside {}", Shown(name))))
        .collect();
    facts.push(("muted", Html(if intervals.is_empty() { "never by time".to_owned() } else { intervals.join(", ") })));
    let missing: Vec<String> = route
        .group_by
        .iter()
        .filter(|name| labels.is_some_and(|labels| labels.get(name).is_none()))
        .map(|name| Shown(name).to_string())
        .collect();
    if !missing.is_empty() {
        facts.push((
            "missing labels",
            Html(format!(
                "<span class=\"warn\">{} {}</span>: not among your labels; such alerts share one group",
                Icon("warn", "f"),
                missing.join(", ")
            )),
        ));
    }
    End { receiver: Html(format!("<bdi>{}</bdi>", Shown(&route.receiver))), facts }
}

/// The days of this week, Monday first, as the reader's clock shows them.
fn week(name: &str, interval: &Arc<TimeInterval>, routes: &[Arc<Route>], when: &When) -> Week {
    let mutes = routes.iter().filter(|route| route.mute_time_intervals.iter().any(|n| n == name)).count();
    let active = routes.iter().filter(|route| route.active_time_intervals.iter().any(|n| n == name)).count();
    let holds = interval.contains(when.now);
    let turn = turn_of(&[interval], when.now, !holds).map(|at| when.short(at));
    let turn = turn.map(|at| format!(", {} {at}", if holds { "until" } else { "next" })).unwrap_or_default();
    let now = if holds { "<b class=\"quiet\">now</b>" } else { "not now" };
    let mut words = Vec::new();
    if mutes > 0 {
        words.push(format!("mutes {}", count(mutes, "route", "routes")));
    }
    if active > 0 {
        words.push(format!("{} active only then", count(active, "route is", "routes are")));
    }
    if words.is_empty() {
        words.push("used by no route".to_owned());
    }
    let class = if active > 0 && mutes == 0 { "act" } else { "on" };
    Week {
        name: Html(Shown(name).to_string()),
        words: Html(format!("{}, {now}{turn}", words.join(", "))),
        days: days(interval, when, class),
    }
}

fn days(interval: &TimeInterval, when: &When, class: &'static str) -> Vec<Day> {
    let here = when.local(when.now);
    let today = here.date();
    let weekday = u64::from(chrono::Datelike::weekday(&today).num_days_from_monday());
    let Some(monday) = today.checked_sub_days(Days::new(weekday)) else { return Vec::new() };
    let names = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let mut days = Vec::new();
    for (number, name) in names.into_iter().enumerate() {
        let Some(date) = monday.checked_add_days(Days::new(number as u64)) else { continue };
        let at = |minute: i64| -> Time { when.moment_of(date.and_time(NaiveTime::MIN) + TimeDelta::minutes(minute)) };
        let spans = spans(&|minute| interval.contains(at(minute)));
        let clock = |minute: i64| format!("{:02}:{:02}", minute / 60, minute % 60);
        let words: Vec<String> =
            spans.iter().map(|(from, long)| format!("{} to {}", clock(*from), clock(from + long))).collect();
        let is_today = date == today;
        let minute = i64::from(chrono::Timelike::hour(&here)) * 60 + i64::from(chrono::Timelike::minute(&here));
        days.push(Day {
            name,
            is_today,
            words: if words.is_empty() { "none".to_owned() } else { words.join(", ") },
            spans,
            class,
            now: is_today.then_some(minute),
        });
    }
    days
}

/// The spans of a day in which something holds: looked at every five minutes, and to the minute where it changes.
fn spans(holds: &dyn Fn(i64) -> bool) -> Vec<(i64, i64)> {
    const STEP: i64 = 5;
    let mut spans: Vec<(i64, i64)> = Vec::new();
    let mut open: Option<i64> = None;
    let mut before = 0;
    for minute in (0..1_440).step_by(STEP as usize) {
        let now = holds(minute);
        if now != open.is_some() {
            let turn = (before + 1..=minute).find(|minute| holds(*minute) == now).unwrap_or(minute);
            let turn = if minute == 0 { 0 } else { turn };
            match open.take() {
                Some(from) => spans.push((from, turn - from)),
                None => open = Some(turn),
            }
        }
        before = minute;
    }
    if let Some(from) = open {
        let end = (before + 1..1_440).find(|minute| !holds(*minute)).unwrap_or(1_440);
        spans.push((from, end - from));
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_with_and_without_quotation_marks() {
        let read = |text: &str| {
            read_labels(text).map(|labels| labels.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join(";"))
        };
        assert_eq!(read("team=web service=\"a b\",x=\"\\\"\""), Ok("service=a b;team=web;x=\"".to_owned()));
        assert_eq!(read("{a=\"1\", \"b c\"=2}"), Ok("a=1;b c=2".to_owned()));
        assert_eq!(read(""), Ok(String::new()));
        for bad in ["team", "team web", "=x", "a=\"b", "a=\"\\q\""] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn spans_of_a_day_are_found_to_the_minute() {
        let within = |minute: i64| (3..=417).contains(&minute) || minute >= 1_321;
        assert_eq!(spans(&within), [(3, 415), (1_321, 119)]);
        assert_eq!(spans(&|_| false), []);
        assert_eq!(spans(&|_| true), [(0, 1_440)]);
        assert_eq!(spans(&|minute| minute < 1_439), [(0, 1_439)]);
    }
}
