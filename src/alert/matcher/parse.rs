//! The two grammars of matcher texts and the rule that chooses between them.

use super::{Matcher, MatcherError, classic, utf8};

/// Which grammar reads matchers and which label names are valid. Handed down from the feature flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ParseMode {
    /// Both grammars; where they differ the classic one wins.
    #[default]
    Fallback,
    /// `utf8-strict-mode`
    Utf8,
    /// `classic-mode`
    Classic,
}

/// What was read, and what its writer should know.
#[derive(Clone, Debug)]
pub struct Parsed {
    pub matchers: Vec<Matcher>,
    pub notice: Option<Notice>,
}

/// The two grammars do not agree on an input; the classic one was followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Only the classic grammar reads it: with UTF-8 mode it will be refused.
    ClassicOnly { input: String, error: MatcherError, suggestion: String },
    /// Both read it, as different matchers.
    Disagreement { input: String },
}

impl std::fmt::Display for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Notice::ClassicOnly { input, error, suggestion } => write!(
                f,
                "matcher {input} is read by the classic grammar only ({error}); write it as {suggestion} to be ready for UTF-8 mode"
            ),
            Notice::Disagreement { input } => write!(
                f,
                "matcher {input} means different things in the classic and the UTF-8 grammar; the classic reading is used, quote the value and escape backslashes to make both agree"
            ),
        }
    }
}

/// Zero or more matchers: the text of one list element, with or without braces.
pub fn parse_matchers(mode: ParseMode, input: &str) -> Result<Vec<Matcher>, MatcherError> {
    parse_noticing(mode, input).map(|parsed| parsed.matchers)
}

/// As [`parse_matchers`], telling also what should be logged about the text.
pub fn parse_noticing(mode: ParseMode, input: &str) -> Result<Parsed, MatcherError> {
    choose(mode, input, utf8::matchers, classic::matchers)
}

/// Exactly one matcher, without braces (API filters, command lines).
pub fn parse_matcher(mode: ParseMode, input: &str) -> Result<Matcher, MatcherError> {
    if mode == ParseMode::Classic {
        return classic::matcher(input);
    }
    // Refused before either grammar is asked, although the classic one would strip them.
    if input.starts_with('{') || input.ends_with('}') {
        return Err(MatcherError::UnexpectedBrace(input.to_owned()));
    }
    let one_new = |input: &str| exactly_one(utf8::matchers(input)?).map(|matcher| vec![matcher]);
    let one_old = |input: &str| classic::matcher(input).map(|matcher| vec![matcher]);
    exactly_one(choose(mode, input, one_new, one_old)?.matchers)
}

fn exactly_one(mut matchers: Vec<Matcher>) -> Result<Matcher, MatcherError> {
    match (matchers.pop(), matchers.len()) {
        (Some(matcher), 0) => Ok(matcher),
        (Some(_), others) => Err(MatcherError::TooMany(others + 1)),
        (None, _) => Err(MatcherError::None),
    }
}

type Grammar = fn(&str) -> Result<Vec<Matcher>, MatcherError>;

fn choose(mode: ParseMode, input: &str, utf8: Grammar, classic: Grammar) -> Result<Parsed, MatcherError> {
    let plain = |matchers| Parsed { matchers, notice: None };
    match mode {
        ParseMode::Classic => classic(input).map(plain),
        ParseMode::Utf8 => utf8(input).map(plain),
        ParseMode::Fallback => match (utf8(input), classic(input)) {
            (Err(_), Err(error)) => Err(error),
            (Ok(matchers), Err(_)) => Ok(plain(matchers)),
            (Ok(new), Ok(old)) if new == old => Ok(plain(new)),
            (Ok(_), Ok(matchers)) => {
                Ok(Parsed { matchers, notice: Some(Notice::Disagreement { input: input.to_owned() }) })
            }
            (Err(error), Ok(matchers)) => {
                let suggestion = matchers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
                let notice = Notice::ClassicOnly { input: input.to_owned(), error, suggestion };
                Ok(Parsed { matchers, notice: Some(notice) })
            }
        },
    }
}

/// `[a-zA-Z_][a-zA-Z0-9_]*` in classic mode, else any text but the empty one.
#[must_use]
pub fn valid_label_name(mode: ParseMode, name: &str) -> bool {
    match mode {
        ParseMode::Classic => {
            !name.is_empty()
                && !name.starts_with(|c: char| c.is_ascii_digit())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        }
        ParseMode::Fallback | ParseMode::Utf8 => !name.is_empty(),
    }
}
