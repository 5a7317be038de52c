//! What rings say to each other about notifications: questions, answers and claims (reference/decide.md 2.2).
//! All of one moment travel together: thousands of groups may be due at once.

use serde::{Deserialize, Serialize};

use crate::{
    cluster::{
        Digest,
        codec::{self, Blob},
    },
    notify::peer::{
        Life, Mark,
        claims::{Claim, Rumour},
    },
};

/// Raised when an old node could misunderstand a new one.
const VERSION: u8 = 1;
/// Groups up to this size list their alerts one by one.
const LISTED_MAX: usize = 16;

/// A question.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    Asks(Asks),
    /// Alerts that are about to run out here: fingerprint, period, end in milliseconds.
    Fresher(Vec<(u64, u64, i64)>),
    /// Questions of a third node, passed on because the receiver got a "yes" that stands against them.
    Passed(String, Asks),
    /// For the decision log.
    Decisions(Blob),
    // A release that does not know one of these says that it has no answer.
    /// Whom it reaches.
    Outlook,
    /// For the decision log: what silences have kept quiet.
    Quieted(Blob),
}

/// "I am about to tell these; may I, and what do you know that I do not?"
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Asks {
    /// One number for all silences.
    pub silences: u64,
    pub asks: Vec<Ask>,
}

/// One key of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Ask {
    pub claim: Claim,
    pub group_key: String,
    pub receiver: String,
    pub integration: String,
    pub index: u32,
    /// Where the group is, if the configurations are the same.
    pub route: u64,
    pub group: u64,
    /// One number for the log entry; 0: none.
    pub log: u64,
    pub alerts: Alerts,
}

/// How the alerts of a group stand at the asker's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Alerts {
    /// Fingerprint and number of the mark.
    Listed(Vec<(u64, u64)>),
    Digest(Digest),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Response {
    Answers(Answers),
    Fresher(Vec<Blob>),
    Decisions(Blob),
    Outlook(Blob),
    Quieted(Blob),
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Answers {
    /// Records of silences that the asker may lack.
    pub silences: Vec<Blob>,
    /// In the order of the questions.
    pub answers: Vec<Answer>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    pub yes: bool,
    /// Of the answering node.
    pub own: Option<Claim>,
    /// Of third nodes.
    pub others: Vec<Rumour>,
    pub log: Option<Blob>,
    pub alerts: Vec<Blob>,
}

/// News: claims of the node that tells, or of the one that is named.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct News {
    pub claims: Vec<(Option<String>, Claim)>,
}

pub(super) fn encode<T: Serialize>(message: &T) -> bytes::Bytes {
    codec::encode(&(VERSION, message)).into()
}

/// `None`: of another version, or no message.
pub(super) fn decode<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Option<T> {
    let (first, _) = bytes.split_first()?;
    if *first != VERSION {
        return None;
    }
    codec::decode::<(u8, T)>(bytes).ok().map(|(_, message)| message)
}

impl Alerts {
    pub fn of(marks: &[Mark]) -> Self {
        if marks.len() <= LISTED_MAX {
            Alerts::Listed(marks.iter().map(|mark| (mark.alert.0, number(mark))).collect())
        } else {
            Alerts::Digest(digest(marks))
        }
    }

    /// What the asker should hear of these alerts here: those that it lacks, and those that it has wrong.
    pub fn lacking<'a>(&'a self, mine: &'a [Mark]) -> Box<dyn Fn(&Mark) -> bool + 'a> {
        match self {
            Alerts::Listed(list) => Box::new(move |mark| match list.iter().find(|(alert, _)| *alert == mark.alert.0) {
                Some((_, theirs)) => is_better(number(mark), *theirs),
                None => mark.state != Life::Expired,
            }),
            Alerts::Digest(theirs) => {
                let differs = digest(mine).differs_from(theirs);
                Box::new(move |mark| mark.state != Life::Expired && differs(mark.alert.0))
            }
        }
    }
}

fn digest(marks: &[Mark]) -> Digest {
    Digest::of_hashes(marks.iter().map(|mark| (mark.alert.0, number(mark))))
}

/// Period and state in one; a greater number knows better, as far as numbers can tell.
pub(super) fn number(mark: &Mark) -> u64 {
    let state = match mark.state {
        Life::Expired => 0,
        Life::Firing => 1,
        Life::Ended => 2,
    };
    mark.period.saturating_mul(4).saturating_add(state)
}

/// A firing counts against an end of the same period: it may have begun after it, which only the records tell.
fn is_better(mine: u64, theirs: u64) -> bool {
    let is_rival = mine % 4 == 1 && theirs == mine.saturating_add(1);
    mine > theirs || is_rival
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::Fingerprint;

    fn mark(alert: u64, period: u64, state: Life) -> Mark {
        Mark { alert: Fingerprint(alert), period, state }
    }

    #[test]
    fn only_what_the_asker_lacks_or_has_wrong_is_sent() {
        let theirs = [(1, Life::Firing), (2, Life::Expired), (3, Life::Firing), (4, Life::Ended)];
        let mine = [(1, Life::Firing), (2, Life::Firing), (3, Life::Ended), (4, Life::Firing), (5, Life::Firing)];
        let alerts = Alerts::of(&theirs.map(|(alert, state)| mark(alert, 1, state)));
        let mine = mine.map(|(alert, state)| mark(alert, 1, state));
        let lacking = alerts.lacking(&mine);
        let sent: Vec<u64> = mine.iter().filter(|mark| lacking(mark)).map(|mark| mark.alert.0).collect();
        assert_eq!(sent, [2, 3, 4, 5]);
        assert!(lacking(&mark(4, 2, Life::Firing)), "a later period");
    }

    #[test]
    fn large_groups_are_compared_by_digest() {
        let theirs: Vec<Mark> = (0..1000).map(|alert| mark(alert, 1, Life::Firing)).collect();
        let mut mine = theirs.clone();
        mine[500].state = Life::Ended;
        let alerts = Alerts::of(&theirs);
        assert!(matches!(alerts, Alerts::Digest(_)));
        let lacking = alerts.lacking(&mine);
        assert!(lacking(&mine[500]) && mine.iter().filter(|mark| lacking(mark)).count() < 50);
    }

    #[test]
    fn messages_of_another_version_are_none() {
        let news = News { claims: Vec::new() };
        let mut bytes = encode(&news).to_vec();
        assert!(decode::<News>(&bytes).is_some());
        bytes[0] += 1;
        assert!(decode::<News>(&bytes).is_none() && decode::<News>(b"").is_none());
    }
}
