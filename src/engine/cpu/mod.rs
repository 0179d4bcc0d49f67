//! The engine of the host's CPU.
//!
//! * [`gemm`]: the matrix product; [`dense`]: the calls of layers, a product each.
//! * [`elements`], [`columns`], [`normalize`], [`embedding`], [`blend`], [`random`]: loops over elements and columns.
//! * [`pool`]: threads; [`streams`]: which call uses them; [`memory`]: allocations; [`cpuid`]: the processor.
//! * [`peak`]: the floating-point operations that the machine attains.
//!
//! All results depend only on operands, shapes and instruction set: any number of threads gives the same bits.

use std::sync::Arc;

use cpu_engine::{CpuEngine, cores, device};
use cpuid::Cpu;

use super::device::{Device, unavailable};
use super::interface::Engine;
use super::settings::Settings;
use super::simd::Isa;
use crate::error::Result;
use crate::scalar::Scalar;

mod blend;
mod calls;
mod columns;
mod cpu_engine;
mod cpuid;
mod dense;
mod elements;
mod embedding;
mod gemm;
mod lanes;
mod lookup;
mod memory;
mod normalize;
mod peak;
mod pointers;
mod pool;
mod random;
mod streams;
#[cfg(test)]
mod tests;

#[cfg(feature = "opencl")]
pub(super) use memory::available as available_memory;

/// Tells the engines of a process that it was just forked: their threads stayed in the parent, and begin anew with the next call. For
/// the child of `fork`, before it computes; a fork while another thread computes leaves an engine that cannot be used.
pub fn after_fork() {
    pool::after_fork();
}

pub(super) fn probe() -> Vec<Device> {
    vec![device(Isa::best(), cores())]
}

pub(super) fn open<T: Scalar>(device: &str, settings: &Settings) -> Result<Arc<dyn Engine<T>>> {
    if !device.is_empty() {
        return Err(unavailable(
            &format!("cpu:{device}"),
            "there is one cpu",
            "write cpu, and give a number of threads",
        ));
    }
    let isa = Isa::best();
    Ok(Arc::new(CpuEngine::new(isa, Cpu::detect(isa), settings.threads)?))
}
