//! Command lines: flags with values of every kind, one argument a line.

use carillon::cli;

use crate::{
    harness::{Case, Target},
    mutate::Words,
    rng::Rng,
};

pub struct CommandLine;

const LINES: [&str; 8] = [
    "--config.file=am.yml\n--storage.path=data\n--data.retention=120h\n--web.listen-address=:9093\n--web.listen-address=[::1]:9093",
    "--cluster.listen-address=0.0.0.0:9094\n--cluster.advertise-address=10.0.0.1:9094\n--cluster.peer=a:9094\n--cluster.peer=b:9094\n--cluster.peer-timeout=15s",
    "--web.external-url=http://x/am/\n--web.route-prefix=/\n--web.timeout=30s\n--web.get-concurrency=5\n--no-web.systemd-socket",
    "--log.level=debug\n--log.format=json\n--enable-feature=classic-mode,alert-names-in-metrics",
    "--cluster.listen-address=\n--silences.max-silences=10\n--silences.max-silence-size-bytes=1000\n--alerts.gc-interval=30m",
    "--cluster.gossip-interval=200ms\n--cluster.pushpull-interval=1m\n--cluster.settle-timeout=1m\n--cluster.reconnect-timeout=6h\n--cluster.label=x",
    "--version",
    "--help",
];
const TOKENS: [&str; 24] = [
    "\n",
    "--",
    "-",
    "=",
    "\n--web.listen-address=",
    "\n--config.file\n",
    "--no-",
    "0",
    "-1",
    "1d",
    "5m",
    "18446744073709551616",
    ":",
    "[",
    "a:b:c",
    "\n@/nonexistent\n",
    "true",
    "json",
    "http://",
    "%zz",
    "é",
    "\n--cluster.advertise-address=",
    "\n--dispatch.start-delay=",
    "x",
];

impl Target for CommandLine {
    const NAME: &'static str = "command-line";

    fn new() -> Self {
        CommandLine
    }

    fn make(rng: &mut Rng) -> Case {
        let words = Words { corpus: &LINES, tokens: &TOKENS };
        Case::text("arguments", words.mutant_text(rng, 3))
    }

    fn run(&mut self, case: &Case) -> bool {
        let text = case.as_text();
        // A file that an argument names is read; devices have no end.
        let arguments = text.lines().filter(|line| !line.starts_with("@/dev")).map(str::to_owned);
        match cli::parse(arguments, "version") {
            Ok(_) => true,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                false
            }
        }
    }
}
