//! The Webex integration: a message to a room, posted as a bot (reference/receivers.md 12). The bot's token is the
//! `authorization` of the `http_config`.

use super::{
    BuildContext, BuildError, address, json,
    sender::{Render, Sender},
};
use crate::{
    config::model::WebexConfig,
    httpconf::Request,
    notify::types::{Notification, Notifier, NotifyError, NotifyFuture, Receipt},
};

const MESSAGE_BYTES_MAX: usize = 7439;

/// One Webex room.
pub struct Webex {
    sender: Sender,
    config: WebexConfig,
}

impl Webex {
    /// # Errors
    /// An `http_config` that cannot be used.
    pub fn new(config: &WebexConfig, context: &BuildContext) -> Result<Self, BuildError> {
        Ok(Webex { sender: Sender::new(&config.http, "webex", context)?, config: config.clone() })
    }

    async fn send(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        let mut render = self.sender.render(notification);
        render.keep_all(address::secrets(&self.config.api_url));
        self.post(&render).await.map_err(|error| render.hide(error))
    }

    async fn post(&self, render: &Render<'_>) -> Result<Receipt, NotifyError> {
        let message = render.bytes("message", &self.config.message, MESSAGE_BYTES_MAX)?;
        let room = render.text("room_id", &self.config.room_id)?;
        let body = json::body(message.len() + 128, |out| {
            let mut root = json::object(out);
            root.text("markdown", &message);
            root.text_unless_empty("roomId", &room);
        });
        self.sender.deliver(Request::post_json(self.config.api_url.clone(), body), &[]).await
    }
}

impl Notifier for Webex {
    fn notify<'a>(&'a self, notification: &'a Notification) -> NotifyFuture<'a> {
        Box::pin(self.send(notification))
    }
}
