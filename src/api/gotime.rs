//! What Go says of a text that is no moment: the complaint of the last form that was tried, a bare date.

use crate::alert::text::quote;

/// The message for a text that [`crate::alert::text::parse_time`] refused.
pub(super) fn complaint(text: &str) -> String {
    let shown = quote(text);
    let mut rest = text;
    for (element, width) in [("2006", 4), ("-", 0), ("01", 2), ("-", 0), ("02", 2)] {
        let after = if width == 0 { rest.strip_prefix('-') } else { number(rest, width) };
        let Some(after) = after else {
            return format!(
                "parsing time {shown} as \"2006-01-02\": cannot parse {} as {}",
                quote(rest),
                quote(element)
            );
        };
        let read = rest.get(..width).unwrap_or_default();
        if element == "01" && !("01"..="12").contains(&read) {
            return format!("parsing time {shown}: month out of range");
        }
        rest = after;
    }
    if rest.is_empty() {
        return format!("parsing time {shown}: day out of range");
    }
    format!("parsing time {shown}: extra text: {}", quote(rest))
}

/// What follows a number of `width` digits.
fn number(text: &str, width: usize) -> Option<&str> {
    let (digits, rest) = text.split_at_checked(width)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_those_of_go() {
        for (text, message) in [
            ("x", "parsing time \"x\" as \"2006-01-02\": cannot parse \"x\" as \"2006\""),
            ("20260-11", "parsing time \"20260-11\" as \"2006-01-02\": cannot parse \"0-11\" as \"-\""),
            ("2026-13-01T00:00:00Z", "parsing time \"2026-13-01T00:00:00Z\": month out of range"),
            ("2026-02-30T00:00:00Z", "parsing time \"2026-02-30T00:00:00Z\": extra text: \"T00:00:00Z\""),
            ("2026-02-30", "parsing time \"2026-02-30\": day out of range"),
            ("2026-1", "parsing time \"2026-1\" as \"2006-01-02\": cannot parse \"1\" as \"01\""),
        ] {
            assert_eq!(complaint(text), message);
        }
    }
}
