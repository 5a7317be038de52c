//! Everything that is shown of alerts at one moment: each alert once, with what keeps it quiet, and the groups in
//! which they are told. Made once for a page; with very many alerts kept for two seconds and shared by readers.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::TimeDelta;
use tokio::time::Instant;

use super::marks::Severity;
use crate::{
    alert::{Entry, Fingerprint, FingerprintMap, Labels},
    api::Api,
    clock::Time,
    dispatch::{Dispatcher, GroupLook},
    silence::{Silence, SilenceId},
};

/// With more alerts than this a scene is kept for a moment.
const KEPT_FROM: usize = 5_000;
const KEPT_FOR: std::time::Duration = std::time::Duration::from_secs(2);

/// See the module.
pub struct Scene {
    pub now: Time,
    pub alerts: Vec<Seen>,
    pub groups: Vec<Group>,
    by_fingerprint: FingerprintMap<usize>,
    /// Of the silences that quiet something.
    pub silences: HashMap<SilenceId, Arc<Silence>>,
    /// When any alert was last posted or refreshed.
    pub last_update: Option<Time>,
    firing: usize,
}

/// An alert, and what keeps it quiet whoever its receivers are.
#[derive(Clone)]
pub struct Seen {
    pub entry: Arc<Entry>,
    pub severity: Severity,
    pub starts_at: Time,
    pub silenced_by: Vec<SilenceId>,
    /// The source, and the index of the rule.
    pub inhibited_by: Option<(Fingerprint, usize)>,
    /// It is in a group that is not muted by time.
    pub is_awake: bool,
    /// Its first group; every alert has one.
    pub group: usize,
}

/// A group and its alerts.
pub struct Group {
    pub look: GroupLook,
    pub id: Fingerprint,
    /// Indices of [`Scene::alerts`], in no order.
    pub members: Vec<usize>,
    /// Made by the reader, not by a route.
    pub is_custom: bool,
}

/// Why nobody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quiet {
    No,
    Silenced,
    Inhibited,
    Muted,
}

impl Quiet {
    /// Name of the icon, and in the address.
    pub fn id(self) -> &'static str {
        match self {
            Quiet::No => "active",
            Quiet::Silenced => "silenced",
            Quiet::Inhibited => "inhibited",
            Quiet::Muted => "muted",
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Quiet::No => "firing",
            Quiet::Silenced => "silenced",
            Quiet::Inhibited => "inhibited",
            Quiet::Muted => "muted by time",
        }
    }
}

impl Seen {
    pub fn labels(&self) -> &Labels {
        self.entry.labels()
    }

    pub fn name(&self) -> &str {
        self.labels().get("alertname").unwrap_or("")
    }

    /// The first reason; `muted` is that of the group as part of which it is looked at.
    pub fn quiet_in(&self, muted: bool) -> Quiet {
        if !self.silenced_by.is_empty() {
            Quiet::Silenced
        } else if self.inhibited_by.is_some() {
            Quiet::Inhibited
        } else if muted {
            Quiet::Muted
        } else {
            Quiet::No
        }
    }

    /// The first reason for which no receiver is told.
    pub fn quiet(&self) -> Quiet {
        self.quiet_in(!self.is_awake)
    }
}

impl Group {
    /// Why nobody is told of the alert as part of this group.
    pub fn quiet(&self, seen: &Seen) -> Quiet {
        seen.quiet_in(self.mutes(seen))
    }

    /// Whether it is muted by time.
    pub fn mutes(&self, seen: &Seen) -> bool {
        if self.is_custom { !seen.is_awake } else { self.look.muted_by.is_some() }
    }

    /// What names it: its `alertname`, or else all that it is grouped by.
    pub fn name(&self) -> Option<&str> {
        self.look.labels.get("alertname")
    }
}

impl Scene {
    /// As of now.
    pub fn of(api: &Api) -> Self {
        let now = api.clock.now();
        let inhibitor = api.inhibitor.load_full();
        let mut scene = Scene {
            now,
            alerts: Vec::with_capacity(api.alerts.len()),
            groups: Vec::new(),
            by_fingerprint: FingerprintMap::with_capacity_and_hasher(api.alerts.len(), Default::default()),
            silences: HashMap::new(),
            last_update: None,
            firing: 0,
        };
        for mut look in api.dispatcher.survey(now) {
            let entries = std::mem::take(&mut look.entries);
            let (index, awake) = (scene.groups.len(), look.muted_by.is_none());
            let mut members = Vec::with_capacity(entries.len());
            for entry in entries {
                if let Some(at) = scene.by_fingerprint.get(&entry.fingerprint()).copied() {
                    if let Some(seen) = scene.alerts.get_mut(at) {
                        seen.is_awake |= awake;
                    }
                    members.push(at);
                    continue;
                }
                let (starts_at, ends_at, updated_at) = {
                    let alert = entry.lock();
                    (alert.starts_at, alert.ends_at, alert.updated_at)
                };
                if ends_at.is_some_and(|end| end < now) {
                    continue;
                }
                scene.last_update = scene.last_update.max(Some(updated_at));
                let fingerprint = entry.fingerprint();
                members.push(scene.alerts.len());
                scene.by_fingerprint.insert(fingerprint, scene.alerts.len());
                scene.alerts.push(Seen {
                    severity: Severity::of(entry.labels()),
                    starts_at,
                    silenced_by: api.silences.silenced_by(fingerprint, entry.labels(), now),
                    inhibited_by: inhibitor.inhibited_by(entry.labels(), now),
                    is_awake: awake,
                    group: index,
                    entry,
                });
            }
            if !members.is_empty() {
                scene.groups.push(Group { id: look.id(), look, members, is_custom: false });
            }
        }
        scene.find_silences(api);
        scene.firing = scene.alerts.iter().filter(|seen| seen.quiet() == Quiet::No).count();
        scene
    }

    /// The same alerts in groups of those with equal `labels`.
    pub fn regrouped(&self, labels: impl Fn(&Labels) -> Labels) -> Scene {
        let mut places: HashMap<Labels, usize> = HashMap::new();
        let mut groups: Vec<Group> = Vec::new();
        for (at, seen) in self.alerts.iter().enumerate() {
            let Some(routed) = self.groups.get(seen.group) else { continue };
            let labels = labels(seen.labels());
            let place = *places.entry(labels.clone()).or_insert_with(|| {
                let mut look = routed.look.clone();
                (look.muted_by, look.labels) = (None, labels.clone());
                groups.push(Group { look, id: labels.fingerprint(), members: Vec::new(), is_custom: true });
                groups.len() - 1
            });
            if let Some(group) = groups.get_mut(place) {
                group.members.push(at);
            }
        }
        Scene {
            now: self.now,
            alerts: self.alerts.clone(),
            groups,
            by_fingerprint: self.by_fingerprint.clone(),
            silences: self.silences.clone(),
            last_update: self.last_update,
            firing: self.firing,
        }
    }

    fn find_silences(&mut self, api: &Api) {
        for id in self.alerts.iter().flat_map(|seen| &seen.silenced_by) {
            if !self.silences.contains_key(id)
                && let Some((silence, _)) = api.silences.get(id.as_str())
            {
                self.silences.insert(id.clone(), silence);
            }
        }
    }

    pub fn find(&self, fingerprint: Fingerprint) -> Option<&Seen> {
        self.by_fingerprint.get(&fingerprint).and_then(|at| self.alerts.get(*at))
    }

    pub fn group(&self, id: Fingerprint) -> Option<&Group> {
        self.groups.iter().find(|group| group.id == id)
    }

    /// Alerts of which somebody is, or will be, told.
    pub fn firing(&self) -> usize {
        self.firing
    }
}

/// The last scene, where it is worth keeping.
#[derive(Default)]
pub struct Stage(Mutex<Option<Kept>>);

struct Kept {
    made_at: Instant,
    scene: Arc<Scene>,
}

impl Stage {
    /// The scene as of now, or as of a moment ago.
    pub async fn scene(&self, api: &Arc<Api>) -> Arc<Scene> {
        if api.alerts.len() < KEPT_FROM {
            return Arc::new(Scene::of(api));
        }
        if let Some(scene) = self.kept(api) {
            return scene;
        }
        let worker = Arc::clone(api);
        let made = tokio::task::spawn_blocking(move || Arc::new(Scene::of(&worker))).await;
        let scene = made.unwrap_or_else(|_| Arc::new(Scene::of(api)));
        let kept = Kept { made_at: api.clock.monotonic(), scene: Arc::clone(&scene) };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        scene
    }

    /// What the reader has just changed must be seen at once.
    pub fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn kept(&self, api: &Api) -> Option<Arc<Scene>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = api.clock.monotonic();
        if kept.as_ref().is_some_and(|kept| now > kept.made_at + KEPT_FOR) {
            *kept = None;
        }
        kept.as_ref().map(|kept| Arc::clone(&kept.scene))
    }
}

/// What happened to a group, in one line.
pub struct Fate {
    pub kind: FateKind,
    pub receiver: String,
    pub next_look: Time,
}

/// See [`Fate`].
pub enum FateKind {
    /// When, and by which node if that is known.
    Told { at: Time, by: Option<String> },
    /// Since when, what the last answer was, how many tries, and when the next one is.
    Owed { since: Time, error: String, tries: u32, next: Option<Time> },
    /// It is being told just now.
    Telling,
    /// Nothing was told yet; the first look is at `next_look`.
    Waits,
    /// Looked at, and nothing was told: all of it is quiet, or another node tells.
    NotTold,
}

impl Fate {
    /// `nodes`: the names by which writers of the log are known.
    pub fn of(dispatcher: &Dispatcher, look: &GroupLook, now: Time, nodes: &[String]) -> Self {
        let hearings = dispatcher.hearings(look);
        let failing = hearings.iter().find_map(|hearing| {
            let debt = hearing.debt.as_ref().filter(|debt| debt.failures > 0)?;
            let error = debt.error.clone().unwrap_or_else(|| "no answer".to_owned());
            let error = format!("{} {error}", hearing.kind);
            Some(FateKind::Owed { since: debt.since, error, tries: debt.failures, next: debt.next_try })
        });
        let told =
            hearings.iter().filter_map(|hearing| hearing.told.filter(|_| hearing.is_open)).max_by_key(|(at, _)| *at);
        let told = told.map(|(at, writer)| FateKind::Told {
            at,
            by: nodes.iter().find(|name| crate::nflog::Writer::named(name) == writer).cloned(),
        });
        let is_telling = hearings.iter().any(|hearing| hearing.debt.as_ref().is_some_and(|debt| debt.is_running));
        let kind = failing.or(told).unwrap_or(if is_telling {
            FateKind::Telling
        } else if !look.has_looked && look.next_look > now - TimeDelta::seconds(5) {
            FateKind::Waits
        } else {
            FateKind::NotTold
        });
        Fate { kind, receiver: (*look.receiver.name).to_owned(), next_look: look.next_look }
    }
}
