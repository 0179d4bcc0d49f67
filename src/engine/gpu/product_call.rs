//! A matrix product as data: its operands and its output, and how a kernel divides it into blocks.

use super::tile::Tile;
use crate::engine::{Map, Span, Zip};

/// `C = alpha A B + beta C`, and what is done to C before it is stored.
#[derive(Clone, Copy)]
pub(super) struct Call {
    pub alpha: f64,
    /// `m x k`
    pub a: Span,
    /// `k x n`
    pub b: Span,
    pub beta: f64,
    /// `m x n`
    pub c: Span,
    /// `m x 1`, added to every column
    pub bias: Option<Span>,
    pub output: Output,
    /// `sums = alpha A 1 + beta sums`, `m x 1`
    pub sums: Option<Span>,
    /// Whether C may be stored in 16 bits where A and B are.
    pub rounds: bool,
    /// Whether the derivative f' is needed later.
    pub trains: bool,
}

/// What is stored of C.
#[derive(Clone, Copy)]
pub(super) enum Output {
    /// C
    Plain,
    /// `out = f(C; p)`, and C itself if `keeps_c`
    Map { f: &'static Map, p: [f64; 4], out: Span, keeps_c: bool },
    /// `C = f(C, kept; p)`
    Zip { f: &'static Zip, p: [f64; 4], kept: Span },
}

impl Call {
    pub fn plain(alpha: f64, a: Span, b: Span, beta: f64, c: Span) -> Self {
        Call {
            alpha,
            a,
            b,
            beta,
            c,
            bias: None,
            output: Output::Plain,
            sums: None,
            rounds: false,
            trains: false,
        }
    }

    pub fn flops(&self) -> f64 {
        2.0 * self.c.rows as f64 * self.c.columns as f64 * self.a.columns as f64
    }
}

/// How C is divided into blocks, one for a group, and a block into tiles.
pub(super) struct Blocking {
    pub tile: Tile,
    /// Rows and columns of C in a block.
    pub block: [usize; 2],
    pub groups: [usize; 2],
    /// Steps of k at a time.
    pub slice: usize,
    /// Panels of A that are packed at a time; 0: A is read in place.
    pub panels: usize,
    pub packs_b: bool,
}
