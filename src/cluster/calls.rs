//! Questions under way, asked and answered. Pure but for the channels that carry answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::mpsc, time::Instant};

/// Without an answer for so long a question goes over TCP as well.
pub(super) const TCP_AFTER: Duration = Duration::from_millis(300);
/// Questions under way at once.
const ASKED_MAX: usize = 4096;
/// How long a question that comes twice is known again.
const REMEMBERED: Duration = Duration::from_secs(30);
const REMEMBERED_MAX: usize = 8192;

/// What this node asks.
#[derive(Default)]
pub(super) struct Asked {
    open: BTreeMap<u64, Question>,
}

struct Question {
    waiting: BTreeSet<String>,
    answers: mpsc::Sender<(String, Bytes)>,
    /// The encoded message, for the second try.
    message: Bytes,
    until: Instant,
    /// When it goes over TCP, if it has not yet.
    tcp_at: Option<Instant>,
}

impl Asked {
    /// False when too many are open: then nobody will answer.
    pub fn open(
        &mut self,
        nonce: u64,
        peers: impl IntoIterator<Item = String>,
        answers: mpsc::Sender<(String, Bytes)>,
        message: Bytes,
        times: (Instant, Option<Instant>),
    ) -> bool {
        if self.open.len() >= ASKED_MAX {
            return false;
        }
        let (until, tcp_at) = times;
        let waiting: BTreeSet<_> = peers.into_iter().collect();
        if !waiting.is_empty() {
            self.open.insert(nonce, Question { waiting, answers, message, until, tcp_at });
        }
        true
    }

    /// An answer came; `None`: the peer has none.
    pub fn answered(&mut self, nonce: u64, from: &str, payload: Option<Bytes>) {
        let Some(question) = self.open.get_mut(&nonce) else { return };
        if !question.waiting.remove(from) {
            return;
        }
        if let Some(payload) = payload {
            // Room for one answer of each peer was made; a receiver that is gone wants none.
            let _ = question.answers.try_send((from.to_owned(), payload));
        }
        if question.waiting.is_empty() {
            self.open.remove(&nonce);
        }
    }

    pub fn next(&self) -> Option<Instant> {
        self.open.values().map(|question| question.tcp_at.unwrap_or(question.until).min(question.until)).min()
    }

    /// Ends what is over; tells what has to go over TCP now, and to whom.
    pub fn advance(&mut self, now: Instant) -> Vec<(Vec<String>, Bytes)> {
        self.open.retain(|_, question| question.until > now && !question.answers.is_closed());
        let mut again = Vec::new();
        for question in self.open.values_mut() {
            if question.tcp_at.is_some_and(|at| at <= now) {
                question.tcp_at = None;
                again.push((question.waiting.iter().cloned().collect(), question.message.clone()));
            }
        }
        again
    }
}

/// What others asked and told: each question is handled once, however often it comes.
#[derive(Default)]
pub(super) struct Heard {
    known: BTreeMap<(String, u64), Option<Option<Bytes>>>,
    order: std::collections::VecDeque<(Instant, (String, u64))>,
}

/// What to do with a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Hearing {
    /// Handle it.
    New,
    /// It is being handled; the answer will go out.
    Running,
    /// Answer again.
    Answered(Option<Bytes>),
}

impl Heard {
    pub fn hear(&mut self, from: &str, nonce: u64, now: Instant) -> Hearing {
        let id = (from.to_owned(), nonce);
        match self.known.get(&id) {
            Some(None) => return Hearing::Running,
            Some(Some(answer)) => return Hearing::Answered(answer.clone()),
            None => {}
        }
        while self.order.len() >= REMEMBERED_MAX
            || self.order.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > REMEMBERED)
        {
            let Some((_, oldest)) = self.order.pop_front() else { break };
            self.known.remove(&oldest);
        }
        self.known.insert(id.clone(), None);
        self.order.push_back((now, id));
        Hearing::New
    }

    pub fn answered(&mut self, from: &str, nonce: u64, answer: Option<Bytes>) {
        if let Some(known) = self.known.get_mut(&(from.to_owned(), nonce)) {
            *known = Some(answer);
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests need a moment to start from")]
mod tests {
    use super::*;

    #[test]
    fn a_question_without_an_answer_goes_over_tcp_once_and_then_ends() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let (sender, mut receiver) = mpsc::channel(2);
        let mut asked = Asked::default();
        let peers = ["a".to_owned(), "b".to_owned()];
        assert!(asked.open(1, peers, sender, Bytes::new(), (now + second, Some(now + TCP_AFTER))));
        asked.answered(1, "a", Some(Bytes::from_static(b"yes")));
        asked.answered(1, "a", Some(Bytes::from_static(b"twice")));
        asked.answered(2, "b", None);
        assert_eq!(asked.advance(now + TCP_AFTER), [(vec!["b".to_owned()], Bytes::new())]);
        assert!(asked.advance(now + TCP_AFTER).is_empty());
        asked.advance(now + second);
        assert_eq!(receiver.try_recv().unwrap().0, "a");
        assert!(receiver.try_recv().is_err() && asked.open.is_empty());
    }

    #[test]
    fn a_question_that_comes_twice_is_handled_once() {
        let (now, mut heard) = (Instant::now(), Heard::default());
        assert_eq!(heard.hear("a", 1, now), Hearing::New);
        assert_eq!(heard.hear("a", 1, now), Hearing::Running);
        heard.answered("a", 1, Some(Bytes::from_static(b"yes")));
        assert_eq!(heard.hear("a", 1, now), Hearing::Answered(Some(Bytes::from_static(b"yes"))));
        assert_eq!(heard.hear("b", 1, now), Hearing::New);
    }
}
