//! The stages that take alerts out of a notification, in their order: inhibition, active time, mute time,
//! silence. They look at labels and the moment only, so resolved alerts pass them like firing ones.

use std::{collections::BTreeMap, hash::Hasher as _, sync::Arc};

use crate::{
    alert::{Fingerprint, Labels},
    clock::Time,
    config::model::Route,
    inhibit::Inhibitor,
    metrics::Metrics,
    silence::{SilenceId, Silences},
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

/// What takes an alert out.
#[derive(Clone, Debug, PartialEq)]
pub enum Mute {
    Inhibited {
        source: Fingerprint,
        /// Place in the list of rules.
        rule: usize,
    },
    /// Its route is muted, by this stage.
    Interval(Suppression),
    /// By id.
    Silenced(Vec<SilenceId>),
}

impl Mute {
    #[must_use]
    pub fn stage(&self) -> Suppression {
        match self {
            Mute::Inhibited { .. } => Suppression::Inhibition,
            Mute::Interval(stage) => *stage,
            Mute::Silenced(_) => Suppression::Silence,
        }
    }

    /// Tells it from others, mostly.
    fn mark(&self) -> u64 {
        match self {
            Mute::Inhibited { source, rule } => source.0.wrapping_add(*rule as u64),
            Mute::Interval(stage) => *stage as u64,
            Mute::Silenced(ids) => {
                let mut hash = xxhash_rust::xxh64::Xxh64::new(0);
                ids.iter().for_each(|id| hash.write(id.as_str().as_bytes()));
                hash.finish()
            }
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
    /// What takes the alert out: the first stage that does.
    #[must_use]
    pub fn mute(&self, fingerprint: Fingerprint, labels: &Labels) -> Option<Mute> {
        if let Some((source, rule)) = self.inhibitor.inhibited_by(labels, self.now) {
            return Some(Mute::Inhibited { source, rule });
        }
        if let Some(stage) = self.interval {
            return Some(Mute::Interval(stage));
        }
        let silences = self.silences.silenced_by(fingerprint, labels, self.now);
        (!silences.is_empty()).then_some(Mute::Silenced(silences))
    }
}

/// Alerts taken out in one flush.
#[derive(Clone, Copy, Debug, Default)]
pub struct Suppressed {
    /// By stage.
    counts: [u64; 4],
    marks: u64,
}

impl Suppressed {
    pub fn add(&mut self, by: &Mute) {
        self.counts[by.stage() as usize] += 1;
        self.marks = self.marks.rotate_left(5) ^ by.mark();
    }

    /// Stays the same as long as the same alerts are taken out by the same.
    #[must_use]
    pub fn marks(&self) -> u64 {
        self.marks
    }

    /// Adds them to the counter; a series appears on its first use.
    pub fn count(&self, metrics: &Metrics) {
        for (stage, count) in Suppression::ALL.into_iter().zip(self.counts) {
            if count > 0 {
                metrics.notifications_suppressed_total.with_label_values(&[stage.as_str()]).inc_by(count);
            }
        }
    }
}
