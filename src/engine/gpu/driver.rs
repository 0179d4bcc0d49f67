//! The interface between the mathematics of GPUs and an API: seven calls, an optional library of products, and what they take.

use crate::engine::{Device, Handle, Message, Span};
use crate::error::Result;
use crate::processes::Group;

/// A device behind an API: memory, kernels, launches. Work is done in the order of the calls. Calls enqueue; `read` and `finish` wait.
pub(in crate::engine) trait Driver: Send + Sync {
    /// A compiled kernel.
    type Kernel: Send;

    /// The dialect: the neutral words of the kernels in this API's language.
    const DIALECT: &'static str;
    /// The name of the API's own library of products.
    const LIBRARY: &'static str = "none";

    /// Whether many compilers are behind this API, so that a kernel of products is proved before it is used and stored.
    const PROVES: bool = false;

    fn device(&self) -> &Device;
    fn traits(&self) -> &Traits;

    /// Memory of at least one byte, all 0.
    fn allocate(&self, bytes: usize) -> Result<Handle>;
    /// Frees memory. A failure is returned by the next call that returns a result.
    ///
    /// # Safety
    /// The memory is this driver's, and no later call uses it.
    unsafe fn free(&self, handle: Handle);
    /// Copies a rectangle from the host. When this returns, the host may change its memory.
    ///
    /// # Safety
    /// The rectangle is within an allocation of this driver, and `from` has as many bytes.
    unsafe fn write(&self, from: *const u8, to: Rectangle) -> Result<()>;
    /// Copies a rectangle to the host.
    ///
    /// # Safety
    /// The rectangle is within an allocation of this driver, and `to` has room for as many bytes.
    unsafe fn read(&self, from: Rectangle, to: *mut u8) -> Result<()>;

    /// The kernel `name` of `source`: stored or compiled, and then stored.
    fn compile(&self, source: &str, name: &str) -> Result<Self::Kernel>;
    /// Compiles `source` as it is, and stores nothing.
    fn build(&self, source: &str, name: &str) -> Result<Self::Kernel> {
        self.compile(source, name)
    }
    /// The kernel that was stored for this source.
    fn load(&self, _source: &str, _name: &str) -> Option<Self::Kernel> {
        None
    }
    /// Stores a kernel for later processes, under this source.
    fn store(&self, _source: &str, _kernel: &Self::Kernel) {}
    /// Runs `groups[0] x groups[1]` groups of `items` items.
    ///
    /// # Safety
    /// The arguments are those of the kernel, and their memory is alive until it has run.
    unsafe fn launch(
        &self,
        kernel: &Self::Kernel,
        groups: [usize; 2],
        items: usize,
        arguments: &[Argument],
    ) -> Result<()>;
    /// The version of the API's own library of products; `None` without one.
    fn library(&self) -> Option<&str> {
        None
    }
    /// Computes a product by that library; false where it has no kernel for it.
    ///
    /// # Safety
    /// The product describes memory of this driver that is alive until it has run.
    unsafe fn library_product(&self, _product: &LibraryProduct) -> Result<bool> {
        Ok(false)
    }
    /// Begins a step: launches up to the matching [`Driver::end_step`] will be repeated, and may be held back and started together.
    fn begin_step(&self) {}
    /// Starts the launches that were held back.
    fn end_step(&self) -> Result<()> {
        Ok(())
    }
    /// Connects the devices of a group, as [`Engine::connect`](crate::engine::Engine::connect). `note` is called with a line for people
    /// where they cannot be connected.
    fn connect(&self, group: &Group, _note: Option<fn(&str)>) -> Result<bool> {
        let is_missing = true;
        group.any(is_missing).map(|_| false)
    }
    /// Sends and receives messages, as [`Engine::exchange`](crate::engine::Engine::exchange).
    ///
    /// # Safety
    /// The messages are memory of this driver that is alive until they have arrived.
    unsafe fn exchange(&self, _sent: &[Message], _received: &[Message]) -> Result<()> {
        Ok(())
    }
    /// Waits until all enqueued work is done.
    fn finish(&self) -> Result<()>;
}

/// Columns of a mask begin at multiples of as many bits.
pub(in crate::engine) const MASK_COLUMN_BITS: usize = 128;
/// Every allocation begins at a multiple of as many bytes.
pub(in crate::engine) const ALLOCATION_ALIGNMENT: usize = 256;

/// `C = f(alpha A B + beta C + bias 1^T)` as libraries compute it: A, B and C are column-major.
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
    /// A bit for each element of C, where the epilogue has a mask: columns of `m` bits, padded to a multiple of [`MASK_COLUMN_BITS`].
    pub mask: Option<Place>,
}

/// Everything that a library's choice of a kernel depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::engine) struct Shape {
    pub factors: Factors,
    pub m: usize,
    pub n: usize,
    pub k: usize,
    /// Whether memory holds the transposed matrix; of A and B.
    pub turned: [bool; 2],
    /// Elements from a column in memory to the next; of A, B and C.
    pub steps: [usize; 3],
    /// Bytes of which the address is a multiple, at most [`ALLOCATION_ALIGNMENT`]; of A, B and C.
    pub aligned: [usize; 3],
    /// Whether beta is not 0.
    pub reads_c: bool,
    pub has_bias: bool,
    /// f
    pub epilogue: Epilogue,
    /// Whether C and the bias are in 16 bits, as are A and B then.
    pub rounds: bool,
}

/// What a library does to the product before it stores C.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::engine) enum Epilogue {
    Nothing,
    /// `max(x, 0)`
    Relu,
    /// `max(x, 0)`, and a mask of the elements that were above 0
    ReluWithMask,
    /// x where the mask is set, else 0
    ReluDerivative,
}

/// The precision of A and B. Sums are f32, and f64 for f64 factors; so are C and the bias unless [`Shape::rounds`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::engine) enum Factors {
    F32,
    /// f32 in memory, rounded to TF32 where it is multiplied
    Tf32,
    Bf16,
    F16,
    F64,
}

/// The place of an element in a device's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Place {
    pub handle: Handle,
    /// Bytes before it.
    pub offset: usize,
}

/// The limits of a device, as its driver reports them or, in tests, smaller.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Traits {
    /// Whether kernels are those for CPUs: groups of one item, vectors, no shared memory.
    pub is_cpu: bool,
    /// Compute units: as many groups at least run at the same time.
    pub units: usize,
    /// Most items in a group.
    pub items: usize,
    /// Bytes of memory that a group shares.
    pub shared: usize,
    /// Lanes of a vector of f32 and of f64.
    pub width: [usize; 2],
    /// Whether the device has f64.
    pub fp64: bool,
    /// Device, driver and their versions. Compiled kernels and measurements are valid for the same identity alone.
    pub identity: String,
}

/// `rows` runs of `width` bytes in a device's memory, `pitch` bytes apart. On the host the runs are contiguous.
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
    /// `int`, or the bits of a `WORD`.
    Int(i32),
    /// `INDEX`
    Index(i64),
    /// `REAL` of f32 kernels.
    Single(f32),
    /// `REAL` of f64 kernels.
    Double(f64),
}

/// The arguments of a launch, in order.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Arguments {
    list: [Argument; Arguments::MAX],
    count: usize,
}

impl Arguments {
    /// No kernel has more.
    pub const MAX: usize = 40;

    pub fn new() -> Self {
        Arguments { list: [Argument::Int(0); Arguments::MAX], count: 0 }
    }

    pub fn push(&mut self, argument: Argument) {
        self.list[self.count] = argument;
        self.count += 1;
    }

    /// Pushes memory, first element, and the distances to the next row and column.
    pub fn push_span(&mut self, span: Span) {
        self.push_vector(span, span.row_stride);
        self.push(Argument::Index(span.column_stride as i64));
    }

    /// Pushes memory, first element, and the distance to the next.
    pub fn push_vector(&mut self, span: Span, stride: usize) {
        self.push(Argument::Memory(span.handle));
        self.push(Argument::Index(span.offset as i64));
        self.push(Argument::Index(stride as i64));
    }

    /// The memory among the arguments.
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
