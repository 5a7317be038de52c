//! Silences: make, edit, expire, list, and say which alert is silenced by which.
//!
//! The rules of one silence are in `model`, all of them together in `ledger` (with its `index`), the protobuf
//! form in `wire`. This file is the shared handle: it takes the clock, writes each change through the store
//! before it is acknowledged, passes it on to the peers, counts, and cleans up. It knows labels and matchers,
//! and nothing of alerts, groups or HTTP.

mod index;
mod ledger;
mod model;
mod wire;

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

pub use ledger::Counts;
use ledger::{Ledger, Work};
use model::{Checked, Refusal};
pub use model::{Draft, InvalidSilence, MatcherSets, MatcherText, Silence, SilenceId, State};
use wire::MeshSilence;

use crate::{
    alert::{
        Fingerprint, Labels,
        matcher::{Matcher, ParseMode},
    },
    clock::{Clock, Time},
    metrics::Metrics,
    random::Random,
    replica::{Kind, Outbox},
    store::{
        Changes, Durable, OpenError, Store, Table, Value, WriteError,
        snapshot::{self, SnapshotError},
    },
};

/// The snapshot file that Alertmanager reads and writes.
const SNAPSHOT: &str = "silences";

/// Settings of the silences.
#[derive(Clone, Copy, Debug)]
pub struct SilencesConfig {
    /// `--data.retention`: how long an ended silence stays visible.
    pub retention: Duration,
    /// `--silences.max-silences`, expired ones included; 0: no limit.
    pub count_max: usize,
    /// `--silences.max-silence-size-bytes`, as stored; 0: no limit.
    pub size_bytes_max: usize,
    /// `--log.silences`: an INFO line for each change.
    pub log_changes: bool,
    /// Which label names are valid.
    pub mode: ParseMode,
}

/// Why the silences cannot be loaded. Fatal, like in the reference: starting without them would notify what is
/// silenced.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Store(#[from] OpenError),
    #[error("cannot read {path}: {source}")]
    Read { path: String, source: io::Error },
    #[error("{path} is damaged: {source}; move it away to start without it")]
    Snapshot { path: String, source: SnapshotError },
    #[error("damaged record in the store: {0}")]
    Record(SnapshotError),
}

/// Why a silence was not made or changed; the texts are what the API answers (reference/server.md 5.7).
#[derive(Clone, Debug, thiserror::Error)]
pub enum SetError {
    #[error("Failed to create silence: start time must be before end time")]
    StartNotBeforeEnd,
    #[error("Failed to create silence: end time can't be in the past")]
    EndInPast,
    #[error("invalid silence: {0}")]
    Invalid(InvalidSilence),
    /// Status 404; all others but the last are 400.
    #[error("silence not found")]
    NotFound,
    #[error("exceeded maximum number of silences: {count} (limit: {limit})")]
    TooMany { count: usize, limit: usize },
    #[error("silence exceeded maximum size: {size} bytes (limit: {limit} bytes)")]
    TooLarge { size: usize, limit: usize },
    /// Status 500.
    #[error(transparent)]
    NotDurable(#[from] NotDurable),
}

/// The change is in effect on this node, and will be written when the disk takes it; a crash before that
/// undoes it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("silence {id} is in effect, but could not be written to disk yet: {source}")]
pub struct NotDurable {
    pub id: SilenceId,
    pub source: WriteError,
}

/// Why a silence was not expired.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ExpireError {
    #[error("silence not found")]
    NotFound,
    #[error(transparent)]
    NotDurable(#[from] NotDurable),
}

/// What to list. The default is everything.
#[derive(Clone, Debug)]
pub struct Query {
    /// Each must literally be a matcher of the silence.
    pub filters: Vec<Matcher>,
    pub active: bool,
    pub pending: bool,
    pub expired: bool,
}

impl Default for Query {
    fn default() -> Self {
        Query { filters: Vec::new(), active: true, pending: true, expired: true }
    }
}

/// What somebody did to a silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Created,
    Updated,
}

/// Hears of it.
pub type Watcher = Box<dyn Fn(Act, &Silence) + Send + Sync>;

/// All silences. Shared by reference; only [`Silences::set`] and [`Silences::expire`] wait, for the disk.
pub struct Silences {
    ledger: Mutex<Ledger>,
    watcher: OnceLock<Watcher>,
    config: SilencesConfig,
    store: Store,
    outbox: Outbox,
    clock: Clock,
    random: Random,
    metrics: Arc<Metrics>,
}

/// What surrounds the silences.
pub struct Surroundings {
    pub store: Store,
    pub outbox: Outbox,
    pub clock: Clock,
    pub random: Random,
    pub metrics: Arc<Metrics>,
}

impl Silences {
    /// Loads the store, and merges the snapshot file into it: Alertmanager may have run since.
    ///
    /// # Errors
    /// When either is damaged.
    pub fn open(config: SilencesConfig, around: Surroundings) -> Result<Arc<Self>, LoadError> {
        let Surroundings { store, outbox, clock, random, metrics } = around;
        let (ledger, watcher) = (Mutex::default(), OnceLock::new());
        let silences = Arc::new(Silences { ledger, watcher, config, store, outbox, clock, random, metrics });
        silences.load_store()?;
        silences.load_snapshot()?;
        silences.note_sizes(&silences.ledger());
        let source = Arc::downgrade(&silences);
        silences.store.set_source(
            Table::Silences,
            Box::new(move || source.upgrade().map_or_else(Vec::new, |silences| silences.all_changes())),
        );
        Ok(silences)
    }

    fn load_store(&self) -> Result<(), LoadError> {
        let now = self.clock.now();
        let mut ledger = self.ledger();
        for (_, bytes) in self.store.load(Table::Silences)? {
            let silence = wire::decode(&bytes).map_err(LoadError::Record)?;
            self.note_broken(&silence, "load_snapshot");
            self.hold(&silence);
            ledger.put(Arc::new(silence), now);
        }
        Ok(())
    }

    fn load_snapshot(&self) -> Result<(), LoadError> {
        let path = self.store.disk().path_of(SNAPSHOT);
        let file = self.store.disk().read(SNAPSHOT);
        let Some(bytes) = file.map_err(|source| LoadError::Read { path: path.clone(), source })? else { return Ok(()) };
        let damaged = |source| LoadError::Snapshot { path: path.clone(), source };
        let now = self.clock.now();
        let mut changes = Vec::new();
        let mut ledger = self.ledger();
        for message in snapshot::decode::<MeshSilence>(&bytes).map_err(damaged)? {
            let silence = wire::read(message).map_err(damaged)?;
            if ledger.get(silence.id.as_str()).is_none_or(|mine| is_newer(&silence, mine)) {
                self.note_broken(&silence, "load_snapshot");
                changes.push(change(&silence));
                self.hold(&silence);
                ledger.put(Arc::new(silence), now);
            }
        }
        drop(ledger);
        if !changes.is_empty() {
            self.store.write_unwatched(Table::Silences, changes);
        }
        Ok(())
    }

    fn note_broken(&self, silence: &Silence, stage: &str) {
        if !silence.is_usable() {
            self.metrics.silences_matcher_compile_errors_total.with_label_values(&[stage]).inc();
            tracing::error!(id = %silence.id, "a silence has matchers that cannot be used; it is kept, but silences nothing");
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // The ledger's steps do not panic half-way; should one, its worst is a silence that is tried again.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_sizes(&self, ledger: &Ledger) {
        let size = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.silences_state_size.set(size(ledger.len()));
        self.metrics.silences_matcher_index_size.set(size(ledger.indexed()));
        self.metrics.silences_version_index_size.set(size(ledger.len()));
    }

    /// Makes a silence, or changes one, by the rules of reference/server.md 5.7. Returns when it is on disk.
    ///
    /// # Errors
    /// When the draft is refused (nothing has changed then), or when the disk does not take it (see [`NotDurable`]).
    pub async fn set(&self, draft: Draft) -> Result<SilenceId, SetError> {
        let now = self.clock.now();
        let checked = model::check(draft, self.config.mode, now).map_err(|refusal| match refusal {
            Refusal::StartNotBeforeEnd => SetError::StartNotBeforeEnd,
            Refusal::EndInPast => SetError::EndInPast,
            Refusal::Invalid(problem) => SetError::Invalid(problem),
        })?;
        let (id, durable) = self.apply(checked, now)?;
        match durable.await {
            Ok(()) => Ok(id),
            Err(source) => Err(NotDurable { id, source }.into()),
        }
    }

    fn apply(&self, checked: Checked, now: Time) -> Result<(SilenceId, Durable), SetError> {
        let mut ledger = self.ledger();
        let old = match checked.id.as_deref() {
            Some(id) => Some(Arc::clone(ledger.get(id).ok_or(SetError::NotFound)?)),
            None => None,
        };
        let mut changed = Vec::with_capacity(2);
        match old {
            Some(old) if model::keeps_id(&old, &checked, now) => changed.push(self.edited(&old, checked, now)?),
            old => {
                let made = self.made(checked, &ledger, now)?;
                if let Some(old) = old.filter(|old| old.state(now) != State::Expired) {
                    changed.push(old.expired(now, self.config.retention));
                }
                changed.push(made);
            }
        }
        let Some(id) = changed.last().map(|silence| silence.id.clone()) else { return Err(SetError::NotFound) };
        self.pass_on(&changed);
        let durable = self.commit(&mut ledger, changed, now);
        Ok((id, durable))
    }

    fn edited(&self, old: &Silence, edit: Checked, now: Time) -> Result<Silence, SetError> {
        let edited = old.touched(now, self.config.retention, |silence| {
            silence.starts_at = edit.starts_at;
            silence.ends_at = edit.ends_at;
            silence.created_by = edit.created_by;
            silence.comment = edit.comment;
            silence.annotations = edit.annotations;
        });
        self.check_size(&edited)?;
        self.log(&edited, "updated");
        self.tell(Act::Updated, &edited);
        Ok(edited)
    }

    fn made(&self, checked: Checked, ledger: &Ledger, now: Time) -> Result<Silence, SetError> {
        let (count, limit) = (ledger.len(), self.config.count_max);
        if limit > 0 && count >= limit {
            return Err(SetError::TooMany { count, limit });
        }
        let made = Silence {
            id: SilenceId::from(self.random.uuid_v4()),
            matcher_sets: Arc::from([checked.matchers]),
            starts_at: checked.starts_at.max(now),
            ends_at: checked.ends_at,
            updated_at: now,
            expires_at: model::end_of_life(checked.ends_at, self.config.retention),
            created_by: checked.created_by,
            comment: checked.comment,
            annotations: checked.annotations,
            foreign: None,
        };
        self.check_size(&made)?;
        self.log(&made, "created");
        self.tell(Act::Created, &made);
        Ok(made)
    }

    fn check_size(&self, silence: &Silence) -> Result<(), SetError> {
        let limit = self.config.size_bytes_max;
        if limit == 0 {
            return Ok(());
        }
        let size = prost::Message::encoded_len(&wire::message(silence));
        if size > limit { Err(SetError::TooLarge { size, limit }) } else { Ok(()) }
    }

    fn tell(&self, act: Act, silence: &Silence) {
        if let Some(watcher) = self.watcher.get() {
            watcher(act, silence);
        }
    }

    fn log(&self, silence: &Silence, what: &str) {
        if self.config.log_changes {
            tracing::info!(
                id = %silence.id,
                matchers = ?silence.matcher_sets,
                starts_at = %silence.starts_at,
                ends_at = %silence.ends_at,
                created_by = %silence.created_by,
                comment = %silence.comment,
                "silence {what}"
            );
        }
    }

    /// Hands own changes to the peers. Under the lock, so that they see changes in the order in which memory does.
    fn pass_on(&self, changed: &[Silence]) {
        for silence in changed {
            self.outbox.push(Kind::Silence, silence.id.as_str().as_bytes(), || wire::encode(silence));
        }
    }

    /// Says what is held from now on, for comparing with peers. Under the lock, so that the last word is the last.
    fn hold(&self, silence: &Silence) {
        let updated = silence.updated_at.timestamp_nanos_opt().unwrap_or_default();
        self.outbox.hold(Kind::Silence, || (silence.id.as_str(), updated.cast_unsigned()), silence.expires_at);
    }

    /// Puts changed silences in force, and hands them to the disk. Under the lock, so that it sees
    /// changes in the order in which memory did.
    fn commit(&self, ledger: &mut Ledger, changed: Vec<Silence>, now: Time) -> Durable {
        let mut changes = Changes::with_capacity(changed.len());
        for silence in changed {
            changes.push(change(&silence));
            self.hold(&silence);
            ledger.put(Arc::new(silence), now);
        }
        self.note_sizes(ledger);
        self.store.write(Table::Silences, changes)
    }

    /// Ends a silence now; one that is over already stays as it is. Returns when that is on disk.
    ///
    /// # Errors
    /// When there is no such silence, or the disk does not take it.
    pub async fn expire(&self, id: &str) -> Result<(), ExpireError> {
        let (id, durable) = {
            let now = self.clock.now();
            let mut ledger = self.ledger();
            let old = Arc::clone(ledger.get(id).ok_or(ExpireError::NotFound)?);
            if old.state(now) == State::Expired {
                return Ok(());
            }
            let ended = old.expired(now, self.config.retention);
            self.log(&ended, "expired");
            let (id, changed) = (ended.id.clone(), vec![ended]);
            self.pass_on(&changed);
            (id, self.commit(&mut ledger, changed, now))
        };
        durable.await.map_err(|source| NotDurable { id, source }.into())
    }

    /// `watcher` hears of silences that are made and changed here.
    pub fn set_watcher(&self, watcher: Watcher) {
        // There is one.
        let _ = self.watcher.set(watcher);
    }

    /// One silence, whatever its state.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Arc<Silence>> {
        self.ledger().get(id).cloned()
    }

    /// One silence with its state.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<(Arc<Silence>, State)> {
        self.metrics.silences_queries_total.inc();
        let now = self.clock.now();
        let ledger = self.ledger();
        let silence = ledger.get(id).filter(|silence| silence.is_usable())?;
        Some((Arc::clone(silence), silence.state(now)))
    }

    /// The silences that a query asks for, in the order of lists.
    #[must_use]
    pub fn query(&self, query: &Query) -> Vec<(Arc<Silence>, State)> {
        let began = self.clock.monotonic();
        let list = model::list(self.all(), self.clock.now(), |silence, state| {
            let wanted = match state {
                State::Active => query.active,
                State::Pending => query.pending,
                State::Expired => query.expired,
            };
            wanted && silence.has_all(&query.filters)
        });
        self.metrics.silences_queries_total.inc();
        self.metrics
            .silences_query_duration_seconds
            .observe(self.clock.monotonic().duration_since(began).as_secs_f64());
        list
    }

    /// The active silences that fit an alert, by id. What was found is remembered for the alert until
    /// [`Silences::forget`].
    #[must_use]
    pub fn silenced_by(&self, alert: Fingerprint, labels: &Labels, now: Time) -> Vec<SilenceId> {
        let mut work = Work::default();
        let found = self.ledger().silenced_by(alert, labels, now, &mut work);
        if work != Work::default() {
            self.metrics.silences_query_silences_scanned_total.inc_by(work.scanned);
            self.metrics.silences_query_silences_skipped_total.inc_by(work.skipped);
        }
        let mut ids: Vec<SilenceId> = found.iter().map(|silence| silence.id.clone()).collect();
        ids.sort_unstable();
        ids
    }

    /// The alert is gone from the alert store.
    pub fn forget(&self, alert: Fingerprint) {
        self.ledger().forget(alert);
    }

    /// Silences by state. Costs nothing per silence.
    #[must_use]
    pub fn counts(&self, now: Time) -> Counts {
        self.ledger().counts(now)
    }

    /// Takes in a peer's record: the newer one wins. Returns whether it was news.
    ///
    /// # Errors
    /// When the bytes are no silence.
    pub fn merge(&self, bytes: &[u8]) -> Result<bool, SnapshotError> {
        let silence = wire::decode(bytes)?;
        let now = self.clock.now();
        let mut ledger = self.ledger();
        let is_news = match ledger.get(silence.id.as_str()) {
            Some(mine) => is_newer(&silence, mine),
            // Others forget it at another time than we did: it must not come back.
            None => silence.expires_at >= now,
        };
        if !is_news {
            return Ok(false);
        }
        self.note_broken(&silence, "index");
        self.metrics.silences_gossip_messages_propagated_total.inc();
        drop(self.commit(&mut ledger, vec![silence], now));
        Ok(true)
    }

    /// The record of a silence, for peers.
    #[must_use]
    pub fn encode(silence: &Silence) -> Vec<u8> {
        wire::encode(silence)
    }

    /// Every silence, in no particular order.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Silence>> {
        self.ledger().all().cloned().collect()
    }

    fn all_changes(&self) -> Changes {
        self.all().iter().map(|silence| change(silence)).collect()
    }

    /// Forgets what is past its retention and writes the snapshot file. Blocks on the disk.
    ///
    /// # Errors
    /// When the snapshot cannot be written; the old one stays.
    pub fn maintain(&self, now: Time) -> io::Result<()> {
        self.metrics.silences_maintenance_total.inc();
        let began = self.clock.monotonic();
        self.collect_garbage(now);
        self.metrics.silences_gc_duration_seconds.observe(self.clock.monotonic().duration_since(began));
        let written = self.write_snapshot();
        if written.is_err() {
            self.metrics.silences_maintenance_errors_total.inc();
        }
        written
    }

    fn collect_garbage(&self, now: Time) {
        let mut ledger = self.ledger();
        let gone = ledger.collect_garbage(now);
        self.note_sizes(&ledger);
        if !gone.is_empty() {
            let changes = gone.iter().map(|id| (key(id), Value::Deleted)).collect();
            self.store.write_unwatched(Table::Silences, changes);
        }
    }

    fn write_snapshot(&self) -> io::Result<()> {
        let began = self.clock.monotonic();
        let silences = self.all();
        let mut buffer = Vec::new();
        let size = self.store.disk().replace(SNAPSHOT, &mut |out| {
            silences.iter().try_for_each(|silence| snapshot::encode(&wire::message(silence), &mut buffer, out))
        })?;
        self.metrics.silences_snapshot_size_bytes.set(i64::try_from(size).unwrap_or(i64::MAX));
        self.metrics.silences_snapshot_duration_seconds.observe(self.clock.monotonic().duration_since(began));
        Ok(())
    }
}

/// Whole records, the newer one wins; of two that are equally new the greater content, the same on every node.
fn is_newer(theirs: &Silence, mine: &Silence) -> bool {
    theirs
        .updated_at
        .cmp(&mine.updated_at)
        .then_with(|| {
            if theirs == mine { std::cmp::Ordering::Equal } else { wire::encode(theirs).cmp(&wire::encode(mine)) }
        })
        .is_gt()
}

fn key(id: &SilenceId) -> Box<[u8]> {
    id.as_str().as_bytes().into()
}

fn change(silence: &Silence) -> (Box<[u8]>, Value) {
    (key(&silence.id), Value::Bytes(wire::encode(silence).into()))
}

#[cfg(test)]
mod tests;
