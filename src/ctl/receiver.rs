//! `receiver test`: has the server send a test notification, and tells what came of it.

use std::io::Write;

use serde_json::json;

use super::{
    Context,
    args::{Output, ReceiverTestArgs},
    error::CtlError,
    model::TestAttempt,
    output,
    terminal::Paint,
    words,
};

/// # Errors
/// The server does not do it, or an integration of the receiver failed.
pub async fn test(args: &ReceiverTestArgs, context: &Context, out: &mut dyn Write) -> Result<(), CtlError> {
    let order = json!({
        "labels": words::pairs(context.mode, &args.labels)?,
        "annotations": words::pairs(context.mode, &args.annotation)?,
        "resolved": args.resolved,
        "dryRun": args.dry_run,
    });
    let name = args.name.as_deref().unwrap_or_default();
    let report = context.server().await?.test_receiver(name, &order).await?;
    let attempts = &report.value.attempts;
    if context.globals.output == Output::Json {
        output::json(&report.raw, out)?;
    } else {
        let paint = Paint::of_output();
        if attempts.is_empty() {
            writeln!(out, "The receiver {name:?} has no integrations: what is routed to it is told to nobody.")?;
        }
        attempts.iter().try_for_each(|attempt| tell(attempt, paint, out))?;
    }
    // The last attempt of an integration counts.
    let failed = attempts.iter().enumerate().any(|(at, attempt)| {
        let is_last = attempts.get(at + 1).is_none_or(|next| next.attempt == 1);
        is_last && attempt.outcome == "failed"
    });
    if failed { Err(CtlError::Told) } else { Ok(()) }
}

fn tell(attempt: &TestAttempt, paint: Paint, out: &mut dyn Write) -> Result<(), CtlError> {
    let TestAttempt { integration, index, attempt: number, outcome, message, seconds } = attempt;
    let place = format!("{integration}[{index}], attempt {number}");
    match outcome.as_str() {
        "rehearsed" => {
            let indented: String = message.lines().map(|line| format!("  {line}\n")).collect();
            writeln!(out, "{place}: {}\n{indented}", paint.good("would send"))?;
        }
        "sent" => writeln!(out, "{place}: {} after {seconds:.3} s", paint.good("sent"))?,
        "failed" => writeln!(out, "{place}: {} after {seconds:.3} s: {message}", paint.bad("failed"))?,
        other => writeln!(out, "{place}: {}: {message}", paint.warning(other))?,
    }
    Ok(())
}
