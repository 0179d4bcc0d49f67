//! `--preset`

use clap::ValueEnum;

/// The recipe that options not given are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Preset {
    /// For tables in memory: a larger network, and everything else sized by rows and columns
    Auto,
    /// The defaults that this help names
    Plain,
}
