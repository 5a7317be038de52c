//! Everything under `deploy/` is what it says: files parse, name each other rightly, their flags and configurations are
//! accepted, their metrics exist. Where the real tools are installed (systemd-analyze, kubectl, promtool) they are
//! asked as well.

#![allow(clippy::disallowed_methods, reason = "the real program runs in real time")]

#[path = "../support/mod.rs"]
mod support;

mod deployers;
mod docker;
mod kubernetes;
mod monitoring;
mod notify;
mod systemd;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use carillon::{
    alert::matcher::ParseMode,
    cli,
    config::{LoadOptions, load},
};
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn deploy(path: &str) -> PathBuf {
    root().join("deploy").join(path)
}

fn read(path: &str) -> String {
    let path = deploy(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The configuration loads, without a warning.
fn loads(path: &Path) {
    let loaded = load(path, &LoadOptions { mode: ParseMode::Fallback }).unwrap_or_else(|e| panic!("{path:?}: {e}"));
    assert_eq!(loaded.warnings, Vec::<String>::new(), "{path:?}");
}

/// The server takes these arguments.
fn options(args: &[String]) -> cli::Options {
    match cli::parse(args.iter().cloned(), "v") {
        Ok(cli::Command::Run(options)) => *options,
        other => panic!("{args:?}: {other:?}"),
    }
}

fn texts(value: &Value) -> Vec<String> {
    let array = value.as_array().unwrap_or_else(|| panic!("no list: {value}"));
    array.iter().map(|item| item.as_str().unwrap_or_else(|| panic!("no text: {item}")).to_owned()).collect()
}

/// The program, if it is installed, or else a message.
fn tool(name: &str) -> Option<Command> {
    let found =
        Command::new(name).arg("--help").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_err() {
        eprintln!("skipped: `{name}` is not installed");
        return None;
    }
    Some(Command::new(name))
}

/// What the command prints; it must succeed.
fn output(mut command: Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

fn files_under(folder: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_under(&path, found);
        } else {
            found.insert(path);
        }
    }
}

#[test]
fn no_file_is_left_unchecked() {
    let mut found = BTreeSet::new();
    files_under(&deploy(""), &mut found);
    found.retain(|path| path.extension().is_none_or(|extension| extension != "md"));
    let lists = [systemd::FILES, kubernetes::FILES, docker::FILES, monitoring::FILES];
    let checked: BTreeSet<PathBuf> = lists.iter().flat_map(|list| list.iter()).map(|file| deploy(file)).collect();
    assert_eq!(found, checked);
}

#[test]
fn files_that_texts_name_exist() {
    let mut texts = BTreeSet::new();
    files_under(&deploy(""), &mut texts);
    texts.insert(root().join("README.md"));
    let mut named = 0;
    for path in texts {
        let text = std::fs::read_to_string(&path).unwrap();
        let is_of_a_path = |c: char| c.is_ascii_alphanumeric() || "/-_.".contains(c);
        for word in text.split(|c| !is_of_a_path(c)).map(|word| word.trim_end_matches(['.', '/'])) {
            if word.starts_with("deploy/") || word.starts_with("config/") {
                assert!(root().join(word).exists(), "{} names {word}", path.display());
                named += 1;
            }
        }
    }
    assert!(named > 10, "{named}");
}
