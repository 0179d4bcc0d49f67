//! `--calibrate`: temperature scaling, so that of the answers with a probability of 80 % about 80 % are right.

use travertine::data::{Dataset, Targets};
use travertine::metrics;
use travertine::{Activation, Matrix, Network, Result, Scalar};

use crate::message::{note, wrong};
use crate::output::text::digits;
use crate::train::output_layer::OutputLayer;

/// The least probability whose logarithm is taken.
const LEAST: f64 = 1e-30;

/// Refuses outputs that temperature scaling is not for.
pub(crate) fn check(
    output: &OutputLayer,
    (classes, has_members): (usize, bool),
    is_tested: bool,
) -> Result<()> {
    let reason = match output.activation {
        _ if has_members => "is for one network: the mean of members has no logits to divide",
        _ if classes == 0 => "is for classes, but the label is values",
        Activation::Softmax if is_tested => return Ok(()),
        Activation::Softmax => "needs samples to test on; see --held-out and --test",
        _ => "is for outputs with softmax",
    };
    Err(wrong("--calibrate", reason))
}

/// Divides the logits of a network that ends in softmax by the temperature that suits these samples best (Guo et al., "On Calibration of
/// Modern Neural Networks", 2017): the weights and the bias of its last layer are divided. Says and returns it.
pub(crate) fn calibrate<T: Scalar>(network: &mut Network<T>, test: &Dataset<T>) -> Result<f64> {
    let Targets::Classes { labels, names } = test.targets() else { return Ok(1.0) };
    let (inputs, samples) = (test.inputs(), test.samples());
    let x = Matrix::from_slice(network.engine(), inputs, samples, test.features())?;
    let probabilities = network.infer(x.view())?.to_vec()?;
    let logits: Vec<f64> = probabilities.iter().map(|p| p.to_f64().max(LEAST).ln()).collect();
    let temperature = metrics::temperature(names.len(), labels, &logits)?;
    let Some(last) = network.layers_mut().last_mut() else { return Ok(1.0) };
    let divided = |values: Vec<T>| -> Vec<T> {
        values.iter().map(|x| T::from_f64(x.to_f64() / temperature)).collect()
    };
    let (weights, bias) = (divided(last.weights().to_vec()?), divided(last.bias().to_vec()?));
    last.weights_mut().write(&weights)?;
    last.bias_mut().write(&bias)?;
    let text = digits(temperature);
    note(&format!(
        "--calibrate: the logits are divided by {text}, the temperature of {samples} samples held out"
    ));
    Ok(temperature)
}
