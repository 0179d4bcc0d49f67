//! `travertine devices`

use clap::Args;
use serde::Serialize;
use travertine::Result;
use travertine::engine::{self, Device};

use crate::output::Output;
use crate::output::text::short;

/// `devices`
#[derive(Args, Debug)]
pub(crate) struct DevicesArgs {
    /// JSON lines instead of text
    #[arg(long)]
    json: bool,
}

/// A line of `devices --json`.
#[derive(Serialize)]
struct DeviceLine<'a> {
    device: &'a str,
    name: &'a str,
    usable: bool,
    reason: Option<&'a str>,
    cure: Option<&'a str>,
    threads: Option<usize>,
    memory: Option<u64>,
    driver: Option<&'a str>,
    fp64: bool,
}

/// Lists all engines and devices.
pub(crate) fn run(args: &DevicesArgs) -> Result<()> {
    let mut out = Output::new(args.json);
    for device in engine::probe() {
        let missing = device.missing.as_ref();
        let line = DeviceLine {
            device: &device.name,
            name: &device.description,
            usable: missing.is_none(),
            reason: missing.map(|missing| &*missing.reason),
            cure: missing.map(|missing| &*missing.cure),
            threads: device.threads,
            memory: device.memory,
            driver: device.driver.as_deref(),
            fp64: device.fp64,
        };
        out.print(&line, &describe(&device))?;
    }
    Ok(())
}

fn describe(device: &Device) -> String {
    let memory = device
        .memory
        .map_or(String::new(), |bytes| format!(", {}B of memory", short(bytes as f64)));
    let driver =
        device.driver.as_ref().map_or(String::new(), |driver| format!(", driver {driver}"));
    let fp64 = if device.fp64 || device.missing.is_some() { "" } else { ", no f64" };
    let state = match &device.missing {
        None => "usable".to_owned(),
        Some(missing) => format!("not usable: {}; {}", missing.reason, missing.cure),
    };
    format!("{:<10}  {}{driver}{memory}{fp64}; {state}", device.name, device.description)
}
