//! From a configuration file to a checked model.
//!
//! YAML comes in, a [`Config`] goes out in which every default is filled in, every global inherited and every
//! reference resolved, together with the masked text that `/api/v2/status` shows. The dialect, the keys, the
//! defaults and the error texts are Alertmanager's (reference/configuration.md, receivers.md).
//!
//! The way: [`yaml`] (nodes) → `schema` (the file's structures, each checked by itself) → `inherit` (one part takes
//! from another) → dump and `convert` (the [`model`]).
//!
//! Secrets are [`Secret`]s from the moment they are read: no error and no dump repeats them. This room reads
//! the configuration file and no other: files that settings name are read by those who use them.

mod convert;
#[cfg(test)]
pub(crate) mod goldens;
mod inherit;
pub mod model;
mod schema;
mod settings;
#[cfg(test)]
mod tests;
mod url;
mod values;
pub mod yaml;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use md5::{Digest as _, Md5};

pub use model::*;
use schema::{http::Http, top::File};
pub use yaml::decode::UnknownKey;
use yaml::{
    SyntaxError, Tree,
    decode::{Context, Decode as _, Decoder, Dump as _, Stop, Structure as _},
};

use crate::alert::matcher::ParseMode;

/// A configuration may nest routes a few hundred deep; a small stack of the caller must not decide how far.
const STACK_BYTES: usize = 64 << 20;

/// What the flags say about reading configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadOptions {
    /// How matchers and label names are read.
    pub mode: ParseMode,
}

/// A configuration that was read and checked.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Arc<Config>,
    /// The effective configuration, secrets masked: `config.original` of `/api/v2/status`.
    pub original: Arc<str>,
    /// Of the file as read: `alertmanager_config_hash`.
    pub hash: u64,
    /// For the log: what was accepted but is likely meant otherwise.
    pub warnings: Vec<String>,
}

/// Why a configuration was refused. The text never holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{message}")]
    Invalid {
        message: String,
        /// Keys that are not known, with those that are.
        unknown: Vec<UnknownKey>,
    },
    #[error("open {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}: not UTF-8 at byte {at}", path.display())]
    NotUtf8 { path: PathBuf, at: usize },
}

impl From<Stop> for ConfigError {
    fn from(stop: Stop) -> Self {
        stopped(stop, Vec::new())
    }
}

/// Where reading ended, and the keys before it that are not known.
fn stopped(stop: Stop, unknown: Vec<UnknownKey>) -> ConfigError {
    let Stop { line, reason } = stop;
    let message = match line {
        Some(line) => format!("{reason} (line {line})"),
        None => reason,
    };
    ConfigError::Invalid { message, unknown }
}

impl From<SyntaxError> for ConfigError {
    fn from(error: SyntaxError) -> Self {
        ConfigError::Invalid { message: error.to_string(), unknown: Vec::new() }
    }
}

/// Reads and checks the file at `path`. Relative paths in it are resolved against its folder.
///
/// # Errors
/// The file cannot be read, or is refused.
pub fn load(path: &Path, options: &LoadOptions) -> Result<Loaded, ConfigError> {
    let bytes = std::fs::read(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|error| ConfigError::NotUtf8 { path: path.to_owned(), at: error.valid_up_to() })?;
    parse(text, path.parent().unwrap_or(Path::new("")), options)
}

/// Reads and checks configuration text, `dir` being the folder that relative paths start from.
///
/// # Errors
/// The text is refused.
pub fn parse(text: &str, dir: &Path, options: &LoadOptions) -> Result<Loaded, ConfigError> {
    let context = Context { dir, mode: options.mode };
    std::thread::scope(|scope| {
        let reader = std::thread::Builder::new()
            .name("config".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || parse_here(text, context));
        match reader.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(error) => Err(Stop::because(format!("no thread to read the configuration: {error}")).into()),
        }
    })
}

/// Reads a file that holds one `http_config` block and nothing else. Relative paths in it are resolved against its
/// folder.
///
/// # Errors
/// The file cannot be read, or is refused.
pub fn load_http_config(path: &Path) -> Result<HttpConfig, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    let tree = Tree::parse(&text)?;
    let dir = path.parent().unwrap_or(Path::new(""));
    let mut decoder = Decoder::new(&tree, Context { dir, mode: ParseMode::default() });
    let mut block = Http::initial();
    if let Some(root) = tree.root() {
        block.decode(&mut decoder, root)?;
    }
    refuse_issues(&mut decoder)?;
    inherit::complete_http(&mut block, dir);
    Ok(convert::http_config(&block))
}

/// The `http_config` of who configures nothing.
#[must_use]
pub fn default_http_config() -> HttpConfig {
    convert::http_config(&Http::initial())
}

/// What was noted while reading, as one error.
fn refuse_issues(decoder: &mut Decoder<'_>) -> Result<(), ConfigError> {
    if decoder.issues().is_empty() {
        return Ok(());
    }
    let issues: Vec<String> = decoder.issues().iter().map(|issue| format!("\n  {issue}")).collect();
    Err(ConfigError::Invalid {
        message: format!("yaml: unmarshal errors:{}", issues.concat()),
        unknown: std::mem::take(&mut decoder.unknown),
    })
}

fn parse_here(text: &str, context: Context<'_>) -> Result<Loaded, ConfigError> {
    let tree = Tree::parse(text)?;
    let mut decoder = Decoder::new(&tree, context);
    let root = tree.root().filter(|root| !decoder.is_null(*root));
    let root = root.ok_or_else(|| Stop::because("no route provided in config"))?;
    let mut file = File::default();
    if let Err(stop) = file.decode(&mut decoder, root) {
        return Err(stopped(stop, std::mem::take(&mut decoder.unknown)));
    }
    refuse_issues(&mut decoder)?;
    inherit::complete(&mut file, context.dir)?;
    let config = convert::config(&file)?;
    let mut warnings = std::mem::take(&mut decoder.warnings);
    warn_of_intervals(&config.route, &mut warnings);
    Ok(Loaded {
        config: Arc::new(config),
        original: yaml::emit::to_text(&file.dump()).into(),
        hash: hash(text),
        warnings,
    })
}

/// The first six bytes of the file's MD5, the lowest first.
fn hash(text: &str) -> u64 {
    let digest = Md5::digest(text.as_bytes());
    digest.iter().take(6).rev().fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

fn warn_of_intervals(route: &Route, warnings: &mut Vec<String>) {
    let mut waiting = vec![route];
    while let Some(route) = waiting.pop() {
        if route.repeat_interval < route.group_interval {
            warnings.push(format!(
                "repeat_interval is less than group_interval: notifications will not repeat until the next group_interval (route {}, {} < {})",
                route.key,
                crate::alert::text::format_prometheus_duration(route.repeat_interval),
                crate::alert::text::format_prometheus_duration(route.group_interval),
            ));
        }
        waiting.extend(route.routes.iter().map(|child| &**child));
    }
}
