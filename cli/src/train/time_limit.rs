//! `--time-limit`: fewer epochs, so that a schedule is as whole as in a longer training.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use travertine::engine::Engine;
use travertine::processes::Group;
use travertine::{Result, Samples, Scalar};

use crate::message::{counted, note, warn};
use crate::output::text::digits;
use crate::train::data::TrainingData;
use crate::train::output_layer::OutputLayer;
use crate::train::recipe::Recipe;

/// Seconds of steps that are timed.
const TIMED: f64 = 0.5;
/// The share of the limit that is planned with: other programs may take more of the machine than while steps were timed.
const PLANNED: f64 = 0.9;

/// The recipe with as many epochs as fit into the limit, in seconds, for so many networks, but no more than it has; says how many,
/// and why. Collective.
pub(crate) fn shorten<T: Scalar>(
    recipe: Recipe,
    (limit, networks): (f64, usize),
    group: &Group,
    engine: &Arc<dyn Engine<T>>,
    (data, output): (&TrainingData<T>, &OutputLayer),
) -> Result<Recipe> {
    let begin = Instant::now();
    let epoch = time_epoch(&recipe, group, engine, (data, output))?;
    let left = (limit * PLANNED - begin.elapsed().as_secs_f64()).max(0.0) / networks as f64;
    let fit = group.broadcast(&((left / epoch) as u64).to_le_bytes())?;
    let fit = u64::from_le_bytes(fit.try_into().unwrap_or_default()) as usize;
    let epochs = recipe.epochs();
    if fit >= epochs {
        return Ok(recipe);
    }
    let fit = fit.max(1);
    let seconds = digits(epoch);
    note(&format!(
        "--time-limit {limit}: an epoch takes {seconds} s, so --epochs {fit} instead of {epochs}, which repeats this training on any machine"
    ));
    if epoch > left {
        let one = counted(fit, "epoch", "epochs");
        warn(&format!("--time-limit {limit}: {one} takes longer"));
    }
    Ok(recipe.with_epochs(fit))
}

/// Seconds that an epoch and its test take, measured with a network of its own.
fn time_epoch<T: Scalar>(
    recipe: &Recipe,
    group: &Group,
    engine: &Arc<dyn Engine<T>>,
    (data, output): (&TrainingData<T>, &OutputLayer),
) -> Result<f64> {
    let samples = data.train.samples();
    let mut network = recipe.network(engine, data, output.activation)?;
    let mut trainer = recipe.trainer(&mut network, output.learned_loss, samples)?;
    let mut train = recipe.training_samples(engine, &data.train)?;
    // Of several processes the first decides.
    let decided = |seconds: f64| -> Result<f64> {
        let bytes = group.broadcast(&seconds.to_le_bytes())?;
        Ok(f64::from_le_bytes(bytes.try_into().unwrap_or_default()))
    };
    let (mut steps, mut seconds) = (0u32, 0.0);
    // The first step also compiles kernels and fills caches.
    let mut start: Option<Instant> = None;
    while seconds < TIMED {
        let run = trainer.epoch_until(&mut train, |progress| {
            let Some(begin) = start else {
                progress.report()?;
                start = Some(Instant::now());
                return Ok(ControlFlow::Continue(()));
            };
            steps += 1;
            if begin.elapsed().as_secs_f64() < TIMED {
                return Ok(ControlFlow::Continue(()));
            }
            // Waits for the device.
            progress.report()?;
            Ok(ControlFlow::Break(()))
        });
        seconds = decided(start.map_or(0.0, |start| start.elapsed().as_secs_f64()))?;
        // Divergence is reported by the training itself; here only the time counts.
        if run.is_err() {
            break;
        }
    }
    let step = if steps == 0 { seconds } else { seconds / f64::from(steps) };
    let test = data.test.as_ref().map(|test| Samples::new(engine, test)).transpose()?;
    let tested = match test {
        Some(test) => {
            trainer.evaluate(&test)?;
            let start = Instant::now();
            trainer.evaluate(&test)?;
            start.elapsed().as_secs_f64()
        }
        None => 0.0,
    };
    decided(step * samples.div_ceil(recipe.batch(samples)) as f64 + tested)
}
