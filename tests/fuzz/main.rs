//! Every parser that reads something from outside, fed with made inputs: what people write, spoiled; and what
//! grammars can make. Nothing may panic, overflow the stack, or take long; some answers are checked as well.
//!
//! By default a few inputs each, the same at every run. A long run, for one target or all:
//!
//! ```text
//! CARILLON_FUZZ_CASES=1000000 CARILLON_FUZZ_SEED=7 cargo test --release --test fuzz regexes
//! ```
//!
//! The report tells inputs, time, accepted and refused, the slowest, and every kind of failure with a file that holds
//! its input. `CARILLON_FUZZ_FIRST` begins with another case: with `CARILLON_FUZZ_CASES=1` it replays one. After a
//! stack overflow, which ends the process, the number of the case stands in `carillon-fuzz-….case` in the temporary
//! directory.

mod api;
mod command_line;
mod configuration;
mod decisions;
mod gossip;
mod harness;
mod mail;
mod matchers;
mod mutate;
mod node;
mod protobuf;
mod records;
mod regexes;
mod rng;
mod snapshots;
mod templates;
mod texts;
mod web;

use harness::fuzz;

/// The inputs of a corpus file.
macro_rules! corpus {
    ($name:literal) => {{
        static ALL: std::sync::LazyLock<Vec<&'static str>> =
            std::sync::LazyLock::new(|| crate::pieces(include_str!(concat!("corpus/", $name))));
        ALL.as_slice()
    }};
}
pub(crate) use corpus;

/// Texts of several lines are divided by a line of percent signs, others by lines.
fn pieces(file: &'static str) -> Vec<&'static str> {
    if file.contains("%%%%\n") { file.split("%%%%\n").collect() } else { file.lines().collect() }
}

#[test]
fn any_configuration_is_accepted_or_refused() {
    fuzz::<configuration::Configuration>(800);
}

#[test]
fn any_matcher_is_accepted_or_refused_and_can_be_asked() {
    fuzz::<matchers::MatcherTexts>(1_500);
}

#[test]
fn any_regular_expression_is_accepted_or_refused_and_can_be_run() {
    fuzz::<regexes::Regexes>(300);
}

#[test]
fn any_template_is_rendered_or_refused() {
    fuzz::<templates::TemplateTexts>(600);
}

#[test]
fn any_request_is_answered() {
    fuzz::<api::Requests>(1_500);
}

#[test]
fn any_snapshot_file_is_read_or_refused() {
    fuzz::<snapshots::Snapshots>(200);
}

#[test]
fn any_database_file_is_opened_or_refused() {
    fuzz::<snapshots::Databases>(40);
}

#[test]
fn any_record_of_a_peer_is_merged_or_refused() {
    fuzz::<records::Records>(800);
}

#[test]
fn any_duration_time_or_address_is_read_or_refused() {
    fuzz::<texts::Texts>(10_000);
}

#[test]
fn any_command_line_is_accepted_or_refused() {
    fuzz::<command_line::CommandLine>(150);
}

#[test]
fn any_web_configuration_file_is_accepted_or_refused() {
    fuzz::<web::WebFile>(300);
}

#[test]
fn any_list_of_mail_addresses_is_read_or_refused() {
    fuzz::<mail::Addresses>(1_000);
}

#[test]
fn any_record_of_decisions_and_any_answer_about_them_is_read_or_refused() {
    fuzz::<decisions::DecisionLog>(300);
}

#[test]
fn any_datagram_of_a_stranger_is_survived() {
    fuzz::<gossip::Packets<false>>(1_500);
}

#[test]
fn any_datagram_of_a_stranger_is_counted_where_there_is_a_secret() {
    fuzz::<gossip::Packets<true>>(1_500);
}

#[test]
fn any_stream_of_a_stranger_is_survived() {
    fuzz::<gossip::Streams<false>>(700);
}

#[test]
fn any_stream_of_a_stranger_changes_nothing_where_there_is_a_secret() {
    fuzz::<gossip::Streams<true>>(700);
}
