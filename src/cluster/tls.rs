//! TLS between nodes (`--cluster.tls-config`, reference/cluster.md 6): what the file says, and streams made of it.
//!
//! Certificates are read anew for each connection, so they can be renewed in place.

use std::{
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::WebPkiClientVerifier,
};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::network::Stream;

/// The TLS of a node.
#[derive(Clone)]
pub struct ClusterTls(Arc<Setup>);

struct Setup {
    file: TlsFile,
    directory: PathBuf,
    provider: Arc<CryptoProvider>,
}

/// What is wrong with the file, or with one that it names.
#[derive(Debug, thiserror::Error)]
#[error("--cluster.tls-config: {0}")]
pub struct TlsFileError(String);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsFile {
    tls_server_config: Server,
    tls_client_config: Option<Client>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Server {
    cert_file: PathBuf,
    key_file: PathBuf,
    client_ca_file: Option<PathBuf>,
    #[serde(default)]
    client_auth_type: String,
    /// TLS 1.2 and 1.3 with safe ciphers is all there is; these are read and have no effect.
    #[serde(rename = "min_version")]
    _min_version: Option<IgnoredAny>,
    #[serde(rename = "max_version")]
    _max_version: Option<IgnoredAny>,
    #[serde(rename = "cipher_suites")]
    _cipher_suites: Option<IgnoredAny>,
    #[serde(rename = "curve_preferences")]
    _curve_preferences: Option<IgnoredAny>,
    #[serde(rename = "prefer_server_cipher_suites")]
    _prefer_server_cipher_suites: Option<IgnoredAny>,
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
    #[serde(rename = "min_version")]
    _min_version: Option<IgnoredAny>,
    #[serde(rename = "max_version")]
    _max_version: Option<IgnoredAny>,
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
        if file.tls_client_config.is_none() {
            return Err(TlsFileError("missing 'tls_client_config' entry in the TLS configuration".to_owned()));
        }
        let directory = path.parent().map(Path::to_path_buf).unwrap_or_default();
        let tls = ClusterTls(Arc::new(Setup { file, directory, provider: Arc::new(ring::default_provider()) }));
        tls.0.server()?;
        tls.0.client()?;
        Ok(tls)
    }

    pub(super) async fn connect(&self, stream: Box<dyn Stream>, to: SocketAddr) -> io::Result<Box<dyn Stream>> {
        let client = self.0.client().map_err(io::Error::other)?;
        let configured = self.0.file.tls_client_config.as_ref().and_then(|client| client.server_name.clone());
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
        let server = &self.file.tls_server_config;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsFileError(error.to_string()))?;
        let verifier = |optional: bool| {
            let ca = server.client_ca_file.as_ref();
            let ca = ca.ok_or_else(|| TlsFileError("client_auth_type needs a client_ca_file".to_owned()))?;
            let roots = roots(&self.read(ca)?, "client_ca_file")?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider));
            let verifier = if optional { verifier.allow_unauthenticated() } else { verifier };
            verifier.build().map_err(|error| TlsFileError(format!("client_ca_file: {error}")))
        };
        let builder = match server.client_auth_type.as_str() {
            "" | "NoClientCert" | "RequestClientCert" => builder.with_no_client_auth(),
            "RequireAndVerifyClientCert" | "RequireAnyClientCert" | "RequireClientCert" => {
                builder.with_client_cert_verifier(verifier(false)?)
            }
            "VerifyClientCertIfGiven" => builder.with_client_cert_verifier(verifier(true)?),
            other => return Err(TlsFileError(format!("unknown client_auth_type {other:?}"))),
        };
        let (chain, key) = (self.read(&server.cert_file)?, self.read(&server.key_file)?);
        builder
            .with_single_cert(certificates(&chain, "cert_file")?, private_key(&key, "key_file")?)
            .map_err(|error| TlsFileError(format!("cert_file and key_file: {error}")))
    }

    fn client(&self) -> Result<ClientConfig, TlsFileError> {
        let default = Client::default();
        let client = self.file.tls_client_config.as_ref().unwrap_or(&default);
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
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
