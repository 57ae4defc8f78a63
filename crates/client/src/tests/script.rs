//! A server on a real socket that plays a script: one answer per connection.

use std::sync::{Arc, Mutex};

use quarry_ports::{Host, Task};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What the server does with one request.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// Answers with this status, these header lines and this body.
    Answer(u16, String, String),
    /// Reads the request and closes the connection.
    HangUp,
}

impl Act {
    /// A handler's reply.
    pub(super) fn done(reply: &str) -> Self {
        let id = "quarry-message-id: 01890000-0000-7000-8000-000000000001\r\n";
        Self::Answer(200, id.to_owned(), reply.to_owned())
    }

    /// A problem document.
    pub(super) fn problem(status: u16, outcome: &str, retryable: bool) -> Self {
        let body = format!(
            r#"{{"type":"urn:quarry:problem:some","title":"Some","status":{status},"detail":"so",
            "instance":"/","code":"some","trace_id":"t","retryable":{retryable},
            "outcome":"{outcome}","retry_after_ms":1}}"#
        );
        Self::Answer(status, "content-type: application/problem+json\r\n".to_owned(), body)
    }
}

/// A server and the requests that it got.
pub(super) struct Script {
    pub(super) url: String,
    requests: Arc<Mutex<Vec<String>>>,
    task: Task,
}

impl Script {
    /// Plays `acts`, then hangs up on every request.
    pub(super) async fn play(acts: impl IntoIterator<Item = Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let mut acts = acts.into_iter().collect::<Vec<_>>().into_iter();
        let task = Host::system().spawn("script", async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let Some(request) = read(&mut stream).await else { continue };
                seen.lock().unwrap().push(request);
                if let Act::Answer(status, headers, body) = acts.next().unwrap_or(Act::HangUp) {
                    let length = body.len();
                    let answer = format!(
                        "HTTP/1.1 {status} X\r\n{headers}connection: close\r\n\
                         content-length: {length}\r\n\r\n{body}"
                    );
                    stream.write_all(answer.as_bytes()).await.ok();
                }
            }
        });
        Self { url, requests, task }
    }

    /// Nobody listens there any more when this returns.
    pub(super) async fn end(self) {
        self.task.abort();
        self.task.ended().await;
    }

    /// The requests so far: head and body.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// A URL at which nobody listens.
pub(super) async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

async fn read(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                return Some(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
