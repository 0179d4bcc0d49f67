//! `--calibrate`: of the answers with a probability of 80 % about 80 % should be right, and a tenth of the values below the quantile 0.1.

use travertine::data::{Dataset, Targets};
use travertine::layer::LayerKind;
use travertine::metrics;
use travertine::{Activation, Matrix, Network, Quantiles, Result, Scalar};

use crate::message::{note, wrong};
use crate::output::text::digits;
use crate::train::output_layer::OutputLayer;

/// The least probability whose logarithm is taken.
const LEAST: f64 = 1e-30;
/// Samples below which their best temperature is chance.
const LEAST_SAMPLES: usize = 20;

/// An entry of the model file.
pub(crate) type Entry = (&'static str, String);

/// Refuses outputs that cannot be calibrated; `tested`: samples held out.
pub(crate) fn check(
    output: &OutputLayer,
    (classes, has_members): (usize, bool),
    tested: Option<usize>,
) -> Result<()> {
    const UNTESTED: &str = "needs samples to test on; see --held-out and --test";
    let reason = match (output.loss.quantiles(), output.activation, tested) {
        (Some(quantiles), Activation::Identity, Some(samples)) => {
            return check_levels(&quantiles, samples);
        }
        (Some(_), Activation::Identity, None) => UNTESTED,
        (Some(_), ..) => "of quantiles is for linear outputs",
        (None, ..) if classes == 0 => "is for classes and --quantiles, but the label is values",
        (None, ..) if has_members => {
            "is for one network: the mean of members has no logits to divide"
        }
        (None, Activation::Softmax, Some(samples)) if samples < LEAST_SAMPLES => {
            let reason = format!(
                "{samples} samples held out are too few for a temperature; at least {LEAST_SAMPLES} are needed"
            );
            return Err(wrong("--calibrate", reason));
        }
        (None, Activation::Softmax, Some(_)) => return Ok(()),
        (None, Activation::Softmax, None) => UNTESTED,
        _ => "is for outputs with softmax",
    };
    Err(wrong("--calibrate", reason))
}

/// Refuses levels that so few samples say nothing about.
fn check_levels(quantiles: &Quantiles, samples: usize) -> Result<()> {
    let says_nothing = |level: &&f64| rank(**level, samples).is_none();
    let Some(level) = quantiles.levels().iter().find(says_nothing) else { return Ok(()) };
    let needed = (1.0 / level.min(1.0 - level)).ceil();
    let reason = format!(
        "{samples} samples held out are too few for the quantile {level}; at least {needed} are needed"
    );
    Err(wrong("--calibrate", &reason))
}

/// Calibrates a network by these samples, whose targets are those that it learned. Says how.
pub(crate) fn calibrate<T: Scalar>(
    network: &mut Network<T>,
    output: &OutputLayer,
    test: &Dataset<T>,
) -> Result<Entry> {
    let x = Matrix::from_slice(network.engine(), test.inputs(), test.samples(), test.features())?;
    let answers = network.infer(x.view())?.to_vec()?;
    let answers: Vec<f64> = answers.into_iter().map(T::to_f64).collect();
    match (test.targets(), output.loss.quantiles()) {
        (Targets::Classes { labels, names }, _) => {
            divide_logits(network, &answers, (labels, names.len()))
        }
        (Targets::Values { values, .. }, Some(quantiles)) => {
            move_quantiles(network, &quantiles, &answers, values)
        }
        _ => Ok(("calibration", "none".to_owned())),
    }
}

/// Divides the logits of a network that ends in softmax by the temperature that suits the samples best (Guo et al., "On Calibration of
/// Modern Neural Networks", 2017): the weights and the bias of its last layer are divided.
fn divide_logits<T: Scalar>(
    network: &mut Network<T>,
    probabilities: &[f64],
    (labels, classes): (&[u32], usize),
) -> Result<Entry> {
    let samples = labels.len();
    let is_right =
        |(answer, &label): (&[f64], &u32)| answer.iter().all(|p| *p <= answer[label as usize]);
    if probabilities.chunks_exact(classes).zip(labels).all(is_right) {
        // The lower the temperature, the better it would seem.
        note(&format!(
            "--calibrate: the probabilities stay as they are, because all {samples} samples held out are answered right: they do not say how sure the model should be"
        ));
        return Ok(("temperature", "1".to_owned()));
    }
    let logits: Vec<f64> = probabilities.iter().map(|p| p.max(LEAST).ln()).collect();
    let temperature = metrics::temperature(classes, labels, &logits)?;
    let divided = |values: Vec<T>| -> Vec<T> {
        values.iter().map(|x| T::from_f64(x.to_f64() / temperature)).collect()
    };
    if let Some(last) = network.layers_mut().last_mut() {
        let (weights, bias) = (divided(last.weights().to_vec()?), divided(last.bias().to_vec()?));
        last.weights_mut().write(&weights)?;
        last.bias_mut().write(&bias)?;
    }
    let text = digits(temperature);
    note(&format!(
        "--calibrate: the logits are divided by {text}, the temperature of {samples} samples held out; only other samples can judge that"
    ));
    Ok(("temperature", temperature.to_string()))
}

/// Moves each quantile so that its share of the samples lies below it (Romano, Patterson and Candès, "Conformalized Quantile Regression",
/// 2019, each side by itself): a new sample like these then does with at least, or at most, the probability of the level. The bias of the
/// last layer with parameters is moved. `predicted` and `truth`: `quantiles x samples`.
fn move_quantiles<T: Scalar>(
    network: &mut Network<T>,
    quantiles: &Quantiles,
    predicted: &[f64],
    truth: &[f64],
) -> Result<Entry> {
    let levels = quantiles.levels();
    let samples = truth.len() / levels.len();
    let shift = |(row, level): (usize, &f64)| {
        let pairs = truth.iter().zip(predicted).skip(row).step_by(levels.len());
        let mut residuals: Vec<f64> = pairs.map(|(t, p)| t - p).collect();
        residuals.sort_unstable_by(f64::total_cmp);
        rank(*level, samples).map_or(0.0, |rank| residuals[rank - 1])
    };
    let shifts: Vec<f64> = levels.iter().enumerate().map(shift).collect();
    // A mean of members has no parameters; the heads of all members move.
    let layers = network.layers_mut().iter_mut().rev();
    if let Some(last) = layers.into_iter().find(|layer| layer.kind() != LayerKind::MemberMean) {
        let bias = last.bias().to_vec()?;
        let moved = bias.iter().zip(shifts.iter().cycle()).map(|(b, shift)| b.to_f64() + shift);
        let moved: Vec<T> = moved.map(T::from_f64).collect();
        last.bias_mut().write(&moved)?;
    }
    note(&format!(
        "--calibrate: each quantile is moved so that its share of {samples} samples held out lies below it; only other samples can judge that"
    ));
    Ok(("calibration", format!("quantiles moved by {samples} samples held out")))
}

/// Which of so many residuals in ascending order moves the quantile of this level, from 1 on; nothing where there are too few. Levels below a
/// half are rounded down and others up, so that an interval is rather too wide.
fn rank(level: f64, samples: usize) -> Option<usize> {
    let place = level * (samples as f64 + 1.0);
    let place = if level < 0.5 { place.floor() } else { place.ceil() };
    (1.0..=samples as f64).contains(&place).then_some(place as usize)
}
