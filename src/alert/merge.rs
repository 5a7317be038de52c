//! How two pictures of one alert become one: pure rules, no clock, no lock.
//!
//! Two situations differ. [`merge`] joins two *records*, ours and a peer's or a stored one; it is
//! commutative, associative and idempotent, so nodes agree in whatever order records travel.
//! [`absorb`] takes in a *post* of a sender, which alone can start a new period (one firing from its
//! start to its resolution), and follows Alertmanager's rule for overlapping activity.

use std::cmp::Ordering;

use super::{Alert, Interner, Labels, Posted};
use crate::clock::Time;

/// What taking in an alert did to the picture we had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// The alert was unknown (it may have been resolved on arrival).
    New,
    /// A sender says it is over, and we did not know that. Running out of time is no change: it has no event.
    Resolved,
    /// It was over, and fires again: in a new period, or in the same one if it had only expired.
    Refired,
    /// Something that notifications show is different: annotations, generator URL, start.
    Changed,
    /// Nothing but times of life moved.
    Refreshed,
}

/// The join of two records of one alert.
///
/// The higher period wins whole. Within a period: an explicit end wins over any firing copy, for ever;
/// else the later `ends_at` holds (none being the latest); start and acceptance are the earlier ones;
/// annotations, URL and the timeout mark come from the later update, on a tie from the greater content.
#[must_use]
pub fn merge(a: &Alert, b: &Alert) -> Alert {
    match a.period.cmp(&b.period) {
        Ordering::Greater => return a.clone(),
        Ordering::Less => return b.clone(),
        Ordering::Equal => {}
    }
    let text = if content(a) >= content(b) { a } else { b };
    let end = if end_rank(a) >= end_rank(b) { a } else { b };
    Alert {
        labels: text.labels.clone(),
        annotations: text.annotations.clone(),
        generator_url: text.generator_url.clone(),
        starts_at: a.starts_at.min(b.starts_at),
        ends_at: end.ends_at,
        updated_at: text.updated_at,
        timeout: text.timeout,
        period: a.period,
        accepted_at: a.accepted_at.min(b.accepted_at),
        explicit: end.explicit,
    }
}

/// Order of the part that is taken whole from one record. The content behind `updated_at` breaks ties.
fn content(alert: &Alert) -> (Time, &Labels, &str, bool) {
    (alert.updated_at, &alert.annotations, &*alert.generator_url, alert.timeout)
}

/// Explicit ends above all others, then by time, "no known end" last.
fn end_rank(alert: &Alert) -> (bool, bool, Option<Time>) {
    (alert.explicit, alert.ends_at.is_none(), alert.ends_at)
}

/// What changed for readers between two pictures of one alert, judged at `now`.
#[must_use]
pub fn change_between(old: &Alert, new: &Alert, now: Time) -> Change {
    if old.resolved_at(now) && !new.resolved_at(now) {
        Change::Refired
    } else if new.explicit && (!old.explicit || old.ends_at != new.ends_at || old.period != new.period) {
        Change::Resolved
    } else if old.starts_at != new.starts_at
        || old.generator_url != new.generator_url
        || old.annotations != new.annotations
        || old.period != new.period
    {
        Change::Changed
    } else {
        Change::Refreshed
    }
}

/// The first record of an alert that nobody here knew.
#[must_use]
pub fn accept(posted: &Posted<'_>, period: u64, now: Time, texts: &mut Interner) -> Alert {
    Alert {
        labels: texts.labels(&posted.labels),
        annotations: texts.labels(&posted.annotations),
        generator_url: texts.share(&posted.generator_url),
        starts_at: posted.starts_at,
        ends_at: Some(posted.ends_at),
        updated_at: now,
        timeout: posted.timeout,
        period,
        accepted_at: now,
        explicit: posted.ends_at <= now,
    }
}

/// Takes a post into a known alert, in place and without copying text that did not change.
///
/// Times follow reference/server.md 5.5: where the activity ranges overlap the start is the earlier
/// one, a resolution is taken as it is (the later one if both are over), and a firing post shortens
/// the life of the alert only if that was a mere timeout; without overlap the post replaces.
///
/// A new period begins when a firing post meets an alert that a sender had ended, or one that had
/// expired before the post's start. An alert that merely expired and is posted with a start inside
/// its life was never over: its sender was late.
pub fn absorb(alert: &mut Alert, posted: &Posted<'_>, now: Time, texts: &mut Interner) -> Change {
    let (was_over, is_over) = (alert.resolved_at(now), posted.ends_at <= now);
    let refired = was_over && !is_over;
    let (start, end) = merged_times(alert, posted, was_over, is_over);
    let newly_ended = is_over && (!alert.explicit || alert.ends_at != Some(end));

    if refired && (alert.explicit || alert.ends_at.is_some_and(|old_end| posted.starts_at >= old_end)) {
        alert.period = alert.period.saturating_add(1);
        alert.accepted_at = now;
    }
    let moved = alert.starts_at != start;
    let rewritten = take_text(alert, posted, texts);
    alert.starts_at = start;
    alert.ends_at = Some(end);
    alert.updated_at = now;
    alert.timeout = posted.timeout;
    alert.explicit = is_over;

    match (refired, newly_ended, moved || rewritten) {
        (true, ..) => Change::Refired,
        (_, true, _) => Change::Resolved,
        (_, _, true) => Change::Changed,
        _ => Change::Refreshed,
    }
}

/// Start and end after the post.
fn merged_times(alert: &Alert, posted: &Posted<'_>, was_over: bool, is_over: bool) -> (Time, Time) {
    // A life without a known end goes on for ever.
    let inside = |at: Time| at > alert.starts_at && alert.ends_at.is_none_or(|end| at < end);
    if !inside(posted.starts_at) && !inside(posted.ends_at) {
        return (posted.starts_at, posted.ends_at);
    }
    let keep_later_end = if is_over { was_over } else { !alert.timeout };
    let end = match alert.ends_at {
        Some(end) if keep_later_end => end.max(posted.ends_at),
        _ => posted.ends_at,
    };
    (alert.starts_at.min(posted.starts_at), end)
}

/// Annotations and generator URL of the post, copied only if they differ.
fn take_text(alert: &mut Alert, posted: &Posted<'_>, texts: &mut Interner) -> bool {
    let annotations_differ = !alert.annotations.equals(&posted.annotations);
    if annotations_differ {
        alert.annotations = texts.labels(&posted.annotations);
    }
    let url_differs = *alert.generator_url != *posted.generator_url;
    if url_differs {
        alert.generator_url = texts.share(&posted.generator_url);
    }
    annotations_differ || url_differs
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use chrono::{DateTime, TimeDelta};
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Time {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn post(starts: i64, ends: i64, timeout: bool) -> Posted<'static> {
        let labels = vec![(Cow::Borrowed("alertname"), Cow::Borrowed("a"))];
        Posted {
            fingerprint: Labels::from_sorted(&labels).fingerprint(),
            labels,
            annotations: vec![],
            generator_url: Cow::Borrowed(""),
            starts_at: at(starts),
            ends_at: at(ends),
            timeout,
        }
    }

    /// The alert after the posts, each `(now, starts, ends, timeout)`, and the last change.
    fn after(posts: &[(i64, i64, i64, bool)]) -> (Alert, Change) {
        let (now, starts, ends, timeout) = posts[0];
        let mut alert = accept(&post(starts, ends, timeout), 1, at(now), &mut Interner::default());
        let mut change = Change::New;
        for (now, starts, ends, timeout) in &posts[1..] {
            change = absorb(&mut alert, &post(*starts, *ends, *timeout), at(*now), &mut Interner::default());
        }
        (alert, change)
    }

    /// Change, start, end, period, accepted, explicit.
    fn story(posts: &[(i64, i64, i64, bool)]) -> (Change, i64, i64, u64, i64, bool) {
        let (alert, change) = after(posts);
        let end = alert.ends_at.map_or(i64::MAX, |end| end.timestamp());
        (change, alert.starts_at.timestamp(), end, alert.period, alert.accepted_at.timestamp(), alert.explicit)
    }

    #[test]
    fn a_refresh_moves_the_end_only() {
        assert_eq!(story(&[(10, 5, 100, false), (20, 5, 110, false)]), (Change::Refreshed, 5, 110, 1, 10, false));
    }

    #[test]
    fn a_shorter_life_is_taken_only_from_a_timeout() {
        assert_eq!(story(&[(10, 5, 100, false), (20, 6, 90, false)]), (Change::Refreshed, 5, 100, 1, 10, false));
        assert_eq!(story(&[(10, 5, 100, true), (20, 6, 90, false)]), (Change::Refreshed, 5, 90, 1, 10, false));
    }

    #[test]
    fn an_earlier_start_is_shown() {
        assert_eq!(story(&[(10, 5, 100, false), (20, 3, 90, false)]), (Change::Changed, 3, 100, 1, 10, false));
    }

    #[test]
    fn a_resolution_is_taken_and_its_repetition_is_no_news() {
        assert_eq!(story(&[(10, 5, 100, false), (20, 5, 15, false)]), (Change::Resolved, 5, 15, 1, 10, true));
        let repeated = [(10, 5, 100, false), (20, 5, 15, false), (30, 5, 15, false)];
        assert_eq!(story(&repeated), (Change::Refreshed, 5, 15, 1, 10, true));
    }

    #[test]
    fn of_two_overlapping_resolutions_the_later_holds() {
        let two = [(10, 5, 100, false), (20, 5, 15, false), (21, 7, 19, false), (22, 5, 15, false)];
        assert_eq!(story(&two), (Change::Refreshed, 5, 19, 1, 10, true));
    }

    #[test]
    fn a_resolution_after_the_expiry_is_news() {
        assert_eq!(story(&[(10, 5, 20, false), (30, 5, 18, false)]), (Change::Resolved, 5, 20, 1, 10, true));
    }

    #[test]
    fn firing_after_an_explicit_end_begins_a_period() {
        for start in [5, 8, 15, 40] {
            let posts = [(10, 5, 100, false), (20, 5, 15, false), (50, start, 150, false)];
            let (change, shown_start, end, period, accepted, explicit) = story(&posts);
            assert_eq!((change, end, period, accepted, explicit), (Change::Refired, 150, 2, 50, false));
            // The start that is shown follows Alertmanager's rule of overlap.
            assert_eq!(shown_start, if start == 8 { 5 } else { start });
        }
    }

    #[test]
    fn a_late_sender_continues_the_period_that_had_expired() {
        for start in [5, 8, 19] {
            let (change, _, end, period, accepted, _) = story(&[(10, 5, 20, false), (30, start, 60, false)]);
            assert_eq!((change, end, period, accepted), (Change::Refired, 60, 1, 10));
        }
        let (change, start, _, period, accepted, _) = story(&[(10, 5, 20, false), (30, 25, 60, false)]);
        assert_eq!((change, start, period, accepted), (Change::Refired, 25, 2, 30));
    }

    #[test]
    fn an_explicit_end_wins_over_any_firing_copy_of_its_period() {
        let (over, _) = after(&[(10, 5, 100, false), (20, 5, 15, false)]);
        let (firing, _) = after(&[(10, 5, 100, false), (40, 5, 900, false)]);
        let merged = merge(&over, &firing);
        assert_eq!((merged.explicit, merged.ends_at), (true, Some(at(15))));
        assert_eq!(merged, merge(&firing, &over));
    }

    #[test]
    fn a_later_period_wins_whole() {
        let (over, _) = after(&[(10, 5, 100, false), (20, 5, 15, false)]);
        let (again, _) = after(&[(10, 5, 100, false), (20, 5, 15, false), (30, 25, 99, false)]);
        assert_eq!(merge(&over, &again), again);
        assert_eq!(change_between(&over, &merge(&over, &again), at(31)), Change::Refired);
    }

    prop_compose! {
        fn any_alert()(
            note in 0u8..3, url in 0u8..3, starts in 0i64..5, ends in prop::option::of(0i64..6), updated in 0i64..4,
            timeout: bool, period in 1u64..3, accepted in 0i64..4, explicit: bool,
        ) -> Alert {
            Alert {
                labels: Labels::from_pairs([("alertname", "a")]),
                annotations: Labels::from_pairs([("note", note.to_string())]),
                generator_url: url.to_string().into(),
                starts_at: at(starts),
                ends_at: ends.map(at),
                updated_at: at(updated),
                timeout,
                period,
                accepted_at: at(accepted),
                explicit: explicit && ends.is_some(),
            }
        }
    }

    proptest! {
        #[test]
        fn merging_is_a_join(a in any_alert(), b in any_alert(), c in any_alert()) {
            prop_assert_eq!(merge(&a, &a), a.clone());
            prop_assert_eq!(merge(&a, &b), merge(&b, &a));
            prop_assert_eq!(merge(&merge(&a, &b), &c), merge(&a, &merge(&b, &c)));
            prop_assert_eq!(merge(&merge(&a, &b), &b), merge(&a, &b));
        }
    }
}
