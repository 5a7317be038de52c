//! What a file (or an answer) has said already. It knows the latest only: what it has forgotten is said again, which
//! costs bytes and nothing else, and to remember costs one look at one place.

use std::sync::Arc;

use xxhash_rust::xxh64::Xxh64;

use super::model::Group;
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

/// Groups, each at the one place where it may be. Whoever decides hands over the very same group and receiver each time:
/// a look at where they are in memory tells that they are known, without a look at their texts.
#[derive(Debug)]
struct Groups {
    places: Vec<Option<Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    group: Arc<Group>,
    receiver: Arc<str>,
    number: u64,
}

impl Groups {
    /// Its number, and whether it is not known; it is from here on.
    fn number(&mut self, group: &Arc<Group>, receiver: &Arc<str>) -> (u64, bool) {
        let spread = (Arc::as_ptr(group).addr() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let place = usize::try_from(spread).unwrap_or(0) & (self.places.len() - 1);
        let Some(place) = self.places.get_mut(place) else { return (number_of(group, receiver), true) };
        if let Some(known) = place
            && Arc::ptr_eq(&known.group, group)
            && Arc::ptr_eq(&known.receiver, receiver)
        {
            return (known.number, false);
        }
        let number = number_of(group, receiver);
        *place = Some(Known { group: Arc::clone(group), receiver: Arc::clone(receiver), number });
        (number, true)
    }
}

fn number_of(group: &Group, receiver: &str) -> u64 {
    let mut hash = Xxh64::new(0);
    for text in [&group.key, receiver, &group.route] {
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
    pub fn group(&mut self, group: &Arc<Group>, receiver: &Arc<str>) -> (u64, bool) {
        self.groups.number(group, receiver)
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
        let (group, receiver) = (group("key", "route"), Arc::from("receiver"));
        let (number, is_new) = said.group(&group, &receiver);
        assert!(is_new && said.group(&group, &receiver) == (number, false));
        said.clear();
        assert!(said.is_new_set(sets[0]) && said.group(&group, &receiver) == (number, true));
    }

    fn group(key: &str, route: &str) -> Arc<Group> {
        Arc::new(Group { key: key.into(), labels: Labels::default(), route: route.into() })
    }

    #[test]
    fn groups_are_known_by_their_place_in_memory_and_numbered_by_their_text() {
        let mut said = Said::default();
        let receiver: Arc<str> = "r".into();
        let (number, _) = said.group(&group("k", "{}"), &receiver);
        // The same texts elsewhere in memory, as after a reload: said again, under the same number.
        let again = group("k", "{}");
        assert_eq!(said.group(&again, &receiver), (number, true));
        assert_eq!(said.group(&again, &receiver), (number, false));
        // One other text makes it another group.
        let others =
            [(group("other", "{}"), "r"), (group("k", "other"), "r"), (again, "other"), (group("kr", "{}"), "")];
        for (other, receiver) in others {
            let (found, is_new) = said.group(&other, &receiver.into());
            assert!(found != number && is_new, "{other:?} {receiver}");
        }
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
