//! The e-mail integration: one mail for each notification, over one connection to the configured server.
//!
//! [`message`] writes the mail, with the help of [`address`] and [`encode`]; [`smtp`] hands it over, with the
//! help of [`auth`] and [`wire`]. Templates and addresses come first, so that what can never work costs no
//! connection and is not tried again; whatever a server or the network says may be different next time.

mod address;
mod auth;
mod encode;
mod message;
mod smtp;
mod wire;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::{BuildContext, BuildError};
use crate::{
    clock::Clock,
    config::model::EmailConfig,
    httpconf,
    notify::types::{FailureReason, Notification, Notifier, NotifyError, NotifyFuture, Progress, Receipt},
    random::Random,
    template::Templates,
};

/// Makes the integration ready.
///
/// Certificates are read at each notification, so that replaced ones are used; what is wrong with them now
/// is only said, as the reference accepts such a configuration.
///
/// # Errors
/// None today.
pub fn build(config: &EmailConfig, context: &BuildContext) -> Result<Box<dyn Notifier>, BuildError> {
    let encrypts = config.require_tls || smtp::implicit_tls(config);
    if encrypts && let Err(error) = httpconf::client_config(&config.tls, &[]) {
        tracing::warn!(
            smarthost = format!("{}:{}", config.smarthost_host, config.smarthost_port),
            error = error.to_string(),
            "tls_config of an e-mail receiver cannot be used: its notifications will fail"
        );
    }
    Ok(Box::new(Email {
        config: config.clone(),
        templates: context.templates.clone(),
        clock: context.clock.clone(),
        random: context.random.clone(),
        hostname: hostname(),
        rehearsal: context.http.rehearsal.clone(),
    }))
}

struct Email {
    config: EmailConfig,
    templates: Arc<Templates>,
    clock: Clock,
    random: Random,
    /// For message ids.
    hostname: String,
    rehearsal: Option<httpconf::Rehearsal>,
}

impl Email {
    fn compose(&self, notification: &Notification) -> Result<message::Message, NotifyError> {
        let occasion = message::Occasion {
            templates: &self.templates,
            notification,
            now: self.clock.now(),
            random: &self.random,
            hostname: &self.hostname,
        };
        message::compose(&self.config, &occasion).map_err(|error| NotifyError {
            message: error.to_string(),
            retry: false,
            reason: FailureReason::Other,
            progress: Progress::NotSent,
            retry_after: None,
        })
    }
}

impl Email {
    /// What would be handed over, as an error: so do the clients of the other integrations.
    fn script(&self, message: &message::Message) -> NotifyError {
        let recipients: Vec<String> =
            message.to.iter().map(|to| format!("RCPT TO:<{}>\n", to.for_smtp(true))).collect();
        let server = format!("{}:{}", self.config.smarthost_host, self.config.smarthost_port);
        NotifyError {
            message: format!(
                "SMTP {server}\nMAIL FROM:<{}>\n{}\n{}",
                message.from.for_smtp(true),
                recipients.concat(),
                message.text.replace("\r\n", "\n")
            ),
            retry: false,
            reason: FailureReason::Other,
            progress: Progress::NotSent,
            retry_after: None,
        }
    }
}

impl Notifier for Email {
    fn notify<'a>(&'a self, notification: &'a Notification) -> NotifyFuture<'a> {
        Box::pin(async move {
            let message = self.compose(notification)?;
            if let Some(rehearsal) = &self.rehearsal {
                rehearsal.note();
                return Err(self.script(&message));
            }
            smtp::deliver(&self.config, &message).await?;
            Ok(Receipt::default())
        })
    }
}

/// The name of this machine, as far as it can stand in a message id.
fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')).collect();
    if name.is_empty() { "localhost.localdomain".to_owned() } else { name }
}
