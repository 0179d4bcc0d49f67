//! Whether the first row of a text file names the columns.

use super::cell::missing_word;
use super::date::DateOrder;
use super::number::{Written, plain};
use super::options::TableOptions;
use super::survey::ColumnSurvey;
use crate::data::Label;
use crate::data::text::{listed, truth};

/// Rows from which on the range of a column says something.
const MIN_ROWS: usize = 10;

/// What the first row is.
pub(super) enum FirstRow {
    Header,
    Sample,
    /// Why either is possible: "'a' stands above numbers, but 5 above 1 to 9".
    Unclear(String),
}

/// A column of nearly nothing but numbers, dates or truth values.
fn is_typed(survey: &ColumnSurvey) -> bool {
    let best = survey.fits().iter().flatten().copied().max().unwrap_or(0);
    let best = best.max(survey.dates.iter().copied().max().unwrap_or(0)).max(survey.truths);
    survey.present() > 0 && 10 * best >= 9 * survey.present()
}

/// Whether a field is neither missing nor a number, a truth value or a date.
pub(super) fn is_text(field: &str) -> bool {
    missing_word(field, &[]).is_none()
        && plain(field).is_none()
        && truth(field).is_none()
        && Written::of(field).is_none_or(|written| written.formats() == 0)
        && !DateOrder::ALL.iter().any(|order| order.parse(field).is_some())
}

/// Whether a field may name a column: a text, also a truth value where the column holds none, or `t` and `f` where it holds words.
fn is_name(field: &str, below: &ColumnSurvey) -> bool {
    let has_letters =
        || below.texts.known.keys().any(|text| text.len() == 1 && truth(text).is_some());
    is_text(field)
        || truth(field).is_some() && (below.truths == 0 || field.len() == 1 && !has_letters())
}

/// Decides by the first row and by all rows below it, among which it comes again `repeats` times.
pub(super) fn judge(
    first: &[String],
    (below, repeats): (&[ColumnSurvey], usize),
    options: &TableOptions,
) -> FirstRow {
    if let Some(header) = options.header {
        return if header { FirstRow::Header } else { FirstRow::Sample };
    }
    if has_requested_names(first, options) {
        return FirstRow::Header;
    }
    let pairs = || first.iter().zip(below);
    let text_above_numbers =
        pairs().find(|(field, survey)| is_name(field, survey) && is_typed(survey));
    let numbers: Vec<(f64, &ColumnSurvey)> =
        pairs().filter_map(|(field, survey)| Some((plain(field)?, survey))).collect();
    let is_inside = |&(x, survey): &(f64, &ColumnSurvey)| {
        (survey.numbers.min..=survey.numbers.max).contains(&x)
    };
    let inside = numbers.iter().filter(|pair| is_inside(pair)).count();
    let far = numbers.iter().filter(|pair| is_far(pair)).count();
    let is_whole = |field: &String| plain(field).is_none() || !field.contains(['.', 'e', 'E']);
    let are_steps = first.iter().all(is_whole) && is_progression(&numbers);
    let judged = match text_above_numbers {
        Some((text, _)) if inside > 0 && !are_steps => {
            let (x, survey) =
                numbers.iter().find(|pair| is_inside(pair)).copied().unwrap_or((0.0, &below[0]));
            let (min, max) = (survey.numbers.min, survey.numbers.max);
            FirstRow::Unclear(format!(
                "{text:?} stands above numbers as a name would, and {x} is a number as those below it, {min} to {max}"
            ))
        }
        Some(_) => FirstRow::Header,
        None if are_steps => judge_steps(first, below, &numbers, (inside, far)),
        None if numbers.len() > 1 && far == numbers.len() && is_long(&numbers) => {
            let numbers: Vec<String> = numbers.iter().take(3).map(|(x, _)| x.to_string()).collect();
            FirstRow::Unclear(format!(
                "numbers far from those below them, {} ..., that may be names or values",
                numbers.join(", ")
            ))
        }
        None if numbers.is_empty() && has_names_of_its_own(first, (below, repeats)) => {
            match repeats {
                0 => FirstRow::Header,
                _ => FirstRow::Unclear(format!(
                    "{}, whose words stand in no other row, and which comes again as a whole: samples, or the header of files that were joined",
                    listed(first)
                )),
            }
        }
        None => FirstRow::Sample,
    };
    match (judged, names_like_values(first, below, &numbers)) {
        (FirstRow::Sample, Some(found)) => FirstRow::Unclear(found),
        (judged, _) => judged,
    }
}

/// Why a first row that looks like a sample may be a header with numbers, such as years.
fn names_like_values(
    first: &[String],
    below: &[ColumnSurvey],
    numbers: &[(f64, &ColumnSurvey)],
) -> Option<String> {
    if numbers.len() < 2 || numbers.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
        return None;
    }
    if are_years(numbers) {
        let years: Vec<String> = numbers.iter().take(3).map(|(x, _)| x.to_string()).collect();
        return Some(format!(
            "numbers that may be years as names, {} ..., or values as those below them",
            years.join(", ")
        ));
    }
    let are_whole = numbers.iter().all(|(x, _)| x.fract() == 0.0);
    lone_text(first, below).filter(|_| are_whole && is_long(numbers)).map(|text| {
        format!("{text:?}, which stands in no other row, and rising whole numbers: names or values as those below them")
    })
}

/// Decides on a first row whose numbers have equal steps, as years in a header have. `inside` and `far`: how many are
/// within the range of their columns, and far outside of it.
fn judge_steps(
    first: &[String],
    below: &[ColumnSurvey],
    numbers: &[(f64, &ColumnSurvey)],
    (inside, far): (usize, usize),
) -> FirstRow {
    // As pandas writes an index.
    let above_index =
        first[0].is_empty() && below[0].numbers.counts_up && below[0].numbers.first == 0.0;
    let differ = numbers.iter().filter(|(_, survey)| has_few_whole_numbers(survey)).count();
    let several = numbers.len() > 2;
    let is_long = is_long(numbers);
    if above_index
        || 2 * far > numbers.len()
        || counts_columns(numbers)
        || several && differ == numbers.len()
    {
        FirstRow::Header
    } else if differ > 0
        || is_long && (2 * inside < numbers.len() || several && inside < numbers.len())
    {
        let numbers: Vec<String> = numbers.iter().take(3).map(|(x, _)| x.to_string()).collect();
        FirstRow::Unclear(format!(
            "numbers in equal steps, {} ..., that may be names or values as those below them",
            numbers.join(", ")
        ))
    } else {
        FirstRow::Sample
    }
}

/// Whether there are so many rows that they say something about the range of their columns.
fn is_long(numbers: &[(f64, &ColumnSurvey)]) -> bool {
    numbers.iter().any(|(_, survey)| survey.present() >= MIN_ROWS)
}

/// Texts, or numbers with decimals.
fn has_few_whole_numbers(survey: &ColumnSurvey) -> bool {
    10 * survey.numbers.integral < survey.present()
}

/// Whether a number is further from its column than the numbers in it are from one another.
fn is_far(&(x, survey): &(f64, &ColumnSurvey)) -> bool {
    let (min, max) = (survey.numbers.min, survey.numbers.max);
    let range = max - min;
    survey.numbers.count > 1 && !(min - range..=max + range).contains(&x)
}

/// At least two whole numbers with equal steps upwards, small enough for names; two of them near one another.
fn is_progression(numbers: &[(f64, &ColumnSurvey)]) -> bool {
    const LARGEST: f64 = 1e5;
    const LARGEST_STEP_OF_TWO: f64 = 100.0;
    let step = |pair: &[(f64, &ColumnSurvey)]| pair[1].0 - pair[0].0;
    let Some(first) = numbers.windows(2).next().map(step) else { return false };
    first > 0.0
        && (numbers.len() > 2 || first <= LARGEST_STEP_OF_TWO)
        && numbers.iter().all(|(x, _)| x.fract() == 0.0 && x.abs() <= LARGEST)
        && numbers.windows(2).all(|pair| step(pair) == first)
}

/// 0, 1, 2 ... as pandas numbers columns without names.
fn counts_columns(numbers: &[(f64, &ColumnSurvey)]) -> bool {
    const MIN_COLUMNS: usize = 5;
    numbers.len() >= MIN_COLUMNS && (0..).zip(numbers).all(|(i, (x, _))| *x == f64::from(i))
}

/// A text of the first row above a column of few texts that all come again.
fn lone_text<'f>(first: &'f [String], below: &[ColumnSurvey]) -> Option<&'f String> {
    let has_few_texts = |survey: &ColumnSurvey| {
        let texts = &survey.texts;
        survey.numbers.count == 0
            && !texts.overflows
            && 5 * texts.known.len() <= survey.present()
            && texts.known.values().all(|text| text.count > 1)
    };
    let is_lone = |(field, survey): &(&String, &ColumnSurvey)| {
        is_text(field) && has_few_texts(survey) && !survey.texts.known.contains_key(*field)
    };
    first.iter().zip(below).find(is_lone).map(|(field, _)| field)
}

/// Whether numbers are those of years, and the columns hold others.
fn are_years(numbers: &[(f64, &ColumnSurvey)]) -> bool {
    const YEARS: std::ops::RangeInclusive<f64> = 1900.0..=2100.0;
    let holds_others = |survey: &ColumnSurvey| {
        let numbers = &survey.numbers;
        numbers.count > 0 && !(YEARS.contains(&numbers.min) && YEARS.contains(&numbers.max))
    };
    numbers.iter().all(|(x, survey)| x.fract() == 0.0 && YEARS.contains(x) && holds_others(survey))
}

/// Whether the words of the first row are different names that stand in no row but those that equal it.
fn has_names_of_its_own(first: &[String], (below, repeats): (&[ColumnSurvey], usize)) -> bool {
    let mut names: Vec<&String> = first.iter().filter(|name| !name.is_empty()).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    let comes_again = |(name, survey): (&String, &ColumnSurvey)| {
        survey.texts.known.get(name).is_some_and(|known| known.count > repeats)
    };
    all > 0
        && names.len() == all
        && first
            .iter()
            .zip(below)
            .filter(|(name, _)| !name.is_empty())
            .all(|(name, survey)| is_name(name, survey))
        && !first.iter().zip(below).any(comes_again)
}

/// Whether the options name columns, and the first row has all those names.
fn has_requested_names(first: &[String], options: &TableOptions) -> bool {
    let label: &[String] = match &options.label {
        Label::Columns(names) => names,
        _ => &[],
    };
    let lists = [label, &options.drop, &options.keep, &options.categorical];
    let is_number = |name: &str| name.trim_start_matches('#').parse::<usize>().is_ok();
    let names: Vec<&String> = lists.into_iter().flatten().filter(|name| !is_number(name)).collect();
    !names.is_empty() && names.iter().all(|name| first.contains(name))
}
