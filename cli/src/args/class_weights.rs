//! `--class-weights`

use std::str::FromStr;

use travertine::Result;
use travertine::data::Targets;

use crate::message::wrong;

const OPTION: &str = "--class-weights";

/// The factors of the classes' losses in training.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ClassWeights {
    /// `samples / (classes x samples of the class)`: all classes count the same.
    Balanced,
    /// Weights by name of the class; 1 for the others.
    Named(Vec<(String, f64)>),
}

impl FromStr for ClassWeights {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "balanced" {
            return Ok(ClassWeights::Balanced);
        }
        let pair = |pair: &str| {
            let (name, weight) = pair.rsplit_once('=')?;
            let weight: f64 = weight.trim().parse().ok()?;
            (weight.is_finite() && weight > 0.0).then(|| (name.trim().to_owned(), weight))
        };
        let pairs: Option<Vec<_>> = text.split(',').map(pair).collect();
        let expected = "expected balanced or CLASS=WEIGHT,CLASS=WEIGHT with weights above 0";
        let pairs = pairs.ok_or_else(|| format!("{expected}, found '{text}'"))?;
        let is_again = |i: usize| pairs[..i].iter().any(|(name, _)| *name == pairs[i].0);
        match (0..pairs.len()).find(|&i| is_again(i)) {
            Some(i) => Err(format!("expected each class once, found '{}' twice", pairs[i].0)),
            None => Ok(ClassWeights::Named(pairs)),
        }
    }
}

impl std::fmt::Display for ClassWeights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ClassWeights::Balanced => f.write_str("balanced"),
            ClassWeights::Named(pairs) => {
                let pairs: Vec<String> =
                    pairs.iter().map(|(name, weight)| format!("{name}={weight}")).collect();
                f.write_str(&pairs.join(","))
            }
        }
    }
}

impl ClassWeights {
    /// One weight for each class of the training samples; `counts`: how many samples each class has, where `targets` are not all.
    pub(crate) fn of(&self, targets: &Targets, counts: Option<&[usize]>) -> Result<Vec<f64>> {
        let Targets::Classes { labels, names } = targets else {
            return Err(wrong(OPTION, "is for classes, but the label is values"));
        };
        match self {
            ClassWeights::Balanced => {
                let mut own = vec![0usize; names.len()];
                labels.iter().for_each(|&class| own[class as usize] += 1);
                let counts = counts.unwrap_or(&own);
                let samples: usize = counts.iter().sum();
                // The weight of a class without training samples is never used; it only has to be finite.
                let weight =
                    |count: &usize| samples as f64 / (names.len() * (*count).max(1)) as f64;
                Ok(counts.iter().map(weight).collect())
            }
            ClassWeights::Named(pairs) => {
                let mut weights = vec![1.0; names.len()];
                for (name, weight) in pairs {
                    let Some(class) = names.iter().position(|known| known == name) else {
                        let known = names.join(", ");
                        return Err(wrong(
                            OPTION,
                            format!("there is no class '{name}'; there are {known}"),
                        ));
                    };
                    weights[class] = *weight;
                }
                Ok(weights)
            }
        }
    }
}
