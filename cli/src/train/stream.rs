//! `travertine train --stream`

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use travertine::data::{Dataset, Stream, StreamOptions};
use travertine::engine::Engine;
use travertine::{Error, ErrorKind, Report, Result, Samples, Scalar, Trainer, model_file};

use crate::args::TrainArgs;
use crate::data::{Source, Wanted, csv_options, npy_options};
use crate::facts::info;
use crate::fit::Course;
use crate::head::{self, Head};
use crate::history::{History, Row};
use crate::model::Model;
use crate::names::{counted, wrong};
use crate::output::{Output, note};
use crate::progress::{Display, Epoch};
use crate::target_scale::in_units;
use crate::train::{saved_before, tell};
use crate::training_data::{HELD_OUT, TrainingData, load_test};
use crate::{devices, outfile};

/// Trains on a file that is never in memory as a whole. A buffer is to the trainer what a data set is else: it shuffles within it.
pub(crate) fn run<T: Scalar>(args: &TrainArgs, mebibytes: usize) -> Result<ExitCode> {
    let mut out = Output::new(args.json);
    let stream = open::<T>(args, mebibytes)?;
    // What layers, losses and units depend on; values are scaled as those of a part of the file.
    let mut data = TrainingData {
        train: stream.example()?,
        test: None,
        encoder: None,
        standardization: stream.standardization().cloned(),
        deformation: None,
    };
    args.regularization.check(args.hidden.0.len(), !data.classes().is_empty())?;
    let head = head::head(args, &data)?;
    let samples = stream.samples();
    note(&format!(
        "{}: {}, {mebibytes} MiB at a time, {} held out; output {}, loss {}",
        args.data.name(),
        counted(samples, "sample to train on", "samples to train on"),
        stream.held_out_samples(),
        head.output,
        head.loss
    ));
    let engine = devices::open::<T>(&args.device, args.precision)?;
    let mut network = head::network(args, &engine, &data, head.output)?;
    let path = args
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{}.safetensors", args.data.stem())));
    outfile::check_is_not("--out", &path, &args.inputs())?;
    outfile::check("--out", &path, network.parameters() * size_of::<T>())?;
    if let Some(source) = &args.test {
        // Read as a whole, then standardized as the training samples are.
        let mut test = load_test(args, source, &data.train, None)?;
        data.standardization
            .as_ref()
            .map_or(Ok(()), |standardization| standardization.apply(&mut test))?;
        data.test = Some(test);
    }
    let mut history = History::new(&args.history, &args.inputs(), Vec::new())?;
    let mut trainer = head::trainer(args, &mut network, head.learned, samples)?;
    let batch = trainer.batch();
    let mut display = Display::new(args.epochs, samples, head.factor, args.plain);
    let run = Run { args, stream: &stream, engine: &engine, head: &head, test: data.test.as_ref() };
    let mut course = Course::default();
    let start = Instant::now();
    // What a failure goes back to: the parameters behind the last whole epoch.
    let mut good = trainer.parameters()?;
    let failure = (0..args.epochs).try_for_each(|number| -> Result<()> {
        let learning_rate = args.rate() * trainer.rate_factor();
        let begin = Instant::now();
        let train = run.epoch(&mut trainer, number, &mut display)?;
        let seconds = begin.elapsed().as_secs_f64();
        let test = run.test(&mut trainer)?;
        trainer.observe_loss(test.unwrap_or(train).loss);
        let (train, test) =
            (in_units(train, head.factor), test.map(|test| in_units(test, head.factor)));
        let row = Row {
            epoch: number as u64 + 1,
            step: trainer.steps(),
            train_loss: train.loss,
            train_accuracy: train.accuracy,
            test_loss: test.map(|report| report.loss).filter(|loss| loss.is_finite()),
            test_accuracy: test.and_then(|report| report.accuracy),
            learning_rate,
            seconds,
            gradient_norms: Vec::new(),
        };
        course.seconds_of_steps += seconds;
        course.best_test_accuracy =
            course.best_test_accuracy.into_iter().chain(row.test_accuracy).reduce(f64::max);
        good = trainer.parameters()?;
        course.last = Some(row.clone());
        display.epoch(&Epoch { number: number + 1, train, test, seconds }, &mut out)?;
        history.push(row)
    });
    let failure = failure.err();
    course.seconds = start.elapsed().as_secs_f64();
    let steps = trainer.steps();
    let Some(last) = &course.last else { return failure.map_or(Ok(ExitCode::SUCCESS), Err) };
    let failure = match failure {
        Some(error) if trainer.set_parameters(&good).is_err() => return Err(error),
        failure => failure,
    };
    drop((trainer, display));
    head.scale.as_ref().map_or(Ok(()), |scale| scale.undo(&mut network))?;
    let model = Model { network, info: info(args, &data, &head, (samples, batch, last.epoch)) };
    model_file::save(&path, &model.network, &model.info)?;
    if let Some(failure) = failure {
        return Err(saved_before(failure, last, &path));
    }
    tell(args, (&course, steps), last, &model.network, [Some(&path), None], &mut out)?;
    Ok(ExitCode::SUCCESS)
}

fn open<T: Scalar>(args: &TrainArgs, mebibytes: usize) -> Result<Stream<T>> {
    let (Source::Csv(path) | Source::Npy(path)) = &args.data else {
        return Err(wrong(
            "--stream",
            format!("is for CSV and NPY data, not for {}", args.data.name()),
        ));
    };
    let label = args.table.label.clone().unwrap_or_default();
    let wanted = Wanted { label, task: args.task, ..Wanted::default() };
    let held_out = if args.test.is_some() { 0.0 } else { args.held_out.unwrap_or(HELD_OUT) };
    let Some(buffer) = mebibytes.checked_mul(1 << 20) else {
        return Err(wrong("--stream", format!("{mebibytes} MiB are more than can be counted")));
    };
    let options = StreamOptions {
        buffer,
        held_out,
        seed: args.seed,
        standardize: !args.no_standardize,
        csv: csv_options(&args.table, &wanted),
        npy: npy_options(&args.table, &wanted),
    };
    Stream::open(path, &options)
}

/// What every epoch uses.
struct Run<'a, T: Scalar> {
    args: &'a TrainArgs,
    stream: &'a Stream<T>,
    engine: &'a Arc<dyn Engine<T>>,
    head: &'a Head,
    test: Option<&'a Dataset<T>>,
}

impl<T: Scalar> Run<'_, T> {
    fn epoch(
        &self,
        trainer: &mut Trainer<'_, T>,
        number: usize,
        display: &mut Display,
    ) -> Result<Report> {
        let (epoch, start) = (number as u64, Instant::now());
        let mut all: Option<Report> = None;
        let of_epoch = |error: Error| match *error.kind() {
            // The trainer counts buffers.
            ErrorKind::Diverged { step, layer, what, .. } => {
                ErrorKind::Diverged { step, epoch, layer, what }.into()
            }
            _ => error,
        };
        self.stream.epoch(self.args.seed, epoch, |buffer| {
            let buffer = self.scaled(buffer)?;
            let samples = Samples::new(self.engine, &buffer)?;
            let mut samples = self.args.regularization.of_training_samples(samples, &buffer)?;
            let report = trainer.epoch(&mut samples).map_err(of_epoch)?;
            let report = all.map_or(report, |all| all.and(report));
            if display.is_due() {
                display.show(number, start, &report);
            }
            all = Some(report);
            Ok(ControlFlow::Continue(()))
        })?;
        all.ok_or_else(|| wrong("--stream", "there are no samples to train on"))
    }

    /// Loss and accuracy on the samples that are held out, or on those of `--test`.
    fn test(&self, trainer: &mut Trainer<'_, T>) -> Result<Option<Report>> {
        let mut all: Option<Report> = None;
        let mut add = |data: Dataset<T>| {
            let data = self.scaled(data)?;
            let report = trainer.evaluate(&mut Samples::new(self.engine, &data)?)?;
            all = Some(all.map_or(report, |all| all.and(report)));
            Ok(ControlFlow::Continue(()))
        };
        match self.test {
            Some(test) => add(test.clone()).map(|_: ControlFlow<()>| ())?,
            None => self.stream.held_out(add)?,
        }
        Ok(all)
    }

    fn scaled(&self, data: Dataset<T>) -> Result<Dataset<T>> {
        match &self.head.scale {
            Some(scale) => scale.apply(&data),
            None => Ok(data),
        }
    }
}
