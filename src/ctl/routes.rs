//! `config routes`: the routing tree as a drawing, and where an alert goes.

use std::{collections::BTreeMap, io::Write, path::Path, sync::Arc};

use super::{
    Context,
    args::{RoutesArgs, RoutesCommand, RoutesTestArgs},
    error::CtlError,
    terminal, words,
};
use crate::{
    alert::{
        Labels,
        matcher::{MatchOp, ParseMode, parse_matcher},
    },
    config::{self, LoadOptions, Route},
};

/// # Errors
/// The configuration or a label is refused, or other receivers are found than expected.
pub async fn run(args: &RoutesArgs, context: &Context, out: &mut dyn Write) -> Result<(), CtlError> {
    let root = root(args.config_file.as_deref(), context).await?;
    match &args.command {
        RoutesCommand::Show => show(&root, out),
        RoutesCommand::Test(test) => {
            words::tell_notices(context.mode, &test.labels);
            test_labels(&root, &labels(&test.labels, context.mode)?, test, out)
        }
    }
}

/// The tree of a file, else that of the server.
async fn root(file: Option<&Path>, context: &Context) -> Result<Arc<Route>, CtlError> {
    let options = LoadOptions { mode: context.mode };
    let loaded = match file {
        Some(file) => {
            if context.has_url() {
                terminal::say("Warning: --config.file flag overrides the --alertmanager.url.");
            }
            config::load(file, &options)?
        }
        None if !context.has_url() => return Err(CtlError::NoConfig),
        None => {
            let status = context.server().await?.status().await?.value;
            config::parse(&status.config.original, Path::new(""), &options)?
        }
    };
    loaded.warnings.iter().for_each(|warning| terminal::say(&format!("Warning: {warning}")));
    Ok(Arc::clone(&loaded.config.route))
}

fn show(root: &Route, out: &mut dyn Write) -> Result<(), CtlError> {
    writeln!(out, "Routing tree:\n.")?;
    draw(&whole(root), "", true, out)?;
    writeln!(out)?;
    Ok(())
}

fn test_labels(root: &Route, labels: &Labels, args: &RoutesTestArgs, out: &mut dyn Write) -> Result<(), CtlError> {
    // The root matches everything.
    let found = matching(root, labels).unwrap_or_else(|| whole(root));
    let mut receivers = Vec::new();
    found.collect_receivers(&mut receivers);
    let resolved = receivers.join(",");
    if args.tree {
        writeln!(out, "Matching routes:\n.")?;
        draw(&found, "", true, out)?;
        writeln!(out, "\n")?;
    }
    writeln!(out, "{resolved}")?;
    if args.verify_receivers.is_empty() || args.verify_receivers == resolved {
        return Ok(());
    }
    writeln!(out, "WARNING: Expected receivers did not match resolved receivers.")?;
    Err(CtlError::Told)
}

/// Of a label given twice the last value counts.
fn labels(args: &[String], mode: ParseMode) -> Result<Labels, CtlError> {
    let mut labels = BTreeMap::new();
    for arg in args {
        let matcher = parse_matcher(mode, arg).map_err(CtlError::RouteLabel)?;
        if matcher.op() != MatchOp::Equal {
            return Err(CtlError::NotARouteLabel);
        }
        labels.insert(matcher.name().to_owned(), matcher.value().to_owned());
    }
    labels.retain(|_, value| !value.is_empty());
    Ok(Labels::from_pairs(labels))
}

/// A node of a drawing.
struct Drawn {
    line: String,
    /// Of a node at which alerts end, when only these are drawn.
    receiver: Option<String>,
    children: Vec<Drawn>,
}

impl Drawn {
    fn collect_receivers(&self, receivers: &mut Vec<String>) {
        receivers.extend(self.receiver.clone());
        for child in &self.children {
            child.collect_receivers(receivers);
        }
    }
}

fn name(route: &Route) -> String {
    if route.matchers.is_empty() { "default-route".to_owned() } else { route.matchers.to_string() }
}

fn whole(route: &Route) -> Drawn {
    let continues = if route.continue_ { "  continue: true" } else { "" };
    Drawn {
        line: format!("{}{continues}  receiver: {}", name(route), route.receiver),
        receiver: None,
        children: route.routes.iter().map(|child| whole(child)).collect(),
    }
}

/// The branches that an alert takes; `None` if it does not come here at all.
fn matching(route: &Route, labels: &Labels) -> Option<Drawn> {
    if !route.matchers.matches(labels) {
        return None;
    }
    let mut children = Vec::new();
    for child in &route.routes {
        if let Some(found) = matching(child, labels) {
            children.push(found);
            if !child.continue_ {
                break;
            }
        }
    }
    let name = name(route);
    Some(if children.is_empty() {
        let receiver = route.receiver.to_string();
        Drawn { line: format!("{name}  receiver: {receiver}"), receiver: Some(receiver), children }
    } else {
        Drawn { line: name, receiver: None, children }
    })
}

/// The nodes at which an alert ends.
pub fn targets<'r>(root: &'r Route, labels: &Labels) -> Vec<&'r Route> {
    let mut found = Vec::new();
    for child in root.routes.iter().filter(|child| child.matchers.matches(labels)) {
        found.extend(targets(child, labels));
        if !child.continue_ {
            break;
        }
    }
    if found.is_empty() { vec![root] } else { found }
}

fn draw(node: &Drawn, indent: &str, last: bool, out: &mut dyn Write) -> Result<(), CtlError> {
    let (branch, below) = if last { ("└── ", "    ") } else { ("├── ", "│   ") };
    writeln!(out, "{indent}{branch}{}", node.line)?;
    let indent = format!("{indent}{below}");
    for (index, child) in node.children.iter().enumerate() {
        draw(child, &indent, index + 1 == node.children.len(), out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::goldens::{cases, get, mode, text};

    fn shown(root: &Route) -> String {
        let mut out = Vec::new();
        show(root, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn tested(root: &Route, labels: &Labels, verify: Option<&str>) -> (String, bool) {
        let args =
            RoutesTestArgs { tree: true, verify_receivers: verify.unwrap_or_default().to_owned(), labels: Vec::new() };
        let mut out = Vec::new();
        let result = test_labels(root, labels, &args, &mut out);
        (String::from_utf8(out).unwrap(), result.is_ok())
    }

    fn root(text: &str, mode: ParseMode) -> Option<std::sync::Arc<Route>> {
        config::parse(text, Path::new("/"), &LoadOptions { mode }).ok().map(|loaded| loaded.config.route.clone())
    }

    const FILE: &str = "\
route:
  receiver: r
  routes:
  - matchers: [a=b]
    continue: true
    routes:
    - {receiver: x, matchers: ['c=~\"d|e\"']}
  - {match: {z: y}, receiver: x}
receivers: [{name: r}, {name: x}]
";

    #[test]
    fn a_tree_is_drawn() {
        let root = root(FILE, ParseMode::Fallback).unwrap();
        assert_eq!(
            shown(&root),
            "\
Routing tree:
.
└── default-route  receiver: r
    ├── {a=\"b\"}  continue: true  receiver: r
    │   └── {c=~\"d|e\"}  receiver: x
    └── {z=\"y\"}  receiver: x

"
        );
    }

    #[test]
    fn other_receivers_than_expected_are_a_failure() {
        let root = root(FILE, ParseMode::Fallback).unwrap();
        let labels = labels(&["a=b".to_owned(), "c=d".to_owned(), "z=y".to_owned()], ParseMode::Fallback).unwrap();
        assert!(tested(&root, &labels, Some("x,x")).1);
        let (text, good) = tested(&root, &labels, Some("x"));
        assert!(text.ends_with("\n\n\nx,x\nWARNING: Expected receivers did not match resolved receivers.\n"), "{text}");
        assert!(!good);
    }

    #[test]
    fn labels_are_pairs() {
        let parsed = |args: &[&str]| {
            labels(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>(), ParseMode::Fallback)
                .map(|labels| labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>())
                .map_err(|error| error.to_string())
        };
        assert_eq!(parsed(&["b=1", "a=\"x y\"", "b=2", "c="]), Ok(vec!["a=x y".to_owned(), "b=2".to_owned()]));
        assert_eq!(parsed(&["a=~b"]), Err("Labels must be specified as key=value pairs".to_owned()));
        assert!(parsed(&["a"]).unwrap_err().starts_with("Failed to parse labels: "));
    }

    #[test]
    fn recorded_trees_are_drawn_as_recorded() {
        for (file, case, golden) in cases("routes") {
            for name in &case.modes {
                let golden = get(&golden, name);
                let root = root(&case.config, mode(name));
                let drawn = root.as_ref().map_or("rejected".to_owned(), |root| shown(root).trim_end().to_owned());
                assert_eq!(drawn, text(get(golden, "show")), "{file} {name}");
                let Some(root) = root else { continue };
                for (case_name, pairs) in &case.labels {
                    let labels = Labels::from_pairs(pairs.iter().filter(|(_, value)| !value.is_empty()));
                    let expected = get(get(golden, "test"), case_name);
                    if text(expected) == "rejected" {
                        continue;
                    }
                    let expected =
                        format!("{}\n\n\n{}\n", text(get(expected, "tree")), text(get(expected, "receivers")));
                    assert_eq!(tested(&root, &labels, None).0, expected, "{file} {name} {case_name}");
                }
            }
        }
    }
}
