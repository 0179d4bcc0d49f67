//! `evaluate --importance`

use serde::Serialize;
use travertine::{Importance, Model, Result, Scalar};

use super::SEED;
use crate::input::ModelInput;
use crate::message::counted;
use crate::output::IMPORTANCE_REPEATS;
use crate::output::text::{digits, signed, table};

/// Columns that people see; JSON has all.
const MOST_COLUMNS: usize = 30;

/// The columns of the data, the most important first.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct ColumnImportance(Vec<ColumnLine>);

#[derive(Serialize)]
struct ColumnLine {
    column: String,
    mean: f64,
    deviation: f64,
}

impl ColumnImportance {
    pub(super) fn measure<T: Scalar>(model: &Model<T>, input: &ModelInput<T>) -> Result<Self> {
        let mut importance = match input {
            ModelInput::Table(table) => model.importance(table.samples(), IMPORTANCE_REPEATS, SEED),
            ModelInput::Samples(data) => {
                let mut data = data.clone();
                if let Some(standardization) = &model.info().standardization {
                    standardization.apply(&mut data)?;
                }
                model.importance(&data, IMPORTANCE_REPEATS, SEED)
            }
        }?;
        // What a network that overflows has comes last.
        let rank = |one: &Importance| if one.mean.is_nan() { f64::NEG_INFINITY } else { one.mean };
        importance.sort_by(|a, b| rank(b).total_cmp(&rank(a)));
        let line = |Importance { column, mean, deviation }| ColumnLine { column, mean, deviation };
        Ok(ColumnImportance(importance.into_iter().map(line).collect()))
    }

    /// A line a column; `of`: what its importance is.
    pub(super) fn describe(&self, of: &str) -> Vec<String> {
        let head = ["column", of, "deviation"].map(str::to_owned).to_vec();
        let row = |line: &ColumnLine| {
            vec![line.column.clone(), signed(line.mean), digits(line.deviation)]
        };
        let shown = self.0.iter().take(MOST_COLUMNS).map(row);
        let mut lines = vec![String::new()];
        lines.extend(table(&[head].into_iter().chain(shown).collect::<Vec<_>>()));
        if self.0.len() > MOST_COLUMNS {
            let more = counted(self.0.len() - MOST_COLUMNS, "column", "columns");
            lines.push(format!("({more} with less; --json has all)"));
        }
        lines.push(String::new());
        lines
    }
}
