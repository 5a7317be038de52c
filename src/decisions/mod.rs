//! The decision log: a bounded record of what the pipeline decided and why, so that "why was I (not) told?" has an
//! answer.
//!
//! In comes one [`Decision`] for each look of a group after which nothing was sent and for each attempt to send
//! ([`Decisions::record`], [`Decisions::note`]); both cost the pipeline a short lock and a write to memory. The same
//! decision again and again is counted, not written ([`Run`]). A task writes what has gathered to numbered
//! files in the storage path, bounded by size and age. Out goes a page of decisions that fit a [`Query`]: of this node,
//! or of all ([`Reader`]).
//!
//! Here nothing is known of groups, receivers, clusters or HTTP: names, label sets and moments only. Nothing depends on
//! the record, so it never stops anybody: a full queue, a full disk or a damaged file costs decisions and is counted.

mod files;
mod frame;
mod inquiry;
mod log;
mod merge;
mod model;
mod query;
mod quieted;
mod reader;
mod runs;
mod said;
mod texts;
mod wire;

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use chrono::TimeDelta;
use tokio::sync::{Notify, Semaphore};

use self::{
    files::Bounds,
    log::Log,
    query::Search,
    quieted::{Quieted, Silenced},
    runs::{RUN_MAX, Repeat, Runs},
    wire::Dictionary,
};
pub use self::{
    merge::{Cursor, NoCursor},
    model::{
        ALERTS_MAX, Alert, Attempt, Claim, Decision, Group, Logged, Muted, Outcome, Phase, Slot, Status, Totals,
        UnknownOutcome, Why,
    },
    query::{LIMIT_DEFAULT, LIMIT_MAX, Pattern, Query},
    quieted::{Known, Last, LastQuieted},
    reader::{Answered, AskPeers, NodeAnswer, Page, PeerAnswer, Questions, Reader, Subject},
    runs::{Run, Signature},
};
use crate::{
    clock::{Clock, Time, delta},
    metrics::Metrics,
    store::{Disk, WriterMode},
};

/// How long decisions gather before they are written …
const GATHER: Duration = Duration::from_secs(1);
/// … or until they have so many bytes.
const GATHERED_MAX: usize = 256 << 10;
/// Memory that is kept to write to: what comes in a burst.
const SPARE_MAX: usize = 1 << 20;
/// What may wait to be written. Beyond it decisions are dropped.
const WAITING_MAX: usize = 8 << 20;
/// A block takes no more from then on: damage costs one.
const BLOCK_BYTES: usize = 128 << 10;
/// Time between looks for what is too old.
const CLEAN_UP: Duration = Duration::from_secs(600);
/// Searches at once: each holds a file in memory.
const SEARCHES_MAX: usize = 2;
/// What one node says at once.
const ANSWER_BYTES_MAX: usize = 2 << 20;

/// Settings of the record.
#[derive(Clone, Copy, Debug)]
pub struct DecisionsConfig {
    /// `--decisions.max-size` in bytes; 0: off.
    pub bytes_max: u64,
    /// `--decisions.max-age`; zero: off.
    pub age_max: Duration,
}

/// The handle of the pipeline. Clones are the same record.
#[derive(Clone)]
pub struct Decisions(Option<Arc<Inner>>);

struct Inner {
    clock: Clock,
    metrics: Arc<Metrics>,
    node: Arc<str>,
    mode: WriterMode,
    /// How far back decisions are shown.
    age_max: TimeDelta,
    queue: Mutex<Queue>,
    runs: Mutex<Runs>,
    /// Locked after `runs`, where both are.
    quieted: Mutex<Quieted>,
    log: Mutex<Log>,
    pace: Arc<Pace>,
    searches: Semaphore,
}

/// What wakes the writer.
#[derive(Debug, Default)]
struct Pace {
    /// Something is to be written.
    came: Notify,
    /// It is much.
    hurry: Notify,
}

/// What waits to be written, as it goes to the disk. Decisions are written here while all that they speak of is at hand:
/// keeping them for later would cost more than writing them down.
#[derive(Debug, Default)]
struct Queue {
    blocks: Vec<u8>,
    /// To write to next.
    spare: Vec<u8>,
    /// Where the head of the block is that is not whole yet.
    open: Option<usize>,
    dictionary: Dictionary,
    /// These blocks begin a new file.
    begins_file: bool,
    /// Of the first decision in them.
    began: Option<Time>,
    /// Of the newest decision.
    id: u64,
    newest: Option<Time>,
    cleaned_up: Option<Time>,
}

impl Queue {
    /// The block to write to, begun if there is none.
    fn block(&mut self, node: &str) -> (&mut Vec<u8>, &mut Dictionary) {
        if self.open.is_some_and(|head| self.blocks.len() - head > BLOCK_BYTES) {
            self.close_block();
        }
        if self.open.is_none() {
            self.open = Some(frame::begin(&mut self.blocks));
            self.dictionary.begin(&mut self.blocks, node);
        }
        (&mut self.blocks, &mut self.dictionary)
    }

    fn close_block(&mut self) {
        if let Some(head) = self.open.take() {
            frame::end(&mut self.blocks, head);
        }
    }
}

impl fmt::Debug for Decisions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Decisions" } else { "Decisions(off)" })
    }
}

/// A lock whose holders do not panic half-way: each step leaves valid data.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Decisions {
    /// Nothing is recorded.
    #[must_use]
    pub fn off() -> Self {
        Decisions(None)
    }

    /// Goes on with the record on this disk. Must be called inside a tokio runtime. With [`WriterMode::Task`]
    /// everything is written at once and by whoever records: for simulations.
    #[must_use]
    pub fn open(
        config: DecisionsConfig,
        node: &str,
        disk: &Arc<dyn Disk>,
        clock: &Clock,
        metrics: &Arc<Metrics>,
        mode: WriterMode,
    ) -> Self {
        let age_max = delta(config.age_max);
        if config.bytes_max == 0 || age_max.is_zero() {
            return Decisions::off();
        }
        let bounds = Bounds { bytes: config.bytes_max, age: age_max };
        let node: Arc<str> = node.into();
        let mut log = Log::open(Arc::clone(disk), Arc::clone(metrics), bounds);
        log.expire(clock.now());
        let (id, newest) = log.newest().map_or((0, None), |(id, at)| (id, Some(at)));
        let inner = Arc::new(Inner {
            clock: clock.clone(),
            metrics: Arc::clone(metrics),
            node,
            mode,
            age_max,
            queue: Mutex::new(Queue { id, newest, ..Queue::default() }),
            runs: Mutex::default(),
            quieted: Mutex::new(Quieted::since(clock.now())),
            log: Mutex::new(log),
            pace: Arc::default(),
            searches: Semaphore::new(SEARCHES_MAX),
        });
        match mode {
            WriterMode::Task => inner.recall(),
            WriterMode::Thread => {
                tokio::spawn(write_in_batches(Arc::downgrade(&inner), Arc::clone(&inner.pace)));
                tokio::spawn(Arc::clone(&inner).off_the_runtime(Inner::recall));
            }
        }
        Decisions(Some(inner))
    }

    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The node's own name; `None` when switched off.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        self.0.as_deref().map(|inner| &*inner.node)
    }

    /// A decision that is worth a line each time. `make` is not called when the record is off.
    pub fn record(&self, run: &mut Run, make: impl FnOnce() -> Box<Decision>) {
        if let Some(inner) = &self.0 {
            run.end();
            inner.push(make());
        }
    }

    /// A decision that may be the one of before: then it is counted and `make` is not called.
    #[inline]
    pub fn note(&self, run: &mut Run, signature: Signature, now: Time, make: impl FnOnce() -> Box<Decision>) {
        let Some(inner) = self.0.as_ref().filter(|_| !run.repeats(signature, now)) else { return };
        run.end();
        if lock(&inner.runs).is_full() {
            inner.metrics.limit_reached_total.with_label_values(&["decision_runs"]).inc();
        } else if let Some((id, silenced)) = inner.push(make()) {
            lock(&inner.runs).begin(run, signature, id, silenced, now);
        }
    }

    /// Writes what has gathered, counts of what goes on included. To be called at the end.
    pub async fn close(&self) {
        let Some(inner) = self.0.clone() else { return };
        let rest = lock(&inner.runs).note_all(inner.clock.now());
        inner.push_repeats(&rest);
        inner.off_the_runtime(|inner| inner.write()).await;
    }

    /// What is known here of these silences, in their order; `None`: this node keeps no record.
    fn quieted(&self, ids: &[Arc<str>]) -> Option<Known> {
        let inner = self.0.as_ref()?;
        let runs = lock(&inner.runs);
        let mut quieted = lock(&inner.quieted);
        runs.tell_silenced(&mut quieted);
        Some(quieted.known(ids))
    }

    /// What this node holds that fits.
    async fn search(&self, query: Query, below: Option<u64>) -> Option<Findings> {
        let inner = self.0.clone()?;
        // It is never closed.
        let _place = inner.searches.acquire().await.ok()?;
        Some(inner.clone().off_the_runtime(move |inner| inner.find(&query, below)).await)
    }
}

/// What a search found.
#[derive(Debug, Default)]
struct Findings {
    decisions: Vec<Decision>,
    more: bool,
    oldest: Option<Time>,
    newest: Option<Time>,
}

impl Inner {
    /// Returns its number, and what silences kept quiet; `None`: there is no room.
    fn push(&self, mut decision: Box<Decision>) -> Option<(u64, Vec<Silenced>)> {
        let now = self.clock.now();
        (decision.at, decision.last) = (now, now);
        let mut queue = lock(&self.queue);
        if queue.blocks.len() > WAITING_MAX {
            drop(queue);
            self.metrics.limit_reached_total.with_label_values(&["decisions"]).inc();
            return None;
        }
        queue.id += 1;
        queue.newest = Some(now);
        queue.began.get_or_insert(now);
        let id = queue.id;
        decision.id = id;
        let (block, dictionary) = queue.block(&self.node);
        dictionary.write_decision(block, &decision);
        let bytes = queue.blocks.len();
        drop(queue);
        self.metrics.decisions_recorded_total.inc();
        self.after_push(bytes);
        let silenced = quieted::silenced_in(&decision);
        if !silenced.is_empty() {
            lock(&self.quieted).note(&silenced, now);
        }
        Some((id, silenced))
    }

    /// What silences kept quiet before the program started, from the files, newest first.
    fn recall(&self) {
        let files = lock(&self.log).files();
        let mut repeats = HashMap::new();
        let mut since = None;
        for file in files {
            // The lock is taken for each file anew, as in a search.
            let Some(book) = lock(&self.log).read(&file) else { continue };
            lock(&self.quieted).read(&book, &mut repeats);
            since = Some(file.began());
        }
        lock(&self.quieted).reaches_back(since);
    }

    fn push_repeats(&self, repeats: &[Repeat]) {
        if repeats.is_empty() {
            return;
        }
        let mut queue = lock(&self.queue);
        for repeat in repeats {
            Dictionary::write_repeat(queue.block(&self.node).0, *repeat);
        }
        let bytes = queue.blocks.len();
        drop(queue);
        self.after_push(bytes);
    }

    fn after_push(&self, bytes: usize) {
        if self.mode == WriterMode::Task {
            self.write();
            return;
        }
        self.pace.came.notify_one();
        if bytes > GATHERED_MAX {
            self.pace.hurry.notify_one();
        }
    }

    /// Writes what has gathered.
    fn write(&self) {
        let now = self.clock.now();
        if self.wants_clean_up(now) {
            let repeats = {
                let mut runs = lock(&self.runs);
                let mut quieted = lock(&self.quieted);
                quieted.forget_before(now - self.age_max);
                runs.sweep(now, &mut quieted)
            };
            let mut queue = lock(&self.queue);
            for repeat in repeats {
                Dictionary::write_repeat(queue.block(&self.node).0, repeat);
            }
            drop(queue);
            lock(&self.log).expire(now);
        }
        // Taken first, so that blocks are written in their order.
        let mut log = lock(&self.log);
        let (blocks, begins) = self.take(&log, now);
        if blocks.is_empty() {
            return;
        }
        if !log.append(&blocks, begins, now) {
            // What was said in them has to be said again, in a file that does not end with a torn block.
            let mut queue = lock(&self.queue);
            queue.dictionary.clear();
            queue.begins_file = true;
        }
        self.keep_for_later(blocks);
    }

    /// While much is written, the memory is used again; when it is little, the memory is given back.
    fn keep_for_later(&self, mut blocks: Vec<u8>) {
        if blocks.len() > GATHERED_MAX / 8 {
            blocks.clear();
            blocks.shrink_to(SPARE_MAX);
            lock(&self.queue).spare = blocks;
        }
    }

    /// What is to be written, and when the file begins that it is the beginning of.
    fn take(&self, log: &Log, now: Time) -> (Vec<u8>, Option<Time>) {
        let mut queue = lock(&self.queue);
        queue.close_block();
        let spare = std::mem::take(&mut queue.spare);
        let blocks = std::mem::replace(&mut queue.blocks, spare);
        let began = queue.began.take().unwrap_or(now);
        if blocks.is_empty() {
            return (blocks, None);
        }
        let begins = queue.begins_file.then_some(began);
        queue.begins_file = begins.is_none() && log.is_full_with(blocks.len(), now);
        if queue.begins_file {
            queue.dictionary.clear();
        }
        (blocks, begins)
    }

    fn wants_clean_up(&self, now: Time) -> bool {
        let mut queue = lock(&self.queue);
        let wants = queue.cleaned_up.is_none_or(|at| now - at >= delta(CLEAN_UP) || now < at);
        if wants {
            queue.cleaned_up = Some(now);
        }
        wants
    }

    fn find(&self, query: &Query, below: Option<u64>) -> Findings {
        self.write();
        let mut query = query.clone();
        let shown_from = self.clock.now() - self.age_max;
        query.since = Some(query.since.map_or(shown_from, |since| since.max(shown_from)));
        let since = query.since.unwrap_or(shown_from);
        let open: Vec<Repeat> = lock(&self.runs).all().collect();
        let mut search = Search::new(&query, below.unwrap_or(u64::MAX), ANSWER_BYTES_MAX, open.into_iter());
        let (files, oldest) = {
            let log = lock(&self.log);
            (log.files(), log.oldest())
        };
        // What is in a file ended before the next newer one began; what is wanted may have begun a whole run earlier.
        let mut ended: Option<Time> = None;
        for file in files {
            if search.is_over() || ended.is_some_and(|ended| ended + RUN_MAX < since) {
                break;
            }
            ended = Some(file.began());
            // The lock is taken for each file anew: nobody waits for a long search.
            let book = lock(&self.log).read(&file);
            if let Some(mut book) = book {
                search.look_through(&mut book);
            }
        }
        let Search { found, more, .. } = search;
        Findings { decisions: found, more, oldest, newest: lock(&self.queue).newest }
    }

    /// Disks block.
    async fn off_the_runtime<T: Send + Default + 'static>(
        self: Arc<Self>,
        work: impl FnOnce(&Inner) -> T + Send + 'static,
    ) -> T {
        match self.mode {
            WriterMode::Task => work(&self),
            // An error: the program ends.
            WriterMode::Thread => tokio::task::spawn_blocking(move || work(&self)).await.unwrap_or_default(),
        }
    }
}

/// Ends with the last handle.
async fn write_in_batches(inner: Weak<Inner>, pace: Arc<Pace>) {
    loop {
        // Even if nothing comes, what is too old has to go.
        let _ = tokio::time::timeout(CLEAN_UP, pace.came.notified()).await;
        let _ = tokio::time::timeout(GATHER, pace.hurry.notified()).await;
        let Some(inner) = inner.upgrade() else { return };
        inner.off_the_runtime(Inner::write).await;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.pace.came.notify_one();
        self.pace.hurry.notify_one();
    }
}
