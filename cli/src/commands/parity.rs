//! `travertine parity`: the same training on the CPU and on another device.

use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use travertine::engine::Engine;
use travertine::{Matrix, Network, Result, Scalar, Trainer};

use crate::args::device::{DeviceArgs, Precision};
use crate::args::network::NetworkArgs;
use crate::args::optimizer::OptimizerArgs;
use crate::args::values::{at_least_one, not_negative};
use crate::commands::bench_network::{BenchNetwork, name};
use crate::output::Output;
use crate::output::text::table;

/// The default learning rate is no larger.
const MOST_DEFAULT_RATE: f64 = 0.01;

/// A loss scale of 65536 is 1 after 16 of them.
const MOST_TRIES: usize = 20;

/// `parity`
#[derive(Args, Debug)]
pub(crate) struct ParityArgs {
    #[command(flatten)]
    network: NetworkArgs,
    /// Training steps
    #[arg(long, default_value_t = 100, value_parser = at_least_one)]
    steps: usize,
    #[command(flatten)]
    optimizer: OptimizerArgs,
    /// Length of a step [default: 0.001 for rmsprop, adam and adamw, else 0.01]
    #[arg(long, allow_negative_numbers = true, value_parser = not_negative)]
    learning_rate: Option<f64>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Precision of all numbers
    #[arg(long, value_enum, default_value = "f32")]
    precision: Precision,
    /// JSON lines, the last one the result
    #[arg(long)]
    json: bool,
}

/// A line of `parity --json`.
#[derive(Serialize)]
struct LayerDifference {
    step: usize,
    layer: usize,
    difference: f64,
}

/// The last line of `parity --json`.
#[derive(Serialize)]
struct ParityResult<'a> {
    task: &'static str,
    net: String,
    batch: usize,
    device: &'a str,
    precision: &'static str,
    optimizer: String,
    steps: usize,
    largest: f64,
    /// Of the parameters of a layer, the largest root mean square of the differences, as a share of the parameters'.
    rms: f64,
}

/// Trains on both, and lists the largest difference of a parameter in each layer, as a share of the layer's largest.
pub(crate) fn run(args: &ParityArgs) -> Result<()> {
    match args.precision {
        Precision::F64 => compare::<f64>(args),
        _ => compare::<f32>(args),
    }
}

fn compare<T: Scalar>(args: &ParityArgs) -> Result<()> {
    let mut out = Output::new(args.json);
    let shape = BenchNetwork::new(&args.network, "lecun", 64)?;
    let cpu = args.device.open_cpu::<T>()?;
    let other = args.device.open::<T>(args.precision)?;
    let device = &other.device().name;
    let (mut network, mut twin) = (shape.network(&cpu)?, shape.network(&other)?);
    let mut reference = Side::new(&mut network, &shape, &cpu, args)?;
    let mut compared = Side::new(&mut twin, &shape, &other, args)?;
    let differences = train(&mut reference, &mut compared, args.steps, &mut out)?;
    let most = |which: fn(&Apart) -> f64| {
        differences.iter().flat_map(|(_, layers)| layers).map(which).fold(0.0, larger)
    };
    if !args.json {
        out.people(&differences_table(shape.sizes.len() - 1, &differences))?;
    }
    let result = ParityResult {
        task: "parity",
        net: name(&shape.sizes),
        batch: shape.batch,
        device,
        precision: args.precision.name(),
        optimizer: args.optimizer.name(),
        steps: args.steps,
        largest: most(|apart| apart.largest),
        rms: most(|apart| apart.rms),
    };
    let (precision, largest) = (result.precision, result.largest);
    let text = format!("between cpu and {device}, {precision}: {largest:.1e}");
    out.print(&result, &format!("largest relative difference {text}"))
}

/// How far a layer is from its twin, as shares of its parameters.
struct Apart {
    largest: f64,
    rms: f64,
}

/// Step, and the difference of each layer after it.
type Differences = Vec<(usize, Vec<Apart>)>;

fn train<T: Scalar>(
    reference: &mut Side<'_, T>,
    compared: &mut Side<'_, T>,
    steps: usize,
    out: &mut Output,
) -> Result<Differences> {
    let mut differences = Vec::new();
    for step in 1..=steps {
        reference.step()?;
        compared.step()?;
        if !is_listed(step) && step != steps {
            continue;
        }
        let layers = layer_differences(reference, compared)?;
        if out.is_json() {
            for (layer, apart) in (1..).zip(&layers) {
                out.json_line(&LayerDifference { step, layer, difference: apart.largest })?;
            }
            out.flush()?;
        }
        differences.push((step, layers));
    }
    Ok(differences)
}

fn differences_table(layers: usize, differences: &Differences) -> Vec<String> {
    let head = (1..=layers).map(|layer| format!("layer {layer}"));
    let mut rows: Vec<Vec<String>> = vec![std::iter::once("step".to_owned()).chain(head).collect()];
    rows.extend(differences.iter().map(|(step, layers)| {
        let layers = layers.iter().map(|apart| format!("{:.1e}", apart.largest));
        std::iter::once(step.to_string()).chain(layers).collect()
    }));
    table(&rows)
}

/// 1, 2, 5, 10, 20, 50 ...
fn is_listed(step: usize) -> bool {
    let mut power = 1;
    while power * 10 <= step {
        power *= 10;
    }
    [1, 2, 5].contains(&(step / power)) && step.is_multiple_of(power)
}

/// The larger number, or NaN if `b` is.
fn larger(a: f64, b: f64) -> f64 {
    if b > a || b.is_nan() { b } else { a }
}

/// One of the two trainings.
struct Side<'n, T: Scalar> {
    trainer: Trainer<'n, T>,
    input: Matrix<T>,
    target: Matrix<T>,
}

impl<'n, T: Scalar> Side<'n, T> {
    fn new(
        network: &'n mut Network<T>,
        shape: &BenchNetwork,
        engine: &Arc<dyn Engine<T>>,
        args: &ParityArgs,
    ) -> Result<Self> {
        let (input, target) = (shape.input(engine)?, shape.target(engine)?);
        // The same batch again and again is learned fast enough.
        let default = args.optimizer.default_rate().min(MOST_DEFAULT_RATE);
        let optimizer = args.optimizer.build(args.learning_rate.unwrap_or(default))?;
        let trainer = Trainer::builder(network, shape.loss, optimizer).batch(shape.batch).seed(1);
        let trainer = args.precision.of_trainer(trainer).build()?;
        Ok(Side { trainer, input, target })
    }

    /// A step that one side alone skips, because its scaled gradients are too large for 16 bits, would part the two: it is taken again.
    fn step(&mut self) -> Result<()> {
        for _ in 0..MOST_TRIES {
            let skipped = self.trainer.skipped_steps();
            self.trainer.step(self.input.view(), self.target.view())?;
            if self.trainer.skipped_steps() == skipped {
                break;
            }
        }
        Ok(())
    }

    /// Weights and bias of a layer.
    fn parameters(&self, layer: usize) -> Result<Vec<T>> {
        let layer = &self.trainer.layers()[layer];
        Ok([layer.weights().to_vec()?, layer.bias().to_vec()?].concat())
    }
}

fn layer_differences<T: Scalar>(a: &Side<'_, T>, b: &Side<'_, T>) -> Result<Vec<Apart>> {
    let apart = |layer| -> Result<Apart> {
        let (a, b) = (a.parameters(layer)?, b.parameters(layer)?);
        let differences = || a.iter().zip(&b).map(|(a, b)| a.to_f64() - b.to_f64());
        let all = || a.iter().map(|x| x.to_f64());
        let share = |part: f64, whole: f64| if part == 0.0 { 0.0 } else { part / whole };
        let largest = share(
            differences().map(f64::abs).fold(0.0, larger),
            all().map(f64::abs).fold(0.0, larger),
        );
        let squares = share(differences().map(|d| d * d).sum(), all().map(|x| x * x).sum());
        Ok(Apart { largest, rms: squares.sqrt() })
    };
    (0..a.trainer.layers().len()).map(apart).collect()
}
