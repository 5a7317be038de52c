//! Time intervals: recurring windows of wall-clock time that mute a route or make it active.
//!
//! Texts of the configuration come in, piece by piece; the question "is this moment inside" goes out.
//! What a window is used for, and what it is called, is known elsewhere. Semantics:
//! reference/matchers-and-time.md 8, with the fixed count of days in a month.

use std::fmt;

use chrono::{Datelike as _, Local, NaiveDateTime, Offset as _, TimeDelta, TimeZone as _, Timelike as _};
use chrono_tz::Tz;

use crate::{alert::text::quote, clock::Time};

/// Why a piece of a time interval is refused, in the words of Alertmanager.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeIntervalError {
    #[error("couldn't parse timestamp {0}, invalid format")]
    Timestamp(String),
    #[error("start time cannot be equal or greater than end time")]
    TimesReversed,
    #[error("both start and end times must be provided")]
    TimesIncomplete,
    #[error("couldn't parse range {0}, invalid format")]
    Range(String),
    #[error("{0} is not a valid weekday")]
    Weekday(String),
    /// The sides are named the other way round than meant; kept, since operators search for these words.
    #[error("start day cannot be before end day")]
    WeekdaysReversed,
    #[error("strconv.Atoi: parsing {}: {reason}", quote(.text))]
    Number { text: String, reason: &'static str },
    #[error("{0} is not a valid day of the month: out of range")]
    DayOfMonth(i64),
    #[error("end day must be negative if start day is negative")]
    DayEndPositive,
    #[error("end day {end} is always before start day {begin}")]
    DaysReversed { begin: i64, end: i64 },
    #[error("{0} is not a valid month")]
    Month(String),
    #[error("end month {end} is before start month {begin}")]
    MonthsReversed { begin: &'static str, end: &'static str },
    #[error("end year {end} is before start year {begin}")]
    YearsReversed { begin: i64, end: i64 },
    #[error("unknown time zone {0}")]
    Zone(String),
    #[error("time: invalid location name")]
    ZoneName,
}

/// A named interval's content: it contains a moment if one of its specs does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimeInterval {
    pub specs: Vec<Spec>,
}

impl TimeInterval {
    #[must_use]
    pub fn contains(&self, time: Time) -> bool {
        self.specs.iter().any(|spec| spec.contains(time))
    }
}

/// All fields that are given must contain the moment. A given but empty list contains none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spec {
    pub times: Option<Vec<TimeRange>>,
    pub weekdays: Option<Vec<Range>>,
    pub days_of_month: Option<Vec<Range>>,
    pub months: Option<Vec<Range>>,
    pub years: Option<Vec<Range>>,
    /// UTC if not given.
    pub location: Option<Location>,
}

impl Spec {
    #[must_use]
    pub fn contains(&self, time: Time) -> bool {
        let local = self.location.unwrap_or_default().local(time);
        let minute = i64::from(local.hour() * 60 + local.minute());
        let within = |ranges: &Option<Vec<Range>>, value: i64| {
            ranges.as_ref().is_none_or(|ranges| ranges.iter().any(|r| r.begin <= value && value <= r.end))
        };
        self.times.as_ref().is_none_or(|times| times.iter().any(|t| t.start <= minute && minute < t.end))
            && within(&self.weekdays, i64::from(local.weekday().num_days_from_sunday()))
            && within(&self.months, i64::from(local.month()))
            && within(&self.years, i64::from(local.year()))
            && self.days_of_month.as_ref().is_none_or(|days| days.iter().any(|range| day_within(*range, local)))
    }
}

fn day_within(range: Range, local: NaiveDateTime) -> bool {
    let days = i64::from(local.num_days_in_month());
    let counted = |day: i64| if day < 0 { days + day + 1 } else { day };
    let day = i64::from(local.day());
    range.begin <= days && counted(range.begin) <= day && day <= counted(range.end)
}

/// Minutes of the day, the end not included; 24:00 is 1440.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeRange {
    pub start: i64,
    pub end: i64,
}

impl TimeRange {
    /// From `HH:MM` texts. An empty one counts as not given.
    pub fn parse(start: &str, end: &str) -> Result<Self, TimeIntervalError> {
        if start.is_empty() || end.is_empty() {
            return Err(TimeIntervalError::TimesIncomplete);
        }
        let range = TimeRange { start: minute_of_day(start)?, end: minute_of_day(end)? };
        if range.start >= range.end {
            return Err(TimeIntervalError::TimesReversed);
        }
        Ok(range)
    }

    /// `start` as `HH:MM`, for the dump.
    #[must_use]
    pub fn start_text(&self) -> String {
        clock_text(self.start)
    }

    /// `end` as `HH:MM`, for the dump.
    #[must_use]
    pub fn end_text(&self) -> String {
        clock_text(self.end)
    }
}

fn clock_text(minutes: i64) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

fn minute_of_day(text: &str) -> Result<i64, TimeIntervalError> {
    let invalid = || TimeIntervalError::Timestamp(text.to_owned());
    let [h1, h2, b':', m1, m2] = *text.as_bytes() else { return Err(invalid()) };
    if ![h1, h2, m1, m2].iter().all(u8::is_ascii_digit) {
        return Err(invalid());
    }
    let two = |tens: u8, ones: u8| i64::from(tens - b'0') * 10 + i64::from(ones - b'0');
    match (two(h1, h2), two(m1, m2)) {
        (24, 0) => Ok(1440),
        (hour, minute) if hour < 24 && minute < 60 => Ok(hour * 60 + minute),
        _ => Err(invalid()),
    }
}

/// Both ends included. What the numbers count depends on the [`Field`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    pub begin: i64,
    pub end: i64,
}

/// The fields that are lists of ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Sunday is 0.
    Weekdays,
    /// Negative days count from the end of the month: -1 is its last.
    DaysOfMonth,
    /// January is 1. Other numbers are accepted and never match.
    Months,
    Years,
}

const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

impl Field {
    /// One list element: a value, or two joined by a colon. Names in any case.
    pub fn parse(self, text: &str) -> Result<Range, TimeIntervalError> {
        let text = text.to_lowercase();
        let (begin_text, end_text) = match *text.split(':').collect::<Vec<_>>() {
            [one] => (one, one),
            [begin, end] => (begin, end),
            _ => return Err(TimeIntervalError::Range(text.clone())),
        };
        let range = Range { begin: self.value(begin_text)?, end: self.value(end_text)? };
        self.check(range)?;
        Ok(range)
    }

    fn value(self, text: &str) -> Result<i64, TimeIntervalError> {
        let place = |names: &[&str]| names.iter().position(|name| *name == text).and_then(|i| i64::try_from(i).ok());
        match self {
            Field::Weekdays => place(&WEEKDAYS).ok_or_else(|| TimeIntervalError::Weekday(text.to_owned())),
            Field::Months => match place(&MONTHS) {
                Some(index) => Ok(index + 1),
                None => integer(text).map_err(|_| TimeIntervalError::Month(text.to_owned())),
            },
            Field::DaysOfMonth | Field::Years => integer(text),
        }
    }

    fn check(self, range: Range) -> Result<(), TimeIntervalError> {
        let Range { begin, end } = range;
        match self {
            Field::Weekdays if begin > end => Err(TimeIntervalError::WeekdaysReversed),
            Field::Months if begin > end => {
                Err(TimeIntervalError::MonthsReversed { begin: month_name(begin), end: month_name(end) })
            }
            Field::Years if begin > end => Err(TimeIntervalError::YearsReversed { begin, end }),
            Field::DaysOfMonth => check_days(range),
            _ => Ok(()),
        }
    }

    /// As the dump shows a range: names for weekdays, numbers for the rest.
    #[must_use]
    pub fn show(self, range: Range) -> String {
        let one = |value: i64| match (self, usize::try_from(value).ok().and_then(|i| WEEKDAYS.get(i))) {
            (Field::Weekdays, Some(name)) => (*name).to_owned(),
            _ => value.to_string(),
        };
        if range.begin == range.end { one(range.begin) } else { format!("{}:{}", one(range.begin), one(range.end)) }
    }
}

/// `end` and `begin` may have been given as numbers; of a number that is no month there is no name.
fn month_name(month: i64) -> &'static str {
    usize::try_from(month - 1).ok().and_then(|index| MONTHS.get(index)).copied().unwrap_or("")
}

/// Refuses what no month can contain. Where negative days meet positive ones the shortest month decides.
fn check_days(range: Range) -> Result<(), TimeIntervalError> {
    let Range { begin, end } = range;
    for day in [begin, end] {
        if day == 0 || !(-31..=31).contains(&day) {
            return Err(TimeIntervalError::DayOfMonth(day));
        }
    }
    if begin < 0 && end > 0 {
        return Err(TimeIntervalError::DayEndPositive);
    }
    let counted = |day: i64| if day < 0 { 28 + day } else { day };
    if counted(begin) > counted(end) {
        return Err(TimeIntervalError::DaysReversed { begin, end });
    }
    Ok(())
}

/// Go's `Atoi`: an optional sign and decimal digits.
fn integer(text: &str) -> Result<i64, TimeIntervalError> {
    text.parse::<i64>().map_err(|e| {
        let out_of_range =
            matches!(e.kind(), std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow);
        let reason = if out_of_range { "value out of range" } else { "invalid syntax" };
        TimeIntervalError::Number { text: text.to_owned(), reason }
    })
}

/// A time zone of the IANA data, the machine's own, or UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Location {
    #[default]
    Utc,
    Local,
    Zone(Tz),
}

impl Location {
    /// `Europe/Berlin`, `UTC`, `Local`, or nothing (UTC). Case counts.
    pub fn parse(name: &str) -> Result<Self, TimeIntervalError> {
        match name {
            "" | "UTC" => Ok(Location::Utc),
            "Local" => Ok(Location::Local),
            // Names are paths into the zone data, and may not lead out of it.
            _ if name.contains("..") || name.starts_with('/') || name.contains('\\') => {
                Err(TimeIntervalError::ZoneName)
            }
            _ => name.parse().map(Location::Zone).map_err(|_| TimeIntervalError::Zone(name.to_owned())),
        }
    }

    /// What clocks on the wall show there.
    fn local(self, time: Time) -> NaiveDateTime {
        let utc = time.naive_utc();
        let offset = match self {
            Location::Utc => return utc,
            Location::Local => Local.offset_from_utc_datetime(&utc).fix(),
            Location::Zone(zone) => zone.offset_from_utc_datetime(&utc).fix(),
        };
        // Only at the ends of the calendar, hundreds of thousands of years away, is there no such moment.
        utc.checked_add_signed(TimeDelta::seconds(i64::from(offset.local_minus_utc()))).unwrap_or(utc)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Utc => f.write_str("UTC"),
            Location::Local => f.write_str("Local"),
            Location::Zone(zone) => f.write_str(zone.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::alert::text::parse_time;

    fn time(text: &str) -> Time {
        parse_time(text).unwrap()
    }

    /// A list of ranges, as in the configuration.
    fn ranges(field: Field, texts: &[&str]) -> Option<Vec<Range>> {
        Some(texts.iter().map(|text| field.parse(text).unwrap()).collect())
    }

    fn error(field: Field, text: &str) -> String {
        field.parse(text).unwrap_err().to_string()
    }

    #[test]
    fn elements_are_read_and_shown() {
        for (field, text, begin, end, shown) in [
            (Field::Weekdays, "Monday:friday", 1, 5, "monday:friday"),
            (Field::Weekdays, "SUNDAY", 0, 0, "sunday"),
            (Field::DaysOfMonth, "1:-1", 1, -1, "1:-1"),
            (Field::DaysOfMonth, "+5", 5, 5, "5"),
            (Field::DaysOfMonth, "27:-1", 27, -1, "27:-1"),
            (Field::DaysOfMonth, "-31:-1", -31, -1, "-31:-1"),
            (Field::Months, "january", 1, 1, "1"),
            (Field::Months, "5:August", 5, 8, "5:8"),
            (Field::Months, "0:13", 0, 13, "0:13"),
            (Field::Years, "2024:2030", 2024, 2030, "2024:2030"),
            (Field::Years, "-5", -5, -5, "-5"),
        ] {
            let range = field.parse(text).unwrap();
            assert_eq!((range.begin, range.end, field.show(range).as_str()), (begin, end, shown), "{text}");
        }
    }

    #[test]
    fn elements_are_refused_in_the_known_words() {
        for (field, text, words) in [
            (Field::Weekdays, "mon", "mon is not a valid weekday"),
            (Field::Weekdays, "1", "1 is not a valid weekday"),
            (Field::Weekdays, "monday : friday", "monday  is not a valid weekday"),
            (Field::Weekdays, "saturday:sunday", "start day cannot be before end day"),
            (Field::Weekdays, "monday:tuesday:friday", "couldn't parse range monday:tuesday:friday, invalid format"),
            (Field::DaysOfMonth, "0", "0 is not a valid day of the month: out of range"),
            (Field::DaysOfMonth, "-32", "-32 is not a valid day of the month: out of range"),
            (Field::DaysOfMonth, "-5:5", "end day must be negative if start day is negative"),
            (Field::DaysOfMonth, "28:-1", "end day -1 is always before start day 28"),
            (Field::DaysOfMonth, "first", "strconv.Atoi: parsing \"first\": invalid syntax"),
            (Field::Years, "MMXX", "strconv.Atoi: parsing \"mmxx\": invalid syntax"),
            (
                Field::Years,
                "99999999999999999999",
                "strconv.Atoi: parsing \"99999999999999999999\": value out of range",
            ),
            (Field::Years, "2030:2020", "end year 2020 is before start year 2030"),
            (Field::Months, "jan", "jan is not a valid month"),
            (Field::Months, "5:january", "end month january is before start month may"),
        ] {
            assert_eq!(error(field, text), words);
        }
    }

    #[test]
    fn times_have_two_digits_and_do_not_wrap() {
        let read = |start, end| TimeRange::parse(start, end).map_err(|e| e.to_string());
        assert_eq!(read("00:00", "24:00"), Ok(TimeRange { start: 0, end: 1440 }));
        assert_eq!(
            read("09:05", "23:59").map(|t| (t.start_text(), t.end_text())),
            Ok(("09:05".into(), "23:59".into()))
        );
        for (start, end, words) in [
            ("9:00", "17:00", "couldn't parse timestamp 9:00, invalid format"),
            ("08:60", "17:00", "couldn't parse timestamp 08:60, invalid format"),
            ("24:01", "17:00", "couldn't parse timestamp 24:01, invalid format"),
            ("17:00", "17:00", "start time cannot be equal or greater than end time"),
            ("17:00", "", "both start and end times must be provided"),
        ] {
            assert_eq!(read(start, end), Err(words.to_owned()));
        }
    }

    #[test]
    fn zones_are_looked_up_by_exact_name() {
        assert_eq!(Location::parse("").unwrap().to_string(), "UTC");
        assert_eq!(Location::parse("Local").unwrap(), Location::Local);
        assert_eq!(Location::parse("Europe/Berlin").unwrap().to_string(), "Europe/Berlin");
        assert_eq!(Location::parse("Foo/Bar").unwrap_err().to_string(), "unknown time zone Foo/Bar");
        assert!(Location::parse("europe/berlin").is_err());
    }

    #[test]
    fn a_day_ends_before_its_last_minute_is_over_unless_midnight_is_given() {
        let spec = |start, end| Spec { times: Some(vec![TimeRange::parse(start, end).unwrap()]), ..Spec::default() };
        assert!(spec("09:00", "17:00").contains(time("2024-05-06T09:00:00Z")));
        assert!(spec("09:00", "17:00").contains(time("2024-05-06T16:59:59Z")));
        assert!(!spec("09:00", "17:00").contains(time("2024-05-06T17:00:00Z")));
        assert!(spec("00:00", "24:00").contains(time("2024-05-06T23:59:59Z")));
        assert!(!spec("00:00", "23:59").contains(time("2024-05-06T23:59:30Z")));
    }

    #[test]
    fn days_count_from_either_end_of_the_month() {
        let within = |text: &str, at: &str| {
            Spec { days_of_month: ranges(Field::DaysOfMonth, &[text]), ..Spec::default() }.contains(time(at))
        };
        assert!(within("-1", "2024-02-29") && !within("-1", "2024-02-28") && within("-1", "2023-02-28"));
        assert!(within("1:-1", "2024-04-01") && within("1:-1", "2024-04-30"));
        assert!(within("-31:-30", "2024-04-01") && !within("-31:-30", "2024-04-02"));
        assert!(within("-31:-1", "2024-02-01"));
        assert!(!within("31", "2024-04-30") && within("31", "2024-05-31"));
        assert!(within("30:31", "2024-04-30"));
    }

    #[test]
    fn all_given_fields_must_hold_and_an_empty_list_never_does() {
        assert!(Spec::default().contains(time("2024-05-06")));
        let monday_in_may = Spec {
            weekdays: ranges(Field::Weekdays, &["monday"]),
            months: ranges(Field::Months, &["april", "5"]),
            years: ranges(Field::Years, &["2024:2025"]),
            ..Spec::default()
        };
        assert!(monday_in_may.contains(time("2024-05-06")));
        assert!(!monday_in_may.contains(time("2024-05-07")));
        assert!(!monday_in_may.contains(time("2026-05-04")));
        assert!(!Spec { times: Some(vec![]), ..Spec::default() }.contains(time("2024-05-06")));
        assert!(!Spec { years: Some(vec![]), ..Spec::default() }.contains(time("2024-05-06")));
        assert!(!TimeInterval::default().contains(time("2024-05-06")));
        assert!(
            TimeInterval { specs: vec![Spec { years: Some(vec![]), ..Spec::default() }, monday_in_may] }
                .contains(time("2024-05-06"))
        );
    }

    #[test]
    fn the_clock_on_the_wall_of_the_zone_decides() {
        let location = Some(Location::parse("Europe/Berlin").unwrap());
        let morning =
            Spec { times: Some(vec![TimeRange::parse("02:00", "03:00").unwrap()]), location, ..Spec::default() };
        // Skipped in spring, there twice in autumn.
        assert!(!morning.contains(time("2024-03-31T01:30:00Z")) && !morning.contains(time("2024-03-31T00:30:00Z")));
        assert!(morning.contains(time("2024-10-27T00:30:00Z")) && morning.contains(time("2024-10-27T01:30:00Z")));
        // A month with a change of the clock has all its days.
        let last = Spec { days_of_month: ranges(Field::DaysOfMonth, &["-1"]), location, ..Spec::default() };
        assert!(last.contains(time("2024-03-31T12:00:00Z")) && !last.contains(time("2024-03-30T12:00:00Z")));
        assert!(last.contains(time("2024-03-30T23:30:00Z")));
    }

    proptest! {
        #[test]
        fn reading_and_asking_never_panic(text in any::<String>(), near in "-?[0-9]{1,20}(:-?[a-z0-9]{1,9}){0,2}", seconds in any::<i64>()) {
            for text in [&text, &near] {
                for field in [Field::Weekdays, Field::DaysOfMonth, Field::Months, Field::Years] {
                    let range = field.parse(text).unwrap_or_default();
                    let _ = field.show(range);
                    let spec = Spec { days_of_month: Some(vec![range]), location: Some(Location::Zone(chrono_tz::Europe::Berlin)), ..Spec::default() };
                    if let Some(time) = chrono::DateTime::from_timestamp(seconds % 8_200_000_000_000, 0) {
                        let _ = spec.contains(time);
                    }
                }
                let _ = TimeRange::parse(text, text);
            }
        }
    }
}
