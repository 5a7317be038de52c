//! The silence editor: what exactly goes quiet, how long, why; the preview is the point of the page.
//!
//! The form is plain: ticks and fields, which the script only makes livelier. Whatever was typed comes back with the
//! page when something is wrong. This file is the page and what is done with its form; the lines are `lines`, what
//! they would quiet is `preview`.

use std::sync::Arc;

use askama::Template;
use chrono::TimeDelta;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{
    AUTHOR_COOKIE, Ui,
    ask::{Ask, Pairs, escaped},
    csrf::{Secret, is_same_origin},
    html::{self, Html, Shown},
    lines::{Line, Lines},
    page,
    preview::Preview,
    scene::Scene,
    see_other,
    shell::{Shell, Tab},
    when::When,
};
use crate::{
    alert::text::parse_prometheus_duration,
    api::Answer,
    clock::{Time, delta},
    silence::{Draft, SetError, Silence, State},
};

/// Values of the field `d` that are lengths.
const LENGTHS: [(&str, &str, i64); 4] =
    [("30m", "30 min", 30), ("1h", "1 h", 60), ("2h", "2 h", 120), ("8h", "8 h", 480)];
const LENGTH: &str = "2h";
/// Beyond this nobody means it.
const SILENCE_MAX: TimeDelta = TimeDelta::days(3650);

/// A silence as it stands in the form.
pub struct Form {
    pub lines: Lines,
    /// One of [`LENGTHS`], `morning`, `monday` or `x`: as the fields say.
    pub length: String,
    pub starts: String,
    pub ends: String,
    pub comment: String,
    pub author: String,
    pub annotations: Vec<(String, String)>,
    /// It was asked once more whether everything is meant.
    pub sure: bool,
    /// Without seconds lost in a field: for a silence that is made again.
    exact_end: Option<Time>,
}

/// What the page is about.
enum Subject {
    New,
    /// Of a silence that is active or pending.
    Edit(Arc<Silence>, State),
    /// A new one like an expired one.
    Again(Arc<Silence>),
}

#[derive(Template)]
#[template(path = "editor.html")]
struct EditorPage {
    shell: Shell,
    title: &'static str,
    lead: Html,
    form: Form,
    lengths: Vec<(String, String, bool)>,
    starts_fixed: Option<Html>,
    login: Option<String>,
    action: String,
    here: String,
    preview_at: String,
    preview: Preview,
    errors: Vec<Html>,
    ask_sure: bool,
    button: &'static str,
    is_new: bool,
}

#[derive(Template)]
#[template(path = "preview.html")]
struct PreviewPiece {
    preview: Preview,
}

/// The form is not from a page of this server, or from one that is too old.
pub fn stale_form() -> Html {
    Html("<b>Nothing was changed.</b> This form was not opened on this server, or by another browser, or a long time ago. Look it over and send it once more.".to_owned())
}

impl Form {
    /// As a browser sends it.
    fn read(pairs: &Pairs, ask: &Ask) -> Self {
        let text = |name: &str| pairs.last(name).unwrap_or_default().to_owned();
        let annotations =
            pairs.all("an").zip(pairs.all("av")).map(|(name, value)| (name.trim().to_owned(), value.to_owned()));
        Form {
            lines: Lines::read(pairs),
            length: pairs.text("d").unwrap_or(LENGTH).to_owned(),
            starts: text("sa"),
            ends: text("ea"),
            comment: text("comment"),
            author: ask.visitor.login.clone().unwrap_or_else(|| text("author")),
            annotations: annotations.filter(|(name, value)| !name.is_empty() || !value.is_empty()).collect(),
            sure: pairs.has("sure"),
            exact_end: pairs.text("end").and_then(|end| end.parse().ok()).and_then(|at| Time::from_timestamp(at, 0)),
        }
    }

    fn new(ask: &Ask, lines: Lines) -> Self {
        let mut form = Form {
            lines,
            length: LENGTH.to_owned(),
            starts: String::new(),
            ends: ask.when.field(ask.when.now + TimeDelta::minutes(120)),
            comment: ask.query.text("comment").unwrap_or_default().to_owned(),
            author: ask.visitor.login.clone().or_else(|| ask.author.clone()).unwrap_or_default(),
            annotations: Vec::new(),
            sure: false,
            exact_end: None,
        };
        if let Some(length) = ask.query.text("for").and_then(|text| parse_prometheus_duration(text).ok()) {
            form.set_end(&ask.when, ask.when.now + delta(length).min(SILENCE_MAX));
            if let Some((value, ..)) =
                LENGTHS.iter().find(|(.., minutes)| delta(length) == TimeDelta::minutes(*minutes))
            {
                form.length = (*value).to_owned();
            }
        }
        form
    }

    /// Of a silence that is there. `extend`: with its end moved by as much.
    fn of(ask: &Ask, silence: &Silence, state: State) -> Self {
        let when = &ask.when;
        let mut form = Form {
            comment: silence.comment.to_string(),
            author: ask.visitor.login.clone().unwrap_or_else(|| silence.created_by.to_string()),
            annotations: silence.annotations.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            ..Form::new(ask, Lines::of_matchers(silence.matchers().unwrap_or_default()))
        };
        let extended = ask.query.text("extend").and_then(|text| parse_prometheus_duration(text).ok());
        match (state, extended) {
            (State::Expired, _) => form.set_end(
                when,
                when.now + (silence.ends_at - silence.starts_at).clamp(TimeDelta::minutes(1), SILENCE_MAX),
            ),
            (_, Some(by)) => form.set_end(when, silence.ends_at + delta(by).min(SILENCE_MAX)),
            (_, None) => form.set_end(when, silence.ends_at),
        }
        if state == State::Pending {
            form.starts = when.field(silence.starts_at);
        }
        form
    }

    fn set_end(&mut self, when: &When, at: Time) {
        self.length = "x".to_owned();
        self.ends = when.field(at);
    }

    /// `None`: now.
    fn start(&self, when: &When, subject: Option<&Silence>) -> Result<Option<Time>, Html> {
        match subject {
            Some(old) if old.starts_at <= when.now || self.starts == when.field(old.starts_at) => {
                Ok(Some(old.starts_at))
            }
            _ if self.starts.trim().is_empty() => Ok(None),
            _ => match when.read_field(&self.starts) {
                Some(at) => Ok(Some(at).filter(|at| *at > when.now)),
                None => Err(Html("The start is no time; leave it empty for now.".to_owned())),
            },
        }
    }

    fn end(&self, when: &When, start: Option<Time>, subject: Option<&Silence>) -> Result<Time, Html> {
        if let Some(at) = self.exact_end {
            return Ok(at);
        }
        if let Some((.., minutes)) = LENGTHS.iter().find(|(value, ..)| *value == self.length) {
            return Ok(start.unwrap_or(when.now).max(when.now) + TimeDelta::minutes(*minutes));
        }
        match self.length.as_str() {
            "morning" => return Ok(when.next(8, None)),
            "monday" => return Ok(when.next(8, Some(chrono::Weekday::Mon))),
            _ => {}
        }
        // A field has no seconds: an end that was not touched stays as it is.
        if let Some(old) = subject.filter(|old| self.ends == when.field(old.ends_at)) {
            return Ok(old.ends_at);
        }
        when.read_field(&self.ends)
            .ok_or_else(|| Html("The end is no time. It is written like 2026-11-22 05:58.".to_owned()))
    }

    /// When it would end, as far as that can be said.
    fn shown_end(&self, when: &When, subject: Option<&Silence>) -> Option<Time> {
        self.end(when, self.start(when, subject).ok().flatten(), subject).ok()
    }
}

impl Subject {
    fn silence(&self) -> Option<&Silence> {
        match self {
            Subject::Edit(silence, _) => Some(silence),
            Subject::New | Subject::Again(_) => None,
        }
    }

    fn path(&self) -> String {
        match self {
            Subject::New => "silences/new".to_owned(),
            Subject::Edit(silence, _) | Subject::Again(silence) => {
                format!("silences/{}/edit", escaped(silence.id.as_str()))
            }
        }
    }

    fn words(&self) -> (&'static str, &'static str) {
        match self {
            Subject::New => ("New silence", "Create silence"),
            Subject::Edit(..) => ("Edit silence", "Change silence"),
            Subject::Again(_) => ("Silence again", "Create silence"),
        }
    }
}

impl Ui {
    fn subject(&self, id: Option<&str>) -> Option<Subject> {
        let Some(id) = id else { return Some(Subject::New) };
        let id = percent_encoding::percent_decode_str(id).decode_utf8_lossy();
        let (silence, state) = self.api.silences.get(&id)?;
        silence.matchers()?;
        Some(if state == State::Expired { Subject::Again(silence) } else { Subject::Edit(silence, state) })
    }

    /// The form of a new silence, or of one that is there.
    pub(super) fn editor_page(&self, scene: &Arc<Scene>, ask: &Ask, id: Option<&str>) -> Answer {
        let Some(subject) = self.subject(id) else {
            return self.missing(scene, ask, "There is no silence of this id that can be edited.");
        };
        if !ask.may_write() {
            return self.missing(scene, ask, "You may read. To silence, sign in with a login that may.");
        }
        // Without a script the preview is the same page with the form in its address.
        let (form, lead) = if ask.query.has("n") {
            (Form::read(&ask.query, ask), Html::default())
        } else {
            match &subject {
                Subject::New => {
                    let (lines, lead) = Lines::from_query(&ask.query, scene, self.api.mode);
                    (Form::new(ask, lines), lead)
                }
                Subject::Edit(silence, state) => (Form::of(ask, silence, *state), Html::default()),
                Subject::Again(silence) => (Form::of(ask, silence, State::Expired), Html::default()),
            }
        };
        self.editor(scene, ask, &subject, form, lead, Vec::new(), StatusCode::OK)
    }

    #[allow(clippy::too_many_arguments, reason = "all that the page shows")]
    fn editor(
        &self,
        scene: &Arc<Scene>,
        ask: &Ask,
        subject: &Subject,
        mut form: Form,
        lead: Html,
        mut errors: Vec<Html>,
        status: StatusCode,
    ) -> Answer {
        let when = &ask.when;
        let end = form.shown_end(when, subject.silence());
        let own = subject.silence().map(|silence| &silence.id);
        let preview = Preview::of(scene, ask, &mut form.lines, end, own, self.api.mode);
        errors.extend(form.lines.errors());
        let (title, button) = subject.words();
        let lengths = LENGTHS.iter().map(|(value, word, _)| ((*value).to_owned(), (*word).to_owned()));
        let morning = ("morning".to_owned(), format!("until {}", when.short(when.next(8, None)).text()));
        let monday = ("monday".to_owned(), format!("until {}", monday_text(when)));
        let exact = ("x".to_owned(), "exact".to_owned());
        let known = LENGTHS.iter().any(|(value, ..)| *value == form.length)
            || ["morning", "monday", "x"].contains(&form.length.as_str());
        if !known {
            form.length = LENGTH.to_owned();
        }
        if form.length != "x"
            && let Some(end) = end
        {
            form.ends = when.field(end);
        }
        let lengths = lengths.chain([morning, monday, exact]).map(|(value, word)| {
            let checked = value == form.length;
            (value, word, checked)
        });
        let starts_fixed =
            subject.silence().filter(|old| old.starts_at <= when.now).map(|old| Html::of(when.clock(old.starts_at)));
        let page_ = EditorPage {
            shell: self.shell(scene, ask, Tab::Silences, title),
            title,
            lead,
            lengths: lengths.collect(),
            starts_fixed,
            login: ask.visitor.login.clone(),
            action: ask.to(&subject.path()).done(),
            here: ask.to(&subject.path()).done(),
            preview_at: {
                let to = ask.to("ui/preview").with("up", &ask.root.matches("..").count().to_string());
                subject.silence().map_or(to.clone(), |old| to.with("own", old.id.as_str())).done()
            },
            ask_sure: preview.is_wide,
            preview,
            errors,
            button,
            is_new: !matches!(subject, Subject::Edit(..)),
            form,
        };
        page(status, &page_)
    }

    /// What the form would quiet, for the script.
    pub(super) fn preview_piece(&self, scene: &Arc<Scene>, ask: &Ask) -> Answer {
        let mut form = Form::read(&ask.query, ask);
        let own = ask.query.text("own").and_then(|id| self.api.silences.get(id)).map(|(silence, _)| silence);
        let end = form.shown_end(&ask.when, own.as_deref());
        // Links start where the page of the editor does, which names its root.
        let preview =
            Preview::of(scene, ask, &mut form.lines, end, own.as_ref().map(|silence| &silence.id), self.api.mode);
        page(StatusCode::OK, &PreviewPiece { preview })
    }

    /// Whether a form may change something.
    pub(super) fn is_trusted(&self, ask: &Ask, headers: &HeaderMap, known: Option<Secret>) -> bool {
        let token = ask.form.text("token").unwrap_or_default();
        is_same_origin(headers, &self.origin) && known.is_some_and(|secret| secret.accepts(token))
    }

    /// The form was sent.
    pub(super) async fn save_silence(&self, ask: &Ask, id: Option<&str>, trusted: bool) -> Answer {
        let scene = self.scene().await;
        let Some(subject) = self.subject(id) else {
            return self.missing(
                &scene,
                ask,
                "There is no silence of this id that can be edited; it may have been removed meanwhile.",
            );
        };
        let mut form = Form::read(&ask.form, ask);
        if !trusted {
            return self.editor(
                &scene,
                ask,
                &subject,
                form,
                Html::default(),
                vec![stale_form()],
                StatusCode::FORBIDDEN,
            );
        }
        let draft = match self.draft(&scene, ask, &subject, &mut form) {
            Ok(draft) => draft,
            Err(errors) => {
                return self.editor(
                    &scene,
                    ask,
                    &subject,
                    form,
                    Html::default(),
                    errors,
                    StatusCode::UNPROCESSABLE_ENTITY,
                );
            }
        };
        let author = draft.created_by.clone();
        let saved = self.api.silences.set(draft).await;
        self.stage.clear();
        match saved {
            Ok(id) => {
                let done = if matches!(subject, Subject::Edit(..)) { "changed" } else { "created" };
                let mut answer =
                    see_other(&ask.to(&format!("silences/{}", escaped(id.as_str()))).with("done", done).done());
                let cookie =
                    format!("{AUTHOR_COOKIE}={}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax", escaped(&author));
                if ask.visitor.login.is_none()
                    && let Ok(value) = HeaderValue::from_str(&cookie)
                {
                    answer.headers_mut().append(header::SET_COOKIE, value);
                }
                answer
            }
            Err(error) => {
                let (status, words) = refusal(&error);
                self.editor(&scene, ask, &subject, form, Html::default(), vec![words], status)
            }
        }
    }

    /// What is to be saved, or everything that is wrong with it.
    fn draft(&self, scene: &Scene, ask: &Ask, subject: &Subject, form: &mut Form) -> Result<Draft, Vec<Html>> {
        let when = &ask.when;
        let old = subject.silence();
        let mut errors = Vec::new();
        let start = form.start(when, old).map_err(|error| errors.push(error)).unwrap_or_default();
        let end = form.end(when, start, old).map_err(|error| errors.push(error)).ok();
        if let Some(end) = end {
            if end <= when.now {
                errors.push(Html(format!("<b>It would end in the past</b>, {}.", when.clock(end))));
            } else if start.is_some_and(|start| start >= end) {
                errors.push(Html("<b>It would end before it begins.</b>".to_owned()));
            }
        }
        if form.comment.trim().is_empty() {
            errors.push(Html("<b>A comment is missing.</b> Say why, and where to read more.".to_owned()));
        }
        if form.author.trim().is_empty() {
            errors.push(Html("<b>An author is missing.</b> Who is to be asked about this?".to_owned()));
        }
        let preview = Preview::of(scene, ask, &mut form.lines, end, old.map(|old| &old.id), self.api.mode);
        errors.extend(preview.blocks.iter().cloned());
        if errors.is_empty() && form.lines.errors().next().is_none() && preview.is_wide && !form.sure {
            errors.push(Html("<b>This quiets everything.</b> If that is meant, say so below.".to_owned()));
        }
        if !errors.is_empty() || form.lines.errors().next().is_some() {
            return Err(errors);
        }
        let annotations = form.annotations.iter().filter(|(name, _)| !name.is_empty());
        Ok(Draft {
            id: old.map(|old| old.id.as_str().to_owned()),
            matchers: form.lines.chosen().map(Line::text).collect(),
            starts_at: start,
            ends_at: end,
            created_by: form.author.trim().to_owned(),
            comment: form.comment.trim().to_owned(),
            annotations: annotations.cloned().collect(),
        })
    }
}

fn monday_text(when: &When) -> String {
    let at = when.next(8, Some(chrono::Weekday::Mon));
    format!("Mon {}", when.local(at).format("%H:%M"))
}

/// Why it was not saved, in words.
fn refusal(error: &SetError) -> (StatusCode, Html) {
    let text = error.to_string();
    match error {
        SetError::NotDurable(_) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            Html(format!(
                "<b>Not kept: {}.</b> It would not survive a restart of this node. Try again, or make it on another node.",
                Shown(&text)
            )),
        ),
        SetError::NotFound => (StatusCode::NOT_FOUND, Html("<b>The silence is gone.</b>".to_owned())),
        _ => (StatusCode::UNPROCESSABLE_ENTITY, Html(format!("<b>Not saved.</b> {}", Shown(&text)))),
    }
}
