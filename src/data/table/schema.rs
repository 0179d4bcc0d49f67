//! What a table is: its dialect, its columns and their types, what is learned and what is left out.

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::date::DateOrder;
use super::number::NumberFormat;
use crate::data::Task;
use crate::data::text::{counted, listed, quoted};

/// How a table is read: decided once, from the whole file ([`Table::open`](super::Table::open)), shown, saved in the model, and followed
/// whenever the model reads a table.
///
/// It is [`Serialize`] and [`Deserialize`], so that it can be written to a file, edited and used again
/// ([`TableOptions::schema`](super::TableOptions::schema)). It prints as a list of its columns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// How a text file is divided into fields; `None` for files that have types themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Dialect>,
    /// The columns of the file in their order.
    pub columns: Vec<SchemaColumn>,
}

/// How a text file is divided into rows and fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dialect {
    /// A label of the Encoding Standard, such as `UTF-8` or `windows-1252`.
    pub encoding: String,
    /// What separates fields.
    pub delimiter: Delimiter,
    /// Whether the first row names the columns.
    pub header: bool,
    /// Lines above the table, which are skipped: banners, and `sep=;`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skip_rows: usize,
    /// Lines that begin with this are comments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<char>,
    /// Whether every row ends with a delimiter, behind which there is no column.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ends_with_delimiter: bool,
    /// Whether the header has no name for the first column, as R writes the names of rows.
    #[serde(default, skip_serializing_if = "is_false")]
    pub row_names: bool,
    /// Words for a missing value, beside the usual ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

/// What separates the fields of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Delimiter {
    /// `,`
    Comma,
    /// `;`
    Semicolon,
    /// A tabulator.
    Tab,
    /// `|`
    Bar,
    /// One blank or more.
    Blanks,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchemaColumn {
    /// Its name in the header, or "column N", counted from 1.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// What its values are.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// How many values are missing.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missing: usize,
    /// A word that stands for missing values in this column alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_word: Option<String>,
    /// Whether dates have a zone, where all have one or none has; a date of the other kind is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zones: Option<bool>,
    /// Whether numbers have no decimals; it tells columns without names apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<bool>,
    /// The only value of a column that is left out because it is constant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constant: Option<String>,
    /// What a reader should know: the words for missing values, why it is left out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// What a column is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Something to learn from.
    Feature,
    /// A class to learn.
    Class,
    /// A value to learn; there may be several such columns.
    Value,
    /// Not used.
    LeftOut,
}

/// What the values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// Numbers.
    Number(NumberFormat),
    /// Truth values: 1 for true, yes and t; 0 for false, no and f.
    Truth,
    /// Dates, also with a time.
    Date(DateOrder),
    /// Texts that come again: categories or classes.
    Text,
}

impl Schema {
    /// The schema of a model that was saved without one: its features, and the columns that it learned.
    pub(crate) fn of_model(
        features: impl Iterator<Item = (String, ColumnType)>,
        targets: &[String],
        role: Role,
        label_number: Option<usize>,
    ) -> Self {
        let column = |name: String, role, column_type| SchemaColumn {
            name,
            role,
            column_type,
            missing: 0,
            missing_word: None,
            zones: None,
            whole: None,
            constant: None,
            note: String::new(),
        };
        let mut columns: Vec<SchemaColumn> =
            features.map(|(name, column_type)| column(name, Role::Feature, column_type)).collect();
        let value = ColumnType::Number(NumberFormat::default());
        let label_type = if role == Role::Class { ColumnType::Text } else { value };
        let first = label_number.map_or(columns.len(), |number| (number - 1).min(columns.len()));
        for (i, target) in targets.iter().enumerate() {
            columns.insert(first + i, column(target.clone(), role, label_type));
        }
        // Columns without names are known by their places.
        let is_number =
            |name: &str| name.strip_prefix("column ").is_some_and(|n| n.parse::<usize>().is_ok());
        if columns.iter().all(|column| is_number(&column.name)) {
            (1..)
                .zip(&mut columns)
                .for_each(|(number, column)| column.name = format!("column {number}"));
        }
        Schema { dialect: None, columns }
    }

    /// The place of the column of this name. A name wins over a number; `#3` is always the third column, and so is `3` where no
    /// column has that name.
    ///
    /// # Errors
    /// Why there is no such column, or why it is not clear which it is.
    pub fn find(&self, name: &str) -> Result<usize, String> {
        find_column(self.columns.iter().map(|column| &*column.name), name)
    }

    /// The places of the columns with this role.
    pub fn with_role(&self, role: Role) -> impl Iterator<Item = usize> {
        let columns = self.columns.iter().enumerate();
        columns.filter(move |(_, column)| column.role == role).map(|(place, _)| place)
    }

    /// The places of the columns that are learned.
    pub fn targets(&self) -> Vec<usize> {
        let columns = self.columns.iter().enumerate();
        let learned = |role| matches!(role, Role::Class | Role::Value);
        columns.filter(|(_, column)| learned(column.role)).map(|(place, _)| place).collect()
    }

    /// Whether classes or values are learned; `None` without a label.
    pub fn task(&self) -> Option<Task> {
        self.columns.iter().find_map(|column| match column.role {
            Role::Class => Some(Task::Classes),
            Role::Value => Some(Task::Values),
            _ => None,
        })
    }

    /// Whether the columns have names of their own.
    pub fn has_names(&self) -> bool {
        let is_number =
            |(number, column): (usize, &SchemaColumn)| column.name == format!("column {number}");
        match &self.dialect {
            Some(dialect) => dialect.header,
            None => !(1..).zip(&self.columns).all(is_number),
        }
    }
}

/// As [`Schema::find`], among these names.
pub(in crate::data) fn find_column<'n>(
    names: impl ExactSizeIterator<Item = &'n str> + Clone,
    name: &str,
) -> Result<usize, String> {
    let count = names.len();
    let by_number = |digits: &str| {
        let number = digits.parse::<usize>().ok()?.checked_sub(1)?;
        (number < count).then_some(number)
    };
    if let Some(place) = name.strip_prefix('#').and_then(by_number) {
        return Ok(place);
    }
    let by_name = names.clone().position(|column| column == name);
    if let (Some(first), Some(second)) = (by_name, repeated_names(names.clone()).get(name)) {
        let (first, second) = (first + 1, second + 1);
        let name = quoted(name);
        return Err(format!(
            "{name} is the name of columns {first} and {second}; write #{first} or #{second}"
        ));
    }
    match (by_name, by_number(name)) {
        (Some(place), Some(number)) if place != number => Err(format!(
            "{} is the name of column {} and the number of another; write #{} or #{}",
            quoted(name),
            place + 1,
            place + 1,
            number + 1
        )),
        (Some(place), _) | (None, Some(place)) => Ok(place),
        (None, None) => {
            let names: Vec<String> = names.map(str::to_owned).collect();
            let cut = names.iter().position(|column| column.contains(',') && column.contains(name));
            let cure = cut.map_or(String::new(), |place| {
                format!("; write #{} for a name with a comma", place + 1)
            });
            Err(format!("no column {}; there are {}{cure}", quoted(name), listed(&names)))
        }
    }
}

/// For each name that comes again in a file the place where it does first. Behind such a name its number was written.
pub(super) fn repeated_names<'n>(names: impl Iterator<Item = &'n str>) -> HashMap<&'n str, usize> {
    let mut repeated = HashMap::new();
    for (place, name) in names.enumerate() {
        let Some((base, number)) = name.rsplit_once(" #") else { continue };
        if number.parse() == Ok(place + 1) {
            repeated.entry(base).or_insert(place);
        }
    }
    repeated
}

impl ColumnType {
    /// "number", "text" ...
    fn describe(&self) -> String {
        match self {
            ColumnType::Number(format) => {
                let mut parts = vec!["number".to_owned()];
                if format.decimal == ',' {
                    parts.push("decimal comma".to_owned());
                }
                parts.extend(
                    format.thousands.map(|mark| format!("thousands separated by '{mark}'")),
                );
                parts.extend(format.unit.map(|unit| format!("in {unit}")));
                parts.join(", ")
            }
            ColumnType::Truth => "true or false".to_owned(),
            ColumnType::Date(order) => format!("date ({order})"),
            ColumnType::Text => "categories".to_owned(),
        }
    }
}

impl fmt::Display for DateOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DateOrder::YearFirst => "Y-M-D",
            DateOrder::DayFirst => "D/M/Y",
            DateOrder::MonthFirst => "M/D/Y",
        })
    }
}

/// What becomes of the column: "number; 3 missing", "label, 2 classes: no yes", "left out: constant, 0".
impl fmt::Display for SchemaColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_type = self.column_type.describe();
        let what = match self.role {
            Role::Feature if self.column_type == ColumnType::Text => String::new(),
            Role::Feature => of_type,
            Role::Class => "label".to_owned(),
            Role::Value => format!("label, {of_type}"),
            Role::LeftOut => "left out".to_owned(),
        };
        let missing = match self.missing {
            0 => String::new(),
            missing => format!("{missing} missing"),
        };
        let separator = if self.role == Role::LeftOut { ": " } else { ", " };
        let said: Vec<&str> =
            [&what, &self.note].into_iter().map(|s| &**s).filter(|s| !s.is_empty()).collect();
        f.write_str(&said.join(separator))?;
        if missing.is_empty() { Ok(()) } else { write!(f, "; {missing}") }
    }
}

impl Delimiter {
    /// All, in the order in which they are tried.
    pub(super) const ALL: [Delimiter; 5] =
        [Delimiter::Comma, Delimiter::Semicolon, Delimiter::Tab, Delimiter::Bar, Delimiter::Blanks];

    /// The character, a blank for blanks.
    pub fn byte(self) -> u8 {
        match self {
            Delimiter::Comma => b',',
            Delimiter::Semicolon => b';',
            Delimiter::Tab => b'\t',
            Delimiter::Bar => b'|',
            Delimiter::Blanks => b' ',
        }
    }
}

impl fmt::Display for Delimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Delimiter::Comma => "','",
            Delimiter::Semicolon => "';'",
            Delimiter::Tab => "tabs",
            Delimiter::Bar => "'|'",
            Delimiter::Blanks => "blanks",
        })
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = if self.header { "a header" } else { "no header" };
        write!(f, "separated by {}, {header}", self.delimiter)?;
        if !self.encoding.eq_ignore_ascii_case("utf-8") {
            write!(f, ", {}", self.encoding)?;
        }
        match self.skip_rows {
            0 => {}
            rows => write!(f, ", {} above it skipped", counted(rows, "line"))?,
        }
        if let Some(comment) = self.comment {
            write!(f, ", lines with {comment} are comments")?;
        }
        if self.row_names {
            f.write_str(", names of rows in front of the columns that it names")?;
        }
        if self.ends_with_delimiter {
            f.write_str(", an empty last column left out")?;
        }
        Ok(())
    }
}

/// The dialect, and a line a column; more than 40 columns are summed up.
impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST_COLUMNS: usize = 40;
        const WIDEST_NAME: usize = 24;
        match &self.dialect {
            Some(dialect) => writeln!(f, "{dialect}")?,
            None => writeln!(f, "with types of the file's own")?,
        }
        let shown = &self.columns[..self.columns.len().min(MOST_COLUMNS)];
        let width = shown.iter().map(|column| column.name.chars().count()).max().unwrap_or(0);
        let width = width.min(WIDEST_NAME);
        for (number, column) in (1..).zip(shown) {
            write!(f, "  {number:>3}  {:<width$}  {column}", column.name)?;
            if number < self.columns.len() {
                writeln!(f)?;
            }
        }
        let rest = &self.columns[shown.len()..];
        if !rest.is_empty() {
            let count = |role| rest.iter().filter(|column| column.role == role).count();
            let [features, left_out] = [Role::Feature, Role::LeftOut].map(count);
            write!(
                f,
                "  and {}: {features} to learn from, {left_out} left out",
                counted(rest.len(), "column")
            )?;
            for column in rest.iter().filter(|c| matches!(c.role, Role::Class | Role::Value)) {
                write!(f, "; {}  {column}", column.name)?;
            }
        }
        Ok(())
    }
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

fn is_false(flag: &bool) -> bool {
    !flag
}
