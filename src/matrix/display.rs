//! How matrices are printed.

use std::fmt;

use super::{Matrix, MatrixMut, MatrixRef};
use crate::error::Result;
use crate::scalar::Scalar;

/// Rows and columns that are printed of a large matrix: five from each end.
const MAX_SHOWN: usize = 10;

/// The indices to print; `None` for those that are left out.
fn shown(count: usize) -> Vec<Option<usize>> {
    if count <= MAX_SHOWN {
        return (0..count).map(Some).collect();
    }
    (0..MAX_SHOWN / 2)
        .map(Some)
        .chain([None])
        .chain((count - MAX_SHOWN / 2..count).map(Some))
        .collect()
}

/// The boxed form of the article, with the precision of the format, or else 2 decimals.
impl<T: Scalar> fmt::Display for MatrixRef<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = self.span();
        let precision = f.precision().unwrap_or(2);
        let layout = if span.row_stride == 1 || span.column_stride != 1 { "column" } else { "row" };
        let (name, offset) = (T::NAME, span.offset);
        writeln!(
            f,
            "#Matrix[{name}, mxn:{}x{}, layout:{layout}, offset:{offset}]",
            span.rows, span.columns
        )?;
        let (rows, columns) = (shown(span.rows), shown(span.columns));
        let cell = |row: Option<usize>, column: Option<usize>| match (row, column) {
            (Some(row), Some(column)) => self.get(row, column).map(|x| format!("{x:.precision$}")),
            (_, None) => Ok("⋯".to_owned()),
            (None, _) => Ok("⋮".to_owned()),
        };
        let cells: Result<Vec<Vec<String>>> = rows
            .iter()
            .map(|&row| columns.iter().map(|&column| cell(row, column)).collect())
            .collect();
        let cells = match cells {
            Ok(cells) => cells,
            Err(error) => return write!(f, "   cannot be read: {error}"),
        };
        let width =
            8.max(2 + cells.iter().flatten().map(|cell| cell.chars().count()).max().unwrap_or(0));
        let header = |column: &Option<usize>| if column.is_some() { "↓" } else { "⋯" };
        let line = |first: &str, cells: Vec<&str>, last: &str| {
            let cells: String = cells.iter().map(|cell| format!("{cell:<width$}")).collect();
            format!("   {first:<8}{cells}{last}").trim_end().to_owned()
        };
        writeln!(f, "{}", line("▥", columns.iter().map(header).collect(), "┓"))?;
        for row in &cells {
            writeln!(f, "{}", line("→", row.iter().map(String::as_str).collect(), ""))?;
        }
        write!(f, "{}", line("┗", vec![""; columns.len()], "┛"))
    }
}

impl<T: Scalar> fmt::Display for MatrixMut<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

impl<T: Scalar> fmt::Display for Matrix<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

macro_rules! debug_as_display {
    ($($type:ty),*) => {
        $(impl<T: Scalar> fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        })*
    };
}
debug_as_display!(Matrix<T>, MatrixRef<'_, T>, MatrixMut<'_, T>);
