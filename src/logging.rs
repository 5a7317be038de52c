//! Log lines in the reference's form: `time=… level=INFO source=file.rs:12 msg="…" key=value`, or the same as JSON.
//!
//! Everything else logs through `tracing`; only this room knows what a line looks like.

use std::fmt;

use chrono::SecondsFormat;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    filter::LevelFilter,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use crate::{
    cli::{LogFormat, LogLevel},
    clock::Clock,
};

/// Sends what is logged from now on to standard error. Later calls have no effect.
pub fn start(level: LogLevel, format: LogFormat, clock: Clock) {
    let level = match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    // Only our own words: libraries below us have other ideas of what is worth a line.
    let filter = tracing_subscriber::filter::Targets::new().with_target("carillon", level);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).event_format(Line { format, clock });
    use tracing_subscriber::{Layer, layer::SubscriberExt, util::SubscriberInitExt};
    // A second start (two servers in one process) keeps the first subscriber.
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter)).try_init();
}

struct Line {
    format: LogFormat,
    clock: Clock,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let meta = event.metadata();
        let level = match *meta.level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARN",
            Level::INFO => "INFO",
            Level::DEBUG | Level::TRACE => "DEBUG",
        };
        let file = meta.file().unwrap_or("unknown").rsplit("src/").next().unwrap_or("unknown");
        let time = self.clock.now().to_rfc3339_opts(SecondsFormat::Millis, true);
        let mut fields = Fields::default();
        event.record(&mut fields);
        let source = format!("{file}:{}", meta.line().unwrap_or(0));
        match self.format {
            LogFormat::Logfmt => {
                write!(writer, "time={time} level={level} source={source} msg=")?;
                write_text(&mut writer, &fields.message)?;
                for (key, value) in &fields.values {
                    write!(writer, " {key}=")?;
                    write_text(&mut writer, &value.text())?;
                }
            }
            LogFormat::Json => {
                write!(writer, "{{\"time\":{},\"level\":\"{level}\",\"source\":{}", json(&time), json(&source))?;
                write!(writer, ",\"msg\":{}", json(&fields.message))?;
                for (key, value) in &fields.values {
                    write!(writer, ",{}:{}", json(key), value.json())?;
                }
                writer.write_char('}')?;
            }
        }
        writer.write_char('\n')
    }
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Quoted where a blank, a quote, an equals sign or something unprintable would tear the line.
fn write_text(writer: &mut Writer<'_>, text: &str) -> fmt::Result {
    let plain =
        !text.is_empty() && text.chars().all(|c| c > ' ' && c != '"' && c != '=' && c != '\\' && !c.is_control());
    if plain { writer.write_str(text) } else { writer.write_str(&json(text)) }
}

enum Value {
    Text(String),
    Number(String),
}

impl Value {
    fn text(&self) -> String {
        match self {
            Value::Text(text) | Value::Number(text) => text.clone(),
        }
    }

    fn json(&self) -> String {
        match self {
            Value::Text(text) => json(text),
            Value::Number(text) => text.clone(),
        }
    }
}

/// The fields of one event, in the order they were given.
#[derive(Default)]
struct Fields {
    message: String,
    values: Vec<(&'static str, Value)>,
}

impl Fields {
    fn push(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", value) => self.message = value.text(),
            (name, value) => self.values.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field, Value::Text(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, Value::Text(value.to_owned()));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.push(field, Value::Text(value.to_string()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, Value::Number(value.to_string()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, Value::Number(value.to_string()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, Value::Number(value.to_string()));
    }
}
