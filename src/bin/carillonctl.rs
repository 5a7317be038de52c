//! The command-line tool. Everything is in `carillon::ctl`; here only the process is.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use carillon::ctl;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    let name = ctl::name_called(arguments.next().as_deref());
    ctl::main(name, arguments)
}
