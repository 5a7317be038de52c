//! Traces: spans of what the program does, brought to a collector by OTLP (the section `tracing`,
//! reference/configuration.md 9).
//!
//! Rooms open a [`Span`] where work begins and drop it where it ends; the [`Tracer`] says which traces are recorded. A
//! finished span goes into a bounded queue, and one task sends batches of them to the collector. Nobody waits for any of
//! this. Without the section, and where nothing that begins here is recorded, opening a span is a look at one number.
//!
//! Nothing here knows alerts or routes: names and attributes come from where the work is done.

mod collector;
mod context;
mod exporter;
mod http;
mod queue;
mod span;
mod wire;

#[cfg(test)]
pub(crate) mod tests;

use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use tokio::task::JoinHandle;

use self::{
    collector::Collector,
    context::Share,
    exporter::{Complaints, Exporter, Running},
    queue::Queue,
    span::Parent,
    wire::{KeyValue, Resource, Scope},
};
pub use self::{
    collector::{SetupError, check},
    context::Context,
    http::outgoing,
    span::{Span, child, current},
    wire::{Kind, Value},
};
use crate::{
    clock::{Clock, Time},
    config::model::{TlsConfig, TracingConfig},
    httpconf::ClientOptions,
    random::Random,
};

/// How long the collector gets for what waits, when it is replaced and at the end.
const CLOSE_GRACE: Duration = Duration::from_secs(5);
const SERVICE: &str = "alertmanager";

/// A section that is right but cannot be put to work. The old one goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to build a new tracer provider: {0}")]
pub struct ApplyError(#[from] SetupError);

/// What is traced, from the least to the most. Kept as a number that can be looked at for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum Extent {
    Nothing = 0,
    /// What others began to record.
    Parents = 1,
    /// And a share of what begins here.
    Roots = 2,
}

/// The handle of those who open spans. Clones are the same tracer.
#[derive(Clone)]
pub struct Tracer(Option<Arc<Inner>>);

struct Inner {
    clock: Clock,
    random: Random,
    extent: AtomicU8,
    share: ArcSwap<Share>,
    queue: ArcSwapOption<Queue>,
    /// Registered when there is something to count.
    metrics: OnceLock<TraceMetrics>,
    registry: Registry,
    resource: Resource,
    scope: Scope,
    setup: Mutex<Setup>,
}

/// What is in force.
#[derive(Default)]
struct Setup {
    config: Option<TracingConfig>,
    running: Option<Running>,
    /// Exporters that were replaced and are not done yet.
    leaving: Vec<JoinHandle<()>>,
}

/// Who this process is, in what it exports.
#[derive(Clone, Copy, Debug)]
pub struct Service<'a> {
    pub version: &'a str,
    /// Tells the nodes of a cluster apart.
    pub instance: &'a str,
}

/// Metrics of the exporter.
#[derive(Clone, Debug)]
struct TraceMetrics {
    exported: IntCounter,
    /// Label `reason`: `queue` or `collector`.
    lost: IntCounterVec,
}

impl TraceMetrics {
    #[allow(clippy::expect_used, reason = "names and labels are constants of this function")]
    fn new(registry: &Registry) -> Self {
        let name = "alertmanager_tracing_spans_exported_total";
        let exported = IntCounter::new(name, "Spans that the collector took.").expect("a valid metric");
        let lost = Opts::new("alertmanager_tracing_spans_lost_total", "Spans that no collector took.");
        let lost = IntCounterVec::new(lost, &["reason"]).expect("a valid metric");
        registry.register(Box::new(exported.clone())).expect("a metric of a new name");
        registry.register(Box::new(lost.clone())).expect("a metric of a new name");
        for reason in ["queue", "collector"] {
            lost.with_label_values(&[reason]);
        }
        TraceMetrics { exported, lost }
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tracer").field(&self.extent()).finish()
    }
}

impl Tracer {
    /// Never traces anything.
    #[must_use]
    pub fn off() -> Self {
        Tracer(None)
    }

    /// Traces nothing until a section is applied.
    #[must_use]
    pub fn new(service: Service<'_>, clock: &Clock, random: &Random, registry: &Registry) -> Self {
        Tracer(Some(Arc::new(Inner {
            clock: clock.clone(),
            random: random.clone(),
            extent: AtomicU8::new(Extent::Nothing as u8),
            share: ArcSwap::from_pointee(Share::of(0.0)),
            queue: ArcSwapOption::empty(),
            metrics: OnceLock::new(),
            registry: registry.clone(),
            resource: resource(service),
            scope: Scope { name: SERVICE.to_owned(), version: service.version.to_owned() },
            setup: Mutex::default(),
        })))
    }

    /// Puts a section to work, or ends the work if there is none. What the old one has yet to send is sent meanwhile.
    /// Reads files, and needs a runtime.
    ///
    /// # Errors
    /// What cannot be used. Then everything goes on as it was.
    pub fn apply(&self, config: Option<&TracingConfig>, options: &ClientOptions) -> Result<(), ApplyError> {
        let Some(inner) = &self.0 else { return Ok(()) };
        let mut setup = inner.setup.lock().unwrap_or_else(PoisonError::into_inner);
        // Files with certificates may have changed.
        let has_tls = config.is_some_and(|config| config.tls != TlsConfig::default());
        if setup.config.as_ref() == config && !has_tls {
            return Ok(());
        }
        let next = config.map(|config| inner.start(config, options)).transpose()?;
        inner.queue.store(next.as_ref().map(|running| Arc::clone(&running.queue)));
        let share = Share::of(config.map_or(0.0, |config| config.sampling_fraction));
        inner.share.store(Arc::new(share));
        let extent = match config {
            None => Extent::Nothing,
            Some(_) if share.is_none() => Extent::Parents,
            Some(_) => Extent::Roots,
        };
        inner.extent.store(extent as u8, Ordering::Release);
        setup.config = config.cloned();
        setup.leaving.retain(|leaving| !leaving.is_finished());
        if let Some(old) = std::mem::replace(&mut setup.running, next) {
            setup.leaving.push(tokio::spawn(old.close(CLOSE_GRACE)));
        }
        match config {
            None => tracing::info!(component = "tracing", "spans are no longer exported"),
            Some(config) => tracing::info!(
                component = "tracing",
                endpoint = config.endpoint,
                sampling_fraction = config.sampling_fraction,
                "spans are exported"
            ),
        }
        Ok(())
    }

    /// Opens no span from now on. Returns when the collector has what there was, or after a few seconds.
    pub async fn close(&self) {
        let Some(inner) = &self.0 else { return };
        inner.extent.store(Extent::Nothing as u8, Ordering::Release);
        inner.queue.store(None);
        let Setup { running, leaving, .. } =
            std::mem::take(&mut *inner.setup.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(running) = running {
            running.close(CLOSE_GRACE).await;
        }
        for leaving in leaving {
            // It has the same limit; if it broke down, nothing is left to do.
            let _ = leaving.await;
        }
    }

    /// Whether anything may be traced.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.extent() != Extent::Nothing as u8
    }

    fn extent(&self) -> u8 {
        self.0.as_ref().map_or(Extent::Nothing as u8, |inner| inner.extent.load(Ordering::Relaxed))
    }

    /// Begins a trace, if some of those that begin here are recorded.
    #[must_use]
    pub fn root(&self, name: &'static str, start: Time) -> Span {
        match &self.0 {
            Some(inner) if self.extent() >= Extent::Roots as u8 => inner.root(name, Kind::Internal, start),
            _ => Span::default(),
        }
    }

    /// A part of a span that another task or another moment began.
    #[must_use]
    pub fn part_of(&self, parent: Option<&Context>, name: &'static str) -> Span {
        match (&self.0, parent) {
            (Some(inner), Some(parent)) => inner.part_of(parent, false, name, Kind::Internal, inner.clock.now()),
            _ => Span::default(),
        }
    }

    /// The way out: a part of the span in which the caller runs. Where none is, those who are called are told that the
    /// trace is not recorded.
    #[must_use]
    pub fn call(&self, name: &'static str) -> Span {
        let Some(inner) = self.0.as_ref().filter(|_| self.is_on()) else { return Span::default() };
        let parent = current();
        if parent.is_none() {
            return Span::unsampled(Context { sampled: false, ..inner.fresh() });
        }
        parent.child(name, Kind::Client)
    }
}

impl Inner {
    fn start(self: &Arc<Self>, config: &TracingConfig, options: &ClientOptions) -> Result<Running, SetupError> {
        let collector = Collector::new(config, options)?;
        let queue = Arc::new(Queue::default());
        let exporter = Exporter {
            collector,
            queue: Arc::clone(&queue),
            resource: self.resource.clone(),
            scope: self.scope.clone(),
            clock: self.clock.clone(),
            random: self.random.clone(),
            metrics: self.metrics().clone(),
            complaints: Complaints::default(),
        };
        Ok(Running { queue, task: tokio::spawn(exporter.run()) })
    }

    fn metrics(&self) -> &TraceMetrics {
        self.metrics.get_or_init(|| TraceMetrics::new(&self.registry))
    }

    /// A trace that begins here.
    fn fresh(&self) -> Context {
        let [a, b] = [self.random.next_u64(), self.random.next_u64()];
        let mut trace = [0; 16];
        trace.iter_mut().zip(a.to_be_bytes().into_iter().chain(b.to_be_bytes())).for_each(|(to, from)| *to = from);
        Context { trace, span: self.span_id(), sampled: self.share.load().takes(trace), state: None }
    }

    fn span_id(&self) -> [u8; 8] {
        // 0 would be no id.
        self.random.next_u64().max(1).to_be_bytes()
    }

    fn root(self: &Arc<Self>, name: impl Into<Cow<'static, str>>, kind: Kind, start: Time) -> Span {
        let context = self.fresh();
        if !context.sampled {
            return Span::unsampled(context);
        }
        Span::recording(self, context, None, name, kind, start)
    }

    fn part_of(
        self: &Arc<Self>,
        parent: &Context,
        remote: bool,
        name: impl Into<Cow<'static, str>>,
        kind: Kind,
        start: Time,
    ) -> Span {
        if !parent.sampled {
            return Span::unsampled(parent.clone());
        }
        let context = Context { span: self.span_id(), ..parent.clone() };
        Span::recording(self, context, Some(Parent { span: parent.span, remote }), name, kind, start)
    }

    /// A span has ended.
    fn take(&self, span: wire::Span) {
        let queue = self.queue.load();
        let Some(queue) = queue.as_deref() else { return };
        if !queue.push(span) {
            self.metrics().lost.with_label_values(&["queue"]).inc();
        }
    }
}

fn resource(service: Service<'_>) -> Resource {
    Resource {
        attributes: vec![
            KeyValue::new("service.name", SERVICE),
            KeyValue::new("service.version", service.version),
            KeyValue::new("service.instance.id", service.instance),
            KeyValue::new("telemetry.sdk.language", "rust"),
            KeyValue::new("telemetry.sdk.name", env!("CARGO_PKG_NAME")),
            KeyValue::new("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
        ],
    }
}
