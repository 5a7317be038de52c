//! Matcher texts in the three modes, with the rule that chooses between the grammars as the oracle, and canonical
//! printing as the way back.

use carillon::alert::{
    Labels,
    matcher::{
        Matcher, MatcherError, Matchers, ParseMode, parse_matcher, parse_matchers, parse_noticing, valid_label_name,
    },
};

use crate::{
    corpus,
    harness::{Case, Target},
    mutate::Words,
    regexes,
    rng::Rng,
};

pub struct MatcherTexts {
    values: [&'static str; 8],
    labels: Labels,
}

const TOKENS: [&str; 40] = [
    "=",
    "!=",
    "=~",
    "!~",
    "{",
    "}",
    ",",
    ", ",
    "\"",
    "'",
    "`",
    "\\\"",
    "\\n",
    "\\\\",
    "\\x41",
    "\\xff",
    "\\u00e9",
    "\\U0010ffff",
    "\\101",
    "\\",
    " ",
    "\t",
    "\n",
    "\u{a0}",
    "\u{2003}",
    "foo",
    "a",
    "bar",
    "\"a b\"",
    "\"\"",
    "=~\"(\"",
    "=~\".*\"",
    "🙂",
    "[",
    "(?i)",
    ".+",
    "|",
    "!",
    "~",
    "{}",
];

fn words() -> Words<'static> {
    Words { corpus: corpus!("matchers.txt"), tokens: &TOKENS }
}

/// Strings of tokens: the grammar's own pieces in any order.
fn of_tokens(rng: &mut Rng) -> String {
    (0..rng.between(1, 14)).map(|_| rng.pick(&TOKENS)).collect()
}

fn of_grammar(rng: &mut Rng) -> String {
    let one = |rng: &mut Rng| {
        let name = rng.pick(&["a", "foo", "\"x y\"", "é", "foo:bar", "\"\"", "_", "0"]);
        let op = rng.pick(&["=", "!=", "=~", "!~", " = ", " =~ "]);
        let value = match rng.below(4) {
            0 => rng.pick(&["b", "", "\"\"", "a b", "'x'", "\"q\\\"q\"", "x=y", "🙂"]).to_owned(),
            1 => regexes::grammar(rng),
            _ => format!("\"{}\"", regexes::grammar(rng).replace('\\', "\\\\").replace('"', "\\\"")),
        };
        format!("{name}{op}{value}")
    };
    let list: Vec<String> = (0..rng.between(1, 4)).map(|_| one(rng)).collect();
    let list = list.join(rng.pick(&[",", ", ", ",,"]));
    if rng.one_in(3) { format!("{{{list}}}") } else { list }
}

impl Target for MatcherTexts {
    const NAME: &'static str = "matchers";

    fn new() -> Self {
        MatcherTexts {
            values: [
                "",
                "bar",
                "b12",
                "a\nb\"c\\d",
                "é",
                "\0",
                "db-1.example.org",
                "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            ],
            labels: Labels::from_pairs([("foo", "bar"), ("a", "1"), ("x y", "z"), ("é", "🙂")]),
        }
    }

    fn make(rng: &mut Rng) -> Case {
        let words = words();
        let text = match rng.below(6) {
            0 => of_tokens(rng),
            1 | 2 => of_grammar(rng),
            3 => {
                let text = of_grammar(rng);
                words.spoiled(rng, &text, 3)
            }
            _ => words.mutant_text(rng, 4),
        };
        Case::text(if rng.one_in(4) { "one" } else { "list" }, text)
    }

    fn run(&mut self, case: &Case) -> bool {
        let text = case.as_text();
        let read = |mode| {
            if case.kind == "one" {
                parse_matcher(mode, &text).map(|one| vec![one])
            } else {
                parse_matchers(mode, &text)
            }
        };
        let (classic, utf8, fallback) = (read(ParseMode::Classic), read(ParseMode::Utf8), read(ParseMode::Fallback));
        if case.kind == "list" {
            check_choice(&classic, &utf8, &fallback);
        }
        if let Ok(parsed) = parse_noticing(ParseMode::Fallback, &text) {
            parsed.notice.iter().for_each(|notice| drop(notice.to_string()));
        }
        for matchers in [&classic, &utf8, &fallback].into_iter().flatten() {
            self.ask(matchers);
        }
        for mode in [ParseMode::Classic, ParseMode::Utf8, ParseMode::Fallback] {
            let _ = valid_label_name(mode, &text);
        }
        [&classic, &utf8, &fallback].into_iter().any(Result::is_ok)
    }
}

type Read = Result<Vec<Matcher>, MatcherError>;

/// The classic reading where there is one, else the new one, else the classic complaint.
fn check_choice(classic: &Read, utf8: &Read, fallback: &Read) {
    match (classic, utf8, fallback) {
        (Ok(classic), _, Ok(chosen)) => assert!(same(classic, chosen), "the classic reading wins"),
        (Err(_), Ok(utf8), Ok(chosen)) => assert!(same(utf8, chosen), "the only reading wins"),
        (Err(classic), Err(_), Err(error)) => assert_eq!(classic, error, "the classic complaint is given"),
        _ => panic!("the modes do not fit together"),
    }
}

fn same(a: &[Matcher], b: &[Matcher]) -> bool {
    Matchers::new(a.to_vec()) == Matchers::new(b.to_vec())
}

impl MatcherTexts {
    fn ask(&self, list: &[Matcher]) {
        for matcher in list {
            for value in self.values {
                let _ = matcher.matches_value(value);
            }
            assert_eq!(matcher.matches_empty(), matcher.matches(&Labels::default()), "missing is empty");
            if let Some(literals) = matcher.literals() {
                assert!(literals.iter().all(|value| matcher.matches_value(value)), "what is listed matches");
                assert!(
                    self.values
                        .iter()
                        .all(|value| !matcher.matches_value(value) || literals.iter().any(|l| l == *value))
                );
            }
            // Canonical text is read back as the same matcher; a bare empty name has no such text.
            if !matcher.name().is_empty() {
                let again = parse_matcher(ParseMode::Utf8, &matcher.to_string());
                assert_eq!(again.as_ref(), Ok(matcher), "canonical text is read back");
            }
        }
        let all = Matchers::new(list.to_vec());
        let _ = (all.matches(&self.labels), all.to_string());
    }
}
