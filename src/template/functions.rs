//! The functions that Alertmanager adds to Go's.

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use regex::{Captures, Regex};

use super::{
    builtins, casing,
    exec::Environment,
    floats,
    gotime::{self, Moment, Zone},
    json, layout,
    limits::TEXT_BYTES_MAX,
    members::strings_of,
    numbers::parse_float,
    params::{Param, Signature},
    value::{IntType, List, ListKind, Map, Mark, Value},
};

/// Whether a template of the full set may call `name`.
pub fn is_known(name: &str) -> bool {
    builtins::is_builtin(name) || signature(name).is_some()
}

pub fn signature(name: &str) -> Option<Signature> {
    use Param::{Any, AnyList, Strings, Text, Time};
    let (fixed, variadic): (&'static [Param], _) = match name {
        "toUpper" | "toLower" | "title" | "trimSpace" | "safeHtml" | "safeUrl" | "urlUnescape" | "base64encode"
        | "base64decode" | "routeLabels" => (&[Text], None),
        "join" => (&[Text, Strings], None),
        "match" | "toDate" | "mustToDate" => (&[Text, Text], None),
        "reReplaceAll" => (&[Text, Text, Text], None),
        "stringSlice" => (&[], Some(Text)),
        "date" | "tz" => (&[Text, Time], None),
        "since" => (&[Time], None),
        "humanizeDuration" | "toJson" => (&[Any], None),
        "list" | "dict" => (&[], Some(Any)),
        "append" => (&[AnyList], Some(Any)),
        "now" => (&[], None),
        _ => return None,
    };
    Some(Signature { fixed, variadic })
}

/// Calls a function with arguments that fit its signature.
pub fn call(name: &str, args: &[Value], environment: &mut Environment<'_>) -> Result<Value, String> {
    let text = |at: usize| args.get(at).and_then(Value::as_text).map_or("", |text| &**text);
    let moment = |at: usize| match args.get(at) {
        Some(Value::Time(moment)) => moment.clone(),
        _ => Moment::utc(gotime::zero_time()),
    };
    Ok(match name {
        "toUpper" => Value::text(casing::upper(text(0))),
        "toLower" => Value::text(casing::lower(text(0))),
        "title" => Value::text(casing::title(text(0))),
        "trimSpace" => Value::text(text(0).trim()),
        "join" => Value::text(args.get(1).map(strings_of).unwrap_or_default().join(text(0))),
        "match" => Value::Bool(environment.regex(text(0))?.is_match(text(1))),
        "reReplaceAll" => {
            let regex = environment
                .regex(text(0))
                .map_err(|problem| format!("regexp: Compile({}): {problem}", backquoted(text(0))))?;
            Value::text(replace_all(&regex, text(1), text(2))?)
        }
        "stringSlice" => Value::flat_list(ListKind::Strings, args.to_vec()),
        "safeHtml" => Value::Marked(Mark::Html, Arc::from(text(0))),
        "safeUrl" => Value::Marked(Mark::Url, Arc::from(text(0))),
        "urlUnescape" => Value::text(query_unescaped(text(0))?),
        "base64encode" => Value::text(URL_SAFE.encode(text(0))),
        "base64decode" => Value::text(base64_decoded(text(0))?),
        "date" => Value::text(moment(1).format(text(0))),
        "tz" => Value::Time(moment(1).in_zone(Zone::load(text(0))?)),
        "now" => Value::Time(Moment { at: environment.now(), zone: Zone::local() }),
        "since" => Value::Int(Moment::utc(environment.now()).since(&moment(0)), IntType::Duration),
        "toDate" => Value::Time(layout::parse(text(0), text(1)).unwrap_or_else(|_| Moment::utc(gotime::zero_time()))),
        "mustToDate" => Value::Time(layout::parse(text(0), text(1))?),
        "humanizeDuration" => Value::text(humanize_duration(args.first().unwrap_or(&Value::Nil))?),
        "toJson" => Value::text(json::to_json(args.first().unwrap_or(&Value::Nil), TEXT_BYTES_MAX)?),
        "list" => Value::List(Arc::new(List::new(ListKind::Any, args.to_vec())?)),
        "append" => append(args)?,
        "dict" => dict(args)?,
        "routeLabels" => Value::text(environment.route_label(text(0))?),
        _ => return Err(format!("function {name} is not known")),
    })
}

fn append(args: &[Value]) -> Result<Value, String> {
    let mut items = match args.first() {
        Some(Value::List(list)) => list.items.clone(),
        _ => Vec::new(),
    };
    items.extend(args.iter().skip(1).cloned());
    Ok(Value::List(Arc::new(List::new(ListKind::Any, items)?)))
}

fn dict(args: &[Value]) -> Result<Value, String> {
    if !args.len().is_multiple_of(2) {
        return Err("dict requires an even number of arguments".to_owned());
    }
    let mut entries = BTreeMap::new();
    for pair in args.chunks(2) {
        let [Value::Text(key), value] = pair else {
            return Err("dict keys must be strings".to_owned());
        };
        entries.insert(Arc::clone(key), value.clone());
    }
    Ok(Value::Map(Arc::new(Map::new(entries)?)))
}

fn backquoted(text: &str) -> String {
    if text.contains('`') { super::ast::quoted(text) } else { format!("`{text}`") }
}

/// `Regexp.ReplaceAllString`.
fn replace_all(regex: &Regex, replacement: &str, text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for captures in regex.captures_iter(text) {
        let Some(whole) = captures.get(0) else {
            continue;
        };
        out.push_str(text.get(copied..whole.start()).unwrap_or(""));
        expand(&mut out, replacement, &captures);
        copied = whole.end();
        if out.len() > TEXT_BYTES_MAX {
            return Err(format!("text longer than {TEXT_BYTES_MAX} bytes"));
        }
    }
    out.push_str(text.get(copied..).unwrap_or(""));
    Ok(out)
}

/// Go's replacement templates: `$1`, `${1}`, `$name` with the longest name, `$$`. What names no group is empty.
fn expand(out: &mut String, replacement: &str, captures: &Captures<'_>) {
    let mut rest = replacement;
    while let Some(dollar) = rest.find('$') {
        out.push_str(rest.get(..dollar).unwrap_or(""));
        rest = rest.get(dollar + 1..).unwrap_or("");
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let Some((name, after)) = group_name(rest) else {
            // Malformed: the dollar is text.
            out.push('$');
            continue;
        };
        rest = after;
        let group = match name.parse::<usize>() {
            Ok(number) => captures.get(number),
            Err(_) => captures.name(name),
        };
        out.push_str(group.map_or("", |found| found.as_str()));
    }
    out.push_str(rest);
}

fn group_name(text: &str) -> Option<(&str, &str)> {
    let braced = text.strip_prefix('{');
    let inner = braced.unwrap_or(text);
    let length = inner.len() - inner.trim_start_matches(|c: char| c == '_' || c.is_alphanumeric()).len();
    let (name, after) = inner.split_at_checked(length)?;
    if name.is_empty() {
        return None;
    }
    Some((name, if braced.is_some() { after.strip_prefix('}')? } else { after }))
}

/// `url.QueryUnescape`.
fn query_unescaped(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digit = |at: usize| after.get(at).and_then(|b| char::from(*b).to_digit(16));
                let (Some(high), Some(low)) = (digit(0), digit(1)) else {
                    let shown = String::from_utf8_lossy(after.get(..2.min(after.len())).unwrap_or(&[])).into_owned();
                    return Err(format!("invalid URL escape {}", super::ast::quoted(&format!("%{shown}"))));
                };
                bytes.push(u8::try_from(high * 16 + low).unwrap_or(0));
                rest = after.get(2..).unwrap_or(&[]);
            }
            byte => bytes.push(*byte),
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn base64_decoded(text: &str) -> Result<String, String> {
    // Go's decoder skips line ends.
    let text: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    match URL_SAFE.decode(&text) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _)) => {
            Err(format!("illegal base64 data at input byte {at}"))
        }
        Err(_) => Err(format!("illegal base64 data at input byte {}", text.len() / 4 * 4)),
    }
}

fn humanize_duration(value: &Value) -> Result<String, String> {
    let seconds = match value {
        Value::Float(seconds) => *seconds,
        Value::Int(nanos, IntType::Duration) => *nanos as f64 / 1e9,
        Value::Int(seconds, IntType::Int | IntType::Int64) => *seconds as f64,
        Value::Text(text) => parse_float(text)
            .ok_or_else(|| format!("strconv.ParseFloat: parsing {}: invalid syntax", super::ast::quoted(text)))?,
        other => {
            return Err(format!("can't convert {} to float", if other.is_nil() { "<nil>" } else { other.type_name() }));
        }
    };
    Ok(humanized(seconds))
}

fn humanized(mut seconds: f64) -> String {
    let four_digits = |value: f64| {
        let sign = if value < 0.0 { "-" } else { "" };
        format!("{sign}{}", floats::unsigned(value.abs(), 'g', Some(4)))
    };
    if seconds.is_nan() {
        return "NaN".to_owned();
    }
    if seconds.is_infinite() {
        return if seconds > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    if seconds == 0.0 {
        return "0s".to_owned();
    }
    if seconds.abs() < 1.0 {
        let mut prefix = "";
        for next in ["m", "u", "n", "p", "f", "a", "z", "y"] {
            if seconds.abs() >= 1.0 {
                break;
            }
            prefix = next;
            seconds *= 1000.0;
        }
        return format!("{}{prefix}s", four_digits(seconds));
    }
    let sign = if seconds < 0.0 { "-" } else { "" };
    let seconds = seconds.abs();
    let whole = seconds as i64;
    let (s, m, h, d) = (whole % 60, whole / 60 % 60, whole / 3600 % 24, whole / 86_400);
    if d != 0 {
        format!("{sign}{d}d {h}h {m}m {s}s")
    } else if h != 0 {
        format!("{sign}{h}h {m}m {s}s")
    } else if m != 0 {
        format!("{sign}{m}m {s}s")
    } else {
        format!("{sign}{}s", four_digits(seconds))
    }
}
