//! Configurations that operators run load as they stand, and mail arrives with and without STARTTLS and AUTH.
//! The servers' names are pointed at a local mail server; nothing else is changed.

mod support;

use serde_json::json;
use support::{
    Server, dir_with,
    smtp::{Mail, Offer, Smtp},
};

const BARE_METAL: &str = "
global:
  resolve_timeout: 5m
  smtp_smarthost: 'smtp.163.com:25'
  smtp_from: 'ops@163.com'
  smtp_auth_username: 'ops@163.com'
  smtp_auth_password: 'secret'
  smtp_require_tls: false
route:
  group_by: ['alertname']
  group_wait: 10s
  group_interval: 10s
  repeat_interval: 1h
  receiver: 'mail'
receivers:
  - name: 'mail'
    email_configs:
      - to: 'ops@163.com'
";

const COMPOSE: &str = r#"
route:
  receiver: 'team'
  group_by: [alertname, datacenter, app]
receivers:
  - name: 'team'
    email_configs:
      - to: 'someone@gmail.com'
        from: 'someone@gmail.com'
        smarthost: smtp.gmail.com:587
        auth_username: "someone@gmail.com"
        auth_identity: "someone@gmail.com"
        auth_password: "PASSWORD"
"#;

/// An alert old enough to be told at once, whatever `group_wait` is.
fn mail_for(config: &str) -> (Server, tempfile::TempDir) {
    let dir = dir_with(config);
    let server = Server::start(dir.path(), &[]);
    server.post_alerts(&json!([{
        "labels": {"alertname": "InstanceDown", "instance": "a", "serverity": "warning"},
        "annotations": {"summary": "主机名: a", "description": "业务500报警: 1"},
        "startsAt": "2024-01-01T00:00:00Z",
        "endsAt": "2099-01-01T00:00:00Z",
    }]));
    (server, dir)
}

fn first(smtp: &Smtp, server: &Server) -> Mail {
    smtp.wait("a mail arrives", |mails| {
        if mails.is_empty() {
            assert!(!server.log().contains("panicked"), "{}", server.log());
        }
        mails.first().cloned()
    })
}

#[test]
fn the_files_load_unchanged() {
    for config in [BARE_METAL, COMPOSE] {
        let dir = dir_with(config);
        let server = Server::start(dir.path(), &[]);
        let original = server.get("/api/v2/status")["config"]["original"].as_str().unwrap().to_owned();
        assert!(
            original.contains("<secret>") && !original.contains("PASSWORD") && !original.contains("'secret'"),
            "{original}"
        );
    }
}

#[test]
fn the_bare_metal_set_up_mails_with_auth_on_a_plain_connection() {
    let smtp = Smtp::start(Offer { auth: true, ..Offer::default() });
    let (server, _dir) = mail_for(&BARE_METAL.replace("smtp.163.com:25", &smtp.address));
    let mail = first(&smtp, &server);
    assert_eq!((mail.encrypted, mail.from.as_str(), mail.to), (false, "ops@163.com", vec!["ops@163.com".to_owned()]));
    assert_eq!(mail.login, Some(("ops@163.com".to_owned(), "secret".to_owned())));
}

#[test]
fn the_bare_metal_set_up_mails_to_a_server_that_knows_no_auth() {
    let smtp = Smtp::start(Offer::default());
    let (server, _dir) = mail_for(&BARE_METAL.replace("smtp.163.com:25", &smtp.address));
    assert_eq!(first(&smtp, &server).login, None);
}

#[test]
fn the_compose_set_up_mails_with_starttls_and_auth() {
    let smtp = Smtp::start(Offer { starttls: true, auth: true });
    let certificate = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(certificate.path(), &smtp.certificate).unwrap();
    // The real server's certificate is known to every system; the test's one is not.
    let trust =
        format!("auth_password: \"PASSWORD\"\n        tls_config: {{ca_file: '{}'}}", certificate.path().display());
    let config = COMPOSE.replace("smtp.gmail.com:587", &smtp.address).replace("auth_password: \"PASSWORD\"", &trust);
    let (server, _dir) = mail_for(&config);
    let mail = first(&smtp, &server);
    assert!(mail.encrypted && mail.text.contains("Subject: [FIRING:1] InstanceDown"), "{}", mail.text);
    assert_eq!(mail.login, Some(("someone@gmail.com".to_owned(), "PASSWORD".to_owned())));
}
