//! What a file (or an answer) has said already. It knows the latest only: what it has forgotten is said again, which
//! costs bytes and nothing else, and to remember costs one look at one place.

use std::sync::Arc;

use xxhash_rust::xxh64::Xxh64;

use crate::alert::{Fingerprint, Labels};

/// Label sets and groups that are remembered. Powers of two: few enough to stay in the processor's cache, and enough that
/// ten thousand alerts are mostly said once in a file: to say a set again costs more than to look for it.
const SETS: usize = 1 << 15;
const GROUPS: usize = 1 << 12;
const NAMES: usize = 1 << 9;
/// An empty place; this number is never known. Not 0, so that the memory is there from the start and not fetched from the
/// system page by page when notifications go out.
const NOTHING: u64 = u64::MAX;
/// Names that are known again without a look at their text.
const RECENT: usize = 8;

#[derive(Debug)]
pub struct Said {
    sets: Numbers,
    groups: Groups,
    names: Numbers,
    /// Sets with such names, and the numbers of these. Oldest first.
    recent: Vec<(Labels, u64)>,
}

/// Numbers that are hashes, each at the one place where it may be.
#[derive(Debug)]
struct Numbers {
    places: Vec<u64>,
}

impl Numbers {
    fn new(size: usize) -> Self {
        Numbers { places: vec![NOTHING; size] }
    }

    /// Whether it is not known; it is from here on.
    fn is_new(&mut self, number: u64) -> bool {
        let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let place = usize::try_from(spread).unwrap_or(0) & (self.places.len() - 1);
        let Some(place) = self.places.get_mut(place) else { return true };
        std::mem::replace(place, number) != number || number == NOTHING
    }
}

/// What names a group: its key, its receiver, its route.
pub type GroupTexts = [Arc<str>; 3];

/// Groups, each at the one place where it may be. A group hands over the very same texts each time: a look at where they
/// are in memory tells that it is known.
#[derive(Debug)]
struct Groups {
    places: Vec<Option<(GroupTexts, u64)>>,
}

impl Groups {
    /// Its number, and whether it is not known; it is from here on.
    fn number(&mut self, texts: [&Arc<str>; 3]) -> (u64, bool) {
        let [key, ..] = texts;
        let spread = (key.as_ptr().addr() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let place = usize::try_from(spread).unwrap_or(0) & (self.places.len() - 1);
        let Some(place) = self.places.get_mut(place) else { return (number_of(texts), true) };
        if let Some((known, number)) = place
            && known.iter().zip(texts).all(|(known, text)| Arc::ptr_eq(known, text))
        {
            return (*number, false);
        }
        let number = number_of(texts);
        *place = Some((texts.map(Arc::clone), number));
        (number, true)
    }
}

fn number_of(texts: [&Arc<str>; 3]) -> u64 {
    let mut hash = Xxh64::new(0);
    for text in texts {
        hash.update(text.as_bytes());
        hash.update(&[0xFF]);
    }
    hash.digest()
}

impl Default for Said {
    fn default() -> Self {
        let groups = Groups { places: vec![None; GROUPS] };
        Said { sets: Numbers::new(SETS), groups, names: Numbers::new(NAMES), recent: Vec::new() }
    }
}

impl Said {
    pub fn clear(&mut self) {
        self.sets.places.fill(NOTHING);
        self.groups.places.fill(None);
        self.forget_names();
    }

    /// Names are said in every block: without them nearly all sets of a file would be lost with one block.
    pub fn forget_names(&mut self) {
        self.names.places.fill(NOTHING);
        self.recent.clear();
    }

    pub fn is_new_set(&mut self, fingerprint: Fingerprint) -> bool {
        self.sets.is_new(fingerprint.0)
    }

    /// A number for a group, and whether it is new.
    pub fn group(&mut self, texts: [&Arc<str>; 3]) -> (u64, bool) {
        self.groups.number(texts)
    }

    /// A number for the names of a set, and whether they are new.
    pub fn names(&mut self, labels: &Labels) -> (u64, bool) {
        if let Some((_, number)) = self.recent.iter().rev().find(|(known, _)| known.shares_names(labels)) {
            return (*number, false);
        }
        let mut hash = Xxh64::new(0);
        for name in labels.names() {
            hash.update(name.as_bytes());
            hash.update(&[0xFF]);
        }
        let number = hash.digest();
        if self.recent.len() == RECENT {
            self.recent.remove(0);
        }
        self.recent.push((labels.clone(), number));
        (number, self.names.is_new(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_not_new_until_all_is_forgotten() {
        let mut said = Said::default();
        let sets = [0, 1].map(Fingerprint);
        assert_eq!(sets.map(|set| said.is_new_set(set)), [true; 2]);
        assert_eq!(sets.map(|set| said.is_new_set(set)), [false; 2]);
        let [key, receiver, route] = ["key", "receiver", "route"].map(Arc::<str>::from);
        let (number, is_new) = said.group([&key, &receiver, &route]);
        assert!(is_new && said.group([&key, &receiver, &route]) == (number, false));
        said.clear();
        assert!(said.is_new_set(sets[0]) && said.group([&key, &receiver, &route]) == (number, true));
    }

    #[test]
    fn groups_are_known_by_their_place_in_memory_and_numbered_by_their_text() {
        let mut said = Said::default();
        let text = Arc::<str>::from;
        let group = [text("k"), text("r"), text("{}")];
        let (number, _) = said.group(group.each_ref());
        // The same texts elsewhere in memory, as after a restart: said again, under the same number.
        let again = [text("k"), text("r"), text("{}")];
        assert_eq!(said.group(again.each_ref()), (number, true));
        // One other text makes it another group.
        for place in 0..3 {
            let mut other = again.clone();
            other[place] = text("other");
            let (found, is_new) = said.group(other.each_ref());
            assert!(found != number && is_new, "{place}");
        }
        let parts = [text("kr"), text(""), text("{}")];
        assert_ne!(said.group(parts.each_ref()).0, number);
    }

    #[test]
    fn the_number_of_an_empty_place_is_always_new() {
        let mut said = Said::default();
        let set = Fingerprint(NOTHING);
        assert!(said.is_new_set(set) && said.is_new_set(set));
    }

    #[test]
    fn names_are_known_by_their_text() {
        let mut said = Said::default();
        let set = |names: &[&str]| Labels::from_pairs(names.iter().map(|name| (*name, "x")));
        let (number, is_new) = said.names(&set(&["a", "bc"]));
        assert!(is_new);
        assert_eq!(said.names(&set(&["a", "bc"])), (number, false));
        assert!(said.names(&set(&["ab", "c"])).1 && said.names(&set(&["a"])).1 && said.names(&set(&[])).1);
        for other in 0..2 * RECENT {
            said.names(&set(&[&*format!("n{other}")]));
        }
        assert_eq!(said.names(&set(&["a", "bc"])), (number, false));
        said.forget_names();
        assert_eq!(said.names(&set(&["a", "bc"])), (number, true));
    }
}
