//! Blocks in a file: each with a head by which it is found and proved whole, so that damage costs only what it hits.
//!
//! `[0xCA 'D' 'L' 1] [length u32] [xxHash64 u64] [content]`, numbers in little endian.

use xxhash_rust::xxh64::xxh64;

const MAGIC: [u8; 4] = [0xCA, b'D', b'L', 1];
const HEAD_BYTES: usize = 16;
/// No block is larger; a length beyond it is damage.
pub const CONTENT_BYTES_MAX: usize = 4 << 20;
/// Places that look like a head and are none, in one file. Whoever makes more has made them on purpose.
const FALSE_HEADS_MAX: usize = 256;

/// Makes room for the head of a block whose content is appended next. Returns where it is, for [`end`].
pub fn begin(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0; HEAD_BYTES]);
    out.len() - HEAD_BYTES
}

/// Everything behind the head is the content: the block is whole.
pub fn end(out: &mut [u8], head: usize) {
    let Some((head, content)) = out.get_mut(head..).and_then(|block| block.split_at_mut_checked(HEAD_BYTES)) else {
        return;
    };
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    let sum = xxh64(content, u64::from(length));
    head.copy_from_slice(&[&MAGIC[..], &length.to_le_bytes(), &sum.to_le_bytes()].concat());
}

/// The whole blocks of a file.
#[derive(Debug, Default, PartialEq)]
pub struct Found<'a> {
    pub contents: Vec<&'a [u8]>,
    /// Bytes that belong to no whole block.
    pub damaged: usize,
}

/// Finds every whole block, whatever lies between.
#[must_use]
pub fn find(bytes: &[u8]) -> Found<'_> {
    let mut found = Found::default();
    let (mut rest, mut false_heads) = (bytes, 0);
    while !rest.is_empty() {
        match content_of(rest) {
            Some(content) => {
                rest = rest.get(HEAD_BYTES + content.len()..).unwrap_or_default();
                found.contents.push(content);
            }
            None => {
                false_heads += usize::from(rest.starts_with(&MAGIC));
                let skipped = next_head(rest).filter(|_| false_heads < FALSE_HEADS_MAX).unwrap_or(rest.len());
                found.damaged += skipped;
                rest = rest.get(skipped..).unwrap_or_default();
            }
        }
    }
    found
}

fn content_of(bytes: &[u8]) -> Option<&[u8]> {
    let (head, rest) = bytes.split_at_checked(HEAD_BYTES)?;
    let length = u32::from_le_bytes(*head.get(4..)?.first_chunk::<4>()?);
    let sum = u64::from_le_bytes(*head.get(8..)?.first_chunk::<8>()?);
    let content = rest.get(..usize::try_from(length).ok()?)?;
    let is_whole =
        head.starts_with(&MAGIC) && content.len() <= CONTENT_BYTES_MAX && xxh64(content, u64::from(length)) == sum;
    is_whole.then_some(content)
}

/// Where the next head may begin, behind the first byte.
fn next_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(MAGIC.len()).skip(1).position(|window| window == MAGIC).map(|place| place + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn push(out: &mut Vec<u8>, content: &[u8]) {
        let head = begin(out);
        out.extend_from_slice(content);
        end(out, head);
    }

    fn file(contents: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        contents.iter().for_each(|content| push(&mut out, content));
        out
    }

    #[test]
    fn whole_blocks_come_back_in_order() {
        let bytes = file(&[b"one", b"", b"three"]);
        let contents: Vec<&[u8]> = vec![b"one", b"", b"three"];
        assert_eq!(find(&bytes), Found { contents, damaged: 0 });
        assert_eq!(find(b""), Found::default());
    }

    #[test]
    fn a_torn_end_costs_the_last_block_only() {
        let bytes = file(&[b"one", b"two"]);
        for kept in file(&[b"one"]).len()..bytes.len() {
            assert_eq!(find(&bytes[..kept]).contents, [b"one"], "{kept}");
        }
    }

    #[test]
    fn one_bad_byte_costs_one_block() {
        let bytes = file(&[b"one", b"two", b"three"]);
        for place in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[place] ^= 0x40;
            assert_eq!(find(&bad).contents.len(), 2, "{place}");
            assert!(find(&bad).damaged >= HEAD_BYTES + 3);
        }
    }

    #[test]
    fn false_heads_without_number_end_the_search() {
        let mut bytes = MAGIC.repeat(10 * FALSE_HEADS_MAX);
        push(&mut bytes, b"behind");
        assert_eq!(find(&bytes), Found { contents: vec![], damaged: bytes.len() });
    }

    proptest! {
        #[test]
        fn any_bytes_are_searched_and_accounted_for(
            before in proptest::collection::vec(any::<u8>(), 0..64),
            content in proptest::collection::vec(any::<u8>(), 0..64),
            after in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut bytes = before;
            push(&mut bytes, &content);
            bytes.extend_from_slice(&after);
            let found = find(&bytes);
            prop_assert!(found.contents.iter().any(|c| *c == content));
            let whole: usize = found.contents.iter().map(|c| c.len() + HEAD_BYTES).sum();
            prop_assert_eq!(whole + found.damaged, bytes.len());
        }
    }
}
