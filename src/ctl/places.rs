//! Where things stand in a YAML file: each key and list element with its path, its line and its value.

use crate::config::yaml::{Kind, NodeId, Tree};

/// Aliases can make a small file large.
const PLACES_MAX: usize = 200_000;
const DEPTH_MAX: usize = 128;

/// One key of a map or one element of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `route.routes[0].receiver`.
    pub path: String,
    /// Empty for an element of a list.
    pub key: String,
    /// Empty for maps and lists.
    pub value: String,
    pub line: u32,
}

/// All places of a text, from the top; none if it is no YAML.
pub fn places(text: &str) -> Vec<Place> {
    let mut found = Vec::new();
    if let Ok(tree) = Tree::parse(text)
        && let Some(root) = tree.root()
    {
        walk(&tree, root, "", 0, &mut found);
    }
    found
}

fn walk(tree: &Tree, id: NodeId, path: &str, depth: usize, found: &mut Vec<Place>) {
    if depth > DEPTH_MAX {
        return;
    }
    match tree.kind(id) {
        Kind::Map(entries) => {
            for (key, value) in entries {
                let name = scalar(tree, *key);
                let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                note(tree, *value, below, name, tree.line(*key), depth, found);
            }
        }
        Kind::List(items) => {
            for (index, item) in items.iter().enumerate() {
                note(tree, *item, format!("{path}[{index}]"), String::new(), tree.line(*item), depth, found);
            }
        }
        Kind::Alias(target) => walk(tree, *target, path, depth + 1, found),
        Kind::Scalar { .. } => {}
    }
}

fn note(tree: &Tree, id: NodeId, path: String, key: String, line: u32, depth: usize, found: &mut Vec<Place>) {
    if found.len() < PLACES_MAX {
        found.push(Place { path: path.clone(), key, value: scalar(tree, id), line });
        walk(tree, id, &path, depth + 1, found);
    }
}

fn scalar(tree: &Tree, id: NodeId) -> String {
    match tree.kind(id) {
        Kind::Scalar { text, .. } => text.to_string(),
        _ => String::new(),
    }
}

/// The line of a path.
pub fn line_of(places: &[Place], path: &str) -> Option<u32> {
    places.iter().find(|place| place.path == path).map(|place| place.line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_elements_have_paths_and_lines() {
        let found = places("route:\n  receiver: r\n  routes:\n  - {receiver: x}\n");
        let shown: Vec<_> = found.iter().map(|p| (p.path.as_str(), p.value.as_str(), p.line)).collect();
        assert_eq!(
            shown,
            [
                ("route", "", 1),
                ("route.receiver", "r", 2),
                ("route.routes", "", 3),
                ("route.routes[0]", "", 4),
                ("route.routes[0].receiver", "x", 4),
            ]
        );
        assert_eq!(line_of(&found, "route.routes[0]"), Some(4));
        assert_eq!(places("a: ["), []);
    }

    #[test]
    fn an_alias_within_itself_ends() {
        assert!(places("a: &a\n  b: *a\n").len() < 2 * DEPTH_MAX);
    }
}
