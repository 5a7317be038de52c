//! `GET /alerts/groups`: a long list of long lists, written alert by alert.

use std::{collections::HashMap, sync::Arc, vec::IntoIter};

use super::{
    Api,
    alerts::{Muted, is_over, push_alert},
    answer::Answer,
    filter::{AlertFilter, BadParameter, WantedReceivers},
    json::{push_labels, push_string},
    list::stream,
    query::Query,
};
use crate::{
    alert::{Entry, Fingerprint},
    clock::Time,
    dispatch::GroupView,
    inhibit::Inhibitor,
};

impl Api {
    pub(super) async fn groups(self: &Arc<Self>, query: &Query<'_>) -> Result<Answer, BadParameter> {
        let filter = AlertFilter::parse(query, self.mode)?;
        let show_muted = query.flag("muted", true);
        let now = self.clock.now();
        let wanted = filter.receivers().map(|receivers| receivers.select(&self.config.load().config.receivers));
        let mut groups = Vec::new();
        for view in self.dispatcher.groups() {
            if let Some(group) = Group::of(view, &filter, wanted.as_ref(), now) {
                groups.push(group);
            }
            tokio::task::consume_budget().await;
        }
        let receivers = Receivers::of(&groups);
        groups.retain(|group| show_muted || group.view.muted_by.is_empty());
        let writer = Writer {
            api: Arc::clone(self),
            inhibitor: self.inhibitor.load_full(),
            filter,
            receivers,
            now,
            groups: groups.into_iter(),
            open: None,
            wrote_group: false,
        };
        Ok(stream(writer, Writer::step))
    }
}

/// A group with the alerts that are to be shown, as far as that can be said without looking at what mutes them.
struct Group {
    view: GroupView,
    entries: Vec<Arc<Entry>>,
}

impl Group {
    /// `None` if nothing of the group is to be shown.
    fn of(mut view: GroupView, filter: &AlertFilter, wanted: Option<&WantedReceivers>, now: Time) -> Option<Self> {
        if wanted.is_some_and(|wanted| !wanted.has(&view.receiver.name)) {
            return None;
        }
        let alerts = std::mem::take(&mut view.alerts).into_iter().map(|alert| alert.entry);
        let entries: Vec<_> =
            alerts.filter(|entry| filter.accepts_labels(entry.labels()) && !is_over(&entry.lock(), now)).collect();
        (!entries.is_empty()).then_some(Group { view, entries })
    }
}

/// Which receivers each alert is shown with: those of all groups in which it is, sorted.
enum Receivers {
    /// No alert is in two groups.
    OwnGroup,
    ByAlert(HashMap<Fingerprint, Vec<Arc<str>>>),
}

impl Receivers {
    fn of(groups: &[Group]) -> Self {
        let count = groups.iter().map(|group| group.entries.len()).sum();
        let mut by_alert: HashMap<Fingerprint, Vec<Arc<str>>> = HashMap::with_capacity(count);
        let mut shared = false;
        for group in groups {
            for entry in &group.entries {
                let names = by_alert.entry(entry.fingerprint()).or_default();
                shared |= !names.is_empty();
                names.push(Arc::clone(&group.view.receiver.name));
            }
        }
        if !shared {
            return Receivers::OwnGroup;
        }
        for names in by_alert.values_mut() {
            names.sort_unstable();
        }
        Receivers::ByAlert(by_alert)
    }
}

/// Writes the groups, one alert at a step.
struct Writer {
    api: Arc<Api>,
    inhibitor: Arc<Inhibitor>,
    filter: AlertFilter,
    receivers: Receivers,
    now: Time,
    groups: IntoIter<Group>,
    open: Option<Open>,
    wrote_group: bool,
}

/// The group being written.
struct Open {
    view: GroupView,
    entries: IntoIter<Arc<Entry>>,
    wrote_alert: bool,
}

impl Writer {
    /// Whether there is more to write.
    fn step(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(mut open) = self.open.take() else {
            let Some(Group { view, entries }) = self.groups.next() else { return false };
            self.open = Some(Open { view, entries: entries.into_iter(), wrote_alert: false });
            return true;
        };
        match open.entries.next() {
            Some(entry) => {
                self.alert(out, &mut open, &entry);
                self.open = Some(open);
            }
            None => close(out, &open),
        }
        true
    }

    fn alert(&mut self, out: &mut Vec<u8>, open: &mut Open, entry: &Entry) {
        let muted = Muted::of(entry, &self.api.silences, &self.inhibitor, self.now);
        if !muted.is_wanted(&self.filter) {
            return;
        }
        let before: &[u8] = match (open.wrote_alert, self.wrote_group) {
            (true, _) => b",",
            (false, true) => b",{\"alerts\":[",
            (false, false) => b"{\"alerts\":[",
        };
        out.extend_from_slice(before);
        open.wrote_alert = true;
        self.wrote_group = true;
        let own = [Arc::clone(&open.view.receiver.name)];
        let names: &[Arc<str>] = match &self.receivers {
            Receivers::OwnGroup => &own,
            Receivers::ByAlert(by_alert) => by_alert.get(&entry.fingerprint()).map_or(&own, Vec::as_slice),
        };
        push_alert(out, entry, &entry.alert(), names.iter().map(|name| &**name), &muted, &open.view.muted_by);
    }
}

/// What follows the alerts of a group. Strings of a group are not escaped for HTML, those of its alerts are.
fn close(out: &mut Vec<u8>, open: &Open) {
    if !open.wrote_alert {
        return;
    }
    out.extend_from_slice(b"],\"labels\":");
    push_labels(out, &open.view.labels, push_string);
    out.extend_from_slice(b",\"receiver\":{\"name\":");
    push_string(out, &open.view.receiver.name);
    out.extend_from_slice(b"},\"routeLabels\":");
    push_labels(out, &open.view.route_labels, push_string);
    out.push(b'}');
}
