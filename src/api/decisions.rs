//! `GET /carillon/decisions`: why somebody was, or was not, told.

use std::sync::Arc;

use http::StatusCode;

use super::{
    Api,
    answer::{Answer, Body, json_body},
    filter::{BadParameter, matchers},
    json::{push_array, push_labels, push_string, push_time},
    query::Query as Parameters,
};
use crate::{
    alert::{
        Fingerprint, Labels,
        text::{parse_prometheus_duration, parse_time},
    },
    clock::{Time, delta},
    decisions::{Alert, Attempt, Decision, LIMIT_MAX, Muted, NodeAnswer, Page, Pattern, Query},
};

impl Api {
    pub(super) async fn decisions(self: &Arc<Self>, parameters: &Parameters<'_>) -> Result<Answer, BadParameter> {
        let query = self.decision_query(parameters)?;
        let page = if parameters.flag("local", false) {
            self.handles.decisions.local(&query).await
        } else {
            self.handles.decisions.everywhere(&query).await
        };
        let mut out = Vec::with_capacity(1024 * (1 + page.decisions.len()));
        push_page(&mut out, &page);
        Ok(json_body(StatusCode::OK, Body::whole(out)))
    }

    fn decision_query(&self, parameters: &Parameters<'_>) -> Result<Query, BadParameter> {
        let bad = |name: &str, error: &dyn std::fmt::Display| BadParameter(format!("bad parameter {name}: {error}"));
        let fingerprint = parameters.last("fingerprint").map(fingerprint).transpose();
        let fingerprint = fingerprint.map_err(|error| bad("fingerprint", &error))?;
        let labels = fingerprint.and_then(|of| self.alerts.get(of)).map(|entry| entry.labels().clone());
        let receiver = parameters.last("receiver").map(Pattern::new).transpose();
        let outcomes =
            parameters.all("outcome").filter(|text| !text.is_empty()).map(str::parse).collect::<Result<_, _>>();
        let now = self.clock.now();
        let moment = |name: &str| {
            let text = parameters.last(name);
            text.map(|text| moment(text, now)).transpose().map_err(|error| bad(name, &error))
        };
        Ok(Query {
            matchers: matchers(parameters, "filter", self.mode).map_err(BadParameter)?,
            fingerprint,
            labels,
            receiver: receiver.map_err(|error| bad("receiver", &error))?,
            outcomes: outcomes.map_err(|error| bad("outcome", &error))?,
            since: moment("since")?,
            until: moment("until")?,
            limit: limit(parameters.last("limit")).map_err(|error| bad("limit", &error))?,
            cursor: parameters.last("cursor").map(str::parse).transpose().map_err(|error| bad("cursor", &error))?,
        })
    }
}

fn fingerprint(text: &str) -> Result<Fingerprint, &'static str> {
    let is_hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u64::from_str_radix(text, 16).ok().filter(|_| is_hex);
    number.map(Fingerprint).ok_or("not 16 hexadecimal digits")
}

fn limit(text: Option<&str>) -> Result<usize, String> {
    let Some(text) = text else { return Ok(0) };
    let number = text.parse().ok().filter(|number| (1..=LIMIT_MAX).contains(number));
    number.ok_or_else(|| format!("not a number from 1 to {LIMIT_MAX}"))
}

/// A moment, or how long it is ago.
fn moment(text: &str, now: Time) -> Result<Time, &'static str> {
    if let Ok(ago) = parse_prometheus_duration(text) {
        return now.checked_sub_signed(delta(ago)).ok_or("too long ago");
    }
    parse_time(text).map_err(|_| "neither a time like 2026-01-02T03:04:05Z nor a duration like 1h")
}

fn push_page(out: &mut Vec<u8>, page: &Page) {
    out.extend_from_slice(b"{\"decisions\":");
    push_array(out, &page.decisions, push_decision);
    if let Some(next) = &page.next {
        out.extend_from_slice(b",\"next\":");
        push_string(out, &next.to_string());
    }
    out.extend_from_slice(b",\"nodes\":");
    push_array(out, &page.nodes, push_node);
    out.extend_from_slice(b"}\n");
}

/// Writes an object key by key.
struct Object<'o> {
    out: &'o mut Vec<u8>,
    before: u8,
}

impl<'o> Object<'o> {
    fn begin(out: &'o mut Vec<u8>) -> Self {
        Object { out, before: b'{' }
    }

    fn key(&mut self, name: &str) -> &mut Vec<u8> {
        self.out.push(std::mem::replace(&mut self.before, b','));
        push_string(self.out, name);
        self.out.push(b':');
        self.out
    }

    fn text(&mut self, name: &str, value: &str) {
        push_string(self.key(name), value);
    }

    fn number(&mut self, name: &str, value: impl Into<u64>) {
        let value: u64 = value.into();
        self.key(name).extend_from_slice(value.to_string().as_bytes());
    }

    fn flag(&mut self, name: &str, value: bool) {
        let text: &[u8] = if value { b"true" } else { b"false" };
        self.key(name).extend_from_slice(text);
    }

    fn time(&mut self, name: &str, value: Option<Time>) {
        if let Some(value) = value {
            push_time(self.key(name), value);
        }
    }

    fn labels(&mut self, name: &str, value: Option<&Labels>) {
        if let Some(value) = value {
            push_labels(self.key(name), value, push_string);
        }
    }

    fn names(&mut self, name: &str, values: &[Arc<str>]) {
        push_array(self.key(name), values, |out, value| push_string(out, value));
    }

    fn end(self) {
        self.out.push(b'}');
    }
}

fn push_node(out: &mut Vec<u8>, node: &NodeAnswer) {
    let mut object = Object::begin(out);
    object.text("name", &node.node);
    object.text("state", node.state.as_str());
    object.time("oldest", node.oldest);
    object.time("newest", node.newest);
    object.end();
}

fn push_decision(out: &mut Vec<u8>, decision: &Decision) {
    let mut object = Object::begin(out);
    object.text("node", &decision.node);
    object.number("id", decision.id);
    object.time("at", Some(decision.at));
    object.time("last", Some(decision.last));
    object.number("count", decision.count);
    object.text("outcome", decision.outcome.as_str());
    object.text("reason", decision.why.as_str());
    object.text("receiver", &decision.receiver);
    if let Some(slot) = &decision.integration {
        let mut inner = Object::begin(object.key("integration"));
        inner.text("name", &slot.kind);
        inner.number("index", slot.index);
        inner.end();
    }
    let mut group = Object::begin(object.key("group"));
    group.text("key", &decision.group.key);
    group.labels("labels", Some(&decision.group.labels));
    group.text("route", &decision.group.route);
    group.end();
    object.time("tick", decision.tick);
    object.time("until", decision.until);
    push_array(object.key("alerts"), &decision.alerts, push_alert);
    let mut totals = Object::begin(object.key("totals"));
    totals.number("firing", decision.totals.firing);
    totals.number("resolved", decision.totals.resolved);
    totals.number("muted", decision.totals.muted);
    totals.end();
    if let Some(claim) = &decision.claim {
        let mut inner = Object::begin(object.key("claim"));
        inner.text("holder", &claim.holder);
        inner.text("phase", claim.phase.as_str());
        inner.end();
    }
    if !decision.order.is_empty() {
        object.names("order", &decision.order);
    }
    if let Some(attempt) = &decision.attempt {
        push_attempt(object.key("attempt"), attempt);
    }
    if let Some(log) = &decision.log {
        let mut inner = Object::begin(object.key("log"));
        inner.number("tells", log.tells);
        inner.time("at", Some(log.at));
        inner.end();
    }
    object.end();
}

fn push_attempt(out: &mut Vec<u8>, attempt: &Attempt) {
    let mut object = Object::begin(out);
    object.number("number", attempt.number);
    object.time("sent", Some(attempt.sent));
    let seconds = format!("{}.{:06}", attempt.took.as_secs(), attempt.took.subsec_micros());
    object.key("seconds").extend_from_slice(seconds.as_bytes());
    if let Some(error) = &attempt.error {
        object.text("error", error);
    }
    if let Some(kind) = &attempt.kind {
        object.text("kind", kind);
        object.flag("handedOver", attempt.handed_over);
    }
    object.end();
}

fn push_alert(out: &mut Vec<u8>, alert: &Alert) {
    let mut object = Object::begin(out);
    object.text("fingerprint", &alert.fingerprint.to_string());
    if let Some(labels) = &alert.labels {
        object.text("hash", &format!("{:016x}", crate::nflog::AlertHash::of(labels).0));
        object.labels("labels", Some(labels));
    }
    object.text("status", alert.status.as_str());
    object.flag("told", alert.told);
    match alert.muted.as_deref() {
        Some(Muted::Silences(ids)) => object.names("silencedBy", ids),
        Some(Muted::MuteIntervals(names)) => object.names("mutedBy", names),
        Some(Muted::OutsideActiveIntervals(names)) => object.names("outside", names),
        Some(Muted::Inhibited { source, labels, rule }) => {
            let mut inner = Object::begin(object.key("inhibitedBy"));
            inner.text("fingerprint", &source.to_string());
            inner.labels("labels", labels.as_ref());
            inner.number("rule", *rule);
            inner.end();
        }
        None => {}
    }
    object.end();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_times_or_durations_back() {
        let now = parse_time("2026-01-02T03:04:05Z").unwrap();
        assert_eq!(moment("1h", now), parse_time("2026-01-02T02:04:05Z").map_err(|_| ""));
        assert_eq!(moment("2026-01-01T00:00:00Z", now), parse_time("2026-01-01T00:00:00Z").map_err(|_| ""));
        assert!(moment("yesterday", now).is_err() && moment("-1h", now).is_err());
    }

    #[test]
    fn limits_and_fingerprints_are_checked() {
        assert_eq!((limit(None), limit(Some("7"))), (Ok(0), Ok(7)));
        assert!(["0", "501", "-1", "x"].iter().all(|text| limit(Some(text)).is_err()));
        assert_eq!(fingerprint("00000000000000ff"), Ok(Fingerprint(255)));
        assert!(["ff", "+0000000000000ff", "00000000000000fg"].iter().all(|text| fingerprint(text).is_err()));
    }
}
