//! The server: reads the command line, starts logging and the runtime, and hands over to `app`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use carillon::{
    app,
    cli::{self, Command},
    clock::{self, Clock},
    logging,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if std::env::args().skip(1).eq(["demo"]) {
        return demonstrate();
    }
    let options = match cli::parse(std::env::args().skip(1), &app::version_text()) {
        Ok(Command::Print(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Ok(Command::Run(options)) => *options,
        Err(error) => {
            eprintln!("alertmanager: error: {error}, try --help");
            return ExitCode::FAILURE;
        }
    };
    logging::start(options.log_level, options.log_format, Clock::system());
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(err = %error, "the runtime cannot be started");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(app::run(options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(err = %error, "the server ends");
            ExitCode::FAILURE
        }
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    clock::timers_begin();
    Ok(runtime)
}

/// `carillon demo`.
fn demonstrate() -> ExitCode {
    let outcome = runtime().map_err(|error| error.to_string());
    match outcome.and_then(|runtime| runtime.block_on(app::demo::run()).map_err(|error| error.to_string())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("alertmanager: error: {error}");
            ExitCode::FAILURE
        }
    }
}
