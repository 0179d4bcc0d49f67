//! `travertine devices`

use std::time::Duration;

use clap::Args;
use travertine::Result;
use travertine::engine;

use crate::args::probe::{self, DeviceLine};
use crate::args::values::at_least_one;
use crate::output::Output;
use crate::output::text::short;

/// `devices`
#[derive(Args, Debug)]
pub(crate) struct DevicesArgs {
    /// JSON lines instead of text
    #[arg(long)]
    json: bool,
    /// Seconds that the drivers of an engine have to answer
    #[arg(long, default_value_t = probe::LIMIT.as_secs() as usize, value_parser = at_least_one, value_name = "SECONDS")]
    limit: usize,
    /// Asks the drivers of one engine in this process
    #[arg(long, hide = true)]
    ask: Option<String>,
}

/// Lists all engines and devices.
pub(crate) fn run(args: &DevicesArgs) -> Result<()> {
    if let Some(engine) = &args.ask {
        probe::reply(engine);
    }
    let mut out = Output::new(args.json);
    for engine in engine::names().chain([probe::MPI]) {
        for line in probe::apart(engine, Duration::from_secs(args.limit as u64)) {
            out.print(&line, &describe(&line))?;
        }
    }
    Ok(())
}

fn describe(line: &DeviceLine) -> String {
    let memory =
        line.memory.map_or(String::new(), |bytes| format!(", {}B of memory", short(bytes as f64)));
    let driver = line.driver.as_ref().map_or(String::new(), |driver| format!(", driver {driver}"));
    let fp64 = if line.fp64 || !line.usable { "" } else { ", no f64" };
    let state = match (&line.reason, &line.cure) {
        (Some(reason), Some(cure)) => format!("not usable: {reason}; {cure}"),
        _ => "usable".to_owned(),
    };
    format!("{:<10}  {}{driver}{memory}{fp64}; {state}", line.device, line.name)
}
