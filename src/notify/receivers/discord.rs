//! The Discord integration: a message with one embed, for a channel's webhook (reference/receivers.md 11).

use super::{
    BuildContext, BuildError, json,
    sender::{Render, Sender},
};
use crate::{
    config::model::DiscordConfig,
    httpconf::Request,
    notify::types::{Notification, Notifier, NotifyError, NotifyFuture, Receipt},
};

const TITLE_RUNES_MAX: usize = 256;
const MESSAGE_RUNES_MAX: usize = 4096;
const CONTENT_RUNES_MAX: usize = 2000;
const RED: u32 = 0x99_2D_22;
const GREEN: u32 = 0x2E_CC_71;

/// One Discord channel.
pub struct Discord {
    sender: Sender,
    config: DiscordConfig,
}

impl Discord {
    /// # Errors
    /// An `http_config` that cannot be used.
    pub fn new(config: &DiscordConfig, context: &BuildContext) -> Result<Self, BuildError> {
        let mut config = config.clone();
        // An avatar is an ornament: without it the message is as good.
        if !could_be_url(&config.avatar_url) {
            tracing::warn!(integration = "discord", avatar_url = config.avatar_url, "avatar_url is no URL: left out");
            config.avatar_url.clear();
        }
        Ok(Discord { sender: Sender::new(&config.http, "discord", context)?, config })
    }

    async fn send(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        let mut render = self.sender.render(notification);
        self.post(&mut render, notification).await.map_err(|error| render.hide(error))
    }

    async fn post(&self, render: &mut Render<'_>, notification: &Notification) -> Result<Receipt, NotifyError> {
        let url = render.url("webhook_url_file", &self.config.webhook_url).await?;
        self.sender.deliver(Request::post_json(url, self.message(render, notification)?), &[]).await
    }

    fn message(&self, render: &Render<'_>, notification: &Notification) -> Result<String, NotifyError> {
        let config = &self.config;
        json::try_body(1024, |out| {
            let mut root = json::object(out);
            root.text("content", &render.runes("content", &config.content, CONTENT_RUNES_MAX)?);
            let mut embeds = root.array("embeds");
            let mut embed = embeds.object();
            embed.text("title", &render.runes("title", &config.title, TITLE_RUNES_MAX)?);
            embed.text("description", &render.runes("message", &config.message, MESSAGE_RUNES_MAX)?);
            embed.integer("color", if notification.is_firing() { RED } else { GREEN });
            embed.end();
            embeds.end();
            root.text_unless_empty("username", &config.username);
            root.text_unless_empty("avatar_url", &config.avatar_url);
            Ok(())
        })
    }
}

/// Few texts are none: those with control characters or broken percent-encoding.
fn could_be_url(text: &str) -> bool {
    let encodes = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    !text.chars().any(|c| c.is_ascii_control()) && text.split('%').skip(1).all(encodes)
}

impl Notifier for Discord {
    fn notify<'a>(&'a self, notification: &'a Notification) -> NotifyFuture<'a> {
        Box::pin(self.send(notification))
    }
}
