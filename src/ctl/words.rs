//! Arguments that are matchers or labels, and times.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, FixedOffset};

use super::{error::CtlError, terminal};
use crate::{
    alert::{
        matcher::{MatchOp, Matcher, MatcherError, ParseMode, parse_matcher, parse_noticing},
        text::quote,
    },
    template::layout,
};

const RFC3339: &str = "2006-01-02T15:04:05Z07:00";

/// A first argument that is no matcher is the alertname.
pub fn with_alertname(mode: ParseMode, args: &[String]) -> Vec<String> {
    let mut args = args.to_vec();
    if let Some(first) = args.first_mut()
        && parse_matcher(mode, first).is_err()
    {
        *first = format!("alertname={}", quote(first));
    }
    args
}

/// What readers of matchers in the two grammars should know; once for each text.
pub fn tell_notices<'a>(mode: ParseMode, args: impl IntoIterator<Item = &'a String>) {
    let notices: BTreeSet<String> = args
        .into_iter()
        .filter_map(|arg| parse_noticing(mode, arg).ok()?.notice)
        .map(|notice| format!("Warning: {notice}"))
        .collect();
    notices.iter().for_each(|notice| terminal::say(notice));
}

/// # Errors
/// One of the arguments is no matcher.
pub fn matchers(mode: ParseMode, args: &[String]) -> Result<Vec<Matcher>, MatcherError> {
    tell_notices(mode, args);
    args.iter().map(|arg| parse_matcher(mode, arg)).collect()
}

/// Labels or annotations; of a name given twice the last value counts.
///
/// # Errors
/// One of the arguments is no pair.
pub fn pairs(mode: ParseMode, args: &[String]) -> Result<BTreeMap<String, String>, CtlError> {
    let mut pairs = BTreeMap::new();
    for matcher in matchers(mode, args)? {
        if matcher.op() != MatchOp::Equal {
            return Err(CtlError::NotALabel);
        }
        pairs.insert(matcher.name().to_owned(), matcher.value().to_owned());
    }
    Ok(pairs)
}

/// A moment on the command line; `None` for none.
///
/// # Errors
/// The text is no RFC 3339.
pub fn time(text: &str) -> Result<Option<DateTime<FixedOffset>>, CtlError> {
    if text.is_empty() {
        return Ok(None);
    }
    let moment = layout::parse(RFC3339, text).map_err(CtlError::Time)?;
    Ok(Some(moment.local().0))
}

/// As it is sent.
pub fn time_text(at: DateTime<FixedOffset>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(args: &[&str]) -> Vec<String> {
        args.iter().map(|arg| (*arg).to_owned()).collect()
    }

    #[test]
    fn a_first_word_is_the_alertname() {
        let named = |args: &[&str]| with_alertname(ParseMode::Fallback, &list(args));
        assert_eq!(named(&["cpu", "a=b"]), ["alertname=\"cpu\"", "a=b"]);
        assert_eq!(named(&["a=b", "cpu"]), ["a=b", "cpu"]);
        assert!(named(&[]).is_empty());
    }

    #[test]
    fn pairs_are_equalities() {
        let pairs = |args: &[&str]| pairs(ParseMode::Fallback, &list(args)).map_err(|error| error.to_string());
        assert_eq!(pairs(&["a=1", "a=\"2 3\""]).unwrap()["a"], "2 3");
        assert_eq!(pairs(&["a=~1"]).unwrap_err(), "labels must be specified as key=value pairs");
        assert_eq!(pairs(&["a"]).unwrap_err(), "bad matcher format: a");
    }

    #[test]
    fn a_time_keeps_its_zone() {
        let text = |text| time(text).map(|at| at.map(time_text)).map_err(|error| error.to_string());
        assert_eq!(text("2027-01-01T00:00:00+01:00").unwrap().unwrap(), "2027-01-01T00:00:00.000+01:00");
        assert_eq!(text("").unwrap(), None);
        assert_eq!(
            text("bad").unwrap_err(),
            "parsing time \"bad\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"bad\" as \"2006\""
        );
    }
}
