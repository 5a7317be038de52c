//! The database and its journal: open, read, commit; open anew after a failure.

use std::{
    collections::BTreeMap,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageBackend, StorageError, TableDefinition,
    TableError, WriteTransaction, backends::InMemoryBackend,
};

use super::{
    DATABASE, Disk, JOURNAL, OpenError, Records, Source, Table, Value,
    journal::{self, Journal, Position},
    queue::Batch,
};

/// Pages kept in memory. Nothing is read after the start, so that this only serves the next commit.
const CACHE_BYTES: usize = 4 << 20;

pub(super) type Sources = BTreeMap<Table, Source>;
type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

fn definition(table: Table) -> Definition {
    TableDefinition::new(match table {
        Table::Silences => "silences",
        Table::Log => "nflog",
        Table::Alerts => "alerts",
    })
}

/// Holds the number of the last journal frame that is in the database.
const META: TableDefinition<'static, &'static str, u64> = TableDefinition::new("meta");
const APPLIED: &str = "journal";

/// Why a commit failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum EngineError {
    #[error(transparent)]
    Redb(#[from] redb::Error),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the database failed unexpectedly")]
    Panicked,
    #[error("the store is closed")]
    Closed,
}

macro_rules! from_redb {
    ($($error:ty),*) => {
        $(impl From<$error> for EngineError {
            fn from(error: $error) -> Self {
                EngineError::Redb(error.into())
            }
        })*
    };
}
from_redb!(DatabaseError, StorageError, TableError, redb::TransactionError, redb::CommitError);

pub(super) struct Engine {
    disk: Arc<dyn Disk>,
    /// `None` after a failure, until it is opened anew.
    database: Option<Database>,
    /// What could be read of a file that could not be opened for writing, in memory.
    copy: Option<Database>,
    /// `None` until it is first used, and after a failure.
    journal: Option<Journal>,
    /// Where the journal goes on while it is not open.
    position: Position,
    /// Number of the last frame that the database knows to be applied.
    applied: u64,
    /// What is in the journal and not in the database.
    unapplied: BTreeMap<(Table, Box<[u8]>), Value>,
    closed: bool,
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// How an attempt to open failed.
enum Failure {
    Locked,
    Damaged(String),
    /// The configuration is wrong: no waiting helps.
    Unusable(String),
    /// The disk is full, read-only or broken: this may pass.
    Disk(String),
}

fn classify(error: &DatabaseError) -> Failure {
    match error {
        DatabaseError::DatabaseAlreadyOpen => Failure::Locked,
        DatabaseError::RepairAborted | DatabaseError::UpgradeRequired(_) => Failure::Damaged(error.to_string()),
        DatabaseError::Storage(StorageError::Corrupted(reason)) => Failure::Damaged(reason.clone()),
        DatabaseError::Storage(StorageError::Io(error)) => match error.kind() {
            // The database reports a wrong header in this way, and a file that ends too early.
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Failure::Damaged(error.to_string()),
            io::ErrorKind::PermissionDenied | io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory => {
                Failure::Unusable(error.to_string())
            }
            _ => Failure::Disk(error.to_string()),
        },
        other => Failure::Disk(other.to_string()),
    }
}

impl Engine {
    /// Opens the file; with a reason when only a copy of it in memory could be opened.
    pub fn open(disk: Arc<dyn Disk>) -> Result<(Self, Option<String>), OpenError> {
        let path = disk.path_of(DATABASE);
        let mut engine = Engine {
            disk,
            database: None,
            copy: None,
            journal: None,
            position: Position::default(),
            applied: 0,
            unapplied: BTreeMap::new(),
            closed: false,
        };
        let failure = match guarded(|| Ok(engine.disk.open_database(&builder())?)) {
            Ok(database) => {
                engine.database = Some(database);
                engine.read_journal()?;
                engine.open_journal();
                return Ok((engine, None));
            }
            Err(EngineError::Redb(error)) => classify(&DatabaseError::from_any(error)),
            Err(error) => Failure::Damaged(error.to_string()),
        };
        match failure {
            Failure::Locked => Err(OpenError::Locked { path }),
            Failure::Damaged(reason) => Err(OpenError::Damaged { path, reason }),
            Failure::Unusable(reason) => Err(OpenError::Unusable { path, reason }),
            Failure::Disk(reason) => engine.open_copy(path, reason),
        }
    }

    fn open_copy(mut self, path: String, reason: String) -> Result<(Self, Option<String>), OpenError> {
        let bytes = self.disk.database_bytes().map_err(|source| OpenError::Read { path: path.clone(), source })?;
        let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) else {
            return Err(OpenError::Unusable { path, reason });
        };
        match guarded(|| in_memory(&bytes)) {
            Ok(copy) => self.copy = Some(copy),
            // The copy is damaged only because the real file could not be made whole.
            Err(_) => return Err(OpenError::Unusable { path, reason }),
        }
        self.read_journal()?;
        Ok((self, Some(reason)))
    }

    fn read_journal(&mut self) -> Result<(), OpenError> {
        let path = || self.disk.path_of(JOURNAL);
        let bytes = self.disk.journal_bytes().map_err(|source| OpenError::Read { path: path(), source })?;
        let damaged =
            |error: EngineError| OpenError::Damaged { path: self.disk.path_of(DATABASE), reason: error.to_string() };
        self.applied = match self.database.as_ref().or(self.copy.as_ref()) {
            Some(database) => guarded(|| read_applied(database)).map_err(damaged)?,
            None => 0,
        };
        let contents = journal::read(&bytes.unwrap_or_default(), self.applied);
        self.position = contents.position;
        self.unapplied = contents.changes.into_iter().map(|(table, key, value)| ((table, key), value)).collect();
        Ok(())
    }

    /// All records of a table in order of keys.
    pub fn load(&self, table: Table) -> Result<Records, OpenError> {
        let Some(database) = self.database.as_ref().or(self.copy.as_ref()) else { return Ok(Vec::new()) };
        let mut records = guarded(|| read_all(database, table))
            .map_err(|error| OpenError::Damaged { path: self.disk.path_of(DATABASE), reason: error.to_string() })?;
        for ((_, key), value) in self.unapplied.iter().filter(|((of, _), _)| *of == table) {
            records.remove(&**key);
            if let Value::Bytes(bytes) = value {
                records.insert(key.to_vec(), bytes.to_vec());
            }
        }
        Ok(records.into_iter().collect())
    }

    /// Makes a batch durable: a small urgent one in the journal, else in the database. After a failure the file is
    /// closed, and opened anew by the next attempt.
    pub fn commit(&mut self, batch: &mut Batch, sources: &Sources) -> Result<(), EngineError> {
        if self.closed {
            return Err(EngineError::Closed);
        }
        if self.append_to_journal(batch) {
            return Ok(());
        }
        let result = self.reopen(batch).and_then(|()| self.apply(batch, sources));
        match result {
            Ok(()) => {
                self.unapplied.clear();
                self.applied = self.number();
                self.position.offset = 0;
                if let Some(journal) = &mut self.journal {
                    journal.rewind();
                }
            }
            Err(_) => {
                self.close_journal();
                // What the database may still try on its way out is of no use, and must not take us down.
                discard(self.database.take());
            }
        }
        result
    }

    /// Whether the journal took the batch. It does not while the database is closed: first that has to work again.
    fn append_to_journal(&mut self, batch: &mut Batch) -> bool {
        let is_small = batch.stale.is_empty() && batch.changes.iter().all(|(table, ..)| table.is_urgent());
        if !is_small || self.database.is_none() || batch.changes.is_empty() {
            return false;
        }
        self.open_journal();
        match self.journal.as_mut().map(|journal| journal.append(&batch.changes)) {
            Some(Ok(true)) => {
                let changes = std::mem::take(&mut batch.changes);
                self.unapplied.extend(changes.into_iter().map(|(table, key, value)| ((table, key), value)));
                true
            }
            Some(Err(_)) => {
                self.close_journal();
                false
            }
            Some(Ok(false)) | None => false,
        }
    }

    /// Made at the start, so that the first notification does not pay for it. Without one the database takes
    /// everything, only at a higher price.
    fn open_journal(&mut self) {
        if self.journal.is_none() {
            self.journal = self.disk.open_journal().ok().map(|file| Journal::new(file, self.position));
        }
    }

    /// Of the last frame that may be in the journal.
    fn number(&self) -> u64 {
        self.journal.as_ref().map_or(self.position, Journal::position).number
    }

    fn close_journal(&mut self) {
        if let Some(journal) = self.journal.take() {
            self.position = journal.position();
        }
    }

    fn apply(&self, batch: &Batch, sources: &Sources) -> Result<(), EngineError> {
        let database = self.database.as_ref().ok_or(EngineError::Closed)?;
        let number = self.number();
        guarded(|| {
            let transaction = database.begin_write()?;
            write_changes(&transaction, self.unapplied.iter().map(|((table, key), value)| (*table, &**key, value)))?;
            write_changes(&transaction, batch.changes.iter().map(|(table, key, value)| (*table, &**key, value)))?;
            // Last, since memory is newer than what is on its way to the disk.
            write_stale(&transaction, &batch.stale, sources)?;
            if number != self.applied {
                transaction.open_table(META)?.insert(APPLIED, number)?;
            }
            transaction.commit()?;
            Ok(())
        })
    }

    fn reopen(&mut self, batch: &mut Batch) -> Result<(), EngineError> {
        if self.database.is_some() {
            return Ok(());
        }
        self.database = Some(match guarded(|| Ok(self.disk.open_database(&builder())?)) {
            Ok(database) => database,
            Err(EngineError::Redb(error)) => {
                let error = DatabaseError::from_any(error);
                if !matches!(classify(&error), Failure::Damaged(_)) {
                    return Err(error.into());
                }
                self.replace_damaged(&error, batch)?
            }
            Err(error) => return Err(error),
        });
        self.copy = None;
        Ok(())
    }

    /// While we run, everything is in memory: a file that has been damaged under us is set aside and made anew.
    fn replace_damaged(&mut self, error: &DatabaseError, batch: &mut Batch) -> Result<Database, EngineError> {
        let aside = self.disk.set_database_aside()?;
        tracing::error!(file = aside, %error, "the database file was damaged; it is kept under another name and written anew from memory");
        batch.stale = Table::ALL.to_vec();
        self.applied = 0;
        guarded(|| Ok(self.disk.open_database(&builder())?))
    }

    pub fn close(&mut self) {
        if !self.unapplied.is_empty() && self.apply(&Batch::default(), &Sources::new()).is_ok() {
            self.unapplied.clear();
        }
        self.closed = true;
        self.copy = None;
        self.journal = None;
        discard(self.database.take());
    }
}

/// Conversions of the database's error types go one way only; this goes back for the cases we look at.
trait FromAny {
    fn from_any(error: redb::Error) -> Self;
}

impl FromAny for DatabaseError {
    fn from_any(error: redb::Error) -> Self {
        match error {
            redb::Error::DatabaseAlreadyOpen => DatabaseError::DatabaseAlreadyOpen,
            redb::Error::RepairAborted => DatabaseError::RepairAborted,
            redb::Error::UpgradeRequired(version) => DatabaseError::UpgradeRequired(version),
            redb::Error::Corrupted(reason) => StorageError::Corrupted(reason).into(),
            redb::Error::Io(error) => StorageError::Io(error).into(),
            other => StorageError::Io(io::Error::other(other.to_string())).into(),
        }
    }
}

/// A damaged file can make the database panic. The writer must live on: other nodes and the disk may be fine.
fn guarded<T>(work: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(EngineError::Panicked))
}

fn discard(database: Option<Database>) {
    let _ = guarded(|| {
        drop(database);
        Ok(())
    });
}

fn in_memory(bytes: &[u8]) -> Result<Database, EngineError> {
    let backend = InMemoryBackend::new();
    let length = u64::try_from(bytes.len()).map_err(io::Error::other)?;
    backend.set_len(length).and_then(|()| backend.write(0, bytes)).map_err(io::Error::other)?;
    Ok(builder().create_with_backend(backend)?)
}

fn read_applied(database: &Database) -> Result<u64, EngineError> {
    match database.begin_read()?.open_table(META) {
        Ok(table) => Ok(table.get(APPLIED)?.map_or(0, |number| number.value())),
        Err(TableError::TableDoesNotExist(_)) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

fn read_all(database: &Database, table: Table) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, EngineError> {
    let table = match database.begin_read()?.open_table(definition(table)) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(BTreeMap::new()),
        Err(error) => return Err(error.into()),
    };
    let mut records = BTreeMap::new();
    for record in table.iter()? {
        let (key, value) = record?;
        records.insert(key.value().to_vec(), value.value().to_vec());
    }
    Ok(records)
}

fn write_stale(transaction: &WriteTransaction, stale: &[Table], sources: &Sources) -> Result<(), EngineError> {
    for (table, source) in stale.iter().filter_map(|table| Some((*table, sources.get(table)?))) {
        transaction.delete_table(definition(table))?;
        let records = source();
        write_changes(transaction, records.iter().map(|(key, value)| (table, &**key, value)))?;
    }
    Ok(())
}

/// Changes in order of tables.
fn write_changes<'a>(
    transaction: &WriteTransaction,
    changes: impl Iterator<Item = (Table, &'a [u8], &'a Value)>,
) -> Result<(), EngineError> {
    let mut changes = changes.peekable();
    let mut buffer = Vec::new();
    while let Some((table, ..)) = changes.peek() {
        let table = *table;
        let mut records = transaction.open_table(definition(table))?;
        while let Some((_, key, value)) = changes.next_if(|(of, ..)| *of == table) {
            match value {
                Value::Bytes(bytes) => drop(records.insert(key, &**bytes)?),
                Value::Record(record) => {
                    buffer.clear();
                    record.encode(&mut buffer);
                    drop(records.insert(key, &*buffer)?);
                }
                Value::Deleted => drop(records.remove(key)?),
            }
        }
    }
    Ok(())
}
