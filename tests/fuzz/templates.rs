//! Templates: of Go's grammar with our functions, from people, spoiled; as plain text and as HTML, as a configured
//! string and as a file of the user's.

use std::{collections::BTreeMap, sync::Arc};

use carillon::{
    alert::{Alert, Labels, text::parse_time},
    clock::Time,
    notify::types::{Notification, Reason},
    template::{Data, Templates, check_builtin_syntax},
};

use crate::{
    corpus,
    harness::{Case, Target},
    mutate::Words,
    rng::Rng,
};

pub struct TemplateTexts {
    templates: Templates,
    data: Vec<Data>,
}

const TOKENS: [&str; 74] = [
    "{{",
    "}}",
    "{{- ",
    " -}}",
    "{{/* */}}",
    "{{ end }}",
    "{{ else }}",
    "{{ else if . }}",
    "{{ if .Status }}",
    "{{ range .Alerts }}",
    "{{ with . }}",
    "{{ break }}",
    "{{ continue }}",
    "{{ define \"x\" }}",
    "{{ template \"x\" . }}",
    "{{ block \"y\" . }}",
    "{{ $x := . }}",
    "{{ $x = 1 }}",
    "{{ . }}",
    "|",
    "(",
    ")",
    ".",
    "$",
    "$x",
    ":=",
    "=",
    ",",
    "nil",
    "true",
    "\"a\"",
    "`b`",
    "'c'",
    "'\\U00110000'",
    "\"\\x",
    "1",
    "-1",
    "1e400",
    "0x",
    "1i",
    "9223372036854775808",
    ".Alerts",
    ".Labels",
    ".StartsAt",
    ".Format",
    "len",
    "index",
    "printf \"%[9]*.*d\"",
    "\"%999999999d\"",
    "toUpper",
    "join",
    "reReplaceAll",
    "match \"(\"",
    "dict",
    "list",
    "append",
    "toJson",
    "date",
    "tz",
    "since",
    "humanizeDuration",
    "safeHtml",
    "routeLabels",
    "nope",
    "<a href=\"",
    "<script>",
    "</script>",
    "<style>",
    "<!--",
    "-->",
    "<a onclick='",
    "<textarea>",
    "`",
    "'",
];

const MANY: [&str; 2] =
    [include_str!("../../src/template/default.tmpl"), include_str!("../../src/template/email.tmpl")];

fn words() -> Words<'static> {
    Words { corpus: corpus!("templates.txt"), tokens: &TOKENS }
}

/// What functions and places want.
#[derive(Clone, Copy, PartialEq)]
enum Type {
    Any,
    Text,
    Number,
    List,
    Map,
    Time,
}

const TYPES: [Type; 6] = [Type::Any, Type::Text, Type::Number, Type::List, Type::Map, Type::Time];

/// Functions with what they want and give.
const FUNCTIONS: [(&str, &[Type], Type); 44] = {
    use Type::{Any, List, Map, Number, Text, Time};
    [
        ("len", &[Any], Number),
        ("len", &[List], Number),
        ("index", &[List, Number], Any),
        ("index", &[Map, Text], Text),
        ("slice", &[Text, Number], Text),
        ("slice", &[List, Number, Number], List),
        ("printf", &[Text, Any, Any], Text),
        ("printf", &[Text, Number, Text], Text),
        ("print", &[Any, Any], Text),
        ("println", &[Any], Text),
        ("html", &[Any], Text),
        ("js", &[Any], Text),
        ("urlquery", &[Text], Text),
        ("eq", &[Text, Text], Any),
        ("eq", &[Number, Number, Number], Any),
        ("ne", &[Any, Any], Any),
        ("lt", &[Number, Number], Any),
        ("ge", &[Text, Text], Any),
        ("and", &[Any, Any], Any),
        ("or", &[Any, Any, Any], Any),
        ("not", &[Any], Any),
        ("call", &[Any], Any),
        ("toUpper", &[Text], Text),
        ("toLower", &[Text], Text),
        ("title", &[Text], Text),
        ("trimSpace", &[Text], Text),
        ("join", &[Text, List], Text),
        ("match", &[Text, Text], Any),
        ("reReplaceAll", &[Text, Text, Text], Text),
        ("stringSlice", &[Text, Text], List),
        ("safeHtml", &[Text], Text),
        ("safeUrl", &[Text], Text),
        ("urlUnescape", &[Text], Text),
        ("base64encode", &[Text], Text),
        ("base64decode", &[Text], Text),
        ("date", &[Text, Time], Text),
        ("tz", &[Text, Time], Time),
        ("now", &[], Time),
        ("since", &[Time], Any),
        ("mustToDate", &[Text, Text], Time),
        ("humanizeDuration", &[Number], Text),
        ("toJson", &[Any], Text),
        ("list", &[Any, Any], List),
        ("dict", &[Text, Any], Map),
    ]
};

/// Writes templates of the grammar, mostly with the right types.
struct Grammar<'r> {
    rng: &'r mut Rng,
    out: String,
    /// Pieces still to be written: bounds the whole.
    left: usize,
    /// Ranges around: each multiplies the work.
    ranges: usize,
}

impl Grammar<'_> {
    fn write(rng: &mut Rng) -> String {
        let left = rng.between(2, 30);
        let mut grammar = Grammar { rng, out: String::new(), left, ranges: 0 };
        grammar.out.push_str("{{ define \"x\" }}");
        grammar.body(4);
        grammar.out.push_str("{{ end }}{{ $x := .Status }}{{ $y := 1 }}");
        while grammar.left > 0 {
            grammar.piece(0);
        }
        grammar.out
    }

    fn put(&mut self, list: &[&str]) {
        let text = self.rng.pick(list);
        self.out.push_str(text);
    }

    fn body(&mut self, depth: usize) {
        for _ in 0..self.rng.between(0, 3) {
            self.piece(depth);
        }
    }

    fn piece(&mut self, depth: usize) {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 || depth > 6 {
            return self.put(&["x", "{{ . }}"]);
        }
        match self.rng.below(12) {
            0 => self.put(&["text ", "\n", "<b>", "</b>", "&amp;", "é🙂", "{", "}"]),
            1 => self.markup(),
            2..=5 => {
                self.open();
                self.pipeline(depth, Type::Any);
                self.close();
            }
            6 if depth < 4 => {
                self.open();
                self.put(&["$x := ", "$y := ", "$v := "]);
                self.pipeline(depth, Type::Any);
                self.close();
            }
            7 => self.control(depth, "if"),
            8 => self.control(depth, "with"),
            9 if self.ranges < 3 => {
                self.ranges += 1;
                self.control(depth, "range");
                self.ranges -= 1;
            }
            10 => self.put(&[
                "{{ template \"x\" . }}",
                "{{ template \"x\" $ }}",
                "{{ template \"__subject\" $ }}",
                "{{ template \"default.title\" $ }}",
                "{{ template \"__text_alert_list\" .Alerts }}",
                "{{ template \"x\" }}",
                "{{ block \"b\" . }}{{ . }}{{ end }}",
            ]),
            11 if self.ranges > 0 => self.put(&["{{ break }}", "{{ continue }}", "{{ if . }}{{ continue }}{{ end }}"]),
            _ => self.put(&["{{/* c */}}", "{{- /* c */ -}}", "{{ . }}", "{{ $ }}"]),
        }
    }

    /// A value in one of the contexts that HTML escaping tells apart.
    fn markup(&mut self) {
        const CONTEXTS: [(&str, &str); 12] = [
            ("<a href=\"", "\">"),
            ("<a href='/x?q=", "'>"),
            ("<script>var a = ", ";</script>"),
            ("<script>var a = \"", "\";</script>"),
            ("<script>/", "/.test(1)</script>"),
            ("<p style='color: ", "'>"),
            ("<!-- ", " -->"),
            ("<a onclick=\"f(", ")\">"),
            ("<textarea>", "</textarea>"),
            ("<style>", "</style>"),
            ("<p title=", ">"),
            ("<", ">"),
        ];
        let (before, after) = CONTEXTS[self.rng.below(CONTEXTS.len())];
        self.out.push_str(before);
        self.open();
        self.pipeline(0, Type::Any);
        self.close();
        if !self.rng.one_in(12) {
            self.out.push_str(after);
        }
    }

    fn open(&mut self) {
        self.put(&["{{ ", "{{", "{{- "]);
    }

    fn close(&mut self) {
        self.put(&[" }}", "}}", " -}}"]);
    }

    fn control(&mut self, depth: usize, word: &str) {
        self.out.push_str("{{ ");
        self.out.push_str(word);
        self.out.push(' ');
        let kind = if word == "range" { Type::List } else { Type::Any };
        if word == "range" {
            self.put(&["", "", "$i, $e := ", "$e := "]);
        }
        self.pipeline(depth, kind);
        self.out.push_str(" }}");
        self.body(depth + 1);
        if self.rng.one_in(3) {
            self.put(&[
                "{{ else }}",
                "{{ else }}",
                if word == "with" { "{{ else with $ }}" } else { "{{ else }}" },
                if word == "if" { "{{ else if $ }}" } else { "{{ else }}" },
            ]);
            self.body(depth + 1);
        }
        self.out.push_str("{{ end }}");
    }

    fn pipeline(&mut self, depth: usize, kind: Type) {
        if self.rng.one_in(2) {
            self.operand(depth, kind)
        } else {
            self.function(depth, kind, false)
        }
        while kind == Type::Any && self.rng.one_in(4) {
            self.out.push_str(" | ");
            self.function(depth, kind, true);
        }
    }

    /// A call whose last argument may come from the pipeline.
    fn function(&mut self, depth: usize, kind: Type, piped: bool) {
        let (mut name, mut wants, _) = FUNCTIONS[self.rng.below(FUNCTIONS.len())];
        for _ in 0..20 {
            let (other, params, gives) = FUNCTIONS[self.rng.below(FUNCTIONS.len())];
            if (kind == Type::Any || gives == kind) && (!piped || params.last() == Some(&Type::Any)) {
                (name, wants) = (other, params);
                break;
            }
        }
        self.out.push_str(if self.rng.one_in(200) { "nope" } else { name });
        let given = wants.len().saturating_sub(usize::from(piped));
        for want in &wants[..given] {
            self.out.push(' ');
            let want = if self.rng.one_in(15) { TYPES[self.rng.below(TYPES.len())] } else { *want };
            self.operand(depth, want);
        }
    }

    fn operand(&mut self, depth: usize, kind: Type) {
        if depth < 5 && self.left > 0 && self.rng.one_in(4) {
            self.left -= 1;
            self.out.push('(');
            self.pipeline(depth + 1, kind);
            return self.out.push(')');
        }
        let kind = if kind == Type::Any { TYPES[self.rng.below(TYPES.len())] } else { kind };
        match kind {
            Type::Any => self.put(&[
                ".",
                "$",
                "$x",
                "$y",
                "$.Alerts",
                "true",
                "false",
                "$.CommonLabels.SortedPairs",
                "'a'",
                "2i",
                "nil",
                ".Nope",
                "$.GroupLabels",
            ]),
            Type::Text => self.put(&[
                "\"a\"",
                "$.Status",
                "$.Receiver",
                "\"%v %q\"",
                "\"%5.2f|%-9s|%+d|%x\"",
                "\"%[2]*[1]d\"",
                "\"2006-01-02T15:04:05.000Z07:00\"",
                "\"Europe/Berlin\"",
                "`raw`",
                "\"(a+)*b|$\"",
                "\"$1${n}\"",
                "\"\\u00e9\"",
                "\"\"",
                "$.ExternalURL",
                "(index $.Alerts 0).Labels.alertname",
                "$.CommonLabels.alertname",
                "\"2024-05-06\"",
                "\"2006-01-02\"",
            ]),
            Type::Number => self.put(&[
                "0",
                "1",
                "2",
                "-1",
                "100",
                "1e3",
                "1.5",
                "0x1F",
                "9223372036854775807",
                "-9223372036854775808",
                "1_000",
                "0b11",
                "0o17",
                "1e308",
                "(len $.Alerts)",
                "(index $.Alerts 0).StartsAt.Unix",
            ]),
            Type::List => self.put(&[
                "$.Alerts",
                "$.Alerts.Firing",
                "$.Alerts.Resolved",
                "$.CommonLabels.Names",
                "$.CommonLabels.SortedPairs.Values",
                "(stringSlice \"a\" \"b\")",
                "(list 1 \"a\" nil)",
            ]),
            Type::Map => self.put(&[
                "$.GroupLabels",
                "$.CommonLabels",
                "$.CommonAnnotations",
                "$.RouteLabels",
                "(index $.Alerts 0).Labels",
                "(dict \"a\" 1)",
                "($.CommonLabels.Remove (stringSlice \"a\"))",
            ]),
            Type::Time => self.put(&[
                "now",
                "(index $.Alerts 0).StartsAt",
                "(index $.Alerts 2).EndsAt",
                "(toDate \"2006\" \"x\")",
                "((index $.Alerts 0).StartsAt.Add 5)",
                "now.UTC",
            ]),
        }
    }
}

/// Depth, width and repetition beyond reason.
fn excessive(rng: &mut Rng) -> String {
    let depth = rng.between(1, 3_000);
    match rng.below(14) {
        0 => format!("{}x{}", "{{ if . }}".repeat(depth), "{{ end }}".repeat(depth)),
        1 => format!("{{{{ {}1{} }}}}", "(".repeat(depth), ")".repeat(depth)),
        2 => format!("{{{{ {}1{} }}}}", "(list ".repeat(depth), ")".repeat(depth)),
        3 => format!("{{{{ {} }}}}", "1 | print ".repeat(depth)),
        4 => format!("{}x{}", "{{ if . }}{{ else }}{{ with . }}".repeat(depth), "{{ end }}{{ end }}".repeat(depth)),
        5 => format!("{{{{ if . }}}}{}{{{{ end }}}}", "{{ else if . }}x".repeat(depth)),
        6 => "{{ define \"x\" }}{{ template \"x\" . }}{{ end }}{{ template \"x\" . }}".to_owned(),
        7 => {
            let mut text = String::from("{{ define \"a0\" }}x{{ end }}");
            for level in 1..rng.between(2, 30) {
                let call = format!("{{{{ template \"a{}\" . }}}}", level - 1);
                text.push_str(&format!("{{{{ define \"a{level}\" }}}}{call}{call}{{{{ end }}}}"));
            }
            text + "{{ template \"a1\" . }}"
        }
        8 => format!(
            "{{{{ $x := \"ab\" }}}}{}{{{{ len $x }}}}",
            "{{ $x = printf \"%s%s\" $x $x }}".repeat(rng.between(1, 40))
        ),
        9 => format!("{{{{ $x := list 1 }}}}{}{{{{ len $x }}}}", "{{ $x = list $x $x }}".repeat(rng.between(1, 200))),
        10 => format!("{{{{ printf \"%{depth}d %.{depth}f %0{depth}x\" 1 1.5 255 }}}}"),
        11 => format!("{{{{ . {} }}}}", ".A".repeat(depth)),
        12 => format!("{{{{ match \"{}\" .Status }}}}", "(a|b*)*".repeat(depth)),
        _ => format!("{}{{{{ . }}}}", "<a href=\"<script>'".repeat(depth)),
    }
}

impl Target for TemplateTexts {
    const NAME: &'static str = "templates";

    fn new() -> Self {
        TemplateTexts {
            templates: Templates::from_texts([]).expect("the shipped templates parse"),
            data: vec![Data::default(), full_data()],
        }
    }

    fn make(rng: &mut Rng) -> Case {
        let words = words();
        let text = match rng.below(24) {
            0 => excessive(rng),
            1 => {
                let text = rng.pick(&MANY);
                let from = rng.below(text.len());
                let from = (from..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or_default();
                let text: String = text[from..].chars().take(600).collect();
                words.spoiled(rng, &text, 2)
            }
            2..=11 => Grammar::write(rng),
            12 | 13 => {
                let text = Grammar::write(rng);
                words.spoiled(rng, &text, 3)
            }
            14 => (0..rng.between(1, 12)).map(|_| rng.pick(&TOKENS)).collect(),
            _ => words.mutant_text(rng, 4),
        };
        let kind = match rng.below(40) {
            0 => "file",
            1 => "builtin syntax",
            2 => "route label",
            3 => return Case::text("data", data_words().mutant_text(rng, 4)),
            4..=21 => "text",
            _ => "html",
        };
        Case::text(kind, text)
    }

    fn run(&mut self, case: &Case) -> bool {
        let text = &*case.as_text();
        let all = |render: &dyn Fn(&Data) -> bool| self.data.iter().map(render).fold(false, |a, b| a | b);
        match case.kind {
            "text" => all(&|data| self.templates.text(text, data).is_ok()),
            "html" => all(&|data| self.templates.html(text, data).is_ok()),
            "builtin syntax" => check_builtin_syntax(text).is_ok(),
            "data" => Data::from_json(text).is_ok_and(|data| {
                self.templates.html("{{ template \"email.default.html\" . }}{{ toJson . }}{{ range .Alerts }}{{ .StartsAt }}{{ end }}", &data).is_ok()
            }),
            "route label" => {
                let labels = [("a", text), ("b", "{{ routeLabels \"a\" }}{{ .Status }}")];
                all(&|data| self.templates.route_labels(&labels, data).1.is_empty())
            }
            _ => Templates::from_texts([("x.tmpl", text)]).is_ok_and(|templates| {
                all(&|data| templates.text("{{ template \"x.tmpl\" . }}", data).is_ok())
            }),
        }
    }
}

fn data_words() -> Words<'static> {
    const DATA: [&str; 2] = [
        r#"{"receiver":"r","status":"firing","alerts":[{"status":"firing","labels":{"alertname":"A"},"annotations":{},"startsAt":"2024-05-06T07:08:09+02:00","endsAt":"0001-01-01T00:00:00Z","generatorURL":"u","fingerprint":"f"}],"notification_reason":"x","groupLabels":{"a":"b"},"commonLabels":null,"commonAnnotations":{},"routeLabels":{},"externalURL":"http://x"}"#,
        r#"{"alerts":null,"groupLabels":{}}"#,
    ];
    const TOKENS: [&str; 12] = [
        "null",
        "{}",
        "[]",
        "\"",
        ",",
        ":",
        "\"alerts\":",
        "\"startsAt\":",
        "-1",
        "9999-12-31T23:59:59.999999999-23:59",
        "\\ud800",
        "\\u0000",
    ];
    Words { corpus: &DATA, tokens: &TOKENS }
}

/// A notification of a group of three alerts.
pub fn notification() -> Notification {
    let time = |text: &str| -> Time { parse_time(text).expect("a time") };
    let alert = |labels: &[(&str, &str)], ends_at: Option<&str>| Alert {
        labels: Labels::from_pairs(labels.iter().copied()),
        annotations: Labels::from_pairs([("summary", "it's <down> & \"out\" ü🙂"), ("runbook", "javascript:alert(1)")]),
        generator_url: "http://prometheus/graph?g0.expr=up".into(),
        starts_at: time("2024-05-06T07:08:09.123456789Z"),
        ends_at: ends_at.map(time),
        updated_at: time("2024-05-06T07:08:10Z"),
        timeout: false,
        period: 1,
        accepted_at: time("2024-05-06T07:08:10Z"),
        explicit: true,
        bounds: None,
    };
    Notification {
        group_key: "{}/{team=\"a\"}:{alertname=\"Down\"}".into(),
        receiver: "team.a".into(),
        group_labels: Labels::from_pairs([("alertname", "Down")]),
        route_labels: Labels::from_pairs([("tier", "1")]),
        alerts: vec![
            alert(&[("alertname", "Down"), ("instance", "db-1:9100"), ("severity", "critical")], None),
            alert(&[("alertname", "Down"), ("instance", "db-2:9100"), ("a b", "ü")], None),
            alert(&[("alertname", "Down")], Some("2024-05-06T07:30:00Z")),
        ],
        fingerprints: Vec::new(),
        reason: Reason::NewAlertsAdded,
        now: time("2024-05-06T08:00:00Z"),
        external_url: Arc::from("http://am.example.org"),
        memory: BTreeMap::new(),
    }
}

fn full_data() -> Data {
    Data::from_notification(&notification())
}
