//! The settings of each integration, as its sender needs them: defaults filled in, globals inherited,
//! alternatives (`x` or `x_file`) made one value. Fields hold template source unless their comment says
//! otherwise; an empty string means "not given".

use std::{collections::BTreeMap, time::Duration};

use super::model::{HttpConfig, Payload, Secret, SecretSource, TlsConfig};

/// What one integration needs, everything inherited from `global` resolved.
#[derive(Clone, Debug)]
pub enum Settings {
    Discord(DiscordConfig),
    Email(EmailConfig),
    IncidentIo(IncidentIoConfig),
    PagerDuty(PagerDutyConfig),
    Slack(SlackConfig),
    Webhook(WebhookConfig),
    OpsGenie(OpsGenieConfig),
    WeChat(WeChatConfig),
    Pushover(PushoverConfig),
    VictorOps(VictorOpsConfig),
    Sns(SnsConfig),
    Telegram(TelegramConfig),
    Webex(WebexConfig),
    MsTeams(MsTeamsConfig),
    MsTeamsV2(MsTeamsV2Config),
    Jira(JiraConfig),
    RocketChat(RocketChatConfig),
    Mattermost(MattermostConfig),
}

#[derive(Clone, Debug)]
pub struct WebhookConfig {
    pub http: HttpConfig,
    /// May be a template.
    pub url: SecretSource,
    /// 0: no limit.
    pub max_alerts: u64,
    pub timeout: Option<Duration>,
    pub payload: Option<Payload>,
}

#[derive(Clone, Debug)]
pub struct EmailConfig {
    /// Templates.
    pub to: String,
    pub from: String,
    pub smarthost_host: String,
    pub smarthost_port: String,
    pub hello: String,
    pub auth_username: String,
    pub auth_identity: String,
    pub auth_password: Option<SecretSource>,
    pub auth_secret: Option<SecretSource>,
    /// Canonical names, values are templates.
    pub headers: BTreeMap<String, String>,
    /// HTML template; empty: no part.
    pub html: String,
    /// Text template; empty: no part.
    pub text: String,
    pub require_tls: bool,
    /// `None`: implicit TLS if and only if the port is 465.
    pub force_implicit_tls: Option<bool>,
    pub tls: TlsConfig,
    pub threading: Option<EmailThreading>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmailThreading {
    Daily,
    None,
}

#[derive(Clone, Debug)]
pub struct DiscordConfig {
    pub http: HttpConfig,
    pub webhook_url: SecretSource,
    pub content: String,
    pub title: String,
    pub message: String,
    /// Plain text.
    pub username: String,
    /// Plain text.
    pub avatar_url: String,
}

#[derive(Clone, Debug)]
pub struct IncidentIoConfig {
    pub http: HttpConfig,
    /// Plain URL, not a template.
    pub url: SecretSource,
    /// `None`: `http.authorization` serves, or nothing does.
    pub alert_source_token: Option<SecretSource>,
    /// 0: no limit.
    pub max_alerts: u64,
    pub timeout: Option<Duration>,
}

#[derive(Clone, Debug)]
pub struct PagerDutyConfig {
    pub http: HttpConfig,
    /// Given: API v1, whatever else is.
    pub service_key: Option<SecretSource>,
    pub routing_key: Option<SecretSource>,
    /// Plain URL of API v2.
    pub url: String,
    pub client: String,
    pub client_url: String,
    pub description: String,
    /// Completed with the four defaults; rendered like a webhook's payload.
    pub details: BTreeMap<String, Payload>,
    pub images: Vec<PagerDutyImage>,
    pub links: Vec<PagerDutyLink>,
    pub source: String,
    pub severity: String,
    pub class: String,
    pub component: String,
    pub group: String,
    pub timeout: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PagerDutyImage {
    pub src: String,
    pub alt: String,
    pub href: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PagerDutyLink {
    pub href: String,
    pub text: String,
}

#[derive(Clone, Debug)]
pub struct SlackConfig {
    /// With an app token, `authorization` carries it as a bearer token.
    pub http: HttpConfig,
    /// Where to post; with an app token this is the app's URL.
    pub api_url: SecretSource,
    pub channel: String,
    pub username: String,
    pub color: String,
    pub title: String,
    pub title_link: String,
    pub pretext: String,
    pub text: String,
    /// Top-level text of the message.
    pub message_text: String,
    pub fields: Vec<SlackField>,
    pub short_fields: bool,
    pub footer: String,
    pub fallback: String,
    pub callback_id: String,
    pub icon_emoji: String,
    pub icon_url: String,
    pub image_url: String,
    pub thumb_url: String,
    pub link_names: bool,
    /// Plain text. `None`: not given, the sender's default holds.
    pub mrkdwn_in: Option<Vec<String>>,
    pub actions: Vec<SlackAction>,
    pub update_message: bool,
    pub timeout: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SlackField {
    pub title: String,
    pub value: String,
    /// `None`: as `short_fields` says.
    pub short: Option<bool>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SlackAction {
    pub kind: String,
    pub text: String,
    pub url: String,
    pub style: String,
    pub name: String,
    pub value: String,
    pub confirm: Option<SlackConfirmation>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SlackConfirmation {
    pub text: String,
    pub title: String,
    pub ok_text: String,
    pub dismiss_text: String,
}

#[derive(Clone, Debug)]
pub struct OpsGenieConfig {
    pub http: HttpConfig,
    pub api_key: SecretSource,
    /// Plain URL that ends in `/`.
    pub api_url: String,
    pub message: String,
    pub description: String,
    pub source: String,
    pub details: BTreeMap<String, String>,
    pub entity: String,
    pub responders: Vec<OpsGenieResponder>,
    /// Comma list.
    pub actions: String,
    /// Comma list.
    pub tags: String,
    pub note: String,
    pub priority: String,
    pub update_alerts: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct OpsGenieResponder {
    pub id: String,
    pub name: String,
    pub username: String,
    pub kind: String,
}

#[derive(Clone, Debug)]
pub struct WeChatConfig {
    pub http: HttpConfig,
    pub api_secret: SecretSource,
    pub corp_id: String,
    /// Plain URL that ends in `/`.
    pub api_url: String,
    pub message: String,
    pub to_user: String,
    pub to_party: String,
    pub to_tag: String,
    pub agent_id: String,
    /// `text` or `markdown`.
    pub message_type: String,
}

#[derive(Clone, Debug)]
pub struct PushoverConfig {
    pub http: HttpConfig,
    /// A file's content is sent as it is, not trimmed.
    pub user_key: SecretSource,
    /// A file's content is sent as it is, not trimmed.
    pub token: SecretSource,
    pub title: String,
    /// HTML template if `html`.
    pub message: String,
    pub url: String,
    pub url_title: String,
    pub device: String,
    pub sound: String,
    pub priority: String,
    pub retry: GoDuration,
    pub expire: GoDuration,
    pub ttl: GoDuration,
    pub html: bool,
    pub monospace: bool,
}

/// A duration that may be negative, as Go writes them: nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(pub i64);

impl GoDuration {
    #[must_use]
    pub fn whole_seconds(self) -> i64 {
        self.0 / 1_000_000_000
    }

    /// `None` unless it is above zero: how time-outs are read.
    #[must_use]
    pub fn positive(self) -> Option<Duration> {
        u64::try_from(self.0).ok().filter(|nanos| *nanos > 0).map(Duration::from_nanos)
    }
}

#[derive(Clone, Debug)]
pub struct VictorOpsConfig {
    pub http: HttpConfig,
    /// Plain text.
    pub api_key: SecretSource,
    /// Plain URL that ends in `/`.
    pub api_url: String,
    pub routing_key: String,
    pub message_type: String,
    pub state_message: String,
    pub entity_display_name: String,
    pub monitoring_tool: String,
    pub custom_fields: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
pub struct SnsConfig {
    pub http: HttpConfig,
    pub api_url: String,
    pub sigv4: SigV4Config,
    pub topic_arn: String,
    pub target_arn: String,
    pub phone_number: String,
    pub subject: String,
    pub message: String,
    /// Names and values are templates.
    pub attributes: BTreeMap<String, String>,
    pub use_aws_http_client: bool,
}

/// Plain text throughout.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SigV4Config {
    pub region: String,
    pub access_key: String,
    pub secret_key: Option<Secret>,
    pub profile: String,
    pub role_arn: String,
    pub external_id: String,
    pub use_fips_sts_endpoint: bool,
    pub service_name: String,
}

#[derive(Clone, Debug)]
pub struct TelegramConfig {
    pub http: HttpConfig,
    /// Plain URL.
    pub api_url: String,
    pub bot_token: SecretSource,
    pub chat_id: TelegramChat,
    /// 0: none.
    pub message_thread_id: i64,
    /// HTML template in parse mode `HTML`.
    pub message: String,
    pub disable_notifications: bool,
    /// `Markdown`, `MarkdownV2`, `HTML` or empty.
    pub parse_mode: String,
}

#[derive(Clone, Debug, PartialEq)]
pub enum TelegramChat {
    Id(i64),
    File(std::path::PathBuf),
}

#[derive(Clone, Debug)]
pub struct WebexConfig {
    /// Always has an `authorization`.
    pub http: HttpConfig,
    /// Plain URL.
    pub api_url: String,
    pub room_id: String,
    pub message: String,
}

#[derive(Clone, Debug)]
pub struct MsTeamsConfig {
    pub http: HttpConfig,
    pub webhook_url: SecretSource,
    pub title: String,
    pub summary: String,
    pub text: String,
}

#[derive(Clone, Debug)]
pub struct MsTeamsV2Config {
    pub http: HttpConfig,
    pub webhook_url: SecretSource,
    pub title: String,
    pub text: String,
}

#[derive(Clone, Debug)]
pub struct JiraConfig {
    pub http: HttpConfig,
    /// Plain URL.
    pub api_url: String,
    pub api_type: JiraApi,
    pub project: String,
    pub issue_type: String,
    pub summary: JiraText,
    pub description: JiraText,
    pub labels: Vec<String>,
    pub priority: String,
    /// Plain text.
    pub resolve_transition: String,
    /// Plain text.
    pub reopen_transition: String,
    pub reopen_duration: Duration,
    /// Plain text.
    pub wont_fix_resolution: String,
    /// Rendered like a webhook's payload.
    pub fields: BTreeMap<String, Payload>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JiraApi {
    Auto,
    Cloud,
    DataCenter,
}

#[derive(Clone, Debug, PartialEq)]
pub struct JiraText {
    pub template: String,
    /// Whether a known issue's text is written anew.
    pub enable_update: bool,
}

#[derive(Clone, Debug)]
pub struct RocketChatConfig {
    pub http: HttpConfig,
    /// Plain URL.
    pub api_url: String,
    /// A file is read once, when the integration is built.
    pub token: SecretSource,
    /// A file is read once, when the integration is built.
    pub token_id: SecretSource,
    pub channel: String,
    pub color: String,
    pub title: String,
    pub title_link: String,
    pub text: String,
    pub fields: Vec<RocketChatField>,
    pub short_fields: bool,
    pub emoji: String,
    pub icon_url: String,
    pub image_url: String,
    pub thumb_url: String,
    pub actions: Vec<RocketChatAction>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RocketChatField {
    pub title: String,
    pub value: String,
    /// `None`: as `short_fields` says.
    pub short: Option<bool>,
}

/// Of an action's keys these are the ones that are sent.
#[derive(Clone, Debug, PartialEq)]
pub struct RocketChatAction {
    pub text: String,
    pub url: String,
    pub msg: String,
}

#[derive(Clone, Debug)]
pub struct MattermostConfig {
    pub http: HttpConfig,
    pub webhook_url: SecretSource,
    pub channel: String,
    pub username: String,
    /// Inside the one attachment made of `flat`, or at the top when `attachments` are given.
    pub text: String,
    pub icon_url: String,
    pub icon_emoji: String,
    pub kind: String,
    /// The attachment keys beside the others; its `text` is a copy of `text`.
    pub flat: MattermostAttachment,
    /// Given: sent instead of `flat`.
    pub attachments: Vec<MattermostAttachment>,
    pub props_card: Option<String>,
    pub priority: Option<MattermostPriority>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct MattermostAttachment {
    pub fallback: String,
    pub color: String,
    pub pretext: String,
    pub text: String,
    pub author_name: String,
    pub author_link: String,
    pub author_icon: String,
    pub title: String,
    pub title_link: String,
    pub fields: Vec<MattermostField>,
    pub thumb_url: String,
    pub footer: String,
    pub footer_icon: String,
    pub image_url: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct MattermostField {
    pub title: String,
    pub value: String,
    pub short: Option<bool>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct MattermostPriority {
    pub priority: String,
    pub requested_ack: bool,
    pub persistent_notifications: bool,
}
