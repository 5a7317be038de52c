//! Label sets of groups as bytes: each name and value behind its length.

use crate::alert::Labels;

/// Larger label sets are left out of the record; the alert keeps its fingerprint.
pub const LABELS_BYTES_MAX: usize = 8 << 10;

/// Appends the pairs. `false`: they are too large, and nothing was written.
pub fn write(labels: &Labels, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    for (name, value) in labels.iter() {
        if out.len() - start + name.len() + value.len() > LABELS_BYTES_MAX {
            out.truncate(start);
            return false;
        }
        push(out, name);
        push(out, value);
    }
    true
}

fn push(out: &mut Vec<u8>, text: &str) {
    let length = text.len();
    // Below LABELS_BYTES_MAX two groups of seven bits are enough.
    if length >= 0x80 {
        out.push(u8::try_from(length & 0x7F).unwrap_or(0) | 0x80);
    }
    out.push(u8::try_from(if length >= 0x80 { length >> 7 } else { length }).unwrap_or(0));
    out.extend_from_slice(text.as_bytes());
}

/// The pairs as they were written; ends where the bytes make no sense.
#[derive(Clone, Copy, Debug)]
pub struct Pairs<'a>(pub &'a [u8]);

impl<'a> Pairs<'a> {
    fn text(&mut self) -> Option<&'a str> {
        let (first, mut rest) = self.0.split_first()?;
        let mut length = usize::from(*first);
        if length >= 0x80 {
            let (second, behind) = rest.split_first()?;
            length = (length & 0x7F) | usize::from(*second) << 7;
            rest = behind;
        }
        let (text, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    /// `None` if the bytes are not all pairs.
    #[must_use]
    pub fn labels(mut self) -> Option<Labels> {
        let pairs: Vec<(&str, &str)> = self.by_ref().collect();
        self.0.is_empty().then(|| Labels::from_pairs(pairs))
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let mut behind = *self;
        let pair = (behind.text()?, behind.text()?);
        *self = behind;
        Some(pair)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_set_that_is_too_large_is_left_out() {
        let labels: Labels = [("a", "x".repeat(LABELS_BYTES_MAX))].into_iter().collect();
        let mut out = vec![1];
        assert!(!write(&labels, &mut out) && write(&Labels::default(), &mut out));
        assert_eq!(out, [1]);
    }

    proptest! {
        #[test]
        fn a_set_comes_back(pairs in proptest::collection::vec((".{0,20}", ".{0,200}"), 0..8)) {
            let labels = Labels::from_pairs(pairs);
            let mut bytes = Vec::new();
            prop_assert!(write(&labels, &mut bytes));
            prop_assert_eq!(Pairs(&bytes).labels().unwrap(), labels);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Pairs(&bytes).labels();
        }
    }
}
