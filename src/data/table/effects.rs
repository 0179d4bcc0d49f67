//! The schema of a table, with something to learn from and no option without an effect.

use super::infer::{self, Column};
use super::options::{Dates, TableOptions};
use super::schema::{ColumnType, Role, Schema, SchemaColumn};
use super::survey::ColumnSurvey;
use super::surveyed::Surveyed;
use crate::data::text::quoted;
use crate::{Error, Result};

/// The schema of a table, or why it is not certain.
pub(super) fn schema(table: &Surveyed<'_>, options: &TableOptions) -> Result<Schema> {
    let mut schema = infer::schema(table, options)?;
    keep_something(&mut schema, table)?;
    check_effects(&schema, table, options)?;
    Ok(schema)
}

/// Keeps a column that numbers the rows where nothing else is left to learn from.
fn keep_something(schema: &mut Schema, table: &Surveyed<'_>) -> Result<()> {
    if schema.with_role(Role::Feature).next().is_some() {
        return Ok(());
    }
    let numbered = |column: &&mut SchemaColumn| {
        column.role == Role::LeftOut && column.note == "it numbers the rows"
    };
    if let Some(column) = schema.columns.iter_mut().find(numbered) {
        (column.role, column.note) =
            (Role::Feature, "it numbers the rows, but there is no other".to_owned());
        return Ok(());
    }
    let left_out = |column: &SchemaColumn| format!("{} is {column}", quoted(&column.name));
    let found: Vec<String> = schema.columns.iter().map(left_out).collect();
    let expected = "a column to learn from beside the label; TableOptions::keep keeps one";
    Err(table.error("the columns", expected, found.join("; ")))
}

/// Refuses options that change nothing.
fn check_effects(schema: &Schema, table: &Surveyed<'_>, options: &TableOptions) -> Result<()> {
    let without_effect = |option: &str, reason: String| {
        Err(Error::argument(
            "Table::open",
            format!("{option} has no effect on {}: {reason}", table.file),
        ))
    };
    for name in &options.keep {
        let column = Column {
            table,
            options,
            place: table.find(name)?,
            survey: &table.columns[table.find(name)?],
        };
        let kept = &schema.columns[column.place];
        if kept.role == Role::Feature && column.reason_to_leave_out(kept.column_type).is_none() {
            return without_effect(
                "TableOptions::keep",
                format!("{} is not left out anyway", quoted(name)),
            );
        }
    }
    for word in &options.missing {
        let occurs = |survey: &ColumnSurvey| {
            survey.missing_words.known.keys().any(|known| known.eq_ignore_ascii_case(word))
        };
        if !table.columns.iter().any(occurs) {
            return without_effect(
                "TableOptions::missing",
                format!("{} does not occur", quoted(word)),
            );
        }
    }
    let has_thousands = |column: &SchemaColumn| matches!(column.column_type, ColumnType::Number(format) if format.thousands == options.thousands);
    let of_numbers = [
        (
            options.thousands.is_some() && !schema.columns.iter().any(has_thousands),
            "TableOptions::thousands",
            "no column has that mark between thousands",
        ),
        (
            options
                .decimal
                .is_some_and(|mark| !table.columns.iter().any(|c| c.has_decimal_mark(mark))),
            "TableOptions::decimal",
            "no number has that mark",
        ),
        (
            !have_dates_effect(schema, table, options),
            if options.dates == Dates::No { "Dates::No" } else { "TableOptions::dates" },
            "no column has such dates",
        ),
    ];
    match of_numbers.into_iter().find(|(is_vain, ..)| *is_vain) {
        Some((_, option, reason)) => without_effect(option, reason.to_owned()),
        None => Ok(()),
    }
}

fn have_dates_effect(schema: &Schema, table: &Surveyed<'_>, options: &TableOptions) -> bool {
    match options.dates {
        Dates::Detect => true,
        Dates::Order(order) => {
            schema.columns.iter().any(|column| column.column_type == ColumnType::Date(order))
        }
        Dates::No => table.columns.iter().any(|survey| survey.dates.iter().any(|&count| count > 0)),
    }
}
