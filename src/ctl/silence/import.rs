//! `silence import`: many silences, several at a time.

use std::{
    fs,
    io::{self, Read as _, Write},
};

use futures_util::{StreamExt as _, stream};
use serde_json::Value;

use super::update::posted;
use crate::ctl::{
    Context,
    args::SilenceImportArgs,
    error::{CtlError, ServerError},
    server::Server,
    terminal::{self, Progress},
};

pub async fn run(args: &SilenceImportArgs, context: &Context, out: &mut dyn Write) -> Result<(), CtlError> {
    let text = match &args.file {
        Some(path) => fs::read(path).map_err(|source| CtlError::Read { path: path.clone(), source })?,
        None => {
            let mut text = Vec::new();
            io::stdin().read_to_end(&mut text).map_err(|source| CtlError::Read { path: "stdin".into(), source })?;
            text
        }
    };
    let silences: Vec<Value> = serde_json::from_slice(&text).map_err(CtlError::NotJson)?;
    let all = silences.len();
    let server = context.server().await?;
    let mut progress = Progress::new("silences", all, &context.clock);
    let mut failed = 0;
    let mut imported = stream::iter(silences)
        .map(|silence| import(&server, silence, args.force))
        .buffer_unordered(args.workers.max(1));
    while let Some((id, outcome)) = imported.next().await {
        progress.step();
        match outcome {
            Ok(new) => writeln!(out, "{new}")?,
            Err(error) => {
                progress.clear();
                terminal::say(&format!("Error adding silence id='{id}': {error}"));
                failed += 1;
            }
        }
    }
    if failed > 0 { Err(CtlError::Import { failed, all }) } else { Ok(()) }
}

/// One silence: its id in the file, and its id in the server.
async fn import(server: &Server, silence: Value, force: bool) -> (String, Result<String, ServerError>) {
    let id = silence.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut silence = posted(&silence);
    if force {
        without_id(&mut silence);
    }
    let outcome = match server.post_silence(&silence).await {
        // The server does not know this one: a new one then.
        Err(ServerError::Refused { status: 404, .. }) if !force && !id.is_empty() => {
            without_id(&mut silence);
            server.post_silence(&silence).await
        }
        outcome => outcome,
    };
    (id, outcome)
}

fn without_id(silence: &mut Value) {
    if let Some(silence) = silence.as_object_mut() {
        silence.remove("id");
    }
}
