//! What loads, but surprises.

use std::time::Duration;

use super::{
    explain::Note,
    places::{Place, line_of},
};
use crate::{
    alert::{
        matcher::{MatchOp, Matcher},
        text::format_prometheus_duration,
    },
    config::{Config, Route},
};

/// The cluster for which the file is meant.
#[derive(Clone, Copy, Debug)]
pub struct Cluster {
    pub nodes: u32,
    pub peer_timeout: Duration,
}

/// All warnings, in the order of the file's parts.
pub fn lint(config: &Config, places: &[Place], cluster: Cluster) -> Vec<Note> {
    let mut lint = Lint { places, notes: Vec::new() };
    lint.route(&config.route, None, "route", cluster);
    lint.receivers(config);
    lint.rules(config);
    lint.notes
}

struct Lint<'a> {
    places: &'a [Place],
    notes: Vec<Note>,
}

impl Lint<'_> {
    fn add(&mut self, path: &str, what: String, advice: &str) {
        let line = line_of(self.places, path);
        self.notes.push(Note { line, path: path.to_owned(), what, allowed: advice.to_owned() });
    }

    /// A key of the route if it is there, else the route.
    fn at(&self, path: &str, key: &str) -> String {
        let with_key = format!("{path}.{key}");
        if line_of(self.places, &with_key).is_some() { with_key } else { path.to_owned() }
    }

    fn route(&mut self, route: &Route, parent: Option<&Route>, path: &str, cluster: Cluster) {
        self.intervals(route, parent, path, cluster);
        self.matchers(route.matchers.iter(), path);
        if let Some(parent) = parent {
            self.inheritance(route, parent, path);
        }
        for (index, child) in route.routes.iter().enumerate() {
            let below = format!("{path}.routes[{index}]");
            let before = route.routes.iter().take(index).enumerate();
            let hidden = before.filter(|(_, earlier)| !earlier.continue_).find(|(_, earlier)| covers(earlier, child));
            if let Some((earlier, _)) = hidden {
                self.add(
                    &below,
                    format!("no alert gets here: {path}.routes[{earlier}] takes all of them"),
                    "set continue: true there, put this route before it, or remove it",
                );
            }
            self.route(child, Some(route), &below, cluster);
        }
    }

    /// Told where a time is set, not for each child that inherits it.
    fn intervals(&mut self, route: &Route, parent: Option<&Route>, path: &str, cluster: Cluster) {
        let (group, repeat) = (route.group_interval, route.repeat_interval);
        if parent.is_some_and(|parent| (parent.group_interval, parent.repeat_interval) == (group, repeat)) {
            return;
        }
        let text = format_prometheus_duration;
        let at = self.at(path, "repeat_interval");
        if repeat < group {
            let what = format!("repeat_interval {} is below group_interval {}", text(repeat), text(group));
            self.add(&at, what, "a notification is repeated at the next group_interval, not earlier");
        } else if !group.is_zero() && !repeat.as_millis().is_multiple_of(group.as_millis().max(1)) {
            let times = u32::try_from(repeat.as_millis() / group.as_millis().max(1)).unwrap_or(u32::MAX - 1) + 1;
            let what = format!("repeat_interval {} is no multiple of group_interval {}", text(repeat), text(group));
            let really = text(group.saturating_mul(times));
            self.add(&at, what, &format!("notifications are repeated each {really}"));
        }
        let last_turn = cluster.peer_timeout.saturating_mul(cluster.nodes.saturating_sub(1));
        if group < last_turn && parent.is_none_or(|parent| parent.group_interval != group) {
            let what = format!(
                "group_interval {} is below {}, the turn of the last of {} nodes ({} x --cluster.peer-timeout {})",
                text(group),
                text(last_turn),
                cluster.nodes,
                cluster.nodes.saturating_sub(1),
                text(cluster.peer_timeout)
            );
            let at = self.at(path, "group_interval");
            self.add(&at, what, "make group_interval longer, or --cluster.peer-timeout shorter");
        }
    }

    fn inheritance(&mut self, route: &Route, parent: &Route, path: &str) {
        for (key, own, above) in [
            ("mute_time_intervals", &route.mute_time_intervals, &parent.mute_time_intervals),
            ("active_time_intervals", &route.active_time_intervals, &parent.active_time_intervals),
        ] {
            let missing: Vec<&str> = above.iter().filter(|name| !own.contains(name)).map(String::as_str).collect();
            if !missing.is_empty() {
                let what = format!("{key} of the parent are not inherited: {} not here", are(&missing));
                self.add(path, what, "repeat them in this route if its alerts shall be muted too");
            }
        }
    }

    fn matchers<'m>(&mut self, matchers: impl Iterator<Item = &'m Matcher>, path: &str) {
        for matcher in matchers {
            if !matches_everything(matcher) {
                continue;
            }
            let at = self.at(path, "matchers");
            let (what, advice) = if matcher.op() == MatchOp::NotRegex {
                (format!("{matcher} matches nothing"), "remove it, or narrow the expression")
            } else {
                (
                    format!("{matcher} matches everything, also alerts without this label"),
                    "use .+ if the label must be there",
                )
            };
            self.add(&at, what, advice);
        }
    }

    fn receivers(&mut self, config: &Config) {
        for (index, receiver) in config.receivers.iter().enumerate() {
            if !is_used(&config.route, &receiver.name) {
                let what = format!("no route uses the receiver {:?}", &*receiver.name);
                self.add(&format!("receivers[{index}].name"), what, "");
            }
        }
    }

    fn rules(&mut self, config: &Config) {
        for (index, rule) in config.inhibit_rules.iter().enumerate() {
            self.matchers(rule.source.iter().chain(rule.target.iter()), &format!("inhibit_rules[{index}]"));
        }
    }
}

fn are(names: &[&str]) -> String {
    format!("{} {}", names.join(", "), if names.len() == 1 { "is" } else { "are" })
}

fn is_used(route: &Route, receiver: &str) -> bool {
    &*route.receiver == receiver || route.routes.iter().any(|child| is_used(child, receiver))
}

/// Whether all that `later` matches is matched by `earlier`: for each condition there, one here implies it.
fn covers(earlier: &Route, later: &Route) -> bool {
    earlier.matchers.iter().all(|condition| {
        (matches_everything(condition) && condition.op() != MatchOp::NotRegex)
            || later.matchers.iter().any(|given| given.name() == condition.name() && implies(given, condition))
    })
}

fn implies(given: &Matcher, condition: &Matcher) -> bool {
    given == condition
        || given.literals().is_some_and(|values| values.iter().all(|value| condition.matches_value(value)))
}

/// Judged by samples that have nothing in common but that nobody would list them. Of `!~`: matches nothing.
fn matches_everything(matcher: &Matcher) -> bool {
    const SAMPLES: [&str; 5] = ["", "a", "0", "zq-7/ü x", "\u{1F514}=\"{}\\"];
    let wanted = matcher.op() == MatchOp::Regex;
    matcher.op().is_regex() && SAMPLES.iter().all(|sample| matcher.matches_value(sample) == wanted)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        config::{self, LoadOptions},
        ctl::places::places,
    };

    fn told(text: &str) -> Vec<String> {
        let loaded = config::parse(text, Path::new("/"), &LoadOptions::default()).unwrap();
        let cluster = Cluster { nodes: 3, peer_timeout: Duration::from_secs(15) };
        let notes = lint(&loaded.config, &places(text), cluster);
        notes.iter().map(|note| note.text("f").lines().next().unwrap_or_default().to_owned()).collect()
    }

    const END: &str = "receivers: [{name: r}]\n";

    #[test]
    fn a_plain_file_has_no_warnings() {
        assert_eq!(told(&format!("route: {{receiver: r}}\n{END}")), Vec::<String>::new());
    }

    #[test]
    fn routes_behind_one_that_takes_all_are_told() {
        let routes = "route:\n  receiver: r\n  routes:\n  - {matchers: ['a=~\"1|2\"']}\n  - {matchers: [a=1, b=2]}\n  - {matchers: [a=3]}\n  - {}\n  - {matchers: [c=1]}\n";
        assert_eq!(
            told(&format!("{routes}{END}")),
            [
                "f:5: route.routes[1]: no alert gets here: route.routes[0] takes all of them",
                "f:8: route.routes[4]: no alert gets here: route.routes[3] takes all of them",
            ]
        );
        let continued = routes.replace("'a=~\"1|2\"']", "'a=~\"1|2\"'], continue: true").replace("  - {}\n", "");
        assert_eq!(told(&format!("{continued}{END}")), Vec::<String>::new());
    }

    #[test]
    fn times_that_do_not_fit_are_told_where_they_are_set() {
        let route = |times: &str| format!("route:\n  receiver: r\n{times}  routes: [{{matchers: [a=b]}}]\n{END}");
        assert_eq!(
            told(&route("  group_interval: 5m\n  repeat_interval: 1m\n")),
            ["f:4: route.repeat_interval: repeat_interval 1m is below group_interval 5m"]
        );
        assert_eq!(
            told(&route("  group_interval: 5m\n  repeat_interval: 12m\n")),
            ["f:4: route.repeat_interval: repeat_interval 12m is no multiple of group_interval 5m"]
        );
        assert_eq!(
            told(&route("  group_interval: 10s\n")),
            [
                "f:3: route.group_interval: group_interval 10s is below 30s, the turn of the last of 3 nodes (2 x --cluster.peer-timeout 15s)"
            ]
        );
    }

    #[test]
    fn unused_receivers_uninherited_mutes_and_wide_expressions_are_told() {
        let text = "route:\n  receiver: r\n  routes:\n  - matchers: ['a=~\".*\"']\n    mute_time_intervals: [n]\n    routes:\n    - matchers: [b=c, 'd!~\".*\"']\n\
                    time_intervals: [{name: n, time_intervals: [{years: ['2020']}]}]\nreceivers:\n- name: r\n- name: q\n";
        assert_eq!(
            told(text),
            [
                "f:4: route.routes[0].matchers: a=~\".*\" matches everything, also alerts without this label",
                "f:7: route.routes[0].routes[0].matchers: d!~\".*\" matches nothing",
                "f:7: route.routes[0].routes[0]: mute_time_intervals of the parent are not inherited: n is not here",
                "f:11: receivers[1].name: no route uses the receiver \"q\"",
            ]
        );
    }
}
