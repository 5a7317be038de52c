//! What a notification shows to its templates: the value of `.` at the top.

use std::sync::Arc;

use chrono::DateTime;
use serde::Deserialize;

use super::{
    TemplateError,
    gotime::{self, Moment},
    json, limits,
    value::{ListKind, Value},
};
use crate::{
    alert::{Alert, Labels},
    clock::Time,
    notify::types::Notification,
};

/// The data of one notification. Made once, rendered many times; cheap to clone.
#[derive(Clone, Debug)]
pub struct Data {
    /// With regular-expression characters escaped, as templates see it.
    pub receiver: Arc<str>,
    pub status: Arc<str>,
    /// A list of alerts, as a value.
    alerts: Value,
    pub notification_reason: Arc<str>,
    pub group_labels: Labels,
    pub common_labels: Labels,
    pub common_annotations: Labels,
    pub route_labels: Labels,
    pub external_url: Arc<str>,
}

/// One alert as templates see it.
#[derive(Clone, Debug)]
pub struct AlertData {
    pub status: Arc<str>,
    pub labels: Labels,
    pub annotations: Labels,
    pub starts_at: Moment,
    /// Go's zero time while it fires.
    pub ends_at: Moment,
    pub generator_url: Arc<str>,
    pub fingerprint: Arc<str>,
}

impl Data {
    /// From a notification, whose alerts are already those to be told.
    #[must_use]
    pub fn from_notification(notification: &Notification) -> Self {
        let alerts: Vec<AlertData> =
            notification.alerts.iter().map(|alert| AlertData::new(alert, notification.now)).collect();
        Data {
            receiver: Arc::from(regex_quoted(&notification.receiver)),
            status: Arc::from(notification.status()),
            notification_reason: Arc::from(notification.reason.as_str()),
            group_labels: notification.group_labels.clone(),
            common_labels: common(notification.alerts.iter().map(|alert| &alert.labels)),
            common_annotations: common(notification.alerts.iter().map(|alert| &alert.annotations)),
            route_labels: notification.route_labels.clone(),
            external_url: Arc::clone(&notification.external_url),
            alerts: alert_list(alerts),
        }
    }

    /// From the JSON form, as `template render` reads it. What is missing is empty.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        let data: JsonData = serde_json::from_str(text)?;
        Ok(Data {
            receiver: data.receiver.into(),
            status: data.status.into(),
            notification_reason: data.notification_reason.into(),
            group_labels: data.group_labels.into_labels(),
            common_labels: data.common_labels.into_labels(),
            common_annotations: data.common_annotations.into_labels(),
            route_labels: data.route_labels.into_labels(),
            external_url: data.external_url.into(),
            alerts: alert_list(data.alerts.unwrap_or_default().into_iter().map(JsonAlert::into_alert).collect()),
        })
    }

    /// The JSON form, HTML-safe, without a newline: what `toJson .` gives and webhooks begin with.
    pub fn to_json(&self) -> Result<String, TemplateError> {
        json::to_json(&Value::Data(Arc::new(self.clone())), limits::TEXT_BYTES_MAX).map_err(TemplateError::new)
    }

    /// What route labels are rendered against: the group's data before anybody knows why it is told.
    pub(super) fn before_route_labels(&self) -> Self {
        Data { notification_reason: Arc::from("unknown"), route_labels: Labels::default(), ..self.clone() }
    }

    /// The fields in the order in which they print.
    pub(super) fn fields(&self) -> [(&'static str, Value); 9] {
        [
            ("Receiver", Value::Text(Arc::clone(&self.receiver))),
            ("Status", Value::Text(Arc::clone(&self.status))),
            ("Alerts", self.alerts.clone()),
            ("NotificationReason", Value::Text(Arc::clone(&self.notification_reason))),
            ("GroupLabels", Value::Kv(self.group_labels.clone())),
            ("CommonLabels", Value::Kv(self.common_labels.clone())),
            ("CommonAnnotations", Value::Kv(self.common_annotations.clone())),
            ("RouteLabels", Value::Kv(self.route_labels.clone())),
            ("ExternalURL", Value::Text(Arc::clone(&self.external_url))),
        ]
    }
}

/// The data of nothing: empty texts, no alerts.
impl Default for Data {
    fn default() -> Self {
        let none: Arc<str> = Arc::from("");
        Data {
            receiver: Arc::clone(&none),
            status: Arc::clone(&none),
            alerts: alert_list(Vec::new()),
            notification_reason: Arc::clone(&none),
            group_labels: Labels::default(),
            common_labels: Labels::default(),
            common_annotations: Labels::default(),
            route_labels: Labels::default(),
            external_url: none,
        }
    }
}

impl AlertData {
    fn new(alert: &Alert, now: Time) -> Self {
        AlertData {
            status: Arc::from(if alert.resolved_at(now) { "resolved" } else { "firing" }),
            labels: alert.labels.clone(),
            annotations: alert.annotations.clone(),
            starts_at: Moment::utc(alert.starts_at),
            ends_at: Moment::utc(alert.ends_at.unwrap_or_else(gotime::zero_time)),
            generator_url: Arc::clone(&alert.generator_url),
            fingerprint: Arc::from(alert.fingerprint().to_string()),
        }
    }

    pub(super) fn fields(&self) -> [(&'static str, Value); 7] {
        [
            ("Status", Value::Text(Arc::clone(&self.status))),
            ("Labels", Value::Kv(self.labels.clone())),
            ("Annotations", Value::Kv(self.annotations.clone())),
            ("StartsAt", Value::Time(self.starts_at.clone())),
            ("EndsAt", Value::Time(self.ends_at.clone())),
            ("GeneratorURL", Value::Text(Arc::clone(&self.generator_url))),
            ("Fingerprint", Value::Text(Arc::clone(&self.fingerprint))),
        ]
    }
}

fn alert_list(alerts: Vec<AlertData>) -> Value {
    Value::flat_list(ListKind::Alerts, alerts.into_iter().map(|alert| Value::Alert(Arc::new(alert))).collect())
}

/// The pairs that all sets have alike.
fn common<'a>(mut sets: impl Iterator<Item = &'a Labels>) -> Labels {
    let Some(first) = sets.next() else {
        return Labels::default();
    };
    let mut shared: Vec<(&str, &str)> = first.iter().collect();
    for set in sets {
        if shared.is_empty() {
            break;
        }
        shared.retain(|(name, value)| set.get(name) == Some(value));
    }
    Labels::from_sorted(&shared)
}

/// `regexp.QuoteMeta`.
fn regex_quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JsonData {
    receiver: String,
    status: String,
    alerts: Option<Vec<JsonAlert>>,
    notification_reason: String,
    #[serde(rename = "groupLabels")]
    group_labels: JsonLabels,
    #[serde(rename = "commonLabels")]
    common_labels: JsonLabels,
    #[serde(rename = "commonAnnotations")]
    common_annotations: JsonLabels,
    #[serde(rename = "routeLabels")]
    route_labels: JsonLabels,
    #[serde(rename = "externalURL")]
    external_url: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct JsonAlert {
    status: String,
    labels: JsonLabels,
    annotations: JsonLabels,
    starts_at: Option<DateTime<chrono::FixedOffset>>,
    ends_at: Option<DateTime<chrono::FixedOffset>>,
    #[serde(rename = "generatorURL")]
    generator_url: String,
    fingerprint: String,
}

#[derive(Default, Deserialize)]
struct JsonLabels(Option<std::collections::BTreeMap<String, String>>);

impl JsonLabels {
    fn into_labels(self) -> Labels {
        Labels::from_pairs(self.0.unwrap_or_default())
    }
}

impl JsonAlert {
    fn into_alert(self) -> AlertData {
        let moment = |at: Option<DateTime<_>>| at.map_or_else(|| Moment::utc(gotime::zero_time()), Moment::from_offset);
        AlertData {
            status: self.status.into(),
            labels: self.labels.into_labels(),
            annotations: self.annotations.into_labels(),
            starts_at: moment(self.starts_at),
            ends_at: moment(self.ends_at),
            generator_url: self.generator_url.into(),
            fingerprint: self.fingerprint.into(),
        }
    }
}
