//! The columns that the options name.

use std::collections::HashMap;

use super::options::TableOptions;
use super::surveyed::Surveyed;
use crate::data::Label;
use crate::data::text::quoted;
use crate::{Error, Result};

/// The columns that the options name.
pub(super) struct Choice {
    pub(super) labels: Vec<usize>,
    pub(super) drop: Vec<usize>,
    pub(super) keep: Vec<usize>,
    pub(super) categorical: Vec<usize>,
}

impl Choice {
    pub(super) fn new(table: &Surveyed<'_>, options: &TableOptions) -> Result<Self> {
        let find = |names: &[String]| -> Result<Vec<usize>> {
            let names = names.iter();
            names.map(|name| table.find(name)).collect()
        };
        if table.labels > 0 && options.label != Label::Last {
            let reason = "TableOptions::label names columns of one file; TableOptions::labels is another with all labels";
            return Err(Error::argument("Table::open", reason));
        }
        let end = table.columns.len();
        let labels = match &options.label {
            Label::Last => (end - table.labels.max(1)..end).collect(),
            Label::Columns(names) => find(names)?,
            Label::None => Vec::new(),
        };
        let choice = Choice {
            labels,
            drop: find(&options.drop)?,
            keep: find(&options.keep)?,
            categorical: find(&options.categorical)?,
        };
        choice.check(table)?;
        Ok(choice)
    }

    /// Refuses columns that are named twice.
    fn check(&self, table: &Surveyed<'_>) -> Result<()> {
        let lists = [
            ("TableOptions::label", &self.labels),
            ("TableOptions::drop", &self.drop),
            ("TableOptions::keep", &self.keep),
            ("TableOptions::categorical", &self.categorical),
        ];
        let named = |(option, list): (&'static str, &'_ Vec<usize>)| {
            list.iter().map(move |&column| (column, option)).collect::<Vec<_>>()
        };
        let mut seen: HashMap<usize, &str> = HashMap::new();
        for (column, option) in lists.into_iter().flat_map(named) {
            let Some(first) = seen.insert(column, option) else { continue };
            // A column that is kept may be one of categories.
            if (first, option) != ("TableOptions::keep", "TableOptions::categorical") {
                let found = format!("{} by {first} and {option}", quoted(&table.names[column]));
                return Err(table.error("the columns", "columns that are named once", found));
            }
        }
        Ok(())
    }
}
