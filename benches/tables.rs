//! Seconds from a file with a table to standardized samples: `cargo bench --bench tables -- FILE.csv`.

use std::time::Instant;

use travertine::data::{Encoder, Table, TableOptions};

const RUNS: usize = 5;

fn main() -> travertine::Result<()> {
    let Some(path) = std::env::args().skip(1).find(|argument| !argument.starts_with("--")) else {
        println!("usage: cargo bench --bench tables -- FILE");
        return Ok(());
    };
    let mut best = f64::INFINITY;
    let mut samples = 0;
    for _ in 0..RUNS {
        let start = Instant::now();
        let frame = Table::open(&path, &TableOptions::default())?.read()?;
        let (encoder, standardization) = Encoder::fit_with_standardization(&frame)?;
        let data = encoder.encode::<f32>(&frame, Some(&standardization))?.data;
        best = best.min(start.elapsed().as_secs_f64());
        samples = data.samples() * data.inputs();
    }
    println!("{{\"task\":\"read\",\"numbers\":{samples},\"seconds\":{best:.4}}}");
    Ok(())
}
