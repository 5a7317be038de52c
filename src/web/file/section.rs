//! A `tls_server_config` on its own, for other files that have one: read, checked and built as the web
//! configuration file's.

use std::path::Path;

use rustls::ServerConfig;
use serde::Deserialize;

use super::{
    WebFileError,
    settings::{TlsSection, TlsSettings},
};

/// As it stands in the file.
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct ServerSection(TlsSection);

/// What it asks for.
#[derive(Debug)]
pub(crate) struct ServerTls(TlsSettings);

impl ServerSection {
    /// Relative paths start from the folder of the file at `base`.
    ///
    /// # Errors
    /// What is wrong in it.
    pub(crate) fn check(self, base: &Path) -> Result<ServerTls, WebFileError> {
        let settings = self.0.check(base)?;
        settings.map(ServerTls).ok_or_else(|| WebFileError::setting("missing one of cert or cert_file"))
    }
}

impl ServerTls {
    /// The TLS of this moment, for any protocol; reads the files that the section names.
    ///
    /// # Errors
    /// What cannot be read, or is not supported.
    pub(crate) fn build(&self) -> Result<ServerConfig, WebFileError> {
        let mut config = self.0.build(false)?;
        config.alpn_protocols.clear();
        Ok(config)
    }
}
