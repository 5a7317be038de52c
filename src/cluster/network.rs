//! The seam to the network: datagrams, streams, name look-up. [`System`] is the machine's; [`super::sim`] has the
//! one of a simulation.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use futures_util::future::BoxFuture;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream, UdpSocket, lookup_host},
};

/// What a node needs of a network.
pub trait Network: Send + Sync + 'static {
    fn bind(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Datagrams>>>;
    fn listen(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>>;
    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Stream>>>;
    /// All addresses of a host.
    fn lookup<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>>;
    /// The machine's own address towards others, by preference.
    fn own_addresses(&self) -> Vec<IpAddr>;
}

pub trait Datagrams: Send + Sync {
    /// Sends or drops; never waits.
    fn send(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()>;
    fn receive<'a>(&'a self, buffer: &'a mut [u8]) -> BoxFuture<'a, io::Result<(usize, SocketAddr)>>;
    fn local(&self) -> io::Result<SocketAddr>;
}

pub trait Listener: Send {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Box<dyn Stream>, SocketAddr)>>;
    fn local(&self) -> io::Result<SocketAddr>;
}

pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The network of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

/// Half of what the reference asks for; the kernel may give less.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;
const BACKLOG: u32 = 1024;

impl Network for System {
    fn bind(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Datagrams>>> {
        Box::pin(async move {
            let socket = UdpSocket::bind(at).await?;
            // A small buffer costs resends, not correctness.
            let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
            Ok(Box::new(socket) as Box<dyn Datagrams>)
        })
    }

    fn listen(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let socket = if at.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            // A restart must not wait for old connections to be forgotten.
            socket.set_reuseaddr(true)?;
            socket.bind(at)?;
            Ok(Box::new(socket.listen(BACKLOG)?) as Box<dyn Listener>)
        })
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let stream = TcpStream::connect(to).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }

    fn lookup<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(lookup_host((host, port)).await?.collect()) })
    }

    fn own_addresses(&self) -> Vec<IpAddr> {
        // Connecting a datagram socket sends nothing: it only asks which address the route starts from.
        let towards = |own: &str, other: &str| -> io::Result<IpAddr> {
            let socket = std::net::UdpSocket::bind(own)?;
            socket.connect(other)?;
            Ok(socket.local_addr()?.ip())
        };
        [("0.0.0.0:0", "192.0.2.1:9"), ("0.0.0.0:0", "10.0.0.1:9"), ("[::]:0", "[2001:db8::1]:9")]
            .iter()
            .filter_map(|(own, other)| towards(own, other).ok())
            .collect()
    }
}

impl Datagrams for UdpSocket {
    fn send(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        self.try_send_to(bytes, to).map(|_| ())
    }

    fn receive<'a>(&'a self, buffer: &'a mut [u8]) -> BoxFuture<'a, io::Result<(usize, SocketAddr)>> {
        Box::pin(self.recv_from(buffer))
    }

    fn local(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

impl Listener for TcpListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Box<dyn Stream>, SocketAddr)>> {
        Box::pin(async move {
            let (stream, from) = TcpListener::accept(self).await?;
            stream.set_nodelay(true)?;
            Ok((Box::new(stream) as Box<dyn Stream>, from))
        })
    }

    fn local(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}
