//! The byte stream under an SMTP connection, and how lettre is made to leave the dialogue to us.
//!
//! lettre's connection reads the greeting and sends EHLO by itself as soon as it exists, keeps of the answer
//! only what it knows (no order of AUTH mechanisms, no CRAM-MD5) and has no HELO. So a [`Wire`] first plays a
//! short prologue: lettre gets a greeting and an EHLO answer from here, and what it writes meanwhile goes
//! nowhere. From then on every byte is the server's, and every command ours, through `command()`.
//!
//! TLS is ours as well: lettre's parameters know neither a highest version nor the certificates and rules of
//! `tls_config` that all integrations share; and its own STARTTLS keeps what it had read before the handshake,
//! so that somebody in between could put replies into the protected part. Here a new connection, with empty
//! buffers, begins after the handshake.
//!
//! What a server says is made ASCII, and a line that never ends is an error: neither strange bytes in a reply
//! nor a hostile peer stop a mail or fill the memory.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use lettre::transport::smtp::{
    Error,
    client::{AsyncSmtpConnection, AsyncTokioStream},
    extension::ClientId,
};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// What lettre reads instead of a server's first words: one entry a read.
const PROLOGUE: &[&str] = &["220 here\r\n", "250 here\r\n"];

/// More than any server's line; lettre itself refuses what is over 1,000.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// A connection to a server, in the clear or not. Cloned into the [`Wire`] that lettre owns.
#[derive(Clone, Debug)]
pub(super) struct Line(Arc<Mutex<Socket>>);

#[derive(Debug)]
enum Socket {
    Clear(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
    /// During a handshake, and for ever after one that failed.
    Gone,
}

impl Line {
    pub(super) fn new(stream: TcpStream) -> Self {
        Line(Arc::new(Mutex::new(Socket::Clear(stream))))
    }

    fn socket(&self) -> MutexGuard<'_, Socket> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Turns the line into an encrypted one.
    pub(super) async fn encrypt(&self, config: Arc<ClientConfig>, name: ServerName<'static>) -> io::Result<()> {
        let socket = std::mem::replace(&mut *self.socket(), Socket::Gone);
        let Socket::Clear(stream) = socket else { return Err(io::ErrorKind::NotConnected.into()) };
        let stream = TlsConnector::from(config).connect(name, stream).await?;
        *self.socket() = Socket::Encrypted(Box::new(stream));
        Ok(())
    }

    pub(super) fn is_encrypted(&self) -> bool {
        matches!(*self.socket(), Socket::Encrypted(_))
    }

    /// lettre's connection over this line, with nothing said yet and nothing read.
    pub(super) async fn connection(&self) -> Result<AsyncSmtpConnection, Error> {
        let wire = Wire { line: self.clone(), prologue: PROLOGUE, line_bytes: 0 };
        AsyncSmtpConnection::connect_with_transport(Box::new(wire), &ClientId::Domain(String::new())).await
    }
}

/// A [`Line`] as lettre sees it.
#[derive(Debug)]
struct Wire {
    line: Line,
    /// What is left of [`PROLOGUE`].
    prologue: &'static [&'static str],
    /// Received since the last line break.
    line_bytes: usize,
}

impl Wire {
    /// Makes what was received harmless.
    fn inspect(&mut self, received: &mut [u8]) -> io::Result<()> {
        for byte in received {
            self.line_bytes = if *byte == b'\n' { 0 } else { self.line_bytes + 1 };
            if !byte.is_ascii() {
                *byte = b'?';
            }
        }
        if self.line_bytes > LINE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the server sent a line without an end"));
        }
        Ok(())
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some((words, rest)) = self.prologue.split_first() {
            buffer.put_slice(words.as_bytes());
            self.prologue = rest;
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(match &mut *self.line.socket() {
            Socket::Clear(stream) => Pin::new(stream).poll_read(cx, buffer),
            Socket::Encrypted(stream) => Pin::new(stream.as_mut()).poll_read(cx, buffer),
            Socket::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        })?;
        let received = buffer.filled_mut().get_mut(before..).unwrap_or_default();
        if received.is_empty() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection")));
        }
        Poll::Ready(self.inspect(received))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.prologue.is_empty() {
            return Poll::Ready(Ok(bytes.len()));
        }
        match &mut *self.line.socket() {
            Socket::Clear(stream) => Pin::new(stream).poll_write(cx, bytes),
            Socket::Encrypted(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
            Socket::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.line.socket() {
            Socket::Clear(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Encrypted(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
            Socket::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.line.socket() {
            Socket::Clear(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Encrypted(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
            Socket::Gone => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncTokioStream for Wire {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &*self.line.socket() {
            Socket::Clear(stream) => stream.peer_addr(),
            Socket::Encrypted(stream) => stream.get_ref().0.peer_addr(),
            Socket::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}
