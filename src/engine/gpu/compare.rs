//! Comparing the API's own library with our kernel. Results are kept in the file of measurements.

use std::collections::BTreeMap;

use super::device::Gpu;
use super::driver::Driver;
use super::measure::{Buffer, ROUNDS, rate};
use super::measurements::{Compared, Comparison, LARGE, Measurements, SIZES, SMALL};
use super::policy::Policy;
use super::tile::Tiles;
use crate::engine::TunedTile;
use crate::engine::cache::Cache;
use crate::error::{Error, Result};
use crate::scalar::Scalar;

impl<T: Scalar, D: Driver> Gpu<T, D> {
    /// Takes from the file which products the library computes, or measures that where the file has nothing about this version of the
    /// library.
    pub(super) fn choose_products(
        &mut self,
        mut known: BTreeMap<String, Comparison>,
        cache: &Cache,
    ) -> Result<()> {
        let (Some(mut policy), Some(version)) = (self.policy, self.driver.library()) else {
            return Ok(());
        };
        if policy.everywhere {
            return Ok(());
        }
        let comparison = known
            .remove(policy.name())
            .filter(|known| known.version == version && known.wins().is_some());
        let comparison = match comparison {
            Some(comparison) => comparison,
            None => {
                let comparison = Comparison {
                    version: version.to_owned(),
                    sizes: self.measure_library(&self.tiles)?,
                };
                save(policy, &comparison, cache);
                comparison
            }
        };
        policy.wins = comparison.wins().unwrap_or(policy.wins);
        self.policy = Some(policy);
        Ok(())
    }

    fn measure_library(&self, tiles: &Tiles) -> Result<Vec<Compared>> {
        let most = SIZES.iter().flat_map(|[m, n, k]| [m * n, m * k, k * n]).max().unwrap_or(1);
        let buffers = [self.buffer(most)?, self.buffer(most)?, self.buffer(most)?];
        let mut all: Vec<_> =
            SIZES.iter().map(|&size| Compared { size, ours: 0.0, library: 0.0 }).collect();
        for _ in 0..ROUNDS {
            for Compared { size, ours, library } in &mut all {
                *ours = ours.max(self.rate_of_ours(tiles, *size, &buffers).unwrap_or(0.0));
                *library = library.max(self.rate_of_library(*size, &buffers).unwrap_or(0.0));
            }
        }
        Ok(all)
    }

    /// GFLOP/s of the library. In 16 bits the copies of both factors are part of the measurement, as if both had just been written.
    fn rate_of_library(&self, size: [usize; 3], buffers: &[Buffer<'_, T, D>; 3]) -> Result<f64> {
        rate(size, buffers, |call| {
            [call.a, call.b].into_iter().for_each(|span| self.invalidate_copy(span.handle));
            // SAFETY: the buffers have room for these shapes.
            let done = unsafe { self.product_by_library(call)? };
            let refused = || Error::argument("tune", "the library refuses this product");
            done.then_some(()).ok_or_else(refused)?;
            self.driver.finish()
        })
    }

    /// Measures the library, saves the result and returns it in the form of a tile; `None` without a library.
    pub(super) fn compare_and_report(
        &self,
        tiles: &Tiles,
        cache: Option<&Cache>,
    ) -> Result<Option<TunedTile>> {
        let (Some(policy), Some(version)) = (self.policy, self.driver.library()) else {
            return Ok(None);
        };
        let comparison =
            Comparison { version: version.to_owned(), sizes: self.measure_library(tiles)? };
        if let Some(cache) = cache {
            save(policy, &comparison, cache);
        }
        let wins = comparison.wins().unwrap_or_default();
        let index = |wanted: [usize; 3]| SIZES.iter().position(|size| *size == wanted).unwrap_or(0);
        let (large, small) = (index(LARGE), index(SMALL));
        Ok(Some(TunedTile {
            tile: format!("{} {version}", D::LIBRARY),
            large: comparison.sizes[large].library,
            small: comparison.sizes[small].library,
            is_large: wins[large],
            is_small: wins[small],
        }))
    }
}

/// Writes the rates of the library into the file, which keeps all else.
fn save(policy: Policy, comparison: &Comparison, cache: &Cache) {
    let mut all =
        Measurements::load(cache).ok().flatten().unwrap_or_else(|| Measurements::empty(cache));
    all.library.insert(policy.name().to_owned(), comparison.clone());
    let _ = all.save(cache);
}
