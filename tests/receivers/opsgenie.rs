use carillon::notify::types::Progress;
use serde_json::json;

use crate::{
    conduct::{Conduct, SECRET, STANDARD, is_unsendable},
    fixture::{build, firing, resolved, update, with_long},
    vendor::{Answer, Vendor},
};

fn config_with(address: &str, more: &str) -> String {
    format!("opsgenie_configs: [{{api_url: 'http://{address}', api_key: {SECRET}{more}}}]")
}

fn config(address: &str) -> String {
    config_with(address, "")
}

async fn vendor() -> Vendor {
    Vendor::start(|_| Answer::status(202)).await
}

#[tokio::test(start_paused = true)]
async fn an_alert_is_created_repeated_and_closed_under_one_alias() {
    let vendor = vendor().await;
    let notifier = build(&config(&vendor.address.to_string()));
    for notification in [firing(), update(), resolved()] {
        notifier.notify(&notification).await.unwrap();
    }
    let [created, repeated, closed] = <[_; 3]>::try_from(vendor.seen()).unwrap();
    let alias = created.json()["alias"].as_str().unwrap().to_owned();
    assert_eq!((alias.len(), &repeated.json()["alias"]), (64, &json!(alias)));
    assert_eq!(
        (created.line().as_str(), created.header("authorization")),
        ("POST /v2/alerts", format!("GenieKey {SECRET}").as_str())
    );
    assert_eq!(closed.line(), format!("POST /v2/alerts/{alias}/close?identifierType=alias"));
    assert_eq!(closed.body, "{\"source\":\"http://am/#/alerts?receiver=team\"}\n");
}

#[tokio::test(start_paused = true)]
async fn the_fields_of_an_alert_have_their_order() {
    let vendor = vendor().await;
    let more = ", message: M, description: D, source: S, details: {job: '{{ .Status }}', x: y}, tags: ' a, b,,c ', \
        note: N, priority: P1, entity: E, actions: 'go', responders: [{name: 'x,y', type: teams}, \
        {username: u, type: USER}, {id: '{{ .CommonLabels.nope }}', type: '{{ .CommonLabels.nope }}'}]";
    build(&config_with(&vendor.address.to_string(), more)).notify(&firing()).await.unwrap();
    let body = vendor.last().body;
    let (_, after_alias) = body.split_once("\"message\"").unwrap();
    assert_eq!(
        after_alias,
        ":\"M\",\"description\":\"D\",\"details\":{\"alertname\":\"High\",\"instance\":\"a\",\"job\":\"firing\",\"x\":\"y\"},\
         \"source\":\"S\",\"responders\":[{\"name\":\"x\",\"type\":\"team\"},{\"name\":\"y\",\"type\":\"team\"},\
         {\"username\":\"u\",\"type\":\"USER\"}],\"tags\":[\"a\",\" b\",\"c\"],\"note\":\"N\",\"priority\":\"P1\",\
         \"entity\":\"E\",\"actions\":[\"go\"]}\n"
    );
}

#[tokio::test(start_paused = true)]
async fn an_update_rewrites_message_and_description_until_a_call_fails() {
    let vendor = vendor().await;
    let notifier =
        build(&config_with(&vendor.address.to_string(), ", update_alerts: true, message: M, description: D"));
    notifier.notify(&firing()).await.unwrap();
    let seen = vendor.seen();
    let paths: Vec<&str> = seen.iter().map(|seen| seen.uri.rsplit('/').next().unwrap()).collect();
    assert_eq!(paths, ["alerts", "message?identifierType=alias", "description?identifierType=alias"]);
    assert_eq!((seen[1].method.as_str(), seen[1].body.as_str()), ("PUT", "{\"message\":\"M\"}\n"));
    assert_eq!(seen[2].body, "{\"description\":\"D\"}\n");

    vendor.forget();
    vendor.answer_with(|seen| Answer::status(if seen.method == "PUT" { 503 } else { 202 }));
    let error = notifier.notify(&firing()).await.unwrap_err();
    assert_eq!((error.retry, vendor.seen().len()), (true, 2));

    // Without an answer to the second call it is not as if nothing had been sent.
    vendor.answer_with(|seen| if seen.method == "PUT" { Answer::none() } else { Answer::status(202) });
    assert_eq!(notifier.notify(&firing()).await.unwrap_err().progress, Progress::Ambiguous);
}

#[tokio::test(start_paused = true)]
async fn the_message_is_cut_and_templates_fail_before_anything_is_sent() {
    let vendor = vendor().await;
    let long = ", message: '{{ .CommonAnnotations.long }}'";
    build(&config_with(&vendor.address.to_string(), long)).notify(&with_long(&"m".repeat(200))).await.unwrap();
    assert_eq!(vendor.last().json()["message"], json!("m".repeat(129) + "…"));
    let broken = config_with(&vendor.address.to_string(), ", update_alerts: true, note: '{{ fail }}'");
    is_unsendable(&*build(&broken), &firing(), "failed to template opsgenie note").await;
    assert_eq!(vendor.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn it_behaves_when_the_vendor_does_not() {
    Conduct { config, retried: &[429], ..STANDARD }.check().await;
}
