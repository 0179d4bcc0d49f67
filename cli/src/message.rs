//! Messages on standard error, and errors about the command line.

use std::io::{self, Write};
use std::process::ExitCode;

use travertine::ErrorKind;

/// Prints a line on standard error. A closed standard error does not end the program.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints a warning on standard error.
pub(crate) fn warn(text: &str) {
    note(&format!("warning: {text}"));
}

/// Prints the error that ends the program, and what helps. Returns the exit status.
pub(crate) fn failure(error: &travertine::Error, help: &str) -> ExitCode {
    note(&format!("error: {error}{help}"));
    ExitCode::from(if error.is_input() { 2 } else { 1 })
}

/// An option with a wrong value, or in a wrong place: exit status 2.
pub(crate) fn wrong(option: &'static str, reason: impl Into<String>) -> travertine::Error {
    ErrorKind::Argument { operation: option, reason: reason.into() }.into()
}

/// "1 class", "10 classes"
pub(crate) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// The options that help with an error of the library, which names none.
pub(crate) fn options_for(error: &travertine::Error) -> &'static str {
    let text = error.to_string();
    let is_about_column = text.contains("leave the column out") || text.contains("leave it out");
    if is_about_column && !text.contains("--drop") {
        "; --drop leaves a column out, --categorical reads its numbers as categories"
    } else {
        ""
    }
}
