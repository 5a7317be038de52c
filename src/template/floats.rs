//! Floating-point numbers as Go prints them.

use super::{format::Out, verbs::Spec, verbs::padded};

pub fn float(out: &mut Out, value: f64, spec: &Spec) -> bool {
    let (form, precision) = match spec.verb {
        'v' => ('g', None),
        'g' | 'G' => (spec.verb, None),
        'e' | 'E' => (spec.verb, Some(6)),
        'f' | 'F' => ('f', Some(6)),
        'b' | 'x' | 'X' => (spec.verb, None),
        _ => return false,
    };
    print(out, value, form, spec.precision.or(precision), spec, spec.plus);
    true
}

pub fn complex(out: &mut Out, real: f64, imaginary: f64, spec: &Spec) -> bool {
    if !matches!(spec.verb, 'v' | 'b' | 'x' | 'X' | 'g' | 'G' | 'e' | 'E' | 'f' | 'F') {
        return false;
    }
    out.push('(');
    float(out, real, spec);
    float(out, imaginary, &Spec { plus: true, ..spec.clone() });
    out.push_str("i)");
    true
}

fn print(out: &mut Out, value: f64, form: char, precision: Option<usize>, spec: &Spec, plus: bool) {
    let sign = match value.is_sign_negative() && !value.is_nan() {
        true => "-",
        false if plus => "+",
        false if spec.space => " ",
        false => "",
    };
    if !value.is_finite() {
        let name = match (value.is_nan(), sign) {
            (true, sign) => format!("{sign}NaN"),
            (false, "") => "+Inf".to_owned(),
            (false, sign) => format!("{sign}Inf"),
        };
        padded(out, &name, &Spec { zero: false, ..spec.clone() });
        return;
    }
    let mut digits = unsigned(value.abs(), form, precision);
    if spec.sharp && form != 'b' {
        digits = with_point(digits, form, precision);
    }
    let missing = spec.width.unwrap_or(0).saturating_sub(sign.len() + digits.len());
    if spec.zero && !spec.minus {
        out.push_str(sign);
        out.repeat('0', missing);
        out.push_str(&digits);
    } else {
        padded(out, &format!("{sign}{digits}"), &Spec { zero: false, ..spec.clone() });
    }
}

/// `strconv.FormatFloat` of a number that is finite and not negative; no precision: the shortest that reads
/// back as the same number.
pub fn unsigned(value: f64, form: char, precision: Option<usize>) -> String {
    match form {
        'e' | 'E' => scientific(value, form, precision),
        'f' => match precision {
            Some(precision) => format!("{value:.precision$}"),
            None => format!("{value}"),
        },
        'b' => binary(value),
        'x' | 'X' => hexadecimal(value, form, precision),
        _ => general(value, form, precision),
    }
}

/// Mantissa and exponent of two, such that `value = mantissa * 2^exponent`.
fn decomposed(value: f64) -> (u64, i64) {
    let bits = value.to_bits();
    let exponent = i64::try_from(bits >> 52 & 0x7ff).unwrap_or(0);
    let fraction = bits & ((1 << 52) - 1);
    if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, exponent - 1075) }
}

/// `%b`: `4503599627370496p-52`.
fn binary(value: f64) -> String {
    let (mantissa, exponent) = decomposed(value);
    format!("{mantissa}p{exponent:+}")
}

/// `%x`: `0x1.8p+00`.
fn hexadecimal(value: f64, form: char, precision: Option<usize>) -> String {
    let (mut mantissa, mut exponent) = decomposed(value);
    if mantissa == 0 {
        exponent = 0;
    } else {
        // The leading one in bit 60, so that fifteen digits follow it.
        let shift = mantissa.leading_zeros() - 3;
        mantissa <<= shift;
        exponent += 60 - i64::from(shift);
    }
    if let Some(precision) = precision.filter(|precision| *precision < 15) {
        (mantissa, exponent) = rounded(mantissa, exponent, precision);
    }
    let mut digits = format!("{:015x}", mantissa & ((1 << 60) - 1));
    match precision {
        Some(precision) => {
            digits.truncate(precision);
            digits.push_str(&"0".repeat(precision.saturating_sub(digits.len())));
        }
        None => digits.truncate(digits.trim_end_matches('0').len()),
    }
    let point = if digits.is_empty() { "" } else { "." };
    let sign = if exponent < 0 { '-' } else { '+' };
    let text = format!("0x{}{point}{digits}p{sign}{:02}", mantissa >> 60, exponent.abs());
    if form == 'X' { text.to_ascii_uppercase() } else { text }
}

/// To so many digits behind the point, halves to even.
fn rounded(mantissa: u64, exponent: i64, digits: usize) -> (u64, i64) {
    let dropped_bits = 60 - 4 * u32::try_from(digits).unwrap_or(15).min(15);
    let unit = 1_u64 << dropped_bits;
    let rest = mantissa & (unit - 1);
    let mut kept = mantissa - rest;
    let half = unit / 2;
    if rest > half || (rest == half && kept & unit != 0) {
        kept += unit;
    }
    if kept >> 61 != 0 { (kept >> 1, exponent + 1) } else { (kept, exponent) }
}

fn scientific(value: f64, form: char, precision: Option<usize>) -> String {
    let text = match precision {
        Some(precision) => format!("{value:.precision$e}"),
        None => format!("{value:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!("{mantissa}{form}{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

fn general(value: f64, form: char, precision: Option<usize>) -> String {
    let e = if form == 'G' { 'E' } else { 'e' };
    let exact = match precision {
        Some(precision) => format!("{value:.*e}", precision.max(1) - 1),
        None => format!("{value:e}"),
    };
    let (mantissa, exponent) = exact.split_once('e').unwrap_or((&exact, "0"));
    let exponent: i64 = exponent.parse().unwrap_or(0);
    let mut digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.truncate(digits.trim_end_matches('0').len().max(1));
    // From which exponent on the exponent form is used.
    let threshold = match precision.map(|precision| precision.max(1)) {
        None => 6,
        Some(precision) => {
            let significant = digits.len();
            let narrows = precision > significant && significant as i64 > exponent;
            if narrows { significant as i64 } else { precision as i64 }
        }
    };
    if exponent < -4 || exponent >= threshold {
        return scientific(value, e, Some(digits.len() - 1));
    }
    positional(&digits, exponent)
}

/// The digits with the point where the exponent puts it.
fn positional(digits: &str, exponent: i64) -> String {
    if exponent < 0 {
        let zeros = usize::try_from(-exponent - 1).unwrap_or(0);
        return format!("0.{}{digits}", "0".repeat(zeros));
    }
    let whole = usize::try_from(exponent + 1).unwrap_or(0);
    if digits.len() <= whole {
        return format!("{digits}{}", "0".repeat(whole - digits.len()));
    }
    let (before, after) = digits.split_at(whole);
    format!("{before}.{after}")
}

/// The `#` flag: always a point, and trailing zeros for `%g`.
fn with_point(text: String, form: char, precision: Option<usize>) -> String {
    let mark: &[char] = if matches!(form, 'x' | 'X') { &['p', 'P'] } else { &['e', 'E'] };
    let (mantissa, exponent) = match text.find(mark) {
        Some(at) => text.split_at(at),
        None => (text.as_str(), ""),
    };
    let mut mantissa = mantissa.to_owned();
    let mut missing = 0;
    if matches!(form, 'g' | 'G') {
        let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
        missing = precision.unwrap_or(6).max(1).saturating_sub(digits.trim_start_matches('0').len().max(1));
    } else if form == 'x' {
        // Go counts the "x" of "0x" among the digits.
        let counted = mantissa.chars().skip(1).filter(|c| *c != '.').count();
        missing = precision.unwrap_or(6).saturating_sub(counted);
    }
    if !mantissa.contains('.') {
        mantissa.push('.');
    }
    mantissa.push_str(&"0".repeat(missing));
    format!("{mantissa}{exponent}")
}
