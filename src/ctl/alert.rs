//! `alert query` and `alert add`.

use std::{collections::BTreeMap, io::Write};

use serde_json::json;

use super::{
    Context,
    args::{AlertAddArgs, AlertQueryArgs, Output},
    error::CtlError,
    model::{Alert, Item},
    output,
    server::AlertFilter,
    table::Table,
    words,
};

/// # Errors
/// The server does not answer as it should.
pub async fn query(args: &AlertQueryArgs, context: &Context, out: &mut dyn Write) -> Result<(), CtlError> {
    let any = args.active || args.inhibited || args.silenced || args.unprocessed;
    let filter = AlertFilter {
        active: args.active || !any,
        inhibited: args.inhibited,
        silenced: args.silenced,
        unprocessed: args.unprocessed,
        receiver: args.receiver.clone(),
        matchers: words::with_alertname(context.mode, &args.matchers),
    };
    words::tell_notices(context.mode, &filter.matchers);
    let server = context.server().await?;
    let alerts = server.alerts(&filter).await?;
    print(alerts, context, out)
}

fn print(mut alerts: Vec<Item<Alert>>, context: &Context, out: &mut dyn Write) -> Result<(), CtlError> {
    if context.globals.output == Output::Json {
        return output::json_list(&alerts, out);
    }
    alerts.sort_by_key(|alert| alert.value.starts_at.0);
    let layout = &context.globals.date_format;
    let mut table = Table::default();
    if context.globals.output == Output::Simple {
        table.row(["Alertname", "Starts At", "Summary", "State"]);
        for Alert { labels, annotations, starts_at, status, .. } in alerts.iter().map(|alert| &alert.value) {
            let text = |map: &BTreeMap<String, String>, name: &str| map.get(name).cloned().unwrap_or_default();
            let (name, summary) = (text(labels, "alertname"), text(annotations, "summary"));
            table.row([&*name, &starts_at.format(layout), &summary, &status.state]);
        }
    } else {
        table.row(["Labels", "Annotations", "Starts At", "Ends At", "Generator URL", "State"]);
        for alert in alerts.iter().map(|alert| &alert.value) {
            table.row([
                &*all(&alert.labels),
                &all(&alert.annotations),
                &alert.starts_at.format(layout),
                &alert.ends_at.format(layout),
                &alert.generator_url,
                &alert.status.state,
            ]);
        }
    }
    Ok(write!(out, "{}", table.text())?)
}

/// `a="1" b="2"`, with values as they are.
fn all(labels: &BTreeMap<String, String>) -> String {
    let mut texts: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    // Amtool sorts the texts, not the names.
    texts.sort();
    texts.join(" ")
}

/// # Errors
/// A label or a time cannot be read, or the server refuses the alert.
pub async fn add(args: &AlertAddArgs, context: &Context) -> Result<(), CtlError> {
    let labels = words::pairs(context.mode, &words::with_alertname(context.mode, &args.labels))?;
    let annotations = words::pairs(context.mode, &args.annotation)?;
    let (start, end) = (words::time(&args.start)?, words::time(&args.end)?);
    let mut alert = json!({ "labels": labels, "annotations": annotations, "generatorURL": args.generator_url });
    for (key, at) in [("startsAt", start), ("endsAt", end)] {
        if let Some(at) = at {
            alert[key] = json!(words::time_text(at));
        }
    }
    let server = context.server().await?;
    Ok(server.post_alerts(&json!([alert])).await?)
}
