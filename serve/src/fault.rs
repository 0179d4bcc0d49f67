//! Why a request is refused: the answer says which field is wrong, what was expected and what was found.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use travertine::{Error, ErrorKind};

/// A refused request.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) status: StatusCode,
    /// The part of the request.
    pub(crate) field: String,
    pub(crate) expected: String,
    pub(crate) found: String,
}

/// The body of the answer. Open Inference Protocol asks for `error`.
#[derive(Serialize)]
struct Body<'a> {
    error: String,
    field: &'a str,
    expected: &'a str,
    found: &'a str,
}

impl Fault {
    pub(crate) fn new(
        status: StatusCode,
        field: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Fault { status, field: field.into(), expected: expected.into(), found: found.into() }
    }

    /// A request that is wrong in itself.
    pub(crate) fn input(
        field: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Fault::new(StatusCode::BAD_REQUEST, field, expected, found)
    }

    /// More than a limit allows.
    pub(crate) fn too_large(field: &str, expected: String, found: String) -> Self {
        Fault::new(StatusCode::PAYLOAD_TOO_LARGE, field, expected, found)
    }

    /// The JSON of the answer.
    pub(crate) fn body(&self) -> Vec<u8> {
        let Fault { field, expected, found, .. } = self;
        let error = format!("{field}: expected {expected}, found {found}");
        // Texts serialize always.
        serde_json::to_vec(&Body { error, field, expected, found }).unwrap_or_default()
    }

    /// The server cannot answer now.
    pub(crate) fn unavailable(field: &str, expected: &str, found: impl Into<String>) -> Self {
        Fault::new(StatusCode::SERVICE_UNAVAILABLE, field, expected, found)
    }
}

/// What the library says of rows. A device that fails is not the request's fault.
impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Format { file, place, expected, found } => {
                Fault::input(format!("{file}, {place}"), for_clients(expected), found)
            }
            _ if error.is_input() => Fault::input("rows", "rows of the model", error.to_string()),
            _ => Fault::unavailable("device", "a device that computes", error.to_string()),
        }
    }
}

/// What was expected, without the options that only who trains has.
fn for_clients(expected: &str) -> String {
    let parts = expected.split("; ").filter(|part| !part.contains("TableOptions::"));
    parts.collect::<Vec<_>>().join("; ")
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut response = (self.status, json_bytes(self.body())).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
        }
        response
    }
}

/// A body of JSON with its type.
pub(crate) fn json(body: &impl Serialize) -> Response {
    // Keys are texts and nothing fails to serialize.
    json_bytes(serde_json::to_vec(body).unwrap_or_default())
}

fn json_bytes(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], bytes).into_response()
}
