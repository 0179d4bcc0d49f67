//! What the program says about a table before it is used.

use travertine::data::{Role, Schema};

use crate::message::{counted, note};

/// Rows of a table that are not samples.
#[derive(Clone, Copy, Default)]
pub(crate) struct LeftOutRows {
    pub(crate) empty: usize,
    pub(crate) unlabeled: usize,
}

/// Prints how a table is read; `rows`: those with a label.
pub(crate) fn describe(name: &str, schema: &Schema, rows: usize, left_out: LeftOutRows) {
    let all = counted(rows + left_out.unlabeled, "row", "rows");
    let columns = counted(schema.columns.len(), "column", "columns");
    note(&format!("{name}: {all}, {columns}, {schema}"));
    if left_out.empty > 0 {
        note(&format!("  {} of empty fields left out", counted(left_out.empty, "row", "rows")));
    }
    if left_out.unlabeled > 0 {
        let rows = counted(left_out.unlabeled, "row", "rows");
        note(&format!("  {rows} without a label left out"));
    }
    let lost_zeros = schema.columns.iter().find(|c| c.note.contains("in categories they are"));
    if let Some(column) = lost_zeros {
        let (name, option) = match column.role {
            Role::Value => (String::new(), "--task classes"),
            _ => (format!(" {}", column.name), "--categorical"),
        };
        note(&format!("  {option}{name} keeps digits as they are written, as codes have them"));
    }
    name_words_of_classes(schema);
    let by_guess = |place: usize| schema.columns[place].note != "as you say";
    if schema.with_role(Role::LeftOut).any(by_guess) {
        note("  --keep NAME learns from a column that is left out");
    }
}

/// Says how rows whose label is a usual word for a missing value are left out.
pub(crate) fn name_words_of_classes(schema: &Schema) {
    if schema.columns.iter().any(|column| column.note.contains("counts as a class")) {
        note("  --missing WORDS leaves rows with such a label out");
    }
}
