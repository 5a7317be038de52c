//! The lists of a receiver as one list of integrations with their settings.

use std::collections::BTreeMap;

use super::{file_first, http_config, inline_first, path, tls_config};
use crate::config::{
    model::{
        DiscordConfig, EmailConfig, EmailThreading, GoDuration, HttpConfig, IncidentIoConfig, IntegrationConfig,
        JiraApi, JiraConfig, JiraText, MattermostAttachment, MattermostConfig, MattermostField, MattermostPriority,
        MsTeamsConfig, MsTeamsV2Config, OpsGenieConfig, OpsGenieResponder, PagerDutyConfig, PagerDutyImage,
        PagerDutyLink, Payload, PushoverConfig, RocketChatAction, RocketChatConfig, RocketChatField, Secret,
        SecretSource, Settings, SigV4Config, SlackAction, SlackConfig, SlackConfirmation, SlackField, SnsConfig,
        TelegramChat, TelegramConfig, VictorOpsConfig, WeChatConfig, WebexConfig, WebhookConfig,
    },
    schema::{
        chat,
        http::Http,
        mail, paging,
        top::{List, Receiver},
    },
    url::Url,
    values::{HttpUrl, SecretUrl},
    yaml::{self, decode::Structure as _, emit::Doc},
};

/// In the order of a dump.
pub fn of(file: &Receiver) -> Vec<IntegrationConfig> {
    let mut all = Vec::new();
    add(&mut all, "discord", &file.discord_configs, |c| (c.send_resolved, discord(c)));
    add(&mut all, "email", &file.email_configs, |c| (c.send_resolved, email(c)));
    add(&mut all, "incidentio", &file.incidentio_configs, |c| (c.send_resolved, incidentio(c)));
    add(&mut all, "pagerduty", &file.pagerduty_configs, |c| (c.send_resolved, pagerduty(c)));
    add(&mut all, "slack", &file.slack_configs, |c| (c.send_resolved, slack(c)));
    add(&mut all, "webhook", &file.webhook_configs, |c| (c.send_resolved, webhook(c)));
    add(&mut all, "opsgenie", &file.opsgenie_configs, |c| (c.send_resolved, opsgenie(c)));
    add(&mut all, "wechat", &file.wechat_configs, |c| (c.send_resolved, wechat(c)));
    add(&mut all, "pushover", &file.pushover_configs, |c| (c.send_resolved, pushover(c)));
    add(&mut all, "victorops", &file.victorops_configs, |c| (c.send_resolved, victorops(c)));
    add(&mut all, "sns", &file.sns_configs, |c| (c.send_resolved, sns(c)));
    add(&mut all, "telegram", &file.telegram_configs, |c| (c.send_resolved, telegram(c)));
    add(&mut all, "webex", &file.webex_configs, |c| (c.send_resolved, webex(c)));
    add(&mut all, "msteams", &file.msteams_configs, |c| (c.send_resolved, msteams(c)));
    add(&mut all, "msteamsv2", &file.msteamsv2_configs, |c| (c.send_resolved, msteamsv2(c)));
    add(&mut all, "jira", &file.jira_configs, |c| (c.send_resolved, jira(c)));
    add(&mut all, "rocketchat", &file.rocketchat_configs, |c| (c.send_resolved, rocketchat(c)));
    add(&mut all, "mattermost", &file.mattermost_configs, |c| (c.send_resolved, mattermost(c)));
    all
}

fn add<T>(
    all: &mut Vec<IntegrationConfig>,
    kind: &'static str,
    list: &List<T>,
    convert: impl Fn(&T) -> (bool, Settings),
) {
    all.extend(list.iter().flatten().enumerate().map(|(index, file)| {
        let (send_resolved, settings) = convert(file);
        IntegrationConfig { kind, index, send_resolved, settings }
    }));
}

/// Inheritance has given every integration one.
fn http(file: &Option<Box<Http>>) -> HttpConfig {
    file.as_deref().map_or_else(|| http_config(&Http::initial()), http_config)
}

fn url(file: &Option<HttpUrl>) -> String {
    file.as_ref().map(|url| url.0.to_string()).unwrap_or_default()
}

fn secret_url(inline: Option<&Url>, file: &str) -> SecretSource {
    match inline {
        Some(url) => SecretSource::Inline(Secret(url.to_string().into())),
        None => SecretSource::File(file.into()),
    }
}

fn webhook_url(inline: &Option<SecretUrl>, file: &str) -> SecretSource {
    secret_url(inline.as_ref().map(|url| &url.0), file)
}

/// Checks have made sure that there is one.
fn or_empty(source: Option<SecretSource>) -> SecretSource {
    source.unwrap_or_else(|| SecretSource::Inline(Secret::default()))
}

fn payload_map(file: &BTreeMap<String, Doc>) -> BTreeMap<String, Payload> {
    file.iter().map(|(name, value)| (name.clone(), yaml::payload(value))).collect()
}

fn discord(file: &chat::Discord) -> Settings {
    Settings::Discord(DiscordConfig {
        http: http(&file.http_config),
        webhook_url: webhook_url(&file.webhook_url, &file.webhook_url_file),
        content: file.content.clone(),
        title: file.title.clone(),
        message: file.message.clone(),
        username: file.username.clone(),
        avatar_url: file.avatar_url.clone(),
    })
}

fn email(file: &mail::Email) -> Settings {
    let mut complete = file.clone();
    complete.complete_headers();
    let threading = match (file.threading.enabled, file.threading.thread_by_date.as_str()) {
        (false, _) => None,
        (true, "daily") => Some(EmailThreading::Daily),
        (true, _) => Some(EmailThreading::None),
    };
    Settings::Email(EmailConfig {
        to: complete.to,
        from: complete.from,
        smarthost_host: complete.smarthost.host,
        smarthost_port: complete.smarthost.port,
        hello: complete.hello,
        auth_username: complete.auth_username,
        auth_identity: complete.auth_identity,
        auth_password: file_first(&complete.auth_password, &complete.auth_password_file),
        auth_secret: file_first(&complete.auth_secret, &complete.auth_secret_file),
        headers: complete.headers,
        html: complete.html,
        text: complete.text,
        require_tls: complete.require_tls.unwrap_or(true),
        force_implicit_tls: complete.force_implicit_tls,
        tls: complete.tls_config.as_deref().map(tls_config).unwrap_or_default(),
        threading,
    })
}

fn incidentio(file: &paging::IncidentIo) -> Settings {
    Settings::IncidentIo(IncidentIoConfig {
        http: http(&file.http_config),
        url: secret_url(file.url.as_ref().map(|url| &url.0), &file.url_file),
        alert_source_token: inline_first(&file.alert_source_token, &file.alert_source_token_file),
        max_alerts: file.max_alerts,
        timeout: file.timeout.positive(),
    })
}

fn pagerduty(file: &paging::PagerDuty) -> Settings {
    let image = |image: &paging::PagerDutyImage| PagerDutyImage {
        src: image.src.clone(),
        alt: image.alt.clone(),
        href: image.href.clone(),
    };
    Settings::PagerDuty(PagerDutyConfig {
        http: http(&file.http_config),
        service_key: inline_first(&file.service_key, &file.service_key_file),
        routing_key: inline_first(&file.routing_key, &file.routing_key_file),
        url: url(&file.url),
        client: file.client.clone(),
        client_url: file.client_url.clone(),
        description: file.description.clone(),
        details: payload_map(&file.details),
        images: file.images.iter().map(image).collect(),
        links: file
            .links
            .iter()
            .map(|link| PagerDutyLink { href: link.href.clone(), text: link.text.clone() })
            .collect(),
        source: file.source.clone(),
        severity: file.severity.clone(),
        class: file.class.clone(),
        component: file.component.clone(),
        group: file.group.clone(),
        timeout: file.timeout.positive(),
    })
}

fn slack(file: &chat::Slack) -> Settings {
    let field = |field: &chat::SlackField| SlackField {
        title: field.title.clone(),
        value: field.value.clone(),
        short: field.short,
    };
    Settings::Slack(SlackConfig {
        http: http(&file.http_config),
        api_url: webhook_url(&file.api_url, &file.api_url_file),
        channel: file.channel.clone(),
        username: file.username.clone(),
        color: file.color.clone(),
        title: file.title.clone(),
        title_link: file.title_link.clone(),
        pretext: file.pretext.clone(),
        text: file.text.clone(),
        message_text: file.message_text.clone(),
        fields: file.fields.iter().flatten().map(field).collect(),
        short_fields: file.short_fields,
        footer: file.footer.clone(),
        fallback: file.fallback.clone(),
        callback_id: file.callback_id.clone(),
        icon_emoji: file.icon_emoji.clone(),
        icon_url: file.icon_url.clone(),
        image_url: file.image_url.clone(),
        thumb_url: file.thumb_url.clone(),
        link_names: file.link_names,
        mrkdwn_in: (!file.mrkdwn_in.is_empty()).then(|| file.mrkdwn_in.clone()),
        actions: file.actions.iter().flatten().map(slack_action).collect(),
        update_message: file.update_message,
        timeout: file.timeout.positive(),
    })
}

fn slack_action(file: &chat::SlackAction) -> SlackAction {
    SlackAction {
        kind: file.kind.clone(),
        text: file.text.clone(),
        url: file.url.clone(),
        style: file.style.clone(),
        name: file.name.clone(),
        value: file.value.clone(),
        confirm: file.confirm.as_ref().map(|confirm| SlackConfirmation {
            text: confirm.text.clone(),
            title: confirm.title.clone(),
            ok_text: confirm.ok_text.clone(),
            dismiss_text: confirm.dismiss_text.clone(),
        }),
    }
}

fn webhook(file: &paging::Webhook) -> Settings {
    Settings::Webhook(WebhookConfig {
        http: http(&file.http_config),
        url: or_empty(inline_first(&file.url, &file.url_file)),
        max_alerts: file.max_alerts,
        timeout: file.timeout.positive(),
        payload: (file.payload != Doc::Null).then(|| yaml::payload(&file.payload)),
    })
}

fn opsgenie(file: &paging::OpsGenie) -> Settings {
    let responder = |responder: &paging::OpsGenieResponder| OpsGenieResponder {
        id: responder.id.clone(),
        name: responder.name.clone(),
        username: responder.username.clone(),
        kind: responder.kind.clone(),
    };
    Settings::OpsGenie(OpsGenieConfig {
        http: http(&file.http_config),
        api_key: or_empty(inline_first(&file.api_key, &file.api_key_file)),
        api_url: url(&file.api_url),
        message: file.message.clone(),
        description: file.description.clone(),
        source: file.source.clone(),
        details: file.details.clone(),
        entity: file.entity.clone(),
        responders: file.responders.iter().map(responder).collect(),
        actions: file.actions.clone(),
        tags: file.tags.clone(),
        note: file.note.clone(),
        priority: file.priority.clone(),
        update_alerts: file.update_alerts,
    })
}

fn wechat(file: &chat::WeChat) -> Settings {
    Settings::WeChat(WeChatConfig {
        http: http(&file.http_config),
        api_secret: or_empty(inline_first(&file.api_secret, &file.api_secret_file)),
        corp_id: file.corp_id.clone(),
        api_url: url(&file.api_url),
        message: file.message.clone(),
        to_user: file.to_user.clone(),
        to_party: file.to_party.clone(),
        to_tag: file.to_tag.clone(),
        agent_id: file.agent_id.clone(),
        message_type: file.message_type.clone(),
    })
}

fn pushover(file: &paging::Pushover) -> Settings {
    Settings::Pushover(PushoverConfig {
        http: http(&file.http_config),
        user_key: or_empty(inline_first(&file.user_key, &file.user_key_file)),
        token: or_empty(inline_first(&file.token, &file.token_file)),
        title: file.title.clone(),
        message: file.message.clone(),
        url: file.url.clone(),
        url_title: file.url_title.clone(),
        device: file.device.clone(),
        sound: file.sound.clone(),
        priority: file.priority.clone(),
        retry: GoDuration(file.retry.0.0),
        expire: GoDuration(file.expire.0.0),
        ttl: GoDuration(file.ttl.0.0),
        html: file.html,
        monospace: file.monospace,
    })
}

fn victorops(file: &paging::VictorOps) -> Settings {
    Settings::VictorOps(VictorOpsConfig {
        http: http(&file.http_config),
        api_key: or_empty(inline_first(&file.api_key, &file.api_key_file)),
        api_url: url(&file.api_url),
        routing_key: file.routing_key.clone(),
        message_type: file.message_type.clone(),
        state_message: file.state_message.clone(),
        entity_display_name: file.entity_display_name.clone(),
        monitoring_tool: file.monitoring_tool.clone(),
        custom_fields: file.custom_fields.clone(),
    })
}

fn sns(file: &paging::Sns) -> Settings {
    Settings::Sns(SnsConfig {
        http: http(&file.http_config),
        api_url: file.api_url.clone(),
        sigv4: SigV4Config {
            region: file.sigv4.region.clone(),
            access_key: file.sigv4.access_key.clone(),
            secret_key: (!file.sigv4.secret_key.is_empty()).then(|| file.sigv4.secret_key.0.clone()),
            profile: file.sigv4.profile.clone(),
            role_arn: file.sigv4.role_arn.clone(),
            external_id: file.sigv4.external_id.clone(),
            use_fips_sts_endpoint: file.sigv4.use_fips_sts_endpoint,
            service_name: file.sigv4.service_name.clone(),
        },
        topic_arn: file.topic_arn.clone(),
        target_arn: file.target_arn.clone(),
        phone_number: file.phone_number.clone(),
        subject: file.subject.clone(),
        message: file.message.clone(),
        attributes: file.attributes.clone(),
        use_aws_http_client: file.use_aws_http_client,
    })
}

fn telegram(file: &chat::Telegram) -> Settings {
    Settings::Telegram(TelegramConfig {
        http: http(&file.http_config),
        api_url: url(&file.api_url),
        bot_token: or_empty(inline_first(&file.bot_token, &file.bot_token_file)),
        chat_id: path(&file.chat_id_file).map_or(TelegramChat::Id(file.chat_id), TelegramChat::File),
        message_thread_id: file.message_thread_id,
        message: file.message.clone(),
        disable_notifications: file.disable_notifications,
        parse_mode: file.parse_mode.clone(),
    })
}

fn webex(file: &chat::Webex) -> Settings {
    Settings::Webex(WebexConfig {
        http: http(&file.http_config),
        api_url: url(&file.api_url),
        room_id: file.room_id.clone(),
        message: file.message.clone(),
    })
}

fn msteams(file: &chat::MsTeams) -> Settings {
    Settings::MsTeams(MsTeamsConfig {
        http: http(&file.http_config),
        webhook_url: webhook_url(&file.webhook_url, &file.webhook_url_file),
        title: file.title.clone(),
        summary: file.summary.clone(),
        text: file.text.clone(),
    })
}

fn msteamsv2(file: &chat::MsTeamsV2) -> Settings {
    Settings::MsTeamsV2(MsTeamsV2Config {
        http: http(&file.http_config),
        webhook_url: webhook_url(&file.webhook_url, &file.webhook_url_file),
        title: file.title.clone(),
        text: file.text.clone(),
    })
}

fn jira(file: &paging::Jira) -> Settings {
    let text = |field: &paging::JiraField| JiraText {
        template: field.0.template.clone(),
        enable_update: field.0.enable_update.unwrap_or(true),
    };
    Settings::Jira(JiraConfig {
        http: http(&file.http_config),
        api_url: url(&file.api_url),
        api_type: match file.api_type.as_str() {
            "cloud" => JiraApi::Cloud,
            "datacenter" => JiraApi::DataCenter,
            _ => JiraApi::Auto,
        },
        project: file.project.clone(),
        issue_type: file.issue_type.clone(),
        summary: text(&file.summary),
        description: text(&file.description),
        labels: file.labels.clone(),
        priority: file.priority.clone(),
        resolve_transition: file.resolve_transition.clone(),
        reopen_transition: file.reopen_transition.clone(),
        reopen_duration: file.reopen_duration.0,
        wont_fix_resolution: file.wont_fix_resolution.clone(),
        fields: payload_map(&file.fields),
    })
}

fn rocketchat(file: &chat::RocketChat) -> Settings {
    let field = |field: &chat::RocketChatField| RocketChatField {
        title: field.title.clone(),
        value: field.value.clone(),
        short: field.short,
    };
    let action = |action: &chat::RocketChatAction| RocketChatAction {
        text: action.text.clone(),
        url: action.url.clone(),
        msg: action.msg.clone(),
    };
    Settings::RocketChat(RocketChatConfig {
        http: http(&file.http_config),
        api_url: url(&file.api_url),
        token: or_empty(file_first(&file.token, &file.token_file)),
        token_id: or_empty(file_first(&file.token_id, &file.token_id_file)),
        channel: file.channel.clone(),
        color: file.color.clone(),
        title: file.title.clone(),
        title_link: file.title_link.clone(),
        text: file.text.clone(),
        fields: file.fields.iter().flatten().map(field).collect(),
        short_fields: file.short_fields,
        emoji: file.emoji.clone(),
        icon_url: file.icon_url.clone(),
        image_url: file.image_url.clone(),
        thumb_url: file.thumb_url.clone(),
        actions: file.actions.iter().flatten().map(action).collect(),
    })
}

fn mattermost(file: &chat::Mattermost) -> Settings {
    Settings::Mattermost(MattermostConfig {
        http: http(&file.http_config),
        webhook_url: webhook_url(&file.webhook_url, &file.webhook_url_file),
        channel: file.channel.clone(),
        username: file.username.clone(),
        text: file.text.clone(),
        icon_url: file.icon_url.clone(),
        icon_emoji: file.icon_emoji.clone(),
        kind: file.kind.clone(),
        flat: flat_attachment(file),
        attachments: file.attachments.iter().flatten().map(mattermost_attachment).collect(),
        props_card: file.props.as_ref().map(|props| props.card.clone().unwrap_or_default()),
        priority: file.priority.as_ref().map(|priority| MattermostPriority {
            priority: priority.priority.clone(),
            requested_ack: priority.requested_ack,
            persistent_notifications: priority.persistent_notifications,
        }),
    })
}

/// The attachment that the keys beside `attachments` make.
fn flat_attachment(file: &chat::Mattermost) -> MattermostAttachment {
    MattermostAttachment {
        fallback: file.fallback.clone(),
        color: file.color.clone(),
        pretext: file.pretext.clone(),
        text: file.text.clone(),
        author_name: file.author_name.clone(),
        author_link: file.author_link.clone(),
        author_icon: file.author_icon.clone(),
        title: file.title.clone(),
        title_link: file.title_link.clone(),
        fields: mattermost_fields(&file.fields),
        thumb_url: file.thumb_url.clone(),
        footer: file.footer.clone(),
        footer_icon: file.footer_icon.clone(),
        image_url: file.image_url.clone(),
    }
}

fn mattermost_attachment(file: &chat::MattermostAttachment) -> MattermostAttachment {
    MattermostAttachment {
        fallback: file.fallback.clone(),
        color: file.color.clone(),
        pretext: file.pretext.clone(),
        text: file.text.clone(),
        author_name: file.author_name.clone(),
        author_link: file.author_link.clone(),
        author_icon: file.author_icon.clone(),
        title: file.title.clone(),
        title_link: file.title_link.clone(),
        fields: mattermost_fields(&file.fields),
        thumb_url: file.thumb_url.clone(),
        footer: file.footer.clone(),
        footer_icon: file.footer_icon.clone(),
        image_url: file.image_url.clone(),
    }
}

fn mattermost_fields(fields: &[Option<chat::MattermostField>]) -> Vec<MattermostField> {
    let field = |field: &chat::MattermostField| MattermostField {
        title: field.title.clone(),
        value: field.value.clone(),
        short: field.short,
    };
    fields.iter().flatten().map(field).collect()
}
