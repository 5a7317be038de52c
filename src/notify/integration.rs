//! One configured integration of one receiver, ready to deliver, with the counters it moves.

use std::sync::Arc;

use prometheus::{Histogram, IntCounter};

use super::types::{FailureReason, Notifier};
use crate::metrics::Metrics;

/// One integration of a receiver, as the application built it.
#[derive(Clone)]
pub struct Integration {
    /// `webhook`, `email` …: as in the configuration model.
    pub kind: &'static str,
    /// Within the list of its kind in the receiver, from 0.
    pub index: usize,
    pub send_resolved: bool,
    pub notifier: Arc<dyn Notifier>,
}

/// The series of one integration, looked up once.
pub(crate) struct Counters {
    pub notifications: IntCounter,
    pub requests: IntCounter,
    pub requests_failed: IntCounter,
    pub latency: Histogram,
    /// In the order of [`FailureReason::ALL`].
    failed: Vec<IntCounter>,
}

impl Counters {
    pub fn new(metrics: &Metrics, kind: &str, receiver: &str) -> Self {
        let labels = metrics.integration_labels(kind, receiver);
        let failed = |reason: FailureReason| {
            let mut labels = labels.clone();
            labels.push(reason.as_str());
            metrics.notifications_failed_total.with_label_values(&labels)
        };
        Counters {
            notifications: metrics.notifications_total.with_label_values(&labels),
            requests: metrics.notification_requests_total.with_label_values(&labels),
            requests_failed: metrics.notification_requests_failed_total.with_label_values(&labels),
            latency: metrics.notification_latency_seconds.with_label_values(&labels),
            failed: FailureReason::ALL.into_iter().map(failed).collect(),
        }
    }

    /// One notification ended without success.
    pub fn count_failure(&self, reason: FailureReason) {
        let place = FailureReason::ALL.iter().position(|known| *known == reason);
        if let Some(counter) = place.and_then(|place| self.failed.get(place)) {
            counter.inc();
        }
    }
}
