//! The command-line tool: amtool's commands under the name `carillonctl`.
//!
//! Arguments come in, text for a person or a script goes out; whatever fails ends in one [`CtlError`].
//! What a command needs of the server it gets over the API, never by reaching into it.

mod check_config;
mod routes;
pub mod template;

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{
    cli::{CliError, Features},
    config::ConfigError,
    template::TemplateError,
};

/// View, check and change what an Alertmanager does.
#[derive(Debug, Parser)]
#[command(name = "carillonctl", version, disable_help_subcommand = false)]
pub struct Cli {
    /// Features, separated by commas, as the server takes them; classic-mode and utf8-strict-mode matter here.
    #[arg(long = "enable-feature", value_name = "LIST", default_value = "", global = true)]
    pub enable_feature: String,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check configuration files and the templates that they name.
    CheckConfig(CheckConfigArgs),
    /// Show what a configuration does.
    Config(ConfigArgs),
    /// Work with templates.
    Template(TemplateArgs),
}

#[derive(Debug, Args)]
pub struct CheckConfigArgs {
    /// The files; standard input if there is none.
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    pub command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// The routing tree.
    Routes(RoutesArgs),
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = false)]
pub struct RoutesArgs {
    /// The configuration file.
    #[arg(long = "config.file", value_name = "FILE", global = true)]
    pub config_file: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Option<RoutesCommand>,
}

#[derive(Debug, Subcommand)]
pub enum RoutesCommand {
    /// Draw the tree (what `routes` alone does).
    Show,
    /// Tell which receivers get an alert with these labels.
    Test(RoutesTestArgs),
}

#[derive(Debug, Args)]
pub struct RoutesTestArgs {
    /// Draw the routes that match.
    #[arg(long)]
    pub tree: bool,
    /// Fail unless exactly these receivers are found, joined by commas.
    #[arg(long = "verify.receivers", value_name = "LIST")]
    pub verify_receivers: Option<String>,
    /// Labels of the alert: name=value.
    #[arg(value_name = "LABEL")]
    pub labels: Vec<String>,
}

#[derive(Debug, Args)]
pub struct TemplateArgs {
    #[command(subcommand)]
    pub command: TemplateCommand,
}

#[derive(Debug, Subcommand)]
pub enum TemplateCommand {
    /// Expand a text with templates and example data.
    Render(RenderArgs),
}

#[derive(Debug, Args)]
pub struct RenderArgs {
    /// Template files.
    #[arg(long = "template.glob", value_name = "GLOB", required = true)]
    pub globs: Vec<PathBuf>,
    /// What to expand.
    #[arg(long = "template.text", value_name = "TEXT")]
    pub text: String,
    /// How to expand it.
    #[arg(long = "template.type", value_name = "TYPE", default_value = "text")]
    pub kind: TemplateKind,
    /// A JSON file with the data of a notification, instead of the built-in example.
    #[arg(long = "template.data", value_name = "FILE")]
    pub data: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TemplateKind {
    Text,
    Html,
}

/// Why a command failed. The message is all that the user sees.
#[derive(Debug, thiserror::Error)]
pub enum CtlError {
    #[error("error parsing the feature flag list: {0}")]
    Features(#[from] CliError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("failed to validate {0} file(s)")]
    Invalid(usize),
    #[error("path '{}' does not exist", .0.display())]
    NoSuchFile(PathBuf),
    #[error("no files given, and standard input is a terminal")]
    NothingToCheck,
    #[error("You have to specify a configuration file with --config.file.")]
    NoConfigFile,
    #[error("Failed to parse labels: {0}")]
    Label(#[from] crate::alert::matcher::MatcherError),
    #[error("Labels must be specified as key=value pairs")]
    NotALabel,
    #[error("expected receivers {expected}, but resolved {resolved}")]
    OtherReceivers { expected: String, resolved: String },
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Data { path: PathBuf, source: serde_json::Error },
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
}

/// Does what the command line says. Results go to `out`, warnings to standard error.
///
/// # Errors
/// The command failed.
pub fn run(cli: Cli, out: &mut dyn Write) -> Result<(), CtlError> {
    let mode = Features::parse(&cli.enable_feature)?.parse_mode();
    match cli.command {
        Command::CheckConfig(args) => check_config::run(&args, mode, out),
        Command::Config(ConfigArgs { command: ConfigCommand::Routes(args) }) => routes::run(&args, mode, out),
        Command::Template(TemplateArgs { command: TemplateCommand::Render(args) }) => template::run(args),
    }
}

/// Tells what was accepted but is likely meant otherwise.
fn warn(warnings: &[String]) {
    let mut err = io::stderr().lock();
    for warning in warnings {
        // Who closes standard error does not want to know.
        drop(writeln!(err, "Warning: {warning}"));
    }
}
