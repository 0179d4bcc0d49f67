//! Serves trained models over HTTP: raw rows as JSON or CSV (`POST /predict`), Open Inference Protocol version 2 (`/v2`), counters for
//! Prometheus (`/metrics`), the interface in OpenAPI (`/openapi.json`) and a page with a form (`/`).
//!
//! Requests that wait together are computed together; the answer for a row has the same bits whichever rows share its batch. A changed
//! file is loaded beside the old model, which it then replaces in one step.

#![forbid(unsafe_code)]

mod about;
mod app;
mod compute;
mod fault;
mod metrics;
mod openapi;
mod options;
mod pages;
mod patience;
mod predict;
mod reload;
mod routes;
mod rows;
mod served;
mod server;
mod signals;
mod v2;
mod version;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use travertine::{Error, Result};

pub use crate::options::{Engines, Limits, Open, Options};

use crate::app::App;
use crate::metrics::Metrics;
use crate::served::Served;

/// Loads the models and answers requests until a signal ends the server: SIGTERM or SIGINT.
///
/// # Errors
/// A model that cannot be loaded; an address that cannot be listened on.
pub fn run(mut options: Options) -> Result<()> {
    let models = std::mem::take(&mut options.models);
    let load =
        |(name, path)| Served::load(name, path, &options.engines, options.limits.connections);
    let models = models.into_iter().map(load).collect::<Result<_>>()?;
    let app = Arc::new(App {
        models,
        metrics: Metrics::new(),
        limits: options.limits.clone(),
        token: options.token.take(),
        is_ending: AtomicBool::new(false),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(Error::other)?;
    let ended = runtime.block_on(server::serve(options, app));
    // A model that is being loaded is not waited for.
    runtime.shutdown_background();
    ended
}
