//! The dialogue with the mail server: connect, say hello, encrypt, authenticate, hand the message over.
//!
//! One connection for each attempt, one function for each step, in the reference's order:
//! connect → (TLS) → greeting → EHLO, or HELO where that is refused → STARTTLS + EHLO → AUTH → MAIL → RCPT for
//! each address → DATA → the message → QUIT. What is left out or insisted on follows from the settings alone:
//! TLS is never taken just because it is offered, nor left out because it is not.
//!
//! Each step is bounded. A failure knows its step, because that decides whether the message may be on its way:
//! only once it was written and the answer is missing.

use std::{fmt::Display, future::Future, time::Duration};

use lettre::transport::smtp::{
    Error as LettreError,
    client::AsyncSmtpConnection,
    commands::{Data, Ehlo, Mail, Quit, Rcpt, Starttls},
    extension::{ClientId, MailBodyParameter, MailParameter},
    response::Response,
};
use rustls::pki_types::ServerName;
use tokio::{
    net::{TcpStream, lookup_host},
    task::spawn_blocking,
    time::timeout,
};

use super::{
    auth::{AuthError, Mechanism},
    message::Message,
    wire::Line,
};
use crate::{
    config::model::EmailConfig,
    httpconf,
    notify::types::{FailureReason, NotifyError, Progress},
};

/// For finding the server and connecting to one of its addresses, and for the TLS handshake.
const CONNECT_MAX: Duration = Duration::from_secs(30);
/// For connecting to one address.
const ADDRESS_MAX: Duration = Duration::from_secs(10);
/// For each reply before the message. As RFC 5321 4.5.3.2 has it: there are servers that check a recipient,
/// or test a client's patience, for minutes. The pipeline's own limit comes first, and grows if need be.
const REPLY_MAX: Duration = Duration::from_mins(5);
/// For sending the message and the reply to it: a server that is cut off while it still delivers gets the
/// mail again.
const MESSAGE_MAX: Duration = Duration::from_mins(10);
/// For the farewell, which nobody waits for.
const QUIT_MAX: Duration = Duration::from_secs(10);

/// A step that did not succeed.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {cause}")]
pub(super) struct Failure {
    step: String,
    cause: Cause,
    retry: bool,
    /// The message had been written, or part of it.
    sent: bool,
}

#[derive(Debug, thiserror::Error)]
enum Cause {
    /// The server said no.
    #[error("{code} {text}")]
    Reply { code: u16, text: String },
    /// The connection, or what came over it, was of no use.
    #[error("{0}")]
    Broken(String),
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// We will not go on.
    #[error("{0}")]
    Ours(String),
}

impl Failure {
    fn new(step: impl Into<String>, cause: Cause) -> Self {
        Failure { step: step.into(), cause, retry: true, sent: false }
    }

    /// One that will be the same next time.
    fn permanent(step: impl Into<String>, cause: Cause) -> Self {
        Failure { step: step.into(), cause, retry: false, sent: false }
    }

    fn progress(&self) -> Progress {
        match self.cause {
            Cause::Reply { .. } => Progress::Refused,
            _ if self.sent => Progress::Ambiguous,
            _ => Progress::NotSent,
        }
    }

    /// Whether the server still listens, so that a farewell makes sense.
    fn leaves_the_line_open(&self) -> bool {
        matches!(self.cause, Cause::Reply { .. } | Cause::Ours(_))
    }
}

impl From<Failure> for NotifyError {
    fn from(failure: Failure) -> Self {
        NotifyError {
            message: failure.to_string(),
            retry: failure.retry,
            reason: FailureReason::Other,
            progress: failure.progress(),
            retry_after: None,
        }
    }
}

impl Cause {
    /// Without Rust's numbers for system errors, which say nothing more.
    fn broken(error: impl Display) -> Self {
        let text = error.to_string();
        Cause::Broken(text.split(" (os error").next().unwrap_or_default().to_owned())
    }
}

impl From<LettreError> for Cause {
    fn from(error: LettreError) -> Self {
        let text = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        match error.status() {
            Some(code) => Cause::Reply { code: code.into(), text },
            None => Cause::broken(text),
        }
    }
}

/// Hands `message` to the configured server.
pub(super) async fn deliver(config: &EmailConfig, message: &Message) -> Result<(), Failure> {
    let mut session = Session::open(config).await?;
    let outcome = session.exchange(message).await;
    if outcome.as_ref().err().is_none_or(Failure::leaves_the_line_open) {
        session.say_goodbye();
    }
    outcome
}

/// A connection, and what its other end can do.
struct Session<'a> {
    config: &'a EmailConfig,
    line: Line,
    connection: AsyncSmtpConnection,
    server: Abilities,
}

/// What the server advertised in its answer to EHLO.
#[derive(Debug, Default, PartialEq, Eq)]
struct Abilities {
    starttls: bool,
    eight_bit: bool,
    utf8: bool,
    /// Mechanisms in the server's order; `None`: it does not authenticate.
    auth: Option<Vec<String>>,
}

impl Abilities {
    /// `lines`: of the answer, its first one (the server's name) included.
    fn read<'l>(lines: impl Iterator<Item = &'l str>) -> Self {
        let mut abilities = Abilities::default();
        for line in lines.skip(1) {
            let mut words = line.split_ascii_whitespace();
            match words.next().map(str::to_ascii_uppercase).as_deref() {
                Some("STARTTLS") => abilities.starttls = true,
                Some("8BITMIME") => abilities.eight_bit = true,
                Some("SMTPUTF8") => abilities.utf8 = true,
                Some("AUTH") => abilities.auth = Some(words.map(str::to_owned).collect()),
                _ => {}
            }
        }
        abilities
    }
}

/// Whether TLS begins with the first byte.
pub(super) fn implicit_tls(config: &EmailConfig) -> bool {
    config.force_implicit_tls.unwrap_or(config.smarthost_port == "465")
}

impl<'a> Session<'a> {
    /// Connects, encrypts at once where TLS is implicit, and makes lettre's connection ready.
    async fn open(config: &'a EmailConfig) -> Result<Self, Failure> {
        let implicit = implicit_tls(config);
        let step = if implicit { "establish TLS connection to server" } else { "establish connection to server" };
        let stream = within(CONNECT_MAX, connect(config)).await.map_err(|cause| Failure::new(step, cause))?;
        let line = Line::new(stream);
        if implicit {
            encrypt(&line, config, step).await?;
        }
        let connection = line.connection().await.map_err(|error| Failure::new(step, error.into()))?;
        Ok(Session { config, line, connection, server: Abilities::default() })
    }

    async fn exchange(&mut self, message: &Message) -> Result<(), Failure> {
        self.greeting().await?;
        self.hello().await?;
        if self.config.require_tls && !implicit_tls(self.config) {
            self.starttls().await?;
        }
        self.authenticate().await?;
        self.envelope(message).await?;
        self.message(message).await
    }

    async fn greeting(&mut self) -> Result<(), Failure> {
        let reply = within(REPLY_MAX, async { Ok(self.connection.read_response().await?) }).await;
        positive(reply).map(drop).map_err(|cause| Failure::new("create SMTP client", cause))
    }

    async fn hello(&mut self) -> Result<(), Failure> {
        const STEP: &str = "send EHLO command";
        let name = match self.config.hello.as_str() {
            "" => "localhost",
            name if name.contains(['\r', '\n']) => {
                let text = "smtp: a line must not contain CR or LF".to_owned();
                return Err(Failure::permanent(STEP, Cause::Ours(text)));
            }
            name => name,
        };
        let ehlo = Ehlo::new(ClientId::Domain(name.to_owned()));
        self.server = match positive(self.ask(ehlo).await) {
            Ok(reply) => Abilities::read(reply.message()),
            Err(Cause::Reply { .. }) => {
                let reply = self.ask(Words(&format!("HELO {name}"))).await;
                positive(reply).map_err(|cause| Failure::new(STEP, cause))?;
                Abilities::default()
            }
            Err(cause) => return Err(Failure::new(STEP, cause)),
        };
        Ok(())
    }

    async fn starttls(&mut self) -> Result<(), Failure> {
        const STEP: &str = "send STARTTLS command";
        if !self.server.starttls {
            let (host, port) = (&self.config.smarthost_host, &self.config.smarthost_port);
            let text = format!(
                "'require_tls' is true (default) but \"{host}:{port}\" does not advertise the STARTTLS extension"
            );
            return Err(Failure::new(STEP, Cause::Ours(text)));
        }
        positive(self.ask(Starttls).await).map_err(|cause| Failure::new(STEP, cause))?;
        encrypt(&self.line, self.config, STEP).await?;
        self.connection = self.line.connection().await.map_err(|error| Failure::new(STEP, error.into()))?;
        self.hello().await
    }

    /// Says who we are, if we have a name and the server asks for one.
    async fn authenticate(&mut self) -> Result<(), Failure> {
        let Some(offered) = self.server.auth.take().filter(|_| !self.config.auth_username.is_empty()) else {
            return Ok(());
        };
        let ours = |error: AuthError| Cause::Ours(error.to_string());
        let mechanism = Mechanism::choose(&offered, self.config)
            .await
            .map_err(|error| Failure::new("find auth mechanism", ours(error)))?;
        let failed = |cause| Failure::new(format!("{} auth", mechanism.name()), cause);
        let command = mechanism.command(self.config, self.line.is_encrypted()).map_err(|e| failed(ours(e)))?;
        let mut reply = self.ask(Words(&command)).await.map_err(failed)?;
        // No mechanism of ours has more than two challenges.
        for _ in 0..2 {
            if !reply.has_code(334) {
                break;
            }
            let challenge = reply.first_line().unwrap_or_default();
            let answer = match mechanism.answer(&self.config.auth_username, challenge) {
                Ok(answer) => answer,
                Err(error) => {
                    // Ends the exchange; the server answers 501.
                    let _ = timeout(QUIT_MAX, self.ask(Words("*"))).await;
                    return Err(failed(ours(error)));
                }
            };
            reply = self.ask(Words(&answer)).await.map_err(failed)?;
        }
        positive(Ok(reply)).map(drop).map_err(failed)
    }

    async fn envelope(&mut self, message: &Message) -> Result<(), Failure> {
        let mut parameters = Vec::new();
        if self.server.eight_bit {
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        if self.server.utf8 {
            parameters.push(MailParameter::SmtpUtfEight);
        }
        let from = message.from.for_smtp(self.server.utf8);
        let reply = self.ask(Mail::new(Some(from), parameters)).await;
        positive(reply).map_err(|cause| Failure::new("send MAIL command", cause))?;
        for to in &message.to {
            let reply = self.ask(Rcpt::new(to.for_smtp(self.server.utf8), Vec::new())).await;
            positive(reply).map_err(|cause| Failure::new("send RCPT command", cause))?;
        }
        Ok(())
    }

    async fn message(&mut self, message: &Message) -> Result<(), Failure> {
        let reply = self.ask(Data).await;
        let reply = reply.and_then(|reply| if reply.has_code(354) { Ok(()) } else { Err(unexpected(&reply)) });
        reply.map_err(|cause| Failure::new("send DATA command", cause))?;
        let reply = within(MESSAGE_MAX, async { Ok(self.connection.message(message.text.as_bytes()).await?) }).await;
        positive(reply).map(drop).map_err(|cause| Failure { sent: true, ..Failure::new("delivery failure", cause) })
    }

    /// Sends a command and reads its reply, which is an error if it is a no.
    async fn ask(&mut self, command: impl Display) -> Result<Response, Cause> {
        within(REPLY_MAX, async { Ok(self.connection.command(command).await?) }).await
    }

    /// Leaves politely, beside: the outcome is known, and a slow farewell must not hold it back.
    fn say_goodbye(mut self) {
        tokio::spawn(async move {
            // Whether it was heard changes nothing.
            let _ = timeout(QUIT_MAX, self.connection.command(Quit)).await;
        });
    }
}

/// A command that lettre has no type for.
struct Words<'a>(&'a str);

impl Display for Words<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\r\n", self.0)
    }
}

/// A reply is a yes only if it is a 2xx: lettre lets 3xx, which asks for more, pass as well.
fn positive(reply: Result<Response, Cause>) -> Result<Response, Cause> {
    let reply = reply?;
    if (200..300).contains(&u16::from(reply.code())) { Ok(reply) } else { Err(unexpected(&reply)) }
}

fn unexpected(reply: &Response) -> Cause {
    Cause::Reply { code: reply.code().into(), text: reply.first_line().unwrap_or_default().to_owned() }
}

async fn within<T>(limit: Duration, step: impl Future<Output = Result<T, Cause>>) -> Result<T, Cause> {
    timeout(limit, step).await.unwrap_or(Err(Cause::Silent(limit)))
}

/// A TCP connection to the first address of the server that takes one.
async fn connect(config: &EmailConfig) -> Result<TcpStream, Cause> {
    let host = if config.smarthost_host.is_empty() { "localhost" } else { &config.smarthost_host };
    let port = port_number(&config.smarthost_port)
        .ok_or_else(|| Cause::Broken(format!("unknown port \"{}\"", config.smarthost_port)))?;
    let addresses =
        lookup_host((host, port)).await.map_err(|error| Cause::broken(format_args!("lookup {host}: {error}")))?;
    let mut last = Cause::Broken(format!("lookup {host}: no address"));
    for address in addresses {
        match timeout(ADDRESS_MAX, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = Cause::broken(format_args!("dial {address}: {error}")),
            Err(_) => last = Cause::Broken(format!("dial {address}: no answer within {} s", ADDRESS_MAX.as_secs())),
        }
    }
    Err(last)
}

/// A number, or the name of one of the mail services.
fn port_number(port: &str) -> Option<u16> {
    match port {
        "smtp" => Some(25),
        "submission" => Some(587),
        "submissions" | "smtps" => Some(465),
        number => number.parse().ok(),
    }
}

/// The TLS handshake. The files of `tls_config` are read here, for each connection anew.
async fn encrypt(line: &Line, config: &EmailConfig, step: &str) -> Result<(), Failure> {
    let unusable = |text: String| Failure::permanent("parse TLS configuration", Cause::Ours(text));
    let name = if config.tls.server_name.is_empty() { &config.smarthost_host } else { &config.tls.server_name };
    let name = ServerName::try_from(name.trim_end_matches('.').to_owned())
        .map_err(|_| unusable(format!("\"{name}\" is no valid server name")))?;
    let settings = config.tls.clone();
    let client = spawn_blocking(move || httpconf::client_config(&settings, &[]))
        .await
        .map_err(|_| Failure::new("parse TLS configuration", Cause::Ours("interrupted".to_owned())))?
        .map_err(|error| unusable(error.to_string()))?;
    let handshake = async { line.encrypt(client, name).await.map_err(Cause::broken) };
    within(CONNECT_MAX, handshake).await.map_err(|cause| Failure::new(step, cause))
}

#[cfg(test)]
mod tests {
    use super::{super::tests::settings, *};

    #[test]
    fn abilities_are_read_in_any_case_and_the_servers_name_is_none() {
        let read = |lines: &[&'static str]| Abilities::read(lines.iter().copied());
        assert_eq!(read(&["STARTTLS"]), Abilities::default());
        assert_eq!(read(&["mx", "SIZE 1000", "PIPELINING", ""]), Abilities::default());
        let all = read(&["mx", "starttls", "8BITMIME", "SMTPUTF8", "AUTH  LOGIN PLAIN CRAM-MD5"]);
        assert!(all.starttls && all.eight_bit && all.utf8);
        assert_eq!(all.auth.unwrap(), ["LOGIN", "PLAIN", "CRAM-MD5"]);
        assert_eq!(read(&["mx", "AUTH=LOGIN"]).auth, None);
    }

    #[test]
    fn tls_is_implicit_where_it_is_forced_or_the_port_is_literally_465() {
        let cases = [
            ("465", None, true),
            ("465", Some(false), false),
            ("587", None, false),
            ("587", Some(true), true),
            ("submissions", None, false),
        ];
        for (port, force, expected) in cases {
            let config = EmailConfig { smarthost_port: port.into(), force_implicit_tls: force, ..settings() };
            assert_eq!(implicit_tls(&config), expected, "{port} {force:?}");
        }
    }

    #[test]
    fn ports_are_numbers_or_mail_services() {
        assert_eq!(["25", "smtp", "submission", "smtps"].map(port_number), [Some(25), Some(25), Some(587), Some(465)]);
        assert_eq!(["", "http", "65536", "-1"].map(port_number), [None; 4]);
    }
}
