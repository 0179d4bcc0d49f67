//! Products by a library. This one computes on the host, in f64, and checks its arguments.
//!
//! It covers everything around the library on PoCL: layouts, epilogues, refused products, and 16-bit copies, which must give the same bits as
//! rounding where a product is computed.

use std::sync::Mutex;

use super::*;
use crate::engine::gpu::driver::{
    Epilogue, Factors, LibraryProduct, MASK_COLUMN_BITS, Place, Shape,
};
use crate::matrix::MatrixRef;
use crate::optimizer::{Adam, Clip};
use crate::random::Purpose;
use crate::{Dropout, ops};

/// Products that the library has computed.
static PRODUCTS: AtomicUsize = AtomicUsize::new(0);
/// Derivatives that the library has read from a mask.
static MASKS: AtomicUsize = AtomicUsize::new(0);
/// Held by a test while it counts.
static TURN: Mutex<()> = Mutex::new(());

struct WithLibrary {
    inner: OpenCl,
    /// The precision that f32 factors are rounded to: that of 16-bit copies.
    rounds_to: Option<Factors>,
    refuses: bool,
}

/// The nearest number with `bits` bits, ties to even, down to those with the exponent `least`.
fn rounded(x: f64, bits: i32, least: i32) -> f64 {
    if x == 0.0 || !x.is_finite() {
        return x;
    }
    let unit = 2f64.powi((x.abs().log2().floor() as i32).max(least) + 1 - bits);
    (x / unit).round_ties_even() * unit
}

fn rounded_to(factors: Factors, x: f64) -> f64 {
    match factors {
        Factors::Bf16 => rounded(x, 8, -126),
        Factors::F16 => Some(rounded(x, 11, -14))
            .filter(|x| x.abs() <= 65504.0)
            .unwrap_or(f64::INFINITY.copysign(x)),
        _ => x,
    }
}

fn half(bits: u16, factors: Factors) -> f64 {
    if factors == Factors::Bf16 {
        return f64::from(f32::from_bits(u32::from(bits) << 16));
    }
    let (sign, exponent, fraction) =
        (bits >> 15, i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    let size = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    };
    if sign == 1 { -size } else { size }
}

/// The inverse of [`half`], for rounded numbers.
fn bits_of_half(x: f64, factors: Factors) -> u16 {
    let x = rounded_to(factors, x);
    if factors == Factors::Bf16 {
        return ((x as f32).to_bits() >> 16) as u16;
    }
    let sign = u16::from(x.is_sign_negative()) << 15;
    match x.abs() {
        size if size.is_nan() => 0x7e00,
        size if size.is_infinite() => sign | 0x7c00,
        size if size < 2f64.powi(-14) => sign | (size * 2f64.powi(24)) as u16,
        size => {
            let exponent = size.log2().floor() as i32;
            sign | ((exponent + 15) as u16) << 10
                | ((size / 2f64.powi(exponent) - 1.0) * 1024.0) as u16
        }
    }
}

impl WithLibrary {
    /// `columns` columns of `rows` numbers, `step` apart.
    fn fetch(
        &self,
        at: Place,
        [rows, columns]: [usize; 2],
        step: usize,
        factors: Factors,
    ) -> Vec<f64> {
        let bytes = if matches!(factors, Factors::Bf16 | Factors::F16) { 2 } else { 4 };
        assert!(step >= rows);
        let rectangle = |width| Rectangle {
            handle: at.handle,
            offset: at.offset,
            width,
            rows: columns,
            pitch: step * bytes,
        };
        let mut raw = vec![0_u8; rows * columns * bytes];
        // SAFETY: there is room for as many bytes.
        unsafe { self.inner.read(rectangle(rows * bytes), raw.as_mut_ptr()) }.unwrap();
        let single = |x: &[u8]| f64::from(f32::from_le_bytes(x.try_into().unwrap()));
        match bytes {
            2 => raw
                .chunks(2)
                .map(|x| half(u16::from_le_bytes(x.try_into().unwrap()), factors))
                .collect(),
            _ => raw
                .chunks(4)
                .map(|x| rounded_to(self.rounds_to.unwrap_or(factors), single(x)))
                .collect(),
        }
    }

    fn multiply(&self, product: &LibraryProduct) {
        let LibraryProduct { shape, alpha, beta, a, b, c, bias, mask } = *product;
        let Shape { factors, m, n, k, turned, steps, aligned, reads_c, has_bias, epilogue, rounds } =
            shape;
        assert_eq!((reads_c, has_bias), (beta != 0.0, bias.is_some()));
        assert!(!rounds || !reads_c && matches!(factors, Factors::Bf16 | Factors::F16));
        for (place, aligned) in [a, b, c].into_iter().zip(aligned) {
            assert!(aligned.is_power_of_two() && place.offset.is_multiple_of(aligned));
        }
        let sides = |rows, columns, turned| if turned { [columns, rows] } else { [rows, columns] };
        let (left, right) = (sides(m, k, turned[0]), sides(k, n, turned[1]));
        let plain = WithoutRounding(self);
        let (a, b) =
            (self.fetch(a, left, steps[0], factors), self.fetch(b, right, steps[1], factors));
        let old = if reads_c { plain.fetch(c, [m, n], steps[2]) } else { vec![0.0; m * n] };
        let bias = bias.map_or(vec![0.0; m], |bias| match rounds {
            true => self.fetch(bias, [m, 1], m, factors),
            false => plain.fetch(bias, [m, 1], m),
        });
        let at = |x: &[f64], turned: bool, rows: usize, i: usize, j: usize| {
            if turned { x[j + i * rows] } else { x[i + j * rows] }
        };
        let mut new = vec![0_f32; m * n];
        let (step, has_mask) = (m.next_multiple_of(MASK_COLUMN_BITS) / 8, mask.is_some());
        assert_eq!(has_mask, matches!(epilogue, Epilogue::ReluWithMask | Epilogue::ReluDerivative));
        let mut bits = vec![0_u8; if has_mask { step * n } else { 0 }];
        let whole = |at: Place| Rectangle {
            handle: at.handle,
            offset: at.offset,
            width: step * n,
            rows: 1,
            pitch: step * n,
        };
        if let (Some(mask), Epilogue::ReluDerivative) = (mask, epilogue) {
            MASKS.fetch_add(1, Ordering::Relaxed);
            // SAFETY: there is room for as many bytes.
            unsafe { self.inner.read(whole(mask), bits.as_mut_ptr()) }.unwrap();
        }
        for (j, i) in (0..n).flat_map(|j| (0..m).map(move |i| (j, i))) {
            let sum: f64 = (0..k)
                .map(|l| at(&a, turned[0], left[0], i, l) * at(&b, turned[1], right[0], l, j))
                .sum();
            let value = alpha * sum + beta * old[i + j * m] + bias[i];
            let (byte, bit) = (j * step + i / 8, 1 << (i % 8));
            let passes = match epilogue {
                Epilogue::Nothing => true,
                // NaN passes.
                Epilogue::Relu | Epilogue::ReluWithMask => value.is_nan() || value >= 0.0,
                Epilogue::ReluDerivative => bits[byte] & bit != 0,
            };
            if epilogue == Epilogue::ReluWithMask && value > 0.0 {
                bits[byte] |= bit;
            }
            new[i + j * m] = if passes { value as f32 } else { 0.0 };
        }
        if let (Some(mask), Epilogue::ReluWithMask) = (mask, epilogue) {
            // SAFETY: the mask has as many bytes.
            unsafe { self.inner.write(bits.as_ptr(), whole(mask)) }.unwrap();
        }
        let halves: Vec<u16> = new.iter().map(|x| bits_of_half(f64::from(*x), factors)).collect();
        let (from, bytes) =
            if rounds { (halves.as_ptr().cast(), 2) } else { (new.as_ptr().cast(), 4) };
        let to = Rectangle {
            handle: c.handle,
            offset: c.offset,
            width: bytes * m,
            rows: n,
            pitch: bytes * steps[2],
        };
        // SAFETY: the product is m x n.
        unsafe { self.inner.write(from, to) }.unwrap();
    }
}

/// C and the bias are f32.
struct WithoutRounding<'l>(&'l WithLibrary);

impl WithoutRounding<'_> {
    fn fetch(&self, at: Place, [rows, columns]: [usize; 2], step: usize) -> Vec<f64> {
        let rectangle = Rectangle {
            handle: at.handle,
            offset: at.offset,
            width: 4 * rows,
            rows: columns,
            pitch: 4 * step,
        };
        let mut numbers = vec![0_f32; rows * columns];
        // SAFETY: there is room for as many numbers.
        unsafe { self.0.inner.read(rectangle, numbers.as_mut_ptr().cast()) }.unwrap();
        numbers.into_iter().map(f64::from).collect()
    }
}

#[allow(clippy::undocumented_unsafe_blocks, reason = "every promise is passed on")]
impl Driver for WithLibrary {
    type Kernel = Kernel;

    const DIALECT: &'static str = OpenCl::DIALECT;

    passes_on!();

    unsafe fn launch(
        &self,
        kernel: &Kernel,
        groups: [usize; 2],
        items: usize,
        arguments: &[Argument],
    ) -> Result<()> {
        unsafe { self.inner.launch(kernel, groups, items, arguments) }
    }

    fn library(&self) -> Option<&str> {
        Some("1.0")
    }

    unsafe fn library_product(&self, product: &LibraryProduct) -> Result<bool> {
        if !self.refuses {
            PRODUCTS.fetch_add(1, Ordering::Relaxed);
            self.multiply(product);
        }
        Ok(!self.refuses)
    }

    fn finish(&self) -> Result<()> {
        self.inner.finish()
    }
}

fn engine(
    matmul: MatmulPrecision,
    rounds_to: Option<Factors>,
    refuses: bool,
) -> Option<Arc<dyn Engine<f32>>> {
    let settings = Settings { matmul, library: Library::Always, ..Settings::default() };
    let driver = WithLibrary { inner: open_driver()?, rounds_to, refuses };
    Some(Arc::new(Gpu::new(driver, None, &settings).unwrap()))
}

fn random(engine: &Arc<dyn Engine<f32>>, rows: usize, columns: usize, seed: u64) -> Matrix<f32> {
    let stream = Philox::new(seed, Purpose::User, 0);
    let numbers: Vec<f32> =
        (0..(rows * columns) as u64).map(|i| 2.0 * stream.uniform(i) as f32 - 1.0).collect();
    Matrix::from_slice(engine, rows, columns, &numbers).unwrap()
}

/// The numbers after a few steps with each part of training, with inference in between.
fn trained(engine: &Arc<dyn Engine<f32>>, hidden: Activation, output: Activation) -> Vec<f32> {
    let builder = Network::builder(engine, 12).dense(9, hidden).dense(8, hidden).dense(5, output);
    let mut network = builder.seed(3).build().unwrap();
    let (x, t) = (random(engine, 12, 16, 1), random(engine, 5, 16, 2));
    let mut outcome = network.infer(x.view()).unwrap().to_vec().unwrap();
    let mut trainer = Trainer::builder(&mut network, Loss::Quadratic, Adam::new(0.01).unwrap())
        .batch(16)
        .seed(1)
        .build()
        .unwrap();
    for _ in 0..3 {
        trainer.step(x.view(), t.view()).unwrap();
    }
    drop(trainer);
    let mut trainer = Trainer::builder(&mut network, Loss::Quadratic, Sgd::new(0.1).unwrap())
        .batch(16)
        .seed(1)
        .dropout(Dropout { inputs: 0.1, hidden: 0.3 })
        .clip(Clip::Norm(1.0))
        .build()
        .unwrap();
    for n in [16, 7, 16] {
        let part = |x: &Matrix<f32>| x.view().sub_columns(0..n).unwrap().to_vec().unwrap();
        let x = Matrix::from_slice(engine, 12, n, &part(&x)).unwrap();
        let t = Matrix::from_slice(engine, 5, n, &part(&t)).unwrap();
        trainer.step(x.view(), t.view()).unwrap();
    }
    drop(trainer);
    outcome.extend(network.infer(x.view()).unwrap().to_vec().unwrap());
    for layer in network.layers() {
        outcome.extend(layer.weights().to_vec().unwrap());
        outcome.extend(layer.bias().to_vec().unwrap());
    }
    outcome
}

#[test]
fn networks_learn_the_same_with_a_library_as_on_the_cpu() {
    let _turn = TURN.lock();
    let Some(with) = engine(MatmulPrecision::Full, None, false) else { return };
    let cpu = crate::engine::open("cpu").unwrap();
    for activation in
        Activation::ALL.into_iter().filter(|activation| *activation != Activation::Softmax)
    {
        let before = PRODUCTS.load(Ordering::Relaxed);
        let (ours, theirs) =
            (trained(&with, activation, activation), trained(&cpu, activation, activation));
        assert!(
            PRODUCTS.load(Ordering::Relaxed) >= before + 2 * 3 + 6 * 8,
            "{activation}: the library was not used"
        );
        let apart = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(ours.len() == theirs.len() && apart < 1e-4, "{activation}: {apart:.1e} apart");
    }
}

/// A reference in f64: a network of relu layers, trained by plain SGD on the quadratic loss, which rounds where 16-bit storage does.
struct Reference {
    factors: Factors,
    /// For every layer weights, column after column, and bias.
    layers: Vec<[Vec<f64>; 2]>,
}

impl Reference {
    fn round(&self, x: f64) -> f64 {
        rounded_to(self.factors, f64::from(x as f32))
    }

    fn all_rounded(&self, x: &[f64]) -> Vec<f64> {
        x.iter().map(|x| self.round(*x)).collect()
    }

    /// Activations of all layers for one sample, the input first; all but the last are rounded.
    fn forward(&self, x: &[f64]) -> Vec<Vec<f64>> {
        let mut all = vec![self.all_rounded(x)];
        for (l, [weights, bias]) in self.layers.iter().enumerate() {
            let (input, is_last, rows) = (&all[l], l + 1 == self.layers.len(), bias.len());
            let a = (0..rows).map(|i| {
                let sum: f64 =
                    (0..input.len()).map(|k| self.round(weights[i + k * rows]) * input[k]).sum();
                if is_last {
                    f64::from((sum + bias[i]) as f32)
                } else {
                    self.round((sum + self.round(bias[i])).max(0.0))
                }
            });
            let a = a.collect();
            all.push(a);
        }
        all
    }

    /// A step on samples with their targets.
    fn step(&mut self, samples: &[(&[f64], &[f64])], rate: f64) {
        let n = samples.len() as f64;
        let mut layers = self.layers.clone();
        for (x, t) in samples {
            let all = self.forward(x);
            let mut delta: Vec<f64> =
                all[self.layers.len()].iter().zip(*t).map(|(y, t)| y - t).collect();
            for l in (0..self.layers.len()).rev() {
                let (rows, halves) = (delta.len(), self.all_rounded(&delta));
                for i in 0..rows {
                    for (k, a) in all[l].iter().enumerate() {
                        layers[l][0][i + k * rows] -= rate / n * halves[i] * a;
                    }
                    layers[l][1][i] -= rate / n * delta[i];
                }
                let weights = &self.layers[l][0];
                let back = (0..all[l].len()).map(|k| {
                    let sum: f64 =
                        (0..rows).map(|i| self.round(weights[i + k * rows]) * halves[i]).sum();
                    if all[l][k] > 0.0 { self.round(sum) } else { 0.0 }
                });
                delta = back.collect();
            }
        }
        let single = |x: &f64| f64::from(*x as f32);
        self.layers = layers
            .iter()
            .map(|layer| layer.each_ref().map(|x| x.iter().map(single).collect()))
            .collect();
    }
}

fn doubles(matrix: MatrixRef<'_, f32>) -> Vec<f64> {
    matrix.to_vec().unwrap().into_iter().map(f64::from).collect()
}

/// A number that was rounded twice, or not at all, or a copy that did not follow its matrix, would show.
#[test]
fn hidden_layers_are_stored_in_16_bits() {
    let _turn = TURN.lock();
    for (matmul, factors) in
        [(MatmulPrecision::Bf16, Factors::Bf16), (MatmulPrecision::F16, Factors::F16)]
    {
        let Some(engine) = engine(matmul, None, false) else { return };
        // The first of them is wide enough for a mask.
        let builder =
            Network::builder(&engine, 12).dense(133, Activation::Relu).dense(8, Activation::Relu);
        let mut network = builder.dense(5, Activation::Identity).seed(3).build().unwrap();
        let layers = network
            .layers()
            .iter()
            .map(|layer| [doubles(layer.weights()), doubles(layer.bias())])
            .collect();
        let mut reference = Reference { factors, layers };
        let (x, t) = (random(&engine, 12, 16, 1), random(&engine, 5, 16, 2));
        let (inputs, targets) = (doubles(x.view()), doubles(t.view()));
        let mut trainer = Trainer::builder(&mut network, Loss::Quadratic, Sgd::new(0.5).unwrap())
            .batch(16)
            .seed(1)
            .build()
            .unwrap();
        let masks = MASKS.load(Ordering::Relaxed);
        // A smaller batch leaves the rest of the buffers unchanged.
        for n in [16, 16, 7, 16, 3] {
            let samples: Vec<_> = inputs.chunks(12).zip(targets.chunks(5)).take(n).collect();
            reference.step(&samples, 0.5);
            trainer
                .step(x.view().sub_columns(0..n).unwrap(), t.view().sub_columns(0..n).unwrap())
                .unwrap();
        }
        assert_eq!(MASKS.load(Ordering::Relaxed) - masks, 5);
        // Reading returns the numbers of the copy, also those of columns that the last steps did not write.
        let output = trainer.layers()[0].output(16).unwrap();
        let sum = ops::asum(output).unwrap();
        let hidden = doubles(output);
        assert!(hidden.iter().all(|a| *a == rounded_to(factors, *a)));
        assert!(
            (sum - hidden.iter().sum::<f64>()).abs() < 1e-4 * sum
                && hidden[133 * 7..].iter().any(|a| *a > 0.0)
        );
        drop(trainer);
        for (layer, [weights, bias]) in network.layers().iter().zip(&reference.layers) {
            for (ours, theirs) in
                [(doubles(layer.weights()), weights), (doubles(layer.bias()), bias)]
            {
                let apart = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(apart < 1e-6, "{matmul:?}: {apart:.1e} apart");
            }
        }
        let outputs = doubles(network.infer(x.view()).unwrap().view());
        let wanted: Vec<f64> =
            inputs.chunks(12).flat_map(|x| reference.forward(x).pop().unwrap()).collect();
        let apart = outputs.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(apart < 1e-5, "{matmul:?}: {apart:.1e} apart");
    }
}

/// All else in training stays as near to f32 as rounding allows; a copy that was not updated with its matrix would not.
#[test]
fn copies_in_16_bits_are_what_the_matrices_hold() {
    let _turn = TURN.lock();
    let all =
        [(MatmulPrecision::Bf16, Factors::Bf16, 3e-3), (MatmulPrecision::F16, Factors::F16, 5e-4)];
    for (matmul, factors, bound) in all {
        let Some(copies) = engine(matmul, None, false) else { return };
        let rounds = engine(MatmulPrecision::Full, Some(factors), false).unwrap();
        let exact = engine(MatmulPrecision::Full, None, false).unwrap();
        for (hidden, output) in
            [(Activation::Relu, Activation::Identity), (Activation::Gelu, Activation::Softmax)]
        {
            let [ours, wanted, other] =
                [&copies, &rounds, &exact].map(|engine| trained(engine, hidden, output));
            let apart = wanted.iter().zip(&ours).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
            assert!(
                ours.len() == wanted.len() && apart < bound,
                "{matmul:?}, {hidden}: {apart:.1e} apart"
            );
            assert_ne!(ours, other, "rounding shows");
        }
    }
}

/// Every kind of number, in columns with gaps between them.
#[test]
fn numbers_are_rounded_to_16_bits_as_ieee_defines() {
    let _turn = TURN.lock();
    let mut numbers = vec![
        0.0,
        -0.0,
        1.0,
        -1.0,
        65504.0,
        65519.9,
        65520.0,
        -1e30,
        1e-30,
        f32::INFINITY,
        f32::NEG_INFINITY,
    ];
    numbers.extend([
        1.0 + 1.0 / 256.0,
        1.0 + 3.0 / 256.0,
        1.0 + 1.0 / 2048.0,
        1.0 + 3.0 / 2048.0,
        6e-8,
        2.9e-8,
        3e-8,
    ]);
    let stream = Philox::new(5, Purpose::User, 0);
    numbers.extend((0..600).map(|i| {
        let [sign, power, fraction] = [0, 1, 2].map(|part| stream.uniform(3 * i + part) as f32);
        (sign - 0.5).signum() * (1.0 + fraction) * (40.0 * power - 24.0).exp2()
    }));
    for (matmul, factors) in
        [(MatmulPrecision::Bf16, Factors::Bf16), (MatmulPrecision::F16, Factors::F16)]
    {
        let Some(engine) = engine(matmul, None, false) else { return };
        let count = numbers.len() / 3;
        let x = Matrix::from_slice(&engine, count, 3, &numbers[..3 * count]).unwrap();
        let rows = x.view().sub_rows(1..count - 1).unwrap();
        // A product with a matrix of one element, 1, rounds every number by itself.
        let one = Matrix::from_slice(&engine, 1, 1, &[1.0]).unwrap();
        for j in 0..3 {
            let column = rows.sub_columns(j..j + 1).unwrap();
            let mut y = Matrix::zeros(&engine, count - 2, 1).unwrap();
            ops::gemm(1.0, column, one.view(), 0.0, y.view_mut()).unwrap();
            for (x, y) in column.to_vec().unwrap().into_iter().zip(y.to_vec().unwrap()) {
                assert_eq!(f64::from(y), rounded_to(factors, f64::from(x)), "{x:e} in {factors:?}");
            }
        }
    }
}

#[test]
fn our_kernels_compute_what_the_library_refuses() {
    let _turn = TURN.lock();
    let Some(refusing) = engine(MatmulPrecision::Full, None, true) else { return };
    let cpu = crate::engine::open("cpu").unwrap();
    let before = PRODUCTS.load(Ordering::Relaxed);
    let [ours, theirs] =
        [&refusing, &cpu].map(|engine| trained(engine, Activation::Tanh, Activation::Sigmoid));
    assert_eq!(PRODUCTS.load(Ordering::Relaxed), before);
    assert!(ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 1e-4));
}

/// relu must return NaN for NaN, or divergence of training would not be seen.
#[test]
fn nan_passes_relu() {
    let _turn = TURN.lock();
    let Some(with) = engine(MatmulPrecision::Full, None, false) else { return };
    let network = Network::builder(&with, 4).dense(3, Activation::Relu).build().unwrap();
    let x = Matrix::from_slice(&with, 4, 1, &[1.0, f32::NAN, 0.0, 1.0]).unwrap();
    assert!(network.infer(x.view()).unwrap().to_vec().unwrap().iter().all(|a| a.is_nan()));
}

/// Views without contiguous rows or columns, transposed views, odd offsets.
fn multiplied(engine: &Arc<dyn Engine<f32>>) -> Vec<f32> {
    let (a, b) = (random(engine, 9, 11, 7), random(engine, 13, 9, 8));
    let mut all = Vec::new();
    for (rows, columns, beta) in [(0..9, 0..11, 0.0), (1..6, 3..4, 0.5), (8..9, 2..9, 1.0)] {
        let a = a.view().sub_rows(rows).unwrap().sub_columns(columns).unwrap();
        let b = b.view().sub_columns(0..a.rows()).unwrap();
        let mut c = random(engine, 13, a.columns(), 9);
        ops::gemm(2.0, b, a, beta, c.view_mut()).unwrap();
        all.extend(c.to_vec().unwrap());
        let mut turned = random(engine, a.columns(), 13, 9);
        ops::gemm(0.5, a.t(), b.t(), beta, turned.view_mut()).unwrap();
        all.extend(turned.to_vec().unwrap());
        ops::gemm(0.5, b, a, beta, turned.view_mut().t()).unwrap();
        all.extend(turned.to_vec().unwrap());
    }
    all
}

#[test]
fn views_are_multiplied() {
    let _turn = TURN.lock();
    let Some(with) = engine(MatmulPrecision::Full, None, false) else { return };
    let before = PRODUCTS.load(Ordering::Relaxed);
    let (ours, theirs) = (multiplied(&with), multiplied(&crate::engine::open("cpu").unwrap()));
    assert_eq!(PRODUCTS.load(Ordering::Relaxed) - before, 9);
    let apart = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(ours.len() == theirs.len() && apart < 1e-5, "{apart:.1e} apart");
    let copies = engine(MatmulPrecision::Bf16, None, false).unwrap();
    let rounds = engine(MatmulPrecision::Full, Some(Factors::Bf16), false).unwrap();
    assert_eq!(multiplied(&copies), multiplied(&rounds));
}
