//! `quarry bench chunks`: a stream of stored chunks, made by one handler and followed by several readers
//! from its beginning, in process and over HTTP.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::StreamExt;
use quarry::prelude::Node;
use quarry_client::Client;
use quarry_ports::Host;
use quarry_types::{MessageId, Monotonic, stream::Told};
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc;

use super::{
    baseline::{self, Baseline},
    conditions::{Before, Size},
    load::count,
    report::{Report, Row, Spread},
    run::{on_a_node, progress},
    store::BenchStore,
    surface::{Calls, InProcess},
    wait::until,
};
use crate::{
    cli::ChunksArguments,
    failure::{Exit, Failure},
    node::RunningNode,
    output::Output,
};

/// How long a reader waits for the next chunk.
const PATIENCE: Duration = Duration::from_mins(1);
/// How many chunks a reader in process asks for at a time.
const PAGE: u32 = 256;

/// Runs the command.
pub(crate) async fn run(arguments: &ChunksArguments, output: Output) -> Result<(), Failure> {
    let host = Host::system();
    let measured = BenchStore::with(arguments.rounds.store.as_deref(), &host, async |store| {
        let before = Before::look(store.directory(), &host).await?;
        let place = (store.directory(), store.url.as_str());
        let (described, (baselines, results)) = on_a_node(place, None, &host, async |node| {
            Bench::new(arguments, node, &host)?.figures(store).await
        })
        .await?;
        let rounds = arguments.rounds.count;
        let size = Size { keys: 1, payload: arguments.payload, seconds: None, rounds };
        let conditions = before.conditions(described, &store.url, size);
        Ok(Report { bench: "chunks", conditions, baselines, results })
    });
    measured.await?.print(output)
}

/// Streams that so many readers followed.
#[derive(Debug, Serialize)]
struct Figure {
    /// How they read: `in process` or `http`.
    surface: &'static str,
    /// Readers at a time, each of which read every chunk.
    readers: u32,
    /// Chunks of each stream.
    chunks: u32,
    /// Chunks per second, from the request until the last reader had the last.
    per_second: Spread,
    /// The middle to the baseline.
    ratio: f64,
    /// From the request until a reader had the first chunk, over all readers, in milliseconds.
    first_ms: Spread,
    /// Chunks per synchronous commit of the store.
    chunks_per_commit: f64,
}

/// Who reads.
#[derive(Clone)]
enum Reader {
    InProcess(Node),
    Http(Client),
}

/// When a reader had the first chunk and the last.
struct Read {
    first: Monotonic,
    last: Monotonic,
}

/// What one stream came to.
struct Measured {
    per_second: f64,
    first_ms: Vec<f64>,
    commits: f64,
}

struct Bench<'a> {
    arguments: &'a ChunksArguments,
    node: &'a RunningNode,
    host: &'a Host,
    writer: InProcess,
}

impl<'a> Bench<'a> {
    fn new(
        arguments: &'a ChunksArguments,
        node: &'a RunningNode,
        host: &'a Host,
    ) -> Result<Self, Failure> {
        let asked = json!({ "chunks": arguments.chunks, "bytes": arguments.payload });
        let calls = Arc::new(Calls::new(1, "stream", Some(&asked))?);
        let writer = InProcess::new(node.node().clone(), calls).one_way();
        Ok(Self { arguments, node, host, writer })
    }

    async fn figures(&self, store: &BenchStore) -> Result<(Vec<Baseline>, Vec<Figure>), Failure> {
        let surfaces = [
            ("in process", Reader::InProcess(self.node.node().clone())),
            ("http", Reader::Http(Client::new([self.node.url()], None)?)),
        ];
        let ChunksArguments { readers, rounds, .. } = self.arguments;
        let progress = progress(readers.len() as u64 * 2 * u64::from(rounds.count));
        let (mut baselines, mut figures) = (Vec::new(), Vec::new());
        for readers in readers {
            let baseline = baseline::disk(store.directory(), self.host).await?;
            for (surface, reader) in &surfaces {
                progress.set_message(format!("{surface}, {readers} readers"));
                let mut measured = Vec::new();
                for _ in 0..rounds.count {
                    measured.push(self.round(reader, *readers).await?);
                    progress.inc(1);
                }
                let of = (*surface, *readers, self.arguments.chunks);
                figures.push(Figure::of(of, &measured, &baseline));
            }
            baselines.push(baseline);
        }
        progress.finish_and_clear();
        Ok((baselines, figures))
    }

    /// Asks for one stream, and reads it so many times at once.
    async fn round(&self, reader: &Reader, readers: u32) -> Result<Measured, Failure> {
        let ports = self.node.node().ports();
        let (began, commits) = (self.host.now(), ports.store.commits());
        let message_id = self.writer.send(0).await.map_err(failed)?;
        let (sender, mut ended) = mpsc::channel(1);
        for _ in 0..readers {
            let (reader, host, sender) = (reader.clone(), self.host.clone(), sender.clone());
            let chunks = self.arguments.chunks;
            self.host.spawn("bench-reader", async move {
                // The receiver waits for every reader, or the bench has failed.
                drop(sender.send(reader.read(message_id, chunks, &host).await).await);
            });
        }
        drop(sender);
        let mut reads = Vec::new();
        while let Some(read) = ended.recv().await {
            reads.push(read.map_err(failed)?);
        }
        let is_over = || ports.metrics.pending_messages.get() == 0;
        until("the stream was not over", PATIENCE, self.host, is_over).await?;
        let chunks = f64::from(self.arguments.chunks);
        let last = reads.iter().map(|read| read.last).max().unwrap_or(began);
        let committed = ports.store.commits().saturating_sub(commits);
        Ok(Measured {
            per_second: chunks / last.since(began).as_secs_f64().max(1e-9),
            first_ms: reads
                .iter()
                .map(|read| read.first.since(began).as_secs_f64() * 1e3)
                .collect(),
            commits: count(usize::try_from(committed).unwrap_or(usize::MAX)),
        })
    }
}

fn failed(error: String) -> Failure {
    Failure::new(Exit::Failed, error)
}

impl Reader {
    /// Reads a stream that is to have so many chunks from its beginning to its end.
    async fn read(&self, message_id: MessageId, chunks: u32, host: &Host) -> Result<Read, String> {
        let mut progress = Progress { next: 0, first: None, wanted: u64::from(chunks) };
        match self {
            Self::InProcess(node) => {
                while progress.is_short() {
                    let page = node.chunks(message_id, progress.next, PAGE, PATIENCE).await;
                    let page = page.map_err(|error| error.to_string())?;
                    if page.is_empty() {
                        return Err(progress.short());
                    }
                    page.iter().try_for_each(|chunk| progress.take(chunk.sequence, host))?;
                }
            }
            Self::Http(client) => {
                let mut stream = pin!(client.chunks(message_id, 0, PATIENCE));
                while let Some(told) = stream.next().await {
                    match told.map_err(|error| error.to_string())? {
                        Told::Chunk { sequence, .. } => progress.take(sequence, host)?,
                        Told::End(_) => return Err(progress.short()),
                        other => return Err(format!("a reader was told {other:?}")),
                    }
                    if !progress.is_short() {
                        break;
                    }
                }
            }
        }
        let first = progress.first.ok_or_else(|| progress.short())?;
        Ok(Read { first, last: host.now() })
    }
}

/// How far a reader is.
struct Progress {
    next: u64,
    first: Option<Monotonic>,
    wanted: u64,
}

impl Progress {
    fn take(&mut self, sequence: u64, host: &Host) -> Result<(), String> {
        if sequence != self.next {
            return Err(format!("chunk {sequence} came where {} was due (R1)", self.next));
        }
        self.first.get_or_insert_with(|| host.now());
        self.next += 1;
        Ok(())
    }

    const fn is_short(&self) -> bool {
        self.next < self.wanted
    }

    fn short(&self) -> String {
        format!("a stream ended after {} of {} chunks", self.next, self.wanted)
    }
}

impl Figure {
    fn of(
        (surface, readers, chunks): (&'static str, u32, u32),
        rounds: &[Measured],
        baseline: &Baseline,
    ) -> Self {
        let per_second = Spread::of(rounds.iter().map(|round| round.per_second).collect());
        let commits = Spread::of(rounds.iter().map(|round| round.commits).collect()).median;
        Self {
            surface,
            readers,
            chunks,
            per_second,
            ratio: per_second.median / baseline.per_second.max(1e-9),
            first_ms: Spread::of(rounds.iter().flat_map(|round| round.first_ms.clone()).collect()),
            chunks_per_commit: f64::from(chunks) / commits.max(1.0),
        }
    }
}

impl Row for Figure {
    const COLUMNS: &'static [&'static str] = &[
        "readers",
        "of them",
        "chunks",
        "chunks/s (min/med/max)",
        "ratio",
        "first ms (min/med/max)",
        "chunks/commit",
    ];

    fn row(&self) -> Vec<String> {
        vec![
            self.surface.to_owned(),
            self.readers.to_string(),
            self.chunks.to_string(),
            self.per_second.cell(0),
            format!("{:.3}", self.ratio),
            self.first_ms.cell(1),
            format!("{:.1}", self.chunks_per_commit),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_out_of_its_order_is_told() {
        let host = Host::system();
        let mut progress = Progress { next: 0, first: None, wanted: 3 };
        assert_eq!(progress.take(0, &host), Ok(()));
        assert!(progress.is_short());
        assert_eq!(progress.short(), "a stream ended after 1 of 3 chunks");
        let told = progress.take(2, &host).unwrap_err();
        assert_eq!(told, "chunk 2 came where 1 was due (R1)");
    }
}
