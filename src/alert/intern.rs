//! One copy of texts that many alerts share.

use std::{collections::HashMap, hash::BuildHasherDefault, sync::Arc};

use xxhash_rust::xxh64::xxh64;

use super::labels::{FingerprintHasher, Labels, Names};

/// Beyond this the texts plainly are not shared, and remembering them costs more than it saves.
const TEXTS_MAX: usize = 10_000;

/// Room for working that is kept from one set to the next.
const SCRATCH_KEPT: usize = 64 << 10;

type ByHash<T> = HashMap<u64, Arc<T>, BuildHasherDefault<FingerprintHasher>>;

/// Gives equal texts one home. The alerts of a rule have one generator URL and the same names of labels, and there
/// may be thousands of them.
#[derive(Debug, Default)]
pub struct Interner {
    /// By hash; of two with the same one the newer is remembered.
    texts: ByHash<str>,
    /// By a sketch of them, in the same way.
    names: ByHash<Names>,
    scratch: String,
}

impl Interner {
    /// The shared copy of `text`.
    pub fn share(&mut self, text: &str) -> Arc<str> {
        let hash = xxh64(text.as_bytes(), 0);
        if let Some(known) = self.texts.get(&hash).filter(|known| ***known == *text) {
            return Arc::clone(known);
        }
        if self.texts.len() >= TEXTS_MAX {
            self.texts.clear();
        }
        let fresh: Arc<str> = Arc::from(text);
        self.texts.insert(hash, Arc::clone(&fresh));
        fresh
    }

    /// A set of labels that shares its names; from pairs as [`Labels::from_sorted`] takes them.
    pub fn labels<N: AsRef<str>, V: AsRef<str>>(&mut self, pairs: &[(N, V)]) -> Labels {
        let names = self.names_of(pairs);
        let labels = Labels::with_names(names, pairs, &mut self.scratch);
        if self.scratch.capacity() > SCRATCH_KEPT {
            self.scratch = String::new();
        }
        labels
    }

    /// The same set, sharing its names.
    pub fn share_names(&mut self, labels: &Labels) -> Labels {
        let pairs: Vec<_> = labels.iter().collect();
        labels.renamed(self.names_of(&pairs))
    }

    fn names_of<N: AsRef<str>, V>(&mut self, pairs: &[(N, V)]) -> Arc<Names> {
        let sketch = Names::sketch_of(pairs);
        if let Some(known) = self.names.get(&sketch).filter(|names| names.are_of(pairs)) {
            return Arc::clone(known);
        }
        if self.names.len() >= TEXTS_MAX {
            self.names.clear();
        }
        let fresh = Arc::new(Names::of(pairs));
        self.names.insert(sketch, Arc::clone(&fresh));
        fresh
    }

    /// Drops texts that nobody uses any more.
    pub fn sweep(&mut self) {
        self.texts.retain(|_, text| Arc::strong_count(text) > 1);
        self.names.retain(|_, names| Arc::strong_count(names) > 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_share_one_copy_while_someone_uses_it() {
        let mut texts = Interner::default();
        let (a, b) = (texts.share("http://p/"), texts.share("http://p/"));
        assert!(Arc::ptr_eq(&a, &b));
        drop((a, b));
        texts.sweep();
        assert!(texts.texts.is_empty());
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut texts = Interner::default();
        for i in 0..TEXTS_MAX + 10 {
            texts.share(&i.to_string());
        }
        assert!(texts.texts.len() <= TEXTS_MAX);
        for i in 0..TEXTS_MAX + 10 {
            texts.labels(&[(i.to_string(), "")]);
        }
        assert!(texts.names.len() <= TEXTS_MAX);
    }

    #[test]
    fn sets_with_the_same_names_share_them_whatever_else_they_hold() {
        let mut texts = Interner::default();
        // The last two have one sketch.
        let sets = [vec![("axb", "1")], vec![("axb", "2")], vec![("ayb", "3")], vec![("axb", "4")], vec![]];
        let made: Vec<Labels> = sets.iter().map(|pairs| texts.labels(pairs)).collect();
        for (pairs, made) in sets.iter().zip(&made) {
            assert_eq!(*made, Labels::from_sorted(pairs));
            assert_eq!(texts.share_names(made), *made);
        }
        assert_eq!(texts.names.len(), 2);
    }
}
