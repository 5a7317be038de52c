//! The seam to the disk: one database file and a few small files that are replaced as a whole.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use redb::{Builder, Database, DatabaseError, StorageBackend, backends::FileBackend};

use super::{OpenError, gather::Gathering, journal::JOURNAL_BYTES};

/// The database file inside the storage path.
pub const DATABASE: &str = "carillon.redb";

/// The journal beside it.
pub const JOURNAL: &str = "carillon.journal";

/// Where a new database is made; a start that dies there leaves no half-made [`DATABASE`].
const NEW_DATABASE: &str = "carillon.redb.new";

/// Fills a file that is being replaced.
pub type Fill<'a> = &'a mut dyn FnMut(&mut dyn Write) -> io::Result<()>;

/// Where the store keeps its files. The real one is [`Directory`]; a simulation brings one that can fail.
pub trait Disk: Send + Sync + 'static {
    /// Opens the database, or makes an empty one: after a crash there is none or a whole one.
    ///
    /// # Errors
    /// Whatever the database says.
    fn open_database(&self, builder: &Builder) -> Result<Database, DatabaseError>;

    /// The bytes of the database file, `None` if there is none: to read what cannot be opened for writing.
    ///
    /// # Errors
    /// When it cannot be read.
    fn database_bytes(&self) -> io::Result<Option<Vec<u8>>>;

    /// Moves a damaged database out of the way and returns its new name.
    ///
    /// # Errors
    /// When it cannot be renamed.
    fn set_database_aside(&self) -> io::Result<String>;

    /// Opens the journal for writing, and makes it in its full size if it is missing or shorter.
    ///
    /// # Errors
    /// When it cannot be made.
    fn open_journal(&self) -> io::Result<Box<dyn StorageBackend>>;

    /// The bytes of the journal, `None` if there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    fn journal_bytes(&self) -> io::Result<Option<Vec<u8>>>;

    /// The content of a small file, `None` if there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>>;

    /// Replaces a small file at once: after a crash it is the old or the new one, whole. Returns its size.
    ///
    /// # Errors
    /// When it cannot be written; the old file stays.
    fn replace(&self, name: &str, fill: Fill<'_>) -> io::Result<u64>;

    /// Adds to the end of a file, and makes the file (and the directory of which its name speaks) if it is missing. Nothing
    /// is synced.
    ///
    /// # Errors
    /// When it cannot be written; a part of it may be in the file.
    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Removes a file; one that is not there is removed already.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Names, without the directory's, and sizes of the files in a directory of the storage path; none if there is no such
    /// directory.
    ///
    /// # Errors
    /// When it cannot be read.
    fn list(&self, directory: &str) -> io::Result<Vec<(String, u64)>>;

    /// A file's name for messages.
    fn path_of(&self, name: &str) -> String;
}

/// A directory of the file system.
#[derive(Clone, Debug)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Uses `path`, and makes it with its parents if it is missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: &Path) -> Result<Self, OpenError> {
        fs::create_dir_all(path).map_err(|source| OpenError::Create { path: path.display().to_string(), source })?;
        Ok(Directory { path: path.to_owned() })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A rename is durable only when its directory is. Some file systems cannot sync one; then it is as
    /// durable as they make it.
    fn sync_names(&self) {
        if let Ok(directory) = File::open(&self.path) {
            let _ = directory.sync_all();
        }
    }
}

fn optional<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Disk for Directory {
    fn open_database(&self, builder: &Builder) -> Result<Database, DatabaseError> {
        let path = self.file(DATABASE);
        if !path.try_exists()? {
            let new = self.file(NEW_DATABASE);
            optional(fs::remove_file(&new))?;
            builder.create(&new)?.close()?;
            fs::rename(&new, &path)?;
            self.sync_names();
        }
        let file = File::options().read(true).write(true).open(&path)?;
        if file.metadata()?.len() == 0 {
            // Given a backend, the builder would take this for a new file.
            return builder.open(&path);
        }
        builder.create_with_backend(Gathering::new(file)?)
    }

    fn database_bytes(&self) -> io::Result<Option<Vec<u8>>> {
        optional(fs::read(self.file(DATABASE)))
    }

    fn set_database_aside(&self) -> io::Result<String> {
        let name = format!("{DATABASE}.damaged");
        fs::rename(self.file(DATABASE), self.file(&name))?;
        Ok(self.path_of(&name))
    }

    fn open_journal(&self) -> io::Result<Box<dyn StorageBackend>> {
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(self.file(JOURNAL))?;
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        if length < JOURNAL_BYTES {
            // Written, not just extended: later writes then change no metadata, and find room on a full disk.
            file.seek(SeekFrom::End(0))?;
            file.write_all(&vec![0; JOURNAL_BYTES - length])?;
            file.sync_all()?;
            self.sync_names();
        }
        Ok(Box::new(FileBackend::new(file).map_err(io::Error::other)?))
    }

    fn journal_bytes(&self) -> io::Result<Option<Vec<u8>>> {
        optional(fs::read(self.file(JOURNAL)))
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        optional(fs::read(self.file(name)))
    }

    fn replace(&self, name: &str, fill: Fill<'_>) -> io::Result<u64> {
        // The database's lock keeps other servers out, so that the temporary name need not be random and
        // a left-over of a crash is overwritten by the next one.
        let temporary = self.file(&format!("{name}.tmp"));
        let written = write_synced(&temporary, fill);
        match written.and_then(|size| fs::rename(&temporary, self.file(name)).map(|()| size)) {
            Ok(size) => {
                self.sync_names();
                Ok(size)
            }
            Err(error) => {
                let _ = fs::remove_file(&temporary);
                Err(error)
            }
        }
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.file(name);
        let open = || File::options().append(true).create(true).open(&path);
        let mut file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                path.parent().map_or(Ok(()), fs::create_dir_all)?;
                open()?
            }
            other => other?,
        };
        file.write_all(bytes)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        optional(fs::remove_file(self.file(name))).map(drop)
    }

    fn list(&self, directory: &str) -> io::Result<Vec<(String, u64)>> {
        let mut found = Vec::new();
        for entry in optional(fs::read_dir(self.file(directory)))?.into_iter().flatten() {
            let entry = entry?;
            let about = entry.metadata()?;
            if about.is_file() {
                found.push((entry.file_name().to_string_lossy().into_owned(), about.len()));
            }
        }
        Ok(found)
    }

    fn path_of(&self, name: &str) -> String {
        self.file(name).display().to_string()
    }
}

fn write_synced(path: &Path, fill: Fill<'_>) -> io::Result<u64> {
    let mut out = BufWriter::new(File::create(path)?);
    fill(&mut out)?;
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}
