//! Regular expressions of RE2: from a grammar, from people, spoiled. What is accepted is run, and a pattern that is
//! recognised as one of the simple shapes must answer as the compiled program does.

use carillon::alert::re2::{Anchored, compile};

use crate::{
    corpus,
    harness::{Case, Target},
    mutate::Words,
    rng::Rng,
};

pub struct Regexes {
    texts: Vec<String>,
}

const TOKENS: [&str; 66] = [
    "(",
    ")",
    "(?:",
    "(?i)",
    "(?s",
    "(?-m:",
    "(?U)",
    "(?P<n>",
    "(?<n>",
    "(?=",
    "(?!",
    "(?#",
    "[",
    "]",
    "[^",
    "[:alpha:]",
    "[[:^space:]]",
    "[[:foo:]]",
    "\\d",
    "\\D",
    "\\w",
    "\\W",
    "\\s",
    "\\S",
    "\\b",
    "\\B",
    "\\A",
    "\\z",
    "\\Z",
    "\\C",
    "\\Q",
    "\\E",
    "\\pL",
    "\\p{Greek}",
    "\\P{^Lu}",
    "\\p{",
    "\\x41",
    "\\x{1F600}",
    "\\x{110000}",
    "\\0",
    "\\101",
    "\\1",
    "\\n",
    "\\.",
    "\\",
    "*",
    "+",
    "?",
    "*?",
    "{2}",
    "{0,1000}",
    "{1001}",
    "{2,1}",
    "{,3}",
    "{",
    "}",
    "|",
    "^",
    "$",
    ".",
    "-",
    "a",
    "é",
    "ſ",
    "&&",
    "~",
];

fn words() -> Words<'static> {
    Words { corpus: corpus!("regexes.txt"), tokens: &TOKENS }
}

/// A pattern of the grammar, of moderate size.
pub fn grammar(rng: &mut Rng) -> String {
    let mut out = String::new();
    alternatives(rng, rng.clone().below(4), &mut out);
    out
}

fn alternatives(rng: &mut Rng, depth: usize, out: &mut String) {
    for number in 0..rng.between(1, 3) {
        if number > 0 {
            out.push('|');
        }
        for _ in 0..rng.below(4) {
            atom(rng, depth, out);
            if rng.one_in(3) {
                let counts = if rng.one_in(20) {
                    &["{12,34}", "{0}", "{20,}"][..]
                } else {
                    &["*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{0,}", "{2,}?"]
                };
                out.push_str(rng.pick(counts));
            }
        }
    }
}

fn atom(rng: &mut Rng, depth: usize, out: &mut String) {
    match rng.below(if depth == 0 { 6 } else { 9 }) {
        0..=2 => out.push_str(rng.pick(&[
            "a",
            "b",
            "foo",
            "bar",
            "1",
            "-",
            "_",
            " ",
            "é",
            "K",
            "ſ",
            "\\.",
            "\\n",
            "\\x41",
            "\\x{1F600}",
            "\\Qa.b\\E",
        ])),
        3 => out.push_str(rng.pick(&[".", ".*", ".+", "^", "$", "\\b", "\\B", "\\A", "\\z", "\\d", "\\W", "\\s"])),
        // Large tables, which programs take long to be made of.
        4 if rng.one_in(8) => out.push_str(rng.pick(&["\\pL", "\\P{Lu}", "\\p{Greek}", "[^\\PL\\d]", "(?i:\\pL)"])),
        4 | 5 => class(rng, out),
        _ => {
            out.push_str(rng.pick(&["(", "(?:", "(?i:", "(?s:", "(?m-i:", "(?U:", "(?P<n>", "(?:(?i)"]));
            alternatives(rng, depth - 1, out);
            out.push(')');
        }
    }
}

fn class(rng: &mut Rng, out: &mut String) {
    out.push_str(rng.pick(&["[", "[^", "[]", "[-"]));
    for _ in 0..rng.between(1, 4) {
        out.push_str(rng.pick(&[
            "a",
            "a-z",
            "0-9",
            "\\d",
            "\\W",
            "[:alpha:]",
            "[:^punct:]",
            "\\p{Greek}",
            "é-ü",
            "\\x41-\\x{FF}",
            "&&",
            "--",
            "~",
            "^",
            "\\]",
            "[",
            "-",
        ]));
    }
    out.push(']');
}

/// Deep, wide or much repeated.
fn excessive(rng: &mut Rng) -> String {
    let depth = rng.between(1, 2_000);
    match rng.below(9) {
        0 => format!("{}a{}", "(".repeat(depth), ")".repeat(depth)),
        1 => format!("{}a{}", "(?:".repeat(depth), ")*".repeat(depth)),
        2 => format!("{}a{}", "(?:a|".repeat(depth), ")".repeat(depth)),
        3 => format!("{}a{}", "(?i:".repeat(depth), ")".repeat(depth)),
        4 => format!("((a{{{}}}){{{}}}){{{}}}", rng.below(1001), rng.below(40), rng.below(40)),
        5 => "a|bc|é|".repeat(depth),
        6 => "(((a*)*)*)*".repeat(depth),
        7 => format!("(a?){{{}}}", rng.below(1001)).repeat(depth / 8),
        _ => format!("[{}]{{{}}}", "\\pLa-z".repeat(depth / 8), rng.below(1001)),
    }
}

impl Target for Regexes {
    const NAME: &'static str = "regexes";

    fn new() -> Self {
        let texts = [
            "", "a", "A", "b", "foo", "bar", "foobar", "a.b", "\n", "a\nb", "é", "É", "ſ", "K", "k", "1", "aa1", " ",
            "a-b_c", "🙂", "\u{212a}",
        ];
        let mut texts: Vec<String> = texts.map(str::to_owned).into();
        texts.push("ab".repeat(200));
        Regexes { texts }
    }

    fn make(rng: &mut Rng) -> Case {
        let words = words();
        if rng.one_in(200) {
            return Case::text("excessive", excessive(rng));
        }
        match rng.below(16) {
            0..=7 => Case::text("grammar", grammar(rng)),
            8 | 9 => Case::text("tokens", (0..rng.between(1, 12)).map(|_| rng.pick(&TOKENS)).collect::<String>()),
            10 | 11 => {
                let text = grammar(rng);
                Case::text("spoiled", words.spoiled(rng, &text, 3))
            }
            _ => Case::text("mutant", words.mutant_text(rng, 4)),
        }
    }

    fn run(&mut self, case: &Case) -> bool {
        let pattern = case.as_text();
        // Making programs is what takes time: some stand for all.
        if pattern.len().is_multiple_of(4)
            && let Ok(regex) = compile(&pattern)
        {
            for text in &self.texts {
                let _ = regex.find(text).map(|found| &text[found.range()]);
            }
        }
        let anchored = Anchored::new(&pattern);
        if let Ok(anchored) = &anchored {
            let answers: Vec<bool> = self.texts.iter().map(|text| anchored.is_match(text)).collect();
            if format!("{anchored:?}").starts_with("Anchored(Shape") {
                self.check_shape(&pattern, anchored, &answers);
            }
        }
        anchored.is_ok()
    }
}

impl Regexes {
    fn check_shape(&self, pattern: &str, anchored: &Anchored, answers: &[bool]) {
        let program = match compile(&format!("^(?:{pattern})$")) {
            Ok(program) => program,
            // A shape needs no program, and so may be larger than one can be.
            Err(error) => return assert!(error.to_string().contains("too large"), "{error}"),
        };
        for (text, answer) in self.texts.iter().zip(answers) {
            assert_eq!(*answer, program.is_match(text), "a shape answers as the program does, for {text:?}");
        }
        if let Some(literals) = anchored.literals() {
            assert!(literals.iter().all(|literal| program.is_match(literal)), "a listed literal matches");
            assert!(literals.is_sorted_by(|a, b| a < b), "literals are sorted and different");
            let listed = |text: &String| literals.iter().any(|literal| **literal == **text);
            assert!(
                self.texts.iter().all(|text| listed(text) == program.is_match(text)),
                "literals are all that matches"
            );
        }
    }
}
