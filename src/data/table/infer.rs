//! From what stands in the columns to their types and roles.

use super::cell::without_zero_decimals;
use super::choice::Choice;
use super::date::DateOrder;
use super::number::{FORMATS, NumberFormat, plain};
use super::options::{Dates, TableOptions};
use super::schema::{ColumnType, Delimiter, Role, Schema, SchemaColumn};
use super::survey::{ColumnSurvey, MAX_TEXTS, Occurrence};
use super::surveyed::Surveyed;
use crate::data::text::{counted, listed, quoted};
use crate::{Error, Result};

/// A column with as many different texts or fewer is one of categories for any number of rows.
pub(super) const FEW_CATEGORIES: usize = 20;
/// A column with more different texts is left out, unless the options say that it is one of categories.
const MAX_CATEGORIES: usize = 1000;
/// Rows from which on texts that never come again are names.
const MIN_ROWS_FOR_NAMES: usize = 10;
/// Constant up to rounding: the range, relative to the size of the numbers.
const ROUNDING: f64 = 1e-12;

/// The schema as it is guessed, or why it is not certain.
pub(super) fn schema(table: &Surveyed<'_>, options: &TableOptions) -> Result<Schema> {
    let choice = Choice::new(table, options)?;
    let decimal = table.decimal_mark(options);
    let mut columns = Vec::with_capacity(table.columns.len());
    for (place, survey) in table.columns.iter().enumerate() {
        let column = Column { table, options, place, survey };
        columns.push(column.decide(&choice, decimal)?);
    }
    Ok(Schema { dialect: table.dialect.clone(), columns })
}

/// A column of the table that is being decided on.
pub(super) struct Column<'a> {
    pub(super) table: &'a Surveyed<'a>,
    pub(super) options: &'a TableOptions,
    pub(super) place: usize,
    pub(super) survey: &'a ColumnSurvey,
}

impl Column<'_> {
    fn decide(&self, choice: &Choice, decimal: Option<char>) -> Result<SchemaColumn> {
        let is_in = |list: &[usize]| list.contains(&self.place);
        if is_in(&choice.drop) {
            return Ok(self.column(Role::LeftOut, ColumnType::Text, "as you say"));
        }
        if let Some(values) = &self.table.unreadable[self.place] {
            return self.left_unread(choice, values);
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

    /// Leaves a column out that cannot be learned from, unless the options want it.
    fn left_unread(&self, choice: &Choice, values: &str) -> Result<SchemaColumn> {
        let is_wanted = |list: &[usize]| list.contains(&self.place);
        if is_wanted(&choice.labels) {
            let expected = "labels; TableOptions::label names another column";
            return Err(self.table.error(self.head(), expected, values));
        }
        if is_wanted(&choice.keep) || is_wanted(&choice.categorical) {
            let expected =
                "numbers, truth values, dates or texts; TableOptions::drop leaves the column out";
            return Err(self.table.error(self.head(), expected, values));
        }
        let note = format!("{values} cannot be learned from");
        Ok(self.column(Role::LeftOut, ColumnType::Text, note))
    }

    fn name(&self) -> &str {
        &self.table.names[self.place]
    }

    pub(super) fn column(
        &self,
        role: Role,
        column_type: ColumnType,
        note: impl Into<String>,
    ) -> SchemaColumn {
        let mut note = note.into();
        if let (ColumnType::Number(_), Some(code), true) =
            (column_type, &self.survey.first_code, role != Role::LeftOut)
        {
            let digits = if code.starts_with('0') { "zeros in front" } else { "all digits" };
            note = format!("{digits}, as in {code}, are not kept; in categories they are");
        }
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
            zones: self.zones(column_type),
            whole: self.nameless().then(|| self.survey.are_whole()).flatten(),
            constant: (role == Role::LeftOut && self.can_be_read())
                .then(|| self.constant())
                .flatten(),
            note,
        }
    }

    /// Whether the file has no names for its columns.
    fn nameless(&self) -> bool {
        self.table.dialect.as_ref().is_none_or(|dialect| !dialect.header)
    }

    fn can_be_read(&self) -> bool {
        self.table.unreadable[self.place].is_none()
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
        self.values_note(["category", "categories"], without_zero_decimals, &[])
    }

    /// "2 classes: 007 7"; each keeps its spelling. `words`: usual words for missing values that are classes.
    pub(super) fn classes_note(&self, words: &[&str]) -> String {
        self.values_note(["class", "classes"], |text| text, words)
    }

    fn values_note(
        &self,
        [one, many]: [&str; 2],
        shown: fn(&str) -> &str,
        words: &[&str],
    ) -> String {
        const MOST_SHOWN: usize = 6;
        let (different, more) = self.survey.different();
        let different = different + words.len();
        if more || different > MOST_SHOWN {
            let more_than = if more { "more than " } else { "" };
            return format!("{more_than}{different} {many}");
        }
        let mut values: Vec<&str> =
            self.survey.texts.known.keys().map(|text| shown(text)).collect();
        values.extend(words);
        values.sort_unstable();
        values.dedup();
        let noun = if values.len() == 1 { one } else { many };
        format!("{} {noun}: {}", values.len(), values.join(" "))
    }

    /// What the values are. Nine in ten must agree; the others are errors when the table is read.
    pub(super) fn column_type(&self, decimal: Option<char>) -> Result<ColumnType> {
        let survey = self.survey;
        if let Some(format) = self.number_format(decimal)? {
            return Ok(ColumnType::Number(format));
        }
        let present = survey.present();
        if present > 0 && survey.truths == present {
            return Ok(ColumnType::Truth);
        }
        if let Some(order) = self.date_order()? {
            self.refuse_mixed_zones()?;
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
            self.refuse_other_marks(best(&fits))?;
            return Ok(None);
        }
        let mut formats: Vec<usize> = formats.into_iter().filter(|&f| fits[f] == most).collect();
        // A number of groups is one where the options say so, even if it may be a decimal.
        let has_points = survey.numbers.whole < survey.numbers.count;
        let may_have_groups = match self.options.thousands {
            Some('.') => survey.others > 0 || has_points,
            Some(_) => survey.others > 0,
            None => false,
        };
        if may_have_groups {
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
                None if survey.others == 0 && !self.has_semicolons() => '.',
                None => return Err(self.unclear_mark()),
            },
            (true, false) => '.',
            (false, _) => ',',
        };
        let format = formats.iter().map(|&format| FORMATS[format]).find(|format| format.0 == mark);
        Ok(format.map(|(decimal, thousands)| NumberFormat { decimal, thousands, unit }))
    }

    /// Whether the fields are separated as where decimals have a comma.
    fn has_semicolons(&self) -> bool {
        let dialect = self.table.dialect.as_ref();
        dialect.is_some_and(|dialect| dialect.delimiter == Delimiter::Semicolon)
    }

    /// Refuses a column of numbers with other marks than the options say; `fit`: how many there are.
    fn refuse_other_marks(&self, fit: usize) -> Result<()> {
        if fit == 0 || 10 * fit < 9 * self.survey.present() {
            return Ok(());
        }
        let said = match (self.options.decimal, self.options.thousands) {
            (Some(mark), _) => {
                format!("numbers with {mark:?} as decimal mark, as TableOptions::decimal says")
            }
            (None, Some(mark)) => {
                format!("numbers with {mark:?} between thousands, as TableOptions::thousands says")
            }
            (None, None) => return Ok(()),
        };
        Err(self.table.error(self.head(), said, "numbers with other marks"))
    }

    fn unclear_mark(&self) -> Error {
        let written = self.survey.first_other.clone().or_else(|| self.survey.first_number.clone());
        let (text, spot) = written.unwrap_or_default();
        let expected = "a number that is clear: its mark may stand in front of decimals or between thousands \
                        everywhere in this column; TableOptions::decimal or TableOptions::thousands says which";
        self.table.error((self.table.place)(spot, self.place), expected, quoted(&text))
    }

    /// The one word that stands again and again among numbers, if it makes up all the `others`.
    fn word_among(&self, others: usize) -> Option<(String, usize)> {
        let texts = &self.survey.texts;
        let mut words = texts.known.iter().filter(|(_, occurrence)| occurrence.is_word());
        let (Some((word, Occurrence { count, .. })), None) = (words.next(), words.next()) else {
            return None;
        };
        // Infinity is a number that nothing can be learned from, not a gap.
        let is_infinite = word.trim_start_matches(['-', '+']).to_lowercase().starts_with("inf");
        let enough = *count >= 2 && 5 * (self.survey.present() - count) >= self.survey.present();
        (*count == others && enough && !is_infinite).then(|| (word.clone(), *count))
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
                                TableOptions::dates says which, Dates::No that they are texts";
                Err(self.table.error((self.table.place)(spot, self.place), expected, quoted(&text)))
            }
        }
    }

    /// Refuses dates of which some have a zone and others have none.
    fn refuse_mixed_zones(&self) -> Result<()> {
        let [Some(without), Some(with)] = &self.survey.zones else { return Ok(()) };
        let place = |spot| (self.table.place)(spot, self.place);
        let expected = "dates that all have a zone, as Z or +02:00, or dates without: a time without a zone may be in any; \
                        Dates::No makes them texts, TableOptions::drop leaves the column out";
        let found = format!(
            "{} without a zone, and {} with one at {}",
            quoted(&without.0),
            quoted(&with.0),
            place(with.1)
        );
        Err(self.table.error(place(without.1), expected, found))
    }

    fn zones(&self, column_type: ColumnType) -> Option<bool> {
        match (column_type, &self.survey.zones) {
            (ColumnType::Date(_), [None, Some(_)]) => Some(true),
            (ColumnType::Date(_), [Some(_), None]) => Some(false),
            _ => None,
        }
    }

    /// Refuses a column of many numbers and many texts.
    fn refuse_split_vote(&self) -> Result<()> {
        let survey = self.survey;
        let (different, more) = survey.different();
        let has_damaged = survey.texts.known.keys().any(|text| is_damaged_number(text));
        let are_few = !more && different <= FEW_CATEGORIES && !has_damaged;
        if 2 * survey.numbers.count < survey.present() || are_few {
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

    pub(super) fn reason_to_leave_out(&self, column_type: ColumnType) -> Option<String> {
        let survey = self.survey;
        let (different, more) = survey.different();
        if survey.present() == 0 {
            return Some("no values".to_owned());
        }
        if let Some(value) = self.constant() {
            let are_alike = different > 1 && survey.numbers.integral == survey.numbers.count;
            return Some(match are_alike {
                true => format!(
                    "whole numbers alike in their first 12 digits, as {value}; in categories they differ"
                ),
                false => format!("constant, {value}"),
            });
        }
        if self.is_row_number() {
            return Some("it numbers the rows".to_owned());
        }
        if column_type != ColumnType::Text {
            return None;
        }
        let overflows = survey.texts.overflows;
        let (present, count) = (survey.present(), if overflows { MAX_TEXTS } else { different });
        let are_names = count == present && present >= MIN_ROWS_FOR_NAMES
            || count > FEW_CATEGORIES && 2 * count > present;
        let at_least = if more { "more than " } else { "" };
        if are_names || more && survey.texts.overflows && present < 2 * MAX_TEXTS {
            return Some(format!("texts nearly all different, {at_least}{count} in {present}"));
        }
        let most = if self.options.many_categories { MAX_TEXTS } else { MAX_CATEGORIES };
        (count > most || overflows)
            .then(|| format!("{at_least}{count} different texts, more than {most}"))
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
        (survey.others == 0 && size.is_finite() && numbers.max - numbers.min <= ROUNDING * size)
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

    pub(super) fn head(&self) -> String {
        format!("column {} ({})", self.place + 1, self.name())
    }
}

/// Infinity, a number in parentheses, or an error of a spreadsheet: no category among numbers.
fn is_damaged_number(text: &str) -> bool {
    let inside = text.strip_prefix('(').and_then(|text| text.strip_suffix(')'));
    let is_infinite = text.trim_start_matches(['-', '+']).eq_ignore_ascii_case("inf");
    is_infinite || text.starts_with('#') || inside.is_some_and(|text| plain(text).is_some())
}
