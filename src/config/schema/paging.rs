//! Integrations that page, open tickets or hand over to a program: webhook, PagerDuty, incident.io,
//! OpsGenie, VictorOps, Pushover, SNS, Jira.

use std::collections::BTreeMap;

use super::{at_most_one, exactly_one, http::Http, required, shipped};
use crate::config::{
    model::GoDuration,
    url::Url,
    values::{self, HttpUrl, PromDuration, PushoverDuration, SecretText},
    yaml::{
        NodeId,
        decode::{Decode, Decoder, Dump, Stop, View},
        emit::Doc,
        structure::structure,
    },
};

/// What PagerDuty's `details` are completed with.
const PAGERDUTY_DETAILS: [(&str, &str); 4] = [
    ("firing", "{{ .Alerts.Firing | toJson }}"),
    ("resolved", "{{ .Alerts.Resolved | toJson }}"),
    ("num_firing", "{{ .Alerts.Firing | len }}"),
    ("num_resolved", "{{ .Alerts.Resolved | len }}"),
];
/// Keys that VictorOps' messages have anyway.
const VICTOROPS_KEYS: [&str; 7] = [
    "routing_key",
    "message_type",
    "state_message",
    "entity_display_name",
    "monitoring_tool",
    "entity_id",
    "entity_state",
];
const RESPONDER_TYPES: [&str; 5] = ["team", "teams", "user", "escalation", "schedule"];

structure! {
    Webhook "webhook_configs" checked {
        send_resolved: bool = true, always;
        http_config: Option<Box<Http>>;
        url: SecretText;
        url_file: String, always;
        max_alerts: u64, always;
        timeout: GoDuration, always;
        payload: Doc;
    }
}

impl Webhook {
    fn check(&mut self, _: &mut Decoder<'_>) -> Result<(), Stop> {
        exactly_one([("url", !self.url.is_empty()), ("url_file", !self.url_file.is_empty())])?;
        let url = &*self.url.0.0;
        if url.is_empty() || url == values::MASK {
            return Ok(());
        }
        if url.contains("{{") {
            return crate::template::check_builtin_syntax(url)
                .map_err(|error| Stop::because(format!("invalid template syntax: {error}")));
        }
        Url::parse_http(url)
            .map(drop)
            .map_err(|error| Stop::because(format!("invalid URL: {}", values::secret_url_error(&error))))
    }
}

structure! {
    IncidentIo "incidentio_configs" checked {
        send_resolved: bool = true, always;
        http_config: Option<Box<Http>>;
        url: Option<HttpUrl>;
        url_file: String, always;
        alert_source_token: SecretText;
        alert_source_token_file: String;
        max_alerts: u64, always;
        timeout: GoDuration, always;
    }
}

impl IncidentIo {
    fn check(&mut self, _: &mut Decoder<'_>) -> Result<(), Stop> {
        exactly_one([("url", self.url.is_some()), ("url_file", !self.url_file.is_empty())])?;
        let (token, file) = (!self.alert_source_token.is_empty(), !self.alert_source_token_file.is_empty());
        at_most_one(&[("alert_source_token", token), ("alert_source_token_file", file)])?;
        let Some(http) = &self.http_config else { return Ok(()) };
        match (http.authorization.is_some(), token || file) {
            (true, true) => Err(Stop::because(
                "cannot specify alert_source_token or alert_source_token_file when using http_config.authorization",
            )),
            (false, false) => Err(Stop::because(
                "at least one of alert_source_token, alert_source_token_file or http_config.authorization must be configured",
            )),
            _ => Ok(()),
        }
    }
}

structure! {
    PagerDuty "pagerduty_configs" checked {
        send_resolved: bool = true, always;
        http_config: Option<Box<Http>>;
        service_key: SecretText;
        service_key_file: String;
        routing_key: SecretText;
        routing_key_file: String;
        url: Option<HttpUrl>;
        client: String = shipped!("pagerduty.default.client");
        client_url: String = shipped!("pagerduty.default.clientURL");
        description: String = "{{ template \"pagerduty.default.description\" .}}".to_owned();
        details: BTreeMap<String, Doc>;
        images: Vec<PagerDutyImage>;
        links: Vec<PagerDutyLink>;
        source: String;
        severity: String;
        class: String;
        component: String;
        group: String;
        timeout: GoDuration, always;
    }
}

structure! {
    PagerDutyImage "pagerduty image" {
        src: String;
        alt: String;
        href: String;
    }
}

structure! {
    PagerDutyLink "pagerduty link" {
        href: String;
        text: String;
    }
}

impl PagerDuty {
    fn check(&mut self, _: &mut Decoder<'_>) -> Result<(), Stop> {
        let routing =
            [("routing_key", !self.routing_key.is_empty()), ("routing_key_file", !self.routing_key_file.is_empty())];
        let service =
            [("service_key", !self.service_key.is_empty()), ("service_key_file", !self.service_key_file.is_empty())];
        required(
            routing.iter().chain(&service).any(|(_, given)| *given),
            "missing service or routing key in PagerDuty config",
        )?;
        at_most_one(&routing)?;
        at_most_one(&service)?;
        if self.source.is_empty() {
            self.source.clone_from(&self.client);
        }
        for (name, template) in PAGERDUTY_DETAILS {
            self.details.entry(name.to_owned()).or_insert_with(|| Doc::from(template));
        }
        Ok(())
    }
}

structure! {
    OpsGenie "opsgenie_configs" checked {
        send_resolved: bool = true, always;
        http_config: Option<Box<Http>>;
        api_key: SecretText;
        api_key_file: String;
        api_url: Option<HttpUrl>;
        message: String = shipped!("opsgenie.default.message");
        description: String = shipped!("opsgenie.default.description");
        source: String = shipped!("opsgenie.default.source");
        details: BTreeMap<String, String>;
        entity: String;
        responders: Vec<OpsGenieResponder>;
        actions: String;
        tags: String;
        note: String;
        priority: String;
        update_alerts: bool;
    }
}

structure! {
    OpsGenieResponder "opsgenie responder" {
        id: String;
        name: String;
        username: String;
        kind as "type": String;
    }
}

impl OpsGenie {
    fn check(&mut self, _: &mut Decoder<'_>) -> Result<(), Stop> {
        at_most_one(&[("api_key", !self.api_key.is_empty()), ("api_key_file", !self.api_key_file.is_empty())])?;
        self.responders.iter().try_for_each(OpsGenieResponder::check)
    }
}

impl OpsGenieResponder {
    fn check(&self) -> Result<(), Stop> {
        let refused = |reason: &str| {
            let OpsGenieResponder { id, name, username, kind } = self;
            Stop::because(format!("opsGenieConfig responder {{{id} {name} {username} {kind}}} {reason}"))
        };
        if self.id.is_empty() && self.name.is_empty() && self.username.is_empty() {
            return Err(refused("has to have at least one of id, username or name specified"));
        }
        if self.kind.contains("{{") {
            return crate::template::check_builtin_syntax(&self.kind)
                .map_err(|error| refused(&format!("type contains invalid template syntax: {error}")));
        }
        if !RESPONDER_TYPES.contains(&self.kind.to_lowercase().as_str()) {
            return Err(refused("type does not match valid options ^(team|teams|user|escalation|schedule)$"));
        }
        Ok(())
    }
}

structure! {
    VictorOps "victorops_configs" checked {
        send_resolved: bool = true, always;
        http_config: Option<Box<Http>>;
        api_key: SecretText;
        api_key_file: String;
        api_url: Option<HttpUrl>;
        routing_key: String, always;
        message_type: String = "CRITICAL".to_owned(), always;
        state_message: String = shipped!("victorops.default.state_message"), always;
        entity_display_name: String = shipped!("victorops.default.entity_display_name"), always;
        monitoring_tool: String = shipped!("victorops.default.monitoring_tool"), always;
        custom_fields: BTreeMap<String, String>;
    }
}

impl VictorOps {
    fn check(&mut self, _: &mut Decoder<'_>) -> Result<(), Stop> {
        required(!self.routing_key.is_empty(), "missing Routing key in VictorOps config")?;
        at_most_one(&[("api_key", !self.api_key.is_empty()), ("api_key_file", !self.api_key_file.is_empty())])?;
        match VICTOROPS_KEYS.iter().find(|key| self.custom_fields.contains_key(**key)) {
            Some(key) => Err(Stop::because(format!(
                "victorOps config contains custom field {key} which cannot be used as it conflicts with the fixed/static fields"
            ))),
            None => Ok(()),
        }
    }
}

structure! {
    Pushover "pushover_configs" checked {
        send_resolved: bool = true, always;
        http_config: Option<Box<Http>>;
        user_key: SecretText;
        user_key_file: String;
        token: SecretText;
        token_file: String;
        title: String = shipped!("pushover.default.title");
        message: String = shipped!("pushover.default.message");
        url: String = shipped!("pushover.default.url");
        url_title: String;
        device: String;
        sound: String;
        priority: String = "{{ if eq .Status \"firing\" }}2{{ else }}0{{ end }}".to_owned();
        retry: PushoverDuration = PushoverDuration::seconds(60);
        expire: PushoverDuration = PushoverDuration::seconds(3600);
        ttl: PushoverDuration;
        html: bool;
        monospace: bool;
    }
}

impl Pushover {
    fn check(&mut self, _: &mut Decoder<'_>) -> Result<(), Stop> {
        exactly_one([("user_key", !self.user_key.is_empty()), ("user_key_file", !self.user_key_file.is_empty())])?;
        exactly_one([("token", !self.token.is_empty()), ("token_file", !self.token_file.is_empty())])?;
        at_most_one(&[("monospace", self.monospace), ("html", self.html)])
    }
}

structure! {
    Sns "sns_configs" checked {
        send_resolved: bool = true, always;
        http_config: Option<Box<Http>>;
        api_url: String;
        sigv4: SigV4, always;
        topic_arn: String;
        phone_number: String;
        target_arn: String;
        subject: String = shipped!("sns.default.subject");
        message: String = shipped!("sns.default.message");
        attributes: BTreeMap<String, String>;
        use_aws_http_client: bool;
    }
}

impl Sns {
    fn check(&mut self, _: &mut Decoder<'_>) -> Result<(), Stop> {
        // By parity: one passes, and so do all three.
        let given = [&self.topic_arn, &self.phone_number, &self.target_arn].iter().filter(|to| !to.is_empty()).count();
        required(given % 2 == 1, "must provide either a Target ARN, Topic ARN, or Phone Number for SNS config")
    }
}

structure! {
    SigV4 "sigv4" checked {
        region: String;
        access_key: String;
        secret_key: SecretText;
        profile: String;
        role_arn: String;
        external_id: String;
        use_fips_sts_endpoint: bool;
        service_name: String;
    }
}

impl SigV4 {
    fn check(&mut self, _: &mut Decoder<'_>) -> Result<(), Stop> {
        required(
            self.access_key.is_empty() == self.secret_key.is_empty(),
            "must provide a AWS SigV4 Access key and Secret Key if credentials are specified in the SigV4 config",
        )?;
        required(self.external_id.is_empty() || !self.role_arn.is_empty(), "external_id can only be used with role_arn")
    }
}

structure! {
    Jira "jira_configs" checked {
        send_resolved: bool = true, always;
        http_config: Option<Box<Http>>;
        api_url: Option<HttpUrl>;
        api_type: String = "auto".to_owned();
        project: String;
        summary: JiraField = JiraField::template(shipped!("jira.default.summary"));
        description: JiraField = JiraField::template(shipped!("jira.default.description"));
        labels: Vec<String>;
        priority: String = shipped!("jira.default.priority");
        issue_type: String;
        reopen_transition: String;
        resolve_transition: String;
        wont_fix_resolution: String;
        reopen_duration: PromDuration;
        fields: BTreeMap<String, Doc>;
    }
}

impl Jira {
    fn check(&mut self, _: &mut Decoder<'_>) -> Result<(), Stop> {
        required(!self.project.is_empty(), "missing project in jira_config")?;
        required(!self.issue_type.is_empty(), "missing issue_type in jira_config")?;
        required(
            matches!(self.api_type.as_str(), "auto" | "cloud" | "datacenter"),
            "unknown api_type on jira_config, must be auto, cloud or datacenter",
        )
    }
}

structure! {
    JiraText "jira field" {
        template: String;
        enable_update: Option<bool>;
    }
}

/// A template, or a map of it and more. Keys that are not given keep what was there.
#[derive(Clone, Debug, Default)]
pub struct JiraField(pub JiraText);

impl JiraField {
    fn template(template: String) -> Self {
        JiraField(JiraText { template, enable_update: None })
    }
}

impl Decode for JiraField {
    fn decode(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, Stop> {
        let is_map = decoder.enter(id, |_, view, _| Ok(!matches!(view, View::Scalar { .. })))?;
        if is_map {
            return decoder.enter(id, |decoder, view, line| decoder.structure(&view, line, &mut self.0));
        }
        if decoder.is_null(id) {
            self.0 = JiraText::default();
            return Ok(true);
        }
        self.0.template.decode(decoder, id)
    }
}

impl Dump for JiraField {
    fn dump(&self) -> Doc {
        self.0.dump()
    }

    fn is_zero(&self) -> bool {
        self.0.is_zero()
    }
}
