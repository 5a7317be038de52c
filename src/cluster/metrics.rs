//! Metrics of the cluster, under the reference's names (reference/metrics.md 7). They exist only while there is a
//! cluster, and are registered when it is made.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    core::Collector,
};

/// See the module's head.
#[derive(Clone)]
pub struct ClusterMetrics {
    pub peer_info: IntGaugeVec,
    pub members: IntGauge,
    pub peer_position: IntGauge,
    pub health_score: IntGauge,
    pub failed_peers: IntGauge,
    pub peers_joined_total: IntCounter,
    pub peers_left_total: IntCounter,
    pub peers_update_total: IntCounter,
    pub peer_name_conflicts_total: IntCounter,
    pub reconnections_total: IntCounter,
    pub reconnections_failed_total: IntCounter,
    pub refresh_join_total: IntCounter,
    pub refresh_join_failed_total: IntCounter,
    pub alive_messages_total: IntCounterVec,
    pub pings_seconds: HistogramVec,
    pub messages_received_total: IntCounterVec,
    pub messages_received_size_total: IntCounterVec,
    pub messages_sent_total: IntCounterVec,
    pub messages_sent_size_total: IntCounterVec,
    pub messages_queued: IntGauge,
    pub messages_pruned_total: IntCounter,
    pub oversized_sent_total: IntCounterVec,
    pub oversized_failure_total: IntCounterVec,
    pub oversized_dropped_total: IntCounterVec,
    // Carillon's own.
    /// Packets and streams of others than members; label `reason`.
    pub strangers_total: IntCounterVec,
    /// Messages that could not be read.
    pub malformed_total: IntCounter,
    /// What was dropped at a limit; label `limit`.
    pub limit_reached_total: IntCounterVec,
    pub packets_sent_total: IntCounter,
    pub packets_sent_bytes_total: IntCounter,
    pub packets_received_total: IntCounter,
    pub packets_received_bytes_total: IntCounter,
    pub stream_sent_bytes_total: IntCounter,
    pub stream_received_bytes_total: IntCounter,
    /// Deltas sent again over TCP because nobody had acknowledged them.
    pub deltas_resent_total: IntCounter,
    pub exchanges_total: IntCounter,
    pub exchange_seconds: Histogram,
    pub exchanged_records_total: IntCounter,
    pub gaps_total: IntCounter,
    pub settled: IntGauge,
    /// Labels `peer`.
    pub peer_up: IntGaugeVec,
    /// Labels `peer`, `protocol`.
    pub peer_reachable: IntGaugeVec,
    pub peer_lag: IntGaugeVec,
    pub peer_clock_offset_milliseconds: IntGaugeVec,
    pub clock_correction_milliseconds: IntGauge,
    pub tls: TlsMetrics,
}

/// What goes over TLS; shown only where it is used (see [`ClusterMetrics::show_tls`]).
#[derive(Clone)]
pub struct TlsMetrics {
    pub packet_bytes_sent_total: IntCounter,
    pub packet_bytes_received_total: IntCounter,
    pub stream_connections_sent_total: IntCounter,
    pub stream_connections_received_total: IntCounter,
    pub read_errors_total: IntCounter,
    /// Label `connection_type`: `packet` or `stream`.
    pub write_errors_total: IntCounterVec,
}

impl TlsMetrics {
    fn new(m: &Maker<'_>) -> Self {
        let counter = |name: &str, help: &str| m.counter(&format!("tls_transport_{name}_total"), help);
        TlsMetrics {
            packet_bytes_sent_total: counter(
                "packet_bytes_sent",
                "Bytes of messages sent over lasting TLS connections.",
            ),
            packet_bytes_received_total: counter(
                "packet_bytes_received",
                "Bytes of messages received over lasting TLS connections.",
            ),
            stream_connections_sent_total: counter("stream_connections_sent", "TLS connections made to peers."),
            stream_connections_received_total: counter("stream_connections_received", "TLS connections made by peers."),
            read_errors_total: counter("read_errors", "Errors in reading from TLS connections."),
            write_errors_total: m.counters(
                "tls_transport_write_errors_total",
                &["connection_type"],
                "Errors in writing to TLS connections.",
            ),
        }
    }
}

/// Full state and single updates, as the reference calls them.
pub(super) const FULL_STATE: &str = "full_state";
pub(super) const UPDATE: &str = "update";
const LIMITS: [&str; 5] = ["calls", "commands", "questions", "stream_queue", "streams"];
pub(super) const STRANGER_REASONS: [&str; 4] = ["foreign", "label", "seal", "version"];

struct Maker<'a>(&'a Registry);

#[allow(clippy::expect_used, reason = "names and labels are constants of this file, checked by the test below")]
impl Maker<'_> {
    fn add<C: Collector + Clone + 'static>(&self, collector: Result<C, prometheus::Error>) -> C {
        let collector = collector.expect("a valid metric");
        // A second cluster of one process (a demonstration) keeps the first one's numbers visible.
        let _ = self.0.register(Box::new(collector.clone()));
        collector
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.add(IntCounter::new(format!("alertmanager_{name}"), help))
    }

    fn counters(&self, name: &str, labels: &[&str], help: &str) -> IntCounterVec {
        self.add(IntCounterVec::new(Opts::new(format!("alertmanager_{name}"), help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.add(IntGauge::new(format!("alertmanager_{name}"), help))
    }

    fn gauges(&self, name: &str, labels: &[&str], help: &str) -> IntGaugeVec {
        self.add(IntGaugeVec::new(Opts::new(format!("alertmanager_{name}"), help), labels))
    }
}

impl ClusterMetrics {
    /// Registers those that only a cluster over TLS has.
    pub fn show_tls(&self, registry: &Registry) {
        let TlsMetrics {
            packet_bytes_sent_total,
            packet_bytes_received_total,
            stream_connections_sent_total,
            stream_connections_received_total,
            read_errors_total,
            write_errors_total,
        } = self.tls.clone();
        let counters = [
            packet_bytes_sent_total,
            packet_bytes_received_total,
            stream_connections_sent_total,
            stream_connections_received_total,
            read_errors_total,
        ];
        // As with the others: a second cluster of one process leaves the first one's in place.
        for counter in counters {
            let _ = registry.register(Box::new(counter));
        }
        let _ = registry.register(Box::new(write_errors_total));
    }

    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let m = Maker(registry);
        let types = |name: &str, help: &str| {
            let counters = m.counters(name, &["msg_type"], help);
            for kind in [FULL_STATE, UPDATE] {
                counters.with_label_values(&[kind]);
            }
            counters
        };
        let pings = HistogramOpts::new("alertmanager_cluster_pings_seconds", "Round trips of probes.")
            .buckets(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5]);
        let strangers =
            m.counters("cluster_strangers_total", &["reason"], "Packets and streams of no member, dropped.");
        for reason in STRANGER_REASONS {
            strangers.with_label_values(&[reason]);
        }
        let limits = m.counters("cluster_limit_reached_total", &["limit"], "What was dropped or refused at a limit.");
        for limit in LIMITS {
            limits.with_label_values(&[limit]);
        }
        ClusterMetrics {
            peer_info: m.gauges("cluster_peer_info", &["peer"], "1 for the name of this node."),
            members: m.gauge("cluster_members", "Live members, this node included."),
            peer_position: m.gauge("peer_position", "Place of this node among the live members, by name."),
            health_score: m
                .gauge("cluster_health_score", "0 when the own timers are in time, more when they were late of late."),
            failed_peers: m.gauge("cluster_failed_peers", "Known or configured peers that are out of sight."),
            peers_joined_total: m.counter("cluster_peers_joined_total", "Members that came."),
            peers_left_total: m.counter("cluster_peers_left_total", "Members that went, in good order or not."),
            peers_update_total: m.counter("cluster_peers_update_total", "Members that changed address or generation."),
            peer_name_conflicts_total: m
                .counter("cluster_peer_name_conflicts_total", "Nodes refused since a live one has their name."),
            reconnections_total: m.counter("cluster_reconnections_total", "Lost members that were reached again."),
            reconnections_failed_total: m
                .counter("cluster_reconnections_failed_total", "Failed attempts to reach a lost member."),
            refresh_join_total: m.counter("cluster_refresh_join_total", "Configured peers that were joined."),
            refresh_join_failed_total: m
                .counter("cluster_refresh_join_failed_total", "Failed attempts to join a configured peer."),
            alive_messages_total: m.counters("cluster_alive_messages_total", &["peer"], "Greetings of each peer."),
            pings_seconds: m.add(HistogramVec::new(pings, &["peer"])),
            messages_received_total: types("cluster_messages_received_total", "Messages of state received."),
            messages_received_size_total: types("cluster_messages_received_size_total", "Bytes of state received."),
            messages_sent_total: types("cluster_messages_sent_total", "Messages of state sent."),
            messages_sent_size_total: types("cluster_messages_sent_size_total", "Bytes of state sent."),
            messages_queued: m.gauge("cluster_messages_queued", "Deltas in the gossip queue."),
            messages_pruned_total: m.counter(
                "cluster_messages_pruned_total",
                "Deltas dropped since too many waited; comparing states brings them.",
            ),
            oversized_sent_total: m.counters("oversized_gossip_message_sent_total", &["key"], "Batches sent over TCP."),
            oversized_failure_total: m.counters(
                "oversized_gossip_message_failure_total",
                &["key"],
                "Batches that TCP did not take.",
            ),
            oversized_dropped_total: m.counters(
                "oversized_gossip_message_dropped_total",
                &["key"],
                "Batches dropped at a full queue; they are sent again.",
            ),
            strangers_total: strangers,
            malformed_total: m.counter("cluster_malformed_total", "Messages of members that could not be read."),
            limit_reached_total: limits,
            packets_sent_total: m.counter("cluster_packets_sent_total", "Datagrams sent."),
            packets_sent_bytes_total: m.counter("cluster_packets_sent_bytes_total", "Bytes of datagrams sent."),
            packets_received_total: m.counter("cluster_packets_received_total", "Datagrams received."),
            packets_received_bytes_total: m
                .counter("cluster_packets_received_bytes_total", "Bytes of datagrams received."),
            stream_sent_bytes_total: m.counter("cluster_stream_sent_bytes_total", "Bytes of streams sent."),
            stream_received_bytes_total: m.counter("cluster_stream_received_bytes_total", "Bytes of streams received."),
            deltas_resent_total: m.counter("cluster_deltas_resent_total", "Deltas sent again over TCP."),
            exchanges_total: m.counter("cluster_exchanges_total", "Exchanges of state."),
            exchange_seconds: m.add(Histogram::with_opts(HistogramOpts::new(
                "alertmanager_cluster_exchange_seconds",
                "Time of one exchange of state.",
            ))),
            exchanged_records_total: m
                .counter("cluster_exchanged_records_total", "Records that were news in an exchange of state."),
            gaps_total: m.counter("cluster_gaps_total", "How often this node stood still for over a second."),
            settled: m.gauge("cluster_settled", "1 when state has been exchanged with the peers."),
            peer_up: m.gauges("cluster_peer_up", &["peer"], "1 for each live peer, 0 for one out of sight."),
            peer_reachable: m.gauges(
                "cluster_peer_reachable",
                &["peer", "protocol"],
                "1 when a peer was heard lately.",
            ),
            peer_lag: m.gauges(
                "cluster_peer_unacknowledged_deltas",
                &["peer"],
                "Deltas that a peer has not acknowledged.",
            ),
            peer_clock_offset_milliseconds: m.gauges(
                "cluster_peer_clock_offset_milliseconds",
                &["peer"],
                "A peer's clock minus the own one.",
            ),
            clock_correction_milliseconds: m
                .gauge("cluster_clock_correction_milliseconds", "What is added to the own clock: the median of all."),
            tls: TlsMetrics::new(&Maker(&Registry::new())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_of_tls_are_there_only_where_it_is_used() {
        let registry = Registry::new();
        let metrics = ClusterMetrics::new(&registry);
        let count = || registry.gather().iter().filter(|family| family.name().contains("_tls_transport_")).count();
        assert_eq!(count(), 0);
        metrics.show_tls(&registry);
        metrics.tls.write_errors_total.with_label_values(&["packet"]).inc();
        assert_eq!(count(), 6);
    }

    #[test]
    fn all_metrics_are_valid_and_new() {
        let registry = Registry::new();
        let metrics = ClusterMetrics::new(&registry);
        metrics.peer_info.with_label_values(&["a"]).set(1);
        let names: Vec<_> = registry.gather().iter().map(|family| family.name().to_owned()).collect();
        assert!(names.contains(&"alertmanager_cluster_members".to_owned()));
        assert!(names.contains(&"alertmanager_cluster_peer_info".to_owned()));
    }
}
