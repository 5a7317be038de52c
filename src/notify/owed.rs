//! What a group owes to one integration: the difference between its alerts as they are and what the
//! receiver heard last of each (reference/decide.md 3.1). Pure: facts and a log entry in, a verdict out.

use std::time::Duration;

use super::types::Reason;
use crate::{
    alert::Alert,
    clock::{Time, delta},
    nflog::{AlertHash, Fired, Known, LogEntry, Resolved, Told, Word, Writer},
};

/// A notification that leaves so late after its tick, for questions and turns of nodes, is on time.
const ON_TIME: Duration = Duration::from_secs(5);

/// What matters of one alert of a group at one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fact {
    pub hash: AlertHash,
    pub period: u64,
    pub accepted_at: Time,
    /// The newest start that a sender gave in this period.
    pub newest_start: Time,
    pub ends_at: Option<Time>,
    pub explicit: bool,
    /// Over, judged once for the whole look.
    pub resolved: bool,
    /// It ran out, and counts as firing for a while yet, since somebody who may know better did not answer.
    pub held: bool,
    /// Inhibited, silenced, or its route is muted by a time interval now.
    pub muted: bool,
    pub history: History,
}

/// What earlier looks of the group saw of the alert's present period while it was firing. The greater one counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum History {
    /// No look fell into it.
    #[default]
    Unseen,
    /// Only ever firing and muted.
    Muted,
    /// Firing and not muted at some tick: it should have been told.
    Due,
}

impl Fact {
    /// The end as the log is to know it: not before the start of any firing that it ended.
    #[must_use]
    pub fn end_for_log(&self) -> Option<Time> {
        self.ends_at.map(|end| end.max(self.newest_start))
    }

    #[must_use]
    pub fn of(alert: &Alert, hash: AlertHash, now: Time) -> Self {
        Fact {
            hash,
            period: alert.period,
            accepted_at: alert.accepted_at,
            newest_start: alert.newest_start(),
            ends_at: alert.ends_at,
            explicit: alert.explicit,
            resolved: alert.resolved_at(now),
            held: false,
            muted: false,
            history: History::Unseen,
        }
    }
}

/// The settings that decide what is owed.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub send_resolved: bool,
    pub group_wait: Duration,
    pub group_interval: Duration,
    pub repeat_interval: Duration,
}

/// How one alert stands with one receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The receiver has to hear of it.
    Owed,
    /// Nothing new; it belongs into a notification that goes out for another reason.
    Current,
    /// Over and told, or a copy older than what was told: it is left out.
    LeftOut,
}

/// How this alert stands, given what the receiver heard of it.
#[must_use]
pub fn standing(fact: &Fact, told: Option<&Told>, group_wait: Duration) -> Standing {
    let Some(told) = told else {
        return if fact.resolved { untold_end(fact, group_wait) } else { Standing::Owed };
    };
    if is_stale(fact, told) {
        return Standing::LeftOut;
    }
    match (told.last_word(), fact.resolved) {
        (Word::Unsure, _) | (Word::None, false) | (Word::Fired(_), true) => Standing::Owed,
        (Word::None, true) => untold_end(fact, group_wait),
        (Word::Fired(word), false) => after_fired(fact, word),
        (Word::Resolved(word), false) => after_resolved(fact, word),
        (Word::Resolved(word), true) if fact.end_for_log() == Some(word.ends_at) => Standing::LeftOut,
        (Word::Resolved(word), true) if is_newer(fact, word) => untold_end(fact, group_wait),
        (Word::Resolved(_), true) => Standing::LeftOut,
    }
}

/// It fired and ended, and nobody was told of either. It is owed if it should have been told while it fired:
/// it was there, unmuted, at a tick; or no look fell into its life, yet that was longer than `group_wait`
/// (a restart, or a tick that had just passed).
fn untold_end(fact: &Fact, group_wait: Duration) -> Standing {
    let lasted = |end: Time| end - taken_in(fact, end) >= delta(group_wait);
    let owed = match fact.history {
        History::Due => true,
        History::Muted => false,
        History::Unseen => fact.ends_at.is_some_and(lasted),
    };
    if owed && !fact.muted { Standing::Owed } else { Standing::Current }
}

/// Since when the firing with this end was known. Another period than the first began with a post that said it fires:
/// if its end lies before that, the post was a late copy of the firing that had just ended, which was taken in before.
fn taken_in(fact: &Fact, end: Time) -> Time {
    let is_late_copy = fact.period > 1 && end < fact.accepted_at;
    if is_late_copy { fact.newest_start } else { fact.accepted_at }
}

fn after_fired(fact: &Fact, word: &Fired) -> Standing {
    // A program without periods said it: it cannot have meant another one.
    let newer = fact.period > word.period && word.writer != Writer::UNKNOWN;
    if newer { Standing::Owed } else { Standing::Current }
}

fn after_resolved(fact: &Fact, word: &Resolved) -> Standing {
    // An end that was only concluded from silence is taken back by a later sign of life. A later end that has passed as
    // well is none, whatever else may be unknown.
    let revived = !word.explicit && !fact.held && fact.ends_at.is_none_or(|end| end > word.ends_at);
    if is_newer(fact, word) || revived { Standing::Owed } else { Standing::LeftOut }
}

/// Whether this is another firing than the one whose end was told. Beside the number of the period its
/// acceptance counts: a node that had forgotten the alert starts to number it anew; and its start: a node that had
/// not heard of the end took it for the same firing.
fn is_newer(fact: &Fact, word: &Resolved) -> bool {
    let began_since = fact.period == word.period && fact.newest_start > word.ends_at;
    fact.period > word.period || fact.accepted_at > word.done || began_since
}

/// A copy from before what was told or is known to have ended.
fn is_stale(fact: &Fact, told: &Told) -> bool {
    let heard_of_later = fact.period < told.highest_period();
    let accepted_since = told.last_said().is_some_and(|said| fact.accepted_at > said);
    heard_of_later && !accepted_since
}

/// The fact as it is after an end that is known to the log: an explicit end of the same firing wins for ever over
/// later copies that fire.
#[must_use]
pub fn with_known_end(entry: Option<&LogEntry>, fact: &Fact) -> Fact {
    let known = entry.and_then(|entry| entry.told(fact.hash)).and_then(|told| told.known.as_deref());
    match known {
        Some(known) if !fact.resolved && is_ended_by(known, fact) => {
            Fact { resolved: true, explicit: true, ends_at: Some(known.ends_at), ..*fact }
        }
        _ => *fact,
    }
}

fn is_ended_by(known: &Known, fact: &Fact) -> bool {
    // Nodes number firings that each heard of in part differently: what is known of their times counts.
    let began_before = fact.accepted_at <= known.ends_at && fact.newest_start <= known.ends_at;
    known.explicit && known.period <= fact.period && began_before
}

/// How this alert stands with the receiver of `entry`.
#[must_use]
pub fn standing_in(entry: Option<&LogEntry>, fact: &Fact, group_wait: Duration) -> Standing {
    let fact = with_known_end(entry, fact);
    standing(&fact, entry.and_then(|entry| entry.told(fact.hash)), group_wait)
}

/// Why the integration must hear of these alerts now, if it must. Muted ones are looked over.
///
/// `tick` is the one at which this is asked.
#[must_use]
pub fn due<'a>(
    entry: Option<&LogEntry>,
    facts: impl IntoIterator<Item = &'a Fact>,
    terms: Terms,
    tick: Time,
) -> Option<Reason> {
    if entry.is_some_and(|entry| is_told_at(entry, tick, terms.group_interval)) {
        return None;
    }
    let mut sum = Sum::default();
    for fact in facts {
        if !fact.muted {
            let fact = &with_known_end(entry, fact);
            sum.add(fact, standing_in(entry, fact, terms.group_wait), entry);
        }
    }
    let repeat_over = entry.is_some_and(|entry| is_repeat_over(entry, tick, terms));
    if sum.firing_owed {
        let first = entry.is_none_or(|entry| !says_firing(entry));
        Some(if first { Reason::FirstNotification } else { Reason::NewAlertsAdded })
    } else if !sum.firing && (if terms.send_resolved { sum.resolved_owed } else { sum.ended }) {
        Some(Reason::AllAlertsResolved)
    } else if sum.firing && sum.resolved_owed && terms.send_resolved {
        Some(Reason::SomeAlertsResolved)
    } else if sum.firing && repeat_over {
        Some(Reason::RepeatIntervalElapsed)
    } else {
        None
    }
}

/// Whether an open group was told something at this tick already, perhaps by a node whose ticks lie between ours: what
/// is owed beside it has to wait until an interval has passed since (reference/decide.md 3.3). A tick that lies far
/// ahead is that of a clock which was wrong, and holds nothing up.
fn is_told_at(entry: &LogEntry, tick: Time, group_interval: Duration) -> bool {
    tick < plus(entry.due_at, group_interval) && entry.due_at <= plus(tick, group_interval) && says_firing(entry)
}

/// Whether the repeat interval is over at `tick`: counted from the tick of the newest notification, so that a receiver's
/// slowness shifts nothing. One that left long after its tick, since the receiver was out, counts from when it left.
fn is_repeat_over(entry: &LogEntry, tick: Time, terms: Terms) -> bool {
    let is_over = plus(entry.due_at, terms.repeat_interval) <= tick;
    let tolerance = ON_TIME.min(terms.group_interval / 2);
    let left = entry.all_told().flat_map(|(_, told)| sendings(told)).map(|(_, sent)| sent).max();
    is_over && left.is_none_or(|sent| plus(sent, terms.repeat_interval) <= plus(tick, tolerance))
}

/// The moment from which the next notification and the repeat are counted (reference/decide.md 3.3): the tick, or, if
/// the notification leaves long after it, when it leaves. The group's rhythm moves with it.
#[must_use]
pub fn due_at(tick: Time, leaves: Time, group_interval: Duration) -> Time {
    let is_on_time = leaves <= plus(tick, ON_TIME.min(group_interval / 2));
    if is_on_time { tick } else { leaves }
}

fn plus(at: Time, interval: Duration) -> Time {
    at.checked_add_signed(delta(interval)).unwrap_or(Time::MAX_UTC)
}

/// What is among the alerts.
#[derive(Default)]
#[allow(clippy::struct_excessive_bools, reason = "four independent questions")]
struct Sum {
    firing: bool,
    firing_owed: bool,
    resolved_owed: bool,
    /// Told as firing and over now.
    ended: bool,
}

impl Sum {
    fn add(&mut self, fact: &Fact, standing: Standing, entry: Option<&LogEntry>) {
        let owed = standing == Standing::Owed;
        if !fact.resolved {
            self.firing |= standing != Standing::LeftOut;
            self.firing_owed |= owed;
        } else if owed {
            self.resolved_owed = true;
            self.ended |= is_told_firing(entry, fact);
        }
    }
}

/// Whether the newest notification of the entry had firing alerts: the group is open. An alert that was told
/// as firing earlier and has left the group since (muted, or resolved without a word) does not count.
#[must_use]
pub fn says_firing(entry: &LogEntry) -> bool {
    let Some((_, newest_sent)) = newest_sending(entry) else { return false };
    entry.all_told().any(|(_, told)| match told.last_word() {
        Word::Fired(word) => word.sent == newest_sent || word.done > newest_sent,
        Word::Unsure => true,
        Word::Resolved(_) | Word::None => false,
    })
}

/// `done` and `sent` of the newest notification.
fn newest_sending(entry: &LogEntry) -> Option<(Time, Time)> {
    entry.all_told().filter_map(|(_, told)| last_sending(told)).max()
}

/// `done` and `sent` of the newest word on an alert.
fn last_sending(told: &Told) -> Option<(Time, Time)> {
    sendings(told).max()
}

/// `done` and `sent` of the words on an alert.
fn sendings(told: &Told) -> impl Iterator<Item = (Time, Time)> {
    let fired = told.fired.map(|word| (word.done, word.sent));
    let resolved = told.resolved.as_deref().map(|word| (word.done, word.sent));
    fired.into_iter().chain(resolved)
}

/// Whether a resolved alert has to stay in its group for the sake of this integration: its end is to be told,
/// now or when nothing mutes it any more. Without `send_resolved` an end is only noted, together with that of the
/// last alert of the group.
#[must_use]
pub fn keeps(entry: Option<&LogEntry>, fact: &Fact, terms: Terms, any_firing: bool) -> bool {
    if standing_in(entry, fact, terms.group_wait) != Standing::Owed {
        return false;
    }
    terms.send_resolved || (!any_firing && is_told_firing(entry, fact))
}

fn is_told_firing(entry: Option<&LogEntry>, fact: &Fact) -> bool {
    entry.is_some_and(|entry| matches!(entry.word(fact.hash), Word::Fired(_) | Word::Unsure))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nflog::Tell;

    const WAIT: Duration = Duration::from_secs(30);

    fn at(seconds: i64) -> Time {
        Time::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    /// An alert of the first period that was accepted at 0.
    fn fact(hash: u64, ended: Option<i64>) -> Fact {
        Fact {
            hash: AlertHash(hash),
            period: 1,
            accepted_at: at(0),
            newest_start: at(0),
            ends_at: Some(at(ended.unwrap_or(1_000_000))),
            explicit: ended.is_some(),
            resolved: ended.is_some(),
            held: false,
            muted: false,
            history: History::Unseen,
        }
    }

    /// The log after telling these facts at these seconds, one notification each.
    fn told(tells: &[(i64, &[Fact])]) -> LogEntry {
        let mut entry: Option<LogEntry> = None;
        for (seconds, facts) in tells {
            let resolved = facts.iter().filter(|fact| fact.resolved).map(|fact| crate::nflog::End {
                alert: fact.hash,
                period: fact.period,
                explicit: fact.explicit,
                ends_at: fact.ends_at.unwrap(),
            });
            let tell = Tell {
                seen: entry.clone().map(std::sync::Arc::new),
                due: at(*seconds),
                sent: at(*seconds),
                done: at(*seconds),
                firing: facts.iter().filter(|fact| !fact.resolved).map(|fact| (fact.hash, fact.period)).collect(),
                resolved: resolved.collect(),
                known: vec![],
                memory: None,
                repeat_interval: WAIT,
            };
            entry = Some(LogEntry::after(entry.as_ref(), &tell, Writer::named("n"), WAIT));
        }
        entry.unwrap()
    }

    fn terms(send_resolved: bool) -> Terms {
        Terms {
            send_resolved,
            group_wait: WAIT,
            group_interval: Duration::from_secs(1),
            repeat_interval: Duration::from_secs(3600),
        }
    }

    fn reason(entry: Option<&LogEntry>, facts: &[Fact], send_resolved: bool, tick: i64) -> Option<Reason> {
        due(entry, facts, terms(send_resolved), at(tick))
    }

    #[test]
    fn reasons_follow_the_table_of_the_reference() {
        let (a, b) = (fact(1, None), fact(2, None));
        let (a_over, b_over) = (fact(1, Some(50)), fact(2, Some(50)));
        let open = told(&[(30, &[a])]);
        let both = told(&[(30, &[a, b])]);
        let closed = told(&[(30, &[a]), (60, &[a_over])]);
        let again = Fact { period: 2, accepted_at: at(70), ..a };
        type Row<'a> = (Option<&'a LogEntry>, &'a [Fact], bool, Option<Reason>);
        let table: [Row<'_>; 12] = [
            (None, &[a], true, Some(Reason::FirstNotification)),
            (None, &[fact(1, Some(20))], true, None),
            (Some(&closed), &[again], true, Some(Reason::FirstNotification)),
            (Some(&open), &[a, b], true, Some(Reason::NewAlertsAdded)),
            (Some(&both), &[a_over, b_over], true, Some(Reason::AllAlertsResolved)),
            (Some(&both), &[a_over, b_over], false, Some(Reason::AllAlertsResolved)),
            (Some(&closed), &[a_over], true, None),
            (Some(&both), &[a_over, b], true, Some(Reason::SomeAlertsResolved)),
            (Some(&both), &[a_over, b], false, None),
            (Some(&both), &[a, b], true, None),
            (Some(&both), &[a], true, None),
            (Some(&both), &[], true, None),
        ];
        for (entry, facts, send_resolved, want) in table {
            assert_eq!(reason(entry, facts, send_resolved, 330), want, "{facts:?}");
        }
    }

    #[test]
    fn the_repeat_counts_from_the_tick_unless_the_notification_left_long_after_it() {
        let a = fact(1, None);
        let terms = Terms { group_interval: Duration::from_secs(300), ..terms(true) };
        let due_at = |left: i64, tick: i64| {
            let mut entry = told(&[(left, &[a])]);
            entry.due_at = at(30);
            due(Some(&entry), &[a], terms, at(tick)).is_some()
        };
        assert!(due_at(34, 3630) && !due_at(34, 3629), "a question and a turn");
        assert!(!due_at(290, 3630) && due_at(290, 3930), "the receiver was out");
    }

    #[test]
    fn a_notification_that_leaves_long_after_its_tick_moves_the_rhythm() {
        let interval = Duration::from_secs(300);
        assert_eq!(due_at(at(30), at(35), interval), at(30), "questions and turns shift nothing");
        assert_eq!(due_at(at(30), at(36), interval), at(36));
        assert_eq!(due_at(at(30), at(32), Duration::from_secs(3)), at(32), "half of a short interval counts");
    }

    #[test]
    fn the_repeat_is_due_at_the_tick_itself() {
        let a = fact(1, None);
        let open = told(&[(30, &[a])]);
        assert_eq!(reason(Some(&open), &[a], true, 3629), None);
        assert_eq!(reason(Some(&open), &[a], true, 3630), Some(Reason::RepeatIntervalElapsed));
        let over = told(&[(30, &[a]), (60, &[fact(1, Some(50))])]);
        assert_eq!(reason(Some(&over), &[fact(1, Some(50))], true, 99_999), None);
    }

    #[test]
    fn muted_alerts_neither_cause_nor_repeat_anything() {
        let muted = Fact { muted: true, ..fact(1, None) };
        assert_eq!(reason(None, &[muted], true, 30), None);
        assert_eq!(reason(Some(&told(&[(30, &[fact(1, None)])])), &[muted], true, 99_999), None);
    }

    #[test]
    fn an_untold_end_is_owed_if_it_was_due_or_lasted_group_wait() {
        let owed = |fact: Fact| standing(&fact, None, WAIT) == Standing::Owed;
        assert!(!owed(fact(1, Some(29))) && owed(fact(1, Some(30))));
        assert!(owed(Fact { history: History::Due, ..fact(1, Some(1)) }));
        assert!(!owed(Fact { history: History::Muted, ..fact(1, Some(500)) }));
        assert!(!owed(Fact { muted: true, ..fact(1, Some(500)) }));
        assert!(!owed(Fact { accepted_at: at(60), ..fact(1, Some(50)) }), "over before it was taken in");
    }

    #[test]
    fn an_end_that_others_know_ends_a_firing_of_before_it_however_it_is_numbered_here() {
        let closed = told(&[(30, &[fact(1, None)]), (60, &[fact(1, Some(50))])]);
        let waited = Fact { period: 2, accepted_at: at(45), newest_start: at(48), ..fact(1, None) };
        assert_eq!(standing_in(Some(&closed), &waited, WAIT), Standing::LeftOut);
        let later = Fact { newest_start: at(55), ..waited };
        assert_eq!(standing_in(Some(&closed), &later, WAIT), Standing::Owed);
    }

    #[test]
    fn a_late_copy_that_began_a_period_does_not_hide_that_the_firing_before_it_was_never_told() {
        let late = |end| Fact { period: 2, accepted_at: at(51), ..fact(1, Some(end)) };
        assert_eq!(standing(&late(50), None, WAIT), Standing::Owed);
        assert_eq!(standing(&late(29), None, WAIT), Standing::Current, "it was over before it was due");
        let closed = told(&[(30, &[fact(1, None)]), (60, &[fact(1, Some(50))])]);
        assert_eq!(standing_in(Some(&closed), &late(50), WAIT), Standing::LeftOut, "that end was told");
    }

    #[test]
    fn a_newer_period_than_the_one_told_is_owed() {
        let told_firing = told(&[(30, &[fact(1, None)])]);
        assert_eq!(standing_in(Some(&told_firing), &fact(1, None), WAIT), Standing::Current);
        let second = Fact { period: 2, accepted_at: at(90), ..fact(1, None) };
        assert_eq!(standing_in(Some(&told_firing), &second, WAIT), Standing::Owed);
    }

    #[test]
    fn a_firing_that_began_after_the_told_end_counts_as_new_though_its_period_is_the_same() {
        let closed = told(&[(30, &[fact(1, None)]), (60, &[fact(1, Some(50))])]);
        let again = Fact { newest_start: at(55), ..fact(1, None) };
        assert_eq!(standing_in(Some(&closed), &again, WAIT), Standing::Owed);
        let over = Fact { newest_start: at(55), ..fact(1, Some(100)) };
        assert_eq!(standing_in(Some(&closed), &over, WAIT), Standing::Owed);
        let closed = told(&[(30, &[fact(1, None)]), (60, &[fact(1, Some(50))]), (90, &[again]), (120, &[over])]);
        assert_eq!(standing_in(Some(&closed), &again, WAIT), Standing::LeftOut);
        assert_eq!(standing_in(Some(&closed), &over, WAIT), Standing::LeftOut);
    }

    #[test]
    fn an_end_that_its_sender_dates_before_the_start_is_known_as_the_end_of_that_firing() {
        let odd = Fact { newest_start: at(55), ..fact(1, Some(50)) };
        assert_eq!((odd.end_for_log(), fact(1, Some(50)).end_for_log()), (Some(at(55)), Some(at(50))));
        let closed = told(&[(30, &[fact(1, None)]), (60, &[Fact { ends_at: odd.end_for_log(), ..odd }])]);
        assert_eq!(standing_in(Some(&closed), &odd, WAIT), Standing::LeftOut);
    }

    #[test]
    fn a_copy_from_before_its_end_was_told_is_left_out() {
        let closed = told(&[(30, &[fact(1, None)]), (60, &[fact(1, Some(50))])]);
        assert_eq!(standing_in(Some(&closed), &fact(1, None), WAIT), Standing::LeftOut);
        let first = Fact { period: 1, ..fact(1, None) };
        let second = told(&[(30, &[Fact { period: 2, ..first }])]);
        assert_eq!(standing_in(Some(&second), &first, WAIT), Standing::LeftOut);
    }

    #[test]
    fn an_alert_whose_numbering_was_forgotten_counts_as_new_by_its_acceptance() {
        let fifth = Fact { period: 5, ..fact(1, Some(50)) };
        let closed = told(&[(30, &[Fact { period: 5, ..fact(1, None) }]), (60, &[fifth])]);
        let reborn = Fact { period: 1, accepted_at: at(100), ..fact(1, None) };
        assert_eq!(standing_in(Some(&closed), &reborn, WAIT), Standing::Owed);
    }

    #[test]
    fn an_end_that_was_only_concluded_is_taken_back_by_a_later_sign_of_life() {
        let expired = Fact { explicit: false, ..fact(1, Some(50)) };
        let closed = told(&[(30, &[fact(1, None)]), (60, &[expired])]);
        assert_eq!(standing_in(Some(&closed), &fact(1, None), WAIT), Standing::Owed);
        assert_eq!(standing_in(Some(&closed), &expired, WAIT), Standing::LeftOut);
    }

    #[test]
    fn a_somewhat_later_end_that_has_passed_too_is_no_sign_of_life_though_somebody_did_not_answer() {
        let expired = Fact { explicit: false, ..fact(1, Some(50)) };
        let closed = told(&[(30, &[fact(1, None)]), (60, &[expired])]);
        let held = Fact { ends_at: Some(at(51)), resolved: false, held: true, ..expired };
        assert_eq!(standing_in(Some(&closed), &held, WAIT), Standing::LeftOut);
        let open = told(&[(30, &[fact(1, None)])]);
        assert_eq!(standing_in(Some(&open), &held, WAIT), Standing::Current, "and nothing is concluded from it");
    }

    #[test]
    fn a_group_of_which_only_departed_alerts_were_told_firing_is_closed() {
        let (a, b) = (fact(1, None), fact(2, None));
        let entry = told(&[(30, &[a, b]), (60, &[b]), (90, &[fact(2, Some(80))])]);
        assert!(!says_firing(&entry), "a was told firing at 30 and has left");
        assert!(says_firing(&told(&[(30, &[a, b]), (60, &[b])])));
    }

    #[test]
    fn without_send_resolved_only_an_end_of_what_was_told_is_kept_and_only_as_the_last() {
        let told_firing = told(&[(30, &[fact(1, None)])]);
        let over = fact(1, Some(50));
        assert!(keeps(Some(&told_firing), &over, terms(false), false));
        assert!(!keeps(Some(&told_firing), &over, terms(false), true));
        assert!(!keeps(None, &Fact { history: History::Due, ..over }, terms(false), false));
        assert!(keeps(None, &Fact { history: History::Due, ..over }, terms(true), true));
    }
}
