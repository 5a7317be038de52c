//! The command-line tool: amtool's commands under the name `carillonctl`, and some of its own.
//!
//! Arguments come in, text for a person or a script goes out; whatever fails ends in one [`CtlError`].
//! What a command needs of the server it gets over the API, never by reaching into it.
//!
//! The way: `args` (what may be written) and `line` (how it is read, with `settings`) make a [`Cli`]; [`run`] hands
//! it to the command's room. Rooms ask `server`, which gives the values of `model`, and print by `table` and `output`;
//! `terminal` is for people only.

mod alert;
mod args;
mod check_config;
mod cluster;
mod complete;
mod config_show;
mod diff;
mod doctor;
mod error;
mod explain;
mod line;
mod lint;
mod migrate;
mod model;
mod output;
mod places;
mod receiver;
mod routes;
mod server;
mod settings;
mod silence;
mod table;
mod template;
mod terminal;
mod words;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

pub use args::Cli;
use args::{AlertCommand, ClusterCommand, Command, ConfigCommand, Globals, ReceiverCommand, Shell, TemplateCommand};
pub use error::CtlError;
use line::Wish;
use server::Server;

use crate::{alert::matcher::ParseMode, cli::Features, clock::Clock};

/// What every command works with.
pub struct Context {
    globals: Globals,
    mode: ParseMode,
    clock: Clock,
}

impl Context {
    fn new(globals: Globals) -> Result<Self, CtlError> {
        let mode = Features::parse(&globals.enable_feature)?.parse_mode();
        Ok(Context { globals, mode, clock: Clock::system() })
    }

    async fn server(&self) -> Result<Server, CtlError> {
        Server::connect(&self.globals).await
    }

    fn has_url(&self) -> bool {
        self.globals.url.as_ref().is_some_and(|url| !url.is_empty())
    }
}

/// The whole program: arguments, without the program's name, in; everything that is to be said, out.
/// `name` is what it was called by: errors begin with it.
pub fn main(name: &str, arguments: impl IntoIterator<Item = String>) -> ExitCode {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let mut out = io::BufWriter::new(io::stdout().lock());
    let result = match line::read(arguments, || settings::load(home.as_deref())) {
        Ok(Wish::Print(text)) => out.write_all(text.as_bytes()).map_err(CtlError::from),
        Ok(Wish::Run(cli)) => run(*cli, &mut out),
        Err(error) => Err(error.into()),
    };
    // What was found before a failure is shown too.
    let result = match (result, out.flush()) {
        (Ok(()), Err(error)) => Err(error.into()),
        (result, _) => result,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(CtlError::Told) => ExitCode::FAILURE,
        // Who reads no further has what it wanted.
        Err(CtlError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Err(error) => {
            terminal::say(&format!("{name}: error: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Does what the command line says. Results go to `out`, warnings to standard error.
///
/// # Errors
/// The command failed.
pub fn run(cli: Cli, out: &mut dyn Write) -> Result<(), CtlError> {
    let context = Context::new(cli.globals)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(perform(cli.command, &context, out))
}

async fn perform(command: Command, context: &Context, out: &mut dyn Write) -> Result<(), CtlError> {
    match command {
        Command::Alert(AlertCommand::Query(args)) => alert::query(&args, context, out).await,
        Command::Alert(AlertCommand::Add(args)) => alert::add(&args, context).await,
        Command::Silence(command) => silence::run(command, context, out).await,
        Command::CheckConfig(args) => check_config::run(&args, context.mode, out),
        Command::Cluster(ClusterCommand::Show) => cluster::show(context, out).await,
        Command::Cluster(ClusterCommand::Doctor(args)) => doctor::run(&args, context, out).await,
        Command::Config(ConfigCommand::Show) => config_show::run(context, out).await,
        Command::Config(ConfigCommand::Routes(args)) => routes::run(&args, context, out).await,
        Command::Template(TemplateCommand::Render(args)) => template::run(&args, &context.clock, out),
        Command::Receiver(ReceiverCommand::Test(args)) => receiver::test(&args, context, out).await,
        Command::Diff(args) => diff::run(&args, context, out).await,
        Command::Migrate(args) => migrate::run(&args, context, out),
        Command::Completion(args) => {
            let script = match args.shell {
                Shell::Bash => complete::BASH,
                Shell::Zsh => complete::ZSH,
            };
            Ok(out.write_all(script.as_bytes())?)
        }
        Command::Version => Ok(out.write_all(version_text().as_bytes())?),
    }
}

/// The text of `--version`: the Alertmanager version whose amtool this stands in for, and the own one.
fn version_text() -> String {
    crate::app::version_text().replacen("alertmanager", "amtool", 1)
}

/// The name in messages: amtool's where the program was called by it.
#[must_use]
pub fn name_called(program: Option<&str>) -> &'static str {
    let file = program.and_then(|program| program.rsplit('/').next());
    if file == Some("amtool") { "amtool" } else { "carillonctl" }
}
