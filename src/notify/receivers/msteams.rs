//! The Microsoft Teams integration of connectors: a message card (reference/receivers.md 13).

use super::{
    BuildContext, BuildError, json,
    sender::{Render, Sender},
};
use crate::{
    config::model::MsTeamsConfig,
    httpconf::Request,
    notify::types::{Notification, Notifier, NotifyError, NotifyFuture, Receipt},
};

const RED: &str = "8C1A1A";
const GREEN: &str = "2DC72D";

/// One connector of a Teams channel.
pub struct MsTeams {
    sender: Sender,
    config: MsTeamsConfig,
}

impl MsTeams {
    /// # Errors
    /// An `http_config` that cannot be used.
    pub fn new(config: &MsTeamsConfig, context: &BuildContext) -> Result<Self, BuildError> {
        Ok(MsTeams { sender: Sender::new(&config.http, "msteams", context)?, config: config.clone() })
    }

    async fn send(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        let mut render = self.sender.render(notification);
        self.post(&mut render, notification).await.map_err(|error| render.hide(error))
    }

    async fn post(&self, render: &mut Render<'_>, notification: &Notification) -> Result<Receipt, NotifyError> {
        let url = render.url("webhook_url_file", &self.config.webhook_url).await?;
        self.sender.deliver(Request::post_json(url, self.card(render, notification)?), &[]).await
    }

    fn card(&self, render: &Render<'_>, notification: &Notification) -> Result<String, NotifyError> {
        let config = &self.config;
        json::try_body(1024, |out| {
            let mut root = json::object(out);
            root.text("@context", "http://schema.org/extensions");
            root.text("type", "MessageCard");
            root.text("title", &render.text("title", &config.title)?);
            root.text("summary", &render.text("summary", &config.summary)?);
            root.text("text", &render.text("text", &config.text)?);
            root.text("themeColor", if notification.is_firing() { RED } else { GREEN });
            Ok(())
        })
    }
}

impl Notifier for MsTeams {
    fn notify<'a>(&'a self, notification: &'a Notification) -> NotifyFuture<'a> {
        Box::pin(self.send(notification))
    }
}
