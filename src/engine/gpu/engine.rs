//! The methods of [`Engine`], most of which hand over to a file of their own.

use super::device::Gpu;
use super::driver::{Argument, Arguments, Driver, Rectangle};
use super::product_call::{Call, Output};
use super::program::Text;
use super::transfer;
use crate::engine::{
    Blend, BlendGradient, BlendPropagate, DenseForward, DenseGradient, Derivative, Device, Embed,
    EmbedGradient, Engine, Handle, LookUp, LookUpGradient, LossCall, Map, Message, NetworkForward,
    NetworkStep, Normalize, NormalizePropagate, Reduction, Span, Transfer, TunedTile, UpdateCall,
    Zip,
};
use crate::error::Result;
use crate::processes::Group;
use crate::random::Philox;
use crate::scalar::Scalar;

impl<T: Scalar, D: Driver> crate::engine::interface::Sealed for Gpu<T, D> {}

#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "every block calls a method whose promise is that of the trait's method, which the caller keeps"
)]
impl<T: Scalar, D: Driver> Engine<T> for Gpu<T, D> {
    fn device(&self) -> &Device {
        &self.device
    }

    fn peak_flops(&self) -> Option<f64> {
        self.measure_peak().ok()
    }

    fn tune(&self) -> Result<Vec<TunedTile>> {
        self.tune_and_report()
    }

    fn allocate(&self, bytes: usize) -> Result<Handle> {
        self.allocate_with_copy(bytes)
    }

    unsafe fn free(&self, handle: Handle, _bytes: usize) {
        self.forget_copy(handle);
        unsafe { self.driver.free(handle) }
    }

    unsafe fn write(&self, from: &[T], to: Span) -> Result<()> {
        unsafe { self.update_numbers(to.handle)? };
        self.invalidate_copy(to.handle);
        unsafe { transfer::write(&self.driver, from, to) }
    }

    unsafe fn read(&self, from: Span, to: &mut [T]) -> Result<()> {
        unsafe { self.update_numbers(from.handle)? };
        unsafe { transfer::read(&self.driver, from, to) }
    }

    unsafe fn write_indices(&self, from: &[u32], to: Handle) -> Result<()> {
        let width = size_of_val(from);
        unsafe {
            self.driver.write(
                from.as_ptr().cast(),
                Rectangle { handle: to, offset: 0, width, rows: 1, pitch: width },
            )
        }
    }

    fn synchronize(&self) -> Result<()> {
        self.driver.finish()
    }

    fn begin_step(&self) {
        self.driver.begin_step();
    }

    fn end_step(&self) -> Result<()> {
        self.driver.end_step()
    }

    fn connect(&self, group: &Group) -> Result<bool> {
        self.driver.connect(group, self.note)
    }

    unsafe fn exchange(&self, sent: &[Message], received: &[Message]) -> Result<()> {
        for message in sent.iter().chain(received) {
            unsafe { self.update_numbers(message.handle)? };
        }
        received.iter().for_each(|message| self.invalidate_copy(message.handle));
        unsafe { self.driver.exchange(sent, received) }
    }

    unsafe fn map(&self, f: &'static Map, p: [f64; 4], x: Span, y: Span) -> Result<()> {
        unsafe { self.elements(f.kernel, p, x, None, y) }
    }

    unsafe fn zip(&self, f: &'static Zip, p: [f64; 4], x: Span, y: Span, z: Span) -> Result<()> {
        unsafe { self.elements(f.kernel, p, x, Some(y), z) }
    }

    unsafe fn uniform(&self, stream: &Philox, to: Span) -> Result<()> {
        let items = self.items(256);
        let mut arguments = Arguments::new();
        arguments.push(self.int(to.rows)?);
        arguments.push(self.int(to.columns)?);
        stream.state().into_iter().for_each(|word| arguments.push(Argument::Int(word as i32)));
        arguments.push_span(to);
        let key = self.key(Text::Random, "uniform", 1, items);
        // An item computes four numbers.
        let counters = (to.rows * to.columns).div_ceil(4);
        unsafe { self.launch(key, self.grid(counters, 1, items), items, &arguments) }
    }

    unsafe fn gemm(&self, alpha: T, a: Span, b: Span, beta: T, c: Span) -> Result<()> {
        let (alpha, beta) = (alpha.to_f64(), beta.to_f64());
        let turned = c.row_stride != 1 && c.column_stride == 1;
        let (a, b, c) = if turned { (b.t(), a.t(), c.t()) } else { (a, b, c) };
        unsafe { self.product(&Call::plain(alpha, a, b, beta, c)) }
    }

    unsafe fn row_sums(&self, alpha: T, x: Span, beta: T, y: Span) -> Result<()> {
        unsafe { self.sums_of_rows(alpha.to_f64(), x, beta.to_f64(), y) }
    }

    unsafe fn reduce(&self, reduction: Reduction, x: Span, y: Span) -> Result<f64> {
        unsafe { self.reduced(reduction, x, y) }
    }

    unsafe fn gather(
        &self,
        from: Span,
        indices: Handle,
        from_index: usize,
        to: Span,
        _next: usize,
    ) -> Result<()> {
        let items = self.items(64);
        let mut arguments = Arguments::new();
        arguments.push(self.int(to.rows)?);
        arguments.push(self.int(to.columns)?);
        arguments.push(Argument::Memory(indices));
        arguments.push(Argument::Index(from_index as i64));
        arguments.push_span(from);
        arguments.push_span(to);
        let key = self.key(Text::Gather, "gather", self.width(), items);
        unsafe { self.launch(key, self.grid(to.rows, to.columns, items), items, &arguments) }
    }

    unsafe fn dense_forward(&self, call: &DenseForward) -> Result<()> {
        let DenseForward { weights, input, bias, transfer, z, output, rounds, trains, .. } = *call;
        let sum = z.unwrap_or(output);
        let plain = Call::plain(1.0, weights, input, 0.0, sum);
        let output_of_c = match transfer {
            Transfer::Map(f, p) => Output::Map { f, p, out: output, keeps_c: z.is_some() },
            _ => Output::Plain,
        };
        unsafe {
            self.product(&Call { bias: Some(bias), output: output_of_c, rounds, trains, ..plain })?;
            match transfer {
                Transfer::Map(..) => Ok(()),
                Transfer::Identity if sum == output => Ok(()),
                Transfer::Identity => self.elements("x", [0.0; 4], sum, None, output),
                Transfer::Softmax if sum.row_stride == 1 => self.softmax(sum, output),
                Transfer::Softmax => {
                    self.elements("x", [0.0; 4], sum, None, output)?;
                    self.softmax(output, output)
                }
            }
        }
    }

    unsafe fn dense_propagate(
        &self,
        weights: Span,
        delta: Span,
        derivative: Derivative,
        out: Span,
    ) -> Result<()> {
        let plain = Call::plain(1.0, weights.t(), delta, 0.0, out);
        let rounded = Call { rounds: true, ..plain };
        unsafe {
            match derivative {
                Derivative::One => self.product(&rounded),
                Derivative::Zip(f, p, kept) => {
                    self.product(&Call { output: Output::Zip { f, p, kept }, ..rounded })
                }
                Derivative::Softmax(a) => {
                    self.product(&plain)?;
                    self.softmax_derivative(a, out)
                }
            }
        }
    }

    unsafe fn dense_gradient(&self, call: &DenseGradient) -> Result<()> {
        let DenseGradient { delta, input, weights, bias, scale, keep } = *call;
        let plain = Call::plain(scale / delta.columns as f64, delta, input.t(), keep, weights);
        unsafe { self.product(&Call { sums: Some(bias), ..plain }) }
    }

    fn takes_network(&self, sizes: &[usize], samples: usize, trains: bool) -> bool {
        self.network_layout(sizes, samples, trains).is_some()
    }

    unsafe fn network_forward(&self, call: &NetworkForward<'_>) -> Result<()> {
        unsafe { self.infer_network(call) }
    }

    unsafe fn network_step(&self, call: &NetworkStep<'_>) -> Result<()> {
        unsafe { self.train_network(call) }
    }

    unsafe fn normalize(&self, call: &Normalize) -> Result<()> {
        unsafe { self.normalize_matrix(call) }
    }

    unsafe fn normalize_propagate(&self, call: &NormalizePropagate) -> Result<()> {
        unsafe { self.normalize_back(call) }
    }

    unsafe fn row_dots(&self, alpha: T, x: Span, y: Span, beta: T, sums: Span) -> Result<()> {
        unsafe { self.row_dots_of(alpha.to_f64(), x, y, beta.to_f64(), sums) }
    }

    unsafe fn embed(&self, call: &Embed) -> Result<()> {
        unsafe { self.embed_numbers(call) }
    }

    unsafe fn embed_gradient(&self, call: &EmbedGradient) -> Result<()> {
        unsafe { self.gradient_of_embedding(call) }
    }

    unsafe fn look_up(&self, call: &LookUp) -> Result<()> {
        unsafe { self.look_up_categories(call) }
    }

    unsafe fn look_up_gradient(&self, call: &LookUpGradient) -> Result<()> {
        unsafe { self.gradient_of_look_up(call) }
    }

    unsafe fn blend(&self, call: &Blend) -> Result<()> {
        unsafe { self.blend_elements(call) }
    }

    unsafe fn blend_propagate(&self, call: &BlendPropagate) -> Result<()> {
        unsafe { self.blend_back(call) }
    }

    unsafe fn blend_gradient(&self, call: &BlendGradient) -> Result<()> {
        unsafe { self.gradient_of_blend(call) }
    }

    unsafe fn update(&self, call: &UpdateCall) -> Result<()> {
        unsafe { self.update_elements(call) }
    }

    unsafe fn squares(&self, x: Span, sums: Span) -> Result<()> {
        unsafe { self.squares_of_shares(x, sums) }
    }

    unsafe fn loss(&self, call: &LossCall) -> Result<()> {
        unsafe { self.loss_of_columns(call) }
    }

    unsafe fn hits(&self, output: Span, target: Span, threshold: T, hits: Span) -> Result<()> {
        unsafe { self.hits_of_columns(output, target, threshold.to_f64(), hits) }
    }
}
