//! The description of a matrix product: its operands, and what happens to its result while that is in a cache.

use crate::engine::formula::{BinaryLoop, UnaryLoop};

/// A matrix in memory: its first element and the distances between rows and columns, in elements.
#[derive(Clone, Copy)]
pub(in crate::engine::cpu) struct Strided<P> {
    pub p: P,
    pub row: usize,
    pub column: usize,
}

impl<P> Strided<P> {
    /// The transposed matrix in the same memory.
    pub fn t(self) -> Self {
        Strided { p: self.p, row: self.column, column: self.row }
    }
}

impl<T> Strided<*const T> {
    pub fn at(self, row: usize, column: usize) -> *const T {
        self.p.wrapping_add(row * self.row + column * self.column)
    }
}

impl<T> Strided<*mut T> {
    pub fn at(self, row: usize, column: usize) -> *mut T {
        self.p.wrapping_add(row * self.row + column * self.column)
    }
}

/// `C = alpha A B + beta C`, then the epilogue. A: `m x k`, B: `k x n`, C: `m x n`.
#[derive(Clone, Copy)]
pub(in crate::engine::cpu) struct Product<T> {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub alpha: T,
    pub a: Strided<*const T>,
    /// A as packed panels, each `rows of a tile x k`, one after the other, if A was packed before; else null.
    pub a_packed: *const T,
    pub b: Strided<*const T>,
    /// C is not read if beta is 0.
    pub beta: T,
    pub c: Strided<*mut T>,
    pub epilogue: Option<Epilogue<T>>,
    /// Whether one thread computes the product, however large it is.
    pub single_threaded: bool,
    /// Whether the blocks of k do not depend on n: a column of C then has the same bits, however many other columns there are.
    pub fixed_k_step: bool,
}

impl<T> Product<T> {
    /// Floating-point operations. In f64, since the number may exceed `usize`.
    pub fn flops(&self) -> f64 {
        2.0 * self.m as f64 * self.n as f64 * self.k as f64
    }
}

/// What happens to C while it is in a cache: `C += bias 1^T`, then [`Finish`]. Requires contiguous rows of C and `out`.
#[derive(Clone, Copy)]
pub(in crate::engine::cpu) struct Epilogue<T> {
    /// `m` contiguous elements, or null.
    pub bias: *const T,
    pub finish: Option<Finish<T>>,
    /// `m x n`; may be C.
    pub out: Strided<*mut T>,
}

/// The element-wise part of an epilogue.
#[derive(Clone, Copy)]
pub(in crate::engine::cpu) enum Finish<T> {
    /// `out = f(C; p)`
    Map(UnaryLoop<T>, [T; 4]),
    /// `out = f(C, kept; p)`; `kept` is `m x n` with contiguous rows.
    Zip(BinaryLoop<T>, [T; 4], Strided<*const T>),
}

// SAFETY: the operands are borrowed for the whole call, see `Gemm::run`, and its threads write disjoint parts of them.
unsafe impl<T> Sync for Product<T> {}
// SAFETY: a description without access; those who read or write through it promise disjoint parts, see `Gemm::run`.
unsafe impl<P> Sync for Strided<P> {}

/// `C^T = B^T A^T`: the same product. Only without an epilogue, whose bias belongs to the rows of C.
pub(super) fn transposed<T: Copy>(product: Product<T>) -> Product<T> {
    debug_assert!(product.epilogue.is_none() && product.a_packed.is_null());
    let Product { m, n, a, b, c, .. } = product;
    Product { m: n, n: m, a: b.t(), b: a.t(), c: c.t(), ..product }
}
