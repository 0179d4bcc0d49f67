//! `travertine parity`: the same training on the CPU and on another device, side by side.

use std::sync::Arc;

use serde_json::json;
use travertine::engine::{self, Engine, Settings};
use travertine::{Matrix, Network, Result, Scalar, Trainer};

use crate::args::ParityArgs;
use crate::devices;
use crate::output::{Output, table};
use crate::work::{Work, name};

/// The learning rate where nobody gives one is no larger.
const MOST_USUAL_RATE: f64 = 0.01;

/// Trains on both and lists, layer by layer, the largest difference of a parameter, as a share of the layer's largest.
pub(crate) fn run<T: Scalar>(args: &ParityArgs) -> Result<()> {
    let mut out = Output::new(args.json);
    let work = Work::new(&args.network, "lecun", 64)?;
    let cpu = engine::open_with::<T>(
        "cpu",
        &args.device.threads.map_or_else(Settings::default, Settings::threads),
    )?;
    let other = devices::open::<T>(&args.device, args.precision)?;
    let device = &other.device().name;
    let mut differences: Vec<(usize, Vec<f64>)> = Vec::new();
    let (mut network, mut twin) = (work.network(&cpu)?, work.network(&other)?);
    let mut reference = Side::new(&mut network, &work, &cpu, args)?;
    let mut compared = Side::new(&mut twin, &work, &other, args)?;
    for step in 1..=args.steps {
        reference.step()?;
        compared.step()?;
        if is_told(step) || step == args.steps {
            let apart = differences_of(&reference, &compared)?;
            for (layer, difference) in apart.iter().enumerate().filter(|_| args.json) {
                let json = [
                    ("step", json!(step)),
                    ("layer", json!(layer + 1)),
                    ("difference", json!(difference)),
                ];
                out.tell(&json, "")?;
            }
            differences.push((step, apart));
        }
    }
    let largest = differences
        .iter()
        .flat_map(|(_, apart)| apart)
        .fold(0.0, |a: f64, &b| if b > a || b.is_nan() { b } else { a });
    let head = std::iter::once("step".to_owned())
        .chain((1..work.sizes.len()).map(|layer| format!("layer {layer}")));
    let mut rows: Vec<Vec<String>> = vec![head.collect()];
    rows.extend(differences.iter().map(|(step, apart)| {
        std::iter::once(step.to_string())
            .chain(apart.iter().map(|difference| format!("{difference:.1e}")))
            .collect()
    }));
    if !args.json {
        table(&rows).iter().try_for_each(|line| out.line(line))?;
    }
    let precision = args.precision.name();
    let json = [
        ("task", json!("parity")),
        ("net", json!(name(&work.sizes))),
        ("batch", json!(work.batch)),
        ("device", json!(device)),
        ("precision", json!(precision)),
        ("optimizer", json!(args.optimizer.name())),
        ("steps", json!(args.steps)),
        ("largest", json!(largest)),
    ];
    out.tell(
        &json,
        &format!(
            "largest relative difference between cpu and {device}, {precision}: {largest:.1e}"
        ),
    )
}

/// 1, 2, 5, 10, 20, 50 ...
fn is_told(step: usize) -> bool {
    let mut power = 1;
    while power * 10 <= step {
        power *= 10;
    }
    [1, 2, 5].contains(&(step / power)) && step.is_multiple_of(power)
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
        work: &Work,
        engine: &Arc<dyn Engine<T>>,
        args: &ParityArgs,
    ) -> Result<Self> {
        let (input, target) = (work.input(engine)?, work.target(engine)?);
        // The same batch again and again is learned fast enough.
        let rate = args.learning_rate.unwrap_or(args.optimizer.usual_rate().min(MOST_USUAL_RATE));
        let trainer = Trainer::new(network, work.loss, args.optimizer.build(rate)?, work.batch, 1)?;
        let trainer = args.precision.of_trainer(trainer)?;
        Ok(Side { trainer, input, target })
    }

    fn step(&mut self) -> Result<()> {
        self.trainer.step(self.input.view(), self.target.view())
    }

    /// Weights and bias of a layer.
    fn parameters(&self, layer: usize) -> Result<Vec<T>> {
        let layer = &self.trainer.layers()[layer];
        Ok([layer.weights().to_vec()?, layer.bias().to_vec()?].concat())
    }
}

fn differences_of<T: Scalar>(a: &Side<'_, T>, b: &Side<'_, T>) -> Result<Vec<f64>> {
    let largest = |a: f64, b: f64| if b > a || b.is_nan() { b } else { a };
    (0..a.trainer.layers().len())
        .map(|layer| {
            let (a, b) = (a.parameters(layer)?, b.parameters(layer)?);
            let size = a.iter().fold(0.0, |size, x| largest(size, x.to_f64().abs()));
            let apart = a
                .iter()
                .zip(&b)
                .fold(0.0, |apart, (a, b)| largest(apart, (a.to_f64() - b.to_f64()).abs()));
            Ok(if apart == 0.0 { 0.0 } else { apart / size })
        })
        .collect()
}
