//! What this node answers when it is asked, and what it makes of news.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::{
    Inner, fresh,
    message::{self, Answer, Answers, Ask, Asks, News, Request, Response},
    records::mark_of,
};
use crate::{
    alert::{Entry, Fingerprint},
    cluster::{Handler, codec::Blob},
    decisions::Subject,
    nflog::{LogKey, Nflog},
    notify::peer::{
        Life, Mark,
        claims::{Circle, KeyId, Name},
    },
    replica::encode_alert,
};

/// A node that a question is passed on to answers within so long, or the asker has to ask again.
const CONSULT_LIMIT: Duration = Duration::from_millis(500);

fn key_of(ask: &Ask) -> LogKey {
    LogKey {
        group_key: ask.group_key.as_str().into(),
        receiver: ask.receiver.as_str().into(),
        integration: ask.integration.as_str().into(),
        index: ask.index,
    }
}

impl Handler for Inner {
    fn call(&self, from: String, payload: Bytes) -> BoxFuture<'static, Option<Bytes>> {
        let response = match message::decode::<Request>(&payload) {
            Some(Request::Asks(asks)) => {
                let from = from.into();
                let rivals = self.rivals(&from, &asks);
                if let (false, Some(inner)) = (rivals.is_empty(), self.me.upgrade()) {
                    return Box::pin(inner.answer_after(rivals, from, asks));
                }
                Some(Response::Answers(self.answer_all(&from, &asks)))
            }
            Some(Request::Passed(asker, asks)) => Some(Response::Answers(self.answer_all(&asker.into(), &asks))),
            Some(Request::Decisions(Blob(question))) => return self.answer_on_decisions(Subject::Decisions, question),
            Some(Request::Quieted(Blob(question))) => return self.answer_on_decisions(Subject::Quieted, question),
            Some(Request::Outlook) => self.answer_on_reach(),
            Some(Request::Fresher(list)) => Some(Response::Fresher(fresh::answer(self, &list))),
            None => None,
        };
        Box::pin(std::future::ready(response.map(|response| message::encode(&response))))
    }

    fn tell(&self, from: &str, payload: Bytes) {
        let Some(News { claims }) = message::decode::<News>(&payload) else { return };
        let (now, circle) = (self.clock.monotonic(), self.circle.load());
        let mut free = Vec::new();
        {
            let mut table = self.claims();
            for (holder, claim) in claims {
                let holder: Name = holder.as_deref().unwrap_or(from).into();
                if holder != circle.me {
                    free.extend(table.hear(&holder, &claim, Duration::ZERO, now));
                }
            }
        }
        free.iter().for_each(|key| self.look_again(key));
    }
}

impl Inner {
    /// Nodes that got a "yes" here which stands against these questions, each with the questions.
    fn rivals(&self, from: &Name, asks: &Asks) -> BTreeMap<Name, Vec<usize>> {
        let (now, circle) = (self.clock.monotonic(), self.circle.load());
        let mut rivals: BTreeMap<Name, Vec<usize>> = BTreeMap::new();
        for (place, ask) in asks.asks.iter().enumerate() {
            let tells = self.replica.nflog.peek(&key_of(ask)).map_or(0, |entry| entry.tells);
            for rival in self.claims().rivals(from, &ask.claim, tells, &circle, now) {
                rivals.entry(rival).or_default().push(place);
            }
        }
        rivals
    }

    /// Passes the questions on to those who may have to give way, since the asker may not see them, and answers then.
    async fn answer_after(
        self: Arc<Self>,
        rivals: BTreeMap<Name, Vec<usize>>,
        from: Name,
        asks: Asks,
    ) -> Option<Bytes> {
        let consult = rivals.into_iter().map(|(rival, places)| self.consult(rival, places, &from, &asks));
        futures_util::future::join_all(consult).await;
        Some(message::encode(&Response::Answers(self.answer_all(&from, &asks))))
    }

    async fn consult(&self, rival: Name, places: Vec<usize>, from: &Name, asks: &Asks) {
        let Some(cluster) = self.cluster.load_full() else { return };
        let passed: Vec<Ask> = places.iter().filter_map(|place| asks.asks.get(*place)).cloned().collect();
        let keys: Vec<KeyId> = passed.iter().map(|ask| ask.claim.key).collect();
        let request = Request::Passed(from.to_string(), Asks { silences: asks.silences, asks: passed });
        let mut answers = cluster.call([rival.to_string()], message::encode(&request), CONSULT_LIMIT);
        while let Some((_, bytes)) = answers.next().await {
            let Some(Response::Answers(answers)) = message::decode::<Response>(&bytes) else { continue };
            for (key, answer) in keys.iter().zip(answers.answers) {
                self.take_records(&answer);
                self.claims().consulted(&rival, *key, answer.own.as_ref(), self.clock.monotonic());
            }
        }
    }

    fn answer_all(&self, from: &Name, asks: &Asks) -> Answers {
        let silences = if asks.silences == self.silences_sum() { Vec::new() } else { self.silences_on_their_way() };
        let circle = self.circle.load_full();
        Answers {
            silences: silences.into_iter().map(Blob).collect(),
            answers: asks.asks.iter().map(|ask| self.answer(from, ask, &circle)).collect(),
        }
    }

    fn answer(&self, from: &Name, ask: &Ask, circle: &Arc<Circle>) -> Answer {
        let key = key_of(ask);
        let entry = self.replica.nflog.peek(&key);
        let tells = entry.as_ref().map_or(0, |entry| entry.tells);
        let reply = self.claims().answer(from, &ask.claim, tells, circle, self.clock.monotonic());
        let entry = entry.filter(|entry| entry.content_hash() != ask.log);
        Answer {
            yes: reply.yes,
            own: reply.own,
            others: reply.others,
            log: entry.map(|entry| Blob(Nflog::encode(&key, &entry).into())),
            alerts: self.alerts_for(ask, &key),
        }
    }

    /// The alerts of the group that the asker lacks, or has wrong.
    fn alerts_for(&self, ask: &Ask, key: &LogKey) -> Vec<Blob> {
        let now = self.clock.now();
        let entries = self.entries_for(ask, key);
        let mut marks: Vec<Mark> = entries.iter().map(|entry| mark_of(entry, now)).collect();
        {
            // Guesses of this node count for nothing.
            let graces = self.graces();
            if !graces.is_empty() {
                for (mark, entry) in marks.iter_mut().zip(&entries) {
                    if graces.holds(mark.alert, entry.lock().ends_at) {
                        mark.state = Life::Expired;
                    }
                }
            }
        }
        let lacking = ask.alerts.lacking(&marks);
        let sent = marks.iter().zip(&entries).filter(|(mark, _)| mark.state != Life::Expired && lacking(mark));
        sent.map(|(_, entry)| Blob(encode_alert(&entry.alert()).into())).collect()
    }

    /// The alerts of the group as it is here, and those that the asker lists.
    fn entries_for(&self, ask: &Ask, key: &LogKey) -> Vec<Arc<Entry>> {
        let group = Fingerprint(ask.group);
        let route = usize::try_from(ask.route).unwrap_or(usize::MAX);
        let members = self.effects.get().and_then(|effects| effects.dispatcher.members_of(route, group, key));
        let mut entries = members.unwrap_or_default();
        if let message::Alerts::Listed(list) = &ask.alerts {
            let known = entries.len();
            for (alert, _) in list {
                let is_member = entries.iter().take(known).any(|entry| entry.fingerprint().0 == *alert);
                if !is_member {
                    entries.extend(self.replica.alerts.get(Fingerprint(*alert)));
                }
            }
        }
        entries
    }
}
