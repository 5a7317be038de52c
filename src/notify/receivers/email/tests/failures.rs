//! What each kind of failure is taken for: whether it is tried again, and where the message may be.

use super::{
    secret, send,
    server::{Act, Script, Server, say},
    settings,
};
use crate::{
    config::model::{EmailConfig, TextSource, TlsConfig},
    notify::types::{FailureReason, NotifyError, Progress},
};

async fn failure(script: Script, config: EmailConfig) -> NotifyError {
    let server = Server::start(script).await;
    let error = send(&server, config).await.unwrap_err();
    assert_eq!((error.reason, error.retry_after), (FailureReason::Other, None));
    error
}

fn acting(stage: &'static str, act: Act) -> Script {
    Script { acts: vec![(stage, act)], ..Script::default() }
}

#[tokio::test]
async fn every_no_of_the_server_is_a_refusal_and_is_tried_again() {
    let cases = [
        ("CONNECT", "554 go away", "create SMTP client: 554 go away"),
        ("MAIL", "550 5.1.0 no", "send MAIL command: 550 5.1.0 no"),
        ("RCPT", "450 later", "send RCPT command: 450 later"),
        ("DATA", "451 not now", "send DATA command: 451 not now"),
        ("DATA", "250 what?", "send DATA command: 250 what?"),
        ("EOM", "452 full", "delivery failure: 452 full"),
        ("EOM", "554-two\r\n554 lines", "delivery failure: 554 two lines"),
    ];
    for (stage, reply, message) in cases {
        let error = failure(acting(stage, say(reply)), settings()).await;
        assert_eq!((error.message.as_str(), error.retry), (message, true));
        assert_eq!(error.progress, Progress::Refused, "{message}");
    }
    let both = Script { acts: vec![("EHLO", say("502 no")), ("HELO", say("502 no"))], ..Script::default() };
    assert_eq!(failure(both, settings()).await.message, "send EHLO command: 502 no");
}

#[tokio::test]
async fn a_refused_client_says_goodbye() {
    let server = Server::start(acting("MAIL", say("550 no"))).await;
    send(&server, settings()).await.unwrap_err();
    assert_eq!(server.heard_all().await, ["EHLO mon.example.org", "MAIL FROM:<am@example.org>", "QUIT"]);
}

#[tokio::test]
async fn a_connection_that_breaks_is_ambiguous_only_after_the_message() {
    for stage in ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "EOM"] {
        let error = failure(acting(stage, Act::Close), settings()).await;
        let expected = if stage == "EOM" { Progress::Ambiguous } else { Progress::NotSent };
        assert_eq!((error.progress, error.retry), (expected, true), "{stage}");
        assert!(error.message.ends_with("the server closed the connection"), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_silent_at_first_is_given_up_after_five_minutes() {
    let error = failure(acting("CONNECT", Act::Hush), settings()).await;
    assert_eq!(error.message, "create SMTP client: no answer within 300 s");
    assert_eq!((error.progress, error.retry), (Progress::NotSent, true));
}

#[tokio::test]
async fn a_server_that_is_silent_about_a_recipient_is_given_up_after_five_minutes() {
    let error = failure(acting("RCPT", Act::Hush), settings()).await;
    assert_eq!(error.message, "send RCPT command: no answer within 300 s");
    assert_eq!(error.progress, Progress::NotSent);
}

#[tokio::test]
async fn a_server_that_is_silent_about_the_message_gets_ten_minutes() {
    let error = failure(acting("EOM", Act::Hush), settings()).await;
    assert_eq!(error.message, "delivery failure: no answer within 600 s");
    assert_eq!((error.progress, error.retry), (Progress::Ambiguous, true));
}

#[tokio::test]
async fn a_server_that_does_not_speak_smtp_is_an_error() {
    for words in ["HTTP/1.1 400 Bad Request", "220", "abc", "220 a\r\n\r\n"] {
        let script = Script { acts: vec![("CONNECT", say(words)), ("EHLO", Act::Close)], ..Script::default() };
        let error = failure(script, settings()).await;
        assert_eq!((error.progress, error.retry), (Progress::NotSent, true), "{words}");
    }
    let error = failure(acting("EHLO", Act::Say(vec![b'2'; 100_000])), settings()).await;
    assert!(error.message.contains("a line without an end"), "{error:?}");
}

#[tokio::test]
async fn nobody_listening_is_not_sent() {
    let server = Server::start(Script::default()).await;
    let config = EmailConfig { smarthost_port: "1".into(), ..settings() };
    let error = send(&server, config).await.unwrap_err();
    assert_eq!(error.message, "establish connection to server: dial 127.0.0.1:1: Connection refused");
    assert_eq!((error.progress, error.retry), (Progress::NotSent, true));
    let error = send(&server, EmailConfig { smarthost_port: "mail".into(), ..settings() }).await.unwrap_err();
    assert_eq!(error.message, "establish connection to server: unknown port \"mail\"");
}

#[tokio::test]
async fn a_server_without_starttls_is_refused_where_tls_is_required() {
    let error = failure(Script::default(), EmailConfig { require_tls: true, ..settings() }).await;
    assert!(
        error.message.starts_with("send STARTTLS command: 'require_tls' is true (default) but \"127.0.0.1:"),
        "{error:?}"
    );
    assert!(error.message.ends_with("does not advertise the STARTTLS extension"), "{error:?}");
    assert_eq!((error.progress, error.retry), (Progress::NotSent, true));
}

#[tokio::test]
async fn a_starttls_that_leads_to_nothing_is_tried_again() {
    let config = EmailConfig { require_tls: true, ..settings() };
    let script = |act| Script { abilities: vec!["STARTTLS"], ..acting("STARTTLS", act) };
    let error = failure(script(say("454 not now")), config.clone()).await;
    assert_eq!((error.message.as_str(), error.retry), ("send STARTTLS command: 454 not now", true));
    assert_eq!(error.progress, Progress::Refused);
    // Says yes, and then speaks no TLS.
    let error = failure(script(say("220 go ahead\r\n550 go away")), config).await;
    assert!(error.message.starts_with("send STARTTLS command: "), "{error:?}");
    assert_eq!((error.progress, error.retry), (Progress::NotSent, true));
}

#[tokio::test]
async fn a_tls_config_that_cannot_be_used_is_permanent() {
    let tls = TlsConfig { ca: Some(TextSource::File("/no/such/ca".into())), ..TlsConfig::default() };
    for implicit in [true, false] {
        let config =
            EmailConfig { require_tls: true, force_implicit_tls: Some(implicit), tls: tls.clone(), ..settings() };
        let error = failure(Script { abilities: vec!["STARTTLS"], ..Script::default() }, config).await;
        assert!(error.message.starts_with("parse TLS configuration: "), "{error:?}");
        assert_eq!((error.progress, error.retry), (Progress::NotSent, false));
    }
}

#[tokio::test]
async fn a_refused_password_is_tried_again_and_not_printed() {
    for mechanism in ["AUTH PLAIN", "AUTH LOGIN", "AUTH CRAM-MD5"] {
        let script = Script {
            abilities: vec![mechanism],
            acts: vec![("AUTH", say("535 bad credentials"))],
            ..Script::default()
        };
        let config = EmailConfig {
            auth_username: "us".into(),
            auth_password: secret("hunter2"),
            auth_secret: secret("hunter2"),
            ..settings()
        };
        let error = failure(script, config).await;
        assert_eq!(error.message, format!("{} auth: 535 bad credentials", &mechanism[5..]));
        assert_eq!((error.progress, error.retry), (Progress::Refused, true));
    }
}

#[tokio::test]
async fn no_usable_mechanism_says_why() {
    let script = Script { abilities: vec!["AUTH CRAM-MD5 XOAUTH2"], ..Script::default() };
    let error = failure(script, EmailConfig { auth_username: "us".into(), ..settings() }).await;
    assert_eq!(error.message, "find auth mechanism: missing secret for CRAM-MD5 auth mechanism");
    assert_eq!((error.progress, error.retry), (Progress::NotSent, true));
}

#[tokio::test]
async fn an_unexpected_prompt_ends_the_exchange_without_the_password() {
    let script =
        Script { abilities: vec!["AUTH LOGIN"], acts: vec![("PROMPT", say("334 U2VjcmV0Pw=="))], ..Script::default() };
    let server = Server::start(script).await;
    let config = EmailConfig { auth_username: "us".into(), auth_password: secret("pw"), ..settings() };
    let error = send(&server, config).await.unwrap_err();
    assert_eq!(error.message, "LOGIN auth: unexpected server challenge");
    assert_eq!(server.heard_all().await[1..], ["AUTH LOGIN", "*", "QUIT"]);
}

#[tokio::test]
async fn what_is_wrong_with_templates_and_addresses_is_permanent_and_costs_no_connection() {
    let config = settings();
    let bad_header = [("X-Team".to_owned(), "{{ nope }}".to_owned())].into();
    let cases = [
        (EmailConfig { from: "{{ nope }}".into(), ..config.clone() }, "execute 'from' template: "),
        (EmailConfig { to: "{{ nope }}".into(), ..config.clone() }, "execute 'to' template: "),
        (EmailConfig { headers: bad_header, ..config.clone() }, "execute \"X-Team\" header template: "),
        (EmailConfig { text: "{{ nope }}".into(), ..config.clone() }, "execute text template: "),
        (EmailConfig { html: "{{ nope }}".into(), ..config.clone() }, "execute html template: "),
        (
            EmailConfig { from: "a@x.org, b@x.org".into(), ..config.clone() },
            "must be exactly one 'from' address (got: 2)",
        ),
        (EmailConfig { from: "nobody".into(), ..config.clone() }, "parse 'from' addresses: mail: missing '@'"),
        (EmailConfig { to: "{{ .CommonLabels.team }}".into(), ..config }, "parse 'to' addresses: mail: no address"),
    ];
    for (config, message) in cases {
        let server = Server::start(Script::default()).await;
        let error = send(&server, config).await.unwrap_err();
        assert!(error.message.starts_with(message), "{error:?}");
        assert_eq!((error.progress, error.retry), (Progress::NotSent, false));
        assert!(server.heard().is_empty());
    }
}

#[tokio::test]
async fn a_hello_that_would_be_two_lines_is_permanent() {
    let error = failure(Script::default(), EmailConfig { hello: "a\r\nDATA".into(), ..settings() }).await;
    assert!(!error.retry && error.message.starts_with("send EHLO command: "), "{error:?}");
}
