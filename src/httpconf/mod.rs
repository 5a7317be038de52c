//! The HTTP client of every integration: one `http_config` block, made ready to send.
//!
//! In comes a checked [`HttpConfig`]; out goes a [`Client`] that authenticates, follows redirects, goes through
//! proxies, keeps connections and speaks TLS as the reference does (reference/configuration.md 8). A request
//! either gets a [`Response`], whatever its status, or an [`HttpError`] that says whether anything may have
//! reached the other side and whose text never holds a URL or a secret.
//!
//! This room knows nothing of alerts or notifications.
//!
//! How a request travels: [`Client::send`] walks the redirects; for each hop [`auth`] and the custom headers are
//! added, [`proxy`] says which way to go, [`tls`] gives the current certificates, and [`pool`] hands out an open
//! connection or has [`connect`] make one.

mod auth;
mod channel;
mod client;
mod connect;
mod error;
mod happy;
mod jwt;
mod oauth2;
mod pool;
mod proxy;
mod rehearsal;
mod secret;
mod socks;
mod target;
mod tls;
mod verify;

#[cfg(test)]
pub(crate) mod tests;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header::CONTENT_TYPE};
use prometheus::{IntCounterVec, Opts};

pub use channel::Channel;
pub use client::Client;
pub use error::{ErrorKind, HttpConfigError, HttpError};
pub use proxy::ProxyEnvironment;
pub use rehearsal::Rehearsal;
pub use secret::{SecretError, read_secret, read_secret_now, read_text_file};
pub use tls::client_config;

use crate::{clock::Clock, random::Random};

/// What all clients of a process share.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Sent with every request that brings none of its own, e.g. `Alertmanager/0.33.1`.
    pub user_agent: String,
    pub clock: Clock,
    pub random: Random,
    pub dials: DialMetrics,
    /// For `proxy_from_environment`.
    pub proxy_environment: ProxyEnvironment,
    /// Given: clients send nothing and say what they would send.
    pub rehearsal: Option<Rehearsal>,
}

/// One request. Redirects may turn it into several.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    /// Absolute, `http` or `https`; used as it is, only what cannot stand in a request line is escaped.
    pub url: String,
    /// `User-Agent` and `Authorization` given here win over the client's own.
    pub headers: HeaderMap,
    pub body: Bytes,
    /// For the whole exchange, the answer's body included.
    pub timeout: Option<Duration>,
    /// Whether the answer's body matters on success. If not, [`Client::send`] returns as soon as a 2xx status
    /// is there; bodies of other statuses are always read, for the error text.
    pub body_wanted: bool,
}

impl Request {
    /// `POST` of a JSON body whose answer matters by its status only.
    #[must_use]
    pub fn post_json(url: String, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Request { method: Method::POST, url, headers, body: body.into(), timeout: None, body_wanted: false }
    }

    /// `GET` whose answer's body is read.
    #[must_use]
    pub fn get(url: String) -> Self {
        Request {
            method: Method::GET,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            timeout: None,
            body_wanted: true,
        }
    }
}

/// The final answer of an exchange, after redirects.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: HeaderMap,
    /// At most 64 KiB of it, or what [`Client::fetch`] was told; empty if the body was not wanted.
    pub body: Bytes,
    /// `false`: the body was longer, broke off, or was not waited for.
    pub body_complete: bool,
    /// What the request showed the server in headers that nobody else may see; an answer may repeat it.
    pub sent_secrets: Vec<HeaderValue>,
}

/// `net_conntrack_dialer_conn_*_total`: label `dialer_name`, and `reason` on `failed`.
#[derive(Clone, Debug)]
pub struct DialMetrics {
    pub attempted: IntCounterVec,
    pub established: IntCounterVec,
    pub closed: IntCounterVec,
    pub failed: IntCounterVec,
}

impl DialMetrics {
    /// Counters that no registry knows, for tools and tests.
    ///
    /// # Errors
    /// None in practice: the names are constant and valid.
    pub fn unregistered() -> Result<Self, prometheus::Error> {
        let vec = |name: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, "Outgoing connections."), labels);
        Ok(DialMetrics {
            attempted: vec("attempted", &["dialer_name"])?,
            established: vec("established", &["dialer_name"])?,
            closed: vec("closed", &["dialer_name"])?,
            failed: vec("failed", &["dialer_name", "reason"])?,
        })
    }
}
