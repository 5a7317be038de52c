use serde_json::json;

use crate::{
    conduct::{Conduct, SECRET, STANDARD, is_unsendable},
    fixture::{build, firing, resolved, update, with_long},
    vendor::{Answer, Vendor},
};

fn config(address: &str) -> String {
    format!("mattermost_configs: [{{webhook_url: 'http://{address}/hooks/{SECRET}', channel: ops}}]")
}

async fn vendor() -> Vendor {
    Vendor::start(|_| Answer::status(200).body("ok")).await
}

#[tokio::test(start_paused = true)]
async fn the_text_stands_inside_the_one_attachment() {
    let vendor = vendor().await;
    let notifier = build(&config(&vendor.address.to_string()));
    for (notification, color, title) in [
        (firing(), "danger", "[FIRING:1] High (a api)"),
        (update(), "danger", "[FIRING:2] High (api)"),
        (resolved(), "good", "[RESOLVED] High (api)"),
    ] {
        notifier.notify(&notification).await.unwrap();
        let body = vendor.last().json();
        assert_eq!((&body["channel"], &body["text"]), (&json!("ops"), &json!(null)));
        assert_eq!(body["attachments"].as_array().unwrap().len(), 1);
        assert_eq!(
            (&body["attachments"][0]["color"], &body["attachments"][0]["title"]),
            (&json!(color), &json!(title))
        );
        assert!(body["attachments"][0]["text"].as_str().unwrap().contains("alertname = High"));
    }
    assert_eq!(vendor.last().line(), format!("POST /hooks/{SECRET}"));
}

#[tokio::test(start_paused = true)]
async fn with_attachments_the_text_is_at_the_top_and_cut() {
    let vendor = vendor().await;
    let list = format!(
        "mattermost_configs: [{{webhook_url: 'http://{}/', text: '{{{{ .CommonAnnotations.long }}}}', title: gone, \
         attachments: [{{text: one, fields: [{{title: t, value: v, short: true}}]}}, {{color: red}}]}}]",
        vendor.address
    );
    build(&list).notify(&with_long(&"ж".repeat(20_000))).await.unwrap();
    let body = vendor.last().json();
    let text = body["text"].as_str().unwrap();
    assert_eq!(text.chars().count(), 16383);
    assert!(text.ends_with('…'));
    assert_eq!(
        body["attachments"],
        json!([{"text": "one", "fields": [{"title": "t", "value": "v", "short": true}]}, {"color": "red"}])
    );
}

#[tokio::test(start_paused = true)]
async fn a_priority_keeps_only_what_fits_it() {
    let vendor = vendor().await;
    for (configured, sent) in [
        ("Urgent", json!({"priority": "urgent", "requested_ack": true, "persistent_notifications": true})),
        ("important", json!({"priority": "important", "requested_ack": true})),
        ("anything", json!({"priority": "standard"})),
        ("", json!(null)),
    ] {
        let list = format!(
            "mattermost_configs: [{{webhook_url: 'http://{}/', priority: {{priority: '{configured}', \
             requested_ack: true, persistent_notifications: true}}}}]",
            vendor.address
        );
        build(&list).notify(&firing()).await.unwrap();
        assert_eq!(vendor.last().json()["priority"], sent, "{configured}");
    }
}

#[tokio::test]
async fn a_missing_url_file_is_named_and_final() {
    let notifier = build("mattermost_configs: [{webhook_url_file: /no/url}]");
    is_unsendable(&*notifier, &firing(), "read webhook_url_file: unable to read file /no/url").await;
}

#[tokio::test(start_paused = true)]
async fn it_behaves_when_the_vendor_does_not() {
    Conduct { config, ..STANDARD }.check().await;
}
