//! The collector at the other end: one request with spans by gRPC or HTTP, and what its answer means.
//!
//! gRPC is spoken as far as one unary call needs it: a POST over HTTP/2 whose body is a flag, a length and the message,
//! and whose outcome stands in the trailers, or in the headers of an answer that has no body. Plain HTTP is a POST of
//! the message itself.

use std::{io::Write as _, time::Duration};

use bytes::{Buf as _, Bytes};
use flate2::{Compression, write::GzEncoder};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, TE},
};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;

use super::wire::{self, PartialSuccess};
use crate::{
    config::model::{HeaderValueSource, HttpConfig, ProxyConfig, TlsConfig, TracingClient, TracingConfig},
    httpconf::{Channel, Client, ClientOptions, ErrorKind, HttpConfigError, HttpError, Request},
};

const GRPC_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const HTTP_PATH: &str = "/v1/traces";
/// Where the endpoint of a gRPC client names no port.
const GRPC_PORT: u16 = 443;
/// As the usual exporters have it.
const TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Flag and length before a message of gRPC.
const FRAME_HEAD: usize = 5;

/// Why a section cannot be put to work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    #[error("tracing endpoint must be host:port, but got {0:?}")]
    Endpoint(String),
    #[error("header files are not supported for tracing configuration: header {0:?}")]
    HeaderFile(String),
    #[error("header {0:?} has an invalid name or value")]
    Header(String),
    #[error(transparent)]
    Client(#[from] HttpConfigError),
}

/// A collector that spans can be sent to.
pub(super) struct Collector {
    way: Way,
    headers: HeaderMap,
    gzip: bool,
    pub timeout: Duration,
}

enum Way {
    Grpc(Box<Channel>),
    Http { client: Client, url: String },
}

/// It did not take them.
#[derive(Debug)]
pub(super) struct Refusal {
    pub why: String,
    /// Another attempt may help.
    pub retry: bool,
    /// Not before this has passed.
    pub after: Option<Duration>,
}

impl Refusal {
    fn lasting(why: String) -> Self {
        Refusal { why, retry: false, after: None }
    }
}

impl From<HttpError> for Refusal {
    fn from(error: HttpError) -> Self {
        Refusal { retry: error.kind != ErrorKind::Url, why: error.message, after: None }
    }
}

impl Collector {
    pub fn new(config: &TracingConfig, options: &ClientOptions) -> Result<Self, SetupError> {
        let authority = authority(config)?;
        // As the usual exporters do.
        let proxy = ProxyConfig { from_environment: true, ..ProxyConfig::default() };
        // Without encryption there is nothing to configure; the section's manual says so too.
        let tls = if config.insecure { TlsConfig::default() } else { config.tls.clone() };
        let way = match config.client {
            TracingClient::Grpc => {
                Way::Grpc(Box::new(Channel::new(!config.insecure, &authority, &tls, &proxy, options)?))
            }
            TracingClient::Http => {
                let http = HttpConfig {
                    basic_auth: None,
                    authorization: None,
                    oauth2: None,
                    tls,
                    follow_redirects: true,
                    enable_http2: true,
                    proxy,
                    headers: Vec::new(),
                    has_secret_ref: false,
                };
                let scheme = if config.insecure { "http" } else { "https" };
                let url = format!("{scheme}://{authority}{HTTP_PATH}");
                Way::Http { client: Client::new(&http, "tracing", options)?, url }
            }
        };
        let timeout = config.timeout.unwrap_or(TIMEOUT);
        let headers = headers(config, timeout)?;
        Ok(Collector { way, headers, gzip: config.gzip, timeout })
    }

    /// Sends one request. What the collector took only in part is told.
    pub async fn send(&self, message: &[u8]) -> Result<Option<PartialSuccess>, Refusal> {
        let packed = if self.gzip { Some(pack(message)?) } else { None };
        let message = packed.as_deref().unwrap_or(message);
        match &self.way {
            Way::Grpc(channel) => {
                let body = framed(message, self.gzip)?;
                let answer = channel.post(GRPC_PATH, self.headers.clone(), body).await?;
                grpc_answer(answer).await
            }
            Way::Http { client, url } => {
                let request = Request {
                    method: Method::POST,
                    url: url.clone(),
                    headers: self.headers.clone(),
                    body: Bytes::copy_from_slice(message),
                    timeout: Some(self.timeout),
                    body_wanted: true,
                };
                let answer = client.send(request).await?;
                http_answer(answer.status, &answer.headers, &answer.body)
            }
        }
    }
}

/// What can be said of the section without reading its files.
///
/// # Errors
/// What the server would refuse at load.
pub fn check(config: &TracingConfig) -> Result<(), SetupError> {
    authority(config)?;
    headers(config, config.timeout.unwrap_or(TIMEOUT)).map(drop)
}

/// `host:port` of the endpoint, as a URL would have it.
fn authority(config: &TracingConfig) -> Result<String, SetupError> {
    let given = config.endpoint.as_str();
    // gRPC's own name for what everybody means.
    let endpoint = given.strip_prefix("dns:///").filter(|_| config.client == TracingClient::Grpc).unwrap_or(given);
    if endpoint.contains(|c: char| "/?#@".contains(c) || c.is_whitespace() || c.is_control()) {
        return Err(SetupError::Endpoint(given.to_owned()));
    }
    let host = if endpoint.starts_with(':') { "localhost" } else { "" };
    let has_port = endpoint.rsplit(']').next().is_some_and(|after| after.contains(':'));
    Ok(match config.client {
        TracingClient::Grpc if !has_port => format!("{endpoint}:{GRPC_PORT}"),
        _ => format!("{host}{endpoint}"),
    })
}

fn headers(config: &TracingConfig, timeout: Duration) -> Result<HeaderMap, SetupError> {
    let mut headers = HeaderMap::new();
    for (name, sources) in &config.headers {
        // Of several the first.
        let text = match sources.first() {
            None => continue,
            Some(HeaderValueSource::Plain(text)) => text.as_str(),
            Some(HeaderValueSource::Secret(secret)) => &secret.0,
            Some(HeaderValueSource::File(_)) => return Err(SetupError::HeaderFile(name.clone())),
        };
        let bad = || SetupError::Header(name.clone());
        let mut value = HeaderValue::from_str(text).map_err(|_| bad())?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?, value);
    }
    let mut set = |name: HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    match config.client {
        TracingClient::Grpc => {
            set(CONTENT_TYPE, "application/grpc");
            set(TE, "trailers");
            set(HeaderName::from_static("grpc-accept-encoding"), "identity");
            if config.gzip {
                set(HeaderName::from_static("grpc-encoding"), "gzip");
            }
            let limit = HeaderValue::try_from(grpc_timeout(timeout));
            headers.extend(limit.ok().map(|limit| (HeaderName::from_static("grpc-timeout"), limit)));
        }
        TracingClient::Http => {
            set(CONTENT_TYPE, "application/x-protobuf");
            set(ACCEPT_ENCODING, "identity");
            if config.gzip {
                set(CONTENT_ENCODING, "gzip");
            }
        }
    }
    Ok(headers)
}

/// At most eight digits and a unit.
fn grpc_timeout(timeout: Duration) -> String {
    match timeout.as_millis() {
        millis @ 0..=99_999_999 => format!("{millis}m"),
        _ => format!("{}S", timeout.as_secs().min(99_999_999)),
    }
}

fn pack(message: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut packer = GzEncoder::new(Vec::with_capacity(message.len() / 4), Compression::fast());
    let packed = packer.write_all(message).and_then(|()| packer.finish());
    packed.map_err(|error| Refusal::lasting(format!("spans cannot be compressed: {error}")))
}

fn framed(message: &[u8], gzip: bool) -> Result<Bytes, Refusal> {
    let length = u32::try_from(message.len());
    let length = length.map_err(|_| Refusal::lasting("the request is longer than 4 GiB".to_owned()))?;
    let mut frame = Vec::with_capacity(FRAME_HEAD + message.len());
    frame.push(u8::from(gzip));
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(message);
    Ok(frame.into())
}

async fn grpc_answer(answer: http::Response<Incoming>) -> Result<Option<PartialSuccess>, Refusal> {
    let (parts, body) = answer.into_parts();
    if parts.status != 200 {
        let retry = matches!(parts.status.as_u16(), 429 | 502..=504);
        return Err(Refusal { why: format!("HTTP status {}", parts.status.as_u16()), retry, after: None });
    }
    if let Some(status) = GrpcStatus::of(&parts.headers) {
        return status.judge().map(|()| None);
    }
    let collected = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| Refusal {
        why: format!("the answer broke off: {error}"),
        retry: true,
        after: None,
    })?;
    let status = collected.trailers().and_then(GrpcStatus::of);
    let status = status.ok_or_else(|| Refusal::lasting("the answer is not of gRPC: it has no grpc-status".to_owned()));
    status?.judge()?;
    let mut frame = collected.to_bytes();
    // No compression was offered, so the flag is 0.
    if frame.len() < FRAME_HEAD {
        return Ok(None);
    }
    frame.advance(FRAME_HEAD);
    Ok(wire::rejected(&frame))
}

/// How a call ended.
struct GrpcStatus {
    code: u8,
    message: String,
    /// The collector says that, or when, it will take more.
    recovers: bool,
}

impl GrpcStatus {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        // 2: unknown.
        let code = text("grpc-status")?.parse().unwrap_or(2);
        let message = text("grpc-message").map(|text| percent_decode_str(text).decode_utf8_lossy().into_owned());
        let details = text("grpc-status-details-bin").and_then(details);
        let recovers = details.is_some_and(|bytes| has_retry_info(&bytes));
        Some(GrpcStatus { code, message: message.unwrap_or_default(), recovers })
    }

    fn judge(self) -> Result<(), Refusal> {
        let GrpcStatus { code, message, recovers } = self;
        // Cancelled, deadline exceeded, aborted, out of range, unavailable, data loss; resource exhausted if it passes.
        let retry = match code {
            0 => return Ok(()),
            8 => recovers,
            code => matches!(code, 1 | 4 | 10 | 11 | 14 | 15),
        };
        Err(Refusal { why: format!("gRPC status {code}: {message}"), retry, after: None })
    }
}

/// Binary headers are base64, padded or not.
fn details(text: &str) -> Option<Vec<u8>> {
    use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
    STANDARD_NO_PAD.decode(text.trim_end_matches('=')).ok()
}

/// Each detail of a status begins with the name of its type.
fn has_retry_info(details: &[u8]) -> bool {
    let name = b"google.rpc.RetryInfo";
    details.windows(name.len()).any(|window| window == name)
}

fn http_answer(status: u16, headers: &HeaderMap, body: &[u8]) -> Result<Option<PartialSuccess>, Refusal> {
    if (200..300).contains(&status) {
        return Ok(wire::rejected(body));
    }
    let after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let retry = matches!(status, 429 | 502..=504);
    Err(Refusal { why: format!("HTTP status {status}"), retry, after: after.map(Duration::from_secs) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(client: TracingClient, endpoint: &str) -> TracingConfig {
        TracingConfig {
            client,
            endpoint: endpoint.to_owned(),
            sampling_fraction: 1.0,
            insecure: true,
            tls: TlsConfig::default(),
            headers: Vec::new(),
            gzip: false,
            timeout: None,
        }
    }

    #[test]
    fn an_endpoint_is_a_host_and_a_port() {
        use TracingClient::{Grpc, Http};
        for (client, endpoint, want) in [
            (Grpc, "collector:4317", "collector:4317"),
            (Grpc, "collector", "collector:443"),
            (Grpc, "dns:///collector:4317", "collector:4317"),
            (Grpc, "[::1]:4317", "[::1]:4317"),
            (Grpc, "[::1]", "[::1]:443"),
            (Grpc, ":4317", "localhost:4317"),
            (Http, "collector:4318", "collector:4318"),
            (Http, "collector", "collector"),
        ] {
            assert_eq!(authority(&config(client, endpoint)).as_deref(), Ok(want), "{endpoint}");
        }
        for endpoint in ["http://collector:4318", "collector:4318/v1/traces", "user@collector:1", "unix:///socket"] {
            for client in [Grpc, Http] {
                let wrong = Err(SetupError::Endpoint(endpoint.to_owned()));
                assert_eq!(authority(&config(client, endpoint)), wrong, "{endpoint}");
            }
        }
    }

    #[test]
    fn of_a_header_the_first_value_is_sent_and_files_are_refused() {
        let plain = |text: &str| HeaderValueSource::Plain(text.to_owned());
        let mut config = config(TracingClient::Grpc, "c:1");
        config.headers = vec![("X-A".to_owned(), vec![plain("1"), plain("2")]), ("X-B".to_owned(), vec![])];
        let sent = headers(&config, TIMEOUT).unwrap();
        assert_eq!((sent.get("x-a").unwrap(), sent.get("x-b")), (&HeaderValue::from_static("1"), None));
        config.headers = vec![("X-C".to_owned(), vec![HeaderValueSource::File("/f".into())])];
        assert_eq!(headers(&config, TIMEOUT), Err(SetupError::HeaderFile("X-C".to_owned())));
        config.headers = vec![("X D".to_owned(), vec![plain("1")])];
        assert_eq!(headers(&config, TIMEOUT), Err(SetupError::Header("X D".to_owned())));
    }

    #[test]
    fn time_limits_have_eight_digits() {
        assert_eq!(grpc_timeout(TIMEOUT), "10000m");
        assert_eq!(grpc_timeout(Duration::from_secs(100_000)), "100000S");
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let judged = |code: u8, recovers| {
            GrpcStatus { code, message: String::new(), recovers }.judge().map_err(|refusal| refusal.retry)
        };
        assert_eq!(judged(0, false), Ok(()));
        for code in 1..=16 {
            assert_eq!(judged(code, false), Err([1, 4, 10, 11, 14, 15].contains(&code)), "{code}");
        }
        assert_eq!(judged(8, true), Err(true));
        let http = |status| http_answer(status, &HeaderMap::new(), b"").map_err(|refusal| refusal.retry);
        assert_eq!(
            (http(200).is_ok(), http(503).err(), http(400).err(), http(500).err()),
            (true, Some(true), Some(false), Some(false))
        );
    }

    #[test]
    fn a_status_may_say_that_it_passes() {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let mut headers = HeaderMap::new();
        headers.insert("grpc-status", HeaderValue::from_static("8"));
        headers.insert("grpc-message", HeaderValue::from_static("too%20much"));
        let status = GrpcStatus::of(&headers).unwrap();
        assert_eq!((status.message.as_str(), status.recovers), ("too much", false));
        let details = STANDARD.encode(b"\x08\x08\x1a\x2a\n\x28type.googleapis.com/google.rpc.RetryInfo");
        headers.insert("grpc-status-details-bin", HeaderValue::try_from(details).unwrap());
        assert!(GrpcStatus::of(&headers).unwrap().recovers);
    }
}
