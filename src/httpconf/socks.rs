//! SOCKS5 (RFC 1928, 1929), the client's side: names are resolved by the proxy.

use std::{io, net::IpAddr};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::error::io_text;

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const CONNECT: u8 = 1;

/// Has the proxy at the other end of `stream` connect to `host:port`.
pub(super) async fn connect<S>(
    stream: &mut S,
    user_info: Option<&(String, String)>,
    host: &str,
    port: u16,
) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = connect_request(host, port)?;
    let user_info = user_info.map(|(user, password)| login_request(user, password)).transpose()?;
    negotiate(stream, user_info, &request).await.map_err(|error| match error {
        Broken::Io(error) => format!("socks connect: {}", io_text(&error)),
        Broken::Refused(why) => format!("socks connect: {why}"),
    })
}

enum Broken {
    Io(io::Error),
    Refused(&'static str),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Broken::Io(error)
    }
}

async fn negotiate<S>(stream: &mut S, login: Option<Vec<u8>>, request: &[u8]) -> Result<(), Broken>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let greeting: &[u8] = match login {
        Some(_) => &[VERSION, 2, NO_AUTHENTICATION, USER_AND_PASSWORD],
        None => &[VERSION, 1, NO_AUTHENTICATION],
    };
    stream.write_all(greeting).await?;
    let [version, method] = read(stream).await?;
    match (version, method, login) {
        (VERSION, NO_AUTHENTICATION, _) => {}
        (VERSION, USER_AND_PASSWORD, Some(login)) => {
            stream.write_all(&login).await?;
            let [_, status] = read(stream).await?;
            if status != 0 {
                return Err(Broken::Refused("username/password authentication failed"));
            }
        }
        (VERSION, _, _) => return Err(Broken::Refused("no acceptable authentication methods")),
        _ => return Err(Broken::Refused("unexpected protocol version")),
    }
    stream.write_all(request).await?;
    let [version, reply, _, address_type] = read(stream).await?;
    if version != VERSION {
        return Err(Broken::Refused("unexpected protocol version"));
    }
    if reply != 0 {
        return Err(Broken::Refused(reply_text(reply)));
    }
    skip_bound_address(stream, address_type).await
}

/// The address the proxy uses is of no interest.
async fn skip_bound_address<S: AsyncRead + Unpin>(stream: &mut S, address_type: u8) -> Result<(), Broken> {
    let length = match address_type {
        1 => 4,
        4 => 16,
        3 => usize::from(read::<S, 1>(stream).await?[0]),
        _ => return Err(Broken::Refused("unknown address type")),
    };
    let mut rest = vec![0; length + 2];
    stream.read_exact(&mut rest).await?;
    Ok(())
}

async fn read<S: AsyncRead + Unpin, const N: usize>(stream: &mut S) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

fn connect_request(host: &str, port: u16) -> Result<Vec<u8>, String> {
    let mut request = vec![VERSION, CONNECT, 0];
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => {
            request.push(1);
            request.extend(ip.octets());
        }
        Ok(IpAddr::V6(ip)) => {
            request.push(4);
            request.extend(ip.octets());
        }
        Err(_) => {
            request.push(3);
            push_short(&mut request, host).map_err(|()| "socks connect: host name too long".to_owned())?;
        }
    }
    request.extend(port.to_be_bytes());
    Ok(request)
}

fn login_request(user: &str, password: &str) -> Result<Vec<u8>, String> {
    let mut request = vec![1];
    let pushed = push_short(&mut request, user).and_then(|()| push_short(&mut request, password));
    pushed.map_err(|()| "socks connect: invalid username/password".to_owned())?;
    Ok(request)
}

/// A text of at most 255 bytes with its length before it.
fn push_short(out: &mut Vec<u8>, text: &str) -> Result<(), ()> {
    out.push(u8::try_from(text.len()).map_err(|_| ())?);
    out.extend(text.as_bytes());
    Ok(())
}

fn reply_text(code: u8) -> &'static str {
    match code {
        1 => "general SOCKS server failure",
        2 => "connection not allowed by ruleset",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "TTL expired",
        7 => "command not supported",
        8 => "address type not supported",
        _ => "unknown error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_to_the_proxy_unresolved() {
        let request = connect_request("a.example", 443).unwrap();
        assert_eq!(request, b"\x05\x01\x00\x03\x09a.example\x01\xbb");
        assert_eq!(connect_request("127.0.0.1", 80).unwrap(), [5, 1, 0, 1, 127, 0, 0, 1, 0, 80]);
    }

    #[tokio::test]
    async fn a_refusal_is_told_in_words() {
        let (mut near, mut far) = tokio::io::duplex(256);
        let proxy = async move {
            let _greeting: [u8; 3] = read(&mut far).await.unwrap();
            far.write_all(&[5, 0]).await.unwrap();
            let _request: [u8; 10] = read(&mut far).await.unwrap();
            far.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
        };
        let (outcome, ()) = tokio::join!(connect(&mut near, None, "127.0.0.1", 80), proxy);
        assert_eq!(outcome.unwrap_err(), "socks connect: connection refused");
    }
}
