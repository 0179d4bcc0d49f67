//! From the values of a file to a frame, as a schema says.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::cell::{
    Cell, WITH_PERCENT, is_written_by_programs, missing_word, without_zero_decimals,
};
use super::date::{DateOrder, date_text, has_zone};
use super::number::NumberFormat;
use super::schema::{ColumnType, Role, SchemaColumn};
use super::source::Source;
use super::survey::Spot;
use crate::data::text::{listed, quoted, truth};
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

/// What a value should be, and what it is.
type Misfit = (String, String);

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
        source.cells(block, &columns, &mut |spot, place, cell| {
            rows += usize::from(place == 0);
            let outcome = if place < first_target {
                features[place].add(cell, &self.missing)
            } else if place < first_constant {
                targets[place - first_target].add(cell, &self.missing)
            } else if place < id {
                let place = place - first_constant;
                compare(&self.constants[place].1, cell, &mut changed[place]);
                Ok(())
            } else {
                ids.push(text_of(cell));
                Ok(())
            };
            outcome.map_err(|misfit| self.misfit(source, spot, (place, columns[place]), misfit))
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

fn text_of(cell: Cell<'_>) -> String {
    match cell {
        Cell::Text(text) => text.to_owned(),
        Cell::Number(x) => x.to_string(),
        Cell::Date(x) => date_text(x),
        Cell::Integer(x) => x.to_string(),
        Cell::Truth(truth) => truth.to_string(),
        Cell::Missing => String::new(),
        Cell::Bytes => "bytes".to_owned(),
    }
}

/// Different texts and the number of each value's text.
#[derive(Default)]
pub(super) struct Texts {
    pub(super) codes: Vec<u32>,
    pub(super) names: Vec<String>,
    numbers: HashMap<String, u32, RandomState>,
}

impl Texts {
    /// Adds a category, for which 1 and 1.0 are the same.
    fn add(&mut self, text: &str) {
        self.add_as_written(without_zero_decimals(text));
    }

    pub(super) fn add_as_written(&mut self, text: &str) {
        let code = self.number(text);
        self.codes.push(code);
    }

    fn number(&mut self, text: &str) -> u32 {
        if let Some(&code) = self.numbers.get(text) {
            return code;
        }
        let code = self.names.len() as u32;
        self.names.push(text.to_owned());
        self.numbers.insert(text.to_owned(), code);
        code
    }

    /// Adds the values below.
    pub(super) fn append(&mut self, below: Texts) {
        let numbers: Vec<u32> = below.names.iter().map(|name| self.number(name)).collect();
        self.codes.extend(below.codes.into_iter().map(|code| numbers[code as usize]));
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

fn no_text() -> Misfit {
    let expected = "a text; TableOptions::drop leaves the column out";
    (expected.to_owned(), "bytes that are no text".to_owned())
}

/// Words for missing values: of all columns, and of this one.
type Words<'w> = (&'w [String], Option<&'w str>);

fn is_missing(text: &str, (all, own): Words<'_>) -> bool {
    missing_word(text, all).is_some() || own.is_some_and(|own| own.eq_ignore_ascii_case(text))
}

/// A finite number, or NaN for a missing one.
fn number(cell: Cell<'_>, format: NumberFormat, words: Words<'_>) -> Result<f64, Misfit> {
    let expected = || {
        "a finite number, as in the rest of the column; TableOptions::missing names words for missing values, \
         TableOptions::categorical makes the column one of categories"
            .to_owned()
    };
    match cell {
        Cell::Text(text) => {
            if !words.0.is_empty() && is_missing(text, words) {
                return Ok(f64::NAN);
            }
            if let Some(x) = format.parse(text) {
                return Ok(x);
            }
            if is_missing(text, words) { Ok(f64::NAN) } else { Err((expected(), quoted(text))) }
        }
        Cell::Number(_) | Cell::Integer(_) if format.unit == Some('%') => {
            Err((WITH_PERCENT.to_owned(), text_of(cell)))
        }
        Cell::Number(x) if x.is_infinite() => Err((expected(), x.to_string())),
        Cell::Number(x) => Ok(x),
        Cell::Integer(x) => Ok(x as f64),
        Cell::Missing => Ok(f64::NAN),
        Cell::Truth(truth) => Err((expected(), truth.to_string())),
        Cell::Date(_) => Err((expected(), "a date".to_owned())),
        Cell::Bytes => Err(no_text()),
    }
}

fn truth_value(cell: Cell<'_>, words: Words<'_>) -> Result<f64, Misfit> {
    let expected = || "true or false, as in the rest of the column".to_owned();
    let value = |truth: bool| Ok(f64::from(u8::from(truth)));
    match cell {
        Cell::Text(text) => match truth(text) {
            Some(truth) => value(truth),
            None if is_missing(text, words) => Ok(f64::NAN),
            None if text == "0" || text == "1" => value(text == "1"),
            None => Err((expected(), quoted(text))),
        },
        Cell::Truth(truth) => value(truth),
        Cell::Missing => Ok(f64::NAN),
        Cell::Number(x) if x.is_nan() || x == 0.0 || x == 1.0 => Ok(x),
        Cell::Integer(x @ (0 | 1)) => Ok(x as f64),
        cell => Err((expected(), text_of(cell))),
    }
}

/// `zones`: whether dates have a zone, if all do or none does.
fn date(
    cell: Cell<'_>,
    (order, zones): (DateOrder, Option<bool>),
    words: Words<'_>,
) -> Result<f64, Misfit> {
    let zone = zones.map_or("", |zones| if zones { " with a zone" } else { " without a zone" });
    let expected = || format!("a date{zone} in the order {order}, as in the rest of the column");
    match cell {
        Cell::Text(text) => match order.parse(text) {
            Some(_) if zones.is_some_and(|zones| zones != has_zone(text)) => {
                Err((expected(), quoted(text)))
            }
            Some(seconds) => Ok(seconds),
            None if is_missing(text, words) => Ok(f64::NAN),
            None => Err((expected(), quoted(text))),
        },
        Cell::Date(seconds) => Ok(seconds),
        Cell::Missing => Ok(f64::NAN),
        cell => Err((expected(), text_of(cell))),
    }
}

/// A column that is learned.
pub(super) struct TargetBuilder {
    labels: Labels,
    missing_word: Option<String>,
    /// The classes of a model by name.
    known: Option<Known>,
}

enum Labels {
    Classes(Texts),
    Values(Vec<f64>, NumberFormat),
}

struct Known {
    names: Vec<String>,
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

    fn add(&mut self, cell: Cell<'_>, missing: &[String]) -> Result<(), Misfit> {
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

    fn has_gaps(&self) -> bool {
        match &self.labels {
            Labels::Classes(texts) => texts.codes.contains(&MISSING),
            Labels::Values(values, _) => values.iter().any(|x| x.is_nan()),
        }
    }

    fn has(&self, row: usize) -> bool {
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
