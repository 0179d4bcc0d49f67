//! The tensors that a model takes and gives.

use crate::about::{About, Kind};

/// The name of the tensor of all columns.
pub(super) const MATRIX: &str = "input";
pub(super) const CLASS: &str = "class";

/// Name, datatype, and the second dimension.
type Declared = (String, &'static str, Option<usize>);

/// The tensors of a request: one of all columns where these are numbers, else one for each column. (One for each column is accepted in
/// any case.)
pub(super) fn inputs(about: &About) -> Vec<Declared> {
    if about.is_numeric() {
        return vec![(MATRIX.to_owned(), "FP64", Some(about.columns.len()))];
    }
    let datatype = |kind: Kind| if kind == Kind::Number { "FP64" } else { "BYTES" };
    let columns = about.columns.iter();
    columns.map(|column| (column.name.clone(), datatype(column.kind), Some(1))).collect()
}

/// The tensors of an answer.
pub(super) fn outputs(about: &About) -> Vec<Declared> {
    if about.classes.is_empty() {
        return vec![("values".to_owned(), "FP64", Some(about.values.len()))];
    }
    let scores = if about.gives_probabilities { "probabilities" } else { "scores" };
    vec![(CLASS.to_owned(), "BYTES", None), (scores.to_owned(), "FP64", Some(about.classes.len()))]
}
