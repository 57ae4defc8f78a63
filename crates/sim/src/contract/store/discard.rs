//! Checks of messages of which only the key is kept (G5).

use bytes::Bytes;
use quarry_ports::{
    ChunkBody, ChunkRow, Commit, KeyQuery, MessageRecord, MessageRow, MessageState, OpenOf,
    OpenRow, OpenState, OutcomeRow,
};
use quarry_types::{Keep, Outcome, PayloadDigest};

use super::{Broken, OpenStore, Owner, holds, message, same, success};

/// A message of which only the key is to be kept.
fn passing(owner: &Owner, key: &str) -> Result<MessageRow, Broken> {
    let row = message(&owner.address("a")?, key)?;
    Ok(MessageRow { digest: Some(PayloadDigest::of(&row.payload)), ..row })
}

/// Its end.
fn end(row: &MessageRow) -> OutcomeRow {
    OutcomeRow { outcome: Outcome::Success(Bytes::new()), keep: Keep::Key, ..success(row) }
}

fn chunk(row: &MessageRow) -> ChunkRow {
    ChunkRow {
        message_id: row.message_id,
        address: row.address.clone(),
        first: 0,
        chunks: vec![ChunkBody::Made(Bytes::from_static(b"1"))],
    }
}

async fn found(owner: &Owner, row: &MessageRow) -> Result<MessageRecord, Broken> {
    let MessageRow { address, method, key, .. } = row.clone();
    let found = owner.store.find_keys(vec![KeyQuery { address, method, key }]).await?;
    found.into_iter().next().flatten().ok_or_else(|| Broken::new("the key is not there"))
}

/// Also where row, chunks and outcome are of one commit, or of commits that are flushed together.
pub async fn of_a_discarded_message_only_the_key_stays(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let owner = Owner::start(database, 3, 1).await?;
    let kept = message(&owner.address("a")?, "kept")?;
    owner.write(Commit { chunks: vec![chunk(&kept)], ..owner.accept(&kept) }).await?;
    let (later, at_once) = (passing(&owner, "later")?, passing(&owner, "at once")?);
    owner.write(Commit { chunks: vec![chunk(&later)], ..owner.accept(&later) }).await?;
    let outcomes = vec![end(&later), success(&kept)];
    owner.write(Commit { outcomes, ..owner.commit() }).await?;
    let (outcomes, chunks) = (vec![end(&at_once)], vec![chunk(&at_once)]);
    owner.write(Commit { outcomes, chunks, ..owner.accept(&at_once) }).await?;
    let together = passing(&owner, "together")?;
    let accepted = owner.write(owner.accept(&together));
    let finished = owner.write(Commit { outcomes: vec![end(&together)], ..owner.commit() });
    let (accepted, finished) = futures_util::future::join(accepted, finished).await;
    accepted.and(finished)?;
    for row in [later, at_once, together] {
        let record = found(&owner, &row).await?;
        let emptied = MessageRow { payload: Bytes::new(), ..row.clone() };
        same("what is known of it", record.message, emptied)?;
        let is_over = matches!(record.state, MessageState::Finished { outcome: Outcome::Success(reply), .. } if reply.is_empty());
        holds("it has ended", is_over)?;
        let chunks = owner.store.chunks(row.message_id, 0, 10).await?;
        same("chunks", chunks.len(), 0)?;
    }
    same("others are whole", found(&owner, &kept).await?.message, kept.clone())?;
    same("chunks of others", owner.store.chunks(kept.message_id, 0, 10).await?.len(), 1)
}

/// A takeover has all that it needs to handle it, and knows what is to be kept.
pub async fn a_discarded_message_is_whole_while_it_is_open(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let owner = Owner::start(database, 3, 1).await?;
    let (fresh, copied) = (passing(&owner, "fresh")?, passing(&owner, "copied")?);
    owner.write(owner.accept(&fresh)).await?;
    let open = OpenRow {
        message: copied.clone(),
        position: None,
        attempts: 1,
        lost: 0,
        due: copied.accepted_at,
        state: OpenState::Waiting,
        errors: vec![],
    };
    owner.write(Commit { open: vec![open], ..owner.accept(&copied) }).await?;
    let next = Owner::start(database, 3, 2).await?;
    let page = next.store.open_messages(next.open(OpenOf::Waiting), 10).await?;
    let rows: Vec<_> = page.messages.into_iter().map(|open| open.message).collect();
    same("open", rows, vec![fresh, copied])
}
