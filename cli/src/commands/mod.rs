//! The commands, one file each, with their own arguments.

pub(crate) mod bench;
mod bench_network;
pub(crate) mod devices;
pub(crate) mod evaluate;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod json;
pub(crate) mod parity;
pub(crate) mod predict;
pub(crate) mod reproduce;
#[cfg(feature = "serve")]
pub(crate) mod serve;
pub(crate) mod tune;
pub(crate) mod use_args;
