//! Three notations of durations: Go's, the same with days and weeks (command-line flags), Prometheus'.

use std::{fmt::Write as _, time::Duration};

use chrono::TimeDelta;

use super::quote;

/// Why a text is no duration; the words are those operators know from Alertmanager.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    #[error("time: invalid duration {}", quote(.0))]
    GoInvalid(String),
    #[error("time: missing unit in duration {}", quote(.0))]
    GoMissingUnit(String),
    #[error("time: unknown unit {} in duration {}", quote(.unit), quote(.text))]
    GoUnknownUnit { unit: String, text: String },
    #[error("empty duration string")]
    Empty,
    #[error("not a valid duration string: {}", quote(.0))]
    Invalid(String),
    #[error("unknown unit {} in duration {}", quote(.unit), quote(.text))]
    UnknownUnit { unit: String, text: String },
    #[error("duration out of range")]
    OutOfRange,
}

const NANOSECOND: u64 = 1;
const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;

/// Go's `time.ParseDuration`: `1h30m`, `1.5h`, `-300ms`, `0`.
pub fn parse_go_duration(text: &str) -> Result<TimeDelta, DurationError> {
    parse_go(text, |unit| match unit {
        "ns" => Some(NANOSECOND),
        "us" | "µs" | "μs" => Some(MICROSECOND),
        "ms" => Some(MILLISECOND),
        "s" => Some(SECOND),
        "m" => Some(MINUTE),
        "h" => Some(HOUR),
        _ => None,
    })
}

/// As [`parse_go_duration`], with days (`d`) and weeks (`w`) as well: the notation of command-line flags.
pub fn parse_flag_duration(text: &str) -> Result<TimeDelta, DurationError> {
    parse_go(text, |unit| match unit {
        "ns" => Some(NANOSECOND),
        "us" | "µs" | "μs" => Some(MICROSECOND),
        "ms" => Some(MILLISECOND),
        "s" => Some(SECOND),
        "m" => Some(MINUTE),
        "h" => Some(HOUR),
        "d" => Some(DAY),
        "w" => Some(WEEK),
        _ => None,
    })
}

fn parse_go(text: &str, unit_of: impl Fn(&str) -> Option<u64>) -> Result<TimeDelta, DurationError> {
    let invalid = || DurationError::GoInvalid(text.to_owned());
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(TimeDelta::zero());
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let (whole, after) = split_digits(rest);
        let (fraction, after_fraction) = match after.strip_prefix('.') {
            Some(after) => split_digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let unit_len = after_fraction.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after_fraction.len());
        let (unit_text, next) = after_fraction.split_at(unit_len);
        if unit_text.is_empty() {
            return Err(DurationError::GoMissingUnit(text.to_owned()));
        }
        let unit = unit_of(unit_text)
            .ok_or_else(|| DurationError::GoUnknownUnit { unit: unit_text.to_owned(), text: text.to_owned() })?;
        total = total.saturating_add(part(whole, fraction, unit).ok_or_else(invalid)?);
        // Go's durations are 64-bit nanoseconds.
        if total > u128::from(i64::MAX.unsigned_abs()) + u128::from(negative) {
            return Err(invalid());
        }
        rest = next;
    }
    let nanos = i128::try_from(total).map_err(|_| invalid())?;
    let signed = i64::try_from(if negative { -nanos } else { nanos }).map_err(|_| invalid())?;
    Ok(TimeDelta::nanoseconds(signed))
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// `whole.fraction` units in nanoseconds; what lies below one is cut off.
fn part(whole: &str, fraction: &str, unit: u64) -> Option<u128> {
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // 18 digits say more than a nanosecond of a week needs, and fit.
    let digits = &fraction[..fraction.len().min(18)];
    let numerator: u128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    let denominator = 10u128.pow(u32::try_from(digits.len()).ok()?);
    Some(u128::from(whole) * u128::from(unit) + numerator * u128::from(unit) / denominator)
}

/// Go's `Duration.String`: `1h0m0s`, `1m30s`, `1.5s`, `10ns`, `0s`.
#[must_use]
pub fn format_go_duration(duration: TimeDelta) -> String {
    let nanos = i128::from(duration.num_seconds()) * i128::from(SECOND) + i128::from(duration.subsec_nanos());
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    let second = u128::from(SECOND);
    if nanos == 0 {
        return "0s".to_owned();
    }
    let small = [(MICROSECOND, NANOSECOND, "ns"), (MILLISECOND, MICROSECOND, "µs"), (SECOND, MILLISECOND, "ms")];
    for (limit, unit, name) in small {
        if nanos < u128::from(limit) {
            return format!("{sign}{}{name}", decimal(nanos, u128::from(unit)));
        }
    }
    let (hours, minutes) = (nanos / second / 3600, nanos / second / 60 % 60);
    let seconds = decimal(nanos % (60 * second), second);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, _) => format!("{sign}{minutes}m{seconds}s"),
        _ => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

/// `value / unit`, a power of ten, without trailing zeros.
fn decimal(value: u128, unit: u128) -> String {
    let (whole, rest) = (value / unit, value % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let width = unit.to_string().len() - 1;
    let digits = format!("{rest:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

/// Units of the Prometheus notation from large to small, in milliseconds; whether a printed one must divide exactly.
const PROMETHEUS_UNITS: [(&str, u64, bool); 7] = [
    ("y", 365 * DAY / MILLISECOND, true),
    ("w", WEEK / MILLISECOND, true),
    ("d", DAY / MILLISECOND, false),
    ("h", HOUR / MILLISECOND, false),
    ("m", MINUTE / MILLISECOND, false),
    ("s", SECOND / MILLISECOND, false),
    ("ms", 1, false),
];

/// The notation of the configuration file: `1d12h`, `5m`, `0`; whole numbers, units from large to small.
pub fn parse_prometheus_duration(text: &str) -> Result<Duration, DurationError> {
    match text {
        "" => return Err(DurationError::Empty),
        "0" => return Ok(Duration::ZERO),
        _ => {}
    }
    let invalid = || DurationError::Invalid(text.to_owned());
    let (mut rest, mut units_left, mut total_ms) = (text, &PROMETHEUS_UNITS[..], 0u64);
    while !rest.is_empty() {
        let (digits, after) = split_digits(rest);
        if digits.is_empty() {
            return Err(invalid());
        }
        let unit_len = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_len);
        if unit.is_empty() {
            return Err(invalid());
        }
        if !PROMETHEUS_UNITS.iter().any(|(name, ..)| *name == unit) {
            return Err(DurationError::UnknownUnit { unit: unit.to_owned(), text: text.to_owned() });
        }
        let place = units_left.iter().position(|(name, ..)| *name == unit).ok_or_else(invalid)?;
        let value: u64 = digits.parse().map_err(|_| DurationError::OutOfRange)?;
        let ms = value.checked_mul(units_left[place].1).ok_or(DurationError::OutOfRange)?;
        total_ms = total_ms.checked_add(ms).ok_or(DurationError::OutOfRange)?;
        units_left = &units_left[place + 1..];
        rest = next;
    }
    // What Go's 64-bit nanoseconds hold: about 292 years.
    if total_ms > i64::MAX.unsigned_abs() / MILLISECOND {
        return Err(DurationError::OutOfRange);
    }
    Ok(Duration::from_millis(total_ms))
}

/// Largest unit first, years and weeks only where they divide exactly: `90d`, `2w`, `1d12h`, `0s`.
#[must_use]
pub fn format_prometheus_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    for (name, unit, exactly) in PROMETHEUS_UNITS {
        if rest >= unit && !(exactly && rest % unit != 0) {
            // Writing to a String cannot fail.
            let _ = write!(out, "{}{name}", rest / unit);
            rest %= unit;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn go_durations_are_read() {
        for (text, nanos) in [
            ("0", 0),
            ("-0", 0),
            ("1h30m", 5_400_000_000_000),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("-5s", -5_000_000_000),
            ("300ms", 300_000_000),
            ("1us", 1_000),
            ("1µs1ns", 1_001),
            ("1.0000000000000000000001ns", 1),
            ("9223372036854775807ns", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
        ] {
            assert_eq!(parse_go_duration(text), Ok(TimeDelta::nanoseconds(nanos)), "{text}");
        }
    }

    #[test]
    fn go_durations_are_refused_in_the_known_words() {
        for (text, error) in [
            ("", "time: invalid duration \"\""),
            ("-", "time: invalid duration \"-\""),
            (".s", "time: invalid duration \".s\""),
            ("s", "time: invalid duration \"s\""),
            ("5", "time: missing unit in duration \"5\""),
            ("1d", "time: unknown unit \"d\" in duration \"1d\""),
            ("1h x", "time: unknown unit \"h x\" in duration \"1h x\""),
            ("9223372036854775808ns", "time: invalid duration \"9223372036854775808ns\""),
            ("99999999999999999999h", "time: invalid duration \"99999999999999999999h\""),
        ] {
            assert_eq!(parse_go_duration(text).map_err(|e| e.to_string()), Err(error.to_owned()), "{text}");
        }
    }

    #[test]
    fn flags_know_days_and_weeks() {
        assert_eq!(parse_flag_duration("1w1d1h"), Ok(TimeDelta::hours(24 * 8 + 1)));
        assert_eq!(parse_flag_duration("1.5d"), Ok(TimeDelta::hours(36)));
        assert!(parse_flag_duration("1y").is_err());
    }

    #[test]
    fn go_durations_are_printed() {
        for (nanos, text) in [
            (0, "0s"),
            (10, "10ns"),
            (1_500, "1.5µs"),
            (300_000_000, "300ms"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
            (61_001_000_000, "1m1.001s"),
            (-1_500_000_000, "-1.5s"),
        ] {
            assert_eq!(format_go_duration(TimeDelta::nanoseconds(nanos)), text);
        }
    }

    #[test]
    fn prometheus_durations_are_read_and_printed() {
        for (text, ms, printed) in [
            ("0", 0, "0s"),
            ("5m", 300_000, "5m"),
            ("1d12h", 129_600_000, "1d12h"),
            ("90d", 7_776_000_000, "90d"),
            ("14d", 1_209_600_000, "2w"),
            ("1y", 31_536_000_000, "1y"),
            ("1y2w3d4h5m6s7ms", 33_019_506_007, "382d4h5m6s7ms"),
            ("100s", 100_000, "1m40s"),
            ("0s", 0, "0s"),
        ] {
            assert_eq!(parse_prometheus_duration(text), Ok(Duration::from_millis(ms)), "{text}");
            assert_eq!(format_prometheus_duration(Duration::from_millis(ms)), printed);
        }
    }

    #[test]
    fn prometheus_durations_are_refused_in_the_known_words() {
        for (text, error) in [
            ("", "empty duration string"),
            ("30", "not a valid duration string: \"30\""),
            ("12h1d", "not a valid duration string: \"12h1d\""),
            ("1h1h", "not a valid duration string: \"1h1h\""),
            ("-5s", "not a valid duration string: \"-5s\""),
            ("00", "not a valid duration string: \"00\""),
            ("1.5h", "unknown unit \".\" in duration \"1.5h\""),
            ("1us", "unknown unit \"us\" in duration \"1us\""),
            ("1M", "unknown unit \"M\" in duration \"1M\""),
            ("5 s", "unknown unit \" s\" in duration \"5 s\""),
            ("293y", "duration out of range"),
            ("99999999999999999999y", "duration out of range"),
        ] {
            assert_eq!(parse_prometheus_duration(text).map_err(|e| e.to_string()), Err(error.to_owned()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn parsers_never_panic(text in any::<String>(), near in "[-+]?([0-9]{0,22}[.]?[0-9]{0,22}[a-zµ]{0,2}){0,4}") {
            for text in [&text, &near] {
                let _ = (parse_go_duration(text), parse_flag_duration(text), parse_prometheus_duration(text));
            }
        }

        #[test]
        fn a_printed_go_duration_reads_back(nanos in any::<i64>()) {
            let duration = TimeDelta::nanoseconds(nanos);
            prop_assert_eq!(parse_go_duration(&format_go_duration(duration)), Ok(duration));
        }

        #[test]
        fn a_printed_prometheus_duration_reads_back(ms in 0..9_223_372_036_854u64) {
            let duration = Duration::from_millis(ms);
            prop_assert_eq!(parse_prometheus_duration(&format_prometheus_duration(duration)), Ok(duration));
        }
    }
}
