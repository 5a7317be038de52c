//! Credentials, from wherever they come.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::HeaderValue;
use ring::signature::{RSA_PKCS1_2048_8192_SHA384, RsaKeyPair, UnparsedPublicKey};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};

use super::support::{Answer, Server, client, options, plain, post, secret};
use crate::{
    config::model::{
        Authorization, BasicAuth, HttpConfig, OAuth2, OAuth2Jwt, Payload, ProxyConfig, SecretSource, TlsConfig,
    },
    httpconf::{Client, ErrorKind, HttpConfigError},
};

fn basic(username: &str, password: Option<SecretSource>) -> HttpConfig {
    let auth = BasicAuth { username: username.to_owned(), password, ..BasicAuth::default() };
    HttpConfig { basic_auth: Some(auth), ..plain() }
}

fn scheme(scheme: &str, credentials: SecretSource) -> HttpConfig {
    let authorization = Authorization { scheme: scheme.to_owned(), credentials: Some(credentials) };
    HttpConfig { authorization: Some(authorization), ..plain() }
}

async fn authorization_sent(config: &HttpConfig) -> Option<String> {
    let server = Server::start(|_| Answer::ok()).await;
    client(config).send(post(server.url("/"))).await.unwrap();
    server.last().header("authorization").map(str::to_owned)
}

#[tokio::test]
async fn basic_and_scheme_credentials_are_sent() {
    let inline = |text: &str| SecretSource::Inline(secret(text));
    assert_eq!(authorization_sent(&plain()).await, None);
    assert_eq!(
        authorization_sent(&basic("us er", Some(inline("p:ä ss")))).await.unwrap(),
        "Basic dXMgZXI6cDrDpCBzcw=="
    );
    assert_eq!(authorization_sent(&basic("", None)).await.unwrap(), "Basic Og==");
    assert_eq!(authorization_sent(&scheme("Bearer", inline("tok"))).await.unwrap(), "Bearer tok");
}

#[tokio::test]
async fn files_are_read_at_each_request() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let server = Server::start(|_| Answer::ok()).await;
    let client = client(&scheme("ApiKey", SecretSource::File(path.clone())));
    for content in ["one\n", " two "] {
        std::fs::write(&path, content).unwrap();
        client.send(post(server.url("/"))).await.unwrap();
        assert_eq!(server.last().header("authorization").unwrap(), format!("ApiKey {}", content.trim()));
    }
    std::fs::remove_file(&path).unwrap();
    let error = client.send(post(server.url("/"))).await.unwrap_err();
    assert_eq!((error.kind, error.sent), (ErrorKind::Secret, false));
    assert!(error.message.contains("unable to read authorization credentials: unable to read file"), "{error}");
}

#[tokio::test]
async fn what_the_integration_or_the_url_says_comes_first() {
    let server = Server::start(|_| Answer::ok()).await;
    let client = client(&scheme("Bearer", SecretSource::Inline(secret("configured"))));
    let mut request = post(server.url("/"));
    request.headers.insert("authorization", HeaderValue::from_static("GenieKey own"));
    client.send(request).await.unwrap();
    assert_eq!(server.last().header("authorization"), Some("GenieKey own"));
    client.send(post(server.url("/").replace("http://", "http://u:p%40@"))).await.unwrap();
    assert_eq!(server.last().header("authorization"), Some("Basic dTpwQA=="));
    assert_eq!(server.last().header("host"), Some(server.address.to_string().as_str()));
}

#[test]
fn a_secret_reference_cannot_be_built() {
    let config = HttpConfig { has_secret_ref: true, ..plain() };
    assert_eq!(Client::new(&config, "test", &options()).unwrap_err(), HttpConfigError::SecretRef);
}

#[test]
fn a_client_does_not_show_its_secrets() {
    let mut config = basic("user", Some(SecretSource::Inline(secret("hunter2"))));
    config.proxy = ProxyConfig { url: Some(secret("http://u:hunter2@p")), ..ProxyConfig::default() };
    assert!(!format!("{:?} {config:?}", client(&config)).contains("hunter2"));
}

fn oauth2(server: &Server, client_secret: SecretSource) -> OAuth2 {
    OAuth2 {
        client_id: "a:b".to_owned(),
        client_secret: Some(client_secret),
        token_url: server.url("/token"),
        scopes: vec!["s1".to_owned(), "s2".to_owned()],
        endpoint_params: BTreeMap::from([("audience".to_owned(), "x y".to_owned())]),
        tls: TlsConfig::default(),
        proxy: ProxyConfig::default(),
        jwt: None,
    }
}

fn with_oauth2(oauth2: OAuth2) -> HttpConfig {
    HttpConfig { oauth2: Some(Box::new(oauth2)), ..plain() }
}

/// Numbers its tokens; says 401 to `/no`.
async fn token_server() -> Server {
    let count = AtomicUsize::new(0);
    Server::start(move |seen| match seen.uri.as_str() {
        "/token" => {
            let n = count.fetch_add(1, Ordering::SeqCst) + 1;
            Answer::ok().body(format!(r#"{{"access_token":"t{n}","token_type":"bearer","expires_in":3600}}"#))
        }
        "/no" => Answer::status(401),
        _ => Answer::ok(),
    })
    .await
}

fn paths(server: &Server) -> Vec<String> {
    server.seen().iter().map(|seen| seen.uri.clone()).collect()
}

#[tokio::test]
async fn a_token_is_fetched_once_and_sent_until_it_is_refused() {
    let server = token_server().await;
    let client = client(&with_oauth2(oauth2(&server, SecretSource::Inline(secret("s/c")))));
    for path in ["/1", "/no", "/2"] {
        client.send(post(server.url(path))).await.unwrap();
    }
    assert_eq!(paths(&server), ["/token", "/1", "/no", "/token", "/2"]);
    let seen = server.seen();
    assert_eq!(seen[0].body, "audience=x+y&grant_type=client_credentials&scope=s1+s2");
    assert_eq!(seen[0].header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(seen[0].header("user-agent"), Some("Alertmanager/1.2.3"));
    // Both parts are form-escaped before they are joined: a%3Ab:s%2Fc.
    assert_eq!(seen[0].header("authorization"), Some("Basic YSUzQWI6cyUyRmM="));
    assert_eq!(seen[1].header("authorization"), Some("Bearer t1"));
    assert_eq!(seen[4].header("authorization"), Some("Bearer t2"));
}

#[tokio::test]
async fn a_changed_secret_file_discards_the_token() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    std::fs::write(&path, "one").unwrap();
    let server = token_server().await;
    let client = client(&with_oauth2(oauth2(&server, SecretSource::File(path.clone()))));
    client.send(post(server.url("/1"))).await.unwrap();
    std::fs::write(&path, "two").unwrap();
    client.send(post(server.url("/2"))).await.unwrap();
    assert_eq!(paths(&server), ["/token", "/1", "/token", "/2"]);
}

#[tokio::test]
async fn a_server_that_wants_the_secret_in_the_form_gets_it_there() {
    let server = Server::start(|seen| match seen.uri.as_str() {
        "/token" if seen.header("authorization").is_some() => Answer::status(401),
        "/token" => Answer::ok().body("access_token=form&token_type=x").header("content-type", "text/plain"),
        _ => Answer::ok(),
    })
    .await;
    let client = client(&with_oauth2(oauth2(&server, SecretSource::Inline(secret("sec")))));
    client.send(post(server.url("/1"))).await.unwrap();
    assert_eq!(paths(&server), ["/token", "/token", "/1"]);
    let seen = server.seen();
    assert_eq!(
        seen[1].body,
        "audience=x+y&client_id=a%3Ab&client_secret=sec&grant_type=client_credentials&scope=s1+s2"
    );
    assert_eq!(seen[2].header("authorization"), Some("x form"));
}

#[tokio::test]
async fn a_refused_token_request_sends_nothing_and_shows_no_secret() {
    let server =
        Server::start(|_| Answer::status(400).body(r#"{"error":"invalid_client","error_description":"bad hunter2"}"#))
            .await;
    let client = client(&with_oauth2(oauth2(&server, SecretSource::Inline(secret("hunter2")))));
    let error = client.send(post(server.url("/1"))).await.unwrap_err();
    assert_eq!((error.kind, error.sent), (ErrorKind::Token, false));
    assert!(error.message.contains("oauth2: \"invalid_client\""), "{error}");
    assert!(!error.message.contains("hunter2"), "{error}");
    assert!(paths(&server).iter().all(|path| path == "/token"));
}

const RSA_KEY: &str = include_str!("rsa-test-key.pem");

#[tokio::test]
async fn the_jwt_grant_signs_its_assertion() {
    let server = token_server().await;
    let jwt = OAuth2Jwt {
        key: Some(SecretSource::Inline(secret(RSA_KEY))),
        key_id: "k1".to_owned(),
        algorithm: "RS384".to_owned(),
        iss: String::new(),
        audience: String::new(),
        claims: BTreeMap::from([("extra".to_owned(), Payload::List(vec![Payload::Int(1)]))]),
    };
    let client = client(&with_oauth2(OAuth2 { jwt: Some(jwt), ..oauth2(&server, SecretSource::Inline(secret(""))) }));
    client.send(post(server.url("/1"))).await.unwrap();
    assert_eq!(server.last().header("authorization"), Some("Bearer t1"));

    let form: BTreeMap<String, String> =
        url::form_urlencoded::parse(server.seen()[0].body.as_bytes()).into_owned().collect();
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let parts: Vec<&str> = form["assertion"].split('.').collect();
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
    let key =
        RsaKeyPair::from_pkcs8(PrivatePkcs8KeyDer::from_pem_slice(RSA_KEY.as_bytes()).unwrap().secret_pkcs8_der())
            .unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA384, key.public().as_ref());
    public.verify(format!("{}.{}", parts[0], parts[1]).as_bytes(), &decode(parts[2])).unwrap();

    let header: serde_json::Value = serde_json::from_slice(&decode(parts[0])).unwrap();
    assert_eq!(header, serde_json::json!({ "alg": "RS384", "kid": "k1", "typ": "JWT" }));
    let claims: serde_json::Value = serde_json::from_slice(&decode(parts[1])).unwrap();
    assert_eq!(claims["iss"], "a:b");
    assert_eq!(claims["sub"], "a:b");
    assert_eq!(claims["aud"], server.url("/token"));
    assert_eq!(claims["scope"], "s1 s2");
    assert_eq!(claims["extra"], serde_json::json!([1]));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 600);
}
