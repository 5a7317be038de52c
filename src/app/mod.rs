//! Build, wire, run, drain: the one place that knows every part.
//!
//! [`run`] opens the store, reads what it holds, loads the configuration, starts the dispatcher and the web
//! server, and then waits for signals and reload requests. At the end it goes the way back: no new requests, what
//! is being sent gets time to finish, state is written. Decisions are made in the parts; here is only their order.

pub mod demo;
mod descriptors;
mod external_url;
mod maintenance;
mod receiver_test;
mod reload;
mod ring;
mod supervisor;

use std::{path::Path, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{
    signal::unix,
    sync::{mpsc, watch},
};

use crate::{
    alerts::{Alerts, AlertsConfig},
    api::{self, Handles, ReceiverTests},
    cli::Options,
    clock::{Clock, Correction},
    cluster::{ClusterError, ClusterMetrics, network},
    config::{self, ConfigError, LoadOptions},
    decisions::{Decisions, Reader},
    dispatch::{Dispatcher, DispatcherParts},
    events::{Event, EventMetrics, Events},
    metrics::{BuildInfo, Metrics, MetricsOptions},
    nflog::{self, Nflog, NflogConfig, Writer},
    notify::Peer,
    otlp::{self, Tracer},
    random::Random,
    replica::{AlertKeeper, Outbox},
    ring::{Graces, Ring, RingParts, recall_correction},
    silence::{self, Act, Silences, SilencesConfig, Surroundings},
    store::{OpenError, Store, WriterMode},
    ui::{Ui, UiParts},
    web::{self, ReloadFailed, ReloadRequest, Web},
};
use external_url::{ExternalUrlError, external_url};
use maintenance::Maintenance;
use receiver_test::Tester;
use reload::{Reloader, Tools};
use supervisor::Supervisor;

/// The Alertmanager version that this one is a drop-in for, and the own version beside it: clients want a plain
/// semantic version of Alertmanager (reference/deployers.md 0).
pub const BUILD: BuildInfo = BuildInfo {
    version: "0.34.0",
    revision: concat!("carillon-", env!("CARGO_PKG_VERSION")),
    branch: "carillon",
    build_user: "carillon",
    build_date: "unknown",
    go_version: "none (Rust)",
    goos: std::env::consts::OS,
    goarch: if cfg!(target_arch = "x86_64") {
        "amd64"
    } else if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        std::env::consts::ARCH
    },
    tags: "unknown",
};

/// How long notifications under way get at the end. Service managers wait 20 s or less before they kill.
const DRAIN_GRACE: Duration = Duration::from_secs(5);
/// Changes that peers have not been sent yet; beyond it comparing states brings them.
const OUTBOX_MAX: usize = 200_000;
/// How long outputs of events get at the end.
const EVENTS_GRACE: Duration = Duration::from_secs(5);
/// How long requests under way get at the end.
const WEB_GRACE: Duration = Duration::from_secs(2);

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Store(#[from] OpenError),
    #[error("error loading silences: {0}")]
    Silences(#[from] silence::LoadError),
    #[error("error loading the notification log: {0}")]
    Nflog(#[from] nflog::LoadError),
    #[error("error loading configuration file: {0}")]
    Config(#[from] ConfigError),
    #[error("error loading configuration file: {0}")]
    Apply(#[from] reload::ApplyError),
    #[error(transparent)]
    ExternalUrl(#[from] ExternalUrlError),
    #[error(transparent)]
    Web(#[from] web::WebError),
    #[error("signals cannot be received: {0}")]
    Signals(std::io::Error),
    #[error(transparent)]
    Ring(#[from] ring::RingError),
    #[error("cluster: {0}")]
    Cluster(#[from] ClusterError),
}

/// The text of `--version`.
#[must_use]
pub fn version_text() -> String {
    format!(
        "alertmanager, version {} (branch: {}, revision: {})\n  build user:       {}\n  build date:       {}\n  \
         go version:       {}\n  platform:         {}/{}\n  tags:             {}\n",
        BUILD.version,
        BUILD.branch,
        BUILD.revision,
        BUILD.build_user,
        BUILD.build_date,
        BUILD.go_version,
        BUILD.goos,
        BUILD.goarch,
        BUILD.tags
    )
}

/// Runs the server until SIGTERM or SIGINT.
///
/// # Errors
/// Why it could not start.
pub async fn run(options: Options) -> Result<(), StartError> {
    let (own_clock, correction) = (Clock::system(), Correction::default());
    // Deadlines are judged by what most clocks of the cluster show.
    let clock = match options.cluster {
        Some(_) => own_clock.clone().corrected(correction.clone()),
        None => own_clock.clone(),
    };
    let started = clock.monotonic();
    let started_at = clock.now();
    tracing::info!(version = BUILD.version, branch = BUILD.branch, revision = BUILD.revision, "Starting Alertmanager");
    for feature in &options.features.enabled {
        tracing::warn!(feature, "experimental feature enabled");
    }
    let mut signals = Signals::new()?;
    let supervisor = Supervisor::from_environment();
    let open_files_max = descriptors::raise();
    let metrics = Metrics::new(metrics_options(&options), BUILD, &clock);
    metrics.alerts_per_alert_limit.set(i64::try_from(options.per_alertname_limit).unwrap_or(i64::MAX));

    // State.
    let random = Random::system();
    let store = Store::open(&options.storage_path, Arc::clone(&metrics))?;
    if options.cluster.is_some() {
        recall_correction(&correction, store.disk());
    }
    let identity = options.cluster.as_ref().map(|cluster| ring::Identity::of(cluster, &store, &random)).transpose()?;
    let outbox = if identity.is_some() { Outbox::bounded(OUTBOX_MAX) } else { Outbox::none() };
    let node = identity.as_ref().map_or_else(hostname, |identity| identity.name.clone());
    let (state, graces) = State::open(&options, &node, &outbox, &store, &clock, &random, &metrics)?;
    let decisions = Decisions::open(options.decisions, &node, store.disk(), &clock, &metrics, WriterMode::Thread);
    let ring = options.cluster.as_ref().map(|cluster| {
        Ring::new(RingParts {
            clock: clock.clone(),
            correction,
            metrics: Arc::clone(&metrics),
            replica: ring::replica(&state),
            outbox,
            graces,
            decisions: Reader::new(decisions.clone(), &node, None),
            peer_timeout: cluster.peer_timeout,
        })
    });

    let events = recorder(&options, &clock, &metrics, &state, ring.as_ref());
    let service = otlp::Service { version: BUILD.version, instance: &node };
    let tracer = Tracer::new(service, &clock, &random, metrics.registry());

    // Configuration.
    let web = Web::bind(web_options(&options, open_files_max)?).await?;
    let port = web.addresses().first().map_or(9093, std::net::SocketAddr::port);
    let external_url = external_url(options.web.external_url.as_deref(), port)?;
    let load_options = LoadOptions { mode: options.features.parse_mode() };
    tracing::info!(file = %options.config_file.display(), "Loading configuration file");
    let loaded = config::load(&options.config_file, &load_options)?;
    let tools = Tools::new(&options, &clock, &random, &metrics, &events, &tracer);
    let plan = tools.plan(&loaded)?;
    tools.begin_events(&loaded).await;
    events.record(|| Event::Startup { version: BUILD.version, build_context: build_context() });
    let inhibitor = Arc::new(ArcSwap::from(Arc::clone(&plan.inhibitor)));
    for entry in state.alerts.snapshot() {
        plan.inhibitor.observe(&entry);
    }

    // Work.
    let dispatcher = Dispatcher::new(
        DispatcherParts {
            clock: clock.clone(),
            random: random.clone(),
            metrics: Arc::clone(&metrics),
            nflog: Arc::clone(&state.nflog),
            silences: Arc::clone(&state.silences),
            peer: ring.as_ref().map_or_else(Peer::alone, Ring::peer),
            decisions: decisions.clone(),
            events: events.clone(),
            tracer: tracer.clone(),
            external_url: external_url.text.as_str().into(),
            start_at: started + options.dispatch_start_delay,
        },
        &plan,
    );
    if let (Some(ring), Some(cluster), Some(identity)) = (&ring, &options.cluster, &identity) {
        let config = ring::config(cluster, identity, &store)?;
        let effects = (dispatcher.clone(), Arc::clone(&inhibitor));
        let cluster_metrics = ClusterMetrics::new(metrics.registry());
        if config.tls.is_some() {
            cluster_metrics.show_tls(metrics.registry());
        }
        ring.remember_peers(store.disk());
        ring.join(config, Arc::new(network::System), own_clock, random.clone(), cluster_metrics, effects).await?;
    }
    let alerts = Arc::clone(&state.alerts);
    dispatcher.start(&move || alerts.snapshot());
    let maintenance = Maintenance::start(&options, &clock, &state, &inhibitor, &dispatcher);
    let reloader = Reloader::new(tools, loaded, load_options, &state.alerts, &inhibitor, &dispatcher);
    refresh_before_scrapes(&metrics, &state, &dispatcher, &clock);

    // The outside.
    let (reload_requests, mut wanted) = mpsc::channel::<ReloadRequest>(16);
    let api = api::Api::new(Handles {
        clock: clock.clone(),
        started_at,
        build: BUILD,
        mode: options.features.parse_mode(),
        metrics: Arc::clone(&metrics),
        config: reloader.current(),
        alerts: Arc::clone(&state.alerts),
        inhibitor: Arc::clone(&inhibitor),
        silences: Arc::clone(&state.silences),
        dispatcher: dispatcher.clone(),
        records: state.keeper.clone(),
        decisions: Reader::new(decisions.clone(), &node, ring.as_ref().map(Ring::ask_peers)),
        events: events.clone(),
        tracer: tracer.clone(),
        cluster: ring::status(ring.as_ref()),
    });
    let tester = Tester {
        current: reloader.current(),
        clock: clock.clone(),
        random: random.clone(),
        external_url: external_url.text.as_str().into(),
    };
    if let Some(ring) = &ring {
        api.offer_outlooks(ring::outlooks(ring));
    }
    api.offer_receiver_tests(ReceiverTests { open: options.web.enable_receiver_test, run: tester.into_handle() });
    let (stop, stopped) = watch::channel(false);
    let ui = Ui::new(UiParts {
        api: Arc::clone(&api),
        random: random.clone(),
        external_url: external_url.text.clone(),
        flags: options.flags.clone(),
    });
    let server = tokio::spawn(web.serve(api, ui, reload_requests, stopped, WEB_GRACE));
    supervisor.ready("Serving");

    loop {
        tokio::select! {
            request = wanted.recv() => if let Some(request) = request {
                supervisor.reloading();
                let outcome = reloader.reload().await;
                supervisor.ready(serving(outcome.is_ok()));
                // The client may have gone away meanwhile.
                let _ = request.send(outcome.map_err(|error| ReloadFailed(error.to_string())));
            },
            signal = signals.next() => match signal {
                Signal::Reload => {
                    supervisor.reloading();
                    // Errors are logged where they happen; nobody waits for an answer.
                    let outcome = reloader.reload().await;
                    supervisor.ready(serving(outcome.is_ok()));
                }
                Signal::End => break,
            }
        }
    }

    tracing::info!("Received SIGTERM, exiting gracefully...");
    supervisor.stopping();
    let _ = stop.send(true);
    if let Err(error) = server.await {
        tracing::error!(err = %error, "the web server did not end cleanly");
    }
    dispatcher.shutdown(DRAIN_GRACE).await;
    if let Some(ring) = &ring {
        ring.leave().await;
    }
    maintenance.finish(&state).await;
    decisions.close().await;
    events.record(|| Event::Shutdown);
    events.close(EVENTS_GRACE).await;
    tracer.close().await;
    if let Err(error) = store.close().await {
        tracing::error!(err = %error, "the store could not be closed cleanly; what was acknowledged is on disk");
    }
    tracing::info!("See you next time!");
    Ok(())
}

/// What the service manager shows after a reload.
fn serving(is_reloaded: bool) -> &'static str {
    if is_reloaded {
        "Serving"
    } else {
        "Serving with the old configuration: the new one could not be loaded, see the log"
    }
}

/// The event recorder, if its feature is on, and who tells it of silences.
fn recorder(options: &Options, clock: &Clock, metrics: &Metrics, state: &State, ring: Option<&Ring>) -> Events {
    if !options.features.event_recorder {
        return Events::off();
    }
    let events = Events::start(&hostname(), clock, EventMetrics::new(metrics.registry()));
    if let Some(ring) = ring.cloned() {
        let position = move || ring.view().map_or(0, |view| u32::try_from(view.position()).unwrap_or(u32::MAX));
        events.set_position(Arc::new(position));
    }
    let told = events.clone();
    state.silences.set_watcher(Box::new(move |act, silence| {
        told.record(|| match act {
            Act::Created => Event::SilenceCreated(silence.clone()),
            Act::Updated => Event::SilenceUpdated(silence.clone()),
        });
    }));
    events
}

fn build_context() -> String {
    format!(
        "(go={}, platform={}/{}, user={}, date={}, tags={})",
        BUILD.go_version, BUILD.goos, BUILD.goarch, BUILD.build_user, BUILD.build_date, BUILD.tags
    )
}

fn web_options(options: &Options, open_files_max: Option<u64>) -> Result<web::WebOptions, ExternalUrlError> {
    let given = &options.web;
    // The prefix does not depend on the port, which is known only when the sockets are open.
    let route_prefix = external_url(given.external_url.as_deref(), 0)?.route_prefix(given.route_prefix.as_deref());
    Ok(web::WebOptions {
        listen_addresses: given.listen_addresses.clone(),
        systemd_socket: given.systemd_socket,
        config_file: given.config_file.clone(),
        route_prefix,
        get_concurrency: given.get_concurrency,
        timeout: Some(given.timeout).filter(|timeout| !timeout.is_zero()),
        open_files_max,
    })
}

fn metrics_options(options: &Options) -> MetricsOptions {
    MetricsOptions {
        receiver_name: options.features.receiver_name_in_metrics,
        group_key: options.features.group_key_in_metrics,
        alert_name: options.features.alert_names_in_metrics,
        cluster: options.cluster.is_some(),
    }
}

/// Everything that outlives a reload and a restart.
struct State {
    alerts: Arc<Alerts>,
    silences: Arc<Silences>,
    nflog: Arc<Nflog>,
    keeper: AlertKeeper,
}

impl State {
    #[allow(clippy::too_many_arguments, reason = "everything that state is made of")]
    fn open(
        options: &Options,
        node: &str,
        outbox: &Outbox,
        store: &Store,
        clock: &Clock,
        random: &Random,
        metrics: &Arc<Metrics>,
    ) -> Result<(Self, Graces), StartError> {
        let silences = Silences::open(
            SilencesConfig {
                retention: options.retention,
                count_max: options.max_silences,
                size_bytes_max: options.max_silence_size_bytes,
                log_changes: options.log_silences,
                mode: options.features.parse_mode(),
            },
            Surroundings {
                store: store.clone(),
                outbox: outbox.clone(),
                clock: clock.clone(),
                random: random.clone(),
                metrics: Arc::clone(metrics),
            },
        )?;
        let nflog = Nflog::open(
            NflogConfig { retention: options.retention, writer: Writer::named(node) },
            store.clone(),
            outbox.clone(),
            clock.clone(),
            Arc::clone(metrics),
        )?;
        let alerts = Arc::new(Alerts::new(AlertsConfig {
            per_alertname_limit: options.per_alertname_limit,
            retention: options.retention,
        }));
        let keeper = AlertKeeper::new(store.clone(), outbox.clone(), &alerts);
        let now = clock.now();
        let restored = keeper.load(&nflog, now)?;
        let graces = Graces::of(&restored, now);
        alerts.restore(restored, now);
        Ok((State { alerts, silences, nflog, keeper }, graces))
    }
}

/// The machine's name; `localhost` where the system does not tell.
fn hostname() -> String {
    let name = std::fs::read_to_string(Path::new("/proc/sys/kernel/hostname")).unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}

fn refresh_before_scrapes(metrics: &Arc<Metrics>, state: &State, dispatcher: &Dispatcher, clock: &Clock) {
    let (silences, dispatcher, clock) = (Arc::clone(&state.silences), dispatcher.clone(), clock.clone());
    let runtime = tokio::runtime::Handle::current().metrics();
    metrics.before_scrape(move |metrics| {
        let counts = silences.counts(clock.now());
        for (name, count) in [("active", counts.active), ("pending", counts.pending), ("expired", counts.expired)] {
            metrics.silences.with_label_values(&[name]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        dispatcher.count_alerts();
        let tasks = runtime.num_alive_tasks();
        metrics.runtime_tasks.set(i64::try_from(tasks).unwrap_or(i64::MAX));
    });
}

enum Signal {
    Reload,
    End,
}

/// What ends the process, what reloads, and what must do neither.
struct Signals {
    hang_up: unix::Signal,
    terminate: unix::Signal,
    interrupt: unix::Signal,
    /// Sent by some service scripts; caught so that they do not end the process.
    user1: unix::Signal,
    user2: unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, StartError> {
        let on = |kind| unix::signal(kind).map_err(StartError::Signals);
        Ok(Signals {
            hang_up: on(unix::SignalKind::hangup())?,
            terminate: on(unix::SignalKind::terminate())?,
            interrupt: on(unix::SignalKind::interrupt())?,
            user1: on(unix::SignalKind::user_defined1())?,
            user2: on(unix::SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> Signal {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Signal::End,
                _ = self.interrupt.recv() => return Signal::End,
                _ = self.hang_up.recv() => return Signal::Reload,
                _ = self.user1.recv() => {}
                _ = self.user2.recv() => {}
            }
        }
    }
}
