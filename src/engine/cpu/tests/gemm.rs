//! The matrix product.

use super::*;

/// Columns of the sizes `m, n, k`: around the vectors, tiles and thresholds of every instruction set.
const SIZES: [[usize; 3]; 35] = [
    [1, 1, 1],
    [1, 1, 130],
    [1, 5, 2],
    [1, 100, 33],
    [2, 3, 5],
    [3, 2, 1],
    [3, 130, 7],
    [5, 1, 48],
    [5, 7, 3],
    [7, 13, 12],
    [12, 12, 12],
    [13, 1, 17],
    [13, 31, 2],
    [16, 12, 16],
    [16, 33, 5],
    [17, 3, 13],
    [17, 16, 31],
    [31, 12, 100],
    [31, 65, 3],
    [32, 12, 7],
    [32, 2, 130],
    [32, 32, 32],
    [33, 13, 65],
    [33, 48, 1],
    [48, 7, 17],
    [48, 100, 12],
    [65, 1, 31],
    [65, 17, 48],
    [65, 130, 2],
    [100, 5, 65],
    [100, 31, 13],
    [130, 65, 33],
    [130, 130, 16],
    [65, 2, 100],
    [17, 4, 33],
];

/// Sizes that cross the blocks of k, of columns and of rows, and those whose A or B is copied because its columns fall on
/// one another in the cache.
const LARGE: [[usize; 3]; 12] = [
    [300, 30, 1100],
    [40, 3100, 9],
    [520, 20, 600],
    [33, 5, 2500],
    [1, 20, 1300],
    [600, 1, 90],
    [130, 1, 1030],
    [1024, 201, 128],
    [260, 30, 1024],
    [300, 61, 300],
    [40, 150, 30],
    [280, 320, 530],
];

/// `A B` in f64, and `sum |a b|`, which rounding errors are measured by, of the matrices that [`compare`] makes.
fn reference<T: Scalar>([m, n, k]: [usize; 3]) -> Vec<(f64, f64)> {
    let a_values = Grid::<T>::noise(m, k, Layout::Columns, 1).values();
    let b_values = Grid::<T>::noise(k, n, Layout::Columns, 2).values();
    let mut result = vec![(0.0, 0.0); m * n];
    for j in 0..n {
        for l in 0..k {
            let b = b_values[j * k + l];
            for (a, (sum, size)) in a_values[l * m..][..m].iter().zip(&mut result[j * m..]) {
                let product = a * b;
                (*sum, *size) = (*sum + product, *size + product.abs());
            }
        }
    }
    result
}

/// |error| <= (k + 3) u (sum |alpha a b| + |beta c|), u half a unit in the last place of 1: the worst case of any order of
/// summation.
fn compare<T: Scalar>(
    engines: &[Arc<dyn Engine<T>>],
    product: &[(f64, f64)],
    [m, n, k]: [usize; 3],
    layouts: [Layout; 3],
    variant: usize,
) {
    let mut a = Grid::<T>::noise(m, k, layouts[0], 1);
    let mut b = Grid::<T>::noise(k, n, layouts[1], 2);
    let (alpha, beta) = ([1.0, -0.5][variant % 2], [0.0, 1.0, 0.3][variant % 3]);
    let before = if beta == 0.0 {
        Grid::<T>::new(m, n, layouts[2], |_, _| f64::NAN)
    } else {
        Grid::<T>::noise(m, n, layouts[2], 3)
    };
    let kept = |i, j| if beta == 0.0 { 0.0 } else { T::from_f64(beta).to_f64() * before.get(i, j) };
    for engine in engines {
        let mut c = before.clone();
        let (alpha_t, beta_t) = (T::from_f64(alpha), T::from_f64(beta));
        unsafe { engine.gemm(alpha_t, a.span(), b.span(), beta_t, c.span()).unwrap() };
        c.check(
            &format!(
                "{} {} {m}x{n}x{k} {layouts:?} {alpha} {beta}",
                engine.device().description,
                T::NAME
            ),
            |i, j| alpha * product[j * m + i].0 + kept(i, j),
            |i, j| (k + 3) as f64 * epsilon::<T>() * (product[j * m + i].1 + kept(i, j).abs()),
        );
    }
}

fn small<T: Scalar>() {
    use Layout::*;
    let engines: Vec<_> = isas().into_iter().map(|isa| engine::<T>(isa, 1)).collect();
    let mut variant = 0;
    for size in SIZES {
        let product = reference::<T>(size);
        for bits in 0..8 {
            let layout = |bit: usize| if bits >> bit & 1 == 0 { Columns } else { Rows };
            compare(&engines, &product, size, [layout(0), layout(1), layout(2)], variant);
            variant += 1;
        }
        for layouts in [
            [Gaps; 3],
            [Sparse; 3],
            [SparseRows; 3],
            [Gaps, Sparse, Columns],
            [SparseRows, Rows, Gaps],
        ] {
            compare(&engines, &product, size, layouts, variant);
            variant += 1;
        }
    }
}

fn large<T: Scalar>() {
    use Layout::*;
    let engines: Vec<_> =
        isas().into_iter().flat_map(|isa| engines_for_processors::<T>(isa, 2)).collect();
    for (variant, size) in LARGE.into_iter().enumerate() {
        let product = reference::<T>(size);
        compare(&engines, &product, size, [Columns; 3], variant);
        compare(&engines, &product, size, [Columns, Rows, Columns], variant + 1);
        if size[0] < 1000 {
            compare(&engines, &product, size, [Rows, Gaps, Rows], variant + 1);
            compare(&engines, &product, size, [SparseRows, Sparse, Sparse], variant + 2);
        }
    }
}

#[test]
fn small_f32() {
    small::<f32>();
}

#[test]
fn small_f64() {
    small::<f64>();
}

#[test]
fn large_f32() {
    large::<f32>();
}

#[test]
fn large_f64() {
    large::<f64>();
}

/// Every size here is above the threshold from which threads share a product.
#[test]
fn threads_do_not_change_a_bit() {
    for isa in isas() {
        for ([m, n, k], a_layout) in [
            ([257, 130, 70], Layout::Columns),
            ([33, 300, 130], Layout::Rows),
            ([300, 11, 700], Layout::Columns),
            ([700, 1, 1100], Layout::Columns),
            ([700, 1, 1100], Layout::Rows),
            ([300, 784, 20], Layout::Columns),
            ([300, 410, 530], Layout::Columns),
            ([300, 410, 530], Layout::Rows),
        ] {
            let (mut a, mut b) = (
                Grid::<f32>::noise(m, k, a_layout, 1),
                Grid::<f32>::noise(k, n, Layout::Columns, 2),
            );
            let results: Vec<Vec<u32>> = [1, 2, 3, 4]
                .map(|threads| {
                    let mut c = Grid::<f32>::noise(m, n, Layout::Columns, 3);
                    unsafe {
                        engine::<f32>(isa, threads)
                            .gemm(0.7, a.span(), b.span(), 0.3, c.span())
                            .unwrap()
                    };
                    c.memory.iter().map(|x| x.to_bits()).collect()
                })
                .into();
            assert!(results.iter().all(|bits| *bits == results[0]), "{isa:?} {m}x{n}x{k}");
        }
    }
}

/// With few steps of k, subnormal elements of A count as zero, and nothing else changes its kind.
fn subnormal<T: Scalar>(subnormal: f64) {
    let elements = [subnormal, -subnormal, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.0, -0.0];
    for isa in isas() {
        let mut a = Grid::<T>::new(elements.len(), 1, Layout::Columns, |i, _| elements[i]);
        let mut b = Grid::<T>::new(1, 5, Layout::Columns, |_, _| 2.0);
        let mut c = Grid::<T>::new(elements.len(), 5, Layout::Columns, |_, _| 3.0);
        let engine = engine::<T>(isa, 1);
        unsafe {
            engine.gemm(T::from_f64(1.0), a.span(), b.span(), T::from_f64(0.0), c.span()).unwrap()
        };
        for column in c.values().chunks(elements.len()) {
            assert_eq!(column[..2], [0.0, 0.0], "{isa:?}");
            assert!(column[2].is_nan(), "{isa:?}");
            assert_eq!(column[3..], [f64::INFINITY, f64::NEG_INFINITY, 2.0, 0.0], "{isa:?}");
        }
    }
}

#[test]
fn subnormal_elements_count_as_zero() {
    subnormal::<f32>(1e-40);
    subnormal::<f64>(1e-310);
}
