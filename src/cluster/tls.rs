//! TLS between nodes (`--cluster.tls-config`, reference/cluster.md 6): what the file says, and streams made of it.
//!
//! The server's section is the one of the web configuration file, and means the same. Certificates are read anew for
//! each connection, so they can be renewed in place. TLS 1.0 and 1.1 are not spoken: as a lower bound they mean 1.2,
//! as an upper bound they are refused.

use std::{
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme, SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    version::{TLS12, TLS13},
};
use serde::Deserialize;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::network::Stream;
use crate::{
    config::TlsVersion,
    web::{ServerSection, ServerTls},
};

/// The TLS of a node.
#[derive(Clone)]
pub struct ClusterTls(Arc<Setup>);

struct Setup {
    server: ServerTls,
    client: Client,
    versions: Vec<&'static SupportedProtocolVersion>,
    directory: PathBuf,
    provider: Arc<CryptoProvider>,
}

/// What is wrong with the file, or with one that it names.
#[derive(Debug, thiserror::Error)]
#[error("--cluster.tls-config: {0}")]
pub struct TlsFileError(String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsFile {
    tls_server_config: Option<ServerSection>,
    tls_client_config: Option<Client>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Client {
    ca_file: Option<PathBuf>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    ca: Option<String>,
    cert: Option<String>,
    key: Option<String>,
    server_name: Option<String>,
    insecure_skip_verify: bool,
    min_version: Option<String>,
    max_version: Option<String>,
}

impl fmt::Debug for ClusterTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterTls")
    }
}

impl ClusterTls {
    /// Reads the file and everything that it names, so that a mistake is found at the start.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn load(path: &Path) -> Result<Self, TlsFileError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| TlsFileError(format!("{}: {error}", path.display())))?;
        // The default quotes the lines around an error, keys included.
        let options = serde_saphyr::options! { with_snippet: false };
        let file: TlsFile = serde_saphyr::from_str_with_options(&text, options)
            .map_err(|error| TlsFileError(format!("{}: {error}", path.display())))?;
        let missing = |section: &str| TlsFileError(format!("missing '{section}' entry in the TLS configuration"));
        let server = file.tls_server_config.ok_or_else(|| missing("tls_server_config"))?;
        let client = file.tls_client_config.ok_or_else(|| missing("tls_client_config"))?;
        let tls = ClusterTls(Arc::new(Setup {
            server: server.check(path).map_err(|error| TlsFileError(format!("tls_server_config: {error}")))?,
            versions: versions(client.min_version.as_deref(), client.max_version.as_deref())?,
            client,
            directory: path.parent().map(Path::to_path_buf).unwrap_or_default(),
            provider: Arc::new(ring::default_provider()),
        }));
        tls.0.server()?;
        tls.0.client()?;
        Ok(tls)
    }

    pub(super) async fn connect(&self, stream: Box<dyn Stream>, to: SocketAddr) -> io::Result<Box<dyn Stream>> {
        let client = self.0.client().map_err(io::Error::other)?;
        let configured = self.0.client.server_name.clone();
        let name = match configured.filter(|name| !name.is_empty()) {
            Some(name) => ServerName::try_from(name).map_err(io::Error::other)?,
            None => ServerName::IpAddress(to.ip().into()),
        };
        let stream = TlsConnector::from(Arc::new(client)).connect(name, stream).await?;
        Ok(Box::new(stream))
    }

    pub(super) async fn accept(&self, stream: Box<dyn Stream>) -> io::Result<Box<dyn Stream>> {
        let server = self.0.server().map_err(io::Error::other)?;
        Ok(Box::new(TlsAcceptor::from(Arc::new(server)).accept(stream).await?))
    }
}

impl Setup {
    fn read(&self, path: &Path) -> Result<Vec<u8>, TlsFileError> {
        let path = self.directory.join(path);
        std::fs::read(&path).map_err(|error| TlsFileError(format!("{}: {error}", path.display())))
    }

    fn server(&self) -> Result<ServerConfig, TlsFileError> {
        self.server.build().map_err(|error| TlsFileError(format!("tls_server_config: {error}")))
    }

    fn client(&self) -> Result<ClientConfig, TlsFileError> {
        let client = &self.client;
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&self.versions)
            .map_err(|error| TlsFileError(error.to_string()))?;
        let builder = if client.insecure_skip_verify {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer(Arc::clone(&self.provider))))
        } else {
            let roots = match self.either(client.ca.as_ref(), client.ca_file.as_ref())? {
                Some(ca) => roots(&ca, "ca_file")?,
                None => system_roots(),
            };
            builder.with_root_certificates(roots)
        };
        let chain = self.either(client.cert.as_ref(), client.cert_file.as_ref())?;
        let key = self.either(client.key.as_ref(), client.key_file.as_ref())?;
        match (chain, key) {
            (Some(chain), Some(key)) => builder
                .with_client_auth_cert(certificates(&chain, "cert_file")?, private_key(&key, "key_file")?)
                .map_err(|error| TlsFileError(format!("client cert_file and key_file: {error}"))),
            (None, None) => Ok(builder.with_no_client_auth()),
            _ => Err(TlsFileError("tls_client_config needs both of cert_file and key_file, or neither".to_owned())),
        }
    }

    fn either(&self, inline: Option<&String>, path: Option<&PathBuf>) -> Result<Option<Vec<u8>>, TlsFileError> {
        match (inline, path) {
            (Some(text), _) => Ok(Some(text.clone().into_bytes())),
            (None, Some(path)) => self.read(path).map(Some),
            (None, None) => Ok(None),
        }
    }
}

/// Those between the bounds of the client's section.
fn versions(min: Option<&str>, max: Option<&str>) -> Result<Vec<&'static SupportedProtocolVersion>, TlsFileError> {
    let version = |text: Option<&str>, default| match text.unwrap_or_default() {
        "" => Ok(default),
        "TLS10" => Ok(TlsVersion::Tls10),
        "TLS11" => Ok(TlsVersion::Tls11),
        "TLS12" => Ok(TlsVersion::Tls12),
        "TLS13" => Ok(TlsVersion::Tls13),
        other => Err(TlsFileError(format!("tls_client_config: unknown TLS version: {other}"))),
    };
    let (min, max) = (version(min, TlsVersion::Tls12)?, version(max, TlsVersion::Tls13)?);
    if max < TlsVersion::Tls12 {
        let words = "tls_client_config: max_version below TLS12 is not supported: TLS 1.0 and 1.1 are insecure";
        return Err(TlsFileError(words.to_owned()));
    }
    if max < min {
        return Err(TlsFileError("tls_client_config: max_version is below min_version".to_owned()));
    }
    let candidates = [(TlsVersion::Tls13, &TLS13), (TlsVersion::Tls12, &TLS12)];
    Ok(candidates.into_iter().filter(|(version, _)| *version >= min && *version <= max).map(|(_, v)| v).collect())
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| TlsFileError(format!("{what}: {error}")))?;
    if found.is_empty() { Err(TlsFileError(format!("{what}: no certificate in it"))) } else { Ok(found) }
}

fn private_key(pem: &[u8], what: &str) -> Result<PrivateKeyDer<'static>, TlsFileError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| TlsFileError(format!("{what}: {error}")))
}

fn roots(pem: &[u8], what: &str) -> Result<RootCertStore, TlsFileError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem, what)? {
        roots.add(certificate).map_err(|error| TlsFileError(format!("{what}: {error}")))?;
    }
    Ok(roots)
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// `insecure_skip_verify`: any certificate will do, but who shows it must have its key.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
