//! A scripted mail server on loopback.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

/// What the server does instead of its usual answer.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// Sends these bytes.
    Say(Vec<u8>),
    /// Closes the connection.
    Close,
    /// Keeps it open and says nothing; from now on time passes at once.
    Hush,
}

pub(super) fn say(text: &str) -> Act {
    Act::Say(format!("{text}\r\n").into_bytes())
}

#[derive(Clone, Default)]
pub(super) struct Script {
    /// Lines of the EHLO answer after the first.
    pub abilities: Vec<&'static str>,
    /// What is different at a stage: `CONNECT`, a command's verb, or `EOM`.
    pub acts: Vec<(&'static str, Act)>,
    pub tls: Option<Arc<ServerConfig>>,
    pub implicit: bool,
    /// Said in the clear together with the yes to STARTTLS.
    pub injected: &'static str,
}

/// What a connection brought, command by command; the mail as one entry.
pub(super) struct Server {
    pub port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(super) async fn start(script: Script) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let session = Session { script: script.clone(), heard: Arc::clone(&log) };
                tokio::spawn(async move {
                    // A client that goes away is what some tests are about.
                    let _ = session.serve(stream).await;
                });
            }
        });
        Server { port, heard }
    }

    /// What was heard until now.
    pub(super) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    /// The same, once the client has said goodbye.
    pub(super) async fn heard_all(&self) -> Vec<String> {
        let said_goodbye = async {
            while !self.heard().iter().any(|line| line == "QUIT") {
                sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(Duration::from_secs(10), said_goodbye).await.expect("the client should say goodbye");
        self.heard()
    }

    /// The mail as it was received, dots unstuffed.
    pub(super) fn mail(&self) -> String {
        let heard = self.heard();
        let mail = heard.iter().find_map(|line| line.strip_prefix("mail: "));
        mail.expect("a mail should have been received").to_owned()
    }
}

struct Session {
    script: Script,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Session {
    async fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let acceptor = self.script.tls.clone().map(TlsAcceptor::from);
        if let Some(acceptor) = acceptor.clone().filter(|_| self.script.implicit) {
            return self.talk(acceptor.accept(stream).await?, true).await.map(drop);
        }
        let Some(stream) = self.talk(stream, false).await? else { return Ok(()) };
        match acceptor {
            Some(acceptor) => self.talk(acceptor.accept(stream).await?, true).await.map(drop),
            None => Ok(()),
        }
    }

    /// Speaks until the end, or until TLS is to begin, which gives the stream back.
    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S, encrypted: bool) -> io::Result<Option<S>> {
        let mut stream = BufReader::new(stream);
        if !encrypted || self.script.implicit {
            self.answer(&mut stream, "CONNECT", "220 test ESMTP").await?;
        }
        loop {
            let line = read(&mut stream).await?;
            self.hear(&line);
            let verb = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => self.answer(&mut stream, "EHLO", &self.abilities()).await?,
                "AUTH" => self.authenticate(&mut stream, &line).await?,
                "DATA" => {
                    self.answer(&mut stream, "DATA", "354 go on").await?;
                    self.mail(&mut stream).await?;
                    self.answer(&mut stream, "EOM", "250 queued").await?;
                }
                "STARTTLS" => {
                    let yes = format!("220 go ahead\r\n{}", self.script.injected);
                    self.answer(&mut stream, "STARTTLS", yes.trim_end()).await?;
                    return Ok(Some(stream.into_inner()));
                }
                "QUIT" => {
                    self.answer(&mut stream, "QUIT", "221 bye").await?;
                    return Ok(None);
                }
                verb => self.answer(&mut stream, verb, "250 ok").await?,
            }
        }
    }

    fn hear(&self, line: &str) {
        self.heard.lock().unwrap().push(line.to_owned());
    }

    fn abilities(&self) -> String {
        let lines: Vec<&str> = std::iter::once("test").chain(self.script.abilities.iter().copied()).collect();
        let (last, first) = lines.split_last().unwrap();
        first.iter().flat_map(|line| ["250-", line, "\r\n"]).collect::<String>() + "250 " + last
    }

    async fn answer<S: AsyncWrite + Unpin>(&self, stream: &mut S, stage: &str, usual: &str) -> io::Result<()> {
        match self.script.acts.iter().find(|(at, _)| *at == stage) {
            None => stream.write_all(format!("{usual}\r\n").as_bytes()).await?,
            Some((_, Act::Say(bytes))) => stream.write_all(bytes).await?,
            Some((_, Act::Close)) => return Err(io::ErrorKind::ConnectionAborted.into()),
            Some((_, Act::Hush)) => {
                tokio::time::pause();
                std::future::pending::<()>().await;
            }
        }
        stream.flush().await
    }

    async fn authenticate<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut BufReader<S>,
        line: &str,
    ) -> io::Result<()> {
        let prompts: &[&str] = match line {
            "AUTH LOGIN" => &["Username:", "Password:"],
            "AUTH CRAM-MD5" => &["<1896.697170952@postoffice.reston.mci.net>"],
            _ => &[],
        };
        for prompt in prompts {
            let prompt = format!("334 {}", BASE64_STANDARD.encode(prompt));
            self.answer(stream, "PROMPT", &prompt).await?;
            let answer = read(stream).await?;
            self.hear(&answer);
            if answer == "*" {
                return self.answer(stream, "*", "501 cancelled").await;
            }
        }
        self.answer(stream, "AUTH", "235 welcome").await
    }

    async fn mail<S: AsyncRead + Unpin>(&self, stream: &mut BufReader<S>) -> io::Result<()> {
        let mut mail = String::from("mail: ");
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            assert!(line.ends_with("\r\n"), "a line break must be CRLF: {line:?}");
            if line == ".\r\n" {
                self.hear(&mail);
                return Ok(());
            }
            mail.push_str(line.strip_prefix('.').unwrap_or(&line));
        }
    }
}

async fn read<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches("\r\n").to_owned())
}

/// A certificate authority, and a server that it vouches for.
pub(super) struct Certificates {
    /// PEM.
    pub ca: String,
    pub server: Arc<ServerConfig>,
}

/// Certificates for a server of the given name, speaking the given TLS versions.
pub(super) fn certificates(name: &str, versions: &[&'static rustls::SupportedProtocolVersion]) -> Certificates {
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    Certificates { ca: ca.pem(), server: Arc::new(server) }
}
