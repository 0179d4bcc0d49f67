//! `travertine`: trains, evaluates and serves layered neural networks from the command line.
//!
//! Exit status: 0 done, 1 failed, 2 bad usage or bad input.

use std::process::ExitCode;

use clap::Parser;
use travertine::Result;

use crate::args::{Arguments, Command, Precision};

#[path = "train/args.rs"]
mod args;
#[path = "args/augment.rs"]
mod augment;
#[path = "commands/bench.rs"]
mod bench;
#[path = "train/checkpoint.rs"]
mod checkpoint;
#[path = "args/class_weights.rs"]
mod class_weights;
#[path = "output/curve.rs"]
mod curve;
#[path = "input/mod.rs"]
mod data;
#[path = "commands/devices.rs"]
mod devices;
#[path = "commands/evaluate.rs"]
mod evaluate;
#[path = "train/record.rs"]
mod facts;
#[path = "train/session.rs"]
mod fit;
#[path = "train/cross_validate.rs"]
mod folds;
#[path = "train/output_layer.rs"]
mod head;
#[path = "output/history.rs"]
mod history;
#[path = "commands/inspect.rs"]
mod inspect;
mod model;
#[path = "args/names.rs"]
mod names;
#[path = "args/optimizer.rs"]
mod optimizer;
#[path = "output/file.rs"]
mod outfile;
#[path = "output/mod.rs"]
mod output;
#[path = "commands/parity.rs"]
mod parity;
#[path = "input/parquet.rs"]
mod parquet;
#[path = "commands/predict.rs"]
mod predict;
#[path = "output/progress.rs"]
mod progress;
#[path = "input/unscaled.rs"]
mod raw;
#[path = "args/regularization.rs"]
mod regularization;
#[path = "output/report/mod.rs"]
mod report;
#[path = "commands/reproduce.rs"]
mod reproduce;
#[path = "train/stream.rs"]
mod streaming;
#[path = "train/target_scale.rs"]
mod target_scale;
#[path = "output/tensorboard.rs"]
mod tensorboard;
#[path = "train/mod.rs"]
mod train;
#[path = "train/data.rs"]
mod training_data;
#[path = "commands/tune.rs"]
mod tune;
#[path = "commands/bench_network.rs"]
mod work;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments.command) {
        Ok(status) => status,
        Err(error) => {
            output::note(&format!("error: {error}"));
            ExitCode::from(if error.is_input() { 2 } else { 1 })
        }
    }
}

fn run(command: &Command) -> Result<ExitCode> {
    match command {
        // Only a training is asked to end before its end.
        Command::Train(args) => match args.precision {
            Precision::F64 => train::run::<f64>(args),
            _ => train::run::<f32>(args),
        },
        other => run_to_the_end(other).map(|()| ExitCode::SUCCESS),
    }
}

fn run_to_the_end(command: &Command) -> Result<()> {
    match command {
        Command::Devices(args) => devices::run(args),
        Command::Tune(args) => match args.precision {
            Precision::F64 => tune::run::<f64>(args),
            _ => tune::run::<f32>(args),
        },
        Command::Train(_) => Ok(()),
        Command::Evaluate(args) => evaluate::run(args),
        Command::Predict(args) => predict::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Parity(args) => match args.precision {
            Precision::F64 => parity::run::<f64>(args),
            _ => parity::run::<f32>(args),
        },
        Command::Bench(args) => bench::run(args),
        Command::Reproduce(args) => reproduce::run(args),
    }
}
