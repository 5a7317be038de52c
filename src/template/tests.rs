//! What the parts do together: overriding, limits, errors, routes' labels, and nonsense of all kinds.

use std::time::Instant;

use proptest::prelude::*;

use super::{Data, Templates, check_builtin_syntax};
use crate::{
    alert::{Alert, Labels},
    clock::Time,
    notify::types::{Notification, Reason},
};

fn time(text: &str) -> Time {
    text.parse().unwrap()
}

fn alert(labels: &[(&str, &str)], annotations: &[(&str, &str)], ends_at: Option<&str>) -> Alert {
    Alert {
        labels: Labels::from_pairs(labels.iter().copied()),
        annotations: Labels::from_pairs(annotations.iter().copied()),
        generator_url: "http://prom/g".into(),
        starts_at: time("2024-05-06T07:08:09.123Z"),
        ends_at: ends_at.map(time),
        updated_at: time("2024-05-06T07:08:09Z"),
        timeout: false,
        period: 1,
        accepted_at: time("2024-05-06T07:08:09Z"),
        explicit: false,
        bounds: None,
    }
}

fn notification() -> Notification {
    Notification {
        group_key: r#"{}:{alertname="A"}"#.into(),
        receiver: "all.it".into(),
        group_labels: Labels::from_pairs([("alertname", "A")]),
        route_labels: Labels::from_pairs([("team", "x")]),
        alerts: vec![
            alert(&[("alertname", "A"), ("job", "j"), ("instance", "1")], &[("summary", "s"), ("n", "1")], None),
            alert(
                &[("alertname", "A"), ("job", "j"), ("instance", "2")],
                &[("summary", "s")],
                Some("2024-05-06T08:00:00Z"),
            ),
        ],
        fingerprints: Vec::new(),
        reason: Reason::NewAlertsAdded,
        now: time("2024-05-06T09:00:00Z"),
        external_url: "http://am".into(),
        memory: Default::default(),
    }
}

fn data() -> Data {
    Data::from_notification(&notification())
}

fn shipped() -> Templates {
    Templates::load(&[]).unwrap()
}

fn text(source: &str) -> Result<String, String> {
    shipped().text(source, &data()).map_err(|error| error.to_string())
}

fn html(source: &str) -> Result<String, String> {
    shipped().html(source, &data()).map_err(|error| error.to_string())
}

#[test]
fn a_notification_becomes_the_data_of_its_templates() {
    let source = "{{ .Receiver }} {{ .Status }} {{ .NotificationReason }} {{ .CommonLabels }} {{ .CommonAnnotations }} \
                  {{ .RouteLabels }} {{ routeLabels \"team\" }} {{ range .Alerts }}{{ .Status }} {{ .EndsAt }};{{ end }}";
    assert_eq!(
        text(source).unwrap(),
        r"all\.it firing new alerts added alertname=A, job=j summary=s team=x x firing 0001-01-01 00:00:00 +0000 UTC;resolved 2024-05-06 08:00:00 +0000 UTC;"
    );
    assert!(
        data()
            .to_json()
            .unwrap()
            .starts_with(r#"{"receiver":"all\\.it","status":"firing","alerts":[{"status":"firing""#)
    );
}

#[test]
fn a_later_definition_replaces_a_shipped_one_in_both_engines_unless_it_is_empty() {
    let templates = Templates::from_texts([
        ("a.tmpl", r#"{{ define "__subject" }}own <b>{{ end }}{{ define "slack.default.color" }} {{ end }}"#),
        ("b.tmpl", r#"{{ define "__subject" }}{{ end }}"#),
    ])
    .unwrap();
    assert_eq!(templates.text(r#"{{ template "slack.default.title" . }}"#, &data()).unwrap(), "own <b>");
    assert_eq!(templates.html(r#"{{ template "slack.default.title" . }}"#, &data()).unwrap(), "own <b>");
    assert_eq!(templates.text(r#"{{ template "slack.default.color" . }}"#, &data()).unwrap(), "danger");
    assert!(templates.text(r#"{{ template "slack.default.color" }}"#, &data()).is_ok());
}

#[test]
fn a_definition_inside_a_configured_string_holds_for_it_alone() {
    let templates = shipped();
    let own = r#"{{ define "__subject" }}mine{{ end }}{{ template "slack.default.title" . }}"#;
    assert_eq!(templates.text(own, &data()).unwrap(), "mine");
    assert_eq!(templates.text(r#"{{ template "slack.default.title" . }}"#, &data()).unwrap(), "[FIRING:1] A (j)");
}

#[test]
fn files_that_do_not_parse_fail_the_load_with_their_name_and_line() {
    for (file, message) in [
        ("\n{{ nofunc 1 }}", r#"template: bad.tmpl:2: function "nofunc" not defined"#),
        ("{{ if true }}", "template: bad.tmpl:1: unexpected EOF"),
        ("{{ end }}", "template: bad.tmpl:1: unexpected {{end}}"),
        (
            r#"{{ define "a" }}x{{ end }}{{ define "a" }}y{{ end }}"#,
            r#"template: bad.tmpl:1: template: multiple definition of template "a""#,
        ),
    ] {
        assert_eq!(Templates::from_texts([("bad.tmpl", file)]).unwrap_err().to_string(), message);
    }
}

#[test]
fn only_gos_own_functions_pass_the_syntax_check_of_urls() {
    assert!(check_builtin_syntax("http://x/{{ .Status | urlquery | printf \"%s\" }}").is_ok());
    let error = check_builtin_syntax("http://x/{{ toUpper .Status }}").unwrap_err();
    assert_eq!(error.message(), r#"template: :1: function "toUpper" not defined"#);
}

#[test]
fn functions_since_0_34_work() {
    for (source, output) in [
        (r#"{{ .GroupLabels.Names.Join "," }}|{{ .CommonLabels.Values.Join "-" }}"#, "alertname|A-j"),
        (r#"{{ base64encode "a>?" }} {{ base64decode "YT4_" }}"#, "YT4_ a>?"),
        (r#"{{ (toDate "2006-01-02" "2024-05-06").Unix }} {{ (toDate "2006" "x").IsZero }}"#, "1714953600 true"),
        (r#"{{ mustToDate "2006-01-02 -07:00" "2024-05-06 +02:00" }}"#, "2024-05-06 00:00:00 +0200 +0200"),
        (r#"{{ routeLabels "none" }}|"#, "|"),
    ] {
        assert_eq!(text(source).as_deref(), Ok(output), "{source}");
    }
    assert!(text(r#"{{ mustToDate "2006" "x" }}"#).unwrap_err().contains("error calling mustToDate: parsing time"));
    assert!(text(r#"{{ base64decode "*" }}"#).unwrap_err().contains("illegal base64 data at input byte 0"));
}

#[test]
fn route_labels_are_rendered_once_and_cycles_are_left_out() {
    let templates = shipped();
    let (labels, failed) = templates.route_labels(
        &[
            ("a", r#"{{ routeLabels "b" }}!"#),
            ("b", "{{ .GroupLabels.alertname }}/{{ .NotificationReason }}"),
            ("x", r#"{{ routeLabels "y" }}"#),
            ("y", r#"{{ routeLabels "x" }}"#),
            ("z", r#"{{ routeLabels "nope" }}"#),
        ],
        &data(),
    );
    assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "A/unknown!"), ("b", "A/unknown"), ("z", "")]);
    assert_eq!(failed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["x", "y"]);
    assert!(failed.iter().all(|(_, error)| error.message().contains("route label cycle detected: x -> y -> x")));
}

#[test]
fn templates_that_call_themselves_end_in_an_error() {
    let endless = r#"{{ define "a" }}{{ template "a" . }}{{ end }}{{ template "a" . }}"#;
    assert!(text(endless).unwrap_err().ends_with("exceeded maximum template depth (10000)"));
    assert!(html(endless).unwrap_err().contains("exceeded maximum template depth"));
    let deep = r#"{{ define "r" }}{{ if . }}{{ template "r" (slice . 1) }}{{ end }}x{{ end }}{{ template "r" (printf "%1000d" 1) }}"#;
    assert_eq!(text(deep).map(|output| output.len()), Ok(1001));
    let shallow = deep.replace("1000", "60");
    assert_eq!(html(&shallow).map(|output| output.len()), Ok(61));
}

#[test]
fn nesting_is_bounded_before_it_can_overflow_the_stack() {
    let parens = format!("{{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000));
    let blocks = format!("{}x{}", "{{ if true }}".repeat(5000), "{{ end }}".repeat(5000));
    let elses = format!("{}{{{{ end }}}}", "{{ if false }}".to_owned() + &"{{ else if false }}".repeat(5000));
    for source in [parens, blocks, elses] {
        assert!(text(&source).unwrap_err().contains("nested deeper than 100 levels"));
        assert!(html(&source).is_err());
    }
    let lists = "{{ $l := list }}{{ range 1000 }}{{ $l = list $l }}{{ end }}{{ $l }}";
    assert!(text(lists).unwrap_err().contains("lists and maps nested deeper than 100 levels"));
}

#[test]
fn work_and_text_are_bounded() {
    for (source, problem) in [
        ("{{ range 100000 }}{{ range 100000 }}{{ end }}{{ end }}", "steps"),
        (r#"{{ $x := "0123456789" }}{{ range 40 }}{{ $x = printf "%s%s" $x $x }}{{ end }}"#, "bytes"),
        (r#"{{ range 1000 }}{{ printf "%1000000d" 1 }}{{ end }}"#, "bytes"),
        ("{{ $l := list 1 2 3 }}{{ range 60 }}{{ $l = list $l $l }}{{ end }}{{ $l }}", "bytes"),
        ("{{ $l := list 1 2 3 }}{{ range 60 }}{{ $l = list $l $l }}{{ end }}{{ toJson $l }}", "bytes"),
        ("{{ $l := list }}{{ range 1000000 }}{{ $l = append $l 1 }}{{ end }}", "steps"),
    ] {
        let error = text(source).unwrap_err();
        assert!(error.contains(problem), "{source}: {error}");
    }
    assert_eq!(text(r#"{{ printf "%1000000000d" 1 }}"#).as_deref(), Ok("%!(NOVERB)%!(EXTRA int=1)"));
    assert_eq!(text(r#"{{ len (printf "%1000000d" 1) }}"#).as_deref(), Ok("1000000"));
}

#[test]
fn html_analysis_stays_small_however_ranges_nest() {
    let chain: String = (0..40)
        .map(|i| format!(r#"{{{{ define "t{i}" }}}}<i>{{{{ range .Alerts }}}}{{{{ template "t{}" $ }}}}{{{{ end }}}}</i>{{{{ end }}}}"#, i + 1))
        .collect();
    let source = format!(
        r#"{chain}{{{{ define "t40" }}}}x{{{{ end }}}}{{{{ if false }}}}{{{{ template "t0" . }}}}{{{{ end }}}}y"#
    );
    assert_eq!(html(&source).as_deref(), Ok("y"));
    let nested = format!("{}x{}", "{{ range list }}".repeat(20), "{{ end }}".repeat(20));
    assert!(html(&nested).unwrap_err().contains("ranges inside each other"));
    assert_eq!(text(&nested).as_deref(), Ok(""));
}

#[test]
fn html_analysis_cannot_overflow_the_stack() {
    let chain = |length: usize| {
        let links: String = (0..length)
            .map(|i| format!(r#"{{{{ define "t{i}" }}}}{{{{ if .Alerts }}}}{{{{ template "t{}" . }}}}{{{{ end }}}}{{{{ end }}}}"#, i + 1))
            .collect();
        format!(
            r#"{links}{{{{ define "t{length}" }}}}x{{{{ end }}}}{{{{ if false }}}}{{{{ template "t0" . }}}}{{{{ end }}}}y"#
        )
    };
    assert_eq!(html(&chain(140)).as_deref(), Ok("y"));
    assert!(html(&chain(5000)).unwrap_err().contains("levels deep"));
    let literals = r#"{{ define "a" }}`${ {{ template "a" }} {{ end }}<script>{{ template "a" }}"#;
    assert!(html(literals).unwrap_err().contains("backquotes"));
    let changing = r#"{{ define "a" }}<a title="{{ if false }}{{ template "a" }}{{ end }}{{ end }}{{ template "a" }}"#;
    assert!(html(changing).is_err());
}

#[test]
fn values_in_scripts_are_json_and_elsewhere_text() {
    assert_eq!(
        html(
            "<b>{{ .GroupLabels.Names }}</b><script>f({{ .GroupLabels.Names }}, {{ 1.5 }}, {{ list 1 \"<\" }})</script>"
        )
        .as_deref(),
        Ok("<b>[alertname]</b><script>f([\"alertname\"],  1.5 , [1,\"\\u003c\"])</script>")
    );
}

#[test]
fn html_errors_name_the_place_in_the_template() {
    assert_eq!(
        html("<a {{ if true }}href=\"{{ else }}title={{ end }}x\">").unwrap_err(),
        "html/template::1:9: {{if}} branches end in different contexts: {stateURL delimDoubleQuote urlPartNone jsCtxRegexp [] attrURL elementNone <nil>}, {stateBeforeValue delimNone urlPartNone jsCtxRegexp [] attrNone elementNone <nil>}"
    );
    assert_eq!(html(r#"{{ template "none" . }}"#).unwrap_err(), r#"html/template::1:12: no such template "none""#);
}

#[test]
fn many_different_strings_do_not_pile_up() {
    let templates = shipped();
    for i in 0..2_000 {
        assert_eq!(templates.text(&format!("{{{{ {i} }}}}"), &data()).unwrap(), i.to_string());
    }
    assert!(templates.lock().by_source.len() <= super::limits::PARSED_MAX);
    assert!(templates.lock().order.len() <= super::limits::PARSED_MAX);
}

/// Pieces that make templates, whole and broken.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "{{",
        "}}",
        "{{-",
        "-}}",
        "{{ end }}",
        "{{ else }}",
        "{{ if .Alerts }}",
        "{{ range .Alerts }}",
        "{{ with .Status }}",
        "{{ range $i, $a := .Alerts }}",
        "{{ define \"q\" }}",
        "{{ template \"q\" . }}",
        "{{ block \"q\" . }}",
        "{{ break }}",
        "{{ continue }}",
        "(",
        ")",
        "|",
        ".",
        "$",
        "$x",
        " := ",
        "=",
        "\"",
        "`",
        "'",
        "/*",
        "*/",
        "<a href=\"",
        "<script>",
        "</script>",
        "<p ",
        ">",
        "<!--",
        "-->",
        "style=",
        "onclick='",
        "printf \"%5.2v\" ",
        "index ",
        "slice ",
        "eq ",
        "and ",
        "toJson ",
        "len ",
        "dict \"a\" ",
        "list ",
        "reReplaceAll \"(a*)\" \"$1\" ",
        "match ",
        "date \"2006\" ",
        "toDate \"2006\" ",
        "humanizeDuration ",
        "title ",
        ".Labels",
        ".Alerts",
        ".StartsAt",
        ".Add ",
        ".Round ",
        "1",
        "-1",
        "1e3",
        "0x",
        "'a'",
        "nil",
        "true",
        "\\",
        "é",
        "\u{0}",
        "\u{2028}",
        "\n",
        " ",
        ",",
        "9223372036854775807",
        "html",
        "urlquery",
        "call",
        "{{ $x := 1 }}",
    ];
    prop_oneof![8 => prop::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => any::<String>()]
}

/// Templates that are right, for mutating.
const SEEDS: [&str; 6] = [
    r#"{{ define "__subject" }}[{{ .Status | toUpper }}]{{ end }}{{ template "slack.default.title" . }}"#,
    r#"{{ range $i, $a := .Alerts }}{{ if gt $i 0 }}, {{ else }}{{ continue }}{{ end }}{{ $a.Labels.SortedPairs.Values | toJson }}{{ end }}"#,
    r#"{{ with (index .Alerts 0).StartsAt }}{{ .Format "Jan 2 15:04:05.000 MST" }} {{ tz "Europe/Berlin" . }} {{ since . | humanizeDuration }}{{ end }}"#,
    r#"{{ printf "%-10.3s|%+d|%x|%q|%v|%[2]*[1]d" .Status 5 "x" "y" (dict "a" (list 1 2.5 nil)) }}{{ slice .Receiver 1 3 }}"#,
    r#"<a href="{{ .ExternalURL }}?{{ .Status }}" onclick="f({{ .GroupLabels }})">{{ .CommonAnnotations.summary | safeHtml }}</a><script>x = {{ .Alerts | len }};</script>"#,
    r#"{{ template "email.default.html" . }}"#,
];

fn mutated() -> impl Strategy<Value = String> {
    (
        prop::sample::select(SEEDS.to_vec()),
        prop::collection::vec((any::<prop::sample::Index>(), 0_usize..6, piece()), 0..5),
    )
        .prop_map(|(seed, edits)| {
            let mut chars: Vec<char> = seed.chars().collect();
            for (place, removed, inserted) in edits {
                let at = place.index(chars.len() + 1);
                let end = (at + removed).min(chars.len());
                chars.splice(at..end, inserted.chars());
            }
            chars.into_iter().collect()
        })
}

/// Renders in both engines, in the little stack of a test thread, and returns without a panic.
fn survives(templates: &Templates, data: &Data, source: &str) {
    // Results do not matter here, only that there is one.
    let _ = templates.text(source, data);
    let _ = templates.html(source, data);
    let _ = check_builtin_syntax(source);
    let _ = Templates::from_texts([("t", source)]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn no_template_panics(pieces in prop::collection::vec(piece(), 0..30)) {
        survives(&shipped(), &data(), &pieces.concat());
    }

    #[test]
    fn no_mutated_template_panics(source in mutated()) {
        survives(&shipped(), &data(), &source);
    }
}

/// A long run, `cargo test -- --ignored a_million`: prints how fast it went.
#[test]
#[ignore = "takes minutes"]
#[allow(clippy::disallowed_methods, reason = "measures real time")]
fn a_million_templates_do_not_panic() {
    use proptest::{
        strategy::ValueTree,
        test_runner::{Config, TestRunner},
    };
    let count: usize = std::env::var("CARILLON_FUZZ_INPUTS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let (templates, data) = (shipped(), data());
    let mut runner = TestRunner::new(Config::default());
    let wild = prop::collection::vec(piece(), 0..30).prop_map(|pieces| pieces.concat());
    let start = Instant::now();
    for i in 0..count {
        let source = if i % 2 == 0 {
            wild.new_tree(&mut runner).unwrap().current()
        } else {
            mutated().new_tree(&mut runner).unwrap().current()
        };
        let _ = templates.text(&source, &data);
        let _ = templates.html(&source, &data);
    }
    println!("{count} templates in both engines in {:?}", start.elapsed());
}
