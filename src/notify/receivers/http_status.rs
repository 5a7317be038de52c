//! From an HTTP answer, or none, to the outcome of an attempt (reference/receivers.md 0.2, 0.3).

use std::time::Duration;

use chrono::DateTime;
use http::header::RETRY_AFTER;

use crate::{
    clock::Time,
    httpconf::{ErrorKind, HttpError, Response},
    notify::types::{FailureReason, NotifyError, Progress},
};

/// Of an answer's body, in an error text.
const DETAIL_BYTES_MAX: usize = 8 << 10;
/// Longer waits than this are not asked for in earnest.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

/// The standard check: 2xx is success, 5xx and `retry_codes` may be tried again, all else is final.
///
/// # Errors
/// `unexpected status code N: <body>`.
pub fn check(response: &Response, retry_codes: &[u16], now: Time) -> Result<(), NotifyError> {
    check_with(response, retry_codes, now, |response| String::from_utf8_lossy(&response.body).into_owned())
}

/// As [`check`], with the integration's own way of reading what the answer says.
///
/// # Errors
/// `unexpected status code N`, and `: <detail>` if there is any.
pub fn check_with(
    response: &Response,
    retry_codes: &[u16],
    now: Time,
    detail: impl FnOnce(&Response) -> String,
) -> Result<(), NotifyError> {
    let status = response.status;
    if (200..300).contains(&status) {
        return Ok(());
    }
    let mut message = format!("unexpected status code {status}");
    let detail = detail(response);
    if !detail.is_empty() {
        message.push_str(": ");
        message.push_str(shortened(&detail));
    }
    Err(NotifyError {
        message,
        retry: (500..600).contains(&status) || retry_codes.contains(&status),
        reason: FailureReason::from_status(status),
        progress: Progress::Refused,
        retry_after: retry_after(response, now),
    })
}

/// What of an answer is worth showing.
fn shortened(detail: &str) -> &str {
    detail.get(..detail.floor_char_boundary(DETAIL_BYTES_MAX)).unwrap_or_default()
}

/// The status was good, but the answer says that the message was not taken: final.
#[must_use]
pub fn refused(message: &str) -> NotifyError {
    NotifyError {
        message: shortened(message).to_owned(),
        retry: false,
        reason: FailureReason::ClientError,
        progress: Progress::Refused,
        retry_after: None,
    }
}

/// The status was good, but what the answer says cannot be known: worth another attempt.
#[must_use]
pub fn unreadable(message: &str) -> NotifyError {
    NotifyError {
        message: shortened(message).to_owned(),
        retry: true,
        reason: FailureReason::Other,
        progress: Progress::Ambiguous,
        retry_after: None,
    }
}

/// `Retry-After`: seconds, or a date.
#[must_use]
pub fn retry_after(response: &Response, now: Time) -> Option<Duration> {
    let text = response.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => (DateTime::parse_from_rfc2822(text).ok()?.to_utc() - now).to_std().ok()?,
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// No answer at all: worth another attempt unless the URL itself is unusable.
#[must_use]
pub fn no_answer(error: HttpError) -> NotifyError {
    NotifyError {
        retry: error.kind != ErrorKind::Url,
        reason: FailureReason::Other,
        progress: if error.sent { Progress::Ambiguous } else { Progress::NotSent },
        retry_after: None,
        message: error.message,
    }
}

/// Something that another attempt cannot cure, found before anything was sent: a template, a missing URL.
#[must_use]
pub fn unsendable(message: impl Into<String>) -> NotifyError {
    NotifyError {
        message: message.into(),
        retry: false,
        reason: FailureReason::Other,
        progress: Progress::NotSent,
        retry_after: None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue};

    use super::*;

    fn answer(status: u16, body: &'static str) -> Response {
        Response {
            status,
            headers: HeaderMap::new(),
            body: Bytes::from_static(body.as_bytes()),
            body_complete: true,
            sent_secrets: Vec::new(),
        }
    }

    fn now() -> Time {
        "2015-10-21T07:27:00Z".parse().unwrap()
    }

    #[test]
    fn success_needs_a_2xx_status() {
        assert!(check(&answer(204, ""), &[], now()).is_ok());
        let error = check(&answer(302, ""), &[], now()).unwrap_err();
        assert_eq!(
            (error.message.as_str(), error.retry, error.reason),
            ("unexpected status code 302", false, FailureReason::Other)
        );
    }

    #[test]
    fn server_errors_and_listed_codes_are_tried_again() {
        let retry = |status, codes: &[u16]| check(&answer(status, "no"), codes, now()).unwrap_err().retry;
        assert!(retry(503, &[]) && retry(429, &[429]));
        assert!(!retry(429, &[]) && !retry(400, &[429]));
        assert_eq!(check(&answer(500, "no"), &[], now()).unwrap_err().message, "unexpected status code 500: no");
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let with = |value: &'static str| {
            let mut response = answer(429, "");
            response.headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
            retry_after(&response, now())
        };
        assert_eq!(with("120"), Some(Duration::from_secs(120)));
        assert_eq!(with("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(with("Wed, 21 Oct 2015 07:26:00 GMT"), None);
        assert_eq!(with("soon"), None);
    }
}
