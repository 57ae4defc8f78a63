//! The listener: bounded in connections, headers and patience, and ended with grace.

use std::{future::Future, sync::Arc, time::Duration};

use axum::Router;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use quarry_ports::Host;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};

use crate::{lingering::Lingering, spoken::Spoken, unread};

/// What a listener allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// How many connections are open at most; more wait in the kernel's queue.
    pub connections: usize,
    /// How long a request's head may take to come; also how long an idle connection is kept.
    pub header_timeout: Duration,
    /// How large a request's head may be, in bytes.
    pub header_limit: usize,
    /// How long requests in flight may take to end after the shutdown began.
    pub grace: Duration,
}

impl Default for ListenerConfig {
    fn default() -> Self {
        Self {
            connections: 10_000,
            header_timeout: Duration::from_secs(10),
            header_limit: 16 * 1024,
            grace: Duration::from_secs(10),
        }
    }
}

/// How long to wait after the kernel gave no connection (too many open files).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` on `listener` until `shutdown` ends: then takes no more connections, tells the
/// open ones to end after the request in flight, and waits for them up to the grace time.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    config: ListenerConfig,
    host: Host,
    shutdown: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(config.connections));
    let (stopping, stop) = watch::channel(());
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let (stream, place) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let stream = Spoken::new(Lingering::new(stream), host.clone());
        let talk = talk(stream, router.clone(), connection(&config), stop.clone());
        host.spawn("http connection", async move {
            if let Err(error) = talk.await {
                tracing::debug!(%error, "an HTTP connection ended badly");
            }
            drop(place);
        });
    }
    drop((listener, stop));
    stopping.send_replace(());
    if tokio::time::timeout(config.grace, stopping.closed()).await.is_err() {
        tracing::warn!("HTTP requests were still in flight when the grace time was over");
    }
}

/// Serves one connection to its end, which comes after the request in flight once `stop` changes.
async fn talk(
    stream: Spoken<Lingering<TcpStream>>,
    router: Router,
    builder: http1::Builder,
    mut stop: watch::Receiver<()>,
) -> hyper::Result<()> {
    let stopping = stop.clone();
    let service =
        service_fn(move |request| unread::answer(router.clone(), request, stopping.clone()));
    let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        _ = stop.changed() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

fn connection(config: &ListenerConfig) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout)
        .max_header_size(config.header_limit);
    builder
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed.
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Without it answers are only slower.
                drop(stream.set_nodelay(true));
                return (stream, place);
            }
            Err(error) => {
                tracing::warn!(%error, "no HTTP connection could be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
