//! The stages that take alerts out of a notification, in their order: inhibition, active time, mute time,
//! silence. They look at labels and the moment only, so resolved alerts pass them like firing ones.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    alert::{Fingerprint, Labels},
    clock::Time,
    config::model::Route,
    inhibit::Inhibitor,
    metrics::Metrics,
    silence::Silences,
    timeinterval::TimeInterval,
};

/// The stage that took an alert out; label `reason` of `alertmanager_notifications_suppressed_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suppression {
    Inhibition,
    ActiveTimeInterval,
    MuteTimeInterval,
    Silence,
}

impl Suppression {
    const ALL: [Suppression; 4] =
        [Suppression::Inhibition, Suppression::ActiveTimeInterval, Suppression::MuteTimeInterval, Suppression::Silence];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Suppression::Inhibition => "inhibition",
            Suppression::ActiveTimeInterval => "active_time_interval",
            Suppression::MuteTimeInterval => "mute_time_interval",
            Suppression::Silence => "silence",
        }
    }
}

/// The time intervals of one route, by name. They are not inherited.
#[derive(Clone, Debug, Default)]
pub struct Intervals {
    active: Vec<(Arc<str>, Arc<TimeInterval>)>,
    mute: Vec<(Arc<str>, Arc<TimeInterval>)>,
}

impl Intervals {
    #[must_use]
    pub fn of(route: &Route, known: &BTreeMap<String, Arc<TimeInterval>>) -> Self {
        // Every name was checked when the configuration was loaded.
        let found = |names: &[String]| {
            names
                .iter()
                .filter_map(|name| known.get(name).map(|interval| (Arc::from(name.as_str()), interval.clone())))
                .collect()
        };
        Intervals { active: found(&route.active_time_intervals), mute: found(&route.mute_time_intervals) }
    }

    /// What mutes the route at this moment: the stage, and the names of the intervals to blame. Outside all of
    /// its active intervals a route is muted by all of them.
    #[must_use]
    pub fn muting(&self, at: Time) -> Option<(Suppression, Vec<Arc<str>>)> {
        let names = |intervals: &[(Arc<str>, Arc<TimeInterval>)], wanted: &dyn Fn(&TimeInterval) -> bool| {
            intervals.iter().filter(|(_, i)| wanted(i)).map(|(name, _)| name.clone()).collect::<Vec<_>>()
        };
        if !self.active.is_empty() && !self.active.iter().any(|(_, interval)| interval.contains(at)) {
            return Some((Suppression::ActiveTimeInterval, names(&self.active, &|_| true)));
        }
        let muting = names(&self.mute, &|interval| interval.contains(at));
        if muting.is_empty() { None } else { Some((Suppression::MuteTimeInterval, muting)) }
    }
}

/// The stages at one moment, for the alerts of one group.
pub struct Stages<'a> {
    pub inhibitor: &'a Inhibitor,
    pub silences: &'a Silences,
    /// What mutes the route, from [`Intervals::muting`].
    pub interval: Option<Suppression>,
    pub now: Time,
}

impl Stages<'_> {
    /// The first stage that takes the alert out.
    #[must_use]
    pub fn suppression(&self, fingerprint: Fingerprint, labels: &Labels) -> Option<Suppression> {
        if self.inhibitor.inhibited_by(labels, self.now).is_some() {
            return Some(Suppression::Inhibition);
        }
        if self.interval.is_some() {
            return self.interval;
        }
        let silenced = !self.silences.silenced_by(fingerprint, labels, self.now).is_empty();
        silenced.then_some(Suppression::Silence)
    }
}

/// Alerts taken out in one flush, by stage.
#[derive(Clone, Copy, Debug, Default)]
pub struct Suppressed([u64; 4]);

impl Suppressed {
    pub fn add(&mut self, by: Suppression) {
        self.0[by as usize] += 1;
    }

    /// Adds them to the counter; a series appears on its first use.
    pub fn count(&self, metrics: &Metrics) {
        for (stage, count) in Suppression::ALL.into_iter().zip(self.0) {
            if count > 0 {
                metrics.notifications_suppressed_total.with_label_values(&[stage.as_str()]).inc_by(count);
            }
        }
    }
}
