//! Losses and hits.

use super::dense::{BY_TANH, softmax};
use super::*;
use crate::engine::formula::formula;

formula!(Square = "square", |y, t, p| (y - t) * (y - t) * p[0]);
formula!(Difference = "difference", |y, t, p| (y - t) * (p[0] + p[0]));
static SQUARE: Zip = Zip::of::<Square>();
static DIFFERENCE: Zip = Zip::of::<Difference>();

/// The loss of one sample and its gradient.
fn loss_reference(entropy: bool, y: &[f64], t: &[f64]) -> (f64, Vec<f64>) {
    if entropy {
        let softmax = softmax(y);
        let targets: f64 = t.iter().sum();
        let value = t.iter().zip(&softmax).map(|(t, s)| -t * s.ln()).sum();
        (value, t.iter().zip(&softmax).map(|(t, s)| targets * s - t).collect())
    } else {
        let squares = y.iter().zip(t).map(|(y, t)| 0.5 * (y - t) * (y - t));
        (squares.sum(), y.iter().zip(t).map(|(y, t)| y - t).collect())
    }
}

fn losses<T: Scalar>() {
    for isa in isas() {
        let engine = engine::<T>(isa, 2);
        for (outputs, samples) in [(1, 1), (1, 64), (10, 64), (17, 3), (16, 5), (1000, 40)] {
            for layout in [Layout::Columns, Layout::Gaps] {
                for entropy in [false, true] {
                    for with_delta in 0..3 {
                        check_loss(&engine, (outputs, samples), layout, entropy, with_delta);
                    }
                }
            }
        }
    }
}

/// `with_delta`: 0 without a gradient, 1 with it, 2 with it times a derivative.
fn check_loss<T: Scalar>(
    engine: &Arc<dyn Engine<T>>,
    (outputs, samples): (usize, usize),
    layout: Layout,
    entropy: bool,
    with_delta: usize,
) {
    let mut output = Grid::<T>::noise(outputs, samples, layout, 1);
    let mut target = Grid::<T>::noise(outputs, samples, layout, 2);
    let mut values = Grid::<T>::new(1, samples, Layout::Columns, |_, _| f64::NAN);
    let mut delta = Grid::<T>::new(outputs, samples, layout, |_, _| f64::NAN);
    let p = [0.5, 0.0, 0.0, 0.0];
    let formula = match entropy {
        true => LossFormula::SoftmaxCrossEntropy,
        false => LossFormula::Elements { value: &SQUARE, gradient: &DIFFERENCE, p },
    };
    let derivative = match with_delta {
        2 => Derivative::Zip(&BY_TANH, [1.0, 0.0, 0.0, 0.0], output.span()),
        _ => Derivative::One,
    };
    let call = LossCall {
        formula,
        first_by_row: None,
        output: output.span(),
        target: target.span(),
        values: values.span(),
        delta: (with_delta > 0).then(|| delta.span()),
        derivative,
    };
    unsafe { engine.loss(&call).unwrap() };
    let (y, t) = (output.values(), target.values());
    let references: Vec<(f64, Vec<f64>)> = y
        .chunks(outputs)
        .zip(t.chunks(outputs))
        .map(|(y, t)| loss_reference(entropy, y, t))
        .collect();
    let what = format!("{} {outputs}x{samples} {layout:?} {entropy}", engine.device().description);
    let bound = epsilon::<T>() * (outputs + 10) as f64 * 4.0;
    // The sum of as many terms, each at most 8.
    values.check(&what, |_, j| references[j].0, |_, _| bound * 8.0 * outputs as f64);
    if with_delta > 0 {
        let by = |i, j| if with_delta == 2 { 1.0 - output.get(i, j).powi(2) } else { 1.0 };
        delta.check(&what, |i, j| references[j].1[i] * by(i, j), |_, _| bound);
    }
}

#[test]
fn losses_f32() {
    losses::<f32>();
}

#[test]
fn losses_f64() {
    losses::<f64>();
}

#[test]
fn counts_hits() {
    let engine = engine::<f32>(Isa::best(), 1);
    let hits = |rows: usize, output: &[f64], target: &[f64]| {
        for layout in [Layout::Columns, Layout::Gaps, Layout::Rows, Layout::Sparse] {
            let columns = output.len() / rows;
            let mut output = Grid::<f32>::new(rows, columns, layout, |i, j| output[j * rows + i]);
            let mut target = Grid::<f32>::new(rows, columns, layout, |i, j| target[j * rows + i]);
            let mut hits = Grid::<f32>::new(1, columns, Layout::Columns, |_, _| f64::NAN);
            unsafe { engine.hits(output.span(), target.span(), 0.25, hits.span()).unwrap() };
            if matches!(layout, Layout::Sparse) {
                return hits.values();
            }
        }
        unreachable!()
    };
    assert_eq!(
        hits(3, &[1., 2., 3., 3., 3., 1., 0., 9., 8.], &[0., 0., 1., 1., 0., 0., 0., 0., 1.]),
        [1., 1., 0.]
    );
    assert_eq!(hits(1, &[0.3, 0.3, 0.2, 0.2], &[1., 0., 1., 0.]), [1., 0., 0., 1.]);
}
