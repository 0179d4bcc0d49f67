//! The processor, as far as the engine's plans depend on it.

use crate::engine::simd::Isa;

/// Properties of a processor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cpu {
    /// Whether vectors of 512 bits take two cycles of the multiply units, as on Zen 4: loads are then cheap beside multiplications.
    pub avx512_is_double_pumped: bool,
    /// Bytes of a core's L2 cache.
    pub l2_bytes: usize,
    /// Samples from which on a second thread pays in training if the weights are small. Each step writes the weights, and a second thread
    /// fetches its share of them from the other core's cache; that this is the reason is a guess, the numbers are measured.
    pub min_samples_to_share: usize,
}

/// Samples from which on a second thread pays where cores share an L3 cache closely, measured on Zen 3 and 4.
const MIN_SAMPLES_SHARED_L3: usize = 8;
/// Samples from which on a second thread pays where all cores are on one mesh, measured on an Intel Xeon.
const MIN_SAMPLES_MESH: usize = 40;
/// The size of an L2 cache that the processor does not report.
const DEFAULT_L2_BYTES: usize = 512 << 10;

impl Cpu {
    /// The processor that this program runs on, with an instruction set of it.
    pub(super) fn detect(isa: Isa) -> Cpu {
        let (is_zen_3_or_4, l2_bytes) = cpuid();
        Cpu {
            avx512_is_double_pumped: isa == Isa::Avx512 && is_zen_3_or_4,
            l2_bytes: l2_bytes.unwrap_or(DEFAULT_L2_BYTES),
            min_samples_to_share: if is_zen_3_or_4 {
                MIN_SAMPLES_SHARED_L3
            } else {
                MIN_SAMPLES_MESH
            },
        }
    }
}

/// Whether the processor is a Zen 3 or 4, and the bytes of its L2 cache if it reports them.
#[cfg(target_arch = "x86_64")]
fn cpuid() -> (bool, Option<usize>) {
    use std::arch::x86_64::{__cpuid, CpuidResult};
    /// "AuthenticAMD" in the order of EBX, EDX, ECX.
    const AMD: [u32; 3] = [0x6874_7541, 0x6974_6e65, 0x444d_4163];
    /// The family of both Zen 3 and Zen 4.
    const ZEN_3_AND_4: u32 = 0x19;
    /// The leaf that reports the largest extended leaf.
    const LARGEST_LEAF: u32 = 0x8000_0000;
    /// The leaf whose ECX has the KiB of the L2 cache in its upper half.
    const L2_LEAF: u32 = 0x8000_0006;
    #[allow(unused_unsafe, reason = "newer versions of Rust declare it safe; 1.89 does not")]
    // SAFETY: every processor of this architecture has the instruction.
    let cpuid = |leaf: u32| -> CpuidResult { unsafe { __cpuid(leaf) } };
    let (vendor, version) = (cpuid(0), cpuid(1).eax);
    let family = (version >> 8 & 0xf) + (version >> 20 & 0xff);
    let has_l2_leaf = cpuid(LARGEST_LEAF).eax >= L2_LEAF;
    let l2_kib = if has_l2_leaf { cpuid(L2_LEAF).ecx >> 16 } else { 0 };
    let is_zen_3_or_4 = [vendor.ebx, vendor.edx, vendor.ecx] == AMD && family == ZEN_3_AND_4;
    (is_zen_3_or_4, (l2_kib > 0).then_some((l2_kib as usize) << 10))
}

#[cfg(not(target_arch = "x86_64"))]
fn cpuid() -> (bool, Option<usize>) {
    (false, None)
}
