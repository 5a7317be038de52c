//! Which rules can concern a label set at all.

use std::collections::HashMap;

use crate::alert::{
    Labels,
    matcher::{Literals, Matcher},
};

/// One side of all rules. A rule stands under each value that one of its matchers requires of a label;
/// rules without such a matcher are candidates for every alert.
#[derive(Debug, Default)]
pub(super) struct Index {
    by_name: Vec<(Box<str>, ByValue)>,
    /// Ascending.
    everywhere: Vec<usize>,
}

/// The rules under each value of one label, ascending.
type ByValue = HashMap<Box<str>, Vec<usize>>;

impl Index {
    pub(super) fn new<'a>(rules: impl Iterator<Item = &'a [Matcher]>) -> Self {
        let rules: Vec<&[Matcher]> = rules.collect();
        let crowd = crowding(&rules);
        let mut index = Index::default();
        for (number, matchers) in rules.iter().enumerate() {
            match matchers.iter().filter(|m| requirement(m).is_some()).min_by_key(|m| cost(m, &crowd)) {
                Some(matcher) => index.add(matcher, number),
                None => index.everywhere.push(number),
            }
        }
        index
    }

    fn add(&mut self, matcher: &Matcher, rule: usize) {
        let place = self.by_name.iter().position(|(name, _)| **name == *matcher.name()).unwrap_or_else(|| {
            self.by_name.push((matcher.name().into(), ByValue::new()));
            self.by_name.len() - 1
        });
        let Some((_, values)) = self.by_name.get_mut(place) else { return };
        for value in requirement(matcher).into_iter().flat_map(Literals::iter) {
            values.entry(value.into()).or_default().push(rule);
        }
    }

    /// Calls `visit` with every rule that can concern `labels`, ascending, until it returns false.
    pub(super) fn for_each(&self, labels: &Labels, mut visit: impl FnMut(usize) -> bool) {
        let mut lists: Vec<&[usize]> = Vec::with_capacity(self.by_name.len() + 1);
        for (name, values) in &self.by_name {
            lists.extend(values.get(labels.get(name).unwrap_or("")).map(Vec::as_slice));
        }
        lists.push(&self.everywhere);
        // A rule stands in one list only, so merging them by the least head visits each once, in order.
        while let Some(list) = lists.iter_mut().filter(|list| !list.is_empty()).min_by_key(|list| list[0]) {
            let rule = list[0];
            *list = &list[1..];
            if !visit(rule) {
                return;
            }
        }
    }
}

/// The values that a label must have, one of them, if the matcher names them.
fn requirement(matcher: &Matcher) -> Option<Literals<'_>> {
    matcher.literals()
}

/// How many rules would stand under each name and value.
fn crowding<'a>(rules: &[&'a [Matcher]]) -> HashMap<(&'a str, &'a str), usize> {
    let mut crowd = HashMap::new();
    for matcher in rules.iter().flat_map(|matchers| matchers.iter()) {
        for value in requirement(matcher).into_iter().flat_map(Literals::iter) {
            *crowd.entry((matcher.name(), value)).or_default() += 1;
        }
    }
    crowd
}

/// The crowd that a look-up would meet if the rule stood under this matcher's values.
fn cost(matcher: &Matcher, crowd: &HashMap<(&str, &str), usize>) -> usize {
    requirement(matcher)
        .into_iter()
        .flat_map(Literals::iter)
        .map(|value| crowd.get(&(matcher.name(), value)).copied().unwrap_or(0))
        .max()
        .unwrap_or(0)
}
