//! What the program says about a table before it is used.

use travertine::data::{Role, Schema, Table};

use crate::message::{counted, note};

/// Prints how a table is read.
pub(crate) fn describe(name: &str, schema: &Schema, empty_rows: usize) {
    let columns = counted(schema.columns.len(), "column", "columns");
    note(&format!("{name}: {columns}\n{schema}"));
    if empty_rows > 0 {
        let rows = counted(empty_rows, "row", "rows");
        note(&format!("{rows} of empty fields left out"));
    }
    if schema.with_role(Role::LeftOut).next().is_some() {
        note("--keep NAME learns from a column that is left out");
    }
}

/// As [`describe`], for a table that is open.
pub(crate) fn describe_table(name: &str, table: &Table) {
    describe(name, table.schema(), table.empty_rows());
}
