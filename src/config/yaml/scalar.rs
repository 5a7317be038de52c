//! What a scalar is: YAML 1.1 with the exceptions of the parser that Alertmanager uses
//! (reference/configuration.md 1). No sexagesimal numbers; what looks like a time stays text.

use super::tree::Tag;

/// A scalar's meaning. Text is not repeated here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    /// Above `i64::MAX`.
    UInt(u64),
    Float(f64),
    Text,
    /// Text that looks like a date or a time.
    Timestamp,
    /// Base64 of bytes.
    Binary,
    Merge,
}

impl Scalar {
    /// The short tag, for messages.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Scalar::Null => "!!null",
            Scalar::Bool(_) => "!!bool",
            Scalar::Int(_) | Scalar::UInt(_) => "!!int",
            Scalar::Float(_) => "!!float",
            Scalar::Text => "!!str",
            Scalar::Timestamp => "!!timestamp",
            Scalar::Binary => "!!binary",
            Scalar::Merge => "!!merge",
        }
    }
}

/// Reads a scalar. `Err` holds what it is when its explicit tag says otherwise.
///
/// # Errors
/// The tag promises another kind of value than the text is.
pub fn resolve(text: &str, plain: bool, tag: Tag) -> Result<Scalar, Scalar> {
    match tag {
        Tag::None if !plain => Ok(Scalar::Text),
        Tag::None => Ok(untagged(text)),
        Tag::Str | Tag::Foreign => Ok(Scalar::Text),
        Tag::Binary => Ok(Scalar::Binary),
        Tag::Null | Tag::Bool | Tag::Int | Tag::Float | Tag::Timestamp | Tag::Merge => {
            let is = untagged(text);
            match (tag, is) {
                (Tag::Float, Scalar::Int(value)) => Ok(Scalar::Float(lossy(value))),
                (Tag::Null, Scalar::Null)
                | (Tag::Bool, Scalar::Bool(_))
                | (Tag::Int, Scalar::Int(_) | Scalar::UInt(_))
                | (Tag::Float, Scalar::Float(_))
                | (Tag::Timestamp, Scalar::Timestamp)
                | (Tag::Merge, Scalar::Merge) => Ok(is),
                _ => Err(is),
            }
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a number written as a float is one")]
fn lossy(value: i64) -> f64 {
    value as f64
}

/// What a plain scalar without a tag is.
#[must_use]
pub fn untagged(text: &str) -> Scalar {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Scalar::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Scalar::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Scalar::Bool(false),
        ".nan" | ".NaN" | ".NAN" => Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Scalar::Float(f64::NEG_INFINITY),
        "<<" => Scalar::Merge,
        _ if text.starts_with('.') => float(text).map_or(Scalar::Text, Scalar::Float),
        _ if text.starts_with(|c: char| c.is_ascii_digit() || c == '+' || c == '-') => number(text),
        _ => Scalar::Text,
    }
}

fn number(text: &str) -> Scalar {
    if looks_like_time(text) {
        return Scalar::Timestamp;
    }
    let digits = text.replace('_', "");
    if let Some(scalar) = integer(&digits) {
        return scalar;
    }
    float(&digits).map_or(Scalar::Text, Scalar::Float)
}

/// Decimal, `0x`, `0o` or a leading `0`, `0b`; a sign before.
fn integer(text: &str) -> Option<Scalar> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = unsigned.to_ascii_lowercase();
    let (digits, radix) = if let Some(digits) = lower.strip_prefix("0x") {
        (digits, 16)
    } else if let Some(digits) = lower.strip_prefix("0b") {
        (digits, 2)
    } else if let Some(digits) = lower.strip_prefix("0o") {
        (digits, 8)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (&lower[1..], 8)
    } else {
        (lower.as_str(), 10)
    };
    if !digits.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        return 0i64.checked_sub_unsigned(magnitude).map(Scalar::Int);
    }
    Some(i64::try_from(magnitude).map_or(Scalar::UInt(magnitude), Scalar::Int))
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let well_formed = digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent));
    // Out of range is no number.
    if well_formed { text.parse().ok().filter(|value: &f64| value.is_finite()) } else { None }
}

/// `2001-12-14`, `2001-12-14 21:59:43`, `2001-12-14t21:59:43.10-05:00`: four digits, a dash, then a date and perhaps a time.
fn looks_like_time(text: &str) -> bool {
    let Some((date, time)) = split_date(text) else { return false };
    if chrono::NaiveDate::from_ymd_opt(date.0, date.1, date.2).is_none() {
        return false;
    }
    let Some(time) = time else { return true };
    let (clock, zoned) = match time.as_bytes().first() {
        Some(b'T' | b't') => (&time[1..], true),
        Some(b' ') => (&time[1..], false),
        _ => return false,
    };
    let end = clock.find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.')).unwrap_or(clock.len());
    let (clock, zone) = clock.split_at(end);
    let zone_fits = match zone {
        "" => !zoned,
        "Z" => zoned,
        _ => zoned && chrono::NaiveTime::parse_from_str(zone.get(1..).unwrap_or(""), "%H:%M").is_ok(),
    };
    let parts: Vec<&str> = clock.split(':').collect();
    let [hour, minute, second] = parts[..] else { return false };
    let below = |part: &str, limit: u32| part.len() <= 2 && part.parse::<u32>().is_ok_and(|value| value < limit);
    let (second, fraction) = second.split_once('.').unwrap_or((second, "0"));
    zone_fits
        && below(hour, 24)
        && below(minute, 60)
        && below(second, 60)
        && !fraction.is_empty()
        && fraction.bytes().all(|byte| byte.is_ascii_digit())
}

type Date = (i32, u32, u32);

fn split_date(text: &str) -> Option<(Date, Option<&str>)> {
    let (year, rest) = text.split_once('-')?;
    let (month, rest) = rest.split_once('-')?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (day, time) = rest.split_at(end);
    let digits = |part: &str, len: std::ops::RangeInclusive<usize>| {
        len.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !(digits(year, 4..=4) && digits(month, 1..=2) && digits(day, 1..=2)) {
        return None;
    }
    Some(((year.parse().ok()?, month.parse().ok()?, day.parse().ok()?), (!time.is_empty()).then_some(time)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_all_notations() {
        for (text, value) in [
            ("12", 12),
            ("+12", 12),
            ("-12", -12),
            ("0x1F", 31),
            ("017", 15),
            ("0o17", 15),
            ("0b11", 3),
            ("1_000", 1000),
            ("0", 0),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(untagged(text), Scalar::Int(value), "{text}");
        }
        assert_eq!(untagged("18446744073709551615"), Scalar::UInt(u64::MAX));
        assert_eq!(untagged("1.5"), Scalar::Float(1.5));
        assert_eq!(untagged("1e3"), Scalar::Float(1000.0));
        assert_eq!(untagged(".5"), Scalar::Float(0.5));
    }

    #[test]
    fn what_only_resembles_a_number_is_text() {
        for text in ["1.2.3", "-", "+", ".", "..", "1e", "0x", "--1", "5m", "08:00", "1:2", "0b2", "- 1", "1e999"] {
            assert_eq!(untagged(text), Scalar::Text, "{text}");
        }
    }

    #[test]
    fn dates_are_told_from_text() {
        for text in
            ["2001-12-14", "2001-1-2", "2001-12-14 21:59:43", "2001-12-14t21:59:43.10-05:00", "2001-12-14T21:59:43Z"]
        {
            assert_eq!(untagged(text), Scalar::Timestamp, "{text}");
        }
        for text in ["2001-13-14", "2001-12-14x", "2001-12-14 25:00:00", "2001-12-14T21:59", "2001-12"] {
            assert_eq!(untagged(text), Scalar::Text, "{text}");
        }
    }

    #[test]
    fn quotes_and_tags_decide() {
        assert_eq!(resolve("true", true, Tag::None), Ok(Scalar::Bool(true)));
        assert_eq!(resolve("true", false, Tag::None), Ok(Scalar::Text));
        assert_eq!(resolve("1", false, Tag::Int), Ok(Scalar::Int(1)));
        assert_eq!(resolve("1", true, Tag::Str), Ok(Scalar::Text));
        assert_eq!(resolve("x", true, Tag::Int), Err(Scalar::Text));
    }
}
