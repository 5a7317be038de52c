//! Why a command failed, in the words that its user reads.

use std::{io, path::PathBuf};

use super::settings::SettingsError;
use crate::{
    alert::{matcher::MatcherError, text::DurationError},
    cli::CliError,
    config::ConfigError,
    template::TemplateError,
};

/// A command line that means nothing.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    #[error("{0}")]
    Wrong(String),
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

/// Why a command failed. The message is all that the user sees.
#[derive(Debug, thiserror::Error)]
pub enum CtlError {
    #[error(transparent)]
    Line(#[from] LineError),
    #[error("error parsing the feature flag list: {0}")]
    Features(#[from] CliError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("failed to validate {0} file(s)")]
    Invalid(usize),
    #[error("{0} warning(s), and --strict is given")]
    Warnings(usize),
    #[error("no files given, and standard input is a terminal")]
    NothingToCheck,
    #[error("You have to specify one of --config.file or --alertmanager.url flags.")]
    NoConfig,
    #[error("required flag --alertmanager.url not provided")]
    NoUrl,
    #[error("--alertmanager.url: {url} is no URL of a server: {why}; write it as http://host:port")]
    Url { url: String, why: &'static str },
    #[error("--alertmanager.url has a user name, which cannot be combined with --http.config.file")]
    TwoCredentials,
    #[error("{0}")]
    Http(String),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error(transparent)]
    Matcher(#[from] MatcherError),
    #[error("Failed to parse labels: {0}")]
    RouteLabel(MatcherError),
    #[error("Labels must be specified as key=value pairs")]
    NotARouteLabel,
    #[error("labels must be specified as key=value pairs")]
    NotALabel,
    #[error("no matchers specified")]
    NoMatchers,
    #[error("no silence IDs specified")]
    NoIds,
    #[error("comment required by config")]
    NoComment,
    #[error(transparent)]
    Duration(#[from] DurationError),
    #[error("silence duration must be greater than 0")]
    NoDuration,
    #[error("silence cannot start after it ends")]
    StartsAfterEnd,
    #[error("{0}")]
    Time(String),
    #[error("couldn't unmarshal input data, is it JSON?: {0}")]
    NotJson(serde_json::Error),
    #[error("{}: neither a list of label sets nor one of alerts: {source}", path.display())]
    NotAlerts { path: PathBuf, source: serde_json::Error },
    #[error("{0} alert(s) go elsewhere")]
    GoElsewhere(usize),
    #[error("couldn't import {failed} out of {all} silences")]
    Import { failed: usize, all: usize },
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Data { path: PathBuf, source: serde_json::Error },
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
    /// Everything has been said on standard output already.
    #[error("")]
    Told,
}

/// A request that did not bring what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("{method} \"{url}\": {why}")]
    NoAnswer { method: &'static str, url: String, why: String },
    /// `what` is amtool's line.
    #[error("{what}\n{asked} answered {status}{body}")]
    Refused { what: String, asked: String, status: u16, body: String },
    #[error("GET {url} answered what is no answer of an Alertmanager: {why}")]
    Unreadable { url: String, why: serde_json::Error },
    #[error("GET {url}: the answer broke off")]
    BrokeOff { url: String },
}
