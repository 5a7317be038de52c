//! The VictorOps (Splunk On-Call) integration (reference/receivers.md 7).

use std::collections::BTreeMap;

use super::{
    BuildContext, BuildError, address, json,
    sender::{Render, Sender},
    text::key_hash,
};
use crate::{
    config::model::VictorOpsConfig,
    httpconf::Request,
    notify::types::{Notification, Notifier, NotifyError, NotifyFuture, Receipt},
};

const STATE_RUNES_MAX: usize = 20_480;
/// Message types that a firing group may have; any other counts as the last.
const FIRING: [&str; 3] = ["INFO", "WARNING", "CRITICAL"];
const RESOLVED: &str = "RECOVERY";

/// One VictorOps account and route.
pub struct VictorOps {
    sender: Sender,
    config: VictorOpsConfig,
}

impl VictorOps {
    /// # Errors
    /// An `http_config` that cannot be used.
    pub fn new(config: &VictorOpsConfig, context: &BuildContext) -> Result<Self, BuildError> {
        Ok(VictorOps { sender: Sender::new(&config.http, "victorops", context)?, config: config.clone() })
    }

    async fn send(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        let mut render = self.sender.render(notification);
        let request = self.request(&mut render, notification).await;
        let outcome = match request {
            Ok(request) => self.sender.deliver(request, &[]).await,
            Err(error) => Err(error),
        };
        outcome.map_err(|error| render.hide(error))
    }

    async fn request(&self, render: &mut Render<'_>, notification: &Notification) -> Result<Request, NotifyError> {
        let key = render.plain_secret("api_key", &self.config.api_key).await?;
        let route = render.text("routing_key", &self.config.routing_key)?;
        let url = address::append(&self.config.api_url, &format!("{key}/{route}"));
        Ok(Request::post_json(url, self.message(render, notification)?))
    }

    fn message(&self, render: &Render<'_>, notification: &Notification) -> Result<String, NotifyError> {
        let config = &self.config;
        let kind = match notification.status() {
            "firing" => {
                let kind = render.text("message_type", &config.message_type)?;
                if FIRING.contains(&kind.as_str()) { kind } else { "CRITICAL".to_owned() }
            }
            _ => RESOLVED.to_owned(),
        };
        let mut fields = BTreeMap::from([
            ("message_type", kind),
            ("entity_id", key_hash(&notification.group_key)),
            ("entity_display_name", render.text("entity_display_name", &config.entity_display_name)?),
            ("state_message", render.runes("state_message", &config.state_message, STATE_RUNES_MAX)?),
            ("monitoring_tool", render.text("monitoring_tool", &config.monitoring_tool)?),
        ]);
        for (name, source) in &config.custom_fields {
            fields.insert(name, render.text("custom_fields", source)?);
        }
        Ok(json::body(1024, |out| {
            json::push_pairs(out, fields.iter().map(|(name, value)| (*name, value.as_str())));
        }))
    }
}

impl Notifier for VictorOps {
    fn notify<'a>(&'a self, notification: &'a Notification) -> NotifyFuture<'a> {
        Box::pin(self.send(notification))
    }
}
