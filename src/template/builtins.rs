//! Go's own functions, except `and`, `or` and `call`, which evaluate their arguments themselves.

use std::{cmp::Ordering, fmt::Write as _, sync::Arc};

use super::{
    compare,
    format::{self, print_value},
    limits::TEXT_BYTES_MAX,
    params::{Param, Signature},
    value::{IntType, List, Value},
};

const ALL: [&str; 19] = [
    "and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or", "print", "printf",
    "println", "slice", "urlquery",
];

pub fn is_builtin(name: &str) -> bool {
    ALL.contains(&name)
}

pub fn signature(name: &str) -> Option<Signature> {
    let (fixed, variadic): (&'static [Param], _) = match name {
        "and" | "or" | "eq" | "index" | "slice" | "call" => (&[Param::Any], Some(Param::Any)),
        "ne" | "lt" | "le" | "gt" | "ge" => (&[Param::Any, Param::Any], None),
        "len" | "not" => (&[Param::Any], None),
        "printf" => (&[Param::Text], Some(Param::Any)),
        "print" | "println" | "html" | "js" | "urlquery" => (&[], Some(Param::Any)),
        _ => return None,
    };
    Some(Signature { fixed, variadic })
}

/// Calls a built-in with as many arguments as its signature wants.
pub fn call(name: &str, args: &[Value]) -> Result<Value, String> {
    let text = |result: Result<String, String>| result.map(Value::text);
    match (name, args) {
        ("not", [value]) => Ok(Value::Bool(!value.truth())),
        ("eq", args) => compare::equal(args).map(Value::Bool),
        ("ne", [a, b]) => compare::equal(&[a.clone(), b.clone()]).map(|equal| Value::Bool(!equal)),
        ("lt", [a, b]) => compare::order(a, b).map(|order| Value::Bool(order.is_some_and(Ordering::is_lt))),
        ("le", [a, b]) => compare::order(a, b).map(|order| Value::Bool(order.is_some_and(Ordering::is_le))),
        ("gt", [a, b]) => compare::order(a, b).map(|order| Value::Bool(!order.is_some_and(Ordering::is_le))),
        ("ge", [a, b]) => compare::order(a, b).map(|order| Value::Bool(!order.is_some_and(Ordering::is_lt))),
        ("len", [value]) => length(value),
        ("index", [value, keys @ ..]) => index(value, keys),
        ("slice", [value, bounds @ ..]) => slice(value, bounds),
        ("print", args) => text(format::sprint(args, TEXT_BYTES_MAX)),
        ("println", args) => text(format::sprintln(args, TEXT_BYTES_MAX)),
        ("printf", [format, args @ ..]) => {
            let format = format.as_text().map_or("", |text| text);
            text(format::sprintf(format, args, TEXT_BYTES_MAX))
        }
        ("html", args) => text(joined_arguments(args).map(|text| html_escaped(&text))),
        ("js", args) => text(joined_arguments(args).map(|text| js_escaped(&text))),
        ("urlquery", args) => text(joined_arguments(args).map(|text| query_escaped(&text))),
        _ => Err(format!("function {name} cannot be called so")),
    }
}

fn length(value: &Value) -> Result<Value, String> {
    Ok(Value::int(match value {
        Value::Text(text) | Value::Marked(_, text) => text.len(),
        Value::List(list) => list.items.len(),
        Value::Map(map) => map.entries.len(),
        Value::Kv(labels) => labels.len(),
        Value::Nil | Value::NilAny => return Err("reflect: call of reflect.Value.Type on zero Value".to_owned()),
        other => return Err(format!("len of type {}", other.type_name())),
    }))
}

/// An index within a list or string, up to and including its length.
fn bounded(index: &Value, length: usize) -> Result<usize, String> {
    match index {
        Value::Int(value, _) => usize::try_from(*value)
            .ok()
            .filter(|at| *at <= length)
            .ok_or_else(|| format!("index out of range: {value}")),
        Value::Nil => Err("cannot index slice/array with nil".to_owned()),
        other => Err(format!("cannot index slice/array with type {}", other.type_name())),
    }
}

fn index(value: &Value, keys: &[Value]) -> Result<Value, String> {
    if value.is_nil() {
        return Err("index of untyped nil".to_owned());
    }
    let mut item = value.clone();
    for key in keys {
        let key = if key.is_nil() { &Value::Nil } else { key };
        item = match &item {
            Value::List(list) => {
                let at = bounded(key, list.items.len())?;
                list.items.get(at).cloned().ok_or("reflect: slice index out of range")?
            }
            Value::Text(text) | Value::Marked(_, text) => {
                let at = bounded(key, text.len())?;
                let byte = text.as_bytes().get(at).ok_or("reflect: string index out of range")?;
                Value::Int(i64::from(*byte), IntType::Uint8)
            }
            Value::Map(map) => map.entries.get(&**map_key(key)?).cloned().unwrap_or(Value::NilAny),
            Value::Kv(labels) => Value::text(labels.get(map_key(key)?).unwrap_or("")),
            Value::Nil | Value::NilAny => return Err("index of nil pointer".to_owned()),
            other => return Err(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(item)
}

fn map_key(key: &Value) -> Result<&Arc<str>, String> {
    match key {
        Value::Text(key) => Ok(key),
        Value::Nil | Value::NilAny => Err("value is nil; should be of type string".to_owned()),
        other => Err(format!("value has type {}; should be string", other.type_name())),
    }
}

fn slice(value: &Value, bounds: &[Value]) -> Result<Value, String> {
    let capacity = match value {
        Value::Nil | Value::NilAny => return Err("slice of untyped nil".to_owned()),
        _ if bounds.len() > 3 => return Err(format!("too many slice indexes: {}", bounds.len())),
        Value::Text(_) | Value::Marked(..) if bounds.len() == 3 => {
            return Err("cannot 3-index slice a string".to_owned());
        }
        Value::Text(text) | Value::Marked(_, text) => text.len(),
        Value::List(list) => list.items.len(),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    let mut at = [0, capacity, capacity];
    for (place, bound) in at.iter_mut().zip(bounds) {
        *place = bounded(bound, capacity)?;
    }
    let [from, to, max] = at;
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    if bounds.len() == 3 && to > max {
        return Err(format!("invalid slice index: {to} > {max}"));
    }
    match value {
        Value::List(list) => {
            let items = list.items.get(from..to).unwrap_or(&[]).to_vec();
            Ok(Value::List(Arc::new(List::new(list.kind, items)?)))
        }
        value => {
            let text = value.as_text().map_or("", |text| text);
            // Bytes, as in Go; a code point cut in two shows as the replacement character.
            let cut = text.as_bytes().get(from..to).unwrap_or(&[]);
            Ok(Value::text(String::from_utf8_lossy(cut)))
        }
    }
}

/// What the escaping functions escape: one string as it is, anything else as `print` shows it.
pub fn joined_arguments(args: &[Value]) -> Result<String, String> {
    match args {
        [Value::Text(text)] => Ok(text.to_string()),
        args => {
            let printable: Vec<Value> = args
                .iter()
                .map(|arg| match arg {
                    Value::Nil | Value::NilAny => print_value(arg, TEXT_BYTES_MAX).map(Value::text),
                    arg => Ok(arg.clone()),
                })
                .collect::<Result<_, _>>()?;
            format::sprint(&printable, TEXT_BYTES_MAX)
        }
    }
}

fn html_escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

fn js_escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' | '>' | '&' | '=' | '\0'..='\u{1f}' => drop(write!(out, "\\u{:04X}", u32::from(c))),
            c if c.is_ascii() || crate::alert::text::is_printable(c) => out.push(c),
            c => drop(write!(out, "\\u{:04X}", u32::from(c))),
        }
    }
    out
}

/// `url.QueryEscape`.
pub fn query_escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            byte => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}
