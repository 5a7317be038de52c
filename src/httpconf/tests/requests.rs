//! Requests, answers, connections, time.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::support::{Answer, Server, client, options, plain, post};
use crate::httpconf::{Client, ErrorKind, Request};

#[tokio::test]
async fn a_post_carries_its_body_and_no_header_too_many() {
    let server = Server::start(|_| Answer::status(202).body("taken")).await;
    let response = client(&plain()).send(post(server.url("/a/../b?x=%2F&y=1"))).await.unwrap();
    assert_eq!((response.status, response.body.as_ref(), response.body_complete), (202, &b"taken"[..], true));
    let seen = server.last();
    assert_eq!(
        (seen.method.as_str(), seen.uri.as_str(), seen.body.as_str()),
        ("POST", "/a/../b?x=%2F&y=1", "{\"a\":1}")
    );
    let mut names: Vec<&str> = seen.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "content-type", "host", "user-agent"]);
    assert_eq!(seen.header("user-agent"), Some("Alertmanager/1.2.3"));
    assert_eq!(seen.header("host"), Some(server.address.to_string().as_str()));
}

#[tokio::test]
async fn a_connection_serves_one_request_after_another() {
    let server = Server::start(|_| Answer::ok().body("x".repeat(1000))).await;
    let client = client(&plain());
    for _ in 0..3 {
        client.send(post(server.url("/"))).await.unwrap();
    }
    assert_eq!((server.seen().len(), server.connections()), (3, 1));
}

#[tokio::test]
async fn an_unwanted_body_is_drained_in_the_background_and_its_connection_used_again() {
    let server = Server::start(|_| Answer::ok().body("x".repeat(100_000))).await;
    let client = client(&plain());
    for _ in 0..2 {
        let response = client.send(Request::post_json(server.url("/"), "{}")).await.unwrap();
        assert!(response.body.is_empty());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!((server.seen().len(), server.connections()), (2, 1));
}

#[tokio::test]
async fn success_is_known_though_the_body_never_ends() {
    let server = Server::start(|_| Answer { endless: true, ..Answer::ok().body("x") }).await;
    let client = client(&plain());
    let sent = client.send(Request::post_json(server.url("/"), "{}"));
    let response = tokio::time::timeout(Duration::from_secs(5), sent).await.unwrap().unwrap();
    assert_eq!((response.status, response.body_complete), (200, false));
}

#[tokio::test]
async fn a_refusal_is_known_though_its_body_never_ends() {
    let server = Server::start(|_| Answer { endless: true, ..Answer::status(500).body("why") }).await;
    let request = Request { timeout: Some(Duration::from_millis(300)), ..post(server.url("/")) };
    let response = client(&plain()).send(request).await.unwrap();
    assert_eq!((response.status, response.body.as_ref(), response.body_complete), (500, &b"why"[..], false));
}

#[tokio::test]
async fn a_long_body_is_cut() {
    let server = Server::start(|_| Answer::status(400).body("y".repeat(200_000))).await;
    let response = client(&plain()).send(post(server.url("/"))).await.unwrap();
    assert_eq!((response.body.len(), response.body_complete), (64 << 10, false));
}

#[tokio::test]
async fn a_slow_answer_is_a_timeout_after_sending() {
    let server = Server::start(|_| Answer { delay: Duration::from_secs(60), ..Answer::ok() }).await;
    let request = Request { timeout: Some(Duration::from_millis(200)), ..post(server.url("/secret-path")) };
    let error = client(&plain()).send(request).await.unwrap_err();
    assert_eq!((error.kind, error.sent), (ErrorKind::Timeout, true));
    assert_eq!(error.to_string(), "Post \"<redacted>\": context deadline exceeded");
}

#[tokio::test]
async fn a_refused_connection_has_sent_nothing() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let options = options();
    let client = Client::new(&plain(), "test", &options).unwrap();
    let error = client.send(post(format!("http://{closed}/secret"))).await.unwrap_err();
    assert_eq!((error.kind, error.sent), (ErrorKind::Connect, false));
    assert_eq!(error.message, format!("Post \"<redacted>\": dial tcp {closed}: connect: connection refused"));
    assert_eq!(options.dials.attempted.with_label_values(&["test"]).get(), 1);
    assert_eq!(options.dials.failed.with_label_values(&["test", "refused"]).get(), 1);
}

#[tokio::test]
async fn an_unusable_url_has_sent_nothing() {
    let error = client(&plain()).send(post("gopher://h/secret".to_owned())).await.unwrap_err();
    assert_eq!((error.kind, error.sent), (ErrorKind::Url, false));
    assert_eq!(error.to_string(), "Post \"<redacted>\": unsupported protocol scheme \"gopher\"");
}

/// Reads a request, then does what the test wants with the connection.
async fn raw_server(answers: &'static [&'static str]) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn a_connection_closed_without_an_answer_is_ambiguous() {
    let address = raw_server(&[""]).await;
    let error = client(&plain()).send(post(format!("http://{address}/"))).await.unwrap_err();
    assert_eq!(
        (error.kind, error.sent, error.message.as_str()),
        (ErrorKind::Exchange, true, "Post \"<redacted>\": EOF")
    );
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_ambiguous() {
    let address = raw_server(&["SMTP ready\r\n\r\n"]).await;
    let error = client(&plain()).send(post(format!("http://{address}/"))).await.unwrap_err();
    assert!(error.sent && error.message.contains("malformed HTTP response"), "{error}");
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closed_is_replaced_silently() {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let address = raw_server(&[ANSWER, ANSWER]).await;
    let client = client(&plain());
    for _ in 0..2 {
        assert_eq!(client.send(post(format!("http://{address}/"))).await.unwrap().status, 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_connection_idle_for_five_minutes_is_closed() {
    let server = Server::start(|_| Answer::ok()).await;
    let options = options();
    let client = Client::new(&plain(), "test", &options).unwrap();
    client.send(post(server.url("/"))).await.unwrap();
    let minutes = |n: u64| async move {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(60 * n + 1)).await;
        tokio::time::resume();
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    minutes(4).await;
    assert_eq!(options.dials.closed.with_label_values(&["test"]).get(), 0);
    minutes(1).await;
    minutes(1).await;
    assert_eq!(options.dials.closed.with_label_values(&["test"]).get(), 1);
    client.send(post(server.url("/"))).await.unwrap();
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn connections_are_counted_from_start_to_end() {
    let server = Server::start(|_| Answer::ok()).await;
    let options = options();
    let client = Client::new(&plain(), "test", &options).unwrap();
    client.send(post(server.url("/"))).await.unwrap();
    assert_eq!(options.dials.established.with_label_values(&["test"]).get(), 1);
    assert_eq!(options.dials.closed.with_label_values(&["test"]).get(), 0);
    drop(client);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(options.dials.closed.with_label_values(&["test"]).get(), 1);
}

#[tokio::test]
async fn more_requests_than_slots_wait_for_their_turn() {
    let server = Server::start(|_| Answer { delay: Duration::from_millis(20), ..Answer::ok() }).await;
    let client = client(&plain());
    let all = (0..200).map(|_| client.send(post(server.url("/"))));
    let outcomes = futures_util::future::join_all(all).await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert!(server.connections() <= 64, "{}", server.connections());
}
