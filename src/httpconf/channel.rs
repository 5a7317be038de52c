//! A connection to one server that speaks HTTP/2, for protocols that stand on it and need its trailers. It is opened
//! when it is used and kept; with TLS the server has to agree to HTTP/2, without it nothing is negotiated.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri, Version, header::USER_AGENT};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::Mutex;

use super::{
    ClientOptions,
    client::broken,
    connect::{Connector, Dials},
    error::{ErrorKind, Failure, HttpConfigError, HttpError},
    pool::Sender,
    proxy::{Proxies, ProxyKind},
    target::Target,
    tls::TlsSetup,
};
use crate::config::model::{ProxyConfig, TlsConfig};

/// See the module's head.
pub struct Channel {
    target: Target,
    proxies: Proxies,
    connector: Connector,
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    sender: Sender,
    /// Of the TLS configuration; 0 without TLS.
    tls_generation: u64,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Channel {
    /// `authority` is `host:port`. Nothing is opened yet.
    ///
    /// # Errors
    /// Certificates, keys, proxies or addresses that cannot be used.
    pub fn new(
        encrypted: bool,
        authority: &str,
        tls: &TlsConfig,
        proxy: &ProxyConfig,
        options: &ClientOptions,
    ) -> Result<Self, HttpConfigError> {
        let scheme = if encrypted { "https" } else { "http" };
        let target = Target::parse(&format!("{scheme}://{authority}"));
        let user_agent = http::HeaderValue::from_str(&options.user_agent);
        Ok(Channel {
            target: target.map_err(|failure| HttpConfigError::Address(failure.text))?,
            proxies: Proxies::new(proxy, &options.proxy_environment)?,
            connector: Connector {
                dials: Dials::new(&options.dials, "tracing"),
                user_agent: user_agent.map_err(|_| HttpConfigError::HeaderName(USER_AGENT.to_string()))?,
                tunnel_headers: Vec::new(),
                tls: TlsSetup::new(tls, true)?,
            },
            kept: Mutex::default(),
        })
    }

    /// Sends a request and returns when the head of its answer is there.
    ///
    /// # Errors
    /// There is no answer. See [`ErrorKind`].
    pub async fn post(&self, path: &str, headers: HeaderMap, body: Bytes) -> Result<Response<Incoming>, HttpError> {
        let mut sent = false;
        let answer = self.exchange(path, headers, body, &mut sent).await;
        answer.map_err(|failure| HttpError::new(&Method::POST, failure, sent))
    }

    async fn exchange(
        &self,
        path: &str,
        mut headers: HeaderMap,
        body: Bytes,
        sent: &mut bool,
    ) -> Result<Response<Incoming>, Failure> {
        headers.entry(USER_AGENT).or_insert_with(|| self.connector.user_agent.clone());
        let scheme = if self.target.https { "https" } else { "http" };
        let uri = Uri::builder().scheme(scheme).authority(self.target.authority.as_str()).path_and_query(path);
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.build().map_err(|_| Failure::new(ErrorKind::Url, "invalid URL"))?;
        *request.version_mut() = Version::HTTP_2;
        *request.headers_mut() = headers;

        let mut kept = self.kept.lock().await;
        let connection = self.connected(&mut kept).await?;
        *sent = true;
        let answer = connection.sender.try_send(request).await;
        answer.map_err(|error| {
            *kept = None;
            broken(&error.into_error())
        })
    }

    /// The kept connection if it is alive and of the present certificates, else a new one.
    async fn connected<'k>(&self, kept: &'k mut Option<Kept>) -> Result<&'k mut Kept, Failure> {
        let tls = if self.target.https { Some(self.connector.tls.current().await?) } else { None };
        let tls_generation = tls.as_ref().map_or(0, |now| now.generation);
        let usable = match kept.as_mut() {
            Some(old) if old.tls_generation == tls_generation => old.sender.ready().await.is_ok(),
            _ => false,
        };
        if !usable {
            *kept = None;
            // A proxy that takes plain requests as they are takes none over HTTP/2.
            let via = self.proxies.route(&self.target)?;
            let via = via.filter(|proxy| self.target.https || proxy.kind == ProxyKind::Socks5);
            let mut connection = self.connector.connect(&self.target, via.map(AsRef::as_ref), tls.as_ref()).await?;
            if self.target.https && !connection.http2 {
                return Err(Failure::new(ErrorKind::Tls, "the server does not speak HTTP/2"));
            }
            connection.http2 = true;
            *kept = Some(Kept { sender: Sender::open(connection).await?, tls_generation });
        }
        kept.as_mut().ok_or_else(|| Failure::new(ErrorKind::Connect, "the connection is closed"))
    }
}
