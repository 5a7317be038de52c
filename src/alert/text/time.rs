//! Moments: what the API accepts (reference/server.md 4.2), and two printed forms.

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike as _};

use super::quote;
use crate::clock::Time;

/// The text is no moment in any accepted form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read {} as a date and time", quote(.0))]
pub struct TimeError(pub String);

/// Reads RFC 3339 and the shorter forms of the API; the empty text is the Unix epoch.
///
/// `2006-01-02`, `2006-01-02 15:04:05`, `2006-01-02T15:04`, `…T15:04Z`, `…T15:04:05` (UTC), and
/// `…T15:04:05` with `Z` or an offset, whose colon may be missing. Seconds may have a fraction, of
/// which nine digits count.
pub fn parse_time(text: &str) -> Result<Time, TimeError> {
    if text.is_empty() {
        return Ok(DateTime::UNIX_EPOCH);
    }
    read_time(text).ok_or_else(|| TimeError(text.to_owned()))
}

fn read_time(text: &str) -> Option<Time> {
    let mut input = Input(text.as_bytes());
    let year = i32::try_from(input.digits(4)?).ok()?;
    input.byte(b'-')?;
    let month = input.digits(2)?;
    input.byte(b'-')?;
    let date = NaiveDate::from_ymd_opt(year, month, input.digits(2)?)?;
    if input.is_done() {
        return Some(date.and_time(NaiveTime::MIN).and_utc());
    }
    let spaced = input.byte(b' ').is_some();
    if !spaced {
        input.byte(b'T')?;
    }
    let hour = input.digits(2)?;
    input.byte(b':')?;
    let minute = input.digits(2)?;
    let seconds = input.byte(b':').is_some();
    let (second, nanos) = if seconds { (input.digits(2)?, input.fraction()?) } else { (0, 0) };
    let local = date.and_time(NaiveTime::from_hms_nano_opt(hour, minute, second, nanos)?);
    let offset = match (spaced, seconds) {
        (true, true) => 0,
        (true, false) => return None,
        (false, true) => input.offset_s()?,
        (false, false) => {
            input.byte(b'Z');
            0
        }
    };
    input.is_done().then_some(())?;
    Some(NaiveDateTime::checked_sub_signed(local, TimeDelta::seconds(offset))?.and_utc())
}

/// What is left of the text.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn is_done(&self) -> bool {
        self.0.is_empty()
    }

    fn byte(&mut self, wanted: u8) -> Option<()> {
        let (first, rest) = self.0.split_first()?;
        (*first == wanted).then(|| self.0 = rest)
    }

    fn digits(&mut self, count: usize) -> Option<u32> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        let mut value = 0;
        for digit in digits {
            value = value * 10 + char::from(*digit).to_digit(10)?;
        }
        self.0 = rest;
        Some(value)
    }

    /// Nanoseconds behind a point or comma; zero if there is neither.
    fn fraction(&mut self) -> Option<u32> {
        if self.byte(b'.').is_none() && self.byte(b',').is_none() {
            return Some(0);
        }
        let count = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(count);
        self.0 = rest;
        let mut nanos = 0;
        for place in 0..9 {
            nanos = nanos * 10 + digits.get(place).map_or(0, |digit| u32::from(digit - b'0'));
        }
        (count > 0).then_some(nanos)
    }

    /// Seconds east of Greenwich; UTC if the text ends here.
    fn offset_s(&mut self) -> Option<i64> {
        if self.is_done() || self.byte(b'Z').is_some() {
            return Some(0);
        }
        let sign = if self.byte(b'+').is_some() {
            1
        } else {
            self.byte(b'-')?;
            -1
        };
        let hours = self.digits(2)?;
        let _colon = self.byte(b':');
        let minutes = self.digits(2)?;
        (hours <= 24 && minutes < 60).then_some(sign * i64::from(hours * 3600 + minutes * 60))
    }
}

/// Go's zero time, 0001-01-01T00:00:00Z: how JSON says "not set".
#[must_use]
pub fn is_go_zero(time: Time) -> bool {
    time.timestamp() == -62_135_596_800 && time.timestamp_subsec_nanos() == 0
}

/// The API's form: milliseconds, cut off, always three digits: `2024-05-06T07:08:09.123Z`.
#[must_use]
pub fn format_api_time(time: Time) -> String {
    let mut out = String::with_capacity(24);
    push_seconds(&mut out, time);
    // A leap second is kept by chrono as a fraction above one second; it cannot be parsed in, only computed.
    let ms = (time.nanosecond() / 1_000_000).min(999);
    out.push('.');
    push_padded(&mut out, ms, 3);
    out.push('Z');
    out
}

/// Appends Go's `RFC3339Nano` form: no trailing zeros, no fraction if it is zero.
pub fn push_rfc3339_nano(out: &mut String, time: Time) {
    push_seconds(out, time);
    let nanos = time.nanosecond().min(999_999_999);
    if nanos > 0 {
        out.push('.');
        push_padded(out, nanos, 9);
        out.truncate(out.trim_end_matches('0').len());
    }
    out.push('Z');
}

/// `2024-05-06T07:08:09`. By hand, since alerts are written by the hundred thousand.
fn push_seconds(out: &mut String, time: Time) {
    // Asked itself, each of the parts would be moved to the time zone first.
    let time = time.naive_utc();
    match u32::try_from(time.year()) {
        Ok(year) if year <= 9999 => push_padded(out, year, 4),
        _ => out.push_str(&format!("{:04}", time.year())),
    }
    let parts =
        [('-', time.month()), ('-', time.day()), ('T', time.hour()), (':', time.minute()), (':', time.second())];
    for (separator, part) in parts {
        out.push(separator);
        push_padded(out, part, 2);
    }
}

/// `value` in `width` decimal digits, at most ten.
fn push_padded(out: &mut String, value: u32, width: u32) {
    for place in (0..width).rev() {
        let digit = value / 10u32.pow(place) % 10;
        out.push(char::from_digit(digit, 10).unwrap_or('0'));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn format_rfc3339_nano(time: Time) -> String {
        let mut out = String::new();
        push_rfc3339_nano(&mut out, time);
        out
    }

    fn printed(text: &str) -> String {
        parse_time(text).map_or_else(|e| e.to_string(), format_rfc3339_nano)
    }

    #[test]
    fn every_form_of_the_api_is_read() {
        for (text, time) in [
            ("", "1970-01-01T00:00:00Z"),
            ("2024-05-06T07:08:09Z", "2024-05-06T07:08:09Z"),
            ("2024-05-06T07:08:09.123456789Z", "2024-05-06T07:08:09.123456789Z"),
            ("2024-05-06T07:08:09,5Z", "2024-05-06T07:08:09.5Z"),
            ("2024-05-06T07:08:09.1234567899Z", "2024-05-06T07:08:09.123456789Z"),
            ("2024-05-06T07:08:09.120+02:00", "2024-05-06T05:08:09.12Z"),
            ("2024-05-06T07:08:09-0130", "2024-05-06T08:38:09Z"),
            ("2024-05-06T07:08:09", "2024-05-06T07:08:09Z"),
            ("2024-05-06T07:08:09.5", "2024-05-06T07:08:09.5Z"),
            ("2024-05-06T07:08Z", "2024-05-06T07:08:00Z"),
            ("2024-05-06T07:08", "2024-05-06T07:08:00Z"),
            ("2024-05-06 07:08:09", "2024-05-06T07:08:09Z"),
            ("2024-05-06", "2024-05-06T00:00:00Z"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ] {
            assert_eq!(printed(text), time, "{text}");
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "now",
            "2024",
            "2024-05",
            "2024-13-01",
            "2024-02-30",
            "2024-05-06T",
            "2024-05-06T24:00:00Z",
            "2024-05-06T07:08:60Z",
            "2024-05-06T07:08:09.Z",
            "2024-05-06T07:08:09z",
            "2024-05-06t07:08:09Z",
            "2024-05-06 07:08",
            "2024-05-06T07:08:09+02",
            "2024-05-06T07:08:09+25:00",
            " 2024-05-06",
            "2024-05-06 ",
            "20240506",
            "2024-05-06T07:08+02:00",
        ] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_api_prints_three_digits_cut_off() {
        let time = parse_time("2024-05-06T07:08:09.1239Z").unwrap();
        assert_eq!(format_api_time(time), "2024-05-06T07:08:09.123Z");
        assert_eq!(format_api_time(DateTime::UNIX_EPOCH), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn the_zero_of_go_is_known() {
        assert!(is_go_zero(parse_time("0001-01-01T00:00:00Z").unwrap()));
        assert!(!is_go_zero(DateTime::UNIX_EPOCH));
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in any::<String>(), near in "[0-9]{1,4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]{0,12}[Z+-]?[0-9:]{0,5}") {
            let _ = (parse_time(&text), parse_time(&near));
        }

        #[test]
        fn a_printed_time_reads_back(seconds in -62_135_596_800i64..253_402_300_799, nanos in 0u32..1_000_000_000) {
            let time = DateTime::from_timestamp(seconds, nanos).unwrap();
            prop_assert_eq!(parse_time(&format_rfc3339_nano(time)), Ok(time));
        }
    }
}
