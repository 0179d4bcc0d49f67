//! Open Inference Protocol, version 2, over HTTP.
//!
//! <https://github.com/open-inference/open-inference-protocol/blob/main/specification/protocol/inference_rest.md>, and Triton's extension
//! of binary tensors: <https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md>.

mod elements;
mod infer;
mod request;
mod response;
mod tensor;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

pub(crate) use self::infer::{infer, infer_version};

use self::tensor::{inputs, outputs};
use crate::app::App;
use crate::fault::{self, Fault};
use crate::predict::wrong_path;
use crate::version::Version;

/// The name of a model in a path, or why there is none.
pub(crate) type Name = Result<Path<String>, PathRejection>;
/// The name of a model and a version.
pub(crate) type NameAndVersion = Result<Path<(String, String)>, PathRejection>;

/// `GET /v2`
pub(crate) async fn server() -> Response {
    fault::json(&json!({
        "name": "travertine",
        "version": env!("CARGO_PKG_VERSION"),
        "extensions": ["binary_tensor_data"],
    }))
}

/// `GET /v2/health/live`
pub(crate) async fn live() -> Response {
    fault::json(&json!({"live": true}))
}

/// `GET /v2/health/ready`
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Result<Response, Fault> {
    // Models are loaded before the first request is accepted.
    if app.is_ending.load(Relaxed) {
        return Err(Fault::unavailable("server", "a server that is ready", "one that ends"));
    }
    Ok(fault::json(&json!({"ready": true})))
}

/// `GET /v2/models/{name}/ready`
pub(crate) async fn model_ready(
    State(app): State<Arc<App>>,
    name: Name,
) -> Result<Response, Fault> {
    let Path(name) = name.map_err(wrong_path)?;
    app.find(&name)?;
    Ok(fault::json(&json!({"name": name, "ready": true})))
}

/// `GET /v2/models/{name}/versions/{version}/ready`
pub(crate) async fn version_ready(
    State(app): State<Arc<App>>,
    path: NameAndVersion,
) -> Result<Response, Fault> {
    let Path((name, version)) = path.map_err(wrong_path)?;
    find(&app, &name, Some(&version))?;
    Ok(fault::json(&json!({"name": name, "ready": true})))
}

/// `GET /v2/models/{name}`
pub(crate) async fn model(State(app): State<Arc<App>>, name: Name) -> Result<Response, Fault> {
    let Path(name) = name.map_err(wrong_path)?;
    Ok(fault::json(&metadata(&name, &*find(&app, &name, None)?)))
}

/// `GET /v2/models/{name}/versions/{version}`
pub(crate) async fn model_version(
    State(app): State<Arc<App>>,
    path: NameAndVersion,
) -> Result<Response, Fault> {
    let Path((name, version)) = path.map_err(wrong_path)?;
    Ok(fault::json(&metadata(&name, &*find(&app, &name, Some(&version))?)))
}

fn metadata(name: &str, version: &Version) -> Value {
    let tensor = |(name, datatype, width): (String, &str, Option<usize>)| match width {
        Some(width) => json!({"name": name, "datatype": datatype, "shape": [-1, width]}),
        None => json!({"name": name, "datatype": datatype, "shape": [-1]}),
    };
    json!({
        "name": name,
        "versions": [version.number.to_string()],
        "platform": "travertine",
        "inputs": inputs(&version.about).into_iter().map(tensor).collect::<Vec<_>>(),
        "outputs": outputs(&version.about).into_iter().map(tensor).collect::<Vec<_>>(),
    })
}

/// The current version of a model, which must be the one that a path names.
fn find(app: &App, name: &str, version: Option<&str>) -> Result<Arc<Version>, Fault> {
    let current = app.find(name)?.current();
    match version {
        Some(version) if version != current.number.to_string() => {
            let expected = format!("{}, the current version of '{name}'", current.number);
            let found = format!("'{version}'");
            Err(Fault::new(StatusCode::NOT_FOUND, "version", expected, found))
        }
        _ => Ok(current),
    }
}
