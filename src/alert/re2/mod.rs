//! Regular expressions as Go's RE2 reads them, run by the `regex` crate.
//!
//! A pattern is parsed by RE2's rules ([`parse`]), so that what Alertmanager refuses is refused in the
//! same words, and written again for the crate ([`ast`]), where every construct means what it means in
//! Go: ASCII classes and word boundaries, `\Q…\E`, octal escapes, literal braces, plain brackets in
//! classes. Matchers mostly use a few simple forms; these run without any program ([`shape`]).

mod ast;
mod parse;
mod shape;

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
};

use regex::{Regex, RegexBuilder};

use self::shape::Shape;

/// A pattern that Go's RE2 refuses too, or that is too large to run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {problem}: `{fragment}`")]
pub struct RegexError {
    problem: &'static str,
    fragment: Box<str>,
}

impl RegexError {
    fn new(problem: &'static str, fragment: &str) -> Self {
        RegexError { problem, fragment: fragment.into() }
    }
}

/// Compiles for a search anywhere in the text (template functions).
pub fn compile(pattern: &str) -> Result<Regex, RegexError> {
    let node = parse::parse(pattern)?;
    if node.steps().saturating_mul(node.captures()) > PLACES_MAX {
        return Err(RegexError::new(TOO_LARGE, pattern));
    }
    build(pattern, &node, ast::print)
}

const TOO_LARGE: &str = "expression too large";
/// While it matches, the program may remember a place for each of its steps and groups; so many are 64 MB.
const PLACES_MAX: u64 = 4 << 20;

/// More than the parser allows in depth, with room for the groups that printing adds.
const NEST_MAX: u32 = 1_000;
/// Bytes of a compiled program. RE2 allows about as much.
const PROGRAM_BYTES_MAX: usize = 128 << 20;
/// Bytes of the states that a thread caches while it matches. Thousands of programs can be alive.
const CACHE_BYTES_MAX: usize = 256 << 10;

/// Steps of a program: more take seconds to build.
const STEPS_MAX: u64 = 2_000_000;

fn build(pattern: &str, node: &ast::Node, print: fn(&ast::Node) -> String) -> Result<Regex, RegexError> {
    if node.steps() > STEPS_MAX {
        return Err(RegexError::new(TOO_LARGE, pattern));
    }
    RegexBuilder::new(&print(node))
        .nest_limit(NEST_MAX)
        .size_limit(PROGRAM_BYTES_MAX)
        .dfa_size_limit(CACHE_BYTES_MAX)
        .build()
        .map_err(|_| RegexError::new(TOO_LARGE, pattern))
}

/// A pattern that is asked only whether it matches a whole value. Cheap to clone.
///
/// Simple forms need no program, and equal patterns share one, so that ten thousand silences with
/// regexes cost neither the time nor the memory of ten thousand programs.
#[derive(Clone, Debug)]
pub struct Anchored(Test);

#[derive(Clone, Debug)]
enum Test {
    Shape(Arc<Shape>),
    Program(Arc<Regex>),
}

impl Anchored {
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        let source = format!("^(?:{pattern})$");
        let node = parse::parse(&source)?;
        match shape::of(&node) {
            Some(shape) => Ok(Anchored(Test::Shape(Arc::new(shape)))),
            None => program(&source, &node).map(|program| Anchored(Test::Program(program))),
        }
    }

    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        match &self.0 {
            Test::Shape(shape) => shape.is_match(text),
            Test::Program(program) => program.is_match(text),
        }
    }

    /// All texts that match, sorted and without repetition, where the pattern names them: `a|b|c`, `x[12]`.
    #[must_use]
    pub fn literals(&self) -> Option<&[Box<str>]> {
        match &self.0 {
            Test::Shape(shape) => shape.literals(),
            Test::Program(_) => None,
        }
    }
}

/// Programs in use, by source. The map holds none of them alive.
static PROGRAMS: LazyLock<Mutex<Programs>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Programs {
    by_source: HashMap<Box<str>, Weak<Regex>>,
    /// Size at which dead ones are swept out.
    sweep_at: usize,
}

const SWEEP_AT_LEAST: usize = 64;

fn program(source: &str, node: &ast::Node) -> Result<Arc<Regex>, RegexError> {
    let lock = || PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(program) = lock().by_source.get(source).and_then(Weak::upgrade) {
        return Ok(program);
    }
    let program = Arc::new(build(source, node, ast::print_without_captures)?);
    let mut programs = lock();
    if programs.by_source.len() >= programs.sweep_at {
        programs.by_source.retain(|_, program| program.strong_count() > 0);
        programs.sweep_at = SWEEP_AT_LEAST.max(2 * programs.by_source.len());
    }
    programs.by_source.insert(source.into(), Arc::downgrade(&program));
    Ok(program)
}

#[cfg(test)]
mod tests;
