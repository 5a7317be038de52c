//! The commands about silences: `query` and `expire` here, the others in rooms of their own.

mod add;
mod import;
mod update;

use std::io::Write;

use chrono::TimeDelta;

use super::{
    Context,
    args::{Output, SilenceCommand, SilenceExpireArgs, SilenceQueryArgs},
    error::CtlError,
    model::{Item, Silence},
    output,
    table::Table,
    words,
};
use crate::{
    alert::text::parse_prometheus_duration,
    clock::{Time, delta},
};

/// # Errors
/// The command failed.
pub async fn run(command: SilenceCommand, context: &Context, out: &mut dyn Write) -> Result<(), CtlError> {
    match command {
        SilenceCommand::Add(args) => add::run(&args, context, out).await,
        SilenceCommand::Expire(args) => expire(&args, context).await,
        SilenceCommand::Import(args) => import::run(&args, context, out).await,
        SilenceCommand::Query(args) => query(&args, context, out).await,
        SilenceCommand::Update(args) => update::run(&args, context, out).await,
    }
}

async fn query(args: &SilenceQueryArgs, context: &Context, out: &mut dyn Write) -> Result<(), CtlError> {
    let filter = words::with_alertname(context.mode, &args.matchers);
    words::tell_notices(context.mode, &filter);
    let silences = context.server().await?.silences(&filter).await?;
    let now = context.clock.now();
    let wanted: Vec<_> = silences.into_iter().filter(|silence| is_wanted(&silence.value, args, now)).collect();
    if args.quiet {
        return wanted.iter().try_for_each(|silence| Ok(writeln!(out, "{}", silence.value.id)?));
    }
    print(wanted, context, out)
}

fn is_wanted(silence: &Silence, args: &SilenceQueryArgs, now: Time) -> bool {
    let ends: Time = silence.ends_at.0.into();
    let has_ended = ends < now;
    let within = args.within.filter(|within| !within.is_zero()).map(delta);
    let is_near = |within: TimeDelta| if args.expired { now - ends <= within } else { ends - now <= within };
    has_ended == args.expired
        && within.is_none_or(is_near)
        && (args.created_by.is_empty() || silence.created_by == args.created_by)
        && (args.id.is_empty() || silence.id == args.id)
}

/// All three forms of a list of silences.
fn print(mut silences: Vec<Item<Silence>>, context: &Context, out: &mut dyn Write) -> Result<(), CtlError> {
    if context.globals.output == Output::Json {
        return output::json_list(&silences, out);
    }
    silences.sort_by_key(|silence| silence.value.ends_at.0);
    let layout = &context.globals.date_format;
    let mut table = Table::default();
    let simple = context.globals.output == Output::Simple;
    if simple {
        table.row(["ID", "Matchers", "Ends At", "Created By", "Comment"]);
    } else {
        table.row(["ID", "Matchers", "Starts At", "Ends At", "Updated At", "Created By", "Comment"]);
    }
    for silence in silences.iter().map(|silence| &silence.value) {
        let Silence { id, created_by, comment, .. } = silence;
        let matchers: Vec<String> = silence.matchers.iter().map(super::model::SilenceMatcher::text).collect();
        let ends = silence.ends_at.format(layout);
        if simple {
            table.row([&**id, &matchers.join(" "), &ends, created_by, comment]);
        } else {
            let matchers = format!("{{{}}}", matchers.join(","));
            let (starts, updated) = (silence.starts_at.format(layout), silence.updated_at.format(layout));
            table.row([&**id, &matchers, &starts, &ends, &updated, created_by, comment]);
        }
    }
    Ok(write!(out, "{}", table.text())?)
}

async fn expire(args: &SilenceExpireArgs, context: &Context) -> Result<(), CtlError> {
    if args.ids.is_empty() {
        return Err(CtlError::NoIds);
    }
    let server = context.server().await?;
    for id in &args.ids {
        server.expire(id).await?;
    }
    Ok(())
}

/// How long a silence shall last.
fn lasting(text: &str) -> Result<TimeDelta, CtlError> {
    let duration = parse_prometheus_duration(text)?;
    if duration.is_zero() { Err(CtlError::NoDuration) } else { Ok(delta(duration)) }
}
