//! Labels of a file as targets: which column they are, and whether they are classes or values.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::text::{is_missing, listed, number, quoted};
use super::{Dataset, Targets};
use crate::{Error, Result, Scalar};

/// Integers with more distinct values are read as values, not as classes.
const MAX_INTEGER_CLASSES: usize = 100;

/// From here on not every integer is an `f64`, so that two labels might become one.
const EXACT_INTEGERS: f64 = (1u64 << 53) as f64;

/// Which column of a file is the label, which is learned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Label {
    /// The last column.
    #[default]
    Last,
    /// The column of this name; the file needs a header.
    Name(String),
    /// The column of this number, counted from 1.
    Number(usize),
    /// No label: every column is a feature.
    None,
}

/// The meaning of labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Names of classes (classification).
    Classes,
    /// Numbers (regression).
    Values,
}

/// The labels of a file, one for each sample, as text.
pub(super) struct Labels<'a> {
    pub(super) file: &'a str,
    /// The column's name, for the targets.
    pub(super) name: String,
    pub(super) texts: Vec<String>,
    /// The place of label `i` in the file, for messages.
    pub(super) place: &'a dyn Fn(usize) -> String,
}

/// More distinct labels than this are values.
const MAX_DISTINCT: usize = 100_000;

/// The distinct labels of a file that is read block by block.
pub(super) struct Distinct {
    task: Option<Task>,
    texts: HashSet<String>,
    are_values: bool,
}

impl Distinct {
    pub(super) fn new(task: Option<Task>) -> Self {
        Distinct { task, texts: HashSet::new(), are_values: task == Some(Task::Values) }
    }

    /// Adds those of a block, which were read as classes.
    pub(super) fn add<T: Scalar>(&mut self, data: &Dataset<T>, path: &Path) -> Result<()> {
        let Targets::Classes { names, .. } = data.targets() else {
            return Err(Error::format(
                path.display().to_string(),
                "label",
                "a label column",
                "features alone",
            ));
        };
        let file = || path.display().to_string();
        if self.are_values || self.texts.len() > MAX_DISTINCT {
            if let Some(name) =
                names.iter().find(|name| number(name).is_none_or(|x| !x.is_finite()))
            {
                return Err(Error::format(
                    file(),
                    "label",
                    "a finite number, as the other labels are",
                    quoted(name),
                ));
            }
            self.are_values = self.are_values || self.task.is_none();
        } else {
            self.texts.extend(names.iter().cloned());
        }
        if self.task == Some(Task::Classes) && self.texts.len() > MAX_DISTINCT {
            let found = format!("more than {MAX_DISTINCT}");
            return Err(Error::format(
                file(),
                "label",
                format!("at most {MAX_DISTINCT} classes"),
                found,
            ));
        }
        Ok(())
    }

    /// The classes, sorted; `None` if labels are values.
    pub(super) fn classes(self, path: &Path) -> Result<Option<Vec<String>>> {
        if self.are_values {
            return Ok(None);
        }
        let (file, place) = (path.display().to_string(), |_| "label".to_owned());
        let texts = self.texts.into_iter().collect();
        let labels = Labels { file: &file, name: "label".to_owned(), texts, place: &place };
        Ok(match labels.into_targets::<f64>(self.task, None)? {
            Targets::Classes { names, .. } => Some(names),
            _ => None,
        })
    }
}

impl Labels<'_> {
    /// Classes or values, as `task` says. Without a task: classes if a label is not a number, or if all are integers with few distinct
    /// values; otherwise values. Known classes keep their order, and other labels are refused.
    pub(super) fn into_targets<T: Scalar>(
        self,
        task: Option<Task>,
        known: Option<&[String]>,
    ) -> Result<Targets<T>> {
        if let Some(names) = known {
            return self.known_classes(names);
        }
        match task.map_or_else(|| self.decide(), Ok)? {
            Task::Classes => self.classes(),
            Task::Values => self.values(),
        }
    }

    fn decide(&self) -> Result<Task> {
        if self.texts.iter().any(|text| !is_missing(text) && number(text).is_none()) {
            return Ok(Task::Classes);
        }
        // Refused, because one "NA" among a thousand prices would otherwise turn them into a thousand classes.
        if let Some(i) = self.texts.iter().position(|text| is_missing(text)) {
            return Err(self.unexpected(i, "a number, as the other labels are"));
        }
        let values = || self.texts.iter().filter_map(|text| number(text));
        let distinct: HashSet<u64> = values().map(f64::to_bits).collect();
        let few_integers =
            distinct.len() <= MAX_INTEGER_CLASSES && values().all(|x| x.fract() == 0.0);
        Ok(if few_integers { Task::Classes } else { Task::Values })
    }

    fn classes<T: Scalar>(self) -> Result<Targets<T>> {
        let numeric = self.texts.iter().all(|text| number(text).is_some());
        let written: Vec<String> = if numeric {
            self.texts.iter().map(|text| plain_number(text)).collect()
        } else {
            self.texts
        };
        let mut names: Vec<String> =
            written.iter().collect::<HashSet<_>>().into_iter().cloned().collect();
        names.sort();
        if numeric {
            let value = |name: &String| number(name).unwrap_or_default();
            names.sort_by(|a, b| value(a).total_cmp(&value(b)));
        }
        let index = index(&names);
        let labels = written.iter().filter_map(|text| index.get(text.as_str()).copied()).collect();
        Ok(Targets::Classes { labels, names })
    }

    fn known_classes<T: Scalar>(self, names: &[String]) -> Result<Targets<T>> {
        let index = index(names);
        let find = |text: &String| {
            index.get(text.as_str()).or_else(|| index.get(plain_number(text).as_str())).copied()
        };
        let label = |(i, text)| {
            find(text).ok_or_else(|| {
                self.unexpected(i, format!("one of the known classes {}", listed(names)))
            })
        };
        let labels = self.texts.iter().enumerate().map(label).collect::<Result<_>>()?;
        Ok(Targets::Classes { labels, names: names.to_vec() })
    }

    fn values<T: Scalar>(self) -> Result<Targets<T>> {
        let value = |(i, text): (usize, &String)| {
            let x = number(text).map(T::from_f64).filter(|x| x.is_finite());
            x.ok_or_else(|| self.unexpected(i, format!("a finite number ({})", T::NAME)))
        };
        let values = self.texts.iter().enumerate().map(value).collect::<Result<_>>()?;
        Ok(Targets::Values { values, names: vec![self.name] })
    }

    fn unexpected(&self, i: usize, expected: impl Into<String>) -> Error {
        Error::format(self.file, (self.place)(i), expected, quoted(&self.texts[i]))
    }
}

fn index(names: &[String]) -> HashMap<&str, u32> {
    names.iter().map(String::as_str).zip(0..).collect()
}

/// One spelling for one number, so that 1, 1.0 and +1 are one class.
fn plain_number(text: &str) -> String {
    match number(text) {
        Some(x) if x.abs() < EXACT_INTEGERS => (x + 0.0).to_string(), // -0 + 0 is 0
        _ => text.to_owned(),
    }
}
