//! One group and its alerts as they stand on the list: what the templates `group.html` and `row.html` show.

use std::fmt::Write as _;

use super::{
    ask::{Ask, escaped},
    html::{
        Html, Icon, Label, LabelLink, Linked, NamedIcon, Plain, Prose, Shown, count, cut, is_web_url, label,
        matcher_text, number, shown_text,
    },
    marks::Severity,
    scene::{Fate, FateKind, Group, Quiet, Scene, Seen},
    when::{Moment, When},
    wish::{View, Wish},
};
use crate::{
    alert::{Labels, matcher::MatchOp},
    api::Api,
    clock::Time,
    notify::mute::Suppression,
    silence::Silence,
    timeinterval::TimeInterval,
};

/// Labels in the title of a row.
const TITLE_LABELS: usize = 4;
/// Rows of one group that are sent at once.
pub const ROWS_MAX: usize = 50;
/// Members that are looked at to find what they share.
const COMPARED_MAX: usize = 200;

/// What is in reach while a list is written.
pub struct Writing<'s> {
    pub api: &'s Api,
    pub ask: &'s Ask,
    pub wish: &'s Wish,
    pub scene: &'s Scene,
    /// Names of the writers of the log.
    pub nodes: Vec<String>,
}

/// For `group.html`.
pub struct GroupView {
    pub id: String,
    pub is_critical: bool,
    pub is_open: bool,
    pub mark: Html,
    pub name: Html,
    /// Without tags.
    pub plain_name: String,
    pub labels: Vec<Html>,
    /// The text of the first alert, while the group is closed.
    pub hint: String,
    pub meta: Html,
    pub rows: Vec<RowView>,
    pub more: Option<(String, String)>,
    /// What to say of the rows of a closed group, and where they are.
    pub closed: (String, String),
    pub silence: Option<String>,
    pub why: Option<String>,
    /// Of a group in which nobody is told: what keeps it quiet, with links.
    pub quiet: Option<Html>,
    /// Where its rows come from, for the script.
    pub piece: String,
}

/// For `row.html`.
pub struct RowView {
    pub id: String,
    pub mark: Html,
    pub is_quiet: bool,
    pub title: Vec<Html>,
    /// Without tags.
    pub plain_title: String,
    pub since: Moment,
    pub ago: String,
    pub text: Html,
    /// Why it is quiet, without links, and with them.
    pub by: Option<Html>,
    pub by_linked: Option<Html>,
    pub annotations: Vec<(Html, Html)>,
    pub labels: Vec<Html>,
    pub silence: Option<String>,
    pub why: String,
    pub source: Option<String>,
}

/// The members of a group that are shown, in their order.
pub struct Members<'s> {
    pub group: &'s Group,
    /// Loud ones first, then by severity, then the newest.
    pub seen: Vec<&'s Seen>,
    pub loud: usize,
    pub worst: Severity,
    pub newest: i64,
}

impl<'s> Members<'s> {
    pub fn of(wish: &'s Wish, scene: &'s Scene, group: &'s Group) -> Option<Self> {
        let seen: Vec<&Seen> = wish.filter.members(scene, group).collect();
        let loud = seen.iter().filter(|seen| group.quiet(seen) == Quiet::No);
        let (mut count, mut worst, mut newest) = (0, None::<&Severity>, i64::MIN);
        for seen in loud {
            count += 1;
            worst = Some(worst.map_or(&seen.severity, |worst| worst.min(&seen.severity)));
            newest = newest.max(seen.starts_at.timestamp_millis());
        }
        let first = seen.first()?;
        let worst =
            worst.unwrap_or_else(|| seen.iter().map(|seen| &seen.severity).min().unwrap_or(&first.severity)).clone();
        if newest == i64::MIN {
            newest = seen.iter().map(|seen| seen.starts_at.timestamp_millis()).max().unwrap_or_default();
        }
        Some(Members { group, seen, loud: count, worst, newest })
    }

    /// Puts the first [`ROWS_MAX`] in order.
    fn sort(&mut self) {
        let group = self.group;
        let key = |seen: &&Seen| {
            let quiet = group.quiet(seen) != Quiet::No;
            (quiet, seen.severity.rank(), -seen.starts_at.timestamp_millis(), seen.entry.fingerprint())
        };
        if self.seen.len() > ROWS_MAX {
            self.seen.select_nth_unstable_by_key(ROWS_MAX, key);
            if let Some(first) = self.seen.get_mut(..ROWS_MAX) {
                first.sort_unstable_by_key(key);
            }
        } else {
            self.seen.sort_unstable_by_key(key);
        }
    }
}

impl Writing<'_> {
    fn when(&self) -> &When {
        &self.ask.when
    }

    /// `open`: with its rows.
    pub fn group(&self, mut members: Members<'_>, open: bool) -> GroupView {
        members.sort();
        let group = members.group;
        let id = group.id.to_string();
        let title = Title::of(&members, group);
        let rows = if open {
            let shown = members.seen.iter().take(ROWS_MAX);
            shown.map(|seen| self.row(seen, group, group.quiet(seen), &title)).collect()
        } else {
            Vec::new()
        };
        let total = members.seen.len();
        let here = self.wish.here(self.ask).done();
        let more = (open && total > ROWS_MAX).then(|| {
            let mut wish = self.wish.here(self.ask).with("view", "flat");
            for (name, value) in group.look.labels.iter() {
                wish = wish.with("filter", &matcher_text(MatchOp::Equal, name, value));
            }
            (wish.done(), format!("and {} more, as a table", number(total - ROWS_MAX)))
        });
        let to_open =
            if total == 1 { "Show the alert".to_owned() } else { format!("Show the {} alerts", number(total)) };
        let join = if here.contains('?') { '&' } else { '?' };
        GroupView {
            is_critical: members.loud > 0 && members.worst == Severity::Critical,
            is_open: open,
            mark: self.group_mark(&members),
            name: group_name(group),
            plain_name: group.name().map_or_else(|| "of all alerts".to_owned(), shown_text),
            labels: group
                .look
                .labels
                .iter()
                .filter(|(name, _)| *name != "alertname")
                .map(|(n, v)| Html::of(label(n, &cut(v, 56))))
                .collect(),
            hint: members.seen.first().map(|seen| self.hint(seen, &title)).unwrap_or_default(),
            meta: self.meta(&members),
            rows,
            more,
            closed: (format!("{here}{join}open={id}#g-{id}"), to_open),
            silence: self.ask.may_write().then(|| self.ask.to("silences/new").with("from", &format!("g-{id}")).done()),
            why: members.seen.first().map(|seen| self.why(seen)),
            quiet: members
                .seen
                .first()
                .filter(|_| members.loud == 0)
                .map(|seen| Html(format!("{} {}", group.quiet(seen).word(), self.quiet_by(seen, group)))),
            piece: self.wish.piece(self.ask, "ui/group").with("g", &id).done(),
            id,
        }
    }

    fn why(&self, seen: &Seen) -> String {
        self.ask.to(&format!("why/{}", seen.entry.fingerprint())).done()
    }

    fn group_mark(&self, members: &Members<'_>) -> Html {
        if members.loud > 0 {
            return members.worst.mark();
        }
        let quiet = members.seen.iter().map(|seen| members.group.quiet(seen)).min().unwrap_or(Quiet::Silenced);
        Html::of(NamedIcon(quiet.id(), "quiet", quiet.word().to_owned()))
    }

    fn hint(&self, seen: &Seen, title: &Title) -> String {
        let text = summary(&seen.entry.lock().annotations);
        let value = title.labels(seen.labels()).next().map(|(_, value)| cut(value, 40));
        match (value, text.is_empty()) {
            (Some(value), false) => format!("{value}: {text}"),
            (Some(value), true) => value,
            (None, _) => text,
        }
    }

    /// Counts, and what happened to the group.
    pub fn meta(&self, members: &Members<'_>) -> Html {
        let mut out = String::from("<span class=\"cnt\">");
        let mut by_rank = [0usize; 4];
        let mut by_quiet = [0usize; 3];
        for seen in &members.seen {
            let slot = match members.group.quiet(seen) {
                Quiet::No => by_rank.get_mut(usize::from(seen.severity.rank())),
                Quiet::Silenced => by_quiet.get_mut(0),
                Quiet::Inhibited => by_quiet.get_mut(1),
                Quiet::Muted => by_quiet.get_mut(2),
            };
            if let Some(slot) = slot {
                *slot += 1;
            }
        }
        for (n, word) in by_rank.into_iter().zip(["critical", "warning", "info", "other"]) {
            if n > 0 {
                let _ = write!(out, "<span>{} {word}</span>", number(n));
            }
        }
        for (n, word) in by_quiet.into_iter().zip(["silenced", "inhibited", "muted by time"]) {
            if n > 0 {
                let _ = write!(out, "<span class=\"quiet\">{} {word}</span>", number(n));
            }
        }
        out.push_str("</span>");
        if members.loud == 0 {
            let by = members.seen.first().map(|seen| self.quiet_words(seen, members.group));
            let _ = write!(out, "<span class=\"told\">{}</span>", by.unwrap_or_default());
        } else if self.wish.view != View::Custom {
            self.push_fate(&mut out, &Fate::of(&self.api.dispatcher, &members.group.look, self.scene.now, &self.nodes));
        }
        Html(out)
    }

    fn push_fate(&self, out: &mut String, fate: &Fate) {
        let when = self.when();
        let (class, words) = match &fate.kind {
            FateKind::Told { at, by } => {
                let by = by.as_ref().map(|by| format!("<span class=\"byn\"> by {}</span>", Shown(by)));
                let icon = Icon("ok", "good");
                let next = when.clock(fate.next_look);
                (
                    " ok",
                    format!(
                        "{icon} told {}{} <span class=\"dim nx\">· next look {next}</span>",
                        when.clock(*at),
                        by.unwrap_or_default()
                    ),
                )
            }
            FateKind::Owed { since, error, tries, next } => {
                let next = next.map(|next| format!(" <span class=\"dim nx\">· next try {}</span>", when.clock(next)));
                let (icon, tries) = (Icon("fail", "crit"), count(*tries as usize, "try", "tries"));
                let error = cut(error, 90);
                (
                    " fail",
                    format!(
                        "{icon} owed since {}: {}, {tries}{}",
                        when.short(*since),
                        Shown(&error),
                        next.unwrap_or_default()
                    ),
                )
            }
            FateKind::Telling => ("", format!("{} being told now", Icon("wait", "info"))),
            FateKind::Waits => {
                ("", format!("{} not told yet; first look at {}", Icon("wait", "info"), when.clock(fate.next_look)))
            }
            FateKind::NotTold => (
                "",
                format!(
                    "{} not told by the last look <span class=\"dim nx\">· next {}</span>",
                    Icon("wait", "info"),
                    when.clock(fate.next_look)
                ),
            ),
        };
        let _ = write!(
            out,
            "<span class=\"told{class}\"><span class=\"rcv\">{}</span> {words}</span>",
            Shown(&fate.receiver)
        );
    }

    /// What keeps an alert quiet, in words without links: for places that can be clicked themselves.
    pub fn quiet_words(&self, seen: &Seen, group: &Group) -> Html {
        let linked = self.quiet_by(seen, group).0;
        let mut parts = linked.split("<a href=\"");
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            out.push_str(part.split_once("\">").map_or(part, |(_, words)| words));
        }
        Html(out.replace("</a>", ""))
    }

    /// What keeps an alert quiet, in words with a link; empty if nothing does.
    pub fn quiet_by(&self, seen: &Seen, group: &Group) -> Html {
        let when = self.when();
        let mut out = String::new();
        if let Some(id) = seen.silenced_by.first() {
            let href = self.ask.to(&format!("silences/{}", escaped(id.as_str()))).done();
            let text =
                self.scene.silences.get(id).map_or_else(|| Html("a silence".into()), |silence| silence_words(silence));
            let _ = write!(out, "by <a href=\"{}\">{text}</a>", Plain(&href));
            if let Some(silence) = self.scene.silences.get(id) {
                let _ = write!(out, ", until {}", when.short(silence.ends_at));
            }
            if seen.silenced_by.len() > 1 {
                let _ = write!(out, " and {} more", seen.silenced_by.len() - 1);
            }
        } else if let Some((source, rule)) = seen.inhibited_by {
            let href = self.ask.to(&format!("why/{source}")).done();
            let name = self.scene.find(source).map_or_else(|| "an alert".to_owned(), |seen| alert_words(seen.labels()));
            let _ = write!(out, "by <a href=\"{}\">{}</a>, rule {}", Plain(&href), Shown(&name), rule + 1);
        } else if let Some((suppression, names)) = &group.look.muted_by {
            let href = self.ask.to("routes").done();
            let named = names.iter().map(|name| Shown(name).to_string()).collect::<Vec<_>>().join(", ");
            let outside = *suppression == Suppression::ActiveTimeInterval;
            let _ = write!(
                out,
                "{} <a href=\"{}#intervals\">{named}</a>",
                if outside { "outside" } else { "by interval" },
                Plain(&href)
            );
            let config = self.api.config.load().config.clone();
            let intervals: Vec<&TimeInterval> =
                names.iter().filter_map(|name| config.time_intervals.get(&**name)).map(|i| &**i).collect();
            if let Some(end) = turn_of(&intervals, self.scene.now, outside) {
                let _ = write!(out, ", until {}", when.short(end));
            }
        }
        Html(out)
    }

    /// What happened to the group, in a word.
    pub fn short_fate(&self, group: &Group) -> Html {
        let fate = Fate::of(&self.api.dispatcher, &group.look, self.scene.now, &self.nodes);
        let (icon, word) = match fate.kind {
            FateKind::Told { .. } => (Icon("ok", "good"), "told"),
            FateKind::Owed { .. } => (Icon("fail", "crit"), "owed"),
            FateKind::Telling => (Icon("wait", "info"), "being told"),
            FateKind::Waits => (Icon("wait", "info"), "not told yet"),
            FateKind::NotTold => (Icon("wait", "info"), "not told"),
        };
        Html(format!("<span class=\"two\">{}</span> {icon} <span class=\"dim\">{word}</span>", Shown(&fate.receiver)))
    }

    pub fn row(&self, seen: &Seen, group: &Group, quiet: Quiet, title: &Title) -> RowView {
        let alert = seen.entry.alert();
        let fingerprint = seen.entry.fingerprint();
        let (pairs, more) = title.shown(seen.labels());
        let plain_title = pairs.first().map_or_else(|| seen.name().to_owned(), |(_, value)| cut(value, 80));
        let mut words: Vec<Html> = pairs.iter().map(|(name, value)| Html::of(label(name, &cut(value, 120)))).collect();
        if more > 0 {
            words.push(Html(format!("<span class=\"dim\">and {more} more</span>")));
        }
        RowView {
            id: fingerprint.to_string(),
            mark: if quiet == Quiet::No {
                seen.severity.mark()
            } else {
                Html::of(NamedIcon(quiet.id(), "quiet", quiet.word().to_owned()))
            },
            is_quiet: quiet != Quiet::No,
            title: words,
            plain_title: shown_text(&plain_title),
            since: self.when().short(seen.starts_at),
            ago: self.when().ago(seen.starts_at),
            text: Html::of(Prose(&cut(&summary(&alert.annotations), 400))),
            by: (quiet != Quiet::No).then(|| Html(format!("{} {}", quiet.word(), self.quiet_words(seen, group)))),
            by_linked: (quiet != Quiet::No).then(|| Html(format!("{} {}", quiet.word(), self.quiet_by(seen, group)))),
            annotations: annotations(&alert.annotations),
            labels: seen
                .labels()
                .iter()
                .map(|(name, value)| {
                    Html::of(LabelLink { name, value, href: &self.wish.with_label(self.ask, name, value) })
                })
                .collect(),
            silence: self
                .ask
                .may_write()
                .then(|| self.ask.to("silences/new").with("from", &fingerprint.to_string()).done()),
            why: self.why(seen),
            source: Some(&*alert.generator_url).filter(|url| is_web_url(url)).map(str::to_owned),
        }
    }
}

/// Which labels tell the alerts of a group apart.
pub struct Title {
    /// Names that are not shown.
    common: Vec<String>,
}

impl Title {
    pub fn of(members: &Members<'_>, group: &Group) -> Self {
        let mut common: Vec<String> = group.look.labels.iter().map(|(name, _)| name.to_owned()).collect();
        common.extend(["alertname".to_owned(), "severity".to_owned()]);
        let mut compared = members.seen.iter().take(COMPARED_MAX);
        if members.seen.len() > 1
            && let Some(first) = compared.next()
        {
            let mut shared: Vec<(&str, &str)> = first.labels().iter().collect();
            for seen in compared {
                shared.retain(|(name, value)| seen.labels().get(name) == Some(*value));
            }
            common.extend(shared.into_iter().map(|(name, _)| name.to_owned()));
        }
        Title { common }
    }

    /// Everything but these.
    pub fn without(names: &[&str]) -> Self {
        Title { common: names.iter().map(|name| (*name).to_owned()).collect() }
    }

    fn labels<'l>(&'l self, labels: &'l Labels) -> impl Iterator<Item = (&'l str, &'l str)> {
        let first = labels.get("instance").filter(|_| !self.has("instance")).map(|value| ("instance", value));
        first.into_iter().chain(labels.iter().filter(|(name, _)| *name != "instance" && !self.has(name)))
    }

    fn has(&self, name: &str) -> bool {
        self.common.iter().any(|common| common == name)
    }

    /// The labels to show, and how many more there are. Something is always shown.
    fn shown<'l>(&'l self, labels: &'l Labels) -> (Vec<(&'l str, &'l str)>, usize) {
        let mut pairs: Vec<_> = self.labels(labels).collect();
        if pairs.is_empty() {
            pairs = labels.iter().filter(|(name, _)| !matches!(*name, "alertname" | "severity")).collect();
        }
        if pairs.is_empty() {
            pairs = labels.iter().collect();
        }
        let more = pairs.len().saturating_sub(TITLE_LABELS);
        pairs.truncate(TITLE_LABELS);
        (pairs, more)
    }
}

fn group_name(group: &Group) -> Html {
    match group.name() {
        Some(name) => Html(format!("<bdi>{}</bdi>", Shown(name))),
        None if group.look.labels.is_empty() => Html("All alerts".to_owned()),
        None => Html("<span class=\"dim\">no alertname</span>".to_owned()),
    }
}

/// A silence in a few words: what for, and by whom.
pub fn silence_words(silence: &Silence) -> Html {
    let comment = silence.comment.trim();
    let what = if comment.is_empty() { "no comment".to_owned() } else { format!("“{}”", Shown(&cut(comment, 60))) };
    if silence.created_by.is_empty() {
        Html(what)
    } else {
        Html(format!("{what} ({})", Shown(&cut(&silence.created_by, 40))))
    }
}

/// An alert in a few words: its name and what sets it apart.
pub fn alert_words(labels: &Labels) -> String {
    let name = labels.get("alertname").unwrap_or("an alert");
    match labels
        .get("instance")
        .map(|value| ("instance", value))
        .or_else(|| labels.iter().find(|(n, _)| !matches!(*n, "alertname" | "severity")))
    {
        Some((label, value)) => format!("{} {label}={}", cut(name, 60), cut(value, 60)),
        None => cut(name, 60),
    }
}

/// What an alert says for itself.
pub fn summary(annotations: &Labels) -> String {
    let named = ["summary", "message", "description", "title"].into_iter().find_map(|name| annotations.get(name));
    let text = named.or_else(|| annotations.iter().next().map(|(_, value)| value)).unwrap_or_default();
    text.trim().to_owned()
}

/// All annotations, web addresses as links.
pub fn annotations(annotations: &Labels) -> Vec<(Html, Html)> {
    let value = |text: &str| {
        let links = Html::of(Linked(text));
        let scheme = text.split_once(':').is_some_and(|(scheme, _)| {
            matches!(scheme.trim().to_ascii_lowercase().as_str(), "javascript" | "data" | "vbscript" | "file")
        });
        if scheme {
            Html(format!("<span class=\"m\">{links}</span> <span class=\"dim s\">not a web link, shown as text</span>"))
        } else {
            links
        }
    };
    annotations.iter().map(|(name, text)| (Html::of(Shown(name)), value(text))).collect()
}

/// When what the intervals say next changes: they stop muting, or (`outside`) begin to be active. Within two weeks.
pub fn turn_of(intervals: &[&TimeInterval], now: Time, outside: bool) -> Option<Time> {
    let holds = |at| intervals.iter().any(|interval| interval.contains(at)) != outside;
    let minute = chrono::DurationRound::duration_trunc(now, chrono::TimeDelta::minutes(1)).ok()?;
    let near = (1..=1_440).map(chrono::TimeDelta::minutes);
    let far = (97..=14 * 96).map(|quarter| chrono::TimeDelta::minutes(quarter * 15));
    near.chain(far).map(|ahead| minute + ahead).find(|at| !holds(*at))
}

/// The matchers of a silence, as labels stand.
pub fn matchers(silence: &Silence) -> Vec<Html> {
    let sets = silence.matcher_sets.iter().flat_map(|set| set.iter());
    sets.map(|m| Html::of(Label { name: m.name(), op: m.op().as_str(), value: m.value() })).collect()
}
