//! Open connections of one client, kept for the next request.
//!
//! An HTTP/1 connection is lent to one request at a time and comes back when its answer has been read; an HTTP/2
//! connection is shared. Idle ones are closed after five minutes, and when there are too many, the oldest first.
//! Our own pool, and not the one of hyper-util, because it bounds the number over all hosts (webhook URLs are
//! templates), and because it knows for certain whether a request was written.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::Instant;

use super::{
    connect::Connection,
    error::{ErrorKind, Failure},
    proxy::{ProxyKind, ProxyServer},
    target::Target,
};
use crate::clock::Clock;

const IDLE_TIME_MAX: Duration = Duration::from_mins(5);
/// Idle connections of one client, over all hosts.
const IDLE_COUNT_MAX: usize = 64;
const REAP_EVERY: Duration = Duration::from_mins(1);
/// HTTP/2 connections are probed after a minute of silence, as Go's are.
const HTTP2_PING_AFTER: Duration = Duration::from_mins(1);
const HTTP2_PONG_WITHIN: Duration = Duration::from_secs(15);

/// Which requests a connection can carry.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Key {
    https: bool,
    host: String,
    port: u16,
    via: Option<Arc<ProxyServer>>,
    /// Of the TLS configuration; 0 without TLS.
    tls_generation: u64,
}

impl Key {
    pub(super) fn new(target: &Target, via: Option<&Arc<ProxyServer>>, tls_generation: u64) -> Self {
        // To an HTTP proxy, plain requests for all hosts go over the same connections.
        let carrier = via.filter(|proxy| !target.https && proxy.kind != ProxyKind::Socks5);
        let (host, port) = carrier.map_or((&target.host, target.port), |proxy| (&proxy.host, proxy.port));
        Key { https: target.https, host: host.clone(), port, via: via.cloned(), tls_generation }
    }
}

type Body = Full<Bytes>;

/// A connection that is ours to send on.
pub(super) enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

impl Sender {
    /// Makes an open byte stream into an HTTP connection, driven by a task of its own.
    pub(super) async fn open(connection: Connection) -> Result<Self, Failure> {
        let io = TokioIo::new(connection.io);
        let broken = |error: hyper::Error| Failure::new(ErrorKind::Connect, error.to_string());
        // What ends a connection shows in the request that used it; an idle one may end as it likes.
        if connection.http2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.timer(TokioTimer::new());
            builder.keep_alive_interval(HTTP2_PING_AFTER).keep_alive_timeout(HTTP2_PONG_WITHIN);
            let (sender, driver) = builder.handshake(io).await.map_err(broken)?;
            tokio::spawn(async move { drop(driver.await) });
            return Ok(Sender::Http2(sender));
        }
        let (sender, driver) = http1::Builder::new().title_case_headers(true).handshake(io).await.map_err(broken)?;
        tokio::spawn(async move { drop(driver.await) });
        Ok(Sender::Http1(sender))
    }

    pub(super) fn is_http2(&self) -> bool {
        matches!(self, Sender::Http2(_))
    }

    pub(super) async fn ready(&mut self) -> Result<(), hyper::Error> {
        match self {
            Sender::Http1(sender) => sender.ready().await,
            Sender::Http2(sender) => sender.ready().await,
        }
    }

    /// An error that gives the request back means that nothing of it was written.
    #[allow(clippy::result_large_err, reason = "hyper's own type; taken apart by the only caller")]
    pub(super) async fn try_send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
        match self {
            Sender::Http1(sender) => sender.try_send_request(request).await,
            Sender::Http2(sender) => sender.try_send_request(request).await,
        }
    }

    fn is_closed(&self) -> bool {
        match self {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        }
    }
}

/// A connection in use.
pub(super) struct Lease {
    pub key: Key,
    pub sender: Sender,
    /// It may have died unnoticed since it was last used.
    pub reused: bool,
}

struct Idle {
    key: Key,
    sender: Sender,
    since: Instant,
}

#[derive(Default)]
struct State {
    /// HTTP/1, longest idle first; HTTP/2, one for each key, while in use too.
    idle: Vec<Idle>,
    reaping: bool,
}

pub(super) struct Pool {
    clock: Clock,
    state: Mutex<State>,
}

impl Pool {
    pub(super) fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Pool { clock, state: Mutex::default() })
    }

    /// A connection for `key` that seemed open when last looked at; the one used last, if there are several.
    pub(super) fn checkout(&self, key: &Key) -> Option<Lease> {
        let now = self.clock.monotonic();
        let mut state = self.lock();
        loop {
            let index = state.idle.iter().rposition(|idle| idle.key == *key)?;
            let found = state.idle.get_mut(index)?;
            let fresh = !found.sender.is_closed() && now.saturating_duration_since(found.since) < IDLE_TIME_MAX;
            match &found.sender {
                Sender::Http2(sender) if fresh => {
                    let sender = Sender::Http2(sender.clone());
                    found.since = now;
                    return Some(Lease { key: key.clone(), sender, reused: true });
                }
                _ => {
                    let Idle { key, sender, .. } = state.idle.remove(index);
                    if fresh {
                        return Some(Lease { key, sender, reused: true });
                    }
                }
            }
        }
    }

    /// Takes back an HTTP/1 connection whose answer has been read, or makes a new HTTP/2 connection known.
    pub(super) fn give_back(self: &Arc<Self>, lease: Lease) {
        let Lease { key, sender, reused } = lease;
        if sender.is_closed() || (sender.is_http2() && reused) {
            return;
        }
        let mut state = self.lock();
        if sender.is_http2() {
            state.idle.retain(|idle| idle.key != key);
        }
        if state.idle.len() >= IDLE_COUNT_MAX {
            state.idle.remove(0);
        }
        state.idle.push(Idle { key, sender, since: self.clock.monotonic() });
        if !std::mem::replace(&mut state.reaping, true) {
            tokio::spawn(reap(Arc::downgrade(self)));
        }
    }

    /// A new HTTP/2 connection serves others at once.
    pub(super) fn share(self: &Arc<Self>, lease: &Lease) {
        if let Sender::Http2(sender) = &lease.sender {
            self.give_back(Lease { key: lease.key.clone(), sender: Sender::Http2(sender.clone()), reused: false });
        }
    }

    /// Closes idle connections that were made under an older TLS configuration.
    pub(super) fn forget_before(&self, tls_generation: u64) {
        self.lock().idle.retain(|idle| idle.key.tls_generation == 0 || idle.key.tls_generation >= tls_generation);
    }

    /// Removes what is over; says whether anything is left to watch.
    fn sweep(&self) -> bool {
        let now = self.clock.monotonic();
        let mut state = self.lock();
        state.idle.retain(|idle| !idle.sender.is_closed() && now.saturating_duration_since(idle.since) < IDLE_TIME_MAX);
        state.reaping = !state.idle.is_empty();
        state.reaping
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs while there are idle connections, and no longer than the pool.
async fn reap(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(REAP_EVERY).await;
        match pool.upgrade() {
            Some(pool) if pool.sweep() => {}
            _ => return,
        }
    }
}
