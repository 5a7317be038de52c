//! Values as JSON, as Go's encoder writes it: compact, sorted keys, safe inside HTML.

use std::fmt::Write as _;

use super::{floats, format::Out, value::Value};
use crate::alert::Labels;

/// `toJson`.
pub fn to_json(value: &Value, max: usize) -> Result<String, String> {
    let mut out = Out::new(max);
    write(&mut out, value)?;
    if out.overflowed {
        return Err(format!("JSON longer than {max} bytes"));
    }
    Ok(out.text)
}

fn write(out: &mut Out, value: &Value) -> Result<(), String> {
    if out.overflowed {
        return Ok(());
    }
    match value {
        Value::Nil | Value::NilAny => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(value, _) => out.push_str(&value.to_string()),
        Value::Float(value) => out.push_str(&number(*value)?),
        Value::Complex(..) => return Err("json: unsupported type: complex128".to_owned()),
        Value::Text(text) | Value::Marked(_, text) => push_text(out, text),
        Value::Time(moment) => push_text(out, &moment.json_text()?),
        Value::Zone(_) => out.push_str("{}"),
        Value::List(list) => {
            out.push('[');
            for (i, item) in list.items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(out, item)?;
            }
            out.push(']');
        }
        Value::Map(map) => {
            let entries = map.entries.iter().map(|(key, value)| (&**key, value));
            return write_object(out, entries);
        }
        Value::Kv(labels) => push_labels(out, labels),
        Value::Pair(name, text) => {
            let fields = [("Name", Value::Text(name.clone())), ("Value", Value::Text(text.clone()))];
            return write_object(out, fields.iter().map(|(key, value)| (*key, value)));
        }
        Value::Alert(alert) => {
            let keys = ["status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint"];
            let fields = alert.fields();
            return write_object(out, keys.into_iter().zip(fields.iter().map(|(_, value)| value)));
        }
        Value::Data(data) => {
            let keys = [
                "receiver",
                "status",
                "alerts",
                "notification_reason",
                "groupLabels",
                "commonLabels",
                "commonAnnotations",
                "routeLabels",
                "externalURL",
            ];
            let fields = data.fields();
            return write_object(out, keys.into_iter().zip(fields.iter().map(|(_, value)| value)));
        }
    }
    Ok(())
}

fn write_object<'a>(out: &mut Out, entries: impl Iterator<Item = (&'a str, &'a Value)>) -> Result<(), String> {
    out.push('{');
    for (i, (key, value)) in entries.enumerate() {
        if i > 0 {
            out.push(',');
        }
        push_text(out, key);
        out.push(':');
        write(out, value)?;
    }
    out.push('}');
    Ok(())
}

fn push_labels(out: &mut Out, labels: &Labels) {
    out.push('{');
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        push_text(out, name);
        out.push(':');
        push_text(out, value);
    }
    out.push('}');
}

fn number(value: f64) -> Result<String, String> {
    if !value.is_finite() {
        let shown = if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        };
        return Err(format!("json: unsupported value: {shown}"));
    }
    let magnitude = value.abs();
    let sign = if value.is_sign_negative() { "-" } else { "" };
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        // e-09 is written e-9.
        let text = floats::unsigned(magnitude, 'e', None);
        return Ok(format!("{sign}{}", text.replace("e-0", "e-")));
    }
    Ok(format!("{sign}{}", floats::unsigned(magnitude, 'f', None)))
}

fn push_text(out: &mut Out, text: &str) {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    out.push_str(&quoted);
}
