//! Which decisions are wanted, and how a node looks for them in a file: pure, but for the reading.

use std::collections::HashMap;

use super::{
    model::{Decision, Outcome},
    runs::Repeat,
    wire::{Book, DecisionMessage},
};
use crate::{
    alert::{
        Fingerprint, Labels,
        matcher::Matcher,
        re2::{Anchored, RegexError},
    },
    clock::Time,
};

/// Decisions on a page, if nothing is said.
pub const LIMIT_DEFAULT: usize = 50;
pub const LIMIT_MAX: usize = 500;

/// What is asked for; by default everything, newest first.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Some alert of the decision fits all of them. Of alerts that are counted only, the labels of their group have to
    /// fit, as far as it has them.
    pub matchers: Vec<Matcher>,
    pub fingerprint: Option<Fingerprint>,
    /// Of the alert of `fingerprint`: finds it among those that are counted only, by the labels of the group.
    pub labels: Option<Labels>,
    pub receiver: Option<Pattern>,
    /// Empty: all.
    pub outcomes: Vec<Outcome>,
    /// Some repetition is not before …
    pub since: Option<Time>,
    /// … and not after.
    pub until: Option<Time>,
    /// 0: [`LIMIT_DEFAULT`]; never more than [`LIMIT_MAX`].
    pub limit: usize,
    pub cursor: Option<super::merge::Cursor>,
}

/// A regular expression for receivers, with its text.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    test: Anchored,
}

impl Pattern {
    /// # Errors
    /// No regular expression.
    pub fn new(text: &str) -> Result<Self, RegexError> {
        Ok(Pattern { text: text.to_owned(), test: Anchored::new(text)? })
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    #[must_use]
    pub fn is_match(&self, receiver: &str) -> bool {
        self.test.is_match(receiver)
    }
}

impl Query {
    #[must_use]
    pub fn page_size(&self) -> usize {
        if self.limit == 0 { LIMIT_DEFAULT } else { self.limit.min(LIMIT_MAX) }
    }

    /// Whether the decision is wanted; `book` is the file that it comes from.
    #[must_use]
    pub fn wants(&self, message: &DecisionMessage, book: &Book) -> bool {
        message.outcome().is_some_and(|outcome| self.outcomes.is_empty() || self.outcomes.contains(&outcome))
            && self.since.is_none_or(|since| message.last() >= since)
            && self.until.is_none_or(|until| message.at() <= until)
            && self.receiver.as_ref().is_none_or(|receiver| receiver.is_match(&book.group(message).0))
            && self.wants_alerts(message, book)
    }

    fn wants_alerts(&self, message: &DecisionMessage, book: &Book) -> bool {
        if self.fingerprint.is_none() && self.matchers.is_empty() {
            return true;
        }
        let fits = |fingerprint: Fingerprint| {
            self.fingerprint.is_none_or(|wanted| wanted == fingerprint)
                && (self.matchers.is_empty() || self.fits_set(fingerprint, book))
        };
        message.alerts().any(fits)
            || (message.totals().all() as usize > message.alerts().len()
                && self.may_be_in(&book.group(message).1.labels))
    }

    fn fits_set(&self, fingerprint: Fingerprint, book: &Book) -> bool {
        let Some(set) = book.set(fingerprint) else { return false };
        self.matchers.iter().all(|matcher| matcher.matches_value(set.get(matcher.name())))
    }

    /// Of a group with more alerts than are listed.
    fn may_be_in(&self, group: &Labels) -> bool {
        let fits = |matcher: &Matcher| group.get(matcher.name()).is_none_or(|value| matcher.matches_value(value));
        let is_there = match (&self.fingerprint, &self.labels) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(_), Some(labels)) => group.iter().all(|(name, value)| labels.get(name).unwrap_or("") == value),
        };
        is_there && self.matchers.iter().all(fits)
    }
}

/// What was found so far, newest first.
#[derive(Debug)]
pub struct Search<'q> {
    query: &'q Query,
    /// Only decisions with smaller numbers.
    below: u64,
    /// So many, in so many bytes.
    limit: usize,
    bytes_left: usize,
    repeats: HashMap<u64, Repeat>,
    pub found: Vec<Decision>,
    /// There is more than the limits allow.
    pub more: bool,
}

impl<'q> Search<'q> {
    /// `open`: the runs that go on.
    pub fn new(query: &'q Query, below: u64, bytes_max: usize, open: impl Iterator<Item = Repeat>) -> Self {
        let repeats = open.map(|repeat| (repeat.id, repeat)).collect();
        let limit = query.page_size();
        Search { query, below, limit, bytes_left: bytes_max, repeats, found: Vec::new(), more: false }
    }

    /// Looks through the next older file.
    pub fn look_through(&mut self, book: &mut Book) {
        for repeat in &book.repeats {
            let known = self.repeats.entry(repeat.id).or_insert(*repeat);
            if repeat.count > known.count {
                *known = *repeat;
            }
        }
        let mut decisions = std::mem::take(&mut book.decisions);
        for (node, message) in decisions.iter_mut().rev().filter(|(_, message)| message.id < self.below) {
            if let Some(repeat) = self.repeats.get(&message.id) {
                message.repeat(*repeat);
            }
            if !self.query.wants(message, book) {
                continue;
            }
            let Some(decision) = book.decision(node, message) else { continue };
            let bytes = weight(&decision);
            if self.found.len() >= self.limit || (bytes > self.bytes_left && !self.found.is_empty()) {
                self.more = true;
                return;
            }
            self.bytes_left = self.bytes_left.saturating_sub(bytes);
            self.found.push(decision);
        }
    }

    #[must_use]
    pub fn is_over(&self) -> bool {
        self.more
    }
}

/// About its size on the wire.
fn weight(decision: &Decision) -> usize {
    let labels = |labels: &Labels| labels.iter().map(|(name, value)| name.len() + value.len() + 2).sum::<usize>();
    let alerts: usize = decision.alerts.iter().map(|alert| 24 + alert.labels.as_ref().map_or(0, labels)).sum();
    200 + decision.group.key.len() + labels(&decision.group.labels) + alerts
}
