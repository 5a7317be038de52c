//! The event recorder: JSON lines of what happens, for the outputs of the section `event_recorder`
//! (reference/configuration.md 10).
//!
//! Rooms hand in an [`Event`] where something happens; that costs them nothing while nothing is recorded, and never
//! waits: what does not fit into the queue is dropped and counted. One task turns events into JSON and gives them to the
//! outputs; files and standard output take lines, webhooks have workers of their own. Nothing here decides anything.

mod json;
mod model;
mod outputs;
mod webhook;

#[cfg(test)]
mod tests;

use std::{
    fmt, io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    task::JoinHandle,
};

pub use self::model::{Event, Group, Notification, Reason};
use self::{
    outputs::{FileOutput, LineOutput},
    webhook::WebhookOutput,
};
use crate::{
    clock::{Clock, Time},
    config::model::EventRecorderConfig,
    httpconf::{ClientOptions, HttpConfigError},
};

/// Events that wait to be written; beyond it they are dropped.
const QUEUE_MAX: usize = 8192;
/// Events that are written in one go.
const BATCH_MAX: usize = 256;
/// How long an output that a reload has replaced may go on with what it has.
const REPLACED_GRACE: Duration = Duration::from_secs(30);

/// The place of this node among its peers, 0 without any.
pub type Position = Arc<dyn Fn() -> u32 + Send + Sync>;

/// The handle of those to whom something happens. Clones are the same recorder.
#[derive(Clone)]
pub struct Events(Option<Arc<Inner>>);

struct Inner {
    clock: Clock,
    metrics: EventMetrics,
    queue: mpsc::Sender<Item>,
    /// There is somebody to tell.
    has_outputs: AtomicBool,
    position: OnceLock<Position>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What the writer gets, in this order.
enum Item {
    Event(Box<Event>, Time, u32),
    /// These instead of the old ones. The old ones come back when everything before is written.
    Outputs(Outputs, oneshot::Sender<Outputs>),
}

/// Where lines go.
#[derive(Default)]
struct Outputs {
    lines: Vec<LineOutput>,
    webhooks: Vec<WebhookOutput>,
}

/// Why an output cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    #[error("file {path}: {source}")]
    File { path: String, source: io::Error },
    #[error("webhook: {0}")]
    Webhook(#[from] HttpConfigError),
    #[error("kafka outputs are not supported by this program")]
    Kafka,
}

/// Metrics of the recorder, under the reference's names.
#[derive(Clone, Debug)]
pub struct EventMetrics {
    recorded: IntCounterVec,
    bytes: IntCounterVec,
    dropped: IntCounterVec,
    serialize_errors: IntCounterVec,
    output_drops: IntCounterVec,
    queue_length: IntGauge,
}

impl EventMetrics {
    /// Registers them.
    #[must_use]
    #[allow(clippy::expect_used, reason = "names and labels are constants of this function")]
    pub fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(format!("alertmanager_{name}"), help), labels);
            let counter = counter.expect("a valid metric");
            registry.register(Box::new(counter.clone())).expect("a metric of a new name");
            counter
        };
        let queue_length = IntGauge::new("alertmanager_event_recorder_queue_length", "Events that wait to be written.");
        let queue_length = queue_length.expect("a valid metric");
        registry.register(Box::new(queue_length.clone())).expect("a metric of a new name");
        let of_output = &["event_type", "output"][..];
        EventMetrics {
            recorded: counter(
                "events_recorded_total",
                "Events written to an output, or not.",
                &["event_type", "output", "result"],
            ),
            bytes: counter("event_recorder_bytes_written_total", "Bytes of events written.", of_output),
            dropped: counter("events_dropped_total", "Events dropped because too many waited.", &["event_type"]),
            serialize_errors: counter(
                "event_serialize_errors_total",
                "Events that could not be written as JSON.",
                &["event_type"],
            ),
            output_drops: counter(
                "event_output_drops_total",
                "Events dropped by an output because too many waited for it.",
                &["output"],
            ),
            queue_length,
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Events" } else { "Events(off)" })
    }
}

impl Events {
    /// Nothing is recorded.
    #[must_use]
    pub fn off() -> Self {
        Events(None)
    }

    /// Without outputs until [`Events::apply`]. Must be called inside a tokio runtime.
    #[must_use]
    pub fn start(instance: &str, clock: &Clock, metrics: EventMetrics) -> Self {
        let (queue, items) = mpsc::channel(QUEUE_MAX);
        let inner = Arc::new(Inner {
            clock: clock.clone(),
            metrics: metrics.clone(),
            queue,
            has_outputs: AtomicBool::new(false),
            position: OnceLock::new(),
            writer: Mutex::default(),
        });
        let writer = Writer { instance: instance.to_owned(), metrics, outputs: Outputs::default() };
        let handle = tokio::spawn(writer.run(items));
        if let Ok(mut slot) = inner.writer.try_lock() {
            *slot = Some(handle);
        }
        Events(Some(inner))
    }

    /// From now on events tell this place.
    pub fn set_position(&self, position: Position) {
        if let Some(inner) = &self.0 {
            // Set once, when the node knows its ring.
            let _ = inner.position.set(position);
        }
    }

    /// Whether anybody is told. `make` of [`Events::record`] is not called otherwise.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.0.as_ref().is_some_and(|inner| inner.has_outputs.load(Ordering::Relaxed))
    }

    pub fn record(&self, make: impl FnOnce() -> Event) {
        let Some(inner) = self.0.as_ref().filter(|_| self.is_recording()) else { return };
        let event = make();
        let (kind, position) = (event.kind(), inner.position.get().map_or(0, |position| position()));
        if inner.queue.try_send(Item::Event(Box::new(event), inner.clock.now(), position)).is_err() {
            inner.metrics.dropped.with_label_values(&[kind]).inc();
        }
        inner.show_length();
    }

    /// The outputs of the program's start. One that cannot be used is left out, and the log says so.
    pub async fn begin(&self, config: Option<&EventRecorderConfig>, options: &ClientOptions) {
        let Some(inner) = &self.0 else { return };
        let (outputs, errors) = Outputs::open(config, options, &inner.metrics);
        for error in errors {
            tracing::error!(component = "eventrecorder", err = %error, "an output of events cannot be used");
        }
        inner.replace(outputs).await;
    }

    /// These outputs from now on; what happened before goes to the old ones. If one of them cannot be used, all old ones
    /// stay.
    ///
    /// # Errors
    /// Which output cannot be used.
    pub async fn apply(
        &self,
        config: Option<&EventRecorderConfig>,
        options: &ClientOptions,
    ) -> Result<(), OutputError> {
        let Some(inner) = &self.0 else { return Ok(()) };
        let (outputs, errors) = Outputs::open(config, options, &inner.metrics);
        match errors.into_iter().next() {
            Some(error) => Err(error),
            None => {
                inner.replace(outputs).await;
                Ok(())
            }
        }
    }

    /// Writes what waits, and gives webhooks so much time. Nothing is recorded afterwards.
    pub async fn close(&self, limit: Duration) {
        let Some(inner) = &self.0 else { return };
        inner.has_outputs.store(false, Ordering::Relaxed);
        let (done, replaced) = oneshot::channel();
        if inner.queue.send(Item::Outputs(Outputs::default(), done)).await.is_ok()
            && let Ok(old) = replaced.await
        {
            old.close(limit).await;
        }
        if let Some(writer) = inner.writer.lock().await.take() {
            writer.abort();
        }
    }
}

impl Inner {
    async fn replace(&self, outputs: Outputs) {
        let has_outputs = !outputs.lines.is_empty() || !outputs.webhooks.is_empty();
        let (done, replaced) = oneshot::channel();
        // An error: the writer has ended, as the program does.
        if self.queue.send(Item::Outputs(outputs, done)).await.is_ok()
            && let Ok(old) = replaced.await
        {
            self.has_outputs.store(has_outputs, Ordering::Relaxed);
            tokio::spawn(old.close(REPLACED_GRACE));
        }
    }

    fn show_length(&self) {
        let length = self.queue.max_capacity() - self.queue.capacity();
        self.metrics.queue_length.set(i64::try_from(length).unwrap_or(i64::MAX));
    }
}

impl Outputs {
    /// Those that can be used, and why others cannot.
    fn open(
        config: Option<&EventRecorderConfig>,
        options: &ClientOptions,
        metrics: &EventMetrics,
    ) -> (Self, Vec<OutputError>) {
        let (mut outputs, mut errors) = (Outputs::default(), Vec::new());
        let Some(config) = config else { return (outputs, errors) };
        for path in &config.files {
            match FileOutput::open(path) {
                Ok(file) => outputs.lines.push(LineOutput::File(file)),
                Err(source) => errors.push(OutputError::File { path: path.display().to_string(), source }),
            }
        }
        outputs.lines.extend((0..config.stdouts).map(|_| LineOutput::Stdout));
        for webhook in &config.webhooks {
            let drops = |name: &str| metrics.output_drops.with_label_values(&[name]);
            match WebhookOutput::start(webhook, options, drops) {
                Ok(webhook) => outputs.webhooks.push(webhook),
                Err(error) => errors.push(error.into()),
            }
        }
        errors.extend(config.kafkas.iter().map(|_| OutputError::Kafka));
        (outputs, errors)
    }

    async fn close(self, limit: Duration) {
        futures_util::future::join_all(self.webhooks.into_iter().map(|webhook| webhook.close(limit))).await;
    }
}

/// The one task that writes.
struct Writer {
    instance: String,
    metrics: EventMetrics,
    outputs: Outputs,
}

/// An event as JSON.
struct Line {
    kind: &'static str,
    text: bytes::Bytes,
}

impl Writer {
    async fn run(mut self, mut items: mpsc::Receiver<Item>) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while items.recv_many(&mut batch, BATCH_MAX).await > 0 {
            self.metrics.queue_length.set(i64::try_from(items.len()).unwrap_or(i64::MAX));
            let mut lines = Vec::new();
            for item in batch.drain(..) {
                match item {
                    Item::Event(event, at, position) => lines.extend(self.line(&event, at, position)),
                    Item::Outputs(outputs, done) => {
                        self.write(std::mem::take(&mut lines)).await;
                        // Whoever asked may be gone: then the old ones end here.
                        let _ = done.send(std::mem::replace(&mut self.outputs, outputs));
                    }
                }
            }
            self.write(lines).await;
        }
    }

    fn line(&self, event: &Event, at: Time, position: u32) -> Option<Line> {
        let kind = event.kind();
        match json::line(event, at, &self.instance, position) {
            Ok(text) => Some(Line { kind, text: text.into() }),
            Err(error) => {
                self.metrics.serialize_errors.with_label_values(&[kind]).inc();
                tracing::error!(component = "eventrecorder", event_type = kind, err = %error, "an event cannot be written as JSON");
                None
            }
        }
    }

    async fn write(&mut self, lines: Vec<Line>) {
        if lines.is_empty() {
            return;
        }
        for webhook in &self.outputs.webhooks {
            for line in &lines {
                webhook.send(line.text.clone());
                self.metrics.count(line, webhook.name(), true, line.text.len());
            }
        }
        if self.outputs.lines.is_empty() {
            return;
        }
        // Disks block.
        let (mut outputs, metrics) = (std::mem::take(&mut self.outputs.lines), self.metrics.clone());
        let written = tokio::task::spawn_blocking(move || {
            outputs.iter_mut().for_each(|output| write_lines(output, &lines, &metrics));
            outputs
        });
        // An error: the program ends.
        self.outputs.lines = written.await.unwrap_or_default();
    }
}

fn write_lines(output: &mut LineOutput, lines: &[Line], metrics: &EventMetrics) {
    let mut text = Vec::with_capacity(lines.iter().map(|line| line.text.len() + 1).sum());
    for line in lines {
        text.extend_from_slice(&line.text);
        text.push(b'\n');
    }
    let written = output.write(&text);
    let name = output.name();
    for line in lines {
        metrics.count(line, &name, written.is_ok(), line.text.len() + 1);
    }
    if let Err(error) = written {
        tracing::error!(component = "eventrecorder", output = name, err = %error, "events cannot be written");
    }
}

impl EventMetrics {
    fn count(&self, line: &Line, output: &str, is_written: bool, bytes: usize) {
        let result = if is_written { "success" } else { "error" };
        self.recorded.with_label_values(&[line.kind, output, result]).inc();
        if is_written {
            self.bytes.with_label_values(&[line.kind, output]).inc_by(bytes as u64);
        }
    }
}
