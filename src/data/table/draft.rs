//! Columns as they are collected while a text file is surveyed, before their types are known: so that most files are taken
//! apart once. A column that a draft cannot hold is read a second time.

use super::reading::{Builder, Reading};
use super::survey::Field;
use super::target::TargetBuilder;
use super::value::Texts;
use crate::data::frame::{Column, Frame, Values};
use crate::data::text::MISSING;

/// Different plain numbers that are kept as texts: enough for classes and categories.
const MAX_NUMBERS: usize = 24;
/// Different texts that are kept.
const MAX_TEXTS: usize = 1000;

/// A column: as numbers, as texts, or as both, as far as that is possible.
pub(super) struct ColumnDraft {
    /// NaN is a missing value.
    numbers: Option<Vec<f64>>,
    /// All fields, those of missing values as well.
    texts: Option<Texts>,
}

impl ColumnDraft {
    pub(super) fn new() -> Self {
        ColumnDraft { numbers: Some(Vec::new()), texts: Some(Texts::default()) }
    }

    pub(super) fn add(&mut self, field: &Field<'_>) {
        if let Some(numbers) = &mut self.numbers {
            match field.plain {
                Some(plain) => numbers.push(plain.value),
                None if field.is_missing => numbers.push(f64::NAN),
                None => self.numbers = None,
            }
        }
        if let Some(texts) = &mut self.texts {
            texts.add_as_written(field.text);
            let most = if field.plain.is_some() { MAX_NUMBERS } else { MAX_TEXTS };
            if texts.names.len() > most {
                self.texts = None;
            }
        }
    }

    /// Whether only numbers are kept, or nothing at all.
    pub(super) fn keeps_no_texts(&self) -> bool {
        self.texts.is_none()
    }

    /// Adds numbers, where no texts are kept.
    pub(super) fn add_run(&mut self, values: &[f64]) {
        if let Some(numbers) = &mut self.numbers {
            numbers.extend_from_slice(values);
        }
    }
}

impl ColumnDraft {
    /// Adds the fields below.
    pub(super) fn append(&mut self, below: ColumnDraft) {
        self.numbers = self.numbers.take().zip(below.numbers).map(|(mut all, more)| {
            all.extend(more);
            all
        });
        self.texts = self.texts.take().zip(below.texts).and_then(|(mut all, more)| {
            all.append(more);
            (all.names.len() <= MAX_TEXTS).then_some(all)
        });
    }
}

impl Reading {
    /// The frame from the drafts of all columns of the file; `None` if they do not hold what is read.
    pub(super) fn of_drafts(&self, mut drafts: Vec<ColumnDraft>) -> Option<Frame> {
        let (mut columns, mut targets) = (Vec::new(), Vec::new());
        for (place, column) in &self.targets {
            let draft = &mut drafts[*place];
            let mut target = TargetBuilder::new(column, self.classes.as_deref());
            match target.plain_values().zip(draft.numbers.take()) {
                Some((values, numbers)) => *values = numbers,
                None => {
                    let texts = draft.texts.as_ref()?;
                    target.add_all(&texts.names, &self.missing)?;
                    let codes: Vec<usize> = texts.codes.iter().map(|&code| code as usize).collect();
                    target = target.select(&codes);
                }
            }
            targets.push(target);
        }
        for (place, column) in &self.features {
            let draft = &mut drafts[*place];
            let builder = Builder::new(column);
            let values = match draft.numbers.take().filter(|_| builder.is_plain_number()) {
                Some(numbers) => Values::Numbers(numbers),
                None => values_of(draft.texts.as_ref()?, builder, &self.missing)?,
            };
            columns.push(Column { name: column.name.clone(), values });
        }
        let rows = columns.first().map_or(0, |column| column.values.len());
        Some(self.frame(columns, targets, (Vec::new(), Vec::new()), rows))
    }
}

/// The values of texts: each different text is read once.
fn values_of(texts: &Texts, mut builder: Builder, missing: &[String]) -> Option<Values> {
    builder.add_all(&texts.names, missing)?;
    let numbers =
        |of_texts: Vec<f64>| texts.codes.iter().map(|&code| of_texts[code as usize]).collect();
    Some(match builder.finish() {
        Values::Numbers(of_texts) => Values::Numbers(numbers(of_texts)),
        Values::Dates(of_texts) => Values::Dates(numbers(of_texts)),
        Values::Texts { codes, names } => {
            let code = |&code: &u32| codes.get(code as usize).copied().unwrap_or(MISSING);
            Values::Texts { codes: texts.codes.iter().map(code).collect(), names }
        }
    })
}
