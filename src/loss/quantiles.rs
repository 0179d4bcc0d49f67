//! The levels of quantiles that a network predicts.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

const NAME: &str = "quantiles";

/// The levels of the quantiles that a network predicts, one for each output: ascending shares above 0 and below 1.
///
/// The quantile of level q of a sample's target is the value that it stays below with probability q; the quantiles of 0.1 and
/// 0.9 are the ends of an interval that covers 80 % of the targets. See [`Loss::Quantiles`](crate::Loss::Quantiles).
///
/// ```
/// use travertine::Quantiles;
/// let quantiles = Quantiles::new(&[0.1, 0.5, 0.9])?;
/// assert_eq!(quantiles.levels(), [0.1, 0.5, 0.9]);
/// assert_eq!(quantiles.to_string(), "0.1,0.5,0.9");
/// assert_eq!("0.1, 0.5, 0.9".parse::<Quantiles>()?, quantiles);
/// assert!(Quantiles::new(&[0.9, 0.1]).is_err());
/// # Ok::<(), travertine::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantiles {
    /// Zeros behind the first `count`.
    levels: [f64; Quantiles::MOST],
    count: usize,
}

impl Quantiles {
    /// The most levels that there can be: every 5 %, and one more.
    pub const MOST: usize = 20;

    /// Quantiles of these levels.
    ///
    /// # Errors
    /// No levels, or more than [`Quantiles::MOST`]; a level that is not above 0 and below 1, also in single precision; levels
    /// that do not ascend.
    pub fn new(levels: &[f64]) -> Result<Self> {
        let wrong = |reason: String| Err(Error::argument(NAME, reason));
        let count = levels.len();
        if !(1..=Self::MOST).contains(&count) {
            return wrong(format!("{count} levels; there can be 1 to {}", Self::MOST));
        }
        let is_share = |level: f64| 0.0 < level as f32 && (level as f32) < 1.0;
        if let Some(level) = levels.iter().find(|level| !is_share(**level)) {
            return wrong(format!("a level must be above 0 and below 1, not {level}"));
        }
        let mut ascending = levels.to_vec();
        ascending.sort_unstable_by(f64::total_cmp);
        ascending.dedup();
        if ascending != levels {
            let (found, right) = (list(levels), list(&ascending));
            return wrong(format!("the levels {found} do not ascend; {right} do"));
        }
        let mut quantiles = Quantiles { levels: [0.0; Self::MOST], count };
        quantiles.levels[..count].copy_from_slice(levels);
        Ok(quantiles)
    }

    /// The levels.
    pub fn levels(&self) -> &[f64] {
        &self.levels[..self.count]
    }

    /// The name of the values that are predicted for each level of a target: `"price_q0.1"`.
    ///
    /// ```
    /// let quantiles = travertine::Quantiles::new(&[0.25, 0.75])?;
    /// assert_eq!(quantiles.names("price"), ["price_q0.25", "price_q0.75"]);
    /// # Ok::<(), travertine::Error>(())
    /// ```
    pub fn names(&self, target: &str) -> Vec<String> {
        self.levels().iter().map(|level| format!("{target}_q{level}")).collect()
    }
}

fn list(levels: &[f64]) -> String {
    levels.iter().map(f64::to_string).collect::<Vec<_>>().join(",")
}

/// The levels with commas between.
impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&list(self.levels()))
    }
}

/// Reads what `Display` writes.
impl FromStr for Quantiles {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = |text: &str| {
            let level = text.trim().parse::<f64>();
            level.map_err(|_| Error::argument(NAME, format!("the level '{text}' is not a number")))
        };
        Self::new(&text.split(',').map(number).collect::<Result<Vec<_>>>()?)
    }
}
