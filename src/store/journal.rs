//! A short file that urgent changes are appended to before they reach the database.
//!
//! One commit of the database rewrites a dozen pages; one frame here is a single small write, so that a silence
//! costs a third. The file has a fixed size and is written over and over: a frame is valid if its checksum is
//! right and its number follows the one before it. The database holds the number up to which frames are in it
//! already; a start takes up those after. When the file is full everything goes into the database at once and
//! writing begins at the front again. A frame that a crash cut off was not acknowledged and ends the reading.

use std::io;

use redb::StorageBackend;
use xxhash_rust::xxh64::xxh64;

use super::{Table, Value};

/// Size of the file.
pub(super) const JOURNAL_BYTES: usize = 1 << 20;
/// A larger batch is better off in the database.
const FRAME_BYTES_MAX: usize = JOURNAL_BYTES / 8;
/// Number, length and checksum.
const HEADER: usize = 20;

/// A change of one key.
pub(super) type Change = (Table, Box<[u8]>, Value);

/// What a journal holds.
#[derive(Default)]
pub(super) struct Contents {
    /// In the order in which they were written.
    pub changes: Vec<Change>,
    pub position: Position,
}

/// Where the next frame goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    pub offset: usize,
    /// Number of the last frame; 0: none yet.
    pub number: u64,
}

fn tag(table: Table) -> u8 {
    match table {
        Table::Silences => 1,
        Table::Log => 2,
        Table::Alerts => 3,
    }
}

fn append(change: &Change, out: &mut Vec<u8>) {
    let (table, key, value) = change;
    out.push(tag(*table));
    append_bytes(key, out);
    match value {
        Value::Deleted => out.push(0),
        Value::Bytes(bytes) => {
            out.push(1);
            append_bytes(bytes, out);
        }
        Value::Record(record) => {
            out.push(1);
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            append_bytes(&bytes, out);
        }
    }
}

fn append_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    // Frames are far smaller than 4 GiB; a longer one is refused by its size.
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// A frame of these changes, or `None` if it would be too large.
pub(super) fn frame(number: u64, changes: &[Change]) -> Option<Vec<u8>> {
    let mut frame = vec![0; HEADER];
    for change in changes {
        append(change, &mut frame);
        if frame.len() > FRAME_BYTES_MAX {
            return None;
        }
    }
    let length = u32::try_from(frame.len() - HEADER).ok()?;
    let checksum = xxh64(&frame[HEADER..], number ^ u64::from(length).rotate_left(32));
    frame[..8].copy_from_slice(&number.to_le_bytes());
    frame[8..12].copy_from_slice(&length.to_le_bytes());
    frame[12..HEADER].copy_from_slice(&checksum.to_le_bytes());
    Some(frame)
}

/// Reads whatever is valid from the front; changes of frames up to `applied` are left out.
pub(super) fn read(bytes: &[u8], applied: u64) -> Contents {
    let mut contents = Contents { changes: Vec::new(), position: Position { offset: 0, number: applied } };
    let mut last = None;
    while let Some((number, payload)) = bytes.get(contents.position.offset..).and_then(read_frame) {
        let follows = last.is_none_or(|last: u64| number == last.wrapping_add(1));
        if !follows {
            break;
        }
        last = Some(number);
        if number > applied {
            let Some(changes) = read_changes(payload) else { break };
            contents.changes.extend(changes);
            contents.position.number = number;
        }
        contents.position.offset += HEADER + payload.len();
    }
    if contents.changes.is_empty() {
        contents.position.offset = 0; // All of it is in the database.
    }
    contents
}

fn read_frame(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (checksum, rest) = rest.split_first_chunk::<8>()?;
    let (number, length) = (u64::from_le_bytes(*number), u32::from_le_bytes(*length));
    let payload = rest.get(..usize::try_from(length).ok()?)?;
    let is_whole = xxh64(payload, number ^ u64::from(length).rotate_left(32)) == u64::from_le_bytes(*checksum);
    (is_whole && number > 0).then_some((number, payload))
}

fn read_changes(mut payload: &[u8]) -> Option<Vec<Change>> {
    let mut changes = Vec::new();
    while let Some((first, rest)) = payload.split_first() {
        let table = Table::ALL.into_iter().find(|table| tag(*table) == *first)?;
        let (key, rest) = read_bytes(rest)?;
        let (is_put, rest) = rest.split_first()?;
        let (value, rest) = if *is_put == 0 {
            (Value::Deleted, rest)
        } else {
            let (bytes, rest) = read_bytes(rest)?;
            (Value::Bytes(bytes.into()), rest)
        };
        changes.push((table, key.into(), value));
        payload = rest;
    }
    Some(changes)
}

fn read_bytes(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
}

/// Writes frames. Any failure ends its use; the database takes over.
pub(super) struct Journal {
    file: Box<dyn StorageBackend>,
    position: Position,
}

impl Journal {
    pub fn new(file: Box<dyn StorageBackend>, position: Position) -> Self {
        Journal { file, position }
    }

    pub fn position(&self) -> Position {
        self.position
    }

    /// Makes the changes durable; `false` if they do not fit.
    pub fn append(&mut self, changes: &[Change]) -> io::Result<bool> {
        let number = self.position.number + 1;
        let Some(frame) = frame(number, changes) else { return Ok(false) };
        if self.position.offset + frame.len() > JOURNAL_BYTES {
            return Ok(false);
        }
        // A failed frame may be on disk or not: its number is used up.
        self.position.number = number;
        self.file.write(self.position.offset as u64, &frame)?;
        self.file.sync_data()?;
        self.position.offset += frame.len();
        Ok(true)
    }

    /// All frames are in the database: begin at the front.
    pub fn rewind(&mut self) {
        self.position.offset = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn changes(seed: u8) -> Vec<Change> {
        vec![
            (Table::Log, Box::from([seed]), Value::Bytes(vec![seed; usize::from(seed)].into())),
            (Table::Silences, Box::from([seed, 1]), Value::Deleted),
        ]
    }

    fn keys(contents: &Contents) -> Vec<u8> {
        contents.changes.iter().filter(|(table, ..)| *table == Table::Log).map(|(_, key, _)| key[0]).collect()
    }

    fn file(frames: &[(u64, u8)]) -> Vec<u8> {
        frames.iter().flat_map(|(number, seed)| frame(*number, &changes(*seed)).unwrap()).collect()
    }

    #[test]
    fn frames_after_the_applied_one_are_read_in_order() {
        let bytes = file(&[(5, 1), (6, 2), (7, 3)]);
        let contents = read(&bytes, 5);
        assert_eq!((keys(&contents), contents.position), (vec![2, 3], Position { offset: bytes.len(), number: 7 }));
    }

    #[test]
    fn what_is_left_of_an_earlier_round_is_not_read() {
        let mut bytes = file(&[(5, 10), (6, 10), (7, 10)]);
        let new = file(&[(8, 10)]);
        bytes[..new.len()].copy_from_slice(&new);
        assert_eq!(keys(&read(&bytes, 7)), [10]);
        let all_applied = read(&bytes, 8);
        assert_eq!((all_applied.changes.len(), all_applied.position), (0, Position { offset: 0, number: 8 }));
    }

    #[test]
    fn a_journal_newer_than_its_database_is_taken_up_whole() {
        assert_eq!(keys(&read(&file(&[(50, 1), (51, 2)]), 3)), [1, 2]);
    }

    #[test]
    fn a_batch_that_is_too_large_gets_no_frame() {
        let big = vec![(Table::Log, Box::from([1u8]) as Box<[u8]>, Value::Bytes(vec![0; FRAME_BYTES_MAX].into()))];
        assert!(frame(1, &big).is_none());
    }

    proptest! {
        #[test]
        fn a_damaged_frame_ends_the_reading(at in 0..200usize, with in 1..=255u8) {
            let first = frame(1, &changes(7)).unwrap().len();
            let mut bytes = file(&[(1, 7), (2, 9)]);
            let at = at % bytes.len();
            bytes[at] ^= with;
            let read = keys(&read(&bytes, 0));
            prop_assert_eq!(read, if at < first { vec![] } else { vec![7] });
        }

        #[test]
        fn garbage_is_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            read(&bytes, 0);
            read_changes(&bytes);
        }
    }
}
