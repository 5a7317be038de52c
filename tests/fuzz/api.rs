//! Requests to the API: bodies of alerts and silences, query strings, ids in paths, headers. Each must be answered, and
//! with a status that the API has.

use std::sync::Arc;

use bytes::Bytes;
use carillon::api::Api;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use tokio::runtime::Runtime;

use crate::{
    corpus,
    harness::{Case, Target},
    matchers,
    mutate::Words,
    node::{Ground, runtime},
    rng::Rng,
};

pub struct Requests {
    runtime: Runtime,
    ground: Ground,
    api: Arc<Api>,
    /// Of the last silence that was made: "known" in a path.
    silence: String,
    /// Since the API was made: it begins anew before it has grown large.
    answered: usize,
}

const CONFIG: &str = "route: {receiver: a, group_by: [alertname], routes: [{receiver: b, matchers: ['severity=~\"c.*\"']}]}\n\
    receivers: [{name: a}, {name: b, labels: {team: x}}]\n\
    inhibit_rules: [{source_matchers: ['alertname=A'], target_matchers: ['alertname!=A'], equal: [job]}]\n";

const AGE_MAX: usize = 500;

const TOKENS: [&str; 58] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "null",
    "true",
    "false",
    "-1",
    "1e999",
    "0.1",
    "\\u0000",
    "\\ud800",
    "\\ud83d\\ude42",
    "\\u00",
    "\\x",
    "\\",
    "\"\"",
    "{}",
    "[]",
    "[null]",
    "\"labels\":",
    "\"alertname\":\"A\"",
    "\"annotations\":",
    "\"startsAt\":",
    "\"endsAt\":",
    "\"generatorURL\":",
    "\"matchers\":",
    "\"isRegex\":true",
    "\"isEqual\":false",
    "\"value\":\"(\"",
    "\"value\":\"a{1000}{1000}\"",
    "\"createdBy\":",
    "\"comment\":",
    "\"id\":\"f1a2b3c4-0000-4000-8000-123456789abc\"",
    "\"2024-05-06T07:08:09Z\"",
    "\"2024-05-06T07:08:60+25:00\"",
    "\"9999-12-31T23:59:59.999999999Z\"",
    "\"0001-01-01T00:00:00Z\"",
    "\"-1-01-01\"",
    "\"1969-12-31\"",
    "\"http://[::1\"",
    "\"mailto:x\"",
    "\"%zz\"",
    " ",
    "\n",
    "\u{feff}",
    "é",
    "\"LABELS\":",
    "\"labels\":{\"a\":\"b\",\"a\":\"c\"}",
    "\"__name__\":\"x\"",
    "\"a b\":\"c\"",
    "\"\":\"x\"",
    "\"x\":\"\"",
    "//",
    "NaN",
];

fn bodies(corpus: &'static [&'static str]) -> Words<'static> {
    Words { corpus, tokens: &TOKENS }
}

fn query(rng: &mut Rng) -> String {
    let names = [
        "filter",
        "receiver",
        "receiver_matchers",
        "active",
        "silenced",
        "inhibited",
        "unprocessed",
        "muted",
        "x",
        "",
        "sort",
        "filter%5B%5D",
    ];
    let list: Vec<String> = (0..rng.below(5))
        .map(|_| {
            let value = match rng.below(4) {
                0 => rng
                    .pick(&["true", "false", "1", "", "maybe", "a", "b", "%", "%4", "%zz", "+", "a;b", "(", "%28%28"])
                    .to_owned(),
                1 => escaped(&crate::regexes::grammar(rng)),
                _ => escaped(&String::from_utf8_lossy(&matchers::MatcherTexts::make(rng).bytes)),
            };
            format!("{}={value}", rng.pick(&names))
        })
        .collect();
    list.join(rng.pick(&["&", "&&"]))
}

fn escaped(text: &str) -> String {
    text.bytes()
        .take(2_000)
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// A body of the right form with many different values.
fn alerts(rng: &mut Rng) -> String {
    let one = |rng: &mut Rng| {
        let times = [
            "2024-05-06T07:08:09Z",
            "2099-01-01T00:00:00+14:00",
            "0001-01-01T00:00:00Z",
            "2024-05-06T07:08:09.1+0200",
            "1700000000",
            "9999-12-31T23:59:59Z",
            "",
        ];
        let mut text = format!(
            "{{\"labels\":{{\"alertname\":\"{}\",\"n\":\"{}\"}}",
            rng.pick(&["A", "B", "", "ü", "\\u0041"]),
            rng.below(50)
        );
        for name in ["startsAt", "endsAt"] {
            if rng.one_in(2) {
                text.push_str(&format!(",\"{name}\":\"{}\"", rng.pick(&times)));
            }
        }
        if rng.one_in(3) {
            text.push_str(",\"annotations\":{\"a\":\"b\\n\\u00fc\"},\"generatorURL\":\"http://x/?a=b\"");
        }
        text + "}"
    };
    let list: Vec<String> = (0..rng.below(4)).map(|_| one(rng)).collect();
    format!("[{}]", list.join(","))
}

fn silence(rng: &mut Rng) -> String {
    let matchers: Vec<String> = (0..rng.between(1, 3))
        .map(|_| {
            let value = serde_json::Value::from(crate::regexes::grammar(rng));
            let name = rng.pick(&["alertname", "n", "ü", "", "a b"]);
            format!(
                "{{\"name\":\"{name}\",\"value\":{value},\"isRegex\":{},\"isEqual\":{}}}",
                rng.one_in(2),
                rng.one_in(2)
            )
        })
        .collect();
    let ends = rng.pick(&[
        "2099-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999Z",
        "2099-05-06T07:08:09.123456789+02:00",
        "2020-01-01T00:00:00Z",
        "+10000-01-01T00:00:00Z",
    ]);
    format!(
        "{{\"matchers\":[{}],\"startsAt\":\"2024-01-01T00:00:00Z\",\"endsAt\":\"{ends}\",\"createdBy\":\"me\",\"comment\":\"c\"}}",
        matchers.join(",")
    )
}

fn excessive(rng: &mut Rng) -> String {
    let depth = rng.between(10, 20_000);
    match rng.below(4) {
        0 => "[".repeat(depth),
        1 => format!("[{}{}]", "{\"a\":".repeat(depth), "}".repeat(depth)),
        2 => format!("[{{\"labels\":{{\"alertname\":\"x\"}},\"x\":{}{}}}]", "[".repeat(depth), "]".repeat(depth)),
        _ => format!(
            "[{{\"labels\":{{{}\"alertname\":\"x\"}}}}]",
            (0..depth / 8).map(|n| format!("\"l{n}\":\"v\",")).collect::<String>()
        ),
    }
}

impl Target for Requests {
    const NAME: &'static str = "requests";

    fn new() -> Self {
        let (runtime, ground) = (runtime(), Ground::new());
        let api = runtime.block_on(async { ground.api(CONFIG) });
        Requests { runtime, ground, api, silence: String::new(), answered: 0 }
    }

    fn make(rng: &mut Rng) -> Case {
        match rng.below(16) {
            0 => Case::text("POST /alerts", excessive(rng)),
            1 | 2 => Case::text("POST /alerts", alerts(rng)),
            3 | 4 => {
                let text = alerts(rng);
                Case::text("POST /alerts", bodies(corpus!("alerts.txt")).spoiled(rng, &text, 2))
            }
            5..=7 => Case { kind: "POST /alerts", bytes: bodies(corpus!("alerts.txt")).mutant(rng, 4) },
            8 => Case::text("POST /silences", excessive(rng)),
            9 => Case::text("POST /silences", silence(rng)),
            10 => {
                let text = silence(rng);
                Case::text("POST /silences", bodies(corpus!("silences.txt")).spoiled(rng, &text, 2))
            }
            11 => Case { kind: "POST /silences", bytes: bodies(corpus!("silences.txt")).mutant(rng, 3) },
            12 => Case::text("GET /alerts", query(rng)),
            13 => Case::text("GET /silences", query(rng)),
            14 => Case::text("GET /alerts/groups", query(rng)),
            _ => {
                let words = Words {
                    corpus: &[
                        "known",
                        "known",
                        "f1a2b3c4-0000-4000-8000-123456789abc",
                        "urn:uuid:x",
                        "%7B%7D",
                        "status",
                        "receivers",
                    ],
                    tokens: &["%", "%2F", "/", "-", "{", "é"],
                };
                Case::text(rng.pick(&["GET /silence/", "DELETE /silence/"]), words.mutant_text(rng, 2))
            }
        }
    }

    fn run(&mut self, case: &Case) -> bool {
        if self.answered >= AGE_MAX {
            self.api = self.runtime.block_on(async { self.ground.api(CONFIG) });
            self.answered = 0;
        }
        self.answered += 1;
        let (method, path) = case.kind.split_once(' ').unwrap_or_default();
        let (path, query, body) = match path {
            "/silence/" => (
                format!("{path}{}", escaped_path(&case.as_text()).replace("known", &self.silence)),
                String::new(),
                Bytes::new(),
            ),
            path if method == "POST" => (path.to_owned(), String::new(), Bytes::from(case.bytes.clone())),
            path => (path.to_owned(), format!("?{}", case.as_text()), Bytes::new()),
        };
        let request =
            Request::builder().method(method).uri(format!("{path}{query}")).header("content-type", "application/json");
        // Lines that the HTTP library does not let through never come to the API.
        let Ok(request) = request.body(Full::from(body)) else { return false };
        let (status, answer) = self.runtime.block_on(async {
            let (parts, body) = self.api.handle(&path, &path, request).await.into_parts();
            (parts.status.as_u16(), body.collect().await.map(|body| body.to_bytes()))
        });
        let answer = answer.unwrap_or_else(|_| panic!("the answer breaks off"));
        assert!(
            matches!(status, 200 | 400 | 404 | 405 | 422 | 601),
            "status {status}: {}",
            String::from_utf8_lossy(&answer)
        );
        let json: serde_json::Value = serde_json::from_slice(&answer).unwrap_or_default();
        assert!(answer.is_empty() || !json.is_null(), "the answer is no JSON");
        if let Some(id) = json.get("silenceID").and_then(serde_json::Value::as_str) {
            id.clone_into(&mut self.silence);
        }
        status == 200
    }
}

/// What a path may hold stays, the rest is written as an escape.
fn escaped_path(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"-%".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}
