//! Random tables that pandas and polars write (`write_tables.py`), read back cell by cell.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use travertine::data::{Frame, Label, MISSING, Role, Table, TableOptions, Values};

use super::folder::Folder;

const TABLES: usize = 500;

/// A Python with pandas and polars, or `None` with a printed line.
fn python() -> Option<String> {
    let python = std::env::var("TRAVERTINE_PYTHON").unwrap_or("python3".to_owned());
    let usable = Command::new(&python).args(["-c", "import pandas, polars"]).output();
    if usable.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    let must = std::env::var("TRAVERTINE_ENSURE_PYTHON").is_ok();
    assert!(!must, "{python} has no pandas and polars, and TRAVERTINE_ENSURE_PYTHON is set");
    eprintln!("LEFT OUT: tables of pandas and polars; {python} has no pandas and polars");
    None
}

/// Options that a person would give for a table in this form.
fn options(form: &Value) -> TableOptions {
    let encoding = form["encoding"].as_str().unwrap();
    TableOptions {
        label: Label::None,
        encoding: ["latin-1", "cp1252"].contains(&encoding).then(|| encoding.to_owned()),
        ..TableOptions::default()
    }
}

/// Reads all columns of a table, also those that would be left out.
fn read(path: &Path, options: &TableOptions) -> travertine::Result<Frame> {
    let table = Table::open(path, options)?;
    let left_out = table.schema().with_role(Role::LeftOut);
    let mut keep: Vec<String> = left_out.map(|place| format!("#{}", place + 1)).collect();
    if keep.is_empty() {
        return table.read();
    }
    keep.extend(options.keep.iter().cloned());
    read(path, &TableOptions { keep, ..options.clone() })
}

fn close(found: f64, expected: f64, format: Option<&str>) -> bool {
    let tolerance = match format {
        None => 0.0,
        Some(format) if format.ends_with('e') => 1e-6 * expected.abs(),
        Some(format) => 1.01 * 10f64.powi(-i32::from(format.as_bytes()[2] - b'0')),
    };
    (found - expected).abs() <= tolerance
}

/// What differs in a cell, if anything does.
fn difference(values: &Values, row: usize, cell: &Value, format: Option<&str>) -> Option<String> {
    let (found, same) = match (values, cell) {
        (Values::Numbers(values) | Values::Dates(values), Value::Number(expected)) => {
            let found = values[row];
            (found.to_string(), close(found, expected.as_f64().unwrap(), format))
        }
        (Values::Numbers(values) | Values::Dates(values), Value::Null) => {
            (values[row].to_string(), values[row].is_nan())
        }
        (Values::Texts { codes, names }, _) => {
            let found = (codes[row] != MISSING).then(|| &*names[codes[row] as usize]);
            (format!("{found:?}"), found == cell.as_str().map(str::trim))
        }
        (_, other) => (format!("a number, not {other}"), false),
    };
    (!same).then(|| format!("row {row}: {found} instead of {cell}"))
}

/// The first difference between a table and what was written.
fn first_difference(frame: &Frame, table: &Value) -> Option<String> {
    let columns = table["columns"].as_array().unwrap();
    if frame.columns().len() != columns.len() {
        return Some(format!("{} columns instead of {}", frame.columns().len(), columns.len()));
    }
    let rows = columns[0]["cells"].as_array().unwrap().len();
    if frame.samples() != rows {
        return Some(format!("{} rows instead of {rows}", frame.samples()));
    }
    let named = table["form"]["header"].as_bool().unwrap();
    for (column, expected) in frame.columns().iter().zip(columns) {
        let name = expected["name"].as_str().unwrap();
        if named && !name.is_empty() && column.name != name {
            return Some(format!("a column {:?} instead of {name:?}", column.name));
        }
        let is_float = expected["kind"] == "float";
        let format = table["form"]["float_format"].as_str().filter(|_| is_float);
        let mut cells = expected["cells"].as_array().unwrap().iter().enumerate();
        let found = cells.find_map(|(row, cell)| difference(&column.values, row, cell, format));
        if let Some(found) = found {
            return Some(format!("{name:?}: {found}"));
        }
    }
    None
}

#[test]
fn tables_of_pandas_and_polars_are_read_cell_by_cell() {
    let Some(python) = python() else { return };
    let folder = Folder::new();
    let seed = std::env::var("TRAVERTINE_TABLES_SEED").unwrap_or("1".to_owned());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/library/tables/write_tables.py");
    let arguments = [script, folder.to_str().unwrap(), &TABLES.to_string(), &seed];
    let output = Command::new(python).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tables = fs::read_to_string(folder.join("tables.json")).unwrap();
    let tables: Vec<Value> = serde_json::from_str(&tables).unwrap();
    let mut refused: BTreeMap<String, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (number, table) in tables.iter().enumerate() {
        let path = folder.join(format!("{number}.csv"));
        let ambiguous = table["ambiguous"].as_array().unwrap();
        match read(&path, &options(&table["form"])) {
            Ok(frame) => wrong.extend(
                first_difference(&frame, table)
                    .map(|found| format!("table {number} {}: {found}", table["form"])),
            ),
            Err(_) if !ambiguous.is_empty() => {
                let kind = ambiguous[0].as_str().unwrap().split('\'').next().unwrap();
                *refused.entry(kind.to_owned()).or_default() += 1;
            }
            Err(error) => wrong.push(format!("table {number} {}: {error}", table["form"])),
        }
    }
    println!("{} tables; refused with reason: {refused:?}", tables.len());
    if let Some(kept) = std::env::var_os("TRAVERTINE_KEEP_TABLES") {
        fs::rename(&*folder, kept).unwrap();
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), tables.len(), wrong.join("\n"));
}
