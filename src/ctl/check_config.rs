//! `check-config`: reads files as the server would, and counts what is in them.

use std::{
    io::{self, IsTerminal as _, Write},
    path::{Path, PathBuf},
};

use super::{CheckConfigArgs, CtlError, warn};
use crate::{
    alert::matcher::ParseMode,
    config::{self, LoadOptions},
    template::Templates,
};

/// # Errors
/// A file is not there, or is refused.
pub fn run(args: &CheckConfigArgs, mode: ParseMode, out: &mut dyn Write) -> Result<(), CtlError> {
    if let Some(missing) = args.files.iter().find(|file| !file.exists()) {
        return Err(CtlError::NoSuchFile(missing.clone()));
    }
    let mut files = args.files.clone();
    if files.is_empty() {
        if io::stdin().is_terminal() {
            return Err(CtlError::NothingToCheck);
        }
        files.push(PathBuf::from("/dev/stdin"));
    }
    let mut refused = 0;
    for file in &files {
        refused += usize::from(!check(file, mode, out)?);
    }
    if refused == 0 { Ok(()) } else { Err(CtlError::Invalid(refused)) }
}

/// Whether one file is good.
fn check(file: &Path, mode: ParseMode, out: &mut dyn Write) -> Result<bool, CtlError> {
    write!(out, "Checking '{}'", file.display())?;
    let loaded = match config::load(file, &LoadOptions { mode }) {
        Ok(loaded) => loaded,
        Err(error) => {
            writeln!(out, "  FAILED: {error}\n")?;
            return Ok(false);
        }
    };
    warn(&loaded.warnings);
    let config = &loaded.config;
    writeln!(out, "  SUCCESS\nFound:\n - global config\n - route")?;
    writeln!(out, " - {} inhibit rules", config.inhibit_rules.len())?;
    writeln!(out, " - {} receivers", config.receivers.len())?;
    writeln!(out, " - {} templates", config.templates.len())?;
    let mut good = true;
    if !config.templates.is_empty() {
        match Templates::load(&config.templates) {
            Ok(_) => writeln!(out, "  SUCCESS")?,
            Err(error) => {
                writeln!(out, "  FAILED: {error}")?;
                good = false;
            }
        }
    }
    writeln!(out)?;
    Ok(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(files: &[(&str, &str)]) -> (String, Result<(), CtlError>) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let configs = files.iter().filter(|(name, _)| name.ends_with(".yml"));
        let args = CheckConfigArgs { files: configs.map(|(name, _)| folder.path().join(name)).collect() };
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
    fn templates_are_loaded() {
        let with_templates = format!("{GOOD}templates: ['*.tmpl']\n");
        let (text, result) = checked(&[("am.yml", &with_templates), ("a.tmpl", "{{ nonsense . }}")]);
        assert!(text.contains(" - 1 templates\n  FAILED: template: a.tmpl:1:"), "{text}");
        assert!(result.is_err());
        let (text, _) = checked(&[("am.yml", &with_templates)]);
        assert!(text.ends_with(" - 1 templates\n  SUCCESS\n\n"), "{text}");
    }

    #[test]
    fn a_missing_file_is_said_before_anything_is_checked() {
        let args = CheckConfigArgs { files: vec!["nowhere.yml".into()] };
        let mut out = Vec::new();
        let error = run(&args, ParseMode::Fallback, &mut out).unwrap_err();
        assert_eq!(error.to_string(), "path 'nowhere.yml' does not exist");
        assert!(out.is_empty());
    }
}
