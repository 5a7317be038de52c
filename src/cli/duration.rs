//! Durations of flags: Go's syntax with days and weeks.

use std::time::Duration;

/// `1h30m`, `200ms`, `5d`, `0`. A negative duration is read as zero, which every flag takes as "none".
///
/// # Errors
/// Go's text for what is wrong.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut seconds = 0.0f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        seconds += number
            * match &rest[..unit] {
                "" => return Err(format!("time: missing unit in duration {text:?}")),
                "ns" => 1e-9,
                "us" | "µs" | "μs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                "w" => 7.0 * 86_400.0,
                unit => return Err(format!("time: unknown unit {unit:?} in duration {text:?}")),
            };
        rest = &rest[unit..];
    }
    if seconds > 292.0 * 365.0 * 86_400.0 {
        return Err(invalid());
    }
    Ok(if negative { Duration::ZERO } else { Duration::from_secs_f64(seconds) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_units_days_and_weeks_are_read() {
        for (text, seconds) in [("1h30m", 5400.0), ("5d", 432_000.0), ("1w", 604_800.0), ("200ms", 0.2), ("0", 0.0), ("1.5s", 1.5), ("-3s", 0.0)] {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_secs_f64(seconds), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_go_words() {
        assert_eq!(parse_duration("5q").unwrap_err(), "time: unknown unit \"q\" in duration \"5q\"");
        for text in ["", "-", "x", ".s", "1..s", "99999999999999999999h"] {
            assert_eq!(parse_duration(text).unwrap_err(), format!("time: invalid duration {text:?}"));
        }
    }
}
