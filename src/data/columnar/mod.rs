//! Parquet files, and Arrow files and streams, among them Feather; behind the feature `parquet`.
//!
//! The crates of arrow-rs decode them. Whatever they would allocate because a file says so is checked before; a panic of theirs becomes an
//! error.

mod batches;
mod codec;
mod column;
mod footer;
mod format;
mod guard;
mod ipc;
mod pages;
mod rows;
mod thrift;
mod value;

use std::path::Path;

use self::batches::ArrowSource;
use self::rows::ParquetSource;
use super::table::Source;
use crate::Result;

/// Opens a Parquet file, with blocks of about `block_bytes` bytes.
pub(super) fn open_parquet(path: &Path, block_bytes: usize) -> Result<Box<dyn Source>> {
    Ok(Box::new(ParquetSource::open(path, block_bytes)?))
}

/// Opens an Arrow file or stream, whose blocks are its batches.
pub(super) fn open_arrow(path: &Path) -> Result<Box<dyn Source>> {
    Ok(Box::new(ArrowSource::open(path)?))
}
