//! `--preset` and `--quality`

use clap::ValueEnum;

/// The recipe that options not given are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Preset {
    /// For tables in memory: a larger network, and everything else sized by rows and columns
    Auto,
    /// For tables in memory: many networks in one, which share most of their weights (TabM); slower
    Tabm,
    /// The defaults that this help names
    Plain,
}

/// One network, or several whose mean the model answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Quality {
    /// One network
    Fast,
    /// Five networks, each tested on another fifth of the samples; takes five times as long
    Best,
}
