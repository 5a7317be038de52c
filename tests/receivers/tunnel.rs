//! A CONNECT proxy that is itself the server it is asked for: how vendors with fixed addresses are mocked.

use std::{
    io,
    sync::{Arc, OnceLock},
};

use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsAcceptor;

/// For `http_config`: everything goes through the vendor at this `host:port`, whose certificate nobody signed.
pub fn through(address: &str) -> String {
    format!("{{proxy_url: 'http://{address}', tls_config: {{insecure_skip_verify: true}}}}")
}

pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// The connection itself, or what is inside the tunnel that it asks for.
pub async fn accept(mut stream: TcpStream) -> io::Result<Box<dyn Stream>> {
    let mut start = [0; 8];
    let length = stream.peek(&mut start).await?;
    if start.get(..length) != Some(b"CONNECT ") {
        return Ok(Box::new(stream));
    }
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    Ok(Box::new(TlsAcceptor::from(tls()).accept(stream).await?))
}

fn tls() -> Arc<ServerConfig> {
    static TLS: OnceLock<Arc<ServerConfig>> = OnceLock::new();
    let make = || {
        let certified = rcgen::generate_simple_self_signed(["vendor.test".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![certified.cert.der().clone()], key);
        Arc::new(config.unwrap())
    };
    Arc::clone(TLS.get_or_init(make))
}
