//! From arguments to [`Cli`]: what amtool's command line means, in the terms of the library that reads it.
//!
//! A group of commands may have one that is meant when none is named (`alert` is `alert query`); boolean flags have
//! negative twins; flags take defaults from configuration files; an argument `@file` stands for that file's lines.
//! All that is written out here, so that the library gets one plain, complete line. The same walk along the line
//! tells what could come next, for completion.

use std::collections::BTreeMap;

use clap::{ArgAction, CommandFactory as _, FromArgMatches as _, error::ErrorKind};

use super::{args::Cli, complete, error::LineError, settings};

/// Booleans that hold unless told otherwise.
const TRUE_BY_DEFAULT: [&str; 2] = ["version-check", "require-comment"];

/// The command whose arguments are flags of another program.
const LITERAL: &str = "migrate";

/// What a line asks for.
#[derive(Debug)]
pub enum Wish {
    Run(Box<Cli>),
    /// Text for standard output; exit status 0.
    Print(String),
}

/// Reads the arguments (without the program's name). `load` gives the defaults of flags; it is asked only when a
/// command is to run.
///
/// # Errors
/// The line is refused, or the files of defaults.
pub fn read(
    args: impl IntoIterator<Item = String>,
    load: impl FnOnce() -> Result<BTreeMap<String, String>, settings::SettingsError>,
) -> Result<Wish, LineError> {
    let tree = tree();
    let args = crate::cli::expand_files(args).map_err(|error| LineError::Wrong(error.0))?;
    if let Some(text) = shown_at_once(&tree, &args) {
        return Ok(Wish::Print(text));
    }
    let mut line = Walk::along(&tree, &args).finish()?;
    if !line.asks_for_help {
        line.add_defaults(&load()?);
    }
    match tree.clone().try_get_matches_from(line.words) {
        Ok(matches) => match Cli::from_arg_matches(&matches) {
            Ok(cli) => Ok(Wish::Run(Box::new(cli))),
            Err(error) => Err(in_peers_words(&error)),
        },
        Err(error) if error.kind() == ErrorKind::DisplayHelp => Ok(Wish::Print(error.to_string())),
        Err(error) => Err(in_peers_words(&error)),
    }
}

/// The commands, ready to be walked.
pub fn tree() -> clap::Command {
    let mut tree =
        switches(Cli::command()).bin_name("carillonctl").no_binary_name(true).color(clap::ColorChoice::Never);
    tree.build();
    tree
}

/// Lets boolean flags take a value.
fn switches(command: clap::Command) -> clap::Command {
    command
        .mut_args(|arg| {
            let arg = if arg.get_default_values().iter().all(|value| value.is_empty()) {
                arg.hide_default_value(true)
            } else {
                arg
            };
            if !matches!(arg.get_action(), ArgAction::SetTrue) {
                return arg;
            }
            let default =
                if arg.get_long().is_some_and(|name| TRUE_BY_DEFAULT.contains(&name)) { "true" } else { "false" };
            arg.action(ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .default_value(default)
                .default_missing_value("true")
                .value_name("BOOL")
                .hide_default_value(default == "false")
                .hide_possible_values(true)
        })
        .mut_subcommands(|command| switches(command).disable_help_subcommand(true))
}

/// Flags that print something and end, wherever they stand.
fn shown_at_once(tree: &clap::Command, args: &[String]) -> Option<String> {
    if args.is_empty() {
        return Some(tree.clone().render_help().to_string());
    }
    let before_dashes = args.iter().take_while(|arg| *arg != "--");
    for (index, arg) in before_dashes.enumerate() {
        match arg.as_str() {
            "--version" => return Some(super::version_text()),
            "--help-long" => return Some(complete::long_help(tree)),
            "--help-man" => return Some(complete::man_page(tree)),
            "--completion-bash" => return Some(complete::words(tree, args.get(index + 1..).unwrap_or_default())),
            "--completion-script-bash" => return Some(complete::BASH.to_owned()),
            "--completion-script-zsh" => return Some(complete::ZSH.to_owned()),
            _ => {}
        }
    }
    None
}

/// The command of a group that is meant when none is named.
fn default_of(group: &str) -> Option<&'static str> {
    match group {
        "alert" | "silence" => Some("query"),
        "cluster" | "config" | "routes" => Some("show"),
        _ => None,
    }
}

/// A way along the arguments, down the tree of commands.
pub struct Walk<'t> {
    pub command: &'t clap::Command,
    /// The line so far, every command named.
    words: Vec<String>,
    /// Where flags can be put in: behind the last command.
    end_of_commands: usize,
    /// Long names of the flags that were given.
    given: Vec<String>,
    pub positionals: usize,
    /// A flag that waits for its value, as it was written.
    pub open_flag: Option<&'t clap::Arg>,
    open_flag_text: String,
    /// What is wrong, the first thing only.
    mistake: Option<String>,
    asks_for_help: bool,
    /// What follows are not our flags.
    is_literal: bool,
}

/// A complete line.
struct Line<'t> {
    command: &'t clap::Command,
    words: Vec<String>,
    end_of_commands: usize,
    given: Vec<String>,
    asks_for_help: bool,
}

impl<'t> Walk<'t> {
    pub fn along(tree: &'t clap::Command, args: &[String]) -> Self {
        let mut walk = Walk {
            command: tree,
            words: Vec::new(),
            end_of_commands: 0,
            given: Vec::new(),
            positionals: 0,
            open_flag: None,
            open_flag_text: String::new(),
            mistake: None,
            asks_for_help: false,
            is_literal: false,
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            if walk.is_literal && !matches!(arg.as_str(), "--" | "-h" | "--help") {
                walk.words.extend(["--".to_owned(), arg.clone()]);
                walk.words.extend(args.cloned());
                break;
            }
            walk.step(arg);
            // What follows is for nobody here to judge.
            if arg == "--" || walk.asks_for_help {
                walk.words.extend(args.cloned());
                break;
            }
        }
        walk
    }

    fn step(&mut self, arg: &str) {
        if self.open_flag.is_some() && (arg == "-" || !arg.starts_with('-')) {
            self.open_flag = None;
            self.words.push(arg.to_owned());
        } else if self.open_flag.is_some() {
            self.blame(format!("expected argument for flag '{}'", self.open_flag_text));
        } else if arg == "--" {
            self.enter_defaults();
            self.words.push(arg.to_owned());
        } else if let Some(long) = arg.strip_prefix("--") {
            self.long(arg, long);
        } else if let Some(shorts) = arg.strip_prefix('-').filter(|shorts| !shorts.is_empty()) {
            self.shorts(arg, shorts);
        } else {
            self.word(arg);
        }
    }

    fn flag(&self, fits: impl Fn(&clap::Arg) -> bool) -> Option<&'t clap::Arg> {
        self.command.get_arguments().find(|arg| fits(arg))
    }

    fn long(&mut self, arg: &str, long: &str) {
        if long == "help" {
            self.asks_for_help = true;
            return self.words.push(arg.to_owned());
        }
        let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
        let negated = name.strip_prefix("no-");
        let found = loop {
            let by_name = |name: &str| self.flag(|arg| arg.get_long() == Some(name));
            let own = by_name(name).map(|arg| (arg, false));
            let twin = || negated.and_then(by_name).filter(|arg| is_switch(arg)).map(|arg| (arg, true));
            match own.or_else(twin) {
                Some(found) => break Some(found),
                None if self.enter_default() => {}
                None => break None,
            }
        };
        match found {
            Some((flag, true)) => {
                self.note(flag);
                self.words.push(format!("--{}=false", negated.unwrap_or(name)));
            }
            Some((flag, false)) => {
                self.note(flag);
                if value.is_none() && !is_switch(flag) && flag.get_action().takes_values() {
                    self.open(flag, arg);
                }
                self.words.push(arg.to_owned());
            }
            None => self.blame(format!("unknown long flag '--{name}'")),
        }
    }

    fn shorts(&mut self, arg: &str, shorts: &str) {
        for (at, short) in shorts.char_indices() {
            if short == 'h' {
                self.asks_for_help = true;
                break;
            }
            let flag = loop {
                match self.flag(|arg| arg.get_short() == Some(short)) {
                    Some(flag) => break Some(flag),
                    None if self.enter_default() => {}
                    None => break None,
                }
            };
            let Some(flag) = flag else {
                self.blame(format!("unknown short flag '-{short}'"));
                break;
            };
            self.note(flag);
            if !is_switch(flag) && flag.get_action().takes_values() {
                if at + short.len_utf8() == shorts.len() {
                    self.open(flag, &format!("-{short}"));
                }
                break;
            }
        }
        self.words.push(arg.to_owned());
    }

    fn word(&mut self, arg: &str) {
        loop {
            if let Some(command) = self.command.find_subcommand(arg) {
                self.enter(command);
                self.is_literal = command.get_name() == LITERAL;
                // What `help` explains is not to be completed.
                self.asks_for_help = arg == "help";
                return;
            }
            if !self.enter_default() {
                break;
            }
        }
        self.positionals += 1;
        self.words.push(arg.to_owned());
    }

    fn note(&mut self, flag: &clap::Arg) {
        let Some(name) = flag.get_long() else { return };
        if self.given.iter().any(|given| given == name) && !matches!(flag.get_action(), ArgAction::Append) {
            self.blame(format!("flag '{name}' cannot be repeated"));
        }
        self.given.push(name.to_owned());
    }

    fn open(&mut self, flag: &'t clap::Arg, text: &str) {
        self.open_flag = Some(flag);
        text.clone_into(&mut self.open_flag_text);
    }

    fn blame(&mut self, mistake: String) {
        self.mistake.get_or_insert(mistake);
    }

    fn enter(&mut self, command: &'t clap::Command) {
        self.command = command;
        self.words.push(command.get_name().to_owned());
        self.end_of_commands = self.words.len();
    }

    /// Goes into the command that is meant, if none is named and there is one.
    fn enter_default(&mut self) -> bool {
        let default = default_of(self.command.get_name()).and_then(|name| self.command.find_subcommand(name));
        default.map(|command| self.enter(command)).is_some()
    }

    fn enter_defaults(&mut self) {
        while self.enter_default() {}
    }

    fn finish(mut self) -> Result<Line<'t>, LineError> {
        if !self.asks_for_help && !self.words.iter().any(|word| word == "--") {
            self.enter_defaults();
        }
        if self.open_flag.is_some() {
            self.blame(format!("expected argument for flag '{}'", self.open_flag_text));
        }
        if self.positionals == 0 && self.command.has_subcommands() {
            self.blame(format!("must select a subcommand of '{}'", self.command.get_name()));
        }
        if let Some(mistake) = self.mistake.filter(|_| !self.asks_for_help) {
            return Err(LineError::Wrong(mistake));
        }
        let Walk { command, words, end_of_commands, given, asks_for_help, .. } = self;
        Ok(Line { command, words, end_of_commands, given, asks_for_help })
    }
}

impl Line<'_> {
    /// Adds the flags that were not given. What the command does not know is for others.
    fn add_defaults(&mut self, defaults: &BTreeMap<String, String>) {
        for (name, value) in defaults {
            let known = self.command.get_arguments().any(|arg| arg.get_long() == Some(name.as_str()));
            if known && !self.given.contains(name) {
                self.words.insert(self.end_of_commands, format!("--{name}={value}"));
            }
        }
    }
}

/// Stands alone, and takes a value only behind an equals sign.
pub fn is_switch(flag: &clap::Arg) -> bool {
    flag.is_require_equals_set()
}

/// Amtool's text for what the library found wrong.
fn in_peers_words(error: &clap::Error) -> LineError {
    use clap::error::{ContextKind, ContextValue};
    let texts = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    };
    let text = |kind| texts(kind).join(",");
    LineError::Wrong(match error.kind() {
        ErrorKind::InvalidSubcommand => {
            format!("expected command but got \"{}\"", text(ContextKind::InvalidSubcommand))
        }
        ErrorKind::MissingRequiredArgument => {
            let names: Vec<String> = texts(ContextKind::InvalidArg)
                .iter()
                .map(|usage| format!("'{}'", usage.split([' ', '=']).next().unwrap_or_default()))
                .collect();
            let what = if names.iter().all(|name| name.starts_with("'-")) { "flag(s)" } else { "argument" };
            format!("required {what} {} not provided", names.join(", "))
        }
        ErrorKind::InvalidValue if !texts(ContextKind::ValidValue).is_empty() => {
            let value = text(ContextKind::InvalidValue);
            format!("enum value must be one of {}, got '{value}'", text(ContextKind::ValidValue))
        }
        ErrorKind::ValueValidation => {
            let source = std::error::Error::source(error).map(ToString::to_string);
            source.unwrap_or_else(|| error.kind().to_string())
        }
        _ => crate::cli::in_peers_words(error).0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::args::{AlertCommand, Command, ConfigCommand, Output, RoutesCommand, SilenceCommand};

    fn with(args: &[&str], defaults: &[(&str, &str)]) -> Result<Cli, String> {
        let defaults = defaults.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        match read(args.iter().map(|arg| (*arg).to_owned()), || Ok(defaults)) {
            Ok(Wish::Run(cli)) => Ok(*cli),
            Ok(Wish::Print(text)) => Err(text),
            Err(error) => Err(error.to_string()),
        }
    }

    fn cli(args: &[&str]) -> Result<Cli, String> {
        with(args, &[])
    }

    #[test]
    fn a_group_alone_means_its_usual_command() {
        for args in [&["alert"][..], &["alert", "query"]] {
            assert!(matches!(cli(args).unwrap().command, Command::Alert(AlertCommand::Query(_))));
        }
        let Command::Config(ConfigCommand::Routes(routes)) = cli(&["config", "routes"]).unwrap().command else {
            panic!()
        };
        assert!(matches!(routes.command, RoutesCommand::Show));
        assert!(matches!(cli(&["config"]).unwrap().command, Command::Config(ConfigCommand::Show)));
    }

    #[test]
    fn a_word_that_is_no_command_belongs_to_the_usual_one() {
        let matchers = |args: &[&str]| match cli(args).unwrap().command {
            Command::Silence(SilenceCommand::Query(query)) => (query.matchers, query.quiet),
            other => panic!("{other:?}"),
        };
        assert_eq!(matchers(&["silence", "cpu", "add"]), (vec!["cpu".to_owned(), "add".to_owned()], false));
        assert_eq!(matchers(&["silence", "-q", "query"]), (vec!["query".to_owned()], true));
        assert_eq!(matchers(&["silence", "-o", "json", "query", "-q"]), (vec![], true));
        assert_eq!(matchers(&["silence", "--", "-x"]), (vec!["-x".to_owned()], false));
    }

    #[test]
    fn booleans_have_negative_twins_and_may_be_bundled() {
        assert!(!cli(&["alert", "--no-version-check"]).unwrap().globals.version_check);
        let Command::Alert(AlertCommand::Query(query)) = cli(&["alert", "-isu", "-rx"]).unwrap().command else {
            panic!()
        };
        assert!(query.inhibited && query.silenced && query.unprocessed && !query.active);
        assert_eq!(query.receiver, "x");
    }

    #[test]
    fn defaults_of_files_count_less_than_the_line() {
        let defaults =
            [("output", "json"), ("quiet", "true"), ("author", "x"), ("unknown", "1"), ("version-check", "false")];
        let parsed = with(&["silence", "--", "a"], &defaults).unwrap();
        assert_eq!((parsed.globals.output, parsed.globals.version_check), (Output::Json, false));
        let Command::Silence(SilenceCommand::Query(query)) = parsed.command else { panic!() };
        assert!(query.quiet);
        let parsed = with(&["silence", "--no-quiet", "-o", "simple"], &defaults).unwrap();
        assert_eq!(parsed.globals.output, Output::Simple);
        let Command::Silence(SilenceCommand::Query(query)) = parsed.command else { panic!() };
        assert!(!query.quiet);
        let required = [("template.glob", "x"), ("template.text", "y")];
        assert!(with(&["template", "render"], &required).is_ok());
    }

    #[test]
    fn mistakes_are_answered_in_the_words_of_amtool() {
        for (args, text) in [
            (&["bogus"][..], "expected command but got \"bogus\""),
            (&["--bogus"], "unknown long flag '--bogus'"),
            (&["-x"], "unknown short flag '-x'"),
            (&["alert", "--quiet"], "unknown long flag '--quiet'"),
            (&["silence", "--no-quiet", "-q"], "flag 'quiet' cannot be repeated"),
            (&["-o", "json", "-o", "simple", "alert"], "flag 'output' cannot be repeated"),
            (&["-o", "bad", "alert"], "enum value must be one of simple,extended,json, got 'bad'"),
            (&["config", "bogus"], "unexpected bogus"),
            (&["config", "routes", "bogus"], "unexpected bogus"),
            (&["template"], "must select a subcommand of 'template'"),
            (&["template", "render"], "required flag(s) '--template.glob', '--template.text' not provided"),
            (&["silence", "add", "-d"], "expected argument for flag '-d'"),
            (&["silence", "add", "-d", "-c"], "expected argument for flag '-d'"),
            (&["silence", "add", "--duration"], "expected argument for flag '--duration'"),
            (&["--timeout=bad", "alert"], "time: invalid duration \"bad\""),
            (&["silence", "import", "nowhere"], "path 'nowhere' does not exist"),
            (&["silence", "import", "-w", "x"], "strconv.ParseFloat: parsing \"x\": invalid syntax"),
        ] {
            assert_eq!(cli(args).unwrap_err(), text, "{args:?}");
        }
    }

    #[test]
    fn help_is_of_the_command_it_stands_behind() {
        assert!(!cli(&["silence", "add", "--help"]).unwrap_err().contains("--require-comment"));
        assert!(cli(&["silence", "add", "-h"]).unwrap_err().contains("--comment"));
        assert!(cli(&["help", "silence", "add"]).unwrap_err().contains("--comment"));
        assert!(cli(&["silence", "--help"]).unwrap_err().contains("expire"));
        assert!(cli(&[]).unwrap_err().contains("check-config"));
    }
}
