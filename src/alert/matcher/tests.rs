use proptest::prelude::*;

use super::*;

fn read(mode: ParseMode, input: &str) -> String {
    match parse_matchers(mode, input) {
        Ok(matchers) => matchers.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        Err(error) => format!("error: {error}"),
    }
}

fn matcher(text: &str) -> Matcher {
    parse_matcher(ParseMode::Utf8, text).unwrap()
}

#[test]
fn a_missing_label_counts_as_empty() {
    // The values are: absent, x, a, ab, bc.
    for (text, expected) in [
        (r#"m="""#, "1...."),
        (r#"m!="""#, ".1111"),
        (r#"m=~"""#, "1...."),
        (r#"m=~".*""#, "11111"),
        (r#"m=~".+""#, ".1111"),
        (r#"m!~".+""#, "1...."),
        (r#"m!~"x.*""#, "1.111"),
        (r#"m=~"a|bc""#, "..1.1"),
        (r#"m=~"^a$""#, "..1.."),
        (r#"m=~"(?i)A""#, "..1.."),
    ] {
        let matcher = matcher(text);
        let sets = [vec![], vec![("m", "x")], vec![("m", "a")], vec![("m", "ab")], vec![("m", "bc")]];
        let found: String =
            sets.into_iter().map(|set| if matcher.matches(&Labels::from_pairs(set)) { '1' } else { '.' }).collect();
        assert_eq!(found, expected, "{text}");
        assert_eq!(matcher.matches_empty(), expected.starts_with('1'));
    }
}

#[test]
fn a_list_is_sorted_and_printed_without_blanks() {
    let parsed = parse_matchers(ParseMode::Utf8, r#"{b="2", a!~"x", a="z", a="x", a=~"x"}"#).unwrap();
    assert_eq!(Matchers::new(parsed).to_string(), r#"{a="x",a=~"x",a!~"x",a="z",b="2"}"#);
    assert_eq!(Matchers::default().to_string(), "{}");
    assert!(Matchers::default().matches(&Labels::default()));
}

#[test]
fn odd_names_make_both_sides_quoted_as_in_go() {
    let print = |name: &str, value: &str| Matcher::new(MatchOp::Equal, name, value).unwrap().to_string();
    assert_eq!(print("x", "q\"\\z\n\té"), "x=\"q\\\"\\\\z\\n\té\"");
    assert_eq!(print("weird name", "v\nw é\u{200b}"), "\"weird name\"=\"v\\nw é\\u200b\"");
    assert_eq!(print("a~b", "\t"), "\"a~b\"=\"\\t\"");
}

/// Input, then the reading in fallback, classic and UTF-8 mode; an empty one is as the first.
const READINGS: &[(&str, &str, &str, &str)] = &[
    ("foo=bar", r#"foo="bar""#, "", ""),
    (r#" foo = "bar" "#, r#"foo="bar""#, "", ""),
    ("foo=~[a-z]+", r#"foo=~"[a-z]+""#, "", ""),
    ("foo=", r#"foo="""#, "", "error: end of input: expected label value"),
    ("foo=bar baz", r#"foo="bar baz""#, "", "error: 8:11: unexpected baz: expected a comma or close brace"),
    ("foo='bar'", r#"foo="'bar'""#, "", "error: 4:5: ': invalid input: expected label value"),
    ("foo==bar", r#"foo="=bar""#, "", "error: 4:5: unexpected =: expected label value"),
    ("foo=!bar", r#"foo="!bar""#, "", "error: 4:5: !: expected one of '=~': expected label value"),
    ("{foo=bar", r#"foo="bar""#, "", "error: 0:8: end of input: expected close brace"),
    ("foo=bar}", r#"foo="bar""#, "", "error: 0:8: }: expected opening brace"),
    ("foo=~a{2}", r#"foo=~"a{2""#, "", "error: 6:7: unexpected {: expected a comma or close brace"),
    (r#"foo=~"a{2}""#, r#"foo=~"a{2}""#, "", ""),
    (
        "foo=~a,b",
        "error: bad matcher format: b",
        "",
        "error: end of input: expected an operator such as '=', '!=', '=~' or '!~'",
    ),
    (r#"foo=~"\d+""#, r#"foo=~"\\d+""#, "", r#"error: 5:10: "\d+": invalid input"#),
    (r#"foo=~"\\d+""#, r#"foo=~"\\d+""#, "", ""),
    (r"foo=~\d+", r#"foo=~"\\d+""#, "", r"error: 5:6: \: invalid input: expected label value"),
    (r"foo=~\\d+", r#"foo=~"\\d+""#, "", r"error: 5:6: \: invalid input: expected label value"),
    (r#"foo="a\b""#, r#"foo="a\\b""#, "", "foo=\"a\x08\""),
    (r#"foo="\u00e9""#, r#"foo="\\u00e9""#, "", r#"foo="é""#),
    (r#"foo="a\nb""#, r#"foo="a\nb""#, "", ""),
    (r#"foo="\xff""#, r#"foo="\\xff""#, "", r#"error: 4:10: "\xff": invalid input"#),
    (r#""foo bar"=baz"#, r#""foo bar"="baz""#, r#"error: bad matcher format: "foo bar"=baz"#, r#""foo bar"="baz""#),
    ("foo.bar=baz", r#"foo.bar="baz""#, "error: bad matcher format: foo.bar=baz", r#"foo.bar="baz""#),
    (r#"""=bar"#, r#"="bar""#, r#"error: bad matcher format: ""=bar"#, r#"="bar""#),
    ("foo:bar=baz", r#"foo:bar="baz""#, "", ""),
    ("foo=\u{a0}bar", "foo=\"\u{a0}bar\"", "", r#"foo="bar""#),
    (
        r#"foo=~"(""#,
        "error: error parsing regexp: missing closing ): `^(?:()$`",
        "",
        "error: failed to create matcher: error parsing regexp: missing closing ): `^(?:()$`",
    ),
    (
        "foo<bar",
        "error: bad matcher format: foo<bar",
        "",
        "error: end of input: expected an operator such as '=', '!=', '=~' or '!~'",
    ),
    ("=bar", "error: bad matcher format: =bar", "", "error: 0:1: unexpected =: expected label name"),
    (
        r#"foo="a"b"#,
        r#"error: matcher value contains unescaped double quote: "a"b"#,
        "",
        "error: 7:8: unexpected b: expected a comma or close brace",
    ),
    ("", "", "", ""),
    ("{}", "", "", ""),
    ("a=b,", r#"a="b""#, "", ""),
    (
        "a=b,,c=d",
        "error: bad matcher format: ",
        "",
        "error: 4:5: unexpected ,: expected a matcher or close brace after comma",
    ),
    (r#"a="b,c",d=e"#, r#"a="b,c",d="e""#, "", ""),
];

#[test]
fn each_mode_reads_what_alertmanager_reads() {
    for (input, fallback, classic, utf8) in READINGS {
        let or_first = |reading: &&'static str| if reading.is_empty() { *fallback } else { *reading };
        assert_eq!(read(ParseMode::Fallback, input), *fallback, "{input:?}");
        assert_eq!(read(ParseMode::Classic, input), or_first(classic), "{input:?}");
        assert_eq!(read(ParseMode::Utf8, input), or_first(utf8), "{input:?}");
    }
}

#[test]
fn the_writer_is_told_when_the_grammars_differ() {
    let notice = |input: &str| parse_noticing(ParseMode::Fallback, input).unwrap().notice;
    assert_eq!(notice("foo=bar"), None);
    assert_eq!(notice("{}"), None);
    assert_eq!(notice(r#"foo="\u00e9""#), Some(Notice::Disagreement { input: r#"foo="\u00e9""#.to_owned() }));
    let Some(Notice::ClassicOnly { suggestion, .. }) = notice("foo=bar baz") else { panic!("UTF-8 refuses it") };
    assert_eq!(suggestion, r#"foo="bar baz""#);
}

#[test]
fn one_matcher_is_read_without_braces() {
    use ParseMode::{Classic, Fallback, Utf8};
    let one = |mode, input: &str| parse_matcher(mode, input).map_or_else(|e| e.to_string(), |m| m.to_string());
    for (mode, input, expected) in [
        (Utf8, "a=b", r#"a="b""#),
        (Utf8, "", "no matchers"),
        (Utf8, "a=b,c=d", "expected 1 matcher, found 2"),
        (Utf8, "{a=b}", "unexpected open or close brace: {a=b}"),
        (Fallback, "", "bad matcher format: "),
        (Fallback, "foo", "bad matcher format: foo"),
        (Fallback, "a=b}", "unexpected open or close brace: a=b}"),
        (Fallback, "a=b,c=d", r#"a="b,c=d""#),
        (Fallback, "\u{a0}a=b", r#"a="b""#),
        (Classic, "a=b}", r#"a="b}""#),
        (Classic, "\u{a0}a=b", "bad matcher format: \u{a0}a=b"),
        (Classic, r#"a="b" ,"#, r#"matcher value contains unescaped double quote: "b" ,"#),
    ] {
        assert_eq!(one(mode, input), expected, "{input:?}");
    }
}

#[test]
fn label_names_are_any_text_unless_classic() {
    for (name, classic, other) in
        [("a_1", true, true), ("1a", false, true), ("a:b", false, true), ("é", false, true), ("", false, false)]
    {
        assert_eq!(valid_label_name(ParseMode::Classic, name), classic);
        assert_eq!(valid_label_name(ParseMode::Fallback, name), other);
        assert_eq!(valid_label_name(ParseMode::Utf8, name), other);
    }
}

#[test]
fn the_values_that_can_fit_are_told() {
    let literals = |text: &str| matcher(text).literals().map(|l| l.iter().map(str::to_owned).collect::<Vec<_>>());
    assert_eq!(literals("a=b"), Some(vec!["b".to_owned()]));
    assert_eq!(literals(r#"a=~"y|x""#), Some(vec!["x".to_owned(), "y".to_owned()]));
    assert_eq!((literals("a!=b"), literals(r#"a!~"x|y""#), literals(r#"a=~"x.*""#)), (None, None, None));
}

proptest! {
    #[test]
    fn parsing_never_panics(text in any::<String>(), near in r#"[{]?("?[a-zé ]{0,3}"?[=!~]{0,2}"?[a-z\\"xu0-9.*()]{0,6}"?,?){0,4}[}]?"#) {
        for mode in [ParseMode::Fallback, ParseMode::Classic, ParseMode::Utf8] {
            for input in [&text, &near] {
                let _ = (parse_matchers(mode, input), parse_matcher(mode, input));
            }
        }
    }

    #[test]
    fn what_is_printed_reads_back(name in any::<String>(), value in any::<String>(), negated: bool) {
        // Values that are printed raw may hold characters that only classic or quoted forms bear.
        let op = if negated { MatchOp::NotEqual } else { MatchOp::Equal };
        let matcher = Matcher::new(op, name, value).unwrap();
        let printed = matcher.to_string();
        if !printed.starts_with(['=', '!']) {
            prop_assert_eq!(parse_matchers(ParseMode::Utf8, &printed), Ok(vec![matcher]));
        }
    }
}
