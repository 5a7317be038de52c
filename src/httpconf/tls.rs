//! TLS settings made ready: a rustls configuration, made anew when the content of a certificate file changes
//! (reference/configuration.md 8.1, 8.3).
//!
//! A given CA replaces the system's. Without one, and without any other setting, all clients share one
//! configuration, so that the system's roots are loaded once, and only when something speaks TLS.

use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    version::{TLS12, TLS13},
};
use sha2::{Digest, Sha256};

use super::{
    error::{ErrorKind, Failure, HttpConfigError},
    secret::{read_key, read_pem},
    verify,
};
use crate::config::model::{SecretSource, TextSource, TlsConfig, TlsVersion};

/// A ready configuration, and which one it is: connections made under another are not used again.
#[derive(Clone, Debug)]
pub(super) struct TlsNow {
    pub config: Arc<ClientConfig>,
    pub generation: u64,
}

/// The TLS side of one client.
pub(super) struct TlsSetup {
    settings: TlsConfig,
    http2: bool,
    server_name: Option<ServerName<'static>>,
    /// Built last, and from which file contents.
    built: Mutex<Option<([u8; 32], TlsNow)>>,
}

impl fmt::Debug for TlsSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSetup").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl TlsSetup {
    /// Reads and checks what is configured.
    pub(super) fn new(settings: &TlsConfig, http2: bool) -> Result<Arc<Self>, HttpConfigError> {
        let server_name = match settings.server_name.as_str() {
            "" => None,
            name => Some(server_name(name).ok_or_else(|| tls_error(format!("invalid server_name {name:?}")))?),
        };
        let setup = TlsSetup { settings: settings.clone(), http2, server_name, built: Mutex::new(None) };
        if !setup.is_default() {
            setup.refresh()?;
        }
        Ok(Arc::new(setup))
    }

    /// The name to ask for and to verify: `server_name`, else the host.
    pub(super) fn name_for(&self, host: &str) -> Result<ServerName<'static>, Failure> {
        let fail = || Failure::new(ErrorKind::Tls, "tls: the host is no valid server name");
        self.server_name.clone().or_else(|| server_name(host)).ok_or_else(fail)
    }

    /// The configuration as the files are now.
    pub(super) async fn current(self: &Arc<Self>) -> Result<TlsNow, Failure> {
        if let Some(ready) = self.ready_without_reading() {
            return Ok(ready);
        }
        let setup = Arc::clone(self);
        let refreshed = tokio::task::spawn_blocking(move || setup.refresh()).await;
        match refreshed {
            Ok(result) => result.map_err(|error| Failure::new(ErrorKind::Secret, error.to_string())),
            Err(_) => Err(Failure::new(ErrorKind::Secret, "interrupted while certificates were read")),
        }
    }

    fn ready_without_reading(&self) -> Option<TlsNow> {
        if self.is_default() {
            return shared(self.http2).get().cloned();
        }
        if self.has_files() {
            return None;
        }
        self.lock().as_ref().map(|(_, now)| now.clone())
    }

    /// Reads the files; builds only if something changed. Blocks.
    fn refresh(&self) -> Result<TlsNow, HttpConfigError> {
        if self.is_default() {
            if let Some(now) = shared(self.http2).get() {
                return Ok(now.clone());
            }
            let config = Material::default().configure(&self.settings, alpn(self.http2))?;
            return Ok(shared(self.http2).get_or_init(|| TlsNow { config, generation: 0 }).clone());
        }
        let material = Material::read(&self.settings)?;
        let digest = material.digest();
        let previous = match self.lock().as_ref() {
            Some((known, now)) if *known == digest => return Ok(now.clone()),
            other => other.map_or(0, |(_, now)| now.generation),
        };
        let config = material.configure(&self.settings, alpn(self.http2))?;
        let now = TlsNow { config, generation: previous + 1 };
        *self.lock() = Some((digest, now.clone()));
        Ok(now)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<([u8; 32], TlsNow)>> {
        self.built.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_default(&self) -> bool {
        self.settings == TlsConfig { server_name: self.settings.server_name.clone(), ..TlsConfig::default() }
    }

    fn has_files(&self) -> bool {
        matches!(self.settings.ca, Some(TextSource::File(_)))
            || matches!(self.settings.cert, Some(TextSource::File(_)))
            || matches!(self.settings.key, Some(SecretSource::File(_)))
    }
}

/// A rustls configuration from a `tls_config` block as its files are now, for protocols other than HTTP.
/// The server name is the caller's business. Reads files: call it where blocking is allowed.
///
/// # Errors
/// Certificates, keys or versions that cannot be used.
pub fn client_config(settings: &TlsConfig, alpn: &[&[u8]]) -> Result<Arc<ClientConfig>, HttpConfigError> {
    Material::read(settings)?.configure(settings, alpn.iter().map(|name| name.to_vec()).collect())
}

fn shared(http2: bool) -> &'static OnceLock<TlsNow> {
    static WITH_HTTP2: OnceLock<TlsNow> = OnceLock::new();
    static WITHOUT: OnceLock<TlsNow> = OnceLock::new();
    if http2 { &WITH_HTTP2 } else { &WITHOUT }
}

fn alpn(http2: bool) -> Vec<Vec<u8>> {
    if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { Vec::new() }
}

fn server_name(host: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(host.trim_end_matches('.').to_owned()).ok()
}

fn tls_error(text: impl Into<String>) -> HttpConfigError {
    HttpConfigError::Tls(text.into())
}

type Trust = (Option<Arc<RootCertStore>>, Vec<CertificateDer<'static>>);

/// What the files hold. Dropped as soon as it is used.
#[derive(Default)]
struct Material {
    /// PEM text and a description for errors.
    ca: Option<(String, String)>,
    cert: Option<(String, String)>,
    key: Option<(String, String)>,
}

impl Material {
    fn read(settings: &TlsConfig) -> Result<Self, HttpConfigError> {
        let named = |(text, from): (Result<String, super::SecretError>, String), what: &str| {
            let text = text.map_err(|error| tls_error(format!("unable to read {what}: {error}")))?;
            Ok((text, from))
        };
        Ok(Material {
            ca: settings.ca.as_ref().map(|ca| named(read_pem(ca), "CA cert")).transpose()?,
            cert: settings.cert.as_ref().map(|cert| named(read_pem(cert), "specified client cert")).transpose()?,
            key: settings.key.as_ref().map(|key| named(read_key(key), "specified client key")).transpose()?,
        })
    }

    fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for (text, _) in [&self.ca, &self.cert, &self.key].into_iter().flatten() {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        hash.finalize().into()
    }

    /// The roots to verify by, and those of them that a server may present itself; `None`: nothing is verified.
    fn roots(&self, settings: &TlsConfig) -> Result<Trust, HttpConfigError> {
        let Some((pem, from)) = &self.ca else {
            let roots = (!settings.insecure_skip_verify).then(system_roots);
            return Ok((roots, Vec::new()));
        };
        let anchors = certificates(pem);
        let roots = root_store(&anchors);
        if roots.is_empty() {
            return Err(tls_error(format!("unable to use specified CA cert {from}")));
        }
        Ok(((!settings.insecure_skip_verify).then(|| Arc::new(roots)), anchors))
    }

    fn configure(&self, settings: &TlsConfig, alpn: Vec<Vec<u8>>) -> Result<Arc<ClientConfig>, HttpConfigError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let (roots, anchors) = self.roots(settings)?;
        let verifier = match roots {
            Some(roots) => verify::by_roots(roots, anchors, &provider)?,
            None => verify::nothing(&provider),
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions(settings)?)
            .map_err(|error| tls_error(format!("tls: {error}")))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match (&self.cert, &self.key) {
            (Some((cert, cert_from)), Some((key, key_from))) => {
                let fail = |why: String| {
                    tls_error(format!(
                        "unable to use specified client cert ({cert_from}) & key ({key_from}): tls: {why}"
                    ))
                };
                let chain = certificates(cert);
                if chain.is_empty() {
                    return Err(fail("failed to find any PEM data in certificate input".to_owned()));
                }
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
                    .map_err(|_| fail("failed to find any PEM data in key input".to_owned()))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| fail(key_text(&error)))?
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn;
        Ok(Arc::new(config))
    }
}

fn key_text(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => "private key does not match public key".to_owned(),
        other => other.to_string(),
    }
}

/// Every certificate in the text; other blocks and broken ones are skipped, as in Go.
fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok).collect()
}

fn root_store(certificates: &[CertificateDer<'static>]) -> RootCertStore {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(certificates.iter().cloned());
    store
}

fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let load = || {
        let loaded = rustls_native_certs::load_native_certs();
        if loaded.certs.is_empty() {
            tracing::warn!("the system has no root certificates: only servers with a configured CA can be verified");
        }
        Arc::new(root_store(&loaded.certs))
    };
    Arc::clone(ROOTS.get_or_init(load))
}

/// TLS 1.0 and 1.1 are not spoken: as a lower bound they mean 1.2, as an upper bound nothing is left.
fn versions(settings: &TlsConfig) -> Result<Vec<&'static SupportedProtocolVersion>, HttpConfigError> {
    if let (Some(min), Some(max)) = (settings.min_version, settings.max_version)
        && max < min
    {
        return Err(tls_error(
            "tls_config.max_version must be greater than or equal to tls_config.min_version if both are specified",
        ));
    }
    let min = settings.min_version.unwrap_or(TlsVersion::Tls12);
    let max = settings.max_version.unwrap_or(TlsVersion::Tls13);
    if max < TlsVersion::Tls12 {
        return Err(tls_error("tls_config.max_version below TLS12 is not supported: TLS 1.0 and 1.1 are insecure"));
    }
    let candidates = [(TlsVersion::Tls13, &TLS13), (TlsVersion::Tls12, &TLS12)];
    Ok(candidates.into_iter().filter(|(version, _)| *version >= min && *version <= max).map(|(_, v)| v).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions_of(min: Option<TlsVersion>, max: Option<TlsVersion>) -> Result<usize, String> {
        let settings = TlsConfig { min_version: min, max_version: max, ..TlsConfig::default() };
        versions(&settings).map(|v| v.len()).map_err(|e| e.to_string())
    }

    #[test]
    fn versions_are_those_between_the_bounds() {
        assert_eq!(versions_of(None, None), Ok(2));
        assert_eq!(versions_of(Some(TlsVersion::Tls10), None), Ok(2));
        assert_eq!(versions_of(Some(TlsVersion::Tls13), None), Ok(1));
        assert_eq!(versions_of(None, Some(TlsVersion::Tls12)), Ok(1));
        assert!(versions_of(Some(TlsVersion::Tls13), Some(TlsVersion::Tls12)).unwrap_err().contains("greater than"));
        assert!(versions_of(None, Some(TlsVersion::Tls11)).unwrap_err().contains("not supported"));
    }

    #[test]
    fn a_bad_inline_ca_is_refused_with_the_usual_words() {
        let settings = TlsConfig { ca: Some(TextSource::Inline("no pem".to_owned())), ..TlsConfig::default() };
        let error = TlsSetup::new(&settings, true).unwrap_err();
        assert_eq!(error.to_string(), "unable to use specified CA cert inline");
    }

    #[test]
    fn a_missing_ca_file_is_refused_at_build() {
        let settings = TlsConfig { ca: Some(TextSource::File("/no/ca".into())), ..TlsConfig::default() };
        assert_eq!(
            TlsSetup::new(&settings, true).unwrap_err().to_string(),
            "unable to read CA cert: unable to read file /no/ca: open /no/ca: no such file or directory"
        );
    }
}
