//! Messages on standard error, and errors about the command line.

use std::io::{self, Write};

use travertine::ErrorKind;

/// Prints a line on standard error. A closed standard error does not end the program.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints a warning on standard error.
pub(crate) fn warn(text: &str) {
    note(&format!("warning: {text}"));
}

/// An option with a wrong value, or in a wrong place: exit status 2.
pub(crate) fn wrong(option: &'static str, reason: impl Into<String>) -> travertine::Error {
    ErrorKind::Argument { operation: option, reason: reason.into() }.into()
}

/// "1 class", "10 classes"
pub(crate) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Names of the library's interface that its messages use, and the options that set them.
const OPTIONS: &[(&str, &str)] = &[
    ("CsvOptions::categorical", "--categorical"),
    ("CsvOptions::drop", "--drop"),
    ("CsvOptions::header", "--header"),
    ("CsvOptions::label", "--label"),
    ("CsvOptions::task", "--task"),
];

/// The message of an error, with options in place of the library's names for them.
pub(crate) fn with_options(error: &travertine::Error) -> String {
    let name_option = |text: String, &(name, option): &(&str, &str)| text.replace(name, option);
    OPTIONS.iter().fold(error.to_string(), name_option)
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
                "leave it out (CsvOptions::drop) or make it categorical (CsvOptions::categorical)"
            ),
            "--label: leave it out (--drop) or make it categorical (--categorical)"
        );
        assert_eq!(message("leave it out, or drop it"), "--label: leave it out, or drop it");
    }

    #[test]
    fn replaced_names_are_fields_of_the_library() {
        use travertine::data::CsvOptions;
        // A renamed field does not compile here.
        let CsvOptions { header: _, label: _, task: _, drop: _, categorical: _, .. } =
            CsvOptions::default();
        for (name, option) in OPTIONS {
            let field = name.strip_prefix("CsvOptions::").unwrap();
            assert_eq!(option.strip_prefix("--"), Some(field));
        }
    }
}
