//! The notation `name` or `name(1,0.5)`, in which activations, losses, initial weights and the program's options are written.

use std::fmt;

use crate::error::{Error, Result};

/// A name and, in parentheses, its numbers.
///
/// ```
/// use travertine::notation::Notation;
/// let step = Notation::parse("step(10, 0.5)");
/// assert_eq!((step.name, step.numbers), ("step", Some(vec!["10", "0.5"])));
/// assert_eq!(Notation::parse("relu").numbers, None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notation<'a> {
    /// The text in front of the parentheses.
    pub name: &'a str,
    /// The texts between the commas, without spaces around them; `None` where there are no parentheses.
    pub numbers: Option<Vec<&'a str>>,
}

impl<'a> Notation<'a> {
    /// Splits a text. One without a pair of parentheses at its end is a name as a whole.
    pub fn parse(text: &'a str) -> Self {
        match text.strip_suffix(')').and_then(|text| text.split_once('(')) {
            Some((name, numbers)) => {
                Notation { name, numbers: Some(numbers.split(',').map(str::trim).collect()) }
            }
            None => Notation { name: text, numbers: None },
        }
    }
}

/// Writes a name and, where there is one, its number.
pub(crate) fn write(f: &mut fmt::Formatter<'_>, name: &str, number: Option<f64>) -> fmt::Result {
    match number {
        Some(number) => write!(f, "{name}({number})"),
        None => f.write_str(name),
    }
}

/// The value that a text names among the known ones. `with` gives a value another number, or `None` where it has none.
pub(crate) fn read<X: Copy>(
    operation: &'static str,
    text: &str,
    known: &[(&str, X)],
    with: impl Fn(X, f64) -> Option<X>,
) -> Result<X> {
    let wrong = |reason: String| Error::argument(operation, reason);
    let Notation { name, numbers } = Notation::parse(text);
    let Some(&(_, value)) = known.iter().find(|(known, _)| *known == name) else {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        return Err(wrong(format!("'{text}' is none of {}", names.join(", "))));
    };
    let Some(numbers) = numbers else { return Ok(value) };
    if with(value, 1.0).is_none() {
        return Err(wrong(format!("{name} has no parameter, found '{text}'")));
    }
    let number = match &numbers[..] {
        [number] => number.parse().ok(),
        _ => None,
    };
    let number = number.and_then(|number| with(value, number));
    number.ok_or_else(|| wrong(format!("the parameter of '{text}' is not a number")))
}
