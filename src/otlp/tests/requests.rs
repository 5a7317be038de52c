//! Requests that come in and go out.

use http::{Method, Request};
use http_body_util::Full;

use super::{Kept, Told, foreign, keeping};
use crate::{
    api::testing::traced_api,
    clock::Clock,
    httpconf::tests::support::{Answer, Server, client, plain, post},
    otlp::{Context, Tracer},
    web::{WebOptions, testing::TestServer},
};

const CONFIG: &str = "route: {receiver: r}\nreceivers: [{name: r}]\n";

fn server(fraction: f64) -> (TestServer, Kept) {
    let (tracer, kept) = keeping(&Clock::system(), fraction);
    (TestServer::new(&traced_api(CONFIG, &tracer), &WebOptions::default()), kept)
}

fn request(method: Method, path: &str, parent: Option<&Context>, body: &'static str) -> Request<Full<bytes::Bytes>> {
    let mut request = Request::new(Full::from(body));
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().unwrap();
    let headers = request.headers_mut();
    headers.insert("content-type", "application/json".parse().unwrap());
    headers.insert("host", "am.example:9093".parse().unwrap());
    headers.insert("user-agent", "Prometheus/3".parse().unwrap());
    if let Some(parent) = parent {
        parent.show(headers);
    }
    request
}

#[tokio::test]
async fn a_request_is_a_span_of_its_senders_trace_and_has_its_parts() {
    let (server, kept) = server(0.0);
    let alerts = r#"[{"labels":{"alertname":"a"}},{"labels":{"alertname":"b"}}]"#;
    let parent = Context { state: Some("vendor=1".into()), ..foreign(true) };
    let answer = server.answer(request(Method::POST, "/api/v2/alerts", Some(&parent), alerts)).await;
    assert_eq!(answer.status(), 200);
    let [routed, handler, request] = kept.take().try_into().unwrap();
    assert_eq!((request.name.as_str(), request.kind, request.is_remote), ("POST /api/v2/alerts", 2, true));
    assert_eq!((request.trace.as_slice(), request.parent.as_slice()), (&[7; 16][..], &[8; 8][..]));
    assert_eq!(request.state, "vendor=1");
    for (key, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/api/v2/alerts"),
        ("url.path", "/api/v2/alerts"),
        ("server.address", "am.example"),
        ("server.port", "9093"),
        ("user_agent.original", "Prometheus/3"),
        ("http.response.status_code", "200"),
    ] {
        assert_eq!(request.attribute(key), value);
    }
    assert_eq!(
        (handler.name.as_str(), routed.name.as_str()),
        ("api.postAlertsHandler", "dispatch.Dispatcher.routeAlert")
    );
    assert!(handler.is_part_of(&request) && routed.is_part_of(&handler));
    assert_eq!((routed.attribute("alerting.alerts.count"), handler.is_remote), ("2", false));
}

#[tokio::test]
async fn what_a_sender_does_not_record_is_not_recorded_here() {
    let (server, kept) = server(1.0);
    server.answer(request(Method::GET, "/-/healthy", Some(&foreign(false)), "")).await;
    assert!(kept.take().is_empty());
    server.answer(request(Method::GET, "/-/healthy", None, "")).await;
    assert_eq!(kept.names(), ["GET /-/healthy"]);
}

#[tokio::test]
async fn a_refused_request_says_why_and_an_unknown_path_makes_no_names() {
    let (server, kept) = server(1.0);
    server.answer(request(Method::POST, "/api/v2/alerts", None, "no json")).await;
    let [handler, refused] = kept.take().try_into().unwrap();
    assert!(handler.failure.is_some_and(|why| !why.is_empty()));
    assert_eq!((refused.attribute("http.response.status_code"), refused.failure.as_deref()), ("400", None));
    server.answer(request(Method::GET, "/no/such/place", None, "")).await;
    let id = "/api/v2/silence/00000000-0000-0000-0000-000000000000?x=secret";
    server.answer(request(Method::GET, id, None, "")).await;
    let told = kept.take();
    let names: Vec<&str> = told.iter().map(|told| told.name.as_str()).collect();
    assert_eq!(names, ["GET", "api.getSilenceHandler", "GET /api/v2/silence/{silenceID}"]);
    assert_eq!(told[2].attribute("url.path"), "/api/v2/silence/00000000-0000-0000-0000-000000000000");
}

/// What a receiver and the collector get of one call within a span that `tracer` opens.
async fn call(tracer: &Tracer, kept: &Kept, answer: Answer) -> (Option<Context>, Vec<Told>) {
    let server = Server::start(move |_| answer.clone()).await;
    let root = tracer.root("root", Clock::system().now());
    let url = server.url("/token");
    root.enter(async {
        let span = tracer.call("notify.Integration.Notify");
        let _ = span.enter(client(&plain()).send(post(url))).await;
    })
    .await;
    drop(root);
    (Context::of(&server.last().headers), kept.take())
}

#[tokio::test]
async fn a_receiver_is_shown_the_span_of_its_request() {
    let (tracer, kept) = keeping(&Clock::system(), 1.0);
    let (shown, told) = call(&tracer, &kept, Answer::ok()).await;
    let [http, notify, root] = told.try_into().unwrap();
    assert_eq!((http.name.as_str(), http.kind, http.attribute("http.response.status_code")), ("HTTP POST", 3, "200"));
    assert!(http.is_part_of(&notify) && notify.is_part_of(&root));
    let shown = shown.unwrap();
    assert_eq!(
        (shown.trace.to_vec(), shown.span.to_vec(), shown.sampled),
        (http.trace.clone(), http.span.clone(), true)
    );
    assert!(!format!("{http:?}").contains("token"));
    let (_, told) = call(&tracer, &kept, Answer::status(503)).await;
    assert_eq!(told[0].failure.as_deref(), Some(""));
}

#[tokio::test]
async fn a_receiver_is_told_that_a_trace_is_not_recorded_and_nothing_where_nothing_is_traced() {
    let (tracer, kept) = keeping(&Clock::system(), 0.0);
    let (shown, told) = call(&tracer, &kept, Answer::ok()).await;
    assert!(!shown.unwrap().sampled && told.is_empty());
    let (shown, _) = call(&Tracer::off(), &kept, Answer::ok()).await;
    assert_eq!(shown, None);
}
