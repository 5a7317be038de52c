//! TLS as the web configuration file wants it, made anew when the file or one that it names has changed.
//!
//! Versions 1.2 and 1.3 exist; older ones in the file raise to 1.2. Cipher suites and curves of Go that there
//! are none of here are left out.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    version::{TLS12, TLS13},
};

use super::{
    Settings, Stamp, TlsSettings, WebFile, WebFileError,
    san::alternative_names,
    settings::{ClientAuth, Pem},
};
use crate::config::TlsVersion;

/// Gives each new connection the TLS of this moment.
#[derive(Debug)]
pub(in crate::web) struct Acceptor {
    file: Arc<WebFile>,
    /// Whether HTTP/2 is offered; the file decides at start.
    http2: bool,
    built: Mutex<Option<Built>>,
}

#[derive(Debug)]
struct Built {
    settings: Arc<Settings>,
    stamps: Vec<Stamp>,
    config: Arc<ServerConfig>,
}

impl Acceptor {
    pub fn new(file: Arc<WebFile>, http2: bool) -> Self {
        Acceptor { file, http2, built: Mutex::new(None) }
    }

    /// The TLS of this moment; looks at the files.
    pub fn current(&self) -> Result<Arc<ServerConfig>, WebFileError> {
        let settings = self.file.current()?;
        let tls = settings.tls.as_ref();
        let tls = tls.ok_or_else(|| {
            WebFileError::setting("the web configuration file asks for TLS no more; restart to serve without")
        })?;
        let stamps = tls.files().map(Stamp::of).collect::<Result<Vec<_>, _>>()?;
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        match &*built {
            Some(known) if Arc::ptr_eq(&known.settings, &settings) && known.stamps == stamps => {
                Ok(Arc::clone(&known.config))
            }
            _ => {
                let config = Arc::new(tls.build(self.http2)?);
                *built = Some(Built { settings: Arc::clone(&settings), stamps, config: Arc::clone(&config) });
                Ok(config)
            }
        }
    }
}

impl Pem {
    /// The text of `key` in the file.
    fn read(&self, key: &str) -> Result<Vec<u8>, WebFileError> {
        match self {
            Pem::Inline(text) => Ok(text.clone().into_bytes()),
            Pem::File(path) => fs::read(path)
                .map_err(|error| WebFileError::setting(format!("failed to read {key} ({}): {error}", path.display()))),
        }
    }

    fn certificates(&self, key: &str) -> Result<Vec<CertificateDer<'static>>, WebFileError> {
        let text = self.read(key)?;
        let found = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
        let found = found.map_err(|error| WebFileError::setting(format!("{key}: {error}")))?;
        if found.is_empty() { Err(WebFileError::setting(format!("{key}: no certificate in it"))) } else { Ok(found) }
    }
}

impl TlsSettings {
    fn files(&self) -> impl Iterator<Item = &Path> {
        [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()].into_iter().flatten().filter_map(|pem| match pem {
            Pem::File(path) => Some(path.as_path()),
            Pem::Inline(_) => None,
        })
    }

    pub(super) fn build(&self, http2: bool) -> Result<ServerConfig, WebFileError> {
        let provider = Arc::new(self.provider()?);
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&self.versions())
            .map_err(|error| WebFileError::setting(error.to_string()))?;
        let builder = match self.verifier(&provider)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let chain = self.cert.certificates("cert_file")?;
        let key = PrivateKeyDer::from_pem_slice(&self.key.read("key_file")?)
            .map_err(|error| WebFileError::setting(format!("key_file: {error}")))?;
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|error| WebFileError::setting(format!("cert_file and key_file: {error}")))?;
        config.ignore_client_order = self.prefer_server_order;
        config.alpn_protocols =
            if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
        Ok(config)
    }

    fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let mut versions = Vec::with_capacity(2);
        if self.max_version >= TlsVersion::Tls13 {
            versions.push(&TLS13);
        }
        if self.min_version <= TlsVersion::Tls12 {
            versions.push(&TLS12);
        }
        versions
    }

    fn provider(&self) -> Result<CryptoProvider, WebFileError> {
        let mut provider = ring::default_provider();
        if let Some(name) = self.cipher_suites.iter().find(|name| !is_cipher_of_go(name)) {
            return Err(WebFileError::setting(format!("unknown cipher: {name}")));
        }
        if !self.cipher_suites.is_empty() {
            // As in Go, the list says nothing about TLS 1.3.
            let place = |name: &str| self.cipher_suites.iter().position(|wanted| wanted == name);
            provider.cipher_suites.retain(|suite| {
                suite.tls13().is_some() || suite.suite().as_str().is_some_and(|name| place(name).is_some())
            });
            provider.cipher_suites.sort_by_key(|suite| suite.suite().as_str().and_then(place));
        }
        if !self.curves.is_empty() {
            let mut groups = Vec::new();
            for curve in &self.curves {
                let name =
                    name_of_curve(curve).ok_or_else(|| WebFileError::setting(format!("unknown curve: {curve}")))?;
                groups.extend(provider.kx_groups.iter().filter(|group| group.name().as_str() == Some(name)));
            }
            if groups.is_empty() {
                return Err(WebFileError::setting("curve_preferences: none of these curves is supported"));
            }
            provider.kx_groups = groups;
        }
        Ok(provider)
    }

    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Option<Arc<dyn ClientCertVerifier>>, WebFileError> {
        let mandatory = match self.client_auth {
            ClientAuth::NoClientCert => return Ok(None),
            ClientAuth::RequestClientCert | ClientAuth::VerifyClientCertIfGiven => false,
            ClientAuth::RequireAnyClientCert | ClientAuth::RequireAndVerifyClientCert => true,
        };
        let chain = match self.client_auth {
            ClientAuth::VerifyClientCertIfGiven | ClientAuth::RequireAndVerifyClientCert => {
                let builder = WebPkiClientVerifier::builder_with_provider(self.roots()?.into(), Arc::clone(provider));
                Some(builder.build().map_err(|error| WebFileError::setting(format!("client_ca_file: {error}")))?)
            }
            _ => None,
        };
        Ok(Some(Arc::new(ClientCheck {
            chain,
            mandatory,
            provider: Arc::clone(provider),
            sans: self.allowed_sans.clone(),
        })))
    }

    /// Who may vouch for clients: those given, else those that the system trusts.
    fn roots(&self) -> Result<RootCertStore, WebFileError> {
        let mut roots = RootCertStore::empty();
        match &self.client_ca {
            Some(pem) => {
                for certificate in pem.certificates("client_ca_file")? {
                    roots
                        .add(certificate)
                        .map_err(|error| WebFileError::setting(format!("client_ca_file: {error}")))?;
                }
            }
            None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
        }
        Ok(roots)
    }
}

/// Whether Go lists a cipher suite of this name as secure.
fn is_cipher_of_go(name: &str) -> bool {
    const TLS13: [&str; 3] = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
    const ENDS: [&str; 5] =
        ["AES_128_CBC_SHA", "AES_256_CBC_SHA", "AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256"];
    let end = ["TLS_ECDHE_ECDSA_WITH_", "TLS_ECDHE_RSA_WITH_"].iter().find_map(|start| name.strip_prefix(start));
    TLS13.contains(&name) || end.is_some_and(|end| ENDS.contains(&end))
}

/// Go's name to the registered one.
fn name_of_curve(name: &str) -> Option<&'static str> {
    Some(match name {
        "CurveP256" => "secp256r1",
        "CurveP384" => "secp384r1",
        "CurveP521" => "secp521r1",
        "X25519" => "X25519",
        "X25519MLKEM768" => "X25519MLKEM768",
        _ => return None,
    })
}

/// Checks the certificates of clients: their chain (or not), and the names in them.
#[derive(Debug)]
struct ClientCheck {
    /// `None`: any certificate will do, as long as the client has its key.
    chain: Option<Arc<dyn ClientCertVerifier>>,
    mandatory: bool,
    provider: Arc<CryptoProvider>,
    sans: Vec<String>,
}

impl ClientCertVerifier for ClientCheck {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.as_ref().map_or(&[], |chain| chain.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Some(chain) = &self.chain {
            chain.verify_client_cert(end_entity, intermediates, now)?;
        }
        let names = alternative_names(end_entity);
        if self.sans.is_empty() || names.iter().any(|name| self.sans.contains(name)) {
            return Ok(ClientCertVerified::assertion());
        }
        Err(Error::General(format!("could not find allowed SANs in client cert, found: {names:?}")))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(extra: &str) -> Result<CryptoProvider, String> {
        let text = format!("tls_server_config: {{cert_file: a, key_file: b, {extra}}}");
        let settings = Settings::parse(&text, Path::new("web.yml")).unwrap();
        settings.tls.unwrap().provider().map_err(|error| error.to_string())
    }

    #[test]
    fn cipher_suites_restrict_tls_1_2_only() {
        let provider =
            provider("cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA]")
                .unwrap();
        let old: Vec<_> = provider.cipher_suites.iter().filter(|suite| suite.tls13().is_none()).collect();
        assert_eq!((old.len(), provider.cipher_suites.len()), (1, 4));
    }

    #[test]
    fn names_that_go_has_not_are_refused() {
        assert_eq!(provider("cipher_suites: [FOO]").unwrap_err(), "unknown cipher: FOO");
        assert_eq!(provider("curve_preferences: [P1]").unwrap_err(), "unknown curve: P1");
        assert_eq!(provider("curve_preferences: [CurveP384, X25519]").unwrap().kx_groups.len(), 2);
    }
}
