//! Secrets and certificates that live in files: read at each use, never kept longer than the use.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use super::error::io_text;
use crate::config::model::{SecretSource, TextSource};

/// Larger files are no secrets, keys or certificate bundles.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// A file that should hold a secret cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unable to read file {}: {reason}", path.display())]
pub struct SecretError {
    pub path: PathBuf,
    pub reason: String,
}

/// The secret: as configured, or the file's content without surrounding white space.
///
/// # Errors
/// The file cannot be read, is too large or is not UTF-8.
pub async fn read_secret(source: &SecretSource) -> Result<String, SecretError> {
    match source {
        SecretSource::Inline(secret) => Ok(secret.0.as_ref().to_owned()),
        SecretSource::File(path) => read_text_file(path).await.map(|text| text.trim().to_owned()),
    }
}

/// As [`read_secret`], where the caller may block: when integrations are built.
///
/// # Errors
/// The file cannot be read, is too large or is not UTF-8.
pub fn read_secret_now(source: &SecretSource) -> Result<String, SecretError> {
    match source {
        SecretSource::Inline(secret) => Ok(secret.0.as_ref().to_owned()),
        SecretSource::File(path) => read_blocking(path).map(|text| text.trim().to_owned()),
    }
}

/// The content of a file as it is, off the runtime's threads.
///
/// # Errors
/// The file cannot be read, is too large or is not UTF-8.
pub async fn read_text_file(path: &Path) -> Result<String, SecretError> {
    let owned = path.to_owned();
    match tokio::task::spawn_blocking(move || read_blocking(&owned)).await {
        Ok(result) => result,
        Err(_) => Err(SecretError { path: path.to_owned(), reason: "interrupted".to_owned() }),
    }
}

/// The same for code that may block.
pub(super) fn read_blocking(path: &Path) -> Result<String, SecretError> {
    let fail = |reason: String| SecretError { path: path.to_owned(), reason };
    let opened = std::fs::File::open(path);
    let file = opened.map_err(|e| fail(format!("open {}: {}", path.display(), io_text(&e))))?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| fail(format!("read {}: {}", path.display(), io_text(&e))))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(fail(format!("larger than {FILE_BYTES_MAX} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| fail("not valid UTF-8".to_owned()))
}

/// PEM text and where it came from, for error messages: `inline` or `file PATH`.
pub(super) fn read_pem(source: &TextSource) -> (Result<String, SecretError>, String) {
    match source {
        TextSource::Inline(text) => (Ok(text.clone()), "inline".to_owned()),
        TextSource::File(path) => (read_blocking(path), format!("file {}", path.display())),
    }
}

/// As [`read_pem`], for a private key.
pub(super) fn read_key(source: &SecretSource) -> (Result<String, SecretError>, String) {
    match source {
        SecretSource::Inline(text) => (Ok(text.0.as_ref().to_owned()), "inline".to_owned()),
        SecretSource::File(path) => (read_blocking(path), format!("file {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_secret_loses_surrounding_white_space() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, " s3cret \n").unwrap();
        assert_eq!(read_secret(&SecretSource::File(path)).await.unwrap(), "s3cret");
    }

    #[tokio::test]
    async fn a_missing_file_is_named() {
        let error = read_secret(&SecretSource::File("/no/such".into())).await.unwrap_err();
        assert_eq!(error.to_string(), "unable to read file /no/such: open /no/such: no such file or directory");
    }
}
