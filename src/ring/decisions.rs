//! Questions about decisions on their way to the peers. What they mean is the decision log's business.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::{
    Inner, Ring,
    inquiry::ask_all,
    message::{self, Request, Response},
};
use crate::{
    cluster::codec::Blob,
    decisions::{AskPeers, Subject},
};

impl Ring {
    /// The way to the records of the other nodes.
    #[must_use]
    pub fn ask_peers(&self) -> AskPeers {
        let inner = Arc::clone(&self.0);
        Arc::new(move |subject, question, limit| {
            let inner = Arc::clone(&inner);
            Box::pin(async move {
                let request = |name: &str| match subject {
                    Subject::Decisions => Request::Decisions(Blob(question(name))),
                    Subject::Quieted => Request::Quieted(Blob(question(name))),
                };
                let answers = ask_all(&inner, request, limit).await.into_iter();
                answers.map(|(node, response)| (node, response.and_then(|response| about(subject, response)))).collect()
            })
        })
    }
}

/// The answer, if it is one to such a question.
fn about(subject: Subject, response: Response) -> Option<Bytes> {
    match (subject, response) {
        (Subject::Decisions, Response::Decisions(Blob(answer)))
        | (Subject::Quieted, Response::Quieted(Blob(answer))) => Some(answer),
        _ => None,
    }
}

impl Inner {
    pub(super) fn answer_on_decisions(&self, subject: Subject, question: Bytes) -> BoxFuture<'static, Option<Bytes>> {
        let reader = self.decisions.clone();
        Box::pin(async move {
            let answer = Blob(reader.answer(subject, question).await?);
            Some(message::encode(&match subject {
                Subject::Decisions => Response::Decisions(answer),
                Subject::Quieted => Response::Quieted(answer),
            }))
        })
    }
}
