//! Which templates call which, and how deep: the HTML analysis recurses along these calls.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    TemplateError,
    ast::Node,
    limits,
    set::{Program, Set},
};

/// The templates that a list of nodes calls.
pub fn called(nodes: &[Node]) -> Vec<Arc<str>> {
    calls(nodes).into_iter().map(|call| call.name).collect()
}

struct Call {
    name: Arc<str>,
    /// Blocks around the call.
    depth: usize,
}

fn calls(nodes: &[Node]) -> Vec<Call> {
    let mut found = Vec::new();
    collect(nodes, 1, &mut found);
    found
}

/// Recurses as deep as the parser lets blocks nest.
fn collect(nodes: &[Node], depth: usize, found: &mut Vec<Call>) {
    for node in nodes {
        match node {
            Node::Template { name, .. } => found.push(Call { name: Arc::clone(name), depth }),
            Node::If(branch) | Node::With(branch) | Node::Range(branch) => {
                collect(&branch.body, depth + 1, found);
                collect(branch.otherwise.as_deref().unwrap_or(&[]), depth + 1, found);
            }
            Node::Text { .. } | Node::Action(_) | Node::Break(_) | Node::Continue(_) => {}
        }
    }
}

/// Whether the text around the actions, which may be a script, has a backquote.
fn has_backquote(nodes: &[Node]) -> bool {
    nodes.iter().any(|node| match node {
        Node::Text { text } => text.contains('`'),
        Node::If(branch) | Node::With(branch) | Node::Range(branch) => {
            has_backquote(&branch.body) || has_backquote(branch.otherwise.as_deref().unwrap_or(&[]))
        }
        Node::Action(_) | Node::Template { .. } | Node::Break(_) | Node::Continue(_) => false,
    })
}

/// Refuses what the analysis could not follow: chains of calls that are too long, and recursion around script
/// template literals, for which there is no end of different contexts.
pub fn check(set: &Set, program: &Program) -> Result<(), TemplateError> {
    let mut walk =
        Walk { set, program, depths: HashMap::new(), open: HashSet::new(), recursive: false, literals: false };
    walk.visit("", 0)?;
    if walk.recursive && walk.literals {
        return Err(TemplateError::new(
            "html/template: templates that call themselves may not contain backquotes: their context cannot be computed",
        ));
    }
    Ok(())
}

struct Walk<'a> {
    set: &'a Set,
    program: &'a Program,
    /// The greatest depth at which a template has been visited.
    depths: HashMap<Arc<str>, usize>,
    open: HashSet<Arc<str>>,
    recursive: bool,
    literals: bool,
}

impl Walk<'_> {
    fn visit(&mut self, name: &str, depth: usize) -> Result<(), TemplateError> {
        let Some(tree) = self.program.find(self.set, name) else {
            return Ok(());
        };
        if self.depths.get(name).is_some_and(|seen| *seen >= depth) {
            return Ok(());
        }
        if depth > limits::HTML_CHAIN_MAX {
            return Err(TemplateError::new(format!(
                "html/template: templates call each other more than {} levels deep",
                limits::HTML_CHAIN_MAX
            )));
        }
        let name: Arc<str> = Arc::from(name);
        self.depths.insert(Arc::clone(&name), depth);
        self.literals |= has_backquote(&tree.root);
        self.open.insert(Arc::clone(&name));
        for call in calls(&tree.root) {
            if self.open.contains(&call.name) {
                self.recursive = true;
            } else {
                self.visit(&call.name, depth + call.depth)?;
            }
        }
        self.open.remove(&name);
        Ok(())
    }
}
