//! The framing of Alertmanager's snapshot files: records one after the other, each with its length before it
//! as an unsigned varint. No header, no checksum; an empty file holds nothing (reference/cluster.md 5).

use std::io::{self, Write};

use prost::Message;

/// What is wrong with a snapshot, in the words that the reference uses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    #[error("unexpected EOF")]
    Truncated,
    #[error("invalid state")]
    InvalidState,
    #[error("{0}")]
    Decode(String),
}

/// Reads all records of a file.
///
/// # Errors
/// When a record is cut off or is no protobuf of this kind.
pub fn decode<M: Message + Default>(mut bytes: &[u8]) -> Result<Vec<M>, SnapshotError> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let length = prost::encoding::decode_varint(&mut bytes).map_err(|_| SnapshotError::Truncated)?;
        let length = usize::try_from(length).map_err(|_| SnapshotError::Truncated)?;
        let Some((record, rest)) = bytes.split_at_checked(length) else { return Err(SnapshotError::Truncated) };
        records.push(M::decode(record).map_err(|error| SnapshotError::Decode(error.to_string()))?);
        bytes = rest;
    }
    Ok(records)
}

/// Writes one record; `buffer` is scratch space.
///
/// # Errors
/// Those of `out`.
pub fn encode(record: &impl Message, buffer: &mut Vec<u8>, out: &mut dyn Write) -> io::Result<()> {
    buffer.clear();
    // A `Vec` grows as needed.
    record.encode_length_delimited(buffer).map_err(io::Error::other)?;
    out.write_all(buffer)
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;

    use super::*;

    fn file(records: &[Timestamp]) -> Vec<u8> {
        let mut out = Vec::new();
        records.iter().for_each(|r| encode(r, &mut Vec::new(), &mut out).unwrap());
        out
    }

    #[test]
    fn what_was_written_is_read() {
        let records = [Timestamp { seconds: 1, nanos: 2 }, Timestamp::default(), Timestamp { seconds: -5, nanos: 0 }];
        assert_eq!(decode::<Timestamp>(&file(&records)).unwrap(), records);
    }

    #[test]
    fn an_empty_file_holds_nothing() {
        assert_eq!(decode::<Timestamp>(&[]), Ok(Vec::new()));
    }

    #[test]
    fn a_cut_off_file_is_refused() {
        let whole = file(&[Timestamp { seconds: 1, nanos: 2 }]);
        assert_eq!(decode::<Timestamp>(&whole[..whole.len() - 1]), Err(SnapshotError::Truncated));
    }

    #[test]
    fn a_length_beyond_all_bounds_is_refused() {
        assert_eq!(decode::<Timestamp>(&[0xFF; 9]), Err(SnapshotError::Truncated));
        assert_eq!(
            decode::<Timestamp>(&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]),
            Err(SnapshotError::Truncated)
        );
    }
}
