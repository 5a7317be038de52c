//! The server as its clients see it: first request by request without sockets, then over real ones.

use std::{fs, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use http_body_util::Full;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::{mpsc, watch},
    task::JoinHandle,
};

use super::{
    ReloadFailed, ReloadRequest, Web, WebOptions,
    service::{self, Service},
};
use crate::{
    api::{
        Answer, Api,
        testing::{api, text},
    },
    random::Random,
    ui::{Ui, UiParts},
};

const CONFIG: &str = "route: {receiver: r}\nreceivers: [{name: r}]\n";

fn service(options: &WebOptions) -> (Service, mpsc::Receiver<ReloadRequest>) {
    let (sender, receiver) = mpsc::channel(1);
    let file = service::open_file(options.config_file.as_ref()).unwrap();
    let api = api(CONFIG);
    (Service::new(options, file, Arc::clone(&api), ui(&api), sender), receiver)
}

fn ui(api: &Arc<Api>) -> Arc<Ui> {
    let external_url = "http://am.example".into();
    Ui::new(UiParts { api: Arc::clone(api), random: Random::seeded(1), external_url, flags: Vec::new() })
}

fn request(method: &str, path: &str) -> Request<Full<Bytes>> {
    Request::builder().method(method).uri(path).body(Full::default()).unwrap()
}

fn header_of(answer: &Answer, name: header::HeaderName) -> Option<&str> {
    answer.headers().get(name).and_then(|value| value.to_str().ok())
}

async fn get(service: &Service, path: &str) -> (u16, String) {
    text(service.answer(request("GET", path)).await).await
}

#[tokio::test]
async fn probes_are_answered_and_counted() {
    let (service, _reload) = service(&WebOptions::default());
    for path in ["/-/healthy", "/-/ready"] {
        assert_eq!(get(&service, path).await, (200, "OK".into()));
        assert_eq!(text(service.answer(request("HEAD", path)).await).await, (200, String::new()));
    }
    let (_, metrics) = get(&service, "/metrics").await;
    assert!(
        metrics.contains(
            "alertmanager_http_request_duration_seconds_count{code=\"200\",handler=\"/-/ready\",method=\"head\"} 1"
        ),
        "{metrics}"
    );
}

#[tokio::test]
async fn the_first_api_is_gone_and_unknown_paths_are_plain_text() {
    let (service, _reload) = service(&WebOptions::default());
    let (status, body) = get(&service, "/api/v1/alerts").await;
    assert_eq!((status, body.contains("\"status\":\"deprecated\"")), (410, true));
    let unknown = service.answer(request("GET", "/nosuch")).await;
    assert_eq!(header_of(&unknown, header::CONTENT_TYPE), Some("text/plain; charset=utf-8"));
    assert_eq!(text(unknown).await, (404, "404 page not found\n".into()));
    assert_eq!(get(&service, "/api/v2/nosuch").await.0, 404);
    assert_eq!(service.answer(request("POST", "/metrics")).await.status(), 405);
}

#[tokio::test]
async fn the_index_says_what_this_is_and_is_not_cached() {
    let (service, _reload) = service(&WebOptions::default());
    let index = service.answer(request("GET", "/")).await;
    assert_eq!(header_of(&index, header::CACHE_CONTROL), Some("no-cache, no-store, must-revalidate"));
    assert!(text(index).await.1.contains("Carillon"));
    assert_eq!(get(&service, "/favicon.ico").await.0, 200);
}

#[tokio::test]
async fn below_a_prefix_the_root_leads_there() {
    let (service, _reload) = service(&WebOptions { route_prefix: "/am".into(), ..WebOptions::default() });
    let root = service.answer(request("GET", "/")).await;
    assert_eq!((root.status().as_u16(), header_of(&root, header::LOCATION)), (302, Some("/am")));
    assert_eq!(get(&service, "/am/api/v2/status").await.0, 200);
    assert_eq!(get(&service, "/api/v2/status").await.0, 404);
}

#[tokio::test]
async fn a_reload_is_asked_for_and_its_result_told() {
    let (service, mut reload) = service(&WebOptions::default());
    let app = async {
        reload.recv().await.unwrap().send(Ok(())).unwrap();
        reload.recv().await.unwrap().send(Err(ReloadFailed("bad file".into()))).unwrap();
        drop(reload);
    };
    let client = async {
        let ask = || async { text(service.answer(request("POST", "/-/reload")).await).await };
        (ask().await, ask().await, ask().await.0)
    };
    let ((), answers) = tokio::join!(app, client);
    assert_eq!(answers, ((200, String::new()), (500, "failed to reload config: bad file\n".into()), 503));
}

#[tokio::test]
async fn too_many_get_requests_at_once_are_turned_away() {
    let (service, mut reload) = service(&WebOptions { get_concurrency: 1, ..WebOptions::default() });
    let held = service.answer(request("GET", "/metrics")).await;
    assert_eq!(held.status(), 200);
    // A page that is whole gives its place back at once; only what is under way counts.
    assert_eq!(get(&service, "/-/ready").await.0, 200);
    let alerts: Vec<_> = (0..300).map(|n| format!(r#"{{"labels":{{"n":"{n}","x":"{}"}}}}"#, "y".repeat(300))).collect();
    let body = Full::from(format!("[{}]", alerts.join(",")));
    let post = Request::post("/api/v2/alerts").header("content-type", "application/json").body(body).unwrap();
    assert_eq!(service.answer(post).await.status(), 200);
    let long = service.answer(request("GET", "/api/v2/alerts")).await;
    assert_eq!(
        get(&service, "/-/ready").await,
        (503, "Limit of concurrent GET requests reached (1), try again later.\n\n".into())
    );
    drop(long);
    assert_eq!(get(&service, "/-/ready").await.0, 200);
    reload.close();
}

#[tokio::test(start_paused = true)]
async fn a_request_that_takes_too_long_is_ended() {
    let (service, _reload) = service(&WebOptions { timeout: Some(Duration::from_secs(2)), ..WebOptions::default() });
    let answer = service.answer(request("POST", "/-/reload")).await;
    assert_eq!(text(answer).await, (503, "Exceeded configured timeout of 2s.\n".into()));
}

fn with_file(dir: &Path, content: &str) -> WebOptions {
    let path = dir.join("web.yml");
    fs::write(&path, content).unwrap();
    WebOptions { config_file: Some(path), listen_addresses: vec!["127.0.0.1:0".into()], ..WebOptions::default() }
}

#[tokio::test]
async fn the_web_configuration_file_asks_for_passwords_and_headers() {
    let dir = tempfile::tempdir().unwrap();
    let hash = bcrypt::hash("secret", 4).unwrap();
    let options = with_file(
        dir.path(),
        &format!("basic_auth_users: {{ann: {hash}}}\nhttp_server_config: {{headers: {{X-Frame-Options: deny}}}}"),
    );
    let (service, _reload) = service(&options);
    let refused = service.answer(request("GET", "/-/ready")).await;
    assert_eq!(header_of(&refused, header::WWW_AUTHENTICATE), Some("Basic"));
    assert_eq!(header_of(&refused, header::X_FRAME_OPTIONS), Some("deny"));
    assert_eq!(text(refused).await, (401, "Unauthorized\n".into()));
    let mut asked = request("GET", "/-/ready");
    let credentials = format!("Basic {}", BASE64_STANDARD.encode("ann:secret"));
    asked.headers_mut().insert(header::AUTHORIZATION, HeaderValue::from_str(&credentials).unwrap());
    assert_eq!(service.answer(asked).await.status(), 200);
    fs::write(dir.path().join("web.yml"), "nonsense: 1").unwrap();
    assert_eq!(get(&service, "/-/ready").await, (500, "Internal Server Error\n".into()));
    fs::write(dir.path().join("web.yml"), "").unwrap();
    assert_eq!(get(&service, "/-/ready").await.0, 200);
}

#[tokio::test]
async fn more_requests_than_the_rate_allows_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (service, _reload) = service(&with_file(dir.path(), "rate_limit: {interval: 1h, burst: 2}"));
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(get(&service, "/-/ready").await.0);
    }
    assert_eq!(statuses, [200, 200, 429]);
}

/// A server on a port of its own.
struct Running {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    _reload: mpsc::Receiver<ReloadRequest>,
}

async fn start(options: WebOptions) -> Running {
    let (sender, reload) = mpsc::channel(1);
    let (stop, stopped) = watch::channel(false);
    let web = Web::bind(options).await.unwrap();
    let address = web.addresses()[0];
    let api = api(CONFIG);
    let task = tokio::spawn(web.serve(Arc::clone(&api), ui(&api), sender, stopped, Duration::from_secs(5)));
    Running { address, stop, task, _reload: reload }
}

async fn plain() -> Running {
    start(WebOptions { listen_addresses: vec!["127.0.0.1:0".into()], ..WebOptions::default() }).await
}

/// Sends bytes and reads until the server closes.
async fn exchange(address: SocketAddr, sent: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await.unwrap();
    String::from_utf8_lossy(&received).into_owned()
}

#[tokio::test]
async fn answers_have_a_date_and_no_server_header() {
    let running = plain().await;
    let answer = exchange(running.address, "GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nOK"), "{answer}");
    assert!(answer.contains("\r\nDate: ") && !answer.to_lowercase().contains("server:"), "{answer}");
    assert!(exchange(running.address, "GET /-/healthy HTTP/1.0\r\n\r\n").await.starts_with("HTTP/1.0 200 OK"));
}

#[tokio::test]
async fn stopping_closes_idle_connections_at_once() {
    let running = plain().await;
    let mut idle = TcpStream::connect(running.address).await.unwrap();
    idle.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 256];
    assert!(idle.read(&mut first).await.unwrap() > 0);
    running.stop.send(true).unwrap();
    tokio::time::timeout(Duration::from_secs(2), running.task).await.unwrap().unwrap();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
}

struct Identity {
    cert: String,
    key: String,
}

fn identity(names: &[&str]) -> Identity {
    let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    Identity { cert: made.cert.pem(), key: made.signing_key.serialize_pem() }
}

fn write_identity(dir: &Path, identity: &Identity) {
    fs::write(dir.join("cert.pem"), &identity.cert).unwrap();
    fs::write(dir.join("key.pem"), &identity.key).unwrap();
}

/// Speaks TLS, trusting `server`, maybe as `client`; the answer to one request, or why there is none.
async fn over_tls(
    address: SocketAddr,
    server: &Identity,
    client: Option<&Identity>,
    alpn: &[&[u8]],
) -> Result<String, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(server.cert.as_bytes()).unwrap()).unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match client {
        Some(client) => {
            let chain = vec![CertificateDer::from_pem_slice(client.cert.as_bytes()).unwrap()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(client.key.as_bytes()).unwrap()).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("am.example").unwrap();
    let mut stream = connector.connect(name, stream).await.map_err(|error| error.to_string())?;
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        return Ok("h2".into());
    }
    let sent = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(sent).await.map_err(|error| error.to_string())?;
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await.map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&received).into_owned())
}

#[tokio::test]
async fn a_new_certificate_counts_for_the_next_connection() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (identity(&["am.example"]), identity(&["am.example"]));
    write_identity(dir.path(), &first);
    let running = start(with_file(dir.path(), "tls_server_config: {cert_file: cert.pem, key_file: key.pem}")).await;
    assert!(over_tls(running.address, &first, None, &[]).await.unwrap().ends_with("OK"));
    assert_eq!(over_tls(running.address, &first, None, &[b"h2"]).await.unwrap(), "h2");
    write_identity(dir.path(), &second);
    assert!(over_tls(running.address, &first, None, &[]).await.is_err());
    assert!(over_tls(running.address, &second, None, &[]).await.is_ok());
}

#[tokio::test]
async fn without_http2_in_the_file_it_is_not_offered() {
    let dir = tempfile::tempdir().unwrap();
    let server = identity(&["am.example"]);
    write_identity(dir.path(), &server);
    let file = "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\nhttp_server_config: {http2: false}";
    let running = start(with_file(dir.path(), file)).await;
    assert!(over_tls(running.address, &server, None, &[b"h2", b"http/1.1"]).await.unwrap().ends_with("OK"));
}

#[tokio::test]
async fn clients_must_show_the_certificate_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let server = identity(&["am.example"]);
    let (known, stranger) = (identity(&["client.example", "10.0.0.1"]), identity(&["other.example"]));
    write_identity(dir.path(), &server);
    fs::write(dir.path().join("ca.pem"), &known.cert).unwrap();
    let file = |rest: &str| format!("tls_server_config: {{cert_file: cert.pem, key_file: key.pem, {rest}}}");
    for (rest, nobody, anybody, right) in [
        ("client_auth_type: RequestClientCert", true, true, true),
        ("client_auth_type: RequireAnyClientCert", false, true, true),
        ("client_auth_type: VerifyClientCertIfGiven, client_ca_file: ca.pem", true, false, true),
        ("client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem", false, false, true),
        ("client_auth_type: RequireAnyClientCert, client_allowed_sans: [client.example]", false, false, true),
        ("client_auth_type: RequireAnyClientCert, client_allowed_sans: [10.0.0.1]", false, false, true),
        ("client_auth_type: RequireAnyClientCert, client_allowed_sans: [nobody]", false, false, false),
    ] {
        let running = start(with_file(dir.path(), &file(rest))).await;
        for (client, admitted) in [(None, nobody), (Some(&stranger), anybody), (Some(&known), right)] {
            let answered = over_tls(running.address, &server, client, &[]).await;
            assert_eq!(answered.is_ok_and(|text| text.ends_with("OK")), admitted, "{rest}, {}", client.is_some());
        }
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_found_at_start() {
    let dir = tempfile::tempdir().unwrap();
    for (content, part) in [
        ("nonsense: 1", "nonsense"),
        ("tls_server_config: {cert_file: none.pem, key_file: none.pem}", "none.pem"),
        ("basic_auth_users: {u: plain}", "bcrypt"),
    ] {
        let error = Web::bind(with_file(dir.path(), content)).await.err().unwrap().to_string();
        assert!(error.contains(part), "{content}: {error}");
    }
    let missing = WebOptions { config_file: Some(dir.path().join("none.yml")), ..WebOptions::default() };
    assert!(Web::bind(missing).await.is_err());
}

#[test]
fn methods_that_nobody_knows_share_a_label() {
    assert_eq!(service::method_label(&Method::from_bytes(b"FOO").unwrap()), "unknown");
}
