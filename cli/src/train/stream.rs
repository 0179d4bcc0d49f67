//! Training samples that are read block by block.

use std::ops::ControlFlow;
use std::sync::Arc;

use travertine::data::{Stream, StreamOptions};
use travertine::engine::Engine;
use travertine::{Error, ErrorKind, Report, Result, Samples, Scalar, Trainer};

use crate::args::source::Source;
use crate::args::table::Scaling;
use crate::message::wrong;
use crate::train::args::DataArgs;
use crate::train::data::{HELD_OUT, table_options};
use crate::train::output_layer::OutputLayer;
use crate::train::recipe::Recipe;

const OPTION: &str = "--stream";

/// Opens the file that the arguments name; `mebibytes`: in memory at a time.
pub(crate) fn open<T: Scalar>(args: &DataArgs, seed: u64, mebibytes: usize) -> Result<Stream<T>> {
    let Source::Table(path) = &args.source else {
        let reason = format!("is for tables, not for {}", args.source.name());
        return Err(wrong(OPTION, reason));
    };
    let Some(buffer) = mebibytes.checked_mul(1 << 20) else {
        let reason = format!("{mebibytes} MiB are more bytes than a computer can address");
        return Err(wrong(OPTION, reason));
    };
    if args.scaling() == Scaling::Robust {
        let reason = "robust needs quartiles, and so the whole table in memory; --stream has one block of it";
        return Err(wrong("--scaling", reason));
    }
    let held_out = if args.test.is_some() { 0.0 } else { args.held_out.unwrap_or(HELD_OUT) };
    let options = StreamOptions {
        buffer,
        held_out,
        stratify: args.stratify,
        seed,
        standardize: args.scaling() != Scaling::None,
        table: table_options(args)?,
    };
    Stream::open(path, &options)
}

/// A stream of training samples. The trainer sees each block as a data set, and shuffles within it.
pub(crate) struct StreamFeed<'a, T: Scalar> {
    pub(crate) stream: &'a Stream<T>,
    pub(crate) engine: &'a Arc<dyn Engine<T>>,
    pub(crate) recipe: &'a Recipe,
    pub(crate) output: &'a OutputLayer,
}

impl<T: Scalar> StreamFeed<'_, T> {
    /// Trains an epoch, counted from 0; calls `watch` after every block with the report of the epoch so far.
    pub(crate) fn epoch(
        &self,
        trainer: &mut Trainer<'_, T>,
        epoch: u64,
        mut watch: impl FnMut(&Report),
    ) -> Result<Report> {
        let mut all: Option<Report> = None;
        self.stream.epoch(self.recipe.seed(), epoch, |block| {
            let block = self.output.scaled(block)?;
            let counts = Some(self.stream.class_counts());
            let mut samples = self.recipe.training_samples_of(self.engine, &block, counts)?;
            let report = trainer.epoch(&mut samples).map_err(|error| in_epoch(error, epoch))?;
            let report = all.map_or(report, |all| all.and(report));
            watch(&report);
            all = Some(report);
            Ok(ControlFlow::Continue(()))
        })?;
        all.ok_or_else(|| wrong(OPTION, "there are no samples to train on"))
    }

    /// Loss and accuracy on the samples that are held out; `None` without any.
    pub(crate) fn evaluate(&self, trainer: &mut Trainer<'_, T>) -> Result<Option<Report>> {
        let mut all: Option<Report> = None;
        self.stream.held_out(|block| {
            let block = self.output.scaled(block)?;
            let report = trainer.evaluate(&Samples::new(self.engine, &block)?)?;
            all = Some(all.map_or(report, |all| all.and(report)));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(all)
    }
}

/// The same error with the stream's epoch: the trainer counts blocks as epochs.
fn in_epoch(error: Error, epoch: u64) -> Error {
    match *error.kind() {
        ErrorKind::Diverged { step, layer, what, .. } => {
            ErrorKind::Diverged { step, epoch, layer, what }.into()
        }
        _ => error,
    }
}
