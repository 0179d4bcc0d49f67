//! `--augment`

use std::fmt;
use std::str::FromStr;

use travertine::data::Augmentation;
use travertine::notation::Notation;
use travertine::{Error, ErrorKind, Result};

use crate::message::wrong;

pub(crate) const OPTION: &str = "--augment";

/// Pixels a side of the images that the default numbers were published for.
const PUBLISHED_SIDE: f64 = 28.0;

/// A way to deform images.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Method {
    Elastic,
    Affine,
}

impl Method {
    /// Simard's strength and smoothness, in proportion to the images, or Ciresan's angle and share.
    fn defaults(self, (width, height): (usize, usize)) -> [f64; 2] {
        let scale = (width as f64 * height as f64).sqrt() / PUBLISHED_SIDE;
        let rounded = |x: f64| (100.0 * x).round() / 100.0;
        match self {
            // A pixel is displaced in proportion to strength / smoothness.
            Method::Elastic => [rounded(34.0 * scale * scale), rounded(4.0 * scale)],
            Method::Affine => [15.0, 0.15],
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Method::Elastic => "elastic",
            Method::Affine => "affine",
        })
    }
}

/// Deformations, as `elastic,affine(10,0.1)`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Augment(Vec<(Method, Option<[f64; 2]>)>);

impl FromStr for Augment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut inside = false;
        let between = |c: char| {
            inside = (inside || c == '(') && c != ')';
            c == ',' && !inside
        };
        let mut methods: Vec<(Method, Option<[f64; 2]>)> = Vec::new();
        for part in text.split(between) {
            let (method, numbers) = parse_method(part.trim())?;
            if methods.iter().any(|(earlier, _)| *earlier == method) {
                return Err(format!("{method} is there twice"));
            }
            methods.push((method, numbers));
        }
        Ok(Augment(methods))
    }
}

fn parse_method(text: &str) -> Result<(Method, Option<[f64; 2]>), String> {
    let Notation { name, numbers } = Notation::parse(text);
    let (method, expected) = match name {
        "elastic" => (Method::Elastic, "elastic(STRENGTH,SMOOTHNESS)"),
        "affine" => (Method::Affine, "affine(DEGREES,SHARE)"),
        _ => return Err(format!("expected elastic, affine or elastic,affine, found '{text}'")),
    };
    let pair = |numbers: Vec<&str>| {
        let pair: Option<Vec<f64>> =
            numbers.into_iter().map(|number| number.parse().ok()).collect();
        pair.and_then(|pair| pair.try_into().ok())
            .ok_or_else(|| format!("expected {expected}, found '{text}'"))
    };
    Ok((method, numbers.map(pair).transpose()?))
}

/// What deforms the training samples, and its description.
pub(crate) struct Deformation {
    pub(crate) augmentation: Augmentation,
    pub(crate) description: String,
}

impl Deformation {
    /// For images of `size`: width and height in pixels.
    pub(crate) fn new(Augment(methods): &Augment, size: (usize, usize)) -> Result<Self> {
        let by_option = |error: Error| match error.kind() {
            ErrorKind::Argument { reason, .. } => wrong(OPTION, reason),
            _ => error,
        };
        let mut augmentation = Augmentation::new(size.0, size.1).map_err(by_option)?;
        let mut descriptions = Vec::new();
        for &(method, numbers) in methods {
            let [a, b] = numbers.unwrap_or_else(|| method.defaults(size));
            let added = match method {
                Method::Elastic => augmentation.elastic(a, b),
                Method::Affine => augmentation.rotation(a).and_then(|rotated| rotated.scaling(b)),
            };
            augmentation = added.map_err(by_option)?;
            descriptions.push(format!("{method}({a},{b})"));
        }
        Ok(Deformation { augmentation, description: descriptions.join(",") })
    }

    /// The entry in the model file and in checkpoints.
    pub(crate) fn metadata(&self) -> (&'static str, String) {
        ("augment", self.description.clone())
    }
}
