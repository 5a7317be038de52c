//! What every integration does alike when a vendor misbehaves, and what it never shows.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use carillon::{
    clock::Clock,
    notify::types::{FailureReason, Notification, Notifier, NotifyError, Progress},
};
use tokio::time::timeout;
use tracing_subscriber::fmt::MakeWriter;

use crate::{
    fixture::{build, firing},
    vendor::{Answer, Vendor},
};

/// Marked secrets, put into configurations.
pub const SECRET: &str = "s3cret-0123456789-mark";
pub const OTHER_SECRET: &str = "oth3r-9876543210-mark";

/// How one integration differs from the others.
pub struct Conduct {
    /// The receiver's list of integrations, for a vendor at this `host:port`.
    pub config: fn(&str) -> String,
    /// The vendor is content.
    pub success: fn() -> Answer,
    /// Other than 5xx.
    pub retried: &'static [u16],
    /// Everything is tried again, with the reason `other`.
    pub always_again: bool,
    /// Without an answer, another attempt is made.
    pub again_without_answer: bool,
}

/// The usual: only 5xx are tried again, the status is enough, no answer is worth another attempt.
pub const STANDARD: Conduct = Conduct {
    config: |_| String::new(),
    success: || Answer::status(200),
    retried: &[],
    always_again: false,
    again_without_answer: true,
};

impl Conduct {
    /// All of it.
    pub async fn check(&self) {
        self.statuses_decide().await;
        self.a_server_error_is_followed_by_success().await;
        self.no_answer_is_no_verdict().await;
        self.secrets_never_show().await;
    }

    async fn vendor(&self, answer: Answer) -> (Vendor, Box<dyn Notifier>) {
        let vendor = Vendor::start(move |_| answer.clone()).await;
        let notifier = build(&(self.config)(&vendor.address.to_string()));
        (vendor, notifier)
    }

    async fn statuses_decide(&self) {
        for (status, reason) in [
            (400, FailureReason::ClientError),
            (401, FailureReason::AuthError),
            (404, FailureReason::ClientError),
            (429, FailureReason::RateLimited),
            (500, FailureReason::ServerError),
            (503, FailureReason::ServerError),
        ] {
            let answer = Answer::status(status).body("the vendor's words").header("retry-after", "17");
            let (_vendor, notifier) = self.vendor(answer).await;
            let error = notifier.notify(&firing()).await.unwrap_err();
            let again = self.always_again || status >= 500 || self.retried.contains(&status);
            let reason = if self.always_again { FailureReason::Other } else { reason };
            assert_eq!((error.retry, error.reason, error.progress), (again, reason, Progress::Refused), "{status}");
            assert!(error.message.contains(&format!("unexpected status code {status}")), "{error}");
            assert_eq!(error.retry_after, Some(Duration::from_secs(17)));
        }
    }

    async fn a_server_error_is_followed_by_success(&self) {
        let (vendor, notifier) = self.vendor(Answer::status(503)).await;
        assert!(notifier.notify(&firing()).await.unwrap_err().retry);
        let success = self.success;
        vendor.answer_with(move |_| success());
        notifier.notify(&firing()).await.unwrap();
    }

    async fn no_answer_is_no_verdict(&self) {
        let (vendor, notifier) = self.vendor(Answer::none()).await;
        let error = notifier.notify(&firing()).await.unwrap_err();
        assert_eq!((error.retry, error.reason), (self.again_without_answer, FailureReason::Other), "{error}");
        assert_eq!(error.progress, Progress::Ambiguous);
        assert!(error.message.contains("<redacted>") && !error.message.contains("127.0.0.1"), "{error}");

        // The pipeline bounds an attempt; an answer that comes later changes nothing.
        vendor.answer_with(|_| Answer::status(200).late(Duration::from_secs(3600)));
        let clock = Clock::system();
        let began = clock.monotonic();
        let limit = Duration::from_secs(60);
        assert!(timeout(limit, notifier.notify(&firing())).await.is_err());
        assert_eq!((clock.monotonic() - began).as_secs(), 60);
        let success = self.success;
        vendor.answer_with(move |_| success());
        notifier.notify(&firing()).await.unwrap();

        let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let unreachable = build(&(self.config)(&nobody.to_string()));
        let error = unreachable.notify(&firing()).await.unwrap_err();
        assert_eq!((error.retry, error.progress), (self.again_without_answer, Progress::NotSent), "{error}");
    }

    /// The vendor repeats everything it was sent, in all ways to say no.
    async fn secrets_never_show(&self) {
        let logs = Logs::default();
        let _guard = logs.capture();
        let echo = |status: u16| {
            move |seen: &crate::vendor::Seen| {
                let decoded = percent_encoding::percent_decode_str(&seen.uri).decode_utf8_lossy().into_owned();
                let said = format!("{} {decoded} {:?} {}", seen.line(), Raw(&seen.headers), seen.body);
                Answer::status(status).body(said)
            }
        };
        let second = if (self.config)("").contains(OTHER_SECRET) { OTHER_SECRET } else { SECRET };
        let mut errors = Vec::new();
        for status in [200, 302, 400, 500] {
            let (vendor, notifier) = self.vendor(Answer::status(200)).await;
            vendor.answer_with(echo(status));
            errors.extend(notifier.notify(&firing()).await.err());
            let said = serde_json::json!({"ok": false, "success": false, "message": SECRET, "error": SECRET,
                "errors": [SECRET, second], "description": SECRET, "errcode": 1, "errmsg": second});
            vendor.answer_with(move |_| Answer::status(status).json(said.clone()));
            errors.extend(notifier.notify(&firing()).await.err());
        }
        let (_vendor, notifier) = self.vendor(Answer::none()).await;
        errors.extend(notifier.notify(&firing()).await.err());
        assert!(errors.len() >= 5, "{errors:?}");
        for error in &errors {
            tracing::warn!(err = %error, "an attempt failed");
        }
        shows_no_secret(&format!("{errors:?}"));
        shows_no_secret(&logs.text());
    }
}

/// Header values as they came, whatever they are marked as.
struct Raw<'a>(&'a http::HeaderMap);

impl std::fmt::Debug for Raw<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(name, value)| (name, value.to_str().unwrap_or("")))).finish()
    }
}

pub fn shows_no_secret(text: &str) {
    for secret in [SECRET, OTHER_SECRET] {
        assert!(!text.contains(secret), "{text}");
    }
}

/// Fails for good before anything is sent.
pub async fn is_unsendable(notifier: &dyn Notifier, notification: &Notification, says: &str) -> NotifyError {
    let error = notifier.notify(notification).await.unwrap_err();
    assert!(error.message.contains(says), "{error}");
    assert_eq!((error.retry, error.reason, error.progress), (false, FailureReason::Other, Progress::NotSent));
    error
}

/// What is logged while a test captures it.
#[derive(Clone, Default)]
pub struct Logs(Arc<Mutex<Vec<u8>>>);

impl Logs {
    pub fn capture(&self) -> tracing::subscriber::DefaultGuard {
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(self.clone());
        tracing::subscriber::set_default(subscriber.finish())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Logs {
    type Writer = Logs;

    fn make_writer(&'a self) -> Logs {
        self.clone()
    }
}
