//! From what stands in the columns to their types and roles.

use std::collections::HashMap;

use super::cell::{is_written_by_programs, without_zero_decimals};
use super::date::DateOrder;
use super::number::{FORMATS, NumberFormat};
use super::options::{Dates, TableOptions};
use super::schema::{ColumnType, Delimiter, Dialect, Role, Schema, SchemaColumn, find_column};
use super::survey::{ColumnSurvey, MAX_TEXTS, Occurrence, Spot};
use crate::data::text::{counted, listed, quoted};
use crate::data::{Label, Task};
use crate::{Error, Result};

/// Whole numbers with more different values are values, not classes.
const MAX_WHOLE_CLASSES: usize = 20;
/// A column with as many different texts or fewer is one of categories for any number of rows.
const FEW_CATEGORIES: usize = 20;
/// A column with more different texts is left out, unless the options say that it is one of categories.
const MAX_CATEGORIES: usize = 1000;
/// Rows from which on texts that never come again are names.
const MIN_ROWS_FOR_NAMES: usize = 10;
/// Constant up to rounding: the range, relative to the size of the numbers.
const ROUNDING: f64 = 1e-12;

/// A whole table, counted.
pub(super) struct Surveyed<'a> {
    pub(super) file: &'a str,
    pub(super) dialect: Option<Dialect>,
    pub(super) names: Vec<String>,
    pub(super) columns: Vec<ColumnSurvey>,
    pub(super) rows: usize,
    /// "line 7, column 2 (width)"
    pub(super) place: &'a dyn Fn(Spot, usize) -> String,
}

/// The schema of a table, or why it is not certain.
pub(super) fn schema(table: &Surveyed<'_>, options: &TableOptions) -> Result<Schema> {
    let choice = Choice::new(table, options)?;
    let decimal = table.decimal_mark(options);
    let mut columns = Vec::with_capacity(table.columns.len());
    for (place, survey) in table.columns.iter().enumerate() {
        let column = Column { table, options, place, survey };
        columns.push(column.decide(&choice, decimal)?);
    }
    let mut schema = Schema { dialect: table.dialect.clone(), columns };
    keep_something(&mut schema, table)?;
    check_effects(&schema, table, options)?;
    Ok(schema)
}

/// The columns that the options name.
struct Choice {
    labels: Vec<usize>,
    drop: Vec<usize>,
    keep: Vec<usize>,
    categorical: Vec<usize>,
}

impl Choice {
    fn new(table: &Surveyed<'_>, options: &TableOptions) -> Result<Self> {
        let find = |names: &[String]| -> Result<Vec<usize>> {
            let names = names.iter();
            names.map(|name| table.find(name)).collect()
        };
        let labels = match &options.label {
            Label::Last => vec![table.columns.len() - 1],
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

impl Surveyed<'_> {
    fn find(&self, name: &str) -> Result<usize> {
        let found = find_column(self.names.iter().map(String::as_str), name);
        found.map_err(|reason| {
            let expected = format!("a column {}", quoted(name));
            self.error("the columns", expected, reason)
        })
    }

    fn error(
        &self,
        place: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Error {
        Error::format(self.file, place, expected, found)
    }

    /// The decimal mark that the columns of the file agree on, where some of them allow only one.
    fn decimal_mark(&self, options: &TableOptions) -> Option<char> {
        if options.decimal.is_some() {
            return options.decimal;
        }
        let needs_comma = |survey: &ColumnSurvey| {
            let [fits, _] = survey.fits();
            let best = fits.iter().copied().max().unwrap_or(0);
            let fits_best = |mark| {
                (0..FORMATS.len()).any(|format| fits[format] == best && FORMATS[format].0 == mark)
            };
            survey.others > 0 && 10 * best >= 9 * survey.present() && !fits_best('.')
        };
        let comma = self.columns.iter().any(needs_comma);
        let point = self.columns.iter().any(ColumnSurvey::needs_decimal_point);
        match (comma, point) {
            (true, false) => Some(','),
            (false, true) => Some('.'),
            // Unquoted fields between commas have no decimal comma.
            _ if self.dialect.as_ref().is_some_and(|d| d.delimiter == Delimiter::Comma) => {
                Some('.')
            }
            _ => None,
        }
    }
}

/// A column of the table that is being decided on.
struct Column<'a> {
    table: &'a Surveyed<'a>,
    options: &'a TableOptions,
    place: usize,
    survey: &'a ColumnSurvey,
}

impl Column<'_> {
    fn decide(&self, choice: &Choice, decimal: Option<char>) -> Result<SchemaColumn> {
        let is_in = |list: &[usize]| list.contains(&self.place);
        if is_in(&choice.drop) {
            return Ok(self.column(Role::LeftOut, ColumnType::Text, "as you say"));
        }
        if is_in(&choice.labels) {
            return self.label(decimal, choice.labels.len());
        }
        if is_in(&choice.categorical) {
            self.check_categories()?;
            return Ok(self.column(Role::Feature, ColumnType::Text, self.categories_note()));
        }
        let column_type = match self.column_type(decimal) {
            Ok(column_type) => column_type,
            // Without values there is no type to find.
            Err(_) if self.survey.present() == 0 => ColumnType::Text,
            Err(error) => return Err(error),
        };
        let (role, note) = match self.reason_to_leave_out(column_type) {
            Some(reason) if !is_in(&choice.keep) => (Role::LeftOut, reason),
            _ if column_type == ColumnType::Text => (Role::Feature, self.categories_note()),
            _ => (Role::Feature, String::new()),
        };
        Ok(self.column(role, column_type, note))
    }

    fn name(&self) -> &str {
        &self.table.names[self.place]
    }

    fn column(&self, role: Role, column_type: ColumnType, note: impl Into<String>) -> SchemaColumn {
        let mut note = note.into();
        if let Some(words) = self.missing_words(column_type).filter(|_| role != Role::LeftOut) {
            note = if note.is_empty() { words } else { format!("{note}; {words}") };
        }
        let repeated = self.repeated_word(column_type).filter(|_| role != Role::LeftOut);
        SchemaColumn {
            name: self.name().to_owned(),
            role,
            column_type,
            missing: self.survey.missing + repeated.as_ref().map_or(0, |(_, count)| *count),
            missing_word: repeated.map(|(word, _)| word),
            constant: (role == Role::LeftOut).then(|| self.constant()).flatten(),
            note,
        }
    }

    /// The words that stand for missing values, where they are other than nothing.
    fn missing_words(&self, column_type: ColumnType) -> Option<String> {
        let mut words: Vec<&String> = self.survey.missing_words.known.keys().collect();
        let repeated = self.repeated_word(column_type);
        words.extend(repeated.as_ref().map(|(word, _)| word));
        words.retain(|word| !word.is_empty());
        words.sort();
        let words: Vec<String> = words.into_iter().cloned().collect();
        (!words.is_empty()).then(|| format!("{} is a missing value", listed(&words)))
    }

    /// "2 categories: no yes"; 1 and 1.0 are the same.
    fn categories_note(&self) -> String {
        self.values_note(["category", "categories"], without_zero_decimals)
    }

    /// "2 classes: 007 7"; each keeps its spelling.
    fn classes_note(&self) -> String {
        self.values_note(["class", "classes"], |text| text)
    }

    fn values_note(&self, [one, many]: [&str; 2], shown: fn(&str) -> &str) -> String {
        const MOST_SHOWN: usize = 6;
        let (different, more) = self.survey.different();
        if more || different > MOST_SHOWN {
            let more_than = if more { "more than " } else { "" };
            return format!("{more_than}{different} {many}");
        }
        let mut values: Vec<&str> =
            self.survey.texts.known.keys().map(|text| shown(text)).collect();
        values.sort_unstable();
        values.dedup();
        let noun = if values.len() == 1 { one } else { many };
        format!("{} {noun}: {}", values.len(), values.join(" "))
    }

    /// What the values are. Nine in ten must agree; the others are errors when the table is read.
    fn column_type(&self, decimal: Option<char>) -> Result<ColumnType> {
        let survey = self.survey;
        if let Some(format) = self.number_format(decimal)? {
            return Ok(ColumnType::Number(format));
        }
        let present = survey.present();
        if present > 0 && survey.truths == present {
            return Ok(ColumnType::Truth);
        }
        if let Some(order) = self.date_order()? {
            return Ok(ColumnType::Date(order));
        }
        self.refuse_split_vote()?;
        Ok(ColumnType::Text)
    }

    fn number_format(&self, decimal: Option<char>) -> Result<Option<NumberFormat>> {
        let survey = self.survey;
        let [without, with_unit] = survey.fits();
        let best = |fits: &[usize]| fits.iter().copied().max().unwrap_or(0);
        let unit = survey.unit.filter(|_| best(&with_unit) > best(&without));
        let fits = if unit.is_some() { with_unit } else { without };
        let allowed = |format: &usize| {
            let (mark, thousands) = FORMATS[*format];
            self.options.decimal.is_none_or(|decimal| decimal == mark)
                && (thousands.is_none()
                    || self.options.thousands.is_none_or(|t| Some(t) == thousands))
        };
        let formats: Vec<usize> = (0..FORMATS.len()).filter(allowed).collect();
        let most = formats.iter().map(|&format| fits[format]).max().unwrap_or(0);
        let words = self.word_among(survey.present() - most).map_or(0, |(_, count)| count);
        if most == 0 || 10 * most < 9 * (survey.present() - words) {
            return Ok(None);
        }
        let mut formats: Vec<usize> = formats.into_iter().filter(|&f| fits[f] == most).collect();
        // A number of groups is one where the options say so, even if it may be a decimal.
        if self.options.thousands.is_some() && survey.others > 0 {
            let grouped = |format: &usize| FORMATS[*format].1.is_some();
            if formats.iter().any(|format| grouped(format) && fits[*format] > survey.numbers.whole)
            {
                formats.retain(grouped);
            }
        }
        let has = |mark| formats.iter().any(|&format| FORMATS[format].0 == mark);
        let has_marks = survey.others > 0 || survey.numbers.whole < survey.numbers.count;
        let mark = match (has('.'), has(',')) {
            (true, true) if !has_marks || unit.is_some() && most == survey.numbers.whole => '.',
            (true, true) => match decimal {
                Some(mark) => mark,
                None if survey.others == 0 => '.',
                None => return Err(self.unclear_mark()),
            },
            (true, false) => '.',
            (false, _) => ',',
        };
        let format = formats.iter().map(|&format| FORMATS[format]).find(|format| format.0 == mark);
        Ok(format.map(|(decimal, thousands)| NumberFormat { decimal, thousands, unit }))
    }

    fn unclear_mark(&self) -> Error {
        let (text, spot) = self.survey.first_other.clone().unwrap_or_default();
        let expected = "a number that is clear: its comma may stand in front of decimals or between thousands \
                        everywhere in this column; TableOptions::decimal or TableOptions::thousands says which";
        self.table.error((self.table.place)(spot, self.place), expected, quoted(&text))
    }

    /// The one word that stands again and again among numbers, if it makes up all the `others`.
    fn word_among(&self, others: usize) -> Option<(String, usize)> {
        let words = &self.survey.words;
        let mut known = words.known.iter();
        let (Some((word, Occurrence { count, .. })), None) = (known.next(), known.next()) else {
            return None;
        };
        // Infinity is a number that nothing can be learned from, not a gap.
        let is_infinite = word.trim_start_matches(['-', '+']).to_lowercase().starts_with("inf");
        let enough = *count >= 2 && 5 * (self.survey.present() - count) >= self.survey.present();
        (!words.overflows && *count == others && enough && !is_infinite)
            .then(|| (word.clone(), *count))
    }

    /// As [`Column::word_among`], for a column of numbers.
    fn repeated_word(&self, column_type: ColumnType) -> Option<(String, usize)> {
        let ColumnType::Number(format) = column_type else { return None };
        let place = FORMATS.iter().position(|&f| f == (format.decimal, format.thousands))?;
        let fits = self.survey.fits()[usize::from(format.unit.is_some())][place];
        self.word_among(self.survey.present() - fits)
    }

    fn date_order(&self) -> Result<Option<DateOrder>> {
        let survey = self.survey;
        let fits = |count: usize| count > 0 && 10 * count >= 9 * survey.present();
        if let Dates::Order(order) = self.options.dates {
            let count = DateOrder::ALL.iter().zip(survey.dates).find(|(o, _)| **o == order);
            return Ok(count.filter(|&(_, count)| fits(count)).map(|_| order));
        }
        let most = survey.dates.iter().copied().max().unwrap_or(0);
        if self.options.dates == Dates::No || !fits(most) {
            return Ok(None);
        }
        let mut best =
            DateOrder::ALL.into_iter().zip(survey.dates).filter(|&(_, count)| count == most);
        match (best.next(), best.next()) {
            (Some((order, _)), None) => Ok(Some(order)),
            _ => {
                let (text, spot) = survey.first_other.clone().unwrap_or_default();
                let expected = "a date whose day and month are clear: every one in this column may be D/M/Y or M/D/Y; \
                                TableOptions::dates says which, or that they are no dates";
                Err(self.table.error((self.table.place)(spot, self.place), expected, quoted(&text)))
            }
        }
    }

    /// Refuses a column of many numbers and many texts.
    fn refuse_split_vote(&self) -> Result<()> {
        let survey = self.survey;
        let (different, more) = survey.different();
        if 2 * survey.numbers.count < survey.present() || !more && different <= FEW_CATEGORIES {
            return Ok(());
        }
        let [number, text] = [&survey.first_number, &survey.first_other]
            .map(|example| example.clone().unwrap_or_default());
        let place = |spot| (self.table.place)(spot, self.place);
        let expected = "numbers or texts alone; TableOptions::categorical makes it categories, TableOptions::missing \
                        names words for missing values, TableOptions::drop leaves it out";
        let found = format!(
            "{}, as {} at {}, and {}",
            counted(survey.numbers.count, "number"),
            quoted(&number.0),
            place(number.1),
            counted(survey.others, "text"),
        );
        let found = format!("{found}, as {}", quoted(&text.0));
        Err(self.table.error(place(text.1), expected, found))
    }

    fn reason_to_leave_out(&self, column_type: ColumnType) -> Option<String> {
        let survey = self.survey;
        let (different, more) = survey.different();
        if survey.present() == 0 {
            return Some("no values".to_owned());
        }
        if let Some(value) = self.constant() {
            return Some(format!("constant, {value}"));
        }
        if self.is_row_number() {
            return Some("it numbers the rows".to_owned());
        }
        if column_type != ColumnType::Text {
            return None;
        }
        let (present, count) = (survey.present(), if more { MAX_TEXTS } else { different });
        let are_names = count == present && present >= MIN_ROWS_FOR_NAMES
            || count > FEW_CATEGORIES && 2 * count > present;
        let at_least = if more { "more than " } else { "" };
        if are_names || more && survey.texts.overflows && present < 2 * MAX_TEXTS {
            return Some(format!("texts nearly all different, {at_least}{count} in {present}"));
        }
        (count > MAX_CATEGORIES)
            .then(|| format!("{at_least}{count} different texts, more than {MAX_CATEGORIES}"))
    }

    /// The only value, also up to rounding.
    fn constant(&self) -> Option<String> {
        let survey = self.survey;
        let (different, more) = survey.different();
        if different == 1 && !more {
            let value = survey.texts.known.keys().next()?;
            // A text with gaps says whether there is one.
            return (survey.missing == 0 || survey.others == 0).then(|| value.clone());
        }
        let numbers = &survey.numbers;
        let size = numbers.min.abs().max(numbers.max.abs());
        (survey.others == 0 && numbers.max - numbers.min <= ROUNDING * size)
            .then(|| numbers.first.to_string())
    }

    /// A column without a name, or named as a number of rows is, that counts up by one.
    fn is_row_number(&self) -> bool {
        const NAMES: [&str; 7] = ["id", "index", "idx", "row", "rownames", "rowid", "unnamed: 0"];
        let numbers = &self.survey.numbers;
        let counts = numbers.counts_up && numbers.count == self.table.rows && numbers.count > 2;
        let name = self.name().to_lowercase();
        let is_nameless = name == format!("column {}", self.place + 1);
        let starts_low = numbers.first == 0.0 || numbers.first == 1.0;
        counts && (NAMES.contains(&&*name) || is_nameless && starts_low)
    }

    fn check_categories(&self) -> Result<()> {
        if self.survey.texts.overflows {
            let found = format!("more than {MAX_TEXTS}");
            let expected = format!("at most {MAX_TEXTS} categories");
            return Err(self.table.error(self.head(), expected, found));
        }
        Ok(())
    }

    fn head(&self) -> String {
        format!("column {} ({})", self.place + 1, self.name())
    }

    fn label(&self, decimal: Option<char>, labels: usize) -> Result<SchemaColumn> {
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
        column.note = if words.is_empty() && !more { self.classes_note() } else { String::new() };
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

/// Keeps a column that numbers the rows where nothing else is left to learn from.
fn keep_something(schema: &mut Schema, table: &Surveyed<'_>) -> Result<()> {
    if schema.with_role(Role::Feature).next().is_some() {
        return Ok(());
    }
    let numbered = |column: &&mut SchemaColumn| {
        column.role == Role::LeftOut && column.note == "it numbers the rows"
    };
    if let Some(column) = schema.columns.iter_mut().find(numbered) {
        (column.role, column.note) =
            (Role::Feature, "it numbers the rows, but there is no other".to_owned());
        return Ok(());
    }
    let left_out = |column: &SchemaColumn| format!("{} is {column}", quoted(&column.name));
    let found: Vec<String> = schema.columns.iter().map(left_out).collect();
    let expected = "a column to learn from beside the label; TableOptions::keep keeps one";
    Err(table.error("the columns", expected, found.join("; ")))
}

/// Refuses options that change nothing.
fn check_effects(schema: &Schema, table: &Surveyed<'_>, options: &TableOptions) -> Result<()> {
    let without_effect = |option: &str, reason: String| {
        Err(Error::argument(
            "Table::open",
            format!("{option} has no effect on {}: {reason}", table.file),
        ))
    };
    for name in &options.keep {
        let column = Column {
            table,
            options,
            place: table.find(name)?,
            survey: &table.columns[table.find(name)?],
        };
        let kept = &schema.columns[column.place];
        if kept.role == Role::Feature && column.reason_to_leave_out(kept.column_type).is_none() {
            return without_effect(
                "TableOptions::keep",
                format!("{} is not left out anyway", quoted(name)),
            );
        }
    }
    for word in &options.missing {
        let occurs = |survey: &ColumnSurvey| {
            survey.missing_words.known.keys().any(|known| known.eq_ignore_ascii_case(word))
        };
        if !table.columns.iter().any(occurs) {
            return without_effect(
                "TableOptions::missing",
                format!("{} does not occur", quoted(word)),
            );
        }
    }
    let has_thousands = |column: &SchemaColumn| matches!(column.column_type, ColumnType::Number(format) if format.thousands == options.thousands);
    if options.thousands.is_some() && !schema.columns.iter().any(has_thousands) {
        return without_effect(
            "TableOptions::thousands",
            "no column has that mark between thousands".to_owned(),
        );
    }
    Ok(())
}
