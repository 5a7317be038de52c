//! Who we say we are: which AUTH mechanism is used and what it sends.
//!
//! The server's order decides among CRAM-MD5, PLAIN and LOGIN; the first for which there is a secret or a
//! password wins. Files with secrets are read when a mechanism asks for them, at each notification.
//! Nothing here talks to a server, and no error text holds a secret.

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD},
};
use hmac::{Hmac, Mac};
use md5::Md5;

use super::encode::hex;
use crate::{
    config::model::{EmailConfig, Secret, SecretSource},
    httpconf::{read_secret, read_text_file},
};

/// A mechanism and what it needs.
#[derive(Debug)]
pub(super) enum Mechanism {
    CramMd5(Secret),
    Plain(Secret),
    Login(Secret),
}

/// Why we cannot say who we are.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AuthError {
    /// Why each offered mechanism is of no use.
    #[error("{0}")]
    NoMechanism(String),
    #[error("unencrypted connection")]
    Unencrypted,
    #[error("unexpected server challenge")]
    Challenge,
}

impl Mechanism {
    /// The first of `offered` (in the server's order) that we can use.
    pub(super) async fn choose(offered: &[String], config: &EmailConfig) -> Result<Self, AuthError> {
        let mut reasons = Vec::new();
        for mechanism in offered {
            let usable = match mechanism.to_ascii_uppercase().as_str() {
                "CRAM-MD5" => shared_secret(config).await.map(Mechanism::CramMd5),
                "PLAIN" => password(config, "PLAIN").await.map(Mechanism::Plain),
                "LOGIN" => password(config, "LOGIN").await.map(Mechanism::Login),
                _ => continue,
            };
            match usable {
                Ok(mechanism) => return Ok(mechanism),
                Err(reason) => reasons.push(reason),
            }
        }
        if reasons.is_empty() {
            reasons.push(format!("unknown auth mechanism: {}", offered.join(" ")));
        }
        Err(AuthError::NoMechanism(reasons.join("; ")))
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Mechanism::CramMd5(_) => "CRAM-MD5",
            Mechanism::Plain(_) => "PLAIN",
            Mechanism::Login(_) => "LOGIN",
        }
    }

    /// The AUTH command, without its line break. A password goes out in it only where nobody can listen:
    /// over TLS, or to this machine.
    pub(super) fn command(&self, config: &EmailConfig, encrypted: bool) -> Result<String, AuthError> {
        match self {
            Mechanism::Plain(password) => {
                if !encrypted && !is_this_machine(&config.smarthost_host) {
                    return Err(AuthError::Unencrypted);
                }
                let response = format!("{}\0{}\0{}", config.auth_identity, config.auth_username, password.0);
                Ok(format!("AUTH PLAIN {}", BASE64_STANDARD.encode(response)))
            }
            Mechanism::CramMd5(_) | Mechanism::Login(_) => Ok(format!("AUTH {}", self.name())),
        }
    }

    /// The answer to one challenge as the server wrote it, without its line break.
    pub(super) fn answer(&self, username: &str, challenge: &str) -> Result<String, AuthError> {
        let challenge =
            BASE64_STANDARD_NO_PAD.decode(challenge.trim().trim_end_matches('=')).map_err(|_| AuthError::Challenge)?;
        let answer = match self {
            Mechanism::CramMd5(secret) => format!("{username} {}", keyed_digest(&secret.0, &challenge)),
            Mechanism::Login(_) if challenge.eq_ignore_ascii_case(b"username:") => username.to_owned(),
            Mechanism::Login(password) if challenge.eq_ignore_ascii_case(b"password:") => password.0.to_string(),
            Mechanism::Login(_) | Mechanism::Plain(_) => return Err(AuthError::Challenge),
        };
        Ok(BASE64_STANDARD.encode(answer))
    }
}

fn is_this_machine(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "::1")
}

/// HMAC-MD5 in lower-case hex, as RFC 2195 wants it.
fn keyed_digest(secret: &str, challenge: &[u8]) -> String {
    // An HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Md5>::new_from_slice(secret.as_bytes()) else { return String::new() };
    mac.update(challenge);
    hex(&mac.finalize().into_bytes())
}

/// The password, or why there is none. Empty is none.
async fn password(config: &EmailConfig, mechanism: &str) -> Result<Secret, String> {
    let Some(source) = &config.auth_password else { return Err(missing("password", mechanism)) };
    let password = read_secret(source).await.map_err(|error| error.to_string())?;
    if password.is_empty() { Err(missing("password", mechanism)) } else { Ok(Secret(password.into())) }
}

/// As [`password`], but a secret's file is used to the last byte.
async fn shared_secret(config: &EmailConfig) -> Result<Secret, String> {
    let secret = match &config.auth_secret {
        None => return Err(missing("secret", "CRAM-MD5")),
        Some(SecretSource::Inline(secret)) => secret.clone(),
        Some(SecretSource::File(path)) => Secret(read_text_file(path).await.map_err(|error| error.to_string())?.into()),
    };
    if secret.0.is_empty() { Err(missing("secret", "CRAM-MD5")) } else { Ok(secret) }
}

fn missing(what: &str, mechanism: &str) -> String {
    format!("missing {what} for {mechanism} auth mechanism")
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{secret, settings},
        *,
    };

    fn offered(list: &str) -> Vec<String> {
        list.split(' ').map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn the_first_usable_mechanism_in_the_servers_order_wins() {
        let cases = [
            ("PLAIN LOGIN CRAM-MD5", Some("pw"), Some("s"), Ok("PLAIN")),
            ("CRAM-MD5 LOGIN PLAIN", Some("pw"), Some("s"), Ok("CRAM-MD5")),
            ("CRAM-MD5 LOGIN PLAIN", Some("pw"), None, Ok("LOGIN")),
            ("XOAUTH2 LOGIN", Some("pw"), None, Ok("LOGIN")),
            ("plain", Some("pw"), None, Ok("PLAIN")),
            (
                "CRAM-MD5 PLAIN",
                Some(""),
                None,
                Err("missing secret for CRAM-MD5 auth mechanism; missing password for PLAIN auth mechanism"),
            ),
            ("XOAUTH2 NTLM", Some("pw"), None, Err("unknown auth mechanism: XOAUTH2 NTLM")),
        ];
        for (list, password, shared, expected) in cases {
            let config = EmailConfig {
                auth_password: password.and_then(secret),
                auth_secret: shared.and_then(secret),
                ..settings()
            };
            let chosen = Mechanism::choose(&offered(list), &config).await;
            let chosen = chosen.as_ref().map(Mechanism::name).map_err(ToString::to_string);
            assert_eq!(chosen, expected.map_err(str::to_owned), "{list}");
        }
    }

    #[tokio::test]
    async fn a_password_file_is_trimmed_and_a_secret_file_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, " pw \n").unwrap();
        let config = EmailConfig {
            auth_password: Some(SecretSource::File(path.clone())),
            auth_secret: Some(SecretSource::File(path)),
            ..settings()
        };
        assert_eq!(&*password(&config, "PLAIN").await.unwrap().0, "pw");
        assert_eq!(&*shared_secret(&config).await.unwrap().0, " pw \n");
    }

    #[tokio::test]
    async fn a_missing_file_is_named() {
        let config = EmailConfig { auth_password: Some(SecretSource::File("/no/such".into())), ..settings() };
        assert!(Mechanism::choose(&offered("PLAIN"), &config).await.unwrap_err().to_string().contains("/no/such"));
    }

    #[test]
    fn plain_is_refused_in_the_clear_except_to_this_machine() {
        let plain = Mechanism::Plain(Secret("pw".into()));
        let remote = EmailConfig { smarthost_host: "mail.example.org".into(), ..settings() };
        assert_eq!(plain.command(&remote, false), Err(AuthError::Unencrypted));
        assert!(plain.command(&remote, true).is_ok());
        for host in ["localhost", "127.0.0.1", "::1"] {
            let local = EmailConfig { smarthost_host: host.into(), ..settings() };
            assert!(plain.command(&local, false).is_ok(), "{host}");
        }
    }

    #[test]
    fn plain_sends_identity_name_and_password() {
        let config = EmailConfig { auth_identity: "id".into(), auth_username: "us".into(), ..settings() };
        let command = Mechanism::Plain(Secret("pä ss".into())).command(&config, true).unwrap();
        let response = BASE64_STANDARD.decode(command.strip_prefix("AUTH PLAIN ").unwrap()).unwrap();
        assert_eq!(response, "id\0us\0pä ss".as_bytes());
    }

    #[test]
    fn cram_md5_answers_as_in_the_example_of_rfc_2195() {
        let mechanism = Mechanism::CramMd5(Secret("tanstaaftanstaaf".into()));
        let challenge = "PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+";
        assert_eq!(mechanism.answer("tim", challenge).unwrap(), "dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw");
    }

    #[test]
    fn login_answers_its_two_prompts_in_any_case_and_no_other() {
        let mechanism = Mechanism::Login(Secret("pw".into()));
        let prompt = |text: &str| mechanism.answer("us", &BASE64_STANDARD.encode(text));
        assert_eq!(prompt("Username:").unwrap(), BASE64_STANDARD.encode("us"));
        assert_eq!(prompt("PASSWORD:").unwrap(), BASE64_STANDARD.encode("pw"));
        assert_eq!(prompt("Token:"), Err(AuthError::Challenge));
        assert_eq!(mechanism.answer("us", "!"), Err(AuthError::Challenge));
    }

    #[test]
    fn a_mechanism_does_not_print_its_secret() {
        assert_eq!(format!("{:?}", Mechanism::Plain(Secret("pw".into()))), "Plain(<secret>)");
    }
}
