//! The table of flags, and the texts made from it.

use std::fmt::Write;

/// How a flag's value is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Duration,
    Number,
    /// With the name of its negative twin.
    Bool(&'static str),
    Repeated,
}

pub(super) struct Flag {
    pub name: &'static str,
    pub kind: Kind,
    pub default: &'static str,
    pub help: &'static str,
}

const fn flag(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Flag {
    Flag { name, kind, default, help }
}

use Kind::{Bool, Duration, Number, Repeated, Text};

/// In the order of `--help`.
pub(super) const FLAGS: &[Flag] = &[
    flag("config.file", Text, "alertmanager.yml", "Configuration file."),
    flag("storage.path", Text, "data/", "Directory for everything that outlives the process."),
    flag("data.retention", Duration, "120h", "How long expired silences and log entries are kept."),
    flag(
        "data.maintenance-interval",
        Duration,
        "15m",
        "Time between clean-ups, each with a snapshot of silences and notification log.",
    ),
    flag("silences.max-silences", Number, "0", "Limit of silences, expired ones included; 0 or less: none."),
    flag("silences.max-silence-size-bytes", Number, "0", "Limit of one silence's size in bytes; 0 or less: none."),
    flag("log.silences", Bool("no-log.silences"), "", "Log each change of a silence."),
    flag("alerts.gc-interval", Duration, "30m", "Time between removals of resolved alerts."),
    flag("alerts.per-alertname-limit", Number, "0", "Limit of alerts of one alertname; 0 or less: none."),
    flag("dispatch.maintenance-interval", Duration, "30s", "Time between removals of empty aggregation groups."),
    flag(
        "dispatch.start-delay",
        Duration,
        "0s",
        "Time from the start of the process before which nothing is notified; best the senders' resend delay.",
    ),
    flag(
        "decisions.max-size",
        Text,
        "64MB",
        "Size of the decision log on disk: what was told to whom, or not, and why. 0: none.",
    ),
    flag("decisions.max-age", Duration, "120h", "How long decisions are kept. 0: none."),
    flag("web.systemd-socket", Bool("no-web.systemd-socket"), "", "Take listening sockets from systemd (Linux only)."),
    flag("web.listen-address", Repeated, ":9093", "Address to serve on, host:port. May be repeated."),
    flag("web.config.file", Text, "", "File that enables TLS, authentication, headers."),
    flag(
        "web.external-url",
        Text,
        "",
        "URL under which people reach this server: links in notifications start with it, and its path is the default route prefix.",
    ),
    flag("web.route-prefix", Text, "", "Prefix of all paths served; by default the path of --web.external-url."),
    flag(
        "web.get-concurrency",
        Number,
        "0",
        "Limit of GET requests under way; 0 or less: the number of CPUs, at least 8.",
    ),
    flag("web.timeout", Duration, "0", "Limit of the time for one request; 0 or less: none."),
    flag(
        "web.enable-receiver-test",
        Bool("no-web.enable-receiver-test"),
        "",
        "Let everybody who reaches the API send test notifications; without it only users of basic_auth_users may.",
    ),
    flag("web.ui-path", Text, "", "Accepted for distributions that pass it; without effect."),
    flag(
        "auto-gomemlimit.ratio",
        Text,
        "0.9",
        "Accepted with the feature auto-gomemlimit; without effect, since there is no garbage collector.",
    ),
    flag("cluster.listen-address", Text, "0.0.0.0:9094", "Address of the cluster protocol; empty: no cluster."),
    flag("cluster.advertise-address", Text, "", "Address that peers shall use, <ip>:<port>."),
    flag("cluster.peer-name", Text, "", "Name of this node."),
    flag("cluster.peer", Repeated, "", "Peer to join, host:port. May be repeated."),
    flag("cluster.peer-timeout", Duration, "15s", "Step between the turns of the nodes when a notification is due."),
    flag("cluster.peers-resolve-timeout", Duration, "15s", "Limit of the time to look up peers."),
    flag("cluster.gossip-interval", Duration, "200ms", "Time between gossip messages."),
    flag("cluster.pushpull-interval", Duration, "1m0s", "Time between exchanges of state."),
    flag("cluster.tcp-timeout", Duration, "10s", "Limit of the time for a stream to a peer."),
    flag("cluster.probe-timeout", Duration, "500ms", "How long an answer to a probe is waited for."),
    flag("cluster.probe-interval", Duration, "1s", "Time between probes."),
    flag("cluster.settle-timeout", Duration, "1m0s", "Limit of the time to settle before notifications."),
    flag("cluster.reconnect-interval", Duration, "10s", "Time between attempts to reach lost peers."),
    flag("cluster.reconnect-timeout", Duration, "6h0m0s", "How long lost peers are tried."),
    flag("cluster.tls-config", Text, "", "File that enables mutual TLS between nodes."),
    flag(
        "cluster.secret-file",
        Text,
        "",
        "File with the secret that nodes share: who has it not can neither read nor join. One secret a line, at least 16 bytes; with two the first seals and both are accepted, so that it can be changed node by node.",
    ),
    flag(
        "cluster.allow-insecure-public-advertise-address-discovery",
        Bool("no-cluster.allow-insecure-public-advertise-address-discovery"),
        "",
        "Allow a public address to be found and advertised.",
    ),
    flag("cluster.label", Text, "", "Label of this cluster on each packet and stream; others are dropped."),
    flag(
        "enable-feature",
        Text,
        "",
        "Features, separated by commas: alert-names-in-metrics, receiver-name-in-metrics, group-key-in-metrics, classic-mode, utf8-strict-mode, auto-gomemlimit, event-recorder.",
    ),
    flag("log.level", Text, "info", "Lowest level that is logged: debug, info, warn, error."),
    flag("log.format", Text, "logfmt", "Form of log lines: logfmt, json."),
];

const WIDTH: usize = 80;
const COLUMN: usize = 33;

/// `--help`.
pub(super) fn help() -> String {
    let mut text = String::from("usage: alertmanager [<flags>]\n\n\nFlags:\n");
    entry(&mut text, "  -h, --[no-]help", "Show this help.");
    for flag in FLAGS {
        entry(&mut text, &format!("      {}", form(flag)), flag.help);
    }
    entry(&mut text, "      --[no-]version", "Show the version.");
    text
}

fn form(flag: &Flag) -> String {
    match flag.kind {
        Bool(_) => format!("--[no-]{}", flag.name),
        Repeated if flag.default.is_empty() => format!("--{}={} ...", flag.name, flag.name.to_uppercase()),
        Repeated => format!("--{}={} ...", flag.name, flag.default),
        Text if !matches!(flag.name, "log.level" | "log.format" | "auto-gomemlimit.ratio") => {
            format!("--{}={:?}", flag.name, flag.default)
        }
        _ => format!("--{}={}", flag.name, flag.default),
    }
}

fn entry(text: &mut String, left: &str, help: &str) {
    text.push_str(left);
    let mut column = left.len();
    if column + 2 > COLUMN {
        text.push('\n');
        column = 0;
    }
    text.push_str(&" ".repeat(COLUMN - column));
    column = COLUMN;
    for (i, word) in help.split(' ').enumerate() {
        if i > 0 && column + 1 + word.len() > WIDTH {
            text.push('\n');
            text.push_str(&" ".repeat(COLUMN));
            column = COLUMN;
        } else if i > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += word.len();
    }
    text.push('\n');
}

/// `--help-man`: a troff page.
pub(super) fn man_page() -> String {
    let mut text = String::from(
        ".TH alertmanager 1\n.SH \"NAME\"\nalertmanager\n.SH \"SYNOPSIS\"\n.TP\n\\fBalertmanager [<flags>]\\fR\n.SH \"OPTIONS\"\n",
    );
    for flag in FLAGS {
        // Writing to a String cannot fail.
        let _ = write!(text, ".TP\n\\fB{}\\fR\n{}\n", form(flag).replace('-', "\\-"), flag.help);
    }
    text
}

/// `--completion-bash`: all long flags, a line each.
pub(super) fn names_for_completion() -> String {
    let mut text = String::from("--help\n--version\n");
    for flag in FLAGS {
        let _ = writeln!(text, "--{}", flag.name);
    }
    text
}

pub(super) const COMPLETION_BASH: &str = r#"_alertmanager_flags() {
    COMPREPLY=( $(compgen -W "$("${COMP_WORDS[0]}" --completion-bash)" -- "${COMP_WORDS[COMP_CWORD]}") )
    return 0
}
complete -F _alertmanager_flags -o default alertmanager
"#;

pub(super) const COMPLETION_ZSH: &str = r#"#compdef alertmanager
_alertmanager_flags() {
    compadd -- $("${words[1]}" --completion-bash)
}
compdef _alertmanager_flags alertmanager
"#;
