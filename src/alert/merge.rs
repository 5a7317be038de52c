//! How two pictures of one alert become one: pure rules, no clock, no lock.
//!
//! Two situations differ. [`merge`] joins two *records*, ours and a peer's or a stored one; it is
//! commutative, associative and idempotent, so nodes agree in whatever order records travel.
//! [`absorb`] takes in a *post* of a sender, which alone can start a new period (one firing from its
//! start to its resolution), and follows Alertmanager's rule for overlapping activity.

use std::cmp::Ordering;

use super::{Alert, Interner, Labels, Posted, bounds::Reach};
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
/// The higher period wins whole. Within a period: an explicit end wins over any firing copy, for ever, unless the
/// alert is known to have started again after it (see [`super::Bounds`]); else the later `ends_at` holds (none being
/// the latest); start and acceptance are the earlier ones; annotations, URL and the timeout mark come from the later
/// update, on a tie from the greater content.
#[must_use]
pub fn merge(a: &Alert, b: &Alert) -> Alert {
    match a.period.cmp(&b.period) {
        Ordering::Greater => return a.clone(),
        Ordering::Less => return b.clone(),
        Ordering::Equal => {}
    }
    let text = if content(a) >= content(b) { a } else { b };
    let mut merged = Alert {
        labels: text.labels.clone(),
        annotations: text.annotations.clone(),
        generator_url: text.generator_url.clone(),
        starts_at: a.starts_at.min(b.starts_at),
        ends_at: None,
        updated_at: text.updated_at,
        timeout: text.timeout,
        period: a.period,
        accepted_at: a.accepted_at.min(b.accepted_at),
        explicit: false,
        bounds: None,
    };
    Reach::of(a).joined(Reach::of(b)).put_into(&mut merged);
    merged
}

/// Order of the part that is taken whole from one record. The content behind `updated_at` breaks ties.
fn content(alert: &Alert) -> (Time, &Labels, &str, bool) {
    (alert.updated_at, &alert.annotations, &*alert.generator_url, alert.timeout)
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
    let mut alert = Alert {
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
        bounds: None,
    };
    posted.reach(now).put_into(&mut alert);
    alert
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
///
/// Two posts are from before what is known, and change nothing: the end of an earlier firing than the one that goes on,
/// and a firing that had not ended when it was said. Only nodes that hear of one alert by turns see them.
pub fn absorb(alert: &mut Alert, posted: &Posted<'_>, now: Time, texts: &mut Interner) -> Change {
    if is_late(alert, posted, now) {
        return Change::Refreshed;
    }
    // What a sender has ended is over, also where the clock has not come that far.
    let (was_over, is_over) = (alert.explicit || alert.resolved_at(now), posted.ends_at <= now);
    let refired = was_over && !is_over;
    let (start, end) = merged_times(alert, posted, was_over, is_over);
    let newly_ended = is_over && (!alert.explicit || alert.ends_at != Some(end));

    let begins = refired && (alert.explicit || alert.ends_at.is_some_and(|old_end| posted.starts_at >= old_end));
    let reach = if begins { posted.reach(now) } else { posted.reach_within(alert, end, now) };
    if begins {
        alert.period = alert.period.saturating_add(1);
        alert.accepted_at = now;
    }
    let moved = alert.starts_at != start;
    let rewritten = take_text(alert, posted, texts);
    alert.starts_at = start;
    reach.put_into(alert);
    alert.ends_at = Some(end);
    alert.updated_at = now;
    alert.timeout = posted.timeout;

    match (refired, newly_ended, moved || rewritten) {
        (true, ..) => Change::Refired,
        (_, true, _) => Change::Resolved,
        (_, _, true) => Change::Changed,
        _ => Change::Refreshed,
    }
}

/// Whether the post is from before what is known of the alert.
fn is_late(alert: &Alert, posted: &Posted<'_>, now: Time) -> bool {
    if posted.ends_at > now {
        // Handled by an earlier moment than that of the end: a node that stood still, or whose clock is behind.
        return alert.explicit
            && alert.ends_at.is_some_and(|end| end > now && (posted.starts_at < end || !posted.start_given));
    }
    let is_of_an_earlier_firing = posted.start_given
        && posted.starts_at < posted.ends_at
        && posted.ends_at < alert.newest_start()
        && (alert.period > 1 || alert.starts_at < posted.ends_at);
    is_of_an_earlier_firing && !alert.explicit && !alert.resolved_at(now)
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
            start_given: true,
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

    /// The first record of what one node heard.
    fn heard(posts: &[(i64, i64, i64, bool)]) -> Alert {
        after(posts).0
    }

    /// Two posts of one sender at one moment to two nodes: "it ended at 107" and "it fires since 112".
    #[test]
    fn a_firing_that_began_after_the_end_is_not_ended_by_it_whoever_heard_what() {
        let fires = [(43, 43, 79, false)];
        let ended = heard(&[fires[0], (118, 43, 107, false)]);
        let again = heard(&[fires[0], (100, 43, 136, false), (118, 112, 154, false)]);
        assert_eq!((again.starts_at, again.period), (at(43), 1), "the other node cannot know better");
        let merged = merge(&ended, &again);
        assert_eq!(merged, merge(&again, &ended));
        assert!(!merged.explicit && !merged.resolved_at(at(120)));
        assert_eq!(change_between(&ended, &merged, at(120)), Change::Refired);
        // It stays so whatever copy of the end comes by, and its own end ends it.
        assert_eq!(merge(&merged, &ended), merged);
        let over = heard(&[fires[0], (100, 43, 136, false), (118, 112, 154, false), (160, 112, 158, false)]);
        for record in [merge(&merged, &over), merge(&merge(&over, &ended), &again)] {
            assert_eq!((record.explicit, record.ends_at), (true, Some(at(158))));
        }
    }

    #[test]
    fn a_node_that_hears_only_the_new_end_ends_the_firing_too() {
        let again = heard(&[(43, 43, 150, false), (118, 112, 154, false)]);
        let over = heard(&[(43, 43, 150, false), (160, 112, 158, false)]);
        assert!(merge(&again, &over).explicit);
        // A tool that ends by giving the start once more.
        assert!(merge(&again, &heard(&[(43, 43, 150, false), (160, 112, 112, false)])).explicit);
    }

    #[test]
    fn the_other_of_two_replicas_is_ended_as_ever() {
        let both = heard(&[(43, 43, 150, false), (45, 45, 150, false)]);
        assert!(merge(&both, &heard(&[(43, 43, 150, false), (108, 43, 107, false)])).explicit);
    }

    #[test]
    fn a_start_that_no_sender_gave_is_no_new_firing() {
        let made_up = |now: i64| Posted { start_given: false, ..post(now, now + 300, true) };
        let mut alert = accept(&made_up(43), 1, at(43), &mut Interner::default());
        for now in [60, 90, 120] {
            absorb(&mut alert, &made_up(now), at(now), &mut Interner::default());
        }
        // The sender's clock is behind by ten seconds.
        let over = heard(&[(43, 43, 343, true), (122, 112, 112, false)]);
        assert!(merge(&alert, &over).explicit);
    }

    #[test]
    fn the_late_end_of_an_earlier_firing_changes_nothing_and_a_senders_own_word_always_does() {
        let (fires, again, late) = ((43, 43, 150, false), (118, 112, 190, false), (130, 43, 107, false));
        assert_eq!(story(&[fires, again, late]), (Change::Refreshed, 43, 190, 1, 43, false));
        let apart = [fires, (107, 43, 107, false), again, (130, 44, 108, false)];
        assert_eq!(story(&apart), (Change::Refreshed, 112, 190, 2, 118, false));
        assert_eq!(story(&[fires, again, (130, 112, 120, false)]).0, Change::Resolved);
        // Nothing is known of an earlier firing: the last word of the only sender counts.
        assert_eq!(story(&[again, late]).0, Change::Resolved);
    }

    #[test]
    fn a_firing_that_waited_beyond_its_end_is_late_and_one_that_began_after_it_is_a_new_period() {
        let ended = heard(&[(43, 43, 150, false), (118, 43, 107, false)]);
        // By the moment at which this node stood still, or by a clock that is behind.
        let at_95 = |starts| {
            let mut alert = ended.clone();
            let change = absorb(&mut alert, &post(starts, 190, false), at(95), &mut Interner::default());
            (change, alert.period, alert.explicit)
        };
        assert_eq!(at_95(43), (Change::Refreshed, 1, true));
        assert_eq!(at_95(112), (Change::Refired, 2, false));
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
            bounds in proptest::array::uniform3(prop::option::of(0i64..6)),
        ) -> Alert {
            let mut alert = Alert {
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
                bounds: None,
            };
            let plain = Reach::of(&alert);
            let newest_start = bounds[0].map_or(plain.newest_start, at);
            let ended = plain.ended.map(|(through, end)| (bounds[1].map_or(through, at).max(newest_start), end));
            let fires_until = if alert.explicit { bounds[2].map(at) } else { plain.fires_until };
            Reach { newest_start, ended, fires_until }.put_into(&mut alert);
            alert
        }
    }

    /// One post: seconds since the one before, start, end, whose start was made up.
    fn any_posts() -> impl Strategy<Value = Vec<(i64, i64, i64, bool)>> {
        prop::collection::vec((0i64..4, 0i64..12, 0i64..12, any::<bool>()), 1..6)
    }

    fn record_of(posts: &[(i64, i64, i64, bool)]) -> Alert {
        let mut now = 0;
        let mut record: Option<Alert> = None;
        for (pause, starts, length, start_given) in posts {
            now += pause;
            let posted = Posted { start_given: *start_given, ..post(*starts, starts + length, false) };
            match &mut record {
                Some(alert) => _ = absorb(alert, &posted, at(now), &mut Interner::default()),
                None => record = Some(accept(&posted, 1, at(now), &mut Interner::default())),
            }
        }
        record.unwrap()
    }

    proptest! {
        #[test]
        fn merging_is_a_join(a in any_alert(), b in any_alert(), c in any_alert()) {
            prop_assert_eq!(merge(&a, &a), a.clone());
            prop_assert_eq!(merge(&a, &b), merge(&b, &a));
            prop_assert_eq!(merge(&merge(&a, &b), &c), merge(&a, &merge(&b, &c)));
            prop_assert_eq!(merge(&merge(&a, &b), &b), merge(&a, &b));
        }

        #[test]
        fn merging_what_nodes_heard_is_a_join(a in any_posts(), b in any_posts(), c in any_posts()) {
            let (a, b, c) = (record_of(&a), record_of(&b), record_of(&c));
            prop_assert_eq!(merge(&a, &a), a.clone());
            prop_assert_eq!(merge(&a, &b), merge(&b, &a));
            prop_assert_eq!(merge(&merge(&a, &b), &c), merge(&a, &merge(&b, &c)));
        }

        /// Who says nothing of bounds, as the first releases do, is joined as they join.
        #[test]
        fn records_without_bounds_are_joined_as_ever(a in any_alert(), b in any_alert()) {
            let first = |alert: &Alert| alert.ends_at.map_or(alert.starts_at, |end| end.min(alert.starts_at));
            let plain = |alert: Alert| Alert { starts_at: first(&alert), bounds: None, ..alert };
            let (a, b) = (plain(a), plain(b));
            prop_assume!(a.period == b.period);
            let began_after = |x: &Alert, end: Time| !x.explicit && x.starts_at >= end;
            let is_later = |x: &Alert, y: &Alert| y.explicit && y.ends_at.is_some_and(|end| began_after(x, end));
            prop_assume!(!is_later(&b, &a) && !is_later(&a, &b));
            let merged = merge(&a, &b);
            prop_assert_eq!(merged.explicit, a.explicit || b.explicit);
            let of_kind = [&a, &b].into_iter().filter(|x| x.explicit == merged.explicit);
            let ends: Vec<Time> = of_kind.map(|x| x.ends_at.unwrap_or(Time::MAX_UTC)).collect();
            prop_assert_eq!(merged.ends_at.unwrap_or(Time::MAX_UTC), *ends.iter().max().unwrap());
        }
    }
}
