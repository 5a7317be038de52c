//! The only place that uses bincode: everything of ours on the wire but the outermost bytes.
//!
//! Reading is always limited. A later version may append fields to a message: bytes after it are left alone, and what is
//! missing at its end ([`decode_any`]) reads as zero, false, nothing.

use bincode::{
    config::{Configuration, Limit, LittleEndian, Varint},
    error::DecodeError,
};
use bytes::{Buf, BufMut, Bytes};
use foca::{Codec, Header, Member};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::identity::Identity;

/// The largest message. A frame of records stays far below.
pub(super) const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Fields that a message of an earlier version may lack.
const LACKING_MAX: usize = 16;
/// Header or member of a membership packet.
const PACKET_PART_BYTES_MAX: usize = 1400;

#[derive(Debug, thiserror::Error)]
#[error("not a message of this protocol: {0}")]
pub(crate) struct CodecError(String);

fn config<const LIMIT: usize>() -> Configuration<LittleEndian, Varint, Limit<LIMIT>> {
    bincode::config::standard().with_limit::<LIMIT>()
}

pub(crate) fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    // Our messages hold nothing that cannot be written; one above the limit is refused by the reader, as an empty one is.
    bincode::serde::encode_to_vec(message, config::<MESSAGE_BYTES_MAX>()).unwrap_or_default()
}

pub(crate) fn decode<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, CodecError> {
    match bincode::serde::decode_from_slice(bytes, config::<MESSAGE_BYTES_MAX>()) {
        Ok((message, _)) => Ok(message),
        Err(error) => Err(CodecError(error.to_string())),
    }
}

/// As [`decode`], also of a message to which fields were appended since.
pub(super) fn decode_any<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, CodecError> {
    match bincode::serde::decode_from_slice(bytes, config::<MESSAGE_BYTES_MAX>()) {
        Ok((message, _)) => Ok(message),
        Err(DecodeError::UnexpectedEnd { .. }) => decode(&[bytes, &[0; LACKING_MAX]].concat()),
        Err(error) => Err(CodecError(error.to_string())),
    }
}

/// Bytes within a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Blob(pub Bytes);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Blob;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Blob, E> {
                Ok(Blob(Bytes::copy_from_slice(bytes)))
            }
            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Blob, E> {
                Ok(Blob(bytes.into()))
            }
        }
        deserializer.deserialize_byte_buf(Visitor)
    }
}

/// What foca writes its packets with.
#[derive(Clone, Copy, Debug)]
pub(super) struct SwimCodec;

impl SwimCodec {
    /// By way of a buffer of its own, so that a full packet is never left half-written.
    fn write<T: Serialize>(item: &T, mut buf: impl BufMut) -> Result<(), CodecError> {
        let bytes = bincode::serde::encode_to_vec(item, config::<PACKET_PART_BYTES_MAX>())
            .map_err(|error| CodecError(error.to_string()))?;
        if bytes.len() > buf.remaining_mut() {
            return Err(CodecError("no room left in the packet".to_owned()));
        }
        buf.put_slice(&bytes);
        Ok(())
    }

    fn read<T: for<'de> Deserialize<'de>>(mut buf: impl Buf) -> Result<T, CodecError> {
        let (item, used) = bincode::serde::decode_from_slice(buf.chunk(), config::<PACKET_PART_BYTES_MAX>())
            .map_err(|error| CodecError(error.to_string()))?;
        buf.advance(used);
        Ok(item)
    }

    pub fn header(bytes: &[u8]) -> Result<Header<Identity>, CodecError> {
        Self::read(bytes)
    }

    /// A packet with no news in it.
    pub fn bare(header: &Header<Identity>) -> Option<Vec<u8>> {
        let mut packet = Vec::with_capacity(128);
        Self::write(header, &mut packet).ok()?;
        packet.extend_from_slice(&[0, 0]);
        Some(packet)
    }

    /// The header of a packet with no news in it.
    pub fn bare_header(packet: &[u8]) -> Option<Header<Identity>> {
        let mut rest = packet;
        let header = Self::read(&mut rest).ok()?;
        matches!(rest, [] | [0, 0]).then_some(header)
    }
}

impl Codec<Identity> for SwimCodec {
    type Error = CodecError;

    fn encode_header(&mut self, header: &Header<Identity>, buf: impl BufMut) -> Result<(), CodecError> {
        Self::write(header, buf)
    }

    fn decode_header(&mut self, buf: impl Buf) -> Result<Header<Identity>, CodecError> {
        Self::read(buf)
    }

    fn encode_member(&mut self, member: &Member<Identity>, buf: impl BufMut) -> Result<(), CodecError> {
        Self::write(member, buf)
    }

    fn decode_member(&mut self, buf: impl Buf) -> Result<Member<Identity>, CodecError> {
        Self::read(buf)
    }
}
