//! Options that several commands share, and the parsers of their values. Nothing here reads data or trains.

pub(crate) mod augment;
pub(crate) mod checkpoint;
pub(crate) mod class_weights;
pub(crate) mod device;
pub(crate) mod history;
pub(crate) mod init;
pub(crate) mod memory;
pub(crate) mod names;
pub(crate) mod network;
pub(crate) mod optimizer;
pub(crate) mod preset;
pub(crate) mod probe;
pub(crate) mod processes;
pub(crate) mod regularization;
pub(crate) mod schedule;
pub(crate) mod source;
pub(crate) mod table;
pub(crate) mod values;
