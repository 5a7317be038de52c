//! The OpsGenie integration: an alert is created, updated and closed under the hash of the group key
//! (reference/receivers.md 4).

use http::{HeaderValue, Method, header::AUTHORIZATION};

use super::{
    BuildContext, BuildError, address, http_status, json,
    sender::{Render, Sender},
    text::key_hash,
};
use crate::{
    config::model::{OpsGenieConfig, OpsGenieResponder},
    httpconf::Request,
    notify::types::{Notification, Notifier, NotifyError, NotifyFuture, Progress, Receipt},
};

const MESSAGE_RUNES_MAX: usize = 130;

/// One OpsGenie account.
pub struct OpsGenie {
    sender: Sender,
    config: OpsGenieConfig,
}

/// One call of the API.
struct Call {
    method: Method,
    /// Below the configured address.
    path: String,
    /// The path names an alert that exists, by its alias.
    by_alias: bool,
    body: String,
}

impl OpsGenie {
    /// # Errors
    /// An `http_config` that cannot be used.
    pub fn new(config: &OpsGenieConfig, context: &BuildContext) -> Result<Self, BuildError> {
        Ok(OpsGenie { sender: Sender::new(&config.http, "opsgenie", context)?, config: config.clone() })
    }

    async fn send(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        let mut render = self.sender.render(notification);
        let outcome = self.send_all(&mut render, notification).await;
        outcome.map(|()| Receipt::default()).map_err(|error| render.hide(error))
    }

    /// Everything is rendered before anything is sent.
    async fn send_all(&self, render: &mut Render<'_>, notification: &Notification) -> Result<(), NotifyError> {
        let calls = self.calls(render, notification)?;
        let key = render.secret("api_key", &self.config.api_key).await?;
        let mut progress = Progress::NotSent;
        for call in calls {
            let delivered = self.sender.deliver(self.request(call, &key)?, &[429]).await;
            delivered.map_err(|error| after(progress, error))?;
            progress = Progress::Ambiguous;
        }
        Ok(())
    }

    fn calls(&self, render: &Render<'_>, notification: &Notification) -> Result<Vec<Call>, NotifyError> {
        let config = &self.config;
        let alias = key_hash(&notification.group_key);
        let by_alias = |method: Method, what: &str, body: String| {
            let path = format!("v2/alerts/{alias}/{what}");
            Call { method, path, by_alias: true, body }
        };
        if notification.status() == "resolved" {
            let source = render.text("source", &config.source)?;
            let body = json::body(64, |out| json::object(out).text("source", &source));
            return Ok(vec![by_alias(Method::POST, "close", body)]);
        }
        let message = render.runes("message", &config.message, MESSAGE_RUNES_MAX)?;
        let description = render.text("description", &config.description)?;
        let body = self.creation(render, &alias, &message, &description)?;
        let mut calls = vec![Call { method: Method::POST, path: "v2/alerts".to_owned(), by_alias: false, body }];
        if config.update_alerts {
            for (name, text) in [("message", &message), ("description", &description)] {
                let body = json::body(text.len() + 64, |out| json::object(out).text_unless_empty(name, text));
                calls.push(by_alias(Method::PUT, name, body));
            }
        }
        Ok(calls)
    }

    fn creation(
        &self,
        render: &Render<'_>,
        alias: &str,
        message: &str,
        description: &str,
    ) -> Result<String, NotifyError> {
        let config = &self.config;
        json::try_body(1024 + description.len(), |out| {
            let mut root = json::object(out);
            root.text("alias", alias);
            root.text("message", message);
            root.text_unless_empty("description", description);
            self.write_details(render, &mut root)?;
            root.text("source", &render.text("source", &config.source)?);
            self.write_responders(render, &mut root)?;
            write_list(&mut root, "tags", &render.text("tags", &config.tags)?);
            root.text_unless_empty("note", &render.text("note", &config.note)?);
            root.text_unless_empty("priority", &render.text("priority", &config.priority)?);
            root.text_unless_empty("entity", &render.text("entity", &config.entity)?);
            write_list(&mut root, "actions", &render.text("actions", &config.actions)?);
            Ok(())
        })
    }

    /// The common labels, and the configured details over them.
    fn write_details(&self, render: &Render<'_>, root: &mut json::Object<'_>) -> Result<(), NotifyError> {
        let mut details: std::collections::BTreeMap<&str, String> =
            render.common_labels().iter().map(|(name, value)| (name, value.to_owned())).collect();
        for (name, source) in &self.config.details {
            details.insert(name, render.text("details", source)?);
        }
        json::push_pairs(root.key("details"), details.iter().map(|(name, value)| (*name, value.as_str())));
        Ok(())
    }

    fn write_responders(&self, render: &Render<'_>, root: &mut json::Object<'_>) -> Result<(), NotifyError> {
        let mut responders = Vec::new();
        for configured in &self.config.responders {
            add_responders(render, configured, &mut responders)?;
        }
        if !responders.is_empty() {
            let mut list = root.array("responders");
            for OpsGenieResponder { id, name, username, kind } in &responders {
                let mut responder = list.object();
                responder.text_unless_empty("id", id);
                responder.text_unless_empty("name", name);
                responder.text_unless_empty("username", username);
                responder.text("type", kind);
            }
        }
        Ok(())
    }

    fn request(&self, call: Call, key: &str) -> Result<Request, NotifyError> {
        let mut url = address::append(&self.config.api_url, &call.path);
        if call.by_alias {
            url = address::with_parameter(&url, "identifierType", "alias");
        }
        let mut authorization = HeaderValue::from_str(&format!("GenieKey {key}"))
            .map_err(|_| http_status::unsendable("api_key holds characters that no HTTP header may have"))?;
        authorization.set_sensitive(true);
        let mut request = Request { method: call.method, ..Request::post_json(url, call.body) };
        request.headers.insert(AUTHORIZATION, authorization);
        Ok(request)
    }
}

impl Notifier for OpsGenie {
    fn notify<'a>(&'a self, notification: &'a Notification) -> NotifyFuture<'a> {
        Box::pin(self.send(notification))
    }
}

/// A failed call says nothing of the ones before it: with those, part of the notification has arrived.
fn after(before: Progress, error: NotifyError) -> NotifyError {
    match error.progress {
        Progress::NotSent => NotifyError { progress: before, ..error },
        _ => error,
    }
}

/// Rendered; one whose four texts are empty is dropped, and `teams` stands for a comma list of names.
fn add_responders(
    render: &Render<'_>,
    configured: &OpsGenieResponder,
    out: &mut Vec<OpsGenieResponder>,
) -> Result<(), NotifyError> {
    let responder = OpsGenieResponder {
        id: render.text("responder id", &configured.id)?,
        name: render.text("responder name", &configured.name)?,
        username: render.text("responder username", &configured.username)?,
        kind: render.text("responder type", &configured.kind)?,
    };
    let OpsGenieResponder { id, name, username, kind } = &responder;
    if [id, name, username, kind].iter().all(|text| text.is_empty()) {
        return Ok(());
    }
    if kind == "teams" {
        let team = |name: &str| OpsGenieResponder {
            id: String::new(),
            name: name.to_owned(),
            username: String::new(),
            kind: "team".to_owned(),
        };
        out.extend(pieces(name).map(team));
    } else {
        out.push(responder);
    }
    Ok(())
}

/// The pieces of a comma list: the whole is trimmed, empty pieces are dropped, spaces inside are kept.
fn pieces(list: &str) -> impl Iterator<Item = &str> {
    list.trim().split(',').filter(|piece| !piece.is_empty())
}

fn write_list(root: &mut json::Object<'_>, name: &str, list: &str) {
    let mut pieces = pieces(list).peekable();
    if pieces.peek().is_some() {
        let mut out = root.array(name);
        pieces.for_each(|piece| out.text(piece));
    }
}

#[cfg(test)]
mod tests {
    use super::pieces;

    #[test]
    fn a_comma_list_keeps_inner_spaces_and_drops_empty_pieces() {
        assert_eq!(pieces(" a, b,,c ").collect::<Vec<_>>(), ["a", " b", "c"]);
        assert_eq!(pieces("").count(), 0);
    }
}
