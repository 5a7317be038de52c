//! Status: do receivers answer, what runs here, with which flags and configuration.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use askama::Template;
use chrono::TimeDelta;
use http::StatusCode;

use super::{
    Ui,
    ask::Ask,
    html::{self, Html, Icon, Shown, cut, number},
    page,
    scene::Scene,
    shell::{Shell, Tab},
    when::{When, took},
};
use crate::{
    api::Answer,
    cli::ShownFlag,
    clock::Time,
    config::Config,
    decisions::{Answered, Decision, Outcome, Query},
};

/// Half hours of a day.
const SLOTS: usize = 48;
/// Pages of decisions that are read, each of 500.
const PAGES_MAX: usize = 6;

struct Row {
    receiver: Html,
    integration: Html,
    outcome: Html,
    spark: Html,
    sent: String,
    slowest: String,
    last: Html,
    /// Failing ones first, then those that send most.
    order: (bool, std::cmp::Reverse<usize>, String),
}

#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage {
    shell: Shell,
    rows: Vec<Row>,
    since: Html,
    note: Option<Html>,
    facts: Vec<(&'static str, Html)>,
    flags: Vec<ShownFlag>,
    defaults: Vec<ShownFlag>,
    config: Html,
}

/// What one integration did.
struct Deeds {
    told: [usize; SLOTS],
    failed: [usize; SLOTS],
    took: Vec<std::time::Duration>,
    /// The newest attempt.
    last: Option<(Time, Option<String>)>,
}

impl Default for Deeds {
    fn default() -> Self {
        Deeds { told: [0; SLOTS], failed: [0; SLOTS], took: Vec::new(), last: None }
    }
}

impl Ui {
    pub(super) async fn status_page(&self, scene: &Arc<Scene>, ask: &Ask) -> Answer {
        let now = ask.when.now;
        let (mut deeds, mut silent) = (BTreeMap::new(), Vec::new());
        let mut query = Query {
            outcomes: vec![Outcome::Told, Outcome::Noted, Outcome::Failed],
            since: Some(now - TimeDelta::hours(24)),
            limit: 500,
            ..Query::default()
        };
        let mut oldest = now;
        let mut complete = false;
        for _ in 0..PAGES_MAX {
            let found = self.api.decisions.everywhere(&query).await;
            silent =
                found.nodes.iter().filter(|node| node.state == Answered::No).map(|node| node.node.clone()).collect();
            for decision in &found.decisions {
                oldest = oldest.min(decision.at);
                note(&mut deeds, decision, now);
            }
            query.cursor = found.next;
            complete = query.cursor.is_none();
            if complete {
                break;
            }
        }
        let config = self.api.config.load();
        let mut rows = rows(&config.config, &deeds, &ask.when);
        rows.sort_by(|a, b| a.order.cmp(&b.order));
        let (defaults, flags): (Vec<ShownFlag>, Vec<ShownFlag>) =
            self.flags.iter().cloned().partition(|flag| flag.is_default);
        let page_ = StatusPage {
            shell: self.shell(scene, ask, Tab::Status, "Status"),
            rows,
            since: if complete {
                Html("last 24 h".to_owned())
            } else {
                Html(format!("since {}", ask.when.short(oldest)))
            },
            note: self.record_note(&silent),
            facts: self.node_facts(scene, ask),
            flags,
            defaults,
            config: config_lines(&config.original),
        };
        page(StatusCode::OK, &page_)
    }

    fn record_note(&self, silent: &[Arc<str>]) -> Option<Html> {
        if !self.api.decisions.is_on() {
            return Some(Html("This node keeps no record of decisions (<code>--decisions.max-size</code> or <code>--decisions.max-age</code> is 0): what it sent is not in this table.".to_owned()));
        }
        let names: Vec<String> = silent.iter().map(|name| format!("<bdi>{}</bdi>", Shown(name))).collect();
        (!names.is_empty()).then(|| Html(format!("Without {}, which did not answer.", names.join(", "))))
    }

    fn node_facts(&self, scene: &Scene, ask: &Ask) -> Vec<(&'static str, Html)> {
        let (metrics, when) = (&self.api.metrics, &ask.when);
        let tag = |class: &str, icon: &'static str, word: &str| {
            format!("<span class=\"tag {class}\">{}{word}</span>", Icon(icon, ""))
        };
        let loaded = Time::from_timestamp(seconds(metrics.config_last_reload_success_timestamp_seconds.get()), 0);
        let loaded =
            loaded.filter(|at| at.timestamp() > 0).map(|at| format!(" {}", when.clock(at))).unwrap_or_default();
        let reload = if metrics.config_last_reload_successful.get() == 1 {
            format!("{}{loaded}", tag("good", "ok", "loaded"))
        } else {
            format!(
                "{} the last reload failed; what was loaded{loaded} goes on. The log says why.",
                tag("crit", "fail", "not as in the file")
            )
        };
        let disk = if metrics.store_degraded.get() == 0 {
            format!(
                "{} {} commits, {} writes wait",
                tag("good", "ok", "durable"),
                metrics.store_commits_total.get(),
                metrics.store_queue_length.get()
            )
        } else {
            format!(
                "{} {} writes failed; silences made now are in effect, but would not survive a restart",
                tag("crit", "fail", "refuses writes"),
                metrics.store_write_errors_total.get()
            )
        };
        let counts = self.api.silences.counts(scene.now);
        let limits: u64 = ["rate", "connections", "body_size", "bodies_size"]
            .iter()
            .map(|limit| metrics.http_limit_reached_total.with_label_values(&[limit]).get())
            .sum();
        let build = self.api.build;
        vec![
            (
                "version",
                Html(format!(
                    "Carillon {} ({}), compatible with Alertmanager {}",
                    env!("CARGO_PKG_VERSION"),
                    Shown(build.revision),
                    Shown(build.version)
                )),
            ),
            ("up since", Html(format!("{}, {}", when.clock(self.api.started_at), when.ago(self.api.started_at)))),
            ("configuration", Html(reload)),
            ("disk", Html(disk)),
            (
                "alerts",
                Html(format!(
                    "{} in {} groups, {} of them firing",
                    number(scene.alerts.len()),
                    number(scene.groups.len()),
                    number(scene.firing())
                )),
            ),
            (
                "silences",
                Html(format!(
                    "{} active, {} pending, {} expired",
                    number(counts.active),
                    number(counts.pending),
                    number(counts.expired)
                )),
            ),
            ("under way", Html(format!("{} attempts to tell", metrics.notifications_in_flight.get()))),
            (
                "limits",
                Html(if limits == 0 {
                    "none reached".to_owned()
                } else {
                    format!(
                        "requests were refused {limits} times; see <code>alertmanager_http_limit_reached_total</code>"
                    )
                }),
            ),
        ]
    }
}

#[allow(clippy::cast_possible_truncation, reason = "seconds since 1970")]
fn seconds(timestamp: f64) -> i64 {
    timestamp as i64
}

type Key = (Arc<str>, String);

fn note(deeds: &mut BTreeMap<Key, Deeds>, decision: &Decision, now: Time) {
    let Some(slot) = &decision.integration else { return };
    let entry = deeds.entry((decision.receiver.clone(), format!("{}/{}", slot.kind, slot.index))).or_default();
    let age = usize::try_from((now - decision.at).num_minutes() / 30).unwrap_or(SLOTS);
    let slots = if decision.outcome == Outcome::Failed { &mut entry.failed } else { &mut entry.told };
    if let Some(slot) = SLOTS.checked_sub(age + 1).and_then(|place| slots.get_mut(place)) {
        *slot += 1;
    }
    let Some(attempt) = &decision.attempt else { return };
    if decision.outcome == Outcome::Told {
        entry.took.push(attempt.took);
    }
    if entry.last.as_ref().is_none_or(|(at, _)| decision.at > *at) {
        entry.last = Some((decision.at, attempt.error.clone()));
    }
}

/// One for each integration of each receiver, also of those that sent nothing.
fn rows(config: &Config, deeds: &BTreeMap<Key, Deeds>, when: &When) -> Vec<Row> {
    let nothing = Deeds::default();
    let mut rows = Vec::new();
    for receiver in &config.receivers {
        for integration in &receiver.integrations {
            let name = format!("{}/{}", integration.kind, integration.index);
            let deed = deeds.get(&(receiver.name.clone(), name.clone())).unwrap_or(&nothing);
            rows.push(row(&receiver.name, &name, deed, when));
        }
    }
    rows
}

fn row(receiver: &str, name: &str, deed: &Deeds, when: &When) -> Row {
    let (sent, failed): (usize, usize) = (deed.told.iter().sum(), deed.failed.iter().sum());
    let fails = deed.last.as_ref().is_some_and(|(_, error)| error.is_some());
    let outcome = match (sent, failed, fails) {
        (0, 0, _) => "<span class=\"dim\">nothing sent</span>".to_owned(),
        (_, _, true) => {
            format!("<span class=\"tag crit\">{}failing, {} failed</span>", Icon("fail", ""), number(failed))
        }
        (_, 0, _) => format!("<span class=\"tag good\">{}all answered</span>", Icon("ok", "")),
        _ => format!("<span class=\"tag warn\">{}answers, {} failed before</span>", Icon("half", ""), number(failed)),
    };
    let mut times = deed.took.clone();
    times.sort_unstable();
    let slowest = times.get((times.len() * 95 / 100).min(times.len().saturating_sub(1))).map(|time| took(*time));
    let last = deed.last.as_ref().map_or_else(String::new, |(at, error)| {
        let words = error.as_ref().map_or_else(|| "taken".to_owned(), |error| Shown(&cut(error, 120)).to_string());
        format!("{} {words}", when.short(*at))
    });
    Row {
        receiver: Html(format!("<bdi>{}</bdi>", Shown(receiver))),
        integration: Html(Shown(name).to_string()),
        outcome: Html(outcome),
        spark: spark(deed),
        sent: number(sent),
        slowest: slowest.unwrap_or_default(),
        last: Html(last),
        order: (!fails, std::cmp::Reverse(sent), receiver.to_owned()),
    }
}

/// A line for what was sent, bars for what failed.
fn spark(deed: &Deeds) -> Html {
    let most = deed.told.iter().chain(&deed.failed).copied().max().unwrap_or(0);
    if most == 0 {
        return Html::default();
    }
    let height = |n: usize| n * 20 / most;
    let mut out =
        String::from("<svg class=\"spark\" viewBox=\"0 0 240 24\" preserveAspectRatio=\"none\" aria-hidden=\"true\">");
    for (place, n) in deed.failed.iter().enumerate().filter(|(_, n)| **n > 0) {
        let height = height(*n).max(2);
        let _ = write!(
            out,
            "<rect class=\"ko\" x=\"{}\" y=\"{}\" width=\"4\" height=\"{height}\"/>",
            place * 5,
            24 - height
        );
    }
    let points: Vec<String> =
        deed.told.iter().enumerate().map(|(place, n)| format!("{},{}", place * 5 + 2, 22 - height(*n))).collect();
    let _ = write!(out, "<polyline class=\"ok\" points=\"{}\"/></svg>", points.join(" "));
    Html(out)
}

/// Each line in an element of its own, so that the style sheet can number them.
fn config_lines(original: &str) -> Html {
    let mut out = String::with_capacity(original.len() * 2);
    for line in original.lines() {
        let line = Shown(line).to_string().replace("&lt;secret&gt;", "<b class=\"sec\">&lt;secret&gt;</b>");
        let _ = write!(out, "<span>{line}</span>");
    }
    Html(out)
}
