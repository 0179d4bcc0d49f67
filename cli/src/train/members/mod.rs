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
use travertine::{Network, Report, Result, Samples, Scalar};

use crate::args::checkpoint::Keep;
use crate::message::{counted, note, wrong};
use crate::output::Output;
use crate::output::history::{EpochRecord, History};
use crate::output::progress::{Display, Epoch, figures};
use crate::train::args::TrainArgs;
use crate::train::attempt::{self, Watch};
use crate::train::augment::MemoryFeed;
use crate::train::calibrate::{self, calibrate};
use crate::train::checkpoint::{CheckpointWriter, Resumed, Signals};
use crate::train::data::TrainingData;
use crate::train::output_layer::OutputLayer;
use crate::train::plan::{Files, agree, agree_on_data};
use crate::train::preset;
use crate::train::recipe::Recipe;
use crate::train::record::checkpoint_metadata;
use crate::train::session::{End, Monitor, Session};
use crate::train::time_limit;

mod finish;
mod round;

/// Networks of a model.
const MEMBERS: usize = 5;

/// A trained member.
struct Member<T: Scalar> {
    network: Network<T>,
    /// The epoch whose parameters it has.
    kept: EpochRecord,
    /// All its epochs.
    records: Vec<EpochRecord>,
}

/// How the training of a member ended.
enum Ending<T: Scalar> {
    Trained(Member<T>),
    /// The reason, where the learning rate can be lowered.
    Diverged(String),
    Signal(usize),
}

/// A member before its training goes on.
struct Begun<T: Scalar> {
    data: TrainingData<T>,
    recipe: Recipe,
    network: Network<T>,
    resumed: Option<Resumed<T>>,
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
    files: Files,
    /// The files that record each member's epochs.
    histories: Vec<History>,
    signals: Signals,
    /// Of the members that have begun in this process.
    checkpoints: Vec<Option<CheckpointWriter>>,
}

/// Answers for samples to test on, given the member that has not seen them, and the samples that it was trained on.
type OfPart<'a, T> = dyn Fn(&Network<T>, &Dataset<T>, &Dataset<T>) -> Result<Vec<f64>> + 'a;

/// What the model is judged on at the end.
struct Judged<T: Scalar> {
    /// Samples that no member has seen, in the unit of the data; else each member is judged on its part.
    unseen: Option<Dataset<T>>,
    /// What a report is about, if one is written.
    reported: Option<Dataset<T>>,
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
    agree_on_data(&args, &data)?;
    let args = preset::resolve(preset, &args, &data);
    // Each network is a task of one process.
    let mut recipe = Recipe::new(&args)?.of_task();
    args.check_effects(!data.classes().is_empty())?;
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
    let reported = args.history.report.is_some().then(|| data.judged().clone());
    let judged = Judged { unseen: data.test.clone(), reported };
    let truth = data.train.targets().clone();
    output.set_targets(&mut data)?;
    let engine = args.device.open::<T>(args.precision)?;
    let network = recipe.network(&engine, &data, output.activation)?;
    let files = Files::new(&args.data, args.out.as_deref(), &args.history);
    files.check_model(MEMBERS * network.parameters() * size_of::<T>())?;
    let (rank, size) = (args.processes.group.rank(), args.processes.group.size());
    let history =
        |number: usize| Ok(files.history_of(number + 1)?.written_if(number % size == rank));
    let histories = (0..MEMBERS).map(history).collect::<Result<_>>()?;
    let begin = Instant::now();
    if let Some(limit) = args.time_limit {
        let first = data.part(&splits[0].train, &splits[0].held_out)?;
        let (group, rounds) =
            (&args.processes.group, MEMBERS.div_ceil(args.processes.group.size()));
        recipe = time_limit::shorten(recipe, (limit, rounds), group, &engine, (&first, &output))?;
    }
    agree(&args, (&recipe, &data, &output), &network)?;
    let signals = Signals::of(args.data.memory.as_ref())?;
    let mut course = Course {
        args: &args,
        recipe,
        engine,
        data,
        output,
        splits,
        truth,
        files,
        histories,
        signals,
        checkpoints: vec![None; MEMBERS],
    };
    let members = course.train(&mut out);
    let rate = course.recipe.rate();
    let seconds = begin.elapsed().as_secs_f64();
    let finish = |members| match members {
        // Process 0 has all members, and saves them.
        Ok(_) if rank > 0 => Ok(ExitCode::SUCCESS),
        Ok(members) => course.finish(members, &judged, seconds, &mut out),
        Err(signal) => Ok(ExitCode::from(128 + signal as u8)),
    };
    members.and_then(finish).or_else(|error| attempt::explain(error, rate))
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
    /// Trains all members, or returns the signal that has come. They have one learning rate: if a default diverges, all begin anew.
    fn train(&mut self, out: &mut Output) -> Result<Result<Vec<Member<T>>, usize>> {
        loop {
            let mut members = Vec::with_capacity(MEMBERS);
            let mut divergence = None;
            let size = self.args.processes.group.size();
            'rounds: for first in (0..MEMBERS).step_by(size) {
                for (number, end) in (first..).zip(self.round(first)?) {
                    match end {
                        Ending::Trained(member) => {
                            self.print_member(number, &member.kept, out)?;
                            members.push(member);
                        }
                        Ending::Diverged(reason) => {
                            divergence = Some(reason);
                            break 'rounds;
                        }
                        Ending::Signal(signal) => return Ok(Err(signal)),
                    }
                }
            }
            let Some(restart) = self.recipe.lower_rate(divergence) else { return Ok(Ok(members)) };
            restart.print(out)?;
            self.histories.iter_mut().try_for_each(History::begin_anew)?;
            // The first one's go last: a training that is killed meanwhile resumes with the rate that they name.
            let rate = self.recipe.rate();
            let begun = self.checkpoints.iter_mut().flatten();
            begun.rev().try_for_each(|writer| writer.begin_anew(rate))?;
        }
    }

    /// A learning rate that a checkpoint has lowered is that of all members.
    fn agree_on_rate(&mut self, resumed: Option<&Resumed<T>>) -> Result<()> {
        let own = resumed.map(|resumed| resumed.rate.value());
        let rates = self.args.processes.exchange(own)?;
        let mut rates = rates.into_iter().flatten();
        let Some(rate) = rates.next() else { return Ok(()) };
        if let Some(other) = rates.find(|other| *other != rate) {
            let reason = format!(
                "the networks' checkpoints are of the learning rates {rate} and {other}, as the training was ended while it began anew; remove those of one of them"
            );
            return Err(wrong("--resume", reason));
        }
        self.recipe.set_rate(self.recipe.rate().resumed(rate));
        Ok(())
    }

    /// What a member is trained by, and its network before training.
    fn untrained(&self, number: usize) -> Result<(TrainingData<T>, Recipe, Network<T>)> {
        let split = &self.splits[number];
        let data = self.data.part(&split.train, &split.held_out)?;
        let recipe = self.recipe.clone().with_seed(self.args.seed.wrapping_add(number as u64));
        let network = recipe.network(&self.engine, &data, self.output.activation)?;
        Ok((data, recipe, network))
    }

    /// Prepares a member, or reads how far it is.
    fn begin(&mut self, number: usize) -> Result<Begun<T>> {
        let (data, recipe, network) = self.untrained(number)?;
        let resumed = self.resume(number, (&recipe, &data, &network))?;
        Ok(Begun { data, recipe, network, resumed })
    }

    /// The checkpoint that a member continues from, if any.
    fn resume(
        &mut self,
        number: usize,
        (recipe, data, network): (&Recipe, &TrainingData<T>, &Network<T>),
    ) -> Result<Option<Resumed<T>>> {
        if self.checkpoints[number].is_some() {
            // It has begun before, with a rate that was too high.
            return Ok(None);
        }
        let args = &self.args.checkpoint;
        let kept = (args.early_stopping, args.keep_epoch);
        let metadata = checkpoint_metadata(recipe, data, &self.output, network, kept)?;
        let (args, rate) = (args.of_network(number + 1), recipe.rate());
        let (writer, resumed) = CheckpointWriter::open(&args, metadata, rate, &self.signals)?;
        self.checkpoints[number] = Some(writer);
        if let Some(resumed) = &resumed {
            CheckpointWriter::check_length(resumed, recipe.epochs())?;
        }
        Ok(resumed)
    }

    /// Trains a member, or continues its training.
    fn member(&mut self, number: usize, begun: Begun<T>) -> Result<Ending<T>> {
        let Begun { data, mut recipe, mut network, resumed } = begun;
        recipe.set_rate(self.recipe.rate());
        let Course { args, engine, output, histories, checkpoints, .. } = self;
        let test = data.test.as_ref().map(|test| Samples::new(engine, test)).transpose()?;
        let trainer = recipe.trainer(&mut network, output.learned_loss, data.train.samples())?;
        let mut memory = MemoryFeed::new(&recipe, engine, &data.train, data.deformation.as_ref())?;
        let (epochs, factor, samples) = (recipe.epochs(), output.factor, data.train.samples());
        let display = Display::new(epochs, samples, factor, args.plain || args.json);
        let mut monitor = MemberMonitor { display, history: &mut histories[number] };
        let untrained = || attempt::untrained_loss(&recipe, engine, &data, output);
        let mut watch = Watch::new(&mut monitor, factor, &recipe, &untrained);
        let mut session = Session::new(trainer, epochs, recipe.rate().value(), &mut watch)
            .test(test)
            .factor(factor)
            .patience(args.checkpoint.early_stopping)
            .keep_epoch(args.checkpoint.keep_epoch)
            .checkpoints(checkpoints[number].clone().unwrap_or_default());
        resumed.map_or(Ok(()), |resumed| session.resume(resumed, &mut memory))?;
        let outcome = session.run(&mut memory)?;
        let (outcome, divergence) = watch.judge(outcome);
        match (outcome.end, divergence, outcome.progress.last) {
            (_, Some(divergence), _) => Ok(Ending::Diverged(divergence)),
            (End::Failure { error, .. }, ..) => Err(error),
            (End::Signal(signal), ..) => Ok(Ending::Signal(signal)),
            (_, _, Some(kept)) => {
                if let Some(test) = data.test.as_ref().filter(|_| args.calibrate) {
                    calibrate(&mut network, output, test)?;
                }
                Ok(Ending::Trained(Member { network, kept, records: outcome.records }))
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
}

/// Moves a bar and records the epochs, but prints nothing.
struct MemberMonitor<'a> {
    display: Display,
    history: &'a mut History,
}

impl Monitor for MemberMonitor<'_> {
    fn is_due(&self) -> bool {
        self.display.is_due()
    }

    fn show(&mut self, epoch: usize, start: Instant, report: &Report) {
        self.display.show(epoch, start, report);
    }

    fn needs_gradient_norms(&self) -> bool {
        self.history.needs_gradient_norms()
    }

    fn epoch(&mut self, _epoch: &Epoch, records: &[EpochRecord]) -> Result<()> {
        self.history.write(records)
    }
}
