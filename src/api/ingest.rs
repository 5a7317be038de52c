//! `POST /alerts`, and the way of posted alerts through the program.

use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use prometheus::IntCounter;

use super::{
    Api,
    answer::{self, Answer, Fault, refused},
    body::ReadBody,
    body_text, posted,
};
use crate::{
    alert::{Change, Posted},
    clock::Time,
    events::Event,
    metrics::Metrics,
};

/// Counters touched by each post, looked up once.
pub(super) struct Counters {
    firing: IntCounter,
    resolved: IntCounter,
    invalid: IntCounter,
    to_inhibitor: IntCounter,
}

impl Counters {
    pub fn new(metrics: &Metrics) -> Self {
        let received = |status| metrics.alerts_received_total.with_label_values(&[status, "v2"]);
        Counters {
            firing: received("firing"),
            resolved: received("resolved"),
            invalid: metrics.alerts_invalid_total.with_label_values(&["v2"]),
            to_inhibitor: metrics.alerts_subscriber_channel_writes_total.with_label_values(&["inhibitor"]),
        }
    }
}

const NOT_STORED: HeaderValue =
    HeaderValue::from_static("199 - \"alerts are held in memory only: the disk cannot be written\"");

impl Api {
    pub(super) fn post_alerts(&self, body: &ReadBody) -> Result<Answer, Fault> {
        let text = body_text(body);
        let drafts = posted::read(&text)?;
        let now = self.clock.now();
        let resolve_timeout = self.config.load().config.global.resolve_timeout;
        let (batch, complaints) = self.sieve(drafts, now, resolve_timeout);
        self.ingest(&batch, now);
        if !complaints.is_empty() {
            return Ok(refused(StatusCode::BAD_REQUEST, &complaints.join("\n")));
        }
        let mut answer = answer::ok();
        if self.metrics.store_degraded.get() != 0 {
            answer.headers_mut().insert(header::WARNING, NOT_STORED);
        }
        Ok(answer)
    }

    /// The alerts that can be taken, and what is wrong with the others. Counts both.
    fn sieve<'a>(
        &self,
        drafts: Vec<posted::Draft<'a>>,
        now: Time,
        resolve_timeout: Duration,
    ) -> (Vec<Posted<'a>>, Vec<String>) {
        let mut complaints = Vec::new();
        let mut batch = Vec::with_capacity(drafts.len());
        let (mut firing, mut resolved) = (0, 0);
        for draft in drafts {
            let posted = draft.complete(now, resolve_timeout);
            *(if posted.ends_at > now { &mut firing } else { &mut resolved }) += 1;
            match posted::check(&posted, self.mode) {
                Ok(()) => batch.push(posted),
                Err(complaint) => complaints.push(complaint),
            }
        }
        self.counters.firing.inc_by(firing);
        self.counters.resolved.inc_by(resolved);
        self.counters.invalid.inc_by(complaints.len() as u64);
        (batch, complaints)
    }

    /// Takes posted alerts in: the store first, then the disk (behind the answer), then those that act on
    /// them. A refresh ends at the store: everybody else holds the alert's entry and sees its times move.
    pub fn ingest(&self, batch: &[Posted<'_>], now: Time) {
        let outcome = self.alerts.put(batch, now);
        self.report_limited(&outcome.limited);
        if outcome.changes.is_empty() {
            return;
        }
        self.records.persist_changes(&outcome.changes);
        for (entry, _) in outcome.changes.iter().filter(|(_, change)| *change == Change::New) {
            self.events.record(|| Event::AlertCreated(entry.alert()));
        }
        let inhibitor = self.inhibitor.load();
        for (entry, _) in &outcome.changes {
            inhibitor.observe(entry);
        }
        self.dispatcher.observe(&outcome.changes);
        self.counters.to_inhibitor.inc_by(outcome.changes.len() as u64);
    }

    fn report_limited(&self, names: &[Box<str>]) {
        for name in names {
            let labels: &[&str] = if self.metrics.options().alert_name { &[name] } else { &[] };
            self.metrics.alerts_limited_total.with_label_values(labels).inc();
        }
        if let Some(name) = names.first() {
            tracing::warn!(component = "provider", alertname = %name, dropped = names.len(), "Alerts dropped: limit per alertname reached");
        }
    }
}
