//! Connections: how many, how long, and how they end.

use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use travertine::{ErrorKind, Result};

use crate::app::App;
use crate::fault::Fault;
use crate::options::Options;
use crate::patience::Patient;
use crate::reload;
use crate::routes::router;
use crate::signals::{Hangup, Signals};

/// Bytes of a request's head, at most.
const MOST_HEAD_BYTES: usize = 64 << 10;
/// How long to wait after the system refused a connection, because files are used up for example.
const PAUSE: Duration = Duration::from_millis(50);
/// Answers requests until a signal ends it.
pub(crate) async fn serve(options: Options, app: Arc<App>) -> Result<()> {
    let address = options.listen;
    let failed = |source: io::Error| ErrorKind::Io {
        action: "listen on",
        path: PathBuf::from(address.to_string()),
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    // Before anyone knows the address: a signal that no one listens to would end the program.
    let mut signals = Signals::new().map_err(failed)?;
    let hangup = Hangup::new().map_err(failed)?;
    let (ending, ended) = watch::channel(false);
    let places = Arc::new(Semaphore::new(app.limits.connections));
    let router = router(Arc::clone(&app));
    (options.ready)(listener.local_addr().map_err(failed)?);
    let looks = (hangup, options.watch);
    let reloads =
        tokio::spawn(reload::watch(Arc::clone(&app), looks, options.engines, options.note));
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => { sleep(PAUSE).await; continue }
            },
            () = signals.ended() => break,
        };
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                let (app, router, ended) = (Arc::clone(&app), router.clone(), ended.clone());
                tokio::spawn(async move {
                    app.metrics.connections.fetch_add(1, Relaxed);
                    connection(stream, &app, router, ended).await;
                    app.metrics.connections.fetch_sub(1, Relaxed);
                    drop(place);
                });
            }
            Err(_) => {
                app.metrics.refused_connections.fetch_add(1, Relaxed);
                tokio::spawn(timeout(app.limits.head_time, refuse(stream, app.limits.connections)));
            }
        }
    }
    drop(listener);
    reloads.abort();
    app.is_ending.store(true, Relaxed);
    (options.note)("ends; requests under way are answered");
    // Receivers are gone where there are no connections.
    let _ = ending.send(true);
    let all = places.acquire_many(app.limits.connections.try_into().unwrap_or(u32::MAX));
    tokio::select! {
        finished = timeout(app.limits.end_time, all) => if finished.is_err() {
            (options.note)("connections that did not end in time are cut");
        },
        () = signals.ended() => (options.note)("a second signal: connections are cut"),
    }
    Ok(())
}

/// Answers the requests of a connection.
async fn connection(
    stream: TcpStream,
    app: &App,
    router: Router,
    mut ended: watch::Receiver<bool>,
) {
    // A small answer is sent at once. Where the system cannot, it is sent later.
    let _ = stream.set_nodelay(true);
    let stream = Patient::new(stream, app.limits.body_time);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(app.limits.head_time)
        .max_buf_size(MOST_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    tokio::select! {
        // What a client did wrong has been answered, and a client that has gone needs no answer.
        _ = connection.as_mut() => return,
        _ = ended.wait_for(|ended| *ended) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

/// Answers a connection beyond the limit, without reading what it asks for.
async fn refuse(mut stream: TcpStream, limit: usize) -> io::Result<()> {
    let fault = Fault::unavailable(
        "connections",
        &format!("fewer than {limit} open connections"),
        format!("{limit}"),
    );
    let body = fault.body();
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), &body].concat()).await?;
    stream.shutdown().await
}
