//! What a person says about a table.

use std::path::{Path, PathBuf};

use super::date::DateOrder;
use super::schema::{Delimiter, Schema};
use crate::data::{Label, Task};
use crate::{Error, Result};

/// What you know about a table; the file decides the rest. The default is right for most files.
///
/// ```
/// use travertine::data::{Label, TableOptions};
/// let options = TableOptions { label: Label::from("species"), ..TableOptions::default() };
/// assert_eq!(options.header, None);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableOptions {
    /// Whether the first row names the columns.
    pub header: Option<bool>,
    /// What separates the fields.
    pub delimiter: Option<Delimiter>,
    /// The mark in front of decimals: a point or a comma.
    pub decimal: Option<char>,
    /// The mark between groups of three digits: `,` `.` `'` or a blank.
    pub thousands: Option<char>,
    /// A label of the Encoding Standard, such as `latin-1`.
    pub encoding: Option<String>,
    /// Lines that begin with this character are comments.
    pub comment: Option<char>,
    /// Lines above the table.
    pub skip_rows: Option<usize>,
    /// Words for a missing value, beside the usual ones; in any case of letters.
    pub missing: Vec<String>,
    /// Whether texts may be dates.
    pub dates: Dates,
    /// The columns that are learned.
    pub label: Label,
    /// Whether labels are classes or values.
    pub task: Option<Task>,
    /// Columns to leave out, by name or by number from 1.
    pub drop: Vec<String>,
    /// Columns to learn from that would be left out, by name or by number from 1.
    pub keep: Vec<String>,
    /// Columns whose values are categories even if they are numbers, such as zip codes.
    pub categorical: Vec<String>,
    /// Whether columns of 1001 to 10,000 different texts are learned from as well, for a network that embeds categories
    /// ([`EncoderOptions::most_one_hot`](crate::data::EncoderOptions::most_one_hot)). Otherwise they are left out.
    pub many_categories: bool,
    /// A NumPy file with the labels of a NumPy file.
    pub labels: Option<PathBuf>,
    /// A column whose texts are kept beside the samples ([`Frame::ids`](crate::data::Frame::ids)), by name or by number from 1.
    pub id: Option<String>,
    /// Everything, decided before: the options above change it.
    pub schema: Option<Schema>,
}

/// Whether texts may be dates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dates {
    /// Where a whole column fits.
    #[default]
    Detect,
    /// In this order, where a whole column fits.
    Order(DateOrder),
    /// Never.
    No,
}

impl TableOptions {
    /// Refuses options that contradict each other.
    pub(super) fn check(&self) -> Result<()> {
        let wrong = |reason: String| Err(Error::argument("Table::open", reason));
        match (self.decimal, self.thousands) {
            (Some(mark), _) if !matches!(mark, '.' | ',') => {
                wrong(format!("decimal mark {mark:?}; it is '.' or ','"))
            }
            (_, Some(mark)) if !matches!(mark, '.' | ',' | '\'' | ' ') => {
                wrong(format!("mark between thousands {mark:?}; it is ',', '.', ''' or a blank"))
            }
            (Some(decimal), Some(thousands)) if decimal == thousands => {
                wrong(format!("{decimal:?} is the decimal mark and between thousands"))
            }
            _ if self.comment.is_some_and(|comment| !comment.is_ascii_punctuation()) => {
                wrong("a comment begins with an ASCII punctuation character".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Refuses options for NumPy files where values are texts.
    pub(super) fn check_for_text(&self, path: &Path) -> Result<()> {
        if self.labels.is_none() {
            return Ok(());
        }
        let reason = format!("TableOptions::labels is for NumPy files, not for {}", path.display());
        Err(Error::argument("Table::open", reason))
    }

    /// Refuses a mark of comments that begins no line of a whole file.
    pub(super) fn check_comment(&self, path: &Path, text: &str) -> Result<()> {
        match self.comment {
            Some(comment) if !text.split(['\n', '\r']).any(|line| line.starts_with(comment)) => {
                let file = path.display();
                let reason = format!(
                    "TableOptions::comment has no effect on {file}: no line begins with {comment:?}"
                );
                Err(Error::argument("Table::open", reason))
            }
            _ => Ok(()),
        }
    }

    /// Refuses options for text files where values have types.
    pub(super) fn check_for_typed(&self, path: &Path) -> Result<()> {
        let given = [
            (self.header.is_some(), "header"),
            (self.delimiter.is_some(), "delimiter"),
            (self.decimal.is_some(), "decimal"),
            (self.thousands.is_some(), "thousands"),
            (self.encoding.is_some(), "encoding"),
            (self.comment.is_some(), "comment"),
            (self.skip_rows.is_some(), "skip_rows"),
        ];
        match given.iter().find(|(is_given, _)| *is_given) {
            Some((_, name)) => {
                let reason =
                    format!("TableOptions::{name} is for text files, not for {}", path.display());
                Err(Error::argument("Table::open", reason))
            }
            None => Ok(()),
        }
    }
}
