//! Through proxies of every kind.

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::support::{Answer, Authority, Server, client, options, plain, post, secret, server_config, through};
use crate::{
    config::model::{HttpConfig, ProxyConfig},
    httpconf::{Client, ErrorKind, ProxyEnvironment},
};

fn via(proxy: ProxyConfig) -> HttpConfig {
    HttpConfig { proxy, ..plain() }
}

#[tokio::test]
async fn a_plain_request_goes_to_the_proxy_in_absolute_form() {
    let proxy = Server::start(|_| Answer::ok()).await;
    let mut config = through(&format!("http://pu:pp@{}", proxy.address));
    config.connect_header = vec![("X-Tunnel".to_owned(), vec![secret("t1")])];
    let client = client(&via(config));
    for host in ["hooks.example.org", "other.example.org"] {
        client.send(post(format!("http://{host}/in?x=1"))).await.unwrap();
        let seen = proxy.last();
        assert_eq!(seen.uri, format!("http://{host}/in?x=1"));
        assert_eq!(seen.header("host"), Some(host));
        assert_eq!(seen.header("proxy-authorization"), Some("Basic cHU6cHA="));
        assert_eq!(seen.header("x-tunnel"), None);
    }
    assert_eq!(proxy.connections(), 1, "one connection to the proxy serves all hosts");
}

#[tokio::test]
async fn the_environment_is_followed_only_when_asked() {
    let proxy = Server::start(|_| Answer::ok()).await;
    let target = Server::start(|_| Answer::ok()).await;
    let mut options = options();
    options.proxy_environment =
        ProxyEnvironment { http_proxy: format!("http://{}", proxy.address), ..ProxyEnvironment::default() };
    let config = via(ProxyConfig { from_environment: true, ..ProxyConfig::default() });
    let following = Client::new(&config, "test", &options).unwrap();
    following.send(post("http://hooks.example.org/in".to_owned())).await.unwrap();
    following.send(post(target.url("/loopback"))).await.unwrap();
    Client::new(&plain(), "test", &options).unwrap().send(post(target.url("/direct"))).await.unwrap();
    assert_eq!((proxy.seen().len(), target.seen().len()), (1, 2));
}

/// Answers CONNECT with `answer`, tells what was asked, and joins the ends if `target` is given.
async fn connect_proxy(
    answer: &'static str,
    target: Option<std::net::SocketAddr>,
) -> (std::net::SocketAddr, mpsc::UnboundedReceiver<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).await.unwrap();
                match line.trim_end() {
                    "" => break,
                    line => lines.push(line.to_owned()),
                }
            }
            tell.send(lines).unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            if let Some(target) = target {
                let mut upstream = TcpStream::connect(target).await.unwrap();
                tokio::spawn(async move { copy_bidirectional(&mut stream, &mut upstream).await });
            }
        }
    });
    (address, told)
}

#[tokio::test]
async fn an_https_target_is_reached_through_a_tunnel() {
    let authority = Authority::new();
    let identity = authority.identity("hooks.example.org");
    let target = Server::with_tls(Some(server_config(&identity, None)), |_| Answer::ok()).await;
    let (proxy, mut told) =
        connect_proxy("HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n", Some(target.address)).await;
    let mut config = through(&format!("http://pu:pp@{proxy}"));
    config.connect_header = vec![("X-Tunnel".to_owned(), vec![secret("t1"), secret("t2")])];
    let config = HttpConfig { tls: authority.tls(), ..via(config) };
    client(&config).send(post("https://hooks.example.org/in".to_owned())).await.unwrap();
    assert_eq!(target.last().header("proxy-authorization"), None);
    assert_eq!(
        told.recv().await.unwrap(),
        [
            "CONNECT hooks.example.org:443 HTTP/1.1",
            "Host: hooks.example.org:443",
            "User-Agent: Alertmanager/1.2.3",
            "x-tunnel: t1",
            "x-tunnel: t2",
            "Proxy-Authorization: Basic cHU6cHA=",
        ]
    );
}

#[tokio::test]
async fn a_refused_tunnel_has_sent_nothing() {
    let (proxy, _told) = connect_proxy("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", None).await;
    let config = via(through(&format!("http://{proxy}")));
    let error = client(&config).send(post("https://hooks.example.org/in".to_owned())).await.unwrap_err();
    assert_eq!((error.kind, error.sent), (ErrorKind::Proxy, false));
    assert_eq!(error.message, "Post \"<redacted>\": Proxy Authentication Required");
}

#[tokio::test]
async fn a_proxy_may_itself_speak_tls() {
    let authority = Authority::new();
    let identity = authority.identity("127.0.0.1");
    let proxy = Server::with_tls(Some(server_config(&identity, None)), |_| Answer::ok()).await;
    let config = HttpConfig { tls: authority.tls(), ..via(through(&format!("https://{}", proxy.address))) };
    client(&config).send(post("http://hooks.example.org/in".to_owned())).await.unwrap();
    assert_eq!(proxy.last().uri, "http://hooks.example.org/in");
}

#[tokio::test]
async fn a_dead_proxy_has_sent_nothing() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let config = via(through(&format!("http://{closed}")));
    let error = client(&config).send(post("http://hooks.example.org/in".to_owned())).await.unwrap_err();
    assert!(!error.sent);
    assert!(error.message.contains("proxyconnect tcp: dial tcp"), "{error}");
}

#[tokio::test]
async fn socks5_resolves_names_at_the_proxy_and_takes_a_password() {
    let target = Server::start(|_| Answer::ok()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = listener.local_addr().unwrap();
    let to = target.address;
    let dialogue = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut greeting = [0; 4];
        stream.read_exact(&mut greeting).await.unwrap();
        stream.write_all(&[5, 2]).await.unwrap();
        let mut login = [0; 7];
        stream.read_exact(&mut login).await.unwrap();
        stream.write_all(&[1, 0]).await.unwrap();
        let mut request = [0; 5 + 17 + 2];
        stream.read_exact(&mut request).await.unwrap();
        stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
        tokio::spawn(async move {
            let mut upstream = TcpStream::connect(to).await.unwrap();
            let _ = copy_bidirectional(&mut stream, &mut upstream).await;
        });
        (login, request)
    });
    let config = via(through(&format!("socks5://us:pw@{proxy}")));
    client(&config).send(post("http://hooks.example.org:81/in".to_owned())).await.unwrap();
    let (login, request) = dialogue.await.unwrap();
    assert_eq!(&login, b"\x01\x02us\x02pw");
    assert_eq!(&request[..], b"\x05\x01\x00\x03\x11hooks.example.org\x00\x51");
    assert_eq!((target.last().uri.as_str(), target.last().header("host")), ("/in", Some("hooks.example.org:81")));
}
