//! Pages for people: of this node's record, or of all nodes' that answer in time.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::{
    Decisions, Findings, inquiry,
    merge::{self, Cursor, Stream},
    model::Decision,
    query::Query,
    quieted::{self, LastQuieted},
};
use crate::clock::Time;

/// Who has not answered by then is done without.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// The same for what is a remark on a page about something else.
const QUIETED_LIMIT: Duration = Duration::from_millis(500);

/// Puts to each known peer the question that is made for its name. Whoever is out of sight, does not know such questions
/// or does not answer within the time comes back without an answer.
pub type AskPeers = Arc<dyn Fn(Subject, Questions, Duration) -> BoxFuture<'static, Vec<PeerAnswer>> + Send + Sync>;

/// Makes the question for a node.
pub type Questions = Arc<dyn Fn(&str) -> Bytes + Send + Sync>;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A page of decisions.
    Decisions,
    /// What silences have kept quiet.
    Quieted,
}

/// Name and answer.
pub type PeerAnswer = (Arc<str>, Option<Bytes>);

/// See the module's head. Clones are the same.
#[derive(Clone)]
pub struct Reader {
    local: Decisions,
    /// How this node is called where it keeps no record.
    node: Arc<str>,
    peers: Option<AskPeers>,
}

/// Decisions, the newest first.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub decisions: Vec<Decision>,
    /// `None`: that was the end.
    pub next: Option<Cursor>,
    /// This node first, then the others in order of names.
    pub nodes: Vec<NodeAnswer>,
}

/// Whether a node is part of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAnswer {
    pub node: Arc<str>,
    pub state: Answered,
    /// What its record spans.
    pub oldest: Option<Time>,
    pub newest: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    Yes,
    /// Out of sight, or too late.
    No,
    /// It keeps no record.
    Off,
}

impl Answered {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Answered::Yes => "answered",
            Answered::No => "no answer",
            Answered::Off => "off",
        }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("local", &self.local).finish_non_exhaustive()
    }
}

impl Reader {
    /// `peers`: `None` without a cluster.
    #[must_use]
    pub fn new(local: Decisions, node: &str, peers: Option<AskPeers>) -> Self {
        Reader { local, node: node.into(), peers }
    }

    /// Whether this node keeps a record.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.local.is_on()
    }

    /// This node's record only.
    pub async fn local(&self, query: &Query) -> Page {
        page(query, vec![self.own(query).await])
    }

    /// The records of all nodes that answer in time.
    pub async fn everywhere(&self, query: &Query) -> Page {
        let Some(peers) = &self.peers else { return self.local(query).await };
        let asked = query.clone();
        let question = Arc::new(move |name: &str| Bytes::from(inquiry::write_query(&asked, name)));
        let (own, others) = tokio::join!(self.own(query), peers(Subject::Decisions, question, ANSWER_LIMIT));
        let mut answers = vec![own];
        answers.extend(others.into_iter().map(|(node, bytes)| {
            let read = bytes.and_then(|bytes| inquiry::read_answer(&bytes).ok());
            let state = match &read {
                None => Answered::No,
                Some(None) => Answered::Off,
                Some(Some(_)) => Answered::Yes,
            };
            (node, state, read.flatten().unwrap_or_default())
        }));
        page(query, answers)
    }

    async fn own(&self, query: &Query) -> (Arc<str>, Answered, Findings) {
        let node = Arc::clone(&self.node);
        let (below, until) = query.cursor.as_ref().map_or((None, None), |cursor| cursor.of(&node));
        let until = [until, query.until].into_iter().flatten().min();
        match self.local.search(Query { until, ..query.clone() }, below).await {
            Some(found) => (node, Answered::Yes, found),
            None => (node, Answered::Off, Findings::default()),
        }
    }

    /// What this node answers to a peer's question; `None`: it cannot be understood.
    pub async fn answer(&self, subject: Subject, question: Bytes) -> Option<Bytes> {
        match subject {
            Subject::Decisions => {
                let (query, below) = inquiry::read_query(&question)?;
                let found = self.local.search(query, below).await;
                Some(inquiry::write_answer(found.as_ref()).into())
            }
            Subject::Quieted => {
                let ids = quieted::read_question(&question)?;
                Some(quieted::write_answer(self.local.quieted(&ids).as_ref()).into())
            }
        }
    }

    /// What these silences kept quiet last, on all nodes that answer in time.
    pub async fn quieted(&self, ids: &[Arc<str>]) -> LastQuieted {
        let mut found = LastQuieted::of(self.local.quieted(ids), ids);
        let Some(peers) = self.peers.as_ref().filter(|_| !ids.is_empty()) else { return found };
        for part in ids.chunks(quieted::IDS_MAX) {
            let question = Bytes::from(quieted::write_question(part));
            let answers = peers(Subject::Quieted, Arc::new(move |_| question.clone()), QUIETED_LIMIT).await;
            for (node, bytes) in answers {
                found.add(&node, bytes.and_then(|bytes| quieted::read_answer(&bytes, part)), part);
            }
        }
        found
    }
}

fn page(query: &Query, answers: Vec<(Arc<str>, Answered, Findings)>) -> Page {
    let (mut streams, mut nodes) = (Vec::new(), Vec::new());
    for (node, state, found) in answers {
        let Findings { decisions, more, oldest, newest } = found;
        nodes.push(NodeAnswer { node: Arc::clone(&node), state, oldest, newest });
        if state == Answered::Yes {
            streams.push(Stream { node, decisions, more });
        }
    }
    let (decisions, next) = merge::merge(streams, query.cursor.as_ref(), query.page_size());
    Page { decisions, next, nodes }
}
