//! Checks of the outbox: G2, O1.

use std::time::Duration;

use bytes::Bytes;
use quarry_ports::{
    Commit, CommitError, MessageRow, OpenSend, Position, SEND_PAGE_BYTES, SendKey, SendRow,
    StuckSend,
};
use quarry_types::{Address, Method, Sequence, ShardId, Tenant};

use super::{Broken, OpenStore, Owner, address_in, holds, message, range_of, same, success};

/// The `index`-th send of `from`, to an entity of shard 7.
fn send(from: &MessageRow, index: u32) -> Result<SendRow, Broken> {
    let target = address_in(ShardId(7), "target")?;
    Ok(SendRow {
        key: SendKey { message_id: from.message_id, index },
        sender: from.address.clone(),
        made_at: from.accepted_at,
        send_id: message(&target, "send")?.message_id,
        address: target,
        method: Method::new("add")?,
        payload: Bytes::from(format!("{{\"n\":{index},\"\\u0000\":1}}")),
        due: (index == 1).then_some(from.accepted_at.after(Duration::from_mins(1))),
    })
}

/// A commit that finishes `from` with `count` sends.
fn sending(owner: &Owner, from: &MessageRow, count: u32) -> Result<Commit, Broken> {
    let sends = (0..count).map(|index| send(from, index)).collect::<Result<_, _>>()?;
    Ok(Commit { outcomes: vec![success(from)], sends, ..owner.accept(from) })
}

async fn open(owner: &Owner) -> Result<Vec<OpenSend>, Broken> {
    Ok(owner
        .store
        .open_sends(owner.shard.space(), range_of(owner.shard), None, 10_000)
        .await?
        .sends)
}

/// Every column comes back, after a restart too.
pub async fn open_sends_are_read_as_they_were_made(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 3, 1).await?;
    let from = message(&owner.address("a")?, "k")?;
    let commit = sending(&owner, &from, 3)?;
    let rows = commit.sends.clone();
    owner.write(commit).await?;
    let next = Owner::start(database, 3, 2).await?;
    let wanted = (0_u32..).zip(rows).map(|(ordinal, row)| {
        let position = Position { sequence: Sequence(1), ordinal };
        OpenSend { row, position }
    });
    same("sends", open(&next).await?, wanted.collect())
}

/// A takeover reads them in order, in pages, without a gap or a repeat.
pub async fn open_sends_are_read_in_order_and_in_pages(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let owner = Owner::start(database, 3, 1).await?;
    let mut wanted = Vec::new();
    for number in 0..4 {
        let from = message(&owner.address(&format!("e{number}"))?, "k")?;
        let commit = sending(&owner, &from, 2)?;
        wanted.extend(commit.sends.iter().map(|row| row.key));
        owner.write(commit).await?;
    }
    for limit in [1, 3, 8, 100] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = owner
                .store
                .open_sends(owner.shard.space(), range_of(owner.shard), after, limit)
                .await?;
            holds("a page is not larger than asked", page.sends.len() <= 100.min(limit as usize))?;
            seen.extend(page.sends.iter().map(|open| open.row.key));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        same("keys", seen, wanted.clone())?;
    }
    Ok(())
}

/// Memory is bounded by bytes as well.
pub async fn a_page_of_large_sends_ends_early(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 3, 1).await?;
    let from = message(&owner.address("a")?, "k")?;
    let mut commit = sending(&owner, &from, 4)?;
    for row in &mut commit.sends {
        row.payload = vec![b'1'; SEND_PAGE_BYTES / 2].into();
    }
    owner.write(commit).await?;
    let first =
        owner.store.open_sends(owner.shard.space(), range_of(owner.shard), None, 10).await?;
    same("first page", first.sends.len(), 2)?;
    let second =
        owner.store.open_sends(owner.shard.space(), range_of(owner.shard), first.next, 10).await?;
    same("second page", (second.sends.len(), second.next), (2, None))
}

/// What its target has goes, and can go again.
pub async fn sends_that_arrived_are_gone(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 3, 1).await?;
    let from = message(&owner.address("a")?, "k")?;
    owner.write(sending(&owner, &from, 3)?).await?;
    let key = |index| SendKey { message_id: from.message_id, index };
    for _ in 0..2 {
        owner.write(Commit { sent: vec![key(0), key(2)], ..owner.commit() }).await?;
        let left: Vec<_> = open(&owner).await?.iter().map(|open| open.row.key).collect();
        same("left", left, vec![key(1)])?;
    }
    Ok(())
}

/// What was set aside stays, and no takeover reads it.
pub async fn a_send_that_was_set_aside_is_not_read(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 3, 1).await?;
    let from = message(&owner.address("a")?, "k")?;
    owner.write(sending(&owner, &from, 2)?).await?;
    let key = SendKey { message_id: from.message_id, index: 0 };
    let reason = format!("nobody took it\u{0} {}", "x".repeat(5_000));
    let stuck = vec![StuckSend { key, reason }];
    owner.write(Commit { stuck, ..owner.commit() }).await?;
    let left: Vec<_> = open(&owner).await?.iter().map(|open| open.row.key.index).collect();
    same("left", left, vec![1])?;
    let again = Commit { sends: vec![send(&from, 0)?], ..owner.commit() };
    holds("it is there", matches!(owner.write(again).await, Err(CommitError::Rejected { .. })))
}

/// G2: together or not at all.
pub async fn nothing_is_sent_by_a_rejected_commit(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 3, 1).await?;
    let address = owner.address("a")?;
    owner.write(owner.accept(&message(&address, "taken")?)).await?;
    let from = message(&address, "taken")?;
    let rejected = owner.write(sending(&owner, &from, 2)?).await;
    holds("rejected", matches!(rejected, Err(CommitError::Rejected { .. })))?;
    same("open", open(&owner).await?.len(), 0)?;
    let other = Owner::start(database, 3, 2).await?;
    let from = message(&address, "free")?;
    let fenced = owner.write(sending(&owner, &from, 2)?).await;
    holds("fenced", matches!(fenced, Err(CommitError::Fenced { .. })))?;
    same("open", open(&other).await?.len(), 0)
}

/// A shard's outbox is its own, and a tenant's.
pub async fn sends_of_others_are_rejected(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 3, 1).await?;
    let other = Owner::load(owner.store.clone(), 4, 1, 1).await?;
    let (from, elsewhere) =
        (message(&owner.address("a")?, "k")?, message(&other.address("b")?, "k")?);
    owner.write(owner.accept(&from)).await?;
    let foreign = Tenant::new("other")?;
    let row = send(&from, 0)?;
    let rows = [
        send(&elsewhere, 0)?,
        SendRow { sender: elsewhere.address.clone(), ..row.clone() },
        SendRow { send_id: from.message_id, ..row.clone() },
        SendRow { address: Address { tenant: foreign, ..row.address.clone() }, ..row.clone() },
    ];
    for row in rows {
        let rejected = owner.write(Commit { sends: vec![row.clone()], ..owner.commit() }).await;
        let rejected = matches!(rejected, Err(CommitError::Rejected { .. }));
        holds(&format!("rejected: {row:?}"), rejected)?;
    }
    owner.write(Commit { sends: vec![row], ..owner.commit() }).await?;
    same("of the other", open(&other).await?.len(), 0)?;
    same("own", open(&owner).await?.len(), 1)
}

/// Commits that are flushed together keep the order of their calls.
pub async fn sends_of_many_commits_are_in_their_order(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let owner = Owner::start(database, 3, 1).await?;
    let mut commits = Vec::new();
    let mut wanted = Vec::new();
    for number in 0..20 {
        let from = message(&owner.address(&format!("e{}", number % 3))?, &format!("k{number}"))?;
        let commit = sending(&owner, &from, 2)?;
        wanted.extend(commit.sends.iter().map(|row| row.key));
        commits.push(owner.write(commit));
    }
    // One that makes a send, and one behind it that closes it.
    let from = message(&owner.address("closed")?, "k")?;
    commits.push(owner.write(sending(&owner, &from, 1)?));
    let sent = vec![SendKey { message_id: from.message_id, index: 0 }];
    commits.push(owner.write(Commit { sent, ..owner.commit() }));
    for done in futures_util::future::join_all(commits).await {
        done?;
    }
    let seen: Vec<_> = open(&owner).await?.iter().map(|open| open.row.key).collect();
    same("keys", seen, wanted)
}
