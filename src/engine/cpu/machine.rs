//! What the product wants to know of a processor beside its instruction set.

use super::vector::Isa;

/// A processor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine {
    /// Whether a vector takes two turns of the units that multiply, as 512 bits do on Zen 4: loads are then cheap beside multiplications.
    pub halves_vectors: bool,
    /// Bytes of a core's second cache.
    pub second_cache: usize,
}

impl Machine {
    /// The one that this program runs on, with these instructions. What it does not tell is guessed: whole vectors, 512 KiB.
    pub(super) fn at_hand(isa: Isa) -> Machine {
        let (halves_512_bits, second_cache) = told();
        Machine {
            halves_vectors: isa == Isa::Avx512 && halves_512_bits,
            second_cache: second_cache.unwrap_or(512 << 10),
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
    let halves = [vendor.ebx, vendor.edx, vendor.ecx] == AMD && family == ZEN_3_AND_4;
    (halves, (kib > 0).then_some((kib as usize) << 10))
}

#[cfg(not(target_arch = "x86_64"))]
fn told() -> (bool, Option<usize>) {
    (false, None)
}
