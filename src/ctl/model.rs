//! What the server tells, as far as commands look at it. The rest is kept as it came ([`Item::raw`]), so that JSON
//! goes out as it came in, whatever a newer server adds.

use std::collections::BTreeMap;

use chrono::{DateTime, FixedOffset};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::{
    alert::{
        matcher::{MatchOp, Matcher},
        text::quote,
    },
    template::gotime::Moment,
};

/// A value, and the text it was read from.
pub struct Item<T> {
    pub raw: Box<RawValue>,
    pub value: T,
}

impl<T: DeserializeOwned> Item<T> {
    pub fn read(raw: Box<RawValue>) -> Result<Self, serde_json::Error> {
        let value = serde_json::from_str(raw.get())?;
        Ok(Item { raw, value })
    }
}

/// A moment with the zone in which it came.
#[derive(Clone, Copy, Debug)]
pub struct When(pub DateTime<FixedOffset>);

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        DateTime::parse_from_rfc3339(&text).map(When).map_err(serde::de::Error::custom)
    }
}

impl When {
    /// By a Go layout.
    pub fn format(self, layout: &str) -> String {
        Moment::from_offset(self.0).format(layout)
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    pub starts_at: When,
    pub ends_at: When,
    #[serde(default, rename = "generatorURL")]
    pub generator_url: String,
    pub status: AlertStatus,
}

#[derive(Clone, Debug, Deserialize)]
pub struct AlertStatus {
    pub state: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Silence {
    pub id: String,
    #[serde(default)]
    pub matchers: Vec<SilenceMatcher>,
    pub starts_at: When,
    pub ends_at: When,
    pub updated_at: When,
    #[serde(default)]
    pub created_by: String,
    #[serde(default)]
    pub comment: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SilenceMatcher {
    pub name: String,
    pub value: String,
    #[serde(default)]
    pub is_regex: bool,
    #[serde(default = "yes")]
    pub is_equal: bool,
}

fn yes() -> bool {
    true
}

impl SilenceMatcher {
    /// As matchers are written everywhere. One that this program cannot read is shown nevertheless.
    pub fn text(&self) -> String {
        let op = MatchOp::from_flags(self.is_regex, self.is_equal);
        Matcher::new(op, self.name.as_str(), self.value.as_str())
            .map_or_else(|_| format!("{}{op}{}", self.name, quote(&self.value)), |matcher| matcher.to_string())
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub cluster: Box<RawValue>,
    pub config: StatusConfig,
    #[serde(default)]
    pub uptime: String,
    #[serde(default, rename = "versionInfo")]
    pub version: Version,
}

#[derive(Clone, Debug, Deserialize)]
pub struct StatusConfig {
    #[serde(default)]
    pub original: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Version {
    pub branch: String,
    pub build_date: String,
    pub build_user: String,
    pub go_version: String,
    pub revision: String,
    pub version: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Cluster {
    pub name: String,
    pub status: String,
    pub peers: Vec<Peer>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Peer {
    pub name: String,
    pub address: String,
}

/// What came of a test of a receiver.
#[derive(Clone, Debug, Deserialize)]
pub struct TestReport {
    pub attempts: Vec<TestAttempt>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct TestAttempt {
    pub integration: String,
    pub index: usize,
    pub attempt: usize,
    pub outcome: String,
    #[serde(default)]
    pub message: String,
    #[serde(default)]
    pub seconds: f64,
}

impl Status {
    /// The cluster, as far as any Alertmanager tells it.
    pub fn cluster(&self) -> Result<Cluster, serde_json::Error> {
        serde_json::from_str(self.cluster.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_in_the_zone_it_came_in() {
        let when: When = serde_json::from_str("\"2026-11-24T10:00:00.123+02:00\"").unwrap();
        assert_eq!(when.format("2006-01-02 15:04:05 MST"), "2026-11-24 10:00:00 +0200");
        let when: When = serde_json::from_str("\"2026-11-24T10:00:00.000Z\"").unwrap();
        assert_eq!(when.format("2006-01-02 15:04:05 MST"), "2026-11-24 10:00:00 UTC");
    }

    #[test]
    fn matchers_that_cannot_be_read_are_shown() {
        let matcher = |value: &str, is_regex| {
            SilenceMatcher { name: "a".into(), value: value.into(), is_regex, is_equal: true }.text()
        };
        assert_eq!(matcher("b", false), "a=\"b\"");
        assert_eq!(matcher("(", true), "a=~\"(\"");
    }
}
