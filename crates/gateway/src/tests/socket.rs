//! The listener on a real socket.

use std::time::Duration;

use quarry_ports::{Host, Task};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use super::harness::World;
use crate::{GatewayConfig, ListenerConfig, router, serve};

struct Listening {
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    task: Task,
}

async fn listen(world: &World, config: ListenerConfig) -> Listening {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let host = Host::system();
    let router = router(world.gateway.clone());
    let serving = serve(listener, router, config, host.clone(), async move {
        drop(stopped.await);
    });
    Listening { address, stop, task: host.spawn("http", serving) }
}

/// Sends `request` and reads until the server closes.
async fn talk(address: std::net::SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(10), reading).await.unwrap().ok();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_message_goes_over_a_real_socket() {
    let world = World::new().await;
    let listening = listen(&world, ListenerConfig::default()).await;
    let request = b"POST /v1/entities/Counter/a%2Fb/add HTTP/1.1\r\nhost: x\r\n\
        content-type: application/json\r\ncontent-length: 1\r\nconnection: close\r\n\r\n5";
    let answer = talk(listening.address, request).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n5"), "{answer}");
}

#[tokio::test]
async fn what_is_not_http_is_answered_with_a_problem_too() {
    let world = World::new().await;
    let listening = listen(&world, ListenerConfig::default()).await;
    let long = format!("GET / HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "x".repeat(20_000));
    let target = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(70_000));
    let second = format!("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n{long}");
    for (request, status, code) in [
        (&b"\x16\x03\x01\x02 garbage\r\n\r\n"[..], 400, "malformed_request"),
        (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", 400, "malformed_request"),
        (long.as_bytes(), 431, "headers_too_large"),
        (target.as_bytes(), 431, "headers_too_large"),
        (second.as_bytes(), 431, "headers_too_large"),
    ] {
        let answer = talk(listening.address, request).await;
        let at = answer.find(&format!("HTTP/1.1 {status} ")).unwrap();
        let (head, body) = answer[at..].split_once("\r\n\r\n").unwrap();
        assert!(head.contains("content-type: application/problem+json"), "{answer}");
        let problem: quarry_types::api::Problem = serde_json::from_str(body).unwrap();
        assert_eq!((problem.status, problem.code.as_str()), (status, code), "{answer}");
        assert!(head.contains(&problem.trace_id), "{answer}");
    }
}

/// A socket that is closed while something unread waits is reset, and the answer with it.
#[tokio::test]
async fn a_refusal_arrives_although_the_body_was_not_read() {
    let world = World::new().await;
    let listening = listen(&world, ListenerConfig::default()).await;
    let body = vec![b'1'; 4 << 20];
    let head = format!(
        "POST /v1/entities/Counter/c/add HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    for _ in 0..30 {
        let mut stream = TcpStream::connect(listening.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        let mut answer = String::new();
        let reading = stream.read_to_string(&mut answer);
        tokio::time::timeout(Duration::from_secs(10), reading).await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 413 ") && answer.ends_with('}'), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn a_slow_header_ends_the_connection() {
    let world = World::new().await;
    let header_timeout = Duration::from_millis(50);
    let config = ListenerConfig { header_timeout, ..ListenerConfig::default() };
    let listening = listen(&world, config).await;
    let answer = talk(listening.address, b"GET / HTTP/1.1\r\nhost:").await;
    assert!(!answer.contains("200 OK"), "{answer}");
}

#[tokio::test]
async fn shutdown_waits_for_the_request_in_flight() {
    let world = World::new().await;
    let listening = listen(&world, ListenerConfig::default()).await;
    let mut stream = TcpStream::connect(listening.address).await.unwrap();
    let request = b"POST /v1/entities/Moody/m/hang?timeout=500ms HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(request).await.unwrap();
    world.until("/v1/messages?state=open", |answer| answer.body["items"][0].is_object()).await;
    listening.stop.send(()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    assert!(listening.task.ended().await);
    assert!(TcpStream::connect(listening.address).await.is_err());
}

#[tokio::test]
async fn shutdown_ends_a_stream_between_two_events() {
    let world = World::new().await;
    let listening = listen(&world, ListenerConfig::default()).await;
    let mut stream = TcpStream::connect(listening.address).await.unwrap();
    let body = r#"{"count": 1000, "pause_ms": 20}"#;
    let head = "POST /v1/entities/Moody/m/tell HTTP/1.1\r\nhost: x\r\naccept: text/event-stream";
    let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    while !answer.contains("id: 0\n") {
        let mut part = [0; 1_024];
        let length = stream.read(&mut part).await.unwrap();
        assert!(length > 0, "{answer}");
        answer.push_str(std::str::from_utf8(&part[..length]).unwrap());
    }
    listening.stop.send(()).unwrap();
    let reading = stream.read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(5), reading).await.unwrap().unwrap();
    assert!(answer.ends_with("\r\n0\r\n\r\n"), "the body is whole: {answer}");
    assert!(!answer.contains("event: end"), "{answer}");
    assert!(listening.task.ended().await);
}

#[tokio::test]
async fn a_body_is_bounded_in_size_and_time() {
    let config = GatewayConfig {
        body_limit: 1_000,
        body_timeout: Duration::from_millis(50),
        ..GatewayConfig::default()
    };
    let world = World::with(config);
    let listening = listen(&world, ListenerConfig::default()).await;
    let head = "POST /v1/entities/Counter/c/add HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
    let chunk = format!("{:x}\r\n{}\r\n", 600, "1".repeat(600));
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n");
    let declared = format!("{head}content-length: 1001\r\n\r\n");
    let slow = format!("{head}content-length: 10\r\n\r\n1");
    for (request, status, code) in
        [(chunked, 413, "too_large"), (declared, 413, "too_large"), (slow, 408, "body_timeout")]
    {
        let answer = talk(listening.address, request.as_bytes()).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        let problem: quarry_types::api::Problem = serde_json::from_str(body).unwrap();
        assert_eq!(problem.code, code, "{answer}");
    }
    assert_eq!(world.stored().await, World::with(GatewayConfig::default()).stored().await);
}

#[tokio::test]
async fn more_connections_than_allowed_wait_for_their_turn() {
    let world = World::with(GatewayConfig::default());
    let config = ListenerConfig { connections: 1, ..ListenerConfig::default() };
    let listening = listen(&world, config).await;
    let request = b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let first = TcpStream::connect(listening.address).await.unwrap();
    let mut second = TcpStream::connect(listening.address).await.unwrap();
    second.write_all(request).await.unwrap();
    let mut answer = String::new();
    let early = second.read_to_string(&mut answer);
    assert!(tokio::time::timeout(Duration::from_millis(50), early).await.is_err());
    drop(first);
    second.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_stop_its_extraction() {
    let world = World::new().await;
    let listening = listen(&world, ListenerConfig::default()).await;
    let body = r#"{"text": "Alien was directed by Ridley Scott.", "ontologyId": "film",
        "requestId": "left"}"#;
    let request = format!(
        "POST /v1/extractions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(listening.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    // Inducing the extractor alone takes longer than this.
    world.until("/v1/extractions/left", |answer| answer.body["state"] == "open").await;
    drop(stream);
    world.until("/v1/extractions/left", |answer| answer.body["grade"] == "complete").await;
}

#[tokio::test]
async fn a_listener_that_leaves_answers_once_more_and_says_so() {
    let world = World::new().await;
    let listening = listen(&world, ListenerConfig::default()).await;
    let request = b"POST /v1/entities/Counter/a/add HTTP/1.1\r\nhost: x\r\n\
        content-type: application/json\r\ncontent-length: 1\r\n\r\n5";
    let mut kept = TcpStream::connect(listening.address).await.unwrap();
    kept.write_all(request).await.unwrap();
    let mut first = [0; 1024];
    let read = kept.read(&mut first).await.unwrap();
    let first = String::from_utf8_lossy(&first[..read]);
    assert!(
        first.starts_with("HTTP/1.1 200 OK") && !first.contains("connection: close"),
        "{first}"
    );
    drop(listening.stop);
    let answer = talk(listening.address, request).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "a new connection is answered: {answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    kept.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    kept.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains("connection: close"), "{answer}");
    assert!(listening.task.ended().await);
    assert!(TcpStream::connect(listening.address).await.is_err());
}

/// Asks on a connection that has said nothing yet, and was let in by a listener that ends.
async fn is_answered_last(mut stream: TcpStream) {
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let reading = stream.read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(10), reading).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "let in, and answered {answer:?}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
}

/// One connection is always there that has not asked yet: so is one in the moment in which the listener
/// closes.
#[tokio::test]
async fn who_is_let_in_by_a_listener_that_ends_is_answered() {
    let world = World::new().await;
    let listening = listen(&world, ListenerConfig::default()).await;
    // It has others wait for it.
    let idle = TcpStream::connect(listening.address).await.unwrap();
    let mut silent = TcpStream::connect(listening.address).await.unwrap();
    listening.stop.send(()).unwrap();
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    let closes = async {
        let mut answered = 0;
        loop {
            looks.tick().await;
            let Ok(next) = TcpStream::connect(listening.address).await else { return answered };
            is_answered_last(std::mem::replace(&mut silent, next)).await;
            answered += 1;
        }
    };
    let answered = tokio::time::timeout(Duration::from_secs(10), closes).await.unwrap();
    assert!(answered > 10, "{answered} were answered while it ended");
    is_answered_last(silent).await;
    drop(idle);
    assert!(listening.task.ended().await);
}
