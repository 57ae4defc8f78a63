//! Checks of journals.

use bytes::Bytes;
use quarry_ports::{
    ChunkBody, ChunkRow, Commit, CommitError, JournalEntry, JournalQuery, JournalRow, MessageRow,
    OutcomeRow, Retiring, Store,
};
use quarry_types::{Address, EntryId, ShardAge, ShardId};

use super::{Broken, OpenStore, Owner, holds, message, same, success};

/// An entry that `message` records, `{"type": kind}`.
pub(super) fn entry(message: &MessageRow, chunk: u64, kind: &str) -> JournalRow {
    let slot = message.address.slot();
    JournalRow {
        address: message.address.clone(),
        entry_id: EntryId::new(message.accepted_at, slot, chunk),
        message_id: message.message_id,
        chunk,
        kind: kind.to_owned(),
        request_id: message.key.to_string(),
        data: Bytes::from(format!("{{\"type\":\"{kind}\"}}")),
        clears: false,
    }
}

fn query(address: &Address) -> JournalQuery {
    JournalQuery { address: address.clone(), after: 0, kind: None, request_id: None }
}

pub(super) async fn read(
    store: &dyn Store,
    address: &Address,
) -> Result<Vec<JournalEntry>, Broken> {
    Ok(store.journal(query(address), 1_000).await?)
}

fn numbered(entries: &[JournalEntry]) -> Vec<(u64, &str)> {
    entries.iter().map(|entry| (entry.sequence, entry.kind.as_str())).collect()
}

/// The entries of a journal are numbered from 1 in the order of commits, whatever commits and
/// groups they came in, and whoever owned the shard (J1).
pub async fn a_journal_is_numbered_in_the_order_of_commits(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let owner = Owner::start(database, 2, 1).await?;
    let (one, two) = (owner.address("a")?, owner.address("b")?);
    let (first, second) = (message(&one, "k1")?, message(&two, "k2")?);
    let messages = vec![first.clone(), second.clone()];
    let journal = vec![entry(&first, 0, "a"), entry(&second, 0, "x"), entry(&first, 1, "b")];
    owner.write(Commit { messages, journal, ..owner.commit() }).await?;
    let append = |journal| owner.write(Commit { journal, ..owner.commit() });
    // Handed over together, so that they may be flushed together.
    let (c, y, d) = tokio::join!(
        append(vec![entry(&first, 2, "c")]),
        append(vec![entry(&second, 1, "y")]),
        append(vec![entry(&first, 3, "d")]),
    );
    for written in [c, y, d] {
        written?;
    }
    let next = Owner::start(database, 2, 2).await?;
    next.write(Commit { journal: vec![entry(&first, 4, "e")], ..next.commit() }).await?;

    let entries = read(&*next.store, &one).await?;
    same("one", numbered(&entries), vec![(1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, "e")])?;
    same("the other", numbered(&read(&*next.store, &two).await?), vec![(1, "x"), (2, "y")])?;
    let none = read(&*next.store, &next.address("c")?).await?;
    same("of an entity without a journal", none, vec![])?;
    let told = entries.first().ok_or_else(|| Broken::new("no entry"))?;
    let wanted = entry(&first, 0, "a");
    same("id", told.entry_id, wanted.entry_id)?;
    same("message", (told.message_id, told.chunk), (wanted.message_id, 0))?;
    same("request", told.request_id.as_str(), wanted.request_id.as_str())?;
    same("data", &told.data, &wanted.data)?;
    same("time", told.made_at, owner.loaded.now)
}

/// A journal of many entries is read from any number on, in pages.
pub async fn a_journal_is_read_from_any_number_on(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 2, 1).await?;
    let address = owner.address("a")?;
    let first = message(&address, "k1")?;
    // More rows than one statement of any adapter holds.
    let journal: Vec<JournalRow> = (0..300)
        .map(|chunk| entry(&first, chunk, if chunk % 3 == 0 { "third" } else { "other" }))
        .collect();
    owner.write(Commit { journal, ..owner.accept(&first) }).await?;
    for (after, limit, wanted) in [(0, 2, 1..=2), (298, 100, 299..=300), (299, 1, 300..=300)] {
        let asked = JournalQuery { after, ..query(&address) };
        let read = owner.store.journal(asked, limit).await?;
        let numbers: Vec<u64> = read.iter().map(|entry| entry.sequence).collect();
        same("numbers", numbers, wanted.collect())?;
        holds("chunks", read.iter().all(|entry| entry.chunk + 1 == entry.sequence))?;
    }
    let behind = JournalQuery { after: 300, ..query(&address) };
    same("behind the end", owner.store.journal(behind, 10).await?, vec![])?;
    let thirds = JournalQuery { kind: Some("third".to_owned()), after: 1, ..query(&address) };
    let thirds = owner.store.journal(thirds, 3).await?;
    same("of a kind", numbered(&thirds), vec![(4, "third"), (7, "third"), (10, "third")])?;
    for (request, count) in [("k1", 300), ("k2", 0)] {
        let asked = JournalQuery { request_id: Some(request.to_owned()), ..query(&address) };
        same(request, owner.store.journal(asked, 1_000).await?.len(), count)?;
    }
    Ok(())
}

/// An entry is there only with its commit.
pub async fn nothing_of_a_refused_commit_is_in_a_journal(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let owner = Owner::start(database, 2, 1).await?;
    let address = owner.address("a")?;
    let (first, twin) = (message(&address, "k1")?, message(&address, "k1")?);
    owner.write(Commit { journal: vec![entry(&first, 0, "a")], ..owner.accept(&first) }).await?;
    let culprit = Commit { journal: vec![entry(&twin, 0, "twin")], ..owner.accept(&twin) };
    let refused = owner.write(culprit).await;
    holds("the key is there", matches!(refused, Err(CommitError::Rejected { .. })))?;
    let foreign = message(&super::address_in(ShardId(3), "a")?, "k2")?;
    let refused = owner.write(Commit { journal: vec![entry(&foreign, 0, "z")], ..owner.commit() });
    let refused = refused.await;
    holds("not of the shard", matches!(refused, Err(CommitError::Rejected { .. })))?;
    let next = Owner::start(database, 2, 2).await?;
    let stale = Commit { journal: vec![entry(&first, 1, "stale")], ..owner.commit() };
    let fenced = owner.write(stale).await;
    holds("fenced", matches!(fenced, Err(CommitError::Fenced { .. })))?;
    next.write(Commit { journal: vec![entry(&first, 1, "b")], ..next.commit() }).await?;
    same("journal", numbered(&read(&*next.store, &address).await?), vec![(1, "a"), (2, "b")])?;
    same("foreign", read(&*next.store, &foreign.address).await?, vec![])
}

/// A journal that is cleared goes on behind the number that it had.
pub async fn a_cleared_journal_keeps_its_numbering(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 2, 1).await?;
    let (one, two) = (owner.address("a")?, owner.address("b")?);
    let (first, second) = (message(&one, "k1")?, message(&two, "k2")?);
    let messages = vec![first.clone(), second.clone()];
    let journal = vec![entry(&first, 0, "a"), entry(&first, 1, "b"), entry(&second, 0, "x")];
    owner.write(Commit { messages, journal, ..owner.commit() }).await?;
    let cleared = JournalRow { clears: true, ..entry(&first, 2, "cleared") };
    owner.write(Commit { journal: vec![cleared], ..owner.commit() }).await?;
    let append = |journal| owner.write(Commit { journal, ..owner.commit() });
    append(vec![entry(&first, 3, "c")]).await?;
    let entries = read(&*owner.store, &one).await?;
    same("one", numbered(&entries), vec![(3, "cleared"), (4, "c")])?;
    // In one commit with entries before and behind it.
    let cleared = JournalRow { clears: true, ..entry(&first, 5, "cleared") };
    append(vec![entry(&first, 4, "d"), cleared, entry(&first, 6, "e")]).await?;
    let entries = read(&*owner.store, &one).await?;
    let kinds: Vec<&str> = entries.iter().map(|entry| entry.kind.as_str()).collect();
    same("kinds", kinds, vec!["cleared", "e"])?;
    let numbers: Vec<u64> = entries.iter().map(|entry| entry.sequence).collect();
    holds("numbers", matches!(numbers[..], [cleared, e] if cleared > 4 && e == cleared + 1))?;
    same("the other", numbered(&read(&*owner.store, &two).await?), vec![(1, "x")])
}

/// What retires with a message is not its journal, which only its entity clears.
pub async fn a_journal_outlives_its_messages_until_it_is_cleared(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let owner = Owner::start(database, 2, 1).await?;
    let address = owner.address("a")?;
    for (number, kind) in (0..).zip(["a", "b", "c"]) {
        let row = message(&address, kind)?;
        let chunk = entry(&row, 0, kind);
        let chunks = vec![ChunkRow {
            message_id: row.message_id,
            address: address.clone(),
            first: 0,
            chunks: vec![ChunkBody::Entry(chunk.data.clone())],
        }];
        let outcomes = vec![OutcomeRow { keep_until: ShardAge(number), ..success(&row) }];
        let journal = vec![chunk];
        owner.write(Commit { outcomes, chunks, journal, ..owner.accept(&row) }).await?;
        let read = owner.store.chunks(row.message_id, 0, 10).await?;
        holds(
            "a chunk too",
            matches!(read.as_slice(), [one] if matches!(one.body, ChunkBody::Entry(_))),
        )?;
    }
    let (shard, epoch, age) = (owner.shard, owner.epoch, ShardAge(100));
    let due = vec![Retiring { shard, epoch, age, record: false }];
    same("retired", owner.store.retire(due, 1_000, &owner.lease).await?.messages, 3)?;
    let entries = read(&*owner.store, &address).await?;
    same("journal", numbered(&entries), vec![(1, "a"), (2, "b"), (3, "c")])?;
    let last = message(&address, "d")?;
    let cleared = JournalRow { clears: true, ..entry(&last, 0, "d") };
    owner.write(Commit { journal: vec![cleared], ..owner.accept(&last) }).await?;
    same("cleared", numbered(&read(&*owner.store, &address).await?), vec![(4, "d")])
}
