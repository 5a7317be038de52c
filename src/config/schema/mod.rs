//! The file as it is written: one structure for each of its maps, with keys in the order of a dump,
//! defaults, and the checks that need nothing but the structure itself.
//!
//! What one part takes from another (globals, names that must exist) is [`super::inherit`]'s business.

pub mod chat;
pub mod http;
pub mod mail;
pub mod observe;
pub mod paging;
pub mod route;
pub mod top;

use super::yaml::decode::Stop;

/// Refuses if more than one of the named keys is given.
pub fn at_most_one(keys: &[(&str, bool)]) -> Result<(), Stop> {
    if keys.iter().filter(|(_, given)| *given).count() <= 1 {
        return Ok(());
    }
    Err(Stop::because(format!("at most one of {} must be configured", listed(keys))))
}

/// Refuses unless exactly one of two keys is given.
pub fn exactly_one(keys: [(&str, bool); 2]) -> Result<(), Stop> {
    if keys.iter().any(|(_, given)| *given) {
        return at_most_one(&keys);
    }
    let [(first, _), (second, _)] = keys;
    Err(Stop::because(format!("one of {first} or {second} must be configured")))
}

/// `a, b & c`
fn listed(keys: &[(&str, bool)]) -> String {
    let names: Vec<&str> = keys.iter().map(|(name, _)| *name).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} & {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

/// Refuses if a text that must be there is empty.
pub fn required(given: bool, reason: &str) -> Result<(), Stop> {
    if given { Ok(()) } else { Err(Stop::because(reason)) }
}

/// A call of a shipped template with the notification as its data.
macro_rules! shipped {
    ($name:literal) => {
        concat!("{{ template \"", $name, "\" . }}").to_owned()
    };
}

pub(crate) use shipped;
