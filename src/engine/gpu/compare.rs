//! The API's own library beside our kernels: measured once, kept beside the tiles.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::library::{Policy, SIZES};
use super::tile::Tiles;
use super::tune::{Buffer, LARGE, Measurements, ROUNDS, SMALL, rate};
use super::*;

/// The library beside our own kernel.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Comparison {
    version: String,
    sizes: Vec<Compared>,
}

/// GFLOP/s of a product of this size; 0 where the library refused it.
#[derive(Clone, Serialize, Deserialize)]
struct Compared {
    size: [usize; 3],
    ours: f64,
    library: f64,
}

impl Comparison {
    /// Whether the library is faster, if these are the sizes that are asked for.
    fn wins(&self) -> Option<[bool; SIZES.len()]> {
        let mut wins = [false; SIZES.len()];
        for ((win, compared), size) in wins.iter_mut().zip(&self.sizes).zip(SIZES) {
            *win = compared.library > compared.ours;
            (compared.size == size).then_some(())?;
        }
        (self.sizes.len() == SIZES.len()).then_some(wins)
    }
}

impl<T: Scalar, D: Driver> Gpu<T, D> {
    /// Takes from the file which products the library is to have or, where it is silent about this version of the library,
    /// measures and writes that.
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
                keep(policy, &comparison, cache);
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

    /// With copies of both factors in 16 bits, where it works with them, as if both had just been written.
    fn rate_of_library(&self, size: [usize; 3], buffers: &[Buffer<'_, T, D>; 3]) -> Result<f64> {
        rate(size, buffers, |call| {
            [call.a, call.b].into_iter().for_each(|span| self.touch(span.handle));
            // SAFETY: the buffers have room for these shapes.
            let done = unsafe { self.product_by_library(call)? };
            let refused = || Error::argument("tune", "the library refuses this product");
            done.then_some(()).ok_or_else(refused)?;
            self.driver.finish()
        })
    }

    /// The library as if it were a tile, if it is there; kept in the cache, too.
    pub(super) fn compare_and_tell(
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
            keep(policy, &comparison, cache);
        }
        let wins = comparison.wins().unwrap_or_default();
        let at = |wanted: [usize; 3]| SIZES.iter().position(|size| *size == wanted).unwrap_or(0);
        let (large, small) = (at(LARGE), at(SMALL));
        Ok(Some(TunedTile {
            tile: format!("{} {version}", D::LIBRARY),
            large: comparison.sizes[large].library,
            small: comparison.sizes[small].library,
            is_large: wins[large],
            is_small: wins[small],
        }))
    }
}

/// Writes how the library did beside what else is in the file.
fn keep(policy: Policy, comparison: &Comparison, cache: &Cache) {
    let mut all =
        Measurements::load(cache).ok().flatten().unwrap_or_else(|| Measurements::empty(cache));
    all.library.insert(policy.name().to_owned(), comparison.clone());
    let _ = all.save(cache);
}
