//! What the pipeline decided, in the words of the decision log: from a look of a group, and from the course of an
//! attempt. Looks at everything and changes nothing.

use std::{
    mem,
    sync::{Arc, PoisonError},
    time::Duration,
};

use chrono::TimeDelta;
use tokio::time::Instant;

use super::{
    Engine,
    content::Content,
    group::{Group, GroupState},
    plan::{Ready, RouteInfo},
    survey::last_writer,
};
use crate::{
    clock::{Time, delta},
    decisions::{
        ALERTS_MAX, Alert, Attempt, Claim, Decision, Group as Named, Logged, Muted, Outcome, Phase, Signature, Slot,
        Status, Totals, Why,
    },
    nflog::{AlertHash, LogEntry, LogKey, Writer},
    notify::{
        NotifyError, Reason,
        mute::{Mute, Stages, Suppressed, Suppression},
        owed::Fact,
        peer::{Failing, Others, claims},
    },
};

/// Attempts that fail with the same words are told one by one up to here, and counted from then on.
const FAILURES_TOLD: u32 = 10;

/// What another node told so shortly before the tick by its clock, it told at the tick.
const CLOCK_NOISE: TimeDelta = TimeDelta::seconds(1);

/// What an attempt comes to, as it goes.
#[derive(Default)]
pub(super) struct Story {
    why: Option<Reason>,
    /// What is in the notification, or is written down.
    told: Vec<AlertHash>,
    seen: Option<Arc<LogEntry>>,
    unspoken: bool,
    sent: Option<(Time, Instant)>,
    wait: Option<Why>,
    logged: Option<Logged>,
    end: Option<End>,
}

enum End {
    Told,
    Settled,
    Waits(Instant),
    Failed { message: String, kind: &'static str },
    Stopped,
}

/// How a failed attempt is followed up.
#[derive(Clone, Copy, Default)]
pub(super) struct Course {
    /// Attempts that failed before this one.
    pub failures: u32,
    pub since: Option<Instant>,
    pub failing: Option<Failing>,
}

impl Story {
    /// Nothing is owed any more.
    pub fn settles(&mut self, content: &Content) {
        self.seen.clone_from(&content.seen);
    }

    /// Not now: something stands in the way until then.
    pub fn waits(&mut self, until: Instant, retry_at: Option<Instant>, others: &Others) {
        self.wait = Some(if others.claim_until == Some(until) {
            Why::Claimed
        } else if retry_at == Some(until) {
            Why::BackOff
        } else {
            Why::OthersFirst
        });
    }

    /// Asked in vain.
    pub fn steps_back(&mut self) {
        self.wait = Some(Why::Claimed);
    }

    pub fn sends(&mut self, content: &Content, sent: Time, began: Instant) {
        self.why = content.reason;
        self.told = content.hashes().collect();
        self.told.sort_unstable();
        self.unspoken = content.unspoken;
        self.sent = Some((sent, began));
    }

    /// What the log says now.
    pub fn is_logged(&mut self, entry: &LogEntry) {
        self.logged = Some(Logged { tells: entry.tells, at: entry.told_at });
    }

    pub fn is_told(&mut self) {
        self.end = Some(End::Told);
    }

    pub fn is_settled(&mut self) {
        self.end = Some(End::Settled);
    }

    pub fn sleeps(&mut self, until: Instant) {
        self.end = Some(End::Waits(until));
    }

    pub fn fails(&mut self, error: &NotifyError) {
        self.end = Some(End::Failed { message: error.message.clone(), kind: error.reason.as_str() });
    }

    pub fn is_stopped(&mut self) {
        self.end = Some(End::Stopped);
    }
}

impl Engine {
    /// A group has looked: what mutes all of it, or those integrations to which nothing is owed.
    pub(super) fn chronicle_look<'r>(
        &self,
        group: &Group,
        state: &mut GroupState,
        look: (&[Fact], &Suppressed, Time, Time),
        idle: impl Iterator<Item = (&'r Arc<Ready>, Option<&'r LogEntry>)>,
    ) {
        let (facts, suppressed, now, tick) = look;
        if !self.decisions.is_on() || facts.is_empty() {
            return;
        }
        let signature = signature_of(facts, suppressed, state);
        let route = state.route.clone();
        if facts.iter().all(|fact| fact.muted) {
            let mut run = mem::take(state.run(None));
            self.decisions.note(&mut run, signature, now, || {
                let mut decision = decision(Outcome::Quiet, Why::Muted, group, &route, None);
                decision.tick = Some(tick);
                self.with_alerts(decision, state, now, &|_| false)
            });
            *state.run(None) = run;
            return;
        }
        for (ready, entry) in idle {
            let place = place_of(&route, ready);
            let mut run = mem::take(state.run(place));
            self.decisions.note(&mut run, signature, now, || {
                let mut decision = decision(Outcome::NotDue, Why::NothingNew, group, &route, Some(ready));
                let repeat_interval = delta(route.route.repeat_interval);
                decision.until = entry.and_then(|entry| entry.due_at.checked_add_signed(repeat_interval));
                decision.tick = Some(tick);
                self.with_alerts(decision, state, now, &|_| false)
            });
            *state.run(place) = run;
        }
    }

    /// An attempt is over, or comes again later.
    pub(super) fn chronicle_attempt(
        &self,
        group: &Group,
        route: &RouteInfo,
        ready: &Arc<Ready>,
        key: &LogKey,
        mut story: Story,
        course: Course,
    ) {
        let Some(end) = story.end.take().filter(|_| self.decisions.is_on()) else { return };
        let moment = Moment { now: self.clock.now(), instant: self.clock.monotonic() };
        let tick = course.since.map(|since| moment.time_of(since));
        let mut decision = match &end {
            End::Told | End::Stopped | End::Failed { .. } => {
                let (outcome, why) = outcome_of(&end, &story);
                decision(outcome, why, group, route, Some(ready))
            }
            End::Settled | End::Waits(_) => self.nothing_sent(group, route, ready, key, &story, &end, tick),
        };
        decision.tick = tick;
        match &end {
            End::Told => {
                decision.log = story.logged;
            }
            End::Waits(until) => decision.until = Some(moment.time_of(*until)),
            End::Failed { .. } => decision.until = course.failing.map(|failing| moment.time_of(failing.retry_at)),
            End::Settled | End::Stopped => {}
        }
        decision.attempt = story.sent.map(|(sent, began)| attempt(&end, sent, moment.since(began), course));
        let is_told = |hash: AlertHash| story.told.binary_search(&hash).is_ok();
        let mut state = group.lock();
        let mut run = mem::take(state.run(place_of(route, ready)));
        if let Some(signature) = repeatable(&end, &decision, &story, course) {
            let make = || self.with_alerts(decision, &state, moment.now, &is_told);
            self.decisions.note(&mut run, signature, moment.now, make);
        } else {
            self.decisions.record(&mut run, || self.with_alerts(decision, &state, moment.now, &is_told));
        }
        *state.run(place_of(route, ready)) = run;
    }

    /// What stood in the way of an attempt, or why it was not needed.
    #[allow(clippy::too_many_arguments, reason = "the attempt and all it concerns")]
    fn nothing_sent(
        &self,
        group: &Group,
        route: &RouteInfo,
        ready: &Arc<Ready>,
        key: &LogKey,
        story: &Story,
        end: &End,
        tick: Option<Time>,
    ) -> Box<Decision> {
        let (outcome, why, claim) = match end {
            End::Waits(_) => {
                let why = story.wait.unwrap_or(Why::Claimed);
                let claim = (why == Why::Claimed).then(|| self.holder(key)).flatten();
                (Outcome::Left, why, claim)
            }
            _ => match self.told_by_another(story.seen.as_deref(), tick) {
                Some(holder) => (Outcome::Left, Why::ToldElsewhere, Some(Claim { holder, phase: Phase::Told })),
                None => (Outcome::NotDue, Why::NoLongerOwed, None),
            },
        };
        let mut decision = decision(outcome, why, group, route, Some(ready));
        decision.claim = claim;
        if why == Why::OthersFirst {
            decision.order = self.peer.order(key, self.nflog.peek(key).map_or(0, |entry| entry.tells));
        }
        decision
    }

    fn with_alerts(
        &self,
        mut decision: Box<Decision>,
        state: &GroupState,
        now: Time,
        told: &dyn Fn(AlertHash) -> bool,
    ) -> Box<Decision> {
        let route = &state.route;
        let interval = route.intervals.muting(now);
        let stage = interval.as_ref().map(|(stage, _)| *stage);
        let stages = Stages { inhibitor: &route.inhibitor, silences: &self.silences, interval: stage, now };
        let names = interval.map(|(_, names)| names).unwrap_or_default();
        let mut last: Option<(Mute, Arc<Muted>)> = None;
        decision.alerts.reserve_exact(state.members.len().min(ALERTS_MAX));
        for member in state.members.iter() {
            let entry = &member.entry;
            let status = if entry.resolved_at(now) { Status::Resolved } else { Status::Firing };
            count(&mut decision.totals, status, member.muted);
            if decision.alerts.len() == ALERTS_MAX {
                continue;
            }
            let mute = if member.muted { stages.mute(entry.fingerprint(), entry.labels()) } else { None };
            let muted = mute.map(|mute| match &last {
                Some((same, muted)) if *same == mute => muted.clone(),
                _ => {
                    let muted = Arc::new(in_words(&mute, &names, route));
                    last = Some((mute, muted.clone()));
                    muted
                }
            });
            decision.alerts.push(Alert {
                fingerprint: entry.fingerprint(),
                labels: Some(entry.labels().clone()),
                status,
                told: told(member.hash),
                muted,
            });
        }
        decision
    }

    /// Whose claim stands.
    fn holder(&self, key: &LogKey) -> Option<Claim> {
        let tells = self.nflog.peek(key).map_or(0, |entry| entry.tells);
        let (holder, phase) = self.peer.holder(key, tells)?;
        let phase = match phase {
            claims::Phase::Sending => Phase::Sending,
            claims::Phase::Failing => Phase::Failing,
            claims::Phase::Asking | claims::Phase::None => Phase::Asking,
        };
        Some(Claim { holder, phase })
    }

    /// The other node that has told it since the tick.
    fn told_by_another(&self, entry: Option<&LogEntry>, tick: Option<Time>) -> Option<Arc<str>> {
        let entry = entry.filter(|entry| tick.is_some_and(|tick| entry.told_at >= tick - CLOCK_NOISE))?;
        let writer = last_writer(entry);
        let own = self.decisions.node().map(Writer::named);
        (own != Some(writer)).then(|| self.peer.name_of(writer).unwrap_or_else(|| "another node".into()))
    }
}

/// One moment by both clocks.
#[derive(Clone, Copy)]
struct Moment {
    now: Time,
    instant: Instant,
}

impl Moment {
    fn time_of(self, at: Instant) -> Time {
        if at >= self.instant {
            self.now + delta(at.saturating_duration_since(self.instant))
        } else {
            self.now - delta(self.since(at))
        }
    }

    fn since(self, at: Instant) -> Duration {
        self.instant.saturating_duration_since(at)
    }
}

fn outcome_of(end: &End, story: &Story) -> (Outcome, Why) {
    let due = story.why.map_or(Why::NothingNew, why);
    match end {
        End::Told if story.unspoken => (Outcome::Noted, due),
        End::Told => (Outcome::Told, due),
        End::Failed { .. } => (Outcome::Failed, due),
        _ => (Outcome::Stopped, Why::ProgramEnds),
    }
}

fn attempt(end: &End, sent: Time, took: Duration, course: Course) -> Attempt {
    let number = course.failures.saturating_add(1);
    let attempt = Attempt { number, sent, took, error: None, kind: None, handed_over: false };
    match end {
        End::Failed { message, kind } => Attempt {
            error: Some(message.clone()),
            kind: Some((*kind).into()),
            handed_over: course.failing.is_some_and(|failing| failing.hand_over),
            ..attempt
        },
        _ => attempt,
    }
}

/// What has to be the same for a decision that may be counted only; `None`: each is told.
fn repeatable(end: &End, decision: &Decision, story: &Story, course: Course) -> Option<Signature> {
    let holder = decision.claim.as_ref().map_or("", |claim| &claim.holder);
    let signature = Signature::new().with_text(decision.why.as_str()).with_text(holder);
    match end {
        End::Told | End::Stopped => None,
        End::Failed { message, .. } => (course.failures >= FAILURES_TOLD)
            .then(|| story.told.iter().fold(signature.with_text(message), |s, hash| s.with(hash.0))),
        End::Settled | End::Waits(_) => Some(signature),
    }
}

/// Everything of a look that makes a difference to who reads of it.
fn signature_of(facts: &[Fact], suppressed: &Suppressed, state: &GroupState) -> Signature {
    let mut signature = Signature::new().with(suppressed.marks());
    for name in &state.muted_by {
        signature = signature.with_text(name);
    }
    facts.iter().fold(signature, |signature, fact| {
        let flags = fact.period << 2 | u64::from(fact.resolved) << 1 | u64::from(fact.muted);
        signature.with(fact.hash.0.wrapping_add(flags))
    })
}

/// Among the integrations of the receiver.
fn place_of(route: &RouteInfo, ready: &Arc<Ready>) -> Option<usize> {
    route.integrations.iter().position(|other| Arc::ptr_eq(other, ready))
}

fn decision(outcome: Outcome, why: Why, group: &Group, route: &RouteInfo, ready: Option<&Arc<Ready>>) -> Box<Decision> {
    let slot = |ready: &Arc<Ready>| Slot {
        kind: ready.kind().clone(),
        index: u32::try_from(ready.lane.index).unwrap_or(u32::MAX),
    };
    let mut decision = Box::new(Decision::new(outcome, why, route.receiver.name.clone(), named(group, route)));
    decision.integration = ready.map(slot);
    decision
}

/// Made once for a group, and again when a reload has changed the name of its route.
fn named(group: &Group, route: &RouteInfo) -> Arc<Named> {
    let mut named = group.named.lock().unwrap_or_else(PoisonError::into_inner);
    match &*named {
        Some(named) if Arc::ptr_eq(&named.route, &route.route.id) => Arc::clone(named),
        _ => {
            let fresh = Named { key: group.key.clone(), labels: group.labels.clone(), route: route.route.id.clone() };
            Arc::clone(named.insert(Arc::new(fresh)))
        }
    }
}

fn count(totals: &mut Totals, status: Status, is_muted: bool) {
    let one = match (is_muted, status) {
        (true, _) => &mut totals.muted,
        (false, Status::Firing) => &mut totals.firing,
        (false, Status::Resolved) => &mut totals.resolved,
    };
    *one = one.saturating_add(1);
}

fn in_words(mute: &Mute, intervals: &[Arc<str>], route: &RouteInfo) -> Muted {
    match mute {
        Mute::Inhibited { source, rule } => Muted::Inhibited {
            source: *source,
            labels: route.inhibitor.source(*source).map(|entry| entry.labels().clone()),
            rule: u32::try_from(*rule).unwrap_or(u32::MAX),
        },
        Mute::Interval(Suppression::ActiveTimeInterval) => Muted::OutsideActiveIntervals(intervals.to_vec()),
        Mute::Interval(_) => Muted::MuteIntervals(intervals.to_vec()),
        Mute::Silenced(ids) => Muted::Silences(ids.iter().map(|id| id.as_str().into()).collect()),
    }
}

fn why(reason: Reason) -> Why {
    match reason {
        Reason::FirstNotification => Why::FirstNotification,
        Reason::NewAlertsAdded => Why::NewAlertsAdded,
        Reason::SomeAlertsResolved => Why::SomeAlertsResolved,
        Reason::AllAlertsResolved => Why::AllAlertsResolved,
        Reason::RepeatIntervalElapsed => Why::RepeatIntervalElapsed,
        Reason::Unknown | Reason::None => Why::NothingNew,
    }
}
