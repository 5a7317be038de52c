//! The command-line tool. Everything is in `carillon::ctl`; here only the process is.

#![forbid(unsafe_code)]

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use carillon::ctl::{self, Cli, CtlError};
use clap::{Parser as _, error::ErrorKind};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // Who closes the pipe does not want to know.
            drop(error.print());
            return if asked { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let result = ctl::run(cli, &mut out).and_then(|()| out.flush().map_err(CtlError::Output));
    let flushed = out.flush();
    match result {
        Ok(()) if flushed.is_ok() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => {
            drop(writeln!(io::stderr(), "carillonctl: error: {error}\n"));
            ExitCode::FAILURE
        }
    }
}
