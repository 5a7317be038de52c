//! The WeChat Work integration: a token for the corporation's secret, then the message with it
//! (reference/receivers.md 5).
//!
//! The token is kept as long as it is good, for the corporation and secret it was given for: both are templates
//! and may differ from one notification to the next.

use std::time::Duration;

use serde::Deserialize;
use tokio::{sync::Mutex, time::Instant};
use url::form_urlencoded::Serializer;

use super::{
    BuildContext, BuildError, http_status, json,
    sender::{Render, Sender},
};
use crate::{
    clock::Clock,
    config::model::WeChatConfig,
    httpconf::{Request, Response},
    notify::types::{FailureReason, Notification, Notifier, NotifyError, NotifyFuture, Progress, Receipt},
};

const TOKEN_LIFE: Duration = Duration::from_hours(2);
/// Error codes by which a token is no good, or no good any more.
const TOKEN_INVALID: i64 = 40014;
const TOKEN_EXPIRED: i64 = 42001;

/// One WeChat corporation.
pub struct WeChat {
    sender: Sender,
    clock: Clock,
    config: WeChatConfig,
    token: Mutex<Option<Token>>,
}

#[derive(Clone)]
struct Token {
    corporation: String,
    secret: String,
    text: String,
    good_until: Instant,
}

/// What the API says to either call.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Reply {
    errcode: i64,
    errmsg: String,
    access_token: String,
}

impl WeChat {
    /// # Errors
    /// An `http_config` that cannot be used.
    pub fn new(config: &WeChatConfig, context: &BuildContext) -> Result<Self, BuildError> {
        Ok(WeChat {
            sender: Sender::new(&config.http, "wechat", context)?,
            clock: context.clock.clone(),
            config: config.clone(),
            token: Mutex::default(),
        })
    }

    async fn send(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        let mut render = self.sender.render(notification);
        let outcome = self.send_with_token(&mut render).await;
        outcome.map(|()| Receipt::default()).map_err(|error| render.hide(error))
    }

    async fn send_with_token(&self, render: &mut Render<'_>) -> Result<(), NotifyError> {
        let message = self.message(render)?;
        let corporation = render.text("corp_id", &self.config.corp_id)?;
        let secret = render.secret("api_secret", &self.config.api_secret).await?;
        let (token, is_new) = self.token(corporation, secret).await?;
        render.keep_all([token.clone()]);
        let query = Serializer::new(String::new()).append_pair("access_token", &token).finish();
        let url = format!("{}message/send?{query}", self.config.api_url);
        let request = Request { body_wanted: true, ..Request::post_json(url, message) };
        let response = self.sender.exchange(request).await?;
        let reply = self.read(&response)?;
        match reply.errcode {
            0 => Ok(()),
            code => {
                let token_is_bad = code == TOKEN_EXPIRED || code == TOKEN_INVALID;
                if token_is_bad {
                    self.forget(&token).await;
                }
                Err(NotifyError {
                    message: reply.errmsg,
                    // A new token that is said to be invalid will not become valid by asking again.
                    retry: code == TOKEN_EXPIRED || (token_is_bad && !is_new),
                    reason: FailureReason::Other,
                    progress: Progress::Refused,
                    retry_after: None,
                })
            }
        }
    }

    /// A good token, and whether it was fetched for this.
    async fn token(&self, corporation: String, secret: String) -> Result<(String, bool), NotifyError> {
        let mut kept = self.token.lock().await;
        let now = self.clock.monotonic();
        if let Some(token) = &*kept
            && token.corporation == corporation
            && token.secret == secret
            && now < token.good_until
        {
            return Ok((token.text.clone(), false));
        }
        let text = self.fetch_token(&corporation, &secret).await?;
        let good_until = now + TOKEN_LIFE;
        *kept = Some(Token { corporation, secret, text: text.clone(), good_until });
        Ok((text, true))
    }

    /// The status is not looked at: what counts is the token.
    async fn fetch_token(&self, corporation: &str, secret: &str) -> Result<String, NotifyError> {
        let query = Serializer::new(String::new())
            .append_pair("corpid", corporation)
            .append_pair("corpsecret", secret)
            .finish();
        let url = format!("{}gettoken?{query}", self.config.api_url);
        // Nothing of the message has left, whatever becomes of this call.
        let not_sent = |error: NotifyError| NotifyError { progress: Progress::NotSent, ..error };
        let response = self.sender.exchange(Request::get(url)).await.map_err(not_sent)?;
        let reply: Reply = serde_json::from_slice(&response.body).map_err(|error| {
            http_status::unsendable(format!(
                "could not read the answer to gettoken (status {}): {error}",
                response.status
            ))
        })?;
        if reply.access_token.is_empty() {
            return Err(http_status::unsendable(format!("invalid APISecret for CorpID: {corporation}")));
        }
        Ok(reply.access_token)
    }

    async fn forget(&self, token: &str) {
        self.token.lock().await.take_if(|kept| kept.text == token);
    }

    fn message(&self, render: &Render<'_>) -> Result<String, NotifyError> {
        let config = &self.config;
        let content = render.text("message", &config.message)?;
        let (text, markdown) = match config.message_type.as_str() {
            "markdown" => ("", content.as_str()),
            _ => (content.as_str(), ""),
        };
        json::try_body(content.len() + 256, |out| {
            let mut root = json::object(out);
            root.object("text").text("content", text);
            root.text_unless_empty("touser", &render.text("to_user", &config.to_user)?);
            root.text_unless_empty("toparty", &render.text("to_party", &config.to_party)?);
            root.text_unless_empty("totag", &render.text("to_tag", &config.to_tag)?);
            root.text_unless_empty("agentid", &render.text("agent_id", &config.agent_id)?);
            root.text("safe", "0");
            root.text_unless_empty("msgtype", &config.message_type);
            root.object("markdown").text("content", markdown);
            Ok(())
        })
    }

    fn read(&self, response: &Response) -> Result<Reply, NotifyError> {
        if response.status != 200 {
            return Err(NotifyError {
                message: format!("unexpected status code {}", response.status),
                retry: true,
                reason: FailureReason::from_status(response.status),
                progress: Progress::Refused,
                retry_after: http_status::retry_after(response, self.sender.now()),
            });
        }
        serde_json::from_slice(&response.body)
            .map_err(|error| http_status::unreadable(&format!("could not read the answer: {error}")))
    }
}

impl Notifier for WeChat {
    fn notify<'a>(&'a self, notification: &'a Notification) -> NotifyFuture<'a> {
        Box::pin(self.send(notification))
    }
}
