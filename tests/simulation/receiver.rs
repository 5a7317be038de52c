//! The receiver: takes requests as its state lets it, and writes down what it hears. It lives outside the nodes: a
//! node that is stopped does not stop it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use carillon::{
    alert::Labels,
    clock::Clock,
    nflog::LogKey,
    notify::{FailureReason, Notification, Notifier, NotifyError, NotifyFuture, Progress, Receipt},
};
use tokio::{sync::oneshot, time::Instant};

use crate::{
    chance::Rng,
    scenario::{Ms, SECOND},
};

/// What a message says of one alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    pub alert: usize,
    /// The sender's number of this firing.
    pub period: u32,
    pub firing: bool,
    pub labels: Labels,
}

impl Word {
    /// Later words of an alert are greater.
    pub fn rank(&self) -> u64 {
        2 * u64::from(self.period) + u64::from(!self.firing)
    }
}

/// How a request ended for its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Ok,
    Refused,
    /// The connection broke before an answer.
    Broken,
    NotSent,
    /// The sender gave up.
    Cut,
    /// The sender died.
    Died,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Heard {
    pub node: usize,
    pub life: u64,
    pub integration: usize,
    pub key: LogKey,
    pub reason: &'static str,
    pub words: Vec<Word>,
    pub sent: Ms,
    pub taken: Option<Ms>,
    pub ended: Option<(Ms, End)>,
    /// The sender died or was stopped before any peer could know.
    pub orphan: bool,
    /// What it says is over, and what nodes in reach know to burn.
    pub known_to_fire: Vec<usize>,
    /// What it says is over, and what burns, unknown to every node in reach.
    pub burning: Vec<usize>,
    /// What it says fires, and what a node in reach knows to be silenced.
    pub silenced: Vec<usize>,
}

/// State of the receiver, or of the way to it from one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mood {
    Slow,
    Refuse,
    Hang,
    Ambiguous,
    NoConnection(usize),
    NodeHang(usize),
}

enum Event {
    Take(usize),
    End(usize, End),
}

type Answer = Result<Receipt, NotifyError>;

pub struct Ear {
    pub now: Ms,
    rng: Rng,
    pub moods: BTreeSet<Mood>,
    pub heard: Vec<Heard>,
    events: BTreeMap<(Ms, usize), Event>,
    events_made: usize,
    waiting: BTreeMap<usize, oneshot::Sender<Answer>>,
    /// Requests that the receiver finishes to read although their sender is gone.
    sturdy: BTreeSet<usize>,
    /// Nodes that are being killed at this moment.
    pub killing: bool,
    /// Requests that began since this was last taken.
    pub begun: Vec<usize>,
    /// Asked when a request begins.
    pub witness: Option<Witness>,
}

/// Looks at all nodes at the moment at which a request begins.
pub type Witness = Box<dyn Fn(&mut Heard) + Send>;

/// Clones are the same receiver.
#[derive(Clone)]
pub struct Receiver(Arc<Mutex<Ear>>);

impl Receiver {
    pub fn new(seed: u64) -> Self {
        Receiver(Arc::new(Mutex::new(Ear {
            now: 0,
            rng: Rng::new(seed, 2),
            moods: BTreeSet::new(),
            heard: Vec::new(),
            events: BTreeMap::new(),
            events_made: 0,
            waiting: BTreeMap::new(),
            sturdy: BTreeSet::new(),
            killing: false,
            begun: Vec::new(),
            witness: None,
        })))
    }

    pub fn ear(&self) -> MutexGuard<'_, Ear> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ear {
    fn schedule(&mut self, at: Ms, event: Event) {
        self.events_made += 1;
        self.events.insert((at, self.events_made), event);
    }

    /// Lets everything happen that happens before `now`.
    pub fn advance(&mut self, now: Ms) {
        while let Some(entry) = self.events.first_entry() {
            let at = entry.key().0;
            if at > now {
                break;
            }
            match entry.remove() {
                Event::Take(id) => {
                    let is_cut = self.heard[id].ended.is_some();
                    if !is_cut || self.sturdy.contains(&id) {
                        self.heard[id].taken = Some(at);
                        if self.heard[id].ended.is_some_and(|(_, end)| end == End::Died) {
                            self.heard[id].orphan = true;
                        }
                    }
                }
                Event::End(id, end) => self.answer(id, at, end),
            }
        }
        self.now = now;
    }

    fn answer(&mut self, id: usize, at: Ms, end: End) {
        if self.heard[id].ended.is_some() {
            return;
        }
        self.heard[id].ended = Some((at, end));
        if let Some(waiting) = self.waiting.remove(&id) {
            // The sender may have gone meanwhile.
            let _ = waiting.send(answer_of(end));
        }
    }

    /// The receiver is well again: what hangs breaks.
    pub fn recover(&mut self, mood: Mood) {
        self.moods.remove(&mood);
        let hanging: Vec<usize> = self.waiting.keys().copied().collect();
        if matches!(mood, Mood::Hang | Mood::NodeHang(_)) {
            for id in hanging {
                let has_end = self.events.values().any(|event| matches!(event, Event::End(of, _) if *of == id));
                if !has_end && self.rng.chance(50) {
                    let at = self.now + self.rng.between(0, 5 * SECOND);
                    self.schedule(at, Event::End(id, End::Broken));
                }
            }
        }
    }

    fn begin(&mut self, mut heard: Heard) -> (usize, oneshot::Receiver<Answer>) {
        let id = self.heard.len();
        if let Some(witness) = &self.witness {
            witness(&mut heard);
        }
        let (sent, node) = (heard.sent, heard.node);
        self.heard.push(heard);
        self.begun.push(id);
        let (sender, receiver) = oneshot::channel();
        self.waiting.insert(id, sender);
        if self.rng.chance(50) {
            self.sturdy.insert(id);
        }
        self.decide(id, sent, node);
        (id, receiver)
    }

    fn decide(&mut self, id: usize, sent: Ms, node: usize) {
        let has = |mood: Mood| self.moods.contains(&mood);
        if has(Mood::NoConnection(node)) {
            let at = sent + self.rng.between(1, 50);
            return self.schedule(at, Event::End(id, End::NotSent));
        }
        if has(Mood::Hang) || has(Mood::NodeHang(node)) {
            // A path that swallows everything gives the receiver nothing; a receiver that hangs may have taken it.
            if has(Mood::Hang) && self.rng.chance(50) {
                let at = sent + self.rng.between(5, 2000);
                self.schedule(at, Event::Take(id));
            }
            return;
        }
        if has(Mood::Refuse) {
            let at = sent + self.rng.between(5, 200);
            return self.schedule(at, Event::End(id, End::Refused));
        }
        let (taking, answering) = if has(Mood::Slow) {
            let whole = self.rng.between(5 * SECOND, 40 * SECOND);
            let taking = self.rng.between(5, whole);
            (taking, whole - taking)
        } else {
            (self.rng.between(2, 40), self.rng.between(2, 60))
        };
        let is_lost = self.moods.contains(&Mood::Ambiguous) && self.rng.chance(10);
        self.schedule(sent + taking, Event::Take(id));
        let end = if is_lost { End::Broken } else { End::Ok };
        self.schedule(sent + taking + answering.max(1), Event::End(id, end));
    }

    fn cut(&mut self, id: usize) {
        if self.heard[id].ended.is_none() {
            let end = if self.killing { End::Died } else { End::Cut };
            self.heard[id].ended = Some((self.now, end));
            self.waiting.remove(&id);
        }
    }
}

fn answer_of(end: End) -> Answer {
    let error = |message: &str, reason, progress| {
        Err(NotifyError { message: message.to_owned(), retry: true, reason, progress, retry_after: None })
    };
    match end {
        End::Ok => Ok(Receipt::default()),
        End::Refused => error("unexpected status code 503", FailureReason::ServerError, Progress::Refused),
        End::NotSent => error("connection refused", FailureReason::Other, Progress::NotSent),
        End::Broken | End::Cut | End::Died => {
            error("connection reset by peer", FailureReason::Other, Progress::Ambiguous)
        }
    }
}

/// One node's way to the receiver.
pub struct Hook {
    pub receiver: Receiver,
    pub node: usize,
    pub life: u64,
    pub integration: usize,
    pub clock: Clock,
    /// What monotonic time the node had at `born`.
    pub base: Instant,
    pub born: Ms,
}

impl Notifier for Hook {
    fn notify<'a>(&'a self, n: &'a Notification) -> NotifyFuture<'a> {
        Box::pin(async move {
            let age = self.clock.monotonic().saturating_duration_since(self.base);
            let heard = self.heard(n, self.born + u64::try_from(age.as_millis()).unwrap_or(0));
            let (id, answer) = self.receiver.ear().begin(heard);
            let _until_then = CutWhenDropped { receiver: &self.receiver, id };
            answer.await.unwrap_or_else(|_| answer_of(End::Broken))
        })
    }
}

impl Hook {
    fn heard(&self, n: &Notification, sent: Ms) -> Heard {
        let word = |alert: &carillon::alert::Alert| {
            let number = |labels: &Labels, name| labels.get(name).and_then(|text| text.parse().ok());
            Word {
                alert: number(&alert.labels, "number").unwrap_or(0) as usize,
                period: number(&alert.annotations, "period").unwrap_or(0),
                firing: !alert.resolved_at(n.now),
                labels: alert.labels.clone(),
            }
        };
        Heard {
            node: self.node,
            life: self.life,
            integration: self.integration,
            key: LogKey {
                group_key: n.group_key.clone(),
                receiver: n.receiver.clone(),
                integration: "webhook".into(),
                index: u32::try_from(self.integration).unwrap_or(0),
            },
            reason: n.reason.as_str(),
            words: n.alerts.iter().map(word).collect(),
            sent,
            taken: None,
            ended: None,
            orphan: false,
            known_to_fire: Vec::new(),
            burning: Vec::new(),
            silenced: Vec::new(),
        }
    }
}

struct CutWhenDropped<'a> {
    receiver: &'a Receiver,
    id: usize,
}

impl Drop for CutWhenDropped<'_> {
    fn drop(&mut self) {
        self.receiver.ear().cut(self.id);
    }
}

/// A time as a duration.
pub fn duration(ms: Ms) -> Duration {
    Duration::from_millis(ms)
}
