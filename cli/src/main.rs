//! `travertine`: the program.

use std::process::ExitCode;

fn main() -> ExitCode {
    travertine_cli::run(std::env::args_os())
}
