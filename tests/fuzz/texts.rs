//! Small texts: durations of three kinds, times, quoted strings, hosts with ports, the pieces of time intervals. What is
//! printed of an accepted one is read again as the same.

use carillon::{
    alert::{
        Labels,
        text::{
            format_api_time, format_go_duration, format_prometheus_duration, is_go_zero, label_set,
            parse_flag_duration, parse_go_duration, parse_prometheus_duration, parse_time, push_rfc3339_nano, quote,
            unquote,
        },
    },
    cli::{Features, HostPort},
    clock::Time,
    timeinterval::{Field, Location, Spec, TimeRange},
};

use crate::{
    harness::{Case, Target},
    mutate::Words,
    rng::Rng,
};

pub struct Texts {
    moments: [Time; 5],
}

const DURATIONS: [&str; 14] = [
    "5m",
    "1h30m",
    "1.5h",
    "-3s",
    "300ms",
    "1us",
    "1µs",
    "0",
    "1y2w3d4h5m6s7ms",
    "1d12h",
    "2540400h10m10.000000000s",
    ".5s",
    "106751d",
    "292y",
];
const DURATION_TOKENS: [&str; 22] = [
    "h",
    "m",
    "s",
    "ms",
    "us",
    "µs",
    "μs",
    "ns",
    "d",
    "w",
    "y",
    "-",
    "+",
    ".",
    "0",
    "1",
    "9223372036854775807",
    "18446744073709551616ns",
    "1e3",
    " ",
    "é",
    "2540400h",
];
const TIMES: [&str; 12] = [
    "2024-05-06T07:08:09Z",
    "2024-05-06T07:08:09.123456789+02:00",
    "2024-05-06T07:08:09,5Z",
    "2024-02-29T23:59:60Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999999Z",
    "2024-05-06",
    "2024-05-06T07:08:09.000+0000",
    "2024-05-06T07:08:09",
    "1700000000",
    "-62135596800",
    "2024-05-06t07:08:09z",
];
const TIME_TOKENS: [&str; 22] = [
    "T",
    "Z",
    ":",
    "-",
    "+",
    ".",
    "+24:00",
    "-23:59",
    "00",
    "24",
    "60",
    "29",
    "31",
    "0000",
    "10000",
    "-0001",
    "999999999",
    "0000000000000",
    " ",
    "é",
    "T24:00:00",
    "1e18",
];
const QUOTED: [&str; 6] =
    ["\"a\\n\\\"b\\\\\"", "\"\\xf0\\x9f\\x99\\x82\"", "`raw`", "\"\\u00e9\\U0001F642\\101\"", "'a'", "\"\""];
const QUOTED_TOKENS: [&str; 18] = [
    "\\",
    "\"",
    "`",
    "'",
    "\\x",
    "\\xff",
    "\\u",
    "\\ud800",
    "\\U00110000",
    "\\777",
    "\\0",
    "\\a",
    "\\n",
    "\n",
    "é",
    "\0",
    "\u{7f}",
    "\u{e000}",
];
const HOSTS: [&str; 8] =
    ["localhost:9093", ":25", "[::1]:9094", "1.2.3.4:65535", "a.b", "[::1]", "::1:25", "[1.2.3.4]:0"];
const HOST_TOKENS: [&str; 10] = [":", "[", "]", "%eth0", "65536", "-1", "0", ".", "é", "]:"];
const PIECES: [&str; 14] = [
    "monday",
    "Monday:friday",
    "1",
    "1:5",
    "-3:-1",
    "1:-1",
    "january",
    "5:August",
    "2024:2030",
    "22:00",
    "24:00",
    "Europe/Berlin",
    "Local",
    "UTC",
];
const PIECE_TOKENS: [&str; 20] = [
    ":",
    "-",
    "+",
    "0",
    "32",
    "-32",
    "13",
    "sunday",
    "december",
    "9223372036854775807",
    "-9223372036854775808",
    "99999999999999999999",
    "Etc/GMT+12",
    "../x",
    "İ",
    "ß",
    "00:60",
    " ",
    "America/Argentina/Buenos_Aires",
    "\0",
];

impl Target for Texts {
    const NAME: &'static str = "texts";

    fn new() -> Self {
        let moment = |text| parse_time(text).expect("a time");
        let dates = ["2024-02-29T23:59:59Z", "2023-03-26T01:30:00Z", "0001-01-01T00:00:00Z"].map(moment);
        Texts { moments: [dates[0], dates[1], dates[2], Time::MIN_UTC, Time::MAX_UTC] }
    }

    fn make(rng: &mut Rng) -> Case {
        let (kinds, corpus, tokens): (&[&'static str], &[&str], &[&str]) = match rng.below(6) {
            0 => (&["Go duration", "flag duration", "Prometheus duration"], &DURATIONS, &DURATION_TOKENS),
            1 => (&["time"], &TIMES, &TIME_TOKENS),
            2 => (&["quoted", "label value"], &QUOTED, &QUOTED_TOKENS),
            3 => (&["host and port"], &HOSTS, &HOST_TOKENS),
            4 => {
                (&["weekdays", "days of month", "months", "years", "times of day", "location"], &PIECES, &PIECE_TOKENS)
            }
            _ => (
                &["features"],
                &["classic-mode,receiver-name-in-metrics", "utf8-strict-mode"],
                &[",", "classic-mode", "x"],
            ),
        };
        let kind = kinds[rng.below(kinds.len())];
        let words = Words { corpus, tokens };
        Case::text(kind, words.mutant_text(rng, 3))
    }

    fn run(&mut self, case: &Case) -> bool {
        let text = &*case.as_text();
        match case.kind {
            "Go duration" => parse_go_duration(text).is_ok_and(|duration| {
                let printed = format_go_duration(duration);
                assert_eq!(parse_go_duration(&printed), Ok(duration), "{printed}");
                true
            }),
            "flag duration" => parse_flag_duration(text).is_ok(),
            "Prometheus duration" => parse_prometheus_duration(text).is_ok_and(|duration| {
                let printed = format_prometheus_duration(duration);
                assert_eq!(parse_prometheus_duration(&printed), Ok(duration), "{printed}");
                true
            }),
            "time" => parse_time(text).is_ok_and(|time| {
                check_time(time);
                true
            }),
            "quoted" => unquote(text).is_ok_and(|value| {
                assert_eq!(unquote(&quote(&value)).as_ref(), Ok(&value));
                true
            }),
            "label value" => {
                assert_eq!(unquote(&quote(text)).as_deref(), Ok(text), "what is quoted can be read");
                !label_set(&Labels::from_pairs([("a", text), (text, "b")])).is_empty()
            }
            "host and port" => text.parse::<HostPort>().is_ok_and(|read| {
                let _ = read.ip();
                assert_eq!(read.to_string().parse().as_ref(), Ok(&read), "what is printed can be read");
                true
            }),
            "features" => Features::parse(text).is_ok(),
            kind => self.piece(kind, text),
        }
    }
}

fn check_time(time: Time) {
    let mut printed = String::new();
    push_rfc3339_nano(&mut printed, time);
    let _ = (format_api_time(time), is_go_zero(time));
    if (0..=9999).contains(&chrono::Datelike::year(&time)) {
        assert_eq!(parse_time(&printed).as_ref(), Ok(&time), "{printed}");
    }
}

impl Texts {
    fn piece(&self, kind: &str, text: &str) -> bool {
        let mut spec = Spec::default();
        let field = match kind {
            "times of day" => {
                spec.times =
                    TimeRange::parse("00:00", text).or(TimeRange::parse(text, "24:00")).ok().map(|range| vec![range]);
                return self.contains(&spec, spec.times.is_some());
            }
            "location" => {
                spec.location = Location::parse(text).ok();
                return self.contains(&spec, spec.location.is_some());
            }
            "weekdays" => Field::Weekdays,
            "days of month" => Field::DaysOfMonth,
            "months" => Field::Months,
            _ => Field::Years,
        };
        let Ok(range) = field.parse(text) else { return false };
        assert_eq!(field.parse(&field.show(range)), Ok(range), "what is shown can be read");
        let ranges = Some(vec![range]);
        match field {
            Field::Weekdays => spec.weekdays = ranges,
            Field::DaysOfMonth => spec.days_of_month = ranges,
            Field::Months => spec.months = ranges,
            Field::Years => spec.years = ranges,
        }
        self.contains(&spec, true)
    }

    fn contains(&self, spec: &Spec, accepted: bool) -> bool {
        self.moments.iter().for_each(|at| _ = spec.contains(*at));
        accepted
    }
}
