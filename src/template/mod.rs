//! Go's `text/template` and `html/template` over the notification data.
//!
//! Enters: template files, configured strings, and a [`Data`] made from a notification. Leaves: the
//! rendered text, or an error in Go's words with the place in the template. Everything a template can do
//! is bounded (nesting, steps, sizes), so that a configured string can neither hang nor exhaust the process.
//! This room knows nothing of receivers or of sending.
//!
//! The parts: `lex` and `parse` make the tree of `ast`; `exec` and `expression` walk it over the values of `value`,
//! with `members` (fields and methods), `builtins` (Go's functions), `functions` (Alertmanager's) and `format` (Go's
//! `fmt`). `html` lets `gotmpl` decide how each printed value is escaped for its place; `set` keeps the named templates.

mod ast;
mod builtins;
mod casing;
mod compare;
mod data;
mod exec;
mod expression;
mod floats;
mod format;
mod functions;
#[cfg(test)]
mod goldens;
pub(crate) mod gotime;
mod html;
mod json;
pub(crate) mod layout;
mod lex;
mod limits;
mod members;
mod numbers;
mod params;
mod parse;
mod reach;
mod set;
#[cfg(test)]
mod tests;
mod value;
mod verbs;

use std::{
    collections::{HashMap, VecDeque},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

pub use data::Data;

use crate::{alert::Labels, clock::Clock};
use set::{Program, Set};

/// What went wrong, in Go's words: `template: x.tmpl:3: function "nope" not defined`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    message: String,
}

impl TemplateError {
    fn new(message: impl Into<String>) -> Self {
        TemplateError { message: message.into() }
    }

    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// The loaded template set: the shipped definitions, then those of the user's files, later ones winning.
///
/// Configured strings are rendered against it. Their parsed form is kept by their text, since the same few
/// strings are rendered for every notification.
pub struct Templates {
    set: Arc<Set>,
    clock: Clock,
    parsed: Mutex<Parsed>,
}

/// Parsed configured strings, oldest first out.
#[derive(Default)]
struct Parsed {
    by_source: HashMap<Arc<str>, Arc<Program>>,
    order: VecDeque<Arc<str>>,
}

impl std::fmt::Debug for Templates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Templates").field("names", &self.set.len()).finish_non_exhaustive()
    }
}

impl Templates {
    /// The shipped templates and every file that the globs match (in their order, matches of one sorted).
    /// A glob without a match is fine.
    pub fn load(globs: &[PathBuf]) -> Result<Self, TemplateError> {
        let mut set = Set::shipped()?;
        set.add_globs(globs)?;
        Ok(Self::over(set))
    }

    /// Only the files that the globs match, without the shipped templates.
    pub fn load_without_shipped(globs: &[PathBuf]) -> Result<Self, TemplateError> {
        let mut set = Set::default();
        set.add_globs(globs)?;
        Ok(Self::over(set))
    }

    /// The shipped templates and the given files: name and text.
    pub fn from_texts<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, TemplateError> {
        let mut set = Set::shipped()?;
        for (name, text) in files {
            set.add(name, text)?;
        }
        Ok(Self::over(set))
    }

    fn over(set: Set) -> Self {
        Templates { set: Arc::new(set), clock: Clock::system(), parsed: Mutex::default() }
    }

    /// `now` and `since` read this clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Renders `source` as plain text. An empty source gives the empty string.
    pub fn text(&self, source: &str, data: &Data) -> Result<String, TemplateError> {
        if source.is_empty() {
            return Ok(String::new());
        }
        // Most configured strings have no action at all.
        if !source.contains("{{") {
            return Ok(source.to_owned());
        }
        let program = self.program(source)?;
        exec::render_text(&self.set, &program, data, &self.clock, &exec::FinishedLabels(&data.route_labels))
    }

    /// Renders `source` as HTML: every printed value is escaped for the place it stands in.
    pub fn html(&self, source: &str, data: &Data) -> Result<String, TemplateError> {
        if source.is_empty() {
            return Ok(String::new());
        }
        let program = self.program(source)?;
        html::render(&self.set, &program, data, &self.clock)
    }

    /// Renders a route's configured labels against the group's data. They may name each other through
    /// `routeLabels`. A label that fails is left out and its error returned beside its name.
    #[must_use]
    pub fn route_labels(&self, configured: &[(&str, &str)], data: &Data) -> (Labels, Vec<(String, TemplateError)>) {
        set::render_route_labels(self, configured, data)
    }

    fn program(&self, source: &str) -> Result<Arc<Program>, TemplateError> {
        if let Some(program) = self.lock().by_source.get(source) {
            return Ok(Arc::clone(program));
        }
        let program = Arc::new(Program::parse(source)?);
        let mut parsed = self.lock();
        let key: Arc<str> = Arc::from(source);
        if parsed.by_source.insert(Arc::clone(&key), Arc::clone(&program)).is_none() {
            parsed.order.push_back(key);
        }
        while parsed.order.len() > limits::PARSED_MAX {
            if let Some(oldest) = parsed.order.pop_front() {
                parsed.by_source.remove(&oldest);
            }
        }
        Ok(program)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Parsed> {
        // A panic elsewhere leaves at worst an entry that is evicted late.
        self.parsed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether `source` parses when only Go's own functions are known: the check that configured webhook URLs
/// get at load (reference/receivers.md 1).
pub fn check_builtin_syntax(source: &str) -> Result<(), TemplateError> {
    parse::parse("", source, &builtins::is_builtin).map(drop)
}
