//! Runs a target over many made inputs, and tells what happened in figures.
//!
//! A case is a pure function of the seed and its number. What can go wrong and how it is caught:
//! a panic (or a failed assertion of the target) is caught and its input written to a file; a case that takes too long
//! counts as a failure, and one that never ends is ended from outside, its input made once more for the report; a
//! stack overflow ends the process, and the number of the case stands in the file that the runner keeps for it.

use std::{
    any::Any,
    cell::Cell,
    collections::BTreeMap,
    env,
    fmt::Write as _,
    fs::File,
    io::Write as _,
    os::unix::fs::FileExt as _,
    panic::{self, AssertUnwindSafe},
    path::PathBuf,
    sync::{
        Mutex, Once, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use carillon::clock::Clock;

use crate::rng::Rng;

/// A case may not take longer; debug builds on a busy machine included.
const SLOW: Duration = Duration::from_secs(20);
/// The memory of the process may not grow by more at once.
const GROWTH_KB_MAX: u64 = 768 << 10;
/// Cases below this are not looked at for their memory: that takes time itself.
const SUSPECT: Duration = Duration::from_millis(20);
/// From then on a case is taken to be one that never ends.
const HANG: Duration = Duration::from_secs(120);
/// Panics at different places that are collected before a run gives up.
const FAILURES_MAX: usize = 20;

/// An input for one of a target's parsers.
#[derive(Clone, Debug)]
pub struct Case {
    /// Which parser, or in which way.
    pub kind: &'static str,
    pub bytes: Vec<u8>,
}

impl Case {
    pub fn text(kind: &'static str, text: impl Into<String>) -> Self {
        Case { kind, bytes: text.into().into_bytes() }
    }

    /// What is no UTF-8 in it is replaced.
    pub fn as_text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}

/// Parsers of one family.
pub trait Target {
    const NAME: &'static str;

    /// Everything that is not in the input. Made anew after a panic.
    fn new() -> Self;

    /// Makes an input out of random numbers and nothing else.
    fn make(rng: &mut Rng) -> Case;

    /// Whether the input was accepted. Panics if something is wrong with the answer.
    fn run(&mut self, case: &Case) -> bool;
}

/// What the environment says.
struct Settings {
    seed: u64,
    first: u64,
    cases: u64,
    /// Asked for: tell on standard error, past the test harness.
    is_long: bool,
}

impl Settings {
    fn read(cases_default: u64) -> Self {
        let number = |name: &str| {
            env::var(name).ok().map(|text| {
                text.replace('_', "").parse::<u64>().unwrap_or_else(|_| panic!("{name} is no number: {text}"))
            })
        };
        let cases = number("CARILLON_FUZZ_CASES");
        Settings {
            seed: number("CARILLON_FUZZ_SEED").unwrap_or(1),
            first: number("CARILLON_FUZZ_FIRST").unwrap_or(0),
            cases: cases.unwrap_or(cases_default),
            is_long: cases.is_some(),
        }
    }

    fn is_replay(&self) -> bool {
        self.is_long && self.cases == 1
    }
}

/// The case at hand, for who watches from outside.
#[derive(Default)]
struct Progress {
    case: AtomicU64,
}

/// Figures of one kind of inputs.
#[derive(Default)]
struct Kind {
    accepted: u64,
    refused: u64,
    took: Duration,
}

/// Figures of a run.
#[derive(Default)]
struct Tally {
    kinds: BTreeMap<&'static str, Kind>,
    bytes: u64,
    slowest: (Duration, u64),
    /// By place and words: how many, and a case.
    failures: BTreeMap<String, (u64, u64)>,
}

/// Fuzzes a target as the environment says, and fails the test with all that was found.
pub fn fuzz<T: Target>(cases_default: u64) {
    let settings = Settings::read(cases_default);
    remember_places_of_panics(settings.is_replay());
    let progress = Progress::default();
    let file = env::temp_dir().join(format!("carillon-fuzz-{}-{}.case", T::NAME, std::process::id()));
    tell(
        &settings,
        &format!(
            "fuzz {}: seed {}, cases {} to {}; the case at hand: {}",
            T::NAME,
            settings.seed,
            settings.first,
            settings.first + settings.cases,
            file.display()
        ),
    );
    if settings.is_replay() {
        tell(&settings, &format!("input: {}", keep::<T>(&settings, settings.first).display()));
    }
    let clock = Clock::system();
    let began = clock.monotonic();
    let (sender, done) = mpsc::channel();
    let tally = thread::scope(|scope| {
        let worker = thread::Builder::new().name(format!("fuzz-{}", T::NAME)).spawn_scoped(scope, || {
            let tally = run::<T>(&settings, &progress, &file);
            let _ = sender.send(());
            tally
        });
        let worker = worker.expect("a thread can be started");
        watch::<T>(&settings, &progress, &done);
        worker.join()
    });
    let tally = tally.unwrap_or_else(|panic| panic::resume_unwind(panic));
    let _ = std::fs::remove_file(&file);
    tell(&settings, &report::<T>(&settings, &tally, clock.monotonic() - began));
    assert!(tally.failures.is_empty(), "fuzz {}: {} kinds of failures, see above", T::NAME, tally.failures.len());
}

fn run<T: Target>(settings: &Settings, progress: &Progress, file: &PathBuf) -> Tally {
    let clock = Clock::system();
    let at_hand = File::create(file).expect("the temporary directory is writable");
    let mut tally = Tally::default();
    let mut target = T::new();
    let mut peak_kb = peak_memory_kb();
    for number in settings.first..settings.first + settings.cases {
        progress.case.store(number, Ordering::Relaxed);
        at_hand.write_all_at(format!("{number:>20}\n").as_bytes(), 0).expect("the temporary directory is writable");
        let case = T::make(&mut Rng::of_case(settings.seed, number));
        let began = clock.monotonic();
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| target.run(&case)));
        let took = clock.monotonic() - began;
        let kind = tally.kinds.entry(case.kind).or_default();
        kind.took += took;
        match outcome {
            Ok(true) => kind.accepted += 1,
            Ok(false) => kind.refused += 1,
            Err(panic) => {
                tally.fail(&place_and_words(&*panic), number);
                target = T::new();
            }
        }
        if took > SLOW {
            tally.fail("a case took too long", number);
        }
        if took > SUSPECT {
            let before = std::mem::replace(&mut peak_kb, peak_memory_kb());
            if peak_kb > before + GROWTH_KB_MAX {
                tally.fail("a case (or one of another target at the same time) took too much memory", number);
            }
        }
        tally.bytes += case.bytes.len() as u64;
        tally.slowest = tally.slowest.max((took, number));
        if tally.failures.len() >= FAILURES_MAX {
            break;
        }
    }
    tally
}

impl Tally {
    fn fail(&mut self, what: &str, case: u64) {
        self.failures.entry(what.to_owned()).or_insert((0, case)).0 += 1;
    }
}

/// Ends the process when one case does not.
fn watch<T: Target>(settings: &Settings, progress: &Progress, done: &mpsc::Receiver<()>) {
    let clock = Clock::system();
    let mut last = (u64::MAX, clock.monotonic());
    while done.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
        let case = progress.case.load(Ordering::Relaxed);
        if case != last.0 {
            last = (case, clock.monotonic());
        } else if clock.monotonic() - last.1 > HANG {
            let path = keep::<T>(settings, case);
            complain(&format!(
                "fuzz {}: case {case} of seed {} does not end: {}",
                T::NAME,
                settings.seed,
                path.display()
            ));
            std::process::abort();
        }
    }
}

fn report<T: Target>(settings: &Settings, tally: &Tally, took: Duration) -> String {
    let sum = |pick: fn(&Kind) -> u64| tally.kinds.values().map(pick).sum::<u64>();
    let (accepted, refused) = (sum(|kind| kind.accepted), sum(|kind| kind.refused));
    let mut out = format!(
        "fuzz {}: seed {}, {} inputs ({} bytes) in {:.1} s: {accepted} accepted, {refused} refused, {} kinds of failures; peak memory {} MiB",
        T::NAME,
        settings.seed,
        accepted + refused,
        tally.bytes,
        took.as_secs_f64(),
        tally.failures.len(),
        peak_memory_kb() >> 10,
    );
    for (name, Kind { accepted, refused, took }) in &tally.kinds {
        let _ = write!(out, "\n  {name}: {accepted} accepted, {refused} refused, {:.1} s", took.as_secs_f64());
    }
    let (slowest, case) = tally.slowest;
    let _ = write!(out, "\n  slowest: {:.1} ms, case {case}", slowest.as_secs_f64() * 1e3);
    if settings.is_long {
        let _ = write!(out, ", {}", keep::<T>(settings, case).display());
    }
    for (what, (times, case)) in &tally.failures {
        let path = keep::<T>(settings, *case);
        let _ = write!(
            out,
            "\n  FAILED {times} times: {what}\n    case {case} of seed {}, input in {}",
            settings.seed,
            path.display()
        );
    }
    out
}

/// Writes a case's input to a file.
fn keep<T: Target>(settings: &Settings, number: u64) -> PathBuf {
    let case = T::make(&mut Rng::of_case(settings.seed, number));
    let kind = case.kind.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let path = env::temp_dir().join(format!("carillon-fuzz-{}-{}-{number}-{kind}", T::NAME, settings.seed));
    let _ = std::fs::write(&path, &case.bytes);
    path
}

fn tell(settings: &Settings, text: &str) {
    if settings.is_long { complain(text) } else { println!("{text}") }
}

/// Past the test harness, which keeps what is printed until the end.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Of the process: all targets together.
fn peak_memory_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

/// Where the last panic of any thread was: a parser may run on a thread of its own.
static LAST_PLACE: Mutex<Option<String>> = Mutex::new(None);

/// Panics of this thread so far, also of those that somebody has caught, as a runtime does with a task's.
pub fn panics_here() -> u64 {
    PANICS.get()
}

thread_local! {
    static PANICS: Cell<u64> = const { Cell::new(0) };
}

fn remember_places_of_panics(tells_all: bool) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let place = info.location().map(ToString::to_string);
            // The database panics over damaged files, and the store expects that: a panic that gets through is reported.
            let is_expected = place.as_ref().is_some_and(|place| place.contains("/redb-"));
            PANICS.set(PANICS.get() + 1);
            *LAST_PLACE.lock().unwrap_or_else(PoisonError::into_inner) = place;
            if tells_all || !is_expected {
                usual(info);
            }
        }));
    });
}

/// The words are cut: they often repeat the input, and one cause would count as many.
fn place_and_words(panic: &(dyn Any + Send)) -> String {
    let place = LAST_PLACE.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
    let words =
        panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied()).unwrap_or("");
    let words: String = words.chars().take_while(|c| !c.is_ascii_digit() && *c != '\n').take(80).collect();
    format!("{place}: {words}")
}
