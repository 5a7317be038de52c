//! What nodes say to each other.
//!
//! A *message* is one byte of kind and a body (bincode). Packets and frames carry one message each:
//! ```text
//! packet  magic 2 | version 1 | flags 1 | cluster id 8 | body      body = instance 8 | number 8 | message
//! frame   length 4 | body                                          body = message
//! stream  starts with a preface in each direction: magic 2 | version min 1 | max 1 | flags 1 | cluster id 8 | random 16
//! ```
//! With a secret, `body` is sealed (see `seal`). The cluster id is a hash of the label.
//!
//! *Versions.* A message of an unknown kind is ignored, a body may be longer than known, or shorter, a delta of an unknown
//! kind of records is passed on: so nodes of neighbouring releases live in one cluster, and new kinds of messages, fields
//! at the end of messages (whose zero means what was meant before) and kinds of records need no new version. Where that
//! is not enough: the two sides of a stream name the lowest and the highest version that they speak, and use the highest
//! common one; packets are of the lowest, since nobody knows who reads them. What foca writes, and what stands in lists
//! (identities, members, deltas), cannot grow.

use std::net::SocketAddr;

use bytes::Bytes;
use foca::{Incarnation, Member, State};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    Kind,
    codec::{Blob, CodecError, decode_any, encode},
    digest::{Digest, Root},
    identity::Identity,
};

pub(super) const MAGIC: [u8; 2] = [0xCA, 0x52];
/// Versions of the protocol that are spoken here.
pub(super) const VERSION_MIN: u8 = 1;
pub(super) const VERSION_MAX: u8 = 1;
pub(super) const FLAG_SEALED: u8 = 1;

/// A whole datagram.
pub(super) const PACKET_BYTES_MAX: usize = 1400;
pub(super) const PACKET_HEAD_BYTES: usize = 12;
/// Instance, number and kind.
pub(super) const BODY_HEAD_BYTES: usize = 17;
/// Seal: nonce and tag.
pub(super) const SEAL_BYTES: usize = 24 + 16;
/// What foca may use.
pub(super) const SWIM_BYTES_MAX: usize = PACKET_BYTES_MAX - PACKET_HEAD_BYTES - BODY_HEAD_BYTES - SEAL_BYTES;
/// A delta that may be gossiped: it has to fit beside a header with two long names.
pub(super) const GOSSIP_BYTES_MAX: usize = 900;
/// The body of a message that goes over UDP.
pub(super) const UDP_MESSAGE_BYTES_MAX: usize = SWIM_BYTES_MAX;

pub(super) type ClusterId = [u8; 8];

pub(super) fn cluster_id(label: &str) -> ClusterId {
    let hash = Sha256::digest([b"carillon cluster ", label.as_bytes()].concat());
    let mut id = ClusterId::default();
    id.copy_from_slice(&hash[..8]);
    id
}

/// Unix time in nanoseconds.
pub(super) type Wall = i64;

/// One message; unknown kinds are [`Message::Unknown`].
#[derive(Clone, Debug)]
pub(super) enum Message {
    /// A packet of foca.
    Swim(Bytes),
    Call(Call),
    Answer(Answer),
    Tell(Tell),
    Ack(Ack),
    Deltas(Deltas),
    Compare(Compare),
    Compared(Compared),
    Leaving(Leaving),
    Hello(Box<Hello>),
    Refused(Refused),
    Digests(Digests),
    Records(Records),
    Settling(Settling),
    Knock(Knock),
    Beat(Beat),
    Done,
    Unknown(u8),
}

/// A question.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Call {
    pub from: String,
    pub nonce: u64,
    pub payload: Blob,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    pub from: String,
    pub nonce: u64,
    pub payload: Option<Blob>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Tell {
    pub from: String,
    pub nonce: u64,
    pub payload: Blob,
}

/// Which deltas of `origin` the node `from` holds: all up to `upto`, and beyond it those whose bits are set.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Ack {
    pub from: String,
    pub origin: u64,
    pub upto: u64,
    pub bits: Vec<u64>,
}

/// A changed record on its way, as gossiped and as kept for resending.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Delta {
    /// Instance of the node it started from.
    pub origin: u64,
    /// Rises by one with each delta of the origin.
    pub number: u64,
    pub kind: Kind,
    /// Hash of the record's key.
    pub key: u64,
    /// Of two deltas of one key the higher replaces the lower.
    pub version: u64,
    pub record: Blob,
}

/// Deltas of one origin over TCP.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Deltas {
    pub origin: u64,
    /// Everything below is settled: acknowledged, replaced, or part of exchanged state.
    pub low: u64,
    pub deltas: Vec<Delta>,
}

/// Is your state what mine is?
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Compare {
    pub from: String,
    pub nonce: u64,
    pub roots: Vec<(Kind, Root)>,
    pub phase: Phase,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Compared {
    pub from: String,
    pub nonce: u64,
    pub wall: Wall,
    pub same: bool,
    pub phase: Phase,
}

/// Whether a node is settled: it begins with 1, rises by one with each change, and is odd while the node settles. The
/// highest that was heard of a process is its newest word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Phase(pub u64);

impl Phase {
    pub fn is_settled(self) -> bool {
        self.0.is_multiple_of(2)
    }

    pub fn next(self) -> Phase {
        Phase(self.0.saturating_add(1))
    }
}

/// A node has settled, or has to settle again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Settling {
    pub from: String,
    pub instance: u64,
    pub phase: Phase,
}

/// A node goes, in good order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Leaving {
    pub identity: Identity,
}

/// "I miss you": a datagram to a node that is out of sight. When a split heals it is the first thing to get through,
/// and who hears it calls at once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Knock {
    pub identity: Identity,
}

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "u32", into = "u32")]
pub(super) enum Purpose {
    /// Messages, back and forth, for as long as there are any.
    Talk,
    /// One exchange of members and state.
    Exchange,
    /// Only this greeting.
    Probe,
    /// Of a later version: greeted, and left alone.
    Unknown,
}

impl From<u32> for Purpose {
    fn from(number: u32) -> Self {
        [Purpose::Talk, Purpose::Exchange, Purpose::Probe]
            .into_iter()
            .find(|purpose| u32::from(*purpose) == number)
            .unwrap_or(Purpose::Unknown)
    }
}

impl From<Purpose> for u32 {
    fn from(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Talk => 0,
            Purpose::Exchange => 1,
            Purpose::Probe => 2,
            Purpose::Unknown => u32::MAX,
        }
    }
}

/// The first frame in each direction.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Hello {
    pub purpose: Purpose,
    pub identity: Identity,
    /// Random for each start of a process.
    pub instance: u64,
    /// How long the process has been up: of two nodes of one name the older one stays.
    pub age_ms: u64,
    pub wall: Wall,
    pub version: String,
    pub kinds: Vec<Kind>,
    /// Number of the newest delta, taken before any digest of this exchange.
    pub newest: u64,
    /// What the sender knows of everybody, the receiver included: who is suspected hears it here, and refutes.
    pub members: Vec<WireMember>,
    pub phase: Phase,
    /// What the sender understands beyond the first release, a bit each.
    pub features: u64,
}

/// It understands [`Beat`]s.
pub(super) const FEATURE_BEATS: u64 = 1;

/// A probe, or its answer, with no news in it: two processes that have greeted know all the rest. It is what goes to and
/// fro while nothing happens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Beat {
    /// [`short`] of the sender's identity and of the receiver's.
    pub from: u32,
    pub to: u32,
    pub incarnation: Incarnation,
    pub number: u8,
    pub is_answer: bool,
}

/// An identity in one number.
#[allow(clippy::cast_possible_truncation, reason = "half of a hash is one as well")]
pub(super) fn short(identity: &Identity) -> u32 {
    Digest::hash(&encode(identity)) as u32
}

/// A member as foca knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WireMember {
    pub identity: Identity,
    pub incarnation: Incarnation,
    pub state: WireState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "u32", into = "u32")]
pub(super) enum WireState {
    /// Or anything that a later version knows and this one does not: no reason to think it dead.
    Alive,
    Suspect,
    Down,
    /// Down, in good order.
    Left,
}

impl From<u32> for WireState {
    fn from(number: u32) -> Self {
        match number {
            1 => WireState::Suspect,
            2 => WireState::Down,
            3 => WireState::Left,
            _ => WireState::Alive,
        }
    }
}

impl From<WireState> for u32 {
    fn from(state: WireState) -> Self {
        match state {
            WireState::Alive => 0,
            WireState::Suspect => 1,
            WireState::Down => 2,
            WireState::Left => 3,
        }
    }
}

impl WireMember {
    pub fn into_foca(self) -> Member<Identity> {
        let state = match self.state {
            WireState::Alive => State::Alive,
            WireState::Suspect => State::Suspect,
            WireState::Down | WireState::Left => State::Down,
        };
        Member::new(self.identity, self.incarnation, state)
    }
}

/// Why a greeting is not answered with one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Refused {
    /// You are me.
    Yourself,
    /// Another live node has your name, at this address.
    NameTaken { address: SocketAddr },
    /// I go, or was refused myself.
    NotAMember,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Digests {
    pub digests: Vec<(Kind, Digest)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Records {
    pub kind: Kind,
    pub records: Vec<Blob>,
}

/// A table of kinds: numbers stay for ever.
macro_rules! kinds {
    ($($number:literal $name:ident),* $(,)?) => {
        impl Message {
            /// Kind and body.
            pub fn encode(&self) -> Vec<u8> {
                let (kind, body) = match self {
                    Message::Swim(bytes) => (1, bytes.to_vec()),
                    Message::Done => (2, Vec::new()),
                    $(Message::$name(message) => ($number, encode(message)),)*
                    Message::Unknown(kind) => (*kind, Vec::new()),
                };
                let mut out = Vec::with_capacity(body.len() + 1);
                out.push(kind);
                out.extend_from_slice(&body);
                out
            }

            /// # Errors
            /// A body that is none of its kind.
            pub fn decode(bytes: &Bytes) -> Result<Message, CodecError> {
                let Some(kind) = bytes.first() else { return Ok(Message::Unknown(0)) };
                let body = bytes.slice(1..);
                Ok(match kind {
                    1 => Message::Swim(body),
                    2 => Message::Done,
                    $($number => Message::$name(decode_any(&body)?),)*
                    other => Message::Unknown(*other),
                })
            }
        }
    };
}

kinds! {
    3 Call, 4 Answer, 5 Tell, 6 Ack, 7 Deltas, 8 Compare, 9 Compared, 10 Leaving, 11 Hello, 12 Refused, 13 Digests,
    14 Records, 15 Settling, 16 Knock, 17 Beat,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Message::decode(&bytes.into());
        }
    }

    #[test]
    fn a_message_of_a_later_version_with_more_fields_is_read() {
        let mut bytes = Message::Ack(Ack { from: "a".into(), origin: 1, upto: 2, bits: vec![3] }).encode();
        bytes.extend_from_slice(b"more");
        assert!(matches!(Message::decode(&bytes.into()), Ok(Message::Ack(Ack { upto: 2, .. }))));
        assert!(matches!(Message::decode(&vec![200, 1, 2].into()), Ok(Message::Unknown(200))));
    }

    #[test]
    fn a_message_of_an_earlier_version_with_fewer_fields_is_read() {
        let compared = Compared { from: "a".into(), nonce: 1, wall: 2, same: true, phase: Phase(3) };
        let bytes = Message::Compared(compared).encode();
        let earlier = bytes[..bytes.len() - 1].to_vec();
        assert!(matches!(Message::decode(&earlier.into()), Ok(Message::Compared(c)) if c.same && c.phase == Phase(0)));
        assert!(Phase(0).is_settled(), "who says nothing of settling counts as settled");
    }

    #[test]
    fn what_a_stream_is_for_and_how_a_member_is_may_be_unknown() {
        assert_eq!(
            [0, 1, 2, 3].map(Purpose::from),
            [Purpose::Talk, Purpose::Exchange, Purpose::Probe, Purpose::Unknown]
        );
        assert_eq!([0, 1, 2, 3, 4].map(|n| u32::from(WireState::from(n))), [0, 1, 2, 3, 0]);
    }

    #[test]
    fn a_length_that_is_a_lie_costs_no_memory() {
        // Tell { from: "", nonce: 0, payload: 4 GiB }
        let mut bytes = vec![5, 0, 0, 252];
        bytes.extend_from_slice(&u32::MAX.to_le_bytes());
        assert!(Message::decode(&bytes.into()).is_err());
    }
}
