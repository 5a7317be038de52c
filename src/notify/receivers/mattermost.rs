//! The Mattermost integration: a message for an incoming webhook (reference/receivers.md 18).
//!
//! The text stands inside the one attachment that the flat keys make, or at the top when `attachments` are given.

use super::{
    BuildContext, BuildError,
    json::{self, Object},
    sender::{Render, Sender},
};
use crate::{
    config::model::{MattermostAttachment, MattermostConfig, MattermostField, MattermostPriority},
    httpconf::Request,
    notify::types::{Notification, Notifier, NotifyError, NotifyFuture, Receipt},
};

const TEXT_RUNES_MAX: usize = 16383;

/// One Mattermost receiver.
pub struct Mattermost {
    sender: Sender,
    config: MattermostConfig,
}

impl Mattermost {
    /// # Errors
    /// An `http_config` that cannot be used.
    pub fn new(config: &MattermostConfig, context: &BuildContext) -> Result<Self, BuildError> {
        Ok(Mattermost { sender: Sender::new(&config.http, "mattermost", context)?, config: config.clone() })
    }

    async fn send(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        let mut render = self.sender.render(notification);
        self.post(&mut render).await.map_err(|error| render.hide(error))
    }

    async fn post(&self, render: &mut Render<'_>) -> Result<Receipt, NotifyError> {
        let url = render.url("webhook_url_file", &self.config.webhook_url).await?;
        self.sender.deliver(Request::post_json(url, self.message(render)?), &[]).await
    }

    fn message(&self, render: &Render<'_>) -> Result<String, NotifyError> {
        let config = &self.config;
        json::try_body(1024, |out| {
            let mut root = json::object(out);
            if !config.attachments.is_empty() {
                root.text_unless_empty("text", &render.runes("text", &config.text, TEXT_RUNES_MAX)?);
            }
            root.text_unless_empty("channel", &render.text("channel", &config.channel)?);
            root.text_unless_empty("username", &render.text("username", &config.username)?);
            root.text_unless_empty("icon_url", &render.text("icon_url", &config.icon_url)?);
            root.text_unless_empty("icon_emoji", &render.text("icon_emoji", &config.icon_emoji)?);
            let attachments = match config.attachments.as_slice() {
                [] => std::slice::from_ref(&config.flat),
                given => given,
            };
            let mut list = root.array("attachments");
            attachments.iter().try_for_each(|attachment| push_attachment(render, attachment, list.object()))?;
            list.end();
            root.text_unless_empty("type", &render.text("type", &config.kind)?);
            let card = config.props_card.as_deref().map(|source| render.text("card", source)).transpose()?;
            if let Some(card) = card.filter(|card| !card.is_empty()) {
                root.object("props").text("card", &card);
            }
            config.priority.iter().try_for_each(|priority| push_priority(render, priority, &mut root))
        })
    }
}

fn push_attachment(
    render: &Render<'_>,
    attachment: &MattermostAttachment,
    mut out: Object<'_>,
) -> Result<(), NotifyError> {
    let push = |out: &mut Object<'_>, texts: &[(&str, &String)]| {
        texts.iter().try_for_each(|(name, source)| {
            out.text_unless_empty(name, &render.text(name, source)?);
            Ok(())
        })
    };
    push(
        &mut out,
        &[
            ("fallback", &attachment.fallback),
            ("color", &attachment.color),
            ("pretext", &attachment.pretext),
            ("text", &attachment.text),
            ("author_name", &attachment.author_name),
            ("author_link", &attachment.author_link),
            ("author_icon", &attachment.author_icon),
            ("title", &attachment.title),
            ("title_link", &attachment.title_link),
        ],
    )?;
    push_fields(render, &attachment.fields, &mut out)?;
    push(
        &mut out,
        &[
            ("thumb_url", &attachment.thumb_url),
            ("footer", &attachment.footer),
            ("footer_icon", &attachment.footer_icon),
            ("image_url", &attachment.image_url),
        ],
    )
}

fn push_fields(render: &Render<'_>, fields: &[MattermostField], out: &mut Object<'_>) -> Result<(), NotifyError> {
    if fields.is_empty() {
        return Ok(());
    }
    let mut list = out.array("fields");
    for field in fields {
        let mut out = list.object();
        out.text_unless_empty("title", &render.text("field title", &field.title)?);
        out.text_unless_empty("value", &render.text("field value", &field.value)?);
        if let Some(short) = field.short {
            out.boolean("short", short);
        }
    }
    Ok(())
}

/// Only urgent messages may insist until they are read, and a standard one asks for nothing.
fn push_priority(render: &Render<'_>, priority: &MattermostPriority, root: &mut Object<'_>) -> Result<(), NotifyError> {
    let rendered = render.text("priority", &priority.priority)?.to_lowercase();
    let level = match rendered.as_str() {
        "" => return Ok(()),
        "urgent" => "urgent",
        "important" => "important",
        _ => "standard",
    };
    let mut out = root.object("priority");
    out.text("priority", level);
    if priority.requested_ack && level != "standard" {
        out.boolean("requested_ack", true);
    }
    if priority.persistent_notifications && level == "urgent" {
        out.boolean("persistent_notifications", true);
    }
    Ok(())
}

impl Notifier for Mattermost {
    fn notify<'a>(&'a self, notification: &'a Notification) -> NotifyFuture<'a> {
        Box::pin(self.send(notification))
    }
}
