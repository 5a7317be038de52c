//! `OAuth2` tokens: client credentials (RFC 6749 4.4) and JWT bearer (RFC 7523), fetched when needed and kept until
//! shortly before they expire (reference/configuration.md 8.2).
//!
//! Whether a server wants the client's secret in a Basic header or in the form is found out by trying, header
//! first, and remembered. One request at a time fetches; others wait for its token.

use std::{fmt, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use tokio::{sync::Mutex, time::Instant};
use url::form_urlencoded;

use super::{
    Client, ClientOptions, Request, Response,
    auth::sensitive,
    error::{ErrorKind, Failure, HttpConfigError},
    jwt,
    secret::read_secret,
};
use crate::config::model::{HttpConfig, OAuth2, OAuth2Jwt};

/// A token this close to its end is not used any more.
const EXPIRY_MARGIN: Duration = Duration::from_secs(10);
/// Of a token server's error text.
const ERROR_BYTES_MAX: usize = 300;

pub(super) struct TokenSource {
    config: OAuth2,
    client: Client,
    options: ClientOptions,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    /// `Some` once a request has succeeded: whether the secret goes into the header.
    secret_in_header: Option<bool>,
}

struct Token {
    header: HeaderValue,
    /// The secret it was fetched with: another one needs another token.
    secret: String,
    good_until: Option<Instant>,
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSource").finish_non_exhaustive()
    }
}

impl TokenSource {
    pub(super) fn new(config: &OAuth2, name: &'static str, options: &ClientOptions) -> Result<Self, HttpConfigError> {
        let transport = HttpConfig {
            basic_auth: None,
            authorization: None,
            oauth2: None,
            tls: config.tls.clone(),
            follow_redirects: true,
            enable_http2: false,
            proxy: config.proxy.clone(),
            headers: Vec::new(),
            has_secret_ref: false,
        };
        let client = Client::new(&transport, name, options)?;
        Ok(TokenSource { config: config.clone(), client, options: options.clone(), state: Mutex::default() })
    }

    /// `<type> <token>`.
    pub(super) async fn header(&self) -> Result<HeaderValue, Failure> {
        let secret = self.secret().await?;
        let mut state = self.state.lock().await;
        let now = self.options.clock.monotonic();
        if let Some(token) = &state.token
            && token.secret == secret
            && token.good_until.is_none_or(|end| now < end)
        {
            return Ok(token.header.clone());
        }
        let answer = match &self.config.jwt {
            Some(jwt) => self.fetch(self.jwt_form(jwt, &secret)?, &secret, false).await?,
            None => self.fetch_with_secret(&mut state, &secret).await?,
        };
        let token = parse_token(&answer, &secret, self.options.clock.monotonic())?;
        let header = token.header.clone();
        state.token = Some(token);
        Ok(header)
    }

    pub(super) async fn forget(&self) {
        self.state.lock().await.token = None;
    }

    /// The client's secret, or the key that signs assertions.
    async fn secret(&self) -> Result<String, Failure> {
        let (source, what) = match &self.config.jwt {
            Some(jwt) => (jwt.key.as_ref(), "oauth2 client certificate key"),
            None => (self.config.client_secret.as_ref(), "oauth2 client secret"),
        };
        let Some(source) = source else { return Ok(String::new()) };
        let unreadable = |error| Failure::new(ErrorKind::Secret, format!("unable to read {what}: {error}"));
        read_secret(source).await.map_err(unreadable)
    }

    async fn fetch_with_secret(&self, state: &mut State, secret: &str) -> Result<Bytes, Failure> {
        let in_header = state.secret_in_header.unwrap_or(true);
        let outcome = self.fetch(self.credentials_form(secret, in_header)?, secret, in_header).await;
        let (outcome, in_header) = match (outcome, state.secret_in_header) {
            (Err(failure), None) if failure.kind == ErrorKind::Token => {
                (self.fetch(self.credentials_form(secret, false)?, secret, false).await, false)
            }
            (outcome, _) => (outcome, in_header),
        };
        if outcome.is_ok() {
            state.secret_in_header = Some(in_header);
        }
        outcome
    }

    fn credentials_form(&self, secret: &str, secret_in_header: bool) -> Result<String, Failure> {
        let grant_type = self.config.endpoint_params.get("grant_type").map_or("client_credentials", String::as_str);
        let mut fields = vec![("grant_type", grant_type.to_owned())];
        if !self.config.scopes.is_empty() {
            fields.push(("scope", self.config.scopes.join(" ")));
        }
        for (name, value) in &self.config.endpoint_params {
            match name.as_str() {
                "grant_type" => {}
                "scope" if !self.config.scopes.is_empty() => {
                    return Err(token_failure("oauth2: cannot overwrite parameter \"scope\""));
                }
                name => fields.push((name, value.clone())),
            }
        }
        if !secret_in_header {
            fields.push(("client_id", self.config.client_id.clone()));
            if !secret.is_empty() {
                fields.push(("client_secret", secret.to_owned()));
            }
        }
        fields.sort_by_key(|(name, _)| *name);
        Ok(form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish())
    }

    fn jwt_form(&self, jwt: &OAuth2Jwt, key: &str) -> Result<String, Failure> {
        let assertion = jwt::assertion(&self.config, jwt, key, &self.options.clock, &self.options.random);
        let assertion = assertion.map_err(|why| token_failure(format!("oauth2: cannot sign assertion: {why}")))?;
        Ok(form_urlencoded::Serializer::new(String::new())
            .append_pair("assertion", &assertion)
            .append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
            .finish())
    }

    /// One token request; the body of a 2xx answer.
    async fn fetch(&self, form: String, secret: &str, secret_in_header: bool) -> Result<Bytes, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        if secret_in_header {
            headers.insert(AUTHORIZATION, self.basic_header(secret)?);
        }
        let request = Request {
            method: Method::POST,
            url: self.config.token_url.clone(),
            headers,
            body: form.into(),
            timeout: None,
            body_wanted: true,
        };
        // The client's future contains this one: boxed, its size is finite.
        let sent = Box::pin(self.client.send(request)).await;
        let response =
            sent.map_err(|error| Failure::new(error.kind, format!("oauth2: cannot fetch token: {error}")))?;
        if (200..300).contains(&response.status) {
            return Ok(response.body);
        }
        Err(token_failure(refusal_text(&response, secret)))
    }

    /// Both parts are escaped as in a form before they are joined (RFC 6749 2.3.1).
    fn basic_header(&self, secret: &str) -> Result<HeaderValue, Failure> {
        let escape = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let pair = format!("{}:{}", escape(&self.config.client_id), escape(secret));
        sensitive(&format!("Basic {}", STANDARD.encode(pair)))
    }
}

fn token_failure(text: impl Into<String>) -> Failure {
    Failure::new(ErrorKind::Token, text)
}

/// What the token server said, without the secret should it repeat it.
fn refusal_text(response: &Response, secret: &str) -> String {
    let body = String::from_utf8_lossy(&response.body);
    let parsed: Option<serde_json::Value> = serde_json::from_str(&body).ok();
    let field = |name: &str| parsed.as_ref().and_then(|v| v.get(name)).and_then(|v| v.as_str());
    let text = match (field("error"), field("error_description")) {
        (Some(error), Some(description)) => format!("oauth2: {error:?} {description:?}"),
        (Some(error), None) => format!("oauth2: {error:?}"),
        _ => {
            let cut = body.floor_char_boundary(ERROR_BYTES_MAX);
            format!("oauth2: cannot fetch token: status {}: {}", response.status, body.get(..cut).unwrap_or(""))
        }
    };
    if secret.is_empty() { text } else { text.replace(secret, "<redacted>") }
}

/// JSON, or a form as some old servers answer.
fn parse_token(body: &[u8], secret: &str, now: Instant) -> Result<Token, Failure> {
    let (access_token, token_type, expires_in) = match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(answer) => {
            let text = |name: &str| answer.get(name).and_then(|v| v.as_str()).unwrap_or("").to_owned();
            let seconds = answer.get("expires_in").and_then(|v| match v {
                serde_json::Value::String(text) => text.parse::<f64>().ok(),
                other => other.as_f64(),
            });
            (text("access_token"), text("token_type"), seconds)
        }
        Err(_) => {
            let form: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
            let text = |name: &str| form.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value).to_owned();
            (text("access_token"), text("token_type"), text("expires_in").parse().ok())
        }
    };
    if access_token.is_empty() {
        return Err(token_failure("oauth2: server response missing access_token"));
    }
    let scheme = match token_type.to_ascii_lowercase().as_str() {
        "" | "bearer" => "Bearer",
        "mac" => "MAC",
        "basic" => "Basic",
        _ => token_type.as_str(),
    };
    let life = expires_in.filter(|s| *s > 0.0).and_then(|s| Duration::try_from_secs_f64(s).ok());
    Ok(Token {
        header: sensitive(&format!("{scheme} {access_token}"))?,
        secret: secret.to_owned(),
        // A life beyond the clock's range is as good as none.
        good_until: life.and_then(|life| now.checked_add(life.saturating_sub(EXPIRY_MARGIN))),
    })
}
