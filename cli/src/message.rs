//! Messages on standard error, and errors about the command line.

use std::cell::RefCell;
use std::io::{self, Write};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use travertine::ErrorKind;

thread_local! {
    /// What takes the lines of this thread instead of standard error and standard output.
    static CAPTURE: RefCell<Option<Capture>> = const { RefCell::new(None) };
}

/// The lines of a training that another program runs.
struct Capture {
    tell: Rc<dyn Fn(&str)>,
    /// Standard output.
    output: String,
    /// The message of the error that ended it.
    fault: Option<String>,
}

/// Runs `body`, whose notes go to `tell`. Returns also what it writes on standard output, and the error that it prints.
pub(crate) fn captured<R>(
    tell: Rc<dyn Fn(&str)>,
    body: impl FnOnce() -> R,
) -> (R, String, Option<String>) {
    CAPTURE.set(Some(Capture { tell, output: String::new(), fault: None }));
    let result = body();
    let (output, fault) =
        CAPTURE.take().map_or((String::new(), None), |capture| (capture.output, capture.fault));
    (result, output, fault)
}

/// Whether this process prints nothing, because another one of its group prints the same.
static IS_SILENT: AtomicBool = AtomicBool::new(false);

/// Prints nothing from now on.
pub(crate) fn be_silent() {
    IS_SILENT.store(true, Relaxed);
}

/// Prints again.
pub(crate) fn speak() {
    IS_SILENT.store(false, Relaxed);
}

pub(crate) fn is_silent() -> bool {
    IS_SILENT.load(Relaxed)
}

/// Standard output, or what takes its place.
pub(crate) fn standard_output() -> Box<dyn Write> {
    if is_silent() {
        return Box::new(io::sink());
    }
    let is_captured = CAPTURE.with_borrow(Option::is_some);
    if is_captured { Box::new(Captured) } else { Box::new(io::stdout()) }
}

struct Captured;

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        CAPTURE.with_borrow_mut(|capture| {
            capture.iter_mut().for_each(|capture| capture.output.push_str(&text));
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Prints a line on standard error. A closed standard error does not end the program.
pub(crate) fn note(text: &str) {
    let tell = CAPTURE.with_borrow(|capture| capture.as_ref().map(|one| Rc::clone(&one.tell)));
    match tell {
        Some(tell) => tell(text),
        None if is_silent() => {}
        None => drop(writeln!(io::stderr(), "{text}")),
    }
}

/// Prints a warning on standard error.
pub(crate) fn warn(text: &str) {
    note(&format!("warning: {text}"));
}

/// Prints the error that ends the program, and what helps. Returns the exit status.
pub(crate) fn failure(error: &travertine::Error, help: &str) -> ExitCode {
    end(error, &format!("{}{help}", with_options(error)))
}

/// As [`failure`], for a command that uses a model, and has only some of the options that messages name.
pub(crate) fn failure_of_use(error: &travertine::Error) -> ExitCode {
    end(error, &with_options_of_use(error))
}

fn end(error: &travertine::Error, text: &str) -> ExitCode {
    CAPTURE.with_borrow_mut(|capture| {
        capture.iter_mut().for_each(|capture| capture.fault = Some(text.to_owned()));
    });
    fault(text);
    ExitCode::from(if error.is_input() { 2 } else { 1 })
}

/// Prints an error.
pub(crate) fn fault(text: &str) {
    note(&format!("error: {text}"));
}

/// An option with a wrong value, or in a wrong place: exit status 2.
pub(crate) fn wrong(option: &'static str, reason: impl Into<String>) -> travertine::Error {
    ErrorKind::Argument { operation: option, reason: reason.into() }.into()
}

/// "1 class", "10 classes"
pub(crate) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Names of the library's interface that its messages use, and the options that set them. The longer name comes first, where one begins with another.
const OPTIONS: &[(&str, &str)] = &[
    ("TableOptions::categorical", "--categorical"),
    ("TableOptions::delimiter", "--delimiter"),
    ("TableOptions::skip_rows", "--skip-rows"),
    ("TableOptions::thousands", "--thousands"),
    ("TableOptions::encoding", "--encoding"),
    ("TableOptions::comment", "--comment"),
    ("TableOptions::decimal", "--decimal"),
    ("TableOptions::missing", "--missing"),
    ("TableOptions::header", "--header"),
    ("TableOptions::labels", "--labels"),
    ("TableOptions::schema", "--schema"),
    ("TableOptions::dates", "--dates"),
    ("TableOptions::label", "--label"),
    ("TableOptions::drop", "--drop"),
    ("TableOptions::keep", "--keep"),
    ("TableOptions::task", "--task"),
    ("TableOptions::id", "--id"),
];

/// Values of the library's options that have an option of their own.
const VALUES: &[(&str, &str)] = &[("Dates::No", "--no-dates")];
/// Options that `evaluate` and `predict` have as well.
const OF_USE: &[&str] =
    &["--delimiter", "--skip-rows", "--encoding", "--comment", "--header", "--id"];

/// The message of an error, with options in place of the library's names for them.
pub(crate) fn with_options(error: &travertine::Error) -> String {
    let name_option = |text: String, &(name, option): &(&str, &str)| text.replace(name, option);
    OPTIONS.iter().chain(VALUES).fold(without_function(error), name_option)
}

/// The message of an error, without the function of the library that opens tables.
fn without_function(error: &travertine::Error) -> String {
    let text = error.to_string();
    text.strip_prefix("Table::open: ").map(str::to_owned).unwrap_or(text)
}

/// As [`with_options`]; of options that only training has, it says so.
fn with_options_of_use(error: &travertine::Error) -> String {
    let name_option = |text: String, &(name, option): &(&str, &str)| match OF_USE.contains(&option)
    {
        true => text.replace(name, option),
        false => text.replace(name, &format!("train {option}")),
    };
    OPTIONS.iter().chain(VALUES).fold(without_function(error), name_option)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(reason: &str) -> String {
        with_options(&wrong("--label", reason))
    }

    #[test]
    fn options_replace_the_names_of_the_library() {
        assert_eq!(
            message(
                "leave it out (TableOptions::drop) or make it categorical (TableOptions::categorical)"
            ),
            "--label: leave it out (--drop) or make it categorical (--categorical)"
        );
        assert_eq!(message("leave it out, or drop it"), "--label: leave it out, or drop it");
    }

    #[test]
    fn replaced_names_are_fields_of_the_library() {
        use travertine::data::TableOptions;
        // A renamed field does not compile here.
        let TableOptions {
            categorical: _,
            comment: _,
            dates: _,
            decimal: _,
            delimiter: _,
            drop: _,
            encoding: _,
            header: _,
            id: _,
            keep: _,
            label: _,
            labels: _,
            many_categories: _,
            missing: _,
            schema: _,
            skip_rows: _,
            task: _,
            thousands: _,
        } = TableOptions::default();
        for (name, option) in OPTIONS {
            let field = name.strip_prefix("TableOptions::").unwrap().replace('_', "-");
            assert_eq!(option.strip_prefix("--"), Some(&*field));
        }
    }
}
