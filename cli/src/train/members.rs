//! `train --quality best`: several networks, each tested on another part of the samples, whose mean the model answers.
//!
//! Each member keeps the epoch that was best on the part that it did not learn from (bagging by cross-validation; Holzmüller,
//! Grinsztajn and Steinwart 2024 take five such members). Together the members have learned from every sample.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use travertine::data::{Dataset, Split, Targets};
use travertine::engine::Engine;
use travertine::{Error, Matrix, Model, Network, Report, Result, Samples, Scalar};

use super::TrainResult;
use super::baseline::{Constant, answers, linear_answers};
use super::calibrate::{self, calibrate};
use super::held_out::{self, Judgement};
use crate::args::checkpoint::Keep;
use crate::message::{counted, note, warn, wrong};
use crate::output::history::EpochRecord;
use crate::output::progress::{Display, Epoch, figures};
use crate::output::{Output, rounded};
use crate::train::args::TrainArgs;
use crate::train::attempt::{self, Watch};
use crate::train::augment::MemoryFeed;
use crate::train::data::{TrainingData, in_order};
use crate::train::output_layer::OutputLayer;
use crate::train::plan::Files;
use crate::train::preset;
use crate::train::recipe::Recipe;
use crate::train::record::model_info;
use crate::train::session::{End, Monitor, Session};
use crate::train::time_limit;

/// Networks of a model.
const MEMBERS: usize = 5;

/// A trained member.
struct Member<T: Scalar> {
    network: Network<T>,
    /// The epoch whose parameters it has.
    kept: EpochRecord,
}

/// What every member is trained by.
struct Course<'a, T: Scalar> {
    args: &'a TrainArgs,
    recipe: Recipe,
    engine: Arc<dyn Engine<T>>,
    /// All samples that members learn from.
    data: TrainingData<T>,
    output: OutputLayer,
    splits: Vec<Split>,
    /// Their targets in the unit of the data.
    truth: Targets,
}

/// Trains the members, saves the model and prints the result.
pub(crate) fn run<T: Scalar>(args: &TrainArgs) -> Result<ExitCode> {
    let mut out = Output::new(args.json);
    Recipe::new(args)?;
    let preset = preset::of(args)?;
    let mut args = args.clone();
    preset::encode(preset, &mut args);
    args.data.hold_out_nothing();
    let mut data = TrainingData::<T>::load(&args.data, args.seed)?;
    let args = preset::resolve(preset, &args, &data);
    let mut recipe = Recipe::new(&args)?;
    recipe.check(!data.classes().is_empty())?;
    let output = OutputLayer::new(&args.layers, &data)?;
    if args.calibrate {
        let has_members = args.layers.members.is_some();
        let of = (data.classes().len(), has_members);
        calibrate::check(&output, of, Some(data.train.samples() / MEMBERS))?;
    }
    let splits = splits(&data.train, args.seed)?;
    note(&format!(
        "{}: {}; output {}, loss {}; {MEMBERS} networks, each tested on another fifth of the samples to train on",
        args.data.source.name(),
        data.describe(),
        output.activation,
        output.loss
    ));
    let judged = data.test.clone();
    let truth = data.train.targets().clone();
    output.set_targets(&mut data)?;
    let engine = args.device.open::<T>(args.precision)?;
    let network = recipe.network(&engine, &data, output.activation)?;
    let files = Files::new(&args.data, args.out.as_deref(), &args.history);
    files.check_model(MEMBERS * network.parameters() * size_of::<T>())?;
    let begin = Instant::now();
    if let Some(limit) = args.time_limit {
        let first = data.part(&splits[0].train, &splits[0].held_out)?;
        recipe = time_limit::shorten(recipe, (limit, MEMBERS), &engine, (&first, &output))?;
    }
    let mut course = Course { args: &args, recipe, engine, data, output, splits, truth };
    let members = course.train(&mut out);
    let rate = course.recipe.rate();
    let seconds = begin.elapsed().as_secs_f64();
    members
        .and_then(|members| course.finish(members, judged.as_ref(), (&files, seconds), &mut out))
        .or_else(|error| attempt::explain(error, rate))
}

/// For each member the samples to train on and those to test on; each class is in every part, where it has enough samples.
fn splits<T: Scalar>(data: &Dataset<T>, seed: u64) -> Result<Vec<Split>> {
    if data.samples() < MEMBERS {
        let samples = counted(data.samples(), "sample", "samples");
        let reason = format!(
            "best tests each of {MEMBERS} networks on samples of its own; there are {samples}"
        );
        return Err(wrong("--quality", reason));
    }
    match data.targets() {
        Targets::Classes { labels, .. } => Split::stratified_folds(labels, MEMBERS, seed),
        _ => Split::folds(data.samples(), MEMBERS, seed),
    }
}

/// A line of `train --json` for a member.
#[derive(Serialize)]
struct MemberLine {
    task: &'static str,
    member: usize,
    members: usize,
    epochs: u64,
    test_loss: Option<f64>,
    test_accuracy: Option<f64>,
}

impl<T: Scalar> Course<'_, T> {
    /// Trains all members. They have one learning rate: if a default diverges, all begin anew.
    fn train(&mut self, out: &mut Output) -> Result<Vec<Member<T>>> {
        loop {
            let mut members = Vec::with_capacity(MEMBERS);
            let mut divergence = None;
            for number in 0..MEMBERS {
                match self.member(number)? {
                    Ok(member) => {
                        self.print_member(number, &member.kept, out)?;
                        members.push(member);
                    }
                    Err(reason) => {
                        divergence = Some(reason);
                        break;
                    }
                }
            }
            let Some(restart) = self.recipe.lower_rate(divergence) else { return Ok(members) };
            restart.print(out)?;
        }
    }

    /// Trains a member. Returns how it diverged, if the learning rate can be lowered.
    fn member(&self, number: usize) -> Result<Result<Member<T>, String>> {
        let Course { args, engine, output, .. } = self;
        let split = &self.splits[number];
        let data = self.data.part(&split.train, &split.held_out)?;
        let recipe = self.recipe.clone().with_seed(args.seed.wrapping_add(number as u64));
        let mut network = recipe.network(engine, &data, output.activation)?;
        let test = data.test.as_ref().map(|test| Samples::new(engine, test)).transpose()?;
        let trainer = recipe.trainer(&mut network, output.learned_loss, data.train.samples())?;
        let mut memory = MemoryFeed::new(&recipe, engine, &data.train, data.deformation.as_ref())?;
        let (epochs, factor, samples) = (recipe.epochs(), output.factor, data.train.samples());
        let mut bar = Bar(Display::new(epochs, samples, factor, args.plain || args.json));
        let untrained = || attempt::untrained_loss(&recipe, engine, &data, output);
        let mut watch = Watch::new(&mut bar, factor, &recipe, &untrained);
        let outcome = Session::new(trainer, epochs, recipe.rate().value(), &mut watch)
            .test(test)
            .factor(factor)
            .patience(args.checkpoint.early_stopping)
            .keep_epoch(args.checkpoint.keep_epoch)
            .run(&mut memory)?;
        let (outcome, divergence) = watch.judge(outcome);
        match (outcome.end, divergence, outcome.progress.last) {
            (_, Some(divergence), _) => Ok(Err(divergence)),
            (End::Failure { error, .. }, ..) => Err(error),
            (_, _, Some(kept)) => {
                if let Some(test) = data.test.as_ref().filter(|_| args.calibrate) {
                    calibrate(&mut network, output, test)?;
                }
                Ok(Ok(Member { network, kept }))
            }
            (_, _, None) => Err(wrong("--epochs", "no epoch ended")),
        }
    }

    fn print_member(&self, number: usize, kept: &EpochRecord, out: &mut Output) -> Result<()> {
        let line = MemberLine {
            task: "member",
            member: number + 1,
            members: MEMBERS,
            epochs: kept.epoch,
            test_loss: kept.test_loss,
            test_accuracy: kept.test_accuracy,
        };
        let test = kept.test_loss.map_or(String::new(), |loss| figures(loss, kept.test_accuracy));
        let chosen = match self.args.checkpoint.keep_epoch {
            Keep::Last => format!("after epoch {}", kept.epoch),
            _ => format!("epoch {} kept", kept.epoch),
        };
        let fifth = "on the fifth it was not trained on";
        out.print(&line, &format!("network {} of {MEMBERS}: {chosen}, {fifth}: {test}", number + 1))
    }

    /// Saves the model and prints the result; `judged`: samples that no member has seen, in the unit of the data.
    fn finish(
        self,
        members: Vec<Member<T>>,
        judged: Option<&Dataset<T>>,
        (files, seconds): (&Files, f64),
        out: &mut Output,
    ) -> Result<ExitCode> {
        let kept: Vec<EpochRecord> = members.iter().map(|member| member.kept.clone()).collect();
        let networks = members.into_iter().map(|member| member.network).collect();
        let Course { args, recipe, data, output, .. } = &self;
        let samples = (data.train.samples(), recipe.epochs() as u64);
        let mut info = model_info(recipe, &args.data.source, data, output, samples);
        info.training.push(("members".to_owned(), MEMBERS.to_string()));
        let model = Model::ensemble(networks, info)?;
        if files.model.exists() {
            note(&format!("the model replaces {}", files.model.display()));
        }
        model.save(&files.model)?;
        let of_all = match judged {
            Some(judged) => {
                let report = model.evaluate_standardized(judged)?.report;
                (report.loss, report.accuracy)
            }
            None => mean(&kept),
        };
        let saved = |_: &Error| note(&format!("the model is saved as {}", files.model.display()));
        let judgement = self.judge(&model, judged).inspect_err(saved)?;
        self.print(&model, (&kept, of_all, seconds), (judgement.as_ref(), judged), files, out)?;
        judgement.iter().flat_map(Judgement::warnings).for_each(|warning| warn(&warning));
        Ok(ExitCode::SUCCESS)
    }

    /// How good the model is on samples that no member has seen, or else how good each member is on its part, all parts together;
    /// for tables.
    fn judge(&self, model: &Model<T>, judged: Option<&Dataset<T>>) -> Result<Option<Judgement>> {
        let Course { data, output, truth, .. } = self;
        let constant = Constant::of(truth, output.loss)?.filter(|_| data.encoder.is_some());
        let Some(constant) = constant else { return Ok(None) };
        let how = (self.args.seed, model.gives_probabilities());
        if let (Some(judged), Some(test)) = (judged, &data.test) {
            let ours = answers(&model.predict_standardized(test)?);
            let linear = linear_answers((&data.train, test), output, model)?;
            return held_out::judge(judged.targets(), (&ours, linear.as_deref()), &constant, how);
        }
        let width = data.train.outputs();
        let mut all = [(); 2].map(|()| vec![f64::NAN; width * data.train.samples()]);
        for (network, split) in model.networks().zip(&self.splits) {
            let part = data.part(&split.train, &split.held_out)?;
            let Some(test) = &part.test else { continue };
            let (inputs, samples) = (test.inputs(), test.samples());
            let x = Matrix::from_slice(&self.engine, inputs, samples, test.features())?;
            let ours = answers(&model.decode(&network.infer(x.view())?.to_vec()?)?);
            let linear = linear_answers((&part.train, test), output, model)?;
            // What diverges stays NaN.
            for (all, part) in all.iter_mut().zip([Some(ours), linear]) {
                let part = part.unwrap_or_default();
                for (i, answer) in in_order(&split.held_out).iter().zip(part.chunks_exact(width)) {
                    all[width * i..][..width].copy_from_slice(answer);
                }
            }
        }
        let [ours, linear] = all;
        held_out::judge(truth, (&ours, Some(&linear)), &constant, how)
    }

    fn print(
        &self,
        model: &Model<T>,
        (kept, of_all, seconds): (&[EpochRecord], (f64, Option<f64>), f64),
        (judgement, judged): (Option<&Judgement>, Option<&Dataset<T>>),
        files: &Files,
        out: &mut Output,
    ) -> Result<()> {
        let device = self.engine.device();
        let count = kept.len() as f64;
        let mean = |of: &dyn Fn(&EpochRecord) -> f64| kept.iter().map(of).sum::<f64>() / count;
        let accuracies: Option<Vec<f64>> = kept.iter().map(|epoch| epoch.train_accuracy).collect();
        let steps: u64 = kept.iter().map(|epoch| epoch.step).sum();
        let result = TrainResult {
            task: "train",
            members: kept.len(),
            epochs: self.recipe.epochs() as u64,
            train_loss: mean(&|epoch| epoch.train_loss),
            train_accuracy: accuracies.map(|all| all.iter().sum::<f64>() / count),
            test_loss: Some(of_all.0),
            test_accuracy: of_all.1,
            best_test_accuracy: of_all.1,
            held_out: judgement,
            seconds: rounded(seconds, 6),
            steps_per_second: rounded(steps as f64 / seconds, 1),
            parameters: model.parameters(),
            device: &device.name,
            threads: device.threads,
            seed: self.args.seed,
            model: files.model.display().to_string(),
            report: None,
        };
        let test = figures(of_all.0, of_all.1);
        let tested = match judged {
            Some(data) => {
                let samples = counted(data.samples(), "sample", "samples");
                format!("their mean on {samples} that none has seen: {test}")
            }
            None => format!(
                "each on the fifth it was not trained on: {test}; their mean is usually better"
            ),
        };
        let judgement = judgement.map_or(String::new(), |one| format!("\n{}", one.describe()));
        let text = format!(
            "{MEMBERS} networks in {seconds:.2} s; {tested}{judgement}\nsaved {} ({} parameters)",
            result.model, result.parameters
        );
        out.print(&result, &text)
    }
}

/// Mean loss and accuracy over the members, each on its own part.
fn mean(kept: &[EpochRecord]) -> (f64, Option<f64>) {
    let count = kept.len() as f64;
    let loss = kept.iter().filter_map(|epoch| epoch.test_loss).sum::<f64>() / count;
    let accuracies: Option<Vec<f64>> = kept.iter().map(|epoch| epoch.test_accuracy).collect();
    (loss, accuracies.map(|all| all.iter().sum::<f64>() / count))
}

/// Moves a bar, and prints nothing.
struct Bar(Display);

impl Monitor for Bar {
    fn is_due(&self) -> bool {
        self.0.is_due()
    }

    fn show(&mut self, epoch: usize, start: Instant, report: &Report) {
        self.0.show(epoch, start, report);
    }

    fn epoch(&mut self, _epoch: &Epoch, _records: &[EpochRecord]) -> Result<()> {
        Ok(())
    }
}
