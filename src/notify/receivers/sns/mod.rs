//! The SNS integration: a signed `Publish` to a topic, a target or a phone (reference/receivers.md 9).
//!
//! This file writes the message and judges the answer; [`sign`] signs, [`credentials`] finds out with what, with
//! the help of [`sts`] (roles), [`profile`] (shared files) and [`place`] (container, machine). [`environment`]
//! holds what the process was started with. Like the SDK this asks again by itself, twice, when AWS says that it is busy.

mod answer;
mod credentials;
mod environment;
mod place;
mod profile;
mod sign;
mod sts;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use url::form_urlencoded::{Serializer, byte_serialize};

use super::{
    BuildContext, BuildError, http_status,
    sender::{Render, Sender},
    text::key_hash,
};
use crate::{
    config::model::{HttpConfig, ProxyConfig, SnsConfig, TextSource, TlsConfig},
    httpconf::Response,
    notify::types::{FailureReason, Notification, Notifier, NotifyError, NotifyFuture, Progress, Receipt},
    random::Random,
};
use credentials::{Credentials, Kept, Shop, unavailable};
use environment::Environment;
use profile::Profiles;
use sign::{Endpoint, Scope};

const VERSION: &str = "2010-03-31";
const MESSAGE_BYTES_MAX: usize = 262_144;
const SMS_BYTES_MAX: usize = 1600;
const FIFO: &str = ".fifo";
const TRIES_MAX: u32 = 3;
/// The pause before the second try, at most; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Error codes that ask for patience.
const BUSY: [&str; 7] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "Throttled",
    "RequestThrottled",
    "RequestLimitExceeded",
    "TooManyRequestsException",
];

/// One SNS topic, target or phone.
pub struct Sns {
    sender: Sender,
    local: Sender,
    config: SnsConfig,
    environment: Environment,
    random: Random,
    kept: Kept,
}

impl Sns {
    /// The environment is read here.
    ///
    /// # Errors
    /// An `http_config` or CA bundle that cannot be used.
    pub fn new(config: &SnsConfig, context: &BuildContext) -> Result<Self, BuildError> {
        Self::within(Environment::from_process(), config, context)
    }

    fn within(environment: Environment, config: &SnsConfig, context: &BuildContext) -> Result<Self, BuildError> {
        let bundle = environment.get("AWS_CA_BUNDLE").map(PathBuf::from);
        let http = match config.use_aws_http_client || bundle.is_some() {
            true => aws_http(&config.http, bundle),
            false => config.http.clone(),
        };
        Ok(Sns {
            sender: Sender::new(&http, "sns", context)?,
            local: Sender::new(&direct(), "sns", context)?,
            config: config.clone(),
            environment,
            random: context.random.clone(),
            kept: Kept::default(),
        })
    }

    async fn send(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        let mut render = self.sender.render(notification);
        let outcome = self.publish(&mut render, notification).await;
        outcome.map(|()| Receipt::default()).map_err(|error| render.hide(error))
    }

    async fn publish(&self, render: &mut Render<'_>, notification: &Notification) -> Result<(), NotifyError> {
        let form = self.form(render, notification).map_err(template_error)?;
        let endpoint = render.text("api_url", &self.config.api_url).map_err(template_error)?;
        let profiles = Profiles::load(&self.environment).await;
        let region = self.region(&profiles).ok_or_else(|| {
            unavailable("missing region: set sigv4.region, AWS_REGION, or a region in the shared config profile")
        })?;
        let endpoint = match endpoint.as_str() {
            "" => self.environment.sns_endpoint(&region),
            own => own.to_owned(),
        };
        let endpoint = Endpoint::parse(&endpoint).ok_or_else(|| http_status::unsendable("api_url is no URL"))?;
        let shop = Shop {
            sender: &self.sender,
            local: &self.local,
            settings: &self.config.sigv4,
            environment: &self.environment,
            profiles: &profiles,
            region: &region,
        };
        let credentials = self.kept.or_from(&shop).await?;
        render.keep_all([credentials.secret_key.clone(), credentials.session_token.clone()]);
        self.post(&endpoint, &form, &region, &credentials).await
    }

    fn region(&self, profiles: &Profiles) -> Option<String> {
        let sigv4 = &self.config.sigv4;
        let configured = Some(sigv4.region.as_str()).filter(|region| !region.is_empty());
        let get = |name| self.environment.get(name);
        let of_profile = || {
            let named = Some(sigv4.profile.as_str()).filter(|name| !name.is_empty());
            profiles.get(named.or_else(|| get("AWS_PROFILE")).unwrap_or("default"))?.get("region")
        };
        let region = configured.or_else(|| get("AWS_REGION")).or_else(|| get("AWS_DEFAULT_REGION")).or_else(of_profile);
        region.map(str::to_owned)
    }

    async fn post(
        &self,
        endpoint: &Endpoint,
        form: &str,
        region: &str,
        credentials: &Credentials,
    ) -> Result<(), NotifyError> {
        let scope = Scope { service: "sns", region };
        let mut tries = 1;
        loop {
            let request = endpoint.post_signed(form.to_owned(), scope, credentials, self.sender.now());
            let request = request.ok_or_else(|| {
                http_status::unsendable("the AWS credentials hold characters that no HTTP header may have")
            })?;
            let response = self.sender.exchange(request).await?;
            if tries < TRIES_MAX && is_busy(&response) {
                let pause = FIRST_PAUSE * 2u32.pow(tries - 1);
                tokio::time::sleep(pause.mul_f64(self.random.unit_f64())).await;
                tries += 1;
                continue;
            }
            if response.status == 403 {
                self.kept.forget().await;
            }
            return http_status::check_with(&response, &[], self.sender.now(), answer::complaint);
        }
    }

    fn form(&self, render: &Render<'_>, notification: &Notification) -> Result<String, NotifyError> {
        let config = &self.config;
        let text = |name: &str, source: &str| render.text(name, source);
        let mut attributes = BTreeMap::new();
        for (name, value) in &config.attributes {
            attributes.insert(text("attributes", name)?, text("attributes", value)?);
        }
        let message = text("message", &config.message)?;
        let limit = if config.phone_number.is_empty() { MESSAGE_BYTES_MAX } else { SMS_BYTES_MAX };
        let kept = message.as_bytes().get(..limit).unwrap_or(message.as_bytes());
        if kept.len() < message.len() {
            attributes.insert("truncated".to_owned(), "true".to_owned());
        }
        let mut form = Serializer::new(String::new());
        form.append_pair("Action", "Publish").append_pair("Version", VERSION);
        for (index, (name, value)) in (1..).zip(&attributes) {
            let key = |part: &str| format!("MessageAttributes.entry.{index}.{part}");
            form.append_pair(&key("Name"), name);
            form.append_pair(&key("Value.DataType"), "String").append_pair(&key("Value.StringValue"), value);
        }
        if !config.subject.is_empty() {
            form.append_pair("Subject", &text("subject", &config.subject)?);
        }
        if !config.topic_arn.is_empty() {
            let topic = text("topic_arn", &config.topic_arn)?;
            form.append_pair("TopicArn", &topic);
            if topic.ends_with(FIFO) {
                let hash = key_hash(&notification.group_key);
                form.append_pair("MessageDeduplicationId", &hash).append_pair("MessageGroupId", &hash);
            }
        }
        if !config.phone_number.is_empty() {
            form.append_pair("PhoneNumber", &text("phone_number", &config.phone_number)?);
        }
        if !config.target_arn.is_empty() {
            form.append_pair("TargetArn", &text("target_arn", &config.target_arn)?);
        }
        // Cut by bytes: the end may be half a character, which no string can hold.
        let mut form = form.finish();
        form.push_str("&Message=");
        form.extend(byte_serialize(kept));
        Ok(form)
    }
}

impl Notifier for Sns {
    fn notify<'a>(&'a self, notification: &'a Notification) -> NotifyFuture<'a> {
        Box::pin(self.send(notification))
    }
}

fn is_busy(response: &Response) -> bool {
    matches!(response.status, 500 | 502 | 503 | 504)
        || (response.status >= 400 && answer::code(response).is_some_and(|code| BUSY.contains(&code.as_str())))
}

/// The reference counts these as the client's fault, and tries them again.
fn template_error(error: NotifyError) -> NotifyError {
    NotifyError { retry: true, reason: FailureReason::ClientError, progress: Progress::NotSent, ..error }
}

/// Of an `http_config`, what AWS's own client takes: TLS and proxy. The bundle is trusted beside a configured CA.
fn aws_http(config: &HttpConfig, bundle: Option<PathBuf>) -> HttpConfig {
    let ca = match (&config.tls.ca, bundle) {
        (None, Some(bundle)) => Some(TextSource::File(bundle)),
        (Some(TextSource::Inline(ca)), Some(bundle)) => Some(joined(ca, &bundle)),
        (Some(TextSource::File(ca)), Some(bundle)) => match std::fs::read_to_string(ca) {
            Ok(ca) => Some(joined(&ca, &bundle)),
            Err(_) => config.tls.ca.clone(),
        },
        (ca, None) => ca.clone(),
    };
    HttpConfig { tls: TlsConfig { ca, ..config.tls.clone() }, proxy: config.proxy.clone(), ..direct() }
}

fn joined(ca: &str, bundle: &std::path::Path) -> TextSource {
    // A bundle that cannot be read shows when the client is built: without it nothing would be trusted more.
    match std::fs::read_to_string(bundle) {
        Ok(bundle) => TextSource::Inline(format!("{ca}\n{bundle}")),
        Err(_) => TextSource::File(bundle.to_owned()),
    }
}

/// No authentication, no proxy, no settings at all.
fn direct() -> HttpConfig {
    HttpConfig {
        basic_auth: None,
        authorization: None,
        oauth2: None,
        tls: TlsConfig::default(),
        follow_redirects: true,
        enable_http2: true,
        proxy: ProxyConfig::default(),
        headers: Vec::new(),
        has_secret_ref: false,
    }
}
