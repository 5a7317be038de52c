//! Events as JSON: protobuf's mapping of the reference's messages (reference/configuration.md 10). What has its
//! default value is left out, 64-bit numbers are texts.

use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use super::model::{Event, Group, Notification, Reason};
use crate::{
    alert::{
        Alert, Fingerprint, Labels,
        matcher::{MatchOp, Matcher},
    },
    clock::Time,
    config::InhibitRule,
    nflog::AlertHash,
    silence::Silence,
};

/// One event, when and where it was recorded: a line of JSON without the line's end.
pub fn line(event: &Event, at: Time, instance: &str, position: u32) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Envelope { timestamp: Stamp(at), instance, data: data(event, at), cluster_position: position })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(rename = "@timestamp")]
    timestamp: Stamp,
    #[serde(skip_serializing_if = "str::is_empty")]
    instance: &'a str,
    data: Data<'a>,
    #[serde(skip_serializing_if = "is_zero")]
    cluster_position: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Data<'a> {
    #[serde(rename_all = "camelCase")]
    AlertmanagerStartupEvent {
        version: &'a str,
        build_context: &'a str,
    },
    AlertmanagerShutdownEvent {},
    AlertCreated {
        alert: AlertJson<'a>,
    },
    #[serde(rename_all = "camelCase")]
    AlertResolved {
        alert: Grouped<'a>,
        group_info: GroupInfo<'a>,
    },
    #[serde(rename_all = "camelCase")]
    AlertGrouped {
        alert: Grouped<'a>,
        group_info: GroupInfo<'a>,
    },
    Notification(NotificationJson<'a>),
    SilenceCreated {
        silence: SilenceJson<'a>,
    },
    SilenceUpdated {
        silence: SilenceJson<'a>,
    },
    #[serde(rename_all = "camelCase")]
    SilenceMutedAlert {
        silence: SilenceJson<'a>,
        muted_alert: MutedAlert<'a>,
    },
    #[serde(rename_all = "camelCase")]
    InhibitionMutedAlert {
        inhibit_rules: [RuleJson<'a>; 1],
        muted_alert: MutedAlert<'a>,
        inhibiting_fingerprints: [Number; 1],
    },
}

fn data(event: &Event, at: Time) -> Data<'_> {
    match event {
        Event::Startup { version, build_context } => Data::AlertmanagerStartupEvent { version, build_context },
        Event::Shutdown => Data::AlertmanagerShutdownEvent {},
        Event::AlertCreated(alert) => Data::AlertCreated { alert: AlertJson::of(alert, at) },
        Event::AlertGrouped { alert, group } => {
            Data::AlertGrouped { alert: Grouped::of(alert, at), group_info: GroupInfo::of(group) }
        }
        Event::AlertResolved { alert, group } => {
            Data::AlertResolved { alert: Grouped::of(alert, at), group_info: GroupInfo::of(group) }
        }
        Event::Notification(notification) => Data::Notification(NotificationJson::of(notification, at)),
        Event::SilenceCreated(silence) => Data::SilenceCreated { silence: SilenceJson::of(silence) },
        Event::SilenceUpdated(silence) => Data::SilenceUpdated { silence: SilenceJson::of(silence) },
        Event::SilenceMutedAlert { silence, alert, labels } => {
            Data::SilenceMutedAlert { silence: SilenceJson::of(silence), muted_alert: MutedAlert::of(*alert, labels) }
        }
        Event::InhibitionMutedAlert { rule, alert, labels, source } => Data::InhibitionMutedAlert {
            inhibit_rules: [RuleJson::of(rule)],
            muted_alert: MutedAlert::of(*alert, labels),
            inhibiting_fingerprints: [Number(source.0)],
        },
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AlertJson<'a> {
    fingerprint: Number,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    labels: Set<'a>,
    annotations: Set<'a>,
    starts_at: Stamp,
    /// Go's zero time where there is none.
    ends_at: Stamp,
    #[serde(skip_serializing_if = "is_false")]
    resolved: bool,
}

impl<'a> AlertJson<'a> {
    fn of(alert: &'a Alert, at: Time) -> Self {
        AlertJson {
            fingerprint: Number(alert.fingerprint().0),
            name: alert.name(),
            labels: Set(&alert.labels),
            annotations: Set(&alert.annotations),
            starts_at: Stamp(alert.starts_at),
            ends_at: Stamp(alert.ends_at.unwrap_or_else(go_zero)),
            resolved: alert.resolved_at(at),
        }
    }
}

#[derive(Serialize)]
struct Grouped<'a> {
    hash: Number,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<AlertJson<'a>>,
}

impl<'a> Grouped<'a> {
    fn of(alert: &'a Alert, at: Time) -> Self {
        Grouped { hash: Number(AlertHash::of(&alert.labels).0), details: Some(AlertJson::of(alert, at)) }
    }

    fn named(hash: AlertHash) -> Self {
        Grouped { hash: Number(hash.0), details: None }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupInfo<'a> {
    group_key: &'a str,
    group_labels: Set<'a>,
    /// SHA-256 of the key.
    group_id: String,
    receiver_name: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    matchers: Vec<MatcherJson<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    group_uuid: &'a str,
}

impl<'a> GroupInfo<'a> {
    fn of(group: &'a Group) -> Self {
        let sum = Sha256::digest(group.key.as_bytes());
        GroupInfo {
            group_key: &group.key,
            group_labels: Set(&group.labels),
            group_id: sum.iter().map(|byte| format!("{byte:02x}")).collect(),
            receiver_name: &group.receiver,
            matchers: Vec::new(),
            group_uuid: "",
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NotificationJson<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    alerts: Vec<Grouped<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    firing_alerts: Vec<Grouped<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resolved_alerts: Vec<Grouped<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    muted_alerts: Vec<Grouped<'a>>,
    group_info: GroupInfo<'a>,
    repeat_interval: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    flush_id: Number,
    integration: IntegrationJson,
}

#[derive(Serialize)]
struct IntegrationJson {
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<Number>,
}

impl<'a> NotificationJson<'a> {
    fn of(notification: &'a Notification, at: Time) -> Self {
        let named = |hashes: &[AlertHash]| hashes.iter().map(|hash| Grouped::named(*hash)).collect();
        let (name, index) = notification.integration;
        NotificationJson {
            alerts: notification.alerts.iter().map(|alert| Grouped::of(alert, at)).collect(),
            firing_alerts: named(&notification.firing),
            resolved_alerts: named(&notification.resolved),
            muted_alerts: named(&notification.muted),
            group_info: GroupInfo {
                matchers: notification.matchers.iter().map(MatcherJson::of).collect(),
                group_uuid: &notification.group_uuid,
                ..GroupInfo::of(&notification.group)
            },
            repeat_interval: seconds(notification.repeat_interval),
            reason: reason(notification.reason),
            flush_id: Number(notification.flush),
            integration: IntegrationJson { name, index: (index > 0).then_some(Number(index as u64)) },
        }
    }
}

fn reason(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::Unspecified => None,
        Reason::FirstNotification => Some("NOTIFY_REASON_FIRST_NOTIFICATION"),
        Reason::NewAlerts => Some("NOTIFY_REASON_NEW_ALERTS_IN_GROUP"),
        Reason::SomeResolved => Some("NOTIFY_REASON_NEW_RESOLVED_ALERTS"),
        Reason::AllResolved => Some("NOTIFY_REASON_ALL_ALERTS_RESOLVED"),
        Reason::Repeat => Some("NOTIFY_REASON_REPEAT_INTERVAL_ELAPSED"),
    }
}

#[derive(Serialize)]
struct MatcherJson<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pattern: &'a str,
    rendered: String,
}

impl<'a> MatcherJson<'a> {
    fn of(matcher: &'a Matcher) -> Self {
        let kind = match matcher.op() {
            MatchOp::Equal => "TYPE_EQUAL",
            MatchOp::Regex => "TYPE_REGEXP",
            MatchOp::NotEqual => "TYPE_NOT_EQUAL",
            MatchOp::NotRegex => "TYPE_NOT_REGEXP",
        };
        MatcherJson { kind, name: matcher.name(), pattern: matcher.value(), rendered: matcher.to_string() }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SilenceJson<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    matchers: Vec<MatcherJson<'a>>,
    starts_at: Stamp,
    ends_at: Stamp,
    updated_at: Stamp,
    #[serde(skip_serializing_if = "str::is_empty")]
    created_by: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    comment: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    matcher_sets: Vec<MatcherSet<'a>>,
}

#[derive(Serialize)]
struct MatcherSet<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    matchers: Vec<MatcherJson<'a>>,
}

impl<'a> SilenceJson<'a> {
    fn of(silence: &'a Silence) -> Self {
        let matchers = |set: &'a [Matcher]| set.iter().map(MatcherJson::of).collect::<Vec<_>>();
        SilenceJson {
            id: silence.id.as_str(),
            matchers: silence.matcher_sets.first().map_or_else(Vec::new, |set| matchers(set)),
            starts_at: Stamp(silence.starts_at),
            ends_at: Stamp(silence.ends_at),
            updated_at: Stamp(silence.updated_at),
            created_by: &silence.created_by,
            comment: &silence.comment,
            matcher_sets: silence.matcher_sets.iter().map(|set| MatcherSet { matchers: matchers(set) }).collect(),
        }
    }
}

#[derive(Serialize)]
struct MutedAlert<'a> {
    labels: Set<'a>,
    fingerprint: Number,
}

impl<'a> MutedAlert<'a> {
    fn of(alert: Fingerprint, labels: &'a Labels) -> Self {
        MutedAlert { labels: Set(labels), fingerprint: Number(alert.0) }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RuleJson<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    source_matchers: Vec<MatcherJson<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    target_matchers: Vec<MatcherJson<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    equal_labels: Vec<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
}

impl<'a> RuleJson<'a> {
    fn of(rule: &'a InhibitRule) -> Self {
        let mut equal: Vec<&str> = rule.equal.iter().map(String::as_str).collect();
        equal.sort_unstable();
        RuleJson {
            source_matchers: rule.source.iter().map(MatcherJson::of).collect(),
            target_matchers: rule.target.iter().map(MatcherJson::of).collect(),
            equal_labels: equal,
            name: &rule.name,
        }
    }
}

/// `{"labels":[{"key":…,"value":…}]}`.
struct Set<'a>(&'a Labels);

impl Serialize for Set<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Pair<'a> {
            #[serde(skip_serializing_if = "str::is_empty")]
            key: &'a str,
            #[serde(skip_serializing_if = "str::is_empty")]
            value: &'a str,
        }
        #[derive(Serialize)]
        struct Pairs<'a> {
            #[serde(skip_serializing_if = "Vec::is_empty")]
            labels: Vec<Pair<'a>>,
        }
        let labels = self.0.iter().map(|(key, value)| Pair { key, value }).collect();
        Pairs { labels }.serialize(serializer)
    }
}

/// A 64-bit number as text.
struct Number(u64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A moment with as many digits as it needs: none, three, six or nine.
struct Stamp(Time);

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let nanos = self.0.timestamp_subsec_nanos().min(999_999_999);
        serializer.collect_str(&format_args!("{}{}Z", self.0.format("%Y-%m-%dT%H:%M:%S"), Fraction(nanos)))
    }
}

/// Nanoseconds behind the point.
struct Fraction(u32);

impl std::fmt::Display for Fraction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            0 => Ok(()),
            nanos if nanos % 1_000_000 == 0 => write!(f, ".{:03}", nanos / 1_000_000),
            nanos if nanos % 1_000 == 0 => write!(f, ".{:06}", nanos / 1_000),
            nanos => write!(f, ".{nanos:09}"),
        }
    }
}

/// A duration in protobuf's form: `14400s`.
fn seconds(duration: std::time::Duration) -> String {
    format!("{}{}s", duration.as_secs(), Fraction(duration.subsec_nanos()))
}

fn go_zero() -> Time {
    chrono::NaiveDate::from_ymd_opt(1, 1, 1)
        .and_then(|day| day.and_hms_opt(0, 0, 0))
        .map_or(Time::UNIX_EPOCH, |time| time.and_utc())
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde wants it")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde wants it")]
fn is_false(flag: &bool) -> bool {
    !*flag
}
