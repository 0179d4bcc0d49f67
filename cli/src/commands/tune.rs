//! `travertine tune`

use clap::Args;
use serde::Serialize;
use travertine::engine::TunedTile;
use travertine::{Result, Scalar};

use crate::args::device::{DeviceArgs, Precision};
use crate::output::text::table;
use crate::output::{Output, rounded};

/// `tune`
#[derive(Args, Debug)]
pub(crate) struct TuneArgs {
    #[command(flatten)]
    device: DeviceArgs,
    /// Precision of all numbers
    #[arg(long, value_enum, default_value = "f32")]
    precision: Precision,
    /// JSON lines instead of text
    #[arg(long)]
    json: bool,
}

/// A line of `tune --json`.
#[derive(Serialize)]
struct TileLine<'a> {
    task: &'static str,
    device: &'a str,
    precision: &'static str,
    tile: &'a str,
    large_gflops: f64,
    small_gflops: f64,
    best_large: bool,
    best_small: bool,
}

/// Measures and lists the tiles; the best are kept for later runs.
pub(crate) fn run(args: &TuneArgs) -> Result<()> {
    match args.precision {
        Precision::F64 => tune::<f64>(args),
        _ => tune::<f32>(args),
    }
}

fn tune<T: Scalar>(args: &TuneArgs) -> Result<()> {
    let mut out = Output::new(args.json);
    let engine = args.device.without_tuning().open::<T>(args.precision)?;
    let tiles = engine.tune()?;
    let device = &engine.device().name;
    for tile in tiles.iter().filter(|_| args.json) {
        out.json_line(&TileLine {
            task: "tune",
            device,
            precision: args.precision.name(),
            tile: &tile.tile,
            large_gflops: rounded(tile.large, 1),
            small_gflops: rounded(tile.small, 1),
            best_large: tile.is_large,
            best_small: tile.is_small,
        })?;
    }
    out.people(&describe(&tiles, device))?;
    out.flush()
}

fn describe(tiles: &[TunedTile], device: &str) -> Vec<String> {
    if tiles.is_empty() {
        return vec![format!("{device} has nothing to tune")];
    }
    let mark = |rate: f64, best: bool| format!("{rate:.1}{}", if best { " *" } else { "  " });
    let mut rows = vec![["tile", "large GFLOP/s  ", "small GFLOP/s  "].map(str::to_owned).to_vec()];
    rows.extend(tiles.iter().map(|tile| {
        let (large, small) = (mark(tile.large, tile.is_large), mark(tile.small, tile.is_small));
        vec![tile.tile.clone(), large, small]
    }));
    let mut lines = table(&rows);
    lines.push(format!("* is used on {device} from now on"));
    lines
}
