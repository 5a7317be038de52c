//! The Pushover integration: everything in the query of one request to a fixed address
//! (reference/receivers.md 8).

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue, Method, header};
use url::form_urlencoded::Serializer;

use super::{
    BuildContext, BuildError,
    sender::{Render, Sender},
};
use crate::{
    config::model::PushoverConfig,
    httpconf::Request,
    notify::types::{Notification, Notifier, NotifyError, NotifyFuture, Receipt},
};

const URL: &str = "https://api.pushover.net/1/messages.json";
const TITLE_RUNES_MAX: usize = 250;
const MESSAGE_RUNES_MAX: usize = 1024;
const URL_RUNES_MAX: usize = 512;
/// The API refuses an empty message.
const NO_MESSAGE: &str = "(no details)";

/// One Pushover user or group.
pub struct Pushover {
    sender: Sender,
    config: PushoverConfig,
    url: Cow<'static, str>,
}

impl Pushover {
    /// # Errors
    /// An `http_config` that cannot be used.
    pub fn new(config: &PushoverConfig, context: &BuildContext) -> Result<Self, BuildError> {
        let sender = Sender::new(&config.http, "pushover", context)?;
        Ok(Pushover { sender, config: config.clone(), url: Cow::Borrowed(URL) })
    }

    async fn send(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        let mut render = self.sender.render(notification);
        let outcome = match self.request(&mut render).await {
            Ok(request) => self.sender.deliver(request, &[]).await,
            Err(error) => Err(error),
        };
        outcome.map_err(|error| render.hide(error))
    }

    async fn request(&self, render: &mut Render<'_>) -> Result<Request, NotifyError> {
        let query = self.query(render).await?;
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        Ok(Request {
            method: Method::POST,
            url: format!("{}?{query}", self.url),
            headers,
            body: bytes::Bytes::new(),
            timeout: None,
            body_wanted: false,
        })
    }

    /// Parameters in order of their names.
    async fn query(&self, render: &mut Render<'_>) -> Result<String, NotifyError> {
        let config = &self.config;
        let user = render.untrimmed_secret("user_key", &config.user_key).await?;
        let token = render.untrimmed_secret("token", &config.token).await?;
        let mut query = Serializer::new(String::new());
        query.append_pair("device", &render.text("device", &config.device)?);
        query.append_pair("expire", &config.expire.whole_seconds().to_string());
        if config.html {
            query.append_pair("html", "1");
        }
        query.append_pair("message", &self.message(render)?);
        if config.monospace {
            query.append_pair("monospace", "1");
        }
        query.append_pair("priority", &render.text("priority", &config.priority)?);
        query.append_pair("retry", &config.retry.whole_seconds().to_string());
        query.append_pair("sound", &render.text("sound", &config.sound)?);
        query.append_pair("title", &render.runes("title", &config.title, TITLE_RUNES_MAX)?);
        query.append_pair("token", &token);
        let ttl = config.ttl.whole_seconds();
        if ttl > 0 {
            query.append_pair("ttl", &ttl.to_string());
        }
        query.append_pair("url", &render.runes("url", &config.url, URL_RUNES_MAX)?);
        query.append_pair("url_title", &render.text("url_title", &config.url_title)?);
        query.append_pair("user", &user);
        Ok(query.finish())
    }

    fn message(&self, render: &Render<'_>) -> Result<String, NotifyError> {
        let text = match self.config.html {
            true => render.html("message", &self.config.message)?,
            false => render.text("message", &self.config.message)?,
        };
        let text = render.cut("message", &text, MESSAGE_RUNES_MAX);
        match text.trim() {
            "" => Ok(NO_MESSAGE.to_owned()),
            trimmed => Ok(trimmed.to_owned()),
        }
    }
}

impl Notifier for Pushover {
    fn notify<'a>(&'a self, notification: &'a Notification) -> NotifyFuture<'a> {
        Box::pin(self.send(notification))
    }
}
