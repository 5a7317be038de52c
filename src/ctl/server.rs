//! The server that commands talk to: Alertmanager's API, version 2, over HTTP.
//!
//! Every command has one time limit, `--timeout`, which starts when the [`Server`] is made. Whatever fails says what
//! was asked of whom, and what came back; passwords in URLs are never shown.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::time::Instant;
use url::{Url, form_urlencoded};

use super::{
    args::Globals,
    error::{CtlError, ServerError},
    model::{Alert, Item, Silence, Status, TestReport},
    output::json_text,
};
use crate::{
    app::BUILD,
    clock::Clock,
    config,
    httpconf::{Client, ClientOptions, DialMetrics, ProxyEnvironment, Request, Response},
    random::Random,
};

/// More than any server can hold in alerts or silences that somebody wants to see.
const ANSWER_BYTES_MAX: usize = 1 << 30;
/// Shown of an answer that is an error.
const SHOWN_BYTES_MAX: usize = 2000;

/// An operation of the API, by the names that amtool's messages give it.
struct Operation {
    method: Method,
    path: &'static str,
    name: &'static str,
    /// Statuses with a meaning of their own: its name, and whether a text comes with it.
    known: &'static [(u16, &'static str, bool)],
}

const BAD: (u16, &str, bool) = (400, "BadRequest", true);
const BROKEN: (u16, &str, bool) = (500, "InternalServerError", true);

const GET_STATUS: Operation = Operation { method: Method::GET, path: "/status", name: "getStatus", known: &[] };
const GET_ALERTS: Operation =
    Operation { method: Method::GET, path: "/alerts", name: "getAlerts", known: &[BAD, BROKEN] };
const POST_ALERTS: Operation =
    Operation { method: Method::POST, path: "/alerts", name: "postAlerts", known: &[BAD, BROKEN] };
const GET_SILENCES: Operation =
    Operation { method: Method::GET, path: "/silences", name: "getSilences", known: &[BAD, BROKEN] };
const POST_SILENCES: Operation = Operation {
    method: Method::POST,
    path: "/silences",
    name: "postSilences",
    known: &[BAD, (404, "NotFound", true), BROKEN],
};
const GET_SILENCE: Operation = Operation {
    method: Method::GET,
    path: "/silence/{silenceID}",
    name: "getSilence",
    known: &[(404, "NotFound", false), BROKEN],
};
const DELETE_SILENCE: Operation = Operation {
    method: Method::DELETE,
    path: "/silence/{silenceID}",
    name: "deleteSilence",
    known: &[(404, "NotFound", false), BROKEN],
};

const TEST_RECEIVER: Operation = Operation {
    method: Method::POST,
    path: "/carillon/receivers/{name}/test",
    name: "testReceiver",
    known: &[BAD, (403, "Forbidden", true), (404, "NotFound", true), BROKEN],
};

/// A parameter of a request.
type Pair = (&'static str, String);

/// Which alerts are wanted.
#[derive(Clone, Debug, Default)]
pub struct AlertFilter {
    pub active: bool,
    pub inhibited: bool,
    pub silenced: bool,
    pub unprocessed: bool,
    pub receiver: String,
    pub matchers: Vec<String>,
}

/// One server and the time that is left for it.
pub struct Server {
    /// Without a slash at the end.
    base: String,
    /// The same for people: no password in it.
    shown: String,
    client: Client,
    clock: Clock,
    deadline: Instant,
    verbose: bool,
}

impl Server {
    /// Makes a client for `--alertmanager.url`, and compares versions unless told not to.
    ///
    /// # Errors
    /// No URL, or one that leads nowhere; an HTTP configuration that cannot be used.
    pub async fn connect(globals: &Globals) -> Result<Self, CtlError> {
        let url = globals.url.as_deref().filter(|url| !url.is_empty()).ok_or(CtlError::NoUrl)?;
        let server = Server::at(url, globals)?;
        if globals.version_check {
            server.compare_versions().await;
        }
        Ok(server)
    }

    /// The same for any URL, without the comparison.
    ///
    /// # Errors
    /// See [`Server::connect`].
    pub fn at(url: &str, globals: &Globals) -> Result<Self, CtlError> {
        let (base, shown) = base_of(url, globals.http_config_file.is_some())?;
        let clock = Clock::system();
        let client = client(globals.http_config_file.as_deref(), &clock)?;
        let deadline = clock.monotonic() + globals.timeout;
        Ok(Server { base, shown, client, clock, deadline, verbose: globals.verbose })
    }

    /// The URL as it can be shown.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// # Errors
    /// See [`ServerError`]; so for all requests.
    pub async fn status(&self) -> Result<Item<Status>, ServerError> {
        self.get(&GET_STATUS, GET_STATUS.path, &[]).await
    }

    /// # Errors
    /// See [`ServerError`].
    pub async fn alerts(&self, filter: &AlertFilter) -> Result<Vec<Item<Alert>>, ServerError> {
        let mut query = vec![("active", filter.active.to_string())];
        query.extend(filter.matchers.iter().map(|matcher| ("filter", matcher.clone())));
        query.push(("inhibited", filter.inhibited.to_string()));
        if !filter.receiver.is_empty() {
            query.push(("receiver", filter.receiver.clone()));
        }
        query.push(("silenced", filter.silenced.to_string()));
        query.push(("unprocessed", filter.unprocessed.to_string()));
        self.list(&GET_ALERTS, &query).await
    }

    /// # Errors
    /// See [`ServerError`].
    pub async fn post_alerts(&self, body: &serde_json::Value) -> Result<(), ServerError> {
        self.call(&POST_ALERTS, POST_ALERTS.path, &[], Some(body)).await.map(drop)
    }

    /// # Errors
    /// See [`ServerError`].
    pub async fn silences(&self, matchers: &[String]) -> Result<Vec<Item<Silence>>, ServerError> {
        let query: Vec<Pair> = matchers.iter().map(|matcher| ("filter", matcher.clone())).collect();
        self.list(&GET_SILENCES, &query).await
    }

    /// # Errors
    /// See [`ServerError`].
    pub async fn silence(&self, id: &str) -> Result<Item<Silence>, ServerError> {
        self.get(&GET_SILENCE, &path_of(id), &[]).await
    }

    /// The series of `/metrics` that have no labels, by name.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn metrics(&self) -> Result<BTreeMap<String, String>, ServerError> {
        let (url, shown) = (format!("{}/metrics", self.base), format!("{}/metrics", self.shown));
        let response = self.send(&Method::GET, url, &shown, None).await?;
        let text = String::from_utf8_lossy(&response.body);
        let series = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '));
        Ok(series.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// Has the server send a test notification; what came of it.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn test_receiver(&self, name: &str, order: &serde_json::Value) -> Result<Item<TestReport>, ServerError> {
        let path = format!("/carillon/receivers/{}/test", escaped(name));
        let answer = self.call(&TEST_RECEIVER, &path, &[], Some(order)).await?;
        let read = serde_json::from_slice::<Box<RawValue>>(&answer).and_then(Item::read);
        read.map_err(|why| ServerError::Unreadable { url: self.url(&path, &[]).1, why })
    }

    /// Adds or changes a silence; its id is returned.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn post_silence(&self, body: &serde_json::Value) -> Result<String, ServerError> {
        #[derive(serde::Deserialize)]
        struct Posted {
            #[serde(rename = "silenceID")]
            id: String,
        }
        let answer = self.call(&POST_SILENCES, POST_SILENCES.path, &[], Some(body)).await?;
        let unreadable = |why| ServerError::Unreadable { url: self.url(POST_SILENCES.path, &[]).1, why };
        serde_json::from_slice::<Posted>(&answer).map(|posted| posted.id).map_err(unreadable)
    }

    /// # Errors
    /// See [`ServerError`].
    pub async fn expire(&self, id: &str) -> Result<(), ServerError> {
        self.call(&DELETE_SILENCE, &path_of(id), &[], None).await.map(drop)
    }

    async fn list<T: DeserializeOwned>(
        &self,
        operation: &Operation,
        query: &[Pair],
    ) -> Result<Vec<Item<T>>, ServerError> {
        let answer = self.call(operation, operation.path, query, None).await?;
        let read = serde_json::from_slice::<Vec<Box<RawValue>>>(&answer)
            .and_then(|items| items.into_iter().map(Item::read).collect());
        read.map_err(|why| ServerError::Unreadable { url: self.url(operation.path, query).1, why })
    }

    async fn get<T: DeserializeOwned>(
        &self,
        operation: &Operation,
        path: &str,
        query: &[Pair],
    ) -> Result<Item<T>, ServerError> {
        let answer = self.call(operation, path, query, None).await?;
        let read = serde_json::from_slice::<Box<RawValue>>(&answer).and_then(Item::read);
        read.map_err(|why| ServerError::Unreadable { url: self.url(path, query).1, why })
    }

    /// The URL for the request, and the one for people.
    fn url(&self, path: &str, query: &[Pair]) -> (String, String) {
        let mut rest = format!("/api/v2{path}");
        if !query.is_empty() {
            let pairs = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
            let _ = write!(rest, "?{pairs}");
        }
        (format!("{}{rest}", self.base), format!("{}{rest}", self.shown))
    }

    async fn call(
        &self,
        operation: &Operation,
        path: &str,
        query: &[Pair],
        body: Option<&serde_json::Value>,
    ) -> Result<Bytes, ServerError> {
        let (url, shown) = self.url(path, query);
        let response = self.send(&operation.method, url, &shown, body).await?;
        if response.status != 200 {
            return Err(refused(operation, &shown, &response));
        }
        if !response.body_complete {
            return Err(ServerError::BrokeOff { url: shown });
        }
        Ok(response.body)
    }

    /// One request; any status is an answer.
    async fn send(
        &self,
        method: &Method,
        url: String,
        shown: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<Response, ServerError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let body = body.map(|body| {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            Bytes::from(body.to_string())
        });
        let left = self.deadline.saturating_duration_since(self.clock.monotonic());
        let request = Request {
            method: method.clone(),
            url,
            headers,
            body: body.unwrap_or_default(),
            timeout: Some(left),
            body_wanted: true,
        };
        let answer = self.client.fetch(request, ANSWER_BYTES_MAX).await;
        if self.verbose {
            let outcome =
                answer.as_ref().map_or_else(|error| error.message.clone(), |answer| answer.status.to_string());
            super::terminal::say(&format!("{method} {shown}: {outcome}"));
        }
        answer.map_err(|error| {
            // The client's words hide the URL, since those of receivers are secrets.
            let why = error.message.split_once("\": ").map_or(error.message.as_str(), |(_, why)| why).to_owned();
            let method = match *method {
                Method::POST => "Post",
                Method::DELETE => "Delete",
                _ => "Get",
            };
            ServerError::NoAnswer { method, url: shown.to_owned(), why }
        })
    }

    /// Whatever fails here will be told by the command itself.
    async fn compare_versions(&self) {
        let Ok(status) = self.status().await else { return };
        let theirs = status.value.version.version;
        let of_release = |version: &str| {
            let mut parts = version.split('.');
            Some((parts.next()?.to_owned(), parts.next()?.to_owned()))
        };
        if of_release(&theirs) != of_release(BUILD.version) {
            super::terminal::say(&format!(
                "Warning: amtool version ({}) and alertmanager version ({theirs}) are different.",
                BUILD.version
            ));
        }
    }
}

fn path_of(id: &str) -> String {
    format!("/silence/{}", escaped(id))
}

fn escaped(part: &str) -> String {
    let escaped = percent_encoding::utf8_percent_encode(part, percent_encoding::NON_ALPHANUMERIC).to_string();
    escaped.replace("%2D", "-")
}

/// The URL to ask, and the one to show.
fn base_of(text: &str, has_http_config: bool) -> Result<(String, String), CtlError> {
    let wrong = |why| CtlError::Url { url: text.to_owned(), why };
    let mut url = match Url::parse(text) {
        Ok(url) => url,
        Err(url::ParseError::RelativeUrlWithoutBase) => return Err(wrong("there is no http:// or https://")),
        Err(_) => return Err(wrong("it cannot be read")),
    };
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("it does not start with http:// or https://"));
    }
    if has_http_config && !url.username().is_empty() {
        return Err(CtlError::TwoCredentials);
    }
    url.set_query(None);
    url.set_fragment(None);
    let base = url.as_str().trim_end_matches('/').to_owned();
    if url.password().is_some() {
        // Only URLs that have no host refuse a password.
        let _ = url.set_password(Some("***"));
    }
    Ok((base, url.as_str().trim_end_matches('/').to_owned()))
}

fn client(file: Option<&Path>, clock: &Clock) -> Result<Client, CtlError> {
    let http = match file {
        Some(file) => config::load_http_config(file)?,
        None => config::default_http_config(),
    };
    let cannot = |why: &dyn std::fmt::Display| CtlError::Http(why.to_string());
    let options = ClientOptions {
        user_agent: concat!("carillonctl/", env!("CARGO_PKG_VERSION")).to_owned(),
        clock: clock.clone(),
        random: Random::system(),
        dials: DialMetrics::unregistered().map_err(|error| cannot(&error))?,
        proxy_environment: ProxyEnvironment::from_process(),
        rehearsal: None,
    };
    Client::new(&http, "carillonctl", &options).map_err(|error| match file {
        Some(file) => cannot(&format!("{}: {error}", file.display())),
        None => cannot(&error),
    })
}

/// Amtool's line, and below it who answered what.
fn refused(operation: &Operation, url: &str, response: &Response) -> ServerError {
    let Operation { method, path, name, known } = operation;
    let status = response.status;
    let text = String::from_utf8_lossy(&response.body);
    let shown = |body: &str| {
        let body = body.trim();
        if body.is_empty() { String::new() } else { format!(": {}", cut(body)) }
    };
    let (what, body) = match known.iter().find(|(code, ..)| *code == status) {
        Some((_, meaning, true)) => {
            let payload = payload(&text);
            (format!("[{method} {path}][{status}] {name}{meaning} {}", json_text(cut(&payload))), String::new())
        }
        Some((_, meaning, false)) => (format!("[{method} {path}][{status}] {name}{meaning}"), shown(&text)),
        None => (format!("[{method} {path}] {name} (status {status}): {{}}"), shown(&text)),
    };
    ServerError::Refused { what, asked: format!("{method} {url}"), status, body }
}

/// The text of an answer: a bare JSON text, the message of an object, or what is no JSON.
fn payload(text: &str) -> String {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(serde_json::Value::String(text)) => text,
        Ok(value) => value.get("message").and_then(serde_json::Value::as_str).unwrap_or(text).to_owned(),
        Err(_) => text.to_owned(),
    }
}

fn cut(text: &str) -> &str {
    let end = (0..=SHOWN_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_url_is_a_prefix_and_passwords_are_hidden() {
        let base = |text: &str| base_of(text, false).map_err(|error| error.to_string());
        assert_eq!(base("http://h:1/a/").unwrap(), ("http://h:1/a".to_owned(), "http://h:1/a".to_owned()));
        assert_eq!(base("http://u:p@h").unwrap(), ("http://u:p@h".to_owned(), "http://u:***@h".to_owned()));
        for wrong in ["localhost:9093", "127.0.0.1:9093", ":x", "ftp://h"] {
            assert!(base(wrong).unwrap_err().contains("http://"), "{wrong}");
        }
        assert!(matches!(base_of("http://u:p@h", true), Err(CtlError::TwoCredentials)));
    }

    #[test]
    fn refusals_read_as_amtools_and_tell_url_and_body() {
        let answer = |status, body: &'static str| Response {
            status,
            headers: HeaderMap::new(),
            body: Bytes::from_static(body.as_bytes()),
            body_complete: true,
            sent_secrets: Vec::new(),
        };
        let text =
            |operation: &Operation, status, body| refused(operation, "http://h/x", &answer(status, body)).to_string();
        assert_eq!(
            text(&POST_ALERTS, 400, "\"at least <one>\"\n"),
            "[POST /alerts][400] postAlertsBadRequest \"at least \\u003cone\\u003e\"\nPOST http://h/x answered 400"
        );
        assert_eq!(
            text(&DELETE_SILENCE, 404, ""),
            "[DELETE /silence/{silenceID}][404] deleteSilenceNotFound\nDELETE http://h/x answered 404"
        );
        assert_eq!(
            text(&GET_ALERTS, 404, "404 page not found\n"),
            "[GET /alerts] getAlerts (status 404): {}\nGET http://h/x answered 404: 404 page not found"
        );
    }

    #[test]
    fn ids_are_escaped() {
        assert_eq!(path_of("a-b"), "/silence/a-b");
        assert_eq!(path_of("a/../b?"), "/silence/a%2F%2E%2E%2Fb%3F");
    }
}
