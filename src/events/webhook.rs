//! The webhook output: workers that POST each event, or several as a JSON array, and try again for a while.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use prometheus::IntCounter;
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    clock::Clock,
    config::model::{EventBatch, EventWebhookOutput},
    httpconf::{Client, ClientOptions, HttpConfigError, Request},
};

/// Events that wait for a worker; beyond it they are dropped.
const QUEUE_MAX: usize = 1024;
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// One webhook with its workers. They end when it is dropped.
pub struct WebhookOutput {
    name: String,
    drops: IntCounter,
    queue: mpsc::Sender<Bytes>,
    workers: JoinSet<()>,
}

/// What a worker needs.
struct Post {
    name: String,
    client: Client,
    url: String,
    timeout: Duration,
    attempts: usize,
    backoff: Duration,
}

type Work = Arc<Mutex<mpsc::Receiver<Bytes>>>;

impl WebhookOutput {
    pub fn start(
        config: &EventWebhookOutput,
        options: &ClientOptions,
        drops: impl FnOnce(&str) -> IntCounter,
    ) -> Result<Self, HttpConfigError> {
        let name = format!("webhook:{}", without_secrets(&config.url.0));
        let post = Arc::new(Post {
            name: name.clone(),
            client: Client::new(&config.http, "eventrecorder", options)?,
            url: config.url.0.to_string(),
            timeout: config.timeout,
            attempts: config.max_retries.max(1),
            backoff: config.retry_backoff,
        });
        let (queue, events) = mpsc::channel(QUEUE_MAX);
        let mut workers = JoinSet::new();
        let work = match config.batch {
            None => events,
            Some(batch) => {
                let (bodies, work) = mpsc::channel(config.workers.max(1));
                workers.spawn(gather(batch, events, bodies, options.clock.clone()));
                work
            }
        };
        let work: Work = Arc::new(Mutex::new(work));
        for _ in 0..config.workers.max(1) {
            workers.spawn(deliver(Arc::clone(&post), Arc::clone(&work)));
        }
        Ok(WebhookOutput { drops: drops(&name), name, queue, workers })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn send(&self, event: Bytes) {
        if self.queue.try_send(event).is_err() {
            self.drops.inc();
            tracing::warn!(
                component = "eventrecorder",
                output = self.name,
                "too many events wait for this output; one is dropped"
            );
        }
    }

    /// Gives what waits so much time.
    pub async fn close(self, limit: Duration) {
        let WebhookOutput { name, queue, mut workers, .. } = self;
        drop(queue);
        let rest = async { while workers.join_next().await.is_some() {} };
        if timeout(limit, rest).await.is_err() {
            tracing::warn!(
                component = "eventrecorder",
                output = name,
                "events that were not taken in time are dropped"
            );
        }
    }
}

async fn deliver(post: Arc<Post>, work: Work) {
    loop {
        let next = work.lock().await.recv().await;
        let Some(body) = next else { return };
        post.with_retries(body).await;
    }
}

impl Post {
    async fn with_retries(&self, body: Bytes) {
        let mut backoff = self.backoff;
        for attempt in 1..=self.attempts {
            let Err(error) = self.once(body.clone()).await else { return };
            tracing::warn!(
                component = "eventrecorder",
                output = self.name,
                attempt,
                err = error,
                "an event could not be posted"
            );
            if attempt < self.attempts {
                tokio::time::sleep(backoff.min(BACKOFF_MAX)).await;
                backoff = backoff.saturating_mul(2);
            }
        }
        tracing::error!(
            component = "eventrecorder",
            output = self.name,
            attempts = self.attempts,
            "an event is dropped because this output does not take it"
        );
    }

    async fn once(&self, body: Bytes) -> Result<(), String> {
        let request = Request { timeout: Some(self.timeout), ..Request::post_json(self.url.clone(), body) };
        let answer = self.client.send(request).await.map_err(|error| error.to_string())?;
        if (200..300).contains(&answer.status) { Ok(()) } else { Err(format!("HTTP status {}", answer.status)) }
    }
}

/// Makes arrays of what comes within a moment.
async fn gather(batch: EventBatch, mut events: mpsc::Receiver<Bytes>, bodies: mpsc::Sender<Bytes>, clock: Clock) {
    let mut array = Array::default();
    let mut due: Option<Instant> = None;
    loop {
        let next = match due {
            None => Ok(events.recv().await),
            Some(due) => timeout_at(due, events.recv()).await,
        };
        let is_over = matches!(next, Ok(None));
        let event = next.ok().flatten();
        let has_no_room = event.as_ref().is_some_and(|event| !array.has_room(event.len(), batch));
        if event.is_none() || has_no_room {
            due = None;
            // An error: the workers are gone, and so is this output.
            if let Some(body) = array.take()
                && bodies.send(body).await.is_err()
            {
                return;
            }
        }
        if let Some(event) = event {
            array.push(&event);
            due = due.or_else(|| Some(clock.monotonic() + batch.flush_interval));
            if array.is_full(batch) {
                due = Some(clock.monotonic());
            }
        }
        if is_over {
            return;
        }
    }
}

/// A JSON array that grows.
#[derive(Default)]
struct Array {
    text: Vec<u8>,
    events: usize,
}

impl Array {
    fn push(&mut self, event: &[u8]) {
        self.text.push(if self.events == 0 { b'[' } else { b',' });
        self.text.extend_from_slice(event);
        self.events += 1;
    }

    /// With the bracket at its end.
    fn len(&self) -> usize {
        self.text.len() + 1
    }

    fn has_room(&self, bytes: usize, batch: EventBatch) -> bool {
        self.events == 0 || (self.events < batch.max_events && self.len() + 1 + bytes <= batch.max_bytes)
    }

    fn is_full(&self, batch: EventBatch) -> bool {
        self.events >= batch.max_events || self.len() >= batch.max_bytes
    }

    fn take(&mut self) -> Option<Bytes> {
        let Array { mut text, events } = std::mem::take(self);
        text.push(b']');
        (events > 0).then(|| text.into())
    }
}

/// Scheme, host and path.
fn without_secrets(url: &str) -> String {
    let Ok(mut url) = url::Url::parse(url) else { return "<invalid>".to_owned() };
    // URLs without a host have neither.
    let _ = (url.set_username(""), url.set_password(None));
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_outputs_tell_no_secrets() {
        assert_eq!(without_secrets("https://u:p@host:1/path?token=x#y"), "https://host:1/path");
        assert_eq!(without_secrets("no url"), "<invalid>");
    }

    #[tokio::test(start_paused = true)]
    async fn events_of_a_moment_go_together_within_the_limits() {
        let batch = EventBatch { max_events: 3, max_bytes: 20, flush_interval: Duration::from_millis(100) };
        let (queue, events) = mpsc::channel(100);
        let (bodies, mut work) = mpsc::channel(100);
        tokio::spawn(gather(batch, events, bodies, Clock::system()));
        let send = async |texts: &[&'static str]| {
            for text in texts {
                queue.send(Bytes::from_static(text.as_bytes())).await.unwrap();
            }
        };
        send(&["1", "2", "3", "4"]).await;
        assert_eq!(work.recv().await.unwrap(), "[1,2,3]");
        assert_eq!(work.recv().await.unwrap(), "[4]");
        send(&["1234567890", "1234567890", "123456789012345678901234567890", "1"]).await;
        for want in ["[1234567890]", "[1234567890]", "[123456789012345678901234567890]", "[1]"] {
            assert_eq!(work.recv().await.unwrap(), want);
        }
        send(&["5"]).await;
        drop(queue);
        assert_eq!(work.recv().await.unwrap(), "[5]");
        assert_eq!(work.recv().await, None);
    }
}
