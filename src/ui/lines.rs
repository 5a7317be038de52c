//! The lines of the silence editor: one for each label, ticked or not. Where they come from decides which are ticked:
//! of a group its labels, of one alert what it takes to mean it alone, of a filter its matchers.

use std::collections::BTreeMap;

use super::{
    ask::Pairs,
    html::{Html, Shown, count, label},
    scene::{Scene, Seen},
};
use crate::{
    alert::{
        Fingerprint, Labels,
        matcher::{MatchOp, Matcher, ParseMode, parse_matcher, parse_matchers, valid_label_name},
    },
    silence::MatcherText,
};

/// Values of one label that are offered as alternatives.
const ALTERNATIVES_MAX: usize = 32;
/// Lines of one form.
const LINES_MAX: usize = 200;
/// Alerts that are chosen by their ticks.
const PICKED_MAX: usize = 200;

/// One label, with a tick.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub on: bool,
    pub name: String,
    pub op: MatchOp,
    pub value: String,
    /// What it is worth: `without it: 19`.
    pub worth: String,
    pub error: Option<String>,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lines(pub Vec<Line>);

impl Line {
    fn new(on: bool, op: MatchOp, name: &str, value: &str) -> Self {
        Line { on, name: name.to_owned(), op, value: value.to_owned(), worth: String::new(), error: None }
    }

    pub fn text(&self) -> MatcherText {
        MatcherText { op: self.op, name: self.name.clone(), value: self.value.clone() }
    }

    pub fn op_text(&self) -> &'static str {
        self.op.as_str()
    }

    /// In the words of the page: alternatives are counted.
    pub fn shown(&self) -> Html {
        let alternatives = self.value.matches('|').count() + 1;
        let value = if self.op == MatchOp::Regex && alternatives > 2 && self.value.len() > 60 {
            format!("{alternatives} values")
        } else {
            super::html::cut(&self.value, 120)
        };
        if self.name.is_empty() && self.value.is_empty() {
            return Html("<span class=\"l\">new line</span>".to_owned());
        }
        Html::of(super::html::Label { name: &self.name, op: self.op.as_str(), value: &value })
    }

    /// The matcher, or what is wrong with the line.
    pub fn compile(&self, mode: ParseMode) -> Result<Matcher, String> {
        if !valid_label_name(mode, &self.name) {
            return Err(if self.name.is_empty() {
                "A line has no label name.".into()
            } else {
                format!("{} is no label name.", Shown(&self.name))
            });
        }
        Matcher::new(self.op, self.name.as_str(), self.value.as_str())
            .map_err(|error| format!("{}: {}", Shown(&self.name), Shown(&error.to_string())))
    }
}

impl Lines {
    /// From a form: `on` has the numbers of those that are ticked, `n`, `o`, `v` come once for each.
    pub fn read(pairs: &Pairs) -> Self {
        let on: Vec<&str> = pairs.all("on").collect();
        let fields = pairs.all("n").zip(pairs.all("o")).zip(pairs.all("v")).take(LINES_MAX).enumerate();
        let lines = fields.map(|(index, ((name, op), value))| {
            let op = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex]
                .into_iter()
                .find(|known| known.as_str() == op);
            Line::new(on.contains(&index.to_string().as_str()), op.unwrap_or(MatchOp::Equal), name.trim(), value)
        });
        Lines(lines.collect())
    }

    pub fn of_matchers(matchers: &[Matcher]) -> Self {
        Lines(matchers.iter().map(|m| Line::new(true, m.op(), m.name(), m.value())).collect())
    }

    pub fn chosen(&self) -> impl Iterator<Item = &Line> {
        self.0.iter().filter(|line| line.on)
    }

    /// What is wrong with ticked lines.
    pub fn errors(&self) -> impl Iterator<Item = Html> {
        self.chosen().filter_map(|line| line.error.clone().map(Html))
    }

    /// As the address of the page asks, and a sentence that says so.
    pub fn from_query(query: &Pairs, scene: &Scene, mode: ParseMode) -> (Self, Html) {
        let picked: Vec<&Seen> =
            query.all("pick").take(PICKED_MAX).filter_map(|id| scene.find(fingerprint(id)?)).collect();
        if let Some(from) = query.text("from") {
            if let Some(group) = from.strip_prefix("g-").and_then(fingerprint).and_then(|id| scene.group(id)) {
                let members: Vec<&Seen> = group.members.iter().filter_map(|at| scene.alerts.get(*at)).collect();
                return Self::of_group(&group.look.labels, &members);
            }
            if let Some(seen) = fingerprint(from).and_then(|id| scene.find(id)) {
                return Self::of_alert(scene, seen);
            }
        }
        match *picked {
            [] => {}
            [one] => return Self::of_alert(scene, one),
            _ => return Self::of_several(&picked),
        }
        let (lines, bad) = Self::of_filters(query, mode);
        let lead = match (lines.0.is_empty(), bad.is_empty()) {
            (_, false) => format!("Could not be read and was left out: <code>{}</code>.", Shown(&bad)),
            (true, true) if query.has("from") || query.has("pick") => {
                "The alert is gone meanwhile. Say what is to be quiet.".to_owned()
            }
            (true, true) => "Say what is to be quiet.".to_owned(),
            (false, true) => "From a filter. Every matcher is ticked.".to_owned(),
        };
        if lines.0.is_empty() {
            return (Lines(vec![Line::new(true, MatchOp::Equal, "alertname", "")]), Html(lead));
        }
        (lines, Html(lead))
    }

    /// Each `filter` is one matcher, or several in braces.
    fn of_filters(query: &Pairs, mode: ParseMode) -> (Self, String) {
        let (mut lines, mut bad) = (Vec::new(), String::new());
        for text in query.all("filter").map(str::trim).filter(|text| !text.is_empty()) {
            let read = if text.starts_with('{') {
                parse_matchers(mode, text)
            } else {
                parse_matcher(mode, text).map(|one| vec![one])
            };
            match read {
                Ok(matchers) => lines.extend(Self::of_matchers(&matchers).0),
                Err(_) => text.clone_into(&mut bad),
            }
        }
        lines.truncate(LINES_MAX);
        (Lines(lines), bad)
    }

    /// The labels of the group are ticked; the others would quiet less.
    fn of_group(group: &Labels, members: &[&Seen]) -> (Self, Html) {
        let mut lines: Vec<Line> =
            group.iter().map(|(name, value)| Line::new(true, MatchOp::Equal, name, value)).collect();
        for (name, values) in values_of(members) {
            if group.get(name).is_some() || values.len() > ALTERNATIVES_MAX {
                continue;
            }
            // A group by nothing is narrowed by the name of its alerts, if they have one.
            let on = group.is_empty() && name == "alertname";
            lines.push(alternatives(on, name, &values));
        }
        if lines.iter().all(|line| !line.on)
            && let Some(first) = lines.first_mut()
        {
            first.on = true;
        }
        let words: Vec<String> = group.iter().map(|(name, value)| label(name, value).to_string()).collect();
        let lead = if words.is_empty() {
            "From a group of all alerts. Tick more lines to quiet less.".to_owned()
        } else {
            format!("From the group {}. Its labels are ticked; tick more to quiet less.", words.join(" "))
        };
        (Lines(lines), Html(lead))
    }

    /// The labels of its group, and as many more as it takes until it alone is meant.
    fn of_alert(scene: &Scene, seen: &Seen) -> (Self, Html) {
        let group = scene.groups.get(seen.group).map(|group| &group.look.labels);
        let mut lines: Vec<Line> = seen
            .labels()
            .iter()
            .map(|(name, value)| {
                Line::new(group.is_some_and(|group| group.get(name).is_some()), MatchOp::Equal, name, value)
            })
            .collect();
        let mut left: Vec<&Seen> = scene.alerts.iter().collect();
        let fits = |line: &Line, other: &Seen| other.labels().get(&line.name) == Some(line.value.as_str());
        for line in lines.iter().filter(|line| line.on) {
            left.retain(|other| fits(line, other));
        }
        for line in lines.iter_mut().filter(|line| !line.on) {
            if left.len() <= 1 {
                break;
            }
            let fewer = left.iter().filter(|other| fits(line, other)).count();
            if fewer < left.len() {
                line.on = true;
                left.retain(|other| fits(line, other));
            }
        }
        if lines.iter().all(|line| !line.on)
            && let Some(line) = lines.iter_mut().max_by_key(|line| line.name == "alertname")
        {
            line.on = true;
        }
        lines.sort_by_key(|line| !line.on);
        let name = if seen.name().is_empty() { "an alert" } else { seen.name() };
        let lead = format!(
            "From the alert <b><bdi>{}</bdi></b>. What means it alone is ticked; untick lines to quiet more.",
            Shown(name)
        );
        (Lines(lines), Html(lead))
    }

    /// What they share, and the label that tells them apart best.
    fn of_several(picked: &[&Seen]) -> (Self, Html) {
        let mut values = values_of(picked);
        values.retain(|name, _| picked.iter().all(|seen| seen.labels().get(name).is_some()));
        let apart = values
            .iter()
            .filter(|(_, values)| values.len() > 1)
            .max_by_key(|(_, values)| values.len())
            .map(|(name, _)| *name);
        let mut lines: Vec<Line> = values
            .iter()
            .map(|(name, values)| alternatives(values.len() == 1 || apart == Some(*name), name, values))
            .collect();
        lines.sort_by_key(|line| !line.on);
        let lead =
            format!("From {} that you chose. What they share is ticked.", count(picked.len(), "alert", "alerts"));
        (Lines(lines), Html(lead))
    }
}

fn fingerprint(text: &str) -> Option<Fingerprint> {
    u64::from_str_radix(text, 16).ok().map(Fingerprint)
}

/// Every label name with its different values, sorted; names that all or some have.
fn values_of<'s>(seen: &[&'s Seen]) -> BTreeMap<&'s str, Vec<&'s str>> {
    let mut values: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, value) in seen.iter().take(5_000).flat_map(|seen| seen.labels().iter()) {
        let known = values.entry(name).or_default();
        if known.len() <= PICKED_MAX
            && let Err(at) = known.binary_search(&value)
        {
            known.insert(at, value);
        }
    }
    values
}

fn alternatives(on: bool, name: &str, values: &[&str]) -> Line {
    match *values {
        [one] => Line::new(on, MatchOp::Equal, name, one),
        _ => {
            let quoted: Vec<String> = values.iter().map(|value| quoted(value)).collect();
            Line::new(on, MatchOp::Regex, name, &quoted.join("|"))
        }
    }
}

/// A value as a regular expression that means it alone.
pub fn quoted(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if "\\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_value_means_itself_alone() {
        for value in ["a.b:9100", "x|y", "(a)[b]{c}^$*+?\\", "ü"] {
            let line = Line::new(true, MatchOp::Regex, "n", &quoted(value));
            let matcher = line.compile(ParseMode::Fallback).unwrap();
            assert!(matcher.matches_value(value) && !matcher.matches_value("axb:9100"), "{value}");
        }
    }

    #[test]
    fn lines_are_read_with_their_ticks() {
        let pairs = Pairs::parse(b"on=1&n=a&o=%3D&v=1&n=+b+&o=%21%7E&v=2&n=c&o=zz&v=3");
        let lines = Lines::read(&pairs);
        let read: Vec<_> =
            lines.0.iter().map(|line| (line.on, line.name.as_str(), line.op_text(), line.value.as_str())).collect();
        assert_eq!(read, [(false, "a", "=", "1"), (true, "b", "!~", "2"), (false, "c", "=", "3")]);
    }
}
