//! The generic message: what a webhook without a `payload` sends (reference/receivers.md 1).
//! Written field by field into one buffer; nothing is copied first.

use crate::{
    alert::{Alert, Fingerprint, Labels, text::push_rfc3339_nano},
    clock::Time,
    notify::{
        receivers::{
            json::{self, Object, push_pairs, push_text},
            text::quote_meta,
        },
        types::Notification,
    },
};

/// Rough size of one alert, to have the buffer grow seldom.
const ALERT_BYTES: usize = 900;
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// The message about the first `max_alerts` alerts (all if 0), as a request body. What is cut counts as
/// truncated and shows nowhere else: status and common labels are those of the alerts that are left.
#[must_use]
pub fn generic(notification: &Notification, max_alerts: u64, version: &str) -> String {
    generic_listing(notification, max_alerts, usize::MAX, version)
}

/// The same message, of whose alerts only the first `listed` are in the list; all else is as if they all were.
#[must_use]
pub fn generic_listing(notification: &Notification, max_alerts: u64, listed: usize, version: &str) -> String {
    let (alerts, truncated) = first_alerts(&notification.alerts, max_alerts);
    json::body(1024 + alerts.len().min(listed) * ALERT_BYTES, |out| {
        let mut root = json::object(out);
        root.text("receiver", &quote_meta(&notification.receiver));
        root.text("status", status(alerts, notification.now));
        let mut list = root.array("alerts");
        for (fingerprint, alert) in notification.fingerprinted().take(alerts.len().min(listed)) {
            push_alert(list.object(), alert, fingerprint, notification.now);
        }
        list.end();
        root.text("notification_reason", notification.reason.as_str());
        root.labels("groupLabels", &notification.group_labels);
        push_common(root.key("commonLabels"), alerts, |alert| &alert.labels);
        push_common(root.key("commonAnnotations"), alerts, |alert| &alert.annotations);
        root.labels("routeLabels", &notification.route_labels);
        root.text("externalURL", &notification.external_url);
        root.text("version", version);
        root.text("groupKey", &notification.group_key);
        root.integer("truncatedAlerts", truncated as u64);
        root.end();
    })
}

/// The alerts that are kept, and how many are not.
#[must_use]
pub fn first_alerts(alerts: &[Alert], max: u64) -> (&[Alert], usize) {
    match usize::try_from(max) {
        Ok(max) if max > 0 && max < alerts.len() => (alerts.get(..max).unwrap_or(alerts), alerts.len() - max),
        _ => (alerts, 0),
    }
}

fn status(alerts: &[Alert], now: Time) -> &'static str {
    if alerts.iter().any(|alert| !alert.resolved_at(now)) { "firing" } else { "resolved" }
}

fn push_alert(mut object: Object<'_>, alert: &Alert, fingerprint: Fingerprint, now: Time) {
    let ends_at = alert.ends_at.filter(|end| *end <= now);
    object.text("status", if ends_at.is_some() { "resolved" } else { "firing" });
    object.labels("labels", &alert.labels);
    object.labels("annotations", &alert.annotations);
    push_time(object.key("startsAt"), Some(alert.starts_at));
    push_time(object.key("endsAt"), ends_at);
    object.text("generatorURL", &alert.generator_url);
    push_fingerprint(object.key("fingerprint"), fingerprint);
    object.end();
}

fn push_time(out: &mut String, time: Option<Time>) {
    match time {
        Some(time) => {
            out.push('"');
            push_rfc3339_nano(out, time);
            out.push('"');
        }
        None => push_text(out, ZERO_TIME),
    }
}

fn push_fingerprint(out: &mut String, fingerprint: Fingerprint) {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    out.push('"');
    for byte in fingerprint.0.to_be_bytes() {
        out.extend([byte >> 4, byte & 0xF].map(|digit| DIGITS[usize::from(digit)]));
    }
    out.push('"');
}

/// What all alerts have alike. A missing name is as good as an empty value, as in Go's maps.
fn push_common(out: &mut String, alerts: &[Alert], of: impl Fn(&Alert) -> &Labels) {
    let Some((first, others)) = alerts.split_first() else {
        out.push_str("{}");
        return;
    };
    let labels = of(first);
    let is_common = |place: usize, name: &str, value: &str| {
        others.iter().map(&of).all(|other| {
            // Alerts of a group nearly always have the same names.
            let theirs = if other.shares_names(labels) { other.value_at(place) } else { other.get(name) };
            theirs.unwrap_or("") == value
        })
    };
    let common = labels.iter().enumerate().filter(|(place, (name, value))| is_common(*place, name, value));
    push_pairs(out, common.map(|(_, pair)| pair));
}
