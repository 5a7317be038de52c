//! Configuration files: composed of parts that are valid, then spoiled. What is accepted goes on to routing,
//! inhibition, time intervals and templates, and its masked dump must be readable again without a panic.

use std::{path::Path, sync::Arc};

use carillon::{
    alert::{Labels, matcher::ParseMode, text::parse_time},
    clock::Time,
    config::{self, LoadOptions, Loaded, Route},
    inhibit::Inhibitor,
};

use crate::{
    corpus,
    harness::{Case, Target},
    mutate::Words,
    rng::Rng,
};

pub struct Configuration {
    alerts: Vec<Labels>,
    moments: Vec<Time>,
    /// Every so many accepted ones the dump is read too.
    accepted: u64,
}

const TOKENS: [&str; 62] = [
    ": ",
    "- ",
    "? ",
    "\n",
    "\n  ",
    "\n      - ",
    "&a ",
    "*a",
    "<<: *a",
    "<<: {a: b}",
    "!!str ",
    "!!int ",
    "!!binary ",
    "!x ",
    "| \n  x\n",
    ">-\n  x\n",
    "|9\n",
    "# x",
    "---\n",
    "...\n",
    "%YAML 1.1\n",
    "%TAG ! x:\n",
    "{}",
    "[]",
    "{",
    "}",
    "[",
    "]",
    ", ",
    "''",
    "\"\"",
    "~",
    "null",
    "true",
    "off",
    "0x1F",
    "1_0",
    ".inf",
    "2024-01-01",
    "<secret>",
    "{{ .Status }}",
    "{{",
    "...",
    "receiver",
    "routes",
    "matchers",
    "group_by",
    "http_config",
    "tls_config",
    "\t",
    "30s",
    "5m",
    "1d12h",
    "http://x",
    "https://",
    "localhost:25",
    "'[::1]:25'",
    "monday:friday",
    "22:00",
    "Europe/Berlin",
    "a=~\"(\"",
    "\"\\xff\"",
];

fn words() -> Words<'static> {
    Words { corpus: corpus!("config.txt"), tokens: &TOKENS }
}

const SHIPPED: [&str; 3] = [
    include_str!("../../config/first-steps.yml"),
    include_str!("../../config/routing.yml"),
    include_str!("../../config/email.yml"),
];

/// One receiver or more, with integrations of any kind.
fn composed(rng: &mut Rng) -> String {
    let mut text = String::from(
        "global:\n  smtp_smarthost: m:25\n  smtp_from: a@b\n  slack_api_url: http://s/\n  opsgenie_api_key: k\n  victorops_api_key: k\n  \
         wechat_api_secret: s\n  wechat_api_corp_id: c\n  telegram_bot_token: t\n  jira_api_url: http://j/\n  rocketchat_token: t\n  \
         rocketchat_token_id: i\nroute:\n  receiver: r0\nreceivers:\n",
    );
    for number in 0..rng.between(1, 3) {
        text.push_str(&format!("  - name: r{number}\n"));
        for _ in 0..rng.below(3) {
            text.push_str(rng.pick(corpus!("integrations.txt")));
        }
    }
    text
}

/// Text whose depth or size by far exceeds what people write.
fn excessive(rng: &mut Rng) -> String {
    let depth = rng.between(10, 3_000);
    match rng.below(6) {
        0 => {
            let mut text = String::from("receivers: [{name: r}]\nroute:\n  receiver: r\n");
            for level in 1..depth.min(150) {
                let indent = "  ".repeat(level);
                text.push_str(&format!("{indent}routes:\n{indent}- receiver: r\n"));
            }
            text
        }
        1 => {
            let (open, close) = ("{receiver: r, routes: [".repeat(depth), "]}".repeat(depth));
            format!("receivers: [{{name: r}}]\nroute: {open}{close}\n")
        }
        2 => {
            let mut text = String::from("a0: &a0 [x, x]\n");
            for level in 1..rng.between(2, 40) {
                let before = format!("*a{}, ", level - 1).repeat(rng.between(1, 9));
                text.push_str(&format!("a{level}: &a{level} [{before}]\n"));
            }
            text + "route: {receiver: r}\nreceivers: [{name: r}]\n"
        }
        3 => {
            let mut text =
                String::from("receivers: [{name: r, webhook_configs: [{url: http://x, payload: {\n  a0: &a0 {k: v},\n");
            for level in 1..rng.between(2, 30) {
                text.push_str(&format!("  a{level}: &a{level} {{<<: *a{0}, x{level}: *a{0}, y: *a{0}}},\n", level - 1));
            }
            text + "}}]}]\nroute: {receiver: r}\n"
        }
        4 => format!("route: {{receiver: r, group_by: [{}]}}\nreceivers: [{{name: r}}]\n", "a, ".repeat(depth)),
        _ => format!("route: {{receiver: r, matchers: ['a=~\"{}\"']}}\nreceivers: [{{name: r}}]\n", "(".repeat(depth)),
    }
}

fn mode_of(kind: &str) -> ParseMode {
    match kind {
        "classic" => ParseMode::Classic,
        "utf8" => ParseMode::Utf8,
        _ => ParseMode::Fallback,
    }
}

impl Target for Configuration {
    const NAME: &'static str = "configuration";

    fn new() -> Self {
        let sets: [&[(&str, &str)]; 4] = [
            &[],
            &[("alertname", "A"), ("severity", "critical"), ("team", "a")],
            &[("service", "db"), ("instance", "db-1.example.org:1"), ("a", "b"), ("foo", "bar")],
            &[("foo bar", "x"), ("é", "🙂"), ("alertname", "Watchdog"), ("severity", "warning")],
        ];
        let moment = |text| parse_time(text).expect("a time");
        Configuration {
            alerts: sets.iter().map(|pairs| Labels::from_pairs(pairs.iter().copied())).collect(),
            moments: ["2024-02-29T23:59:59Z", "1900-01-01T00:00:00Z", "2030-10-27T01:30:00Z"].map(moment).into(),
            accepted: 0,
        }
    }

    fn make(rng: &mut Rng) -> Case {
        let words = words();
        let kind = rng.pick(&["fallback", "fallback", "classic", "utf8"]);
        let mut text = match rng.below(20) {
            0 => excessive(rng),
            1 | 2 => rng.pick(&SHIPPED).to_owned(),
            3..=11 => composed(rng),
            _ => words.input(rng).to_owned(),
        };
        if rng.one_in(8) {
            text = anchored(rng, &text);
        }
        let most = rng.pick(&[&1, &3, &8]);
        text = words.spoiled(rng, &text, *most);
        Case::text(kind, text)
    }

    fn run(&mut self, case: &Case) -> bool {
        let options = LoadOptions { mode: mode_of(case.kind) };
        match config::parse(&case.as_text(), Path::new("/etc/carillon"), &options) {
            Ok(loaded) => {
                self.use_it(&loaded);
                self.accepted += 1;
                if self.accepted.is_multiple_of(8) {
                    let _ = config::parse(&loaded.original, Path::new("/etc/carillon"), &options);
                }
                true
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                false
            }
        }
    }
}

/// A value of the text gets an anchor, another becomes an alias of it, or is merged.
fn anchored(rng: &mut Rng, text: &str) -> String {
    let places: Vec<usize> = text
        .match_indices([':', '-'])
        .map(|(at, _)| at + 1)
        .filter(|at| text[*at..].starts_with([' ', '\n']))
        .collect();
    if places.len() < 2 {
        return text.to_owned();
    }
    let (a, b) = (places[rng.below(places.len())], places[rng.below(places.len())]);
    let mut out = text.to_owned();
    let end_of_line = text[b..].find('\n').map_or(text.len(), |end| b + end);
    match rng.below(3) {
        0 => out.insert_str(b, " *x"),
        1 => out.replace_range(b..end_of_line, " *x"),
        _ => out.replace_range(b..end_of_line, " {<<: *x}"),
    }
    if a <= b || rng.one_in(4) {
        out.insert_str(a.min(b), " &x");
    }
    out
}

impl Configuration {
    fn use_it(&self, loaded: &Loaded) {
        let config = &loaded.config;
        let inhibitor = Inhibitor::new(&config.inhibit_rules);
        for labels in &self.alerts {
            assert!(routes_of(&config.route, labels) > 0, "every alert has a route");
            let _ = inhibitor.inhibited_by(labels, self.moments[0]);
        }
        for interval in config.time_intervals.values() {
            self.moments.iter().for_each(|at| _ = interval.contains(*at));
        }
        assert!(config.receiver(&config.route.receiver).is_some(), "the receiver is there");
    }
}

/// How many routes an alert goes to.
fn routes_of(route: &Arc<Route>, labels: &Labels) -> usize {
    if !route.matchers.matches(labels) {
        return 0;
    }
    let mut found = 0;
    for child in &route.routes {
        let below = routes_of(child, labels);
        found += below;
        if below > 0 && !child.continue_ {
            break;
        }
    }
    found.max(1)
}
