//! The whole file, `global` and `receivers`.

use std::collections::BTreeMap;

use super::{
    at_most_one, chat,
    http::{Http, Tls},
    mail, observe, paging, required,
    route::{InhibitRule, Interval, MuteInterval, Route},
};
use crate::{
    alert::text::quote,
    config::{
        values::{HostPort, HttpUrl, PromDuration, SecretText, SecretUrl},
        yaml::{
            decode::{Decoder, Stop},
            structure::structure,
        },
    },
};

structure! {
    File "the configuration" {
        global: Option<Box<Global>>;
        route: Option<Box<Route>>;
        inhibit_rules: Vec<InhibitRule>;
        receivers: Vec<Receiver>;
        templates: Vec<String>, always;
        mute_time_intervals: Vec<MuteInterval>;
        time_intervals: Vec<Interval>;
        tracing: Option<Box<observe::Tracing>>;
        event_recorder: observe::EventRecorder;
    }
}

structure! {
    Global "global" {
        resolve_timeout: PromDuration = PromDuration(std::time::Duration::from_secs(300)), always;
        http_config: Option<Box<Http>> = Some(Box::new(Http::initial()));
        jira_api_url: Option<HttpUrl>;
        smtp_from: String;
        smtp_hello: String = "localhost".to_owned();
        smtp_smarthost: HostPort;
        smtp_auth_username: String;
        smtp_auth_password: SecretText;
        smtp_auth_password_file: String;
        smtp_auth_secret: SecretText;
        smtp_auth_secret_file: String;
        smtp_auth_identity: String;
        smtp_require_tls: bool = true, always;
        smtp_tls_config: Option<Box<Tls>> = Some(Box::default());
        smtp_force_implicit_tls: Option<bool>;
        slack_api_url: Option<SecretUrl>;
        slack_api_url_file: String;
        slack_app_token: SecretText;
        slack_app_token_file: String;
        slack_app_url: Option<HttpUrl> = HttpUrl::known("https://slack.com/api/chat.postMessage");
        pagerduty_url: Option<HttpUrl> = HttpUrl::known("https://events.pagerduty.com/v2/enqueue");
        opsgenie_api_url: Option<HttpUrl> = HttpUrl::known("https://api.opsgenie.com/");
        opsgenie_api_key: SecretText;
        opsgenie_api_key_file: String;
        wechat_api_url: Option<HttpUrl> = HttpUrl::known("https://qyapi.weixin.qq.com/cgi-bin/");
        wechat_api_secret: SecretText;
        wechat_api_secret_file: String;
        wechat_api_corp_id: String;
        victorops_api_url: Option<HttpUrl> =
            HttpUrl::known("https://alert.victorops.com/integrations/generic/20131114/alert/");
        victorops_api_key: SecretText;
        victorops_api_key_file: String;
        telegram_api_url: Option<HttpUrl> = HttpUrl::known("https://api.telegram.org");
        telegram_bot_token: SecretText;
        telegram_bot_token_file: String;
        webex_api_url: Option<HttpUrl> = HttpUrl::known("https://webexapis.com/v1/messages");
        rocketchat_api_url: Option<HttpUrl> = HttpUrl::known("https://open.rocket.chat/");
        rocketchat_token: SecretText;
        rocketchat_token_file: String;
        rocketchat_token_id: SecretText;
        rocketchat_token_id_file: String;
        mattermost_webhook_url: Option<SecretUrl>;
        mattermost_webhook_url_file: String;
    }
}

impl Global {
    /// The alternatives of which one may be given, in the order in which they are complained of.
    pub fn check_alternatives(&self) -> Result<(), Stop> {
        let (slack_url, slack_file) = (self.slack_api_url.is_some(), !self.slack_api_url_file.is_empty());
        at_most_one(&[("slack_api_url", slack_url), ("slack_api_url_file", slack_file)])?;
        let pairs = [
            ("slack_app_token", &self.slack_app_token, &self.slack_app_token_file),
            ("opsgenie_api_key", &self.opsgenie_api_key, &self.opsgenie_api_key_file),
            ("victorops_api_key", &self.victorops_api_key, &self.victorops_api_key_file),
            ("smtp_auth_password", &self.smtp_auth_password, &self.smtp_auth_password_file),
            ("smtp_auth_secret", &self.smtp_auth_secret, &self.smtp_auth_secret_file),
            ("wechat_api_secret", &self.wechat_api_secret, &self.wechat_api_secret_file),
            ("telegram_bot_token", &self.telegram_bot_token, &self.telegram_bot_token_file),
            ("rocketchat_token", &self.rocketchat_token, &self.rocketchat_token_file),
            ("rocketchat_token_id", &self.rocketchat_token_id, &self.rocketchat_token_id_file),
        ];
        for (name, inline, file) in pairs {
            at_most_one(&[(name, !inline.is_empty()), (&format!("{name}_file"), !file.is_empty())])?;
        }
        at_most_one(&[
            ("mattermost_webhook_url", self.mattermost_webhook_url.is_some()),
            ("mattermost_webhook_url_file", !self.mattermost_webhook_url_file.is_empty()),
        ])?;
        let token = !self.slack_app_token.is_empty() || !self.slack_app_token_file.is_empty();
        // Both may stand there while one moves from the one to the other, if they mean the same place.
        let same_place = match (&self.slack_api_url, &self.slack_app_url) {
            (Some(api), Some(app)) => api.0 == app.0,
            _ => false,
        };
        required(
            !token || !(slack_url || slack_file) || same_place,
            "at most one of slack_app_token/slack_app_token_file & slack_api_url/slack_api_url_file must be configured",
        )
    }
}

/// A list of integrations. A null entry is kept here, to be refused by name later.
pub type List<T> = Vec<Option<Box<T>>>;

structure! {
    Receiver "receivers" checked {
        name: String, always;
        labels: BTreeMap<String, String>;
        discord_configs: List<chat::Discord>;
        email_configs: List<mail::Email>;
        incidentio_configs: List<paging::IncidentIo>;
        pagerduty_configs: List<paging::PagerDuty>;
        slack_configs: List<chat::Slack>;
        webhook_configs: List<paging::Webhook>;
        opsgenie_configs: List<paging::OpsGenie>;
        wechat_configs: List<chat::WeChat>;
        pushover_configs: List<paging::Pushover>;
        victorops_configs: List<paging::VictorOps>;
        sns_configs: List<paging::Sns>;
        telegram_configs: List<chat::Telegram>;
        webex_configs: List<chat::Webex>;
        msteams_configs: List<chat::MsTeams>;
        msteamsv2_configs: List<chat::MsTeamsV2>;
        jira_configs: List<paging::Jira>;
        rocketchat_configs: List<chat::RocketChat>;
        mattermost_configs: List<chat::Mattermost>;
    }
}

impl Receiver {
    fn check(&mut self, _: &mut Decoder<'_>) -> Result<(), Stop> {
        required(!self.name.is_empty(), "missing name in receiver")?;
        match self.labels.get("name") {
            Some(other) if *other != self.name => Err(Stop::because(format!(
                "receiver label \"name\" must match receiver name {}, got {}",
                quote(&self.name),
                quote(other)
            ))),
            _ => {
                self.labels.insert("name".to_owned(), self.name.clone());
                Ok(())
            }
        }
    }
}
