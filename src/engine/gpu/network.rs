//! Small networks in one launch: the activations of a group's samples stay in its shared memory.

use super::*;
use crate::engine::network::{MOST_LAYERS, NetworkForward, NetworkLayer, NetworkStep};

/// Items of a group, at most: enough to hide the latency of memory, few enough for 128 registers each.
const ITEMS: usize = 512;
/// Weights that each item multiplies, at least, where a group is made smaller.
const SHARE_OF_ITEM: usize = 4;
/// Bytes of samples that an item holds in registers.
const TILE_BYTES: usize = 64;
/// Floating-point operations up to which one group is done before the launches of a kernel for each layer are.
const MOST_WORK: usize = 4_000_000;
/// Numbers of the weights count in `int`, by far.
const MOST_WEIGHTS: usize = 1 << 24;

/// How a network is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Items in a group.
    pub items: usize,
    /// Samples of a group, a multiple of `tile`.
    pub samples: usize,
    /// Samples in an item's registers.
    pub tile: usize,
    /// Elements of shared memory that partial sums and staged inputs take turns in.
    pub work: usize,
    /// All elements of shared memory.
    pub memory: usize,
}

impl Plan {
    /// For layers of these sizes, inputs first; `None` where that does not fit into `shared` bytes.
    fn new(
        sizes: &[usize],
        samples: usize,
        trains: bool,
        items: usize,
        (shared, scalar): (usize, usize),
    ) -> Option<Plan> {
        let lanes = 16 / scalar;
        let (rows, outputs) = (sizes[1..].iter().sum::<usize>(), sizes[sizes.len() - 1]);
        let kept = if trains { 2 * rows + outputs } else { rows };
        let plan = |tile: usize, items: usize| {
            let samples = samples.div_ceil(tile) * tile;
            // As network.kernel has it.
            let stride = ((samples / lanes) | 1) * lanes;
            let work = (items * tile).max((outputs + 1) * stride);
            Plan { items, samples, tile, work, memory: work + kept * stride }
        };
        // A weight is read once for each tile: that costs about as much as multiplying it by one vector.
        let cost = |tile: usize| samples.div_ceil(tile) * (tile + lanes);
        let mut tiles = [4, 3, 2, 1].map(|vectors| vectors * TILE_BYTES / 4 / scalar);
        tiles.sort_by_key(|&tile| cost(tile));
        let halves =
            std::iter::successors(Some(items), |items| (items / 2 >= 32).then_some(items / 2));
        let mut plans = halves.flat_map(|items| tiles.map(|tile| plan(tile, items)));
        plans.find(|plan| plan.memory * scalar <= shared)
    }
}

#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the callers of every block keep the promises of the engine's methods"
)]
impl<T: Scalar, D: Driver> Gpu<T, D> {
    /// How a network would be cut; `None` where it is not to be computed in one launch.
    pub(super) fn network_plan(
        &self,
        sizes: &[usize],
        samples: usize,
        trains: bool,
    ) -> Option<Plan> {
        let weights: usize = sizes
            .windows(2)
            .map(|pair| pair[0].saturating_mul(pair[1]))
            .fold(0, usize::saturating_add);
        let uses_library = self.policy.is_some_and(|policy| policy.everywhere);
        if self.fusion == Fusion::Never
            || uses_library
            || sizes.len() > MOST_LAYERS + 1
            || weights > MOST_WEIGHTS
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
        let items = self.items((largest / SHARE_OF_ITEM).next_power_of_two().clamp(32, ITEMS));
        let plan = Plan::new(sizes, of_group, trains, items, (self.traits().shared, scalar))?;
        // Forward, delta and gradient, a multiplication and an addition each.
        let work = if trains { 6 } else { 2 } * weights * plan.samples;
        let pays = !self.traits().is_cpu
            && work <= MOST_WORK
            && (trains || samples <= units * plan.samples);
        (pays || self.fusion == Fusion::Always).then_some(plan)
    }

    fn plan_of(&self, layers: &[NetworkLayer], samples: usize, trains: bool) -> Result<Plan> {
        let mut sizes = [layers[0].weights.columns; MOST_LAYERS + 1];
        sizes[1..].iter_mut().zip(layers).for_each(|(size, layer)| *size = layer.weights.rows);
        self.network_plan(&sizes[..=layers.len()], samples, trains).ok_or_else(|| {
            Error::argument("network", "it is not one that this device computes in one kernel")
        })
    }

    /// Options that both kernels have, and formulas.
    fn network_key(&self, layers: &[NetworkLayer], plan: Plan, trains: bool) -> Key {
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
        let mut key = self.key(text, kernel, 1, plan.items).with(&[
            ("TRAIN", usize::from(trains)),
            ("LAYERS", layers.len()),
            ("LAST", layers.len() - 1),
            ("SIZE_0", size(0)),
            ("SIZE_1", size(1)),
            ("SIZE_2", size(2)),
            ("SIZE_3", size(3)),
            ("SIZE_4", size(4)),
            ("SAMPLES", plan.samples),
            ("TILE", plan.tile),
            ("WORK", plan.work),
            ("MEMORY", plan.memory),
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

    /// Weights, bias and the formula's number of every layer; of those that are not there something of the right kind.
    fn push_layers(&self, arguments: &mut Arguments, layers: &[NetworkLayer]) {
        for l in 0..MOST_LAYERS {
            let layer = layers.get(l).unwrap_or(&layers[0]);
            arguments.push(Argument::Memory(layer.weights.handle));
            arguments.push(Argument::Memory(layer.bias.handle));
            let p = if let Transfer::Map(_, p) = layer.transfer { p[0] } else { 0.0 };
            arguments.push(self.real(p));
        }
    }

    pub(super) unsafe fn infer_network(&self, call: &NetworkForward<'_>) -> Result<()> {
        let NetworkForward { layers, input, output } = *call;
        let plan = self.plan_of(layers, input.columns, false)?;
        let mut arguments = Arguments::new();
        self.push_layers(&mut arguments, layers);
        arguments.push(self.int(input.columns)?);
        arguments.push_vector(input, input.column_stride);
        arguments.push_vector(output, output.column_stride);
        let key = self.network_key(layers, plan, false);
        unsafe {
            self.launch(key, [input.columns.div_ceil(plan.samples), 1], plan.items, &arguments)
        }
    }

    pub(super) unsafe fn train_network(&self, call: &NetworkStep<'_>) -> Result<()> {
        let NetworkStep { layers, sinks, samples, order, losses, hits, .. } = *call;
        let plan = self.plan_of(layers, call.batch, true)?;
        let mut key = self.network_key(layers, plan, true).with(&[
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
        unsafe { self.launch(key, [1, 1], plan.items, &arguments) }
    }
}
