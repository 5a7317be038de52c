//! `http_config` and its blocks.

use std::collections::BTreeMap;

use super::{at_most_one, required};
use crate::config::{
    values::{ProxyUrl, SecretText},
    yaml::{
        NodeId,
        decode::{Decode, Decoder, Dump, Stop},
        emit::Doc,
        structure::structure,
    },
};

/// Names that requests set themselves.
const RESERVED_HEADERS: [&str; 18] = [
    "Authorization",
    "Host",
    "Content-Encoding",
    "Content-Length",
    "Content-Type",
    "User-Agent",
    "Connection",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Www-Authenticate",
    "Accept-Encoding",
    "X-Prometheus-Remote-Write-Version",
    "X-Prometheus-Remote-Read-Version",
    "X-Prometheus-Scrape-Timeout-Seconds",
    "X-Amz-Date",
    "X-Amz-Security-Token",
    "X-Amz-Content-Sha256",
];

pub const GRANT_JWT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

structure! {
    Http "http_config" checked {
        basic_auth: Option<BasicAuth>;
        authorization: Option<Authorization>;
        oauth2: Option<Box<OAuth2>>;
        bearer_token: SecretText;
        bearer_token_file: String;
        tls_config: Tls;
        follow_redirects: bool = true, always;
        enable_http2: bool = true, always;
        proxy_url: Option<ProxyUrl>;
        no_proxy: String;
        proxy_from_environment: bool;
        proxy_connect_header: BTreeMap<String, Vec<SecretText>>;
        http_headers: Option<Headers>;
    }
}

structure! {
    BasicAuth "basic_auth" {
        username: String;
        username_file: String;
        username_ref: String;
        password: SecretText;
        password_file: String;
        password_ref: String;
    }
}

structure! {
    Authorization "authorization" {
        kind as "type": String;
        credentials: SecretText;
        credentials_file: String;
        credentials_ref: String;
    }
}

structure! {
    OAuth2 "oauth2" checked {
        client_id: String, always;
        client_secret: SecretText;
        client_secret_file: String;
        client_secret_ref: String;
        client_certificate_key_id: String;
        client_certificate_key: SecretText;
        client_certificate_key_file: String;
        client_certificate_key_ref: String;
        grant_type: String;
        signature_algorithm: String;
        iss: String;
        audience: String;
        claims: BTreeMap<String, Doc>;
        scopes: Vec<String>;
        token_url: String, always;
        endpoint_params: BTreeMap<String, String>;
        tls_config: Tls;
        proxy_url: Option<ProxyUrl>;
        no_proxy: String;
        proxy_from_environment: bool;
        proxy_connect_header: BTreeMap<String, Vec<SecretText>>;
    }
}

structure! {
    Tls "tls_config" checked {
        ca: String;
        cert: String;
        key: SecretText;
        ca_file: String;
        cert_file: String;
        key_file: String;
        ca_ref: String;
        cert_ref: String;
        key_ref: String;
        server_name: String;
        insecure_skip_verify: bool, always;
        min_version: TlsVersion;
        max_version: TlsVersion;
    }
}

structure! {
    Header "http_headers" {
        values: Vec<String>;
        secrets: Vec<SecretText>;
        files: Vec<String>;
    }
}

/// `TLS10` to `TLS13`; empty if not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsVersion(pub String);

impl Decode for TlsVersion {
    fn decode(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, Stop> {
        if decoder.is_null(id) {
            self.0.clear();
            return Ok(true);
        }
        if !self.0.decode(decoder, id)? {
            return Ok(false);
        }
        if matches!(self.0.as_str(), "TLS10" | "TLS11" | "TLS12" | "TLS13") {
            return Ok(true);
        }
        Err(decoder.at(Stop::because(format!("unknown TLS version: {}", self.0)), id))
    }
}

impl Dump for TlsVersion {
    fn dump(&self) -> Doc {
        Doc::Text(self.0.clone())
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }
}

/// Additional headers; reserved names are refused.
#[derive(Clone, Debug, Default)]
pub struct Headers(pub BTreeMap<String, Header>);

impl Decode for Headers {
    fn decode(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, Stop> {
        self.0.clear();
        if !self.0.decode(decoder, id)? {
            return Ok(false);
        }
        for name in self.0.keys().map(|name| canonical_header(name)) {
            if RESERVED_HEADERS.contains(&name.as_str()) {
                let reason = format!("setting header {} is not allowed", crate::alert::text::quote(&name));
                return Err(decoder.at(Stop::because(reason), id));
            }
        }
        Ok(true)
    }
}

impl Dump for Headers {
    fn dump(&self) -> Doc {
        self.0.dump()
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }
}

/// `content-type` → `Content-Type`. A name with characters that no header has stays as it is.
#[must_use]
pub fn canonical_header(name: &str) -> String {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(token) {
        return name.to_owned();
    }
    let mut first = true;
    name.chars()
        .map(|c| {
            let c = if first { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
            first = c == '-';
            c
        })
        .collect()
}

impl Http {
    fn check(&mut self, _: &mut Decoder<'_>) -> Result<(), Stop> {
        let bearer = !self.bearer_token.is_empty() || !self.bearer_token_file.is_empty();
        at_most_one(&[
            ("bearer_token", !self.bearer_token.is_empty()),
            ("bearer_token_file", !self.bearer_token_file.is_empty()),
        ])?;
        let basic = self.basic_auth.is_some();
        if bearer && (basic || self.oauth2.is_some()) {
            return Err(Stop::because(
                "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured",
            ));
        }
        if let Some(auth) = &self.basic_auth {
            auth.check()?;
        }
        let one_scheme = "at most one of basic_auth, oauth2 & authorization must be configured";
        if let Some(authorization) = &mut self.authorization {
            required(!bearer, "authorization is not compatible with bearer_token & bearer_token_file")?;
            authorization.check()?;
            required(!basic && self.oauth2.is_none(), one_scheme)?;
        } else if bearer {
            self.authorization = Some(Authorization {
                kind: "Bearer".to_owned(),
                credentials: std::mem::take(&mut self.bearer_token),
                credentials_file: std::mem::take(&mut self.bearer_token_file),
                credentials_ref: String::new(),
            });
        }
        if let Some(oauth2) = &self.oauth2 {
            required(!basic, one_scheme)?;
            oauth2.check_credentials()?;
        }
        check_proxy(self.proxy_url.as_ref(), &self.no_proxy, self.proxy_from_environment, &self.proxy_connect_header)
    }
}

impl BasicAuth {
    fn check(&self) -> Result<(), Stop> {
        at_most_one(&[
            ("basic_auth username", !self.username.is_empty()),
            ("username_file", !self.username_file.is_empty()),
            ("username_ref", !self.username_ref.is_empty()),
        ])?;
        at_most_one(&[
            ("basic_auth password", !self.password.is_empty()),
            ("password_file", !self.password_file.is_empty()),
            ("password_ref", !self.password_ref.is_empty()),
        ])
    }
}

impl Authorization {
    fn check(&mut self) -> Result<(), Stop> {
        let sources =
            [!self.credentials.is_empty(), !self.credentials_file.is_empty(), !self.credentials_ref.is_empty()];
        if sources.into_iter().filter(|given| *given).count() > 1 {
            return Err(Stop::because(
                "at most one of authorization credentials & credentials_file must be configured",
            ));
        }
        self.kind = match self.kind.trim() {
            "" => "Bearer".to_owned(),
            kind => kind.to_owned(),
        };
        if self.kind.eq_ignore_ascii_case("basic") {
            return Err(Stop::because("authorization type cannot be set to \"basic\", use \"basic_auth\" instead"));
        }
        Ok(())
    }
}

impl OAuth2 {
    fn check(&mut self, _: &mut Decoder<'_>) -> Result<(), Stop> {
        check_proxy(self.proxy_url.as_ref(), &self.no_proxy, self.proxy_from_environment, &self.proxy_connect_header)
    }

    fn check_credentials(&self) -> Result<(), Stop> {
        required(!self.client_id.is_empty(), "oauth2 client_id must be configured")?;
        required(!self.token_url.is_empty(), "oauth2 token_url must be configured")?;
        let (keys, grant) = if self.grant_type == GRANT_JWT {
            let algorithm = self.signature_algorithm.as_str();
            required(
                matches!(algorithm, "" | "RS256" | "RS384" | "RS512"),
                "valid signature algorithms are RS256, RS384 and RS512",
            )?;
            let keys = [
                ("oauth2 client_certificate_key", !self.client_certificate_key.is_empty()),
                ("client_certificate_key_file", !self.client_certificate_key_file.is_empty()),
                ("client_certificate_key_ref", !self.client_certificate_key_ref.is_empty()),
            ];
            (keys, GRANT_JWT)
        } else {
            let keys = [
                ("oauth2 client_secret", !self.client_secret.is_empty()),
                ("client_secret_file", !self.client_secret_file.is_empty()),
                ("client_secret_ref", !self.client_secret_ref.is_empty()),
            ];
            (keys, "client_credentials")
        };
        at_most_one(&keys).map_err(|stop| Stop::because(format!("{} using grant-type={grant}", stop.reason)))
    }
}

impl Tls {
    fn check(&mut self, _: &mut Decoder<'_>) -> Result<(), Stop> {
        let given = |text: &str| !text.is_empty();
        at_most_one(&[("ca", given(&self.ca)), ("ca_file", given(&self.ca_file)), ("ca_ref", given(&self.ca_ref))])?;
        let certs =
            [("cert", given(&self.cert)), ("cert_file", given(&self.cert_file)), ("cert_ref", given(&self.cert_ref))];
        let keys =
            [("key", !self.key.is_empty()), ("key_file", given(&self.key_file)), ("key_ref", given(&self.key_ref))];
        at_most_one(&certs)?;
        at_most_one(&keys)?;
        match (certs.iter().any(|(_, given)| *given), keys.iter().any(|(_, given)| *given)) {
            (true, false) => Err(Stop::because(
                "exactly one of key or key_file must be configured when a client certificate is configured",
            )),
            (false, true) => Err(Stop::because(
                "exactly one of cert or cert_file must be configured when a client key is configured",
            )),
            _ => Ok(()),
        }
    }
}

fn check_proxy(
    url: Option<&ProxyUrl>,
    no_proxy: &str,
    from_environment: bool,
    connect_header: &BTreeMap<String, Vec<SecretText>>,
) -> Result<(), Stop> {
    let has_url = url.is_some_and(|url| !url.is_zero());
    required(
        connect_header.is_empty() || from_environment || has_url,
        "if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured",
    )?;
    if from_environment {
        required(!has_url, "if proxy_from_environment is configured, proxy_url must not be configured")?;
        return required(
            no_proxy.is_empty(),
            "if proxy_from_environment is configured, no_proxy must not be configured",
        );
    }
    required(no_proxy.is_empty() || url.is_some(), "if no_proxy is configured, proxy_url must also be configured")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_names_are_written_as_requests_write_them() {
        assert_eq!(canonical_header("content-TYPE"), "Content-Type");
        assert_eq!(canonical_header("Message-ID"), "Message-Id");
        assert_eq!(canonical_header("a b-c"), "a b-c");
    }
}
