//! Sizes of tiles: the candidates of the tuner, and the tiles that are used without it.

use serde::{Deserialize, Serialize};

use super::driver::Traits;

/// The part of C that a group computes at a time, and its division among items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tile {
    /// Items in a group; 1 for CPUs.
    pub items: usize,
    /// Items along the rows of C.
    pub across: usize,
    /// Vectors in an item's tile, along the rows of C.
    pub vectors: usize,
    /// Columns of C in an item's tile, at most.
    pub columns: usize,
    /// Steps of k at a time: those of a slice of A and B in shared memory, or of a packed copy.
    pub slice: usize,
}

impl Tile {
    /// Rows and columns of C that a group computes at a time.
    pub fn block(&self, width: usize) -> [usize; 2] {
        [self.across * self.vectors * width, self.items / self.across * self.columns]
    }

    /// Bytes of shared memory that the slices of A and B take, for tiles of GPUs.
    pub fn shared(&self, width: usize, scalar: usize) -> usize {
        // The layout of product.kernel: 4 elements of padding a slice.
        let [rows, columns] = self.block(width);
        (rows + 4 + columns + 4) * self.slice * scalar
    }

    fn fits(&self, traits: &Traits, scalar: usize) -> bool {
        traits.is_cpu
            || self.items <= traits.items
                && self.shared(width(traits, scalar), scalar) <= traits.shared
    }
}

/// The tiles that a device uses: one for products that fill the device with large tiles, one for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tiles {
    pub large: Tile,
    pub small: Tile,
}

const fn cpu(vectors: usize, columns: usize) -> Tile {
    Tile { items: 1, across: 1, vectors, columns, slice: 512 }
}

const fn gpu(items: usize, across: usize, vectors: usize, columns: usize, slice: usize) -> Tile {
    Tile { items, across, vectors, columns, slice }
}

/// Candidates for CPUs: as many vectors as the registers of instruction sets hold.
const CPU: [Tile; 4] = [cpu(2, 6), cpu(2, 12), cpu(4, 6), cpu(1, 6)];
/// Candidates for GPUs, for vectors of four lanes and scalars of four bytes. A tile of 32x64 with 64 items is not among them: it spills
/// registers.
const GPU: [Tile; 7] = [
    gpu(64, 8, 2, 8, 8),
    gpu(64, 8, 1, 4, 16),
    gpu(64, 8, 1, 4, 8),
    gpu(256, 16, 1, 4, 16),
    gpu(256, 16, 2, 8, 8),
    gpu(256, 16, 2, 4, 16),
    gpu(256, 32, 2, 8, 8),
];

/// Lanes of a vector in the kernels.
fn width(traits: &Traits, scalar: usize) -> usize {
    traits.width[usize::from(scalar == 8)]
}

impl Tiles {
    /// The candidates of the tuner: tiles that fit the device.
    pub fn candidates(traits: &Traits, scalar: usize) -> Vec<Tile> {
        let all: &[Tile] = if traits.is_cpu { &CPU } else { &GPU };
        // A device without vectors has more vectors of one lane. Slices have as many bytes for every scalar: an item loads its share of the next
        // slice into registers.
        let wide = |tile: &Tile| Tile {
            vectors: tile.vectors * 4 / width(traits, scalar).min(4),
            slice: tile.slice * 4 / scalar,
            ..*tile
        };
        let tiles = all.iter().map(|tile| if traits.is_cpu { *tile } else { wide(tile) });
        tiles.filter(|tile| tile.fits(traits, scalar)).collect()
    }

    /// The tiles where nothing was measured; `None` for a device that is too small for every tile.
    pub fn untuned(traits: &Traits, scalar: usize) -> Option<Tiles> {
        let candidates = Tiles::candidates(traits, scalar);
        let large = *candidates.first()?;
        Some(Tiles {
            large,
            small: if traits.is_cpu { large } else { *candidates.get(1).unwrap_or(&large) },
        })
    }
}
