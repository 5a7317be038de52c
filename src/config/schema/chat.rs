//! Integrations that post to a chat: Slack, Rocket.Chat, Mattermost, Discord, Teams, Webex, Telegram, WeChat.

use super::{at_most_one, exactly_one, http::Http, required, shipped};
use crate::alert::text::quote;
use crate::config::{
    model::GoDuration,
    values::{HttpUrl, SecretText, SecretUrl},
    yaml::{
        decode::{Decoder, Stop},
        structure::structure,
    },
};

/// The only address at which Slack lets messages be changed afterwards.
pub const SLACK_POST_MESSAGE: &str = "https://slack.com/api/chat.postMessage";

structure! {
    Discord "discord_configs" checked {
        send_resolved: bool = true, always;
        http_config: Option<Box<Http>>;
        webhook_url: Option<SecretUrl>;
        webhook_url_file: String;
        content: String;
        title: String = shipped!("discord.default.title");
        message: String = shipped!("discord.default.message");
        username: String;
        avatar_url: String;
    }
}

impl Discord {
    fn check(&mut self, _: &mut Decoder<'_>) -> Result<(), Stop> {
        check_webhook(self.webhook_url.as_ref(), &self.webhook_url_file)
    }
}

fn check_webhook(url: Option<&SecretUrl>, file: &str) -> Result<(), Stop> {
    exactly_one([("webhook_url", url.is_some()), ("webhook_url_file", !file.is_empty())])
}

structure! {
    MsTeams "msteams_configs" checked {
        send_resolved: bool = true, always;
        http_config: Option<Box<Http>>;
        webhook_url: Option<SecretUrl>;
        webhook_url_file: String;
        title: String = shipped!("msteams.default.title");
        summary: String = shipped!("msteams.default.summary");
        text: String = shipped!("msteams.default.text");
    }
}

impl MsTeams {
    fn check(&mut self, _: &mut Decoder<'_>) -> Result<(), Stop> {
        check_webhook(self.webhook_url.as_ref(), &self.webhook_url_file)
    }
}

structure! {
    MsTeamsV2 "msteamsv2_configs" checked {
        send_resolved: bool = true, always;
        http_config: Option<Box<Http>>;
        webhook_url: Option<SecretUrl>;
        webhook_url_file: String;
        title: String = shipped!("msteamsv2.default.title");
        text: String = shipped!("msteamsv2.default.text");
    }
}

impl MsTeamsV2 {
    fn check(&mut self, _: &mut Decoder<'_>) -> Result<(), Stop> {
        check_webhook(self.webhook_url.as_ref(), &self.webhook_url_file)
    }
}

structure! {
    Webex "webex_configs" checked {
        send_resolved: bool = true, always;
        http_config: Option<Box<Http>>;
        api_url: Option<HttpUrl>;
        message: String = shipped!("webex.default.message");
        room_id: String;
    }
}

impl Webex {
    fn check(&mut self, _: &mut Decoder<'_>) -> Result<(), Stop> {
        required(!self.room_id.is_empty(), "missing room_id on webex_config")?;
        let authorized = self.http_config.as_ref().is_some_and(|http| http.authorization.is_some());
        required(authorized, "missing webex_configs.http_config.authorization")
    }
}

structure! {
    Telegram "telegram_configs" checked {
        send_resolved: bool = true, always;
        http_config: Option<Box<Http>>;
        api_url: Option<HttpUrl>;
        bot_token: SecretText;
        bot_token_file: String;
        chat_id: i64;
        chat_id_file: String;
        message_thread_id: i64;
        message: String = shipped!("telegram.default.message");
        disable_notifications: bool;
        parse_mode: String = "HTML".to_owned();
    }
}

impl Telegram {
    fn check(&mut self, _: &mut Decoder<'_>) -> Result<(), Stop> {
        at_most_one(&[("bot_token", !self.bot_token.is_empty()), ("bot_token_file", !self.bot_token_file.is_empty())])?;
        let (id, file) = (self.chat_id != 0, !self.chat_id_file.is_empty());
        required(id || file, "missing chat_id or chat_id_file on telegram_config")?;
        at_most_one(&[("chat_id", id), ("chat_id_file", file)])?;
        required(
            matches!(self.parse_mode.as_str(), "" | "Markdown" | "MarkdownV2" | "HTML"),
            "unknown parse_mode on telegram_config, must be Markdown, MarkdownV2, HTML or empty string",
        )
    }
}

structure! {
    WeChat "wechat_configs" checked {
        send_resolved: bool = false, always;
        http_config: Option<Box<Http>>;
        api_secret: SecretText;
        api_secret_file: String;
        corp_id: String;
        message: String = shipped!("wechat.default.message");
        api_url: Option<HttpUrl>;
        to_user: String = shipped!("wechat.default.to_user");
        to_party: String = shipped!("wechat.default.to_party");
        to_tag: String = shipped!("wechat.default.to_tag");
        agent_id: String = shipped!("wechat.default.agent_id");
        message_type: String;
    }
}

impl WeChat {
    fn check(&mut self, _: &mut Decoder<'_>) -> Result<(), Stop> {
        if self.message_type.is_empty() {
            "text".clone_into(&mut self.message_type);
        }
        if !matches!(self.message_type.as_str(), "text" | "markdown") {
            return Err(Stop::because(format!(
                "weChat message type {} does not match valid options ^(text|markdown)$",
                quote(&self.message_type)
            )));
        }
        at_most_one(&[
            ("api_secret", !self.api_secret.is_empty()),
            ("api_secret_file", !self.api_secret_file.is_empty()),
        ])
    }
}

structure! {
    Slack "slack_configs" checked {
        send_resolved: bool = false, always;
        http_config: Option<Box<Http>>;
        api_url: Option<SecretUrl>;
        api_url_file: String;
        app_token: SecretText;
        app_token_file: String;
        app_url: Option<HttpUrl>;
        channel: String;
        username: String = shipped!("slack.default.username");
        color: String = shipped!("slack.default.color");
        title: String = shipped!("slack.default.title");
        title_link: String = shipped!("slack.default.titlelink");
        pretext: String = shipped!("slack.default.pretext");
        text: String = shipped!("slack.default.text");
        message_text: String;
        fields: Vec<Option<SlackField>>;
        short_fields: bool, always;
        footer: String = shipped!("slack.default.footer");
        fallback: String = shipped!("slack.default.fallback");
        callback_id: String = shipped!("slack.default.callbackid");
        icon_emoji: String = shipped!("slack.default.iconemoji");
        icon_url: String = shipped!("slack.default.iconurl");
        image_url: String;
        thumb_url: String;
        link_names: bool, always;
        mrkdwn_in: Vec<String>;
        actions: Vec<Option<SlackAction>>;
        update_message: bool, always;
        timeout: GoDuration, always;
    }
}

impl Slack {
    #[must_use]
    pub fn has_token(&self) -> bool {
        !self.app_token.is_empty() || !self.app_token_file.is_empty()
    }

    fn check(&mut self, _: &mut Decoder<'_>) -> Result<(), Stop> {
        let (url, file) = (self.api_url.is_some(), !self.api_url_file.is_empty());
        at_most_one(&[("api_url", url), ("api_url_file", file)])?;
        at_most_one(&[("app_token", !self.app_token.is_empty()), ("app_token_file", !self.app_token_file.is_empty())])?;
        at_most_one(&[("api_url/api_url_file", url || file), ("app_token/app_token_file", self.has_token())])?;
        let changeable = || self.api_url.as_ref().is_some_and(|url| url.0.to_string() == SLACK_POST_MESSAGE);
        if self.update_message && !changeable() {
            return Err(Stop::because(format!(
                "update_message can only be used with bot tokens. api_url must be set to {SLACK_POST_MESSAGE}"
            )));
        }
        let authorized = self.http_config.as_ref().is_some_and(|http| http.authorization.is_some());
        required(!(self.has_token() && authorized), "http authorization can't be set when using Slack App tokens")
    }
}

structure! {
    SlackField "slack field" checked {
        title: String;
        value: String;
        short: Option<bool>;
    }
}

impl SlackField {
    fn check(&mut self, _: &mut Decoder<'_>) -> Result<(), Stop> {
        required(!self.title.is_empty(), "missing title in Slack field configuration")?;
        required(!self.value.is_empty(), "missing value in Slack field configuration")
    }
}

structure! {
    SlackAction "slack action" checked {
        kind as "type": String;
        text: String;
        url: String;
        style: String;
        name: String;
        value: String;
        confirm: Option<SlackConfirmation>;
    }
}

impl SlackAction {
    fn check(&mut self, _: &mut Decoder<'_>) -> Result<(), Stop> {
        required(!self.kind.is_empty(), "missing type in Slack action configuration")?;
        required(!self.text.is_empty(), "missing text in Slack action configuration")?;
        if self.url.is_empty() {
            return required(!self.name.is_empty(), "missing name or url in Slack action configuration");
        }
        // A link has none of a button's parts.
        self.name.clear();
        self.value.clear();
        self.confirm = None;
        Ok(())
    }
}

structure! {
    SlackConfirmation "slack confirmation" checked {
        text: String;
        title: String;
        ok_text: String;
        dismiss_text: String;
    }
}

impl SlackConfirmation {
    fn check(&mut self, _: &mut Decoder<'_>) -> Result<(), Stop> {
        required(!self.text.is_empty(), "missing text in Slack confirmation configuration")
    }
}

structure! {
    RocketChat "rocketchat_configs" checked {
        send_resolved: bool = false, always;
        http_config: Option<Box<Http>>;
        api_url: Option<HttpUrl>;
        token_id: SecretText;
        token_id_file: String;
        token: SecretText;
        token_file: String;
        channel: String;
        color: String = "{{ if eq .Status \"firing\" }}red{{ else }}green{{ end }}".to_owned();
        title: String = shipped!("rocketchat.default.title");
        title_link: String = shipped!("rocketchat.default.titlelink");
        text: String = shipped!("rocketchat.default.text");
        fields: Vec<Option<RocketChatField>>;
        short_fields: bool, always;
        emoji: String = shipped!("rocketchat.default.emoji");
        icon_url: String = shipped!("rocketchat.default.iconurl");
        image_url: String;
        thumb_url: String;
        link_names: bool, always;
        actions: Vec<Option<RocketChatAction>>;
    }
}

impl RocketChat {
    fn check(&mut self, _: &mut Decoder<'_>) -> Result<(), Stop> {
        at_most_one(&[("token", !self.token.is_empty()), ("token_file", !self.token_file.is_empty())])?;
        at_most_one(&[("token_id", !self.token_id.is_empty()), ("token_id_file", !self.token_id_file.is_empty())])
    }
}

structure! {
    RocketChatField "rocketchat field" {
        short: Option<bool>, always;
        title: String, always;
        value: String, always;
    }
}

structure! {
    RocketChatAction "rocketchat action" {
        kind as "type": String, always;
        text: String, always;
        url: String, always;
        imageurl: String, always;
        iswebview: bool, always;
        webviewheightratio: String, always;
        msg: String, always;
        msginchatwindow: bool, always;
        msgprocessingtype: String, always;
    }
}

structure! {
    Mattermost "mattermost_configs" checked {
        send_resolved: bool = true, always;
        http_config: Option<Box<Http>>;
        webhook_url: Option<SecretUrl>;
        webhook_url_file: String;
        channel: String;
        username: String = shipped!("mattermost.default.username");
        text: String = shipped!("mattermost.default.text");
        fallback: String = shipped!("mattermost.default.fallback");
        color: String = shipped!("mattermost.default.color");
        pretext: String;
        author_name: String;
        author_link: String;
        author_icon: String;
        title: String = shipped!("mattermost.default.title");
        title_link: String = shipped!("mattermost.default.titlelink");
        fields: Vec<Option<MattermostField>>;
        thumb_url: String;
        footer: String;
        footer_icon: String;
        image_url: String;
        icon_url: String;
        icon_emoji: String;
        attachments: Vec<Option<MattermostAttachment>>;
        kind as "type": String;
        props: Option<MattermostProps>;
        priority: Option<MattermostPriority>;
    }
}

impl Mattermost {
    fn check(&mut self, _: &mut Decoder<'_>) -> Result<(), Stop> {
        at_most_one(&[
            ("webhook_url", self.webhook_url.is_some()),
            ("webhook_url_file", !self.webhook_url_file.is_empty()),
        ])
    }
}

structure! {
    MattermostAttachment "mattermost attachment" {
        fallback: String;
        color: String;
        pretext: String;
        text: String;
        author_name: String;
        author_link: String;
        author_icon: String;
        title: String;
        title_link: String;
        fields: Vec<Option<MattermostField>>;
        thumb_url: String;
        footer: String;
        footer_icon: String;
        image_url: String;
    }
}

structure! {
    MattermostField "mattermost field" checked {
        title: String;
        value: String;
        short: Option<bool>;
    }
}

impl MattermostField {
    fn check(&mut self, _: &mut Decoder<'_>) -> Result<(), Stop> {
        required(!self.title.is_empty(), "missing title in Mattermost field configuration")?;
        required(!self.value.is_empty(), "missing value in Mattermost field configuration")
    }
}

structure! {
    MattermostProps "mattermost props" {
        card: Option<String>;
    }
}

structure! {
    MattermostPriority "mattermost priority" {
        priority: String;
        requested_ack: bool;
        persistent_notifications: bool;
    }
}
