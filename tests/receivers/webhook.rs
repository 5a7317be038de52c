use serde_json::json;

use crate::{
    conduct::{Conduct, OTHER_SECRET, SECRET, STANDARD, shows_no_secret},
    fixture::{build, firing, resolved, update},
    vendor::{Answer, Vendor},
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
