//! The peak rate of a device, measured: independent chains of multiply-adds on all of its units.

use std::time::Instant;

use super::device::Gpu;
use super::driver::{Argument, Arguments, Driver};
use super::program::Text;
use crate::error::Result;
use crate::scalar::Scalar;

/// Independent chains of an item: enough to hide the latency of any device's multiply-add.
const CHAINS: usize = 16;
/// Groups for each unit of a GPU, so that every scheduler has work. A CPU's unit is one core and has one group.
const GROUPS_PER_UNIT: usize = 16;
/// Seconds that a measurement takes at least.
const MIN_SECONDS: f64 = 0.02;
/// Steps of a chain, at most.
const MAX_STEPS: usize = 1 << 28;
/// Runs of which the fastest counts.
const RUNS: usize = 5;

impl<T: Scalar, D: Driver> Gpu<T, D> {
    /// Floating-point operations a second, the best of a few runs.
    pub(super) fn measure_peak(&self) -> Result<f64> {
        let items = self.items(256);
        let groups = self.traits().units * if self.traits().is_cpu { 1 } else { GROUPS_PER_UNIT };
        let flops = 2.0 * (CHAINS * self.width() * items * groups) as f64;
        let (mut steps, mut seconds) = (1 << 12, self.time_chains(1, groups, items)?);
        while seconds < MIN_SECONDS && steps < MAX_STEPS {
            steps *= 4;
            seconds = self.time_chains(steps, groups, items)?;
        }
        for _ in 0..RUNS {
            seconds = seconds.min(self.time_chains(steps, groups, items)?);
        }
        Ok(flops * steps as f64 / seconds)
    }

    fn time_chains(&self, steps: usize, groups: usize, items: usize) -> Result<f64> {
        let key = self.key(Text::Peak, "peak", self.width(), items).with(&[("CHAINS", CHAINS)]);
        let mut arguments = Arguments::new();
        arguments.push(self.int(steps)?);
        arguments.push(self.real(0.999));
        arguments.push(self.real(1e-3));
        arguments.push(Argument::Memory(*self.chunks()));
        self.driver.finish()?;
        let start = Instant::now();
        // SAFETY: the memory is that of the partial sums, which has room for a vector; the kernel writes one at most.
        unsafe { self.launch(key, [groups, 1], items, &arguments)? };
        self.driver.finish()?;
        Ok(start.elapsed().as_secs_f64())
    }
}
