//! The command line of travertine, which trains, evaluates and serves layered neural networks: for its program, and for the Python package,
//! which has the same commands.
//!
//! Exit status: 0 success, 1 failure, 2 bad usage or bad input.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::cli::Cli;

mod args;
mod cli;
mod commands;
pub mod in_memory;
mod input;
mod message;
mod output;
mod train;

/// Runs the command line of a program that another one contains; `program`: the words that begin it.
pub fn run_as(program: Vec<OsString>, arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    args::probe::set_program(program);
    run(arguments)
}

/// Runs the command line: the program's name and its arguments. Ends the process where these are wrong.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = Cli::read(arguments);
    match cli.run() {
        Ok(status) => status,
        Err(error) if cli.uses_model() => message::failure_of_use(&error),
        Err(error) => message::failure(&error, ""),
    }
}
