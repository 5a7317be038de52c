//! A mail server that records sessions: plain, with STARTTLS, with AUTH.

use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

/// What the server offers.
#[derive(Clone, Copy, Default)]
pub struct Offer {
    pub starttls: bool,
    pub auth: bool,
}

/// One mail that was accepted.
#[derive(Clone, Debug, Default)]
pub struct Mail {
    pub encrypted: bool,
    /// User and password, if the client authenticated.
    pub login: Option<(String, String)>,
    pub from: String,
    pub to: Vec<String>,
    pub text: String,
}

pub struct Smtp {
    pub address: String,
    mails: Arc<Mutex<Vec<Mail>>>,
    /// The certificate that clients have to trust, PEM.
    pub certificate: String,
}

impl Smtp {
    pub fn start(offer: Offer) -> Smtp {
        let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let tls = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![key.cert.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.signing_key.serialize_der())),
            )
            .unwrap();
        let tls = Arc::new(tls);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mails: Arc<Mutex<Vec<Mail>>> = Arc::default();
        let record = Arc::clone(&mails);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (record, tls) = (Arc::clone(&record), Arc::clone(&tls));
                thread::spawn(move || session(stream, offer, &tls, &record));
            }
        });
        Smtp { address, mails, certificate: key.cert.pem() }
    }

    pub fn mails(&self) -> Vec<Mail> {
        self.mails.lock().unwrap().clone()
    }

    pub fn wait<T>(&self, text: &str, mut accept: impl FnMut(&[Mail]) -> Option<T>) -> T {
        super::wait_for(text, Duration::from_secs(40), || accept(&self.mails.lock().unwrap()))
    }
}

fn session(mut stream: TcpStream, offer: Offer, tls: &Arc<ServerConfig>, record: &Mutex<Vec<Mail>>) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(b"220 test ESMTP\r\n")?;
    if dialogue(&mut stream, offer, false, record)? == Next::Encrypt {
        let connection = ServerConnection::new(Arc::clone(tls)).map_err(io::Error::other)?;
        dialogue(&mut StreamOwned::new(connection, stream), offer, true, record)?;
    }
    Ok(())
}

#[derive(PartialEq)]
enum Next {
    Encrypt,
    End,
}

fn dialogue(
    stream: &mut (impl Read + Write),
    offer: Offer,
    encrypted: bool,
    record: &Mutex<Vec<Mail>>,
) -> io::Result<Next> {
    let mut mail = Mail { encrypted, ..Mail::default() };
    loop {
        let Some(line) = read_line(stream)? else { return Ok(Next::End) };
        let word = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
        match word.as_str() {
            "EHLO" => {
                let mut lines = vec!["test"];
                if offer.starttls && !encrypted {
                    lines.push("STARTTLS");
                }
                if offer.auth {
                    lines.push("AUTH PLAIN LOGIN");
                }
                let last = lines.len() - 1;
                for (i, line) in lines.iter().enumerate() {
                    write!(stream, "250{}{line}\r\n", if i == last { ' ' } else { '-' })?;
                }
            }
            "STARTTLS" => {
                stream.write_all(b"220 go\r\n")?;
                stream.flush()?;
                return Ok(Next::Encrypt);
            }
            "AUTH" => {
                mail.login = Some(plain_login(&line));
                stream.write_all(b"235 ok\r\n")?;
            }
            "MAIL" => {
                mail.from = address(&line);
                stream.write_all(b"250 ok\r\n")?;
            }
            "RCPT" => {
                mail.to.push(address(&line));
                stream.write_all(b"250 ok\r\n")?;
            }
            "DATA" => {
                stream.write_all(b"354 go\r\n")?;
                stream.flush()?;
                while let Some(line) = read_line(stream)?.filter(|line| line != ".") {
                    mail.text.push_str(line.strip_prefix('.').unwrap_or(&line));
                    mail.text.push('\n');
                }
                record.lock().unwrap().push(std::mem::take(&mut mail));
                stream.write_all(b"250 taken\r\n")?;
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n")?;
                stream.flush()?;
                return Ok(Next::End);
            }
            _ => stream.write_all(b"502 no\r\n")?,
        }
        stream.flush()?;
    }
}

fn plain_login(line: &str) -> (String, String) {
    let response = line.split(' ').nth(2).unwrap_or_default();
    let decoded = String::from_utf8(STANDARD.decode(response).unwrap_or_default()).unwrap_or_default();
    let mut parts = decoded.split('\0').skip(1).map(str::to_owned);
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

fn address(line: &str) -> String {
    line.split(['<', '>']).nth(1).unwrap_or_default().to_owned()
}

fn read_line(stream: &mut impl Read) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let mut byte = [0u8];
    loop {
        if stream.read(&mut byte)? == 0 {
            return Ok(None);
        }
        if byte[0] == b'\n' {
            return Ok(Some(String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned()));
        }
        line.push(byte[0]);
    }
}
