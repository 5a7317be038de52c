//! A client that rehearses: it says what it would send and sends nothing.
//!
//! What it says is the text of its error, so that it takes the way of every error through an integration, which
//! hides the secrets that it knows. Credentials of the client itself are shown by name only.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http::{HeaderName, HeaderValue};

use super::{Request, auth::is_sensitive};

const HIDDEN: &str = "<secret>";
/// Shown of a body.
const BODY_BYTES_MAX: usize = 64 << 10;

/// Given to clients that shall rehearse; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Rehearsal(Arc<AtomicBool>);

impl Rehearsal {
    /// Whether anything would have been sent.
    #[must_use]
    pub fn happened(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Something would have been sent now.
    pub fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The request as it would go out. `added` are headers whose values come from the client's own settings.
pub(super) fn script(request: &Request, added: &[HeaderName]) -> String {
    let mut text = format!("{} {}\n", request.method, request.url);
    for (name, value) in &request.headers {
        let hidden = is_sensitive(name) || value.is_sensitive();
        let value = if hidden { HIDDEN } else { HeaderValue::to_str(value).unwrap_or(HIDDEN) };
        text += &format!("{name}: {value}\n");
    }
    for name in added {
        text += &format!("{name}: {HIDDEN}\n");
    }
    let body = request.body.get(..request.body.len().min(BODY_BYTES_MAX)).unwrap_or_default();
    if !body.is_empty() {
        text += &format!("\n{}", String::from_utf8_lossy(body));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::model::{BasicAuth, HeaderValueSource, HttpConfig, Secret, SecretSource},
        httpconf::{Client, ClientOptions, ErrorKind, tests::support},
    };

    #[tokio::test]
    async fn nothing_is_sent_and_no_credential_shown() {
        let rehearsal = Rehearsal::default();
        let options = ClientOptions { rehearsal: Some(rehearsal.clone()), ..support::options() };
        let password = Some(SecretSource::Inline(Secret("hush".into())));
        let config = HttpConfig {
            basic_auth: Some(BasicAuth { username: "u".into(), username_file: None, password }),
            headers: vec![("X-Key".into(), vec![HeaderValueSource::Secret(Secret("hush".into()))])],
            ..support::plain()
        };
        let client = Client::new(&config, "test", &options).unwrap();
        assert!(!rehearsal.happened());
        // Nobody listens there.
        let error = client.send(support::post("http://127.0.0.1:1/x".to_owned())).await.unwrap_err();
        assert_eq!((error.kind, error.sent, rehearsal.happened()), (ErrorKind::Rehearsed, false, true));
        assert_eq!(
            error.message,
            "POST http://127.0.0.1:1/x\ncontent-type: application/json\nauthorization: <secret>\nx-key: <secret>\n\n{\"a\":1}"
        );
    }
}
