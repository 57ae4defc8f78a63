//! Checks of reply chunks.

use bytes::Bytes;
use quarry_ports::{ChunkBody, ChunkRow, Commit, CommitError, MessageRow};

use super::{Broken, OpenStore, Owner, holds, message, same};

fn made(text: &'static str) -> ChunkBody {
    ChunkBody::Made(Bytes::from_static(text.as_bytes()))
}

fn row(message: &MessageRow, first: u64, chunks: Vec<ChunkBody>) -> ChunkRow {
    let (message_id, address) = (message.message_id, message.address.clone());
    ChunkRow { message_id, address, first, chunks }
}

/// Chunks are read by number from anywhere, whatever commits they came in (R1).
pub async fn chunks_are_numbered_without_gaps(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 2, 1).await?;
    let address = owner.address("a")?;
    let (first, second) = (message(&address, "k1")?, message(&address, "k2")?);
    let messages = vec![first.clone(), second.clone()];
    let chunks = vec![row(&first, 0, vec![made("a"), made("b")]), row(&second, 0, vec![made("x")])];
    owner.write(Commit { messages, chunks, ..owner.commit() }).await?;
    let reset = ChunkBody::Reset { attempt: 2, from: 1 };
    let chunks = vec![row(&first, 2, vec![reset.clone(), made("c")])];
    owner.write(Commit { chunks, ..owner.commit() }).await?;
    let all = [made("a"), made("b"), reset, made("c")];
    for from in 0..=5_u64 {
        for limit in [1, 3, 100] {
            let read = owner.store.chunks(first.message_id, from, limit).await?;
            let numbers: Vec<u64> = read.iter().map(|chunk| chunk.sequence).collect();
            let end = from.saturating_add(u64::from(limit)).min(4);
            same("numbers", numbers, (from..end).collect())?;
            let skipped = usize::try_from(from).unwrap_or(usize::MAX);
            let wanted: Vec<ChunkBody> =
                all.iter().skip(skipped).take(read.len()).cloned().collect();
            same("bodies", read.into_iter().map(|chunk| chunk.body).collect(), wanted)?;
        }
    }
    let none = message(&address, "k3")?.message_id;
    let asked = vec![second.message_id, none, first.message_id];
    let found = owner.store.chunks_of(asked).await?;
    same("of many", found, vec![vec![made("x")], vec![], all.to_vec()])
}

/// Two chunks never have one number.
pub async fn a_chunk_that_stands_is_not_overwritten(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let owner = Owner::start(database, 2, 1).await?;
    let first = message(&owner.address("a")?, "k1")?;
    let chunks = vec![row(&first, 0, vec![made("a")])];
    owner.write(Commit { messages: vec![first.clone()], chunks, ..owner.commit() }).await?;
    let again = Commit { chunks: vec![row(&first, 0, vec![made("z")])], ..owner.commit() };
    let refused = owner.store.commit(again, &owner.lease).await;
    holds("rejected", matches!(refused, Err(CommitError::Rejected { .. })))?;
    let read = owner.store.chunks(first.message_id, 0, 10).await?;
    same("bodies", read.into_iter().map(|chunk| chunk.body).collect(), vec![made("a")])
}
