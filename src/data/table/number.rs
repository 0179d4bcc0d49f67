//! Numbers as people and programs write them: marks for decimals and thousands, signs, currencies.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::bytes::bytes_of_zero;

/// How the numbers of a column are written.
///
/// ```
/// use travertine::data::NumberFormat;
/// let swiss = NumberFormat { decimal: '.', thousands: Some('\''), unit: Some('€') };
/// assert_eq!(swiss.parse("1'234.50 €"), Some(1234.5));
/// assert_eq!(NumberFormat::default().parse("1'234.50 €"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberFormat {
    /// The mark in front of decimals: a point or a comma.
    pub decimal: char,
    /// The mark between groups of three digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thousands: Option<char>,
    /// A currency sign or `%`, which every number of the column has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<char>,
}

impl Default for NumberFormat {
    /// 1234.5
    fn default() -> Self {
        NumberFormat { decimal: '.', thousands: None, unit: None }
    }
}

/// The formats that a column may have, the plainest first.
pub(super) const FORMATS: [(char, Option<char>); 8] = [
    ('.', None),
    (',', None),
    ('.', Some(',')),
    (',', Some('.')),
    ('.', Some(' ')),
    (',', Some(' ')),
    ('.', Some('\'')),
    (',', Some('\'')),
];

/// A set of [`FORMATS`], a bit for each.
pub(super) type FormatSet = u8;

/// The formats with a decimal point.
pub(super) const WITH_POINT: FormatSet = 0b0101_0101;
/// The format with a decimal comma and points between thousands.
pub(super) const POINTS_BETWEEN_THOUSANDS: FormatSet = 1 << 3;

impl NumberFormat {
    /// The number that `text` is in this format, if it is one and finite.
    pub fn parse(&self, text: &str) -> Option<f64> {
        if *self == NumberFormat::default() {
            return plain(text).or_else(|| self.parse_marks(text));
        }
        self.parse_marks(text)
    }

    fn parse_marks(&self, text: &str) -> Option<f64> {
        let written = Written::of(text)?;
        let format = FORMATS.iter().position(|&f| f == (self.decimal, self.thousands))?;
        (written.unit == self.unit && written.formats() & (1 << format) != 0)
            .then(|| written.value(self.decimal))
            .flatten()
    }

    /// Whether it is what programs write: a decimal point, nothing between thousands, no unit.
    pub fn is_plain(&self) -> bool {
        *self == NumberFormat::default()
    }
}

/// A finite number with a decimal point and nothing else.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Plain {
    pub(super) value: f64,
    /// Whether it has no point.
    pub(super) is_whole: bool,
    /// Whether its point may as well stand between thousands, as in 1.234.
    pub(super) may_group: bool,
}

/// The value of a finite number with a decimal point and nothing else.
pub(super) fn plain(text: &str) -> Option<f64> {
    Plain::of(text).map(|plain| plain.value)
}

impl Plain {
    pub(super) fn of(text: &str) -> Option<Self> {
        let first = *text.as_bytes().first()?;
        if !matches!(first, b'0'..=b'9' | b'+' | b'-' | b'.') {
            return None;
        }
        Plain::short(text.as_bytes()).or_else(|| Plain::long(text))
    }

    /// A number of few digits without an exponent: both the digits and the power of ten are exact, so that their quotient is
    /// the nearest number (Clinger 1990).
    fn short(text: &[u8]) -> Option<Self> {
        let (negative, digits) = sign(text);
        Plain::of_digits(negative, digits, Digits::of(digits)?)
    }

    /// The number at `field` of a text, if it is short: a run of them takes half the time, as neither a call nor a loop is needed.
    #[inline(always)]
    pub(super) fn short_in(text: &[u8], field: Range<usize>) -> Option<Self> {
        let word = text.get(..field.end)?.last_chunk()?;
        let (negative, digits) = sign(text.get(field)?);
        if digits.len() > 8 {
            return None;
        }
        let found = Digits::of_word(u64::from_le_bytes(*word), digits.len())?;
        Plain::of_digits(negative, digits, found)
    }

    #[inline(always)]
    fn of_digits(negative: bool, text: &[u8], found: Digits) -> Option<Self> {
        const POWERS: [f64; 23] = [
            1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
            1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
        ];
        const EXACT: u64 = 1 << f64::MANTISSA_DIGITS;
        let Digits { value, count, decimals } = found;
        if value > EXACT {
            return None;
        }
        let x = value as f64 / POWERS[decimals.unwrap_or(0)];
        Some(Plain {
            value: f64::from_bits(x.to_bits() | u64::from(negative) << 63),
            is_whole: decimals.is_none(),
            may_group: decimals == Some(3) && (4..=6).contains(&count) && text[0] != b'0',
        })
    }

    /// Any other number.
    fn long(text: &str) -> Option<Self> {
        let value = text.parse::<f64>().ok().filter(|x| x.is_finite())?;
        let is_whole = !text.contains('.');
        Some(Plain { value, is_whole, may_group: false })
    }
}

/// Digits with a point or none.
struct Digits {
    /// Without the point.
    value: u64,
    /// How many there are.
    count: usize,
    /// How many stand behind the point, if there is one.
    decimals: Option<usize>,
}

impl Digits {
    /// `None` if there is anything else, or more than a u64 surely holds.
    fn of(text: &[u8]) -> Option<Self> {
        if text.len() > 8 {
            return Digits::one_by_one(text);
        }
        let word = text.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        Digits::of_word(word << (8 * (8 - text.len()) % 64), text.len())
    }

    /// The digits in the last `length` bytes of eight, all at once (Lemire, "Quickly parsing eight digits", 2018). The last is the
    /// highest byte of the word.
    #[inline(always)]
    fn of_word(word: u64, length: usize) -> Option<Self> {
        const ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);
        const POINTS: u64 = u64::from_le_bytes([b'.' ^ b'0'; 8]);
        // The bytes in front are zeros.
        let used = u64::MAX.checked_shl(8 * (8 - length) as u32)?;
        let mut digits = (word ^ ZEROS) & used;
        let points = bytes_of_zero(digits ^ POINTS);
        let mut decimals = None;
        if points != 0 {
            // What is in front of the point takes its place.
            let point = points.trailing_zeros() / 8;
            let before = digits & ((1 << (8 * point)) - 1);
            let behind = digits & (u64::MAX << (8 * point) << 8);
            digits = before << 8 | behind;
            decimals = Some(7 - point as usize);
        }
        let count = length - usize::from(points != 0);
        let are_digits = digits.wrapping_add(u64::from_le_bytes([0x76; 8])) | digits;
        if count == 0 || are_digits & u64::from_le_bytes([0x80; 8]) != 0 {
            return None;
        }
        // Pairs of digits, then fours, then all eight.
        let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
        const EVERY_FOURTH: u64 = 0x0000_00ff_0000_00ff;
        let high = (pairs & EVERY_FOURTH).wrapping_mul(100 + (1_000_000 << 32));
        let low = (pairs >> 16 & EVERY_FOURTH).wrapping_mul(1 + (10_000 << 32));
        Some(Digits { value: high.wrapping_add(low) >> 32, count, decimals })
    }

    fn one_by_one(text: &[u8]) -> Option<Self> {
        const MAX_DIGITS: usize = 19;
        if text.len() > MAX_DIGITS + 1 {
            return None;
        }
        let (mut value, mut point) = (0u64, None);
        for (i, &byte) in text.iter().enumerate() {
            let digit = byte.wrapping_sub(b'0');
            if digit <= 9 {
                value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            } else if byte == b'.' && point.is_none() {
                point = Some(i);
            } else {
                return None;
            }
        }
        let count = text.len() - usize::from(point.is_some());
        (count <= MAX_DIGITS).then(|| Digits {
            value,
            count,
            decimals: point.map(|point| count - point),
        })
    }
}

/// Whether there is a minus, and what stands behind it. Half of all numbers are negative: a branch would be mispredicted as often.
#[inline(always)]
fn sign(text: &[u8]) -> (bool, &[u8]) {
    let negative = text.first() == Some(&b'-');
    (negative, &text[usize::from(negative)..])
}

fn is_digits(text: &str, count: usize) -> bool {
    text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A number with marks, taken apart.
pub(super) struct Written {
    negative: bool,
    /// Digits and marks; blanks of any kind between digits are plain blanks.
    digits: String,
    /// The part behind the mantissa, as `e-5`.
    exponent: String,
    pub(super) unit: Option<char>,
}

impl Written {
    /// `None` if it has anything but a sign, digits, marks, an exponent and one unit.
    pub(super) fn of(text: &str) -> Option<Self> {
        const MAX_BYTES: usize = 64;
        if text.len() > MAX_BYTES || !text.bytes().any(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let mut rest = text.trim();
        let (mut negative, mut signs, mut unit) = (false, 0, None);
        // A sign and a unit may stand in front in any order.
        while let Some(first) = rest.chars().next() {
            match first {
                '-' | '\u{2212}' | '+' => (negative, signs) = (first != '+', signs + 1),
                _ if is_unit(first) && unit.is_none() => unit = Some(first),
                _ => break,
            }
            rest = rest[first.len_utf8()..].trim_start();
        }
        if let Some(last) = rest.chars().next_back().filter(|&last| is_unit(last)) {
            if unit.replace(last).is_some() {
                return None;
            }
            rest = rest[..rest.len() - last.len_utf8()].trim_end();
        }
        let (digits, exponent) = match rest.find(['e', 'E']) {
            Some(e) => rest.split_at(e),
            None => (rest, ""),
        };
        let is_exponent = exponent.is_empty()
            || exponent[1..].trim_start_matches(['+', '-']).bytes().all(|b| b.is_ascii_digit())
                && exponent.len() > 1;
        let digits: String = digits.chars().map(mark).collect();
        let fits = digits.chars().all(|c| c.is_ascii_digit() || ".,' ".contains(c));
        (signs <= 1 && is_exponent && fits && digits.contains(|c: char| c.is_ascii_digit()))
            .then(|| Written { negative, digits, exponent: exponent.to_owned(), unit })
    }

    /// The formats in which these digits are a number.
    pub(super) fn formats(&self) -> FormatSet {
        let fits = |&(decimal, thousands): &(char, Option<char>)| {
            let (whole, decimals) = match self.digits.rsplit_once(decimal) {
                Some((whole, decimals)) => (whole, Some(decimals)),
                None => (&*self.digits, None),
            };
            let decimals_fit =
                decimals.is_none_or(|decimals| decimals.bytes().all(|b| b.is_ascii_digit()));
            let grouped = || match thousands {
                Some(mark) => {
                    let mut groups = whole.split(mark);
                    let first = groups.next().unwrap_or_default();
                    (1..=3).contains(&first.len())
                        && is_digits(first, first.len())
                        && !(first.starts_with('0') && whole.contains(mark))
                        && groups.all(|group| is_digits(group, 3))
                }
                None => false,
            };
            let plain = whole.bytes().all(|b| b.is_ascii_digit())
                && !(whole.is_empty() && decimals.is_none_or(str::is_empty));
            decimals_fit && (plain || grouped())
        };
        (0..).zip(&FORMATS).filter(|(_, format)| fits(format)).map(|(i, _)| 1 << i).sum()
    }

    /// The value with this mark in front of decimals; all other marks are between thousands.
    fn value(&self, decimal: char) -> Option<f64> {
        let digits = self.digits.chars().filter(|&c| c.is_ascii_digit() || c == decimal);
        let mantissa: String = digits.map(|c| if c == decimal { '.' } else { c }).collect();
        let x = (mantissa + &self.exponent).parse::<f64>().ok().filter(|x| x.is_finite())?;
        Some(if self.negative { -x } else { x })
    }
}

fn is_unit(c: char) -> bool {
    matches!(c, '$' | '€' | '£' | '¥' | '₹' | '₽' | '₩' | '₺' | '%')
}

/// The same mark for all kinds of blanks and apostrophes.
fn mark(c: char) -> char {
    match c {
        '\u{a0}' | '\u{202f}' | '\u{2009}' => ' ',
        '\u{2019}' => '\'',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Philox, Purpose};

    fn formats(text: &str) -> Vec<usize> {
        let set = Written::of(text).map_or(0, |written| written.formats());
        (0..8).filter(|i| set & (1 << i) != 0).collect()
    }

    #[test]
    fn marks_decide_which_formats_a_number_may_have() {
        assert_eq!(formats("1234"), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(formats("1,5"), [1, 3, 5, 7]);
        assert_eq!(formats("1,234"), [1, 2, 3, 5, 7]);
        assert_eq!(formats("1,234,567"), [2]);
        assert_eq!(formats("1,234.5"), [2]);
        assert_eq!(formats("1.234,5"), [3]);
        assert_eq!(formats("0,123"), [1, 3, 5, 7]);
        assert_eq!(formats("1\u{a0}234,5"), [5]);
        assert_eq!(formats("12,34,567"), [0; 0]);
        assert_eq!(formats("1'234.5"), [6]);
        assert_eq!(formats("."), [0; 0]);
        assert_eq!(formats("1-2"), [0; 0]);
    }

    #[test]
    fn short_numbers_are_those_of_the_standard_library() {
        let texts = [
            "0",
            "-0",
            "1.5",
            "-.5",
            "5.",
            "0.1",
            "123456789012345",
            "9007199254740992",
            "0.6964691855978616",
            "0.00000000000001",
            "99999999999.9999",
            "00012.50",
        ];
        for text in texts {
            let ours = Plain::short(text.as_bytes()).unwrap().value;
            assert_eq!(ours.to_bits(), text.parse::<f64>().unwrap().to_bits(), "{text}");
        }
        for text in ["", "-", ".", "-.", "1e5", "1.2.3", "9007199254740993", "--1", "+1"] {
            assert_eq!(Plain::short(text.as_bytes()), None, "{text}");
        }
        let may_group = |text| Plain::of(text).unwrap().may_group;
        assert!(may_group("1.234") && may_group("-123.456"));
        assert!(!["0.123", "1234.567", "1.23", "1.2345", "1234"].map(may_group).contains(&true));
    }

    #[test]
    fn any_digits_are_read_as_by_the_standard_library() {
        let random = Philox::new(5, Purpose::User, 0);
        let mut index = 0;
        let mut below = |bound: u64| {
            index += 1;
            random.below(index, bound) as usize
        };
        let mut numbers = 0;
        for _ in 0..200_000 {
            let length = below(22);
            let any = |_| char::from(b"0123456789012345678901234567890123456789.-,e"[below(44)]);
            let text: String = (0..length).map(any).collect();
            let known = text.parse::<f64>().ok().filter(|x| x.is_finite()).map(f64::to_bits);
            let short = Plain::short(text.as_bytes());
            if let Some(short) = short {
                numbers += 1;
                assert_eq!(Some(short.value.to_bits()), known, "{text}");
            }
            assert_eq!(Plain::of(&text).map(|plain| plain.value.to_bits()), known, "{text}");
            // The bytes around a field change nothing.
            let line = format!("9.5,17,{text},3.25");
            let in_line = Plain::short_in(line.as_bytes(), 7..7 + length);
            if length <= 8 {
                assert_eq!(in_line, short, "{text}");
            } else {
                assert!(in_line.is_none() || in_line == short, "{text}");
            }
        }
        assert!(numbers > 20_000, "{numbers} of them are numbers");
    }

    #[test]
    fn signs_exponents_and_units_are_read() {
        let parse = |decimal, thousands, unit, text: &str| {
            NumberFormat { decimal, thousands, unit }.parse(text)
        };
        assert_eq!(parse('.', None, None, "\u{2212}5.5"), Some(-5.5));
        assert_eq!(parse(',', None, None, "1,5e3"), Some(1500.0));
        assert_eq!(parse('.', Some(','), Some('$'), "-$1,234.5"), Some(-1234.5));
        assert_eq!(parse('.', None, Some('%'), "12.5 %"), Some(12.5));
        assert_eq!(parse('.', None, None, "12.5 %"), None);
        assert_eq!(parse('.', None, None, "1e999"), None);
        assert_eq!(parse('.', None, None, "inf"), None);
    }
}
