use serde_json::json;

use crate::{
    conduct::{Conduct, SECRET, STANDARD, is_unsendable},
    fixture::{build, firing, resolved, update, with_long},
    vendor::{Answer, Vendor},
};

fn config_with(address: &str, more: &str) -> String {
    format!("victorops_configs: [{{api_url: 'http://{address}/alert', api_key: {SECRET}, routing_key: ops{more}}}]")
}

fn config(address: &str) -> String {
    config_with(address, "")
}

async fn vendor() -> Vendor {
    Vendor::start(|_| Answer::status(200)).await
}

#[tokio::test(start_paused = true)]
async fn one_entity_becomes_critical_and_recovers() {
    let vendor = vendor().await;
    let notifier = build(&config(&vendor.address.to_string()));
    for (notification, kind) in [(firing(), "CRITICAL"), (update(), "CRITICAL"), (resolved(), "RECOVERY")] {
        notifier.notify(&notification).await.unwrap();
        assert_eq!(vendor.last().json()["message_type"], json!(kind));
        assert_eq!(vendor.last().json()["entity_id"].as_str().unwrap().len(), 64);
    }
    assert_eq!(vendor.last().line(), format!("POST /alert/{SECRET}/ops"));
}

#[tokio::test(start_paused = true)]
async fn the_message_is_a_flat_object_in_order_of_names() {
    let vendor = vendor().await;
    let more = ", message_type: '{{ \"INFO\" }}', state_message: S, entity_display_name: D, monitoring_tool: M, \
        custom_fields: {aa: '{{ .Status }}', zz: '<'}";
    build(&config_with(&vendor.address.to_string(), more)).notify(&firing()).await.unwrap();
    let body = vendor.last().body;
    assert!(body.starts_with("{\"aa\":\"firing\",\"entity_display_name\":\"D\",\"entity_id\":\""), "{body}");
    let end = "\",\"message_type\":\"INFO\",\"monitoring_tool\":\"M\",\"state_message\":\"S\",\"zz\":\"\\u003c\"}\n";
    assert!(body.ends_with(end), "{body}");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_type_is_critical_and_the_state_is_cut() {
    let vendor = vendor().await;
    let more = ", message_type: info, state_message: '{{ .CommonAnnotations.long }}'";
    build(&config_with(&vendor.address.to_string(), more)).notify(&with_long(&"é".repeat(25_000))).await.unwrap();
    assert_eq!(vendor.last().json()["message_type"], json!("CRITICAL"));
    assert_eq!(vendor.last().json()["state_message"].as_str().unwrap().chars().count(), 20_480);
}

#[tokio::test(start_paused = true)]
async fn the_route_is_a_template_in_the_path() {
    let vendor = vendor().await;
    let list = format!(
        "victorops_configs: [{{api_url: 'http://{}/', api_key: k, routing_key: 'rk {{{{ .Status }}}}/x?'}}]",
        vendor.address
    );
    build(&list).notify(&firing()).await.unwrap();
    assert_eq!(vendor.last().line(), "POST /k/rk%20firing/x%3F");
    let broken = list.replace(".Status", "fail");
    is_unsendable(&*build(&broken), &firing(), "failed to template victorops routing_key").await;
}

#[tokio::test(start_paused = true)]
async fn it_behaves_when_the_vendor_does_not() {
    Conduct { config, ..STANDARD }.check().await;
}
