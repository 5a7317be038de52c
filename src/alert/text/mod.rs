//! Text forms that must agree with Alertmanager byte for byte: Go quoting, label sets, times, durations.
//!
//! Group keys, log keys, the API and the configuration dump are made of these. Pure functions over
//! strings and numbers; nothing here knows what the text is for.

mod duration;
mod quote;
mod time;

pub use duration::{
    DurationError, format_go_duration, format_prometheus_duration, parse_flag_duration, parse_go_duration,
    parse_prometheus_duration,
};
pub use quote::{UnquoteError, is_printable, label_set, push_quoted, quote, unquote};
pub use time::{TimeError, format_api_time, is_go_zero, parse_time, push_rfc3339_nano};
