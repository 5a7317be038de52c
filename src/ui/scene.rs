//! Everything that is shown of alerts at one moment: each alert once, with what keeps it quiet, and the groups in
//! which they are told. Made once for a page; with very many alerts kept for two seconds and shared by readers.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::TimeDelta;
use tokio::{task::JoinHandle, time::Instant};

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
const KEPT_FOR: Duration = Duration::from_secs(2);
/// So old it still says which labels there are.
const ROUGH_FOR: Duration = Duration::from_secs(300);

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
#[derive(Clone, Default)]
pub struct Stage(Arc<Mutex<Props>>);

#[derive(Default)]
struct Props {
    kept: Option<Kept>,
    /// Rises with each [`Stage::clear`]: what was begun before is not kept.
    changes: u64,
    /// Somebody makes a new scene in the background.
    is_making: bool,
}

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
        match self.kept(api, KEPT_FOR) {
            Some((scene, _)) => scene,
            None => self.make(api, self.changes()).await,
        }
    }

    /// For suggestions, which must come while somebody types: the last scene, even if it is some minutes old; then a new
    /// one is made meanwhile.
    pub async fn rough_scene(&self, api: &Arc<Api>) -> (Arc<Scene>, Option<JoinHandle<()>>) {
        if api.alerts.len() < KEPT_FROM {
            return (Arc::new(Scene::of(api)), None);
        }
        match self.kept(api, ROUGH_FOR) {
            Some((scene, age)) if age <= KEPT_FOR => (scene, None),
            Some((scene, _)) => (scene, self.make_in_background(api)),
            None => (self.make(api, self.changes()).await, None),
        }
    }

    fn make_in_background(&self, api: &Arc<Api>) -> Option<JoinHandle<()>> {
        if std::mem::replace(&mut self.props().is_making, true) {
            return None;
        }
        let (stage, api, changes) = (self.clone(), Arc::clone(api), self.changes());
        Some(tokio::spawn(async move {
            stage.make(&api, changes).await;
            stage.props().is_making = false;
        }))
    }

    /// `changes`: as they were when it was begun.
    async fn make(&self, api: &Arc<Api>, changes: u64) -> Arc<Scene> {
        let worker = Arc::clone(api);
        let made = tokio::task::spawn_blocking(move || Arc::new(Scene::of(&worker))).await;
        let scene = made.unwrap_or_else(|_| Arc::new(Scene::of(api)));
        let mut props = self.props();
        if props.changes == changes {
            props.kept = Some(Kept { made_at: api.clock.monotonic(), scene: Arc::clone(&scene) });
        }
        scene
    }

    /// What the reader has just changed must be seen at once.
    pub fn clear(&self) {
        let mut props = self.props();
        props.kept = None;
        props.changes += 1;
    }

    /// The last one, if it is not older than that, and its age.
    fn kept(&self, api: &Api, age_max: Duration) -> Option<(Arc<Scene>, Duration)> {
        let props = self.props();
        let kept = props.kept.as_ref()?;
        let age = api.clock.monotonic().saturating_duration_since(kept.made_at);
        (age <= age_max).then(|| (Arc::clone(&kept.scene), age))
    }

    fn changes(&self) -> u64 {
        self.props().changes
    }

    fn props(&self) -> MutexGuard<'_, Props> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::testing::api, ui::testing::post_many};

    const CONFIG: &str = "{route: {receiver: x, group_by: [alertname]}, receivers: [{name: x}]}";

    #[tokio::test(start_paused = true)]
    async fn who_types_is_shown_the_last_scene_while_the_next_one_is_made() {
        let (api, stage) = (api(CONFIG), Stage::default());
        post_many(&api, "a", KEPT_FROM).await;
        let count = |scene: &Scene| scene.alerts.len() - KEPT_FROM;
        let (first, making) = stage.rough_scene(&api).await;
        assert!(count(&first) == 0 && making.is_none(), "there is none to show");
        post_many(&api, "b", 7).await;
        assert_eq!(count(&stage.rough_scene(&api).await.0), 0, "of a moment ago");
        tokio::time::advance(KEPT_FOR + Duration::from_millis(1)).await;
        let (old, making) = stage.rough_scene(&api).await;
        assert!(count(&old) == 0 && stage.rough_scene(&api).await.1.is_none(), "one is made, not two");
        making.unwrap().await.unwrap();
        assert_eq!(count(&stage.rough_scene(&api).await.0), 7);
        // Whoever looks at alerts sees none that is older than a moment.
        post_many(&api, "c", 2).await;
        tokio::time::advance(KEPT_FOR + Duration::from_millis(1)).await;
        assert_eq!(count(&*stage.scene(&api).await), 9);
        // After hours a new one is waited for.
        post_many(&api, "d", 1).await;
        tokio::time::advance(ROUGH_FOR + Duration::from_millis(1)).await;
        let (scene, making) = stage.rough_scene(&api).await;
        assert!(count(&scene) == 10 && making.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_begun_before_a_change_is_not_kept() {
        let (api, stage) = (api(CONFIG), Stage::default());
        post_many(&api, "a", KEPT_FROM).await;
        stage.rough_scene(&api).await;
        tokio::time::advance(KEPT_FOR + Duration::from_millis(1)).await;
        let (_, making) = stage.rough_scene(&api).await;
        stage.clear();
        making.unwrap().await.unwrap();
        assert!(stage.kept(&api, ROUGH_FOR).is_none());
        assert!(!stage.props().is_making);
    }
}
