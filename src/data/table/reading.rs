//! From the values of a file to a frame, as a schema says.

use super::cell::{Cell, missing_word};
use super::date::DateOrder;
use super::number::{NumberFormat, Plain};
use super::schema::{ColumnType, SchemaColumn};
use super::source::{ColumnCells, Source};
use super::survey::Spot;
use super::target::{Labels, TargetBuilder};
use super::value::{Misfit, Texts, date, is_missing, no_text, number, text_of, truth_value};
use crate::data::{Column, Frame, MISSING, Targets, Unknown, Values};
use crate::{Error, Result};

/// Which columns of a file are read, and as what.
#[derive(Clone)]
pub(in crate::data) struct Reading {
    /// The columns to learn from, with their places in the file.
    pub(in crate::data) features: Vec<(usize, SchemaColumn)>,
    /// The columns that are learned.
    pub(in crate::data) targets: Vec<(usize, SchemaColumn)>,
    /// A column whose texts are kept beside the samples.
    pub(in crate::data) id: Option<usize>,
    /// Columns that were constant in training, which are compared with that.
    pub(in crate::data) constants: Vec<(usize, SchemaColumn)>,
    /// Words for missing values in all columns.
    pub(in crate::data) missing: Vec<String>,
    /// The classes of a model, in its order; others are errors.
    pub(in crate::data) classes: Option<Vec<String>>,
    /// Whether the names of columns come from the file.
    pub(in crate::data) named: bool,
}

impl Reading {
    /// The same without features.
    pub(in crate::data) fn of_labels(&self) -> Reading {
        Reading {
            features: Vec::new(),
            targets: self.targets.clone(),
            id: None,
            constants: Vec::new(),
            missing: self.missing.clone(),
            classes: self.classes.clone(),
            named: self.named,
        }
    }

    /// Reads a block of a file.
    pub(in crate::data) fn block(&self, source: &dyn Source, block: usize) -> Result<Frame> {
        let constants = self.constants.iter().map(|(place, _)| *place);
        let read = self.features.iter().chain(&self.targets).map(|(place, _)| *place);
        let columns: Vec<usize> = read.chain(constants).chain(self.id).collect();
        let mut changed: Vec<Option<Unknown>> = vec![None; self.constants.len()];
        let mut features: Vec<Builder> =
            self.features.iter().map(|(_, column)| Builder::new(column)).collect();
        let mut targets: Vec<TargetBuilder> = self
            .targets
            .iter()
            .map(|(_, column)| TargetBuilder::new(column, self.classes.as_deref()))
            .collect();
        let (mut ids, mut rows) = (Vec::new(), 0);
        let first_target = features.len();
        let first_constant = first_target + targets.len();
        let id = first_constant + self.constants.len();
        source.visit(block, &columns, &mut |place, cells| {
            let misfit = |row, misfit| {
                self.misfit(source, Spot { block, row }, (place, columns[place]), misfit)
            };
            rows = if place < first_target {
                features[place].add_column(cells, &self.missing, misfit)
            } else if place < first_constant {
                let target = &mut targets[place - first_target];
                cells.each(|row, cell| {
                    target.add(cell, &self.missing).map_err(|found| misfit(row, found))
                })
            } else if place < id {
                let place = place - first_constant;
                let (column, changed) = (&self.constants[place].1, &mut changed[place]);
                cells.each(|_, cell| {
                    compare(column, cell, changed);
                    Ok(())
                })
            } else {
                cells.each(|_, cell| {
                    ids.push(text_of(cell));
                    Ok(())
                })
            }?;
            Ok(())
        })?;
        let names = self.features.iter().map(|(_, column)| column.name.clone());
        let values = features.into_iter().map(Builder::finish);
        let columns = names.zip(values).map(|(name, values)| Column { name, values }).collect();
        let changed = changed.into_iter().flatten().collect();
        Ok(self.frame(columns, targets, (ids, changed), rows))
    }

    /// The frame of these columns, without rows that have no label.
    pub(super) fn frame(
        &self,
        mut columns: Vec<Column>,
        mut targets: Vec<TargetBuilder>,
        (mut ids, changed): (Vec<String>, Vec<Unknown>),
        rows: usize,
    ) -> Frame {
        let mut samples = rows;
        if targets.iter().any(TargetBuilder::has_gaps) {
            let has_labels = |row: &usize| targets.iter().all(|target| target.has(*row));
            let keep: Vec<usize> = (0..rows).filter(has_labels).collect();
            columns.iter_mut().for_each(|column| column.values = column.values.select(&keep));
            if self.id.is_some() {
                ids = keep.iter().map(|&row| ids[row].clone()).collect();
            }
            targets = targets.into_iter().map(|target| target.select(&keep)).collect();
            samples = keep.len();
        }
        Frame {
            samples,
            columns,
            targets: self.targets_of(targets),
            target_name: self.target_name(),
            named: self.named,
            ids: self.id.map(|_| ids),
            unlabeled: rows - samples,
            changed,
        }
    }

    fn misfit(
        &self,
        source: &dyn Source,
        spot: Spot,
        (place, column): (usize, usize),
        (expected, found): Misfit,
    ) -> Error {
        let all = self.features.iter().chain(&self.targets);
        let name = all.map(|(_, column)| &column.name).nth(place);
        let name = name.filter(|_| self.named).map_or(String::new(), |name| format!(" ({name})"));
        Error::format(
            source.name(),
            format!("{}{name}", source.place(spot, column)),
            expected,
            found,
        )
    }

    fn target_name(&self) -> Option<String> {
        match &*self.targets {
            [(_, column)] if self.named => Some(column.name.clone()),
            _ => None,
        }
    }

    fn targets_of(&self, targets: Vec<TargetBuilder>) -> Targets {
        if targets.is_empty() {
            return Targets::None;
        }
        let names = self.targets.iter().map(|(_, column)| column.name.clone()).collect();
        let mut columns = Vec::new();
        for target in targets {
            match target.labels {
                Labels::Classes(texts) => {
                    let names = target.known.map_or(texts.names, |known| known.names);
                    return Targets::Classes { labels: texts.codes, names };
                }
                Labels::Values(values, _) => columns.push(values),
            }
        }
        let samples = columns[0].len();
        let values =
            (0..samples).flat_map(|row| columns.iter().map(move |column| column[row])).collect();
        Targets::Values { values, names }
    }
}

/// Counts a value of a column that was constant in training, if it is another one.
fn compare(column: &SchemaColumn, cell: Cell<'_>, changed: &mut Option<Unknown>) {
    let Some(constant) = &column.constant else { return };
    let found = text_of(cell);
    let as_number = |text: &str| text.parse::<f64>().ok();
    let same_number = match (as_number(constant), as_number(&found)) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs(),
        _ => false,
    };
    if found != *constant && !same_number && missing_word(&found, &[]).is_none() {
        let new = || Unknown { column: column.name.clone(), samples: 0, example: found.clone() };
        changed.get_or_insert_with(new).samples += 1;
    }
}

/// A column to learn from.
pub(super) struct Builder {
    values: Building,
    missing_word: Option<String>,
}

enum Building {
    /// NaN is a missing value.
    Numbers(NumberFormat, Vec<f64>),
    Truth(Vec<f64>),
    Dates((DateOrder, Option<bool>), Vec<f64>),
    Texts(Texts),
}

impl Builder {
    pub(super) fn new(column: &SchemaColumn) -> Self {
        let values = match column.column_type {
            ColumnType::Number(format) => Building::Numbers(format, Vec::new()),
            ColumnType::Truth => Building::Truth(Vec::new()),
            ColumnType::Date(order) => Building::Dates((order, column.zones), Vec::new()),
            ColumnType::Text => Building::Texts(Texts::default()),
        };
        Builder { values, missing_word: column.missing_word.clone() }
    }

    fn add(&mut self, cell: Cell<'_>, missing: &[String]) -> Result<(), Misfit> {
        let own = self.missing_word.as_deref();
        if let Cell::Bytes = cell {
            return Err(no_text());
        }
        match &mut self.values {
            Building::Numbers(format, values) => {
                values.push(number(cell, *format, (missing, own))?);
            }
            Building::Truth(values) => values.push(truth_value(cell, (missing, own))?),
            Building::Dates(order, values) => values.push(date(cell, *order, (missing, own))?),
            Building::Texts(texts) => match cell {
                Cell::Text(text) if is_missing(text, (missing, own)) => texts.codes.push(MISSING),
                Cell::Missing => texts.codes.push(MISSING),
                Cell::Number(x) if x.is_nan() => texts.codes.push(MISSING),
                Cell::Text(text) => texts.add(text),
                cell => texts.add(&text_of(cell)),
            },
        }
        Ok(())
    }

    /// Adds a column; returns how many values there are. `misfit`: the error of a value that does not fit.
    fn add_column(
        &mut self,
        cells: &ColumnCells<'_>,
        missing: &[String],
        misfit: impl Fn(usize, Misfit) -> Error,
    ) -> Result<usize> {
        // Words for missing values that a person named may be numbers.
        if let ColumnCells::Fields(fields) = cells
            && self.is_plain_number()
            && missing.is_empty()
        {
            let text = fields.text();
            for (row, place) in fields.places() {
                match (Plain::short_in(text.as_bytes(), place.clone()), &mut self.values) {
                    (Some(number), Building::Numbers(_, values)) => values.push(number.value),
                    _ => {
                        let cell = Cell::Text(&text[place]);
                        self.add(cell, missing).map_err(|found| misfit(row, found))?;
                    }
                }
            }
            return Ok(fields.len());
        }
        cells.each(|row, cell| self.add(cell, missing).map_err(|found| misfit(row, found)))
    }

    /// Adds texts; `None` if one of them does not fit.
    pub(super) fn add_all(&mut self, texts: &[String], missing: &[String]) -> Option<()> {
        texts.iter().try_for_each(|text| self.add(Cell::Text(text), missing)).ok()
    }

    /// Whether the values are numbers as programs write them.
    pub(super) fn is_plain_number(&self) -> bool {
        matches!(&self.values, Building::Numbers(format, _) if format.is_plain())
    }

    pub(super) fn finish(self) -> Values {
        match self.values {
            Building::Numbers(_, values) | Building::Truth(values) => Values::Numbers(values),
            Building::Dates(_, values) => Values::Dates(values),
            Building::Texts(texts) => Values::Texts { codes: texts.codes, names: texts.names },
        }
    }
}

impl SchemaColumn {
    /// The values that texts of this column mean; `None` is a missing one, and blanks around a text do not count. `missing`: words for
    /// missing values, beside the usual ones.
    ///
    /// # Errors
    /// The place of the first text that is no value of this column, what is expected, and what it is.
    pub fn read_texts(
        &self,
        texts: &[Option<String>],
        missing: &[String],
    ) -> std::result::Result<Values, (usize, String, String)> {
        let mut builder = Builder::new(self);
        for (i, text) in texts.iter().enumerate() {
            let cell = text.as_deref().map_or(Cell::Missing, |text| Cell::Text(text.trim()));
            builder.add(cell, missing).map_err(|(expected, found)| (i, expected, found))?;
        }
        Ok(builder.finish())
    }
}
