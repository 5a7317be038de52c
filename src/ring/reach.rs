//! Who reaches whom: each node knows whom it hears itself, and tells it when somebody looks at the cluster.

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;

use super::{
    Inner, Ring,
    inquiry::ask_all,
    message::{Request, Response},
};
use crate::cluster::{Member, MemberState, View, codec::Blob};

/// People wait for it. A node that is well answers within milliseconds.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// More members than this are not taken from an answer.
const MEMBERS_MAX: usize = 1_024;

/// What one node says of the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    pub node: String,
    /// Itself left out. `None`: it is out of sight, did not answer in time, or is of a release that cannot be asked.
    pub sees: Option<Vec<Sight>>,
}

/// How a member is seen by another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    pub name: String,
    pub state: MemberState,
    /// As in [`Member`].
    pub udp: Option<bool>,
    pub tcp: Option<bool>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct OutlookMessage {
    #[prost(message, repeated, tag = "1")]
    sees: Vec<SightMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SightMessage {
    #[prost(string, tag = "1")]
    name: String,
    /// 1: alive, 2: suspect, 3: down.
    #[prost(uint32, tag = "2")]
    state: u32,
    /// Absent: not tried yet.
    #[prost(bool, optional, tag = "3")]
    udp: Option<bool>,
    #[prost(bool, optional, tag = "4")]
    tcp: Option<bool>,
}

impl Ring {
    /// The views of all known nodes, in order of names; this one's is among them.
    pub async fn outlooks(&self) -> Vec<Outlook> {
        let (Some(view), Some((me, _))) = (self.view(), self.own()) else { return Vec::new() };
        let others = ask_all(&self.0, |_| Request::Outlook, ANSWER_LIMIT).await;
        let mut all: Vec<Outlook> = others
            .into_iter()
            .map(|(node, response)| {
                let sees = match response {
                    Some(Response::Outlook(Blob(bytes))) => read(&bytes, &node),
                    _ => None,
                };
                Outlook { node: (*node).to_owned(), sees }
            })
            .collect();
        all.push(Outlook { node: me, sees: Some(sights(&view)) });
        all.sort_by(|a, b| a.node.cmp(&b.node));
        all
    }
}

impl Inner {
    pub(super) fn answer_on_reach(&self) -> Option<Response> {
        let view = self.cluster.load().as_ref().map(|cluster| cluster.view())?;
        Some(Response::Outlook(Blob(write(&sights(&view)))))
    }
}

fn sights(view: &View) -> Vec<Sight> {
    let sight =
        |member: &Member| Sight { name: member.name.clone(), state: member.state, udp: member.udp, tcp: member.tcp };
    view.members.iter().filter(|member| !member.is_self).map(sight).collect()
}

fn write(sights: &[Sight]) -> Bytes {
    let message = |sight: &Sight| SightMessage {
        name: sight.name.clone(),
        state: match sight.state {
            MemberState::Alive => 1,
            MemberState::Suspect => 2,
            MemberState::Down => 3,
        },
        udp: sight.udp,
        tcp: sight.tcp,
    };
    OutlookMessage { sees: sights.iter().map(message).collect() }.encode_to_vec().into()
}

/// `None`: it cannot be understood.
fn read(bytes: &[u8], node: &str) -> Option<Vec<Sight>> {
    let message = OutlookMessage::decode(bytes).ok()?;
    let sights = message.sees.into_iter().take(MEMBERS_MAX).filter(|sight| sight.name != node);
    Some(
        sights
            .map(|sight| Sight {
                state: match sight.state {
                    1 => MemberState::Alive,
                    3 => MemberState::Down,
                    // Or of a later release's kind: neither well nor gone.
                    _ => MemberState::Suspect,
                },
                name: sight.name,
                udp: sight.udp,
                tcp: sight.tcp,
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_comes_back_from_the_wire_and_other_bytes_are_none() {
        let sight = |name: &str, state, udp, tcp| Sight { name: name.to_owned(), state, udp, tcp };
        let sights = vec![
            sight("b", MemberState::Alive, Some(true), None),
            sight("c ü", MemberState::Suspect, None, Some(false)),
            sight("d", MemberState::Down, Some(false), Some(false)),
        ];
        let bytes = write(&sights);
        assert_eq!(read(&bytes, "a"), Some(sights.clone()));
        assert_eq!(read(&bytes, "b"), Some(sights[1..].to_vec()), "a node does not see itself");
        assert_eq!((read(b"", "a"), read(b"\xff\xff", "a")), (Some(vec![]), None));
    }
}
