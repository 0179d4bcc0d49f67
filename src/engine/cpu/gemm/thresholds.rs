//! Sizes of blocks, and the sizes of products from which on threads and packed copies pay. All were measured.

use super::product::Product;

/// Bytes of one row of a packed block of B along k: with k at most this long, a panel of B stays in the L1 cache.
const PACKED_K_BYTES: usize = 512 * 4;
/// Length of a block along k, in elements, if A and B are read in place: nothing has to stay in a cache.
pub(super) const DIRECT_K: usize = 1024;
/// Panels of A in a packed block, which stays in the L2 cache. Twice as many were up to 6 % slower, however large the cache.
pub(super) const BLOCK_PANELS: usize = 8;
/// Columns of B in a packed block, which stays in the L3 cache.
pub(super) const BLOCK_COLUMNS: usize = 3072;
/// Columns of B in a packed block of a spare stream, whose products are short.
pub(super) const SMALL_BLOCK_COLUMNS: usize = 384;
/// Columns of C up to which a transposed A is not packed: its rows are read as dot products.
pub(super) const DOT_MAX_COLUMNS: usize = 3;
/// Rows of A from which on packing B can pay: so many share the copy.
const PACK_B_MIN_ROWS: usize = 256;
/// Length along k from which on packing can pay.
const PACK_MIN_K: usize = 128;
/// Floating-point operations below which a second thread costs more than it saves, unless A is large.
const PARALLEL_MIN_FLOPS: f64 = 6e5;
/// Bytes of A from which on two threads pay in any product: A comes from the L3 cache or memory, and two threads read it in half
/// the time.
const PARALLEL_MIN_A_BYTES: usize = 600 << 10;
/// Distance in bytes at which addresses fall into the same set of the L1 cache.
const L1_ALIAS_BYTES: usize = 4096;

/// The largest length of a packed block along k, in elements.
pub(super) fn packed_k<T>() -> usize {
    PACKED_K_BYTES / size_of::<T>()
}

/// Whether more than one thread pays.
pub(super) fn is_parallel<T>(product: &Product<T>) -> bool {
    let a_bytes = product.m * product.k * size_of::<T>();
    let pays = product.flops() >= PARALLEL_MIN_FLOPS || a_bytes >= PARALLEL_MIN_A_BYTES;
    pays && !product.single_threaded
}

/// Sizes from which on packed copies of A and B pay.
///
/// Where the columns of A are no multiple of 64 bytes long, a tile that reads A in place touches two cache lines for each vector. Where the
/// columns of B are contiguous, as in gradients, it uses a part of each line that it reads. Whether that costs time depends on
/// what else the processor is busy with.
///
/// Tried without gain on Zen 3: panels outside and strips inside (A in the L1 cache instead of B), other lengths of k, and a
/// transposition with half as many instructions (1.5 % of a product).
pub(super) struct PackingThresholds {
    /// Bytes of A from which on it counts as large.
    large_a_bytes: usize,
    /// Columns of C from which on packing a large A pays.
    min_columns_large_a: usize,
    /// Columns of C from which on packing any A pays.
    min_columns: usize,
    /// Bytes of A from which on it is packed before inference, see [`super::Gemm::packed_shape`].
    pub min_inference_bytes: usize,
    /// Elements of A from which on packing a B of contiguous columns pays.
    min_elements_transposed_b: usize,
}

impl PackingThresholds {
    /// For processors that multiply 512 bits in two cycles, and so have time for loads. Measured with AVX-512 on Zen 4.
    pub const ZEN4: PackingThresholds = PackingThresholds {
        large_a_bytes: 2 << 20,
        min_columns_large_a: 200,
        min_columns: usize::MAX,
        min_inference_bytes: 2 << 20,
        min_elements_transposed_b: usize::MAX,
    };
    /// For processors where a load takes as long as a multiplication. Measured with AVX2 on Zen 3, and found good with AVX-512 on an
    /// Intel Xeon.
    pub const DEFAULT: PackingThresholds = PackingThresholds {
        large_a_bytes: 256 << 10,
        min_columns_large_a: 30,
        min_columns: 144,
        min_inference_bytes: 32 << 10,
        min_elements_transposed_b: 1 << 16,
    };

    /// Whether A is packed. Tiles need contiguous rows of A. An A with contiguous rows is packed if it is large, or if its columns collide in the
    /// L1 cache, and if enough columns of C share the cost of the copy.
    pub fn packs_a<T>(&self, p: &Product<T>) -> bool {
        let collides = collides::<T>(p.a.column) && p.k >= PACK_MIN_K;
        let is_large = p.m * p.k * size_of::<T>() > self.large_a_bytes || collides;
        p.a.row != 1 || p.n >= if is_large { self.min_columns_large_a } else { self.min_columns }
    }

    /// Whether B is packed. Tiles can read B in any layout, but its rows or columns must not collide in the L1 cache.
    pub fn packs_b<T>(&self, p: &Product<T>) -> bool {
        let (near, far) = (p.b.row.min(p.b.column), p.b.row.max(p.b.column));
        let is_awkward = p.k >= PACK_MIN_K && (near != 1 || collides::<T>(far));
        let is_transposed = p.b.row != 1 && p.m * p.k >= self.min_elements_transposed_b;
        p.m >= PACK_B_MIN_ROWS && (is_awkward || is_transposed)
    }
}

/// Whether rows (or columns) at this distance fall into the same set of the L1 cache, which has fewer ways than a tile has
/// columns.
fn collides<T>(stride: usize) -> bool {
    (stride * size_of::<T>()).is_multiple_of(L1_ALIAS_BYTES)
}
