//! What the benchmarks share.

use std::sync::Arc;

use travertine::Scalar;
use travertine::engine::{self, Engine, Settings};

/// The device that `TRAVERTINE_BENCH_DEVICE` names, or the CPU; 0 threads are as many as there are cores.
pub fn engine<T: Scalar>(threads: usize) -> Arc<dyn Engine<T>> {
    let name = std::env::var("TRAVERTINE_BENCH_DEVICE").unwrap_or_else(|_| "cpu".to_owned());
    let mut settings = Settings::default();
    settings.threads = (threads > 0).then_some(threads);
    (settings.cache, settings.tune) = (engine::user_cache(), true);
    engine::open_with(&name, &settings).unwrap()
}
