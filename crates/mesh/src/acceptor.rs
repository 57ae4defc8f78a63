//! Takes connections: bounded in number and time until they have proved who they are.

use std::{sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

use quarry_plane::Refusal;

use crate::{
    connector::Joiner,
    greeting,
    socket::{self, Side},
};

/// The pause after the kernel had no connection to give, as without file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until `stop`.
pub(crate) async fn run(listener: TcpListener, joiner: Arc<Joiner>, stop: CancellationToken) {
    let greeted = Arc::new(Semaphore::new(joiner.limits.unauthenticated));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "the mesh cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Without the port: it is another one for every connection.
        let from = from.ip().to_string();
        let Ok(permit) = greeted.clone().try_acquire_owned() else {
            joiner.refusals.record(&from, Refusal::Busy);
            continue;
        };
        let taken = joiner.clone();
        joiner.host.spawn("mesh greeting", async move {
            take(&taken, stream, &from).await;
            drop(permit);
        });
    }
}

async fn take(joiner: &Joiner, stream: TcpStream, from: &str) {
    let greet = async {
        let (mut stream, certified) = socket::accept(stream, &joiner.security).await?;
        let Joiner { identity, host, .. } = joiner;
        let greeted = greeting::as_server(&mut stream, identity, certified, host).await?;
        joiner.join(stream, Side::Server, greeted).await
    };
    match tokio::time::timeout(joiner.limits.handshake, greet).await {
        Err(_) => joiner.refusals.record(from, Refusal::Deadline),
        Ok(Ok(_)) => {}
        Ok(Err(error)) => {
            joiner.tell(from, &error);
            tracing::debug!(from, %error, "a connection came to nothing");
        }
    }
}
