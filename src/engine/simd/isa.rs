//! The instruction sets that loops are compiled for.

/// An instruction set that loops are compiled for; the order is from the slowest to the fastest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Isa {
    /// Whatever the compiler makes of plain arrays for the target of the build.
    Portable,
    /// NEON, which every 64-bit ARM has: two registers of 128 bits at a time.
    Neon,
    /// AVX2 with FMA: registers of 256 bits.
    Avx2,
    /// AVX-512 F and DQ: registers of 512 bits.
    Avx512,
}

impl Isa {
    /// Number of instruction sets: the length of every dispatch table.
    pub(crate) const COUNT: usize = 4;

    pub(crate) const ALL: [Isa; Isa::COUNT] = [Isa::Portable, Isa::Neon, Isa::Avx2, Isa::Avx512];

    /// Whether this machine has the instruction set.
    pub(crate) fn is_available(self) -> bool {
        match self {
            Isa::Portable => true,
            Isa::Neon => cfg!(target_arch = "aarch64"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq")
            }
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// The fastest instruction set of this machine.
    pub(crate) fn best() -> Isa {
        Isa::ALL.into_iter().rev().find(|isa| isa.is_available()).unwrap_or(Isa::Portable)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Neon => "neon",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        }
    }
}
