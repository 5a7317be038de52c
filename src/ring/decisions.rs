//! Questions about decisions on their way to the peers. What they mean is the decision log's business.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};

use super::{
    Inner, Ring,
    message::{self, Request, Response},
};
use crate::{
    cluster::codec::Blob,
    decisions::{AskPeers, PeerAnswer},
};

impl Ring {
    /// The way to the records of the other nodes.
    #[must_use]
    pub fn ask_peers(&self) -> AskPeers {
        let inner = Arc::clone(&self.0);
        Arc::new(move |question, limit| Box::pin(ask_all(Arc::clone(&inner), question, limit)))
    }
}

impl Inner {
    pub(super) fn answer_on_decisions(&self, question: Bytes) -> BoxFuture<'static, Option<Bytes>> {
        let reader = self.decisions.clone();
        Box::pin(async move {
            let answer = reader.answer(question).await?;
            Some(message::encode(&Response::Decisions(Blob(answer))))
        })
    }
}

/// Asks all known members; those that are out of sight are only named.
async fn ask_all(
    inner: Arc<Inner>,
    question: Arc<dyn Fn(&str) -> Bytes + Send + Sync>,
    limit: Duration,
) -> Vec<PeerAnswer> {
    let Some(view) = inner.cluster.load().as_ref().map(|cluster| cluster.view()) else { return Vec::new() };
    let others = view.members.iter().filter(|member| !member.is_self);
    let asked = others.map(|member| {
        let question = member.is_live().then(|| question(&member.name));
        ask(&inner, member.name.as_str(), question, limit)
    });
    join_all(asked).await
}

async fn ask(inner: &Inner, peer: &str, question: Option<Bytes>, limit: Duration) -> PeerAnswer {
    let call = question.and_then(|question| {
        let payload = message::encode(&Request::Decisions(Blob(question)));
        inner.cluster.load().as_ref().map(|cluster| cluster.call(BTreeSet::from([peer.to_owned()]), payload, limit))
    });
    let answer = match call {
        Some(mut answers) => answers.next().await,
        None => None,
    };
    let answer = answer.and_then(|(_, bytes)| match message::decode::<Response>(&bytes) {
        Some(Response::Decisions(Blob(answer))) => Some(answer),
        _ => None,
    });
    (peer.into(), answer)
}
