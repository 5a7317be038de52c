//! The set of named templates, a configured string beside it, and the labels of a route.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use super::{
    TemplateError, Templates,
    ast::Tree,
    data::Data,
    exec::{self, RouteLabels},
    functions, html, limits,
    parse::{self, Trees},
};
use crate::alert::Labels;

/// The shipped definitions, plain texts and the mail body.
const SHIPPED: [(&str, &str); 2] =
    [("default.tmpl", include_str!("default.tmpl")), ("email.tmpl", include_str!("email.tmpl"))];

/// Named templates, later definitions in place of earlier ones.
#[derive(Default)]
pub struct Set {
    trees: BTreeMap<Arc<str>, Arc<Tree>>,
}

impl Set {
    /// With what Carillon brings along.
    pub fn shipped() -> Result<Self, TemplateError> {
        let mut set = Set::default();
        for (name, text) in SHIPPED {
            set.add(name, text)?;
        }
        Ok(set)
    }

    pub fn len(&self) -> usize {
        self.trees.len()
    }

    /// Adds a file's definitions and the file itself under its name.
    pub fn add(&mut self, name: &str, text: &str) -> Result<(), TemplateError> {
        for (name, tree) in parse::parse(name, text, &functions::is_known)? {
            replace(&mut self.trees, name, tree);
        }
        Ok(())
    }

    /// Adds every file that the globs match: globs in their order, the matches of one sorted.
    pub fn add_globs(&mut self, globs: &[PathBuf]) -> Result<(), TemplateError> {
        for pattern in globs {
            for path in matches(pattern)? {
                self.add_file(&path)?;
            }
        }
        Ok(())
    }

    fn add_file(&mut self, path: &Path) -> Result<(), TemplateError> {
        let bytes =
            std::fs::read(path).map_err(|error| TemplateError::new(format!("open {}: {error}", path.display())))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.add(&name, &String::from_utf8_lossy(&bytes))
    }

    fn get(&self, name: &str) -> Option<&Arc<Tree>> {
        self.trees.get(name)
    }
}

/// Go's rule: an empty body never replaces another.
fn replace(trees: &mut BTreeMap<Arc<str>, Arc<Tree>>, name: Arc<str>, tree: Arc<Tree>) {
    if !tree.is_empty() || !trees.contains_key(&name) {
        trees.insert(name, tree);
    }
}

fn matches(pattern: &Path) -> Result<Vec<PathBuf>, TemplateError> {
    let text = pattern.to_string_lossy();
    // Stars do not cross folders, dot files match like others, and `**` is two stars.
    let options = glob::MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: false,
    };
    let text = collapse_stars(&text);
    let paths = glob::glob_with(&text, options).map_err(|_| TemplateError::new("syntax error in pattern"))?;
    // What cannot be read on the way is no match, as in Go.
    let mut found: Vec<PathBuf> = paths.filter_map(Result::ok).collect();
    found.sort();
    Ok(found)
}

fn collapse_stars(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    for c in pattern.chars() {
        if c != '*' || !out.ends_with('*') {
            out.push(c);
        }
    }
    out
}

/// A configured string, parsed: its own body and the definitions inside it, which hold for it alone.
pub struct Program {
    main: Arc<Tree>,
    local: Trees,
    /// How it escapes as HTML, worked out at the first such rendering.
    pub(super) plan: OnceLock<Result<html::Plan, TemplateError>>,
}

impl Program {
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        let mut local = parse::parse("", source, &functions::is_known)?;
        let main = local.remove("").ok_or_else(|| TemplateError::new("template: : no body"))?;
        Ok(Program { main, local, plan: OnceLock::new() })
    }

    pub fn main(&self) -> &Tree {
        &self.main
    }

    /// A template by name: the string's own first, unless it is empty and the set has it.
    pub fn find<'a>(&'a self, set: &'a Set, name: &str) -> Option<&'a Tree> {
        if name.is_empty() {
            return Some(&self.main);
        }
        match (self.local.get(name), set.get(name)) {
            (Some(own), None) => Some(own),
            (Some(own), Some(_)) if !own.is_empty() => Some(own),
            (_, shared) => shared.map(|tree| &**tree),
        }
    }
}

/// The labels of a route while they are rendered: each once, on demand of the others.
struct Rendering<'a> {
    templates: &'a Templates,
    data: &'a Data,
    configured: HashMap<&'a str, &'a str>,
    done: RefCell<HashMap<String, Result<String, TemplateError>>>,
    /// The labels being rendered now, outermost first.
    open: RefCell<Vec<String>>,
}

impl RouteLabels for Rendering<'_> {
    fn label(&self, name: &str) -> Result<String, String> {
        self.render(name).map_err(|error| error.message)
    }
}

impl Rendering<'_> {
    fn render(&self, name: &str) -> Result<String, TemplateError> {
        let Some(source) = self.configured.get(name) else {
            return Ok(String::new());
        };
        if let Some(done) = self.done.borrow().get(name) {
            return done.clone();
        }
        self.check_open(name)?;
        self.open.borrow_mut().push(name.to_owned());
        let result = self.evaluate(source);
        self.open.borrow_mut().pop();
        self.done.borrow_mut().insert(name.to_owned(), result.clone());
        result
    }

    fn check_open(&self, name: &str) -> Result<(), TemplateError> {
        let open = self.open.borrow();
        if let Some(at) = open.iter().position(|label| label == name) {
            let mut circle: Vec<&str> = open.iter().skip(at).map(String::as_str).collect();
            circle.push(name);
            return Err(TemplateError::new(format!("route label cycle detected: {}", circle.join(" -> "))));
        }
        if open.len() >= limits::ROUTE_LABEL_DEPTH_MAX {
            return Err(TemplateError::new("route labels call each other too deeply"));
        }
        Ok(())
    }

    fn evaluate(&self, source: &str) -> Result<String, TemplateError> {
        let program = self.templates.program(source)?;
        exec::render_text(&self.templates.set, &program, self.data, &self.templates.clock, self)
    }
}

/// See [`Templates::route_labels`].
pub fn render_route_labels(
    templates: &Templates,
    configured: &[(&str, &str)],
    data: &Data,
) -> (Labels, Vec<(String, TemplateError)>) {
    let data = data.before_route_labels();
    let rendering = Rendering {
        templates,
        data: &data,
        configured: configured.iter().copied().collect(),
        done: RefCell::default(),
        open: RefCell::default(),
    };
    let mut finished = Vec::new();
    let mut failed = Vec::new();
    for (name, _) in configured {
        match rendering.render(name) {
            Ok(text) => finished.push((*name, text)),
            Err(error) => failed.push(((*name).to_owned(), error)),
        }
    }
    (Labels::from_pairs(finished), failed)
}
