//! What a person needs to mend a configuration: the place, what is wrong there, and what is allowed.
//!
//! The checks and their words are `config`'s; here the words are brought together with the file.

use super::places::Place;
use crate::config::{ConfigError, UnknownKey};

/// Something to tell about a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    pub line: Option<u32>,
    /// `route.routes[0].receiver`; empty where no key is to blame.
    pub path: String,
    pub what: String,
    /// Empty if there is nothing to say.
    pub allowed: String,
}

impl Note {
    /// `FILE:LINE: KEY: what`, and what is allowed in a line of its own.
    pub fn text(&self, file: &str) -> String {
        let line = self.line.map_or_else(String::new, |line| format!(":{line}"));
        let path = if self.path.is_empty() { String::new() } else { format!("{}: ", self.path) };
        let allowed = if self.allowed.is_empty() { String::new() } else { format!("\n    {}", self.allowed) };
        format!("{file}{line}: {path}{}{allowed}", self.what)
    }
}

/// One note for each thing that is wrong.
pub fn explain(error: &ConfigError, places: &[Place]) -> Vec<Note> {
    let ConfigError::Invalid { message, unknown } = error else { return Vec::new() };
    let parts: Vec<&str> = match message.strip_prefix("yaml: unmarshal errors:") {
        Some(issues) => issues.lines().map(str::trim).filter(|issue| !issue.is_empty()).collect(),
        None => vec![message],
    };
    let mut notes: Vec<Note> = parts.into_iter().map(|part| note(part, unknown, places)).collect();
    // Reading may have ended at something else, behind them.
    let issues = unknown.iter().map(|key| format!("line {}: field {} not found", key.line, key.name));
    let others = issues.map(|issue| note(&issue, unknown, places));
    let others: Vec<Note> =
        others.filter(|other| !notes.iter().any(|note| (note.line, &note.path) == (other.line, &other.path))).collect();
    notes.extend(others);
    notes.sort_by_key(|note| note.line);
    notes
}

fn note(part: &str, unknown: &[UnknownKey], places: &[Place]) -> Note {
    let (line, what) = split_line(part);
    let of_key = |key: &&UnknownKey| Some(key.line) == line && what.starts_with(&format!("field {} ", key.name));
    let place = locate(places, line, what);
    Note {
        line: place.map(|place| place.line).or(line),
        path: place.map(|place| place.path.clone()).unwrap_or_default(),
        what: what.to_owned(),
        allowed: unknown
            .iter()
            .find(of_key)
            .map_or_else(|| allowed(what, places), |key| of_keys(&key.name, key.allowed)),
    }
}

/// `line 3: what`, `yaml: line 3: what`, `what (line 3)`.
fn split_line(text: &str) -> (Option<u32>, &str) {
    let text = text.strip_prefix("yaml: ").filter(|rest| rest.starts_with("line ")).unwrap_or(text);
    if let Some((number, what)) = text.strip_prefix("line ").and_then(|rest| rest.split_once(": ")) {
        return (number.parse().ok(), what);
    }
    match text.strip_suffix(')').and_then(|rest| rest.rsplit_once(" (line ")) {
        Some((what, number)) if number.parse::<u32>().is_ok() => (number.parse().ok(), what),
        _ => (None, text),
    }
}

fn locate<'p>(places: &'p [Place], line: Option<u32>, what: &str) -> Option<&'p Place> {
    let mentions = |place: &&Place| place.key.len() > 1 && has_word(what, &place.key);
    if let Some(line) = line {
        let first = places.iter().find(|place| place.line == line)?;
        let here = || places.iter().filter(|place| place.line == line);
        let inside = || places.iter().filter(|place| place.line >= line && place.path.starts_with(&first.path));
        // The message may end with the value that is wrong.
        let tail = what.rsplit(": ").next().unwrap_or_default();
        let is_value = |place: &&Place| !tail.is_empty() && place.value == tail;
        return here()
            .find(mentions)
            .or_else(|| inside().find(is_value))
            .or_else(|| inside().find(mentions))
            .or(Some(first));
    }
    for value in quoted(what) {
        let mut having = places.iter().filter(|place| place.value == value);
        let last = what.contains("not unique");
        let known = if last {
            having.next_back()
        } else {
            having.find(|place| place.key != "name" || what.contains("(receiver"))
        };
        if known.is_some() {
            return known;
        }
    }
    let of_route = what.starts_with("root route").then_some("route");
    of_route.and_then(|path| places.iter().find(|place| place.path == path)).or_else(|| places.iter().find(mentions))
}

/// Whether `word` stands in `text` by itself.
fn has_word(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let after = text.get(at + word.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

/// The texts between double quotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').skip(1).step_by(2)
}

fn of_keys(name: &str, keys: &[&str]) -> String {
    let near = keys.iter().map(|key| (distance(name, key), key)).min();
    let guess = match near {
        Some((distance, key)) if distance <= 1 + name.len() / 4 => format!("did you mean {key}? "),
        _ => String::new(),
    };
    format!("{guess}allowed: {}", keys.join(", "))
}

/// How many letters have to be added, left out or changed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (y, above) in b.iter().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(x != *y)).min(above + 1).min(left + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// What could stand there, where that can be said in a line.
fn allowed(what: &str, places: &[Place]) -> String {
    let names_in = |list: &str| {
        let names: Vec<&str> = places
            .iter()
            .filter(|place| place.key == "name" && place.path.starts_with(list) && place.path.matches('.').count() == 1)
            .map(|place| place.value.as_str())
            .collect();
        format!("allowed: {}", names.join(", "))
    };
    let is_duration = what.contains("duration string") || what.contains(" in duration ");
    let text = match what {
        _ if what.starts_with("undefined receiver") => return names_in("receivers"),
        _ if what.starts_with("undefined time interval") => {
            let all = [names_in("time_intervals"), names_in("mute_time_intervals").replace("allowed: ", "")];
            return all.join(", ").trim_end_matches(", ").to_owned();
        }
        _ if is_duration => "allowed: numbers with the units y, w, d, h, m, s, ms, from large to small: 1h30m",
        _ if what.ends_with("into bool") => "allowed: true, false",
        _ if what.ends_with("into a list") => "allowed: a list: [a, b], or a line with - for each element",
        _ if what.starts_with("bad matcher format") || what.contains("matcher value contains") => {
            "allowed: name=\"value\" with one of the operators =, !=, =~, !~"
        }
        _ if what.starts_with("error parsing regexp") => "allowed: RE2 syntax; the whole value of the label must fit",
        _ if what.contains("missing port in address") => "allowed: host:port",
        _ if what.starts_with("unsupported scheme") => "allowed: URLs that start with http:// or https://",
        _ if what.starts_with("unknown TLS version") => "allowed: TLS10, TLS11, TLS12, TLS13",
        _ if what.ends_with("is not a valid weekday") => "allowed: sunday to saturday in full, or ranges monday:friday",
        _ if what.ends_with("is not a valid month") => "allowed: january to december in full, 1 to 12, or ranges",
        _ if what.starts_with("at most one of") => "keep one of them, remove the others",
        _ if what.starts_with("no global") => "set it in the receiver, or for all in global",
        _ => "",
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        config::{self, LoadOptions},
        ctl::places::places,
    };

    fn explained(text: &str) -> String {
        let error = config::parse(text, Path::new("/"), &LoadOptions::default()).unwrap_err();
        explain(&error, &places(text)).iter().map(|note| note.text("f.yml") + "\n").collect()
    }

    #[test]
    fn a_key_that_is_not_known_is_told_with_those_that_are() {
        let told = explained("route:\n  receiver: r\n  group_intervall: 5m\nreceivers:\n- name: r\n  webhooks: []\n");
        let lines: Vec<&str> = told.lines().collect();
        assert!(lines[0].starts_with("f.yml:3: route.group_intervall: field group_intervall not found"), "{told}");
        assert!(lines[1].starts_with("    did you mean group_interval? allowed: receiver, "), "{told}");
        assert!(lines[2].starts_with("f.yml:6: receivers[0].webhooks: field webhooks not found"), "{told}");
    }

    #[test]
    fn the_place_is_found_by_line_by_key_or_by_value() {
        assert_eq!(
            explained("route:\n  receiver: nobody\nreceivers:\n- name: r\n- name: q\n"),
            "f.yml:2: route.receiver: undefined receiver \"nobody\" used in route\n    allowed: r, q\n"
        );
        let told = explained("route:\n  receiver: r\n  repeat_interval: 5 m\nreceivers: [{name: r}]\n");
        assert!(told.starts_with("f.yml:3: route.repeat_interval: "), "{told}");
        assert!(told.contains("allowed: numbers with the units"), "{told}");
        let told = explained("route: {receiver: r}\nreceivers:\n- name: r\n  discord_configs:\n  - title: x\n");
        assert!(told.starts_with("f.yml:5: receivers[0].discord_configs[0]: one of webhook_url"), "{told}");
        let told = explained("route: {receiver: r}\nreceivers:\n- {name: r}\n- {name: r}\n");
        assert!(told.starts_with("f.yml:4: receivers[1].name: "), "{told}");
        assert!(explained("route: [").starts_with("f.yml:"), "no YAML");
    }

    #[test]
    fn keys_before_the_fault_that_ends_reading_are_told_too() {
        let told = explained(
            "route:\n  receiver: r\n  group_intervall: 3s\n  routes:\n  - receiver: r\n    matchers: [a=b, c]\nreceivers: [{name: r}]\n",
        );
        let lines: Vec<&str> = told.lines().collect();
        assert!(lines[0].starts_with("f.yml:3: route.group_intervall: field group_intervall not found"), "{told}");
        assert_eq!(lines[2], "f.yml:6: route.routes[0].matchers[1]: bad matcher format: c", "{told}");
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("at most one of token & token_file", "token"));
        assert!(!has_word("bearer_token_file is", "token"));
        assert_eq!(distance("intervall", "interval"), 1);
    }
}
