//! The incident.io integration: the generic message to an alert source (reference/receivers.md 16).

use http::{HeaderValue, header::AUTHORIZATION};
use serde_json::Value;

use super::{
    BuildContext, BuildError, http_status, message,
    sender::{Render, Sender, secret_at_build, secret_header},
};
use crate::{
    config::model::IncidentIoConfig,
    httpconf::{Request, Response},
    notify::types::{Notification, Notifier, NotifyError, NotifyFuture, Receipt},
};

/// `version` of the message.
const MESSAGE_VERSION: &str = "1";
const MESSAGE_BYTES_MAX: usize = 512 * 1024;
const RETRY_CODES: &[u16] = &[429];

/// One alert source of incident.io.
pub struct IncidentIo {
    sender: Sender,
    config: IncidentIoConfig,
    /// `Bearer <token>`; without one, the HTTP client authorises, or nobody does.
    authorization: Option<HeaderValue>,
    token: Option<String>,
}

impl IncidentIo {
    /// # Errors
    /// An `http_config` that cannot be used, or a token file that cannot be read.
    pub fn new(config: &IncidentIoConfig, context: &BuildContext) -> Result<Self, BuildError> {
        let source = config.alert_source_token.as_ref();
        let token = source.map(|source| secret_at_build("alert_source_token_file", source)).transpose()?;
        let header = |token: &String| secret_header("alert_source_token", &format!("Bearer {token}"));
        Ok(IncidentIo {
            sender: Sender::new(&config.http, "incidentio", context)?.with_timeout(config.timeout),
            config: config.clone(),
            authorization: token.as_ref().map(header).transpose()?,
            token,
        })
    }

    async fn send(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        let mut render = self.sender.render(notification);
        render.keep_all(self.token.clone());
        self.post(&mut render, notification).await.map_err(|error| render.hide(error))
    }

    async fn post(&self, render: &mut Render<'_>, notification: &Notification) -> Result<Receipt, NotifyError> {
        let url = render.url("url_file", &self.config.url).await?;
        let mut request = Request::post_json(url, self.message(notification));
        if let Some(authorization) = &self.authorization {
            request.headers.insert(AUTHORIZATION, authorization.clone());
        }
        let response = self.sender.exchange(request).await?;
        http_status::check_with(&response, RETRY_CODES, self.sender.now(), complaint)?;
        Ok(Receipt::default())
    }

    /// One that is too long keeps only its first alert.
    fn message(&self, notification: &Notification) -> String {
        let max_alerts = self.config.max_alerts;
        let whole = message::generic(notification, max_alerts, MESSAGE_VERSION);
        if whole.len() <= MESSAGE_BYTES_MAX {
            return whole;
        }
        let shortened = message::generic_listing(notification, max_alerts, 1, MESSAGE_VERSION);
        let (bytes, limit) = (shortened.len(), MESSAGE_BYTES_MAX);
        let alerts = notification.alerts.len();
        if bytes > limit {
            tracing::error!(integration = "incidentio", bytes, limit, "the message is too long even with one alert");
        } else {
            tracing::warn!(
                integration = "incidentio",
                alerts,
                limit,
                "the message was too long: only one alert is sent"
            );
        }
        shortened
    }
}

/// What the answer says of the failure: its texts `message` and `error`, and its `errors` whatever they are.
fn complaint(response: &Response) -> String {
    let Ok(Value::Object(fields)) = serde_json::from_slice::<Value>(&response.body) else {
        return String::from_utf8_lossy(&response.body).into_owned();
    };
    let texts = ["message", "error", "errors"].into_iter().filter_map(|name| match fields.get(name)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    });
    texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": ")
}

impl Notifier for IncidentIo {
    fn notify<'a>(&'a self, notification: &'a Notification) -> NotifyFuture<'a> {
        Box::pin(self.send(notification))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn an_answer_complains_in_several_fields() {
        let said = |body: &'static str| {
            let body = Bytes::from_static(body.as_bytes());
            complaint(&Response {
                status: 400,
                headers: Default::default(),
                body,
                body_complete: true,
                sent_secrets: Vec::new(),
            })
        };
        assert_eq!(said(r#"{"message":"m","error":"e","errors":["a"]}"#), r#"m: e: ["a"]"#);
        assert_eq!(said(r#"{"message":"","error":null,"errors":"x"}"#), "x");
        assert_eq!(said("gone"), "gone");
    }
}
