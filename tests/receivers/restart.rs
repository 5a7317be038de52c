//! What an integration keeps about a group survives a crash of the whole program.

use std::time::Duration;

use serde_json::json;

use crate::{
    support::{Server, dir_with, wait_for},
    tunnel::through,
    vendor::{Answer, Vendor},
};

#[test]
fn a_slack_message_is_still_edited_after_a_crash() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let posted = json!({"ok": true, "channel": "C042", "ts": "17.1"});
    let vendor = runtime.block_on(Vendor::start(move |_| Answer::status(200).json(posted.clone())));
    let dir = dir_with(&format!(
        "
route: {{receiver: team, group_by: [alertname], group_wait: 50ms, group_interval: 300ms}}
receivers:
  - name: team
    slack_configs:
      - api_url: https://slack.com/api/chat.postMessage
        channel: '#ops'
        update_message: true
        http_config: {}
",
        through(&vendor.address.to_string())
    ));
    let fire = |server: &Server, instance: &str| {
        server.post_alerts(&json!([{"labels": {"alertname": "High", "instance": instance}}]));
    };
    let requests = |count: usize| {
        wait_for("a request", Duration::from_secs(20), || (vendor.seen().len() >= count).then(|| vendor.last()))
    };

    let server = Server::start(dir.path(), &[]);
    fire(&server, "a");
    assert_eq!(requests(1).line(), "POST /api/chat.postMessage");
    // Told is what is on disk, not what was sent: the log entry is written behind the answer.
    crate::support::pass(Duration::from_millis(500));
    server.kill();

    let server = Server::start(dir.path(), &[]);
    fire(&server, "b");
    let update = requests(2);
    assert_eq!(update.line(), "POST /api/chat.update");
    assert_eq!((&update.json()["ts"], &update.json()["channel"]), (&json!("17.1"), &json!("C042")));
    server.stop();
}
