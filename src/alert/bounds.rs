//! Which firings of one period an explicit end is the end of.
//!
//! Behind a load balancer a node may hear that an alert fires again before it hears that it had ended, and takes the
//! new firing for a refresh of the old one. What tells the two apart is the start that the sender gave: moments of one
//! sender, which no node's clock and no order of arrival can shift. So a record remembers the newest such start, and an
//! end how far it reaches; whichever is later holds.

use chrono::TimeDelta;

use super::{Alert, Posted};
use crate::clock::Time;

/// What records of one period need besides the alert's picture to be joined. Each is only written down where it is
/// not what the picture says by itself: most alerts have none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The newest start that a sender gave; otherwise it is that of the alert.
    pub newest_start: Option<Time>,
    /// Of an explicit end: firings that started up to then are over; otherwise those that started before it.
    pub ended_through: Option<Time>,
    /// Of an alert that was ended: until when its senders had said that it fires; `Time::MAX_UTC` for ever.
    pub fires_until: Option<Time>,
}

/// The bounds of an alert with nothing left out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    pub newest_start: Time,
    /// How far the explicit end reaches, and the end itself.
    pub ended: Option<(Time, Time)>,
    pub fires_until: Option<Time>,
}

impl Reach {
    pub fn of(alert: &Alert) -> Self {
        let bounds = alert.bounds.as_deref().copied().unwrap_or_default();
        let newest_start = bounds.newest_start.unwrap_or(alert.starts_at);
        let end = alert.ends_at.unwrap_or(Time::MAX_UTC);
        if alert.explicit {
            let through = bounds.ended_through.unwrap_or_else(|| least_through(end, newest_start));
            Reach { newest_start, ended: Some((through, end)), fires_until: bounds.fires_until }
        } else {
            Reach { newest_start, ended: None, fires_until: Some(end) }
        }
    }

    /// A later firing takes the end back; an end that reaches as far as the newest start holds.
    #[must_use]
    pub fn joined(self, other: Self) -> Self {
        let newest_start = self.newest_start.max(other.newest_start);
        Reach {
            newest_start,
            ended: self.ended.max(other.ended).filter(|(through, _)| *through >= newest_start),
            fires_until: self.fires_until.max(other.fires_until),
        }
    }

    /// Makes the alert what the bounds say, which are of its period.
    pub fn put_into(self, alert: &mut Alert) {
        alert.explicit = self.ended.is_some();
        let end = self.ended.map(|(_, end)| end).or(self.fires_until);
        alert.ends_at = end.filter(|end| *end != Time::MAX_UTC);
        let through = self.ended.and_then(|(through, end)| {
            let is_plain = through == least_through(end, self.newest_start);
            (!is_plain).then_some(through)
        });
        let bounds = Bounds {
            newest_start: (self.newest_start != alert.starts_at).then_some(self.newest_start),
            ended_through: through,
            fires_until: self.fires_until.filter(|_| alert.explicit),
        };
        if alert.bounds.as_deref().copied().unwrap_or_default() != bounds {
            alert.bounds = Bounds::boxed(bounds);
        }
    }
}

impl Bounds {
    #[must_use]
    pub fn boxed(bounds: Bounds) -> Option<Box<Self>> {
        (bounds != Bounds::default()).then(|| Box::new(bounds))
    }
}

/// An end is that of every firing that started before it, and of those that were known where it was said.
fn least_through(end: Time, newest_start: Time) -> Time {
    let before = end.checked_sub_signed(TimeDelta::nanoseconds(1)).unwrap_or(end);
    before.max(newest_start)
}

impl Alert {
    /// Bounds and an end that another program wrote, made to agree with each other and with the rest, so that joining
    /// the alert with itself changes nothing.
    pub fn tidy_bounds(&mut self) {
        if self.bounds.is_some() || self.ends_at == Some(Time::MAX_UTC) {
            let reach = Reach::of(self);
            reach.joined(reach).put_into(self);
        }
    }

    /// The newest start that a sender gave in this period.
    #[must_use]
    pub fn newest_start(&self) -> Time {
        self.bounds.as_deref().and_then(|bounds| bounds.newest_start).unwrap_or(self.starts_at)
    }
}

impl Posted<'_> {
    /// The start, as far as it is the sender's word: one that was made up moves on with each post.
    fn own_start(&self, now: Time) -> Time {
        if self.start_given { self.starts_at } else { self.starts_at.min(now) }
    }

    /// The bounds of a period that begins with this post.
    pub(super) fn reach(&self, now: Time) -> Reach {
        let (newest_start, is_over) = (self.own_start(now), self.ends_at <= now);
        let through = least_through(self.ends_at, newest_start).max(self.starts_at);
        Reach {
            newest_start,
            ended: is_over.then_some((through, self.ends_at)),
            fires_until: (!is_over).then_some(self.ends_at),
        }
    }

    /// The bounds of the alert after this post, which belongs to its period and leaves it with this end.
    pub(super) fn reach_within(&self, alert: &Alert, end: Time, now: Time) -> Reach {
        let known = Reach::of(alert);
        let newest_start = if self.start_given { known.newest_start.max(self.starts_at) } else { known.newest_start };
        if self.ends_at > now {
            return Reach { newest_start, ended: None, fires_until: Some(end) };
        }
        // Whatever was known here to fire is what the sender ended.
        let through = least_through(end, newest_start).max(self.starts_at);
        let through = known.ended.map_or(through, |(known, _)| known.max(through));
        Reach { newest_start, ended: Some((through, end)), fires_until: known.fires_until }
    }
}
