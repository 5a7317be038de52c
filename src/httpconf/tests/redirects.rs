//! Where an answer sends us.

use http::HeaderValue;

use super::support::{Answer, REDIRECTS_END, Server, client, plain, post, secret};
use crate::{
    config::model::{BasicAuth, HeaderValueSource, SecretSource},
    httpconf::{ErrorKind, Request},
};

async fn redirecting(status: u16) -> Server {
    Server::start(move |seen| match seen.uri.as_str() {
        "/hook" => Answer::status(status).header("location", "/moved?x=1"),
        _ => Answer::ok(),
    })
    .await
}

#[tokio::test]
async fn found_and_see_other_become_a_get_without_a_body() {
    for status in [301, 302, 303] {
        let server = redirecting(status).await;
        assert_eq!(client(&plain()).send(post(server.url("/hook"))).await.unwrap().status, 200);
        let last = server.last();
        assert_eq!((last.method.as_str(), last.uri.as_str(), last.body.as_str()), ("GET", "/moved?x=1", ""));
        assert_eq!(last.header("content-type"), None);
        assert_eq!(last.header("user-agent"), Some("Alertmanager/1.2.3"));
    }
}

#[tokio::test]
async fn temporary_and_permanent_redirects_repeat_the_request() {
    for status in [307, 308] {
        let server = redirecting(status).await;
        client(&plain()).send(post(server.url("/hook"))).await.unwrap();
        let last = server.last();
        assert_eq!((last.method.as_str(), last.body.as_str()), ("POST", "{\"a\":1}"));
        assert_eq!(last.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn without_follow_redirects_the_redirect_is_the_answer() {
    let server = redirecting(302).await;
    let mut config = plain();
    config.follow_redirects = false;
    assert_eq!(client(&config).send(post(server.url("/hook"))).await.unwrap().status, 302);
}

#[tokio::test]
async fn a_redirect_without_a_location_is_the_answer() {
    let server = Server::start(|_| Answer::status(302)).await;
    assert_eq!(client(&plain()).send(post(server.url("/"))).await.unwrap().status, 302);
}

#[tokio::test]
async fn a_loop_ends_after_ten_requests() {
    let server = Server::start(|_| Answer::status(307).header("location", "/again")).await;
    let error = client(&plain()).send(post(server.url("/"))).await.unwrap_err();
    assert_eq!((error.kind, error.sent), (ErrorKind::Redirect, true));
    assert_eq!(error.to_string(), "Post \"<redacted>\": stopped after 10 redirects");
    assert_eq!(server.seen().len(), REDIRECTS_END);
}

#[tokio::test]
async fn a_failure_after_a_redirect_is_not_taken_for_unsent() {
    let server = Server::start(|_| Answer::status(307).header("location", "ftp://elsewhere/")).await;
    let error = client(&plain()).send(post(server.url("/"))).await.unwrap_err();
    assert!(error.sent);
}

/// One server under two names: an address and `localhost`.
async fn crossing() -> Server {
    Server::start(|seen| {
        let port = seen.header("host").unwrap().rsplit(':').next().unwrap().to_owned();
        match seen.uri.as_str() {
            "/away" => Answer::status(307).header("location", format!("http://localhost:{port}/there")),
            "/here" => Answer::status(307).header("location", "/there"),
            "/away-and-back" => Answer::status(307).header("location", format!("http://localhost:{port}/back")),
            "/back" => Answer::status(307).header("location", format!("http://127.0.0.1:{port}/there")),
            _ => Answer::ok(),
        }
    })
    .await
}

#[tokio::test]
async fn credentials_do_not_leave_the_host() {
    let server = crossing().await;
    let mut config = plain();
    config.basic_auth = Some(BasicAuth {
        username: "u".to_owned(),
        password: Some(SecretSource::Inline(secret("p"))),
        ..BasicAuth::default()
    });
    config.headers = vec![
        ("Cookie".to_owned(), vec![HeaderValueSource::Plain("c=1".to_owned())]),
        ("X-Env".to_owned(), vec![HeaderValueSource::Plain("prod".to_owned())]),
    ];
    let client = client(&config);
    for (path, kept) in [("/here", true), ("/away", false), ("/away-and-back", false)] {
        client.send(post(server.url(path))).await.unwrap();
        let last = server.last();
        assert_eq!(last.uri, "/there");
        assert_eq!(last.header("authorization").is_some(), kept, "{path}");
        assert_eq!(last.header("cookie").is_some(), kept, "{path}");
        assert_eq!(last.header("x-env"), Some("prod"), "{path}");
    }
}

#[tokio::test]
async fn an_integrations_own_authorization_does_not_leave_the_host_either() {
    let server = crossing().await;
    let mut request = Request::post_json(server.url("/away"), "{}");
    request.headers.insert("authorization", HeaderValue::from_static("GenieKey k"));
    client(&plain()).send(request).await.unwrap();
    assert_eq!(server.seen()[0].header("authorization"), Some("GenieKey k"));
    assert_eq!(server.last().header("authorization"), None);
}
