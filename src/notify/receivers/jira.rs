//! The Jira integration: one issue for each group (reference/receivers.md 15).
//!
//! The issue carries the group's hash as a label, by which it is searched before anything is written:
//! 1. `POST search` for an issue with that label that is open, or was closed less than `reopen_duration` ago.
//! 2. None: a firing group gets one (`POST issue`), a resolved one needs none. Found: it is written anew
//!    (`PUT issue/KEY`).
//! 3. A found issue whose state does not fit is moved: `reopen_transition` or `resolve_transition` is looked up by its
//!    name (`GET issue/KEY/transitions`) and made (`POST` there).
//!
//! A call without an answer is final: whether Jira did something is unknown, and the search of the next flush tells.

use std::collections::BTreeMap;

use http::{
    HeaderMap, HeaderValue, Method,
    header::{ACCEPT_LANGUAGE, CONTENT_TYPE, USER_AGENT},
};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    BuildContext, BuildError, address, http_status,
    json::{self, push_embedded, push_payload, push_text},
    sender::{LIBRARY_USER_AGENT, Render, Sender},
    text::key_hash,
};
use crate::{
    alert::text::quote,
    config::model::{JiraApi, JiraConfig, JiraText},
    httpconf::{Request, Response},
    notify::types::{FailureReason, Notification, Notifier, NotifyError, NotifyFuture, Progress, Receipt},
};

const SUMMARY_RUNES_MAX: usize = 255;
const DESCRIPTION_RUNES_MAX: usize = 32767;
const RETRY_CODES: &[u16] = &[429];
const DONE: &str = "done";

/// One Jira project.
pub struct Jira {
    sender: Sender,
    config: JiraConfig,
    search_url: String,
    /// Descriptions are documents, not texts.
    is_version_3: bool,
}

#[derive(Deserialize)]
struct SearchReply {
    issues: Option<Vec<Issue>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Issue {
    key: String,
    fields: Option<IssueFields>,
}

#[derive(Deserialize)]
struct IssueFields {
    status: Option<IssueStatus>,
}

#[derive(Deserialize)]
struct IssueStatus {
    #[serde(rename = "statusCategory")]
    category: Option<StatusCategory>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StatusCategory {
    key: String,
}

#[derive(Deserialize)]
struct TransitionsReply {
    transitions: Option<Vec<Transition>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Transition {
    id: String,
    name: String,
}

/// The group as Jira sees it.
struct Group {
    project: String,
    label: String,
    firing: bool,
}

impl Jira {
    /// # Errors
    /// An `http_config` that cannot be used.
    pub fn new(config: &JiraConfig, context: &BuildContext) -> Result<Self, BuildError> {
        let path = config.api_url.split(['?', '#']).next().unwrap_or_default();
        Ok(Jira {
            sender: Sender::new(&config.http, "jira", context)?,
            search_url: search_url(config),
            is_version_3: path.trim_end_matches('/').ends_with("/3"),
            config: config.clone(),
        })
    }

    async fn send(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        let mut render = self.sender.render(notification);
        render.keep_all(address::secrets(&self.config.api_url));
        self.tell(&render, notification).await.map_err(|error| render.hide(error))?;
        Ok(Receipt::default())
    }

    async fn tell(&self, render: &Render<'_>, notification: &Notification) -> Result<(), NotifyError> {
        let group = Group {
            project: render.text("project", &self.config.project)?,
            label: format!("ALERT{{{}}}", key_hash(&notification.group_key)),
            firing: notification.is_firing(),
        };
        match self.search(&group).await? {
            None if group.firing => self.create(render, &group).await,
            None => Ok(()),
            Some(issue) => {
                self.update(render, &group, &issue).await?;
                self.transition(&group, &issue).await
            }
        }
    }

    async fn search(&self, group: &Group) -> Result<Option<Issue>, NotifyError> {
        let what = "failed to look up existing issues";
        let body = json::body(512, |out| {
            let mut root = json::object(out);
            root.array("fields").text("status");
            root.text("jql", &self.query(group));
            root.integer("maxResults", 2);
        });
        let response = self.call(what, Method::POST, self.search_url.clone(), Some(body)).await?;
        // Nothing was written so far.
        let reply: SearchReply =
            read(what, &response).map_err(|error| NotifyError { progress: Progress::NotSent, ..error })?;
        let mut issues = reply.issues.unwrap_or_default();
        if issues.len() > 1 {
            tracing::warn!(
                integration = "jira",
                label = group.label,
                "more than one issue of the group: the first is used"
            );
        }
        Ok((!issues.is_empty()).then(|| issues.swap_remove(0)))
    }

    fn query(&self, group: &Group) -> String {
        let config = &self.config;
        let mut query = String::new();
        if !config.wont_fix_resolution.is_empty() {
            let resolution = quote(&config.wont_fix_resolution);
            query.push_str(&format!("(resolution is EMPTY or resolution != {resolution}) and "));
        }
        let reopen_minutes = config.reopen_duration.as_secs() / 60;
        if group.firing && !config.reopen_transition.is_empty() && reopen_minutes > 0 {
            query.push_str(&format!("(resolutiondate is EMPTY OR resolutiondate >= -{reopen_minutes}m) and "));
        } else {
            query.push_str("statusCategory != Done and ");
        }
        let (project, label) = (quote(&group.project), quote(&group.label));
        query.push_str(&format!("project={project} and labels={label} order by status ASC,resolutiondate DESC"));
        query
    }

    async fn create(&self, render: &Render<'_>, group: &Group) -> Result<(), NotifyError> {
        let url = address::join(&self.config.api_url, "issue");
        let body = self.issue(render, group, true)?;
        self.call("failed to create the issue", Method::POST, url, Some(body)).await.map(drop)
    }

    async fn update(&self, render: &Render<'_>, group: &Group, issue: &Issue) -> Result<(), NotifyError> {
        let body = self.issue(render, group, false)?;
        let what = format!("failed to update issue {}", issue.key);
        self.call(&what, Method::PUT, self.issue_url(issue, ""), Some(body)).await.map(drop)
    }

    async fn transition(&self, group: &Group, issue: &Issue) -> Result<(), NotifyError> {
        let done = match issue.status_category() {
            Some(category) => category == DONE,
            None => return Ok(()),
        };
        let name = match (group.firing, done) {
            (true, true) => &self.config.reopen_transition,
            (false, false) => &self.config.resolve_transition,
            _ => return Ok(()),
        };
        if name.is_empty() {
            return Ok(());
        }
        let what = format!("failed to move issue {}", issue.key);
        let url = self.issue_url(issue, "/transitions");
        let reply: TransitionsReply = read(&what, &self.call(&what, Method::GET, url.clone(), None).await?)?;
        let transitions = reply.transitions.unwrap_or_default();
        let Some(transition) = transitions.iter().find(|transition| transition.name == *name) else {
            let message = format!("can't find transition {name} for issue {}", issue.key);
            return Err(NotifyError { reason: FailureReason::Other, ..http_status::refused(&message) });
        };
        let body = json::body(64, |out| json::object(out).object("transition").text("id", &transition.id));
        self.call(&what, Method::POST, url, Some(body)).await.map(drop)
    }

    /// What an issue is made of; configured `fields` come before ours.
    fn issue(&self, render: &Render<'_>, group: &Group, is_new: bool) -> Result<String, NotifyError> {
        let config = &self.config;
        let mut fields: BTreeMap<&str, String> = BTreeMap::new();
        let written = |text: &JiraText| is_new || text.enable_update;
        fields.insert("project", named("key", &group.project));
        fields.insert("issuetype", named("name", &render.text("issue_type", &config.issue_type)?));
        fields.insert("labels", self.labels(render, group)?);
        let priority = render.text("priority", &config.priority)?;
        if !priority.is_empty() {
            fields.insert("priority", named("name", &priority));
        }
        if written(&config.summary) {
            fields.insert("summary", text(&render.runes("summary", &config.summary.template, SUMMARY_RUNES_MAX)?));
        }
        if written(&config.description)
            && let Some(description) = self.description(render)?
        {
            fields.insert("description", description);
        }
        for (name, value) in &config.fields {
            let mut out = String::new();
            push_payload(&mut out, &render.payload("fields", value)?).map_err(http_status::unsendable)?;
            fields.insert(name, out);
        }
        Ok(json::body(1024, |out| {
            let mut root = json::object(out);
            let mut object = root.object("fields");
            fields.iter().for_each(|(name, value)| object.key(name).push_str(value));
        }))
    }

    fn labels(&self, render: &Render<'_>, group: &Group) -> Result<String, NotifyError> {
        let configured = self.config.labels.iter().map(|source| render.text("labels", source));
        let mut labels = configured.collect::<Result<Vec<_>, _>>()?;
        labels.push(group.label.clone());
        labels.sort_unstable();
        let mut out = String::new();
        let mut list = json::array(&mut out);
        labels.iter().for_each(|label| list.text(label));
        list.end();
        Ok(out)
    }

    fn description(&self, render: &Render<'_>) -> Result<Option<String>, NotifyError> {
        let description = render.runes("description", &self.config.description.template, DESCRIPTION_RUNES_MAX)?;
        if description.is_empty() {
            return Ok(None);
        }
        if !self.is_version_3 {
            return Ok(Some(text(&description)));
        }
        let mut out = String::with_capacity(description.len());
        let embedded = push_embedded(&mut out, &description);
        embedded.map_err(|error| http_status::unsendable(format!("jira description is not valid JSON: {error}")))?;
        Ok(Some(out))
    }

    fn issue_url(&self, issue: &Issue, then: &str) -> String {
        address::join(&self.config.api_url, &format!("issue/{}{then}", address::escape_segment(&issue.key)))
    }

    /// One call, which must succeed; `what` failed otherwise.
    async fn call(
        &self,
        what: &str,
        method: Method,
        url: String,
        body: Option<String>,
    ) -> Result<Response, NotifyError> {
        let headers = HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (ACCEPT_LANGUAGE, HeaderValue::from_static("en")),
            (USER_AGENT, HeaderValue::from_static(LIBRARY_USER_AGENT)),
        ]);
        let body = body.unwrap_or_default().into();
        let request = Request { method, url, headers, body, timeout: None, body_wanted: true };
        let named = |error: NotifyError| NotifyError { message: format!("{what}: {}", error.message), ..error };
        let response = self.sender.exchange(request).await;
        let response = response.map_err(|error| named(NotifyError { retry: false, ..error }))?;
        http_status::check(&response, RETRY_CODES, self.sender.now()).map_err(named)?;
        Ok(response)
    }
}

impl Issue {
    fn status_category(&self) -> Option<&str> {
        Some(&self.fields.as_ref()?.status.as_ref()?.category.as_ref()?.key)
    }
}

/// The search of Jira Cloud is another one, which only version 3 has.
fn search_url(config: &JiraConfig) -> String {
    let is_cloud = match config.api_type {
        JiraApi::Cloud => true,
        JiraApi::DataCenter => false,
        JiraApi::Auto => address::host(&config.api_url).ends_with("atlassian.net"),
    };
    if is_cloud {
        address::join(&config.api_url, "search/jql").replacen("/rest/api/2/", "/rest/api/3/", 1)
    } else {
        address::join(&config.api_url, "search")
    }
}

fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    push_text(&mut out, text);
    out
}

/// `{"name":"value"}`.
fn named(name: &str, value: &str) -> String {
    let mut out = String::new();
    json::object(&mut out).text(name, value);
    out
}

fn read<T: DeserializeOwned>(what: &str, response: &Response) -> Result<T, NotifyError> {
    serde_json::from_slice(&response.body).map_err(|error| {
        let unreadable = http_status::unreadable(&format!("{what}: could not read the answer: {error}"));
        NotifyError { retry: false, ..unreadable }
    })
}

impl Notifier for Jira {
    fn notify<'a>(&'a self, notification: &'a Notification) -> NotifyFuture<'a> {
        Box::pin(self.send(notification))
    }
}
