//! One TCP connection to a name: all its addresses are tried, the next one early when the one before is slow.

use std::{io, net::SocketAddr, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::net::{TcpSocket, TcpStream};

use super::error::io_text;

/// How long an address may be silent before the next is tried beside it.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(300);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;
/// How long one address may stay silent; the system's own limit is over two minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Probes on idle connections, so that a vanished peer is noticed.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Label `reason` of `net_conntrack_dialer_conn_failed_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DialFailure {
    Resolution,
    Refused,
    Timeout,
    Unknown,
}

impl DialFailure {
    pub(super) const ALL: [DialFailure; 4] =
        [DialFailure::Resolution, DialFailure::Refused, DialFailure::Timeout, DialFailure::Unknown];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            DialFailure::Resolution => "resolution",
            DialFailure::Refused => "refused",
            DialFailure::Timeout => "timeout",
            DialFailure::Unknown => "unknown",
        }
    }

    fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => DialFailure::Refused,
            io::ErrorKind::TimedOut => DialFailure::Timeout,
            _ => DialFailure::Unknown,
        }
    }
}

/// Connects to `host:port`.
pub(super) async fn dial(host: &str, port: u16) -> Result<TcpStream, (DialFailure, String)> {
    let found = tokio::net::lookup_host((host, port)).await;
    let addresses: Vec<SocketAddr> = found
        .map(|all| all.take(ADDRESSES_MAX).collect())
        .map_err(|error| (DialFailure::Resolution, format!("dial tcp: lookup {host}: {}", lookup_text(&error))))?;
    if addresses.is_empty() {
        return Err((DialFailure::Resolution, format!("dial tcp: lookup {host}: no such host")));
    }
    let (address, error) = match race(&addresses).await {
        Ok(stream) => return Ok(stream),
        Err(failed) => failed,
    };
    Err((DialFailure::of(&error), format!("dial tcp {address}: connect: {}", io_text(&error))))
}

/// The first address that answers; else the first error.
async fn race(addresses: &[SocketAddr]) -> Result<TcpStream, (SocketAddr, io::Error)> {
    let mut waiting = addresses.iter().copied();
    let mut running = FuturesUnordered::new();
    let mut first_error = None;
    running.extend(waiting.next().map(connect));
    loop {
        let more = waiting.len() > 0;
        tokio::select! {
            biased;
            done = running.next() => match done {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(failed)) => {
                    first_error.get_or_insert(failed);
                    running.extend(waiting.next().map(connect));
                }
                None => break,
            },
            () = tokio::time::sleep(NEXT_ADDRESS_AFTER), if more => running.extend(waiting.next().map(connect)),
        }
    }
    let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
    Err(first_error.unwrap_or_else(|| (unspecified, io::ErrorKind::AddrNotAvailable.into())))
}

async fn connect(address: SocketAddr) -> Result<TcpStream, (SocketAddr, io::Error)> {
    let attempt = async {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.connect(address).await
    };
    let timed = tokio::time::timeout(CONNECT_TIMEOUT, attempt).await;
    let stream = timed.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(|error| (address, error))?;
    // Both only tune: without them the connection works.
    let _ = stream.set_nodelay(true);
    let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    let _ = socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive);
    Ok(stream)
}

fn lookup_text(error: &io::Error) -> String {
    let text = io_text(error);
    let unknown = ["Name or service not known", "No address associated", "nodename nor servname"];
    if unknown.iter().any(|known| text.contains(known)) { "no such host".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refused_address_is_followed_by_the_next() {
        let open = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let stream = race(&[closed, open.local_addr().unwrap()]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open.local_addr().unwrap());
    }

    #[tokio::test]
    async fn refusal_names_the_address() {
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let (reason, text) = dial("127.0.0.1", closed.port()).await.unwrap_err();
        assert_eq!(reason, DialFailure::Refused);
        assert_eq!(text, format!("dial tcp {closed}: connect: connection refused"));
    }
}
