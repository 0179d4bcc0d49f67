//! `--preset`

use clap::ValueEnum;

/// The recipe that options not given are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Preset {
    /// For tables: a larger network, and everything else sized by rows
    Auto,
    /// The defaults that this help names
    Plain,
}
