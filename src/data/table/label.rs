//! What a column that is learned is: classes or values.

use super::cell::is_written_by_programs;
use super::infer::{Column, FEW_CATEGORIES};
use super::schema::{ColumnType, Role, SchemaColumn};
use super::survey::{Occurrence, Spot};
use crate::data::Task;
use crate::data::text::{counted, quoted};
use crate::{Error, Result};

/// Behind words for missing values that are classes, in a note.
const COUNTS_AS_CLASS: &str = "counts as a class, though it is a usual word for a missing value";
/// Whole numbers with more different values are values, not classes.
const MAX_WHOLE_CLASSES: usize = 20;

impl Column<'_> {
    /// The schema of a label; `labels`: how many columns are learned.
    pub(super) fn label(&self, decimal: Option<char>, labels: usize) -> Result<SchemaColumn> {
        let survey = self.survey;
        if survey.present() == 0 {
            return Err(self.table.error(self.head(), "labels", "missing values alone"));
        }
        let task = match self.options.task {
            None if labels > 1 => Some(Task::Values),
            Some(Task::Classes) if labels > 1 => {
                let expected = "one label for classes";
                return Err(self.table.error("the columns", expected, counted(labels, "label")));
            }
            task => task,
        };
        if task == Some(Task::Classes) {
            return self.class();
        }
        match (self.column_type(decimal)?, task) {
            (column_type @ ColumnType::Number(_), task) => {
                if task.is_none() && self.is_few_whole_numbers() {
                    return self.class();
                }
                self.refuse_slips()?;
                Ok(self.column(Role::Value, column_type, ""))
            }
            (ColumnType::Truth | ColumnType::Text, None) => self.class(),
            (ColumnType::Date(_), None) => {
                let expected = "classes or values; TableOptions::task says which, TableOptions::label names another column";
                Err(self.table.error(self.head(), expected, "dates"))
            }
            _ => {
                let (text, spot) = survey.first_other.clone().unwrap_or_default();
                let place = (self.table.place)(spot, self.place);
                Err(self.table.error(place, "a number, as the label is values", quoted(&text)))
            }
        }
    }

    fn is_few_whole_numbers(&self) -> bool {
        let survey = self.survey;
        let (different, more) = survey.different();
        let twice = survey.texts.known.values().all(|occurrence| occurrence.count >= 2);
        survey.others == 0
            && survey.numbers.integral == survey.numbers.count
            && !more
            && different <= MAX_WHOLE_CLASSES
            && twice
    }

    fn class(&self) -> Result<SchemaColumn> {
        let survey = self.survey;
        let (different, more) = survey.different();
        if survey.numbers.count == 0
            && different > FEW_CATEGORIES
            && (survey.texts.overflows || 2 * different > survey.present())
        {
            let more = if more { "more than " } else { "" };
            let found = format!("{more}{different} different texts in {} rows", self.table.rows);
            let expected = "classes that come again; TableOptions::label names another column";
            return Err(self.table.error(self.head(), expected, found));
        }
        // Words such as "none" are names of classes; among numbers they are unclear.
        let word = |(word, _): &(&String, &Occurrence)| {
            !is_written_by_programs(word) && !self.is_said_missing(word)
        };
        let words: Vec<(&String, &Occurrence)> =
            survey.missing_words.known.iter().filter(word).collect();
        if let Some((word, occurrence)) = words.first().filter(|_| survey.others == 0) {
            return Err(self.slip(
                word,
                occurrence.first,
                "a class, as the numbers in this column are",
            ));
        }
        let kept: usize = words.iter().map(|(_, occurrence)| occurrence.count).sum();
        let mut column = self.column(Role::Class, ColumnType::Text, "");
        column.missing -= kept;
        let mut words: Vec<&str> = words.into_iter().map(|(word, _)| word.as_str()).collect();
        words.sort_unstable();
        column.note = if more { String::new() } else { self.classes_note(&words) };
        if !words.is_empty() {
            let separator = if column.note.is_empty() { "" } else { "; " };
            let words: Vec<String> = words.into_iter().map(quoted).collect();
            column.note += &format!("{separator}{} {COUNTS_AS_CLASS}", words.join(" and "));
        }
        Ok(column)
    }

    fn is_said_missing(&self, word: &str) -> bool {
        self.options.missing.iter().any(|said| said.eq_ignore_ascii_case(word))
    }

    /// Refuses a single word among the values of a label: a slip, or a missing value as people write it.
    fn refuse_slips(&self) -> Result<()> {
        let slip = |(word, occurrence): &(&String, &Occurrence)| {
            occurrence.count == 1 && !is_written_by_programs(word) && !self.is_said_missing(word)
        };
        match self.survey.missing_words.known.iter().find(slip) {
            Some((word, occurrence)) => Err(self.slip(word, occurrence.first, "a number")),
            None => Ok(()),
        }
    }

    fn slip(&self, word: &str, spot: Spot, expected: &str) -> Error {
        let place = (self.table.place)(spot, self.place);
        let cure = "TableOptions::missing leaves rows without a label out";
        self.table.error(place, format!("{expected}; {cure}"), quoted(word))
    }
}
