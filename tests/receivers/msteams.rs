use serde_json::json;

use crate::{
    conduct::{Conduct, SECRET, STANDARD},
    fixture::{build, firing, resolved, update},
    vendor::{Answer, Vendor},
};

fn config(address: &str) -> String {
    format!("msteams_configs: [{{webhook_url: 'http://{address}/webhookb2/{SECRET}', text: '{{{{ .Status }}}}'}}]")
}

#[tokio::test(start_paused = true)]
async fn each_notification_is_a_card_in_the_colour_of_its_state() {
    let vendor = Vendor::start(|_| Answer::status(200).body("1")).await;
    let notifier = build(&config(&vendor.address.to_string()));
    for (notification, color, title, text) in [
        (firing(), "8C1A1A", "[FIRING:1] High (a api)", "firing"),
        (update(), "8C1A1A", "[FIRING:2] High (api)", "firing"),
        (resolved(), "2DC72D", "[RESOLVED] High (api)", "resolved"),
    ] {
        notifier.notify(&notification).await.unwrap();
        assert_eq!(
            vendor.last().json(),
            json!({"@context": "http://schema.org/extensions", "type": "MessageCard", "title": title, "summary": title,
                "text": text, "themeColor": color})
        );
    }
    assert_eq!(vendor.last().line(), format!("POST /webhookb2/{SECRET}"));
}

#[tokio::test(start_paused = true)]
async fn a_url_file_is_read_for_each_notification() {
    let vendor = Vendor::start(|_| Answer::status(200)).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("url");
    let notifier = build(&format!("msteams_configs: [{{webhook_url_file: '{}'}}]", path.display()));
    std::fs::write(&path, "").unwrap();
    let error = notifier.notify(&firing()).await.unwrap_err();
    assert!(error.retry && error.message.contains("webhook_url_file is empty"), "{error}");
    std::fs::write(&path, format!("http://{}/new\n", vendor.address)).unwrap();
    notifier.notify(&firing()).await.unwrap();
    assert_eq!(vendor.lines(), ["POST /new"]);
}

#[tokio::test(start_paused = true)]
async fn it_behaves_when_the_vendor_does_not() {
    Conduct { config, ..STANDARD }.check().await;
}
