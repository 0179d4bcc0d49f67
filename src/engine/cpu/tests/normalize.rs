//! Normalization on every instruction set, against the formulas.

use super::*;
use crate::engine::{Along, Normalize, NormalizePropagate};

const EPSILON: f64 = 1e-3;

struct Grid<T> {
    values: Vec<T>,
    rows: usize,
    columns: usize,
}

impl<T: Scalar> Grid<T> {
    fn new(rows: usize, columns: usize, noise: &mut Noise) -> Self {
        let values = (0..rows * columns).map(|_| T::from_f64(noise.next())).collect();
        Grid { values, rows, columns }
    }

    fn span(&mut self) -> Span {
        let handle = Handle(self.values.as_mut_ptr().cast());
        Span {
            handle,
            offset: 0,
            rows: self.rows,
            columns: self.columns,
            row_stride: 1,
            column_stride: self.rows,
        }
    }

    fn at(&self, i: usize, j: usize) -> f64 {
        self.values[i + j * self.rows].to_f64()
    }
}

fn run<T: Scalar>(isa: Isa, along: Along, rows: usize, columns: usize, bound: f64) {
    let engine = engine::<T>(isa, 2);
    let mut noise = Noise((rows * 1000 + columns) as u64);
    let mut grid = |rows, columns| Grid::<T>::new(rows, columns, &mut noise);
    let lines = if along == Along::Rows { rows } else { columns };
    let (mut x, mut delta) = (grid(rows, columns), grid(rows, columns));
    let (mut gamma, mut beta, mut moments) = (grid(rows, 1), grid(rows, 1), grid(lines, 2));
    let (mut normalized, mut z, mut back) =
        (grid(rows, columns), grid(rows, columns), grid(rows, columns));
    let (mut dots, before) = (grid(rows, 1), 0.5);
    dots.values.fill(T::from_f64(before));
    let forward = Normalize {
        along,
        input: x.span(),
        weights: gamma.span(),
        bias: beta.span(),
        epsilon: EPSILON,
        moments: Some(moments.span()),
        given: false,
        normalized: Some(normalized.span()),
        output: z.span(),
    };
    let backward = NormalizePropagate {
        along,
        weights: gamma.span(),
        epsilon: EPSILON,
        moments: moments.span(),
        given: false,
        normalized: normalized.span(),
        delta: delta.span(),
        output: back.span(),
    };
    unsafe {
        engine.normalize(&forward).unwrap();
        engine.normalize_propagate(&backward).unwrap();
        let (two, half) = (T::from_f64(2.0), T::from_f64(0.5));
        engine.row_dots(two, delta.span(), normalized.span(), half, dots.span()).unwrap();
    }
    let what = format!("{} {along:?} {rows} x {columns}", isa.name());
    let close = |ours: f64, theirs: f64, name: &str| {
        assert!(
            (ours - theirs).abs() < bound * (1.0 + theirs.abs()),
            "{what}: {name} is {ours}, not {theirs}"
        );
    };
    // The places of a line, the same for every element of it.
    let line = |i: usize, j: usize| -> Vec<(usize, usize)> {
        match along {
            Along::Rows => (0..columns).map(|j| (i, j)).collect(),
            Along::Columns => (0..rows).map(|i| (i, j)).collect(),
        }
    };
    let mean = |line: &[(usize, usize)], f: &dyn Fn(usize, usize) -> f64| {
        line.iter().map(|&(i, j)| f(i, j)).sum::<f64>() / line.len() as f64
    };
    for (i, j) in (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))) {
        let line = line(i, j);
        let mu = mean(&line, &|i, j| x.at(i, j));
        let variance = mean(&line, &|i, j| (x.at(i, j) - mu).powi(2));
        let hat = |i: usize, j: usize| (x.at(i, j) - mu) / (variance + EPSILON).sqrt();
        close(normalized.at(i, j), hat(i, j), "normalized");
        close(z.at(i, j), gamma.at(i, 0) * hat(i, j) + beta.at(i, 0), "z");
        let by_hat = |i: usize, j: usize| gamma.at(i, 0) * delta.at(i, j);
        let (g, h) = (mean(&line, &by_hat), mean(&line, &|i, j| by_hat(i, j) * hat(i, j)));
        close(
            back.at(i, j),
            (by_hat(i, j) - g - hat(i, j) * h) / (variance + EPSILON).sqrt(),
            "dC/dx",
        );
    }
    for i in 0..rows {
        let dot: f64 = (0..columns).map(|j| delta.at(i, j) * normalized.at(i, j)).sum();
        close(dots.at(i, 0), 2.0 * dot + 0.5 * before, "dots");
    }
}

#[test]
fn both_ways_on_every_instruction_set() {
    for isa in isas() {
        for along in [Along::Rows, Along::Columns] {
            for (rows, columns) in [(1, 2), (2, 1), (7, 3), (16, 9), (17, 33), (65, 40), (300, 130)]
            {
                run::<f32>(isa, along, rows, columns, 5e-5);
                run::<f64>(isa, along, rows, columns, 1e-12);
            }
        }
    }
}
