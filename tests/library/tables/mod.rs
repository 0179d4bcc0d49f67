//! Tables that other programs write, read back cell by cell.

mod folder;
mod python;
mod written;
