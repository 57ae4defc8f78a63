//! How far an extraction is. Nobody who asks waits for a run: while one goes on, the store tells.

use bytes::Bytes;
use quarry_ports::{MessageFilter, MessageRecord, MessageState, MessageStateKind, StoreError};
use quarry_types::{Address, Answer, Failure, MessageId, Outcome};

use crate::{
    Gateway, Problem,
    dispatch::{Terms, dispatch},
    extractions,
    trace::Trace,
};

const RESULT: &str = "GetCachedResult";
/// The failure with which the entity says that it has no graph.
const NO_RESULT: &str = "NoResult";

/// How far an extraction is.
pub(crate) enum Progress {
    /// Nothing is stored under this name.
    Absent,
    /// It waits for its turn.
    Pending,
    /// It was begun.
    Running,
    /// It is set aside for an operator.
    SetAside,
    /// There is a graph, in JSON.
    Complete(Bytes),
    /// It ended without a graph.
    Failed(Failure),
}

/// How far the extraction `address` is, and the newest message that asked for it. A graph that stands
/// is told whatever was asked for since.
pub(crate) async fn of(
    gateway: &Gateway,
    trace: &Trace,
    address: &Address,
) -> Result<(Progress, Option<MessageId>), Problem> {
    let newest = newest(gateway, address).await?;
    let id = newest.as_ref().map(|record| record.message.message_id);
    let is_open =
        newest.as_ref().is_some_and(|record| matches!(record.state, MessageState::Open { .. }));
    let graph = if is_open {
        finished_before(gateway, address).await?
    } else {
        stored(gateway, trace, address).await?
    };
    if let Some(graph) = graph {
        return Ok((Progress::Complete(graph), id));
    }
    let Some(newest) = newest else { return Ok((Progress::Absent, None)) };
    let progress = match newest.state {
        MessageState::Open { attempts: 0, .. } if !has_told(gateway, &newest).await? => {
            Progress::Pending
        }
        MessageState::Open { .. } => Progress::Running,
        MessageState::Quarantined { .. } => Progress::SetAside,
        MessageState::Finished { outcome: Outcome::Success(graph), .. } => {
            Progress::Complete(graph)
        }
        MessageState::Finished { outcome: Outcome::Failure(failure), .. } => {
            Progress::Failed(failure)
        }
    };
    Ok((progress, id))
}

/// The newest message to an entity.
pub(crate) async fn newest(
    gateway: &Gateway,
    address: &Address,
) -> Result<Option<MessageRecord>, StoreError> {
    newest_in(gateway, address, None).await
}

async fn newest_in(
    gateway: &Gateway,
    address: &Address,
    state: Option<MessageStateKind>,
) -> Result<Option<MessageRecord>, StoreError> {
    let filter = MessageFilter {
        tenant: Some(address.tenant.clone()),
        address: Some(address.clone()),
        state,
        ..MessageFilter::default()
    };
    Ok(gateway.store().messages(filter, None, 1).await?.items.into_iter().next())
}

/// The graph that the last finished message answered.
async fn finished_before(
    gateway: &Gateway,
    address: &Address,
) -> Result<Option<Bytes>, StoreError> {
    let last = newest_in(gateway, address, Some(MessageStateKind::Finished)).await?;
    Ok(match last.map(|record| record.state) {
        Some(MessageState::Finished { outcome: Outcome::Success(graph), .. }) => Some(graph),
        _ => None,
    })
}

/// Whether a run has told anything yet.
async fn has_told(gateway: &Gateway, open: &MessageRecord) -> Result<bool, StoreError> {
    let chunks = gateway.store().chunks(open.message.message_id, 0, 1).await?;
    Ok(!chunks.is_empty())
}

/// The stored graph, as the entity has it.
async fn stored(
    gateway: &Gateway,
    trace: &Trace,
    address: &Address,
) -> Result<Option<Bytes>, Problem> {
    let (terms, method) = (Terms::of_read(gateway), extractions::method(RESULT)?);
    let (sent, answer) =
        dispatch(gateway, trace, address.clone(), method, Bytes::new(), terms).await;
    match answer {
        Ok(Answer::Handled { outcome: Outcome::Success(graph), .. }) => Ok(Some(graph)),
        Ok(Answer::Handled { outcome: Outcome::Failure(failure), .. })
            if failure.code == NO_RESULT =>
        {
            Ok(None)
        }
        other => sent.answer(other).map(|_| None),
    }
}
