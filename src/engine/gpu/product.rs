//! The matrix product: who computes it, and with which kernel.

use super::device::Gpu;
use super::driver::{Arguments, Driver};
use super::product_call::{Blocking, Call, Output};
use super::program::{Key, Text};
use super::tile::{Tile, Tiles};
use crate::error::Result;
use crate::scalar::Scalar;

impl<T: Scalar, D: Driver> Gpu<T, D> {
    /// Computes a product by the library or by our kernel.
    ///
    /// # Safety
    /// The call describes memory of this engine; C overlaps neither A, B nor the bias.
    pub(super) unsafe fn product(&self, call: &Call) -> Result<()> {
        // SAFETY: the caller's promise is the same.
        if self.leaves_to_library(call) && unsafe { self.product_by_library(call)? } {
            return Ok(());
        }
        // SAFETY: the caller's promise is the same.
        unsafe { self.product_with(&self.tiles, call) }
    }

    /// Computes a product by our kernel, with the tiles given.
    ///
    /// # Safety
    /// As [`Gpu::product`].
    pub(super) unsafe fn product_with(&self, tiles: &Tiles, call: &Call) -> Result<()> {
        let (key, blocking) = self.product_plan(tiles, call);
        let arguments = self.product_arguments(call, &blocking)?;
        let make = || self.product_kernel(&key, call, &blocking);
        // SAFETY: the arguments are those of `product.kernel`; their memory is alive, as the caller promises.
        unsafe { self.launch_made(key, blocking.groups, blocking.tile.items, &arguments, make) }
    }

    /// The kernel of a product, and how it divides C.
    pub(super) fn product_plan(&self, tiles: &Tiles, call: &Call) -> (Key, Blocking) {
        let blocking = if self.traits().is_cpu {
            self.cpu_blocking(tiles, call)
        } else {
            self.gpu_blocking(tiles, call)
        };
        (self.product_key(call, &blocking), blocking)
    }

    /// The arguments of `product.kernel`.
    pub(super) fn product_arguments(&self, call: &Call, blocking: &Blocking) -> Result<Arguments> {
        let mut arguments = Arguments::new();
        for count in [
            call.c.rows,
            call.c.columns,
            call.a.columns,
            blocking.block[0],
            blocking.block[1],
            blocking.slice,
        ] {
            arguments.push(self.int(count)?);
        }
        arguments.push(self.real(call.alpha));
        arguments.push(self.real(call.beta));
        [call.a, call.b, call.c].into_iter().for_each(|span| arguments.push_span(span));
        if let Some(bias) = call.bias {
            arguments.push_vector(bias, bias.row_stride);
        }
        match call.output {
            Output::Plain => {}
            Output::Map { p, out, .. } => {
                self.push_parameters(&mut arguments, p);
                arguments.push_span(out);
            }
            Output::Zip { p, kept, .. } => {
                self.push_parameters(&mut arguments, p);
                arguments.push_span(call.c);
                arguments.push_span(kept);
            }
        }
        if let Some(sums) = call.sums {
            arguments.push_vector(sums, sums.row_stride);
        }
        Ok(arguments)
    }

    fn product_key(&self, call: &Call, blocking: &Blocking) -> Key {
        let (form, keeps_c) = match call.output {
            Output::Plain => (0, false),
            Output::Map { keeps_c, .. } => (1, keeps_c),
            Output::Zip { .. } => (2, false),
        };
        let key = self.key(Text::Product, "product", self.width(), blocking.tile.items).with(&[
            ("TILES_X", blocking.tile.across),
            ("TV", blocking.tile.vectors),
            ("TN", blocking.tile.columns),
            ("SLICE", blocking.tile.slice),
            ("PANELS", blocking.panels),
            ("PACK_A", usize::from(blocking.panels > 0)),
            ("PACK_B", usize::from(blocking.packs_b)),
            ("BIAS", usize::from(call.bias.is_some())),
            ("FORM", form),
            ("KEEP_C", usize::from(keeps_c)),
            ("SUMS", usize::from(call.sums.is_some())),
        ]);
        match call.output {
            Output::Plain => key,
            Output::Map { f, .. } => key.with_function("formula", 1, f.kernel),
            Output::Zip { f, .. } => key.with_function("formula", 2, f.kernel),
        }
    }

    /// A block is one tile of each item. Large tiles are taken where there are enough of them for the whole device.
    fn gpu_blocking(&self, tiles: &Tiles, call: &Call) -> Blocking {
        let groups_of = |tile: &Tile| {
            let [rows, columns] = tile.block(self.width());
            [call.c.rows.div_ceil(rows), call.c.columns.div_ceil(columns)]
        };
        let [across, down] = groups_of(&tiles.large);
        let tile = if across * down >= 2 * self.traits().units { tiles.large } else { tiles.small };
        let block = tile.block(self.width());
        Blocking {
            tile,
            block,
            groups: groups_of(&tile),
            slice: tile.slice,
            panels: 0,
            packs_b: false,
        }
    }
}
