use std::{collections::BTreeMap, time::Duration};

use carillon::{
    clock::Clock,
    notify::types::{FailureReason, Progress},
};

use crate::{
    conduct::{Conduct, SECRET, STANDARD},
    fixture::{build, firing, resolved, try_build, update, with_long},
    tunnel::through,
    vendor::{Answer, Seen, Vendor},
};

const TOPIC: &str = "topic_arn: 'arn:aws:sns:eu-west-1:1:ops'";

fn config_with(address: &str, more: &str) -> String {
    format!(
        "sns_configs: [{{api_url: 'http://{address}', sigv4: {{region: eu-west-1, access_key: AK, secret_key: {SECRET}}}, \
         {more}}}]"
    )
}

fn config(address: &str) -> String {
    config_with(address, TOPIC)
}

async fn vendor() -> Vendor {
    Vendor::start(|_| Answer::status(200)).await
}

fn form(seen: &Seen) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(seen.body.as_bytes()).into_owned().collect()
}

fn error_body(code: &str) -> String {
    format!("<ErrorResponse><Error><Code>{code}</Code><Message>a &amp; b</Message></Error></ErrorResponse>")
}

#[tokio::test(start_paused = true)]
async fn each_notification_is_published_and_signed() {
    let vendor = vendor().await;
    let notifier =
        build(&config_with(&vendor.address.to_string(), &format!("{TOPIC}, message: 'm {{{{ len .Alerts }}}}'")));
    for (notification, subject, message) in [
        (firing(), "[FIRING:1] High (a api)", "m 1"),
        (update(), "[FIRING:2] High (api)", "m 2"),
        (resolved(), "[RESOLVED] High (api)", "m 2"),
    ] {
        notifier.notify(&notification).await.unwrap();
        let form = form(&vendor.last());
        let get = |name: &str| form[name].as_str();
        assert_eq!(
            (get("Action"), get("Version"), get("TopicArn")),
            ("Publish", "2010-03-31", "arn:aws:sns:eu-west-1:1:ops")
        );
        assert_eq!((get("Subject"), get("Message")), (subject, message));
        assert_eq!(form.len(), 5);
    }
    let seen = vendor.last();
    assert_eq!((seen.line().as_str(), seen.header("content-type")), ("POST /", "application/x-www-form-urlencoded"));
    assert_eq!(seen.header("x-amz-date"), "20240506T090000Z");
    let start = "AWS4-HMAC-SHA256 Credential=AK/20240506/eu-west-1/sns/aws4_request, SignedHeaders=content-type;host;x-amz-date, ";
    assert!(seen.header("authorization").starts_with(start), "{}", seen.header("authorization"));
}

#[tokio::test(start_paused = true)]
async fn a_fifo_topic_gets_the_group_as_its_key() {
    let vendor = vendor().await;
    let list = config_with(&vendor.address.to_string(), "topic_arn: 'arn:x:{{ .Status }}.fifo', subject: ''");
    build(&list).notify(&firing()).await.unwrap();
    let form = form(&vendor.last());
    assert_eq!((form["TopicArn"].as_str(), form.get("Subject")), ("arn:x:firing.fifo", None));
    assert_eq!(form["MessageGroupId"].len(), 64);
    assert_eq!(form["MessageGroupId"], form["MessageDeduplicationId"]);
}

#[tokio::test(start_paused = true)]
async fn a_long_text_message_is_cut_by_bytes_and_marked() {
    let vendor = vendor().await;
    let more = "phone_number: '+1555', message: '{{ .CommonAnnotations.long }}', attributes: {b: '{{ .Status }}', '{{ \"a\" }}': x}";
    build(&config_with(&vendor.address.to_string(), more))
        .notify(&with_long(&format!("a{}", "é".repeat(1000))))
        .await
        .unwrap();
    let body = vendor.last().body;
    assert!(body.ends_with("%C3%A9%C3"), "the last character is cut in two");
    let form = form(&vendor.last());
    assert_eq!(form["PhoneNumber"], "+1555");
    let attributes: Vec<(&str, &str)> = (1..=3)
        .map(|n| {
            let get = |part: &str| form[&format!("MessageAttributes.entry.{n}.{part}")].as_str();
            assert_eq!(get("Value.DataType"), "String");
            (get("Name"), get("Value.StringValue"))
        })
        .collect();
    assert_eq!(attributes, [("a", "x"), ("b", "firing"), ("truncated", "true")]);
}

#[tokio::test(start_paused = true)]
async fn a_busy_service_is_asked_three_times_in_one_attempt() {
    for (status, code) in [(503, "InternalFailure"), (400, "Throttling")] {
        let vendor = Vendor::start(move |_| Answer::status(status).body(error_body(code))).await;
        let clock = Clock::system();
        let began = clock.monotonic();
        let error = build(&config(&vendor.address.to_string())).notify(&firing()).await.unwrap_err();
        assert_eq!(error.message, format!("unexpected status code {status}: {code}: a & b"));
        assert_eq!((vendor.seen().len(), error.retry), (3, status == 503));
        assert!(clock.monotonic() - began < Duration::from_secs(3));
    }
    let vendor = Vendor::start(|_| Answer::status(400).body(error_body("InvalidParameter"))).await;
    build(&config(&vendor.address.to_string())).notify(&firing()).await.unwrap_err();
    assert_eq!(vendor.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_role_is_assumed_once_until_its_credentials_end() {
    let role = |access: &str, end: &str| {
        Answer::status(200).body(format!(
            "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>{access}</AccessKeyId>\
             <SecretAccessKey>roles3cret</SecretAccessKey><SessionToken>tok+en==</SessionToken>\
             <Expiration>{end}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
        ))
    };
    let answer = move |seen: &Seen| match seen.header("host") {
        "sts-fips.eu-west-1.amazonaws.com" => role("ROLE", "2024-05-06T09:15:00Z"),
        _ => Answer::status(200),
    };
    let vendor = Vendor::start(answer).await;
    let notifier = build(&format!(
        "sns_configs: [{{sigv4: {{region: eu-west-1, access_key: AK, secret_key: {SECRET}, role_arn: 'arn:role', \
         external_id: ext, use_fips_sts_endpoint: true}}, {TOPIC}, http_config: {}}}]",
        through(&vendor.address.to_string())
    ));
    notifier.notify(&firing()).await.unwrap();
    notifier.notify(&update()).await.unwrap();
    let hosts = |vendor: &Vendor| vendor.seen().iter().map(|seen| seen.header("host").to_owned()).collect::<Vec<_>>();
    let (sts, sns) = ("sts-fips.eu-west-1.amazonaws.com", "sns.eu-west-1.amazonaws.com");
    assert_eq!(hosts(&vendor), [sts, sns, sns]);
    let asked = form(&vendor.seen()[0]);
    assert_eq!(
        (asked["Action"].as_str(), asked["RoleArn"].as_str(), asked["ExternalId"].as_str()),
        ("AssumeRole", "arn:role", "ext")
    );
    assert!(vendor.seen()[0].header("authorization").contains("Credential=AK/20240506/eu-west-1/sts/"));
    let published = vendor.last();
    assert!(published.header("authorization").contains("Credential=ROLE/"));
    assert!(published.header("authorization").contains(";x-amz-security-token,"));
    assert_eq!(published.header("x-amz-security-token"), "tok+en==");

    tokio::time::sleep(Duration::from_secs(14 * 60 + 1)).await;
    notifier.notify(&update()).await.unwrap();
    assert_eq!(hosts(&vendor)[3..], [sts, sns]);
}

#[tokio::test(start_paused = true)]
async fn a_role_that_is_denied_sends_nothing() {
    let vendor = Vendor::start(|_| Answer::status(403).body(error_body("AccessDenied"))).await;
    let list = format!(
        "sns_configs: [{{sigv4: {{region: eu-west-1, access_key: AK, secret_key: {SECRET}, role_arn: 'arn:role'}}, {TOPIC}, \
         http_config: {}}}]",
        through(&vendor.address.to_string())
    );
    let error = build(&list).notify(&firing()).await.unwrap_err();
    assert_eq!(error.message, "STS AssumeRole: unexpected status code 403: AccessDenied: a & b");
    assert_eq!((error.retry, error.reason, error.progress), (false, FailureReason::AuthError, Progress::NotSent));
}

#[tokio::test(start_paused = true)]
async fn a_template_that_fails_counts_as_the_clients_fault_and_is_tried_again() {
    let list = config_with("h", &format!("{TOPIC}, message: '{{{{ fail }}}}'"));
    let error = build(&list).notify(&firing()).await.unwrap_err();
    assert_eq!((error.retry, error.reason, error.progress), (true, FailureReason::ClientError, Progress::NotSent));
    assert!(
        try_build(&config_with("h", &format!("{TOPIC}, http_config: {{tls_config: {{ca_file: /no/ca}}}}"))).is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn it_behaves_when_the_vendor_does_not() {
    Conduct { config, ..STANDARD }.check().await;
}
