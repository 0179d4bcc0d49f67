//! What the product wants to know of a processor beside its instruction set.

use super::vector::Isa;

/// A processor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine {
    /// Whether a vector takes two turns of the units that multiply, as 512 bits do on Zen 4: loads are then cheap beside multiplications.
    pub halves_vectors: bool,
    /// Bytes of a core's second cache.
    pub second_cache: usize,
    /// Samples from which on a second thread pays in training, where the weights are small; presumably because each step writes them,
    /// and a share of them has to come from the other core's cache, which takes a time of its own on each kind of processor.
    pub samples_to_share: usize,
}

/// As measured on Zen 3 and 4, where two cores share a cache.
const NEIGHBORS: usize = 8;
/// As measured on an Intel Xeon, where all of them do, at a distance.
const STRANGERS: usize = 40;

impl Machine {
    /// The one that this program runs on, with these instructions. What it does not tell is guessed: whole vectors, 512 KiB.
    pub(super) fn at_hand(isa: Isa) -> Machine {
        let (is_zen_3_or_4, second_cache) = told();
        Machine {
            halves_vectors: isa == Isa::Avx512 && is_zen_3_or_4,
            second_cache: second_cache.unwrap_or(512 << 10),
            samples_to_share: if is_zen_3_or_4 { NEIGHBORS } else { STRANGERS },
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn told() -> (bool, Option<usize>) {
    use std::arch::x86_64::__cpuid;
    /// "AuthenticAMD", as the instruction spells it.
    const AMD: [u32; 3] = [0x6874_7541, 0x6974_6e65, 0x444d_4163];
    const ZEN_3_AND_4: u32 = 0x19;
    const LARGEST: u32 = 0x8000_0000;
    const SECOND_CACHE: u32 = 0x8000_0006;
    let (vendor, version) = (__cpuid(0), __cpuid(1).eax);
    let family = (version >> 8 & 0xf) + (version >> 20 & 0xff);
    let is_known = __cpuid(LARGEST).eax >= SECOND_CACHE;
    let kib = if is_known { __cpuid(SECOND_CACHE).ecx >> 16 } else { 0 };
    let is_zen_3_or_4 = [vendor.ebx, vendor.edx, vendor.ecx] == AMD && family == ZEN_3_AND_4;
    (is_zen_3_or_4, (kib > 0).then_some((kib as usize) << 10))
}

#[cfg(not(target_arch = "x86_64"))]
fn told() -> (bool, Option<usize>) {
    (false, None)
}
