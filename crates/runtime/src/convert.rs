//! Between the core's words and the store's.

use std::sync::Arc;

use quarry_core::{
    delivery::{
        Accept, Batch, Chunk, ChunkRecord, CommitFailure, Fetched, FetchedState, Found, FoundState,
        OpenRecord, OpenRecordState, Recovered,
    },
    outbox::{Closed, Ending, Entry, Outgoing, Place, SendId},
};
use quarry_ports::{
    ChunkBody, ChunkRow, Commit, CommitError, JournalRow, MessageRecord, MessageRow, MessageState,
    OpenMessage, OpenRow, OpenSend, OpenState, OutcomeRow, Position, SendKey, SendRow, StateRow,
    StuckSend,
};
use quarry_types::{
    Callers, Due, Envelope, Epoch, Keep, KeyOrigin, PayloadDigest, ReplyMode, ShardAge, ShardId,
    Timestamp,
};

pub(crate) fn commit(
    shard: ShardId,
    epoch: Epoch,
    (now, age): (Timestamp, ShardAge),
    batch: Batch,
    journal: Vec<JournalRow>,
) -> Commit {
    let outcomes = batch.finishes.into_iter().map(|finish| OutcomeRow {
        message_id: finish.message_id,
        outcome: finish.outcome,
        attempts: finish.attempts,
        finished_at: now,
        keep_until: age.after(finish.retention),
        keep: finish.keep,
    });
    let states =
        batch.states.into_iter().map(|(address, state)| StateRow { address, state: Some(state) });
    let (mut sent, mut stuck) = (Vec::new(), Vec::new());
    for Closed { id, ending } in batch.closed {
        match ending {
            Ending::Accepted => sent.push(send_key(id)),
            Ending::Quarantined(reason) => stuck.push(StuckSend { key: send_key(id), reason }),
        }
    }
    Commit {
        shard,
        epoch,
        low_water: batch.low_water,
        now,
        messages: batch.accepts.iter().map(accepted_row).collect(),
        outcomes: outcomes.collect(),
        states: states.collect(),
        open: batch.open.into_iter().map(open_row).collect(),
        chunks: batch.chunks.into_iter().map(chunk_row).collect(),
        sends: batch.sends.iter().map(|entry| send_row(entry)).collect(),
        sent,
        stuck,
        journal,
        statements: batch.statements,
    }
}

const fn send_key(id: SendId) -> SendKey {
    SendKey { message_id: id.message_id, index: id.index }
}

fn send_row(entry: &Entry) -> SendRow {
    let outgoing = &entry.outgoing;
    SendRow {
        key: send_key(entry.id),
        sender: entry.sender.clone(),
        made_at: entry.made_at,
        send_id: outgoing.message_id,
        address: outgoing.address.clone(),
        method: outgoing.method.clone(),
        payload: outgoing.payload.clone(),
        due: match outgoing.due {
            Due::At(at) => Some(at),
            Due::Now | Due::After(_) => None,
        },
    }
}

/// An open send with its place.
pub(crate) fn entry(open: OpenSend) -> (Place, Entry) {
    let row = open.row;
    let entry = Entry {
        id: SendId { message_id: row.key.message_id, index: row.key.index },
        sender: row.sender,
        made_at: row.made_at,
        outgoing: Outgoing {
            message_id: row.send_id,
            address: row.address,
            method: row.method,
            payload: row.payload,
            due: row.due.map_or(Due::Now, Due::At),
        },
    };
    ((open.position.sequence, open.position.ordinal), entry)
}

fn accepted_row(accept: &Accept) -> MessageRow {
    message_row(&accept.envelope, accept.accepted_at)
}

fn message_row(envelope: &Envelope, accepted_at: Timestamp) -> MessageRow {
    MessageRow {
        message_id: envelope.message_id,
        address: envelope.address.clone(),
        method: envelope.method.clone(),
        key: envelope.key.clone(),
        payload: envelope.payload.clone(),
        digest: (envelope.keep == Keep::Key).then(|| PayloadDigest::of(&envelope.payload)),
        accepted_at,
    }
}

fn chunk_row(record: ChunkRecord) -> ChunkRow {
    let chunks = record.chunks.into_iter().map(|chunk| match chunk {
        Chunk::Made(bytes) => ChunkBody::Made(bytes),
        Chunk::Entry { entry, .. } => ChunkBody::Entry(entry),
        Chunk::Reset { attempt, from, .. } => ChunkBody::Reset { attempt, from },
    });
    ChunkRow {
        message_id: record.message_id,
        address: record.address,
        first: record.first,
        chunks: chunks.collect(),
    }
}

fn open_row(record: OpenRecord) -> OpenRow {
    OpenRow {
        message: message_row(&record.envelope, record.accepted_at),
        position: record.position.map(|(sequence, ordinal)| Position { sequence, ordinal }),
        attempts: record.attempts,
        lost: record.lost,
        due: record.due,
        state: match record.state {
            OpenRecordState::Waiting => OpenState::Waiting,
            OpenRecordState::Delayed => OpenState::Delayed,
            OpenRecordState::Quarantined => OpenState::Quarantined,
        },
        errors: record.errors,
    }
}

pub(crate) fn recovered(open: OpenMessage, chunks: u64) -> Recovered {
    Recovered {
        accepted_at: open.message.accepted_at,
        envelope: stored_envelope(open.message),
        original: open.original,
        position: (open.position.sequence, open.position.ordinal),
        attempts: open.attempts,
        lost: open.lost,
        due: open.due,
        is_delayed: open.state == OpenState::Delayed,
        errors: open.errors,
        chunks,
    }
}

/// A message as its row has it: who sent it, and how, is not stored.
fn stored_envelope(message: MessageRow) -> Arc<Envelope> {
    Arc::new(Envelope {
        message_id: message.message_id,
        address: message.address,
        method: message.method,
        payload: message.payload,
        key: message.key,
        key_origin: KeyOrigin::Client,
        send_count: 0,
        reply: ReplyMode::Outcome,
        due: Due::Now,
        keep: if message.digest.is_some() { Keep::Key } else { Keep::Everything },
        trace_parent: None,
        callers: Callers::none(),
    })
}

/// Chunks as they are compared with what a handler makes again.
pub(crate) fn stored_chunks(chunks: Vec<ChunkBody>) -> Vec<Chunk> {
    let chunks = chunks.into_iter().map(|chunk| match chunk {
        ChunkBody::Made(bytes) => Chunk::Made(bytes),
        ChunkBody::Entry(entry) => Chunk::Entry { entry, clears: false },
        ChunkBody::Reset { attempt, from } => Chunk::Reset { attempt, from, is_entry: false },
    });
    chunks.collect()
}

/// A message that an operator acts on.
pub(crate) fn fetched(record: MessageRecord, chunks: u64) -> Fetched {
    let MessageRecord { mut message, position, edited, state } = record;
    let tenant = message.address.tenant.clone();
    let state = match state {
        MessageState::Finished { outcome, .. } => FetchedState::Finished(outcome),
        MessageState::Open { attempts, due, is_delayed, errors } => {
            let open = OpenMessage {
                original: edited.map(|edited| std::mem::replace(&mut message.payload, edited)),
                message,
                position,
                attempts,
                // It does not run from here.
                lost: 0,
                due,
                state: if is_delayed { OpenState::Delayed } else { OpenState::Waiting },
                errors,
            };
            FetchedState::Open(recovered(open, chunks))
        }
        MessageState::Quarantined { attempts, errors } => {
            let open = OpenMessage {
                original: edited.map(|edited| std::mem::replace(&mut message.payload, edited)),
                due: message.accepted_at,
                message,
                position,
                attempts,
                lost: 0,
                state: OpenState::Quarantined,
                errors,
            };
            FetchedState::Quarantined(recovered(open, chunks))
        }
    };
    Fetched { tenant, state }
}

pub(crate) fn found(record: MessageRecord) -> Found {
    Found {
        message_id: record.message.message_id,
        payload: record.message.payload,
        digest: record.message.digest,
        state: match record.state {
            MessageState::Open { is_delayed: true, .. } => FoundState::Delayed,
            MessageState::Open { .. } => FoundState::Open,
            MessageState::Quarantined { .. } => FoundState::Quarantined,
            MessageState::Finished { outcome, .. } => FoundState::Finished(outcome),
        },
    }
}

pub(crate) fn failure(error: CommitError) -> CommitFailure {
    match error {
        CommitError::Fenced { .. } | CommitError::LeaseOver => CommitFailure::ShardLost,
        CommitError::Rejected { reason } => CommitFailure::Rejected(reason),
        CommitError::Unavailable { reason } => CommitFailure::Unavailable(reason),
        CommitError::Undecided { .. } => CommitFailure::Undecided,
    }
}
