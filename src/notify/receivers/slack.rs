//! The Slack integration: a message with one attachment, to an incoming webhook or as an app
//! (reference/receivers.md 6).
//!
//! With `update_message` the group has one message, which later notifications edit. Its place is kept in the log
//! entry as `threadTs` and `channelId`, under which Alertmanager keeps it too. A message that can no longer be
//! edited (deleted, too old) is given up for a new one: otherwise the group would never be heard of again.

use std::borrow::Cow;

use http::header::CONTENT_TYPE;
use serde::Deserialize;

use super::{
    BuildContext, BuildError, http_status,
    json::{self, Array, Object},
    sender::{Render, Sender},
};
use crate::{
    alert::text::quote,
    config::model::{SlackAction, SlackConfig, SlackConfirmation, SlackField},
    httpconf::{Request, Response},
    notify::types::{Memory, MemoryValue, Notification, Notifier, NotifyError, NotifyFuture, Receipt},
};

const UPDATE_URL: &str = "https://slack.com/api/chat.update";
const TITLE_RUNES_MAX: usize = 1024;
/// Which parts of the attachment are marked up, unless configured.
const MARKED_UP: [&str; 3] = ["fallback", "pretext", "text"];
/// Keys of the log entry's memory.
const THREAD: &str = "threadTs";
const CHANNEL: &str = "channelId";
/// Answers to an update which say that the message cannot be edited any more.
const MESSAGE_LOST: [&str; 4] = ["message_not_found", "cant_update_message", "edit_window_closed", "channel_not_found"];

/// One Slack receiver.
pub struct Slack {
    sender: Sender,
    config: SlackConfig,
    update_url: Cow<'static, str>,
}

/// The message to edit.
struct Place<'a> {
    thread: &'a str,
    channel: &'a str,
}

/// What Slack says in JSON.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Reply {
    ok: bool,
    error: String,
    ts: String,
    channel: String,
}

/// Why a message was not taken.
enum Refusal {
    /// There is nothing left to edit.
    Lost(NotifyError),
    Final(NotifyError),
}

impl Slack {
    /// # Errors
    /// An `http_config` that cannot be used.
    pub fn new(config: &SlackConfig, context: &BuildContext) -> Result<Self, BuildError> {
        Ok(Slack {
            sender: Sender::new(&config.http, "slack", context)?.with_timeout(config.timeout),
            config: config.clone(),
            update_url: Cow::Borrowed(UPDATE_URL),
        })
    }

    async fn send(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        let mut render = self.sender.render(notification);
        let place = if self.config.update_message { Place::of(&notification.memory) } else { None };
        let outcome = match self.post(&mut render, place.as_ref()).await {
            Err(Refusal::Lost(error)) if place.is_some() => {
                tracing::warn!(integration = "slack", receiver = &*notification.receiver, err = %error,
                    "the message cannot be updated any more: a new one is sent");
                self.post(&mut render, None).await
            }
            outcome => outcome,
        };
        match outcome {
            Ok(reply) => Ok(Receipt { memory: self.memory(notification, reply) }),
            Err(Refusal::Lost(error) | Refusal::Final(error)) => Err(render.hide(error)),
        }
    }

    async fn post(&self, render: &mut Render<'_>, place: Option<&Place<'_>>) -> Result<Reply, Refusal> {
        let url = match place {
            Some(_) => self.update_url.clone().into_owned(),
            None => render.url("api_url", &self.config.api_url).await.map_err(Refusal::Final)?,
        };
        let channel = match place {
            Some(place) => place.channel.to_owned(),
            None => render.text("channel", &self.config.channel).map_err(Refusal::Final)?,
        };
        let body = self.message(render, &channel, place.map_or("", |place| place.thread)).map_err(Refusal::Final)?;
        let request = Request { body_wanted: true, ..Request::post_json(url, body) };
        let response = self.sender.exchange(request).await.map_err(Refusal::Final)?;
        self.judge(&response).map_err(|refusal| refusal.in_channel(&channel))
    }

    fn message(&self, render: &Render<'_>, channel: &str, thread: &str) -> Result<String, NotifyError> {
        let config = &self.config;
        json::try_body(1024, |out| {
            let mut root = json::object(out);
            root.text_unless_empty("channel", channel);
            root.text_unless_empty("ts", thread);
            root.text_unless_empty("username", &render.text("username", &config.username)?);
            root.text_unless_empty("icon_emoji", &render.text("icon_emoji", &config.icon_emoji)?);
            root.text_unless_empty("icon_url", &render.text("icon_url", &config.icon_url)?);
            if config.link_names {
                root.boolean("link_names", true);
            }
            root.text_unless_empty("text", &render.text("message_text", &config.message_text)?);
            self.attachment(render, root.array("attachments").object())
        })
    }

    fn attachment(&self, render: &Render<'_>, mut out: Object<'_>) -> Result<(), NotifyError> {
        let config = &self.config;
        out.text_unless_empty("title", &render.runes("title", &config.title, TITLE_RUNES_MAX)?);
        out.text_unless_empty("title_link", &render.text("title_link", &config.title_link)?);
        out.text_unless_empty("pretext", &render.text("pretext", &config.pretext)?);
        out.text("text", &render.text("text", &config.text)?);
        out.text("fallback", &render.text("fallback", &config.fallback)?);
        out.text("callback_id", &render.text("callback_id", &config.callback_id)?);
        if !config.fields.is_empty() {
            let mut fields = out.array("fields");
            config.fields.iter().try_for_each(|field| self.field(render, field, &mut fields))?;
        }
        if !config.actions.is_empty() {
            let mut actions = out.array("actions");
            config.actions.iter().try_for_each(|action| push_action(render, action, &mut actions))?;
        }
        out.text_unless_empty("image_url", &render.text("image_url", &config.image_url)?);
        out.text_unless_empty("thumb_url", &render.text("thumb_url", &config.thumb_url)?);
        out.text("footer", &render.text("footer", &config.footer)?);
        out.text_unless_empty("color", &render.text("color", &config.color)?);
        let mut marked_up = out.array("mrkdwn_in");
        match &config.mrkdwn_in {
            Some(configured) => configured.iter().for_each(|part| marked_up.text(part)),
            None => MARKED_UP.iter().for_each(|part| marked_up.text(part)),
        }
        Ok(())
    }

    fn field(&self, render: &Render<'_>, field: &SlackField, fields: &mut Array<'_>) -> Result<(), NotifyError> {
        let mut out = fields.object();
        out.text_unless_empty("title", &render.text("field title", &field.title)?);
        out.text_unless_empty("value", &render.text("field value", &field.value)?);
        out.boolean("short", field.short.unwrap_or(self.config.short_fields));
        Ok(())
    }

    /// A good status is not enough: errors come with 200 as well.
    fn judge(&self, response: &Response) -> Result<Reply, Refusal> {
        http_status::check(response, &[], self.sender.now()).map_err(Refusal::Final)?;
        let content_type = response.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !content_type.starts_with("application/json") {
            let said = String::from_utf8_lossy(&response.body);
            return match &*said {
                "ok" if response.body_complete => Ok(Reply::default()),
                _ if !response.body_complete => {
                    Err(Refusal::Final(http_status::unreadable("could not read the answer")))
                }
                said => Err(Refusal::Final(http_status::refused(&format!("error response from Slack: {said}")))),
            };
        }
        match serde_json::from_slice::<Reply>(&response.body) {
            Err(error) => {
                let message = format!("could not unmarshal JSON response: {error}");
                Err(Refusal::Final(http_status::unreadable(&message)))
            }
            Ok(reply) if reply.ok => Ok(reply),
            Ok(reply) => {
                let error = http_status::refused(&format!("error response from Slack: {}", reply.error));
                if MESSAGE_LOST.contains(&reply.error.as_str()) {
                    return Err(Refusal::Lost(error));
                }
                Err(Refusal::Final(error))
            }
        }
    }

    fn memory(&self, notification: &Notification, reply: Reply) -> Option<Memory> {
        if !self.config.update_message || reply.ts.is_empty() || reply.channel.is_empty() {
            return None;
        }
        let mut memory = notification.memory.clone();
        memory.insert(THREAD.to_owned(), MemoryValue::Text(reply.ts));
        memory.insert(CHANNEL.to_owned(), MemoryValue::Text(reply.channel));
        Some(memory)
    }
}

impl Notifier for Slack {
    fn notify<'a>(&'a self, notification: &'a Notification) -> NotifyFuture<'a> {
        Box::pin(self.send(notification))
    }
}

impl<'a> Place<'a> {
    fn of(memory: &'a Memory) -> Option<Self> {
        let text = |key| match memory.get(key) {
            Some(MemoryValue::Text(text)) if !text.is_empty() => Some(text.as_str()),
            _ => None,
        };
        Some(Place { thread: text(THREAD)?, channel: text(CHANNEL)? })
    }
}

impl Refusal {
    fn in_channel(self, channel: &str) -> Self {
        let named = |error: NotifyError| NotifyError {
            message: format!("channel {}: {}", quote(channel), error.message),
            ..error
        };
        match self {
            Refusal::Lost(error) => Refusal::Lost(named(error)),
            Refusal::Final(error) => Refusal::Final(named(error)),
        }
    }
}

fn push_action(render: &Render<'_>, action: &SlackAction, actions: &mut Array<'_>) -> Result<(), NotifyError> {
    let mut out = actions.object();
    for (name, source) in [
        ("type", &action.kind),
        ("text", &action.text),
        ("url", &action.url),
        ("style", &action.style),
        ("name", &action.name),
        ("value", &action.value),
    ] {
        out.text_unless_empty(name, &render.text(name, source)?);
    }
    let Some(SlackConfirmation { text, title, ok_text, dismiss_text }) = &action.confirm else { return Ok(()) };
    let mut out = out.object("confirm");
    for (name, source) in [("text", text), ("title", title), ("ok_text", ok_text), ("dismiss_text", dismiss_text)] {
        out.text_unless_empty(name, &render.text(name, source)?);
    }
    Ok(())
}
