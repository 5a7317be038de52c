//! What tests of the state need around it.

use std::sync::Arc;

use crate::{
    clock::Clock,
    metrics::{BuildInfo, Metrics, MetricsOptions},
};

/// Metrics that nobody scrapes.
pub(crate) fn metrics() -> Arc<Metrics> {
    let build = BuildInfo {
        version: "",
        revision: "",
        branch: "",
        build_user: "",
        build_date: "",
        go_version: "",
        goos: "",
        goarch: "",
        tags: "",
    };
    Metrics::new(MetricsOptions::default(), build, &Clock::system())
}
