//! `config show`.

use std::io::Write;

use super::{Context, args::Output, error::CtlError, output};

/// # Errors
/// The server does not answer as it should.
pub async fn run(context: &Context, out: &mut dyn Write) -> Result<(), CtlError> {
    let status = context.server().await?.status().await?;
    let (raw, status) = (status.raw, status.value);
    let original = &status.config.original;
    match context.globals.output {
        Output::Json => output::json(&raw, out)?,
        Output::Simple => writeln!(out, "{original}")?,
        Output::Extended => {
            let version = &status.version;
            writeln!(out, "{original}")?;
            writeln!(out, "buildUser {}", version.build_user)?;
            writeln!(out, "goVersion {}", version.go_version)?;
            writeln!(out, "revision {}", version.revision)?;
            writeln!(out, "version {}", version.version)?;
            writeln!(out, "branch {}", version.branch)?;
            writeln!(out, "buildDate {}", version.build_date)?;
            writeln!(out, "uptime {}", status.uptime)?;
        }
    }
    Ok(())
}
