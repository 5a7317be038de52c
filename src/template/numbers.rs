//! Go's number, character and string literals.

use std::sync::Arc;

use super::ast::{Number, quoted};
use crate::alert::text;

/// A string literal in double quotes or backquotes.
pub fn unquote(literal: &str) -> Option<String> {
    if let Some(raw) = literal.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) {
        // Go drops carriage returns from raw strings.
        return Some(raw.replace('\r', ""));
    }
    text::unquote(literal).ok()
}

/// A number or character constant; the error is the message.
pub fn constant(literal: &str, is_char: bool) -> Result<Number, String> {
    let mut number = Number { text: Arc::from(literal), int: None, unsigned_only: false, float: None, complex: None };
    if is_char {
        let c = character(literal).ok_or_else(|| format!("malformed character constant: {literal}"))?;
        number.int = Some(i64::from(c));
        number.float = Some(f64::from(c));
        return Ok(number);
    }
    if literal.ends_with('i') {
        let (real, imaginary) = complex(literal).ok_or_else(|| illegal(literal))?;
        number.complex = Some((real, imaginary));
        if imaginary == 0.0 {
            set_float(&mut number, real);
        }
        return Ok(number);
    }
    number.int = parse_int(literal);
    if let Some(int) = number.int {
        number.float = Some(int as f64);
    } else if let Some(unsigned) = parse_uint(literal) {
        number.unsigned_only = true;
        number.float = Some(unsigned as f64);
    } else if let Some(float) = parse_float(literal) {
        if !literal.contains(['.', 'e', 'E', 'p', 'P']) {
            return Err(format!("integer overflow: {}", quoted(literal)));
        }
        set_float(&mut number, float);
    }
    if number.float.is_none() {
        return Err(illegal(literal));
    }
    Ok(number)
}

fn illegal(literal: &str) -> String {
    format!("illegal number syntax: {}", quoted(literal))
}

fn set_float(number: &mut Number, float: f64) {
    number.float = Some(float);
    let int = float as i64;
    if int as f64 == float {
        number.int = Some(int);
    }
}

fn character(literal: &str) -> Option<u32> {
    let inner = literal.strip_prefix('\'')?.strip_suffix('\'')?;
    let mut chars = inner.chars();
    match (chars.next()?, chars.next()) {
        ('\'', _) | ('\\', None) => None,
        (c, None) => Some(u32::from(c)),
        ('\\', Some('\'')) if chars.next().is_none() => Some(u32::from('\'')),
        ('\\', Some(kind)) => {
            // An octal or \x escape names a byte, which as a character is the code point of that number.
            let digits = inner.get(2..).unwrap_or("");
            if kind == 'x' && digits.len() == 2 {
                return u32::from_str_radix(digits, 16).ok();
            }
            if kind.is_digit(8) && inner.len() == 4 {
                return u32::from_str_radix(inner.get(1..)?, 8).ok().filter(|value| *value < 256);
            }
            let text = text::unquote(&format!("\"{inner}\"")).ok()?;
            let mut chars = text.chars();
            let c = chars.next()?;
            chars.next().is_none().then(|| u32::from(c))
        }
        _ => None,
    }
}

fn complex(literal: &str) -> Option<(f64, f64)> {
    let body = literal.strip_suffix('i')?;
    // The sign between the parts, not one of an exponent.
    let split = body
        .char_indices()
        .skip(1)
        .filter(|(at, c)| matches!(c, '+' | '-') && !body.get(..*at).is_some_and(|b| b.ends_with(['e', 'E', 'p', 'P'])))
        .map(|(at, _)| at)
        .next();
    match split {
        Some(at) => Some((parse_float(body.get(..at)?)?, parse_float(body.get(at..)?)?)),
        None => Some((0.0, parse_float(body)?)),
    }
}

/// Sign, base and digits, with Go's rule for underscores: only between digits, and only behind a base prefix.
fn parts(literal: &str) -> Option<(bool, u32, String)> {
    let (negative, rest) = match literal.as_bytes().first()? {
        b'-' => (true, literal.get(1..)?),
        b'+' => (false, literal.get(1..)?),
        _ => (false, literal),
    };
    let lower = rest.to_ascii_lowercase();
    let (base, digits, prefixed) = if let Some(digits) = lower.strip_prefix("0x") {
        (16, digits, true)
    } else if let Some(digits) = lower.strip_prefix("0b") {
        (2, digits, true)
    } else if let Some(digits) = lower.strip_prefix("0o") {
        (8, digits, true)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, lower.get(1..)?, true)
    } else {
        (10, lower.as_str(), false)
    };
    let wrong = digits.ends_with('_') || digits.contains("__") || (digits.starts_with('_') && !prefixed);
    if wrong || digits.is_empty() {
        return None;
    }
    Some((negative, base, digits.replace('_', "")))
}

fn parse_int(literal: &str) -> Option<i64> {
    let (negative, base, digits) = parts(literal)?;
    i64::from_str_radix(&format!("{}{digits}", if negative { "-" } else { "" }), base).ok()
}

fn parse_uint(literal: &str) -> Option<u64> {
    if literal.starts_with(['+', '-']) {
        return None;
    }
    let (_, base, digits) = parts(literal)?;
    u64::from_str_radix(&digits, base).ok()
}

/// `strconv.ParseFloat`: decimal, hexadecimal, infinities and NaN; out of range is an error.
pub fn parse_float(literal: &str) -> Option<f64> {
    let unsigned = literal.trim_start_matches(['+', '-']);
    if literal.len() - unsigned.len() > 1 {
        return None;
    }
    let sign = if literal.starts_with('-') { -1.0 } else { 1.0 };
    let lower = unsigned.to_ascii_lowercase();
    if matches!(lower.as_str(), "inf" | "infinity") {
        return Some(sign * f64::INFINITY);
    }
    if lower == "nan" {
        return Some(f64::NAN);
    }
    if let Some(hex) = lower.strip_prefix("0x") {
        return parse_hex_float(hex).map(|value| sign * value);
    }
    // Underscores are Go's only with a base prefix.
    if !lower.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'+' | b'-')) {
        return None;
    }
    lower.parse::<f64>().ok().filter(|value| value.is_finite()).map(|value| sign * value)
}

fn parse_hex_float(hex: &str) -> Option<f64> {
    let (mantissa, exponent) = hex.split_once('p')?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.len() + fraction.len() == 0 {
        return None;
    }
    let mut value = 0.0_f64;
    for digit in whole.chars().chain(fraction.chars()).filter(|c| *c != '_') {
        value = value * 16.0 + f64::from(digit.to_digit(16)?);
    }
    let exponent: i32 = exponent.parse().ok()?;
    let shift = exponent.checked_sub(4 * i32::try_from(fraction.len()).ok()?)?;
    Some(value * 2.0_f64.powi(shift)).filter(|value| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_keeps_what_it_can_be() {
        let int = |text: &str| constant(text, false).map(|number| number.int);
        for (text, value) in
            [("0x1F", 31), ("0b101", 5), ("0o17", 15), ("017", 15), ("-2", -2), ("+3", 3), ("1e3", 1000), ("0", 0)]
        {
            assert_eq!(int(text), Ok(Some(value)), "{text}");
        }
        assert_eq!(int("1.5"), Ok(None));
        assert_eq!(constant("18446744073709551615", false).map(|n| n.unsigned_only), Ok(true));
        assert_eq!(constant("2i", false).map(|n| n.complex), Ok(Some((0.0, 2.0))));
        assert_eq!(constant("1+2i", false).map(|n| n.complex), Ok(Some((1.0, 2.0))));
        assert_eq!(constant("1e+3-2e-1i", false).map(|n| n.complex), Ok(Some((1000.0, -0.2))));
    }

    #[test]
    fn characters_are_code_points() {
        for (text, value) in
            [("'a'", 97), ("'é'", 233), (r"'\n'", 10), (r"'\''", 39), (r"'\xff'", 255), (r"'\101'", 65)]
        {
            assert_eq!(constant(text, true).map(|n| n.int), Ok(Some(value)), "{text}");
        }
        assert!(constant("'ab'", true).is_err());
    }

    #[test]
    fn overflow_and_nonsense_have_messages() {
        assert_eq!(
            constant("99999999999999999999", false).err().as_deref(),
            Some("integer overflow: \"99999999999999999999\"")
        );
        assert_eq!(constant("0x", false).err().as_deref(), Some("illegal number syntax: \"0x\""));
    }
}
