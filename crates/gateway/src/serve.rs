//! The listener: bounded in connections, headers and patience, and ended with grace.

use std::{
    convert::Infallible,
    future::Future,
    io::ErrorKind,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::Router;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use quarry_ports::Host;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};

use crate::{Entrance, lingering::Lingering, spoken::Spoken, unread};

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

/// How long clients are told at most to take their next request elsewhere, before the connections that
/// are still open are closed: the request that a client puts on one in that very moment would be lost.
pub const FAREWELL: Duration = Duration::from_secs(2);
/// How long a connection may take then to send its first request: who has just connected has not been
/// told anything.
const FIRST_WORD: Duration = Duration::from_millis(500);
/// How often is looked whether all have gone meanwhile.
const LOOK: Duration = Duration::from_millis(20);
/// How long to wait after the kernel gave no connection (too many open files).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many connections the kernel has made and nobody has taken, at most: what tokio asks for.
const BACKLOG: usize = 1_024;

/// What a listener's connections are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Take one request after the other.
    Serving,
    /// End after the next answer, which says so.
    Leaving,
    /// End, after the request in flight if there is one.
    Closing,
}

/// Waits until no more than one request shall be taken.
pub(crate) async fn leaving(mut stage: watch::Receiver<Stage>) {
    // A listener that is gone wants the same.
    drop(stage.wait_for(|stage| *stage != Stage::Serving).await);
}

/// Serves what `entrance` leads to on `listener` until `shutdown` ends: then tells clients for a moment to go
/// elsewhere, takes no more connections, tells the open ones to end after the request in flight, and
/// waits for them up to the grace time.
pub async fn serve(
    listener: TcpListener,
    entrance: impl Into<Entrance>,
    config: ListenerConfig,
    host: Host,
    shutdown: impl Future<Output = ()>,
) {
    let entrance = entrance.into();
    let (stages, stage) = watch::channel(Stage::Serving);
    let grace = config.grace;
    let places = Arc::new(Semaphore::new(config.connections));
    let door = Door { listener, porter: Porter { places, stage, entrance, config, host } };
    tokio::select! {
        () = shutdown => {}
        never = door.keep_open() => match never {},
    }
    stages.send_replace(Stage::Leaving);
    tokio::select! {
        never = door.keep_open() => match never {},
        _ = tokio::time::timeout(FAREWELL, all_gone(&stages)) => {}
    }
    door.close();
    stages.send_replace(Stage::Closing);
    if tokio::time::timeout(grace, stages.closed()).await.is_err() {
        tracing::warn!("HTTP requests were still in flight when the grace time was over");
    }
}

/// Waits until no connection is open: then only the door's own receiver is left.
async fn all_gone(stages: &watch::Sender<Stage>) {
    while stages.receiver_count() > 1 {
        tokio::time::sleep(LOOK).await;
    }
}

/// Where connections come in.
struct Door {
    listener: TcpListener,
    porter: Porter,
}

/// Who has connections served.
struct Porter {
    places: Arc<Semaphore>,
    stage: watch::Receiver<Stage>,
    entrance: Entrance,
    config: ListenerConfig,
    host: Host,
}

impl Door {
    async fn keep_open(&self) -> Infallible {
        loop {
            self.admit().await;
        }
    }

    /// Waits for the next connection, and has it served.
    async fn admit(&self) {
        let (stream, place) = accept(&self.listener, &self.porter.places).await;
        self.porter.receive(stream, place);
    }

    /// Takes no more connections than the kernel has made already; those are served, since their clients
    /// cannot know that nobody took them.
    fn close(self) {
        let Ok(listener) = self.listener.into_std() else { return };
        for _ in 0..BACKLOG {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // It has gone already.
                Err(_) => continue,
            };
            let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
            if let Ok(stream) = stream {
                drop(stream.set_nodelay(true));
                self.porter.receive(stream, None);
            }
        }
    }
}

impl Porter {
    fn receive(&self, stream: TcpStream, place: Option<OwnedSemaphorePermit>) {
        let stream = Spoken::new(Lingering::new(stream), self.host.clone());
        let builder = connection(&self.config);
        let talk = talk(stream, self.entrance.router(), builder, self.stage.clone());
        self.host.spawn("http connection", async move {
            if let Err(error) = talk.await {
                tracing::debug!(%error, "an HTTP connection ended badly");
            }
            drop(place);
        });
    }
}

/// Serves one connection to its end, which comes after the request in flight once `stop` changes.
async fn talk(
    stream: Spoken<Lingering<TcpStream>>,
    router: Router,
    builder: http1::Builder,
    mut stage: watch::Receiver<Stage>,
) -> hyper::Result<()> {
    let seen = stage.clone();
    let asked = Arc::new(AtomicBool::new(false));
    let asks = Arc::clone(&asked);
    let service = service_fn(move |request| {
        asks.store(true, Ordering::Relaxed);
        unread::answer(router.clone(), request, seen.clone())
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        _ = stage.wait_for(|stage| *stage == Stage::Closing) => {}
    }
    // The first answer says that it is the last, and ends the connection.
    if !asked.load(Ordering::Relaxed)
        && let Ok(ended) = tokio::time::timeout(FIRST_WORD, connection.as_mut()).await
    {
        return ended;
    }
    connection.as_mut().graceful_shutdown();
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
