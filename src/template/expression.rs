//! Pipelines, commands and their arguments.

use std::{fmt, sync::Arc};

use super::{
    ast::{Command, Node, Operand, OperandKind, Pipe, Pos},
    builtins,
    exec::{Walked, Walker},
    functions,
    members::{self, Member},
    params::{Param, Signature},
    value::{IntType, Value},
};

/// What is being evaluated: its place and its text go into errors.
#[derive(Clone, Copy)]
pub enum At<'t> {
    Start,
    Pipe(&'t Pipe),
    Command(&'t Command),
    Operand(&'t Operand),
    Template(&'t Node),
}

impl At<'_> {
    pub fn pos(&self) -> Pos {
        match self {
            At::Start => 0,
            At::Pipe(pipe) => pipe.pos,
            At::Command(command) => command.pos,
            At::Operand(operand) => operand.pos,
            At::Template(Node::Template { pos, .. }) => *pos,
            At::Template(_) => 0,
        }
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Start => Ok(()),
            At::Pipe(pipe) => write!(f, "{pipe}"),
            At::Command(command) => write!(f, "{command}"),
            At::Operand(operand) => write!(f, "{operand}"),
            At::Template(Node::Template { name, pipe, .. }) => {
                write!(f, "{{{{template {}", super::ast::quoted(name))?;
                if let Some(pipe) = pipe {
                    write!(f, " {pipe}")?;
                }
                f.write_str("}}")
            }
            At::Template(_) => Ok(()),
        }
    }
}

/// The arguments of a command behind its first word, and the value piped into it.
#[derive(Clone, Copy)]
struct Arguments<'t, 'v> {
    given: &'t [Operand],
    piped: Option<&'v Value>,
}

impl Arguments<'_, '_> {
    const NONE: Self = Arguments { given: &[], piped: None };

    fn count(&self) -> usize {
        self.given.len() + usize::from(self.piped.is_some())
    }
}

impl<'t> Walker<'t> {
    /// Evaluates a pipeline and sets what it declares. `raw`: a last `html` or `urlquery` only joins its
    /// arguments, for the escaper does the rest.
    pub(super) fn pipeline(&mut self, dot: &Value, pipe: &'t Pipe, raw: bool) -> Walked<Value> {
        self.at = At::Pipe(pipe);
        let mut value: Option<Value> = None;
        for (i, command) in pipe.commands.iter().enumerate() {
            let raw = raw && i + 1 == pipe.commands.len();
            value = Some(match self.command(dot, command, value.as_ref(), raw)? {
                Value::NilAny => Value::Nil,
                value => value,
            });
        }
        let value = value.unwrap_or(Value::Nil);
        for name in &pipe.declared {
            if pipe.assign {
                self.set_variable(name, value.clone())?;
            } else {
                self.variables.push((Arc::clone(name), value.clone()));
            }
        }
        Ok(value)
    }

    pub(super) fn set_variable(&mut self, name: &Arc<str>, value: Value) -> Walked<()> {
        let base = self.base;
        match self.variables.iter_mut().skip(base).rev().find(|(known, _)| known == name) {
            Some((_, place)) => {
                *place = value;
                Ok(())
            }
            None => self.error(format!("undefined variable: {name}")),
        }
    }

    fn variable(&self, name: &str) -> Walked<Value> {
        match self.variables.iter().skip(self.base).rev().find(|(known, _)| **known == *name) {
            Some((_, value)) => Ok(value.clone()),
            None => self.error(format!("undefined variable: {name}")),
        }
    }

    fn command(&mut self, dot: &Value, command: &'t Command, piped: Option<&Value>, raw: bool) -> Walked<Value> {
        let Some((first, given)) = command.args.split_first() else {
            return self.error("empty command");
        };
        let arguments = Arguments { given, piped };
        match &first.kind {
            OperandKind::Field(names) => {
                self.at = At::Operand(first);
                self.field_chain(dot, dot.clone(), first, names, arguments)
            }
            OperandKind::Chain(inner, names) => self.chain(dot, first, inner, names, arguments),
            OperandKind::Function(name) => {
                self.at = At::Operand(first);
                if raw && matches!(&**name, "html" | "urlquery") {
                    return self.raw_escaper(dot, At::Command(command), arguments);
                }
                self.function(dot, name, At::Command(command), arguments)
            }
            OperandKind::Pipe(pipe) => {
                self.refuse_arguments(first, arguments)?;
                self.pipeline(dot, pipe, false)
            }
            OperandKind::Variable(names) => {
                self.at = At::Operand(first);
                self.variable_chain(dot, first, names, arguments)
            }
            kind => {
                self.at = At::Operand(first);
                self.refuse_arguments(first, arguments)?;
                match kind {
                    OperandKind::Dot => Ok(dot.clone()),
                    OperandKind::Bool(value) => Ok(Value::Bool(*value)),
                    OperandKind::Number(_) => self.constant(first),
                    OperandKind::Text { text, .. } => Ok(Value::Text(Arc::clone(text))),
                    _ => self.error("nil is not a command"),
                }
            }
        }
    }

    fn refuse_arguments(&self, first: &'t Operand, arguments: Arguments<'t, '_>) -> Walked<()> {
        if arguments.count() == 0 {
            return Ok(());
        }
        self.error(format!("can't give argument to non-function {first}"))
    }

    fn constant(&self, operand: &'t Operand) -> Walked<Value> {
        let OperandKind::Number(number) = &operand.kind else {
            return self.error(format!("can't evaluate command {operand}"));
        };
        let looks_like_float = number.text.contains(['.', 'e', 'E', 'p', 'P']);
        let is_hex = number.text.trim_start_matches(['+', '-']).to_ascii_lowercase().starts_with("0x")
            && !number.text.contains(['p', 'P']);
        let is_char = number.text.starts_with('\'');
        if let Some((real, imaginary)) = number.complex {
            return Ok(Value::Complex(real, imaginary));
        }
        match (number.float, number.int) {
            (Some(float), _) if looks_like_float && !is_hex && !is_char => Ok(Value::Float(float)),
            (_, Some(int)) => Ok(Value::Int(int, IntType::Int)),
            _ if number.unsigned_only => self.error(format!("{} overflows int", number.text)),
            _ => self.error(format!("can't evaluate command {operand}")),
        }
    }

    fn variable_chain(
        &mut self,
        dot: &Value,
        node: &'t Operand,
        names: &'t [Arc<str>],
        arguments: Arguments<'t, '_>,
    ) -> Walked<Value> {
        let Some((first, fields)) = names.split_first() else {
            return self.error("undefined variable");
        };
        let value = self.variable(first)?;
        if fields.is_empty() {
            self.refuse_arguments(node, arguments)?;
            return Ok(value);
        }
        self.field_chain(dot, value, node, fields, arguments)
    }

    fn chain(
        &mut self,
        dot: &Value,
        node: &'t Operand,
        inner: &'t Operand,
        names: &'t [Arc<str>],
        arguments: Arguments<'t, '_>,
    ) -> Walked<Value> {
        self.at = At::Operand(node);
        let receiver = self.argument(dot, None, inner)?;
        self.field_chain(dot, receiver, node, names, arguments)
    }

    fn field_chain(
        &mut self,
        dot: &Value,
        receiver: Value,
        node: &'t Operand,
        names: &'t [Arc<str>],
        arguments: Arguments<'t, '_>,
    ) -> Walked<Value> {
        let mut value = receiver;
        for (i, name) in names.iter().enumerate() {
            let last = i + 1 == names.len();
            value = self.field(dot, &value, node, name, if last { arguments } else { Arguments::NONE })?;
        }
        Ok(value)
    }

    fn field(
        &mut self,
        dot: &Value,
        receiver: &Value,
        node: &'t Operand,
        name: &str,
        arguments: Arguments<'t, '_>,
    ) -> Walked<Value> {
        self.spend(1, 0)?;
        match receiver {
            Value::Nil => return Ok(Value::Nil),
            Value::NilAny => return self.error(format!("nil pointer evaluating interface {{}}.{name}")),
            _ => {}
        }
        let has_arguments = arguments.count() > 0;
        match members::member(receiver, name) {
            Member::Method(method) => {
                let signature = Signature { fixed: method.params, variadic: None };
                if let Err(problem) = signature.check_count(name, arguments.count()) {
                    return self.error(problem);
                }
                let args = self.arguments(dot, &signature, arguments)?;
                self.finish_call(name, At::Operand(node), (method.call)(receiver, &args))
            }
            Member::TooManyResults(count) => {
                self.error(format!("function {name} has {count} return values; should be 1 or 2"))
            }
            Member::Unexported => {
                self.error(format!("{name} is an unexported field of struct type {}", receiver.type_name()))
            }
            Member::Field(_) if has_arguments => {
                self.error(format!("{name} has arguments but cannot be invoked as function"))
            }
            Member::Field(value) => Ok(value),
            Member::None => self.map_entry(receiver, name, has_arguments),
        }
    }

    /// A key of a map as a field; a missing one is the zero value of the map's elements.
    fn map_entry(&mut self, receiver: &Value, name: &str, has_arguments: bool) -> Walked<Value> {
        let entry = match receiver {
            Value::Kv(labels) => Value::text(labels.get(name).unwrap_or("")),
            Value::Map(map) => map.entries.get(name).cloned().unwrap_or(Value::NilAny),
            other => {
                return self.error(format!("can't evaluate field {name} in type {}", other.type_name()));
            }
        };
        if has_arguments {
            return self.error(format!("{name} is not a method but has arguments"));
        }
        Ok(entry)
    }

    fn function(&mut self, dot: &Value, name: &str, call: At<'t>, arguments: Arguments<'t, '_>) -> Walked<Value> {
        let builtin = builtins::signature(name);
        let Some(signature) = builtin.or_else(|| functions::signature(name)) else {
            return self.error(format!("{} is not a defined function", super::ast::quoted(name)));
        };
        if let Err(problem) = signature.check_count(name, arguments.count()) {
            return self.error(problem);
        }
        match name {
            "and" | "or" => return self.short_circuit(dot, name == "or", arguments),
            "call" => return self.call_value(dot, call, arguments),
            _ => {}
        }
        let args = self.arguments(dot, &signature, arguments)?;
        self.spend(1 + args.len(), 0)?;
        let result = if builtin.is_some() {
            builtins::call(name, &args)
        } else {
            functions::call(name, &args, &mut self.environment)
        };
        self.finish_call(name, call, result)
    }

    fn finish_call(&mut self, name: &str, call: At<'t>, result: Result<Value, String>) -> Walked<Value> {
        match result {
            Ok(value) => {
                let (steps, bytes) = match &value {
                    Value::List(list) => (list.items.len(), 0),
                    Value::Map(map) => (map.entries.len(), 0),
                    value => (0, value.as_text().map_or(0, |text| text.len())),
                };
                self.spend(steps, bytes)?;
                Ok(value)
            }
            Err(problem) => {
                self.at = call;
                self.error(format!("error calling {name}: {problem}"))
            }
        }
    }

    /// `and` and `or` evaluate no further than needed and give the operand that decided.
    fn short_circuit(&mut self, dot: &Value, stop_at: bool, arguments: Arguments<'t, '_>) -> Walked<Value> {
        let mut value = Value::Nil;
        for operand in arguments.given {
            value = self.argument(dot, Some(Param::Any), operand)?;
            if value.truth() == stop_at {
                return Ok(value);
            }
        }
        Ok(arguments.piped.cloned().unwrap_or(value))
    }

    /// No value of ours is a function, so `call` always fails, as Go does for what is none.
    fn call_value(&mut self, dot: &Value, call: At<'t>, arguments: Arguments<'t, '_>) -> Walked<Value> {
        let (first, shown) = match (arguments.given.first(), arguments.piped) {
            (Some(operand), _) => {
                let shown = match &operand.kind {
                    OperandKind::Pipe(pipe) => pipe.to_string(),
                    _ => operand.to_string(),
                };
                (self.argument(dot, Some(Param::Any), operand)?, shown)
            }
            (None, Some(value)) => {
                let shown = value.as_text().map_or_else(|| format!("<{} Value>", value.type_name()), |t| t.to_string());
                (value.clone(), shown)
            }
            (None, None) => (Value::Nil, String::new()),
        };
        self.at = call;
        if first.is_nil() {
            return self.error("error calling call: call of nil");
        }
        self.error(format!("error calling call: non-function {shown} of type {}", first.type_name()))
    }

    fn raw_escaper(&mut self, dot: &Value, call: At<'t>, arguments: Arguments<'t, '_>) -> Walked<Value> {
        let any = Signature { fixed: &[], variadic: Some(Param::Any) };
        let args = self.arguments(dot, &any, arguments)?;
        self.finish_call("html", call, builtins::joined_arguments(&args).map(Value::text))
    }

    fn arguments(&mut self, dot: &Value, signature: &Signature, arguments: Arguments<'t, '_>) -> Walked<Vec<Value>> {
        let mut values = Vec::with_capacity(arguments.count());
        for (i, operand) in arguments.given.iter().enumerate() {
            values.push(self.argument(dot, Some(signature.param(i)), operand)?);
        }
        if let Some(piped) = arguments.piped {
            values.push(self.checked(piped.clone(), Some(signature.param(arguments.given.len())))?);
        }
        Ok(values)
    }

    /// One argument for a parameter; without one, for the beginning of a chain.
    fn argument(&mut self, dot: &Value, param: Option<Param>, operand: &'t Operand) -> Walked<Value> {
        self.at = At::Operand(operand);
        let value = match &operand.kind {
            OperandKind::Dot => dot.clone(),
            OperandKind::Nil => {
                return match param {
                    Some(param) if !param.takes_nil() => {
                        self.error(format!("cannot assign nil to {}", param.type_name()))
                    }
                    _ => Ok(Value::Nil),
                };
            }
            OperandKind::Field(names) => self.field_chain(dot, dot.clone(), operand, names, Arguments::NONE)?,
            OperandKind::Variable(names) => self.variable_chain(dot, operand, names, Arguments::NONE)?,
            OperandKind::Pipe(pipe) => self.pipeline(dot, pipe, false)?,
            OperandKind::Function(name) => self.function(dot, name, At::Operand(operand), Arguments::NONE)?,
            OperandKind::Chain(inner, names) => self.chain(dot, operand, inner, names, Arguments::NONE)?,
            OperandKind::Bool(_) | OperandKind::Number(_) | OperandKind::Text { .. } => {
                return self.constant_argument(param.unwrap_or(Param::Any), operand);
            }
        };
        self.checked(value, param)
    }

    fn constant_argument(&mut self, param: Param, operand: &'t Operand) -> Walked<Value> {
        match (param, &operand.kind) {
            (Param::Any | Param::Text, OperandKind::Text { text, .. }) => Ok(Value::Text(Arc::clone(text))),
            (Param::Any, OperandKind::Bool(value)) => Ok(Value::Bool(*value)),
            (Param::Any, _) => self.constant(operand),
            (Param::Text, _) => self.error(format!("expected string; found {operand}")),
            (Param::Int | Param::Duration, OperandKind::Number(number)) if number.int.is_some() => {
                let kind = if param == Param::Int { IntType::Int } else { IntType::Duration };
                Ok(Value::Int(number.int.unwrap_or(0), kind))
            }
            (Param::Int | Param::Duration, _) => self.error(format!("expected integer; found {operand}")),
            (param, _) => self.error(format!("can't handle {operand} for arg of type {}", param.type_name())),
        }
    }

    /// A value where a type is wanted.
    fn checked(&self, value: Value, param: Option<Param>) -> Walked<Value> {
        let Some(param) = param else {
            return Ok(value);
        };
        if matches!(value, Value::Nil) {
            if param.takes_nil() {
                return Ok(value);
            }
            return self.error(format!("invalid value; expected {}", param.type_name()));
        }
        if param.takes(&value) {
            return Ok(value);
        }
        self.error(format!("wrong type for value; expected {}; got {}", param.type_name(), value.type_name()))
    }
}
