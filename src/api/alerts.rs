//! `GET /alerts`, and how one alert is written.

use std::sync::Arc;

use super::{
    Api,
    answer::Answer,
    filter::{AlertFilter, BadParameter, WantedReceivers},
    json::{push_array, push_html_safe, push_labels, push_time},
    list::list,
    query::Query,
};
use crate::{
    alert::{Alert, Entry, Fingerprint},
    clock::Time,
    inhibit::Inhibitor,
    silence::{SilenceId, Silences},
};

/// After how many alerts a request that looks through all of them lets others run.
const BETWEEN_YIELDS: usize = 8_192;

/// Who mutes an alert.
#[derive(Debug, Default)]
pub(super) struct Muted {
    pub inhibited_by: Option<Fingerprint>,
    pub silenced_by: Vec<SilenceId>,
}

impl Muted {
    /// As of `now`, whatever the pipeline has seen of it so far.
    pub fn of(entry: &Entry, silences: &Silences, inhibitor: &Inhibitor, now: Time) -> Self {
        Muted {
            inhibited_by: inhibitor.inhibited_by(entry.labels(), now).map(|(source, _)| source),
            silenced_by: silences.silenced_by(entry.fingerprint(), entry.labels(), now),
        }
    }

    pub fn is_wanted(&self, filter: &AlertFilter) -> bool {
        let (silenced, inhibited) = (!self.silenced_by.is_empty(), self.inhibited_by.is_some());
        (filter.silenced || !silenced) && (filter.inhibited || !inhibited) && (filter.active || silenced || inhibited)
    }
}

impl Api {
    pub(super) async fn alerts(self: &Arc<Self>, query: &Query<'_>) -> Result<Answer, BadParameter> {
        let filter = AlertFilter::parse(query, self.mode)?;
        let now = self.clock.now();
        let wanted = filter.receivers().map(|receivers| receivers.select(&self.config.load().config.receivers));
        let mut entries = Vec::new();
        for (index, entry) in self.alerts.snapshot().into_iter().enumerate() {
            if self.is_listed(&entry, &filter, wanted.as_ref(), now) {
                entries.push(entry);
            }
            if index % BETWEEN_YIELDS == BETWEEN_YIELDS - 1 {
                tokio::task::yield_now().await;
            }
        }
        entries.sort_unstable_by_key(|entry| entry.fingerprint());
        let api = Arc::clone(self);
        let inhibitor = self.inhibitor.load_full();
        Ok(list(entries.into_iter(), move |out, entry| {
            let muted = Muted::of(&entry, &api.silences, &inhibitor, now);
            if !muted.is_wanted(&filter) {
                return false;
            }
            let receivers = api.dispatcher.receivers_of(entry.fingerprint(), entry.labels());
            push_alert(out, &entry, &entry.alert(), receivers.iter().map(|name| &**name), &muted, &[]);
            true
        }))
    }

    /// By everything but what mutes it: the cheap questions first.
    fn is_listed(&self, entry: &Entry, filter: &AlertFilter, wanted: Option<&WantedReceivers>, now: Time) -> bool {
        filter.accepts_labels(entry.labels())
            && !is_over(&entry.lock(), now)
            && wanted.is_none_or(|wanted| {
                let receivers = self.dispatcher.receivers_of(entry.fingerprint(), entry.labels());
                wanted.any_of(receivers.iter().map(|name| &**name))
            })
    }
}

/// Over alerts are never shown. At the very moment of its end an alert still is.
pub(super) fn is_over(alert: &Alert, now: Time) -> bool {
    alert.ends_at.is_some_and(|end| end < now)
}

/// An alert as the lists show it; `muted_by` names time intervals.
pub(super) fn push_alert<'a>(
    out: &mut Vec<u8>,
    entry: &Entry,
    alert: &Alert,
    receivers: impl Iterator<Item = &'a str>,
    muted: &Muted,
    muted_by: &[Arc<str>],
) {
    out.extend_from_slice(b"{\"annotations\":");
    push_labels(out, &alert.annotations, push_html_safe);
    out.extend_from_slice(b",\"endsAt\":");
    push_time(out, alert.ends_at.unwrap_or_default());
    out.extend_from_slice(b",\"fingerprint\":\"");
    push_fingerprint(out, entry.fingerprint());
    out.extend_from_slice(b"\",\"receivers\":");
    push_array(out, receivers, |out, name| {
        out.extend_from_slice(b"{\"name\":");
        push_html_safe(out, name);
        out.push(b'}');
    });
    out.extend_from_slice(b",\"startsAt\":");
    push_time(out, alert.starts_at);
    out.extend_from_slice(b",\"status\":");
    push_status(out, muted, muted_by);
    out.extend_from_slice(b",\"updatedAt\":");
    push_time(out, alert.updated_at);
    if !alert.generator_url.is_empty() {
        out.extend_from_slice(b",\"generatorURL\":");
        push_html_safe(out, &alert.generator_url);
    }
    out.extend_from_slice(b",\"labels\":");
    push_labels(out, entry.labels(), push_html_safe);
    out.push(b'}');
}

fn push_status(out: &mut Vec<u8>, muted: &Muted, muted_by: &[Arc<str>]) {
    if muted.inhibited_by.is_none() && muted.silenced_by.is_empty() && muted_by.is_empty() {
        out.extend_from_slice(b"{\"inhibitedBy\":[],\"mutedBy\":[],\"silencedBy\":[],\"state\":\"active\"}");
        return;
    }
    out.extend_from_slice(b"{\"inhibitedBy\":");
    push_array(out, muted.inhibited_by, |out, source| {
        out.push(b'"');
        push_fingerprint(out, source);
        out.push(b'"');
    });
    out.extend_from_slice(b",\"mutedBy\":");
    push_array(out, muted_by, |out, name| push_html_safe(out, name));
    out.extend_from_slice(b",\"silencedBy\":");
    push_array(out, &muted.silenced_by, |out, id| push_html_safe(out, id.as_str()));
    out.extend_from_slice(b",\"state\":\"suppressed\"}");
}

/// 16 hex digits.
fn push_fingerprint(out: &mut Vec<u8>, fingerprint: Fingerprint) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digits = fingerprint.0.to_be_bytes().map(|byte| [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    out.extend_from_slice(digits.as_flattened());
}
