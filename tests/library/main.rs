//! Data, metrics, models and their files, in one program: each test program compiles the library's generic code once more.

#[path = "../common/mod.rs"]
mod common;

mod data;
mod ensemble;
mod errors;
mod freeze;
mod freeze_limits;
mod freeze_names;
mod metrics;
mod model;
mod model_file;
mod model_threads;
mod model_weights;
mod networks;
mod onnx;
mod tables;
