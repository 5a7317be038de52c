//! Nodes with one of the rules of speaking taken away: shows that the rule is needed, and that the checkers see it.

use std::{fmt, sync::Arc, time::Duration};

use carillon::{
    nflog::{LogKey, Writer},
    notify::peer::{
        Answers, End, Neighbours, Others, Question,
        claims::{Name, Phase},
    },
    ring::Ring,
};
use futures_util::future::BoxFuture;
use tokio::time::Instant;

/// What is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    /// Everything that Alertmanager has not: no question, no claim. A node waits `--cluster.peer-timeout` for each
    /// one that comes before it, looks into the log, and sends.
    Questions,
    /// Nobody asks and nobody claims; turns are two seconds apart.
    Asking,
    /// What others are sending does not stand in the way.
    Claims,
    /// Nobody stands back while another node retries.
    Failures,
    /// What ran out is over, whoever has not answered.
    Doubt,
    /// Deadlines are judged by the own clock.
    Correction,
}

impl Without {
    pub const ALL: [Without; 6] =
        [Without::Questions, Without::Asking, Without::Claims, Without::Failures, Without::Doubt, Without::Correction];

    pub fn name(self) -> String {
        format!("{self:?}")
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|without| without.name() == name)
    }

    fn asks(self) -> bool {
        !matches!(self, Without::Questions | Without::Asking)
    }
}

/// The ring as a pipeline sees it that lacks a rule.
pub struct Lacking {
    ring: Ring,
    whole: Arc<dyn Neighbours>,
    without: Without,
    peer_timeout: Duration,
}

impl Lacking {
    pub fn new(ring: &Ring, without: Without, peer_timeout: Duration) -> Self {
        Lacking { ring: ring.clone(), whole: ring.neighbours(), without, peer_timeout }
    }

    /// Place in the order of names.
    fn position(&self) -> u32 {
        self.ring.view().map_or(0, |view| u32::try_from(view.position()).unwrap_or(u32::MAX))
    }
}

impl fmt::Debug for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "without {:?}", self.without)
    }
}

impl Neighbours for Lacking {
    fn settle(&self) -> BoxFuture<'_, bool> {
        self.whole.settle()
    }

    fn is_settled(&self) -> bool {
        self.whole.is_settled()
    }

    fn others(&self, key: &LogKey, tells: u64, base: Instant) -> Others {
        let others = self.whole.others(key, tells, base);
        match self.without {
            Without::Questions => Others { claim_until: None, turn: base + self.peer_timeout * self.position() },
            Without::Claims => Others { claim_until: None, ..others },
            _ => others,
        }
    }

    fn ask(&self, question: Question) -> BoxFuture<'_, Answers> {
        if !self.without.asks() {
            return Box::pin(std::future::ready(Answers { hold: Duration::ZERO }));
        }
        let answers = self.whole.ask(question);
        Box::pin(async move {
            let answers = answers.await;
            if self.without == Without::Doubt { Answers { hold: Duration::ZERO } } else { answers }
        })
    }

    fn begin(&self, key: &LogKey, tells: u64) -> bool {
        !self.without.asks() || self.whole.begin(key, tells) || self.without == Without::Claims
    }

    fn limit(&self, key: &LogKey) -> Option<Duration> {
        self.whole.limit(key)
    }

    fn end(&self, key: &LogKey, end: End) {
        let is_silent = matches!(self.without, Without::Questions | Without::Failures);
        match end {
            End::Failed(_) if is_silent => self.whole.end(key, End::SteppedBack),
            end => self.whole.end(key, end),
        }
    }

    fn holder(&self, key: &LogKey, tells: u64) -> Option<(Name, Phase)> {
        self.whole.holder(key, tells)
    }

    fn order(&self, key: &LogKey, tells: u64) -> Vec<Name> {
        self.whole.order(key, tells)
    }

    fn name_of(&self, writer: Writer) -> Option<Name> {
        self.whole.name_of(writer)
    }
}
