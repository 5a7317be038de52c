//! The integrations: one file each, all behind [`Notifier`].
//!
//! [`build`] turns one checked integration of the configuration into something that can deliver. It runs at
//! start and at every reload, so whatever can be wrong with the settings (certificates, proxies) shows there.
//! Shared ways of writing, cutting and judging live beside the integrations: [`json`], [`text`], [`payload`],
//! [`http_status`], [`sender`]. An integration makes one attempt; retries, time limits and the log are the pipeline's.

pub mod address;
pub mod discord;
pub mod email;
pub mod http_status;
pub mod incidentio;
pub mod jira;
pub mod json;
pub mod mattermost;
pub mod message;
pub mod msteams;
pub mod msteamsv2;
pub mod opsgenie;
pub mod pagerduty;
pub mod payload;
pub mod pushover;
pub mod rocketchat;
pub mod sender;
pub mod slack;
pub mod sns;
pub mod telegram;
pub mod text;
pub mod victorops;
pub mod webex;
pub mod webhook;
pub mod wechat;

use std::sync::Arc;

use crate::{
    clock::Clock,
    config::model::{IntegrationConfig, Settings},
    httpconf::{ClientOptions, DialMetrics, HttpConfigError, ProxyEnvironment},
    metrics::Metrics,
    notify::types::Notifier,
    random::Random,
    template::Templates,
};

/// What integrations are built with: the same for all of one configuration.
#[derive(Clone)]
pub struct BuildContext {
    pub templates: Arc<Templates>,
    /// For [`crate::httpconf::Client::new`].
    pub http: ClientOptions,
    pub clock: Clock,
    pub random: Random,
}

impl BuildContext {
    /// `version` is the one in `User-Agent: Alertmanager/<version>`. The proxy environment is read here.
    #[must_use]
    pub fn new(templates: Arc<Templates>, version: &str, clock: Clock, random: Random, metrics: &Metrics) -> Self {
        BuildContext { templates, http: client_options(version, &clock, &random, metrics), clock, random }
    }
}

/// What all HTTP clients of the program share; see [`BuildContext::new`].
#[must_use]
pub fn client_options(version: &str, clock: &Clock, random: &Random, metrics: &Metrics) -> ClientOptions {
    let dials = DialMetrics {
        attempted: metrics.conntrack_attempted_total.clone(),
        established: metrics.conntrack_established_total.clone(),
        closed: metrics.conntrack_closed_total.clone(),
        failed: metrics.conntrack_failed_total.clone(),
    };
    ClientOptions {
        user_agent: format!("Alertmanager/{version}"),
        clock: clock.clone(),
        random: random.clone(),
        dials,
        proxy_environment: ProxyEnvironment::from_process(),
        rehearsal: None,
    }
}

/// Why an integration cannot be built. A reload fails with it.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(transparent)]
    Http(#[from] HttpConfigError),
    /// Settings that can only be judged when the integration is built.
    #[error("{0}")]
    Settings(String),
}

/// Makes one integration ready to deliver.
///
/// # Errors
/// Certificates, keys or proxies that cannot be used.
pub fn build(config: &IntegrationConfig, context: &BuildContext) -> Result<Box<dyn Notifier>, BuildError> {
    match &config.settings {
        Settings::Webhook(webhook) => Ok(Box::new(webhook::Webhook::new(webhook, context)?)),
        Settings::Email(email) => email::build(email, context),
        Settings::Slack(slack) => Ok(Box::new(slack::Slack::new(slack, context)?)),
        Settings::PagerDuty(pagerduty) => Ok(Box::new(pagerduty::PagerDuty::new(pagerduty, context)?)),
        Settings::OpsGenie(opsgenie) => Ok(Box::new(opsgenie::OpsGenie::new(opsgenie, context)?)),
        Settings::VictorOps(victorops) => Ok(Box::new(victorops::VictorOps::new(victorops, context)?)),
        Settings::WeChat(wechat) => Ok(Box::new(wechat::WeChat::new(wechat, context)?)),
        Settings::Sns(sns) => Ok(Box::new(sns::Sns::new(sns, context)?)),
        Settings::Pushover(pushover) => Ok(Box::new(pushover::Pushover::new(pushover, context)?)),
        Settings::IncidentIo(incidentio) => Ok(Box::new(incidentio::IncidentIo::new(incidentio, context)?)),
        Settings::RocketChat(rocketchat) => Ok(Box::new(rocketchat::RocketChat::new(rocketchat, context)?)),
        Settings::Mattermost(mattermost) => Ok(Box::new(mattermost::Mattermost::new(mattermost, context)?)),
        Settings::Discord(discord) => Ok(Box::new(discord::Discord::new(discord, context)?)),
        Settings::MsTeams(msteams) => Ok(Box::new(msteams::MsTeams::new(msteams, context)?)),
        Settings::MsTeamsV2(msteamsv2) => Ok(Box::new(msteamsv2::MsTeamsV2::new(msteamsv2, context)?)),
        Settings::Webex(webex) => Ok(Box::new(webex::Webex::new(webex, context)?)),
        Settings::Telegram(telegram) => Ok(Box::new(telegram::Telegram::new(telegram, context)?)),
        Settings::Jira(jira) => Ok(Box::new(jira::Jira::new(jira, context)?)),
    }
}
