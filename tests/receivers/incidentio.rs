use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    conduct::{Conduct, SECRET, STANDARD},
    fixture::{build, firing, resolved, try_build, update, with_long},
    vendor::{Answer, Vendor},
};

fn config(address: &str) -> String {
    format!("incidentio_configs: [{{url: 'http://{address}/v2/alerts/1', alert_source_token: {SECRET}}}]")
}

async fn vendor() -> Vendor {
    Vendor::start(|_| Answer::status(202).json(json!({"status": "success"}))).await
}

#[tokio::test(start_paused = true)]
async fn each_notification_is_one_message_with_the_token() {
    let vendor = vendor().await;
    let notifier = build(&config(&vendor.address.to_string()));
    for notification in [firing(), update(), resolved()] {
        notifier.notify(&notification).await.unwrap();
    }
    let told: Vec<(Value, usize)> = vendor
        .seen()
        .iter()
        .map(|seen| (seen.json()["status"].clone(), seen.json()["alerts"].as_array().unwrap().len()))
        .collect();
    assert_eq!(told, [(json!("firing"), 1), (json!("firing"), 2), (json!("resolved"), 2)]);
    let seen = vendor.last();
    assert_eq!(seen.line(), "POST /v2/alerts/1");
    assert_eq!(seen.header("authorization"), format!("Bearer {SECRET}"));
    assert_eq!(seen.header("user-agent"), "Alertmanager/1.2.3");
    assert_eq!(seen.json()["version"], "1");
}

#[tokio::test(start_paused = true)]
async fn too_long_a_message_keeps_its_first_alert_and_all_its_totals() {
    let vendor = vendor().await;
    let notifier = build(&config(&vendor.address.to_string()));
    let mut notification = update();
    let long = with_long(&"x".repeat(300_000)).alerts[0].annotations.clone();
    notification.alerts.iter_mut().for_each(|alert| alert.annotations = long.clone());
    notifier.notify(&notification).await.unwrap();
    let body = vendor.last().json();
    assert_eq!(body["alerts"].as_array().unwrap().len(), 1);
    assert_eq!(body["commonLabels"], json!({"alertname": "High", "job": "api"}));
    assert_eq!(body["truncatedAlerts"], 0);
}

#[tokio::test(start_paused = true)]
async fn its_own_timeout_ends_an_attempt() {
    let vendor = Vendor::start(|_| Answer::status(202).late(Duration::from_secs(60))).await;
    let list = config(&vendor.address.to_string()).replace("}]", ", timeout: 7s}]");
    let error = build(&list).notify(&firing()).await.unwrap_err();
    assert!(error.retry);
    assert!(
        error.message.ends_with("context deadline exceeded: configured incidentio timeout reached (7s)"),
        "{error}"
    );
}

#[tokio::test]
async fn a_token_file_is_read_when_it_is_built() {
    let list = "incidentio_configs: [{url: 'http://h/', alert_source_token_file: /no/token}]";
    let error = try_build(list).err().unwrap().to_string();
    assert!(error.contains("alert_source_token_file") && error.contains("open /no/token: no such file"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn it_behaves_when_the_vendor_does_not() {
    Conduct { config, retried: &[429], ..STANDARD }.check().await;
}
