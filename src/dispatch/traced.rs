//! Spans of a flush and of what it sets going (the names are Alertmanager's where it has them). Looks at everything and
//! changes nothing.
//!
//! A flush is open until the attempts that it began are over. Later attempts, after a back-off or a wait for others,
//! belong to it too, although it has ended: no span is open while a delivery sleeps.

use std::time::Duration;

use tokio::time::error::Elapsed;

use super::{Engine, content::Content, deliver::Outcome, group::Group, plan::Ready};
use crate::{
    clock::Time,
    nflog::LogKey,
    notify::{NotifyError, Receipt, retry},
    otlp::{self, Span},
};

impl Engine {
    /// A group comes round.
    pub(super) fn flush_span(&self, group: &Group, alerts: usize, now: Time) -> Span {
        let span = self.tracer.root("dispatch.AggregationGroup.flush", now);
        if span.is_recording() {
            span.set("alerting.aggregation_group.key", &*group.key);
            span.set("alerting.alerts.count", alerts);
        }
        span
    }

    /// One attempt for one integration, from its decision to the bookkeeping.
    pub(super) fn attempt_span(&self, ready: &Ready, key: &LogKey) -> Span {
        if !self.tracer.is_on() {
            return Span::default();
        }
        let (parent, failures) = match self.core().deliveries.get(key) {
            Some(delivery) => (delivery.trace.clone(), delivery.failures.count()),
            None => (None, 0),
        };
        let span = self.tracer.part_of(parent.as_ref(), "notify.RetryStage.Exec");
        if span.is_recording() {
            span.set("alerting.group.name", &*ready.lane.receiver);
            span.set("alerting.group.key", &*key.group_key);
            span.set("alerting.integration.name", ready.lane.kind);
            span.set("alerting.integration.index", ready.lane.index);
            span.set("alerting.notify.failures.count", failures as usize);
        }
        span
    }

    /// The other nodes are asked; where there are none it takes no time.
    pub(super) fn asking_span(&self) -> Span {
        if self.peer.is_alone() { Span::default() } else { otlp::child("notify.WaitStage.Exec") }
    }

    /// The receiver is told.
    pub(super) fn telling_span(&self, ready: &Ready, content: &Content) -> Span {
        let span = self.tracer.call("notify.Integration.Notify");
        if span.is_recording() {
            span.set("alerting.notify.receiver.name", &*ready.lane.receiver);
            span.set("alerting.notify.integration.name", ready.lane.kind);
            span.set("alerting.notify.reason", content.notification.reason.as_str());
            span.set("alerting.alerts.count", content.notification.alerts.len());
        }
        span
    }
}

/// The receiver has answered, or not.
pub(super) fn answered(span: Span, answer: &Result<Result<Receipt, NotifyError>, Elapsed>, limit: Duration) {
    if !span.is_recording() {
        return;
    }
    let fails = |error: &NotifyError| {
        span.set("alerting.notify.error.recoverable", error.retry);
        span.set("alerting.notify.error.reason", error.reason.as_str());
        span.fail(&error.message);
    };
    match answer {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => fails(error),
        Err(_) => fails(&retry::cut_off(limit)),
    }
}

impl Outcome {
    /// How the attempt ended, to its span and to that of the flush that began it.
    pub(super) fn trace(&self, attempt: &Span, flush: &Span) {
        match self {
            Outcome::Told => {}
            Outcome::Settled => attempt.event("nothing is owed"),
            Outcome::Wait(_) => attempt.event("waits for others"),
            Outcome::Failed { error, .. } => {
                attempt.fail(&error.message);
                flush.fails_in_parts("notification failed");
            }
            Outcome::Abandoned => attempt.fail("abandoned because the program ends"),
        }
    }
}
