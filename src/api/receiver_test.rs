//! `POST /carillon/receivers/{name}/test`: a marked notification through one receiver of the running configuration. Ours
//! alone; Alertmanager has no such place.
//!
//! Whoever may call it can make this server send: so it answers only requests with a login of the web configuration
//! file, or all when the server was started with `--web.enable-receiver-test`. Else it says how to allow it. Pages of
//! other sites in somebody's browser are refused in any case.

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc, time::Duration};

use http::{StatusCode, header::ORIGIN, request::Parts};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use super::{
    Api, ReadBody,
    answer::{Answer, Body, Fault, json_body, refused},
};

/// Put into the extensions of a request that came with a good login.
#[derive(Clone, Copy, Debug)]
pub struct Authenticated;

const OFF: &str = "receiver tests are allowed only to users of basic_auth_users in --web.config.file, or to everybody \
                   with the flag --web.enable-receiver-test";

/// What is wanted. All of it may be left out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TestOrder {
    /// Labels of the alert, beside `alertname`.
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    /// Tell the end of the test, not its beginning.
    pub resolved: bool,
    /// Say what would be sent, with secrets masked, and send nothing.
    pub dry_run: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TestReport {
    pub receiver: String,
    pub attempts: Vec<TestAttempt>,
}

/// One attempt of one integration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TestAttempt {
    pub integration: &'static str,
    pub index: usize,
    /// From 1.
    pub attempt: usize,
    pub outcome: TestOutcome,
    /// Why it failed, why nothing was sent, or what would be sent.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    pub seconds: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TestOutcome {
    Sent,
    Failed,
    /// A dry run: the message is the request.
    Rehearsed,
    /// This integration is not told of what has ended.
    Skipped,
}

/// Why there is no report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TestRefused {
    #[error("there is no receiver {0:?} in the running configuration")]
    NoSuchReceiver(String),
    #[error("{0}")]
    Unusable(String),
}

pub type TestFuture = Pin<Box<dyn Future<Output = Result<TestReport, TestRefused>> + Send>>;

/// Sends test notifications: receiver and order in, report out.
pub type TestReceiver = Arc<dyn Fn(String, TestOrder) -> TestFuture + Send + Sync>;

/// The offer of an application to test receivers.
pub struct ReceiverTests {
    /// Everybody may.
    pub open: bool,
    pub run: TestReceiver,
}

/// For all attempts together; somebody waits for the answer.
pub const TEST_TIME_MAX: Duration = Duration::from_secs(25);

impl Api {
    /// Receivers can be tested from now on. Later calls have no effect.
    pub fn offer_receiver_tests(&self, tests: ReceiverTests) {
        let _ = self.receiver_tests.set(tests);
    }

    pub(super) async fn test_receiver(&self, name: &str, parts: &Parts, body: &ReadBody) -> Result<Answer, Fault> {
        let is_authenticated = parts.extensions.get::<Authenticated>().is_some();
        if parts.headers.contains_key(ORIGIN) {
            return Ok(refused(StatusCode::FORBIDDEN, "receiver tests are not for browsers"));
        }
        let tests = self.receiver_tests.get().filter(|tests| tests.open || is_authenticated);
        let Some(tests) = tests else { return Ok(refused(StatusCode::FORBIDDEN, OFF)) };
        let order = if body.bytes.is_empty() { Ok(TestOrder::default()) } else { serde_json::from_slice(&body.bytes) };
        let order = match order {
            Ok(order) => order,
            Err(error) => return Ok(refused(StatusCode::BAD_REQUEST, &error.to_string())),
        };
        let name = percent_decode_str(name).decode_utf8_lossy().into_owned();
        Ok(match (tests.run)(name, order).await {
            Ok(report) => {
                let text = serde_json::to_vec(&report).map_err(|error| Fault::new(500, error.to_string()))?;
                json_body(StatusCode::OK, Body::whole(text))
            }
            Err(error @ TestRefused::NoSuchReceiver(_)) => refused(StatusCode::NOT_FOUND, &error.to_string()),
            Err(error @ TestRefused::Unusable(_)) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Request;
    use http_body_util::Full;

    use super::*;
    use crate::api::testing;

    const CONFIG: &str = "route: {receiver: r}\nreceivers: [{name: r}]\n";

    async fn post(api: &Arc<Api>, path: &str, login: bool, body: &'static str) -> (u16, String) {
        let mut request = Request::post(format!("http://h/api/v2{path}"))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from_static(body.as_bytes())))
            .unwrap();
        if login {
            request.extensions_mut().insert(Authenticated);
        }
        testing::text(api.handle(path, path, request).await).await
    }

    fn offer(api: &Api, open: bool) {
        let run: TestReceiver = Arc::new(|receiver, order| {
            Box::pin(async move {
                if receiver != "a/b" {
                    return Err(TestRefused::NoSuchReceiver(receiver));
                }
                let outcome = if order.dry_run { TestOutcome::Rehearsed } else { TestOutcome::Sent };
                let message = String::new();
                let attempt =
                    TestAttempt { integration: "webhook", index: 0, attempt: 1, outcome, message, seconds: 0.5 };
                Ok(TestReport { receiver, attempts: vec![attempt] })
            })
        });
        api.offer_receiver_tests(ReceiverTests { open, run });
    }

    #[tokio::test]
    async fn without_a_login_or_the_flag_nobody_can_make_the_server_send() {
        let api = testing::api(CONFIG);
        assert_eq!(post(&api, "/carillon/receivers/a%2Fb/test", true, "{}").await.0, 403);
        offer(&api, false);
        let (status, text) = post(&api, "/carillon/receivers/a%2Fb/test", false, "{}").await;
        assert_eq!(status, 403);
        assert!(text.contains("--web.enable-receiver-test"), "{text}");
        assert_eq!(post(&api, "/carillon/receivers/a%2Fb/test", true, "{}").await.0, 200);
        let api = testing::api(CONFIG);
        offer(&api, true);
        assert_eq!(post(&api, "/carillon/receivers/a%2Fb/test", false, "").await.0, 200);
    }

    #[tokio::test]
    async fn a_page_of_another_site_cannot_make_the_server_send() {
        let api = testing::api(CONFIG);
        offer(&api, true);
        let request = Request::post("http://h/x").header("origin", "http://evil.example").body(Full::new(Bytes::new()));
        let answer = api.handle("/carillon/receivers/a%2Fb/test", "/x", request.unwrap()).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    }

    #[tokio::test]
    async fn the_report_tells_each_attempt() {
        let api = testing::api(CONFIG);
        offer(&api, true);
        assert_eq!(
            post(&api, "/carillon/receivers/a%2Fb/test", false, "{\"dryRun\":true}").await.1,
            r#"{"receiver":"a/b","attempts":[{"integration":"webhook","index":0,"attempt":1,"outcome":"rehearsed","seconds":0.5}]}"#
        );
        assert_eq!(post(&api, "/carillon/receivers/x/test", false, "{}").await.0, 404);
        assert_eq!(post(&api, "/carillon/receivers/x/test", false, "{\"nothing\":1}").await.0, 400);
    }
}
