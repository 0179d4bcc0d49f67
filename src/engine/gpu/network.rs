//! Small networks in one launch, as fully fused MLPs are (Müller et al. 2021): the activations of a group's samples stay in its shared memory.
//!
//! `Engine::takes_network` decides, once, when a trainer or an inference is built. A kernel has up to 4 dense layers. `infer` gives every group
//! some samples; `train` is one group for the whole step: gather, forward, loss, hits, backward, and the gradients into their sinks. So a step of
//! 784-30-10 is one launch instead of nine. The kernel is compiled for the network: sizes, formulas and batch are constants of its text.

use super::device::Gpu;
use super::driver::{Argument, Arguments, Driver};
use super::program::{Key, Text};
use crate::engine::network::{MOST_LAYERS, NetworkForward, NetworkLayer, NetworkStep};
use crate::engine::{Fusion, LossFormula, Transfer};
use crate::error::{Error, Result};
use crate::scalar::Scalar;

/// Items of a group, at most: enough to hide the latency of memory, few enough for 128 registers each.
const MAX_ITEMS: usize = 512;
/// Items of a group, at least: those of a warp.
const MIN_ITEMS: usize = 32;
/// A group has no more items than one for as many weights of the largest layer.
const WEIGHTS_PER_ITEM: usize = 4;
/// Bytes of sums that an item holds in registers.
const TILE_BYTES: usize = 64;
/// Floating-point operations up to which one group is faster than a kernel for each layer: about what one multiprocessor does while eight
/// kernels are launched. Reckoned, not measured.
const MAX_FLOPS: usize = 4_000_000;
/// Weights of a network, at most: the kernels index them in `int`.
const MAX_WEIGHTS: usize = 1 << 24;

/// How a group is divided among items, and its shared memory among layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Items in a group.
    pub items: usize,
    /// Samples of a group, a multiple of `tile`.
    pub samples: usize,
    /// Samples in an item's registers.
    pub tile: usize,
    /// Elements of shared memory that partial sums and staged inputs use in turns.
    pub work: usize,
    /// All elements of shared memory.
    pub memory: usize,
}

impl Layout {
    /// For layers of these sizes, the inputs first; `None` if the network does not fit into `shared` bytes.
    fn new(
        sizes: &[usize],
        samples: usize,
        trains: bool,
        items: usize,
        (shared, scalar): (usize, usize),
    ) -> Option<Layout> {
        let lanes = 16 / scalar;
        let (rows, outputs) = (sizes[1..].iter().sum::<usize>(), sizes[sizes.len() - 1]);
        let kept = if trains { 2 * rows + outputs } else { rows };
        let layout = |tile: usize, items: usize| {
            let samples = samples.div_ceil(tile) * tile;
            // The stride of network.kernel.
            let stride = ((samples / lanes) | 1) * lanes;
            let work = (items * tile).max((outputs + 1) * stride);
            Layout { items, samples, tile, work, memory: work + kept * stride }
        };
        // A weight is read once for each tile: that costs about as much as multiplying it by one vector.
        let cost = |tile: usize| samples.div_ceil(tile) * (tile + lanes);
        let mut tiles = [4, 3, 2, 1].map(|vectors| vectors * TILE_BYTES / 4 / scalar);
        tiles.sort_by_key(|&tile| cost(tile));
        let halves = std::iter::successors(Some(items), |items| {
            (items / 2 >= MIN_ITEMS).then_some(items / 2)
        });
        let mut layouts = halves.flat_map(|items| tiles.map(|tile| layout(tile, items)));
        layouts.find(|layout| layout.memory * scalar <= shared)
    }
}

#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the callers of every block keep the promises of the engine's methods"
)]
impl<T: Scalar, D: Driver> Gpu<T, D> {
    /// The layout of a network's kernel; `None` where the network is computed layer by layer.
    pub(super) fn network_layout(
        &self,
        sizes: &[usize],
        samples: usize,
        trains: bool,
    ) -> Option<Layout> {
        let weights: usize = sizes
            .windows(2)
            .map(|pair| pair[0].saturating_mul(pair[1]))
            .fold(0, usize::saturating_add);
        let uses_library = self.policy.is_some_and(|policy| policy.everywhere);
        if self.fusion == Fusion::Never
            || uses_library
            || sizes.len() > MOST_LAYERS + 1
            || weights > MAX_WEIGHTS
        {
            return None;
        }
        let (scalar, units) = (size_of::<T>(), self.traits().units);
        let of_group = if trains {
            samples
        } else {
            samples.div_ceil(units).next_power_of_two().min(TILE_BYTES / scalar)
        };
        let largest = sizes.windows(2).map(|pair| pair[0] * pair[1]).max().unwrap_or(1);
        let items = self
            .items((largest / WEIGHTS_PER_ITEM).next_power_of_two().clamp(MIN_ITEMS, MAX_ITEMS));
        let layout = Layout::new(sizes, of_group, trains, items, (self.traits().shared, scalar))?;
        // Forward, delta and gradient, a multiplication and an addition each.
        let work = if trains { 6 } else { 2 } * weights * layout.samples;
        let pays = !self.traits().is_cpu
            && work <= MAX_FLOPS
            && (trains || samples <= units * layout.samples);
        (pays || self.fusion == Fusion::Always).then_some(layout)
    }

    fn layout_of(&self, layers: &[NetworkLayer], samples: usize, trains: bool) -> Result<Layout> {
        let mut sizes = [layers[0].weights.columns; MOST_LAYERS + 1];
        sizes[1..].iter_mut().zip(layers).for_each(|(size, layer)| *size = layer.weights.rows);
        self.network_layout(&sizes[..=layers.len()], samples, trains).ok_or_else(|| {
            Error::argument("network", "this device does not compute this network in one kernel; see Engine::takes_network")
        })
    }

    /// Options of both kernels, and formulas.
    fn network_key(&self, layers: &[NetworkLayer], layout: Layout, trains: bool) -> Key {
        let (text, kernel) = if trains { (Text::Train, "train") } else { (Text::Network, "infer") };
        let size = |l: usize| {
            if l == 0 {
                layers[0].weights.columns
            } else {
                layers.get(l - 1).map_or(0, |l| l.weights.rows)
            }
        };
        let bits = |holds: &dyn Fn(&NetworkLayer) -> bool| {
            layers
                .iter()
                .enumerate()
                .map(|(l, layer)| usize::from(holds(layer)) << l)
                .sum::<usize>()
        };
        let last = layers[layers.len() - 1];
        let mut key = self.key(text, kernel, 1, layout.items).with(&[
            ("TRAIN", usize::from(trains)),
            ("LAYERS", layers.len()),
            ("LAST", layers.len() - 1),
            ("SIZE_0", size(0)),
            ("SIZE_1", size(1)),
            ("SIZE_2", size(2)),
            ("SIZE_3", size(3)),
            ("SIZE_4", size(4)),
            ("SAMPLES", layout.samples),
            ("TILE", layout.tile),
            ("WORK", layout.work),
            ("MEMORY", layout.memory),
            ("MAPS", bits(&|layer| matches!(layer.transfer, Transfer::Map(..)))),
            ("KEEPS_Z", bits(&|layer| trains && matches!(layer.derivative, Some((_, true))))),
            ("SOFTMAX", usize::from(matches!(last.transfer, Transfer::Softmax))),
        ]);
        for (l, layer) in layers.iter().enumerate() {
            if let Transfer::Map(f, _) = layer.transfer {
                key = key.with_function(
                    ["transfer_0", "transfer_1", "transfer_2", "transfer_3"][l],
                    1,
                    f.kernel,
                );
            }
            if let (true, Some((f, _))) = (trains, layer.derivative) {
                key =
                    key.with_function(["slope_0", "slope_1", "slope_2", "slope_3"][l], 2, f.kernel);
            }
        }
        key
    }

    /// Weights, bias and the parameter of the formula of every layer. The arguments of absent layers are those of the first.
    fn push_layers(&self, arguments: &mut Arguments, layers: &[NetworkLayer]) {
        for l in 0..MOST_LAYERS {
            let layer = layers.get(l).unwrap_or(&layers[0]);
            arguments.push(Argument::Memory(layer.weights.handle));
            arguments.push(Argument::Memory(layer.bias.handle));
            let p = if let Transfer::Map(_, p) = layer.transfer { p[0] } else { 0.0 };
            arguments.push(self.real(p));
        }
    }

    /// Forward through all layers.
    pub(super) unsafe fn infer_network(&self, call: &NetworkForward<'_>) -> Result<()> {
        let NetworkForward { layers, batch, input, output } = *call;
        let layout = self.layout_of(layers, batch, false)?;
        let mut arguments = Arguments::new();
        self.push_layers(&mut arguments, layers);
        arguments.push(self.int(input.columns)?);
        arguments.push_vector(input, input.column_stride);
        arguments.push_vector(output, output.column_stride);
        let key = self.network_key(layers, layout, false);
        let groups = [input.columns.div_ceil(layout.samples), 1];
        let make = || self.make_network(&key);
        unsafe { self.launch_made(key, groups, layout.items, &arguments, make) }
    }

    /// No product is needed beside this kernel, so a product speaks for the driver.
    fn make_network(&self, key: &Key) -> Result<D::Kernel> {
        self.prove_a_product()?;
        self.compile(key)
    }

    /// A step of training.
    pub(super) unsafe fn train_network(&self, call: &NetworkStep<'_>) -> Result<()> {
        let NetworkStep { layers, sinks, samples, order, losses, hits, .. } = *call;
        let layout = self.layout_of(layers, call.batch, true)?;
        let mut key = self.network_key(layers, layout, true).with(&[
            ("GATHER", usize::from(order.is_some())),
            ("HITS", usize::from(hits.is_some())),
            ("ELEMENTS", usize::from(matches!(call.loss, LossFormula::Elements { .. }))),
        ]);
        let mut loss_p = 0.0;
        if let LossFormula::Elements { value, gradient, p } = call.loss {
            key = key.with_function("value", 2, value.kernel).with_function(
                "gradient",
                2,
                gradient.kernel,
            );
            loss_p = p[0];
        }
        let mut arguments = Arguments::new();
        self.push_layers(&mut arguments, layers);
        for l in 0..MOST_LAYERS {
            sinks
                .get(l)
                .unwrap_or(&sinks[0])
                .iter()
                .for_each(|sink| arguments.push(Argument::Memory(sink.handle)));
        }
        arguments.push(self.real(call.scale / samples as f64));
        arguments.push(self.real(call.keep));
        arguments.push(self.int(samples)?);
        let (indices, first) = order.unwrap_or((call.input.handle, 0));
        arguments.push(Argument::Memory(indices));
        arguments.push(self.int(first)?);
        arguments.push_vector(call.input, call.input.column_stride);
        arguments.push_vector(call.target, call.target.column_stride);
        arguments.push(self.real(loss_p));
        arguments.push_vector(losses, losses.column_stride);
        arguments.push(self.real(call.threshold));
        let hits = hits.unwrap_or(losses);
        arguments.push_vector(hits, hits.column_stride);
        let make = || self.make_network(&key);
        unsafe { self.launch_made(key, [1, 1], layout.items, &arguments, make) }
    }
}
