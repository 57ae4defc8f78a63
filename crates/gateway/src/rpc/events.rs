//! `extraction.streamExtract`: what happens to an extraction, as it happens.

use std::{collections::VecDeque, pin::pin, time::Duration};

use futures_util::{
    StreamExt,
    future::{Either, select},
    stream::{self, BoxStream},
};
use quarry_ports::{ChunkBody, MessageState, StoreError, StoredChunk};
use quarry_types::{Address, MessageId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    extraction::{Asked, Raw, begin, end, json},
    fault::Fault,
};
use crate::{Gateway, Problem, extractions, progress, trace::Trace};

/// How many chunks are read at a time.
const CHUNKS: u32 = 256;
/// How long to wait before the message of the work is looked for again.
const SOUGHT_AGAIN: Duration = Duration::from_millis(20);

/// What happens. `G` is how the graph is held.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Event<G> {
    /// The submission is stored; it goes on whoever listens.
    #[serde(rename_all = "camelCase")]
    Started {
        /// What to ask for its status by.
        request_id: String,
    },
    /// The extractor says how far it is.
    Progress {
        /// What it is at.
        stage: String,
        /// How much of that is done, 0 to 100.
        percent: f64,
    },
    /// There is a graph; the last event.
    Complete {
        /// The graph.
        result: G,
    },
}

/// The events of one call.
pub(super) type Events = BoxStream<'static, Result<Event<Raw>, Fault>>;

/// Begins the extraction, or attaches to the same one that is running, and follows it to its end.
pub(super) async fn follow(
    gateway: &Gateway,
    trace: &Trace,
    payload: Value,
) -> Result<Events, Fault> {
    let asked = Asked::parse(gateway, trace, payload).await?;
    let message_id = match running(gateway, &asked).await? {
        Some(message_id) => message_id,
        None => begin(gateway, trace, &asked).await?,
    };
    let started = Event::Started { request_id: asked.address.id.to_string() };
    let own = Line { message_id, next: 0 };
    let gateway = gateway.clone();
    let waiting = VecDeque::from([started]);
    let (doer, work) = (None, Work::Idle);
    let following = Following { gateway, asked, own, doer, work, waiting, is_over: false };
    Ok(stream::unfold(following, Following::step).boxed())
}

/// The open message that asks for the same.
async fn running(gateway: &Gateway, asked: &Asked) -> Result<Option<MessageId>, Fault> {
    let payload = json(&asked.submission)?;
    let newest = progress::newest(gateway, &asked.address).await.map_err(Problem::from)?;
    let same = newest.filter(|record| {
        matches!(record.state, MessageState::Open { .. }) && *record.message.payload == *payload
    });
    Ok(same.map(|record| record.message.message_id))
}

/// The chunks of a message, read from `next` on.
#[derive(Clone, Copy, Debug)]
struct Line {
    message_id: MessageId,
    next: u64,
}

/// The work behind the submission, whose progress is told while the submission waits for it.
#[derive(Clone, Copy, Debug)]
enum Work {
    /// The submission does not wait for it.
    Idle,
    /// The message of the work was not seen yet.
    Sought,
    /// It is followed.
    Followed(Line),
}

/// One who follows a submission.
struct Following {
    gateway: Gateway,
    asked: Asked,
    own: Line,
    /// The entity that does the work, once the submission says which.
    doer: Option<Address>,
    work: Work,
    waiting: VecDeque<Event<Raw>>,
    is_over: bool,
}

/// What is heard next.
enum Heard {
    /// Chunks of the submission; none where it is over, or its caller's time is.
    Own(Vec<StoredChunk>),
    /// Chunks of the work, and where its line goes on.
    Work(Line, Vec<StoredChunk>),
}

/// What is read of a chunk.
#[derive(Deserialize)]
struct Told {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    stage: Option<String>,
    #[serde(default)]
    work: Option<String>,
    #[serde(default)]
    percent: Option<f64>,
}

impl Following {
    async fn step(mut self) -> Option<(Result<Event<Raw>, Fault>, Self)> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some((Ok(event), self));
            }
            if self.is_over {
                return None;
            }
            match self.hear().await {
                Ok(Heard::Own(chunks)) if chunks.is_empty() => {
                    self.is_over = true;
                    let ended = end(&self.gateway, self.own.message_id, Duration::ZERO).await;
                    return Some((ended.map(|result| Event::Complete { result }), self));
                }
                Ok(Heard::Own(chunks)) => self.take_own(&chunks),
                Ok(Heard::Work(line, chunks)) => self.take_work(line, &chunks),
                Err(error) => {
                    self.is_over = true;
                    return Some((Err(Problem::from(error).into()), self));
                }
            }
        }
    }

    async fn hear(&self) -> Result<Heard, StoreError> {
        let left = self.asked.left(&self.gateway);
        let Line { message_id, next } = self.own;
        let own = pin!(self.gateway.node().chunks(message_id, next, CHUNKS, left));
        let work = pin!(self.hear_work(left));
        match select(own, work).await {
            Either::Left((chunks, _)) => chunks.map(Heard::Own),
            Either::Right((heard, _)) => heard,
        }
    }

    /// Never ends where the work has nothing to tell: then the submission has.
    async fn hear_work(&self, left: Duration) -> Result<Heard, StoreError> {
        let mut line = match self.work {
            Work::Idle => return std::future::pending().await,
            Work::Sought => self.seek_work().await?,
            Work::Followed(line) => line,
        };
        let node = self.gateway.node();
        let chunks = node.chunks(line.message_id, line.next, CHUNKS, left).await?;
        let Some(last) = chunks.last() else { return std::future::pending().await };
        line.next = last.sequence + 1;
        Ok(Heard::Work(line, chunks))
    }

    /// The open message with which the submission asks for its work.
    async fn seek_work(&self) -> Result<Line, StoreError> {
        let Some(doer) = &self.doer else { return std::future::pending().await };
        loop {
            let newest = progress::newest(&self.gateway, doer).await?;
            if let Some(record) = newest
                && matches!(record.state, MessageState::Open { .. })
            {
                return Ok(Line { message_id: record.message.message_id, next: 0 });
            }
            tokio::time::sleep(SOUGHT_AGAIN).await;
        }
    }

    /// The submission tells when it begins and ends to wait for its work.
    fn take_own(&mut self, chunks: &[StoredChunk]) {
        self.own.next = chunks.last().map_or(self.own.next, |chunk| chunk.sequence + 1);
        for Told { kind, stage, work, percent } in chunks.iter().filter_map(told) {
            let percent = match kind.as_str() {
                "stage_started" => {
                    self.doer = work.and_then(|id| extractions::work(&self.gateway, &id));
                    self.work = Work::Sought;
                    Some(0.0)
                }
                "stage_completed" => {
                    self.work = Work::Idle;
                    Some(100.0)
                }
                "progress" => percent,
                _ => None,
            };
            let told = stage.zip(percent);
            self.waiting.extend(told.map(|(stage, percent)| Event::Progress { stage, percent }));
        }
    }

    fn take_work(&mut self, line: Line, chunks: &[StoredChunk]) {
        self.work = Work::Followed(line);
        let progress = chunks.iter().filter_map(told).filter(|told| told.kind == "progress");
        let told = progress.filter_map(|told| told.stage.zip(told.percent));
        self.waiting.extend(told.map(|(stage, percent)| Event::Progress { stage, percent }));
    }
}

/// What a chunk tells, where it is an event of the extractor.
fn told(chunk: &StoredChunk) -> Option<Told> {
    match &chunk.body {
        ChunkBody::Made(json) | ChunkBody::Entry(json) => serde_json::from_slice(json).ok(),
        ChunkBody::Reset { .. } => None,
    }
}
