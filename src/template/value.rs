//! What a template computes with: Go's values as far as templates can make or reach them, with their types.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    data::{AlertData, Data},
    gotime::{Moment, Zone},
    limits,
};
use crate::alert::Labels;

#[derive(Clone, Debug)]
pub enum Value {
    /// No value at all: `template "x"` without argument, or what a nil interface becomes in a pipeline.
    Nil,
    /// An `interface{}` that holds nothing: a missing key of a `dict`.
    NilAny,
    Bool(bool),
    Int(i64, IntType),
    Float(f64),
    Complex(f64, f64),
    Text(Arc<str>),
    /// Text that the HTML engine trusts in its own kind of place.
    Marked(Mark, Arc<str>),
    List(Arc<List>),
    Map(Arc<Map>),
    Kv(Labels),
    Pair(Arc<str>, Arc<str>),
    Data(Arc<Data>),
    Alert(Arc<AlertData>),
    Time(Moment),
    Zone(Zone),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntType {
    Int,
    Int64,
    Uint8,
    /// Nanoseconds.
    Duration,
    /// From 1.
    Month,
    /// From 0, Sunday.
    Weekday,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Html,
    Url,
}

#[derive(Debug)]
pub struct List {
    pub kind: ListKind,
    pub items: Vec<Value>,
    depth: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// `[]interface {}`, made by `list` and `append`.
    Any,
    /// `[]string`, made by `stringSlice`.
    Strings,
    /// What `Names` and `Values` give: has `Join`.
    JoinableStrings,
    Alerts,
    /// `[]template.Alert`: firing or resolved ones, without further methods.
    SomeAlerts,
    Pairs,
}

#[derive(Debug)]
pub struct Map {
    pub entries: BTreeMap<Arc<str>, Value>,
    depth: u16,
}

impl List {
    pub fn new(kind: ListKind, items: Vec<Value>) -> Result<Self, String> {
        let depth = depth_over(items.iter())?;
        Ok(List { kind, items, depth })
    }
}

impl Map {
    pub fn new(entries: BTreeMap<Arc<str>, Value>) -> Result<Self, String> {
        let depth = depth_over(entries.values())?;
        Ok(Map { entries, depth })
    }
}

/// One more than the deepest of the elements. Bounded, since dropping and printing recurse.
fn depth_over<'a>(elements: impl Iterator<Item = &'a Value>) -> Result<u16, String> {
    let inner = elements.map(Value::depth).max().unwrap_or(0);
    if inner >= limits::VALUE_DEPTH_MAX {
        return Err(format!("lists and maps nested deeper than {} levels", limits::VALUE_DEPTH_MAX));
    }
    Ok(inner + 1)
}

/// Types as basic as comparison knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basic {
    Bool,
    Int,
    Uint,
    Float,
    Complex,
    Text,
    Other,
}

impl Value {
    pub fn text(text: impl AsRef<str>) -> Self {
        Value::Text(Arc::from(text.as_ref()))
    }

    pub fn int(value: usize) -> Self {
        Value::Int(i64::try_from(value).unwrap_or(i64::MAX), IntType::Int)
    }

    /// A list of flat elements, whose depth needs no check.
    pub fn flat_list(kind: ListKind, items: Vec<Value>) -> Self {
        Value::List(Arc::new(List { kind, items, depth: 1 }))
    }

    pub fn strings<'a>(kind: ListKind, texts: impl Iterator<Item = &'a str>) -> Self {
        Value::flat_list(kind, texts.map(Value::text).collect())
    }

    fn depth(&self) -> u16 {
        match self {
            Value::List(list) => list.depth,
            Value::Map(map) => map.depth,
            _ => 0,
        }
    }

    /// Go's name of the type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Nil | Value::NilAny => "interface {}",
            Value::Bool(_) => "bool",
            Value::Int(_, kind) => kind.name(),
            Value::Float(_) => "float64",
            Value::Complex(..) => "complex128",
            Value::Text(_) => "string",
            Value::Marked(Mark::Html, _) => "template.HTML",
            Value::Marked(Mark::Url, _) => "template.URL",
            Value::List(list) => list.kind.name(),
            Value::Map(_) => "map[string]interface {}",
            Value::Kv(_) => "template.KV",
            Value::Pair(..) => "template.Pair",
            Value::Data(_) => "template.Data",
            Value::Alert(_) => "template.Alert",
            Value::Time(_) => "time.Time",
            Value::Zone(_) => "*time.Location",
        }
    }

    pub fn basic(&self) -> Basic {
        match self {
            Value::Bool(_) => Basic::Bool,
            Value::Int(_, IntType::Uint8) => Basic::Uint,
            Value::Int(..) => Basic::Int,
            Value::Float(_) => Basic::Float,
            Value::Complex(..) => Basic::Complex,
            Value::Text(_) | Value::Marked(..) => Basic::Text,
            _ => Basic::Other,
        }
    }

    pub fn is_nil(&self) -> bool {
        matches!(self, Value::Nil | Value::NilAny)
    }

    /// What `if`, `with`, `and`, `or` and `not` see. Structures are always true.
    pub fn truth(&self) -> bool {
        match self {
            Value::Nil | Value::NilAny => false,
            Value::Bool(value) => *value,
            Value::Int(value, _) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::Complex(real, imaginary) => *real != 0.0 || *imaginary != 0.0,
            Value::Text(text) | Value::Marked(_, text) => !text.is_empty(),
            Value::List(list) => !list.items.is_empty(),
            Value::Map(map) => !map.entries.is_empty(),
            Value::Kv(labels) => !labels.is_empty(),
            Value::Pair(..) | Value::Data(_) | Value::Alert(_) | Value::Time(_) | Value::Zone(_) => true,
        }
    }

    /// The text of a string or marked string.
    pub fn as_text(&self) -> Option<&Arc<str>> {
        match self {
            Value::Text(text) | Value::Marked(_, text) => Some(text),
            _ => None,
        }
    }
}

impl IntType {
    pub fn name(self) -> &'static str {
        match self {
            IntType::Int => "int",
            IntType::Int64 => "int64",
            IntType::Uint8 => "uint8",
            IntType::Duration => "time.Duration",
            IntType::Month => "time.Month",
            IntType::Weekday => "time.Weekday",
        }
    }
}

impl ListKind {
    pub fn name(self) -> &'static str {
        match self {
            ListKind::Any => "[]interface {}",
            ListKind::Strings => "[]string",
            ListKind::JoinableStrings => "template.Strings",
            ListKind::Alerts => "template.Alerts",
            ListKind::SomeAlerts => "[]template.Alert",
            ListKind::Pairs => "template.Pairs",
        }
    }
}

/// Labels in the order in which people read them: `alertname` first, the rest by name.
pub fn sorted_pairs(labels: &Labels) -> impl Iterator<Item = (&str, &str)> {
    let name = labels.get("alertname").map(|value| ("alertname", value));
    name.into_iter().chain(labels.iter().filter(|(name, _)| *name != "alertname"))
}

/// `a=1, b=2`: how key/value sets and pairs print.
pub fn pairs_text<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::new();
    for (i, (name, value)) in pairs.enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        out.push_str(name);
        out.push('=');
        out.push_str(value);
    }
    out
}

/// The text of a value whose type has a `String` method.
pub fn own_text(value: &Value) -> Option<String> {
    match value {
        Value::Kv(labels) => Some(pairs_text(sorted_pairs(labels))),
        Value::List(list) if list.kind == ListKind::Pairs => {
            Some(pairs_text(list.items.iter().filter_map(|item| match item {
                Value::Pair(name, value) => Some((&**name, &**value)),
                _ => None,
            })))
        }
        Value::Time(moment) => Some(moment.to_string()),
        Value::Zone(zone) => Some(zone.name()),
        Value::Int(nanos, IntType::Duration) => Some(super::gotime::duration_text(*nanos)),
        Value::Int(month, IntType::Month) => Some(super::layout::month_name(*month)),
        Value::Int(day, IntType::Weekday) => Some(super::layout::weekday_name(*day)),
        _ => None,
    }
}
