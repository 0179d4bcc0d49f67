//! What the engine requests of its driver, seen with a driver that computes nothing and records its calls.

#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the driver behind these engines touches no memory"
)]

use std::collections::BTreeSet;
use std::ptr;
use std::sync::{Arc, Mutex};

use super::device::{Gpu, MAX_COUNT};
use super::driver::{Argument, Driver, LibraryProduct, Rectangle, Traits};
use super::product_call::{Call, Output};
use super::reduced_precision::Store;
use super::tile::{Tile, Tiles};
use crate::engine::formula::{Map, Zip, formula};
use crate::engine::simd::math;
use crate::engine::{
    DenseForward, Derivative, Device, Engine, Handle, Library, MatmulPrecision, Settings, Span,
    Transfer,
};
use crate::error::Result;
use crate::scalar::Scalar;

pub(in crate::engine) mod tiles;

formula!(Curve = "curve", |x, _p| math::tanh(x), "hyperbolic_tangent(x)");
formula!(Slope = "slope", |g, a, _p| g * (V::of(1.0) - a * a), "x * (V(1.0) - y * y)");
static CURVE: Map = Map::of::<Curve>();
static SLOPE: Zip = Zip::of::<Slope>();

/// Memory that is never accessed.
const NOWHERE: Handle = Handle(ptr::dangling_mut::<f64>().cast());

/// A driver that computes nothing, and records what it is to compile, in CUDA's dialect, and to launch.
pub(in crate::engine) struct Recorder {
    device: Device,
    traits: Traits,
    /// Whether it has a library of products.
    has_library: bool,
    record: Arc<Mutex<Record>>,
}

#[derive(Default)]
pub(in crate::engine) struct Record {
    /// Name and source of kernels.
    pub kernels: BTreeSet<(String, String)>,
    pub launches: Vec<Launch>,
    pub allocations: usize,
}

pub(in crate::engine) struct Launch {
    pub groups: [usize; 2],
    pub items: usize,
    pub arguments: Vec<Argument>,
}

impl Recorder {
    pub fn new(traits: Traits) -> (Self, Arc<Mutex<Record>>) {
        let record = Arc::new(Mutex::new(Record::default()));
        let device = Device { name: "recorder".to_owned(), ..Device::default() };
        (Recorder { device, traits, has_library: false, record: Arc::clone(&record) }, record)
    }
}

impl Driver for Recorder {
    type Kernel = ();
    const DIALECT: &'static str = include_str!("../kernels/cuda.h");

    fn device(&self) -> &Device {
        &self.device
    }

    fn traits(&self) -> &Traits {
        &self.traits
    }

    fn allocate(&self, _bytes: usize) -> Result<Handle> {
        let mut record = self.record.lock().unwrap();
        record.allocations += 1;
        Ok(Handle(ptr::without_provenance_mut(record.allocations)))
    }

    unsafe fn free(&self, _handle: Handle) {}

    unsafe fn write(&self, _from: *const u8, _to: Rectangle) -> Result<()> {
        Ok(())
    }

    unsafe fn read(&self, from: Rectangle, to: *mut u8) -> Result<()> {
        unsafe { to.write_bytes(0, from.rows * from.width) };
        Ok(())
    }

    fn compile(&self, source: &str, name: &str) -> Result<()> {
        self.record.lock().unwrap().kernels.insert((name.to_owned(), source.to_owned()));
        Ok(())
    }

    unsafe fn launch(
        &self,
        _kernel: &(),
        groups: [usize; 2],
        items: usize,
        arguments: &[Argument],
    ) -> Result<()> {
        let arguments = arguments.to_vec();
        self.record.lock().unwrap().launches.push(Launch { groups, items, arguments });
        Ok(())
    }

    fn library(&self) -> Option<&str> {
        self.has_library.then_some("recorder")
    }

    unsafe fn library_product(&self, _product: &LibraryProduct) -> Result<bool> {
        Ok(true)
    }

    fn finish(&self) -> Result<()> {
        Ok(())
    }
}

/// The limits of a GPU without vectors, with many units, so that small matrices are computed by small tiles.
pub(in crate::engine) fn gpu_traits(shared: usize) -> Traits {
    Traits {
        is_cpu: false,
        units: 132,
        items: 1024,
        shared,
        width: [1, 1],
        fp64: true,
        identity: "recorder\nrecorder".to_owned(),
    }
}

fn span(rows: usize, columns: usize) -> Span {
    Span { handle: NOWHERE, offset: 0, rows, columns, row_stride: 1, column_stride: rows }
}

/// The kernels of products with every output, for every candidate of the tuner.
pub(in crate::engine) fn every_product<T: Scalar>(traits: Traits) -> BTreeSet<(String, String)> {
    let (recorder, record) = Recorder::new(traits);
    let gpu = Gpu::<T, _>::new(recorder, None, &Settings::default()).unwrap();
    for tile in Tiles::candidates(gpu.traits(), size_of::<T>()) {
        let tiles = Tiles { large: tile, small: tile };
        let [a, b, c] = [span(5, 7), span(7, 3), span(5, 3)];
        let plain = Call::plain(1.0, a, b, 0.0, c);
        let map = Output::Map { f: &CURVE, p: [0.0; 4], out: c, keeps_c: true };
        let zip = Output::Zip { f: &SLOPE, p: [0.0; 4], kept: c };
        for call in [
            plain,
            Call { sums: Some(span(5, 1)), ..plain },
            Call { bias: Some(span(5, 1)), output: map, ..plain },
            Call { output: zip, ..plain },
        ] {
            unsafe { gpu.product_with(&tiles, &call) }.unwrap();
        }
    }
    std::mem::take(&mut record.lock().unwrap().kernels)
}

/// The kernels that read or write 16-bit copies.
pub(in crate::engine) fn every_copy(traits: Traits) -> BTreeSet<(String, String)> {
    let mut kernels = BTreeSet::new();
    for matmul in [MatmulPrecision::Bf16, MatmulPrecision::F16] {
        let (recorder, record) = Recorder::new(traits.clone());
        let settings = Settings { matmul, library: Library::Always, ..Settings::default() };
        let gpu = Gpu::<f32, _>::new(Recorder { has_library: true, ..recorder }, None, &settings)
            .unwrap();
        let [a, b, c, kept] = [(); 4].map(|()| gpu.allocate(1).unwrap());
        let at = |handle, rows, columns| Span { handle, ..span(rows, columns) };
        let derivative = Derivative::Zip(&SLOPE, [0.0; 4], at(kept, 3, 5));
        unsafe {
            // No operand in 16 bits, one, both; the result with its copy, and the copy alone.
            gpu.elements_stored("x", [0.0; 4], at(a, 4, 3), None, at(b, 4, 3), Store::Both)
                .unwrap();
            gpu.dense_propagate(at(a, 4, 3), at(b, 4, 5), derivative, at(c, 3, 5)).unwrap();
            let (weights, input, bias, output) =
                (at(a, 3, 4), at(b, 4, 5), at(a, 3, 1), at(kept, 3, 5));
            let (transfer, z) = (Transfer::Map(&CURVE, [0.0; 4]), Some(at(c, 3, 5)));
            let call = DenseForward {
                weights,
                packed: None,
                input,
                bias,
                transfer,
                z,
                output,
                rounds: true,
                trains: true,
            };
            gpu.dense_forward(&call).unwrap();
            gpu.dense_propagate(at(a, 4, 3), at(b, 4, 5), derivative, at(c, 3, 5)).unwrap();
            gpu.row_sums(1.0, at(c, 3, 5), 0.0, at(b, 3, 1)).unwrap();
            gpu.read(at(c, 3, 5), &mut [0.0; 15]).unwrap();
        }
        kernels.append(&mut record.lock().unwrap().kernels);
    }
    kernels
}

fn gpu<T: Scalar>() -> (Gpu<T, Recorder>, Arc<Mutex<Record>>) {
    let (recorder, record) = Recorder::new(gpu_traits(48 << 10));
    (Gpu::new(recorder, None, &Settings::default()).unwrap(), record)
}

/// Every element of C belongs to one item of one group, and no group has nothing to do.
#[test]
fn tiles_cover_c_exactly_once() {
    let (gpu, record) = gpu::<f32>();
    let sizes = [1, 2, 31, 32, 33, 63, 64, 65, 127, 129, 1000];
    for tile in Tiles::candidates(gpu.traits(), 4) {
        let block = tile.block(gpu.width());
        for lanes in [2, 4] {
            assert_eq!(rows_and_columns(&tile, lanes), expected(block), "{tile:?}");
        }
        // The items of a group divide a slice evenly.
        let [rows, columns] = block;
        for side in [rows, columns, tile.slice] {
            assert!(tile.items % side == 0 && side % 4 == 0, "{tile:?}");
        }
        assert!([rows, columns].iter().all(|side| side * tile.slice % tile.items == 0), "{tile:?}");
        for (m, n) in sizes.iter().flat_map(|m| sizes.iter().map(move |n| (*m, *n))) {
            let call = Call::plain(1.0, span(m, 5), span(5, n), 0.0, span(m, n));
            unsafe { gpu.product_with(&Tiles { large: tile, small: tile }, &call) }.unwrap();
            let launch = record.lock().unwrap().launches.pop().unwrap();
            assert_eq!(launch.items, tile.items);
            for (groups, (size, block)) in
                launch.groups.into_iter().zip([m, n].into_iter().zip(block))
            {
                assert!(
                    (groups - 1) * block < size && size <= groups * block,
                    "{tile:?}: {m} x {n}, {groups} groups"
                );
            }
        }
    }
}

/// Rows and columns of C that the items of a group hold, in the layout of product.kernel with `lanes` contiguous scalars.
fn rows_and_columns(tile: &Tile, lanes: usize) -> BTreeSet<(usize, usize)> {
    let down = tile.items / tile.across;
    let place = |index: usize, stride: usize, item: usize| {
        (index / lanes * stride + item) * lanes + index % lanes
    };
    let mut all = BTreeSet::new();
    for item in 0..tile.items {
        for (v, t) in (0..tile.vectors).flat_map(|v| (0..tile.columns).map(move |t| (v, t))) {
            let row = place(v, tile.across, item % tile.across);
            assert!(all.insert((row, place(t, down, item / tile.across))), "{tile:?}");
        }
    }
    all
}

fn expected([rows, columns]: [usize; 2]) -> BTreeSet<(usize, usize)> {
    (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))).collect()
}

/// Tiles that do not fit the device are not measured.
#[test]
fn tiles_fit_the_memory_of_a_group() {
    for shared in [16 << 10, 48 << 10] {
        for scalar in [4, 8] {
            let candidates = Tiles::candidates(&gpu_traits(shared), scalar);
            assert!(!candidates.is_empty());
            assert!(
                candidates
                    .iter()
                    .all(|tile| tile.shared(1, scalar) <= shared && tile.items <= 1024)
            );
        }
    }
    // The smallest device, as the refusal of a smaller one states it.
    let smallest = Traits { items: 64, ..gpu_traits(5 << 10) };
    assert!([4, 8].iter().all(|&scalar| Tiles::untuned(&smallest, scalar).is_some()));
    assert_eq!(Tiles::untuned(&Traits { items: 63, ..smallest }, 4), None);
}

#[test]
fn the_first_arguments_are_what_the_text_says() {
    let (gpu, record) = gpu::<f32>();
    unsafe { gpu.gemm(2.0, span(4, 3), span(3, 5), 0.5, span(4, 5)) }.unwrap();
    let launch = record.lock().unwrap().launches.pop().unwrap();
    let counts = |argument: &Argument| matches!(argument, Argument::Int(_));
    assert!(matches!(
        launch.arguments[..3],
        [Argument::Int(4), Argument::Int(5), Argument::Int(3)]
    ));
    assert!(launch.arguments[..6].iter().all(counts));
    assert!(matches!(launch.arguments[6..8], [Argument::Single(2.0), Argument::Single(0.5)]));
    assert!(matches!(
        launch.arguments[8..12],
        [Argument::Memory(NOWHERE), Argument::Index(0), Argument::Index(1), Argument::Index(4)]
    ));
    assert_eq!(launch.arguments.len(), 8 + 3 * 4);
}

/// More elements than an `int` counts stay rows and columns; more rows than that are refused.
#[test]
fn large_matrices_are_counted_right_or_refused() {
    let (gpu, record) = gpu::<f32>();
    let x = span(1 << 20, 1 << 12);
    unsafe { gpu.map(&CURVE, [0.0; 4], x, x) }.unwrap();
    let launch = record.lock().unwrap().launches.pop().unwrap();
    assert!(matches!(launch.arguments[..2], [Argument::Int(0x10_0000), Argument::Int(0x1000)]));
    assert!(launch.groups.iter().all(|side| *side <= 65_535));
    let x = span(MAX_COUNT + 1, 1);
    let error = unsafe { gpu.map(&CURVE, [0.0; 4], x, x) }.unwrap_err();
    assert!(error.to_string().contains("rows or columns"), "{error}");
}
