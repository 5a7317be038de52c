//! The notification log: what every receiver has been told, kept in memory, on disk and (later) on every node.
//!
//! What an entry is and how two of them merge is in `entry`; how it looks in protobuf in `wire`. This
//! file holds the entries, writes each change through the store and forgets what nobody needs. It knows
//! nothing of groups, receivers or alerts: the pipeline asks for an entry and hands in what it has told.

mod entry;
mod wire;

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub use entry::{
    AlertHash, End, Fired, Known, LOWEST_PERIOD, ListedBatch, LogEntry, LogKey, Resolved, Tell, Told, Word, Writer,
};
use prost::Message;
use wire::{MeshEntry, Read};

use crate::{
    clock::{Clock, Time},
    metrics::Metrics,
    replica::{Kind, Outbox},
    store::{
        Changes, Durable, OpenError, Store, Table, Value,
        snapshot::{self, SnapshotError},
    },
};

/// The snapshot file that Alertmanager reads and writes.
const SNAPSHOT: &str = "nflog";

/// Settings of the log.
#[derive(Clone, Copy, Debug)]
pub struct NflogConfig {
    /// `--data.retention`: upper bound of an entry's life, and how long told resolutions are kept.
    pub retention: Duration,
    /// This node.
    pub writer: Writer,
}

/// Why the log cannot be loaded. Fatal, like in the reference: starting empty would tell everything again.
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

/// The log. Shared by reference; every method is short and never waits.
pub struct Nflog {
    entries: Mutex<HashMap<LogKey, Arc<LogEntry>>>,
    config: NflogConfig,
    store: Store,
    outbox: Outbox,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Nflog {
    /// Loads the store, and joins the snapshot file with it: Alertmanager may have run since.
    ///
    /// # Errors
    /// When either is damaged.
    pub fn open(
        config: NflogConfig,
        store: Store,
        outbox: Outbox,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, LoadError> {
        let log = Arc::new(Nflog { entries: Mutex::default(), config, store, outbox, clock, metrics });
        log.load_store()?;
        log.load_snapshot()?;
        let source = Arc::downgrade(&log);
        log.store
            .set_source(Table::Log, Box::new(move || source.upgrade().map_or_else(Vec::new, |log| log.all_changes())));
        Ok(log)
    }

    fn load_store(&self) -> Result<(), LoadError> {
        let mut names = Names::default();
        let mut entries = self.entries();
        for (_, bytes) in self.store.load(Table::Log)? {
            let message = MeshEntry::decode(&*bytes)
                .map_err(|error| LoadError::Record(SnapshotError::Decode(error.to_string())))?;
            let (key, read) = wire::read(message).map_err(LoadError::Record)?;
            let entry = understand(read, None);
            self.hold(&key, &entry);
            entries.insert(names.share(key), Arc::new(entry));
        }
        Ok(())
    }

    fn load_snapshot(&self) -> Result<(), LoadError> {
        let path = self.store.disk().path_of(SNAPSHOT);
        let file = self.store.disk().read(SNAPSHOT);
        let Some(bytes) = file.map_err(|source| LoadError::Read { path: path.clone(), source })? else { return Ok(()) };
        let damaged = |source| LoadError::Snapshot { path: path.clone(), source };
        let mut names = Names::default();
        let mut changes = Vec::new();
        let mut entries = self.entries();
        for message in snapshot::decode::<MeshEntry>(&bytes).map_err(damaged)? {
            let (key, read) = wire::read(message).map_err(damaged)?;
            let before = entries.get(&key);
            let mut joined = understand(read, before.map(Arc::as_ref));
            if let Some(before) = before {
                joined.join(before);
                if joined == **before {
                    continue;
                }
            }
            changes.push(change(&key, &joined));
            self.hold(&key, &joined);
            entries.insert(names.share(key), Arc::new(joined));
        }
        drop(entries);
        if !changes.is_empty() {
            self.store.write_unwatched(Table::Log, changes);
        }
        Ok(())
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<LogKey, Arc<LogEntry>>> {
        // An entry is replaced by one assignment; a panic elsewhere cannot leave it half-written.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what is held from now on, for comparing with peers. Under the lock, so that the last word is the last.
    fn hold(&self, key: &LogKey, entry: &LogEntry) {
        self.outbox.hold(Kind::Log, || (wire::store_key(key), entry.content_hash()), entry.expires_at);
    }

    /// What is known of this key; counted as a query (a miss counts as an error there, as in the reference).
    #[must_use]
    pub fn entry(&self, key: &LogKey) -> Option<Arc<LogEntry>> {
        let began = self.clock.monotonic();
        let found = self.peek(key);
        self.metrics.nflog_queries_total.inc();
        if found.is_none() {
            self.metrics.nflog_query_errors_total.inc();
        }
        self.metrics.nflog_query_duration_seconds.observe(self.clock.monotonic().duration_since(began).as_secs_f64());
        found
    }

    /// As [`Nflog::entry`], for bookkeeping and second looks within one flush: not counted.
    #[must_use]
    pub fn peek(&self, key: &LogKey) -> Option<Arc<LogEntry>> {
        self.entries().get(key).cloned()
    }

    /// Writes down a tell: visible at once, durable when the future resolves.
    pub fn record(&self, key: &LogKey, tell: &Tell) -> (Arc<LogEntry>, Durable) {
        let mut entries = self.entries();
        let entry = LogEntry::after(entries.get(key).map(Arc::as_ref), tell, self.config.writer, self.config.retention);
        let entry = Arc::new(entry);
        let (store_key, value) = change(key, &entry);
        if let Value::Bytes(bytes) = &value {
            self.outbox.push(Kind::Log, &store_key, || bytes.to_vec());
        }
        self.hold(key, &entry);
        entries.insert(key.clone(), Arc::clone(&entry));
        // Queued under the lock, so that the disk sees changes in the order in which memory did.
        let durable = self.store.write(Table::Log, vec![(store_key, value)]);
        (entry, durable)
    }

    /// Joins a peer's entry with ours. Returns its key if that told us anything new.
    ///
    /// # Errors
    /// When the bytes are no entry.
    pub fn merge(&self, bytes: &[u8]) -> Result<Option<LogKey>, SnapshotError> {
        let message = MeshEntry::decode(bytes).map_err(|error| SnapshotError::Decode(error.to_string()))?;
        let (key, read) = wire::read(message)?;
        let mut entries = self.entries();
        let before = entries.get(&key);
        let mut joined = understand(read, before.map(Arc::as_ref));
        // Others forget at another time than we did: what we have forgotten must not come back.
        let now = self.clock.now();
        joined.trim_to(now, self.config.retention, before.map(Arc::as_ref));
        if before.is_none() && joined.expires_at <= now {
            return Ok(None);
        }
        if let Some(before) = before {
            joined.join(before);
            if joined == **before {
                return Ok(None);
            }
        }
        let joined = Arc::new(joined);
        let stored = change(&key, &joined);
        self.metrics.nflog_gossip_messages_propagated_total.inc();
        self.hold(&key, &joined);
        entries.insert(key.clone(), joined);
        self.store.write_unwatched(Table::Log, vec![stored]);
        Ok(Some(key))
    }

    /// The record of an entry, for peers.
    #[must_use]
    pub fn encode(key: &LogKey, entry: &LogEntry) -> Vec<u8> {
        wire::message(key, entry).encode_to_vec()
    }

    /// The name of a record among nodes.
    #[must_use]
    pub fn record_key(key: &LogKey) -> Box<[u8]> {
        wire::store_key(key)
    }

    /// Every entry, in no particular order.
    #[must_use]
    pub fn all(&self) -> Vec<(LogKey, Arc<LogEntry>)> {
        self.entries().iter().map(|(key, entry)| (key.clone(), Arc::clone(entry))).collect()
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The newest end that some receiver has heard as its last word, by alert.
    #[must_use]
    pub fn told_ends(&self) -> HashMap<AlertHash, Resolved> {
        let mut ends: HashMap<AlertHash, Resolved> = HashMap::new();
        for (_, entry) in self.all() {
            for (hash, told) in entry.all_told() {
                if let Word::Resolved(end) = told.last_word() {
                    let newest = ends.entry(hash).or_insert(*end);
                    if (newest.period, newest.done) < (end.period, end.done) {
                        *newest = *end;
                    }
                }
            }
        }
        ends
    }

    /// Forgets what nobody needs and writes the snapshot file. Blocks on the disk.
    ///
    /// An entry goes when its time is up, unless it holds an alert that still exists (`alive`) and was told
    /// as firing: its end is still to be told.
    ///
    /// # Errors
    /// When the snapshot cannot be written; the old one stays.
    pub fn maintain(&self, now: Time, alive: &dyn Fn(AlertHash) -> bool) -> io::Result<()> {
        self.metrics.nflog_maintenance_total.inc();
        let began = self.clock.monotonic();
        self.collect_garbage(now, alive);
        self.metrics.nflog_gc_duration_seconds.observe(self.clock.monotonic().duration_since(began));
        let written = self.write_snapshot();
        if written.is_err() {
            self.metrics.nflog_maintenance_errors_total.inc();
        }
        written
    }

    fn collect_garbage(&self, now: Time, alive: &dyn Fn(AlertHash) -> bool) {
        let mut changes = Vec::new();
        for (key, before) in self.all() {
            let after = kept(&before, now, self.config.retention, alive);
            if after.as_ref().is_some_and(|after| *after == *before) {
                continue;
            }
            let mut entries = self.entries();
            // Told again meanwhile: it has time until the next run.
            if !entries.get(&key).is_some_and(|current| Arc::ptr_eq(current, &before)) {
                continue;
            }
            match after {
                Some(after) => {
                    changes.push(change(&key, &after));
                    self.hold(&key, &after);
                    entries.insert(key, Arc::new(after));
                }
                None => {
                    changes.push((wire::store_key(&key), Value::Deleted));
                    entries.remove(&key);
                }
            }
            // Queued under the lock: a tell that comes after must be written after.
            self.store.write_unwatched(Table::Log, std::mem::take(&mut changes));
        }
    }

    fn write_snapshot(&self) -> io::Result<()> {
        let began = self.clock.monotonic();
        let entries = self.all();
        let mut buffer = Vec::new();
        let size = self.store.disk().replace(SNAPSHOT, &mut |out| {
            entries.iter().try_for_each(|(key, entry)| snapshot::encode(&wire::message(key, entry), &mut buffer, out))
        })?;
        self.metrics.nflog_snapshot_size_bytes.set(i64::try_from(size).unwrap_or(i64::MAX));
        self.metrics.nflog_snapshot_duration_seconds.observe(self.clock.monotonic().duration_since(began));
        Ok(())
    }

    fn all_changes(&self) -> Changes {
        self.all().iter().map(|(key, entry)| change(key, entry)).collect()
    }
}

/// The entry without what nobody needs; `None` if that is all of it.
fn kept(entry: &LogEntry, now: Time, retention: Duration, alive: &dyn Fn(AlertHash) -> bool) -> Option<LogEntry> {
    if entry.expires_at <= now && !entry.is_owed(alive) {
        return None;
    }
    let mut kept = entry.clone();
    kept.trim(now, retention, alive);
    Some(kept)
}

fn understand(read: Read, before: Option<&LogEntry>) -> LogEntry {
    match read {
        Read::Ours(entry) => entry,
        Read::Alertmanager(batch) => LogEntry::from_alertmanager(&batch, before),
    }
}

fn change(key: &LogKey, entry: &LogEntry) -> (Box<[u8]>, Value) {
    (wire::store_key(key), Value::Bytes(wire::message(key, entry).encode_to_vec().into()))
}

/// Receiver and integration names repeat in thousands of keys: one copy each.
#[derive(Default)]
struct Names(HashMap<Arc<str>, Arc<str>>);

impl Names {
    fn share(&mut self, key: LogKey) -> LogKey {
        LogKey { receiver: self.one(key.receiver), integration: self.one(key.integration), ..key }
    }

    fn one(&mut self, name: Arc<str>) -> Arc<str> {
        Arc::clone(self.0.entry(Arc::clone(&name)).or_insert(name))
    }
}

#[cfg(test)]
mod tests;
