//! What every engine computes, in one program: each test program compiles the library's generic code once more.

#[path = "../common/mod.rs"]
mod common;

mod article;
mod augmentation;
mod category;
mod conformance;
mod embedding;
mod factors;
mod gradients;
mod hooks;
mod initial_values;
mod lbfgs;
mod loss_scale;
mod members;
mod multilabel;
mod normalization;
mod online;
mod opencl;
mod optimizers;
mod parametric;
mod quantiles;
mod reduced_precision;
mod regularization;
mod sample_weights;
mod scale;
mod schedules;
mod series;
mod slices;
mod special;
mod training;
mod whole_network;
