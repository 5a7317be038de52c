//! The routing tree: which routes an alert takes.
//!
//! Walked once for each alert; the answer is remembered by fingerprint until the alert is forgotten or the
//! configuration changes (each configuration has a router of its own). Alerts with the same answer share it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    alert::{
        Fingerprint, FingerprintMap, Labels,
        matcher::{Matcher, Matchers},
    },
    config::model::Route,
};

/// From this many children on, a node looks them up by value instead of trying each.
const INDEX_FROM: usize = 8;

/// Place of a route in the depth-first order of its tree, root first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteIndex(pub u32);

#[derive(Debug)]
struct Node {
    index: RouteIndex,
    matchers: Matchers,
    continue_: bool,
    children: Vec<Node>,
    by_value: Option<ByValue>,
}

/// Children that can only match one of a few values of one label, by value.
#[derive(Debug)]
struct ByValue {
    label: Box<str>,
    /// Places in `children`, ascending.
    places: HashMap<Box<str>, Vec<usize>>,
    /// Places of the children that have to be tried in any case, ascending.
    rest: Vec<usize>,
}

/// See the module's head.
#[derive(Debug)]
pub struct Router {
    root: Node,
    routes: Vec<Arc<Route>>,
    known: Mutex<Known>,
}

/// Where an alert goes.
#[derive(Debug)]
pub struct Paths {
    /// In tree order; never empty.
    pub routes: Box<[RouteIndex]>,
    /// The names of their receivers, repetitions included.
    pub receivers: Arc<[Arc<str>]>,
}

#[derive(Debug, Default)]
struct Known {
    by_alert: FingerprintMap<Arc<Paths>>,
    /// Each answer once, by its routes.
    answers: HashMap<Box<[RouteIndex]>, Arc<Paths>>,
}

impl Router {
    #[must_use]
    pub fn new(root: &Arc<Route>) -> Self {
        let mut routes = Vec::new();
        let root = Node::new(root, &mut routes);
        Router { root, routes, known: Mutex::default() }
    }

    /// All routes, in the order of their indices.
    #[must_use]
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// Where a known or new alert goes.
    pub fn paths_of(&self, fingerprint: Fingerprint, labels: &Labels) -> Arc<Paths> {
        if let Some(paths) = self.lock().by_alert.get(&fingerprint) {
            return paths.clone();
        }
        // Matching may be slow (regular expressions): not under the lock.
        let routes: Box<[RouteIndex]> = self.walk(labels).into();
        let mut known = self.lock();
        let paths = known.answers.get(&routes).cloned().unwrap_or_else(|| {
            let paths = Arc::new(self.paths(routes.clone()));
            known.answers.insert(routes, paths.clone());
            paths
        });
        known.by_alert.insert(fingerprint, paths.clone());
        paths
    }

    fn paths(&self, routes: Box<[RouteIndex]>) -> Paths {
        let receiver = |index: &RouteIndex| self.routes.get(index.0 as usize).map(|route| route.receiver.clone());
        let receivers = routes.iter().filter_map(receiver).collect();
        Paths { routes, receivers }
    }

    /// Walks the tree without remembering.
    #[must_use]
    pub fn walk(&self, labels: &Labels) -> Vec<RouteIndex> {
        let mut found = Vec::new();
        if !self.root.walk(labels, &mut found) {
            // A root that has matchers of its own is refused by the configuration; it is the last resort.
            found.push(self.root.index);
        }
        found
    }

    /// The alert does not exist any more.
    pub fn forget(&self, fingerprints: &[Fingerprint]) {
        let mut known = self.lock();
        for fingerprint in fingerprints {
            known.by_alert.remove(fingerprint);
        }
        if known.by_alert.is_empty() {
            *known = Known::default();
        }
    }

    /// Gives back the memory of many alerts that are gone.
    pub fn shrink(&self) {
        let mut known = self.lock();
        if known.by_alert.capacity() > 4 * known.by_alert.len().max(64) {
            let wanted = 2 * known.by_alert.len();
            known.by_alert.shrink_to(wanted);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Every change is one call on a map.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    fn new(route: &Arc<Route>, routes: &mut Vec<Arc<Route>>) -> Self {
        let index = RouteIndex(u32::try_from(routes.len()).unwrap_or(u32::MAX));
        routes.push(route.clone());
        let children: Vec<Node> = route.routes.iter().map(|child| Node::new(child, routes)).collect();
        let by_value = ByValue::new(&children);
        Node { index, matchers: route.matchers.clone(), continue_: route.continue_, children, by_value }
    }

    /// Appends the routes below and including this node; returns whether there is any.
    fn walk(&self, labels: &Labels, found: &mut Vec<RouteIndex>) -> bool {
        if !self.matchers.matches(labels) {
            return false;
        }
        let before = found.len();
        match &self.by_value {
            None => {
                for child in &self.children {
                    if child.walk(labels, found) && !child.continue_ {
                        break;
                    }
                }
            }
            Some(index) => {
                for child in index.candidates(labels).filter_map(|place| self.children.get(place)) {
                    if child.walk(labels, found) && !child.continue_ {
                        break;
                    }
                }
            }
        }
        if found.len() == before {
            found.push(self.index);
        }
        true
    }
}

impl ByValue {
    /// By the label that most children name with known values; `None` if that is not worth it.
    fn new(children: &[Node]) -> Option<Self> {
        if children.len() < INDEX_FROM {
            return None;
        }
        let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
        for child in children {
            let mut names: Vec<&str> =
                child.matchers.iter().filter(|m| m.literals().is_some()).map(Matcher::name).collect();
            names.dedup();
            for name in names {
                *uses.entry(name).or_default() += 1;
            }
        }
        let (label, count) = uses.into_iter().max_by_key(|(_, count)| *count)?;
        if count < INDEX_FROM {
            return None;
        }
        let label: Box<str> = label.into();
        let mut index = ByValue { label, places: HashMap::new(), rest: Vec::new() };
        for (place, child) in children.iter().enumerate() {
            index.add(place, child);
        }
        Some(index)
    }

    fn add(&mut self, place: usize, child: &Node) {
        let values = child.matchers.iter().filter(|m| *m.name() == *self.label).find_map(Matcher::literals);
        let Some(values) = values else {
            self.rest.push(place);
            return;
        };
        for value in values.iter() {
            self.places.entry(value.into()).or_default().push(place);
        }
    }

    /// Places of the children that may match, ascending.
    fn candidates(&self, labels: &Labels) -> impl Iterator<Item = usize> {
        let value = labels.get(&self.label).unwrap_or("");
        let named: &[usize] = self.places.get(value).map_or(&[], Vec::as_slice);
        let (mut named, mut rest) = (named.iter().copied().peekable(), self.rest.iter().copied().peekable());
        std::iter::from_fn(move || match (named.peek(), rest.peek()) {
            (Some(a), Some(b)) if b < a => rest.next(),
            (Some(_), _) => named.next(),
            (None, _) => rest.next(),
        })
    }
}

/// The labels that name an alert's group on this route, as a fingerprint and as a set.
#[must_use]
pub fn group_fingerprint(route: &Route, labels: &Labels) -> Fingerprint {
    crate::alert::fingerprint_of(labels.iter().filter(|(name, _)| groups_by(route, name)))
}

#[must_use]
pub fn group_labels(route: &Route, labels: &Labels) -> Labels {
    if route.group_by_all { labels.clone() } else { labels.restricted(|name| groups_by(route, name)) }
}

fn groups_by(route: &Route, name: &str) -> bool {
    route.group_by_all || route.group_by.iter().any(|by| by == name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::alert::matcher::{ParseMode, parse_matchers};

    /// `(matchers, continue, children)`; a route is named by its place: `0`, `0.1` …
    struct Sketch(&'static str, bool, Vec<Sketch>);

    fn build(name: &str, Sketch(matchers, continue_, children): &Sketch) -> Arc<Route> {
        let child = |(place, sketch): (usize, &Sketch)| {
            let name = if name.is_empty() { place.to_string() } else { format!("{name}.{place}") };
            build(&name, sketch)
        };
        Arc::new(Route {
            receiver: name.into(),
            group_by: vec!["zone".to_owned()],
            group_by_all: false,
            matchers: Matchers::new(parse_matchers(ParseMode::Utf8, matchers).unwrap()),
            continue_: *continue_,
            group_wait: std::time::Duration::ZERO,
            group_interval: std::time::Duration::ZERO,
            repeat_interval: std::time::Duration::ZERO,
            mute_time_intervals: vec![],
            active_time_intervals: vec![],
            labels: BTreeMap::new(),
            routes: children.iter().enumerate().map(child).collect(),
            key: name.into(),
            id: name.into(),
        })
    }

    fn leaf(matchers: &'static str) -> Sketch {
        Sketch(matchers, false, vec![])
    }

    fn receivers(router: &Router, pairs: &[(&str, &str)]) -> Vec<String> {
        let labels: Labels = pairs.iter().copied().collect();
        let paths = router.paths_of(labels.fingerprint(), &labels);
        paths.receivers.iter().map(|name| (**name).to_owned()).collect()
    }

    #[test]
    fn the_example_of_the_reference() {
        let a = Sketch(r#"a="1""#, true, vec![Sketch(r#"b="1""#, true, vec![]), leaf(r#"c="1""#), leaf(r#"c="1""#)]);
        let rest = [r#"a="1",d="1""#, r#"a=~"1|2""#, r#"e="""#, r#"f!="x""#].map(leaf);
        let router = Router::new(&build("", &Sketch("", false, std::iter::once(a).chain(rest).collect())));
        let table = [
            ("a=1", "0 2"),
            ("a=1 b=1", "0.0 2"),
            ("a=1 b=1 c=1", "0.0 0.1 2"),
            ("a=1 d=1", "0 1"),
            ("a=2", "2"),
            ("z=1", "3"),
            ("e=1", "4"),
            ("e=1 f=x", ""),
        ];
        for (labels, want) in table {
            let pairs: Vec<(&str, &str)> = labels.split(' ').filter_map(|pair| pair.split_once('=')).collect();
            assert_eq!(receivers(&router, &pairs).join(" "), want, "{labels}");
            assert_eq!(receivers(&router, &pairs).join(" "), want, "remembered: {labels}");
        }
    }

    #[test]
    fn forgetting_the_last_alert_forgets_all_answers() {
        let router = Router::new(&build("", &leaf("")));
        let labels: Labels = [("a", "1")].into_iter().collect();
        router.paths_of(labels.fingerprint(), &labels);
        router.forget(&[labels.fingerprint()]);
        assert!(router.lock().by_alert.is_empty() && router.lock().answers.is_empty());
    }

    #[test]
    fn group_labels_leave_absent_ones_out() {
        let route = build("", &leaf(""));
        let labels: Labels = [("alertname", "x"), ("zone", "z")].into_iter().collect();
        assert_eq!(group_labels(&route, &labels).iter().collect::<Vec<_>>(), [("zone", "z")]);
        assert_eq!(group_fingerprint(&route, &labels), group_labels(&route, &labels).fingerprint());
    }

    const MATCHERS: [&str; 8] =
        ["", r#"a="1""#, r#"a="2""#, r#"a="""#, r#"a=~"1|3""#, r#"a!="1""#, r#"b="1""#, r#"a=~"x.*""#];

    proptest! {
        /// With and without the index of children a node gives the same answer.
        #[test]
        fn the_index_changes_no_answer(
            children in proptest::collection::vec((0usize..MATCHERS.len(), any::<bool>()), 0..30),
            a in proptest::option::of(prop_oneof!["1", "2", "3", "x1", ""]),
            b in proptest::option::of("1|2"),
        ) {
            let sketches = children.iter().map(|(m, c)| Sketch(MATCHERS[*m], *c, vec![])).collect();
            let mut router = Router::new(&build("", &Sketch("", false, sketches)));
            let pairs = [("a", a), ("b", b)].into_iter().filter_map(|(n, v)| v.map(|v| (n, v)));
            let labels: Labels = pairs.collect();
            let indexed = router.walk(&labels);
            router.root.by_value = None;
            prop_assert_eq!(indexed, router.walk(&labels));
        }
    }
}
