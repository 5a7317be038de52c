//! A group comes round: it looks at what it owes, hands that over, and lets go of what is settled.

use std::sync::Arc;

use chrono::TimeDelta;
use tokio::time::Instant;

use super::{
    Engine,
    content::{self, Batch},
    core::{Delivery, Event, Stage},
    deliver::Attempt,
    group::{Group, GroupState, Rhythm},
    members::Member,
    plan::Ready,
    rhythm,
};
use crate::{
    alert::Alert,
    clock::Time,
    nflog::{LogEntry, LogKey},
    notify::{
        mute::Suppressed,
        owed::{self, Fact},
        retry::Failures,
    },
    otlp::Span,
};

/// An end that could not be told for so long is given up: a receiver that never answers must not fill the memory.
const END_OWED_MAX: TimeDelta = TimeDelta::hours(120);

/// Timers are never early by so much.
const CLOCK_STEP: TimeDelta = TimeDelta::seconds(1);

/// An integration that may have to be told at this tick.
struct Debt {
    ready: Arc<Ready>,
    key: LogKey,
    seen: Option<Arc<LogEntry>>,
}

impl Engine {
    /// The queue brought up this group for the moment `due`.
    pub(super) fn tick(self: &Arc<Self>, group: &Arc<Group>, due: Instant) {
        let mut state = group.lock();
        if state.gone || state.wake != due {
            return;
        }
        let now = self.clock.now();
        let mut suppressed = Suppressed::default();
        let facts = content::survey(&mut state, &self.silences, now, &mut suppressed);
        suppressed.count(&self.metrics);
        state.looks += 1;
        self.record_mutes(&state, now);

        let log = self.log_of(group, &state, &facts);
        let Some(tick) = self.in_rhythm(group, &mut state, &log, now) else { return };
        let (debts, idle) = debts(&state, &facts, log, tick);
        let idle = idle.iter().map(|debt| (&debt.ready, debt.seen.as_deref()));
        self.chronicle_look(group, &mut state, (&facts, &suppressed, now, tick), idle);
        let flush = self.flush_span(group, facts.len(), now);
        let attempts = self.take_up(group, &state, debts, (now, tick), &flush);
        if facts.iter().any(|fact| fact.resolved) {
            self.let_go(group, &mut state, now);
        }
        self.schedule_next(group, &mut state, now);
        drop(state);
        for attempt in attempts {
            self.spawn(attempt);
        }
    }

    /// What each integration was told, if there is anything to tell.
    fn log_of(&self, group: &Group, state: &GroupState, facts: &[Fact]) -> Vec<Debt> {
        if facts.iter().all(|fact| fact.muted) {
            return Vec::new();
        }
        let look = |ready: &Arc<Ready>| {
            let key = ready.log_key(&group.key);
            Debt { ready: ready.clone(), seen: self.nflog.entry(&key), key }
        };
        state.route.integrations.iter().map(look).collect()
    }

    /// An open group ticks in the rhythm in which it was last told, by whichever node. Returns the tick of that rhythm
    /// that this one stands for; `None`: a group that is new here has to wait for one.
    fn in_rhythm(&self, group: &Arc<Group>, state: &mut GroupState, log: &[Debt], now: Time) -> Option<Time> {
        let is_new = state.rhythm == Rhythm::Unknown;
        state.has_looked = true;
        let newest = log.iter().filter_map(|debt| debt.seen.as_deref()).max_by_key(|entry| entry.due_at);
        let last = |told| rhythm::last_until(told, state.tick, state.route.route.group_interval);
        let moves = |entry: &&LogEntry| last(entry.due_at) != state.tick && owed::says_firing(entry);
        let Some(told) = newest.filter(moves).map(|entry| entry.due_at) else {
            if is_new {
                state.rhythm = Rhythm::Own;
            }
            return Some(state.tick);
        };
        let tick = last(told);
        (state.rhythm, state.anchor) = (Rhythm::Told, told);
        if is_new {
            self.schedule_next(group, state, now);
            return None;
        }
        Some(tick)
    }

    /// Begins to work on the debts that nobody works on yet. Returns the attempts that may start now.
    fn take_up(
        &self,
        group: &Arc<Group>,
        state: &GroupState,
        debts: Vec<Debt>,
        (now, tick): (Time, Time),
        flush: &Span,
    ) -> Vec<Attempt> {
        if debts.is_empty() {
            return Vec::new();
        }
        let mut batch: Option<Batch> = None;
        let mut attempts = Vec::new();
        for debt in debts {
            let may_start = {
                let mut core = self.core();
                if let Some(delivery) = core.deliveries.get_mut(&debt.key) {
                    // Whatever is under way goes on with the alerts of this group.
                    delivery.group = group.clone();
                    continue;
                }
                let delivery = Delivery {
                    group: group.clone(),
                    stage: Stage::Waiting,
                    since: self.clock.monotonic(),
                    failures: Failures::default(),
                    episode: None,
                    trace: flush.context().cloned(),
                };
                core.deliveries.insert(debt.key.clone(), delivery);
                self.enter(&mut core, &debt.ready, &debt.key)
            };
            if may_start {
                let batch = batch.get_or_insert_with(|| Batch::as_surveyed(group, state, now, tick));
                let content = batch.content(&debt.ready, debt.seen, &self.external_url);
                let attempt = Attempt::new(group.clone(), state.route.clone(), debt.ready, debt.key, Some(content));
                attempts.push(attempt.within(flush.clone()));
            }
        }
        attempts
    }

    /// Resolved alerts leave when they are owed to no integration; an empty group ends. While some integration is
    /// being told or tried all stay, since the batch goes out whole.
    pub(super) fn let_go(&self, group: &Arc<Group>, state: &mut GroupState, now: Time) {
        let over: Vec<bool> = state.members.iter().map(|member| member.entry.resolved_at(now)).collect();
        if over.iter().any(|over| *over) {
            let any_firing = over.iter().any(|over| !*over);
            let route = state.route.clone();
            let is_busy = self.is_busy(group, state);
            let judge =
                |ready: &Arc<Ready>| (content::terms(&route, ready), self.nflog.peek(&ready.log_key(&group.key)));
            let judges: Vec<_> = if is_busy { Vec::new() } else { route.integrations.iter().map(judge).collect() };
            let is_owed = |fact: &Fact| {
                judges.iter().any(|(terms, entry)| owed::keeps(entry.as_deref(), fact, *terms, any_firing))
            };
            state.members.retain(|member| {
                let fact = fact_of(member, &member.entry.lock(), now);
                let stays = !fact.resolved || ((is_busy || is_owed(&fact)) && !self.is_given_up(&fact, now));
                if !stays {
                    self.record_resolved(group, &route, &member.entry);
                }
                stays
            });
        }
        if state.members.is_empty() {
            self.end(group, state);
        }
    }

    fn is_given_up(&self, fact: &Fact, now: Time) -> bool {
        let given_up = fact.ends_at.is_some_and(|end| now - end > END_OWED_MAX);
        if given_up {
            self.metrics.limit_reached_total.with_label_values(&["untold_resolution_age"]).inc();
        }
        given_up
    }

    /// Whether some integration of the group is being told, or tried, at the moment.
    fn is_busy(&self, group: &Group, state: &GroupState) -> bool {
        let core = self.core();
        state.route.integrations.iter().any(|ready| core.deliveries.contains_key(&ready.log_key(&group.key)))
    }

    pub(super) fn end(&self, group: &Arc<Group>, state: &mut GroupState) {
        state.gone = true;
        let id = (state.route.index, group.fingerprint);
        let mut core = self.core();
        if core.groups.get(&id).is_some_and(|known| Arc::ptr_eq(known, group)) {
            core.groups.remove(&id);
        }
        self.count_groups(&core);
    }

    fn schedule_next(&self, group: &Arc<Group>, state: &mut GroupState, now: Time) {
        if state.gone {
            return;
        }
        // A tick far ahead is one of before the clock was set back.
        let after = if state.tick - now > CLOCK_STEP { now } else { now.max(state.tick) };
        let tick = rhythm::next_after(state.anchor, after, state.route.route.group_interval);
        self.schedule(group, state, tick);
    }

    /// Puts the group into the queue for `tick`, but not before groups may run at all.
    pub(super) fn schedule(&self, group: &Arc<Group>, state: &mut GroupState, tick: Time) {
        let mut wake = self.clock.instant_of(tick);
        state.tick = tick;
        if wake < self.start_at {
            wake = self.start_at;
            state.tick = tick.max(self.clock.now() + crate::clock::delta(wake - self.clock.monotonic()));
        }
        state.wake = wake;
        if self.core().queue.push(wake, Event::Tick(group.clone())) {
            self.wake.notify_one();
        }
    }
}

/// Those to whom something is owed, and the others.
fn debts(state: &GroupState, facts: &[Fact], log: Vec<Debt>, tick: Time) -> (Vec<Debt>, Vec<Debt>) {
    log.into_iter().partition(|debt| {
        let terms = content::terms(&state.route, &debt.ready);
        owed::due(debt.seen.as_deref(), facts, terms, tick).is_some()
    })
}

/// The facts of a member as its group's last look left them.
pub(super) fn fact_of(member: &Member, alert: &Alert, now: Time) -> Fact {
    let mut fact = Fact::of(alert, member.hash, now);
    fact.muted = member.muted;
    fact.history = member.history_in(fact.period);
    fact
}
