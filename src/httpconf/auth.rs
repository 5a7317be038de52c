//! What proves who we are: the `Authorization` header and the headers of `http_headers`, made for each request,
//! since the files behind them may change at any time.

use std::{fmt, path::PathBuf};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    ClientOptions,
    error::{ErrorKind, Failure, HttpConfigError},
    oauth2::TokenSource,
    proxy::basic,
    secret::{SecretError, read_secret, read_text_file},
};
use crate::config::model::{BasicAuth, HeaderValueSource, HttpConfig, Secret, SecretSource};

pub(super) enum Auth {
    None,
    /// Nothing in it comes from a file.
    Fixed(HeaderValue),
    Basic(BasicAuth),
    /// Scheme and credentials.
    Scheme(String, SecretSource),
    OAuth2(Box<TokenSource>),
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Auth::None => "None",
            Auth::Fixed(_) => "Fixed",
            Auth::Basic(_) => "Basic",
            Auth::Scheme(..) => "Scheme",
            Auth::OAuth2(_) => "OAuth2",
        })
    }
}

impl Auth {
    pub(super) fn new(
        config: &HttpConfig,
        name: &'static str,
        options: &ClientOptions,
    ) -> Result<Self, HttpConfigError> {
        if let Some(oauth2) = &config.oauth2 {
            return Ok(Auth::OAuth2(Box::new(TokenSource::new(oauth2, name, options)?)));
        }
        if let Some(auth) = &config.basic_auth {
            let password = match &auth.password {
                None => "",
                Some(SecretSource::Inline(secret)) => secret.0.as_ref(),
                Some(SecretSource::File(_)) => return Ok(Auth::Basic(auth.clone())),
            };
            return Ok(match (&auth.username_file, basic(&auth.username, password)) {
                (None, Some(value)) => Auth::Fixed(value),
                _ => Auth::Basic(auth.clone()),
            });
        }
        let Some(authorization) = &config.authorization else { return Ok(Auth::None) };
        let credentials = authorization.credentials.clone().unwrap_or_else(|| SecretSource::Inline(Secret::default()));
        if let SecretSource::Inline(secret) = &credentials
            && let Ok(value) = sensitive(&format!("{} {}", authorization.scheme, secret.0))
        {
            return Ok(Auth::Fixed(value));
        }
        Ok(Auth::Scheme(authorization.scheme.clone(), credentials))
    }

    pub(super) fn is_none(&self) -> bool {
        matches!(self, Auth::None)
    }

    /// Only `OAuth2` replaces an `Authorization` header that the integration has set itself.
    pub(super) fn replaces_existing(&self) -> bool {
        matches!(self, Auth::OAuth2(_))
    }

    /// The header's value as of now.
    pub(super) async fn header(&self) -> Result<Option<HeaderValue>, Failure> {
        match self {
            Auth::None => Ok(None),
            Auth::Fixed(value) => Ok(Some(value.clone())),
            Auth::Basic(auth) => {
                let username = match &auth.username_file {
                    Some(path) => read_text_file(path).await.map(|text| text.trim().to_owned()),
                    None => Ok(auth.username.clone()),
                };
                let username = username.map_err(unreadable("basic auth username"))?;
                let password = match &auth.password {
                    Some(source) => read_secret(source).await.map_err(unreadable("basic auth password"))?,
                    None => String::new(),
                };
                Ok(basic(&username, &password))
            }
            Auth::Scheme(scheme, credentials) => {
                let secret = read_secret(credentials).await.map_err(unreadable("authorization credentials"))?;
                sensitive(&format!("{scheme} {secret}")).map(Some)
            }
            Auth::OAuth2(tokens) => tokens.header().await.map(Some),
        }
    }

    /// The server did not accept what [`Auth::header`] gave: a cached token is not used again.
    pub(super) async fn rejected(&self) {
        if let Auth::OAuth2(tokens) = self {
            tokens.forget().await;
        }
    }
}

fn unreadable(what: &'static str) -> impl Fn(SecretError) -> Failure {
    move |error| Failure::new(ErrorKind::Secret, format!("unable to read {what}: {error}"))
}

/// A header value that logs and compression tables never show.
pub(super) fn sensitive(text: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(text.trim())
        .map_err(|_| Failure::new(ErrorKind::Secret, "net/http: invalid header field value for \"Authorization\""))?;
    value.set_sensitive(true);
    Ok(value)
}

/// `http_headers`.
#[derive(Default)]
pub(super) struct CustomHeaders(Vec<(HeaderName, Vec<Source>)>);

enum Source {
    Fixed(HeaderValue),
    File(PathBuf),
}

impl fmt::Debug for CustomHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl CustomHeaders {
    pub(super) fn new(configured: &[(String, Vec<HeaderValueSource>)]) -> Result<Self, HttpConfigError> {
        let mut headers = Vec::with_capacity(configured.len());
        for (name, sources) in configured {
            let bad = || HttpConfigError::HeaderName(name.clone());
            let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
            let sources: Result<Vec<Source>, ()> = sources.iter().map(Source::new).collect();
            headers.push((parsed, sources.map_err(|()| bad())?));
        }
        Ok(CustomHeaders(headers))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = HeaderName> {
        self.0.iter().map(|(name, _)| name.clone())
    }

    /// Adds them; `trusted`: the request still goes to the host it was meant for.
    pub(super) async fn add_to(&self, headers: &mut HeaderMap, trusted: bool) -> Result<(), Failure> {
        for (name, sources) in &self.0 {
            if !trusted && is_sensitive(name) {
                continue;
            }
            for source in sources {
                headers.append(name.clone(), source.value(name).await?);
            }
        }
        Ok(())
    }
}

impl Source {
    fn new(source: &HeaderValueSource) -> Result<Self, ()> {
        match source {
            HeaderValueSource::Plain(text) => HeaderValue::from_str(text).map(Source::Fixed).map_err(|_| ()),
            HeaderValueSource::Secret(secret) => sensitive(&secret.0).map(Source::Fixed).map_err(|_| ()),
            HeaderValueSource::File(path) => Ok(Source::File(path.clone())),
        }
    }

    async fn value(&self, name: &HeaderName) -> Result<HeaderValue, Failure> {
        match self {
            Source::Fixed(value) => Ok(value.clone()),
            Source::File(path) => {
                let text = read_text_file(path).await;
                let text = text.map_err(|error| {
                    Failure::new(ErrorKind::Secret, format!("unable to read headers file: {error}"))
                })?;
                sensitive(&text).map_err(|_| {
                    Failure::new(ErrorKind::Secret, format!("net/http: invalid header field value for \"{name}\""))
                })
            }
        }
    }
}

/// Headers that a redirect to another site must not carry along.
pub(super) fn is_sensitive(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "authorization" | "www-authenticate" | "cookie" | "cookie2" | "proxy-authorization" | "proxy-authenticate"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn values_secrets_and_files_are_sent_in_order_as_several_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("h");
        std::fs::write(&path, "from-file\n").unwrap();
        let configured = vec![(
            "X-Key".to_owned(),
            vec![
                HeaderValueSource::Plain("plain".to_owned()),
                HeaderValueSource::Secret(Secret("secret".into())),
                HeaderValueSource::File(path),
            ],
        )];
        let custom = CustomHeaders::new(&configured).unwrap();
        let mut headers = HeaderMap::new();
        custom.add_to(&mut headers, true).await.unwrap();
        let sent: Vec<_> = headers.get_all("x-key").iter().map(|v| v.to_str().unwrap().to_owned()).collect();
        assert_eq!(sent, ["plain", "secret", "from-file"]);
        assert!(!format!("{custom:?} {headers:?}").contains("secret\""));
    }

    #[test]
    fn a_line_break_in_a_secret_is_an_error_not_a_second_header() {
        assert!(sensitive("Bearer a\r\nX: y").is_err());
    }
}
