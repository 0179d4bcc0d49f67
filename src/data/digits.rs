//! A data set that is part of the library.

use std::io::Read;

use flate2::read::GzDecoder;

use super::{Dataset, Targets};
use crate::{Error, Result, Scalar};

/// Samples of 64 pixels (0 to 16) and a label each, compressed by gzip; made by `scripts/make-digits.py`.
const PACKED: &[u8] = include_bytes!("digits.gz");
/// Pixels along a side of an image.
const SIDE: usize = 8;
/// Pixels of an image.
const PIXELS: usize = SIDE * SIDE;
/// The value of a black pixel.
const BLACK: f64 = 16.0;
const CLASSES: u32 = 10;

/// The UCI optical digits: 1,797 handwritten digits, 8x8 pixels from 0 to 1, ten classes. No file is needed.
///
/// E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998,
/// DOI [10.24432/C50P49](https://doi.org/10.24432/C50P49), licensed under CC BY 4.0. This is the test part of it, with
/// the pixels (0 to 16) divided by 16.
///
/// # Errors
/// None in practice: the samples are part of the library.
///
/// ```
/// let digits = travertine::data::digits::<f32>()?;
/// assert_eq!((digits.inputs(), digits.samples(), digits.outputs()), (64, 1797, 10));
/// # Ok::<(), travertine::Error>(())
/// ```
pub fn digits<T: Scalar>() -> Result<Dataset<T>> {
    let mut bytes = Vec::new();
    GzDecoder::new(PACKED)
        .read_to_end(&mut bytes)
        .map_err(|e| Error::format("digits (embedded)", "byte 0", "gzip data", e.to_string()))?;
    let mut features = Vec::with_capacity(bytes.len());
    let mut labels = Vec::with_capacity(bytes.len() / PIXELS);
    for (i, &byte) in bytes.iter().enumerate() {
        match i % (PIXELS + 1) {
            PIXELS => labels.push(u32::from(byte)),
            _ => features.push(T::from_f64(f64::from(byte) / BLACK)),
        }
    }
    let names = (0..CLASSES).map(|digit| digit.to_string()).collect();
    let digits = Dataset::new(PIXELS, features, Targets::Classes { labels, names })?
        .with_target_name("digit");
    digits.with_image_size(SIDE, SIDE)
}
