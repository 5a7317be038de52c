//! From the completed file to the model that the program reads.

mod integrations;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use super::{
    model::{
        Authorization, BasicAuth, Config, EventBatch, EventKafkaOutput, EventRecorderConfig, EventWebhookOutput,
        Global, HeaderValueSource, HttpConfig, InhibitRule, OAuth2, OAuth2Jwt, ProxyConfig, Receiver, Route, Secret,
        SecretSource, TextSource, TlsConfig, TlsVersion, TracingClient, TracingConfig,
    },
    schema::{
        http::{self, GRANT_JWT, Headers, Http, Tls},
        observe, route as file_route,
        top::{self, File},
    },
    values::{MatcherList, Pattern, ProxyUrl, SecretText},
    yaml::{
        self,
        decode::{Dump as _, Stop, Structure as _},
    },
};
use crate::{
    alert::{
        Labels,
        matcher::{MatchOp, Matcher, Matchers},
    },
    timeinterval::TimeInterval,
};

/// # Errors
/// A pattern does not compile; cannot happen to a file that was checked.
pub fn config(file: &File) -> Result<Config, Stop> {
    let global = file.global.as_deref().cloned().unwrap_or_else(top::Global::initial);
    let root = file.route.as_deref().ok_or_else(|| Stop::because("no routes provided"))?;
    Ok(Config {
        global: Global {
            resolve_timeout: global.resolve_timeout.0,
            http: http_config(global.http_config.as_deref().unwrap_or(&Http::initial())),
        },
        route: Arc::new(route(root, &Inherited::default(), None)?),
        inhibit_rules: file.inhibit_rules.iter().map(inhibit_rule).collect::<Result<_, _>>()?,
        receivers: file.receivers.iter().map(|receiver| Arc::new(receiver_of(receiver))).collect(),
        templates: file.templates.iter().map(PathBuf::from).collect(),
        time_intervals: time_intervals(file),
        tracing: file.tracing.as_deref().map(tracing),
        event_recorder: (!file.event_recorder.is_zero()).then(|| event_recorder(&file.event_recorder)),
    })
}

/// What a route takes over from its parent.
struct Inherited {
    receiver: Arc<str>,
    group_by: Vec<String>,
    group_by_all: bool,
    group_wait: Duration,
    group_interval: Duration,
    repeat_interval: Duration,
    labels: BTreeMap<String, String>,
    key: String,
    id: String,
}

impl Default for Inherited {
    fn default() -> Self {
        Inherited {
            receiver: Arc::from(""),
            group_by: Vec::new(),
            group_by_all: false,
            group_wait: Duration::from_secs(30),
            group_interval: Duration::from_secs(300),
            repeat_interval: Duration::from_secs(4 * 3600),
            labels: BTreeMap::new(),
            key: String::new(),
            id: String::new(),
        }
    }
}

/// `index`: among its siblings; the root has none.
fn route(file: &file_route::Route, parent: &Inherited, index: Option<usize>) -> Result<Route, Stop> {
    let matchers = matchers(&file.match_equal, &file.match_re.0, &file.matchers)?;
    let receiver = if file.receiver.is_empty() { parent.receiver.clone() } else { Arc::from(file.receiver.as_str()) };
    let (group_by, group_by_all) = match &file.group_by.0 {
        None => (parent.group_by.clone(), parent.group_by_all),
        Some(names) if names.iter().any(|name| name == file_route::ALL_LABELS) => (Vec::new(), true),
        Some(names) => (names.clone(), false),
    };
    let mut labels = parent.labels.clone();
    labels.extend(file.labels.iter().map(|(name, value)| (name.clone(), value.clone())));
    let (key, id) = match index {
        None => (matchers.to_string(), matchers.to_string()),
        Some(index) => (format!("{}/{matchers}", parent.key), format!("{}/{matchers}/{index}", parent.id)),
    };
    let own = Inherited {
        receiver,
        group_by,
        group_by_all,
        group_wait: file.group_wait.map_or(parent.group_wait, |wait| wait.0),
        group_interval: file.group_interval.map_or(parent.group_interval, |interval| interval.0),
        repeat_interval: file.repeat_interval.map_or(parent.repeat_interval, |interval| interval.0),
        labels,
        key,
        id,
    };
    let routes = file
        .routes
        .iter()
        .flatten()
        .enumerate()
        .map(|(index, child)| route(child, &own, Some(index)).map(Arc::new))
        .collect::<Result<_, _>>()?;
    Ok(Route {
        receiver: own.receiver,
        group_by: own.group_by,
        group_by_all: own.group_by_all,
        matchers,
        continue_: file.continue_,
        group_wait: own.group_wait,
        group_interval: own.group_interval,
        repeat_interval: own.repeat_interval,
        mute_time_intervals: file.mute_time_intervals.clone(),
        active_time_intervals: file.active_time_intervals.clone(),
        labels: own.labels,
        routes,
        key: own.key.into(),
        id: own.id.into(),
    })
}

fn inhibit_rule(file: &file_route::InhibitRule) -> Result<InhibitRule, Stop> {
    Ok(InhibitRule {
        name: file.name.clone(),
        source: matchers(&file.source_match, &file.source_match_re.0, &file.source_matchers)?,
        target: matchers(&file.target_match, &file.target_match_re.0, &file.target_matchers)?,
        equal: file.equal.clone(),
    })
}

fn matchers(
    equal: &BTreeMap<String, String>,
    patterns: &BTreeMap<String, Pattern>,
    list: &MatcherList,
) -> Result<Matchers, Stop> {
    let refused = |error: crate::alert::matcher::MatcherError| Stop::because(error.to_string());
    let mut all = list.0.clone();
    for (name, value) in equal {
        all.push(Matcher::new(MatchOp::Equal, name.as_str(), value.as_str()).map_err(refused)?);
    }
    for (name, pattern) in patterns {
        // The text as it is compiled is what route and group keys show.
        let value = Pattern::anchored(pattern.0.as_deref().unwrap_or_default());
        all.push(Matcher::new(MatchOp::Regex, name.as_str(), value).map_err(refused)?);
    }
    Ok(Matchers::new(all))
}

fn receiver_of(file: &top::Receiver) -> Receiver {
    Receiver {
        name: Arc::from(file.name.as_str()),
        labels: Labels::from_pairs(&file.labels),
        integrations: integrations::of(file),
    }
}

fn time_intervals(file: &File) -> BTreeMap<String, Arc<TimeInterval>> {
    let interval = |specs: &[file_route::Spec]| {
        Arc::new(TimeInterval { specs: specs.iter().map(file_route::Spec::model).collect() })
    };
    let muting = file.mute_time_intervals.iter().map(|named| (named.name.clone(), interval(&named.time_intervals)));
    muting
        .chain(file.time_intervals.iter().map(|named| (named.name.clone(), interval(&named.time_intervals))))
        .collect()
}

fn tracing(file: &observe::Tracing) -> TracingConfig {
    TracingConfig {
        client: if file.client_type == "http" { TracingClient::Http } else { TracingClient::Grpc },
        endpoint: file.endpoint.clone(),
        sampling_fraction: file.sampling_fraction,
        insecure: file.insecure,
        tls: file.tls_config.as_deref().map(tls_config).unwrap_or_default(),
        headers: file.headers.as_ref().map(headers).unwrap_or_default(),
        gzip: file.compression == "gzip",
        timeout: (!file.timeout.is_zero()).then_some(file.timeout.0),
    }
}

fn event_recorder(file: &observe::EventRecorder) -> EventRecorderConfig {
    EventRecorderConfig {
        files: file.file_outputs.iter().map(|output| PathBuf::from(&output.path)).collect(),
        webhooks: file.webhook_outputs.iter().map(event_webhook).collect(),
        kafkas: file.kafka_outputs.iter().map(event_kafka).collect(),
        stdouts: file.stdout_outputs.len(),
    }
}

/// A count that is above zero, or the default.
fn count(given: i64, default: usize) -> usize {
    usize::try_from(given).ok().filter(|count| *count > 0).unwrap_or(default)
}

fn interval(given: Duration, default: Duration) -> Duration {
    if given.is_zero() { default } else { given }
}

fn event_webhook(file: &observe::WebhookOutput) -> EventWebhookOutput {
    EventWebhookOutput {
        url: Secret(file.url.as_ref().map(|url| url.0.to_string()).unwrap_or_default().into()),
        http: http_config(file.http_config.as_deref().unwrap_or(&Http::initial())),
        timeout: interval(file.timeout.0, Duration::from_secs(10)),
        workers: count(file.workers, 4),
        max_retries: count(file.max_retries, 3),
        retry_backoff: interval(file.retry_backoff.0, Duration::from_millis(500)),
        batch: file.batch.then(|| EventBatch {
            max_events: count(file.batch_max_events, 100),
            max_bytes: count(file.batch_max_bytes, 1_048_576),
            flush_interval: interval(file.batch_flush_interval.0, Duration::from_millis(100)),
        }),
    }
}

fn event_kafka(file: &observe::KafkaOutput) -> EventKafkaOutput {
    let or = |given: &str, default: &str| if given.is_empty() { default.to_owned() } else { given.to_owned() };
    EventKafkaOutput {
        brokers: file.brokers.clone(),
        topic: file.topic.clone(),
        client_id: or(&file.client_id, "alertmanager"),
        format: or(&file.format, "json"),
        acks: or(&file.acks, "leader"),
        compression: or(&file.compression, "none"),
        buffer_size: count(file.buffer_size, 1024),
        tls: file.tls_config.as_deref().map(tls_config),
    }
}

/// A path, unless the text is empty.
fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}

/// The inline secret, else the file.
fn inline_first(inline: &SecretText, file: &str) -> Option<SecretSource> {
    if inline.is_empty() { path(file).map(SecretSource::File) } else { Some(SecretSource::Inline(inline.0.clone())) }
}

/// The file, else the inline secret.
fn file_first(inline: &SecretText, file: &str) -> Option<SecretSource> {
    path(file).map(SecretSource::File).or_else(|| inline_first(inline, ""))
}

fn text_source(inline: &str, file: &str) -> Option<TextSource> {
    if inline.is_empty() { path(file).map(TextSource::File) } else { Some(TextSource::Inline(inline.to_owned())) }
}

pub fn http_config(file: &Http) -> HttpConfig {
    HttpConfig {
        basic_auth: file.basic_auth.as_ref().map(|auth| BasicAuth {
            username: auth.username.clone(),
            username_file: path(&auth.username_file),
            password: inline_first(&auth.password, &auth.password_file),
        }),
        authorization: file.authorization.as_ref().map(|authorization| Authorization {
            scheme: authorization.kind.clone(),
            credentials: inline_first(&authorization.credentials, &authorization.credentials_file),
        }),
        oauth2: file.oauth2.as_deref().map(|oauth2| Box::new(oauth2_config(oauth2))),
        tls: tls_config(&file.tls_config),
        follow_redirects: file.follow_redirects,
        enable_http2: file.enable_http2,
        proxy: ProxyConfig {
            url: proxy_url(file.proxy_url.as_ref()),
            no_proxy: file.no_proxy.clone(),
            from_environment: file.proxy_from_environment,
            connect_header: connect_header(&file.proxy_connect_header),
        },
        headers: file.http_headers.as_ref().map(headers).unwrap_or_default(),
        has_secret_ref: has_secret_ref(file),
    }
}

fn has_secret_ref(file: &Http) -> bool {
    let tls = |tls: &Tls| [&tls.ca_ref, &tls.cert_ref, &tls.key_ref].into_iter().any(|name| !name.is_empty());
    let basic = |auth: &http::BasicAuth| !auth.username_ref.is_empty() || !auth.password_ref.is_empty();
    let oauth2 = |auth: &http::OAuth2| {
        !auth.client_secret_ref.is_empty() || !auth.client_certificate_key_ref.is_empty() || tls(&auth.tls_config)
    };
    tls(&file.tls_config)
        || file.basic_auth.as_ref().is_some_and(basic)
        || file.authorization.as_ref().is_some_and(|authorization| !authorization.credentials_ref.is_empty())
        || file.oauth2.as_deref().is_some_and(oauth2)
}

fn oauth2_config(file: &http::OAuth2) -> OAuth2 {
    let jwt = || OAuth2Jwt {
        key: inline_first(&file.client_certificate_key, &file.client_certificate_key_file),
        key_id: file.client_certificate_key_id.clone(),
        algorithm: if file.signature_algorithm.is_empty() {
            "RS256".to_owned()
        } else {
            file.signature_algorithm.clone()
        },
        iss: if file.iss.is_empty() { file.client_id.clone() } else { file.iss.clone() },
        audience: file.audience.clone(),
        claims: file.claims.iter().map(|(name, value)| (name.clone(), yaml::payload(value))).collect(),
    };
    OAuth2 {
        client_id: file.client_id.clone(),
        client_secret: inline_first(&file.client_secret, &file.client_secret_file),
        token_url: file.token_url.clone(),
        scopes: file.scopes.clone(),
        endpoint_params: file.endpoint_params.clone(),
        tls: tls_config(&file.tls_config),
        proxy: ProxyConfig {
            url: proxy_url(file.proxy_url.as_ref()),
            no_proxy: file.no_proxy.clone(),
            from_environment: file.proxy_from_environment,
            connect_header: connect_header(&file.proxy_connect_header),
        },
        jwt: (file.grant_type == GRANT_JWT).then(jwt),
    }
}

/// An empty URL is none.
fn proxy_url(url: Option<&ProxyUrl>) -> Option<Secret> {
    url.filter(|url| !url.is_zero()).map(|url| Secret(url.0.to_string().into()))
}

fn connect_header(file: &BTreeMap<String, Vec<SecretText>>) -> Vec<(String, Vec<Secret>)> {
    file.iter().map(|(name, values)| (name.clone(), values.iter().map(|value| value.0.clone()).collect())).collect()
}

fn headers(file: &Headers) -> Vec<(String, Vec<HeaderValueSource>)> {
    let sources = |header: &http::Header| {
        let values = header.values.iter().map(|value| HeaderValueSource::Plain(value.clone()));
        let secrets = header.secrets.iter().map(|secret| HeaderValueSource::Secret(secret.0.clone()));
        let files = header.files.iter().map(|file| HeaderValueSource::File(PathBuf::from(file)));
        values.chain(secrets).chain(files).collect()
    };
    file.0.iter().map(|(name, header)| (http::canonical_header(name), sources(header))).collect()
}

fn tls_config(file: &Tls) -> TlsConfig {
    TlsConfig {
        ca: text_source(&file.ca, &file.ca_file),
        cert: text_source(&file.cert, &file.cert_file),
        key: inline_first(&file.key, &file.key_file),
        server_name: file.server_name.clone(),
        insecure_skip_verify: file.insecure_skip_verify,
        min_version: tls_version(&file.min_version),
        max_version: tls_version(&file.max_version),
    }
}

fn tls_version(file: &http::TlsVersion) -> Option<TlsVersion> {
    match file.0.as_str() {
        "TLS10" => Some(TlsVersion::Tls10),
        "TLS11" => Some(TlsVersion::Tls11),
        "TLS12" => Some(TlsVersion::Tls12),
        "TLS13" => Some(TlsVersion::Tls13),
        _ => None,
    }
}
