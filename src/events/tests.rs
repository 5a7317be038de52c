//! Lines as the reference wrote them for the same events, and the ways they go.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use super::*;
use crate::{
    alert::{
        Alert, Labels,
        matcher::{MatchOp, Matcher, Matchers, ParseMode, parse_matchers},
    },
    config::{
        InhibitRule,
        model::{EventBatch, EventKafkaOutput, EventWebhookOutput, Secret},
    },
    httpconf::tests::support::{self, Answer, Server},
    silence::Silence,
};

fn time(text: &str) -> Time {
    text.parse().unwrap()
}

fn alert(ends_at: Option<&str>) -> Alert {
    Alert {
        labels: [("alertname", "A"), ("team", "a")].into_iter().collect(),
        annotations: [("summary", "s <x>")].into_iter().collect(),
        generator_url: "http://p".into(),
        starts_at: time("2026-11-24T13:07:55.725248373Z"),
        ends_at: ends_at.map(time),
        updated_at: time("2026-11-24T13:07:55.725248373Z"),
        timeout: false,
        period: 1,
        accepted_at: time("2026-11-24T13:07:55.725248373Z"),
        explicit: false,
        bounds: None,
    }
}

fn group() -> Arc<Group> {
    Arc::new(Group {
        key: "{}/{team=\"a\"}:{alertname=\"A\"}".into(),
        labels: [("alertname", "A")].into_iter().collect(),
        receiver: "hook".into(),
    })
}

fn matchers(text: &str) -> Matchers {
    Matchers::new(parse_matchers(ParseMode::Utf8, text).unwrap())
}

fn silence() -> Silence {
    Silence::with_matchers(
        "87d70261-681f-4228-914e-8be8f3ab81f7",
        vec![Matcher::new(MatchOp::Equal, "alertname", "Q").unwrap()],
        time("2026-11-24T13:07:55.764116364Z"),
        time("2027-01-01T00:00:00Z"),
        time("2026-11-24T13:07:55.764116Z"),
    )
}

/// What stands behind `"data":`.
fn data(event: &Event) -> String {
    let line = json::line(event, time("2026-11-24T13:07:57Z"), "vm", 0).unwrap();
    let line = String::from_utf8(line).unwrap();
    let head = "{\"@timestamp\":\"2026-11-24T13:07:57Z\",\"instance\":\"vm\",\"data\":";
    line.strip_prefix(head).and_then(|rest| rest.strip_suffix('}')).unwrap_or_else(|| panic!("{line}")).to_owned()
}

#[test]
fn every_event_is_written_as_the_reference_writes_it() {
    let details = r#"{"fingerprint":"11583389509607969619","name":"A","labels":{"labels":[{"key":"alertname","value":"A"},{"key":"team","value":"a"}]},"annotations":{"labels":[{"key":"summary","value":"s <x>"}]},"startsAt":"2026-11-24T13:07:55.725248373Z","endsAt":"2026-11-24T13:12:55.725248373Z"}"#;
    let info = r#""groupKey":"{}/{team=\"a\"}:{alertname=\"A\"}","groupLabels":{"labels":[{"key":"alertname","value":"A"}]},"groupId":"7ea14f7fb13028817050f14fe2ba1ef6a1b13b55ec4c4db17cafa62cf4525425","receiverName":"hook""#;
    let firing = alert(Some("2026-11-24T13:12:55.725248373Z"));
    let grouped =
        format!(r#"{{"alert":{{"hash":"17903433668815329364","details":{details}}},"groupInfo":{{{info}}}}}"#);
    assert_eq!(data(&Event::AlertCreated(firing.clone())), format!(r#"{{"alertCreated":{{"alert":{details}}}}}"#));
    let event = Event::AlertGrouped { alert: firing, group: group() };
    assert_eq!(data(&event), format!(r#"{{"alertGrouped":{grouped}}}"#));
    let over = alert(Some("2026-11-24T13:07:56Z"));
    let event = Event::AlertResolved { alert: over, group: group() };
    let resolved = grouped
        .replace(r#""endsAt":"2026-11-24T13:12:55.725248373Z""#, r#""endsAt":"2026-11-24T13:07:56Z","resolved":true"#);
    assert_eq!(data(&event), format!(r#"{{"alertResolved":{resolved}}}"#));

    let quiet = r#"{"id":"87d70261-681f-4228-914e-8be8f3ab81f7","matchers":[{"type":"TYPE_EQUAL","name":"alertname","pattern":"Q","rendered":"alertname=\"Q\""}],"startsAt":"2026-11-24T13:07:55.764116364Z","endsAt":"2027-01-01T00:00:00Z","updatedAt":"2026-11-24T13:07:55.764116Z","createdBy":"me","comment":"c","matcherSets":[{"matchers":[{"type":"TYPE_EQUAL","name":"alertname","pattern":"Q","rendered":"alertname=\"Q\""}]}]}"#;
    assert_eq!(data(&Event::SilenceCreated(silence())), format!(r#"{{"silenceCreated":{{"silence":{quiet}}}}}"#));
    assert_eq!(data(&Event::SilenceUpdated(silence())), format!(r#"{{"silenceUpdated":{{"silence":{quiet}}}}}"#));
    let labels: Labels = [("alertname", "Q")].into_iter().collect();
    let event = Event::SilenceMutedAlert { silence: Arc::new(silence()), alert: labels.fingerprint(), labels };
    let muted =
        r#""mutedAlert":{"labels":{"labels":[{"key":"alertname","value":"Q"}]},"fingerprint":"15172890767718971831"}"#;
    assert_eq!(data(&event), format!(r#"{{"silenceMutedAlert":{{"silence":{quiet},{muted}}}}}"#));
}

#[test]
fn inhibitions_notifications_start_and_end_are_written_as_the_reference_writes_them() {
    let rule = InhibitRule {
        name: String::new(),
        source: matchers("kind=host"),
        target: matchers("kind=~\"vm|x\""),
        equal: vec!["rack".to_owned()],
    };
    let labels: Labels = [("alertname", "Vm"), ("kind", "vm"), ("rack", "1")].into_iter().collect();
    let source = [("alertname", "Host"), ("kind", "host"), ("rack", "1")].into_iter().collect::<Labels>().fingerprint();
    let event = Event::InhibitionMutedAlert { rule: Arc::new(rule), alert: labels.fingerprint(), labels, source };
    assert_eq!(
        data(&event),
        r#"{"inhibitionMutedAlert":{"inhibitRules":[{"sourceMatchers":[{"type":"TYPE_EQUAL","name":"kind","pattern":"host","rendered":"kind=\"host\""}],"targetMatchers":[{"type":"TYPE_REGEXP","name":"kind","pattern":"vm|x","rendered":"kind=~\"vm|x\""}],"equalLabels":["rack"]}],"mutedAlert":{"labels":{"labels":[{"key":"alertname","value":"Vm"},{"key":"kind","value":"vm"},{"key":"rack","value":"1"}]},"fingerprint":"9821379043757126760"},"inhibitingFingerprints":["5288437431493462260"]}}"#
    );
    let told = alert(None);
    let hash = crate::nflog::AlertHash::of(&told.labels);
    let notification = Notification {
        group: group(),
        matchers: matchers("team=a").iter().cloned().collect(),
        group_uuid: "eeb39805-b6ed-4746-82ff-8e7fffb5a499".to_owned(),
        alerts: vec![told],
        firing: vec![hash],
        resolved: vec![],
        muted: vec![],
        repeat_interval: Duration::from_secs(14_400),
        reason: Reason::FirstNotification,
        flush: 1,
        integration: ("webhook", 0),
    };
    assert_eq!(
        data(&Event::Notification(Box::new(notification))),
        r#"{"notification":{"alerts":[{"hash":"17903433668815329364","details":{"fingerprint":"11583389509607969619","name":"A","labels":{"labels":[{"key":"alertname","value":"A"},{"key":"team","value":"a"}]},"annotations":{"labels":[{"key":"summary","value":"s <x>"}]},"startsAt":"2026-11-24T13:07:55.725248373Z","endsAt":"0001-01-01T00:00:00Z"}}],"firingAlerts":[{"hash":"17903433668815329364"}],"groupInfo":{"groupKey":"{}/{team=\"a\"}:{alertname=\"A\"}","groupLabels":{"labels":[{"key":"alertname","value":"A"}]},"groupId":"7ea14f7fb13028817050f14fe2ba1ef6a1b13b55ec4c4db17cafa62cf4525425","receiverName":"hook","matchers":[{"type":"TYPE_EQUAL","name":"team","pattern":"a","rendered":"team=\"a\""}],"groupUuid":"eeb39805-b6ed-4746-82ff-8e7fffb5a499"},"repeatInterval":"14400s","reason":"NOTIFY_REASON_FIRST_NOTIFICATION","flushId":"1","integration":{"name":"webhook"}}}"#
    );
    let startup = Event::Startup { version: "0.34.0", build_context: "(x)".to_owned() };
    assert_eq!(data(&startup), r#"{"alertmanagerStartupEvent":{"version":"0.34.0","buildContext":"(x)"}}"#);
    assert_eq!(data(&Event::Shutdown), r#"{"alertmanagerShutdownEvent":{}}"#);
    let line = json::line(&Event::Shutdown, time("2026-11-24T13:07:57.5Z"), "", 2).unwrap();
    assert_eq!(
        String::from_utf8(line).unwrap(),
        r#"{"@timestamp":"2026-11-24T13:07:57.500Z","data":{"alertmanagerShutdownEvent":{}},"clusterPosition":2}"#
    );
}

fn recorder() -> (Events, EventMetrics) {
    let metrics = EventMetrics::new(&Registry::new());
    (Events::start("vm", &Clock::system(), metrics.clone()), metrics)
}

fn files(paths: &[PathBuf]) -> EventRecorderConfig {
    EventRecorderConfig { files: paths.to_vec(), ..EventRecorderConfig::default() }
}

#[tokio::test]
async fn outputs_change_with_a_reload_and_nothing_is_made_without_any() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let read = |name: &str| std::fs::read_to_string(path(name)).unwrap().lines().count();
    let (events, metrics) = recorder();
    let options = support::options();
    events.record(|| unreachable!("nobody is told"));
    assert!(!events.is_recording());
    events.begin(Some(&files(&[path("a"), "/nowhere/b".into()])), &options).await;
    events.record(|| Event::Shutdown);
    events.record(|| Event::Shutdown);
    events.apply(Some(&files(&[path("c")])), &options).await.unwrap();
    events.record(|| Event::Shutdown);
    let refused = events.apply(Some(&files(&[path("d"), "/nowhere/b".into()])), &options).await.unwrap_err();
    assert!(refused.to_string().starts_with("file /nowhere/b: "), "{refused}");
    let kafka = EventKafkaOutput {
        brokers: vec!["b:1".into()],
        topic: "t".into(),
        client_id: String::new(),
        format: "json".into(),
        acks: "leader".into(),
        compression: "none".into(),
        buffer_size: 1,
        tls: None,
    };
    let kafka = EventRecorderConfig { kafkas: vec![kafka], ..EventRecorderConfig::default() };
    assert!(matches!(events.apply(Some(&kafka), &options).await, Err(OutputError::Kafka)));
    events.record(|| Event::Shutdown);
    events.close(Duration::from_secs(5)).await;
    assert_eq!((read("a"), read("c")), (2, 2));
    let name = format!("file:{}", path("c").display());
    let labels = ["alertmanager_shutdown_event", &name, "success"];
    assert_eq!(metrics.recorded.with_label_values(&labels).get(), 2);
    assert!(!events.is_recording());
}

fn webhook(url: &str, batch: Option<EventBatch>) -> EventRecorderConfig {
    let webhook = EventWebhookOutput {
        url: Secret(url.into()),
        http: support::plain(),
        timeout: Duration::from_secs(5),
        workers: 1,
        max_retries: 3,
        retry_backoff: Duration::from_millis(10),
        batch,
    };
    EventRecorderConfig { webhooks: vec![webhook], ..EventRecorderConfig::default() }
}

#[tokio::test]
async fn a_webhook_is_tried_again_and_gets_one_event_a_request_or_an_array() {
    let asked = AtomicUsize::new(0);
    let server = Server::start(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Answer::status(503),
        _ => Answer::ok(),
    });
    let server = server.await;
    let (events, _) = recorder();
    events.begin(Some(&webhook(&server.url("/?token=hidden"), None)), &support::options()).await;
    events.record(|| Event::Shutdown);
    events.record(|| Event::Shutdown);
    events.close(Duration::from_secs(5)).await;
    let bodies: Vec<serde_json::Value> =
        server.seen().iter().map(|request| serde_json::from_str(&request.body).unwrap()).collect();
    assert_eq!(bodies.len(), 3, "one of them was refused");
    assert_eq!(bodies[0], bodies[1]);
    assert!(bodies.iter().all(|body| body["data"]["alertmanagerShutdownEvent"].is_object()));

    let server = Server::start(|_| Answer::ok()).await;
    let (events, _) = recorder();
    let batch = EventBatch { max_events: 100, max_bytes: 1 << 20, flush_interval: Duration::from_secs(60) };
    events.begin(Some(&webhook(&server.url("/"), Some(batch))), &support::options()).await;
    events.record(|| Event::Shutdown);
    events.record(|| Event::Shutdown);
    events.close(Duration::from_secs(5)).await;
    let requests = server.seen();
    let body: serde_json::Value = serde_json::from_str(&requests[0].body).unwrap();
    assert_eq!((requests.len(), body.as_array().map(Vec::len)), (1, Some(2)));
}
