//! Frames in, frames out.

use std::future::ready;

use axum::{
    body::Body,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{
    FutureExt, Stream, StreamExt,
    stream::{self, BoxStream},
};

use super::{
    events::Events,
    fault::Fault,
    frame::{ClientFrame, Dialect, Exit, RequestId, ServerFrame},
    procedure::{Answer, Procedure, Until, bytes},
};
use crate::{Gateway, Problem, trace::Trace};

/// How many requests of one body run at a time.
const AT_A_TIME: usize = 16;
/// How many frames a body may have.
const FRAMES: usize = 1_000;

/// Frames on their way to the client.
type Answers = BoxStream<'static, ServerFrame>;

type Frames = Vec<Result<ClientFrame, String>>;

/// One thing to do for a client.
#[derive(Debug)]
enum Step {
    /// Say this.
    Say(ServerFrame),
    /// Run a request.
    Run { id: RequestId, procedure: Procedure, payload: serde_json::Value, wanted: Wanted },
}

/// What the client of a request wants to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Result,
    Stored,
    Nothing,
}

/// Answers with all frames in one list, once all requests have ended.
pub(super) async fn json(gateway: Gateway, trace: Trace, frames: Frames) -> Response {
    let answers: Vec<ServerFrame> =
        answers(gateway, trace, frames, Dialect::Reason).collect().await;
    ([(header::CONTENT_TYPE, "application/json")], bytes(&answers)).into_response()
}

/// Answers with a frame per line, each as soon as there is one, under the client's media type.
pub(super) fn lines(
    gateway: Gateway,
    trace: Trace,
    frames: Frames,
    dialect: Dialect,
    media_type: &str,
) -> Response {
    let lines = answers(gateway, trace, frames, dialect).map(|frame| {
        let line = [&*bytes(&frame), b"\n"].concat();
        Ok::<_, std::convert::Infallible>(Bytes::from(line))
    });
    ([(header::CONTENT_TYPE, media_type.to_owned())], Body::from_stream(lines)).into_response()
}

/// The answers in the order in which they come. Where the client goes away, what is stored goes on.
fn answers(
    gateway: Gateway,
    trace: Trace,
    frames: Frames,
    dialect: Dialect,
) -> impl Stream<Item = ServerFrame> + Send + 'static {
    stream::iter(steps(frames, dialect))
        .map(move |step| {
            take(gateway.clone(), trace.clone(), step, dialect).flatten_stream().boxed()
        })
        .flatten_unordered(AT_A_TIME)
}

/// What the frames of a body ask for. A request that the same body interrupts is not begun.
fn steps(frames: Frames, dialect: Dialect) -> Vec<Step> {
    let defect = |defect: String| Step::Say(ServerFrame::Defect { defect });
    if frames.is_empty() || frames.len() > FRAMES {
        return vec![defect(format!(
            "a body has from 1 to {FRAMES} frames, this one has {}",
            frames.len()
        ))];
    }
    let mut steps: Vec<Step> = Vec::new();
    for frame in frames {
        match frame {
            Err(reason) => steps.push(defect(reason)),
            Ok(ClientFrame::Eof) => break,
            Ok(ClientFrame::Ping) => steps.push(Step::Say(ServerFrame::Pong)),
            Ok(ClientFrame::Ack { request_id }) => {
                tracing::trace!(
                    ?request_id,
                    "a chunk was acknowledged; over HTTP nothing waits for it"
                );
            }
            Ok(ClientFrame::Interrupt { request_id }) => {
                let given_up = steps
                    .iter_mut()
                    .find(|step| matches!(step, Step::Run { id, .. } if *id == request_id));
                if let Some(step) = given_up {
                    let exit = Exit::interrupt(dialect.of_request(&request_id));
                    *step = Step::Say(ServerFrame::Exit { request_id, exit });
                }
            }
            Ok(ClientFrame::Request { id, tag, payload, is_notification, discard }) => {
                steps.push(match Procedure::named(&tag) {
                    Err(reason) => defect(reason),
                    Ok(procedure) => {
                        let wanted = match (is_notification, discard) {
                            (true, _) => Wanted::Nothing,
                            (false, true) => Wanted::Stored,
                            (false, false) => Wanted::Result,
                        };
                        Step::Run { id, procedure, payload, wanted }
                    }
                });
            }
        }
    }
    steps
}

/// The frames that one step is answered with.
async fn take(gateway: Gateway, trace: Trace, step: Step, dialect: Dialect) -> Answers {
    let (id, procedure, payload, wanted) = match step {
        Step::Say(frame) => return one(frame),
        Step::Run { id, procedure, payload, wanted } => (id, procedure, payload, wanted),
    };
    let until = if wanted == Wanted::Result { Until::Result } else { Until::Stored };
    let ended = procedure.run(&gateway, &trace, payload, until).await;
    let dialect = dialect.of_request(&id);
    let exit = match (wanted, ended) {
        (Wanted::Nothing, _) => return stream::empty().boxed(),
        (Wanted::Stored, Ok(_)) => Exit::nothing(dialect),
        (Wanted::Result, Ok(Answer::Value(value))) => Exit::success(value),
        (Wanted::Result, Ok(Answer::Events(events))) => return chunks(id, events, dialect),
        (_, Err(fault)) => failed(dialect, fault),
    };
    one(ServerFrame::Exit { request_id: id, exit })
}

fn one(frame: ServerFrame) -> Answers {
    stream::once(ready(frame)).boxed()
}

/// A chunk per event, and the exit behind the last.
fn chunks(id: RequestId, events: Events, dialect: Dialect) -> Answers {
    let exit = |request_id, exit| ServerFrame::Exit { request_id, exit };
    let frames = events.map(Some).chain(stream::once(ready(None)));
    let frames = frames.scan(false, move |has_failed, event| {
        let request_id = id.clone();
        ready(match event {
            Some(Ok(event)) => {
                // What was read as JSON is written as JSON.
                let value = serde_json::to_value(&event).unwrap_or_default();
                Some(ServerFrame::Chunk { request_id, values: vec![value] })
            }
            Some(Err(fault)) => {
                *has_failed = true;
                Some(exit(request_id, failed(dialect, fault)))
            }
            None if *has_failed => None,
            None => Some(exit(request_id, Exit::nothing(dialect))),
        })
    });
    frames.boxed()
}

fn failed(dialect: Dialect, fault: Fault) -> Exit {
    match fault {
        Fault::Typed(error) => Exit::fail(dialect, error),
        Fault::Malformed(problem) => Exit::die(dialect, &told(&problem)),
    }
}

fn told(problem: &Problem) -> String {
    match problem.named() {
        Some(field) => format!("{field}: {}", problem.detail()),
        None => problem.detail().to_owned(),
    }
}
