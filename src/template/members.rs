//! Fields and methods of the values: what may stand behind a dot.

use std::sync::Arc;

use chrono::{Datelike, Timelike};

use super::{
    format::pair_values,
    gotime::{self, Moment, Zone},
    params::Param,
    value::{IntType, ListKind, Value, own_text, sorted_pairs},
};

/// What a method does with its receiver and arguments; the error is the message.
pub type Call = fn(&Value, &[Value]) -> Result<Value, String>;

/// A method: what it takes, and what it does.
pub struct Method {
    pub params: &'static [Param],
    pub call: Call,
}

/// What a name behind a dot means for a value.
pub enum Member {
    Method(Method),
    Field(Value),
    /// Go methods that give more results than templates take.
    TooManyResults(usize),
    /// A Go field that templates may not see.
    Unexported,
    None,
}

/// Looks `name` up; maps are asked elsewhere, after their methods.
pub fn member(value: &Value, name: &str) -> Member {
    if let Some(method) = method(value, name) {
        return Member::Method(method);
    }
    match value {
        Value::Data(data) => field_of(data.fields(), name),
        Value::Alert(alert) => field_of(alert.fields(), name),
        Value::Pair(key, text) => match name {
            "Name" => Member::Field(Value::Text(Arc::clone(key))),
            "Value" => Member::Field(Value::Text(Arc::clone(text))),
            _ => Member::None,
        },
        Value::Time(_) => match name {
            "Date" | "Clock" | "ISOWeek" => Member::TooManyResults(3),
            "wall" | "ext" | "loc" => Member::Unexported,
            _ => Member::None,
        },
        _ => Member::None,
    }
}

fn field_of<const N: usize>(fields: [(&'static str, Value); N], name: &str) -> Member {
    fields.into_iter().find(|(field, _)| *field == name).map_or(Member::None, |(_, value)| Member::Field(value))
}

fn method(value: &Value, name: &str) -> Option<Method> {
    match value {
        Value::Kv(_) => kv_method(name),
        Value::List(list) => match list.kind {
            ListKind::Alerts => alerts_method(name),
            ListKind::Pairs => pairs_method(name),
            ListKind::JoinableStrings if name == "Join" => {
                Some(Method { params: &[Param::Text], call: |list, args| Ok(join(list, args)) })
            }
            _ => None,
        },
        Value::Time(_) => time_method(name),
        Value::Int(_, IntType::Duration) => duration_method(name),
        Value::Int(_, IntType::Month | IntType::Weekday) | Value::Zone(_) if name == "String" => {
            Some(Method { params: &[], call: text_of })
        }
        _ => None,
    }
}

fn text_of(value: &Value, _: &[Value]) -> Result<Value, String> {
    Ok(Value::text(own_text(value).unwrap_or_default()))
}

fn join(list: &Value, args: &[Value]) -> Value {
    let separator = args.first().and_then(Value::as_text).map_or("", |text| text);
    Value::text(strings_of(list).join(separator))
}

/// The texts of a list of strings.
pub fn strings_of(list: &Value) -> Vec<&str> {
    match list {
        Value::List(list) => list.items.iter().filter_map(Value::as_text).map(|text| &**text).collect(),
        _ => Vec::new(),
    }
}

fn kv_method(name: &str) -> Option<Method> {
    let call: Call = match name {
        "SortedPairs" => |kv, _| Ok(with_labels(kv, pair_values)),
        "Names" => |kv, _| {
            Ok(with_labels(kv, |set| Value::strings(ListKind::JoinableStrings, sorted_pairs(set).map(|(n, _)| n))))
        },
        "Values" => |kv, _| {
            Ok(with_labels(kv, |set| Value::strings(ListKind::JoinableStrings, sorted_pairs(set).map(|(_, v)| v))))
        },
        "String" => text_of,
        "Remove" => {
            return Some(Method {
                params: &[Param::Strings],
                call: |kv, args| {
                    let removed = args.first().map(strings_of).unwrap_or_default();
                    Ok(with_labels(kv, |set| Value::Kv(set.restricted(|name| !removed.contains(&name)))))
                },
            });
        }
        _ => return None,
    };
    Some(Method { params: &[], call })
}

fn with_labels(value: &Value, make: impl FnOnce(&crate::alert::Labels) -> Value) -> Value {
    match value {
        Value::Kv(labels) => make(labels),
        _ => Value::Nil,
    }
}

fn alerts_method(name: &str) -> Option<Method> {
    let call: Call = match name {
        "Firing" => |list, _| Ok(alerts_with_status(list, "firing")),
        "Resolved" => |list, _| Ok(alerts_with_status(list, "resolved")),
        _ => return None,
    };
    Some(Method { params: &[], call })
}

fn alerts_with_status(list: &Value, status: &str) -> Value {
    let Value::List(list) = list else {
        return Value::Nil;
    };
    let matching = list.items.iter().filter(|item| matches!(item, Value::Alert(alert) if *alert.status == *status));
    Value::flat_list(ListKind::SomeAlerts, matching.cloned().collect())
}

fn pairs_method(name: &str) -> Option<Method> {
    fn strings(list: &Value, part: fn(&Arc<str>, &Arc<str>) -> Value) -> Value {
        let Value::List(list) = list else {
            return Value::Nil;
        };
        let texts = list.items.iter().filter_map(|item| match item {
            Value::Pair(name, value) => Some(part(name, value)),
            _ => None,
        });
        Value::flat_list(ListKind::JoinableStrings, texts.collect())
    }
    let call: Call = match name {
        "Names" => |list, _| Ok(strings(list, |name, _| Value::Text(Arc::clone(name)))),
        "Values" => |list, _| Ok(strings(list, |_, value| Value::Text(Arc::clone(value)))),
        "String" => text_of,
        _ => return None,
    };
    Some(Method { params: &[], call })
}

fn int(value: impl Into<i64>) -> Value {
    Value::Int(value.into(), IntType::Int)
}

fn int64(value: i64) -> Value {
    Value::Int(value, IntType::Int64)
}

fn duration(nanos: i64) -> Value {
    Value::Int(nanos, IntType::Duration)
}

fn on_time(value: &Value, make: impl FnOnce(&Moment) -> Value) -> Result<Value, String> {
    Ok(match value {
        Value::Time(moment) => make(moment),
        _ => Value::Nil,
    })
}

fn time_method(name: &str) -> Option<Method> {
    plain_time_method(name).map(|call| Method { params: &[], call }).or_else(|| time_method_with_arguments(name))
}

fn plain_time_method(name: &str) -> Option<Call> {
    Some(match name {
        "String" => text_of,
        "GoString" => |t, _| on_time(t, |t| Value::text(t.go_text())),
        "Unix" => |t, _| on_time(t, |t| int64(t.at.timestamp())),
        "UnixMilli" => |t, _| on_time(t, |t| int64(t.at.timestamp_millis())),
        "UnixMicro" => |t, _| on_time(t, |t| int64(t.at.timestamp_micros())),
        "UnixNano" => |t, _| {
            // Go's wraps round as well outside of its range.
            on_time(t, |t| {
                let nanos = t.at.timestamp().wrapping_mul(1_000_000_000);
                int64(nanos.wrapping_add(i64::from(t.at.timestamp_subsec_nanos())))
            })
        },
        "UTC" => |t, _| on_time(t, |t| Value::Time(t.in_zone(Zone::Utc))),
        "Local" => |t, _| on_time(t, |t| Value::Time(t.in_zone(Zone::local()))),
        "Location" => |t, _| on_time(t, |t| Value::Zone(t.zone.clone())),
        "IsZero" => |t, _| on_time(t, |t| Value::Bool(t.is_zero())),
        "IsDST" => |t, _| on_time(t, |t| Value::Bool(is_summer_time(t))),
        "Year" => |t, _| on_time(t, |t| int(t.local().0.year())),
        "Month" => |t, _| on_time(t, |t| Value::Int(i64::from(t.local().0.month()), IntType::Month)),
        "Day" => |t, _| on_time(t, |t| int(t.local().0.day())),
        "Hour" => |t, _| on_time(t, |t| int(t.local().0.hour())),
        "Minute" => |t, _| on_time(t, |t| int(t.local().0.minute())),
        "Second" => |t, _| on_time(t, |t| int(t.local().0.second())),
        "Nanosecond" => |t, _| on_time(t, |t| int(t.local().0.nanosecond())),
        "YearDay" => |t, _| on_time(t, |t| int(t.local().0.ordinal())),
        "Weekday" => {
            |t, _| on_time(t, |t| Value::Int(i64::from(t.local().0.weekday().num_days_from_sunday()), IntType::Weekday))
        }
        _ => return None,
    })
}

fn is_summer_time(moment: &Moment) -> bool {
    use chrono::TimeZone;
    use chrono_tz::OffsetComponents;
    match &moment.zone {
        Zone::Named(tz) => !tz.offset_from_utc_datetime(&moment.at.naive_utc()).dst_offset().is_zero(),
        _ => false,
    }
}

fn time_method_with_arguments(name: &str) -> Option<Method> {
    fn other(args: &[Value]) -> Moment {
        match args.first() {
            Some(Value::Time(moment)) => moment.clone(),
            _ => Moment::utc(gotime::zero_time()),
        }
    }
    fn number(args: &[Value], at: usize) -> i64 {
        match args.get(at) {
            Some(Value::Int(value, _)) => *value,
            _ => 0,
        }
    }
    Some(match name {
        "Format" => Method {
            params: &[Param::Text],
            call: |t, args| {
                let layout = args.first().and_then(Value::as_text).map_or("", |text| text);
                on_time(t, |t| Value::text(t.format(layout)))
            },
        },
        "In" => Method {
            params: &[Param::Zone],
            call: |t, args| match args.first() {
                Some(Value::Zone(zone)) => on_time(t, |t| Value::Time(t.in_zone(zone.clone()))),
                _ => Err("time: missing Location in call to Time.In".to_owned()),
            },
        },
        "Add" => {
            Method { params: &[Param::Duration], call: |t, args| on_time(t, |t| Value::Time(t.plus(number(args, 0)))) }
        }
        "Truncate" => Method {
            params: &[Param::Duration],
            call: |t, args| on_time(t, |t| Value::Time(t.rounded(number(args, 0), false))),
        },
        "Round" => Method {
            params: &[Param::Duration],
            call: |t, args| on_time(t, |t| Value::Time(t.rounded(number(args, 0), true))),
        },
        "AddDate" => Method {
            params: &[Param::Int, Param::Int, Param::Int],
            call: |t, args| on_time(t, |t| Value::Time(t.add_date(number(args, 0), number(args, 1), number(args, 2)))),
        },
        "Sub" => Method { params: &[Param::Time], call: |t, args| on_time(t, |t| duration(t.since(&other(args)))) },
        "Before" => {
            Method { params: &[Param::Time], call: |t, args| on_time(t, |t| Value::Bool(t.at < other(args).at)) }
        }
        "After" => {
            Method { params: &[Param::Time], call: |t, args| on_time(t, |t| Value::Bool(t.at > other(args).at)) }
        }
        "Equal" => {
            Method { params: &[Param::Time], call: |t, args| on_time(t, |t| Value::Bool(t.at == other(args).at)) }
        }
        "Compare" => {
            Method { params: &[Param::Time], call: |t, args| on_time(t, |t| int(t.at.cmp(&other(args).at) as i8)) }
        }
        _ => return None,
    })
}

fn duration_method(name: &str) -> Option<Method> {
    fn on(value: &Value, make: impl FnOnce(i64) -> Value) -> Result<Value, String> {
        Ok(match value {
            Value::Int(nanos, _) => make(*nanos),
            _ => Value::Nil,
        })
    }
    fn unit(args: &[Value]) -> i64 {
        match args.first() {
            Some(Value::Int(nanos, _)) => *nanos,
            _ => 0,
        }
    }
    const SECOND: f64 = 1e9;
    let call: Call = match name {
        "Nanoseconds" => |d, _| on(d, int64),
        "Microseconds" => |d, _| on(d, |nanos| int64(nanos / 1_000)),
        "Milliseconds" => |d, _| on(d, |nanos| int64(nanos / 1_000_000)),
        "Seconds" => |d, _| on(d, |nanos| Value::Float(in_units(nanos, SECOND))),
        "Minutes" => |d, _| on(d, |nanos| Value::Float(in_units(nanos, 60.0 * SECOND))),
        "Hours" => |d, _| on(d, |nanos| Value::Float(in_units(nanos, 3600.0 * SECOND))),
        "String" => text_of,
        "Abs" => |d, _| on(d, |nanos| duration(nanos.saturating_abs())),
        "Truncate" => {
            return Some(Method {
                params: &[Param::Duration],
                call: |d, args| on(d, |nanos| duration(truncated(nanos, unit(args)))),
            });
        }
        "Round" => {
            return Some(Method {
                params: &[Param::Duration],
                call: |d, args| on(d, |nanos| duration(rounded(nanos, unit(args)))),
            });
        }
        _ => return None,
    };
    Some(Method { params: &[], call })
}

/// Whole units and the rest apart, as Go does, so that the last digits agree.
fn in_units(nanos: i64, unit: f64) -> f64 {
    let whole = nanos / unit as i64;
    let rest = nanos % unit as i64;
    whole as f64 + rest as f64 / unit
}

fn truncated(nanos: i64, unit: i64) -> i64 {
    if unit <= 0 { nanos } else { nanos - nanos % unit }
}

/// To the nearest multiple, halves away from zero.
fn rounded(nanos: i64, unit: i64) -> i64 {
    if unit <= 0 {
        return nanos;
    }
    let rest = (nanos % unit).abs();
    let towards_zero = nanos - nanos % unit;
    if rest.saturating_add(rest) < unit {
        return towards_zero;
    }
    if nanos < 0 { towards_zero.saturating_sub(unit) } else { towards_zero.saturating_add(unit) }
}
