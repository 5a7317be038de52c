//! `migrate`: what Carillon will do with the flags, the configuration and the data of an Alertmanager.
//!
//! Flags and files are read by the same rooms that the server reads them with; the data is loaded into memory, so that
//! the folder stays as it is.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Context, args::MigrateArgs, error::CtlError, terminal::Paint};
use crate::{
    app::BUILD,
    cli::{self, Options, ShownFlag},
    clock::Clock,
    config::{self, Config, LoadOptions},
    metrics::{Metrics, MetricsOptions},
    nflog::{Nflog, NflogConfig, Writer},
    random::Random,
    replica::Outbox,
    silence::{Silences, SilencesConfig, Surroundings},
    store::{DATABASE, JOURNAL, MemoryDisk, Store, WriterMode},
    template::Templates,
};

/// Flags that do not mean what they mean to Alertmanager.
const OTHERWISE: [(&str, &str); 15] = [
    ("web.ui-path", "without effect: the pages are part of the program"),
    ("auto-gomemlimit.ratio", "without effect: there is no garbage collector"),
    ("dispatch.maintenance-interval", "only gives back memory: empty groups go at once"),
    ("data.maintenance-interval", "as there; silences and log are on disk at once besides, in carillon.redb"),
    (
        "cluster.listen-address",
        "the cluster speaks its own protocol: Alertmanagers cannot join, so replace all nodes at one time",
    ),
    ("cluster.peer", "as there; host names are looked up again and again, and all their addresses are peers"),
    ("cluster.peer-name", "as there; without it the name is random once, and kept in --storage.path"),
    (
        "cluster.peer-timeout",
        "as there: the step between turns; nodes ask each other before, so that it is rarely waited for",
    ),
    ("cluster.settle-timeout", "a limit: a node is settled as soon as it has compared states with its peers"),
    ("cluster.gossip-interval", "as there for what is repeated; changes travel at once"),
    ("cluster.pushpull-interval", "a limit: states are compared every few seconds"),
    ("cluster.tls-config", "as there: the same file"),
    ("web.config.file", "as there: the same file"),
    ("storage.path", "read and merged at the start, and written for the way back; see below"),
    ("config.file", "read as there; see below"),
];

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rank {
    Good,
    /// To be known.
    Note,
    /// Carillon would not start, or not do what was meant.
    Bad,
}

struct Finding {
    rank: Rank,
    /// The flag, file or part.
    about: String,
    text: String,
}

/// # Errors
/// Carillon would not start so.
pub fn run(args: &MigrateArgs, context: &Context, out: &mut dyn Write) -> Result<(), CtlError> {
    let flags: Vec<String> = args.flags.iter().filter(|flag| *flag != "--").cloned().collect();
    let mut report = Report { findings: Vec::new(), clock: context.clock.clone() };
    writeln!(out, "Flags")?;
    let options = report.flags(&flags);
    report.print(out)?;
    if let Some(options) = &options {
        writeln!(out, "\nConfiguration {}", options.config_file.display())?;
        report.configuration(options);
        report.print(out)?;
        writeln!(out, "\nData in {}", options.storage_path.display())?;
        report.data(options);
        report.print(out)?;
    }
    if report.is_bad() {
        writeln!(out, "\n{}", Paint::of_output().bad("Carillon would not start so."))?;
        return Err(CtlError::Told);
    }
    writeln!(out, "\nStop Alertmanager, then start carillon with the same flags. The way back is the same.")?;
    Ok(())
}

struct Report {
    /// Those that were printed too.
    findings: Vec<(bool, Finding)>,
    clock: Clock,
}

impl Report {
    fn add(&mut self, rank: Rank, about: impl Into<String>, text: impl Into<String>) {
        self.findings.push((false, Finding { rank, about: about.into(), text: text.into() }));
    }

    fn is_bad(&self) -> bool {
        self.findings.iter().any(|(_, finding)| finding.rank == Rank::Bad)
    }

    fn print(&mut self, out: &mut dyn Write) -> Result<(), CtlError> {
        let paint = Paint::of_output();
        for (printed, Finding { rank, about, text }) in self.findings.iter_mut().filter(|(printed, _)| !*printed) {
            *printed = true;
            let mark = match rank {
                Rank::Good => paint.good("ok  "),
                Rank::Note => paint.warning("note"),
                Rank::Bad => paint.bad("BAD "),
            };
            writeln!(out, "  {mark}  {about}: {text}")?;
        }
        Ok(())
    }

    fn flags(&mut self, flags: &[String]) -> Option<Box<Options>> {
        match cli::parse(flags.iter().cloned(), "") {
            Ok(cli::Command::Run(options)) => {
                let given: Vec<ShownFlag> = options.flags.iter().filter(|flag| !flag.is_default).cloned().collect();
                if given.is_empty() {
                    self.add(Rank::Good, "none", "every flag has its default, which is Alertmanager's");
                }
                given.iter().for_each(|flag| self.flag(flag));
                Some(options)
            }
            Ok(cli::Command::Print(_)) => {
                self.add(Rank::Good, "help", "prints something and ends, as there");
                None
            }
            Err(error) => {
                self.add(Rank::Bad, "refused", format!("{error}"));
                None
            }
        }
    }

    fn flag(&mut self, flag: &ShownFlag) {
        let about = format!("--{}={}", flag.name, flag.value);
        match OTHERWISE.iter().find(|(name, _)| *name == flag.name) {
            Some((_, text)) => {
                let rank = if text.starts_with("as there") { Rank::Good } else { Rank::Note };
                self.add(rank, about, *text);
            }
            None => self.add(Rank::Good, about, "as there"),
        }
    }

    fn configuration(&mut self, options: &Options) {
        let path = &options.config_file;
        let loaded = match config::load(path, &LoadOptions { mode: options.features.parse_mode() }) {
            Ok(loaded) => loaded,
            Err(error) => return self.add(Rank::Bad, "refused", error.to_string()),
        };
        let config = &loaded.config;
        let integrations: usize = config.receivers.iter().map(|receiver| receiver.integrations.len()).sum();
        let text = format!("loads: {} receivers with {integrations} integrations", config.receivers.len());
        self.add(Rank::Good, "file", text);
        loaded.warnings.iter().for_each(|warning| self.add(Rank::Note, "warning", warning.clone()));
        if let Err(error) = Templates::load(&config.templates) {
            self.add(Rank::Bad, "templates", error.to_string());
        }
        self.sections(config, options);
        self.add(Rank::Note, "more", "carillonctl check-config tells what loads but surprises");
    }

    fn sections(&mut self, config: &Config, options: &Options) {
        if config.tracing.is_some() {
            self.add(Rank::Good, "tracing", "spans are exported; some have names of their own");
        }
        if config.event_recorder.is_some() && !options.features.event_recorder {
            self.add(Rank::Note, "event_recorder", "acts only with --enable-feature=event-recorder, as there");
        }
    }

    fn data(&mut self, options: &Options) {
        let dir = &options.storage_path;
        if !dir.exists() {
            return self.add(
                Rank::Note,
                "missing",
                "the folder will be made; nothing is known of silences and of what was told",
            );
        }
        for name in [DATABASE, JOURNAL] {
            if dir.join(name).exists() {
                self.add(
                    Rank::Note,
                    name,
                    "Carillon has run here before: its state and the snapshots are merged, the newer counts",
                );
            }
        }
        if dir.metadata().is_ok_and(|data| data.permissions().readonly()) {
            self.add(Rank::Bad, "folder", "cannot be written");
        }
        let disk = MemoryDisk::new();
        for name in ["silences", "nflog"] {
            match fs::read(dir.join(name)) {
                Ok(bytes) => disk.set_file(name, bytes),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    self.add(
                        Rank::Note,
                        name,
                        "not there: Alertmanager writes it every 15 minutes and at a clean stop",
                    );
                }
                Err(error) => self.add(Rank::Bad, name, error.to_string()),
            }
        }
        self.snapshots(disk, options);
        self.strangers(dir);
    }

    /// Loaded as at a start, into memory.
    fn snapshots(&mut self, disk: MemoryDisk, options: &Options) {
        let metrics = Metrics::new(MetricsOptions::default(), BUILD, &self.clock);
        let store = match Store::on(Arc::new(disk), Arc::clone(&metrics), WriterMode::Task) {
            Ok(store) => store,
            Err(error) => return self.add(Rank::Bad, "store", error.to_string()),
        };
        let (clock, random) = (self.clock.clone(), Random::system());
        let silences = Silences::open(
            SilencesConfig {
                retention: options.retention,
                count_max: options.max_silences,
                size_bytes_max: options.max_silence_size_bytes,
                log_changes: false,
                mode: options.features.parse_mode(),
            },
            Surroundings {
                store: store.clone(),
                outbox: Outbox::none(),
                clock: clock.clone(),
                random,
                metrics: Arc::clone(&metrics),
            },
        );
        match silences {
            Ok(silences) => {
                let counts = silences.counts(clock.now());
                let text = format!(
                    "{} active, {} pending, {} expired: all taken over, with their ids",
                    counts.active, counts.pending, counts.expired
                );
                self.add(Rank::Good, "silences", text);
                for silence in silences.all().iter().filter(|silence| !silence.is_usable()) {
                    let text = "its matchers cannot be used: it is kept, and silences nothing";
                    self.add(Rank::Note, format!("silence {}", silence.id), text);
                }
            }
            Err(error) => self.add(Rank::Bad, "silences", format!("{error}; move it away to start without")),
        }
        let config = NflogConfig { retention: options.retention, writer: Writer::named("migrate") };
        match Nflog::open(config, store, Outbox::none(), clock, metrics) {
            Ok(log) => {
                let text = format!("{} entries: what was told is not told again", log.len());
                self.add(Rank::Good, "nflog", text);
            }
            Err(error) => self.add(Rank::Bad, "nflog", format!("{error}; move it away to start without")),
        }
    }

    fn strangers(&mut self, dir: &Path) {
        let known = ["silences", "nflog", DATABASE, JOURNAL];
        let entries = fs::read_dir(dir).map(|entries| entries.filter_map(Result::ok).collect::<Vec<_>>());
        let mut others: Vec<PathBuf> = entries
            .unwrap_or_default()
            .into_iter()
            .map(|entry| PathBuf::from(entry.file_name()))
            .filter(|name| !name.to_string_lossy().starts_with("carillon."))
            .filter(|name| !known.iter().any(|known| name.as_os_str() == *known))
            .collect();
        others.sort();
        for name in others {
            self.add(Rank::Note, name.display().to_string(), "left alone");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::args::{Cli, Command};

    fn migrate(flags: &[String]) -> (String, bool) {
        let line = [vec!["migrate".to_owned()], flags.to_vec()].concat();
        let wish = crate::ctl::line::read(line, || Ok(Default::default())).unwrap();
        let crate::ctl::line::Wish::Run(cli) = wish else { panic!("no command") };
        let Cli { globals, command: Command::Migrate(args) } = *cli else { panic!("another command") };
        let mut out = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let result = runtime.block_on(async { run(&args, &Context::new(globals).unwrap(), &mut out) });
        (String::from_utf8(out).unwrap(), result.is_ok())
    }

    #[test]
    fn flags_files_and_data_are_told_one_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        fs::write(path("am.yml"), "route: {receiver: r}\nreceivers: [{name: r}]\n").unwrap();
        fs::create_dir(path("data")).unwrap();
        fs::write(path("data/silences"), "").unwrap();
        fs::write(path("data/other"), "").unwrap();
        let flags = [
            format!("--config.file={}", path("am.yml")),
            format!("--storage.path={}", path("data")),
            "--web.ui-path=x".to_owned(),
        ];
        let (text, good) = migrate(&flags);
        assert!(good, "{text}");
        for part in [
            "note  --web.ui-path=x: without effect",
            "ok    file: loads: 1 receivers with 0 integrations",
            "ok    silences: 0 active, 0 pending, 0 expired",
            "note  nflog: not there",
            "note  other: left alone",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        fs::write(path("data/silences"), "damaged").unwrap();
        let (text, good) = migrate(&flags);
        assert!(!good && text.contains("BAD   silences: "), "{text}");
    }

    #[test]
    fn a_flag_that_nobody_knows_is_bad() {
        let (text, good) = migrate(&["--nothing".to_owned()]);
        assert!(!good && text.contains("BAD   refused: unknown long flag '--nothing'"), "{text}");
    }
}
