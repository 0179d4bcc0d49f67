//! What a server is started with.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use travertine::Result;
use travertine::engine::Engine;

/// What a server is started with.
pub struct Options {
    /// The names of the models, which are in the paths of requests, and their files.
    pub models: Vec<(String, PathBuf)>,
    /// Where it listens; port 0 is any free one.
    pub listen: SocketAddr,
    /// What every request for a prediction must carry as `Authorization: Bearer`.
    pub token: Option<String>,
    /// Limits of what clients may ask for.
    pub limits: Limits,
    /// What opens the engines.
    pub engines: Engines,
    /// How often files are looked at for a new version.
    pub watch: Duration,
    /// Takes lines of the log.
    pub note: fn(&str),
    /// Takes the address once requests are answered.
    pub ready: Box<dyn FnOnce(SocketAddr) + Send>,
}

/// What opens an engine of a precision for a model of so many parameters.
pub type Open<T> = Box<dyn Fn(usize) -> Result<Arc<dyn Engine<T>>> + Send + Sync>;

/// What opens the engines: of each precision that a model has.
pub struct Engines {
    /// For models of f32.
    pub single: Open<f32>,
    /// For models of f64.
    pub double: Open<f64>,
}

/// Limits of what clients may ask for.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a request's body.
    pub body: usize,
    /// Rows of a request.
    pub rows: usize,
    /// Open connections.
    pub connections: usize,
    /// Time for the head of a request, also of the next one on an open connection.
    pub head_time: Duration,
    /// Time for a request's body, and for each part of an answer that a client must take.
    pub body_time: Duration,
    /// Time for the requests under way once the server is to end.
    pub end_time: Duration,
}

impl Default for Limits {
    /// 16 MiB, 10,000 rows, 1024 connections, 10 s for heads, 30 s for bodies and for the end.
    fn default() -> Self {
        Limits {
            body: 16 << 20,
            rows: 10_000,
            connections: 1024,
            head_time: Duration::from_secs(10),
            body_time: Duration::from_secs(30),
            end_time: Duration::from_secs(30),
        }
    }
}
