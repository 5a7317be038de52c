//! The whole integration against a mail server in this process: what is said on the wire, what a mail looks
//! like, and what each kind of failure is taken for.

mod dialogue;
mod failures;
mod form;
mod server;

use std::sync::Arc;

use chrono::{TimeZone, Utc};

use super::Email;
use crate::{
    alert::{Alert, Labels},
    clock::{Clock, Time},
    config::model::{EmailConfig, Secret, SecretSource, TlsConfig},
    notify::types::{Memory, Notification, Notifier, NotifyError, Reason},
    random::Random,
    template::Templates,
};
use server::Server;

/// Settings of a mail in the clear; tests change what they are about.
pub(super) fn settings() -> EmailConfig {
    EmailConfig {
        to: "ops@example.org".into(),
        from: "am@example.org".into(),
        smarthost_host: "127.0.0.1".into(),
        smarthost_port: "25".into(),
        hello: "mon.example.org".into(),
        auth_username: String::new(),
        auth_identity: String::new(),
        auth_password: None,
        auth_secret: None,
        headers: [("Subject".to_owned(), "High {{ .CommonLabels.job }}".to_owned())].into(),
        html: "<p>{{ .CommonLabels.job }}</p>".into(),
        text: String::new(),
        require_tls: false,
        force_implicit_tls: None,
        tls: TlsConfig::default(),
        threading: None,
    }
}

/// A secret given in place.
#[allow(clippy::unnecessary_wraps, reason = "as the settings have it")]
pub(super) fn secret(text: &str) -> Option<SecretSource> {
    Some(SecretSource::Inline(Secret(text.into())))
}

fn moment() -> Time {
    Utc.with_ymd_and_hms(2024, 5, 6, 7, 8, 9).unwrap()
}

/// One firing alert with the given `job`.
fn notification(job: &str) -> Notification {
    let labels = Labels::from_sorted(&[("alertname", "High"), ("job", job)]);
    let alert = Alert {
        labels: labels.clone(),
        annotations: Labels::default(),
        generator_url: "".into(),
        starts_at: moment(),
        ends_at: None,
        updated_at: moment(),
        timeout: false,
        period: 1,
        accepted_at: moment(),
        explicit: false,
        bounds: None,
    };
    Notification {
        group_key: "{}:{alertname=\"High\"}".into(),
        receiver: "team".into(),
        group_labels: labels.restricted(|name| name == "alertname"),
        route_labels: Labels::default(),
        alerts: vec![alert],
        fingerprints: Vec::new(),
        reason: Reason::FirstNotification,
        now: moment(),
        external_url: "http://am.example.org".into(),
        memory: Memory::new(),
    }
}

fn templates() -> Templates {
    Templates::load(&[]).unwrap()
}

/// One attempt to send a notification to `server`.
async fn send(server: &Server, config: EmailConfig) -> Result<(), NotifyError> {
    let port = if config.smarthost_port == "25" { server.port.to_string() } else { config.smarthost_port.clone() };
    let email = Email {
        config: EmailConfig { smarthost_port: port, ..config },
        templates: Arc::new(templates()),
        clock: Clock::simulated(moment()),
        random: Random::seeded(7),
        hostname: "node-1".to_owned(),
        rehearsal: None,
    };
    email.notify(&notification("api")).await.map(drop)
}
