//! The PagerDuty integration: an event to trigger or resolve an incident (reference/receivers.md 3).
//!
//! A service key selects API v1, whose address is fixed; otherwise the routing key goes to v2 at the configured
//! address. Both name the incident by the hash of the group key.

use std::borrow::Cow;

use serde::Deserialize;

use super::{
    BuildContext, BuildError, http_status, json,
    sender::{Render, Sender},
    text::key_hash,
};
use crate::{
    config::model::{PagerDutyConfig, Payload, SecretSource},
    httpconf::{Request, Response},
    notify::types::{FailureReason, Notification, Notifier, NotifyError, NotifyFuture, Receipt},
};

const V1_URL: &str = "https://events.pagerduty.com/generic/2010-04-15/create_event.json";
/// Larger events are refused by the API.
const EVENT_BYTES_MAX: usize = 512_000;
const SUMMARY_RUNES_MAX: usize = 1024;
const DETAILS_DROPPED: &str =
    "Custom details have been removed because the original event exceeds the maximum size of 512KB";

/// One PagerDuty service.
pub struct PagerDuty {
    sender: Sender,
    config: PagerDutyConfig,
    v1_url: Cow<'static, str>,
}

/// What both versions say.
struct Event {
    key: String,
    incident: String,
    action: &'static str,
    summary: String,
    client: String,
    client_url: String,
    details: Payload,
}

impl PagerDuty {
    /// # Errors
    /// An `http_config` that cannot be used.
    pub fn new(config: &PagerDutyConfig, context: &BuildContext) -> Result<Self, BuildError> {
        Ok(PagerDuty {
            sender: Sender::new(&config.http, "pagerduty", context)?.with_timeout(config.timeout),
            config: config.clone(),
            v1_url: Cow::Borrowed(V1_URL),
        })
    }

    async fn send(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        let mut render = self.sender.render(notification);
        let outcome = match (&self.config.service_key, &self.config.routing_key) {
            (Some(key), _) => self.send_v1(&mut render, key, notification).await,
            (None, Some(key)) => self.send_v2(&mut render, key, notification).await,
            (None, None) => Err(http_status::unsendable("neither a service key nor a routing key is configured")),
        };
        outcome.map(|()| Receipt::default()).map_err(|error| render.hide(error))
    }

    async fn send_v1(
        &self,
        render: &mut Render<'_>,
        key: &SecretSource,
        notification: &Notification,
    ) -> Result<(), NotifyError> {
        let key = key_of(render, "service_key", key).await?;
        let event = self.event(render, key, notification)?;
        let body = event.within_limit(|event| event.write_v1())?;
        let answered = self.post(self.v1_url.clone().into_owned(), body, &[403]).await;
        answered.map_err(|error| NotifyError { reason: FailureReason::Other, ..error })
    }

    async fn send_v2(
        &self,
        render: &mut Render<'_>,
        key: &SecretSource,
        notification: &Notification,
    ) -> Result<(), NotifyError> {
        let key = key_of(render, "routing_key", key).await?;
        let event = self.event(render, key, notification)?;
        let body = event.within_limit(|event| self.write_v2(render, event))?;
        self.post(self.config.url.clone(), body, &[429]).await
    }

    fn event(&self, render: &Render<'_>, key: String, notification: &Notification) -> Result<Event, NotifyError> {
        let config = &self.config;
        let details = config.details.iter().map(|(name, value)| Ok((name.clone(), render.payload("details", value)?)));
        Ok(Event {
            key,
            incident: key_hash(&notification.group_key),
            action: if notification.status() == "firing" { "trigger" } else { "resolve" },
            summary: render.runes("description", &config.description, SUMMARY_RUNES_MAX)?,
            client: render.text("client", &config.client)?,
            client_url: render.text("client_url", &config.client_url)?,
            details: Payload::Map(details.collect::<Result<_, NotifyError>>()?),
        })
    }

    fn write_v2(&self, render: &Render<'_>, event: &Event) -> Result<String, NotifyError> {
        let config = &self.config;
        json::try_body(2048, |out| {
            let mut root = json::object(out);
            root.text_unless_empty("routing_key", &event.key);
            root.text_unless_empty("dedup_key", &event.incident);
            root.text("event_action", event.action);
            let mut payload = root.object("payload");
            payload.text("summary", &event.summary);
            payload.text("source", &render.text("source", &config.source)?);
            let severity = if config.severity.is_empty() { "error" } else { &config.severity };
            payload.text("severity", &render.text("severity", severity)?);
            payload.text_unless_empty("class", &render.text("class", &config.class)?);
            payload.text_unless_empty("component", &render.text("component", &config.component)?);
            payload.text_unless_empty("group", &render.text("group", &config.group)?);
            event.write_details(payload.key("custom_details"))?;
            payload.end();
            root.text_unless_empty("client", &event.client);
            root.text_unless_empty("client_url", &event.client_url);
            self.write_images(render, &mut root)?;
            self.write_links(render, &mut root)
        })
    }

    /// Those whose source is empty are left out.
    fn write_images(&self, render: &Render<'_>, root: &mut json::Object<'_>) -> Result<(), NotifyError> {
        let mut images = Vec::new();
        for image in &self.config.images {
            let src = render.text("image src", &image.src)?;
            if !src.is_empty() {
                images.push((src, render.text("image alt", &image.alt)?, render.text("image href", &image.href)?));
            }
        }
        if !images.is_empty() {
            let mut list = root.array("images");
            for (src, alt, href) in &images {
                let mut image = list.object();
                image.text("src", src);
                image.text("alt", alt);
                image.text("href", href);
            }
        }
        Ok(())
    }

    /// Those that lead nowhere are left out.
    fn write_links(&self, render: &Render<'_>, root: &mut json::Object<'_>) -> Result<(), NotifyError> {
        let mut links = Vec::new();
        for link in &self.config.links {
            let href = render.text("link href", &link.href)?;
            if !href.is_empty() {
                links.push((href, render.text("link text", &link.text)?));
            }
        }
        if !links.is_empty() {
            let mut list = root.array("links");
            for (href, text) in &links {
                let mut link = list.object();
                link.text("href", href);
                link.text("text", text);
            }
        }
        Ok(())
    }

    async fn post(&self, url: String, body: String, retry_codes: &[u16]) -> Result<(), NotifyError> {
        let response = self.sender.exchange(Request::post_json(url, body)).await?;
        http_status::check_with(&response, retry_codes, self.sender.now(), complaint)
    }
}

impl Notifier for PagerDuty {
    fn notify<'a>(&'a self, notification: &'a Notification) -> NotifyFuture<'a> {
        Box::pin(self.send(notification))
    }
}

impl Event {
    /// The event as `write` writes it; if that is too large, without its details.
    fn within_limit(mut self, write: impl Fn(&Event) -> Result<String, NotifyError>) -> Result<String, NotifyError> {
        let body = write(&self)?;
        if body.len() <= EVENT_BYTES_MAX {
            return Ok(body);
        }
        tracing::warn!(
            integration = "pagerduty",
            bytes = body.len(),
            limit = EVENT_BYTES_MAX,
            "an event is too large: it is sent without its details"
        );
        self.details = Payload::Map(vec![("error".to_owned(), Payload::Text(DETAILS_DROPPED.to_owned()))]);
        write(&self)
    }

    fn write_v1(&self) -> Result<String, NotifyError> {
        json::try_body(2048, |out| {
            let mut root = json::object(out);
            root.text_unless_empty("service_key", &self.key);
            root.text_unless_empty("incident_key", &self.incident);
            root.text("event_type", self.action);
            root.text_unless_empty("description", &self.summary);
            // The reference writes v1 and v2 from one structure, in which these two always show.
            root.text("event_action", "");
            root.null("payload");
            if self.action == "trigger" {
                root.text_unless_empty("client", &self.client);
                root.text_unless_empty("client_url", &self.client_url);
            }
            self.write_details(root.key("details"))
        })
    }

    fn write_details(&self, out: &mut String) -> Result<(), NotifyError> {
        json::push_payload(out, &self.details).map_err(http_status::unsendable)
    }
}

async fn key_of(render: &mut Render<'_>, what: &str, source: &SecretSource) -> Result<String, NotifyError> {
    let key = render.secret(what, source).await?;
    if key.is_empty() {
        return Err(http_status::unsendable(format!("{what} is empty after templating")));
    }
    Ok(key)
}

/// What a refused event is blamed for: only status 400 comes with reasons.
fn complaint(response: &Response) -> String {
    #[derive(Deserialize)]
    struct Complaint {
        #[serde(default)]
        message: String,
        #[serde(default)]
        errors: Vec<String>,
    }
    if response.status != 400 {
        return String::new();
    }
    match serde_json::from_slice::<Complaint>(&response.body) {
        Ok(said) => format!("{}: {}", said.message, said.errors.join(",")),
        Err(_) => String::new(),
    }
}
