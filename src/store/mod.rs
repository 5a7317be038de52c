//! Durable keyed tables, and beside them the snapshot files that Alertmanager reads.
//!
//! Everything lives in memory elsewhere; this room makes it survive. Changes go into one bounded queue, keyed,
//! so that a record changed twice before it is written costs one write. One writer takes what has gathered: alerts
//! go into the redb file [`DATABASE`] after a moment, many in one transaction; silences and log entries go at once
//! into a short [`JOURNAL`], which costs a third of a transaction, and from there into the database. A commit that fails (disk full, read-only, broken) degrades the
//! store: callers get the reason, the records stay queued, the writer opens the file anew and tries again until
//! it works. The room knows bytes and tables, never what they mean.

mod disk;
mod engine;
mod gather;
mod journal;
mod memory;
mod queue;
pub mod snapshot;
pub mod timestamp;
mod writer;

use std::{
    fmt,
    future::Future,
    io,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

pub use disk::{DATABASE, Directory, Disk, JOURNAL};
pub use memory::MemoryDisk;
use tokio::sync::oneshot;
use writer::Shared;

use crate::metrics::Metrics;

/// What is kept apart. Writes to the first two are waited for; alerts are written a little later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    Silences,
    Log,
    Alerts,
}

impl Table {
    pub const ALL: [Table; 3] = [Table::Silences, Table::Log, Table::Alerts];

    fn is_urgent(self) -> bool {
        self != Table::Alerts
    }
}

/// Something that can be written down when its turn comes, in its newest state.
pub trait Record: Send + Sync {
    /// Appends the bytes to be stored.
    fn encode(&self, out: &mut Vec<u8>);
}

/// What becomes of a key.
#[derive(Clone)]
pub enum Value {
    Bytes(Box<[u8]>),
    /// Encoded by the writer.
    Record(Arc<dyn Record>),
    Deleted,
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Value::Record(_) => f.write_str("a record"),
            Value::Deleted => f.write_str("deleted"),
        }
    }
}

/// Keys with their new values, of one table.
pub type Changes = Vec<(Box<[u8]>, Value)>;

/// Keys with their values as they are on disk.
pub type Records = Vec<(Vec<u8>, Vec<u8>)>;

/// Makes the whole content of a table anew, for the case that the file has to be rewritten.
pub type Source = Box<dyn Fn() -> Changes + Send + Sync>;

/// How the writer runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriterMode {
    /// On its own thread, since a disk blocks. The program's way.
    Thread,
    /// As a task of the current runtime: deterministic, for simulations and tests.
    Task,
}

/// Why the store could not be opened. Fatal.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot create the storage directory {path}: {source}")]
    Create { path: String, source: io::Error },
    #[error("{path} is in use by another process: two servers cannot share a storage path")]
    Locked { path: String },
    #[error(
        "{path} is damaged ({reason}): restore it from a backup, or move it away to start from the snapshot files \
         \"silences\" and \"nflog\" beside it, which are as old as the last maintenance run"
    )]
    Damaged { path: String, reason: String },
    #[error("cannot open {path}: {reason}")]
    Unusable { path: String, reason: String },
    #[error("cannot read {path}: {source}")]
    Read { path: String, source: io::Error },
}

/// Why a change is not on disk. It is in memory, and will be written as soon as that is possible again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WriteError {
    #[error("{0}")]
    Disk(Arc<str>),
    #[error("too many changes wait to be written to disk")]
    QueueFull,
    #[error("the store is closed")]
    Closed,
}

/// Resolves when the changes are on disk, or with the reason why they are not (yet). May be dropped.
#[must_use = "await it, or drop it on purpose"]
pub struct Durable(oneshot::Receiver<Result<(), WriteError>>);

impl Durable {
    fn pending() -> (oneshot::Sender<Result<(), WriteError>>, Durable) {
        let (sender, receiver) = oneshot::channel();
        (sender, Durable(receiver))
    }

    fn settled(result: Result<(), WriteError>) -> Durable {
        let (sender, durable) = Durable::pending();
        // The receiver is in our hands.
        let _ = sender.send(result);
        durable
    }
}

impl Future for Durable {
    type Output = Result<(), WriteError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|sent| sent.unwrap_or(Err(WriteError::Closed)))
    }
}

/// A handle to the store; clones share it. When the last one is dropped the writer stops where it is: call
/// [`Store::close`] first to write what is queued.
#[derive(Clone)]
pub struct Store(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl Store {
    /// Opens or makes the database in the directory `path` (made with its parents if missing). Must be called
    /// inside a tokio runtime.
    ///
    /// # Errors
    /// When the directory cannot be made, another process has the file, or it is damaged. A file that can be read
    /// but not written (full or broken disk, read-only file system) is no error: the store starts degraded.
    pub fn open(path: &Path, metrics: Arc<Metrics>) -> Result<Store, OpenError> {
        let directory = Directory::create(path)?;
        Store::on(Arc::new(directory), metrics, WriterMode::Thread)
    }

    /// The same on any disk.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn on(disk: Arc<dyn Disk>, metrics: Arc<Metrics>, mode: WriterMode) -> Result<Store, OpenError> {
        Ok(Store(Arc::new(Handle { shared: Shared::start(disk, metrics, mode)? })))
    }

    /// A store whose disk is memory: for tests.
    ///
    /// # Errors
    /// None in practice.
    pub fn in_memory(metrics: Arc<Metrics>) -> Result<Store, OpenError> {
        Store::on(Arc::new(MemoryDisk::new()), metrics, WriterMode::Task)
    }

    /// Queues changes of one table; they are committed together.
    pub fn write(&self, table: Table, changes: Changes) -> Durable {
        self.0.shared.write(table, changes)
    }

    /// As [`Store::write`] when nobody waits.
    pub fn write_unwatched(&self, table: Table, changes: Changes) {
        self.0.shared.write_unwatched(table, changes);
    }

    /// Queues one change.
    pub fn put(&self, table: Table, key: impl Into<Box<[u8]>>, value: Vec<u8>) -> Durable {
        self.write(table, vec![(key.into(), Value::Bytes(value.into()))])
    }

    /// Queues a deletion.
    pub fn delete(&self, table: Table, key: impl Into<Box<[u8]>>) -> Durable {
        self.write(table, vec![(key.into(), Value::Deleted)])
    }

    /// Everything that was on disk when the store was opened (and has been committed since), in order of keys.
    ///
    /// # Errors
    /// When the file cannot be read: damaged.
    pub fn load(&self, table: Table) -> Result<Records, OpenError> {
        self.0.shared.load(table)
    }

    /// Tells where the whole content of a table comes from, should the file have to be written anew.
    pub fn set_source(&self, table: Table, source: Source) {
        self.0.shared.set_source(table, source);
    }

    /// Resolves when everything that is queued now, alerts included, is on disk.
    pub fn flush(&self) -> Durable {
        self.0.shared.flush()
    }

    /// Writes what is queued and closes the file, so that the next start need not repair it.
    ///
    /// # Errors
    /// When what is queued cannot be written.
    pub async fn close(&self) -> Result<(), WriteError> {
        let result = self.flush().await;
        self.0.shared.close();
        result
    }

    /// Whether writes fail at the moment.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        self.0.shared.is_degraded()
    }

    /// The disk, for snapshot files.
    #[must_use]
    pub fn disk(&self) -> &Arc<dyn Disk> {
        self.0.shared.disk()
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
