//! What nearly every integration does: render texts, send a request, judge the answer. An integration holds a
//! [`Sender`], asks it for the [`Render`] of a notification, and gives it requests.
//!
//! ```ignore
//! let mut render = self.sender.render(notification);
//! let outcome = self.send(&mut render, notification).await; // render.url(…), render.text(…), sender.deliver(…)
//! outcome.map_err(|error| render.hide(error))
//! ```
//!
//! Errors name the integration's field, never its value. Vendors may repeat in an answer what they were sent:
//! a [`Render`] knows every secret that it handed out and that the HTTP client showed, and hides it in the error.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::HeaderValue;
use url::form_urlencoded;

use super::{
    BuildContext, BuildError, address, http_status, payload,
    text::{truncate_bytes, truncate_runes},
};
use crate::{
    alert::{Labels, text::format_go_duration},
    clock::{Clock, Time, delta},
    config::model::{HttpConfig, Payload, SecretSource},
    httpconf::{Client, ErrorKind, Request, Response, read_secret, read_secret_now, read_text_file},
    notify::types::{Notification, NotifyError, Receipt},
    template::{Data, TemplateError, Templates},
};

/// For integrations that do not go by the name of Alertmanager.
pub const LIBRARY_USER_AGENT: &str = concat!("Carillon/", env!("CARGO_PKG_VERSION"));
const HIDDEN: &str = "<redacted>";
/// Shorter texts are no secrets, and hiding them would garble messages.
const HIDDEN_BYTES_MIN: usize = 4;
/// Tokens change from time to time; attempts under way may still have the one before.
const SHOWN_MAX: usize = 32;

/// One integration's HTTP client, templates and clock.
pub struct Sender {
    integration: &'static str,
    client: Client,
    clock: Clock,
    templates: Arc<Templates>,
    timeout: Option<Duration>,
    /// What the HTTP client showed vendors last, of its own: from files and token servers too.
    shown: Mutex<Vec<String>>,
}

impl Sender {
    /// # Errors
    /// An `http_config` that cannot be used.
    pub fn new(http: &HttpConfig, integration: &'static str, context: &BuildContext) -> Result<Self, BuildError> {
        Ok(Sender {
            integration,
            client: Client::new(http, integration, &context.http)?,
            clock: context.clock.clone(),
            templates: Arc::clone(&context.templates),
            timeout: None,
            shown: Mutex::default(),
        })
    }

    /// The integration's own `timeout`, for each request.
    #[must_use]
    pub fn with_timeout(self, timeout: Option<Duration>) -> Self {
        Sender { timeout, ..self }
    }

    #[must_use]
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// The texts of one notification.
    #[must_use]
    pub fn render<'a>(&'a self, notification: &'a Notification) -> Render<'a> {
        Render {
            integration: self.integration,
            templates: &self.templates,
            notification,
            data: OnceLock::new(),
            secrets: Vec::new(),
            shown: &self.shown,
        }
    }

    /// Sends; any status is an answer.
    ///
    /// # Errors
    /// There is no answer; may be tried again unless the URL itself is unusable.
    pub async fn exchange(&self, request: Request) -> Result<Response, NotifyError> {
        let limit = request.timeout.or(self.timeout);
        let answer = self.client.send(Request { timeout: limit, ..request }).await;
        if let Ok(response) = &answer {
            self.note_shown(&response.sent_secrets);
        }
        answer.map_err(|error| {
            let timed_out = error.kind == ErrorKind::Timeout;
            let mut error = http_status::no_answer(error);
            if let (true, Some(limit)) = (timed_out, limit) {
                let limit = format_go_duration(delta(limit));
                error.message += &format!(": configured {} timeout reached ({limit})", self.integration);
            }
            error
        })
    }

    fn note_shown(&self, values: &[HeaderValue]) {
        if values.is_empty() {
            return;
        }
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for form in values.iter().flat_map(forms_of) {
            if !shown.contains(&form) {
                shown.push(form);
            }
        }
        let surplus = shown.len().saturating_sub(SHOWN_MAX);
        shown.drain(..surplus);
    }

    /// Sends, and applies the standard check.
    ///
    /// # Errors
    /// No answer, or one that is no success.
    pub async fn deliver(&self, request: Request, retry_codes: &[u16]) -> Result<Receipt, NotifyError> {
        let response = self.exchange(request).await?;
        http_status::check(&response, retry_codes, self.now())?;
        Ok(Receipt::default())
    }
}

/// The texts by which a header's value could be known: the whole, what follows the scheme, and the password.
fn forms_of(value: &HeaderValue) -> impl Iterator<Item = String> {
    let whole = value.to_str().unwrap_or_default();
    let token = whole.split_once(' ').map(|(_, token)| token);
    let pair = token.and_then(|token| BASE64_STANDARD.decode(token).ok()).and_then(|pair| String::from_utf8(pair).ok());
    let password = pair.as_deref().and_then(|pair| pair.split_once(':')).map(|(_, password)| password.to_owned());
    [Some(whole.to_owned()), token.map(str::to_owned), password].into_iter().flatten()
}

/// A secret that is read once, when the integration is built. `field` is the key of the file.
///
/// # Errors
/// The file cannot be read.
pub fn secret_at_build(field: &str, source: &SecretSource) -> Result<String, BuildError> {
    read_secret_now(source).map_err(|error| BuildError::Settings(format!("failed to read {field}: {error}")))
}

/// A header value that logs never show.
///
/// # Errors
/// The text has characters that no header may have.
pub fn secret_header(field: &str, text: &str) -> Result<HeaderValue, BuildError> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| BuildError::Settings(format!("{field} holds characters that no HTTP header may have")))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Renders the templates of one integration for one notification, and knows the secrets that were used.
pub struct Render<'a> {
    integration: &'static str,
    templates: &'a Templates,
    notification: &'a Notification,
    /// Made when the first template is rendered: some integrations need none.
    data: OnceLock<Data>,
    secrets: Vec<String>,
    shown: &'a Mutex<Vec<String>>,
}

impl Render<'_> {
    /// `field` is the key that holds `source`, for the error.
    ///
    /// # Errors
    /// The template fails: final, nothing is sent.
    pub fn text(&self, field: &str, source: &str) -> Result<String, NotifyError> {
        if !source.contains("{{") {
            return Ok(source.to_owned());
        }
        self.templates.text(source, self.data()).map_err(|error| self.failed(field, &error))
    }

    /// As [`Render::text`], with the values escaped for HTML.
    ///
    /// # Errors
    /// The template fails.
    pub fn html(&self, field: &str, source: &str) -> Result<String, NotifyError> {
        self.templates.html(source, self.data()).map_err(|error| self.failed(field, &error))
    }

    /// At most `limit` code points of the text.
    ///
    /// # Errors
    /// The template fails.
    pub fn runes(&self, field: &str, source: &str, limit: usize) -> Result<String, NotifyError> {
        Ok(self.cut(field, &self.text(field, source)?, limit))
    }

    /// At most `limit` code points of a text that is rendered already.
    #[must_use]
    pub fn cut(&self, field: &str, text: &str, limit: usize) -> String {
        self.note_cut(field, limit, truncate_runes(text, limit))
    }

    /// At most `limit` bytes of the text.
    ///
    /// # Errors
    /// The template fails.
    pub fn bytes(&self, field: &str, source: &str, limit: usize) -> Result<String, NotifyError> {
        Ok(self.note_cut(field, limit, truncate_bytes(&self.text(field, source)?, limit)))
    }

    /// A free-form value whose texts are templates.
    ///
    /// # Errors
    /// A template fails.
    pub fn payload(&self, field: &str, value: &Payload) -> Result<Payload, NotifyError> {
        payload::render(value, &mut |source: &str| self.text(field, source))
    }

    /// What all alerts have alike.
    #[must_use]
    pub fn common_labels(&self) -> &Labels {
        &self.data().common_labels
    }

    /// A secret that is a template and may live in a file.
    ///
    /// # Errors
    /// The file cannot be read, or the template fails: final.
    pub async fn secret(&mut self, field: &str, source: &SecretSource) -> Result<String, NotifyError> {
        let template = self.read(field, source).await?;
        self.secret_text(field, template)
    }

    /// As [`Render::secret`], but a file's content is taken with its surrounding white space.
    ///
    /// # Errors
    /// The file cannot be read, or the template fails: final.
    pub async fn untrimmed_secret(&mut self, field: &str, source: &SecretSource) -> Result<String, NotifyError> {
        let SecretSource::File(path) = source else { return self.secret(field, source).await };
        let template = read_text_file(path).await;
        let template = template.map_err(|error| http_status::unsendable(format!("read {field}: {error}")))?;
        self.secret_text(field, template)
    }

    /// A secret that was read already, and is a template. Its error is not shown: it may quote a part of the secret.
    ///
    /// # Errors
    /// The template fails: final.
    pub fn secret_text(&mut self, field: &str, template: String) -> Result<String, NotifyError> {
        self.keep_all([template.clone()]);
        if !template.contains("{{") {
            return Ok(template);
        }
        let failed = |_| http_status::unsendable(format!("failed to template {} {field}", self.integration));
        let secret = self.templates.text(&template, self.data()).map_err(failed)?;
        self.keep_all([secret.clone()]);
        Ok(secret)
    }

    /// A secret that is no template and may live in a file.
    ///
    /// # Errors
    /// The file cannot be read: final.
    pub async fn plain_secret(&mut self, field: &str, source: &SecretSource) -> Result<String, NotifyError> {
        let secret = self.read(field, source).await?;
        self.keep_all([secret.clone()]);
        Ok(secret)
    }

    /// A URL that is no template, may live in a file, and may hold tokens.
    ///
    /// # Errors
    /// The file cannot be read: final. It is empty, as it may be while it is written: may be tried again.
    pub async fn url(&mut self, field: &str, source: &SecretSource) -> Result<String, NotifyError> {
        let url = self.plain_secret(field, source).await?;
        if url.is_empty() {
            return Err(NotifyError { retry: true, ..http_status::unsendable(format!("{field} is empty")) });
        }
        self.keep_all(address::secrets(&url));
        Ok(url)
    }

    /// Hides these texts too.
    pub fn keep_all(&mut self, secrets: impl IntoIterator<Item = String>) {
        self.secrets.extend(secrets);
    }

    /// The error without any secret that this notification used.
    #[must_use]
    pub fn hide(&self, error: NotifyError) -> NotifyError {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.secrets.iter().chain(shown.iter()).map(String::as_str);
        let mut secrets: Vec<&str> = known.filter(|secret| secret.len() >= HIDDEN_BYTES_MIN).collect();
        // The longest first, since one may be part of another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        let mut message = error.message;
        for secret in secrets {
            let escaped: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
            for form in [secret, &escaped] {
                if message.contains(form) {
                    message = message.replace(form, HIDDEN);
                }
            }
        }
        NotifyError { message, ..error }
    }

    fn data(&self) -> &Data {
        self.data.get_or_init(|| Data::from_notification(self.notification))
    }

    async fn read(&self, field: &str, source: &SecretSource) -> Result<String, NotifyError> {
        read_secret(source).await.map_err(|error| http_status::unsendable(format!("read {field}: {error}")))
    }

    fn note_cut(&self, field: &str, limit: usize, (text, cut): (String, bool)) -> String {
        if cut {
            tracing::warn!(integration = self.integration, field, limit, "a text was too long and has been cut");
        }
        text
    }

    fn failed(&self, field: &str, error: &TemplateError) -> NotifyError {
        http_status::unsendable(format!("failed to template {} {field}: {error}", self.integration))
    }
}
