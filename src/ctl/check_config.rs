//! `check-config`: reads files as the server would, counts what is in them, and tells what is wrong and what
//! surprises.
//!
//! Standard output is amtool's, for scripts; the places and the warnings are on standard error.

use std::{
    fs,
    io::{self, IsTerminal as _, Write},
    path::{Path, PathBuf},
};

use super::{
    args::CheckConfigArgs,
    error::CtlError,
    explain::{Note, explain},
    lint::{self, Cluster},
    places::places,
    terminal,
};
use crate::{
    alert::matcher::ParseMode,
    config::{self, ConfigError, LoadOptions, Loaded},
    otlp,
    template::Templates,
};

/// # Errors
/// A file is refused.
pub fn run(args: &CheckConfigArgs, mode: ParseMode, out: &mut dyn Write) -> Result<(), CtlError> {
    let mut files = args.files.clone();
    if files.is_empty() {
        if io::stdin().is_terminal() {
            return Err(CtlError::NothingToCheck);
        }
        files.push(PathBuf::from("/dev/stdin"));
    }
    let mut refused = 0;
    for file in &files {
        let checked = check(file, args, mode);
        write!(out, "Checking '{}'{}", file.display(), checked.result)?;
        // Standard error must not overtake it.
        out.flush()?;
        checked.notes.iter().for_each(|note| terminal::say(note));
        refused += usize::from(!checked.is_good);
    }
    if refused == 0 { Ok(()) } else { Err(CtlError::Invalid(refused)) }
}

/// What is to be said of one file.
struct Checked {
    result: String,
    notes: Vec<String>,
    is_good: bool,
}

fn check(file: &Path, args: &CheckConfigArgs, mode: ParseMode) -> Checked {
    let name = file.display().to_string();
    let refused = |why: String, notes| Checked { result: format!("  FAILED: {why}\n\n"), notes, is_good: false };
    let text = match read(file) {
        Ok(text) => text,
        Err(error) => return refused(error.to_string(), Vec::new()),
    };
    let places = places(&text);
    let loaded = match config::parse(&text, file.parent().unwrap_or(Path::new("")), &LoadOptions { mode }) {
        Ok(loaded) => loaded,
        Err(error) => {
            let notes = explain(&error, &places).iter().map(|note| note.text(&name)).collect();
            return refused(error.to_string(), notes);
        }
    };
    if let Some(Err(error)) = loaded.config.tracing.as_ref().map(otlp::check) {
        return refused(error.to_string(), Vec::new());
    }
    let cluster = Cluster { nodes: args.nodes, peer_timeout: args.peer_timeout };
    let warnings: Vec<Note> = grammar(&loaded).chain(lint::lint(&loaded.config, &places, cluster)).collect();
    let notes: Vec<String> = warnings.iter().map(|note| format!("Warning: {}", note.text(&name))).collect();
    if args.strict && !warnings.is_empty() {
        return refused(CtlError::Warnings(warnings.len()).to_string(), notes);
    }
    let (counts, is_good) = counts(&loaded);
    Checked { result: format!("  SUCCESS\n{counts}\n"), notes, is_good }
}

/// Of matchers that the two grammars read differently; the times are told by the lint.
fn grammar(loaded: &Loaded) -> impl Iterator<Item = Note> {
    let warnings = loaded.warnings.iter().filter(|warning| !warning.starts_with("repeat_interval "));
    warnings.map(|warning| Note { what: warning.clone(), ..Note::default() })
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let bytes = fs::read(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    String::from_utf8(bytes)
        .map_err(|error| ConfigError::NotUtf8 { path: path.to_owned(), at: error.utf8_error().valid_up_to() })
}

/// What is found, and whether the templates are good too.
fn counts(loaded: &Loaded) -> (String, bool) {
    let config = &loaded.config;
    let mut text = format!(
        "Found:\n - global config\n - route\n - {} inhibit rules\n - {} receivers\n - {} templates\n",
        config.inhibit_rules.len(),
        config.receivers.len(),
        config.templates.len()
    );
    if config.templates.is_empty() {
        return (text, true);
    }
    let templates = Templates::load(&config.templates);
    match &templates {
        Ok(_) => text.push_str("  SUCCESS\n"),
        Err(error) => text += &format!("  FAILED: {error}\n"),
    }
    (text, templates.is_ok())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn checked(files: &[(&str, &str)]) -> (String, Result<(), CtlError>) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let configs = files.iter().filter(|(name, _)| name.ends_with(".yml"));
        let files = configs.map(|(name, _)| folder.path().join(name)).collect();
        let args = CheckConfigArgs { strict: false, nodes: 1, peer_timeout: Duration::ZERO, files };
        let mut out = Vec::new();
        let result = run(&args, ParseMode::Fallback, &mut out);
        let text = String::from_utf8(out).unwrap();
        (text.replace(folder.path().to_str().unwrap(), "."), result)
    }

    const GOOD: &str = "route: {receiver: r}\nreceivers: [{name: r}]\n";

    #[test]
    fn a_good_file_is_counted() {
        let (text, result) = checked(&[("am.yml", GOOD)]);
        assert_eq!(
            text,
            "Checking './am.yml'  SUCCESS\nFound:\n - global config\n - route\n - 0 inhibit rules\n - 1 receivers\n - 0 templates\n\n"
        );
        assert!(result.is_ok());
    }

    #[test]
    fn a_bad_file_does_not_keep_the_next_from_being_checked() {
        let (text, result) = checked(&[("a.yml", "route: {}"), ("b.yml", GOOD)]);
        assert!(text.starts_with("Checking './a.yml'  FAILED: root route must specify a default receiver\n\nChecking './b.yml'  SUCCESS\n"), "{text}");
        assert_eq!(result.unwrap_err().to_string(), "failed to validate 1 file(s)");
    }

    #[test]
    fn a_collector_that_the_server_would_refuse_is_refused() {
        let with_url = format!("{GOOD}tracing: {{endpoint: 'http://collector:4317'}}\n");
        let (text, result) = checked(&[("am.yml", &with_url)]);
        let why = "FAILED: tracing endpoint must be host:port, but got \"http://collector:4317\"";
        assert!(text.contains(why) && result.is_err(), "{text}");
    }

    #[test]
    fn templates_are_loaded() {
        let with_templates = format!("{GOOD}templates: ['*.tmpl']\n");
        let (text, result) = checked(&[("am.yml", &with_templates), ("a.tmpl", "{{ nonsense . }}")]);
        assert!(text.contains(" - 1 templates\n  FAILED: template: a.tmpl:1:"), "{text}");
        assert!(result.is_err());
        let (text, _) = checked(&[("am.yml", &with_templates)]);
        assert!(text.ends_with(" - 1 templates\n  SUCCESS\n\n"), "{text}");
    }

    #[test]
    fn strictly_a_warning_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("am.yml");
        fs::write(&path, GOOD.replace("[{name: r}]", "[{name: r}, {name: unused}]")).unwrap();
        let checked = |strict| {
            let args = CheckConfigArgs { strict, nodes: 1, peer_timeout: Duration::ZERO, files: vec![path.clone()] };
            check(&path, &args, ParseMode::Fallback)
        };
        assert!(checked(false).is_good);
        assert_eq!(checked(false).notes.len(), 1);
        assert_eq!(checked(true).result, "  FAILED: 1 warning(s), and --strict is given\n\n");
    }
}
