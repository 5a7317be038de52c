//! Connections: taken in, shaken hands with, served, and brought to an end.
//!
//! HTTP/1.1 everywhere, HTTP/2 behind TLS only. Each connection is a task; a panic in a handler ends that
//! connection and nothing else. Bounds: connections at once, time for a TLS handshake, time for the head of a
//! request (idle connections included, long enough for the keep-alive of any client), size of the head.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{
    Request,
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use super::{file::Acceptor, rewake::Rewake, service::Service};
use crate::metrics::Metrics;

/// Connections at once, over all listeners. Above it, new ones wait to be accepted.
pub const CONNECTIONS_MAX: usize = 4096;

/// Connections at once where the process may have so many files open: half of them at most, because the disk, the peers
/// and the receivers need some whoever calls.
pub(super) fn connections_max(open_files_max: Option<u64>) -> usize {
    let half = open_files_max.map_or(usize::MAX, |max| usize::try_from(max / 2).unwrap_or(usize::MAX));
    half.clamp(1, CONNECTIONS_MAX)
}

const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// From the end of one request to the end of the next one's head. Prometheus keeps connections for 5 minutes.
const HEAD_TIME: Duration = Duration::from_secs(15 * 60);
const HEAD_BYTES_MAX: usize = 512 << 10;
const HTTP2_STREAMS_MAX: u32 = 250;
const HTTP2_HEADERS_BYTES_MAX: u32 = 64 << 10;
/// A client that takes nothing of its answer for so long is given up, and the place of its request is free.
#[cfg(target_os = "linux")]
const STALL_TIME: Duration = Duration::from_secs(60);
/// After a failure to accept, which may be for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all connections share.
pub(super) struct Server {
    pub service: Arc<Service>,
    /// `None`: plain HTTP.
    pub tls: Option<Acceptor>,
    pub metrics: Arc<Metrics>,
    pub places: Arc<Semaphore>,
}

impl Server {
    /// Serves `listener` until `stop` turns true, then lets the connections finish for at most `drain`.
    pub async fn run(self: Arc<Self>, listener: TcpListener, mut stop: watch::Receiver<bool>, drain: Duration) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                accepted = self.accept(&listener) => accepted,
            };
            match accepted {
                Ok((stream, from, place)) => {
                    let task = Arc::clone(&self).connection(stream, from, place, stop.clone());
                    connections.spawn(task);
                }
                Err(error) => {
                    tracing::warn!(err = %error, "Accepting a connection failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
            while let Some(ended) = connections.try_join_next() {
                report(&ended);
            }
        }
        drop(listener);
        let finished = async {
            while let Some(ended) = connections.join_next().await {
                report(&ended);
            }
        };
        if tokio::time::timeout(drain, finished).await.is_err() {
            tracing::warn!(connections = connections.len(), "Closing connections that did not finish in time");
            connections.shutdown().await;
        }
    }

    /// Waits for a place first, so that the rest stays in the system's queue.
    async fn accept(&self, listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let place = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => place,
            Err(_) => {
                self.metrics.http_limit_reached_total.with_label_values(&["connections"]).inc();
                Arc::clone(&self.places).acquire_owned().await.map_err(io::Error::other)?
            }
        };
        let (stream, from) = listener.accept().await?;
        Ok((stream, from, place))
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        from: SocketAddr,
        _place: OwnedSemaphorePermit,
        stop: watch::Receiver<bool>,
    ) {
        // Without it small answers may wait; that it cannot be set matters to nothing else.
        let _ = stream.set_nodelay(true);
        #[cfg(target_os = "linux")]
        let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(STALL_TIME));
        let Some(acceptor) = &self.tls else { return self.http1(stream, from, stop).await };
        let config = match acceptor.current() {
            Ok(config) => config,
            Err(error) => return tracing::error!(%from, err = %error, "TLS is not possible"),
        };
        match tokio::time::timeout(HANDSHAKE_TIME, TlsAcceptor::from(config).accept(stream)).await {
            Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => self.http2(stream, from, stop).await,
            Ok(Ok(stream)) => self.http1(stream, from, stop).await,
            Ok(Err(error)) => tracing::debug!(%from, err = %error, "TLS handshake error"),
            Err(_) => tracing::debug!(%from, "TLS handshake took too long"),
        }
    }

    async fn http1<S>(&self, stream: S, from: SocketAddr, mut stop: watch::Receiver<bool>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = self.hyper_service();
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(HEAD_BYTES_MAX)
            .title_case_headers(true)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = Rewake::new(connection);
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = stopped(&mut stop) => {
                std::pin::Pin::new(connection.inner()).graceful_shutdown();
                connection.await
            }
        };
        log_end(from, ended);
    }

    async fn http2<S>(&self, stream: S, from: SocketAddr, mut stop: watch::Receiver<bool>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = self.hyper_service();
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(HTTP2_STREAMS_MAX)
            .max_header_list_size(HTTP2_HEADERS_BYTES_MAX)
            .keep_alive_interval(HEAD_TIME)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = stopped(&mut stop) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        log_end(from, ended);
    }

    fn hyper_service(
        &self,
    ) -> impl hyper::service::Service<
        Request<Incoming>,
        Response = crate::api::Answer,
        Error = Infallible,
        Future: Future<Output = Result<crate::api::Answer, Infallible>> + Send + 'static,
    > + Send
    + 'static {
        let service = Arc::clone(&self.service);
        service_fn(move |request| {
            let service = Arc::clone(&service);
            async move { Ok(service.answer(request).await) }
        })
    }
}

/// Waits until the server is to stop; the sender's going away means the same.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Ends of connections are everyday life: clients go away as they like.
fn log_end(from: SocketAddr, ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        tracing::debug!(%from, err = %error, "Connection ended");
    }
}

/// A panic has ended a connection. What it said, the panic hook has logged.
fn report(ended: &Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(err = %error, "A request was dropped because its handler panicked");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_at_most_half_of_the_files_that_may_be_open() {
        assert_eq!(connections_max(Some(1024)), 512);
        assert_eq!(connections_max(Some(65_536)), CONNECTIONS_MAX);
        assert_eq!(connections_max(None), CONNECTIONS_MAX);
        assert_eq!(connections_max(Some(0)), 1);
    }
}
