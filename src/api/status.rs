//! `GET /status`, and the state of the cluster as the API shows it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::TimeDelta;
use http::StatusCode;

use super::{
    Api,
    answer::{Answer, Body, json_body},
    json::{push_array, push_string, push_time},
};
use crate::{clock::Time, metrics::BuildInfo};

/// The cluster at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterStatus {
    /// Own name; `None` without a cluster.
    pub name: Option<String>,
    pub settled: bool,
    /// Members with this node, alive or suspect, by name.
    pub peers: Vec<PeerStatus>,
    /// All known ones in detail: ours alone, under a key of its own.
    pub members: Vec<MemberStatus>,
}

/// How one member is seen from here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "as they are shown")]
pub struct MemberStatus {
    pub name: String,
    pub address: String,
    /// Empty as long as it is not known.
    pub version: String,
    pub state: &'static str,
    pub is_self: bool,
    /// Among the live ones.
    pub position: Option<u64>,
    /// Since states were last compared.
    pub last_exchange: Option<Duration>,
    pub round_trip: Option<Duration>,
    /// Its clock minus the own one.
    pub clock_offset: Option<TimeDelta>,
    pub unacknowledged: u64,
    /// `None`: not known yet.
    pub udp: Option<bool>,
    pub tcp: Option<bool>,
}

impl MemberStatus {
    fn push(&self, out: &mut Vec<u8>) {
        let mut text = |key: &str, value: &str| {
            out.extend_from_slice(key.as_bytes());
            push_string(out, value);
        };
        text("{\"name\":", &self.name);
        text(",\"address\":", &self.address);
        text(",\"state\":", self.state);
        if !self.version.is_empty() {
            text(",\"version\":", &self.version);
        }
        let seconds = |duration: Duration| format!("{:.3}", duration.as_secs_f64());
        let offset = self.clock_offset.map(|offset| format!("{}", offset.num_milliseconds()));
        let numbers = [
            ("self", Some(self.is_self.to_string())),
            ("position", self.position.map(|position| position.to_string())),
            ("lastExchangeSeconds", self.last_exchange.map(seconds)),
            ("roundTripSeconds", self.round_trip.map(|time| format!("{:.6}", time.as_secs_f64()))),
            ("clockOffsetMilliseconds", offset),
            ("unacknowledgedDeltas", (!self.is_self).then(|| self.unacknowledged.to_string())),
            ("udp", self.udp.filter(|_| !self.is_self).map(|works| works.to_string())),
            ("tcp", self.tcp.filter(|_| !self.is_self).map(|works| works.to_string())),
        ];
        for (key, value) in numbers {
            if let Some(value) = value {
                out.extend_from_slice(format!(",\"{key}\":{value}").as_bytes());
            }
        }
        out.push(b'}');
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    pub name: String,
    /// `ip:port`.
    pub address: String,
}

impl ClusterStatus {
    fn push(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        if let Some(name) = &self.name {
            out.extend_from_slice(b"\"name\":");
            push_string(out, name);
            out.push(b',');
        }
        out.extend_from_slice(b"\"peers\":");
        push_array(out, &self.peers, |out, peer| {
            out.extend_from_slice(b"{\"address\":");
            push_string(out, &peer.address);
            out.extend_from_slice(b",\"name\":");
            push_string(out, &peer.name);
            out.push(b'}');
        });
        out.extend_from_slice(b",\"status\":");
        push_string(
            out,
            match (&self.name, self.settled) {
                (None, _) => "disabled",
                (Some(_), false) => "settling",
                (Some(_), true) => "ready",
            },
        );
        if !self.members.is_empty() {
            out.extend_from_slice(b",\"members\":");
            push_array(out, &self.members, |out, member| member.push(out));
        }
        out.push(b'}');
    }
}

/// Everything of the answer that follows the cluster, kept as long as the configuration stays the same.
#[derive(Default)]
pub(super) struct StatusText(Mutex<Option<Kept>>);

/// The configuration, and the text made of it.
type Kept = (Arc<str>, Arc<[u8]>);

impl StatusText {
    fn get(&self, original: &Arc<str>, make: impl FnOnce() -> Vec<u8>) -> Arc<[u8]> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((of, text)) if Arc::ptr_eq(of, original) => Arc::clone(text),
            _ => {
                let text: Arc<[u8]> = make().into();
                *kept = Some((Arc::clone(original), Arc::clone(&text)));
                text
            }
        }
    }
}

fn rest(original: &str, started_at: Time, build: BuildInfo) -> Vec<u8> {
    let mut out = Vec::with_capacity(original.len() + original.len() / 8 + 256);
    out.extend_from_slice(b",\"config\":{\"original\":");
    push_string(&mut out, original);
    out.extend_from_slice(b"},\"uptime\":");
    push_time(&mut out, started_at);
    out.extend_from_slice(b",\"versionInfo\":{");
    for (index, (name, value)) in [
        ("branch", build.branch),
        ("buildDate", build.build_date),
        ("buildUser", build.build_user),
        ("goVersion", build.go_version),
        ("revision", build.revision),
        ("version", build.version),
    ]
    .into_iter()
    .enumerate()
    {
        if index > 0 {
            out.push(b',');
        }
        push_string(&mut out, name);
        out.push(b':');
        push_string(&mut out, value);
    }
    out.extend_from_slice(b"}}\n");
    out
}

impl Api {
    pub(super) fn status(&self) -> Answer {
        let loaded = self.config.load();
        let rest = self.status_text.get(&loaded.original, || rest(&loaded.original, self.started_at, self.build));
        let mut out = Vec::with_capacity(rest.len() + 128);
        out.extend_from_slice(b"{\"cluster\":");
        (self.cluster)().push(&mut out);
        out.extend_from_slice(&rest);
        json_body(StatusCode::OK, Body::whole(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(cluster: &ClusterStatus) -> String {
        let mut out = Vec::new();
        cluster.push(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn without_a_cluster_there_is_no_name() {
        assert_eq!(text(&ClusterStatus::default()), r#"{"peers":[],"status":"disabled"}"#);
    }

    #[test]
    fn a_cluster_shows_its_members() {
        let peers = vec![PeerStatus { name: "a".into(), address: "127.0.0.1:9094".into() }];
        let cluster = ClusterStatus { name: Some("a".into()), settled: true, peers, members: vec![] };
        assert_eq!(
            text(&cluster),
            r#"{"name":"a","peers":[{"address":"127.0.0.1:9094","name":"a"}],"status":"ready"}"#
        );
    }
}
