//! What the pipeline decided, in the words of the decision log: from a look of a group, and from the course of an
//! attempt. Looks at everything and changes nothing.

use std::sync::Arc;

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
        ALERTS_MAX, Alert, Attempt, Claim, Decision, Group as Named, Logged, Muted, Outcome, Phase, RunKey, Signature,
        Slot, Status, Totals, Why,
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
        let (mut told, resolved) = content.told();
        told.extend(resolved);
        self.told = told;
        self.unspoken = content.unspoken;
        self.sent = Some((sent, began));
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
        state: &GroupState,
        look: (&[Fact], &Suppressed, Time),
        idle: impl Iterator<Item = (&'r Arc<Ready>, Option<&'r LogEntry>)>,
    ) {
        let (facts, suppressed, tick) = look;
        if !self.decisions.is_on() || facts.is_empty() {
            return;
        }
        let signature = signature_of(facts, suppressed, state);
        if facts.iter().all(|fact| fact.muted) {
            let key = RunKey::of(state.route.index.0, group.fingerprint.0, None);
            self.decisions.note(key, signature, || {
                let decision = decision(Outcome::Quiet, Why::Muted, group, &state.route, None);
                Some(self.with_alerts(Decision { tick: Some(tick), ..decision }, state, &|_| false))
            });
            return;
        }
        for (ready, entry) in idle {
            let key = run_key(group, &state.route, ready);
            self.decisions.note(key, signature, || {
                let decision = decision(Outcome::NotDue, Why::NothingNew, group, &state.route, Some(ready));
                let repeat =
                    entry.and_then(|entry| entry.due_at.checked_add_signed(delta(state.route.route.repeat_interval)));
                let decision = Decision { tick: Some(tick), until: repeat, ..decision };
                Some(self.with_alerts(decision, state, &|_| false))
            });
        }
    }

    /// An attempt is over, or comes again later.
    pub(super) fn chronicle_attempt(
        &self,
        group: &Group,
        route: &RouteInfo,
        ready: &Arc<Ready>,
        key: &LogKey,
        story: Story,
        course: Course,
    ) {
        let Some(end) = story.end.as_ref().filter(|_| self.decisions.is_on()) else { return };
        let run = run_key(group, route, ready);
        let due = story.why.map_or(Why::NothingNew, why);
        match end {
            End::Told | End::Stopped => self.decisions.record(run, || {
                let (outcome, why) = match end {
                    End::Told if story.unspoken => (Outcome::Noted, due),
                    End::Told => (Outcome::Told, due),
                    _ => (Outcome::Stopped, Why::ProgramEnds),
                };
                let told = matches!(end, End::Told);
                let entry = if told { self.nflog.peek(key) } else { None };
                let mut decision = self.attempted(outcome, why, group, route, ready, &story, course);
                decision.log = entry.map(|entry| Logged { tells: entry.tells, at: entry.told_at });
                decision
            }),
            End::Failed { message, kind } => {
                let make = || {
                    let mut decision = self.attempted(Outcome::Failed, due, group, route, ready, &story, course);
                    decision.until = course.failing.map(|failing| self.time_of(failing.retry_at));
                    if let Some(attempt) = &mut decision.attempt {
                        attempt.error = Some(message.clone());
                        attempt.kind = Some((*kind).into());
                        attempt.handed_over = course.failing.is_some_and(|failing| failing.hand_over);
                    }
                    decision
                };
                if course.failures < FAILURES_TOLD {
                    self.decisions.record(run, make);
                } else {
                    let signature =
                        story.told.iter().fold(Signature::new().with_text(message), |s, hash| s.with(hash.0));
                    self.decisions.note(run, signature, || Some(make()));
                }
            }
            End::Settled | End::Waits(_) => self.chronicle_nothing_sent(group, route, ready, key, &story, end, course),
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the attempt and all it concerns")]
    fn chronicle_nothing_sent(
        &self,
        group: &Group,
        route: &RouteInfo,
        ready: &Arc<Ready>,
        key: &LogKey,
        story: &Story,
        end: &End,
        course: Course,
    ) {
        let tick = course.since.map(|since| self.time_of(since));
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
        let holder = claim.as_ref().map_or("", |claim| &claim.holder);
        let signature = Signature::new().with_text(why.as_str()).with_text(holder);
        self.decisions.note(run_key(group, route, ready), signature, || {
            let state = group.lock();
            let mut decision = decision(outcome, why, group, route, Some(ready));
            (decision.tick, decision.claim) = (tick, claim.clone());
            if let End::Waits(until) = end {
                decision.until = Some(self.time_of(*until));
            }
            if why == Why::OthersFirst {
                decision.order = self.peer.order(key, self.nflog.peek(key).map_or(0, |entry| entry.tells));
            }
            Some(self.with_alerts(decision, &state, &|_| false))
        });
    }

    #[allow(clippy::too_many_arguments, reason = "the attempt and all it concerns")]
    fn attempted(
        &self,
        outcome: Outcome,
        why: Why,
        group: &Group,
        route: &RouteInfo,
        ready: &Arc<Ready>,
        story: &Story,
        course: Course,
    ) -> Decision {
        let mut told = story.told.clone();
        told.sort_unstable();
        let mut decision = decision(outcome, why, group, route, Some(ready));
        decision.tick = course.since.map(|since| self.time_of(since));
        decision.attempt = story.sent.map(|(sent, began)| Attempt {
            number: course.failures.saturating_add(1),
            sent,
            took: self.clock.monotonic().saturating_duration_since(began),
            error: None,
            kind: None,
            handed_over: false,
        });
        self.with_alerts(decision, &group.lock(), &|hash| told.binary_search(&hash).is_ok())
    }

    fn with_alerts(&self, mut decision: Decision, state: &GroupState, told: &dyn Fn(AlertHash) -> bool) -> Decision {
        let (now, route) = (self.clock.now(), &state.route);
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

    fn time_of(&self, at: Instant) -> Time {
        let (now, instant) = (self.clock.now(), self.clock.monotonic());
        if at >= instant {
            now + delta(at.saturating_duration_since(instant))
        } else {
            now - delta(instant.saturating_duration_since(at))
        }
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

fn run_key(group: &Group, route: &RouteInfo, ready: &Arc<Ready>) -> RunKey {
    let place = route.integrations.iter().position(|other| Arc::ptr_eq(other, ready));
    RunKey::of(route.index.0, group.fingerprint.0, Some(place.unwrap_or(usize::MAX - 1)))
}

fn decision(outcome: Outcome, why: Why, group: &Group, route: &RouteInfo, ready: Option<&Arc<Ready>>) -> Decision {
    let named = Named { key: group.key.clone(), labels: group.labels.clone(), route: route.route.id.clone() };
    let slot = |ready: &Arc<Ready>| Slot {
        kind: ready.kind().clone(),
        index: u32::try_from(ready.lane.index).unwrap_or(u32::MAX),
    };
    let decision = Decision::new(outcome, why, route.receiver.name.clone(), Arc::new(named));
    Decision { integration: ready.map(slot), ..decision }
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
