//! A disk in memory that can fail, be full, lose power and forget what was not synced.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use redb::{Builder, Database, DatabaseError, StorageBackend};

use super::{
    disk::{DATABASE, Disk, Fill},
    journal::JOURNAL_BYTES,
};

/// Writes are lost in pieces of this size, as a disk loses sectors.
const SECTOR: usize = 512;

/// Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk(Arc<Mutex<Image>>);

#[derive(Debug, Default)]
struct Image {
    database: FileImage,
    journal: FileImage,
    files: BTreeMap<String, Vec<u8>>,
    /// Handles of an earlier power cycle are dead.
    cycle: u64,
    failure: Option<io::ErrorKind>,
    /// Operations until `failure` comes into force.
    grace: u64,
}

#[derive(Debug, Default)]
struct FileImage {
    /// What a reader sees now.
    bytes: Option<Vec<u8>>,
    /// What is there after a loss of power.
    synced: Option<Vec<u8>>,
    unsynced: Vec<Change>,
}

#[derive(Clone, Copy, Debug)]
enum Which {
    Database,
    Journal,
}

#[derive(Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl MemoryDisk {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn image(&self) -> MutexGuard<'_, Image> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After `grace` more operations every write fails in this way; `None` mends the disk.
    pub fn fail(&self, failure: Option<io::ErrorKind>, grace: u64) {
        let mut image = self.image();
        image.failure = failure;
        image.grace = grace;
    }

    /// Cuts the power: of what was written since the last sync, `survives` decides piece by piece what is kept.
    /// Whoever has the disk open gets errors from now on.
    pub fn lose_power(&self, mut survives: impl FnMut() -> bool) {
        let mut image = self.image();
        image.cycle += 1;
        image.journal.settle(&mut survives);
        image.database.settle(&mut survives);
    }

    /// Aside, and put in its place when it is whole.
    fn make_database(&self, builder: &Builder) -> Result<(), DatabaseError> {
        let aside = MemoryDisk::new();
        builder.create_with_backend(aside.handle(Which::Database))?.close()?;
        let bytes = aside.image().database.bytes.take().unwrap_or_default();
        let mut image = self.image();
        image.may_write()?;
        image.database = FileImage::durable(bytes);
        Ok(())
    }

    /// Overwrites the database file.
    pub fn set_database(&self, bytes: Vec<u8>) {
        self.image().database = FileImage::durable(bytes);
    }

    fn handle(&self, which: Which) -> Handle {
        Handle { disk: self.clone(), cycle: self.image().cycle, which }
    }

    /// Overwrites a small file.
    pub fn set_file(&self, name: &str, bytes: Vec<u8>) {
        self.image().files.insert(name.to_owned(), bytes);
    }
}

impl FileImage {
    fn durable(bytes: Vec<u8>) -> Self {
        FileImage { synced: Some(bytes.clone()), bytes: Some(bytes), unsynced: Vec::new() }
    }

    /// Makes those unsynced pieces durable that `survives` picks, and forgets the others.
    fn settle(&mut self, survives: &mut impl FnMut() -> bool) {
        if self.bytes.is_none() {
            return;
        }
        let mut bytes = self.synced.take().unwrap_or_default();
        for change in std::mem::take(&mut self.unsynced) {
            apply_some(&mut bytes, &change, survives);
        }
        *self = FileImage::durable(bytes);
    }

    fn sync(&mut self) {
        let mut bytes = self.synced.take().unwrap_or_default();
        for change in std::mem::take(&mut self.unsynced) {
            apply_some(&mut bytes, &change, &mut || true);
        }
        self.synced = Some(bytes);
    }
}

impl Image {
    fn file(&mut self, which: Which) -> &mut FileImage {
        match which {
            Which::Database => &mut self.database,
            Which::Journal => &mut self.journal,
        }
    }

    fn may_write(&mut self) -> io::Result<()> {
        match (self.failure, self.grace.checked_sub(1)) {
            (None, _) => Ok(()),
            (Some(_), Some(left)) => {
                self.grace = left;
                Ok(())
            }
            (Some(failure), None) => Err(failure.into()),
        }
    }
}

fn apply_some(bytes: &mut Vec<u8>, change: &Change, survives: &mut impl FnMut() -> bool) {
    match change {
        Change::Length(length) => {
            if survives() {
                bytes.resize(*length, 0);
            }
        }
        Change::Write(offset, data) => {
            for (index, sector) in data.chunks(SECTOR).enumerate() {
                if survives() {
                    overwrite(bytes, offset + index * SECTOR, sector);
                }
            }
        }
    }
}

fn overwrite(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(data);
}

fn offset_of(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(io::Error::other)
}

/// One opened file.
#[derive(Debug)]
struct Handle {
    disk: MemoryDisk,
    cycle: u64,
    which: Which,
}

impl Handle {
    fn image(&self) -> io::Result<MutexGuard<'_, Image>> {
        let image = self.disk.image();
        if image.cycle == self.cycle { Ok(image) } else { Err(io::Error::other("the power was cut")) }
    }

    fn change(&self, change: Change) -> io::Result<()> {
        let mut image = self.image()?;
        image.may_write()?;
        let file = image.file(self.which);
        apply_some(file.bytes.get_or_insert_default(), &change, &mut || true);
        file.unsynced.push(change);
        Ok(())
    }
}

impl StorageBackend for Handle {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.image()?.file(self.which).bytes.as_ref().map_or(0, Vec::len) as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let offset = offset_of(offset)?;
        let mut image = self.image()?;
        let bytes = image.file(self.which).bytes.as_ref().and_then(|bytes| bytes.get(offset..offset + out.len()));
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.change(Change::Length(offset_of(len)?))
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let mut image = self.image()?;
        image.may_write()?;
        image.file(self.which).sync();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.change(Change::Write(offset_of(offset)?, data.to_vec()))
    }
}

impl Disk for MemoryDisk {
    fn open_database(&self, builder: &Builder) -> Result<Database, DatabaseError> {
        if self.image().database.bytes.as_ref().is_none_or(Vec::is_empty) {
            self.make_database(builder)?;
        }
        builder.create_with_backend(self.handle(Which::Database))
    }

    fn database_bytes(&self) -> io::Result<Option<Vec<u8>>> {
        Ok(self.image().database.bytes.clone())
    }

    fn set_database_aside(&self) -> io::Result<String> {
        let mut image = self.image();
        image.may_write()?;
        let name = format!("{DATABASE}.damaged");
        if let Some(bytes) = std::mem::take(&mut image.database).bytes {
            image.files.insert(name.clone(), bytes);
        }
        Ok(name)
    }

    fn open_journal(&self) -> io::Result<Box<dyn StorageBackend>> {
        let mut image = self.image();
        if image.journal.bytes.is_none() {
            image.may_write()?;
            image.journal = FileImage::durable(vec![0; JOURNAL_BYTES]);
        }
        drop(image);
        Ok(Box::new(self.handle(Which::Journal)))
    }

    fn journal_bytes(&self) -> io::Result<Option<Vec<u8>>> {
        Ok(self.image().journal.bytes.clone())
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.image().files.get(name).cloned())
    }

    fn replace(&self, name: &str, fill: Fill<'_>) -> io::Result<u64> {
        let mut content = Vec::new();
        fill(&mut content)?;
        let mut image = self.image();
        image.may_write()?;
        let size = content.len() as u64;
        image.files.insert(name.to_owned(), content);
        Ok(size)
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut image = self.image();
        image.may_write()?;
        image.files.entry(name.to_owned()).or_default().extend_from_slice(bytes);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut image = self.image();
        image.may_write()?;
        image.files.remove(name);
        Ok(())
    }

    fn list(&self, directory: &str) -> io::Result<Vec<(String, u64)>> {
        let image = self.image();
        let inside = |(name, bytes): (&String, &Vec<u8>)| {
            let (parent, name) = name.rsplit_once('/')?;
            (parent == directory).then(|| (name.to_owned(), bytes.len() as u64))
        };
        Ok(image.files.iter().filter_map(inside).collect())
    }

    fn path_of(&self, name: &str) -> String {
        name.to_owned()
    }
}
