//! Silences: what is quiet, who did it, why, and when it comes back. The list, and one of them with its alerts.

use std::{collections::HashMap, sync::Arc};

use askama::Template;
use http::StatusCode;

use super::{
    Ui,
    ask::{Ask, escaped},
    filter::contains,
    html::{self, Html, Icon, Linked, Plain, Shown, count, cut, number, shown_text},
    page,
    past::Past,
    rows::{RowView, Title, Writing, matchers},
    scene::{Scene, Seen},
    shell::{Shell, Tab},
    when::{Moment, When},
    wish::Wish,
};
use crate::{
    api::Answer,
    clock::Time,
    silence::{self, Silence, SilenceId, State},
};

/// Silences of a page.
const PAGE: usize = 100;
/// Alerts that are listed under one silence.
const ALERTS_MAX: usize = 50;
/// A silence that ends within this and quiets something is worth a warning.
const SOON: chrono::TimeDelta = chrono::TimeDelta::minutes(15);

/// For `silence.html`.
pub struct SilenceView {
    pub id: String,
    pub href: String,
    /// Without tags, for the names of buttons.
    pub plain: String,
    pub matchers: Vec<Html>,
    pub effect: Html,
    pub comment: Html,
    pub author: Html,
    pub made: Moment,
    pub when: Html,
    /// Percent of its time that is left.
    pub left: Option<(i64, bool)>,
    pub edit: Option<String>,
    pub extend: Option<String>,
    pub expire: Option<String>,
    pub recreate: Option<String>,
}

#[derive(Template)]
#[template(path = "silences.html")]
struct SilencesPage {
    shell: Shell,
    states: Vec<(String, String, &'static str, bool)>,
    state: &'static str,
    chips: Vec<(String, String)>,
    kept: Vec<(&'static str, String)>,
    sorts: Vec<(&'static str, &'static str, bool)>,
    done: Option<Html>,
    silences: Vec<SilenceView>,
    foot: String,
    next: Option<String>,
    may_write: bool,
    new: String,
}

#[derive(Template)]
#[template(path = "silence_page.html")]
struct SilencePage {
    shell: Shell,
    silence: SilenceView,
    note: Option<Html>,
    undo: Option<String>,
    recreate: Vec<(&'static str, String)>,
    facts: Vec<(&'static str, Html)>,
    rows: Vec<RowView>,
    alerts: String,
    more: Option<(String, String)>,
}

/// How many alerts each silence quiets, and how many of these are critical.
pub struct Effects(HashMap<SilenceId, (usize, usize)>);

impl Effects {
    pub fn of(scene: &Scene) -> Self {
        let mut effects: HashMap<SilenceId, (usize, usize)> = HashMap::new();
        for seen in &scene.alerts {
            for id in &seen.silenced_by {
                let effect = effects.entry(id.clone()).or_default();
                effect.0 += 1;
                effect.1 += usize::from(seen.severity.rank() == 0);
            }
        }
        Effects(effects)
    }

    pub fn get(&self, id: &SilenceId) -> (usize, usize) {
        self.0.get(id).copied().unwrap_or_default()
    }
}

/// The alerts that a silence fits, whether it is active or not.
pub fn fitting<'s>(scene: &'s Scene, silence: &Silence) -> Vec<&'s Seen> {
    scene.alerts.iter().filter(|seen| silence.matches(seen.labels())).collect()
}

impl SilenceView {
    pub fn of(ask: &Ask, scene: &Scene, silence: &Silence, state: State, effects: &Effects, past: &Past) -> Self {
        let path = format!("silences/{}", escaped(silence.id.as_str()));
        let to = |act: &str| Some(ask.to(&format!("{path}{act}")).done()).filter(|_| ask.may_write());
        let is_over = state == State::Expired;
        // Others than those of one set have no form in the editor.
        let editable = silence.matchers().is_some();
        let comment = silence.comment.trim();
        SilenceView {
            id: silence.id.as_str().to_owned(),
            href: ask.to(&path).done(),
            plain: shown_text(&cut(if comment.is_empty() { silence.id.as_str() } else { comment }, 60)),
            matchers: matchers(silence),
            effect: effect(ask, scene, silence, state, effects, past),
            comment: if comment.is_empty() {
                Html("<span class=\"dim\">no comment</span>".into())
            } else {
                Html::of(Linked(comment))
            },
            author: if silence.created_by.is_empty() {
                Html("<span class=\"dim\">nobody</span>".into())
            } else {
                Html(format!("<bdi>{}</bdi>", Shown(&silence.created_by)))
            },
            made: ask.when.short(silence.updated_at),
            when: timing(&ask.when, silence, state),
            left: (state == State::Active).then(|| left(&ask.when, silence)),
            edit: to("/edit").filter(|_| editable && !is_over),
            extend: to("/edit?extend=2h#long").filter(|_| editable && state == State::Active),
            expire: to("/expire").filter(|_| !is_over),
            recreate: to("/edit").filter(|_| editable && is_over),
        }
    }
}

fn left(when: &When, silence: &Silence) -> (i64, bool) {
    let whole = (silence.ends_at - silence.starts_at).num_milliseconds().max(1);
    let rest = (silence.ends_at - when.now).num_milliseconds().clamp(0, whole);
    (rest.saturating_mul(100) / whole, silence.ends_at - when.now <= SOON)
}

fn timing(when: &When, silence: &Silence, state: State) -> Html {
    Html(match state {
        State::Active => format!("ends in <b>{}</b>, {}", when.until(silence.ends_at), when.short(silence.ends_at)),
        State::Pending => format!(
            "starts in <b>{}</b>, {}; ends {}",
            when.until(silence.starts_at),
            when.short(silence.starts_at),
            when.short(silence.ends_at)
        ),
        State::Expired => format!("ended <b>{}</b> ago, {}", when.ago(silence.ends_at), when.short(silence.ends_at)),
    })
}

/// What it quiets now, or would.
fn effect(ask: &Ask, scene: &Scene, silence: &Silence, state: State, effects: &Effects, past: &Past) -> Html {
    let list = |n: usize, words: String| {
        let filters = silence.matchers().unwrap_or_default();
        let to = filters.iter().fold(ask.to("alerts"), |to, matcher| to.with("filter", &matcher.to_string()));
        let all = ["active", "silenced", "inhibited", "muted"];
        let to = all.iter().fold(to, |to, state| to.with("state", state)).done();
        if n == 0 || filters.is_empty() { words } else { format!("<a href=\"{}\">{words}</a>", Plain(&to)) }
    };
    let critical =
        |n: usize| if n == 0 { String::new() } else { format!(", <b class=\"crit\">{} critical</b>", number(n)) };
    match state {
        State::Active => {
            let (n, worst) = effects.get(&silence.id);
            if n == 0 {
                let before = past.remark(&ask.when, silence, state);
                return Html(format!("<span class=\"warn\">{} quiets nothing now</span>{before}", Icon("warn", "f")));
            }
            let words = list(n, format!("quiets <b>{}</b> now", number(n)));
            Html(format!("<span class=\"quiet\">{} {words}</span>{}", Icon("silenced", ""), critical(worst)))
        }
        State::Pending => {
            let n = fitting(scene, silence).len();
            Html(list(n, format!("would quiet <b>{}</b> now", number(n))))
        }
        State::Expired => Html(past.remark(&ask.when, silence, state)),
    }
}

fn wanted_state(ask: &Ask) -> State {
    match ask.query.text("state") {
        Some("pending") => State::Pending,
        Some("expired") => State::Expired,
        _ => State::Active,
    }
}

/// Whether a text stands somewhere in a silence.
fn has_text(silence: &Silence, text: &str) -> bool {
    let mut matchers = silence.matcher_sets.iter().flat_map(|set| set.iter());
    contains(&silence.comment, text)
        || contains(&silence.created_by, text)
        || contains(silence.id.as_str(), text)
        || matchers.any(|matcher| contains(&matcher.to_string(), text))
}

impl Ui {
    pub(super) async fn silences_page(&self, scene: &Arc<Scene>, ask: &Ask) -> Answer {
        let state = wanted_state(ask);
        let texts: Vec<String> =
            ask.query.all("filter").map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned).collect();
        let sort = ask.query.text("sort").unwrap_or_default();
        let address = |state: State, texts: &[String]| {
            let to = ask.to("silences").with("state", state.as_str());
            let to = texts.iter().fold(to, |to, text| to.with("filter", text));
            if sort.is_empty() { to } else { to.with("sort", sort) }
        };
        let effects = Effects::of(scene);
        let words: Vec<String> = texts.iter().map(|text| text.to_lowercase()).collect();
        let mut all = self.api.silences.query(&silence::Query::default());
        all.retain(|(silence, _)| words.iter().all(|word| has_text(silence, word)));
        let of = |wanted: State| all.iter().filter(|(_, state)| *state == wanted).count();
        let states = [(State::Active, "active"), (State::Pending, "pending"), (State::Expired, "expired")];
        let states =
            states.map(|(each, word)| (address(each, &texts).done(), number(of(each)), word, each == state)).into();
        all.retain(|(_, each)| *each == state);
        match sort {
            "new" => all.sort_by_key(|(silence, _)| std::cmp::Reverse(silence.updated_at)),
            "most" => all.sort_by_key(|(silence, _)| std::cmp::Reverse(effects.get(&silence.id).0)),
            _ => {}
        }
        let total = all.len();
        let skip = ask.query.text("skip").and_then(|skip| skip.parse::<usize>().ok()).unwrap_or(0);
        let on_page: Vec<_> = all.iter().skip(skip).take(PAGE).collect();
        // Of those that quiet something now that is what matters.
        let idle = on_page.iter().map(|(silence, _)| &**silence).filter(|silence| effects.get(&silence.id).0 == 0);
        let past = if state == State::Pending { Past::default() } else { self.past(idle).await };
        let shown: Vec<SilenceView> = on_page
            .iter()
            .map(|(silence, state)| SilenceView::of(ask, scene, silence, *state, &effects, &past))
            .collect();
        let chips = texts.iter().enumerate().map(|(index, text)| {
            let mut rest = texts.clone();
            rest.remove(index);
            (shown_text(text), address(state, &rest).done())
        });
        let mut kept: Vec<(&'static str, String)> = texts.iter().map(|text| ("filter", text.clone())).collect();
        kept.push(("state", state.as_str().to_owned()));
        let end = skip + shown.len();
        let page_ = SilencesPage {
            shell: self.shell(scene, ask, Tab::Silences, "Silences"),
            states,
            state: state.as_str(),
            chips: chips.collect(),
            kept,
            sorts: [("", "Ending soonest"), ("new", "Newest"), ("most", "Quiets most")]
                .map(|(value, word)| (value, word, value == sort))
                .into(),
            done: expired_note(ask),
            foot: format!(
                "{} of {}.",
                number(shown.len()),
                count(total, &format!("{} silence", state.as_str()), &format!("{} silences", state.as_str()))
            ),
            next: (end < total).then(|| address(state, &texts).with("skip", &end.to_string()).done()),
            silences: shown,
            may_write: ask.may_write(),
            new: ask.to("silences/new").done(),
        };
        page(StatusCode::OK, &page_)
    }

    pub(super) async fn silence_page(&self, scene: &Arc<Scene>, ask: &Ask, id: &str) -> Answer {
        let id = percent_encoding::percent_decode_str(id).decode_utf8_lossy();
        let Some((silence, state)) = self.api.silences.get(&id) else {
            return self.missing(
                scene,
                ask,
                "There is no silence of this id; it may be past the retention of this server.",
            );
        };
        let effects = Effects::of(scene);
        let past = self.past(std::iter::once(&*silence)).await;
        let view = SilenceView::of(ask, scene, &silence, state, &effects, &past);
        let alerts: Vec<&Seen> = match state {
            State::Active => scene.alerts.iter().filter(|seen| seen.silenced_by.contains(&silence.id)).collect(),
            State::Pending => fitting(scene, &silence),
            State::Expired => Vec::new(),
        };
        let wish = Wish::read(ask, self.api.mode);
        let writing = Writing { api: &self.api, ask, wish: &wish, scene, nodes: Vec::new() };
        let title = Title::without(&["severity"]);
        let rows = alerts.iter().take(ALERTS_MAX).filter_map(|seen| {
            let group = scene.groups.get(seen.group)?;
            Some(writing.row(seen, group, seen.quiet(), &title))
        });
        let list = silence.matchers().unwrap_or_default().iter();
        let list = list.fold(ask.to("alerts"), |to, matcher| to.with("filter", &matcher.to_string()));
        let words = match state {
            State::Active => format!("Quiets {} now", count(alerts.len(), "alert", "alerts")),
            State::Pending => format!("Would quiet {} now", count(alerts.len(), "alert", "alerts")),
            State::Expired => "Quiets nothing any more".to_owned(),
        };
        let made = matches!(ask.query.text("done"), Some("created" | "changed")) && state != State::Expired;
        let page_ = SilencePage {
            shell: self.shell(scene, ask, Tab::Silences, format!("Silence: {}", view.plain)),
            note: done_note(ask, &silence, state, alerts.len()),
            undo: view.expire.clone().filter(|_| made),
            recreate: recreation(ask, &silence, state),
            facts: facts(ask, &silence, state, &past),
            rows: rows.collect(),
            alerts: words,
            more: (alerts.len() > ALERTS_MAX).then(|| {
                (
                    list.with("state", "silenced").with("view", "flat").done(),
                    format!("and {} more, as a table", number(alerts.len() - ALERTS_MAX)),
                )
            }),
            silence: view,
        };
        page(StatusCode::OK, &page_)
    }
}

fn facts(ask: &Ask, silence: &Silence, state: State, past: &Past) -> Vec<(&'static str, Html)> {
    let moment = |at: Time| Html::of(ask.when.clock(at));
    let mut facts = vec![
        ("state", Html(state.as_str().to_owned())),
        ("starts", moment(silence.starts_at)),
        ("ends", moment(silence.ends_at)),
        ("changed", moment(silence.updated_at)),
    ];
    facts.extend(past.fact(&ask.when, silence, state).map(|words| ("quieted last", words)));
    facts.push(("id", Html(format!("<span class=\"m\">{}</span>", Shown(silence.id.as_str())))));
    for (name, value) in &silence.annotations {
        facts.push(("annotation", Html(format!("<span class=\"m\">{}</span>: {}", Shown(name), Linked(value)))));
    }
    facts
}

/// What has just been done to the silence.
fn done_note(ask: &Ask, silence: &Silence, state: State, alerts: usize) -> Option<Html> {
    let until = ask.when.short(silence.ends_at);
    let quiets = count(alerts, "alert", "alerts");
    let words = match (ask.query.text("done")?, state) {
        ("created", State::Active) => format!("<b>Silence created; quiets {quiets}</b> until {until}."),
        ("created", _) => format!("<b>Silence created</b>; it begins {}.", ask.when.short(silence.starts_at)),
        ("changed", _) => format!("<b>Silence changed</b>; it ends {until} and quiets {quiets} now."),
        ("expired", State::Expired) => {
            "<b>Silence expired.</b> What still fires is told at the next look of its group.".to_owned()
        }
        _ => return None,
    };
    Some(Html(words))
}

/// The fields of the form that makes an expired silence again as it was.
fn recreation(ask: &Ask, silence: &Silence, state: State) -> Vec<(&'static str, String)> {
    let until =
        ask.query.text("until").and_then(|until| until.parse::<i64>().ok()).and_then(|at| Time::from_timestamp(at, 0));
    let (Some(until), Some(matchers), true) = (until, silence.matchers(), ask.may_write()) else { return Vec::new() };
    if state != State::Expired || until <= ask.when.now || ask.query.text("done") != Some("expired") {
        return Vec::new();
    }
    let mut fields = vec![
        ("token", ask.token.clone()),
        ("d", "x".to_owned()),
        ("end", until.timestamp().to_string()),
        ("comment", silence.comment.to_string()),
        ("author", silence.created_by.to_string()),
        ("sure", "1".to_owned()),
    ];
    for (index, matcher) in matchers.iter().enumerate() {
        fields.extend([
            ("on", index.to_string()),
            ("n", matcher.name().to_owned()),
            ("o", matcher.op().as_str().to_owned()),
            ("v", matcher.value().to_owned()),
        ]);
    }
    fields
}

/// Several were expired at once.
fn expired_note(ask: &Ask) -> Option<Html> {
    let n = ask.query.text("expired")?.parse::<usize>().ok()?;
    Some(Html(format!(
        "<b>{} expired.</b> What still fires is told at the next look of its group.",
        count(n, "silence", "silences")
    )))
}
