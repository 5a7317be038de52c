use crate::{
    conduct::{Conduct, OTHER_SECRET, SECRET, STANDARD, is_unsendable},
    fixture::{build, firing, resolved, update, with_long},
    tunnel::through,
    vendor::{Answer, Seen, Vendor},
};

fn config_with(address: &str, more: &str) -> String {
    format!(
        "pushover_configs: [{{user_key: {SECRET}, token: {OTHER_SECRET}, http_config: {}{more}}}]",
        through(address)
    )
}

fn config(address: &str) -> String {
    config_with(address, "")
}

async fn vendor() -> Vendor {
    Vendor::start(|_| Answer::status(200)).await
}

fn parameters(seen: &Seen) -> Vec<(String, String)> {
    let (_, query) = seen.uri.split_once('?').unwrap();
    url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

fn parameter(seen: &Seen, name: &str) -> Option<String> {
    parameters(seen).into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

#[tokio::test(start_paused = true)]
async fn everything_is_in_the_query_of_one_request() {
    let vendor = vendor().await;
    let notifier = build(&config_with(&vendor.address.to_string(), ", message: M"));
    for (notification, title, priority) in [
        (firing(), "[FIRING:1] High (a api)", "2"),
        (update(), "[FIRING:2] High (api)", "2"),
        (resolved(), "[RESOLVED] High (api)", "0"),
    ] {
        notifier.notify(&notification).await.unwrap();
        let seen = vendor.last();
        assert!(seen.uri.starts_with("/1/messages.json?"));
        assert_eq!((seen.method.as_str(), seen.header("host")), ("POST", "api.pushover.net"));
        assert_eq!((seen.body.as_str(), seen.header("content-type")), ("", "text/plain"));
        let expected = [
            ("device", ""),
            ("expire", "3600"),
            ("message", "M"),
            ("priority", priority),
            ("retry", "60"),
            ("sound", ""),
            ("title", title),
            ("token", OTHER_SECRET),
            ("url", "http://am/#/alerts?receiver=team"),
            ("url_title", ""),
            ("user", SECRET),
        ];
        let got = parameters(&seen);
        let got: Vec<(&str, &str)> = got.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(got, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn html_is_escaped_by_its_own_engine_and_durations_are_whole_seconds() {
    let vendor = vendor().await;
    let more = ", html: true, message: '<b>{{ .CommonAnnotations.summary }}</b>', retry: 90s, ttl: 1m30s";
    build(&config_with(&vendor.address.to_string(), more)).notify(&firing()).await.unwrap();
    let seen = vendor.last();
    assert_eq!(parameter(&seen, "message").as_deref(), Some("<b>p99 &lt; 2s &amp; more</b>"));
    assert_eq!(parameter(&seen, "html").as_deref(), Some("1"));
    assert_eq!((parameter(&seen, "retry").as_deref(), parameter(&seen, "ttl").as_deref()), (Some("90"), Some("90")));
    build(&config_with(&vendor.address.to_string(), ", monospace: true")).notify(&firing()).await.unwrap();
    assert_eq!(parameter(&vendor.last(), "monospace").as_deref(), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn texts_are_cut_and_an_empty_message_says_so() {
    let vendor = vendor().await;
    let long = "'{{ .CommonAnnotations.long }}'";
    let more = format!(", title: {long}, message: {long}, url: {long}");
    build(&config_with(&vendor.address.to_string(), &more)).notify(&with_long(&"ж".repeat(3000))).await.unwrap();
    let length = |name| parameter(&vendor.last(), name).unwrap().chars().count();
    assert_eq!((length("title"), length("message"), length("url")), (250, 1024, 512));
    build(&config_with(&vendor.address.to_string(), ", message: ' '")).notify(&firing()).await.unwrap();
    assert_eq!(parameter(&vendor.last(), "message").as_deref(), Some("(no details)"));
}

#[tokio::test(start_paused = true)]
async fn keys_from_files_are_templates_and_keep_their_white_space() {
    let vendor = vendor().await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("u"), "{{ .CommonLabels.job }}-key\n").unwrap();
    let list = format!(
        "pushover_configs: [{{user_key_file: '{}', token: t, http_config: {}}}]",
        dir.path().join("u").display(),
        through(&vendor.address.to_string())
    );
    build(&list).notify(&firing()).await.unwrap();
    assert_eq!(parameter(&vendor.last(), "user").as_deref(), Some("api-key\n"));
    is_unsendable(&*build("pushover_configs: [{user_key_file: /no/u, token: t}]"), &firing(), "/no/u").await;
}

#[tokio::test(start_paused = true)]
async fn it_behaves_when_the_vendor_does_not() {
    Conduct { config, ..STANDARD }.check().await;
}
