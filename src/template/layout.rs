//! Go's time layouts: a layout shows the reference moment, `Mon Jan 2 15:04:05 MST 2006`.

use std::fmt::Write as _;

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, TimeDelta, Timelike, Utc};

use super::gotime::{Moment, Zone};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// `time.Month.String`.
pub fn month_name(month: i64) -> String {
    name_at(&MONTHS, month - 1).map_or_else(|| format!("%!Month({month})"), str::to_owned)
}

/// `time.Weekday.String`.
pub fn weekday_name(day: i64) -> String {
    name_at(&DAYS, day).map_or_else(|| format!("%!Weekday({day})"), str::to_owned)
}

fn name_at(names: &[&'static str], index: i64) -> Option<&'static str> {
    usize::try_from(index).ok().and_then(|index| names.get(index)).copied()
}

/// `+0200`: what stands for the abbreviation of a zone that has none.
pub fn numeric_zone(seconds: i32) -> String {
    let mut out = String::new();
    push_offset(&mut out, seconds, false, true, false);
    out
}

/// `-05`, `+0530`: how the zone database abbreviates zones that nobody gave a name.
pub fn short_zone(seconds: i32) -> String {
    let mut out = String::new();
    push_offset(&mut out, seconds, false, seconds % 3600 != 0, false);
    out
}

/// One element of a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    LongMonth,
    ShortMonth,
    NumericMonth,
    PaddedMonth,
    LongDay,
    ShortDay,
    Day,
    BlankPaddedDay,
    PaddedDay,
    BlankPaddedYearDay,
    PaddedYearDay,
    Hour24,
    Hour12,
    PaddedHour12,
    Minute,
    PaddedMinute,
    Second,
    PaddedSecond,
    LongYear,
    ShortYear,
    UpperPm,
    LowerPm,
    ZoneName,
    /// `Z07:00` and its like print `Z` for UTC. Colons, minutes, seconds follow from the length.
    Offset {
        z: bool,
        colon: bool,
        minutes: bool,
        seconds: bool,
    },
    /// `.000` and its like; with nines, trailing zeros go.
    Fraction {
        digits: usize,
        trims: bool,
        comma: bool,
    },
}

/// Longer ones before their beginnings.
const ELEMENTS: [(&str, Element); 33] = [
    ("January", Element::LongMonth),
    ("Jan", Element::ShortMonth),
    ("Monday", Element::LongDay),
    ("Mon", Element::ShortDay),
    ("MST", Element::ZoneName),
    ("2006", Element::LongYear),
    ("__2", Element::BlankPaddedYearDay),
    ("_2006", Element::LongYear),
    ("_2", Element::BlankPaddedDay),
    ("002", Element::PaddedYearDay),
    ("01", Element::PaddedMonth),
    ("02", Element::PaddedDay),
    ("03", Element::PaddedHour12),
    ("04", Element::PaddedMinute),
    ("05", Element::PaddedSecond),
    ("06", Element::ShortYear),
    ("15", Element::Hour24),
    ("1", Element::NumericMonth),
    ("2", Element::Day),
    ("3", Element::Hour12),
    ("4", Element::Minute),
    ("5", Element::Second),
    ("PM", Element::UpperPm),
    ("pm", Element::LowerPm),
    ("-070000", Element::Offset { z: false, colon: false, minutes: true, seconds: true }),
    ("-07:00:00", Element::Offset { z: false, colon: true, minutes: true, seconds: true }),
    ("-0700", Element::Offset { z: false, colon: false, minutes: true, seconds: false }),
    ("-07:00", Element::Offset { z: false, colon: true, minutes: true, seconds: false }),
    ("-07", Element::Offset { z: false, colon: false, minutes: false, seconds: false }),
    ("Z070000", Element::Offset { z: true, colon: false, minutes: true, seconds: true }),
    ("Z07:00:00", Element::Offset { z: true, colon: true, minutes: true, seconds: true }),
    ("Z0700", Element::Offset { z: true, colon: false, minutes: true, seconds: false }),
    ("Z07:00", Element::Offset { z: true, colon: true, minutes: true, seconds: false }),
];
const HOUR_ONLY_Z: Element = Element::Offset { z: true, colon: false, minutes: false, seconds: false };

/// The text before the next element, the element, and the rest of the layout.
fn split(layout: &str) -> Option<(&str, Element, &str)> {
    for (at, c) in layout.char_indices() {
        let rest = layout.get(at..).unwrap_or("");
        if let Some((element, length)) = element_at(rest, c) {
            let before = layout.get(..at).unwrap_or("");
            return Some((before, element, rest.get(length..).unwrap_or("")));
        }
    }
    None
}

fn element_at(rest: &str, first: char) -> Option<(Element, usize)> {
    if matches!(first, '.' | ',') {
        return fraction_at(rest);
    }
    for (text, element) in ELEMENTS {
        if !rest.starts_with(text) {
            continue;
        }
        let after = rest.get(text.len()..).unwrap_or("");
        match element {
            // "Janus" is text.
            Element::ShortMonth | Element::ShortDay if after.starts_with(|c: char| c.is_ascii_lowercase()) => continue,
            // "_2006" is an underscore and a year.
            Element::LongYear if text.starts_with('_') => return None,
            _ => return Some((element, text.len())),
        }
    }
    rest.starts_with("Z07").then_some((HOUR_ONLY_Z, 3))
}

fn fraction_at(rest: &str) -> Option<(Element, usize)> {
    let digit = rest.chars().nth(1).filter(|c| matches!(c, '0' | '9'))?;
    let tail = rest.get(1..).unwrap_or("");
    let digits = tail.len() - tail.trim_start_matches(digit).len();
    let after = tail.get(digits..).unwrap_or("");
    if after.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let element = Element::Fraction { digits, trims: digit == '9', comma: rest.starts_with(',') };
    Some((element, digits + 1))
}

/// `Time.Format`.
pub fn format(moment: &Moment, layout: &str) -> String {
    let (local, offset, zone) = moment.local();
    let mut out = String::with_capacity(layout.len() + 8);
    let mut rest = layout;
    while let Some((before, element, after)) = split(rest) {
        out.push_str(before);
        push_element(&mut out, element, &local, offset, &zone);
        rest = after;
    }
    out.push_str(rest);
    out
}

fn push_element(out: &mut String, element: Element, t: &DateTime<FixedOffset>, offset: i32, zone: &str) {
    let (_, hour12) = t.hour12();
    let month = month_name(i64::from(t.month()));
    let day = weekday_name(i64::from(t.weekday().num_days_from_sunday()));
    let year = t.year();
    // Writing to a String cannot fail.
    let _ = match element {
        Element::LongMonth => write!(out, "{month}"),
        Element::ShortMonth => write!(out, "{month:.3}"),
        Element::NumericMonth => write!(out, "{}", t.month()),
        Element::PaddedMonth => write!(out, "{:02}", t.month()),
        Element::LongDay => write!(out, "{day}"),
        Element::ShortDay => write!(out, "{day:.3}"),
        Element::Day => write!(out, "{}", t.day()),
        Element::BlankPaddedDay => write!(out, "{:2}", t.day()),
        Element::PaddedDay => write!(out, "{:02}", t.day()),
        Element::BlankPaddedYearDay => write!(out, "{:3}", t.ordinal()),
        Element::PaddedYearDay => write!(out, "{:03}", t.ordinal()),
        Element::Hour24 => write!(out, "{:02}", t.hour()),
        Element::Hour12 => write!(out, "{hour12}"),
        Element::PaddedHour12 => write!(out, "{hour12:02}"),
        Element::Minute => write!(out, "{}", t.minute()),
        Element::PaddedMinute => write!(out, "{:02}", t.minute()),
        Element::Second => write!(out, "{}", t.second()),
        Element::PaddedSecond => write!(out, "{:02}", t.second()),
        Element::LongYear if year < 0 => write!(out, "-{:04}", -i64::from(year)),
        Element::LongYear => write!(out, "{year:04}"),
        Element::ShortYear => write!(out, "{:02}", year.rem_euclid(100)),
        Element::UpperPm => write!(out, "{}", if t.hour() >= 12 { "PM" } else { "AM" }),
        Element::LowerPm => write!(out, "{}", if t.hour() >= 12 { "pm" } else { "am" }),
        Element::ZoneName => write!(out, "{zone}"),
        Element::Offset { z: true, .. } if offset == 0 => write!(out, "Z"),
        Element::Offset { colon, minutes, seconds, .. } => {
            push_offset(out, offset, colon, minutes, seconds);
            Ok(())
        }
        Element::Fraction { digits, trims, comma } => {
            push_fraction(out, t.nanosecond(), digits, trims, comma);
            Ok(())
        }
    };
}

fn push_offset(out: &mut String, offset: i32, colon: bool, minutes: bool, seconds: bool) {
    let colon = if colon { ":" } else { "" };
    let total = offset.abs();
    let _ = write!(out, "{}{:02}", if offset < 0 { '-' } else { '+' }, total / 3600);
    if minutes {
        let _ = write!(out, "{colon}{:02}", total / 60 % 60);
    }
    if seconds {
        let _ = write!(out, "{colon}{:02}", total % 60);
    }
}

fn push_fraction(out: &mut String, nanos: u32, digits: usize, trims: bool, comma: bool) {
    let mut text = format!("{nanos:09}");
    text.truncate(digits);
    if trims {
        text.truncate(text.trim_end_matches('0').len());
    }
    if text.is_empty() {
        return;
    }
    out.push(if comma { ',' } else { '.' });
    out.push_str(&text);
}

/// `time.Parse`: UTC where the text names no zone.
pub fn parse(layout: &str, text: &str) -> Result<Moment, String> {
    let mut parts = Parts::default();
    let mut rest = text;
    let mut pattern = layout;
    let fail = |part: &str, element: &str| {
        let quote = super::ast::quoted;
        Err(format!(
            "parsing time {} as {}: cannot parse {} as {}",
            quote(text),
            quote(layout),
            quote(part),
            quote(element)
        ))
    };
    loop {
        let Some((before, element, after)) = split(pattern) else {
            return match skip_literal(rest, pattern) {
                Some("") => {
                    parts.moment().map_err(|problem| format!("parsing time {}: {problem}", super::ast::quoted(text)))
                }
                Some(extra) => {
                    Err(format!("parsing time {}: extra text: {}", super::ast::quoted(text), super::ast::quoted(extra)))
                }
                None => fail(rest, pattern),
            };
        };
        let Some(value) = skip_literal(rest, before) else {
            return fail(rest, before);
        };
        let shown = pattern.get(before.len()..pattern.len() - after.len()).unwrap_or("");
        match parts.take(element, value, after) {
            Some(remaining) => rest = remaining,
            None => return fail(value, shown),
        }
        pattern = after;
    }
}

/// Past the text between elements; a blank in the layout stands for any number of blanks.
fn skip_literal<'a>(text: &'a str, literal: &str) -> Option<&'a str> {
    let mut text = text;
    let mut literal = literal;
    while let Some(c) = literal.chars().next() {
        if c == ' ' {
            if !text.is_empty() && !text.starts_with(' ') {
                return None;
            }
            text = text.trim_start_matches(' ');
            literal = literal.trim_start_matches(' ');
            continue;
        }
        text = text.strip_prefix(c)?;
        literal = literal.get(c.len_utf8()..).unwrap_or("");
    }
    Some(text)
}

/// What has been read so far.
#[derive(Default)]
struct Parts {
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    year_day: Option<u32>,
    hour: u32,
    minute: u32,
    second: u32,
    nanos: u32,
    pm: Option<bool>,
    offset: Option<i32>,
    zone: Option<String>,
}

impl Parts {
    /// Reads one element at the beginning of `text`; the rest of it.
    fn take<'a>(&mut self, element: Element, text: &'a str, after: &str) -> Option<&'a str> {
        let (rest, value) = match element {
            Element::LongMonth => named(text, &MONTHS, false)?,
            Element::ShortMonth => named(text, &MONTHS, true)?,
            Element::LongDay => return named(text, &DAYS, false).map(|(rest, _)| rest),
            Element::ShortDay => return named(text, &DAYS, true).map(|(rest, _)| rest),
            Element::LongYear => digits(text, 4, 4)?,
            Element::PaddedYearDay => digits(text, 3, 3)?,
            Element::BlankPaddedYearDay => digits(text.trim_start_matches(' '), 1, 3)?,
            Element::BlankPaddedDay => digits(text.strip_prefix(' ').unwrap_or(text), 1, 2)?,
            Element::NumericMonth | Element::Day | Element::Hour12 | Element::Minute | Element::Second => {
                digits(text, 1, 2)?
            }
            Element::PaddedMonth | Element::ShortYear | Element::PaddedDay => digits(text, 2, 2)?,
            Element::Hour24 | Element::PaddedHour12 => digits(text, 1, 2)?,
            Element::PaddedMinute | Element::PaddedSecond => digits(text, 2, 2)?,
            Element::UpperPm | Element::LowerPm => return self.take_pm(element, text),
            Element::ZoneName => return self.take_zone(text),
            Element::Offset { z, colon, minutes, seconds } => {
                return self.take_offset(text, z, colon, minutes, seconds);
            }
            Element::Fraction { digits, trims, .. } => return self.take_fraction(text, digits, trims),
        };
        match element {
            Element::LongMonth | Element::ShortMonth => self.month = Some(value + 1),
            Element::NumericMonth | Element::PaddedMonth => self.month = Some(value),
            Element::LongYear => self.year = i32::try_from(value).ok(),
            Element::ShortYear => {
                let year = i32::try_from(value).ok()?;
                self.year = Some(if year >= 69 { 1900 + year } else { 2000 + year });
            }
            Element::PaddedYearDay | Element::BlankPaddedYearDay => self.year_day = Some(value),
            Element::Hour24 if value < 24 => self.hour = value,
            Element::Hour12 | Element::PaddedHour12 if value <= 12 => self.hour = value,
            Element::Minute | Element::PaddedMinute if value < 60 => self.minute = value,
            Element::Second | Element::PaddedSecond if value < 60 => {
                self.second = value;
                return self.implied_fraction(rest, after);
            }
            Element::Day | Element::PaddedDay | Element::BlankPaddedDay => self.day = Some(value),
            _ => return None,
        }
        Some(rest)
    }

    /// Seconds may carry a fraction that the layout does not mention.
    fn implied_fraction<'a>(&mut self, rest: &'a str, after: &str) -> Option<&'a str> {
        let expected = matches!(split(after), Some(("", Element::Fraction { .. }, _)));
        let present = rest.starts_with(['.', ',']) && rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
        if !present || expected {
            return Some(rest);
        }
        self.take_fraction(rest, 0, true)
    }

    fn take_fraction<'a>(&mut self, text: &'a str, wanted: usize, trims: bool) -> Option<&'a str> {
        let Some(tail) = text.strip_prefix(['.', ',']) else {
            return trims.then_some(text);
        };
        let found = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let length = if trims { found } else { wanted };
        if length == 0 || length > found {
            return None;
        }
        let nine: String = tail.chars().take(length).chain(std::iter::repeat('0')).take(9).collect();
        self.nanos = nine.parse().ok()?;
        tail.get(length..)
    }

    fn take_pm<'a>(&mut self, element: Element, text: &'a str) -> Option<&'a str> {
        let (pm, am) = if element == Element::UpperPm { ("PM", "AM") } else { ("pm", "am") };
        let (first, rest) = text.split_at_checked(2)?;
        self.pm = Some(if first == pm {
            true
        } else if first == am {
            false
        } else {
            return None;
        });
        Some(rest)
    }

    fn take_zone<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let letters = text.len() - text.trim_start_matches(|c: char| c.is_ascii_uppercase()).len();
        if (3..=5).contains(&letters) {
            let (name, rest) = text.split_at_checked(letters)?;
            self.zone = Some(name.to_owned());
            return Some(rest);
        }
        // "+03": a zone that is abbreviated by its offset.
        let sign = text.chars().next().filter(|c| matches!(c, '+' | '-'))?;
        let (rest, hours) = digits(text.get(1..)?, 2, 2)?;
        let seconds = i32::try_from(hours).ok()? * 3600;
        self.offset = Some(if sign == '-' { -seconds } else { seconds });
        Some(rest)
    }

    fn take_offset<'a>(
        &mut self,
        text: &'a str,
        z: bool,
        colon: bool,
        minutes: bool,
        seconds: bool,
    ) -> Option<&'a str> {
        if z && let Some(rest) = text.strip_prefix('Z') {
            self.offset = Some(0);
            return Some(rest);
        }
        let sign = match text.chars().next()? {
            '+' => 1,
            '-' => -1,
            _ => return None,
        };
        let (mut rest, hours) = digits(text.get(1..)?, 2, 2)?;
        let mut total = hours * 3600;
        for (wanted, unit) in [(minutes, 60), (seconds, 1)] {
            if wanted {
                if colon {
                    rest = rest.strip_prefix(':')?;
                }
                let (after, value) = digits(rest, 2, 2)?;
                rest = after;
                total += value * unit;
            }
        }
        self.offset = Some(sign * i32::try_from(total).ok()?);
        Some(rest)
    }

    fn moment(self) -> Result<Moment, &'static str> {
        let hour = match self.pm {
            Some(true) if self.hour < 12 => self.hour + 12,
            Some(false) if self.hour == 12 => 0,
            _ => self.hour,
        };
        let year = self.year.unwrap_or(0);
        let date = match self.year_day {
            Some(day) if self.month.is_none() => NaiveDate::from_yo_opt(year, day).ok_or("day-of-year out of range")?,
            _ => {
                let month = self.month.unwrap_or(1);
                if !(1..=12).contains(&month) {
                    return Err("month out of range");
                }
                NaiveDate::from_ymd_opt(year, month, self.day.unwrap_or(1)).ok_or("day out of range")?
            }
        };
        let naive = date.and_hms_nano_opt(hour, self.minute, self.second, self.nanos).ok_or("hour out of range")?;
        let offset = self.offset.unwrap_or(0);
        let at: DateTime<Utc> =
            naive.checked_sub_signed(TimeDelta::seconds(i64::from(offset))).ok_or("time out of range")?.and_utc();
        let zone = match self.zone {
            Some(name) if name != "UTC" => Zone::Fixed(offset, name),
            _ if offset != 0 => Zone::Fixed(offset, String::new()),
            _ => Zone::Utc,
        };
        Ok(Moment { at, zone })
    }
}

/// Between `min` and `max` digits.
fn digits(text: &str, min: usize, max: usize) -> Option<(&str, u32)> {
    let found = text.bytes().take(max).take_while(u8::is_ascii_digit).count();
    if found < min {
        return None;
    }
    let (digits, rest) = text.split_at_checked(found)?;
    Some((rest, digits.parse().ok()?))
}

/// A name in any letter case, whole or its first three letters; its place in the list.
fn named<'a>(text: &'a str, names: &[&'static str], short: bool) -> Option<(&'a str, u32)> {
    for (i, name) in names.iter().enumerate() {
        let name = if short { name.get(..3)? } else { name };
        if text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)) {
            return Some((text.get(name.len()..)?, u32::try_from(i).ok()?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> Moment {
        Moment::from_offset(DateTime::parse_from_rfc3339(text).unwrap())
    }

    #[test]
    fn every_element_prints() {
        let t = moment("2024-05-06T17:08:09.123456789+02:00");
        for (layout, text) in [
            ("Monday Mon January Jan 1 01 2 _2 02 002 __2 06 2006", "Monday Mon May May 5 05 6  6 06 127 127 24 2024"),
            ("15 3 03 4 04 5 05 PM pm", "17 5 05 8 08 9 09 PM pm"),
            (".000 .999999999 ,00 .0a", ".123 .123456789 ,12 .1a"),
            ("-0700 -07:00 -07 Z0700 Z07:00 MST", "+0200 +02:00 +02 +0200 +02:00 +0200"),
            ("Janus Mond _2006 20060102T150405", "Janus Mond _2024 20240506T170809"),
        ] {
            assert_eq!(t.format(layout), text, "{layout}");
        }
    }

    #[test]
    fn utc_prints_z_and_trimmed_fractions_vanish() {
        let t = moment("2024-05-06T07:08:09Z");
        assert_eq!(t.format("15:04:05.999Z07:00 MST"), "07:08:09Z UTC");
    }

    #[test]
    fn what_was_printed_is_read() {
        for layout in [
            "2006-01-02T15:04:05Z07:00",
            "Mon, 02 Jan 2006 15:04:05 -0700",
            "January _2 2006 3:04:05PM -07:00",
            "2006-002 15:04:05 Z0700",
        ] {
            let t = moment("2024-05-06T17:08:09+02:00");
            assert_eq!(parse(layout, &t.format(layout)).map(|read| read.at), Ok(t.at), "{layout}");
        }
        assert_eq!(
            parse("2006-01-02", "2024-05-06").map(|t| t.to_string()).as_deref(),
            Ok("2024-05-06 00:00:00 +0000 UTC")
        );
        assert_eq!(parse("15:04:05", "07:08:09.5").map(|t| t.at.nanosecond()), Ok(500_000_000));
    }

    #[test]
    fn unreadable_times_are_errors_in_gos_words() {
        assert_eq!(
            parse("2006-01-02", "x").err().as_deref(),
            Some("parsing time \"x\" as \"2006-01-02\": cannot parse \"x\" as \"2006\"")
        );
        assert_eq!(
            parse("2006-01-02", "2024-13-01").err().as_deref(),
            Some("parsing time \"2024-13-01\": month out of range")
        );
    }
}
