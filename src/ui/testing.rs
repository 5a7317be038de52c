//! A browser without a script: follows links, fills in forms, keeps cookies.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;

use super::ask::escaped;
use crate::{
    api::{
        Api,
        testing::{api, text},
    },
    silence::State,
    web::{WebOptions, testing::TestServer},
};

const CONFIG: &str = r#"
route:
  receiver: default
  group_by: [alertname, dc]
  routes:
    - matchers: [team="web"]
      receiver: team-web
      group_by: [alertname]
    - matchers: [team="night"]
      receiver: default
      mute_time_intervals: [always]
inhibit_rules:
  - source_matchers: [alertname="HostDown"]
    target_matchers: [alertname="VmDown"]
    equal: [dc]
time_intervals:
  - name: always
    time_intervals: [{times: [{start_time: "00:00", end_time: "24:00"}]}]
receivers: [{name: default}, {name: team-web}]
"#;

/// What a browser keeps and sends.
pub(super) struct Browser {
    pub(super) server: TestServer,
    pub(super) api: Arc<Api>,
    pub(super) cookies: std::cell::RefCell<Vec<(String, String)>>,
    pub(super) login: Option<String>,
    pub(super) prefix: &'static str,
}

pub(super) struct Seen {
    pub(super) status: u16,
    pub(super) location: Option<String>,
    pub(super) policy: Option<String>,
    pub(super) text: String,
}

impl Browser {
    pub(super) fn new() -> Self {
        Self::with(&WebOptions::default(), "")
    }

    pub(super) fn with(options: &WebOptions, prefix: &'static str) -> Self {
        let api = api(CONFIG);
        let server = TestServer::new(&api, options);
        Browser { server, api, cookies: std::cell::RefCell::default(), login: None, prefix }
    }

    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> Seen {
        let answer = self.server.answer(request).await;
        for cookie in answer.headers().get_all(header::SET_COOKIE) {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.borrow_mut().retain(|(name, _)| name != pair.0);
            self.cookies.borrow_mut().push((pair.0.to_owned(), pair.1.to_owned()));
        }
        let of = |name: header::HeaderName| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (location, policy) = (of(header::LOCATION), of(header::CONTENT_SECURITY_POLICY));
        let (status, text) = text(answer).await;
        Seen { status, location, policy, text }
    }

    pub(super) fn request(&self, method: &str, path: &str) -> http::request::Builder {
        let cookies: Vec<String> =
            self.cookies.borrow().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut builder =
            Request::builder().method(method).uri(format!("{}{path}", self.prefix)).header("host", "am.example");
        if !cookies.is_empty() {
            builder = builder.header("cookie", cookies.join("; "));
        }
        if let Some(login) = &self.login {
            builder =
                builder.header("authorization", format!("Basic {}", BASE64_STANDARD.encode(format!("{login}:secret"))));
        }
        builder
    }

    pub(super) async fn get(&self, path: &str) -> Seen {
        self.send(self.request("GET", path).body(Full::default()).unwrap()).await
    }

    pub(super) async fn page(&self, path: &str) -> String {
        let seen = self.get(path).await;
        assert_eq!(seen.status, 200, "{path}: {}", seen.text);
        seen.text
    }

    pub(super) async fn post(&self, path: &str, fields: &[(String, String)]) -> Seen {
        self.post_from(path, fields, "https://am.example").await
    }

    pub(super) async fn post_from(&self, path: &str, fields: &[(String, String)], origin: &str) -> Seen {
        let body: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        let request = self.request("POST", path).header("origin", origin);
        self.send(request.body(Full::from(body.join("&"))).unwrap()).await
    }

    pub(super) async fn post_alerts(&self, json: &str) {
        let request = self.request("POST", "/api/v2/alerts").header("content-type", "application/json");
        let seen = self.send(request.body(Full::from(json.to_owned())).unwrap()).await;
        assert_eq!(seen.status, 200, "{}", seen.text);
    }

    pub(super) async fn post_labels(&self, all: &[&[(&str, &str)]]) {
        let alerts: Vec<serde_json::Value> = all
            .iter()
            .map(|labels| {
                let labels: serde_json::Map<String, serde_json::Value> =
                    labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).into())).collect();
                serde_json::json!({"labels": labels, "annotations": {"summary": "something is wrong"}})
            })
            .collect();
        self.post_alerts(&serde_json::to_string(&alerts).unwrap()).await;
    }

    pub(super) fn silences(&self, state: State) -> Vec<String> {
        let all = self.api.silences.query(&crate::silence::Query::default());
        let of = all.iter().filter(|(_, known)| *known == state);
        of.map(|(silence, _)| silence.matchers().unwrap().iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
            .collect()
    }
}

/// Posts so many alerts of one name.
pub(super) async fn post_many(api: &Arc<Api>, name: &str, count: usize) {
    let alerts: Vec<serde_json::Value> =
        (0..count).map(|n| serde_json::json!({"labels": {"alertname": name, "n": n.to_string()}})).collect();
    let request = crate::api::testing::request("POST", "/alerts", &serde_json::to_string(&alerts).unwrap());
    let (status, body) = text(api.handle("/alerts", "/alerts", request).await).await;
    assert_eq!(status, 200, "{body}");
}

pub(super) fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&#38;", "&")
        .replace("&#60;", "<")
        .replace("&#62;", ">")
        .replace("&amp;", "&")
}

pub(super) fn attribute(tag: &str, name: &str) -> Option<String> {
    let from = tag.find(&format!(" {name}=\""))? + name.len() + 3;
    Some(unescaped(tag[from..].split('"').next().unwrap()))
}

/// Every link of a page.
pub(super) fn links(page: &str) -> Vec<String> {
    page.split("<a ")
        .skip(1)
        .filter_map(|rest| attribute(&format!(" {}", rest.split('>').next().unwrap()), "href"))
        .collect()
}

/// The fields of the form whose tag has `mark` in it, as a browser without script sends them.
pub(super) fn fields(page: &str, mark: &str) -> (String, Vec<(String, String)>) {
    let form = page
        .split("<form")
        .skip(1)
        .find(|form| form.split('>').next().unwrap().contains(mark))
        .unwrap_or_else(|| panic!("no form with {mark} in {page}"));
    let form = form.split("</form>").next().unwrap();
    let form = form
        .split("<noscript>")
        .enumerate()
        .map(|(n, part)| if n == 0 { part } else { part.split("</noscript>").nth(1).unwrap_or("") })
        .collect::<String>();
    let action = attribute(form.split('>').next().unwrap(), "action").unwrap();
    let mut fields = Vec::new();
    for (at, _) in form.match_indices('<') {
        let part = &form[at + 1..];
        let tag = format!(" {}", part.split('>').next().unwrap());
        let (Some(name), is) = (attribute(&tag, "name"), |what: &str| tag.starts_with(&format!(" {what} "))) else {
            continue;
        };
        let value = || attribute(&tag, "value").unwrap_or_default();
        if is("input") && matches!(attribute(&tag, "type").as_deref(), Some("checkbox" | "radio")) {
            if tag.contains(" checked") {
                fields.push((name, value()));
            }
        } else if is("input") || is("button") {
            fields.push((name, value()));
        } else if is("textarea") {
            fields.push((name, unescaped(part.split_once('>').unwrap().1.split('<').next().unwrap())));
        } else if is("select") {
            let options = part.split("</select>").next().unwrap();
            let chosen =
                options.split("<option").skip(1).find(|option| option.split('>').next().unwrap().contains(" selected"));
            let chosen = chosen.or_else(|| options.split("<option").nth(1)).unwrap();
            fields.push((name, unescaped(chosen.split_once('>').unwrap().1.split('<').next().unwrap())));
        }
    }
    (action, fields)
}

pub(super) fn set(fields: &mut Vec<(String, String)>, name: &str, value: &str) {
    fields.retain(|(known, _)| known != name);
    fields.push((name.to_owned(), value.to_owned()));
}

/// What can be seen: fields hold their texts as they are, since they send them back.
pub(super) fn without_values(page: &str) -> String {
    let without = |text: &str, attribute: &str| -> String {
        let rest = |(n, part): (usize, &'_ str)| {
            if n == 0 { part.to_owned() } else { part.split_once('"').unwrap().1.to_owned() }
        };
        text.split(attribute).enumerate().map(rest).collect()
    };
    // What a field holds, and what the script puts into one, is as it was posted.
    let out = without(&without(page, " value=\""), " data-filter=\"");
    out.split("<textarea")
        .enumerate()
        .map(|(n, part)| if n == 0 { part } else { part.split_once("</textarea>").unwrap().1 })
        .collect()
}

/// The path that a relative address means, seen from `page`.
pub(super) fn resolved(page: &str, address: &str) -> String {
    let base = url::Url::parse(&format!("http://x{page}")).unwrap();
    let url = base.join(address).unwrap();
    url[url::Position::BeforePath..url::Position::AfterQuery].to_owned()
}
