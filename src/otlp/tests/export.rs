//! What the collector gets, and what becomes of it when it does not take it.

use std::time::Duration;

use prometheus::Registry;

use super::{
    collector::{Mock, Says},
    tracer,
};
use crate::{
    clock::Clock,
    config::model::{HeaderValueSource, Secret, TlsConfig, TracingClient, TracingConfig},
    httpconf::tests::support::{Authority, options, server_config},
    otlp::Tracer,
};

pub(super) fn section(client: TracingClient, mock: &Mock) -> TracingConfig {
    TracingConfig {
        client,
        endpoint: mock.address.to_string(),
        sampling_fraction: 1.0,
        insecure: true,
        tls: TlsConfig::default(),
        headers: Vec::new(),
        gzip: false,
        timeout: None,
    }
}

const BOTH: [TracingClient; 2] = [TracingClient::Grpc, TracingClient::Http];

/// A tracer with this section, and its registry.
pub(super) fn applied(config: &TracingConfig) -> (Tracer, Registry) {
    let registry = Registry::new();
    let tracer = tracer(&Clock::system(), &registry);
    tracer.apply(Some(config), &options()).unwrap();
    (tracer, registry)
}

pub(super) fn one_span(tracer: &Tracer, name: &'static str) {
    drop(tracer.root(name, Clock::system().now()));
}

/// Spans exported, lost in the queue, and lost at the collector.
pub(super) fn counts(registry: &Registry) -> [u64; 3] {
    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    ["exported_total ", "lost_total{reason=\"queue\"} ", "lost_total{reason=\"collector\"} "].map(|name| {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("alertmanager_tracing_spans_{name}")));
        line.map_or(0, |count| count.parse().unwrap())
    })
}

#[tokio::test]
async fn spans_go_by_grpc_and_by_http_packed_or_not() {
    for client in BOTH {
        for gzip in [false, true] {
            let mock = Mock::start().await;
            let plain = HeaderValueSource::Plain("acme".to_owned());
            let secret = HeaderValueSource::Secret(Secret("Bearer x".into()));
            let headers = vec![("X-Tenant".to_owned(), vec![plain]), ("Authorization".to_owned(), vec![secret])];
            let (tracer, registry) = applied(&TracingConfig { gzip, headers, ..section(client, &mock) });
            one_span(&tracer, "a");
            one_span(&tracer, "b");
            tracer.close().await;
            let [got] = mock.got().try_into().unwrap();
            let path = match client {
                TracingClient::Grpc => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
                TracingClient::Http => "/v1/traces",
            };
            assert_eq!(got.path, path);
            for (name, value) in
                [("x-tenant", "acme"), ("authorization", "Bearer x"), ("user-agent", "Alertmanager/1.2.3")]
            {
                assert_eq!(got.headers[name], value);
            }
            assert_eq!(mock.names(), ["a", "b"]);
            for (key, value) in
                [("service.name", "alertmanager"), ("service.version", "1.2.3"), ("service.instance.id", "node-a")]
            {
                assert!(got.resource.contains(&(key.to_owned(), value.to_owned())), "{:?}", got.resource);
            }
            assert_eq!(counts(&registry), [2, 0, 0]);
        }
    }
}

#[tokio::test]
async fn the_collector_is_verified_by_the_section_and_shown_a_certificate() {
    let authority = Authority::new();
    let client = authority.identity("carillon");
    for kind in BOTH {
        let identity = authority.identity("collector.example");
        let mock = Mock::with_tls(Some(server_config(&identity, Some(&authority)))).await;
        let tls = TlsConfig {
            server_name: "collector.example".to_owned(),
            cert: Some(crate::config::model::TextSource::Inline(client.cert.clone())),
            key: Some(crate::config::model::SecretSource::Inline(Secret(client.key.as_str().into()))),
            ..authority.tls()
        };
        let (tracer, _) = applied(&TracingConfig { insecure: false, tls, ..section(kind, &mock) });
        one_span(&tracer, "a");
        tracer.close().await;
        assert_eq!(mock.names(), ["a"]);
        // Another authority is not trusted, and says nothing of the spans.
        let tls = TlsConfig { server_name: "collector.example".to_owned(), ..Authority::new().tls() };
        let (tracer, _) = applied(&TracingConfig { insecure: false, tls, ..section(kind, &mock) });
        one_span(&tracer, "b");
        tracer.close().await;
        assert_eq!(mock.names(), ["a"]);
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_what_cannot_is_lost() {
    for (client, passing, lasting) in [
        (TracingClient::Grpc, Says::Grpc(14, "away"), Says::Grpc(3, "no%20good")),
        (TracingClient::Grpc, Says::GrpcAtOnce(14), Says::GrpcAtOnce(16)),
        (TracingClient::Grpc, Says::Http(503), Says::Http(404)),
        (TracingClient::Http, Says::Http(503), Says::Http(400)),
        (TracingClient::Http, Says::HttpLater("1"), Says::Http(401)),
    ] {
        let mock = Mock::start().await;
        let (tracer, registry) = applied(&section(client, &mock));
        mock.says([passing.clone()]);
        one_span(&tracer, "a");
        tracer.close().await;
        assert_eq!(mock.names(), ["a", "a"], "{passing:?}");
        assert_eq!(counts(&registry), [1, 0, 0]);

        mock.says([lasting.clone()]);
        let (tracer, registry) = applied(&section(client, &mock));
        one_span(&tracer, "b");
        tracer.close().await;
        assert_eq!(mock.names(), ["a", "a", "b"], "{lasting:?}");
        assert_eq!(counts(&registry), [0, 0, 1]);
    }
}

#[tokio::test]
async fn what_is_taken_in_part_is_counted_in_part() {
    for client in BOTH {
        let mock = Mock::start().await;
        mock.says([Says::Partly(1)]);
        let (tracer, registry) = applied(&section(client, &mock));
        one_span(&tracer, "a");
        one_span(&tracer, "b");
        tracer.close().await;
        assert_eq!(counts(&registry), [1, 0, 1]);
    }
}

#[tokio::test]
async fn a_collector_that_does_not_answer_costs_the_limit_and_then_another_try() {
    for client in BOTH {
        let mock = Mock::start().await;
        mock.says([Says::Nothing]);
        let timeout = Some(Duration::from_millis(50));
        let (tracer, registry) = applied(&TracingConfig { timeout, ..section(client, &mock) });
        one_span(&tracer, "a");
        tracer.close().await;
        assert_eq!((mock.names().len(), counts(&registry)), (2, [1, 0, 0]));
    }
}

#[tokio::test]
async fn a_collector_that_hangs_does_not_keep_the_end_waiting() {
    let mock = Mock::start().await;
    mock.says([Says::Nothing, Says::Nothing]);
    let (tracer, _) = applied(&section(TracingClient::Grpc, &mock));
    one_span(&tracer, "a");
    let began = Clock::system().monotonic();
    tracer.close().await;
    let took = began.elapsed();
    assert!((Duration::from_secs(5)..Duration::from_secs(8)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn many_spans_go_in_batches_on_one_connection_without_waiting() {
    let mock = Mock::start().await;
    let (tracer, registry) = applied(&section(TracingClient::Grpc, &mock));
    for _ in 0..1100 {
        one_span(&tracer, "a");
    }
    let began = Clock::system().monotonic();
    while mock.names().len() < 1024 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(began.elapsed() < Duration::from_secs(4), "whole batches do not wait");
    }
    assert_eq!(mock.got().iter().map(|got| got.spans.len()).collect::<Vec<_>>(), [512, 512]);
    tracer.close().await;
    assert_eq!((mock.names().len(), counts(&registry)), (1100, [1100, 0, 0]));
}

#[tokio::test]
async fn when_too_many_wait_the_oldest_are_dropped_and_counted() {
    let mock = Mock::start().await;
    let (tracer, registry) = applied(&section(TracingClient::Http, &mock));
    one_span(&tracer, "old");
    // No task runs meanwhile: the test's runtime has one thread.
    for _ in 0..crate::otlp::queue::QUEUE_MAX {
        one_span(&tracer, "new");
    }
    tracer.close().await;
    assert!(!mock.names().contains(&"old".to_owned()));
    assert_eq!(counts(&registry), [crate::otlp::queue::QUEUE_MAX as u64, 1, 0]);
}
