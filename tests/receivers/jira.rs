use std::sync::{Arc, Mutex};

use carillon::notify::types::{FailureReason, Progress};
use serde_json::{Value, json};

use crate::{
    conduct::{Conduct, SECRET, STANDARD, is_unsendable},
    fixture::{build, firing, resolved, update},
    vendor::{Answer, Seen, Vendor},
};

const LABEL: &str = "ALERT{f3d6947c9c15e6b3a6ec260804b8d597eb27cad181cfeb7ae7dfa22cc537fc3e}";

fn config_with(address: &str, more: &str) -> String {
    let authorization = format!("http_config: {{authorization: {{credentials: {SECRET}}}}}");
    format!(
        "jira_configs: [{{api_url: 'http://{address}/rest/api/2/', project: OPS, issue_type: Bug, description: text, \
         {authorization}{more}}}]"
    )
}

fn config(address: &str) -> String {
    config_with(address, "")
}

/// A Jira with at most one issue, whose status category is kept.
async fn jira(category: Option<&'static str>) -> Vendor {
    let state = Arc::new(Mutex::new(category));
    Vendor::start(move |seen: &Seen| {
        let mut state = state.lock().unwrap();
        let path = seen.uri.strip_prefix("/rest/api/2").unwrap();
        match (seen.method.as_str(), path) {
            ("POST", "/search") => {
                let issue =
                    |category| json!({"key": "OPS-1", "fields": {"status": {"statusCategory": {"key": category}}}});
                Answer::status(200).json(json!({"issues": state.map(issue).into_iter().collect::<Vec<_>>()}))
            }
            ("POST", "/issue") => {
                *state = Some("new");
                Answer::status(201).json(json!({"key": "OPS-1"}))
            }
            ("PUT", "/issue/OPS-1") => Answer::status(204),
            ("GET", "/issue/OPS-1/transitions") => Answer::status(200)
                .json(json!({"transitions": [{"id": "31", "name": "Close"}, {"id": "41", "name": "Open again"}]})),
            ("POST", "/issue/OPS-1/transitions") => {
                *state = Some(if seen.json()["transition"]["id"] == "31" { "done" } else { "new" });
                Answer::status(204)
            }
            _ => Answer::status(404),
        }
    })
    .await
}

fn query(vendor: &Vendor) -> String {
    let search = vendor.seen().into_iter().rev().find(|seen| seen.uri.ends_with("/search")).unwrap();
    search.json()["jql"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_group_gets_one_issue_that_is_closed_and_opened_again() {
    let vendor = jira(None).await;
    let transitions = ", resolve_transition: Close, reopen_transition: Open again, reopen_duration: 2h";
    let notifier = build(&config_with(&vendor.address.to_string(), transitions));
    let search = "POST /rest/api/2/search";
    let put = "PUT /rest/api/2/issue/OPS-1";
    let (list, make) = ("GET /rest/api/2/issue/OPS-1/transitions", "POST /rest/api/2/issue/OPS-1/transitions");

    notifier.notify(&firing()).await.unwrap();
    assert_eq!(vendor.lines(), [search, "POST /rest/api/2/issue"]);
    let recent = "(resolutiondate is EMPTY OR resolutiondate >= -120m)";
    let ours = format!("project=\"OPS\" and labels=\"{LABEL}\" order by status ASC,resolutiondate DESC");
    assert_eq!(query(&vendor), format!("{recent} and {ours}"));
    let fields = &vendor.last().json()["fields"];
    assert_eq!((&fields["summary"], &fields["labels"]), (&json!("[FIRING:1] High (a api)"), &json!([LABEL])));

    for (notification, lines) in [
        (update(), vec![search, put]),
        (resolved(), vec![search, put, list, make]),
        (resolved(), vec![search, put]),
        (firing(), vec![search, put, list, make]),
    ] {
        vendor.forget();
        notifier.notify(&notification).await.unwrap();
        assert_eq!(vendor.lines(), lines);
    }
    assert_eq!(vendor.last().json(), json!({"transition": {"id": "41"}}));
    assert_eq!(vendor.last().header("authorization"), format!("Bearer {SECRET}"));
    assert_eq!(vendor.last().header("accept-language"), "en");
}

#[tokio::test(start_paused = true)]
async fn a_resolved_group_without_an_issue_needs_none() {
    let vendor = jira(None).await;
    build(&config(&vendor.address.to_string())).notify(&resolved()).await.unwrap();
    assert_eq!(vendor.lines(), ["POST /rest/api/2/search"]);
    assert!(query(&vendor).starts_with("statusCategory != Done and project="));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_transition_is_final() {
    let vendor = jira(Some("new")).await;
    let notifier = build(&config_with(&vendor.address.to_string(), ", resolve_transition: close"));
    let error = notifier.notify(&resolved()).await.unwrap_err();
    assert_eq!((error.retry, error.reason), (false, FailureReason::Other));
    assert!(error.message.contains("can't find transition close for issue OPS-1"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn configured_fields_replace_ours_and_texts_become_values() {
    let vendor = jira(None).await;
    let more = ", labels: [z, '{{ .Status }}'], priority: '', summary: {template: x, enable_update: false}, \
                fields: {customfield_1: '{{ len .Alerts }}', issuetype: {id: '7'}}";
    let notifier = build(&config_with(&vendor.address.to_string(), more));
    let expected = |summary: Option<&str>, labels: Value| {
        let mut fields = json!({"description": "text", "issuetype": {"id": 7}, "labels": labels,
            "project": {"key": "OPS"}, "customfield_1": 1});
        if let Some(summary) = summary {
            fields["summary"] = json!(summary);
        }
        json!({"fields": fields})
    };
    notifier.notify(&firing()).await.unwrap();
    assert_eq!(vendor.last().json(), expected(Some("x"), json!([LABEL, "firing", "z"])));
    notifier.notify(&firing()).await.unwrap();
    assert_eq!(vendor.last().json(), expected(None, json!([LABEL, "firing", "z"])));
}

#[tokio::test(start_paused = true)]
async fn in_version_3_a_description_is_a_document() {
    let vendor = Vendor::start(|_| Answer::status(200).json(json!({"issues": []}))).await;
    let with = |description: &str| {
        let address = format!("http://{}/rest/api", vendor.address);
        format!(
            "jira_configs: [{{api_url: '{address}/3', api_type: cloud, project: OPS, issue_type: Bug, \
             description: '{description}'}}]"
        )
    };
    build(&with(r#"{"type": "doc", "n": [1.50, "<"]}"#)).notify(&firing()).await.unwrap();
    assert_eq!(vendor.lines(), ["POST /rest/api/3/search/jql", "POST /rest/api/3/issue"]);
    assert!(
        vendor.last().body.contains(r#""description":{"type":"doc","n":[1.50,"\u003c"]}"#),
        "{}",
        vendor.last().body
    );
    is_unsendable(&*build(&with("words")), &firing(), "jira description is not valid JSON").await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_read_is_final() {
    let vendor = Vendor::start(|_| Answer::status(200).body("<html>")).await;
    let error = build(&config(&vendor.address.to_string())).notify(&firing()).await.unwrap_err();
    assert_eq!((error.retry, error.reason, error.progress), (false, FailureReason::Other, Progress::NotSent));
}

#[tokio::test(start_paused = true)]
async fn it_behaves_when_the_vendor_does_not() {
    let success = || Answer::status(200).json(json!({"issues": []}));
    Conduct { config, success, retried: &[429], again_without_answer: false, ..STANDARD }.check().await;
}
