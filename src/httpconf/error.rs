//! What can go wrong, in words for operators: no URL, no secret, and close to what the reference would say.

use std::io;

use http::Method;

/// The client cannot be built from its block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpConfigError {
    #[error("cannot use secret ref without manager")]
    SecretRef,
    /// Certificates, keys, versions.
    #[error("{0}")]
    Tls(String),
    #[error("invalid proxy address: {0}")]
    Proxy(String),
    #[error("invalid header name {0:?}")]
    HeaderName(String),
    #[error("invalid address: {0}")]
    Address(String),
    #[error("{0}")]
    OAuth2(String),
}

/// Where an exchange failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The URL cannot be used: trying again cannot help.
    Url,
    /// A file with a secret or certificate cannot be read or used.
    Secret,
    /// No `OAuth2` token.
    Token,
    Resolve,
    Connect,
    Proxy,
    Tls,
    /// Too many redirects, or one that leads nowhere.
    Redirect,
    /// The request's own time limit.
    Timeout,
    /// The connection broke, or the answer was not HTTP.
    Exchange,
    /// The client only rehearses: the message is what it would have sent.
    Rehearsed,
}

/// A request that got no final answer. The text names the method, never the URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct HttpError {
    pub kind: ErrorKind,
    pub message: String,
    /// Whether any part of the request may have reached a server (a redirecting one counts).
    /// `false` is a promise.
    pub sent: bool,
}

impl HttpError {
    pub(super) fn new(method: &Method, failure: Failure, sent: bool) -> Self {
        let Failure { kind, text } = failure;
        HttpError { kind, message: format!("{} \"<redacted>\": {text}", verb(method)), sent }
    }
}

/// `Post` for `POST`.
fn verb(method: &Method) -> String {
    let name = method.as_str();
    let (first, rest) = name.split_at(name.len().min(1));
    format!("{first}{}", rest.to_ascii_lowercase())
}

/// An error on its way up, before the method is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub kind: ErrorKind,
    pub text: String,
}

impl Failure {
    pub(super) fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Failure { kind, text: text.into() }
    }
}

/// The system's words for an I/O error, without Rust's additions.
pub(super) fn io_text(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return "EOF".to_owned();
    }
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    match (chars.next(), error.raw_os_error()) {
        (Some(first), Some(_)) => first.to_lowercase().chain(chars).collect(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_method_and_hides_the_url() {
        let error = HttpError::new(&Method::POST, Failure::new(ErrorKind::Exchange, "EOF"), true);
        assert_eq!(error.to_string(), "Post \"<redacted>\": EOF");
    }

    #[test]
    fn system_errors_read_as_in_go() {
        assert_eq!(io_text(&io::Error::from_raw_os_error(2)), "no such file or directory");
        assert_eq!(io_text(&io::Error::from_raw_os_error(111)), "connection refused");
    }
}
