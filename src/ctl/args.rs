//! The commands and flags: amtool's, and our own behind them. Only what may be written is here; how a line is
//! read is in `line`.
//!
//! A boolean flag is declared plainly; `line` gives it its negative twin `--no-…` and lets it take a value, so that
//! a configuration file can give one.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::alert::text::parse_flag_duration;

/// View, check and change what an Alertmanager or a Carillon does.
///
/// Default values of flags are read from files in YAML, a flag's name and its value a line:
/// $HOME/.config/amtool/config.yml and /etc/amtool/config.yml, and where Debian's amtool looks:
/// $HOME/.config/prometheus/amtool.yml and /etc/prometheus/amtool.yml. Of a flag named in several of them
/// the first file counts, and the command line counts more than all.
#[derive(Debug, Parser)]
#[command(name = "carillonctl", disable_version_flag = true, subcommand_required = true)]
pub struct Cli {
    #[command(flatten)]
    pub globals: Globals,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Clone, Debug, Args)]
pub struct Globals {
    /// Form of dates, as a Go layout.
    #[arg(long = "date.format", value_name = "LAYOUT", default_value = "2006-01-02 15:04:05 MST", global = true)]
    pub date_format: String,
    /// Say on standard error what is asked of the server.
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// The server, http://host:port with a path prefix if there is one.
    #[arg(long = "alertmanager.url", value_name = "URL", global = true)]
    pub url: Option<String>,
    /// Form of the output.
    #[arg(short, long, value_name = "FORM", default_value = "simple", global = true)]
    pub output: Output,
    /// Limit of the time for the whole command.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration, global = true)]
    pub timeout: Duration,
    /// How to connect: a file in the form of http_config.
    #[arg(long = "http.config.file", value_name = "FILE", value_parser = existing_file, global = true)]
    pub http_config_file: Option<PathBuf>,
    /// Compare the server's version with the own one, and say on standard error if they differ.
    #[arg(long = "version-check", global = true)]
    pub version_check: bool,
    /// Features, separated by commas, as the server takes them; classic-mode and utf8-strict-mode matter here.
    #[arg(long = "enable-feature", value_name = "LIST", default_value = "", global = true)]
    pub enable_feature: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Simple,
    Extended,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Look at alerts and post them.
    #[command(subcommand)]
    Alert(AlertCommand),
    /// Look at silences and change them.
    #[command(subcommand)]
    Silence(SilenceCommand),
    /// Check configuration files and the templates that they name.
    CheckConfig(CheckConfigArgs),
    /// Look at the cluster.
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Look at configuration and what it does.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Work with templates.
    #[command(subcommand)]
    Template(TemplateCommand),
    /// Try a receiver.
    #[command(subcommand)]
    Receiver(ReceiverCommand),
    /// Tell which alerts would go elsewhere with another configuration.
    ///
    /// With one file the running configuration of the server is compared with it, with two files these. The alerts
    /// are those of the server, or those of --alerts.
    Diff(DiffArgs),
    /// Tell what Carillon will do with an Alertmanager's flags, files and data.
    ///
    /// Everything behind `migrate` are flags as Alertmanager is started with; @FILE stands for the lines of a file.
    /// Nothing is changed.
    Migrate(MigrateArgs),
    /// Print the script that completes commands and flags in a shell.
    Completion(CompletionArgs),
    /// Print the version.
    Version,
}

#[derive(Debug, Subcommand)]
pub enum AlertCommand {
    /// Show alerts (what `alert` alone does).
    ///
    /// Each argument is a matcher: name=value, name!=value, name=~regex, name!~regex; all must fit. A first
    /// argument that is none is the alertname.
    Query(AlertQueryArgs),
    /// Post an alert.
    ///
    /// Each argument is a label: name=value. A first argument that is none is the alertname.
    Add(AlertAddArgs),
}

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "flags")]
pub struct AlertQueryArgs {
    /// Show inhibited alerts.
    #[arg(short, long)]
    pub inhibited: bool,
    /// Show silenced alerts.
    #[arg(short, long)]
    pub silenced: bool,
    /// Show active alerts; without any of these flags only they are shown.
    #[arg(short, long)]
    pub active: bool,
    /// Show unprocessed alerts.
    #[arg(short, long)]
    pub unprocessed: bool,
    /// Show alerts of receivers whose names fit.
    #[arg(short, long, value_name = "REGEX", default_value = "")]
    pub receiver: String,
    /// name=value, name!=value, name=~regex or name!~regex; or first of all an alertname.
    #[arg(value_name = "MATCHER")]
    pub matchers: Vec<String>,
}

#[derive(Debug, Args)]
pub struct AlertAddArgs {
    /// Link to what made the alert.
    #[arg(long = "generator-url", value_name = "URL", default_value = "")]
    pub generator_url: String,
    /// When it started, in the form 2006-01-02T15:04:05-07:00.
    #[arg(long, value_name = "TIME", default_value = "")]
    pub start: String,
    /// When it ends, in the same form.
    #[arg(long, value_name = "TIME", default_value = "")]
    pub end: String,
    /// An annotation: name=value. May be repeated.
    #[arg(long, value_name = "ANNOTATION")]
    pub annotation: Vec<String>,
    /// name=value; or first of all an alertname.
    #[arg(value_name = "LABEL")]
    pub labels: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub enum SilenceCommand {
    /// Add a silence of alerts that fit all matchers.
    ///
    /// Each argument is a matcher: name=value, name!=value, name=~regex, name!~regex. A first argument that
    /// is none is the alertname.
    Add(SilenceAddArgs),
    /// End silences now.
    Expire(SilenceExpireArgs),
    /// Add the silences of a JSON file, such as `silence query -o json` prints.
    Import(SilenceImportArgs),
    /// Show silences (what `silence` alone does).
    ///
    /// Each argument is a matcher that the silence must have. A first argument that is none is the alertname.
    Query(SilenceQueryArgs),
    /// Change silences: end, start, comment.
    Update(SilenceUpdateArgs),
}

#[derive(Debug, Args)]
pub struct SilenceAddArgs {
    /// Who adds it; by default the user of this system.
    #[arg(short, long, value_name = "NAME")]
    pub author: Option<String>,
    /// A comment is required; best set in a file.
    #[arg(long = "require-comment", hide = true)]
    pub require_comment: bool,
    /// How long it lasts.
    #[arg(short, long, value_name = "DURATION", default_value = "1h")]
    pub duration: String,
    /// When it starts, in the form 2006-01-02T15:04:05-07:00; by default now.
    #[arg(long, value_name = "TIME", default_value = "")]
    pub start: String,
    /// When it ends, in the same form; counts more than --duration.
    #[arg(long, value_name = "TIME", default_value = "")]
    pub end: String,
    /// Why it is there.
    #[arg(short, long, value_name = "TEXT", default_value = "")]
    pub comment: String,
    /// An annotation: name=value. May be repeated.
    #[arg(long, value_name = "ANNOTATION")]
    pub annotation: Vec<String>,
    /// name=value, name!=value, name=~regex or name!~regex; or first of all an alertname.
    #[arg(value_name = "MATCHER")]
    pub matchers: Vec<String>,
}

#[derive(Debug, Args)]
pub struct SilenceExpireArgs {
    /// Ids of silences.
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
}

#[derive(Debug, Args)]
pub struct SilenceImportArgs {
    /// Always add new silences, whatever ids the file has.
    #[arg(short, long)]
    pub force: bool,
    /// How many are posted at a time.
    #[arg(short, long = "worker", value_name = "NUMBER", default_value = "8", value_parser = count)]
    pub workers: usize,
    /// The file; standard input if there is none.
    #[arg(value_name = "FILE", value_parser = existing_file)]
    pub file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct SilenceQueryArgs {
    /// Show silences that have ended, instead of the others.
    #[arg(long)]
    pub expired: bool,
    /// Show ids alone.
    #[arg(short, long)]
    pub quiet: bool,
    /// Show silences of this creator.
    #[arg(long = "created-by", value_name = "NAME", default_value = "")]
    pub created_by: String,
    /// Show the silence of this id.
    #[arg(long, value_name = "ID", default_value = "")]
    pub id: String,
    /// Show silences that end (with --expired: ended) within this time.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub within: Option<Duration>,
    /// name=value, name!=value, name=~regex or name!~regex; or first of all an alertname.
    #[arg(value_name = "MATCHER")]
    pub matchers: Vec<String>,
}

#[derive(Debug, Args)]
pub struct SilenceUpdateArgs {
    /// Show ids alone.
    #[arg(short, long)]
    pub quiet: bool,
    /// How long it lasts from its start.
    #[arg(short, long, value_name = "DURATION", default_value = "")]
    pub duration: String,
    /// When it starts, in the form 2006-01-02T15:04:05-07:00.
    #[arg(long, value_name = "TIME", default_value = "")]
    pub start: String,
    /// When it ends, in the same form; counts more than --duration.
    #[arg(long, value_name = "TIME", default_value = "")]
    pub end: String,
    /// Why it is there.
    #[arg(short, long, value_name = "TEXT", default_value = "")]
    pub comment: String,
    /// Ids of silences.
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
}

#[derive(Debug, Args)]
pub struct CheckConfigArgs {
    /// Take warnings for errors.
    #[arg(long)]
    pub strict: bool,
    /// How many nodes the cluster has that shall run this, for warnings.
    #[arg(long = "cluster.nodes", value_name = "NUMBER", default_value_t = 3)]
    pub nodes: u32,
    /// Its --cluster.peer-timeout, for warnings.
    #[arg(long = "cluster.peer-timeout", value_name = "DURATION", default_value = "15s", value_parser = duration)]
    pub peer_timeout: Duration,
    /// The files; standard input if there is none.
    #[arg(value_name = "FILE", value_parser = existing_file)]
    pub files: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Show state and peers of one node's cluster (what `cluster` alone does).
    Show,
    /// Ask nodes what they see of each other, and tell what is wrong and what to do.
    Doctor(DoctorArgs),
}

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// URLs of the nodes, best of all; by default --alertmanager.url.
    #[arg(value_name = "URL")]
    pub urls: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show the server's configuration (what `config` alone does): simple is the configuration, extended adds
    /// version and start, json is the whole answer.
    Show,
    /// The routing tree.
    Routes(RoutesArgs),
}

#[derive(Debug, Args)]
pub struct RoutesArgs {
    /// A configuration file, instead of the server's configuration.
    #[arg(long = "config.file", value_name = "FILE", value_parser = existing_file, global = true)]
    pub config_file: Option<PathBuf>,
    #[command(subcommand)]
    pub command: RoutesCommand,
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
    #[arg(long = "verify.receivers", value_name = "LIST", default_value = "")]
    pub verify_receivers: String,
    /// Labels of the alert: name=value.
    #[arg(value_name = "LABEL")]
    pub labels: Vec<String>,
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
    #[arg(long = "template.data", value_name = "FILE", value_parser = existing_file)]
    pub data: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TemplateKind {
    Text,
    Html,
}

#[derive(Debug, Subcommand)]
pub enum ReceiverCommand {
    /// Send a marked test notification through one receiver of the running configuration.
    ///
    /// The server must allow it: to users of basic_auth_users in its --web.config.file, or to everybody by
    /// --web.enable-receiver-test. Alertmanager cannot do it.
    Test(ReceiverTestArgs),
}

#[derive(Debug, Args)]
pub struct ReceiverTestArgs {
    /// Show the requests, secrets masked, and send nothing.
    #[arg(long = "dry-run")]
    pub dry_run: bool,
    /// Tell the end of the test, which closes what its beginning has opened.
    #[arg(long)]
    pub resolved: bool,
    /// An annotation: name=value. May be repeated.
    #[arg(long, value_name = "ANNOTATION")]
    pub annotation: Vec<String>,
    /// The receiver.
    #[arg(value_name = "NAME", required = true)]
    pub name: Option<String>,
    /// Labels of the test alert: name=value.
    #[arg(value_name = "LABEL")]
    pub labels: Vec<String>,
}

#[derive(Debug, Args)]
pub struct DiffArgs {
    /// Label sets in JSON: a list of objects, or what `alert query -o json` prints.
    #[arg(long, value_name = "FILE", value_parser = existing_file)]
    pub alerts: Option<PathBuf>,
    /// Fail if anything goes elsewhere.
    #[arg(long = "exit-code")]
    pub exit_code: bool,
    /// The old and the new file, or the new one.
    #[arg(value_name = "FILE", value_parser = existing_file, required = true, num_args = 1..=2)]
    pub files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// As Alertmanager is started: --config.file=…, --storage.path=…
    #[arg(value_name = "FLAG", allow_hyphen_values = true)]
    pub flags: Vec<String>,
}

#[derive(Debug, Args)]
pub struct CompletionArgs {
    /// The shell that shall complete.
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
}

/// Go's durations, with days and weeks; a negative one is none at all.
fn duration(text: &str) -> Result<Duration, String> {
    let parsed = parse_flag_duration(text).map_err(|error| error.to_string())?;
    Ok(parsed.to_std().unwrap_or_default())
}

fn count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("strconv.ParseFloat: parsing \"{text}\": invalid syntax"))
}

/// A file that must be there; pipes and devices are files too.
fn existing_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.metadata() {
        Ok(data) if data.is_dir() => Err(format!("'{text}' is a directory")),
        Ok(_) => Ok(path),
        Err(_) => Err(format!("path '{text}' does not exist")),
    }
}
