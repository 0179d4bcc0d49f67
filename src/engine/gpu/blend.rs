//! Parametric activations.

use super::device::Gpu;
use super::driver::{Arguments, Driver};
use super::program::{Key, Text};
use crate::engine::{Along, Blend, BlendGradient, BlendPropagate, Derivative, Elementwise};
use crate::error::Result;
use crate::scalar::Scalar;

#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the callers of every block keep the promises of the engine's methods"
)]
impl<T: Scalar, D: Driver> Gpu<T, D> {
    /// An element-wise kernel of `blend.kernel`.
    fn blend_key(&self, kernel: &'static str, items: usize, f: Elementwise) -> Key {
        self.key(Text::Blend, kernel, self.width(), items).with_function("formula", 1, f.map.kernel)
    }

    pub(super) unsafe fn blend_elements(&self, call: &Blend) -> Result<()> {
        let Blend { f, weights, input, output } = *call;
        let items = self.items(256);
        let mut arguments = Arguments::new();
        arguments.push(self.int(input.rows)?);
        arguments.push(self.int(input.columns)?);
        self.push_parameters(&mut arguments, f.p);
        for span in [weights, input, output] {
            arguments.push_vector(span, span.column_stride);
        }
        let key = self.blend_key("blend", items, f);
        unsafe { self.launch(key, self.grid(input.rows, input.columns, items), items, &arguments) }
    }

    /// The option `PROPAGATES` of the kernel has the function of the derivative, `BEHIND` that of the layer before.
    pub(super) unsafe fn blend_back(&self, call: &BlendPropagate) -> Result<()> {
        let BlendPropagate { f, weights, input, delta, before, output } = *call;
        let items = self.items(256);
        let mut key = self
            .blend_key("blend_propagate", items, f)
            .with(&[("PROPAGATES", 1), ("KEEPS_INPUT", usize::from(f.keeps_input))])
            .with_function("derivative", 2, f.derivative.kernel);
        let (mut q, mut kept) = ([0.0; 4], input);
        if let Derivative::Zip(f, parameters, span) = before {
            key = key.with(&[("BEHIND", 1)]).with_function("before", 2, f.kernel);
            (q, kept) = (parameters, span);
        }
        let mut arguments = Arguments::new();
        arguments.push(self.int(delta.rows)?);
        arguments.push(self.int(delta.columns)?);
        self.push_parameters(&mut arguments, f.p);
        self.push_parameters(&mut arguments, q);
        for span in [weights, input, delta, kept, output] {
            arguments.push_vector(span, span.column_stride);
        }
        unsafe { self.launch(key, self.grid(delta.rows, delta.columns, items), items, &arguments) }
    }

    pub(super) unsafe fn gradient_of_blend(&self, call: &BlendGradient) -> Result<()> {
        let BlendGradient { f, input, delta, scale, keep, sink } = *call;
        let (key, items, side) = self.lines_key(Text::Blend, "blend_gradient");
        let key = key.with_function("formula", 1, f.map.kernel);
        let mut arguments = Arguments::new();
        arguments.push(self.int(delta.rows)?);
        arguments.push(self.int(delta.columns)?);
        arguments.push(self.real(scale / delta.columns as f64));
        arguments.push(self.real(keep));
        self.push_parameters(&mut arguments, f.p);
        for span in [input, delta, sink] {
            arguments.push_vector(span, span.column_stride);
        }
        unsafe { self.launch(key, self.lines(Along::Rows, delta, side), items, &arguments) }
    }
}
