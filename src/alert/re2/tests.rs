//! The dialect, held against what the reference accepts, refuses and matches.

use proptest::prelude::*;

use super::*;

fn anchored(pattern: &str) -> String {
    format!("^(?:{pattern})$")
}

fn compile_anchored(pattern: &str) -> Result<Regex, RegexError> {
    compile(&anchored(pattern))
}

/// Patterns that the reference accepts.
const ACCEPTED: &[&str] = &[
    r"a{,2}",
    r"a{",
    r"a{b}",
    r"{",
    r"x{2,",
    r"[]a]",
    r"[\d-z]",
    r"[--a]",
    r"[a&&b]",
    r"(?P<n>a)(?P<n>b)",
    r"(?P<1a>x)",
    r"(?<n>a)",
    r"(?i)",
    r"(?i:a)",
    r"(?-i)",
    r"(?ii)",
    r"(?imsU-imsU)",
    r"(?)",
    r"(?:)",
    r"(?i-s:a)",
    r"\Qa\Eb",
    r"\Q*\E+",
    r"\pN",
    r"\p{Greek}",
    r"\p{^Greek}",
    r"\P{^Greek}",
    r"\p{Any}",
    r"\x{10ffff}",
    r"\07",
    r"\0",
    r"\08",
    r"\101",
    r"\400",
    r"\777",
    r"\a\f\n\r\t\v",
    r"\A",
    r"\z",
    r"\b",
    r"\B",
    r"\<",
    r"\_",
    r"\-",
    r"\ ",
    r"x{1000}",
    r"x{1000,}",
    r"((x{10}){10}){10}",
    r"(x{1000})*",
    r"[[:alpha:]]",
    r"[[:^alpha:]]",
    r"[[:alpha:]-z]",
    r"[:alpha:]",
    r"[[.a.]]",
    r"[[=a=]]",
    r"[[:alpha]",
    r"[\pL]",
    r"[\x41-\x43]",
    r"[\101]",
    r"(?s).",
    r"(?m)^a$",
    r"(?U)a+?",
    r"()",
    r"(|)",
    r"|",
    r"^*",
    r"$*",
    r"\b*",
    r"(?:^)*",
    r"\b+",
    r"^+",
    r"(^)*",
    r"a??",
    r"(?i)ſ",
    r"\p{L}",
    r"\p{Letter}",
    r"\p{Lu}",
    r"\pl",
    r"\p{greek}",
    r"\p{Latin}",
    r"\p{Zs}",
    r"\p{Co}",
    r"\p{Cs}",
    r"\p{Nko}",
    r"\p{Han}",
    r"\pC",
    r"\p{C}",
    r"\p{Cn}",
    r"\p{LC}",
    r"\p{Assigned}",
    r"\p{ASCII}",
    r"x{00002}",
    r"x{2,3}?",
    r"[a-b-c]",
    r"[a-]",
    r"[-a]",
    r"[^-a]",
    r"[a\-z]",
    r"[\w-a]",
    r"[!--]",
    r"[+--]",
    r"(?i)(?-i:a)",
    r"\d{2}",
    r"\Qab\E*",
    r"a\Q\E*",
    r"\Q\Q\E",
    r"(?:(?:(?:x{100}){10}){1})",
];

/// Patterns that the reference refuses, with its words.
const REFUSED: &[(&str, &str)] = &[
    (r"(", r"missing closing ): `^(?:()$`"),
    (r"a**", r"invalid nested repetition operator: `**`"),
    (r"a++", r"invalid nested repetition operator: `++`"),
    (r"a{1001}", r"invalid repeat count: `{1001}`"),
    (r"(?x)a", r"invalid or unsupported Perl syntax: `(?x`"),
    (r"(?R)a", r"invalid or unsupported Perl syntax: `(?R`"),
    (r"[[:foo:]]", r"invalid character class range: `[:foo:]`"),
    (r"\u0041", r"invalid escape sequence: `\u`"),
    (r"\8", r"invalid escape sequence: `\8`"),
    (r"\1", r"invalid escape sequence: `\1`"),
    (r"a{2,1}", r"invalid repeat count: `{2,1}`"),
    (r"(a{100}){100}", r"invalid repeat count: `{100}`"),
    (r"*a", r"missing argument to repetition operator: `*`"),
    (r"a|*", r"missing argument to repetition operator: `*`"),
    (r"(*)", r"missing argument to repetition operator: `*`"),
    (r"+", r"missing argument to repetition operator: `+`"),
    (r"?", r"missing argument to repetition operator: `?`"),
    (r"a{2}{3}", r"invalid nested repetition operator: `{2}{3}`"),
    (r"a*{2}", r"invalid nested repetition operator: `*{2}`"),
    (r"a{2}*", r"invalid nested repetition operator: `{2}*`"),
    (r"{2}", r"missing argument to repetition operator: `{2}`"),
    (r"[", r"missing closing ]: `[)$`"),
    (r"[a", r"missing closing ]: `[a)$`"),
    (r"[]", r"missing closing ]: `[])$`"),
    (r"[^]", r"missing closing ]: `[^])$`"),
    (r"[z-a]", r"invalid character class range: `z-a`"),
    (r"[a-\d]", r"invalid escape sequence: `\d`"),
    (r"[a--b]", r"invalid character class range: `a--`"),
    (r"(?P<>x)", r"invalid named capture: `(?P<>`"),
    (r"(?P<n", r"invalid named capture: `(?P<n)$`"),
    (r"(?P=n)", r"invalid or unsupported Perl syntax: `(?P`"),
    (r"(?=a)", r"invalid or unsupported Perl syntax: `(?=`"),
    (r"(?!a)", r"invalid or unsupported Perl syntax: `(?!`"),
    (r"(?<=a)", r"invalid named capture: `(?<=a))$`"),
    (r"(?i", r"missing closing ): `^(?:(?i)$`"),
    (r"(?i-)", r"invalid or unsupported Perl syntax: `(?i-)`"),
    (r"(?--i)", r"invalid or unsupported Perl syntax: `(?--`"),
    (r"(?-)", r"invalid or unsupported Perl syntax: `(?-)`"),
    (r"\", r"missing closing ): `^(?:\)$`"),
    (r"\Qab", r"missing closing ): `^(?:\Qab)$`"),
    (r"\E", r"invalid escape sequence: `\E`"),
    (r"\pX", r"invalid character class range: `\pX`"),
    (r"\p{Foo}", r"invalid character class range: `\p{Foo}`"),
    (r"\p{", r"invalid character class range: `\p{)$`"),
    (r"\p", r"invalid character class range: `\p)`"),
    (r"\x4", r"invalid escape sequence: `\x4)`"),
    (r"\x", r"invalid escape sequence: `\x)$`"),
    (r"\x{", r"invalid escape sequence: `\x{)`"),
    (r"\x{110000}", r"invalid escape sequence: `\x{110000`"),
    (r"\x{}", r"invalid escape sequence: `\x{}`"),
    (r"\xfg", r"invalid escape sequence: `\xfg`"),
    (r"\Z", r"invalid escape sequence: `\Z`"),
    (r"\C", r"invalid escape sequence: `\C`"),
    (r"\G", r"invalid escape sequence: `\G`"),
    (r"\é", r"invalid escape sequence: `\é`"),
    (r"\y", r"invalid escape sequence: `\y`"),
    (r"\i", r"invalid escape sequence: `\i`"),
    (r"x{0,1001}", r"invalid repeat count: `{0,1001}`"),
    (r"(x{10}){101}", r"invalid repeat count: `{101}`"),
    (r"((x{10}){10}){11}", r"invalid repeat count: `{11}`"),
    (r"[a-[:alpha:]]", r"invalid character class range: `a-[`"),
    (r"[\Qa]", r"invalid escape sequence: `\Q`"),
    (r"[\b]", r"invalid escape sequence: `\b`"),
    (r"[\B]", r"invalid escape sequence: `\B`"),
    (r"[\8]", r"invalid escape sequence: `\8`"),
    (r"[\pX]", r"invalid character class range: `\pX`"),
    (r"[a\", r"missing closing ]: `[a\)$`"),
    (r"[\", r"missing closing ]: `[\)$`"),
    (r")", r"unexpected ): `^(?:))$`"),
    (r"a)", r"unexpected ): `^(?:a))$`"),
    (r"a???", r"invalid nested repetition operator: `???`"),
    (r"a?+", r"invalid nested repetition operator: `?+`"),
    (r"\p{Uppercase}", r"invalid character class range: `\p{Uppercase}`"),
    (r"\p{Script=Greek}", r"invalid character class range: `\p{Script=Greek}`"),
    (r"x{2}??", r"invalid nested repetition operator: `{2}??`"),
    (r"x{99999999999}", r"invalid repeat count: `{99999999999}`"),
    (r"x{1,99999999999}", r"invalid repeat count: `{1,99999999999}`"),
    (r"(?P<ñ>x)", r"invalid named capture: `(?P<ñ>`"),
    (r"(?P<a-b>x)", r"invalid named capture: `(?P<a-b>`"),
    (r"a{1}{1}", r"invalid nested repetition operator: `{1}{1}`"),
    (r"\Q\E*", r"missing argument to repetition operator: `*`"),
];

#[test]
fn what_the_reference_accepts_is_accepted() {
    for pattern in ACCEPTED {
        assert!(Anchored::new(pattern).is_ok(), "{pattern}: {:?}", Anchored::new(pattern));
        assert!(
            compile_anchored(pattern).is_ok(),
            "{pattern}: {}",
            ast::print(&parse::parse(&anchored(pattern)).unwrap())
        );
    }
}

#[test]
fn what_the_reference_refuses_is_refused_in_its_words() {
    for (pattern, words) in REFUSED {
        let error = Anchored::new(pattern).map_or_else(|e| e.to_string(), |_| "accepted".to_owned());
        assert_eq!(error, format!("error parsing regexp: {words}"), "{pattern}");
    }
}

/// Pattern, texts that match, texts that do not.
type Case = (&'static str, &'static [&'static str], &'static [&'static str]);

const MATCHING: &[Case] = &[
    ("", &[""], &["x"]),
    (".*", &["", "x", "é🙂"], &["a\nb", "\n"]),
    (".+", &["x", "ab"], &["", "a\nb"]),
    ("(?s).+", &["a\nb"], &[""]),
    ("x.*", &["x", "xy"], &["ax", "x\n"]),
    ("a|bc", &["a", "bc"], &["abc", "ab", ""]),
    ("^a$", &["a"], &["a\n", "aa"]),
    ("a)|(?:b", &["a", "b", "ab)"], &["c"]),
    ("(?i)A", &["a", "A"], &["b"]),
    ("(?i)k", &["K", "k", "\u{212a}"], &["x"]),
    (r"\d+", &["123"], &["٣"]),
    (r"\D", &["٣", "a"], &["3"]),
    (r"\w+", &["aZ_9"], &["é", "-"]),
    (r"\W", &["é", "-"], &["a"]),
    (r"(?i)\w", &["ſ", "a"], &["é"]),
    (r"\s", &["\t", "\n", "\x0c", "\r", " "], &["\x0b", "\u{a0}"]),
    (r"[[:space:]]", &["\x0b", " "], &["\u{a0}"]),
    (r"\S", &["\x0b", "\u{a0}"], &[" "]),
    (r".\b.", &["a-", "éa"], &["ab", "é-"]),
    (r"é\ba", &["éa"], &[]),
    (r"a\Bé", &[], &["aé"]),
    (r"aé\Bü", &["aéü"], &[]),
    ("a{b}", &["a{b}"], &["abb"]),
    ("a{,2}", &["a{,2}"], &["aa"]),
    ("a{2", &["a{2"], &["aa"]),
    ("a{2}", &["aa"], &["a", "aaa"]),
    ("{", &["{"], &[""]),
    ("[a&&b]", &["a", "&", "b"], &["", "a&"]),
    ("[a~~b]", &["a", "~", "b"], &["c"]),
    ("[[a]b]", &["ab]", "[b]"], &["a", "b"]),
    (r"[\d-z]", &["5", "-", "z"], &["a", "d"]),
    (r"[^\d-z]", &["a"], &["5", "-", "z"]),
    (r"\Qa.b*\E+", &["a.b*", "a.b**"], &["axb"]),
    (r"\<x\>", &["<x>"], &["x"]),
    (r"\b{start}", &[], &["", "{start}"]),
    (r"x\b{start}", &["x{start}"], &["x"]),
    (r"\101\x41\x{41}\07", &["AAA\x07"], &[]),
    (r"\pL+", &["éa"], &["1"]),
    (r"\p{Greek}", &["α"], &["a"]),
    (r"\p{^Greek}", &["a"], &["α"]),
    (r"\P{^Greek}", &["α"], &["a"]),
    (r"[\p{Cs}a]", &["a"], &["b"]),
    (r"\p{Cs}", &[], &["a", ""]),
    (r"\P{Cs}", &["a"], &[""]),
    (r"(?m)^a$\n^b$", &["a\nb"], &["ab"]),
    ("(?U)a+?b", &["aab"], &["b"]),
    ("a(?i)b|c", &["aB", "C"], &["AB"]),
    ("(?i:a)b", &["Ab"], &["AB"]),
    ("(?i)a(?-i)b", &["Ab"], &["aB"]),
    ("(?imsU-imsU)a", &["a"], &["A"]),
    ("(?)a(?:)", &["a"], &["A"]),
    ("(a*)+b??", &["aa", "aab", ""], &["ba"]),
    ("^*a$*", &["a"], &[""]),
    ("host-[123](a|b)?", &["host-1", "host-2a"], &["host-4", "host-1c"]),
    ("a.+b.*c", &["axbc", "axxbyyc", "abbc"], &["abc", "axb", "axbcd"]),
    (".*a.*", &["a", "bab"], &["b", "a\n"]),
    (".*.+", &["a"], &[""]),
    (".+.+", &["ab", "éé"], &["", "a", "é"]),
    ("a\n.*", &["a\n", "a\nb"], &["a", "a\nb\n"]),
    ("[a-c]|d", &["a", "b", "c", "d"], &["e"]),
    ("<>#&~-", &["<>#&~-"], &[""]),
];

#[test]
fn patterns_match_what_they_match_in_go() {
    for (pattern, yes, no) in MATCHING {
        let quick = Anchored::new(pattern).unwrap();
        let program = compile_anchored(pattern).unwrap();
        for (texts, wanted) in [(yes, true), (no, false)] {
            for text in *texts {
                assert_eq!(quick.is_match(text), wanted, "{pattern:?} on {text:?}");
                assert_eq!(program.is_match(text), wanted, "{program:?} for {pattern:?} on {text:?}");
            }
        }
    }
}

#[test]
fn the_texts_of_plain_alternatives_are_known() {
    let literals = |pattern: &str| {
        Anchored::new(pattern).unwrap().literals().map(|texts| texts.iter().map(|t| t.to_string()).collect::<Vec<_>>())
    };
    assert_eq!(literals("b|a|b"), Some(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(literals("^(?:warning|info)$"), Some(vec!["info".to_owned(), "warning".to_owned()]));
    assert_eq!(literals("x(1|2)?"), Some(vec!["x".to_owned(), "x1".to_owned(), "x2".to_owned()]));
    assert_eq!(literals(""), Some(vec![String::new()]));
    for other in ["a.*", "(?i)a", "a+", "[^a]", r"\d", "a^b", "(?i:a)|b", "[a-z]"] {
        assert_eq!(literals(other), None, "{other}");
    }
}

#[test]
fn equal_patterns_share_one_program() {
    let (a, b) = (Anchored::new("shared-[0-9]+").unwrap(), Anchored::new("shared-[0-9]+").unwrap());
    let (Test::Program(a), Test::Program(b)) = (a.0, b.0) else { panic!("both need a program") };
    assert!(Arc::ptr_eq(&a, &b));
}

#[test]
fn deep_nesting_is_refused_and_not_overflown() {
    let deep = |n: usize| format!("{}a{}", "(".repeat(n), ")".repeat(n));
    assert!(compile(&deep(80)).is_ok());
    assert!(compile(&deep(100_000)).unwrap_err().to_string().contains("nests too deeply"));
    assert!(compile(&format!("{}a", "(?:".repeat(100_000))).is_err());
}

#[test]
fn a_search_is_not_anchored_and_keeps_groups() {
    let regex = compile("(?P<key>[a-z]+)=(?P<key>[0-9]+)").unwrap();
    assert_eq!(regex.replace_all("x a=1 b=22", "$key:$2"), "x a:1 b:22");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn translation_never_panics(text in any::<String>()) {
        let _ = Anchored::new(&text);
    }

    #[test]
    fn what_is_accepted_compiles(pattern in r"([a-c.^$|()*+?\[\]\\{}0-9:imsUPpdwbQE<>,-]|\[\[:alpha:\]|\\x41|\{2,3\}|\(\?){0,12}") {
        if parse::parse(&pattern).is_ok() {
            prop_assert!(compile(&pattern).is_ok(), "{}", ast::print(&parse::parse(&pattern).unwrap()));
        }
    }

    #[test]
    fn a_shape_agrees_with_the_program(
        pattern in r"([ab|.n]|\.\*|\.\+|\(a\|b\)|\[ab\]|\(|\)|a\?|\^|\$){0,8}",
        text in r"[abn\n]{0,6}",
    ) {
        if let (Ok(quick), Ok(program)) = (Anchored::new(&pattern), compile_anchored(&pattern)) {
            prop_assert_eq!(quick.is_match(&text), program.is_match(&text));
        }
    }
}

#[test]
fn a_pattern_whose_groups_would_fill_the_memory_is_refused_where_groups_matter() {
    let pattern = "(a?){680}".repeat(150);
    assert_eq!(compile(&pattern).unwrap_err().problem, "expression too large");
    assert!(Anchored::new(&pattern).unwrap().is_match("aaa"));
    assert!(compile(&"(a|b)".repeat(100)).is_ok());
}

#[test]
fn a_pattern_that_would_take_many_seconds_to_build_is_refused_at_once() {
    let pattern = "\\pL".repeat(5_000);
    for error in [compile(&pattern).map(drop), Anchored::new(&pattern).map(drop)] {
        assert_eq!(error.unwrap_err().problem, "expression too large");
    }
    assert!(Anchored::new(&"\\pL".repeat(20)).is_ok());
}
