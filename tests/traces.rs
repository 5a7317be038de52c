//! The section `tracing` of the real program: one trace from the post of an alert, another from the flush to the
//! receiver, a collector that is away, a reload, and the end.

#![allow(clippy::disallowed_methods, reason = "the real program runs in real time")]

mod support;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use serde_json::json;
use support::{Server, dir_with, ring::Ring, wait_for};

const LIMIT: Duration = Duration::from_secs(30);
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// The messages of OTLP, as far as this test looks.
#[derive(Clone, PartialEq, prost::Message)]
struct Export {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<Resources>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Resources {
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<Scopes>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Scopes {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
}

/// A collector by gRPC and by HTTP, and a webhook, on one port.
struct Outside {
    address: SocketAddr,
    spans: Arc<Mutex<BTreeMap<String, Vec<Span>>>>,
    hooked: Arc<Mutex<Vec<HeaderMap>>>,
    _runtime: tokio::runtime::Runtime,
}

impl Outside {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (spans, hooked) = (Arc::<Mutex<_>>::default(), Arc::<Mutex<_>>::default());
        let state = (Arc::clone(&spans), Arc::clone(&hooked));
        runtime.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (spans, hooked) = state.clone();
                let service = service_fn(move |request| take(request, Arc::clone(&spans), Arc::clone(&hooked)));
                tokio::spawn(async move {
                    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Outside { address, spans, hooked, _runtime: runtime }
    }

    fn config(&self, tracing: &str) -> String {
        format!(
            "route: {{receiver: hook, group_wait: 100ms, group_interval: 1m}}\n\
             receivers: [{{name: hook, webhook_configs: [{{url: 'http://{}/hook'}}]}}]\n{tracing}\n",
            self.address
        )
    }

    /// Waits for a span of this name, by whichever way it came.
    fn wait(&self, name: &str) -> Span {
        wait_for(&format!("the span {name}"), LIMIT, || self.spans.lock().unwrap().get(name)?.last().cloned())
    }

    fn count(&self, name: &str) -> usize {
        self.spans.lock().unwrap().get(name).map_or(0, Vec::len)
    }
}

async fn take(
    request: Request<Incoming>,
    spans: Arc<Mutex<BTreeMap<String, Vec<Span>>>>,
    hooked: Arc<Mutex<Vec<HeaderMap>>>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let (message, answer) = match parts.uri.path() {
        "/hook" => {
            hooked.lock().unwrap().push(parts.headers);
            return Ok(Response::new(Full::default().boxed()));
        }
        "/v1/traces" => (body.to_vec(), Full::default().boxed()),
        path => {
            assert_eq!(path, "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            let frame = Full::new(Bytes::from_static(&[0; 5]));
            (body[5..].to_vec(), frame.with_trailers(async move { Some(Ok(trailers)) }).boxed())
        }
    };
    let all = Export::decode(message.as_slice()).unwrap().resources.into_iter().flat_map(|one| one.scopes);
    for span in all.flat_map(|scope| scope.spans) {
        spans.lock().unwrap().entry(span.name.clone()).or_default().push(span);
    }
    Ok(Response::new(answer))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn post(server: &Server, name: &str) {
    let body = json!([{"labels": {"alertname": name}}]).to_string();
    let mut stream = TcpStream::connect(&server.address).unwrap();
    write!(
        stream,
        "POST /api/v2/alerts HTTP/1.1\r\nHost: am\r\nConnection: close\r\nContent-Type: application/json\r\n\
         traceparent: 00-{TRACE}-{PARENT}-01\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn a_post_and_a_notification_are_traces_and_a_reload_changes_the_collector() {
    let outside = Outside::start();
    let dir = dir_with("");
    let write = |tracing: &str| {
        std::fs::write(dir.path().join("alertmanager.yml"), outside.config(tracing)).unwrap();
    };
    let section = |more: &str| {
        format!("tracing: {{endpoint: '{}', insecure: true, sampling_fraction: 1, {more}}}", outside.address)
    };
    write(&section("client_type: grpc"));
    let server = Server::start(dir.path(), &[]);
    post(&server, "A");
    let request = outside.wait("POST /api/v2/alerts");
    assert_eq!((hex(&request.trace), hex(&request.parent)), (TRACE.to_owned(), PARENT.to_owned()));
    let flush = outside.wait("dispatch.AggregationGroup.flush");
    let (attempt, call) = (outside.wait("notify.RetryStage.Exec"), outside.wait("notify.Integration.Notify"));
    let sent = outside.wait("HTTP POST");
    for (part, whole) in [(&attempt, &flush), (&call, &attempt), (&sent, &call)] {
        assert_eq!((&part.trace, &part.parent), (&whole.trace, &whole.span));
    }
    let shown = outside.hooked.lock().unwrap()[0]["traceparent"].to_str().unwrap().to_owned();
    assert_eq!(shown, format!("00-{}-{}-01", hex(&sent.trace), hex(&sent.span)));
    // The server counts them when it has read the answer that this collector gave just now.
    wait_for("the count of spans", LIMIT, || {
        server.metric("alertmanager_tracing_spans_exported_total").filter(|exported| *exported >= 5.0)
    });
    assert!(!server.log().contains("\"level\":\"ERROR\""), "{}", server.log());

    // A section that cannot work leaves the old one in force.
    write(&section("headers: {X-A: {files: [/f]}}"));
    let (status, text) = server.post("/-/reload", &json!({})).unwrap();
    let why = "failed to reload config: failed to build a new tracer provider: \
               header files are not supported for tracing configuration: header \"X-A\"";
    assert_eq!((status, text.trim()), (500, why));
    assert_eq!(server.metric("alertmanager_config_last_reload_successful"), Some(0.0));

    write(&section("client_type: http"));
    assert_eq!(server.post("/-/reload", &json!({})).unwrap().0, 200);
    post(&server, "B");
    // What waits goes out at the end.
    let before = outside.count("POST /api/v2/alerts");
    assert_eq!(server.stop(), Some(0));
    assert!(outside.count("POST /api/v2/alerts") >= 2, "{before}");
    assert!(outside.count("POST /-/reload") >= 1);
}

#[test]
fn a_collector_that_is_away_delays_nothing_and_a_section_without_a_share_tells_receivers_so() {
    let outside = Outside::start();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dir = dir_with(&outside.config(&format!("tracing: {{endpoint: '{closed}', insecure: true}}")));
    let server = Server::start(dir.path(), &[]);
    post(&server, "A");
    let shown = wait_for("the notification", LIMIT, || outside.hooked.lock().unwrap().first().cloned());
    let shown = shown["traceparent"].to_str().unwrap().to_owned();
    assert!(shown.ends_with("-00"), "{shown}");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn that_the_other_nodes_were_asked_is_a_part_of_the_attempt() {
    let outside = Outside::start();
    let section = format!("tracing: {{endpoint: '{}', insecure: true, sampling_fraction: 1}}", outside.address);
    let ring = Ring::new(2, &outside.config(&section), &[]);
    ring.start();
    assert!(ring.nodes[0].post_alerts(&json!([{"labels": {"alertname": "A"}}])));
    let asked = outside.wait("notify.WaitStage.Exec");
    let attempts = || outside.spans.lock().unwrap().get("notify.RetryStage.Exec").cloned().unwrap_or_default();
    wait_for("the attempt that asked", LIMIT, || {
        attempts().into_iter().find(|attempt| (&attempt.trace, &attempt.span) == (&asked.trace, &asked.parent))
    });
}

#[test]
fn a_section_that_cannot_work_ends_the_start() {
    let dir = dir_with("route: {receiver: r}\nreceivers: [{name: r}]\ntracing: {endpoint: 'http://x:4318'}\n");
    let log = Server::try_start(dir.path(), &[]).err().unwrap();
    assert!(log.contains("failed to build a new tracer provider: tracing endpoint must be host:port"), "{log}");
}
