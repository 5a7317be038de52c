//! `silence add`.

use std::{io::Write, os::unix::fs::MetadataExt as _};

use serde_json::json;

use super::lasting;
use crate::ctl::{Context, args::SilenceAddArgs, error::CtlError, words};

pub async fn run(args: &SilenceAddArgs, context: &Context, out: &mut dyn Write) -> Result<(), CtlError> {
    let matchers = words::matchers(context.mode, &words::with_alertname(context.mode, &args.matchers))?;
    if matchers.is_empty() {
        return Err(CtlError::NoMatchers);
    }
    let starts = words::time(&args.start)?.unwrap_or_else(|| context.clock.now().into());
    let ends = match words::time(&args.end)? {
        Some(ends) => ends,
        None => starts.checked_add_signed(lasting(&args.duration)?).ok_or(CtlError::StartsAfterEnd)?,
    };
    if starts > ends {
        return Err(CtlError::StartsAfterEnd);
    }
    if args.require_comment && args.comment.is_empty() {
        return Err(CtlError::NoComment);
    }
    let annotations = words::pairs(context.mode, &args.annotation)?;
    let matchers: Vec<_> = matchers
        .iter()
        .map(|matcher| {
            let op = matcher.op();
            json!({ "name": matcher.name(), "value": matcher.value(), "isRegex": op.is_regex(), "isEqual": op.is_equal() })
        })
        .collect();
    let silence = json!({
        "matchers": matchers,
        "startsAt": words::time_text(starts),
        "endsAt": words::time_text(ends),
        "createdBy": args.author.clone().unwrap_or_else(user),
        "comment": args.comment,
        "annotations": annotations,
    });
    let id = context.server().await?.post_silence(&silence).await?;
    Ok(writeln!(out, "{id}")?)
}

/// The user who runs this: by the system's list, else by the environment.
fn user() -> String {
    let listed = || {
        let uid = std::fs::metadata("/proc/self").ok()?.uid().to_string();
        let list = std::fs::read_to_string("/etc/passwd").ok()?;
        list.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)? == uid).then(|| name.to_owned())
        })
    };
    listed().or_else(|| std::env::var("USER").ok()).unwrap_or_default()
}
