//! How two pictures of one alert become one: pure rules, no clock, no lock.
//!
//! Two situations differ. [`merge`] joins two *records*, ours and a peer's or a stored one; it is
//! commutative, associative and idempotent, so nodes agree in whatever order records travel.
//! [`absorb`] takes in a *post* of a sender, which alone can start a new period (one firing from its
//! start to its resolution), and follows Alertmanager's rule for overlapping activity.

use std::{cmp::Ordering, sync::Arc};

use super::{Alert, Labels, Posted};
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
pub fn accept(posted: &Posted<'_>, period: u64, now: Time) -> Alert {
    Alert {
        labels: Labels::from_sorted(&posted.labels),
        annotations: Labels::from_sorted(&posted.annotations),
        generator_url: Arc::from(&*posted.generator_url),
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
pub fn absorb(alert: &mut Alert, posted: &Posted<'_>, now: Time) -> Change {
    let old_end = alert.ends_at;
    let was_over = alert.resolved_at(now);
    let post_over = posted.ends_at <= now;
    let refired = was_over && !post_over;

    let begins_period = refired && (alert.explicit || old_end.is_some_and(|end| posted.starts_at >= end));
    let newly_resolved = post_over && (!alert.explicit || overlapped_end(alert, posted, true) != old_end);

    let overlap = overlaps(alert, posted);
    let start = if overlap { alert.starts_at.min(posted.starts_at) } else { posted.starts_at };
    let end = if overlap { overlapped_end(alert, posted, post_over) } else { Some(posted.ends_at) };

    let mut shown = alert.starts_at != start;
    alert.starts_at = start;
    alert.ends_at = end;
    alert.updated_at = now;
    alert.timeout = posted.timeout;
    alert.explicit = post_over;
    if begins_period {
        alert.period = alert.period.saturating_add(1);
        alert.accepted_at = now;
    }
    if !alert.annotations.equals(&posted.annotations) {
        alert.annotations = Labels::from_sorted(&posted.annotations);
        shown = true;
    }
    if *alert.generator_url != *posted.generator_url {
        alert.generator_url = Arc::from(&*posted.generator_url);
        shown = true;
    }

    if refired {
        Change::Refired
    } else if newly_resolved {
        Change::Resolved
    } else if shown {
        Change::Changed
    } else {
        Change::Refreshed
    }
}

/// Either end of the post lies strictly inside the alert's life. A life without a known end has none.
fn overlaps(alert: &Alert, posted: &Posted<'_>) -> bool {
    let inside = |at: Time| at > alert.starts_at && alert.ends_at.is_none_or(|end| at < end);
    inside(posted.starts_at) || inside(posted.ends_at)
}

fn overlapped_end(alert: &Alert, posted: &Posted<'_>, post_over: bool) -> Option<Time> {
    let keep_later = if post_over { alert.explicit } else { !alert.timeout };
    match alert.ends_at {
        Some(end) if keep_later && end > posted.ends_at => Some(end),
        _ => Some(posted.ends_at),
    }
}
