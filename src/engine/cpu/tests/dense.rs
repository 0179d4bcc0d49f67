//! The fused calls of a dense layer, and losses.

use super::super::math::tanh;
use super::*;
use crate::engine::formula::formula;

formula!(Tanh = "tanh", |x, _p| tanh(x));
formula!(ByTanh = "by tanh", |g, a, p| g * (p[0] - a * a));
formula!(Square = "square", |y, t, p| (y - t) * (y - t) * p[0]);
formula!(Difference = "difference", |y, t, p| (y - t) * (p[0] + p[0]));
static TANH: Map = Map::of::<Tanh>();
static BY_TANH: Zip = Zip::of::<ByTanh>();
static SQUARE: Zip = Zip::of::<Square>();
static DIFFERENCE: Zip = Zip::of::<Difference>();

/// Outputs, samples, inputs: one of them large enough for two threads.
const SHAPES: [[usize; 3]; 9] = [
    [1, 1, 1],
    [10, 64, 100],
    [30, 10, 784],
    [300, 1, 90],
    [1, 64, 33],
    [33, 13, 17],
    [257, 70, 130],
    [16, 12, 8],
    [40, 25, 2100],
];
const LIES: [Lie; 4] = [Lie::Columns, Lie::Gaps, Lie::Rows, Lie::Sparse];

fn softmax(column: &[f64]) -> Vec<f64> {
    let largest = column.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = column.iter().map(|x| (x - largest).exp()).sum();
    column.iter().map(|x| (x - largest).exp() / sum).collect()
}

/// `W x + b 1^T`, column by column, of the matrices that [`check_forward`] makes.
fn sums<T: Scalar>([outputs, samples, inputs]: [usize; 3]) -> Vec<f64> {
    let noise = |rows, columns, seed| Grid::<T>::noise(rows, columns, Lie::Columns, seed).values();
    let (weights, input, bias) = (noise(outputs, inputs, 1), noise(inputs, samples, 2), noise(outputs, 1, 3));
    let column = |x: &[f64]| {
        let mut sums = bias.clone();
        for (weights, x) in weights.chunks(outputs).zip(x) {
            sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += weight * x);
        }
        sums
    };
    input.chunks(inputs).flat_map(column).collect()
}

fn forward<T: Scalar>() {
    for isa in isas() {
        let engine = engine::<T>(isa, 2);
        for (variant, shape) in SHAPES.into_iter().enumerate() {
            let sums = sums::<T>(shape);
            for transfer in [Transfer::Identity, Transfer::Map(&TANH, [0.0; 4]), Transfer::Softmax] {
                for z_lie in [None, Some(LIES[variant % 4]), Some(LIES[0])] {
                    for lie in LIES {
                        check_forward(&engine, &sums, shape, transfer, z_lie, lie);
                    }
                }
            }
        }
    }
}

fn check_forward<T: Scalar>(
    engine: &Arc<dyn Engine<T>>,
    sums: &[f64],
    [outputs, samples, inputs]: [usize; 3],
    transfer: Transfer,
    z_lie: Option<Lie>,
    lie: Lie,
) {
    // Softmax wants the elements of a column side by side.
    if matches!(transfer, Transfer::Softmax) && matches!(lie, Lie::Rows | Lie::Sparse) {
        return;
    }
    let mut weights = Grid::<T>::noise(outputs, inputs, Lie::Columns, 1);
    let mut input = Grid::<T>::noise(inputs, samples, lie, 2);
    let mut bias = Grid::<T>::noise(outputs, 1, lie, 3);
    let nan = |lie| Grid::<T>::new(outputs, samples, lie, |_, _| f64::NAN);
    let (mut output, mut z) = (nan(lie), z_lie.map(nan));
    let call = DenseForward {
        weights: weights.span(),
        input: input.span(),
        bias: bias.span(),
        transfer,
        z: z.as_mut().map(Grid::span),
        output: output.span(),
    };
    unsafe { engine.dense_forward(&call).unwrap() };
    let results: Vec<f64> = match transfer {
        Transfer::Identity => sums.to_vec(),
        Transfer::Map(..) => sums.iter().map(|x| x.tanh()).collect(),
        Transfer::Softmax => sums.chunks(outputs).flat_map(softmax).collect(),
    };
    // The derivatives of tanh and softmax are at most 1, so an error of z is no larger in a.
    let bound = epsilon::<T>() * ((inputs + 4) as f64 * (inputs + 1) as f64 + 8.0);
    let what = format!("{} {outputs}x{samples}x{inputs} {z_lie:?} {lie:?}", engine.device().description);
    output.check(&what, |i, j| results[j * outputs + i], |_, _| bound);
    if let Some(z) = z {
        z.check(&what, |i, j| sums[j * outputs + i], |_, _| bound);
    }
}

#[test]
fn forward_f32() {
    forward::<f32>();
}

#[test]
fn forward_f64() {
    forward::<f64>();
}

fn propagate<T: Scalar>() {
    for isa in isas() {
        let engine = engine::<T>(isa, 2);
        for [inputs, samples, outputs] in SHAPES {
            for lie in LIES {
                check_propagate(&engine, [inputs, samples, outputs], lie);
            }
        }
    }
}

fn check_propagate<T: Scalar>(engine: &Arc<dyn Engine<T>>, [inputs, samples, outputs]: [usize; 3], lie: Lie) {
    let mut weights = Grid::<T>::noise(outputs, inputs, Lie::Columns, 1);
    let mut delta = Grid::<T>::noise(outputs, samples, lie, 2);
    let mut kept = Grid::<T>::noise(inputs, samples, lie, 3);
    let back: Vec<f64> = {
        let element = |n: usize| (0..outputs).map(|l| weights.get(l, n % inputs) * delta.get(l, n / inputs)).sum();
        (0..inputs * samples).map(element).collect()
    };
    let what = format!("{} {inputs}x{samples}x{outputs} {lie:?}", engine.device().description);
    let bound = epsilon::<T>() * 4.0 * ((outputs + 4) * (outputs + inputs)) as f64;
    for (kind, derivative) in [
        Derivative::One,
        Derivative::Zip(&BY_TANH, [1.0, 0.0, 0.0, 0.0], kept.span()),
        Derivative::Softmax(kept.span()),
    ]
    .into_iter()
    .enumerate()
    {
        if kind == 2 && matches!(lie, Lie::Rows | Lie::Sparse) {
            continue;
        }
        let mut out = Grid::<T>::new(inputs, samples, lie, |_, _| f64::NAN);
        unsafe { engine.dense_propagate(weights.span(), delta.span(), derivative, out.span()).unwrap() };
        let dot = |j| (0..inputs).map(|i| back[j * inputs + i] * kept.get(i, j)).sum::<f64>();
        let dots: Vec<f64> = (0..samples).map(dot).collect();
        let value = |i, j| match kind {
            0 => back[j * inputs + i],
            1 => back[j * inputs + i] * (1.0 - kept.get(i, j).powi(2)),
            _ => kept.get(i, j) * (back[j * inputs + i] - dots[j]),
        };
        out.check(&what, value, |_, _| bound * if kind == 2 { inputs as f64 } else { 1.0 });
    }
}

#[test]
fn propagate_f32() {
    propagate::<f32>();
}

#[test]
fn propagate_f64() {
    propagate::<f64>();
}

fn gradient<T: Scalar>() {
    for isa in isas() {
        let engine = engine::<T>(isa, 2);
        for [outputs, samples, inputs] in SHAPES {
            for (scale, keep) in [(1.0, 0.0), (-0.5, 0.9), (2.0, 1.0)] {
                for lie in [Lie::Columns, Lie::Gaps, Lie::Rows] {
                    check_gradient(&engine, [outputs, samples, inputs], (scale, keep), lie);
                }
            }
        }
    }
}

fn check_gradient<T: Scalar>(
    engine: &Arc<dyn Engine<T>>,
    [outputs, samples, inputs]: [usize; 3],
    (scale, keep): (f64, f64),
    lie: Lie,
) {
    let mut delta = Grid::<T>::noise(outputs, samples, lie, 1);
    let mut input = Grid::<T>::noise(inputs, samples, lie, 2);
    let before = |columns, seed| match keep {
        0.0 => Grid::<T>::new(outputs, columns, Lie::Columns, |_, _| f64::NAN),
        _ => Grid::<T>::noise(outputs, columns, Lie::Columns, seed),
    };
    let (weights_before, bias_before) = (before(inputs, 3), before(1, 4));
    let (mut weights, mut bias) = (weights_before.clone(), bias_before.clone());
    let call = DenseGradient {
        delta: delta.span(),
        input: input.span(),
        weights: weights.span(),
        bias: bias.span(),
        scale,
        keep,
    };
    unsafe { engine.dense_gradient(&call).unwrap() };
    let kept = |grid: &Grid<T>, i, j| if keep == 0.0 { 0.0 } else { keep * grid.get(i, j) };
    let scale = scale / samples as f64;
    let dot = |i, j| (0..samples).map(|s| delta.get(i, s) * input.get(j, s)).sum::<f64>();
    let what = format!("{} {outputs}x{samples}x{inputs} {scale} {keep} {lie:?}", engine.device().description);
    let bound = epsilon::<T>() * 3.0 * (samples + 6) as f64;
    weights.check(&what, |i, j| scale * dot(i, j) + kept(&weights_before, i, j), |_, _| bound);
    let sum = |i| (0..samples).map(|s| delta.get(i, s)).sum::<f64>();
    bias.check(&what, |i, j| scale * sum(i) + kept(&bias_before, i, j), |_, _| bound);
}

#[test]
fn gradient_f32() {
    gradient::<f32>();
}

#[test]
fn gradient_f64() {
    gradient::<f64>();
}

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
            for lie in [Lie::Columns, Lie::Gaps] {
                for entropy in [false, true] {
                    for with_delta in 0..3 {
                        check_loss(&engine, (outputs, samples), lie, entropy, with_delta);
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
    lie: Lie,
    entropy: bool,
    with_delta: usize,
) {
    let mut output = Grid::<T>::noise(outputs, samples, lie, 1);
    let mut target = Grid::<T>::noise(outputs, samples, lie, 2);
    let mut values = Grid::<T>::new(1, samples, Lie::Columns, |_, _| f64::NAN);
    let mut delta = Grid::<T>::new(outputs, samples, lie, |_, _| f64::NAN);
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
        output: output.span(),
        target: target.span(),
        values: values.span(),
        delta: (with_delta > 0).then(|| delta.span()),
        derivative,
    };
    unsafe { engine.loss(&call).unwrap() };
    let (y, t) = (output.values(), target.values());
    let references: Vec<(f64, Vec<f64>)> =
        y.chunks(outputs).zip(t.chunks(outputs)).map(|(y, t)| loss_reference(entropy, y, t)).collect();
    let what = format!("{} {outputs}x{samples} {lie:?} {entropy}", engine.device().description);
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
fn softmax_keeps_what_is_not_finite() {
    for isa in isas() {
        let engine = engine::<f32>(isa, 1);
        let columns: [[f32; 3]; 4] =
            [[1e30, 0.0, -1e30], [f32::NEG_INFINITY, 0.0, 0.0], [f32::NAN, 0.0, 1.0], [0.0, 1.0, f32::NAN]];
        let mut weights = Grid::<f32>::new(3, 3, Lie::Columns, |_, _| 0.0);
        let mut input = Grid::<f32>::new(3, 4, Lie::Columns, |_, _| 0.0);
        let mut output = Grid::<f32>::new(3, 4, Lie::Columns, |_, _| f64::NAN);
        for (j, column) in columns.iter().enumerate() {
            let mut bias = Grid::<f32>::new(3, 1, Lie::Columns, |i, _| f64::from(column[i]));
            let call = DenseForward {
                weights: weights.span(),
                input: input.span().columns(j, 1),
                bias: bias.span(),
                transfer: Transfer::Softmax,
                z: None,
                output: output.span().columns(j, 1),
            };
            unsafe { engine.dense_forward(&call).unwrap() };
        }
        assert_eq!(output.values()[..6], [1.0, 0.0, 0.0, 0.0, 0.5, 0.5]);
        assert!(output.values()[6..].iter().all(|x| x.is_nan()));
    }
}

#[test]
fn counts_hits() {
    let engine = engine::<f32>(Isa::best(), 1);
    let hits = |rows: usize, output: &[f64], target: &[f64]| {
        for lie in LIES {
            let columns = output.len() / rows;
            let mut output = Grid::<f32>::new(rows, columns, lie, |i, j| output[j * rows + i]);
            let mut target = Grid::<f32>::new(rows, columns, lie, |i, j| target[j * rows + i]);
            let mut hits = Grid::<f32>::new(1, columns, Lie::Columns, |_, _| f64::NAN);
            unsafe { engine.hits(output.span(), target.span(), 0.25, hits.span()).unwrap() };
            if matches!(lie, Lie::Sparse) {
                return hits.values();
            }
        }
        unreachable!()
    };
    assert_eq!(hits(3, &[1., 2., 3., 3., 3., 1., 0., 9., 8.], &[0., 0., 1., 1., 0., 0., 0., 0., 1.]), [1., 1., 0.]);
    assert_eq!(hits(1, &[0.3, 0.3, 0.2, 0.2], &[1., 0., 1., 0.]), [1., 0., 0., 1.]);
}
