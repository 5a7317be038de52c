use serde_json::json;

use crate::{
    conduct::{Conduct, SECRET, STANDARD, is_unsendable},
    fixture::{build, firing, resolved, update, with_long},
    vendor::{Answer, Vendor},
};

fn config(address: &str) -> String {
    let authorization = format!("http_config: {{authorization: {{credentials: {SECRET}}}}}");
    format!(
        "webex_configs: [{{api_url: 'http://{address}/v1/messages', room_id: 'room {{{{ .Status }}}}', \
         message: '{{{{ len .Alerts }}}} {{{{ .CommonAnnotations.long }}}}', {authorization}}}]"
    )
}

#[tokio::test(start_paused = true)]
async fn each_notification_is_a_message_to_the_room() {
    let vendor = Vendor::start(|_| Answer::status(200)).await;
    let notifier = build(&config(&vendor.address.to_string()));
    for (notification, body) in [
        (firing(), json!({"markdown": "1 ", "roomId": "room firing"})),
        (update(), json!({"markdown": "2 ", "roomId": "room firing"})),
        (resolved(), json!({"markdown": "2 ", "roomId": "room resolved"})),
    ] {
        notifier.notify(&notification).await.unwrap();
        assert_eq!(vendor.last().json(), body);
    }
    let seen = vendor.last();
    assert_eq!(
        (seen.line().as_str(), seen.header("authorization")),
        ("POST /v1/messages", &*format!("Bearer {SECRET}"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_long_message_is_cut_between_characters() {
    let vendor = Vendor::start(|_| Answer::status(200)).await;
    let notifier = build(&config(&vendor.address.to_string()));
    notifier.notify(&with_long(&"ж".repeat(5000))).await.unwrap();
    let body = vendor.last().json();
    let text = body["markdown"].as_str().unwrap();
    assert!(text.ends_with("ж…") && (7438..=7439).contains(&text.len()), "{}", text.len());
}

#[tokio::test]
async fn a_room_that_cannot_be_rendered_is_final() {
    let list = config("127.0.0.1:1").replace(".Status", ".Nope");
    is_unsendable(&*build(&list), &firing(), "failed to template webex room_id").await;
}

#[tokio::test(start_paused = true)]
async fn it_behaves_when_the_vendor_does_not() {
    Conduct { config, ..STANDARD }.check().await;
}
