//! What functions and methods take.

use super::value::{IntType, ListKind, Value};

/// The type of one parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Param {
    Any,
    Text,
    /// `[]string`
    Strings,
    /// `[]interface {}`
    AnyList,
    Time,
    Duration,
    Int,
    Zone,
}

/// The parameters of a function: fixed ones, then any number of one more type.
#[derive(Clone, Copy, Debug)]
pub struct Signature {
    pub fixed: &'static [Param],
    pub variadic: Option<Param>,
}

impl Signature {
    /// The type of the argument at a place.
    pub fn param(&self, index: usize) -> Param {
        self.fixed.get(index).copied().or(self.variadic).unwrap_or(Param::Any)
    }

    /// Complains about a number of arguments that does not fit.
    pub fn check_count(&self, name: &str, given: usize) -> Result<(), String> {
        let wanted = self.fixed.len();
        match self.variadic {
            Some(_) if given < wanted => {
                Err(format!("wrong number of args for {name}: want at least {wanted} got {given}"))
            }
            None if given != wanted => Err(format!("wrong number of args for {name}: want {wanted} got {given}")),
            _ => Ok(()),
        }
    }
}

impl Param {
    pub fn type_name(self) -> &'static str {
        match self {
            Param::Any => "interface {}",
            Param::Text => "string",
            Param::Strings => "[]string",
            Param::AnyList => "[]interface {}",
            Param::Time => "time.Time",
            Param::Duration => "time.Duration",
            Param::Int => "int",
            Param::Zone => "*time.Location",
        }
    }

    /// Whether `nil` may be given.
    pub fn takes_nil(self) -> bool {
        matches!(self, Param::Any | Param::Strings | Param::AnyList | Param::Zone)
    }

    /// Whether a value is assignable.
    pub fn takes(self, value: &Value) -> bool {
        match (self, value) {
            (Param::Any, _)
            | (Param::Text, Value::Text(_))
            | (Param::Time, Value::Time(_))
            | (Param::Zone, Value::Zone(_))
            | (Param::Duration, Value::Int(_, IntType::Duration))
            | (Param::Int, Value::Int(_, IntType::Int)) => true,
            (Param::Strings, Value::List(list)) => matches!(list.kind, ListKind::Strings | ListKind::JoinableStrings),
            (Param::AnyList, Value::List(list)) => list.kind == ListKind::Any,
            _ => false,
        }
    }
}
