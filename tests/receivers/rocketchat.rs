use carillon::notify::types::{FailureReason, Progress};
use serde_json::json;

use crate::{
    conduct::{Conduct, OTHER_SECRET, SECRET, STANDARD, is_unsendable},
    fixture::{build, firing, resolved, try_build, update},
    vendor::{Answer, Vendor},
};

fn config(address: &str) -> String {
    format!(
        "rocketchat_configs: [{{api_url: 'http://{address}/rc/', token: {SECRET}, token_id: {OTHER_SECRET}, \
         channel: '#ops'}}]"
    )
}

fn success() -> Answer {
    Answer::status(200).json(json!({"success": true}))
}

#[tokio::test(start_paused = true)]
async fn each_notification_is_a_message_of_its_own() {
    let vendor = Vendor::start(|_| success()).await;
    let notifier = build(&config(&vendor.address.to_string()));
    for (notification, color, title) in [
        (firing(), "red", "[FIRING:1] High (a api)"),
        (update(), "red", "[FIRING:2] High (api)"),
        (resolved(), "green", "[RESOLVED] High (api)"),
    ] {
        notifier.notify(&notification).await.unwrap();
        let seen = vendor.last();
        assert_eq!(seen.line(), "POST /rc/api/v1/chat.postMessage");
        assert_eq!((seen.header("x-auth-token"), seen.header("x-user-id")), (SECRET, OTHER_SECRET));
        assert_eq!(seen.json()["channel"], "#ops");
        assert_eq!(seen.json()["attachments"][0]["color"], color);
        assert_eq!(seen.json()["attachments"][0]["title"], title);
    }
}

#[tokio::test(start_paused = true)]
async fn a_good_status_needs_success_in_the_answer() {
    let vendor = Vendor::start(|_| Answer::status(200).json(json!({"success": false, "error": "no channel"}))).await;
    let notifier = build(&config(&vendor.address.to_string()));
    let error = notifier.notify(&firing()).await.unwrap_err();
    assert_eq!((error.retry, error.reason, error.progress), (false, FailureReason::ClientError, Progress::Refused));
    assert!(error.message.contains("no channel"), "{error}");

    vendor.answer_with(|_| Answer::status(200).body("<html>"));
    let error = notifier.notify(&firing()).await.unwrap_err();
    assert_eq!((error.retry, error.reason, error.progress), (true, FailureReason::Other, Progress::Ambiguous));
}

#[tokio::test]
async fn token_files_are_read_when_it_is_built() {
    let list = "rocketchat_configs: [{api_url: 'http://h/', token: t, token_id_file: /no/id}]";
    let error = try_build(list).err().unwrap().to_string();
    assert!(error.contains("token_id_file") && error.contains("open /no/id: no such file"), "{error}");
}

#[tokio::test]
async fn a_template_that_fails_is_final() {
    let list = "rocketchat_configs: [{api_url: 'http://127.0.0.1:1/', token: t, token_id: i, title: '{{ .Nope }}'}]";
    is_unsendable(&*build(list), &firing(), "failed to template rocketchat title").await;
}

#[tokio::test(start_paused = true)]
async fn it_behaves_when_the_vendor_does_not() {
    Conduct { config, success, ..STANDARD }.check().await;
}
