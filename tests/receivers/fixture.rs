//! Integrations built from configuration text, and notifications for them.

use std::{path::Path, sync::Arc};

use carillon::{
    alert::{Alert, Labels},
    clock::{Clock, Time},
    config::{self, LoadOptions},
    httpconf::{ClientOptions, DialMetrics, ProxyEnvironment},
    notify::{
        receivers::{self, BuildContext, BuildError},
        types::{Notification, Notifier, Reason},
    },
    random::Random,
    template::Templates,
};

/// Inside virtual time, this is when it begins.
pub const START: &str = "2024-05-06T09:00:00Z";

fn time(text: &str) -> Time {
    text.parse().unwrap()
}

/// The integration of one receiver; `list` is what stands below its name, on one line.
pub fn try_build(list: &str) -> Result<Box<dyn Notifier>, BuildError> {
    let text = format!("route: {{receiver: team}}\nreceivers:\n  - name: team\n    {list}\n");
    let loaded = config::parse(&text, Path::new("/"), &LoadOptions::default());
    let loaded = loaded.unwrap_or_else(|error| panic!("{error}\n{text}"));
    let clock = Clock::simulated(time(START));
    let context = BuildContext {
        templates: Arc::new(Templates::load(&[]).unwrap()),
        http: ClientOptions {
            user_agent: "Alertmanager/1.2.3".to_owned(),
            clock: clock.clone(),
            random: Random::seeded(7),
            dials: DialMetrics::unregistered().unwrap(),
            proxy_environment: ProxyEnvironment::default(),
            rehearsal: None,
        },
        clock,
        random: Random::seeded(1),
    };
    receivers::build(&loaded.config.receivers[0].integrations[0], &context)
}

pub fn build(list: &str) -> Box<dyn Notifier> {
    try_build(list).unwrap_or_else(|error| panic!("{error}"))
}

fn alert(instance: &str, ends_at: Option<Time>) -> Alert {
    Alert {
        labels: Labels::from_pairs([("alertname", "High"), ("job", "api"), ("instance", instance)]),
        annotations: Labels::from_pairs([("summary", "p99 < 2s & more")]),
        generator_url: "http://prom/graph".into(),
        starts_at: time("2024-05-06T07:08:09Z"),
        ends_at,
        updated_at: time("2024-05-06T07:08:09Z"),
        timeout: false,
        period: 1,
        accepted_at: time("2024-05-06T07:08:09Z"),
        explicit: false,
        bounds: None,
    }
}

fn notification(reason: Reason, alerts: Vec<Alert>) -> Notification {
    Notification {
        group_key: "{}:{alertname=\"High\"}".into(),
        receiver: "team".into(),
        group_labels: Labels::from_pairs([("alertname", "High")]),
        route_labels: Labels::default(),
        alerts,
        fingerprints: Vec::new(),
        reason,
        now: time(START),
        external_url: "http://am".into(),
        memory: Default::default(),
    }
}

/// One alert fires.
pub fn firing() -> Notification {
    notification(Reason::FirstNotification, vec![alert("a", None)])
}

/// A second one fires as well.
pub fn update() -> Notification {
    notification(Reason::NewAlertsAdded, vec![alert("a", None), alert("b", None)])
}

/// Both are over.
pub fn resolved() -> Notification {
    let end = Some(time("2024-05-06T08:09:10Z"));
    notification(Reason::AllAlertsResolved, vec![alert("a", end), alert("b", end)])
}

/// One alert with this annotation `long`.
pub fn with_long(text: &str) -> Notification {
    let mut notification = firing();
    notification.alerts[0].annotations = Labels::from_pairs([("long", text)]);
    notification
}
