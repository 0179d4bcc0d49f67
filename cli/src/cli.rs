//! The list of commands.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Id, Parser, Subcommand};
use travertine::Result;

use crate::args::device::Precision;
use crate::args::memory::Memory;
use crate::args::processes::{end_all, is_superfluous};
use crate::commands::bench::{self, BenchArgs};
use crate::commands::devices::{self, DevicesArgs};
use crate::commands::evaluate::{self, EvaluateArgs};
use crate::commands::export::{self, ExportArgs};
use crate::commands::import::{self, ImportArgs};
use crate::commands::inspect::{self, InspectArgs};
use crate::commands::parity::{self, ParityArgs};
use crate::commands::predict::{self, PredictArgs};
use crate::commands::reproduce::{self, ReproduceArgs};
#[cfg(feature = "serve")]
use crate::commands::serve::{self, ServeArgs};
use crate::commands::tune::{self, TuneArgs};
use crate::train;
use crate::train::args::TrainArgs;

const EXAMPLES: &str = "\
Examples:
  travertine train digits
  travertine train flowers.csv --label species --hidden 32 --epochs 50 --out flowers.safetensors
  travertine evaluate flowers.safetensors flowers.csv
  travertine predict flowers.safetensors new.csv --json";

/// Trains, evaluates and serves layered neural networks.
#[derive(Debug, Parser)]
#[command(name = "travertine", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
enum Command {
    /// List every engine and device: whether it is usable, and if not, why and what helps
    Devices(DevicesArgs),
    /// Train a network and save it
    Train(Box<TrainArgs>),
    /// Loss, accuracy and confusion matrix of a model (or RMSE and R2)
    Evaluate(EvaluateArgs),
    /// Predictions of a model, one line a sample
    Predict(PredictArgs),
    /// Answer requests over HTTP with predictions of models
    #[cfg(feature = "serve")]
    Serve(ServeArgs),
    /// Answer requests over HTTP (this program was built without the feature `serve`)
    #[cfg(not(feature = "serve"))]
    #[command(disable_help_flag = true)]
    Serve {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        _arguments: Vec<std::ffi::OsString>,
    },
    /// What a model holds and how it was trained, or how a table is read
    Inspect(InspectArgs),
    /// Write a model for other programs: an ONNX file, or source code in C or Rust
    Export(ExportArgs),
    /// Read a model of another program from an ONNX file
    Import(ImportArgs),
    /// Measure the tile sizes of a device's matrix product, and keep the best
    Tune(TuneArgs),
    /// Train on the CPU and on another device, and report how far their parameters drift apart
    Parity(ParityArgs),
    /// Time inference or training, and compare with the machine's attainable peak
    Bench(BenchArgs),
    /// Train for published results on MNIST, and report how close they are
    Reproduce(ReproduceArgs),
}

impl Cli {
    /// The arguments of a command line. Ends the process where they are wrong.
    pub(crate) fn read(arguments: impl IntoIterator<Item = OsString>) -> Self {
        Cli::try_read(arguments).unwrap_or_else(|error| {
            let status = error.exit_code();
            if status != 0 {
                end_all(status as u8, || drop(error.print()));
            } else if !is_superfluous() {
                drop(error.print());
            }
            std::process::exit(status)
        })
    }

    /// As [`Cli::read`], but returns what is wrong.
    pub(crate) fn try_read(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, clap::Error> {
        let mut command = Cli::command();
        let matches = command.try_get_matches_from_mut(arguments)?;
        let mut cli = Cli::from_arg_matches(&matches)?;
        let Some((name, matches)) = matches.subcommand() else { return Ok(cli) };
        let options = command.find_subcommand(name).map(|command| options(command, matches));
        match &mut cli.command {
            Command::Train(args) => {
                let given = matches.ids().map(Id::as_str).filter(|id| is_given(matches, id));
                args.given = given.map(str::to_owned).collect();
                args.processes.options = options.unwrap_or_default();
            }
            Command::Bench(args) => args.processes.options = options.unwrap_or_default(),
            _ => {}
        }
        Ok(cli)
    }

    /// Trains on a table in memory.
    pub(crate) fn set_memory(&mut self, memory: Memory) {
        if let Command::Train(args) = &mut self.command {
            args.data.memory = Some(memory);
        }
    }

    /// Whether the command reads data as a model does, without options about columns.
    pub(crate) fn uses_model(&self) -> bool {
        matches!(self.command, Command::Evaluate(_) | Command::Predict(_))
    }

    /// Runs the command. Only a training may end early without an error, after a signal.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        match &self.command {
            Command::Train(args) => match args.precision {
                Precision::F64 => return train::run::<f64>(args),
                _ => return train::run::<f32>(args),
            },
            Command::Bench(args) => return bench::run(args),
            _ if is_superfluous() => Ok(()),
            Command::Devices(args) => devices::run(args),
            Command::Evaluate(args) => evaluate::run(args),
            Command::Predict(args) => predict::run(args),
            #[cfg(feature = "serve")]
            Command::Serve(args) => serve::run(args),
            #[cfg(not(feature = "serve"))]
            Command::Serve { .. } => Err(crate::message::wrong(
                "serve",
                "this program was built without its server; build it with the feature: cargo install --path cli --features serve",
            )),
            Command::Inspect(args) => inspect::run(args),
            Command::Export(args) => export::run(args),
            Command::Import(args) => import::run(args),
            Command::Tune(args) => tune::run(args),
            Command::Parity(args) => parity::run(args),
            Command::Reproduce(args) => reproduce::run(args),
        }
        .map(|()| ExitCode::SUCCESS)
    }
}

fn is_given(matches: &ArgMatches, id: &str) -> bool {
    matches.value_source(id) == Some(ValueSource::CommandLine)
}

/// The options of a command line with their values, as they were given.
fn options(command: &clap::Command, matches: &ArgMatches) -> Vec<(String, String)> {
    let given =
        command.get_arguments().filter(|option| is_given(matches, option.get_id().as_str()));
    let described = given.map(|option| {
        let id = option.get_id().as_str();
        let name = option.get_long().map_or(id.to_uppercase(), |long| format!("--{long}"));
        let values = matches.get_raw(id).filter(|_| option.get_action().takes_values());
        let value = values.map_or("given".to_owned(), |values| {
            values.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
        });
        (name, value)
    });
    described.collect()
}
