//! Frames in, frames out.

use axum::{
    body::Body,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use serde_json::value::RawValue;

use super::{
    fault::Fault,
    frame::{ClientFrame, Dialect, Exit, RequestId, ServerFrame},
    procedure::{Procedure, Until, bytes},
};
use crate::{Gateway, Problem, trace::Trace};

/// How many requests of one body run at a time.
const AT_A_TIME: usize = 16;
/// How many frames a body may have.
const FRAMES: usize = 1_000;

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
            let (gateway, trace) = (gateway.clone(), trace.clone());
            async move { take(&gateway, &trace, step, dialect).await }
        })
        .buffer_unordered(AT_A_TIME)
        .filter_map(std::future::ready)
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

async fn take(
    gateway: &Gateway,
    trace: &Trace,
    step: Step,
    dialect: Dialect,
) -> Option<ServerFrame> {
    let (id, procedure, payload, wanted) = match step {
        Step::Say(frame) => return Some(frame),
        Step::Run { id, procedure, payload, wanted } => (id, procedure, payload, wanted),
    };
    let until = if wanted == Wanted::Result { Until::Result } else { Until::Stored };
    let ended = procedure.run(gateway, trace, payload, until).await;
    if wanted == Wanted::Nothing {
        return None;
    }
    let dialect = dialect.of_request(&id);
    let exit = match ended {
        Ok(_) if wanted == Wanted::Stored => Exit::Success { value: RawValue::NULL.to_owned() },
        Ok(value) => Exit::Success { value },
        Err(Fault::Typed(error)) => Exit::fail(dialect, error),
        Err(Fault::Malformed(problem)) => Exit::die(dialect, &told(&problem)),
    };
    Some(ServerFrame::Exit { request_id: id, exit })
}

fn told(problem: &Problem) -> String {
    match problem.named() {
        Some(field) => format!("{field}: {}", problem.detail()),
        None => problem.detail().to_owned(),
    }
}
