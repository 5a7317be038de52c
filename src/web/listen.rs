//! Opening the sockets: addresses as Alertmanager's flag takes them, and those that systemd hands over.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::cli::{HostPort, HostPortError};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// A socket to listen on could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("listen tcp: {0}")]
    Address(#[from] HostPortError),
    #[error("listen {0}: sockets of virtual machines (vsock) are not supported; use a TCP address")]
    Vsock(String),
    #[error("listen tcp: lookup {host}: {source}")]
    Lookup { host: String, source: io::Error },
    #[error("listen tcp {address}: {source}")]
    Bind { address: String, source: io::Error },
    #[error(
        "no socket activation file descriptors found: start this with a systemd socket unit, or without --web.systemd-socket"
    )]
    NoSystemdSockets,
    #[error("socket activation file descriptor {index}: {source}")]
    SystemdSocket { index: usize, source: io::Error },
    #[error("no --web.listen-address is given")]
    Nothing,
}

/// Opens all `addresses`, in their order.
pub(super) async fn open(addresses: &[String]) -> Result<Vec<TcpListener>, ListenError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        listeners.push(open_one(address).await?);
    }
    if listeners.is_empty() { Err(ListenError::Nothing) } else { Ok(listeners) }
}

async fn open_one(text: &str) -> Result<TcpListener, ListenError> {
    if text.starts_with("vsock://") {
        return Err(ListenError::Vsock(text.to_owned()));
    }
    let address: HostPort = text.parse()?;
    let bound = if address.host.is_empty() { bind_everywhere(address.port) } else { bind(resolve(&address).await?) };
    let to_error = |source| ListenError::Bind { address: text.to_owned(), source };
    bound.and_then(TcpListener::from_std).map_err(to_error)
}

/// Of a name's addresses the first of version 4, else the first.
async fn resolve(address: &HostPort) -> Result<SocketAddr, ListenError> {
    if let Some(ip) = address.ip() {
        return Ok(SocketAddr::new(ip, address.port));
    }
    let to_error = |source| ListenError::Lookup { host: address.host.clone(), source };
    let found: Vec<SocketAddr> =
        tokio::net::lookup_host((address.host.as_str(), address.port)).await.map_err(to_error)?.collect();
    let chosen = found.iter().find(|found| found.is_ipv4()).or(found.first());
    chosen.copied().ok_or_else(|| to_error(io::Error::new(io::ErrorKind::NotFound, "no such host")))
}

/// One socket for both versions of IP; version 4 alone where the machine has no other.
fn bind_everywhere(port: u16) -> io::Result<std::net::TcpListener> {
    bind(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)).or_else(|error| match error.kind() {
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Err(error),
        _ => bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)),
    })
}

fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The sockets that systemd opened for this process (`LISTEN_FDS`).
pub(super) fn from_systemd() -> Result<Vec<TcpListener>, ListenError> {
    let mut handed = listenfd::ListenFd::from_env();
    let mut listeners = Vec::new();
    for index in 0..handed.len() {
        let to_error = |source| ListenError::SystemdSocket { index, source };
        if let Some(listener) = handed.take_tcp_listener(index).map_err(to_error)? {
            listener.set_nonblocking(true).map_err(to_error)?;
            listeners.push(TcpListener::from_std(listener).map_err(to_error)?);
        }
    }
    if listeners.is_empty() { Err(ListenError::NoSystemdSockets) } else { Ok(listeners) }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn opened(address: &str) -> Result<SocketAddr, String> {
        let listeners = open(&[address.to_owned()]).await.map_err(|error| error.to_string())?;
        Ok(listeners[0].local_addr().unwrap())
    }

    #[tokio::test]
    async fn an_address_without_host_takes_both_versions_of_ip() {
        let listeners = open(&[":0".to_owned()]).await.unwrap();
        let address = listeners[0].local_addr().unwrap();
        assert!(tokio::net::TcpStream::connect(("127.0.0.1", address.port())).await.is_ok());
        if address.is_ipv6() {
            assert!(tokio::net::TcpStream::connect((Ipv6Addr::LOCALHOST, address.port())).await.is_ok());
        }
    }

    #[tokio::test]
    async fn brackets_may_stand_around_version_4() {
        assert_eq!(opened("[127.0.0.1]:0").await.unwrap().ip(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert!(opened("localhost:0").await.is_ok());
    }

    #[tokio::test]
    async fn what_cannot_be_listened_on_is_named() {
        assert!(opened("vsock://:9093").await.unwrap_err().contains("vsock"));
        assert_eq!(opened("9093").await.unwrap_err(), "listen tcp: address 9093: missing port in address");
        let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = held.local_addr().unwrap().port();
        assert!(opened(&format!("127.0.0.1:{port}")).await.unwrap_err().contains("in use"));
    }
}
