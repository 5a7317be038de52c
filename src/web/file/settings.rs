//! What the web configuration file says, read and checked.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    str::FromStr as _,
    time::Duration,
};

use http::{HeaderName, HeaderValue, header};
use serde::Deserialize;

use super::WebFileError;
use crate::{alert::text::parse_go_duration, config::TlsVersion};

/// The whole file.
#[derive(Debug, Default)]
pub(in crate::web) struct Settings {
    /// `None`: plain HTTP.
    pub tls: Option<TlsSettings>,
    pub http2: bool,
    /// For every answer that has no such header of its own.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Names and bcrypt hashes. Empty: everybody may enter.
    pub users: BTreeMap<String, String>,
    /// Names of `users` that may change nothing.
    pub read_only: BTreeSet<String>,
    /// Time for one more request, and how many may come at once.
    pub rate: Option<(Duration, u32)>,
}

/// Section `tls_server_config`, paths resolved.
#[derive(Debug)]
pub(in crate::web) struct TlsSettings {
    pub cert: Pem,
    pub key: Pem,
    pub client_auth: ClientAuth,
    pub client_ca: Option<Pem>,
    pub allowed_sans: Vec<String>,
    pub min_version: TlsVersion,
    pub max_version: TlsVersion,
    /// Go's names; empty: all that there are.
    pub cipher_suites: Vec<String>,
    pub curves: Vec<String>,
    pub prefer_server_order: bool,
}

/// PEM text in the file or in one of its own.
pub(in crate::web) enum Pem {
    Inline(String),
    File(PathBuf),
}

impl std::fmt::Debug for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // It may be a private key.
            Pem::Inline(_) => f.write_str("<secret>"),
            Pem::File(path) => path.fmt(f),
        }
    }
}

/// What is asked of clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(in crate::web) enum ClientAuth {
    #[default]
    #[serde(alias = "")]
    NoClientCert,
    RequestClientCert,
    #[serde(alias = "RequireClientCert")]
    RequireAnyClientCert,
    VerifyClientCertIfGiven,
    RequireAndVerifyClientCert,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FileSection {
    tls_server_config: Option<TlsSection>,
    http_server_config: Option<HttpSection>,
    basic_auth_users: Option<BTreeMap<String, Option<String>>>,
    /// Ours alone.
    read_only_users: Option<BTreeSet<String>>,
    rate_limit: Option<RateSection>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TlsSection {
    cert: Option<String>,
    cert_file: Option<String>,
    key: Option<String>,
    key_file: Option<String>,
    client_auth_type: Option<String>,
    client_ca: Option<String>,
    client_ca_file: Option<String>,
    client_allowed_sans: Option<Vec<String>>,
    min_version: Option<String>,
    max_version: Option<String>,
    cipher_suites: Option<Vec<String>>,
    curve_preferences: Option<Vec<String>>,
    prefer_server_cipher_suites: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct HttpSection {
    http2: Option<bool>,
    headers: Option<BTreeMap<String, Option<String>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RateSection {
    interval: Option<String>,
    burst: Option<u32>,
}

impl Settings {
    /// Reads `text`, the content of the file at `path`. Files that it names are not looked at.
    pub fn parse(text: &str, path: &Path) -> Result<Self, WebFileError> {
        // A quotation of the source in an error could show a key.
        let options = serde_saphyr::options! { with_snippet: false };
        let section = if text.trim().is_empty() {
            None
        } else {
            serde_saphyr::from_str_with_options::<Option<FileSection>>(text, options)
                .map_err(|error| WebFileError::Yaml { path: path.to_owned(), why: error.to_string().into() })?
        };
        let section = section.unwrap_or_default();
        let http = section.http_server_config.unwrap_or_default();
        let users = check_users(section.basic_auth_users.unwrap_or_default())?;
        let read_only = section.read_only_users.unwrap_or_default();
        if let Some(name) = read_only.iter().find(|name| !users.contains_key(*name)) {
            return Err(WebFileError::setting(format!("read_only_users: {name:?} is not among basic_auth_users")));
        }
        Ok(Settings {
            tls: section.tls_server_config.map(|tls| tls.check(path)).transpose()?.flatten(),
            http2: http.http2.unwrap_or(true),
            headers: check_headers(http.headers.unwrap_or_default())?,
            users,
            read_only,
            rate: section.rate_limit.map(RateSection::check).transpose()?.flatten(),
        })
    }
}

impl TlsSection {
    /// `None` if the section is there but asks for nothing.
    pub fn check(self, path: &Path) -> Result<Option<TlsSettings>, WebFileError> {
        let cert = pem(self.cert, self.cert_file, path);
        let key = pem(self.key, self.key_file, path);
        let client_ca = pem(self.client_ca, self.client_ca_file, path);
        let client_auth = self.client_auth_type.unwrap_or_default();
        if cert.is_none() && key.is_none() && client_ca.is_none() && client_auth.is_empty() {
            return Ok(None);
        }
        let cert = cert.ok_or_else(|| WebFileError::setting("missing one of cert or cert_file"))?;
        let key = key.ok_or_else(|| WebFileError::setting("missing one of key or key_file"))?;
        let client_auth = check_client_auth(&client_auth)?;
        if client_ca.is_some() && client_auth == ClientAuth::NoClientCert {
            return Err(WebFileError::setting("Client CA's have been configured without a Client Auth Policy"));
        }
        let (min_version, max_version) = check_versions(self.min_version, self.max_version)?;
        Ok(Some(TlsSettings {
            cert,
            key,
            client_auth,
            client_ca,
            allowed_sans: self.client_allowed_sans.unwrap_or_default(),
            min_version,
            max_version,
            cipher_suites: self.cipher_suites.unwrap_or_default(),
            curves: self.curve_preferences.unwrap_or_default(),
            prefer_server_order: self.prefer_server_cipher_suites.unwrap_or(true),
        }))
    }
}

/// Relative paths start from the folder of the file at `base`.
fn pem(text: Option<String>, file: Option<String>, base: &Path) -> Option<Pem> {
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let resolved = |file: String| base.parent().unwrap_or(Path::new("")).join(file);
    given(text).map(Pem::Inline).or_else(|| given(file).map(|file| Pem::File(resolved(file))))
}

fn check_client_auth(text: &str) -> Result<ClientAuth, WebFileError> {
    let name = serde::de::value::StrDeserializer::<serde::de::value::Error>::new(text);
    ClientAuth::deserialize(name).map_err(|_| WebFileError::setting(format!("Invalid ClientAuth: {text}")))
}

fn check_versions(min: Option<String>, max: Option<String>) -> Result<(TlsVersion, TlsVersion), WebFileError> {
    let version = |text: Option<String>, default| match text.as_deref().unwrap_or_default() {
        "" => Ok(default),
        "TLS10" => Ok(TlsVersion::Tls10),
        "TLS11" => Ok(TlsVersion::Tls11),
        "TLS12" => Ok(TlsVersion::Tls12),
        "TLS13" => Ok(TlsVersion::Tls13),
        other => Err(WebFileError::setting(format!("unknown TLS version: {other}"))),
    };
    let (min, max) = (version(min, TlsVersion::Tls12)?, version(max, TlsVersion::Tls13)?);
    if max < TlsVersion::Tls12 {
        return Err(WebFileError::setting("max_version is below TLS12: older versions are not supported"));
    }
    if max < min {
        return Err(WebFileError::setting("max_version is below min_version"));
    }
    Ok((min, max))
}

fn check_headers(headers: BTreeMap<String, Option<String>>) -> Result<Vec<(HeaderName, HeaderValue)>, WebFileError> {
    let allowed: [(HeaderName, &[&str]); 5] = [
        (header::STRICT_TRANSPORT_SECURITY, &[]),
        (header::X_CONTENT_TYPE_OPTIONS, &["nosniff"]),
        (header::X_FRAME_OPTIONS, &["deny", "sameorigin"]),
        (header::X_XSS_PROTECTION, &[]),
        (header::CONTENT_SECURITY_POLICY, &[]),
    ];
    let mut checked = Vec::new();
    for (name, value) in headers {
        let Some((known, values)) = allowed.iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_str())) else {
            return Err(WebFileError::setting(format!("HTTP header {name:?} can not be configured")));
        };
        let value = value.unwrap_or_default();
        if value.is_empty() {
            continue;
        }
        if !values.is_empty() && !values.contains(&&*value.to_ascii_lowercase()) {
            let expected = values.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(" ");
            let text = format!("invalid value for {name}. Expected one of: [{expected}], but got: {value:?}");
            return Err(WebFileError::setting(text));
        }
        let header = HeaderValue::from_str(&value);
        let header = header.map_err(|_| WebFileError::setting(format!("invalid value for HTTP header {name:?}")))?;
        checked.push((known.clone(), header));
    }
    Ok(checked)
}

fn check_users(users: BTreeMap<String, Option<String>>) -> Result<BTreeMap<String, String>, WebFileError> {
    let check = |(name, hash): (String, Option<String>)| {
        let hash = hash.unwrap_or_default();
        match bcrypt::HashParts::from_str(&hash) {
            Ok(_) => Ok((name, hash)),
            Err(_) => {
                Err(WebFileError::setting(format!("basic_auth_users: the password of {name:?} is no bcrypt hash")))
            }
        }
    };
    users.into_iter().map(check).collect()
}

impl RateSection {
    fn check(self) -> Result<Option<(Duration, u32)>, WebFileError> {
        let Some(text) = self.interval.filter(|text| !text.is_empty()) else { return Ok(None) };
        // A bare number counts nanoseconds, as Go reads it.
        let interval = match text.parse::<u64>() {
            Ok(nanos) => Ok(Duration::from_nanos(nanos)),
            Err(_) => parse_go_duration(&text)
                .map_err(|error| WebFileError::setting(format!("rate_limit.interval: {error}")))
                // A negative one limits nothing, as zero does.
                .map(|interval| interval.to_std().unwrap_or_default()),
        }?;
        Ok((!interval.is_zero()).then_some((interval, self.burst.unwrap_or(0))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, String> {
        Settings::parse(text, Path::new("/etc/am/web.yml")).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_file_asks_for_nothing() {
        for text in ["", "\n", "# nothing\n", "{}", "tls_server_config: {}\nbasic_auth_users:\n"] {
            let settings = parse(text).unwrap();
            assert!(settings.tls.is_none() && settings.users.is_empty() && settings.http2, "{text:?}");
        }
    }

    #[test]
    fn relative_paths_start_from_the_file() {
        let settings = parse("tls_server_config: {cert_file: a.pem, key_file: /b.pem}").unwrap();
        let tls = settings.tls.unwrap();
        assert!(matches!(&tls.cert, Pem::File(path) if path == Path::new("/etc/am/a.pem")));
        assert!(matches!(&tls.key, Pem::File(path) if path == Path::new("/b.pem")));
        assert_eq!((tls.client_auth, tls.min_version), (ClientAuth::NoClientCert, TlsVersion::Tls12));
    }

    #[test]
    fn mistakes_are_named() {
        let both = "cert_file: a, key_file: b";
        for (text, part) in [
            ("foo: 1".to_owned(), "foo"),
            ("tls_server_config: {cert_file: a}".into(), "missing one of key or key_file"),
            ("tls_server_config: {key_file: a}".into(), "missing one of cert or cert_file"),
            (format!("tls_server_config: {{{both}, min_version: TLS14}}"), "unknown TLS version: TLS14"),
            (format!("tls_server_config: {{{both}, max_version: TLS11}}"), "not supported"),
            (format!("tls_server_config: {{{both}, client_auth_type: x}}"), "Invalid ClientAuth: x"),
            (format!("tls_server_config: {{{both}, client_ca_file: x}}"), "without a Client Auth Policy"),
            ("http_server_config: {headers: {X-Foo: a}}".into(), "HTTP header \"X-Foo\" can not be configured"),
            (
                "http_server_config: {headers: {X-Frame-Options: a}}".into(),
                "Expected one of: [\"deny\" \"sameorigin\"], but got: \"a\"",
            ),
            ("basic_auth_users: {u: plain}".into(), "no bcrypt hash"),
            ("rate_limit: {interval: x}".into(), "rate_limit.interval"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn everything_that_can_be_set_is_read() {
        let settings = parse(concat!(
            "tls_server_config:\n  cert: x\n  key: y\n  client_ca: z\n  client_auth_type: RequireClientCert\n",
            "  client_allowed_sans: [a]\n  cipher_suites: [TLS_AES_128_GCM_SHA256]\n  curve_preferences: [X25519]\n",
            "http_server_config:\n  http2: false\n  headers: {x-frame-options: DENY}\n",
            "basic_auth_users:\n  u: $2y$05$abcdefghijklmnopqrstuuOvGQQjcNeWD4H8CqlKmCUAVC/rxTVUy\n",
            "rate_limit: {interval: 100ms, burst: 3}\n",
        ))
        .unwrap();
        let tls = settings.tls.unwrap();
        assert_eq!((tls.client_auth, tls.allowed_sans.len()), (ClientAuth::RequireAnyClientCert, 1));
        assert_eq!((settings.http2, settings.headers.len(), settings.users.len()), (false, 1, 1));
        assert_eq!(settings.rate, Some((Duration::from_millis(100), 3)));
    }
}
