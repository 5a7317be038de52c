//! Sections that come, change and go.

use prometheus::Registry;

use super::{
    collector::Mock,
    export::{applied, one_span, section},
    tracer,
};
use crate::{
    clock::Clock,
    config::model::{HeaderValueSource, TextSource, TlsConfig, TracingClient, TracingConfig},
    httpconf::tests::support::options,
};

#[tokio::test]
async fn another_section_sends_what_waits_to_the_old_collector_and_the_rest_to_the_new() {
    let (old, new) = (Mock::start().await, Mock::start().await);
    let (tracer, _) = applied(&section(TracingClient::Grpc, &old));
    one_span(&tracer, "before");
    let lasting = tracer.root("lasting", Clock::system().now());
    tracer.apply(Some(&section(TracingClient::Http, &new)), &options()).unwrap();
    one_span(&tracer, "after");
    drop(lasting);
    tracer.close().await;
    assert_eq!(old.names(), ["before"]);
    assert_eq!(new.names(), ["after", "lasting"]);
}

#[tokio::test]
async fn a_section_that_cannot_be_used_leaves_the_old_one_at_work() {
    let mock = Mock::start().await;
    let good = section(TracingClient::Grpc, &mock);
    let (tracer, _) = applied(&good);
    let file = HeaderValueSource::File("/f".into());
    let no_ca = TlsConfig { ca: Some(TextSource::File("/no/ca".into())), ..TlsConfig::default() };
    for (bad, why) in [
        (
            TracingConfig { headers: vec![("X-A".to_owned(), vec![file])], ..good.clone() },
            "failed to build a new tracer provider: header files are not supported for tracing configuration: header \"X-A\"",
        ),
        (
            TracingConfig { endpoint: "http://x:1".to_owned(), ..good.clone() },
            "failed to build a new tracer provider: tracing endpoint must be host:port, but got \"http://x:1\"",
        ),
        (
            TracingConfig { insecure: false, tls: no_ca, ..good.clone() },
            "failed to build a new tracer provider: unable to read CA cert: unable to read file /no/ca: open /no/ca: \
             no such file or directory",
        ),
    ] {
        for client in [TracingClient::Grpc, TracingClient::Http] {
            let error = tracer.apply(Some(&TracingConfig { client, ..bad.clone() }), &options()).unwrap_err();
            assert_eq!(error.to_string(), why);
        }
    }
    one_span(&tracer, "a");
    tracer.close().await;
    assert_eq!(mock.names(), ["a"]);
}

#[tokio::test]
async fn without_a_section_nothing_is_recorded_any_more() {
    let mock = Mock::start().await;
    let (tracer, _) = applied(&section(TracingClient::Grpc, &mock));
    assert!(tracer.is_on());
    tracer.apply(None, &options()).unwrap();
    assert!(!tracer.is_on());
    one_span(&tracer, "a");
    // And back.
    tracer.apply(Some(&section(TracingClient::Grpc, &mock)), &options()).unwrap();
    one_span(&tracer, "b");
    tracer.close().await;
    assert_eq!(mock.names(), ["b"]);
    one_span(&tracer, "c");
}

#[tokio::test]
async fn the_same_section_again_changes_nothing() {
    let mock = Mock::start().await;
    let registry = Registry::new();
    let tracer = tracer(&Clock::system(), &registry);
    assert!(registry.gather().is_empty(), "no metrics where there is nothing to count");
    let same = section(TracingClient::Grpc, &mock);
    tracer.apply(Some(&same), &options()).unwrap();
    one_span(&tracer, "a");
    tracer.apply(Some(&same), &options()).unwrap();
    one_span(&tracer, "b");
    tracer.close().await;
    assert_eq!(mock.got().len(), 1, "one exporter has both");
    assert_eq!(mock.names(), ["a", "b"]);
}
