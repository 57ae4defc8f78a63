//! Checks of reply chunks.

use bytes::Bytes;
use quarry_ports::{CHUNK_PAGE_BYTES, ChunkBody, ChunkRow, Commit, CommitError, MessageRow, codec};

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
    let asked = vec![second.message_id, none, first.message_id, second.message_id];
    same("counts", owner.store.chunk_counts(asked).await?, vec![1, 0, 4, 1])?;
    same("of none", owner.store.chunk_counts(Vec::new()).await?, Vec::new())?;
    same("of the first", owner.store.chunk_bodies(first.message_id, 0, 10).await?, all.to_vec())?;
    let wanted = all.iter().skip(1).take(2).cloned().collect();
    same("its middle", owner.store.chunk_bodies(first.message_id, 1, 2).await?, wanted)?;
    same("of another", owner.store.chunk_bodies(none, 0, 10).await?, Vec::new())
}

/// A page begins anywhere in a stream of many commits, and readers at different places each read on
/// without a gap.
pub async fn a_long_stream_is_read_from_anywhere(database: &dyn OpenStore) -> Result<(), Broken> {
    const ROWS: u64 = 60;
    let owner = Owner::start(database, 2, 1).await?;
    let first = message(&owner.address("a")?, "k1")?;
    owner.write(Commit { messages: vec![first.clone()], ..owner.commit() }).await?;
    let numbered = |number: u64| ChunkBody::Made(Bytes::from(number.to_string()));
    for at in (0..ROWS).map(|row| row * 3) {
        let chunks = vec![row(&first, at, (at..at + 3).map(numbered).collect())];
        owner.write(Commit { chunks, ..owner.commit() }).await?;
    }
    for start in [0, 1, 2, 3, 100, ROWS * 3 - 1, ROWS * 3] {
        for limit in [1, 7, 64] {
            let mut next = start;
            loop {
                let page = owner.store.chunks(first.message_id, next, limit).await?;
                let whole = u64::from(limit).min(ROWS * 3 - next);
                same("length", u64::try_from(page.len())?, whole)?;
                let bodies = owner.store.chunk_bodies(first.message_id, next, limit).await?;
                let wanted: Vec<ChunkBody> = (next..next + whole).map(numbered).collect();
                same("the owner's", bodies, wanted.clone())?;
                same("bodies", page.into_iter().map(|chunk| chunk.body).collect(), wanted)?;
                if whole == 0 {
                    break;
                }
                next += whole;
            }
        }
    }
    Ok(())
}

/// What is read at a time is bounded, and what follows is read behind it.
pub async fn a_page_of_large_chunks_ends_early(database: &dyn OpenStore) -> Result<(), Broken> {
    const LARGE: usize = 256 * 1024;
    let owner = Owner::start(database, 2, 1).await?;
    let first = message(&owner.address("a")?, "k1")?;
    owner.write(Commit { messages: vec![first.clone()], ..owner.commit() }).await?;
    for at in 0..10 {
        let large = ChunkBody::Made(Bytes::from(vec![b'1'; LARGE]));
        let chunks = vec![row(&first, at * 2, vec![large, made("s")])];
        owner.write(Commit { chunks, ..owner.commit() }).await?;
    }
    let (mut next, mut pages) = (0, 0);
    while next < 20 {
        let page = owner.store.chunks(first.message_id, next, 64).await?;
        let bodies = owner.store.chunk_bodies(first.message_id, next, 64).await?;
        same("the owner's", bodies, page.iter().map(|chunk| chunk.body.clone()).collect())?;
        holds("there is one", !page.is_empty())?;
        let large = page.iter().filter(|chunk| chunk.body != made("s")).count();
        holds("bounded", large * LARGE <= CHUNK_PAGE_BYTES + LARGE)?;
        for chunk in page {
            same("gapless", chunk.sequence, next)?;
            next += 1;
        }
        pages += 1;
    }
    holds("several pages", pages > 1)
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

/// A gap before a chunk is refused, in whatever company, and that commit alone (R1).
pub async fn a_gap_before_a_chunk_is_refused(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 2, 1).await?;
    let address = owner.address("a")?;
    let (first, second) = (message(&address, "k1")?, message(&address, "k2")?);
    let messages = vec![first.clone(), second.clone()];
    owner.write(Commit { messages, ..owner.commit() }).await?;
    let append = |row| owner.write(Commit { chunks: vec![row], ..owner.commit() });
    // Handed over together, so that they may be flushed together.
    let results = tokio::join!(
        append(row(&first, 0, vec![made("a"), made("b")])),
        append(row(&second, 1, vec![made("gap")])),
        append(row(&first, 2, vec![made("c")])),
        append(row(&first, 4, vec![made("gap")])),
        append(row(&first, 3, vec![made("d")])),
        append(row(&second, 0, vec![made("x")])),
    );
    let (a, gap, c, wider, d, x) = results;
    for written in [a, c, d, x] {
        written?;
    }
    for refused in [gap, wider] {
        holds("a gap is rejected", matches!(refused, Err(CommitError::Rejected { .. })))?;
    }
    let refused = append(row(&second, 2, vec![made("gap")])).await;
    holds("a gap alone is rejected", matches!(refused, Err(CommitError::Rejected { .. })))?;
    append(row(&second, 1, vec![made("y")])).await?;
    let wanted = vec![made("a"), made("b"), made("c"), made("d")];
    same("first", owner.store.chunk_bodies(first.message_id, 0, 10).await?, wanted)?;
    let wanted = vec![made("x"), made("y")];
    same("second", owner.store.chunk_bodies(second.message_id, 0, 10).await?, wanted)
}

/// What cannot be encoded is refused, and nothing is stored in its place.
pub async fn chunks_too_large_to_be_stored_are_refused_alone(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let owner = Owner::start(database, 2, 1).await?;
    let address = owner.address("a")?;
    let (first, second) = (message(&address, "k1")?, message(&address, "k2")?);
    let large = ChunkBody::Made(Bytes::from(vec![b'1'; codec::MAX_BODY]));
    let chunks = vec![row(&first, 0, vec![large])];
    let refused = owner.write(Commit { chunks, ..owner.accept(&first) });
    let chunks = vec![row(&second, 0, vec![made("a")])];
    let written = owner.write(Commit { chunks, ..owner.accept(&second) });
    let (refused, written) = tokio::join!(refused, written);
    holds("rejected", matches!(refused, Err(CommitError::Rejected { .. })))?;
    written?;
    same("the message", owner.store.message(first.message_id).await?, None)?;
    let counts = owner.store.chunk_counts(vec![first.message_id, second.message_id]).await?;
    same("chunks", counts, vec![0, 1])
}
