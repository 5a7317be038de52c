//! Questions of people, put to every node: each known member is asked for itself, and whoever is out of sight, of a
//! release that does not know the question, or too slow comes back without an answer.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::future::join_all;

use super::{
    Inner,
    message::{self, Request, Response},
};

/// Asks all known members; those that are out of sight are only named.
pub(super) async fn ask_all(
    inner: &Inner,
    question: impl Fn(&str) -> Request,
    limit: Duration,
) -> Vec<(Arc<str>, Option<Response>)> {
    let Some(view) = inner.cluster.load().as_ref().map(|cluster| cluster.view()) else { return Vec::new() };
    let others = view.members.iter().filter(|member| !member.is_self);
    let asked = others.map(|member| {
        let question = member.is_live().then(|| question(&member.name));
        ask(inner, &member.name, question, limit)
    });
    join_all(asked).await
}

async fn ask(inner: &Inner, peer: &str, question: Option<Request>, limit: Duration) -> (Arc<str>, Option<Response>) {
    let call = question.and_then(|question| {
        let payload = message::encode(&question);
        inner.cluster.load().as_ref().map(|cluster| cluster.call(BTreeSet::from([peer.to_owned()]), payload, limit))
    });
    let answer = match call {
        Some(mut answers) => answers.next().await,
        None => None,
    };
    (peer.into(), answer.and_then(|(_, bytes)| message::decode::<Response>(&bytes)))
}
