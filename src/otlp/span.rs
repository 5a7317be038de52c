//! A span: work under way, from when it is opened until the last handle to it is dropped.
//!
//! Work runs in a span by [`Span::enter`]; whatever it does below finds that span by [`child`], without being handed
//! anything. Where nothing is traced a span is nothing, and all of this costs a look.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::future::Either;
use http::{HeaderMap, StatusCode};
use tokio::{task::futures::TaskLocalFuture, time::Instant};

use super::{
    Inner,
    context::Context,
    wire::{self, KeyValue, Kind, Value},
};
use crate::clock::Time;

/// Texts of errors and attributes are cut to this.
const TEXT_BYTES_MAX: usize = 4096;
/// Of flags: it is known whether the parent is in another process, and it is.
const KNOWS_REMOTE: u32 = 1 << 8;
const IS_REMOTE: u32 = 1 << 9;
/// Code of a status.
const ERROR: i32 = 2;

tokio::task_local! {
    static CURRENT: Span;
}

/// See the module's head. Clones are the same span.
#[derive(Clone, Default)]
pub struct Span(State);

#[derive(Clone, Default)]
enum State {
    /// Nothing is traced.
    #[default]
    None,
    /// Its trace is not recorded, which those who are called should know.
    Unsampled(Context),
    Recording(Arc<Recording>),
}

struct Recording {
    tracer: Arc<Inner>,
    context: Context,
    parent: Option<Parent>,
    name: Cow<'static, str>,
    kind: Kind,
    start: Time,
    began: Instant,
    notes: Mutex<Notes>,
}

/// The span that this one is part of.
#[derive(Clone, Copy)]
pub(super) struct Parent {
    pub span: [u8; 8],
    pub remote: bool,
}

#[derive(Default)]
struct Notes {
    attributes: Vec<KeyValue>,
    events: Vec<wire::Event>,
    failure: Option<String>,
}

/// The span in which the caller runs; nothing if there is none.
#[must_use]
pub fn current() -> Span {
    CURRENT.try_with(Clone::clone).unwrap_or_default()
}

/// A part of the span in which the caller runs.
#[must_use]
pub fn child(name: &'static str) -> Span {
    CURRENT.try_with(|span| span.child(name, Kind::Internal)).unwrap_or_default()
}

impl Span {
    pub(super) fn unsampled(context: Context) -> Self {
        Span(State::Unsampled(context))
    }

    pub(super) fn recording(
        tracer: &Arc<Inner>,
        context: Context,
        parent: Option<Parent>,
        name: impl Into<Cow<'static, str>>,
        kind: Kind,
        start: Time,
    ) -> Self {
        Span(State::Recording(Arc::new(Recording {
            tracer: Arc::clone(tracer),
            context,
            parent,
            name: name.into(),
            kind,
            start,
            began: tracer.clock.monotonic(),
            notes: Mutex::default(),
        })))
    }

    /// Nothing is traced here.
    #[must_use]
    pub fn is_none(&self) -> bool {
        matches!(self.0, State::None)
    }

    #[must_use]
    pub fn is_recording(&self) -> bool {
        matches!(self.0, State::Recording(_))
    }

    /// Who this span is; `None` where nothing is traced.
    #[must_use]
    pub fn context(&self) -> Option<&Context> {
        match &self.0 {
            State::None => None,
            State::Unsampled(context) => Some(context),
            State::Recording(recording) => Some(&recording.context),
        }
    }

    /// A part of this span.
    #[must_use]
    pub fn child(&self, name: impl Into<Cow<'static, str>>, kind: Kind) -> Span {
        match &self.0 {
            State::Recording(recording) => {
                let tracer = &recording.tracer;
                tracer.part_of(&recording.context, false, name, kind, tracer.clock.now())
            }
            // There is nothing to tell apart within it.
            other => Span(other.clone()),
        }
    }

    /// Runs `work` within this span.
    pub fn enter<F: Future>(&self, work: F) -> Either<F, TaskLocalFuture<Span, F>> {
        match self.0 {
            State::None => Either::Left(work),
            _ => Either::Right(CURRENT.scope(self.clone(), work)),
        }
    }

    /// Says something about it.
    pub fn set<V: Into<Value>>(&self, key: &str, value: V) {
        self.note(|_, notes| notes.attributes.push(attribute(key, value.into())));
    }

    /// Something happened in it.
    pub fn event(&self, name: &str) {
        self.note(|recording, notes| {
            let time_unix_nano = recording.now();
            notes.events.push(wire::Event { time_unix_nano, name: name.to_owned(), attributes: Vec::new() });
        });
    }

    /// It fails, and this is why. The last reason stands.
    pub fn fail(&self, why: &str) {
        self.note(|recording, notes| {
            let attributes = vec![attribute("exception.message", why.into())];
            let time_unix_nano = recording.now();
            notes.events.push(wire::Event { time_unix_nano, name: "exception".to_owned(), attributes });
            notes.failure = Some(cut(why.to_owned()));
        });
    }

    /// It fails as its parts say.
    pub fn fails_in_parts(&self, why: &str) {
        self.note(|_, notes| notes.failure = Some(why.to_owned()));
    }

    /// What an HTTP request came to. Of a server's answers only its own failures are errors.
    pub fn answered(&self, status: StatusCode) {
        self.note(|recording, notes| {
            notes.attributes.push(attribute("http.response.status_code", status.as_u16().into()));
            let first_error = if recording.kind == Kind::Server { 500 } else { 400 };
            if status.as_u16() >= first_error {
                notes.failure.get_or_insert_default();
            }
        });
    }

    /// Shows whoever gets a request with these headers that it belongs to this span.
    pub fn show(&self, headers: &mut HeaderMap) {
        if let Some(context) = self.context() {
            context.show(headers);
        }
    }

    fn note(&self, note: impl FnOnce(&Recording, &mut Notes)) {
        if let State::Recording(recording) = &self.0 {
            note(recording, &mut recording.notes.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

fn attribute(key: &str, value: Value) -> KeyValue {
    let value = match value {
        Value::Text(text) => Value::Text(cut(text)),
        other => other,
    };
    KeyValue::new(key, value)
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    text
}

fn nanos(time: Time) -> u64 {
    time.timestamp_nanos_opt().and_then(|nanos| u64::try_from(nanos).ok()).unwrap_or_default()
}

impl Recording {
    /// By the clock that nobody sets, so that no span ends before it begins.
    fn now(&self) -> u64 {
        let took = self.tracer.clock.monotonic().saturating_duration_since(self.began);
        nanos(self.start).saturating_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let notes = std::mem::take(self.notes.get_mut().unwrap_or_else(PoisonError::into_inner));
        let is_remote = self.parent.is_some_and(|parent| parent.remote);
        self.tracer.take(wire::Span {
            trace_id: self.context.trace.to_vec(),
            span_id: self.context.span.to_vec(),
            trace_state: self.context.state.as_deref().unwrap_or_default().to_owned(),
            parent_span_id: self.parent.map(|parent| parent.span.to_vec()).unwrap_or_default(),
            name: std::mem::take(&mut self.name).into_owned(),
            kind: self.kind.into(),
            start_time_unix_nano: nanos(self.start),
            end_time_unix_nano: self.now(),
            attributes: notes.attributes,
            events: notes.events,
            status: notes.failure.map(|message| wire::Status { message, code: ERROR }),
            flags: 1 | KNOWS_REMOTE | if is_remote { IS_REMOTE } else { 0 },
        });
    }
}
