//! The HTML engine: our walk, `gotmpl`'s contextual escaping.
//!
//! A template is mirrored as a `gotmpl` tree that has the same texts and the same shape, but in which every
//! pipeline is the one call "what happened next?". `gotmpl` analyses the mirror as HTML and adds to each printing
//! action the escapers of its place. To render, the real template is walked and recorded ([`super::exec::Event`]);
//! then the mirror is executed and the record answers it: which branch was taken, how often a range went round,
//! what was printed. So values and errors are ours, and only the escaping is theirs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use gotmpl::{
    SafeKind, TemplateError as EngineError, Value as EngineValue,
    parse::{self as mirror, SmolStr},
};

use super::{
    TemplateError,
    ast::{Branch, Node, OperandKind, Pipe, Tree},
    data::Data,
    exec::{self, Event},
    format::print_value,
    json, limits, reach,
    set::{Program, Set},
    value::{IntType, Mark, Value, own_text},
};
use crate::clock::Clock;

/// A configured string and all it reaches, escaped.
pub struct Plan {
    template: gotmpl::html::Template,
}

/// Renders a program as HTML.
pub fn render(set: &Set, program: &Program, data: &Data, clock: &Clock) -> Result<String, TemplateError> {
    let plan = program.plan.get_or_init(|| Plan::make(set, program)).as_ref().map_err(Clone::clone)?;
    let events = exec::record(set, program, data, clock)?;
    let in_script = if events.iter().any(is_composite) { plan.probe(&events)? } else { BTreeSet::new() };
    plan.replay(&events, &in_script)
}

impl Plan {
    fn make(set: &Set, program: &Program) -> Result<Self, TemplateError> {
        let mut builder = Builder { set, program, trees: BTreeMap::new(), places: Vec::new() };
        builder.add(program.main())?;
        reach::check(set, program)?;
        let (trees, places) = (builder.trees, builder.places);
        // The analysis recurses along template calls: bounded by the check, but deeper than a worker's stack.
        let analysis = thread::Builder::new().stack_size(limits::HTML_ANALYSIS_STACK_BYTES);
        thread::scope(|scope| {
            let handle = analysis
                .spawn_scoped(scope, || Self::analyse(trees, &places))
                .map_err(|error| TemplateError::new(format!("html/template: cannot start the analysis: {error}")))?;
            handle.join().unwrap_or_else(|_| Err(TemplateError::new("html/template: the analysis failed")))
        })
    }

    fn analyse(trees: BTreeMap<String, mirror::ListNode>, places: &[Place]) -> Result<Self, TemplateError> {
        let failed = |error: EngineError| TemplateError::new(error.to_string());
        let mut template =
            gotmpl::html::Template::new("").max_range_iters(limits::STEPS_MAX).parse("").map_err(failed)?;
        for (name, tree) in trees {
            template = template.add_parse_tree(&name, tree).map_err(failed)?;
        }
        // Asking for a template that cannot exist runs the analysis and nothing else.
        let absent = "\u{0}";
        match template.execute_template_fmt(&mut String::new(), absent, &EngineValue::Nil) {
            Err(EngineError::Escape { name, line, description, .. }) => {
                Err(escape_error(name.as_deref().unwrap_or(""), line, &description, places))
            }
            _ => Ok(Plan { template }),
        }
    }

    /// Which printed values stand where a script expects an expression: there, lists and structures become JSON.
    /// A number is padded with blanks in such a place and in no other.
    fn probe(&self, events: &[Event]) -> Result<BTreeSet<usize>, TemplateError> {
        let replay = Arc::new(Mutex::new(Replay { probing: true, ..Replay::new(events, &BTreeSet::new()) }));
        self.execute(&replay)?;
        let replay = replay.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(replay.in_script.clone())
    }

    fn replay(&self, events: &[Event], in_script: &BTreeSet<usize>) -> Result<String, TemplateError> {
        self.execute(&Arc::new(Mutex::new(Replay::new(events, in_script))))
    }

    fn execute(&self, replay: &Arc<Mutex<Replay>>) -> Result<String, TemplateError> {
        let answers = Arc::clone(replay);
        let next = EngineValue::Function(Arc::new(move |_| {
            Ok(answers.lock().unwrap_or_else(PoisonError::into_inner).answer())
        }));
        let probing = replay.lock().unwrap_or_else(PoisonError::into_inner).probing;
        let mut paper = Paper { text: String::new(), full: false, replay: probing.then(|| Arc::clone(replay)) };
        let result = self.template.execute_fmt(&mut paper, &next);
        if paper.full {
            return Err(TemplateError::new(format!("template: output longer than {} bytes", limits::TEXT_BYTES_MAX)));
        }
        result.map_err(|error| TemplateError::new(format!("template: {error}")))?;
        Ok(paper.text)
    }
}

fn escape_error(name: &str, line: usize, description: &str, places: &[Place]) -> TemplateError {
    let place = line.checked_sub(1).and_then(|index| places.get(index));
    let location = place.map_or(name, |place| &place.location);
    let action = place.map_or("...", |place| &place.action);
    let description = description.replace("{{...}}", &format!("{{{{{action}}}}}"));
    TemplateError::new(if location.is_empty() {
        format!("html/template: {description}")
    } else {
        format!("html/template:{location}: {description}")
    })
}

/// Makes the mirror of a program and of every template it can reach.
struct Builder<'a> {
    set: &'a Set,
    program: &'a Program,
    trees: BTreeMap<String, mirror::ListNode>,
    /// Where each mirrored node stands in the sources; a node's "line" is its number here, from 1.
    places: Vec<Place>,
}

struct Place {
    location: String,
    /// The pipeline, for messages about it.
    action: String,
}

impl Builder<'_> {
    fn add(&mut self, main: &Tree) -> Result<(), TemplateError> {
        let root = self.list(main, &main.root, 0)?;
        let mut open = reach::called(&main.root);
        self.trees.insert(String::new(), root);
        while let Some(name) = open.pop() {
            if self.trees.contains_key(&*name) {
                continue;
            }
            // One that is missing is the analysis' error.
            let Some(tree) = self.program.find(self.set, &name) else {
                continue;
            };
            let list = self.list(tree, &tree.root, 0)?;
            self.trees.insert(name.to_string(), list);
            open.extend(reach::called(&tree.root));
        }
        Ok(())
    }

    fn place(&mut self, tree: &Tree, pos: usize, action: String) -> mirror::Pos {
        self.places.push(Place { location: tree.location(pos), action });
        mirror::Pos::new(pos, self.places.len())
    }

    fn list(&mut self, tree: &Tree, nodes: &[Node], ranges: usize) -> Result<mirror::ListNode, TemplateError> {
        let mut mirrored = Vec::with_capacity(nodes.len());
        for node in nodes {
            if let Some(node) = self.node(tree, node, ranges)? {
                mirrored.push(node);
            }
        }
        Ok(mirror::ListNode { pos: mirror::Pos::new(0, 0), nodes: mirrored })
    }

    fn node(&mut self, tree: &Tree, node: &Node, ranges: usize) -> Result<Option<mirror::Node>, TemplateError> {
        Ok(Some(match node {
            Node::Text { text } => {
                mirror::Node::Text(mirror::TextNode { pos: mirror::Pos::new(0, 0), text: Arc::clone(text) })
            }
            Node::Action(pipe) if !pipe.declared.is_empty() => return Ok(None),
            Node::Action(pipe) => {
                let pos = self.place(tree, pipe.pos, pipe.to_string());
                mirror::Node::Action(mirror::ActionNode { pos, pipe: action_pipe(pos, pipe) })
            }
            Node::If(branch) => mirror::Node::If(self.branch(tree, branch, ranges)?),
            Node::With(branch) => mirror::Node::With(self.branch(tree, branch, ranges)?),
            Node::Range(branch) => {
                if ranges >= limits::HTML_RANGE_NESTING_MAX {
                    return Err(TemplateError::new(format!(
                        "html/template:{}: more than {} ranges inside each other",
                        tree.location(branch.pipe.pos),
                        limits::HTML_RANGE_NESTING_MAX
                    )));
                }
                mirror::Node::Range(self.branch(tree, branch, ranges + 1)?)
            }
            Node::Template { pos, name, .. } => {
                let pos = self.place(tree, *pos, String::new());
                mirror::Node::Template(mirror::TemplateNode {
                    pos,
                    name: SmolStr::from(&**name),
                    pipe: Some(pipe_of(pos, vec![mirror::CommandNode { pos, args: vec![top(pos)] }])),
                })
            }
            Node::Break(pos) => mirror::Node::Break(self.place(tree, *pos, String::new())),
            Node::Continue(pos) => mirror::Node::Continue(self.place(tree, *pos, String::new())),
        }))
    }

    fn branch(&mut self, tree: &Tree, branch: &Branch, ranges: usize) -> Result<mirror::BranchNode, TemplateError> {
        let pos = self.place(tree, branch.pipe.pos, branch.pipe.to_string());
        let otherwise = match &branch.otherwise {
            Some(nodes) => Some(self.list(tree, nodes, ranges)?),
            None => None,
        };
        Ok(mirror::BranchNode {
            pos,
            pipe: pipe_of(pos, vec![ask(pos)]),
            body: self.list(tree, &branch.body, ranges)?,
            else_body: otherwise,
        })
    }
}

/// `$`, which is the record everywhere in the mirror.
fn top(pos: mirror::Pos) -> mirror::Expr {
    mirror::Expr::Variable(pos, SmolStr::from("$"), Vec::new())
}

/// `call $`: what happened next?
fn ask(pos: mirror::Pos) -> mirror::CommandNode {
    mirror::CommandNode { pos, args: vec![mirror::Expr::Identifier(pos, SmolStr::from("call")), top(pos)] }
}

fn named(pos: mirror::Pos, name: &str) -> mirror::CommandNode {
    mirror::CommandNode { pos, args: vec![mirror::Expr::Identifier(pos, SmolStr::from(name))] }
}

fn pipe_of(pos: mirror::Pos, commands: Vec<mirror::CommandNode>) -> mirror::PipeNode {
    mirror::PipeNode { pos, decl: Vec::new(), commands, is_assign: false }
}

/// An action's mirror names the escapers that the template itself applies: the analysis merges with a last one
/// and refuses any other.
fn action_pipe(pos: mirror::Pos, pipe: &Pipe) -> mirror::PipeNode {
    let mut commands = vec![ask(pos)];
    for (i, command) in pipe.commands.iter().enumerate() {
        if let Some(OperandKind::Function(name)) = command.args.first().map(|first| &first.kind)
            && matches!(&**name, "html" | "urlquery")
        {
            commands.push(named(pos, name));
            if i + 1 < pipe.commands.len() {
                commands.push(named(pos, "print"));
            }
        }
    }
    pipe_of(pos, commands)
}

/// The record being read back.
struct Replay {
    events: Vec<Event>,
    next: usize,
    /// Printed values that stand in a script.
    in_script: BTreeSet<usize>,
    probing: bool,
    /// While probing: the composite value whose text is written next.
    awaited: Option<usize>,
}

/// Stands for a composite value while probing.
const PROBE: i64 = 7;

impl Replay {
    fn new(events: &[Event], in_script: &BTreeSet<usize>) -> Self {
        Replay { events: events.to_vec(), next: 0, in_script: in_script.clone(), probing: false, awaited: None }
    }

    fn answer(&mut self) -> EngineValue {
        let at = self.next;
        self.next += 1;
        let Some(event) = self.events.get(at) else {
            return EngineValue::Nil;
        };
        match event {
            Event::Truth(truth) => EngineValue::Bool(*truth),
            Event::Times(times) => EngineValue::Int(*times),
            Event::Print(_) if self.probing && is_composite(event) => {
                self.awaited = Some(at);
                EngineValue::Int(PROBE)
            }
            Event::Print(value) if self.in_script.contains(&at) => in_script(value),
            Event::Print(value) => printed(value),
        }
    }
}

/// Whether a printed value looks different in a script than its text quoted.
fn is_composite(event: &Event) -> bool {
    match event {
        Event::Print(Value::List(_)) => !matches!(event, Event::Print(value) if own_text(value).is_some()),
        Event::Print(Value::Map(_) | Value::Pair(..) | Value::Data(_) | Value::Alert(_)) => true,
        Event::Print(Value::Time(_) | Value::Float(_) | Value::Complex(..)) => true,
        _ => false,
    }
}

fn in_script(value: &Value) -> EngineValue {
    let script = match (value, json::to_json(value, limits::TEXT_BYTES_MAX)) {
        // Numbers are kept apart from what stands around them.
        (Value::Float(_), Ok(number)) => format!(" {number} "),
        (_, Ok(json)) => json,
        (_, Err(problem)) => format!(" /* {} */null ", problem.replace("*/", "* /").replace("</", "< /")),
    };
    EngineValue::Safe { kind: SafeKind::Js, s: Arc::from(script) }
}

fn printed(value: &Value) -> EngineValue {
    match value {
        Value::Nil | Value::NilAny => EngineValue::Nil,
        Value::Bool(value) => EngineValue::Bool(*value),
        Value::Int(value, IntType::Int | IntType::Int64 | IntType::Uint8) => EngineValue::Int(*value),
        Value::Text(text) => EngineValue::String(Arc::clone(text)),
        Value::Marked(Mark::Html, text) => EngineValue::Safe { kind: SafeKind::Html, s: Arc::clone(text) },
        Value::Marked(Mark::Url, text) => EngineValue::Safe { kind: SafeKind::Url, s: Arc::clone(text) },
        value => EngineValue::String(Arc::from(print_value(value, limits::TEXT_BYTES_MAX).unwrap_or_default())),
    }
}

/// Bounded output; while probing it also notes how each composite value came out.
struct Paper {
    text: String,
    full: bool,
    replay: Option<Arc<Mutex<Replay>>>,
}

impl fmt::Write for Paper {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if let Some(replay) = &self.replay {
            let mut replay = replay.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(at) = replay.awaited.take()
                && text != PROBE.to_string()
            {
                replay.in_script.insert(at);
            }
            return Ok(());
        }
        if self.text.len() + text.len() > limits::TEXT_BYTES_MAX {
            self.full = true;
            return Err(fmt::Error);
        }
        self.text.push_str(text);
        Ok(())
    }
}
