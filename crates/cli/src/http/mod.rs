//! What a run tells over HTTP. It only reads: nothing here changes what the run does.
//!
//! | path | is |
//! |---|---|
//! | `/` | a page for people |
//! | `/status` | the same as JSON, as `wal2es status --json` |
//! | `/livez` | 200 as long as the process answers |
//! | `/readyz` | 200 when the first load is done and the index is not far behind, else 503 with the reason |
//! | `/metrics` | for Prometheus |
//!
//! Everything comes from memory, so no server that is away keeps an answer back. It is up before the servers are asked for
//! anything, and ends after the run. Who may ask is decided in [`access`]. A connection carries one request, which has to
//! be there, and its answer read, within seconds; there is a bound to how many are open.

mod access;
mod answer;
mod metrics;
mod page;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::config::Http;
use crate::failure::Failure;
use crate::monitor::Monitor;
use access::Access;

/// Connections at a time; more wait to be accepted.
const CONNECTIONS: usize = 64;
/// How long the head of a request may take.
const HEAD: Duration = Duration::from_secs(5);
/// How long one connection may take in all.
const WHOLE: Duration = Duration::from_secs(10);
/// How long what is being answered may take when the run has ended.
const LAST: Duration = Duration::from_secs(1);
const HEADERS: usize = 64;
const HEAD_BYTES: usize = 16 << 10;

/// What is shared by all connections.
struct Shared {
    monitor: Arc<Monitor>,
    access: Access,
}

/// A listening socket and the task that answers there.
pub(crate) struct Endpoint {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Endpoint {
    /// Listens where `http.listen` says, if it says anything.
    ///
    /// # Errors
    /// The address can't be used, or is beyond loopback without a token.
    pub(crate) async fn open(
        config: &Http,
        monitor: &Arc<Monitor>,
    ) -> Result<Option<Self>, Failure> {
        let Some(listen) = &config.listen else { return Ok(None) };
        let addresses = addresses(listen).await?;
        let access = Access::new(config, &addresses)?;
        let listener = TcpListener::bind(addresses.as_slice()).await.map_err(|error| {
            let message = format!("http.listen: {listen}: {error}");
            let remedy = "name another address and port, or end what listens there";
            match error.kind() {
                std::io::ErrorKind::AddrInUse => Failure::retry(message, remedy),
                _ => Failure::config(message, remedy),
            }
        })?;
        if let Ok(address) = listener.local_addr() {
            info!(%address, "answering HTTP");
        }
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared { monitor: monitor.clone(), access });
        let task = tokio::spawn(accept(listener, shared, stop.clone()));
        Ok(Some(Endpoint { stop, task }))
    }

    /// Stops listening, and lets what is being answered end.
    pub(crate) async fn close(self) {
        self.stop.cancel();
        // It can't fail but by a panic, which has been told.
        let _ = self.task.await;
    }
}

async fn addresses(listen: &str) -> Result<Vec<SocketAddr>, Failure> {
    let bad = |why: String| {
        Failure::config(
            format!("http.listen: {listen}: {why}"),
            "write it as 127.0.0.1:8084, [::1]:8084 or 0.0.0.0:8084",
        )
    };
    let found = tokio::net::lookup_host(listen).await.map_err(|error| bad(error.to_string()))?;
    let found: Vec<SocketAddr> = found.collect();
    if found.is_empty() { Err(bad("it has no address".to_owned())) } else { Ok(found) }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut open = JoinSet::new();
    while let Some((stream, place)) = next(&listener, &room, &stop).await {
        while open.try_join_next().is_some() {}
        let shared = shared.clone();
        open.spawn(async move {
            let _ = tokio::time::timeout(WHOLE, serve(stream, shared)).await;
            drop(place);
        });
    }
    drop(listener);
    let all = async { while open.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(LAST, all).await;
}

/// The next connection, when there is room for it; None when told to stop.
async fn next(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let accepted = async {
        let place = room.clone().acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return Some((stream, place)),
                // No file descriptors, or the other side has gone already.
                Err(error) => {
                    debug!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => None,
        accepted = accepted => accepted,
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(answer::to(&shared, &request)) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .keep_alive(false)
        .max_headers(HEADERS)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        debug!(%error, "an HTTP connection ended");
    }
}
