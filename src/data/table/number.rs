//! Numbers as people and programs write them: marks for decimals and thousands, signs, currencies.

use serde::{Deserialize, Serialize};

use super::rows::bytes_of_zero;

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
        const POWERS: [f64; 23] = [
            1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
            1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
        ];
        const EXACT: u64 = 1 << f64::MANTISSA_DIGITS;
        // Half of all numbers are negative: a branch would be mispredicted as often.
        let negative = text.first() == Some(&b'-');
        let text = &text[usize::from(negative)..];
        let Digits { value, count, decimals } = Digits::of(text)?;
        if value > EXACT {
            return None;
        }
        let power = POWERS[decimals.unwrap_or(0)];
        let x = value as f64 / power;
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
        if text.len() <= 8 { Digits::of_word(text) } else { Digits::one_by_one(text) }
    }

    /// Up to eight bytes at once, as the bytes of a word (Lemire, "Quickly parsing eight digits", 2018).
    fn of_word(text: &[u8]) -> Option<Self> {
        const ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);
        const POINTS: u64 = u64::from_le_bytes([b'.' ^ b'0'; 8]);
        let unused = 8 * (8 - text.len());
        // The last byte of the text is the highest; the bytes in front of the first are zeros.
        let mut digits = (word(text) ^ (ZEROS.checked_shr(unused as u32)?)) << unused;
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
        let count = text.len() - usize::from(points != 0);
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

/// Up to eight bytes as a word, the first in its lowest byte.
fn word(bytes: &[u8]) -> u64 {
    let low = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
    match (bytes.first_chunk(), bytes.last_chunk()) {
        // They overlap where there are fewer than eight.
        (Some(first), Some(last)) => low(first) | low(last) << (8 * (bytes.len() - 4)),
        _ => bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    }
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
            "0.00000000000001",
            "99999999999.9999",
            "00012.50",
        ];
        for text in texts {
            let ours = Plain::short(text.as_bytes()).unwrap().value;
            assert_eq!(ours.to_bits(), text.parse::<f64>().unwrap().to_bits(), "{text}");
        }
        for text in ["", "-", ".", "-.", "1e5", "1.2.3", "1234567890123456", "--1", "+1"] {
            assert_eq!(Plain::short(text.as_bytes()), None, "{text}");
        }
        let may_group = |text| Plain::of(text).unwrap().may_group;
        assert!(may_group("1.234") && may_group("-123.456"));
        assert!(!["0.123", "1234.567", "1.23", "1.2345", "1234"].map(may_group).contains(&true));
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
