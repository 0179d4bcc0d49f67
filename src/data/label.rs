//! What is learned: which columns of a table, and whether they are classes or values.

/// Which columns of a table are learned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Label {
    /// The last column.
    #[default]
    Last,
    /// These columns, by name or by number from 1; several are values. `#3` is always the third column.
    Columns(Vec<String>),
    /// None: every column is a feature.
    None,
}

impl From<&str> for Label {
    /// The column of this name or number.
    fn from(column: &str) -> Self {
        Label::Columns(vec![column.to_owned()])
    }
}

/// The meaning of labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Names of classes (classification).
    Classes,
    /// Numbers (regression).
    Values,
}
