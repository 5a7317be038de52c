use serde_json::json;

use crate::{
    conduct::{Conduct, SECRET, STANDARD},
    fixture::{build, firing, resolved, update},
    vendor::{Answer, Vendor},
};

fn config(address: &str) -> String {
    format!("msteamsv2_configs: [{{webhook_url: 'http://{address}/workflows/1/invoke?v=1&sig={SECRET}'}}]")
}

#[tokio::test(start_paused = true)]
async fn each_notification_is_a_card_in_the_colour_of_its_state() {
    let vendor = Vendor::start(|_| Answer::status(202)).await;
    let notifier = build(&config(&vendor.address.to_string()));
    for (notification, color, title) in [
        (firing(), "Attention", "[FIRING:1] High (a api)"),
        (update(), "Attention", "[FIRING:2] High (api)"),
        (resolved(), "Good", "[RESOLVED] High (api)"),
    ] {
        notifier.notify(&notification).await.unwrap();
        let attachment = &vendor.last().json()["attachments"][0];
        assert_eq!(attachment["contentType"], "application/vnd.microsoft.card.adaptive");
        assert_eq!(attachment["contentUrl"], json!(null));
        assert_eq!(
            attachment["content"]["body"][0],
            json!({"type": "TextBlock", "text": title, "weight": "Bolder", "size": "Medium", "wrap": true,
                "style": "heading", "color": color})
        );
        assert!(attachment["content"]["body"][1]["text"].as_str().unwrap().contains("alertname = High"));
    }
    assert_eq!(vendor.last().line(), format!("POST /workflows/1/invoke?v=1&sig={SECRET}"));
}

#[tokio::test(start_paused = true)]
async fn it_behaves_when_the_vendor_does_not() {
    Conduct { config, ..STANDARD }.check().await;
}
