//! The command line: the flags of Alertmanager, with its values, defaults and error texts
//! (reference/server.md 1, reference/deployers.md 0).
//!
//! [`parse`] turns arguments into [`Command`]: run with checked [`Options`], print something and end, or an error.
//! The table of flags is in `flags`; the library reads the arguments, this room gives its errors the words
//! that operators and scripts know.

mod flags;
mod host_port;

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::{Arg, ArgAction, ArgMatches, error::ErrorKind};
use flags::{FLAGS, Flag, Kind};
pub use host_port::{HostPort, HostPortError};

use crate::{
    alert::{matcher::ParseMode, text::parse_flag_duration},
    decisions::DecisionsConfig,
};

/// What the arguments ask for.
#[derive(Debug)]
pub enum Command {
    Run(Box<Options>),
    /// Text for standard output; exit status 0.
    Print(String),
}

/// A wrong command line. Printed as `alertmanager: error: …, try --help`, exit status 1.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("{0}")]
pub struct CliError(pub String);

/// All flags, checked.
#[derive(Clone, Debug)]
pub struct Options {
    pub config_file: PathBuf,
    pub storage_path: PathBuf,
    pub retention: Duration,
    /// Zero is refused.
    pub maintenance_interval: Duration,
    /// 0: no limit.
    pub max_silences: usize,
    /// 0: no limit.
    pub max_silence_size_bytes: usize,
    pub log_silences: bool,
    pub alerts_gc_interval: Duration,
    /// 0: no limit.
    pub per_alertname_limit: usize,
    pub dispatch_maintenance_interval: Duration,
    pub dispatch_start_delay: Duration,
    pub decisions: DecisionsConfig,
    pub web: WebOptions,
    /// `None`: `--cluster.listen-address=` is empty, and every other cluster flag without effect.
    pub cluster: Option<ClusterOptions>,
    pub features: Features,
    /// Every flag with its value, in the order of `--help`.
    pub flags: Vec<ShownFlag>,
    pub log_level: LogLevel,
    pub log_format: LogFormat,
}

#[derive(Clone, Debug)]
pub struct WebOptions {
    pub listen_addresses: Vec<String>,
    pub systemd_socket: bool,
    /// Test notifications without a login.
    pub enable_receiver_test: bool,
    pub config_file: Option<PathBuf>,
    pub external_url: Option<String>,
    pub route_prefix: Option<String>,
    /// 0: the default.
    pub get_concurrency: usize,
    /// Zero: none.
    pub timeout: Duration,
}

#[derive(Clone, Debug)]
pub struct ClusterOptions {
    pub listen_address: HostPort,
    pub advertise_address: Option<(IpAddr, u16)>,
    pub peer_name: Option<String>,
    pub peers: Vec<String>,
    pub peer_timeout: Duration,
    pub peers_resolve_timeout: Duration,
    pub gossip_interval: Duration,
    pub push_pull_interval: Duration,
    pub tcp_timeout: Duration,
    pub probe_timeout: Duration,
    pub probe_interval: Duration,
    pub settle_timeout: Duration,
    pub reconnect_interval: Duration,
    pub reconnect_timeout: Duration,
    pub tls_config: Option<PathBuf>,
    pub secret_file: Option<PathBuf>,
    pub allow_public_address_discovery: bool,
    pub label: String,
}

/// `--enable-feature`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features {
    pub alert_names_in_metrics: bool,
    pub receiver_name_in_metrics: bool,
    pub group_key_in_metrics: bool,
    pub classic_mode: bool,
    pub utf8_strict_mode: bool,
    pub auto_gomemlimit: bool,
    pub event_recorder: bool,
    /// Names as given, for the log.
    pub enabled: Vec<String>,
}

impl Features {
    /// How matchers are read.
    #[must_use]
    pub fn parse_mode(&self) -> ParseMode {
        if self.classic_mode {
            ParseMode::Classic
        } else if self.utf8_strict_mode {
            ParseMode::Utf8
        } else {
            ParseMode::Fallback
        }
    }

    /// # Errors
    /// An unknown name, or both matcher modes.
    pub fn parse(list: &str) -> Result<Self, CliError> {
        let mut features = Features::default();
        for name in list.split(',').filter(|name| !name.is_empty()) {
            let flag = match name {
                "alert-names-in-metrics" => &mut features.alert_names_in_metrics,
                "receiver-name-in-metrics" => &mut features.receiver_name_in_metrics,
                "group-key-in-metrics" => &mut features.group_key_in_metrics,
                "classic-mode" => &mut features.classic_mode,
                "utf8-strict-mode" => &mut features.utf8_strict_mode,
                "auto-gomemlimit" => &mut features.auto_gomemlimit,
                "event-recorder" => &mut features.event_recorder,
                _ => return Err(CliError(format!("unknown option '{name}' for --enable-feature"))),
            };
            *flag = true;
            features.enabled.push(name.to_owned());
        }
        if features.classic_mode && features.utf8_strict_mode {
            return Err(CliError("cannot have both classic and UTF-8 modes enabled".to_owned()));
        }
        Ok(features)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Logfmt,
    Json,
}

/// Reads the arguments (without the program's name). `version` is the text of `--version`.
///
/// # Errors
/// Anything that Alertmanager refuses, in its words.
pub fn parse(args: impl IntoIterator<Item = String>, version: &str) -> Result<Command, CliError> {
    let args = expand_files(args)?;
    for arg in &args {
        match arg.as_str() {
            "--" => break,
            "-h" | "--help" | "--help-long" => return Ok(Command::Print(flags::help())),
            "--help-man" => return Ok(Command::Print(flags::man_page())),
            "--completion-bash" => return Ok(Command::Print(flags::names_for_completion())),
            "--completion-script-bash" => return Ok(Command::Print(flags::COMPLETION_BASH.to_owned())),
            "--completion-script-zsh" => return Ok(Command::Print(flags::COMPLETION_ZSH.to_owned())),
            "--version" => return Ok(Command::Print(version.to_owned())),
            _ => {}
        }
    }
    let matches = command().try_get_matches_from(args).map_err(|error| in_peers_words(&error))?;
    Ok(Command::Run(Box::new(Options::from_matches(&Values(&matches))?)))
}

/// An argument `@path` stands for the lines of that file.
pub(crate) fn expand_files(args: impl IntoIterator<Item = String>) -> Result<Vec<String>, CliError> {
    let mut expanded = Vec::new();
    let mut literal = false;
    for arg in args {
        literal |= arg == "--";
        match arg.strip_prefix('@') {
            Some(path) if !literal => {
                let text = std::fs::read_to_string(path).map_err(|error| CliError(format!("open {path}: {error}")))?;
                expanded
                    .extend(text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned));
            }
            _ => expanded.push(arg),
        }
    }
    Ok(expanded)
}

fn command() -> clap::Command {
    let mut command = clap::Command::new("alertmanager")
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .color(clap::ColorChoice::Never);
    for flag in FLAGS {
        let arg = Arg::new(flag.name).long(flag.name);
        command = match flag.kind {
            Kind::Bool(negative) => command
                .arg(arg.action(ArgAction::SetTrue).overrides_with(negative))
                .arg(Arg::new(negative).long(negative).hide(true).action(ArgAction::SetTrue).overrides_with(flag.name)),
            Kind::Repeated => command.arg(arg.action(ArgAction::Append)),
            _ => command.arg(arg.action(ArgAction::Set)),
        };
    }
    command
}

/// The reference's text for what the library found wrong.
pub(crate) fn in_peers_words(error: &clap::Error) -> CliError {
    use clap::error::{ContextKind, ContextValue};
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.first().cloned().unwrap_or_default(),
        _ => String::new(),
    };
    let arg = text(ContextKind::InvalidArg);
    let flag = arg.split([' ', '=']).next().unwrap_or_default();
    let message = match error.kind() {
        ErrorKind::UnknownArgument if arg.starts_with("--") => format!("unknown long flag '{flag}'"),
        ErrorKind::UnknownArgument if arg.starts_with('-') => format!("unknown short flag '{flag}'"),
        ErrorKind::UnknownArgument => format!("unexpected {arg}"),
        ErrorKind::ArgumentConflict => format!("flag '{}' cannot be repeated", flag.trim_start_matches('-')),
        ErrorKind::TooManyValues => format!("unexpected {}", text(ContextKind::InvalidValue)),
        ErrorKind::InvalidValue | ErrorKind::NoEquals | ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
            format!("expected argument for flag '{flag}'")
        }
        ErrorKind::InvalidUtf8 => "an argument is not valid UTF-8".to_owned(),
        _ => error.kind().to_string(),
    };
    CliError(message)
}

/// A flag as it was given, or its default.
#[derive(Clone, Debug)]
pub struct ShownFlag {
    pub name: &'static str,
    pub value: String,
    pub is_default: bool,
}

/// A smaller record of decisions would be of no use.
const DECISIONS_BYTES_MIN: u64 = 1 << 20;

/// `64MB`, `64MiB` (the same: units are powers of 1024) or a plain number.
fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text.get(digits.len()..)? {
        "" | "B" => 0,
        "KB" | "KiB" => 10,
        "MB" | "MiB" => 20,
        "GB" | "GiB" => 30,
        "TB" | "TiB" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// Typed look-ups; what is missing has the default of the table.
struct Values<'a>(&'a ArgMatches);

impl Values<'_> {
    fn flag(name: &str) -> &'static Flag {
        // Names are written twice in this room only; a test walks over all of them.
        FLAGS.iter().find(|flag| flag.name == name).unwrap_or(&FLAGS[0])
    }

    fn text(&self, name: &str) -> String {
        self.0.get_one::<String>(name).cloned().unwrap_or_else(|| Self::flag(name).default.to_owned())
    }

    fn optional(&self, name: &str) -> Option<String> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    fn list(&self, name: &str) -> Vec<String> {
        match self.0.get_many::<String>(name) {
            Some(values) => values.cloned().collect(),
            None => Some(Self::flag(name).default.to_owned()).filter(|text| !text.is_empty()).into_iter().collect(),
        }
    }

    fn shown(&self) -> Vec<ShownFlag> {
        let value = |flag: &Flag| match flag.kind {
            Kind::Bool(_) => self.bool(flag.name).to_string(),
            Kind::Repeated => self.list(flag.name).join(", "),
            _ => self.text(flag.name),
        };
        let shown = |flag: &Flag| {
            let value = value(flag);
            let default = if matches!(flag.kind, Kind::Bool(_)) { "false" } else { flag.default };
            ShownFlag { name: flag.name, is_default: value == default, value }
        };
        FLAGS.iter().map(shown).collect()
    }

    fn bool(&self, name: &str) -> bool {
        self.0.get_flag(name)
    }

    fn duration(&self, name: &str) -> Result<Duration, CliError> {
        let text = self.text(name);
        let duration = parse_flag_duration(&text).map_err(|error| CliError(error.to_string()))?;
        // Every flag takes a negative duration as "none", like zero.
        Ok(duration.to_std().unwrap_or_default())
    }

    /// Since 0.34 an interval of zero is refused.
    fn positive(&self, name: &str) -> Result<Duration, CliError> {
        let duration = self.duration(name)?;
        if duration.is_zero() {
            return Err(CliError(format!("--{name} must be greater than 0")));
        }
        Ok(duration)
    }

    /// A number of bytes, with a unit or without; 0, or at least `min`.
    fn bytes(&self, name: &str, min: u64) -> Result<u64, CliError> {
        let text = self.text(name);
        let bytes = parse_bytes(&text)
            .ok_or_else(|| CliError(format!("--{name}: {text:?} is no size like 64MB or 1000000")))?;
        if bytes > 0 && bytes < min {
            return Err(CliError(format!("--{name} must be 0 or at least {}MB", min >> 20)));
        }
        Ok(bytes)
    }

    /// Negative means none, like 0. Written as an integer; a float is cut, as the reference does.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded below; above it saturates, as wanted of a limit"
    )]
    fn limit(&self, name: &str) -> Result<usize, CliError> {
        let text = self.text(name);
        let number: f64 =
            text.parse().map_err(|_| CliError(format!("strconv.ParseFloat: parsing \"{text}\": invalid syntax")))?;
        Ok(number.max(0.0) as usize)
    }
}

impl Options {
    fn from_matches(values: &Values<'_>) -> Result<Self, CliError> {
        let features = Features::parse(&values.text("enable-feature"))?;
        let ratio = values.text("auto-gomemlimit.ratio");
        let ratio: f64 =
            ratio.parse().map_err(|_| CliError(format!("strconv.ParseFloat: parsing \"{ratio}\": invalid syntax")))?;
        if features.auto_gomemlimit && !(ratio > 0.0 && ratio <= 1.0) {
            return Err(CliError(
                "--auto-gomemlimit.ratio must be greater than 0 and less than or equal to 1.".to_owned(),
            ));
        }
        Ok(Options {
            config_file: values.text("config.file").into(),
            storage_path: values.text("storage.path").into(),
            retention: values.positive("data.retention")?,
            maintenance_interval: values.positive("data.maintenance-interval")?,
            max_silences: values.limit("silences.max-silences")?,
            max_silence_size_bytes: values.limit("silences.max-silence-size-bytes")?,
            log_silences: values.bool("log.silences"),
            alerts_gc_interval: values.positive("alerts.gc-interval")?,
            per_alertname_limit: values.limit("alerts.per-alertname-limit")?,
            dispatch_maintenance_interval: values.positive("dispatch.maintenance-interval")?,
            dispatch_start_delay: values.duration("dispatch.start-delay")?,
            decisions: DecisionsConfig {
                bytes_max: values.bytes("decisions.max-size", DECISIONS_BYTES_MIN)?,
                age_max: values.duration("decisions.max-age")?,
            },
            web: WebOptions {
                listen_addresses: values.list("web.listen-address"),
                systemd_socket: values.bool("web.systemd-socket"),
                enable_receiver_test: values.bool("web.enable-receiver-test"),
                config_file: values.optional("web.config.file").map(PathBuf::from),
                external_url: values.optional("web.external-url"),
                route_prefix: values.optional("web.route-prefix"),
                get_concurrency: values.limit("web.get-concurrency")?,
                timeout: values.duration("web.timeout")?,
            },
            cluster: ClusterOptions::from_matches(values)?,
            features,
            flags: values.shown(),
            log_level: match values.text("log.level").to_ascii_lowercase().as_str() {
                "debug" => LogLevel::Debug,
                "info" => LogLevel::Info,
                "warn" => LogLevel::Warn,
                "error" => LogLevel::Error,
                other => return Err(CliError(format!("unrecognized log level {other}"))),
            },
            log_format: match values.text("log.format").as_str() {
                "logfmt" => LogFormat::Logfmt,
                "json" => LogFormat::Json,
                other => return Err(CliError(format!("unrecognized log format {other}"))),
            },
        })
    }
}

impl ClusterOptions {
    fn from_matches(values: &Values<'_>) -> Result<Option<Self>, CliError> {
        // Even without a cluster a value that cannot be read is an error; its meaning is not looked at.
        let peer_timeout = values.duration("cluster.peer-timeout")?;
        let intervals = [
            "cluster.peers-resolve-timeout",
            "cluster.gossip-interval",
            "cluster.pushpull-interval",
            "cluster.tcp-timeout",
            "cluster.probe-timeout",
            "cluster.probe-interval",
            "cluster.reconnect-interval",
            "cluster.reconnect-timeout",
            "cluster.settle-timeout",
        ];
        for name in intervals {
            values.duration(name)?;
        }
        let Some(listen) = values.optional("cluster.listen-address") else { return Ok(None) };
        for name in &intervals[..8] {
            values.positive(name)?;
        }
        let address = |name: &str, text: &str| {
            text.parse::<HostPort>().map_err(|error| CliError(format!("invalid value for --{name}: {error}")))
        };
        let label = values.text("cluster.label");
        if label.len() > 255 {
            return Err(CliError("--cluster.label must not be longer than 255 bytes".to_owned()));
        }
        let advertise_address = match values.optional("cluster.advertise-address") {
            None => None,
            Some(text) => {
                let parsed = address("cluster.advertise-address", &text)?;
                let ip = parsed.ip().ok_or_else(|| {
                    CliError(format!("invalid value for --cluster.advertise-address: {text:?} is not <ip>:<port>"))
                })?;
                Some((ip, parsed.port))
            }
        };
        let peers = values.list("cluster.peer");
        for peer in &peers {
            address("cluster.peer", peer)?;
        }
        Ok(Some(ClusterOptions {
            listen_address: address("cluster.listen-address", &listen)?,
            advertise_address,
            peer_name: values.optional("cluster.peer-name"),
            peers,
            peer_timeout,
            peers_resolve_timeout: values.duration("cluster.peers-resolve-timeout")?,
            gossip_interval: values.duration("cluster.gossip-interval")?,
            push_pull_interval: values.duration("cluster.pushpull-interval")?,
            tcp_timeout: values.duration("cluster.tcp-timeout")?,
            probe_timeout: values.duration("cluster.probe-timeout")?,
            probe_interval: values.duration("cluster.probe-interval")?,
            settle_timeout: values.duration("cluster.settle-timeout")?,
            reconnect_interval: values.duration("cluster.reconnect-interval")?,
            reconnect_timeout: values.duration("cluster.reconnect-timeout")?,
            tls_config: values.optional("cluster.tls-config").map(PathBuf::from),
            secret_file: values.optional("cluster.secret-file").map(PathBuf::from),
            allow_public_address_discovery: values.bool("cluster.allow-insecure-public-advertise-address-discovery"),
            label,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str]) -> Result<Options, String> {
        match parse(args.iter().map(|a| (*a).to_owned()), "v") {
            Ok(Command::Run(options)) => Ok(*options),
            Ok(Command::Print(text)) => Err(text),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn without_arguments_everything_has_its_default() {
        let o = run(&[]).unwrap();
        assert_eq!(o.retention, Duration::from_secs(120 * 3600));
        assert_eq!(o.web.listen_addresses, [":9093"]);
        assert_eq!(o.storage_path, PathBuf::from("data/"));
        let cluster = o.cluster.unwrap();
        assert_eq!((cluster.settle_timeout, cluster.peers.len()), (Duration::from_secs(60), 0));
    }

    #[test]
    fn values_come_with_or_without_an_equals_sign_and_may_be_empty() {
        let o = run(&["--config.file", "a.yml", "--web.external-url=", "--enable-feature=", "--cluster.peer-name="])
            .unwrap();
        assert_eq!((o.config_file, o.web.external_url, o.features.enabled.len()), ("a.yml".into(), None, 0));
    }

    #[test]
    fn an_empty_listen_address_switches_the_cluster_off_whatever_else_is_given() {
        let o =
            run(&["--cluster.listen-address=", "--cluster.peer=x:1", "--cluster.peer=y", "--cluster.label=l"]).unwrap();
        assert!(o.cluster.is_none());
    }

    #[test]
    fn brackets_around_an_ipv4_address_are_accepted() {
        let o =
            run(&["--cluster.listen-address=[10.1.2.3]:9094", "--cluster.advertise-address=[10.1.2.3]:9094"]).unwrap();
        assert_eq!(o.cluster.unwrap().advertise_address, Some(("10.1.2.3".parse().unwrap(), 9094)));
    }

    #[test]
    fn mistakes_are_answered_in_the_words_of_the_reference() {
        for (args, text) in [
            (&["--nope"][..], "unknown long flag '--nope'"),
            (&["--nope=1"], "unknown long flag '--nope'"),
            (&["extra"], "unexpected extra"),
            (&["--log.silences=true"], "unexpected true"),
            (&["--config.file"], "expected argument for flag '--config.file'"),
            (&["--log.level=info", "--log.level=info"], "flag 'log.level' cannot be repeated"),
            (&["--log.level=bad"], "unrecognized log level bad"),
            (&["--data.retention=5"], "time: missing unit in duration \"5\""),
            (&["--silences.max-silences=x"], "strconv.ParseFloat: parsing \"x\": invalid syntax"),
            (&["--enable-feature=nope"], "unknown option 'nope' for --enable-feature"),
            (&["--enable-feature=classic-mode,utf8-strict-mode"], "cannot have both classic and UTF-8 modes enabled"),
            (&["--data.maintenance-interval=0s"], "--data.maintenance-interval must be greater than 0"),
        ] {
            assert_eq!(run(args).unwrap_err(), text, "{args:?}");
        }
    }

    #[test]
    fn a_boolean_has_a_negative_twin_and_the_last_one_counts() {
        assert!(run(&["--log.silences"]).unwrap().log_silences);
        assert!(!run(&["--log.silences", "--no-log.silences"]).unwrap().log_silences);
    }

    #[test]
    fn every_flag_that_is_read_is_in_the_table() {
        let source = include_str!("mod.rs");
        for name in
            source.split("values.").skip(1).filter_map(|part| part.split('"').nth(1).filter(|_| part.contains("(\"")))
        {
            if name.contains('.') && !name.contains(' ') && !name.contains('/') {
                assert!(FLAGS.iter().any(|flag| flag.name == name), "{name}");
            }
        }
    }

    #[test]
    fn a_file_of_arguments_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "--config.file=b.yml\n\n--log.silences\n").unwrap();
        let o = run(&[&format!("@{}", file.path().display())]).unwrap();
        assert_eq!((o.config_file, o.log_silences), ("b.yml".into(), true));
    }
}
