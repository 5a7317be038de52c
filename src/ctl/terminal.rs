//! What a person at a terminal sees beside the results: notes, progress, colours. All of it goes to standard
//! error or is left out when nobody is there.

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use tokio::time::Instant;

use crate::clock::Clock;

/// Between two pictures of a progress line.
const PROGRESS_STEP: Duration = Duration::from_millis(100);

/// A line on standard error. Who has closed it does not want to know.
pub fn say(line: &str) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}

/// Colours of words, or none: they are for terminals, and only where `NO_COLOR` is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint(bool);

impl Paint {
    /// For standard output.
    #[must_use]
    pub fn of_output() -> Self {
        Paint::decide(io::stdout().is_terminal(), env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty()), &term())
    }

    fn decide(is_terminal: bool, no_color: bool, term: &str) -> Self {
        Paint(is_terminal && !no_color && term != "dumb")
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    #[must_use]
    pub fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    #[must_use]
    pub fn warning(self, text: &str) -> String {
        self.with("33", text)
    }

    #[must_use]
    pub fn bad(self, text: &str) -> String {
        self.with("31", text)
    }

    #[must_use]
    pub fn strong(self, text: &str) -> String {
        self.with("1", text)
    }
}

fn term() -> String {
    env::var("TERM").unwrap_or_default()
}

/// A line that counts, on a terminal; nothing elsewhere. It goes away at the end.
pub struct Progress {
    what: &'static str,
    all: usize,
    done: usize,
    clock: Clock,
    /// `None`: nobody looks.
    next: Option<Instant>,
    shown: bool,
}

impl Progress {
    #[must_use]
    pub fn new(what: &'static str, all: usize, clock: &Clock) -> Self {
        let next = io::stderr().is_terminal().then(|| clock.monotonic() + PROGRESS_STEP);
        Progress { what, all, done: 0, clock: clock.clone(), next, shown: false }
    }

    /// One more.
    pub fn step(&mut self) {
        self.done += 1;
        let Some(next) = self.next else { return };
        let now = self.clock.monotonic();
        if now >= next {
            self.next = Some(now + PROGRESS_STEP);
            self.shown = true;
            let percent = self.done * 100 / self.all.max(1);
            drop(write!(io::stderr().lock(), "\r{} {}/{} ({percent} %)\x1b[K", self.what, self.done, self.all));
        }
    }

    /// Makes room for a line of its own.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            drop(write!(io::stderr().lock(), "\r\x1b[K"));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_whose_owner_wants_them() {
        assert_eq!(Paint::decide(true, false, "xterm").bad("x"), "\x1b[31mx\x1b[0m");
        for none in [
            Paint::decide(false, false, "xterm"),
            Paint::decide(true, true, "xterm"),
            Paint::decide(true, false, "dumb"),
        ] {
            assert_eq!(none, Paint(false));
            assert_eq!(none.bad("x"), "x");
        }
    }
}
