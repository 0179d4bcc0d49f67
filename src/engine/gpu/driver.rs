//! What an API for GPUs must offer, and nothing beyond it.

use crate::engine::{Device, Handle, Span};
use crate::error::Result;

/// A device's share of an API: memory, kernels, launches. Everything is done in the order of the calls; calls enqueue, and
/// `read` and `finish` wait.
pub(in crate::engine) trait Driver: Send + Sync {
    /// A compiled kernel.
    type Kernel: Send;

    /// The neutral words of the kernels in this API's language.
    const DIALECT: &'static str;

    fn device(&self) -> &Device;
    fn traits(&self) -> &Traits;

    /// Memory of at least one byte, all 0.
    fn allocate(&self, bytes: usize) -> Result<Handle>;
    /// Gives memory back; a failure is told by the next call that returns a result.
    unsafe fn free(&self, handle: Handle);
    /// Copies a rectangle from the host, which may use its memory again at once.
    unsafe fn write(&self, from: *const u8, to: Rectangle) -> Result<()>;
    /// Copies a rectangle to the host.
    unsafe fn read(&self, from: Rectangle, to: *mut u8) -> Result<()>;

    /// Compiles `source` and takes the kernel `name` out of it.
    fn compile(&self, source: &str, name: &str) -> Result<Self::Kernel>;
    /// Runs `groups[0] x groups[1]` groups of `items` items.
    unsafe fn launch(
        &self,
        kernel: &Self::Kernel,
        groups: [usize; 2],
        items: usize,
        arguments: &[Argument],
    ) -> Result<()>;
    /// Launches up to the matching [`Driver::end_step`] may be held back and started together: they will come again.
    fn begin_step(&self) {}
    fn end_step(&self) -> Result<()> {
        Ok(())
    }
    /// Waits until everything enqueued is done.
    fn finish(&self) -> Result<()>;
}

/// What a device can do, read off its driver or, in tests, made smaller.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Traits {
    /// Kernels are to be those for CPUs: groups of one item, vectors, no shared memory.
    pub is_cpu: bool,
    /// Groups that run at the same time, at least.
    pub units: usize,
    /// Most items in a group.
    pub items: usize,
    /// Bytes that a group shares.
    pub shared: usize,
    /// Lanes of a vector of f32 and of f64.
    pub width: [usize; 2],
    /// Whether f64 is there.
    pub fp64: bool,
    /// Device, driver and their versions: what compiled kernels and measurements hold for.
    pub identity: String,
}

/// `rows` runs of `width` bytes in a device's memory, `pitch` bytes apart; on the host they lie side by side.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Rectangle {
    pub handle: Handle,
    /// Bytes before the first run.
    pub offset: usize,
    pub width: usize,
    pub rows: usize,
    pub pitch: usize,
}

/// An argument of a kernel.
#[derive(Clone, Copy)]
pub(in crate::engine) enum Argument {
    Memory(Handle),
    /// `int`, or `WORD` bit by bit.
    Int(i32),
    /// `INDEX`
    Index(i64),
    /// `REAL`, when it is f32.
    Single(f32),
    /// `REAL`, when it is f64.
    Double(f64),
}

/// The arguments of a launch, in order.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Arguments {
    list: [Argument; Arguments::MOST],
    count: usize,
}

impl Arguments {
    /// More than any kernel takes.
    pub const MOST: usize = 40;

    pub fn new() -> Self {
        Arguments { list: [Argument::Int(0); Arguments::MOST], count: 0 }
    }

    pub fn push(&mut self, argument: Argument) {
        self.list[self.count] = argument;
        self.count += 1;
    }

    /// Memory, first element, distance to the next row and column.
    pub fn push_span(&mut self, span: Span) {
        self.push_vector(span, span.row_stride);
        self.push(Argument::Index(span.column_stride as i64));
    }

    /// Memory, first element, distance to the next.
    pub fn push_vector(&mut self, span: Span, stride: usize) {
        self.push(Argument::Memory(span.handle));
        self.push(Argument::Index(span.offset as i64));
        self.push(Argument::Index(stride as i64));
    }

    pub fn as_slice(&self) -> &[Argument] {
        &self.list[..self.count]
    }
}
