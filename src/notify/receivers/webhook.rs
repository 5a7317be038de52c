//! The webhook integration: the generic message, or a payload of the operator's own, by POST
//! (reference/receivers.md 1).

use super::{
    BuildContext, BuildError, address, http_status, json, message,
    sender::{Render, Sender},
};
use crate::{
    config::model::WebhookConfig,
    httpconf::Request,
    notify::types::{Notification, Notifier, NotifyError, NotifyFuture, Receipt},
};

/// `version` of the message.
const MESSAGE_VERSION: &str = "4";

/// One webhook.
pub struct Webhook {
    sender: Sender,
    config: WebhookConfig,
}

impl Webhook {
    /// # Errors
    /// An `http_config` that cannot be used.
    pub fn new(config: &WebhookConfig, context: &BuildContext) -> Result<Self, BuildError> {
        Ok(Webhook {
            sender: Sender::new(&config.http, "webhook", context)?.with_timeout(config.timeout),
            config: config.clone(),
        })
    }

    async fn send(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        // Templates see only the alerts that are kept.
        let shortened = match message::first_alerts(&notification.alerts, self.config.max_alerts) {
            (_, 0) => None,
            (kept, _) => Some(Notification { alerts: kept.to_vec(), ..notification.clone() }),
        };
        let mut render = self.sender.render(shortened.as_ref().unwrap_or(notification));
        self.post(&mut render, notification).await.map_err(|error| render.hide(error))
    }

    async fn post(&self, render: &mut Render<'_>, notification: &Notification) -> Result<Receipt, NotifyError> {
        let template = render.plain_secret("url_file", &self.config.url).await?;
        let url = render.secret_text("URL", template)?;
        if url.is_empty() {
            return Err(http_status::unsendable("webhook URL is empty after templating"));
        }
        render.keep_all(address::secrets(&url));
        self.sender.deliver(Request::post_json(url, self.message(render, notification)?), &[]).await
    }

    fn message(&self, render: &Render<'_>, notification: &Notification) -> Result<String, NotifyError> {
        let Some(value) = &self.config.payload else {
            return Ok(message::generic(notification, self.config.max_alerts, MESSAGE_VERSION));
        };
        let rendered = render.payload("payload", value)?;
        json::try_body(256, |out| json::push_payload(out, &rendered)).map_err(http_status::unsendable)
    }
}

impl Notifier for Webhook {
    fn notify<'a>(&'a self, notification: &'a Notification) -> NotifyFuture<'a> {
        Box::pin(self.send(notification))
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::{
        alert::{Alert, Labels},
        clock::{Clock, Time},
        config::model::{HttpConfig, Payload, Secret, SecretSource},
        httpconf::tests::support::{self, Answer, Server},
        notify::types::{FailureReason, Progress, Reason},
        random::Random,
        template::Templates,
    };

    fn time(text: &str) -> Time {
        text.parse().unwrap()
    }

    fn alert(instance: &str, ends_at: Option<Time>) -> Alert {
        Alert {
            labels: Labels::from_pairs([("alertname", "High<Latency>"), ("job", "api"), ("instance", instance)]),
            annotations: Labels::from_pairs([("summary", "p99 & more"), ("empty", "")]),
            generator_url: "http://prom/graph?a=1&b=2".into(),
            starts_at: time("2024-05-06T07:08:09.120Z"),
            ends_at,
            updated_at: time("2024-05-06T07:08:09Z"),
            timeout: false,
            period: 1,
            accepted_at: time("2024-05-06T07:08:09Z"),
            explicit: false,
            bounds: None,
        }
    }

    fn notification(alerts: Vec<Alert>) -> Notification {
        Notification {
            group_key: "{}:{alertname=\"High<Latency>\"}".into(),
            receiver: "team.a".into(),
            group_labels: Labels::from_pairs([("alertname", "High<Latency>")]),
            route_labels: Labels::default(),
            alerts,
            fingerprints: Vec::new(),
            reason: Reason::FirstNotification,
            now: time("2024-05-06T09:00:00Z"),
            external_url: "http://am".into(),
            memory: Default::default(),
        }
    }

    fn config(url: &str) -> WebhookConfig {
        WebhookConfig {
            http: support::plain(),
            url: SecretSource::Inline(Secret(url.into())),
            max_alerts: 0,
            timeout: None,
            payload: None,
        }
    }

    fn webhook(config: &WebhookConfig) -> Webhook {
        let context = BuildContext {
            templates: Arc::new(Templates::load(&[]).unwrap()),
            http: support::options(),
            clock: Clock::system(),
            random: Random::seeded(1),
        };
        Webhook::new(config, &context).unwrap()
    }

    async fn body_sent(config: impl FnOnce(&str) -> WebhookConfig, notification: &Notification) -> String {
        let server = Server::start(|_| Answer::ok()).await;
        webhook(&config(&server.url("/hook"))).notify(notification).await.unwrap();
        server.last().body
    }

    #[tokio::test]
    async fn the_generic_message_has_its_fields_in_order() {
        let alerts = vec![alert("a", None), alert("b", Some(time("2024-05-06T08:09:10.456Z")))];
        let body = body_sent(config, &notification(alerts)).await;
        let one = |status: &str, instance: &str, ends: &str, fingerprint: &str| {
            format!(
                "{{\"status\":\"{status}\",\"labels\":{{\"alertname\":\"High\\u003cLatency\\u003e\",\"instance\":\"{instance}\",\
                 \"job\":\"api\"}},\"annotations\":{{\"empty\":\"\",\"summary\":\"p99 \\u0026 more\"}},\
                 \"startsAt\":\"2024-05-06T07:08:09.12Z\",\"endsAt\":\"{ends}\",\
                 \"generatorURL\":\"http://prom/graph?a=1\\u0026b=2\",\"fingerprint\":\"{fingerprint}\"}}"
            )
        };
        let fingerprint = |instance| alert(instance, None).fingerprint().to_string();
        let expected = format!(
            "{{\"receiver\":\"team\\\\.a\",\"status\":\"firing\",\"alerts\":[{},{}],\
             \"notification_reason\":\"first notification\",\"groupLabels\":{{\"alertname\":\"High\\u003cLatency\\u003e\"}},\
             \"commonLabels\":{{\"alertname\":\"High\\u003cLatency\\u003e\",\"job\":\"api\"}},\
             \"commonAnnotations\":{{\"empty\":\"\",\"summary\":\"p99 \\u0026 more\"}},\"routeLabels\":{{}},\
             \"externalURL\":\"http://am\",\"version\":\"4\",\
             \"groupKey\":\"{{}}:{{alertname=\\\"High\\u003cLatency\\u003e\\\"}}\",\"truncatedAlerts\":0}}\n",
            one("firing", "a", "0001-01-01T00:00:00Z", &fingerprint("a")),
            one("resolved", "b", "2024-05-06T08:09:10.456Z", &fingerprint("b")),
        );
        assert_eq!(body, expected);
    }

    #[tokio::test]
    async fn max_alerts_cuts_before_anything_is_computed() {
        let alerts = vec![alert("a", Some(time("2024-05-06T08:00:00Z"))), alert("b", None), alert("c", None)];
        let with_limit = |url: &str| WebhookConfig { max_alerts: 1, ..config(url) };
        let body: serde_json::Value =
            serde_json::from_str(&body_sent(with_limit, &notification(alerts.clone())).await).unwrap();
        assert_eq!(body["status"], "resolved");
        assert_eq!(body["alerts"].as_array().unwrap().len(), 1);
        assert_eq!(body["commonLabels"]["instance"], "a");
        assert_eq!(body["truncatedAlerts"], 2);

        let with_payload = |url: &str| WebhookConfig {
            payload: Some(Payload::Text("{{ len .Alerts }}".to_owned())),
            ..with_limit(url)
        };
        assert_eq!(body_sent(with_payload, &notification(alerts)).await, "1\n");
    }

    #[tokio::test]
    async fn a_payload_replaces_the_message() {
        let with_payload = |url: &str| WebhookConfig {
            payload: Some(Payload::Map(vec![
                ("s".to_owned(), Payload::Text("{{ .Status }}".to_owned())),
                ("count".to_owned(), Payload::Text("{{ len .Alerts }}".to_owned())),
            ])),
            ..config(url)
        };
        let body = body_sent(with_payload, &notification(vec![alert("a", None)])).await;
        assert_eq!(body, "{\"count\":1,\"s\":\"firing\"}\n");
    }

    #[tokio::test]
    async fn the_url_is_a_template_also_from_a_file() {
        let server = Server::start(|_| Answer::ok()).await;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("url");
        std::fs::write(&path, server.url("/r/{{ .CommonLabels.job }}\n")).unwrap();
        let notification = notification(vec![alert("a", None)]);
        webhook(&config(&server.url("/{{ .Status }}"))).notify(&notification).await.unwrap();
        let from_file = WebhookConfig { url: SecretSource::File(path), ..config("") };
        webhook(&from_file).notify(&notification).await.unwrap();
        let paths: Vec<String> = server.seen().into_iter().map(|seen| seen.uri).collect();
        assert_eq!(paths, ["/firing", "/r/api"]);
    }

    async fn failure(config: &WebhookConfig) -> NotifyError {
        webhook(config).notify(&notification(vec![alert("a", None)])).await.unwrap_err()
    }

    #[tokio::test]
    async fn what_cannot_be_sent_is_final_and_not_sent() {
        let missing = WebhookConfig { url: SecretSource::File("/no/url".into()), ..config("") };
        let bad_payload =
            WebhookConfig { payload: Some(Payload::Text("{{ fail }}".to_owned())), ..config("http://127.0.0.1:1/") };
        for (config, text) in [
            (missing, "read url_file: unable to read file /no/url"),
            (config(""), "webhook URL is empty after templating"),
            (config("{{ fail }}"), "failed to template webhook URL"),
            (bad_payload, "failed to template webhook payload"),
        ] {
            let error = failure(&config).await;
            assert!(error.message.contains(text), "{error}");
            assert_eq!((error.retry, error.progress, error.reason), (false, Progress::NotSent, FailureReason::Other));
        }
    }

    #[tokio::test]
    async fn statuses_decide_on_retry_and_reason() {
        for (status, retry, reason) in [
            (500, true, FailureReason::ServerError),
            (429, false, FailureReason::RateLimited),
            (400, false, FailureReason::ClientError),
            (401, false, FailureReason::AuthError),
            (302, false, FailureReason::Other),
        ] {
            let server = Server::start(move |_| Answer::status(status).body("why")).await;
            let config = WebhookConfig {
                http: HttpConfig { follow_redirects: false, ..support::plain() },
                ..config(&server.url("/"))
            };
            let error = failure(&config).await;
            assert_eq!((error.retry, error.reason, error.progress), (retry, reason, Progress::Refused));
            assert_eq!(error.message, format!("unexpected status code {status}: why"));
        }
    }

    #[tokio::test]
    async fn the_configured_timeout_is_named_and_tried_again() {
        let server = Server::start(|_| Answer { delay: Duration::from_secs(60), ..Answer::ok() }).await;
        let config = WebhookConfig { timeout: Some(Duration::from_millis(150)), ..config(&server.url("/")) };
        let error = failure(&config).await;
        assert_eq!((error.retry, error.reason, error.progress), (true, FailureReason::Other, Progress::Ambiguous));
        assert_eq!(
            error.message,
            "Post \"<redacted>\": context deadline exceeded: configured webhook timeout reached (150ms)"
        );
    }
}
