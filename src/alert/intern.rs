//! One copy of texts that many alerts share.

use std::{collections::HashSet, sync::Arc};

/// Beyond this the texts plainly are not shared, and remembering them costs more than it saves.
const TEXTS_MAX: usize = 10_000;

/// Gives equal texts one home. The alerts of a rule have one generator URL, and there may be thousands of them.
#[derive(Debug, Default)]
pub struct Interner(HashSet<Arc<str>>);

impl Interner {
    /// The shared copy of `text`.
    pub fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return Arc::clone(known);
        }
        if self.0.len() >= TEXTS_MAX {
            self.0.clear();
        }
        let fresh: Arc<str> = Arc::from(text);
        self.0.insert(Arc::clone(&fresh));
        fresh
    }

    /// Drops texts that nobody uses any more.
    pub fn sweep(&mut self) {
        self.0.retain(|text| Arc::strong_count(text) > 1);
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
        assert!(texts.0.is_empty());
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut texts = Interner::default();
        for i in 0..TEXTS_MAX + 10 {
            texts.share(&i.to_string());
        }
        assert!(texts.0.len() <= TEXTS_MAX);
    }
}
