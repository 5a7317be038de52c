//! Opening a connection: dial, tunnel through a proxy, shake hands.
//!
//! What comes out is a byte stream that ends at the server (or at a proxy that takes plain requests), and which
//! HTTP version was agreed on. Everything here happens before a request is written, so every failure is one
//! after which the message has certainly not been sent.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderName, HeaderValue};
use prometheus::IntCounter;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{
    DialMetrics,
    error::{ErrorKind, Failure, io_text},
    happy::{DialFailure, dial},
    proxy::{ProxyKind, ProxyServer},
    socks,
    target::{Target, join_host_port},
    tls::{TlsNow, TlsSetup},
    verify::tls_text,
};

const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// For a proxy's answer to CONNECT, or its SOCKS dialogue.
const PROXY_TIMEOUT: Duration = Duration::from_mins(1);
/// A proxy's answer to CONNECT has no reason to be longer.
const PROXY_ANSWER_BYTES_MAX: usize = 16 << 10;

/// A byte stream over TCP, TLS, or TLS within TLS.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

pub(super) struct Connection {
    pub io: Box<dyn Io>,
    pub http2: bool,
}

/// What opens the connections of one client.
#[derive(Debug)]
pub(super) struct Connector {
    pub dials: Dials,
    pub user_agent: HeaderValue,
    /// `proxy_connect_header`.
    pub tunnel_headers: Vec<(HeaderName, HeaderValue)>,
    pub tls: Arc<TlsSetup>,
}

impl Connector {
    /// `tls` must be there for an https target and for an https proxy.
    pub(super) async fn connect(
        &self,
        target: &Target,
        proxy: Option<&ProxyServer>,
        tls: Option<&TlsNow>,
    ) -> Result<Connection, Failure> {
        let io = match proxy {
            None => self.dial(&target.host, target.port).await?,
            Some(proxy) => self.through(proxy, target, tls).await?,
        };
        if !target.https {
            return Ok(Connection { io, http2: false });
        }
        let config = Arc::clone(&needed(tls)?.config);
        handshake(config, self.tls.name_for(&target.host)?, io).await
    }

    async fn through(
        &self,
        proxy: &ProxyServer,
        target: &Target,
        tls: Option<&TlsNow>,
    ) -> Result<Box<dyn Io>, Failure> {
        let as_proxy_failure =
            |failure: Failure| Failure { text: format!("proxyconnect tcp: {}", failure.text), ..failure };
        let mut io = self.dial(&proxy.host, proxy.port).await.map_err(as_proxy_failure)?;
        if proxy.kind == ProxyKind::Https {
            let mut config = needed(tls)?.config.as_ref().clone();
            config.alpn_protocols.clear();
            let name = self.tls.name_for(&proxy.host)?;
            io = handshake(Arc::new(config), name, io).await.map_err(as_proxy_failure)?.io;
        }
        let opened = match proxy.kind {
            ProxyKind::Socks5 => {
                let dialogue = socks::connect(&mut io, proxy.user_info.as_ref(), &target.host, target.port);
                timeout(PROXY_TIMEOUT, dialogue).await
            }
            _ if target.https => timeout(PROXY_TIMEOUT, self.tunnel(&mut io, proxy, target)).await,
            // A plain request goes to the proxy as it is.
            _ => return Ok(io),
        };
        match opened {
            Ok(Ok(())) => Ok(io),
            Ok(Err(text)) => Err(Failure::new(ErrorKind::Proxy, text)),
            Err(_) => Err(Failure::new(ErrorKind::Proxy, "proxyconnect tcp: the proxy does not answer")),
        }
    }

    async fn dial(&self, host: &str, port: u16) -> Result<Box<dyn Io>, Failure> {
        self.dials.attempted.inc();
        match dial(host, port).await {
            Ok(stream) => {
                self.dials.established.inc();
                Ok(Box::new(Counted { stream, closed: self.dials.closed.clone() }))
            }
            Err((reason, text)) => {
                self.dials.failed(reason).inc();
                let kind = if reason == DialFailure::Resolution { ErrorKind::Resolve } else { ErrorKind::Connect };
                Err(Failure::new(kind, text))
            }
        }
    }

    /// Asks the proxy for a tunnel to the target.
    async fn tunnel(&self, io: &mut Box<dyn Io>, proxy: &ProxyServer, target: &Target) -> Result<(), String> {
        let broken = |error: io::Error| format!("proxyconnect tcp: {}", io_text(&error));
        io.write_all(&self.tunnel_request(proxy, target)).await.map_err(broken)?;
        io.flush().await.map_err(broken)?;
        let answer = read_head(io).await.map_err(broken)?;
        let line = answer.split(|b| *b == b'\r' || *b == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        match line.split_once(' ') {
            Some((version, rest)) if version.starts_with("HTTP/1.") => {
                if rest.starts_with('2') {
                    return Ok(());
                }
                let words = rest.split_once(' ').map_or(rest, |(_, words)| words);
                Err(if words.is_empty() { format!("proxy answered {rest}") } else { words.to_owned() })
            }
            _ => Err("proxyconnect tcp: malformed HTTP response".to_owned()),
        }
    }

    fn tunnel_request(&self, proxy: &ProxyServer, target: &Target) -> Vec<u8> {
        let to = join_host_port(&target.host, target.port);
        let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n").into_bytes();
        let mut header = |name: &str, value: &HeaderValue| {
            for part in [name.as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                request.extend_from_slice(part);
            }
        };
        let is_set = |name: &str| self.tunnel_headers.iter().any(|(set, _)| set == name);
        if !is_set("user-agent") {
            header("User-Agent", &self.user_agent);
        }
        for (name, value) in &self.tunnel_headers {
            header(name.as_str(), value);
        }
        if let Some(value) = &proxy.authorization {
            header("Proxy-Authorization", value);
        }
        request.extend_from_slice(b"\r\n");
        request
    }
}

fn needed(tls: Option<&TlsNow>) -> Result<&TlsNow, Failure> {
    tls.ok_or_else(|| Failure::new(ErrorKind::Tls, "tls: not configured"))
}

async fn handshake(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    io: Box<dyn Io>,
) -> Result<Connection, Failure> {
    match timeout(TLS_HANDSHAKE_TIMEOUT, TlsConnector::from(config).connect(name, io)).await {
        Ok(Ok(stream)) => {
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            Ok(Connection { io: Box::new(stream), http2 })
        }
        Ok(Err(error)) => Err(Failure::new(ErrorKind::Tls, handshake_text(&error))),
        Err(_) => Err(Failure::new(ErrorKind::Tls, "net/http: TLS handshake timeout")),
    }
}

fn handshake_text(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(inner) => tls_text(inner),
        None => io_text(error),
    }
}

/// Up to the empty line. After a tunnel is granted the server waits for us, so nothing can follow it.
async fn read_head(io: &mut Box<dyn Io>) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(256);
    while !head.ends_with(b"\r\n\r\n") && !head.ends_with(b"\n\n") {
        if head.len() >= PROXY_ANSWER_BYTES_MAX {
            return Err(io::Error::other("the proxy's answer is too long"));
        }
        head.push(io.read_u8().await?);
    }
    Ok(head)
}

/// This client's series of the dialer counters, all present from the start.
#[derive(Debug)]
pub(super) struct Dials {
    attempted: IntCounter,
    established: IntCounter,
    closed: IntCounter,
    failed: [(DialFailure, IntCounter); 4],
}

impl Dials {
    pub(super) fn new(metrics: &DialMetrics, name: &str) -> Self {
        Dials {
            attempted: metrics.attempted.with_label_values(&[name]),
            established: metrics.established.with_label_values(&[name]),
            closed: metrics.closed.with_label_values(&[name]),
            failed: DialFailure::ALL.map(|reason| (reason, metrics.failed.with_label_values(&[name, reason.as_str()]))),
        }
    }

    fn failed(&self, reason: DialFailure) -> &IntCounter {
        let found = self.failed.iter().find(|(known, _)| *known == reason);
        // `ALL` names every reason; the last is the catch-all.
        &found.unwrap_or(&self.failed[3]).1
    }
}

/// A TCP stream that counts its own end.
struct Counted {
    stream: TcpStream,
    closed: IntCounter,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.closed.inc();
    }
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
