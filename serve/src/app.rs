//! What all requests share: the models, the counters, the limits, and how a body is read.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::time::timeout;

use crate::fault::Fault;
use crate::metrics::Metrics;
use crate::options::Limits;
use crate::served::Served;

/// What all requests share.
pub(crate) struct App {
    pub(crate) models: Vec<Served>,
    pub(crate) metrics: Metrics,
    pub(crate) limits: Limits,
    pub(crate) token: Option<String>,
    /// Whether a signal has come: requests under way are answered, and new ones should go elsewhere.
    pub(crate) is_ending: AtomicBool,
}

impl App {
    /// The model of a path.
    pub(crate) fn find(&self, name: &str) -> Result<&Served, Fault> {
        self.models.iter().find(|model| model.name == name).ok_or_else(|| {
            let expected = format!("one of the models {}", self.names());
            Fault::new(StatusCode::NOT_FOUND, "model", expected, format!("'{name}'"))
        })
    }

    /// The model of a path without a name.
    pub(crate) fn only(&self) -> Result<&Served, Fault> {
        match &self.models[..] {
            [model] => Ok(model),
            _ => {
                let expected = format!("/models/NAME/predict with one of {}", self.names());
                Err(Fault::new(StatusCode::NOT_FOUND, "path", expected, "/predict"))
            }
        }
    }

    fn names(&self) -> String {
        self.models.iter().map(|model| &*model.name).collect::<Vec<_>>().join(", ")
    }

    /// Reads a body within the limits of size and time.
    pub(crate) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, Fault> {
        if let Some(coding) = headers.get(header::CONTENT_ENCODING).filter(|c| *c != "identity") {
            let found = String::from_utf8_lossy(coding.as_bytes());
            let expected = "a body that is not compressed";
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Fault::new(status, "content-encoding", expected, found));
        }
        let length =
            headers.get(header::CONTENT_LENGTH).and_then(|l| l.to_str().ok()?.parse().ok());
        if let Some(length) = length {
            self.check_bytes(length)?;
        }
        let limit = self.limits.body_time;
        timeout(limit, self.collect(body)).await.unwrap_or_else(|_| Err(too_slow(limit)))
    }

    async fn collect(&self, mut body: Body) -> Result<Bytes, Fault> {
        let (mut first, mut all) = (Bytes::new(), BytesMut::new());
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|error| Fault::input("body", "a whole body", error.to_string()))?;
            let Ok(data) = frame.into_data() else { continue };
            if first.is_empty() {
                first = data;
            } else {
                if all.is_empty() {
                    all.extend_from_slice(&first);
                }
                all.extend_from_slice(&data);
            }
            self.check_bytes(first.len().max(all.len()) as u64)?;
        }
        // A body that came in one piece is not copied.
        Ok(if all.is_empty() { first } else { all.freeze() })
    }

    fn check_bytes(&self, bytes: u64) -> Result<(), Fault> {
        let limit = self.limits.body;
        if bytes <= limit as u64 {
            return Ok(());
        }
        let expected = format!("at most {limit} bytes");
        Err(Fault::too_large("body", expected, format!("{bytes} bytes or more")))
    }
}

fn too_slow(limit: Duration) -> Fault {
    let expected = format!("a whole body within {} s", limit.as_secs_f64());
    Fault::new(StatusCode::REQUEST_TIMEOUT, "body", expected, "a part of it")
}
