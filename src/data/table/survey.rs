//! What stands in a column, counted over the whole file, for a decision about its type.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::cell::{Cell, missing_word};
use super::date::{DateOrder, has_zone};
use super::number::{FORMATS, FormatSet, POINTS_BETWEEN_THOUSANDS, Plain, WITH_POINT, Written};
use crate::data::text::truth;

/// Different numbers that are remembered as texts: enough to tell classes from values.
const MAX_NUMBERS: usize = 24;
/// All whole numbers up to here are exact.
const MOST_EXACT: f64 = (1u64 << 53) as f64;
/// Different texts that are remembered.
pub(super) const MAX_TEXTS: usize = 10_000;
/// Different words for missing values that are remembered.
const MAX_WORDS: usize = 16;

/// Where a value stands: the number of its block, and the byte in it where its row begins or the number of its row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::data) struct Spot {
    pub(in crate::data) block: usize,
    pub(in crate::data) row: usize,
}

/// A field of a text file.
pub(super) struct Field<'a> {
    pub(super) text: &'a str,
    pub(super) is_missing: bool,
    /// The number that it is, if it is one and not missing.
    pub(super) plain: Option<Plain>,
}

impl<'a> Field<'a> {
    /// `missing`: words for missing values beside the usual ones, which may be numbers.
    pub(super) fn new(text: &'a str, missing: &[String]) -> Self {
        let said_missing = !missing.is_empty() && missing_word(text, missing).is_some();
        let plain = if said_missing { None } else { Plain::of(text) };
        let is_missing = said_missing || plain.is_none() && missing_word(text, &[]).is_some();
        Field { text, is_missing, plain }
    }
}

/// A text, how often it occurs, and where first.
#[derive(Clone, Debug)]
pub(super) struct Occurrence {
    pub(super) count: usize,
    pub(super) first: Spot,
    reading: Reading,
}

/// What a text that is no plain number may be read as.
#[derive(Clone, Copy, Debug)]
struct Reading {
    /// A number with marks: its formats and its unit.
    formats: FormatSet,
    unit: Option<char>,
    /// A date: a bit for each order.
    dates: u8,
    has_zone: bool,
    truth: bool,
    has_digits: bool,
}

impl Occurrence {
    /// Whether the text has no digit, as a word for a missing value.
    pub(super) fn is_word(&self) -> bool {
        !self.reading.has_digits
    }
}

impl Reading {
    /// Of a plain number, which is counted as such.
    const NUMBER: Reading = Reading {
        formats: 0,
        unit: None,
        dates: 0,
        has_zone: false,
        truth: false,
        has_digits: true,
    };

    fn of(text: &str) -> Self {
        let written = Written::of(text);
        Reading {
            formats: written.as_ref().map_or(0, Written::formats),
            unit: written.and_then(|written| written.unit),
            dates: dates(text),
            has_zone: has_zone(text),
            truth: truth(text).is_some(),
            has_digits: text.bytes().any(|byte| byte.is_ascii_digit()),
        }
    }
}

/// The orders in which a text is a date, a bit for each.
fn dates(text: &str) -> u8 {
    const LONGEST: usize = 40;
    if text.len() > LONGEST || !text.starts_with(|c: char| c.is_ascii_digit()) {
        return 0;
    }
    let orders = (0..).zip(DateOrder::ALL);
    orders.filter(|(_, order)| order.parse(text).is_some()).map(|(i, _)| 1 << i).sum()
}

/// Texts and how often each occurs, up to a number of different ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Texts {
    pub(super) known: HashMap<String, Occurrence, RandomState>,
    /// Whether there are others.
    pub(super) overflows: bool,
}

impl Texts {
    fn add(&mut self, text: &str, count: usize, spot: Spot, limit: usize) {
        if let Some(known) = self.known.get_mut(text) {
            known.count += count;
        } else {
            self.insert(text, Occurrence { count, first: spot, reading: Reading::NUMBER }, limit);
        }
    }

    /// Adds a text that is not known.
    fn insert(&mut self, text: &str, occurrence: Occurrence, limit: usize) {
        if self.known.len() < limit {
            self.known.insert(text.to_owned(), occurrence);
        } else {
            self.overflows = true;
        }
    }

    fn merge(&mut self, other: Texts, limit: usize) {
        self.overflows |= other.overflows;
        for (text, occurrence) in other.known {
            let is_full = self.known.len() >= limit;
            match self.known.get_mut(&text) {
                Some(known) => known.count += occurrence.count,
                None if is_full => self.overflows = true,
                None => drop(self.known.insert(text, occurrence)),
            }
        }
    }
}

/// Numbers with a decimal point or none.
#[derive(Clone, Debug)]
pub(super) struct Numbers {
    pub(super) count: usize,
    /// Those without a point; they may have an exponent.
    pub(super) whole: usize,
    /// Those without a fraction, however they are written.
    pub(super) integral: usize,
    /// Those whose point may stand between thousands.
    may_group: usize,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) first: f64,
    last: f64,
    /// Whether each is one more than the one before.
    pub(super) counts_up: bool,
}

impl Numbers {
    /// Counts finite numbers that follow each other: `whole` of them without a point, `may_group` with one that may stand between
    /// thousands.
    fn add(&mut self, values: &[f64], whole: usize, may_group: usize) {
        let (Some(&first), Some(&last)) = (values.first(), values.last()) else { return };
        if self.count == 0 {
            self.first = first;
        } else {
            self.counts_up &= first == self.last + 1.0;
        }
        self.counts_up = self.counts_up && values.windows(2).all(|pair| pair[1] == pair[0] + 1.0);
        self.last = last;
        self.count += values.len();
        self.whole += whole;
        self.may_group += may_group;
        for &x in values {
            self.min = if x < self.min { x } else { self.min };
            self.max = if x > self.max { x } else { self.max };
            self.integral += usize::from(is_integral(x));
        }
    }
}

/// Numbers that follow each other in a column.
pub(super) struct NumberRun {
    values: [f64; NumberRun::LENGTH],
    length: usize,
    whole: usize,
    may_group: usize,
}

impl NumberRun {
    const LENGTH: usize = 256;

    pub(super) fn new() -> Self {
        NumberRun { values: [0.0; NumberRun::LENGTH], length: 0, whole: 0, may_group: 0 }
    }

    pub(super) fn push(&mut self, plain: Plain) {
        self.values[self.length] = plain.value;
        self.length += 1;
        self.whole += usize::from(plain.is_whole);
        self.may_group += usize::from(plain.may_group);
    }

    pub(super) fn is_full(&self) -> bool {
        self.length == NumberRun::LENGTH
    }

    pub(super) fn values(&self) -> &[f64] {
        &self.values[..self.length]
    }

    pub(super) fn clear(&mut self) {
        (self.length, self.whole, self.may_group) = (0, 0, 0);
    }
}

/// What stands in a column.
#[derive(Clone, Debug)]
pub(in crate::data) struct ColumnSurvey {
    pub(super) missing: usize,
    /// The words for missing values.
    pub(super) missing_words: Texts,
    pub(super) numbers: Numbers,
    /// For each format the numbers with marks that fit it.
    written: [usize; FORMATS.len()],
    /// The unit of the first number that has one, and the numbers with it.
    pub(super) unit: Option<char>,
    with_unit: [usize; FORMATS.len()],
    pub(super) dates: [usize; DateOrder::ALL.len()],
    /// The first date without a zone, and the first one with a zone.
    pub(super) zones: [Option<(String, Spot)>; 2],
    pub(super) truths: usize,
    /// Values that are neither missing nor plain numbers.
    pub(super) others: usize,
    /// All values but numbers beyond the first few different ones.
    pub(super) texts: Texts,
    /// Different plain numbers beyond the first few.
    pub(super) many_numbers: bool,
    pub(super) first_number: Option<(String, Spot)>,
    pub(super) first_other: Option<(String, Spot)>,
    /// The first whole number whose digits are not kept, as 00501, or more than fit.
    pub(super) first_code: Option<String>,
    /// Whether there are bytes that are no text.
    pub(super) has_bytes: bool,
}

impl Default for ColumnSurvey {
    fn default() -> Self {
        ColumnSurvey {
            missing: 0,
            missing_words: Texts::default(),
            numbers: Numbers {
                count: 0,
                whole: 0,
                integral: 0,
                may_group: 0,
                min: f64::INFINITY,
                max: f64::NEG_INFINITY,
                first: f64::NAN,
                last: f64::NAN,
                counts_up: true,
            },
            written: [0; FORMATS.len()],
            unit: None,
            with_unit: [0; FORMATS.len()],
            dates: [0; DateOrder::ALL.len()],
            zones: [None, None],
            truths: 0,
            others: 0,
            texts: Texts::default(),
            many_numbers: false,
            first_number: None,
            first_other: None,
            first_code: None,
            has_bytes: false,
        }
    }
}

impl ColumnSurvey {
    /// Counts a value; `missing`: words for missing values beside the usual ones.
    pub(in crate::data) fn add(&mut self, cell: Cell<'_>, spot: Spot, missing: &[String]) {
        match cell {
            Cell::Text(text) => self.add_text(text, spot, missing),
            Cell::Missing => self.add_missing("", spot),
            Cell::Number(x) if x.is_nan() => self.add_missing("NaN", spot),
            Cell::Number(x) => self.add_number(x, spot, || x.to_string()),
            Cell::Integer(x) => self.add_number(x as f64, spot, || x.to_string()),
            Cell::Truth(truth) => self.add_text(if truth { "true" } else { "false" }, spot, &[]),
            Cell::Date(_) => {
                self.dates[0] += 1;
                self.others += 1;
                self.texts.overflows = true;
            }
            Cell::Bytes => self.has_bytes = true,
        }
    }

    fn add_missing(&mut self, word: &str, spot: Spot) {
        self.missing += 1;
        self.missing_words.add(word, 1, spot, MAX_WORDS);
    }

    fn add_text(&mut self, text: &str, spot: Spot, missing: &[String]) {
        self.add_field(&Field::new(text, missing), spot);
    }

    /// Counts a field of a text file.
    pub(super) fn add_field(&mut self, field: &Field<'_>, spot: Spot) {
        let text = field.text;
        if field.is_missing {
            self.add_missing(text, spot);
        } else if let Some(plain) = field.plain {
            self.add_plain(plain, text, spot);
        } else if let Some(known) = self.texts.known.get_mut(text) {
            known.count += 1;
            let reading = known.reading;
            self.count(text, reading, spot);
        } else {
            let reading = Reading::of(text);
            self.texts.insert(text, Occurrence { count: 1, first: spot, reading }, MAX_TEXTS);
            self.count(text, reading, spot);
        }
    }

    /// Counts a text that is neither missing nor a plain number.
    fn count(&mut self, text: &str, reading: Reading, spot: Spot) {
        self.others += 1;
        if self.first_other.is_none() {
            self.first_other = Some((text.to_owned(), spot));
        }
        self.truths += usize::from(reading.truth);
        count_bits(&mut self.dates, reading.dates);
        if reading.dates != 0 {
            self.zones[usize::from(reading.has_zone)]
                .get_or_insert_with(|| (text.to_owned(), spot));
        }
        match reading.unit {
            None => count_bits(&mut self.written, reading.formats),
            Some(unit) if *self.unit.get_or_insert(unit) == unit => {
                count_bits(&mut self.with_unit, reading.formats);
            }
            Some(_) => {}
        }
    }

    /// A number of a file with types; its text is made only where it is kept.
    fn add_number(&mut self, value: f64, spot: Spot, text: impl Fn() -> String) {
        let plain = Plain { value, is_whole: value.fract() == 0.0, may_group: false };
        if self.numbers.count == 0 || !self.many_numbers {
            self.add_plain(plain, &text(), spot);
        } else {
            self.add_plain(plain, "", spot);
        }
    }

    fn add_plain(&mut self, plain: Plain, text: &str, spot: Spot) {
        if self.numbers.count == 0 {
            self.first_number = Some((text.to_owned(), spot));
        }
        let (whole, may_group) = (usize::from(plain.is_whole), usize::from(plain.may_group));
        self.numbers.add(&[plain.value], whole, may_group);
        if may_be_code(&plain, text) && self.first_code.is_none() {
            self.first_code = is_code(text, plain.value).then(|| text.to_owned());
        }
        if !self.many_numbers {
            self.texts.add(text, 1, spot, usize::MAX);
            self.many_numbers = self.texts.known.len() > MAX_NUMBERS;
        }
    }

    /// Counts numbers whose texts no longer matter.
    pub(super) fn add_run(&mut self, run: &NumberRun) {
        debug_assert!(self.many_numbers);
        self.numbers.add(run.values(), run.whole, run.may_group);
    }

    /// Adds what stands below.
    pub(in crate::data) fn merge(&mut self, below: ColumnSurvey) {
        self.merge_numbers(&below.numbers);
        self.missing += below.missing;
        self.missing_words.merge(below.missing_words, MAX_WORDS);
        let add = |counts: &mut [usize], more: &[usize]| {
            counts.iter_mut().zip(more).for_each(|(count, more)| *count += more);
        };
        add(&mut self.written, &below.written);
        add(&mut self.dates, &below.dates);
        if self.unit.is_none() || self.unit == below.unit {
            self.unit = self.unit.or(below.unit);
            add(&mut self.with_unit, &below.with_unit);
        }
        self.truths += below.truths;
        self.others += below.others;
        self.many_numbers |= below.many_numbers;
        self.has_bytes |= below.has_bytes;
        self.texts.merge(below.texts, MAX_TEXTS);
        self.many_numbers |= self.others == 0 && self.texts.known.len() > MAX_NUMBERS;
        self.first_number = self.first_number.take().or(below.first_number);
        self.first_other = self.first_other.take().or(below.first_other);
        self.first_code = self.first_code.take().or(below.first_code);
        self.zones.iter_mut().zip(below.zones).for_each(|(first, below)| {
            *first = first.take().or(below);
        });
    }

    fn merge_numbers(&mut self, below: &Numbers) {
        let numbers = &mut self.numbers;
        if below.count == 0 {
            return;
        }
        if numbers.count == 0 {
            numbers.first = below.first;
        } else {
            numbers.counts_up &= below.first == numbers.last + 1.0;
        }
        numbers.counts_up &= below.counts_up;
        numbers.last = below.last;
        numbers.count += below.count;
        numbers.whole += below.whole;
        numbers.integral += below.integral;
        numbers.may_group += below.may_group;
        numbers.min = numbers.min.min(below.min);
        numbers.max = numbers.max.max(below.max);
    }

    /// Whether all numbers are written without decimals, where there are nothing but numbers.
    pub(super) fn are_whole(&self) -> Option<bool> {
        let numbers = &self.numbers;
        (numbers.count > 0 && self.others == 0).then_some(numbers.whole == numbers.count)
    }

    /// Values that are not missing.
    pub(super) fn present(&self) -> usize {
        self.numbers.count + self.others
    }

    /// For each format the values that are numbers in it, without and with a unit.
    pub(super) fn fits(&self) -> [[usize; FORMATS.len()]; 2] {
        let numbers = &self.numbers;
        let plain = |format: usize| match 1 << format {
            bit if bit & WITH_POINT != 0 => numbers.count,
            POINTS_BETWEEN_THOUSANDS => numbers.whole + numbers.may_group,
            _ => numbers.whole,
        };
        let all = std::array::from_fn(|format| plain(format) + self.written[format]);
        [all, self.with_unit]
    }

    /// Whether a decimal point that cannot stand between thousands occurs.
    pub(super) fn needs_decimal_point(&self) -> bool {
        self.numbers.count > self.numbers.whole + self.numbers.may_group
    }

    /// Whether a number has this mark in front of decimals, or may have it.
    pub(super) fn has_decimal_mark(&self, mark: char) -> bool {
        let plain = mark == '.' && self.numbers.count > self.numbers.whole;
        let fits = |counts: &[usize]| {
            (0..).zip(counts).any(|(i, &n)| n > 0 && FORMATS[i as usize].0 == mark)
        };
        plain || fits(&self.written) || fits(&self.with_unit)
    }

    /// Different values, as far as they are known, and whether there are more.
    pub(super) fn different(&self) -> (usize, bool) {
        (self.texts.known.len(), self.many_numbers || self.texts.overflows)
    }
}

/// Whether a finite number has no fraction: it keeps its value where a sum has no bits for one.
fn is_integral(x: f64) -> bool {
    const NO_FRACTIONS: f64 = (1u64 << 52) as f64;
    let x = x.abs();
    (x + NO_FRACTIONS) - NO_FRACTIONS == x || x >= NO_FRACTIONS
}

/// Whether a number may be written as codes are: few are.
pub(super) fn may_be_code(plain: &Plain, text: &str) -> bool {
    plain.is_whole && (text.as_bytes().first() == Some(&b'0') || plain.value >= MOST_EXACT)
}

/// Whether a number is written as codes are: digits with a zero in front, or more than an f64 has.
fn is_code(text: &str, x: f64) -> bool {
    let digits = text.parse::<u128>().ok().filter(|_| !text.starts_with('+'));
    digits.is_some_and(|digits| text.len() > 1 && text.starts_with('0') || x as u128 != digits)
}

/// Adds 1 where a bit is set.
fn count_bits(counts: &mut [usize], bits: u8) {
    if bits != 0 {
        (0..).zip(counts).for_each(|(i, count)| *count += usize::from(bits >> i & 1));
    }
}
