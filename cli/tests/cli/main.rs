//! Drives the binary as scripts do: as a process.

mod augmentation;
mod bad_input;
mod baseline;
mod bench;
mod broken_drivers;
mod browser;
mod checkpoint;
#[cfg(target_os = "linux")]
mod cuda;
mod digits;
mod divergence;
mod ensembles;
mod evaluate;
mod first_weights;
mod history;
#[cfg(target_os = "linux")]
mod nccl;
mod opencl;
mod optimizers;
mod output_folder;
mod parquet;
mod preset;
#[cfg(target_os = "linux")]
mod processes;
mod raw;
mod regularization;
mod report;
mod reproduce;
mod run;
mod streaming;
mod tables;
mod terminal;
