//! Times as people read them: in the reader's zone, with the relative one beside.
//!
//! Today's times are `03:44:26`, those of the last days get the day's name, older ones the date.

use std::{
    fmt::{self, Display},
    str::FromStr as _,
};

use askama::filters::HtmlSafe;
use chrono::{Datelike as _, Days, NaiveDate, NaiveDateTime, NaiveTime, Offset as _, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;

use crate::clock::Time;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The moment at which a page is made, and the zone of its reader.
#[derive(Clone, Copy, Debug)]
pub struct When {
    pub now: Time,
    pub zone: Tz,
}

impl When {
    /// `zone` as the browser calls it; anything unknown is UTC.
    #[must_use]
    pub fn new(now: Time, zone: Option<&str>) -> Self {
        When { now, zone: zone.and_then(|name| Tz::from_str(name).ok()).unwrap_or(Tz::UTC) }
    }

    #[must_use]
    pub fn local(&self, at: Time) -> NaiveDateTime {
        at.with_timezone(&self.zone).naive_local()
    }

    /// The moment at which clocks of the zone show this; of two the earlier, of none the next one.
    #[must_use]
    pub fn moment_of(&self, local: NaiveDateTime) -> Time {
        let mut wanted = local;
        for _ in 0..5 {
            if let Some(at) = self.zone.from_local_datetime(&wanted).earliest() {
                return at.with_timezone(&Utc);
            }
            wanted += TimeDelta::minutes(30);
        }
        local.and_utc()
    }

    /// `Europe/Berlin (UTC+1)`.
    #[must_use]
    pub fn zone_text(&self) -> String {
        let seconds = self.zone.offset_from_utc_datetime(&self.now.naive_utc()).fix().local_minus_utc();
        if self.zone == Tz::UTC {
            return "UTC".to_owned();
        }
        let (sign, minutes) = (if seconds < 0 { '−' } else { '+' }, seconds.abs() / 60);
        let rest = if minutes % 60 == 0 { String::new() } else { format!(":{:02}", minutes % 60) };
        format!("{} (UTC{sign}{}{rest})", self.zone.name(), minutes / 60)
    }

    /// To the second.
    #[must_use]
    pub fn clock(&self, at: Time) -> Moment {
        self.moment(at, "%H:%M:%S")
    }

    /// To the minute.
    #[must_use]
    pub fn short(&self, at: Time) -> Moment {
        self.moment(at, "%H:%M")
    }

    fn moment(&self, at: Time, form: &str) -> Moment {
        let (local, today) = (self.local(at), self.local(self.now).date());
        let days = (local.date() - today).num_days();
        let text = match days {
            0 => local.format(form).to_string(),
            -6..=6 => format!("{} {}", day_name(local.date()), local.format("%H:%M")),
            _ => format!("{} {}", date_text(local.date(), today), local.format("%H:%M")),
        };
        Moment { at, text }
    }

    /// How long ago.
    #[must_use]
    pub fn ago(&self, at: Time) -> String {
        span(self.now - at)
    }

    /// How long until then.
    #[must_use]
    pub fn until(&self, at: Time) -> String {
        span(at - self.now)
    }

    /// For a field of type `datetime-local`.
    #[must_use]
    pub fn field(&self, at: Time) -> String {
        self.local(at).format("%Y-%m-%dT%H:%M").to_string()
    }

    /// What such a field says. Seconds and a blank for the `T` are taken as well.
    #[must_use]
    pub fn read_field(&self, text: &str) -> Option<Time> {
        let text = text.trim();
        let forms = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S"];
        let local = forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
        let year = local.map_or(0, |local| local.year());
        local.filter(|_| (1970..=9999).contains(&year)).map(|local| self.moment_of(local))
    }

    /// The next moment at which it is `hour` o'clock, on that day of the week if one is given.
    #[must_use]
    pub fn next(&self, hour: u32, weekday: Option<chrono::Weekday>) -> Time {
        let here = self.local(self.now);
        let at = NaiveTime::from_hms_opt(hour, 0, 0).unwrap_or_default();
        let days = (0..=7).filter_map(|days| here.date().checked_add_days(Days::new(days)));
        let fits = |date: &NaiveDate| weekday.is_none_or(|day| date.weekday() == day) && date.and_time(at) > here;
        days.into_iter().find(fits).map_or(self.now, |date| self.moment_of(date.and_time(at)))
    }
}

fn day_name(date: NaiveDate) -> &'static str {
    DAYS.get(date.weekday().num_days_from_monday() as usize).copied().unwrap_or_default()
}

fn date_text(date: NaiveDate, today: NaiveDate) -> String {
    let month = MONTHS.get(date.month0() as usize).copied().unwrap_or_default();
    if date.year() == today.year() {
        format!("{} {month}", date.day())
    } else {
        format!("{} {month} {}", date.day(), date.year())
    }
}

/// `45 s`, `18 min`, `5 h`, `3 d`; nothing is negative.
#[must_use]
pub fn span(span: TimeDelta) -> String {
    let seconds = span.num_seconds().max(0);
    match seconds {
        0..=89 => format!("{seconds} s"),
        90..5_400 => format!("{} min", (seconds + 30) / 60),
        5_400..172_800 => format!("{} h", (seconds + 1_800) / 3_600),
        _ => format!("{} d", (seconds + 43_200) / 86_400),
    }
}

/// How long something took: `12 ms`, `0.8 s`, `45 s`.
#[must_use]
pub fn took(time: std::time::Duration) -> String {
    match time.as_millis() {
        ms @ 0..100 => format!("{ms} ms"),
        100..10_000 => format!("{:.1} s", time.as_secs_f64()),
        _ => format!("{} s", time.as_secs()),
    }
}

/// A length of time in full: `2 h`, `1 h 30 min`.
#[must_use]
pub fn length(span: TimeDelta) -> String {
    let mut seconds = span.num_seconds().max(0);
    let mut parts = Vec::new();
    for (unit, size) in [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)] {
        if seconds >= size {
            parts.push(format!("{} {unit}", seconds / size));
            seconds %= size;
        }
    }
    if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }
}

/// A moment as an element that scripts can read.
#[derive(Clone, Debug)]
pub struct Moment {
    at: Time,
    text: String,
}

impl HtmlSafe for Moment {}

impl Moment {
    /// The words alone.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<time datetime=\"{}\">{}</time>", self.at.format("%Y-%m-%dT%H:%M:%SZ"), self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::text::parse_time;

    fn berlin(now: &str) -> When {
        When::new(parse_time(now).unwrap(), Some("Europe/Berlin"))
    }

    #[test]
    fn today_has_no_date_and_other_days_have_names() {
        let when = berlin("2026-11-22T02:58:40Z");
        let text = |at: &str| when.clock(parse_time(at).unwrap()).text;
        assert_eq!(text("2026-11-22T02:44:26Z"), "03:44:26");
        assert_eq!(text("2026-11-20T21:10:00Z"), "Fri 22:10");
        assert_eq!(text("2026-11-23T11:00:00Z"), "Mon 12:00");
        assert_eq!(text("2026-11-12T08:00:00Z"), "12 Nov 09:00");
        assert_eq!(text("2025-11-12T08:00:00Z"), "12 Nov 2025 09:00");
        assert_eq!(when.zone_text(), "Europe/Berlin (UTC+1)");
        assert_eq!(When::new(when.now, Some("<script>")).zone_text(), "UTC");
        assert_eq!(When::new(when.now, Some("Asia/Kolkata")).zone_text(), "Asia/Kolkata (UTC+5:30)");
    }

    #[test]
    fn relative_times_have_one_unit() {
        for (seconds, text) in
            [(-5, "0 s"), (89, "89 s"), (90, "2 min"), (1_080, "18 min"), (5_400, "2 h"), (200_000, "2 d")]
        {
            assert_eq!(span(TimeDelta::seconds(seconds)), text);
        }
        assert_eq!(length(TimeDelta::seconds(5_400)), "1 h 30 min");
        assert_eq!(length(TimeDelta::zero()), "0 s");
        assert_eq!([12, 840, 45_200].map(|ms| took(std::time::Duration::from_millis(ms))), ["12 ms", "0.8 s", "45 s"]);
    }

    #[test]
    fn fields_are_read_as_they_are_written_also_where_the_clock_jumps() {
        let when = berlin("2026-11-22T02:58:40Z");
        let at = parse_time("2026-11-22T04:58:00Z").unwrap();
        assert_eq!(when.field(at), "2026-11-22T05:58");
        assert_eq!(when.read_field(&when.field(at)), Some(at));
        assert_eq!(when.read_field("2027-03-28T02:30"), parse_time("2027-03-28T01:00:00Z").ok(), "skipped in spring");
        assert_eq!(when.read_field("2026-10-25T02:30"), parse_time("2026-10-25T00:30:00Z").ok(), "twice in autumn");
        assert_eq!([when.read_field(""), when.read_field("x"), when.read_field("0001-01-01T00:00")], [None; 3]);
    }

    #[test]
    fn the_next_morning_is_the_next_one() {
        let when = berlin("2026-11-22T02:58:40Z");
        assert_eq!(when.next(8, None), parse_time("2026-11-22T07:00:00Z").unwrap());
        assert_eq!(when.next(3, None), parse_time("2026-11-23T02:00:00Z").unwrap());
        assert_eq!(when.next(8, Some(chrono::Weekday::Mon)), parse_time("2026-11-23T07:00:00Z").unwrap());
        assert_eq!(when.next(3, Some(chrono::Weekday::Sun)), parse_time("2026-11-29T02:00:00Z").unwrap());
    }
}
