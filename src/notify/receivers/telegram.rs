//! The Telegram integration: a bot's message to a chat (reference/receivers.md 10).
//!
//! Whether a message was taken is said in the answer's JSON, whatever its status. Every failure may be tried
//! again, even those that will not go away: so does Alertmanager.

use std::{borrow::Cow, time::Duration};

use http::{HeaderValue, header::USER_AGENT};
use serde::Deserialize;

use super::{
    BuildContext, BuildError, http_status, json,
    sender::{LIBRARY_USER_AGENT, Render, Sender},
};
use crate::{
    config::model::{Secret, SecretSource, TelegramChat, TelegramConfig},
    httpconf::{Request, Response, read_secret},
    notify::types::{FailureReason, Notification, Notifier, NotifyError, NotifyFuture, Receipt},
};

const TEXT_RUNES_MAX: usize = 4096;
/// Cutting HTML would break its tags, and Telegram would refuse the rest.
const TOO_LONG: &str = "The text of this notification is longer than Telegram allows and was left out. \
                        Please shorten the message template of this receiver.";

/// One chat.
pub struct Telegram {
    sender: Sender,
    config: TelegramConfig,
    chat_id: SecretSource,
}

/// What the bot API says.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Reply {
    ok: bool,
    description: String,
    error_code: i64,
    parameters: Option<ReplyParameters>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ReplyParameters {
    /// Seconds.
    retry_after: u32,
}

impl Telegram {
    /// # Errors
    /// An `http_config` that cannot be used.
    pub fn new(config: &TelegramConfig, context: &BuildContext) -> Result<Self, BuildError> {
        let chat_id = match &config.chat_id {
            TelegramChat::Id(id) => SecretSource::Inline(Secret(id.to_string().into())),
            TelegramChat::File(path) => SecretSource::File(path.clone()),
        };
        Ok(Telegram { sender: Sender::new(&config.http, "telegram", context)?, config: config.clone(), chat_id })
    }

    async fn send(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        let mut render = self.sender.render(notification);
        self.post(&mut render).await.map_err(|error| render.hide(error))
    }

    async fn post(&self, render: &mut Render<'_>) -> Result<Receipt, NotifyError> {
        let text = self.text(render)?;
        let token = render.plain_secret("bot_token_file", &self.config.bot_token).await.map_err(again)?;
        if let Some((_bot, key)) = token.split_once(':') {
            render.keep_all([key.to_owned()]);
        }
        let body = self.message(self.chat().await?, &text);
        let url = format!("{}/bot{token}/sendMessage", self.config.api_url.trim_end_matches('/'));
        let mut request = Request { body_wanted: true, ..Request::post_json(url, body) };
        request.headers.insert(USER_AGENT, HeaderValue::from_static(LIBRARY_USER_AGENT));
        let response = self.sender.exchange(request).await.map_err(again)?;
        self.judge(&response)?;
        Ok(Receipt::default())
    }

    fn text(&self, render: &Render<'_>) -> Result<Cow<'static, str>, NotifyError> {
        if self.config.parse_mode != "HTML" {
            return render.runes("message", &self.config.message, TEXT_RUNES_MAX).map(Cow::Owned);
        }
        let text = render.html("message", &self.config.message)?;
        if text.chars().nth(TEXT_RUNES_MAX).is_none() {
            return Ok(Cow::Owned(text));
        }
        tracing::warn!(integration = "telegram", limit = TEXT_RUNES_MAX, "the message is too long: a notice is sent");
        Ok(Cow::Borrowed(TOO_LONG))
    }

    async fn chat(&self) -> Result<i64, NotifyError> {
        let unusable =
            |why: &dyn std::fmt::Display| again(http_status::unsendable(format!("read chat_id_file: {why}")));
        let text = read_secret(&self.chat_id).await.map_err(|error| unusable(&error))?;
        text.parse().map_err(|_| unusable(&"it does not hold a chat's number"))
    }

    /// All values are texts.
    fn message(&self, chat_id: i64, text: &str) -> String {
        let config = &self.config;
        json::body(text.len() + 256, |out| {
            let mut root = json::object(out);
            root.text("chat_id", &chat_id.to_string());
            if config.disable_notifications {
                root.text("disable_notification", "true");
            }
            root.text("disable_web_page_preview", "true");
            if config.message_thread_id != 0 {
                root.text("message_thread_id", &config.message_thread_id.to_string());
            }
            root.text_unless_empty("parse_mode", &config.parse_mode);
            root.text("text", text);
        })
    }

    fn judge(&self, response: &Response) -> Result<(), NotifyError> {
        let reply = match serde_json::from_slice::<Reply>(&response.body) {
            Ok(reply) if reply.ok => return Ok(()),
            Ok(reply) => reply,
            Err(error) => {
                let checked = http_status::check(response, &[], self.sender.now());
                let checked = checked.map_err(|error| NotifyError { reason: FailureReason::Other, ..again(error) });
                return checked
                    .and_then(|()| Err(http_status::unreadable(&format!("could not read the answer: {error}"))));
            }
        };
        let told_to_wait = reply.parameters.map(|parameters| Duration::from_secs(parameters.retry_after.into()));
        let refused = http_status::refused(&format!("telegram: {} ({})", reply.description, reply.error_code));
        Err(NotifyError {
            reason: FailureReason::Other,
            retry_after: told_to_wait.filter(|wait| !wait.is_zero()),
            ..again(refused)
        })
    }
}

fn again(error: NotifyError) -> NotifyError {
    NotifyError { retry: true, ..error }
}

impl Notifier for Telegram {
    fn notify<'a>(&'a self, notification: &'a Notification) -> NotifyFuture<'a> {
        Box::pin(self.send(notification))
    }
}
