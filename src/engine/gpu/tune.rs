//! Tuning: which tiles are fastest on a device. They are measured once and kept in the file of measurements.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::device::Gpu;
use super::driver::Driver;
use super::measure::{MIN_RUNS, ROUNDS, SECONDS, best, gflop};
use super::measurements::{LARGE, Measurements, SMALL, Winners};
use super::tile::{Tile, Tiles};
use crate::engine::TunedTile;
use crate::engine::cache::Cache;
use crate::error::Result;
use crate::scalar::Scalar;

/// The time for all tiles. What cannot be interrupted, the compilation of one kernel, may end later.
const LIMIT: Duration = Duration::from_secs(10);
/// GFLOP/s in f32 that a single core of a CPU exceeds.
const CORE_GFLOPS: f64 = 5.0;

impl<T: Scalar, D: Driver> Gpu<T, D> {
    /// Takes the tiles from the file, or measures them and writes it where there is no file that holds for this device. Returns
    /// warnings: that a file was ignored, that not all was measured, that the device is slow.
    pub(super) fn choose_tiles(&mut self, cache: &Cache) -> Result<Vec<String>> {
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
                let slowness = self.slowness(&Winners { large, small });
                return Ok([warning, slowness].into_iter().flatten().collect());
            }
            warning = Some(warn("it names tiles that the device has no room for".to_owned()));
        }
        Ok(warning.into_iter().chain(self.measure_and_save(cache)?).collect())
    }

    /// Returns warnings: that not all tiles were measured, that the device is slow.
    fn measure_and_save(&mut self, cache: &Cache) -> Result<Vec<String>> {
        self.say_what_takes_long();
        let measured = self.measure_tiles(LIMIT)?;
        let winners = best(&measured);
        if let Some(Winners { large, small }) = &winners {
            self.tiles = Tiles { large: large.tile, small: small.tile };
        }
        save::<T>(&measured, cache);
        self.choose_products(BTreeMap::new(), cache)?;
        let count = measured.iter().filter(|(_, rates)| rates[0] > 0.0).count();
        let (all, name, seconds) = (measured.len(), &self.device.name, LIMIT.as_secs());
        let rest = (count < all).then(|| {
            format!("{count} of {all} tile sizes were measured on {name}: the others did not fit into {seconds} s, or its driver fails")
        });
        let slowness = winners.and_then(|winners| self.slowness(&winners));
        Ok([rest, slowness].into_iter().flatten().collect())
    }

    fn say_what_takes_long(&self) {
        if let Some(note) = self.note {
            let seconds = LIMIT.as_secs();
            note(&format!(
                "measuring tile sizes on {}, once, for about {seconds} s at most",
                self.device.name
            ));
        }
    }

    /// A warning where the device multiplies more slowly than a core of a CPU.
    pub(super) fn slowness(&self, winners: &Winners) -> Option<String> {
        let (rate, core) = (winners.large.gflops, CORE_GFLOPS * 4.0 / size_of::<T>() as f64);
        (rate < core).then(|| {
            let name = &self.device.name;
            format!("{name} is a bad choice: it multiplies matrices at {rate:.1} GFLOP/s, and a core of a CPU has {core} or more")
        })
    }

    /// Every candidate with its GFLOP/s of the large and of the small product; 0 where the driver refused it, where its numbers are wrong or
    /// where the time did not suffice. Compilations and runs cannot be interrupted, so none is begun that is likely to end too late.
    pub(super) fn measure_tiles(&self, limit: Duration) -> Result<Vec<(Tile, [f64; 2])>> {
        let elements = LARGE[0] * LARGE[1];
        let buffers = [self.buffer(elements)?, self.buffer(elements)?, self.buffer(elements)?];
        let candidates = Tiles::candidates(self.traits(), size_of::<T>());
        let mut measured: Vec<_> = candidates.into_iter().map(|tile| (tile, [0.0f64; 2])).collect();
        let begin = Instant::now();
        let fits = |seconds: f64| begin.elapsed().as_secs_f64() + seconds < limit.as_secs_f64();
        // The longest time that a tile took to be compiled and measured.
        let mut longest = 0.0f64;
        for round in 0..ROUNDS {
            for (tile, rates) in &mut measured {
                let (start, tiles) = (Instant::now(), Tiles { large: *tile, small: *tile });
                // The small product comes first: its rate tells how long the large one takes.
                for which in [1, 0] {
                    let size = [LARGE, SMALL][which];
                    let rate = rates[which].max(if which == 0 { rates[1] } else { 0.0 });
                    let runs = SECONDS.max((MIN_RUNS + 1) as f64 * gflop(size) / rate);
                    let expected = match (round, which) {
                        (0, 1) => longest,
                        _ => runs,
                    };
                    if (round > 0 || which == 0) && rate == 0.0 || !fits(expected) {
                        continue;
                    }
                    let new = self.rate_of_ours(&tiles, size, &buffers).unwrap_or(0.0);
                    rates[which] = rates[which].max(new);
                }
                longest = longest.max(start.elapsed().as_secs_f64());
            }
        }
        Ok(measured)
    }

    /// Measures the tiles and the library, saves the results and returns them.
    pub(super) fn tune_and_report(&self) -> Result<Vec<TunedTile>> {
        self.say_what_takes_long();
        let measured = self.measure_tiles(LIMIT)?;
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
