//! Questions: what comes due within a few milliseconds goes to the peers in one message, and their answers are taken
//! in before anybody decides.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use super::{
    Inner, lock,
    message::{self, Alerts, Answer, Ask, Asks, Request, Response},
};
use crate::{
    cluster::View,
    notify::peer::{
        Answers, Question,
        claims::{Circle, KeyId, Name},
    },
    replica::Kind,
};

/// Who has not answered by then is done without.
const ASK_LIMIT: Duration = Duration::from_secs(1);
/// How long the first question waits for others to come along.
const WINDOW: Duration = Duration::from_millis(2);
/// Questions in one message.
const BATCH_MAX: usize = 512;
/// A node in sight did not answer: one or two lost answers.
const HOLD_SHORT: Duration = Duration::from_secs(30);
/// A known node is out of sight: it may hear of alerts that this side does not.
const HOLD_LONG: Duration = Duration::from_secs(15 * 60);

/// Questions that wait for the next message.
#[derive(Debug, Default)]
pub(super) struct Asking {
    waiting: Mutex<Vec<Waiting>>,
    came: Notify,
}

#[derive(Debug)]
struct Waiting {
    question: Question,
    answers: oneshot::Sender<Answers>,
}

/// One question on its way.
struct Asked {
    key: KeyId,
    tells: u64,
    answers: oneshot::Sender<Answers>,
}

impl Inner {
    pub(super) fn enqueue(&self, question: Question) -> BoxFuture<'_, Answers> {
        let (answers, answered) = oneshot::channel();
        lock(&self.asking.waiting).push(Waiting { question, answers });
        self.asking.came.notify_one();
        // The end of this node's ring: nobody answers.
        Box::pin(async move { answered.await.unwrap_or(Answers { hold: HOLD_LONG }) })
    }

    /// Asks with one message, and takes the answers in.
    async fn ask_batch(self: Arc<Self>, batch: Vec<Waiting>) {
        let circle = self.circle.load_full();
        let began = self.clock.monotonic();
        let (asked, payload, peers) = self.prepare(batch, &circle, began);
        let Some(cluster) = self.cluster.load_full() else { return };
        let mut answered: BTreeSet<String> = BTreeSet::new();
        let mut answers = cluster.call(peers, payload, ASK_LIMIT);
        while let Some((from, bytes)) = answers.next().await {
            if let Some(Response::Answers(answers)) = message::decode::<Response>(&bytes) {
                self.take_answers(&from, answers, &asked, &circle);
                answered.insert(from);
            }
        }
        let now = self.clock.monotonic();
        if now.saturating_duration_since(began) > ASK_LIMIT + ASK_LIMIT {
            // This node stood still meanwhile: the answers are old.
            asked.iter().for_each(|one| self.claims().distrust(one.key));
        }
        let is_alone_of_many = lock(&self.acquaintances).as_ref().is_some_and(|known| known.are_missed(now));
        let hold = if is_alone_of_many { HOLD_LONG } else { hold(&cluster.view(), &answered) };
        for one in asked {
            // The attempt may be gone.
            let _ = one.answers.send(Answers { hold });
        }
    }

    fn prepare(&self, batch: Vec<Waiting>, circle: &Circle, now: Instant) -> (Vec<Asked>, Bytes, BTreeSet<String>) {
        let mut peers: BTreeSet<String> =
            circle.live.iter().filter(|name| **name != circle.me).map(|name| name.to_string()).collect();
        let (mut asked, mut asks) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        let mut claims = self.claims();
        for Waiting { question, answers } in batch {
            let (key, seen) = (KeyId::of(&question.key), question.seen.as_deref());
            let tells = seen.map_or(0, |entry| entry.tells);
            peers.extend(claims.unseen_holders(key, tells, circle, now).iter().map(|name| name.to_string()));
            let claim = claims.ask(key, tells, question.limit, now);
            tracing::trace!(component = "cluster", me = %circle.me, at = %self.clock.now(), ?claim, ?peers, "asks");
            asks.push(Ask {
                claim,
                group_key: question.key.group_key.to_string(),
                receiver: question.key.receiver.to_string(),
                integration: question.key.integration.to_string(),
                index: question.key.index,
                route: question.route as u64,
                group: question.group.0,
                log: seen.map_or(0, crate::nflog::LogEntry::content_hash),
                alerts: Alerts::of(&question.alerts),
            });
            asked.push(Asked { key, tells, answers });
        }
        drop(claims);
        let payload = message::encode(&Request::Asks(Asks { silences: self.silences_sum(), asks }));
        (asked, payload, peers)
    }

    fn take_answers(&self, from: &str, answers: message::Answers, asked: &[Asked], circle: &Circle) {
        for silence in &answers.silences {
            let _ = self.take_in(Kind::Silence, &silence.0);
        }
        let from = Name::from(from);
        for (one, answer) in asked.iter().zip(answers.answers) {
            self.take_answer(&from, answer, one, circle);
        }
    }

    fn take_answer(&self, from: &Name, answer: Answer, one: &Asked, circle: &Circle) {
        self.take_records(&answer);
        let now = self.clock.monotonic();
        tracing::trace!(
            component = "cluster", me = %circle.me, at = %self.clock.now(), key = ?one.key, %from, yes = answer.yes,
            own = ?answer.own, others = ?answer.others, "was answered"
        );
        let mut claims = self.claims();
        if let Some(claim) = answer.own.filter(|claim| claim.key == one.key) {
            claims.hear(from, &claim, Duration::ZERO, now);
        }
        for (holder, claim, age) in answer.others.into_iter().filter(|(_, claim, _)| claim.key == one.key) {
            if *holder != *circle.me {
                claims.hear(&holder.as_str().into(), &claim, Duration::from_millis(age.min(86_400_000)), now);
            }
        }
        if !answer.yes {
            tracing::debug!(component = "cluster", %from, tells = one.tells, "another node goes first");
            claims.refused(one.key, now);
        }
    }
}

impl Inner {
    /// What a node knew that had been asked.
    pub(super) fn take_records(&self, answer: &Answer) {
        if let Some(entry) = &answer.log {
            let _ = self.take_in(Kind::Log, &entry.0);
        }
        for alert in &answer.alerts {
            let _ = self.take_in(Kind::Alert, &alert.0);
        }
    }
}

/// How long the end of what merely ran out is doubted.
fn hold(view: &View, answered: &BTreeSet<String>) -> Duration {
    let others = || view.members.iter().filter(|member| !member.is_self);
    if others().any(|member| !member.is_live()) {
        HOLD_LONG
    } else if others().any(|member| !answered.contains(&member.name)) {
        HOLD_SHORT
    } else {
        Duration::ZERO
    }
}

pub(super) async fn run(inner: Arc<Inner>) {
    loop {
        inner.asking.came.notified().await;
        tokio::time::sleep(WINDOW).await;
        let mut waiting = std::mem::take(&mut *lock(&inner.asking.waiting));
        while !waiting.is_empty() {
            let rest = waiting.split_off(waiting.len().min(BATCH_MAX));
            tokio::spawn(inner.clone().ask_batch(std::mem::replace(&mut waiting, rest)));
        }
    }
}
