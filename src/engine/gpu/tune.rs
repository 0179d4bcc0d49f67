//! Which tiles suit a device: measured once and kept in a file that people can read.

use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::compare::Comparison;
use super::product::Call;
use super::tile::{Tile, Tiles};
use super::*;
use crate::engine::cache::{Cache, replace};
use crate::random::Purpose;

/// m, n, k of a product that fills the device, and of one that does not.
pub(super) const LARGE: [usize; 3] = [1024, 1024, 1024];
pub(super) const SMALL: [usize; 3] = [300, 20, 784];
/// The tiles take turns, so that a moment in which the machine is busy with something else hits them all.
pub(super) const ROUNDS: usize = 4;
/// Seconds that a measurement lasts, and the fewest runs.
const BUDGET: f64 = 0.02;
const FEWEST: usize = 2;

/// The file: for each scalar the tiles that won, and for each precision of products how the library did.
#[derive(Serialize, Deserialize)]
pub(super) struct Measurements {
    travertine: String,
    device: String,
    f32: Option<Winners>,
    f64: Option<Winners>,
    #[serde(default)]
    pub(super) library: BTreeMap<String, Comparison>,
}

#[derive(Serialize, Deserialize)]
struct Winners {
    large: Winner,
    small: Winner,
}

#[derive(Serialize, Deserialize)]
struct Winner {
    tile: Tile,
    gflops: f64,
}

impl Measurements {
    pub(super) fn empty(cache: &Cache) -> Self {
        let (travertine, device) =
            (env!("CARGO_PKG_VERSION").to_owned(), cache.identity().to_owned());
        Measurements { travertine, device, f32: None, f64: None, library: BTreeMap::new() }
    }

    /// What the file says, if it is of this version and device; `None` if there is no file.
    pub(super) fn load(cache: &Cache) -> Result<Option<Self>, String> {
        let Ok(text) = fs::read_to_string(cache.tiles()) else { return Ok(None) };
        let measurements: Measurements =
            toml::from_str(&text).map_err(|error| error.message().to_owned())?;
        let empty = Measurements::empty(cache);
        if (&measurements.travertine, &measurements.device) != (&empty.travertine, &empty.device) {
            return Err("it is of another version, device or driver".to_owned());
        }
        Ok(Some(measurements))
    }

    pub(super) fn save(&self, cache: &Cache) -> std::io::Result<()> {
        const HEAD: &str = "# Tile sizes that travertine measured on this device. Without this file it measures again.\n";
        let text = toml::to_string_pretty(self).map_err(std::io::Error::other)?;
        replace(&cache.tiles(), format!("{HEAD}{text}").as_bytes())
    }

    fn of<T: Scalar>(&mut self) -> &mut Option<Winners> {
        if size_of::<T>() == 8 { &mut self.f64 } else { &mut self.f32 }
    }
}

impl<T: Scalar, D: Driver> Gpu<T, D> {
    /// Takes the tiles from the file or, where there is none that fits, measures them and writes it. Gives a warning where a
    /// file had to be ignored.
    pub(super) fn choose_tiles(&mut self, cache: &Cache) -> Result<Option<String>> {
        let warn = |why: String| {
            format!("{}: {why}; ignored, and tiles are measured again", cache.tiles().display())
        };
        let (known, warning) = match Measurements::load(cache) {
            Ok(known) => (known, None),
            Err(why) => (None, Some(warn(why))),
        };
        let mut known = known.unwrap_or_else(|| Measurements::empty(cache));
        let winners = known.of::<T>().take();
        let candidates = Tiles::candidates(self.traits(), size_of::<T>());
        if let Some(Winners { large, small }) = winners {
            if candidates.contains(&large.tile) && candidates.contains(&small.tile) {
                self.tiles = Tiles { large: large.tile, small: small.tile };
                self.choose_products(known.library, cache)?;
                return Ok(warning);
            }
            self.measure_and_save(cache)?;
            return Ok(Some(warn("it names tiles that the device has no room for".to_owned())));
        }
        self.measure_and_save(cache)?;
        Ok(warning)
    }

    fn measure_and_save(&mut self, cache: &Cache) -> Result<()> {
        let measured = self.measure_tiles()?;
        if let Some((large, small)) = best(&measured) {
            self.tiles = Tiles { large: large.tile, small: small.tile };
        }
        keep::<T>(&measured, cache);
        self.choose_products(BTreeMap::new(), cache)
    }

    /// Every candidate with GFLOP/s of the large and of the small product; 0 where the driver refused it.
    fn measure_tiles(&self) -> Result<Vec<(Tile, [f64; 2])>> {
        let elements = LARGE[0] * LARGE[1];
        let buffers = [self.buffer(elements)?, self.buffer(elements)?, self.buffer(elements)?];
        let candidates = Tiles::candidates(self.traits(), size_of::<T>());
        let mut measured: Vec<_> = candidates.into_iter().map(|tile| (tile, [0.0f64; 2])).collect();
        for _ in 0..ROUNDS {
            for (tile, rates) in &mut measured {
                for (rate, size) in rates.iter_mut().zip([LARGE, SMALL]) {
                    *rate = rate.max(
                        self.rate_of_ours(&Tiles { large: *tile, small: *tile }, size, &buffers)
                            .unwrap_or(0.0),
                    );
                }
            }
        }
        Ok(measured)
    }

    pub(super) fn rate_of_ours(
        &self,
        tiles: &Tiles,
        size: [usize; 3],
        buffers: &[Buffer<'_, T, D>; 3],
    ) -> Result<f64> {
        rate(size, buffers, |call| {
            // SAFETY: the buffers have room for these shapes.
            unsafe { self.product_with(tiles, call)? };
            self.driver.finish()
        })
    }

    /// Random numbers: zeros would be multiplied faster than others on some devices.
    pub(super) fn buffer(&self, elements: usize) -> Result<Buffer<'_, T, D>> {
        let buffer =
            Buffer { gpu: self, handle: self.allocate(elements * size_of::<T>())?, elements };
        // SAFETY: the span is the buffer.
        unsafe { self.uniform(&Philox::new(1, Purpose::User, 0), buffer.span(elements, 1))? };
        Ok(buffer)
    }

    pub(super) fn tune_and_tell(&self) -> Result<Vec<TunedTile>> {
        let measured = self.measure_tiles()?;
        if let Some(cache) = &self.cache {
            keep::<T>(&measured, cache);
        }
        let winners = best(&measured);
        let tiles = winners
            .as_ref()
            .map_or(self.tiles, |(large, small)| Tiles { large: large.tile, small: small.tile });
        let library = self.compare_and_tell(&tiles, self.cache.as_ref())?;
        let mut told: Vec<TunedTile> = measured
            .iter()
            .map(|(tile, [large, small])| {
                let [rows, columns] = [tile.vectors * self.width(), tile.columns];
                let is_large = winners.as_ref().is_some_and(|(large, _)| large.tile == *tile);
                let is_small = winners.as_ref().is_some_and(|(_, small)| small.tile == *tile);
                TunedTile {
                    tile: format!(
                        "{rows}x{columns}, {} items, slices of {}",
                        tile.items, tile.slice
                    ),
                    large: *large,
                    small: *small,
                    is_large,
                    is_small,
                }
            })
            .collect();
        told.extend(library);
        Ok(told)
    }
}

/// GFLOP/s of a product, which `run` starts and waits for.
pub(super) fn rate<T: Scalar, D: Driver>(
    [m, n, k]: [usize; 3],
    [a, b, c]: &[Buffer<'_, T, D>; 3],
    run: impl Fn(&Call) -> Result<()>,
) -> Result<f64> {
    let call = Call::plain(1.0, a.span(m, k), b.span(k, n), 0.0, c.span(m, n));
    run(&call)?;
    let (mut best, begin) = (f64::INFINITY, Instant::now());
    let mut runs = 0;
    while runs < FEWEST || begin.elapsed().as_secs_f64() < BUDGET {
        let start = Instant::now();
        run(&call)?;
        best = best.min(start.elapsed().as_secs_f64());
        runs += 1;
    }
    Ok(2e-9 * (m * n * k) as f64 / best)
}

/// The fastest of both kinds, if any ran.
fn best(measured: &[(Tile, [f64; 2])]) -> Option<(Winner, Winner)> {
    let best = |which: usize| {
        let winner = measured.iter().max_by(|a, b| a.1[which].total_cmp(&b.1[which]))?;
        (winner.1[which] > 0.0)
            .then_some(Winner { tile: winner.0, gflops: winner.1[which].round() })
    };
    Some((best(0)?, best(1)?))
}

/// Writes the winners into the file, beside those of the other scalar. A folder that cannot be written is no fault.
fn keep<T: Scalar>(measured: &[(Tile, [f64; 2])], cache: &Cache) {
    let mut all =
        Measurements::load(cache).ok().flatten().unwrap_or_else(|| Measurements::empty(cache));
    if let Some((large, small)) = best(measured) {
        *all.of::<T>() = Some(Winners { large, small });
        let _ = all.save(cache);
    }
}

/// Memory for the time of a measurement.
pub(super) struct Buffer<'g, T: Scalar, D: Driver> {
    gpu: &'g Gpu<T, D>,
    handle: Handle,
    elements: usize,
}

impl<T: Scalar, D: Driver> Buffer<'_, T, D> {
    fn span(&self, rows: usize, columns: usize) -> Span {
        debug_assert!(rows * columns <= self.elements);
        Span { handle: self.handle, offset: 0, rows, columns, row_stride: 1, column_stride: rows }
    }
}

impl<T: Scalar, D: Driver> Drop for Buffer<'_, T, D> {
    fn drop(&mut self) {
        // SAFETY: the measurement is over.
        unsafe { self.gpu.free(self.handle, self.elements * size_of::<T>()) }
    }
}
