//! The file of measurements of a device, which people can read: tile sizes, and how the library compares with our kernel.
//!
//! A file is used only if it was written by this version for this device and driver; otherwise its contents are measured again.

use std::collections::BTreeMap;
use std::fs;

use serde::{Deserialize, Serialize};

use super::tile::Tile;
use crate::engine::cache::{Cache, replace};
use crate::scalar::Scalar;

/// m, n, k of a product that fills the device.
pub(super) const LARGE: [usize; 3] = [1024, 1024, 1024];
/// m, n, k of a product that does not.
pub(super) const SMALL: [usize; 3] = [300, 20, 784];
/// m, n, k of the products that are measured with the library and with our kernel, in the order of their work.
pub(super) const SIZES: [[usize; 3]; 4] = [SMALL, [512; 3], LARGE, [2048; 3]];

/// The contents of the file: for each scalar the fastest tiles, and for each precision of products the rates of the library.
#[derive(Serialize, Deserialize)]
pub(super) struct Measurements {
    travertine: String,
    device: String,
    pub(super) f32: Option<Winners>,
    pub(super) f64: Option<Winners>,
    #[serde(default)]
    pub(super) library: BTreeMap<String, Comparison>,
}

/// The fastest tiles for large and for small products.
#[derive(Serialize, Deserialize)]
pub(super) struct Winners {
    pub large: Winner,
    pub small: Winner,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Winner {
    pub tile: Tile,
    pub gflops: f64,
}

impl Measurements {
    pub(super) fn empty(cache: &Cache) -> Self {
        let (travertine, device) =
            (env!("CARGO_PKG_VERSION").to_owned(), cache.identity().to_owned());
        Measurements { travertine, device, f32: None, f64: None, library: BTreeMap::new() }
    }

    /// The file's contents, if it was written by this version for this device; `None` if there is no file.
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
        const HEADER: &str = "# Tile sizes that travertine measured on this device. Without this file it measures again.\n";
        let text = toml::to_string_pretty(self).map_err(std::io::Error::other)?;
        replace(&cache.tiles(), format!("{HEADER}{text}").as_bytes())
    }

    /// The entry of a scalar.
    pub(super) fn of<T: Scalar>(&mut self) -> &mut Option<Winners> {
        if size_of::<T>() == 8 { &mut self.f64 } else { &mut self.f32 }
    }
}

/// The rates of the library and of our own kernel.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Comparison {
    pub version: String,
    pub sizes: Vec<Compared>,
}

/// GFLOP/s of a product of this size; 0 where the library refused it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Compared {
    pub size: [usize; 3],
    pub ours: f64,
    pub library: f64,
}

impl Comparison {
    /// Whether the library is faster, for each of [`SIZES`]; `None` if other sizes were measured.
    pub fn wins(&self) -> Option<[bool; SIZES.len()]> {
        let mut wins = [false; SIZES.len()];
        for ((win, compared), size) in wins.iter_mut().zip(&self.sizes).zip(SIZES) {
            *win = compared.library > compared.ours;
            (compared.size == size).then_some(())?;
        }
        (self.sizes.len() == SIZES.len()).then_some(wins)
    }
}
