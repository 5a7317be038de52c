use std::time::Duration;

use carillon::notify::types::{FailureReason, Progress};
use serde_json::json;

use crate::{
    conduct::{Conduct, SECRET, STANDARD},
    fixture::{build, firing, resolved, update, with_long},
    vendor::{Answer, Vendor},
};

fn config_with(address: &str, more: &str) -> String {
    format!(
        "telegram_configs: [{{api_url: 'http://{address}', bot_token: '110201543:{SECRET}', chat_id: -1001234{more}}}]"
    )
}

fn config(address: &str) -> String {
    config_with(address, "")
}

fn success() -> Answer {
    Answer::status(200).json(json!({"ok": true, "result": {"message_id": 7}}))
}

#[tokio::test(start_paused = true)]
async fn each_notification_is_a_message_to_the_chat() {
    let vendor = Vendor::start(|_| success()).await;
    let message = ", message: '<b>{{ .Status }}</b> {{ len .Alerts }} {{ .CommonAnnotations.summary }}'";
    let notifier = build(&config_with(&vendor.address.to_string(), message));
    for (notification, text) in [
        (firing(), "<b>firing</b> 1 p99 &lt; 2s &amp; more"),
        (update(), "<b>firing</b> 2 p99 &lt; 2s &amp; more"),
        (resolved(), "<b>resolved</b> 2 p99 &lt; 2s &amp; more"),
    ] {
        notifier.notify(&notification).await.unwrap();
        assert_eq!(
            vendor.last().json(),
            json!({"chat_id": "-1001234", "disable_web_page_preview": "true", "parse_mode": "HTML", "text": text})
        );
    }
    assert_eq!(vendor.last().line(), format!("POST /bot110201543:{SECRET}/sendMessage"));
}

#[tokio::test(start_paused = true)]
async fn html_that_is_too_long_is_replaced_and_other_text_is_cut() {
    let vendor = Vendor::start(|_| success()).await;
    let long = ", message: '{{ .CommonAnnotations.long }}'";
    let notification = with_long(&"ж".repeat(5000));
    build(&config_with(&vendor.address.to_string(), long)).notify(&notification).await.unwrap();
    assert!(vendor.last().json()["text"].as_str().unwrap().contains("longer than Telegram allows"));

    let plain = format!("{long}, parse_mode: ''");
    build(&config_with(&vendor.address.to_string(), &plain)).notify(&notification).await.unwrap();
    let body = vendor.last().json();
    assert_eq!((body["text"].as_str().unwrap().chars().count(), &body["parse_mode"]), (4096, &json!(null)));
}

#[tokio::test(start_paused = true)]
async fn the_answer_decides_whatever_its_status_and_every_refusal_is_tried_again() {
    let refusal = json!({"ok": false, "error_code": 429, "description": "Too Many Requests",
        "parameters": {"retry_after": 14}});
    let vendor = Vendor::start(move |_| Answer::status(429).json(refusal.clone())).await;
    let notifier = build(&config(&vendor.address.to_string()));
    let error = notifier.notify(&firing()).await.unwrap_err();
    assert_eq!((error.retry, error.reason, error.progress), (true, FailureReason::Other, Progress::Refused));
    assert_eq!(
        (error.message.as_str(), error.retry_after),
        ("telegram: Too Many Requests (429)", Some(Duration::from_secs(14)))
    );
    vendor.answer_with(|_| Answer { status: 400, ..success() });
    notifier.notify(&firing()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn files_are_read_for_each_notification() {
    let vendor = Vendor::start(|_| success()).await;
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let notifier = build(&format!(
        "telegram_configs: [{{api_url: 'http://{}/', bot_token_file: '{}', chat_id_file: '{}'}}]",
        vendor.address,
        path("token"),
        path("chat")
    ));
    let error = notifier.notify(&firing()).await.unwrap_err();
    assert!(error.retry && error.message.contains("bot_token_file"), "{error}");
    std::fs::write(path("token"), "1:x\n").unwrap();
    std::fs::write(path("chat"), "@name\n").unwrap();
    let error = notifier.notify(&firing()).await.unwrap_err();
    assert!(error.retry && error.message.contains("chat_id_file"), "{error}");
    std::fs::write(path("chat"), "-17\n").unwrap();
    notifier.notify(&firing()).await.unwrap();
    assert_eq!((vendor.last().uri.as_str(), &vendor.last().json()["chat_id"]), ("/bot1:x/sendMessage", &json!("-17")));
}

#[tokio::test(start_paused = true)]
async fn it_behaves_when_the_vendor_does_not() {
    Conduct { config, success, always_again: true, ..STANDARD }.check().await;
}
