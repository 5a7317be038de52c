//! Who a TLS server is: verified against roots, or not at all.
//!
//! Beyond rustls' own verifier: a server certificate that is itself among the configured roots is accepted even
//! if it is marked as a CA, as self-signed certificates usually are. Go accepts it, and many set-ups rely on it.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use super::error::HttpConfigError;

/// Verification by `roots`; of these, `own` may also be presented by the server itself.
pub(super) fn by_roots(
    roots: Arc<RootCertStore>,
    own: Vec<CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, HttpConfigError> {
    let chains = if roots.is_empty() {
        None
    } else {
        let built = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider)).build();
        Some(built.map_err(|error| HttpConfigError::Tls(format!("tls: {error}")))?)
    };
    Ok(Arc::new(ByRoots { chains, own, algorithms: provider.signature_verification_algorithms }))
}

/// `insecure_skip_verify`.
pub(super) fn nothing(provider: &Arc<CryptoProvider>) -> Arc<dyn ServerCertVerifier> {
    Arc::new(Nothing { algorithms: provider.signature_verification_algorithms })
}

#[derive(Debug)]
struct ByRoots {
    /// `None`: there are no roots, so nobody is trusted.
    chains: Option<Arc<WebPkiServerVerifier>>,
    own: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for ByRoots {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chains) = &self.chains else {
            return Err(CertificateError::UnknownIssuer.into());
        };
        match chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // Its dates have been checked before this is found.
            Err(Error::InvalidCertificate(CertificateError::Other(why)))
                if why.to_string() == "CaUsedAsEndEntity" && self.own.iter().any(|root| root == end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Takes any certificate; that the server holds its key is still checked.
#[derive(Debug)]
struct Nothing {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Nothing {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// A TLS error in Go's words where there are any.
pub(super) fn tls_text(error: &Error) -> String {
    let x509 = |text: &str| format!("tls: failed to verify certificate: x509: {text}");
    match error {
        Error::InvalidCertificate(why) => match why {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                x509("certificate signed by unknown authority")
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => x509("certificate has expired or is not yet valid"),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                x509("certificate is not valid for this server name")
            }
            other => x509(&other.to_string()),
        },
        Error::AlertReceived(alert) => format!("remote error: tls: {alert:?}"),
        Error::InvalidMessage(_) => "tls: first record does not look like a TLS handshake".to_owned(),
        other => format!("tls: {other}"),
    }
}

/// Whether the server broke off because it did not like our certificate or our versions: with TLS 1.3 this
/// arrives after the handshake seems done, yet no request was read.
pub(super) fn is_handshake_refusal(error: &std::io::Error) -> bool {
    const REFUSALS: [&str; 10] = [
        "HandshakeFailure",
        "BadCertificate",
        "UnsupportedCertificate",
        "CertificateRevoked",
        "CertificateExpired",
        "CertificateUnknown",
        "UnknownCA",
        "AccessDenied",
        "CertificateRequired",
        "ProtocolVersion",
    ];
    alert(error).is_some_and(|alert| REFUSALS.contains(&alert.as_str()))
}

/// The alert that ended the connection. By its text: on its way through HTTP/2 an error loses its type.
pub(super) fn alert(error: &std::io::Error) -> Option<String> {
    error.to_string().strip_prefix("received fatal alert: ").map(str::to_owned)
}
