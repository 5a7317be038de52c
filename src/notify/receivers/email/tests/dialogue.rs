//! What is said on the wire when all goes well.

use base64::{Engine, prelude::BASE64_STANDARD};
use rustls::version::{TLS12, TLS13};

use super::{
    secret, send,
    server::{Script, Server, certificates, say},
    settings,
};
use crate::config::model::{EmailConfig, TextSource, TlsConfig, TlsVersion};

/// Everything heard, the mail left out.
async fn commands(server: &Server) -> Vec<String> {
    server.heard_all().await.into_iter().filter(|line| !line.starts_with("mail: ")).collect()
}

fn trusting(ca: &str) -> TlsConfig {
    TlsConfig { ca: Some(TextSource::Inline(ca.to_owned())), ..TlsConfig::default() }
}

#[tokio::test]
async fn a_mail_takes_the_usual_commands_in_order() {
    let server = Server::start(Script::default()).await;
    send(&server, settings()).await.unwrap();
    let expected = ["EHLO mon.example.org", "MAIL FROM:<am@example.org>", "RCPT TO:<ops@example.org>", "DATA", "QUIT"];
    assert_eq!(commands(&server).await, expected);
    assert!(server.mail().contains("\r\nSubject: High api\r\n") || server.mail().starts_with("Subject: High api\r\n"));
    assert!(server.mail().ends_with("--\r\n") && !server.mail().ends_with("\r\n\r\n"));
}

#[tokio::test]
async fn every_recipient_is_named_to_the_server() {
    let server = Server::start(Script::default()).await;
    let to = "\"Ops, Team\" <ops@example.org>, {{ .CommonLabels.job }}@example.org";
    send(&server, EmailConfig { to: to.into(), ..settings() }).await.unwrap();
    let heard = commands(&server).await;
    assert_eq!(heard[2..4], ["RCPT TO:<ops@example.org>", "RCPT TO:<api@example.org>"]);
}

#[tokio::test]
async fn helo_is_said_where_ehlo_is_not_understood() {
    let server = Server::start(Script { acts: vec![("EHLO", say("502 what?"))], ..Script::default() }).await;
    send(&server, settings()).await.unwrap();
    assert_eq!(commands(&server).await[..2], ["EHLO mon.example.org", "HELO mon.example.org"]);
}

#[tokio::test]
async fn an_empty_hello_is_localhost() {
    let server = Server::start(Script::default()).await;
    send(&server, EmailConfig { hello: String::new(), ..settings() }).await.unwrap();
    assert_eq!(commands(&server).await[0], "EHLO localhost");
}

#[tokio::test]
async fn mail_announces_what_the_server_can() {
    let server = Server::start(Script { abilities: vec!["8BITMIME", "SMTPUTF8"], ..Script::default() }).await;
    send(&server, EmailConfig { to: "jürgen@bücher.example".into(), ..settings() }).await.unwrap();
    let heard = commands(&server).await;
    assert_eq!(heard[1], "MAIL FROM:<am@example.org> BODY=8BITMIME SMTPUTF8");
    assert_eq!(heard[2], "RCPT TO:<jürgen@bücher.example>");
}

#[tokio::test]
async fn lines_that_begin_with_a_dot_arrive_whole() {
    let server = Server::start(Script::default()).await;
    let text = ".first\n..second\n.\nlast".to_owned();
    send(&server, EmailConfig { text, html: String::new(), ..settings() }).await.unwrap();
    server.heard_all().await;
    assert!(server.mail().contains("\r\n.first\r\n..second\r\n.\r\nlast\r\n"));
}

#[tokio::test]
async fn starttls_comes_before_everything_that_matters() {
    let tls = certificates("mail.example.org", &[&TLS12, &TLS13]);
    let script = Script { abilities: vec!["STARTTLS"], tls: Some(tls.server), ..Script::default() };
    let server = Server::start(script).await;
    let tls = TlsConfig { server_name: "mail.example.org".into(), ..trusting(&tls.ca) };
    send(&server, EmailConfig { require_tls: true, tls, ..settings() }).await.unwrap();
    let heard = commands(&server).await;
    assert_eq!(heard[..3], ["EHLO mon.example.org", "STARTTLS", "EHLO mon.example.org"]);
    assert_eq!(heard.len(), 7);
}

#[tokio::test]
async fn starttls_is_not_used_unless_required() {
    let tls = certificates("mail.example.org", &[&TLS13]);
    let script = Script { abilities: vec!["STARTTLS"], tls: Some(tls.server), ..Script::default() };
    let server = Server::start(script).await;
    send(&server, settings()).await.unwrap();
    assert!(!commands(&server).await.contains(&"STARTTLS".to_owned()));
}

#[tokio::test]
async fn what_was_said_in_the_clear_after_starttls_is_forgotten() {
    let tls = certificates("127.0.0.1", &[&TLS13]);
    let script = Script {
        abilities: vec!["STARTTLS"],
        tls: Some(tls.server),
        injected: "250-evil\r\n250 AUTH LOGIN\r\n",
        ..Script::default()
    };
    let server = Server::start(script).await;
    let config = EmailConfig {
        require_tls: true,
        tls: trusting(&tls.ca),
        auth_username: "us".into(),
        auth_password: secret("pw"),
        ..settings()
    };
    // Whether the handshake survives depends on how the bytes were cut into packets.
    let _ = send(&server, config).await;
    assert!(!server.heard().iter().any(|line| line.starts_with("AUTH")));
}

#[tokio::test]
async fn implicit_tls_encrypts_from_the_first_byte_whatever_else_is_required() {
    for require_tls in [true, false] {
        let tls = certificates("127.0.0.1", &[&TLS12]);
        let server = Server::start(Script { tls: Some(tls.server), implicit: true, ..Script::default() }).await;
        let config = EmailConfig { force_implicit_tls: Some(true), require_tls, tls: trusting(&tls.ca), ..settings() };
        send(&server, config).await.unwrap();
        assert_eq!(commands(&server).await.len(), 5);
    }
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_or_a_too_old_protocol_is_refused() {
    let tls = certificates("127.0.0.1", &[&TLS12]);
    let stranger = certificates("127.0.0.1", &[&TLS12]);
    let cases = [
        trusting(&stranger.ca),
        TlsConfig { min_version: Some(TlsVersion::Tls13), ..trusting(&tls.ca) },
        TlsConfig { server_name: "other.example.org".into(), ..trusting(&tls.ca) },
    ];
    for case in cases {
        let server = Server::start(Script { tls: Some(tls.server.clone()), implicit: true, ..Script::default() }).await;
        let config = EmailConfig { force_implicit_tls: Some(true), tls: case.clone(), ..settings() };
        let error = send(&server, config).await.unwrap_err();
        assert!(error.retry && error.message.starts_with("establish TLS connection to server: "), "{error:?}");
        assert!(server.heard().is_empty());
        let blind = TlsConfig { insecure_skip_verify: true, min_version: None, ..case };
        send(&server, EmailConfig { force_implicit_tls: Some(true), tls: blind, ..settings() }).await.unwrap();
    }
}

async fn authenticated(abilities: &'static str, config: EmailConfig) -> Vec<String> {
    let server = Server::start(Script { abilities: vec![abilities], ..Script::default() }).await;
    let config = EmailConfig { auth_username: "tim".into(), ..config };
    send(&server, config).await.unwrap();
    let heard = commands(&server).await;
    let mail = heard.iter().position(|line| line.starts_with("MAIL")).unwrap();
    heard[1..mail].to_vec()
}

#[tokio::test]
async fn plain_is_one_command() {
    let config = EmailConfig { auth_identity: "id".into(), auth_password: secret("pä ss"), ..settings() };
    let expected = format!("AUTH PLAIN {}", BASE64_STANDARD.encode("id\0tim\0pä ss"));
    assert_eq!(authenticated("AUTH PLAIN LOGIN", config).await, [expected]);
}

#[tokio::test]
async fn login_answers_two_prompts() {
    let config = EmailConfig { auth_password: secret("pw"), ..settings() };
    let expected = ["AUTH LOGIN".to_owned(), BASE64_STANDARD.encode("tim"), BASE64_STANDARD.encode("pw")];
    assert_eq!(authenticated("AUTH LOGIN PLAIN", config).await, expected);
}

#[tokio::test]
async fn cram_md5_answers_the_challenge() {
    let config = EmailConfig { auth_secret: secret("tanstaaftanstaaf"), auth_password: secret("pw"), ..settings() };
    let expected = ["AUTH CRAM-MD5", "dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw"];
    assert_eq!(authenticated("AUTH CRAM-MD5 PLAIN", config).await, expected);
}

#[tokio::test]
async fn a_server_that_does_not_ask_gets_no_password() {
    let config = EmailConfig { auth_password: secret("pw"), ..settings() };
    assert!(authenticated("8BITMIME", config).await.is_empty());
}

#[tokio::test]
async fn without_a_name_nobody_authenticates() {
    let server = Server::start(Script { abilities: vec!["AUTH PLAIN"], ..Script::default() }).await;
    send(&server, EmailConfig { auth_password: secret("pw"), ..settings() }).await.unwrap();
    assert!(!commands(&server).await.iter().any(|line| line.starts_with("AUTH")));
}

#[tokio::test]
async fn strange_bytes_in_a_yes_are_still_a_yes() {
    let reply = super::server::Act::Say(b"250 re\xe7u\r\n".to_vec());
    let server = Server::start(Script { acts: vec![("EOM", reply)], ..Script::default() }).await;
    send(&server, settings()).await.unwrap();
}

#[tokio::test]
async fn a_slow_farewell_holds_nothing_back() {
    let server = Server::start(Script { acts: vec![("QUIT", super::server::Act::Hush)], ..Script::default() }).await;
    send(&server, settings()).await.unwrap();
}
