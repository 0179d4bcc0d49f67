//! `travertine serve` as clients see it: over the loopback, from the program itself.
#![cfg(all(unix, feature = "serve"))]

mod behavior;
#[path = "../cli/browser.rs"]
mod browser;
mod client;
mod hostile;
mod overflow;
mod page;
mod predict;
mod protocol;
mod reload;
#[path = "../cli/run.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod run;
mod triton;

use run::Folder;
use serde_json::Value;

/// A table of texts, gaps, dates and numbers, of which three classes can be told.
const FLOWERS: &str = include_str!("flowers.csv");

/// Trains a model of [`FLOWERS`] named `flowers`.
fn flowers(folder: &Folder) {
    folder.write("flowers.csv", FLOWERS);
    folder.run("train flowers.csv --hidden 8 --epochs 30 --seed 1 --out flowers.safetensors").ok();
}

/// What `predict` says of each row of a CSV text.
fn predicted(folder: &Folder, model: &str, text: &str, options: &str) -> Vec<Value> {
    folder.write("asked.csv", text);
    folder.run(&format!("predict {model} asked.csv --json {options}")).ok().json()
}
