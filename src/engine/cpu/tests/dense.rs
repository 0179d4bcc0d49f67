//! The fused calls of a dense layer.

use super::*;
use crate::engine::formula::formula;
use crate::engine::simd::math::tanh;

formula!(Tanh = "tanh", |x, _p| tanh(x));
formula!(ByTanh = "by tanh", |g, a, p| g * (p[0] - a * a));
static TANH: Map = Map::of::<Tanh>();
pub(super) static BY_TANH: Zip = Zip::of::<ByTanh>();

/// Outputs, samples, inputs: one of them large enough for two threads.
const SHAPES: [[usize; 3]; 9] = [
    [1, 1, 1],
    [10, 64, 100],
    [30, 10, 784],
    [300, 1, 90],
    [1, 64, 33],
    [33, 13, 17],
    [257, 30, 90],
    [16, 12, 8],
    [40, 13, 1030],
];
const LAYOUTS: [Layout; 4] = [Layout::Columns, Layout::Gaps, Layout::Rows, Layout::Sparse];

pub(super) fn softmax(column: &[f64]) -> Vec<f64> {
    let largest = column.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = column.iter().map(|x| (x - largest).exp()).sum();
    column.iter().map(|x| (x - largest).exp() / sum).collect()
}

/// `W x + b 1^T`, column by column, of the matrices that [`check_forward`] makes.
fn sums<T: Scalar>([outputs, samples, inputs]: [usize; 3]) -> Vec<f64> {
    let noise =
        |rows, columns, seed| Grid::<T>::noise(rows, columns, Layout::Columns, seed).values();
    let (weights, input, bias) =
        (noise(outputs, inputs, 1), noise(inputs, samples, 2), noise(outputs, 1, 3));
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
            for transfer in [Transfer::Identity, Transfer::Map(&TANH, [0.0; 4]), Transfer::Softmax]
            {
                for z_layout in [None, Some(LAYOUTS[variant % 4]), Some(LAYOUTS[0])] {
                    for layout in LAYOUTS {
                        check_forward(&engine, &sums, shape, transfer, z_layout, layout);
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
    z_layout: Option<Layout>,
    layout: Layout,
) {
    // Softmax requires the elements of a column to be adjacent.
    if matches!(transfer, Transfer::Softmax) && matches!(layout, Layout::Rows | Layout::Sparse) {
        return;
    }
    let mut weights = Grid::<T>::noise(outputs, inputs, Layout::Columns, 1);
    let mut input = Grid::<T>::noise(inputs, samples, layout, 2);
    let mut bias = Grid::<T>::noise(outputs, 1, layout, 3);
    let nan = |layout| Grid::<T>::new(outputs, samples, layout, |_, _| f64::NAN);
    let (mut output, mut z) = (nan(layout), z_layout.map(nan));
    let call = DenseForward {
        weights: weights.span(),
        packed: None,
        input: input.span(),
        bias: bias.span(),
        transfer,
        z: z.as_mut().map(Grid::span),
        output: output.span(),
        rounds: false,
        trains: false,
    };
    unsafe { engine.dense_forward(&call).unwrap() };
    let results: Vec<f64> = match transfer {
        Transfer::Identity => sums.to_vec(),
        Transfer::Map(..) => sums.iter().map(|x| x.tanh()).collect(),
        Transfer::Softmax => sums.chunks(outputs).flat_map(softmax).collect(),
    };
    // The derivatives of tanh and softmax are at most 1, so an error of z is no larger in a.
    let bound = epsilon::<T>() * ((inputs + 4) as f64 * (inputs + 1) as f64 + 8.0);
    let what = format!(
        "{} {outputs}x{samples}x{inputs} {z_layout:?} {layout:?}",
        engine.device().description
    );
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
            for layout in LAYOUTS {
                check_propagate(&engine, [inputs, samples, outputs], layout);
            }
        }
    }
}

fn check_propagate<T: Scalar>(
    engine: &Arc<dyn Engine<T>>,
    [inputs, samples, outputs]: [usize; 3],
    layout: Layout,
) {
    let mut weights = Grid::<T>::noise(outputs, inputs, Layout::Columns, 1);
    let mut delta = Grid::<T>::noise(outputs, samples, layout, 2);
    let mut kept = Grid::<T>::noise(inputs, samples, layout, 3);
    let back: Vec<f64> = {
        let element = |n: usize| {
            (0..outputs).map(|l| weights.get(l, n % inputs) * delta.get(l, n / inputs)).sum()
        };
        (0..inputs * samples).map(element).collect()
    };
    let what = format!("{} {inputs}x{samples}x{outputs} {layout:?}", engine.device().description);
    let bound = epsilon::<T>() * 4.0 * ((outputs + 4) * (outputs + inputs)) as f64;
    for (kind, derivative) in [
        Derivative::One,
        Derivative::Zip(&BY_TANH, [1.0, 0.0, 0.0, 0.0], kept.span()),
        Derivative::Softmax(kept.span()),
    ]
    .into_iter()
    .enumerate()
    {
        if kind == 2 && matches!(layout, Layout::Rows | Layout::Sparse) {
            continue;
        }
        let mut out = Grid::<T>::new(inputs, samples, layout, |_, _| f64::NAN);
        unsafe {
            engine.dense_propagate(weights.span(), delta.span(), derivative, out.span()).unwrap()
        };
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
                for layout in [Layout::Columns, Layout::Gaps, Layout::Rows] {
                    check_gradient(&engine, [outputs, samples, inputs], (scale, keep), layout);
                }
            }
        }
    }
}

fn check_gradient<T: Scalar>(
    engine: &Arc<dyn Engine<T>>,
    [outputs, samples, inputs]: [usize; 3],
    (scale, keep): (f64, f64),
    layout: Layout,
) {
    let mut delta = Grid::<T>::noise(outputs, samples, layout, 1);
    let mut input = Grid::<T>::noise(inputs, samples, layout, 2);
    let before = |columns, seed| match keep {
        0.0 => Grid::<T>::new(outputs, columns, Layout::Columns, |_, _| f64::NAN),
        _ => Grid::<T>::noise(outputs, columns, Layout::Columns, seed),
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
    let what = format!(
        "{} {outputs}x{samples}x{inputs} {scale} {keep} {layout:?}",
        engine.device().description
    );
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

#[test]
fn softmax_keeps_what_is_not_finite() {
    for isa in isas() {
        let engine = engine::<f32>(isa, 1);
        let columns: [[f32; 3]; 4] = [
            [1e30, 0.0, -1e30],
            [f32::NEG_INFINITY, 0.0, 0.0],
            [f32::NAN, 0.0, 1.0],
            [0.0, 1.0, f32::NAN],
        ];
        let mut weights = Grid::<f32>::new(3, 3, Layout::Columns, |_, _| 0.0);
        let mut input = Grid::<f32>::new(3, 4, Layout::Columns, |_, _| 0.0);
        let mut output = Grid::<f32>::new(3, 4, Layout::Columns, |_, _| f64::NAN);
        for (j, column) in columns.iter().enumerate() {
            let mut bias = Grid::<f32>::new(3, 1, Layout::Columns, |i, _| f64::from(column[i]));
            let call = DenseForward {
                weights: weights.span(),
                packed: None,
                input: input.span().columns(j, 1),
                bias: bias.span(),
                transfer: Transfer::Softmax,
                z: None,
                output: output.span().columns(j, 1),
                rounds: false,
                trains: false,
            };
            unsafe { engine.dense_forward(&call).unwrap() };
        }
        assert_eq!(output.values()[..6], [1.0, 0.0, 0.0, 0.0, 0.5, 0.5]);
        assert!(output.values()[6..].iter().all(|x| x.is_nan()));
    }
}

/// Weights that were copied beforehand give the sums of the definition, and not another bit than the weights themselves.
fn packed<T: Scalar>() {
    let (outputs, inputs) = (541, 1000);
    let engines: Vec<_> =
        isas().into_iter().flat_map(|isa| engines_for_processors::<T>(isa, 2)).collect();
    for samples in [1, 2, 13, 64, 210, 520] {
        let sums = sums::<T>([outputs, samples, inputs]);
        for engine in &engines {
            let mut weights = Grid::<T>::noise(outputs, inputs, Layout::Columns, 1);
            let mut bias = Grid::<T>::noise(outputs, 1, Layout::Columns, 3);
            let [rows, columns] = engine.packed_shape(outputs, inputs).unwrap();
            let mut copy = Grid::<T>::new(rows, columns, Layout::Columns, |_, _| f64::NAN);
            unsafe { engine.pack_weights(weights.span(), copy.span()).unwrap() };
            let mut input = Grid::<T>::noise(inputs, samples, Layout::Columns, 2);
            let mut output = [(); 2]
                .map(|()| Grid::<T>::new(outputs, samples, Layout::Columns, |_, _| f64::NAN));
            for (output, packed) in output.iter_mut().zip([None, Some(copy.span())]) {
                let call = DenseForward {
                    weights: weights.span(),
                    packed,
                    input: input.span(),
                    bias: bias.span(),
                    transfer: Transfer::Map(&TANH, [0.0; 4]),
                    z: None,
                    output: output.span(),
                    rounds: false,
                    trains: false,
                };
                unsafe { engine.dense_forward(&call).unwrap() };
            }
            let bound = epsilon::<T>() * ((inputs + 4) * (inputs + 1) + 8) as f64;
            let what = format!("{} {samples}", engine.device().description);
            let [plain, packed] = output;
            packed.check(&what, |i, j| sums[j * outputs + i].tanh(), |_, _| bound);
            assert!(plain.values() == packed.values(), "{what}");
        }
    }
    let reads_in_place = engine::<T>(Isa::best(), 1).packed_shape(10, 300).is_none();
    assert!(reads_in_place, "small weights are read in place");
}

#[test]
fn packed_weights_change_no_bit() {
    packed::<f32>();
    packed::<f64>();
}
