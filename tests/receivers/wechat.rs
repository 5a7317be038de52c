use std::time::Duration;

use carillon::notify::types::{FailureReason, Progress};
use serde_json::json;

use crate::{
    conduct::{Logs, OTHER_SECRET, SECRET, is_unsendable, shows_no_secret},
    fixture::{build, firing, resolved, update},
    vendor::{Answer, Seen, Vendor},
};

fn config_with(address: &str, more: &str) -> String {
    format!("wechat_configs: [{{api_url: 'http://{address}/cgi', api_secret: {SECRET}, corp_id: 'corp 1'{more}}}]")
}

fn config(address: &str) -> String {
    config_with(address, "")
}

fn is_token(seen: &Seen) -> bool {
    seen.uri.starts_with("/cgi/gettoken")
}

fn token() -> Answer {
    Answer::status(200).json(json!({"errcode": 0, "errmsg": "ok", "access_token": OTHER_SECRET}))
}

fn said(code: i64, message: &str) -> Answer {
    Answer::status(200).json(json!({"errcode": code, "errmsg": message}))
}

/// Gives tokens; answers messages like this.
async fn vendor(messages: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Vendor {
    Vendor::start(move |seen| if is_token(seen) { token() } else { messages(seen) }).await
}

fn tokens(vendor: &Vendor) -> usize {
    vendor.seen().iter().filter(|seen| is_token(seen)).count()
}

#[tokio::test(start_paused = true)]
async fn one_token_serves_all_messages_for_two_hours() {
    let vendor = vendor(|_| said(0, "ok")).await;
    let more = ", to_user: u, to_party: p, agent_id: '7', message: '{{ .Status }} {{ len .Alerts }}'";
    let notifier = build(&config_with(&vendor.address.to_string(), more));
    for (notification, text) in [(firing(), "firing 1"), (update(), "firing 2"), (resolved(), "resolved 2")] {
        notifier.notify(&notification).await.unwrap();
        assert_eq!(
            vendor.last().body,
            format!(
                "{{\"text\":{{\"content\":\"{text}\"}},\"touser\":\"u\",\"toparty\":\"p\",\"agentid\":\"7\",\"safe\":\"0\",\
                 \"msgtype\":\"text\",\"markdown\":{{\"content\":\"\"}}}}\n"
            )
        );
    }
    assert_eq!(vendor.lines()[0], format!("GET /cgi/gettoken?corpid=corp+1&corpsecret={SECRET}"));
    assert_eq!(vendor.last().line(), format!("POST /cgi/message/send?access_token={OTHER_SECRET}"));
    assert_eq!(tokens(&vendor), 1);
    tokio::time::sleep(Duration::from_secs(7201)).await;
    notifier.notify(&firing()).await.unwrap();
    assert_eq!(tokens(&vendor), 2);
}

#[tokio::test(start_paused = true)]
async fn another_corporation_gets_another_token() {
    let vendor = vendor(|_| said(0, "ok")).await;
    let list = format!(
        "wechat_configs: [{{api_url: 'http://{}/cgi', api_secret: s, corp_id: '{{{{ .Status }}}}', message_type: markdown}}]",
        vendor.address
    );
    let notifier = build(&list);
    for notification in [firing(), update(), resolved()] {
        notifier.notify(&notification).await.unwrap();
    }
    assert_eq!(tokens(&vendor), 2);
    assert_eq!(
        (&vendor.last().json()["msgtype"], &vendor.last().json()["text"]["content"]),
        (&json!("markdown"), &json!(""))
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_no_good_any_more_is_replaced() {
    for code in [42001, 40014] {
        let vendor = vendor(|_| said(0, "ok")).await;
        let notifier = build(&config(&vendor.address.to_string()));
        notifier.notify(&firing()).await.unwrap();
        vendor.answer_with(move |seen| if is_token(seen) { token() } else { said(code, "bad token") });
        let error = notifier.notify(&firing()).await.unwrap_err();
        assert_eq!((error.retry, error.reason, error.message.as_str()), (true, FailureReason::Other, "bad token"));
        vendor.answer_with(|seen| if is_token(seen) { token() } else { said(0, "ok") });
        notifier.notify(&firing()).await.unwrap();
        assert_eq!(tokens(&vendor), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_vendor_says_decides() {
    for (answer, again, reason, says) in [
        (said(81013, "user not found"), false, FailureReason::Other, "user not found"),
        (said(40014, "invalid access_token"), false, FailureReason::Other, "invalid access_token"),
        (Answer::status(200).body("<html>"), true, FailureReason::Other, "could not read the answer"),
        (Answer::status(404), true, FailureReason::ClientError, "unexpected status code 404"),
        (Answer::status(503), true, FailureReason::ServerError, "unexpected status code 503"),
    ] {
        let vendor = vendor(move |_| answer.clone()).await;
        let error = build(&config(&vendor.address.to_string())).notify(&firing()).await.unwrap_err();
        assert!(error.message.starts_with(says), "{error}");
        assert_eq!((error.retry, error.reason), (again, reason), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_token_nothing_is_sent() {
    for (answer, says) in [
        (Answer::status(200).json(json!({"errcode": 40001})), "invalid APISecret for CorpID: corp 1"),
        (Answer::status(502).body("<html>"), "could not read the answer to gettoken (status 502)"),
    ] {
        let vendor = Vendor::start(move |_| answer.clone()).await;
        is_unsendable(&*build(&config(&vendor.address.to_string())), &firing(), says).await;
        assert_eq!(vendor.seen().len(), 1);
    }
    let vendor = Vendor::start(|_| Answer::none()).await;
    let error = build(&config(&vendor.address.to_string())).notify(&firing()).await.unwrap_err();
    assert_eq!((error.retry, error.progress), (true, Progress::NotSent));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_come_leaves_it_open() {
    let vendor = vendor(|_| Answer::none()).await;
    let error = build(&config(&vendor.address.to_string())).notify(&firing()).await.unwrap_err();
    assert_eq!((error.retry, error.progress), (true, Progress::Ambiguous));
    vendor.answer_with(|seen| if is_token(seen) { token() } else { said(0, "ok").late(Duration::from_secs(3600)) });
    let notifier = build(&config(&vendor.address.to_string()));
    assert!(tokio::time::timeout(Duration::from_secs(60), notifier.notify(&firing())).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn neither_secret_nor_token_shows() {
    let logs = Logs::default();
    let _guard = logs.capture();
    let mut errors = Vec::new();
    for status in [200, 400, 500] {
        let echo = move |seen: &Seen| Answer::status(status).body(format!("{} {}", seen.uri, seen.body));
        let echoing = Vendor::start(echo).await;
        errors.extend(build(&config(&echoing.address.to_string())).notify(&firing()).await.err());
        let telling = vendor(move |seen| Answer::status(status).json(json!({"errcode": 1, "errmsg": seen.uri}))).await;
        errors.extend(build(&config(&telling.address.to_string())).notify(&firing()).await.err());
        errors.extend(build(&config("127.0.0.1:1")).notify(&firing()).await.err());
    }
    assert_eq!(errors.len(), 9);
    shows_no_secret(&format!("{errors:?}{}", logs.text()));
}
