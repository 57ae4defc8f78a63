//! Checks of single commits: D1, D2, G2, G5, L3.

use quarry_ports::{Commit, CommitError, Committed, KeyQuery, MessageState, StateRow, StoredState};
use quarry_types::{Method, Outcome, Sequence, ShardId};

use super::{Broken, OpenStore, Owner, address_in, holds, message, owner::state, same, success};

fn is_rejected(result: &Result<Committed, CommitError>) -> bool {
    matches!(result, Err(CommitError::Rejected { .. }))
}

/// D1.
pub async fn an_accepted_message_is_there_after_a_restart(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let owner = Owner::start(database, 5, 1).await?;
    let row = message(&owner.address("a")?, "k")?;
    owner.write(owner.accept(&row)).await?;
    let record = database.open().await?.message(row.message_id).await?;
    let due = row.accepted_at;
    let record = record.ok_or_else(|| Broken::new("the message is not there"))?;
    same("row", record.message, row)?;
    same(
        "state",
        record.state,
        MessageState::Open { attempts: 0, due, is_delayed: false, errors: Vec::new() },
    )
}

/// L3: sequences are counted per shard from 1, ordinals within the commit.
pub async fn sequences_are_gapless_and_ordinals_count(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let owner = Owner::start(database, 5, 1).await?;
    let other = Owner::load(owner.store.clone(), 6, 1, 1).await?;
    let address = owner.address("a")?;
    for number in 1..=4_u64 {
        let rows = [1, 2, 3].map(|part| message(&address, &format!("k{number}.{part}")));
        let messages = rows.into_iter().collect::<Result<Vec<_>, _>>()?;
        let done = owner.write(Commit { messages, ..owner.commit() }).await?;
        same("sequence", done, Committed { sequence: Sequence(number), first_ordinal: 0 })?;
    }
    let done = other.write(other.accept(&message(&other.address("b")?, "k")?)).await?;
    same("another shard", done.sequence, Sequence(1))?;
    let open = owner.unfinished(0).await?;
    let places: Vec<_> =
        open.iter().map(|open| (open.position.sequence.0, open.position.ordinal)).collect();
    let wanted: Vec<_> = (1..=4).flat_map(|s| (0..3).map(move |ordinal| (s, ordinal))).collect();
    same("positions", places, wanted)
}

/// G2: message, outcome and state are together.
pub async fn a_message_finished_by_its_commit_leaves_nothing_open(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let owner = Owner::start(database, 5, 1).await?;
    let address = owner.address("a")?;
    let row = message(&address, "k")?;
    let commit = Commit {
        outcomes: vec![success(&row)],
        states: vec![state(&address, "one")],
        ..owner.accept(&row)
    };
    let done = owner.write(commit).await?;
    same("open", owner.unfinished(0).await?.len(), 0)?;
    let record = owner.store.message(row.message_id).await?.map(|record| record.state);
    let outcome = Outcome::Success("1".into());
    let finished = MessageState::Finished { outcome, attempts: 1, finished_at: row.accepted_at };
    same("record", record, Some(finished))?;
    let stored = StoredState { state: "one".into(), sequence: done.sequence };
    same("state", owner.store.states(vec![address]).await?, vec![Some(stored)])
}

/// D2.
pub async fn a_second_outcome_is_rejected(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 5, 1).await?;
    let address = owner.address("a")?;
    let row = message(&address, "k")?;
    let once = Commit { outcomes: vec![success(&row)], ..owner.accept(&row) };
    owner.write(once).await?;
    let states = vec![state(&address, "twice")];
    let twice = Commit { outcomes: vec![success(&row)], states, ..owner.commit() };
    holds("rejected", is_rejected(&owner.write(twice).await))?;
    same("its state", owner.store.states(vec![address.clone()]).await?, vec![None])?;
    let done = owner.write(owner.accept(&message(&address, "k2")?)).await?;
    same("a rejected commit takes no sequence", done.sequence, Sequence(2))
}

/// D2, the other way round.
pub async fn an_outcome_without_a_message_is_rejected(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let owner = Owner::start(database, 5, 1).await?;
    let row = message(&owner.address("a")?, "k")?;
    let commit = Commit { outcomes: vec![success(&row)], ..owner.commit() };
    holds("rejected", is_rejected(&owner.write(commit).await))
}

/// G5: the second line of defence; the first is the owner's.
pub async fn a_key_is_accepted_once(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 5, 1).await?;
    let (a, b) = (owner.address("a")?, owner.address("b")?);
    let first = message(&a, "k")?;
    owner.write(owner.accept(&first)).await?;
    holds("same key", is_rejected(&owner.write(owner.accept(&message(&a, "k")?)).await))?;
    holds("same id", is_rejected(&owner.write(owner.accept(&first)).await))?;
    owner.write(owner.accept(&message(&b, "k")?)).await?;
    let mut other_method = message(&a, "k")?;
    other_method.method = Method::new("subtract")?;
    owner.write(owner.accept(&other_method)).await?;
    let query = KeyQuery { address: a, method: first.method.clone(), key: first.key.clone() };
    let found = owner.store.find_keys(vec![query]).await?;
    let ids: Vec<_> = found.into_iter().flatten().map(|record| record.message.message_id).collect();
    same("the first stands", ids, vec![first.message_id])
}

/// Nobody but a shard's owner writes rows of its slots.
pub async fn rows_of_other_slots_are_rejected(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 5, 1).await?;
    let elsewhere = address_in(ShardId(6), "a")?;
    let row = message(&elsewhere, "k")?;
    holds("message", is_rejected(&owner.write(owner.accept(&row)).await))?;
    let states = vec![state(&elsewhere, "x")];
    let commit = Commit { states, ..owner.commit() };
    holds("state", is_rejected(&owner.write(commit).await))?;
    let mut row = message(&owner.address("a")?, "k")?;
    row.message_id = message(&elsewhere, "k")?.message_id;
    holds("id", is_rejected(&owner.write(owner.accept(&row)).await))
}

/// Together or not at all.
pub async fn nothing_of_a_rejected_commit_is_there(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 5, 1).await?;
    let address = owner.address("a")?;
    owner.write(owner.accept(&message(&address, "taken")?)).await?;
    let good = message(&address, "free")?;
    let commit = Commit {
        messages: vec![good.clone(), message(&address, "taken")?],
        outcomes: vec![success(&good)],
        states: vec![state(&address, "x")],
        low_water: Sequence(1),
        ..owner.commit()
    };
    holds("rejected", is_rejected(&owner.write(commit).await))?;
    same("message", owner.store.message(good.message_id).await?, None)?;
    same("state", owner.store.states(vec![address]).await?, vec![None])?;
    let next = Owner::start(database, 5, 2).await?;
    same("sequence", next.loaded.sequence, Sequence(1))?;
    same("mark", next.loaded.low_water, Sequence(0))
}

/// A state of nothing deletes.
pub async fn a_deleted_state_is_gone(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 5, 1).await?;
    let (a, b) = (owner.address("a")?, owner.address("b")?);
    let states = vec![state(&a, "a"), state(&b, "b")];
    owner.write(Commit { states, ..owner.commit() }).await?;
    let states = vec![StateRow { address: a.clone(), state: None }];
    owner.write(Commit { states, ..owner.commit() }).await?;
    let found = owner.store.states(vec![a, b]).await?;
    let found: Vec<bool> = found.iter().map(Option::is_some).collect();
    same("states", found, vec![false, true])
}

/// Several commits of one entity in a row, whether flushed together or not.
pub async fn the_last_state_of_an_entity_counts(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 5, 1).await?;
    let address = owner.address("a")?;
    let commits = ["one", "two", "three", "four"].map(|text| {
        let states = vec![state(&address, text)];
        owner.write(Commit { states, ..owner.commit() })
    });
    for done in futures_util::future::join_all(commits).await {
        done?;
    }
    let found = owner.store.states(vec![address]).await?;
    let found: Vec<_> = found.into_iter().flatten().map(|stored| stored.state).collect();
    same("state", found, vec!["four".into()])
}
