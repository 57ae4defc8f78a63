//! Many who come at once, or one again and again.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use quarry_plane::Refusals;
use quarry_ports::{Host, Metrics};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::{
    Policy,
    gate::STRANGERS,
    tests::{TIMEOUT, links, policy, refused, serve_on},
};
use crate::view::Views;

/// The pause of a caller that was turned away.
const PAUSE: Duration = Duration::from_millis(50);
/// Longer than any pause between two tries of a connection.
const QUIET: Duration = Duration::from_millis(500);

/// Takes connections, closes each at once, and tells of it.
async fn slamming() -> (String, mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (told, closed) = mpsc::unbounded_channel();
    drop(Host::system().spawn("slamming door", async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(stream);
            if told.send(()).is_err() {
                return;
            }
        }
    }));
    (address, closed)
}

#[tokio::test]
async fn a_peer_that_closes_each_connection_gets_no_more_of_them_than_there_are_calls() {
    let (address, mut closed) = slamming().await;
    let links = links(1, "here", 1, &address);
    for call in 1..=10 {
        assert!(!refused(&links, 1).await.is_empty());
        assert!(closed.recv().await.is_some());
        assert!(closed.try_recv().is_err(), "call {call} made a second connection");
    }
    let later = tokio::time::timeout(QUIET, closed.recv()).await;
    assert!(later.is_err(), "a connection that nobody asked for");
}

/// Silent ones hold every place, and more than there are places want to speak at once.
#[tokio::test]
async fn all_who_come_at_once_are_served_once_the_silent_are_cut_off() {
    const CALLERS: usize = STRANGERS * 2;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let metrics = Metrics::new().unwrap();
    let refusals = Arc::new(Refusals::new("control", metrics.control_refused.clone()));
    serve_on(listener, &Arc::new(Views::new()), Policy { refusals, ..policy(1, "here") });
    let mut silent = Vec::new();
    for _ in 0..STRANGERS {
        silent.push(TcpStream::connect(&address).await.unwrap());
    }
    let callers = (0..CALLERS).map(async |_| {
        let links = links(1, "here", 1, &address);
        while !refused(&links, 1).await.contains("not a voter") {
            tokio::time::sleep(PAUSE).await;
        }
        // Its connection stays, and takes no place of a stranger.
        links
    });
    let served = tokio::time::timeout(TIMEOUT, join_all(callers)).await;
    assert_eq!(served.expect("all are served in time").len(), CALLERS);
    let count = |reason| metrics.control_refused.with_label_values(&[reason]).get();
    assert!(count("busy") > 0, "nobody was turned away while all places were taken");
    assert!(count("deadline") >= u64::try_from(STRANGERS).unwrap(), "the silent ones");
}
