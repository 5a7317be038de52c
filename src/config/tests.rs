//! What a file becomes, and what is refused.

use std::{path::Path, time::Duration};

use proptest::prelude::*;

use super::{yaml::value, *};

fn loaded(text: &str) -> Loaded {
    parse(text, Path::new("/etc/am"), &LoadOptions::default()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn refused(text: &str) -> String {
    match parse(text, Path::new("/etc/am"), &LoadOptions::default()) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error.to_string(),
    }
}

const RECEIVERS: &str = "receivers: [{name: r}, {name: a}]\n";

fn root(route: &str) -> Arc<Route> {
    loaded(&format!("route: {route}\n{RECEIVERS}")).config.route.clone()
}

fn first_integration(receiver: &str) -> IntegrationConfig {
    let loaded = loaded(&format!("route: {{receiver: r}}\nreceivers: [{{name: r, {receiver}}}]\n"));
    loaded.config.receivers[0].integrations[0].clone()
}

#[test]
fn a_route_has_defaults_and_hands_them_down() {
    let root = root("{receiver: r, group_by: [x], routes: [{receiver: a, group_wait: 1s, routes: [{group_by: []}]}]}");
    let child = &root.routes[0];
    let grandchild = &child.routes[0];
    assert_eq!(root.group_wait, Duration::from_secs(30));
    assert_eq!(root.group_interval, Duration::from_secs(300));
    assert_eq!(root.repeat_interval, Duration::from_secs(4 * 3600));
    assert_eq!((&*child.receiver, &child.group_by), ("a", &vec!["x".to_owned()]));
    assert_eq!((&*grandchild.receiver, grandchild.group_wait), ("a", Duration::from_secs(1)));
    assert!(grandchild.group_by.is_empty(), "an empty list is not inherited over");
}

#[test]
fn grouping_by_all_labels_can_be_switched_on_and_off() {
    let root = root("{receiver: r, group_by: ['...'], routes: [{}, {group_by: []}, {group_by: [x]}]}");
    let all: Vec<bool> = root.routes.iter().map(|route| route.group_by_all).collect();
    assert_eq!(all, [true, false, false]);
}

#[test]
fn route_labels_are_merged_and_the_child_wins() {
    let root = root("{receiver: r, labels: {a: '1', b: '1'}, routes: [{labels: {b: '2'}}]}");
    let labels: Vec<(&str, &str)> = root.routes[0].labels.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(labels, [("a", "1"), ("b", "2")]);
}

#[test]
fn intervals_are_not_handed_down() {
    let text =
        "route: {receiver: r, routes: [{mute_time_intervals: [t], routes: [{}]}]}\ntime_intervals: [{name: t}]\n";
    let loaded = loaded(&format!("{text}{RECEIVERS}"));
    let child = &loaded.config.route.routes[0];
    assert_eq!(child.mute_time_intervals, ["t"]);
    assert!(child.routes[0].mute_time_intervals.is_empty());
}

#[test]
fn keys_and_ids_name_the_way_from_the_root() {
    let root =
        root("{receiver: r, routes: [{matchers: [b=c, a=b]}, {match_re: {a: 'x|y'}, match: {z: y}, routes: [{}]}]}");
    assert_eq!((&*root.key, &*root.id), ("{}", "{}"));
    assert_eq!(&*root.routes[0].key, "{}/{a=\"b\",b=\"c\"}");
    assert_eq!(&*root.routes[0].id, "{}/{a=\"b\",b=\"c\"}/0");
    let nested = &root.routes[1].routes[0];
    assert_eq!(&*nested.key, "{}/{a=~\"^(?:x|y)$\",z=\"y\"}/{}");
    assert_eq!(&*nested.id, "{}/{a=~\"^(?:x|y)$\",z=\"y\"}/1/{}/0");
}

#[test]
fn a_null_is_a_zero_value_for_scalars_and_absence_for_blocks() {
    let text = "global: {resolve_timeout: , http_config: }\nroute: {receiver: r, group_wait: }\n";
    let config = loaded(&format!("{text}{RECEIVERS}")).config;
    assert_eq!(config.global.resolve_timeout, Duration::ZERO);
    assert!(config.global.http.follow_redirects);
    assert_eq!(config.route.group_wait, Duration::from_secs(30));
}

#[test]
fn a_merge_acts_where_it_stands() {
    let root = root(
        "{receiver: r, routes: [&a {group_wait: 1s, continue: true}, {<<: *a, group_wait: 2s}, {group_wait: 2s, <<: *a}]}",
    );
    let waits: Vec<u64> = root.routes.iter().map(|route| route.group_wait.as_secs()).collect();
    assert_eq!(waits, [1, 2, 1]);
    assert!(root.routes.iter().all(|route| route.continue_));
}

#[test]
fn all_wrong_keys_of_a_file_are_told_at_once() {
    let text =
        "route:\n  receiver: r\n  recievers: []\n  group_wait: 1s\n  group_wait: 1s\n  continue: maybe\nglobl: {}\n";
    assert_eq!(
        refused(text),
        "yaml: unmarshal errors:\n  \
         line 3: field recievers not found in type route\n  \
         line 5: field group_wait already set in type route\n  \
         line 6: cannot unmarshal !!str `maybe` into bool\n  \
         line 7: field globl not found in type the configuration"
    );
}

#[test]
fn a_failed_check_tells_line_or_receiver() {
    let slack = "route: {receiver: r}\nreceivers:\n- name: r\n  slack_configs:\n  - fields:\n    - title: x\n";
    assert_eq!(refused(slack), "missing value in Slack field configuration (line 6)");
    let email = "route: {receiver: r}\nreceivers: [{name: r, email_configs: [{to: x}]}]\n";
    assert_eq!(refused(email), "no global SMTP smarthost set (receiver \"r\")");
}

#[test]
fn json_is_a_configuration_language_too() {
    let text = r#"{"route":{"receiver":"null"},"receivers":[{"name":"null","webhook_configs":[{"url":"http://x/"}]}]}"#;
    assert_eq!(&*loaded(text).config.route.receiver, "null");
}

#[test]
fn only_the_first_document_counts() {
    let text = format!("route: {{receiver: r}}\n{RECEIVERS}---\n\t{{ broken");
    assert_eq!(&*loaded(&text).config.route.receiver, "r");
}

#[test]
fn files_of_an_http_config_start_at_the_folder_and_others_do_not() {
    let webhook = first_integration(
        "webhook_configs: [{url_file: u, http_config: {authorization: {credentials_file: c}, tls_config: {ca_file: ca}}}]",
    );
    let Settings::Webhook(webhook) = webhook.settings else { panic!("a webhook") };
    assert_eq!(webhook.url, SecretSource::File("u".into()));
    assert_eq!(webhook.http.authorization.unwrap().credentials, Some(SecretSource::File("/etc/am/c".into())));
    assert_eq!(webhook.http.tls.ca, Some(TextSource::File("/etc/am/ca".into())));
}

#[test]
fn a_webhook_payload_loses_what_cannot_be_sent() {
    let webhook =
        first_integration("webhook_configs: [{url: 'http://x', payload: {a: [1, 0x10, yes, 2001-01-01], n: x, 2: y}}]");
    let Settings::Webhook(webhook) = webhook.settings else { panic!("a webhook") };
    let list = vec![Payload::Int(1), Payload::Int(16), Payload::Bool(true), Payload::Text("2001-01-01".into())];
    assert_eq!(webhook.payload, Some(Payload::Map(vec![("a".into(), Payload::List(list))])));
}

#[test]
fn an_app_token_of_slack_becomes_a_bearer_token() {
    let slack = first_integration("slack_configs: [{app_token: t, channel: c}]");
    let Settings::Slack(slack) = slack.settings else { panic!("slack") };
    assert_eq!(slack.api_url, SecretSource::Inline(Secret("https://slack.com/api/chat.postMessage".into())));
    let authorization = slack.http.authorization.unwrap();
    assert_eq!(
        (authorization.scheme.as_str(), authorization.credentials),
        ("Bearer", Some(SecretSource::Inline(Secret("t".into()))))
    );
}

#[test]
fn integrations_are_numbered_within_their_lists() {
    let text = "route: {receiver: r}\nreceivers: [{name: r, webhook_configs: [{url: 'http://x'}, {url: 'http://y'}], email_configs: [{to: a, from: b, smarthost: 'c:1'}]}]\n";
    let loaded = loaded(text);
    let names: Vec<String> = loaded.config.receivers[0]
        .integrations
        .iter()
        .map(|one| format!("{}[{}]{}", one.kind, one.index, one.send_resolved))
        .collect();
    assert_eq!(names, ["email[0]false", "webhook[0]true", "webhook[1]true"]);
}

#[test]
fn a_rendered_text_is_read_as_yaml() {
    assert_eq!(value("2"), Some(Payload::Int(2)));
    assert_eq!(value("yes"), Some(Payload::Bool(true)));
    assert_eq!(value(""), Some(Payload::Null));
    assert_eq!(value("2024-01-01"), Some(Payload::Text("2024-01-01".into())));
    assert_eq!(value("a: b"), Some(Payload::Map(vec![("a".into(), Payload::Text("b".into()))])));
    assert_eq!(
        value("[\"x\", {\"y\": 1.5}]").map(|value| format!("{value:?}")).as_deref(),
        Some("List([Text(\"x\"), Map([(\"y\", Float(1.5))])])")
    );
    assert_eq!(value("a: b: c"), None);
    assert_eq!(value("{{"), None);
}

#[test]
fn depth_has_a_limit_and_the_stack_does_not_matter() {
    let nested = |levels: usize| {
        let (open, close) = ("{routes: [".repeat(levels), "]}".repeat(levels));
        format!("route: {{receiver: r, routes: [{open}{close}]}}\n{RECEIVERS}")
    };
    assert_eq!(loaded(&nested(200)).config.route.routes.len(), 1);
    assert!(refused(&nested(10_000)).contains("limit"));
    refused(&"[".repeat(100_000));
}

#[test]
fn bombs_of_aliases_are_refused() {
    let mut payload = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}, ", level - 1).repeat(10);
        payload.push_str(&format!("      a{level}: &a{level} [{before}]\n"));
    }
    let text = format!(
        "route: {{receiver: r}}\nreceivers:\n- name: r\n  webhook_configs:\n  - url: http://x\n    payload:\n      {payload}"
    );
    assert!(refused(&text).contains("excessive aliasing"));
}

/// Every secret that a file can hold, each of which is the word `geheim`.
const SECRETS: &str = "
global:
  http_config:
    basic_auth: {username: u, password: geheim}
    proxy_url: http://u:geheim@p
    proxy_connect_header: {A: [geheim]}
    http_headers: {X-A: {secrets: [geheim]}}
  smtp_from: a
  smtp_smarthost: b:25
  smtp_auth_password: geheim
  smtp_auth_secret: geheim
  slack_api_url: http://x/geheim
  opsgenie_api_key: geheim
  wechat_api_secret: geheim
  wechat_api_corp_id: c
  victorops_api_key: geheim
  telegram_bot_token: geheim
  rocketchat_token: geheim
  rocketchat_token_id: geheim
  mattermost_webhook_url: http://x/geheim
route: {receiver: r}
event_recorder: {webhook_outputs: [{url: http://x/geheim}]}
tracing: {endpoint: 'x:1', headers: {A: {secrets: [geheim]}}}
receivers:
- name: r
  discord_configs: [{webhook_url: http://x/geheim}]
  email_configs: [{to: a, tls_config: {cert: c, key: geheim}}]
  incidentio_configs: [{url: http://x, alert_source_token: geheim}]
  pagerduty_configs: [{service_key: geheim, routing_key: geheim}]
  slack_configs: [{}]
  webhook_configs:
  - url: http://x/geheim
    http_config: {oauth2: {client_id: i, client_secret: geheim, token_url: t, client_certificate_key: geheim}}
  opsgenie_configs: [{}]
  wechat_configs: [{}]
  pushover_configs: [{user_key: geheim, token: geheim}]
  victorops_configs: [{routing_key: k}]
  sns_configs: [{topic_arn: t, sigv4: {access_key: a, secret_key: geheim}}]
  telegram_configs: [{chat_id: 1}]
  webex_configs: [{room_id: r, http_config: {authorization: {credentials: geheim}}}]
  msteams_configs: [{webhook_url: http://x/geheim}]
  msteamsv2_configs: [{webhook_url: http://x/geheim}]
  rocketchat_configs: [{}]
  mattermost_configs: [{}]
";

#[test]
fn no_secret_is_shown() {
    let loaded = loaded(SECRETS);
    assert!(!loaded.original.contains("geheim"), "{}", loaded.original);
    assert!(!format!("{loaded:?}").contains("geheim"), "{loaded:?}");
}

#[test]
fn a_dump_can_be_read_back() {
    let text = format!(
        "route: {{receiver: r, group_by: [x], routes: [{{matchers: ['a=~\"b c\"'], continue: true}}]}}\n{RECEIVERS}"
    );
    let first = loaded(&text).original;
    assert_eq!(loaded(&first).original, first);
}

#[test]
fn mistakes_with_secrets_do_not_show_them() {
    for (right, wrong) in [
        ("password: geheim}", "password: geheim, password_file: f}"),
        ("password: geheim}", "password: [geheim]}"),
        ("basic_auth: {username: u, password: geheim}", "basic_auth: geheim"),
        ("http://u:geheim@p", "http://u:geheim@p q"),
        ("slack_api_url: http://x/geheim", "slack_api_url: geheim"),
        ("slack_api_url: http://x/geheim", "slack_api_url: http://x/geheim%zz"),
        ("slack_api_url: http://x/geheim", "slack_api_url: http://x:geheim/"),
        ("- url: http://x/geheim\n", "- url: geheim:x\n"),
        ("- url: http://x/geheim\n", "- url: 'http://x/geheim{{ . '\n"),
        ("alert_source_token: geheim", "url: [geheim]"),
        ("secrets: [geheim]", "secrets: geheim"),
        ("receivers:", "receivers: geheim\nx:"),
    ] {
        let text = SECRETS.replacen(right, wrong, 1);
        assert_ne!(text, SECRETS, "{right}");
        let error = refused(&text);
        assert!(!error.contains("geheim"), "{wrong}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        drop(parse(&text, Path::new(""), &LoadOptions::default()));
        drop(value(&text));
    }

    #[test]
    fn any_yaml_like_text_is_read_or_refused(text in "[a-z:&*<>{}\\[\\],#!|'\"\n -]{0,60}") {
        drop(parse(&text, Path::new(""), &LoadOptions::default()));
        drop(value(&text));
    }

    #[test]
    fn a_damaged_file_is_read_or_refused(at in 0..2000usize, cut in 0..20usize, put in "[a-z:&*<>{}\\[\\],#!|'\"\n~0-9 -]{0,6}") {
        let mut chars: Vec<char> = SECRETS.chars().collect();
        let at = at.min(chars.len());
        let end = (at + cut).min(chars.len());
        chars.splice(at..end, put.chars());
        let text: String = chars.into_iter().collect();
        drop(parse(&text, Path::new(""), &LoadOptions::default()));
    }
}
