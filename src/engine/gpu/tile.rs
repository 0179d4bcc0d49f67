//! Sizes of tiles: what the tuner chooses among, and what holds without it.

use serde::{Deserialize, Serialize};

use super::driver::Traits;

/// How a product is cut for one kind of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tile {
    /// Items in a group; 1: the kernel for CPUs.
    pub items: usize,
    /// Items side by side along the rows of C.
    pub across: usize,
    /// Vectors in an item's tile, along the rows of C.
    pub vectors: usize,
    /// Columns of C in an item's tile, at most.
    pub columns: usize,
    /// Steps of k between two looks at memory that is shared, or copied.
    pub slice: usize,
}

impl Tile {
    /// Rows and columns of C that a group computes at a time.
    pub fn block(&self, width: usize) -> [usize; 2] {
        [self.across * self.vectors * width, self.items / self.across * self.columns]
    }

    /// Bytes that a group shares, for tiles of GPUs.
    pub fn shared(&self, width: usize, scalar: usize) -> usize {
        // As product.kernel lays the slices out.
        let [rows, columns] = self.block(width);
        (rows + 4 + columns + 4) * self.slice * scalar
    }

    fn fits(&self, traits: &Traits, scalar: usize) -> bool {
        traits.is_cpu
            || self.items <= traits.items
                && self.shared(width(traits, scalar), scalar) <= traits.shared
    }
}

/// The tiles that a device uses: one where there is work enough to fill the device with large ones, one for the rest.
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

/// Tiles worth measuring on a CPU: as many vectors as instruction sets have registers for.
const CPU: [Tile; 4] = [cpu(2, 6), cpu(2, 12), cpu(4, 6), cpu(1, 6)];
/// The same on a GPU, for vectors of four and scalars of four bytes.
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
    /// What the tuner measures: tiles that the device has room for.
    pub fn candidates(traits: &Traits, scalar: usize) -> Vec<Tile> {
        let all: &[Tile] = if traits.is_cpu { &CPU } else { &GPU };
        // A device without vectors has more of them. Slices have as many bytes for every scalar: an item carries its share of the
        // next one in registers.
        let wide = |tile: &Tile| Tile {
            vectors: tile.vectors * 4 / width(traits, scalar).min(4),
            slice: tile.slice * 4 / scalar,
            ..*tile
        };
        let tiles = all.iter().map(|tile| if traits.is_cpu { *tile } else { wide(tile) });
        tiles.filter(|tile| tile.fits(traits, scalar)).collect()
    }

    /// What holds where nothing was measured; `None` for a device that is too small for every tile.
    pub fn usual(traits: &Traits, scalar: usize) -> Option<Tiles> {
        let candidates = Tiles::candidates(traits, scalar);
        let large = *candidates.first()?;
        Some(Tiles {
            large,
            small: if traits.is_cpu { large } else { *candidates.get(1).unwrap_or(&large) },
        })
    }
}
