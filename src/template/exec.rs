//! Walks a tree over data.
//!
//! Blocks and template calls are frames on a stack of our own, so that deep recursion in a template ends in an
//! error and not in a stack overflow; only the arguments of functions nest on the machine's stack, and the
//! parser bounds those. Besides printing, a walk can be recorded: see [`Event`] and [`super::html`].

use std::{collections::HashMap, sync::Arc};

use regex::Regex;

use super::{
    TemplateError,
    ast::{Branch, Node, Pipe, Tree},
    data::Data,
    expression::At,
    format::print_value,
    limits,
    set::{Program, Set},
    value::{IntType, Value},
};
use crate::{
    alert::{Labels, re2},
    clock::{Clock, Time},
};

/// Answers `routeLabels`.
pub trait RouteLabels {
    fn label(&self, name: &str) -> Result<String, String>;
}

/// Labels whose text is final.
pub struct FinishedLabels<'a>(pub &'a Labels);

impl RouteLabels for FinishedLabels<'_> {
    fn label(&self, name: &str) -> Result<String, String> {
        Ok(self.0.get(name).unwrap_or("").to_owned())
    }
}

/// What functions may ask of the world, and what a rendering has used up.
pub struct Environment<'a> {
    clock: &'a Clock,
    route_labels: &'a dyn RouteLabels,
    regexes: HashMap<String, Regex>,
    steps: u64,
    bytes: u64,
}

impl<'a> Environment<'a> {
    pub fn new(clock: &'a Clock, route_labels: &'a dyn RouteLabels) -> Self {
        Environment { clock, route_labels, regexes: HashMap::new(), steps: 0, bytes: 0 }
    }

    pub fn now(&self) -> Time {
        self.clock.now()
    }

    pub fn route_label(&self, name: &str) -> Result<String, String> {
        self.route_labels.label(name)
    }

    /// A compiled pattern; loops over alerts ask for the same few again and again.
    pub fn regex(&mut self, pattern: &str) -> Result<Regex, String> {
        const KEPT: usize = 64;
        if let Some(regex) = self.regexes.get(pattern) {
            return Ok(regex.clone());
        }
        let regex = re2::compile(pattern).map_err(|error| error.to_string())?;
        if self.regexes.len() < KEPT {
            self.regexes.insert(pattern.to_owned(), regex.clone());
        }
        Ok(regex)
    }

    /// Counts work; an error when the rendering has had its share.
    pub fn spend(&mut self, steps: usize, bytes: usize) -> Result<(), String> {
        self.steps = self.steps.saturating_add(steps as u64);
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if self.steps > limits::STEPS_MAX {
            return Err(format!("the template takes more than {} steps", limits::STEPS_MAX));
        }
        if self.bytes > limits::BYTES_MAX {
            return Err(format!("the template makes more than {} bytes of text", limits::BYTES_MAX));
        }
        Ok(())
    }
}

/// What happened in a recorded walk, in order.
#[derive(Clone, Debug)]
pub enum Event {
    /// An `if` or `with` decided.
    Truth(bool),
    /// A `range` entered its body so many times.
    Times(i64),
    /// An action printed.
    Print(Value),
}

/// Where the walk leaves what it does.
pub enum Sink {
    Text(String),
    Record(Vec<Event>),
}

/// Renders as plain text.
pub fn render_text(
    set: &Set,
    program: &Program,
    data: &Data,
    clock: &Clock,
    labels: &dyn RouteLabels,
) -> Result<String, TemplateError> {
    match walk(set, program, data, Environment::new(clock, labels), Sink::Text(String::new()), limits::DEPTH_MAX)? {
        Sink::Text(text) => Ok(text),
        Sink::Record(_) => Ok(String::new()),
    }
}

/// Walks and records instead of printing.
pub fn record(set: &Set, program: &Program, data: &Data, clock: &Clock) -> Result<Vec<Event>, TemplateError> {
    let labels = FinishedLabels(&data.route_labels);
    let environment = Environment::new(clock, &labels);
    match walk(set, program, data, environment, Sink::Record(Vec::new()), limits::HTML_DEPTH_MAX)? {
        Sink::Record(events) => Ok(events),
        Sink::Text(_) => Ok(Vec::new()),
    }
}

fn walk(
    set: &Set,
    program: &Program,
    data: &Data,
    environment: Environment<'_>,
    sink: Sink,
    depth_max: usize,
) -> Result<Sink, TemplateError> {
    let data = Value::Data(Arc::new(data.clone()));
    let tree = program.main();
    let mut walker = Walker {
        set,
        program,
        environment,
        frames: Vec::new(),
        variables: vec![(Arc::from("$"), data.clone())],
        base: 0,
        tree,
        at: At::Start,
        sink,
        depth_max,
    };
    walker.enter(&tree.root, data, 1, Kind::Block)?;
    walker.run()?;
    Ok(walker.sink)
}

pub struct Walker<'t> {
    set: &'t Set,
    program: &'t Program,
    pub(super) environment: Environment<'t>,
    frames: Vec<Frame<'t>>,
    /// Innermost last; those below `base` belong to calling templates.
    pub(super) variables: Vec<(Arc<str>, Value)>,
    pub(super) base: usize,
    tree: &'t Tree,
    /// What is being evaluated: errors quote it.
    pub(super) at: At<'t>,
    sink: Sink,
    depth_max: usize,
}

/// A list of nodes being walked.
struct Frame<'t> {
    nodes: &'t [Node],
    next: usize,
    dot: Value,
    /// How many variables there were before.
    mark: usize,
    kind: Kind<'t>,
}

enum Kind<'t> {
    Block,
    Range(Loop<'t>),
    /// A template call: what to go back to.
    Call {
        base: usize,
        tree: &'t Tree,
    },
}

struct Loop<'t> {
    pipe: &'t Pipe,
    items: Items,
    next: usize,
    /// How many variables there are at the start of each round.
    mark: usize,
    /// Where the count of rounds is recorded.
    event: Option<usize>,
}

/// What a range goes over.
enum Items {
    List(Arc<super::value::List>),
    Pairs(Vec<(Value, Value)>),
    Count(i64, IntType),
}

impl Items {
    /// Index or key, and element.
    fn get(&self, at: usize) -> Option<(Value, Value)> {
        match self {
            Items::List(list) => list.items.get(at).map(|item| (Value::int(at), item.clone())),
            Items::Pairs(pairs) => pairs.get(at).cloned(),
            Items::Count(count, kind) => {
                let at = i64::try_from(at).ok().filter(|at| at < count)?;
                Some((Value::Nil, Value::Int(at, *kind)))
            }
        }
    }
}

pub type Walked<T> = Result<T, TemplateError>;

impl<'t> Walker<'t> {
    /// An error about what is being evaluated.
    pub(super) fn error<T>(&self, message: impl AsRef<str>) -> Walked<T> {
        Err(TemplateError::new(format!(
            "template: {}: executing {} at <{}>: {}",
            self.tree.location(self.at.pos()),
            super::ast::quoted(&self.tree.name),
            self.at,
            message.as_ref()
        )))
    }

    pub(super) fn spend(&mut self, steps: usize, bytes: usize) -> Walked<()> {
        match self.environment.spend(steps, bytes) {
            Ok(()) => Ok(()),
            Err(problem) => self.error(problem),
        }
    }

    /// In a recorded walk, `html` and `urlquery` at the end of an action are the escaper's business.
    pub(super) fn records(&self) -> bool {
        matches!(self.sink, Sink::Record(_))
    }

    fn record(&mut self, event: Event) -> Option<usize> {
        match &mut self.sink {
            Sink::Record(events) => {
                events.push(event);
                Some(events.len() - 1)
            }
            Sink::Text(_) => None,
        }
    }

    fn enter(&mut self, nodes: &'t [Node], dot: Value, mark: usize, kind: Kind<'t>) -> Walked<()> {
        if self.frames.len() >= self.depth_max {
            return self.error(format!("exceeded maximum template depth ({})", self.depth_max));
        }
        self.frames.push(Frame { nodes, next: 0, dot, mark, kind });
        Ok(())
    }

    fn run(&mut self) -> Walked<()> {
        while let Some(frame) = self.frames.last_mut() {
            let Some(node) = frame.nodes.get(frame.next) else {
                self.frame_end()?;
                continue;
            };
            frame.next += 1;
            let dot = frame.dot.clone();
            self.spend(1, 0)?;
            self.node(node, dot)?;
        }
        Ok(())
    }

    fn frame_end(&mut self) -> Walked<()> {
        if matches!(self.frames.last(), Some(Frame { kind: Kind::Range(_), .. })) && self.next_round()? {
            return Ok(());
        }
        self.leave();
        Ok(())
    }

    /// Drops the innermost frame and what it declared.
    fn leave(&mut self) {
        let Some(frame) = self.frames.pop() else {
            return;
        };
        self.variables.truncate(frame.mark);
        if let Kind::Call { base, tree } = frame.kind {
            self.base = base;
            self.tree = tree;
        }
    }

    fn node(&mut self, node: &'t Node, dot: Value) -> Walked<()> {
        match node {
            Node::Text { text } => self.print_text(text),
            Node::Action(pipe) => {
                let printed = pipe.declared.is_empty();
                let value = self.pipeline(&dot, pipe, printed && self.records())?;
                if printed { self.print(pipe, value) } else { Ok(()) }
            }
            Node::If(branch) => self.branch(branch, dot, false),
            Node::With(branch) => self.branch(branch, dot, true),
            Node::Range(branch) => self.range(branch, dot),
            Node::Template { name, pipe, .. } => self.call(node, name, pipe.as_ref(), &dot),
            Node::Break(_) => {
                while let Some(frame) = self.frames.last() {
                    let is_loop = matches!(frame.kind, Kind::Range(_));
                    self.leave();
                    if is_loop {
                        break;
                    }
                }
                Ok(())
            }
            Node::Continue(_) => {
                while let Some(frame) = self.frames.last_mut() {
                    if matches!(frame.kind, Kind::Range(_)) {
                        frame.next = frame.nodes.len();
                        break;
                    }
                    self.leave();
                }
                Ok(())
            }
        }
    }

    fn print_text(&mut self, text: &str) -> Walked<()> {
        self.spend(0, text.len())?;
        let full = match &mut self.sink {
            Sink::Text(out) if out.len() + text.len() <= limits::TEXT_BYTES_MAX => {
                out.push_str(text);
                false
            }
            Sink::Text(_) => true,
            Sink::Record(_) => false,
        };
        if full { self.error(format!("output longer than {} bytes", limits::TEXT_BYTES_MAX)) } else { Ok(()) }
    }

    fn print(&mut self, pipe: &'t Pipe, value: Value) -> Walked<()> {
        self.at = At::Pipe(pipe);
        if self.records() {
            self.spend(1, value.as_text().map_or(0, |text| text.len()))?;
            self.record(Event::Print(value));
            return Ok(());
        }
        if let Value::Text(text) = &value {
            return self.print_text(text);
        }
        match print_value(&value, limits::TEXT_BYTES_MAX) {
            Ok(text) => self.print_text(&text),
            Err(problem) => self.error(problem),
        }
    }

    fn branch(&mut self, branch: &'t Branch, dot: Value, with: bool) -> Walked<()> {
        let mark = self.variables.len();
        let value = self.pipeline(&dot, &branch.pipe, false)?;
        let truth = value.truth();
        self.record(Event::Truth(truth));
        if truth {
            return self.enter(&branch.body, if with { value } else { dot }, mark, Kind::Block);
        }
        match &branch.otherwise {
            Some(nodes) => self.enter(nodes, dot, mark, Kind::Block),
            None => {
                self.variables.truncate(mark);
                Ok(())
            }
        }
    }

    fn range(&mut self, branch: &'t Branch, dot: Value) -> Walked<()> {
        let mark = self.variables.len();
        let value = self.pipeline(&dot, &branch.pipe, false)?;
        let items = match value {
            Value::List(list) => Items::List(list),
            Value::Map(map) => {
                self.spend(map.entries.len(), 0)?;
                let pairs = map.entries.iter().map(|(key, value)| (Value::Text(Arc::clone(key)), value.clone()));
                Items::Pairs(pairs.collect())
            }
            Value::Kv(labels) => {
                Items::Pairs(labels.iter().map(|(name, value)| (Value::text(name), Value::text(value))).collect())
            }
            Value::Int(count, kind) => {
                if branch.pipe.declared.len() > 1 {
                    return self.error(format!("can't use {count} to iterate over more than one variable"));
                }
                Items::Count(count, kind)
            }
            Value::Nil | Value::NilAny => Items::Pairs(Vec::new()),
            other => {
                let shown = print_value(&other, limits::TEXT_BYTES_MAX).unwrap_or_default();
                return self.error(format!("range can't iterate over {shown}"));
            }
        };
        let event = self.record(Event::Times(0));
        if items.get(0).is_none() {
            return match &branch.otherwise {
                Some(nodes) => self.enter(nodes, dot, mark, Kind::Block),
                None => {
                    self.variables.truncate(mark);
                    Ok(())
                }
            };
        }
        let inner = self.variables.len();
        let rounds = Loop { pipe: &branch.pipe, items, next: 0, mark: inner, event };
        self.enter(&branch.body, Value::Nil, mark, Kind::Range(rounds))?;
        self.next_round().map(drop)
    }

    /// Sets the innermost frame, a range, up for its next element; false when there is none.
    fn next_round(&mut self) -> Walked<bool> {
        let Some(Frame { kind: Kind::Range(rounds), next, dot, .. }) = self.frames.last_mut() else {
            return Ok(false);
        };
        let Some((key, element)) = rounds.items.get(rounds.next) else {
            return Ok(false);
        };
        rounds.next += 1;
        *next = 0;
        *dot = element.clone();
        let (pipe, mark, event) = (rounds.pipe, rounds.mark, rounds.event);
        self.variables.truncate(mark);
        self.spend(1, 0)?;
        self.set_loop_variables(pipe, key, element)?;
        if let (Sink::Record(events), Some(at)) = (&mut self.sink, event)
            && let Some(Event::Times(times)) = events.get_mut(at)
        {
            *times += 1;
        }
        Ok(true)
    }

    fn set_loop_variables(&mut self, pipe: &'t Pipe, key: Value, element: Value) -> Walked<()> {
        let values = match pipe.declared.len() {
            0 => return Ok(()),
            1 => vec![element],
            _ => vec![key, element],
        };
        if pipe.assign {
            for (name, value) in pipe.declared.iter().zip(values) {
                self.set_variable(name, value)?;
            }
            return Ok(());
        }
        // The pipeline has just declared them, at the top.
        let top = self.variables.len() - values.len().min(self.variables.len());
        for ((_, place), value) in self.variables.iter_mut().skip(top).zip(values) {
            *place = value;
        }
        Ok(())
    }

    fn call(&mut self, node: &'t Node, name: &str, pipe: Option<&'t Pipe>, dot: &Value) -> Walked<()> {
        self.at = At::Template(node);
        let (set, program) = (self.set, self.program);
        let Some(tree) = program.find(set, name) else {
            return self.error(format!("template {} not defined", super::ast::quoted(name)));
        };
        // Checked before the argument is evaluated, so that the error names the call.
        if self.frames.len() >= self.depth_max {
            return self.error(format!("exceeded maximum template depth ({})", self.depth_max));
        }
        let argument = match pipe {
            Some(pipe) => self.pipeline(dot, pipe, false)?,
            None => Value::Nil,
        };
        // What the argument's pipeline declared stays with the caller.
        let mark = self.variables.len();
        self.variables.push((Arc::from("$"), argument.clone()));
        let back = Kind::Call { base: self.base, tree: self.tree };
        self.base = mark;
        self.tree = tree;
        self.enter(&tree.root, argument, mark, back)
    }
}
