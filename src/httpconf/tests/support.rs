//! A server that writes down what it saw, certificates, and settings to start from.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::{
    clock::Clock,
    config::model::{HttpConfig, ProxyConfig, Secret, TextSource, TlsConfig},
    httpconf::{Client, ClientOptions, DialMetrics, ProxyEnvironment, Request, client::REQUESTS_MAX},
    random::Random,
};

pub(crate) const REDIRECTS_END: usize = REQUESTS_MAX;

/// One request as the server got it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub method: String,
    /// As in the request line: a path, or absolute to a proxy.
    pub uri: String,
    pub version: http::Version,
    pub headers: HeaderMap,
    pub body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// What the server says.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    pub delay: Duration,
    /// After `body`, the connection stays open and nothing more comes.
    pub endless: bool,
}

impl Answer {
    pub(crate) fn ok() -> Self {
        Self::status(200)
    }

    pub(crate) fn status(status: u16) -> Self {
        Answer { status, headers: Vec::new(), body: String::new(), delay: Duration::ZERO, endless: false }
    }

    pub(crate) fn body(self, body: impl Into<String>) -> Self {
        Answer { body: body.into(), ..self }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn into_response(self) -> http::Response<BoxBody<Bytes, Infallible>> {
        let body = if self.endless {
            let frames = futures_util::stream::iter([Ok(hyper::body::Frame::data(Bytes::from(self.body)))]);
            let forever = futures_util::StreamExt::chain(frames, futures_util::stream::pending());
            BodyExt::boxed(http_body_util::StreamBody::new(SyncStream(forever)))
        } else {
            Full::new(Bytes::from(self.body)).boxed()
        };
        let mut response = http::Response::new(body);
        *response.status_mut() = http::StatusCode::from_u16(self.status).unwrap();
        for (name, value) in self.headers {
            response.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_str(&value).unwrap());
        }
        response
    }
}

/// `BoxBody` wants `Sync`, which `Pending` of an item type has anyway.
struct SyncStream<S>(S);

impl<S: futures_util::Stream + Unpin> futures_util::Stream for SyncStream<S> {
    type Item = S::Item;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::pin::Pin::new(&mut self.0).poll_next(cx)
    }
}

type Handler = dyn Fn(&Seen) -> Answer + Send + Sync;

/// A running server.
pub(crate) struct Server {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    pub(crate) async fn start(handler: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        Self::with_tls(None, handler).await
    }

    pub(crate) async fn with_tls(
        tls: Option<Arc<ServerConfig>>,
        handler: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server =
            Server { address: listener.local_addr().unwrap(), seen: Arc::default(), connections: Arc::default() };
        let (seen, connections) = (Arc::clone(&server.seen), Arc::clone(&server.connections));
        let handler: Arc<Handler> = Arc::new(handler);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.fetch_add(1, Ordering::SeqCst);
                let (seen, handler, tls) = (Arc::clone(&seen), Arc::clone(&handler), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, handler, seen).await,
                        Some(tls) => {
                            if let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await {
                                serve(stream, handler, seen).await;
                            }
                        }
                    }
                });
            }
        });
        server
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn https_url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn last(&self) -> Seen {
        self.seen().last().cloned().expect("no request came")
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn serve<S>(stream: S, handler: Arc<Handler>, seen: Arc<Mutex<Vec<Seen>>>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: http::Request<Incoming>| {
        let (handler, seen) = (Arc::clone(&handler), Arc::clone(&seen));
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let one = Seen {
                method: parts.method.to_string(),
                uri: parts.uri.to_string(),
                version: parts.version,
                headers: parts.headers,
                body: String::from_utf8(body.to_vec()).unwrap(),
            };
            let answer = handler(&one);
            seen.lock().unwrap().push(one);
            tokio::time::sleep(answer.delay).await;
            Ok::<_, Infallible>(answer.into_response())
        }
    });
    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

/// `http_config: {}`.
pub(crate) fn plain() -> HttpConfig {
    HttpConfig {
        basic_auth: None,
        authorization: None,
        oauth2: None,
        tls: TlsConfig::default(),
        follow_redirects: true,
        enable_http2: true,
        proxy: ProxyConfig::default(),
        headers: Vec::new(),
        has_secret_ref: false,
    }
}

pub(crate) fn options() -> ClientOptions {
    ClientOptions {
        user_agent: "Alertmanager/1.2.3".to_owned(),
        clock: Clock::system(),
        random: Random::seeded(7),
        dials: DialMetrics::unregistered().unwrap(),
        proxy_environment: ProxyEnvironment::default(),
        rehearsal: None,
    }
}

pub(crate) fn client(config: &HttpConfig) -> Client {
    Client::new(config, "test", &options()).unwrap()
}

pub(crate) fn post(url: String) -> Request {
    Request { body_wanted: true, ..Request::post_json(url, "{\"a\":1}") }
}

pub(crate) fn secret(text: &str) -> Secret {
    Secret(text.into())
}

pub(crate) fn through(proxy_url: &str) -> ProxyConfig {
    ProxyConfig { url: Some(secret(proxy_url)), ..ProxyConfig::default() }
}

/// An authority that signs what tests need.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// Certificate and key, PEM.
#[derive(Clone)]
pub(crate) struct Identity {
    pub cert: String,
    pub key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        Authority { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub(crate) fn tls(&self) -> TlsConfig {
        TlsConfig { ca: Some(TextSource::Inline(self.pem())), ..TlsConfig::default() }
    }

    pub(crate) fn identity(&self, name: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Identity { cert: cert.pem(), key: key.serialize_pem() }
    }
}

/// Its own issuer and marked as a CA, as `openssl req -x509` makes them.
pub(crate) fn self_signed_ca(name: &str) -> Identity {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Identity { cert: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

/// For a server; with `clients`, certificates of that authority are demanded.
pub(crate) fn server_config(identity: &Identity, clients: Option<&Authority>) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = vec![CertificateDer::from_pem_slice(identity.cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}
