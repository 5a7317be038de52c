//! The decision log: files that were spoiled, and what peers ask and answer.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use carillon::{
    alert::{
        Labels,
        matcher::{MatchOp, Matcher},
    },
    app::BUILD,
    clock::{Clock, Time},
    decisions::{
        Alert, AskPeers, Attempt, Claim, Cursor, Decision, Decisions, DecisionsConfig, Group, Logged, Muted, Outcome,
        Pattern, Phase, Query, Reader, Run, Signature, Slot, Status, Subject, Totals, Why,
    },
    metrics::{Metrics, MetricsOptions},
    store::{Disk, MemoryDisk, WriterMode},
};
use tokio::runtime::Runtime;

use crate::{
    harness::{Case, Target},
    records::spoiled,
    rng::Rng,
};

const CONFIG: DecisionsConfig = DecisionsConfig { bytes_max: 1 << 20, age_max: Duration::from_secs(432_000) };
const FILE: &str = "decisions/0000000001-1";

/// In a time of its own, so that a case depends on nothing but its number.
pub struct DecisionLog {
    runtime: Runtime,
    clock: Clock,
    metrics: Arc<Metrics>,
    /// What the peer answers.
    answer: Arc<Mutex<Bytes>>,
}

/// Whatever a decision can hold.
fn decision(rng: &mut Rng) -> Decision {
    let word = |rng: &mut Rng| ["", "a", "node-1", "\u{202e}é", "x y\n"][rng.below(5)].to_owned();
    let labels = |rng: &mut Rng| -> Labels { (0..rng.below(4)).map(|n| (format!("l{n}"), word(rng))).collect() };
    let group = Group { key: word(rng).into(), labels: labels(rng), route: word(rng).into() };
    let outcome = Outcome::ALL[rng.below(Outcome::ALL.len())];
    let why = Why::ALL[rng.below(Why::ALL.len())];
    let mut decision = Decision::new(outcome, why, word(rng).into(), Arc::new(group));
    let at = decision.at;
    decision.alerts = (0..rng.below(4))
        .map(|_| {
            let labels = labels(rng);
            let muted = match rng.below(5) {
                0 => Some(Muted::Silences(vec![word(rng).into()])),
                1 => Some(Muted::Inhibited { source: labels.fingerprint(), labels: Some(labels.clone()), rule: 7 }),
                2 => Some(Muted::MuteIntervals(vec![word(rng).into(), word(rng).into()])),
                3 => Some(Muted::OutsideActiveIntervals(vec![])),
                _ => None,
            };
            Alert {
                fingerprint: labels.fingerprint(),
                labels: Some(labels),
                status: if rng.one_in(2) { Status::Firing } else { Status::Resolved },
                told: rng.one_in(2),
                muted: muted.map(Arc::new),
            }
        })
        .collect();
    decision.totals = Totals { firing: 2, resolved: 0, muted: u32::MAX - rng.below(2) as u32 };
    decision.integration = rng.one_in(2).then(|| Slot { kind: "webhook".into(), index: u32::MAX });
    decision.tick = rng.one_in(2).then_some(at);
    decision.claim = rng.one_in(3).then(|| Claim { holder: word(rng).into(), phase: Phase::ALL[rng.below(4)] });
    decision.order = (0..rng.below(3)).map(|_| word(rng).into()).collect();
    decision.log = rng.one_in(3).then_some(Logged { tells: u64::MAX, at });
    decision.attempt = rng.one_in(3).then(|| Attempt {
        number: 1,
        sent: at,
        took: Duration::MAX,
        error: rng.one_in(2).then(|| word(rng).repeat(rng.below(2_000))),
        kind: None,
        handed_over: true,
    });
    decision
}

fn queries() -> [Query; 4] {
    let matcher = |op, value: &str| Matcher::new(op, "l0", value).expect("a matcher");
    [
        Query { limit: 3, ..Query::default() },
        Query { matchers: vec![matcher(MatchOp::Equal, "a"), matcher(MatchOp::NotRegex, "b.*")], ..Query::default() },
        Query {
            fingerprint: Some(Labels::default().fingerprint()),
            labels: Some(Labels::default()),
            ..Query::default()
        },
        Query {
            receiver: Pattern::new("a|node.*").ok(),
            outcomes: vec![Outcome::Told, Outcome::Quiet],
            ..Query::default()
        },
    ]
}

impl DecisionLog {
    fn open(&self, disk: &MemoryDisk) -> Decisions {
        let seam: Arc<dyn Disk> = Arc::new(disk.clone());
        Decisions::open(CONFIG, "n1", &seam, &self.clock, &self.metrics, WriterMode::Task)
    }

    /// A file, or an answer to a peer's question, as this program writes it.
    fn written(rng: &mut Rng, wants_answer: bool) -> Vec<u8> {
        let target = <DecisionLog as Target>::new();
        let disk = MemoryDisk::new();
        target.runtime.block_on(async {
            let decisions = target.open(&disk);
            let mut run = Run::default();
            for number in 0..rng.between(1, 5) as u64 {
                let made = decision(rng);
                if rng.one_in(2) {
                    decisions.record(&mut Run::default(), || Box::new(made));
                } else {
                    decisions.note(&mut run, Signature::new().with(number / 2), target.clock.now(), || Box::new(made));
                }
            }
            decisions.close().await;
            if !wants_answer {
                let name = disk.list("decisions").expect("memory").remove(0).0;
                return disk.read(&format!("decisions/{name}")).expect("memory").unwrap_or_default();
            }
            let asked = Arc::new(Mutex::new(Bytes::new()));
            let keep = Arc::clone(&asked);
            let ask: AskPeers = Arc::new(move |_, question, _| {
                *keep.lock().unwrap_or_else(PoisonError::into_inner) = question("n1");
                Box::pin(std::future::ready(Vec::new()))
            });
            let asker = Reader::new(Decisions::off(), "n0", Some(ask));
            let subject = if rng.one_in(4) { Subject::Quieted } else { Subject::Decisions };
            match subject {
                Subject::Decisions => drop(asker.everywhere(&queries()[rng.below(4)]).await),
                Subject::Quieted => drop(asker.quieted(&silences()).await),
            }
            let question = asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let answer = Reader::new(decisions, "n1", None).answer(subject, question.clone()).await;
            if rng.one_in(2) { question.into() } else { answer.expect("our own question is understood").into() }
        })
    }

    /// Reads everything in it, page by page.
    async fn read_all(reader: &Reader) -> bool {
        let mut found = false;
        for query in queries() {
            let (mut query, mut pages) = (query, 0);
            loop {
                let page = reader.everywhere(&query).await;
                found |= !page.decisions.is_empty();
                let Some(next) = page.next else { break };
                let text = next.to_string();
                assert_eq!(text.parse::<Cursor>().as_ref(), Ok(&next), "a cursor comes back");
                query.cursor = Some(next);
                pages += 1;
                // A peer that lies may say "more" for ever.
                if pages == 20 {
                    break;
                }
            }
        }
        found
    }
}

/// Some that the decisions name.
fn silences() -> Vec<Arc<str>> {
    ["a", "node-1", "x y\n"].map(Arc::from).to_vec()
}

impl Target for DecisionLog {
    const NAME: &'static str = "decisions";

    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("it needs nothing");
        let clock = {
            let _inside = runtime.enter();
            Clock::simulated(Time::from_timestamp(1_800_000_000, 0).expect("a time"))
        };
        let metrics = Metrics::new(MetricsOptions::default(), BUILD, &clock);
        DecisionLog { runtime, clock, metrics, answer: Arc::default() }
    }

    fn make(rng: &mut Rng) -> Case {
        let (kind, wants_answer) = if rng.one_in(2) { ("message", true) } else { ("file", false) };
        let bytes = Self::written(rng, wants_answer);
        Case { kind, bytes: spoiled(rng, bytes, 6) }
    }

    fn run(&mut self, case: &Case) -> bool {
        let disk = MemoryDisk::new();
        if case.kind == "file" {
            disk.set_file(FILE, case.bytes.clone());
        } else {
            *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = case.bytes.clone().into();
            let cursor = URL_SAFE_NO_PAD.encode(&case.bytes).parse::<Cursor>();
            if let Ok(cursor) = cursor {
                assert_eq!(cursor.to_string().parse(), Ok(cursor), "a cursor comes back");
            }
        }
        let answer = Arc::clone(&self.answer);
        let peers: AskPeers = Arc::new(move |_, _, _| {
            let bytes = answer.lock().unwrap_or_else(PoisonError::into_inner).clone();
            Box::pin(std::future::ready(vec![("n2".into(), Some(bytes))]))
        });
        let decisions = self.runtime.block_on(async { self.open(&disk) });
        let reader = Reader::new(decisions, "n1", (case.kind == "message").then_some(peers));
        self.runtime.block_on(async {
            // As a peer's question, too.
            let mut understood = false;
            for subject in [Subject::Decisions, Subject::Quieted] {
                understood |= reader.answer(subject, case.bytes.clone().into()).await.is_some();
            }
            let quieted = reader.quieted(&silences()).await;
            assert!(
                silences()
                    .iter()
                    .filter_map(|id| quieted.get(id))
                    .all(|last| last.alerts > 0 || case.kind == "message")
            );
            Self::read_all(&reader).await || (case.kind == "message" && understood)
        })
    }
}
