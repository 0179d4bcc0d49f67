//! Common functions of the benchmarks.

use std::sync::Arc;

use travertine::Scalar;
use travertine::engine::{self, Engine, Settings};

/// The device of `TRAVERTINE_BENCH_DEVICE`, or else the CPU, with `threads` threads; 0 means one for each core.
pub fn engine<T: Scalar>(threads: usize) -> Arc<dyn Engine<T>> {
    let name = std::env::var("TRAVERTINE_BENCH_DEVICE").unwrap_or_else(|_| "cpu".to_owned());
    let mut settings = Settings::default();
    settings.threads = (threads > 0).then_some(threads);
    (settings.cache, settings.tune) = (engine::user_cache(), true);
    engine::open_with(&name, &settings).unwrap()
}
