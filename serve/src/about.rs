//! What a model takes and gives, as clients are told.

use serde::Serialize;
use travertine::data::{Coding, EncodedColumn, Encoder, Task};
use travertine::{InputKind, Model, Scalar};

/// What a model takes and gives.
#[derive(Serialize)]
pub(crate) struct About {
    /// "classes" or "values"
    pub(crate) task: &'static str,
    pub(crate) columns: Vec<Column>,
    /// Empty for a model of values.
    pub(crate) classes: Vec<String>,
    pub(crate) gives_probabilities: bool,
    /// Empty for a model of classes.
    pub(crate) values: Vec<String>,
    /// The target's name, where it is known.
    pub(crate) target: Option<String>,
    pub(crate) parameters: usize,
    /// How pixels become numbers, for images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pixels: Option<String>,
}

/// A column of the rows.
#[derive(Serialize)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) allows_gaps: bool,
    /// The texts that training saw; empty for other kinds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) categories: Vec<String>,
    /// The least and the greatest number of the training part, where they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<(f64, f64)>,
    /// A usual value: the mean of the training part, or the first text.
    #[serde(skip_serializing_if = "Option::is_none")]
    usual: Option<serde_json::Value>,
}

/// The values that may stand in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Number,
    Text,
    Date,
}

impl About {
    pub(crate) fn new<T: Scalar>(model: &Model<T>) -> Self {
        let info = model.info();
        let encoded = |i: usize| info.encoder.as_ref().and_then(|e: &Encoder| e.columns().get(i));
        let mean = |i: usize| info.standardization.as_ref().and_then(|s| s.mean.get(i)).copied();
        let columns = model.columns().iter().enumerate().map(|(i, column)| {
            let (kind, categories) = match &column.kind {
                InputKind::Categories(texts) => (Kind::Text, texts.clone()),
                InputKind::Date => (Kind::Date, Vec::new()),
                _ => (Kind::Number, Vec::new()),
            };
            let coded = encoded(i);
            let usual = match coded {
                Some(column) => usual(column),
                None => mean(i).map(rounded),
            };
            Column {
                name: column.name.clone(),
                kind,
                allows_gaps: column.allows_gaps,
                categories,
                range: coded.and_then(|column| column.range).filter(|_| kind == Kind::Number),
                usual,
            }
        });
        About {
            task: match model.task() {
                Task::Classes => "classes",
                Task::Values => "values",
            },
            columns: columns.collect(),
            classes: model.classes().to_vec(),
            gives_probabilities: model.gives_probabilities(),
            values: model.value_names(),
            target: info.target.clone(),
            parameters: model.parameters(),
            pixels: info.pixels().map(str::to_owned),
        }
    }

    /// Whether requests of the other model are requests of this one, with answers of the same form.
    pub(crate) fn takes_and_gives_as(&self, other: &About) -> bool {
        let columns = |about: &About| {
            about.columns.iter().map(|c| (c.name.clone(), c.kind)).collect::<Vec<_>>()
        };
        self.classes == other.classes
            && self.values == other.values
            && columns(self) == columns(other)
    }

    /// Whether every column has numbers.
    pub(crate) fn is_numeric(&self) -> bool {
        self.columns.iter().all(|column| column.kind == Kind::Number)
    }
}

/// A usual value of a column.
fn usual(column: &EncodedColumn) -> Option<serde_json::Value> {
    match &column.coding {
        Coding::Mean(mean) | Coding::Bins { mean, .. } => Some(rounded(*mean)),
        Coding::Categories(texts) | Coding::Codes(texts) => texts.first().cloned().map(Into::into),
        Coding::Date { mean, .. } => Some(date(*mean).into()),
    }
}

/// Four digits are enough for an example.
fn rounded(x: f64) -> serde_json::Value {
    format!("{x:.3e}").parse::<f64>().unwrap_or(x).into()
}

/// The date of a number of days since 1970 (Howard Hinnant, "chrono-compatible low-level date algorithms", 2013).
fn date(days: f64) -> String {
    let shifted = days.floor().clamp(-700_000.0, 2_000_000.0) as i64 + 719_468;
    let era = shifted.div_euclid(146_097);
    let day = shifted.rem_euclid(146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let known = [(0.0, "1970-01-01"), (19_782.5, "2024-02-29"), (-1.0, "1969-12-31")];
        known.iter().for_each(|(days, text)| assert_eq!(date(*days), *text));
    }
}
