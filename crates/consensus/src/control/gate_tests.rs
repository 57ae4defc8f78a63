//! Strangers and friends at the gate.

use std::pin::pin;

use futures_util::StreamExt;
use quarry_plane::{Cookie, Protocol, Security};
use quarry_ports::Metrics;
use tokio::io::AsyncWriteExt;

use super::*;

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_mins(1);

struct Here {
    address: String,
    listener: TcpListener,
    policy: Policy,
    metrics: Metrics,
}

async fn here() -> Here {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let metrics = Metrics::new().unwrap();
    let policy = Policy {
        protocol: Protocol::CURRENT,
        cluster: "here".to_owned(),
        cookie: Cookie::new(&"1".repeat(32)).unwrap(),
        security: Security::open(),
        refusals: Arc::new(Refusals::new("control", metrics.control_refused.clone())),
    };
    Here { address, listener, policy, metrics }
}

async fn knock(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(PREFACE).await.unwrap();
    stream
}

/// Waits until so many were refused for this reason.
async fn refused(metrics: &Metrics, reason: &str, least: u64) {
    let counter = metrics.control_refused.with_label_values(&[reason]);
    let reached = async {
        while counter.get() < least {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LONG, reached).await.unwrap_or_else(|_| panic!("none {reason}"));
}

#[tokio::test]
async fn a_stranger_that_says_nothing_is_cut_off_and_a_friend_is_not() {
    let Here { address, listener, policy, metrics } = here().await;
    let mut connections = pin!(accept(listener, 2, SHORT, policy, &Host::system()));
    let _stranger = knock(&address).await;
    let mut accepted = connections.next().await.unwrap().unwrap();
    let mut preface = [0; 24];
    accepted.read_exact(&mut preface).await.unwrap();
    assert_eq!(&preface, PREFACE, "what was read ahead is handed on");
    let error = accepted.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    refused(&metrics, "deadline", 1).await;
    let mut friend = knock(&address).await;
    let mut accepted = connections.next().await.unwrap().unwrap();
    accepted.connect_info().admit();
    accepted.read_exact(&mut preface).await.unwrap();
    let silent = tokio::time::timeout(SHORT * 3, accepted.read_u8()).await;
    assert!(silent.is_err(), "a friend may be silent: {silent:?}");
    friend.write_u8(7).await.unwrap();
    assert_eq!(accepted.read_u8().await.unwrap(), 7);
    drop(accepted);
    assert_eq!(metrics.control_refused.with_label_values(&["unproven"]).get(), 0);
}

#[tokio::test]
async fn strangers_beyond_the_limit_are_closed_and_friends_make_room() {
    let Here { address, listener, policy, metrics } = here().await;
    let mut connections = pin!(accept(listener, 1, LONG, policy, &Host::system()));
    let _first = knock(&address).await;
    let first = connections.next().await.unwrap().unwrap();
    let mut second = TcpStream::connect(&address).await.unwrap();
    let mut byte = [0];
    tokio::select! {
        accepted = connections.next() => panic!("accepted: {}", accepted.is_some()),
        closed = second.read(&mut byte) => assert_eq!(closed.unwrap_or(0), 0),
    }
    refused(&metrics, "busy", 1).await;
    first.connect_info().admit();
    let _fourth = knock(&address).await;
    assert!(connections.next().await.unwrap().is_ok());
}

#[tokio::test]
async fn what_is_no_http_2_is_refused_and_a_probe_is_not_counted() {
    let Here { address, listener, policy, metrics } = here().await;
    let mut connections = pin!(accept(listener, 4, LONG, policy, &Host::system()));
    drop(TcpStream::connect(&address).await.unwrap());
    let mut stranger = TcpStream::connect(&address).await.unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(stranger.read(&mut [0]).await.unwrap_or(0), 0);
    refused(&metrics, "garbage", 1).await;
    let mut stranger = TcpStream::connect(&address).await.unwrap();
    stranger.write_all(&[0x16, 3, 1, 0, 1, 0]).await.unwrap();
    refused(&metrics, "tls", 1).await;
    let _gone = knock(&address).await;
    drop(connections.next().await.unwrap().unwrap());
    refused(&metrics, "unproven", 1).await;
    let all: u64 = metrics.control_refused.with_label_values(&["garbage"]).get();
    assert_eq!(all, 1);
}

#[tokio::test]
async fn the_address_is_free_once_nobody_takes_connections_any_more() {
    let Here { address, listener, policy, .. } = here().await;
    drop(accept(listener, 4, LONG, policy, &Host::system()));
    let freed = async {
        while TcpListener::bind(&address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LONG, freed).await.unwrap();
}
