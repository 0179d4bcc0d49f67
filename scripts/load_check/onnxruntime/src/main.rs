//! The peer of `scripts/load-check` with ONNX Runtime: the same rows as JSON, the same kind of server, a session for each core.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use ort::session::Session;
use ort::value::Tensor;
use serde_json::{Map, Value, json};

struct Sessions {
    sessions: Vec<Mutex<Session>>,
    next: AtomicUsize,
}

type Failure = (StatusCode, String);

fn failure(error: impl ToString) -> Failure {
    (StatusCode::BAD_REQUEST, error.to_string())
}

async fn predict(
    State(sessions): State<Arc<Sessions>>,
    Json(rows): Json<Vec<Vec<f32>>>,
) -> Result<Json<Value>, Failure> {
    let (count, numbers) = (rows.len(), rows.concat());
    let input = Tensor::from_array(([count, 784], numbers)).map_err(failure)?;
    let number = sessions.next.fetch_add(1, Ordering::Relaxed) % sessions.sessions.len();
    let mut session = sessions.sessions[number].lock().map_err(failure)?;
    let outputs = session.run(ort::inputs!["input" => input]).map_err(failure)?;
    let (_, shares) = outputs["probabilities"].try_extract_tensor::<f32>().map_err(failure)?;
    let predictions: Vec<Value> = shares
        .chunks(10)
        .map(|row| {
            let best = (0..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best });
            let all: Map<String, Value> =
                row.iter().enumerate().map(|(i, share)| (format!("d{i}"), (*share).into())).collect();
            json!({"class": format!("d{best}"), "probability": row[best], "probabilities": all})
        })
        .collect();
    Ok(Json(json!({"predictions": predictions})))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let count = std::thread::available_parallelism()?.get();
    let session = || -> Result<_, Box<dyn std::error::Error>> {
        Ok(Mutex::new(Session::builder()?.with_intra_threads(1)?.commit_from_file(&arguments[1])?))
    };
    let sessions = (0..count).map(|_| session()).collect::<Result<_, _>>()?;
    let state = Arc::new(Sessions { sessions, next: AtomicUsize::new(0) });
    let router = Router::new().route("/digits", post(predict)).with_state(state);
    let address = format!("127.0.0.1:{}", arguments[2]);
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await?;
        axum::serve(listener, router).await?;
        Ok(())
    })
}
