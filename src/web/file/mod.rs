//! The web configuration file (`--web.config.file`, reference/server.md 7): TLS, passwords, headers, rate.
//!
//! The file counts as it is now: it is looked at for each request and each new TLS connection, and read again
//! when it has changed. A file that has become unreadable or wrong refuses everything (500) rather than
//! serving without what it asks for. An empty file asks for nothing.

mod san;
mod section;
mod settings;
mod tls;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

pub(crate) use section::{ServerSection, ServerTls};
pub(super) use settings::{Settings, TlsSettings};
pub(super) use tls::Acceptor;

/// The file, or something that it names, cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WebFileError {
    #[error("{path}: {why}")]
    Read { path: PathBuf, why: Arc<str> },
    #[error("{path}: {why}")]
    Yaml { path: PathBuf, why: Arc<str> },
    #[error("{0}")]
    Setting(Arc<str>),
}

impl WebFileError {
    fn read(path: &Path, error: &io::Error) -> Self {
        WebFileError::Read { path: path.to_owned(), why: error.to_string().into() }
    }

    fn setting(text: impl Into<Arc<str>>) -> Self {
        WebFileError::Setting(text.into())
    }
}

/// What tells one state of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Result<Self, WebFileError> {
        use std::os::unix::fs::MetadataExt as _;
        let data = fs::metadata(path).map_err(|error| WebFileError::read(path, &error))?;
        Ok(Stamp {
            device: data.dev(),
            inode: data.ino(),
            size: data.size(),
            modified: (data.mtime(), data.mtime_nsec()),
            changed: (data.ctime(), data.ctime_nsec()),
        })
    }
}

/// The file, and what it said last.
#[derive(Debug)]
pub(super) struct WebFile {
    path: PathBuf,
    last: Mutex<Option<(Stamp, Said)>>,
}

type Said = Result<Arc<Settings>, WebFileError>;

impl WebFile {
    pub fn new(path: PathBuf) -> Self {
        WebFile { path, last: Mutex::new(None) }
    }

    /// What the file says now. Costs one look at its metadata if it is as it was.
    pub fn current(&self) -> Said {
        let stamp = Stamp::of(&self.path)?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((known, settings)) if *known == stamp => settings.clone(),
            _ => {
                let settings = self.read().map(Arc::new);
                if let Err(error) = &settings {
                    tracing::error!(err = %error, "The web configuration file cannot be used");
                }
                *last = Some((stamp, settings.clone()));
                settings
            }
        }
    }

    fn read(&self) -> Result<Settings, WebFileError> {
        let text = fs::read_to_string(&self.path).map_err(|error| WebFileError::read(&self.path, &error))?;
        Settings::parse(&text, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_the_file_counts_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.yml");
        fs::write(&path, "").unwrap();
        let file = WebFile::new(path.clone());
        let first = file.current().unwrap();
        assert!(Arc::ptr_eq(&first, &file.current().unwrap()));
        fs::write(&path, "http_server_config: {headers: {X-Frame-Options: deny}}").unwrap();
        assert_eq!(file.current().unwrap().headers.len(), 1);
        fs::write(&path, "nonsense: 1").unwrap();
        assert!(file.current().is_err());
        fs::remove_file(&path).unwrap();
        assert!(matches!(file.current(), Err(WebFileError::Read { .. })));
    }
}
