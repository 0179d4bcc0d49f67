//! `travertine`: trains, evaluates and serves layered neural networks from the command line.
//!
//! Exit status: 0 success, 1 failure, 2 bad usage or bad input.

use std::process::ExitCode;

use crate::cli::Cli;

mod args;
mod cli;
mod commands;
mod input;
mod message;
mod output;
mod train;

fn main() -> ExitCode {
    let cli = Cli::read();
    match cli.run() {
        Ok(status) => status,
        Err(error) if cli.uses_model() => message::failure_of_use(&error),
        Err(error) => message::failure(&error, ""),
    }
}
