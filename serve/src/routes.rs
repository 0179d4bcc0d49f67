//! The paths of requests, and what every request goes through: the token, and the counters.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use crate::app::App;
use crate::fault::Fault;
use crate::{openapi, pages, predict, v2};

/// Paths that need no token: the page, which asks for it, and what says whether the server is well.
const OPEN: &[&str] = &["/", "/v2/health/live", "/v2/health/ready"];
const BEARER: &str = "Bearer";

pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(pages::page))
        .route("/models", get(pages::models))
        .route("/metrics", get(pages::metrics))
        .route("/openapi.json", get(openapi::openapi))
        .route("/predict", post(predict::only))
        .route("/models/{name}/predict", post(predict::named))
        .route("/v2", get(v2::server))
        .route("/v2/health/live", get(v2::live))
        .route("/v2/health/ready", get(v2::ready))
        .route("/v2/models/{name}", get(v2::model))
        .route("/v2/models/{name}/ready", get(v2::model_ready))
        .route("/v2/models/{name}/infer", post(v2::infer))
        .route("/v2/models/{name}/versions/{version}", get(v2::model_version))
        .route("/v2/models/{name}/versions/{version}/ready", get(v2::version_ready))
        .route("/v2/models/{name}/versions/{version}/infer", post(v2::infer_version))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(&app), every))
        .with_state(app)
}

async fn unknown(uri: Uri) -> Fault {
    let expected = "/, /models, /predict, /models/NAME/predict, /v2, /metrics or /openapi.json";
    Fault::new(StatusCode::NOT_FOUND, "path", expected, format!("'{}'", uri.path()))
}

async fn wrong_method(method: Method, uri: Uri) -> Fault {
    let is_prediction = uri.path().ends_with("/predict") || uri.path().ends_with("/infer");
    let expected = if is_prediction { "POST" } else { "GET" };
    Fault::new(StatusCode::METHOD_NOT_ALLOWED, "method", expected, method.as_str())
}

/// What every request goes through.
async fn every(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let route = path.as_ref().map_or("unknown", MatchedPath::as_str);
    let response = match check_token(&app, route, &request) {
        Ok(()) => next.run(request).await,
        Err(fault) => fault.into_response(),
    };
    let predicts = route.ends_with("/predict") || route.ends_with("/infer");
    app.metrics.add(route, response.status().as_u16(), predicts, start.elapsed());
    response
}

fn check_token(app: &App, route: &str, request: &Request) -> Result<(), Fault> {
    let Some(token) = &app.token else { return Ok(()) };
    if OPEN.contains(&route) {
        return Ok(());
    }
    let sent = request.headers().get(header::AUTHORIZATION);
    let sent = sent.and_then(|value| credentials(value.as_bytes()));
    match sent {
        Some(sent) if is_same(sent, token.as_bytes()) => Ok(()),
        sent => {
            let found = if sent.is_some() { "another token" } else { "none" };
            let expected = "'Bearer TOKEN' with the token of the server";
            Err(Fault::new(StatusCode::UNAUTHORIZED, "authorization", expected, found))
        }
    }
}

/// What follows the scheme, whose case and spaces behind do not matter (RFC 9110, 11.1 and 11.4).
fn credentials(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(BEARER.len())?;
    let is_bearer = scheme.eq_ignore_ascii_case(BEARER.as_bytes()) && rest.starts_with(b" ");
    is_bearer.then(|| rest.trim_ascii_start())
}

/// Compares in a time that depends on lengths alone, so that a token cannot be found byte by byte.
fn is_same(sent: &[u8], token: &[u8]) -> bool {
    let mut difference = u8::from(sent.len() != token.len());
    for (i, byte) in sent.iter().enumerate() {
        difference |= black_box(byte ^ token.get(i).copied().unwrap_or(0));
    }
    black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::is_same;

    #[test]
    fn tokens_are_the_same_byte_by_byte() {
        assert!(is_same(b"secret", b"secret"));
        for other in [&b"secreT"[..], b"secre", b"secret ", b"", b"\0", b"secret\0"] {
            assert!(!is_same(other, b"secret"));
        }
    }
}
