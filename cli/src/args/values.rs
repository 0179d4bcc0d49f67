//! Parsers of single values.

use travertine::Quantiles;
use travertine::data::{Label, Task};

pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|&number: &usize| number >= 1);
    number.ok_or_else(|| "expected a whole number of at least 1".to_owned())
}

pub(crate) fn at_least_two(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|&number: &usize| number >= 2);
    number.ok_or_else(|| "expected a whole number of at least 2".to_owned())
}

pub(crate) fn not_negative(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| "expected a finite number not below 0".to_owned())
}

pub(crate) fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "expected a finite number above 0".to_owned())
}

pub(crate) fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..1.0).contains(share));
    share.ok_or_else(|| "expected a number from 0 to less than 1".to_owned())
}

pub(crate) fn quantiles(text: &str) -> Result<Quantiles, String> {
    text.parse().map_err(|error: travertine::Error| error.to_string())
}

pub(crate) fn label(text: &str) -> Result<Label, String> {
    let columns: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    match text {
        "none" => Ok(Label::None),
        _ if columns.iter().any(String::is_empty) => {
            Err("expected names or numbers from 1 with commas between them, or none".to_owned())
        }
        _ if columns.iter().any(|name| name == "0" || name == "#0") => {
            Err("columns are counted from 1".to_owned())
        }
        _ => Ok(Label::Columns(columns)),
    }
}

pub(crate) fn task(text: &str) -> Result<Task, String> {
    match text {
        "classes" => Ok(Task::Classes),
        "values" => Ok(Task::Values),
        _ => Err("expected classes or values".to_owned()),
    }
}
