use std::time::Duration;

use carillon::notify::types::{FailureReason, MemoryValue, Progress};
use serde_json::json;

use crate::{
    conduct::{Conduct, SECRET, STANDARD, is_unsendable},
    fixture::{build, firing, resolved, try_build, update, with_long},
    tunnel::through,
    vendor::{Answer, Vendor},
};

fn config(address: &str) -> String {
    format!("slack_configs: [{{api_url: 'http://{address}/services/{SECRET}', channel: '#ops'}}]")
}

fn ok() -> Answer {
    Answer::status(200).body("ok")
}

fn posted(ts: &str) -> Answer {
    Answer::status(200).json(json!({"ok": true, "channel": "C042", "ts": ts}))
}

/// One message for each group, edited as things change.
fn updating(address: &str) -> String {
    let http = through(address);
    format!(
        "slack_configs: [{{api_url: 'https://slack.com/api/chat.postMessage', channel: '#ops', update_message: true, \
         send_resolved: true, http_config: {http}}}]"
    )
}

#[tokio::test(start_paused = true)]
async fn each_notification_is_an_attachment() {
    let vendor = Vendor::start(|_| ok()).await;
    let notifier = build(&config(&vendor.address.to_string()));
    for (notification, color, title) in [
        (firing(), "danger", "[FIRING:1] High (a api)"),
        (update(), "danger", "[FIRING:2] High (api)"),
        (resolved(), "good", "[RESOLVED] High (api)"),
    ] {
        let receipt = notifier.notify(&notification).await.unwrap();
        assert_eq!(receipt.memory, None);
        let link = "http://am/#/alerts?receiver=team";
        assert_eq!(
            vendor.last().body,
            format!(
                "{{\"channel\":\"#ops\",\"username\":\"Alertmanager\",\"attachments\":[{{\"title\":\"{title}\",\
                 \"title_link\":\"{link}\",\"text\":\"\",\"fallback\":\"{title} | {link}\",\"callback_id\":\"\",\
                 \"footer\":\"\",\"color\":\"{color}\",\"mrkdwn_in\":[\"fallback\",\"pretext\",\"text\"]}}]}}\n"
            )
        );
    }
    assert_eq!(vendor.last().line(), format!("POST /services/{SECRET}"));
}

#[tokio::test(start_paused = true)]
async fn every_part_of_the_message_can_be_set() {
    let vendor = Vendor::start(|_| ok()).await;
    let more = "color: '', message_text: top, link_names: true, short_fields: true, mrkdwn_in: [text], \
        fields: [{title: T, value: '{{ .Status }}'}, {title: U, value: v, short: false}], \
        actions: [{type: button, text: Go, url: 'http://x/?a=1&b'}, \
        {type: button, text: Ack, name: ack, value: v, confirm: {text: sure, ok_text: aye}}], image_url: http://i";
    let list = format!("slack_configs: [{{api_url: 'http://{}/', {more}}}]", vendor.address);
    build(&list).notify(&firing()).await.unwrap();
    let body = vendor.last().body;
    for part in [
        "\"link_names\":true,\"text\":\"top\",\"attachments\"",
        "\"fields\":[{\"title\":\"T\",\"value\":\"firing\",\"short\":true},{\"title\":\"U\",\"value\":\"v\",\"short\":false}]",
        "\"actions\":[{\"type\":\"button\",\"text\":\"Go\",\"url\":\"http://x/?a=1\\u0026b\"},{\"type\":\"button\",\
         \"text\":\"Ack\",\"name\":\"ack\",\"value\":\"v\",\"confirm\":{\"text\":\"sure\",\"ok_text\":\"aye\"}}]",
        "\"image_url\":\"http://i\",\"footer\":\"\",\"mrkdwn_in\":[\"text\"]",
    ] {
        assert!(body.contains(part), "{part}\n{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_title_is_cut_and_the_text_is_not() {
    let vendor = Vendor::start(|_| ok()).await;
    let long = "'{{ .CommonAnnotations.long }}'";
    let list = format!("slack_configs: [{{api_url: 'http://{}/', title: {long}, text: {long}}}]", vendor.address);
    build(&list).notify(&with_long(&"ž".repeat(2000))).await.unwrap();
    let attachment = &vendor.last().json()["attachments"][0];
    assert_eq!(attachment["title"], json!("ž".repeat(1023) + "…"));
    assert_eq!(attachment["text"].as_str().unwrap().chars().count(), 2000);
}

#[tokio::test(start_paused = true)]
async fn an_app_posts_with_its_token() {
    let vendor = Vendor::start(|_| posted("1.2")).await;
    let list =
        format!("slack_configs: [{{app_token: {SECRET}, app_url: 'http://{}/post', channel: C1}}]", vendor.address);
    let receipt = build(&list).notify(&firing()).await.unwrap();
    assert_eq!(receipt.memory, None);
    assert_eq!(
        (vendor.last().line().as_str(), vendor.last().header("authorization")),
        ("POST /post", format!("Bearer {SECRET}").as_str())
    );
}

#[tokio::test(start_paused = true)]
async fn a_message_that_may_be_updated_is_edited_until_the_end() {
    let vendor = Vendor::start(|_| posted("17.1")).await;
    let notifier = build(&updating(&vendor.address.to_string()));
    let memory = notifier.notify(&firing()).await.unwrap().memory.unwrap();
    assert_eq!(memory["threadTs"], MemoryValue::Text("17.1".to_owned()));
    assert_eq!(memory["channelId"], MemoryValue::Text("C042".to_owned()));
    assert_eq!(vendor.last().json()["ts"], json!(null));
    for mut notification in [update(), resolved()] {
        notification.memory = memory.clone();
        assert_eq!(notifier.notify(&notification).await.unwrap().memory.as_ref(), Some(&memory));
        let seen = vendor.last();
        assert_eq!((seen.line().as_str(), seen.header("host")), ("POST /api/chat.update", "slack.com"));
        assert_eq!((&seen.json()["ts"], &seen.json()["channel"]), (&json!("17.1"), &json!("C042")));
    }
    assert_eq!(vendor.seen().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_gone_is_sent_anew() {
    let vendor = Vendor::start(|seen| match seen.uri.as_str() {
        "/api/chat.update" => Answer::status(200).json(json!({"ok": false, "error": "message_not_found"})),
        _ => posted("18.1"),
    })
    .await;
    let notifier = build(&updating(&vendor.address.to_string()));
    let mut notification = update();
    for (key, text) in [("threadTs", "17.1"), ("channelId", "C042")] {
        notification.memory.insert(key.to_owned(), MemoryValue::Text(text.to_owned()));
    }
    let memory = notifier.notify(&notification).await.unwrap().memory.unwrap();
    assert_eq!(memory["threadTs"], MemoryValue::Text("18.1".to_owned()));
    assert_eq!(vendor.lines(), ["POST /api/chat.update", "POST /api/chat.postMessage"]);
    assert_eq!((&vendor.last().json()["ts"], &vendor.last().json()["channel"]), (&json!(null), &json!("#ops")));
}

#[tokio::test(start_paused = true)]
async fn a_good_status_alone_is_no_success() {
    let json = |body: &str| Answer::status(200).header("content-type", "application/json; charset=utf-8").body(body);
    for (answer, again, reason, says) in [
        (
            json("{\"ok\":false,\"error\":\"invalid_auth\"}"),
            false,
            FailureReason::ClientError,
            "error response from Slack: invalid_auth",
        ),
        (Answer::status(200).body("no_text"), false, FailureReason::ClientError, "error response from Slack: no_text"),
        (Answer::status(200), false, FailureReason::ClientError, "error response from Slack: "),
        (json("{\"ok\":"), true, FailureReason::Other, "could not unmarshal JSON response"),
        (
            Answer::status(400).body("invalid_payload"),
            false,
            FailureReason::ClientError,
            "unexpected status code 400: invalid_payload",
        ),
    ] {
        let vendor = Vendor::start(move |_| answer.clone()).await;
        let error = build(&config(&vendor.address.to_string())).notify(&firing()).await.unwrap_err();
        assert_eq!((error.retry, error.reason), (again, reason), "{error}");
        assert!(error.message.starts_with(&format!("channel \"#ops\": {says}")), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_configured_timeout_is_kept() {
    let vendor = Vendor::start(|_| ok().late(Duration::from_secs(100))).await;
    let list = format!("slack_configs: [{{api_url: 'http://{}/', timeout: 30s}}]", vendor.address);
    let error = build(&list).notify(&firing()).await.unwrap_err();
    assert_eq!((error.retry, error.progress), (true, Progress::Ambiguous));
    assert!(error.message.ends_with(": configured slack timeout reached (30s)"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_rendered_or_read_is_not_sent() {
    for (more, says) in [
        ("api_url: 'http://h/', channel: '{{ fail }}'", "failed to template slack channel"),
        ("api_url: 'http://h/', fields: [{title: t, value: '{{ .Nope.X }}'}]", "failed to template slack field value"),
        ("api_url_file: /no/url", "unable to read file /no/url"),
    ] {
        is_unsendable(&*build(&format!("slack_configs: [{{{more}}}]")), &firing(), says).await;
    }
    assert!(
        try_build("slack_configs: [{api_url: 'http://h/', http_config: {tls_config: {ca_file: /no/ca}}}]").is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn it_behaves_when_the_vendor_does_not() {
    Conduct { config, success: ok, ..STANDARD }.check().await;
}
