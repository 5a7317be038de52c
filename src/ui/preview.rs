//! What a silence that is being written would quiet now, and what each of its lines is worth.

use std::collections::BTreeSet;

use super::{
    ask::{Ask, escaped},
    html::{Html, Plain, Shown, count, number},
    lines::Lines,
    marks::Severity,
    rows::silence_words,
    scene::{Scene, Seen},
};
use crate::{
    alert::matcher::{Matcher, ParseMode},
    clock::Time,
    silence::SilenceId,
};

/// Alerts that are listed.
const SHOWN: usize = 8;

/// For `preview.html`.
#[derive(Default)]
pub struct Preview {
    /// `Quiets 3 alerts now`.
    pub headline: String,
    pub severities: Vec<(Html, String)>,
    pub already: Option<Html>,
    /// Severity, name, what sets it apart.
    pub alerts: Vec<(Html, Html, Html)>,
    pub more: Option<String>,
    pub told: Html,
    pub end: Html,
    pub end_short: Html,
    pub warnings: Vec<Html>,
    /// What makes it impossible to save.
    pub blocks: Vec<Html>,
    /// It would quiet everything there is: to be asked once more.
    pub is_wide: bool,
    /// What each line is worth, for the script.
    pub worths: Vec<String>,
}

/// Counts of one look through all alerts.
struct Tally<'s> {
    fitting: Vec<&'s Seen>,
    /// For each line: of ticked ones, alerts that fail it alone; of the others, fitting ones that fit it too.
    by_line: Vec<usize>,
}

impl Preview {
    /// `own`: the silence that is edited; what it quiets already counts as new.
    pub fn of(
        scene: &Scene,
        ask: &Ask,
        lines: &mut Lines,
        end: Option<Time>,
        own: Option<&SilenceId>,
        mode: ParseMode,
    ) -> Self {
        let compiled: Vec<Option<Matcher>> = lines
            .0
            .iter_mut()
            .map(|line| match line.compile(mode) {
                Ok(matcher) => Some(matcher),
                Err(error) => {
                    line.error = Some(error);
                    None
                }
            })
            .collect();
        let mut preview = Preview::default();
        preview.say_end(ask, end);
        let chosen = lines.chosen().count();
        if lines.errors().next().is_some() || chosen == 0 {
            preview.headline =
                if chosen == 0 { "No line is ticked".to_owned() } else { "A line cannot be read".to_owned() };
            if chosen == 0 {
                preview.blocks.push(Html("<b>No line is ticked.</b> Tick at least one.".to_owned()));
            }
            return preview;
        }
        let on: Vec<bool> = lines.0.iter().map(|line| line.on).collect();
        let tally = Tally::of(scene, &on, &compiled);
        for (index, line) in lines.0.iter_mut().enumerate() {
            let n = tally.fitting.len();
            let k = tally.by_line.get(index).copied().unwrap_or_default();
            line.worth = match (line.on, &line.error) {
                (_, Some(_)) => String::new(),
                (true, _) if k == 0 => format!("could go: the same {} without it", number(n)),
                (true, _) => format!("without it: {}", number(n + k)),
                (false, _) if k == n => "changes nothing".to_owned(),
                (false, _) => format!("leaves {}", number(k)),
            };
        }
        preview.worths = lines.0.iter().map(|line| line.worth.clone()).collect();
        preview.count(scene, ask, &tally, own);
        preview.warn(scene, &tally, lines, &compiled);
        preview
    }

    fn count(&mut self, scene: &Scene, ask: &Ask, tally: &Tally<'_>, own: Option<&SilenceId>) {
        let n = tally.fitting.len();
        self.headline = if n == 0 {
            "Quiets nothing now".to_owned()
        } else {
            format!("Quiets {} now", count(n, "alert", "alerts"))
        };
        let mut by_rank = [0usize; 4];
        for seen in &tally.fitting {
            if let Some(slot) = by_rank.get_mut(usize::from(seen.severity.rank())) {
                *slot += 1;
            }
        }
        let kinds = [Severity::Critical, Severity::Warning, Severity::Info, Severity::None(None)];
        let words = ["critical", "warning", "info", "other"];
        self.severities = by_rank
            .iter()
            .zip(kinds)
            .zip(words)
            .filter(|((n, _), _)| **n > 0)
            .map(|((n, kind), word)| (kind.mark(), format!("{} {word}", number(*n))))
            .collect();
        let others = |seen: &&&Seen| seen.silenced_by.iter().find(|id| Some(*id) != own).cloned();
        let already: Vec<SilenceId> = tally.fitting.iter().filter_map(|seen| others(&seen)).collect();
        if let Some(first) = already.first() {
            let href = ask.to(&format!("silences/{}", escaped(first.as_str()))).done();
            let words = scene.silences.get(first).map(|silence| silence_words(silence)).unwrap_or_default();
            let are = if already.len() == 1 {
                "1 of these is".to_owned()
            } else {
                format!("{} of these are", number(already.len()))
            };
            self.already = Some(Html(format!("{are} quiet already, by <a href=\"{}\">{words}</a>.", Plain(&href))));
        }
        let shown = tally.fitting.iter().take(SHOWN);
        self.alerts = shown.map(|seen| listed(seen)).collect();
        self.more = (n > SHOWN).then(|| format!("and {} more", number(n - SHOWN)));
        let receivers: BTreeSet<&str> = tally
            .fitting
            .iter()
            .filter_map(|seen| scene.groups.get(seen.group))
            .map(|group| &*group.look.receiver.name)
            .collect();
        if !receivers.is_empty() {
            let names: Vec<String> =
                receivers.iter().take(5).map(|name| format!("<b><bdi>{}</bdi></b>", Shown(name))).collect();
            let rest = if receivers.len() > 5 { format!(" and {} more", receivers.len() - 5) } else { String::new() };
            self.told = Html(format!("Not told any more: {}{rest}.", names.join(", ")));
        }
    }

    fn say_end(&mut self, ask: &Ask, end: Option<Time>) {
        let Some(end) = end else { return };
        let when = &ask.when;
        self.end_short = Html(format!("{}, until {}", super::when::span(end - when.now), when.short(end)));
        self.end = Html(format!(
            "Ends <b>{}</b>, in {}. What still fires then is told at the next look of its group.",
            when.short(end),
            when.until(end)
        ));
        if end <= when.now {
            self.end = Html(format!("<b class=\"crit\">Ends in the past</b>, {}.", when.clock(end)));
            self.end_short = Html("<b class=\"crit\">ends in the past</b>".to_owned());
        }
    }

    fn warn(&mut self, scene: &Scene, tally: &Tally<'_>, lines: &Lines, compiled: &[Option<Matcher>]) {
        let chosen: Vec<&Matcher> = lines
            .0
            .iter()
            .zip(compiled)
            .filter(|(line, _)| line.on)
            .filter_map(|(_, matcher)| matcher.as_ref())
            .collect();
        if chosen.iter().all(|matcher| matcher.op().is_equal() && matcher.matches_empty()) {
            self.blocks.push(Html("<b>No ticked line could fail to fit:</b> each fits an alert without that label. Tick one that says what is meant.".to_owned()));
        }
        let all = scene.alerts.len();
        let any_name =
            chosen.iter().all(|matcher| ["x", "Zz-9", "🔔 any"].iter().all(|value| matcher.matches_value(value)));
        if any_name || (all > 1 && tally.fitting.len() == all) {
            self.is_wide = true;
            let words = if any_name {
                "This fits every alert, also those to come."
            } else {
                "This quiets every alert that there is now."
            };
            self.warnings
                .push(Html(format!("<b>{words}</b> Tick a line that says what is meant, or confirm it below.")));
        } else if tally.fitting.is_empty() {
            self.warnings.push(Html(
                "<b>No alert fits now.</b> That is right for work that is planned; else look for a mistake.".to_owned(),
            ));
        }
    }
}

impl<'s> Tally<'s> {
    fn of(scene: &'s Scene, on: &[bool], compiled: &[Option<Matcher>]) -> Self {
        let mut tally = Tally { fitting: Vec::new(), by_line: vec![0; compiled.len()] };
        let lines = || compiled.iter().enumerate().filter_map(|(index, matcher)| Some((index, matcher.as_ref()?)));
        let is_on = |index: usize| on.get(index) == Some(&true);
        for seen in &scene.alerts {
            let mut failing = None;
            let mut failures = 0;
            for (index, matcher) in lines().filter(|(index, _)| is_on(*index)) {
                if !matcher.matches(seen.labels()) {
                    failing = Some(index);
                    failures += 1;
                    if failures == 2 {
                        break;
                    }
                }
            }
            match (failures, failing) {
                (0, _) => {
                    tally.fitting.push(seen);
                    for (index, matcher) in lines().filter(|(index, _)| !is_on(*index)) {
                        if matcher.matches(seen.labels()) {
                            tally.by_line[index] += 1;
                        }
                    }
                }
                (1, Some(index)) => tally.by_line[index] += 1,
                _ => {}
            }
        }
        tally.fitting.sort_by_key(|seen| (seen.severity.rank(), -seen.starts_at.timestamp_millis()));
        tally
    }
}

fn listed(seen: &Seen) -> (Html, Html, Html) {
    let name = if seen.name().is_empty() { "no name" } else { seen.name() };
    let apart = seen.labels().get("instance").map(|value| ("instance", value));
    let apart = apart.or_else(|| seen.labels().iter().find(|(name, _)| !matches!(*name, "alertname" | "severity")));
    let apart = apart.map(|(name, value)| Html::of(super::html::label(name, value))).unwrap_or_default();
    (seen.severity.mark(), Html(format!("<bdi>{}</bdi>", Shown(name))), apart)
}
