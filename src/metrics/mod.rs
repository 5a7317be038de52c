//! Every metric of the program, made in one place, under Alertmanager's names (reference/metrics.md).
//!
//! Rooms get an `Arc<Metrics>` and touch the fields they own. A field is named like its metric without
//! the `alertmanager_` prefix. What is only known by asking (silences by state) is refreshed by a hook
//! right before a scrape. Nothing here knows what the numbers mean to the rest.

mod process;
mod summary;

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder, core::Collector,
};
pub use summary::Summary;

use crate::clock::Clock;

/// All integrations, in the order of their names: series of each exist from the start.
pub const INTEGRATIONS: [&str; 18] = [
    "discord",
    "email",
    "incidentio",
    "jira",
    "mattermost",
    "msteams",
    "msteamsv2",
    "opsgenie",
    "pagerduty",
    "pushover",
    "rocketchat",
    "slack",
    "sns",
    "telegram",
    "victorops",
    "webex",
    "webhook",
    "wechat",
];

/// Values of `reason` in `alertmanager_notifications_failed_total`.
pub const FAILURE_REASONS: [&str; 7] =
    ["other", "clientError", "serverError", "authError", "rateLimited", "contextCanceled", "contextDeadlineExceeded"];

/// Which optional labels exist (`--enable-feature`).
#[derive(Clone, Copy, Debug, Default)]
pub struct MetricsOptions {
    /// `receiver-name-in-metrics`.
    pub receiver_name: bool,
    /// `group-key-in-metrics`.
    pub group_key: bool,
    /// `alert-names-in-metrics`.
    pub alert_name: bool,
    /// A cluster runs: its metrics exist.
    pub cluster: bool,
}

/// Labels of `alertmanager_build_info`; `version` is the Alertmanager version that we are compatible with.
#[derive(Clone, Copy, Debug)]
pub struct BuildInfo {
    pub version: &'static str,
    pub revision: &'static str,
    pub branch: &'static str,
    pub build_user: &'static str,
    pub build_date: &'static str,
    pub go_version: &'static str,
    pub goos: &'static str,
    pub goarch: &'static str,
    pub tags: &'static str,
}

/// See the module's head.
pub struct Metrics {
    registry: Registry,
    options: MetricsOptions,
    hooks: Mutex<Vec<Hook>>,

    pub alerts: IntGaugeVec,
    pub alerts_received_total: IntCounterVec,
    pub alerts_invalid_total: IntCounterVec,
    pub alerts_per_alert_limit: IntGauge,
    /// One label `alertname` with the feature, else none.
    pub alerts_limited_total: IntCounterVec,
    pub alerts_subscriber_channel_writes_total: IntCounterVec,
    pub http_request_duration_seconds: HistogramVec,
    pub http_response_size_bytes: HistogramVec,
    pub http_requests_in_flight: IntGaugeVec,
    pub http_concurrency_limit_exceeded_total: IntCounterVec,

    pub config_hash: Gauge,
    pub config_last_reload_successful: IntGauge,
    pub config_last_reload_success_timestamp_seconds: Gauge,
    pub receivers: IntGauge,
    pub integrations: IntGauge,
    pub inhibition_rules: IntGauge,

    pub dispatcher_aggregation_groups: IntGauge,
    pub dispatcher_alert_processing_duration_seconds: Summary,
    pub dispatcher_aggregation_group_limit_reached_total: IntCounter,
    pub dispatcher_aggregation_group_creation_retries_total: IntCounter,
    pub dispatcher_aggregation_group_creation_given_up_total: IntCounter,

    /// Labels `integration`, and `receiver_name` with the feature; use [`Metrics::integration_labels`].
    pub notifications_total: IntCounterVec,
    /// The labels of the others and `reason`.
    pub notifications_failed_total: IntCounterVec,
    pub notification_requests_total: IntCounterVec,
    pub notification_requests_failed_total: IntCounterVec,
    pub notification_latency_seconds: HistogramVec,
    pub notifications_suppressed_total: IntCounterVec,

    pub silences: IntGaugeVec,
    pub silences_queries_total: IntCounter,
    pub silences_query_errors_total: IntCounter,
    pub silences_query_duration_seconds: Histogram,
    pub silences_query_silences_scanned_total: IntCounter,
    pub silences_query_silences_skipped_total: IntCounter,
    pub silences_gossip_messages_propagated_total: IntCounter,
    pub silences_gc_duration_seconds: Summary,
    pub silences_gc_errors_total: IntCounter,
    pub silences_snapshot_duration_seconds: Summary,
    pub silences_snapshot_size_bytes: IntGauge,
    pub silences_maintenance_total: IntCounter,
    pub silences_maintenance_errors_total: IntCounter,
    pub silences_matcher_compile_errors_total: IntCounterVec,
    pub silences_state_size: IntGauge,
    pub silences_matcher_index_size: IntGauge,
    pub silences_version_index_size: IntGauge,

    pub nflog_queries_total: IntCounter,
    pub nflog_query_errors_total: IntCounter,
    pub nflog_query_duration_seconds: Histogram,
    pub nflog_gossip_messages_propagated_total: IntCounter,
    pub nflog_gc_duration_seconds: Summary,
    pub nflog_snapshot_duration_seconds: Summary,
    pub nflog_snapshot_size_bytes: IntGauge,
    pub nflog_maintenance_total: IntCounter,
    pub nflog_maintenance_errors_total: IntCounter,

    /// `net_conntrack_dialer_conn_*`: labels `dialer_name` (integration), and `reason` on the last.
    pub conntrack_attempted_total: IntCounterVec,
    pub conntrack_established_total: IntCounterVec,
    pub conntrack_closed_total: IntCounterVec,
    pub conntrack_failed_total: IntCounterVec,
    pub promhttp_requests_total: IntCounterVec,
    pub promhttp_requests_in_flight: IntGauge,

    /// 1 with a cluster, else 0; all other cluster metrics are registered by the cluster itself.
    pub cluster_enabled: IntGauge,

    // Carillon's own.
    /// 1 while writes to the durable store fail.
    pub store_degraded: IntGauge,
    pub store_write_errors_total: IntCounter,
    pub store_commits_total: IntCounter,
    /// Records that wait to be written.
    pub store_queue_length: IntGauge,
    /// Records that were refused because the write queue was full.
    pub store_queue_full_total: IntCounter,
    /// Notification attempts under way.
    pub notifications_in_flight: IntGauge,
    /// Attempts that had to wait because the limit of attempts under way was reached.
    pub notifications_in_flight_limit_reached_total: IntCounter,
    /// Requests, bodies or connections refused at a limit; label `limit`.
    pub http_limit_reached_total: IntCounterVec,
    /// Decisions written down, repetitions not counted.
    pub decisions_recorded_total: IntCounter,
    pub decisions_size_bytes: IntGauge,
    pub decisions_write_errors_total: IntCounter,
    /// Tasks of the runtime.
    pub runtime_tasks: IntGauge,
    /// Template results, cached parses and the like dropped at a limit; label `limit`.
    pub limit_reached_total: IntCounterVec,
}

type Hook = Box<dyn Fn(&Metrics) + Send + Sync>;

/// Registers on creation; our own names and labels are constants, so neither can fail.
struct Maker<'a>(&'a Registry);

#[allow(clippy::expect_used, reason = "names and labels are constants of this file, checked by the tests below")]
impl Maker<'_> {
    fn add<C: Collector + Clone + 'static>(&self, collector: Result<C, prometheus::Error>) -> C {
        let collector = collector.expect("a valid metric");
        self.0.register(Box::new(collector.clone())).expect("a metric of a new name");
        collector
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.add(IntCounter::new(full(name), help))
    }

    fn counters(&self, name: &str, labels: &[&str], help: &str) -> IntCounterVec {
        self.add(IntCounterVec::new(Opts::new(full(name), help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.add(IntGauge::new(full(name), help))
    }

    fn float_gauge(&self, name: &str, help: &str) -> Gauge {
        self.add(Gauge::new(full(name), help))
    }

    fn gauges(&self, name: &str, labels: &[&str], help: &str) -> IntGaugeVec {
        self.add(IntGaugeVec::new(Opts::new(full(name), help), labels))
    }

    fn histogram(&self, name: &str, buckets: &[f64], help: &str) -> Histogram {
        self.add(Histogram::with_opts(HistogramOpts::new(full(name), help).buckets(buckets.to_vec())))
    }

    fn histograms(&self, name: &str, labels: &[&str], buckets: &[f64], help: &str) -> HistogramVec {
        self.add(HistogramVec::new(HistogramOpts::new(full(name), help).buckets(buckets.to_vec()), labels))
    }

    fn summary(&self, name: &str, help: &str) -> Summary {
        self.add(Summary::new(full(name), help))
    }
}

fn full(name: &str) -> String {
    if name.starts_with("net_conntrack_") || name.starts_with("promhttp_") {
        name.to_owned()
    } else {
        format!("alertmanager_{name}")
    }
}

impl Metrics {
    /// Makes and registers everything; series that the reference has from the start exist at zero.
    #[must_use]
    #[allow(clippy::too_many_lines, reason = "a table")]
    pub fn new(options: MetricsOptions, build: BuildInfo, clock: &Clock) -> Arc<Self> {
        const SECONDS: &[f64] = prometheus::DEFAULT_BUCKETS;
        let registry = Registry::new();
        let m = Maker(&registry);
        let notification_labels: &[&str] =
            if options.receiver_name { &["integration", "receiver_name"] } else { &["integration"] };
        let failure_labels: &[&str] = if options.receiver_name {
            &["integration", "receiver_name", "reason"]
        } else {
            &["integration", "reason"]
        };
        let alert_labels: &[&str] = if options.group_key { &["group_key", "state"] } else { &["state"] };
        let limited_labels: &[&str] = if options.alert_name { &["alertname"] } else { &[] };

        let metrics = Metrics {
            options,
            hooks: Mutex::default(),
            alerts: m.gauges("alerts", alert_labels, "Alerts in aggregation groups that are not resolved, by state."),
            alerts_received_total: m.counters(
                "alerts_received_total",
                &["status", "version"],
                "Alerts received, valid or not.",
            ),
            alerts_invalid_total: m.counters(
                "alerts_invalid_total",
                &["version"],
                "Received alerts that were not valid.",
            ),
            alerts_per_alert_limit: m
                .gauge("alerts_per_alert_limit", "Limit of alerts of one alertname; 0 means none."),
            alerts_limited_total: m.counters(
                "alerts_limited_total",
                limited_labels,
                "Alerts dropped by the limit for one alertname.",
            ),
            alerts_subscriber_channel_writes_total: m.counters(
                "alerts_subscriber_channel_writes_total",
                &["subscriber"],
                "Alerts handed on to a part of the program.",
            ),
            http_request_duration_seconds: m.histograms(
                "http_request_duration_seconds",
                &["handler", "method", "code"],
                SECONDS,
                "How long HTTP requests took.",
            ),
            http_response_size_bytes: m.histograms(
                "http_response_size_bytes",
                &["handler", "method"],
                &[1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8],
                "Size of HTTP answers.",
            ),
            http_requests_in_flight: m.gauges("http_requests_in_flight", &["method"], "HTTP requests under way."),
            http_concurrency_limit_exceeded_total: m.counters(
                "http_concurrency_limit_exceeded_total",
                &["method"],
                "HTTP requests refused because too many were under way.",
            ),
            config_hash: m.float_gauge("config_hash", "Hash of the loaded configuration file."),
            config_last_reload_successful: m.gauge(
                "config_last_reload_successful",
                "Whether the last attempt to load the configuration succeeded.",
            ),
            config_last_reload_success_timestamp_seconds: m.float_gauge(
                "config_last_reload_success_timestamp_seconds",
                "When the configuration was last loaded with success, Unix time.",
            ),
            receivers: m.gauge("receivers", "Receivers that routes use."),
            integrations: m.gauge("integrations", "Integrations of the receivers that routes use."),
            inhibition_rules: m.gauge("inhibition_rules", "Inhibition rules of the configuration."),
            dispatcher_aggregation_groups: m.gauge("dispatcher_aggregation_groups", "Aggregation groups that exist."),
            dispatcher_alert_processing_duration_seconds: m
                .summary("dispatcher_alert_processing_duration_seconds", "Time to find the groups of one alert."),
            dispatcher_aggregation_group_limit_reached_total: m
                .counter("dispatcher_aggregation_group_limit_reached_total", "Alerts dropped by the limit of groups."),
            dispatcher_aggregation_group_creation_retries_total: m.counter(
                "dispatcher_aggregation_group_creation_retries_total",
                "Creations of a group that lost a race.",
            ),
            dispatcher_aggregation_group_creation_given_up_total: m
                .counter("dispatcher_aggregation_group_creation_given_up_total", "Alerts dropped after lost races."),
            notifications_total: m.counters(
                "notifications_total",
                notification_labels,
                "Notifications due, sent or failed.",
            ),
            notifications_failed_total: m.counters(
                "notifications_failed_total",
                failure_labels,
                "Notifications that failed.",
            ),
            notification_requests_total: m.counters(
                "notification_requests_total",
                notification_labels,
                "Attempts to deliver a notification.",
            ),
            notification_requests_failed_total: m.counters(
                "notification_requests_failed_total",
                notification_labels,
                "Attempts to deliver a notification that failed.",
            ),
            notification_latency_seconds: m.histograms(
                "notification_latency_seconds",
                notification_labels,
                &[1.0, 5.0, 10.0, 15.0, 20.0],
                "How long an attempt to deliver a notification took.",
            ),
            notifications_suppressed_total: m.counters(
                "notifications_suppressed_total",
                &["reason"],
                "Alerts left out of notifications, counted at each flush.",
            ),
            silences: m.gauges("silences", &["state"], "Silences by state."),
            silences_queries_total: m.counter("silences_queries_total", "Queries for silences."),
            silences_query_errors_total: m.counter("silences_query_errors_total", "Queries for silences that failed."),
            silences_query_duration_seconds: m.histogram(
                "silences_query_duration_seconds",
                SECONDS,
                "How long queries for silences took.",
            ),
            silences_query_silences_scanned_total: m
                .counter("silences_query_silences_scanned_total", "Silences that were matched against alerts."),
            silences_query_silences_skipped_total: m.counter(
                "silences_query_silences_skipped_total",
                "Silences whose match was known or excluded by an index.",
            ),
            silences_gossip_messages_propagated_total: m
                .counter("silences_gossip_messages_propagated_total", "Received silences that were passed on."),
            silences_gc_duration_seconds: m
                .summary("silences_gc_duration_seconds", "How long removing old silences took."),
            silences_gc_errors_total: m.counter("silences_gc_errors_total", "Failures while removing old silences."),
            silences_snapshot_duration_seconds: m
                .summary("silences_snapshot_duration_seconds", "How long writing the silence snapshot took."),
            silences_snapshot_size_bytes: m.gauge("silences_snapshot_size_bytes", "Size of the last silence snapshot."),
            silences_maintenance_total: m.counter("silences_maintenance_total", "Maintenance runs over silences."),
            silences_maintenance_errors_total: m
                .counter("silences_maintenance_errors_total", "Maintenance runs over silences that failed."),
            silences_matcher_compile_errors_total: m.counters(
                "silences_matcher_compile_errors_total",
                &["stage"],
                "Silences whose matchers could not be compiled.",
            ),
            silences_state_size: m.gauge("silences_state_size", "Silences held, expired ones included."),
            silences_matcher_index_size: m.gauge("silences_matcher_index_size", "Silences in the matcher index."),
            silences_version_index_size: m.gauge("silences_version_index_size", "Silences in the version index."),
            nflog_queries_total: m.counter("nflog_queries_total", "Queries to the notification log."),
            nflog_query_errors_total: m
                .counter("nflog_query_errors_total", "Queries to the notification log that found nothing."),
            nflog_query_duration_seconds: m.histogram(
                "nflog_query_duration_seconds",
                SECONDS,
                "How long queries to the notification log took.",
            ),
            nflog_gossip_messages_propagated_total: m
                .counter("nflog_gossip_messages_propagated_total", "Received log entries that were passed on."),
            nflog_gc_duration_seconds: m
                .summary("nflog_gc_duration_seconds", "How long removing old log entries took."),
            nflog_snapshot_duration_seconds: m
                .summary("nflog_snapshot_duration_seconds", "How long writing the notification log snapshot took."),
            nflog_snapshot_size_bytes: m
                .gauge("nflog_snapshot_size_bytes", "Size of the last notification log snapshot."),
            nflog_maintenance_total: m
                .counter("nflog_maintenance_total", "Maintenance runs over the notification log."),
            nflog_maintenance_errors_total: m
                .counter("nflog_maintenance_errors_total", "Maintenance runs over the notification log that failed."),
            conntrack_attempted_total: m.counters(
                "net_conntrack_dialer_conn_attempted_total",
                &["dialer_name"],
                "Connections that a receiver's client tried to open.",
            ),
            conntrack_established_total: m.counters(
                "net_conntrack_dialer_conn_established_total",
                &["dialer_name"],
                "Connections that a receiver's client opened.",
            ),
            conntrack_closed_total: m.counters(
                "net_conntrack_dialer_conn_closed_total",
                &["dialer_name"],
                "Connections of a receiver's client that were closed.",
            ),
            conntrack_failed_total: m.counters(
                "net_conntrack_dialer_conn_failed_total",
                &["dialer_name", "reason"],
                "Connections that a receiver's client failed to open.",
            ),
            promhttp_requests_total: m.counters(
                "promhttp_metric_handler_requests_total",
                &["code"],
                "Scrapes by HTTP status.",
            ),
            promhttp_requests_in_flight: m.gauge("promhttp_metric_handler_requests_in_flight", "Scrapes under way."),
            cluster_enabled: m.gauge("cluster_enabled", "Whether this node runs as part of a cluster."),
            store_degraded: m.gauge("store_degraded", "1 while the durable store cannot be written, else 0."),
            store_write_errors_total: m.counter("store_write_errors_total", "Failed commits of the durable store."),
            store_commits_total: m.counter("store_commits_total", "Commits of the durable store."),
            store_queue_length: m.gauge("store_queue_length", "Records that wait to be written to the durable store."),
            store_queue_full_total: m.counter(
                "store_queue_full_total",
                "Records that were not queued for the durable store because its queue was full.",
            ),
            notifications_in_flight: m
                .gauge("notifications_in_flight", "Attempts to deliver a notification under way."),
            notifications_in_flight_limit_reached_total: m.counter(
                "notifications_in_flight_limit_reached_total",
                "Attempts that waited because too many were under way.",
            ),
            http_limit_reached_total: m.counters(
                "http_limit_reached_total",
                &["limit"],
                "Requests and connections refused at a limit of the server.",
            ),
            decisions_recorded_total: m
                .counter("decisions_recorded_total", "Decisions written to the decision log, repetitions not counted."),
            decisions_size_bytes: m.gauge("decisions_size_bytes", "Size of the decision log on disk."),
            decisions_write_errors_total: m
                .counter("decisions_write_errors_total", "Writes to the decision log that failed."),
            runtime_tasks: m.gauge(
                "runtime_tasks",
                "Tasks that run: connections, attempts to deliver, and the parts of the server.",
            ),
            limit_reached_total: m.counters(
                "limit_reached_total",
                &["limit"],
                "Times that an internal limit was reached.",
            ),
            registry: registry.clone(),
        };
        metrics.cluster_enabled.set(i64::from(options.cluster));
        m.add(build_info(build)).set(1);
        m.add(Ok::<_, prometheus::Error>(process::ProcessMetrics::new(clock.now())));
        metrics.start_at_zero();
        Arc::new(metrics)
    }

    /// The registry, for parts that bring a collector of their own.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    #[must_use]
    pub fn options(&self) -> MetricsOptions {
        self.options
    }

    /// Label values of the notification metrics for one integration of one receiver.
    #[must_use]
    pub fn integration_labels<'a>(&self, integration: &'a str, receiver: &'a str) -> Vec<&'a str> {
        if self.options.receiver_name { vec![integration, receiver] } else { vec![integration] }
    }

    /// With `receiver-name-in-metrics`: forget all series and start those of `receivers` (integration, receiver) at zero.
    pub fn reset_notifications<'a>(&self, receivers: impl IntoIterator<Item = (&'a str, &'a str)>) {
        if !self.options.receiver_name {
            return;
        }
        self.notifications_total.reset();
        self.notifications_failed_total.reset();
        self.notification_requests_total.reset();
        self.notification_requests_failed_total.reset();
        self.notification_latency_seconds.reset();
        for (integration, receiver) in receivers {
            self.start_integration(&[integration, receiver]);
        }
    }

    /// Runs `hook` right before each scrape.
    pub fn before_scrape(&self, hook: impl Fn(&Metrics) + Send + Sync + 'static) {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(hook));
    }

    /// The text exposition (version 0.0.4), families in order of names.
    ///
    /// # Errors
    /// When a collector breaks the format; the text says which.
    pub fn scrape(&self) -> Result<Vec<u8>, prometheus::Error> {
        for hook in self.hooks.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            hook(self);
        }
        let mut text = Vec::with_capacity(64 * 1024);
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    fn start_at_zero(&self) {
        for status in ["firing", "resolved"] {
            self.alerts_received_total.with_label_values(&[status, "v2"]);
        }
        self.alerts_invalid_total.with_label_values(&["v2"]);
        self.http_requests_in_flight.with_label_values(&["get"]);
        self.http_concurrency_limit_exceeded_total.with_label_values(&["get"]);
        for state in ["active", "pending", "expired"] {
            self.silences.with_label_values(&[state]);
        }
        for stage in ["index", "load_snapshot"] {
            self.silences_matcher_compile_errors_total.with_label_values(&[stage]);
        }
        for limit in ["connections", "rate"] {
            self.http_limit_reached_total.with_label_values(&[limit]);
        }
        for limit in ["outbox", "untold_resolution_age"] {
            self.limit_reached_total.with_label_values(&[limit]);
        }
        if !self.options.alert_name {
            self.alerts_limited_total.with_label_values(&[] as &[&str]);
        }
        for code in ["200", "500", "503"] {
            self.promhttp_requests_total.with_label_values(&[code]);
        }
        if !self.options.receiver_name {
            for integration in INTEGRATIONS {
                self.start_integration(&[integration]);
            }
        }
    }

    fn start_integration(&self, labels: &[&str]) {
        self.notifications_total.with_label_values(labels);
        self.notification_requests_total.with_label_values(labels);
        self.notification_requests_failed_total.with_label_values(labels);
        self.notification_latency_seconds.with_label_values(labels);
        for reason in FAILURE_REASONS {
            let mut labels = labels.to_vec();
            labels.push(reason);
            self.notifications_failed_total.with_label_values(&labels);
        }
    }
}

fn build_info(build: BuildInfo) -> Result<IntGauge, prometheus::Error> {
    let opts = Opts::new("alertmanager_build_info", "Always 1; the labels say what was built.")
        .const_label("branch", build.branch)
        .const_label("goarch", build.goarch)
        .const_label("goos", build.goos)
        .const_label("goversion", build.go_version)
        .const_label("revision", build.revision)
        .const_label("tags", build.tags)
        .const_label("version", build.version);
    IntGauge::with_opts(opts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILD: BuildInfo = BuildInfo {
        version: "0.34.0",
        revision: "r",
        branch: "carillon",
        build_user: "u",
        build_date: "d",
        go_version: "none",
        goos: "linux",
        goarch: "amd64",
        tags: "",
    };

    fn text(options: MetricsOptions) -> String {
        String::from_utf8(Metrics::new(options, BUILD, &Clock::system()).scrape().unwrap()).unwrap()
    }

    #[test]
    fn every_integration_and_reason_starts_at_zero() {
        let text = text(MetricsOptions::default());
        for integration in INTEGRATIONS {
            for reason in FAILURE_REASONS {
                let line = format!(
                    "alertmanager_notifications_failed_total{{integration=\"{integration}\",reason=\"{reason}\"}} 0"
                );
                assert!(text.contains(&line), "{line}");
            }
        }
        assert!(text.contains("# TYPE alertmanager_silences_gc_duration_seconds summary\n"));
    }

    #[test]
    fn with_receiver_names_only_configured_integrations_exist() {
        let metrics =
            Metrics::new(MetricsOptions { receiver_name: true, ..MetricsOptions::default() }, BUILD, &Clock::system());
        metrics.reset_notifications([("webhook", "team")]);
        let text = String::from_utf8(metrics.scrape().unwrap()).unwrap();
        let series: Vec<&str> = text.lines().filter(|l| l.starts_with("alertmanager_notifications_total")).collect();
        assert_eq!(series, ["alertmanager_notifications_total{integration=\"webhook\",receiver_name=\"team\"} 0"]);
    }

    #[test]
    fn hooks_refresh_values_before_a_scrape() {
        let metrics = Metrics::new(MetricsOptions::default(), BUILD, &Clock::system());
        metrics.before_scrape(|m| m.silences.with_label_values(&["active"]).set(7));
        let text = String::from_utf8(metrics.scrape().unwrap()).unwrap();
        assert!(text.contains("alertmanager_silences{state=\"active\"} 7\n"));
    }
}
