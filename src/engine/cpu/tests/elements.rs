//! Element-wise loops, copies and reductions.

use super::*;
use crate::engine::formula::formula;

formula!(Half = "half", |x, p| x.mul_add(p[0], p[1]));
formula!(Mixed = "mixed", |x, y, p| x * y - p[2] * x);
static HALF: Map = Map::of::<Half>();
static MIXED: Zip = Zip::of::<Mixed>();
/// Around the vectors, the buffer of awkward strides and the part of a gapless matrix.
const SHAPES: [(usize, usize); 12] = [
    (1, 1),
    (1, 9),
    (3, 1),
    (7, 5),
    (16, 3),
    (17, 16),
    (255, 2),
    (256, 2),
    (257, 3),
    (1, 300),
    (8191, 1),
    (8193, 5),
];
const LAYOUTS: [Layout; 5] =
    [Layout::Columns, Layout::Rows, Layout::Gaps, Layout::Sparse, Layout::SparseRows];

fn map_and_zip<T: Scalar>() {
    let engines: Vec<_> = isas().into_iter().map(|isa| engine::<T>(isa, 2)).collect();
    let mut layout = 0;
    for (rows, columns) in SHAPES {
        // Every combination of three is too many for the large shapes: go through them in turn.
        for _ in 0..if rows < 300 { 125 } else { 25 } {
            let layouts = [LAYOUTS[layout % 5], LAYOUTS[layout / 5 % 5], LAYOUTS[layout / 25 % 5]];
            layout += if rows < 300 { 1 } else { 6 };
            for engine in &engines {
                check_map_and_zip(engine, rows, columns, layouts);
            }
        }
    }
}

fn check_map_and_zip<T: Scalar>(
    engine: &Arc<dyn Engine<T>>,
    rows: usize,
    columns: usize,
    layouts: [Layout; 3],
) {
    let mut x = Grid::<T>::noise(rows, columns, layouts[0], 1);
    let mut y = Grid::<T>::noise(rows, columns, layouts[1], 2);
    let mut z = Grid::<T>::new(rows, columns, layouts[2], |_, _| f64::NAN);
    let what = format!("{} {rows}x{columns} {layouts:?}", engine.device().description);
    unsafe { engine.map(&HALF, [0.5, 0.25, 0.0, 0.0], x.span(), z.span()).unwrap() };
    z.check(&what, |i, j| x.get(i, j) * 0.5 + 0.25, |_, _| epsilon::<T>());
    unsafe { engine.zip(&MIXED, [0.0, 0.0, 0.5, 0.0], x.span(), y.span(), z.span()).unwrap() };
    let mixed = |i, j| x.get(i, j) * y.get(i, j) - 0.5 * x.get(i, j);
    z.check(&what, mixed, |_, _| 2.0 * epsilon::<T>());
    // In place of either operand.
    let (mut in_x, mut in_y) = (x.clone(), y.clone());
    unsafe {
        engine.zip(&MIXED, [0.0, 0.0, 0.5, 0.0], in_x.span(), in_y.span(), in_x.span()).unwrap();
        in_x.check(&what, mixed, |_, _| 2.0 * epsilon::<T>());
        in_x = x.clone();
        engine.zip(&MIXED, [0.0, 0.0, 0.5, 0.0], in_x.span(), in_y.span(), in_y.span()).unwrap();
    }
    in_y.check(&what, mixed, |_, _| 2.0 * epsilon::<T>());
}

#[test]
fn map_and_zip_f32() {
    map_and_zip::<f32>();
}

#[test]
fn map_and_zip_f64() {
    map_and_zip::<f64>();
}

#[test]
fn copies_with_any_strides() {
    let engine = engine::<f32>(Isa::best(), 1);
    for (rows, columns) in [(1, 1), (1, 7), (5, 1), (4, 6), (33, 20)] {
        for layout in LAYOUTS {
            let flat = Grid::<f32>::noise(rows, columns, Layout::Columns, 4);
            let mut there = Grid::<f32>::new(rows, columns, layout, |_, _| 0.0);
            unsafe { engine.write(&flat.memory[..rows * columns], there.span()).unwrap() };
            there.check("write", |i, j| flat.get(i, j), |_, _| 0.0);
            let mut back = vec![0.0; rows * columns];
            unsafe { engine.read(there.span(), &mut back).unwrap() };
            assert_eq!(back, flat.memory[..rows * columns], "{layout:?}");
        }
    }
}

#[test]
fn copies_between_any_strides() {
    for from_layout in LAYOUTS {
        for to_layout in LAYOUTS {
            let mut from = Grid::<f64>::noise(19, 6, from_layout, 5);
            let mut to = Grid::<f64>::new(19, 6, to_layout, |_, _| 0.0);
            unsafe { super::super::elements::copy::<f64>(from.span(), to.span()) };
            to.check("copy", |i, j| from.get(i, j), |_, _| 0.0);
        }
    }
}

fn reduces<T: Scalar>() {
    let engine = engine::<T>(Isa::best(), 1);
    for (rows, columns) in [(1, 1), (7, 3), (8, 8), (1, 30), (100, 41)] {
        for layout in LAYOUTS {
            let (mut x, mut y) = (
                Grid::<T>::noise(rows, columns, layout, 6),
                Grid::<T>::noise(rows, columns, LAYOUTS[0], 7),
            );
            let (x_values, y_values) = (x.values(), y.values());
            let mut reduce = |what| unsafe { engine.reduce(what, x.span(), y.span()).unwrap() };
            let bound = 1e-13 * (rows * columns) as f64;
            let dot: f64 = x_values.iter().zip(&y_values).map(|(x, y)| x * y).sum();
            assert!((reduce(Reduction::Dot) - dot).abs() <= bound);
            assert!(
                (reduce(Reduction::Asum) - x_values.iter().map(|x| x.abs()).sum::<f64>()).abs()
                    <= bound
            );
            assert_eq!(
                reduce(Reduction::Amax),
                x_values.iter().fold(0.0, |a, x| f64::max(a, x.abs()))
            );
            let (i, j) = (rows / 2, columns / 2);
            let index = x.index(i, j);
            x.memory[index] = T::from_f64(f64::NAN);
            assert!(
                unsafe { engine.reduce(Reduction::Amax, x.span(), y.span()).unwrap() }.is_nan()
            );
        }
    }
}

#[test]
fn reduces_both() {
    reduces::<f32>();
    reduces::<f64>();
}

#[test]
fn gathers_columns() {
    let engine = engine::<f32>(Isa::best(), 1);
    for layout in LAYOUTS {
        let mut from = Grid::<f32>::noise(13, 6, layout, 8);
        let mut to = Grid::<f32>::new(13, 4, Layout::Columns, |_, _| f64::NAN);
        let indices = [9, 9, 5u32, 0, 3, 3, 9];
        let mut memory = [0u32; 7];
        let handle = Handle(memory.as_mut_ptr().cast());
        unsafe {
            engine.write_indices(&indices, handle).unwrap();
            engine.gather(from.span(), handle, 2, to.span(), 0).unwrap();
        }
        to.check("gather", |i, j| from.get(i, indices[2 + j] as usize), |_, _| 0.0);
    }
}

fn sums_rows<T: Scalar>() {
    for isa in isas() {
        let engine = engine::<T>(isa, 2);
        for (rows, columns) in [(1, 1), (7, 5), (16, 64), (30, 10), (257, 3), (515, 130)] {
            for (x_layout, y_layout) in LAYOUTS.into_iter().zip([
                Layout::Columns,
                Layout::Columns,
                Layout::Gaps,
                Layout::Sparse,
                Layout::Rows,
            ]) {
                for beta in [0.0, 0.5] {
                    let mut x = Grid::<T>::noise(rows, columns, x_layout, 9);
                    let before = Grid::<T>::new(rows, 1, y_layout, |i, _| {
                        if beta == 0.0 { f64::NAN } else { i as f64 }
                    });
                    let mut y = before.clone();
                    unsafe {
                        engine
                            .row_sums(T::from_f64(-0.25), x.span(), T::from_f64(beta), y.span())
                            .unwrap()
                    };
                    let sum = |i| (0..columns).map(|j| x.get(i, j)).sum::<f64>() * -0.25;
                    let kept = |i: usize| beta * if beta == 0.0 { 0.0 } else { i as f64 };
                    let bound =
                        |i, _| epsilon::<T>() * ((columns * (columns + 2)) as f64 + kept(i));
                    y.check(
                        &format!("{isa:?} {rows}x{columns} {x_layout:?}"),
                        |i, _| sum(i) + kept(i),
                        bound,
                    );
                }
            }
        }
    }
}

#[test]
fn sums_rows_both() {
    sums_rows::<f32>();
    sums_rows::<f64>();
}

#[test]
fn allocations_are_zero_and_aligned() {
    let engine = engine::<f64>(Isa::best(), 1);
    for bytes in [0, 8, 1000, 1 << 20] {
        let handle = engine.allocate(bytes).unwrap();
        assert_eq!(handle.0.addr() % 64, 0);
        unsafe {
            assert!(
                std::slice::from_raw_parts(handle.0.cast::<u8>(), bytes)
                    .iter()
                    .all(|byte| *byte == 0)
            );
            engine.free(handle, bytes);
        }
    }
    assert!(engine.allocate(usize::MAX).is_err());
}
