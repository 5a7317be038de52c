//! Who is trusted, who we are, and what changes while we run.

use http::Version;

use super::support::{Answer, Authority, Identity, Server, client, plain, post, secret, self_signed_ca, server_config};
use crate::{
    config::model::{HttpConfig, SecretSource, TextSource, TlsConfig, TlsVersion},
    httpconf::ErrorKind,
};

fn with(tls: TlsConfig) -> HttpConfig {
    HttpConfig { tls, ..plain() }
}

async fn serving(identity: &Identity, clients: Option<&Authority>) -> Server {
    Server::with_tls(Some(server_config(identity, clients)), |_| Answer::ok()).await
}

#[tokio::test]
async fn a_server_of_the_given_authority_is_trusted() {
    let authority = Authority::new();
    let server = serving(&authority.identity("127.0.0.1"), None).await;
    let client = client(&with(authority.tls()));
    for _ in 0..2 {
        client.send(post(server.https_url("/x"))).await.unwrap();
    }
    assert_eq!((server.last().version, server.connections()), (Version::HTTP_2, 1));
}

#[tokio::test]
async fn http2_can_be_turned_off() {
    let authority = Authority::new();
    let server = serving(&authority.identity("127.0.0.1"), None).await;
    let config = HttpConfig { enable_http2: false, ..with(authority.tls()) };
    client(&config).send(post(server.https_url("/x"))).await.unwrap();
    assert_eq!(server.last().version, Version::HTTP_11);
    assert_eq!(server.last().header("host"), Some(server.address.to_string().as_str()));
}

#[tokio::test]
async fn a_strange_server_gets_nothing() {
    let server = serving(&Authority::new().identity("127.0.0.1"), None).await;
    let error = client(&with(Authority::new().tls())).send(post(server.https_url("/x"))).await.unwrap_err();
    assert_eq!((error.kind, error.sent), (ErrorKind::Tls, false));
    assert_eq!(
        error.message,
        "Post \"<redacted>\": tls: failed to verify certificate: x509: certificate signed by unknown authority"
    );
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn the_name_is_checked_and_can_be_given() {
    let authority = Authority::new();
    let server = serving(&authority.identity("inner.example.org"), None).await;
    let error = client(&with(authority.tls())).send(post(server.https_url("/x"))).await.unwrap_err();
    assert!(error.message.contains("not valid for this server name"), "{error}");
    let tls = TlsConfig { server_name: "inner.example.org".to_owned(), ..authority.tls() };
    client(&with(tls)).send(post(server.https_url("/x"))).await.unwrap();
}

#[tokio::test]
async fn verification_can_be_skipped() {
    let server = serving(&Authority::new().identity("elsewhere.example.org"), None).await;
    let tls = TlsConfig { insecure_skip_verify: true, ..TlsConfig::default() };
    client(&with(tls)).send(post(server.https_url("/x"))).await.unwrap();
}

#[tokio::test]
async fn a_self_signed_authority_may_serve_its_own_certificate() {
    let identity = self_signed_ca("127.0.0.1");
    let server = serving(&identity, None).await;
    let tls = TlsConfig { ca: Some(TextSource::Inline(identity.cert.clone())), ..TlsConfig::default() };
    client(&with(tls.clone())).send(post(server.https_url("/x"))).await.unwrap();
    let other = serving(&self_signed_ca("127.0.0.1"), None).await;
    assert!(client(&with(tls)).send(post(other.https_url("/x"))).await.is_err());
}

#[tokio::test]
async fn a_client_certificate_is_shown_when_asked_for() {
    let authority = Authority::new();
    let server = serving(&authority.identity("127.0.0.1"), Some(&authority)).await;
    let me = authority.identity("client");
    let tls = TlsConfig {
        cert: Some(TextSource::Inline(me.cert)),
        key: Some(SecretSource::Inline(secret(&me.key))),
        ..authority.tls()
    };
    client(&with(tls)).send(post(server.https_url("/x"))).await.unwrap();

    let error = client(&with(authority.tls())).send(post(server.https_url("/x"))).await.unwrap_err();
    assert!(!error.sent, "the server refused before it read a request: {error}");
    assert!(error.message.contains("remote error: tls: CertificateRequired"), "{error}");
}

#[tokio::test]
async fn a_newer_version_can_be_demanded() {
    let authority = Authority::new();
    let server = serving(&authority.identity("127.0.0.1"), None).await;
    let tls = TlsConfig { min_version: Some(TlsVersion::Tls13), ..authority.tls() };
    client(&with(tls)).send(post(server.https_url("/x"))).await.unwrap();
}

#[test]
fn a_key_that_does_not_fit_its_certificate_fails_the_build() {
    let authority = Authority::new();
    let tls = TlsConfig {
        cert: Some(TextSource::Inline(authority.identity("a").cert)),
        key: Some(SecretSource::Inline(secret(&authority.identity("b").key))),
        ..authority.tls()
    };
    let error = crate::httpconf::Client::new(&with(tls), "test", &super::support::options()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "unable to use specified client cert (inline) & key (inline): tls: private key does not match public key"
    );
}

#[tokio::test]
async fn changed_certificate_files_are_used_from_the_next_request() {
    let (first, second) = (Authority::new(), Authority::new());
    let old = serving(&first.identity("127.0.0.1"), None).await;
    let new = serving(&second.identity("127.0.0.1"), None).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    std::fs::write(&path, first.pem()).unwrap();
    let client = client(&with(TlsConfig { ca: Some(TextSource::File(path.clone())), ..TlsConfig::default() }));
    client.send(post(old.https_url("/x"))).await.unwrap();
    assert!(client.send(post(new.https_url("/x"))).await.is_err());

    std::fs::write(&path, second.pem()).unwrap();
    client.send(post(new.https_url("/x"))).await.unwrap();
    assert!(client.send(post(old.https_url("/x"))).await.is_err(), "a kept connection is not used under new roots");

    std::fs::remove_file(&path).unwrap();
    let error = client.send(post(new.https_url("/x"))).await.unwrap_err();
    assert_eq!((error.kind, error.sent), (ErrorKind::Secret, false));
    assert!(error.message.contains("unable to read CA cert"), "{error}");
}

#[tokio::test]
async fn a_server_without_tls_is_told_apart() {
    let server = Server::start(|_| Answer::ok()).await;
    let error = client(&plain()).send(post(server.https_url("/x"))).await.unwrap_err();
    assert_eq!((error.kind, error.sent), (ErrorKind::Tls, false));
    assert!(error.message.contains("does not look like a TLS handshake"), "{error}");
}
