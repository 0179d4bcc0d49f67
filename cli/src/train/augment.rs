//! Training samples in memory, and their images deformed anew for each epoch.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use travertine::data::{Augmentation, Dataset};
use travertine::engine::Engine;
use travertine::{Result, Samples, Scalar};

use crate::args::augment::Deformation;
use crate::train::recipe::Recipe;

/// Training samples in memory.
pub(crate) struct MemoryFeed<'a, T: Scalar> {
    pub(crate) samples: Samples<'a, T>,
    images: Option<Images<'a, T>>,
}

/// Images, and what deforms them.
struct Images<'a, T: Scalar> {
    augmentation: &'a Augmentation,
    data: &'a Dataset<T>,
    engine: &'a Arc<dyn Engine<T>>,
    recipe: &'a Recipe,
}

impl<'a, T: Scalar> MemoryFeed<'a, T> {
    /// The samples of `data` on `engine`.
    pub(crate) fn new(
        recipe: &'a Recipe,
        engine: &'a Arc<dyn Engine<T>>,
        data: &'a Dataset<T>,
        deformation: Option<&'a Deformation>,
    ) -> Result<Self> {
        let samples = recipe.training_samples(engine, data)?;
        let images = deformation.map(|Deformation { augmentation, .. }| Images {
            augmentation,
            data,
            engine,
            recipe,
        });
        Ok(MemoryFeed { samples, images })
    }

    /// The samples alone, which stay as they are.
    pub(crate) fn of(samples: Samples<'a, T>) -> Self {
        MemoryFeed { samples, images: None }
    }

    /// Calls `train` for each of the epochs, until it breaks off, with the samples of that epoch: those in memory, or
    /// deformed images, which are made while the epoch before trains.
    pub(crate) fn each_epoch(
        &mut self,
        epochs: Range<usize>,
        mut train: impl FnMut(&mut Samples<'_, T>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let Some(Images { augmentation, data, engine, recipe }) = &self.images else {
            for _ in epochs {
                if train(&mut self.samples)?.is_break() {
                    break;
                }
            }
            return Ok(());
        };
        let [first, end] =
            [epochs.start, epochs.end].map(|epoch| u32::try_from(epoch).unwrap_or(u32::MAX));
        augmentation.each_epoch(data, (recipe.seed(), first..end), |images| {
            train(&mut recipe.training_samples(engine, images)?)
        })
    }
}
