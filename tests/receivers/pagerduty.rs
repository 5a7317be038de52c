use std::time::Duration;

use carillon::notify::types::{FailureReason, Progress};
use serde_json::json;

use crate::{
    conduct::{Conduct, SECRET, STANDARD, is_unsendable},
    fixture::{build, firing, resolved, update, with_long},
    tunnel::through,
    vendor::{Answer, Vendor},
};

fn config_with(address: &str, more: &str) -> String {
    format!("pagerduty_configs: [{{url: 'http://{address}/v2/enqueue', routing_key: {SECRET}{more}}}]")
}

fn config(address: &str) -> String {
    config_with(address, "")
}

fn v1(address: &str) -> String {
    format!("pagerduty_configs: [{{service_key: {SECRET}, routing_key: other, http_config: {}}}]", through(address))
}

async fn vendor() -> Vendor {
    Vendor::start(|_| Answer::status(202)).await
}

#[tokio::test(start_paused = true)]
async fn one_incident_is_triggered_updated_and_resolved() {
    let vendor = vendor().await;
    let notifier = build(&config(&vendor.address.to_string()));
    let mut incidents = Vec::new();
    for (notification, action, counts) in
        [(firing(), "trigger", [1, 0]), (update(), "trigger", [2, 0]), (resolved(), "resolve", [0, 2])]
    {
        notifier.notify(&notification).await.unwrap();
        let event = vendor.last().json();
        assert_eq!((&event["event_action"], &event["routing_key"]), (&json!(action), &json!(SECRET)));
        let details = &event["payload"]["custom_details"];
        assert_eq!([&details["num_firing"], &details["num_resolved"]], [&json!(counts[0]), &json!(counts[1])]);
        assert_eq!(details["firing"].as_array().unwrap().len(), counts[0]);
        incidents.push(event["dedup_key"].clone());
    }
    assert_eq!(incidents[0].as_str().unwrap().len(), 64);
    assert!(incidents.iter().all(|incident| *incident == incidents[0]));
}

#[tokio::test(start_paused = true)]
async fn the_fields_of_an_event_have_their_order() {
    let vendor = vendor().await;
    let more = ", client: C, client_url: 'http://c', description: D, severity: '', source: S, class: cl, \
        component: co, group: g, details: {firing: f, resolved: r, num_firing: '{{ len .Alerts }}', num_resolved: x, \
        nested: {b: ['{{ .Status }}'], a: 1}}, \
        images: [{src: 'http://i', alt: a}, {src: ''}], links: [{href: 'http://l', text: t}, {href: ''}]";
    build(&config_with(&vendor.address.to_string(), more)).notify(&firing()).await.unwrap();
    let body = vendor.last().body;
    let (_, after_key) = body.split_once("\"event_action\"").unwrap();
    assert_eq!(
        after_key,
        ":\"trigger\",\"payload\":{\"summary\":\"D\",\"source\":\"S\",\"severity\":\"error\",\"class\":\"cl\",\
         \"component\":\"co\",\"group\":\"g\",\"custom_details\":{\"firing\":\"f\",\"nested\":{\"a\":1,\"b\":[\"firing\"]},\
         \"num_firing\":1,\"num_resolved\":\"x\",\"resolved\":\"r\"}},\"client\":\"C\",\"client_url\":\"http://c\",\
         \"images\":[{\"src\":\"http://i\",\"alt\":\"a\",\"href\":\"\"}],\"links\":[{\"href\":\"http://l\",\"text\":\"t\"}]}\n"
    );
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_too_large_loses_its_details() {
    let vendor = vendor().await;
    let more = ", description: '{{ .CommonAnnotations.long }}', details: {big: '{{ .CommonAnnotations.long }}'}";
    let notifier = build(&config_with(&vendor.address.to_string(), more));
    notifier.notify(&with_long(&"y".repeat(200_000))).await.unwrap();
    assert!(vendor.last().body.len() > 400_000);
    notifier.notify(&with_long(&"y".repeat(300_000))).await.unwrap();
    let payload = &vendor.last().json()["payload"];
    assert!(payload["custom_details"]["error"].as_str().unwrap().contains("512KB"));
    assert_eq!(payload["summary"], json!("y".repeat(1023) + "…"));
}

#[tokio::test(start_paused = true)]
async fn only_a_bad_request_is_explained() {
    let explanation = json!({"message": "Event object is invalid", "errors": ["no such key", "too long"]});
    for (status, says) in [
        (400, "unexpected status code 400: Event object is invalid: no such key,too long"),
        (403, "unexpected status code 403"),
    ] {
        let explanation = explanation.clone();
        let vendor = Vendor::start(move |_| Answer::status(status).json(explanation.clone())).await;
        let error = build(&config(&vendor.address.to_string())).notify(&firing()).await.unwrap_err();
        assert_eq!((error.message.as_str(), error.retry), (says, false));
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_key_selects_the_first_version_of_the_api() {
    let vendor = vendor().await;
    let notifier = build(&v1(&vendor.address.to_string()));
    notifier.notify(&firing()).await.unwrap();
    let seen = vendor.last();
    assert_eq!(
        (seen.line().as_str(), seen.header("host")),
        ("POST /generic/2010-04-15/create_event.json", "events.pagerduty.com")
    );
    let (key, rest) = seen.body.split_once(",\"incident_key\":").unwrap();
    assert_eq!(key, format!("{{\"service_key\":\"{SECRET}\""));
    assert!(rest.contains(
        "\"event_type\":\"trigger\",\"description\":\"[FIRING:1] High (a api)\",\"event_action\":\"\",\"payload\":null,\
         \"client\":\"Alertmanager\",\"client_url\":\"http://am/#/alerts?receiver=team\",\"details\":{\"firing\":[{"
    ));
    notifier.notify(&resolved()).await.unwrap();
    let event = vendor.last().json();
    assert_eq!((&event["event_type"], &event["client"]), (&json!("resolve"), &json!(null)));
}

#[tokio::test(start_paused = true)]
async fn the_first_version_repeats_after_a_403_and_gives_no_reasons() {
    for (status, again) in [(400, false), (403, true), (429, false), (500, true)] {
        let vendor = Vendor::start(move |_| Answer::status(status)).await;
        let error = build(&v1(&vendor.address.to_string())).notify(&firing()).await.unwrap_err();
        assert_eq!((error.retry, error.reason, error.progress), (again, FailureReason::Other, Progress::Refused));
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_key_sends_nothing() {
    for key in ["routing_key", "service_key"] {
        let list = format!("pagerduty_configs: [{{{key}: '{{{{ .CommonLabels.nope }}}}'}}]");
        is_unsendable(&*build(&list), &firing(), &format!("{key} is empty after templating")).await;
    }
    let broken = format!("pagerduty_configs: [{{routing_key: '{SECRET}{{{{'}}]");
    let error = is_unsendable(&*build(&broken), &firing(), "failed to template pagerduty routing_key").await;
    crate::conduct::shows_no_secret(&error.message);
}

#[tokio::test(start_paused = true)]
async fn the_configured_timeout_is_kept() {
    let vendor = Vendor::start(|_| Answer::status(202).late(Duration::from_secs(100))).await;
    let error = build(&config_with(&vendor.address.to_string(), ", timeout: 2s")).notify(&firing()).await.unwrap_err();
    assert!(error.message.ends_with(": configured pagerduty timeout reached (2s)"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn it_behaves_when_the_vendor_does_not() {
    Conduct { config, retried: &[429], ..STANDARD }.check().await;
}
