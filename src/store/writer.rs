//! The one writer: takes what has gathered, commits it, tells who waits, and tries again after a failure.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use super::{
    Changes, Disk, Durable, OpenError, Records, Source, Table, WriteError, WriterMode,
    engine::{Engine, EngineError, Sources},
    queue::{Batch, Queue, Waiter},
};
use crate::metrics::Metrics;

/// How long alerts gather before they are written.
const GATHER: Duration = Duration::from_millis(100);
/// Between attempts while the disk refuses: doubling, from the first to the second.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(5);

pub(super) struct Shared {
    state: Mutex<State>,
    /// Wakes the writer's thread.
    wake: Condvar,
    /// Something is to be done after a while.
    later: Notify,
    /// … or sooner.
    hurry: Notify,
    engine: Mutex<Engine>,
    sources: Mutex<Sources>,
    disk: Arc<dyn Disk>,
    metrics: Arc<Metrics>,
    mode: WriterMode,
}

#[derive(Default)]
struct State {
    queue: Queue,
    /// Alerts (or a retry) are due now.
    due: bool,
    /// Why the last commit failed.
    degraded: Option<Arc<str>>,
    failures: u32,
    /// The last batch held urgent changes only.
    urgent_last: bool,
    stopped: bool,
}

impl State {
    fn is_ready(&self) -> bool {
        (self.queue.has_urgent() && self.degraded.is_none()) || (self.due && !self.queue.is_empty())
    }

    /// Urgent changes go alone, for the journal; but in turn with the alerts, so that neither waits for ever.
    fn take(&mut self) -> Batch {
        let later = self.due && (self.urgent_last || !self.queue.has_urgent() || self.degraded.is_some());
        self.urgent_last = !later;
        let batch = self.queue.take(later);
        self.due = self.due && self.queue.has_later();
        batch
    }

    /// How long what waits may wait.
    fn delay(&self) -> Duration {
        match self.failures {
            0 => GATHER,
            failures => RETRY_MIN.saturating_mul(1 << (failures - 1).min(8)).min(RETRY_MAX),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every critical section leaves its data whole: no step in it can panic half-way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub fn start(disk: Arc<dyn Disk>, metrics: Arc<Metrics>, mode: WriterMode) -> Result<Arc<Self>, OpenError> {
        let (engine, refusal) = Engine::open(Arc::clone(&disk))?;
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            wake: Condvar::new(),
            later: Notify::new(),
            hurry: Notify::new(),
            engine: Mutex::new(engine),
            sources: Mutex::default(),
            disk,
            metrics,
            mode,
        });
        if let Some(reason) = refusal {
            shared.degrade(&mut locked(&shared.state), &reason);
        }
        shared.spawn()?;
        Ok(shared)
    }

    fn spawn(self: &Arc<Self>) -> Result<(), OpenError> {
        tokio::spawn(Arc::clone(self).keep_time());
        if self.mode == WriterMode::Thread {
            let shared = Arc::clone(self);
            let spawned = std::thread::Builder::new().name("store".to_owned()).spawn(move || shared.run());
            spawned.map_err(|error| OpenError::Unusable {
                path: self.disk.path_of(super::DATABASE),
                reason: format!("no thread for the writer: {error}"),
            })?;
        }
        Ok(())
    }

    /// The writer's thread.
    fn run(&self) {
        loop {
            let mut state = locked(&self.state);
            while !state.is_ready() {
                if state.stopped {
                    return;
                }
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let batch = state.take();
            drop(state);
            self.commit(batch);
        }
    }

    /// The task that knows time: makes alerts and retries due, and in task mode does the writer's work.
    async fn keep_time(self: Arc<Self>) {
        loop {
            self.later.notified().await;
            let delay = locked(&self.state).delay();
            tokio::select! {
                biased;
                () = self.hurry.notified() => {}
                () = tokio::time::sleep(delay) => {}
            }
            let mut state = locked(&self.state);
            state.due = true;
            if state.stopped {
                return;
            }
            drop(state);
            self.work();
        }
    }

    /// Wakes the thread, or writes everything that is ready here and now.
    fn work(&self) {
        if self.mode == WriterMode::Thread {
            self.wake.notify_one();
            return;
        }
        loop {
            let mut state = locked(&self.state);
            if !state.is_ready() {
                return;
            }
            let batch = state.take();
            drop(state);
            self.commit(batch);
        }
    }

    fn commit(&self, mut batch: Batch) {
        let waiters = std::mem::take(&mut batch.waiters);
        let result = if batch.changes.is_empty() && batch.stale.is_empty() && !self.is_degraded() {
            Ok(()) // Everything was on disk already.
        } else {
            locked(&self.engine).commit(&mut batch, &locked(&self.sources))
        };
        match result {
            Ok(()) => {
                self.note_success();
                tell(waiters, &Ok(()));
            }
            Err(error) => self.fail(&error, batch, waiters),
        }
    }

    fn note_success(&self) {
        self.metrics.store_commits_total.inc();
        let mut state = locked(&self.state);
        self.note_length(&state);
        state.failures = 0;
        if state.degraded.take().is_some() {
            self.metrics.store_degraded.set(0);
            tracing::info!("the durable store can be written again; everything is on disk");
        }
    }

    fn fail(&self, error: &EngineError, batch: Batch, mut waiters: Vec<Waiter>) {
        self.metrics.store_write_errors_total.inc();
        let reason = error.to_string();
        let mut state = locked(&self.state);
        state.queue.put_back(batch);
        waiters.append(&mut state.queue.take_waiters());
        self.note_length(&state);
        self.degrade(&mut state, &reason);
        drop(state);
        let answer =
            if matches!(error, EngineError::Closed) { WriteError::Closed } else { WriteError::Disk(reason.into()) };
        tell(waiters, &Err(answer));
    }

    fn degrade(&self, state: &mut State, reason: &str) {
        state.due = false;
        state.failures = state.failures.saturating_add(1);
        if state.degraded.is_none() {
            let file = self.disk.path_of(super::DATABASE);
            tracing::error!(
                file,
                error = reason,
                "the durable store cannot be written; notifications go on, changes are kept in memory and written when it works again"
            );
        }
        state.degraded = Some(reason.into());
        self.metrics.store_degraded.set(1);
        self.later.notify_one();
    }

    fn note_length(&self, state: &State) {
        self.metrics.store_queue_length.set(i64::try_from(state.queue.len()).unwrap_or(i64::MAX));
    }

    pub fn write(&self, table: Table, changes: Changes) -> Durable {
        let mut state = locked(&self.state);
        if let Err(error) = self.enqueue(&mut state, table, changes) {
            return Durable::settled(Err(error));
        }
        if let Some(reason) = &state.degraded {
            return Durable::settled(Err(WriteError::Disk(Arc::clone(reason))));
        }
        let (waiter, durable) = Durable::pending();
        if table.is_urgent() {
            state.queue.wait(waiter);
        } else {
            state.queue.wait_for_all(waiter);
        }
        drop(state);
        self.announce(table);
        durable
    }

    pub fn write_unwatched(&self, table: Table, changes: Changes) {
        let mut state = locked(&self.state);
        if self.enqueue(&mut state, table, changes).is_ok() && state.degraded.is_none() {
            drop(state);
            self.announce(table);
        }
    }

    fn enqueue(&self, state: &mut State, table: Table, changes: Changes) -> Result<(), WriteError> {
        if state.stopped {
            return Err(WriteError::Closed);
        }
        let refused = state.queue.put(table, changes);
        self.note_length(state);
        if refused > 0 {
            self.metrics.store_queue_full_total.inc_by(refused as u64);
            return Err(WriteError::QueueFull);
        }
        Ok(())
    }

    fn announce(&self, table: Table) {
        match (table.is_urgent(), self.mode) {
            (true, WriterMode::Thread) => self.wake.notify_one(),
            (true, WriterMode::Task) => {
                self.hurry.notify_one();
                self.later.notify_one();
            }
            (false, _) => self.later.notify_one(),
        }
    }

    pub fn flush(&self) -> Durable {
        let (waiter, durable) = Durable::pending();
        let mut state = locked(&self.state);
        if state.stopped {
            return Durable::settled(Err(WriteError::Closed));
        }
        state.queue.wait_for_all(waiter);
        state.due = true;
        drop(state);
        match self.mode {
            WriterMode::Thread => self.wake.notify_one(),
            WriterMode::Task => {
                self.hurry.notify_one();
                self.later.notify_one();
            }
        }
        durable
    }

    pub fn load(&self, table: Table) -> Result<Records, OpenError> {
        locked(&self.engine).load(table)
    }

    pub fn set_source(&self, table: Table, source: Source) {
        locked(&self.sources).insert(table, source);
    }

    pub fn is_degraded(&self) -> bool {
        locked(&self.state).degraded.is_some()
    }

    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Ends the writer without writing what is queued; who waits is told so.
    pub fn stop(&self) {
        let mut state = locked(&self.state);
        state.stopped = true;
        state.queue = Queue::default();
        drop(state);
        self.wake.notify_all();
        self.hurry.notify_one();
        self.later.notify_one();
    }

    /// Stops and closes the file.
    pub fn close(&self) {
        self.stop();
        locked(&self.engine).close();
        locked(&self.sources).clear();
    }
}

fn tell(waiters: Vec<Waiter>, result: &Result<(), WriteError>) {
    for waiter in waiters {
        // Who does not wait any more does not need to know.
        let _ = waiter.send(result.clone());
    }
}
