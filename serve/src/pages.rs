//! The page at `/`, the list of models that it reads, and the counters.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::about::About;
use crate::app::App;
use crate::fault;

/// The page needs nothing from anywhere else.
const PAGE: &str = include_str!("page.html");
/// What a browser may load for the page: what is in it, and the answers of this server.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
    img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'self'";

/// `GET /`
pub(crate) async fn page() -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, PAGE).into_response()
}

#[derive(Serialize)]
struct Model<'a> {
    name: &'a str,
    version: String,
    #[serde(flatten)]
    about: &'a About,
}

/// `GET /models`
pub(crate) async fn models(State(app): State<Arc<App>>) -> Response {
    let current: Vec<_> = app.models.iter().map(|model| (&*model.name, model.current())).collect();
    let models = current.iter().map(|(name, version)| Model {
        name,
        version: version.number.to_string(),
        about: &version.about,
    });
    fault::json(&models.collect::<Vec<_>>())
}

/// `GET /metrics`
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let models = app.models.iter().map(|model| (&*model.name, &*model.metrics));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], app.metrics.text(models)).into_response()
}
