//! E-mail.

use std::collections::BTreeMap;

use super::{
    http::{Tls, canonical_header},
    required, shipped,
};
use crate::{
    alert::text::quote,
    config::{
        values::{HostPort, SecretText},
        yaml::{
            decode::{Decoder, Stop},
            structure::structure,
        },
    },
};

pub const DEFAULT_SUBJECT: &str = "{{ template \"email.default.subject\" . }}";

structure! {
    Email "email_configs" checked {
        send_resolved: bool = false, always;
        to: String;
        from: String;
        hello: String;
        smarthost: HostPort;
        auth_username: String;
        auth_password: SecretText;
        auth_password_file: String;
        auth_secret: SecretText;
        auth_secret_file: String;
        auth_identity: String;
        headers: BTreeMap<String, String>;
        html: String = shipped!("email.default.html");
        text: String;
        require_tls: Option<bool>;
        tls_config: Option<Box<Tls>>;
        force_implicit_tls: Option<bool>;
        threading: Threading;
    }
}

structure! {
    Threading "threading" {
        enabled: bool;
        thread_by_date: String;
    }
}

impl Email {
    fn check(&mut self, _: &mut Decoder<'_>) -> Result<(), Stop> {
        required(!self.to.is_empty(), "missing to address in email config")?;
        let mut headers = BTreeMap::new();
        for (name, value) in std::mem::take(&mut self.headers) {
            let name = canonical_header(&name);
            if headers.contains_key(&name) {
                return Err(Stop::because(format!("duplicate header {} in email config", quote(&name))));
            }
            headers.insert(name, value);
        }
        self.headers = headers;
        if !self.threading.enabled {
            return Ok(());
        }
        required(
            matches!(self.threading.thread_by_date.as_str(), "none" | "daily"),
            "threading.thread_by_date must be either 'none' or 'daily'",
        )?;
        for name in ["References", "In-Reply-To"] {
            if self.headers.contains_key(name) {
                return Err(Stop::because(format!(
                    "conflicting configuration: threading.enabled conflicts with custom {name} header"
                )));
            }
        }
        Ok(())
    }

    /// Adds the headers that every message has.
    pub fn complete_headers(&mut self) {
        let own = [("Subject", DEFAULT_SUBJECT), ("To", self.to.as_str()), ("From", self.from.as_str())];
        for (name, value) in own {
            self.headers.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
    }
}
