//! One suite for every engine: each operation, formula and layer against an f64 reference, at odd sizes and with every kind of view.
//!
//! A new engine is added in `common::engines`.

use std::sync::Arc;

use crate::common::{self, one_hot, random};
use travertine::data::Task;
use travertine::engine::{Engine, Settings};
use travertine::layer::{Dense, Layer as _};
use travertine::ops::{self, Function};
use travertine::optimizer::Sgd;
use travertine::random::{Philox, Purpose};
use travertine::{
    Activation, ErrorKind, Init, Loss, Matrix, MatrixMut, MatrixRef, Network, Report, Result,
    Samples, Scalar, Trainer,
};

/// One, primes, sizes just above the width of a vector or tile, and sizes that are divided among threads.
const SHAPES: [(usize, usize); 9] =
    [(1, 1), (1, 7), (13, 1), (5, 3), (17, 11), (33, 49), (8, 300), (259, 257), (70_001, 1)];

fn for_every_engine<T: Scalar>(test: impl Fn(&Arc<dyn Engine<T>>)) {
    for (words, engine) in common::engines() {
        eprintln!("{words}, {}", T::NAME);
        test(&engine);
    }
}

/// The place of a view in its matrix.
#[derive(Clone, Copy, Debug)]
enum View {
    Whole,
    Transposed,
    Part,
    TransposedPart,
}

const VIEWS: [View; 4] = [View::Whole, View::Transposed, View::Part, View::TransposedPart];

/// The value around a view, which must not change.
const GUARD: f64 = 77.0;

/// A matrix with a `rows x columns` view in it and guards around the view.
struct Guarded<T: Scalar> {
    matrix: Matrix<T>,
    view: View,
    rows: usize,
    columns: usize,
}

impl<T: Scalar> Guarded<T> {
    fn new(
        engine: &Arc<dyn Engine<T>>,
        view: View,
        rows: usize,
        columns: usize,
        values: &[T],
    ) -> Self {
        let (r, c) = match view {
            View::Whole => (rows, columns),
            View::Transposed => (columns, rows),
            View::Part => (rows + 3, columns + 2),
            View::TransposedPart => (columns + 3, rows + 2),
        };
        let matrix = Matrix::from_slice(engine, r, c, &vec![T::from_f64(GUARD); r * c]).unwrap();
        let mut guarded = Guarded { matrix, view, rows, columns };
        guarded.get_mut().write(values).unwrap();
        guarded
    }

    fn get(&self) -> MatrixRef<'_, T> {
        let (rows, columns, whole) = (self.rows, self.columns, self.matrix.view());
        match self.view {
            View::Whole => whole,
            View::Transposed => whole.t(),
            View::Part => whole.sub_matrix(1..rows + 1, 2..columns + 2).unwrap(),
            View::TransposedPart => whole.sub_matrix(2..columns + 2, 1..rows + 1).unwrap().t(),
        }
    }

    fn get_mut(&mut self) -> MatrixMut<'_, T> {
        let (rows, columns, whole) = (self.rows, self.columns, self.matrix.view_mut());
        match self.view {
            View::Whole => whole,
            View::Transposed => whole.t(),
            View::Part => whole.sub_matrix(1..rows + 1, 2..columns + 2).unwrap(),
            View::TransposedPart => whole.sub_matrix(2..columns + 2, 1..rows + 1).unwrap().t(),
        }
    }

    /// Asserts that element i of the view is within `bound(i)` of the reference and that the guards are unchanged.
    #[track_caller]
    fn assert(&self, what: &str, reference: &[f64], bound: impl Fn(usize) -> f64) {
        let values = self.get().to_vec().unwrap();
        for (i, (value, expected)) in values.iter().zip(reference).enumerate() {
            let (value, bound) = (value.to_f64(), bound(i));
            let agree = (value - expected).abs() <= bound || value == *expected;
            assert!(
                agree,
                "{what} {:?}: {value} for {expected} at {i}, bound {bound:e}",
                self.view
            );
        }
        let guards = self.matrix.to_vec().unwrap().iter().filter(|x| x.to_f64() == GUARD).count();
        let inside = values.iter().filter(|x| x.to_f64() == GUARD).count();
        let around = self.matrix.rows() * self.matrix.columns() - self.rows * self.columns;
        assert_eq!(guards - inside, around, "{what} {:?} wrote outside of the view", self.view);
    }
}

fn epsilon<T: Scalar>() -> f64 {
    if T::NAME == "f32" { f64::from(f32::EPSILON) } else { f64::EPSILON }
}

fn f64s<T: Scalar>(values: &[T]) -> Vec<f64> {
    values.iter().map(|x| x.to_f64()).collect()
}

/// An operation `y = f(x, y)` and its reference for one element.
type Element<'a, T> =
    (&'a str, &'a dyn Fn(MatrixRef<'_, T>, MatrixMut<'_, T>) -> Result<()>, fn(f64, f64) -> f64);

fn element_wise<T: Scalar>(engine: &Arc<dyn Engine<T>>) {
    let c = |x: f64| T::from_f64(x);
    let operations: [Element<'_, T>; 7] = [
        ("copy", &|x, y| ops::copy(x, y), |x, _| x),
        ("fill", &|_, y| ops::fill(c(2.5), y), |_, _| 2.5),
        ("scal", &|_, y| ops::scal(c(-1.5), y), |_, y| -1.5 * y),
        ("axpy", &|x, y| ops::axpy(c(0.5), x, y), |x, y| 0.5 * x + y),
        ("axpby", &|x, y| ops::axpby(c(0.5), x, c(-2.0), y), |x, y| 0.5 * x - 2.0 * y),
        (
            "linear_frac",
            &|x, y| ops::linear_frac([c(0.5), c(3.0), c(1.0), c(4.0)], x, y),
            |x, y| (0.5 * x + 3.0) / (y + 4.0),
        ),
        ("map_in_place", &|_, y| ops::map_in_place(Function::Abs, y), |_, y| y.abs()),
    ];
    for (rows, columns) in SHAPES {
        let (x, y) = (random::<T>(rows * columns, 1), random::<T>(rows * columns, 2));
        for (vx, vy) in VIEWS.into_iter().flat_map(|vx| VIEWS.map(|vy| (vx, vy))) {
            let guarded_x = Guarded::new(engine, vx, rows, columns, &x);
            for (name, operation, reference) in &operations {
                let mut guarded_y = Guarded::new(engine, vy, rows, columns, &y);
                operation(guarded_x.get(), guarded_y.get_mut()).unwrap();
                let expected: Vec<f64> =
                    x.iter().zip(&y).map(|(x, y)| reference(x.to_f64(), y.to_f64())).collect();
                // A few roundings of numbers below 4.
                guarded_y.assert(
                    &format!("{name} {rows}x{columns} from {vx:?}"),
                    &expected,
                    |_| 8.0 * epsilon::<T>(),
                );
            }
            let mut guarded_z = Guarded::new(engine, vy, rows, columns, &y);
            let guarded_y = Guarded::new(engine, vx, rows, columns, &y);
            ops::hadamard(guarded_x.get(), guarded_y.get(), guarded_z.get_mut()).unwrap();
            let expected: Vec<f64> =
                x.iter().zip(&y).map(|(x, y)| x.to_f64() * y.to_f64()).collect();
            guarded_z.assert("hadamard", &expected, |_| epsilon::<T>());
        }
    }
}

#[test]
fn element_wise_operations() {
    for_every_engine::<f32>(element_wise);
    for_every_engine::<f64>(element_wise);
}

fn functions<T: Scalar>(engine: &Arc<dyn Engine<T>>) {
    let reference = |f: Function, x: f64| match f {
        Function::Exp => x.exp(),
        Function::Tanh => x.tanh(),
        Function::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Function::Softplus => x.exp().ln_1p(),
        Function::NormalCdf => common::normal_cdf(x),
        Function::Sqrt => x.sqrt(),
        Function::Abs => x.abs(),
        _ => unreachable!("a function without a reference"),
    };
    let x: Vec<T> = random::<T>(5000, 4).iter().map(|x| T::from_f64(x.to_f64() * 3.0)).collect();
    for f in Function::ALL {
        let x: Vec<T> = x
            .iter()
            .map(|x| if f == Function::Sqrt { T::from_f64(x.to_f64().abs()) } else { *x })
            .collect();
        let guarded_x = Guarded::new(engine, View::Part, 50, 100, &x);
        let mut guarded_y = Guarded::new(engine, View::Whole, 50, 100, &x);
        ops::map(f, guarded_x.get(), guarded_y.get_mut()).unwrap();
        let expected: Vec<f64> = x.iter().map(|x| reference(f, x.to_f64())).collect();
        // The reference rounds sqrt 2 and x / sqrt 2; in the tail of the normal distribution these errors grow by x^2 + 1 = 10.
        let ulps = if f == Function::NormalCdf { 20.0 } else { 4.0 };
        guarded_y
            .assert(&format!("{f:?}"), &expected, |i| ulps * epsilon::<T>() * expected[i].abs());
    }
    let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, 1e30, -1e30];
    let x = Matrix::from_slice(engine, 6, 1, &special.map(T::from_f64)).unwrap();
    let mut y = Matrix::zeros(engine, 6, 1).unwrap();
    for (f, limits) in [
        (Function::Exp, [f64::INFINITY, 0.0, 1.0, f64::INFINITY, 0.0]),
        (Function::Tanh, [1.0, -1.0, 0.0, 1.0, -1.0]),
        (Function::Sigmoid, [1.0, 0.0, 0.5, 1.0, 0.0]),
        (Function::NormalCdf, [1.0, 0.0, 0.5, 1.0, 0.0]),
    ] {
        ops::map(f, x.view(), y.view_mut()).unwrap();
        let y = f64s(&y.to_vec().unwrap());
        assert!(y[0].is_nan() && y[1..] == limits, "{f:?}: {y:?}");
    }
}

#[test]
fn functions_of_vector_mathematics() {
    for_every_engine::<f32>(functions);
    for_every_engine::<f64>(functions);
}

/// The product, and the product of magnitudes, which bounds the rounding errors.
fn naive_gemm(a: &[f64], b: &[f64], (m, n, k): (usize, usize, usize)) -> Vec<(f64, f64)> {
    let element = |i: usize, j: usize| {
        let terms = (0..k).map(|l| a[i + l * m] * b[l + j * k]);
        terms.fold((0.0, 0.0), |(sum, size), x| (sum + x, size + x.abs()))
    };
    (0..m * n).map(|at| element(at % m, at / m)).collect()
}

fn products<T: Scalar>(engine: &Arc<dyn Engine<T>>) {
    let shapes = [
        (1, 1, 1),
        (3, 5, 2),
        (1, 9, 30),
        (17, 1, 33),
        (33, 13, 7),
        (31, 12, 100),
        (70, 50, 600),
        (150, 90, 90),
    ];
    for (m, n, k) in shapes {
        let (a, b, c) = (random::<T>(m * k, 1), random::<T>(k * n, 2), random::<T>(m * n, 3));
        let product = naive_gemm(&f64s(&a), &f64s(&b), (m, n, k));
        for (index, (va, vb)) in
            VIEWS.into_iter().flat_map(|va| VIEWS.map(|vb| (va, vb))).enumerate()
        {
            let (guarded_a, guarded_b) =
                (Guarded::new(engine, va, m, k, &a), Guarded::new(engine, vb, k, n, &b));
            for vc in VIEWS {
                // The pairs of alpha and beta take turns. If beta is 0, NaN in C must not be read.
                let (alpha, beta) = [(1.0, 0.0), (-0.5, 1.0), (2.0, 0.3), (1.0, 1.0)][index % 4];
                let before =
                    if beta == 0.0 { vec![T::from_f64(f64::NAN); m * n] } else { c.clone() };
                let mut guarded_c = Guarded::new(engine, vc, m, n, &before);
                let (one, other) = (T::from_f64(alpha), T::from_f64(beta));
                ops::gemm(one, guarded_a.get(), guarded_b.get(), other, guarded_c.get_mut())
                    .unwrap();
                let kept =
                    |i: usize| if beta == 0.0 { 0.0 } else { other.to_f64() * c[i].to_f64() };
                let expected: Vec<f64> =
                    product.iter().enumerate().map(|(i, p)| alpha * p.0 + kept(i)).collect();
                // k roundings of the sum of magnitudes (Higham).
                let bound =
                    |i: usize| (k + 4) as f64 * epsilon::<T>() * (alpha.abs() * product[i].1 + 1.0);
                guarded_c.assert(&format!("gemm {m}x{n}x{k} {va:?} {vb:?}"), &expected, bound);
            }
        }
    }
}

#[test]
fn matrix_products() {
    for_every_engine::<f32>(products);
    for_every_engine::<f64>(products);
}

fn vectors<T: Scalar>(engine: &Arc<dyn Engine<T>>) {
    let (m, n) = (37, 53);
    let (a, x, y) = (random::<T>(m * n, 1), random::<T>(n, 2), random::<T>(m, 3));
    let (af, xf, yf) = (f64s(&a), f64s(&x), f64s(&y));
    for view in VIEWS {
        let guarded_a = Guarded::new(engine, view, m, n, &a);
        let (guarded_x, mut guarded_y) =
            (Guarded::new(engine, view, n, 1, &x), Guarded::new(engine, view, m, 1, &y));
        let (one, half) = (T::from_f64(1.0), T::from_f64(0.5));
        ops::gemv(one, guarded_a.get(), guarded_x.get(), half, guarded_y.get_mut()).unwrap();
        let product = naive_gemm(&af, &xf, (m, 1, n));
        let expected: Vec<f64> = product.iter().zip(&yf).map(|(p, y)| p.0 + 0.5 * y).collect();
        guarded_y.assert("gemv", &expected, |_| 60.0 * epsilon::<T>());

        let mut updated = Guarded::new(engine, view, m, n, &a);
        let guarded_y = Guarded::new(engine, view, m, 1, &y);
        ops::ger(half, guarded_y.get(), guarded_x.get(), updated.get_mut()).unwrap();
        let expected: Vec<f64> = (0..m * n).map(|i| af[i] + 0.5 * yf[i % m] * xf[i / m]).collect();
        updated.assert("ger", &expected, |_| 4.0 * epsilon::<T>());

        let rows = |i: usize| (0..n).map(|j| af[i + j * m]).sum::<f64>();
        let columns = |j: usize| (0..m).map(|i| af[i + j * m]).sum::<f64>();
        let mut sums = Guarded::new(engine, view, m, 1, &y);
        ops::sum_columns(guarded_a.get(), sums.get_mut()).unwrap();
        sums.assert("sum_columns", &(0..m).map(rows).collect::<Vec<_>>(), |_| {
            60.0 * epsilon::<T>()
        });
        let mut sums = Guarded::new(engine, view, 1, n, &x);
        ops::sum_rows(guarded_a.get(), sums.get_mut()).unwrap();
        sums.assert("sum_rows", &(0..n).map(columns).collect::<Vec<_>>(), |_| {
            60.0 * epsilon::<T>()
        });

        // Sums of f32 are f64, where the device has it.
        let has_f64 = engine.device().fp64;
        let bound = if has_f64 { 1e-12 } else { (m * n) as f64 * epsilon::<T>() };
        let close = |what: &str, ours: f64, expected: f64| {
            assert!(
                (ours - expected).abs() <= bound * (1.0 + expected),
                "{what}: {ours} for {expected}"
            );
        };
        close("dot", ops::dot(guarded_a.get(), updated.get()).unwrap(), {
            let updated = f64s(&updated.get().to_vec().unwrap());
            af.iter().zip(&updated).map(|(a, b)| a * b).sum()
        });
        close("asum", ops::asum(guarded_a.get()).unwrap(), af.iter().map(|a| a.abs()).sum());
        close(
            "nrm2",
            ops::nrm2(guarded_a.get()).unwrap(),
            af.iter().map(|a| a * a).sum::<f64>().sqrt(),
        );
        close(
            "amax",
            ops::amax(guarded_a.get()).unwrap(),
            af.iter().map(|a| a.abs()).fold(0.0, f64::max),
        );
    }
    let nan = Matrix::from_slice(
        engine,
        3,
        1,
        &[T::from_f64(1.0), T::from_f64(f64::NAN), T::from_f64(2.0)],
    )
    .unwrap();
    assert!(ops::amax(nan.view()).unwrap().is_nan());
}

#[test]
fn vectors_and_reductions() {
    for_every_engine::<f32>(vectors);
    for_every_engine::<f64>(vectors);
}

fn dense<T: Scalar>(engine: &Arc<dyn Engine<T>>) {
    for (inputs, outputs, samples) in
        [(1, 1, 1), (7, 5, 3), (33, 30, 10), (50, 70, 131), (784, 30, 10), (300, 100, 64)]
    {
        for activation in Activation::ALL {
            let mut layer = Dense::new(engine, inputs, outputs, activation).unwrap();
            let scale = |values: Vec<T>, by: f64| -> Vec<T> {
                values.iter().map(|x| T::from_f64(x.to_f64() * by)).collect()
            };
            let weights = scale(random(inputs * outputs, 1), 3.0 / (inputs as f64).sqrt());
            layer.weights_mut().write(&weights).unwrap();
            layer.bias_mut().write(&random(outputs, 2)).unwrap();
            let reference = common::Layer {
                weights: f64s(&weights),
                bias: f64s(&layer.bias().to_vec().unwrap()),
                activation,
            };
            let x = random::<T>(inputs * samples, 3);
            let expected: Vec<f64> = x
                .chunks(inputs)
                .flat_map(|x| common::activate(activation, &reference.z(&f64s(x))))
                .collect();
            // z is a sum of `inputs` terms of about 1 / sqrt(inputs); no activation is steeper than 1.13.
            let bound =
                |_: usize| 4.0 * (inputs as f64).sqrt() * epsilon::<T>() + 16.0 * epsilon::<T>();
            for view in [View::Whole, View::Part] {
                let guarded_x = Guarded::new(engine, view, inputs, samples, &x);
                let mut guarded_a = Guarded::new(
                    engine,
                    view,
                    outputs,
                    samples,
                    &vec![T::default(); outputs * samples],
                );
                layer.forward(guarded_x.get(), guarded_a.get_mut()).unwrap();
                guarded_a.assert(
                    &format!("{activation} {inputs}-{outputs}, {samples} samples"),
                    &expected,
                    bound,
                );
            }
            if activation != Activation::Softmax {
                let mut guarded_a = Guarded::new(
                    engine,
                    View::Transposed,
                    outputs,
                    samples,
                    &vec![T::default(); outputs * samples],
                );
                let guarded_x = Guarded::new(engine, View::TransposedPart, inputs, samples, &x);
                layer.forward(guarded_x.get(), guarded_a.get_mut()).unwrap();
                guarded_a.assert(&format!("{activation}, transposed"), &expected, bound);
            }
        }
    }
}

#[test]
fn dense_layers() {
    for_every_engine::<f32>(dense);
    for_every_engine::<f64>(dense);
}

fn uniform<T: Scalar>(engine: &Arc<dyn Engine<T>>) {
    let stream = Philox::new(u64::MAX - 6, Purpose::User, 41);
    for view in VIEWS {
        let (rows, columns) = (37, 29);
        let mut guarded =
            Guarded::new(engine, view, rows, columns, &vec![T::default(); rows * columns]);
        ops::uniform(&stream, guarded.get_mut()).unwrap();
        // The same bits, not close numbers.
        let expected: Vec<f64> =
            (0..(rows * columns) as u64).map(|i| f64::from(stream.uniform_f32(i))).collect();
        guarded.assert("uniform", &expected, |_| 0.0);
    }
}

#[test]
fn random_numbers_are_the_same_bits() {
    for_every_engine::<f32>(uniform);
    for_every_engine::<f64>(uniform);
}

/// Loss, accuracy and one step of gradient descent for every loss behind every activation: against the loss in f64, and against the
/// parameters of the CPU engine in f64, whose gradients `tests/engines/gradients.rs` compares with finite differences.
fn training<T: Scalar>(engine: &Arc<dyn Engine<T>>) {
    let cpu = common::engine_if_there::<f64>("cpu", &Settings::threads(1)).unwrap();
    let (inputs, outputs, count) = (9, 19, 7);
    for loss in Loss::ALL {
        for output in Activation::ALL {
            if !common::is_learnable(output, loss) {
                continue;
            }
            let every = output == Activation::Identity;
            let among = |hidden: &Activation| {
                *hidden == Activation::Tanh || every && *hidden != Activation::Softmax
            };
            for hidden in Activation::ALL.into_iter().filter(among) {
                let what = format!("{hidden}, {output}, {loss}");
                let mut reference = network(&cpu, inputs, hidden, outputs, output);
                let mut ours = network(engine, inputs, hidden, outputs, output);
                // Both have the same parameters, rounded to T.
                for (reference, ours) in reference.layers_mut().iter_mut().zip(ours.layers()) {
                    reference
                        .weights_mut()
                        .write(&f64s(&ours.weights().to_vec().unwrap()))
                        .unwrap();
                    reference.bias_mut().write(&f64s(&ours.bias().to_vec().unwrap())).unwrap();
                }
                let layers = common::layers(&reference);
                let (x, t) = (random::<T>(inputs * count, 3), one_hot::<T>(outputs, count));
                let losses: f64 = (0..count)
                    .map(|j| {
                        let z = common::last_z(&layers, &f64s(&x[j * inputs..(j + 1) * inputs]));
                        common::loss(loss, output, &z, &f64s(&t[j * outputs..(j + 1) * outputs]))
                    })
                    .sum();
                let report = step(&mut reference, loss, &f64s(&x), &f64s(&t));
                let our_report = step(&mut ours, loss, &x, &t);
                let bound = 64.0 * epsilon::<T>();
                let expected = losses / count as f64;
                assert!(
                    (our_report.loss - expected).abs() <= bound * (1.0 + expected),
                    "{what}: {our_report:?}"
                );
                assert_eq!(our_report.accuracy, report.accuracy, "{what}");
                for (i, (ours, reference)) in
                    common::layers(&ours).iter().zip(common::layers(&reference)).enumerate()
                {
                    let apart = [
                        common::relative(&ours.weights, &reference.weights),
                        common::relative(&ours.bias, &reference.bias),
                    ];
                    assert!(
                        apart.iter().all(|apart| *apart <= bound),
                        "{what}, layer {i}: {apart:?}"
                    );
                }
            }
        }
    }
}

fn network<T: Scalar>(
    engine: &Arc<dyn Engine<T>>,
    inputs: usize,
    hidden: Activation,
    outputs: usize,
    output: Activation,
) -> Network<T> {
    let builder = Network::builder(engine, inputs).dense(11, hidden).dense(outputs, output);
    let mut network = builder.init(Init::Normal(0.4)).seed(5).build().unwrap();
    // The initial bias is 0, which would hide errors.
    for layer in network.layers_mut() {
        let bias = random(layer.outputs(), 8);
        layer.bias_mut().write(&bias).unwrap();
    }
    network
}

/// The report of an epoch of one step.
fn step<T: Scalar>(network: &mut Network<T>, loss: Loss, x: &[T], t: &[T]) -> Report {
    let (engine, inputs, outputs) =
        (Arc::clone(network.engine()), network.inputs(), network.outputs());
    let count = x.len() / inputs;
    let x = Matrix::from_slice(&engine, inputs, count, x).unwrap();
    let t = Matrix::from_slice(&engine, outputs, count, t).unwrap();
    let mut samples = Samples::from_matrices(x, t, Task::Classes).unwrap();
    let mut trainer = Trainer::builder(network, loss, Sgd::new(0.3).unwrap())
        .batch(count)
        .seed(1)
        .build()
        .unwrap();
    trainer.epoch(&mut samples).unwrap()
}

#[test]
fn losses_and_steps() {
    for_every_engine::<f32>(training);
    for_every_engine::<f64>(training);
}

/// Several threads infer with one network on one engine, with batches of a sample and of hundreds: each gets the bits that it gets alone.
fn shared<T: Scalar>(engine: &Arc<dyn Engine<T>>) {
    let network = network(engine, 300, Activation::Gelu, 40, Activation::Softmax);
    let infer = |samples: usize| -> Vec<T> {
        let x = random(300 * samples, samples as u64);
        let x = Matrix::from_slice(engine, 300, samples, &x).unwrap();
        let mut inference = network.inference(samples).unwrap();
        inference.run(x.view()).unwrap().to_vec().unwrap()
    };
    let batches = [1, 700, 2, 65];
    let alone = batches.map(infer);
    std::thread::scope(|scope| {
        for (samples, alone) in batches.into_iter().zip(&alone) {
            scope.spawn(move || {
                for _ in 0..20 {
                    assert!(infer(samples) == *alone, "{samples} samples");
                }
            });
        }
    });
}

#[test]
fn threads_that_share_an_engine_get_the_same_bits() {
    for_every_engine::<f32>(shared);
    for_every_engine::<f64>(shared);
}

fn out_of_memory<T: Scalar>(engine: &Arc<dyn Engine<T>>) {
    for rows in [1 << 40, usize::MAX >> 8] {
        let Err(error) = Matrix::zeros(engine, rows, 1) else { panic!("{rows} rows must not fit") };
        let ErrorKind::Memory { asked, available, .. } = error.kind() else { panic!("{error}") };
        assert!(
            *asked > 1 << 40 && available.is_some_and(|available| available < *asked),
            "{error}"
        );
    }
    let x = Matrix::from_slice(engine, 3, 1, &[1.0, 2.0, 3.0].map(T::from_f64)).unwrap();
    assert_eq!(ops::asum(x.view()).unwrap().to_f64(), 6.0);
}

#[test]
fn out_of_memory_names_bytes_and_leaves_the_engine_usable() {
    for_every_engine::<f32>(out_of_memory);
    for_every_engine::<f64>(out_of_memory);
}

/// The kernels of CUDA: scalars in place of vectors, and products that read several scalars at a time.
#[test]
fn products_and_layers_as_on_cuda() {
    let settings = common::limited(common::CUDA_LIKE);
    if let Some(engine) = common::engine_if_there::<f32>("opencl", &settings) {
        products(&engine);
        dense(&engine);
    }
    if let Some(engine) = common::engine_if_there::<f64>("opencl", &settings) {
        products(&engine);
    }
}
