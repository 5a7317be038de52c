use serde_json::json;

use crate::{
    conduct::{Conduct, Logs, SECRET, STANDARD},
    fixture::{build, firing, resolved, update, with_long},
    vendor::{Answer, Vendor},
};

fn config(address: &str) -> String {
    format!("discord_configs: [{{webhook_url: 'http://{address}/api/webhooks/1/{SECRET}'}}]")
}

async fn vendor() -> Vendor {
    Vendor::start(|_| Answer::status(204)).await
}

#[tokio::test(start_paused = true)]
async fn each_notification_is_an_embed_in_the_colour_of_its_state() {
    let vendor = vendor().await;
    let notifier = build(&config(&vendor.address.to_string()));
    for (notification, color, title) in [
        (firing(), 10_038_562, "[FIRING:1] High (a api)"),
        (update(), 10_038_562, "[FIRING:2] High (api)"),
        (resolved(), 3_066_993, "[RESOLVED] High (api)"),
    ] {
        notifier.notify(&notification).await.unwrap();
        let body = vendor.last().json();
        assert_eq!((&body["embeds"][0]["color"], &body["embeds"][0]["title"]), (&json!(color), &json!(title)));
    }
    assert_eq!(vendor.last().line(), format!("POST /api/webhooks/1/{SECRET}"));
}

#[tokio::test(start_paused = true)]
async fn texts_are_cut_and_the_name_is_plain() {
    let vendor = vendor().await;
    let long = "'{{ .CommonAnnotations.long }}'";
    let list = format!(
        "discord_configs: [{{webhook_url: 'http://{}/', title: {long}, message: {long}, content: {long}, \
         username: 'am {{{{', avatar_url: 'https://img/a b.png'}}]",
        vendor.address
    );
    build(&list).notify(&with_long(&"д".repeat(5000))).await.unwrap();
    let body = vendor.last().json();
    let length = |text: &serde_json::Value| text.as_str().unwrap().chars().count();
    assert_eq!(length(&body["embeds"][0]["title"]), 256);
    assert_eq!(length(&body["embeds"][0]["description"]), 4096);
    assert_eq!(length(&body["content"]), 2000);
    assert_eq!((&body["username"], &body["avatar_url"]), (&json!("am {{"), &json!("https://img/a b.png")));
}

#[tokio::test(start_paused = true)]
async fn an_avatar_that_is_no_url_is_left_out_with_a_warning() {
    let vendor = vendor().await;
    let logs = Logs::default();
    let _guard = logs.capture();
    let list =
        format!("discord_configs: [{{webhook_url: 'http://{}/', avatar_url: 'https://img/%zz'}}]", vendor.address);
    build(&list).notify(&firing()).await.unwrap();
    assert_eq!(vendor.last().json()["avatar_url"], json!(null));
    assert!(logs.text().contains("avatar_url"), "{}", logs.text());
}

#[tokio::test(start_paused = true)]
async fn it_behaves_when_the_vendor_does_not() {
    Conduct { config, ..STANDARD }.check().await;
}
