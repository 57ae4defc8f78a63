//! The caller's side of the plain echo.

use std::{
    collections::HashMap,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use quarry_ports::Host;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    process::{Child, Command},
    sync::{mpsc, oneshot},
};

use super::echo_server::{BUFFER, Listening, parse};
use crate::{command::bench::load::Target, failure::Failure};

/// How long a process may take until it listens.
const WITHIN: Duration = Duration::from_secs(30);
/// Calls that wait for one connection.
const WAITING: usize = 8_192;
/// The number that a frame is told apart by.
const NUMBER: usize = 8;

/// Processes that echo.
pub(super) struct Echoes {
    processes: Vec<Child>,
    addresses: Vec<String>,
}

impl Echoes {
    /// Starts `count` processes.
    pub(super) async fn start(count: u64) -> Result<Self, Failure> {
        let (mut processes, mut addresses) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["bench", "echo", "--parent"]).arg(std::process::id().to_string());
            command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
            let mut process = command.spawn().context("cannot start a process of the bench")?;
            let stdout = process.stdout.take().context("the process has no output")?;
            let mut line = String::new();
            let mut lines = BufReader::new(stdout);
            let read = tokio::time::timeout(WITHIN, lines.read_line(&mut line)).await;
            read.context("a process of the bench says nothing")??;
            let listening: Listening = serde_json::from_str(&line)
                .with_context(|| format!("a process of the bench ended, saying {line:?}"))?;
            addresses.push(listening.address);
            processes.push(process);
        }
        Ok(Self { processes, addresses })
    }

    /// The processes.
    pub(super) fn ids(&self) -> Vec<u32> {
        self.processes.iter().filter_map(Child::id).collect()
    }

    /// One connection to each, for frames of `length` bytes.
    pub(super) async fn connect(&self, length: u32, host: &Host) -> Result<Echo, Failure> {
        let mut connections = Vec::new();
        for address in &self.addresses {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (reader, writer) = stream.into_split();
            let (sender, receiver) = mpsc::channel(WAITING);
            let pending = Pending::default();
            let waiting = Arc::clone(&pending);
            host.spawn("bench-echo-reader", async move { drop(read(reader, &waiting).await) });
            host.spawn("bench-echo-writer", write(writer, receiver, length, pending));
            connections.push(sender);
        }
        Ok(Echo { connections })
    }

    /// Ends the processes.
    pub(super) async fn stop(self) -> Result<(), Failure> {
        for mut process in self.processes {
            process.kill().await?;
        }
        Ok(())
    }
}

/// Who waits for the frame of a number.
type Pending = Arc<Mutex<HashMap<u64, oneshot::Sender<()>>>>;

fn lock(pending: &Pending) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<()>>> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connections to processes that echo: one to each.
pub(super) struct Echo {
    connections: Vec<mpsc::Sender<oneshot::Sender<()>>>,
}

impl Target for Echo {
    async fn call(&self, key: u32) -> Result<(), String> {
        let count = self.connections.len().max(1);
        let index = usize::try_from(key).map_err(|error| error.to_string())? % count;
        let connection = self.connections.get(index).ok_or("there is no connection")?;
        let (reply, answer) = oneshot::channel();
        connection.send(reply).await.map_err(|error| error.to_string())?;
        answer.await.map_err(|error| error.to_string())
    }
}

/// Writes what is asked, together where several ask.
async fn write(
    mut writer: OwnedWriteHalf,
    mut asked: mpsc::Receiver<oneshot::Sender<()>>,
    length: u32,
    pending: Pending,
) {
    let length = length.max(u32::try_from(NUMBER).unwrap_or(u32::MAX));
    let filling = vec![7; usize::try_from(length).unwrap_or(0).saturating_sub(NUMBER)];
    let (mut replies, mut bytes, mut number) = (Vec::new(), Vec::new(), 0_u64);
    while asked.recv_many(&mut replies, WAITING).await > 0 {
        bytes.clear();
        {
            let mut pending = lock(&pending);
            for reply in replies.drain(..) {
                number += 1;
                pending.insert(number, reply);
                bytes.extend(length.to_be_bytes());
                bytes.extend(number.to_be_bytes());
                bytes.extend_from_slice(&filling);
            }
        }
        if writer.write_all(&bytes).await.is_err() {
            break;
        }
    }
    // Who waits is told by what is dropped.
    lock(&pending).clear();
}

async fn read(reader: OwnedReadHalf, pending: &Pending) -> std::io::Result<()> {
    let mut reader = BufReader::with_capacity(BUFFER, reader);
    let mut body = Vec::new();
    loop {
        let mut length = [0; 4];
        reader.read_exact(&mut length).await?;
        body.resize(parse(length)?, 0);
        reader.read_exact(&mut body).await?;
        let number = body.first_chunk::<NUMBER>().map_or(0, |number| u64::from_be_bytes(*number));
        let waiting = lock(pending).remove(&number);
        if let Some(waiting) = waiting {
            // A caller that is gone needs no answer.
            let _ = waiting.send(());
        }
    }
}
