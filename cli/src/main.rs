//! `travertine`: trains, evaluates and serves layered neural networks from the command line.
//!
//! Exit status: 0 done, 1 failed, 2 bad usage or bad input.

use std::process::ExitCode;

use clap::Parser;
use travertine::Result;

use crate::args::{Arguments, Command, Precision};

mod args;
mod augment;
mod bench;
mod checkpoint;
mod class_weights;
mod curve;
mod data;
mod devices;
mod evaluate;
mod facts;
mod fit;
mod folds;
mod head;
mod history;
mod inspect;
mod model;
mod names;
mod optimizer;
mod outfile;
mod output;
mod parity;
mod parquet;
mod predict;
mod progress;
mod raw;
mod regularization;
mod report;
mod reproduce;
mod streaming;
mod target_scale;
mod tensorboard;
mod train;
mod training_data;
mod tune;
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
