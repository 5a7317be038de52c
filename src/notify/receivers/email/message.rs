//! Writes the mail: headers and parts from templates, and the envelope that goes with them.
//!
//! The form is the reference's (reference/receivers.md 2), down to the two spaces before `boundary`: filters
//! and threads at the receiving end go by it. Everything that can be wrong with a template or an address is
//! found here, before a server is bothered. Nothing here reads a clock: time and randomness are handed in.

use std::fmt::Write;

use chrono::{DateTime, Local};
use sha2::{Digest, Sha256};

use super::{
    address::{Address, AddressError, parse_list},
    encode::{header_value, hex, push_header, push_quoted_printable},
};
use crate::{
    clock::Time,
    config::model::{EmailConfig, EmailThreading},
    notify::types::Notification,
    random::Random,
    template::{Data, TemplateError, Templates},
};

/// A mail, ready to be handed over.
#[derive(Debug)]
pub(super) struct Message {
    pub from: Address,
    pub to: Vec<Address>,
    /// Headers and body, lines ending in `\r\n`, without the last line break: the transfer adds it.
    pub text: String,
}

/// Why a mail cannot be written. Trying again would not help.
#[derive(Debug, thiserror::Error)]
pub(super) enum MessageError {
    #[error("execute {what} template: {source}")]
    Template { what: String, source: TemplateError },
    #[error("parse '{what}' addresses: {source}")]
    Address { what: &'static str, source: AddressError },
    #[error("must be exactly one 'from' address (got: {0})")]
    Senders(usize),
}

/// What a mail is made from, besides its settings.
pub(super) struct Occasion<'a> {
    pub templates: &'a Templates,
    pub notification: &'a Notification,
    pub now: Time,
    pub random: &'a Random,
    pub hostname: &'a str,
}

/// Writes the mail.
pub(super) fn compose(config: &EmailConfig, occasion: &Occasion<'_>) -> Result<Message, MessageError> {
    let writer = Writer { config, occasion, data: Data::from_notification(occasion.notification) };
    let from = writer.addresses("from", &config.from)?;
    let to = writer.addresses("to", &config.to)?;
    let [from] = <[Address; 1]>::try_from(from).map_err(|list| MessageError::Senders(list.len()))?;

    let mut text = String::new();
    writer.headers(&mut text)?;
    writer.parts(&mut text)?;
    Ok(Message { from, to, text })
}

struct Writer<'a> {
    config: &'a EmailConfig,
    occasion: &'a Occasion<'a>,
    data: Data,
}

impl Writer<'_> {
    fn text(&self, what: impl Into<String>, template: &str) -> Result<String, MessageError> {
        let text = self.occasion.templates.text(template, &self.data);
        text.map_err(|source| MessageError::Template { what: what.into(), source })
    }

    fn addresses(&self, what: &'static str, template: &str) -> Result<Vec<Address>, MessageError> {
        let text = self.text(format!("'{what}'"), template)?;
        parse_list(&text).map_err(|source| MessageError::Address { what, source })
    }

    /// Those of the settings, then those that the settings leave to us.
    fn headers(&self, out: &mut String) -> Result<(), MessageError> {
        let configured = |name: &str| self.config.headers.contains_key(name);
        let missing = [
            ("Subject", r#"{{ template "email.default.subject" . }}"#),
            ("To", self.config.to.as_str()),
            ("From", self.config.from.as_str()),
        ];
        let missing = missing.into_iter().filter(|(name, _)| !configured(name));
        let headers = self.config.headers.iter().map(|(name, template)| (name.as_str(), template.as_str()));
        for (name, template) in headers.chain(missing) {
            let value = self.text(format!("{name:?} header"), template)?;
            push_header(out, name, &header_value(&value));
        }
        if !configured("Message-Id") {
            push_header(out, "Message-Id", &self.message_id());
        }
        if let Some(root) = self.thread_root() {
            push_header(out, "References", &root);
            push_header(out, "In-Reply-To", &root);
        }
        push_header(out, "Date", &self.local_now().format("%a, %d %b %Y %H:%M:%S %z").to_string());
        Ok(())
    }

    fn message_id(&self) -> String {
        let Occasion { now, random, hostname, .. } = self.occasion;
        format!("<{}.{}@{hostname}>", now.timestamp_nanos_opt().unwrap_or_default(), random.next_u64())
    }

    /// The message that all mails of a group claim to answer. Nobody ever sent it: mail programs make up an
    /// empty one to hang the thread on.
    fn thread_root(&self) -> Option<String> {
        let day = match self.config.threading? {
            EmailThreading::Daily => self.local_now().format("%Y-%m-%d").to_string(),
            EmailThreading::None => String::new(),
        };
        let digest = Sha256::digest(self.occasion.notification.group_key.as_bytes());
        let group = hex(digest.first_chunk::<8>().map_or(&[], |start| start.as_slice()));
        Some(format!("<alert-{group}-{day}@alertmanager>"))
    }

    fn local_now(&self) -> DateTime<Local> {
        self.occasion.now.with_timezone(&Local)
    }

    /// The rest of the headers and the body: always multipart, the text first.
    fn parts(&self, out: &mut String) -> Result<(), MessageError> {
        let boundary = boundary(self.occasion.random);
        let content_type = format!("multipart/alternative;  boundary={boundary}");
        push_header(out, "Content-Type", &content_type);
        push_header(out, "MIME-Version", "1.0");
        out.push_str("\r\n");

        let mut opening = format!("--{boundary}\r\n");
        if !self.config.text.is_empty() {
            let body = self.text("text", &self.config.text)?;
            push_part(out, &opening, "text/plain", &body);
            opening = format!("\r\n--{boundary}\r\n");
        }
        if !self.config.html.is_empty() {
            let html = self.occasion.templates.html(&self.config.html, &self.data);
            let body = html.map_err(|source| MessageError::Template { what: "html".to_owned(), source })?;
            push_part(out, &opening, "text/html", &body);
        }
        // Writing to a String does not fail.
        let _ = write!(out, "\r\n--{boundary}--");
        Ok(())
    }
}

fn push_part(out: &mut String, opening: &str, content_type: &str, body: &str) {
    out.push_str(opening);
    push_header(out, "Content-Transfer-Encoding", "quoted-printable");
    push_header(out, "Content-Type", &format!("{content_type}; charset=UTF-8"));
    out.push_str("\r\n");
    push_quoted_printable(out, body);
}

/// 60 hex digits: no body contains them by chance.
fn boundary(random: &Random) -> String {
    let words = [random.next_u64(), random.next_u64(), random.next_u64(), random.next_u64()];
    let mut digits: String = words.map(|word| hex(&word.to_be_bytes())).concat();
    digits.truncate(60);
    digits
}
