//! From a loaded configuration to a running one, at start and at every reload. Whatever is wrong with the new
//! one leaves the old one running, whole.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use super::BUILD;
use crate::{
    alerts::Alerts,
    cli::Options,
    clock::Clock,
    config::{self, ConfigError, LoadOptions, Loaded, Receiver, Route},
    dispatch::{Dispatcher, Plan},
    events::Events,
    httpconf::ClientOptions,
    inhibit::Inhibitor,
    metrics::Metrics,
    notify::{
        Integration,
        receivers::{self, BuildContext, BuildError},
    },
    otlp::{self, Tracer},
    random::Random,
    template::{TemplateError, Templates},
};

/// Why a configuration that was read cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("failed to parse templates: {0}")]
    Templates(#[from] TemplateError),
    #[error("receiver {receiver:?}, {integration}[{index}]: {source}")]
    Receiver { receiver: String, integration: &'static str, index: usize, source: BuildError },
    #[error(transparent)]
    Tracing(#[from] otlp::ApplyError),
}

/// Why a reload failed.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// What is needed to make a configuration ready.
pub(super) struct Tools {
    path: PathBuf,
    retention: std::time::Duration,
    events: Events,
    tracer: Tracer,
    clock: Clock,
    random: Random,
    metrics: Arc<Metrics>,
}

impl Tools {
    pub fn new(
        options: &Options,
        clock: &Clock,
        random: &Random,
        metrics: &Arc<Metrics>,
        events: &Events,
        tracer: &Tracer,
    ) -> Self {
        Tools {
            path: options.config_file.clone(),
            retention: options.retention,
            events: events.clone(),
            tracer: tracer.clone(),
            clock: clock.clone(),
            random: random.clone(),
            metrics: Arc::clone(metrics),
        }
    }

    /// The outputs of events at the start.
    pub async fn begin_events(&self, loaded: &Loaded) {
        self.events.begin(loaded.config.event_recorder.as_ref(), &self.client_options()).await;
    }

    /// The outputs of events from now on. What cannot be used does not fail a reload.
    async fn apply_events(&self, loaded: &Loaded) {
        let applied = self.events.apply(loaded.config.event_recorder.as_ref(), &self.client_options()).await;
        if let Err(error) = applied {
            tracing::error!(component = "eventrecorder", err = %error, "the outputs of events stay as they were");
        }
    }

    fn client_options(&self) -> ClientOptions {
        receivers::client_options(BUILD.version, &self.clock, &self.random, &self.metrics)
    }

    /// Builds templates, receivers in use and inhibition rules, logs what is odd, and puts the section `tracing` to
    /// work: the last thing that can fail.
    pub fn plan(&self, loaded: &Loaded) -> Result<Plan, ApplyError> {
        let config = &loaded.config;
        let templates = Arc::new(Templates::load(&config.templates)?.with_clock(self.clock.clone()));
        let context = BuildContext::new(
            Arc::clone(&templates),
            BUILD.version,
            self.clock.clone(),
            self.random.clone(),
            &self.metrics,
        );
        let mut integrations = HashMap::new();
        for receiver in &config.receivers {
            if is_used(&config.route, &receiver.name) {
                integrations.insert(Arc::clone(&receiver.name), build(receiver, &context)?);
            } else {
                tracing::info!(component = "configuration", receiver = %receiver.name, "skipping creation of receiver not referenced by any route");
            }
        }
        self.tracer.apply(config.tracing.as_ref(), &self.client_options())?;
        let inhibitor = Arc::new(Inhibitor::new(&config.inhibit_rules));
        self.metrics.inhibition_rules.set(i64::try_from(config.inhibit_rules.len()).unwrap_or(i64::MAX));
        for warning in &loaded.warnings {
            tracing::warn!(component = "configuration", "{warning}");
        }
        self.warn_of_intervals(&config.route);
        self.note_success(loaded);
        Ok(Plan::new(config, inhibitor, templates, integrations))
    }

    fn warn_of_intervals(&self, route: &Route) {
        let repeat = route.repeat_interval;
        if repeat > self.retention {
            tracing::warn!(component = "configuration", route = %route.id, ?repeat, retention = ?self.retention,
                "repeat_interval is greater than the data retention period. It can lead to notifications being repeated more often than expected.");
        }
        if repeat < route.group_interval {
            tracing::warn!(component = "configuration", route = %route.id, ?repeat, group_interval = ?route.group_interval,
                "repeat_interval is less than group_interval. Notifications will not repeat until the next group_interval.");
        }
        for child in &route.routes {
            self.warn_of_intervals(child);
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "48 bits and milliseconds fit")]
    fn note_success(&self, loaded: &Loaded) {
        self.metrics.config_hash.set(loaded.hash as f64);
        self.metrics.config_last_reload_successful.set(1);
        let now = self.clock.now().timestamp_millis() as f64 / 1e3;
        self.metrics.config_last_reload_success_timestamp_seconds.set(now);
    }
}

fn is_used(route: &Route, receiver: &str) -> bool {
    &*route.receiver == receiver || route.routes.iter().any(|child| is_used(child, receiver))
}

fn build(receiver: &Receiver, context: &BuildContext) -> Result<Vec<Integration>, ApplyError> {
    let one = |config: &config::IntegrationConfig| {
        let notifier = receivers::build(config, context).map_err(|source| ApplyError::Receiver {
            receiver: receiver.name.to_string(),
            integration: config.kind,
            index: config.index,
            source,
        })?;
        Ok(Integration {
            kind: config.kind,
            index: config.index,
            send_resolved: config.send_resolved,
            notifier: Arc::from(notifier),
        })
    };
    receiver.integrations.iter().map(one).collect()
}

/// Replaces the running configuration.
pub(super) struct Reloader {
    tools: Tools,
    options: LoadOptions,
    current: Arc<ArcSwap<Loaded>>,
    alerts: Arc<Alerts>,
    inhibitor: Arc<ArcSwap<Inhibitor>>,
    dispatcher: Dispatcher,
    /// One reload at a time.
    turn: Mutex<()>,
}

impl Reloader {
    pub fn new(
        tools: Tools,
        loaded: Loaded,
        options: LoadOptions,
        alerts: &Arc<Alerts>,
        inhibitor: &Arc<ArcSwap<Inhibitor>>,
        dispatcher: &Dispatcher,
    ) -> Self {
        Reloader {
            tools,
            options,
            current: Arc::new(ArcSwap::from_pointee(loaded)),
            alerts: Arc::clone(alerts),
            inhibitor: Arc::clone(inhibitor),
            dispatcher: dispatcher.clone(),
            turn: Mutex::default(),
        }
    }

    pub fn current(&self) -> Arc<ArcSwap<Loaded>> {
        Arc::clone(&self.current)
    }

    /// Reads the file again and, if all is well, runs it from now on.
    pub async fn reload(&self) -> Result<(), ReloadError> {
        let _turn = self.turn.lock().await;
        let file = self.tools.path.display().to_string();
        tracing::info!(component = "configuration", file, "Loading configuration file");
        let outcome = self.replace();
        if outcome.is_ok() {
            self.tools.apply_events(&self.current.load_full()).await;
        }
        match &outcome {
            Ok(()) => tracing::info!(component = "configuration", file, "Completed loading of configuration file"),
            Err(error) => {
                self.tools.metrics.config_last_reload_successful.set(0);
                tracing::error!(component = "configuration", file, err = %error, "Loading configuration file failed");
            }
        }
        outcome
    }

    fn replace(&self) -> Result<(), ReloadError> {
        let loaded = config::load(&self.tools.path, &self.options)?;
        let plan = self.tools.plan(&loaded)?;
        // The new inhibitor knows all sources before anybody asks it, and those that came meanwhile after.
        self.observe_all(&plan.inhibitor);
        self.inhibitor.store(Arc::clone(&plan.inhibitor));
        self.observe_all(&plan.inhibitor);
        self.current.store(Arc::new(loaded));
        self.dispatcher.reload(&plan, &|| self.alerts.snapshot());
        Ok(())
    }

    fn observe_all(&self, inhibitor: &Inhibitor) {
        for entry in self.alerts.snapshot() {
            inhibitor.observe(&entry);
        }
    }
}
