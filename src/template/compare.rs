//! `eq`, `ne`, `lt`, `le`, `gt`, `ge`.

use std::cmp::Ordering;

use super::{
    format::{print_value, sprintf},
    limits,
    value::{Basic, Value},
};

const MISSING: &str = "missing argument for comparison";
const INCOMPATIBLE: &str = "incompatible types for comparison";
const BAD_TYPE: &str = "invalid type for comparison";

/// Whether the first equals any of the others.
pub fn equal(args: &[Value]) -> Result<bool, String> {
    let Some((first, others)) = args.split_first() else {
        return Err(MISSING.to_owned());
    };
    if others.is_empty() {
        return Err(MISSING.to_owned());
    }
    for other in others {
        if equal_pair(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equal_pair(a: &Value, b: &Value) -> Result<bool, String> {
    if a.basic() != b.basic() {
        if let (Some(x), Some(y)) = (as_int(a), as_int(b)) {
            return Ok(x == y);
        }
        if a.is_nil() || b.is_nil() {
            return Ok(false);
        }
        return Err(format!("{INCOMPATIBLE}: {} and {}", a.type_name(), b.type_name()));
    }
    Ok(match (a, b) {
        (Value::Bool(x), Value::Bool(y)) => x == y,
        (Value::Int(x, _), Value::Int(y, _)) => x == y,
        (Value::Float(x), Value::Float(y)) => x == y,
        (Value::Complex(x, xi), Value::Complex(y, yi)) => x == y && xi == yi,
        _ => match (a.as_text(), b.as_text()) {
            (Some(x), Some(y)) => x == y,
            _ => return equal_others(a, b),
        },
    })
}

fn as_int(value: &Value) -> Option<i64> {
    match value {
        Value::Int(value, _) => Some(*value),
        _ => None,
    }
}

/// Reflection's shapes: values of different ones cannot be compared at all.
#[derive(PartialEq)]
enum Shape {
    Nil,
    List,
    Map,
    Struct,
    Pointer,
}

fn shape(value: &Value) -> Shape {
    match value {
        Value::List(_) => Shape::List,
        Value::Map(_) | Value::Kv(_) => Shape::Map,
        Value::Zone(_) => Shape::Pointer,
        Value::Nil | Value::NilAny => Shape::Nil,
        _ => Shape::Struct,
    }
}

fn equal_others(a: &Value, b: &Value) -> Result<bool, String> {
    let shown = |value: &Value| print_value(value, limits::TEXT_BYTES_MAX);
    let as_text = |value: &Value| sprintf("%s", std::slice::from_ref(value), limits::TEXT_BYTES_MAX);
    if a.is_nil() || b.is_nil() {
        return Ok(a.is_nil() && b.is_nil());
    }
    if shape(a) != shape(b) {
        return Err(format!(
            "non-comparable types {}: {}, {}: {}",
            as_text(a)?,
            a.type_name(),
            b.type_name(),
            shown(b)?
        ));
    }
    match (a, b) {
        (Value::Pair(name, text), Value::Pair(other_name, other_text)) => Ok(name == other_name && text == other_text),
        (Value::Zone(x), Value::Zone(y)) => Ok(x == y),
        // Go compares the insides: the same moment in another zone differs.
        (Value::Time(x), Value::Time(y)) => Ok(x.at == y.at && x.zone == y.zone),
        (Value::Time(_) | Value::Pair(..), Value::Time(_) | Value::Pair(..)) => Ok(false),
        _ => Err(format!("non-comparable type {}: {}", as_text(b)?, b.type_name())),
    }
}

/// Whether the first orders before the second; `None` for what no order knows (NaN).
pub fn order(a: &Value, b: &Value) -> Result<Option<Ordering>, String> {
    let basic = a.basic();
    if basic == Basic::Other || b.basic() == Basic::Other {
        return Err(BAD_TYPE.to_owned());
    }
    if basic != b.basic() {
        return match (as_int(a), as_int(b)) {
            (Some(x), Some(y)) => Ok(Some(x.cmp(&y))),
            _ => Err(format!("{INCOMPATIBLE}: {} and {}", a.type_name(), b.type_name())),
        };
    }
    match (a, b) {
        (Value::Int(x, _), Value::Int(y, _)) => Ok(Some(x.cmp(y))),
        (Value::Float(x), Value::Float(y)) => Ok(x.partial_cmp(y)),
        _ => match (a.as_text(), b.as_text()) {
            (Some(x), Some(y)) => Ok(Some(x.as_bytes().cmp(y.as_bytes()))),
            _ => Err(BAD_TYPE.to_owned()),
        },
    }
}
