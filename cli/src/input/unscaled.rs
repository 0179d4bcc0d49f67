//! Samples before they are encoded and scaled by what the training part holds.

use travertine::data::{Dataset, Encoder, Frame, Split, Targets};
use travertine::{Result, Scalar};

/// The content of a file.
pub(crate) enum Unscaled<T: Scalar> {
    /// Numbers, none of them missing.
    Numbers(Dataset<T>),
    /// Columns of texts, or gaps.
    Table(Frame<T>),
}

impl<T: Scalar> Unscaled<T> {
    pub(crate) fn of_frame(frame: Frame<T>) -> Result<Self> {
        Ok(if frame.is_complete() {
            Unscaled::Numbers(frame.into_dataset()?)
        } else {
            Unscaled::Table(frame)
        })
    }

    pub(crate) fn samples(&self) -> usize {
        match self {
            Unscaled::Numbers(data) => data.samples(),
            Unscaled::Table(frame) => frame.samples(),
        }
    }

    pub(crate) fn targets(&self) -> &Targets<T> {
        match self {
            Unscaled::Numbers(data) => data.targets(),
            Unscaled::Table(frame) => frame.targets(),
        }
    }

    /// All samples as numbers.
    pub(crate) fn into_whole(self) -> Result<(Dataset<T>, Option<Encoder>)> {
        match self {
            Unscaled::Numbers(data) => Ok((data, None)),
            Unscaled::Table(frame) => {
                let encoder = Encoder::fit(&frame)?;
                Ok((encoder.encode(&frame)?.data, Some(encoder)))
            }
        }
    }

    /// Training part and held-out part as numbers; the encoder is fitted to the training part.
    pub(crate) fn parts(&self, split: &Split) -> Result<(Dataset<T>, Dataset<T>, Option<Encoder>)> {
        match self {
            Unscaled::Numbers(data) => {
                Ok((data.select(&split.train)?, data.select(&split.held_out)?, None))
            }
            Unscaled::Table(frame) => {
                let (train, held_out) =
                    (frame.select(&split.train)?, frame.select(&split.held_out)?);
                let encoder = Encoder::fit(&train)?;
                Ok((encoder.encode(&train)?.data, encoder.encode(&held_out)?.data, Some(encoder)))
            }
        }
    }
}
