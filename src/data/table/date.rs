//! Dates and times as seconds since 1970.

use jiff::Span;
use jiff::civil::{Date, Time};
use serde::{Deserialize, Serialize};

/// Seconds of a day.
pub(in crate::data) const DAY: f64 = 86_400.0;

/// The order of day, month and year.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DateOrder {
    /// ISO 8601: 2026-11-29, also with a time: 2026-11-29T12:00:00Z. Slashes and points are accepted as well.
    #[serde(rename = "Y-M-D")]
    YearFirst,
    /// 29.11.2026, 29/11/2026, 29-11-2026
    #[serde(rename = "D/M/Y")]
    DayFirst,
    /// 11/29/2026
    #[serde(rename = "M/D/Y")]
    MonthFirst,
}

impl DateOrder {
    /// All orders; the place of an order in it is its bit in a set.
    pub(super) const ALL: [DateOrder; 3] =
        [DateOrder::YearFirst, DateOrder::DayFirst, DateOrder::MonthFirst];

    /// Seconds since 1970-01-01T00:00:00 in UTC, if `text` is a date in this order. A date without a zone counts as UTC.
    pub fn parse(self, text: &str) -> Option<f64> {
        let (date, time) = match text.find(['T', ' ']) {
            Some(end) => (&text[..end], text[end + 1..].trim()),
            None => (text, ""),
        };
        let [a, b, c] = parts(date)?;
        let (year, month, day) = match self {
            DateOrder::YearFirst => (a, b, c),
            DateOrder::DayFirst => (c, b, a),
            DateOrder::MonthFirst => (c, a, b),
        };
        let year = (year.len() == 4).then_some(year)?.parse().ok()?;
        let date = Date::new(year, month.parse().ok()?, day.parse().ok()?).ok()?;
        let days = Date::constant(1970, 1, 1).until(date).ok()?.get_days();
        Some(f64::from(days) * DAY + if time.is_empty() { 0.0 } else { seconds(time)? })
    }
}

/// Whether a date has a time in a zone.
pub(crate) fn has_zone(date: &str) -> bool {
    let time = date.find(['T', ' ']).map_or("", |end| &date[end + 1..]);
    time.contains(['Z', 'z', '+', '-'])
}

/// Seconds since 1970 as messages show them: 2026-11-29, with a time where it is not midnight.
pub(in crate::data) fn date_text(seconds: f64) -> String {
    let days = (seconds / DAY).floor();
    let span = Span::new().try_days(days as i64).ok();
    let date = span.and_then(|span| Date::constant(1970, 1, 1).checked_add(span).ok());
    let Some(date) = date else { return seconds.to_string() };
    match (seconds - days * DAY) as u32 {
        0 => date.to_string(),
        rest => format!("{date} {:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60),
    }
}

/// Three groups of digits between two equal marks.
fn parts(date: &str) -> Option<[&str; 3]> {
    let mark = date.find(['-', '/', '.']).map(|i| date.as_bytes()[i] as char)?;
    let mut parts = date.split(mark);
    let all = [parts.next()?, parts.next()?, parts.next()?];
    let is_number =
        |part: &&str| (1..=4).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    (parts.next().is_none() && all.iter().all(is_number)).then_some(all)
}

/// Seconds of a time of day, less the offset of its zone.
fn seconds(time: &str) -> Option<f64> {
    let (clock, offset) = match time.find(['Z', 'z', '+', '-']) {
        Some(end) => (time[..end].trim_end(), zone(&time[end..])?),
        None => (time, 0.0),
    };
    let mut fields = clock.split(':');
    let hour: i8 = digits(fields.next()?)?.parse().ok()?;
    let minute: i8 = digits(fields.next()?)?.parse().ok()?;
    let second: f64 = fields.next().map_or(Some(0.0), |second| second.parse().ok())?;
    if fields.next().is_some() || !(0.0..61.0).contains(&second) {
        return None;
    }
    Time::new(hour, minute, 0, 0).ok()?;
    Some(f64::from(hour) * 3600.0 + f64::from(minute) * 60.0 + second - offset)
}

fn digits(text: &str) -> Option<&str> {
    (1..=2).contains(&text.len()).then_some(text).filter(|t| t.bytes().all(|b| b.is_ascii_digit()))
}

/// Z, +02, +0200 or +02:00 in seconds.
fn zone(text: &str) -> Option<f64> {
    let (sign, rest) = match text.as_bytes()[0] {
        b'+' => (1.0, &text[1..]),
        b'-' => (-1.0, &text[1..]),
        _ => return (text.len() == 1).then_some(0.0),
    };
    let rest = rest.replace(':', "");
    let number: u32 = matches!(rest.len(), 2 | 4).then(|| rest.parse().ok()).flatten()?;
    let (hours, minutes) = if rest.len() == 2 { (number, 0) } else { (number / 100, number % 100) };
    Some(sign * f64::from(hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_become_seconds() {
        assert_eq!(DateOrder::YearFirst.parse("1970-01-02"), Some(DAY));
        assert_eq!(DateOrder::YearFirst.parse("1970-01-01T01:00:00+01:00"), Some(0.0));
        assert_eq!(DateOrder::YearFirst.parse("1970-01-01 00:00:00.5"), Some(0.5));
        // `date -u -d '2026-11-29 12:30' +%s`
        assert_eq!(DateOrder::DayFirst.parse("29.11.2026 12:30"), Some(1_795_955_400.0));
        assert_eq!(DateOrder::MonthFirst.parse("11/29/2026"), Some(1_795_910_400.0));
        for wrong in
            ["2026-02-30", "2026-13-01", "29/11/26", "1.5.2", "2026-01-01T25:00", "1-2-3-2026"]
        {
            assert_eq!(DateOrder::ALL.map(|order| order.parse(wrong)), [None; 3], "{wrong}");
        }
    }
}
