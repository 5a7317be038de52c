//! The checked model: what the rest of the program reads. Every default is filled in, every reference
//! resolved, every matcher compiled. How it is read from YAML, and written back masked, is elsewhere.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc, time::Duration};

pub use super::settings::*;

use crate::{
    alert::{Labels, matcher::Matchers},
    timeinterval::TimeInterval,
};

/// Text that must never be shown. `Debug`, and any dump, print `<secret>`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(pub Arc<str>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// A secret given in the file, or in a file of its own that is read at each use.
#[derive(Clone, Debug, PartialEq)]
pub enum SecretSource {
    Inline(Secret),
    File(PathBuf),
}

#[derive(Clone, Debug)]
pub struct Config {
    pub global: Global,
    pub route: Arc<Route>,
    pub inhibit_rules: Vec<InhibitRule>,
    /// In file order, unused ones included.
    pub receivers: Vec<Arc<Receiver>>,
    /// Globs, relative ones already joined to the file's folder.
    pub templates: Vec<PathBuf>,
    /// `time_intervals` and `mute_time_intervals`: one namespace.
    pub time_intervals: BTreeMap<String, Arc<TimeInterval>>,
    /// `None`: no block in the file, tracing is off.
    pub tracing: Option<TracingConfig>,
    /// `None`: no block in the file. Acts only with the feature flag `event-recorder`.
    pub event_recorder: Option<EventRecorderConfig>,
}

impl Config {
    /// The receiver of that name.
    #[must_use]
    pub fn receiver(&self, name: &str) -> Option<&Arc<Receiver>> {
        self.receivers.iter().find(|receiver| &*receiver.name == name)
    }
}

/// What of `global` is used at run time. Everything that integrations inherit is resolved into them at load.
#[derive(Clone, Debug)]
pub struct Global {
    /// Until when an alert posted without `endsAt` fires. Zero: it is over as it arrives.
    pub resolve_timeout: Duration,
    pub http: HttpConfig,
}

/// One node of the routing tree, inheritance applied (except the intervals, which are not inherited).
#[derive(Clone, Debug)]
pub struct Route {
    pub receiver: Arc<str>,
    pub group_by: Vec<String>,
    /// `group_by: ['...']`.
    pub group_by_all: bool,
    /// Sorted by name, value, type.
    pub matchers: Matchers,
    pub continue_: bool,
    pub group_wait: Duration,
    pub group_interval: Duration,
    pub repeat_interval: Duration,
    pub mute_time_intervals: Vec<String>,
    pub active_time_intervals: Vec<String>,
    /// Template strings, parent's merged in.
    pub labels: BTreeMap<String, String>,
    pub routes: Vec<Arc<Route>>,
    /// Keys from the root joined by `/`; shared by siblings of equal matchers (pipeline.md 2).
    pub key: Arc<str>,
    /// Like `key` with `/index` after each level: unique.
    pub id: Arc<str>,
}

#[derive(Clone, Debug)]
pub struct InhibitRule {
    pub name: String,
    pub source: Matchers,
    pub target: Matchers,
    pub equal: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Receiver {
    pub name: Arc<str>,
    /// Includes `name`.
    pub labels: Labels,
    /// In dump order of the lists, then list order.
    pub integrations: Vec<IntegrationConfig>,
}

#[derive(Clone, Debug)]
pub struct IntegrationConfig {
    /// `webhook`, `email`, …: the name used in the log key and in metrics.
    pub kind: &'static str,
    /// Within the list of its kind, from 0.
    pub index: usize,
    pub send_resolved: bool,
    pub settings: Settings,
}

/// A free-form YAML value (webhook `payload`, PagerDuty `details`, Jira `fields`).
/// Map entries whose key is not a string have been dropped, as the reference drops them at rendering.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(f64),
    /// A template.
    Text(String),
    List(Vec<Payload>),
    Map(Vec<(String, Payload)>),
}

/// `http_config`: how an HTTP client authenticates, connects and follows.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    pub basic_auth: Option<BasicAuth>,
    pub authorization: Option<Authorization>,
    pub oauth2: Option<Box<OAuth2>>,
    pub tls: TlsConfig,
    pub follow_redirects: bool,
    pub enable_http2: bool,
    pub proxy: ProxyConfig,
    /// Canonical name; values in sending order: values, secrets, files.
    pub headers: Vec<(String, Vec<HeaderValueSource>)>,
    /// A `*_ref` key was used: the client cannot be built (`cannot use secret ref without manager`).
    pub has_secret_ref: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum HeaderValueSource {
    Plain(String),
    Secret(Secret),
    File(PathBuf),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct BasicAuth {
    pub username: String,
    pub username_file: Option<PathBuf>,
    pub password: Option<SecretSource>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Authorization {
    /// `Bearer` unless given.
    pub scheme: String,
    pub credentials: Option<SecretSource>,
}

#[derive(Clone, Debug)]
pub struct OAuth2 {
    pub client_id: String,
    pub client_secret: Option<SecretSource>,
    pub token_url: String,
    pub scopes: Vec<String>,
    pub endpoint_params: BTreeMap<String, String>,
    pub tls: TlsConfig,
    pub proxy: ProxyConfig,
    /// `grant_type: urn:ietf:params:oauth:grant-type:jwt-bearer`.
    pub jwt: Option<OAuth2Jwt>,
}

#[derive(Clone, Debug)]
pub struct OAuth2Jwt {
    pub key: Option<SecretSource>,
    pub key_id: String,
    /// RS256, RS384 or RS512.
    pub algorithm: String,
    pub iss: String,
    pub audience: String,
    pub claims: BTreeMap<String, Payload>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProxyConfig {
    pub url: Option<Secret>,
    pub no_proxy: String,
    pub from_environment: bool,
    pub connect_header: Vec<(String, Vec<Secret>)>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct TlsConfig {
    pub ca: Option<TextSource>,
    pub cert: Option<TextSource>,
    pub key: Option<SecretSource>,
    pub server_name: String,
    pub insecure_skip_verify: bool,
    /// `TLS10` … `TLS13`.
    pub min_version: Option<TlsVersion>,
    pub max_version: Option<TlsVersion>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum TextSource {
    Inline(String),
    File(PathBuf),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    Tls10,
    Tls11,
    Tls12,
    Tls13,
}

/// `tracing`: where spans go.
#[derive(Clone, Debug, PartialEq)]
pub struct TracingConfig {
    pub client: TracingClient,
    /// `host:port`.
    pub endpoint: String,
    /// Share of root spans that are recorded, 0 to 1.
    pub sampling_fraction: f64,
    pub insecure: bool,
    /// Files are relative to the working directory. Ignored when `insecure`.
    pub tls: TlsConfig,
    pub headers: Vec<(String, Vec<HeaderValueSource>)>,
    pub gzip: bool,
    /// `None`: the exporter's own.
    pub timeout: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TracingClient {
    Grpc,
    Http,
}

/// `event_recorder`: where events are written.
#[derive(Clone, Debug, Default)]
pub struct EventRecorderConfig {
    pub files: Vec<PathBuf>,
    pub webhooks: Vec<EventWebhookOutput>,
    pub kafkas: Vec<EventKafkaOutput>,
    pub stdouts: usize,
}

#[derive(Clone, Debug)]
pub struct EventWebhookOutput {
    pub url: Secret,
    pub http: HttpConfig,
    pub timeout: Duration,
    pub workers: usize,
    pub max_retries: usize,
    pub retry_backoff: Duration,
    pub batch: Option<EventBatch>,
}

/// Several events in one request, as a JSON array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventBatch {
    pub max_events: usize,
    pub max_bytes: usize,
    pub flush_interval: Duration,
}

#[derive(Clone, Debug)]
pub struct EventKafkaOutput {
    pub brokers: Vec<String>,
    pub topic: String,
    pub client_id: String,
    /// `json` or `protobuf`.
    pub format: String,
    /// `none`, `leader` or `all`.
    pub acks: String,
    /// `none`, `gzip`, `snappy`, `lz4` or `zstd`.
    pub compression: String,
    pub buffer_size: usize,
    /// `None`: plaintext.
    pub tls: Option<TlsConfig>,
}
