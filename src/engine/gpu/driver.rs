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
    /// What the API's own library of products is called.
    const LIBRARY: &'static str = "none";

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
    /// The version of the API's own library of products, where it is there.
    fn library(&self) -> Option<&str> {
        None
    }
    /// Leaves a product to that library; false where it cannot compute this one.
    unsafe fn library_product(&self, _product: &LibraryProduct) -> Result<bool> {
        Ok(false)
    }
    /// Launches up to the matching [`Driver::end_step`] may be held back and started together: they will come again.
    fn begin_step(&self) {}
    fn end_step(&self) -> Result<()> {
        Ok(())
    }
    /// Waits until everything enqueued is done.
    fn finish(&self) -> Result<()>;
}

/// Bits whose multiple lies between columns of a mask.
pub(in crate::engine) const MASK_STEP: usize = 128;

/// `C = f(alpha A B + beta C + bias 1^T)` as libraries take it: columns of A, B and C lie side by side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::engine) struct LibraryProduct {
    pub shape: Shape,
    pub alpha: f64,
    pub beta: f64,
    pub a: Place,
    pub b: Place,
    pub c: Place,
    /// `m x 1`, where the epilogue has one
    pub bias: Option<Place>,
    /// A bit for each element of C where the epilogue has a mask: columns of `m` bits, [`MASK_STEP`] or a multiple of it apart.
    pub mask: Option<Place>,
}

/// All that a library's choice of a kernel depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::engine) struct Shape {
    pub factors: Factors,
    pub m: usize,
    pub n: usize,
    pub k: usize,
    /// Whether memory holds the transposed matrix, for A and B.
    pub turned: [bool; 2],
    /// Elements from a column in memory to the next, of A, B and C.
    pub steps: [usize; 3],
    /// Bytes whose multiple the address is, at most 256, of A, B and C.
    pub aligned: [usize; 3],
    /// Whether beta is not 0.
    pub reads_c: bool,
    pub has_bias: bool,
    /// f
    pub epilogue: Epilogue,
    /// Whether C and the bias are in 16 bits, as A and B then are.
    pub rounds: bool,
}

/// What a library does to the product on its way to C.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::engine) enum Epilogue {
    Nothing,
    /// `max(x, 0)`
    Relu,
    /// The same; a mask tells which elements were above 0.
    ReluWithMask,
    /// x where a mask says so, else 0.
    ReluDerivative,
}

/// What A and B consist of. Sums are f32, for f64 factors f64, and so are C and the bias but where [`Shape::rounds`] says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::engine) enum Factors {
    F32,
    /// f32, rounded on the way
    Tf32,
    Bf16,
    F16,
    F64,
}

/// An element in a device's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Place {
    pub handle: Handle,
    /// Bytes before it.
    pub offset: usize,
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

    /// The memory among them.
    pub fn memory(&self) -> impl Iterator<Item = Handle> {
        self.as_slice().iter().filter_map(|argument| match argument {
            Argument::Memory(handle) => Some(*handle),
            _ => None,
        })
    }

    pub fn as_slice(&self) -> &[Argument] {
        &self.list[..self.count]
    }
}
