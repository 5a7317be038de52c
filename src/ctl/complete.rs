//! Completion: the words that could come next, and the scripts by which a shell asks for them. Beside it the
//! other texts made from the tree of commands.

use std::fmt::Write as _;

use super::line::{Walk, is_switch};

/// Asks the program itself, so that it never grows old. The name is the one it was called by.
pub const BASH: &str = r#"_carillonctl_complete() {
    local word=${COMP_WORDS[COMP_CWORD]} words
    # A flag and its value are one word to us and three to the shell.
    words=$("${COMP_WORDS[0]}" --completion-bash "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    COMPREPLY=( $(compgen -W "$words" -- "$word") )
    return 0
}
complete -F _carillonctl_complete -o default carillonctl
complete -F _carillonctl_complete -o default amtool
"#;

pub const ZSH: &str = r#"#compdef carillonctl amtool
_carillonctl() {
    local -a found
    found=(${(f)"$("${words[1]}" --completion-bash "${(@)words[2,$CURRENT]}" 2>/dev/null)"})
    compadd -a found
    if [[ $compstate[nmatches] -eq 0 && $words[$CURRENT] != -* ]]; then
        _files
    fi
}
if [[ $funcstack[1] == _carillonctl ]]; then
    _carillonctl "$@"
else
    compdef _carillonctl carillonctl amtool
fi
"#;

/// What could stand in place of the last of `args`, a line each. The shell drops what does not fit.
pub fn words(tree: &clap::Command, args: &[String]) -> String {
    let (last, before) = args.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let walk = Walk::along(tree, before);
    let mut found = Vec::new();
    if let Some(flag) = walk.open_flag {
        found.extend(values(flag));
    } else if last.starts_with('-') {
        let flags = walk.command.get_arguments().filter(|arg| !arg.is_hide_set());
        for (name, switch) in flags.filter_map(|arg| Some((arg.get_long()?, is_switch(arg)))) {
            found.push(format!("--{name}"));
            if switch && last.starts_with("--no") {
                found.push(format!("--no-{name}"));
            }
        }
    } else if walk.positionals == 0 {
        found.extend(walk.command.get_subcommands().map(|command| command.get_name().to_owned()));
        let choices = walk.command.get_positionals().next().map(values);
        found.extend(choices.unwrap_or_default());
    }
    found.into_iter().fold(String::new(), |text, word| text + &word + "\n")
}

fn values(arg: &clap::Arg) -> Vec<String> {
    arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect()
}

/// `--help-long`: every command with its flags.
pub fn long_help(tree: &clap::Command) -> String {
    let mut text = tree.clone().render_long_help().to_string();
    for (path, command) in leaves(tree) {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n\n{path}\n\n{}", command.clone().render_long_help());
    }
    text
}

/// `--help-man`: a troff page.
pub fn man_page(tree: &clap::Command) -> String {
    let about = |command: &clap::Command| {
        command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default()
    };
    let mut text = format!(
        ".TH carillonctl 1\n.SH \"NAME\"\ncarillonctl\n.SH \"SYNOPSIS\"\n.TP\n\\fBcarillonctl [<flags>] <command> [<args> ...]\\fR\n\
         .SH \"DESCRIPTION\"\n{}\n.SH \"OPTIONS\"\n",
        troff(&about(tree))
    );
    flags(&mut text, tree, true);
    text.push_str(".SH \"COMMANDS\"\n");
    for (path, command) in leaves(tree) {
        let _ = write!(text, ".SS\n\\fB{path}\\fR\n.PP\n{}\n", troff(&about(command)));
        flags(&mut text, command, false);
    }
    text
}

fn flags(text: &mut String, command: &clap::Command, globals: bool) {
    for arg in command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set() && arg.is_global_set() == globals && arg.get_id() != "help")
    {
        let Some(long) = arg.get_long() else { continue };
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let _ = write!(text, ".TP\n\\fB--{}\\fR\n{}\n", troff(long), troff(&help));
    }
}

fn troff(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('-', "\\-");
    escaped
        .lines()
        .map(|line| if line.starts_with(['.', '\'']) { format!("\\&{line}\n") } else { format!("{line}\n") })
        .collect::<String>()
        .trim_end()
        .to_owned()
}

/// All commands that do something, with the words that name them.
fn leaves(tree: &clap::Command) -> Vec<(String, &clap::Command)> {
    let mut found = Vec::new();
    let mut waiting: Vec<(String, &clap::Command)> = vec![(String::new(), tree)];
    while let Some((path, command)) = waiting.pop() {
        if command.get_subcommands().next().is_none() {
            found.push((path.trim_start().to_owned(), command));
        }
        let mut below: Vec<_> = command.get_subcommands().filter(|below| below.get_name() != "help").collect();
        below.reverse();
        waiting.extend(below.into_iter().map(|below| (format!("{path} {}", below.get_name()), below)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::line::tree;

    fn after(args: &[&str]) -> Vec<String> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        words(&tree(), &args).lines().map(str::to_owned).collect()
    }

    #[test]
    fn commands_are_proposed_where_commands_can_stand() {
        assert!(after(&[""]).contains(&"check-config".to_owned()));
        let silence = after(&["silence", ""]);
        assert!(
            ["add", "expire", "import", "query", "update"].iter().all(|name| silence.contains(&(*name).to_owned()))
        );
        assert!(after(&["silence", "add", "x=1", ""]).is_empty());
        assert_eq!(after(&["completion", ""]), ["bash", "zsh"]);
    }

    #[test]
    fn flags_and_their_values_are_proposed() {
        let query = after(&["silence", "query", "--"]);
        assert!(query.contains(&"--within".to_owned()) && query.contains(&"--output".to_owned()));
        assert!(!query.contains(&"--comment".to_owned()));
        assert!(after(&["--no"]).contains(&"--no-version-check".to_owned()));
        assert_eq!(after(&["alert", "-o", ""]), ["simple", "extended", "json"]);
        assert_eq!(after(&["--output", ""]), ["simple", "extended", "json"]);
    }

    #[test]
    fn the_page_names_all_commands() {
        let page = man_page(&tree());
        assert!(page.contains("\\fBsilence import\\fR") && !page.contains("\\-\\-help"));
    }
}
