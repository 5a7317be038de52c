//! The Microsoft Teams integration of workflows: an adaptive card (reference/receivers.md 14).

use super::{
    BuildContext, BuildError, json,
    sender::{Render, Sender},
};
use crate::{
    config::model::MsTeamsV2Config,
    httpconf::Request,
    notify::types::{Notification, Notifier, NotifyError, NotifyFuture, Receipt},
};

const CARD_TYPE: &str = "application/vnd.microsoft.card.adaptive";
const CARD_SCHEMA: &str = "http://adaptivecards.io/schemas/adaptive-card.json";
const CARD_VERSION: &str = "1.2";
/// Names of colours in adaptive cards.
const RED: &str = "Attention";
const GREEN: &str = "Good";

/// One workflow that posts to Teams.
pub struct MsTeamsV2 {
    sender: Sender,
    config: MsTeamsV2Config,
}

impl MsTeamsV2 {
    /// # Errors
    /// An `http_config` that cannot be used.
    pub fn new(config: &MsTeamsV2Config, context: &BuildContext) -> Result<Self, BuildError> {
        Ok(MsTeamsV2 { sender: Sender::new(&config.http, "msteamsv2", context)?, config: config.clone() })
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
        let title = render.text("title", &self.config.title)?;
        let text = render.text("text", &self.config.text)?;
        Ok(json::body(1024, |out| {
            let mut root = json::object(out);
            root.text("type", "message");
            let mut attachments = root.array("attachments");
            let mut attachment = attachments.object();
            attachment.text("contentType", CARD_TYPE);
            attachment.null("contentUrl");
            push_card(attachment.object("content"), &title, &text, notification.is_firing());
        }))
    }
}

fn push_card(mut card: json::Object<'_>, title: &str, text: &str, firing: bool) {
    card.text("$schema", CARD_SCHEMA);
    card.text("type", "AdaptiveCard");
    card.text("version", CARD_VERSION);
    let mut body = card.array("body");
    let mut block = body.object();
    block.text("type", "TextBlock");
    block.text("text", title);
    block.text("weight", "Bolder");
    block.text("size", "Medium");
    block.boolean("wrap", true);
    block.text("style", "heading");
    block.text("color", if firing { RED } else { GREEN });
    block.end();
    let mut block = body.object();
    block.text("type", "TextBlock");
    block.text("text", text);
    block.boolean("wrap", true);
    block.end();
    body.end();
    card.object("msteams").text("width", "full");
}

impl Notifier for MsTeamsV2 {
    fn notify<'a>(&'a self, notification: &'a Notification) -> NotifyFuture<'a> {
        Box::pin(self.send(notification))
    }
}
