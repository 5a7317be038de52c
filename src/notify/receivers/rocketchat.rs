//! The Rocket.Chat integration: a message with one attachment, posted as a user (reference/receivers.md 17).

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use super::{
    BuildContext, BuildError, address, http_status,
    json::{self, Object},
    sender::{Render, Sender, secret_at_build, secret_header},
};
use crate::{
    config::model::{RocketChatAction, RocketChatConfig},
    httpconf::{Request, Response},
    notify::types::{Notification, Notifier, NotifyError, NotifyFuture, Receipt},
};

const POST_PATH: &str = "/api/v1/chat.postMessage";
const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
const USER_ID: HeaderName = HeaderName::from_static("x-user-id");
const TITLE_RUNES_MAX: usize = 1024;

/// One Rocket.Chat receiver.
pub struct RocketChat {
    sender: Sender,
    config: RocketChatConfig,
    url: String,
    token: HeaderValue,
    token_id: HeaderValue,
    secrets: [String; 2],
}

/// What Rocket.Chat says.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Reply {
    success: bool,
    error: String,
}

impl RocketChat {
    /// # Errors
    /// An `http_config` that cannot be used, or a token file that cannot be read.
    pub fn new(config: &RocketChatConfig, context: &BuildContext) -> Result<Self, BuildError> {
        let token = secret_at_build("token_file", &config.token)?;
        let token_id = secret_at_build("token_id_file", &config.token_id)?;
        Ok(RocketChat {
            sender: Sender::new(&config.http, "rocketchat", context)?,
            config: config.clone(),
            url: address::join(&config.api_url, POST_PATH),
            token: secret_header("token", &token)?,
            token_id: secret_header("token_id", &token_id)?,
            secrets: [token, token_id],
        })
    }

    async fn send(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        let mut render = self.sender.render(notification);
        render.keep_all(address::secrets(&self.url));
        render.keep_all(self.secrets.iter().cloned());
        self.post(&render).await.map_err(|error| render.hide(error))
    }

    async fn post(&self, render: &Render<'_>) -> Result<Receipt, NotifyError> {
        let mut request = Request::post_json(self.url.clone(), self.message(render)?);
        request.headers.extend(self.credentials());
        let response = self.sender.exchange(Request { body_wanted: true, ..request }).await?;
        http_status::check(&response, &[], self.sender.now())?;
        judge(&response)?;
        Ok(Receipt::default())
    }

    fn credentials(&self) -> HeaderMap {
        HeaderMap::from_iter([(AUTH_TOKEN, self.token.clone()), (USER_ID, self.token_id.clone())])
    }

    fn message(&self, render: &Render<'_>) -> Result<String, NotifyError> {
        let config = &self.config;
        json::try_body(512, |out| {
            let mut root = json::object(out);
            root.text_unless_empty("channel", &render.text("channel", &config.channel)?);
            root.text_unless_empty("emoji", &render.text("emoji", &config.emoji)?);
            root.text_unless_empty("avatar", &render.text("icon_url", &config.icon_url)?);
            self.attachment(render, root.array("attachments").object())
        })
    }

    fn attachment(&self, render: &Render<'_>, mut out: Object<'_>) -> Result<(), NotifyError> {
        let config = &self.config;
        out.text_unless_empty("title", &render.runes("title", &config.title, TITLE_RUNES_MAX)?);
        for (name, source) in [
            ("title_link", &config.title_link),
            ("text", &config.text),
            ("image_url", &config.image_url),
            ("thumb_url", &config.thumb_url),
            ("color", &config.color),
        ] {
            out.text_unless_empty(name, &render.text(name, source)?);
        }
        if !config.fields.is_empty() {
            let mut fields = out.array("fields");
            for field in &config.fields {
                let mut out = fields.object();
                out.boolean("short", field.short.unwrap_or(config.short_fields));
                out.text_unless_empty("title", &render.text("field title", &field.title)?);
                out.text_unless_empty("value", &render.text("field value", &field.value)?);
            }
        }
        if !config.actions.is_empty() {
            let mut actions = out.array("actions");
            config.actions.iter().try_for_each(|action| push_action(render, action, actions.object()))?;
        }
        Ok(())
    }
}

/// Whatever type is configured, Rocket.Chat gets a button that opens no view and posts nothing.
fn push_action(render: &Render<'_>, action: &RocketChatAction, mut out: Object<'_>) -> Result<(), NotifyError> {
    out.text("type", "button");
    out.text_unless_empty("text", &render.text("action text", &action.text)?);
    out.text_unless_empty("url", &render.text("action url", &action.url)?);
    out.boolean("is_webview", false);
    out.text_unless_empty("msg", &render.text("action msg", &action.msg)?);
    out.boolean("msg_in_chat_window", false);
    Ok(())
}

/// A good status is not enough: errors come with 200 as well.
fn judge(response: &Response) -> Result<(), NotifyError> {
    match serde_json::from_slice::<Reply>(&response.body) {
        Ok(reply) if reply.success => Ok(()),
        Ok(reply) => Err(http_status::refused(&format!("error response from Rocket.Chat: {}", reply.error))),
        Err(error) => Err(http_status::unreadable(&format!("could not read the answer of Rocket.Chat: {error}"))),
    }
}

impl Notifier for RocketChat {
    fn notify<'a>(&'a self, notification: &'a Notification) -> NotifyFuture<'a> {
        Box::pin(self.send(notification))
    }
}
