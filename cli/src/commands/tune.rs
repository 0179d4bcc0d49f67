//! `travertine tune`

use serde_json::json;
use travertine::{Result, Scalar};

use crate::args::TuneArgs;
use crate::devices;
use crate::output::{Output, rounded, table};

/// Measures and lists the tiles; the best are kept for the next time.
pub(crate) fn run<T: Scalar>(args: &TuneArgs) -> Result<()> {
    let mut out = Output::new(args.json);
    let engine = devices::open_with_tiles::<T>(&args.device, args.precision, false)?;
    let tiles = engine.tune()?;
    let name = &engine.device().name;
    for tile in tiles.iter().filter(|_| args.json) {
        let json = [
            ("task", json!("tune")),
            ("device", json!(name)),
            ("precision", json!(args.precision.name())),
            ("tile", json!(tile.tile)),
            ("large_gflops", rounded(tile.large, 1)),
            ("small_gflops", rounded(tile.small, 1)),
            ("best_large", json!(tile.is_large)),
            ("best_small", json!(tile.is_small)),
        ];
        out.tell(&json, "")?;
    }
    let mark = |rate: f64, best: bool| format!("{rate:.1}{}", if best { " *" } else { "  " });
    let head = ["tile", "large GFLOP/s  ", "small GFLOP/s  "].map(str::to_owned).to_vec();
    let mut rows = vec![head];
    rows.extend(
        tiles
            .iter()
            .map(|t| vec![t.tile.clone(), mark(t.large, t.is_large), mark(t.small, t.is_small)]),
    );
    if tiles.is_empty() {
        out.people(&format!("{name} has nothing to tune"))?;
    } else {
        table(&rows).iter().try_for_each(|line| out.people(line))?;
        out.people(&format!("* is used on {name} from now on"))?;
    }
    out.flush()
}
