//! `--augment`

use std::fmt;
use std::ops::ControlFlow;
use std::str::FromStr;
use std::sync::Arc;

use travertine::data::Augmentation;
use travertine::engine::Engine;
use travertine::{Error, ErrorKind, Result, Samples, Scalar};

use crate::args::TrainArgs;
use crate::names::wrong;
use crate::training_data::TrainingData;

pub(crate) const OPTION: &str = "--augment";

/// Pixels a side of the images that the usual numbers are published for.
const PUBLISHED: f64 = 28.0;

/// How images are deformed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Elastic,
    Affine,
}

impl Kind {
    /// Simard's strength and smoothness and Ciresan's angle and share, the former in proportion to the images.
    fn usual(self, (width, height): (usize, usize)) -> [f64; 2] {
        let scale = (width as f64 * height as f64).sqrt() / PUBLISHED;
        let rounded = |x: f64| (100.0 * x).round() / 100.0;
        match self {
            // What a pixel is moved by goes with strength / smoothness.
            Kind::Elastic => [rounded(34.0 * scale * scale), rounded(4.0 * scale)],
            Kind::Affine => [15.0, 0.15],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Elastic => "elastic",
            Kind::Affine => "affine",
        })
    }
}

/// Deformations, as `elastic,affine(10,0.1)`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Augment(Vec<(Kind, Option<[f64; 2]>)>);

impl FromStr for Augment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut inside = false;
        let between = |c: char| {
            inside = (inside || c == '(') && c != ')';
            c == ',' && !inside
        };
        let mut kinds: Vec<(Kind, Option<[f64; 2]>)> = Vec::new();
        for part in text.split(between) {
            let (kind, numbers) = deformation(part.trim())?;
            if kinds.iter().any(|(known, _)| *known == kind) {
                return Err(format!("{kind} is there twice"));
            }
            kinds.push((kind, numbers));
        }
        Ok(Augment(kinds))
    }
}

fn deformation(text: &str) -> Result<(Kind, Option<[f64; 2]>), String> {
    let (name, numbers) = match text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        Some((name, numbers)) => (name, Some(numbers)),
        None => (text, None),
    };
    let (kind, expected) = match name {
        "elastic" => (Kind::Elastic, "elastic(STRENGTH,SMOOTHNESS)"),
        "affine" => (Kind::Affine, "affine(DEGREES,SHARE)"),
        _ => return Err(format!("expected elastic, affine or elastic,affine, found '{text}'")),
    };
    let pair = |numbers: &str| {
        let pair: Option<Vec<f64>> =
            numbers.split(',').map(|number| number.trim().parse().ok()).collect();
        pair.and_then(|pair| pair.try_into().ok())
            .ok_or_else(|| format!("expected {expected}, found '{text}'"))
    };
    Ok((kind, numbers.map(pair).transpose()?))
}

/// What deforms the training samples, and the same in words.
pub(crate) struct Deformation {
    augmentation: Augmentation,
    pub(crate) words: String,
}

impl Deformation {
    /// For images of this size.
    pub(crate) fn new(Augment(kinds): &Augment, size: (usize, usize)) -> Result<Self> {
        let told = |error: Error| match error.kind() {
            ErrorKind::Argument { reason, .. } => wrong(OPTION, reason),
            _ => error,
        };
        let mut augmentation = Augmentation::new(size.0, size.1).map_err(told)?;
        let mut words = Vec::new();
        for &(kind, numbers) in kinds {
            let [a, b] = numbers.unwrap_or_else(|| kind.usual(size));
            let more = match kind {
                Kind::Elastic => augmentation.elastic(a, b),
                Kind::Affine => augmentation.rotation(a).and_then(|rotated| rotated.scaling(b)),
            };
            augmentation = more.map_err(told)?;
            words.push(format!("{kind}({a},{b})"));
        }
        Ok(Deformation { augmentation, words: words.join(",") })
    }

    /// What the model file and checkpoints tell of it.
    pub(crate) fn fact(&self) -> (&'static str, String) {
        ("augment", self.words.clone())
    }
}

/// Calls `train` for every epoch from `first` on, until it breaks off, with the samples of that epoch: `samples`, or with
/// `--augment` their images deformed, which are made while the epoch before trains.
pub(crate) fn each_epoch<T: Scalar>(
    args: &TrainArgs,
    engine: &Arc<dyn Engine<T>>,
    data: &TrainingData<T>,
    (samples, first): (&mut Samples<'_, T>, u64),
    mut train: impl FnMut(&mut Samples<'_, T>) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let [first, end] =
        [first, args.epochs as u64].map(|epoch| u32::try_from(epoch).unwrap_or(u32::MAX));
    let Some(Deformation { augmentation, .. }) = &data.deformation else {
        for _ in first..end {
            if train(samples)?.is_break() {
                break;
            }
        }
        return Ok(());
    };
    augmentation.each_epoch(&data.train, (args.seed, first..end), |images| {
        train(&mut args.regularization.of_training_samples(Samples::new(engine, images)?, images)?)
    })
}
