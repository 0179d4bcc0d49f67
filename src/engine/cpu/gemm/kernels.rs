//! The kernels of one instruction set that the blocks of a product are computed with.

use super::dots::{DotsLoop, dots};
use super::pack::{Pack, pack};
use super::prefetch::BatchPrefetch;
use super::small_k::SmallK;
use super::tile::Tiles;
use crate::engine::cpu::cpuid::Cpu;
use crate::engine::simd::Isa;
use crate::scalar::Scalar;

/// Kernels and what they need to know of the processor.
pub(super) struct Kernels<T> {
    pub tiles: Tiles<T>,
    pub pack: Pack<T>,
    pub dots: DotsLoop<T>,
    pub small_k: SmallK<T>,
    /// Bytes of A that stay in the L2 cache while B and C pass through it.
    pub l2_share: usize,
    /// The samples of the next mini-batch.
    pub prefetch: BatchPrefetch,
}

impl<T: Scalar> Kernels<T> {
    pub fn new(isa: Isa, cpu: Cpu) -> Kernels<T> {
        Kernels {
            tiles: Tiles::new(isa),
            pack: pack(isa),
            dots: dots(isa),
            small_k: SmallK::new(isa),
            l2_share: cpu.l2_bytes / 2,
            prefetch: BatchPrefetch::new(),
        }
    }
}
