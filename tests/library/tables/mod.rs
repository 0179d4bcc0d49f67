//! Tables that other programs write, read back cell by cell.

pub(crate) mod folder;
mod python;
mod written;
