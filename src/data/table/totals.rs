//! A last row that sums the others up, as spreadsheets have it: no sample.

use super::cell::{Cell, missing_word};
use super::number::NumberFormat;
use super::schema::{ColumnType, Schema};
use super::source::{ColumnCells, Source};
use super::survey::{ColumnSurvey, Spot};
use crate::data::text::quoted;
use crate::{Error, Result};

/// What such a row is named, in small letters.
const SUMS: [&str; 8] =
    ["total", "totals", "grand total", "sum", "sums", "summe", "gesamt", "gesamtsumme"];
const MEANS: [&str; 7] =
    ["average", "averages", "avg", "mean", "means", "mittelwert", "durchschnitt"];
/// Rows above it from which on a sum is no chance.
const MIN_ROWS: usize = 3;

/// A name of a last row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Summary {
    Sum,
    Mean,
}

impl Summary {
    fn of(text: &str) -> Option<Self> {
        let name = text.trim_end_matches(':').trim_end().to_lowercase();
        let is_in = |names: &[&str]| names.contains(&&*name);
        match (is_in(&SUMS), is_in(&MEANS)) {
            (true, _) => Some(Summary::Sum),
            (_, true) => Some(Summary::Mean),
            _ => None,
        }
    }
}

/// Refuses a text file whose last row is named and holds the sums or means of its columns. One that only is named so is noted in
/// the schema.
pub(super) fn check_last_row(
    source: &dyn Source,
    columns: &[ColumnSurvey],
    schema: &mut Schema,
) -> Result<()> {
    let is_single = |survey: &ColumnSurvey| {
        let mut texts = survey.texts.known.iter();
        texts.any(|(text, occurrence)| occurrence.count == 1 && Summary::of(text).is_some())
    };
    if source.dialect().is_none() || !columns.iter().any(is_single) {
        return Ok(());
    }
    let Some((spot, last)) = last_row(source)? else { return Ok(()) };
    let is_name = |(field, survey): (&String, &ColumnSurvey)| {
        let known = survey.texts.known.get(field);
        Summary::of(field).filter(|_| known.is_some_and(|known| known.count == 1))
    };
    let mut named = last.iter().zip(columns).map(is_name).enumerate();
    let Some((place, summary)) = named.find_map(|(i, name)| Some((i, name?))) else {
        return Ok(());
    };
    let column = format!("{} ({})", source.place(spot, place), schema.columns[place].name);
    // A row without a label is left out, and told.
    let has_label =
        schema.targets().iter().all(|&target| missing_word(&last[target], &[]).is_none());
    if has_label && sums_up(source, schema, (spot, &last), summary)? {
        let of = if summary == Summary::Sum { "sums" } else { "means" };
        let found =
            format!("{} beside the {of} of the rows above; delete the line", quoted(&last[place]));
        return Err(Error::format(source.name(), column, "a sample", found));
    }
    let note = &mut schema.columns[place].note;
    let line = column.split(',').next().unwrap_or_default();
    let separator = if note.is_empty() { "" } else { "; " };
    *note += &format!("{separator}{line} has {}, as a row of totals would", quoted(&last[place]));
    Ok(())
}

/// The last row, and where it stands.
fn last_row(source: &dyn Source) -> Result<Option<(Spot, Vec<String>)>> {
    let all: Vec<usize> = (0..source.width()).collect();
    for block in (0..source.blocks()).rev() {
        let (mut last_row, mut fields) = (None, Vec::new());
        source.visit(block, &all, &mut |_, cells| {
            if let ColumnCells::Fields(column) = cells
                && let Some((row, text)) = column.iter().last()
            {
                last_row = Some(row);
                fields.push(text.to_owned());
            }
            Ok(())
        })?;
        if let Some(row) = last_row {
            return Ok(Some((Spot { block, row }, fields)));
        }
    }
    Ok(None)
}

/// Whether all numbers of the last row are the sums or means of those above, and one is not 0.
fn sums_up(
    source: &dyn Source,
    schema: &Schema,
    (spot, last): (Spot, &[String]),
    summary: Summary,
) -> Result<bool> {
    let format = |place: usize| match schema.columns[place].column_type {
        ColumnType::Number(format) => Some(format),
        _ => None,
    };
    let numbers: Vec<(usize, NumberFormat, f64)> = (0..last.len())
        .filter_map(|place| {
            let format = format(place)?;
            Some((place, format, format.parse(&last[place])?))
        })
        .collect();
    let places: Vec<usize> = numbers.iter().map(|(place, ..)| *place).collect();
    let mut above = vec![(0usize, 0.0f64, 0.0f64); places.len()];
    for block in 0..source.blocks() {
        source.visit(block, &places, &mut |i, cells| {
            let (count, sum, size) = &mut above[i];
            cells.each(|row, cell| {
                if let Cell::Text(text) = cell
                    && (Spot { block, row }) != spot
                    && let Some(x) = numbers[i].1.parse(text)
                {
                    (*count, *sum, *size) = (*count + 1, *sum + x, *size + x.abs());
                }
                Ok(())
            })?;
            Ok(())
        })?;
    }
    let is_summary = |(&(place, format, x), &(count, sum, size)): (
        &(usize, NumberFormat, f64),
        &(usize, f64, f64),
    )| {
        let parts = if summary == Summary::Sum { 1.0 } else { count as f64 };
        let decimals = last[place].rsplit_once(format.decimal).map_or(0, |(_, d)| d.len());
        let rounded = match summary {
            Summary::Sum => 0.0,
            Summary::Mean => 0.51 * 0.1f64.powi(decimals as i32),
        };
        count >= MIN_ROWS && (x - sum / parts).abs() <= rounded.max(1e-9 * size / parts)
    };
    Ok(!numbers.is_empty()
        && numbers.iter().any(|(.., x)| *x != 0.0)
        && numbers.iter().zip(&above).all(is_summary))
}
