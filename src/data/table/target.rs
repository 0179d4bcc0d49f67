//! From the values of a file to labels, as a schema says.

use std::collections::HashMap;

use super::cell::{Cell, is_written_by_programs, without_zero_decimals};
use super::number::NumberFormat;
use super::schema::{ColumnType, Role, SchemaColumn};
use super::value::{Misfit, Texts, no_text, number, text_of};
use crate::data::MISSING;
use crate::data::text::{listed, quoted};

/// A column that is learned.
pub(super) struct TargetBuilder {
    pub(super) labels: Labels,
    missing_word: Option<String>,
    /// The classes of a model by name.
    pub(super) known: Option<Known>,
}

pub(super) enum Labels {
    Classes(Texts),
    Values(Vec<f64>, NumberFormat),
}

pub(super) struct Known {
    pub(super) names: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl TargetBuilder {
    pub(super) fn new(column: &SchemaColumn, classes: Option<&[String]>) -> Self {
        let labels = match (column.role, column.column_type) {
            (Role::Value, ColumnType::Number(format)) => Labels::Values(Vec::new(), format),
            (Role::Value, _) => Labels::Values(Vec::new(), NumberFormat::default()),
            _ => Labels::Classes(Texts::default()),
        };
        let known = classes.map(|names| {
            // The spelling of a class wins over the same number without decimals.
            let short = names.iter().map(|name| without_zero_decimals(name).to_owned()).zip(0..);
            let exact = names.iter().cloned().zip(0..);
            Known { names: names.to_vec(), numbers: short.chain(exact).collect() }
        });
        TargetBuilder { labels, missing_word: column.missing_word.clone(), known }
    }

    pub(super) fn add(&mut self, cell: Cell<'_>, missing: &[String]) -> Result<(), Misfit> {
        let own = self.missing_word.as_deref();
        if let Cell::Bytes = cell {
            return Err(no_text());
        }
        let texts = match &mut self.labels {
            Labels::Values(values, format) => {
                values.push(number(cell, *format, (missing, own))?);
                return Ok(());
            }
            Labels::Classes(texts) => texts,
        };
        let owned;
        let text = match cell {
            Cell::Text(text) => text,
            Cell::Missing => "",
            Cell::Number(x) if x.is_nan() => "",
            cell => {
                owned = text_of(cell);
                &owned
            }
        };
        // Words such as "none" are names of classes.
        if is_written_by_programs(text)
            || missing.iter().any(|word| word.eq_ignore_ascii_case(text))
        {
            texts.codes.push(MISSING);
            return Ok(());
        }
        match &self.known {
            // A class keeps its spelling: 007, 7 and 7.0 are three.
            None => texts.add_as_written(text),
            Some(known) => {
                let find = |text: &str| known.numbers.get(text).copied();
                let code = find(text).or_else(|| find(without_zero_decimals(text)));
                let unknown = || {
                    let expected = format!("one of the known classes {}", listed(&known.names));
                    (expected, quoted(text))
                };
                texts.codes.push(code.ok_or_else(unknown)?);
            }
        }
        Ok(())
    }

    /// Adds texts; `None` if one of them does not fit.
    pub(super) fn add_all(&mut self, texts: &[String], missing: &[String]) -> Option<()> {
        texts.iter().try_for_each(|text| self.add(Cell::Text(text), missing)).ok()
    }

    /// The values of a label that is numbers as programs write them.
    pub(super) fn plain_values(&mut self) -> Option<&mut Vec<f64>> {
        match &mut self.labels {
            Labels::Values(values, format) if format.is_plain() => Some(values),
            _ => None,
        }
    }

    pub(super) fn has_gaps(&self) -> bool {
        match &self.labels {
            Labels::Classes(texts) => texts.codes.contains(&MISSING),
            Labels::Values(values, _) => values.iter().any(|x| x.is_nan()),
        }
    }

    pub(super) fn has(&self, row: usize) -> bool {
        match &self.labels {
            Labels::Classes(texts) => texts.codes[row] != MISSING,
            Labels::Values(values, _) => !values[row].is_nan(),
        }
    }

    pub(super) fn select(mut self, rows: &[usize]) -> Self {
        match &mut self.labels {
            Labels::Classes(texts) => {
                texts.codes = rows.iter().map(|&row| texts.codes[row]).collect()
            }
            Labels::Values(values, _) => *values = rows.iter().map(|&row| values[row]).collect(),
        }
        self
    }
}
