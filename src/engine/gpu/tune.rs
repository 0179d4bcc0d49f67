//! Tuning: which tiles are fastest on a device. They are measured once and kept in the file of measurements.

use std::collections::BTreeMap;

use super::device::Gpu;
use super::driver::Driver;
use super::measure::{ROUNDS, best};
use super::measurements::{LARGE, Measurements, SMALL, Winners};
use super::tile::{Tile, Tiles};
use crate::engine::TunedTile;
use crate::engine::cache::Cache;
use crate::error::Result;
use crate::scalar::Scalar;

impl<T: Scalar, D: Driver> Gpu<T, D> {
    /// Takes the tiles from the file, or measures them and writes it where there is no file that holds for this device. Returns a warning
    /// where a file was ignored.
    pub(super) fn choose_tiles(&mut self, cache: &Cache) -> Result<Option<String>> {
        let warn = |why: String| {
            format!("{}: {why}; ignored, and tiles are measured again", cache.tiles().display())
        };
        let (known, mut warning) = match Measurements::load(cache) {
            Ok(known) => (known, None),
            Err(why) => (None, Some(warn(why))),
        };
        let mut known = known.unwrap_or_else(|| Measurements::empty(cache));
        if let Some(Winners { large, small }) = known.of::<T>().take() {
            let candidates = Tiles::candidates(self.traits(), size_of::<T>());
            if candidates.contains(&large.tile) && candidates.contains(&small.tile) {
                self.tiles = Tiles { large: large.tile, small: small.tile };
                self.choose_products(known.library, cache)?;
                return Ok(warning);
            }
            warning = Some(warn("it names tiles that the device has no room for".to_owned()));
        }
        self.measure_and_save(cache)?;
        Ok(warning)
    }

    fn measure_and_save(&mut self, cache: &Cache) -> Result<()> {
        let measured = self.measure_tiles()?;
        if let Some(Winners { large, small }) = best(&measured) {
            self.tiles = Tiles { large: large.tile, small: small.tile };
        }
        save::<T>(&measured, cache);
        self.choose_products(BTreeMap::new(), cache)
    }

    /// Every candidate with its GFLOP/s of the large and of the small product; 0 where the driver refused it.
    fn measure_tiles(&self) -> Result<Vec<(Tile, [f64; 2])>> {
        let elements = LARGE[0] * LARGE[1];
        let buffers = [self.buffer(elements)?, self.buffer(elements)?, self.buffer(elements)?];
        let candidates = Tiles::candidates(self.traits(), size_of::<T>());
        let mut measured: Vec<_> = candidates.into_iter().map(|tile| (tile, [0.0f64; 2])).collect();
        for _ in 0..ROUNDS {
            for (tile, rates) in &mut measured {
                let tiles = Tiles { large: *tile, small: *tile };
                for (rate, size) in rates.iter_mut().zip([LARGE, SMALL]) {
                    *rate = rate.max(self.rate_of_ours(&tiles, size, &buffers).unwrap_or(0.0));
                }
            }
        }
        Ok(measured)
    }

    /// Measures the tiles and the library, saves the results and returns them.
    pub(super) fn tune_and_report(&self) -> Result<Vec<TunedTile>> {
        let measured = self.measure_tiles()?;
        if let Some(cache) = &self.cache {
            save::<T>(&measured, cache);
        }
        let winners = best(&measured);
        let tiles = winners
            .as_ref()
            .map_or(self.tiles, |best| Tiles { large: best.large.tile, small: best.small.tile });
        let library = self.compare_and_report(&tiles, self.cache.as_ref())?;
        let tuned = |(tile, [large, small]): &(Tile, [f64; 2])| {
            let [rows, columns] = [tile.vectors * self.width(), tile.columns];
            let Tile { items, slice, .. } = tile;
            TunedTile {
                tile: format!("{rows}x{columns}, {items} items, slices of {slice}"),
                large: *large,
                small: *small,
                is_large: winners.as_ref().is_some_and(|best| best.large.tile == *tile),
                is_small: winners.as_ref().is_some_and(|best| best.small.tile == *tile),
            }
        };
        Ok(measured.iter().map(tuned).chain(library).collect())
    }
}

/// Writes the fastest tiles into the file, which keeps those of the other scalar. A folder that cannot be written is not an error.
fn save<T: Scalar>(measured: &[(Tile, [f64; 2])], cache: &Cache) {
    let mut all =
        Measurements::load(cache).ok().flatten().unwrap_or_else(|| Measurements::empty(cache));
    if let Some(winners) = best(measured) {
        *all.of::<T>() = Some(winners);
        let _ = all.save(cache);
    }
}
