//! `silence update`: what is there, with some of it changed, posted again.

use std::{collections::BTreeMap, io::Write};

use serde_json::{Value, value::RawValue};

use super::{lasting, print};
use crate::ctl::{
    Context,
    args::SilenceUpdateArgs,
    error::CtlError,
    model::{Item, Silence},
    output::json_text,
    words,
};

/// In the order in which servers write them.
const KEYS: [&str; 9] =
    ["id", "status", "updatedAt", "annotations", "comment", "createdBy", "endsAt", "matchers", "startsAt"];

/// A silence by its keys, each value as it came.
type Fields = BTreeMap<String, Box<RawValue>>;

pub async fn run(args: &SilenceUpdateArgs, context: &Context, out: &mut dyn Write) -> Result<(), CtlError> {
    if args.ids.is_empty() {
        return Err(CtlError::NoIds);
    }
    let server = context.server().await?;
    let mut updated = Vec::new();
    for id in &args.ids {
        let silence = server.silence(id).await?;
        let mut fields = changed(&silence, args)?;
        let whole: Value = serde_json::from_str(text(&fields).as_str()).map_err(CtlError::NotJson)?;
        let id = server.post_silence(&posted(&whole)).await?;
        set(&mut fields, "id", &id)?;
        let raw = RawValue::from_string(text(&fields)).map_err(CtlError::NotJson)?;
        updated.push(Item::read(raw).map_err(CtlError::NotJson)?);
    }
    if args.quiet {
        return updated.iter().try_for_each(|silence: &Item<Silence>| Ok(writeln!(out, "{}", silence.value.id)?));
    }
    print(updated, context, out)
}

fn changed(silence: &Item<Silence>, args: &SilenceUpdateArgs) -> Result<Fields, CtlError> {
    let mut fields: Fields = serde_json::from_str(silence.raw.get()).map_err(CtlError::NotJson)?;
    let starts = words::time(&args.start)?.unwrap_or(silence.value.starts_at.0);
    let ends = match (words::time(&args.end)?, args.duration.as_str()) {
        (Some(ends), _) => ends,
        (None, "") => silence.value.ends_at.0,
        (None, duration) => starts.checked_add_signed(lasting(duration)?).ok_or(CtlError::StartsAfterEnd)?,
    };
    if starts > ends {
        return Err(CtlError::StartsAfterEnd);
    }
    set(&mut fields, "startsAt", &words::time_text(starts))?;
    set(&mut fields, "endsAt", &words::time_text(ends))?;
    if !args.comment.is_empty() {
        set(&mut fields, "comment", &args.comment)?;
    }
    Ok(fields)
}

fn set(fields: &mut Fields, key: &str, value: &str) -> Result<(), CtlError> {
    let raw = RawValue::from_string(json_text(value)).map_err(CtlError::NotJson)?;
    fields.insert(key.to_owned(), raw);
    Ok(())
}

fn text(fields: &Fields) -> String {
    let known = KEYS.iter().filter_map(|key| fields.get_key_value(*key));
    let others = fields.iter().filter(|(key, _)| !KEYS.contains(&key.as_str()));
    let parts: Vec<String> =
        known.chain(others).map(|(key, raw)| format!("{}:{}", json_text(key), raw.get())).collect();
    format!("{{{}}}", parts.join(","))
}

/// What of a silence is its writer's; the rest is the server's.
pub fn posted(silence: &Value) -> Value {
    const KEYS: [&str; 7] = ["id", "matchers", "startsAt", "endsAt", "createdBy", "comment", "annotations"];
    let keys = KEYS.iter().filter_map(|key| Some(((*key).to_owned(), silence.get(key)?.clone())));
    Value::Object(keys.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_changed_stays_as_the_server_wrote_it() {
        let raw = r#"{"id":"i","comment":"\u003cc\u003e","endsAt":"2026-11-24T13:00:00.000Z","matchers":[],"new":[1],"startsAt":"2026-11-24T12:00:00.000Z","updatedAt":"2026-11-24T12:00:00.000Z"}"#;
        let silence = Item::read(RawValue::from_string(raw.to_owned()).unwrap()).unwrap();
        let args = SilenceUpdateArgs {
            quiet: false,
            duration: "3h".into(),
            start: String::new(),
            end: String::new(),
            comment: String::new(),
            ids: vec![],
        };
        assert_eq!(
            text(&changed(&silence, &args).unwrap()),
            r#"{"id":"i","updatedAt":"2026-11-24T12:00:00.000Z","comment":"\u003cc\u003e","endsAt":"2026-11-24T15:00:00.000Z","matchers":[],"startsAt":"2026-11-24T12:00:00.000Z","new":[1]}"#
        );
        let late = SilenceUpdateArgs { start: "2027-01-01T00:00:00Z".into(), duration: String::new(), ..args };
        assert!(matches!(changed(&silence, &late), Err(CtlError::StartsAfterEnd)));
    }
}
