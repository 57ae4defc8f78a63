//! Checks of shards that are split: L1, L3, G3, and what the halves find.

use std::sync::Arc;

use quarry_ports::{Commit, CommitError, FenceError, KeyQuery, OpenRow, OpenState};
use quarry_types::{Division, Epoch, Sequence, ShardAge, ShardId};

use super::{
    Broken, OpenStore, Owner, holds, message, owner::address_within, range_of, same, success,
};

const WHOLE: u32 = 2;

/// The halves of the shard of these checks.
fn halves() -> Result<[Division; 2], Broken> {
    let id = ShardId(WHOLE);
    let halves = Division { id, range: range_of(id) }.halves();
    halves.ok_or_else(|| Broken::new("the shard has no halves"))
}

/// The shard's owner, and a message accepted in each half, under `key`.
async fn started(database: &dyn OpenStore, key: &str) -> Result<Owner, Broken> {
    let owner = Owner::start(database, WHOLE, 1).await?;
    for half in halves()? {
        let row = message(&address_within(half.range, "a")?, key)?;
        owner.write(owner.accept(&row)).await?;
    }
    Ok(owner)
}

/// L3: the sequence goes on; G3: nothing more is committed to the whole, nor is it loaded again.
pub async fn the_halves_go_on_where_the_whole_stood(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let whole = started(database, "k").await?;
    let [lower, upper] = halves()?;
    let first = Owner::load_part(database.open().await?, lower, 5, 5).await?;
    same("sequence", first.loaded.sequence, Sequence(2))?;
    holds("time", first.loaded.now >= whole.loaded.now)?;
    let late = whole.write(whole.accept(&message(&whole.address("b")?, "late")?)).await;
    let recorded = Epoch(5);
    same("the whole is closed", late.err(), Some(CommitError::Fenced { recorded }))?;
    let stale = Owner::load(database.open().await?, WHOLE, 4, 4).await.err();
    same("an old grant", stale, Some(FenceError::Refused { recorded }))?;
    let newer = Owner::load(database.open().await?, WHOLE, 9, 9).await.err();
    same("a grant of one that knows no split", newer, Some(FenceError::Split))?;
    let done = first.write(first.accept(&message(&first.address("c")?, "k")?)).await?;
    same("next", done.sequence, Sequence(3))?;
    let second = Owner::load_part(database.open().await?, upper, 5, 5).await?;
    same("the other half", second.loaded.sequence, Sequence(2))?;
    let done = second.write(second.accept(&message(&second.address("c")?, "k")?)).await?;
    same("its own next", done.sequence, Sequence(3))?;
    let fences = vec![(whole.shard, whole.epoch), (lower.id, Epoch(5)), (upper.id, Epoch(5))];
    same("fences", first.store.check_fences(fences).await?, vec![false, true, true])
}

/// A lost answer to the first load of a half may be repeated, and the next owner goes on.
pub async fn a_split_that_is_repeated_changes_nothing(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let whole = started(database, "k").await?;
    let [lower, upper] = halves()?;
    let store = database.open().await?;
    for _ in 0..2 {
        let again = Owner::load_part(Arc::clone(&store), lower, 5, 5).await?;
        same("sequence", again.loaded.sequence, Sequence(2))?;
    }
    let owner = Owner::load_part(Arc::clone(&store), lower, 5, 5).await?;
    owner.write(owner.accept(&message(&owner.address("b")?, "k")?)).await?;
    let other = Owner::load_part(database.open().await?, lower, 5, 6).await.err();
    same("L5", other, Some(FenceError::Refused { recorded: Epoch(5) }))?;
    let next = Owner::load_part(database.open().await?, lower, 8, 8).await?;
    same("it is no second split", next.loaded.sequence, Sequence(3))?;
    // Whoever owns the other half by now.
    let moved = Owner::load_part(database.open().await?, upper, 7, 7).await?;
    same("the whole's last", moved.loaded.sequence, Sequence(2))?;
    same("still closed", whole.write(whole.commit()).await.is_err(), true)
}

/// A half finds what the whole left open in its slots, under its positions, and the keys.
pub async fn each_half_finds_its_own_of_what_the_whole_left(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let whole = Owner::start(database, WHOLE, 1).await?;
    let mut rows = Vec::new();
    for (half, name) in halves()?.into_iter().zip(["a", "b"]) {
        for key in ["fresh", "copied", "done"] {
            let row = message(&address_within(half.range, name)?, key)?;
            let open = OpenRow {
                message: row.clone(),
                position: None,
                attempts: 1,
                lost: 0,
                due: row.accepted_at,
                state: OpenState::Waiting,
                errors: vec!["it failed".to_owned()],
            };
            let open = (key == "copied").then_some(open).into_iter().collect();
            let outcomes = (key == "done").then(|| success(&row)).into_iter().collect();
            whole.write(Commit { open, outcomes, ..whole.accept(&row) }).await?;
            rows.push(row);
        }
    }
    for (half, own) in halves()?.into_iter().zip(rows.chunks(3)) {
        let owner = Owner::load_part(database.open().await?, half, 5, 5).await?;
        let open = owner.unfinished(0).await?;
        let ids: Vec<_> = open.iter().map(|open| open.message.message_id).collect();
        let expected: Vec<_> = own.iter().take(2).map(|row| row.message_id).collect();
        same("open", ids, expected)?;
        let question = |row: &quarry_ports::MessageRow| {
            let (address, method, key) = (row.address.clone(), row.method.clone(), row.key.clone());
            KeyQuery { address, method, key }
        };
        let found = owner.store.find_keys(own.iter().map(question).collect()).await?;
        holds("keys", found.iter().all(Option::is_some))?;
        let mut outcomes = own.iter().take(2).map(success);
        let (copied, fresh) = (outcomes.next_back(), outcomes.next_back());
        for outcome in [fresh, copied].into_iter().flatten() {
            owner.write(Commit { outcomes: vec![outcome], ..owner.commit() }).await?;
        }
        same("finished", owner.unfinished(0).await?.len(), 0)?;
        let again = message(&own.first().ok_or_else(|| Broken::new("no row"))?.address, "fresh")?;
        let twice = owner.write(owner.accept(&again)).await;
        holds("G5", matches!(twice, Err(CommitError::Rejected { .. })))?;
    }
    Ok(())
}

/// The mark of the whole holds for its halves.
pub async fn the_mark_of_the_whole_is_that_of_its_halves(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let whole = started(database, "k").await?;
    whole.write(Commit { low_water: Sequence(2), ..whole.commit() }).await?;
    for half in halves()? {
        let owner = Owner::load_part(database.open().await?, half, 5, 5).await?;
        same("mark", owner.loaded.low_water, Sequence(2))?;
        same("below it", owner.unfinished(2).await?.len(), 0)?;
        same("not below it", owner.unfinished(0).await?.len(), 1)?;
    }
    Ok(())
}

/// L1: who was granted a half before that was split on, or while a newer owner has the whole, gets
/// no fence.
pub async fn a_half_that_was_passed_over_does_not_begin(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    started(database, "k").await?;
    let [lower, upper] = halves()?;
    let [quarter, _] = lower.halves().ok_or_else(|| Broken::new("no quarters"))?;
    let owner = Owner::load_part(database.open().await?, quarter, 9, 9).await?;
    same("it goes on", owner.loaded.sequence, Sequence(2))?;
    let recorded = Epoch(9);
    let stale = Owner::load_part(database.open().await?, lower, 7, 7).await.err();
    same("passed over", stale, Some(FenceError::Refused { recorded }))?;
    let newer = Owner::load_part(database.open().await?, lower, 10, 7).await.err();
    same("split", newer, Some(FenceError::Split))?;
    Owner::load_part(database.open().await?, upper, 7, 7).await?;
    owner.write(owner.commit()).await?;
    let other = Owner::start(database, 3, 20).await?;
    let id = ShardId(3);
    let [half, _] =
        Division { id, range: range_of(id) }.halves().ok_or_else(|| Broken::new("no halves"))?;
    let older = Owner::load_part(database.open().await?, half, 19, 19).await.err();
    let recorded = Epoch(20);
    same("the whole is newer", older, Some(FenceError::Refused { recorded }))?;
    other.write(other.commit()).await?;
    Ok(())
}

/// What was finished before a split goes when its time is over: each half removes its own, and
/// their ages go on where that of the whole stood.
pub async fn the_halves_retire_what_the_whole_kept(database: &dyn OpenStore) -> Result<(), Broken> {
    let whole = Owner::start(database, WHOLE, 1).await?;
    let [lower, upper] = halves()?;
    let mut rows = Vec::new();
    for number in 0..200_u64 {
        let half = if number % 2 == 0 { lower } else { upper };
        let row = message(&address_within(half.range, "a")?, &format!("k{number}"))?;
        let mut outcome = success(&row);
        outcome.keep_until = ShardAge(1_000 + number);
        let low_water = Sequence(number);
        let commit = Commit { outcomes: vec![outcome], low_water, ..whole.accept(&row) };
        whole.write(commit).await?;
        rows.push(row);
    }
    whole.retire(700, 10, true).await?;
    let mut removed = Vec::new();
    for half in [lower, upper] {
        let owner = Owner::load_part(database.open().await?, half, 5, 5).await?;
        same("age", owner.loaded.age, ShardAge(700))?;
        owner.write(Commit { low_water: Sequence(200), ..owner.commit() }).await?;
        same("too early", owner.retire(999, 1_000, true).await?.messages, 0)?;
        same("some", owner.retire(1_099, 1_000, true).await?.messages, 50)?;
        same("the rest", owner.retire(9_999, 1_000, true).await?.messages, 50)?;
        same("no more", owner.retire(9_999, 1_000, true).await?.messages, 0)?;
        let again = Owner::load_part(Arc::clone(&owner.store), half, 5, 5).await?;
        holds("the age is recorded", again.loaded.age >= ShardAge(1_099))?;
        let mut known = Vec::new();
        for row in &rows {
            known.push(owner.knows(row).await?);
        }
        removed.push(known.iter().filter(|known| !**known).count());
    }
    same("removed", removed, vec![100, 200])
}
