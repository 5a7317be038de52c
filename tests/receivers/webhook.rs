use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::json;

use crate::{
    conduct::{Conduct, OTHER_SECRET, SECRET, STANDARD, shows_no_secret},
    fixture::{build, firing, resolved, update},
    vendor::{Answer, Seen, Vendor},
};

fn config(address: &str) -> String {
    format!(
        "webhook_configs: [{{url: 'http://{address}/{SECRET}', \
         http_config: {{basic_auth: {{username: u, password: {OTHER_SECRET}}}}}}}]"
    )
}

#[tokio::test(start_paused = true)]
async fn each_notification_is_the_generic_message() {
    let vendor = Vendor::start(|_| Answer::status(200)).await;
    let notifier = build(&config(&vendor.address.to_string()));
    for (notification, status, reason) in [
        (firing(), "firing", "first notification"),
        (update(), "firing", "new alerts added"),
        (resolved(), "resolved", "all alerts resolved"),
    ] {
        notifier.notify(&notification).await.unwrap();
        let body = vendor.last().json();
        assert_eq!((&body["status"], &body["notification_reason"]), (&json!(status), &json!(reason)));
    }
    assert_eq!(vendor.last().line(), format!("POST /{SECRET}"));
}

#[tokio::test]
async fn a_url_whose_template_fails_is_not_shown() {
    let list = format!("webhook_configs: [{{url: 'http://127.0.0.1:1/{SECRET}{{{{ .Nope }}}}'}}]");
    let error = build(&list).notify(&firing()).await.unwrap_err();
    assert_eq!((error.message.as_str(), error.retry), ("failed to template webhook URL", false));
    shows_no_secret(&error.message);
}

#[tokio::test(start_paused = true)]
async fn it_behaves_when_the_vendor_does_not() {
    Conduct { config, ..STANDARD }.check().await;
}

#[tokio::test(start_paused = true)]
async fn what_http_config_reads_from_files_is_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, secret: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, secret).unwrap();
        path.display().to_string()
    };
    let echo = |seen: &Seen| {
        let headers: Vec<&str> = seen.headers.values().filter_map(|value| value.to_str().ok()).collect();
        Answer::status(400).body(headers.join(" "))
    };
    let vendor = Vendor::start(echo).await;
    let (token, key) = (file("token", SECRET), file("key", OTHER_SECRET));
    for http in [
        format!("authorization: {{credentials_file: '{token}'}}, http_headers: {{X-Key: {{files: ['{key}']}}}}"),
        format!("basic_auth: {{username: u, password_file: '{token}'}}"),
        format!("http_headers: {{X-Key: {{secrets: [{SECRET}, {OTHER_SECRET}]}}}}"),
    ] {
        let url = format!("url: 'http://{}/'", vendor.address);
        let error = build(&format!("webhook_configs: [{{{url}, http_config: {{{http}}}}}]")).notify(&firing()).await;
        let message = error.unwrap_err().message;
        shows_no_secret(&message);
        assert!(
            message.contains("<redacted>") && !message.contains(&BASE64_STANDARD.encode(format!("u:{SECRET}"))),
            "{message}"
        );
    }
}
