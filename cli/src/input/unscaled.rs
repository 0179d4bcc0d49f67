//! Samples before the training part has told how they become numbers.

use travertine::data::{Dataset, Encoder, Frame, Split, Targets};
use travertine::{Result, Scalar};

/// What a file held.
pub(crate) enum Raw<T: Scalar> {
    /// Numbers, none of them missing.
    Numbers(Dataset<T>),
    /// Columns of texts, or gaps.
    Table(Frame<T>),
}

impl<T: Scalar> Raw<T> {
    pub(crate) fn of_frame(frame: Frame<T>) -> Result<Self> {
        Ok(if frame.is_complete() {
            Raw::Numbers(frame.into_dataset()?)
        } else {
            Raw::Table(frame)
        })
    }

    pub(crate) fn samples(&self) -> usize {
        match self {
            Raw::Numbers(data) => data.samples(),
            Raw::Table(frame) => frame.samples(),
        }
    }

    pub(crate) fn targets(&self) -> &Targets<T> {
        match self {
            Raw::Numbers(data) => data.targets(),
            Raw::Table(frame) => frame.targets(),
        }
    }

    /// All samples as numbers.
    pub(crate) fn into_whole(self) -> Result<(Dataset<T>, Option<Encoder>)> {
        match self {
            Raw::Numbers(data) => Ok((data, None)),
            Raw::Table(frame) => {
                let encoder = Encoder::fit(&frame)?;
                Ok((encoder.encode(&frame)?.data, Some(encoder)))
            }
        }
    }

    /// Training part and held-out part as numbers, by what the training part tells.
    pub(crate) fn parts(&self, split: &Split) -> Result<(Dataset<T>, Dataset<T>, Option<Encoder>)> {
        match self {
            Raw::Numbers(data) => {
                Ok((data.select(&split.train)?, data.select(&split.held_out)?, None))
            }
            Raw::Table(frame) => {
                let (train, held_out) =
                    (frame.select(&split.train)?, frame.select(&split.held_out)?);
                let encoder = Encoder::fit(&train)?;
                Ok((encoder.encode(&train)?.data, encoder.encode(&held_out)?.data, Some(encoder)))
            }
        }
    }
}
