//! One attempt after the other to tell one integration what a group owes it.
//!
//! An attempt is a task of its own, begun only within the limits of `notify::lanes`. It takes the newest
//! content, decides, asks, sends, and writes down what was told; then the bookkeeping says whether it is
//! finished or comes again. Between attempts a delivery is no task, just an entry in the queue.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::time::{Instant, timeout};

use super::{
    Engine,
    chronicle::{Course, Story},
    content::{Batch, Content},
    core::{Core, Event, Stage},
    group::Group,
    plan::{Ready, RouteInfo},
    traced,
};
use crate::{
    nflog::{LogEntry, LogKey, Tell},
    notify::{
        FailureReason, NotifyError, Progress, Receipt,
        decide::{Decision, Situation, decide},
        peer::{End, Failing, Question},
        retry::{self, Episode, Failures},
    },
    otlp::{self, Span},
};

/// Rounds of asking in one attempt; whoever has asked in vain so often makes a pause.
const ASKED_MAX: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// An attempt that may start.
pub(super) struct Attempt {
    group: Arc<Group>,
    route: Arc<RouteInfo>,
    ready: Arc<Ready>,
    key: LogKey,
    /// Taken this instant; an attempt that had to wait takes its content when it starts.
    content: Option<Content>,
    /// Open as long as this is under way.
    flush: Span,
}

/// How an attempt ended.
pub(super) enum Outcome {
    Told,
    /// Nothing was owed any more.
    Settled,
    /// Not before then.
    Wait(Instant),
    Failed {
        error: NotifyError,
        began: Instant,
        cut_off: bool,
    },
    /// The program ends.
    Abandoned,
}

impl Outcome {
    /// For the decision log.
    fn tell(&self, story: &mut Story) {
        match self {
            Outcome::Told => story.is_told(),
            Outcome::Settled => story.is_settled(),
            Outcome::Wait(until) => story.sleeps(*until),
            Outcome::Failed { error, .. } => story.fails(error),
            Outcome::Abandoned => story.is_stopped(),
        }
    }
}

impl Attempt {
    pub fn new(
        group: Arc<Group>,
        route: Arc<RouteInfo>,
        ready: Arc<Ready>,
        key: LogKey,
        content: Option<Content>,
    ) -> Self {
        Attempt { group, route, ready, key, content, flush: Span::default() }
    }

    /// Begun by this flush.
    pub fn within(self, flush: Span) -> Self {
        Attempt { flush, ..self }
    }
}

impl Engine {
    /// Asks for a place to run; `false`: it waits in its lane.
    pub(super) fn enter(&self, core: &mut Core, ready: &Ready, key: &LogKey) -> bool {
        if core.stopped {
            return false;
        }
        let entered = core.lanes.enter(&ready.lane, key.clone()).is_some();
        if entered {
            self.set_running(core, key);
        } else {
            self.metrics.notifications_in_flight_limit_reached_total.inc();
            if let Some(delivery) = core.deliveries.get_mut(key) {
                delivery.stage = Stage::Waiting;
            }
        }
        entered
    }

    fn set_running(&self, core: &mut Core, key: &LogKey) {
        if let Some(delivery) = core.deliveries.get_mut(key) {
            delivery.stage = Stage::Running;
        }
        self.metrics.notifications_in_flight.set(i64::try_from(core.lanes.running()).unwrap_or(i64::MAX));
    }

    /// The time of a sleeping delivery has come.
    pub(super) fn resume(self: &Arc<Self>, key: &LogKey, due: Instant) {
        let group = {
            let core = self.core();
            match core.deliveries.get(key) {
                Some(delivery) if delivery.stage == Stage::Asleep(due) => delivery.group.clone(),
                _ => return,
            }
        };
        let Some((route, ready)) = place_of(&group, key) else {
            // The route or the integration is gone: so is the debt.
            self.core().deliveries.remove(key);
            return;
        };
        let may_start = self.enter(&mut self.core(), &ready, key);
        if may_start {
            self.spawn(Attempt::new(group, route, ready, key.clone(), None));
        }
    }

    /// Starts those that wait, as far as the limits allow.
    fn start_waiting(self: &Arc<Self>) {
        loop {
            let (lane, key, group) = {
                let mut core = self.core();
                if core.stopped {
                    return;
                }
                let Some((lane, key)) = core.lanes.start_next() else { return };
                self.set_running(&mut core, &key);
                let group = core.deliveries.get(&key).map(|delivery| delivery.group.clone());
                (lane, key, group)
            };
            if let Some((group, (route, ready))) = group.and_then(|g| place_of(&g, &key).map(|place| (g, place))) {
                self.spawn(Attempt::new(group, route, ready, key, None));
            } else {
                // The route or the integration is gone: so is the debt.
                let mut core = self.core();
                core.deliveries.remove(&key);
                core.lanes.leave(&lane);
            }
        }
    }

    /// Whoever stood in the way of this delivery may have given way.
    pub(super) fn look_again(&self, key: &LogKey) {
        let mut core = self.core();
        let now = self.clock.monotonic();
        let sleeps = core.deliveries.get(key).is_some_and(|d| matches!(d.stage, Stage::Asleep(until) if until > now));
        if sleeps && !core.stopped {
            self.sleep(&mut core, key, now);
        }
    }

    pub(super) fn spawn(self: &Arc<Self>, attempt: Attempt) {
        let Some(runtime) = self.runtime.get() else { return };
        let engine = self.clone();
        runtime.spawn(async move {
            let Attempt { group, route, ready, key, content, flush } = attempt;
            let span = engine.attempt_span(&ready, &key);
            let mut abandoned = engine.abandon.subscribe();
            let mut story = Story::default();
            let work = span.enter(engine.attempt(&group, &route, &ready, &key, content, &mut story));
            let outcome = tokio::select! {
                outcome = AssertUnwindSafe(work).catch_unwind() => outcome.unwrap_or_else(|_| panicked(&engine)),
                _ = abandoned.wait_for(|abandon| *abandon) => Outcome::Abandoned,
            };
            outcome.trace(&span, &flush);
            engine.finish(&group, &route, &ready, &key, outcome, story);
            drop((span, flush));
            engine.start_waiting();
        });
    }

    async fn attempt(
        self: &Arc<Self>,
        group: &Arc<Group>,
        route: &Arc<RouteInfo>,
        ready: &Arc<Ready>,
        key: &LogKey,
        content: Option<Content>,
        story: &mut Story,
    ) -> Outcome {
        // What was taken before a wait is old.
        let content = if self.peer.settle().await { None } else { content };
        let Some(mut content) = content.or_else(|| self.fresh_content(group, ready, key)) else {
            return Outcome::Settled;
        };
        let (since, retry_at) = {
            let core = self.core();
            let Some(delivery) = core.deliveries.get(key) else { return Outcome::Settled };
            (delivery.since, delivery.failures.retry_at)
        };
        let (mut asked, mut rounds) = (false, 0);
        loop {
            let others = self.peer.others(key, content.tells(), retry_at.unwrap_or(since));
            let owed = content.reason.is_some();
            let now = self.clock.monotonic();
            match decide(&Situation { now, owed, tick: since, retry_at, others, asked }) {
                Decision::Skip => {
                    story.settles(&content);
                    return Outcome::Settled;
                }
                Decision::Wait(until) => {
                    story.waits(until, retry_at, &others);
                    return Outcome::Wait(until);
                }
                Decision::Send if self.peer.begin(key, content.tells()) => {
                    return self.send(route, ready, key, content, story).await;
                }
                // Somebody goes first after all; what stands in the way now tells for how long.
                Decision::Send if rounds < ASKED_MAX => {
                    self.peer.end(key, End::SteppedBack);
                    asked = false;
                }
                Decision::Send => {
                    story.steps_back();
                    return Outcome::Wait(now + PAUSE);
                }
                Decision::Ask => {
                    (asked, rounds) = (true, rounds + 1);
                    let asking = self.peer.ask(|| self.question(group, route, key, &content));
                    let answers = self.asking_span().enter(asking).await;
                    if !self.peer.is_alone() {
                        // Whatever came in meanwhile, by answers or otherwise, counts.
                        match self.content_now(group, ready, key, answers.hold) {
                            Some(newer) => content = newer,
                            None => return Outcome::Settled,
                        }
                    }
                }
            }
        }
    }

    fn question(&self, group: &Group, route: &RouteInfo, key: &LogKey, content: &Content) -> Question {
        Question {
            key: key.clone(),
            route: route.index.0 as usize,
            group: group.fingerprint,
            seen: content.seen.clone(),
            alerts: group.lock().marks(self.clock.now()),
            limit: self.attempt_limit(key),
        }
    }

    fn fresh_content(&self, group: &Arc<Group>, ready: &Ready, key: &LogKey) -> Option<Content> {
        self.content_now(group, ready, key, Duration::ZERO)
    }

    fn content_now(&self, group: &Arc<Group>, ready: &Ready, key: &LogKey, hold: Duration) -> Option<Content> {
        let batch = Batch::fresh(group, &self.silences, self.clock.now(), hold)?;
        Some(batch.content(ready, self.nflog.peek(key), &self.external_url))
    }

    /// How long the next attempt may take.
    fn attempt_limit(&self, key: &LogKey) -> Duration {
        let own = self.core().deliveries.get(key).map(|delivery| delivery.failures.attempt_limit);
        own.max(self.peer.limit(key)).unwrap_or_else(|| Failures::default().attempt_limit)
    }

    async fn send(
        &self,
        route: &RouteInfo,
        ready: &Ready,
        key: &LogKey,
        content: Content,
        story: &mut Story,
    ) -> Outcome {
        if !self.begin_attempt(route, ready, key) {
            return Outcome::Settled;
        }
        let limit = self.attempt_limit(key);
        if !content.notification.route_labels.is_empty() {
            self.show_route_labels(key, &content);
        }
        let (sent, began) = (self.clock.now(), self.clock.monotonic());
        story.sends(&content, sent, began);
        if content.unspoken {
            story.is_logged(&self.write_down(key, &content.tell(sent, sent, None, route)));
            return Outcome::Told;
        }
        ready.counters.requests.inc();
        let event = self.notification_event(route, ready, key, &content);
        let span = self.telling_span(ready, &content);
        let answer = timeout(limit, span.enter(ready.integration.notifier.notify(&content.notification))).await;
        traced::answered(span, &answer, limit);
        let took = self.clock.monotonic().saturating_duration_since(began);
        ready.counters.latency.observe(took.as_secs_f64());
        match answer {
            Ok(Ok(receipt)) => {
                story.is_logged(&self.note_success(route, ready, key, content, sent, receipt));
                if let Some(event) = event {
                    self.events.record(|| event);
                }
                Outcome::Told
            }
            Ok(Err(error)) => {
                ready.counters.requests_failed.inc();
                Outcome::Failed { error, began, cut_off: false }
            }
            Err(_) => {
                ready.counters.requests_failed.inc();
                Outcome::Failed { error: retry::cut_off(limit), began, cut_off: true }
            }
        }
    }

    /// Counts the attempt, and the notification if this is its first one. `false`: there is no such delivery.
    fn begin_attempt(&self, route: &RouteInfo, ready: &Ready, key: &LogKey) -> bool {
        let now = self.clock.monotonic();
        let mut core = self.core();
        let Some(delivery) = core.deliveries.get_mut(key) else { return false };
        if let Some(over) = delivery.episode.take_if(|episode| episode.is_over(now)) {
            give_up(ready, key, &over, "");
        }
        let episode = delivery.episode.get_or_insert_with(|| {
            ready.counters.notifications.inc();
            Episode::begin(now, route.route.group_interval)
        });
        episode.attempts += 1;
        true
    }

    fn show_route_labels(&self, key: &LogKey, content: &Content) {
        let group = self.core().deliveries.get(key).map(|delivery| delivery.group.clone());
        if let Some(group) = group {
            group.lock().route_labels = content.notification.route_labels.clone();
        }
    }

    fn note_success(
        &self,
        route: &RouteInfo,
        ready: &Ready,
        key: &LogKey,
        content: Content,
        sent: crate::clock::Time,
        receipt: Receipt,
    ) -> Arc<LogEntry> {
        let done = self.clock.now();
        let entry = self.write_down(key, &content.tell(sent, done, receipt.memory, route));
        let attempts = self.core().deliveries.get(key).and_then(|d| d.episode.as_ref().map(|e| e.attempts));
        let attempts = attempts.unwrap_or(1);
        if attempts > 1 {
            tracing::info!(
                component = "dispatcher",
                receiver = &*ready.lane.receiver,
                integration = ready.name(),
                aggrGroup = &*key.group_key,
                attempts,
                "notification delivered"
            );
        } else {
            tracing::debug!(
                component = "dispatcher",
                receiver = &*ready.lane.receiver,
                integration = ready.name(),
                aggrGroup = &*key.group_key,
                attempts,
                "notification delivered"
            );
        }
        entry
    }

    fn write_down(&self, key: &LogKey, tell: &Tell) -> Arc<LogEntry> {
        // Visible at once. Nothing waits for the disk: a crash before it is written may tell twice, waiting could
        // tell twice as well.
        let _span = otlp::child("notify.SetNotifiesStage.Exec");
        let (entry, durable) = self.nflog.record(key, tell);
        drop(durable);
        entry
    }

    /// The bookkeeping after an attempt.
    fn finish(
        self: &Arc<Self>,
        group: &Arc<Group>,
        route: &RouteInfo,
        ready: &Arc<Ready>,
        key: &LogKey,
        outcome: Outcome,
        mut story: Story,
    ) {
        let told = matches!(outcome, Outcome::Told);
        outcome.tell(&mut story);
        let mut course = Course::default();
        {
            let mut core = self.core();
            core.lanes.leave(&ready.lane);
            if let Some(delivery) = core.deliveries.get(key) {
                (course.failures, course.since) = (delivery.failures.count(), Some(delivery.since));
            }
            match outcome {
                Outcome::Told | Outcome::Settled => {
                    core.deliveries.remove(key);
                    self.peer.end(key, if told { End::Told } else { End::NotOwed });
                }
                Outcome::Wait(until) => {
                    self.peer.end(key, End::SteppedBack);
                    self.sleep(&mut core, key, until);
                }
                Outcome::Failed { error, began, cut_off } => {
                    let failing = self.after_failure(&mut core, route, ready, key, error, began, cut_off);
                    course.failing = failing;
                    self.peer.end(key, failing.map_or(End::NotOwed, End::Failed));
                }
                Outcome::Abandoned => {
                    core.deliveries.remove(key);
                    self.peer.end(key, End::Failed(self.handed_over(key)));
                    tracing::warn!(
                        component = "dispatcher",
                        receiver = &*ready.lane.receiver,
                        integration = ready.name(),
                        aggrGroup = &*key.group_key,
                        route = &*route.route.id,
                        "a notification was abandoned because the program ends; it will be sent again"
                    );
                }
            }
            self.metrics.notifications_in_flight.set(i64::try_from(core.lanes.running()).unwrap_or(i64::MAX));
            if core.lanes.running() == 0 {
                self.idle.notify_waiters();
            }
        }
        self.chronicle_attempt(group, route, ready, key, story, course);
        if told {
            let mut state = group.lock();
            if !state.gone {
                let now = self.clock.now();
                self.let_go(group, &mut state, now);
            }
        }
    }

    /// The others may take over at once.
    fn handed_over(&self, key: &LogKey) -> Failing {
        let tells = self.nflog.peek(key).map_or(0, |entry| entry.tells);
        Failing { retry_at: self.clock.monotonic(), hand_over: true, limit: Failures::default().attempt_limit, tells }
    }

    /// Returns what the others need to know.
    #[allow(clippy::too_many_arguments, reason = "the failure and all it concerns")]
    fn after_failure(
        &self,
        core: &mut Core,
        route: &RouteInfo,
        ready: &Ready,
        key: &LogKey,
        error: NotifyError,
        began: Instant,
        cut_off: bool,
    ) -> Option<Failing> {
        let now = self.clock.monotonic();
        let tells = self.nflog.peek(key).map_or(0, |entry| entry.tells);
        let delivery = core.deliveries.get_mut(key)?;
        if !error.retry {
            let mut episode = delivery.episode.take().unwrap_or_else(|| Episode::begin(now, Duration::ZERO));
            episode.last_error = Some(error);
            give_up(ready, key, &episode, " due to unrecoverable error");
            let limit = delivery.failures.attempt_limit;
            core.deliveries.remove(key);
            // Nobody else need try before this node does again.
            return Some(Failing { retry_at: now + route.route.group_interval, hand_over: false, limit, tells });
        }
        if cut_off {
            delivery.failures.double_limit();
        }
        let hand_over = cut_off || error.progress == Progress::NotSent;
        let news = delivery.failures.add(&error, began, now, self.random.unit_f64());
        let attempts = delivery.episode.as_ref().map_or(1, |episode| episode.attempts);
        if news {
            tracing::warn!(component = "dispatcher", receiver = &*ready.lane.receiver, integration = ready.name(),
                aggrGroup = &*key.group_key, attempts, err = %error, "a notification attempt failed and will be repeated");
        }
        if let Some(episode) = &mut delivery.episode {
            episode.last_error = Some(error);
        }
        let until = delivery.failures.retry_at.unwrap_or(now);
        let limit = delivery.failures.attempt_limit;
        self.sleep(core, key, until);
        Some(Failing { retry_at: until, hand_over, limit, tells })
    }

    fn sleep(&self, core: &mut Core, key: &LogKey, until: Instant) {
        if let Some(delivery) = core.deliveries.get_mut(key) {
            delivery.stage = Stage::Asleep(until);
            if core.queue.push(until, Event::Resume(Box::new(key.clone()))) {
                self.wake.notify_one();
            }
        }
    }
}

/// A notification has failed for good, or until its next episode.
fn give_up(ready: &Ready, key: &LogKey, episode: &Episode, why: &str) {
    let reason = episode.failure();
    ready.counters.count_failure(reason);
    let attempts = episode.attempts;
    let error = episode.last_error.as_ref().map_or("context deadline exceeded", |error| error.message.as_str());
    tracing::error!(
        component = "dispatcher",
        receiver = &*ready.lane.receiver,
        aggrGroup = &*key.group_key,
        reason = reason.as_str(),
        err = format!("{}: notify retry canceled{why} after {attempts} attempts: {error}", ready.name()),
        "a notification failed"
    );
}

fn panicked(engine: &Engine) -> Outcome {
    let error = NotifyError {
        message: "the integration broke down (a fault of the program)".to_owned(),
        retry: false,
        reason: FailureReason::Other,
        progress: Progress::Ambiguous,
        retry_after: None,
    };
    Outcome::Failed { error, began: engine.clock.monotonic(), cut_off: false }
}

/// The route of the group and the integration of this key, as configured now.
fn place_of(group: &Group, key: &LogKey) -> Option<(Arc<RouteInfo>, Arc<Ready>)> {
    let state = group.lock();
    if state.gone {
        return None;
    }
    let ready = state.route.integrations.iter().find(|ready| {
        *ready.lane.receiver == *key.receiver
            && *ready.lane.kind == *key.integration
            && u32::try_from(ready.lane.index) == Ok(key.index)
    })?;
    Some((state.route.clone(), ready.clone()))
}
